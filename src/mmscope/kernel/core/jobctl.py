# SPDX-License-Identifier: GPL-2.0-or-later
"""Stops, for all or for the tracer, and telling the parent so, or that we died (the job control of kernel/signal.c).

SIGSTOP...  -> do_signal_stop() --not traced--> TASK_STOPPED  until SIGCONT
| traced: JOBCTL_TRAP_STOP
PTRACE_INTERRUPT  -> do_jobctl_trap() ------\\
    any other signal  -> ptrace_signal() -------- ptrace_stop(): TASK_TRACED  until PTRACE_CONT and the like
system calls, events -> ptrace_notify() ----/
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.include.ptrace import PT_SEIZED, PTRACE_EVENT_STOP
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    __TASK_TRACED,
    JOBCTL_LISTENING,
    JOBCTL_PENDING_MASK,
    JOBCTL_STOP_CONSUME,
    JOBCTL_STOP_DEQUEUED,
    JOBCTL_STOP_PENDING,
    JOBCTL_STOP_SIGMASK,
    JOBCTL_TRAP_NOTIFY,
    JOBCTL_TRAP_STOP,
    JOBCTL_TRAPPING,
    PF_EXITING,
    SIGNAL_STOP_STOPPED,
    SIGNAL_UNKILLABLE,
    TASK_RUNNING,
    TASK_STOPPED,
    TASK_TRACED,
)
from mmscope.kernel.include.signal import (
    _NSIG,
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    CLD_TRAPPED,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SI_USER,
    SIG_IGN,
    SIGCHLD,
    SIGCONT,
    SIGTRAP,
    KernelSiginfo,
    sigmask,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct


# --- to the parent


def __wake_up_parent(p: TaskStruct, parent: TaskStruct) -> None:
    """Somebody may wait for `p`."""
    core_wait.wake_up_all(parent.signal.wait_chldexit)


def cpu_ticks(ns: int) -> int:
    """clock_t of a siginfo: 1/100 s."""
    return ns // 10_000_000


def do_notify_parent(tsk: TaskStruct, sig: int) -> bool:
    """`tsk` is dead: tell its parent, or tracer. True: nobody will wait for it, let it go at once."""
    parent = tsk.parent
    assert parent is not None
    if tsk.thread_pid is not None:
        # do_notify_pidfd()
        core_wait.wake_up_all(tsk.thread_pid.wait_pidfd)
    if sig != SIGCHLD and tsk.parent_exec_id != parent.self_exec_id:
        # The parent is another program by now.
        sig = SIGCHLD
    info = KernelSiginfo(sig, SI_USER, 0, tsk.pid, tsk.cred.uid)
    info.si_utime = cpu_ticks(tsk.utime + tsk.signal.utime)
    info.si_stime = cpu_ticks(tsk.stime + tsk.signal.stime)
    info.si_status = tsk.exit_code & 0x7F
    if tsk.exit_code & 0x80:
        info.si_code = CLD_DUMPED
    elif tsk.exit_code & 0x7F:
        info.si_code = CLD_KILLED
    else:
        info.si_code = CLD_EXITED
        info.si_status = tsk.exit_code >> 8
    autoreap = False
    if not tsk.ptrace and sig == SIGCHLD:
        action = parent.sighand.action[SIGCHLD - 1]
        if action.sa_handler == SIG_IGN or action.sa_flags & SA_NOCLDWAIT:
            autoreap = True
            if action.sa_handler == SIG_IGN:
                sig = 0
    if 0 < sig <= _NSIG:
        core_signal.send_signal(sig, info, parent, True)
    __wake_up_parent(tsk, parent)
    return autoreap


def ptrace_reparented(child: TaskStruct) -> bool:
    """The tracer is of another process than the parent."""
    return child.parent is not None and child.real_parent is not None and child.parent.signal is not child.real_parent.signal


def do_notify_parent_cldstop(tsk: TaskStruct, for_ptracer: bool, why: int) -> None:
    """`tsk` has stopped or goes on: SIGCHLD, unless SA_NOCLDSTOP. The tracer hears of the thread, the parent of the process."""
    if for_ptracer:
        parent = tsk.parent
    else:
        tsk = tsk.group_leader
        parent = tsk.real_parent
    if parent is None:
        return
    info = KernelSiginfo(SIGCHLD, why, 0, tsk.pid, tsk.cred.uid)
    info.si_utime = cpu_ticks(tsk.utime)
    info.si_stime = cpu_ticks(tsk.stime)
    if why == CLD_CONTINUED:
        info.si_status = SIGCONT
    elif why == CLD_STOPPED:
        info.si_status = tsk.signal.group_exit_code & 0x7F
    else:
        info.si_status = tsk.exit_code & 0x7F
    action = parent.sighand.action[SIGCHLD - 1]
    if action.sa_handler != SIG_IGN and not action.sa_flags & SA_NOCLDSTOP:
        core_signal.send_signal(SIGCHLD, info, parent, True)
    __wake_up_parent(tsk, parent)


# --- task->jobctl


def task_set_jobctl_pending(task: TaskStruct, mask: int) -> bool:
    """Have `task` stop or trap on its way to user mode. False: it is dying."""
    if core_signal.fatal_signal_pending(task) or task.flags & PF_EXITING:
        return False
    if mask & JOBCTL_STOP_SIGMASK:
        task.jobctl &= ~JOBCTL_STOP_SIGMASK
    task.jobctl |= mask
    return True


def task_clear_jobctl_trapping(task: TaskStruct) -> None:
    """The task has trapped: PTRACE_ATTACH, which waits for that, may return."""
    if task.jobctl & JOBCTL_TRAPPING:
        task.jobctl &= ~JOBCTL_TRAPPING
        if task.trapping_wait is not None:
            core_wait.wake_up_all(task.trapping_wait)


def task_clear_jobctl_pending(task: TaskStruct, mask: int) -> None:
    """`task` need not do that any more."""
    if mask & JOBCTL_STOP_PENDING:
        mask |= JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED
    task.jobctl &= ~mask
    if not task.jobctl & JOBCTL_PENDING_MASK:
        task_clear_jobctl_trapping(task)


# --- group stops


def task_participate_group_stop(t: TaskStruct) -> bool:
    """`t` stops, or dies, instead of being waited for. True: it was the last one of the group stop."""
    signal = t.signal
    consume = t.jobctl & JOBCTL_STOP_CONSUME
    task_clear_jobctl_pending(t, JOBCTL_STOP_PENDING)
    if not consume:
        return False
    if signal.group_stop_count > 0:
        signal.group_stop_count -= 1
    if not signal.group_stop_count and not signal.flags & SIGNAL_STOP_STOPPED:
        signal.flags = SIGNAL_STOP_STOPPED | signal.flags & SIGNAL_UNKILLABLE
        return True
    return False


def task_join_group_stop(k: Kernel, task: TaskStruct) -> None:
    """A thread that is born while its process stops, or is stopped (its tracer let us run), stops too."""
    current = k.current
    mask = current.jobctl & JOBCTL_STOP_SIGMASK
    sig = current.signal
    if sig.group_stop_count:
        sig.group_stop_count += 1
        mask |= JOBCTL_STOP_CONSUME
    elif not sig.flags & SIGNAL_STOP_STOPPED:
        return
    task_set_jobctl_pending(task, mask | JOBCTL_STOP_PENDING)


def do_signal_stop(k: Kernel, signr: int) -> bool:
    """Stop the current thread, and, if `signr` begins a stop, have all others stop too. True when continued or killed.

    False: SIGCONT has come meanwhile, or we are traced, and do_jobctl_trap() shall do it.
    """
    current = k.current
    signal = current.signal
    if not current.jobctl & JOBCTL_STOP_PENDING:
        gstop = signr | JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME
        if not current.jobctl & JOBCTL_STOP_DEQUEUED or signal.group_exit:
            return False
        # A tracer may have let us run during a group stop: then the first one's signal stays.
        if not signal.flags & SIGNAL_STOP_STOPPED:
            signal.group_exit_code = signr
        signal.group_stop_count = 0
        if task_set_jobctl_pending(current, gstop):
            signal.group_stop_count += 1
        for t in signal.threads:
            if t is not current and not t.state & __TASK_STOPPED and task_set_jobctl_pending(t, gstop):
                signal.group_stop_count += 1
                if t.ptrace & PT_SEIZED:
                    ptrace_trap_notify(t)
                else:
                    core_signal.signal_wake_up(t, False)
    if current.ptrace:
        task_set_jobctl_pending(current, JOBCTL_TRAP_STOP)
        return False
    notify = task_participate_group_stop(current)
    current.state = TASK_STOPPED
    current.wchan = f"a stop by signal {signr or current.jobctl & JOBCTL_STOP_SIGMASK}"
    if notify:
        do_notify_parent_cldstop(current, False, CLD_STOPPED)
    core_sched.schedule(k)
    current.state = TASK_RUNNING
    current.wchan = ""
    core_signal.recalc_sigpending(current)
    return True


# --- ptrace-stops


def ptrace_signal_wake_up(t: TaskStruct, resume: bool) -> None:
    """Have a tracee look at its jobctl; with `resume` even out of a trap."""
    core_signal.signal_wake_up_state(t, __TASK_TRACED if resume else 0)


def ptrace_trap_notify(t: TaskStruct) -> None:
    """The group stop of a seized task has begun or ended: it traps, out of PTRACE_LISTEN again."""
    task_set_jobctl_pending(t, JOBCTL_TRAP_NOTIFY)
    ptrace_signal_wake_up(t, t.jobctl & JOBCTL_LISTENING != 0)


def ptrace_stop(k: Kernel, exit_code: int, why: int, message: int, info: KernelSiginfo | None) -> int:
    """Stop for the tracer, who gets `exit_code` from wait4, until it lets us go on: the signal it gives us on the way, or 0.

    The tracer's death and PTRACE_DETACH leave what is in exit_code then: a signal that nobody has waited for stays ours.
    """
    current = k.current
    current.state = TASK_TRACED
    if k.config.at_least(5, 18):  # 336d4b814bf0; before, the message of the last event stays
        current.ptrace_message = message
    current.last_siginfo = info
    current.exit_code = exit_code
    gstop_done = False
    if why == CLD_STOPPED and current.jobctl & JOBCTL_STOP_PENDING:
        gstop_done = task_participate_group_stop(current)
    # Any trap will do for PTRACE_INTERRUPT.
    task_clear_jobctl_pending(current, JOBCTL_TRAP_STOP)
    if info is not None and info.si_code >> 8 == PTRACE_EVENT_STOP:
        task_clear_jobctl_pending(current, JOBCTL_TRAP_NOTIFY)
    task_clear_jobctl_trapping(current)
    do_notify_parent_cldstop(current, True, why)
    if gstop_done and ptrace_reparented(current):
        do_notify_parent_cldstop(current, False, why)
    current.wchan = f"a ptrace-stop ({exit_code:#x})"
    core_sched.schedule(k)
    current.wchan = ""
    current.state = TASK_RUNNING
    exit_code = current.exit_code
    current.exit_code = 0
    current.last_siginfo = None
    if k.config.at_least(5, 18):
        current.ptrace_message = 0
    current.jobctl &= ~JOBCTL_LISTENING
    core_signal.recalc_sigpending_tsk(current)
    return exit_code


def ptrace_do_notify(k: Kernel, signr: int, exit_code: int, why: int, message: int) -> int:
    """A stop whose siginfo has `exit_code` as si_code; see ptrace_stop()."""
    current = k.current
    pid, uid = current.pid, current.cred.uid
    # si_addr lies in the same union: a code of 5 counts as a fault's.
    return ptrace_stop(k, exit_code, why, message, KernelSiginfo(signr, exit_code, pid | uid << 32, pid, uid))


def ptrace_notify(k: Kernel, exit_code: int, message: int) -> int:
    """A ptrace-stop with SIGTRAP: an event, or a system call."""
    return ptrace_do_notify(k, SIGTRAP, exit_code, CLD_TRAPPED, message)


def do_jobctl_trap(k: Kernel) -> None:
    """The trap that was asked for: group-stop, or, for a seized task without one, PTRACE_INTERRUPT's."""
    current = k.current
    signr = current.jobctl & JOBCTL_STOP_SIGMASK
    if current.ptrace & PT_SEIZED:
        if not current.signal.group_stop_count and not current.signal.flags & SIGNAL_STOP_STOPPED:
            signr = SIGTRAP
        ptrace_do_notify(k, signr, signr | PTRACE_EVENT_STOP << 8, CLD_STOPPED, 0)
    else:
        ptrace_stop(k, signr, CLD_STOPPED, 0, None)


def ptrace_signal(k: Kernel, info: KernelSiginfo, shared: bool) -> KernelSiginfo | None:
    """Signal-delivery-stop: the tracer may take the signal away (None), change it (PTRACE_SETSIGINFO), or give another.

    What is blocked waits: in the queue that `info` came from since v5.17 (5768d8906bc2), before in the thread's.
    """
    current = k.current
    # Whatever comes out of this, a SIGCONT meanwhile shall cancel a stop.
    current.jobctl |= JOBCTL_STOP_DEQUEUED
    signr = ptrace_stop(k, info.si_signo, CLD_TRAPPED, 0, info)
    if signr == 0:
        return None
    if signr != info.si_signo:
        parent = current.parent
        assert parent is not None
        info = KernelSiginfo(signr, SI_USER, 0, parent.tgid, parent.cred.uid)
    since_5_17 = k.config.at_least(5, 17)
    # b171f667f378: one that comes too late, too.
    if current.blocked & sigmask(signr) or (since_5_17 and core_signal.fatal_signal_pending(current)):
        core_signal.send_signal(signr, info, current, since_5_17 and shared)
        return None
    return info
