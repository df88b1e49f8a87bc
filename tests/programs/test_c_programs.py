# SPDX-License-Identifier: GPL-2.0-or-later
"""C programs built three ways print the same bytes and end with the same status on the model as natively."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BUILDS, SOURCES, environment, model, native

#: Programs that need no arguments.
PLAIN = [
    "heap", "numbers", "faults", "maps", "signals", "stdio", "sorting", "jumps", "clocks", "cputimers", "procself", "sigact",
    "limits", "cpu", "jit", "tls", "edges", "reexec", "mallocs", "forking", "threads", "plumbing", "together", "memlock",
    "semaphores", "caps", "pidfds", "eventfiles", "mmsg", "pifutex",
]  # fmt: skip

ADDR_NO_RANDOMIZE = 0x0040000

Build = Callable[[str, str], str]


@pytest.mark.parametrize("how", BUILDS)
@pytest.mark.parametrize("name", PLAIN)
def test_same_as_native(build: Build, name: str, how: str) -> None:
    program = build(name, how)
    text = b"first line\nsecond\n\nlast without newline"
    assert model([program], text) == native([program], text)


@pytest.mark.parametrize("how", ["static", "static-pie"])
def test_cplusplus(build: Build, how: str) -> None:
    program = build("cxx", how)
    assert model([program], b"ab\ncde\n") == native([program], b"ab\ncde\n")


@pytest.mark.parametrize("how", BUILDS)
def test_options(build: Build, how: str) -> None:
    argv = [build("options", how), "-a", "-b", "x", "--gamma=3", "--beta", "7", "file", "-a", "--", "-b"]
    assert model(argv) == native(argv)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small directory tree with links of all kinds."""
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "deep" / "a" / "b").mkdir(parents=True)
    for name, text in (("file", "hello"), ("dir/f1", "one"), ("dir/f2", "two"), ("script", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    (tmp_path / "script").chmod(0o755)
    links = {
        "link": "file",
        "dangling": "nowhere",
        "loop1": "loop2",
        "loop2": "loop1",
        "dirlink": "dir",
        "dir/sub/up": "../../file",
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("how", BUILDS)
def test_names_and_directories(build: Build, how: str, tree: Path) -> None:
    argv = [build("tree", how), str(tree)]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("how", BUILDS)
def test_reading_in_all_ways(build: Build, how: str, tree: Path) -> None:
    (tree / "big").write_bytes(bytes(i * i % 251 for i in range(300_001)))
    argv = [build("reading", how), str(tree / "big"), str(tree)]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("how", BUILDS)
def test_output_through_a_pipe(build: Build, how: str) -> None:
    argv = [build("output", how), "3000000"]
    ours = model(argv)
    assert ours == native(argv)
    assert len(ours.stdout) > 3_000_000


MODEL = [sys.executable, "-m", "mmscope", "run", "-q", "--"]


@pytest.mark.parametrize("prefix", [[], MODEL], ids=["native", "model"])
@pytest.mark.parametrize("ignore", [[], ["ignored"]], ids=["default", "ignored"])
def test_a_reader_that_goes_away(build: Build, prefix: list[str], ignore: list[str]) -> None:
    """SIGPIPE by default, EPIPE if it is ignored; a closed stdout is EBADF."""
    argv = [*prefix, build("output", "static"), "10000000", *ignore]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(3) == b"aaa"
        child.stdout.close()
        text = child.stderr.read()
        status = child.wait()
    if ignore:
        assert (status, text) == (9, b"Broken pipe\n")
    elif prefix:
        assert status == 128 + signal.SIGPIPE
        assert text.startswith(b"mmscope: Broken pipe: killed by SIGPIPE")
    else:
        assert status == -signal.SIGPIPE
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *argv], stderr=subprocess.PIPE, env=environment(), check=False)
    assert (closed.returncode, closed.stderr) == (9, b"Bad file descriptor\n")


def with_stdin(argv: list[str], data: bytes, *, close: bool) -> tuple[int, bytes]:
    """Run with stdin from a pipe that holds `data`, and whose other end is closed or stays open."""
    reader, writer = os.pipe()
    os.write(writer, data)
    if close:
        os.close(writer)
    try:
        done = subprocess.run(argv, stdin=reader, stdout=subprocess.PIPE, env=environment(), timeout=60, check=False)
    finally:
        os.close(reader)
        if not close:
            os.close(writer)
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", BUILDS)
@pytest.mark.parametrize(("data", "close"), [(b"", False), (b"abc", False), (b"abcdefghi", False), (b"", True), (b"abc", True)])
def test_poll_and_select(build: Build, how: str, data: bytes, close: bool) -> None:
    argv = [build("polling", how)]
    assert with_stdin([*MODEL, *argv], data, close=close) == with_stdin(argv, data, close=close)


def test_poll_on_files_and_devices(build: Build, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abcdefghij" * 3)
    argv = [build("polling", "static")]
    for name in ("/dev/null", str(tmp_path / "in")):
        outcomes = []
        for prefix in ([], MODEL):
            with open(name, "rb") as stdin:
                done = subprocess.run([*prefix, *argv], stdin=stdin, capture_output=True, env=environment(), check=False)
            outcomes.append((done.returncode, done.stdout))
        assert outcomes[0] == outcomes[1]


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


@pytest.mark.parametrize("how", BUILDS)
def test_file_locks(build: Build, how: str, tmp_path: Path) -> None:
    argv = [build("locks", how), str(tmp_path)]
    ours = model(argv)
    assert ours == native(argv)
    assert ours.stdout.endswith(b"FLOCK ADVISORY WRITE me 0..EOF\n")


@pytest.mark.parametrize("how", BUILDS)
def test_openat2_and_execveat(build: Build, how: str, tmp_path: Path) -> None:
    outcomes = []
    for run in (native, model):
        folder = tmp_path / run.__name__
        folder.mkdir()
        outcomes.append(run([build("resolve", how), str(folder)]))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].stdout.endswith(b"Exec format error\n")


@pytest.mark.parametrize("how", BUILDS)
def test_splice(build: Build, how: str, tmp_path: Path) -> None:
    for name in ("native", "model"):
        (tmp_path / name).mkdir()
    program = build("splicing", how)
    expected = native([program, str(tmp_path / "native")], b"input")
    assert model([program, str(tmp_path / "model")], b"input", options=("-q", "--debug-vm")) == expected
    assert expected.stdout.count(b"\n") >= 22


def test_sources_are_all_used() -> None:
    used = {*PLAIN, "args", "input", "touch", "cxx", "options", "tree", "reading", "output", "polling", "crashes"}
    used |= {"interrupted", "layout", "threeways", "cow", "nproc", "locks", "nprocexec", "oom", "resolve", "splicing"}
    used |= {"tracestops", "tracethreads", "tracemem", "tracefuzz", "debugger"}
    used |= {path.stem for path in SOURCES.glob("rules_*.c")}  # test_rules.py takes them all
    assert {path.stem for path in SOURCES.glob("*.c*")} == used
