# SPDX-License-Identifier: GPL-2.0-or-later
"""Direct I/O extent by extent (fs/iomap/direct-io.c): what is no extent of the disk reads as zeroes, whatever its alignment."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import clear_user
from mmscope.kernel.block.genhd import LOGICAL_BLOCK_SIZE
from mmscope.kernel.include.errno import EFAULT, EINVAL, EIO, KernelError
from mmscope.kernel.include.fs import Inode
from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.mm.gup import get_user_pages_fast
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

__all__ = ["IOMAP_DELALLOC", "IOMAP_HOLE", "IOMAP_MAPPED", "IOMAP_UNWRITTEN", "iomap_dio_rw"]

IOMAP_HOLE: Final = 0
IOMAP_DELALLOC: Final = 1
IOMAP_MAPPED: Final = 2
IOMAP_UNWRITTEN: Final = 3

_MASK: Final = LOGICAL_BLOCK_SIZE - 1


def iomap_dio_rw(
    inode: Inode,
    segs: list[tuple[int, int]],
    pos: int,
    write: bool,
    iomap_begin: Callable[[Inode, int, int, bool], tuple[int, int]],
    transfer: Callable[[Page, int, int, int], None],
) -> int:
    """Between user memory and the disk. Bytes moved: an error anywhere is the result of it all, whatever was moved before.

    iomap_begin: (inode, pos, length, write) -> type and length of the extent. transfer: (page, offset in it, pos, length).
    A read counts up to the end of the file, but fills memory with all of its last extent, since v5.15 (a6d3d49587d1) with zeroes
    for what is beyond that. Raises EINVAL, EFAULT, EIO, ENOSPC.
    """
    size = inode.i_size
    if not write and pos >= size:
        return 0
    beyond = write or inode.i_sb.kernel.config.at_least(5, 15)
    start = pos
    segs = [seg for seg in segs if seg[1]]
    count = sum(length for _, length in segs)
    errno = 0
    while count and (beyond or pos < size):
        kind, length = iomap_begin(inode, pos, count, write)
        if kind == IOMAP_MAPPED or write:
            try:
                done, failed = _iomap_dio_bio_iter(inode, segs, pos, length, write, transfer)
            except KernelError:
                if write and inode.i_sb.kernel.config.version in ((6, 15), (6, 16)):
                    break  # iomap_iter() of these loses the error: what is missing is written through the cache
                raise
            errno = errno or failed
        elif kind == IOMAP_DELALLOC:
            # A store through a mapping since the cache was written out, such as that of this very read.
            raise KernelError(EIO)
        else:
            done = _iomap_dio_hole_iter(inode, segs, length)
            if not done:
                break
        segs = _advance(segs, done)
        pos += done
        count -= done
    if errno:
        raise KernelError(errno)
    return pos - start if write else max(min(pos, size) - start, 0)


def _advance(segs: list[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """iov_iter_advance()."""
    out: list[tuple[int, int]] = []
    for base, length in segs:
        skip = min(n, length)
        n -= skip
        if skip < length:
            out.append((base + skip, length - skip))
    return out


def _pieces(segs: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The first `length` bytes as (address, length) within one page each."""
    out: list[tuple[int, int]] = []
    for base, size in segs:
        end = base + min(size, length)
        length -= end - base
        while base < end:
            n = min(4096 - (base & 4095), end - base)
            out.append((base, n))
            base += n
    return out


def _iomap_dio_hole_iter(inode: Inode, segs: list[tuple[int, int]], length: int) -> int:
    """Zero `length` bytes, or what can be written of them. EFAULT if that is nothing; before v5.16 the read ends there."""
    done = 0
    for addr, n in _pieces(segs, length):
        try:
            clear_user(inode.i_sb.kernel, addr, n)
        except KernelError:
            break
        done += n
    if not done and inode.i_sb.kernel.config.at_least(5, 16):
        raise KernelError(EFAULT)
    return done


def _iomap_dio_bio_iter(
    inode: Inode,
    segs: list[tuple[int, int]],
    pos: int,
    length: int,
    write: bool,
    transfer: Callable[[Page, int, int, int], None],
) -> tuple[int, int]:
    """One bio: as many pages of memory as can be pinned, up to the end of the extent. Its bytes, and the errno that it ends with.

    Before v6.18 all addresses and lengths are looked at first, since v6.0 (bf8d08532bc1) addresses for the device's alignment
    only. Since v6.18 (7eac33186957) the device looks at each piece of memory, but only where it would have to split: not at a
    single one, until v7.2 (commit unknown).
    """
    k = inode.i_sb.kernel
    align = pos | length
    relaxed = k.config.at_least(6, 18)
    dma_mask = k.config.dma_alignment if k.config.at_least(6, 0) else _MASK
    each = k.config.at_least(7, 2)
    if not relaxed:
        for addr, n in segs:
            align |= n | (1 if addr & dma_mask else 0)
    if align & _MASK:
        raise KernelError(EINVAL)
    pages: list[Page] = []
    try:
        bvecs: list[tuple[int, int]] = []
        total = 0
        for addr, n in _pieces(segs, length):
            if each and (addr | n) & dma_mask:
                raise KernelError(EINVAL)
            try:
                pages += get_user_pages_fast(k, addr, 1, 0 if write else FOLL_WRITE)
            except KernelError:
                break
            bvecs.append((addr & 4095, n))
            total += n
        cut = total & _MASK
        total -= cut
        while cut:
            offset, n = bvecs.pop()
            if n > cut:
                bvecs.append((offset, n - cut))
            cut -= min(n, cut)
        if not bvecs:
            raise KernelError(EFAULT)
        if relaxed and len(bvecs) > 1:
            for offset, n in bvecs:
                if (offset | n) & dma_mask:
                    # Known only when the bio ends: what follows it is done all the same.
                    return total, EINVAL
        for i in range(len(bvecs)):
            offset, n = bvecs[i]
            transfer(pages[i], offset, pos, n)
            pos += n
    finally:
        for page in pages:
            put_page(page)
    return total, 0
