# SPDX-License-Identifier: GPL-2.0-or-later
"""What ioctl(2) can ask ext4 (fs/ext4/ioctl.c): a file's flags; and where its blocks are (FIEMAP, FIBMAP)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import put_user
from mmscope.kernel.fs.ext4.inode import EXT4_I, HOLE, Ext4InodeInfo, ext4_map_blocks
from mmscope.kernel.fs.ioctl import (
    FIEMAP_EXTENT_DELALLOC,
    FIEMAP_EXTENT_LAST,
    FIEMAP_EXTENT_UNWRITTEN,
    FIEMAP_FLAG_CACHE,
    FIEMAP_FLAG_XATTR,
    fiemap_fill_next_extent,
    fiemap_prep,
)
from mmscope.kernel.include.errno import ENOTTY, EOPNOTSUPP, KernelError
from mmscope.kernel.include.fs import AddressSpace, FiemapExtentInfo, File, Inode
from mmscope.kernel.include.ioctls import FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.include.page_flags import PG_dirty, PG_writeback
from mmscope.kernel.mm.filemap import find_get_page
from mmscope.kernel.mm.filemap_write import filemap_write_and_wait_range
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EXT4_EXTENTS_FL: Final = 0x80000


def ext4_ioctl(file: File, cmd: int, arg: int) -> int:
    """f_op->unlocked_ioctl: lsattr(1). All files have extents, and no other flag; none can be set."""
    k = file.f_inode.i_sb.kernel
    if cmd == FS_IOC_GETFLAGS:
        put_user(k, arg, EXT4_EXTENTS_FL, 4)
        return 0
    if cmd == FS_IOC_SETFLAGS:
        k.warn_once("ioctl(FS_IOC_SETFLAGS) is not there: no file gets flags")
        raise KernelError(EOPNOTSUPP)
    raise KernelError(ENOTTY)


def ext4_extent_at(inode: Inode, lblk: int) -> tuple[int, int]:
    """(device's block, FIEMAP_EXTENT_*) of a block of the file; flags -1 for a hole.

    The host's file stands beyond the model's own disk, in one piece: only its own file system knows better.
    """
    info = EXT4_I(inode)
    pblk = ext4_map_blocks(inode, lblk)
    if pblk == HOLE:
        return 0, FIEMAP_EXTENT_DELALLOC if lblk in info.i_reserved else -1
    if pblk < 0:
        return (inode.i_ino << 24) + (-1 - pblk) + (1 << 32), 0
    return pblk, FIEMAP_EXTENT_UNWRITTEN if pblk in info.unwritten else 0


def ext4_extents(inode: Inode, first: int, last: int) -> list[tuple[int, int, int, int]]:
    """(block of the file, block of the device, blocks, flags) of [first, last], each as long as it is in one piece."""
    info = EXT4_I(inode)
    lblks = {*range(first, (info.host_size + 4095) >> 12), *info.blocks, *info.i_reserved}
    out: list[tuple[int, int, int, int]] = []
    for lblk in sorted([lblk for lblk in lblks if first <= lblk <= last]):
        pblk, flags = ext4_extent_at(inode, lblk)
        if flags < 0:
            continue
        if out:
            start, phys, length, old_flags = out[-1]
            if old_flags == flags and start + length == lblk and (flags & FIEMAP_EXTENT_DELALLOC or phys + length == pblk):
                out[-1] = (start, phys, length + 1, flags)
                continue
        out.append((lblk, pblk, 1, flags))
    return out


def ext4_fiemap(inode: Inode, info: FiemapExtentInfo, start: int, len: int) -> None:
    """i_op->fiemap. Raises EINVAL, EFBIG, EBADR."""
    # FIEMAP_FLAG_CACHE only reads the extents in.
    info.fi_flags &= ~FIEMAP_FLAG_CACHE
    # Where an attribute's own block is, the model does not know.
    len = fiemap_prep(inode, info, start, len, 0 if inode.i_xattrs else FIEMAP_FLAG_XATTR)
    if not isinstance(inode.i_private, Ext4InodeInfo):
        # A directory: one block, whose place nobody asks for.
        raise KernelError(EOPNOTSUPP)
    if info.fi_flags & FIEMAP_FLAG_XATTR:
        info.fi_flags &= ~FIEMAP_FLAG_XATTR
        return
    extents = ext4_extents(inode, start >> 12, 1 << 52)
    end = start + len
    for lblk, pblk, length, flags in extents:
        if lblk << 12 >= end:
            break
        if lblk == extents[-1][0]:
            flags |= FIEMAP_EXTENT_LAST
        if fiemap_fill_next_extent(info, lblk << 12, pblk << 12, length << 12, flags):
            break


def ext4_dio_would_wait(inode: Inode, pos: int, count: int, write: bool) -> bool:
    """Would O_DIRECT have to wait: for writeback, or (a write) for cached pages to go, the file to grow, or a new block?

    Whole blocks that are allocated but not written are fine since 6.3 (commit unknown).
    """
    first, last = pos >> 12, (pos + count - 1) >> 12
    for index in range(first, min(last, inode.i_size >> 12) + 1):
        page = find_get_page(inode.i_mapping, index)
        if page is None:
            continue
        waits = write or page.flags & (PG_dirty | PG_writeback) != 0
        put_page(page)
        if waits:
            return True
    if not write:
        return False
    if pos + count > inode.i_size:
        return True
    unwritten_too = not (pos | count) & 4095 and inode.i_sb.kernel.config.at_least(6, 3)
    for lblk in range(first, last + 1):
        _, flags = ext4_extent_at(inode, lblk)
        if flags != 0 and not (unwritten_too and flags == FIEMAP_EXTENT_UNWRITTEN):
            return True
    return False


def ext4_bmap(mapping: AddressSpace, block: int) -> int:
    """a_ops->bmap: FIBMAP. What waits for its block gets it first."""
    inode = mapping.host
    filemap_write_and_wait_range(mapping, 0, LLONG_MAX)
    return max(ext4_map_blocks(inode, block), 0)
