# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole programs on another kernel: what each prints in a folder of ext4 and in one of tmpfs."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from mmscope.errors import MmscopeError
from mmscope.oracle.record.debian import command
from mmscope.oracle.record.guest import boot, build_init

__all__ = ["PROGRAMS_FS", "record_programs"]

#: The file systems that a program runs on.
PROGRAMS_FS = ("ext4", "tmpfs")
_DISK = 32 << 20
_OUTPUT = re.compile(r"@@BEGIN (\S+) /(\S+)\n(.*?)@@END (\d+)\n", re.DOTALL)


def record_programs(vmlinuz: Path, modules: Path, sources: list[Path], output: Path) -> list[str]:
    """Write OUTPUT/NAME.FS for each C program and file system; their names. `modules`: the folder with the kernel's loop.ko."""
    with tempfile.TemporaryDirectory(prefix="mmscope-record-") as name:
        folder = Path(name)
        build_init("programs.c", folder)
        disk = folder / "disk"
        disk.write_bytes(bytes(_DISK))
        command(["mkfs.ext4", "-q", "-b", "4096", "-I", "256", "-F", str(disk)], folder)
        files = [("init", 0o755, (folder / "init").read_bytes()), ("disk", 0o644, disk.read_bytes())]
        files.append(("loop.ko", 0o644, next(modules.rglob("loop.ko")).read_bytes()))
        for source in sources:
            command(["gcc", "-O1", "-static", "-w", "-o", str(folder / "program"), str(source.resolve())], folder)
            files.append((f"programs/{source.stem}", 0o755, (folder / "program").read_bytes()))
        printed = boot(vmlinuz, files, folder)
    text = (printed or b"").decode("latin-1").replace("\r\n", "\n")
    if "@@DONE" not in text:
        raise MmscopeError(f"the guest did not get to its end: {text[-400:]}")
    output.mkdir(parents=True, exist_ok=True)
    names = []
    for program, fs, out, status in _OUTPUT.findall(text):
        (output / f"{program}.{fs}").write_text(out + (f"status {status}\n" if status != "0" else ""), "latin-1")
        names.append(f"{program}.{fs}")
    return names
