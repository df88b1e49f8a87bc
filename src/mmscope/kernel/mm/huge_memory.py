# SPDX-License-Identifier: GPL-2.0-or-later
"""Transparent huge pages (mm/huge_memory.c): so far only where a file's mapping is placed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.mm_types import MmStruct


def thp_get_unmapped_area(mm: MmStruct, filp: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """Where to map a file: aligned for huge pages only on a DAX inode, of which there are none (until v6.7)."""
    assert mm.get_unmapped_area is not None
    return mm.get_unmapped_area(mm, filp, addr, len, pgoff, flags)
