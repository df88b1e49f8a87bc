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
    S_IFREG,
    SB_KERNMOUNT,
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
STATX_MTIME: Final = 0x40
STATX_CTIME: Final = 0x80
STATX_BASIC_STATS: Final = 0x7FF
STATX_BTIME: Final = 0x800
STATX_MNT_ID: Final = 0x1000
STATX_DIOALIGN: Final = 0x2000
STATX_MNT_ID_UNIQUE: Final = 0x4000
STATX_WRITE_ATOMIC: Final = 0x10000
STATX__RESERVED: Final = 0x80000000
#: STATX_ATTR_MOUNT_ROOT (v5.8)
STATX_ATTR_MOUNT_ROOT: Final = 0x2000
STATX_ATTR_AUTOMOUNT: Final = 0x1000
STATX_ATTR_DAX: Final = 0x200000
STATX_ATTR_WRITE_ATOMIC: Final = 0x400000

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


def generic_getattr(inode: Inode) -> None:
    """i_op->getattr."""
    if inode.i_op.getattr is not None:
        inode.i_op.getattr(inode)


def cp_new_stat(inode: Inode) -> bytes:
    """struct stat of x86-64, 144 bytes."""
    generic_getattr(inode)
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


def statx_mask(inode: Inode, request: int) -> int:
    """Which fields statx() fills: the basic ones and the mount always, others on demand and as the file system has them."""
    config = inode.i_sb.kernel.config
    fs = inode.i_sb.s_type
    mask = STATX_BASIC_STATS | STATX_MNT_ID
    if config.at_least(6, 13) and fs in ("ext4", "tmpfs") and not request & (STATX_CTIME | STATX_MTIME):
        # fill_mg_cmtime(): a time that is asked for gets finer; so nobody gets it who has not asked.
        mask &= ~(STATX_CTIME | STATX_MTIME)
    if request & STATX_MNT_ID_UNIQUE and config.at_least(6, 8):
        mask = mask & ~STATX_MNT_ID | STATX_MNT_ID_UNIQUE
    if request & STATX_BTIME and inode.i_crtime and (fs == "ext4" or (fs == "tmpfs" and config.at_least(6, 0))):
        mask |= STATX_BTIME
    if fs == "ext4" and inode.i_mode & S_IFMT == S_IFREG:
        if request & STATX_DIOALIGN and config.at_least(6, 1):
            mask |= STATX_DIOALIGN
        if request & STATX_WRITE_ATOMIC and config.at_least(6, 13):
            mask |= STATX_WRITE_ATOMIC
    return mask


def statx_attributes_mask(inode: Inode, mask: int) -> int:
    """STATX_ATTR_* that the file system knows; none of its files has one of them."""
    config = inode.i_sb.kernel.config
    known = STATX_ATTR_AUTOMOUNT | STATX_ATTR_MOUNT_ROOT | STATX_ATTR_DAX
    if inode.i_sb.s_type == "ext4":
        known |= 0x4 | 0x10 | 0x20 | 0x40 | 0x800 | 0x100000
    elif inode.i_sb.s_type in ("tmpfs", "devtmpfs") and config.at_least(6, 0):
        known |= 0x10 | 0x20 | 0x40
    return known | (STATX_ATTR_WRITE_ATOMIC if mask & STATX_WRITE_ATOMIC else 0)


def cp_statx(inode: Inode, mount_root: bool, request: int) -> bytes:
    """struct statx, 256 bytes. When a host's file was born is not known."""
    generic_getattr(inode)
    mask = statx_mask(inode, request)
    cmtime = mask & STATX_MTIME != 0
    times = b""
    for ns in (
        inode.i_atime,
        inode.i_crtime if mask & STATX_BTIME else 0,
        inode.i_ctime if cmtime else 0,
        inode.i_mtime if cmtime else 0,
    ):
        times += struct.pack("<qI4x", ns // 1_000_000_000, ns % 1_000_000_000)
    head = struct.pack(
        "<IIQIIIHxxQQQQ",
        mask,
        inode.i_blksize,
        STATX_ATTR_MOUNT_ROOT if mount_root else 0,
        inode.i_nlink,
        inode.i_uid,
        inode.i_gid,
        inode.i_mode & 0xFFFF,
        inode.i_ino,
        inode.i_size,
        inode.i_blocks,
        statx_attributes_mask(inode, mask),
    )
    align = 512 if mask & STATX_DIOALIGN else 0
    devs = struct.pack(
        "<IIIIQII",
        inode.i_rdev >> 20,
        inode.i_rdev & 0xFFFFF,
        inode.i_sb.s_dev >> 20,
        inode.i_sb.s_dev & 0xFFFFF,
        inode.i_sb.s_mnt_id + (1 << 31 if mask & STATX_MNT_ID_UNIQUE else 0),
        align,
        align,
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
        if filename == 0 and k.config.at_least(6, 11):
            # Since then (commit unknown) no name at all is an empty one.
            filename = ""
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
    return cp_statx(dentry.d_inode, dentry.d_sb.s_root is dentry, mask)


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
    flags = ST_VALID | (0 if sb.s_flags & SB_KERNMOUNT else ST_RELATIME)
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
