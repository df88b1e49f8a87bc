# SPDX-License-Identifier: GPL-2.0-or-later
"""core/exit.py, core/fork.py, init/main.py: a process's memory from boot to the last page."""

from __future__ import annotations

import pytest

from mmscope.kernel.config import KernelConfig
from mmscope.kernel.core.exit import do_exit, do_group_exit, sys_exit
from mmscope.kernel.core.fork import mm_alloc, mmput
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.sched import EXIT_DEAD
from mmscope.kernel.init.main import new_task, start_kernel, user_process
from mmscope.kernel.mm.page_alloc import drain_all_pages, nr_free_pages
from mmscope.kernel.mm.swap import lru_add_drain

from .boot import boot, boot_process


def free_frames(k: Kernel) -> int:
    """Free frames when no per-CPU list holds any back."""
    lru_add_drain(k)
    drain_all_pages(k)
    return nr_free_pages(k)


def test_all_frames_are_free_after_exit() -> None:
    k = boot()
    free = free_frames(k)
    task = user_process(k)
    assert nr_free_pages(k) < free
    do_exit(k, 7 << 8)
    assert free_frames(k) == free
    assert (task.exit_code, task.exit_state, task.mm) == (7 << 8, EXIT_DEAD, None)
    assert task.signal.maxrss > 0
    assert k.cpu.cr3 == 0


def test_a_begun_group_exit_keeps_its_code() -> None:
    k = boot_process()
    k.current.signal.group_exit = True
    k.current.signal.group_exit_code = 15
    do_group_exit(k, 9)
    assert k.current.exit_code == 15


def test_exit_code_is_a_byte() -> None:
    k = boot_process()
    sys_exit(k, 0x12345)
    assert k.current.exit_code == 0x4500


def test_empty_mm_leaves_nothing() -> None:
    k = boot()
    free = free_frames(k)
    mmput(mm_alloc(k))
    assert free_frames(k) == free


@pytest.mark.parametrize(("ram", "errno"), [(1 << 20, ENOMEM), (64 << 20 | 1, EINVAL), (1 << 50, ENOMEM)])
def test_impossible_ram(ram: int, errno: int) -> None:
    with pytest.raises(KernelError) as e:
        start_kernel(KernelConfig(ram=ram), None, (-1, -1, -1))
    assert e.value.errno == errno
    assert str(ram) in str(e.value)


def test_two_kernels_are_apart() -> None:
    a, b = boot(), boot()
    user_process(a)
    assert nr_free_pages(b) > nr_free_pages(a)
    assert new_task(b, "other").pid == 100
    assert a.current.kernel is a


def test_process_layout_without_aslr() -> None:
    k = boot_process()
    mm = k.current.mm
    assert mm is not None
    assert mm.start_brk == mm.brk == 0x555555555000
    vma = mm.mmap
    ends = []
    while vma is not None:
        ends.append(vma.vm_end)
        vma = vma.vm_next
    assert ends[-1] == 0x7FFFFFFFF000
    assert len(ends) == 3
