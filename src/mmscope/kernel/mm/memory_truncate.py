# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of mm/memory.c that takes a file's pages out of every address space: unmap_mapping_range() and its like."""

from __future__ import annotations

from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.mm.interval_tree import vma_interval_tree_iter_first, vma_interval_tree_iter_next
from mmscope.kernel.mm.memory_unmap import zap_page_range_single

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

__all__ = ["unmap_mapping_pages", "unmap_mapping_range", "unmap_mapping_range_tree"]


def unmap_mapping_range_tree(mapping: AddressSpace, first: int, last: int, check_mapping: AddressSpace | None) -> None:
    """Zap pages [first, last] of the file in every VMA of i_mmap; with `check_mapping` private copies stay."""
    vma = vma_interval_tree_iter_first(mapping.i_mmap, first, last)
    while vma is not None:
        # Zapping changes no VMA: the walk can go on from here.
        vba = vma.vm_pgoff
        vea = vba + ((vma.vm_end - vma.vm_start) >> 12) - 1
        zba = max(first, vba)
        zea = min(last, vea)
        zap_page_range_single(vma, ((zba - vba) << 12) + vma.vm_start, (zea - zba + 1) << 12, check_mapping)
        vma = vma_interval_tree_iter_next(vma, first, last)


def unmap_mapping_pages(mapping: AddressSpace, start: int, nr: int, even_cows: bool) -> None:
    """Unmap `nr` pages from page `start` on (0: to the end). `even_cows`: private copies of them too, as truncation must."""
    last = ULONG_MAX if nr == 0 else min(start + nr - 1, ULONG_MAX)
    if mapping.i_mmap.rb_root.rb_node is not None:
        unmap_mapping_range_tree(mapping, start, last, None if even_cows else mapping)


def unmap_mapping_range(mapping: AddressSpace, holebegin: int, holelen: int, even_cows: bool) -> None:
    """unmap_mapping_pages() by bytes: from the page of `holebegin`, rounded up by the caller; length 0, or less = to the end."""
    unmap_mapping_pages(mapping, holebegin >> 12, ((holelen + 4095) & ULONG_MAX) >> 12, even_cows)
