# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking pages out of the page cache (mm/truncate.c): truncation and invalidation."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_dirty, PG_locked, PG_mappedtodisk, PG_writeback
from mmscope.kernel.lib.xarray import xa_find
from mmscope.kernel.mm.filemap import __delete_from_page_cache, delete_from_page_cache, lock_page, trylock_page, unlock_page
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.page_writeback import cancel_dirty_page
from mmscope.kernel.mm.swap import deactivate_file_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import AddressSpace

__all__ = [
    "invalidate_inode_page", "invalidate_mapping_pages", "truncate_inode_page", "truncate_inode_pages",
    "truncate_inode_pages_final", "truncate_inode_pages_range",
]  # fmt: skip


def _pages_in_range(mapping: AddressSpace, start: int, last: int) -> list[Page]:
    """The cached pages of [start, last], each with a reference."""
    pages: list[Page] = []
    found = xa_find(mapping.i_pages, start, last)
    while found is not None:
        page = found[1]
        assert isinstance(page, Page)
        page._refcount += 1
        pages.append(page)
        found = xa_find(mapping.i_pages, found[0] + 1, last)
    return pages


def truncate_cleanup_page(mapping: AddressSpace, page: Page) -> None:
    """Forget that the page was dirty. It must not be mapped."""
    if page._mapcount >= 0:
        # unmap_mapping_pages() comes with truncation of mapped files; nothing that is read-only can be truncated.
        raise KernelBug(f"truncation of {page!r} of inode {mapping.host.i_ino} while it is mapped")
    cancel_dirty_page(page)
    page.flags &= ~PG_mappedtodisk


def truncate_inode_page(mapping: AddressSpace, page: Page) -> None:
    """Remove a locked page from the cache whatever its state."""
    truncate_cleanup_page(mapping, page)
    delete_from_page_cache(page)


def truncate_inode_pages_range(mapping: AddressSpace, lstart: int, lend: int) -> None:
    """Remove the pages within bytes [lstart, lend]; lend -1 = to the end. Partial pages at both ends are zeroed."""
    start = (lstart + 4095) >> 12
    partial_start = lstart & 4095
    partial_end = 0 if lend == -1 else (lend + 1) & 4095
    end = 1 << 52 if lend == -1 else (lend + 1) >> 12
    for page in _pages_in_range(mapping, start, end - 1):
        lock_page(page)
        if page.mapping is mapping:
            truncate_inode_page(mapping, page)
        unlock_page(page)
        put_page(page)
    if partial_start:
        top = 4096
        if start > end:
            # Both ends in one page.
            top = partial_end
            partial_end = 0
        _zero_partial(mapping, start - 1, partial_start, top)
    if partial_end:
        _zero_partial(mapping, end, 0, partial_end)


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


def invalidate_inode_page(page: Page) -> bool:
    """Remove a locked page if it is clean and unmapped."""
    if page.mapping is None or page.flags & (PG_dirty | PG_writeback) or page._mapcount >= 0:
        return False
    # The cache's reference and the caller's: anybody else's keeps it.
    if page._refcount != 2:
        return False
    __delete_from_page_cache(page)
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
