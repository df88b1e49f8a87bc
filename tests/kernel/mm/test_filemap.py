# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/filemap.py, readahead.py, truncate.py, vmscan.py: the page cache, and which pages a read brings in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.include.errno import EEXIST, EIO, KernelBug, KernelError
from mmscope.kernel.include.fs import AddressSpace, AddressSpaceOperations, File
from mmscope.kernel.include.gfp import GFP_USER
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_active, PG_dirty, PG_lru, PG_referenced, PG_uptodate
from mmscope.kernel.include.pagemap import lock_page, unlock_page
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.debug_vm import validate_mapping
from mmscope.kernel.mm.filemap import (
    add_to_page_cache_lru,
    delete_from_page_cache,
    find_get_page,
    find_lock_page,
    find_or_create_page,
    generic_file_buffered_read,
    page_cache_next_miss,
    page_cache_prev_miss,
    read_mapping_page,
)
from mmscope.kernel.mm.page_alloc import alloc_page, drain_all_pages, nr_free_pages, put_page, totalram_pages
from mmscope.kernel.mm.page_writeback import __set_page_dirty_nobuffers
from mmscope.kernel.mm.readahead import PG_readahead, ReadaheadControl, force_page_cache_ra, get_init_ra_size
from mmscope.kernel.mm.swap import LRU_INACTIVE_FILE, lru_add_drain, validate_lru
from mmscope.kernel.mm.truncate import invalidate_mapping_pages, truncate_inode_pages
from mmscope.kernel.mm.vmstat import NR_FILE_DIRTY, NR_FILE_PAGES, PGSTEAL_DIRECT
from tests.kernel.bare import bare_file, bare_kernel, page_byte


def cached(mapping: AddressSpace) -> list[int]:
    return [i for i in range(5000) if isinstance(xa_load(mapping.i_pages, i), Page)]


def marked(mapping: AddressSpace) -> list[int]:
    """The pages that bear PG_readahead."""
    return [i for i in cached(mapping) if page_at(mapping, i).flags & PG_readahead]


def page_at(mapping: AddressSpace, index: int) -> Page:
    page = xa_load(mapping.i_pages, index)
    assert isinstance(page, Page)
    return page


def content(start: int, end: int) -> bytes:
    """Bytes [start, end) of a bare file."""
    return b"".join(bytes([page_byte(i)]) * 4096 for i in range(start >> 12, (end >> 12) + 1))[start & 4095 :][: end - start]


def test_references_of_a_cached_page() -> None:
    k = bare_kernel()
    file = bare_file(k, 1)
    page = alloc_page(k, GFP_USER)
    assert page is not None
    add_to_page_cache_lru(page, file.f_mapping, 0, GFP_USER)
    assert page._refcount == 3, "ours, the cache's, the pagevec's"
    assert file.f_mapping.nrpages == k.vmstat.stat[NR_FILE_PAGES] == 1
    lru_add_drain(k)
    assert page._refcount == 2
    other = alloc_page(k, GFP_USER)
    assert other is not None
    with pytest.raises(KernelError) as e:
        add_to_page_cache_lru(other, file.f_mapping, 0, GFP_USER)
    assert e.value.errno == EEXIST
    delete_from_page_cache(page)
    unlock_page(page)
    assert (page._refcount, file.f_mapping.nrpages, k.vmstat.stat[NR_FILE_PAGES]) == (1, 0, 0)
    put_page(page)
    validate_lru(k)


def test_events_reach_a_probe() -> None:
    k = bare_kernel()
    file = bare_file(k, 1)
    seen: list[tuple[str, int]] = []
    k.tp.attach("mm_filemap_add_to_page_cache", lambda page: seen.append(("add", page.index)))
    k.tp.attach("mm_filemap_delete_from_page_cache", lambda page: seen.append(("delete", page.index)))
    generic_file_buffered_read(file, 1, 0)
    truncate_inode_pages(file.f_mapping, 0)
    assert seen == [("add", 0), ("delete", 0)]


def test_lookups_take_a_reference() -> None:
    k = bare_kernel()
    mapping = bare_file(k, 4).f_mapping
    assert find_get_page(mapping, 0) is None
    page = find_or_create_page(mapping, 0, GFP_USER)
    assert page is not None
    with pytest.raises(KernelBug, match="locked already"):
        lock_page(page)
    unlock_page(page)
    with pytest.raises(KernelBug, match="not locked"):
        unlock_page(page)
    refs = page._refcount
    assert find_get_page(mapping, 0) is page
    assert find_lock_page(mapping, 0) is page
    assert page._refcount == refs + 2
    unlock_page(page)
    assert not page.flags & PG_uptodate
    assert read_mapping_page(mapping, 0, None) is page
    assert page.flags & PG_uptodate


def test_gaps() -> None:
    k = bare_kernel()
    file = bare_file(k, 16)
    for index in (0, 1, 2, 5):
        put_page(read_mapping_page(file.f_mapping, index, None))
    assert page_cache_next_miss(file.f_mapping, 0, 16) == 3
    assert page_cache_next_miss(file.f_mapping, 0, 2) == 1
    assert page_cache_prev_miss(file.f_mapping, 2, 16) == -1
    assert page_cache_prev_miss(file.f_mapping, 5, 16) == 4
    assert page_cache_prev_miss(file.f_mapping, 2, 2) == 1


@pytest.mark.parametrize(
    ("size", "max_pages", "window"), [(1, 32, 4), (2, 32, 4), (3, 32, 8), (8, 32, 16), (9, 32, 32), (1, 256, 4), (5, 256, 32)]
)
def test_initial_window(size: int, max_pages: int, window: int) -> None:
    assert get_init_ra_size(size, max_pages) == window


def test_sequential_read_ramps_up() -> None:
    """4 KiB reads from the start: windows of 4, 8, 16, 32, 32 pages, each started by the marker of the one before."""
    k = bare_kernel()
    file = bare_file(k, 200)
    mapping = file.f_mapping
    windows = []
    for index in range(100):
        before = mapping.nrpages
        assert generic_file_buffered_read(file, 4096, index << 12) == content(index << 12, (index + 1) << 12)
        if mapping.nrpages != before:
            windows.append((index, file.ra_start, file.ra_size, file.ra_async_size))
    assert windows[:4] == [(0, 0, 4, 3), (1, 4, 8, 8), (4, 12, 16, 16), (12, 28, 32, 32)]
    assert windows[4:] == [(28, 60, 32, 32), (60, 92, 32, 32), (92, 124, 32, 32)]
    assert marked(mapping) == [124]
    validate_mapping(mapping)


def test_random_read_brings_only_what_was_asked_for() -> None:
    k = bare_kernel()
    file = bare_file(k, 500)
    generic_file_buffered_read(file, 8192, 300 << 12)
    assert cached(file.f_mapping) == [300, 301]
    assert (file.ra_start, file.ra_size) == (0, 0)


def test_reading_on_after_a_random_start_is_found_to_be_sequential() -> None:
    k = bare_kernel()
    file = bare_file(k, 500)
    generic_file_buffered_read(file, 4096, 300 << 12)
    generic_file_buffered_read(file, 4096, 301 << 12)
    assert cached(file.f_mapping) == list(range(300, 305))


def test_the_window_ends_with_the_file() -> None:
    k = bare_kernel()
    file = bare_file(k, 2)
    assert generic_file_buffered_read(file, 100000, 0) == content(0, 8192)
    assert cached(file.f_mapping) == [0, 1]


def test_reading_at_the_end_of_a_page_aligned_file_caches_one_page_too_many() -> None:
    """Until v5.12 i_size was looked at only after the page was there."""
    k = bare_kernel()
    file = bare_file(k, 2)
    assert generic_file_buffered_read(file, 10, 8192) == b""
    assert cached(file.f_mapping) == [2]


def test_large_read_may_exceed_the_window() -> None:
    """A request larger than ra_pages is read at once, up to what the disk takes in one request (320 pages).

    Its marker stands in its middle (page 64), so the same read starts the next window.
    """
    k = bare_kernel()
    file = bare_file(k, 500)
    generic_file_buffered_read(file, 128 << 12, 0)
    assert cached(file.f_mapping) == list(range(192))
    assert (file.ra_start, file.ra_size, file.ra_async_size) == (128, 64, 64)
    assert marked(file.f_mapping) == [128]
    file = bare_file(k, 500)
    force_page_cache_ra(ReadaheadControl(file, file.f_mapping, 10), file, 1000)
    assert cached(file.f_mapping) == list(range(10, 330))


def test_second_read_activates() -> None:
    k = bare_kernel()
    file = bare_file(k, 1)
    generic_file_buffered_read(file, 4096, 0)
    page = page_at(file.f_mapping, 0)
    assert page.flags & (PG_referenced | PG_active) == PG_referenced
    lru_add_drain(k)
    generic_file_buffered_read(file, 4096, 0)
    lru_add_drain(k)
    assert page.flags & (PG_referenced | PG_active) == PG_active


def test_small_pieces_of_one_page_count_once() -> None:
    k = bare_kernel()
    file = bare_file(k, 1)
    for pos in range(0, 4000, 500):
        generic_file_buffered_read(file, 500, pos)
    assert page_at(file.f_mapping, 0).flags & (PG_referenced | PG_active) == PG_referenced


def _broken_readpage(file: File | None, page: Page) -> None:
    unlock_page(page)
    raise KernelError(EIO)


def test_a_read_error_is_eio_and_leaves_the_page_not_uptodate() -> None:
    k = bare_kernel()
    file = bare_file(k, 8)
    file.f_mapping.a_ops = AddressSpaceOperations(readpage=_broken_readpage)
    for _ in range(2):
        with pytest.raises(KernelError) as e:
            generic_file_buffered_read(file, 4096, 0)
        assert e.value.errno == EIO
    lru_add_drain(k)
    assert {page_at(file.f_mapping, i)._refcount for i in cached(file.f_mapping)} == {1}
    assert not page_at(file.f_mapping, 0).flags & PG_uptodate


def test_invalidation_spares_dirty_and_held_pages() -> None:
    k = bare_kernel()
    file = bare_file(k, 40)
    mapping = file.f_mapping
    generic_file_buffered_read(file, 40 << 12, 0)
    lru_add_drain(k)
    __set_page_dirty_nobuffers(page_at(mapping, 3))
    held = find_get_page(mapping, 5)
    assert held is not None
    assert invalidate_mapping_pages(mapping, 0, 1 << 40) == 38
    assert cached(mapping) == [3, 5]
    put_page(held)
    lru_add_drain(k)
    assert invalidate_mapping_pages(mapping, 0, 1 << 40) == 1
    assert k.vmstat.stat[NR_FILE_DIRTY] == 1
    truncate_inode_pages(mapping, 0)
    lru_add_drain(k)
    assert k.vmstat.stat[NR_FILE_DIRTY] == mapping.nrpages == 0
    drain_all_pages(k)
    assert nr_free_pages(k) == totalram_pages(k)


def test_truncation_zeroes_the_rest_of_the_last_page() -> None:
    k = bare_kernel()
    file = bare_file(k, 4)
    generic_file_buffered_read(file, 4 << 12, 0)
    truncate_inode_pages(file.f_mapping, 4096 + 100)
    file.f_inode.i_size = 8192
    assert cached(file.f_mapping) == [0, 1]
    assert generic_file_buffered_read(file, 8192, 0) == content(0, 4196) + bytes(3996)


def test_short_of_memory_the_oldest_clean_pages_go() -> None:
    k = bare_kernel(8 << 20)
    file = bare_file(k, 4000)
    for index in range(0, 4000, 32):
        assert generic_file_buffered_read(file, 32 << 12, index << 12) == content(index << 12, (index + 32) << 12)
    assert k.vmstat.event[PGSTEAL_DIRECT] > 2000
    assert nr_free_pages(k) >= k.zone.watermark_min - 64
    assert cached(file.f_mapping)[0] > 0
    validate_mapping(file.f_mapping)
    validate_lru(k)


def test_dirty_pages_are_not_reclaimed() -> None:
    k = bare_kernel(8 << 20)
    file = bare_file(k, 64)
    generic_file_buffered_read(file, 64 << 12, 0)
    for index in range(64):
        page_at(file.f_mapping, index).flags |= PG_dirty
    while alloc_page(k, GFP_USER) is not None:
        pass
    assert file.f_mapping.nrpages == 64
    assert len(k.lru.lists[LRU_INACTIVE_FILE]) == 64
    assert page_at(file.f_mapping, 0).flags & PG_lru


@given(st.lists(st.tuples(st.integers(0, 70 << 12), st.integers(0, 40 << 12)), max_size=15))
def test_any_reads_give_the_files_bytes(reads: list[tuple[int, int]]) -> None:
    k = bare_kernel()
    file = bare_file(k, 60)
    for pos, count in reads:
        assert generic_file_buffered_read(file, count, pos) == content(pos, min(pos + count, 60 << 12)) or pos >= 60 << 12
        validate_mapping(file.f_mapping)
    lru_add_drain(k)
    assert all(page_at(file.f_mapping, i)._refcount == 1 for i in cached(file.f_mapping))
    validate_lru(k)
