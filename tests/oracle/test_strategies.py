# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scenarios draw what is interesting: everything that is said to be drawn is counted here."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings

from mmscope.oracle.campaign import random_scenarios
from mmscope.oracle.generate import ARENA, arena_page
from mmscope.oracle.generate_fork import MAX_CHILDREN, MAX_DEPTH, depth, orphaned
from mmscope.oracle.scenario import Scenario, compile_scenario, uses_files
from mmscope.oracle.strategies import KINDS, scenarios

#: What is said to be drawn -> at least so often in 600 scenarios of all kinds.
WANTED = {
    "adjacent mappings that could merge": 50, "MAP_FIXED over a part": 100, "holes: munmap of a middle": 30,
    "operation across a hole": 30, "zero length": 20, "huge length": 20, "unaligned address": 50, "unaligned length": 20,
    "unaligned offset": 5, "wrong fd": 20, "wrong prot": 10, "wrong flags": 10, "mapped file is truncated": 50,
    "mapped file is punched": 20, "mapped file is written by fd": 50, "msync of a file mapping": 10, "fsync": 20,
    "direct I/O": 20, "unaligned direct I/O": 5, "memfd": 30, "sealed memfd": 10, "System V": 30, "rmid": 10, "shmdt": 10,
    "unlink or rename": 10, "fadvise": 10, "fork": 100, f"tree of depth {MAX_DEPTH}": 10, "children store": 100,
    "exit, an older sister lives": 5, "exit, a younger sister lives": 5, "exit, nobody waits": 5, "exit before its children": 30,
    "an orphan's child": 5, "a dead orphan": 3, "remap_file_pages": 3, "sync_file_range": 5, "truncate by name": 5,
    "readahead": 3,
}  # fmt: skip

HUGE = ("0-4096", "0-1", "0x7ffffffff000", "0x800000000000", "0x40001000", "0x400000001000")


def pages(length: str) -> int:
    text = length.removesuffix("p")
    return int(text) if length.endswith("p") and text.isdigit() else 0


def drawn(scenario: Scenario) -> Counter[str]:
    """What one scenario has, by a rough model of what it has mapped: page of the arena -> (rights, flags, fd)."""
    found: Counter[str] = Counter()
    mapped: dict[int, tuple[str, str, str]] = {}
    files: dict[str, str] = {}
    alive, exited = [""], list[str]()
    for op in scenario.ops:
        args = op.args
        ranged = op.name in ("mmap", "munmap", "mprotect", "madvise", "mremap", "mlock", "msync")
        start, count = (arena_page(args[0]), pages(args[1])) if ranged else (-1, 0)
        if ranged:
            found["zero length"] += args[1] == "0"
            found["huge length"] += args[1] in HUGE
            found["unaligned length"] += args[1] in ("1", "4095", "4097")
            found["unaligned address"] += args[0].endswith(("+1", "+8", "+4095"))
            span = range(start, start + count) if start >= 0 else range(0)
            inside = [page for page in span if page in mapped]
            if op.name != "mmap" and inside and len(inside) < len(range(inside[0], inside[-1] + 1)):
                found["operation across a hole"] += 1
        if op.name == "mmap":
            fd = args[4] if len(args) > 4 else "0-1"
            flags = args[3].split("|")
            look = (args[2], args[3], fd)
            if span and (mapped.get(start - 1) == look or mapped.get(start + count) == look):
                found["adjacent mappings that could merge"] += 1
            if "fixed" in flags and inside:
                found["MAP_FIXED over a part"] += 1
            found["unaligned offset"] += len(args) > 5 and args[5] == "7"
            found["wrong fd"] += "anon" not in flags and fd in ("0-1", "99", "2147483647")
            found["wrong prot"] += args[2] in ("r|sem", "0x40", "rw|growsup")
            found["wrong flags"] += "4" in flags or "0" in flags or "8" in flags
            for page in span:
                mapped[page] = look
        elif op.name == "munmap":
            if start - 1 in mapped and start + count in mapped and mapped[start - 1] == mapped[start + count]:
                found["holes: munmap of a middle"] += 1
            for page in span:
                mapped.pop(page, None)
        elif op.name == "open":
            files[op.label] = args[1]
            found["direct I/O"] += "direct" in args[1]
        elif op.name == "memfd_create":
            files[op.label] = "memfd"
            found["memfd"] += 1
        elif op.name in ("pread", "pwrite") and "direct" in files.get(args[0], ""):
            found["unaligned direct I/O"] += "100" in args[1:3]
        elif op.name in ("exit", "leave", "fork", "wait"):
            found["fork"] += op.name == "fork"
            count_tree(found, alive, exited, op.child, op.name, args[0])
        name = {
            "shmget": "System V", "shmctl": "rmid", "shmdt": "shmdt", "unlink": "unlink or rename", "rename": "unlink or rename",
            "add_seals": "sealed memfd", "fsync": "fsync", "fdatasync": "fsync", "truncate": "truncate by name",
        }.get(op.name, op.name)  # fmt: skip
        found[name] += op.name != "fork"
        found["children store"] += op.name == "store" and op.child != ""
        is_mapped = {fd for _, _, fd in mapped.values()}
        if op.name in ("ftruncate", "fallocate", "write", "pwrite") and args[0] in is_mapped:
            what = {"ftruncate": "truncated", "fallocate": "punched"}.get(op.name, "written by fd")
            found[f"mapped file is {what}"] += op.name != "fallocate" or "punch_hole" in args[1]
        found["msync of a file mapping"] += op.name == "msync" and start in mapped and mapped[start][2] in files
    return found


def count_tree(found: Counter[str], alive: list[str], exited: list[str], child: str, name: str, who: str) -> None:
    """A tree of processes: who lives, who has exited and was not waited for."""
    if name == "fork":
        assert child in alive, "only who lives can fork"
        alive.append(f"{child}.{who}" if child else who)
        assert depth(alive[-1]) <= MAX_DEPTH
        found[f"tree of depth {depth(alive[-1])}"] += 1
    elif name == "leave":
        left = [other for other in alive if other.startswith(child + ".")]
        assert left, "somebody must be left behind"
        found["exit before its children"] += 1
        found["an orphan's child"] += max(map(depth, left)) > depth(child) + 1
        found["a dead orphan"] += any(other.startswith(child + ".") for other in exited)
        alive.remove(child)
        alive[:] = [orphaned(other, child) for other in alive]
        exited[:] = [orphaned(other, child) for other in exited]
        exited.append(child)
        found["exit, nobody waits"] += 1
    elif name == "exit":
        sisters = [other for other in alive if other and other.rpartition(".")[0] == child.rpartition(".")[0]]
        found["exit, an older sister lives"] += sisters.index(child) > 0
        found["exit, a younger sister lives"] += sisters.index(child) < len(sisters) - 1
        assert not [other for other in alive if other.startswith(child + ".")], "its children have exited before"
        alive.remove(child)
        exited.append(child)
        found["exit, nobody waits"] += 1
    else:
        exited.remove(f"{child}.{who}" if child else who)
        found["exit, nobody waits"] -= 1


def test_everything_interesting_is_drawn() -> None:
    total: Counter[str] = Counter()
    for scenario in islice(random_scenarios(5), 1000):
        total += drawn(scenario)
    assert {name: total[name] for name, least in WANTED.items() if total[name] < least} == {}


def test_most_scenarios_are_of_mappings() -> None:
    """So that a model without files and fork is still compared in at least 60 % of what is drawn."""
    operations: Counter[bool] = Counter()
    for scenario in islice(random_scenarios(1), 600):
        names = {op.name for op in scenario.ops}
        written = any(op.name == "open" and op.args[1] != "rdonly" for op in scenario.ops)
        special = bool(names & {"fork", "memfd_create", "shmget", "truncate", "unlink", "rename"}) or written
        operations[special] += len(scenario.ops)
    assert operations[False] > 0.65 * operations.total()


#: Kind -> operations that belong to it.
SIGNS = {
    "vma": {"brk", "mremap"}, "lock": {"mlock", "munlock", "mlock2"}, "read": {"read"}, "file": {"ftruncate", "pwrite"},
    "shm": {"shmat", "memfd_create"}, "fork": {"fork", "wait", "exit", "leave"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_was_asked_for_is_drawn(kind: str) -> None:
    names = {op.name for scenario in islice(random_scenarios(3, [kind]), 150) for op in scenario.ops}
    assert SIGNS[kind] <= names
    for other in set(KINDS) - {kind, "vma"}:
        assert not SIGNS[other] & (names - {"pwrite", "ftruncate"}), other


def test_two_kinds_are_both_drawn() -> None:
    names = {op.name for scenario in islice(random_scenarios(3, ["vma", "fork"]), 100) for op in scenario.ops}
    assert {"brk", "fork"} <= names
    assert not {"shmget", "ftruncate", "mlock"} & names


@pytest.mark.parametrize("kind", ["file", "shm", "fork"])
def test_they_compile_and_keep_to_their_folder(kind: str) -> None:
    for scenario in islice(random_scenarios(9, [kind]), 200):
        compile_scenario(scenario)
        assert uses_files(scenario) or kind != "file"
        assert len({op.args[0] for op in scenario.ops if op.name == "fork"}) <= MAX_CHILDREN


@settings(max_examples=20)
@given(scenario=scenarios("file", "shm", "fork"))
def test_hypothesis_draws_the_same(scenario: Scenario) -> None:
    compile_scenario(scenario)
    assert f"{ARENA:#x}" in str(scenario.ops)
