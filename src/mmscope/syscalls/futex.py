# SPDX-License-Identifier: GPL-2.0-or-later
"""futex(2) and the robust list: argument decoding; the work is kernel/core/futex.py's."""

from __future__ import annotations

import mmscope.kernel.core.futex as core_futex
import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.arch.x86.uaccess import put_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.timekeeping import ktime_get_real_ns
from mmscope.kernel.include.capability import CAP_SYS_PTRACE
from mmscope.kernel.include.errno import EINVAL, ENOSYS, EPERM, KernelError
from mmscope.syscalls.args import s32, u32
from mmscope.syscalls.time import read_timespec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

FUTEX_WAIT: Final = 0
FUTEX_WAKE: Final = 1
FUTEX_REQUEUE: Final = 3
FUTEX_CMP_REQUEUE: Final = 4
FUTEX_WAKE_OP: Final = 5
FUTEX_LOCK_PI: Final = 6
FUTEX_UNLOCK_PI: Final = 7
FUTEX_TRYLOCK_PI: Final = 8
FUTEX_WAIT_BITSET: Final = 9
FUTEX_WAKE_BITSET: Final = 10
FUTEX_WAIT_REQUEUE_PI: Final = 11
FUTEX_LOCK_PI2: Final = 13
FUTEX_PRIVATE_FLAG: Final = 128
FUTEX_CLOCK_REALTIME: Final = 256


def futex(k: Kernel, regs: PtRegs) -> int:
    """futex(uaddr, op, val, utime or val2, uaddr2, val3)."""
    op = s32(regs.si)
    cmd = op & 0x7F
    uaddr, val, val2, val3 = regs.di, u32(regs.dx), s32(regs.r10), u32(regs.r9)
    shared = not op & FUTEX_PRIVATE_FLAG
    deadline: int | None = None
    if regs.r10 and cmd in (FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI, FUTEX_LOCK_PI2):
        ns = read_timespec(k, regs.r10)
        if ns < 0:
            raise KernelError(EINVAL)
        now = k.timekeeper.now_ns
        if cmd == FUTEX_WAIT:
            deadline = now + ns
        else:
            # Moments: FUTEX_LOCK_PI's are always of CLOCK_REALTIME.
            deadline = now + ns - (ktime_get_real_ns(k) if op & FUTEX_CLOCK_REALTIME or cmd == FUTEX_LOCK_PI else now)
    if op & FUTEX_CLOCK_REALTIME and cmd not in (FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_LOCK_PI2):
        raise KernelError(ENOSYS)
    if cmd in (FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI) or (cmd == FUTEX_LOCK_PI2 and k.config.at_least(5, 14)):
        import mmscope.kernel.core.futex_pi as futex_pi

        if cmd == FUTEX_UNLOCK_PI:
            return futex_pi.futex_unlock_pi(k, uaddr, shared)
        return futex_pi.futex_lock_pi(k, uaddr, shared, deadline, cmd == FUTEX_TRYLOCK_PI)
    if cmd == FUTEX_WAIT:
        return core_futex.futex_wait(k, uaddr, shared, val, deadline, core_futex.FUTEX_BITSET_MATCH_ANY)
    if cmd == FUTEX_WAIT_BITSET:
        return core_futex.futex_wait(k, uaddr, shared, val, deadline, val3)
    if cmd == FUTEX_WAKE:
        return core_futex.futex_wake(k, uaddr, s32(val), core_futex.FUTEX_BITSET_MATCH_ANY, shared)
    if cmd == FUTEX_WAKE_BITSET:
        return core_futex.futex_wake(k, uaddr, s32(val), val3, shared)
    if cmd == FUTEX_REQUEUE:
        return core_futex.futex_requeue(k, uaddr, shared, regs.r8, s32(val), val2, None)
    if cmd == FUTEX_CMP_REQUEUE:
        return core_futex.futex_requeue(k, uaddr, shared, regs.r8, s32(val), val2, val3)
    if cmd == FUTEX_WAKE_OP:
        return core_futex.futex_wake_op(k, uaddr, shared, regs.r8, s32(val), val2, val3)
    k.warn_once(f"system call futex: operation {cmd} is not implemented: ENOSYS")
    raise KernelError(ENOSYS)


def set_robust_list(k: Kernel, regs: PtRegs) -> int:
    """set_robust_list(head, len)."""
    if regs.si != 24:
        raise KernelError(EINVAL)
    k.current.robust_list = regs.di
    return 0


def get_robust_list(k: Kernel, regs: PtRegs) -> int:
    """get_robust_list(pid, head_ptr, len_ptr): EPERM for somebody else's."""
    task = core_sys.find_task(k, s32(regs.di))
    if task.cred.uid != k.current.cred.euid and not capable(k, CAP_SYS_PTRACE):
        raise KernelError(EPERM)
    put_user(k, regs.dx, 24, 8)
    put_user(k, regs.si, task.robust_list, 8)
    return 0
