# SPDX-License-Identifier: GPL-2.0-or-later
"""Call graphs: the recorded ones of Linux 5.10, and the model's own, brought into one form to be compared.

The recording (see shared/truth/README.md): a line a function, indented two spaces a level; `~` inlined by the compiler,
`?` caller unknown, ` x2` and `[repeat x16]` repeated.

Run as a program (`python -m tests.kernel.mm.graphlib`, with MMSCOPE_PURE=1: compiled functions have no frames for
sys.setprofile) it does all the scenarios of record/graph.c that it knows and writes their graphs as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from mmscope.kernel.fs.drop_caches import drop_pagecache
from mmscope.kernel.fs.fs_writeback import write_inode_now
from mmscope.kernel.fs.read_write import kernel_write
from mmscope.kernel.include.fs import O_CREAT, O_RDONLY, O_RDWR
from mmscope.kernel.include.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.mm.swap import PAGEVEC_SIZE
from mmscope.kernel.mm.truncate import invalidate_mapping_pages
from mmscope.syscalls import mm as sys_mm
from tests.kernel.mm.faultlib import U64, Box

PG = 4096
RW = PROT_READ | PROT_WRITE
KERNEL = "/mmscope/kernel/"


class Call:
    """A function call, and the calls in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[Call] = []


def recorded_graph(text: str) -> tuple[Call, set[str], set[str]]:
    """A recording's tree under a nameless root; the names in it; those of them that the compiler inlined."""
    root = Call("")
    names: set[str] = set()
    inlined: set[str] = set()
    path: list[tuple[int, Call]] = [(-1, root)]
    repeats: list[tuple[Call, int]] = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        while path[-1][0] >= depth:
            path.pop()
        parent = path[-1][1]
        word = line.strip()
        times = 1
        if match := re.fullmatch(r"(.*?)\s+x(\d+)", word):
            word, times = match[1], int(match[2])
        if match := re.fullmatch(r"\[repeat x(\d+)\]", line.strip()):
            # Its lines are the parent's; they are multiplied when the tree is complete.
            node = Call("[repeat]")
            repeats.append((node, int(match[1])))
            parent.calls.append(node)
        elif word.startswith("?"):
            # Who called it is not known: what it calls in turn counts as the parent's.
            node = parent
        else:
            # gcc's clones of a function with fewer parameters
            name = re.sub(r"\.(constprop|isra)\.\d+", "", word.lstrip("~"))
            names.add(name)
            if word.startswith("~"):
                inlined.add(name)
            node = Call(name)
            if times > 1:
                repeats.append((repeat := Call("[repeat]"), times))
                repeat.calls.append(node)
                parent.calls.append(repeat)
            else:
                parent.calls.append(node)
        path.append((depth, node))
    counts = {id(node): times for node, times in repeats}
    return expand(root, counts), names, inlined


def expand(call: Call, counts: dict[int, int]) -> Call:
    """The tree with [repeat xN] written out."""
    calls: list[Call] = []
    for sub in call.calls:
        expand(sub, counts)
        calls += sub.calls * counts[id(sub)] if sub.name == "[repeat]" else [sub]
    call.calls = calls
    return call


def reduced(call: Call, names: set[str], inlined: set[str]) -> list[Call]:
    """What is left of the tree with the given names only: others give way to what they call.

    Inlined functions were only seen through what they call: one without calls goes too, and neighbours of one name are one.
    """
    calls: list[Call] = []
    for sub in call.calls:
        for kept in reduced(sub, names, inlined):
            if kept.name in inlined and kept.name == call.name:
                # gcc splits a function in an inlined part and the rest.
                calls += kept.calls
            elif kept.name in inlined and calls and calls[-1].name == kept.name:
                calls[-1].calls += kept.calls
            else:
                calls.append(kept)
    if call.name not in names:
        return calls
    if call.name in inlined and not calls:
        return []
    result = Call(call.name)
    result.calls = calls
    return [result]


def lines(calls: list[Call], depth: int = 0) -> list[str]:
    """Preorder, indented."""
    text: list[str] = []
    for call in calls:
        text.append("  " * depth + call.name)
        text += lines(call.calls, depth + 1)
    return text


def subtrees(call: Call, name: str) -> list[Call]:
    """The calls of `name` in a tree, outermost ones."""
    if call.name == name:
        return [call]
    return [found for sub in call.calls for found in subtrees(sub, name)]


def all_names(call: Call) -> set[str]:
    """The names in a tree."""
    return {call.name}.union(*(all_names(sub) for sub in call.calls))


def cut(call: Call, leaves: set[str]) -> Call:
    """Take away what the leaves call."""
    if call.name in leaves:
        call.calls = []
    for sub in call.calls:
        cut(sub, leaves)
    return call


def squeezed(calls: list[Call]) -> list[Call]:
    """Without immediate repetitions of one, two or three neighbours: how many pages a mapping has does not count then."""
    result: list[Call] = []
    texts: list[list[str]] = []
    for call in calls:
        copy = Call(call.name)
        copy.calls = squeezed(call.calls)
        result.append(copy)
        texts.append(lines([copy]))
        for n in (1, 2, 3):
            if len(texts) >= 2 * n and texts[-n:] == texts[-2 * n : -n]:
                del result[-n:], texts[-n:]
    return result


class Profiler:
    """Records the calls of kernel/ functions."""

    def __init__(self) -> None:
        self.root = Call("")
        self.stack = [self.root]

    def event(self, frame: FrameType, event: str, arg: object) -> None:
        if event not in ("call", "return") or KERNEL not in frame.f_code.co_filename:
            return
        if event == "call":
            call = Call(frame.f_code.co_name)
            self.stack[-1].calls.append(call)
            self.stack.append(call)
        elif len(self.stack) > 1:
            self.stack.pop()

    def run(self, what: Callable[[], object]) -> Call:
        """The tree of one run."""
        self.root = Call("")
        self.stack = [self.root]
        sys.setprofile(self.event)
        try:
            what()
        finally:
            sys.setprofile(None)
        return self.root


class Scenarios:
    """What record/graph.c does, in its order."""

    def __init__(self, directory: Path) -> None:
        (directory / "data").write_bytes(b"\1" * 64 * PG)
        (directory / "more").write_bytes(b"\1" * 64 * PG)
        (directory / "cold").write_bytes(b"\2" * 256 * PG)
        self.directory = directory
        self.box = Box(root=str(directory))
        self.box.k.config.CONFIG_DEBUG_VM = False
        self.graphs: dict[str, Call] = {}

    def record(self, name: str, what: Callable[[], object]) -> None:
        self.graphs[name] = Profiler().run(what)

    def write(self, name: str, addr: int) -> None:
        self.record(name, lambda: self.box.store(addr, 1))

    def read(self, name: str, addr: int) -> None:
        self.record(name, lambda: self.box.load(addr))

    def syscall(self, name: str, function: Callable[..., int], *args: int) -> int:
        regs = PtRegs()
        regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9 = (*args, *[0] * (6 - len(args)))
        results: list[int] = []
        self.record(name, lambda: results.append(function(self.box.k, regs)))
        return results[0]

    def run(self) -> None:
        box = self.box
        fd = box.open("/data", O_RDONLY)
        anon = MAP_PRIVATE | MAP_ANONYMOUS
        no_fd = 0xFFFFFFFFFFFFFFFF
        # The recorded program has writable memory at its bottom, a heap, and a page table for the top of the mmap area.
        box.mmap(PG, addr=0x4A7000)
        sys_mm.brk(box.k, regs_of(sys_mm.brk(box.k, regs_of(0)) + PG))
        box.load(box.mm.vdso)
        a = box.mmap(64 * PG)
        self.write("a_anon_write_first", a)
        self.write("a_anon_write_second", a + PG)
        c = box.mmap(4 * PG, addr=0x200000000000)
        self.write("a_anon_write_newpgtables", c)
        self.read("b_anon_read_zeropage", a + 4 * PG)
        self.write("b_anon_read_then_write", a + 4 * PG)
        c = box.mmap(8 * PG, flags=MAP_SHARED | MAP_ANONYMOUS)
        self.later()
        self.write("c_anon_shared_write", c)
        self.read("c_anon_shared_read", c + PG)
        self.write("c_anon_shared_read_then_write", c + PG)
        c = box.mmap(64 * PG, PROT_READ, MAP_PRIVATE, fd)
        box.load(c)
        for i in range(64):
            box.load(c + i * PG)  # all cached, no marker left
        box.mmap(64 * PG, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, addr=c)
        box.load(c)
        self.read("d_file_private_read_warm", c + 40 * PG)
        self.read("d_file_private_read_faultaround_hit", c + 41 * PG)
        c = box.mmap(64 * PG, RW, MAP_PRIVATE, fd)
        self.write("e_file_private_write_cow", c + 3 * PG)
        self.files()
        self.fork(fd, anon)
        self.mappings(fd, anon, no_fd)

    def files(self) -> None:
        """Files of ext4 and of tmpfs, in a machine of their own."""
        box, self.box = self.box, Box(root=str(self.directory))
        self.box.k.config.CONFIG_DEBUG_VM = False
        self.box.load(self.box.mm.vdso)
        self.private_files()
        self.shared_files()
        self.tmpfs_files()
        self.box = box

    def warm(self, fd: int) -> None:
        """Read the whole file."""
        file = self.box.file(fd)
        assert file.f_op.read is not None
        file.f_op.read(file, file.f_inode.i_size, 0)
        write_inode_now(file.f_inode, True)  # its new atime

    def fsync(self, fd: int) -> None:
        """Write the file back: its shared entries become clean and read-only."""
        file = self.box.file(fd)
        assert file.f_op.fsync is not None
        file.f_op.fsync(file, 0, U64 >> 1, False)

    def later(self) -> None:
        """The next write changes the file's times."""
        self.box.k.timekeeper.advance(1_000_000_000)

    def private_files(self) -> None:
        box = self.box
        data, cold = box.open("/data"), box.open("/cold", O_RDONLY)
        c = 0
        for name in "d_file_private_read_cold", "d_file_private_read_cold_extents":
            # The second time as on a file system of the other kind: here there is only one.
            box.drain()
            if c:
                sys_mm.munmap(box.k, regs_of(c, 64 * PG))
            invalidate_mapping_pages(box.file(cold).f_mapping, 0, U64)
            assert box.file(cold).f_mapping.nrpages == 0
            c = box.mmap(64 * PG, PROT_READ, MAP_PRIVATE, cold)
            self.read(name, c)
        c = box.mmap(64 * PG, PROT_READ, MAP_PRIVATE, cold, addr=0x10000000)
        box.load(c + 16 * PG)
        self.read("d_file_private_read_marker", c + 24 * PG)
        self.warm(data)
        c = box.mmap(64 * PG, RW, MAP_PRIVATE, data)
        box.store(c + 3 * PG, 1)
        self.read("f_file_private_read", c + 20 * PG)
        self.write("f_file_private_read_then_write", c + 20 * PG)

    def shared_files(self) -> None:
        box = self.box
        # Twice: with a journal and without. The inode and its pages are clean, its times are old.
        for name, path in ("g_file_shared_write_ext4", "/data"), ("g_file_shared_write_ext4_journal", "/more"):
            data = box.open(path)
            self.warm(data)
            c = box.mmap(64 * PG, RW, MAP_SHARED, data)
            self.later()
            self.write(name, c + 2 * PG)
        self.read("h_file_shared_read_ext4", c + 34 * PG)
        self.later()
        self.write("h_file_shared_read_then_write_ext4", c + 34 * PG)
        self.fsync(data)
        self.later()
        self.write("h_file_shared_write_after_fsync_ext4", c + 34 * PG)

    def tmpfs_file(self, name: str) -> int:
        """A file of 64 pages, all of them there."""
        fd = self.box.open(f"/dev/shm/{name}", O_RDWR | O_CREAT)
        file = self.box.file(fd)
        assert kernel_write(file, b"\1" * 64 * PG, 0) == 64 * PG
        return fd

    def tmpfs_files(self) -> None:
        box = self.box
        fd = self.tmpfs_file("file")
        drop_pagecache(box.k)
        box.drain()
        c = box.mmap(64 * PG, RW, MAP_SHARED, fd)
        self.later()
        self.write("g_file_shared_write_tmpfs", c + 2 * PG)
        self.read("h_file_shared_read_tmpfs", c + 34 * PG)
        self.write("h_file_shared_read_then_write_tmpfs", c + 34 * PG)
        c = box.mmap(64 * PG, RW, MAP_SHARED, self.tmpfs_file("other"))
        self.read("h_file_shared_read_around_tmpfs", c + 34 * PG)

    def fork(self, fd: int, anon: int) -> None:
        """The process has the VMAs that the recorded program had then, each with pages where it had some."""
        with_pages = Box(root=str(self.directory))
        box, self.box = self.box, with_pages
        self.fork_in(with_pages)
        self.box = box

    def fork_in(self, box: Box) -> None:
        box.k.config.CONFIG_DEBUG_VM = False
        fd = box.open("/data", O_RDONLY)
        private, shared = MAP_PRIVATE, MAP_SHARED
        headers, text, constants = 0x400000, 0x401000, 0x47B000
        for addr, pages in (headers, 1), (text, 64), (constants, 40):
            box.mmap(pages * PG, PROT_READ, private, fd, addr=addr)
        for i in range(64):
            box.load(text + i * PG)  # all cached
        relro = box.mmap(4 * PG, RW, private, fd, 8 * PG, addr=0x4A3000)
        for i in range(4):
            box.store(relro + i * PG, 1)
        data = box.mmap(3 * PG, RW, private, fd, 20 * PG, addr=0x4A8000)
        for i in range(3):
            box.store(data + i * PG, 1)
        heap = box.mmap(0x128 * PG, addr=0x4AB000)
        for i in range(261):
            box.store(heap + i * PG, 1)
        box.store(box.mmap(4 * PG, addr=0x200000000000), 1)
        top = box.mm.mmap_base - 512 * PG
        for i in range(3):
            box.store(box.mmap(64 * PG, addr=top) + i * PG, 1)
        box.load(box.mmap(64 * PG, PROT_READ, shared, fd, addr=top + 65 * PG))
        box.load(box.mmap(64 * PG, PROT_READ, shared, fd, 4 * PG, addr=top + 129 * PG))
        copied = box.mmap(64 * PG, RW, private, fd, addr=top + 200 * PG)
        box.store(copied + 3 * PG, 1)
        box.load(copied + 40 * PG)
        box.load(box.mmap(64 * PG, PROT_READ, private, fd, addr=top + 264 * PG))
        box.load(box.mmap(8 * PG, RW, shared | MAP_ANONYMOUS, addr=top + 330 * PG))
        a = box.mmap(4 * PG, addr=top + 340 * PG)
        for i in range(3):
            box.store(a + i * PG, 1)
        stack = box.mm.start_stack
        box.store(stack, 1)
        box.store(stack - PG, 1)
        children: list[Box] = []
        self.record("i_fork", lambda: children.append(box.fork()))
        child = children[0]
        child.switch()
        child.load(text)
        child.load(constants)
        child.store(heap, 1)
        while len(box.k.lru.lru_add) != PAGEVEC_SIZE - 1:
            child.store(heap + (270 + len(box.k.lru.lru_add)) * PG, 1)
        self.record("i_child_write_cow", lambda: child.store(a, 1))
        box.switch()
        box.store(data, 1)
        self.record("i_parent_write_after_child_cow_reuse", lambda: box.store(a, 1))
        self.record("i_parent_write_cow_copy", lambda: box.store(a + PG, 1))
        child.switch()
        self.record("i_child_exit_mmap", child.exit)
        box.switch()

    def mappings(self, fd: int, anon: int, no_fd: int) -> None:
        box = self.box
        mmap = sys_mm.mmap
        sys_mm.munmap(box.k, regs_of(box.mmap(PG), PG))
        self.syscall("j_mmap_anon_nomerge", mmap, 0, 4 * PG, PROT_READ, anon, no_fd)
        self.syscall("j_mmap_anon_merge", mmap, 0, 4 * PG, PROT_READ, anon, no_fd)
        self.syscall("j_mmap_file_private", mmap, 0, 4 * PG, PROT_READ, MAP_PRIVATE, fd)
        self.syscall("j_mmap_file_shared", mmap, 0, 4 * PG, RW, MAP_SHARED, self.box.open("/data"))
        self.syscall("j_mmap_anon_shared", mmap, 0, 4 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, no_fd)
        a = box.mmap(16 * PG, flags=anon | MAP_NORESERVE)
        for i in range(16):
            box.store(a + i * PG, 1)
        self.syscall("j_mmap_fixed_over", mmap, a + 14 * PG, PG, PROT_READ, anon | MAP_FIXED, no_fd)
        self.syscall("j_munmap_split", sys_mm.munmap, a + 4 * PG, 2 * PG)
        sys_mm.munmap(box.k, regs_of(a, PG))
        self.syscall("j_munmap_whole", sys_mm.munmap, a + 6 * PG, 8 * PG)
        self.syscall("l_mprotect_split", sys_mm.mprotect, a + 2 * PG, PG, PROT_READ)
        self.syscall("l_mprotect_merge_back", sys_mm.mprotect, a + 2 * PG, PG, RW)
        start = sys_mm.brk(box.k, regs_of(0))
        sys_mm.brk(box.k, regs_of(start + PG))
        box.store(start, 1)
        start += PG
        self.syscall("l_brk_grow", sys_mm.brk, start + 4 * PG)
        self.syscall("l_brk_shrink", sys_mm.brk, start)
        self.syscall("k_mmap_populate", mmap, 0, 4 * PG, RW, anon | MAP_POPULATE, no_fd)
        self.moves(fd)

    def moves(self, fd: int) -> None:
        box = self.box
        a = box.mmap(16 * PG, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
        for i in range(16):
            box.store(a + i * PG, 1)
        sys_mm.munmap(box.k, regs_of(a, PG))
        self.syscall("l_mremap_grow_move", sys_mm.mremap, a + PG, 3 * PG, 8 * PG, MREMAP_MAYMOVE)
        mmap = sys_mm.mmap
        self.syscall("k_mmap_populate_file", mmap, 0, 4 * PG, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd)
        self.syscall("k_mmap_populate_file_private_writable", mmap, 0, 4 * PG, RW, MAP_PRIVATE | MAP_POPULATE, fd)
        sp = box.mm.start_stack
        while len(box.k.lru.lru_add) != PAGEVEC_SIZE - 1:
            box.store(box.mmap(PG), 1)
        self.write("m_stack_growth", sp - 40 * PG)


def regs_of(*args: int) -> PtRegs:
    """Registers with a system call's arguments."""
    regs = PtRegs()
    regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9 = (*args, *[0] * (6 - len(args)))
    return regs


def to_json(call: Call) -> list[object]:
    return [call.name, [to_json(sub) for sub in call.calls]]


def from_json(data: object) -> Call:
    """The inverse of to_json()."""
    assert isinstance(data, list)
    name, calls = data
    assert isinstance(name, str)
    call = Call(name)
    call.calls = [from_json(sub) for sub in calls]
    return call


def main() -> None:
    """All graphs of the model, on stdout."""
    with tempfile.TemporaryDirectory() as directory:
        scenarios = Scenarios(Path(directory))
        scenarios.run()
    sys.setrecursionlimit(10000)
    print(json.dumps({name: to_json(call) for name, call in scenarios.graphs.items()}))


if __name__ == "__main__":
    main()
