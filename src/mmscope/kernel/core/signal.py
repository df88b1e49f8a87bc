# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending, queueing, blocking and taking signals, stopping and continuing (kernel/signal.c).

`force_sig*` is for faults (cannot be blocked or ignored), `send_sig*`, `do_tkill` and `kill_something_info` for everybody
else. get_signal() takes the next signal at the way back to user mode; arch/x86/signal.py builds the handler's frame.
"""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_KILL
from mmscope.kernel.include.errno import EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTNOHAND, ESRCH, KernelError
from mmscope.kernel.include.ptrace import user_mode
from mmscope.kernel.include.resource import RLIMIT_SIGPENDING
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    JOBCTL_STOP_CONSUME,
    JOBCTL_STOP_PENDING,
    JOBCTL_STOP_SIGMASK,
    PF_EXITING,
    SIGNAL_CLD_CONTINUED,
    SIGNAL_CLD_MASK,
    SIGNAL_CLD_STOPPED,
    SIGNAL_STOP_CONTINUED,
    SIGNAL_STOP_STOPPED,
    SIGNAL_UNKILLABLE,
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    TASK_STOPPED,
    TASK_WAKEKILL,
)
from mmscope.kernel.include.signal import (
    _NSIG,
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    MINSIGSTKSZ,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SA_NODEFER,
    SA_RESETHAND,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIG_BLOCK,
    SIG_DFL,
    SIG_IGN,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGABRT,
    SIGALRM,
    SIGBUS,
    SIGCHLD,
    SIGCONT,
    SIGFPE,
    SIGILL,
    SIGIO,
    SIGKILL,
    SIGQUIT,
    SIGRTMIN,
    SIGSEGV,
    SIGSTOP,
    SIGSYS,
    SIGTRAP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGWINCH,
    SIGXCPU,
    SIGXFSZ,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
    KernelSiginfo,
    KSigaction,
    Sigpending,
)
from mmscope.kernel.tracepoint import trace_signal_deliver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct


def sigmask(sig: int) -> int:
    """The bit of `sig` in a sigset_t."""
    return 1 << (sig - 1)


SIG_KERNEL_ONLY_MASK: Final = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1)
SIG_KERNEL_STOP_MASK: Final = 1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1)
SIG_KERNEL_COREDUMP_MASK: Final = (
    1 << (SIGQUIT - 1)
    | 1 << (SIGILL - 1)
    | 1 << (SIGTRAP - 1)
    | 1 << (SIGABRT - 1)
    | 1 << (SIGFPE - 1)
    | 1 << (SIGSEGV - 1)
    | 1 << (SIGBUS - 1)
    | 1 << (SIGSYS - 1)
    | 1 << (SIGXCPU - 1)
    | 1 << (SIGXFSZ - 1)
)
SIG_KERNEL_IGNORE_MASK: Final = 1 << (SIGCONT - 1) | 1 << (SIGCHLD - 1) | 1 << (SIGWINCH - 1) | 1 << (SIGURG - 1)
#: Consequences of the instruction just executed: taken before all others.
SYNCHRONOUS_MASK: Final = (
    1 << (SIGSEGV - 1) | 1 << (SIGBUS - 1) | 1 << (SIGILL - 1) | 1 << (SIGTRAP - 1) | 1 << (SIGFPE - 1) | 1 << (SIGSYS - 1)
)
SIGSET_MASK: Final = (1 << _NSIG) - 1

# siginfo_layout(): which member of the union a (signal, code) pair uses.
SIL_KILL: Final = 0
SIL_FAULT: Final = 1
SIL_RT: Final = 2
SIL_FAULT_BNDERR: Final = 3
SIL_TIMER: Final = 4
SIL_CHLD: Final = 5
SIL_POLL: Final = 6
SIL_SYS: Final = 7


def siginfo_layout(sig: int, si_code: int) -> int:
    """What stands behind si_code in the siginfo of this signal."""
    if SI_USER < si_code < SI_KERNEL:
        if sig == SIGSEGV and si_code == 3:
            return SIL_FAULT_BNDERR
        if sig in (SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP):
            return SIL_FAULT
        if sig == SIGCHLD:
            return SIL_CHLD
        if sig == SIGSYS:
            return SIL_SYS
        if sig == SIGIO:
            return SIL_POLL
        return SIL_KILL
    if si_code == -2:
        return SIL_TIMER
    if si_code == -5:
        return SIL_POLL
    if si_code < 0 and si_code != SI_TKILL:
        return SIL_RT
    return SIL_KILL


# --- what a task does with a signal


def sig_handler_ignored(handler: int, sig: int) -> bool:
    """SIG_IGN, or SIG_DFL of a signal whose default is to be ignored."""
    return handler == SIG_IGN or (handler == SIG_DFL and SIG_KERNEL_IGNORE_MASK >> (sig - 1) & 1 != 0)


def sig_ignored(t: TaskStruct, sig: int) -> bool:
    """The signal need not even be queued. A blocked one must: the handler may change before it is unblocked."""
    if (t.blocked | t.real_blocked) & sigmask(sig):
        return False
    handler = t.sighand.action[sig - 1].sa_handler
    if t.signal.flags & SIGNAL_UNKILLABLE and handler == SIG_DFL:
        return True
    return sig_handler_ignored(handler, sig)


def sig_fatal(t: TaskStruct, sig: int) -> bool:
    """Default action, and that one kills."""
    if (SIG_KERNEL_IGNORE_MASK | SIG_KERNEL_STOP_MASK) & sigmask(sig):
        return False
    return t.sighand.action[sig - 1].sa_handler == SIG_DFL


def has_pending_signals(t: TaskStruct) -> bool:
    """Something is queued that is not blocked."""
    return (t.pending.signal | t.signal.shared_pending.signal) & ~t.blocked != 0


def recalc_sigpending(t: TaskStruct) -> None:
    """Set TIF_SIGPENDING as the queues and the mask say."""
    t.tif_sigpending = has_pending_signals(t) or t.jobctl & JOBCTL_STOP_PENDING != 0


def signal_pending(t: TaskStruct) -> bool:
    """The task must look at its signals before it returns to user mode; sleeps end."""
    return t.tif_sigpending


def __fatal_signal_pending(t: TaskStruct) -> bool:
    """A SIGKILL is queued."""
    return t.pending.signal & sigmask(SIGKILL) != 0


def fatal_signal_pending(t: TaskStruct) -> bool:
    """A SIGKILL is on its way."""
    return t.tif_sigpending and __fatal_signal_pending(t)


# --- sending


def flush_sigqueue_mask(mask: int, s: Sigpending) -> None:
    """Take the signals of `mask` out of a queue."""
    if s.signal & mask:
        s.signal &= ~mask
        s.list = [info for info in s.list if not sigmask(info.si_signo) & mask]


def signal_wake_up_state(t: TaskStruct, state: int) -> None:
    """Have `t` look at its signals: wake it from interruptible sleep, and from those of `state`."""
    t.tif_sigpending = True
    core_sched.try_to_wake_up(t, state | TASK_INTERRUPTIBLE)


def signal_wake_up(t: TaskStruct, fatal: bool) -> None:
    """The same; a fatal signal also ends stops and killable sleeps."""
    signal_wake_up_state(t, TASK_WAKEKILL if fatal else 0)


def prepare_signal(sig: int, p: TaskStruct) -> bool:
    """The side effects of sending, handled or not: stop and continue cancel each other. False: drop the signal."""
    signal = p.signal
    if signal.group_exit:
        # Dying already.
        return sig == SIGKILL or not sig_ignored(p, sig)
    if SIG_KERNEL_STOP_MASK & sigmask(sig):
        flush_sigqueue_mask(sigmask(SIGCONT), signal.shared_pending)
        for t in signal.threads:
            flush_sigqueue_mask(sigmask(SIGCONT), t.pending)
    elif sig == SIGCONT:
        flush_sigqueue_mask(SIG_KERNEL_STOP_MASK, signal.shared_pending)
        for t in signal.threads:
            flush_sigqueue_mask(SIG_KERNEL_STOP_MASK, t.pending)
            task_clear_jobctl_stop(t)
            core_sched.try_to_wake_up(t, __TASK_STOPPED)
        # The parent is told by the first thread that runs; a stop that was under way shows as both.
        why = 0
        if signal.flags & SIGNAL_STOP_STOPPED:
            why = SIGNAL_CLD_CONTINUED
        elif signal.group_stop_count:
            why = SIGNAL_CLD_STOPPED
        if why:
            signal.flags = signal.flags & ~(SIGNAL_CLD_MASK | SIGNAL_STOP_STOPPED) | why | SIGNAL_STOP_CONTINUED
            signal.group_stop_count = 0
            signal.group_exit_code = 0
    return not sig_ignored(p, sig)


def wants_signal(sig: int, p: TaskStruct) -> bool:
    """`p` would take `sig` at once."""
    if p.blocked & sigmask(sig) or p.flags & PF_EXITING:
        return False
    if sig == SIGKILL:
        return True
    if p.state & __TASK_STOPPED:
        return False
    return p is p.kernel.current or not p.tif_sigpending


def send_signal(sig: int, info: KernelSiginfo, t: TaskStruct, group: bool) -> None:
    """Queue `info` for the thread (group False) or for the process. Raises EAGAIN when the queue's limit is reached.

    A legacy signal that is pending already stays single; a real-time signal queues up.
    """
    if not prepare_signal(sig, t):
        return
    pending = t.signal.shared_pending if group else t.pending
    if sig < SIGRTMIN and pending.signal & sigmask(sig):
        return
    if sig != SIGKILL:
        # kill() and the kernel's own legacy signals get through whatever the limit says.
        override = sig < SIGRTMIN and info.si_code >= 0
        queued = len(t.pending.list) + len(t.signal.shared_pending.list)
        if override or queued < t.signal.rlim[RLIMIT_SIGPENDING].rlim_cur:
            pending.list.append(info)
        elif sig >= SIGRTMIN and info.si_code not in (SI_USER, SI_KERNEL):
            raise KernelError(EAGAIN)
    pending.signal |= sigmask(sig)
    # signalfd_notify()
    core_wait.wake_up(t.sighand.signalfd_wqh)
    complete_signal(sig, t, group)


def complete_signal(sig: int, p: TaskStruct, group: bool) -> None:
    """Wake a thread that wants the signal; one that surely kills starts the exit at once, before queued handlers."""
    signal = p.signal
    t = p
    if not wants_signal(sig, p):
        if not group:
            return
        for t in signal.threads:
            if wants_signal(sig, t):
                break
        else:
            # All block it or have others to take; whoever is free first will.
            return
    if sig_fatal(p, sig) and not signal.group_exit and not t.real_blocked & sigmask(sig):
        if not SIG_KERNEL_COREDUMP_MASK & sigmask(sig):
            signal.group_exit = True
            signal.group_exit_code = sig
            signal.group_stop_count = 0
            for t in signal.threads:
                task_clear_jobctl_stop(t)
                t.pending.signal |= sigmask(SIGKILL)
                signal_wake_up(t, True)
            return
    signal_wake_up(t, sig == SIGKILL)


def zap_other_threads(p: TaskStruct) -> int:
    """SIGKILL for all threads of the process but `p`: how many there are."""
    p.signal.group_stop_count = 0
    count = 0
    for t in p.signal.threads:
        if t is p:
            continue
        task_clear_jobctl_stop(t)
        count += 1
        if t.exit_state:
            continue
        t.pending.signal |= sigmask(SIGKILL)
        signal_wake_up(t, True)
    return count


def force_sig_info_to_task(info: KernelSiginfo, t: TaskStruct) -> None:
    """Deliver a signal that the task cannot refuse: if it is blocked or ignored the default action is restored."""
    sig = info.si_signo
    action = t.sighand.action[sig - 1]
    blocked = t.blocked & sigmask(sig) != 0
    if blocked or action.sa_handler == SIG_IGN:
        action.sa_handler = SIG_DFL
        if blocked:
            t.blocked &= ~sigmask(sig)
            recalc_sigpending(t)
    send_signal(sig, info, t, False)


def force_sig_fault(k: Kernel, sig: int, code: int, addr: int) -> None:
    """The current task's instruction faulted at `addr`."""
    force_sig_info_to_task(KernelSiginfo(sig, code, addr), k.current)


def force_sig(k: Kernel, sig: int) -> None:
    """A forced signal without an address: si_code SI_KERNEL."""
    force_sig_info_to_task(KernelSiginfo(sig, SI_KERNEL), k.current)


def force_sigsegv(k: Kernel, sig: int) -> None:
    """A signal frame could not be built or read. If it was SIGSEGV's own there is no way to tell: it kills."""
    if sig == SIGSEGV:
        k.current.sighand.action[SIGSEGV - 1].sa_handler = SIG_DFL
    force_sig(k, SIGSEGV)


def do_send_sig_info(sig: int, info: KernelSiginfo, p: TaskStruct, group: bool) -> None:
    """Send with the locks that a single CPU does not need."""
    send_signal(sig, info, p, group)


def send_sig_info(sig: int, info: KernelSiginfo, p: TaskStruct) -> None:
    """To the thread. Raises EINVAL for a number that is no signal."""
    if not 0 <= sig <= _NSIG:
        raise KernelError(EINVAL)
    do_send_sig_info(sig, info, p, False)


def send_sig(k: Kernel, sig: int, p: TaskStruct, priv: int) -> None:
    """send_sig(): from the kernel if `priv`, else in the name of the current task."""
    if priv:
        send_sig_info(sig, KernelSiginfo(sig, SI_KERNEL), p)
    else:
        send_sig_info(sig, KernelSiginfo(sig, SI_USER, 0, k.current.tgid, k.current.cred.uid), p)


def check_kill_permission(k: Kernel, sig: int, t: TaskStruct) -> None:
    """May the current task send `sig` to `t`? EINVAL for a bad number, EPERM without the right."""
    if not 0 <= sig <= _NSIG:
        raise KernelError(EINVAL)
    if t is k.current:
        return
    cred = k.current.cred
    if cred.euid in (t.cred.suid, t.cred.uid) or cred.uid in (t.cred.suid, t.cred.uid) or capable(k, CAP_KILL):
        return
    if sig == SIGCONT and t.signal.session == k.current.signal.session:
        return
    raise KernelError(EPERM)


def group_send_sig_info(k: Kernel, sig: int, info: KernelSiginfo, p: TaskStruct) -> None:
    """Check, then send to the process; signal 0 only checks."""
    check_kill_permission(k, sig, p)
    if sig:
        do_send_sig_info(sig, info, p, True)


def kill_pgrp_info(k: Kernel, sig: int, info: KernelSiginfo, pgrp: int) -> None:
    """To all processes of a group. ESRCH: there is none; another errno if nobody could be sent it."""
    success = False
    error = ESRCH
    for p in processes(k):
        if p.signal.pgrp == pgrp:
            try:
                group_send_sig_info(k, sig, info, p)
                success = True
            except KernelError as e:
                error = e.errno or EPERM
    if not success:
        raise KernelError(error)


def kill_something_info(k: Kernel, sig: int, info: KernelSiginfo, pid: int) -> None:
    """kill(2): one process (pid > 0), the own group (0), all others that we may (-1), a group (< -1)."""
    if pid > 0:
        target = k.tasks.get(pid)
        if target is None:
            raise KernelError(ESRCH)
        group_send_sig_info(k, sig, info, target)
        return
    if pid == -(1 << 31):
        raise KernelError(ESRCH)
    if pid != -1:
        kill_pgrp_info(k, sig, info, -pid if pid else k.current.signal.pgrp)
        return
    count = 0
    error = 0
    for p in processes(k):
        if p.pid > 1 and p.signal is not k.current.signal:
            count += 1
            try:
                group_send_sig_info(k, sig, info, p)
                error = 0
            except KernelError as e:
                if e.errno != EPERM:
                    error = e.errno or EINVAL
    if not count:
        raise KernelError(ESRCH)
    if error:
        raise KernelError(error)


def processes(k: Kernel) -> list[TaskStruct]:
    """for_each_process(): the thread group leaders, dead ones too, oldest first."""
    return [p for p in k.tasks.values() if p.group_leader is p]


def do_tkill(k: Kernel, tgid: int, pid: int, sig: int) -> None:
    """tkill(2), and tgkill(2) when tgid > 0: to one thread, code SI_TKILL."""
    p = k.tasks.get(pid)
    if p is None or (tgid > 0 and p.tgid != tgid):
        raise KernelError(ESRCH)
    check_kill_permission(k, sig, p)
    if sig:
        do_send_sig_info(sig, KernelSiginfo(sig, SI_TKILL, 0, k.current.tgid, k.current.cred.uid), p, False)


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
    if tsk.thread_pid is not None:
        core_wait.wake_up_all(tsk.thread_pid.wait_pidfd)
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
        send_signal(sig, info, parent, True)
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
        send_signal(SIGCHLD, info, parent, True)
    __wake_up_parent(tsk, parent)


# --- job control


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
                    signal_wake_up(t, False)
    notify = task_participate_group_stop(current)
    current.state = TASK_STOPPED
    current.wchan = f"a stop by signal {signr or current.jobctl & JOBCTL_STOP_SIGMASK}"
    if notify:
        do_notify_parent_cldstop(current, CLD_STOPPED)
    core_sched.schedule(k)
    current.state = TASK_RUNNING
    current.wchan = ""
    recalc_sigpending(current)


def exit_signals(tsk: TaskStruct) -> None:
    """The thread takes no more signals: others of its process shall take those that it was to."""
    signal = tsk.signal
    if signal.live == 1 or signal.group_exit:
        tsk.flags |= PF_EXITING
        return
    pending = tsk.tif_sigpending
    tsk.flags |= PF_EXITING
    if pending:
        unblocked = ~tsk.blocked & signal.shared_pending.signal
        for t in signal.threads:
            if t is not tsk and not t.flags & PF_EXITING and not t.tif_sigpending and unblocked & ~t.blocked:
                signal_wake_up(t, False)
    if tsk.jobctl & JOBCTL_STOP_PENDING and task_participate_group_stop(tsk):
        do_notify_parent_cldstop(tsk, CLD_STOPPED)


# --- taking


def next_signal(pending: Sigpending, mask: int) -> int:
    """The lowest pending number that is not in `mask`, synchronous ones first; 0 = none."""
    x = pending.signal & ~mask
    if x == 0:
        return 0
    if x & SYNCHRONOUS_MASK:
        x &= SYNCHRONOUS_MASK
    return (x & -x).bit_length()


def collect_signal(sig: int, pending: Sigpending) -> KernelSiginfo:
    """Take the first queued `sig`; its bit goes when no other is queued."""
    first = -1
    still_pending = False
    for i, info in enumerate(pending.list):
        if info.si_signo == sig:
            if first < 0:
                first = i
            else:
                still_pending = True
                break
    if not still_pending:
        pending.signal &= ~sigmask(sig)
    if first < 0:
        # Sent without a siginfo: queue limit, or SIGKILL.
        return KernelSiginfo(sig, SI_USER)
    return pending.list.pop(first)


def dequeue_signal(tsk: TaskStruct, mask: int) -> KernelSiginfo | None:
    """The next signal not in `mask`: the thread's own first, then the process's."""
    info: KernelSiginfo | None = None
    sig = next_signal(tsk.pending, mask)
    if sig:
        info = collect_signal(sig, tsk.pending)
    else:
        sig = next_signal(tsk.signal.shared_pending, mask)
        if sig:
            info = collect_signal(sig, tsk.signal.shared_pending)
            if sig == SIGALRM:
                restart_it_real(tsk)
    recalc_sigpending(tsk)
    return info


def restart_it_real(tsk: TaskStruct) -> None:
    """A periodic ITIMER_REAL is armed again only when its SIGALRM is taken: slow takers get no pile of signals."""
    signal = tsk.signal
    timer = signal.real_timer
    if timer is not None and signal.it_real_incr and not timer.queued:
        now = tsk.kernel.timekeeper.now_ns
        missed = (now - timer.expires) // signal.it_real_incr + 1
        core_hrtimer.hrtimer_start(tsk.kernel, timer, timer.expires + missed * signal.it_real_incr)


def dequeue_synchronous_signal(tsk: TaskStruct) -> KernelSiginfo | None:
    """A queued fault of the current instruction, in the order of arrival, before whatever has a lower number."""
    pending = tsk.pending
    if not pending.signal & ~tsk.blocked & SYNCHRONOUS_MASK:
        return None
    for i, info in enumerate(pending.list):
        bit = sigmask(info.si_signo)
        if info.si_code > SI_USER and bit & SYNCHRONOUS_MASK & ~tsk.blocked:
            del pending.list[i]
            for other in pending.list:
                if other.si_signo == info.si_signo:
                    break
            else:
                pending.signal &= ~bit
                recalc_sigpending(tsk)
            return info
    return None


def get_signal(k: Kernel) -> tuple[KernelSiginfo, KSigaction] | None:
    """The next signal that has a handler, with a copy of its action; default actions are carried out on the way.

    None: nothing to handle, or the task has exited (`exit_state`).
    """
    current = k.current
    signal = current.signal
    while True:
        if signal.flags & SIGNAL_CLD_MASK:
            why = CLD_CONTINUED if signal.flags & SIGNAL_CLD_CONTINUED else CLD_STOPPED
            signal.flags &= ~SIGNAL_CLD_MASK
            do_notify_parent_cldstop(current, why)
        if signal.group_exit or signal.group_exit_task is not None:
            # The second: another thread executes a new program.
            current.pending.signal &= ~sigmask(SIGKILL)
            trace_signal_deliver(k, SIGKILL, SI_USER, 0, SIG_DFL)
            recalc_sigpending(current)
            core_exit.do_group_exit(k, SIGKILL)
            return None
        if current.jobctl & JOBCTL_STOP_PENDING:
            do_signal_stop(k, 0)
            continue
        info = dequeue_synchronous_signal(current)
        if info is None:
            info = dequeue_signal(current, current.blocked)
        if info is None:
            return None
        sig = info.si_signo
        ka = current.sighand.action[sig - 1]
        trace_signal_deliver(k, sig, info.si_code, info.si_addr, ka.sa_handler)
        if ka.sa_handler == SIG_IGN:
            continue
        if ka.sa_handler != SIG_DFL:
            taken = KSigaction(ka.sa_handler, ka.sa_flags, ka.sa_restorer, ka.sa_mask)
            if ka.sa_flags & SA_RESETHAND:
                ka.sa_handler = SIG_DFL
            return info, taken
        if SIG_KERNEL_IGNORE_MASK & sigmask(sig):
            continue
        if signal.flags & SIGNAL_UNKILLABLE:
            continue
        if SIG_KERNEL_STOP_MASK & sigmask(sig):
            if sig != SIGSTOP and core_exit.will_become_orphaned_pgrp(k, signal.pgrp, None):
                continue
            do_signal_stop(k, sig)
            continue
        code = sig
        if SIG_KERNEL_COREDUMP_MASK & sigmask(sig) and do_coredump(k, info):
            code |= 0x80
        core_exit.do_group_exit(k, code)
        return None


def do_coredump(k: Kernel, info: KernelSiginfo) -> bool:
    """Was a core written (0x80 in the status)? Never: RLIMIT_CORE is 0 by default, and no core file is written even so."""
    del k, info
    return False


def signal_delivered(k: Kernel, sig: int, ka: KSigaction, stepping: bool) -> None:
    """The frame stands: block what the handler wants blocked."""
    current = k.current
    current.restore_sigmask = False
    blocked = current.blocked | ka.sa_mask
    if not ka.sa_flags & SA_NODEFER:
        blocked |= sigmask(sig)
    set_current_blocked(k, blocked)
    # sas_ss_reset(): SS_AUTODISARM
    if current.sas_ss_flags & SS_AUTODISARM:
        sas_ss_reset(current)
    del stepping


# --- masks


def set_current_blocked(k: Kernel, newset: int) -> None:
    """Change the mask; SIGKILL and SIGSTOP stay out of it."""
    __set_task_blocked(k.current, newset & SIGSET_MASK & ~SIG_KERNEL_ONLY_MASK)


def __set_task_blocked(tsk: TaskStruct, newset: int) -> None:
    """What we block from now on but had been chosen to take, another thread shall take."""
    if tsk.tif_sigpending and tsk.signal.live > 1:
        newblocked = newset & ~tsk.blocked & tsk.signal.shared_pending.signal
        for t in tsk.signal.threads:
            if newblocked & ~t.blocked and t is not tsk and not t.flags & PF_EXITING and not t.tif_sigpending:
                signal_wake_up(t, False)
    tsk.blocked = newset
    recalc_sigpending(tsk)


def sigprocmask(k: Kernel, how: int, newset: int) -> None:
    """The three ways to change the mask. EINVAL for a fourth."""
    current = k.current
    if how == SIG_BLOCK:
        newset |= current.blocked
    elif how == SIG_UNBLOCK:
        newset = current.blocked & ~newset
    elif how != SIG_SETMASK:
        raise KernelError(EINVAL)
    __set_task_blocked(current, newset)


def set_user_sigmask(k: Kernel, newset: int) -> None:
    """For pselect and friends: a mask until the call ends; restored unless a handler runs first."""
    current = k.current
    current.restore_sigmask = True
    current.saved_sigmask = current.blocked
    set_current_blocked(k, newset)


def restore_saved_sigmask_unless(k: Kernel, interrupted: bool) -> None:
    """The call ends without being interrupted: the old mask comes back now."""
    if not interrupted:
        restore_saved_sigmask(k)


def restore_saved_sigmask(k: Kernel) -> None:
    """No handler takes the mask over: restore it."""
    current = k.current
    if current.restore_sigmask:
        current.restore_sigmask = False
        set_current_blocked(k, current.saved_sigmask)


def do_sigpending(k: Kernel) -> int:
    """sigpending(2): pending and blocked."""
    current = k.current
    return (current.pending.signal | current.signal.shared_pending.signal) & current.blocked


def do_sigaction(k: Kernel, sig: int, act: KSigaction | None) -> KSigaction:
    """Set (if `act`) and return the old action. EINVAL: no such signal, or one of SIGKILL and SIGSTOP is to be set."""
    current = k.current
    if not 1 <= sig <= _NSIG or (act is not None and SIG_KERNEL_ONLY_MASK & sigmask(sig)):
        raise KernelError(EINVAL)
    old = current.sighand.action[sig - 1]
    oact = KSigaction(old.sa_handler, old.sa_flags, old.sa_restorer, old.sa_mask)
    if act is not None:
        act.sa_mask &= ~SIG_KERNEL_ONLY_MASK
        current.sighand.action[sig - 1] = act
        # POSIX: a pending signal that is now ignored is discarded, blocked or not.
        if sig_handler_ignored(act.sa_handler, sig):
            flush_sigqueue_mask(sigmask(sig), current.signal.shared_pending)
            for t in current.signal.threads:
                flush_sigqueue_mask(sigmask(sig), t.pending)
            recalc_sigpending(current)
    return oact


def do_sigsuspend(k: Kernel, newset: int) -> int:
    """rt_sigsuspend(2): sleep under another mask until a signal is taken."""
    current = k.current
    current.saved_sigmask = current.blocked
    set_current_blocked(k, newset)
    while not signal_pending(current):
        core_sched.sleep(k, None, "rt_sigsuspend")
    current.restore_sigmask = True
    return -ERESTARTNOHAND


def do_pause(k: Kernel) -> int:
    """pause(2): sleep until a signal is taken."""
    while not signal_pending(k.current):
        core_sched.sleep(k, None, "pause")
    return -ERESTARTNOHAND


def do_sigtimedwait(k: Kernel, which: int, timeout_ns: int | None) -> KernelSiginfo:
    """rt_sigtimedwait(2): take a blocked signal of `which`; EAGAIN after the timeout, EINTR if another one came."""
    tsk = k.current
    mask = SIGSET_MASK & ~(which & ~SIG_KERNEL_ONLY_MASK)
    info = dequeue_signal(tsk, mask)
    if info is None and timeout_ns != 0:
        tsk.real_blocked = tsk.blocked
        tsk.blocked &= mask
        recalc_sigpending(tsk)
        expired = False
        if not signal_pending(tsk):
            expires = None if timeout_ns is None else k.timekeeper.now_ns + timeout_ns
            expired = core_sched.sleep(k, expires, "rt_sigtimedwait")
        tsk.blocked = tsk.real_blocked
        tsk.real_blocked = 0
        recalc_sigpending(tsk)
        info = dequeue_signal(tsk, mask)
        if info is None and not expired:
            raise KernelError(EINTR)
    if info is None:
        raise KernelError(EAGAIN)
    return info


# --- the alternate stack


def __on_sig_stack(tsk: TaskStruct, sp: int) -> bool:
    """`sp` lies on the alternate stack, whose first byte does not count and whose last + 1 does."""
    return sp > tsk.sas_ss_sp and sp - tsk.sas_ss_sp <= tsk.sas_ss_size


def on_sig_stack(tsk: TaskStruct, sp: int) -> bool:
    """Running on the alternate stack; with SS_AUTODISARM never, for it is disarmed while a handler runs."""
    if tsk.sas_ss_flags & SS_AUTODISARM:
        return False
    return __on_sig_stack(tsk, sp)


def sas_ss_flags(tsk: TaskStruct, sp: int) -> int:
    """SS_DISABLE without an alternate stack, SS_ONSTACK on it, 0 beside it."""
    if not tsk.sas_ss_size:
        return SS_DISABLE
    return SS_ONSTACK if on_sig_stack(tsk, sp) else 0


def sas_ss_reset(tsk: TaskStruct) -> None:
    """No alternate stack any more."""
    tsk.sas_ss_sp = 0
    tsk.sas_ss_size = 0
    tsk.sas_ss_flags = SS_DISABLE


def do_sigaltstack(k: Kernel, ss: tuple[int, int, int] | None, sp: int, min_ss_size: int = MINSIGSTKSZ) -> tuple[int, int, int]:
    """Set the alternate stack (ss_sp, ss_flags, ss_size) if given; the old one. EPERM on it, EINVAL flags, ENOMEM small."""
    t = k.current
    old = (t.sas_ss_sp, sas_ss_flags(t, sp) | (t.sas_ss_flags & SS_AUTODISARM), t.sas_ss_size)
    if ss is not None:
        ss_sp, ss_flags, ss_size = ss
        if on_sig_stack(t, sp):
            raise KernelError(EPERM)
        ss_mode = ss_flags & ~SS_AUTODISARM
        if ss_mode not in (SS_DISABLE, SS_ONSTACK, 0):
            raise KernelError(EINVAL)
        if ss_mode == SS_DISABLE:
            ss_size = 0
            ss_sp = 0
        elif ss_size < min_ss_size:
            raise KernelError(ENOMEM)
        t.sas_ss_sp = ss_sp
        t.sas_ss_size = ss_size
        t.sas_ss_flags = ss_flags
    return old


# --- the kernel log


def unhandled_signal(tsk: TaskStruct, sig: int) -> bool:
    """The signal has no handler: worth a line in the log."""
    return tsk.sighand.action[sig - 1].sa_handler in (SIG_DFL, SIG_IGN)


def print_user_regs(k: Kernel, regs: PtRegs) -> str:
    """comm[pid] and where it was, as the log lines of faults begin."""
    where = "ip" if user_mode(regs) else "kernel ip"
    return f"{k.current.comm}[{k.current.pid}] {where}:{regs.ip:x} sp:{regs.sp:x}"
