# SPDX-License-Identifier: GPL-2.0-or-later
"""Page geometry of x86-64 (asm/page_types.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 4096
PAGE_MASK: Final = ~4095

#: Highest user address + 1 with 4-level page tables: (1 << 47) - PAGE_SIZE.
TASK_SIZE: Final = 0x7FFFFFFFF000
TASK_SIZE_MAX: Final = 0x7FFFFFFFF000
STACK_TOP: Final = 0x7FFFFFFFF000
STACK_TOP_MAX: Final = 0x7FFFFFFFF000
#: The one page of vsyscalls, at a fixed address in the kernel's half.
VSYSCALL_ADDR: Final = 0xFFFFFFFFFF600000


def PAGE_ALIGN(addr: int) -> int:
    """Round `addr` (bytes) up to the next page boundary. Unlike C nothing wraps at 2**64: callers check."""
    return (addr + 4095) & ~4095
