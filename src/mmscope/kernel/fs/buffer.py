# SPDX-License-Identifier: GPL-2.0-or-later
"""Buffer heads (fs/buffer.c): what a file system knows of the blocks of a page that it writes. Here a page has one block.

Pages that were only read have none. A page with buffers has PG_private and one more reference, until they are freed:
with the page's data (do_invalidatepage), or when somebody wants to take the page out of the cache (try_to_release_page).
"""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.mm.page_writeback as mm_page_writeback
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import EFAULT, KernelBug, KernelError
from mmscope.kernel.include.fs import I_DIRTY_PAGES, AddressSpace
from mmscope.kernel.include.mm_types import BufferHead, Page
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_dirty, PG_private, PG_uptodate, PG_writeback
from mmscope.kernel.include.pagemap import lock_page, unlock_page
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.fs import Inode
    from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault

__all__ = [
    "BH_Dirty", "BH_Mapped", "BH_New", "BH_Uptodate", "__block_write_begin", "__set_page_dirty_buffers", "block_commit_write",
    "block_invalidatepage", "block_page_mkwrite", "create_empty_buffers", "create_page_buffers", "do_invalidatepage",
    "mark_buffer_dirty", "page_buffers", "page_has_buffers", "try_to_free_buffers", "try_to_release_page",
]  # fmt: skip

BH_Uptodate: Final = 1 << 0
BH_Dirty: Final = 1 << 1
#: It has a block on the disk, or a promise of one (delayed allocation).
BH_Mapped: Final = 1 << 4
#: The block holds nothing yet.
BH_New: Final = 1 << 5


def page_has_buffers(page: Page) -> bool:
    """PG_private of a page of a file system with buffers."""
    return page.flags & PG_private != 0


def page_buffers(page: Page) -> BufferHead:
    """The page's first (and only) buffer."""
    if page.private is None:
        raise KernelBug(f"page_buffers: {page!r} of {page.mapping!r} has none")
    return page.private


def alloc_buffer_head() -> BufferHead:
    """A buffer with nothing in it."""
    return BufferHead()


def alloc_page_buffers(page: Page) -> BufferHead:
    """The buffers of a page, not attached."""
    return alloc_buffer_head()


def create_empty_buffers(page: Page, b_state: int) -> None:
    """Attach buffers; they know of the page's data what the page knows."""
    head = alloc_page_buffers(page)
    head.b_state |= b_state
    if page.flags & PG_uptodate:
        head.b_state |= BH_Uptodate
    if page.flags & PG_dirty:
        head.b_state |= BH_Dirty
    # attach_page_private()
    page._refcount += 1
    page.private = head
    page.flags |= PG_private


def create_page_buffers(page: Page, b_state: int) -> BufferHead:
    """The page's buffers, made if there are none. Precondition: the page is locked."""
    if not page_has_buffers(page):
        create_empty_buffers(page, b_state)
    return page_buffers(page)


# --- dirty


def mark_buffer_dirty(bh: BufferHead, page: Page) -> None:
    """The buffer differs from its block: then its page is dirty too."""
    if bh.b_state & BH_Dirty:
        return
    bh.b_state |= BH_Dirty
    if page.flags & PG_dirty:
        return
    page.flags |= PG_dirty
    mapping = mm_page_writeback.page_mapping(page)
    if mapping is not None:
        mm_page_writeback.__set_page_dirty(page, mapping)
        fs_writeback.__mark_inode_dirty(mapping.host, I_DIRTY_PAGES)


def __set_page_dirty_buffers(page: Page) -> bool:
    """a_ops.set_page_dirty of file systems with buffers: all of them become dirty. True if the page was clean."""
    if page_has_buffers(page):
        page_buffers(page).b_state |= BH_Dirty
    mapping = mm_page_writeback.page_mapping(page)
    if page.flags & PG_dirty:
        return False
    page.flags |= PG_dirty
    if mapping is not None:
        mm_page_writeback.__set_page_dirty(page, mapping)
        fs_writeback.__mark_inode_dirty(mapping.host, I_DIRTY_PAGES)
    return True


# --- writing into a page


def __block_write_begin_int(
    page: Page, pos: int, len: int, get_block: Callable[[Inode, int, BufferHead], None], read: Callable[[Page], None] | None
) -> None:
    """Bytes [pos, pos + len) are about to be written: give the page a block and fill in the rest of it. Raises EIO, ENOSPC."""
    bh = create_page_buffers(page, 0)
    bh.b_state &= ~BH_New
    if not bh.b_state & BH_Mapped:
        mapping = page.mapping
        assert isinstance(mapping, AddressSpace)
        get_block(mapping.host, page.index, bh)
    if page.flags & PG_uptodate:
        if bh.b_state & BH_New:
            # It is dirty whether or not anything is copied.
            mark_buffer_dirty(bh, page)
        bh.b_state = (bh.b_state & ~BH_New) | BH_Uptodate
        return
    start = pos & (PAGE_SIZE - 1)
    if bh.b_state & BH_New:
        phys_write(page.kernel, page.pfn << 12, bytes(start))
        phys_write(page.kernel, (page.pfn << 12) + start + len, bytes(PAGE_SIZE - start - len))
    elif not bh.b_state & BH_Uptodate and len < PAGE_SIZE:
        if read is None:
            raise KernelBug(f"__block_write_begin: {page!r} of {page.mapping!r} is mapped and not uptodate")
        read(page)


def __block_write_begin(
    page: Page, pos: int, len: int, get_block: Callable[[Inode, int, BufferHead], None], read: Callable[[Page], None] | None
) -> None:
    """__block_write_begin_int(); `read` (Linux: ll_rw_block) fetches the block of a page that is not uptodate."""
    __block_write_begin_int(page, pos, len, get_block, read)


def __block_commit_write(page: Page) -> None:
    """The bytes are in the page: all of it is uptodate, and dirty."""
    bh = page_buffers(page)
    bh.b_state = (bh.b_state & ~BH_New) | BH_Uptodate
    mark_buffer_dirty(bh, page)
    page.flags |= PG_uptodate


def block_commit_write(page: Page) -> None:
    """After __block_write_begin() and the copy."""
    __block_commit_write(page)


def block_page_mkwrite(vma: VmAreaStruct, vmf: VmFault, get_block: Callable[[Inode, int, BufferHead], None]) -> None:
    """A page is about to become writable in a mapping: it gets a block and is dirty. On return it is locked.

    Raises EFAULT if it was truncated meanwhile; ENOSPC. Then it is unlocked.
    """
    page = vmf.page
    file = vma.vm_file
    assert page is not None
    assert file is not None
    inode = file.f_inode
    lock_page(page)
    size = inode.i_size
    try:
        if page.mapping is not inode.i_mapping or page.index << 12 >= size:
            raise KernelError(EFAULT)
        end = min(size - (page.index << 12), PAGE_SIZE)
        __block_write_begin(page, 0, end, get_block, None)
        block_commit_write(page)
    except KernelError:
        unlock_page(page)
        raise
    mm_page_writeback.set_page_dirty(page)
    mm_page_writeback.wait_for_stable_page(page)


# --- taking the buffers away


def drop_buffers(page: Page) -> bool:
    """Detach the buffers unless one is dirty."""
    if page_buffers(page).b_state & BH_Dirty:
        return False
    # __clear_page_buffers()
    page.private = None
    page.flags &= ~PG_private
    put_page(page)
    return True


def try_to_free_buffers(page: Page) -> bool:
    """Free the buffers of a locked page; False while one is dirty or being written."""
    if page.flags & PG_writeback:
        return False
    return drop_buffers(page)


def try_to_release_page(page: Page) -> bool:
    """The page is wanted: the file system gives up what it keeps with it; False if it cannot (mm/filemap.c)."""
    return try_to_free_buffers(page)


def block_invalidatepage(page: Page) -> None:
    """The whole page is truncated: nothing of it will be written."""
    bh = page_buffers(page)
    bh.b_state = 0
    try_to_release_page(page)


def do_invalidatepage(page: Page) -> None:
    """Truncation tells the file system of a page with private data (mm/truncate.c)."""
    block_invalidatepage(page)


def check_page_buffers(page: Page, mapping: AddressSpace) -> None:
    """CONFIG_DEBUG_VM: flag and buffers agree, and so do the dirty bits. Raises KernelBug."""
    if page_has_buffers(page) != (page.private is not None):
        raise KernelBug(f"{page!r} of inode {mapping.host.i_ino}: PG_private and its buffers {page.private!r} differ")
    if page.private is not None and page.private.b_state & BH_Dirty and not page.flags & PG_dirty:
        raise KernelBug(f"{page!r} of inode {mapping.host.i_ino} is clean, its buffer dirty: {page.private!r}")
