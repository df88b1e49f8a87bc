# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of processes, signals, pipes and sockets: programs that print what each call gives print the same on the running kernel
and on the model as the same release.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from mmscope.machine import Machine
from mmscope.oracle.differences import running_release

from .conftest import ENVIRONMENT, SOURCES

PROGRAMS = sorted(path.stem for path in SOURCES.glob("rules_*.c"))


#: The model gives the same in every run; of the host, whose other programs may be in the way, one run in so many must agree.
RUNS = 6


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_rules(build: Callable[[str, str], str], name: str) -> None:
    program = build(name, "static" if "<linux/" in (SOURCES / f"{name}.c").read_text() else "musl")
    with Machine(version=running_release(), debug_vm=True) as machine:
        process = machine.spawn(program, [program], env=ENVIRONMENT, stdin=b"", capture_output=True)
        status = process.run()
        ours = process.stdout.decode().splitlines()
        assert process.stderr == b""
    for _ in range(RUNS):
        done = subprocess.run([program], stdin=subprocess.DEVNULL, env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
        theirs = done.stdout.decode().splitlines()
        if (ours, status.exit_status) == (theirs, done.returncode):
            return
    assert ours == theirs
    assert status.exit_status == done.returncode
