# SPDX-License-Identifier: GPL-2.0-or-later
"""Futexes whose owner the kernel knows (kernel/futex/pi.c, before v5.16 in futex.c): FUTEX_LOCK_PI and its relatives.

The word holds the owner's thread id; FUTEX_WAITERS sends the owner's unlock here; FUTEX_OWNER_DIED: the last owner died with
it. Linux lends the owner the highest priority of those who wait. Here nobody has one: they wait in order, and only who
owns what is kept, for the hand-over, for dead owners and for deadlocks.

    word: tid | FUTEX_WAITERS        PiState: owner <- waiters, in k.futex_queues
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.uaccess as uaccess
import mmscope.kernel.core.futex as core_futex
import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EAGAIN, EDEADLK, EFAULT, EINVAL, EPERM, ERESTARTNOINTR, ESRCH, ETIMEDOUT, KernelError
from mmscope.kernel.include.sched import PF_EXITING, TASK_INTERRUPTIBLE, TASK_RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["PiState", "exit_pi_state_list", "futex_lock_pi", "futex_unlock_pi"]


class PiState:
    """struct futex_pi_state: a futex that somebody waits for. In the owner's pi_state_list."""

    def __init__(self, owner: TaskStruct) -> None:
        #: None: it died, and the next owner has not run yet.
        self.owner: TaskStruct | None = owner
        owner.pi_state_list.append(self)
        #: In order.
        self.waiters: list[core_futex.FutexQ] = []


def set_owner(pi_state: PiState, owner: TaskStruct | None) -> None:
    """pi_state_update_owner()."""
    if pi_state.owner is not None:
        pi_state.owner.pi_state_list.remove(pi_state)
    pi_state.owner = owner
    if owner is not None:
        owner.pi_state_list.append(pi_state)


def futex_top_waiter(k: Kernel, key: tuple[object, int]) -> core_futex.FutexQ | None:
    """Who has waited longest."""
    queue = k.futex_queues.get(key)
    return queue[0] if queue else None


def attach_to_pi_state(uval: int, pi_state: PiState | None) -> PiState:
    """Others wait already. EINVAL: the word does not say what is known here."""
    pid = uval & core_futex.FUTEX_TID_MASK
    if pi_state is None:
        # They wait by FUTEX_WAIT.
        raise KernelError(EINVAL)
    if uval & core_futex.FUTEX_OWNER_DIED:
        if pi_state.owner is None and pid:
            raise KernelError(EINVAL)
        if not pid:
            return pi_state
    if pi_state.owner is None or pid != pi_state.owner.pid:
        raise KernelError(EINVAL)
    return pi_state


def attach_to_pi_owner(k: Kernel, uval: int) -> PiState:
    """The first to wait. ESRCH: there is no such thread, or it is dead."""
    p = k.tasks.get(uval & core_futex.FUTEX_TID_MASK)
    if p is None or p.exit_state or p.flags & PF_EXITING:
        raise KernelError(ESRCH)
    return PiState(p)


def futex_lock_pi_atomic(k: Kernel, uaddr: int, key: tuple[object, int]) -> PiState | None:
    """Take the lock if it is free: None. Else whom to wait for; the word then has FUTEX_WAITERS. EDEADLK: it is ours."""
    current = k.current
    uval = uaccess.get_user(k, uaddr, 4)
    if uval & core_futex.FUTEX_TID_MASK == current.pid:
        raise KernelError(EDEADLK)
    top_waiter = futex_top_waiter(k, key)
    if top_waiter is not None:
        return attach_to_pi_state(uval, top_waiter.pi_state)
    if not uval & core_futex.FUTEX_TID_MASK:
        uaccess.put_user(k, uaddr, uval & core_futex.FUTEX_OWNER_DIED | current.pid, 4)
        return None
    uval |= core_futex.FUTEX_WAITERS
    uaccess.put_user(k, uaddr, uval, 4)
    return attach_to_pi_owner(k, uval)


def would_deadlock(current: TaskStruct, pi_state: PiState) -> bool:
    """The owner waits, by others or not, for what `current` owns (rt_mutex_adjust_prio_chain)."""
    state: PiState | None = pi_state
    while state is not None and state.owner is not None:
        if state.owner is current:
            return True
        state = state.owner.pi_blocked_on
    return False


def leave(k: Kernel, q: core_futex.FutexQ, pi_state: PiState) -> None:
    """No longer wait. With the last waiter the state goes."""
    core_futex.unqueue_me(k, q)
    pi_state.waiters.remove(q)
    if not pi_state.waiters:
        set_owner(pi_state, None)


def futex_lock_pi(k: Kernel, uaddr: int, shared: bool, abs_time: int | None, trylock: bool) -> int:
    """Lock, waiting until CLOCK_MONOTONIC `abs_time`, ns (None: for ever): 0.

    EAGAIN (trylock), ETIMEDOUT, EDEADLK, ESRCH, EINVAL; a signal restarts it.
    """
    current = k.current
    key = core_futex.get_futex_key(k, uaddr, shared)
    pi_state = futex_lock_pi_atomic(k, uaddr, key)
    if pi_state is None:
        return 0
    q = core_futex.FutexQ(current, key, core_futex.FUTEX_BITSET_MATCH_ANY)
    q.pi_state = pi_state
    pi_state.waiters.append(q)
    core_futex.queue_me(k, q)
    error = 0
    if trylock:
        error = EAGAIN
    elif would_deadlock(current, pi_state):
        error = EDEADLK
    current.pi_blocked_on = pi_state
    while not error and not q.granted:
        current.state = TASK_INTERRUPTIBLE
        current.wchan = "futex(FUTEX_LOCK_PI)"
        expired = core_hrtimer.schedule_hrtimeout(k, abs_time)
        current.state = TASK_RUNNING
        current.wchan = ""
        if not q.granted:
            if expired:
                error = ETIMEDOUT
            elif core_signal.signal_pending(current):
                error = ERESTARTNOINTR
    current.pi_blocked_on = None
    if not error and pi_state.owner is None:
        # fixup_pi_state_owner(): the last one died with it.
        set_owner(pi_state, current)
        try:
            uaccess.put_user(k, uaddr, core_futex.FUTEX_OWNER_DIED | core_futex.FUTEX_WAITERS | current.pid, 4)
        except KernelError as e:
            error = e.errno or EFAULT
    leave(k, q, pi_state)
    if error:
        raise KernelError(error)
    return 0


def grant(pi_state: PiState, new_owner: TaskStruct | None) -> None:
    """The next in order is woken, and owns it; after a death (None) only when it has run. Till then it stands in the queue."""
    q = pi_state.waiters[0]
    q.granted = True
    q.task.pi_blocked_on = None
    set_owner(pi_state, new_owner)
    core_sched.wake_up_process(q.task)


def futex_unlock_pi(k: Kernel, uaddr: int, shared: bool) -> int:
    """Hand the lock to who has waited longest; FUTEX_WAITERS stays set. EPERM: it is not ours; EINVAL: not as far as known."""
    current = k.current
    uval = uaccess.get_user(k, uaddr, 4)
    if uval & core_futex.FUTEX_TID_MASK != current.pid:
        raise KernelError(EPERM)
    key = core_futex.get_futex_key(k, uaddr, shared)
    top_waiter = futex_top_waiter(k, key)
    if top_waiter is None:
        uaccess.put_user(k, uaddr, 0, 4)
        return 0
    pi_state = top_waiter.pi_state
    if pi_state is None or pi_state.owner is not current:
        raise KernelError(EINVAL)
    uaccess.put_user(k, uaddr, core_futex.FUTEX_WAITERS | pi_state.waiters[0].task.pid, 4)
    grant(pi_state, pi_state.waiters[0].task)
    return 0


def exit_pi_state_list(k: Kernel, curr: TaskStruct) -> None:
    """The thread goes: who waits for what it owned gets that, and is told (FUTEX_OWNER_DIED)."""
    while curr.pi_state_list:
        grant(curr.pi_state_list[0], None)
