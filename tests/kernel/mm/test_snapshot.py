# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries and struct pages after a few simple accesses, as they were found in a stopped Linux 5.10 (record/snap.c)."""

from __future__ import annotations

import json
from pathlib import Path

from mmscope.kernel.arch.x86.pgtable import pte_offset_map
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.mm_types import AnonVma, Page
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from mmscope.kernel.include.page_flags import PAGEFLAG_NAMES
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.memory import walk_to_pmd
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.truncate import truncate_inode_pages
from mmscope.kernel.mm.util import vm_mmap_pgoff
from tests.kernel.mm.replaylib import Replay, records

PG = 4096
RW = PROT_READ | PROT_WRITE
#: ext4 keeps buffer heads at pages that it wrote (a reference, PG_private); hypervisors are told of free pages; aliases.
NOT_HERE = {"PG_private", "PG_mappedtodisk", "PG_reported", "PG_savepinned", "PG_slob_free"}


def flag_names(page: Page) -> set[str]:
    return {name for bit, name in enumerate(PAGEFLAG_NAMES) if page.flags >> bit & 1}


def test_entries_and_pages_after_simple_accesses(data: Path) -> None:
    replay = Replay(next(records(data / "5.10/random/seed1.jsonl.xz"))["mm"][0])
    k, mm = replay.k, replay.mm
    file = replay.files["data"]
    truncate_inode_pages(file.f_mapping, 0)  # nothing of the file is cached

    def mmap(pages: int, prot: int, flags: int, of_file: bool = False, pgoff: int = 0) -> int:
        return vm_mmap_pgoff(k, file if of_file else None, 0, pages * PG, prot, flags, pgoff)

    def write(addr: int) -> None:
        copy_to_user(k, addr, b"1")

    def read(addr: int) -> None:
        copy_from_user(k, addr, 1)

    a = mmap(16, RW, MAP_PRIVATE | MAP_ANONYMOUS)
    for i in (0, 3, 7):
        write(a + i * PG)
    read(mmap(4, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS))
    c = mmap(8, RW, MAP_PRIVATE, True)
    read(c)
    write(c + PG)
    read(c + 2 * PG)
    write(c + 2 * PG)
    d = mmap(8, RW, MAP_SHARED, True, 2)
    write(d)
    read(d + PG)
    write(mmap(4, RW, MAP_SHARED | MAP_ANONYMOUS))
    do_munmap(mm, a + 5 * PG, PG)
    do_mprotect_pkey(k, a + 9 * PG, PG, PROT_READ)
    validate_vm(k)

    recorded = json.loads((data / "5.10/snapshots/prefork.json").read_text())[0]
    for address, walk in recorded["pt"].items():
        addr = int(address, 16)
        entry = k.words[pte_offset_map(k, walk_to_pmd(mm, addr), addr)] & 0xFFFFFFFFFFFFFFFF
        level = walk["levels"][-1]
        mask = ~0x000FFFFFFFFFF000
        assert (entry & mask, entry == 0) == (int(level["entry"], 16) & mask, level["entry"] == "0x0"), address
        if walk["page"] is None:
            continue
        page, want = k.mem_map[(entry & ~mask) >> 12], walk["page"]
        names = set(want["flagnames"].split("|"))
        assert flag_names(page) - NOT_HERE == names - NOT_HERE, address
        assert page._refcount == want["refcount"] - ("PG_private" in names), address
        assert page._mapcount == want["mapcount_raw"], address
        assert page.index == int(want["index"], 16), address
        kind = AnonVma if want["mapping_anon_bit"] else AddressSpace if want["mapping_obj"] else type(None)
        assert isinstance(page.mapping, kind), address

    cached = recorded["mappings"]["MAP2"]["i_pages"]["head"]["slots"]
    pages = {page.index: page for page in k.mem_map.values() if page._refcount and page.mapping is file.f_mapping}
    # The one that was written has its buffer heads' reference besides.
    got = {str(i): f"ref={p._refcount + (i == 2)} map={p._mapcount + 1}" for i, p in pages.items()}
    assert got == {i: text.split(maxsplit=3)[3] for i, text in cached.items()}
