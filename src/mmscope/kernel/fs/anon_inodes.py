# SPDX-License-Identifier: GPL-2.0-or-later
"""Files without a name, all on one inode (fs/anon_inodes.c): eventfd, epoll, signalfd, timerfd, pidfd."""

from __future__ import annotations

from mmscope.kernel.fs.file import fd_install, get_unused_fd_flags
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_READ,
    FMODE_STREAM,
    FMODE_WRITE,
    O_ACCMODE,
    O_NONBLOCK,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def anon_inode_getfile(k: Kernel, name: str, fops: FileOperations, private: object, flags: int) -> File:
    """A new file; `name` is what /proc/PID/fd shows: "[eventfd]"."""
    if k.anon_inode is None:
        sb = SuperBlock(k, "anon_inodefs", k.vfs.get_anon_bdev())
        k.last_ino += 1
        k.anon_inode = Inode(sb, k.last_ino, 0o600)
    inode = k.anon_inode
    dentry = Dentry(inode.i_sb, f"anon_inode:{name}", None, inode)
    mode = (flags & O_ACCMODE) + 1 & (FMODE_READ | FMODE_WRITE)
    # None of them has a position; that lseek(2) answers 0 is of v6.0 (868941b14441).
    mode |= FMODE_STREAM
    if fops.llseek is not None and k.config.at_least(6, 0):
        mode |= FMODE_LSEEK
    file = File(dentry, inode, flags & (O_ACCMODE | O_NONBLOCK), mode, fops)
    file.private_data = private
    return file


def anon_inode_getfd(k: Kernel, name: str, fops: FileOperations, private: object, flags: int) -> int:
    """A descriptor for a new file."""
    fd = get_unused_fd_flags(k, flags)
    fd_install(k, fd, anon_inode_getfile(k, name, fops, private, flags))
    return fd
