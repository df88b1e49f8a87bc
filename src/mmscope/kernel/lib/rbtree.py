# SPDX-License-Identifier: GPL-2.0-or-later
"""Red-black trees, plain and augmented (lib/rbtree.c, include/linux/rbtree_augmented.h).

Rotations, recolourings and the order in which augmented values are recomputed are the kernel's, so a tree has the
shape, the colours and the values that Linux's tree has after the same operations. Searching is the user's business:
find the empty link, `rb_link_node`, then `rb_insert_color`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RB_RED: Final = 0
RB_BLACK: Final = 1


class RbNode:
    """struct rb_node. In C parent and colour share a word; here they are two fields."""

    def __init__(self) -> None:
        self.rb_parent: RbNode | None = None
        self.rb_color = RB_RED
        self.rb_left: RbNode | None = None
        self.rb_right: RbNode | None = None


class RbRoot:
    """struct rb_root: the tree."""

    def __init__(self) -> None:
        self.rb_node: RbNode | None = None


class RbRootCached:
    """struct rb_root_cached: a tree that remembers its leftmost node."""

    def __init__(self) -> None:
        self.rb_root = RbRoot()
        self.rb_leftmost: RbNode | None = None


class RbAugmentCallbacks:
    """struct rb_augment_callbacks: how a value kept in every node follows the tree's changes. This one keeps none."""

    def propagate(self, node: RbNode | None, stop: RbNode | None) -> None:
        """Recompute from `node` upwards to `stop` (excluded); may end early where nothing changes."""

    def copy(self, old: RbNode, new: RbNode) -> None:
        """`new` takes `old`'s place in the tree: take over its value."""

    def rotate(self, old: RbNode, new: RbNode) -> None:
        """`new` rose above `old`: it takes over old's value, and old's is recomputed."""


class RbAugmentCallbacksMax(RbAugmentCallbacks):
    """RB_DECLARE_CALLBACKS_MAX: each node holds the maximum of a number over its subtree.

    A subclass says where the value is kept (`get`, `set`) and what a node alone counts for (`compute`).
    """

    def compute(self, node: RbNode) -> int:
        """The number that `node` itself contributes."""
        raise NotImplementedError

    def get(self, node: RbNode) -> int:
        """The maximum that is stored in `node`."""
        raise NotImplementedError

    def set(self, node: RbNode, value: int) -> None:
        """Store the maximum."""
        raise NotImplementedError

    def compute_max(self, node: RbNode, exit: bool) -> bool:
        """Recompute the node's maximum from its children; True (only if `exit`): it was right, stop here."""
        maximum = self.compute(node)
        left = node.rb_left
        if left is not None:
            value = self.get(left)
            if value > maximum:
                maximum = value
        right = node.rb_right
        if right is not None:
            value = self.get(right)
            if value > maximum:
                maximum = value
        if exit and self.get(node) == maximum:
            return True
        self.set(node, maximum)
        return False

    def propagate(self, node: RbNode | None, stop: RbNode | None) -> None:
        """Upwards until a maximum is right already: then all above it are."""
        while node is not None and node is not stop:
            if self.compute_max(node, True):
                break
            node = node.rb_parent

    def copy(self, old: RbNode, new: RbNode) -> None:
        """Same subtree, same maximum; propagate() mends it later."""
        self.set(new, self.get(old))

    def rotate(self, old: RbNode, new: RbNode) -> None:
        """`new` now tops what `old` topped."""
        self.set(new, self.get(old))
        self.compute_max(old, False)


dummy_callbacks: Final = RbAugmentCallbacks()


def RB_CLEAR_NODE(node: RbNode) -> None:
    """Mark a node as standing in no tree: it is its own parent."""
    node.rb_parent = node


def RB_EMPTY_NODE(node: RbNode) -> bool:
    """RB_CLEAR_NODE was the last thing done to the node."""
    return node.rb_parent is node


def rb_link_node(node: RbNode, parent: RbNode | None, root: RbRoot, left: bool) -> None:
    """Hang the new red `node` under `parent` (None: it becomes the root of `root`). The rules may now be broken.

    C passes the address of the link, `rb_link`; here `left` tells which of the parent's two links it is.
    """
    node.rb_parent = parent
    node.rb_color = RB_RED
    node.rb_left = None
    node.rb_right = None
    if parent is None:
        root.rb_node = node
    elif left:
        parent.rb_left = node
    else:
        parent.rb_right = node


def __rb_change_child(old: RbNode, new: RbNode | None, parent: RbNode | None, root: RbRoot) -> None:
    if parent is None:
        root.rb_node = new
    elif parent.rb_left is old:
        parent.rb_left = new
    else:
        parent.rb_right = new


def __rb_rotate_set_parents(old: RbNode, new: RbNode, root: RbRoot, color: int) -> None:
    """`new` gets old's parent and colour, `old` becomes its child with `color`."""
    parent = old.rb_parent
    new.rb_parent = parent
    new.rb_color = old.rb_color
    old.rb_parent = new
    old.rb_color = color
    __rb_change_child(old, new, parent, root)


def __rb_insert(node: RbNode, root: RbRoot, augment: RbAugmentCallbacks) -> None:
    """Restore the rules after `node`, red, was linked. Loop invariant: `node` is red, all else is in order but its parent."""
    parent = node.rb_parent
    while True:
        if parent is None:
            node.rb_parent = None
            node.rb_color = RB_BLACK
            return
        if parent.rb_color == RB_BLACK:
            return
        gparent = parent.rb_parent
        assert gparent is not None  # a red node is never the root
        uncle = gparent.rb_right
        if uncle is not parent:
            if uncle is not None and uncle.rb_color == RB_RED:
                # Red uncle: blacken both, go on with the grandparent.
                uncle.rb_color = RB_BLACK
                parent.rb_color = RB_BLACK
                node = gparent
                parent = node.rb_parent
                node.rb_color = RB_RED
                continue
            tmp = parent.rb_right
            if tmp is node:
                # Inner grandchild: rotate it outside.
                tmp = node.rb_left
                parent.rb_right = tmp
                node.rb_left = parent
                if tmp is not None:
                    tmp.rb_parent = parent
                    tmp.rb_color = RB_BLACK
                parent.rb_parent = node
                parent.rb_color = RB_RED
                augment.rotate(parent, node)
                parent = node
                tmp = node.rb_right
            # Outer grandchild: the parent rises above the grandparent.
            gparent.rb_left = tmp
            parent.rb_right = gparent
        else:
            uncle = gparent.rb_left
            if uncle is not None and uncle.rb_color == RB_RED:
                uncle.rb_color = RB_BLACK
                parent.rb_color = RB_BLACK
                node = gparent
                parent = node.rb_parent
                node.rb_color = RB_RED
                continue
            tmp = parent.rb_left
            if tmp is node:
                tmp = node.rb_right
                parent.rb_left = tmp
                node.rb_right = parent
                if tmp is not None:
                    tmp.rb_parent = parent
                    tmp.rb_color = RB_BLACK
                parent.rb_parent = node
                parent.rb_color = RB_RED
                augment.rotate(parent, node)
                parent = node
                tmp = node.rb_left
            gparent.rb_right = tmp
            parent.rb_left = gparent
        if tmp is not None:
            tmp.rb_parent = gparent
            tmp.rb_color = RB_BLACK
        __rb_rotate_set_parents(gparent, parent, root, RB_RED)
        augment.rotate(gparent, parent)
        return


def __rb_erase_color(parent: RbNode, root: RbRoot, augment: RbAugmentCallbacks) -> None:
    """Restore the rules where a black node vanished: paths through `node`, a child of `parent`, are one black short."""
    node: RbNode | None = None
    while True:
        sibling = parent.rb_right
        if sibling is not node:
            assert sibling is not None
            if sibling.rb_color == RB_RED:
                # Rotate, so that the sibling is black.
                tmp1 = sibling.rb_left
                assert tmp1 is not None
                parent.rb_right = tmp1
                sibling.rb_left = parent
                tmp1.rb_parent = parent
                tmp1.rb_color = RB_BLACK
                __rb_rotate_set_parents(parent, sibling, root, RB_RED)
                augment.rotate(parent, sibling)
                sibling = tmp1
            outer = sibling.rb_right
            if outer is None or outer.rb_color == RB_BLACK:
                inner = sibling.rb_left
                if inner is None or inner.rb_color == RB_BLACK:
                    # No red nephew: redden the sibling, the parent is now short.
                    sibling.rb_parent = parent
                    sibling.rb_color = RB_RED
                    if parent.rb_color == RB_RED:
                        parent.rb_color = RB_BLACK
                        return
                    node = parent
                    up = node.rb_parent
                    if up is None:
                        return
                    parent = up
                    continue
                # Only the inner nephew is red: it rises above the sibling.
                tmp = inner.rb_right
                sibling.rb_left = tmp
                inner.rb_right = sibling
                parent.rb_right = inner
                if tmp is not None:
                    tmp.rb_parent = sibling
                    tmp.rb_color = RB_BLACK
                augment.rotate(sibling, inner)
                outer = sibling
                sibling = inner
            # The outer nephew is red: the sibling rises above the parent.
            tmp = sibling.rb_left
            parent.rb_right = tmp
            sibling.rb_left = parent
        else:
            sibling = parent.rb_left
            assert sibling is not None
            if sibling.rb_color == RB_RED:
                tmp1 = sibling.rb_right
                assert tmp1 is not None
                parent.rb_left = tmp1
                sibling.rb_right = parent
                tmp1.rb_parent = parent
                tmp1.rb_color = RB_BLACK
                __rb_rotate_set_parents(parent, sibling, root, RB_RED)
                augment.rotate(parent, sibling)
                sibling = tmp1
            outer = sibling.rb_left
            if outer is None or outer.rb_color == RB_BLACK:
                inner = sibling.rb_right
                if inner is None or inner.rb_color == RB_BLACK:
                    sibling.rb_parent = parent
                    sibling.rb_color = RB_RED
                    if parent.rb_color == RB_RED:
                        parent.rb_color = RB_BLACK
                        return
                    node = parent
                    up = node.rb_parent
                    if up is None:
                        return
                    parent = up
                    continue
                tmp = inner.rb_left
                sibling.rb_right = tmp
                inner.rb_left = sibling
                parent.rb_left = inner
                if tmp is not None:
                    tmp.rb_parent = sibling
                    tmp.rb_color = RB_BLACK
                augment.rotate(sibling, inner)
                outer = sibling
                sibling = inner
            tmp = sibling.rb_right
            parent.rb_left = tmp
            sibling.rb_right = parent
        outer.rb_parent = sibling
        outer.rb_color = RB_BLACK
        if tmp is not None:
            tmp.rb_parent = parent
        __rb_rotate_set_parents(parent, sibling, root, RB_BLACK)
        augment.rotate(parent, sibling)
        return


def __rb_erase_augmented(node: RbNode, root: RbRoot, augment: RbAugmentCallbacks) -> RbNode | None:
    """Take `node` out; the result, if any, is the parent at which __rb_erase_color() has to start."""
    child = node.rb_right
    left = node.rb_left
    rebalance: RbNode | None = None
    parent = node.rb_parent
    top: RbNode | None
    if left is None:
        # One child, which is red, or none.
        __rb_change_child(node, child, parent, root)
        if child is not None:
            child.rb_parent = parent
            child.rb_color = node.rb_color
        elif node.rb_color == RB_BLACK:
            rebalance = parent
        top = parent
    elif child is None:
        left.rb_parent = parent
        left.rb_color = node.rb_color
        __rb_change_child(node, left, parent, root)
        top = parent
    else:
        # Two children: the successor moves here.
        successor = child
        tmp = child.rb_left
        if tmp is None:
            below = successor
            child2 = successor.rb_right
            augment.copy(node, successor)
        else:
            below = successor
            while tmp is not None:
                below = successor
                successor = tmp
                tmp = tmp.rb_left
            child2 = successor.rb_right
            below.rb_left = child2
            successor.rb_right = child
            child.rb_parent = successor
            augment.copy(node, successor)
            augment.propagate(below, successor)
        successor.rb_left = left
        left.rb_parent = successor
        __rb_change_child(node, successor, parent, root)
        if child2 is not None:
            child2.rb_parent = below
            child2.rb_color = RB_BLACK
        elif successor.rb_color == RB_BLACK:
            rebalance = below
        successor.rb_parent = parent
        successor.rb_color = node.rb_color
        top = successor
    augment.propagate(top, None)
    return rebalance


def rb_insert_augmented(node: RbNode, root: RbRoot, augment: RbAugmentCallbacks) -> None:
    """Rebalance after rb_link_node(). Precondition: the values on the path above `node` already count it."""
    __rb_insert(node, root, augment)


def rb_erase_augmented(node: RbNode, root: RbRoot, augment: RbAugmentCallbacks) -> None:
    """Remove `node`, keep values and rules in order.

    C leaves the node's pointers as they were. Here they go: whoever still holds the node (a stale vmacache does) would keep its
    neighbours alive, and theirs when they are erased, without end.
    """
    rebalance = __rb_erase_augmented(node, root, augment)
    if rebalance is not None:
        __rb_erase_color(rebalance, root, augment)
    node.rb_parent = node.rb_left = node.rb_right = None


def rb_insert_color(node: RbNode, root: RbRoot) -> None:
    """rb_insert_augmented() of a tree without values."""
    __rb_insert(node, root, dummy_callbacks)


def rb_erase(node: RbNode, root: RbRoot) -> None:
    """rb_erase_augmented() of a tree without values."""
    rb_erase_augmented(node, root, dummy_callbacks)


def rb_insert_augmented_cached(node: RbNode, root: RbRootCached, newleft: bool, augment: RbAugmentCallbacks) -> None:
    """rb_insert_augmented(); `newleft`: the node is the new leftmost one."""
    if newleft:
        root.rb_leftmost = node
    rb_insert_augmented(node, root.rb_root, augment)


def rb_erase_augmented_cached(node: RbNode, root: RbRootCached, augment: RbAugmentCallbacks) -> None:
    """rb_erase_augmented(), the leftmost node kept known."""
    if root.rb_leftmost is node:
        root.rb_leftmost = rb_next(node)
    rb_erase_augmented(node, root.rb_root, augment)


def rb_first(root: RbRoot) -> RbNode | None:
    """The leftmost node."""
    node = root.rb_node
    if node is None:
        return None
    left = node.rb_left
    while left is not None:
        node = left
        left = node.rb_left
    return node


def rb_last(root: RbRoot) -> RbNode | None:
    """The rightmost node."""
    node = root.rb_node
    if node is None:
        return None
    right = node.rb_right
    while right is not None:
        node = right
        right = node.rb_right
    return node


def rb_next(node: RbNode) -> RbNode | None:
    """The node after this one in order."""
    if RB_EMPTY_NODE(node):
        return None
    down = node.rb_right
    if down is not None:
        left = down.rb_left
        while left is not None:
            down = left
            left = down.rb_left
        return down
    parent = node.rb_parent
    while parent is not None and node is parent.rb_right:
        node = parent
        parent = node.rb_parent
    return parent


def rb_prev(node: RbNode) -> RbNode | None:
    """The node before this one in order."""
    if RB_EMPTY_NODE(node):
        return None
    down = node.rb_left
    if down is not None:
        right = down.rb_right
        while right is not None:
            down = right
            right = down.rb_right
        return down
    parent = node.rb_parent
    while parent is not None and node is parent.rb_left:
        node = parent
        parent = node.rb_parent
    return parent


def _demo() -> None:
    """`python -m mmscope.kernel.lib.rbtree`: insert 1..8 in order and show the tree after each step."""
    root = RbRoot()
    keys: dict[RbNode, int] = {}
    for key in range(1, 9):
        node = RbNode()
        keys[node] = key
        rb_link_node(node, rb_last(root), root, False)
        rb_insert_color(node, root)
        print(f"insert {key}: {_show(root.rb_node, keys)}")


def _show(node: RbNode | None, keys: dict[RbNode, int]) -> str:
    if node is None:
        return "-"
    color = "B" if node.rb_color == RB_BLACK else "R"
    return f"({_show(node.rb_left, keys)} {keys[node]}{color} {_show(node.rb_right, keys)})"


if __name__ == "__main__":
    _demo()
