# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/swap.py: pagevecs and their reference, LRU lists, activation."""

from __future__ import annotations

from mmscope.kernel.include.gfp import GFP_USER
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.include.mm_types import Page, VmAreaStruct
from mmscope.kernel.include.page_flags import PG_active, PG_lru, PG_mlocked, PG_referenced, PG_swapbacked, PG_unevictable
from mmscope.kernel.mm.page_alloc import alloc_page, put_page
from mmscope.kernel.mm.swap import (
    LRU_ACTIVE_ANON,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    LRU_UNEVICTABLE,
    deactivate_page,
    lru_add_drain,
    lru_cache_add,
    lru_cache_add_inactive_or_unevictable,
    mark_page_accessed,
    release_pages,
    validate_lru,
)
from mmscope.kernel.mm.vmstat import NR_MLOCK, PGACTIVATE, PGDEACTIVATE
from tests.kernel.bare import bare_kernel, bare_mm


def anon_page(k: Kernel) -> Page:
    page = alloc_page(k, GFP_USER)
    assert page is not None
    page.flags |= PG_swapbacked
    return page


def test_a_fresh_page_waits_in_the_pagevec_with_one_reference_more() -> None:
    k = bare_kernel()
    page = anon_page(k)
    lru_cache_add(page)
    assert (page._refcount, page.flags & PG_lru, page.lru_list) == (2, 0, -1)
    lru_add_drain(k)
    assert (page._refcount, page.flags & PG_lru, page.lru_list) == (1, PG_lru, LRU_INACTIVE_ANON)
    validate_lru(k)


def test_the_15th_page_drains_the_pagevec() -> None:
    k = bare_kernel()
    pages = [anon_page(k) for _ in range(16)]
    for page in pages[:14]:
        lru_cache_add(page)
    assert [p._refcount for p in pages[:14]] == [2] * 14
    lru_cache_add(pages[14])
    assert [p._refcount for p in pages[:15]] == [1] * 15
    assert list(k.lru.lists[LRU_INACTIVE_ANON]) == [p.pfn for p in pages[:15]]
    lru_cache_add(pages[15])
    assert pages[15]._refcount == 2


def test_a_page_freed_while_in_the_pagevec_goes_when_it_is_drained() -> None:
    k = bare_kernel()
    page = anon_page(k)
    lru_cache_add(page)
    put_page(page)
    assert page._refcount == 1
    lru_add_drain(k)
    assert page._refcount == 0
    assert not k.lru.lists[LRU_INACTIVE_ANON]
    assert k.zone.pcp[-1] == page.pfn


def test_locked_vma_gives_mlocked_unevictable_pages() -> None:
    k = bare_kernel()
    vma = VmAreaStruct(bare_mm(k))
    vma.vm_flags = VM_LOCKED
    page = anon_page(k)
    lru_cache_add_inactive_or_unevictable(page, vma)
    lru_add_drain(k)
    assert page.flags & (PG_mlocked | PG_unevictable) == PG_mlocked | PG_unevictable
    assert page.lru_list == LRU_UNEVICTABLE
    assert k.vmstat.stat[NR_MLOCK] == 1


def test_second_access_activates() -> None:
    k = bare_kernel()
    page = anon_page(k)
    lru_cache_add(page)
    lru_add_drain(k)
    mark_page_accessed(page)
    assert page.flags & (PG_referenced | PG_active) == PG_referenced
    mark_page_accessed(page)
    assert page._refcount == 2, "the pagevec activate_page holds it"
    lru_add_drain(k)
    assert (page.lru_list, page._refcount) == (LRU_ACTIVE_ANON, 1)
    assert page.flags & (PG_referenced | PG_active) == PG_active
    assert k.vmstat.event[PGACTIVATE] == 1
    validate_lru(k)


def test_second_access_in_the_pagevec_sets_the_flag_at_once() -> None:
    k = bare_kernel()
    page = anon_page(k)
    lru_cache_add(page)
    mark_page_accessed(page)
    mark_page_accessed(page)
    assert page.flags & PG_active
    lru_add_drain(k)
    assert page.lru_list == LRU_ACTIVE_ANON


def test_deactivation() -> None:
    k = bare_kernel()
    page = anon_page(k)
    page.flags |= PG_active
    lru_cache_add(page)
    lru_add_drain(k)
    deactivate_page(page)
    lru_add_drain(k)
    assert page.lru_list == LRU_INACTIVE_ANON
    assert k.vmstat.event[PGDEACTIVATE] == 1


def test_pages_without_swapbacked_are_file_pages() -> None:
    k = bare_kernel()
    page = alloc_page(k, GFP_USER)
    assert page is not None
    lru_cache_add(page)
    lru_add_drain(k)
    assert page.lru_list == LRU_INACTIVE_FILE


def test_release_pages_frees_the_last_one_first() -> None:
    k = bare_kernel()
    pages = [anon_page(k) for _ in range(3)]
    for page in pages:
        lru_cache_add(page)
    lru_add_drain(k)
    release_pages(k, pages)
    assert k.zone.pcp[-3:] == [pages[2].pfn, pages[1].pfn, pages[0].pfn]
    validate_lru(k)
