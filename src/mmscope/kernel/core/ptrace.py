# SPDX-License-Identifier: GPL-2.0-or-later
"""Being traced, and who may look into another process (kernel/ptrace.c, kernel/entry/common.c; mm_access of kernel/fork.c).

the bond       the tracee's `parent` is the tracer, and it stands in the tracer's `ptraced`; `real_parent` stays
stops          jobctl.py; the tracer learns of them by wait4 (exit.py)
requests       ptrace_request.py and arch/x86/ptrace.py, imported when the first one is made
"""

from __future__ import annotations

import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_SYS_PTRACE
from mmscope.kernel.include.errno import EACCES, KernelError
from mmscope.kernel.include.ptrace import (
    PT_EXITKILL,
    PT_OPT_FLAG_SHIFT,
    PT_SEIZED,
    PT_TRACESYSGOOD,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENTMSG_SYSCALL_ENTRY,
    PTRACE_EVENTMSG_SYSCALL_EXIT,
    PTRACE_MODE_FSCREDS,
    PTRACE_MODE_READ_FSCREDS,
)
from mmscope.kernel.include.sched import (
    __TASK_TRACED,
    EXIT_DEAD,
    EXIT_ZOMBIE,
    JOBCTL_STOP_PENDING,
    JOBCTL_STOP_SIGMASK,
    JOBCTL_TRAP_MASK,
    JOBCTL_TRAP_STOP,
    PF_EXITING,
    SIGNAL_STOP_STOPPED,
    SYSCALL_WORK_SYSCALL_EMU,
    SYSCALL_WORK_SYSCALL_EXIT_TRAP,
    SYSCALL_WORK_SYSCALL_TRACE,
)
from mmscope.kernel.include.signal import (
    SA_NOCLDWAIT,
    SI_KERNEL,
    SIG_IGN,
    SIGCHLD,
    SIGKILL,
    SIGSTOP,
    SIGTRAP,
    KernelSiginfo,
    sigmask,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "exit_ptrace", "mm_access", "ptrace_event", "ptrace_event_enabled", "ptrace_init_task", "ptrace_may_access",
    "syscall_exit_work", "syscall_trace_enter",
]  # fmt: skip

#: prctl(PR_SET_DUMPABLE): 1 = the process may be looked at by its user.
SUID_DUMP_USER: Final = 1


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


def mm_access(k: Kernel, task: TaskStruct, mode: int = PTRACE_MODE_READ_FSCREDS) -> MmStruct | None:
    """`task`'s address space, None if it has none (any more). Raises EACCES."""
    mm = task.mm
    if mm is not None and mm is not k.current.mm and not ptrace_may_access(k, task, mode):
        raise KernelError(EACCES)
    return mm


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
        from mmscope.kernel.arch.x86.ptrace import user_single_step_report

        user_single_step_report(k, regs)
    elif work & SYSCALL_WORK_SYSCALL_TRACE:
        ptrace_report_syscall(k, PTRACE_EVENTMSG_SYSCALL_EXIT)
