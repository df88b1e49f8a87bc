# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk (block/genhd.c, blk-core.c, blk-flush.c): blocks of 4096 bytes, behind a write cache that can be lost.

What a guest never wrote is still in the host's files; reading that passes through here as well, to be counted, delayed
and failed like any other request. The blocks are kept in memory, or in one host file that the user named: nothing else is
ever written to the host.

    write --> cache --flush--> media          a power cut loses the cache, or any part of it (ext4_recover())
"""

from __future__ import annotations

import os

from mmscope.kernel.include.errno import EIO, KernelBug, KernelError
from mmscope.kernel.mm.vmstat import PGPGIN, PGPGOUT, count_vm_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["REQ_OP_FLUSH", "REQ_OP_READ", "REQ_OP_WRITE", "BlockDevice", "FileMedia", "RamMedia"]

BLOCK_SIZE: Final = 4096
#: bdev_logical_block_size(): what direct I/O must be aligned to.
LOGICAL_BLOCK_SIZE: Final = 512

REQ_OP_READ: Final = 0
REQ_OP_WRITE: Final = 1
REQ_OP_FLUSH: Final = 2

#: Blocks that the write cache holds: the oldest beyond that go to the media by themselves.
CACHE_BLOCKS: Final = 4096

_ZEROES: Final = bytes(BLOCK_SIZE)


class RamMedia:
    """Blocks in memory: what is durable of a disk."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}

    def read(self, block: int) -> bytes:
        """The block's 4096 bytes, zeroes if it was never written."""
        return self.blocks.get(block, _ZEROES)

    def write(self, block: int, data: bytes) -> None:
        """4096 bytes."""
        self.blocks[block] = data

    def discard(self, block: int) -> None:
        """The contents are needed no more."""
        self.blocks.pop(block, None)

    def close(self) -> None:
        """Nothing will be asked of it again."""
        self.blocks.clear()


class FileMedia(RamMedia):
    """Blocks in a host file, block n at byte 4096 * n: a disk larger than the host's memory, to be looked at afterwards."""

    def __init__(self, path: str) -> None:
        """`path`: a new or empty file. Raises OSError."""
        super().__init__()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self.fd).st_size:
            os.close(self.fd)
            raise FileExistsError(f"{path} is not empty")

    def read(self, block: int) -> bytes:
        """As of RamMedia; EIO when the host fails."""
        try:
            return os.pread(self.fd, BLOCK_SIZE, block * BLOCK_SIZE).ljust(BLOCK_SIZE, b"\0")
        except OSError:
            raise KernelError(EIO) from None

    def write(self, block: int, data: bytes) -> None:
        """As of RamMedia; EIO when the host fails, its disk full for one."""
        try:
            done = os.pwrite(self.fd, data, block * BLOCK_SIZE)
        except OSError:
            done = 0
        if done != BLOCK_SIZE:
            raise KernelError(EIO)

    def discard(self, block: int) -> None:
        """Nothing: the host's file keeps its room until it is removed."""

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


class BlockDevice:
    """struct block_device with its request queue. Requests are done at once; `latency_ns` passes on the virtual clock."""

    def __init__(self, kernel: Kernel, bd_nr_blocks: int, media: RamMedia | None = None) -> None:
        self.kernel = kernel
        #: Size, blocks.
        self.bd_nr_blocks = bd_nr_blocks
        #: Block number -> contents: what is durable, and what the write cache holds.
        self.media = RamMedia() if media is None else media
        self.cache: dict[int, bytes] = {}
        #: The next block that was never used (0 is the super block), and how many the file systems hold.
        self.next_block = 1
        self.nr_used = 0
        #: Requests by REQ_OP_*.
        self.ios = [0, 0, 0]
        #: Duration of a request, ns.
        self.latency_ns = 0
        #: fail_make_request: of the requests of kind `fail_op` (-1: of any), let `fail_after` pass, then fail `fail_times`.
        self.fail_op = -1
        self.fail_after = 0
        self.fail_times = 0

    def submit_bio(self, op: int) -> None:
        """A request begins: count it, let its time pass. Raises EIO when it is to fail."""
        self.ios[op] += 1
        if op != REQ_OP_FLUSH:
            count_vm_events(self.kernel, PGPGOUT if op == REQ_OP_WRITE else PGPGIN, BLOCK_SIZE >> 10)
        if self.latency_ns:
            self.kernel.timekeeper.advance(self.latency_ns)
        if self.fail_times and self.fail_op in (-1, op):
            if self.fail_after:
                self.fail_after -= 1
                return
            self.fail_times -= 1
            raise KernelError(EIO)

    def read_block(self, block: int) -> bytes:
        """The block's 4096 bytes. Raises EIO."""
        self.submit_bio(REQ_OP_READ)
        return self.peek(block)

    def peek(self, block: int) -> bytes:
        """The same without a request."""
        data = self.cache.get(block)
        if data is None:
            data = self.media.read(block)
        return data

    def write_block(self, block: int, data: bytes) -> None:
        """4096 bytes into the write cache. Raises EIO."""
        if len(data) != BLOCK_SIZE or not 0 < block < self.next_block:
            raise KernelBug(f"write of {len(data)} bytes to block {block} of {self.next_block}")
        self.submit_bio(REQ_OP_WRITE)
        self.cache[block] = data
        while len(self.cache) > CACHE_BLOCKS:
            self.destage(next(iter(self.cache)))

    def destage(self, block: int) -> None:
        """A block of the write cache to the media. Raises EIO: it stays in the cache."""
        self.media.write(block, self.cache[block])
        del self.cache[block]

    def flush(self) -> None:
        """blkdev_issue_flush(): what was written is durable. Raises EIO."""
        self.submit_bio(REQ_OP_FLUSH)
        for block in list(self.cache):
            self.destage(block)

    def alloc_block(self) -> int:
        """An unused block. Never one that was used before: its old contents may be needed after a power cut."""
        block = self.next_block
        self.next_block += 1
        return block

    def free_block(self, block: int) -> None:
        """The block's contents are needed no more (discard)."""
        self.media.discard(block)
        self.cache.pop(block, None)
