# SPDX-License-Identifier: GPL-2.0-or-later
"""walk_page_range: which callback sees which part of an address space."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.mm import VM_PFNMAP
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mmscope.kernel.mm.mmap import find_vma, ksys_mmap_pgoff
from mmscope.kernel.mm.pagewalk import MmWalk, MmWalkOps, walk_page_range, walk_page_vma
from tests.kernel.fs.fs_machine import boot

A = 0x20000000
PMD = 0x200000


def _entry(pmdp: int, addr: int, end: int, walk: MmWalk) -> None:
    assert isinstance(walk.private, list)
    walk.private.append(("table", addr - A, end - A, walk.vma is not None))


def _hole(addr: int, end: int, walk: MmWalk) -> None:
    assert isinstance(walk.private, list)
    walk.private.append(("hole", addr - A, end - A, walk.vma is not None))


def _even(start: int, end: int, walk: MmWalk) -> bool:
    return start == A


def test_tables_holes_and_what_lies_between_vmas(tmp_path: Path) -> None:
    k = boot(tmp_path)
    mm = k.current.mm
    assert mm is not None
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    ksys_mmap_pgoff(k, A, 3 * PMD, PROT_READ | PROT_WRITE, flags, 0, 0)
    ksys_mmap_pgoff(k, A + 3 * PMD + 0x1000, 0x1000, PROT_READ, flags, 0, 0)
    copy_to_user(k, A + PMD + 0x5000, b"x")
    seen: list[tuple[str, int, int, bool]] = []
    walk_page_range(mm, A, A + 3 * PMD + 0x3000, MmWalkOps(_entry, _hole), seen)
    assert seen == [
        ("hole", 0, PMD, True),
        ("table", PMD, 2 * PMD, True),
        ("hole", 2 * PMD, 3 * PMD, True),
        ("hole", 3 * PMD, 3 * PMD + 0x1000, False),
        ("hole", 3 * PMD + 0x1000, 3 * PMD + 0x2000, True),
        ("hole", 3 * PMD + 0x2000, 3 * PMD + 0x3000, False),
    ]
    seen.clear()
    walk_page_range(mm, A + PMD, A + PMD + 0x2000, MmWalkOps(_entry, None, _even), seen)
    walk_page_range(mm, A, A + PMD, MmWalkOps(_entry, _hole, _even), seen)
    assert seen == [("hole", 0, PMD, True)], "test_walk leaves out what begins elsewhere"
    with pytest.raises(KernelError) as caught:
        walk_page_range(mm, A, A, MmWalkOps(_entry), seen)
    assert caught.value.errno == EINVAL


def test_bare_frames_are_a_hole(tmp_path: Path) -> None:
    k = boot(tmp_path)
    mm = k.current.mm
    assert mm is not None
    vma = mm.mmap
    while vma is not None and not vma.vm_flags & VM_PFNMAP:
        vma = vma.vm_next
    assert vma is not None, "vvar"
    assert find_vma(mm, vma.vm_start) is vma
    seen: list[tuple[str, int, int, bool]] = []
    walk_page_vma(vma, MmWalkOps(_entry, _hole), seen)
    assert seen == [("hole", vma.vm_start - A, vma.vm_end - A, True)]
