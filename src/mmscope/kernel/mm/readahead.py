# SPDX-License-Identifier: GPL-2.0-or-later
"""Readahead (mm/readahead.c): which pages around or after a request are read with it.

    |<----------------- ra_size ------------------>|
    |                         |<-- ra_async_size ->|
    ra_start                  page with PG_readahead: who meets it starts the next window

PG_readahead is PG_reclaim's bit: the one is for reads, the other for writeback.
"""

from __future__ import annotations

import mmscope.kernel.mm.filemap as mm_filemap
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import FMODE_RANDOM, ReadaheadControl
from mmscope.kernel.include.gfp import ___GFP_NORETRY, __GFP_NOWARN, GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.page_flags import PG_error, PG_locked, PG_readahead, PG_writeback
from mmscope.kernel.include.pagemap import unlock_page
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import AddressSpace, File
    from mmscope.kernel.include.mm_types import Page

__all__ = [
    "PG_readahead", "ReadaheadControl", "do_page_cache_ra", "force_page_cache_ra", "ondemand_readahead", "page_cache_async_ra",
    "page_cache_ra_order",
    "page_cache_async_readahead", "page_cache_ra_unbounded", "page_cache_sync_ra", "page_cache_sync_readahead",
]  # fmt: skip


def read_pages(rac: ReadaheadControl) -> None:
    """Read the batch. An error stays with its page (not uptodate): who needs the page tries again."""
    if not rac.pages:
        return
    readahead = rac.mapping.a_ops.readahead
    readpage = rac.mapping.a_ops.readpage
    if readahead is not None:
        readahead(rac)
        readpage = None
    for page in rac.pages:
        if readpage is not None:
            try:
                readpage(rac.file, page)
            except KernelError:
                page.flags |= PG_error
        if page.flags & PG_locked:
            unlock_page(page)
        put_page(page)
    rac.pages = []


def page_cache_ra_unbounded(rac: ReadaheadControl, nr_to_read: int, lookahead_size: int) -> None:
    """Read the absent ones of `nr_to_read` pages from rac's index on; mark the one `lookahead_size` before the end."""
    mapping = rac.mapping
    index = rac._index
    for i in range(nr_to_read):
        found = xa_load(mapping.i_pages, index + i)
        if found is not None and not isinstance(found, int):
            # Already there. What was collected before it is one request.
            read_pages(rac)
            continue
        if not ra_alloc_folio(rac, index + i, index + nr_to_read - lookahead_size):
            break
    read_pages(rac)


def ra_alloc_folio(rac: ReadaheadControl, index: int, mark: int) -> bool:
    """An absent page into the cache and into the batch; False if there is no memory."""
    # readahead_gfp_mask(): it may fail.
    page = mm_filemap.__page_cache_alloc(rac.mapping, GFP_HIGHUSER_MOVABLE | ___GFP_NORETRY | __GFP_NOWARN)
    if page is None:
        return False
    mm_filemap.add_to_page_cache_lru(page, rac.mapping, index, 0)
    if index == mark:
        page.flags |= PG_readahead
    rac.pages.append(page)
    return True


def page_cache_ra_order(rac: ReadaheadControl, ra: File) -> None:
    """The window of `ra`, not beyond the page of the file's last byte.

    Where folios may be large (ext4 since v6.16, 7ac67301e82f) the marker stands where it would in a longer file; else it is
    ra_async_size pages before the end of what is read. The folios of the model have one page all the same.
    """
    host = rac.mapping.host
    start = rac._index
    index = start
    if host.i_sb.s_type == "ext4" and host.i_sb.kernel.config.at_least(6, 16) and ra.ra_size >= 4:
        end = min(start + ra.ra_size, (host.i_size + 4095) >> 12)
        mark = start + ra.ra_size - ra.ra_async_size
        while index < end:
            found = xa_load(rac.mapping.i_pages, index)
            if (found is not None and not isinstance(found, int)) or not ra_alloc_folio(rac, index, mark):
                break
            index += 1
        read_pages(rac)
        if index >= end:
            return
        rac._index = index
    do_page_cache_ra(rac, ra.ra_size - (index - start), ra.ra_async_size)


def do_page_cache_ra(rac: ReadaheadControl, nr_to_read: int, lookahead_size: int) -> None:
    """page_cache_ra_unbounded(), not beyond the page of the file's last byte."""
    isize = rac.mapping.host.i_size
    index = rac._index
    if isize == 0:
        return
    end_index = (isize - 1) >> 12
    if index > end_index:
        return
    if nr_to_read > end_index - index:
        nr_to_read = end_index - index + 1
    page_cache_ra_unbounded(rac, nr_to_read, lookahead_size)


def force_page_cache_ra(rac: ReadaheadControl, ra: File, nr_to_read: int) -> None:
    """Read what was asked for and nothing else, 2 MiB at a time (fadvise, random access)."""
    if rac.mapping.a_ops.readpage is None:
        return
    index = rac._index
    nr_to_read = min(nr_to_read, max(rac.mapping.host.i_sb.io_pages, ra.ra_pages))
    while nr_to_read:
        this_chunk = min(512, nr_to_read)
        rac._index = index
        do_page_cache_ra(rac, this_chunk, 0)
        index += this_chunk
        nr_to_read -= this_chunk


def get_init_ra_size(size: int, max_pages: int) -> int:
    """The first window for a request of `size` pages."""
    newsize = 1 << (size - 1).bit_length() if size > 0 else 0
    if newsize <= max_pages // 32:
        return newsize * 4
    if newsize <= max_pages // 4:
        return newsize * 2
    return max_pages


def get_next_ra_size(ra: File, max_pages: int) -> int:
    """The window after ra_size."""
    cur = ra.ra_size
    if cur < max_pages // 16:
        return 4 * cur
    if cur <= max_pages // 2:
        return 2 * cur
    return max_pages


def count_history_pages(mapping: AddressSpace, index: int, max_pages: int) -> int:
    """How many pages right before `index` are cached, at most max_pages."""
    head = mm_filemap.page_cache_prev_miss(mapping, index - 1, max_pages)
    return index - 1 - head


def try_context_readahead(mapping: AddressSpace, ra: File, index: int, req_size: int, max_pages: int) -> bool:
    """Guess from the cached pages before `index` that somebody reads sequentially."""
    size = count_history_pages(mapping, index, max_pages)
    if size <= req_size:
        return False
    # History back to the file's start: a strong sign.
    if size >= index:
        size *= 2
    ra.ra_start = index
    ra.ra_size = min(size + req_size, max_pages)
    ra.ra_async_size = 1
    return True


def _init_readahead(ra: File, index: int, req_size: int, max_pages: int) -> None:
    ra.ra_start = index
    ra.ra_size = get_init_ra_size(req_size, max_pages)
    ra.ra_async_size = ra.ra_size - req_size if ra.ra_size > req_size else ra.ra_size


def _ra_submit(rac: ReadaheadControl, ra: File, index: int, max_pages: int) -> None:
    if index == ra.ra_start and ra.ra_size == ra.ra_async_size:
        # The request would meet its own marker at once: take the next window along.
        add_pages = get_next_ra_size(ra, max_pages)
        if ra.ra_size + add_pages <= max_pages:
            ra.ra_async_size = add_pages
            ra.ra_size += add_pages
        else:
            ra.ra_size = max_pages
            ra.ra_async_size = max_pages >> 1
    rac._index = ra.ra_start
    page_cache_ra_order(rac, ra)


def ondemand_readahead(rac: ReadaheadControl, ra: File, hit_readahead_marker: bool, req_size: int) -> None:
    """Find out how the file is read and read accordingly. `ra` is the struct file: its ra_* are file_ra_state."""
    max_pages = ra.ra_pages
    index = rac._index
    io_pages = rac.mapping.host.i_sb.io_pages
    if req_size > max_pages and max_pages < io_pages:
        max_pages = min(req_size, io_pages)
    if index == 0:
        _init_readahead(ra, index, req_size, max_pages)
    elif index in (ra.ra_start + ra.ra_size - ra.ra_async_size, ra.ra_start + ra.ra_size):
        # Where the last window said that the next request would come: sequential.
        ra.ra_start += ra.ra_size
        ra.ra_size = get_next_ra_size(ra, max_pages)
        ra.ra_async_size = ra.ra_size
    elif hit_readahead_marker:
        # Another reader's marker.
        start = mm_filemap.page_cache_next_miss(rac.mapping, index + 1, max_pages)
        if start - index > max_pages:
            return
        ra.ra_start = start
        ra.ra_size = start - index + req_size
        ra.ra_size = get_next_ra_size(ra, max_pages)
        ra.ra_async_size = ra.ra_size
    elif req_size > max_pages or (index - ((ra.ra_prev_pos & 0xFFFFFFFFFFFFFFFF) >> 12)) & 0xFFFFFFFFFFFFFFFF <= 1:
        _init_readahead(ra, index, req_size, max_pages)
    elif not try_context_readahead(rac.mapping, ra, index, req_size, max_pages):
        # A small random read: as is, and no traces in the state.
        do_page_cache_ra(rac, req_size, 0)
        return
    _ra_submit(rac, ra, index, max_pages)


def page_cache_sync_ra(rac: ReadaheadControl, ra: File, req_count: int) -> None:
    """A page that is needed now is absent."""
    do_forced_ra = rac.file.f_mode & FMODE_RANDOM != 0
    if not ra.ra_pages:
        req_count = 1
        do_forced_ra = True
    if do_forced_ra:
        force_page_cache_ra(rac, ra, req_count)
        return
    ondemand_readahead(rac, ra, False, req_count)


def page_cache_async_ra(rac: ReadaheadControl, ra: File, page: Page, req_count: int) -> None:
    """A page with PG_readahead was met: time for the next window."""
    if not ra.ra_pages:
        return
    if page.flags & PG_writeback:
        return
    page.flags &= ~PG_readahead
    ondemand_readahead(rac, ra, True, req_count)


def page_cache_sync_readahead(mapping: AddressSpace, file: File, index: int, req_count: int) -> None:
    """page_cache_sync_ra() with the file's own state."""
    page_cache_sync_ra(ReadaheadControl(file, mapping, index), file, req_count)


def page_cache_async_readahead(mapping: AddressSpace, file: File, page: Page, index: int, req_count: int) -> None:
    """page_cache_async_ra() with the file's own state."""
    page_cache_async_ra(ReadaheadControl(file, mapping, index), file, page, req_count)
