# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's access to user memory: it faults pages in, breaks COW, and ends in EFAULT."""

from __future__ import annotations

import pytest

from mmscope.kernel.arch.x86.uaccess import (
    access_ok,
    clear_user,
    copy_from_user,
    copy_to_user,
    copy_to_user_partial,
    get_user,
    put_user,
    strncpy_from_user,
)
from mmscope.kernel.include.errno import EFAULT, KernelError
from mmscope.kernel.include.mman import PROT_READ
from tests.kernel.mm.faultlib import Box


def test_round_trip_over_a_page_boundary() -> None:
    box = Box()
    addr = box.mmap(0x3000)
    before = box.faults()
    data = bytes(range(256)) * 20
    copy_to_user(box.k, addr + 100, data)
    assert copy_from_user(box.k, addr + 100, len(data)) == data
    assert box.faults() == (before[0] + 2, before[1])
    put_user(box.k, addr + 4094, -2, 4)
    assert get_user(box.k, addr + 4094, 4) == 0xFFFFFFFE
    clear_user(box.k, addr + 4000, 200)
    assert copy_from_user(box.k, addr + 4000, 200) == bytes(200)
    assert box.task.pending.list == []


def test_efault_without_a_signal() -> None:
    box = Box()
    addr = box.mmap(0x1000)
    ro = box.mmap(0x1000, PROT_READ)
    assert ro == addr - 0x1000
    for call in (
        lambda: copy_from_user(box.k, 8, 1),
        lambda: copy_to_user(box.k, ro, b"x"),
        lambda: copy_from_user(box.k, 0x7FFFFFFFEFFF, 2),
        lambda: get_user(box.k, 0x8000000000000000, 8),
        lambda: strncpy_from_user(box.k, 0xFFFF800000000000, 10),
    ):
        with pytest.raises(KernelError) as bad:
            call()
        assert bad.value.args[0] == EFAULT
    assert box.task.pending.list == []
    assert not access_ok(0x7FFFFFFFF000, 1)


def test_a_short_copy_writes_what_fits() -> None:
    box = Box()
    addr = box.mmap(0x1000, addr=0x10000000)
    assert copy_to_user_partial(box.k, addr + 4090, b"0123456789") == 6
    assert copy_from_user(box.k, addr + 4090, 6) == b"012345"


def test_strings() -> None:
    box = Box()
    addr = box.mmap(0x2000, addr=0x10000000)
    copy_to_user(box.k, addr + 4090, b"hello world\0")
    assert strncpy_from_user(box.k, addr + 4090, 4096) == b"hello world"
    assert strncpy_from_user(box.k, addr + 4090, 5) == b"hello"
    copy_to_user(box.k, addr + 0x1FFC, b"abcd")
    with pytest.raises(KernelError):
        strncpy_from_user(box.k, addr + 0x1FFC, 64)
