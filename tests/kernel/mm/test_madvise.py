# SPDX-License-Identifier: GPL-2.0-or-later
"""madvise: errno order, holes, VMA flags, zapping, MADV_FREE."""

from __future__ import annotations

import pytest

from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.mm import VM_DONTCOPY, VM_HUGEPAGE, VM_MERGEABLE, VM_NOHUGEPAGE, VM_SEQ_READ
from mmscope.kernel.include.mman import (
    MADV_COLD,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_HUGEPAGE,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_SHARED,
)
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mmap import do_munmap
from tests.kernel.mm.faultlib import Box


def errno_of(box: Box, start: int, length: int, advice: int) -> int:
    try:
        do_madvise(box.k, start, length, advice)
    except KernelError as error:
        return int(error.args[0])
    return 0


def test_errno_order() -> None:
    box = Box()
    addr = box.mmap(0x3000, addr=0x10000000)
    assert errno_of(box, addr + 1, 0, 7) == EINVAL
    assert errno_of(box, addr + 1, 0x1000, MADV_DONTNEED) == EINVAL
    assert errno_of(box, addr, 2**64 - 1, MADV_DONTNEED) == EINVAL
    assert errno_of(box, 0x20000000, 0, MADV_DONTNEED) == 0
    assert errno_of(box, 0x20000000, 1, MADV_DONTNEED) == ENOMEM
    assert errno_of(box, addr, 0x1000, MADV_WILLNEED) == 0


def test_holes_are_reported_after_the_rest_was_done() -> None:
    box = Box()
    addr = box.mmap(0x3000, addr=0x10000000)
    box.store(addr, 1)
    box.store(addr + 0x2000, 1)
    do_munmap(box.mm, addr + 0x1000, 0x1000)
    assert errno_of(box, addr, 0x3000, MADV_DONTNEED) == ENOMEM
    assert (box.pte(addr), box.pte(addr + 0x2000)) == (0, 0)
    assert box.load(addr) == 0


def test_flags_split_and_merge() -> None:
    box = Box()
    addr = box.mmap(0x3000, addr=0x10000000)
    count = box.mm.map_count
    do_madvise(box.k, addr + 0x1000, 0x1000, MADV_DONTFORK)
    assert box.mm.map_count == count + 2
    assert box.vma(addr + 0x1000).vm_flags & VM_DONTCOPY
    do_madvise(box.k, addr + 0x1000, 0x1000, MADV_DOFORK)
    assert box.mm.map_count == count
    do_madvise(box.k, addr, 0x3000, MADV_SEQUENTIAL)
    do_madvise(box.k, addr, 0x3000, MADV_HUGEPAGE)
    do_madvise(box.k, addr, 0x3000, MADV_MERGEABLE)
    assert box.vma(addr).vm_flags & (VM_SEQ_READ | VM_HUGEPAGE | VM_MERGEABLE) == VM_SEQ_READ | VM_HUGEPAGE | VM_MERGEABLE
    do_madvise(box.k, addr, 0x3000, MADV_NOHUGEPAGE)
    assert box.vma(addr).vm_flags & (VM_NOHUGEPAGE | VM_HUGEPAGE) == VM_NOHUGEPAGE


def test_free_and_cold_age_the_entries() -> None:
    box = Box()
    addr = box.mmap(0x2000, addr=0x10000000)
    box.store(addr, 1)
    box.store(addr + 0x1000, 1)
    do_madvise(box.k, addr, 0x1000, MADV_FREE)
    assert box.flags(addr) & 0x60 == 0
    box.store(addr, 2)  # no fault: hardware sets D again
    assert box.flags(addr) & 0x60 == 0x60
    do_madvise(box.k, addr + 0x1000, 0x1000, MADV_COLD)
    assert box.flags(addr + 0x1000) & 0x60 == 0x40


@pytest.mark.parametrize("advice", [MADV_FREE, MADV_WIPEONFORK])
def test_only_for_private_anonymous_memory(advice: int) -> None:
    box = Box()
    addr = box.mmap(0x1000, flags=MAP_SHARED | MAP_ANONYMOUS)
    assert errno_of(box, addr, 0x1000, advice) == EINVAL
