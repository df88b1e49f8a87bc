# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python API, and the deck's facts seen through it (S7, S17, S18, S19; Shows 3, 4 and 9 of the first issue)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmscope import BusError, Machine, MmscopeError, Process, SegmentationFault, UsageError
from mmscope.kernel.include.mm_types import VmAreaStruct
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE
from mmscope.machine import parse_size

RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS

PRESENT, RW_BIT, USER, ACCESSED, DIRTY, SPECIAL, NX = 1, 2, 4, 0x20, 0x40, 0x200, 1 << 63


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(ram="64M", root=None, debug_vm=True) as m:
        yield m


@pytest.fixture
def process(machine: Machine) -> Process:
    return machine.process()


def vmas(p: Process) -> list[VmAreaStruct]:
    found = []
    vma = p.mm.mmap
    while vma is not None:
        found.append(vma)
        vma = vma.vm_next
    return found


def pte(p: Process, addr: int) -> int:
    levels = p.walk(addr)
    return levels[3].entry if len(levels) == 4 else 0


# --- the deck


def test_one_page_lands_below_the_vvar(process: Process) -> None:
    assert process.mmap(0, 4096, RW, ANON) == 0x7FFFF7FF9000


def test_gaps_of_the_decks_process(process: Process) -> None:
    """S6, S7: the static program's VMAs, and the two gaps that the deck computes."""
    for start, end, prot in (
        (0x400000, 0x401000, PROT_READ),
        (0x401000, 0x496000, PROT_READ | 4),
        (0x496000, 0x4BE000, PROT_READ),
        (0x4BE000, 0x4C4000, RW),
        (0x4C5000, 0x4E8000, RW),
    ):
        assert process.mmap(start, end - start, prot, ANON | MAP_FIXED) == start
    *_, heap, vvar, vdso, stack = vmas(process)
    assert (heap.vm_end, vvar.vm_start, vdso.vm_end) == (0x4E8000, 0x7FFFF7FFA000, 0x7FFFF7FFF000)
    assert (stack.vm_start, stack.vm_end) == (0x7FFFFFFDE000, 0x7FFFFFFFF000)
    assert vvar.rb_subtree_gap == 0x7FFFF7B12000
    assert stack.vm_start - vdso.vm_end - process.mm.kernel.config.stack_guard_gap == 0x7EDF000
    assert stack.rb_subtree_gap == 0x7EDF000
    assert process.mm.highest_vm_end == 0x7FFFFFFFF000


def test_the_walk_of_the_decks_page(process: Process) -> None:
    """S17: the indices, and entries read from RAM."""
    addr = process.mmap(0, 4096, RW, ANON)
    process.store(addr, b"deck")
    levels = process.walk(addr)
    assert [(level.name, level.index) for level in levels] == [("PML4E", 255), ("PDPTE", 511), ("PDE", 447), ("PTE", 505)]
    ram = process.machine.kernel.mem
    table = process.mm.pgd
    for level in levels:
        assert level.paddr == table + 8 * level.index
        assert int.from_bytes(ram[level.paddr : level.paddr + 8], "little") == level.entry
        table = level.entry & 0x000FFFFFFFFFF000
    assert bytes(ram[table : table + 4]) == b"deck"
    assert process.translate(addr + 5) == table + 5
    process.store(0x7FFFFFFFE000, b"s")
    stack = process.walk(0x7FFFFFFFE000)
    assert [level.index for level in stack] == [255, 511, 511, 510]
    low = process.mmap(0x400000, 4096, RW, ANON | MAP_FIXED)
    process.store(low, b"t")
    assert [level.index for level in process.walk(low)] == [0, 0, 2, 0]


def test_write_first(process: Process) -> None:
    """S18: one fault, a frame of its own, writable and dirty at once."""
    addr = process.mmap(0, 4096, RW, ANON)
    before = process.task.min_flt
    process.store(addr, b"x")
    assert process.task.min_flt == before + 1
    assert pte(process, addr) & 0x3FF == PRESENT | RW_BIT | USER | ACCESSED | DIRTY
    assert pte(process, addr) & NX
    vma = vmas(process)[0]
    assert vma.anon_vma is not None
    frame = process.translate(addr)
    assert frame is not None
    page = process.machine.kernel.mem_map[frame >> 12]
    assert page.mapping is vma.anon_vma
    assert page.mapping_tag == 1
    assert page._mapcount == 0


def test_read_first_then_write(process: Process) -> None:
    """S19: the zero page, read-only and special; then do_wp_page gives a new frame."""
    k = process.machine.kernel
    addr = process.mmap(0, 2 * 4096, RW, ANON)
    before = process.task.min_flt
    assert process.load(addr, 4096) == bytes(4096)
    assert process.load(addr + 4096, 1) == b"\0"
    assert process.task.min_flt == before + 2
    assert process.translate(addr) == process.translate(addr + 4096) == k.zero_pfn << 12
    assert pte(process, addr) & 0x3FF == PRESENT | USER | ACCESSED | SPECIAL
    assert vmas(process)[0].anon_vma is None
    process.store(addr, b"new")
    assert process.task.min_flt == before + 3
    assert process.translate(addr) != k.zero_pfn << 12
    assert process.translate(addr + 4096) == k.zero_pfn << 12
    assert process.load(addr, 5) == b"new\0\0"
    assert pte(process, addr) & RW_BIT


# --- system calls


def test_failures_are_the_kernels_errno(process: Process) -> None:
    for call, number in (
        (lambda: process.mmap(0, 0, RW, ANON), errno.EINVAL),
        (lambda: process.mmap(0, 4096, RW, MAP_PRIVATE), errno.EBADF),
        (lambda: process.mmap(0, 1 << 47, RW, ANON), errno.ENOMEM),
        (lambda: process.munmap(1, 4096), errno.EINVAL),
        (lambda: process.mprotect(0x10000, 4096, RW), errno.ENOMEM),
        (lambda: process.mremap(0x10000, 4096, 8192), errno.EFAULT),
        (lambda: process.close(99), errno.EBADF),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == number


def test_brk_moves_the_heap(process: Process) -> None:
    start = process.brk()
    assert process.brk(start + 0x21000) == start + 0x21000
    process.store(start + 0x20FFF, b"!")
    assert process.brk(1) == start + 0x21000
    assert process.brk(start) == start
    with pytest.raises(SegmentationFault):
        process.load(start + 0x1000)


def test_maps_of_an_empty_process(process: Process) -> None:
    assert process.maps() == (
        "7ffff7ffa000-7ffff7ffe000 r--p 00000000 00:00 0                          [vvar]\n"
        "7ffff7ffe000-7ffff7fff000 r-xp 00000000 00:00 0                          [vdso]\n"
        "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n"
    )


# --- loads and stores


def test_no_mapping_is_maperr(process: Process) -> None:
    with pytest.raises(SegmentationFault) as caught:
        process.load(0x1234, 4)
    assert (caught.value.si_code, caught.value.si_addr, caught.value.exit_code) == (1, 0x1234, 139)
    assert str(caught.value) == "SIGSEGV: SEGV_MAPERR at 0x1234"


def test_forbidden_access_is_accerr(process: Process) -> None:
    addr = process.mmap(0, 4096, PROT_READ, ANON)
    with pytest.raises(SegmentationFault) as caught:
        process.store(addr + 7, b"x")
    assert (caught.value.si_code, caught.value.si_addr) == (2, addr + 7)
    process.mprotect(addr, 4096, PROT_NONE)
    with pytest.raises(SegmentationFault):
        process.load(addr)


def test_non_canonical_address_has_no_address(process: Process) -> None:
    """A general protection fault: si_code SI_KERNEL, si_addr 0."""
    with pytest.raises(SegmentationFault) as caught:
        process.load(1 << 63)
    assert (caught.value.si_code, caught.value.si_addr) == (0x80, 0)


def test_the_process_lives_on_after_a_bad_access(process: Process) -> None:
    addr = process.mmap(0, 4096, RW, ANON)
    for _ in range(3):
        with pytest.raises(SegmentationFault):
            process.store(0, b"x")
    process.store(addr, b"fine")
    assert process.load(addr, 4) == b"fine"


def test_a_store_across_a_hole_keeps_its_first_part(process: Process) -> None:
    addr = process.mmap(0, 3 * 4096, RW, ANON)
    process.munmap(addr + 2 * 4096, 4096)
    # The page above belongs to [vvar] only from 0x7ffff7ffa000 on: here is a hole.
    with pytest.raises(SegmentationFault) as caught:
        process.store(addr + 4096, b"a" * 5000)
    assert caught.value.si_addr == addr + 2 * 4096
    assert process.load(addr + 4096, 4096) == b"a" * 4096


def test_translate_changes_nothing(process: Process) -> None:
    addr = process.mmap(0, 4096, RW, ANON)
    faults = process.task.min_flt
    assert process.translate(addr) is None
    assert process.task.min_flt == faults
    process.load(addr)
    entry = pte(process, addr)
    process.translate(addr)
    assert pte(process, addr) == entry


def test_all_frames_come_back(machine: Machine) -> None:
    from mmscope.kernel.mm.page_alloc import drain_all_pages, nr_free_pages
    from mmscope.kernel.mm.swap import lru_add_drain

    machine.process().exit()
    lru_add_drain(machine.kernel)
    drain_all_pages(machine.kernel)
    free = nr_free_pages(machine.kernel)
    p = machine.process()
    addr = p.mmap(0, 64 * 4096, RW, ANON)
    for page in range(64):
        p.store(addr + page * 4096, b"x")
    assert nr_free_pages(machine.kernel) < free - 32
    assert p.exit(3).exit_status == 3
    lru_add_drain(machine.kernel)
    drain_all_pages(machine.kernel)
    assert nr_free_pages(machine.kernel) == free
    with pytest.raises(MmscopeError, match="has exited"):
        p.mmap(0, 4096, RW, ANON)


# --- several of them


def steps(p: Process) -> Iterator[object]:
    """Operations whose results show the state that they left."""
    addr = p.mmap(0, 8 * 4096, RW, ANON)
    yield addr
    yield p.load(addr, 10)
    p.store(addr + 4096, b"mine")
    yield p.translate(addr + 4096)
    p.munmap(addr + 2 * 4096, 4096)
    yield p.maps()
    p.mprotect(addr, 4096, PROT_READ)
    yield p.maps()
    yield p.load(addr + 4096, 4)
    yield [repr(level) for level in p.walk(addr + 4096)]
    yield p.brk(p.brk() + 4096)
    yield (p.task.min_flt, p.mm.map_count, p.mm.total_vm)


def test_machines_interleaved_are_as_alone() -> None:
    """Show 9."""
    with Machine(ram="32M", root=None, debug_vm=True) as alone:
        expected = list(steps(alone.process()))
    with Machine(ram="32M", root=None, debug_vm=True) as a, Machine(ram="32M", root=None, debug_vm=True) as b:
        pairs = list(zip(steps(a.process()), steps(b.process()), strict=True))
    assert [first for first, _ in pairs] == expected
    assert [second for _, second in pairs] == expected


def test_processes_of_one_machine_share_no_memory(machine: Machine) -> None:
    one, two = machine.process(), machine.process()
    addr = one.mmap(0, 4096, RW, ANON)
    assert two.mmap(0, 4096, RW, ANON) == addr
    one.store(addr, b"one")
    two.store(addr, b"two")
    assert (one.load(addr, 3), two.load(addr, 3)) == (b"one", b"two")
    assert one.translate(addr) != two.translate(addr)


def test_the_seed_decides_the_layout() -> None:
    def layout(seed: int) -> str:
        with Machine(ram="16M", aslr=True, seed=seed, root=None) as m:
            return m.process().maps()

    assert layout(1) == layout(1) != layout(2)


# --- making one


@pytest.mark.parametrize(
    ("text", "size"),
    [("256M", 256 << 20), ("8G", 8 << 30), ("64m", 64 << 20), ("16MiB", 16 << 20), ("65536", 65536), (8192, 8192)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "12Q", "-1M", "1.5G", "0", "4095", "lots"])
def test_nonsense_sizes_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Machine(ram=text)
    assert "\n" not in str(caught.value)
    assert "8G" in str(caught.value)


def test_too_little_ram_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        Machine(ram="1M")


def test_unknown_settings_and_roots_are_refused() -> None:
    with pytest.raises(UsageError, match="vdso_page"):
        Machine(vdso_page=2)
    with pytest.raises(UsageError, match="/no/such/dir"):
        Machine(root="/no/such/dir")


def test_a_closed_machine_says_so() -> None:
    m = Machine(ram="16M", root=None)
    p = m.process()
    m.close()
    m.close()
    with pytest.raises(MmscopeError, match="closed"):
        p.load(0)
    with pytest.raises(MmscopeError, match="closed"):
        m.process()


def test_spawn_of_nothing_is_enoent() -> None:
    with Machine(ram="16M") as m:
        with pytest.raises(FileNotFoundError):
            m.spawn("/no/such/program")
        with pytest.raises(PermissionError):
            m.spawn("/etc/passwd")


def test_streams_can_be_given_and_captured() -> None:
    with Machine(ram="64M") as m:
        pages = Path(__file__).parent.parent / "examples" / "pages"
        p = m.spawn(pages, capture_output=True)
        q = m.spawn(pages, ["other"], stdin=b"unread", capture_output=True)
        assert p.run().exit_status == 0
        assert (q.stdout, q.stderr) == (b"", b"")
        assert repr(q.run()) == "ExitStatus(exit_status=0, signal=None)"
        assert p.stdout.startswith(b"one anonymous page:      0x7ffff7ff9000\n")
        assert p.stdout == q.stdout
        assert p.stderr == b""
        assert p.run().exit_status == 0
        with pytest.raises(MmscopeError, match="capture_output"):
            _ = m.process().stdout


def test_a_file_past_its_end_is_a_bus_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "data").write_bytes(b"hello" * 1000)
    with Machine(ram="32M", root=str(root), debug_vm=True) as m:
        p = m.process()
        fd = p.open("/data")
        addr = p.mmap(0, 4 * 4096, PROT_READ, MAP_PRIVATE, fd)
        p.close(fd)
        assert p.load(addr, 5000) == b"hello" * 1000
        assert p.load(addr + 5000, 3192) == bytes(3192)
        with pytest.raises(BusError) as caught:
            p.load(addr + 8192 + 5)
        assert (caught.value.si_code, caught.value.si_addr) == (2, addr + 8192 + 5)
