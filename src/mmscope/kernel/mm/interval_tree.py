# SPDX-License-Identifier: GPL-2.0-or-later
"""The two interval trees of memory management (mm/interval_tree.c).

`address_space.i_mmap` holds the VMAs of a file, `anon_vma.rb_root` the anon_vma_chains of an anon_vma; both are keyed by
the pages [vm_pgoff, vma_last_pgoff(vma)] of the VMA.
"""

from __future__ import annotations

from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm_types import AnonVmaChain, AnonVmaChainRb, SharedRb, VmAreaStruct
from mmscope.kernel.lib.interval_tree import IntervalTree
from mmscope.kernel.lib.rbtree import RbNode, RbRootCached, rb_insert_augmented, rb_link_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class VmaIntervalTree(IntervalTree):
    """Nodes are vma->shared.rb."""

    def start(self, node: RbNode) -> int:
        """First page of the file that the VMA maps."""
        assert isinstance(node, SharedRb)
        return node.vma.vm_pgoff

    def last(self, node: RbNode) -> int:
        """Last page of the file that the VMA maps."""
        assert isinstance(node, SharedRb)
        vma = node.vma
        return vma.vm_pgoff + ((vma.vm_end - vma.vm_start) >> 12) - 1

    def get(self, node: RbNode) -> int:
        """vma->shared.rb_subtree_last"""
        assert isinstance(node, SharedRb)
        return node.vma.shared_rb_subtree_last

    def set(self, node: RbNode, value: int) -> None:
        """vma->shared.rb_subtree_last"""
        assert isinstance(node, SharedRb)
        node.vma.shared_rb_subtree_last = value


class AnonVmaIntervalTree(IntervalTree):
    """Nodes are avc->rb."""

    def start(self, node: RbNode) -> int:
        """vm_pgoff of the chain's VMA."""
        assert isinstance(node, AnonVmaChainRb)
        vma = node.avc.vma
        assert vma is not None
        return vma.vm_pgoff

    def last(self, node: RbNode) -> int:
        """Last page offset of the chain's VMA."""
        assert isinstance(node, AnonVmaChainRb)
        vma = node.avc.vma
        assert vma is not None
        return vma.vm_pgoff + ((vma.vm_end - vma.vm_start) >> 12) - 1

    def get(self, node: RbNode) -> int:
        """avc->rb_subtree_last"""
        assert isinstance(node, AnonVmaChainRb)
        return node.avc.rb_subtree_last

    def set(self, node: RbNode, value: int) -> None:
        """avc->rb_subtree_last"""
        assert isinstance(node, AnonVmaChainRb)
        node.avc.rb_subtree_last = value


vma_interval_tree: Final = VmaIntervalTree()
anon_vma_interval_tree: Final = AnonVmaIntervalTree()


def vma_last_pgoff(vma: VmAreaStruct) -> int:
    """The last page offset of `vma`, inclusive."""
    return vma.vm_pgoff + ((vma.vm_end - vma.vm_start) >> 12) - 1


def vma_interval_tree_insert(node: VmAreaStruct, root: RbRootCached) -> None:
    """Add a VMA to an i_mmap."""
    vma_interval_tree.insert(node.shared_rb, root)


def vma_interval_tree_remove(node: VmAreaStruct, root: RbRootCached) -> None:
    """Take a VMA out of an i_mmap. Its limits must be those of its insertion."""
    vma_interval_tree.remove(node.shared_rb, root)


def vma_interval_tree_insert_after(node: VmAreaStruct, prev: VmAreaStruct, root: RbRootCached) -> None:
    """Add `node` right behind `prev`, which has the same interval (fork: the child's copy of the parent's VMA)."""
    if node.vm_pgoff != prev.vm_pgoff:
        raise KernelBug(f"vma_interval_tree_insert_after: {node} and {prev} start at different offsets")
    last = vma_last_pgoff(node)
    parent: RbNode = prev.shared_rb
    left = False
    below = parent.rb_right
    while below is not None:
        parent = below
        left = True
        if vma_interval_tree.get(parent) < last:
            vma_interval_tree.set(parent, last)
        below = parent.rb_left
    node.shared_rb_subtree_last = last
    rb_link_node(node.shared_rb, parent, root.rb_root, left)
    rb_insert_augmented(node.shared_rb, root.rb_root, vma_interval_tree)


def vma_interval_tree_iter_first(root: RbRootCached, start: int, last: int) -> VmAreaStruct | None:
    """First VMA of an i_mmap that maps any of the pages [start, last]."""
    node = vma_interval_tree.iter_first(root, start, last)
    if node is None:
        return None
    assert isinstance(node, SharedRb)
    return node.vma


def vma_interval_tree_iter_next(vma: VmAreaStruct, start: int, last: int) -> VmAreaStruct | None:
    """The next such VMA."""
    node = vma_interval_tree.iter_next(vma.shared_rb, start, last)
    if node is None:
        return None
    assert isinstance(node, SharedRb)
    return node.vma


def anon_vma_interval_tree_insert(node: AnonVmaChain, root: RbRootCached) -> None:
    """Add a chain link to its anon_vma's tree."""
    anon_vma_interval_tree.insert(node.rb, root)


def anon_vma_interval_tree_remove(node: AnonVmaChain, root: RbRootCached) -> None:
    """Take a chain link out of its anon_vma's tree."""
    anon_vma_interval_tree.remove(node.rb, root)


def anon_vma_interval_tree_iter_first(root: RbRootCached, start: int, last: int) -> AnonVmaChain | None:
    """First chain link whose VMA covers any of the page offsets [start, last]."""
    node = anon_vma_interval_tree.iter_first(root, start, last)
    if node is None:
        return None
    assert isinstance(node, AnonVmaChainRb)
    return node.avc


def anon_vma_interval_tree_iter_next(avc: AnonVmaChain, start: int, last: int) -> AnonVmaChain | None:
    """The next such chain link."""
    node = anon_vma_interval_tree.iter_next(avc.rb, start, last)
    if node is None:
        return None
    assert isinstance(node, AnonVmaChainRb)
    return node.avc


def anon_vma_interval_tree_verify(node: AnonVmaChain) -> None:
    """The stored maximum is right for `node` and its children; KernelBug if not (CONFIG_DEBUG_VM_RB)."""
    expect = anon_vma_interval_tree.last(node.rb)
    for child in (node.rb.rb_left, node.rb.rb_right):
        if child is not None:
            value = anon_vma_interval_tree.get(child)
            if value > expect:
                expect = value
    if expect != node.rb_subtree_last:
        raise KernelBug(f"anon_vma_chain of {node.vma}: rb_subtree_last {node.rb_subtree_last:#x}, should be {expect:#x}")
