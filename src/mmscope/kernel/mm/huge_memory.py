# SPDX-License-Identifier: GPL-2.0-or-later
"""Transparent huge pages (mm/huge_memory.c): so far only where mappings are placed."""

from __future__ import annotations

from mmscope.kernel.arch.x86.mmap import arch_get_unmapped_area_topdown
from mmscope.kernel.arch.x86.pgtable import PMD_SIZE
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import S_DAX
from mmscope.kernel.include.page import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.mm_types import MmStruct


def __thp_get_unmapped_area(mm: MmStruct, filp: File | None, addr: int, len: int, pgoff: int, flags: int, size: int) -> int:
    """Where `len` bytes go such that their offsets and addresses are aligned alike to `size`; 0 if that is not to be had."""
    off = pgoff << PAGE_SHIFT
    off_align = (off + size - 1) & -size
    len_pad = len + size
    if off + len - off_align < size or len_pad >= 1 << 64:
        return 0
    assert mm.get_unmapped_area is not None
    try:
        ret = mm.get_unmapped_area(mm, filp, addr, len_pad, pgoff, flags)
    except KernelError:
        return 0  # the padding may have been too much
    if ret == addr:
        return addr  # the hint is free
    off_sub = (off - ret) & (size - 1)
    if not off_sub and mm.get_unmapped_area is arch_get_unmapped_area_topdown and mm.kernel.config.at_least(6, 7):
        return ret + size  # right below the last mapping (96204e15310c)
    return ret + off_sub


def thp_get_unmapped_area(mm: MmStruct, filp: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """Where to map something that huge pages could back: anonymous memory since v6.7.

    A file asks only if it is on a DAX inode, since v5.18 (1854bc6e2420) always.
    """
    if filp is None or filp.f_mapping.host.i_flags & S_DAX or mm.kernel.config.at_least(5, 18):
        ret = __thp_get_unmapped_area(mm, filp, addr, len, pgoff, flags, PMD_SIZE)
        if ret:
            return ret
    assert mm.get_unmapped_area is not None
    return mm.get_unmapped_area(mm, filp, addr, len, pgoff, flags)
