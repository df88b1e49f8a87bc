# SPDX-License-Identifier: GPL-2.0-or-later
"""ioctl(2) (fs/ioctl.c): the generic commands, then the file's own."""

from __future__ import annotations

import struct

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, get_user, put_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.file import fget, set_close_on_exec
from mmscope.kernel.include.capability import CAP_SYS_RAWIO
from mmscope.kernel.include.errno import (
    EBADF,
    EBADR,
    EFBIG,
    EINVAL,
    EISDIR,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    EXDEV,
    KernelError,
)
from mmscope.kernel.include.fs import (
    FMODE_READ,
    FMODE_WRITE,
    O_APPEND,
    O_NONBLOCK,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    FiemapExtentInfo,
    File,
    Inode,
)
from mmscope.kernel.include.ioctls import (
    FIBMAP,
    FICLONE,
    FICLONERANGE,
    FIGETBSZ,
    FIOCLEX,
    FIONBIO,
    FIONCLEX,
    FIONREAD,
    FIOQSIZE,
    FS_IOC_FIEMAP,
)
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.mm.filemap_write import filemap_write_and_wait_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel


FIEMAP_FLAG_SYNC: Final = 1
FIEMAP_FLAG_XATTR: Final = 2
FIEMAP_FLAG_CACHE: Final = 4
FIEMAP_MAX_EXTENTS: Final = 0xFFFFFFFF // 56
FIEMAP_EXTENT_LAST: Final = 0x1
FIEMAP_EXTENT_UNKNOWN: Final = 0x2
FIEMAP_EXTENT_DELALLOC: Final = 0x4
FIEMAP_EXTENT_UNWRITTEN: Final = 0x800


def fiemap_fill_next_extent(info: FiemapExtentInfo, logical: int, phys: int, len: int, flags: int) -> bool:
    """One more extent; True if that was enough: no room for another, or the last."""
    if info.fi_extents_max and info.fi_extents_mapped >= info.fi_extents_max:
        return True
    if flags & FIEMAP_EXTENT_DELALLOC:
        flags |= FIEMAP_EXTENT_UNKNOWN
    info.fi_extents_mapped += 1
    if info.fi_extents_max:
        info.extents.append((logical, phys, len, flags))
        if info.fi_extents_mapped == info.fi_extents_max:
            return True
    return flags & FIEMAP_EXTENT_LAST != 0


def fiemap_prep(inode: Inode, info: FiemapExtentInfo, start: int, len: int, supported: int) -> int:
    """The length that is left of `len`; the file is written out first if that was asked for. Raises EINVAL, EFBIG, EBADR."""
    maxbytes = inode.i_sb.s_maxbytes
    if len == 0:
        raise KernelError(EINVAL)
    if start > maxbytes:
        raise KernelError(EFBIG)
    if len > maxbytes or maxbytes - len < start:
        len = maxbytes - start
    incompat = info.fi_flags & ~(supported | FIEMAP_FLAG_SYNC)
    if incompat:
        info.fi_flags = incompat
        raise KernelError(EBADR)
    if info.fi_flags & FIEMAP_FLAG_SYNC:
        filemap_write_and_wait_range(inode.i_mapping, 0, LLONG_MAX)
    return len


def ioctl_fiemap(k: Kernel, file: File, ufiemap: int) -> int:
    """FS_IOC_FIEMAP: where the file's bytes are on the device."""
    inode = file.f_inode
    if inode.i_op.fiemap is None:
        raise KernelError(EOPNOTSUPP)
    start, length, flags, _, count = struct.unpack("<QQIII", copy_from_user(k, ufiemap, 28))
    if count > FIEMAP_MAX_EXTENTS:
        raise KernelError(EINVAL)
    info = FiemapExtentInfo(flags, count)
    try:
        inode.i_op.fiemap(inode, info, start, length)
    finally:
        copy_to_user(k, ufiemap + 16, struct.pack("<II", info.fi_flags, info.fi_extents_mapped))
    out = b""
    for logical, phys, len, extent_flags in info.extents:
        out += struct.pack("<QQQ16xI12x", logical, phys, len, extent_flags)
    if out:
        copy_to_user(k, ufiemap + 32, out)
    return 0


def ioctl_fibmap(k: Kernel, file: File, arg: int) -> int:
    """FIBMAP: a block of the file -> the device's."""
    if not capable(k, CAP_SYS_RAWIO):
        raise KernelError(EPERM)
    block = get_user(k, arg, 4)
    if block >> 31:
        raise KernelError(EINVAL)
    bmap = file.f_mapping.a_ops.bmap
    if bmap is None:
        put_user(k, arg, 0, 4)
        raise KernelError(EINVAL)
    put_user(k, arg, bmap(file.f_mapping, block), 4)
    return 0


def ioctl_file_clone(k: Kernel, dst_file: File, srcfd: int) -> int:
    """FICLONE, FICLONERANGE: no file system here shares blocks."""
    src = fget(k, srcfd)
    if src.f_inode.i_sb is not dst_file.f_inode.i_sb:
        raise KernelError(EXDEV)
    for file in (src, dst_file):
        if file.f_inode.i_mode & S_IFMT == S_IFDIR:
            raise KernelError(EISDIR)
        if file.f_inode.i_mode & S_IFMT != S_IFREG:
            raise KernelError(EINVAL)
    if not src.f_mode & FMODE_READ or not dst_file.f_mode & FMODE_WRITE or dst_file.f_flags & O_APPEND:
        raise KernelError(EBADF)
    raise KernelError(EOPNOTSUPP)


def file_ioctl(k: Kernel, file: File, cmd: int, arg: int) -> int:
    """What only regular files have. -1: they do not have it either."""
    if cmd == FIBMAP:
        return ioctl_fibmap(k, file, arg)
    if cmd == FIONREAD:
        put_user(k, arg, (file.f_inode.i_size - file.f_pos) & 0xFFFFFFFF, 4)
        return 0
    return -1


def ksys_ioctl(k: Kernel, fd: int, cmd: int, arg: int) -> int:
    """ioctl(2)."""
    file = fget(k, fd)
    cmd &= 0xFFFFFFFF
    if cmd == FIOCLEX:
        set_close_on_exec(k, fd, True)
        return 0
    if cmd == FIONCLEX:
        set_close_on_exec(k, fd, False)
        return 0
    if cmd == FIONBIO:
        if get_user(k, arg, 4):
            file.f_flags |= O_NONBLOCK
        else:
            file.f_flags &= ~O_NONBLOCK
        return 0
    if cmd == FIGETBSZ:
        if file.f_inode.i_blksize == 0:
            raise KernelError(EBADF)
        put_user(k, arg, file.f_inode.i_blksize, 4)
        return 0
    kind = file.f_inode.i_mode & S_IFMT
    if cmd == FIOQSIZE:
        if kind not in (S_IFREG, S_IFDIR, S_IFLNK):
            raise KernelError(ENOTTY)
        put_user(k, arg, file.f_inode.i_blocks << 9, 8)
        return 0
    if cmd == FS_IOC_FIEMAP:
        return ioctl_fiemap(k, file, arg)
    if cmd in (FICLONE, FICLONERANGE):
        return ioctl_file_clone(k, file, (arg if cmd == FICLONE else get_user(k, arg, 8)) & 0xFFFFFFFF)
    if kind == S_IFREG and file_ioctl(k, file, cmd, arg) == 0:
        return 0
    if file.f_op.unlocked_ioctl is None:
        raise KernelError(ENOTTY)
    return file.f_op.unlocked_ioctl(file, cmd, arg)
