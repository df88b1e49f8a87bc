# SPDX-License-Identifier: GPL-2.0-or-later
"""System V shared memory: segments, attachments, and their end."""

from __future__ import annotations

import pytest

from mmscope.kernel.include.errno import EACCES, EEXIST, EIDRM, EINVAL, ENOENT, EPERM
from mmscope.kernel.ipc.shm import shm_ids, shm_vm_ops
from mmscope.kernel.mm.mmap import find_vma
from mmscope.machine import Machine, Process
from tests.kernel.errnos import errno_of

NR_SHMGET, NR_SHMAT, NR_SHMCTL, NR_SHMDT = 29, 30, 31, 67
IPC_CREAT, IPC_EXCL, SHM_RDONLY, SHM_RND, SHM_REMAP = 0o1000, 0o2000, 0o10000, 0o20000, 0o40000
IPC_RMID, IPC_STAT = 0, 2


@pytest.fixture
def p() -> Process:
    return Machine("64M", root=None, debug_vm=True, streams=(-1, -1, -1), uid=1000, gid=1000).process()


def stat(p: Process, id: int) -> tuple[int, int, int]:
    """(size, attachments, mode)."""
    buf = p.mmap(0, 4096, 3, 0x22)
    p.syscall(NR_SHMCTL, id, IPC_STAT, buf)
    raw = p.load(buf, 112)
    p.munmap(buf, 4096)
    return int.from_bytes(raw[48:56], "little"), int.from_bytes(raw[88:96], "little"), int.from_bytes(raw[20:24], "little")


def test_two_attachments_are_one_memory(p: Process) -> None:
    id = p.syscall(NR_SHMGET, 0, 8192, IPC_CREAT | 0o600)
    one = p.syscall(NR_SHMAT, id, 0x20000000, 0)
    two = p.syscall(NR_SHMAT, id, 0x20002000, SHM_RDONLY)
    assert (one, two) == (0x20000000, 0x20002000)
    p.store(one + 4096, b"shared")
    assert p.load(two + 4096, 6) == b"shared"
    assert stat(p, id) == (8192, 2, 0o600)
    # ->close: they do not merge, though they touch and could.
    assert p.maps().count("/SYSV00000000 (deleted)") == 2
    p.syscall(NR_SHMDT, one)
    assert stat(p, id)[1] == 1
    assert errno_of(lambda: p.syscall(NR_SHMDT, one)) == EINVAL


def test_a_removed_segment_lives_until_the_last_detach(p: Process) -> None:
    k = p.machine.kernel
    before = k.vm_committed_as
    id = p.syscall(NR_SHMGET, 77, 4096, IPC_CREAT | 0o600)
    assert k.vm_committed_as == before + 1
    addr = p.syscall(NR_SHMAT, id, 0, 0)
    p.store(addr, b"x")
    p.syscall(NR_SHMCTL, id, IPC_RMID, 0)
    assert stat(p, id)[2] == 0o1600
    assert errno_of(lambda: p.syscall(NR_SHMGET, 77, 4096, 0)) == ENOENT
    assert p.load(addr) == b"x"
    p.syscall(NR_SHMDT, addr)
    assert not shm_ids(k).segments
    assert k.vm_committed_as == before
    assert errno_of(lambda: p.syscall(NR_SHMAT, id, 0, 0)) == EINVAL


def test_keys(p: Process) -> None:
    id = p.syscall(NR_SHMGET, 5, 4096, IPC_CREAT | 0o600)
    assert p.syscall(NR_SHMGET, 5, 100, 0) == id
    assert errno_of(lambda: p.syscall(NR_SHMGET, 5, 4096, IPC_CREAT | IPC_EXCL)) == EEXIST
    assert errno_of(lambda: p.syscall(NR_SHMGET, 5, 8192, 0)) == EINVAL
    assert errno_of(lambda: p.syscall(NR_SHMGET, 6, 0, IPC_CREAT)) == EINVAL
    p.task.cred.euid = 1001
    p.task.cred.egid = 1001
    assert errno_of(lambda: p.syscall(NR_SHMGET, 5, 4096, 0o600)) == EACCES
    assert errno_of(lambda: p.syscall(NR_SHMAT, id, 0, 0)) == EACCES
    assert errno_of(lambda: p.syscall(NR_SHMCTL, id, IPC_RMID, 0)) == EPERM


def test_where_it_may_be_attached(p: Process) -> None:
    id = p.syscall(NR_SHMGET, 0, 8192, IPC_CREAT | 0o600)
    p.mmap(0x20001000, 4096, 3, 0x32)
    assert errno_of(lambda: p.syscall(NR_SHMAT, id, 0x20000000, 0)) == EINVAL
    assert errno_of(lambda: p.syscall(NR_SHMAT, id, 0x20000001, 0)) == EINVAL
    assert errno_of(lambda: p.syscall(NR_SHMAT, id, 0, SHM_REMAP)) == EINVAL
    assert p.syscall(NR_SHMAT, id, 0x20000123, SHM_RND | SHM_REMAP) == 0x20000000


def test_shmdt_takes_the_pieces_that_are_left(p: Process) -> None:
    id = p.syscall(NR_SHMGET, 0, 4 * 4096, IPC_CREAT | 0o600)
    addr = p.syscall(NR_SHMAT, id, 0x20000000, 0)
    p.munmap(addr + 4096, 4096)
    p.mprotect(addr + 3 * 4096, 4096, 1)
    assert stat(p, id)[1] == 3
    p.syscall(NR_SHMDT, addr)
    assert stat(p, id)[1] == 0
    vma = find_vma(p.mm, addr)
    assert vma is None or vma.vm_ops is not shm_vm_ops


def test_the_end_of_the_process_detaches(p: Process) -> None:
    machine = p.machine
    id = p.syscall(NR_SHMGET, 0, 4096, IPC_CREAT | 0o600)
    p.store(p.syscall(NR_SHMAT, id, 0, 0), b"left behind")
    p.exit()
    assert shm_ids(machine.kernel).segments[id].shm_nattch == 0
    other = machine.process()
    addr = other.syscall(NR_SHMAT, id, 0, 0)
    assert other.load(addr, 11) == b"left behind"
    other.syscall(NR_SHMCTL, id, IPC_RMID, 0)
    other.syscall(NR_SHMDT, addr)
    again = other.syscall(NR_SHMGET, 0, 4096, IPC_CREAT | 0o600)
    assert again != id


def test_an_id_whose_index_was_used_again_is_gone(p: Process) -> None:
    ns = shm_ids(p.machine.kernel)
    first = p.syscall(NR_SHMGET, 0, 4096, IPC_CREAT | 0o600)
    p.syscall(NR_SHMCTL, first, IPC_RMID, 0)
    ns.last_idx = 32767
    second = p.syscall(NR_SHMGET, 0, 4096, IPC_CREAT | 0o600)
    assert second == first + 32768
    assert errno_of(lambda: p.syscall(NR_SHMAT, first, 0, 0)) == EIDRM
