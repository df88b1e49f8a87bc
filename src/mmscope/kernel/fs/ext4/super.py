# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's super block and new inodes (fs/ext4/super.c, ialloc.c)."""

from __future__ import annotations

import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.inode as fs_inode
import mmscope.kernel.fs.libfs as libfs
from mmscope.kernel.block.genhd import BlockDevice
from mmscope.kernel.fs.ext4.ext4_jbd2 import ext4_disk_inode, ext4_sync_fs
from mmscope.kernel.fs.ext4.file import (
    ext4_aops,
    ext4_dir_operations,
    ext4_file_inode_operations,
    ext4_file_operations,
    ext4_setattr,
)
from mmscope.kernel.fs.ext4.inode import (
    EXT4_SB,
    Ext4InodeInfo,
    Ext4SbInfo,
    ext4_dirty_inode,
    ext4_evict_inode,
    ext4_mark_inode_dirty,
)
from mmscope.kernel.fs.ext4.xattr import ext4_listxattr, ext4_xattr_handlers
from mmscope.kernel.include.fs import (
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    AddressSpace,
    Inode,
    InodeOperations,
    SuperBlock,
    SuperOperations,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

#: s_maxbytes with blocks of 4 KiB.
EXT4_MAXBYTES: Final = 0xFFFFFFFF << 12


def ext4_fill_super(k: Kernel, dev: int, bdev: BlockDevice) -> SuperBlock:
    """A super block on the disk."""
    sb = SuperBlock(k, "ext4", dev)
    sb.s_bdi_writeback = True
    sb.s_maxbytes = EXT4_MAXBYTES
    # 34 bits from 1901 on.
    sb.s_time_min = -1 << 31
    sb.s_time_max = 0x37FFFFFFF
    sb.s_fs_info = Ext4SbInfo(bdev)
    sb.s_op = ext4_sops
    sb.s_xattr = ext4_xattr_handlers
    k.wb.super_blocks.append(sb)
    return sb


def ext4_set_inode_ops(inode: Inode, parent: Inode | None, host_size: int) -> None:
    """The tables and the private part that go with the inode's type."""
    kind = inode.i_mode & S_IFMT
    if kind == S_IFREG:
        inode.i_fop = ext4_file_operations
        inode.i_op = ext4_file_inode_operations
        inode.i_mapping = AddressSpace(inode, ext4_aops)
        inode.i_private = Ext4InodeInfo(host_size)
    elif kind == S_IFDIR:
        # Imported here: namei.py makes inodes by this module.
        import mmscope.kernel.fs.ext4.namei as ext4_namei

        inode.i_fop = ext4_dir_operations
        inode.i_op = ext4_namei.ext4_dir_inode_operations
        inode.i_private = libfs.SimpleDir(parent)
    elif kind == S_IFLNK:
        inode.i_op = ext4_symlink_inode_operations
    else:
        inode.i_op = ext4_special_inode_operations


def ext4_host_inode(inode: Inode, parent: Inode | None) -> None:
    """Complete the inode of a host file: everything about it is durable."""
    ext4_set_inode_ops(inode, parent, inode.i_size)
    EXT4_SB(inode.i_sb).committed[inode] = ext4_disk_inode(inode)


def ext4_new_inode(dir: Inode, mode: int) -> Inode:
    """A new inode in `dir`, owned by the current task, without a name yet. Raises ENOSPC, EROFS."""
    sb = dir.i_sb
    k = sb.kernel
    sbi = EXT4_SB(sb)
    inode = Inode(sb, sbi.next_ino, mode)
    sbi.next_ino += 1
    fs_inode.inode_init_owner(inode, dir, mode)
    inode.i_atime = inode.i_mtime = inode.i_ctime = inode.i_crtime = fs_inode.current_time(k)
    ext4_set_inode_ops(inode, dir, 0)
    if mode & S_IFMT == S_IFDIR:
        inode.i_nlink = 2
        inode.i_size = 4096
        inode.i_blocks = 8
    ext4_mark_inode_dirty(inode)
    return inode


def ext4_get_link(inode: Inode) -> str:
    """A symbolic link's target: the guest's own, or the host's."""
    target = inode.i_private
    return target if isinstance(target, str) else hostfs.host_get_link(inode)


def ext4_statfs(sb: SuperBlock) -> tuple[int, int, int, int, int]:
    """(blocks, free, available, inodes, free inodes)."""
    sbi = EXT4_SB(sb)
    free = max(sbi.bdev.bd_nr_blocks - sbi.bdev.nr_used - sbi.s_reserved, 0)
    return sbi.bdev.bd_nr_blocks, free, free, 1 << 20, (1 << 20) - (sbi.next_ino - 0xC0000000)


ext4_sops: Final = SuperOperations(
    evict_inode=ext4_evict_inode,
    sync_fs=ext4_sync_fs,
    statfs=ext4_statfs,
    dirty_inode=ext4_dirty_inode,
    listxattr=ext4_listxattr,
)
ext4_symlink_inode_operations: Final = InodeOperations(
    "ext4_symlink_inode_operations", get_link=ext4_get_link, setattr=ext4_setattr
)
ext4_special_inode_operations: Final = InodeOperations("ext4_special_inode_operations", setattr=ext4_setattr)
