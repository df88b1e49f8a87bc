# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/page_alloc.py: no frame is lost, blocks merge back, watermarks hold, bad frees are found."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.cpu import phys_read, phys_write
from mmscope.kernel.include.errno import ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.gfp import __GFP_ZERO, GFP_KERNEL, GFP_USER
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PAGE_BUDDY_MAPCOUNT_VALUE, PG_locked, PG_reserved
from mmscope.kernel.mm.page_alloc import (
    MAX_ORDER,
    __free_pages,
    alloc_page,
    alloc_pages,
    drain_all_pages,
    get_page,
    nr_free_pages,
    pfn_to_page,
    put_page,
    totalram_pages,
    validate_zone,
)
from tests.kernel.bare import bare_kernel


def blocks(k: Kernel) -> list[list[int]]:
    return [sorted(area.blocks()) for area in k.zone.free_area]


def must(page: Page | None) -> Page:
    assert page is not None
    return page


def test_boot_frees_all_but_the_first_2_mib() -> None:
    k = bare_kernel(64 << 20)
    assert totalram_pages(k) == nr_free_pages(k) == 16384 - 512
    assert [len(b) for b in blocks(k)] == [0] * 9 + [1, 15]
    validate_zone(k)


def test_boot_of_an_odd_size() -> None:
    k = bare_kernel((64 << 20) + (5 << 12))
    assert [len(b) for b in blocks(k)] == [1, 0, 1] + [0] * 6 + [1, 15]
    validate_zone(k)


def test_boot_costs_the_same_for_any_ram() -> None:
    small = bare_kernel(64 << 20)
    large = bare_kernel(8 << 30)
    assert len(small.mem_map.pages) == len(large.mem_map.pages) == 1
    for k in (small, large):
        assert sum(len(a.head) + len(a.tail) for a in k.zone.free_area) <= MAX_ORDER


def test_too_little_ram_to_boot() -> None:
    with pytest.raises(KernelError) as e:
        bare_kernel(2 << 20)
    assert e.value.errno == ENOMEM


def test_zero_page_is_reserved() -> None:
    k = bare_kernel()
    page = pfn_to_page(k, k.zero_pfn)
    assert (page.flags, page._refcount, page._mapcount) == (PG_reserved, 1, -1)


def test_single_pages_come_upwards_from_the_per_cpu_list() -> None:
    k = bare_kernel(256 << 20)
    assert (k.zone.pcp_batch, k.zone.pcp_high) == (15, 90)
    pfns = [must(alloc_page(k, GFP_USER)).pfn for _ in range(40)]
    assert pfns == list(range(512, 552))
    # 45 pages left the buddy lists: three batches.
    assert nr_free_pages(k) == totalram_pages(k) - 45


def test_batch_as_linux_for_1_gib_and_more() -> None:
    k = bare_kernel(2 << 30)
    assert (k.zone.pcp_batch, k.zone.pcp_high) == (63, 378)


def test_last_freed_is_first_used() -> None:
    k = bare_kernel()
    a, b = must(alloc_page(k, GFP_USER)), must(alloc_page(k, GFP_USER))
    put_page(a)
    put_page(b)
    assert must(alloc_page(k, GFP_USER)) is b
    assert must(alloc_page(k, GFP_USER)) is a


def test_a_reused_frame_is_cleared_only_on_demand() -> None:
    k = bare_kernel()
    page = must(alloc_page(k, GFP_USER | __GFP_ZERO))
    assert phys_read(k, page.pfn << 12, 4096) == bytes(4096)
    phys_write(k, page.pfn << 12, b"secret")
    put_page(page)
    assert must(alloc_page(k, GFP_USER)) is page
    assert phys_read(k, page.pfn << 12, 6) == b"secret"
    put_page(page)
    assert must(alloc_page(k, GFP_USER | __GFP_ZERO)) is page
    assert phys_read(k, page.pfn << 12, 4096) == bytes(4096)


def test_watermarks_of_64_mib() -> None:
    """min_free_kbytes = sqrt(63488 KiB * 16) = 1007: 251 pages; low and high a quarter apart."""
    zone = bare_kernel(64 << 20).zone
    assert (zone.watermark_min, zone.watermark_low, zone.watermark_high) == (251, 313, 375)


def test_out_of_memory_stops_at_the_min_watermark() -> None:
    k = bare_kernel(8 << 20)
    taken = []
    while (page := alloc_page(k, GFP_USER)) is not None:
        taken.append(page)
    assert nr_free_pages(k) == k.zone.watermark_min
    assert not k.zone.pcp
    assert alloc_page(k, GFP_USER) is None
    put_page(taken.pop())
    drain_all_pages(k)
    assert alloc_page(k, GFP_USER) is not None


def test_free_block_heads_are_typed_buddy() -> None:
    k = bare_kernel()
    page = must(alloc_pages(k, GFP_KERNEL, 3))
    __free_pages(page, 3)
    assert page._mapcount == PAGE_BUDDY_MAPCOUNT_VALUE or page.pfn not in k.zone.free_area[3].head
    validate_zone(k)


def test_double_free_and_use_after_free_are_bugs() -> None:
    k = bare_kernel()
    page = must(alloc_page(k, GFP_USER))
    put_page(page)
    with pytest.raises(KernelBug):
        put_page(page)
    with pytest.raises(KernelBug):
        get_page(page)


def test_freeing_a_locked_page_is_a_bug() -> None:
    k = bare_kernel()
    page = must(alloc_page(k, GFP_USER))
    page.flags |= PG_locked
    with pytest.raises(KernelBug, match="bad page at free"):
        put_page(page)


def test_events_reach_a_probe() -> None:
    k = bare_kernel()
    seen: list[object] = []
    k.tp.attach("mm_page_alloc", lambda page, order, gfp: seen.append(("alloc", page.pfn, order)))
    k.tp.attach("mm_page_free", lambda page, order: seen.append(("free", page.pfn, order)))
    page = must(alloc_pages(k, GFP_KERNEL, 2))
    __free_pages(page, 2)
    assert seen == [("alloc", page.pfn, 2), ("free", page.pfn, 2)]


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(0, 10), st.integers(-50, -1)), max_size=80))
def test_any_order_of_allocations_and_frees_merges_back(ops: list[int]) -> None:
    k = bare_kernel(32 << 20)
    at_boot = blocks(k)
    held: list[tuple[Page, int]] = []
    owned: set[int] = set()
    for op in ops:
        if op >= 0:
            page = alloc_pages(k, GFP_KERNEL, op)
            if page is None:
                continue
            frames = set(range(page.pfn, page.pfn + (1 << op)))
            assert page.pfn % (1 << op) == 0
            assert not owned & frames
            owned |= frames
            held.append((page, op))
        elif held:
            page, order = held.pop(op % len(held))
            owned -= set(range(page.pfn, page.pfn + (1 << order)))
            __free_pages(page, order)
        validate_zone(k)
        assert nr_free_pages(k) + len(k.zone.pcp) + len(owned) == totalram_pages(k)
    for page, order in held:
        __free_pages(page, order)
    drain_all_pages(k)
    validate_zone(k)
    assert nr_free_pages(k) == totalram_pages(k)
    assert blocks(k) == at_boot
