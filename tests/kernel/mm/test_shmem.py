# SPDX-License-Identifier: GPL-2.0-or-later
"""Files in memory: tmpfs with names, what becomes of the host's, memfd and its seals."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.errors import BusError
from mmscope.kernel.include.errno import EBUSY, EINVAL, ENOSPC, EPERM
from mmscope.kernel.include.fs import O_CREAT, O_DIRECT, O_RDWR, Inode, SuperBlock
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.shmem import SHMEM_SB, shmem_info
from mmscope.kernel.mm.vmstat import NR_FILE_DIRTY, NR_SHMEM
from mmscope.machine import Machine, Process
from tests.kernel.errnos import errno_of

NR_LSEEK, NR_PREAD, NR_PWRITE, NR_FCNTL, NR_FTRUNCATE, NR_UNLINK, NR_FALLOCATE, NR_MEMFD = 8, 17, 18, 72, 77, 87, 285, 319
KEEP_SIZE, PUNCH_HOLE, MADV_REMOVE = 1, 2, 9
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, SEAL_FUTURE_WRITE = 1, 2, 4, 8, 16
PROT_READ, PROT_WRITE, SHARED, PRIVATE = 1, 2, 1, 2


@pytest.fixture
def m() -> Machine:
    return Machine("64M", root=None, debug_vm=True, streams=(-1, -1, -1), uid=0, gid=0)


@pytest.fixture
def p(m: Machine) -> Process:
    return m.process()


def inode_of(p: Process, fd: int) -> Inode:
    assert p.task.files is not None
    return p.task.files.fd[fd].f_inode


def put(p: Process, text: bytes) -> int:
    addr = p.mmap(0, 65536, 3, 0x22)
    p.store(addr, text)
    return addr


def write(p: Process, fd: int, data: bytes, pos: int) -> int:
    addr = put(p, data)
    try:
        return p.syscall(NR_PWRITE, fd, addr, len(data), pos)
    finally:
        p.munmap(addr, 65536)


def read(p: Process, fd: int, count: int, pos: int) -> bytes:
    addr = put(p, b"")
    try:
        return p.load(addr, p.syscall(NR_PREAD, fd, addr, count, pos))
    finally:
        p.munmap(addr, 65536)


def memfd(p: Process, flags: int = 2) -> int:
    return p.syscall(NR_MEMFD, put(p, b"name\0"), flags)


def test_a_hole_reads_as_zeroes_and_takes_no_page(p: Process) -> None:
    fd = p.open("/dev/shm/f", O_RDWR | O_CREAT, 0o600)
    write(p, fd, b"end", 40000)
    inode = inode_of(p, fd)
    assert (inode.i_mapping.nrpages, inode.i_blocks, inode.i_size) == (1, 8, 40003)
    assert read(p, fd, 50, 39990) == bytes(10) + b"end"
    assert inode.i_mapping.nrpages == 1
    assert p.syscall(NR_LSEEK, fd, 0, 3) == 36864
    assert p.syscall(NR_LSEEK, fd, 36864, 4) == 40003
    addr = p.mmap(0, 45056, PROT_READ, SHARED, fd)
    assert p.load(addr + 4096, 1) == b"\0"
    assert inode.i_mapping.nrpages == 2
    with pytest.raises(BusError):
        p.load(addr + 40960)


def test_its_pages_are_dirty_and_never_counted_so(m: Machine, p: Process) -> None:
    fd = p.open("/dev/shm/f", O_RDWR | O_CREAT, 0o600)
    write(p, fd, b"x" * 10000, 0)
    assert (m.kernel.vmstat.stat[NR_SHMEM], m.kernel.vmstat.stat[NR_FILE_DIRTY]) == (3, 0)
    addr = p.mmap(0, 4096, 3, SHARED, fd)
    # Mapped writable by the read fault: nobody has to be told of the first store.
    assert p.load(addr) == b"x"
    faults = p.task.min_flt
    p.store(addr, b"y")
    assert p.task.min_flt == faults


def test_the_last_close_of_an_unlinked_file_frees_its_pages(m: Machine, p: Process) -> None:
    fd = p.open("/dev/shm/f", O_RDWR | O_CREAT, 0o600)
    write(p, fd, b"x" * 10000, 0)
    addr = p.mmap(0, 4096, 3, SHARED, fd)
    path = put(p, b"/dev/shm/f\0")
    p.syscall(NR_UNLINK, path)
    p.close(fd)
    assert p.load(addr) == b"x"
    assert "/dev/shm/f (deleted)" in p.maps()
    before = m.kernel.vm_committed_as
    p.munmap(addr, 4096)
    assert m.kernel.vmstat.stat[NR_SHMEM] == 0
    assert before - m.kernel.vm_committed_as == 3


def test_the_mount_is_as_large_as_half_of_the_ram(m: Machine, p: Process) -> None:
    fd = p.open("/dev/shm/f", O_RDWR | O_CREAT, 0o600)
    sb: SuperBlock = inode_of(p, fd).i_sb
    sbinfo = SHMEM_SB(sb)
    sbinfo.max_blocks = 10
    assert errno_of(lambda: p.syscall(NR_FALLOCATE, fd, 0, 0, 11 * 4096)) == ENOSPC
    assert write(p, fd, b"x" * 50000, 0) == 40960
    p.syscall(NR_FTRUNCATE, fd, 65536)
    addr = p.mmap(0, 65536, 3, SHARED, fd)
    with pytest.raises(BusError):
        p.store(addr + 61440, b"y")
    p.syscall(NR_FTRUNCATE, fd, 0)
    assert sbinfo.used_blocks == 0


def test_preallocation_and_holes(p: Process) -> None:
    fd = p.open("/dev/shm/f", O_RDWR | O_CREAT, 0o600)
    p.syscall(NR_FALLOCATE, fd, KEEP_SIZE, 0, 16384)
    inode = inode_of(p, fd)
    assert (inode.i_size, inode.i_blocks) == (0, 32)
    p.syscall(NR_FTRUNCATE, fd, 16384)
    assert p.syscall(NR_LSEEK, fd, 0, 4) == 0
    # The second time it initializes the pages: that is data.
    p.syscall(NR_FALLOCATE, fd, 0, 0, 16384)
    assert p.syscall(NR_LSEEK, fd, 0, 4) == 16384
    addr = p.mmap(0, 16384, 3, SHARED, fd)
    p.store(addr, b"a" * 16384)
    private = p.mmap(0, 16384, 3, PRIVATE, fd)
    p.store(private + 4096, b"mine")
    p.madvise(addr + 4096, 8192, MADV_REMOVE)
    assert p.load(addr, 16384) == b"a" * 4096 + bytes(8192) + b"a" * 4096
    assert p.load(private + 4096, 4) == b"mine"
    assert errno_of(lambda: p.syscall(NR_FALLOCATE, fd, 16, 0, 4096)) == 95


def test_the_hosts_tmpfs_is_one_here_too(tmp_path: Path) -> None:
    """All of a file is in memory once it is open; what the guest changes stays its own."""
    (tmp_path / "file").write_bytes(b"host" * 5000)
    m = Machine("64M", root=str(tmp_path), debug_vm=True, streams=(-1, -1, -1), uid=0, gid=0, rootfstype="tmpfs")
    p = m.process()
    fd = p.open("/file", O_RDWR)
    inode = inode_of(p, fd)
    assert (inode.i_sb.s_type, inode.i_mapping.nrpages) == ("tmpfs", 5)
    addr = p.mmap(0, 20480, 3, SHARED, fd)
    majors = p.task.maj_flt
    assert p.load(addr, 20000) == b"host" * 5000
    assert p.task.maj_flt == majors
    p.syscall(NR_FTRUNCATE, fd, 6)
    p.syscall(NR_FTRUNCATE, fd, 20000)
    assert p.load(addr, 20000) == b"hostho" + bytes(19994)
    assert (tmp_path / "file").read_bytes() == b"host" * 5000


def test_a_large_file_of_the_hosts_tmpfs_comes_page_by_page(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(20 << 20)
        file.seek(10 << 20)
        file.write(b"data")
    m = Machine("64M", root=str(tmp_path), debug_vm=True, streams=(-1, -1, -1), uid=0, gid=0, rootfstype="tmpfs")
    p = m.process()
    fd = p.open("/file", O_RDWR)
    inode = inode_of(p, fd)
    assert inode.i_mapping.nrpages == 0
    assert read(p, fd, 8, 10 << 20) == b"data" + bytes(4)
    assert read(p, fd, 8, 0) == bytes(8)
    assert inode.i_mapping.nrpages == 1
    p.syscall(NR_FALLOCATE, fd, PUNCH_HOLE | KEEP_SIZE, 10 << 20, 4096)
    assert read(p, fd, 4, 10 << 20) == bytes(4)
    assert shmem_info(inode).alloced == 0


def test_o_direct_came_to_tmpfs_with_6_6(m: Machine, p: Process) -> None:
    assert errno_of(lambda: p.open("/dev/shm/f", O_RDWR | O_CREAT | O_DIRECT, 0o600)) == EINVAL
    new = Machine("64M", root=None, streams=(-1, -1, -1), uid=0, gid=0, version=(6, 6))
    assert new.process().open("/dev/shm/f", O_RDWR | O_CREAT | O_DIRECT, 0o600) == 0


# --- memfd


def test_memfd_is_a_file_without_a_name(p: Process) -> None:
    fd = memfd(p, 0)
    p.syscall(NR_FTRUNCATE, fd, 8192)
    addr = p.mmap(0, 8192, 3, SHARED, fd)
    p.store(addr + 4096, b"both")
    assert read(p, fd, 4, 4096) == b"both"
    assert "/memfd:name (deleted)" in p.maps()
    assert p.syscall(NR_FCNTL, fd, F_GET_SEALS, 0) == SEAL_SEAL
    assert errno_of(lambda: p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_GROW)) == EPERM
    assert errno_of(lambda: memfd(p, 0x80)) == EINVAL


def test_seals_of_the_size(p: Process) -> None:
    fd = memfd(p)
    p.syscall(NR_FTRUNCATE, fd, 4096)
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW)
    assert errno_of(lambda: p.syscall(NR_FTRUNCATE, fd, 0)) == EPERM
    assert errno_of(lambda: p.syscall(NR_FTRUNCATE, fd, 8192)) == EPERM
    assert errno_of(lambda: p.syscall(NR_FALLOCATE, fd, 0, 0, 8192)) == EPERM
    assert errno_of(lambda: write(p, fd, b"x", 4096)) == EPERM
    assert write(p, fd, b"x", 0) == 1
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_SEAL)
    assert p.syscall(NR_FCNTL, fd, F_GET_SEALS, 0) == SEAL_SEAL | SEAL_SHRINK | SEAL_GROW
    assert errno_of(lambda: p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_WRITE)) == EPERM


def test_sealed_against_writing(p: Process) -> None:
    fd = memfd(p)
    p.syscall(NR_FTRUNCATE, fd, 4096)
    addr = p.mmap(0, 4096, 3, SHARED, fd)
    assert errno_of(lambda: p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_WRITE)) == EBUSY
    p.munmap(addr, 4096)
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_WRITE)
    assert errno_of(lambda: write(p, fd, b"x", 0)) == EPERM
    assert errno_of(lambda: p.mmap(0, 4096, 3, SHARED, fd)) == EPERM
    assert errno_of(lambda: p.syscall(NR_FALLOCATE, fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096)) == EPERM
    private = p.mmap(0, 4096, 3, PRIVATE, fd)
    p.store(private, b"mine")


@pytest.mark.parametrize(
    ("version", "refused"),
    [((6, 0), True), ((6, 1), False), ((6, 12), False), ((6, 18), False)],
)
def test_sealed_against_writing_but_mapped_to_be_read(version: tuple[int, int], refused: bool) -> None:
    p = Machine("64M", root=None, streams=(-1, -1, -1), uid=0, gid=0, version=version).process()
    fd = memfd(p)
    p.syscall(NR_FTRUNCATE, fd, 4096)
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_WRITE)
    if refused:
        assert errno_of(lambda: p.mmap(0, 4096, PROT_READ, SHARED, fd)) == EPERM
    else:
        reader = p.mmap(0, 4096, PROT_READ, SHARED, fd)
        assert errno_of(lambda: p.mprotect(reader, 4096, 3)) == 13
    assert errno_of(lambda: p.mmap(0, 4096, 3, SHARED, fd)) == EPERM


@pytest.mark.parametrize(("version", "unmapped"), [((6, 1), True), ((6, 11), True), ((6, 12), False), ((6, 18), False)])
def test_sealed_against_future_writing_is_seen_before_or_after_the_target_goes(version: tuple[int, int], unmapped: bool) -> None:
    p = Machine("64M", root=None, streams=(-1, -1, -1), uid=0, gid=0, version=version).process()
    fd = memfd(p)
    p.syscall(NR_FTRUNCATE, fd, 4096)
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_FUTURE_WRITE)
    target = p.mmap(0x20000000, 4096, 3, PRIVATE | 0x30)
    count = p.mm.map_count
    assert errno_of(lambda: p.mmap(target, 4096, 3, SHARED | 0x10, fd)) == EPERM
    assert p.mm.map_count == count - unmapped


@pytest.mark.parametrize(("version", "size"), [((5, 11), 0), ((6, 13), 0), ((6, 14), 100), ((6, 18), 100)])
def test_a_write_from_nowhere_beyond_the_end(version: tuple[int, int], size: int) -> None:
    p = Machine("64M", root=None, streams=(-1, -1, -1), uid=0, gid=0, version=version).process()
    fd = memfd(p)
    assert errno_of(lambda: p.syscall(18, fd, 0x1000, 8, 100)) == 14
    assert inode_of(p, fd).i_size == size


def test_sealed_against_future_writing(p: Process) -> None:
    fd = memfd(p)
    p.syscall(NR_FTRUNCATE, fd, 4096)
    addr = p.mmap(0, 4096, 3, SHARED, fd)
    p.syscall(NR_FCNTL, fd, F_ADD_SEALS, SEAL_FUTURE_WRITE)
    p.store(addr, b"still")
    assert errno_of(lambda: p.mmap(0, 4096, 3, SHARED, fd)) == EPERM
    reader = p.mmap(0, 4096, PROT_READ, SHARED, fd)
    assert p.load(reader, 5) == b"still"
    assert errno_of(lambda: p.mprotect(reader, 4096, 3)) == 13
    assert errno_of(lambda: write(p, fd, b"x", 0)) == EPERM


def test_pages_of_a_memfd_are_its_page_cache(p: Process) -> None:
    fd = memfd(p)
    write(p, fd, b"abc", 0)
    addr = p.mmap(0, 4096, 3, SHARED, fd)
    p.load(addr)
    page = xa_load(inode_of(p, fd).i_mapping.i_pages, 0)
    assert page is not None
    assert p.translate(addr) == page.pfn << 12  # type: ignore[attr-defined]
