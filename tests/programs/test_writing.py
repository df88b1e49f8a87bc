# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that write files leave the same tree behind on the model (`--keep`) as natively, and the host's own untouched."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import model, native

POEM = b"Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 200

PERL = """
open F, ">>", "poem"; print F "more\\n" x 9; close F;
rename "poem", "tree/p"; unlink "tree/deep/file"; mkdir "m", 0700
"""
PYTHON = """
import mmap
f = open("poem", "r+b")
m = mmap.mmap(f.fileno(), 0)
m[4090:4100] = b"0123456789"
m.flush()
f.truncate(9000)
"""
SQL = "create table t(a, b); insert into t values (1, 'x'), (2, 'y'); update t set b = b || a; select * from t;"

#: (program, arguments), each in a tree of its own.
CASES: list[tuple[str, list[str]]] = [
    ("busybox", ["cp", "-r", "tree", "copy"]),
    ("busybox", ["mv", "poem", "tree/verse"]),
    ("busybox", ["mkdir", "-p", "a/b/c", "a/d"]),
    ("busybox", ["rm", "-r", "tree"]),
    ("busybox", ["rm", "-rf", "tree", "nothing", "poem"]),
    ("busybox", ["rmdir", "tree"]),
    ("busybox", ["ln", "-s", "poem", "sym"]),
    ("busybox", ["ln", "poem", "hard"]),
    ("busybox", ["touch", "-d", "2020-01-02 03:04:05", "poem", "new"]),
    ("busybox", ["chmod", "600", "poem"]),
    ("busybox", ["sed", "-i", "s/Tyger/Lamb/", "poem"]),
    ("busybox", ["sort", "-o", "poem", "poem"]),
    ("busybox", ["dd", "if=poem", "of=out", "bs=1000", "seek=3", "count=2", "conv=notrunc"]),
    ("busybox", ["dd", "if=/dev/zero", "of=poem", "bs=512", "count=1", "conv=notrunc,fsync"]),
    ("busybox", ["gzip", "poem"]),
    ("busybox", ["split", "-b", "3000", "poem", "part"]),
    ("busybox", ["truncate", "-s", "100", "poem"]),
    ("busybox", ["install", "-m", "711", "poem", "tree/prog"]),
    ("busybox", ["sh", "-c", "echo one > f; echo two >> f; read x < f; echo $x; cd tree && echo $PWD_ > g"]),
    ("busybox", ["mkfifo", "pipe"]),
    ("busybox", ["cp", "missing", "x"]),
    ("busybox", ["mkdir", "tree"]),
    ("perl", ["-e", PERL]),
    ("perl", ["-i.bak", "-pe", "s/night/day/", "poem"]),
    ("python3", ["-S", "-c", PYTHON]),
    ("sqlite3", ["-batch", "db", SQL]),
]  # fmt: skip


def world(base: Path) -> Path:
    (base / "tree" / "deep").mkdir(parents=True)
    (base / "poem").write_bytes(POEM)
    (base / "tree" / "deep" / "file").write_bytes(b"deep\n")
    (base / "tree" / "link").symlink_to("deep")
    return base


def tree(base: Path) -> dict[str, tuple[int, bytes]]:
    """Name -> (mode, contents or target) of everything below."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(base.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            data = os.readlink(os.fsencode(path))
        else:
            data = path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path.relative_to(base))] = (mode, data)
    return found


def apply(base: Path, kept: Path) -> None:
    """What --keep wrote, over a copy of what was there."""
    removed = kept / ".mmscope-removed"
    if removed.exists():
        for name in removed.read_text().splitlines():
            path = base / Path(name).relative_to(base)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    where = kept / base.relative_to("/")
    for path in sorted(where.rglob("*")) if where.exists() else []:
        target = base / path.relative_to(where)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
            target.chmod(stat.S_IMODE(path.stat().st_mode))
            continue
        target.unlink(missing_ok=True)
        if path.is_symlink():
            target.symlink_to(os.readlink(path))
        else:
            shutil.copy(path, target)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1][0]}")
def test_the_same_tree_is_left_behind(case: tuple[str, list[str]], tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    program, args = host_tool(case[0]), case[1]
    before = world(tmp_path / "a" / "world")
    other = world(tmp_path / "b" / "world")
    untouched = tree(before)
    on_host = native([program, *args], cwd=other)
    on_model = model([program, *args], cwd=before, options=["-q", "--keep", str(tmp_path / "kept")])
    # A call that the model has not is named there.
    lines = on_model.stderr.splitlines(keepends=True)
    on_model.stderr = b"".join(line for line in lines if not line.startswith(b"mmscope: warning: "))
    assert on_model == on_host
    assert tree(before) == untouched
    expected = tree(other)
    # FIFOs are not kept.
    expected = {name: entry for name, entry in expected.items() if not stat.S_ISFIFO(entry[0])}
    apply(before, tmp_path / "kept")
    assert tree(before) == expected
