# SPDX-License-Identifier: GPL-2.0-or-later
"""A stopped Linux 5.10 and the model, looked at when the same program (record/snap.c) stands at its first marker.

The program runs on the model's engine: every structure, entry and struct page here came from its own accesses.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.oracle.program import Program, run_program
from mmscope.oracle.structure import Json, Snapshot, difference, facts

#: ext4 keeps buffer heads at pages that it wrote (a reference, PG_private); hypervisors are told of free pages; aliases.
NOT_HERE = {"PG_private", "PG_mappedtodisk", "PG_reported", "PG_savepinned", "PG_slob_free"}
PTE_PFN_MASK = 0x000FFFFFFFFFF000


@pytest.fixture(scope="module")
def recorded(data: Path) -> Json:
    state = json.loads((data / "5.10/snapshots/prefork.json").read_text())[0]
    assert isinstance(state, dict)
    return state


@pytest.fixture(scope="module")
def program(data: Path, recorded: Json) -> Iterator[Program]:
    elf = lzma.decompress((data / "5.10/snapshots/init.elf.xz").read_bytes())
    program = run_program(elf, {}, int(recorded["start_stack"], 16))
    with program.machine:
        yield program


@pytest.fixture(scope="module")
def modelled(program: Program, recorded: Json) -> Json:
    return Snapshot(program.k).mm(program.task, [int(addr, 16) for addr in recorded["pt"]])


def test_the_invariants_hold(program: Program) -> None:
    validate_vm(program.k)


def test_lists_trees_counters_and_page_caches_are_the_recorded_ones(recorded: Json, modelled: Json) -> None:
    lines = difference(facts(recorded, pages=True), facts(modelled, pages=True))
    assert lines == [
        # One more fault on the way here: modules were loaded there. The sum is the same.
        "- rss anon: 16 in mm, 1 in the task's cache",
        "+ rss anon: 17 in mm, 0 in the task's cache",
        # ext4's page_mkwrite attached buffer heads.
        "- mapping MAP2 xa[2]: page idx=2 ref=3 map=1",
        "+ mapping MAP2 xa[2]: page idx=2 ref=2 map=1",
    ]


def test_the_program_printed_the_same_maps(program: Program, data: Path) -> None:
    serial = (data / "5.10/snapshots/serial.txt").read_text().splitlines()
    said = program.process.stdout.decode().splitlines()
    first = next(i for i, line in enumerate(said) if line.startswith("a=0x"))
    last = next(i for i, line in enumerate(serial) if line.startswith("@@SNAP prefork"))
    assert said[first : first + last + 1] == serial[: last + 1]


def test_walks_end_at_the_same_entries(recorded: Json, modelled: Json) -> None:
    for addr, walk in recorded["pt"].items():
        for want, got in zip(walk["levels"], modelled["pt"][addr]["levels"], strict=True):
            assert (got["level"], got["index"], got["flags"]) == (want["level"], want["index"], want["flags"]), addr
            entries = [int(entry["entry"], 16) & ~PTE_PFN_MASK for entry in (want, got)]
            assert entries[0] == entries[1], addr


def test_struct_pages_are_the_recorded_ones(recorded: Json, modelled: Json) -> None:
    for addr, walk in recorded["pt"].items():
        want, got = walk["page"], modelled["pt"][addr]["page"]
        assert (want is None) == (got is None), addr
        if want is None:
            continue
        names = set(want["flagnames"].split("|"))
        assert set(got["flagnames"].split("|")) - NOT_HERE == names - NOT_HERE, addr
        assert got["refcount"] == want["refcount"] - ("PG_private" in names and want["mapcount_raw"] == 0), addr
        for field in ("mapcount_raw", "mapping_anon_bit", "mapping_obj", "index"):
            assert got[field] == want[field], (addr, field)
