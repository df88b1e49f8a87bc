# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/kpagecount and /proc/kpageflags (fs/proc/page.c): 8 bytes a frame, by pfn. For root only (mode 0400)."""

from __future__ import annotations

from mmscope.kernel.fs.proc_base import mem_lseek
from mmscope.kernel.fs.task_mmu_pagemap import PM_ENTRY_BYTES
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.fs import File, FileOperations
from mmscope.kernel.include.page_flags import (
    PAGE_BUDDY_MAPCOUNT_VALUE,
    PAGE_TABLE_MAPCOUNT_VALUE,
    PageAnon,
    PG_active,
    PG_arch_1,
    PG_dirty,
    PG_error,
    PG_locked,
    PG_lru,
    PG_mappedtodisk,
    PG_mlocked,
    PG_owner_priv_1,
    PG_private,
    PG_private_2,
    PG_reclaim,
    PG_referenced,
    PG_reserved,
    PG_slab,
    PG_swapbacked,
    PG_unevictable,
    PG_uptodate,
    PG_writeback,
)
from mmscope.kernel.mm.page_alloc import RESERVED_PFNS, is_free_buddy_page, page_mapcount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

KPMSIZE: Final = PM_ENTRY_BYTES
#: Frames of a memory section (SPARSEMEM, 128 MiB): struct pages exist for whole sections.
PAGES_PER_SECTION: Final = 1 << 15

# include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h
KPF_LOCKED: Final = 0
KPF_ERROR: Final = 1
KPF_REFERENCED: Final = 2
KPF_UPTODATE: Final = 3
KPF_DIRTY: Final = 4
KPF_LRU: Final = 5
KPF_ACTIVE: Final = 6
KPF_SLAB: Final = 7
KPF_WRITEBACK: Final = 8
KPF_RECLAIM: Final = 9
KPF_BUDDY: Final = 10
KPF_MMAP: Final = 11
KPF_ANON: Final = 12
KPF_SWAPBACKED: Final = 14
KPF_UNEVICTABLE: Final = 18
KPF_NOPAGE: Final = 20
KPF_ZERO_PAGE: Final = 24
KPF_PGTABLE: Final = 26
KPF_RESERVED: Final = 32
KPF_MLOCKED: Final = 33
KPF_MAPPEDTODISK: Final = 34
KPF_PRIVATE: Final = 35
KPF_PRIVATE_2: Final = 36
KPF_OWNER_PRIVATE: Final = 37
KPF_ARCH: Final = 38

#: kpf_copy_bit(): PG_* flag -> KPF_* bit.
_COPIED: Final = (
    (PG_locked, KPF_LOCKED), (PG_slab, KPF_SLAB), (PG_error, KPF_ERROR), (PG_dirty, KPF_DIRTY), (PG_uptodate, KPF_UPTODATE),
    (PG_writeback, KPF_WRITEBACK), (PG_lru, KPF_LRU), (PG_referenced, KPF_REFERENCED), (PG_active, KPF_ACTIVE),
    (PG_reclaim, KPF_RECLAIM), (PG_swapbacked, KPF_SWAPBACKED), (PG_unevictable, KPF_UNEVICTABLE), (PG_mlocked, KPF_MLOCKED),
    (PG_reserved, KPF_RESERVED), (PG_mappedtodisk, KPF_MAPPEDTODISK), (PG_private, KPF_PRIVATE),
    (PG_private_2, KPF_PRIVATE_2), (PG_owner_priv_1, KPF_OWNER_PRIVATE), (PG_arch_1, KPF_ARCH),
)  # fmt: skip


def get_max_dump_pfn(k: Kernel) -> int:
    """Where the struct pages end: the end of RAM, rounded up to a whole section."""
    return -(-k.max_pfn // PAGES_PER_SECTION) * PAGES_PER_SECTION


def stable_page_flags(k: Kernel, page: Page | None) -> int:
    """The KPF_* set of a frame; None: no struct page."""
    if page is None:
        return 1 << KPF_NOPAGE
    flags = page.flags
    u = 0
    if not flags & PG_slab and page._mapcount >= 0:
        u |= 1 << KPF_MMAP
    if PageAnon(page):
        u |= 1 << KPF_ANON
    if page.pfn == k.zero_pfn:
        u |= 1 << KPF_ZERO_PAGE
    if page._mapcount == PAGE_BUDDY_MAPCOUNT_VALUE or (page._refcount == 0 and is_free_buddy_page(k, page.pfn)):
        u |= 1 << KPF_BUDDY
    if page._mapcount == PAGE_TABLE_MAPCOUNT_VALUE:
        u |= 1 << KPF_PGTABLE
    for pg, kpf in _COPIED:
        if flags & pg:
            u |= 1 << kpf
    return u


def pfn_page_flags(k: Kernel, pfn: int) -> int:
    """stable_page_flags() of any frame below get_max_dump_pfn(), without making a struct page for it."""
    page = k.mem_map.get(pfn)
    if page is not None:
        return stable_page_flags(k, page)
    if pfn < RESERVED_PFNS or pfn >= k.max_pfn:
        return 1 << KPF_RESERVED
    # Never used since boot: free, or waiting on the per-CPU list.
    return 1 << KPF_BUDDY if is_free_buddy_page(k, pfn) else 0


def pfn_page_count(k: Kernel, pfn: int) -> int:
    """How often the frame is mapped; 0 for what is no user page."""
    page = k.mem_map.get(pfn)
    return 0 if page is None or page.flags & PG_slab else page_mapcount(page)


def _kpage_range(k: Kernel, count: int, pos: int) -> range:
    """The frames of a read. Raises EINVAL unless both are multiples of 8."""
    if pos % KPMSIZE or count % KPMSIZE:
        raise KernelError(EINVAL)
    pfn = pos // KPMSIZE
    return range(pfn, min(pfn + count // KPMSIZE, get_max_dump_pfn(k)))


def kpagecount_read(file: File, count: int, pos: int) -> bytes:
    """Number of mappings of each frame."""
    k = file.f_inode.i_sb.kernel
    return b"".join([pfn_page_count(k, pfn).to_bytes(8, "little") for pfn in _kpage_range(k, count, pos)])


def kpageflags_read(file: File, count: int, pos: int) -> bytes:
    """KPF_* of each frame."""
    k = file.f_inode.i_sb.kernel
    return b"".join([pfn_page_flags(k, pfn).to_bytes(8, "little") for pfn in _kpage_range(k, count, pos)])


kpagecount_proc_ops: Final = FileOperations("kpagecount_proc_ops", llseek=mem_lseek, read=kpagecount_read, all_or_fault=True)
kpageflags_proc_ops: Final = FileOperations("kpageflags_proc_ops", llseek=mem_lseek, read=kpageflags_read, all_or_fault=True)
