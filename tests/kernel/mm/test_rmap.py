# SPDX-License-Identifier: GPL-2.0-or-later
"""anon_vma life: prepare, split, clone, fork, unlink; degree and its successor's counters."""

from __future__ import annotations

from mmscope.kernel.include.mm_types import VmAreaStruct
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.rmap import anon_vma_fork, unlink_anon_vmas
from tests.kernel.mm.faultlib import Box


def test_a_fresh_anon_vma_is_its_own_child() -> None:
    box = Box()
    addr = box.mmap(0x4000, addr=0x10000000)
    box.store(addr, 1)
    vma = box.vma(addr)
    anon_vma = vma.anon_vma
    assert anon_vma is not None
    assert (anon_vma.degree, anon_vma.num_children, anon_vma.num_active_vmas, anon_vma.refcount) == (2, 1, 1, 1)
    assert anon_vma.root is anon_vma.parent is anon_vma
    assert [avc.anon_vma for avc in vma.anon_vma_chain] == [anon_vma]


def test_splitting_shares_the_anon_vma_and_unmapping_lets_it_go() -> None:
    box = Box()
    addr = box.mmap(0x4000, addr=0x10000000)
    box.store(addr, 1)
    anon_vma = box.vma(addr).anon_vma
    assert anon_vma is not None
    do_munmap(box.mm, addr + 0x1000, 0x1000)
    assert box.vma(addr + 0x2000).anon_vma is anon_vma
    assert (anon_vma.degree, anon_vma.num_children, anon_vma.num_active_vmas) == (3, 1, 2)
    do_munmap(box.mm, addr, 0x4000)
    assert (anon_vma.degree, anon_vma.num_children, anon_vma.num_active_vmas, anon_vma.refcount) == (0, 0, 0, 0)


def fork(vma: VmAreaStruct) -> VmAreaStruct:
    child = VmAreaStruct(vma.vm_mm)
    child.vm_start, child.vm_end, child.vm_pgoff = vma.vm_start, vma.vm_end, vma.vm_pgoff
    anon_vma_fork(child, vma)
    return child


def test_fork_gives_the_child_an_anon_vma_and_a_grandchild_may_reuse_a_dead_ones() -> None:
    box = Box()
    addr = box.mmap(0x4000, addr=0x10000000)
    box.store(addr, 1)
    vma = box.vma(addr)
    root = vma.anon_vma
    assert root is not None
    child = fork(vma)
    own = child.anon_vma
    assert own is not None
    assert own is not root
    assert (own.parent, own.root, root.degree, own.degree) == (root, root, 3, 1)
    assert [avc.anon_vma for avc in child.anon_vma_chain] == [own, root]
    # A vma-less anon_vma: the child goes, the grandchild had been forked from it.
    grandchild = fork(child)
    assert grandchild.anon_vma is not own
    own.degree -= 1  # nothing of its own any more (as if `child` had exited with a second fork still there)
    unlink_anon_vmas(grandchild)
    assert own.degree == 0
    own.degree += 1
    unlink_anon_vmas(child)
    assert (root.degree, root.num_children, root.num_active_vmas) == (2, 1, 1)
    assert root.refcount == 1
