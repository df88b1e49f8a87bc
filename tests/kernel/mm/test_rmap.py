# SPDX-License-Identifier: GPL-2.0-or-later
"""The reverse map: anon_vma's life, the walks over all entries of a page, and what is done with those entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm import VM_LOCKED, VM_READ, VM_SEQ_READ
from mmscope.kernel.include.mm_types import AnonVma
from mmscope.kernel.include.mman import MADV_FREE, MAP_PRIVATE, MAP_SHARED, PROT_READ
from mmscope.kernel.include.page_flags import PG_dirty, PG_locked, PG_swapbacked
from mmscope.kernel.include.pagemap import lock_page, unlock_page
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mlock import mlock
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.rmap import (
    TTU_IGNORE_MLOCK,
    page_get_anon_vma,
    page_lock_anon_vma_read,
    page_mapped_in_vma,
    page_mkclean,
    page_referenced,
    put_anon_vma,
    try_to_unmap,
)
from mmscope.kernel.mm.vmscan import isolate_lru_page, putback_lru_page
from tests.kernel.mm.faultlib import RW, Box

AT = 0x10000000
PAGE = 4096
P, W, A, D = 1, 2, 0x20, 0x40


def counts(anon_vma: AnonVma | None) -> tuple[int, int, int, int]:
    """degree, num_children, num_active_vmas, refcount."""
    assert anon_vma is not None
    return anon_vma.degree, anon_vma.num_children, anon_vma.num_active_vmas, anon_vma.refcount


def chain(box: Box, addr: int = AT) -> list[AnonVma]:
    """The anon_vmas that the VMA of `addr` is linked to, its own first."""
    found = []
    for avc in box.vma(addr).anon_vma_chain:
        assert avc.anon_vma is not None
        found.append(avc.anon_vma)
    return found


def own(box: Box, addr: int = AT) -> AnonVma:
    """The VMA's own anon_vma."""
    anon_vma = box.vma(addr).anon_vma
    assert anon_vma is not None
    return anon_vma


# --- anon_vma


def test_a_fresh_anon_vma_is_its_own_child() -> None:
    box = Box()
    addr = box.mmap(0x4000, addr=AT)
    box.store(addr, 1)
    anon_vma = own(box)
    assert counts(anon_vma) == (2, 1, 1, 1)
    assert anon_vma.root is anon_vma.parent is anon_vma
    assert chain(box) == [anon_vma]


def test_splitting_shares_the_anon_vma_and_unmapping_lets_it_go() -> None:
    box = Box()
    addr = box.mmap(0x4000, addr=AT)
    box.store(addr, 1)
    anon_vma = own(box)
    do_munmap(box.mm, addr + 0x1000, 0x1000)
    assert own(box, addr + 0x2000) is anon_vma
    assert counts(anon_vma) == (3, 1, 2, 1)
    do_munmap(box.mm, addr, 0x4000)
    assert counts(anon_vma) == (0, 0, 0, 0)


def test_each_generation_has_a_link_to_all_before_it() -> None:
    box = Box()
    box.store(box.mmap(0x4000, addr=AT), 1)
    root = own(box)
    child = box.fork()
    child.switch()
    grandchild = child.fork()
    assert chain(grandchild) == [own(grandchild), own(child), root]
    assert [own(b).parent for b in (child, grandchild)] == [root, own(child)]
    assert [own(b).root for b in (child, grandchild)] == [root, root]
    # The root is referred to by all of the family, a parent by nobody.
    assert [counts(own(b)) for b in (box, child, grandchild)] == [(3, 2, 1, 3), (2, 1, 1, 1), (1, 0, 1, 1)]
    assert len({box.page(AT).pfn, child.page(AT).pfn, grandchild.page(AT).pfn}) == 1
    validate_vm(box.k)
    # In any order of exits nothing is left but what the others need.
    child.exit()
    box.switch()
    validate_vm(box.k)
    assert [counts(own(b)) for b in (box, grandchild)] == [(3, 2, 1, 3), (1, 0, 1, 1)]
    assert counts(own(grandchild).parent) == (1, 1, 0, 1)
    grandchild.exit()
    box.switch()
    assert counts(root) == (2, 1, 1, 1)


def test_a_grandchild_takes_over_the_anon_vma_of_a_dead_ancestor() -> None:
    """Else a chain of forks, each of which exits, would grow without end."""
    box = Box()
    box.store(box.mmap(0x4000, addr=AT), 1)
    root = own(box)
    generations = [box]
    for _ in range(6):
        generations[-1].switch()
        generations.append(generations[-1].fork())
        if len(generations) > 2:
            generations.pop(1).exit()
            generations[-1].switch()
        validate_vm(box.k)
    last = generations[-1]
    # Root, and two that take turns.
    assert len(chain(last)) == 3
    assert root.refcount == 3
    last.switch()
    last.store(AT, 7)
    assert isinstance(last.page(AT).mapping, AnonVma)
    assert last.page(AT).mapping is own(last)


def test_an_anon_vma_that_another_vma_uses_is_not_taken_over() -> None:
    """v6.0's 2555283eb40d: the same anon_vma must mean the same chain."""
    one = Box()
    one.store(one.mmap(0x4000, addr=AT), 1)
    two = one.fork()
    two.switch()
    three = two.fork()
    dead = own(two)
    two.exit()
    three.switch()
    four = three.fork()
    assert own(four) is dead
    own_of_three = own(three)
    three.exit()
    four.switch()
    five = four.fork()
    assert own(five) is own_of_three
    four.switch()
    # degree is 1 again: of five, alive.
    assert counts(own_of_three) == (1, 0, 1, 1)
    six = four.fork()
    assert own(six) is not own_of_three
    validate_vm(one.k)


def test_a_mapping_without_pages_starts_anew_in_the_child() -> None:
    box = Box()
    box.mmap(0x4000, addr=AT)
    child = box.fork()
    assert box.vma(AT).anon_vma is child.vma(AT).anon_vma is None
    box.store(AT, 1)
    child.switch()
    child.store(AT, 2)
    assert own(box).root is not own(child).root


# --- from a page to its entries


def test_a_page_leads_to_all_that_map_it_and_a_copy_to_one() -> None:
    box = Box()
    box.store(box.mmap(0x4000, addr=AT), 1)
    page = box.page(AT)
    children = [box.fork() for _ in range(3)]
    family = [box, *children]
    assert [page_mapped_in_vma(page, b.vma(AT)) for b in family] == [True] * 4
    children[1].switch()
    children[1].store(AT, 2)
    assert [page_mapped_in_vma(page, b.vma(AT)) for b in family] == [True, True, False, True]
    copy = children[1].page(AT)
    assert [page_mapped_in_vma(copy, b.vma(AT)) for b in family] == [False, False, True, False]
    # The copy hangs on the writer's own anon_vma: the walk does not even visit the others.
    assert copy.mapping is own(children[1])
    assert page.mapping is own(box)


def test_the_anon_vma_of_an_unmapped_page_is_not_to_be_trusted() -> None:
    box = Box()
    box.store(box.mmap(0x1000, addr=AT), 1)
    page = box.page(AT)
    anon_vma = own(box)
    assert page_lock_anon_vma_read(page) is anon_vma
    assert page_get_anon_vma(page) is anon_vma
    assert anon_vma.refcount == 2
    put_anon_vma(anon_vma)
    page._refcount += 1
    do_munmap(box.mm, AT, 0x1000)
    assert page_get_anon_vma(page) is None


def test_referenced_counts_and_clears_the_accessed_bits_of_all() -> None:
    box = Box()
    box.store(box.mmap(0x1000, addr=AT), 1)
    page = box.page(AT)
    child = box.fork()
    # fork() made the child's entry old.
    assert page_referenced(page, True) == (1, box.vma(AT).vm_flags)
    assert page_referenced(page, True) == (0, 0)
    child.switch()
    child.load(AT)
    box.switch()
    box.k.cpu.flush_all()
    box.load(AT)
    assert page_referenced(page, True)[0] == 2
    assert [b.flags(AT) & A for b in (box, child)] == [0, 0]


def test_referenced_through_a_sequential_mapping_does_not_count_and_a_locked_one_ends_the_walk() -> None:
    box = Box()
    box.store(box.mmap(0x1000, addr=AT), 1)
    box.vma(AT).vm_flags |= VM_SEQ_READ
    assert page_referenced(box.page(AT), True) == (0, 0)
    box.vma(AT).vm_flags &= ~VM_SEQ_READ
    mlock(box.k, AT, 0x1000)
    box.k.cpu.flush_all()
    box.load(AT)
    assert page_referenced(box.page(AT), True) == (0, VM_LOCKED)
    assert box.flags(AT) & A


@pytest.fixture
def file_box(tmp_path: Path) -> Box:
    (tmp_path / "data").write_bytes(bytes(4 * PAGE))
    return Box(root=str(tmp_path))


def test_a_file_page_that_somebody_has_locked_counts_as_referenced(file_box: Box) -> None:
    fd = file_box.open("/data", 0)
    addr = file_box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd)
    file_box.load(addr)
    page = file_box.page(addr)
    lock_page(page)
    assert page_referenced(page, False) == (1, 0)
    unlock_page(page)
    referenced, vm_flags = page_referenced(page, False)
    assert (referenced, vm_flags & VM_READ, page.flags & PG_locked) == (1, VM_READ, 0)


def shared_twice(box: Box) -> tuple[int, int, Box]:
    """Two mappings of one shared page, and a child that has them too; all wrote to it, or read."""
    first = box.mmap(2 * PAGE, RW, MAP_SHARED | 0x20, addr=AT)
    box.store(first, 1)
    child = box.fork()
    child.switch()
    child.store(first, 2)
    child.load(first + PAGE)
    box.switch()
    return first, first + PAGE, child


def test_mkclean_makes_all_shared_entries_clean_and_read_only() -> None:
    """After it the next store faults, whoever makes it."""
    box = Box()
    addr, other, child = shared_twice(box)
    page = box.page(addr)
    with pytest.raises(KernelBug, match="not locked"):
        page_mkclean(page)
    lock_page(page)
    assert page_mkclean(page) == 2
    assert page_mkclean(page) == 0
    unlock_page(page)
    assert [b.flags(addr) & (P | W | D) for b in (box, child)] == [P, P]
    assert child.flags(other) & P
    validate_vm(box.k)
    before = box.faults()
    box.store(addr, 3)
    assert sum(box.faults()) - sum(before) == 1
    assert [b.flags(addr) & W for b in (box, child)] == [W, 0]
    lock_page(page)
    assert page_mkclean(page) == 1
    unlock_page(page)


def test_mkclean_leaves_private_mappings_and_anonymous_pages_alone(file_box: Box) -> None:
    box = file_box
    fd = box.open("/data", 0)
    addr = box.mmap(PAGE, RW, MAP_PRIVATE, fd)
    box.store(addr, 1)
    page = box.page(addr)
    lock_page(page)
    assert page_mkclean(page) == 0
    unlock_page(page)
    assert box.flags(addr) & W


def test_unmapping_a_file_page_takes_it_from_everybody(file_box: Box) -> None:
    box = file_box
    fd = box.open("/data", 0)
    addr = box.mmap(PAGE, PROT_READ, MAP_SHARED, fd)
    private = box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd)
    for where in (addr, private):
        box.load(where)
    page = box.page(addr)
    child = box.fork()
    child.switch()
    child.load(addr)
    assert page._mapcount == 2
    lock_page(page)
    assert try_to_unmap(page, 0)
    unlock_page(page)
    assert [b.pte(where) for b in (box, child) for where in (addr, private)] == [0] * 4
    box.drain()
    assert page._refcount == 1
    validate_vm(box.k)
    # It is still in the page cache.
    assert child.load(addr) == 0


def test_dirty_entries_make_the_page_dirty_when_they_go() -> None:
    box = Box()
    addr, _, child = shared_twice(box)
    page = box.page(addr)
    page.flags &= ~PG_dirty
    lock_page(page)
    assert try_to_unmap(page, 0)
    unlock_page(page)
    assert page.flags & PG_dirty
    assert [box.pte(addr), child.pte(addr)] == [0, 0]


def test_a_locked_mapping_keeps_the_page_unless_told_otherwise(file_box: Box) -> None:
    box = file_box
    fd = box.open("/data", 0)
    addr = box.mmap(PAGE, PROT_READ, MAP_SHARED, fd)
    mlock(box.k, addr, PAGE)
    page = box.page(addr)
    lock_page(page)
    assert not try_to_unmap(page, 0)
    assert box.pte(addr)
    assert try_to_unmap(page, TTU_IGNORE_MLOCK)
    unlock_page(page)
    assert box.pte(addr) == 0


def test_pages_that_madvise_freed_are_dropped_and_those_written_since_are_kept() -> None:
    box = Box()
    box.mmap(2 * PAGE, addr=AT)
    box.store(AT, 1)
    box.store(AT + PAGE, 2)
    box.drain()
    do_madvise(box.k, AT, 2 * PAGE, MADV_FREE)
    box.drain()
    pages = [box.page(AT), box.page(AT + PAGE)]
    assert [page.flags & PG_swapbacked for page in pages] == [0, 0]
    box.store(AT + PAGE, 3)
    child = box.fork()
    for page, gone in zip(pages, (True, False), strict=True):
        # As reclaim does it: off the LRU list, which it would change.
        assert isolate_lru_page(page)
        lock_page(page)
        assert try_to_unmap(page, 0) is gone
        unlock_page(page)
        putback_lru_page(page)
    box.drain()
    assert [b.pte(AT) for b in (box, child)] == [0, 0]
    assert [bool(b.pte(AT + PAGE)) for b in (box, child)] == [True, True]
    assert pages[1].flags & PG_swapbacked
    assert [box.load(AT), box.load(AT + PAGE)] == [0, 3]


def test_there_is_no_place_for_an_anonymous_page_yet() -> None:
    box = Box()
    box.store(box.mmap(PAGE, addr=AT), 1)
    page = box.page(AT)
    lock_page(page)
    with pytest.raises(KernelBug, match="no place in swap"):
        try_to_unmap(page, 0)
