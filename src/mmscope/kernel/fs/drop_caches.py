# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/sys/vm/drop_caches (fs/drop_caches.c): clean, unmapped page cache goes."""

from __future__ import annotations

from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.mm.truncate import invalidate_mapping_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel

__all__ = ["drop_pagecache"]


def drop_pagecache(k: Kernel) -> int:
    """Drop what can be dropped of every file's page cache; the number of pages. Not tmpfs: its pages are dirty, always."""
    lru_add_drain(k)
    mappings: dict[AddressSpace, None] = {}
    for page in k.mem_map.values():
        mapping = page.mapping
        if isinstance(mapping, AddressSpace) and page._refcount and mapping.host.i_sb.s_bdi_writeback:
            mappings[mapping] = None
    dropped = 0
    for mapping in mappings:
        dropped += invalidate_mapping_pages(mapping, 0, (1 << 52) - 1)
    return dropped
