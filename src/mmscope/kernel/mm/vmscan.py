# SPDX-License-Identifier: GPL-2.0-or-later
"""Direct reclaim (mm/vmscan.c), the easy part: page cache that nobody maps, written first if dirty. No swap, no kswapd yet."""

from __future__ import annotations

import mmscope.kernel.fs.buffer as fs_buffer
import mmscope.kernel.fs.fs_writeback as fs_writeback
from mmscope.kernel.include.page_flags import (
    PG_active,
    PG_dirty,
    PG_locked,
    PG_lru,
    PG_private,
    PG_referenced,
    PG_workingset,
    PG_writeback,
)
from mmscope.kernel.mm.filemap import __delete_from_page_cache
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.rmap import try_to_unmap
from mmscope.kernel.mm.swap import (
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_FILE,
    add_page_to_lru_list,
    del_page_from_lru_list,
    lru_add_drain,
    lru_cache_add,
)
from mmscope.kernel.mm.vmstat import PGDEACTIVATE, PGSCAN_DIRECT, PGSTEAL_DIRECT, count_vm_event
from mmscope.kernel.mm.workingset import workingset_eviction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = ["isolate_lru_page", "putback_lru_page", "reclaim_pages", "try_to_free_pages"]

SWAP_CLUSTER_MAX: Final = 32


def isolate_lru_page(page: Page) -> bool:
    """Take the page off its LRU list, with a reference; False if it stands on none. PG_active and PG_unevictable stay."""
    if not page.flags & PG_lru:
        return False
    page._refcount += 1
    page.flags &= ~PG_lru
    del_page_from_lru_list(page)
    return True


def putback_lru_page(page: Page) -> None:
    """Undo isolate_lru_page(): to the list that the flags now ask for, by way of the pagevec lru_add."""
    lru_cache_add(page)
    put_page(page)


def shrink_active_list(k: Kernel, nr_to_scan: int) -> None:
    """Move the oldest active file pages to the inactive list."""
    for pfn in list(k.lru.lists[LRU_ACTIVE_FILE])[:nr_to_scan]:
        page = k.mem_map[pfn]
        del_page_from_lru_list(page)
        page.flags = page.flags & ~(PG_active | PG_referenced) | PG_workingset
        add_page_to_lru_list(page, LRU_INACTIVE_FILE)
        count_vm_event(k, PGDEACTIVATE)


def shrink_inactive_list(k: Kernel, nr_to_reclaim: int) -> int:
    """Free the oldest inactive file pages that only the page cache holds."""
    reclaimed = 0
    for pfn in list(k.lru.lists[LRU_INACTIVE_FILE]):
        if reclaimed >= nr_to_reclaim:
            break
        page = k.mem_map[pfn]
        count_vm_event(k, PGSCAN_DIRECT)
        # The cache's own reference, and the buffers'.
        references = 2 if page.flags & PG_private else 1
        if page.flags & (PG_locked | PG_dirty | PG_writeback) or page._mapcount >= 0 or page._refcount != references:
            continue
        if page.mapping is None or page.mapping_tag:
            continue
        if page.flags & PG_private and not fs_buffer.try_to_release_page(page):
            continue
        page.flags |= PG_locked
        # A tmpfs page has nowhere to come back from, and none gets here: it is dirty.
        __delete_from_page_cache(page, workingset_eviction(page))
        page.flags &= ~PG_locked
        put_page(page)
        count_vm_event(k, PGSTEAL_DIRECT)
        reclaimed += 1
    return reclaimed


def reclaim_pages(page_list: list[Page]) -> int:
    """Free these pages (MADV_PAGEOUT), if nobody else has them; the number freed. Without swap anonymous pages stay.

    Others are unmapped first: those that then cannot go, since they are dirty or of tmpfs, are faulted in again.
    """
    reclaimed = 0
    for page in page_list:
        if page.mapping is None or page.mapping_tag or page.flags & (PG_locked | PG_writeback):
            continue
        page._refcount += 1
        page.flags |= PG_locked
        if try_to_unmap(page, 0) and not page.flags & PG_dirty:
            if not page.flags & PG_private or fs_buffer.try_to_release_page(page):
                if page._refcount == 2:
                    __delete_from_page_cache(page, workingset_eviction(page))
                    reclaimed += 1
        page.flags &= ~PG_locked
        put_page(page)
    return reclaimed


def try_to_free_pages(k: Kernel, order: int) -> int:
    """Free about SWAP_CLUSTER_MAX pages; the number freed, 0 if nothing can be."""
    lru_add_drain(k)
    nr_to_reclaim = max(SWAP_CLUSTER_MAX, 1 << order)
    reclaimed = shrink_inactive_list(k, nr_to_reclaim)
    if reclaimed < nr_to_reclaim and k.lru.lists[LRU_ACTIVE_FILE]:
        shrink_active_list(k, nr_to_reclaim)
        reclaimed += shrink_inactive_list(k, nr_to_reclaim - reclaimed)
    if reclaimed < nr_to_reclaim and k.wb.b_dirty:
        # Linux wakes the flusher and waits (wait_iff_congested, reclaim_throttle); what it wrote is clean then.
        fs_writeback.wakeup_flusher_threads(k)
        reclaimed += shrink_inactive_list(k, nr_to_reclaim - reclaimed)
    return reclaimed
