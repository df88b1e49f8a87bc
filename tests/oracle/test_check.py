# SPDX-License-Identifier: GPL-2.0-or-later
"""The model held against the kernel that runs the tests: the library, random sequences, and planted bugs that must be found."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from mmscope.cli.main import main
from mmscope.oracle.campaign import Campaign, library
from mmscope.oracle.differences import running_release
from mmscope.oracle.runner import LiveRunner, ModelRunner, scratch_folders
from mmscope.oracle.scenario import Scenario, parse, uses_files
from mmscope.oracle.strategies import scenarios

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    """On every file system that the host has."""
    with ExitStack() as stack:
        pairs = {}
        for fs in scratch_folders():
            live = stack.enter_context(LiveRunner(fs=fs))
            pairs[fs] = (live, stack.enter_context(ModelRunner(version=running_release(), fs=fs)))
        first = next(iter(pairs))
        yield Campaign(*pairs[first], first, pairs)


def test_the_library_agrees_where_it_should_and_nowhere_else(campaign: Campaign) -> None:
    campaign.run(library())
    assert [f"{found.scenario.name}: {found.op}: {found.live} / {found.model}" for found in campaign.divergences] == []
    assert [scenario.name for scenario in campaign.unexpected_passes] == []
    # Each scenario with files ran on each of the file systems.
    anywhere = sum(uses_files(scenario) and "fs" not in scenario.headers for scenario in library())
    assert anywhere > 30
    for fs in scratch_folders():
        own = sum(scenario.headers.get("fs") == fs for scenario in library())
        assert campaign.with_files[fs] == anywhere + own


def test_random_sequences_agree() -> None:
    """Five thousand operations, most of them compared, and none of the basic ones skipped for want of it in the model."""
    with LiveRunner() as live, ModelRunner(version=running_release()) as model:
        campaign = Campaign(live, model)
        campaign.run_random(1, 5000, 0, lambda done, divergences: None)
    assert campaign.divergences == []
    assert campaign.total.operations == 5000
    assert campaign.total.compared >= 3000
    assert not {"mmap", "munmap", "mprotect", "brk", "load", "store"} & set(campaign.total.skipped)


def test_sequences_of_mappings_are_compared_to_the_last_operation() -> None:
    with LiveRunner() as live, ModelRunner(version=running_release()) as model:
        campaign = Campaign(live, model)
        campaign.run_random(2, 3000, 0, lambda done, divergences: None, ["vma"])
    assert campaign.divergences == []
    assert not campaign.total.skipped
    assert campaign.total.compared + campaign.total.masked.total() == 3000


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_what_hypothesis_draws_agrees(campaign: Campaign, scenario: Scenario) -> None:
    (result,) = campaign.compare([scenario])
    assert result.divergences == []


def test_the_invariants_hold_after_every_operation() -> None:
    """Scenarios of the library under CONFIG_DEBUG_VM; growing down is left out: see GROWSDOWN below."""
    chosen = [scenario for scenario in library() if "growsdown" not in str(scenario.ops)]
    with ModelRunner(debug_vm=True) as model:
        for scenario, answers in zip(chosen, model.run(chosen), strict=True):
            assert not answers[-1].startswith("died"), (scenario.name, answers[-1])


#: (what, file of kernel/, line as it is, line as it is with the bug)
BUGS = (
    (
        "a merge across different vm_flags", "mm/mmap_merge.py",
        "if (vma.vm_flags ^ vm_flags) & ~(VM_SOFTDIRTY | VM_MAYBE_GUARD):", "if (vma.vm_flags ^ vm_flags) & ~(VM_SOFTDIRTY | 4):",
    ),
    (
        "a missing write-protect", "mm/mprotect.py",
        "ptent: i64 = pte_modify(oldpte, newprot)", "ptent: i64 = oldpte",
    ),
    (
        "an off-by-one in the guard gap", "mm/mmap_area.py",
        "gap = vma.vm_mm.kernel.config.stack_guard_gap", "gap = vma.vm_mm.kernel.config.stack_guard_gap - 4096",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("what", "file", "right", "wrong"), BUGS, ids=[bug[0] for bug in BUGS])
def test_a_planted_bug_is_found_and_shrunk(what: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    shutil.copytree(SRC / "mmscope", tmp_path / "mmscope", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    planted = tmp_path / "mmscope" / "kernel" / file
    text = planted.read_text()
    assert text.count(right) == 1, f"{file} has changed: plant {what} elsewhere"
    planted.write_text(text.replace(right, wrong))
    done = subprocess.run(
        [sys.executable, "-m", "mmscope", "check", "--live", "--ops", "8000", "--seed", "1"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "MMSCOPE_PURE": "1", "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    shrunk = re.search(r"shrunk from \d+ operations to (\d+)", done.stdout)
    assert shrunk, done.stdout
    assert int(shrunk[1]) < 10, done.stdout
    # What is printed is a file that shows it again.
    path = re.search(r"again: mmscope check --live (\S+)", done.stdout)
    assert path, done.stdout
    assert parse(Path(path[1]).read_text()).ops


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", "--live", "merge_case_2_right_of_its_neighbour", "topdown_placement"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "7 operations, 7 compared, 0 divergences"
    assert main(["check", "--live", "--ops", "100", "--seed", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("100 operations, ")
    assert main(["check", "--live", "--ops", "300", "--only", "vma,file"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("300 operations, ")
    for fs in ("tmpfs", "ext4"):
        known = fs in scratch_folders()
        assert re.search(
            rf"^scenarios with files: .*\d+ on {fs}" if known else f"none on {fs}: this host has no", "\n".join(lines), re.M
        )
    assert main(["check", "--live", "--ops", "300", "--only", "vma,frob"]) == 2
    assert "'frob' is no kind of operations; there are vma lock read file shm fork" in capsys.readouterr().err
    assert main(["check", "--help"]) == 0
    assert "mmscope check --live --ops 5000 --only vma,fork" in capsys.readouterr().out
    assert main(["check", "--coverage"]) == 0
    coverage = capsys.readouterr().out
    assert "S29" in coverage
    assert re.search(
        r"^[1-9]\d+ scenarios use files, and run on tmpfs and on ext4; [1-9]\d* on one of them$", coverage, re.MULTILINE
    )
    assert main(["check", "--differences"]) == 0
    assert "thp-alignment: since 6.7" in capsys.readouterr().out
    assert main(["check"]) == 2
    assert main(["check", "--live", str(tmp_path / "none.scn")]) == 2
    (tmp_path / "bad.scn").write_text("frob 1\n")
    assert main(["check", "--live", str(tmp_path / "bad.scn")]) == 2
    assert "bad:1: unknown operation 'frob'" in capsys.readouterr().err


def test_an_unexpected_pass_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "passes.scn"
    file.write_text("# title: t\n# fails: issue E: fork\nmaps\n")
    assert main(["check", "--live", str(file)]) == 1
    assert "passes, and its header says" in capsys.readouterr().out


def test_progress_is_shown_on_a_terminal_only() -> None:
    command = [sys.executable, "-m", "mmscope", "check", "--live", "--ops", "3000", "--only", "vma"]
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    terminal, other_end = pty.openpty()
    try:
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=other_end, text=True)
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(other_end)
    assert re.match(r"\r\[#* *\] \d+/3000 operations, 0 divergences", shown)
    # Nothing of it stays, and the counts are the last line.
    assert re.search(r"\r +\r$", shown)
    assert re.fullmatch(r"3000 operations, \d+ compared, 0 divergences", done.stdout.splitlines()[-1])
    assert subprocess.run(command, env=env, capture_output=True).stderr == b""
