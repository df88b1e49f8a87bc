# SPDX-License-Identifier: GPL-2.0-or-later
"""lib/rbtree: the red-black rules, order and augmented values after any sequence of insertions and removals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.lib.rbtree import (
    RB_BLACK,
    RB_CLEAR_NODE,
    RB_EMPTY_NODE,
    RB_RED,
    RbNode,
    RbRoot,
    rb_erase,
    rb_first,
    rb_insert_color,
    rb_last,
    rb_link_node,
    rb_next,
    rb_prev,
)


class Tree:
    """A set of ints in a plain red-black tree."""

    def __init__(self) -> None:
        self.root = RbRoot()
        self.nodes: dict[int, RbNode] = {}
        self.keys: dict[RbNode, int] = {}

    def insert(self, key: int) -> None:
        node = RbNode()
        self.nodes[key], self.keys[node] = node, key
        parent, link, left = None, self.root.rb_node, False
        while link is not None:
            parent, left = link, key < self.keys[link]
            link = link.rb_left if left else link.rb_right
        rb_link_node(node, parent, self.root, left)
        rb_insert_color(node, self.root)

    def erase(self, key: int) -> None:
        rb_erase(self.nodes.pop(key), self.root)

    def check(self, node: RbNode | None, parent: RbNode | None) -> int:
        """Black height; asserts links and rules."""
        if node is None:
            return 1
        assert node.rb_parent is parent
        if parent is None:
            assert node.rb_color == RB_BLACK
        else:
            assert (node.rb_color, parent.rb_color) != (RB_RED, RB_RED)
        height = self.check(node.rb_left, node)
        assert height == self.check(node.rb_right, node)
        return height + node.rb_color

    def forward(self) -> list[int]:
        keys, node = [], rb_first(self.root)
        while node is not None:
            keys.append(self.keys[node])
            node = rb_next(node)
        return keys

    def backward(self) -> list[int]:
        keys, node = [], rb_last(self.root)
        while node is not None:
            keys.append(self.keys[node])
            node = rb_prev(node)
        return keys

    def shape(self, node: RbNode | None) -> str:
        if node is None:
            return "-"
        color = "B" if node.rb_color == RB_BLACK else "R"
        return f"({self.shape(node.rb_left)} {self.keys[node]}{color} {self.shape(node.rb_right)})"


@given(st.lists(st.integers(0, 60), max_size=150))
def test_rules_and_order_hold_after_every_step(keys: list[int]) -> None:
    tree = Tree()
    for key in keys:
        if key in tree.nodes:
            tree.erase(key)
        else:
            tree.insert(key)
        tree.check(tree.root.rb_node, None)
        assert tree.forward() == sorted(tree.nodes) == tree.backward()[::-1]


def test_ascending_insertion_has_linux_shape() -> None:
    tree = Tree()
    for key in range(1, 9):
        tree.insert(key)
    assert tree.shape(tree.root.rb_node) == "(((- 1B -) 2R (- 3B -)) 4B ((- 5B -) 6R (- 7B (- 8R -))))"


def test_erasing_a_node_with_two_children_moves_its_successor_there() -> None:
    tree = Tree()
    for key in (4, 2, 6, 1, 3, 5, 7):
        tree.insert(key)
    tree.erase(4)
    assert tree.shape(tree.root.rb_node) == "(((- 1R -) 2B (- 3R -)) 5B (- 6B (- 7R -)))"


def test_a_cleared_node_is_empty_and_has_no_neighbours() -> None:
    node = RbNode()
    RB_CLEAR_NODE(node)
    assert RB_EMPTY_NODE(node)
    assert rb_next(node) is None
    assert rb_prev(node) is None


def test_an_erased_node_keeps_nobody_alive() -> None:
    tree = Tree()
    for key in range(7):
        tree.insert(key)
    erased = tree.nodes[3]
    tree.erase(3)
    assert (erased.rb_parent, erased.rb_left, erased.rb_right) == (None, None, None)
