# SPDX-License-Identifier: GPL-2.0-or-later
"""fcntl(2), flock(2) (fs/fcntl.c, fs/locks.c): locks are always granted, there is nobody to conflict with."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import current_files, f_dupfd, fget, fget_raw, set_close_on_exec
from mmscope.kernel.fs.namei import can_direct_IO
from mmscope.kernel.fs.pipe import F_GETPIPE_SZ, F_SETPIPE_SZ, get_pipe_info, pipe_fcntl
from mmscope.kernel.include.errno import EBADF, EINVAL, KernelError
from mmscope.kernel.include.fs import (
    FMODE_PATH,
    FMODE_READ,
    FMODE_WRITE,
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
F_OFD_GETLK: Final = 36
F_OFD_SETLK: Final = 37
F_OFD_SETLKW: Final = 38
F_DUPFD_CLOEXEC: Final = 1030
F_ADD_SEALS: Final = 1033
F_GET_SEALS: Final = 1034
FD_CLOEXEC: Final = 1

F_RDLCK: Final = 0
F_WRLCK: Final = 1
F_UNLCK: Final = 2

#: FASYNC
O_ASYNC: Final = 0o20000
SETFL_MASK: Final = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC


def do_fcntl_lock(k: Kernel, file: File, cmd: int, arg: int) -> int:
    """A record lock: checked as Linux checks it, then granted."""
    raw = copy_from_user(k, arg, 32)
    l_type = int.from_bytes(raw[0:2], "little", signed=True)
    l_whence = int.from_bytes(raw[2:4], "little", signed=True)
    if l_whence not in (0, 1, 2):
        raise KernelError(EINVAL)
    if cmd in (F_GETLK, F_OFD_GETLK):
        if l_type not in (F_RDLCK, F_WRLCK):
            raise KernelError(EINVAL)
        copy_to_user(k, arg, F_UNLCK.to_bytes(2, "little"))
        return 0
    if l_type == F_RDLCK and not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if l_type == F_WRLCK and not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if l_type not in (F_RDLCK, F_WRLCK, F_UNLCK):
        raise KernelError(EINVAL)
    return 0


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
        if arg & O_DIRECT and get_pipe_info(file) is None and not can_direct_IO(file.f_inode):
            raise KernelError(EINVAL)
        file.f_flags = (arg & SETFL_MASK) | (file.f_flags & ~SETFL_MASK)
        return 0
    if cmd in (F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW):
        return do_fcntl_lock(k, file, cmd, arg)
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


def ksys_flock(k: Kernel, fd: int, cmd: int) -> int:
    """flock(2): LOCK_SH 1, LOCK_EX 2, LOCK_UN 8, LOCK_NB 4."""
    fget(k, fd)
    if cmd & ~4 not in (1, 2, 8):
        raise KernelError(EINVAL)
    return 0
