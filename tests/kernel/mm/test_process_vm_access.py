# SPDX-License-Identifier: GPL-2.0-or-later
"""process_vm_readv and process_vm_writev: bytes between two address spaces, errors, partial transfers."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from mmscope.kernel.include.errno import EFAULT, EINVAL, EPERM, ESRCH, KernelError
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.machine import Machine, Process

PAGE = 4096
AT = 0x20000000
IOV = 0x30000000
ANON, FIXED = 0x22, 0x10
READV, WRITEV = 310, 311

Segments = list[tuple[int, int]]


@pytest.fixture
def pair() -> Iterator[tuple[Process, Process]]:
    """A process and its child, both with four pages at AT, two of them with text, and room for iovecs."""
    with Machine(ram="32M", root=None, debug_vm=True, uid=1000, gid=1000) as machine:
        p = machine.process()
        p.mmap(IOV, PAGE, 3, ANON | FIXED)
        p.mmap(AT, 4 * PAGE, 3, ANON | FIXED)
        p.store(AT, bytes(range(256)) * 32)
        yield p, p.fork()
        validate_vm(machine.kernel)


def call(p: Process, nr: int, pid: int, local: Segments, remote: Segments, flags: int = 0) -> int:
    """The bytes moved, or -errno."""
    p.store(IOV, b"".join(struct.pack("<QQ", *seg) for seg in [*local, *remote]))
    try:
        return p.syscall(nr, pid, IOV, len(local), IOV + 16 * len(local), len(remote), flags)
    except KernelError as error:
        return -(error.errno or 0)


def test_reading_gathers_and_scatters(pair: tuple[Process, Process]) -> None:
    p, child = pair
    child.store(AT + PAGE - 3, b"abcdef")
    local, remote = [(AT + 2 * PAGE, 4), (AT + 3 * PAGE - 1, 2)], [(AT + PAGE - 3, 3), (AT + PAGE, 3)]
    assert call(p, READV, child.task.pid, local, remote) == 6
    assert p.load(AT + 2 * PAGE, 4) + p.load(AT + 3 * PAGE - 1, 2) == b"abcdef"
    # The parent's own page is as it was.
    assert p.load(AT + PAGE - 3, 3) == bytes([253, 254, 255])


def test_the_shorter_side_ends_it(pair: tuple[Process, Process]) -> None:
    p, child = pair
    assert call(p, READV, child.task.pid, [(AT, 10)], [(AT + PAGE, 100)]) == 10
    assert call(p, READV, child.task.pid, [(AT, 100)], [(AT + PAGE, 10), (AT, 0)]) == 10


def test_writing_breaks_copy_on_write_for_the_target_only(pair: tuple[Process, Process]) -> None:
    p, child = pair
    p.store(AT + 2 * PAGE, b"new")
    frame = p.translate(AT)
    assert call(p, WRITEV, child.task.pid, [(AT + 2 * PAGE, 3)], [(AT + 1, 3)]) == 3
    assert child.load(AT, 5) == b"\0new\x04"
    assert p.load(AT, 5) == bytes(range(5))
    assert p.translate(AT) == frame != child.translate(AT)


def test_many_pages(pair: tuple[Process, Process]) -> None:
    """More than are pinned at once."""
    p, child = pair
    size = 1030 * PAGE
    for q in pair:
        q.mmap(0x40000000, size, 3, ANON | FIXED)
    child.store(0x40000000, b"\x01")
    child.store(0x40000000 + size - 5, b"\x02" * 5)
    assert call(p, READV, child.task.pid, [(0x40000000, size)], [(0x40000000, size)]) == size
    assert p.load(0x40000000) + p.load(0x40000000 + size - 5, 5) == b"\x01" + b"\x02" * 5


def test_a_hole_ends_the_transfer(pair: tuple[Process, Process]) -> None:
    p, child = pair
    pid = child.task.pid
    child.munmap(AT + PAGE, PAGE)
    assert call(p, READV, pid, [(AT + 2 * PAGE, 2 * PAGE)], [(AT, 2 * PAGE)]) == PAGE
    assert call(p, READV, pid, [(AT + 2 * PAGE, PAGE)], [(AT + PAGE, PAGE)]) == -EFAULT
    # The caller's own hole too, in the middle of a page.
    p.munmap(AT + 3 * PAGE, PAGE)
    assert call(p, READV, pid, [(AT + 3 * PAGE - 10, 20)], [(AT, 20)]) == 10
    assert call(p, WRITEV, pid, [(AT + 3 * PAGE - 10, 20)], [(AT, 20)]) == 10
    assert call(p, WRITEV, pid, [(AT + 3 * PAGE, 20)], [(AT, 20)]) == -EFAULT


def test_memory_that_may_not_be_written_is_not(pair: tuple[Process, Process]) -> None:
    p, child = pair
    child.mprotect(AT, PAGE, 1)
    assert call(p, WRITEV, child.task.pid, [(AT, 4)], [(AT, 4)]) == -EFAULT
    child.mprotect(AT, PAGE, 0)
    assert call(p, READV, child.task.pid, [(AT, 4)], [(AT, 4)]) == -EFAULT


def test_arguments(pair: tuple[Process, Process]) -> None:
    p, child = pair
    pid = child.task.pid
    assert call(p, READV, pid, [(AT, 4)], [(AT, 4)], flags=1) == -EINVAL
    assert call(p, READV, 9999, [(AT, 4)], [(AT, 4)]) == -ESRCH
    # Nothing to do is not worth looking for the process.
    assert call(p, READV, 9999, [], [(AT, 4)]) == 0
    assert call(p, READV, 9999, [(AT, 0)], [(AT, 4)]) == 0
    assert call(p, READV, 9999, [(AT, 4)], [(AT, 0)]) == 0
    assert call(p, READV, pid, [(AT, 1 << 63)], [(AT, 4)]) == -EINVAL
    assert call(p, READV, pid, [(AT, 4)], [(AT, 1 << 63)]) == -EINVAL
    assert call(p, READV, pid, [(1 << 63, 4)], [(AT, 4)]) == -EFAULT
    child.exit()
    assert call(p, READV, pid, [(AT, 4)], [(AT, 4)]) == -ESRCH


def test_other_users_processes_are_refused(pair: tuple[Process, Process]) -> None:
    p, child = pair
    child.task.cred.uid = child.task.cred.euid = child.task.cred.suid = 1001
    assert call(p, READV, child.task.pid, [(AT, 4)], [(AT, 4)]) == -EPERM
