# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/interval_tree: i_mmap queries against a plain list of VMAs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.lib.rbtree import RbRootCached, rb_first
from mmscope.kernel.mm.interval_tree import (
    vma_interval_tree_insert,
    vma_interval_tree_insert_after,
    vma_interval_tree_iter_first,
    vma_interval_tree_iter_next,
    vma_interval_tree_remove,
    vma_last_pgoff,
)
from tests.kernel.bare import bare_kernel

INTERVALS = st.tuples(st.integers(0, 40), st.integers(1, 12))


def vma_of(mm: MmStruct, pgoff: int, pages: int) -> VmAreaStruct:
    vma = VmAreaStruct(mm)
    vma.vm_pgoff, vma.vm_end = pgoff, pages << 12
    return vma


def overlapping(root: RbRootCached, start: int, last: int) -> list[VmAreaStruct]:
    found = []
    vma = vma_interval_tree_iter_first(root, start, last)
    while vma is not None:
        found.append(vma)
        vma = vma_interval_tree_iter_next(vma, start, last)
    return found


@given(st.lists(INTERVALS, max_size=40), st.data())
def test_queries_find_what_a_list_finds(intervals: list[tuple[int, int]], data: st.DataObject) -> None:
    mm = MmStruct(bare_kernel(8 << 20))
    root = RbRootCached()
    vmas = [vma_of(mm, pgoff, pages) for pgoff, pages in intervals]
    for vma in vmas:
        vma_interval_tree_insert(vma, root)
    for vma in data.draw(st.lists(st.sampled_from(vmas), unique=True)) if vmas else []:
        vma_interval_tree_remove(vma, root)
        vmas.remove(vma)
    start, pages = data.draw(INTERVALS)
    last = start + pages - 1
    want = [vma for vma in vmas if vma.vm_pgoff <= last and vma_last_pgoff(vma) >= start]
    found = overlapping(root, start, last)
    assert len(found) == len(want)
    assert set(found) == set(want)
    assert [vma.vm_pgoff for vma in found] == sorted(vma.vm_pgoff for vma in want)
    assert root.rb_leftmost is rb_first(root.rb_root)


def test_insert_after_puts_the_copy_behind_its_original() -> None:
    mm = MmStruct(bare_kernel(8 << 20))
    root = RbRootCached()
    vmas = [vma_of(mm, 3 * i, 5) for i in range(6)]
    for vma in vmas:
        vma_interval_tree_insert(vma, root)
    copy = vma_of(mm, 6, 5)
    vma_interval_tree_insert_after(copy, vmas[2], root)
    everything = overlapping(root, 0, 100)
    assert everything == [*vmas[:3], copy, *vmas[3:]]
