# SPDX-License-Identifier: GPL-2.0-or-later
"""The model's structures in the recordings' JSON: what was put down as recorded reads back as recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.oracle.rebuild import RebuildError, Rebuilt
from mmscope.oracle.recorded import records
from mmscope.oracle.structure import Json, Snapshot, compact, difference, facts


def snapshot(data: Path, name: str) -> list[Json]:
    states = json.loads((data / f"5.10/snapshots/{name}.json").read_text())
    assert isinstance(states, list)
    return states


@pytest.mark.parametrize("seed", [1, 2])
def test_a_rebuilt_line_0_reads_back_to_the_last_reference(data: Path, seed: int) -> None:
    state = next(records(data / f"5.10/random/seed{seed}.jsonl.xz"))["mm"][0]
    rebuilt = Rebuilt(state)
    validate_vm(rebuilt.k)
    got = Snapshot(rebuilt.k).mm(rebuilt.task)
    assert difference(facts(state, pages=True), facts(got, pages=True)) == []
    # Not only what facts() tells: the very JSON, but for what no two kernels have alike.
    for record in (state, got):
        for arbitrary in ("pid", "pgd", "mm_count"):
            del record[arbitrary]
        for mapping in record["mappings"].values():
            del mapping["i_pages"]
    assert got == state


def test_a_rebuilt_snapshot_reads_back_with_its_page_tables(data: Path) -> None:
    (state,) = snapshot(data, "prefork")
    rebuilt = Rebuilt(state)
    validate_vm(rebuilt.k)
    got = Snapshot(rebuilt.k).mm(rebuilt.task, [int(addr, 16) for addr in state["pt"]])
    # PG_private buffers and dirty marks of ext4's pages are not put down: see test_snapshots.py.
    unlike = [line for line in difference(facts(state), facts(got)) if " xa" not in line]
    assert unlike == []
    for addr, walk in state["pt"].items():
        page = got["pt"][addr]["page"]
        assert (page is None) == (walk["page"] is None), addr
        if page is not None:
            assert (page["mapping_obj"], page["index"]) == (walk["page"]["mapping_obj"], walk["page"]["index"]), addr


def test_an_address_space_that_shares_structures_is_refused(data: Path) -> None:
    with pytest.raises(RebuildError, match="MM1"):
        Rebuilt(snapshot(data, "postfork")[0])


def test_a_difference_says_what_the_kernel_and_what_the_model_has(data: Path) -> None:
    (state,) = snapshot(data, "prefork")
    other = json.loads(json.dumps(state))
    other["mm_rb"]["left"]["color"] = "R" if state["mm_rb"]["left"]["color"] == "B" else "B"
    del other["mmap"][3]
    lines = difference(facts(state), facts(other))
    assert [line.split(":")[0] for line in lines] == ["- vma 0x4a3000", "- mm_rb root->left", "+ mm_rb root->left"]


def test_a_tree_on_one_line() -> None:
    leaf = {"vma": "0x1000", "color": "R", "left": None, "right": None}
    assert compact({"vma": "0x2000", "color": "B", "left": leaf, "right": None}) == "((- 0x1000R -) 0x2000B -)"
