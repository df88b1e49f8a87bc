# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a write come from, and those of a read go (lib/iov_iter.c): user memory, or bytes of the kernel's own."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = [
    "IovIter", "copy_page_from_iter_atomic", "copy_page_to_iter", "copy_to_iter", "fault_in_iov_iter_readable", "iov_iter_bvec",
    "iov_iter_kvec", "iov_iter_kvec_dest", "iov_iter_ubuf", "iov_iter_zero",
]  # fmt: skip


class IovIter:
    """struct iov_iter: what is left of a source or a target. Its segments passed access_ok()."""

    def __init__(self, k: Kernel, segs: list[tuple[int, int]], data: bytes | None) -> None:
        self.kernel = k
        #: (address, length), those done taken off; not used where `data` is not None.
        self.segs = segs
        #: ITER_KVEC.
        self.data = data
        #: ITER_BVEC: the segments' addresses are physical ones.
        self.bvec = False
        #: A target that is the kernel's: what has been read so far.
        self.out: list[bytes] = []
        #: ITER_PIPE: takes (page, offset, bytes) as they are, and says how many bytes it took.
        self.sink: Callable[[Page, int, int], int] | None = None
        #: IOCB_NOWAIT and IOCB_NOIO of the kiocb that goes with it: only what is in the page cache, else EAGAIN.
        self.nowait = False
        self.count = 0
        for _, length in segs:
            self.count += length
        if data is not None:
            self.count = len(data)

    def truncate(self, count: int) -> None:
        """iov_iter_truncate(): no more than `count` bytes."""
        self.count = min(self.count, count)

    def advance(self, n: int) -> None:
        """iov_iter_advance(): `n` bytes are dealt with."""
        self.count -= n
        if self.data is not None:
            self.data = self.data[n:]
            return
        while n:
            base, length = self.segs[0]
            if n < length:
                self.segs[0] = (base + n, length - n)
                return
            n -= length
            del self.segs[0]

    def pages(self, n: int) -> list[tuple[int, int]]:
        """The first `n` bytes as (address, length) within one page each."""
        out: list[tuple[int, int]] = []
        n = min(n, self.count)
        for base, length in self.segs:
            end = base + min(length, n)
            n -= end - base
            while base < end:
                size = min(4096 - (base & 4095), end - base)
                out.append((base, size))
                base += size
            if n == 0:
                break
        return out


def iov_iter_ubuf(k: Kernel, segs: list[tuple[int, int]]) -> IovIter:
    """User memory."""
    return IovIter(k, list(segs), None)


def iov_iter_bvec(k: Kernel, bvec: list[tuple[int, int]]) -> IovIter:
    """Parts of pages, (physical address, bytes): read when their turn comes, with what the copy itself has changed by then."""
    i = IovIter(k, bvec, None)
    i.bvec = True
    return i


def iov_iter_kvec(k: Kernel, data: bytes) -> IovIter:
    """The kernel's own memory."""
    return IovIter(k, [], data)


def iov_iter_kvec_dest(k: Kernel, count: int) -> IovIter:
    """Room for `count` bytes of the kernel's own, which end up in `out`."""
    i = IovIter(k, [], b"")
    i.count = count
    return i


def copy_page_to_iter(page: Page, offset: int, n: int, i: IovIter) -> int:
    """Copy `n` bytes of a page to where `i` stands, and advance it; faults are taken. Bytes copied before a bad address."""
    k = i.kernel
    n = min(n, i.count)
    if i.sink is not None:
        n = i.sink(page, offset, n)
        i.count -= n
        return n
    source = (page.pfn << 12) + offset
    if i.data is not None:
        i.out.append(bytes(k.mem[source : source + n]))
        i.count -= n
        return n
    # Imported here: the fault handler stands above the page cache, which reads through this module.
    from mmscope.kernel.arch.x86.uaccess import user_page_writable

    done = 0
    try:
        for addr, size in i.pages(n):
            target = user_page_writable(k, addr)
            if source < target < source + size:
                _copy_overlapping(k, target, [(source, size)], size)
            else:
                phys_write(k, target, bytes(k.mem[source : source + size]))
            source += size
            done += size
    except KernelError:
        pass
    i.advance(done)
    return done


def copy_to_iter(data: bytes, i: IovIter) -> int:
    """Copy the kernel's own bytes to memory, and advance; as copy_page_to_iter()."""
    data = data[: i.count]
    if i.data is not None:
        i.out.append(data)
        i.count -= len(data)
        return len(data)
    from mmscope.kernel.arch.x86.uaccess import user_page_writable

    done = 0
    try:
        for addr, size in i.pages(len(data)):
            phys_write(i.kernel, user_page_writable(i.kernel, addr), data[done : done + size])
            done += size
    except KernelError:
        pass
    i.advance(done)
    return done


def iov_iter_zero(n: int, i: IovIter) -> int:
    """Zero the next `n` bytes, and advance; as copy_page_to_iter()."""
    n = min(n, i.count)
    if i.sink is not None:
        n = i.sink(i.kernel.mem_map[i.kernel.zero_pfn], 0, n)
        i.count -= n
        return n
    if i.data is not None:
        i.out.append(bytes(n))
        i.count -= n
        return n
    from mmscope.kernel.arch.x86.uaccess import clear_user

    done = 0
    try:
        for addr, size in i.pages(n):
            clear_user(i.kernel, addr, size)
            done += size
    except KernelError:
        pass
    i.advance(done)
    return done


def copy_page_from_iter_atomic(page: Page, offset: int, n: int, i: IovIter) -> int:
    """Copy the next `n` bytes into a page, or those before the first page that is not there: no fault is taken. Bytes copied.

    `i` stays where it is.
    """
    k = i.kernel
    target = (page.pfn << 12) + offset
    if i.data is not None:
        data = i.data[: min(n, i.count)]
        phys_write(k, target, data)
        return len(data)
    done = 0
    overlaps = False
    sources: list[tuple[int, int]] = []
    for addr, size in i.pages(n):
        paddr = addr if i.bvec else k.cpu.translate(addr, 0)
        if paddr < 0:
            break
        overlaps = overlaps or paddr < target + done < paddr + size
        sources.append((paddr, size))
        done += size
    if overlaps:
        _copy_overlapping(k, target, sources, done)
        return done
    for paddr, size in sources:
        phys_write(k, target, bytes(k.mem[paddr : paddr + size]))
        target += size
    return done


def _copy_overlapping(k: Kernel, target: int, sources: list[tuple[int, int]], n: int) -> None:
    """copy_user_generic() where a source just below its target repeats itself: so many bytes at a time, rising.

    64, then 8, then 1 since v6.4 (rep_movs_alternative; what a processor's fast strings do with fewer than 64 between the two is
    its own affair, for it does not see that both addresses are one page). Before, 8 at a time, to an aligned target.
    """
    units = (64, 8, 1)
    if not k.config.at_least(6, 4):
        units = (8, 8, 1)
    frames: list[int] = []
    for paddr, size in sources:
        frames += range(paddr, paddr + size)
    at = 0
    while at < n:
        size = 1
        for unit in units:
            if n - at >= unit:
                size = unit
                break
        if units[0] == 8 and n >= 8 and target + at & 7:
            size = 1
        data = bytes([k.mem[paddr] for paddr in frames[at : at + size]])
        phys_write(k, target + at, data)
        at += size


def fault_in_iov_iter_readable(i: IovIter, n: int) -> int:
    """Touch the next `n` bytes' pages; how many bytes, from the first bad page on, cannot be had.

    Until v5.16 (a6294593e8a1, iov_iter_fault_in_readable) a bad page anywhere made all of them bad.
    """
    if i.data is not None or i.bvec:
        return 0
    from mmscope.kernel.arch.x86.uaccess import get_user

    n = min(n, i.count)
    left = n
    try:
        for addr, size in i.pages(n):
            get_user(i.kernel, addr, 1)
            left -= size
    except KernelError:
        return left if i.kernel.config.at_least(5, 16) else n
    return 0
