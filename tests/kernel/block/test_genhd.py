# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk: its write cache, and where its blocks are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.errors import UsageError
from mmscope.kernel.block.genhd import BLOCK_SIZE, CACHE_BLOCKS, BlockDevice, FileMedia, RamMedia
from mmscope.kernel.include.errno import EIO, KernelError
from mmscope.machine import Machine

O_RDWR, O_CREAT = 2, 0o100
NR_PREAD, NR_PWRITE, NR_FSYNC = 17, 18, 74


def block_of(byte: int) -> bytes:
    return bytes([byte]) * BLOCK_SIZE


@pytest.mark.parametrize("kind", ["ram", "file"])
def test_what_is_flushed_is_durable_and_the_rest_is_in_the_cache(kind: str, tmp_path: Path) -> None:
    machine = Machine("32M", root=None, streams=(-1, -1, -1))
    media = RamMedia() if kind == "ram" else FileMedia(str(tmp_path / "disk"))
    disk = BlockDevice(machine.kernel, 100, media)
    block = disk.alloc_block()
    disk.write_block(block, block_of(1))
    assert (disk.read_block(block), media.read(block)) == (block_of(1), block_of(0))
    disk.flush()
    assert (media.read(block), len(disk.cache)) == (block_of(1), 0)
    disk.write_block(block, block_of(2))
    assert (disk.read_block(block), media.read(block)) == (block_of(2), block_of(1))
    media.close()


def test_a_full_write_cache_gives_its_oldest_blocks_to_the_media() -> None:
    machine = Machine("32M", root=None, streams=(-1, -1, -1))
    disk = BlockDevice(machine.kernel, 1 << 20)
    blocks = [disk.alloc_block() for _ in range(CACHE_BLOCKS + 3)]
    for block in blocks:
        disk.write_block(block, block_of(block % 251))
    assert len(disk.cache) == CACHE_BLOCKS
    assert sorted(disk.media.blocks) == blocks[:3]
    assert all(disk.peek(block) == block_of(block % 251) for block in blocks)


def test_a_media_that_fails_keeps_the_block_in_the_cache(tmp_path: Path) -> None:
    machine = Machine("32M", root=None, streams=(-1, -1, -1))
    media = FileMedia(str(tmp_path / "disk"))
    disk = BlockDevice(machine.kernel, 100, media)
    block = disk.alloc_block()
    disk.write_block(block, block_of(7))
    media.close()
    with pytest.raises(KernelError) as error:
        disk.flush()
    assert error.value.errno == EIO
    assert disk.read_block(block) == block_of(7)


def test_a_disk_in_a_host_file_holds_what_a_program_has_synced(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = tmp_path / "disk"
    settings = {"streams": (-1, -1, -1), "uid": 0, "gid": 0, "rootfstype": "ext4", "disk_file": str(path)}
    with Machine("32M", root=str(root), **settings) as machine:  # type: ignore[arg-type]
        p = machine.process()
        buf = p.mmap(0, 8192, 3, 0x22)
        p.store(buf, b"mmscope!" * 1024)
        fd = p.open("/f", O_RDWR | O_CREAT, 0o600)
        assert p.syscall(NR_PWRITE, fd, buf, 8192, 0) == 8192
        assert b"mmscope!" not in path.read_bytes()
        assert p.syscall(NR_FSYNC, fd) == 0
    assert path.read_bytes().count(b"mmscope!" * 512) == 2
    assert list(root.iterdir()) == []


def test_a_disk_file_that_is_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"is not empty; name a new file"):
        Machine("32M", root=str(tmp_path), streams=(-1, -1, -1), disk_file=str(path))
    assert path.read_bytes() == b"somebody's"
    with pytest.raises(UsageError, match="No such file or directory"):
        Machine("32M", root=str(tmp_path), streams=(-1, -1, -1), disk_file=str(tmp_path / "none" / "disk"))
