# SPDX-License-Identifier: GPL-2.0-or-later
"""Applets of Debian's busybox-static print the same bytes and end with the same status on the model as natively."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import model, native

WORDS = b"pear\napple\nfig\nbanana\napple\ncherry\n10\n9\n2\n"

#: (arguments, standard input); the working directory is `world` below.
CASES: list[tuple[list[str], bytes]] = [
    (["echo", "one", "two", "-n"], b""),
    (["echo", "-e", "a\\tb\\n\\x41"], b""),
    (["true"], b""),
    (["false"], b""),
    (["cat", "poem"], b""),
    (["cat", "-n", "poem", "-"], WORDS),
    (["cat", "missing"], b""),
    (["ls"], b""),
    (["ls", "-l", "."], b""),
    (["ls", "-la", "tree"], b""),
    (["ls", "-i", "-R", "tree"], b""),
    (["ls", "-ln", "poem", "link", "missing"], b""),
    (["stat", "poem"], b""),
    (["stat", "-c", "%n %s %a %h %Y %F", "poem", "tree", "link"], b""),
    (["stat", "-c", "%s %a %F", "/proc/self/exe", "/proc/self/fd/0"], b""),
    (["sort"], WORDS),
    (["sort", "-n", "-r", "-u"], WORDS),
    (["sort", "poem"], b""),
    (["uniq", "-c"], b"a\na\nb\na\n"),
    (["wc"], WORDS),
    (["wc", "-l", "-c", "poem", "numbers"], b""),
    (["sed", "s/a/<&>/g;2d;$!N"], WORDS),
    (["sed", "-n", "/Tyger/,/^$/p", "poem"], b""),
    (["awk", '{ n += length($0); print NR, toupper($1) } END { printf "%d %.3f\\n", n, n / NR }'], WORDS),
    (["awk", "-F,", "{ s[$1 % 3] += $2 } END { for (k in s) print k, s[k] }", "numbers"], b""),
    (["grep", "-n", "app"], WORDS),
    (["grep", "-c", "-i", "TYGER", "poem"], b""),
    (["grep", "-r", "deep", "tree"], b""),
    (["grep", "nothing-like-it", "poem"], b""),
    (["egrep", "^(fig|pear)$"], WORDS),
    (["sha256sum", "poem", "numbers"], b""),
    (["sha512sum"], WORDS),
    (["md5sum", "poem"], b""),
    (["cksum", "poem"], b""),
    (["gzip", "-c"], WORDS * 50),
    (["gzip", "-dc", "poem.gz"], b""),
    (["gunzip", "-c", "poem.gz"], b""),
    (["tar", "tf", "tree.tar"], b""),
    (["tar", "tvf", "tree.tar"], b""),
    (["tar", "xOf", "tree.tar", "tree/deep/file"], b""),
    (["find", "tree"], b""),
    (["find", ".", "-type", "f", "-name", "*e*", "-size", "-20"], b""),
    (["od", "-c", "poem"], b""),
    (["od", "-A", "x", "-t", "x1z"], bytes(range(64))),
    (["hexdump", "-C", "numbers"], b""),
    (["seq", "3", "7", "40"], b""),
    (["seq", "-w", "8", "12"], b""),
    (["bc"], b"scale=20\n1/3\n2^200\nsqrt(2)\n"),
    (["dc", "-e", "2 64 ^ p 10 k 1 7 / p"], b""),
    (["head", "-n", "2", "poem"], b""),
    (["tail", "-c", "20", "poem"], b""),
    (["cut", "-d,", "-f2", "numbers"], b""),
    (["tr", "a-z", "A-Z"], WORDS),
    (["rev"], WORDS),
    (["tac"], WORDS),
    (["nl", "poem"], b""),
    (["paste", "poem", "numbers"], b""),
    (["expand", "-t", "4"], b"a\tb\tc\n"),
    (["fold", "-w", "10", "poem"], b""),
    (["comm", "sorted1", "sorted2"], b""),
    (["diff", "sorted1", "sorted2"], b""),
    (["cmp", "poem", "numbers"], b""),
    (["base64", "poem"], b""),
    (["base64", "-d"], b"aGVsbG8gd29ybGQK"),
    (["strings", "poem.gz"], b""),
    (["dirname", "/a/b/c"], b""),
    (["basename", "/a/b/c.txt", ".txt"], b""),
    (["expr", "6", "*", "7"], b""),
    (["test", "-d", "tree"], b""),
    (["test", "-x", "poem"], b""),
    (["printf", "%05d|%-6s|%x\\n", "42", "ab", "255"], b""),
    (["env"], b""),
    (["printenv", "TZ"], b""),
    (["pwd"], b""),
    (["id"], b""),
    (["uname"], b""),
    (["readlink", "link"], b""),
    (["readlink", "-f", "tree/deep/../../link"], b""),
    (["realpath", "tree/deep"], b""),
    (["du", "-a", "tree"], b""),
    (["date", "-u", "-d", "@1000000000"], b""),
    (["cal", "2", "2021"], b""),
    (["factor", "600851475143"], b""),
    (["crc32", "poem"], b""),
    (["tsort"], b"a b\nb c\n"),
    (["sh", "-c", "x=6; y=$((x * 7)); echo $y; for i in a b c; do echo $i; done; [ -d tree ] && exit 5"], b""),
    (["ash", "-c", "kill -9 $$"], b""),
    (["no-such-applet"], b""),
]


#: These print a tree in the order of readdir, which the model sorts: only the lines count.
UNORDERED = {"find", "du"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small directory of files with fixed times and modes."""
    top = tmp_path_factory.mktemp("world")
    (top / "poem").write_text("Tyger Tyger, burning bright,\nIn the forests of the night;\n\nWhat immortal hand or eye,\n" * 30)
    (top / "numbers").write_text("".join(f"{i},{i * i}\n" for i in range(2000)))
    (top / "sorted1").write_text("a\nb\nc\ne\n")
    (top / "sorted2").write_text("b\nc\nd\n")
    (top / "tree" / "deep").mkdir(parents=True)
    (top / "tree" / "deep" / "file").write_text("deep down\n")
    (top / "tree" / "empty").touch()
    (top / "tree" / "script").write_text("#!/bin/sh\n")
    (top / "tree" / "script").chmod(0o755)
    (top / "link").symlink_to("poem")
    (top / "poem.gz").write_bytes(gzip.compress((top / "poem").read_bytes(), mtime=0))
    with tarfile.open(top / "tree.tar", "w") as tar:
        tar.add(top / "tree", "tree")
    for path in [*top.rglob("*"), top]:
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    return top


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case[0])[:40])
def test_same_as_native(case: tuple[list[str], bytes], world: Path, host_tool: Callable[[str], str]) -> None:
    argv, stdin = [host_tool("busybox"), *case[0]], case[1]
    on_model, on_host = model(argv, stdin, world), native(argv, stdin, world)
    if case[0][0] in UNORDERED:
        on_model.stdout, on_host.stdout = (b"".join(sorted(o.stdout.splitlines(True))) for o in (on_model, on_host))
    assert on_model == on_host
