# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of c/files print on the model what they printed on Linux 5.10.218, on ext4 and on tmpfs.

`python -m mmscope.oracle.record --programs tests/programs/c/files/*.c -o tests/data/truth/5.10/files` records them again.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mmscope.machine import Machine
from tests.hosttool import find_tool

SOURCES = Path(__file__).parent / "c" / "files"
RECORDED = Path(__file__).parent.parent / "data" / "truth" / "5.10" / "files"
PROGRAMS = sorted(source.stem for source in SOURCES.glob("*.c"))


def run(program: str, fs: str, folder: Path) -> str:
    """What the program prints on the model, its folder on that file system."""
    root = folder / "root"
    root.mkdir()
    (root / fs).mkdir()
    command = [find_tool("gcc"), "-O1", "-static", "-w", "-o", str(root / program), str(SOURCES / f"{program}.c")]
    subprocess.run(command, check=True)
    with Machine("512M", root=str(root), rootfstype=fs, uid=0, gid=0, warm_page_cache=True) as machine:
        process = machine.spawn(f"/{program}", [f"/{program}", f"/{fs}"], capture_output=True)
        status = process.run()
        out = process.stdout
    return out.decode("latin-1") + (f"status {status.wait_status}\n" if status.wait_status else "")


def test_all_are_recorded() -> None:
    assert {path.name for path in RECORDED.iterdir()} == {f"{name}.{fs}" for name in PROGRAMS for fs in ("ext4", "tmpfs")}


@pytest.mark.parametrize("fs", ["ext4", "tmpfs"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_same_as_recorded(program: str, fs: str, tmp_path: Path) -> None:
    assert run(program, fs, tmp_path) == (RECORDED / f"{program}.{fs}").read_text("latin-1")
