# SPDX-License-Identifier: GPL-2.0-or-later
"""mlock and the LRU lists: which pages wait in a pagevec, and whose lock lasts."""

from __future__ import annotations

from pathlib import Path

from mmscope.kernel.include.fs import O_RDONLY
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.include.mman import MAP_PRIVATE, PROT_READ
from mmscope.kernel.include.page_flags import PG_lru, PG_mlocked, PG_unevictable
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.mlock import do_mlock, do_munlock
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.vmstat import NR_MLOCK, UNEVICTABLE_PGCLEARED
from tests.kernel.mm.faultlib import Box

STATE = PG_lru | PG_mlocked | PG_unevictable


def test_a_page_that_is_mlocked_waits_in_the_pagevec_until_the_next_drain() -> None:
    """isolate_lru_page() and putback_lru_page(): so its first write after a fork is a copy (its _refcount is 2)."""
    box = Box()
    addr = box.mmap(0x2000)
    box.store(addr, 1)
    box.store(addr + 0x1000, 1)
    box.drain()
    do_mlock(box.k, addr, 0x2000, VM_LOCKED)
    first, last = box.page(addr), box.page(addr + 0x1000)
    # Each page is preceded by a drain (follow_page_pte), the last one is not followed by any.
    assert (first.flags & STATE, first._refcount) == (STATE, 1)
    assert (last.flags & STATE, last._refcount) == (PG_mlocked, 2)
    validate_vm(box.k)
    box.drain()
    assert (last.flags & STATE, last._refcount) == (STATE, 1)


def test_munlock_puts_a_page_straight_back_on_its_list() -> None:
    box = Box()
    addr = box.mmap(0x1000)
    box.store(addr, 1)
    do_mlock(box.k, addr, 0x1000, VM_LOCKED)
    do_munlock(box.k, addr, 0x1000)
    page = box.page(addr)
    assert (page.flags & STATE, page._refcount) == (PG_lru, 1)
    assert box.k.vmstat.stat[NR_MLOCK] == 0
    validate_vm(box.k)


def test_a_page_stays_mlocked_while_another_locked_mapping_has_it(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 4096)
    box = Box(root=str(tmp_path))
    fd = box.open("/data", O_RDONLY)
    one, other = (box.mmap(4096, PROT_READ, MAP_PRIVATE, fd) for _ in range(2))
    for addr in (one, other):
        do_mlock(box.k, addr, 4096, VM_LOCKED)
    page = box.page(one)
    assert box.page(other) is page
    do_munlock(box.k, one, 4096)
    assert page.flags & PG_mlocked
    assert box.k.vmstat.stat[NR_MLOCK] == 1
    do_munlock(box.k, other, 4096)
    assert not page.flags & PG_mlocked
    box.drain()
    assert (page.flags & STATE, page._refcount) == (PG_lru, 3)
    validate_vm(box.k)


def test_unmapping_clears_the_lock_of_a_cached_page(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 4096)
    box = Box(root=str(tmp_path))
    addr = box.mmap(4096, PROT_READ, MAP_PRIVATE, box.open("/data", O_RDONLY))
    do_mlock(box.k, addr, 4096, VM_LOCKED)
    page = box.page(addr)
    do_munmap(box.mm, addr, 4096)
    assert (page.flags & STATE, page._refcount) == (PG_lru, 1)
    assert box.k.vmstat.stat[NR_MLOCK] == 0
    # munmap unlocks the range before it zaps it: clear_page_mlock() found nothing to do.
    assert box.k.vmstat.event[UNEVICTABLE_PGCLEARED] == 0
    validate_vm(box.k)
