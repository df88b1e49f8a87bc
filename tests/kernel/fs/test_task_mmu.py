# SPDX-License-Identifier: GPL-2.0-or-later
"""smaps, smaps_rollup, pagemap, clear_refs and /proc/PID/mem, against page tables read from RAM."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import close_fd
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.read_write import ksys_lseek, ksys_pread64, ksys_pwrite64, ksys_write
from mmscope.kernel.fs.task_mmu import show_smaps_rollup, smaps_next
from mmscope.kernel.fs.task_mmu_pagemap import PM_SOFT_DIRTY
from mmscope.kernel.include.errno import EACCES, EFAULT, EINVAL, EIO, ERANGE
from mmscope.kernel.include.fs import AT_FDCWD, O_RDWR, O_WRONLY
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import MmStruct
from mmscope.kernel.include.mman import (
    MADV_FREE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.init.main import new_task
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mlock import do_mlock
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.machine import Machine
from tests.kernel.errnos import errno_of
from tests.kernel.fs.fs_machine import boot, peek, user_buffer
from tests.kernel.fs.test_proc import read_all
from tests.test_random_sequences import PAGE, Operation, World, on_list, operation

A = 0x20000000
RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "data").write_bytes(bytes(range(256)) * 64)
    return boot(tmp_path)


def write_file(k: Kernel, path: str, data: bytes) -> int:
    """write(2) to a file: its result."""
    buf = user_buffer(k, 4096)
    copy_to_user(k, buf, data)
    fd = do_sys_open(k, AT_FDCWD, path, O_WRONLY)
    try:
        return ksys_write(k, fd, buf, len(data))
    finally:
        close_fd(k, fd)


def smaps(k: Kernel) -> dict[int, dict[str, int]]:
    """The numbers of smaps by start of the mapping."""
    return parse(read_all(k, "/proc/self/smaps"))


def parse(text: str) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    start = -1
    for line in text.splitlines():
        if re.match(r"[0-9a-f]+-", line):
            start = int(line.partition("-")[0], 16)
            found[start] = {}
        elif match := re.match(r"(\w+): +(\d+)( kB)?$", line):
            found[start][match[1]] = int(match[2])
    return found


def show_smaps(mm: MmStruct) -> str:
    """All of smaps, as its records are made."""
    text = b""
    at = 0
    while (record := smaps_next(mm, at)) is not None:
        text += record[0]
        at = record[1]
    return text.decode()


def pagemap(k: Kernel, addr: int, pages: int) -> list[int]:
    buf = user_buffer(k, pages * 8)
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/pagemap", 0)
    n = ksys_pread64(k, fd, buf, pages * 8, addr // PAGE * 8)
    close_fd(k, fd)
    raw = peek(k, buf, n)
    return [int.from_bytes(raw[i : i + 8], "little") for i in range(0, n, 8)]


def test_smaps_is_what_5_10_printed(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, b"1")
    text = read_all(k, "/proc/self/smaps")
    assert text.startswith(
        "20000000-20004000 rw-p 00000000 00:00 0 \n"
        "Size:                 16 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:                   4 kB\n"
        "Pss:                   4 kB\nShared_Clean:          0 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
        "Private_Dirty:         4 kB\nReferenced:            4 kB\nAnonymous:             4 kB\nLazyFree:              0 kB\n"
        "AnonHugePages:         0 kB\nShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\n"
        "Private_Hugetlb:       0 kB\nSwap:                  0 kB\nSwapPss:               0 kB\nLocked:                0 kB\n"
        "THPeligible:    0\nVmFlags: rd wr mr mw me ac sd \n"
    )


def test_smaps_rollup_sums_up(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, ANON, 0, 0)
    ksys_mmap_pgoff(k, A + 0x100000, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    copy_to_user(k, A, bytes(3 * PAGE))
    copy_to_user(k, A + 0x100000, b"x")
    do_mlock(k, A, PAGE, 0x2000)
    text = read_all(k, "/proc/self/smaps_rollup")
    head = text.partition("\n")[0]
    assert head.endswith(" ---p 00000000 00:00 0                              [rollup]")
    total = parse(text)
    (rollup,) = total.values()
    assert k.current.mm is not None
    assert rollup["Pss_Shmem"] == 4
    assert rollup["Locked"] == 4
    assert rollup["Pss_Anon"] + rollup["Pss_File"] + rollup["Pss_Shmem"] == rollup["Pss"]
    # Nothing is read through user memory here, which would change the sums.
    (rollup,) = parse(show_smaps_rollup(k.current.mm).decode()).values()
    each = parse(show_smaps(k.current.mm))
    for name in ("Rss", "Private_Dirty", "Referenced", "Anonymous", "Locked", "LazyFree", "Shared_Clean"):
        assert rollup[name] == sum(vma[name] for vma in each.values()), name


def test_later_releases_have_more_lines(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, PAGE, RW, ANON, 0, 0)
    do_mlock(k, A, PAGE, 0x82000)
    flags = {}
    for version in ((5, 11), (6, 1), (6, 12)):
        k.config.version = version
        text = read_all(k, "/proc/self/smaps").partition("VmFlags: ")
        flags[version] = text[2].partition("\n")[0]
        assert ("Pss_Dirty:" in text[0], "KSM:" in text[0]) == (version > (5, 11), version > (6, 1))
        assert ("THPeligible:           0" in text[0]) == (version > (6, 1))
    assert flags == {
        (5, 11): "rd wr mr mw me lo ?? ac sd ",
        (6, 1): "rd wr mr mw me lo ?? ac sd ",
        (6, 12): "rd wr mr mw me lo lf ac sd ",
    }


def test_lazy_free_pages_are_clean_until_written(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, bytes(4 * PAGE))
    lru_add_drain(k)
    do_madvise(k, A, 2 * PAGE, MADV_FREE)
    lru_add_drain(k)
    assert (smaps(k)[A]["LazyFree"], smaps(k)[A]["Private_Clean"]) == (8, 8)
    copy_to_user(k, A, b"again")
    assert (smaps(k)[A]["LazyFree"], smaps(k)[A]["Private_Clean"]) == (4, 4)


def recomputed(machine: Machine, world: World) -> dict[int, dict[str, int]]:
    """What smaps must show of each VMA: from the entries in RAM, and the number of entries with the same frame."""
    words = machine.kernel.words
    entries: list[tuple[int, int, int]] = []
    tables = [(world.process.mm.pgd, 0)]
    for shift in (39, 30, 21, 12):
        below = []
        for table, base in tables:
            for i in range(512):
                entry = words[(table >> 3) + i]
                if entry and shift > 12:
                    below.append((entry & 0x000FFFFFFFFFF000, base | i << shift))
                elif entry & 0x101 and not entry & 0x200:
                    entries.append((base | i << shift, entry, (entry ^ (0 if entry & 1 else -1)) >> 12 & 0xFFFFFFFFFF))
        tables = below
    out = {}
    for vma in on_list(world.process.mm):
        mine = [(entry, pfn) for addr, entry, pfn in entries if vma.vm_start <= addr < vma.vm_end]
        times = {pfn: sum(1 for _, _, other in entries if other == pfn) for _, pfn in mine}
        pages = machine.kernel.mem_map
        dirty = {pfn: bool(entry & 0x40) or bool(pages[pfn].flags & 8) for entry, pfn in mine}
        out[vma.vm_start] = {
            "Size": (vma.vm_end - vma.vm_start) // 1024,
            "Rss": len(mine) * 4,
            "Pss": sum((PAGE << 12) // times[pfn] for _, pfn in mine) >> 22,
            "Shared_Clean": 4 * sum(times[pfn] > 1 and not dirty[pfn] for _, pfn in mine),
            "Shared_Dirty": 4 * sum(times[pfn] > 1 and dirty[pfn] for _, pfn in mine),
            "Private_Clean": 4 * sum(times[pfn] == 1 and not dirty[pfn] for _, pfn in mine),
            "Private_Dirty": 4 * sum(times[pfn] == 1 and dirty[pfn] for _, pfn in mine),
            "Referenced": 4 * sum(bool(entry & 0x20) or bool(pages[pfn].flags & 2) for entry, pfn in mine),
            "Anonymous": 4 * sum(pages[pfn].mapping_tag & 1 for _, pfn in mine),
        }
    return out


@settings(max_examples=10, deadline=None)
@given(st.lists(operation, min_size=60, max_size=60))
def test_random_sequences_show_what_is_mapped(tmp_path_factory: pytest.TempPathFactory, operations: list[Operation]) -> None:
    root = tmp_path_factory.getbasetemp() / "random"
    root.mkdir(exist_ok=True)
    (root / "data").write_bytes(bytes(5 * PAGE + 123))
    with Machine(ram="32M", root=str(root), debug_vm=True) as machine:
        world = World(machine)
        for op in operations:
            world.do(op)
            shown = parse(show_smaps(world.process.mm))
            expected = recomputed(machine, world)
            assert {start: {name: vma[name] for name in expected[start]} for start, vma in shown.items()} == expected
        mm, task = world.process.mm, world.process.task
        assert sum(vma["Rss"] for vma in shown.values()) == 4 * (sum(mm.rss_stat) + sum(task.rss_stat))


# --- pagemap


def test_pagemap_bits_and_holes(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, b"1")
    copy_from_user(k, A + PAGE, 1)
    ksys_mmap_pgoff(k, A + 0x10000, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    copy_to_user(k, A + 0x10000, b"1")
    entries = pagemap(k, A - PAGE, 6)
    assert [entry >> 55 for entry in entries] == [0, 0x103, 0x101, 1, 1, 0]
    assert entries[2] & (1 << 55) - 1 == k.zero_pfn
    assert [entry >> 55 for entry in pagemap(k, A + 0x10000, 2)] == [0x143, 1]


@pytest.mark.parametrize(("version", "flags"), [((6, 13), 1 << 62), ((6, 15), 1 << 62 | 1 << 58)])
def test_a_guarded_page_looks_swapped_out(k: Kernel, version: tuple[int, int], flags: int) -> None:
    """As 6.18 shows it to root: 0x440000000000009f. To smaps it is no page."""
    k.config.version = version
    ksys_mmap_pgoff(k, A, 2 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, b"1")
    do_madvise(k, A + PAGE, PAGE, 102)
    entries = pagemap(k, A, 2)
    assert entries[1] & ~PM_SOFT_DIRTY == flags | 0x9F
    assert smaps(k)[A]["Rss"] == 4


def test_pagemap_ends_and_alignment(k: Kernel) -> None:
    buf = user_buffer(k, 4096)
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/pagemap", 0)
    assert errno_of(ksys_pread64, k, fd, buf, 7, 0) == EINVAL
    assert errno_of(ksys_pread64, k, fd, buf, 8, 4) == EINVAL
    assert ksys_pread64(k, fd, buf, 64, 0x7FFFFFFFF * 8 - 8) == 8
    assert ksys_pread64(k, fd, buf, 64, 0x800000000 * 8) == 0
    assert ksys_pread64(k, fd, 0x1000, 0, 0) == 0
    assert errno_of(ksys_pread64, k, fd, buf, 8192, 0x30000 * 8) == EFAULT
    assert errno_of(ksys_lseek, k, fd, 0, 2) == EINVAL


def test_pagemap_tells_frames_to_root_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    k = boot(tmp_path, uid=1000)
    ksys_mmap_pgoff(k, A, PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, b"1")
    assert pagemap(k, A, 1) == [0x103 << 55]


# --- clear_refs


def test_soft_dirty_comes_back_with_a_write_and_its_fault(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, bytes(2 * PAGE))
    lru_add_drain(k)
    assert write_file(k, "/proc/self/clear_refs", b"4\n") == 2
    assert [entry >> 55 for entry in pagemap(k, A, 4)] == [0x102, 0x102, 0, 0]
    faults = k.current.min_flt
    copy_to_user(k, A, b"1")
    copy_to_user(k, A, b"2")
    assert k.current.min_flt == faults + 1
    assert [entry >> 55 for entry in pagemap(k, A, 4)] == [0x103, 0x102, 0, 0]
    # A new mapping that merges makes all of the VMA soft-dirty.
    ksys_mmap_pgoff(k, A + 4 * PAGE, PAGE, RW, ANON, 0, 0)
    assert smaps(k)[A]["Size"] == 20
    assert [entry >> 55 for entry in pagemap(k, A, 5)] == [0x103, 0x103, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "errno"),
    [(b"0", EINVAL), (b"6", EINVAL), (b"x", EINVAL), (b" ", EINVAL), (b"4 4", EINVAL), (b"1234567890123", ERANGE)],
)
def test_clear_refs_refuses(k: Kernel, text: bytes, errno: int) -> None:
    assert errno_of(write_file, k, "/proc/self/clear_refs", text) == errno


def test_clear_refs_kinds(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    ksys_mmap_pgoff(k, A, 2 * PAGE, RW, ANON, 0, 0)
    ksys_mmap_pgoff(k, A + 0x10000, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0)
    copy_to_user(k, A, bytes(2 * PAGE))
    copy_from_user(k, A + 0x10000, 2 * PAGE)
    write_file(k, "/proc/self/clear_refs", b"3")
    assert (smaps(k)[A]["Referenced"], smaps(k)[A + 0x10000]["Referenced"]) == (8, 0)
    write_file(k, "/proc/self/clear_refs", b"2")
    assert smaps(k)[A]["Referenced"] == 0
    mm = k.current.mm
    assert mm is not None
    mm.hiwater_rss = 1000
    assert write_file(k, "/proc/self/clear_refs", b"  5 ") == 4
    assert mm.hiwater_rss < 1000


# --- mem


def test_mem_writes_where_the_process_may_not(k: Kernel) -> None:
    file = do_sys_open(k, AT_FDCWD, "/data", 0)
    ksys_mmap_pgoff(k, A, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0)
    ksys_mmap_pgoff(k, A + 2 * PAGE, 2 * PAGE, PROT_NONE, ANON, 0, 0)
    ksys_mmap_pgoff(k, A + 0x10000, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    buf = user_buffer(k, 8 * PAGE)
    copy_to_user(k, buf, b"hello")
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/mem", O_RDWR)
    assert ksys_pwrite64(k, fd, buf, 5, A) == 5
    assert copy_from_user(k, A, 6) == b"hello\x05"
    assert pagemap(k, A, 1)[0] >> 61 & 1 == 0
    assert ksys_pread64(k, file, buf, 5, 0) == 5
    assert peek(k, buf, 5) == bytes(range(5)), "the file itself is as it was"
    copy_to_user(k, buf, b"none")
    assert ksys_pwrite64(k, fd, buf, 4, A + 2 * PAGE) == 4
    assert ksys_pread64(k, fd, buf, 8 * PAGE, A + PAGE) == 3 * PAGE, "up to the hole"
    assert peek(k, buf + PAGE, 4) == b"none"
    assert errno_of(ksys_pwrite64, k, fd, buf, 4, A + 0x10000) == EIO
    assert errno_of(ksys_pread64, k, fd, buf, 4, 0x1000) == EIO
    assert errno_of(ksys_pwrite64, k, fd, 0x1000, 4, A) == EFAULT
    assert ksys_lseek(k, fd, 0xFFFFFFFFFF600000, 0) == 0xFFFFFFFFFF600000
    assert errno_of(ksys_lseek, k, fd, 0, 2) == EINVAL


def test_another_process_shows_its_memory_to_its_user_only(k: Kernel) -> None:
    other = k.current
    ksys_mmap_pgoff(k, A, PAGE, RW, ANON, 0, 0)
    mine = new_task(k, "reader")
    mine.mm = other.mm
    assert read_all(k, f"/proc/{other.pid}/smaps").startswith("20000000-20001000 rw-p")
    mine.cred.uid = mine.cred.euid = mine.cred.suid = mine.cred.fsuid = 1000
    mine.cred.cap_effective = 0
    other_mm, mine.mm = other.mm, None
    k.current = mine
    for name in ("maps", "smaps", "smaps_rollup", "pagemap", "mem"):
        assert errno_of(do_sys_open, k, AT_FDCWD, f"/proc/{other.pid}/{name}", 0) == EACCES
    assert other_mm is other.mm


def test_protected_pages_keep_their_place_in_smaps(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 2 * PAGE, RW, ANON, 0, 0)
    copy_to_user(k, A, bytes(2 * PAGE))
    do_mprotect_pkey(k, A, PAGE, PROT_NONE, -1)
    assert (smaps(k)[A]["Rss"], smaps(k)[A]["Anonymous"]) == (4, 4)
    assert pagemap(k, A, 2)[0] >> 55 == 0x103
