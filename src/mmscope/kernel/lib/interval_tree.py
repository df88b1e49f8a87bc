# SPDX-License-Identifier: GPL-2.0-or-later
"""Interval trees over red-black nodes (include/linux/interval_tree_generic.h).

Nodes are sorted by where their interval starts; every node also holds the largest end in its subtree. A subclass of
`IntervalTree` is what INTERVAL_TREE_DEFINE() generates in C: it says where a node keeps start, last and that maximum.
Ends are inclusive.
"""

from __future__ import annotations

from mmscope.kernel.lib.rbtree import (
    RbAugmentCallbacksMax,
    RbNode,
    RbRootCached,
    rb_erase_augmented_cached,
    rb_insert_augmented_cached,
    rb_link_node,
)


class IntervalTree(RbAugmentCallbacksMax):
    """The operations on one kind of interval tree; holds no state, the tree is the RbRootCached."""

    def start(self, node: RbNode) -> int:
        """ITSTART: first point of the node's interval."""
        raise NotImplementedError

    def last(self, node: RbNode) -> int:
        """ITLAST: last point of the node's interval."""
        raise NotImplementedError

    def compute(self, node: RbNode) -> int:
        """The node alone ends at its own last point."""
        return self.last(node)

    def insert(self, node: RbNode, root: RbRootCached) -> None:
        """Add `node`; among equal starts it comes last."""
        start = self.start(node)
        last = self.last(node)
        parent: RbNode | None = None
        link = root.rb_root.rb_node
        left = False
        leftmost = True
        while link is not None:
            parent = link
            if self.get(parent) < last:
                self.set(parent, last)
            if start < self.start(parent):
                left = True
                link = parent.rb_left
            else:
                left = False
                link = parent.rb_right
                leftmost = False
        self.set(node, last)
        rb_link_node(node, parent, root.rb_root, left)
        rb_insert_augmented_cached(node, root, leftmost, self)

    def remove(self, node: RbNode, root: RbRootCached) -> None:
        """Take `node` out."""
        rb_erase_augmented_cached(node, root, self)

    def subtree_search(self, node: RbNode, start: int, last: int) -> RbNode | None:
        """Leftmost node of the subtree that meets [start, last]. Precondition: the subtree's maximum is >= start."""
        while True:
            left = node.rb_left
            if left is not None and start <= self.get(left):
                # Some node on the left ends late enough; if it begins too late, so does everything to its right.
                node = left
                continue
            if self.start(node) <= last:
                if start <= self.last(node):
                    return node
                right = node.rb_right
                if right is not None and start <= self.get(right):
                    node = right
                    continue
            return None

    def iter_first(self, root: RbRootCached, start: int, last: int) -> RbNode | None:
        """First node that meets [start, last]."""
        node = root.rb_root.rb_node
        if node is None or self.get(node) < start:
            return None
        leftmost = root.rb_leftmost
        assert leftmost is not None
        if self.start(leftmost) > last:
            return None
        return self.subtree_search(node, start, last)

    def iter_next(self, node: RbNode, start: int, last: int) -> RbNode | None:
        """The next node after `node` that meets [start, last]."""
        right = node.rb_right
        while True:
            if right is not None and start <= self.get(right):
                return self.subtree_search(right, start, last)
            # Up, until we come from the left.
            while True:
                prev = node
                parent = node.rb_parent
                if parent is None:
                    return None
                node = parent
                right = node.rb_right
                if prev is not right:
                    break
            if last < self.start(node):
                return None
            if start <= self.last(node):
                return node
