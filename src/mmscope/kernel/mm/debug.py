# SPDX-License-Identifier: GPL-2.0-or-later
"""Consistency checks of an address space (validate_mm and browse_rb of mm/mmap.c)."""

from __future__ import annotations

from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmRb
from mmscope.kernel.lib.rbtree import RB_BLACK, RB_RED, RbNode
from mmscope.kernel.mm.interval_tree import anon_vma_interval_tree_verify
from mmscope.kernel.mm.mmap_area import vm_end_gap, vma_compute_gap

__all__ = ["browse_rb", "validate_mm", "validate_mm_now"]


def _browse(node: RbNode | None, parent: RbNode | None, vmas: list[VmAreaStruct]) -> tuple[int, int]:
    """Walk in order; (largest gap below VMAs of the subtree, black height)."""
    if node is None:
        return 0, 1
    assert isinstance(node, VmRb)
    vma = node.vma
    if node.rb_parent is not parent:
        raise KernelBug(f"mm_rb: {vma} hangs under {parent!r} but says its parent is {node.rb_parent!r}")
    if parent is not None and parent.rb_color == RB_RED and node.rb_color == RB_RED:
        assert isinstance(parent, VmRb)
        raise KernelBug(f"mm_rb: red {vma} under red {parent.vma}")
    left_gap, left_black = _browse(node.rb_left, node, vmas)
    vmas.append(vma)
    right_gap, right_black = _browse(node.rb_right, node, vmas)
    if left_black != right_black:
        raise KernelBug(f"mm_rb: {left_black} black nodes left of {vma}, {right_black} right of it")
    gap = max(vma_compute_gap(vma), left_gap, right_gap)
    if gap != vma.rb_subtree_gap:
        raise KernelBug(f"mm_rb: {vma} rb_subtree_gap {vma.rb_subtree_gap:#x}, should be {gap:#x}")
    return gap, left_black + (1 if node.rb_color == RB_BLACK else 0)


def browse_rb(mm: MmStruct) -> list[VmAreaStruct]:
    """The VMAs of mm_rb in order; KernelBug if shape, colours or gaps are wrong."""
    vmas: list[VmAreaStruct] = []
    root = mm.mm_rb.rb_node
    if root is not None and root.rb_color != RB_BLACK:
        assert isinstance(root, VmRb)
        raise KernelBug(f"mm_rb: root {root.vma} is red")
    _browse(root, None, vmas)
    return vmas


def validate_mm(mm: MmStruct) -> None:
    """validate_mm_now() under CONFIG_DEBUG_VM."""
    if mm.kernel.config.CONFIG_DEBUG_VM:
        validate_mm_now(mm)


def validate_mm_now(mm: MmStruct) -> None:
    """List and tree hold the same VMAs in order, none overlaps; map_count, highest_vm_end, gaps and anon_vma chains agree."""
    vmas = browse_rb(mm)
    highest = 0
    prev: VmAreaStruct | None = None
    vma = mm.mmap
    i = 0
    while vma is not None:
        if vma.vm_prev is not prev:
            raise KernelBug(f"mm list: {vma} follows {prev} but its vm_prev is {vma.vm_prev}")
        if i >= len(vmas) or vmas[i] is not vma:
            raise KernelBug(f"mm list has {vma} at {i}, mm_rb has {vmas[i] if i < len(vmas) else None}")
        if vma.vm_start >= vma.vm_end or (prev is not None and prev.vm_end > vma.vm_start):
            raise KernelBug(f"mm list: {vma} after {prev}")
        if vma.vm_mm is not mm:
            raise KernelBug(f"mm list: {vma} belongs to {vma.vm_mm}, not {mm}")
        if (vma.anon_vma is not None) != bool(vma.anon_vma_chain):
            raise KernelBug(f"{vma}: anon_vma {vma.anon_vma}, {len(vma.anon_vma_chain)} chain links")
        for avc in vma.anon_vma_chain:
            if avc.vma is not vma:
                raise KernelBug(f"{vma} has the chain link of {avc.vma}")
            anon_vma_interval_tree_verify(avc)
        highest = vm_end_gap(vma)
        prev = vma
        vma = vma.vm_next
        i += 1
    if i != mm.map_count or i != len(vmas):
        raise KernelBug(f"map_count {mm.map_count}, {i} VMAs on the list, {len(vmas)} in mm_rb of {mm}")
    if highest != mm.highest_vm_end:
        raise KernelBug(f"mm.highest_vm_end {mm.highest_vm_end:#x}, last VMA {prev} ends at {highest:#x}")
