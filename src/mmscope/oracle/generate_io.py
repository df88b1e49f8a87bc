# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations on files that are written, cut and punched while they are mapped; memfd and System V shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmscope.oracle.generate import Choose, Generator

__all__ = ["FileGenerator", "ShmGenerator"]

_LENGTHS: Final = ("0", "1", "100", "1p", "4097", "2p", "10000", "4p", "7p", "16p", "20p", "0-1")
_OFFSETS: Final = ("0", "0", "1p", "2p", "3p", "100", "4090", "5p+8", "15p", "0-1")
#: With a buffer in a mapping, perhaps of the same bytes: what a copy onto its own next 63 bytes gives is the processor's affair.
_OFFSETS_MAPPED: Final = ("0", "0", "1p", "2p", "3p", "100", "4000", "5p+200", "15p", "0-1")
_SIZES: Final = ("100", "1p", "5000", "2p", "3p", "1", "0")


class _Shared(Generator):
    """What files of all sorts have in common: mappings of a part, and accesses near the end of the file."""

    def begin(self) -> None:
        """A file, and a shared mapping of it."""
        self.open()
        self.mmap_file()

    def open(self) -> None:
        """One more descriptor."""
        raise NotImplementedError

    def mmap_file(self) -> None:
        kind = self.choose.pick(("shared", "shared", "shared", "private"))
        prot = self.choose.pick(("rw", "rw", "rw", "r"))
        addr, pages = self.addr(0), self.choose.pick(("1p", "2p", "4p", "4p", "8p", "16p"))
        extra = "|populate" if self.chance(6) else ""
        offset = self.choose.pick(("0", "0", "0", "1p", "2p", "3p", "12p"))
        self.add("mmap", addr, pages, prot, f"{kind}|fixed{extra}", self.fd(), offset)
        self.note(addr, pages, True)

    def ftruncate(self) -> None:
        self.add("ftruncate", self.fd(), self.choose.pick(_LENGTHS))
        self.look(self.target(), 60)

    def fallocate(self) -> None:
        mode = self.choose.pick(("0", "keep_size", "punch_hole|keep_size", "punch_hole|keep_size", "punch_hole", "64"))
        length = self.choose.pick(("1p", "2p", "100", "5000", "0", "5p"))
        self.add("fallocate", self.fd(), mode, self.choose.pick(_OFFSETS), length)
        self.look(self.target(), 60)

    def write(self) -> None:
        how = self.choose.number(1, 10)
        if how <= 2:
            self.add("write", self.fd(), self.choose.pick(_SIZES))
        elif how <= 8:
            self.add("pwrite", self.fd(), self.choose.pick(_SIZES), self.choose.pick(_OFFSETS))
        else:
            # From a mapping, perhaps of the same file.
            self.add(
                "pwrite", self.fd(), self.choose.pick(("100", "1p", "5000")), self.choose.pick(_OFFSETS_MAPPED), self.target()
            )
        self.look(self.target(), 40)

    def read_back(self) -> None:
        into = (self.target(),) if self.chance(20) else ()
        offsets = _OFFSETS_MAPPED if into else _OFFSETS
        self.add("pread", self.fd(), self.choose.pick(_SIZES), self.choose.pick(offsets), *into)

    def lseek(self) -> None:
        self.add("lseek", self.fd(), self.choose.pick(("0", "100", "1p", "0-1")), self.choose.pick(("0", "1", "2")))

    def msync_mapped(self) -> None:
        self.add("msync", *self.run(), self.choose.pick(("sync", "sync", "async", "invalidate", "sync|invalidate")))
        self.look(self.target(), 50)

    def fsync(self) -> None:
        self.add(self.choose.pick(("fsync", "fsync", "fdatasync")), self.fd())
        self.look(self.target(), 50)

    def advise(self) -> None:
        addr, length = self.run()
        self.add("madvise", addr, length, self.choose.pick(("dontneed", "dontneed", "remove", "willneed", "random", "cold")))
        self.look(addr, 50)

    def fstat(self) -> None:
        self.add("fstat", self.fd())

    def remap(self) -> None:
        self.add("remap_file_pages", *self.run(), "0", self.choose.pick(("0", "1", "3")), "0")


class FileGenerator(_Shared):
    """Files of the scenario's folder."""

    menu = (
        ("open", 4, False), ("mmap_file", 12, True), ("ftruncate", 9, False), ("truncate", 2, False), ("fallocate", 7, False),
        ("write", 12, False), ("read_back", 8, False), ("direct", 4, False), ("lseek", 1, False), ("msync_mapped", 5, False),
        ("fsync", 5, False), ("sync_file_range", 2, False), ("fadvise", 3, False), ("readahead", 1, False),
        ("advise", 5, False), ("store", 8, False), ("load", 6, False), ("touch", 4, False), ("hash", 3, False),
        ("mincore", 3, False), ("fstat", 3, False), ("faults", 3, False), ("munmap", 5, True), ("mprotect", 4, True),
        ("mremap", 2, True), ("close", 2, False), ("remove", 2, False), ("remap", 1, True),
    )  # fmt: skip
    _NAMES: Final = ("new", "f16", "f16", "odd", "small", "empty", "other")

    def open(self) -> None:
        name = self.choose.pick(self._NAMES)
        flags = self.choose.pick(("rdwr", "rdwr", "rdwr|creat", "rdwr|creat|trunc", "rdwr|append", "rdonly", "wronly"))
        if name in ("new", "other") and not self.files:
            flags = "rdwr|creat"
        label = self.label()
        self.add("open", name, flags, label=label)
        self.files.append(label)

    def truncate(self) -> None:
        self.add("truncate", self.choose.pick(self._NAMES), self.choose.pick(_LENGTHS))
        self.look(self.target(), 60)

    def direct(self) -> None:
        """A descriptor for direct I/O of a file that may be open and mapped too; aligned transfers, and others."""
        label = self.label()
        self.add("open", self.choose.pick(self._NAMES), "rdwr|direct", label=label)
        for _ in range(self.choose.number(1, 3)):
            length, offset = self.choose.pick(("1p", "1p", "2p", "512", "100")), self.choose.pick(("0", "1p", "2p", "15p", "100"))
            into = (self.target(),) if self.chance(20) else ()
            self.add(self.choose.pick(("pread", "pwrite", "pwrite")), label, length, offset, *into)
            self.look(self.target(), 40)

    def sync_file_range(self) -> None:
        how = self.choose.pick(("write", "wait_before|write|wait_after", "0", "8"))
        self.add("sync_file_range", self.fd(), self.choose.pick(_OFFSETS), self.choose.pick(("0", "1p", "5p", "0-1")), how)

    def fadvise(self) -> None:
        advice = self.choose.pick(("normal", "random", "sequential", "willneed", "dontneed", "dontneed", "noreuse", "6"))
        fd = self.fd()
        if advice == "dontneed":
            # A dirty page is only written, some time later.
            self.add("fsync", fd)
        self.add("fadvise", fd, self.choose.pick(("0", "1p", "100")), self.choose.pick(("0", "0", "2p", "0-1")), advice)

    def readahead(self) -> None:
        self.add("readahead", self.fd(), self.choose.pick(_OFFSETS), self.choose.pick(("1p", "4p", "0")))

    def remove(self) -> None:
        if self.chance(50):
            self.add("unlink", self.choose.pick(self._NAMES))
        else:
            self.add("rename", self.choose.pick(self._NAMES), self.choose.pick(self._NAMES))


class ShmGenerator(_Shared):
    """Memory without a name in the file system: memfd, sealed or not, and System V segments."""

    menu = (
        ("open", 3, False), ("mmap_file", 10, True), ("ftruncate", 8, False), ("fallocate", 6, False), ("write", 8, False),
        ("read_back", 5, False), ("seals", 5, False), ("shmget", 5, False), ("shmat", 10, True), ("shmdt", 4, True),
        ("shmctl", 3, False), ("shmstat", 4, False), ("advise", 4, False), ("msync_mapped", 2, False), ("fsync", 1, False),
        ("store", 8, False), ("load", 6, False), ("touch", 4, False), ("hash", 2, False), ("mincore", 2, False),
        ("fstat", 2, False), ("faults", 3, False), ("munmap", 5, True), ("mprotect", 4, True), ("mremap", 2, True),
        ("close", 1, False),
    )  # fmt: skip

    def __init__(self, choose: Choose, without: Sequence[str] = ()) -> None:
        super().__init__(choose, without)
        self.segments: list[str] = []

    def begin(self) -> None:
        """One of both."""
        super().begin()
        self.shmget()
        self.shmat()

    def open(self) -> None:
        label = self.label()
        self.add(
            "memfd_create",
            "m",
            self.choose.pick(("0", "allow_sealing", "allow_sealing", "cloexec", "8", "16", "24", "64")),
            label=label,
        )
        self.add("ftruncate", label, self.choose.pick(_LENGTHS))
        self.files.append(label)

    def seals(self) -> None:
        if self.chance(30):
            self.add("get_seals", self.fd())
        else:
            self.add(
                "add_seals",
                self.fd(),
                self.choose.pick(("shrink", "grow", "shrink|grow", "write", "future_write", "seal", "exec", "64")),
            )

    def shmget(self) -> None:
        label = self.label()
        size, flags = (
            self.choose.pick(("1p", "2p", "5000", "4p", "1", "0")),
            self.choose.pick(("creat|0x180", "0x180", "creat|0x100")),
        )
        self.add("shmget", "0", size, flags, label=label)
        self.segments.append(label)

    def segment(self) -> str:
        return self.choose.pick(self.segments) if not self.chance(5) else self.choose.pick(("0-1", "0x7fffffff"))

    def shmat(self) -> None:
        addr = self.addr(4) if self.chance(85) else "0"
        self.add(
            "shmat", self.segment(), addr, self.choose.pick(("0", "0", "remap", "remap", "rdonly", "rnd", "rdonly|rnd|remap"))
        )
        self.note(addr, "2p", True)
        self.look(addr if addr != "0" else self.target(), 60)

    def shmdt(self) -> None:
        self.add("shmdt", self.target())

    def shmctl(self) -> None:
        self.add("shmctl", self.segment(), "rmid")

    def shmstat(self) -> None:
        self.add("shmstat", self.segment())
