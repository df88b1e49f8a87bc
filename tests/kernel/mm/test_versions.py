# SPDX-License-Identifier: GPL-2.0-or-later
"""KernelConfig.version: what a program sees otherwise on later releases. Each test holds both sides of one switch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmscope.kernel.include.errno import EFAULT, EINVAL, ENOMEM, KernelError
from mmscope.machine import Machine, Process

PAGE = 4096
ANON, SHARED_ANON, FIXED = 0x22, 0x21, 0x10
AT = 0x20000000
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
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


@pytest.mark.parametrize(("version", "beside"), [((5, 11), True), ((6, 3), True), ((6, 4), False), ((6, 18), False)])
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
