# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on the scheduler: policies, priorities, the CPU that there is (kernel/sched/core.c)."""

from __future__ import annotations

import mmscope.kernel.core.sched_syscalls as core
import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, get_user, put_user
from mmscope.kernel.core.sched import yield_task
from mmscope.kernel.include.errno import E2BIG, EINVAL, KernelError
from mmscope.syscalls.args import s32, u32
from mmscope.syscalls.time import timespec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

#: sizeof(struct sched_attr): the first version, and ours.
SCHED_ATTR_SIZE_VER0: Final = 48
SCHED_ATTR_SIZE: Final = 56


def sched_yield(k: Kernel, regs: PtRegs) -> int:
    """sched_yield()."""
    yield_task(k)
    return 0


def sched_getaffinity(k: Kernel, regs: PtRegs) -> int:
    """sched_getaffinity(pid, len, user_mask_ptr): CPU 0; returns the size of the kernel's mask."""
    length = u32(regs.si)
    if length < 1 or length & 7:
        raise KernelError(EINVAL)
    core_sys.find_task(k, s32(regs.di))
    copy_to_user(k, regs.dx, (1).to_bytes(8, "little"))
    return 8


def sched_setaffinity(k: Kernel, regs: PtRegs) -> int:
    """sched_setaffinity(pid, len, user_mask_ptr): EINVAL without CPU 0 in it."""
    length = min(u32(regs.si), 8)
    mask = int.from_bytes(copy_from_user(k, regs.dx, length), "little")
    core_sys.find_task(k, s32(regs.di))
    if not mask & 1:
        raise KernelError(EINVAL)
    return 0


def sched_getparam(k: Kernel, regs: PtRegs) -> int:
    """sched_getparam(pid, param)."""
    if not regs.si or s32(regs.di) < 0:
        raise KernelError(EINVAL)
    task = core_sys.find_task(k, s32(regs.di))
    copy_to_user(k, regs.si, task.rt_priority.to_bytes(4, "little"))
    return 0


def sched_getscheduler(k: Kernel, regs: PtRegs) -> int:
    """sched_getscheduler(pid)."""
    if s32(regs.di) < 0:
        raise KernelError(EINVAL)
    task = core_sys.find_task(k, s32(regs.di))
    return task.policy | (core.SCHED_RESET_ON_FORK if task.sched_reset_on_fork else 0)


def _setscheduler(k: Kernel, pid: int, policy: int, param: int) -> int:
    if not param or pid < 0:
        raise KernelError(EINVAL)
    prio = s32(get_user(k, param, 4))
    task = core_sys.find_task(k, pid)
    core.sched_setscheduler(k, task, policy, prio)
    return 0


def sched_setparam(k: Kernel, regs: PtRegs) -> int:
    """sched_setparam(pid, param)."""
    return _setscheduler(k, s32(regs.di), core.SETPARAM_POLICY, regs.si)


def sched_setscheduler(k: Kernel, regs: PtRegs) -> int:
    """sched_setscheduler(pid, policy, param)."""
    policy = s32(regs.si)
    if policy < 0:
        raise KernelError(EINVAL)
    return _setscheduler(k, s32(regs.di), policy, regs.dx)


def sched_get_priority_max(k: Kernel, regs: PtRegs) -> int:
    """sched_get_priority_max(policy)."""
    return _priority_limit(k, s32(regs.di), 99)


def sched_get_priority_min(k: Kernel, regs: PtRegs) -> int:
    """sched_get_priority_min(policy)."""
    return _priority_limit(k, s32(regs.di), 1)


def _priority_limit(k: Kernel, policy: int, realtime: int) -> int:
    if policy in (1, 2):
        return realtime
    if policy in (0, 3, 5, 6) or (policy == 7 and k.config.at_least(6, 12)):
        return 0
    raise KernelError(EINVAL)


def sched_rr_get_interval(k: Kernel, regs: PtRegs) -> int:
    """sched_rr_get_interval(pid, interval): 100 ms for SCHED_RR, a tick for normal tasks, 0 for SCHED_FIFO."""
    if s32(regs.di) < 0:
        raise KernelError(EINVAL)
    policy = core_sys.find_task(k, s32(regs.di)).policy
    copy_to_user(k, regs.si, timespec({1: 0, 2: 100_000_000}.get(policy, 4_000_000)))
    return 0


def sched_getattr(k: Kernel, regs: PtRegs) -> int:
    """sched_getattr(pid, attr, size, flags)."""
    pid, size = s32(regs.di), u32(regs.dx)
    if not regs.si or pid < 0 or not SCHED_ATTR_SIZE_VER0 <= size <= 4096 or u32(regs.r10):
        raise KernelError(EINVAL)
    size = min(size, SCHED_ATTR_SIZE)
    copy_to_user(k, regs.si, core.sched_attr_bytes(core_sys.find_task(k, pid), size))
    return 0


def sched_setattr(k: Kernel, regs: PtRegs) -> int:
    """sched_setattr(pid, attr, flags): E2BIG says in the attr's first word how large ours is."""
    pid = s32(regs.di)
    if not regs.si or pid < 0 or u32(regs.dx):
        raise KernelError(EINVAL)
    size = get_user(k, regs.si, 4) or SCHED_ATTR_SIZE_VER0
    if not SCHED_ATTR_SIZE_VER0 <= size <= 4096:
        put_user(k, regs.si, SCHED_ATTR_SIZE, 4)
        raise KernelError(E2BIG)
    raw = copy_from_user(k, regs.si, size)
    if any(raw[SCHED_ATTR_SIZE:]):
        put_user(k, regs.si, SCHED_ATTR_SIZE, 4)
        raise KernelError(E2BIG)
    policy, flags = s32(int.from_bytes(raw[4:8], "little")), int.from_bytes(raw[8:16], "little")
    nice, prio = s32(int.from_bytes(raw[16:20], "little")), int.from_bytes(raw[20:24], "little")
    if policy < 0:
        raise KernelError(EINVAL)
    core.sched_setattr(k, core_sys.find_task(k, pid), policy, flags, nice, prio)
    return 0
