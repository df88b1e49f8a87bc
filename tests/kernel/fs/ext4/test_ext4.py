# SPDX-License-Identifier: GPL-2.0-or-later
"""Files on ext4: where their bytes are, what the disk is asked for, and what is left when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmscope.errors import BusError
from mmscope.kernel.block.genhd import REQ_OP_READ, REQ_OP_WRITE, BlockDevice
from mmscope.kernel.fs.drop_caches import drop_pagecache
from mmscope.kernel.fs.ext4.ext4_jbd2 import ext4_recover, ext4_recover_lookup
from mmscope.kernel.fs.ext4.inode import EXT4_SB
from mmscope.kernel.fs.namei import path_lookup
from mmscope.kernel.include.errno import EFBIG, EINVAL, EIO, ENOSPC, EROFS, KernelError
from mmscope.kernel.include.fs import AT_FDCWD, O_APPEND, O_CREAT, O_DIRECT, O_RDWR, O_WRONLY, File, Inode
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_dirty, PG_reclaim, PG_uptodate
from mmscope.kernel.include.resource import RLIMIT_FSIZE, Rlimit
from mmscope.kernel.lib.xarray import xa_get_mark, xa_load
from mmscope.kernel.mm.page_writeback import PAGECACHE_TAG_DIRTY
from mmscope.kernel.mm.swap import LRU_INACTIVE_FILE, lru_add_drain
from mmscope.kernel.mm.truncate import invalidate_mapping_pages
from mmscope.kernel.mm.vmstat import NR_FILE_DIRTY, PGROTATED
from mmscope.machine import Machine, Process

NR_LSEEK, NR_PREAD, NR_PWRITE, NR_MSYNC, NR_FSYNC, NR_FDATASYNC, NR_FTRUNCATE = 8, 17, 18, 26, 74, 75, 77
NR_SYNC, NR_FALLOCATE, NR_PWRITEV2 = 162, 285, 328
NR_WRITE, NR_NANOSLEEP, NR_SYNC_FILE_RANGE = 1, 35, 277
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, INSERT_RANGE = 1, 2, 16, 32
CONTENT = bytes(range(256)) * 40


class Guest:
    """A process on a machine with one host file, /file, and a buffer to read and write by."""

    def __init__(self, root: Path, **config: int) -> None:
        settings: dict[str, Any] = {"debug_vm": True, "streams": (-1, -1, -1), "uid": 0, "gid": 0, "rootfstype": "ext4", **config}
        self.machine = Machine("64M", root=str(root), **settings)
        self.k = self.machine.kernel
        self.p: Process = self.machine.process()
        self.buf = self.p.mmap(0, 1 << 16, 3, 0x22)

    @property
    def disk(self) -> BlockDevice:
        host = self.k.vfs.host
        assert host is not None
        return host.bdev

    def file(self, fd: int) -> File:
        assert self.p.task.files is not None
        return self.p.task.files.fd[fd]

    def inode(self, path: str) -> Inode:
        inode = path_lookup(self.k, AT_FDCWD, path, True).d_inode
        assert inode is not None
        return inode

    def write(self, fd: int, data: bytes, pos: int) -> int:
        self.p.store(self.buf, data)
        return self.p.syscall(NR_PWRITE, fd, self.buf, len(data), pos)

    def read(self, fd: int, count: int, pos: int) -> bytes:
        return self.p.load(self.buf, self.p.syscall(NR_PREAD, fd, self.buf, count, pos))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def g(root: Path) -> Guest:
    return Guest(root)


def test_a_write_is_seen_by_mapping_and_read_and_never_by_the_host(g: Guest, root: Path) -> None:
    fd = g.p.open("/file", O_RDWR)
    addr = g.p.mmap(0, 8192, 3, 1, fd)
    assert g.write(fd, b"HELLO", 4094) == 5
    assert g.p.load(addr + 4094, 5) == b"HELLO"
    g.p.store(addr, b"stored")
    assert g.read(fd, 6, 0) == b"stored"
    g.p.syscall(NR_FSYNC, fd)
    lru_add_drain(g.k)
    drop_pagecache(g.k)
    assert g.read(fd, 6, 0) == b"stored"
    assert g.read(fd, 4096, 6144) == CONTENT[6144:]
    assert (root / "file").read_bytes() == CONTENT


def test_writing_back_takes_the_write_bit_from_the_mapping(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    addr = g.p.mmap(0, 4096, 3, 1, fd)
    g.p.store(addr, b"1")
    mapping = g.inode("/file").i_mapping
    page = xa_load(mapping.i_pages, 0)
    assert g.p.walk(addr)[-1].entry & 0x42 == 0x42
    assert xa_get_mark(mapping.i_pages, 0, PAGECACHE_TAG_DIRTY)
    assert g.k.vmstat.stat[NR_FILE_DIRTY] == 1
    g.p.syscall(NR_MSYNC, addr, 4096, 4)
    assert g.p.walk(addr)[-1].entry & 0x43 == 0x01
    assert not xa_get_mark(mapping.i_pages, 0, PAGECACHE_TAG_DIRTY)
    assert g.k.vmstat.stat[NR_FILE_DIRTY] == 0
    faults = g.p.task.min_flt + g.p.task.maj_flt
    g.p.store(addr, b"2")
    assert g.p.task.min_flt + g.p.task.maj_flt == faults + 1
    assert xa_load(mapping.i_pages, 0) is page
    assert xa_get_mark(mapping.i_pages, 0, PAGECACHE_TAG_DIRTY)


def test_a_dirty_page_that_nobody_wants_is_the_next_to_go_once_it_is_written(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    g.write(fd, b"x" * 8192, 0)
    lru_add_drain(g.k)
    mapping = g.inode("/new").i_mapping
    first = xa_load(mapping.i_pages, 0)
    assert isinstance(first, Page)
    assert invalidate_mapping_pages(mapping, 0, 0) == 0
    lru_add_drain(g.k)
    assert first.flags & PG_reclaim
    g.p.syscall(NR_FSYNC, fd)
    lru_add_drain(g.k)
    assert not first.flags & PG_reclaim
    assert g.k.vmstat.event[PGROTATED] == 1
    assert next(iter(g.k.lru.lists[LRU_INACTIVE_FILE])) == first.pfn


def test_the_flusher_writes_what_is_thirty_seconds_old(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    g.write(fd, b"x" * 5000, 0)
    for seconds, dirty in ((10, 2), (10, 2), (15, 0)):
        g.p.store(g.buf, seconds.to_bytes(8, "little") + bytes(8))
        g.p.syscall(NR_NANOSLEEP, g.buf, 0)
        assert g.k.vmstat.stat[NR_FILE_DIRTY] == dirty
    assert g.disk.ios[REQ_OP_WRITE] >= 2


def test_too_many_dirty_pages_are_written_at_once(root: Path) -> None:
    g = Guest(root, vm_dirty_ratio=2, dirty_background_ratio=1)
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    for i in range(40):
        g.write(fd, b"x" * 65536, i << 16)
    assert g.k.vmstat.stat[NR_FILE_DIRTY] < 400
    assert g.read(fd, 10, 39 << 16) == b"x" * 10


def test_a_full_disk(root: Path) -> None:
    """write(2) is told; a store into a hole of a mapping is SIGBUS; removing a file makes room."""
    g = Guest(root, disk_size=64 << 12)
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    written = 0
    for _ in range(3):
        written += g.write(fd, b"x" * 65536, written)
    written += g.write(fd, b"x" * 65536, written)
    assert 48 << 12 < written < 64 << 12
    with pytest.raises(KernelError) as error:
        g.write(fd, b"x" * 65536, written)
    assert error.value.errno == ENOSPC
    g.p.syscall(NR_FTRUNCATE, fd, 1 << 20)
    addr = g.p.mmap(0, 1 << 20, 3, 1, fd)
    with pytest.raises(BusError):
        g.p.store(addr + (1 << 20) - 4096, b"y")
    g.p.munmap(addr, 1 << 20)
    g.p.syscall(NR_FTRUNCATE, fd, 0)
    assert g.write(fd, b"x" * 4096, 0) == 4096
    # Overwriting what the host has needs no room that a guest could run out of.
    assert g.write(g.p.open("/file", O_RDWR), b"z" * len(CONTENT), 0) == len(CONTENT)


def test_a_read_error_is_sigbus_or_eio_and_the_next_try_succeeds(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    addr = g.p.mmap(0, 8192, 1, 1, fd)
    g.disk.fail_op, g.disk.fail_times = REQ_OP_READ, 1000
    with pytest.raises(BusError):
        g.p.load(addr, 1)
    with pytest.raises(KernelError) as error:
        g.read(fd, 10, 0)
    assert error.value.errno == EIO
    with pytest.raises(KernelError) as error:
        g.write(fd, b"part", 4096)
    assert error.value.errno == EIO
    g.disk.fail_times = 0
    assert g.p.load(addr, 4) == CONTENT[:4]
    assert g.write(fd, b"part", 4096) == 4


def test_a_write_error_is_reported_once_to_each_open_file(g: Guest) -> None:
    one, two = g.p.open("/file", O_RDWR), g.p.open("/file", O_RDWR)
    g.write(one, b"lost", 0)
    g.disk.fail_op, g.disk.fail_times = REQ_OP_WRITE, 1
    for fd in (one, two):
        with pytest.raises(KernelError) as error:
            g.p.syscall(NR_FSYNC, fd)
        assert error.value.errno == EIO
        assert g.p.syscall(NR_FSYNC, fd) == 0
    # The page counts as clean: after it is dropped, the old bytes are back.
    lru_add_drain(g.k)
    drop_pagecache(g.k)
    assert g.read(one, 4, 0) == CONTENT[:4]


def test_a_journal_that_cannot_be_written_makes_the_file_system_read_only(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    g.disk.fail_op, g.disk.fail_times = REQ_OP_WRITE, 1
    with pytest.raises(KernelError) as error:
        g.p.syscall(NR_FSYNC, fd)
    assert error.value.errno == EIO
    with pytest.raises(KernelError) as error:
        g.write(fd, b"x", 0)
    assert error.value.errno == EROFS
    with pytest.raises(KernelError) as error:
        g.p.open("/other", O_CREAT | O_WRONLY, 0o600)
    assert error.value.errno == EROFS


def test_only_what_was_synced_survives_a_power_cut(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    inode = g.file(fd).f_inode
    g.write(fd, b"A" * 8192, 0)
    assert ext4_recover(inode, set()) is None
    g.p.syscall(NR_FSYNC, fd)
    assert ext4_recover(inode, set()) == b"A" * 8192
    assert ext4_recover_lookup(g.inode("/"), "new") is inode
    g.write(fd, b"B" * 8192, 0)
    g.p.syscall(NR_SYNC_FILE_RANGE, fd, 0, 4096, 7)
    # Written, but still in the disk's cache: it may survive or not.
    assert ext4_recover(inode, set()) == b"A" * 8192
    assert ext4_recover(inode, set(g.disk.cache)) == b"B" * 4096 + b"A" * 4096
    g.p.syscall(NR_FTRUNCATE, fd, 100)
    assert ext4_recover(inode, set()) == b"A" * 8192
    g.p.syscall(NR_FDATASYNC, fd)
    assert ext4_recover(inode, set()) == b"B" * 100


def test_truncation_zeroes_the_rest_of_the_page_and_unmaps(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    addr = g.p.mmap(0, 12288, 3, 1, fd)
    private = g.p.mmap(0, 12288, 3, 2, fd)
    g.p.store(private, b"p")
    g.p.store(private + 8192, b"q")
    assert g.p.load(addr + 8192, 1) == CONTENT[8192:8193]
    g.p.syscall(NR_FTRUNCATE, fd, 100)
    assert g.p.load(addr + 100, 3996) == bytes(3996)
    with pytest.raises(BusError):
        g.p.load(addr + 4096)
    # Even the private copy of what is beyond the end is gone; the one before it stays.
    with pytest.raises(BusError):
        g.p.load(private + 8192)
    assert g.p.load(private, 1) == b"p"
    g.p.syscall(NR_FTRUNCATE, fd, 12288)
    assert g.p.load(addr, 12288) == CONTENT[:100] + bytes(12188)


def test_a_hole_spares_private_copies(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    addr = g.p.mmap(0, 8192, 3, 1, fd)
    private = g.p.mmap(0, 8192, 3, 2, fd)
    g.p.store(private + 4096, b"kept")
    g.p.syscall(NR_FALLOCATE, fd, PUNCH_HOLE | KEEP_SIZE, 4000, 5000)
    assert g.p.load(addr, 8192) == CONTENT[:4000] + bytes(4192)
    assert g.p.load(private + 4096, 4) == b"kept"
    assert g.inode("/file").i_size == len(CONTENT)
    assert g.p.syscall(NR_LSEEK, fd, 0, 4) == 4096
    assert g.p.syscall(NR_LSEEK, fd, 4096, 3) == 8192


def test_blocks_are_counted(g: Guest) -> None:
    inode = g.inode("/file")
    before = inode.i_blocks
    fd = g.p.open("/file", O_RDWR)
    g.write(fd, b"x", 0)
    g.p.syscall(NR_FSYNC, fd)
    assert inode.i_blocks == before
    new = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    g.write(new, b"x", 100 * 4096)
    blocks = g.file(new).f_inode
    assert (blocks.i_blocks, blocks.i_size) == (8, 100 * 4096 + 1)
    g.p.syscall(NR_FSYNC, new)
    assert blocks.i_blocks == 8
    g.p.syscall(NR_FALLOCATE, new, KEEP_SIZE, 0, 10 * 4096)
    assert blocks.i_blocks == 88
    assert g.p.syscall(NR_LSEEK, new, 0, 3) == 100 * 4096
    g.p.syscall(NR_FALLOCATE, new, ZERO_RANGE, 0, 101 * 4096)
    assert blocks.i_blocks == 101 * 8


def test_append_and_the_limits_of_a_file(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR | O_APPEND)
    g.p.store(g.buf, b"end")
    assert g.p.syscall(NR_WRITE, fd, g.buf, 3) == 3
    assert g.file(fd).f_pos == len(CONTENT) + 3
    assert g.read(fd, 10, len(CONTENT)) == b"end"
    g.p.task.signal.rlim[RLIMIT_FSIZE] = Rlimit(len(CONTENT) + 5, len(CONTENT) + 5)
    assert g.p.syscall(NR_WRITE, fd, g.buf, 3) == 2
    g.p.task.blocked = 1 << 24  # SIGXFSZ
    with pytest.raises(KernelError) as error:
        g.p.syscall(NR_WRITE, fd, g.buf, 3)
    assert error.value.errno == EFBIG
    size = g.file(fd).f_inode.i_size
    for mode in (0, ZERO_RANGE):
        g.p.task.pending.signal = 0
        g.p.task.signal.shared_pending.signal = 0
        with pytest.raises(KernelError) as error:
            g.p.syscall(NR_FALLOCATE, fd, mode, 0, size + 1)
        assert error.value.errno == EFBIG
        assert (g.p.task.pending.signal | g.p.task.signal.shared_pending.signal) == 1 << 24
        assert g.p.syscall(NR_FALLOCATE, fd, mode | KEEP_SIZE, 0, size + 4096) == 0
    assert g.file(fd).f_inode.i_size == size


def test_pwritev2_can_append_and_sync_by_itself(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    g.p.store(g.buf, (g.buf + 16).to_bytes(8, "little") + (3).to_bytes(8, "little") + b"end")
    assert g.p.syscall(NR_PWRITEV2, fd, g.buf, 1, 0, 0, 0x10 | 0x4) == 3
    inode = g.file(fd).f_inode
    assert inode.i_size == len(CONTENT) + 3
    assert ext4_recover(inode, set()) == CONTENT + b"end"
    assert g.file(fd).f_flags & (O_APPEND | 0o4010000) == 0


def test_the_three_kinds_of_io_share_one_file(g: Guest) -> None:
    """Buffered and mapped use one frame; direct passes it by, and finds it written and dropped."""
    fd, direct = g.p.open("/file", O_RDWR), g.p.open("/file", O_RDWR | O_DIRECT)
    addr = g.p.mmap(0, 4096, 3, 1, fd)
    g.p.store(addr, b"mapped")
    page = xa_load(g.inode("/file").i_mapping.i_pages, 0)
    assert page is not None
    assert g.p.walk(addr)[-1].entry & 0x000FFFFFFFFFF000 == page.pfn << 12  # type: ignore[attr-defined]
    assert g.read(fd, 6, 0) == b"mapped"
    reads = g.disk.ios[REQ_OP_READ]
    assert g.read(direct, 512, 0)[:6] == b"mapped"
    assert g.disk.ios[REQ_OP_READ] == reads + 1
    assert g.write(direct, b"D" * 4096, 0) == 4096
    assert xa_load(g.inode("/file").i_mapping.i_pages, 0) is None
    assert not g.p.walk(addr)[-1].present
    assert g.p.load(addr, 2) == b"DD"
    for args in ((direct, g.buf + 1, 512, 0), (direct, g.buf, 511, 0), (direct, g.buf, 512, 100)):
        with pytest.raises(KernelError) as error:
            g.p.syscall(NR_PWRITE, *args)
        assert error.value.errno == EINVAL


def test_a_direct_write_beyond_the_end(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR | O_DIRECT, 0o600)
    assert g.write(fd, b"x" * 512, 8192) == 512
    inode = g.file(fd).f_inode
    assert inode.i_size == 8704
    assert inode.i_mapping.nrpages == 0
    g.p.syscall(NR_FSYNC, fd)
    assert ext4_recover(inode, set()) == bytes(8192) + b"x" * 512


def test_a_partial_write_reads_its_page_first(g: Guest) -> None:
    fd = g.p.open("/file", O_RDWR)
    g.write(fd, b"x", 4096 + 7)
    page = xa_load(g.inode("/file").i_mapping.i_pages, 1)
    assert page is not None
    assert page.flags & (PG_dirty | PG_uptodate) == PG_dirty | PG_uptodate  # type: ignore[attr-defined]
    assert g.read(fd, 4096, 4096) == CONTENT[4096 : 4096 + 7] + b"x" + CONTENT[4096 + 8 : 8192]
    reads = g.disk.ios[REQ_OP_READ]
    g.write(fd, b"y" * 4096, 8192 - 8192)
    assert g.disk.ios[REQ_OP_READ] == reads


def test_nothing_is_left_reserved(g: Guest) -> None:
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    g.write(fd, b"x" * 20000, 0)
    sbi = EXT4_SB(g.inode("/").i_sb)
    assert sbi.s_reserved == 5
    g.p.syscall(NR_FTRUNCATE, fd, 4096)
    assert sbi.s_reserved == 1
    g.p.syscall(NR_SYNC)
    assert (sbi.s_reserved, g.disk.nr_used) == (0, 1)
    g.p.syscall(NR_FTRUNCATE, fd, 0)
    assert g.disk.nr_used == 0


def test_a_file_larger_than_memory_can_be_written(root: Path) -> None:
    """Reclaim writes what is dirty and drops it."""
    g = Guest(root, vm_dirty_ratio=90, dirty_background_ratio=90)
    fd = g.p.open("/new", O_CREAT | O_RDWR, 0o600)
    for i in range(0, 80 << 20, 65536):
        g.write(fd, i.to_bytes(8, "little") * 8192, i)
    assert g.file(fd).f_inode.i_mapping.nrpages < (64 << 20) >> 12
    for i in (0, 40 << 20, (80 << 20) - 65536):
        assert g.read(fd, 65536, i) == i.to_bytes(8, "little") * 8192


def test_a_block_of_the_host_that_moved_outlives_its_place(g: Guest) -> None:
    """The file's tail is inserted in front of and cut again: what stood behind keeps its bytes, after a power cut too."""
    fd = g.p.open("/file", O_RDWR)
    last = CONTENT[8192:]
    g.p.syscall(NR_FALLOCATE, fd, INSERT_RANGE, 8192, 8192)
    g.p.syscall(NR_FALLOCATE, fd, PUNCH_HOLE | KEEP_SIZE, 8192, 4096)
    g.p.syscall(NR_FALLOCATE, fd, INSERT_RANGE, 8192, 4096)
    g.p.syscall(NR_FSYNC, fd)
    expected = CONTENT[:8192] + bytes(12288) + last
    assert g.p.syscall(NR_PREAD, fd, g.buf, 1 << 15, 0) == len(expected)
    assert g.p.load(g.buf, len(expected)) == expected
    assert ext4_recover(g.inode("/file"), set()) == expected


def test_fallocate_of_more_than_there_is_grows_the_file_by_what_there_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    guest = Guest(tmp_path, disk_size=64 << 12)
    guest.p.store(guest.buf, b"/file\0")
    fd = guest.p.syscall(2, guest.buf, O_RDWR, 0)
    with pytest.raises(KernelError) as error:
        guest.p.syscall(NR_FALLOCATE, fd, 0, 0, 1 << 20)
    assert error.value.errno == ENOSPC
    inode = guest.file(fd).f_inode
    assert 0 < inode.i_size == inode.i_blocks << 9 < 64 << 12


def test_seeking_data_across_terabytes_looks_at_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    guest = Guest(tmp_path)
    guest.p.store(guest.buf, b"/file\0")
    fd = guest.p.syscall(2, guest.buf, O_RDWR, 0)
    assert guest.p.syscall(NR_FTRUNCATE, fd, 1 << 42) == 0
    assert guest.p.syscall(NR_PWRITE, fd, guest.buf, 1, 1 << 41) == 1
    assert guest.p.syscall(NR_LSEEK, fd, 0, 3) == 1 << 41
