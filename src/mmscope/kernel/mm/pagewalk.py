# SPDX-License-Identifier: GPL-2.0-or-later
"""Walking the page tables of an address space with callbacks (mm/pagewalk.c, include/linux/pagewalk.h)."""

from __future__ import annotations

import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.arch.x86.pgtable import (
    pgd_addr_end,
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pud_addr_end,
    pud_none,
    pud_offset,
)
from mmscope.kernel.include.errno import EINVAL, KernelBug, KernelError
from mmscope.kernel.include.mm import VM_PFNMAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

__all__ = ["MmWalk", "MmWalkOps", "walk_page_range", "walk_page_vma"]


class MmWalkOps:
    """struct mm_walk_ops; None where C has NULL. A callback raises KernelError to end the walk."""

    def __init__(
        self,
        pmd_entry: Callable[[int, int, int, MmWalk], None] | None = None,
        pte_hole: Callable[[int, int, MmWalk], None] | None = None,
        test_walk: Callable[[int, int, MmWalk], bool] | None = None,
    ) -> None:
        #: (pmdp, addr, end, walk): each entry that is not empty, inside a VMA.
        self.pmd_entry = pmd_entry
        #: (addr, end, walk): no page table here, or no VMA.
        self.pte_hole = pte_hole
        #: (start, end, walk): False leaves this VMA out.
        self.test_walk = test_walk


class MmWalk:
    """struct mm_walk: one walk on its way."""

    def __init__(self, ops: MmWalkOps, mm: MmStruct, private: object) -> None:
        self.ops = ops
        self.mm = mm
        #: The VMA that is walked; None between VMAs.
        self.vma: VmAreaStruct | None = None
        self.private = private


def walk_pmd_range(pudp: int, addr: int, end: int, walk: MmWalk) -> None:
    """[addr, end) of one PMD."""
    k = walk.mm.kernel
    ops = walk.ops
    pmdp = pmd_offset(k, pudp, addr)
    while addr != end:
        next = pmd_addr_end(addr, end)
        if pmd_none(k.words[pmdp]) or walk.vma is None:
            if ops.pte_hole is not None:
                ops.pte_hole(addr, next, walk)
        elif ops.pmd_entry is not None:
            ops.pmd_entry(pmdp, addr, next, walk)
        pmdp += 1
        addr = next


def walk_pud_range(pgdp: int, addr: int, end: int, walk: MmWalk) -> None:
    """[addr, end) of one PUD."""
    k = walk.mm.kernel
    ops = walk.ops
    pudp = pud_offset(k, pgdp, addr)
    while addr != end:
        next = pud_addr_end(addr, end)
        if pud_none(k.words[pudp]) or walk.vma is None:
            if ops.pte_hole is not None:
                ops.pte_hole(addr, next, walk)
        else:
            walk_pmd_range(pudp, addr, next, walk)
        pudp += 1
        addr = next


def walk_pgd_range(addr: int, end: int, walk: MmWalk) -> None:
    """[addr, end) from the top."""
    k = walk.mm.kernel
    ops = walk.ops
    pgdp = pgd_offset(walk.mm, addr)
    while addr != end:
        next = pgd_addr_end(addr, end)
        if pgd_none(k.words[pgdp]):
            if ops.pte_hole is not None:
                ops.pte_hole(addr, next, walk)
        else:
            walk_pud_range(pgdp, addr, next, walk)
        pgdp += 1
        addr = next


def walk_page_test(start: int, end: int, walk: MmWalk) -> bool:
    """Is this VMA to be walked? Bare frames (VM_PFNMAP) are not: to all callbacks they are a hole."""
    vma = walk.vma
    assert vma is not None
    if walk.ops.test_walk is not None:
        return walk.ops.test_walk(start, end, walk)
    if vma.vm_flags & VM_PFNMAP:
        if walk.ops.pte_hole is not None:
            walk.ops.pte_hole(start, end, walk)
        return False
    return True


def walk_page_range(mm: MmStruct, start: int, end: int, ops: MmWalkOps, private: object) -> None:
    """Walk [start, end), VMAs and what lies between them. Raises EINVAL for an empty range, and what a callback raises."""
    if start >= end:
        raise KernelError(EINVAL)
    walk = MmWalk(ops, mm, private)
    vma = mm_mmap.find_vma(mm, start)
    while start < end:
        if vma is None:
            walk.vma = None
            next = end
        elif start < vma.vm_start:
            walk.vma = None
            next = min(end, vma.vm_start)
        else:
            walk.vma = vma
            next = min(end, vma.vm_end)
            vma = vma.vm_next
            if not walk_page_test(start, next, walk):
                start = next
                continue
        if walk.vma is not None or ops.pte_hole is not None:
            walk_pgd_range(start, next, walk)
        start = next


def walk_page_vma(vma: VmAreaStruct, ops: MmWalkOps, private: object) -> None:
    """Walk all of one VMA."""
    if vma.vm_start >= vma.vm_end:
        raise KernelBug(f"walk_page_vma: {vma!r} is empty")
    walk = MmWalk(ops, vma.vm_mm, private)
    walk.vma = vma
    if walk_page_test(vma.vm_start, vma.vm_end, walk):
        walk_pgd_range(vma.vm_start, vma.vm_end, walk)
