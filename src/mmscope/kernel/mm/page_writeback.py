# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty pages (mm/page-writeback.c): marking them, throttling who makes too many, and writing them back.

    PG_dirty  <->  PAGECACHE_TAG_DIRTY          set by __set_page_dirty_nobuffers(), cleared when writing begins:
    clear_page_dirty_for_io()                   takes the write bit from every PTE (page_mkclean), so that the next store faults
    test_set_page_writeback()                   PG_writeback <-> PAGECACHE_TAG_WRITEBACK, while the device works
    end_page_writeback()

PAGECACHE_TAG_TOWRITE marks what a synchronous writer found dirty when it began: what gets dirty after that is not its business.
"""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
from mmscope.kernel.include.errno import EIO, ENOSPC, KernelBug, KernelError
from mmscope.kernel.include.fs import I_DIRTY_PAGES, AddressSpace, WritebackControl
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PG_dirty, PG_error, PG_reclaim, PG_writeback
from mmscope.kernel.include.pagemap import lock_page, trylock_page, unlock_page
from mmscope.kernel.lib.xarray import XA_MARK_0, XA_MARK_1, XA_MARK_2, xa_clear_mark, xa_find_marked, xa_get_mark, xa_set_mark
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.rmap import page_mkclean
from mmscope.kernel.mm.swap import rotate_reclaimable_page
from mmscope.kernel.mm.vmstat import (
    NR_DIRTIED,
    NR_FILE_DIRTY,
    NR_WRITEBACK,
    NR_WRITTEN,
    NR_ZONE_ACTIVE_FILE,
    NR_ZONE_INACTIVE_FILE,
    mod_page_state,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "AS_EIO", "AS_ENOSPC", "PAGECACHE_TAG_DIRTY", "PAGECACHE_TAG_TOWRITE", "PAGECACHE_TAG_WRITEBACK", "__set_page_dirty",
    "__set_page_dirty_no_writeback", "__set_page_dirty_nobuffers", "account_page_dirtied", "balance_dirty_pages_ratelimited",
    "cancel_dirty_page", "clear_page_dirty_for_io", "do_writepages", "end_page_writeback", "generic_writepages",
    "global_dirty_limits", "mapping_set_error", "over_bground_thresh", "page_mapping", "page_rmapping", "set_page_dirty",
    "tag_pages_for_writeback", "test_set_page_writeback", "wait_for_stable_page", "wait_on_page_writeback",
    "write_cache_pages",
]  # fmt: skip

PAGECACHE_TAG_DIRTY: Final = XA_MARK_0
PAGECACHE_TAG_WRITEBACK: Final = XA_MARK_1
PAGECACHE_TAG_TOWRITE: Final = XA_MARK_2

#: mapping->flags: an error of writeback that nobody has been told yet.
AS_EIO: Final = 1 << 0
AS_ENOSPC: Final = 1 << 1


def page_rmapping(page: Page) -> object:
    """page->mapping without its tag: an AnonVma or an AddressSpace (mm/util.c)."""
    return page.mapping


def page_mapping(page: Page) -> AddressSpace | None:
    """The file that the page belongs to; None for an anonymous or a free page (mm/util.c)."""
    mapping = page.mapping
    if page.mapping_tag & PAGE_MAPPING_ANON or mapping is None:
        return None
    assert isinstance(mapping, AddressSpace)
    return mapping


# --- dirtying


def __set_page_dirty_no_writeback(page: Page) -> bool:
    """set_page_dirty of memory-only file systems; True if the page was clean."""
    if page.flags & PG_dirty:
        return False
    page.flags |= PG_dirty
    return True


def set_page_dirty(page: Page) -> bool:
    """The page differs from its backing store; True if it was clean. A hook of the file system does the work."""
    mapping = page_mapping(page)
    if mapping is not None:
        page.flags &= ~PG_reclaim
        if mapping.a_ops.set_page_dirty is not None:
            return mapping.a_ops.set_page_dirty(page)
    return __set_page_dirty_no_writeback(page)


def account_page_dirtied(page: Page, mapping: AddressSpace) -> None:
    """Count a page that became dirty."""
    mod_page_state(page.kernel, NR_FILE_DIRTY, 1)
    mod_page_state(page.kernel, NR_DIRTIED, 1)


def __set_page_dirty(page: Page, mapping: AddressSpace) -> None:
    """PG_dirty was just set: the XArray's mark, the counters. Nothing for a page that was truncated meanwhile (fs/buffer.c)."""
    if page.mapping is None:
        return
    account_page_dirtied(page, mapping)
    xa_set_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY)


def __set_page_dirty_nobuffers(page: Page) -> bool:
    """set_page_dirty of file systems that write back and have no buffers. True if the page was clean."""
    if page.flags & PG_dirty:
        return False
    page.flags |= PG_dirty
    mapping = page_mapping(page)
    if mapping is not None:
        __set_page_dirty(page, mapping)
        fs_writeback.__mark_inode_dirty(mapping.host, I_DIRTY_PAGES)
    return True


def cancel_dirty_page(page: Page) -> None:
    """The page goes: its data need not be written. Only a page with the XArray's mark was counted."""
    if not page.flags & PG_dirty:
        return
    page.flags &= ~PG_dirty
    mapping = page_mapping(page)
    if mapping is not None and xa_get_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY):
        mod_page_state(page.kernel, NR_FILE_DIRTY, -1)


# --- limits


def global_dirtyable_memory(k: Kernel) -> int:
    """Pages that may be dirty at most: what is free, but for the reserve, and the page cache."""
    stat = k.vmstat.stat
    return max(k.zone.nr_free - k.zone.watermark_high, 0) + stat[NR_ZONE_INACTIVE_FILE] + stat[NR_ZONE_ACTIVE_FILE] + 1


def global_dirty_limits(k: Kernel) -> tuple[int, int]:
    """Pages that may be dirty before writeback starts in the background, and before writers wait."""
    available = global_dirtyable_memory(k)
    config = k.config
    if config.vm_dirty_bytes:
        thresh = -(-config.vm_dirty_bytes // 4096)
    else:
        thresh = config.vm_dirty_ratio * 4096 // 100 * available // 4096
    if config.dirty_background_bytes:
        background = -(-config.dirty_background_bytes // 4096)
    else:
        background = config.dirty_background_ratio * 4096 // 100 * available // 4096
    if background >= thresh:
        background = thresh // 2
    return background, thresh


def over_bground_thresh(k: Kernel) -> bool:
    """The flusher has to work although nothing is old."""
    return k.vmstat.stat[NR_FILE_DIRTY] > global_dirty_limits(k)[0]


def balance_dirty_pages_ratelimited(mapping: AddressSpace) -> None:
    """A task that dirtied pages helps writing when there are too many. Linux makes it wait for the flusher instead."""
    sb = mapping.host.i_sb
    if not sb.s_bdi_writeback:
        return
    k = sb.kernel
    if k.vmstat.stat[NR_FILE_DIRTY] > global_dirty_limits(k)[1]:
        fs_writeback.wakeup_flusher_threads(k)


# --- writing


def clear_page_dirty_for_io(page: Page) -> bool:
    """A locked page is about to be written: from now on a store to it makes it dirty again. False if it was clean."""
    mapping = page_mapping(page)
    if mapping is None:
        dirty = page.flags & PG_dirty != 0
        page.flags &= ~PG_dirty
        return dirty
    # A store between the two would set the PTE's dirty bit only: page_mkclean() finds it and the page stays dirty until here.
    if page_mkclean(page):
        set_page_dirty(page)
    if not page.flags & PG_dirty:
        return False
    page.flags &= ~PG_dirty
    mod_page_state(page.kernel, NR_FILE_DIRTY, -1)
    return True


def test_set_page_writeback(page: Page) -> bool:
    """Writing begins: PG_writeback and the mark; the marks of what is to be written go."""
    mapping = page_mapping(page)
    if page.flags & PG_writeback:
        return True
    page.flags |= PG_writeback
    if mapping is not None:
        xa_set_mark(mapping.i_pages, page.index, PAGECACHE_TAG_WRITEBACK)
        if not page.flags & PG_dirty:
            xa_clear_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY)
        xa_clear_mark(mapping.i_pages, page.index, PAGECACHE_TAG_TOWRITE)
    mod_page_state(page.kernel, NR_WRITEBACK, 1)
    return False


def end_page_writeback(page: Page) -> None:
    """The device is done with the page."""
    if not page.flags & PG_writeback:
        raise KernelBug(f"end_page_writeback: {page!r} of {page.mapping!r} is not being written")
    if page.flags & PG_reclaim:
        page.flags &= ~PG_reclaim
        rotate_reclaimable_page(page)
    page.flags &= ~PG_writeback
    mapping = page_mapping(page)
    if mapping is not None:
        xa_clear_mark(mapping.i_pages, page.index, PAGECACHE_TAG_WRITEBACK)
    mod_page_state(page.kernel, NR_WRITEBACK, -1)
    mod_page_state(page.kernel, NR_WRITTEN, 1)


def wait_on_page_writeback(page: Page) -> None:
    """Requests are done at once, so nobody ever meets a page that is being written."""
    if page.flags & PG_writeback:
        raise KernelBug(f"wait_on_page_writeback: {page!r} of {page.mapping!r} is being written, and nobody will end it")


def wait_for_stable_page(page: Page) -> None:
    """A page under writeback must not change where the device computes checksums: no device here does."""


def mapping_set_error(mapping: AddressSpace, errno: int) -> None:
    """Writing a page failed: the next fsync of each open file says so (include/linux/pagemap.h)."""
    mapping.wb_err += 1
    mapping.wb_errno = errno
    mapping.flags |= AS_ENOSPC if errno == ENOSPC else AS_EIO


def tag_pages_for_writeback(mapping: AddressSpace, start: int, end: int) -> None:
    """PAGECACHE_TAG_TOWRITE for the dirty pages of [start, end]."""
    found = xa_find_marked(mapping.i_pages, start, end, PAGECACHE_TAG_DIRTY)
    while found is not None:
        xa_set_mark(mapping.i_pages, found[0], PAGECACHE_TAG_TOWRITE)
        found = xa_find_marked(mapping.i_pages, found[0] + 1, end, PAGECACHE_TAG_DIRTY)


def write_cache_pages(mapping: AddressSpace, wbc: WritebackControl, writepage: Callable[[Page, WritebackControl], None]) -> None:
    """Call `writepage` for the dirty pages of the range, each locked and cleaned. Raises the first error, after all were tried.

    WB_SYNC_NONE stops at the first error and after wbc.nr_to_write pages.
    """
    index = wbc.range_start >> 12
    end = wbc.range_end >> 12
    error: KernelError | None = None
    tag = PAGECACHE_TAG_DIRTY
    if wbc.sync_mode:
        tag_pages_for_writeback(mapping, index, end)
        tag = PAGECACHE_TAG_TOWRITE
    while True:
        found = xa_find_marked(mapping.i_pages, index, end, tag)
        if found is None:
            break
        index = found[0] + 1
        page = found[1]
        assert isinstance(page, Page)
        page._refcount += 1
        if wbc.sync_mode:
            lock_page(page)
        elif not trylock_page(page):
            # The flusher of Linux waits; here it runs in reclaim, on behalf of who may have locked the page.
            put_page(page)
            continue
        if page.mapping is not mapping or not page.flags & PG_dirty:
            xa_clear_mark(mapping.i_pages, found[0], PAGECACHE_TAG_TOWRITE)
            unlock_page(page)
            put_page(page)
            continue
        wait_on_page_writeback(page)
        if clear_page_dirty_for_io(page):
            try:
                writepage(page, wbc)
            except KernelError as failure:
                if error is None:
                    error = failure
        else:
            unlock_page(page)
        put_page(page)
        wbc.nr_to_write -= 1
        if not wbc.sync_mode and (error is not None or wbc.nr_to_write <= 0):
            break
    if error is not None:
        raise error


def generic_writepages(mapping: AddressSpace, wbc: WritebackControl) -> None:
    """writepages of file systems that have a writepage only. Raises EIO, ENOSPC."""
    writepage = mapping.a_ops.writepage
    if writepage is None:
        return
    try:
        write_cache_pages(mapping, wbc, writepage)
    except KernelError as error:
        # __writepage()
        mapping_set_error(mapping, error.errno or EIO)
        raise


def do_writepages(mapping: AddressSpace, wbc: WritebackControl) -> None:
    """Write the mapping's dirty pages as the control says. Raises EIO, ENOSPC."""
    if wbc.nr_to_write <= 0:
        return
    if mapping.a_ops.writepages is not None:
        mapping.a_ops.writepages(mapping, wbc)
    else:
        generic_writepages(mapping, wbc)


def page_endio_write(page: Page, errno: int) -> None:
    """The request for a page ended (ext4_end_bio, end_buffer_async_write): with an error the page keeps PG_error."""
    if errno:
        page.flags |= PG_error
        mapping = page_mapping(page)
        if mapping is not None:
            mapping_set_error(mapping, errno)
    end_page_writeback(page)
