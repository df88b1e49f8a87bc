# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations on one file against a copy of its bytes. The long run is `python -m mmscope.oracle.fsx --ops 1000000`."""

from __future__ import annotations

import random
from typing import NoReturn

import pytest

from mmscope.errors import BusError
from mmscope.kernel.block.genhd import REQ_OP_READ, REQ_OP_WRITE
from mmscope.kernel.fs.ext4.inode import EXT4_SB
from mmscope.kernel.fs.namei_create import do_unlinkat
from mmscope.kernel.include.errno import EINVAL, EIO, ENOSPC, EROFS, KernelError
from mmscope.kernel.include.fs import AT_FDCWD
from mmscope.oracle.fsx import MAX_LEN, MAX_SIZE, Fsx, Mismatch


@pytest.mark.parametrize("fs", ["ext4", "tmpfs"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_byte_is_lost(fs: str, seed: int) -> None:
    fsx = Fsx(fs, seed, debug_vm=seed == 1)
    try:
        fsx.run(1500)
    finally:
        fsx.close()


def test_a_lost_byte_is_noticed() -> None:
    fsx = Fsx("ext4", 3)
    try:
        fsx.run(100)
        fsx.shadow[len(fsx.shadow) // 2] ^= 1
        with pytest.raises(Mismatch, match="last operations"):
            fsx.run(0)
    finally:
        fsx.close()


def test_the_power_fails_at_any_request() -> None:
    fsx = Fsx("ext4", 7, debug_vm=True)
    try:
        for _ in range(40):
            fsx.run(12)
            fsx._power_fails()
    finally:
        fsx.close()
    assert fsx.failures >= 10


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    fsx = Fsx("ext4", 8)
    try:
        fsx._write()
        fsx.promise()
        with pytest.raises(Mismatch, match="after a power cut"):
            fsx._recover()
    finally:
        fsx.close()


class Chaos(Fsx):
    """The same operations on a disk that fails now and then, is nearly full, or in a machine without memory to spare.

    What the file holds is not known any more after a failure: what counts is that the kernel's invariants hold
    (CONFIG_DEBUG_VM) and that every error is one that a program may see.
    """

    def check(self, offset: int, data: bytes) -> None:
        """Nothing is known."""

    def _power_fails(self) -> None:
        """The disk fails in a way of its own here."""

    def fail(self, text: str) -> NoReturn:
        """Nothing is known: as if the operation had ended by an error."""
        raise KernelError(EIO)


@pytest.mark.parametrize("seed", range(4))
def test_injected_errors_break_nothing(seed: int) -> None:
    chaos = Chaos("ext4", seed, debug_vm=True)
    disk = EXT4_SB(chaos.inode.i_sb).bdev
    rng = random.Random(seed)
    seen: set[int | None] = set()
    try:
        for _ in range(600):
            disk.fail_op = rng.choice((REQ_OP_READ, REQ_OP_READ, REQ_OP_WRITE))
            disk.fail_after = rng.randrange(4)
            disk.fail_times = rng.choice((0, 1, 3))
            disk.bd_nr_blocks = rng.choice((12, 1 << 20))
            step = rng.choices([function for function, _ in chaos.steps], chaos.weights)[0]
            try:
                step()
            except KernelError as error:
                seen.add(error.errno)
            except BusError:
                seen.add(0)
            # A journal that could not be written ends all writing: mend the disk.
            chaos.inode.i_sb.s_flags = 0
        disk.fail_times, disk.bd_nr_blocks = 0, 1 << 20
        chaos.p.munmap(chaos.map, MAX_SIZE + MAX_LEN)
        for fd in (chaos.fd, chaos.direct, chaos.sync_fd):
            chaos.p.close(fd)
        do_unlinkat(chaos.machine.kernel, AT_FDCWD, "/file")
        # Nothing leaks.
        assert chaos.inode.i_mapping.nrpages == 0
        assert (EXT4_SB(chaos.inode.i_sb).s_reserved, disk.nr_used) == (0, 0)
    finally:
        chaos.close()
    assert seen <= {EIO, ENOSPC, EROFS, EINVAL, 0}
    assert {EIO, ENOSPC} <= seen
