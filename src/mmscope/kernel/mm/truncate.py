# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking pages out of the page cache (mm/truncate.c): truncation and invalidation."""

from __future__ import annotations

import mmscope.kernel.fs.buffer as fs_buffer
import mmscope.kernel.mm.filemap as mm_filemap
import mmscope.kernel.mm.memory_truncate as mm_memory
import mmscope.kernel.mm.page_writeback as mm_page_writeback
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_dirty, PG_locked, PG_mappedtodisk, PG_private, PG_writeback
from mmscope.kernel.include.pagemap import lock_page, trylock_page, unlock_page
from mmscope.kernel.lib.xarray import xa_erase, xa_find
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.swap import deactivate_file_page, lru_add_drain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import AddressSpace, Inode

__all__ = [
    "invalidate_inode_page", "invalidate_inode_pages2_range", "invalidate_mapping_pages",
    "pagecache_isize_extended", "truncate_inode_page", "truncate_inode_pages", "truncate_inode_pages_final",
    "truncate_inode_pages_range", "truncate_pagecache", "truncate_pagecache_range",
]  # fmt: skip

#: Beyond the last page that any file can have.
_PAGES_MAX: Final = 1 << 52


def _pages_in_range(mapping: AddressSpace, start: int, last: int) -> list[Page]:
    """The cached pages of [start, last], each with a reference."""
    pages: list[Page] = []
    found = xa_find(mapping.i_pages, start, last)
    while found is not None:
        page = found[1]
        if isinstance(page, Page):
            page._refcount += 1
            pages.append(page)
        found = xa_find(mapping.i_pages, found[0] + 1, last)
    return pages


# --- truncation


def truncate_cleanup_page(mapping: AddressSpace, page: Page) -> None:
    """Unmap the page where it is still mapped (a fault came after unmap_mapping_range()), and forget that it was dirty."""
    if page._mapcount >= 0:
        mm_memory.unmap_mapping_pages(mapping, page.index, 1, False)
    if page.flags & PG_private:
        fs_buffer.do_invalidatepage(page)
    mm_page_writeback.cancel_dirty_page(page)
    page.flags &= ~PG_mappedtodisk


def truncate_inode_page(mapping: AddressSpace, page: Page) -> None:
    """Remove a locked page from the cache whatever its state."""
    truncate_cleanup_page(mapping, page)
    mm_filemap.delete_from_page_cache(page)


def truncate_inode_pages_range(mapping: AddressSpace, lstart: int, lend: int) -> None:
    """Remove the pages within bytes [lstart, lend]; lend -1 = to the end. Partial pages at both ends are zeroed."""
    if mapping.nrpages == 0 and mapping.nrexceptional == 0:
        return
    start = (lstart + 4095) >> 12
    partial_start = lstart & 4095
    partial_end = 0 if lend == -1 else (lend + 1) & 4095
    end = _PAGES_MAX if lend == -1 else (lend + 1) >> 12
    for page in _pages_in_range(mapping, start, end - 1):
        lock_page(page)
        if page.mapping is mapping:
            mm_page_writeback.wait_on_page_writeback(page)
            truncate_inode_page(mapping, page)
        unlock_page(page)
        put_page(page)
    if mapping.nrexceptional:
        clear_shadow_entries(mapping, start, end - 1)
    if partial_start:
        top = 4096
        if start > end:
            # Both ends in one page.
            top = partial_end
            partial_end = 0
        _zero_partial(mapping, start - 1, partial_start, top)
    if partial_end:
        _zero_partial(mapping, end, 0, partial_end)


def clear_shadow_entries(mapping: AddressSpace, start: int, last: int) -> None:
    """Forget what was reclaimed of [start, last] (truncate_exceptional_pvec_entries)."""
    found = xa_find(mapping.i_pages, start, last)
    while found is not None:
        if isinstance(found[1], int):
            xa_erase(mapping.i_pages, found[0])
            mapping.nrexceptional -= 1
        found = xa_find(mapping.i_pages, found[0] + 1, last)


def _zero_partial(mapping: AddressSpace, index: int, start: int, end: int) -> None:
    for page in _pages_in_range(mapping, index, index):
        phys_write(page.kernel, (page.pfn << 12) + start, bytes(end - start))
        put_page(page)


def truncate_inode_pages(mapping: AddressSpace, lstart: int) -> None:
    """Remove all pages from byte `lstart` on."""
    truncate_inode_pages_range(mapping, lstart, -1)


def truncate_inode_pages_final(mapping: AddressSpace) -> None:
    """The inode goes: remove all pages."""
    truncate_inode_pages(mapping, 0)


def truncate_pagecache(inode: Inode, newsize: int) -> None:
    """The file ends at `newsize` now: unmap what lies beyond, private copies included, and drop its pages.

    Twice unmapped: between the first time and the removal of the pages a fault can copy one privately.
    """
    mapping = inode.i_mapping
    holebegin = (newsize + 4095) & -4096
    mm_memory.unmap_mapping_range(mapping, holebegin, 0, True)
    truncate_inode_pages(mapping, newsize)
    mm_memory.unmap_mapping_range(mapping, holebegin, 0, True)


def pagecache_isize_extended(inode: Inode, from_: int, to: int) -> None:
    """With blocks smaller than a page the last page would have to fault again, to get blocks: here a block is a page."""


def truncate_pagecache_range(inode: Inode, lstart: int, lend: int) -> None:
    """Bytes [lstart, lend] of the file become a hole: unmap the whole pages (private copies stay), drop them, zero the rest."""
    mapping = inode.i_mapping
    unmap_start = (lstart + 4095) & -4096
    unmap_end = (1 + lend) & -4096
    if unmap_end - 1 > unmap_start:
        mm_memory.unmap_mapping_range(mapping, unmap_start, unmap_end - unmap_start, False)
    truncate_inode_pages_range(mapping, lstart, lend)


# --- invalidation: only what nobody would miss


def invalidate_inode_page(page: Page) -> bool:
    """Remove a locked page if it is clean and unmapped."""
    if page.mapping is None or page.flags & (PG_dirty | PG_writeback) or page._mapcount >= 0:
        return False
    if page.flags & PG_private and not fs_buffer.try_to_release_page(page):
        return False
    # The cache's reference and the caller's: anybody else's keeps it.
    if page._refcount != 2:
        return False
    mm_filemap.__delete_from_page_cache(page)
    put_page(page)
    return True


def invalidate_mapping_pages(mapping: AddressSpace, start: int, end: int) -> int:
    """posix_fadvise(DONTNEED), drop_caches: remove the clean, unmapped, unlocked pages of [start, end] (indices).

    The others are sent to the end of the inactive list. The number of pages removed.
    """
    count = 0
    for page in _pages_in_range(mapping, start, end):
        if page.flags & PG_locked or not trylock_page(page):
            put_page(page)
            continue
        removed = invalidate_inode_page(page)
        unlock_page(page)
        if removed:
            count += 1
        else:
            deactivate_file_page(page)
        put_page(page)
    return count


def invalidate_inode_pages2_range(mapping: AddressSpace, start: int, end: int) -> bool:
    """Remove pages [start, end], unmapping them; dirty ones, and those that others hold, stay: then False (EBUSY)."""
    all_gone = True
    unmapped = False
    if mapping.nrpages == 0:
        return True
    # The pagevec's own reference would keep a fresh page (invalidate_complete_page2 drains it on failure).
    lru_add_drain(mapping.host.i_sb.kernel)
    for page in _pages_in_range(mapping, start, end):
        lock_page(page)
        if page.mapping is not mapping:
            unlock_page(page)
            put_page(page)
            continue
        mm_page_writeback.wait_on_page_writeback(page)
        if page._mapcount >= 0:
            # The rest of the range at once; what is mapped again meanwhile, alone.
            nr = 1 if unmapped else end - page.index + 1
            mm_memory.unmap_mapping_pages(mapping, page.index, nr, False)
            unmapped = True
        released = not page.flags & PG_private or fs_buffer.try_to_release_page(page)
        if not released or page.flags & PG_dirty or page._refcount != 2:
            all_gone = False
        else:
            mm_filemap.__delete_from_page_cache(page)
            put_page(page)
        unlock_page(page)
        put_page(page)
    return all_gone
