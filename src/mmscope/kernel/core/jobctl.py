# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping and continuing a process, and telling its parent so, or that it died (the job control of kernel/signal.c)."""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    JOBCTL_STOP_CONSUME,
    JOBCTL_STOP_PENDING,
    JOBCTL_STOP_SIGMASK,
    PF_EXITING,
    SIGNAL_STOP_STOPPED,
    SIGNAL_UNKILLABLE,
    TASK_RUNNING,
    TASK_STOPPED,
)
from mmscope.kernel.include.signal import (
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SI_USER,
    SIG_IGN,
    SIGCHLD,
    SIGCONT,
    KernelSiginfo,
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
    """`tsk` is dead: tell its parent. True: nobody will wait for it, let it go at once."""
    parent = tsk.real_parent
    assert parent is not None
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
    if sig == SIGCHLD:
        action = parent.sighand.action[SIGCHLD - 1]
        if action.sa_handler == SIG_IGN or action.sa_flags & SA_NOCLDWAIT:
            autoreap = True
            if action.sa_handler == SIG_IGN:
                sig = 0
    if sig > 0:
        core_signal.send_signal(sig, info, parent, True)
    __wake_up_parent(tsk, parent)
    return autoreap


def do_notify_parent_cldstop(tsk: TaskStruct, why: int) -> None:
    """The process has stopped or goes on: SIGCHLD, unless SA_NOCLDSTOP."""
    tsk = tsk.group_leader
    parent = tsk.real_parent
    if parent is None:
        return
    info = KernelSiginfo(SIGCHLD, why, 0, tsk.pid, tsk.cred.uid)
    info.si_utime = cpu_ticks(tsk.utime)
    info.si_stime = cpu_ticks(tsk.stime)
    info.si_status = SIGCONT if why == CLD_CONTINUED else tsk.signal.group_exit_code & 0x7F
    action = parent.sighand.action[SIGCHLD - 1]
    if action.sa_handler != SIG_IGN and not action.sa_flags & SA_NOCLDSTOP:
        core_signal.send_signal(SIGCHLD, info, parent, True)
    __wake_up_parent(tsk, parent)


# --- group stops


def task_clear_jobctl_stop(t: TaskStruct) -> None:
    """`t` need not stop any more."""
    t.jobctl &= ~(JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME)


def task_participate_group_stop(t: TaskStruct) -> bool:
    """`t` stops, or dies, instead of being waited for. True: it was the last one of the group stop."""
    signal = t.signal
    consume = t.jobctl & JOBCTL_STOP_CONSUME
    task_clear_jobctl_stop(t)
    if not consume:
        return False
    if signal.group_stop_count > 0:
        signal.group_stop_count -= 1
    if not signal.group_stop_count and not signal.flags & SIGNAL_STOP_STOPPED:
        signal.flags = SIGNAL_STOP_STOPPED | signal.flags & SIGNAL_UNKILLABLE
        return True
    return False


def do_signal_stop(k: Kernel, signr: int) -> None:
    """Stop the current thread, and, if `signr` begins a stop, have all others stop too. Returns when continued or killed."""
    current = k.current
    signal = current.signal
    if not current.jobctl & JOBCTL_STOP_PENDING:
        if signal.group_exit:
            return
        if not signal.flags & SIGNAL_STOP_STOPPED:
            signal.group_exit_code = signr
        signal.group_stop_count = 0
        for t in signal.threads:
            if t is current or (not t.flags & PF_EXITING and not t.state & __TASK_STOPPED):
                t.jobctl = t.jobctl & ~JOBCTL_STOP_SIGMASK | signr | JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME
                signal.group_stop_count += 1
                if t is not current:
                    core_signal.signal_wake_up(t, False)
    notify = task_participate_group_stop(current)
    current.state = TASK_STOPPED
    current.wchan = f"a stop by signal {signr or current.jobctl & JOBCTL_STOP_SIGMASK}"
    if notify:
        do_notify_parent_cldstop(current, CLD_STOPPED)
    core_sched.schedule(k)
    current.state = TASK_RUNNING
    current.wchan = ""
    core_signal.recalc_sigpending(current)
