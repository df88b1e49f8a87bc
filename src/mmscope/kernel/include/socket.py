# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets and their messages (include/linux/{socket,net,skbuff}.h, include/net/{sock,af_unix}.h)."""

from __future__ import annotations

from mmscope.kernel.include.fs import (
    O_CLOEXEC,
    O_NONBLOCK,
    File,
    Inode,
)
from mmscope.kernel.include.wait import WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

AF_UNIX: Final = 1
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_RAW: Final = 3
SOCK_SEQPACKET: Final = 5
SOCK_MAX: Final = 11
SOCK_TYPE_MASK: Final = 0xF
SOCK_CLOEXEC: Final = O_CLOEXEC
SOCK_NONBLOCK: Final = O_NONBLOCK

MSG_OOB: Final = 0x1
MSG_PEEK: Final = 0x2
MSG_CTRUNC: Final = 0x8
MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40
MSG_WAITALL: Final = 0x100
MSG_NOSIGNAL: Final = 0x4000

RCV_SHUTDOWN: Final = 1
SEND_SHUTDOWN: Final = 2
SHUTDOWN_MASK: Final = 3

TCP_ESTABLISHED: Final = 1
TCP_CLOSE: Final = 7
TCP_LISTEN: Final = 10

#: net.core.wmem_default and rmem_default, bytes; net.core.somaxconn; net.unix.max_dgram_qlen.
SK_BUF_DEFAULT: Final = 212992
SOMAXCONN: Final = 4096
MAX_DGRAM_QLEN: Final = 10
#: The longest piece of a stream: SKB_MAX_ALLOC and UNIX_SKB_FRAGS_SZ.
STREAM_CHUNK: Final = 36544
#: What a message takes of the send buffer besides its bytes (SKB_TRUESIZE).
SKB_OVERHEAD: Final = 768
#: kernel.overflowuid
OVERFLOWUID: Final = 65534

SIOCOUTQ: Final = 0x5411


class Ucred:
    """struct ucred."""

    def __init__(self, pid: int, uid: int, gid: int) -> None:
        self.pid = pid
        self.uid = uid
        self.gid = gid


class SkBuff:
    """struct sk_buff: one message on its way."""

    def __init__(self, data: bytes, sock: UnixSock, cred: Ucred, files: list[File]) -> None:
        self.data = data
        #: Bytes already read, by a stream.
        self.consumed = 0
        #: The sender, in whose send buffer it counts.
        self.sock = sock
        self.addr = sock.addr
        self.cred = cred
        self.files = files
        self.truesize = len(data) + SKB_OVERHEAD


class UnixSock:
    """struct unix_sock, with its struct socket."""

    def __init__(self, kernel: Kernel, sk_type: int) -> None:
        self.kernel = kernel
        self.type = sk_type
        self.state = TCP_CLOSE
        self.peer: UnixSock | None = None
        #: sun_path as bound, None = none.
        self.addr: bytes | None = None
        self.inode: Inode | None = None
        self.queue: list[SkBuff] = []
        #: Connections that wait for accept(2), and how many may.
        self.backlog: list[UnixSock] = []
        self.max_backlog = 0
        self.shutdown = 0
        self.err = 0
        self.wmem = 0
        self.sndbuf = SK_BUF_DEFAULT
        self.rcvbuf = SK_BUF_DEFAULT
        #: SO_RCVTIMEO, SO_SNDTIMEO, ns; None = for ever.
        self.rcvtimeo: int | None = None
        self.sndtimeo: int | None = None
        self.passcred = 0
        #: Who connected or listened: SO_PEERCRED of the other side.
        self.peer_cred: Ucred | None = None
        self.wq = WaitQueueHead()
        self.dead = False
        #: accept(2) has returned it, or it never needed that.
        self.accepted = True
        #: Options that are only kept: (level, name) -> value.
        self.options: dict[tuple[int, int], int] = {}
