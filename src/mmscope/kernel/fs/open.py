# SPDX-License-Identifier: GPL-2.0-or-later
"""open(2) and what else goes from a path to a decision (fs/open.c, fs/fcntl.c's umask): access, chdir, truncate."""

from __future__ import annotations

from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.file import fd_install, fget, fget_raw, get_unused_fd_flags, set_close_on_exec
from mmscope.kernel.fs.namei import (
    LOOKUP_DIRECTORY,
    LOOKUP_EMPTY,
    LOOKUP_FOLLOW,
    build_open_flags,
    capable_dac,
    d_is_dir,
    do_filp_open,
    getname_flags,
    inode_permission,
    path_init,
    path_lookupat,
    user_path_at_empty,
)
from mmscope.kernel.include.errno import (
    EACCES,
    EBADF,
    EEXIST,
    EINVAL,
    EISDIR,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    EROFS,
    ESPIPE,
    KernelError,
)
from mmscope.kernel.include.fs import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    FMODE_WRITE,
    MAY_EXEC,
    O_CLOEXEC,
    O_LARGEFILE,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    SB_RDONLY,
    Dentry,
)
from mmscope.kernel.include.sched import Cred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

AT_EACCESS: Final = 0x200


def do_sys_open(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, mode: int = 0) -> int:
    """openat(2): the lowest free descriptor for the file. `filename` may be an address in user memory."""
    op = build_open_flags(flags | O_LARGEFILE, mode)
    name = getname_flags(k, filename, 0)
    fd = get_unused_fd_flags(k, flags)
    try:
        file = do_filp_open(k, dfd, name, op)
    except KernelError:
        set_close_on_exec(k, fd, False)
        raise
    fd_install(k, fd, file)
    set_close_on_exec(k, fd, bool(flags & O_CLOEXEC))
    return fd


def do_faccessat(k: Kernel, dfd: int, filename: int | bytes | str, mode: int, flags: int = 0) -> int:
    """access(2) with the real ids, unless AT_EACCESS."""
    if mode & ~7:
        raise KernelError(EINVAL)
    if flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise KernelError(EINVAL)
    lookup_flags = 0 if flags & AT_SYMLINK_NOFOLLOW else LOOKUP_FOLLOW
    if flags & AT_EMPTY_PATH:
        lookup_flags |= LOOKUP_EMPTY
    task = k.current
    old_cred = task.cred
    if not flags & AT_EACCESS:
        override = Cred(old_cred.uid, old_cred.gid)
        override.groups = old_cred.groups
        override.cap_effective = old_cred.cap_permitted if old_cred.uid == 0 else 0
        task.cred = override
    try:
        dentry = user_path_at_empty(k, dfd, filename, lookup_flags)
        inode = dentry.d_inode
        assert inode is not None
        inode_permission(k, inode, mode)
    finally:
        task.cred = old_cred
    return 0


def set_fs_pwd(k: Kernel, dentry: Dentry) -> int:
    """Make a directory that may be searched the working directory."""
    fs = k.current.fs
    assert fs is not None
    assert dentry.d_inode is not None
    inode_permission(k, dentry.d_inode, MAY_EXEC)
    fs.pwd = dentry
    return 0


def ksys_chdir(k: Kernel, filename: int | bytes | str) -> int:
    """chdir(2)."""
    return set_fs_pwd(k, user_path_at_empty(k, AT_FDCWD, filename, LOOKUP_FOLLOW | LOOKUP_DIRECTORY))


def ksys_fchdir(k: Kernel, fd: int) -> int:
    """fchdir(2)."""
    dentry = fget_raw(k, fd).f_dentry
    if not d_is_dir(dentry):
        raise KernelError(ENOTDIR)
    return set_fs_pwd(k, dentry)


def ksys_chroot(k: Kernel, filename: int | bytes | str) -> int:
    """chroot(2): for root only."""
    dentry = user_path_at_empty(k, AT_FDCWD, filename, LOOKUP_FOLLOW | LOOKUP_DIRECTORY)
    assert dentry.d_inode is not None
    inode_permission(k, dentry.d_inode, MAY_EXEC)
    if not capable_dac(k.current.cred):
        raise KernelError(EPERM)
    fs = k.current.fs
    assert fs is not None
    fs.root = dentry
    return 0


def ksys_getcwd(k: Kernel, size: int) -> bytes:
    """getcwd(2): the path with its NUL; ERANGE if longer than `size`."""
    fs = k.current.fs
    assert fs is not None
    path = d_path(k, fs.pwd).encode("utf-8", "surrogateescape") + b"\0"
    if len(path) > size:
        raise KernelError(ERANGE)
    return path


def ksys_umask(k: Kernel, mask: int) -> int:
    """umask(2)."""
    fs = k.current.fs
    assert fs is not None
    old = fs.umask
    fs.umask = mask & 0o777
    return old


def mnt_want_write(dentry: Dentry) -> None:
    """EROFS on the host's tree; what the model's own file systems cannot do is EPERM."""
    assert dentry.d_inode is not None
    if dentry.d_inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    raise KernelError(EPERM)


def do_sys_truncate(k: Kernel, filename: int | bytes | str, length: int) -> int:
    """truncate(2) of a file on a read-only file system."""
    if length < 0:
        raise KernelError(EINVAL)
    dentry = user_path_at_empty(k, AT_FDCWD, filename, LOOKUP_FOLLOW)
    inode = dentry.d_inode
    assert inode is not None
    if inode.i_mode & S_IFMT == S_IFDIR:
        raise KernelError(EISDIR)
    if inode.i_mode & S_IFMT != S_IFREG:
        raise KernelError(EINVAL)
    mnt_want_write(dentry)
    return 0


def do_sys_ftruncate(k: Kernel, fd: int, length: int) -> int:
    """ftruncate(2): EINVAL on a file that is not open for writing."""
    if length < 0:
        raise KernelError(EINVAL)
    file = fget(k, fd)
    if file.f_inode.i_mode & S_IFMT != S_IFREG or not file.f_mode & FMODE_WRITE:
        raise KernelError(EINVAL)
    mnt_want_write(file.f_dentry)
    return 0


def ksys_fallocate(k: Kernel, fd: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2): nothing here can be extended."""
    file = fget(k, fd)
    if offset < 0 or length <= 0:
        raise KernelError(EINVAL)
    # FALLOC_FL_SUPPORTED_MASK; a hole (2) never changes the size, and the caller has to say so (FALLOC_FL_KEEP_SIZE, 1).
    if mode & ~0x7F or mode & 3 == 2:
        raise KernelError(EOPNOTSUPP)
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if file.f_inode.i_mode & S_IFMT == S_IFIFO:
        raise KernelError(ESPIPE)
    raise KernelError(EOPNOTSUPP)


def change_attributes(k: Kernel, dfd: int, filename: int | bytes | str, flags: int) -> int:
    """chmod, chown, utimensat: look the file up, then EROFS."""
    lookup_flags = 0 if flags & AT_SYMLINK_NOFOLLOW else LOOKUP_FOLLOW
    if flags & AT_EMPTY_PATH:
        lookup_flags |= LOOKUP_EMPTY
    mnt_want_write(user_path_at_empty(k, dfd, filename, lookup_flags))
    return 0


def change_attributes_fd(k: Kernel, fd: int) -> int:
    """fchmod, fchown, futimens."""
    mnt_want_write(fget(k, fd).f_dentry)
    return 0


def filename_create(k: Kernel, dfd: int, filename: int | bytes | str) -> int:
    """mkdir, mknod, symlink, link's target: EEXIST if it is there, else EROFS (EACCES outside the host's tree)."""
    name = getname_flags(k, filename, 0)
    nd = path_init(k, dfd, name, 0)
    parent_name, _, last = name.rstrip("/").rpartition("/")
    if not last or last in (".", ".."):
        # checks the path itself
        path_lookupat(nd, name)
        raise KernelError(EEXIST)
    if parent_name or name.startswith("/"):
        parent = path_lookupat(nd, parent_name + "/")
    else:
        parent = nd.path
    assert parent.d_inode is not None
    inode_permission(k, parent.d_inode, MAY_EXEC)
    exists = True
    try:
        user_path_at_empty(k, dfd, name.rstrip("/"), 0)
    except KernelError:
        exists = False
    if exists:
        raise KernelError(EEXIST)
    if parent.d_inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    raise KernelError(EACCES)


def may_mknod(mode: int) -> None:
    """What mknod(2) can make: regular files (also type 0), devices, FIFOs and sockets."""
    kind = mode & S_IFMT
    if kind == S_IFDIR:
        raise KernelError(EPERM)
    if kind not in (0, S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise KernelError(EINVAL)


def remove_name(k: Kernel, dfd: int, filename: int | bytes | str) -> int:
    """unlink, rmdir, rename's source: EROFS. On a read-only mount Linux says so before it looks the last name up."""
    name = getname_flags(k, filename, 0)
    stripped = name.rstrip("/")
    parent_name, _, last = stripped.rpartition("/")
    nd = path_init(k, dfd, name, 0)
    if not last or last in (".", ".."):
        path_lookupat(nd, name)
        raise KernelError(EINVAL if last == "." else EISDIR)
    parent = path_lookupat(nd, parent_name + "/") if parent_name or name.startswith("/") else nd.path
    assert parent.d_inode is not None
    if parent.d_inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    user_path_at_empty(k, dfd, stripped, 0)
    raise KernelError(EPERM)


def ksys_fsync(k: Kernel, fd: int) -> int:
    """fsync(2), fdatasync(2): clean at once where there is a disk below, EINVAL elsewhere."""
    file = fget(k, fd)
    if file.f_inode.i_mode & S_IFMT not in (S_IFREG, S_IFDIR):
        raise KernelError(EINVAL)
    return 0
