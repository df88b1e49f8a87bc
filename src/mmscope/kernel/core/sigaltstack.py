# SPDX-License-Identifier: GPL-2.0-or-later
"""The alternate signal stack (kernel/signal.c, sas_ss_* of include/linux/sched/signal.h)."""

from __future__ import annotations

from mmscope.kernel.include.errno import EINVAL, ENOMEM, EPERM, KernelError
from mmscope.kernel.include.signal import MINSIGSTKSZ, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct


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
