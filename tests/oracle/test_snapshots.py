# SPDX-License-Identifier: GPL-2.0-or-later
"""A stopped Linux 5.10 and the model, looked at when the same program (record/snap.c) stands at its three markers.

The program runs on the model's engine up to the first: every structure, entry and struct page there came from its own accesses.
Then it forks; the child writes to the page at A, the parent to another (`parentcow`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.oracle.program import Program, run_program, symbols
from mmscope.oracle.structure import Json, Snapshot, difference, facts

#: Other names of PG_uptodate, PG_dirty and PG_private, for pages in the buddy lists, of Xen, of SLOB.
NOT_HERE = {"PG_reported", "PG_savepinned", "PG_slob_free"}
#: The file's first page had no PG_mappedtodisk on that disk, ext2 with blocks of 1024 bytes; on ext4 with blocks of 4096 it has
#: (tests/data/5.10/fault-states.txt).
FIRST_PAGE = ("MAP2", "0x0")
PTE_PFN_MASK = 0x000FFFFFFFFFF000


#: What is not alike in the parent.
PARENT_DIFFERS = [
    # One more fault on the way here: modules were loaded there. The sum is the same.
    "- rss anon: 16 in mm, 1 in the task's cache",
    "+ rss anon: 17 in mm, 0 in the task's cache",
]

#: Moment -> the states of the processes.
States = dict[str, list[Json]]

MOMENTS = ["prefork", "postfork", "parentcow"]
#: The program's first mapping, and a string constant of main().
A = 0x7FFFF7FE9000
RODATA = 0x47B010


@pytest.fixture(scope="module")
def recorded(data: Path) -> States:
    return {name: json.loads((data / f"5.10/snapshots/{name}.json").read_text()) for name in MOMENTS}


@pytest.fixture(scope="module")
def program(data: Path, recorded: States) -> Iterator[Program]:
    elf = lzma.decompress((data / "5.10/snapshots/init.elf.xz").read_bytes())
    program = run_program(elf, {}, int(recorded["prefork"][0]["start_stack"], 16))
    with program.machine:
        yield program


@pytest.fixture(scope="module")
def modelled(program: Program, recorded: States) -> States:
    """The model's states at each moment: the program's, and from postfork on its child's."""
    states: States = {}
    parent, tasks = program.process, [program.task]

    def look(moment: str) -> None:
        validate_vm(program.k)
        snapshot = Snapshot(program.k)
        pages = [[int(addr, 16) for addr in state["pt"]] for state in recorded[moment]]
        states[moment] = [snapshot.mm(task, addrs) for task, addrs in zip(tasks, pages, strict=True)]

    look("prefork")
    child = parent.fork()
    tasks.append(child.task)
    functions = symbols(program.elf)
    for name in ("fork", "main", "pause"):
        child.fetch(functions[name])
    child.store(A, b"\x09")
    child.load(RODATA)
    parent.resume()
    look("postfork")
    parent.store(A + 0x3000, b"\x07")
    look("parentcow")
    return states


@pytest.mark.parametrize("moment", MOMENTS)
def test_lists_trees_counters_and_page_caches_are_the_recorded_ones(recorded: States, modelled: States, moment: str) -> None:
    lines = [
        difference(facts(want, pages=True), facts(got, pages=True))
        for want, got in zip(recorded[moment], modelled[moment], strict=True)
    ]
    assert lines == [PARENT_DIFFERS, []][: len(lines)]


def test_the_program_printed_the_same_maps(program: Program, data: Path) -> None:
    serial = (data / "5.10/snapshots/serial.txt").read_text().splitlines()
    said = program.process.stdout.decode().splitlines()
    first = next(i for i, line in enumerate(said) if line.startswith("a=0x"))
    last = next(i for i, line in enumerate(serial) if line.startswith("@@SNAP prefork"))
    assert said[first : first + last + 1] == serial[: last + 1]


def walks(recorded: States, modelled: States, moment: str) -> Iterator[tuple[str, Json, Json]]:
    """(whose and which address, the recorded walk, the model's) of each address that was looked up."""
    for want, got in zip(recorded[moment], modelled[moment], strict=True):
        for addr, walk in want["pt"].items():
            yield f"{want['id']} {addr}", walk, got["pt"][addr]


@pytest.mark.parametrize("moment", MOMENTS)
def test_walks_end_at_the_same_entries(recorded: States, modelled: States, moment: str) -> None:
    for addr, want_walk, got_walk in walks(recorded, modelled, moment):
        for want, got in zip(want_walk["levels"], got_walk["levels"], strict=True):
            assert (got["level"], got["index"], got["flags"]) == (want["level"], want["index"], want["flags"]), addr
            entries = [int(entry["entry"], 16) & ~PTE_PFN_MASK for entry in (want, got)]
            assert entries[0] == entries[1], addr


@pytest.mark.parametrize("moment", MOMENTS)
def test_struct_pages_are_the_recorded_ones(recorded: States, modelled: States, moment: str) -> None:
    for addr, want_walk, got_walk in walks(recorded, modelled, moment):
        want, got = want_walk["page"], got_walk["page"]
        assert (want is None) == (got is None), addr
        if want is None:
            continue
        names = set(want["flagnames"].split("|"))
        if (want["mapping_obj"], want["index"]) == FIRST_PAGE:
            names.add("PG_mappedtodisk")
        assert set(got["flagnames"].split("|")) - NOT_HERE == names - NOT_HERE, addr
        for field in ("refcount", "mapcount_raw", "mapping_anon_bit", "mapping_obj", "index"):
            assert got[field] == want[field], (addr, field)


def test_the_two_processes_share_pages_by_number(modelled: States, recorded: States) -> None:
    """What is one frame in both, or two frames, on the real kernel, is so in the model."""
    for moment in MOMENTS[1:]:
        frames = [
            [[walk["page"] and walk["page"]["pfn"] for walk in state["pt"].values()] for state in states[moment]]
            for states in (recorded, modelled)
        ]
        same = [[ours == theirs for ours, theirs in zip(*pair, strict=True)] for pair in frames]
        assert same[0] == same[1], moment
