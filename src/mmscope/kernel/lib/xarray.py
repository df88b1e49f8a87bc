# SPDX-License-Identifier: GPL-2.0-or-later
"""The XArray (lib/xarray.c): an array of object references and integers, index 0 <= i < 2**64, as a tree of 64-slot nodes.

    xa_head = None                     nothing stored
    xa_head = entry                    one entry, at index 0: needs no node
    xa_head = XaNode(shift=s)          indices below 64 << s; slot (index >> s) & 63 leads on

A tree is as high as its largest index asks for: it grows at the head when a larger index is stored, loses nodes
that get empty and, at the head, levels that hold slot 0 only. Multi-index entries are not here.
"""

from __future__ import annotations

from mmscope.kernel.include.errno import KernelBug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "XA_CHUNK_SHIFT", "XA_CHUNK_SIZE", "XA_MARK_0", "XA_MARK_1", "XA_MARK_2", "XArray", "XaNode", "xa_clear_mark", "xa_empty",
    "xa_erase", "xa_find", "xa_find_marked", "xa_get_mark", "xa_is_value", "xa_load", "xa_marked", "xa_set_mark", "xa_store",
    "xa_validate",
]  # fmt: skip

XA_CHUNK_SHIFT: Final = 6
XA_CHUNK_SIZE: Final = 64
XA_CHUNK_MASK: Final = 63

XA_MARK_0: Final = 0
XA_MARK_1: Final = 1
XA_MARK_2: Final = 2
XA_MAX_MARKS: Final = 3


class XaNode:
    """struct xa_node."""

    def __init__(self, shift: int, offset: int, parent: XaNode | None) -> None:
        #: Bits of the index below this node's own six; 0 = the slots hold entries.
        self.shift = shift
        #: This node's slot in its parent.
        self.offset = offset
        #: Slots that are not None.
        self.count = 0
        self.parent = parent
        #: XaNode where shift > 0, entries where it is 0.
        self.slots: list[object] = [None] * XA_CHUNK_SIZE
        #: Per mark: bit n set = slot n, or something under it, bears the mark.
        self.marks: list[int] = [0] * XA_MAX_MARKS


class XArray:
    """struct xarray."""

    def __init__(self) -> None:
        #: None, the entry at index 0, or the top XaNode.
        self.xa_head: object = None
        #: Per mark (in Linux bits of xa_flags): some entry bears it.
        self.xa_marks: list[bool] = [False] * XA_MAX_MARKS


def xa_is_value(entry: object) -> bool:
    """It is an integer (xa_mk_value()), such as the shadow of a reclaimed page, and no reference."""
    return isinstance(entry, int)


def xa_empty(xa: XArray) -> bool:
    """Nothing is stored."""
    return xa.xa_head is None


def xa_load(xa: XArray, index: int) -> object:
    """The entry at `index`, None if there is none."""
    entry = xa.xa_head
    if isinstance(entry, XaNode):
        shift = entry.shift
        if index >> shift >= XA_CHUNK_SIZE:
            return None
        entry = entry.slots[(index >> shift) & XA_CHUNK_MASK]
        while shift and isinstance(entry, XaNode):
            shift = entry.shift
            entry = entry.slots[(index >> shift) & XA_CHUNK_MASK]
        return entry
    return entry if index == 0 else None


def _xas_load_node(xa: XArray, index: int) -> XaNode | None:
    """The lowest node (shift 0) on the way to `index`; None where the way ends before, or there are no nodes at all."""
    entry = xa.xa_head
    if not isinstance(entry, XaNode) or index >> entry.shift >= XA_CHUNK_SIZE:
        return None
    while entry.shift:
        below = entry.slots[(index >> entry.shift) & XA_CHUNK_MASK]
        if not isinstance(below, XaNode):
            return None
        entry = below
    return entry


def _xas_expand(xa: XArray, index: int) -> int:
    """Make the tree high enough for `index`. The shift above its head: 0 if the head slot itself serves."""
    head = xa.xa_head
    shift = 0
    if head is None:
        if index == 0:
            return 0
        while index >> shift >= XA_CHUNK_SIZE:
            shift += XA_CHUNK_SHIFT
        return shift + XA_CHUNK_SHIFT
    limit = 0
    if isinstance(head, XaNode):
        limit = (XA_CHUNK_SIZE << head.shift) - 1
        shift = head.shift + XA_CHUNK_SHIFT
    while index > limit:
        node = XaNode(shift, 0, None)
        node.count = 1
        node.slots[0] = head
        for mark in range(XA_MAX_MARKS):
            if xa.xa_marks[mark]:
                node.marks[mark] = 1
        if isinstance(head, XaNode):
            head.offset = 0
            head.parent = node
        head = node
        xa.xa_head = node
        limit = (XA_CHUNK_SIZE << shift) - 1
        shift += XA_CHUNK_SHIFT
    return shift


def _xas_create(xa: XArray, index: int) -> XaNode | None:
    """The lowest node for `index`, with all above it; None if the entry goes into xa_head."""
    shift = _xas_expand(xa, index)
    if shift == 0:
        return None
    node: XaNode | None = None
    entry = xa.xa_head
    while shift > 0:
        shift -= XA_CHUNK_SHIFT
        if entry is None:
            new = XaNode(shift, 0, node)
            if node is None:
                xa.xa_head = new
            else:
                new.offset = (index >> node.shift) & XA_CHUNK_MASK
                node.slots[new.offset] = new
                node.count += 1
            node = new
        else:
            assert isinstance(entry, XaNode)
            node = entry
        entry = node.slots[(index >> shift) & XA_CHUNK_MASK]
    return node


def _xas_shrink(xa: XArray, node: XaNode) -> None:
    """`node` is the head: drop levels that hold nothing but slot 0."""
    while node.count == 1:
        entry = node.slots[0]
        if entry is None:
            break
        if isinstance(entry, XaNode) and node.shift:
            xa.xa_head = entry
            entry.parent = None
            node = entry
            continue
        if node.shift == 0:
            xa.xa_head = entry
        break


def _xas_delete_node(xa: XArray, node: XaNode) -> None:
    """Free `node` and its parents as far as they are empty, then shrink the head."""
    while node.count == 0:
        parent = node.parent
        if parent is None:
            xa.xa_head = None
            return
        parent.slots[node.offset] = None
        parent.count -= 1
        node = parent
    if node.parent is None:
        _xas_shrink(xa, node)


def xa_store(xa: XArray, index: int, entry: object) -> object:
    """Put `entry` at `index`; the old entry comes back. Storing None erases, marks included."""
    if entry is None:
        return xa_erase(xa, index)
    if isinstance(entry, XaNode):
        raise KernelBug(f"xa_store: a node is no entry: {entry!r} at index {index:#x}")
    node = _xas_create(xa, index)
    if node is None:
        old = xa.xa_head
        xa.xa_head = entry
        return old
    offset = index & XA_CHUNK_MASK
    old = node.slots[offset]
    node.slots[offset] = entry
    if old is None:
        node.count += 1
    return old


def xa_erase(xa: XArray, index: int) -> object:
    """Take the entry at `index` out, with its marks; it comes back."""
    node = _xas_load_node(xa, index)
    if node is None:
        if index or isinstance(xa.xa_head, XaNode):
            return None
        old = xa.xa_head
        xa.xa_head = None
        for mark in range(XA_MAX_MARKS):
            xa.xa_marks[mark] = False
        return old
    offset = index & XA_CHUNK_MASK
    old = node.slots[offset]
    if old is None:
        return None
    for mark in range(XA_MAX_MARKS):
        if node.marks[mark] >> offset & 1:
            xa_clear_mark(xa, index, mark)
    node.slots[offset] = None
    node.count -= 1
    _xas_delete_node(xa, node)
    return old


def xa_find(xa: XArray, start: int, last: int) -> tuple[int, object] | None:
    """The first entry with start <= index <= last, and its index."""
    return _xas_find(xa, start, last, -1)


def xa_find_marked(xa: XArray, start: int, last: int, mark: int) -> tuple[int, object] | None:
    """The first entry with start <= index <= last that bears `mark`, and its index."""
    return _xas_find(xa, start, last, mark)


def _xas_find(xa: XArray, start: int, last: int, mark: int) -> tuple[int, object] | None:
    head = xa.xa_head
    if not isinstance(head, XaNode):
        if head is None or start > 0 or last < 0 or (mark >= 0 and not xa.xa_marks[mark]):
            return None
        return (0, head)
    node = head
    index = start
    while index <= last and index >> head.shift < XA_CHUNK_SIZE:
        shift = node.shift
        offset = (index >> shift) & XA_CHUNK_MASK
        entry = node.slots[offset]
        if entry is not None and (mark < 0 or node.marks[mark] >> offset & 1):
            if shift == 0:
                return (index, entry)
            assert isinstance(entry, XaNode)
            node = entry
            continue
        index = ((index >> shift) + 1) << shift
        # Past this node's last slot: go on in the parent's next one.
        while (index >> node.shift) & XA_CHUNK_MASK == 0 and node.parent is not None:
            node = node.parent
    return None


def xa_get_mark(xa: XArray, index: int, mark: int) -> bool:
    """The entry at `index` exists and bears `mark`."""
    if not xa.xa_marks[mark]:
        return False
    node = _xas_load_node(xa, index)
    if node is None:
        return index == 0 and xa.xa_head is not None and not isinstance(xa.xa_head, XaNode)
    return node.marks[mark] >> (index & XA_CHUNK_MASK) & 1 != 0


def xa_set_mark(xa: XArray, index: int, mark: int) -> None:
    """Mark the entry at `index`; without an entry nothing happens."""
    if xa_load(xa, index) is None:
        return
    node = _xas_load_node(xa, index)
    offset = index & XA_CHUNK_MASK
    while node is not None:
        if node.marks[mark] >> offset & 1:
            return
        node.marks[mark] |= 1 << offset
        offset = node.offset
        node = node.parent
    xa.xa_marks[mark] = True


def xa_clear_mark(xa: XArray, index: int, mark: int) -> None:
    """Take `mark` from the entry at `index`, and from the nodes above that no longer hold any."""
    if xa_load(xa, index) is None:
        return
    node = _xas_load_node(xa, index)
    offset = index & XA_CHUNK_MASK
    while node is not None:
        if not node.marks[mark] >> offset & 1:
            return
        node.marks[mark] &= ~(1 << offset)
        if node.marks[mark]:
            return
        offset = node.offset
        node = node.parent
    xa.xa_marks[mark] = False


def xa_marked(xa: XArray, mark: int) -> bool:
    """Some entry bears `mark`."""
    return xa.xa_marks[mark]


def xa_validate(xa: XArray) -> int:
    """CONFIG_DEBUG_VM: shape, counts and marks of the whole tree. The number of entries. Raises KernelBug."""
    head = xa.xa_head
    if not isinstance(head, XaNode):
        return 0 if head is None else 1
    if head.parent is not None:
        raise KernelBug(f"xarray: head {head!r} has a parent {head.parent!r}")
    for mark in range(XA_MAX_MARKS):
        if xa.xa_marks[mark] != (head.marks[mark] != 0):
            raise KernelBug(f"xarray: mark {mark} of the array is {xa.xa_marks[mark]}, of its head {head.marks[mark]:#x}")
    return _xa_validate_node(head)


def _xa_validate_node(node: XaNode) -> int:
    total = 0
    filled = 0
    for offset in range(XA_CHUNK_SIZE):
        entry = node.slots[offset]
        if entry is None:
            for mark in range(XA_MAX_MARKS):
                if node.marks[mark] >> offset & 1:
                    raise KernelBug(f"xarray: mark {mark} on empty slot {offset} of node {node!r}")
            continue
        filled += 1
        if node.shift == 0:
            total += 1
            continue
        if not isinstance(entry, XaNode) or entry.parent is not node or entry.offset != offset or entry.shift != node.shift - 6:
            raise KernelBug(f"xarray: slot {offset} of {node!r} (shift {node.shift}) holds {entry!r}")
        for mark in range(XA_MAX_MARKS):
            if (node.marks[mark] >> offset & 1 != 0) != (entry.marks[mark] != 0):
                raise KernelBug(f"xarray: mark {mark} differs between {node!r} slot {offset} and {entry!r}")
        total += _xa_validate_node(entry)
    if filled != node.count or filled == 0:
        raise KernelBug(f"xarray: node {node!r} counts {node.count} of {filled} slots")
    return total


if __name__ == "__main__":
    demo = XArray()
    for i in (1, 3, 194):
        xa_store(demo, i, f"page {i}")
    top = demo.xa_head
    assert isinstance(top, XaNode)
    print(f"pages at 1, 3 and 194: head shift {top.shift}, {top.count} slots; first leaf holds", xa_find(demo, 0, 63))
