# SPDX-License-Identifier: GPL-2.0-or-later
"""The fault scenarios a-h of the recordings: entries read from RAM, page state, counters (5.10.218: truth/5.10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.include.fs import O_RDONLY
from mmscope.kernel.include.mm import FAULT_FLAG_WRITE, FOLL_FORCE, FOLL_GET, FOLL_WRITE, MM_ANONPAGES
from mmscope.kernel.include.mman import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.page_flags import PageAnon, PG_dirty, PG_lru, PG_swapbacked, PG_uptodate
from mmscope.kernel.mm.gup import get_user_pages_remote
from mmscope.kernel.mm.memory import TASK_RSS_EVENTS_THRESH, handle_mm_fault, sync_mm_rss
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.page_alloc import nr_free_pages, put_page
from mmscope.kernel.mm.rmap import page_address_in_vma
from tests.kernel.mm.faultlib import Box, Signalled

NX = 0x8000000000000000
FRESH_ANON = NX | 0x867  # soft dirty, D, A, user, RW, present
ZERO_PAGE = NX | 0x225  # special, A, user, present
FILE_RO = NX | 0x25
SHARED_RW = NX | 0x867


def make_file(tmp_path: Path, pages: int = 32) -> bytes:
    data = b"".join(bytes([i + 1]) * 4096 for i in range(pages))
    (tmp_path / "f").write_bytes(data)
    return data


def test_a_anonymous_write_first() -> None:
    box = Box()
    addr = box.mmap(0x4000)
    before = box.faults(), box.rss()[MM_ANONPAGES]
    box.store(addr, 7)
    assert box.flags(addr) == FRESH_ANON
    page = box.page(addr)
    assert (page._refcount, page._mapcount) == (2, 0)  # the PTE and the pagevec lru_add
    assert page.flags == PG_uptodate | PG_swapbacked
    assert PageAnon(page)
    assert page.mapping is box.vma(addr).anon_vma
    assert page.index == addr >> 12
    assert page_address_in_vma(page, box.vma(addr)) == addr
    assert box.faults() == (before[0][0] + 1, before[0][1])
    assert box.rss()[MM_ANONPAGES] == before[1] + 1
    assert bytes(box.k.mem[page.pfn << 12 : (page.pfn + 1) << 12]) == b"\x07" + bytes(4095)
    box.drain()
    assert (page._refcount, page.flags & PG_lru) == (1, PG_lru)
    box.store(addr + 0x1000, 1)
    assert box.faults()[0] == before[0][0] + 2
    box.store(addr + 0x1800, 1)
    assert box.faults()[0] == before[0][0] + 2


def test_a_new_page_tables_are_counted_and_freed() -> None:
    box = Box()
    before = box.mm.pgtables_bytes
    addr = box.mmap(0x1000, addr=0x100000000000)
    box.store(addr, 1)
    assert box.mm.pgtables_bytes == before + 3 * 4096
    do_munmap(box.mm, addr, 0x1000)
    assert box.mm.pgtables_bytes == before
    assert box.pte(addr) == 0


def test_free_pgd_range_keeps_tables_that_a_neighbour_uses() -> None:
    box = Box()
    low = box.mmap(0x1000, addr=0x100000000000)
    high = box.mmap(0x1000, addr=0x100000002000)
    far = box.mmap(0x1000, addr=0x100000200000)
    for addr in (low, high, far):
        box.store(addr, 1)
    with_all = box.mm.pgtables_bytes
    do_munmap(box.mm, low, 0x1000)
    assert box.mm.pgtables_bytes == with_all
    do_munmap(box.mm, high, 0x1000)
    assert box.mm.pgtables_bytes == with_all - 4096
    assert box.load(far) == 1


def test_b_anonymous_read_then_write() -> None:
    box = Box()
    addr = box.mmap(0x4000)
    min_flt = box.faults()[0]
    anon = box.rss()[MM_ANONPAGES]
    assert box.load(addr) == 0
    assert box.pte(addr) == ZERO_PAGE | box.k.zero_pfn << 12
    assert box.vma(addr).anon_vma is None
    assert box.rss()[MM_ANONPAGES] == anon
    box.store(addr, 9)
    assert box.flags(addr) == FRESH_ANON
    assert box.page(addr).pfn != box.k.zero_pfn
    assert box.load(addr) == 9
    assert box.load(addr + 1) == 0
    assert box.faults()[0] == min_flt + 2
    assert box.rss()[MM_ANONPAGES] == anon + 1


def test_c_anonymous_shared_first_write_counts_as_major() -> None:
    box = Box()
    addr = box.mmap(0x10000, flags=MAP_SHARED | MAP_ANONYMOUS)
    before = box.faults()
    for i in range(16):
        box.store(addr + i * 4096, i)
    assert box.faults() == (before[0], before[1] + 16)
    assert box.flags(addr) == SHARED_RW
    page = box.page(addr)
    box.drain()
    # the page cache and the PTE
    assert (page._refcount, page._mapcount) == (2, 0)
    assert page.flags & ~PG_lru == PG_uptodate | PG_swapbacked | PG_dirty
    assert not PageAnon(page)
    assert box.rss()[3] == 16


def test_c_anonymous_shared_read_maps_writable() -> None:
    box = Box()
    addr = box.mmap(0x10000, flags=MAP_SHARED | MAP_ANONYMOUS)
    before = box.faults()
    for i in range(16):
        assert box.load(addr + i * 4096) == 0
    assert box.faults() == (before[0] + 16, before[1])
    assert box.flags(addr) == NX | 0x27
    box.store(addr, 1)
    assert box.flags(addr) == NX | 0x67  # D by hardware: no second fault, no soft dirty
    assert box.faults() == (before[0] + 16, before[1])


def test_c_shared_pages_outlive_unmap_of_half_and_die_with_the_file() -> None:
    box = Box()
    addr = box.mmap(0x4000, flags=MAP_SHARED | MAP_ANONYMOUS)
    box.store(addr, 5)
    box.drain()
    file = box.vma(addr).vm_file
    assert file is not None
    mapping = file.f_mapping
    assert (file.f_inode.i_ino, file.f_inode.i_sb.s_dev, file.f_dentry.d_name) == (2, 1, "dev/zero")
    committed = box.k.vm_committed_as
    do_munmap(box.mm, addr, 0x1000)
    assert mapping.nrpages == 1
    do_munmap(box.mm, addr + 0x1000, 0x3000)
    assert mapping.nrpages == 0
    assert box.k.vm_committed_as == committed - 4


def test_d_private_file_read(tmp_path: Path) -> None:
    make_file(tmp_path)
    box = Box(root=str(tmp_path))
    fd = box.open("/f", O_RDONLY)
    addr = box.mmap(32 * 4096, PROT_READ, MAP_PRIVATE, fd)
    before = box.faults()
    assert box.load(addr) == 1
    assert box.faults() == (before[0], before[1] + 1)  # cold: major
    assert box.flags(addr) == FILE_RO
    page = box.page(addr)
    assert box.file(fd).f_mapping is page.mapping
    assert page.index == 0
    assert page._mapcount == 0
    # now the cache is warm: one fault maps 16 pages around, but for the one with the readahead marker
    for i in range(16, 22):
        assert box.load(addr + i * 4096) == i + 1
    assert box.faults() == (before[0] + 1, before[1] + 1)


def test_d_cold_file_fault_counts_as_recorded(tmp_path: Path) -> None:
    """file_cold_read_* of truth/versions/facts510-thp0.txt."""
    (tmp_path / "f").write_bytes(bytes(256 * 4096))
    box = Box(root=str(tmp_path))
    addr = box.mmap(256 * 4096, PROT_READ, MAP_PRIVATE, box.open("/f", O_RDONLY), addr=0x100000003000)
    counts = []
    for first, last in ((0, 0), (1, 63), (64, 255)):
        before = box.faults()
        for i in range(first, last + 1):
            box.load(addr + i * 4096)
        after = box.faults()
        counts.append((after[0] - before[0], after[1] - before[1]))
    # The recording has 5 minor faults in the second range: how many depends on the mapping's place within 16 pages.
    assert counts[0] == (0, 1)
    assert counts[1][1] == 2
    assert counts[2] == (12, 6)


def test_e_private_file_write_without_read(tmp_path: Path) -> None:
    data = make_file(tmp_path)
    box = Box(root=str(tmp_path))
    fd = box.open("/f", O_RDONLY)
    addr = box.mmap(32 * 4096, flags=MAP_PRIVATE, fd=fd)
    box.load(addr)  # warm
    before = box.faults()
    anon = box.rss()[MM_ANONPAGES]
    box.store(addr + 20 * 4096, 0xEE)
    assert box.faults() == (before[0] + 1, before[1])
    assert box.flags(addr + 20 * 4096) == FRESH_ANON
    assert PageAnon(box.page(addr + 20 * 4096))
    assert box.load(addr + 20 * 4096) == 0xEE
    assert box.load(addr + 20 * 4096 + 1) == 21
    assert box.rss()[MM_ANONPAGES] == anon + 1
    assert (tmp_path / "f").read_bytes() == data


def test_f_private_file_read_then_write(tmp_path: Path) -> None:
    make_file(tmp_path)
    box = Box(root=str(tmp_path))
    addr = box.mmap(32 * 4096, flags=MAP_PRIVATE, fd=box.open("/f", O_RDONLY))
    box.load(addr)
    old = box.page(addr)
    rss = box.rss()
    box.store(addr, 0xAA)
    assert box.flags(addr) == FRESH_ANON
    assert old._mapcount == -1
    assert box.rss() == [rss[0] - 1, rss[1] + 1, 0, 0]
    assert box.load(addr + 1) == 1


def test_do_wp_page_reuses_only_with_one_reference() -> None:
    """A copy while the pagevec holds its reference, reuse after draining."""
    box = Box()
    addr = box.mmap(0x2000)
    for where in (addr, addr + 0x1000):
        box.store(where, 4)
    k = box.k
    kept = box.page(addr + 0x1000)
    first = box.page(addr)
    do_mprotect_pkey(k, addr, 0x2000, PROT_READ, -1)
    do_mprotect_pkey(k, addr, 0x2000, PROT_READ | PROT_WRITE, -1)
    assert box.flags(addr) & 2 == 0
    assert first._refcount == 2
    box.store(addr, 5)
    assert box.page(addr) is not first
    box.drain()
    box.store(addr + 0x1000, 6)
    assert box.page(addr + 0x1000) is kept
    assert box.flags(addr) == box.flags(addr + 0x1000) == FRESH_ANON


def test_split_rss_counting() -> None:
    box = Box()
    addr = box.mmap(200 * 4096)
    sync_mm_rss(box.mm)
    start = box.mm.rss_stat[MM_ANONPAGES]
    for i in range(TASK_RSS_EVENTS_THRESH + 1):
        box.store(addr + i * 4096, 1)
    assert box.mm.rss_stat[MM_ANONPAGES] == start
    box.store(addr + (TASK_RSS_EVENTS_THRESH + 1) * 4096, 1)
    assert box.mm.rss_stat[MM_ANONPAGES] == start + TASK_RSS_EVENTS_THRESH + 1


def test_bad_accesses() -> None:
    box = Box()
    addr = box.mmap(0x3000, PROT_READ)
    none = box.mmap(0x1000, PROT_NONE)
    for where, bits, code in ((0x1234, 0, 1), (addr + 5, 2, 2), (addr + 7, 16, 2), (none + 9, 0, 2), (none, 2, 2)):
        with pytest.raises(Signalled) as bad:
            box.access(where, bits)
        assert bad.value.args == (11, code, where)
    box.load(addr)
    with pytest.raises(Signalled) as bad:
        box.access(addr + 8, 16)  # present, NX
    assert bad.value.args == (11, 2, addr + 8)
    assert "segfault at 1234 ip" in box.k.log[0][1]


def test_beyond_the_end_of_a_file_is_sigbus(tmp_path: Path) -> None:
    make_file(tmp_path, 2)
    box = Box(root=str(tmp_path))
    addr = box.mmap(4 * 4096, flags=MAP_PRIVATE, fd=box.open("/f", O_RDONLY))
    for bits in (0, 2):
        with pytest.raises(Signalled) as bad:
            box.access(addr + 2 * 4096 + 3, bits)
        assert bad.value.args == (7, 2, addr + 2 * 4096 + 3)


def test_stack_grows() -> None:
    box = Box()
    stack = box.vma(box.task.regs.sp)
    low = stack.vm_start - 50 * 4096
    box.store(low, 3)
    assert stack.vm_start == low
    with pytest.raises(Signalled):
        box.store(low - (9 << 20), 1)


def test_out_of_memory_kills() -> None:
    box = Box(ram=16 << 20)
    addr = box.mmap(15 << 20, flags=MAP_PRIVATE | MAP_ANONYMOUS | 0x4000)

    def touch_all() -> None:
        for i in range((15 << 20) >> 12):
            box.store(addr + i * 4096, 1)

    with pytest.raises(Signalled) as bad:
        touch_all()
    assert bad.value.args[0] == 9
    assert any("Out of memory: Killed process" in text for _, text in box.k.log)


def test_everything_is_free_after_unmapping() -> None:
    box = Box()
    addr = box.mmap(600 * 4096, addr=0x100000000000)
    box.drain()
    free = nr_free_pages(box.k) + len(box.k.zone.pcp)
    pgtables = box.mm.pgtables_bytes
    for i in range(600):
        box.store(addr + i * 4096, 1)
    do_munmap(box.mm, addr, 600 * 4096)
    box.drain()
    assert nr_free_pages(box.k) + len(box.k.zone.pcp) == free
    assert box.mm.pgtables_bytes == pgtables
    assert box.rss()[MM_ANONPAGES] == box.mm.rss_stat[MM_ANONPAGES]
    assert 600 - TASK_RSS_EVENTS_THRESH <= box.mm.hiwater_rss <= 610  # up to 64 faults are only in the task's cache


def test_a_second_fault_on_a_present_entry_is_spurious() -> None:
    box = Box()
    addr = box.mmap(0x1000)
    box.store(addr, 1)
    before = box.pte(addr)
    assert handle_mm_fault(box.vma(addr), addr, FAULT_FLAG_WRITE, None) == 0
    assert box.pte(addr) == before


def test_forced_write_to_a_read_only_private_mapping() -> None:
    """FOLL_FORCE: COW is broken, the entry stays read-only."""
    box = Box()
    addr = box.mmap(0x1000, PROT_READ)
    box.load(addr)
    pages = get_user_pages_remote(box.mm, addr, 1, FOLL_FORCE | FOLL_WRITE | FOLL_GET)
    assert len(pages) == 1
    assert PageAnon(pages[0])
    assert box.flags(addr) & 2 == 0
    assert box.page(addr) is pages[0]
    put_page(pages[0])
