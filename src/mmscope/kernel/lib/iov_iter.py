# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a write come from (lib/iov_iter.c): segments of user memory, or bytes of the kernel's own."""

from __future__ import annotations

import mmscope.kernel.arch.x86.uaccess as x86_uaccess
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = ["IovIter", "copy_page_from_iter_atomic", "fault_in_iov_iter_readable", "iov_iter_kvec", "iov_iter_ubuf"]


class IovIter:
    """struct iov_iter: what is left of a source. Its segments passed access_ok()."""

    def __init__(self, k: Kernel, segs: list[tuple[int, int]], data: bytes | None) -> None:
        self.kernel = k
        #: (address, length), those done taken off; not used where `data` is not None.
        self.segs = segs
        #: ITER_KVEC.
        self.data = data
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


def iov_iter_kvec(k: Kernel, data: bytes) -> IovIter:
    """The kernel's own memory."""
    return IovIter(k, [], data)


def copy_page_from_iter_atomic(page: Page, offset: int, n: int, i: IovIter) -> int:
    """Copy the next `n` bytes into a page, or those before the first page that is not there: no fault is taken. Bytes copied.

    `i` stays where it is. Bytes are copied in rising order (rep movsb): a source that overlaps its target repeats itself.
    """
    k = i.kernel
    target = (page.pfn << 12) + offset
    if i.data is not None:
        data = i.data[: min(n, i.count)]
        phys_write(k, target, data)
        return len(data)
    done = 0
    for addr, size in i.pages(n):
        paddr = k.cpu.translate(addr, 0)
        if paddr < 0:
            break
        if paddr < target < paddr + size:
            period = bytes(k.mem[paddr:target])
            phys_write(k, target, (period * (size // len(period) + 1))[:size])
        else:
            phys_write(k, target, bytes(k.mem[paddr : paddr + size]))
        target += size
        done += size
    return done


def fault_in_iov_iter_readable(i: IovIter, n: int) -> int:
    """Touch the next `n` bytes' pages; how many bytes, from the first bad page on, cannot be had.

    Until v5.16 (a6294593e8a1, iov_iter_fault_in_readable) a bad page anywhere made all of them bad.
    """
    if i.data is not None:
        return 0
    n = min(n, i.count)
    left = n
    try:
        for addr, size in i.pages(n):
            x86_uaccess.get_user(i.kernel, addr, 1)
            left -= size
    except KernelError:
        return left if i.kernel.config.at_least(5, 16) else n
    return 0
