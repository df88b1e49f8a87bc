# SPDX-License-Identifier: GPL-2.0-or-later
"""`check --recorded`: 1400 random operations that Linux 5.10 was recorded doing, and recordings that were tampered with."""

from __future__ import annotations

import io
import json
import lzma
import shutil
from itertools import islice
from pathlib import Path

import pytest

from mmscope.errors import UsageError
from mmscope.oracle.recorded import SKIP_CHILD_RUN, check_recorded, default_recordings, parse, records, replay
from mmscope.oracle.structure import Json


def write(path: Path, lines: list[Json]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def lines(data: Path) -> list[Json]:
    """The first operations of seed 1."""
    return list(islice(records(data / "5.10/random/seed1.jsonl.xz"), 9))


@pytest.mark.parametrize(("seed", "operations", "forks"), [(1, 300, 7), (2, 600, 14), (3, 500, 11)])
def test_random_operations_leave_the_recorded_structures(data: Path, seed: int, operations: int, forks: int) -> None:
    path = data / f"5.10/random/seed{seed}.jsonl.xz"
    assert sum(len(record["mm"]) == 2 for record in records(path)) == forks
    report = replay(path)
    assert [divergence.text() for divergence in report.divergences] == []
    assert (report.operations, report.compared) == (operations, operations)
    assert report.skipped == {}


def test_the_checkout_s_recordings_are_the_default() -> None:
    names = [path.name for path in default_recordings()]
    assert names[:3] == ["seed1.jsonl.xz", "seed2.jsonl.xz", "seed3.jsonl.xz"]
    assert "random-seed7.jsonl.xz" in names


def test_the_last_line_counts(tmp_path: Path, lines: list[Json]) -> None:
    out = io.StringIO()
    assert check_recorded([write(tmp_path / "a.jsonl", lines)], out) == 0
    first, last = out.getvalue().splitlines()
    assert first.startswith("a.jsonl: 8 operations, 8 compared, 0 divergences (")
    assert last == "8 operations, 8 compared, 0 divergences"


def test_line_0_comes_from_running_the_program_that_stands_beside(data: Path, tmp_path: Path, lines: list[Json]) -> None:
    assert replay(data / "5.10/random/seed1.jsonl.xz").line_0 == "line 0 by running init.elf"
    path = write(tmp_path / "of-any-name.jsonl", lines)
    assert replay(path).line_0 == "line 0 put down as recorded: no init.elf.xz beside it"
    shutil.copy(data / "5.10/random/init.elf.xz", tmp_path)
    report = replay(path)
    assert (report.line_0, report.divergences) == ("line 0 by running init.elf", [])


def test_a_program_whose_start_differs_is_one_divergence(data: Path, tmp_path: Path, lines: list[Json]) -> None:
    # The snapshots' program is another one.
    shutil.copy(data / "5.10/snapshots/init.elf.xz", tmp_path)
    report = replay(write(tmp_path / "a.jsonl", lines))
    assert [(d.number, d.op) for d in report.divergences] == [(0, "the program's start-up")]
    assert report.compared == 8
    (tmp_path / "init.elf.xz").write_bytes(lzma.compress(b"no program"))
    report = replay(tmp_path / "a.jsonl")
    assert report.divergences[0].lines[0] == "- init.elf: reaches its first marker"
    (tmp_path / "init.elf.xz").write_bytes(b"not xz")
    with pytest.raises(UsageError, match=r"init\.elf"):
        replay(tmp_path / "a.jsonl")


def test_a_changed_colour_is_a_divergence_and_counted_once(tmp_path: Path, lines: list[Json]) -> None:
    for line in lines[4:]:
        root = line["mm"][0]["mm_rb"]
        root["right"]["color"] = "R" if root["right"]["color"] == "B" else "B"
    out = io.StringIO()
    assert check_recorded([write(tmp_path / "a.jsonl", lines[:6])], out) == 1
    text = out.getvalue()
    assert f"operation 4: {lines[4]['op']}\n--- Linux 5.10\n+++ model\n- mm_rb root->right: " in text
    assert text.splitlines()[-1] == "5 operations, 5 compared, 1 divergences"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("rss", 0), "rss file"),
        (("task_rss_cache", 1), "rss anon"),
        (("pgtables_bytes",), "mm->pgtables_bytes"),
        (("mmap", 0, "subtree_gap"), "vma 0x400000"),
        (("anon_vmas", 0, "num_active_vmas"), "anon_vma AV0"),
        (("mappings", "MAP1", "nrpages"), "mapping MAP1"),
        (("mappings", "MAP0", "i_mmap", "left", "subtree_last"), "mapping MAP0 i_mmap root->left"),
    ],
)
def test_every_part_of_the_state_counts(tmp_path: Path, lines: list[Json], change: tuple[str | int, ...], expected: str) -> None:
    place = lines[8]["mm"][0]
    for key in change[:-1]:
        place = place[key]
    place[change[-1]] = "0x1234" if isinstance(place[change[-1]], str) else place[change[-1]] + 1
    report = replay(write(tmp_path / "a.jsonl", lines))
    assert [divergence.number for divergence in report.divergences] == [8]
    assert [line.split(":")[0] for line in report.divergences[0].lines] == [f"- {expected}", f"+ {expected}"]


@pytest.fixture
def forked(data: Path) -> list[Json]:
    """Seed 3 from its start to its first fork."""
    lines: list[Json] = []
    for record in records(data / "5.10/random/seed3.jsonl.xz"):
        lines.append(record)
        if len(record["mm"]) == 2:
            return lines
    raise AssertionError


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("rss", 1), "child: rss anon"),
        (("task_rss_cache", 3), "child: rss shmem"),
        (("pgtables_bytes",), "child: mm->pgtables_bytes"),
        (("mm_rb", "color"), "child: mm_rb root"),
        (("anon_vmas", 0, "num_children"), "child: anon_vma AV7"),
        (("mmap", 4, "avc", 1, "anon_vma"), "child: vma 0x4a7000"),
        (("mappings", "MAP0", "i_mmap", "color"), "child: mapping MAP0 i_mmap root"),
    ],
)
def test_every_part_of_the_child_counts(
    data: Path, tmp_path: Path, forked: list[Json], change: tuple[str | int, ...], expected: str
) -> None:
    shutil.copy(data / "5.10/random/init.elf.xz", tmp_path)
    place = forked[-1]["mm"][1]
    for key in change[:-1]:
        place = place[key]
    place[change[-1]] = place[change[-1]] + (1 if isinstance(place[change[-1]], int) else "?")
    report = replay(write(tmp_path / "seed3.jsonl", forked))
    assert [line[2:].rpartition(": ")[0].partition(": end")[0] for d in report.divergences for line in d.lines] == [expected] * 2


def test_without_the_program_the_child_runs_nothing(tmp_path: Path, forked: list[Json]) -> None:
    report = replay(write(tmp_path / "a.jsonl", forked))
    assert [divergence.text() for divergence in report.divergences] == []
    assert report.skipped == {SKIP_CHILD_RUN: 1}


def test_a_child_too_many_is_a_divergence(tmp_path: Path, forked: list[Json]) -> None:
    forked[-1]["mm"] *= 2
    report = replay(write(tmp_path / "a.jsonl", forked))
    assert [divergence.lines for divergence in report.divergences] == [["- children: 3", "+ children: 1"]]


def test_a_changed_result_is_a_divergence(tmp_path: Path, lines: list[Json]) -> None:
    lines[1]["op"] = lines[1]["op"].replace("ret=0x7ffff7fef000 errno=0", "ret=-1 errno=12")
    report = replay(write(tmp_path / "a.jsonl", lines))
    assert [divergence.lines for divergence in report.divergences] == [["- result: -1 errno 12", "+ result: 0x7ffff7fef000"]]


def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, lines: list[Json]) -> None:
    with pytest.raises(UsageError, match="No such file"):
        replay(tmp_path / "none.jsonl")
    (tmp_path / "text.jsonl").write_text("hello\n")
    with pytest.raises(UsageError, match="not a recording"):
        replay(tmp_path / "text.jsonl")
    (tmp_path / "bad.jsonl.xz").write_bytes(b"not xz")
    with pytest.raises(UsageError, match="not a recording"):
        replay(tmp_path / "bad.jsonl.xz")
    with pytest.raises(UsageError, match="empty"):
        replay(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(UsageError, match="line 1: not a recorded operation"):
        replay(write(tmp_path / "other.jsonl", [{"a": 1}]))
    lines[0]["mm"][0]["mmap_base"] = "0x1000"
    with pytest.raises(UsageError, match=r"line 0 cannot be rebuilt.*mmap_base"):
        replay(write(tmp_path / "base.jsonl", lines))
    lines[1]["op"] = "shmat id=1"
    lines[0]["mm"][0]["mmap_base"] = "0x7ffff7fff000"
    with pytest.raises(UsageError, match="'shmat'"):
        replay(write(tmp_path / "op.jsonl", lines))


def test_an_operation_s_arguments() -> None:
    assert parse("munmap addr=0x1000 len=0x2000 ret=-1 errno=22") == (
        "munmap",
        {"addr": 0x1000, "len": 0x2000, "ret": -1, "errno": 22},
    )
