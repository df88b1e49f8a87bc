# SPDX-License-Identifier: GPL-2.0-or-later
"""pidfd_open(2) and its relatives: argument decoding; the work is kernel/fs/pidfs.py's."""

from __future__ import annotations

import mmscope.kernel.fs.pidfs as pidfs
from mmscope.kernel.arch.x86.uaccess import copy_from_user
from mmscope.kernel.core.siginfo import siginfo_from_user
from mmscope.kernel.include.signal import KernelSiginfo
from mmscope.syscalls.args import s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def pidfd_open(k: Kernel, regs: PtRegs) -> int:
    """pidfd_open(pid, flags)."""
    return pidfs.do_pidfd_open(k, s32(regs.di), u32(regs.si))


def pidfd_getfd(k: Kernel, regs: PtRegs) -> int:
    """pidfd_getfd(pidfd, fd, flags)."""
    return pidfs.do_pidfd_getfd(k, u32(regs.di), u32(regs.si), u32(regs.dx))


def pidfd_send_signal(k: Kernel, regs: PtRegs) -> int:
    """pidfd_send_signal(pidfd, sig, info, flags)."""
    pidfd, signo = s32(regs.di), s32(regs.si)
    type = pidfs.pidfd_signal_type(k, pidfd, u32(regs.r10))
    info: KernelSiginfo | None = None
    info_signo = signo
    if regs.dx:
        raw = copy_from_user(k, regs.dx, 128)
        info = siginfo_from_user(raw, signo)
        info_signo = int.from_bytes(raw[0:4], "little", signed=True)
    return pidfs.do_pidfd_send_signal(k, pidfd, signo, info, info_signo, type)
