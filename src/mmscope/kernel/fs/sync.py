# SPDX-License-Identifier: GPL-2.0-or-later
"""fsync(2), sync(2), sync_file_range(2) (fs/sync.c)."""

from __future__ import annotations

from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.fs_writeback import sync_inodes_sb
from mmscope.kernel.include.errno import EINVAL, ESPIPE, KernelError
from mmscope.kernel.include.fs import S_IFBLK, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, WB_SYNC_NONE, File
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.mm.filemap_write import filemap_check_errors, filemap_fdatawait_range, filemap_fdatawrite_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

SYNC_FILE_RANGE_WAIT_BEFORE: Final = 1
SYNC_FILE_RANGE_WRITE: Final = 2
SYNC_FILE_RANGE_WAIT_AFTER: Final = 4


def vfs_fsync_range(file: File, start: int, end: int, datasync: bool) -> None:
    """Bytes [start, end] of the file, and what is needed to find them, are durable afterwards. Raises EINVAL, EIO, ENOSPC."""
    if file.f_op.fsync is None:
        raise KernelError(EINVAL)
    file.f_op.fsync(file, start, end, datasync)


def do_fsync(k: Kernel, fd: int, datasync: bool) -> int:
    """fsync(2), fdatasync(2)."""
    vfs_fsync_range(fget(k, fd), 0, LLONG_MAX, datasync)
    return 0


def ksys_sync(k: Kernel) -> int:
    """sync(2): everything."""
    sync_inodes_sb(k, None)
    return 0


def ksys_syncfs(k: Kernel, fd: int) -> int:
    """syncfs(2): the file system that the file is on."""
    sync_inodes_sb(k, fget(k, fd).f_inode.i_sb)
    return 0


def sync_file_range(file: File, offset: int, nbytes: int, flags: int) -> None:
    """Write dirty pages, without metadata and without the disk's cache: no promise. Raises EINVAL, ESPIPE, EIO, ENOSPC."""
    if flags & ~7:
        raise KernelError(EINVAL)
    endbyte = offset + nbytes
    if offset < 0 or endbyte < 0 or endbyte > LLONG_MAX or nbytes < 0:
        raise KernelError(EINVAL)
    endbyte = LLONG_MAX if nbytes == 0 else endbyte - 1
    if file.f_inode.i_mode & S_IFMT not in (S_IFREG, S_IFBLK, S_IFDIR, S_IFLNK):
        raise KernelError(ESPIPE)
    mapping = file.f_mapping
    if flags & SYNC_FILE_RANGE_WAIT_BEFORE:
        filemap_fdatawait_range(mapping, offset, endbyte)
        filemap_check_errors(mapping)
    if flags & SYNC_FILE_RANGE_WRITE:
        filemap_fdatawrite_range(mapping, offset, endbyte, WB_SYNC_NONE)
    if flags & SYNC_FILE_RANGE_WAIT_AFTER:
        filemap_fdatawait_range(mapping, offset, endbyte)
        filemap_check_errors(mapping)


def ksys_sync_file_range(k: Kernel, fd: int, offset: int, nbytes: int, flags: int) -> int:
    """sync_file_range(2)."""
    sync_file_range(fget(k, fd), offset, nbytes, flags)
    return 0
