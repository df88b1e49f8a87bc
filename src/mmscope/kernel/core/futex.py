# SPDX-License-Identifier: GPL-2.0-or-later
"""Fast user-space mutexes (kernel/futex.c): sleep while a word of user memory has a value, be woken by its key.

A key is the place that the word has for all who see it: (mm, address) for private futexes and private anonymous pages,
(inode, offset) for pages of files and of shared memory. Those with an owner stand in futex_pi.py.
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.uaccess as uaccess
import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.mm.gup as mm_gup
import mmscope.kernel.mm.page_alloc as mm_page_alloc
from mmscope.kernel.include.errno import (
    EAGAIN,
    EFAULT,
    EINVAL,
    ENOSYS,
    ERESTART_RESTARTBLOCK,
    ERESTARTSYS,
    ETIMEDOUT,
    KernelError,
)
from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.core.futex_pi import PiState
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "FUTEX_BITSET_MATCH_ANY", "FutexQ", "exit_robust_list", "futex_exit_release", "futex_requeue", "futex_wait",
    "futex_wait_restart", "futex_wake", "futex_wake_op",
]  # fmt: skip

FUTEX_BITSET_MATCH_ANY: Final = 0xFFFFFFFF
FUTEX_WAITERS: Final = 0x80000000
FUTEX_OWNER_DIED: Final = 0x40000000
FUTEX_TID_MASK: Final = 0x3FFFFFFF
#: A robust list that is longer, or circular, is left alone from there on.
ROBUST_LIST_LIMIT: Final = 2048

FUTEX_OP_OPARG_SHIFT: Final = 8

_U32: Final = 0xFFFFFFFF


class FutexQ:
    """struct futex_q: a waiter. `key` None: it has been woken."""

    def __init__(self, task: TaskStruct, key: tuple[object, int], bitset: int) -> None:
        self.task = task
        self.key: tuple[object, int] | None = key
        self.bitset = bitset
        #: Waits in FUTEX_LOCK_PI for this; it is its turn.
        self.pi_state: PiState | None = None
        self.granted = False


def get_futex_key(k: Kernel, uaddr: int, shared: bool) -> tuple[object, int]:
    """The key of the word at `uaddr`. EINVAL: not aligned; EFAULT: not mapped, or (shared) a private page that is read-only."""
    mm = k.current.mm
    if uaddr % 4:
        raise KernelError(EINVAL)
    if not uaccess.access_ok(uaddr, 4) or mm is None:
        raise KernelError(EFAULT)
    if not shared:
        return mm, uaddr
    writable = True
    try:
        pages = mm_gup.get_user_pages_fast(k, uaddr & -4096, 1, FOLL_WRITE)
    except KernelError:
        writable = False
        try:
            pages = mm_gup.get_user_pages_fast(k, uaddr & -4096, 1, 0)
        except KernelError:
            raise KernelError(EFAULT) from None
    if not pages:
        raise KernelError(EFAULT)
    page = pages[0]
    mapping = page.mapping
    index = page.index
    mm_page_alloc.put_page(page)
    if isinstance(mapping, AddressSpace):
        return mapping.host, index << 12 | uaddr & 4095
    if not writable:
        raise KernelError(EFAULT)
    return mm, uaddr


def queue_me(k: Kernel, q: FutexQ) -> None:
    """Stand at the end of the key's queue."""
    assert q.key is not None
    k.futex_queues.setdefault(q.key, []).append(q)


def unqueue_me(k: Kernel, q: FutexQ) -> bool:
    """Leave the queue. False: a waker was faster."""
    if q.key is None:
        return False
    waiters = k.futex_queues[q.key]
    waiters.remove(q)
    if not waiters:
        del k.futex_queues[q.key]
    q.key = None
    return True


def futex_wait(k: Kernel, uaddr: int, shared: bool, val: int, abs_time: int | None, bitset: int) -> int:
    """Sleep while the word is `val`, until woken (0) or until CLOCK_MONOTONIC `abs_time`, ns. EAGAIN: it is not `val`."""
    if not bitset:
        raise KernelError(EINVAL)
    current = k.current
    while True:
        key = get_futex_key(k, uaddr, shared)
        if uaccess.get_user(k, uaddr, 4) != val:
            raise KernelError(EAGAIN)
        q = FutexQ(current, key, bitset)
        queue_me(k, q)
        current.state = TASK_INTERRUPTIBLE
        current.wchan = "futex(FUTEX_WAIT)"
        expired = core_hrtimer.schedule_hrtimeout(k, abs_time)
        current.state = TASK_RUNNING
        current.wchan = ""
        if not unqueue_me(k, q):
            return 0
        if expired:
            raise KernelError(ETIMEDOUT)
        if core_signal.signal_pending(current):
            if abs_time is None:
                return -ERESTARTSYS
            current.restart_clockid = -1
            current.restart_futex = (uaddr, shared, val, abs_time, bitset)
            return -ERESTART_RESTARTBLOCK


def futex_wait_restart(k: Kernel, data: tuple[int, bool, int, int, int]) -> int:
    """An interrupted wait with a timeout goes on until the same moment."""
    return futex_wait(k, data[0], data[1], data[2], data[3], data[4])


def wake_futex(k: Kernel, q: FutexQ) -> None:
    """Take `q` out of its queue and wake its task."""
    unqueue_me(k, q)
    core_sched.wake_up_process(q.task)


def futex_wake(k: Kernel, uaddr: int, nr_wake: int, bitset: int, shared: bool) -> int:
    """Wake up to `nr_wake` waiters whose bitset meets `bitset`, first come first served: how many."""
    if not bitset:
        raise KernelError(EINVAL)
    return wake_key(k, get_futex_key(k, uaddr, shared), nr_wake, bitset)


def wake_key(k: Kernel, key: tuple[object, int], nr_wake: int, bitset: int) -> int:
    """The same for a key. At least one is woken, whatever `nr_wake` says."""
    ret = 0
    for q in list(k.futex_queues.get(key, ())):
        if q.pi_state is not None:
            raise KernelError(EINVAL)
        if q.bitset & bitset:
            wake_futex(k, q)
            ret += 1
            if ret >= nr_wake:
                break
    return ret


def futex_requeue(k: Kernel, uaddr1: int, shared: bool, uaddr2: int, nr_wake: int, nr_requeue: int, cmpval: int | None) -> int:
    """Wake `nr_wake` waiters of the first word, move `nr_requeue` to the second: how many in all. EAGAIN: it is not `cmpval`."""
    if nr_wake < 0 or nr_requeue < 0:
        raise KernelError(EINVAL)
    key1 = get_futex_key(k, uaddr1, shared)
    key2 = get_futex_key(k, uaddr2, shared)
    if cmpval is not None and uaccess.get_user(k, uaddr1, 4) != cmpval:
        raise KernelError(EAGAIN)
    count = 0
    for q in list(k.futex_queues.get(key1, ())):
        if count - nr_wake >= nr_requeue:
            break
        if q.pi_state is not None:
            raise KernelError(EINVAL)
        count += 1
        if count <= nr_wake:
            wake_futex(k, q)
        elif key1 != key2:
            unqueue_me(k, q)
            q.key = key2
            queue_me(k, q)
    return count


def futex_atomic_op_inuser(k: Kernel, encoded_op: int, uaddr: int) -> bool:
    """FUTEX_WAKE_OP's operation on the second word; does its old value compare as asked?"""
    op = encoded_op >> 28 & 7
    cmp = encoded_op >> 24 & 15
    oparg = sign_extend12(encoded_op >> 12 & 0xFFF)
    cmparg = sign_extend12(encoded_op & 0xFFF)
    if encoded_op >> 28 & FUTEX_OP_OPARG_SHIFT:
        oparg = 1 << (oparg & 31)
    if not uaccess.access_ok(uaddr, 4):
        raise KernelError(EFAULT)
    old = uaccess.get_user(k, uaddr, 4)
    results = (oparg, old + oparg, old | oparg, old & ~oparg, old ^ oparg)
    if op >= len(results):
        raise KernelError(ENOSYS)
    uaccess.put_user(k, uaddr, results[op] & _U32, 4)
    signed = old - (1 << 32) if old & 0x80000000 else old
    # FUTEX_OP_CMP_EQ, NE, LT, LE, GT, GE
    compared = (signed == cmparg, signed != cmparg, signed < cmparg, signed <= cmparg, signed > cmparg, signed >= cmparg)
    if cmp >= len(compared):
        raise KernelError(ENOSYS)
    return compared[cmp]


def sign_extend12(value: int) -> int:
    """A 12-bit field as an int."""
    return value - 0x1000 if value & 0x800 else value


def futex_wake_op(k: Kernel, uaddr1: int, shared: bool, uaddr2: int, nr_wake: int, nr_wake2: int, op: int) -> int:
    """Change the second word, wake waiters of the first, and of the second if its old value was as asked."""
    key1 = get_futex_key(k, uaddr1, shared)
    key2 = get_futex_key(k, uaddr2, shared)
    matches = futex_atomic_op_inuser(k, op, uaddr2)
    ret = wake_key(k, key1, nr_wake, FUTEX_BITSET_MATCH_ANY)
    if matches:
        ret += wake_key(k, key2, nr_wake2, FUTEX_BITSET_MATCH_ANY)
    return ret


# --- robust futexes


def futex_exit_release(k: Kernel, curr: TaskStruct) -> None:
    """The thread leaves its address space: what it still holds becomes others'."""
    exit_robust_list(k, curr)
    if curr.pi_state_list:
        import mmscope.kernel.core.futex_pi as futex_pi

        futex_pi.exit_pi_state_list(k, curr)


def exit_robust_list(k: Kernel, curr: TaskStruct) -> None:
    """The thread goes: what it still holds of its robust list is marked FUTEX_OWNER_DIED, and one waiter is woken."""
    head = curr.robust_list
    curr.robust_list = 0
    if not head:
        return
    try:
        entry = uaccess.get_user(k, head, 8)
        futex_offset = uaccess.get_user(k, head + 8, 8)
        pending = uaccess.get_user(k, head + 16, 8)
        limit = ROBUST_LIST_LIMIT
        while entry & ~1 != head and limit:
            following = uaccess.get_user(k, entry & ~1, 8)
            # The pending one comes last.
            if entry & ~1 != pending & ~1:
                handle_futex_death(k, curr, (entry & ~1) + futex_offset & 0xFFFFFFFFFFFFFFFF, entry & 1, False)
            entry = following
            limit -= 1
        if pending:
            handle_futex_death(k, curr, (pending & ~1) + futex_offset & 0xFFFFFFFFFFFFFFFF, pending & 1, True)
    except KernelError:
        return


def handle_futex_death(k: Kernel, curr: TaskStruct, uaddr: int, pi: int, pending_op: bool) -> None:
    """One lock of a dead owner."""
    if uaddr % 4:
        raise KernelError(EINVAL)
    uval = uaccess.get_user(k, uaddr, 4)
    if pending_op and not pi and not uval:
        # Unlocked already, but perhaps the waiter was not woken yet.
        futex_wake(k, uaddr, 1, FUTEX_BITSET_MATCH_ANY, True)
        return
    if uval & FUTEX_TID_MASK != curr.pid:
        return
    uaccess.put_user(k, uaddr, uval & FUTEX_WAITERS | FUTEX_OWNER_DIED, 4)
    if not pi and uval & FUTEX_WAITERS:
        futex_wake(k, uaddr, 1, FUTEX_BITSET_MATCH_ANY, True)
