# SPDX-License-Identifier: GPL-2.0-or-later
"""fcntl(2) (fs/fcntl.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.fs.file import current_files, f_dupfd, fget_raw, set_close_on_exec
from mmscope.kernel.fs.inode import inode_owner_or_capable
from mmscope.kernel.fs.namei import can_direct_IO
from mmscope.kernel.fs.pipe import F_GETPIPE_SZ, F_SETPIPE_SZ, get_pipe_info, pipe_fcntl
from mmscope.kernel.include.errno import EAGAIN, EBADF, EINVAL, EPERM, KernelError
from mmscope.kernel.include.filelock import F_RDLCK, F_UNLCK
from mmscope.kernel.include.fs import (
    FMODE_PATH,
    O_APPEND,
    O_CLOEXEC,
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    S_IFIFO,
    S_IFMT,
    File,
)
from mmscope.kernel.mm.memfd import memfd_add_seals, memfd_get_seals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

F_DUPFD: Final = 0
F_GETFD: Final = 1
F_SETFD: Final = 2
F_GETFL: Final = 3
F_SETFL: Final = 4
F_GETLK: Final = 5
F_SETLK: Final = 6
F_SETLKW: Final = 7
F_SETOWN: Final = 8
F_GETOWN: Final = 9
F_SETSIG: Final = 10
F_GETSIG: Final = 11
F_GETOWN_EX: Final = 16
F_OFD_GETLK: Final = 36
F_OFD_SETLK: Final = 37
F_OFD_SETLKW: Final = 38
F_SETLEASE: Final = 1024
F_GETLEASE: Final = 1025
F_DUPFD_CLOEXEC: Final = 1030
F_ADD_SEALS: Final = 1033
F_GET_SEALS: Final = 1034
FD_CLOEXEC: Final = 1

#: FASYNC
O_ASYNC: Final = 0o20000
SETFL_MASK: Final = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC


def fcntl_lease(file: File, cmd: int, arg: int) -> int:
    """F_GETLEASE: nobody has one. F_SETLEASE: EAGAIN where Linux refuses one too; there are none otherwise: EINVAL."""
    if cmd == F_GETLEASE:
        return F_UNLCK
    if arg == F_UNLCK or (arg == F_RDLCK and file.f_inode.i_writecount > 0):
        raise KernelError(EAGAIN)
    file.f_inode.i_sb.kernel.warn_once("fcntl(F_SETLEASE) is not there")
    raise KernelError(EINVAL)


def do_fcntl(k: Kernel, fd: int, cmd: int, arg: int) -> int:
    """fcntl(2). An O_PATH file only knows its descriptor's commands."""
    file = fget_raw(k, fd)
    if file.f_mode & FMODE_PATH and cmd not in (F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL):
        raise KernelError(EBADF)
    if cmd in (F_DUPFD, F_DUPFD_CLOEXEC):
        return f_dupfd(k, arg, file, O_CLOEXEC if cmd == F_DUPFD_CLOEXEC else 0)
    if cmd == F_GETFD:
        return FD_CLOEXEC if fd in current_files(k).close_on_exec else 0
    if cmd == F_SETFD:
        set_close_on_exec(k, fd, bool(arg & FD_CLOEXEC))
        return 0
    if cmd == F_GETFL:
        return file.f_flags
    if cmd == F_SETFL:
        if arg & ~file.f_flags & O_NOATIME and not inode_owner_or_capable(k, file.f_inode):
            raise KernelError(EPERM)
        if arg & O_DIRECT and get_pipe_info(file) is None and not can_direct_IO(file.f_inode):
            raise KernelError(EINVAL)
        file.f_flags = (arg & SETFL_MASK) | (file.f_flags & ~SETFL_MASK)
        return 0
    if cmd in (F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW):
        # Few programs lock.
        import mmscope.kernel.fs.locks as locks

        return locks.do_fcntl_lock(k, fd, cmd, arg)
    if cmd in (F_GETLEASE, F_SETLEASE):
        return fcntl_lease(file, cmd, arg)
    if cmd == F_GETOWN_EX:
        copy_to_user(k, arg, bytes(8))
        return 0
    if cmd in (F_GETOWN, F_SETOWN, F_GETSIG, F_SETSIG):
        return 0
    if cmd in (F_GETPIPE_SZ, F_SETPIPE_SZ):
        if get_pipe_info(file) is None and file.f_inode.i_mode & S_IFMT == S_IFIFO and cmd == F_GETPIPE_SZ:
            # A pipe of the host.
            return 65536
        return pipe_fcntl(k, file, cmd, arg)
    if cmd == F_ADD_SEALS:
        return memfd_add_seals(file, arg & 0xFFFFFFFF)
    if cmd == F_GET_SEALS:
        return memfd_get_seals(file)
    raise KernelError(EINVAL)
