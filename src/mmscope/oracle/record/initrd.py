# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs in cpio's "newc" format, written without root and without cpio."""

from __future__ import annotations

from collections.abc import Iterable
from stat import S_IFCHR, S_IFDIR, S_IFREG

__all__ = ["cpio", "entry"]


def entry(name: str, mode: int, content: bytes = b"", rdev: tuple[int, int] = (0, 0), ino: int = 0) -> bytes:
    """One file: a header of hexadecimal fields, the name, the content, each padded to 4 bytes."""
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(content), 0, 0, *rdev, len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + raw
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def cpio(files: Iterable[tuple[str, int, bytes]]) -> bytes:
    """An archive of (path, permissions, content), with the folders and the console that a start-up needs."""
    parts = [entry(name, S_IFDIR | 0o755) for name in ("dev", "proc", "tmp", "scratch", "files", "programs")]
    parts.append(entry("dev/console", S_IFCHR | 0o600, rdev=(5, 1)))
    parts += [
        entry(path, S_IFREG | permissions, content, ino=number)
        for number, (path, permissions, content) in enumerate(files, start=10)
    ]
    parts.append(entry("TRAILER!!!", 0))
    return b"".join(parts)
