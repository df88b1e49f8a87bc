# SPDX-License-Identifier: GPL-2.0-or-later
"""LRU lists and the per-CPU pagevecs before them (mm/swap.c). No memory cgroups.

A page on its way to an LRU list waits in a pagevec of 15, which holds a reference to it: until the pagevec is drained
the page's _refcount is one higher and PG_lru is clear. Copy-on-write decisions of v5.11 look at that count.
"""

from __future__ import annotations

import mmscope.kernel.mm.page_alloc as mm_page_alloc
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.fs import AS_UNEVICTABLE, AddressSpace
from mmscope.kernel.include.mm import VM_LOCKED, VM_SPECIAL
from mmscope.kernel.include.page_flags import (
    PageAnon,
    PG_active,
    PG_dirty,
    PG_head,
    PG_lru,
    PG_mlocked,
    PG_reclaim,
    PG_referenced,
    PG_swapbacked,
    PG_unevictable,
    PG_writeback,
)
from mmscope.kernel.mm.vmstat import (
    NR_MLOCK,
    PGACTIVATE,
    PGDEACTIVATE,
    PGLAZYFREE,
    PGROTATED,
    UNEVICTABLE_PGCULLED,
    UNEVICTABLE_PGMLOCKED,
    UNEVICTABLE_PGRESCUED,
    count_vm_event,
    mod_page_state,
)
from mmscope.kernel.mm.workingset import workingset_activation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page, VmAreaStruct

__all__ = [
    "LruState", "__page_cache_release", "activate_page", "deactivate_file_page", "deactivate_page", "lru_add_drain",
    "lru_add_drain_cpu",
    "lru_cache_add", "lru_cache_add_inactive_or_unevictable", "mark_page_accessed", "mark_page_lazyfree", "page_lru",
    "release_pages", "rotate_reclaimable_page", "validate_lru",
]  # fmt: skip

PAGEVEC_SIZE: Final = 15

# enum lru_list; the zone counters NR_ZONE_INACTIVE_ANON... have the same order.
LRU_INACTIVE_ANON: Final = 0
LRU_ACTIVE_ANON: Final = 1
LRU_INACTIVE_FILE: Final = 2
LRU_ACTIVE_FILE: Final = 3
LRU_UNEVICTABLE: Final = 4
NR_LRU_LISTS: Final = 5

LRU_NAMES: Final = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")


class LruState:
    """struct lruvec of the node, and CPU 0's pagevecs."""

    def __init__(self) -> None:
        #: By LRU_*: pfns in order of age, youngest (the list's head) last.
        self.lists: list[dict[int, None]] = [{} for _ in range(NR_LRU_LISTS)]
        self.lru_add: list[Page] = []
        self.lru_rotate: list[Page] = []
        self.lru_deactivate_file: list[Page] = []
        self.lru_deactivate: list[Page] = []
        self.lru_lazyfree: list[Page] = []
        self.activate_page: list[Page] = []
        #: The clock of workingset.py: pages that left the inactive list, by reclaim or by activation.
        self.nonresident_age = 0


def page_lru(page: Page) -> int:
    """The list that the page's flags call for."""
    flags = page.flags
    if flags & PG_unevictable:
        return LRU_UNEVICTABLE
    lru = LRU_INACTIVE_ANON if flags & PG_swapbacked else LRU_INACTIVE_FILE
    return lru + 1 if flags & PG_active else lru


def page_evictable(page: Page) -> bool:
    """Neither mlocked nor of a file that is locked in memory."""
    if page.flags & PG_mlocked:
        return False
    mapping = page.mapping
    return not isinstance(mapping, AddressSpace) or mapping.flags & AS_UNEVICTABLE == 0


def add_page_to_lru_list(page: Page, lru: int) -> None:
    """At the head: youngest."""
    k = page.kernel
    k.lru.lists[lru][page.pfn] = None
    page.lru_list = lru
    k.vmstat.stat[lru] += 1


def add_page_to_lru_list_tail(page: Page, lru: int) -> None:
    k = page.kernel
    k.lru.lists[lru] = {page.pfn: None, **k.lru.lists[lru]}
    page.lru_list = lru
    k.vmstat.stat[lru] += 1


def del_page_from_lru_list(page: Page) -> None:
    """Off its list."""
    k = page.kernel
    lru = page.lru_list
    if lru < 0:
        raise KernelBug(f"{page!r} has PG_lru and stands on no list")
    del k.lru.lists[lru][page.pfn]
    page.lru_list = -1
    k.vmstat.stat[lru] -= 1


def check_move_unevictable_pages(pages: list[Page]) -> None:
    """SHM_UNLOCK: pages of the unevictable list that need no longer be there go to the list of their kind (mm/vmscan.c)."""
    for page in pages:
        if page.flags & PG_lru and page.flags & PG_unevictable and page_evictable(page):
            del_page_from_lru_list(page)
            page.flags &= ~PG_unevictable
            add_page_to_lru_list(page, page_lru(page))
            count_vm_event(page.kernel, UNEVICTABLE_PGRESCUED)


# Adding


def pagevec_lru_move_fn(k: Kernel, pvec: list[Page], move_fn: Callable[[Page], None]) -> None:
    """Empty a pagevec: `move_fn` for each of its pages, which it may find on no list, then drop the pagevec's references."""
    pages = pvec.copy()
    pvec.clear()
    for page in pages:
        move_fn(page)
    release_pages(k, pages)


def lru_cache_add(page: Page) -> None:
    """Send the page to the LRU list of its kind, by way of the pagevec lru_add, which takes a reference."""
    if page.flags & PG_lru:
        raise KernelBug(f"lru_cache_add: {page!r} stands on list {page.lru_list} already")
    lru = page.kernel.lru
    page._refcount += 1
    lru.lru_add.append(page)
    if len(lru.lru_add) >= PAGEVEC_SIZE or page.flags & PG_head:
        __pagevec_lru_add(page.kernel)


def lru_cache_add_inactive_or_unevictable(page: Page, vma: VmAreaStruct) -> None:
    """lru_cache_add() of a new page of `vma`; in a locked VMA it is mlocked at once."""
    if vma.vm_flags & (VM_LOCKED | VM_SPECIAL) == VM_LOCKED and not page.flags & PG_mlocked:
        page.flags |= PG_mlocked
        mod_page_state(page.kernel, NR_MLOCK, 1)
        count_vm_event(page.kernel, UNEVICTABLE_PGMLOCKED)
    lru_cache_add(page)


def __pagevec_lru_add_fn(page: Page) -> None:
    was_unevictable = page.flags & PG_unevictable != 0
    page.flags = (page.flags & ~PG_unevictable) | PG_lru
    if page_evictable(page):
        if was_unevictable:
            count_vm_event(page.kernel, UNEVICTABLE_PGRESCUED)
    else:
        page.flags = (page.flags & ~PG_active) | PG_unevictable
        if not was_unevictable:
            count_vm_event(page.kernel, UNEVICTABLE_PGCULLED)
    add_page_to_lru_list(page, page_lru(page))


def __pagevec_lru_add(k: Kernel) -> None:
    """Drain lru_add: each page onto its list, then drop the pagevec's reference."""
    pagevec_lru_move_fn(k, k.lru.lru_add, __pagevec_lru_add_fn)


# Moving


def __activate_page(page: Page) -> None:
    if page.flags & (PG_lru | PG_active | PG_unevictable) == PG_lru:
        del_page_from_lru_list(page)
        page.flags |= PG_active
        add_page_to_lru_list(page, page_lru(page))
        count_vm_event(page.kernel, PGACTIVATE)


def lru_deactivate_file_fn(page: Page) -> None:
    if page.flags & (PG_lru | PG_unevictable) != PG_lru or page._mapcount >= 0:
        return
    active = page.flags & PG_active != 0
    del_page_from_lru_list(page)
    page.flags &= ~(PG_active | PG_referenced)
    if page.flags & (PG_writeback | PG_dirty):
        add_page_to_lru_list(page, page_lru(page))
        page.flags |= PG_reclaim
    else:
        add_page_to_lru_list_tail(page, page_lru(page))
        count_vm_event(page.kernel, PGROTATED)
    if active:
        count_vm_event(page.kernel, PGDEACTIVATE)


def lru_deactivate_fn(page: Page) -> None:
    if page.flags & (PG_lru | PG_active | PG_unevictable) == PG_lru | PG_active:
        del_page_from_lru_list(page)
        page.flags &= ~(PG_active | PG_referenced)
        add_page_to_lru_list(page, page_lru(page))
        count_vm_event(page.kernel, PGDEACTIVATE)


def lru_lazyfree_fn(page: Page) -> None:
    if PageAnon(page) and page.flags & (PG_lru | PG_swapbacked | PG_unevictable) == PG_lru | PG_swapbacked:
        del_page_from_lru_list(page)
        # Without PG_swapbacked an anonymous page is clean: reclaim just drops it (MADV_FREE).
        page.flags &= ~(PG_active | PG_referenced | PG_swapbacked)
        add_page_to_lru_list(page, page_lru(page))
        count_vm_event(page.kernel, PGLAZYFREE)


def pagevec_move_tail_fn(page: Page) -> None:
    if page.flags & (PG_lru | PG_unevictable) == PG_lru:
        del_page_from_lru_list(page)
        page.flags &= ~PG_active
        add_page_to_lru_list_tail(page, page_lru(page))
        count_vm_event(page.kernel, PGROTATED)


def _pagevec_add(pvec: list[Page], page: Page, move_fn: Callable[[Page], None]) -> None:
    """Put a page into a pagevec, which is emptied when it is full."""
    page._refcount += 1
    pvec.append(page)
    if len(pvec) >= PAGEVEC_SIZE:
        pagevec_lru_move_fn(page.kernel, pvec, move_fn)


def activate_page_drain(k: Kernel) -> None:
    """Pages on their way to an active list arrive."""
    pagevec_lru_move_fn(k, k.lru.activate_page, __activate_page)


def rotate_reclaimable_page(page: Page) -> None:
    """Writeback of a page that reclaim waits for is done: to the tail of the inactive list."""
    if page.flags & (PG_dirty | PG_unevictable | PG_lru) == PG_lru:
        _pagevec_add(page.kernel.lru.lru_rotate, page, pagevec_move_tail_fn)


def activate_page(page: Page) -> None:
    """Send a page on an inactive list to the active one, by way of a pagevec."""
    if page.flags & (PG_lru | PG_active | PG_unevictable) == PG_lru:
        _pagevec_add(page.kernel.lru.activate_page, page, __activate_page)


def deactivate_file_page(page: Page) -> None:
    """Clean page cache that could not be invalidated: to the inactive list's tail."""
    if page.flags & PG_unevictable or page._refcount == 0:
        return
    _pagevec_add(page.kernel.lru.lru_deactivate_file, page, lru_deactivate_file_fn)


def deactivate_page(page: Page) -> None:
    """MADV_COLD: from the active to the inactive list."""
    if page.flags & (PG_lru | PG_active | PG_unevictable) == PG_lru | PG_active:
        _pagevec_add(page.kernel.lru.lru_deactivate, page, lru_deactivate_fn)


def mark_page_lazyfree(page: Page) -> None:
    """MADV_FREE: an anonymous page whose content is no longer needed."""
    if PageAnon(page) and page.flags & (PG_lru | PG_swapbacked | PG_unevictable) == PG_lru | PG_swapbacked:
        _pagevec_add(page.kernel.lru.lru_lazyfree, page, lru_lazyfree_fn)


def mark_page_accessed(page: Page) -> None:
    """inactive,unreferenced -> inactive,referenced -> active,unreferenced -> active,referenced."""
    if not page.flags & PG_referenced:
        page.flags |= PG_referenced
    elif page.flags & PG_unevictable:
        return
    elif not page.flags & PG_active:
        if page.flags & PG_lru:
            activate_page(page)
        elif page in page.kernel.lru.lru_add:
            page.flags |= PG_active
        page.flags &= ~PG_referenced
        workingset_activation(page)


def lru_add_drain(k: Kernel) -> None:
    """Empty all pagevecs of this CPU."""
    lru_add_drain_cpu(k)


def lru_add_drain_cpu(k: Kernel) -> None:
    """Empty all pagevecs of CPU 0."""
    lru = k.lru
    if lru.lru_add:
        __pagevec_lru_add(k)
    if lru.lru_rotate:
        pagevec_lru_move_fn(k, lru.lru_rotate, pagevec_move_tail_fn)
    if lru.lru_deactivate_file:
        pagevec_lru_move_fn(k, lru.lru_deactivate_file, lru_deactivate_file_fn)
    if lru.lru_deactivate:
        pagevec_lru_move_fn(k, lru.lru_deactivate, lru_deactivate_fn)
    if lru.lru_lazyfree:
        pagevec_lru_move_fn(k, lru.lru_lazyfree, lru_lazyfree_fn)
    if lru.activate_page:
        activate_page_drain(k)


# Releasing


def __page_cache_release(page: Page) -> None:
    """The page is about to be freed: off its LRU list."""
    if page.flags & PG_lru:
        page.flags &= ~PG_lru
        del_page_from_lru_list(page)
        page.flags &= ~(PG_active | PG_unevictable)


def release_pages(k: Kernel, pages: list[Page]) -> None:
    """Drop a reference of each; those without any are freed together, last one first."""
    to_free: list[Page] = []
    for page in pages:
        if mm_page_alloc.put_page_testzero(page):
            __page_cache_release(page)
            to_free.append(page)
    to_free.reverse()
    mm_page_alloc.free_unref_page_list(to_free)


def validate_lru(k: Kernel) -> None:
    """CONFIG_DEBUG_VM: PG_lru, lists and counters agree. Raises KernelBug."""
    for lru in range(NR_LRU_LISTS):
        if len(k.lru.lists[lru]) != k.vmstat.stat[lru]:
            raise KernelBug(f"LRU {LRU_NAMES[lru]} holds {len(k.lru.lists[lru])} pages, its counter says {k.vmstat.stat[lru]}")
        for pfn in k.lru.lists[lru]:
            page = k.mem_map[pfn]
            if not page.flags & PG_lru or page.lru_list != lru or page_lru(page) != lru or page._refcount == 0:
                raise KernelBug(f"{page!r} (lru_list {page.lru_list}) does not belong on LRU {LRU_NAMES[lru]}")
