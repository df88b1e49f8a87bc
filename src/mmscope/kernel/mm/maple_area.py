# SPDX-License-Identifier: GPL-2.0-or-later
"""The search for a free range as it is since v6.4 (58c5d0d6d522): on the maple tree, which knows holes but no guard gaps.

It takes the outermost hole that is large enough, and only then looks whether the place lies in a guard gap; if so it goes on
behind the mapping that has the gap. The older search (mmap_area.py) has the guard gaps in its gaps. The two part where a
mapping stands inside the guard gap of another.
"""

from __future__ import annotations

import mmscope.kernel.mm.mmap_area as mm_mmap_area
from mmscope.kernel.include.errno import ENOMEM
from mmscope.kernel.include.mm import VM_GROWSDOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct


def mas_empty_area(mm: MmStruct, low: int, high: int, length: int) -> int:
    """Lowest hole of `length` bytes within [low, high): its start there, or -1."""
    start = low
    vma = mm.mmap
    while vma is not None and vma.vm_start < high:
        if min(vma.vm_start, high) - start >= length:
            return start
        start = max(start, vma.vm_end)
        vma = vma.vm_next
    return start if high - start >= length else -1


def mas_empty_area_rev(mm: MmStruct, low: int, high: int, length: int) -> int:
    """Highest hole of `length` bytes within [low, high): the start of its last `length` bytes, or -1."""
    vma = mm.mmap
    while vma is not None and vma.vm_next is not None:
        vma = vma.vm_next
    end = high
    while vma is not None and vma.vm_end > low:
        if end - max(vma.vm_end, low) >= length:
            return end - length
        end = min(end, vma.vm_start)
        vma = vma.vm_prev
    return end - length if end - low >= length else -1


def neighbours(mm: MmStruct, addr: int) -> tuple[VmAreaStruct | None, VmAreaStruct | None]:
    """The VMAs before and behind the hole at `addr`."""
    prev: VmAreaStruct | None = None
    vma = mm.mmap
    while vma is not None and vma.vm_start <= addr:
        prev = vma
        vma = vma.vm_next
    return prev, vma


def unmapped_area(mm: MmStruct, length: int, low_limit: int, high_limit: int, align_mask: int, align_offset: int) -> int:
    """Lowest place; -ENOMEM if none."""
    while True:
        gap = mas_empty_area(mm, low_limit, high_limit, length + align_mask)
        if gap < 0:
            return -ENOMEM
        gap += (align_offset - gap) & align_mask
        _, behind = neighbours(mm, gap)
        if behind is None or not behind.vm_flags & VM_GROWSDOWN or mm_mmap_area.vm_start_gap(behind) >= gap + length - 1:
            return gap
        low_limit = behind.vm_end


def unmapped_area_topdown(mm: MmStruct, length: int, low_limit: int, high_limit: int, align_mask: int, align_offset: int) -> int:
    """Highest place; -ENOMEM if none."""
    while True:
        gap = mas_empty_area_rev(mm, low_limit, high_limit, length + align_mask)
        if gap < 0:
            return -ENOMEM
        gap += align_mask
        gap -= (gap - align_offset) & align_mask
        _, behind = neighbours(mm, gap)
        if behind is None or not behind.vm_flags & VM_GROWSDOWN or mm_mmap_area.vm_start_gap(behind) >= gap + length - 1:
            return gap
        high_limit = mm_mmap_area.vm_start_gap(behind)
