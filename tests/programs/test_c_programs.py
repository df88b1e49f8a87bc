# SPDX-License-Identifier: GPL-2.0-or-later
"""C programs built three ways print the same bytes and end with the same status on the model as natively."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BUILDS, SOURCES, environment, model, native

ADDR_NO_RANDOMIZE = 0x0040000

Build = Callable[[str, str], str]


@pytest.mark.parametrize("how", BUILDS)
@pytest.mark.parametrize("name", ["heap", "numbers", "faults", "maps", "signals"])
def test_same_as_native(build: Build, name: str, how: str) -> None:
    program = build(name, how)
    assert model([program]) == native([program])


@pytest.mark.parametrize("how", BUILDS)
def test_arguments_and_environment(build: Build, how: str) -> None:
    argv = [build("args", how), "7", "", "two words", "x" * 3000]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("how", BUILDS)
def test_files_and_stdin(build: Build, how: str, tmp_path: Path) -> None:
    text = b"".join(b"line %d of the input\n" % i for i in range(500))
    (tmp_path / "small").write_bytes(b"abc\n" * 5)
    (tmp_path / "large").write_bytes(bytes(i * i % 251 for i in range(300_001)))
    argv = [build("input", how), str(tmp_path / "small"), str(tmp_path / "large"), str(tmp_path / "none")]
    assert model(argv, text) == native(argv, text)


def minor_faults(command: list[str]) -> int:
    """Minor faults of a whole process on the host without ASLR, execve included."""
    personality = ctypes.CDLL(None).personality
    before = personality(ADDR_NO_RANDOMIZE)
    try:
        quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        pid = os.posix_spawn(command[0], command, environment(), file_actions=quiet)
    finally:
        personality(before)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return usage.ru_minflt


@pytest.mark.parametrize("how", ["static", "musl"])
@pytest.mark.parametrize("pages", [1, 1000])
def test_faults_of_a_whole_process_are_the_hosts(build: Build, how: str, pages: int, tmp_path: Path) -> None:
    """docs/faults.md says where the few that may differ come from: libc picks its functions by CPU."""
    argv = [build("touch", how), str(pages)]
    summary = tmp_path / "summary"
    model(argv, options=["-q", "--no-aslr", "--json", str(summary)])
    faults = json.loads(summary.read_text())["faults"]
    assert faults["major"] == 0
    assert faults["by_cause"]["do_anonymous_page"] >= pages
    assert abs(faults["minor"] - minor_faults(argv)) <= 2


def test_sources_are_all_used() -> None:
    used = {"heap", "numbers", "faults", "maps", "signals", "args", "input", "touch"}
    assert {path.stem for path in SOURCES.glob("*.c")} == used
