# SPDX-License-Identifier: GPL-2.0-or-later
"""ptrace(2), the tracer's side (kernel/ptrace.c). arch/x86/ptrace.py has the registers; sys_ptrace() is the entry.

With one CPU a stopped tracee stays stopped while its tracer is in here: ptrace_freeze_traced() has nothing to do.
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.ptrace as x86_ptrace
import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.ptrace as core_ptrace
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
import mmscope.kernel.mm.memory_access as memory_access
from mmscope.kernel.arch.x86.step import user_disable_single_step, user_enable_single_step
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, get_user, put_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.siginfo import SIGINFO_SIZE, copy_siginfo_to_user, siginfo_from_user
from mmscope.kernel.include.capability import CAP_SYS_ADMIN, CAP_SYS_PTRACE
from mmscope.kernel.include.errno import EACCES, EINVAL, EIO, EPERM, ESRCH, KernelError
from mmscope.kernel.include.mm import FOLL_FORCE
from mmscope.kernel.include.ptrace import (
    PT_OPT_FLAG_SHIFT,
    PT_PTRACED,
    PT_SEIZED,
    PTRACE_ATTACH,
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_STOP,
    PTRACE_EVENTMSG_SYSCALL_ENTRY,
    PTRACE_EVENTMSG_SYSCALL_EXIT,
    PTRACE_GET_RSEQ_CONFIGURATION,
    PTRACE_GET_SYSCALL_INFO,
    PTRACE_GETEVENTMSG,
    PTRACE_GETREGSET,
    PTRACE_GETSIGINFO,
    PTRACE_GETSIGMASK,
    PTRACE_INTERRUPT,
    PTRACE_KILL,
    PTRACE_LISTEN,
    PTRACE_MODE_ATTACH_REALCREDS,
    PTRACE_O_MASK,
    PTRACE_O_SUSPEND_SECCOMP,
    PTRACE_OLDSETOPTIONS,
    PTRACE_PEEKDATA,
    PTRACE_PEEKSIGINFO,
    PTRACE_PEEKSIGINFO_SHARED,
    PTRACE_PEEKTEXT,
    PTRACE_POKEDATA,
    PTRACE_POKETEXT,
    PTRACE_SECCOMP_GET_FILTER,
    PTRACE_SECCOMP_GET_METADATA,
    PTRACE_SEIZE,
    PTRACE_SETOPTIONS,
    PTRACE_SETREGSET,
    PTRACE_SETSIGINFO,
    PTRACE_SETSIGMASK,
    PTRACE_SINGLEBLOCK,
    PTRACE_SINGLESTEP,
    PTRACE_SYSCALL,
    PTRACE_SYSEMU,
    PTRACE_SYSEMU_SINGLESTEP,
    PTRACE_TRACEME,
)
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    __TASK_TRACED,
    JOBCTL_LISTENING,
    JOBCTL_TRAP_NOTIFY,
    JOBCTL_TRAP_STOP,
    JOBCTL_TRAPPING,
    PF_EXITING,
    SYSCALL_WORK_SYSCALL_EMU,
    SYSCALL_WORK_SYSCALL_TRACE,
    TASK_KILLABLE,
)
from mmscope.kernel.include.signal import (
    _NSIG,
    SI_KERNEL,
    SI_USER,
    SIG_KERNEL_ONLY_MASK,
    SIGKILL,
    SIGSTOP,
    SIGTRAP,
    KernelSiginfo,
)
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["ptrace_access_vm", "ptrace_request", "sys_ptrace"]

AUDIT_ARCH_X86_64: Final = 0xC000003E
# struct ptrace_syscall_info: sizes of what each op fills, and ops.
SYSCALL_INFO_SIZE: Final = 88
PTRACE_SYSCALL_INFO_NONE: Final = 0
PTRACE_SYSCALL_INFO_ENTRY: Final = 1
PTRACE_SYSCALL_INFO_EXIT: Final = 2

SIGSET_SIZE: Final = 8
U64: Final = 0xFFFFFFFFFFFFFFFF


# --- beginning and end


def _capable_of(task: TaskStruct, cap: int) -> bool:
    """has_ns_capability(): of another task than the current one."""
    return task.cred.cap_effective >> cap & 1 != 0


def ptrace_traceme(k: Kernel) -> None:
    """PTRACE_TRACEME: our parent traces us. Raises EPERM if somebody does, or if we may do more than the parent."""
    current = k.current
    parent = current.real_parent
    if current.ptrace or parent is None:
        raise KernelError(EPERM)
    if current.cred.cap_permitted & ~parent.cred.cap_permitted and not _capable_of(parent, CAP_SYS_PTRACE):
        raise KernelError(EPERM)
    if not parent.flags & PF_EXITING:
        current.ptrace = PT_PTRACED
        core_ptrace.__ptrace_link(current, parent)


def ptrace_attach(k: Kernel, task: TaskStruct, request: int, addr: int, flags: int) -> None:
    """PTRACE_ATTACH, which sends SIGSTOP, and PTRACE_SEIZE, which disturbs nothing. Raises EIO for options, EPERM."""
    current = k.current
    if request == PTRACE_SEIZE:
        if addr or flags & ~PTRACE_O_MASK:
            raise KernelError(EIO)
        if k.config.at_least(5, 18):  # ee1fee900537
            check_ptrace_options(k, flags)
        ptrace = PT_PTRACED | PT_SEIZED | flags << PT_OPT_FLAG_SHIFT
    else:
        ptrace = PT_PTRACED
    # Process 1 is the model's own and never runs, like a kernel thread.
    if task is k.child_reaper or task.tgid == current.tgid:
        raise KernelError(EPERM)
    if not core_ptrace.ptrace_may_access(k, task, PTRACE_MODE_ATTACH_REALCREDS) or task.exit_state or task.ptrace:
        raise KernelError(EPERM)
    task.ptrace = ptrace
    core_ptrace.__ptrace_link(task, current)
    if request == PTRACE_ATTACH:
        core_signal.send_sig_info(SIGSTOP, KernelSiginfo(SIGSTOP, SI_KERNEL), task)
    # In a group stop already: from TASK_STOPPED to TASK_TRACED; we wait for it, so that the next request finds it there.
    if task.state & __TASK_STOPPED and core_jobctl.task_set_jobctl_pending(task, JOBCTL_TRAP_STOP | JOBCTL_TRAPPING):
        core_signal.signal_wake_up_state(task, __TASK_STOPPED)
        wait_for_trapping(k, task)


def wait_for_trapping(k: Kernel, task: TaskStruct) -> None:
    """Sleep until `task` has trapped (a fatal signal ends that, without an error)."""
    wait = WaitQueueEntry(k.current)
    queue = task.trapping_wait = WaitQueueHead()
    while task.jobctl & JOBCTL_TRAPPING and not core_signal.fatal_signal_pending(k.current):
        core_wait.prepare_to_wait(queue, wait, TASK_KILLABLE)
        core_sched.schedule(k)
    core_wait.finish_wait(queue, wait)
    task.trapping_wait = None


def ptrace_detach(k: Kernel, child: TaskStruct, data: int) -> None:
    """PTRACE_DETACH, with a signal as PTRACE_CONT has one. Raises EIO."""
    if data > _NSIG:
        raise KernelError(EIO)
    user_disable_single_step(child)
    child.exit_code = data
    core_ptrace.__ptrace_detach(k.current, child)


# --- requests


def ptrace_access_vm(k: Kernel, tsk: TaskStruct, addr: int, data: bytes | None, length: int, gup_flags: int) -> bytes:
    """Read (data None) or write a tracee's memory: the bytes done."""
    mm = tsk.mm
    if mm is None or not tsk.ptrace or tsk.parent is not k.current:
        return b""
    if tsk.dumpable != core_ptrace.SUID_DUMP_USER and not capable(k, CAP_SYS_PTRACE):
        return b""
    if data is None:
        return memory_access.access_remote_vm(mm, addr, length, gup_flags)
    return data[: memory_access.write_remote_vm(mm, addr, data, gup_flags)]


def generic_ptrace_peekdata(k: Kernel, tsk: TaskStruct, addr: int, data: int) -> None:
    """PTRACE_PEEKTEXT, PTRACE_PEEKDATA: eight bytes to `data` in our memory. Raises EIO, EFAULT."""
    word = ptrace_access_vm(k, tsk, addr, None, 8, FOLL_FORCE)
    if len(word) != 8:
        raise KernelError(EIO)
    copy_to_user(k, data, word)


def generic_ptrace_pokedata(k: Kernel, tsk: TaskStruct, addr: int, data: int) -> None:
    """PTRACE_POKETEXT, PTRACE_POKEDATA. Raises EIO, after writing what comes before the bad address."""
    if len(ptrace_access_vm(k, tsk, addr, data.to_bytes(8, "little"), 8, FOLL_FORCE)) != 8:
        raise KernelError(EIO)


def check_ptrace_options(k: Kernel, data: int) -> None:
    """PTRACE_O_*: EINVAL for one that there is not. There is no seccomp: PTRACE_O_SUSPEND_SECCOMP is one of those."""
    if data & ~PTRACE_O_MASK or data & PTRACE_O_SUSPEND_SECCOMP:
        raise KernelError(EINVAL)


def ptrace_setoptions(k: Kernel, child: TaskStruct, data: int) -> None:
    """PTRACE_SETOPTIONS."""
    check_ptrace_options(k, data)
    child.ptrace = child.ptrace & ~(PTRACE_O_MASK << PT_OPT_FLAG_SHIFT) | data << PT_OPT_FLAG_SHIFT


def ptrace_getsiginfo(k: Kernel, child: TaskStruct, addr: int) -> None:
    """PTRACE_GETSIGINFO. Raises EINVAL in a group-stop, which has none."""
    info = child.last_siginfo
    if info is None:
        raise KernelError(EINVAL)
    copy_to_user(k, addr, copy_siginfo_to_user(info))


def ptrace_setsiginfo(k: Kernel, child: TaskStruct, addr: int) -> None:
    """PTRACE_SETSIGINFO: what the tracee will get, if the signal stays the same."""
    raw = copy_from_user(k, addr, SIGINFO_SIZE)
    info = child.last_siginfo
    if info is None:
        raise KernelError(EINVAL)
    new = siginfo_from_user(raw, int.from_bytes(raw[0:4], "little", signed=True))
    info.si_signo, info.si_errno, info.si_code = new.si_signo, new.si_errno, new.si_code
    info.si_addr, info.si_pid, info.si_uid, info.si_value = new.si_addr, new.si_pid, new.si_uid, new.si_value
    info.si_status, info.si_utime, info.si_stime = new.si_status, new.si_utime, new.si_stime
    info.si_tid, info.si_overrun = new.si_tid, new.si_overrun


def ptrace_peek_siginfo(k: Kernel, child: TaskStruct, addr: int, data: int) -> int:
    """PTRACE_PEEKSIGINFO: copies of queued signals; their number. A later fault is forgotten."""
    arg = copy_from_user(k, addr, 16)
    off = int.from_bytes(arg[0:8], "little")
    flags = int.from_bytes(arg[8:12], "little")
    nr = int.from_bytes(arg[12:16], "little", signed=True)
    if flags & ~PTRACE_PEEKSIGINFO_SHARED or nr < 0:
        raise KernelError(EINVAL)
    pending = child.signal.shared_pending if flags & PTRACE_PEEKSIGINFO_SHARED else child.pending
    done = 0
    for info in pending.list[off : off + nr]:
        try:
            copy_to_user(k, data + done * SIGINFO_SIZE, copy_siginfo_to_user(info))
        except KernelError:
            if not done:
                raise
            break
        done += 1
    return done


def ptrace_sigmask(k: Kernel, child: TaskStruct, request: int, addr: int, data: int) -> None:
    """PTRACE_GETSIGMASK, PTRACE_SETSIGMASK: of a task in sigsuspend and its like the mask that it will get back."""
    if addr != SIGSET_SIZE:
        raise KernelError(EINVAL)
    if request == PTRACE_GETSIGMASK:
        put_user(k, data, child.saved_sigmask if child.restore_sigmask else child.blocked, 8)
        return
    child.blocked = get_user(k, data, 8) & ~SIG_KERNEL_ONLY_MASK
    child.restore_sigmask = False


def ptrace_interrupt(child: TaskStruct) -> None:
    """PTRACE_INTERRUPT: at least one trap follows; a trap in which the tracer listens is repeated. Raises EIO: not seized."""
    if not child.ptrace & PT_SEIZED:
        raise KernelError(EIO)
    if child.exit_state:
        # lock_task_sighand() fails once it is released only: nothing happens to a zombie.
        return
    if core_jobctl.task_set_jobctl_pending(child, JOBCTL_TRAP_STOP):
        core_jobctl.ptrace_signal_wake_up(child, child.jobctl & JOBCTL_LISTENING != 0)


def ptrace_listen(child: TaskStruct) -> None:
    """PTRACE_LISTEN: in a group-stop, let the tracee stay stopped, but hear of SIGCONT. Raises EIO elsewhere."""
    info = child.last_siginfo
    if not child.ptrace & PT_SEIZED or info is None or info.si_code >> 8 != PTRACE_EVENT_STOP:
        raise KernelError(EIO)
    child.jobctl |= JOBCTL_LISTENING
    if child.jobctl & JOBCTL_TRAP_NOTIFY:
        core_jobctl.ptrace_signal_wake_up(child, True)


def ptrace_resume(k: Kernel, child: TaskStruct, request: int, data: int) -> None:
    """Let the tracee go on, with a signal (data) or without. Raises EIO for a bad one."""
    if data > _NSIG:
        raise KernelError(EIO)
    if request == PTRACE_SINGLEBLOCK:
        k.warn_once("ptrace: PTRACE_SINGLEBLOCK is not implemented: EIO, as without block stepping")
        raise KernelError(EIO)
    child.syscall_work &= ~(SYSCALL_WORK_SYSCALL_TRACE | SYSCALL_WORK_SYSCALL_EMU)
    if request == PTRACE_SYSCALL:
        child.syscall_work |= SYSCALL_WORK_SYSCALL_TRACE
    elif request in (PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP):
        child.syscall_work |= SYSCALL_WORK_SYSCALL_EMU
    if request in (PTRACE_SINGLESTEP, PTRACE_SYSEMU_SINGLESTEP):
        user_enable_single_step(child)
    else:
        user_disable_single_step(child)
    child.exit_code = data
    core_sched.try_to_wake_up(child, __TASK_TRACED)


def ptrace_get_syscall_info(k: Kernel, child: TaskStruct, user_size: int, data: int) -> int:
    """PTRACE_GET_SYSCALL_INFO: where the tracee stopped and why; the size of what there is to tell."""
    regs = child.regs
    info = child.last_siginfo
    op, body, size = PTRACE_SYSCALL_INFO_NONE, b"", 24
    if info is not None and info.si_code == SIGTRAP | 0x80:
        if child.ptrace_message == PTRACE_EVENTMSG_SYSCALL_ENTRY:
            op, size = PTRACE_SYSCALL_INFO_ENTRY, 80
            values = (regs.orig_ax, regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9)
            body = b"".join([value.to_bytes(8, "little") for value in values])
        elif child.ptrace_message == PTRACE_EVENTMSG_SYSCALL_EXIT:
            op, size = PTRACE_SYSCALL_INFO_EXIT, 33
            body = regs.ax.to_bytes(8, "little") + bytes([regs.ax > U64 - 4095])
    head = bytes([op, 0, 0, 0]) + AUDIT_ARCH_X86_64.to_bytes(4, "little")
    head += regs.ip.to_bytes(8, "little") + regs.sp.to_bytes(8, "little")
    copy_to_user(k, data, (head + body).ljust(SYSCALL_INFO_SIZE, b"\0")[: min(size, user_size)])
    return size


def ptrace_regset(k: Kernel, child: TaskStruct, request: int, note: int, uiov: int) -> None:
    """PTRACE_GETREGSET, PTRACE_SETREGSET: a struct iovec, whose length is cut to the set's."""
    base, length = get_user(k, uiov, 8), get_user(k, uiov + 8, 8)
    length = x86_ptrace.regset_size(note, length)
    if request == PTRACE_GETREGSET:
        copy_to_user(k, base, x86_ptrace.regset_get(k, child, note)[:length])
    else:
        x86_ptrace.check_regset_set(note)
        x86_ptrace.regset_set(k, child, note, copy_from_user(k, base, length))
    put_user(k, uiov + 8, length, 8)


def ptrace_get_rseq_configuration(k: Kernel, child: TaskStruct, size: int, data: int) -> int:
    """PTRACE_GET_RSEQ_CONFIGURATION (since v5.13)."""
    if size != 24:
        raise KernelError(EINVAL)
    conf = child.rseq.to_bytes(8, "little") + child.rseq_len.to_bytes(4, "little") + child.rseq_sig.to_bytes(4, "little")
    copy_to_user(k, data, conf + bytes(8))
    return 24


def ptrace_request(k: Kernel, child: TaskStruct, request: int, addr: int, data: int) -> int:
    """What all architectures have. Raises EIO for a request that there is not."""
    if request in (PTRACE_PEEKTEXT, PTRACE_PEEKDATA):
        generic_ptrace_peekdata(k, child, addr, data)
    elif request in (PTRACE_POKETEXT, PTRACE_POKEDATA):
        generic_ptrace_pokedata(k, child, addr, data)
    elif request in (PTRACE_OLDSETOPTIONS, PTRACE_SETOPTIONS):
        ptrace_setoptions(k, child, data)
    elif request == PTRACE_GETEVENTMSG:
        put_user(k, data, child.ptrace_message, 8)
    elif request == PTRACE_PEEKSIGINFO:
        return ptrace_peek_siginfo(k, child, addr, data)
    elif request == PTRACE_GETSIGINFO:
        ptrace_getsiginfo(k, child, data)
    elif request == PTRACE_SETSIGINFO:
        ptrace_setsiginfo(k, child, data)
    elif request in (PTRACE_GETSIGMASK, PTRACE_SETSIGMASK):
        ptrace_sigmask(k, child, request, addr, data)
    elif request == PTRACE_INTERRUPT:
        ptrace_interrupt(child)
    elif request == PTRACE_LISTEN:
        ptrace_listen(child)
    elif request == PTRACE_DETACH:
        ptrace_detach(k, child, data)
    elif request in (
        PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SINGLESTEP, PTRACE_SINGLEBLOCK, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP,
    ):  # fmt: skip
        ptrace_resume(k, child, request, data)
    elif request == PTRACE_KILL:
        ptrace_kill(k, child)
    elif request in (PTRACE_GETREGSET, PTRACE_SETREGSET):
        ptrace_regset(k, child, request, addr & 0xFFFFFFFF, data)
    elif request == PTRACE_GET_SYSCALL_INFO:
        return ptrace_get_syscall_info(k, child, addr, data)
    elif request == PTRACE_GET_RSEQ_CONFIGURATION and k.config.at_least(5, 13):
        return ptrace_get_rseq_configuration(k, child, addr, data)
    elif request in (PTRACE_SECCOMP_GET_FILTER, PTRACE_SECCOMP_GET_METADATA) and not capable(k, CAP_SYS_ADMIN):
        raise KernelError(EACCES)
    else:
        raise KernelError(EIO)
    return 0


def ptrace_kill(k: Kernel, child: TaskStruct) -> None:
    """PTRACE_KILL: on with SIGKILL if it is stopped; until v5.18 nothing if it runs, since v5.19 (6a2d90ba027a) a SIGKILL."""
    if child.exit_state:
        return
    if k.config.at_least(5, 19):
        core_signal.send_sig_info(SIGKILL, KernelSiginfo(SIGKILL, SI_USER, 0, k.current.tgid, k.current.cred.uid), child)
    else:
        ptrace_resume(k, child, PTRACE_KILL, SIGKILL)


def ptrace_check_attach(k: Kernel, child: TaskStruct, ignore_state: bool) -> None:
    """ESRCH unless the current task traces `child`, and it stands still (and is not being listened to)."""
    if not child.ptrace or child.parent is not k.current:
        raise KernelError(ESRCH)
    if ignore_state:
        return
    if not child.state & __TASK_TRACED or child.jobctl & JOBCTL_LISTENING or core_signal.__fatal_signal_pending(child):
        raise KernelError(ESRCH)


def sys_ptrace(k: Kernel, request: int, pid: int, addr: int, data: int) -> int:
    """ptrace(2). The words that PTRACE_PEEK* read go to `data`. Raises ESRCH, EPERM, EIO, EINVAL, EFAULT."""
    if request == PTRACE_TRACEME:
        ptrace_traceme(k)
        return 0
    child = k.tasks.get(pid)
    if child is None:
        raise KernelError(ESRCH)
    if request in (PTRACE_ATTACH, PTRACE_SEIZE):
        ptrace_attach(k, child, request, addr, data)
        return 0
    ptrace_check_attach(k, child, request in (PTRACE_KILL, PTRACE_INTERRUPT))
    return x86_ptrace.arch_ptrace(k, child, request, addr, data)
