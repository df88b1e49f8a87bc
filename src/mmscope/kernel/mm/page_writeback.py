# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty pages (mm/page-writeback.c): so far the marking only. Nothing is written back yet, so nobody is throttled."""

from __future__ import annotations

from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PG_dirty, PG_reclaim
from mmscope.kernel.lib.xarray import XA_MARK_0, xa_get_mark, xa_set_mark
from mmscope.kernel.mm.vmstat import NR_FILE_DIRTY, mod_page_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import Page

__all__ = [
    "PAGECACHE_TAG_DIRTY", "__set_page_dirty_no_writeback", "__set_page_dirty_nobuffers", "balance_dirty_pages_ratelimited",
    "cancel_dirty_page", "page_mapping", "page_rmapping", "set_page_dirty",
]  # fmt: skip

PAGECACHE_TAG_DIRTY: Final = XA_MARK_0


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


def balance_dirty_pages_ratelimited(mapping: AddressSpace) -> None:
    """A task that dirtied pages may have to wait for writeback: there is none yet."""


def __set_page_dirty_nobuffers(page: Page) -> bool:
    """set_page_dirty of file systems that write back: the flag, the XArray's mark, NR_FILE_DIRTY. True if it was clean."""
    if page.flags & PG_dirty:
        return False
    page.flags |= PG_dirty
    mapping = page_mapping(page)
    if mapping is not None:
        xa_set_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY)
        mod_page_state(page.kernel, NR_FILE_DIRTY, 1)
    return True


def cancel_dirty_page(page: Page) -> None:
    """The page goes: its data need not be written. Only a page with the XArray's mark was counted."""
    if not page.flags & PG_dirty:
        return
    page.flags &= ~PG_dirty
    mapping = page_mapping(page)
    if mapping is not None and xa_get_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY):
        mod_page_state(page.kernel, NR_FILE_DIRTY, -1)
