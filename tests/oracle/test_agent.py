# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent: the committed bytes, and answers that do not depend on chance."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from itertools import islice
from pathlib import Path

import pytest

from mmscope.oracle.campaign import library, random_scenarios
from mmscope.oracle.differences import running_release
from mmscope.oracle.runner import AGENT, LiveRunner, ModelRunner, OracleError, check_agent, scratch_folders
from mmscope.oracle.scenario import parse, render
from mmscope.oracle.strategies import KINDS

#: What built the committed bytes.
COMPILER = "gcc (Debian 12.2.0-14+deb12u1) 12.2.0"


def test_the_committed_bytes_have_the_committed_hash() -> None:
    check_agent()
    assert hashlib.sha256(AGENT.read_bytes()).hexdigest() == (AGENT.parent / "agent.sha256").read_text().split()[0]


def test_other_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(AGENT.parent, tmp_path / "agent")
    changed = tmp_path / "agent" / "agent"
    changed.write_bytes(changed.read_bytes() + b"x")
    monkeypatch.setattr("mmscope.oracle.runner.AGENT", changed)
    with pytest.raises(OracleError, match="not the committed agent"):
        check_agent()


def test_the_source_builds_to_the_committed_bytes(tmp_path: Path) -> None:
    """With the compiler that built them; any other must at least build it without a warning."""
    if shutil.which("gcc") is None:
        return
    out = tmp_path / "agent"
    built = subprocess.run(["sh", AGENT.parent / "build.sh", out], capture_output=True, text=True, check=True)
    assert built.stderr == ""
    version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    if version == COMPILER:
        assert out.read_bytes() == AGENT.read_bytes()


@pytest.mark.parametrize("fs", sorted(scratch_folders()))
def test_twenty_live_runs_give_the_same_answers(fs: str) -> None:
    """The library, and random scenarios of every kind, children included, 20 times, each time in a new process."""
    scenarios = [scenario for scenario in library() if scenario.headers.get("fs", fs) == fs]
    for kind in KINDS:
        scenarios += islice(random_scenarios(20, [kind]), 10)
    with LiveRunner(fs=fs) as live:
        runs = [
            [
                [render(op, raw) for op, raw in zip(scenario.ops, answers, strict=False)]
                for scenario, answers in zip(scenarios, run, strict=True)
            ]
            for run in (live.run(scenarios) for _ in range(20))
        ]
    for run in runs[1:]:
        for scenario, first, other in zip(scenarios, runs[0], run, strict=True):
            assert other == first, scenario.name


#: What the kernel itself loses count of until the process ends: the expected line of `vm` from there on, all told.
NEVER_UNLOCKED = {
    "mremap_dontunmap_beside_itself": "VmLck=16",
    "mremap_dontunmap_locked": "VmLck=32",
    "mremap_dontunmap_offset": "VmLck=48",
}


def test_a_scenario_leaves_nothing_behind() -> None:
    probe = parse("maps\nvm\nbrk 0\nopen f16 rdonly\nfaults\nmmap 0 1p rw private|anon\n")
    scenarios = [scenario for scenario in library() if scenario.headers.get("fs", "tmpfs") == "tmpfs"]
    for kind in KINDS:
        scenarios += islice(random_scenarios(20, [kind]), 25)
    mixed = [probe, *(each for scenario in scenarios for each in (scenario, probe))]
    with LiveRunner() as live, ModelRunner(version=running_release()) as model:
        for runner in (live, model):
            answers = runner.run(mixed)
            clean = [render(op, raw) for op, raw in zip(probe.ops, answers[0], strict=True)]
            for number, scenario in enumerate(scenarios):
                after = [render(op, raw) for op, raw in zip(probe.ops, answers[2 * number + 2], strict=True)]
                if scenario.name in NEVER_UNLOCKED:
                    clean[1] = after[1] = re.sub("VmLck=[0-9]*", NEVER_UNLOCKED[scenario.name], clean[1])
                assert after == clean, (type(runner).__name__, scenario.name)


def test_children_take_turns() -> None:
    scenario = parse(
        "a = mmap 0x20000000 1p rw private|anon|fixed\nstore a 8 1\nfork c\nin c: store a 8 2\nin c: load a\nload a\n"
        "in c: exit 7\nwait c\n"
    )
    with LiveRunner() as live:
        answers = [render(op, raw) for op, raw in zip(scenario.ops, live.run([scenario])[0], strict=True)]
    assert answers == ["0x20000000", "0x0", "c0", "0x0", "0x2", "0x1", "exit", "0x700"]


def test_a_grandchild_answers_through_its_parent() -> None:
    scenario = parse(
        "a = mmap 0x20000000 1p rw private|anon|fixed\nstore a 8 1\nfork c\nin c: fork d\nin c.d: store a 8 2\n"
        "in c.d: fork e\nin c.d.e: load a\nin c: load a\nin c.d.e: load 0x1000\nin c.d.e: exit 5\nin c.d: wait e\n"
        "in c.d: faults\nin c.d: exit 6\nin c: wait d\nin c: exit 0\nwait c\n"
    )
    with LiveRunner() as live:
        answers = [render(op, raw) for op, raw in zip(scenario.ops, live.run([scenario])[0], strict=True)]
    assert answers[3:] == [
        "c1", "0x0", "c2", "0x2", "0x1", "SIGSEGV MAPERR 0x1000", "exit", "0x500", "0/0", "exit", "0x600", "exit", "0x0",
    ]  # fmt: skip


def test_orphans_answer_the_root() -> None:
    """Living and dead ones, at any depth, on both sides; more than the first exit leaves behind."""
    scenario = parse(
        "a = mmap 0x20000000 1p rw private|anon|fixed\nstore a 8 1\nfork c\nin c: fork d\nin c: fork x\nin c.d: fork e\n"
        "in c.d: fork f\nin c.x: exit 4\nin c: store a 8 2\nin c: leave 3\nin d: load a\nwait x\nwait c\nin d.f: store a 8 5\n"
        "in d: leave 2\nin e: load a\nin f: load a\nin e: fork g\nin e: leave 7\nin g: load a\nwait e\nwait f\nwait d\n"
    )
    for runner in (LiveRunner(), ModelRunner()):
        with runner:
            answers = [render(op, raw) for op, raw in zip(scenario.ops, runner.run([scenario])[0], strict=True)]
        assert answers[7:] == [
            "exit", "0x0", "exit", "0x1", "0x400", "0x300", "0x0", "exit", "0x1", "0x5", "c5", "exit", "0x1", "0x700", "0x0",
            "0x200",
        ]  # fmt: skip


def test_a_death_is_an_answer() -> None:
    """A scenario that kills the agent costs neither those before nor those after it."""
    good = parse("a = mmap 0x20000000 1p rw private|anon|fixed\nload a\n")
    deadly = parse("brk 0\nmunmap 0x7ffff8000000 1M\nbrk 0\n")
    with LiveRunner() as live, ModelRunner(version=running_release()) as model:
        for runner in (live, model):
            first_brk = runner.run([parse("brk 0\n")])[0][0]
            first, killed, last = runner.run([good, deadly, good])
            assert first == last == ["= 0x20000000", "= 0x0"]
            assert killed[0] == first_brk
            assert killed[-1].startswith("died: signal 11")
