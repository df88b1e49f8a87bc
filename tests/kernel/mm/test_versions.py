# SPDX-License-Identifier: GPL-2.0-or-later
"""KernelConfig.version: what a program sees otherwise on later releases. Each test holds both sides of one switch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmscope.kernel.include.errno import EFAULT, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.mman import (
    MADV_COLLAPSE,
    MADV_DODUMP,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_KEEPONFORK,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_WIPEONFORK,
    MAP_GROWSDOWN,
    MAP_LOCKED,
)
from mmscope.machine import Machine, Process

PAGE = 4096
ANON, SHARED_ANON, FIXED = 0x22, 0x21, 0x10
AT = 0x20000000
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
NR_MADVISE, NR_MLOCK = 28, 149
NR_MLOCK2, MLOCK_ONFAULT = 325, 1
NR_PRLIMIT64, RLIMIT_MEMLOCK = 302, 8


@pytest.fixture
def process_of() -> Callable[[tuple[int, int]], Process]:
    """A fresh process under a release."""

    def make(version: tuple[int, int]) -> Process:
        return Machine(ram="32M", root=None, debug_vm=True, version=version, uid=1000, gid=1000).process()

    return make


def faults_of(p: Process, addr: int) -> tuple[int, int]:
    """(minor, major) of one store."""
    before = p.task.min_flt, p.task.maj_flt
    p.store(addr, b"x")
    return p.task.min_flt - before[0], p.task.maj_flt - before[1]


def outcome(call: Callable[[], object]) -> int:
    """0, or the errno."""
    try:
        call()
    except KernelError as error:
        return error.errno or -1
    return 0


@pytest.mark.parametrize(("version", "expected"), [((5, 11), (0, 1)), ((5, 19), (0, 1)), ((6, 0), (1, 0)), ((6, 18), (1, 0))])
def test_first_write_to_shared_memory(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Throttling the writer made the fault a retried, hence major one, until VM_FAULT_COMPLETED."""
    p = process_of(version)
    assert faults_of(p, p.mmap(AT, PAGE, 3, SHARED_ANON | FIXED)) == expected


@pytest.mark.parametrize(("version", "expected"), [((5, 11), (1, 0)), ((5, 19), (1, 0)), ((6, 0), (0, 0)), ((6, 18), (0, 0))])
def test_write_after_mprotect_from_read_only(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], expected: tuple[int, int]
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    p.mprotect(AT, PAGE, 1)
    p.mprotect(AT, PAGE, 3)
    assert faults_of(p, AT) == expected
    # The zero page belongs to nobody: it still has to be replaced.
    p.mmap(AT, PAGE, 1, ANON | FIXED)
    p.load(AT)
    p.mprotect(AT, PAGE, 3)
    assert faults_of(p, AT) == (1, 0)


@pytest.mark.parametrize(("version", "copied"), [((5, 11), True), ((5, 17), True), ((5, 18), False), ((5, 19), False)])
def test_a_pagevec_reference_decides_between_copy_and_reuse(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], copied: bool
) -> None:
    """Until PageAnonExclusive a fresh page, which the pagevec still holds, was copied at its next write fault."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    frame = p.translate(AT)
    p.mprotect(AT, PAGE, 1)
    p.mprotect(AT, PAGE, 3)
    p.store(AT, b"y")
    assert (p.translate(AT) != frame) is copied


@pytest.mark.parametrize(("version", "error"), [((5, 11), 0), ((5, 15), 0), ((5, 16), EFAULT), ((6, 18), EFAULT)])
def test_mremap_of_nothing(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int) -> None:
    """The same size, or a smaller one, needed no mapping."""
    p = process_of(version)
    assert outcome(lambda: p.mremap(AT, PAGE, PAGE, 0)) == error
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED)
    assert outcome(lambda: p.mremap(AT, 2 * PAGE, PAGE, 0)) == error
    # What was to be cut off: gone, unless the call had failed before.
    assert ("20001000-20002000" in p.maps()) is (error != 0)


@pytest.mark.parametrize(("version", "target_left"), [((5, 11), False), ((5, 15), False), ((5, 16), True)])
def test_mremap_fixed_from_nothing(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], target_left: bool
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert outcome(lambda: p.mremap(AT + 16 * PAGE, PAGE, PAGE, fixed, AT)) == EFAULT
    assert ("20000000-20001000" in p.maps()) is target_left


@pytest.mark.parametrize(("version", "error"), [((5, 11), EINVAL), ((5, 12), EINVAL), ((5, 13), 0), ((6, 18), 0)])
def test_dontunmap_of_shared_memory(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, SHARED_ANON | FIXED)
    p.store(AT, b"x")
    assert outcome(lambda: p.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) == error


@pytest.mark.parametrize("version", [(5, 11), (5, 13), (6, 18)])
def test_dontunmap_of_private_memory_leaves_an_empty_place(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int]
) -> None:
    """The pages move; since v5.13 the old place forgets its anon_vma too."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    to = p.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    assert p.load(to) == b"x"
    old = p.mm.mmap
    while old is not None and old.vm_start != AT:
        old = old.vm_next
    assert old is not None
    assert (old.anon_vma is None) is (version >= (5, 13))
    assert p.load(AT) == b"\0"


@pytest.mark.parametrize(("version", "error"), [((5, 11), ENOMEM), ((5, 17), ENOMEM), ((5, 18), 0), ((6, 18), 0)])
def test_mlock_onfault_of_prot_none(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 0, ANON | FIXED)
    assert outcome(lambda: p.syscall(NR_MLOCK2, AT, PAGE, MLOCK_ONFAULT)) == error


@pytest.mark.parametrize(("version", "limit"), [((5, 11), 64 << 10), ((5, 15), 64 << 10), ((5, 16), 8 << 20)])
def test_default_memlock_limit(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], limit: int) -> None:
    p = process_of(version)
    buffer = p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(buffer, bytes(16))
    p.syscall(NR_PRLIMIT64, 0, RLIMIT_MEMLOCK, 0, buffer)
    assert p.load(buffer, 16) == limit.to_bytes(8, "little") * 2


@pytest.mark.parametrize(("version", "lines"), [((5, 11), 2), ((6, 6), 2), ((6, 7), 1), ((6, 18), 1)])
def test_mprotect_of_memory_never_written_drops_its_charge(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], lines: int
) -> None:
    """It then has the flags of its neighbour, which never was writable."""
    p = process_of(version)
    p.mmap(AT, PAGE, 1, ANON | FIXED)
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED)
    committed = p.mm.kernel.vm_committed_as
    p.mprotect(AT + PAGE, PAGE, 1)
    assert sum(line.startswith("2000") for line in p.maps().splitlines()) == lines
    assert committed - p.mm.kernel.vm_committed_as == (1 if lines == 1 else 0)


@pytest.mark.parametrize(("version", "lines"), [((5, 11), 1), ((6, 6), 1), ((6, 7), 2), ((6, 18), 2)])
def test_map_stack_and_its_neighbour(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], lines: int
) -> None:
    """MAP_STACK had no effect; now it is VM_NOHUGEPAGE."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED | 0x20000)
    assert sum(line.startswith("2000") for line in p.maps().splitlines()) == lines


@pytest.mark.parametrize(("version", "left"), [((5, 11), False), ((6, 11), False), ((6, 12), True), ((6, 18), True)])
def test_a_fixed_mapping_that_is_refused_for_its_size(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], left: bool
) -> None:
    """It was refused after what it replaces had been unmapped. Now it only leaves a split behind."""
    p = process_of(version)
    p.mmap(AT, 2 * PAGE, 3, ANON | FIXED)
    committed = p.mm.kernel.vm_committed_as
    assert outcome(lambda: p.mmap(AT + PAGE, 1 << 40, 3, ANON | FIXED)) == ENOMEM
    assert p.maps().startswith("20000000-20001000 rw-p")
    assert ("20001000-20002000 rw-p" in p.maps()) is left
    assert committed - p.mm.kernel.vm_committed_as == (0 if left else 1)


@pytest.mark.parametrize(("version", "beside"), [((5, 11), True), ((6, 0), True), ((6, 1), False), ((6, 18), False)])
def test_room_beside_a_mapping_in_a_guard_gap(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], beside: bool
) -> None:
    """A page stands in the guard gap of a growing mapping. The room below that page, within the gap, was free for others."""
    p = process_of(version)
    grower = p.mmap(AT + 1024 * PAGE, PAGE, 3, ANON | FIXED | 0x100)
    p.mmap(grower - 16 * PAGE, PAGE, 1, ANON | FIXED)
    place = _place_below(p, grower + PAGE)
    assert (place == grower - 17 * PAGE) is beside


def _place_below(p: Process, high: int) -> int:
    """Where the top-down search puts one page below `high`."""
    from mmscope.kernel.mm.mmap import VM_UNMAPPED_AREA_TOPDOWN, VmUnmappedAreaInfo, vm_unmapped_area

    return vm_unmapped_area(p.mm, VmUnmappedAreaInfo(VM_UNMAPPED_AREA_TOPDOWN, PAGE, PAGE, high))


@pytest.mark.parametrize(("version", "error"), [((5, 11), EINVAL), ((6, 16), EINVAL), ((6, 17), 0)])
def test_dontunmap_compares_whole_pages(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    assert outcome(lambda: p.mremap(AT, PAGE, PAGE - 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) == error


@pytest.mark.parametrize(("version", "target_left"), [((5, 11), False), ((6, 16), False), ((6, 17), True)])
def test_mremap_fixed_of_more_than_one_mapping(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], target_left: bool
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + 8 * PAGE, PAGE, 3, ANON | FIXED)
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert outcome(lambda: p.mremap(AT, 2 * PAGE, 3 * PAGE, fixed, AT + 8 * PAGE)) == EFAULT
    assert ("20008000-20009000" in p.maps()) is target_left


@pytest.mark.parametrize(("version", "error"), [((5, 11), EFAULT), ((6, 16), EFAULT), ((6, 17), 0)])
def test_a_move_of_several_mappings(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int
) -> None:
    """With the hole between them."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + 2 * PAGE, PAGE, 1, ANON | FIXED)
    p.store(AT, b"moved")
    to = AT + 64 * PAGE
    assert outcome(lambda: p.mremap(AT, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to)) == error
    if not error:
        assert p.load(to, 5) == b"moved"
        low = [line.split()[:2] for line in p.maps().splitlines() if line.startswith("200")]
        assert low == [["20040000-20041000", "rw-p"], ["20042000-20043000", "r--p"]]


def lines(p: Process, start: int, end: int) -> list[tuple[int, int]]:
    """The mappings of a range, in pages from its start."""
    found = []
    vma = p.mm.mmap
    while vma is not None:
        if start <= vma.vm_start < end:
            found.append(((vma.vm_start - start) // PAGE, (vma.vm_end - start) // PAGE))
        vma = vma.vm_next
    return found


@pytest.mark.parametrize(("version", "merged"), [((5, 11), False), ((6, 15), False), ((6, 16), True), ((6, 18), True)])
def test_written_memory_merges_with_its_unwritten_left_neighbour(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], merged: bool
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + PAGE, PAGE, 7, ANON | FIXED)
    p.store(AT + PAGE, b"x")
    p.mprotect(AT + PAGE, PAGE, 3)
    assert lines(p, AT, AT + 16 * PAGE) == ([(0, 2)] if merged else [(0, 1), (1, 2)])
    # Both pages are found by the reverse map, which CONFIG_DEBUG_VM checks.
    p.store(AT, b"y")
    assert p.load(AT + PAGE) == b"x"


@pytest.mark.parametrize(("version", "merged"), [((5, 11), False), ((6, 15), False), ((6, 16), True)])
def test_moved_memory_merges_with_an_unwritten_neighbour(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], merged: bool
) -> None:
    """The neighbour, which had none, then has the anon_vma of the pages."""
    p = process_of(version)
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED)
    p.store(AT + PAGE, b"x")
    p.mremap(AT + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + 64 * PAGE)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mremap(AT + 64 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + PAGE)
    assert lines(p, AT, AT + 16 * PAGE) == ([(0, 2)] if merged else [(0, 1), (1, 2)])
    assert p.load(AT + PAGE) == b"x"
    p.store(AT, b"y")


@pytest.mark.parametrize(
    ("version", "lower"), [((5, 11), True), ((6, 0), True), ((6, 1), False), ((6, 11), False), ((6, 12), True)]
)
def test_which_side_a_filled_hole_goes_to(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], lower: bool
) -> None:
    """Both neighbours have an anon_vma of their own."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + 2 * PAGE, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    p.store(AT + 2 * PAGE, b"y")
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED)
    assert lines(p, AT, AT + 16 * PAGE) == ([(0, 2), (2, 3)] if lower else [(0, 1), (1, 3)])
    p.store(AT + PAGE, b"z")


@pytest.mark.parametrize(("version", "merged"), [((5, 11), False), ((6, 0), False), ((6, 1), True), ((6, 18), True)])
def test_growth_up_to_the_next_mapping(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], merged: bool
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + 2 * PAGE, PAGE, 3, ANON | FIXED)
    total = p.mm.total_vm
    assert p.mremap(AT, PAGE, 2 * PAGE, 0) == AT
    assert lines(p, AT, AT + 16 * PAGE) == ([(0, 3)] if merged else [(0, 2), (2, 3)])
    assert p.mm.total_vm == total + 1


@pytest.mark.parametrize(("version", "error"), [((5, 11), 0), ((6, 14), 0), ((6, 15), ENOMEM), ((6, 18), ENOMEM)])
def test_a_move_that_cuts_off_terabytes(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int
) -> None:
    """It charges them. A small cut is charged too, and never given back."""
    p = process_of(version)
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    p.mmap(AT + 8 * PAGE, 8 * PAGE, 3, ANON | FIXED)
    assert outcome(lambda: p.mremap(AT + 8 * PAGE, 1 << 40, PAGE, fixed, AT)) == error
    p.mmap(AT + 8 * PAGE, 3 * PAGE, 3, ANON | FIXED)
    committed = p.mm.kernel.vm_committed_as
    p.mremap(AT + 8 * PAGE, 3 * PAGE, PAGE, fixed, AT + 64 * PAGE)
    assert p.mm.kernel.vm_committed_as - committed == (0 if error else -2)


@pytest.mark.parametrize(
    ("version", "unaligned", "overlap", "huge"),
    [
        ((5, 11), EINVAL, EINVAL, EFAULT),
        ((5, 15), EINVAL, EINVAL, EFAULT),
        ((5, 16), EFAULT, EFAULT, EFAULT),
        ((6, 14), EFAULT, EFAULT, EFAULT),
        ((6, 15), EINVAL, EFAULT, EFAULT),
        ((6, 17), EINVAL, EINVAL, EINVAL),
    ],
)
def test_which_error_of_mremap_comes_first(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], unaligned: int, overlap: int, huge: int
) -> None:
    """Nothing is mapped at the source (EFAULT), and an argument is wrong besides."""
    p = process_of(version)
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert outcome(lambda: p.mremap(AT, PAGE, PAGE, fixed, AT + 64 * PAGE + 1)) == unaligned
    assert outcome(lambda: p.mremap(AT, PAGE, PAGE, fixed, AT)) == overlap
    assert outcome(lambda: p.mremap(AT, PAGE, 1 << 47, MREMAP_MAYMOVE)) == huge


@pytest.mark.parametrize(("version", "target_left"), [((5, 11), False), ((6, 16), False), ((6, 17), True)])
def test_mremap_fixed_of_length_zero_spares_its_target(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], target_left: bool
) -> None:
    """Only shared memory can be duplicated so: found out before the target is unmapped."""
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.mmap(AT + 8 * PAGE, PAGE, 3, ANON | FIXED)
    assert outcome(lambda: p.mremap(AT, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + 8 * PAGE)) == EINVAL
    assert ((8, 9) in lines(p, AT, AT + 16 * PAGE)) is target_left


@pytest.mark.parametrize(("version", "tables"), [((5, 11), 0), ((5, 13), 0), ((5, 14), 1), ((6, 18), 1)])
def test_a_move_of_untouched_memory_allocates_a_pud(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], tables: int
) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    # Another page table would serve it, but the same PMD page: its GiB has an entry.
    old = p.mmap(AT + (4 << 20), PAGE, 3, ANON | FIXED)
    target = 1 << 40  # nothing is near
    before = p.mm.pgtables_bytes
    p.mremap(old, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target)
    assert (p.mm.pgtables_bytes - before) // PAGE == tables


@pytest.mark.parametrize(("version", "locked"), [((5, 11), 4), ((6, 14), 4), ((6, 15), 8), ((6, 18), 8)])
def test_dontunmap_of_locked_memory(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], locked: int
) -> None:
    p = process_of(version)
    p.mmap(AT, 4 * PAGE, 3, ANON | FIXED)
    p.syscall(NR_MLOCK, AT, 4 * PAGE)
    p.mremap(AT, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, AT + 64 * PAGE)
    assert p.mm.locked_vm == locked
    # What was left behind is not locked.
    p.munmap(AT, 4 * PAGE)
    assert p.mm.locked_vm == locked


@pytest.mark.parametrize(
    ("version", "exact", "odd", "hinted"),
    [
        ((5, 11), False, False, False),
        ((6, 6), False, False, False),
        ((6, 7), True, True, True),
        ((6, 11), True, True, True),
        ((6, 12), True, False, True),
        ((6, 13), True, False, False),
        ((6, 18), True, False, False),
    ],
)
def test_where_anonymous_memory_of_two_megabytes_goes(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], exact: bool, odd: bool, hinted: bool
) -> None:
    """To a boundary of 2 MiB: mappings of 2 MiB, of a page more, and of 2 MiB with a hint that is taken."""
    p = process_of(version)
    huge = 2 << 20
    p.mmap(0, PAGE, 3, ANON)
    assert (p.mmap(0, huge, 3, ANON) % huge == 0) is exact
    p.mmap(0, PAGE, 3, ANON)
    assert (p.mmap(0, huge + PAGE, 3, ANON) % huge == 0) is odd
    p.mmap(0, PAGE, 3, ANON)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    assert (p.mmap(AT, huge, 3, ANON) % huge == 0) is hinted
    # Shared memory and what is shorter: right below the last mapping.
    p = process_of(version)
    low = p.mmap(0, PAGE, 1, ANON)
    assert p.mmap(0, huge, 3, SHARED_ANON) == low - huge
    assert p.mmap(0, huge - PAGE, 3, ANON) == low - 2 * huge + PAGE


def advise(p: Process, addr: int, length: int, advice: int) -> int:
    """0, or the errno."""
    return outcome(lambda: p.syscall(NR_MADVISE, addr, length, advice))


@pytest.mark.parametrize(("version", "known"), [((5, 11), False), ((5, 13), False), ((5, 14), True), ((6, 18), True)])
def test_madv_populate(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], known: bool) -> None:
    p = process_of(version)
    p.mmap(AT, 2 * PAGE, 3, ANON | FIXED)
    p.mmap(AT + 2 * PAGE, PAGE, 1, ANON | FIXED)
    assert advise(p, AT, 2 * PAGE, MADV_POPULATE_WRITE) == (0 if known else EINVAL)
    assert faults_of(p, AT) == ((0, 0) if known else (1, 0))
    if known:
        assert advise(p, AT + PAGE, 2 * PAGE, MADV_POPULATE_WRITE) == EINVAL
        assert advise(p, AT + PAGE, 3 * PAGE, MADV_POPULATE_READ) == ENOMEM
        # The page before the hole is there all the same: the zero page.
        assert p.translate(AT + 2 * PAGE) is not None


@pytest.mark.parametrize(("version", "skipped"), [((5, 14), True), ((6, 8), True), ((6, 9), False), ((6, 18), False)])
def test_madv_populate_at_a_hole(
    process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], skipped: bool
) -> None:
    p = process_of(version)
    p.mmap(AT + PAGE, PAGE, 3, ANON | FIXED)
    assert advise(p, AT, 2 * PAGE, MADV_POPULATE_WRITE) == ENOMEM
    assert faults_of(p, AT + PAGE) == ((0, 0) if skipped else (1, 0))
    p.mmap(AT + PAGE, PAGE, 1, ANON | FIXED)
    assert advise(p, AT, 2 * PAGE, MADV_POPULATE_WRITE) == (EINVAL if skipped else ENOMEM)


@pytest.mark.parametrize(("version", "error"), [((5, 11), EINVAL), ((5, 17), EINVAL), ((5, 18), 0), ((6, 18), 0)])
def test_madv_dontneed_locked(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    p.store(AT, b"x")
    p.syscall(NR_MLOCK, AT, PAGE)
    assert advise(p, AT, PAGE, MADV_DONTNEED) == EINVAL
    assert advise(p, AT, PAGE, MADV_DONTNEED_LOCKED) == error
    assert p.load(AT) == (b"x" if error else b"\0")


@pytest.mark.parametrize(("version", "of_a_hole"), [((5, 11), EINVAL), ((6, 0), EINVAL), ((6, 1), ENOMEM), ((6, 18), ENOMEM)])
def test_madv_collapse(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], of_a_hole: int) -> None:
    p = process_of(version)
    p.mmap(AT, PAGE, 3, ANON | FIXED)
    assert advise(p, AT, PAGE, MADV_COLLAPSE) == EINVAL
    assert advise(p, AT + PAGE, PAGE, MADV_COLLAPSE) == of_a_hole


@pytest.mark.parametrize(
    ("version", "error", "of_shared"), [((5, 11), EINVAL, EINVAL), ((6, 13), 0, EINVAL), ((6, 14), 0, EINVAL), ((6, 15), 0, 0)]
)
def test_guards(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], error: int, of_shared: int) -> None:
    p = process_of(version)
    p.mmap(AT, 2 * PAGE, 3, ANON | FIXED)
    p.store(AT, b"xy")
    assert advise(p, AT, PAGE, MADV_GUARD_INSTALL) == error
    p.mmap(AT + 8 * PAGE, PAGE, 3, SHARED_ANON | FIXED)
    assert advise(p, AT + 8 * PAGE, PAGE, MADV_GUARD_INSTALL) == of_shared
    if error:
        assert p.load(AT, 2) == b"xy"
        return
    for change in (
        lambda: advise(p, AT, 2 * PAGE, MADV_DONTNEED),
        lambda: p.mprotect(AT, PAGE, 1),
        lambda: p.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + 64 * PAGE),
    ):
        change()
        assert advise(p, AT if p.maps().startswith("20000000") else AT + 64 * PAGE, PAGE, MADV_POPULATE_READ) == EFAULT
    assert advise(p, AT + 64 * PAGE, PAGE, MADV_GUARD_REMOVE) == 0
    assert p.load(AT + 64 * PAGE) == b"\0"


@pytest.mark.parametrize(("version", "known"), [((5, 11), False), ((6, 10), False), ((6, 11), True), ((6, 18), True)])
def test_map_droppable(process_of: Callable[[tuple[int, int]], Process], version: tuple[int, int], known: bool) -> None:
    p = process_of(version)
    droppable = 0x28
    committed = p.mm.kernel.vm_committed_as
    assert outcome(lambda: p.mmap(AT, PAGE, 3, droppable | FIXED)) == (0 if known else EINVAL)
    if not known:
        return
    assert p.mm.kernel.vm_committed_as == committed
    p.syscall(NR_MLOCK, AT, PAGE)
    assert p.mm.locked_vm == 0
    assert advise(p, AT, PAGE, MADV_KEEPONFORK) == advise(p, AT, PAGE, MADV_DODUMP) == EINVAL
    assert advise(p, AT, PAGE, MADV_WIPEONFORK) == 0
    assert outcome(lambda: p.mmap(AT, PAGE, 3, droppable | FIXED | MAP_LOCKED)) == EINVAL
    assert outcome(lambda: p.mmap(AT, PAGE, 3, droppable | FIXED | MAP_GROWSDOWN)) == EINVAL
