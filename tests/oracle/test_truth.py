# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorded runner: answers of Linux 5.10 to the agent, and the model held against them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mmscope.errors import UsageError
from mmscope.oracle.record.initrd import cpio, entry
from mmscope.oracle.recorded import check_recorded
from mmscope.oracle.runner import OracleError, wire
from mmscope.oracle.scenario import Scenario, parse
from mmscope.oracle.truth import RecordedRunner, compare_answers, write_recording


@pytest.fixture
def scenario() -> Scenario:
    return parse("a = mmap 0x20000000 2p rw private|anon|fixed\nload a 8\n", "one")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.xz"])
def test_what_was_written_is_answered(tmp_path: Path, scenario: Scenario, name: str) -> None:
    write_recording(tmp_path / name, "Linux version 5.10.0", "a.deb", [scenario], [["= 0x20000000", "= 0x0"]])
    runner = RecordedRunner(tmp_path / name)
    assert runner.kernel == "Linux version 5.10.0"
    assert runner.run([scenario]) == [["= 0x20000000", "= 0x0"]]
    assert list(runner.answers) == [wire(scenario)]


def test_an_edited_scenario_has_no_answer(tmp_path: Path, scenario: Scenario) -> None:
    write_recording(tmp_path / "a.jsonl", "Linux", "a.deb", [scenario], [[]])
    other = scenario.with_ops(scenario.ops[:1])
    runner = RecordedRunner(tmp_path / "a.jsonl")
    assert (runner.has(scenario), runner.has(other)) == (True, False)
    with pytest.raises(OracleError, match="'one' as it is now"):
        runner.run([other])


def test_another_agent_s_answers_are_refused(tmp_path: Path, scenario: Scenario) -> None:
    path = tmp_path / "a.jsonl"
    write_recording(path, "Linux", "a.deb", [scenario], [[]])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text('{"kernel": "Linux", "agent": "0000"}\n' + "".join(lines[1:]))
    with pytest.raises(OracleError, match="another agent"):
        RecordedRunner(path)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        RecordedRunner(tmp_path / "none.jsonl")
    (tmp_path / "text.jsonl").write_text("hello\n")
    with pytest.raises(UsageError, match="not a recording of the agent"):
        RecordedRunner(tmp_path / "text.jsonl")


def test_six_thousand_random_operations_are_answered_as_linux_5_10_did(data: Path) -> None:
    agree, fail = compare_answers(data / "truth/5.10/random-seed7.jsonl.xz")
    assert [(found.scenario.name, found.index, found.live, found.model) for found in agree.divergences] == []
    assert (agree.operations, fail.operations) == (6011, 0)
    assert agree.compared == agree.operations


def test_files_shared_memory_and_forks_are_answered_as_linux_5_10_did(data: Path) -> None:
    agree, fail = compare_answers(data / "truth/5.10/kinds-seed8.jsonl.xz")
    assert [(found.scenario.name, found.index, found.live, found.model) for found in agree.divergences] == []
    assert (agree.operations, fail.operations) == (9012, 0)
    assert agree.compared == agree.operations


def test_the_library_is_answered_as_linux_5_10_did(data: Path) -> None:
    agree, _ = compare_answers(data / "truth/5.10/library.jsonl.xz")
    assert [(found.scenario.name, found.index, found.live, found.model) for found in agree.divergences] == []
    assert agree.compared > 2700


def test_a_divergent_answer_is_shown_with_its_scenario(tmp_path: Path, scenario: Scenario) -> None:
    path = tmp_path / "a.jsonl"
    failing = parse("# fails: issue E: fork\nmmap 0x20000000 1p rw private|anon|fixed\n", "two")
    write_recording(path, "Linux", "a.deb", [scenario, failing], [["= 0x20000000", "= 0x7"], ["-12"]])
    out = io.StringIO()
    assert check_recorded([path], out) == 1
    assert out.getvalue().splitlines() == [
        "a.jsonl: 3 operations, 2 compared, 1 divergences (scenarios of the agent)",
        "  skipped 1 x operations of scenarios that are expected to fail",
        "scenario one, operation 2: load a 8",
        "--- Linux 5.10",
        "+++ model",
        "- result: 0x7",
        "+ result: 0x0",
        "the operations before it:",
        "  a = mmap 0x20000000 2p rw private|anon|fixed",
        "3 operations, 2 compared, 1 divergences",
    ]


def test_an_initramfs_in_the_newc_format() -> None:
    one = entry("init", 0o100755, b"hello", ino=7)
    assert one == (
        b"070701" + b"00000007" + b"000081ed" + b"00000000" * 2 + b"00000001" + b"00000000" + b"00000005" + b"00000000" * 4
        + b"00000005" + b"00000000" + b"init\0\0" + b"hello\0\0\0"
    )  # fmt: skip
    archive = cpio([("init", 0o755, b"x")])
    assert len(archive) % 4 == 0
    assert b"dev/console" in archive
    assert archive.endswith(b"TRAILER!!!\0" + bytes(-len(b"TRAILER!!!\0" + bytes(110)) % 4))


def test_the_library_on_ext4_is_answered_as_linux_5_10_did(data: Path) -> None:
    agree, _ = compare_answers(data / "truth/5.10/library-ext4.jsonl.xz")
    assert [(found.scenario.name, found.index, found.live, found.model) for found in agree.divergences] == []
    assert agree.compared > 1300


def test_random_operations_on_ext4_are_answered_as_linux_5_10_did(data: Path) -> None:
    agree, fail = compare_answers(data / "truth/5.10/ext4-seed9.jsonl.xz")
    assert [(found.scenario.name, found.index, found.live, found.model) for found in agree.divergences] == []
    assert agree.compared == agree.operations > 9000
    assert fail.operations == 0
