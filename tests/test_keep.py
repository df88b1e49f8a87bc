# SPDX-License-Identifier: GPL-2.0-or-later
"""--keep: what a guest changed, in a directory of its own, and nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mmscope.errors import UsageError
from mmscope.kernel.fs.namei_create import do_mkdirat, do_renameat2, do_symlinkat, do_unlinkat
from mmscope.kernel.fs.open import do_fchmodat, do_sys_truncate
from mmscope.kernel.include.fs import AT_FDCWD, O_CREAT, O_RDWR
from mmscope.machine import Machine, Process

NR_PWRITE = 18


@pytest.fixture(params=["ext4", "tmpfs"])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    root = tmp_path / "root"
    (root / "dir" / "deep").mkdir(parents=True)
    for name in ("same", "read", "longer", "mode", "gone", "dir/moved", "dir/deep/x"):
        (root / name).write_bytes(name.encode() * 1000)
    (root / "link").symlink_to("/etc")
    return Machine("64M", root=str(root), debug_vm=True, streams=(-1, -1, -1), rootfstype=request.param)


def write(p: Process, path: str, data: bytes, pos: int = 0) -> None:
    fd = p.open(path, O_RDWR | O_CREAT, 0o640)
    addr = p.mmap(0, 65536, 3, 0x22)
    p.store(addr, data)
    p.syscall(NR_PWRITE, fd, addr, len(data), pos)
    p.close(fd)


def listing(where: Path) -> list[str]:
    return sorted(str(path.relative_to(where)) for path in where.rglob("*"))


def test_what_changed_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    p = machine.process()
    k = machine.kernel
    before = listing(tmp_path / "root")
    p.load(p.mmap(0, 4096, 1, 1, p.open("/read")), 10)
    write(p, "/longer", b"changed", 3)
    write(p, "/dir/new", b"n" * 5000, 100_000)
    do_sys_truncate(k, "/same", len(b"same" * 1000))
    do_fchmodat(k, AT_FDCWD, "/mode", 0o6711)
    do_unlinkat(k, AT_FDCWD, "/gone")
    do_mkdirat(k, AT_FDCWD, "/empty", 0o755)
    do_symlinkat(k, "../../../outside", AT_FDCWD, "/dir/escape")
    do_renameat2(k, AT_FDCWD, "/dir/deep", AT_FDCWD, "/deeper", 0)
    assert machine.keep(tmp_path / "out") == 8
    out = tmp_path / "out"
    assert listing(out) == [
        ".mmscope-removed", "deeper", "deeper/x", "dir", "dir/escape", "dir/new", "empty", "longer", "mode",
    ]  # fmt: skip
    assert (out / ".mmscope-removed").read_text() == "/dir/deep\n/gone\n"
    assert (out / "longer").read_bytes() == b"lonchanged" + (b"longer" * 1000)[10:]
    assert (out / "dir/new").read_bytes() == bytes(100_000) + b"n" * 5000
    assert (out / "deeper/x").read_bytes() == b"dir/deep/x" * 1000
    assert os.readlink(out / "dir/escape") == "../../../outside"
    assert stat.S_IMODE((out / "mode").stat().st_mode) == 0o711
    assert stat.S_IMODE((out / "dir/new").stat().st_mode) == 0o640
    assert listing(tmp_path / "root") == before
    assert (tmp_path / "root/longer").read_bytes() == b"longer" * 1000


def test_a_directory_in_use_is_refused(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"")
    with pytest.raises(UsageError, match="not empty"):
        machine.keep(tmp_path / "full")
    with pytest.raises(UsageError, match="no directory"):
        machine.keep(tmp_path / "none" / "below")
