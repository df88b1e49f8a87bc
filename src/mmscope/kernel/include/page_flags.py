# SPDX-License-Identifier: GPL-2.0-or-later
"""page->flags bits and their tests (include/linux/page-flags.h, the order of a v5.11 x86-64 build)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import Page

PG_locked: Final = 1 << 0
PG_referenced: Final = 1 << 1
PG_uptodate: Final = 1 << 2
PG_dirty: Final = 1 << 3
PG_lru: Final = 1 << 4
PG_active: Final = 1 << 5
PG_workingset: Final = 1 << 6
PG_waiters: Final = 1 << 7
PG_error: Final = 1 << 8
PG_slab: Final = 1 << 9
PG_owner_priv_1: Final = 1 << 10
PG_arch_1: Final = 1 << 11
PG_reserved: Final = 1 << 12
PG_private: Final = 1 << 13
PG_private_2: Final = 1 << 14
PG_writeback: Final = 1 << 15
PG_head: Final = 1 << 16
PG_mappedtodisk: Final = 1 << 17
PG_reclaim: Final = 1 << 18
#: For reads; PG_reclaim is for writeback.
PG_readahead: Final = PG_reclaim
PG_swapbacked: Final = 1 << 19
PG_unevictable: Final = 1 << 20
PG_mlocked: Final = 1 << 21
#: Of anonymous pages (since v5.19): only this process can map it. The bit is otherwise of files.
PG_anon_exclusive: Final = PG_mappedtodisk

#: Flags that must be clear when a page is freed.
PAGE_FLAGS_CHECK_AT_FREE: Final = (
    PG_lru
    | PG_locked
    | PG_private
    | PG_private_2
    | PG_writeback
    | PG_reserved
    | PG_slab
    | PG_active
    | PG_unevictable
    | PG_mlocked
)

#: page->mapping's low bits, held in Page.mapping_tag.
PAGE_MAPPING_ANON: Final = 0x1
PAGE_MAPPING_MOVABLE: Final = 0x2

#: A free page in the buddy allocator (page_type PG_buddy).
PAGE_BUDDY_MAPCOUNT_VALUE: Final = -128
#: page_type of a page-table page: _mapcount & ~PG_table (PageTable()).
PAGE_TABLE_MAPCOUNT_VALUE: Final = -1025

PAGEFLAG_NAMES: Final = (
    "PG_locked", "PG_referenced", "PG_uptodate", "PG_dirty", "PG_lru", "PG_active", "PG_workingset", "PG_waiters",
    "PG_error", "PG_slab", "PG_owner_priv_1", "PG_arch_1", "PG_reserved", "PG_private", "PG_private_2", "PG_writeback",
    "PG_head", "PG_mappedtodisk", "PG_reclaim", "PG_swapbacked", "PG_unevictable", "PG_mlocked",
)  # fmt: skip


def PageAnonExclusive(page: Page) -> bool:
    """An anonymous page that one process alone can map (since v5.19, 6c287605fd56; before, never)."""
    return page.flags & PG_anon_exclusive != 0


def PageAnon(page: Page) -> bool:
    """page->mapping has bit 0 set: it points to an anon_vma."""
    return page.mapping_tag & PAGE_MAPPING_ANON != 0
