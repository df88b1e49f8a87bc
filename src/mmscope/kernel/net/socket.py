# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets as files (net/socket.c)."""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.fs.file import fd_install, fput, get_unused_fd_flags, set_close_on_exec
from mmscope.kernel.include.errno import (
    ENOTSOCK,
    EOPNOTSUPP,
    EPIPE,
    KernelError,
)
from mmscope.kernel.include.fs import (
    FMODE_READ,
    FMODE_STREAM,
    FMODE_WRITE,
    IOCB_NOSIGNAL,
    O_CLOEXEC,
    O_NONBLOCK,
    O_RDWR,
    S_IFSOCK,
    SB_KERNMOUNT,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.poll import (
    PollTable,
    poll_wait,
)
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.include.socket import (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_OOB,
    SOCK_STREAM,
    Ucred,
    UnixSock,
)
from mmscope.kernel.net.af_unix import unix_ioctl, unix_poll, unix_recvmsg, unix_release, unix_sendmsg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel


def sock_from_file(file: File) -> UnixSock:
    """The socket behind `file`. ENOTSOCK."""
    sock = file.private_data
    if not isinstance(sock, UnixSock):
        raise KernelError(ENOTSOCK)
    return sock


def sock_alloc_file(k: Kernel, sock: UnixSock, flags: int) -> File:
    """A file for a socket."""
    if k.sock_mnt is None:
        k.sock_mnt = SuperBlock(k, "sockfs", k.vfs.get_anon_bdev(), SB_KERNMOUNT)
        k.sock_mnt.s_mnt_id = len(k.vfs.mounts) + 2
    k.last_ino += 1
    inode = Inode(k.sock_mnt, k.last_ino, S_IFSOCK | 0o777)
    cred = k.current.cred
    inode.i_uid, inode.i_gid = cred.fsuid, cred.fsgid
    dentry = Dentry(inode.i_sb, f"socket:[{inode.i_ino}]", None, inode)
    file = File(dentry, inode, O_RDWR | flags & O_NONBLOCK, FMODE_READ | FMODE_WRITE | FMODE_STREAM, socket_file_ops)
    file.private_data = sock
    return file


def sock_map_fd(k: Kernel, sock: UnixSock, flags: int) -> int:
    """A descriptor for a socket."""
    fd = get_unused_fd_flags(k, flags)
    fd_install(k, fd, sock_alloc_file(k, sock, flags))
    set_close_on_exec(k, fd, bool(flags & O_CLOEXEC))
    return fd


def sock_read(file: File, count: int, pos: int) -> bytes:
    """read(2)."""
    if not count:
        return b""
    got = unix_recvmsg(sock_from_file(file), count, 0, file.f_flags & O_NONBLOCK != 0)
    for passed in got.files:
        fput(passed)
    return got.data


def sock_write(file: File, data: bytes, pos: int) -> int:
    """write(2)."""
    return sock_sendmsg(file, data, None, [], MSG_NOSIGNAL if file.f_flags & IOCB_NOSIGNAL else 0)


def sock_sendmsg(file: File, data: bytes, name: bytes | None, files: list[File], flags: int, cred: Ucred | None = None) -> int:
    """Send with MSG_*, `cred` as SCM_CREDENTIALS has it; a stream's EPIPE comes with a SIGPIPE."""
    sock = sock_from_file(file)
    if flags & MSG_OOB:
        raise KernelError(EOPNOTSUPP)
    try:
        return unix_sendmsg(sock, data, name, files, bool(file.f_flags & O_NONBLOCK or flags & MSG_DONTWAIT), cred)
    except KernelError as error:
        if error.errno == EPIPE and not flags & MSG_NOSIGNAL and sock.type == SOCK_STREAM:
            core_signal.send_sig(sock.kernel, SIGPIPE, sock.kernel.current, 0)
        raise


def sock_poll(file: File, pt: PollTable | None) -> int:
    """Ready for what."""
    sock = sock_from_file(file)
    poll_wait(file, sock.wq, pt)
    return unix_poll(sock)


def sock_ioctl(file: File, cmd: int, arg: int) -> int:
    """The family's own."""
    return unix_ioctl(sock_from_file(file), cmd, arg)


def sock_close(inode: Inode, file: File) -> None:
    """The last descriptor of a socket is closed."""
    unix_release(sock_from_file(file))


socket_file_ops: Final = FileOperations(
    "socket_file_ops", read=sock_read, write=sock_write, poll=sock_poll, unlocked_ioctl=sock_ioctl, release=sock_close
)
