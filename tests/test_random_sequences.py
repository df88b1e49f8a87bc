# SPDX-License-Identifier: GPL-2.0-or-later
"""200 random operations on one process: after each, every cached number equals what is recomputed from the structures."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.errors import BusError, SegmentationFault
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mm import VM_GROWSDOWN
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmRb
from mmscope.kernel.lib.rbtree import RB_BLACK, RbNode
from mmscope.kernel.mm.page_alloc import nr_free_pages
from mmscope.machine import Machine, Process

PAGE = 4096
GUARD_GAP = 256 * PAGE
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_POPULATE = 1, 2, 0x10, 0x20, 0x8000

#: A few pages in which everything meets everything, below which there is room for what has no fixed place.
WINDOW = 0x20000000
SPAN = 24

where = st.integers(0, SPAN - 1)
length = st.integers(1, 9)
prot = st.sampled_from([0, 1, 3, 3, 3, 5, 7])
operation = st.one_of(
    st.tuples(st.just("anon"), where, length, prot, st.booleans()),
    st.tuples(st.just("file"), where, length, prot, st.booleans()),
    st.tuples(st.just("shared"), where, length, prot, st.booleans()),
    st.tuples(st.just("anywhere"), where, length, prot, st.booleans()),
    st.tuples(st.just("munmap"), where, length, prot, st.booleans()),
    st.tuples(st.just("mprotect"), where, length, prot, st.booleans()),
    st.tuples(st.just("mremap"), where, length, prot, st.booleans()),
    st.tuples(st.just("dontneed"), where, length, prot, st.booleans()),
    st.tuples(st.just("brk"), where, length, prot, st.booleans()),
    st.tuples(st.just("touch"), where, length, prot, st.booleans()),
    st.tuples(st.just("touch"), where, length, prot, st.booleans()),
    st.tuples(st.just("stack"), where, length, prot, st.booleans()),
)
Operation = tuple[str, int, int, int, bool]


class World:
    """One process with a file open, and what the test knows of it from outside."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.process: Process = machine.process()
        self.fd = self.process.open("/data")
        self.brk0 = self.process.brk()
        self.stack = self.process.mm.start_stack & -PAGE

    def do(self, op: Operation) -> None:
        """Perform it; a refusal or a signal is as good an outcome as any."""
        p = self.process
        name, page, pages, prot, flag = op
        addr, size = WINDOW + page * PAGE, pages * PAGE
        extra = MAP_POPULATE if flag else 0
        try:
            if name == "anon":
                p.mmap(addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | extra)
            elif name == "file":
                p.mmap(addr, size, prot, MAP_PRIVATE | MAP_FIXED | extra, self.fd, (page % 4) * PAGE)
            elif name == "shared":
                p.mmap(addr, size, prot, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | extra)
            elif name == "anywhere":
                p.mmap(0, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | extra)
            elif name == "munmap":
                p.munmap(addr, size)
            elif name == "mprotect":
                p.mprotect(addr, size, prot)
            elif name == "mremap":
                p.mremap(addr, size, size + (prot - 3) * PAGE, 1 if flag else 0)
            elif name == "dontneed":
                p.madvise(addr, size, 4)
            elif name == "brk":
                p.brk(self.brk0 + page * PAGE // 2)
            elif name == "stack":
                p.store(self.stack - page * 8 * PAGE, b"grown")
            elif flag:
                p.store(addr + 7, bytes(range(pages)) * 700)
            else:
                p.load(addr + 7, size)
        except (KernelError, SegmentationFault, BusError):
            pass

    def check(self) -> None:
        """Everything, from scratch."""
        mm = self.process.mm
        vmas = on_list(mm)
        assert [node.vma for node in in_order(mm.mm_rb.rb_node)] == vmas
        assert len(vmas) == mm.map_count
        assert mm.highest_vm_end == vmas[-1].vm_end
        assert mm.total_vm == sum(vma.vm_end - vma.vm_start for vma in vmas) // PAGE
        check_tree(mm.mm_rb.rb_node)
        tables, mapped = walk_tables(self.machine, mm)
        assert mm.pgtables_bytes == tables * PAGE
        task = self.process.task
        resident = [mm.rss_stat[i] + task.rss_stat[i] for i in range(4)]
        assert sum(resident) == len([pfn for pfn, special in mapped if not special])
        for pfn, special in mapped:
            if not special:
                page = self.machine.kernel.mem_map[pfn]
                assert page._mapcount + 1 == sum(1 for other, _ in mapped if other == pfn)


def on_list(mm: MmStruct) -> list[VmAreaStruct]:
    """mm.mmap and its successors, checked for order and back links."""
    found: list[VmAreaStruct] = []
    vma = mm.mmap
    while vma is not None:
        assert vma.vm_start < vma.vm_end
        assert vma.vm_prev is (found[-1] if found else None)
        assert not found or found[-1].vm_end <= vma.vm_start
        found.append(vma)
        vma = vma.vm_next
    return found


def in_order(node: RbNode | None) -> list[VmRb]:
    """The tree's nodes from left to right."""
    if node is None:
        return []
    assert isinstance(node, VmRb)
    return [*in_order(node.rb_left), node, *in_order(node.rb_right)]


def gap_below(vma: VmAreaStruct) -> int:
    """Free bytes between a VMA, with the guard gap of a stack, and its predecessor."""
    start = vma.vm_start
    if vma.vm_flags & VM_GROWSDOWN:
        start = max(start - GUARD_GAP, 0)
    previous = vma.vm_prev.vm_end if vma.vm_prev is not None else 0
    return max(start - previous, 0)


def check_tree(node: RbNode | None) -> tuple[int, int]:
    """Red-black rules and gaps of a subtree: (black height, largest gap)."""
    if node is None:
        return 1, 0
    assert isinstance(node, VmRb)
    heights, gaps = zip(check_tree(node.rb_left), check_tree(node.rb_right), strict=True)
    assert heights[0] == heights[1]
    for child in (node.rb_left, node.rb_right):
        if child is not None:
            assert child.rb_parent is node
            assert node.rb_color == RB_BLACK or child.rb_color == RB_BLACK
    gap = max(gap_below(node.vma), *gaps)
    assert node.vma.rb_subtree_gap == gap
    return heights[0] + (node.rb_color == RB_BLACK), gap


def walk_tables(machine: Machine, mm: MmStruct) -> tuple[int, list[tuple[int, bool]]]:
    """Number of tables below the PGD, and (pfn, special) of each entry that maps a page, read from RAM."""
    words = machine.kernel.words
    tables = 0
    mapped: list[tuple[int, bool]] = []
    level = [mm.pgd]
    for depth in range(4):
        below = []
        for table in level:
            for i in range(512):
                entry = words[(table >> 3) + i]
                if entry == 0:
                    continue
                if depth < 3:
                    below.append(entry & 0x000FFFFFFFFFF000)
                elif entry & 0x101:  # present, or PROT_NONE
                    # An entry that is not present keeps its frame's number inverted (against L1TF).
                    pfn = (entry ^ (0 if entry & 1 else -1)) >> 12 & 0xFFFFFFFFFF
                    mapped.append((pfn, entry & 0x200 != 0))
        tables += len(below)
        level = below
    return tables, mapped


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "data").write_bytes(bytes(i * 7 % 251 for i in range(5 * PAGE + 123)))
    return folder


def run(root: Path, operations: list[Operation]) -> None:
    with Machine(ram="32M", root=str(root), debug_vm=True) as machine:
        # A first process leaves in the page cache, and in the kernel's own tables, what stays.
        World(machine).process.exit()
        before = nr_free_pages(machine.kernel) + cached(machine)
        world = World(machine)
        for op in operations:
            world.do(op)
            world.check()
        world.process.exit()
        assert nr_free_pages(machine.kernel) + cached(machine) == before


def cached(machine: Machine) -> int:
    """Pages that the page cache holds for the file."""
    process = machine.process()
    file = process.task.files
    assert file is not None
    pages = file.fd[process.open("/data")].f_mapping.nrpages
    process.exit()
    return pages


@settings(max_examples=8)
@given(st.lists(operation, min_size=200, max_size=200))
def test_two_hundred_operations(root: Path, operations: list[Operation]) -> None:
    run(root, operations)


@pytest.mark.long
@settings(max_examples=150)
@given(st.lists(operation, min_size=200, max_size=200))
def test_two_hundred_operations_many_times(root: Path, operations: list[Operation]) -> None:
    run(root, operations)
