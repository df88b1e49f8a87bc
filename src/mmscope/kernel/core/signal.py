# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending, queueing and taking signals (kernel/signal.c); jobctl.py stops and continues, sigprocmask.py blocks.

`force_sig*` is for faults (cannot be blocked or ignored), `send_sig*`, `do_tkill` and `kill_something_info` for everybody
else. get_signal() takes the next signal at the way back to user mode; arch/x86/signal.py builds the handler's frame.
"""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.sigaltstack as core_sigaltstack
import mmscope.kernel.core.sigprocmask as core_sigprocmask
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_KILL
from mmscope.kernel.include.errno import EAGAIN, EINVAL, EPERM, ESRCH, KernelError
from mmscope.kernel.include.ptrace import PT_SEIZED, user_mode
from mmscope.kernel.include.resource import RLIMIT_SIGPENDING
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    __TASK_TRACED,
    JOBCTL_PENDING_MASK,
    JOBCTL_STOP_DEQUEUED,
    JOBCTL_STOP_PENDING,
    JOBCTL_TRAP_MASK,
    PF_EXITING,
    SIGNAL_CLD_CONTINUED,
    SIGNAL_CLD_MASK,
    SIGNAL_CLD_STOPPED,
    SIGNAL_STOP_CONTINUED,
    SIGNAL_STOP_STOPPED,
    SIGNAL_UNKILLABLE,
    TASK_INTERRUPTIBLE,
    TASK_WAKEKILL,
)
from mmscope.kernel.include.signal import (
    _NSIG,
    CLD_CONTINUED,
    CLD_STOPPED,
    SA_NODEFER,
    SA_RESETHAND,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIG_DFL,
    SIG_IGN,
    SIG_KERNEL_COREDUMP_MASK,
    SIG_KERNEL_IGNORE_MASK,
    SIG_KERNEL_STOP_MASK,
    SIGALRM,
    SIGCONT,
    SIGKILL,
    SIGRTMIN,
    SIGSEGV,
    SIGSTOP,
    SIGTRAP,
    SS_AUTODISARM,
    SYNCHRONOUS_MASK,
    KernelSiginfo,
    KSigaction,
    Sigpending,
    sigmask,
)
from mmscope.kernel.tracepoint import trace_signal_deliver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct


# --- what a task does with a signal


def sig_handler_ignored(handler: int, sig: int) -> bool:
    """SIG_IGN, or SIG_DFL of a signal whose default is to be ignored."""
    return handler == SIG_IGN or (handler == SIG_DFL and SIG_KERNEL_IGNORE_MASK >> (sig - 1) & 1 != 0)


def sig_ignored(t: TaskStruct, sig: int) -> bool:
    """The signal need not even be queued. A blocked one must: the handler may change before it is unblocked.

    A tracer wants to see those that are ignored, too.
    """
    if (t.blocked | t.real_blocked) & sigmask(sig):
        return False
    if t.ptrace and sig != SIGKILL:
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


def recalc_sigpending_tsk(t: TaskStruct) -> None:
    """Set TIF_SIGPENDING if there is something to look at; never clear it: a call may have ended early because of it."""
    if has_pending_signals(t) or t.jobctl & JOBCTL_PENDING_MASK:
        t.tif_sigpending = True


def recalc_sigpending(t: TaskStruct) -> None:
    """Set TIF_SIGPENDING as the queues and the mask say."""
    t.tif_sigpending = has_pending_signals(t) or t.jobctl & JOBCTL_PENDING_MASK != 0


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
            core_jobctl.task_clear_jobctl_pending(t, JOBCTL_STOP_PENDING)
            if t.ptrace & PT_SEIZED:
                core_jobctl.ptrace_trap_notify(t)
            else:
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
    if p.state & (__TASK_STOPPED | __TASK_TRACED):
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
        if override or queued_signals(t) < t.signal.rlim[RLIMIT_SIGPENDING].rlim_cur:
            pending.list.append(info)
        elif sig >= SIGRTMIN and info.si_code not in (SI_USER, SI_KERNEL):
            raise KernelError(EAGAIN)
    pending.signal |= sigmask(sig)
    # signalfd_notify()
    core_wait.wake_up(t.sighand.signalfd_wqh)
    complete_signal(sig, t, group)


def queued_signals(t: TaskStruct) -> int:
    """What RLIMIT_SIGPENDING limits: user->sigpending, of this process only. Each POSIX timer owns one."""
    return len(t.pending.list) + len(t.signal.shared_pending.list) + len(t.signal.posix_timers)


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
    deadly = sig_fatal(p, sig) and (sig == SIGKILL or not p.ptrace)
    if deadly and not signal.group_exit and not t.real_blocked & sigmask(sig):
        if not SIG_KERNEL_COREDUMP_MASK & sigmask(sig):
            # flags = SIGNAL_GROUP_EXIT: a stop that was not reported yet never is.
            signal.flags = 0
            signal.group_exit = True
            signal.group_exit_code = sig
            signal.group_stop_count = 0
            for t in signal.threads:
                core_jobctl.task_clear_jobctl_pending(t, JOBCTL_PENDING_MASK)
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
        core_jobctl.task_clear_jobctl_pending(t, JOBCTL_PENDING_MASK)
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


def group_send_sig_info(k: Kernel, sig: int, info: KernelSiginfo, p: TaskStruct, group: bool = True) -> None:
    """Check, then send to the process, or (group False) to the thread; signal 0 only checks."""
    check_kill_permission(k, sig, p)
    if sig:
        do_send_sig_info(sig, info, p, group)


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
    if tsk.jobctl & JOBCTL_STOP_PENDING and core_jobctl.task_participate_group_stop(tsk):
        core_jobctl.do_notify_parent_cldstop(tsk, False, CLD_STOPPED)


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
    if sig and SIG_KERNEL_STOP_MASK & sigmask(sig):
        tsk.jobctl |= JOBCTL_STOP_DEQUEUED
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
            core_jobctl.do_notify_parent_cldstop(current, False, why)
            if core_jobctl.ptrace_reparented(current.group_leader):
                core_jobctl.do_notify_parent_cldstop(current.group_leader, True, why)
        if signal.group_exit or signal.group_exit_task is not None:
            # The second: another thread executes a new program.
            current.pending.signal &= ~sigmask(SIGKILL)
            trace_signal_deliver(k, SIGKILL, SI_USER, 0, SIG_DFL)
            recalc_sigpending(current)
            core_exit.do_group_exit(k, SIGKILL)
            return None
        if current.jobctl & JOBCTL_STOP_PENDING and core_jobctl.do_signal_stop(k, 0):
            continue
        if current.jobctl & JOBCTL_TRAP_MASK:
            core_jobctl.do_jobctl_trap(k)
            continue
        info = dequeue_synchronous_signal(current)
        shared = False
        if info is None:
            shared = next_signal(current.pending, current.blocked) == 0
            info = dequeue_signal(current, current.blocked)
        if info is None:
            return None
        if current.ptrace and info.si_signo != SIGKILL:
            info = core_jobctl.ptrace_signal(k, info, shared)
            if info is None:
                continue
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
            core_jobctl.do_signal_stop(k, sig)
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
    """The frame stands: block what the handler wants blocked; who is stepped stops at the handler's first instruction."""
    current = k.current
    current.restore_sigmask = False
    blocked = current.blocked | ka.sa_mask
    if not ka.sa_flags & SA_NODEFER:
        blocked |= sigmask(sig)
    core_sigprocmask.set_current_blocked(k, blocked)
    # sas_ss_reset(): SS_AUTODISARM
    if current.sas_ss_flags & SS_AUTODISARM:
        core_sigaltstack.sas_ss_reset(current)
    if stepping:
        core_jobctl.ptrace_notify(k, SIGTRAP, 0)


# --- the kernel log


def unhandled_signal(tsk: TaskStruct, sig: int) -> bool:
    """The signal has no handler: worth a line in the log."""
    return tsk.sighand.action[sig - 1].sa_handler in (SIG_DFL, SIG_IGN)


def print_user_regs(k: Kernel, regs: PtRegs) -> str:
    """comm[pid] and where it was, as the log lines of faults begin."""
    where = "ip" if user_mode(regs) else "kernel ip"
    return f"{k.current.comm}[{k.current.pid}] {where}:{regs.ip:x} sp:{regs.sp:x}"
