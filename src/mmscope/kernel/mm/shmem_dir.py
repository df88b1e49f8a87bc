# SPDX-License-Identifier: GPL-2.0-or-later
"""tmpfs as a file system with names: the second half of mm/shmem.c. The checks were done by fs/namei.py."""

from __future__ import annotations

import mmscope.kernel.fs.attr as fs_attr
import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.fs.libfs import (
    SimpleDir,
    dcache_dir_lseek,
    dcache_readdir,
    generic_read_dir,
    noop_fsync,
    simple_add_entry,
    simple_delete_entry,
    simple_empty,
    simple_exchange_entries,
    simple_lookup,
    simple_move_entry,
)
from mmscope.kernel.include.errno import ENOTEMPTY, KernelError
from mmscope.kernel.include.fs import (
    I_LINKABLE,
    RENAME_EXCHANGE,
    RENAME_WHITEOUT,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    Dentry,
    File,
    FileOperations,
    Iattr,
    Inode,
    InodeOperations,
    SuperBlock,
)
from mmscope.kernel.include.mm import VM_NORESERVE
from mmscope.kernel.mm.shmem import shmem_get_inode, shmem_ioctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["shmem_dir_inode_operations", "shmem_make_root", "shmem_set_special_ops"]

#: What a name adds to the size of its directory.
BOGO_DIRENT_SIZE: Final = 20
#: Longer targets, with their NUL, take a page.
SHORT_SYMLINK_LEN: Final = 128


def shmem_set_special_ops(inode: Inode, parent: Inode | None) -> None:
    """The tables and the private part of everything that is not a regular file."""
    kind = inode.i_mode & S_IFMT
    if kind == S_IFDIR:
        inode.i_op = shmem_dir_inode_operations
        inode.i_fop = shmem_dir_operations
        inode.i_private = SimpleDir(parent)
    elif kind == S_IFLNK:
        inode.i_op = shmem_symlink_inode_operations
    else:
        inode.i_op = shmem_special_inode_operations


def shmem_make_root(sb: SuperBlock, mode: int) -> Dentry:
    """The root directory of a new mount."""
    inode = Inode(sb, 1, S_IFDIR | mode)
    inode.i_nlink = 2
    inode.i_atime = inode.i_mtime = inode.i_ctime = sb.kernel.config.boot_time
    shmem_set_special_ops(inode, None)
    inode.i_size = 0
    sb.s_root = Dentry(sb, "/", None, inode)
    return sb.s_root


def _new_inode(dir: Inode, mode: int) -> Inode:
    """An inode in `dir`."""
    return shmem_get_inode(dir.i_sb, dir, mode, VM_NORESERVE)


def _add(dir: Inode, dentry: Dentry, inode: Inode) -> None:
    dir.i_size += BOGO_DIRENT_SIZE
    simple_add_entry(dir, dentry, inode, fs_inode.current_time(dir.i_sb.kernel))


def shmem_create(dir: Inode, dentry: Dentry, mode: int) -> None:
    """A new regular file."""
    _add(dir, dentry, _new_inode(dir, S_IFREG | mode & 0o7777))


def shmem_mknod(dir: Inode, dentry: Dentry, mode: int, rdev: int) -> None:
    """A device, FIFO or socket."""
    inode = _new_inode(dir, mode)
    inode.i_rdev = rdev
    _add(dir, dentry, inode)


def shmem_mkdir(dir: Inode, dentry: Dentry, mode: int) -> None:
    """A new directory."""
    inode = _new_inode(dir, S_IFDIR | mode & 0o7777)
    inode.i_nlink = 2
    inode.i_size = 2 * BOGO_DIRENT_SIZE
    _add(dir, dentry, inode)


def shmem_symlink(dir: Inode, dentry: Dentry, target: str) -> None:
    """A symbolic link. (The page of a long target is not in the model's page cache.)"""
    inode = _new_inode(dir, S_IFLNK | 0o777)
    inode.i_private = target
    inode.i_size = len(target.encode("utf-8", "surrogateescape"))
    inode.i_blocks = 0 if inode.i_size < SHORT_SYMLINK_LEN else 8
    _add(dir, dentry, inode)


def shmem_get_link(inode: Inode) -> str:
    """A symbolic link's target: the guest's own, or the host's."""
    target = inode.i_private
    return target if isinstance(target, str) else hostfs.host_get_link(inode)


def shmem_link(inode: Inode, dir: Inode, dentry: Dentry) -> None:
    """One more name."""
    inode.i_ctime = fs_inode.current_time(dir.i_sb.kernel)
    inode.i_nlink += 1
    inode.i_state &= ~I_LINKABLE
    _add(dir, dentry, inode)


def shmem_unlink(dir: Inode, dentry: Dentry) -> None:
    """One name less."""
    inode = dentry.d_inode
    assert inode is not None
    now = fs_inode.current_time(dir.i_sb.kernel)
    dir.i_size -= BOGO_DIRENT_SIZE
    simple_delete_entry(dir, dentry, now)
    inode.i_nlink -= 1
    inode.i_ctime = now


def shmem_rmdir(dir: Inode, dentry: Dentry) -> None:
    """Remove an empty directory. Raises ENOTEMPTY."""
    inode = dentry.d_inode
    assert inode is not None
    if not simple_empty(inode):
        raise KernelError(ENOTEMPTY)
    shmem_unlink(dir, dentry)
    inode.i_nlink = 0


def shmem_rename2(old_dir: Inode, old: Dentry, new_dir: Inode, new: Dentry, flags: int) -> None:
    """Move a name. Raises ENOTEMPTY."""
    now = fs_inode.current_time(old_dir.i_sb.kernel)
    if flags & RENAME_EXCHANGE:
        simple_exchange_entries(old_dir, old, new_dir, new, now)
        return
    target = new.d_inode
    if target is not None:
        if target.i_mode & S_IFMT == S_IFDIR:
            shmem_rmdir(new_dir, new)
        else:
            shmem_unlink(new_dir, new)
    old_dir.i_size -= BOGO_DIRENT_SIZE
    new_dir.i_size += BOGO_DIRENT_SIZE
    simple_move_entry(old_dir, old, new_dir, new, now)
    if flags & RENAME_WHITEOUT:
        shmem_mknod(old_dir, Dentry(old.d_sb, old.d_name, old.d_parent, None), S_IFCHR, 0)


def shmem_tmpfile(dir: Inode, mode: int) -> Inode:
    """A regular file without a name."""
    inode = _new_inode(dir, S_IFREG | mode & 0o7777)
    inode.i_nlink = 0
    inode.i_state |= I_LINKABLE
    return inode


def shmem_special_setattr(inode: Inode, attr: Iattr) -> None:
    """i_op->setattr of what has no size to change."""
    fs_attr.setattr_prepare(inode, attr)
    fs_attr.setattr_copy(inode, attr)


def shmem_readdir(file: File) -> list[tuple[str, int, int]]:
    """f_op->iterate."""
    return dcache_readdir(file)


shmem_dir_inode_operations: Final = InodeOperations(
    "shmem_dir_inode_operations",
    lookup=simple_lookup,
    create=shmem_create,
    link=shmem_link,
    unlink=shmem_unlink,
    symlink=shmem_symlink,
    mkdir=shmem_mkdir,
    rmdir=shmem_rmdir,
    mknod=shmem_mknod,
    rename=shmem_rename2,
    tmpfile=shmem_tmpfile,
    setattr=shmem_special_setattr,
)
shmem_special_inode_operations: Final = InodeOperations("shmem_special_inode_operations", setattr=shmem_special_setattr)
shmem_symlink_inode_operations: Final = InodeOperations(
    "shmem_symlink_inode_operations", get_link=shmem_get_link, setattr=shmem_special_setattr
)
shmem_dir_operations: Final = FileOperations(
    "simple_dir_operations",
    llseek=dcache_dir_lseek,
    read=generic_read_dir,
    iterate=shmem_readdir,
    fsync=noop_fsync,
    unlocked_ioctl=shmem_ioctl,
)
