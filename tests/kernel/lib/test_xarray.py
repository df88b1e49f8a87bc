# SPDX-License-Identifier: GPL-2.0-or-later
"""lib/xarray.py: the node shapes of Linux, and the behaviour of a dict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.lib.xarray import (
    XA_MARK_0,
    XA_MARK_1,
    XaNode,
    XArray,
    xa_clear_mark,
    xa_empty,
    xa_erase,
    xa_find,
    xa_find_marked,
    xa_get_mark,
    xa_load,
    xa_marked,
    xa_set_mark,
    xa_store,
    xa_validate,
)


def node(entry: object) -> XaNode:
    assert isinstance(entry, XaNode)
    return entry


def shape(entry: object) -> object:
    """(shift, offset, count, {slot: shape}) of a node; the entry itself otherwise."""
    if not isinstance(entry, XaNode):
        return entry
    slots = {i: shape(slot) for i, slot in enumerate(entry.slots) if slot is not None}
    return (entry.shift, entry.offset, entry.count, slots)


def test_one_entry_at_index_0_needs_no_node() -> None:
    xa = XArray()
    assert xa_store(xa, 0, "a") is None
    assert xa.xa_head == "a"
    assert xa_load(xa, 0) == "a"
    assert xa_load(xa, 1) is None


def test_pages_1_3_and_194_need_two_levels() -> None:
    xa = XArray()
    for index in (1, 3):
        xa_store(xa, index, index)
    assert shape(xa.xa_head) == (0, 0, 2, {1: 1, 3: 3})
    xa_store(xa, 194, 194)
    assert shape(xa.xa_head) == (6, 0, 2, {0: (0, 0, 2, {1: 1, 3: 3}), 3: (0, 3, 1, {2: 194})})


def test_an_empty_tree_grows_to_the_height_of_its_first_index_at_once() -> None:
    xa = XArray()
    xa_store(xa, 4096, "x")
    assert shape(xa.xa_head) == (12, 0, 1, {1: (6, 1, 1, {0: (0, 0, 1, {0: "x"})})})


def test_growing_keeps_the_entry_at_index_0_below() -> None:
    xa = XArray()
    xa_store(xa, 0, "a")
    xa_store(xa, 64, "b")
    assert shape(xa.xa_head) == (6, 0, 2, {0: (0, 0, 1, {0: "a"}), 1: (0, 1, 1, {0: "b"})})


def test_erasing_shrinks_to_what_is_left_in_slot_0() -> None:
    xa = XArray()
    for index in (0, 5, 4096):
        xa_store(xa, index, index + 1)
    assert node(xa.xa_head).shift == 12
    assert xa_erase(xa, 4096) == 4097
    assert shape(xa.xa_head) == (0, 0, 2, {0: 1, 5: 6})
    xa_erase(xa, 5)
    assert xa.xa_head == 1
    xa_erase(xa, 0)
    assert xa_empty(xa)


def test_a_tree_without_slot_0_keeps_its_height() -> None:
    xa = XArray()
    xa_store(xa, 0, "a")
    xa_store(xa, 64, "b")
    xa_erase(xa, 0)
    assert shape(xa.xa_head) == (6, 0, 1, {1: (0, 1, 1, {0: "b"})})


def test_marks_go_up_and_down() -> None:
    xa = XArray()
    for index in (3, 70, 200):
        xa_store(xa, index, index)
    xa_set_mark(xa, 70, XA_MARK_0)
    xa_set_mark(xa, 99, XA_MARK_0)
    assert xa_marked(xa, XA_MARK_0)
    assert not xa_marked(xa, XA_MARK_1)
    assert node(xa.xa_head).marks[XA_MARK_0] == 2
    assert xa_find_marked(xa, 0, 1000, XA_MARK_0) == (70, 70)
    assert not xa_get_mark(xa, 3, XA_MARK_0)
    xa_store(xa, 5000, "higher")
    assert xa_get_mark(xa, 70, XA_MARK_0)
    xa_clear_mark(xa, 70, XA_MARK_0)
    assert not xa_marked(xa, XA_MARK_0)
    xa_validate(xa)


def test_erasing_takes_the_marks_along() -> None:
    xa = XArray()
    xa_store(xa, 0, "a")
    xa_set_mark(xa, 0, XA_MARK_1)
    xa_erase(xa, 0)
    assert not xa_marked(xa, XA_MARK_1)
    xa_store(xa, 0, "b")
    assert not xa_get_mark(xa, 0, XA_MARK_1)


def test_a_node_is_no_entry() -> None:
    with pytest.raises(KernelBug):
        xa_store(XArray(), 0, XaNode(0, 0, None))


def test_validate_names_a_wrong_count() -> None:
    xa = XArray()
    xa_store(xa, 9, "x")
    node(xa.xa_head).count = 2
    with pytest.raises(KernelBug, match="counts 2 of 1"):
        xa_validate(xa)


INDEX = st.one_of(st.integers(0, 200), st.integers(0, 5000), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(st.sampled_from(["store", "erase", "mark", "unmark"]), INDEX), max_size=60))
def test_behaves_like_a_dict(ops: list[tuple[str, int]]) -> None:
    xa = XArray()
    model: dict[int, int] = {}
    marked: set[int] = set()
    for n, (op, index) in enumerate(ops):
        if op == "store":
            assert xa_store(xa, index, n + 1) == model.get(index)
            model[index] = n + 1
        elif op == "erase":
            assert xa_erase(xa, index) == model.pop(index, None)
            marked.discard(index)
        elif op == "mark":
            xa_set_mark(xa, index, XA_MARK_0)
            if index in model:
                marked.add(index)
        else:
            xa_clear_mark(xa, index, XA_MARK_0)
            marked.discard(index)
        assert xa_validate(xa) == len(model)
        assert xa_marked(xa, XA_MARK_0) == bool(marked)
    seen = []
    found = xa_find(xa, 0, 2**64 - 1)
    while found is not None:
        seen.append(found)
        found = xa_find(xa, found[0] + 1, 2**64 - 1)
    assert seen == sorted(model.items())
    assert all(xa_load(xa, i) == v for i, v in model.items())
    assert all(xa_get_mark(xa, i, XA_MARK_0) == (i in marked) for i in model)


def _recorded_shape(entry: object) -> object:
    if not isinstance(entry, dict):
        return None if entry is None else "page"
    slots = {int(i): _recorded_shape(slot) for i, slot in entry["slots"].items()}
    return (entry["shift"], entry["offset"], entry["count"], slots)


def _indices(entry: object, base: int) -> list[int]:
    if not isinstance(entry, tuple):
        return [base]
    return [i for slot, below in entry[3].items() for i in _indices(below, base + (slot << entry[0]))]


@pytest.mark.parametrize("snapshot", ["prefork", "postfork", "parentcow"])
def test_same_nodes_as_the_recorded_page_caches(snapshot: str, data: Path) -> None:
    seen = 0
    for mm in json.loads((data / "5.10/snapshots" / f"{snapshot}.json").read_text()):
        for mapping in mm["mappings"].values():
            want = _recorded_shape(mapping["i_pages"]["head"])
            indices = _indices(want, 0)
            assert len(indices) == mapping["nrpages"]
            for order in (indices, indices[::-1]):
                xa = XArray()
                for index in order:
                    xa_store(xa, index, "page")
                assert shape(xa.xa_head) == want
            seen += 1
    assert seen
