# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario language, the differ and the shrinker, without any kernel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from mmscope.oracle.campaign import coverage, library
from mmscope.oracle.differ import compare
from mmscope.oracle.differences import BY_ID, DIFFERENCES, in_force, table
from mmscope.oracle.scenario import Op, Scenario, ScenarioError, compile_scenario, format_scenario, parse, parse_op, render
from mmscope.oracle.shrink import shrink, without_labels
from mmscope.oracle.strategies import Choices, random_scenario, scenarios


def test_what_is_written_is_read_back() -> None:
    for scenario in library():
        again = parse(format_scenario(scenario), scenario.name)
        assert again == scenario


def test_every_scenario_of_the_library_has_a_title_and_rows() -> None:
    for scenario in library():
        assert scenario.title, scenario.name
        assert scenario.rows, scenario.name
        assert all(row[0] == "S" and 1 <= int(row[1:]) <= 29 for row in scenario.rows), scenario.name


def test_compilation() -> None:
    scenario = parse("a = mmap 0x20000000 2p rw private|anon|fixed\nstore a+0x10 8 5\nload a+2p-8\nbrk heap-1p\n")
    assert compile_scenario(scenario) == [
        ["y 1 0 9 20000000 2000 3 32 ffffffffffffffff 0"],
        ["s $1+10 8 5"],
        ["l 0 $1+1ff8 8"],
        ["y 0 0 c $1fe+fffffffffffff000"],
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frob 1", "unknown operation 'frob'"),
        ("munmap 0x1000", "munmap takes ADDR LEN"),
        ("load b", "'b' is neither a number nor a label"),
        ("mmap 0 1p rq private", "'rq' is not one of"),
        ("mmap 0 1p rw privat", "'privat' is not one of"),
        ("heap = brk 0", "has a meaning of its own"),
        ("in c: load 0", "no child 'c'"),
        ("a =", "no operation"),
        ("open /etc/passwd rdwr", "'/etc/passwd' may not be changed"),
        ("unlink ../x", "'../x' may not be changed"),
        ("rename f16 /x", "'/x' may not be changed"),
        ("truncate agent 0", "'agent' may not be changed"),
        ("open a/b creat", "'a/b' may not be changed"),
    ],
)
def test_errors_name_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        parse(text)


def test_answers_in_words() -> None:
    assert render(parse_op("munmap 0 0"), "= -22") == "-EINVAL"
    assert render(parse_op("load 0"), "! 11 1 0x10") == "SIGSEGV MAPERR 0x10"
    assert render(parse_op("load 0"), "! 7 2 0x10") == "SIGBUS ADRERR 0x10"
    text = "= 20000000-20003000 rw-p 00001000 fe:00 5326892   /x/f16|7ffff8000000-7ffff8001000 rw-p 0 0:0 1 /x/agent|"
    assert render(parse_op("maps"), text) == "20000000-20003000 rw-p 00001000 f16"


def test_what_the_model_lacks_is_skipped_never_equal() -> None:
    scenario = parse("fork c\nload 0\n")
    result = compare(scenario, ["= c0", "= 0x0"], ["= -38", "= 0x0"])
    assert (result.compared, dict(result.skipped)) == (0, {"fork": 1, "after fork": 1})


def test_the_first_divergence_ends_a_comparison() -> None:
    scenario = parse("load 0\nload 8\nload 16\n")
    result = compare(scenario, ["= 0x0", "= 0x1", "= 0x2"], ["= 0x0", "= 0x3", "= 0x4"])
    assert [(found.index, found.live, found.model) for found in result.divergences] == [(1, "0x1", "0x3")]
    assert (result.operations, result.compared, result.skipped.total()) == (3, 2, 1)


def test_a_large_folio_excuses_more_pages_never_fewer() -> None:
    """On ext4, after what makes large folios; on tmpfs, and in a child that is gone, nothing is excused."""

    def masked(text: str, live: str, model: str, fs: str) -> bool:
        scenario = parse("fork c\nfadvise 3 0 0 dontneed\n" + text)
        result = compare(scenario, ["= c0", "= 0x0", live], ["= c0", "= 0x0", model], in_force((6, 18)), fs)
        assert bool(result.divergences) != bool(result.masked)
        return bool(result.masked)

    assert masked("mincore 0 2p", "= 0x0 11", "= 0x0 10", "ext4")
    assert not masked("mincore 0 2p", "= 0x0 10", "= 0x0 11", "ext4")
    assert not masked("mincore 0 2p", "= 0x0 11", "= 0x0 10", "tmpfs")
    assert masked("faults", "= 3/0", "= 1/1", "ext4")
    assert not masked("faults", "= 0/1", "= 1/0", "ext4")
    assert not masked("in c: faults", "= 0/1", "= gone", "ext4")
    assert not masked("load 0", "= 0x1", "= 0x2", "ext4")


def test_known_differences_are_masked_only_where_the_release_has_them() -> None:
    scenario = parse("fadvise 3 0 0 dontneed\nmincore 0 2p\n")
    live, model = ["= 0x0", "= 0x0 11"], ["= 0x0", "= 0x0 10"]
    assert compare(scenario, live, model, in_force((6, 18)), "ext4").masked == {"ext4-large-folios": 1}
    assert compare(scenario, live, model, in_force((6, 12)), "ext4").divergences


def test_rows_of_the_table_are_complete() -> None:
    names = {scenario.name for scenario in library()}
    assert len(BY_ID) == len(DIFFERENCES)
    for row in DIFFERENCES:
        assert row.treatment in ("switch", "mask", "arrange")
        assert (row.treatment == "mask") == (row.mask is not None), row.id
        assert row.scenario == "" or row.scenario in names, row.id
        assert row.id in table()


def test_shrinking_keeps_what_matters() -> None:
    scenario = random_scenario(Choices(7), 60)
    culprit = Op("msync", ("0x1234000", "8p", "sync|invalidate"))
    ops = [*scenario.ops[:30], culprit, *scenario.ops[30:]]

    def fails(candidates: Sequence[Scenario]) -> list[bool]:
        return [any(op.name == "msync" and op.args[0] == "0x1234000" for op in candidate.ops) for candidate in candidates]

    assert [str(op) for op in shrink(Scenario(tuple(ops)), fails).ops] == ["msync 0x1234000 1p invalidate"]


def test_labels_become_numbers() -> None:
    ops = parse("a = mmap 0 1p rw private|anon\nf = open f16 rdonly\nload a+8\nread f 8\n").ops
    assert [str(op) for op in without_labels(ops, [0x1000, -2, 0, 0])] == [
        "mmap 0 1p rw private|anon", "open f16 rdonly", "load 0x1000+8", "read 0-2 8",
    ]  # fmt: skip


def test_a_seed_is_a_sequence() -> None:
    first, again, other = (random_scenario(Choices(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@settings(max_examples=25)
@given(scenarios())
def test_whatever_is_drawn_compiles(scenario: Scenario) -> None:
    assert len(compile_scenario(scenario)) == len(scenario.ops)
    assert parse(format_scenario(scenario)).ops == scenario.ops


def test_coverage_counts_by_row() -> None:
    one = parse("# title: t\n# rows: S9 S10\nmaps\n")
    two = parse("# title: t\n# rows: S9\n# fails: issue E\nmaps\n")
    lines = coverage([one, two]).splitlines()
    assert "S9            2     1                 1" in lines
    assert "S10           1     1                 0" in lines
    assert "all           2     1                 1" in lines
