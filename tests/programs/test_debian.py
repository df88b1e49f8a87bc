# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own programs, dynamically linked and unmodified, print on the model what they print natively."""

from __future__ import annotations

import lzma
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import model, native

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n\nWhat immortal hand or eye,\n"

QUERY = """
select count(*), sum(b), min(c), max(length(d)) from t;
select a, c from t where b between 100 and 110 order by c desc;
select c, count(*) n from t group by c having n > 20 order by n, c limit 5;
explain query plan select * from t where b = 7;
pragma integrity_check;
"""

PERL = r"""
my %n; open F, "poem"; while (<F>) { $n{lc $_}++ for /\w+/g } printf "%-10s %3d\n", $_, $n{$_} for sort keys %n;
print join(",", map { sprintf "%.4f", sqrt } 1 .. 9), "\n"; print scalar(localtime 1e9), "\n"; print -s "poem", "\n"
"""

PYTHON = """
import collections, hashlib, json, mmap, os, re
text = open("poem").read()
print(json.dumps(collections.Counter(re.findall(r"\\w+", text.lower())), sort_keys=True))
with open("numbers", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
    print(len(m), hashlib.sha256(m).hexdigest(), m.find(b"1999"), os.fstat(f.fileno()).st_size)
print(2 ** 521 - 1, sum(i * i for i in range(1000)))
"""

#: (program, arguments, standard input); the working directory is `world` below.
CASES: list[tuple[str, list[str], bytes]] = [
    ("ls", ["-l"], b""),
    ("ls", ["-lan", "tree", "link", "poem"], b""),
    ("ls", ["-l", "missing"], b""),
    ("ls", ["-RiF", "--time-style=full-iso"], b""),
    ("cat", ["poem"], b""),
    ("cat", ["-A", "poem", "-", "missing"], b"a\tb\n"),
    ("sort", ["poem"], b""),
    ("sort", ["-t,", "-k2nr", "numbers"], b""),
    ("sort", ["-S", "64K", "-T", ".", "-n", "numbers"], b""),
    ("grep", ["-r", "deep", "tree"], b""),
    ("grep", ["-rnc", "a", "."], b""),
    ("grep", ["-E", "^(In|What) .*[;,]$", "poem"], b""),
    ("grep", ["nothing-like-it", "poem"], b""),
    ("sed", ["-n", "s/Tyger/Lamb/gp;$=", "poem"], b""),
    ("sed", ["-E", "s/(a)(p+)/\\2\\1/;2d;$!N"], b"pear\napple\nfig\nbanana\n"),
    ("awk", ["-F,", "{ s[$1 % 3] += $2 } END { for (i = 0; i < 3; i++) print i, s[i] }", "numbers"], b""),
    ("mawk", ['{ n += NF } END { printf "%d %d %.3f\\n", NR, n, n / NR }', "poem"], b""),
    ("sha256sum", ["poem", "numbers"], b""),
    ("sha256sum", ["-c", "sums"], b""),
    ("xz", ["-c", "numbers"], b""),
    ("xz", ["-dc", "numbers.xz"], b""),
    ("xz", ["-t", "poem"], b""),
    ("sqlite3", ["-batch", "db", QUERY], b""),
    ("sqlite3", ["-readonly", "db"], b"create table u(x);\nselect count(*) from t;\n"),
    ("perl", ["-e", PERL], b""),
    ("perl", ["-ne", "print scalar reverse"], b"abc\ndef"),
    ("/usr/bin/python3", ["-I", "-c", PYTHON], b""),
    ("/usr/bin/python3", ["-I", "-c", "import sys; print(sys.stdin.read()[::-1]); sys.exit(7)"], b"abc"),
]  # fmt: skip

#: These print a tree in the order of readdir, which the model sorts: only the lines count.
UNORDERED = [["-r", "deep", "tree"], ["-rnc", "a", "."]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small directory of files with fixed times and modes."""
    top = tmp_path_factory.mktemp("world")
    (top / "poem").write_text(POEM * 30)
    (top / "numbers").write_text("".join(f"{i},{i * i * 7919 % 10007}\n" for i in range(3000)))
    (top / "numbers.xz").write_bytes(lzma.compress((top / "numbers").read_bytes()))
    (top / "tree" / "deep").mkdir(parents=True)
    (top / "tree" / "deep" / "file").write_text("deep down\n")
    (top / "tree" / "shallow").write_text("not so deep\n")
    (top / "tree" / "script").write_text("#!/bin/sh\n")
    (top / "tree" / "script").chmod(0o755)
    (top / "link").symlink_to("poem")
    shutil.copy(top / "poem", top / "copy")
    (top / "sums").write_text("0" * 64 + "  poem\n")
    with sqlite3.connect(top / "db") as db:
        db.execute("create table t(a integer primary key, b, c, d)")
        db.executemany(
            "insert into t values (?, ?, ?, ?)", ((i, i * 37 % 1009, f"c{i % 97}", "x" * (i % 300)) for i in range(3000))
        )
        db.execute("create index tb on t(b)")
    db.close()
    for path in [*top.rglob("*"), top]:
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    return top


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case[0], *case[1]])[:40])
def test_same_as_native(case: tuple[str, list[str], bytes], world: Path, host_tool: Callable[[str], str]) -> None:
    program, args, stdin = case
    argv = [host_tool(program), *args]
    on_model, on_host = model(argv, stdin, world), native(argv, stdin, world)
    if args in UNORDERED:
        on_model.stdout, on_host.stdout = (b"".join(sorted(o.stdout.splitlines(True))) for o in (on_model, on_host))
    assert on_model == on_host


@pytest.mark.parametrize("page_cache", [[], ["--cold"]], ids=["warm", "cold"])
@pytest.mark.parametrize("how", ["static", "static-pie", "musl"])
def test_one_file_by_psync_o_direct_and_mmap(
    build: Callable[[str, str], str], how: str, page_cache: list[str], tmp_path: Path
) -> None:
    argv = [build("threeways", how), str(tmp_path / "file")]
    on_model, on_host = model(argv, options=["-q", *page_cache]), native(argv)
    assert on_model == on_host
    assert on_host.stdout.count(b"O_DIRECT 262144") == 9
