# SPDX-License-Identifier: GPL-2.0-or-later
"""What a task blocks, handles and waits for (the system calls of kernel/signal.c): the mask, the dispositions, sigsuspend."""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EAGAIN, EINTR, EINVAL, ERESTARTNOHAND, KernelError
from mmscope.kernel.include.sched import PF_EXITING
from mmscope.kernel.include.signal import (
    _NSIG,
    SIG_BLOCK,
    SIG_KERNEL_ONLY_MASK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SIGSET_MASK,
    UAPI_SA_FLAGS,
    KernelSiginfo,
    KSigaction,
    sigmask,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct


def set_current_blocked(k: Kernel, newset: int) -> None:
    """Change the mask; SIGKILL and SIGSTOP stay out of it."""
    __set_task_blocked(k.current, newset & SIGSET_MASK & ~SIG_KERNEL_ONLY_MASK)


def __set_task_blocked(tsk: TaskStruct, newset: int) -> None:
    """What we block from now on but had been chosen to take, another thread shall take."""
    if tsk.tif_sigpending and tsk.signal.live > 1:
        newblocked = newset & ~tsk.blocked & tsk.signal.shared_pending.signal
        for t in tsk.signal.threads:
            if newblocked & ~t.blocked and t is not tsk and not t.flags & PF_EXITING and not t.tif_sigpending:
                core_signal.signal_wake_up(t, False)
    tsk.blocked = newset
    core_signal.recalc_sigpending(tsk)


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
        act.sa_flags &= UAPI_SA_FLAGS
        current.sighand.action[sig - 1] = act
        # POSIX: a pending signal that is now ignored is discarded, blocked or not.
        if core_signal.sig_handler_ignored(act.sa_handler, sig):
            core_signal.flush_sigqueue_mask(sigmask(sig), current.signal.shared_pending)
            for t in current.signal.threads:
                core_signal.flush_sigqueue_mask(sigmask(sig), t.pending)
            core_signal.recalc_sigpending(current)
    return oact


def do_sigsuspend(k: Kernel, newset: int) -> int:
    """rt_sigsuspend(2): sleep under another mask until a signal is taken."""
    current = k.current
    current.saved_sigmask = current.blocked
    set_current_blocked(k, newset)
    while not core_signal.signal_pending(current):
        core_sched.sleep(k, None, "rt_sigsuspend")
    current.restore_sigmask = True
    return -ERESTARTNOHAND


def do_pause(k: Kernel) -> int:
    """pause(2): sleep until a signal is taken."""
    while not core_signal.signal_pending(k.current):
        core_sched.sleep(k, None, "pause")
    return -ERESTARTNOHAND


def do_sigtimedwait(k: Kernel, which: int, timeout_ns: int | None) -> KernelSiginfo:
    """rt_sigtimedwait(2): take a blocked signal of `which`; EAGAIN after the timeout, EINTR if another one came."""
    tsk = k.current
    mask = SIGSET_MASK & ~(which & ~SIG_KERNEL_ONLY_MASK)
    info = core_signal.dequeue_signal(tsk, mask)
    if info is None and timeout_ns != 0:
        tsk.real_blocked = tsk.blocked
        tsk.blocked &= mask
        core_signal.recalc_sigpending(tsk)
        expired = False
        if not core_signal.signal_pending(tsk):
            expires = None if timeout_ns is None else k.timekeeper.now_ns + timeout_ns
            expired = core_sched.sleep(k, expires, "rt_sigtimedwait")
        tsk.blocked = tsk.real_blocked
        tsk.real_blocked = 0
        core_signal.recalc_sigpending(tsk)
        info = core_signal.dequeue_signal(tsk, mask)
        if info is None and not expired:
            raise KernelError(EINTR)
    if info is None:
        raise KernelError(EAGAIN)
    return info
