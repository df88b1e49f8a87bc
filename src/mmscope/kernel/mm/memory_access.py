# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading and writing another address space (the end of mm/memory.c): /proc/PID/mem, cmdline, environ."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import phys_read, phys_write
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.include.page import PAGE_MASK, PAGE_SIZE
from mmscope.kernel.include.pagemap import lock_page, unlock_page
from mmscope.kernel.mm.gup import get_user_pages_remote
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.page_writeback import set_page_dirty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import MmStruct, Page

__all__ = ["access_remote_vm", "write_remote_vm"]


def _remote_page(mm: MmStruct, addr: int, gup_flags: int) -> Page | None:
    """The page at `addr` with a reference; None where there is none to be had. No VMA has ->access."""
    try:
        pages = get_user_pages_remote(mm, addr & PAGE_MASK, 1, gup_flags)
    except KernelError:
        return None
    return pages[0] if pages else None


def access_remote_vm(mm: MmStruct, addr: int, length: int, gup_flags: int) -> bytes:
    """At most `length` bytes of `mm`; what cannot be read ends them."""
    parts: list[bytes] = []
    while length > 0:
        page = _remote_page(mm, addr, gup_flags)
        if page is None:
            break
        offset = addr & ~PAGE_MASK
        n = min(length, PAGE_SIZE - offset)
        parts.append(phys_read(mm.kernel, (page.pfn << 12) + offset, n))
        put_page(page)
        addr += n
        length -= n
    return b"".join(parts)


def write_remote_vm(mm: MmStruct, addr: int, data: bytes, gup_flags: int) -> int:
    """access_remote_vm() for writing (FOLL_WRITE): bytes written. With FOLL_FORCE a read-only private page is copied."""
    done = 0
    while done < len(data):
        page = _remote_page(mm, addr + done, gup_flags | FOLL_WRITE)
        if page is None:
            break
        offset = (addr + done) & ~PAGE_MASK
        n = min(len(data) - done, PAGE_SIZE - offset)
        phys_write(mm.kernel, (page.pfn << 12) + offset, data[done : done + n])
        lock_page(page)
        set_page_dirty(page)
        unlock_page(page)
        put_page(page)
        done += n
    return done
