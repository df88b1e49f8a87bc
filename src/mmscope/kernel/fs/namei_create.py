# SPDX-License-Identifier: GPL-2.0-or-later
"""The second half of fs/namei.c: names that are made, removed and moved, and the dentries that go with them (fs/dcache.c)."""

from __future__ import annotations

import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.core.capability import cap_raised, capable
from mmscope.kernel.fs.namei import (
    LAST_DOT,
    LAST_DOTDOT,
    LAST_NORM,
    LAST_ROOT,
    LOOKUP_EMPTY,
    LOOKUP_FOLLOW,
    Nameidata,
    d_is_dir,
    d_lookup,
    getname_flags,
    inode_permission,
    link_path_walk,
    path_init,
    user_path_at_empty,
)
from mmscope.kernel.fs.pipe import fifo_fops
from mmscope.kernel.include.capability import CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_MKNOD
from mmscope.kernel.include.errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    EROFS,
    EXDEV,
    KernelError,
)
from mmscope.kernel.include.fs import (
    AT_EMPTY_PATH,
    AT_SYMLINK_FOLLOW,
    I_LINKABLE,
    MAY_EXEC,
    MAY_WRITE,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISVTX,
    SB_RDONLY,
    Dentry,
    Inode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "d_delete", "d_move", "do_linkat", "do_mkdirat", "do_mknodat", "do_renameat2", "do_rmdir", "do_symlinkat", "do_unlinkat",
    "filename_parentat", "may_create", "may_delete",
]  # fmt: skip


# --- dentries


def d_delete(dentry: Dentry) -> None:
    """The name is gone; who holds the dentry sees " (deleted)"."""
    parent = dentry.d_parent
    assert parent is not None
    if parent.d_children.get(dentry.d_name) is dentry:
        del parent.d_children[dentry.d_name]
    dentry.d_unlinked = True


def d_move(dentry: Dentry, target: Dentry) -> None:
    """`dentry` takes the place of `target`."""
    old_parent = dentry.d_parent
    new_parent = target.d_parent
    assert old_parent is not None
    assert new_parent is not None
    if old_parent.d_children.get(dentry.d_name) is dentry:
        del old_parent.d_children[dentry.d_name]
    target.d_unlinked = True
    dentry.d_parent = new_parent
    dentry.d_name = target.d_name
    new_parent.d_children[dentry.d_name] = dentry


def d_exchange(one: Dentry, two: Dentry) -> None:
    """Both change places."""
    one_parent = one.d_parent
    two_parent = two.d_parent
    assert one_parent is not None
    assert two_parent is not None
    one.d_parent = two_parent
    two.d_parent = one_parent
    name = one.d_name
    one.d_name = two.d_name
    two.d_name = name
    two_parent.d_children[one.d_name] = one
    one_parent.d_children[two.d_name] = two


def is_ancestor(dentry: Dentry, below: Dentry) -> bool:
    """`dentry` is `below` or stands above it in the same file system."""
    at: Dentry | None = below
    while at is not None:
        if at is dentry:
            return True
        at = at.d_parent
    return False


# --- checks


def _inode_of(dentry: Dentry) -> Inode:
    inode = dentry.d_inode
    assert inode is not None
    return inode


def mnt_want_write(dentry: Dentry) -> None:
    """EROFS on a file system that cannot be written."""
    if dentry.d_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)


def may_create(k: Kernel, dir: Dentry, child: Dentry) -> None:
    """May the current task make that name? Raises EEXIST, ENOENT (the directory was removed), EACCES."""
    inode = _inode_of(dir)
    if child.d_inode is not None:
        raise KernelError(EEXIST)
    if inode.i_nlink == 0:
        raise KernelError(ENOENT)
    inode_permission(k, inode, MAY_WRITE | MAY_EXEC)


def may_delete(k: Kernel, dir: Dentry, victim: Dentry, isdir: bool) -> None:
    """May the current task remove that name? Raises ENOENT, EACCES, EPERM (sticky directory), ENOTDIR, EISDIR, EBUSY."""
    inode = victim.d_inode
    if inode is None:
        raise KernelError(ENOENT)
    parent = _inode_of(dir)
    inode_permission(k, parent, MAY_WRITE | MAY_EXEC)
    cred = k.current.cred
    if parent.i_mode & S_ISVTX and cred.fsuid not in (inode.i_uid, parent.i_uid) and not cap_raised(cred, CAP_FOWNER):
        raise KernelError(EPERM)
    if isdir:
        if not d_is_dir(victim):
            raise KernelError(ENOTDIR)
        if victim.d_parent is None:
            raise KernelError(EBUSY)
    elif d_is_dir(victim):
        raise KernelError(EISDIR)
    if parent.i_nlink == 0:
        raise KernelError(ENOENT)


# --- the walk to the last name


def filename_parentat(k: Kernel, dfd: int, name: int | bytes | str) -> Nameidata:
    """Walk to the directory of the path's last name: nd.path; nd.last, nd.last_type and nd.last_slash tell of the name."""
    path = getname_flags(k, name, 0)
    nd = path_init(k, dfd, path, 0)
    link_path_walk(path, nd)
    if not d_is_dir(nd.path):
        raise KernelError(ENOTDIR)
    return nd


def lookup_last_name(nd: Nameidata) -> Dentry:
    """__lookup_hash(): the dentry of the last name, negative if there is none."""
    inode_permission(nd.k, _inode_of(nd.path), MAY_EXEC)
    return d_lookup(nd.path, nd.last)


def filename_create(k: Kernel, dfd: int, name: int | bytes | str, is_dir: bool) -> tuple[Dentry, Dentry]:
    """(directory, negative dentry) of a name that is to be made. Raises EEXIST, ENOENT (a slash behind what is no directory)."""
    nd = filename_parentat(k, dfd, name)
    if nd.last_type != LAST_NORM:
        raise KernelError(EEXIST)
    dentry = lookup_last_name(nd)
    if dentry.d_inode is not None:
        raise KernelError(EEXIST)
    if nd.last_slash and not is_dir:
        raise KernelError(ENOENT)
    mnt_want_write(nd.path)
    return nd.path, dentry


def _umask(k: Kernel) -> int:
    fs = k.current.fs
    assert fs is not None
    return fs.umask


# --- system calls


def do_mkdirat(k: Kernel, dfd: int, pathname: int | bytes | str, mode: int) -> int:
    """mkdir(2)."""
    dir, dentry = filename_create(k, dfd, pathname, True)
    inode = _inode_of(dir)
    may_create(k, dir, dentry)
    if inode.i_op.mkdir is None:
        raise KernelError(EPERM)
    inode.i_op.mkdir(inode, dentry, mode & ~_umask(k) & (0o777 | S_ISVTX))
    return 0


def do_mknodat(k: Kernel, dfd: int, filename: int | bytes | str, mode: int, dev: int) -> int:
    """mknod(2): regular files (also type 0), FIFOs, sockets; devices for the administrator."""
    kind = mode & S_IFMT
    if kind not in (0, S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise KernelError(EPERM if kind == S_IFDIR else EINVAL)
    dir, dentry = filename_create(k, dfd, filename, False)
    inode = _inode_of(dir)
    mode &= ~_umask(k)
    may_create(k, dir, dentry)
    if kind in (0, S_IFREG):
        if inode.i_op.create is None:
            raise KernelError(EPERM)
        inode.i_op.create(inode, dentry, mode)
        return 0
    if kind in (S_IFCHR, S_IFBLK) and not (kind == S_IFCHR and dev == 0) and not capable(k, CAP_MKNOD):
        raise KernelError(EPERM)
    if inode.i_op.mknod is None:
        raise KernelError(EPERM)
    rdev = 0
    if kind in (S_IFCHR, S_IFBLK):
        # new_decode_dev()
        rdev = ((dev & 0xFFF00) >> 8) << 20 | (dev & 0xFF) | (dev >> 12 & 0xFFF00)
    inode.i_op.mknod(inode, dentry, mode, rdev)
    # init_special_inode(). A device or FIFO of the host has no driver here.
    if kind == S_IFIFO and dentry.d_inode is not None:
        dentry.d_inode.i_fop = fifo_fops
    elif kind == S_IFCHR and dentry.d_inode is not None:
        # Imported here: the devices are files of file systems, which are made by this module.
        import mmscope.kernel.fs.devtmpfs as fs_devtmpfs

        dentry.d_inode.i_fop = fs_devtmpfs.chrdev_fops(rdev)
    return 0


def do_symlinkat(k: Kernel, oldname: int | bytes | str, newdfd: int, newname: int | bytes | str) -> int:
    """symlink(2)."""
    target = getname_flags(k, oldname, 0)
    dir, dentry = filename_create(k, newdfd, newname, False)
    inode = _inode_of(dir)
    may_create(k, dir, dentry)
    if inode.i_op.symlink is None:
        raise KernelError(EPERM)
    inode.i_op.symlink(inode, dentry, target)
    return 0


def do_linkat(k: Kernel, olddfd: int, oldname: int | bytes | str, newdfd: int, newname: int | bytes | str, flags: int) -> int:
    """link(2), linkat(2)."""
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise KernelError(EINVAL)
    how = LOOKUP_FOLLOW if flags & AT_SYMLINK_FOLLOW else 0
    if flags & AT_EMPTY_PATH:
        if not capable(k, CAP_DAC_READ_SEARCH):
            raise KernelError(ENOENT)
        how |= LOOKUP_EMPTY
    old = user_path_at_empty(k, olddfd, oldname, how)
    dir, dentry = filename_create(k, newdfd, newname, False)
    if old.d_sb is not dir.d_sb:
        raise KernelError(EXDEV)
    inode = _inode_of(old)
    parent = _inode_of(dir)
    may_create(k, dir, dentry)
    if parent.i_op.link is None or inode.i_mode & S_IFMT == S_IFDIR:
        raise KernelError(EPERM)
    if inode.i_nlink == 0 and not inode.i_state & I_LINKABLE:
        raise KernelError(ENOENT)
    parent.i_op.link(inode, parent, dentry)
    return 0


def do_rmdir(k: Kernel, dfd: int, name: int | bytes | str) -> int:
    """rmdir(2)."""
    nd = filename_parentat(k, dfd, name)
    if nd.last_type == LAST_DOTDOT:
        raise KernelError(ENOTEMPTY)
    if nd.last_type == LAST_DOT:
        raise KernelError(EINVAL)
    if nd.last_type == LAST_ROOT:
        raise KernelError(EBUSY)
    mnt_want_write(nd.path)
    dentry = lookup_last_name(nd)
    may_delete(k, nd.path, dentry, True)
    parent = _inode_of(nd.path)
    if parent.i_op.rmdir is None:
        raise KernelError(EPERM)
    if dentry.d_mounted is not None:
        raise KernelError(EBUSY)
    parent.i_op.rmdir(parent, dentry)
    d_delete(dentry)
    fs_inode.iput(_inode_of(dentry))
    return 0


def do_unlinkat(k: Kernel, dfd: int, name: int | bytes | str) -> int:
    """unlink(2). A slash behind the name never works: which error depends on what it is."""
    nd = filename_parentat(k, dfd, name)
    if nd.last_type != LAST_NORM:
        raise KernelError(EISDIR)
    mnt_want_write(nd.path)
    dentry = lookup_last_name(nd)
    if nd.last_slash or dentry.d_inode is None:
        if dentry.d_inode is None:
            raise KernelError(ENOENT)
        raise KernelError(EISDIR if d_is_dir(dentry) else ENOTDIR)
    may_delete(k, nd.path, dentry, False)
    parent = _inode_of(nd.path)
    if parent.i_op.unlink is None:
        raise KernelError(EPERM)
    if dentry.d_mounted is not None:
        raise KernelError(EBUSY)
    inode = _inode_of(dentry)
    parent.i_op.unlink(parent, dentry)
    d_delete(dentry)
    fs_inode.iput(inode)
    return 0


def do_renameat2(k: Kernel, olddfd: int, oldname: int | bytes | str, newdfd: int, newname: int | bytes | str, flags: int) -> int:
    """rename(2), renameat2(2)."""
    if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT):
        raise KernelError(EINVAL)
    if flags & RENAME_EXCHANGE and flags & (RENAME_NOREPLACE | RENAME_WHITEOUT):
        raise KernelError(EINVAL)
    old_nd = filename_parentat(k, olddfd, oldname)
    new_nd = filename_parentat(k, newdfd, newname)
    if old_nd.path.d_sb is not new_nd.path.d_sb:
        raise KernelError(EXDEV)
    if old_nd.last_type != LAST_NORM:
        raise KernelError(EBUSY)
    if new_nd.last_type != LAST_NORM:
        raise KernelError(EEXIST if flags & RENAME_NOREPLACE else EBUSY)
    mnt_want_write(old_nd.path)
    old = lookup_last_name(old_nd)
    if old.d_inode is None:
        raise KernelError(ENOENT)
    new = lookup_last_name(new_nd)
    if flags & RENAME_NOREPLACE and new.d_inode is not None:
        raise KernelError(EEXIST)
    if flags & RENAME_EXCHANGE:
        if new.d_inode is None:
            raise KernelError(ENOENT)
        if not d_is_dir(new) and new_nd.last_slash:
            raise KernelError(ENOTDIR)
    if not d_is_dir(old) and (old_nd.last_slash or (not flags & RENAME_EXCHANGE and new_nd.last_slash)):
        raise KernelError(ENOTDIR)
    if is_ancestor(old, new_nd.path):
        raise KernelError(EINVAL)
    if is_ancestor(new, old_nd.path):
        raise KernelError(EINVAL if flags & RENAME_EXCHANGE else ENOTEMPTY)
    vfs_rename(k, old_nd.path, old, new_nd.path, new, flags)
    return 0


def vfs_rename(k: Kernel, old_dir: Dentry, old: Dentry, new_dir: Dentry, new: Dentry, flags: int) -> None:
    """The move itself, with its checks. Two names of one file: nothing happens."""
    source = _inode_of(old)
    target = new.d_inode
    if source is target:
        return
    is_dir = d_is_dir(old)
    may_delete(k, old_dir, old, is_dir)
    if target is None:
        may_create(k, new_dir, new)
    else:
        may_delete(k, new_dir, new, d_is_dir(new) if flags & RENAME_EXCHANGE else is_dir)
    parent = _inode_of(old_dir)
    if parent.i_op.rename is None:
        raise KernelError(EPERM)
    if old_dir is not new_dir:
        # ".." of a moved directory changes.
        if is_dir:
            inode_permission(k, source, MAY_WRITE)
        if flags & RENAME_EXCHANGE and d_is_dir(new) and target is not None:
            inode_permission(k, target, MAY_WRITE)
    if old.d_mounted is not None or new.d_mounted is not None:
        raise KernelError(EBUSY)
    parent.i_op.rename(parent, old, _inode_of(new_dir), new, flags)
    if flags & RENAME_EXCHANGE:
        d_exchange(old, new)
        return
    d_move(old, new)
    if target is not None:
        fs_inode.iput(target)
