# SPDX-License-Identifier: GPL-2.0-or-later
"""dup_mm: what a child's address space gets, what it does not, and that a fork which fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmscope.errors import SegmentationFault
from mmscope.kernel.core.fork_mm import dup_mm
from mmscope.kernel.core.signal import force_sig
from mmscope.kernel.include.errno import EINTR, ENOMEM, KernelError
from mmscope.kernel.include.gfp import GFP_HIGHUSER
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
from mmscope.kernel.include.mman import MADV_DONTFORK, MADV_WIPEONFORK, OVERCOMMIT_NEVER
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.lib.rbtree import RB_BLACK, RbNode
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.mmap import find_vma
from mmscope.kernel.mm.page_alloc import alloc_page, nr_free_pages, put_page
from mmscope.kernel.mm.vmstat import PGALLOC
from mmscope.machine import Machine, Process

PAGE = 4096
AT = 0x20000000
ANON, SHARED_ANON, PRIVATE, SHARED, FIXED = 0x22, 0x21, 0x02, 0x01, 0x10
NR_MLOCK, NR_MLOCKALL, MCL_FUTURE = 149, 151, 2


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "data").write_bytes(bytes(range(1, 9)) * 2048)
    with Machine(ram="32M", root=str(tmp_path), debug_vm=True, uid=0) as machine:
        yield machine
        validate_vm(machine.kernel)


def vmas(mm: MmStruct) -> list[VmAreaStruct]:
    """The list."""
    found: list[VmAreaStruct] = []
    vma = mm.mmap
    while vma is not None:
        found.append(vma)
        vma = vma.vm_next
    return found


def vma_at(p: Process, addr: int) -> VmAreaStruct:
    """The VMA of `addr`."""
    vma = find_vma(p.mm, addr)
    assert vma is not None
    assert vma.vm_start <= addr
    return vma


def test_the_child_has_the_same_mappings_and_fields(machine: Machine) -> None:
    p = machine.process()
    fd = p.open("/data")
    p.mmap(AT, 4 * PAGE, 3, ANON | FIXED)
    p.mmap(AT + 8 * PAGE, 4 * PAGE, 1, SHARED | FIXED, fd)
    p.brk(p.brk() + 3 * PAGE)
    p.store(AT, b"x")
    child = p.fork()
    assert child.maps() == p.maps()
    for ours, theirs in zip(vmas(p.mm), vmas(child.mm), strict=True):
        for field in ("vm_start", "vm_end", "vm_pgoff", "vm_flags", "vm_page_prot", "vm_file", "vm_ops", "vm_private_data"):
            assert getattr(ours, field) == getattr(theirs, field), (ours, field)
        assert theirs.vm_mm is child.mm
    for field in (
        "map_count", "total_vm", "data_vm", "exec_vm", "stack_vm", "mmap_base", "highest_vm_end", "task_size", "brk", "start_brk",
        "start_stack", "arg_start", "env_end", "saved_auxv", "vdso", "get_unmapped_area",
    ):  # fmt: skip
        assert getattr(child.mm, field) == getattr(p.mm, field), field
    assert (child.mm.mm_users, child.mm.mm_count, child.mm.vmacache_seqnum) == (1, 1, 0)
    assert child.mm.hiwater_vm == child.mm.total_vm
    assert child.mm.hiwater_rss == sum(child.mm.rss_stat)


def spine(node: RbNode | None) -> list[bool]:
    """Colours (True = black) from the root to the right."""
    colours: list[bool] = []
    while node is not None:
        colours.append(node.rb_color == RB_BLACK)
        node = node.rb_right
    return colours


def test_the_child_s_tree_was_built_from_left_to_right(machine: Machine) -> None:
    """20 mappings that the parent made in another order: its tree has another shape."""
    p = machine.process()
    for i in (0, 7, 2, 14, 12, 6, 17, 10, 4, 3, 1, 13, 5, 16, 8, 15, 9, 11):
        p.mmap(AT + i * 2 * PAGE, PAGE, 3, ANON | FIXED)
    child = p.fork()
    # Of a tree built by appending only the rightmost path holds red nodes besides the last leaves.
    assert len(spine(child.mm.mm_rb.rb_node)) > len(spine(p.mm.mm_rb.rb_node))


def test_dontfork_and_wipeonfork(machine: Machine) -> None:
    p = machine.process()
    p.mmap(AT, 6 * PAGE, 3, ANON | FIXED)
    for i in range(6):
        p.store(AT + i * PAGE, bytes([i + 1]))
    p.madvise(AT + PAGE, PAGE, MADV_DONTFORK)
    p.madvise(AT + 3 * PAGE, PAGE, MADV_WIPEONFORK)
    child = p.fork()
    assert (p.mm.total_vm - child.mm.total_vm, p.mm.data_vm - child.mm.data_vm) == (1, 1)
    assert p.mm.map_count - child.mm.map_count == 1
    wiped = vma_at(child, AT + 3 * PAGE)
    assert (wiped.anon_vma, wiped.anon_vma_chain) == (None, [])
    assert [child.load(AT + i * PAGE)[0] for i in (0, 2, 3, 4, 5)] == [1, 3, 0, 5, 6]
    with pytest.raises(SegmentationFault):
        child.load(AT + PAGE)
    # It is inherited, the child's own child is wiped again.
    child.store(AT + 3 * PAGE, b"x")
    assert child.fork().load(AT + 3 * PAGE) == b"\0"
    assert p.load(AT + PAGE) == b"\x02"


def test_locks_are_not_inherited(machine: Machine) -> None:
    p = machine.process()
    p.mmap(AT, 4 * PAGE, 3, ANON | FIXED)
    p.syscall(NR_MLOCK, AT, 2 * PAGE)
    p.syscall(NR_MLOCKALL, MCL_FUTURE)
    child = p.fork()
    assert (p.mm.locked_vm, child.mm.locked_vm, child.mm.def_flags) == (2, 0, 0)
    assert p.mm.def_flags == VM_LOCKED
    assert not vma_at(child, AT).vm_flags & VM_LOCKED
    child.mmap(AT + 8 * PAGE, PAGE, 3, ANON | FIXED)
    assert child.mm.locked_vm == 0


def test_what_is_copied_and_what_is_left_to_faults(machine: Machine) -> None:
    """vma_needs_copy(): only mappings that have an anon_vma."""
    p = machine.process()
    fd = p.open("/data")
    shared, read, mixed = AT, AT + 0x10000, AT + 0x20000
    p.mmap(shared, 4 * PAGE, 3, SHARED_ANON | FIXED)
    p.mmap(read, 4 * PAGE, 3, PRIVATE | FIXED, fd)
    p.mmap(mixed, 4 * PAGE, 3, PRIVATE | FIXED, fd)
    p.store(shared, b"s")
    p.load(read)
    p.load(mixed)
    p.store(mixed + PAGE, b"m")
    child = p.fork()
    assert [child.translate(addr) is not None for addr in (shared, read, mixed, mixed + PAGE)] == [False, False, True, True]
    # Of `mixed` four pages of the file were mapped around, and one was copied then; the other anonymous page is the stack's.
    assert child.mm.rss_stat == [3, 2, 0, 0]
    assert [child.load(addr) for addr in (shared, read, mixed + PAGE)] == [b"s", b"\x01", b"m"]
    child.store(shared, b"c")
    assert p.load(shared) == b"c"


def test_entries_of_the_child_are_old_and_neither_can_be_written(machine: Machine) -> None:
    p = machine.process()
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    assert p.walk(AT)[-1].entry & 0x867 == 0x867
    child = p.fork()
    assert p.walk(AT)[-1].entry & 0xFFF == 0x865
    # A is clear, D stays: the page must not be taken for clean.
    assert child.walk(AT)[-1].entry & 0xFFF == 0x845
    assert p.translate(AT) == child.translate(AT)


def test_files_are_shared_behind_the_parent_s_mapping(machine: Machine) -> None:
    p = machine.process()
    fd = p.open("/data")
    p.mmap(AT, 2 * PAGE, 1, SHARED | FIXED, fd)
    file = vma_at(p, AT).vm_file
    assert file is not None
    references = file.f_count
    child = p.fork()
    assert vma_at(child, AT).vm_file is file
    # One of the mapping, one of the descriptor.
    assert file.f_count == references + 2
    child.exit()
    assert file.f_count == references


def exhaust(machine: Machine, left: int) -> list[Page]:
    """Take all free frames but `left`."""
    k = machine.kernel
    pages: list[Page] = []
    while True:
        page = alloc_page(k, GFP_HIGHUSER)
        if page is None:
            break
        pages.append(page)
    for _ in range(left):
        put_page(pages.pop())
    return pages


def give_back(pages: list[Page]) -> None:
    """Free them."""
    for page in pages:
        put_page(page)


def family_of_mappings(machine: Machine) -> Process:
    """A process with mappings of all kinds."""
    p = machine.process()
    fd = p.open("/data")
    for base in (AT, 0x200000000000):
        p.mmap(base, 4 * PAGE, 3, ANON | FIXED)
        p.store(base, bytes(3 * PAGE))
        p.mmap(base + 0x10000, 4 * PAGE, 3, PRIVATE | FIXED, fd)
        p.store(base + 0x10000, b"x")
        p.mmap(base + 0x20000, 4 * PAGE, 3, SHARED_ANON | FIXED)
        p.store(base + 0x20000, b"x")
    return p


def test_a_fork_that_runs_out_of_memory_leaves_nothing_behind(machine: Machine) -> None:
    """The tables are made one by one: at each of them memory may end, for a victim of the OOM killer. Others never see that."""
    k = machine.kernel
    p = family_of_mappings(machine)
    p.task.signal.oom_mm = p.task.mm
    give_back(exhaust(machine, 0))  # what could be reclaimed is free now
    before = (nr_free_pages(k) + len(k.zone.pcp), k.vm_committed_as, list(k.tasks), p.maps())
    failures = 0
    for left in range(40):
        stolen = exhaust(machine, left)
        child: Process | None = None
        with suppress(KernelError):
            child = p.fork()
            child.exit()
        give_back(stolen)
        validate_vm(k)
        if child is not None:
            break
        failures += 1
        assert (nr_free_pages(k) + len(k.zone.pcp), k.vm_committed_as, list(k.tasks), p.maps()) == before
    # PGD, three tables for each of the two regions, three for the stack and the mappings near it.
    assert failures >= 9
    p.store(AT, b"alive")
    assert p.load(AT, 5) == b"alive"


def test_a_fork_that_may_not_commit_more_leaves_nothing_behind(machine: Machine) -> None:
    k = machine.kernel
    p = family_of_mappings(machine)
    p.mmap(AT + 0x100000, 1024 * PAGE, 3, ANON | FIXED)
    p.mmap(AT + 0x1000000, 600 * PAGE, 3, ANON | FIXED)
    k.config.sysctl_overcommit_memory = OVERCOMMIT_NEVER
    # Enough for the mappings up to the first large one, not for the second.
    k.config.sysctl_overcommit_kbytes = (k.vm_committed_as + 1200) * 4
    k.config.sysctl_user_reserve_kbytes = 0
    before = (nr_free_pages(k) + len(k.zone.pcp), k.vm_committed_as, list(k.tasks), k.vmstat.event[PGALLOC])
    with pytest.raises(KernelError) as refused:
        p.fork()
    assert refused.value.errno == ENOMEM
    assert (nr_free_pages(k) + len(k.zone.pcp), k.vm_committed_as, list(k.tasks)) == before[:3]
    assert k.vmstat.event[PGALLOC] > before[3]
    validate_vm(k)
    k.config.sysctl_overcommit_kbytes *= 2
    committed = k.vm_committed_as
    child = p.fork()
    assert k.vm_committed_as > committed + 1624
    child.exit()
    assert k.vm_committed_as == committed


def test_a_parent_that_was_killed_does_not_go_on_copying(machine: Machine) -> None:
    p = family_of_mappings(machine)
    p.resume()
    force_sig(machine.kernel, SIGKILL)
    with pytest.raises(KernelError) as stopped:
        dup_mm(TaskStruct(machine.kernel, 9999, "child"), p.mm)
    assert stopped.value.errno == EINTR


@pytest.mark.parametrize("parent_first", [True, False])
def test_either_side_may_exit_first(machine: Machine, parent_first: bool) -> None:
    p = family_of_mappings(machine)
    child = p.fork()
    child.store(AT, b"child")
    first, second = (p, child) if parent_first else (child, p)
    first.exit()
    validate_vm(machine.kernel)
    assert second.load(AT, 5) == (b"child" if second is child else bytes(5))
    second.store(AT, b"again")
    second.exit()


def test_the_parent_s_translations_are_flushed(machine: Machine) -> None:
    """A store after fork() through a stale TLB entry would be seen by the child."""
    p = machine.process()
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"1")
    child = p.fork()
    p.store(AT, b"2")
    assert child.load(AT) == b"1"


def test_a_new_exec_image_s_children_know_their_program(machine: Machine) -> None:
    p = machine.process()
    fd = p.open("/data")
    assert p.task.files is not None
    p.mm.exe_file = p.task.files.fd[fd]
    p.mm.exe_file.f_count += 1
    child = p.fork()
    assert child.mm.exe_file is p.mm.exe_file
