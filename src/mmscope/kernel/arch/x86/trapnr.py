# SPDX-License-Identifier: GPL-2.0-or-later
"""The processor's exceptions (asm/trapnr.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

X86_TRAP_DE: Final = 0
X86_TRAP_DB: Final = 1
X86_TRAP_BP: Final = 3
X86_TRAP_OF: Final = 4
X86_TRAP_BR: Final = 5
X86_TRAP_UD: Final = 6
X86_TRAP_TS: Final = 10
X86_TRAP_NP: Final = 11
X86_TRAP_SS: Final = 12
X86_TRAP_GP: Final = 13
X86_TRAP_PF: Final = 14
X86_TRAP_MF: Final = 16
X86_TRAP_AC: Final = 17
X86_TRAP_XF: Final = 19
#: The gate of int 0x80 (asm/irq_vectors.h).
IA32_SYSCALL_VECTOR: Final = 0x80

#: DR6: a single step (asm/debugreg.h).
DR_STEP: Final = 0x4000
