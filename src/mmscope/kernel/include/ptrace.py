# SPDX-License-Identifier: GPL-2.0-or-later
"""struct pt_regs of x86-64 (asm/ptrace.h) and the segment selectors of user mode."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__USER_CS: Final = 0x33
__USER_DS: Final = 0x2B
__KERNEL_CS: Final = 0x10

X86_EFLAGS_CF: Final = 0x1
X86_EFLAGS_FIXED: Final = 0x2
X86_EFLAGS_PF: Final = 0x4
X86_EFLAGS_AF: Final = 0x10
X86_EFLAGS_ZF: Final = 0x40
X86_EFLAGS_SF: Final = 0x80
X86_EFLAGS_TF: Final = 0x100
X86_EFLAGS_IF: Final = 0x200
X86_EFLAGS_DF: Final = 0x400
X86_EFLAGS_OF: Final = 0x800
X86_EFLAGS_RF: Final = 0x10000
X86_EFLAGS_AC: Final = 0x40000


class PtRegs:
    """struct pt_regs: the user registers at a kernel entry. All values unsigned 64-bit ints.

    cpu/ fills it before the kernel runs and loads it back before the guest goes on.
    """

    def __init__(self) -> None:
        self.r15 = 0
        self.r14 = 0
        self.r13 = 0
        self.r12 = 0
        self.bp = 0
        self.bx = 0
        self.r11 = 0
        self.r10 = 0
        self.r9 = 0
        self.r8 = 0
        self.ax = 0
        self.cx = 0
        self.dx = 0
        self.si = 0
        self.di = 0
        #: The system call's number; 2**64 - 1 (-1) after any other entry.
        self.orig_ax = 0xFFFFFFFFFFFFFFFF
        self.ip = 0
        # __USER_CS and __USER_DS: Python mangles names with two leading underscores inside a class.
        self.cs = 0x33
        self.flags = X86_EFLAGS_FIXED | X86_EFLAGS_IF
        self.sp = 0
        self.ss = 0x2B


def user_mode(regs: PtRegs) -> bool:
    """The entry came from ring 3."""
    return regs.cs & 3 == 3
