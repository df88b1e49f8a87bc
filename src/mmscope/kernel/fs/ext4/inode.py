# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's inodes (fs/ext4/inode.c, extents.c): which block holds which page of a file, and what that means for the page cache.

block of a file -> a block of the disk            written by the guest, or preallocated ("unwritten": reads as zeroes)
                   a block of the host's file     as long as nobody has written it
                   nothing                        a hole
delayed allocation: a page that is dirty over a hole has space reserved; its block is chosen when it is written back
"""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.block.genhd import BLOCK_SIZE, BlockDevice
from mmscope.kernel.fs.buffer import (
    BH_Dirty,
    BH_Mapped,
    BH_New,
    BH_Uptodate,
    __block_write_begin,
    __set_page_dirty_buffers,
    block_commit_write,
    block_page_mkwrite,
    create_page_buffers,
    mark_buffer_dirty,
    page_buffers,
    page_has_buffers,
)
from mmscope.kernel.include.errno import EFAULT, ENOMEM, ENOSPC, EROFS, KernelBug, KernelError
from mmscope.kernel.include.fs import (
    SB_RDONLY,
    WB_SYNC_NONE,
    AddressSpace,
    File,
    Inode,
    ReadaheadControl,
    SuperBlock,
    WritebackControl,
)
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.include.mm import VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_SIGBUS
from mmscope.kernel.include.mm_types import BufferHead, Page
from mmscope.kernel.include.page_flags import PG_dirty, PG_error, PG_mappedtodisk, PG_uptodate
from mmscope.kernel.include.pagemap import unlock_page
from mmscope.kernel.lib.xarray import xa_find_marked
from mmscope.kernel.mm.filemap import FGP_ACCESSED, FGP_CREAT, FGP_LOCK, FGP_WRITE, filemap_fault, pagecache_get_page
from mmscope.kernel.mm.memory_truncate import unmap_mapping_range
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.page_writeback import (
    PAGECACHE_TAG_DIRTY,
    do_writepages,
    page_endio_write,
    test_set_page_writeback,
    wait_on_page_writeback,
    write_cache_pages,
)
from mmscope.kernel.mm.truncate import pagecache_isize_extended, truncate_inode_pages_final, truncate_pagecache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import VmFault

#: What ext4_map_blocks() says of a block that is none of the disk's.
HOLE: Final = 0
HOST: Final = -1


class Ext4DiskInode:
    """struct ext4_inode: what the journal has made durable of an inode; a power cut leaves this."""

    def __init__(self, size: int, blocks: dict[int, int], unwritten: set[int], host_size: int, i_nlink: int) -> None:
        self.size = size
        self.blocks = blocks
        self.unwritten = unwritten
        self.host_size = host_size
        self.i_nlink = i_nlink
        #: Of a directory: its names.
        self.entries: dict[str, Inode | None] = {}


class Ext4InodeInfo:
    """struct ext4_inode_info, i_private of regular files."""

    def __init__(self, host_size: int) -> None:
        #: Size as the disk has it, bytes; i_size runs ahead while pages wait for their blocks.
        self.i_disksize = host_size
        #: Block of the file -> block of the disk (> 0), HOLE, or -1 - n: block n of the host's file. Absent: see host_size.
        self.blocks: dict[int, int] = {}
        #: Blocks of the disk that are preallocated only.
        self.unwritten: set[int] = set()
        #: Blocks of the file with space reserved.
        self.i_reserved: set[int] = set()
        #: Blocks that are not in `blocks` and below this many bytes are the host's; all others are holes.
        self.host_size = host_size
        #: Size of the host's file, bytes: its blocks that have moved stay readable when host_size shrinks.
        self.host_eof = host_size
        #: 512-byte units of the host's file that no longer count, and blocks of the disk in `blocks`.
        self.host_lost = 0
        self.nr_blocks = 0
        #: EXT4_STATE_DA_ALLOC_CLOSE: it was cut to nothing; when who did that closes it, its blocks are chosen (auto_da_alloc).
        self.da_alloc_close = False
        #: It has been opened: what is in the page cache from then on is the guest's doing (warm_page_cache).
        self.opened = False


class Ext4XattrBlocks:
    """The extended attributes of an inode, full name -> value: those in the inode itself, those in their block."""

    def __init__(self) -> None:
        self.ibody: dict[bytes, bytes] = {}
        self.block: dict[bytes, bytes] = {}
        #: Blocks of the disk that they take more than those of the host's file did.
        self.nr_blocks = 0


class Ext4SbInfo:
    """struct ext4_sb_info, with what there is of a journal."""

    def __init__(self, bdev: BlockDevice) -> None:
        self.bdev = bdev
        #: The running transaction: inodes whose metadata changed, and blocks to free once that is durable.
        #: True where fdatasync needs it: the size or a block changed.
        self.t_inodes: dict[Inode, bool] = {}
        self.t_freed: list[int] = []
        #: What is durable of each inode that ever was in a transaction; None = it was deleted.
        self.committed: dict[Inode, Ext4DiskInode | None] = {}
        #: Blocks promised to delayed allocation.
        self.s_reserved = 0
        #: Extended attributes of the inodes that were asked for theirs.
        self.xattrs: dict[Inode, Ext4XattrBlocks] = {}
        #: Number of the next inode that a guest makes.
        self.next_ino = 0xC0000000


def EXT4_SB(sb: SuperBlock) -> Ext4SbInfo:
    """The file system's own part of the super block."""
    info = sb.s_fs_info
    assert isinstance(info, Ext4SbInfo)
    return info


def EXT4_I(inode: Inode) -> Ext4InodeInfo:
    """The file system's own part of a regular file's inode."""
    info = inode.i_private
    assert isinstance(info, Ext4InodeInfo)
    return info


# --- blocks


def ext4_map_blocks(inode: Inode, lblk: int) -> int:
    """The block of the disk that holds block `lblk` of the file, HOLE, or -1 - n for block n of the host's file."""
    info = EXT4_I(inode)
    pblk = info.blocks.get(lblk)
    if pblk is not None:
        return pblk
    return HOST - lblk if lblk * BLOCK_SIZE < info.host_size else HOLE


def ext4_read_block(inode: Inode, lblk: int) -> bytes:
    """4096 bytes of the file from the disk. Raises EIO."""
    info = EXT4_I(inode)
    pblk = ext4_map_blocks(inode, lblk)
    if pblk > 0:
        return bytes(BLOCK_SIZE) if pblk in info.unwritten else EXT4_SB(inode.i_sb).bdev.read_block(pblk)
    if pblk == HOLE:
        return bytes(BLOCK_SIZE)
    offset = (HOST - pblk) * BLOCK_SIZE
    count = min(BLOCK_SIZE, info.host_eof - offset)
    return hostfs.host_pread(inode, count, offset).ljust(BLOCK_SIZE, b"\0") if count > 0 else bytes(BLOCK_SIZE)


def ext4_has_free_blocks(sb: SuperBlock, nr: int) -> bool:
    """The disk has room for so many more."""
    sbi = EXT4_SB(sb)
    return sbi.bdev.nr_used + sbi.s_reserved + nr < sbi.bdev.bd_nr_blocks


def ext4_da_reserve_space(inode: Inode, lblk: int) -> None:
    """A page over a hole becomes dirty: its block must be there when it is written. Raises ENOSPC."""
    info = EXT4_I(inode)
    if lblk in info.i_reserved or ext4_map_blocks(inode, lblk) != HOLE:
        return
    if not ext4_has_free_blocks(inode.i_sb, 1):
        raise KernelError(ENOSPC)
    info.i_reserved.add(lblk)
    EXT4_SB(inode.i_sb).s_reserved += 1
    ext4_update_i_blocks(inode)


def ext4_da_release_space(inode: Inode, lblk: int) -> None:
    """The page got its block, or is gone."""
    info = EXT4_I(inode)
    if lblk in info.i_reserved:
        info.i_reserved.discard(lblk)
        EXT4_SB(inode.i_sb).s_reserved -= 1


def ext4_alloc_da_blocks(inode: Inode) -> None:
    """auto_da_alloc: start writing what has no blocks yet, lest a crash leave an empty file in place of the old one."""
    if EXT4_I(inode).i_reserved:
        try:
            do_writepages(inode.i_mapping, WritebackControl(WB_SYNC_NONE, LLONG_MAX, 0, LLONG_MAX))
        except KernelError:
            # It stays with the mapping.
            return


def ext4_update_i_blocks(inode: Inode) -> None:
    """st_blocks: the host's, less what the guest replaced, and the disk's, reserved ones included."""
    info = EXT4_I(inode)
    data = inode.i_host
    host = max(data.st_blocks - info.host_lost, 0) if isinstance(data, hostfs.HostInode) else 0
    xattrs = EXT4_SB(inode.i_sb).xattrs.get(inode)
    inode.i_blocks = host + (info.nr_blocks + len(info.i_reserved) + (0 if xattrs is None else xattrs.nr_blocks)) * 8


def ext4_set_block(inode: Inode, lblk: int, pblk: int) -> None:
    """Block `lblk` of the file is `pblk` from now on; the block that it was is freed with the transaction."""
    info = EXT4_I(inode)
    old = ext4_map_blocks(inode, lblk)
    if old < 0:
        info.host_lost += 8
    elif old > 0 and old != pblk:
        ext4_free_block(inode, old)
    info.nr_blocks += (pblk > 0) - (old > 0)
    if pblk > 0 and old <= 0:
        EXT4_SB(inode.i_sb).bdev.nr_used += 1
    if pblk == HOLE and lblk * BLOCK_SIZE >= info.host_size:
        info.blocks.pop(lblk, None)
    else:
        info.blocks[lblk] = pblk
    ext4_da_release_space(inode, lblk)


def ext4_free_block(inode: Inode, pblk: int) -> None:
    """The file no longer uses the block; it keeps its bytes until the transaction is durable."""
    EXT4_I(inode).unwritten.discard(pblk)
    sbi = EXT4_SB(inode.i_sb)
    sbi.bdev.nr_used -= 1
    sbi.t_freed.append(pblk)


def ext4_remove_blocks(inode: Inode, first: int, last: int) -> None:
    """Blocks [first, last] of the file become a hole (ext4_ext_remove_space)."""
    info = EXT4_I(inode)
    for lblk in [lblk for lblk in info.i_reserved if first <= lblk <= last]:
        ext4_da_release_space(inode, lblk)
    for lblk in sorted([lblk for lblk in info.blocks if first <= lblk <= last]):
        ext4_set_block(inode, lblk, HOLE)
    host_end = (info.host_size + BLOCK_SIZE - 1) // BLOCK_SIZE
    if first < host_end:
        if last >= host_end - 1:
            info.host_lost += 8 * sum(1 for lblk in range(first, host_end) if lblk not in info.blocks)
            info.host_size = first * BLOCK_SIZE
            for lblk in [lblk for lblk, pblk in info.blocks.items() if lblk >= first and pblk == HOLE]:
                del info.blocks[lblk]
        else:
            for lblk in range(first, min(last, host_end - 1) + 1):
                if lblk not in info.blocks:
                    ext4_set_block(inode, lblk, HOLE)
    ext4_update_i_blocks(inode)


# --- pages


def ext4_mpage_readpages(inode: Inode, pages: list[Page]) -> KernelError | None:
    """Fill locked pages of the page cache from the disk, zeroes beyond the end, and unlock them (fs/ext4/readpage.c).

    An error stays with its page (PG_error, not uptodate); the last one is returned.
    """
    failure: KernelError | None = None
    for page in pages:
        if page_has_buffers(page) and page_buffers(page).b_state & BH_Uptodate:
            # block_read_full_page(): its bytes are there already, and may be newer than the disk's.
            page.flags |= PG_uptodate
            unlock_page(page)
            continue
        try:
            content = ext4_read_block(inode, page.index)
        except KernelError as error:
            failure = error
            page.flags |= PG_error
        else:
            phys_write(page.kernel, page.pfn << 12, content)
            page.flags |= PG_uptodate
            pblk = ext4_map_blocks(inode, page.index)
            if pblk != HOLE and pblk not in EXT4_I(inode).unwritten:
                page.flags |= PG_mappedtodisk
        unlock_page(page)
    return failure


def ext4_readpage(file: File | None, page: Page) -> None:
    """a_ops->readpage. Raises EIO."""
    mapping = page.mapping
    assert isinstance(mapping, AddressSpace)
    failure = ext4_mpage_readpages(mapping.host, [page])
    if failure is not None:
        raise failure


def ext4_readahead(rac: ReadaheadControl) -> None:
    """a_ops->readahead."""
    ext4_mpage_readpages(rac.mapping.host, rac.pages)


def ext4_set_page_dirty(page: Page) -> bool:
    """True if the page was clean."""
    return __set_page_dirty_buffers(page)


def ext4_writepage(page: Page, wbc: WritebackControl) -> None:
    """Write a locked page that was just cleaned; an error of the disk is kept in the mapping. Unlocks the page."""
    mapping = page.mapping
    assert isinstance(mapping, AddressSpace)
    inode = mapping.host
    info = EXT4_I(inode)
    sbi = EXT4_SB(inode.i_sb)
    lblk = page.index
    # What was dirtied behind the file system's back (by a page-table entry's dirty bit) may have none.
    create_page_buffers(page, 0).b_state &= ~BH_Dirty
    start = lblk << 12
    size = min(inode.i_size - start, BLOCK_SIZE)
    if size <= 0:
        # A failed write has left it just beyond the end: it is clean by that, and its reservation stays.
        phys_write(page.kernel, page.pfn << 12, bytes(BLOCK_SIZE))
        page_buffers(page).b_state |= BH_Uptodate
        unlock_page(page)
        return
    mem = page.kernel.mem
    if size < BLOCK_SIZE:
        # A store through a mapping may have gone beyond the end: that never reaches the disk.
        phys_write(page.kernel, (page.pfn << 12) + size, bytes(BLOCK_SIZE - size))
    test_set_page_writeback(page)
    unlock_page(page)
    old = ext4_map_blocks(inode, lblk)
    pblk = old
    if old <= 0:
        pblk = sbi.bdev.alloc_block()
    errno = 0
    try:
        sbi.bdev.write_block(pblk, bytes(mem[page.pfn << 12 : (page.pfn << 12) + BLOCK_SIZE]))
    except KernelError as error:
        errno = error.errno or 5
        if old <= 0:
            sbi.bdev.free_block(pblk)
    else:
        if old <= 0:
            ext4_set_block(inode, lblk, pblk)
        info.unwritten.discard(pblk)
        info.i_disksize = max(info.i_disksize, min(inode.i_size, start + BLOCK_SIZE))
        ext4_mark_inode_dirty(inode)
    ext4_update_i_blocks(inode)
    page_endio_write(page, errno)


def ext4_writepages(mapping: AddressSpace, wbc: WritebackControl) -> None:
    """Write the dirty pages of a range, up to the first that reaches the end of the file (mpage_process_page_bufs).

    A page beyond the end, which only a failed write leaves, has its turn when there is none before it.
    """
    if not mapping.nrpages:
        return
    range_end = wbc.range_end
    at_end = max(wbc.range_start, mapping.host.i_size - 1, 0) >> 12
    found = xa_find_marked(mapping.i_pages, at_end, range_end >> 12, PAGECACHE_TAG_DIRTY)
    if found is not None:
        wbc.range_end = (found[0] << 12) + BLOCK_SIZE - 1
    try:
        write_cache_pages(mapping, wbc, ext4_writepage)
    finally:
        wbc.range_end = range_end


def ext4_da_map_blocks(inode: Inode, iblock: int, bh: BufferHead) -> None:
    """Delayed allocation: what has no block yet has one reserved. Raises ENOSPC."""
    pblk = ext4_map_blocks(inode, iblock)
    if pblk == HOLE:
        ext4_da_reserve_space(inode, iblock)
    bh.b_state |= BH_Mapped
    if pblk == HOLE or pblk in EXT4_I(inode).unwritten:
        bh.b_state |= BH_New


def ext4_da_get_block_prep(inode: Inode, iblock: int, bh: BufferHead) -> None:
    """The get_block_t of writes. Raises ENOSPC."""
    ext4_da_map_blocks(inode, iblock, bh)


def ext4_read_buffer(page: Page) -> None:
    """ll_rw_block(): the page's block into the page. Raises EIO."""
    mapping = page.mapping
    assert isinstance(mapping, AddressSpace)
    phys_write(page.kernel, page.pfn << 12, ext4_read_block(mapping.host, page.index))


def ext4_da_write_begin(file: File | None, mapping: AddressSpace, pos: int, len: int) -> Page:
    """The page that `len` bytes at `pos` go to: locked, referenced, and uptodate outside of those. Raises EIO, ENOSPC, ENOMEM."""
    inode = mapping.host
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    index = pos >> 12
    page = pagecache_get_page(mapping, index, FGP_LOCK | FGP_WRITE | FGP_CREAT, 0)
    if page is None:
        raise KernelError(ENOMEM)
    wait_on_page_writeback(page)
    try:
        __block_write_begin(page, pos, len, ext4_da_get_block_prep, ext4_read_buffer)
    except KernelError:
        ext4_da_release_unused(inode, page)
        unlock_page(page)
        put_page(page)
        if pos + len > inode.i_size:
            ext4_truncate_failed_write(inode)
        raise
    return page


def ext4_da_release_unused(inode: Inode, page: Page) -> None:
    """A write failed: no reservation stays with a page that is not dirty."""
    if not page.flags & PG_dirty:
        if page.private is not None:
            page.private.b_state &= ~(BH_Mapped | BH_New)
        ext4_da_release_space(inode, page.index)
        ext4_update_i_blocks(inode)


def ext4_da_write_end(file: File | None, mapping: AddressSpace, pos: int, len: int, copied: int, page: Page) -> int:
    """The bytes are in the page: it is dirty, the file perhaps longer. A page that is not whole by that takes none of them."""
    inode = mapping.host
    old_size = inode.i_size
    if copied < len and not page.flags & PG_uptodate:
        copied = 0
        pblk = ext4_map_blocks(inode, page.index)
        if pblk == HOLE or pblk in EXT4_I(inode).unwritten:
            # page_zero_new_buffers(): a block that is new must not show what the disk had there.
            phys_write(page.kernel, (page.pfn << 12) + (pos & 4095), bytes(len))
            block_commit_write(page)
        elif len < BLOCK_SIZE:
            # ext4_da_write_begin() has read it.
            page_buffers(page).b_state |= BH_Uptodate
            page.flags |= PG_uptodate
    if copied or pos & (BLOCK_SIZE - 1):
        # block_commit_write() of no bytes dirties the block that they would be inside of, not one that they would start.
        block_commit_write(page)
    if pos + copied > old_size:
        inode.i_size = pos + copied
        info = EXT4_I(inode)
        if copied and ext4_map_blocks(inode, page.index) > 0:
            # ext4_da_should_update_i_disksize(): the block is there already.
            info.i_disksize = max(info.i_disksize, inode.i_size)
        fs_writeback.mark_inode_dirty(inode)
    unlock_page(page)
    put_page(page)
    if old_size < pos:
        ext4_isize_extended(inode, old_size, pos)
    return copied


def ext4_filemap_fault(vmf: VmFault) -> int:
    """vm_ops->fault: filemap_fault() under i_mmap_sem."""
    return filemap_fault(vmf)


def ext4_page_mkwrite(vmf: VmFault) -> int:
    """vm_ops->page_mkwrite: a shared page is about to become writable. Room for it on the disk is needed: else SIGBUS."""
    page = vmf.page
    file = vmf.vma.vm_file
    assert page is not None
    assert file is not None
    inode = file.f_inode
    fs_inode.file_update_time(file)
    try:
        if inode.i_sb.s_flags & SB_RDONLY:
            raise KernelError(EROFS)
        block_page_mkwrite(vmf.vma, vmf, ext4_da_get_block_prep)
    except KernelError as error:
        # block_page_mkwrite_return()
        return VM_FAULT_NOPAGE if error.errno == EFAULT else VM_FAULT_SIGBUS
    return VM_FAULT_LOCKED


# --- size


def ext4_block_zero_page_range(inode: Inode, from_: int, length: int) -> None:
    """Zero bytes inside one block through the page cache. Over a hole the page stays as it is made, not uptodate. Raises EIO."""
    if length <= 0:
        return
    info = EXT4_I(inode)
    index = from_ >> 12
    page = pagecache_get_page(inode.i_mapping, index, FGP_LOCK | FGP_ACCESSED | FGP_CREAT, 0)
    if page is None:
        raise KernelError(ENOMEM)
    try:
        bh = create_page_buffers(page, 0)
        pblk = ext4_map_blocks(inode, index)
        if pblk != HOLE and pblk not in info.unwritten:
            bh.b_state |= BH_Mapped
        if bh.b_state & BH_Mapped:
            if not page.flags & PG_uptodate and not bh.b_state & BH_Uptodate:
                ext4_read_buffer(page)
            # The buffer is uptodate, the page is not by that: nobody has read it.
            bh.b_state |= BH_Uptodate
            phys_write(page.kernel, (page.pfn << 12) + (from_ & 4095), bytes(length))
            mark_buffer_dirty(bh, page)
    finally:
        unlock_page(page)
        put_page(page)


def ext4_zero_partial_blocks(inode: Inode, lstart: int, length: int) -> None:
    """Zero what of [lstart, lstart + length) is no whole block. Raises EIO, ENOMEM."""
    end = lstart + length
    first = (lstart + 4095) & -4096
    last = end & -4096
    if first > last:
        ext4_block_zero_page_range(inode, lstart, length)
        return
    ext4_block_zero_page_range(inode, lstart, first - lstart)
    ext4_block_zero_page_range(inode, last, end - last)


def ext4_isize_extended(inode: Inode, old_size: int, pos: int) -> None:
    """The file reaches over [old_size, pos), which reads as zeroes.

    Since v6.13 (c7fc0366c656; 6.12 stable) that is seen to; before, what a mapping has stored beyond the end
    appears, unless it was written.
    """
    pagecache_isize_extended(inode, old_size, pos)
    if inode.i_sb.kernel.config.at_least(6, 12):
        ext4_zero_partial_blocks(inode, old_size, pos - old_size)


def ext4_truncate(inode: Inode) -> None:
    """Free the blocks beyond i_size and zero the rest of the last one. Raises EIO."""
    size = inode.i_size
    if size == 0:
        EXT4_I(inode).da_alloc_close = True
    if size & 4095:
        ext4_block_zero_page_range(inode, size, 4096 - (size & 4095))
    ext4_remove_blocks(inode, (size + 4095) >> 12, 1 << 52)
    inode.i_mtime = inode.i_ctime = fs_inode.current_time(inode.i_sb.kernel)
    ext4_mark_inode_dirty(inode)


def ext4_truncate_failed_write(inode: Inode) -> None:
    """A write beyond the end failed: nothing stays there, preallocated blocks neither. Raises EIO."""
    truncate_pagecache(inode, inode.i_size)
    ext4_truncate(inode)


def ext4_setsize(inode: Inode, size: int) -> None:
    """The part of ext4_setattr() that changes the size. Raises EIO, EROFS."""
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    info = EXT4_I(inode)
    oldsize = inode.i_size
    if size > oldsize:
        inode.i_mtime = inode.i_ctime = fs_inode.current_time(inode.i_sb.kernel)
        if oldsize & 4095 and inode.i_sb.kernel.config.at_least(6, 12):
            ext4_block_zero_page_range(inode, oldsize, 4096 - (oldsize & 4095))
    inode.i_size = size
    info.i_disksize = size
    if size > oldsize:
        pagecache_isize_extended(inode, oldsize, size)
    ext4_mark_inode_dirty(inode)
    truncate_pagecache(inode, size)
    if size <= oldsize:
        ext4_truncate(inode)


def ext4_evict_inode(inode: Inode) -> None:
    """The inode has no name and no user any more: its pages and blocks go."""
    unmap_mapping_range(inode.i_mapping, 0, 0, True)
    truncate_inode_pages_final(inode.i_mapping)
    sb = inode.i_sb
    sb.kernel.wb.b_dirty.pop(inode, None)
    if isinstance(inode.i_private, Ext4InodeInfo):
        inode.i_size = 0
        ext4_remove_blocks(inode, 0, 1 << 52)
    xattrs = EXT4_SB(sb).xattrs.pop(inode, None)
    if xattrs is not None:
        EXT4_SB(sb).bdev.nr_used -= xattrs.nr_blocks
    ext4_mark_inode_dirty(inode)


def ext4_mark_inode_dirty(inode: Inode) -> None:
    """Its size or its blocks changed: that goes into the running transaction."""
    EXT4_SB(inode.i_sb).t_inodes[inode] = True


def ext4_dirty_inode(inode: Inode) -> None:
    """s_op->dirty_inode: something about it changed, perhaps only a time."""
    EXT4_SB(inode.i_sb).t_inodes.setdefault(inode, False)


def ext4_check_reservations(sb: SuperBlock, inodes: list[Inode]) -> None:
    """CONFIG_DEBUG_VM: s_reserved is the sum of what the inodes have reserved. Raises KernelBug."""
    total = 0
    for inode in inodes:
        if isinstance(inode.i_private, Ext4InodeInfo):
            total += len(inode.i_private.i_reserved)
    if total != EXT4_SB(sb).s_reserved:
        raise KernelBug(f"{sb!r} has {EXT4_SB(sb).s_reserved} blocks reserved, its inodes {total}")
