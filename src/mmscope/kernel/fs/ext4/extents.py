# SPDX-License-Identifier: GPL-2.0-or-later
"""fallocate(2) on ext4 (fs/ext4/extents.c): preallocation, holes, zeroes, and cutting a range out of a file or into it."""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.fs.attr import inode_newsize_ok
from mmscope.kernel.fs.ext4.inode import (
    EXT4_I,
    EXT4_SB,
    HOLE,
    HOST,
    ext4_da_release_space,
    ext4_has_free_blocks,
    ext4_isize_extended,
    ext4_map_blocks,
    ext4_mark_inode_dirty,
    ext4_remove_blocks,
    ext4_set_block,
    ext4_update_i_blocks,
    ext4_zero_partial_blocks,
)
from mmscope.kernel.include.errno import EFBIG, EINVAL, ENOSPC, EOPNOTSUPP, EROFS, KernelError
from mmscope.kernel.include.fs import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    SB_RDONLY,
    File,
    Inode,
)
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.mm.filemap_write import filemap_write_and_wait_range
from mmscope.kernel.mm.memory_truncate import unmap_mapping_range
from mmscope.kernel.mm.truncate import truncate_pagecache, truncate_pagecache_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


def ext4_fallocate(file: File, mode: int, offset: int, len: int) -> None:
    """f_op->fallocate."""
    inode = file.f_inode
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    if mode & ~(
        FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE
    ):
        raise KernelError(EOPNOTSUPP)
    if mode & FALLOC_FL_PUNCH_HOLE:
        ext4_punch_hole(file, offset, len)
    elif mode & FALLOC_FL_COLLAPSE_RANGE:
        ext4_collapse_range(file, offset, len)
    elif mode & FALLOC_FL_INSERT_RANGE:
        ext4_insert_range(file, offset, len)
    elif mode & FALLOC_FL_ZERO_RANGE:
        ext4_zero_range(file, offset, len, mode)
    else:
        if not mode & FALLOC_FL_KEEP_SIZE:
            inode_newsize_ok(inode, offset + len)
        fs_inode.file_modified(file)
        new_size = 0 if mode & FALLOC_FL_KEEP_SIZE else offset + len
        ext4_alloc_file_blocks(inode, offset >> 12, (offset + len + 4095) >> 12, new_size)
        if not mode & FALLOC_FL_KEEP_SIZE:
            ext4_update_inode_size(inode, offset + len)
        _changed(inode)


def _changed(inode: Inode) -> None:
    inode.i_mtime = inode.i_ctime = fs_inode.current_time(inode.i_sb.kernel)
    ext4_mark_inode_dirty(inode)
    fs_writeback.mark_inode_dirty(inode)


def ext4_update_inode_size(inode: Inode, new_size: int) -> None:
    """The file ends there at least."""
    info = EXT4_I(inode)
    info.i_disksize = max(info.i_disksize, new_size)
    old_size = inode.i_size
    if new_size > old_size:
        inode.i_size = new_size
        ext4_isize_extended(inode, old_size, new_size)


def ext4_alloc_file_blocks(inode: Inode, first: int, end: int, new_size: int) -> None:
    """Preallocate the holes in blocks [first, end). Raises ENOSPC, part of it done: up to there the file grows (0: not)."""
    info = EXT4_I(inode)
    sbi = EXT4_SB(inode.i_sb)
    for lblk in range(first, end):
        if ext4_map_blocks(inode, lblk) != HOLE:
            continue
        if lblk not in info.i_reserved and not ext4_has_free_blocks(inode.i_sb, 1):
            ext4_update_i_blocks(inode)
            if new_size and lblk > first:
                ext4_update_inode_size(inode, min(new_size, lblk << 12))
            raise KernelError(ENOSPC)
        pblk = sbi.bdev.alloc_block()
        ext4_set_block(inode, lblk, pblk)
        info.unwritten.add(pblk)
    ext4_update_i_blocks(inode)


def ext4_truncate_page_cache_block_range(inode: Inode, start: int, end: int) -> None:
    """What 6.12 stable does more before a hole or zeroes: where all is within the first page, it unmaps all behind that.

    It calls truncate_pagecache_range() with the bytes, and that compares the last whole page's end, -1, without sign.
    """
    if end < 4096 and inode.i_sb.kernel.config.version == (6, 12):
        unmap_mapping_range(inode.i_mapping, (start + 4095) & -4096, 0, False)


def ext4_punch_hole(file: File, offset: int, length: int) -> None:
    """A hole: whole blocks are freed, the rest of the range is zeroed. Nothing beyond the end of the file."""
    inode = file.f_inode
    late = inode.i_sb.kernel.config.at_least(6, 15)
    filemap_write_and_wait_range(inode.i_mapping, offset, offset + length - 1)
    if late:
        fs_inode.file_modified(file)
    if offset >= inode.i_size:
        return
    if not late:
        # Until then (commit unknown) nothing happened to the times either beyond the end.
        fs_inode.file_modified(file)
    if offset + length > inode.i_size:
        # To the end of the last page.
        length = inode.i_size + 4096 - (inode.i_size & 4095) - offset
    ext4_truncate_page_cache_block_range(inode, offset, offset + length)
    ext4_zero_partial_blocks(inode, offset, length)
    first_block_offset = (offset + 4095) & -4096
    last_block_offset = ((offset + length) & -4096) - 1
    if last_block_offset > first_block_offset:
        truncate_pagecache_range(inode, first_block_offset, last_block_offset)
        ext4_remove_blocks(inode, first_block_offset >> 12, last_block_offset >> 12)
    _changed(inode)


def ext4_zero_range(file: File, offset: int, length: int, mode: int) -> None:
    """Zeroes, as preallocated blocks. Raises EFBIG."""
    inode = file.f_inode
    end = offset + length
    if not mode & FALLOC_FL_KEEP_SIZE:
        inode_newsize_ok(inode, end)
    fs_inode.file_modified(file)
    first = (offset + 4095) >> 12
    last = end >> 12
    filemap_write_and_wait_range(inode.i_mapping, offset, end - 1)
    ext4_truncate_page_cache_block_range(inode, offset, end)
    if first < last:
        truncate_pagecache_range(inode, first << 12, (last << 12) - 1)
        ext4_remove_blocks(inode, first, last - 1)
    ext4_zero_partial_blocks(inode, offset, length)
    ext4_alloc_file_blocks(inode, offset >> 12, (end + 4095) >> 12, 0 if mode & FALLOC_FL_KEEP_SIZE else end)
    if not mode & FALLOC_FL_KEEP_SIZE:
        ext4_update_inode_size(inode, end)
    _changed(inode)


def _explicit_map(inode: Inode) -> dict[int, int]:
    """Block of the file -> block of the disk or of the host, without holes."""
    info = EXT4_I(inode)
    host_end = (info.host_size + 4095) >> 12
    out = {lblk: HOST - lblk for lblk in range(host_end) if lblk not in info.blocks}
    for lblk, pblk in info.blocks.items():
        if pblk != HOLE:
            out[lblk] = pblk
    return out


def _set_map(inode: Inode, blocks: dict[int, int]) -> None:
    """All blocks that are the host's are named one by one from now on; what is absent is a hole."""
    info = EXT4_I(inode)
    info.blocks = blocks
    host_end = (info.host_size + 4095) >> 12
    for lblk in range(host_end):
        if lblk not in blocks:
            blocks[lblk] = HOLE
    ext4_update_i_blocks(inode)


def _write_out_from(inode: Inode, offset: int) -> None:
    """Everything from `offset` on to the disk and out of the page cache: its blocks are about to move."""
    filemap_write_and_wait_range(inode.i_mapping, offset, LLONG_MAX)
    truncate_pagecache(inode, offset)
    info = EXT4_I(inode)
    for lblk in [lblk for lblk in info.i_reserved if lblk >= offset >> 12]:
        ext4_da_release_space(inode, lblk)


def ext4_collapse_range(file: File, offset: int, len: int) -> None:
    """Cut the range out of the file: what follows moves down. Whole blocks only, not up to the end (EINVAL)."""
    inode = file.f_inode
    if offset & 4095 or len & 4095 or offset + len >= inode.i_size:
        raise KernelError(EINVAL)
    fs_inode.file_modified(file)
    _write_out_from(inode, offset)
    first = offset >> 12
    nr = len >> 12
    ext4_remove_blocks(inode, first, first + nr - 1)
    old = _explicit_map(inode)
    _set_map(inode, {(lblk - nr if lblk >= first else lblk): pblk for lblk, pblk in old.items()})
    inode.i_size -= len
    EXT4_I(inode).i_disksize = inode.i_size
    _changed(inode)


def ext4_insert_range(file: File, offset: int, len: int) -> None:
    """Make room inside the file: what follows moves up, the new range is a hole. Whole blocks only, not at the end (EINVAL)."""
    inode = file.f_inode
    if offset & 4095 or len & 4095:
        raise KernelError(EINVAL)
    if len > inode.i_sb.s_maxbytes - inode.i_size:
        raise KernelError(EFBIG)
    if offset >= inode.i_size:
        raise KernelError(EINVAL)
    fs_inode.file_modified(file)
    _write_out_from(inode, offset)
    first = offset >> 12
    nr = len >> 12
    old = _explicit_map(inode)
    _set_map(inode, {(lblk + nr if lblk >= first else lblk): pblk for lblk, pblk in old.items()})
    inode.i_size += len
    EXT4_I(inode).i_disksize = inode.i_size
    _changed(inode)
