# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's files (fs/ext4/file.c, fsync.c): the tables, reading and writing through the cache and past it, fsync, lseek."""

from __future__ import annotations

import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.inode as fs_inode
import mmscope.kernel.fs.libfs as libfs
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.block.genhd import BLOCK_SIZE
from mmscope.kernel.fs.attr import setattr_copy, setattr_prepare
from mmscope.kernel.fs.ext4.ext4_jbd2 import jbd2_journal_commit_transaction
from mmscope.kernel.fs.ext4.extents import ext4_fallocate
from mmscope.kernel.fs.ext4.inode import (
    EXT4_I,
    EXT4_SB,
    HOLE,
    Ext4InodeInfo,
    ext4_da_reserve_space,
    ext4_da_write_begin,
    ext4_da_write_end,
    ext4_filemap_fault,
    ext4_map_blocks,
    ext4_mark_inode_dirty,
    ext4_page_mkwrite,
    ext4_read_block,
    ext4_readahead,
    ext4_readpage,
    ext4_set_block,
    ext4_set_page_dirty,
    ext4_setsize,
    ext4_update_i_blocks,
    ext4_writepage,
    ext4_writepages,
)
from mmscope.kernel.fs.iomap_direct_io import IOMAP_DELALLOC, IOMAP_HOLE, IOMAP_MAPPED, IOMAP_UNWRITTEN, iomap_dio_rw
from mmscope.kernel.include.errno import ENXIO, EOPNOTSUPP, EROFS, KernelError
from mmscope.kernel.include.fs import (
    ATTR_SIZE,
    SB_RDONLY,
    AddressSpaceOperations,
    File,
    FileOperations,
    Iattr,
    Inode,
    InodeOperations,
)
from mmscope.kernel.include.mm import VM_SYNC
from mmscope.kernel.include.mm_types import Page, VmOperationsStruct
from mmscope.kernel.include.mman import MAP_SYNC
from mmscope.kernel.include.page_flags import PG_dirty
from mmscope.kernel.lib.xarray import xa_find_marked
from mmscope.kernel.mm.filemap import filemap_map_pages, generic_file_buffered_read, generic_file_buffered_read_iter
from mmscope.kernel.mm.filemap_write import (
    file_write_and_wait_range,
    generic_file_write_iter,
)
from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area
from mmscope.kernel.mm.page_writeback import PAGECACHE_TAG_DIRTY, set_page_dirty
from mmscope.kernel.mm.readahead import ReadaheadControl, page_cache_ra_unbounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import VmAreaStruct
    from mmscope.kernel.lib.iov_iter import IovIter

SEEK_DATA: Final = 3
SEEK_HOLE: Final = 4


# --- through the page cache


def ext4_file_read_iter(file: File, to: IovIter, pos: int) -> int:
    """Through the page cache."""
    if to.count == 0:
        return 0
    done = generic_file_buffered_read_iter(file, to, pos)
    fs_inode.touch_atime(file)
    return done


def ext4_file_read(file: File, count: int, pos: int) -> bytes:
    """ext4_file_read_iter() for the kernel itself."""
    if count == 0:
        return b""
    data = generic_file_buffered_read(file, count, pos)
    fs_inode.touch_atime(file)
    return data


def ext4_file_write_iter(file: File, i: IovIter, pos: int) -> int:
    """Through the page cache, with O_SYNC what it promises."""
    if file.f_inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    return generic_file_write_iter(file, i, pos)


def ext4_file_mmap(file: File, vma: VmAreaStruct) -> None:
    """mmap of a regular file: its pages come from the page cache. MAP_SYNC needs a DAX device, which this is not."""
    if vma.vm_flags & VM_SYNC:
        raise KernelError(EOPNOTSUPP)
    fs_inode.touch_atime(file)
    vma.vm_ops = ext4_file_vm_ops


def ext4_file_open(inode: Inode, file: File) -> None:
    """Note which host file the guest reads; EACCES when the host denies it after all."""
    hostfs.host_open(inode)
    config = inode.i_sb.kernel.config
    info = EXT4_I(inode)
    first = not info.opened
    info.opened = True
    if config.warm_page_cache and first and inode.i_mapping.nrpages == 0 and inode.i_size <= config.ram >> 3:
        # As if somebody had read the file before: no page of it costs a major fault.
        page_cache_ra_unbounded(ReadaheadControl(file, inode.i_mapping, 0), (inode.i_size + 4095) >> 12, 0)


def ext4_sync_file(file: File, start: int, end: int, datasync: bool) -> None:
    """fsync: the data written, the transaction committed, the disk's cache flushed. Raises EIO, ENOSPC, EROFS."""
    inode = file.f_inode
    sb = inode.i_sb
    if sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    file_write_and_wait_range(file, start, end)
    sbi = EXT4_SB(sb)
    needed = sbi.t_inodes.get(inode)
    if needed or (needed is not None and not datasync):
        jbd2_journal_commit_transaction(sb)
    else:
        sbi.bdev.flush()


def ext4_setattr(inode: Inode, attr: Iattr) -> None:
    """i_op->setattr: the size, the owner, the mode, the times."""
    setattr_prepare(inode, attr)
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    if attr.ia_valid & ATTR_SIZE:
        ext4_setsize(inode, attr.ia_size)
    setattr_copy(inode, attr)


def ext4_llseek(file: File, offset: int, whence: int) -> int:
    """lseek; SEEK_DATA and SEEK_HOLE look at blocks, and at dirty pages over blocks that read as zeroes."""
    import mmscope.kernel.fs.read_write as read_write

    if whence not in (SEEK_DATA, SEEK_HOLE):
        return read_write.generic_file_llseek(file, offset, whence)
    inode = file.f_inode
    if offset < 0 or offset >= inode.i_size:
        raise KernelError(ENXIO)
    lblk = offset >> 12
    end = (inode.i_size + 4095) >> 12
    while lblk < end and ext4_block_has_data(inode, lblk) != (whence == SEEK_DATA):
        lblk += 1
    if whence == SEEK_DATA and lblk == end:
        raise KernelError(ENXIO)
    offset = min(max(offset, lblk << 12), inode.i_size)
    file.f_pos = offset
    return offset


def ext4_block_has_data(inode: Inode, lblk: int) -> bool:
    """Block `lblk` of the file is no hole: SEEK_DATA stops there."""
    info = EXT4_I(inode)
    if lblk in info.i_reserved:
        return True
    pblk = ext4_map_blocks(inode, lblk)
    if pblk > 0 and pblk in info.unwritten:
        return xa_find_marked(inode.i_mapping.i_pages, lblk, lblk, PAGECACHE_TAG_DIRTY) is not None
    return pblk != HOLE


# --- past the page cache


def ext4_direct_IO(file: File, segs: list[tuple[int, int]], pos: int, write: bool) -> int:
    """Between user memory and the disk; the caller has dealt with the page cache. Bytes moved. Raises as iomap_dio_rw()."""
    inode = file.f_mapping.host
    done = iomap_dio_rw(inode, segs, pos, write, ext4_iomap_begin, ext4_dio_transfer)
    if write and done:
        # ext4_handle_inode_extension(): i_size may be ahead of what the disk knows.
        info = EXT4_I(inode)
        inode.i_size = max(inode.i_size, pos + done)
        info.i_disksize = max(info.i_disksize, pos + done)
    return done


def ext4_iomap_begin(inode: Inode, pos: int, length: int) -> tuple[int, int]:
    """The extent at `pos`: IOMAP_*, and how many of `length` bytes it has."""
    info = EXT4_I(inode)
    lblk = pos >> 12
    first = ext4_map_blocks(inode, lblk)
    kind = ext4_iomap_type(info, lblk, first)
    end = pos + length
    at = (lblk + 1) << 12
    while at < end:
        lblk += 1
        pblk = ext4_map_blocks(inode, lblk)
        # Blocks of the host's file have negative numbers, and are taken to be as contiguous as their file.
        expected = first + (lblk - (pos >> 12) if first > 0 else (pos >> 12) - lblk)
        if ext4_iomap_type(info, lblk, pblk) != kind or (kind not in (IOMAP_HOLE, IOMAP_DELALLOC) and pblk != expected):
            break
        at += 4096
    return kind, min(at, end) - pos


def ext4_iomap_type(info: Ext4InodeInfo, lblk: int, pblk: int) -> int:
    """IOMAP_* of what ext4_map_blocks() said."""
    if pblk == HOLE:
        return IOMAP_DELALLOC if lblk in info.i_reserved else IOMAP_HOLE
    return IOMAP_UNWRITTEN if pblk in info.unwritten else IOMAP_MAPPED


def ext4_dio_transfer(inode: Inode, page: Page, offset: int, pos: int, length: int, write: bool) -> None:
    """`length` bytes inside a page of user memory, at `pos` of the file. Raises EIO, ENOSPC."""
    end = pos + length
    while pos < end:
        size = min(end - pos, BLOCK_SIZE - (pos & 4095))
        ext4_dio_block(inode, page, offset, pos, size, write)
        pos += size
        offset += size


def ext4_dio_block(inode: Inode, page: Page, page_offset: int, pos: int, size: int, write: bool) -> None:
    """`size` bytes inside one page of user memory and one block. Raises EIO, ENOSPC."""
    k = inode.i_sb.kernel
    paddr = (page.pfn << 12) + page_offset
    lblk = pos >> 12
    offset = pos & 4095
    if not write:
        block = ext4_read_block(inode, lblk)
        phys_write(k, paddr, block[offset : offset + size])
        set_page_dirty_user(page)
        return
    data = bytes(k.mem[paddr : paddr + size])
    if size < BLOCK_SIZE:
        block = ext4_read_block(inode, lblk)
        data = block[:offset] + data + block[offset + size :]
    ext4_dio_write_block(inode, lblk, data)


def set_page_dirty_user(page: Page) -> None:
    """bio_set_pages_dirty(): the device wrote to a user's page behind the page tables' back."""
    if not page.flags & PG_dirty:
        set_page_dirty(page)


def ext4_dio_write_block(inode: Inode, lblk: int, data: bytes) -> None:
    """One block straight to the disk. Raises EIO, ENOSPC."""
    info = EXT4_I(inode)
    sbi = EXT4_SB(inode.i_sb)
    ext4_da_reserve_space(inode, lblk)
    pblk = ext4_map_blocks(inode, lblk)
    new = pblk <= 0
    if new:
        pblk = sbi.bdev.alloc_block()
    sbi.bdev.write_block(pblk, data)
    if new:
        ext4_set_block(inode, lblk, pblk)
        ext4_update_i_blocks(inode)
    info.unwritten.discard(pblk)
    ext4_mark_inode_dirty(inode)


ext4_aops: Final = AddressSpaceOperations(
    readpage=ext4_readpage,
    readahead=ext4_readahead,
    set_page_dirty=ext4_set_page_dirty,
    writepage=ext4_writepage,
    writepages=ext4_writepages,
    write_begin=ext4_da_write_begin,
    write_end=ext4_da_write_end,
    direct_IO=ext4_direct_IO,
)
ext4_file_vm_ops: Final = VmOperationsStruct(
    "ext4_file_vm_ops", fault=ext4_filemap_fault, map_pages=filemap_map_pages, page_mkwrite=ext4_page_mkwrite
)
ext4_file_operations: Final = FileOperations(
    "ext4_file_operations",
    llseek=ext4_llseek,
    read=ext4_file_read,
    read_iter=ext4_file_read_iter,
    write_iter=ext4_file_write_iter,
    mmap=ext4_file_mmap,
    get_unmapped_area=thp_get_unmapped_area,
    open=ext4_file_open,
    mmap_supported_flags=MAP_SYNC,
    fsync=ext4_sync_file,
    fallocate=ext4_fallocate,
)
ext4_dir_operations: Final = FileOperations(
    "ext4_dir_operations", read=libfs.generic_read_dir, iterate=libfs.dcache_readdir, fsync=ext4_sync_file
)
ext4_file_inode_operations: Final = InodeOperations("ext4_file_inode_operations", setattr=ext4_setattr)
