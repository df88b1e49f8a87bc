# SPDX-License-Identifier: GPL-2.0-or-later
"""remap_file_pages: mmap over a shared mapping; what the scenarios cannot see."""

from __future__ import annotations

import errno

import pytest

from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_NONBLOCK, MAP_SHARED
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.mmap_remap import ksys_remap_file_pages
from tests.kernel.mm.faultlib import RW, Box

PAGE = 4096


def test_pages_change_their_order_and_are_populated() -> None:
    box = Box()
    addr = box.mmap(3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS)
    for i in range(3):
        box.store(addr + i * PAGE, 10 + i)
    ksys_remap_file_pages(box.k, addr, PAGE, 0, 2, 0)
    assert box.pte(addr) & 1
    assert box.page(addr) is box.page(addr + 2 * PAGE)
    ksys_remap_file_pages(box.k, addr + PAGE, PAGE, 0, 0, MAP_NONBLOCK)
    assert box.pte(addr + PAGE) == 0
    assert [box.load(addr + i * PAGE) for i in range(3)] == [12, 10, 12]
    assert box.vma(addr).vm_pgoff == 2
    file = box.vma(addr).vm_file
    assert file is not None
    # One reference a VMA: the call's own is given back.
    assert file.f_count == 3
    assert file.f_mapping.i_mmap_writable == 3
    validate_vm(box.k)


def test_the_kernel_says_once_that_it_is_deprecated() -> None:
    box = Box()
    for _ in range(2):
        with pytest.raises(KernelError) as caught:
            ksys_remap_file_pages(box.k, 0x20000000, PAGE, 1, 0, 0)
        assert caught.value.args[0] == errno.EINVAL
    said = [text for _, text in box.k.log if "remap_file_pages" in text]
    comm, pid = box.task.comm, box.task.pid
    assert said == [
        f"mmap: {comm} ({pid}) uses deprecated remap_file_pages() syscall. See Documentation/vm/remap_file_pages.rst."
    ]
