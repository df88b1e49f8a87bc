# SPDX-License-Identifier: GPL-2.0-or-later
"""The page allocator (mm/page_alloc.c): one zone, a buddy system with free lists for 2**0..2**10 pages, one per-CPU list.

Not here: migrate types (all lists of an order are one), several zones or nodes, compaction, the page lock of free lists.
struct page comes into being when its frame is first allocated; until then the frame is known to be zero.
"""

from __future__ import annotations

import mmscope.kernel.mm.swap as mm_swap
from mmscope.kernel.arch.x86.cpu import clear_page, copy_page
from mmscope.kernel.include.errno import ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.gfp import ___GFP_DIRECT_RECLAIM, ___GFP_NORETRY, __GFP_ZERO, GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.mm import GUP_PIN_COUNTING_BIAS
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PAGE_BUDDY_MAPCOUNT_VALUE, PAGE_FLAGS_CHECK_AT_FREE, PG_reserved
from mmscope.kernel.tracepoint import trace_mm_page_alloc, trace_mm_page_free

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct

__all__ = [
    "FreeArea", "MAX_ORDER", "Zone", "__alloc_pages_nodemask", "__free_pages", "__get_free_pages", "__put_page",
    "alloc_page", "alloc_page_vma", "copy_user_highpage",
    "alloc_pages", "alloc_pages_vma", "alloc_zeroed_user_highpage_movable", "drain_all_pages", "free_pages", "free_unref_page",
    "free_unref_page_list", "get_page", "get_zeroed_page",
    "is_free_buddy_page", "mem_init", "nr_free_pages", "page_count",
    "page_mapcount", "page_ref_add", "pfn_to_page", "pfn_valid", "put_page",
    "put_page_testzero", "setup_per_zone_wmarks", "totalram_pages", "validate_zone",
]  # fmt: skip

MAX_ORDER: Final = 11
#: Larger blocks are nothing to kill for.
PAGE_ALLOC_COSTLY_ORDER: Final = 3
MAX_BLOCK: Final = 1 << (MAX_ORDER - 1)

#: [0, 1 MiB) is the firmware's, [1 MiB, 2 MiB) the kernel image; the last page of the image is empty_zero_page.
RESERVED_PFNS: Final = 512
EMPTY_ZERO_PFN: Final = 511
#: Less than 4 MiB is too small to boot.
MIN_PFNS: Final = 1024

_VMSTAT_PGALLOC: Final = 4
_VMSTAT_PGFREE: Final = 5


class FreeArea:
    """struct free_area: the free blocks of one order, by first pfn, as an ordered list.

    The list is `head` backwards, then the boot blocks upwards, then `tail` forwards. Memory that nobody has touched
    since boot is the range [boot_next, boot_end), so that a large RAM costs nothing at start-up.
    """

    def __init__(self) -> None:
        self.head: dict[int, None] = {}
        self.tail: dict[int, None] = {}
        self.boot_next = 0
        self.boot_end = 0

    def nr_free(self) -> int:
        """Number of blocks."""
        return len(self.head) + len(self.tail) + (self.boot_end - self.boot_next) // MAX_BLOCK

    def pop(self) -> int:
        """Take the first block; -1 if there is none."""
        if not self.head:
            if self.boot_next < self.boot_end:
                pfn = self.boot_next
                self.boot_next += MAX_BLOCK
                return pfn
            if not self.tail:
                return -1
            # The same list, kept in the other dict: its first is popitem()'s.
            self.head = dict.fromkeys(reversed(self.tail))
            self.tail = {}
        return self.head.popitem()[0]

    def contains(self, pfn: int) -> bool:
        """A block starts at `pfn`; the boot blocks, all of the largest order, do not count."""
        return pfn in self.head or pfn in self.tail

    def remove(self, pfn: int) -> None:
        """Take out the block at `pfn`."""
        if pfn in self.head:
            del self.head[pfn]
        else:
            del self.tail[pfn]

    def blocks(self) -> list[int]:
        """The first pfns in list order."""
        return [*reversed(self.head), *range(self.boot_next, self.boot_end, MAX_BLOCK), *self.tail]


class Zone:
    """struct zone, the only one, with its per_cpu_pages."""

    def __init__(self) -> None:
        self.free_area = [FreeArea() for _ in range(MAX_ORDER)]
        #: Pages in the buddy lists (NR_FREE_PAGES): pages on the per-CPU list do not count.
        self.nr_free = 0
        self.managed_pages = 0
        #: per_cpu_pages: the list (its first element last), batch and high, pages.
        self.pcp: list[int] = []
        self.pcp_batch = 1
        self.pcp_high = 6
        #: vm.min_free_kbytes
        self.min_free_kbytes = 0
        self.watermark_min = 0
        self.watermark_low = 0
        self.watermark_high = 0
        #: Frames that never were free (mem_map keeps PG_reserved pages for those below the kernel's end on demand).


# struct page and pfn


def pfn_valid(k: Kernel, pfn: int) -> bool:
    """`pfn` is a frame of RAM."""
    return 0 <= pfn < k.max_pfn


def pfn_to_page(k: Kernel, pfn: int) -> Page:
    """struct page of a frame."""
    page = k.mem_map.get(pfn)
    if page is None:
        if not pfn_valid(k, pfn):
            raise KernelBug(f"pfn_to_page: pfn {pfn:#x} is outside RAM of {k.max_pfn:#x} frames")
        page = Page(k, pfn)
        k.mem_map.add(page)
        if pfn < RESERVED_PFNS:
            page.flags = PG_reserved
            page._refcount = 1
    return page


def page_count(page: Page) -> int:
    """References held on `page`."""
    return page._refcount


def page_mapcount(page: Page) -> int:
    """Number of PTEs that map `page`; 0 for a page with a type (page table, free)."""
    return page._mapcount + 1 if page._mapcount >= -1 else 0


def get_page(page: Page) -> None:
    """Take a reference. Precondition: the caller, or something he holds on to, has one already."""
    if page._refcount <= 0:
        raise KernelBug(f"get_page on a free page: {page!r}, mapping {page.mapping!r}")
    page._refcount += 1


def page_ref_add(page: Page, nr: int) -> None:
    """`nr` references more."""
    page._refcount += nr


def page_maybe_dma_pinned(page: Page) -> bool:
    """Some pin_user_pages() holds the page, or a thousand others do: a pin counts as GUP_PIN_COUNTING_BIAS references."""
    return page._refcount >= GUP_PIN_COUNTING_BIAS


def put_page_testzero(page: Page) -> bool:
    """Drop a reference; True if it was the last one."""
    if page._refcount <= 0:
        raise KernelBug(f"put_page_testzero on a free page: {page!r}, mapping {page.mapping!r}")
    page._refcount -= 1
    return page._refcount == 0


def put_page(page: Page) -> None:
    """Drop a reference and free the page with the last one."""
    if put_page_testzero(page):
        __put_page(page)


def __put_page(page: Page) -> None:
    """The last reference is gone (Linux: __put_single_page)."""
    mm_swap.__page_cache_release(page)
    free_unref_page(page)


# The buddy system


def add_to_free_list(k: Kernel, zone: Zone, pfn: int, order: int, tail: bool) -> None:
    area = zone.free_area[order]
    if tail:
        area.tail[pfn] = None
    else:
        area.head[pfn] = None
    page = k.mem_map.get(pfn)
    if page is not None:
        page._mapcount = PAGE_BUDDY_MAPCOUNT_VALUE
        page.order = order


def _clear_buddy(k: Kernel, pfn: int) -> None:
    page = k.mem_map.get(pfn)
    if page is not None:
        page._mapcount = -1
        page.order = 0


def __find_buddy_pfn(pfn: int, order: int) -> int:
    """The other half of the block of the next order."""
    return pfn ^ (1 << order)


def buddy_merge_likely(zone: Zone, pfn: int, buddy_pfn: int, order: int) -> bool:
    """The next order's buddy is free: keep this block long unused, by putting it last (since it may soon merge)."""
    if order >= MAX_ORDER - 2:
        return False
    return zone.free_area[order + 1].contains(__find_buddy_pfn(buddy_pfn & pfn, order + 1))


def __free_one_page(k: Kernel, zone: Zone, pfn: int, order: int) -> None:
    """Put the block [pfn, pfn + 2**order) on its free list, merged with its buddies as far as they are free."""
    zone.nr_free += 1 << order
    while order < MAX_ORDER - 1:
        buddy_pfn = __find_buddy_pfn(pfn, order)
        area = zone.free_area[order]
        if not area.contains(buddy_pfn):
            break
        area.remove(buddy_pfn)
        _clear_buddy(k, buddy_pfn)
        pfn &= buddy_pfn
        order += 1
    to_tail = buddy_merge_likely(zone, pfn, __find_buddy_pfn(pfn, order), order)
    add_to_free_list(k, zone, pfn, order, to_tail)


def __rmqueue_smallest(k: Kernel, zone: Zone, order: int) -> int:
    """Take a block of 2**order pages out of the smallest that serves; the upper halves go back. -1: none."""
    for current_order in range(order, MAX_ORDER):
        pfn = zone.free_area[current_order].pop()
        if pfn < 0:
            continue
        _clear_buddy(k, pfn)
        zone.nr_free -= 1 << order
        high = current_order
        while high > order:
            high -= 1
            add_to_free_list(k, zone, pfn + (1 << high), high, False)
        return pfn
    return -1


# The per-CPU list of single pages


def rmqueue_bulk(k: Kernel, zone: Zone) -> None:
    """Fill the empty per-CPU list with pcp_batch pages, first found first used."""
    taken: list[int] = []
    for _ in range(zone.pcp_batch):
        pfn = __rmqueue_smallest(k, zone, 0)
        if pfn < 0:
            break
        taken.append(pfn)
    taken.reverse()
    zone.pcp = taken


def free_pcppages_bulk(k: Kernel, zone: Zone, count: int) -> None:
    """Give the `count` coldest pages of the per-CPU list back."""
    cold = zone.pcp[:count]
    del zone.pcp[:count]
    for pfn in cold:
        __free_one_page(k, zone, pfn, 0)


def drain_all_pages(k: Kernel) -> None:
    """Give all pages of the per-CPU list back."""
    free_pcppages_bulk(k, k.zone, len(k.zone.pcp))


def rmqueue_pcplist(k: Kernel, zone: Zone) -> int:
    if not zone.pcp:
        rmqueue_bulk(k, zone)
        if not zone.pcp:
            return -1
    return zone.pcp.pop()


def rmqueue(k: Kernel, zone: Zone, order: int) -> int:
    """First pfn of 2**order pages, single ones from the per-CPU list; -1: none."""
    if order == 0:
        return rmqueue_pcplist(k, zone)
    return __rmqueue_smallest(k, zone, order)


# Allocation


def prep_new_page(k: Kernel, pfn: int, order: int, gfp: int) -> Page:
    """Make struct pages of the frames, the first with one reference, and clear them if asked to."""
    mem_map = k.mem_map
    for frame in range(pfn, pfn + (1 << order)):
        page = mem_map.get(frame)
        if page is None:
            # Never used since power-on: zero already.
            mem_map.add(Page(k, frame))
            continue
        if page._refcount != 0 or page._mapcount != -1 or page.mapping is not None or page.flags & PAGE_FLAGS_CHECK_AT_FREE:
            raise KernelBug(f"bad page in the free lists: {page!r}, mapping {page.mapping!r}")
        page.private = None
        if gfp & __GFP_ZERO:
            clear_page(k, frame)
    first = mem_map[pfn]
    first._refcount = 1
    return first


def get_page_from_freelist(k: Kernel, gfp: int, order: int, mark: int) -> Page | None:
    """2**order pages, if more than `mark` stay free (zone_watermark_ok)."""
    zone = k.zone
    if zone.nr_free - (1 << order) + 1 <= mark:
        return None
    pfn = rmqueue(k, zone, order)
    if pfn < 0:
        return None
    return prep_new_page(k, pfn, order, gfp)


def __alloc_pages_slowpath(k: Kernel, gfp: int, order: int) -> Page | None:
    """Below the low watermark: down to the min one, reclaim page cache, drain what this CPU caches, then kill somebody.

    None only without __GFP_DIRECT_RECLAIM, with __GFP_NORETRY, and for who is about to die.
    """
    zone = k.zone
    page = get_page_from_freelist(k, gfp, order, zone.watermark_min)
    if page is not None or not gfp & ___GFP_DIRECT_RECLAIM:
        return page
    # Imported here: reclaim stands above the page cache, which stands above this file.
    from mmscope.kernel.mm.vmscan import try_to_free_pages

    while True:
        mark = zone.watermark_min
        # __gfp_pfmemalloc_flags(): ALLOC_OOM.
        dying = k.has_current() and k.current.signal.oom_mm is not None
        if dying:
            mark -= mark // 2
            page = get_page_from_freelist(k, gfp, order, mark)
            if page is not None:
                return page
        while try_to_free_pages(k, order):
            page = get_page_from_freelist(k, gfp, order, mark)
            if page is not None:
                return page
            drain_all_pages(k)
            page = get_page_from_freelist(k, gfp, order, mark)
            if page is not None:
                return page
        drain_all_pages(k)
        page = get_page_from_freelist(k, gfp, order, mark)
        if page is not None or gfp & ___GFP_NORETRY or order > PAGE_ALLOC_COSTLY_ORDER or not k.has_current():
            return page
        from mmscope.kernel.mm.oom_kill import out_of_memory

        # A victim that has used up the reserves fails; everybody else tries until there is memory.
        if dying or not out_of_memory(k, gfp, order):
            return None


def __alloc_pages_nodemask(k: Kernel, gfp: int, order: int) -> Page | None:
    """The heart of the allocator; None when out of memory (the caller reports -ENOMEM or VM_FAULT_OOM)."""
    page = get_page_from_freelist(k, gfp, order, k.zone.watermark_low)
    if page is None:
        page = __alloc_pages_slowpath(k, gfp, order)
        if page is None:
            return None
    k.vmstat.event[_VMSTAT_PGALLOC] += 1 << order
    trace_mm_page_alloc(k, page, order, gfp)
    return page


def alloc_pages_current(k: Kernel, gfp: int, order: int) -> Page | None:
    """alloc_pages() under the task's memory policy: the default one, always."""
    return __alloc_pages_nodemask(k, gfp, order)


def alloc_pages(k: Kernel, gfp: int, order: int) -> Page | None:
    """2**order consecutive frames, the first one's struct page; None when out of memory."""
    return alloc_pages_current(k, gfp, order)


def alloc_page(k: Kernel, gfp: int) -> Page | None:
    """One frame; None when out of memory."""
    return alloc_pages(k, gfp, 0)


def get_zeroed_page(k: Kernel, gfp: int) -> Page | None:
    """One zeroed frame (Linux returns its kernel address)."""
    return __get_free_pages(k, gfp | __GFP_ZERO, 0)


def alloc_pages_vma(k: Kernel, gfp: int, order: int, vma: VmAreaStruct | None, addr: int) -> Page | None:
    """2**order frames for `addr` under the vma's (None: a shmem file's) memory policy: the default one, always."""
    return __alloc_pages_nodemask(k, gfp, order)


def alloc_page_vma(gfp: int, vma: VmAreaStruct, addr: int) -> Page | None:
    """One frame for `addr`."""
    return alloc_pages_vma(vma.vm_mm.kernel, gfp, 0, vma, addr)


def alloc_zeroed_user_highpage_movable(vma: VmAreaStruct, addr: int) -> Page | None:
    """A zeroed frame for anonymous memory."""
    return alloc_page_vma(GFP_HIGHUSER_MOVABLE | __GFP_ZERO, vma, addr)


def copy_user_highpage(to: Page, from_: Page, vaddr: int, vma: VmAreaStruct) -> None:
    """Copy a frame that user mode will see at `vaddr` (include/linux/highmem.h; no cache needs to know the address)."""
    copy_page(to.kernel, to.pfn, from_.pfn)


# Freeing


def free_pages_prepare(page: Page, order: int) -> None:
    """Check that nothing refers to the page any more, and forget what it was."""
    k = page.kernel
    trace_mm_page_free(k, page, order)
    if page.mapping_tag:
        page.mapping = None
        page.mapping_tag = 0
    if page._refcount != 0 or page._mapcount != -1 or page.mapping is not None or page.flags & PAGE_FLAGS_CHECK_AT_FREE:
        raise KernelBug(f"bad page at free: {page!r}, mapping {page.mapping!r}, lru_list {page.lru_list}")
    page.flags = 0
    k.vmstat.event[_VMSTAT_PGFREE] += 1 << order


def free_unref_page_commit(page: Page) -> None:
    """Put a page on the per-CPU list."""
    k = page.kernel
    zone = k.zone
    zone.pcp.append(page.pfn)
    if len(zone.pcp) >= zone.pcp_high:
        free_pcppages_bulk(k, zone, zone.pcp_batch)


def free_unref_page(page: Page) -> None:
    """Free one page, without references, to the per-CPU list."""
    free_pages_prepare(page, 0)
    free_unref_page_commit(page)


def free_unref_page_list(pages: list[Page]) -> None:
    """free_unref_page() of each, in this order."""
    for page in pages:
        free_pages_prepare(page, 0)
    for page in pages:
        free_unref_page_commit(page)


def __get_free_pages(k: Kernel, gfp: int, order: int) -> Page | None:
    """2**order frames for the kernel's own use (Linux returns their address)."""
    return alloc_pages(k, gfp, order)


def free_pages(page: Page, order: int) -> None:
    """The inverse of __get_free_pages()."""
    __free_pages(page, order)


def __free_pages(page: Page, order: int) -> None:
    """Drop a reference to 2**order pages; free them with the last one."""
    if not put_page_testzero(page):
        return
    if order == 0:
        free_unref_page(page)
        return
    k = page.kernel
    free_pages_prepare(page, order)
    for pfn in range(page.pfn + 1, page.pfn + (1 << order)):
        tail = k.mem_map[pfn]
        if tail._refcount != 0 or tail.flags & PAGE_FLAGS_CHECK_AT_FREE or tail.mapping is not None:
            raise KernelBug(f"bad page at free: {tail!r} in the block of order {order} at {page!r}")
        tail.flags = 0
    __free_one_page(k, k.zone, page.pfn, order)


# Boot


def int_sqrt(x: int) -> int:
    r = 0
    bit = 1 << 62
    while bit > x:
        bit >>= 2
    while bit:
        if x >= r + bit:
            x -= r + bit
            r = (r >> 1) + bit
        else:
            r >>= 1
        bit >>= 2
    return r


def zone_batchsize(managed_pages: int) -> int:
    """Pages moved at once between buddy lists and per-CPU list: about 1/4096 of the zone, of the form 2**n - 1."""
    batch = min(managed_pages // 1024, 256) // 4
    if batch < 1:
        batch = 1
    batch += batch // 2
    return max((1 << (batch.bit_length() - 1)) - 1, 1)


def init_per_zone_wmark_min(zone: Zone) -> None:
    """vm.min_free_kbytes = 4 * sqrt(KiB of RAM)."""
    zone.min_free_kbytes = min(max(int_sqrt(zone.managed_pages * 4 * 16), 128), 262144)
    setup_per_zone_wmarks(zone)


def setup_per_zone_wmarks(zone: Zone) -> None:
    """The watermarks that follow from vm.min_free_kbytes."""
    zone.watermark_min = zone.min_free_kbytes >> 2
    gap = max(zone.watermark_min >> 2, zone.managed_pages * 10 // 10000)
    zone.watermark_low = zone.watermark_min + gap
    zone.watermark_high = zone.watermark_min + 2 * gap


def init_zero_pfn(k: Kernel) -> None:
    """The page that reads of untouched anonymous memory share (mm/memory.c)."""
    k.zero_pfn = EMPTY_ZERO_PFN
    pfn_to_page(k, EMPTY_ZERO_PFN)


def mem_init(k: Kernel) -> None:
    """Reserve the firmware's and the kernel's frames and free all others. Cost: independent of the RAM's size.

    Raises KernelError(ENOMEM) where RAM is too small to boot.
    """
    if k.max_pfn < MIN_PFNS:
        raise KernelError(ENOMEM)
    zone = k.zone
    init_zero_pfn(k)
    zone.managed_pages = k.max_pfn - RESERVED_PFNS
    zone.nr_free = zone.managed_pages
    # memblock frees upwards, in the largest aligned blocks, each put last on its list (since v5.10).
    pfn = RESERVED_PFNS
    while pfn < k.max_pfn:
        order = min((pfn & -pfn).bit_length() - 1, MAX_ORDER - 1)
        while pfn + (1 << order) > k.max_pfn:
            order -= 1
        area = zone.free_area[order]
        if order == MAX_ORDER - 1:
            area.boot_next = pfn
            area.boot_end = pfn = k.max_pfn & -MAX_BLOCK
            continue
        area.tail[pfn] = None
        pfn += 1 << order
    zone.pcp_batch = zone_batchsize(zone.managed_pages)
    zone.pcp_high = 6 * zone.pcp_batch
    init_per_zone_wmark_min(zone)


def totalram_pages(k: Kernel) -> int:
    """Pages that the allocator manages."""
    return k.zone.managed_pages


def nr_free_pages(k: Kernel) -> int:
    """Pages in the buddy lists; as in Linux the per-CPU list does not count."""
    return k.zone.nr_free


def is_free_buddy_page(k: Kernel, pfn: int) -> bool:
    """The frame lies in a free block, as its head or behind it."""
    areas = k.zone.free_area
    top = areas[MAX_ORDER - 1]
    if top.boot_next <= pfn < top.boot_end:
        return True
    return any(areas[order].contains(pfn & -(1 << order)) for order in range(MAX_ORDER))


def validate_zone(k: Kernel) -> None:
    """CONFIG_DEBUG_VM: blocks are aligned, disjoint and add up; every other frame is in use. Raises KernelBug."""
    zone = k.zone
    free: dict[int, int] = {}
    total = 0
    for order in range(MAX_ORDER):
        for pfn in zone.free_area[order].head | zone.free_area[order].tail:
            if pfn & ((1 << order) - 1):
                raise KernelBug(f"free block {pfn:#x} of order {order} is not aligned")
            if order < MAX_ORDER - 1 and zone.free_area[order].contains(__find_buddy_pfn(pfn, order)):
                raise KernelBug(f"free blocks {pfn:#x} and {__find_buddy_pfn(pfn, order):#x} of order {order} did not merge")
            for frame in range(pfn, pfn + (1 << order)):
                if frame in free:
                    raise KernelBug(f"frame {frame:#x} is free in two blocks: at {pfn:#x} and at {free[frame]:#x}")
                free[frame] = pfn
            total += 1 << order
    area = zone.free_area[MAX_ORDER - 1]
    total += area.boot_end - area.boot_next
    if total != zone.nr_free:
        raise KernelBug(f"zone counts {zone.nr_free} free pages, its lists hold {total}")
    for pfn in zone.pcp:
        if pfn in free:
            raise KernelBug(f"frame {pfn:#x} is on the per-CPU list and in the free block at {free[pfn]:#x}")
        free[pfn] = pfn
    for page in k.mem_map.pages:
        pfn = page.pfn
        if pfn in free:
            if page._refcount:
                raise KernelBug(f"{page!r} is in use and in the free block at {free[pfn]:#x}")
        elif page._refcount == 0 and area.boot_next <= pfn < area.boot_end:
            raise KernelBug(f"{page!r} exists in the untouched range {area.boot_next:#x}-{area.boot_end:#x}")
