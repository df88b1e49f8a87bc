# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/mincore, mm/msync, mm/mlock: refusals and what they report."""

from __future__ import annotations

import errno

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.mm.mincore import ksys_mincore
from mmscope.kernel.mm.mlock import MCL_CURRENT, MCL_FUTURE, do_mlock, do_munlockall, ksys_mlock2, ksys_mlockall
from mmscope.kernel.mm.mmap import do_munmap
from mmscope.kernel.mm.msync import MS_ASYNC, MS_INVALIDATE, MS_SYNC, ksys_msync
from tests.kernel.mm.test_mmap import PAGE, Box, fails


def test_mincore_tells_touched_pages_of_anonymous_memory() -> None:
    box = Box()
    addr = box.mmap(4 * PAGE)
    vec = box.mmap(PAGE, flags=0x21)
    copy_to_user(box.k, addr + PAGE, b"x")
    copy_from_user(box.k, addr + 3 * PAGE, 1)
    ksys_mincore(box.k, addr, 4 * PAGE - 7, vec)
    assert copy_from_user(box.k, vec, 5) == bytes([0, 1, 0, 1, 0])
    fails(errno.EINVAL, ksys_mincore, box.k, addr + 1, PAGE, vec)
    fails(errno.ENOMEM, ksys_mincore, box.k, 0x30000000, PAGE, vec)
    fails(errno.ENOMEM, ksys_mincore, box.k, 0x7FFFFFFFF000, PAGE, vec)
    fails(errno.EFAULT, ksys_mincore, box.k, addr, PAGE, 0x7FFFFFFFF000)
    fails(errno.EFAULT, ksys_mincore, box.k, addr, PAGE, 0x30000000)


def test_msync_refusals() -> None:
    box = Box()
    addr = box.mmap(3 * PAGE)
    ksys_msync(box.k, addr, 3 * PAGE, MS_SYNC)
    fails(errno.EINVAL, ksys_msync, box.k, addr, PAGE, MS_SYNC | MS_ASYNC)
    fails(errno.EINVAL, ksys_msync, box.k, addr + 1, PAGE, MS_SYNC)
    fails(errno.EINVAL, ksys_msync, box.k, addr, PAGE, 8)
    do_munmap(box.mm, addr + PAGE, PAGE)
    fails(errno.ENOMEM, ksys_msync, box.k, addr, 3 * PAGE, MS_ASYNC)
    do_mlock(box.k, addr, PAGE, VM_LOCKED)
    fails(errno.EBUSY, ksys_msync, box.k, addr, PAGE, MS_INVALIDATE)


def test_mlock_limits_and_mlockall() -> None:
    box = Box(1000)
    addr = box.mmap(20 * PAGE)
    fails(errno.ENOMEM, do_mlock, box.k, addr, 17 * PAGE, VM_LOCKED)
    do_mlock(box.k, addr, 16 * PAGE, VM_LOCKED)
    # What is locked already does not count again.
    do_mlock(box.k, addr, 16 * PAGE, VM_LOCKED)
    fails(errno.ENOMEM, do_mlock, box.k, addr + 16 * PAGE, PAGE, VM_LOCKED)
    fails(errno.EINVAL, ksys_mlock2, box.k, addr, PAGE, 2)
    fails(errno.ENOMEM, ksys_mlockall, box.k, MCL_CURRENT)
    fails(errno.EINVAL, ksys_mlockall, box.k, 0)
    ksys_mlockall(box.k, MCL_FUTURE)
    fails(errno.EAGAIN, box.mmap)
    do_munlockall(box.k)
    assert box.mm.locked_vm == 0
    # Special mappings are not locked, all else is.
    box = Box()
    ksys_mlockall(box.k, MCL_CURRENT)
    assert box.mm.locked_vm == (0x4E8000 - 0x4C5000 + 0x21000) >> 12
