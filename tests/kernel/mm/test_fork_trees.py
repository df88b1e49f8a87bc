# SPDX-License-Identifier: GPL-2.0-or-later
"""Random trees of processes: every one of them writes, forks and exits, in any order; memory is what a shadow of it says.

All invariants (mm/debug_vm.py) are checked after each operation, over all address spaces.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.errors import SegmentationFault
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mman import MADV_DOFORK, MADV_DONTFORK, MADV_DONTNEED, MADV_KEEPONFORK, MADV_WIPEONFORK
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.page_alloc import nr_free_pages
from mmscope.kernel.mm.vmstat import NR_ANON_MAPPED, NR_FILE_MAPPED, NR_MLOCK, NR_PAGETABLE, NR_SHMEM
from mmscope.machine import Machine, Process

PAGE = 4096
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 0x10, 0x20
READ, WRITE = 1, 2
SYS_MLOCK, SYS_MUNLOCK = 149, 150

#: All mappings are here; processes at most.
WINDOW = 0x20000000
SPAN = 16
PROCESSES = 7

VERSIONS = [(5, 11), (5, 18), (5, 19), (6, 18)]

which = st.integers(0, PROCESSES - 1)
where = st.integers(0, SPAN - 1)
length = st.integers(1, 6)
kinds = ["fork"] * 3 + ["exit"] + ["store"] * 6 + ["load"] * 3
kinds += ["anon", "anon", "file", "shared", "munmap", "readonly", "writable", "none", "move", "lock", "unlock"]
kinds += ["dontneed", "dontfork", "dofork", "wipe", "keep"]
operation = st.tuples(st.sampled_from(kinds), which, where, length)
Operation = tuple[str, int, int, int]


class Frame:
    """What a page holds: its first byte (the rest is zero), or that of a file's page. Shared by those who share the memory."""

    def __init__(self, byte: int) -> None:
        self.byte = byte


class Page:
    """One page of a process's address space, as the test believes it to be."""

    def __init__(self, frame: Frame, shared: bool, origin: int) -> None:
        self.frame = frame
        self.shared = shared
        #: What MADV_DONTNEED brings back.
        self.origin = origin
        self.prot = READ | WRITE
        self.copied = True
        self.wiped = False

    def of_child(self) -> Page:
        """fork()'s."""
        byte = 0 if self.wiped else self.frame.byte
        page = Page(self.frame if self.shared else Frame(byte), self.shared, self.origin)
        page.prot, page.wiped = self.prot, self.wiped
        return page


class Shadow:
    """A process and what its memory should be."""

    def __init__(self, process: Process, pages: dict[int, Page]) -> None:
        self.process = process
        self.pages = pages


class World:
    """A machine, and the family."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        process = machine.process()
        self.fd = process.open("/data")
        self.family = [Shadow(process, {})]
        self.stamp = 0

    def do(self, op: Operation) -> None:
        kind, number, first, pages = op
        shadow = self.family[number % len(self.family)]
        addr = WINDOW + first * PAGE
        span = range(first, first + pages)
        try:
            getattr(self, kind)(shadow, addr, span)
        except (KernelError, SegmentationFault):
            # A refusal is right only where the shadow has a hole, or something that does not go with it.
            if not self.may_fail(kind, shadow, span):
                raise
        validate_vm(self.machine.kernel)

    def may_fail(self, kind: str, shadow: Shadow, span: range) -> bool:
        pages = [shadow.pages.get(i) for i in span]
        if kind in ("store", "load"):
            needed = WRITE if kind == "store" else READ
            return not all(page is not None and page.prot & needed for page in pages)
        if kind == "lock":
            return any(page is None or page.prot == 0 for page in pages)
        if kind == "wipe":
            return any(page is None or page.shared or page.origin for page in pages)
        # munmap() and mmap() of a fixed address find nothing to complain about; the others want memory everywhere.
        return kind not in ("fork", "exit", "anon", "file", "shared", "munmap") and None in pages

    # One method an operation.

    def fork(self, shadow: Shadow, addr: int, span: range) -> None:
        if len(self.family) < PROCESSES:
            child = shadow.process.fork()
            self.family.append(Shadow(child, {i: page.of_child() for i, page in shadow.pages.items() if page.copied}))

    def exit(self, shadow: Shadow, addr: int, span: range) -> None:
        if len(self.family) > 1:
            self.family.remove(shadow)
            shadow.process.exit()

    def store(self, shadow: Shadow, addr: int, span: range) -> None:
        for i in span:
            self.stamp = self.stamp % 255 + 1
            shadow.process.store(WINDOW + i * PAGE, bytes([self.stamp]))
            shadow.pages[i].frame.byte = self.stamp

    def load(self, shadow: Shadow, addr: int, span: range) -> None:
        for i in span:
            byte = shadow.process.load(WINDOW + i * PAGE)[0]
            assert byte == shadow.pages[i].frame.byte, (i, byte)

    def map(self, shadow: Shadow, addr: int, span: range, flags: int, fd: int = -1) -> None:
        offset = (span.start % 4) * PAGE if fd >= 0 else 0
        shadow.process.mmap(addr, len(span) * PAGE, READ | WRITE, flags | MAP_FIXED, fd, offset)
        for n, i in enumerate(span):
            origin = (offset // PAGE + n) % 251 + 1 if fd >= 0 else 0
            shadow.pages[i] = Page(Frame(origin), flags & MAP_SHARED != 0, origin)

    def anon(self, shadow: Shadow, addr: int, span: range) -> None:
        self.map(shadow, addr, span, MAP_PRIVATE | MAP_ANONYMOUS)

    def file(self, shadow: Shadow, addr: int, span: range) -> None:
        self.map(shadow, addr, span, MAP_PRIVATE, self.fd)

    def shared(self, shadow: Shadow, addr: int, span: range) -> None:
        self.map(shadow, addr, span, MAP_SHARED | MAP_ANONYMOUS)

    def munmap(self, shadow: Shadow, addr: int, span: range) -> None:
        shadow.process.munmap(addr, len(span) * PAGE)
        for i in span:
            shadow.pages.pop(i, None)

    def protect(self, shadow: Shadow, addr: int, span: range, prot: int) -> None:
        # Up to a hole it is done.
        for i in span:
            if i not in shadow.pages:
                break
            shadow.pages[i].prot = prot
        shadow.process.mprotect(addr, len(span) * PAGE, prot)

    def readonly(self, shadow: Shadow, addr: int, span: range) -> None:
        self.protect(shadow, addr, span, READ)

    def none(self, shadow: Shadow, addr: int, span: range) -> None:
        self.protect(shadow, addr, span, 0)

    def writable(self, shadow: Shadow, addr: int, span: range) -> None:
        self.protect(shadow, addr, span, READ | WRITE)

    def move(self, shadow: Shadow, addr: int, span: range) -> None:
        """One page, to the other end of the window: page->index no longer tells the address."""
        target = SPAN + 8 - span.start
        if span.start not in shadow.pages or span.start == target:
            return
        shadow.process.syscall(25, addr, PAGE, PAGE, 3, WINDOW + target * PAGE)
        shadow.pages[target] = shadow.pages.pop(span.start)

    def advise(self, shadow: Shadow, addr: int, span: range, advice: int) -> None:
        """Where it fails at a hole, what was before, and behind it, is done."""
        try:
            shadow.process.madvise(addr, len(span) * PAGE, advice)
        except KernelError:
            if all(i in shadow.pages for i in span):
                raise

    def dontneed(self, shadow: Shadow, addr: int, span: range) -> None:
        locked = any(i in self.locked(shadow) for i in span)
        if locked:
            return
        self.advise(shadow, addr, span, MADV_DONTNEED)
        for i in span:
            page = shadow.pages.get(i)
            if page is not None and not page.shared:
                page.frame.byte = page.origin

    def locked(self, shadow: Shadow) -> set[int]:
        """The pages in VM_LOCKED mappings: MADV_DONTNEED refuses them."""
        found: set[int] = set()
        vma = shadow.process.mm.mmap
        while vma is not None:
            if vma.vm_flags & 0x2000:
                found.update(range((vma.vm_start - WINDOW) // PAGE, (vma.vm_end - WINDOW) // PAGE))
            vma = vma.vm_next
        return found

    def dontfork(self, shadow: Shadow, addr: int, span: range) -> None:
        self.advise(shadow, addr, span, MADV_DONTFORK)
        for i in span:
            if i in shadow.pages:
                shadow.pages[i].copied = False

    def dofork(self, shadow: Shadow, addr: int, span: range) -> None:
        self.advise(shadow, addr, span, MADV_DOFORK)
        for i in span:
            if i in shadow.pages:
                shadow.pages[i].copied = True

    def wipe(self, shadow: Shadow, addr: int, span: range) -> None:
        if self.may_fail("wipe", shadow, span):
            return
        self.advise(shadow, addr, span, MADV_WIPEONFORK)
        for i in span:
            shadow.pages[i].wiped = True

    def keep(self, shadow: Shadow, addr: int, span: range) -> None:
        self.advise(shadow, addr, span, MADV_KEEPONFORK)
        for i in span:
            if i in shadow.pages:
                shadow.pages[i].wiped = False

    def lock(self, shadow: Shadow, addr: int, span: range) -> None:
        shadow.process.syscall(SYS_MLOCK, addr, len(span) * PAGE)

    def unlock(self, shadow: Shadow, addr: int, span: range) -> None:
        shadow.process.syscall(SYS_MUNLOCK, addr, len(span) * PAGE)

    def check_contents(self) -> None:
        """All pages of all processes; those of others first, so that faults of one are seen by the next."""
        for shadow in self.family:
            for i, page in shadow.pages.items():
                if page.prot == 0:
                    shadow.process.mprotect(WINDOW + i * PAGE, PAGE, READ)
                content = shadow.process.load(WINDOW + i * PAGE, PAGE)
                assert content[0] == page.frame.byte, (shadow.process, i)
                assert content[1:] == bytes([page.origin]) * (PAGE - 1), (shadow.process, i)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "data").write_bytes(b"".join(bytes([i + 1]) * PAGE for i in range(12)))
    return folder


def totals(machine: Machine) -> list[int]:
    """What must be as before when all are gone: free and committed pages, those locked, mapped, and full of entries."""
    k = machine.kernel
    counters = [k.vmstat.stat[item] for item in (NR_MLOCK, NR_PAGETABLE, NR_ANON_MAPPED, NR_FILE_MAPPED, NR_SHMEM)]
    return [nr_free_pages(k) + len(k.zone.pcp), k.vm_committed_as, *counters]


def run(root: Path, version: tuple[int, int], operations: list[Operation], exits: list[int]) -> None:
    with Machine(ram="32M", root=str(root), uid=0, version=version) as machine:
        k = machine.kernel
        # A first process leaves in the page cache, and in the kernel's own tables, what stays.
        first = World(machine)
        for i in range(12):
            first.family[0].process.mmap(WINDOW, 12 * PAGE, READ, MAP_PRIVATE | MAP_FIXED, first.fd)
            first.family[0].process.load(WINDOW + i * PAGE)
        first.family[0].process.exit()
        before = totals(machine)
        world = World(machine)
        world.anon(world.family[0], WINDOW, range(6))
        for op in operations:
            world.do(op)
        world.check_contents()
        validate_vm(k)
        for number in exits:
            if world.family:
                world.family.pop(number % len(world.family)).process.exit()
                validate_vm(k)
        while world.family:
            world.family.pop().process.exit()
            validate_vm(k)
        assert totals(machine) == before


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(VERSIONS), st.lists(operation, min_size=40, max_size=80), st.lists(which, max_size=PROCESSES))
def test_a_family_of_processes(root: Path, version: tuple[int, int], operations: list[Operation], exits: list[int]) -> None:
    run(root, version, operations, exits)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VERSIONS), st.lists(operation, min_size=60, max_size=120), st.lists(which, max_size=PROCESSES))
def test_many_families_of_processes(root: Path, version: tuple[int, int], operations: list[Operation], exits: list[int]) -> None:
    run(root, version, operations, exits)
