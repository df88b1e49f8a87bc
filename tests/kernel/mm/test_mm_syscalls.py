# SPDX-License-Identifier: GPL-2.0-or-later
"""Corners of the memory system calls that random comparison with a live kernel found."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mmscope.kernel.include.fs import O_RDONLY
from mmscope.kernel.include.mman import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
)
from mmscope.kernel.include.signal import SIGBUS
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mlock import do_mlock
from mmscope.kernel.mm.mmap import do_munmap, find_extend_vma, find_vma, ksys_mmap_pgoff
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from mmscope.kernel.mm.swap import lru_add_drain
from tests.kernel.errnos import errno_of
from tests.kernel.mm.faultlib import ANON, RW, Box, Signalled

PAGE = 4096
A = 0x20000000
B = 0x30000000
MADV_WILLNEED = 3
VM_LOCKED = 0x2000


@pytest.fixture
def two_pages(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(b"x" * (2 * PAGE - 100))
    return tmp_path


def test_mprotect_ignores_what_populating_a_locked_mapping_meets(two_pages: Path) -> None:
    """The third page lies beyond the end of the file; mprotect() succeeds, and the access gets its SIGBUS later."""
    box = Box(root=str(two_pages))
    fd = box.open("/data", O_RDONLY)
    addr = box.mmap(4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0, A)
    assert errno_of(do_mlock, box.k, addr, 4 * PAGE, VM_LOCKED) == errno.ENOMEM
    do_mprotect_pkey(box.k, addr, 4 * PAGE, RW)
    assert box.vma(addr).vm_flags & 3 == 3
    # COW was broken for the pages that exist.
    assert box.pte(addr) & 2
    assert box.pte(addr + PAGE) & 2
    with pytest.raises(Signalled) as caught:
        box.store(addr + 2 * PAGE, 1)
    assert caught.value.args == (SIGBUS, 2, addr + 2 * PAGE)


def test_mprotect_of_a_locked_mapping_without_access() -> None:
    """To PROT_NONE and back with no page there: no fault is an error of mprotect()."""
    box = Box()
    addr = box.mmap(2 * PAGE, PROT_NONE, ANON, addr=A)
    assert errno_of(do_mlock, box.k, addr, 2 * PAGE, VM_LOCKED) == errno.ENOMEM
    do_mprotect_pkey(box.k, addr, 2 * PAGE, RW)
    assert box.pte(addr) & 2
    assert box.pte(addr + PAGE) & 2


@pytest.mark.parametrize(
    ("addr", "expected"),
    [
        (-1, errno.EPERM),
        (-2, errno.ENOENT),
        (-4095, 4095),
        (-4096, errno.ENOMEM),
        (0x7FFFFFFFF000, errno.ENOMEM),
        (A + 1, errno.EINVAL),
    ],
)
@pytest.mark.parametrize("flag", [MAP_FIXED, MAP_FIXED_NOREPLACE])
def test_a_fixed_address_in_the_last_page_is_taken_for_an_errno(addr: int, expected: int, flag: int) -> None:
    """get_unmapped_area() hands the address back, and IS_ERR_VALUE() makes an error of it."""
    box = Box()
    addr &= (1 << 64) - 1
    assert errno_of(ksys_mmap_pgoff, box.k, addr, PAGE, RW, ANON | flag, -1, 0) == expected


@pytest.mark.parametrize("type", [MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE])
def test_map_sync_needs_dax(two_pages: Path, type: int) -> None:
    """ext4 knows MAP_SYNC, so the mapping gets as far as its ->mmap(); what a fixed one replaces is gone by then."""
    box = Box(root=str(two_pages))
    fd = box.open("/data", O_RDONLY)
    box.mmap(PAGE, RW, ANON, addr=A)
    assert errno_of(box.mmap, PAGE, PROT_READ, type | MAP_SYNC, fd, 0, A) == errno.EOPNOTSUPP
    vma = find_vma(box.mm, A)
    assert vma is None or vma.vm_start > A


@pytest.mark.parametrize(
    ("addr", "length", "flags", "expected"),
    [
        (0, 0, 0, errno.EINVAL),
        (0, PAGE, 0, errno.ENOMEM),
        (A + PAGE, PAGE, MAP_FIXED, errno.EINVAL),
        (A, PAGE, MAP_FIXED, errno.ENOMEM),
        (A, PAGE, MAP_FIXED | 30 << 26, errno.EINVAL),
        (0, PAGE, 3 << 26, errno.EINVAL),
    ],
)
def test_huge_pages_are_checked_before_they_are_found_missing(addr: int, length: int, flags: int, expected: int) -> None:
    box = Box()
    assert errno_of(ksys_mmap_pgoff, box.k, addr, length, RW, ANON | MAP_HUGETLB | flags, -1, 0) == expected


def test_mremap_old_length_that_wraps() -> None:
    """addr + old_len wraps below new_addr, which the overlap check takes for disjoint: the new place is unmapped first."""
    box = Box()
    box.mmap(PAGE, RW, ANON, addr=A)
    box.mmap(PAGE, RW, ANON, addr=B)
    length = (1 << 64) - 0x10000000
    assert errno_of(do_mremap, box.k, A, length, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, B) == errno.EINVAL
    assert box.vma(A).vm_start == A
    vma = find_vma(box.mm, B)
    assert vma is None or vma.vm_start > B


def test_willneed_of_anonymous_memory_drains_the_pagevecs() -> None:
    """There is nothing to swap in, but pages that waited for the LRU lists get there."""
    box = Box()
    lru_add_drain(box.k)
    addr = box.mmap(PAGE)
    box.store(addr, 1)
    assert box.page(addr)._refcount == 2
    do_madvise(box.k, addr, PAGE, MADV_WILLNEED)
    assert box.page(addr)._refcount == 1


def test_a_locked_stack_that_grows_without_access_keeps_its_growth() -> None:
    """find_extend_vma() does not ask whether the new pages could be populated."""
    box = Box()
    addr = box.mmap(PAGE, PROT_NONE, ANON | MAP_GROWSDOWN, addr=A)
    assert errno_of(do_mlock, box.k, addr, PAGE, VM_LOCKED) == errno.ENOMEM
    vma = find_extend_vma(box.mm, A - 2 * PAGE)
    assert vma is not None
    assert vma.vm_start == A - 2 * PAGE
    assert box.mm.locked_vm == 3


@pytest.mark.parametrize(("prot", "flags"), [(PROT_READ, 0), (RW, MAP_NORESERVE)])
def test_growth_of_an_unaccounted_stack_stays_committed(prot: int, flags: int) -> None:
    """acct_stack_growth() charges every growth, munmap() gives back only VM_ACCOUNT: Committed_AS keeps it (6.18 too)."""
    box = Box()
    before = box.k.vm_committed_as
    box.mmap(PAGE, prot, ANON | MAP_GROWSDOWN | flags, addr=A)
    box.load(A - 10 * PAGE)
    assert box.k.vm_committed_as == before + 10
    do_munmap(box.mm, A - 10 * PAGE, 11 * PAGE)
    assert box.k.vm_committed_as == before + 10
    validate_vm(box.k)
