# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's directories (fs/ext4/namei.c): names that come, go and move. The checks were done by fs/namei.py."""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.fs.ext4.file import ext4_setattr
from mmscope.kernel.fs.ext4.inode import Ext4InodeInfo, ext4_alloc_da_blocks
from mmscope.kernel.fs.ext4.super import ext4_new_inode
from mmscope.kernel.fs.libfs import (
    simple_add_entry,
    simple_delete_entry,
    simple_empty,
    simple_exchange_entries,
    simple_lookup,
    simple_move_entry,
)
from mmscope.kernel.include.errno import EMLINK, ENOTEMPTY, EROFS, KernelError
from mmscope.kernel.include.fs import (
    I_LINKABLE,
    RENAME_EXCHANGE,
    RENAME_WHITEOUT,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    SB_RDONLY,
    Dentry,
    Inode,
    InodeOperations,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EXT4_LINK_MAX: Final = 65000


def _now(dir: Inode) -> int:
    """The time of a change; EROFS after the journal was aborted."""
    if dir.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    return fs_inode.current_time(dir.i_sb.kernel)


def ext4_lookup(dir: Inode, name: str) -> Inode | None:
    """The inode `name` of a directory, None if there is no such name."""
    return simple_lookup(dir, name)


def ext4_create(dir: Inode, dentry: Dentry, mode: int) -> None:
    """A new regular file."""
    now = _now(dir)
    simple_add_entry(dir, dentry, ext4_new_inode(dir, S_IFREG | mode & 0o7777), now)


def ext4_mknod(dir: Inode, dentry: Dentry, mode: int, rdev: int) -> None:
    """A device, FIFO or socket."""
    now = _now(dir)
    inode = ext4_new_inode(dir, mode)
    inode.i_rdev = rdev
    simple_add_entry(dir, dentry, inode, now)


def ext4_mkdir(dir: Inode, dentry: Dentry, mode: int) -> None:
    """A new directory. (A link count that gets too high for the disk becomes 1 with dir_nlink; 65000 is far.)"""
    now = _now(dir)
    simple_add_entry(dir, dentry, ext4_new_inode(dir, S_IFDIR | mode & 0o7777), now)


def ext4_symlink(dir: Inode, dentry: Dentry, target: str) -> None:
    """A symbolic link; up to 59 bytes stand in the inode itself."""
    now = _now(dir)
    inode = ext4_new_inode(dir, S_IFLNK | 0o777)
    inode.i_private = target
    inode.i_size = len(target.encode("utf-8", "surrogateescape"))
    inode.i_blocks = 0 if inode.i_size < 60 else 8
    simple_add_entry(dir, dentry, inode, now)


def ext4_link(inode: Inode, dir: Inode, dentry: Dentry) -> None:
    """One more name."""
    now = _now(dir)
    if inode.i_nlink >= EXT4_LINK_MAX:
        raise KernelError(EMLINK)
    inode.i_ctime = now
    inode.i_nlink += 1
    inode.i_state &= ~I_LINKABLE
    fs_writeback.mark_inode_dirty(inode)
    simple_add_entry(dir, dentry, inode, now)


def ext4_unlink(dir: Inode, dentry: Dentry) -> None:
    """One name less."""
    now = _now(dir)
    inode = dentry.d_inode
    assert inode is not None
    simple_delete_entry(dir, dentry, now)
    inode.i_nlink -= 1
    inode.i_ctime = now
    fs_writeback.mark_inode_dirty(inode)


def ext4_rmdir(dir: Inode, dentry: Dentry) -> None:
    """Remove an empty directory. Raises ENOTEMPTY."""
    now = _now(dir)
    inode = dentry.d_inode
    assert inode is not None
    if not simple_empty(inode):
        raise KernelError(ENOTEMPTY)
    simple_delete_entry(dir, dentry, now)
    inode.i_nlink = 0
    inode.i_size = 0
    inode.i_ctime = now
    fs_writeback.mark_inode_dirty(inode)


def ext4_rename2(old_dir: Inode, old: Dentry, new_dir: Inode, new: Dentry, flags: int) -> None:
    """Move a name. Raises ENOTEMPTY."""
    now = _now(old_dir)
    if flags & RENAME_EXCHANGE:
        simple_exchange_entries(old_dir, old, new_dir, new, now)
        return
    target = new.d_inode
    if target is not None:
        if old.d_inode is not None and isinstance(old.d_inode.i_private, Ext4InodeInfo):
            # What replaces another file shall be there after a crash.
            ext4_alloc_da_blocks(old.d_inode)
        if target.i_mode & S_IFMT == S_IFDIR:
            ext4_rmdir(new_dir, new)
        else:
            ext4_unlink(new_dir, new)
    simple_move_entry(old_dir, old, new_dir, new, now)
    if flags & RENAME_WHITEOUT:
        whiteout = Dentry(old.d_sb, old.d_name, old.d_parent, None)
        ext4_mknod(old_dir, whiteout, S_IFCHR, 0)


def ext4_tmpfile(dir: Inode, mode: int) -> Inode:
    """A regular file without a name."""
    _now(dir)
    inode = ext4_new_inode(dir, S_IFREG | mode & 0o7777)
    inode.i_nlink = 0
    inode.i_state |= I_LINKABLE
    return inode


ext4_dir_inode_operations: Final = InodeOperations(
    "ext4_dir_inode_operations",
    lookup=ext4_lookup,
    create=ext4_create,
    link=ext4_link,
    unlink=ext4_unlink,
    symlink=ext4_symlink,
    mkdir=ext4_mkdir,
    rmdir=ext4_rmdir,
    mknod=ext4_mknod,
    tmpfile=ext4_tmpfile,
    rename=ext4_rename2,
    setattr=ext4_setattr,
)
