# SPDX-License-Identifier: GPL-2.0-or-later
"""ptrace(2): argument decoding; the work is kernel/core/ptrace_request.py's."""

from __future__ import annotations

from mmscope.kernel.core.ptrace_request import sys_ptrace
from mmscope.syscalls.args import s32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def ptrace(k: Kernel, regs: PtRegs) -> int:
    """ptrace(request, pid, addr, data)."""
    return sys_ptrace(k, regs.di, s32(regs.si), regs.dx, regs.r10)
