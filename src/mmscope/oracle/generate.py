# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations on mappings, locks and files that nobody writes: mappings that touch, holes, odd lengths..."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from mmscope.oracle.scenario import Op, Scenario

__all__ = ["ARENA", "ARENA_PAGES", "Choices", "Choose", "Generator", "arena_page", "place"]

T = TypeVar("T")

#: Where mappings of a chosen address go: few pages, so that they meet.
ARENA: Final = 0x20000000
ARENA_PAGES: Final = 40

_PROTS: Final = ("rw", "rw", "rw", "rw", "r", "r", "none", "rx", "rwx")
_FILES: Final = ("f16", "f64", "odd", "small", "empty", "f16")
_ADVICE: Final = (
    "normal", "random", "sequential", "willneed", "dontneed", "dontneed", "dontneed", "dontfork", "dofork", "dontdump",
    "dodump", "wipeonfork", "keeponfork", "250", "6",
    "populate_read", "populate_write", "populate_write", "dontneed_locked", "collapse", "guard_install", "guard_install",
    "guard_remove", "free", "cold", "pageout", "hugepage", "nohugepage", "mergeable", "unmergeable",
)  # fmt: skip


class Choose(Protocol):
    """Where decisions come from."""

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""


class Choices:
    """Decisions by a seed; the same on every Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        """See Choose."""
        # randrange() may change between Pythons; random() will not.
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """See Choose."""
        return items[self.number(0, len(items) - 1)]


def place(page: int) -> str:
    """The address of a page of the arena."""
    return f"{ARENA:#x}+{page}p" if page else f"{ARENA:#x}"


def arena_page(addr: str) -> int:
    """The inverse of place(), -1 for other addresses."""
    base, _, offset = addr.partition("+")
    if base != f"{ARENA:#x}":
        return -1
    if not offset:
        return 0
    return int(offset[:-1]) if offset.endswith("p") and offset[:-1].isdigit() else -1


#: (method, weight, whether the list of mappings may have changed)
MENU: Final[tuple[tuple[str, int, bool], ...]] = (
    ("mmap", 26, True), ("munmap", 13, True), ("mprotect", 14, True), ("mremap", 10, True), ("brk", 4, True),
    ("madvise", 6, True), ("lock", 5, True), ("msync", 2, False), ("mincore", 3, False), ("store", 8, True), ("load", 6, True),
    ("touch", 6, True), ("hash", 2, False), ("read", 2, False), ("close", 1, False), ("faults", 3, False), ("guard", 1, True),
)  # fmt: skip


class Generator:
    """The scenario so far. A subclass adds operations, and its own menu of them."""

    #: (method, weight, whether the list of mappings may have changed)
    menu: tuple[tuple[str, int, bool], ...] = MENU

    def __init__(self, choose: Choose, without: Sequence[str] = ()) -> None:
        """`without`: methods that are not on the menu after all."""
        self.choose = choose
        self.weighted = [entry for entry in self.menu if entry[0] not in without for _ in range(entry[1])]
        self.ops: list[Op] = []
        self.files: list[str] = []
        self.places: list[str] = []
        #: What would continue the last mapping: address, rights, flags, descriptor, offset.
        self.neighbour: tuple[str, str, list[str], str, str] | None = None
        self.labels = 0
        self.mapped: set[int] = set()
        self.locks = choose.number(0, 1) == 1 and "lock" not in without
        #: The process that performs the next operation, as in Op.child.
        self.child = ""

    def add(self, name: str, *args: str, label: str = "") -> None:
        """One more operation."""
        self.ops.append(Op(name, args, label, self.child))

    def begin(self) -> None:
        """What comes first."""
        if "read" not in {entry[0] for entry in self.weighted} or self.choose.number(0, 2):
            return
        for _ in range(self.choose.number(1, 2)):
            label = self.label()
            self.add("open", self.choose.pick(_FILES), "rdonly", label=label)
            self.files.append(label)

    def end(self) -> None:
        """What comes last."""
        self.add("maps")
        self.add("vm")

    def scenario(self, length: int, name: str) -> Scenario:
        """A scenario of about `length` operations, with the list of mappings after most changes."""
        self.begin()
        while len(self.ops) < length - 2:
            method, _, changes = self.choose.pick(self.weighted)
            getattr(self, method)()
            if changes and self.chance(50):
                self.add("maps")
        self.end()
        return Scenario(tuple(self.ops), name=name)

    def label(self) -> str:
        self.labels += 1
        return f"v{self.labels}"

    def chance(self, percent: int) -> bool:
        return self.choose.number(1, 100) <= percent

    # What is probably mapped in the arena: a guess, since calls may fail.

    def note(self, addr: str, length: str, mapped: bool) -> None:
        """An operation that probably mapped or unmapped these pages."""
        start, pages = arena_page(addr), length.removesuffix("p")
        if start < 0 or not pages.isdigit() or length == pages:
            return
        span = range(start, start + int(pages))
        if mapped:
            self.mapped.update(span)
        else:
            self.mapped.difference_update(span)

    def run(self) -> tuple[str, str]:
        """Address and length of pages that are probably mapped, one behind the other."""
        if not self.mapped or self.chance(15):
            return self.span(5)
        start = self.choose.pick(sorted(self.mapped))
        pages = 1
        while start + pages in self.mapped and self.chance(60):
            pages += 1
        if self.chance(8):
            # Across a hole, into what is mapped behind it.
            pages = next((page - start + 1 for page in sorted(self.mapped) if page > start + pages), pages + 1)
        return place(start), f"{pages}p"

    # arguments

    def addr(self, wild: int = 3) -> str:
        """An address: mostly a page of the arena, at times of a mapping without one, rarely odd."""
        if self.places and self.chance(20):
            base, offset = self.choose.pick(self.places), self.choose.number(0, 4)
        else:
            base, offset = f"{ARENA:#x}", self.choose.number(0, ARENA_PAGES)
        text = base + (f"+{offset}p" if offset else "")
        if self.chance(wild):
            return text + "+" + self.choose.pick(("1", "8", "4095"))
        if self.chance(wild):
            return self.choose.pick(("0", "4096", "0x800000000000", "0-4096", "0xfffff", "0x10000"))
        return text

    def length(self, wild: int = 3) -> str:
        """A length: mostly few pages."""
        if self.chance(wild):
            return self.choose.pick(
                (
                    "0",
                    "0",
                    "0",
                    "1",
                    "4095",
                    "4097",
                    "0-4096",
                    "0-1",
                    "0x7ffffffff000",
                    "0x800000000000",
                    "0x40001000",
                    "0x400000001000",
                )
            )
        return f"{self.choose.pick((1, 1, 1, 2, 2, 3, 4, 5, 8, 12))}p"

    def span(self, wild: int = 3) -> tuple[str, str]:
        """An address and a length. Huge lengths begin in the arena: elsewhere they would take the vDSO, whose size differs."""
        addr = self.addr(wild)
        return addr, self.length(wild if addr.startswith(f"{ARENA:#x}") else 0)

    def target(self) -> str:
        """Where to load or store: mostly what is probably mapped."""
        return self.run()[0] if self.chance(65) else self.addr(1)

    def look(self, addr: str, percent: int) -> None:
        """Perhaps a store or a load there: what an operation did to pages shows best before and after it."""
        if self.chance(percent):
            if self.chance(70):
                self.add("store", addr, "8", str(self.choose.number(1, 99)))
            else:
                self.add("load", addr, "8")

    def fd(self) -> str:
        if not self.files or self.chance(8):
            return self.choose.pick(("0-1", "99", "2147483647"))
        return self.choose.pick(self.files)

    # operations

    def mmap(self) -> None:
        where = self.choose.number(1, 100)
        kind = self.choose.number(1, 100)
        flags = []
        fd, offset = "0-1", "0"
        prot = self.choose.pick(_PROTS)
        if kind <= 58:
            flags += ["private", "anon"]
        elif kind <= 72:
            flags += ["shared", "anon"]
        elif kind <= 90:
            flags += [self.choose.pick(("private", "private", "private", "shared"))]
            fd = self.fd()
            offset = self.choose.pick(("0", "0", "1p", "2p", "3p", "8p", "100p", "0-4096", "7"))
            if flags == ["shared"] and self.chance(80):
                prot = self.choose.pick(("r", "r", "none", "rx"))
        else:
            flags += [
                self.choose.pick(("private", "shared", "shared_validate", "4", "droppable", "droppable|growsdown")),
                self.choose.pick(("anon", "anon", "0")),
            ]
            prot = self.choose.pick((*_PROTS, "w", "rw|growsdown", "r|sem", "0x40"))
        if self.chance(8):
            extra = self.choose.pick(("noreserve", "populate", "locked", "denywrite", "nonblock", "executable"))
            if extra != "locked" or self.locks:
                flags.append(extra)
        if kind <= 58 and self.chance(6):
            flags.append("growsdown")
        if where <= 70:
            addr = self.addr()
            flags.append("fixed")
        elif where <= 80:
            addr = self.addr()
        elif where <= 86:
            addr = self.addr()
            flags.append("fixed_noreplace")
        else:
            addr = "0"
            if self.chance(10):
                flags.append("32bit")
        if self.neighbour and self.chance(15):
            # Touches the last one, and looks like it: the two may merge.
            addr, prot, flags, fd, offset = self.neighbour
        label = ""
        if addr == "0" and len(self.places) < 6:
            label = self.label()
        tame = not addr.startswith(("0x2", "0")) or "populate" in flags or "locked" in flags
        length = self.length(0 if tame else 3)
        if addr == "0" and not tame and self.chance(15):
            # Placed for huge pages, or just not.
            length = self.choose.pick(("2M", "2M", "4M", "0x201000", "0x1ff000", "6M"))
        args = [addr, length, prot, "|".join(flags)]
        if fd != "0-1" or offset != "0":
            args += [fd, offset]
        self.add("mmap", *args, label=label)
        self.note(addr, args[1], True)
        page, pages = arena_page(addr), args[1].removesuffix("p")
        if page >= 0 and pages != args[1] and "anon" in flags:
            self.neighbour = (place(page + int(pages)), prot, flags, fd, offset)
        if label:
            self.places.append(label)

    def munmap(self) -> None:
        addr, length = self.run() if self.chance(30) else self.span()
        self.add("munmap", addr, length)
        self.note(addr, length, False)

    def mprotect(self) -> None:
        prot = (
            self.choose.pick((*_PROTS, "w", "r|sem", "rw|growsdown", "rw|growsup", "0x40"))
            if self.chance(20)
            else self.choose.pick(_PROTS)
        )
        addr, length = self.run() if self.chance(50) else self.span()
        self.look(addr, 30)
        self.add("mprotect", addr, length, prot)
        self.look(addr, 40)

    def mremap(self) -> None:
        how = self.choose.number(1, 100)
        addr, old = self.run()
        args = [addr, old, self.choose.pick((old, self.length(5), self.length(2)))]
        if how <= 45:
            args += ["maymove"]
        elif how <= 60:
            args += ["0"]
        elif how <= 90:
            args += ["maymove|fixed", self.addr()]
            self.note(args[0], args[1], False)
            self.note(args[4], args[2], True)
        elif how <= 96:
            args += ["maymove|dontunmap", self.addr()]
        else:
            args += [self.choose.pick(("fixed", "dontunmap", "8", "maymove|fixed|8")), self.addr()]
        if self.chance(3) and (len(args) == 4 or arena_page(args[4]) >= 0):
            args[2] = self.choose.pick(("2M", "4M", "0x201000"))
        self.look(args[0], 30)
        self.add("mremap", *args)
        self.look(args[4] if len(args) > 4 else args[0], 40)

    def brk(self) -> None:
        where = self.choose.pick(
            ("heap+1p", "heap+2p", "heap+3p+8", "heap+8p", "heap", "heap+1", "heap-1p", "0", "0x20000000", "heap+1p")
        )
        self.add("brk", where)
        if self.chance(50):
            self.add("store", self.choose.pick(("heap", "heap+1p", "heap+4088", "heap+2p")), "8", "77")

    def madvise(self) -> None:
        addr, length = self.span()
        self.look(addr, 30)
        self.add("madvise", addr, length, self.choose.pick(_ADVICE))
        self.look(addr, 30)

    def lock(self) -> None:
        how = self.choose.number(1, 10) if self.locks else 10
        if how <= 4:
            self.add("mlock", *self.span(0))
        elif how <= 7:
            self.add("munlock", *self.span(0))
        elif how <= 9:
            self.add("mlock2", *self.span(0), self.choose.pick(("onfault", "onfault", "0", "2")))
        else:
            self.add("munlockall")

    def msync(self) -> None:
        self.add("msync", *self.span(), self.choose.pick(("async", "sync", "invalidate", "async|sync", "8", "0")))

    def mincore(self) -> None:
        self.add("mincore", self.addr(), self.length(0))

    def store(self) -> None:
        offset = self.choose.pick(("", "", "+8", "+4088", "+4092", "+100"))
        self.add(
            "store", self.addr(1) + offset, self.choose.pick(("8", "8", "4", "2", "1", "3", "7")), str(self.choose.number(1, 99))
        )

    def load(self) -> None:
        offset = self.choose.pick(("", "", "+8", "+4088", "+4092", "+100"))
        self.add("load", self.target() + offset, self.choose.pick(("8", "8", "4", "2", "1", "5")))

    def touch(self) -> None:
        self.add(self.choose.pick(("touch", "touch", "peek")), self.target(), self.length(0))

    def hash(self) -> None:
        self.add("hash", self.addr(1), self.choose.pick(("1p", "2p", "100")))

    def read(self) -> None:
        how = self.choose.number(1, 10)
        if how <= 4:
            self.add("read", self.fd(), self.choose.pick(("100", "1p", "3p", "0")))
        elif how <= 8:
            self.add(
                "pread",
                self.fd(),
                self.choose.pick(("100", "1p", "3p")),
                self.choose.pick(("0", "4090", "1p", "0-1")),
                self.addr(1),
            )
        else:
            self.add("read", self.fd(), self.choose.pick(("1p", "100", "0")), self.addr(1))

    def close(self) -> None:
        self.add("close", self.fd())

    def guard(self) -> None:
        """A mapping that grows down, and another at the edge of its guard gap of 256 pages."""
        base = ARENA_PAGES + 600
        self.add("mmap", place(base), "1p", "rw", "private|anon|fixed|growsdown")
        self.add("mmap", place(base - 256 - self.choose.number(-2, 3)), f"{self.choose.number(1, 3)}p", "r", "private|anon")
        if self.chance(50):
            self.add("store", place(base - self.choose.pick((1, 2, 255, 256, 257))), "8", "1")

    def faults(self) -> None:
        self.add("faults")
