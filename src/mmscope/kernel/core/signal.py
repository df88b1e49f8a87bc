# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending, queueing, blocking and taking signals (kernel/signal.c), for processes of one thread.

`force_sig*` is for faults (cannot be blocked or ignored), `send_sig*`, `do_tkill` and `kill_something_info` for everybody
else. get_signal() takes the next signal at the way back to user mode; arch/x86/signal.py builds the handler's frame.
"""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.sched import deadlock, schedule_hrtimeout
from mmscope.kernel.include.capability import CAP_KILL
from mmscope.kernel.include.errno import EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTNOHAND, ESRCH, KernelError
from mmscope.kernel.include.ptrace import user_mode
from mmscope.kernel.include.resource import RLIMIT_SIGPENDING
from mmscope.kernel.include.signal import (
    _NSIG,
    MINSIGSTKSZ,
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
    return sig_handler_ignored(t.sighand.action[sig - 1].sa_handler, sig)


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
    t.tif_sigpending = has_pending_signals(t)


def signal_pending(t: TaskStruct) -> bool:
    """The task must look at its signals before it returns to user mode; sleeps end."""
    return t.tif_sigpending


def fatal_signal_pending(t: TaskStruct) -> bool:
    """A SIGKILL is on its way."""
    return t.tif_sigpending and t.pending.signal & sigmask(SIGKILL) != 0


# --- sending


def flush_sigqueue_mask(mask: int, s: Sigpending) -> None:
    """Take the signals of `mask` out of a queue."""
    if s.signal & mask:
        s.signal &= ~mask
        s.list = [info for info in s.list if not sigmask(info.si_signo) & mask]


def prepare_signal(sig: int, p: TaskStruct) -> bool:
    """The side effects of sending, handled or not: stop and continue cancel each other. False: drop the signal."""
    if p.signal.group_exit:
        pass  # dying already
    elif SIG_KERNEL_STOP_MASK & sigmask(sig):
        flush_sigqueue_mask(sigmask(SIGCONT), p.signal.shared_pending)
        flush_sigqueue_mask(sigmask(SIGCONT), p.pending)
    elif sig == SIGCONT:
        flush_sigqueue_mask(SIG_KERNEL_STOP_MASK, p.signal.shared_pending)
        flush_sigqueue_mask(SIG_KERNEL_STOP_MASK, p.pending)
    return not sig_ignored(p, sig)


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
    complete_signal(sig, t)


def complete_signal(sig: int, p: TaskStruct) -> None:
    """Wake the task if it wants the signal; one that surely kills starts the exit at once, before queued handlers."""
    if p.blocked & sigmask(sig) or p.exit_state:
        return
    if sig_fatal(p, sig) and not p.signal.group_exit and not p.real_blocked & sigmask(sig):
        if not SIG_KERNEL_COREDUMP_MASK & sigmask(sig):
            p.signal.group_exit = True
            p.signal.group_exit_code = sig
            p.pending.signal |= sigmask(SIGKILL)
    p.tif_sigpending = True


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
    sent = False
    error = ESRCH
    for number in sorted(k.tasks):
        task = k.tasks[number]
        if pid == -1:
            if task is k.current or task.pid <= 1:
                continue
        elif task.signal.pgrp != (-pid if pid else k.current.signal.pgrp):
            continue
        try:
            group_send_sig_info(k, sig, info, task)
            sent = True
        except KernelError as e:
            error = e.errno or EPERM
    if not sent:
        raise KernelError(error)


def do_tkill(k: Kernel, tgid: int, pid: int, sig: int) -> None:
    """tkill(2), and tgkill(2) when tgid > 0: to one thread, code SI_TKILL."""
    p = k.tasks.get(pid)
    if p is None or (tgid > 0 and p.tgid != tgid):
        raise KernelError(ESRCH)
    check_kill_permission(k, sig, p)
    if sig:
        do_send_sig_info(sig, KernelSiginfo(sig, SI_TKILL, 0, k.current.tgid, k.current.cred.uid), p, False)


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
    if signal.it_real_incr and signal.it_real_expires == 0:
        # it_real_fn left the time of the last expiry in it_real_last.
        now = tsk.kernel.timekeeper.now_ns
        missed = (now - signal.it_real_last) // signal.it_real_incr + 1
        signal.it_real_expires = signal.it_real_last + missed * signal.it_real_incr


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


def is_current_pgrp_orphaned(k: Kernel) -> bool:
    """No parent in the same session but another group could continue a stopped member."""
    current = k.current
    parent = k.tasks.get(current.ppid)
    if parent is None:
        return True
    return parent.signal.pgrp == current.signal.pgrp or parent.signal.session != current.signal.session


def get_signal(k: Kernel) -> tuple[KernelSiginfo, KSigaction] | None:
    """The next signal that has a handler, with a copy of its action; default actions are carried out on the way.

    None: nothing to handle, or the task has exited (`exit_state`).
    """
    current = k.current
    signal = current.signal
    while True:
        if signal.group_exit:
            current.pending.signal &= ~sigmask(SIGKILL)
            trace_signal_deliver(k, SIGKILL, SI_USER, 0, SIG_DFL)
            recalc_sigpending(current)
            core_exit.do_group_exit(k, SIGKILL)
            return None
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
        if SIG_KERNEL_STOP_MASK & sigmask(sig):
            if sig != SIGSTOP and is_current_pgrp_orphaned(k):
                continue
            deadlock(k, f"{current.comm}[{current.pid}] is stopped by signal {sig} and nobody can continue it")
            continue
        code = sig
        if SIG_KERNEL_COREDUMP_MASK & sigmask(sig) and do_coredump(k, info):
            code |= 0x80
        core_exit.do_group_exit(k, code)
        return None


def do_coredump(k: Kernel, info: KernelSiginfo) -> bool:
    """Was a core written (0x80 in the status)? Never: RLIMIT_CORE is 0 by default, and beyond it the root is read-only."""
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
    current = k.current
    current.blocked = newset & SIGSET_MASK & ~SIG_KERNEL_ONLY_MASK
    recalc_sigpending(current)


def sigprocmask(k: Kernel, how: int, newset: int) -> None:
    """The three ways to change the mask. EINVAL for a fourth."""
    current = k.current
    if how == SIG_BLOCK:
        current.blocked |= newset
    elif how == SIG_UNBLOCK:
        current.blocked &= ~newset
    elif how == SIG_SETMASK:
        current.blocked = newset
    else:
        raise KernelError(EINVAL)
    recalc_sigpending(current)


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
            flush_sigqueue_mask(sigmask(sig), current.pending)
            recalc_sigpending(current)
    return oact


def do_sigsuspend(k: Kernel, newset: int) -> int:
    """rt_sigsuspend(2): sleep under another mask until a signal is taken."""
    current = k.current
    current.saved_sigmask = current.blocked
    set_current_blocked(k, newset)
    while not signal_pending(current):
        schedule_hrtimeout(k, None, "rt_sigsuspend")
    current.restore_sigmask = True
    return -ERESTARTNOHAND


def do_pause(k: Kernel) -> int:
    """pause(2): sleep until a signal is taken."""
    while not signal_pending(k.current):
        schedule_hrtimeout(k, None, "pause")
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
            expired = schedule_hrtimeout(k, expires, "rt_sigtimedwait")
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
