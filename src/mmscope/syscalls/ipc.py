# SPDX-License-Identifier: GPL-2.0-or-later
"""System V semaphores: arguments to ipc/sem.py."""

from __future__ import annotations

from mmscope.kernel.ipc.sem import do_semtimedop, ksys_semctl, ksys_semget
from mmscope.syscalls.args import s32, u32
from mmscope.syscalls.time import read_timespec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def semget(k: Kernel, regs: PtRegs) -> int:
    """semget(key, nsems, semflg)."""
    return ksys_semget(k, s32(regs.di), s32(regs.si), s32(regs.dx))


def semop(k: Kernel, regs: PtRegs) -> int:
    """semop(semid, tsops, nsops)."""
    return do_semtimedop(k, s32(regs.di), regs.si, u32(regs.dx), None)


def semtimedop(k: Kernel, regs: PtRegs) -> int:
    """semtimedop(semid, tsops, nsops, timeout)."""
    timeout = read_timespec(k, regs.r10) if regs.r10 else None
    return do_semtimedop(k, s32(regs.di), regs.si, u32(regs.dx), timeout)


def semctl(k: Kernel, regs: PtRegs) -> int:
    """semctl(semid, semnum, cmd, arg)."""
    return ksys_semctl(k, s32(regs.di), s32(regs.si), s32(regs.dx), regs.r10)
