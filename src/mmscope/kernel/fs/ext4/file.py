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
    ext4_alloc_da_blocks,
    ext4_da_write_begin,
    ext4_da_write_end,
    ext4_filemap_fault,
    ext4_has_free_blocks,
    ext4_map_blocks,
    ext4_mark_inode_dirty,
    ext4_page_mkwrite,
    ext4_read_block,
    ext4_readahead,
    ext4_readpage,
    ext4_set_block,
    ext4_set_page_dirty,
    ext4_setsize,
    ext4_truncate_failed_write,
    ext4_update_i_blocks,
    ext4_writepage,
    ext4_writepages,
)
from mmscope.kernel.fs.ext4.ioctl import ext4_bmap, ext4_fiemap, ext4_ioctl
from mmscope.kernel.fs.iomap_direct_io import IOMAP_DELALLOC, IOMAP_HOLE, IOMAP_MAPPED, IOMAP_UNWRITTEN, iomap_dio_rw
from mmscope.kernel.fs.read_write import generic_file_llseek
from mmscope.kernel.include.errno import ENOSPC, ENXIO, EOPNOTSUPP, EROFS, KernelError
from mmscope.kernel.include.fs import (
    ATTR_SIZE,
    FMODE_NOWAIT,
    SB_RDONLY,
    SEEK_DATA,
    SEEK_HOLE,
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
from mmscope.kernel.include.page_flags import PG_dirty, PG_uptodate
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.filemap import filemap_map_pages, generic_file_buffered_read, generic_file_buffered_read_iter
from mmscope.kernel.mm.filemap_write import (
    file_write_and_wait_range,
    generic_file_write_iter,
)
from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area
from mmscope.kernel.mm.page_writeback import set_page_dirty
from mmscope.kernel.mm.readahead import ReadaheadControl, page_cache_ra_unbounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.config import KernelConfig
    from mmscope.kernel.include.mm_types import VmAreaStruct
    from mmscope.kernel.lib.iov_iter import IovIter

#: Blocks that one direct request allocates at a time.
DIO_MAX_BLOCKS: Final = 4096


# --- through the page cache


def ext4_file_read_iter(file: File, to: IovIter, pos: int) -> int:
    """Through the page cache."""
    if to.count == 0:
        return 0
    done = generic_file_buffered_read_iter(file, to, pos)
    fs_inode.file_accessed(file)
    return done


def ext4_file_read(file: File, count: int, pos: int) -> bytes:
    """ext4_file_read_iter() for the kernel itself."""
    if count == 0:
        return b""
    data = generic_file_buffered_read(file, count, pos)
    fs_inode.file_accessed(file)
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
    fs_inode.file_accessed(file)
    vma.vm_ops = ext4_file_vm_ops


def ext4_file_open(inode: Inode, file: File) -> None:
    """Note which host file the guest reads; EACCES when the host denies it after all."""
    file.f_mode |= FMODE_NOWAIT
    hostfs.host_open(inode)
    config = inode.i_sb.kernel.config
    info = EXT4_I(inode)
    first = not info.opened
    info.opened = True
    if config.warm_page_cache and first and inode.i_mapping.nrpages == 0 and inode.i_size <= config.ram >> 3:
        # As if somebody had read the file before: no page of it costs a major fault.
        page_cache_ra_unbounded(ReadaheadControl(file, inode.i_mapping, 0), (inode.i_size + 4095) >> 12, 0)


def ext4_release_file(inode: Inode, file: File) -> None:
    """f_op->release."""
    info = EXT4_I(inode)
    if info.da_alloc_close:
        ext4_alloc_da_blocks(inode)
        info.da_alloc_close = False


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
    """lseek; SEEK_DATA and SEEK_HOLE look at blocks, and at the pages over preallocated ones."""
    if whence not in (SEEK_DATA, SEEK_HOLE):
        return generic_file_llseek(file, offset, whence)
    inode = file.f_inode
    if offset < 0 or offset >= inode.i_size:
        raise KernelError(ENXIO)
    lblk = offset >> 12
    end = (inode.i_size + 4095) >> 12
    if whence == SEEK_DATA:
        lblk = ext4_next_data(inode, lblk, end)
        if lblk == end:
            raise KernelError(ENXIO)
    else:
        while lblk < end and ext4_block_has_data(inode, lblk):
            lblk += 1
    offset = min(max(offset, lblk << 12), inode.i_size)
    file.f_pos = offset
    return offset


def ext4_next_data(inode: Inode, lblk: int, end: int) -> int:
    """The first block of [lblk, end) that is no hole, else `end`. A hole may be terabytes: only what is known is looked at."""
    info = EXT4_I(inode)
    host_end = min(end, (info.host_size + 4095) >> 12)
    while lblk < host_end:
        if ext4_block_has_data(inode, lblk):
            return lblk
        lblk += 1
    found = end
    for known in (info.blocks, info.i_reserved):
        for one in known:
            if lblk <= one < found and ext4_block_has_data(inode, one):
                found = one
    return found


def ext4_block_has_data(inode: Inode, lblk: int) -> bool:
    """Block `lblk` of the file is no hole: SEEK_DATA stops there."""
    info = EXT4_I(inode)
    if lblk in info.i_reserved:
        return True
    pblk = ext4_map_blocks(inode, lblk)
    if pblk > 0 and pblk in info.unwritten:
        # mapping_seek_hole_data(): what the cache has of it counts, written or only read.
        page = xa_load(inode.i_mapping.i_pages, lblk)
        return isinstance(page, Page) and page.flags & PG_uptodate != 0
    return pblk != HOLE


# --- past the page cache


def ext4_direct_IO(file: File, segs: list[tuple[int, int]], pos: int, write: bool) -> int:
    """Between user memory and the disk; the caller has dealt with the page cache. Bytes moved. Raises as iomap_dio_rw()."""
    inode = file.f_mapping.host
    dio = Ext4Dio(inode, write)
    if not write:
        return iomap_dio_rw(inode, segs, pos, False, ext4_iomap_begin, dio.transfer)
    info = EXT4_I(inode)
    extend = pos + sum(length for _, length in segs) > info.i_disksize
    try:
        done = iomap_dio_rw(inode, segs, pos, True, ext4_iomap_begin, dio.transfer)
    except KernelError:
        # What was a hole stays preallocated, whatever has been written to it; nothing stays beyond the end.
        if extend:
            ext4_truncate_failed_write(inode)
        raise
    dio.end_io()
    if done:
        # ext4_handle_inode_extension(): i_size may be ahead of what the disk knows.
        inode.i_size = max(inode.i_size, pos + done)
        info.i_disksize = max(info.i_disksize, pos + done)
    return done


def ext4_iomap_begin(inode: Inode, pos: int, length: int, write: bool) -> tuple[int, int]:
    """The extent at `pos`: IOMAP_*, and how many of `length` bytes it has. To write, it is allocated. Raises ENOSPC."""
    info = EXT4_I(inode)
    lblk = pos >> 12
    end = pos + length
    if write and ext4_map_blocks(inode, lblk) == HOLE:
        end = min(end, ext4_iomap_alloc(inode, lblk, (end + 4095) >> 12) << 12)
    first = ext4_map_blocks(inode, lblk)
    config = inode.i_sb.kernel.config
    kind = ext4_iomap_type(config, info, lblk, first)
    at = (lblk + 1) << 12
    while at < end:
        lblk += 1
        pblk = ext4_map_blocks(inode, lblk)
        # Blocks of the host's file have negative numbers, and are taken to be as contiguous as their file.
        expected = first + (lblk - (pos >> 12) if first > 0 else (pos >> 12) - lblk)
        if ext4_iomap_type(config, info, lblk, pblk) != kind or (kind not in (IOMAP_HOLE, IOMAP_DELALLOC) and pblk != expected):
            break
        at += 4096
    return kind, min(at, end) - pos


def ext4_iomap_alloc(inode: Inode, lblk: int, end: int) -> int:
    """Allocate what is a hole from `lblk` on, before block `end`: preallocated only, but for what is beyond the end of the file.

    The block of the file where that ends. Raises ENOSPC when there is not one block.
    """
    info = EXT4_I(inode)
    sbi = EXT4_SB(inode.i_sb)
    unwritten = lblk << 12 < inode.i_size
    start = lblk
    end = min(end, start + DIO_MAX_BLOCKS)
    while lblk < end and ext4_map_blocks(inode, lblk) == HOLE:
        if lblk not in info.i_reserved and not ext4_has_free_blocks(inode.i_sb, 1):
            if lblk == start:
                raise KernelError(ENOSPC)
            break
        pblk = sbi.bdev.alloc_block()
        ext4_set_block(inode, lblk, pblk)
        if unwritten:
            info.unwritten.add(pblk)
        lblk += 1
    ext4_update_i_blocks(inode)
    ext4_mark_inode_dirty(inode)
    return lblk


def ext4_iomap_type(config: KernelConfig, info: Ext4InodeInfo, lblk: int, pblk: int) -> int:
    """IOMAP_* of what ext4_map_blocks() said. Before v6.8 (ec9d669eba4c) what is not allocated yet was a hole."""
    if pblk == HOLE:
        return IOMAP_DELALLOC if lblk in info.i_reserved and config.at_least(6, 8) else IOMAP_HOLE
    return IOMAP_UNWRITTEN if pblk in info.unwritten else IOMAP_MAPPED


class Ext4Dio:
    """One direct request: what it moves, and what it has to convert at its end."""

    def __init__(self, inode: Inode, write: bool) -> None:
        self.inode = inode
        self.write = write
        #: Blocks of the disk that were preallocated, or new, and have their bytes now.
        self.written: set[int] = set()

    def transfer(self, page: Page, offset: int, pos: int, length: int) -> None:
        """`length` bytes inside a page of user memory, at `pos` of the file. Raises EIO."""
        end = pos + length
        while pos < end:
            size = min(end - pos, BLOCK_SIZE - (pos & 4095))
            if self.write:
                self.write_block(page, offset, pos, size)
            else:
                block = ext4_read_block(self.inode, pos >> 12)
                phys_write(page.kernel, (page.pfn << 12) + offset, block[pos & 4095 : (pos & 4095) + size])
                set_page_dirty_user(page)
            pos += size
            offset += size

    def write_block(self, page: Page, page_offset: int, pos: int, size: int) -> None:
        """`size` bytes inside one page of user memory and one block; a block that had none is zeroed around them."""
        inode = self.inode
        info = EXT4_I(inode)
        bdev = EXT4_SB(inode.i_sb).bdev
        lblk = pos >> 12
        offset = pos & 4095
        paddr = (page.pfn << 12) + page_offset
        pblk = ext4_map_blocks(inode, lblk)
        data = bytes(inode.i_sb.kernel.mem[paddr : paddr + size])
        if size < BLOCK_SIZE:
            block = bdev.peek(pblk) if pblk in self.written else ext4_read_block(inode, lblk)
            data = block[:offset] + data + block[offset + size :]
        new = pblk < 0
        if new:
            pblk = bdev.alloc_block()
        bdev.write_block(pblk, data)
        if new:
            # The host's file is only read: its block moves to the disk.
            ext4_set_block(inode, lblk, pblk)
            ext4_update_i_blocks(inode)
        if pblk in info.unwritten:
            self.written.add(pblk)
        ext4_mark_inode_dirty(inode)

    def end_io(self) -> None:
        """ext4_dio_write_end_io(): what was preallocated has been written."""
        EXT4_I(self.inode).unwritten.difference_update(self.written)
        ext4_mark_inode_dirty(self.inode)


def set_page_dirty_user(page: Page) -> None:
    """bio_set_pages_dirty(): the device wrote to a user's page behind the page tables' back."""
    if not page.flags & PG_dirty:
        set_page_dirty(page)


ext4_aops: Final = AddressSpaceOperations(
    readpage=ext4_readpage,
    readahead=ext4_readahead,
    set_page_dirty=ext4_set_page_dirty,
    writepage=ext4_writepage,
    writepages=ext4_writepages,
    write_begin=ext4_da_write_begin,
    write_end=ext4_da_write_end,
    direct_IO=ext4_direct_IO,
    bmap=ext4_bmap,
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
    release=ext4_release_file,
    mmap_supported_flags=MAP_SYNC,
    fsync=ext4_sync_file,
    fallocate=ext4_fallocate,
    unlocked_ioctl=ext4_ioctl,
)
ext4_dir_operations: Final = FileOperations(
    "ext4_dir_operations",
    read=libfs.generic_read_dir,
    iterate=libfs.dcache_readdir,
    fsync=ext4_sync_file,
    unlocked_ioctl=ext4_ioctl,
)
ext4_file_inode_operations: Final = InodeOperations("ext4_file_inode_operations", setattr=ext4_setattr, fiemap=ext4_fiemap)
