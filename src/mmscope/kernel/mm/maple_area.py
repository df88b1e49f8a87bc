# SPDX-License-Identifier: GPL-2.0-or-later
"""The search for a free range since v6.1, as 58c5d0d6d522 (v6.3, 6.1 stable) left it: on the maple tree, which knows holes but
no guard gaps.

It takes the outermost hole that is large enough, and only then looks whether the place lies in a guard gap; if so it goes on
behind the mapping that has the gap. The older search (mmap_area.py) has the guard gaps in its gaps. The two part where a
mapping stands inside the guard gap of another. The model has no maple tree: with one stack only,
the holes are those of rb_subtree_gap.
"""

from __future__ import annotations

import mmscope.kernel.mm.mmap_area as mm_mmap_area
from mmscope.kernel.include.errno import ENOMEM
from mmscope.kernel.include.mm import VM_GROWSDOWN
from mmscope.kernel.include.page import PAGE_SHIFT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct


def lone_stack(mm: MmStruct) -> tuple[bool, VmAreaStruct | None]:
    """(no VMA but this one has a guard gap, the stack): then rb_subtree_gap knows all holes but the one below the stack."""
    if not mm.stack_vm:
        return True, None
    vma = mm_mmap_area.find_vma(mm, mm.start_stack)
    if vma is None or not vma.vm_flags & VM_GROWSDOWN or vma.vm_end - vma.vm_start != mm.stack_vm << PAGE_SHIFT:
        return False, None
    return True, vma


def hole_below(vma: VmAreaStruct, low: int, high: int) -> tuple[int, int]:
    """The hole below it, within [low, high)."""
    prev = vma.vm_prev
    return max(low, prev.vm_end if prev is not None else 0), min(high, vma.vm_start)


def mas_empty_area(mm: MmStruct, low: int, high: int, length: int) -> int:
    """Lowest hole of `length` bytes within [low, high): its start there, or -1."""
    if high - low < length:
        return -1
    alone, stack = lone_stack(mm)
    if not alone:
        return empty_area_by_list(mm, low, high, length)
    gap = mm_mmap_area.unmapped_area_walk(mm, length, low + length, high - length)
    if gap == -1:
        gap = mm.highest_vm_end
    start = max(gap, low) if 0 <= gap <= high - length else -1
    if stack is not None:
        below, end = hole_below(stack, low, high)
        if end - below >= length and (start < 0 or below < start):
            start = below
    return start


def mas_empty_area_rev(mm: MmStruct, low: int, high: int, length: int) -> int:
    """Highest hole of `length` bytes within [low, high): the start of its last `length` bytes, or -1."""
    if high - low < length:
        return -1
    if mm.highest_vm_end <= high - length:
        return high - length
    alone, stack = lone_stack(mm)
    if not alone:
        return empty_area_rev_by_list(mm, low, high, length)
    gap_end = mm_mmap_area.unmapped_area_topdown_walk(mm, length, low + length, high - length)
    start = min(gap_end, high) - length if gap_end >= 0 else -1
    if stack is not None:
        below, end = hole_below(stack, low, high)
        if end - below >= length:
            start = max(start, end - length)
    return start


def empty_area_by_list(mm: MmStruct, low: int, high: int, length: int) -> int:
    """mas_empty_area() in time proportional to the VMAs."""
    start = low
    vma = mm_mmap_area.find_vma(mm, low)
    while vma is not None and vma.vm_start < high:
        if min(vma.vm_start, high) - start >= length:
            return start
        start = max(start, vma.vm_end)
        vma = vma.vm_next
    return start if high - start >= length else -1


def empty_area_rev_by_list(mm: MmStruct, low: int, high: int, length: int) -> int:
    """mas_empty_area_rev() in time proportional to the VMAs."""
    above, vma = mm_mmap_area.find_vma_prev(mm, high)
    if above is not None and above.vm_start < high:
        vma = above
    end = high
    while vma is not None and vma.vm_end > low:
        if end - max(vma.vm_end, low) >= length:
            return end - length
        end = min(end, vma.vm_start)
        vma = vma.vm_prev
    return end - length if end - low >= length else -1


def unmapped_area(mm: MmStruct, length: int, low_limit: int, high_limit: int, align_mask: int, align_offset: int) -> int:
    """Lowest place; -ENOMEM if none."""
    while True:
        gap = mas_empty_area(mm, low_limit, high_limit, length + align_mask)
        if gap < 0:
            return -ENOMEM
        gap += (align_offset - gap) & align_mask
        behind = mm_mmap_area.find_vma(mm, gap)
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
        behind = mm_mmap_area.find_vma(mm, gap)
        if behind is None or not behind.vm_flags & VM_GROWSDOWN or mm_mmap_area.vm_start_gap(behind) >= gap + length - 1:
            return gap
        high_limit = mm_mmap_area.vm_start_gap(behind)
