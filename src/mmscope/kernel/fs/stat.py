# SPDX-License-Identifier: GPL-2.0-or-later
"""stat(2), statx(2), readlink(2), statfs(2) (fs/stat.c, fs/statfs.c)."""

from __future__ import annotations

import struct

from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.fs.file import fget_raw
from mmscope.kernel.fs.namei import LOOKUP_EMPTY, LOOKUP_FOLLOW, getname_flags, user_path_at_empty
from mmscope.kernel.fs.streams import stream_getattr
from mmscope.kernel.include.errno import EBADF, EINVAL, ENOENT, KernelError
from mmscope.kernel.include.fs import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    S_IFLNK,
    S_IFMT,
    SB_RDONLY,
    Dentry,
    File,
    Inode,
    SuperBlock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

AT_NO_AUTOMOUNT: Final = 0x800
AT_STATX_SYNC_TYPE: Final = 0x6000
STATX_BASIC_STATS: Final = 0x7FF
STATX__RESERVED: Final = 0x80000000
#: STATX_ATTR_MOUNT_ROOT (v5.8)
STATX_ATTR_MOUNT_ROOT: Final = 0x2000

#: f_type, f_bsize and f_namelen of the file systems here.
_STATFS: Final = {
    "ext4": (0xEF53, 4096, 255),
    "proc": (0x9FA0, 4096, 255),
    "devtmpfs": (0x01021994, 4096, 255),
    "tmpfs": (0x01021994, 4096, 255),
    "sysfs": (0x62656572, 4096, 255),
    "pipefs": (0x50495045, 4096, 255),
}
ST_RDONLY: Final = 0x1
ST_VALID: Final = 0x20
ST_RELATIME: Final = 0x1000


def new_encode_dev(dev: int) -> int:
    """A device number as user space has it: minor's low byte, major, minor's rest."""
    major, minor = dev >> 20, dev & 0xFFFFF
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def cp_new_stat(inode: Inode) -> bytes:
    """struct stat of x86-64, 144 bytes."""
    return struct.pack(
        "<QQQIIIIQqqqqqqqqq24x",
        new_encode_dev(inode.i_sb.s_dev),
        inode.i_ino,
        inode.i_nlink,
        inode.i_mode,
        inode.i_uid,
        inode.i_gid,
        0,
        new_encode_dev(inode.i_rdev),
        inode.i_size,
        inode.i_blksize,
        inode.i_blocks,
        inode.i_atime // 1_000_000_000,
        inode.i_atime % 1_000_000_000,
        inode.i_mtime // 1_000_000_000,
        inode.i_mtime % 1_000_000_000,
        inode.i_ctime // 1_000_000_000,
        inode.i_ctime % 1_000_000_000,
    )


def cp_statx(inode: Inode, mount_root: bool) -> bytes:
    """struct statx, 256 bytes. Birth times are not known."""
    times = b""
    for ns in (inode.i_atime, 0, inode.i_ctime, inode.i_mtime):
        times += struct.pack("<qI4x", ns // 1_000_000_000, ns % 1_000_000_000)
    head = struct.pack(
        "<IIQIIIHxxQQQQ",
        STATX_BASIC_STATS,
        inode.i_blksize,
        STATX_ATTR_MOUNT_ROOT if mount_root else 0,
        inode.i_nlink,
        inode.i_uid,
        inode.i_gid,
        inode.i_mode & 0xFFFF,
        inode.i_ino,
        inode.i_size,
        inode.i_blocks,
        STATX_ATTR_MOUNT_ROOT,
    )
    devs = struct.pack(
        "<IIII",
        inode.i_rdev >> 20,
        inode.i_rdev & 0xFFFFF,
        inode.i_sb.s_dev >> 20,
        inode.i_sb.s_dev & 0xFFFFF,
    )
    return (head + times + devs).ljust(256, b"\0")


def vfs_getattr_file(file: File) -> Inode:
    """The inode with its present attributes: the host may have changed a stream's."""
    stream_getattr(file)
    return file.f_inode


def lookup_for_stat(k: Kernel, dfd: int, filename: int | bytes | str, flags: int) -> Dentry:
    """The dentry that a stat call means."""
    lookup_flags = 0 if flags & AT_SYMLINK_NOFOLLOW else LOOKUP_FOLLOW
    if flags & AT_EMPTY_PATH:
        lookup_flags |= LOOKUP_EMPTY
        if dfd >= 0 and getname_flags(k, filename, LOOKUP_EMPTY) == "":
            file = fget_raw(k, dfd)
            vfs_getattr_file(file)
            return file.f_dentry
    return user_path_at_empty(k, dfd, filename, lookup_flags)


def vfs_fstatat(k: Kernel, dfd: int, filename: int | bytes | str, flags: int) -> bytes:
    """newfstatat(2): struct stat."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE):
        raise KernelError(EINVAL)
    inode = lookup_for_stat(k, dfd, filename, flags).d_inode
    assert inode is not None
    return cp_new_stat(inode)


def vfs_stat(k: Kernel, filename: int | bytes | str) -> bytes:
    """stat(2)."""
    return vfs_fstatat(k, AT_FDCWD, filename, 0)


def vfs_lstat(k: Kernel, filename: int | bytes | str) -> bytes:
    """lstat(2)."""
    return vfs_fstatat(k, AT_FDCWD, filename, AT_SYMLINK_NOFOLLOW)


def vfs_fstat(k: Kernel, fd: int) -> bytes:
    """fstat(2); O_PATH files too."""
    return cp_new_stat(vfs_getattr_file(fget_raw(k, fd)))


def do_statx(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, mask: int) -> bytes:
    """statx(2): struct statx."""
    if mask & STATX__RESERVED:
        raise KernelError(EINVAL)
    if flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE:
        raise KernelError(EINVAL)
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE):
        raise KernelError(EINVAL)
    dentry = lookup_for_stat(k, dfd, filename, flags)
    assert dentry.d_inode is not None
    return cp_statx(dentry.d_inode, dentry.d_parent is None)


def sys_stat(k: Kernel, filename: int | bytes | str, statbuf: int) -> int:
    """stat(2) into user memory."""
    copy_to_user(k, statbuf, vfs_stat(k, filename))
    return 0


def sys_lstat(k: Kernel, filename: int | bytes | str, statbuf: int) -> int:
    """lstat(2) into user memory."""
    copy_to_user(k, statbuf, vfs_lstat(k, filename))
    return 0


def sys_fstat(k: Kernel, fd: int, statbuf: int) -> int:
    """fstat(2) into user memory."""
    copy_to_user(k, statbuf, vfs_fstat(k, fd))
    return 0


def sys_newfstatat(k: Kernel, dfd: int, filename: int | bytes | str, statbuf: int, flags: int) -> int:
    """newfstatat(2) into user memory."""
    copy_to_user(k, statbuf, vfs_fstatat(k, dfd, filename, flags))
    return 0


def sys_statx(k: Kernel, dfd: int, filename: int | bytes | str, flags: int, mask: int, buffer: int) -> int:
    """statx(2) into user memory."""
    copy_to_user(k, buffer, do_statx(k, dfd, filename, flags, mask))
    return 0


def do_readlinkat(k: Kernel, dfd: int, filename: int | bytes | str, buf: int, bufsiz: int) -> int:
    """readlinkat(2): bytes put into the user's buffer, without a NUL."""
    if bufsiz <= 0:
        raise KernelError(EINVAL)
    name = getname_flags(k, filename, LOOKUP_EMPTY)
    dentry = user_path_at_empty(k, dfd, name, LOOKUP_EMPTY)
    inode = dentry.d_inode
    assert inode is not None
    if inode.i_mode & S_IFMT != S_IFLNK or inode.i_op.get_link is None:
        raise KernelError(EINVAL if name else ENOENT)
    target = inode.i_op.get_link(inode).encode("utf-8", "surrogateescape")[:bufsiz]
    copy_to_user(k, buf, target)
    return len(target)


def do_statfs(sb: SuperBlock) -> bytes:
    """struct statfs, 120 bytes. What the host's files take is not counted: a guest never has to make room among them."""
    f_type, bsize, namelen = _STATFS.get(sb.s_type, (0, 4096, 255))
    flags = ST_VALID | ST_RELATIME
    if sb.s_flags & SB_RDONLY:
        flags |= ST_RDONLY
    dev = new_encode_dev(sb.s_dev)
    blocks = free = avail = files = ffree = 0
    if sb.s_op.statfs is not None:
        blocks, free, avail, files, ffree = sb.s_op.statfs(sb)
    return struct.pack("<qqQQQQQiiqqq32x", f_type, bsize, blocks, free, avail, files, ffree, dev, 0, namelen, bsize, flags)


def sys_statfs(k: Kernel, filename: int | bytes | str, buf: int) -> int:
    """statfs(2)."""
    dentry = user_path_at_empty(k, AT_FDCWD, filename, LOOKUP_FOLLOW)
    assert dentry.d_inode is not None
    copy_to_user(k, buf, do_statfs(dentry.d_inode.i_sb))
    return 0


def sys_fstatfs(k: Kernel, fd: int, buf: int) -> int:
    """fstatfs(2)."""
    file = fget_raw(k, fd)
    if file.f_count <= 0:
        raise KernelError(EBADF)
    copy_to_user(k, buf, do_statfs(file.f_inode.i_sb))
    return 0
