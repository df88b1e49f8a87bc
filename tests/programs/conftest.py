# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one program natively and on the model, and compares what a user sees."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "c"

#: A program's whole environment, natively and on the model.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC0", "HOME": "/"}

#: The same for sources in C++.
CXX = {"gcc": "g++"}

BUILDS = {"static": ["gcc", "-static"], "static-pie": ["gcc", "-static-pie"], "musl": ["musl-gcc", "-static"]}


_NR_RT_SIGACTION = 13


@pytest.fixture(scope="session", autouse=True)
def signals_of_libc() -> None:
    """Children of GNU make ignore the two signals that libc keeps for itself, as glibc's posix_spawn() leaves them."""
    default = bytes(32)
    for signal in (32, 33):
        assert ctypes.CDLL(None).syscall(_NR_RT_SIGACTION, signal, default, None, 8) == 0


class Outcome:
    """What a program left behind."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        # A shell reports death by signal n as 128 + n, and so does `mmscope run`.
        self.status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and (self.status, self.stdout, self.stderr) == (
            other.status,
            other.stdout,
            other.stderr,
        )

    def __repr__(self) -> str:
        return f"status {self.status}\nstdout {self.stdout!r}\nstderr {self.stderr!r}"


def environment() -> dict[str, str]:
    """The guest's environment plus what our own interpreter needs."""
    own = {name: os.environ[name] for name in ("MMSCOPE_PURE", "PYTHONPATH") if name in os.environ}
    return ENVIRONMENT | own


def native(argv: Sequence[str], stdin: bytes = b"", cwd: Path | None = None) -> Outcome:
    """Run on the host's kernel."""
    return Outcome(subprocess.run(argv, input=stdin, cwd=cwd, env=environment(), capture_output=True, timeout=60))


def model(argv: Sequence[str], stdin: bytes = b"", cwd: Path | None = None, options: Sequence[str] = ("-q",)) -> Outcome:
    """Run under `mmscope run -q`. Its one line of its own says, as a shell's would, which signal killed the program."""
    command = [sys.executable, "-m", "mmscope", "run", *options, "--", *argv]
    outcome = Outcome(subprocess.run(command, input=stdin, cwd=cwd, env=environment(), capture_output=True, timeout=120))
    if outcome.status > 128:
        *lines, last = outcome.stderr.splitlines(keepends=True)
        assert last.startswith(b"mmscope: "), last
        assert b"killed by SIG" in last, last
        outcome.stderr = b"".join(lines)
    return outcome


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, host_tool: Callable[[str], str]) -> Callable[[str, str], str]:
    """build("heap", "static") compiles c/heap.c that way, once, and returns the program's path."""
    folder = tmp_path_factory.mktemp("programs")

    def make(name: str, how: str) -> str:
        program = folder / f"{name}.{how}"
        if not program.exists():
            compiler, *flags = BUILDS[how]
            source = SOURCES / f"{name}.c"
            if not source.exists():
                source = source.with_suffix(".cpp")
                compiler = CXX[compiler]
            subprocess.run([host_tool(compiler), *flags, "-O1", "-w", "-o", str(program), str(source), "-lm"], check=True)
        return str(program)

    return make
