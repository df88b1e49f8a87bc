# SPDX-License-Identifier: GPL-2.0-or-later
"""Runners: files put back, file systems told apart, hangs that end, and nothing left behind, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmscope.oracle.campaign import Campaign, report
from mmscope.oracle.runner import FILES, LiveRunner, ModelRunner, file_bytes, file_system, scratch_folders
from mmscope.oracle.scenario import Scenario, parse, render
from mmscope.syscalls.table import SYSCALLS

SRC = Path(__file__).parents[2] / "src"


def answers(runner: LiveRunner | ModelRunner, scenario: Scenario) -> list[str]:
    return [render(op, raw) for op, raw in zip(scenario.ops, runner.run([scenario])[0], strict=False)]


def left_behind(pid: int) -> tuple[set[str], set[str], set[str]]:
    """Of the process `pid`: its runners' folders, and the agents that run in them. Of all: segments whose maker is gone."""
    prefix = f"mmscope-oracle-{pid}-"
    folders = {f"{at}/{name}" for at in scratch_folders().values() for name in os.listdir(at) if name.startswith(prefix)}
    agents = set()
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            if prefix in os.readlink(f"/proc/{other}/exe"):
                agents.add(other)
        except OSError:
            continue
    with open("/proc/sysvipc/shm") as lines:
        segments = [line.split() for line in list(lines)[1:]]
    return folders, agents, {words[1] for words in segments if not os.path.exists(f"/proc/{words[4]}")}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_file_systems_are_told_by_their_name() -> None:
    assert file_system("/proc") == "proc"
    assert file_system("/nowhere at all") == "unknown"
    for fs, folder in scratch_folders().items():
        assert file_system(folder) == fs


@pytest.mark.parametrize("fs", sorted(scratch_folders()))
def test_files_are_as_they_were_after_each_scenario(fs: str) -> None:
    """Written, cut, removed, renamed and new ones, through the process itself and through a child."""
    scenario = parse(
        "fd = open f16 rdwr\npwrite fd 100 0\nftruncate fd 3p\ntruncate odd 0\nunlink small\nrename f64 empty\n"
        "open new rdwr|creat\nfork c\nin c: open other rdwr|creat|excl\nin c: exit 0\n"
    )
    with LiveRunner(fs=fs) as live:
        assert file_system(str(live.folder)) == fs
        first = answers(live, scenario)
        assert not any(answer.startswith("-") for answer in first)
        found = {path.name: path.read_bytes() for path in live.folder.iterdir() if path.name != "agent"}
        assert found == {name: file_bytes(length) for name, length in FILES.items()}
        assert answers(live, scenario) == first


def test_a_scenario_s_segments_go_with_it_those_of_children_too() -> None:
    scenario = parse("a = shmget 0 1p creat|0x180\nfork c\nin c: b = shmget 0 1p creat|0x180\nin c: fork d\n"
                     "in c.d: e = shmget 0 1p creat|0x180\nin c.d: exit 0\n")  # fmt: skip
    before = left_behind(os.getpid())
    with LiveRunner() as live:
        assert answers(live, scenario) == ["id", "c0", "id", "c1", "id", "exit"]
        assert left_behind(os.getpid())[2] == before[2]
    assert left_behind(os.getpid()) == before


def test_a_death_leaves_no_segments_and_no_children() -> None:
    """The agent dies while two children live; what they made goes too."""
    before = left_behind(os.getpid())
    scenario = parse("shmget 0 1p creat|0x180\nfork c\nfork d\nin c: shmget 0 1p creat|0x180\nmunmap 0x7ffff8000000 1M\n")
    with LiveRunner() as live:
        assert live.run([scenario])[0][-1].startswith("died: signal 11")
    assert left_behind(os.getpid()) == before


def loop(*args: object) -> None:
    while True:
        pass


def test_a_model_that_hangs_ends_the_run_with_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SYSCALLS, 26, ("msync", loop))
    hanging = parse("mmap 0x20000000 1p rw private|anon|fixed\nmsync 0x20000000 1p sync\nload 0x20000000\n", "it")
    fine = parse("mmap 0x20000000 1p rw private|anon|fixed\n", "fine")
    before = left_behind(os.getpid())
    with LiveRunner() as live, ModelRunner(timeout=1.0) as model:
        campaign = Campaign(live, model)
        started = time.monotonic()
        campaign.run([fine, hanging, fine])
        assert time.monotonic() - started < 10
        text = report(campaign, lambda name, text: str(tmp_path / name))
        # The next run has a model again.
        assert answers(model, fine) == ["0x20000000"]
    assert campaign.hung
    assert "divergence: it, operation 2: msync 0x20000000 1p sync" in text
    assert "model: died: timeout: the model did not end within 1 s" in text
    assert text.splitlines()[-1] == "5 operations, 3 compared, 1 divergences"
    assert left_behind(os.getpid()) == before


def test_a_model_that_breaks_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*args: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(SYSCALLS, 26, ("msync", bug))
    with ModelRunner() as model:
        assert model.run([parse("msync 0 1p sync\n")]) == [["died: ZeroDivisionError: planted"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_check_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    before = left_behind(os.getpid())[2]
    command = [sys.executable, "-m", "mmscope", "check", "--live", "--minutes", "5", "--only", "fork,shm,file,vma"]
    env = {**os.environ, "PYTHONPATH": str(SRC), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    wait_until(lambda: bool(left_behind(process.pid)[1]))
    # As a terminal does: to the whole group.
    os.killpg(process.pid, number)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert left_behind(process.pid) == (set(), set(), before)
