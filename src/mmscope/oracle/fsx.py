# SPDX-License-Identifier: GPL-2.0-or-later
"""fsx: random operations on one file, by every way there is into it, against a copy of its bytes.

    python -m mmscope.oracle.fsx --ops 1000000 --seed 1 [--fs ext4|tmpfs] [--debug-vm]

Buffered, direct and mapped reads and writes, truncation, holes, preallocation, writeback, dropped caches, in random order.
On ext4 the power fails now and then, between two operations or at any request of one: whatever fsync() and its like promised
must be found, and any part of the disk's cache may be lost.
Operations that the file system has not are left out.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NoReturn

from mmscope.errors import BusError
from mmscope.kernel.fs.drop_caches import drop_pagecache
from mmscope.kernel.fs.ext4.ext4_jbd2 import ext4_recover
from mmscope.kernel.fs.ext4.inode import EXT4_SB, ext4_check_reservations
from mmscope.kernel.include.errno import EINVAL, ENXIO, KernelError
from mmscope.kernel.include.fs import O_CREAT, O_DIRECT, O_RDWR, O_SYNC, SEEK_DATA, SEEK_HOLE
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.machine import Machine

PAGE: Final = 4096
#: As good as for ever, for BlockDevice.fail_times.
POWER_IS_OFF: Final = 1 << 60
#: Largest size of the file, and length of one transfer, bytes.
MAX_SIZE: Final = 40 * PAGE
MAX_LEN: Final = 3 * PAGE

NR: Final = {
    "lseek": 8, "mmap": 9, "munmap": 11, "pread": 17, "pwrite": 18, "msync": 26, "madvise": 28, "nanosleep": 35, "fsync": 74,
    "fdatasync": 75, "ftruncate": 77, "sync": 162, "readahead": 187, "fadvise": 221, "sync_file_range": 277, "fallocate": 285,
    "copy_file_range": 326, "close": 3,
}  # fmt: skip

KEEP_SIZE: Final = 1
PUNCH_HOLE: Final = 2
COLLAPSE_RANGE: Final = 8
ZERO_RANGE: Final = 16
INSERT_RANGE: Final = 32


class Mismatch(AssertionError):
    """The file is not what it should be."""


class Fsx:
    """One file under test, with the bytes that it should hold."""

    def __init__(self, fs: str, seed: int, debug_vm: bool = False) -> None:
        self.random = random.Random(seed)
        self.folder = tempfile.TemporaryDirectory(prefix="mmscope-fsx-")
        self.ext4 = fs == "ext4"
        self.debug_vm = debug_vm
        self.log: list[str] = []
        #: Pages that changed since they were promised to survive.
        self.touched: set[int] = set()
        #: Times that the power failed in the middle of an operation.
        self.failures = 0
        self._boot(self.random.randbytes(self.random.randrange(MAX_SIZE // 2)))
        on_ext4 = 1 if self.ext4 else 0
        self.steps = [
            (self._write, 12), (self._read, 12), (self._map_write, 12), (self._map_read, 8), (self._truncate, 4),
            (self._punch, 3), (self._allocate, 2), (self._sync_write, 2), (self._fsync, 2), (self._msync, 2), (self._seek, 3),
            (self._copy, 3), (self._drop, 1), (self._advise, 3), (self._wait, 1), (self._remap, 1), (self._unmap_pages, 2),
            (self._zero, 2 * on_ext4), (self._collapse, on_ext4), (self._insert, on_ext4), (self._direct_write, 6 * on_ext4),
            (self._direct_read, 6 * on_ext4), (self._power_cut, 3 * on_ext4), (self._power_fails, 0.5 * on_ext4),
        ]  # fmt: skip
        self.weights = [weight for _, weight in self.steps]

    def _boot(self, start: bytes) -> None:
        """A machine on whose disk the file holds `start`."""
        Path(self.folder.name, "file").write_bytes(start)
        self.machine = Machine(
            "64M", root=self.folder.name, debug_vm=self.debug_vm, streams=(-1, -1, -1), uid=0, gid=0, rootfstype="ext4"
        )
        self.p = self.machine.process()
        #: What the file should hold.
        self.shadow = bytearray(start if self.ext4 else b"")
        self.path = "/file" if self.ext4 else "/dev/shm/file"
        self.fd = self.p.open(self.path, O_RDWR | O_CREAT, 0o600)
        self.direct = self.p.open(self.path, O_RDWR | O_DIRECT) if self.ext4 else -1
        self.sync_fd = self.p.open(self.path, O_RDWR | O_SYNC)
        task = self.p.task
        assert task.files is not None
        self.inode = task.files.fd[self.fd].f_inode
        self.buffer = self.p.mmap(0, MAX_LEN + PAGE, 3, 0x22)
        self.map = 0
        self._remap()
        #: What was promised to survive.
        self.promised = bytes(self.shadow)
        self.touched.clear()

    def close(self) -> None:
        """Give everything back."""
        self.machine.close()
        self.folder.cleanup()

    def call(self, name: str, *args: int) -> int:
        """A system call of the process."""
        return self.p.syscall(NR[name], *args)

    def run(self, ops: int) -> None:
        """So many operations, then a last look at everything. Raises Mismatch."""
        functions = [function for function, _ in self.steps]
        for function in self.random.choices(functions, self.weights, k=ops):
            function()
        self.note("final read")
        self.check(0, self.read_at(self.fd, 0, MAX_SIZE))

    def note(self, text: str) -> None:
        """For the report of a mismatch."""
        self.log.append(text)
        if len(self.log) > 400:
            del self.log[:200]

    def fail(self, text: str) -> NoReturn:
        """The file is wrong."""
        raise Mismatch(text + "; the last operations:\n" + "\n".join(self.log[-40:]))

    def check(self, offset: int, data: bytes) -> None:
        """`data` was read at `offset`."""
        expected = bytes(self.shadow[offset : offset + len(data)])
        if data != expected:
            at = next((i for i in range(len(data)) if i >= len(expected) or data[i] != expected[i]), len(data))
            self.fail(f"byte {offset + at:#x} is {data[at : at + 8].hex()}, not {expected[at : at + 8].hex()}")

    def change(self, offset: int, end: int) -> None:
        """These bytes may differ from what was promised."""
        self.touched.update(range(offset // PAGE, (end + PAGE - 1) // PAGE))

    def promise(self, offset: int = 0, end: int = MAX_SIZE) -> None:
        """All changes of [offset, end) must survive from now on."""
        first, last = offset // PAGE, (end + PAGE - 1) // PAGE
        old = self.promised.ljust(len(self.shadow), b"\0")[: len(self.shadow)]
        new = bytearray(old)
        new[first * PAGE : last * PAGE] = self.shadow[first * PAGE : last * PAGE]
        self.promised = bytes(new[: len(self.shadow)])
        self.touched -= set(range(first, last))

    def span(self, limit: int) -> tuple[int, int]:
        """A random (offset, length) below `limit`, often at page boundaries."""
        offset = self.random.randrange(max(limit, 1))
        length = self.random.randrange(1, MAX_LEN)
        shape = self.random.random()
        if shape < 0.25:
            offset &= -PAGE
        if shape < 0.15:
            length = (length + PAGE - 1) & -PAGE
        return offset, max(min(length, limit - offset), 0)

    def put(self, offset: int, data: bytes) -> None:
        """The shadow is written to."""
        self.change(min(offset, len(self.shadow)), offset + len(data))
        if offset > len(self.shadow):
            self.shadow.extend(bytes(offset - len(self.shadow)))
        self.shadow[offset : offset + len(data)] = data

    # --- operations

    def data(self, length: int) -> bytes:
        """Random bytes, in the buffer too."""
        data = self.random.randbytes(length)
        self.p.store(self.buffer, data)
        return data

    def _write(self) -> None:
        offset, length = self.span(MAX_SIZE)
        self.note(f"write {offset:#x} {length:#x}")
        data = self.data(length)
        if length and self.call("pwrite", self.fd, self.buffer, length, offset) != length:
            self.fail("short write")
        if length:
            self.put(offset, data)

    def _sync_write(self) -> None:
        offset, length = self.span(MAX_SIZE)
        if not length:
            return
        self.note(f"O_SYNC write {offset:#x} {length:#x}")
        data = self.data(length)
        self.change(min(offset, len(self.shadow)), offset + length)
        self.call("pwrite", self.sync_fd, self.buffer, length, offset)
        self.put(offset, data)
        self.promise(offset, offset + length)

    def read_at(self, fd: int, offset: int, length: int) -> bytes:
        """pread, checked for its length."""
        out = b""
        while length:
            part = min(length, MAX_LEN)
            n = self.call("pread", fd, self.buffer, part, offset)
            out += self.p.load(self.buffer, n)
            if n != max(min(part, len(self.shadow) - offset), 0):
                self.fail(f"read of {part:#x} at {offset:#x} gave {n:#x} bytes, the size is {len(self.shadow):#x}")
            offset += n
            length -= part
            if n < part:
                break
        return out

    def _read(self) -> None:
        offset, length = self.span(MAX_SIZE)
        self.note(f"read {offset:#x} {length:#x}")
        self.check(offset, self.read_at(self.fd, offset, length))

    def _direct_write(self) -> None:
        offset, length = (x & -512 for x in self.span(MAX_SIZE))
        if not length:
            return
        self.note(f"direct write {offset:#x} {length:#x}")
        data = self.data(length)
        self.change(min(offset, len(self.shadow)), offset + length)
        if self.call("pwrite", self.direct, self.buffer, length, offset) != length:
            self.fail("short direct write")
        self.put(offset, data)

    def _direct_read(self) -> None:
        offset, length = (x & -512 for x in self.span(MAX_SIZE))
        if not length:
            return
        self.note(f"direct read {offset:#x} {length:#x}")
        self.check(offset, self.read_at(self.direct, offset, length))

    def _map_write(self) -> None:
        offset, length = self.span(len(self.shadow))
        if not length:
            return
        self.note(f"store {offset:#x} {length:#x}")
        data = self.random.randbytes(length)
        self.p.store(self.map + offset, data)
        self.put(offset, data)

    def _map_read(self) -> None:
        offset, length = self.span(len(self.shadow))
        if not length:
            return
        self.note(f"load {offset:#x} {length:#x}")
        self.check(offset, self.p.load(self.map + offset, length))

    def _truncate(self) -> None:
        size = self.random.randrange(MAX_SIZE)
        self.note(f"ftruncate {size:#x}")
        self.change(min(len(self.shadow), size), MAX_SIZE)
        self.call("ftruncate", self.fd, size)
        self.set_size(size)

    def set_size(self, size: int) -> None:
        """The shadow's size changes."""
        old = len(self.shadow)
        self.change(min(old, size), MAX_SIZE)
        if size < old:
            del self.shadow[size:]
        else:
            self.shadow.extend(bytes(size - old))

    def _punch(self) -> None:
        offset, length = self.span(MAX_SIZE)
        if not length:
            return
        self.note(f"punch {offset:#x} {length:#x}")
        if self.random.random() < 0.3 and self.map and offset < len(self.shadow):
            offset &= -PAGE
            length = (length + PAGE - 1) & -PAGE
            self.call("madvise", self.map + offset, length, 9)
        else:
            self.call("fallocate", self.fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
        self.clear(offset, min(offset + length, len(self.shadow)))

    def clear(self, offset: int, end: int) -> None:
        """Zeroes in the shadow."""
        if offset < end:
            self.change(offset, end)
            self.shadow[offset:end] = bytes(end - offset)

    def _allocate(self) -> None:
        offset, length = self.span(MAX_SIZE)
        if not length:
            return
        keep = self.random.random() < 0.5
        self.note(f"fallocate {offset:#x} {length:#x} keep {keep}")
        self.call("fallocate", self.fd, KEEP_SIZE if keep else 0, offset, length)
        if not keep and offset + length > len(self.shadow):
            self.set_size(offset + length)

    def _zero(self) -> None:
        offset, length = self.span(MAX_SIZE)
        if not length:
            return
        keep = self.random.random() < 0.5
        self.note(f"zero {offset:#x} {length:#x} keep {keep}")
        self.call("fallocate", self.fd, ZERO_RANGE | (KEEP_SIZE if keep else 0), offset, length)
        if not keep and offset + length > len(self.shadow):
            self.set_size(offset + length)
        self.clear(offset, min(offset + length, len(self.shadow)))

    def _collapse(self) -> None:
        offset, length = (x & -PAGE for x in self.span(len(self.shadow)))
        if not length or offset + length >= len(self.shadow):
            return
        self.note(f"collapse {offset:#x} {length:#x}")
        self.call("fallocate", self.fd, COLLAPSE_RANGE, offset, length)
        self.change(offset, MAX_SIZE)
        del self.shadow[offset : offset + length]

    def _insert(self) -> None:
        offset, length = (x & -PAGE for x in self.span(len(self.shadow)))
        if not length or len(self.shadow) + length > MAX_SIZE:
            return
        self.note(f"insert {offset:#x} {length:#x}")
        self.call("fallocate", self.fd, INSERT_RANGE, offset, length)
        self.change(offset, MAX_SIZE)
        self.shadow[offset:offset] = bytes(length)

    def _fsync(self) -> None:
        which = self.random.choice(("fsync", "fdatasync", "sync"))
        self.note(which)
        if which == "sync":
            self.call("sync")
        else:
            self.call(which, self.fd)
        self.promise()

    def _msync(self) -> None:
        offset, length = self.span(len(self.shadow))
        if not length:
            return
        offset &= -PAGE
        flags = self.random.choice((1, 4, 4))
        self.note(f"msync {offset:#x} {length:#x} {flags}")
        self.call("msync", self.map + offset, length, flags)
        if flags == 4:
            self.promise(offset, offset + length)

    def _seek(self) -> None:
        offset = self.random.randrange(MAX_SIZE)
        whence = self.random.choice((SEEK_DATA, SEEK_HOLE))
        self.note(f"lseek {offset:#x} {whence}")
        try:
            found = self.call("lseek", self.fd, offset, whence)
        except KernelError as error:
            if error.errno != ENXIO:
                raise
            if offset < len(self.shadow) and (whence == SEEK_HOLE or any(self.shadow[offset:])):
                self.fail(f"lseek({offset:#x}, {whence}) says ENXIO")
            return
        if whence == SEEK_DATA and any(self.shadow[offset:found]):
            self.fail(f"lseek({offset:#x}, SEEK_DATA) = {found:#x} has gone over data")
        if not offset <= found <= len(self.shadow):
            self.fail(f"lseek({offset:#x}, {whence}) = {found:#x}")

    def _copy(self) -> None:
        source, length = self.span(len(self.shadow))
        target = self.random.randrange(MAX_SIZE)
        length = min(length, MAX_SIZE - target)
        if not length:
            return
        self.note(f"copy_file_range {source:#x} -> {target:#x} {length:#x}")
        self.p.store(self.buffer, source.to_bytes(8, "little") + target.to_bytes(8, "little"))
        try:
            n = self.call("copy_file_range", self.fd, self.buffer, self.fd, self.buffer + 8, length, 0)
        except KernelError as error:
            if error.errno != EINVAL or not (source < target + length and target < source + length):
                raise
            return
        self.put(target, bytes(self.shadow[source : source + n]))

    def _drop(self) -> None:
        self.note("drop caches")
        lru_add_drain(self.machine.kernel)
        drop_pagecache(self.machine.kernel)

    def _advise(self) -> None:
        offset, length = self.span(MAX_SIZE)
        kind = self.random.randrange(5)
        self.note(f"advise {kind} {offset:#x} {length:#x}")
        if kind == 0:
            self.call("fadvise", self.fd, offset, length, self.random.randrange(6))
        elif kind == 1:
            self.call("readahead", self.fd, offset, length)
        elif kind == 2:
            self.call("sync_file_range", self.fd, offset, length, self.random.randrange(8))
        elif kind == 3:
            self.call("madvise", self.map + (offset & -PAGE), length, self.random.choice((0, 1, 2, 3)))
        else:
            self.call("fadvise", self.fd, offset, length, 4)

    def _unmap_pages(self) -> None:
        offset, length = self.span(MAX_SIZE)
        self.note(f"madvise DONTNEED {offset:#x} {length:#x}")
        self.call("madvise", self.map + (offset & -PAGE), length, 4)

    def _wait(self) -> None:
        """Time passes: the flusher writes what is old."""
        seconds = self.random.choice((1, 6, 40))
        self.note(f"sleep {seconds}")
        self.p.store(self.buffer, seconds.to_bytes(8, "little") + bytes(8))
        self.call("nanosleep", self.buffer, 0)

    def _remap(self) -> None:
        if self.map:
            self.note("munmap, mmap")
            self.call("munmap", self.map, MAX_SIZE + MAX_LEN)
        self.map = self.call("mmap", 0, MAX_SIZE + MAX_LEN, 3, 1, self.fd, 0)

    def _power_cut(self) -> None:
        """If the power failed now: all that was promised and not changed since must be there."""
        self.note("power cut")
        self._recover()

    def _recover(self) -> bytes:
        """The file as it would be found after a power cut now, looked at."""
        sb = self.inode.i_sb
        cached = sorted(EXT4_SB(sb).bdev.cache)
        kind = self.random.randrange(3)
        survivors = set(cached) if kind == 1 else {block for block in cached if kind == 2 and self.random.random() < 0.5}
        found = ext4_recover(self.inode, survivors)
        if found is None:
            self.fail("the file is gone after a power cut")
        # A hole that msync() covered may lie beyond the size that the disk knows: zeroes all the same.
        found = found.ljust(len(self.promised), b"\0")
        for page in range((len(self.promised) + PAGE - 1) // PAGE):
            if page not in self.touched:
                expected = self.promised[page * PAGE : (page + 1) * PAGE]
                if found[page * PAGE : page * PAGE + len(expected)] != expected:
                    self.fail(f"page {page:#x} is lost after a power cut")
        ext4_check_reservations(sb, [self.inode])
        return found

    def _power_fails(self) -> None:
        """The power fails at one of the requests of an operation that writes; then the machine boots with what is left."""
        disk = EXT4_SB(self.inode.i_sb).bdev
        promised, touched = self.promised, set(self.touched)
        # The flusher writes for long, a direct write is few requests.
        disk.fail_op, disk.fail_after, disk.fail_times = -1, self.random.choice((0, 1, 2, 3, 5, 8, 13, 21)), POWER_IS_OFF
        step = self.random.choice((self._fsync, self._msync, self._sync_write, self._direct_write, self._truncate, self._wait))
        try:
            step()
        except (KernelError, BusError, Mismatch):
            if disk.fail_times == POWER_IS_OFF:
                raise
        off = disk.fail_times != POWER_IS_OFF
        disk.fail_times = 0
        if not off:
            return
        self.note("power failed")
        self.failures += 1
        # sync(2) says nothing of errors: what it promised does not count.
        self.promised = promised
        self.touched |= touched
        found = self._recover()
        self.machine.close()
        self._boot(found)


def main(argv: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m mmscope.oracle.fsx", description=__doc__)
    parser.add_argument("--ops", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fs", choices=("ext4", "tmpfs"), default="ext4")
    parser.add_argument("--debug-vm", action="store_true")
    values = parser.parse_args(argv)
    done = 0
    started = time.monotonic()
    # A fresh file now and then: runs stay short enough to be read.
    while done < values.ops:
        ops = min(20_000, values.ops - done)
        fsx = Fsx(values.fs, values.seed + done, values.debug_vm)
        try:
            fsx.run(ops)
        except Mismatch as error:
            print(f"seed {values.seed + done}: {error}", file=sys.stderr)
            return 1
        finally:
            fsx.close()
        done += ops
    print(f"{done} operations on {values.fs}, no mismatch, {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
