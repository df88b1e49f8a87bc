# SPDX-License-Identifier: GPL-2.0-or-later
"""process_vm_readv(2) and process_vm_writev(2): copying between two address spaces (mm/process_vm_access.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import phys_read, phys_write
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user_partial
from mmscope.kernel.core.ptrace import mm_access
from mmscope.kernel.fs.read_write import import_iovec, iovec_from_user
from mmscope.kernel.include.errno import EACCES, EFAULT, EINVAL, EPERM, ESRCH, KernelError
from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.include.page import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.ptrace import PTRACE_MODE_ATTACH_REALCREDS
from mmscope.kernel.mm.gup import pin_user_pages_remote, unpin_user_pages_dirty_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page

__all__ = ["process_vm_rw"]

#: PVM_MAX_KMALLOC_PAGES * PAGE_SIZE / sizeof(struct page *): pages that are pinned at once.
MAX_PAGES_PER_LOOP: Final = 1024


class _IovIter:
    """struct iov_iter over the caller's own segments."""

    def __init__(self, segs: list[tuple[int, int]]) -> None:
        self.segs = segs
        self.at = 0
        #: Bytes of the current segment that are done, and all that are left.
        self.offset = 0
        self.count = sum(length for _, length in segs)


def copy_page_to_iter(page: Page, offset: int, bytes_: int, iter: _IovIter) -> int:
    """Copy part of a page to the caller's segments; the bytes done, less at a bad address."""
    k = page.kernel
    done = 0
    while done < bytes_ and iter.count:
        base, length = iter.segs[iter.at]
        n = min(length - iter.offset, bytes_ - done)
        data = phys_read(k, (page.pfn << PAGE_SHIFT) + offset + done, n)
        copied = copy_to_user_partial(k, base + iter.offset, data) if n else 0
        done += copied
        _advance(iter, copied)
        if copied < n:
            break
    return done


def copy_page_from_iter(page: Page, offset: int, bytes_: int, iter: _IovIter) -> int:
    """Fill part of a page from the caller's segments; the bytes done, less at a bad address."""
    k = page.kernel
    done = 0
    while done < bytes_ and iter.count:
        base, length = iter.segs[iter.at]
        n = min(length - iter.offset, bytes_ - done)
        data = _copy_from_user_partial(k, base + iter.offset, n)
        phys_write(k, (page.pfn << PAGE_SHIFT) + offset + done, data)
        done += len(data)
        _advance(iter, len(data))
        if len(data) < n:
            break
    return done


def _copy_from_user_partial(k: Kernel, addr: int, n: int) -> bytes:
    """As much of [addr, addr + n) as can be read; `n` is a page at most."""
    if n == 0:
        return b""
    first = min(n, PAGE_SIZE - (addr & (PAGE_SIZE - 1)))
    data = b""
    try:
        data = copy_from_user(k, addr, first)
        if first < n:
            data += copy_from_user(k, addr + first, n - first)
    except KernelError:
        # A short copy tells the caller.
        return data
    return data


def _advance(iter: _IovIter, n: int) -> None:
    iter.offset += n
    iter.count -= n
    while iter.at < len(iter.segs) and iter.offset == iter.segs[iter.at][1]:
        iter.at += 1
        iter.offset = 0


def process_vm_rw_pages(pages: list[Page], offset: int, length: int, iter: _IovIter, vm_write: bool) -> None:
    """Copy `length` bytes that begin at `offset` in the first page. Raises EFAULT for a bad address of the caller's."""
    for page in pages:
        if not length or not iter.count:
            return
        n = min(PAGE_SIZE - offset, length)
        copied = copy_page_from_iter(page, offset, n, iter) if vm_write else copy_page_to_iter(page, offset, n, iter)
        length -= copied
        if copied < n and iter.count:
            raise KernelError(EFAULT)
        offset = 0


def process_vm_rw_single_vec(addr: int, length: int, iter: _IovIter, mm: MmStruct, vm_write: bool) -> None:
    """One segment of the other process. Raises EFAULT where its memory ends, after copying what comes before."""
    if length == 0:
        return
    pa = addr & PAGE_MASK
    start_offset = addr - pa
    nr_pages = (addr + length - 1) // PAGE_SIZE - addr // PAGE_SIZE + 1
    while nr_pages and iter.count:
        try:
            pages = pin_user_pages_remote(mm, pa, min(nr_pages, MAX_PAGES_PER_LOOP), FOLL_WRITE if vm_write else 0)
        except KernelError:
            pages = []
        if not pages:
            raise KernelError(EFAULT)
        n = min(len(pages) * PAGE_SIZE - start_offset, length)
        try:
            process_vm_rw_pages(pages, start_offset, n, iter, vm_write)
        finally:
            unpin_user_pages_dirty_lock(pages, vm_write)
        length -= n
        start_offset = 0
        nr_pages -= len(pages)
        pa += len(pages) * PAGE_SIZE


def process_vm_rw_core(k: Kernel, pid: int, iter: _IovIter, rvec: list[tuple[int, int]], vm_write: bool) -> int:
    """Find the process, copy segment by segment; the bytes copied, or the error if there are none."""
    if all(length == 0 for _, length in rvec):
        return 0
    task = k.tasks.get(pid)
    if task is None:
        raise KernelError(ESRCH)
    try:
        mm = mm_access(k, task, PTRACE_MODE_ATTACH_REALCREDS)
    except KernelError as error:
        raise KernelError(EPERM if error.args[0] == EACCES else error.args[0]) from None
    if mm is None:
        raise KernelError(ESRCH)
    total = iter.count
    try:
        for base, length in rvec:
            if not iter.count:
                break
            process_vm_rw_single_vec(base, length, iter, mm, vm_write)
    except KernelError:
        if iter.count == total:
            raise
    return total - iter.count


def process_vm_rw(k: Kernel, pid: int, lvec: int, liovcnt: int, rvec: int, riovcnt: int, flags: int, vm_write: bool) -> int:
    """Copy between the caller's segments and those of process `pid`; the number of bytes. Raises EINVAL, EFAULT, ESRCH, EPERM."""
    if flags:
        raise KernelError(EINVAL)
    iter = _IovIter(import_iovec(k, lvec, liovcnt))
    _advance(iter, 0)
    if not iter.count:
        return 0
    return process_vm_rw_core(k, pid, iter, iovec_from_user(k, rvec, riovcnt), vm_write)
