# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are no programs, programs that do what they must not, machines that are too small: what Linux makes of them."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SOURCES, environment, model, native

Build = Callable[[str, str], str]

EHDR_SIZE = 64
PHDR_SIZE = 56
PT_LOAD = 1
PT_INTERP = 3
PT_NOTE = 4

CRASHES = [
    way
    for way in re.findall(r'WAY\("([^"]*)"\)', (SOURCES / "crashes.c").read_text())
    if way not in ("signal", "eat-memory", "sysenter")
]


def run(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """`mmscope run -q` as a process."""
    command = [sys.executable, "-m", "mmscope", "run", "-q", *args]
    return subprocess.run(command, capture_output=True, env=environment(), cwd=cwd, timeout=60, check=False)


def says_one_line(result: subprocess.CompletedProcess[bytes]) -> str:
    """What stands on stderr: one line of ours."""
    text = result.stderr.decode()
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    assert text.startswith("mmscope: ")
    return text


def host(path: str, cwd: Path) -> tuple[int, str, bytes]:
    """Status as in a shell, errno's name or "", stdout; of execve itself, without a shell that tries a text as a script."""
    try:
        done = subprocess.run([path, "exit-status"], capture_output=True, env=environment(), cwd=cwd, timeout=60, check=False)
    except OSError as error:
        return (127 if error.errno == errno.ENOENT else 126), errno.errorcode[error.errno or 0], b""
    status = done.returncode
    return (status if status >= 0 else 128 - status), "", done.stdout


def same_as_host(path: str, cwd: Path) -> None:
    """The model's execve of `path` ends as the host's."""
    result = run("--", path, "exit-status", cwd=cwd)
    status, name, stdout = host(path, cwd)
    assert (result.returncode, result.stdout) == (status, stdout), result.stderr
    if name or status > 128:
        text = says_one_line(result)
        assert name in text, text


def phdr(data: bytes, kind: int, last: bool = False) -> int:
    """Offset of the first (or last) program header of this type."""
    (count,) = struct.unpack_from("<H", data, 56)
    found = [EHDR_SIZE + PHDR_SIZE * i for i in range(count)]
    found = [at for at in found if struct.unpack_from("<I", data, at)[0] == kind]
    return found[-1 if last else 0]


def patched(data: bytes, at: int, form: str, value: int) -> bytes:
    """`data` with one field changed."""
    out = bytearray(data)
    struct.pack_into(form, out, at, value)
    return bytes(out)


@pytest.fixture
def good(build: Build) -> bytes:
    """A program as bytes: `crashes`, which exits with status 0x45 when asked for exit-status."""
    return Path(build("crashes", "static")).read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 20, 63, 64, 65, 120, 200, 1000, 4096, 5000, 100_000, -100])
def test_truncated(good: bytes, cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(good[:cut])
    path.chmod(0o755)
    same_as_host("./cut", tmp_path)


#: Name -> (offset, format, value) in the ELF header.
HEADERS = {
    "no-elf": (0, "B", 0x7E), "type-rel": (16, "<H", 1), "type-core": (16, "<H", 4), "arm64": (18, "<H", 183),
    "ppc": (18, "<H", 20), "no-phdrs": (56, "<H", 0), "many-phdrs": (56, "<H", 60000), "phentsize": (54, "<H", 32),
    "phoff": (32, "<Q", 1 << 40), "phoff-negative": (32, "<Q", (1 << 64) - 8), "entry-0": (24, "<Q", 0),
    "entry-kernel": (24, "<Q", 0xFFFF800000000000), "entry-end": (24, "<Q", 0x0000900000000000),
    # Linux looks at neither.
    "class-32": (4, "B", 1), "big-endian": (5, "B", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_elf_header(good: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(patched(good, *HEADERS[name]))
    (tmp_path / "bad").chmod(0o755)
    same_as_host("./bad", tmp_path)


#: Name -> (offset, format, value) in the header of a PT_LOAD.
SEGMENTS = {
    "filesz-over-memsz": (32, "<Q", 1 << 30), "memsz-huge": (40, "<Q", 1 << 50), "memsz-negative": (40, "<Q", (1 << 64) - 1),
    "vaddr-kernel": (16, "<Q", 0xFFFFFFFF80000000), "offset-crooked": (8, "<Q", 0x123),
    "offset-far": (8, "<Q", 1 << 40), "offset-negative": (8, "<Q", 1 << 63), "no-access": (4, "<I", 0),
    "align-3": (48, "<Q", 3), "memsz-1T": (40, "<Q", 1 << 40),
}  # fmt: skip


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_segment(good: bytes, name: str, last: bool, tmp_path: Path) -> None:
    at, form, value = SEGMENTS[name]
    (tmp_path / "bad").write_bytes(patched(good, phdr(good, PT_LOAD, last) + at, form, value))
    (tmp_path / "bad").chmod(0o755)
    same_as_host("./bad", tmp_path)


@pytest.mark.parametrize(
    "interpreter",
    [
        b"/nonexistent/ld.so\0",
        b"/etc\0",
        b"/etc/passwd\0",
        b"no NUL",
        b"\0",
        b"%s/text\0",
        b"%s/cut\0",
        b"%s/empty\0",
        b"/" * 5000,
    ],
)
def test_interpreter(good: bytes, interpreter: bytes, tmp_path: Path) -> None:
    for name, content in (("text", b"hello\n"), ("cut", good[:64]), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    interpreter = interpreter.replace(b"%s", os.fsencode(tmp_path))
    header = struct.pack("<IIQQQQQQ", PT_INTERP, 4, len(good), 0, 0, len(interpreter), len(interpreter), 1)
    at = phdr(good, PT_NOTE)
    (tmp_path / "bad").write_bytes(good[:at] + header + good[at + PHDR_SIZE :] + interpreter)
    (tmp_path / "bad").chmod(0o755)
    same_as_host("./bad", tmp_path)


def test_32_bit(tmp_path: Path) -> None:
    """The model has no IA32 emulation, so ENOEXEC whatever this host does."""
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 0x100, 0x100, 5, 0x1000)
    (tmp_path / "bad").write_bytes(header + segment + b"\xb8\1\0\0\0\xbb\x2a\0\0\0\xcd\x80" + bytes(160))
    (tmp_path / "bad").chmod(0o755)
    result = run("--", "./bad", cwd=tmp_path)
    assert result.returncode == 126
    assert "ENOEXEC" in says_one_line(result)


@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n", b"exit 5\n", bytes(range(256)) * 4, b"#!/nonexistent\n", b"#!/etc\n", b"#!\n", b"#!    \n",
        b"#!./bad\n",
        b"#!/bin/echo  -a b  \nfoo", b"#!\t/bin/echo\ta\tb\n", b"#!/bin/echo " + b"x" * 400,
        b"#!/" + b"x" * 400 + b"\n", b"#!/bin/echo",
    ],
)  # fmt: skip
def test_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(content)
    (tmp_path / "bad").chmod(0o755)
    same_as_host("./bad", tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        ".", "/etc", "./none", "no-such-command-here", "./text/x", "./none/x", "./text", "./loop", "./dangling", "./program/",
        "/dev/null", "/dev/zero", "./" + "x" * 300, "./" + "x/" * 3000,
    ],
)  # fmt: skip
def test_names(good: bytes, path: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(good)
    (tmp_path / "text").chmod(0o644)
    (tmp_path / "program").write_bytes(good)
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    result = run("--", path, cwd=tmp_path)
    status, name, _ = host(path, tmp_path)
    text = says_one_line(result)
    assert result.returncode == status
    assert name in text or (name == "ENOENT" and "command not found" in text)


@pytest.mark.parametrize("way", CRASHES)
def test_crash(build: Build, way: str) -> None:
    argv = [build("crashes", "static"), way]
    assert model(argv) == native(argv)


def test_sysenter(build: Build) -> None:
    """#GP on the processor that the model has; others take it for an invalid instruction."""
    assert model([build("crashes", "static"), "sysenter"]).status == 139


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 10, 13, 14, 15, 16, 17, 18, 23, 24, 28, 29, 30, 31, 34, 64])
def test_default_action(build: Build, number: int) -> None:
    argv = [build("crashes", "static"), "signal", str(number)]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("size", ["1K", "4K", "1M", "4M", "0", "-1", "12345", "x", "", "100T"])
def test_ram_that_cannot_be(build: Build, size: str) -> None:
    result = run("--ram", size, "--", build("crashes", "static"), "exit-status")
    assert result.returncode == 2
    assert result.stdout == b""
    says_one_line(result)


@pytest.mark.parametrize("size", ["8M", "16M"])
def test_out_of_memory(build: Build, size: str) -> None:
    """Overcommitted memory that is not there: the OOM killer."""
    result = run("--ram", size, "--", build("crashes", "static"), "eat-memory")
    assert result.returncode == 137
    assert "SIGKILL: Out of memory: Killed process" in says_one_line(result)


@pytest.mark.parametrize(
    ("children", "status", "text"),
    [
        (["0:30", "0:4", "0:1"], 0, b"last: exit 20\n0: signal 9\n1: exit 11\n"),
        (["-1000:30", "0:2", "1000:1", "0:1"], 0, b"last: signal 9\n0: exit 10\n1: exit 11\n2: signal 9\n"),
        (["-1000:20", "-1000:1"], 71, b""),
    ],
)
def test_whom_the_oom_killer_takes(build: Build, children: list[str], status: int, text: bytes) -> None:
    """As on 5.10 with 128 MiB, sizes in proportion. The last: Linux panics."""
    result = run("--ram", "64M", "--", build("oom", "static"), *children)
    assert (result.returncode, result.stdout) == (status, text)
    if status:
        assert result.stderr == b"mmscope: Kernel panic - not syncing: System is deadlocked on memory\n"
