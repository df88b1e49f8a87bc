# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries that are neither empty nor present (include/linux/swapops.h, arch/x86/include/asm/pgtable_64.h): so far PTE markers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

#: Bits of the type, in numbers that tell both.
MAX_SWAPFILES_SHIFT: Final = 5
#: Accesses fail: MADV_GUARD_INSTALL (since v6.13).
PTE_MARKER_GUARD: Final = 4
#: The swap type of markers, the last of 32: bits 59 to 63.
SWP_PTE_MARKER: Final = 31
#: The offset stands inverted in bits 9 to 58 (lest a table of zeros point to memory), _PAGE_PRESENT and _PAGE_PROTNONE are clear.
_GUARD: Final = ((~PTE_MARKER_GUARD << 14 & 0xFFFFFFFFFFFFFFFF) >> 5 | SWP_PTE_MARKER << 59) - (1 << 64)


def make_guard_pte_marker() -> i64:
    """make_pte_marker(PTE_MARKER_GUARD)"""
    return _GUARD


def is_guard_pte_marker(pte: i64) -> bool:
    """The entry guards its page."""
    return pte == _GUARD
