# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies and priorities (kernel/sched/core.c): kept and reported. The scheduler itself has one queue."""

from __future__ import annotations

from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_SYS_NICE
from mmscope.kernel.include.errno import EINVAL, EPERM, KernelError
from mmscope.kernel.include.resource import RLIMIT_NICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

SCHED_NORMAL: Final = 0
SCHED_FIFO: Final = 1
SCHED_RR: Final = 2
SCHED_BATCH: Final = 3
SCHED_IDLE: Final = 5
SCHED_DEADLINE: Final = 6
SCHED_RESET_ON_FORK: Final = 0x40000000
#: "As it is", of sched_setparam(2).
SETPARAM_POLICY: Final = -1

SCHED_FLAG_RESET_ON_FORK: Final = 0x01
SCHED_FLAG_KEEP_POLICY: Final = 0x08
SCHED_FLAG_KEEP_PARAMS: Final = 0x10
SCHED_FLAG_ALL: Final = 0x7F


def can_nice(k: Kernel, p: TaskStruct, nice: int) -> bool:
    """RLIMIT_NICE of `p` (20 - the lowest nice value), or CAP_SYS_NICE."""
    return 20 - nice <= p.signal.rlim[RLIMIT_NICE].rlim_cur or capable(k, CAP_SYS_NICE)


def sched_setscheduler(k: Kernel, p: TaskStruct, policy: int, prio: int) -> None:
    """The three old calls: the nice value stays. EINVAL, EPERM."""
    reset = p.sched_reset_on_fork
    if policy != SETPARAM_POLICY:
        reset = policy & SCHED_RESET_ON_FORK != 0
        policy &= ~SCHED_RESET_ON_FORK
    __sched_setscheduler(k, p, policy, prio, p.static_prio_nice, reset)


def sched_setattr(k: Kernel, p: TaskStruct, policy: int, flags: int, nice: int, prio: int) -> None:
    """sched_setattr(2). Deadlines are not implemented: EINVAL, with one warning."""
    if flags & ~SCHED_FLAG_ALL:
        raise KernelError(EINVAL)
    nice = max(-20, min(19, nice))
    if flags & SCHED_FLAG_KEEP_POLICY:
        policy = SETPARAM_POLICY
    if flags & SCHED_FLAG_KEEP_PARAMS:
        prio, nice = p.rt_priority, p.static_prio_nice
    if policy == SCHED_DEADLINE:
        k.warn_once("sched_setattr: SCHED_DEADLINE is not implemented: EINVAL")
        raise KernelError(EINVAL)
    __sched_setscheduler(k, p, policy, prio, nice, flags & SCHED_FLAG_RESET_ON_FORK != 0)


def __sched_setscheduler(k: Kernel, p: TaskStruct, policy: int, prio: int, nice: int, reset_on_fork: bool) -> None:
    """Check and set. EINVAL: no such policy, or a priority that it does not have; EPERM."""
    if policy == SETPARAM_POLICY:
        policy = p.policy
    if policy not in (SCHED_NORMAL, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE):
        raise KernelError(EINVAL)
    realtime = policy in (SCHED_FIFO, SCHED_RR)
    if prio > 99 or realtime != (prio != 0):
        raise KernelError(EINVAL)
    denied = realtime or (nice < p.static_prio_nice and not can_nice(k, p, nice)) or (p.sched_reset_on_fork and not reset_on_fork)
    if denied and not capable(k, CAP_SYS_NICE):
        raise KernelError(EPERM)
    p.policy = policy
    p.rt_priority = prio
    p.sched_reset_on_fork = reset_on_fork
    if not realtime:
        p.static_prio_nice = nice


def sched_attr_bytes(p: TaskStruct, size: int) -> bytes:
    """struct sched_attr, `size` bytes of it."""
    realtime = p.policy in (SCHED_FIFO, SCHED_RR)
    words = (
        size,
        p.policy,
        int(p.sched_reset_on_fork),
        0,
        0 if realtime else p.static_prio_nice,
        p.rt_priority if realtime else 0,
    )
    return b"".join([(word & 0xFFFFFFFF).to_bytes(4, "little") for word in words]).ljust(size, b"\0")


def sched_fork(p: TaskStruct) -> None:
    """A child of who asked for SCHED_RESET_ON_FORK is an ordinary task."""
    if p.sched_reset_on_fork:
        if p.policy in (SCHED_FIFO, SCHED_RR):
            p.policy, p.rt_priority, p.static_prio_nice = SCHED_NORMAL, 0, 0
        elif p.static_prio_nice < 0:
            p.static_prio_nice = 0
        p.sched_reset_on_fork = False
