# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk (block/genhd.c, blk-core.c, blk-flush.c): blocks of 4096 bytes in RAM, behind a write cache that can be lost.

What a guest never wrote is still in the host's files; reading that passes through here as well, to be counted, delayed
and failed like any other request. Nothing is ever written to the host.

    write --> cache --flush--> media          a power cut loses the cache, or any part of it (ext4_recover())
"""

from __future__ import annotations

from mmscope.kernel.include.errno import EIO, KernelBug, KernelError
from mmscope.kernel.mm.vmstat import PGPGIN, PGPGOUT, count_vm_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["REQ_OP_FLUSH", "REQ_OP_READ", "REQ_OP_WRITE", "BlockDevice"]

BLOCK_SIZE: Final = 4096
#: bdev_logical_block_size(): what direct I/O must be aligned to.
LOGICAL_BLOCK_SIZE: Final = 512

REQ_OP_READ: Final = 0
REQ_OP_WRITE: Final = 1
REQ_OP_FLUSH: Final = 2

_ZEROES: Final = bytes(BLOCK_SIZE)


class BlockDevice:
    """struct block_device with its request queue. Requests are done at once; `latency_ns` passes on the virtual clock."""

    def __init__(self, kernel: Kernel, bd_nr_blocks: int) -> None:
        self.kernel = kernel
        #: Size, blocks.
        self.bd_nr_blocks = bd_nr_blocks
        #: Block number -> contents: what is durable, and what the write cache holds.
        self.media: dict[int, bytes] = {}
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
            data = self.media.get(block, _ZEROES)
        return data

    def write_block(self, block: int, data: bytes) -> None:
        """4096 bytes into the write cache. Raises EIO."""
        if len(data) != BLOCK_SIZE or not 0 < block < self.next_block:
            raise KernelBug(f"write of {len(data)} bytes to block {block} of {self.next_block}")
        self.submit_bio(REQ_OP_WRITE)
        self.cache[block] = data

    def flush(self) -> None:
        """blkdev_issue_flush(): what was written is durable. Raises EIO."""
        self.submit_bio(REQ_OP_FLUSH)
        self.media.update(self.cache)
        self.cache.clear()

    def alloc_block(self) -> int:
        """An unused block. Never one that was used before: its old contents may be needed after a power cut."""
        block = self.next_block
        self.next_block += 1
        return block

    def free_block(self, block: int) -> None:
        """The block's contents are needed no more (discard)."""
        self.media.pop(block, None)
        self.cache.pop(block, None)
