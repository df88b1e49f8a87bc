# SPDX-License-Identifier: GPL-2.0-or-later
"""vm.drop_caches (fs/drop_caches.c)."""

from __future__ import annotations

from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.page_flags import PageAnon
from mmscope.kernel.mm.truncate import invalidate_mapping_pages
from mmscope.kernel.mm.vmstat import DROP_PAGECACHE, DROP_SLAB, count_vm_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def drop_pagecache(k: Kernel) -> None:
    """Remove all pages from the page cache that are clean, unmapped and unused; those in a pagevec are in use.

    Linux goes through the inodes of each super block (drop_pagecache_sb) and skips those without pages.
    """
    mappings: dict[AddressSpace, None] = {}
    for pages in k.lru.lists:
        for pfn in pages:
            page = k.mem_map[pfn]
            if not PageAnon(page) and isinstance(page.mapping, AddressSpace):
                mappings[page.mapping] = None
    for mapping in mappings:
        invalidate_mapping_pages(mapping, 0, (1 << 64) - 1)


def drop_caches(k: Kernel, value: int) -> None:
    """1: the page cache; 2: inodes and dentries, which cost no memory here; 4: say nothing any more."""
    if value & 1:
        drop_pagecache(k)
        count_vm_event(k, DROP_PAGECACHE)
    if value & 2:
        count_vm_event(k, DROP_SLAB)
    if not k.drop_caches_quiet:
        k.printk(f"{k.current.comm} ({k.current.pid}): drop_caches: {value}")
    if value & 4:
        k.drop_caches_quiet = True
