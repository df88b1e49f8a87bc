# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/mmu_gather.py: flush first, free afterwards, drain the pagevecs in between."""

from __future__ import annotations

from mmscope.kernel.include.gfp import GFP_USER
from mmscope.kernel.include.mm_types import MmStruct, Page
from mmscope.kernel.include.page_flags import PG_swapbacked
from mmscope.kernel.mm.mmu_gather import (
    MmuGather,
    tlb_finish_mmu,
    tlb_flush_mmu,
    tlb_flush_pte_range,
    tlb_gather_mmu,
    tlb_remove_page,
    tlb_remove_tlb_entry,
)
from mmscope.kernel.mm.page_alloc import alloc_page
from mmscope.kernel.mm.swap import lru_cache_add
from tests.kernel.bare import bare_kernel, bare_mm

ADDR = 0x400000


def flushes(mm: MmStruct) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    mm.kernel.tp.attach("tlb_flush", lambda start, end: seen.append((start, end)))
    return seen


def new_page(mm: MmStruct) -> Page:
    page = alloc_page(mm.kernel, GFP_USER)
    assert page is not None
    page.flags |= PG_swapbacked
    return page


def remove(tlb: MmuGather, page: Page, addr: int) -> None:
    tlb_remove_tlb_entry(tlb, 0, addr)
    tlb_remove_page(tlb, page)


def test_pages_are_freed_after_the_flush() -> None:
    mm = bare_mm(bare_kernel())
    seen = flushes(mm)
    order: list[object] = []
    mm.kernel.tp.attach("tlb_flush", lambda start, end: order.append("flush"))
    mm.kernel.tp.attach("mm_page_free", lambda page, nr: order.append(page.pfn))
    tlb = tlb_gather_mmu(mm, ADDR, ADDR + 0x3000)
    pages = [new_page(mm) for _ in range(3)]
    for i, page in enumerate(pages):
        remove(tlb, page, ADDR + (i << 12))
    assert [p._refcount for p in pages] == [1, 1, 1]
    assert mm.tlb_flush_pending == 1
    tlb_finish_mmu(tlb, ADDR, ADDR + 0x3000)
    assert seen == [(ADDR, ADDR + 0x3000)]
    assert order == ["flush", pages[2].pfn, pages[1].pfn, pages[0].pfn]
    assert mm.tlb_flush_pending == 0


def test_a_page_still_in_the_pagevec_is_drained_and_freed() -> None:
    mm = bare_mm(bare_kernel())
    page = new_page(mm)
    lru_cache_add(page)
    tlb = tlb_gather_mmu(mm, ADDR, ADDR + 0x1000)
    remove(tlb, page, ADDR)
    tlb_finish_mmu(tlb)
    assert page._refcount == 0


def test_nothing_unmapped_nothing_flushed() -> None:
    mm = bare_mm(bare_kernel())
    seen = flushes(mm)
    tlb_finish_mmu(tlb_gather_mmu(mm, ADDR, ADDR + 0x1000))
    assert seen == []


def test_a_whole_address_space_is_flushed_at_once() -> None:
    mm = bare_mm(bare_kernel())
    seen = flushes(mm)
    tlb = tlb_gather_mmu(mm, 0, -1)
    assert tlb.fullmm
    tlb_flush_pte_range(tlb, ADDR, 4096)
    tlb_flush_mmu(tlb)
    assert seen == [(0, -1)]
    tlb_finish_mmu(tlb)


def test_nested_gathers_flush_everything() -> None:
    mm = bare_mm(bare_kernel())
    seen = flushes(mm)
    outer = tlb_gather_mmu(mm, ADDR, ADDR + 0x1000)
    inner = tlb_gather_mmu(mm, ADDR, ADDR + 0x1000)
    tlb_finish_mmu(inner)
    assert seen == [(0, -1)]
    tlb_finish_mmu(outer)
    assert mm.tlb_flush_pending == 0


def test_the_eighth_page_takes_a_frame_for_the_next_batch_until_the_end() -> None:
    """j_munmap_whole of the recorded graphs: __tlb_remove_page -> tlb_next_batch -> __get_free_pages."""
    mm = bare_mm(bare_kernel())
    pages = [new_page(mm) for _ in range(9)]
    allocated: list[Page] = []
    freed: list[Page] = []
    mm.kernel.tp.attach("mm_page_alloc", lambda page, order, gfp: allocated.append(page))
    mm.kernel.tp.attach("mm_page_free", lambda page, order: freed.append(page))
    tlb = tlb_gather_mmu(mm, ADDR, ADDR + 0x9000)
    for i in range(7):
        remove(tlb, pages[i], ADDR + (i << 12))
    assert allocated == []
    for i in (7, 8):
        remove(tlb, pages[i], ADDR + (i << 12))
    assert len(allocated) == 1
    tlb_finish_mmu(tlb, ADDR, ADDR + 0x9000)
    assert freed == [*reversed(pages[:8]), pages[8], allocated[0]]


def test_without_a_frame_for_a_batch_the_eight_pages_are_flushed_at_once() -> None:
    mm = bare_mm(bare_kernel(4 << 20))
    pages = [new_page(mm) for _ in range(8)]
    while alloc_page(mm.kernel, GFP_USER) is not None:
        pass
    tlb = tlb_gather_mmu(mm, ADDR, ADDR + 0x8000)
    for i, page in enumerate(pages):
        remove(tlb, page, ADDR + (i << 12))
    assert [page._refcount for page in pages] == [0] * 8
    tlb_finish_mmu(tlb, ADDR, ADDR + 0x8000)
