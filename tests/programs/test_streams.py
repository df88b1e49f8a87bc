# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard streams as a shell may hand them over: closed, redirected to files, opened again by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmscope.machine import Machine

from .conftest import environment

MODEL = f"{sys.executable} -m mmscope run -q --"


def shell(line: str, cwd: Path) -> tuple[int, bytes]:
    """Status and standard output of a shell's command line."""
    done = subprocess.run(["sh", "-c", line], cwd=cwd, env=environment(), capture_output=True, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "{run} {busybox} sh -c 'echo a > /dev/stdout; echo b' > out; cat out",
        "{run} {busybox} sh -c 'echo a > /dev/stderr' 2> out; cat out",
        "{run} {busybox} cat /dev/stdin < in; cat in",
        "{run} {busybox} sh -c 'echo x >&0' <&- 2> err; echo $?; cat in",
        "{run} {busybox} cat <&- 2> err; echo $?",
        "{run} {busybox} echo lost >&- 2> err; echo $?",
    ],
)
def test_as_natively(line: str, tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    results = []
    for run in ("", MODEL):
        folder = tmp_path / ("model" if run else "native")
        folder.mkdir()
        (folder / "in").write_text("input\n")
        results.append(shell(line.format(run=run, busybox=host_tool("busybox")), folder))
    assert results[0] == results[1]


def test_a_file_handed_over_for_reading_is_not_written(tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    """Linux lets its owner open it for writing; the model gives no more than the caller's descriptor has."""
    (tmp_path / "in").write_text("input\n")
    status, _ = shell(f"{MODEL} {host_tool('busybox')} sh -c 'echo no > /dev/stdin' < in 2> err", tmp_path)
    assert (status, (tmp_path / "in").read_text()) == (1, "input\n")


def test_closed_descriptors_stay_closed(tmp_path: Path) -> None:
    """No file of ours becomes the guest's."""
    code = (
        "import os, sys; os.close(0); os.close(1)\n"
        "from mmscope.machine import Machine\n"
        "p = Machine(root=sys.argv[1]).process()\n"
        "os.write(2, repr(sorted(p.task.files.fd)).encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment(), capture_output=True, check=True)
    assert done.stderr == b"[2]"


def test_machines_give_their_descriptors_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    before = sorted(os.listdir("/proc/self/fd"))
    for close in (True, False):
        for _ in range(10):
            machine = Machine(ram="16M", root=str(tmp_path))
            process = machine.process()
            process.open("/file")
            if close:
                machine.close()
        del machine, process
    assert sorted(os.listdir("/proc/self/fd")) == before
