# SPDX-License-Identifier: GPL-2.0-or-later
"""The key `cow` of `mmscope run --json`, against what a forking program says of itself: faults taken, memory grown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import model, native

#: As in c/cow.c.
CHILDREN = 3
MEMBERS = CHILDREN * (1 + 2)
KINDS = 4
PC = ("copies", "reuses")


@pytest.fixture(scope="module")
def runs(
    build: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[list[int], dict[str, Any]]]:
    """Pages that each member writes of each kind -> ([faults, growth of AnonPages] by the program, the summary)."""
    folder = tmp_path_factory.mktemp("cow")
    mapped, summary = folder / "file", folder / "json"
    mapped.write_bytes(bytes(range(256)) * (128 * 16))
    found = {}
    for pages in (10, 60):
        argv = [build("cow", "static"), str(pages), str(mapped)]
        outcome = model(argv, options=("-q", "--json", str(summary)))
        assert outcome.status == 0, outcome
        said = [int(word) for word in outcome.stdout.split()]
        assert said[0] == int(native(argv).stdout.split()[0])
        found[pages] = (said, json.loads(summary.read_text()))
    return found


@pytest.mark.parametrize("pages", [10, 60])
def test_the_sums_are_the_faults_by_cause(runs: dict[int, tuple[list[int], dict[str, Any]]], pages: int) -> None:
    data = runs[pages][1]
    cow = data["cow"]
    for counted, by_cause in [(cow, data["faults"]["by_cause"])] + [
        (one, process["faults"]["by_cause"])
        for one in cow["by_process"]
        for process in data["processes"]
        if process["pid"] == one["pid"]
    ]:
        copied = {
            "wp_page_copy": by_cause.get("do_wp_page (copy)", 0) + by_cause.get("do_wp_page (zero page)", 0),
            "do_cow_fault": by_cause.get("do_cow_fault", 0) + by_cause.get("do_cow_fault (major)", 0),
            "wp_page_reuse": by_cause.get("do_wp_page (reuse)", 0),
        }
        assert counted["by_function"] == {name: count for name, count in copied.items() if count}
        assert counted["reuses"] == copied["wp_page_reuse"]
        assert counted["copies"] == copied["wp_page_copy"] + copied["do_cow_fault"]
    assert len(cow["by_process"]) == 1 + MEMBERS
    for split in ("by_process", "by_pc"):
        for total in PC:
            assert sum(one[total] for one in cow[split]) == cow[total]
        for function, count in cow["by_function"].items():
            assert sum(one["by_function"].get(function, 0) for one in cow[split]) == count


@pytest.mark.parametrize("pages", [10, 60])
def test_the_writing_instruction_has_all_its_pages(
    runs: dict[int, tuple[list[int], dict[str, Any]]], pages: int, build: Callable[[str, str], str]
) -> None:
    (faults, _), data = runs[pages]
    first, second = data["cow"]["by_pc"][:2]
    assert first["copies"] == faults == MEMBERS * KINDS * pages > second["copies"]
    # The members wrote; then they died, and the first process had its pages to itself.
    assert first["reuses"] == pages
    # The children find both kinds of file pages unmapped, for fork copies no tables of a VMA without an anon_vma. What they
    # wrote is anonymous, and their own children share it.
    cow_faults = CHILDREN * 2 * pages
    assert first["by_function"] == {
        "wp_page_copy": MEMBERS * KINDS * pages - cow_faults,
        "do_cow_fault": cow_faults,
        "wp_page_reuse": pages,
    }
    name, _, offset = first["at"].rpartition("+")
    assert name == build("cow", "static")
    assert not first["kernel"]
    code = Path(name).read_bytes()[int(offset, 16) :]
    assert code.startswith(b"\xc6\x07\x01")  # movb $1,(%rdi)
    for one in data["cow"]["by_process"][1:]:
        assert one["copies"] >= KINDS * pages


def test_memory_grew_by_the_copies_to_the_page(runs: dict[int, tuple[list[int], dict[str, Any]]]) -> None:
    """All members live when the program measures: what 50 pages more of each cost is the copies that there are more."""
    (_, small), few = runs[10]
    (_, large), many = runs[60]
    more = MEMBERS * KINDS * (60 - 10)
    assert many["cow"]["copies"] - few["cow"]["copies"] == large - small == more
    assert many["faults"]["by_cause"]["do_anonymous_page"] == few["faults"]["by_cause"]["do_anonymous_page"]


def test_copies_of_execve_have_no_place(tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    """The kernel clears the tail of .data in the new image; the code that called execve is gone with the old one."""
    summary = tmp_path / "json"
    outcome = model([host_tool("bash"), "-c", "true & exec ls /dev/null"], options=("--no-aslr", "--json", str(summary)))
    assert outcome.stdout == b"/dev/null\n"
    assert b" pages copied on write " in outcome.stderr
    by_pc = json.loads(summary.read_text())["cow"]["by_pc"]
    nowhere = [one for one in by_pc if one["at"] is None]
    assert sum(one["by_function"].get("do_cow_fault", 0) for one in nowhere) >= 2
    assert all(one["kernel"] for one in nowhere)
    assert {one["at"].rpartition("+")[0].rpartition("/")[2] for one in by_pc if one["at"]} >= {"bash", "libc.so.6"}
