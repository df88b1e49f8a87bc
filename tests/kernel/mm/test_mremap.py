# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/mremap and mm/mprotect on memory that has pages: entries move and change, the TLB is flushed."""

from __future__ import annotations

import errno

import pytest

from mmscope.kernel.arch.x86.pgtable import pte_soft_dirty
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.mman import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_NONE, PROT_READ
from mmscope.kernel.mm.mmap import exit_mmap
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from tests.kernel.mm.test_mmap import ANON, PAGE, RW, Box, fails

FIXED = MREMAP_MAYMOVE | MREMAP_FIXED
MIB2 = 2 << 20
GIB = 1 << 30


def pte(box: Box, addr: int) -> int:
    """The entry, 0 if a table is missing."""
    table = box.mm.pgd
    for shift in (39, 30, 21, 12):
        entry = box.k.words[(table >> 3) + ((addr >> shift) & 511)]
        if shift == 12 or not entry & 1:
            return entry
        table = entry & 0x000FFFFFFFFFF000
    raise AssertionError


@pytest.mark.parametrize(
    ("old", "new", "len"),
    [
        (0x20000000, 0x30000000, 3 * PAGE),
        (0x20000000, 0x30000000, MIB2),
        (0x20001000, 0x30000000, MIB2 + 5 * PAGE),
        (0x20000000 - 4 * PAGE, 0x30000000 - 4 * PAGE, 2 * MIB2),
        (GIB, 5 * GIB, GIB + MIB2 + PAGE),
    ],
)
def test_pages_move_with_their_bytes(old: int, new: int, len: int) -> None:
    box = Box()
    box.k.config.sysctl_overcommit_memory = 1
    assert box.mmap(len, RW, ANON | 0x10, old) == old
    offsets = sorted({0, PAGE, len // 2 & -PAGE, len - PAGE})
    for i, offset in enumerate(offsets):
        copy_to_user(box.k, old + offset, bytes([i + 1]))
    frames = [pte(box, old + offset) >> 12 for offset in offsets]
    assert do_mremap(box.k, old, len, len, FIXED, new) == new
    for i, offset in enumerate(offsets):
        assert pte(box, old + offset) == 0
        assert pte(box, new + offset) >> 12 == frames[i]
        assert pte_soft_dirty(pte(box, new + offset))
        assert copy_from_user(box.k, new + offset, 1) == bytes([i + 1])
        fails(errno.EFAULT, copy_from_user, box.k, old + offset, 1)
    exit_mmap(box.mm)
    assert box.mm.pgtables_bytes == 0
    assert box.k.vm_committed_as == 0


def test_dontunmap_leaves_an_empty_mapping() -> None:
    box = Box()
    old = box.mmap(2 * PAGE)
    copy_to_user(box.k, old, b"x")
    new = do_mremap(box.k, old, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0)
    assert copy_from_user(box.k, new, 1) == b"x"
    assert copy_from_user(box.k, old, 1) == b"\0"


def test_mprotect_reaches_entries_and_tlb() -> None:
    box = Box()
    addr = box.mmap(2 * PAGE)
    copy_to_user(box.k, addr, b"x")
    do_mprotect_pkey(box.k, addr, PAGE, PROT_READ)
    assert not pte(box, addr) & 2
    fails(errno.EFAULT, copy_to_user, box.k, addr, b"y")
    do_mprotect_pkey(box.k, addr, PAGE, PROT_NONE)
    # Present to the kernel (PROTNONE), not to the processor.
    assert pte(box, addr) & 0x101 == 0x100
    fails(errno.EFAULT, copy_from_user, box.k, addr, 1)
    do_mprotect_pkey(box.k, addr, PAGE, RW)
    # The write bit comes back only by a fault: private memory may be shared copy-on-write.
    assert pte(box, addr) & 3 == 1
    copy_to_user(box.k, addr, b"z")
    assert copy_from_user(box.k, addr, 1) == b"z"
    assert box.vma(addr).vm_end == addr + 2 * PAGE
