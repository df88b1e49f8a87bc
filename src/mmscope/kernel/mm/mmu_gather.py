# SPDX-License-Identifier: GPL-2.0-or-later
"""mmu_gather (mm/mmu_gather.c, asm-generic/tlb.h): unmapped pages are collected, the TLB flushed, then the pages freed.

A page may be reused only when no TLB entry leads to it any more: hence the order flush, then free.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import pgtable_pmd_page_dtor, pgtable_pte_page_dtor
from mmscope.kernel.arch.x86.tlbflush import TLB_FLUSH_ALL, flush_tlb_mm_range
from mmscope.kernel.include.gfp import __GFP_NOWARN, GFP_NOWAIT
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.page import PAGE_SIZE, TASK_SIZE
from mmscope.kernel.mm.page_alloc import __get_free_pages, free_pages
from mmscope.kernel.mm.swap import lru_add_drain, release_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page

__all__ = [
    "MmuGather", "free_pages_and_swap_cache", "pmd_free_tlb", "pte_free_tlb", "pud_free_tlb", "tlb_finish_mmu", "tlb_flush_mmu",
    "tlb_flush_mmu_tlbonly", "tlb_flush_pte_range", "tlb_gather_mmu", "tlb_remove_page",
    "tlb_remove_tlb_entry",
]  # fmt: skip

#: Pages in the structure itself, in each further batch (one frame of pointers), and the most batches.
MMU_GATHER_BUNDLE: Final = 8
MAX_GATHER_BATCH: Final = 510
MAX_GATHER_BATCH_COUNT: Final = 19
#: Above all addresses, as ~0UL is in Linux.
_ABOVE_ALL: Final = 0x7FFFFFFFFFFFFFFF


class MmuGather:
    """struct mmu_gather."""

    def __init__(self, mm: MmStruct, fullmm: bool) -> None:
        self.mm = mm
        #: All of the address space goes.
        self.fullmm = fullmm
        self.need_flush_all = False
        #: ZAP_FLAG_DROP_MARKER: PTE markers go too, since the mapping goes.
        self.drop_markers = False
        #: The range to flush, bytes; empty (start > end) when nothing was unmapped yet.
        self.start: i64 = 0
        self.end: i64 = 0
        self.freed_tables = False
        #: Levels at which entries were cleared: sets the flush's stride.
        self.cleared_ptes = False
        self.cleared_pmds = False
        self.cleared_puds = False
        self.cleared_p4ds = False
        #: Each with the reference that its PTE held; how many there may be before another batch is needed.
        self.pages: list[Page] = []
        self.max = MMU_GATHER_BUNDLE
        #: The frames of the batches after the first one, which is in the structure. Kept until the end.
        self.batches: list[Page] = []


def __tlb_reset_range(tlb: MmuGather) -> None:
    if tlb.fullmm:
        tlb.start = tlb.end = _ABOVE_ALL
    else:
        tlb.start = TASK_SIZE
        tlb.end = 0
    tlb.freed_tables = False
    tlb.cleared_ptes = False
    tlb.cleared_pmds = False
    tlb.cleared_puds = False
    tlb.cleared_p4ds = False


def __tlb_adjust_range(tlb: MmuGather, address: i64, range_size: i64) -> None:
    if address < tlb.start:
        tlb.start = address
    if address + range_size > tlb.end:
        tlb.end = address + range_size


def tlb_gather_mmu(mm: MmStruct, start: int, end: int) -> MmuGather:
    """Begin to unmap [start, end); (0, -1) = the whole address space. Since v5.12 without the range."""
    tlb = MmuGather(mm, start == 0 and end in (-1, ULONG_MAX))
    __tlb_reset_range(tlb)
    mm.tlb_flush_pending += 1
    return tlb


def tlb_flush_mmu_tlbonly(tlb: MmuGather) -> None:
    """Flush what was cleared so far."""
    if not (tlb.freed_tables or tlb.cleared_ptes or tlb.cleared_pmds or tlb.cleared_puds or tlb.cleared_p4ds):
        return
    if tlb.fullmm or tlb.need_flush_all:
        flush_tlb_mm_range(tlb.mm, 0, TLB_FLUSH_ALL, tlb_get_unmap_shift(tlb))
    else:
        flush_tlb_mm_range(tlb.mm, tlb.start, tlb.end, tlb_get_unmap_shift(tlb))
    __tlb_reset_range(tlb)


def tlb_get_unmap_shift(tlb: MmuGather) -> int:
    if tlb.cleared_ptes:
        return 12
    if tlb.cleared_pmds:
        return 21
    if tlb.cleared_puds:
        return 30
    if tlb.cleared_p4ds:
        return 39
    return 12


def free_pages_and_swap_cache(k: Kernel, pages: list[Page]) -> None:
    """Drain the pagevecs, so that their references don't keep the pages alive, and drop one reference of each page."""
    lru_add_drain(k)
    release_pages(k, pages)


def tlb_flush_mmu(tlb: MmuGather) -> None:
    """Flush the TLB, then free what was collected: the first 8 pages, then 510 at a time."""
    tlb_flush_mmu_tlbonly(tlb)
    pages = tlb.pages
    if not pages:
        return
    tlb.pages = []
    tlb.max = MMU_GATHER_BUNDLE
    k = tlb.mm.kernel
    free_pages_and_swap_cache(k, pages[:MMU_GATHER_BUNDLE])
    for i in range(MMU_GATHER_BUNDLE, len(pages), MAX_GATHER_BATCH):
        free_pages_and_swap_cache(k, pages[i : i + MAX_GATHER_BATCH])


def tlb_next_batch(tlb: MmuGather) -> bool:
    """Room for MAX_GATHER_BATCH more pages, in a frame that an earlier round got or a new one; False if there is none."""
    used = (tlb.max - MMU_GATHER_BUNDLE) // MAX_GATHER_BATCH
    if used == len(tlb.batches):
        if used == MAX_GATHER_BATCH_COUNT:
            return False
        batch = __get_free_pages(tlb.mm.kernel, GFP_NOWAIT | __GFP_NOWARN, 0)
        if batch is None:
            return False
        tlb.batches.append(batch)
    tlb.max += MAX_GATHER_BATCH
    return True


def tlb_batch_list_free(tlb: MmuGather) -> None:
    """Give the batches' frames back."""
    for batch in tlb.batches:
        free_pages(batch, 0)
    tlb.batches = []


def __tlb_remove_page(tlb: MmuGather, page: Page) -> bool:
    """Collect a page; True if no more fit: tlb_flush_mmu() is due."""
    tlb.pages.append(page)
    return len(tlb.pages) == tlb.max and not tlb_next_batch(tlb)


def tlb_remove_page(tlb: MmuGather, page: Page) -> None:
    """Collect a page, or table, to be put after the flush."""
    if __tlb_remove_page(tlb, page):
        tlb_flush_mmu(tlb)


def tlb_flush_pte_range(tlb: MmuGather, address: i64, size: i64) -> None:
    """PTEs of [address, address + size) were cleared or changed."""
    __tlb_adjust_range(tlb, address, size)
    tlb.cleared_ptes = True


def tlb_remove_tlb_entry(tlb: MmuGather, ptep: i64, address: i64) -> None:
    """The PTE of `address` was cleared."""
    tlb_flush_pte_range(tlb, address, PAGE_SIZE)


def pte_free_tlb(tlb: MmuGather, pte: Page, address: int) -> None:
    """A page table, already unhooked, is to be freed after the flush."""
    __tlb_adjust_range(tlb, address, PAGE_SIZE)
    tlb.freed_tables = True
    tlb.cleared_pmds = True
    pgtable_pte_page_dtor(pte)
    tlb_remove_page(tlb, pte)


def pmd_free_tlb(tlb: MmuGather, pmd: Page, address: int) -> None:
    """A PMD, already unhooked, is to be freed after the flush."""
    __tlb_adjust_range(tlb, address, PAGE_SIZE)
    tlb.freed_tables = True
    tlb.cleared_puds = True
    pgtable_pmd_page_dtor(pmd)
    tlb_remove_page(tlb, pmd)


def pud_free_tlb(tlb: MmuGather, pud: Page, address: int) -> None:
    """A PUD, already unhooked, is to be freed after the flush."""
    __tlb_adjust_range(tlb, address, PAGE_SIZE)
    tlb.freed_tables = True
    tlb.cleared_p4ds = True
    tlb_remove_page(tlb, pud)


def tlb_finish_mmu(tlb: MmuGather, start: int = 0, end: int = 0) -> None:
    """End of the unmapping: flush and free the rest. [start, end) as in tlb_gather_mmu()."""
    if tlb.mm.tlb_flush_pending > 1:
        # Another gather of this mm is open: it may have cleared entries in this range that are not flushed yet.
        tlb.fullmm = True
        __tlb_reset_range(tlb)
        tlb.freed_tables = True
    tlb_flush_mmu(tlb)
    tlb_batch_list_free(tlb)
    tlb.mm.tlb_flush_pending -= 1
