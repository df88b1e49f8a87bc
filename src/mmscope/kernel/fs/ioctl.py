# SPDX-License-Identifier: GPL-2.0-or-later
"""ioctl(2) (fs/ioctl.c): the generic commands, then the file's own."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import get_user, put_user
from mmscope.kernel.fs.file import fget, set_close_on_exec
from mmscope.kernel.include.errno import EBADF, ENOTTY, KernelError
from mmscope.kernel.include.fs import O_NONBLOCK, S_IFMT, S_IFREG
from mmscope.kernel.include.ioctls import FIOCLEX, FIONBIO, FIONCLEX, FIONREAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

FIGETBSZ: Final = 2


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
    if file.f_inode.i_mode & S_IFMT == S_IFREG and cmd == FIONREAD:
        put_user(k, arg, (file.f_inode.i_size - file.f_pos) & 0xFFFFFFFF, 4)
        return 0
    if file.f_op.unlocked_ioctl is None:
        raise KernelError(ENOTTY)
    return file.f_op.unlocked_ioctl(file, cmd, arg)
