# SPDX-License-Identifier: GPL-2.0-or-later
"""ptrace(2), and who may look into another process (kernel/ptrace.c; mm_access of kernel/fork.c).

    ptrace_link    the tracee's `parent` is the tracer, and it stands in the tracer's `ptraced`; `real_parent` stays
    stops          jobctl.py; the tracer learns of them by wait4 (exit.py)
    registers      arch/x86/ptrace.py, which arch_ptrace() begins with

With one CPU a stopped tracee stays stopped while its tracer is in here: ptrace_freeze_traced() has nothing to do.
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.ptrace as x86_ptrace
import mmscope.kernel.core.jobctl as core_jobctl
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
    PT_EXITKILL,
    PT_OPT_FLAG_SHIFT,
    PT_PTRACED,
    PT_SEIZED,
    PT_TRACESYSGOOD,
    PTRACE_ATTACH,
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_EXEC,
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
    PTRACE_MODE_FSCREDS,
    PTRACE_MODE_READ_FSCREDS,
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
    EXIT_DEAD,
    EXIT_ZOMBIE,
    JOBCTL_LISTENING,
    JOBCTL_STOP_PENDING,
    JOBCTL_STOP_SIGMASK,
    JOBCTL_TRAP_MASK,
    JOBCTL_TRAP_NOTIFY,
    JOBCTL_TRAP_STOP,
    JOBCTL_TRAPPING,
    PF_EXITING,
    SIGNAL_STOP_STOPPED,
    SYSCALL_WORK_SYSCALL_EMU,
    SYSCALL_WORK_SYSCALL_EXIT_TRAP,
    SYSCALL_WORK_SYSCALL_TRACE,
    TASK_KILLABLE,
)
from mmscope.kernel.include.signal import (
    _NSIG,
    SA_NOCLDWAIT,
    SI_KERNEL,
    SI_USER,
    SIG_IGN,
    SIG_KERNEL_ONLY_MASK,
    SIGCHLD,
    SIGKILL,
    SIGSTOP,
    SIGTRAP,
    KernelSiginfo,
    sigmask,
)
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "exit_ptrace", "mm_access", "ptrace_access_vm", "ptrace_event", "ptrace_event_enabled", "ptrace_init_task",
    "ptrace_may_access", "sys_ptrace", "syscall_exit_work", "syscall_trace_enter",
]  # fmt: skip

#: prctl(PR_SET_DUMPABLE): 1 = the process may be looked at by its user.
SUID_DUMP_USER: Final = 1

AUDIT_ARCH_X86_64: Final = 0xC000003E
# struct ptrace_syscall_info: sizes of what each op fills, and ops.
SYSCALL_INFO_SIZE: Final = 88
PTRACE_SYSCALL_INFO_NONE: Final = 0
PTRACE_SYSCALL_INFO_ENTRY: Final = 1
PTRACE_SYSCALL_INFO_EXIT: Final = 2

SIGSET_SIZE: Final = 8
U64: Final = 0xFFFFFFFFFFFFFFFF


# --- permission


def ptrace_may_access(k: Kernel, task: TaskStruct, mode: int = PTRACE_MODE_READ_FSCREDS) -> bool:
    """The current task may read `task`'s memory and secrets, or trace it. Yama is not there."""
    current = k.current
    if task.tgid == current.tgid:
        return True
    cred, tcred = current.cred, task.cred
    uid, gid = (cred.fsuid, cred.fsgid) if mode & PTRACE_MODE_FSCREDS else (cred.uid, cred.gid)
    same_user = uid == tcred.euid == tcred.suid == tcred.uid and gid == tcred.egid == tcred.sgid == tcred.gid
    if not same_user and not capable(k, CAP_SYS_PTRACE):
        return False
    if task.mm is not None and task.dumpable != SUID_DUMP_USER and not capable(k, CAP_SYS_PTRACE):
        return False
    # cap_ptrace_access_check(): who has more rights than we is out of reach.
    caps = cred.cap_effective if mode & PTRACE_MODE_FSCREDS else cred.cap_permitted
    return not tcred.cap_permitted & ~caps or capable(k, CAP_SYS_PTRACE)


def mm_access(k: Kernel, task: TaskStruct) -> MmStruct | None:
    """`task`'s address space, None if it has none (any more). Raises EACCES."""
    mm = task.mm
    if mm is not None and mm is not k.current.mm and not ptrace_may_access(k, task):
        raise KernelError(EACCES)
    return mm


def _capable_of(task: TaskStruct, cap: int) -> bool:
    """has_ns_capability(): of another task than the current one."""
    return task.cred.cap_effective >> cap & 1 != 0


# --- the bond


def __ptrace_link(child: TaskStruct, new_parent: TaskStruct) -> None:
    """`child` is traced by `new_parent` from now on. Precondition: child.ptrace is set."""
    new_parent.ptraced.append(child)
    child.parent = new_parent


def __ptrace_unlink(child: TaskStruct) -> None:
    """`child` is nobody's tracee: it goes on, or, if its process is stopped, into the stop that it would be in untraced."""
    child.syscall_work &= ~(SYSCALL_WORK_SYSCALL_TRACE | SYSCALL_WORK_SYSCALL_EMU)
    tracer = child.parent
    if tracer is not None and child in tracer.ptraced:
        tracer.ptraced.remove(child)
    child.parent = child.real_parent
    child.ptrace = 0
    core_jobctl.task_clear_jobctl_pending(child, JOBCTL_TRAP_MASK)
    core_jobctl.task_clear_jobctl_trapping(child)
    stopped = child.signal.flags & SIGNAL_STOP_STOPPED or child.signal.group_stop_count
    if not child.flags & PF_EXITING and stopped:
        child.jobctl |= JOBCTL_STOP_PENDING
        if not child.jobctl & JOBCTL_STOP_SIGMASK:
            child.jobctl |= SIGSTOP
    if child.jobctl & JOBCTL_STOP_PENDING or child.state & __TASK_TRACED:
        core_jobctl.ptrace_signal_wake_up(child, True)


def ptrace_init_task(k: Kernel, child: TaskStruct, ptrace: bool) -> None:
    """A new task: with `ptrace` its parent's tracer gets it too, with a stop before its first instruction."""
    current = k.current
    if not ptrace or not current.ptrace or current.parent is None:
        return
    child.ptrace = current.ptrace
    __ptrace_link(child, current.parent)
    if child.ptrace & PT_SEIZED:
        core_jobctl.task_set_jobctl_pending(child, JOBCTL_TRAP_STOP)
    else:
        child.pending.signal |= sigmask(SIGSTOP)


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
        __ptrace_link(current, parent)


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
    if task is k.child_reaper or task.tgid == current.tgid or not ptrace_may_access(k, task, PTRACE_MODE_ATTACH_REALCREDS):
        raise KernelError(EPERM)
    if task.exit_state or task.ptrace:
        raise KernelError(EPERM)
    task.ptrace = ptrace
    __ptrace_link(task, current)
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


def ignoring_children(task: TaskStruct) -> bool:
    """Dead children of `task` are reaped at once."""
    action = task.sighand.action[SIGCHLD - 1]
    return action.sa_handler == SIG_IGN or action.sa_flags & SA_NOCLDWAIT != 0


def __ptrace_detach(tracer: TaskStruct, p: TaskStruct) -> bool:
    """Let `p` go. True: it is dead, nobody waits for it, the caller shall release it."""
    __ptrace_unlink(p)
    if p.exit_state != EXIT_ZOMBIE:
        return False
    dead = p.group_leader is not p
    if not dead and len(p.signal.threads) == 1:
        if p.real_parent is None or p.real_parent.signal is not tracer.signal:
            dead = core_jobctl.do_notify_parent(p, p.exit_signal)
        elif ignoring_children(tracer):
            core_jobctl.__wake_up_parent(p, tracer)
            dead = True
    if dead:
        p.exit_state = EXIT_DEAD
    return dead


def ptrace_detach(k: Kernel, child: TaskStruct, data: int) -> None:
    """PTRACE_DETACH, with a signal as PTRACE_CONT has one. Raises EIO."""
    if data > _NSIG:
        raise KernelError(EIO)
    user_disable_single_step(child)
    child.exit_code = data
    __ptrace_detach(k.current, child)


def exit_ptrace(k: Kernel, tracer: TaskStruct, dead: list[TaskStruct]) -> None:
    """The tracer dies: its tracees go on, or (PTRACE_O_EXITKILL) die with it. Those to be released are put into `dead`."""
    for p in list(tracer.ptraced):
        if p.ptrace & PT_EXITKILL:
            core_signal.send_sig_info(SIGKILL, KernelSiginfo(SIGKILL, SI_KERNEL), p)
        if __ptrace_detach(tracer, p):
            dead.append(p)


# --- events


def ptrace_event_enabled(task: TaskStruct, event: int) -> bool:
    """The tracer wants to hear of it (PTRACE_O_TRACE*)."""
    return task.ptrace >> (PT_OPT_FLAG_SHIFT + event) & 1 != 0


def ptrace_event(k: Kernel, event: int, message: int) -> None:
    """PTRACE_EVENT_*: stop if the tracer wants to hear of it. An execve that was not asked for is a SIGTRAP (not when seized)."""
    current = k.current
    if not current.ptrace:
        return
    if ptrace_event_enabled(current, event):
        current.ptrace_message = message
        core_jobctl.ptrace_notify(k, event << 8 | SIGTRAP, message)
    elif event == PTRACE_EVENT_EXEC and not current.ptrace & PT_SEIZED:
        core_signal.send_sig(k, SIGTRAP, current, 0)


def ptrace_report_syscall(k: Kernel, message: int) -> bool:
    """Syscall-enter-stop and syscall-exit-stop; True: the task was killed meanwhile."""
    current = k.current
    if not current.ptrace:
        return False
    current.ptrace_message = message
    signr = core_jobctl.ptrace_notify(k, SIGTRAP | (0x80 if current.ptrace & PT_TRACESYSGOOD else 0), message)
    if signr:
        core_signal.send_sig(k, signr, current, 1)
    current.ptrace_message = 0
    return core_signal.fatal_signal_pending(current)


def syscall_trace_enter(k: Kernel, regs: PtRegs) -> int:
    """Before a system call (kernel/entry/common.c): its number, which the tracer may have changed; -1: do none."""
    current = k.current
    work = current.syscall_work
    if work & (SYSCALL_WORK_SYSCALL_TRACE | SYSCALL_WORK_SYSCALL_EMU):
        killed = ptrace_report_syscall(k, PTRACE_EVENTMSG_SYSCALL_ENTRY)
        if killed or work & SYSCALL_WORK_SYSCALL_EMU:
            return -1
    nr = regs.orig_ax & 0xFFFFFFFF
    return nr - (1 << 32) if nr >> 31 else nr


def syscall_exit_work(k: Kernel, regs: PtRegs) -> None:
    """After a system call: a step over it is a SIGTRAP of its own."""
    work = k.current.syscall_work
    if work & SYSCALL_WORK_SYSCALL_EXIT_TRAP and not work & SYSCALL_WORK_SYSCALL_EMU:
        x86_ptrace.user_single_step_report(k, regs)
    elif work & SYSCALL_WORK_SYSCALL_TRACE:
        ptrace_report_syscall(k, PTRACE_EVENTMSG_SYSCALL_EXIT)


# --- requests


def ptrace_access_vm(k: Kernel, tsk: TaskStruct, addr: int, data: bytes | None, length: int, gup_flags: int) -> bytes:
    """Read (data None) or write a tracee's memory: the bytes done."""
    mm = tsk.mm
    if mm is None or not tsk.ptrace or tsk.parent is not k.current:
        return b""
    if tsk.dumpable != SUID_DUMP_USER and not capable(k, CAP_SYS_PTRACE):
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
