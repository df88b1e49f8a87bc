# SPDX-License-Identifier: GPL-2.0-or-later
"""open(2) and what else goes from a path to a decision (fs/open.c, fs/fcntl.c's umask): access, chdir, truncate."""

from __future__ import annotations

from mmscope.kernel.fs.attr import (
    get_write_access,
    notify_change,
    put_write_access,
    setattr_should_drop_sgid,
    setattr_should_drop_suidgid,
)
from mmscope.kernel.fs.d_path import d_path, path_is_under
from mmscope.kernel.fs.file import fd_install, fget, fget_raw, get_unused_fd_flags, set_close_on_exec
from mmscope.kernel.fs.inode import inode_owner_or_capable
from mmscope.kernel.fs.namei import (
    __O_TMPFILE,
    LOOKUP_BENEATH,
    LOOKUP_CACHED,
    LOOKUP_DIRECTORY,
    LOOKUP_EMPTY,
    LOOKUP_FOLLOW,
    LOOKUP_IN_ROOT,
    LOOKUP_NO_MAGICLINKS,
    LOOKUP_NO_SYMLINKS,
    LOOKUP_NO_XDEV,
    O_PATH_FLAGS,
    VALID_OPEN_FLAGS,
    OpenFlags,
    build_open_flags,
    capable_dac,
    d_is_dir,
    do_filp_open,
    getname_flags,
    inode_permission,
    user_path_at_empty,
)
from mmscope.kernel.fs.streams import HostStream, stream_truncate
from mmscope.kernel.include.errno import (
    EAGAIN,
    EBADF,
    EFBIG,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOENT,
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
    ATTR_ATIME,
    ATTR_ATIME_SET,
    ATTR_FORCE,
    ATTR_GID,
    ATTR_KILL_SUID,
    ATTR_MODE,
    ATTR_MTIME,
    ATTR_MTIME_SET,
    ATTR_SIZE,
    ATTR_UID,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_WRITE_ZEROES,
    FALLOC_FL_ZERO_RANGE,
    FMODE_WRITE,
    MAY_EXEC,
    MAY_WRITE,
    O_CLOEXEC,
    O_CREAT,
    O_LARGEFILE,
    O_PATH,
    O_TRUNC,
    S_IALLUGO,
    S_IFBLK,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    SB_RDONLY,
    Dentry,
    File,
    Iattr,
    Inode,
)
from mmscope.kernel.include.sched import Cred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

AT_EACCESS: Final = 0x200

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10
RESOLVE_CACHED: Final = 0x20
RESOLVE_FLAGS: Final = 0x1F
_RESOLVE: Final = (
    (RESOLVE_NO_XDEV, LOOKUP_NO_XDEV),
    (RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS),
    (RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS),
    (RESOLVE_BENEATH, LOOKUP_BENEATH),
    (RESOLVE_IN_ROOT, LOOKUP_IN_ROOT),
    (RESOLVE_CACHED, LOOKUP_CACHED),
)

#: tv_nsec values of utimensat(2), as times in ns that no clock has.
UTIME_NOW: Final = -(1 << 62) - 1
UTIME_OMIT: Final = -(1 << 62) - 2


def do_sys_open(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, mode: int = 0) -> int:
    """openat(2): the lowest free descriptor for the file. `filename` may be an address in user memory."""
    return open_fd(k, dfd, filename, flags, build_open_flags(k, flags | O_LARGEFILE, mode))


def open_fd(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, op: OpenFlags) -> int:
    """The end of all opens: a file and its descriptor."""
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


def do_sys_openat2(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, mode: int, resolve: int) -> int:
    """openat2(2): unlike openat(2) it refuses what it does not know, or what has no effect: EINVAL."""
    if k.config.at_least(5, 14):
        if flags >> 32:
            raise KernelError(EINVAL)
    else:
        flags &= 0xFFFFFFFF
    known = RESOLVE_FLAGS | RESOLVE_CACHED if k.config.at_least(5, 12) else RESOLVE_FLAGS
    if flags & ~VALID_OPEN_FLAGS or resolve & ~known:
        raise KernelError(EINVAL)
    if resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT:
        raise KernelError(EINVAL)
    if mode & ~S_IALLUGO if flags & (O_CREAT | __O_TMPFILE) else mode:
        raise KernelError(EINVAL)
    if flags & O_PATH and flags & ~(O_PATH_FLAGS | O_CLOEXEC):
        raise KernelError(EINVAL)
    op = build_open_flags(k, flags if flags & O_PATH else flags | O_LARGEFILE, mode)
    if resolve & RESOLVE_CACHED and flags & (O_TRUNC | O_CREAT | __O_TMPFILE):
        raise KernelError(EAGAIN)
    for bit, lookup in _RESOLVE:
        if resolve & bit:
            op.lookup_flags |= lookup
    return open_fd(k, dfd, filename, flags, op)


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
    """getcwd(2): the path with its NUL; ERANGE if longer than `size`, ENOENT if the directory was removed."""
    fs = k.current.fs
    assert fs is not None
    if fs.pwd.d_unlinked:
        raise KernelError(ENOENT)
    reachable = "" if path_is_under(fs.pwd, fs.root) else "(unreachable)"
    path = (reachable + d_path(k, fs.pwd)).encode("utf-8", "surrogateescape") + b"\0"
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


def vfs_truncate(k: Kernel, inode: Inode, length: int, file: File | None) -> None:
    """Set a regular file's size (do_truncate). `file` None: by name, which needs write permission."""
    if file is None:
        if inode.i_mode & S_IFMT == S_IFDIR:
            raise KernelError(EISDIR)
        if inode.i_mode & S_IFMT != S_IFREG:
            raise KernelError(EINVAL)
        inode_permission(k, inode, MAY_WRITE)
        get_write_access(inode)
    attr = Iattr(ATTR_SIZE | ATTR_FORCE | (ATTR_MTIME if file is not None else 0) | setattr_should_drop_suidgid(inode))
    attr.ia_size = length
    try:
        notify_change(inode, attr)
    finally:
        if file is None:
            put_write_access(inode)


def do_sys_truncate(k: Kernel, filename: int | bytes | str, length: int) -> int:
    """truncate(2)."""
    if length < 0:
        raise KernelError(EINVAL)
    inode = user_path_at_empty(k, AT_FDCWD, filename, LOOKUP_FOLLOW).d_inode
    assert inode is not None
    vfs_truncate(k, inode, length, None)
    return 0


def do_sys_ftruncate(k: Kernel, fd: int, length: int) -> int:
    """ftruncate(2): EINVAL on a file that is not open for writing."""
    if length < 0:
        raise KernelError(EINVAL)
    file = fget(k, fd)
    if file.f_inode.i_mode & S_IFMT != S_IFREG or not file.f_mode & FMODE_WRITE:
        raise KernelError(EINVAL)
    if isinstance(file.private_data, HostStream):
        # The caller's own file, behind a descriptor that it handed over for writing.
        stream_truncate(file, length)
        return 0
    vfs_truncate(k, file.f_inode, length, file)
    return 0


def vfs_fallocate(file: File, mode: int, offset: int, len: int) -> None:
    """fallocate(2) on an open file (fs/open.c), in Linux's order of checks."""
    inode = file.f_inode
    if offset < 0 or len <= 0:
        raise KernelError(EINVAL)
    # FALLOC_FL_WRITE_ZEROES is known since 6.17, and nothing that is here can do it.
    known = 0xFB if inode.i_sb.kernel.config.at_least(6, 17) else 0x7B
    if mode & ~known:
        raise KernelError(EOPNOTSUPP)
    if inode.i_sb.kernel.config.at_least(6, 12):
        # One thing at a time (commit unknown), and most sizes may be kept.
        kind = mode & ~FALLOC_FL_KEEP_SIZE
        without_size = (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_WRITE_ZEROES)
        if kind & (kind - 1) or (mode & FALLOC_FL_KEEP_SIZE and kind in without_size):
            raise KernelError(EOPNOTSUPP)
    if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE:
        raise KernelError(EOPNOTSUPP)
    if mode & FALLOC_FL_PUNCH_HOLE and not mode & FALLOC_FL_KEEP_SIZE:
        raise KernelError(EOPNOTSUPP)
    if mode & FALLOC_FL_COLLAPSE_RANGE and mode & ~FALLOC_FL_COLLAPSE_RANGE:
        raise KernelError(EINVAL)
    if mode & FALLOC_FL_INSERT_RANGE and mode & ~FALLOC_FL_INSERT_RANGE:
        raise KernelError(EINVAL)
    if mode & FALLOC_FL_UNSHARE_RANGE and mode & ~(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE):
        raise KernelError(EINVAL)
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    kind = inode.i_mode & S_IFMT
    if kind == S_IFIFO:
        raise KernelError(ESPIPE)
    if kind == S_IFDIR:
        raise KernelError(EISDIR)
    if kind not in (S_IFREG, S_IFBLK):
        raise KernelError(ENODEV)
    if offset + len > inode.i_sb.s_maxbytes:
        raise KernelError(EFBIG)
    if file.f_op.fallocate is None:
        raise KernelError(EOPNOTSUPP)
    file.f_op.fallocate(file, mode, offset, len)


def ksys_fallocate(k: Kernel, fd: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2)."""
    vfs_fallocate(fget(k, fd), mode, offset, length)
    return 0


# --- attributes


def _lookup_attr(k: Kernel, dfd: int, filename: int | bytes | str, flags: int) -> Inode:
    lookup_flags = 0 if flags & AT_SYMLINK_NOFOLLOW else LOOKUP_FOLLOW
    if flags & AT_EMPTY_PATH:
        lookup_flags |= LOOKUP_EMPTY
    inode = user_path_at_empty(k, dfd, filename, lookup_flags).d_inode
    assert inode is not None
    return inode


def want_write(inode: Inode) -> None:
    """mnt_want_write(): EROFS on a read-only file system."""
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)


def chmod_common(inode: Inode, mode: int) -> int:
    """chmod(2) and its relatives, the file found."""
    want_write(inode)
    attr = Iattr(ATTR_MODE)
    attr.ia_mode = mode & S_IALLUGO
    notify_change(inode, attr)
    return 0


def do_fchmodat(k: Kernel, dfd: int, filename: int | bytes | str, mode: int) -> int:
    """chmod(2), fchmodat(2)."""
    return chmod_common(_lookup_attr(k, dfd, filename, 0), mode)


def ksys_fchmod(k: Kernel, fd: int, mode: int) -> int:
    """fchmod(2)."""
    return chmod_common(fget(k, fd).f_inode, mode)


def chown_common(inode: Inode, user: int, group: int) -> int:
    """chown(2) and its relatives, the file found; 0xffffffff = as it is. The set-id bits go in any case."""
    want_write(inode)
    attr = Iattr(0)
    if inode.i_mode & S_IFMT != S_IFDIR:
        attr.ia_valid |= ATTR_KILL_SUID | setattr_should_drop_sgid(inode)
    if user != 0xFFFFFFFF:
        attr.ia_valid |= ATTR_UID
        attr.ia_uid = user
    if group != 0xFFFFFFFF:
        attr.ia_valid |= ATTR_GID
        attr.ia_gid = group
    notify_change(inode, attr)
    return 0


def do_fchownat(k: Kernel, dfd: int, filename: int | bytes | str, user: int, group: int, flag: int) -> int:
    """chown(2), lchown(2), fchownat(2)."""
    if flag & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise KernelError(EINVAL)
    return chown_common(_lookup_attr(k, dfd, filename, flag), user, group)


def ksys_fchown(k: Kernel, fd: int, user: int, group: int) -> int:
    """fchown(2)."""
    return chown_common(fget(k, fd).f_inode, user, group)


def vfs_utimes(k: Kernel, inode: Inode, times: tuple[int, int] | None) -> int:
    """utimensat(2), the file found: (atime, mtime) in ns, UTIME_NOW or UTIME_OMIT each; None: both now."""
    want_write(inode)
    attr = Iattr(ATTR_ATIME | ATTR_MTIME)
    if times is not None:
        if times == (UTIME_OMIT, UTIME_OMIT):
            return 0
        for value, flag, flag_set in ((times[0], ATTR_ATIME, ATTR_ATIME_SET), (times[1], ATTR_MTIME, ATTR_MTIME_SET)):
            if value == UTIME_OMIT:
                attr.ia_valid &= ~flag
            elif value != UTIME_NOW:
                attr.ia_valid |= flag_set
        attr.ia_atime, attr.ia_mtime = times
    if (times is None or times == (UTIME_NOW, UTIME_NOW)) and not inode_owner_or_capable(k, inode):
        # Who may write may also touch.
        inode_permission(k, inode, MAY_WRITE)
    elif times is not None and times != (UTIME_NOW, UTIME_NOW) and not inode_owner_or_capable(k, inode):
        raise KernelError(EPERM)
    notify_change(inode, attr)
    return 0


def do_utimes(k: Kernel, dfd: int, filename: int, times: tuple[int, int] | None, flags: int) -> int:
    """utimensat(2); without a name, of the descriptor itself."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise KernelError(EINVAL)
    if filename == 0 and dfd != AT_FDCWD:
        if flags:
            raise KernelError(EINVAL)
        return vfs_utimes(k, fget(k, dfd).f_inode, times)
    return vfs_utimes(k, _lookup_attr(k, dfd, filename, flags), times)
