# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets of the family AF_UNIX (net/unix/af_unix.c): the only one that the model has. Nothing here reaches the host.

A message is a SkBuff in the receiver's queue; a stream reads across them, a datagram or SOCK_SEQPACKET socket one at a
time. A name that begins with a NUL is abstract, others are files that bind(2) makes.
"""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.arch.x86.uaccess import put_user
from mmscope.kernel.fs.file import fd_install, fput, get_file, get_unused_fd_flags, set_close_on_exec
from mmscope.kernel.fs.namei import inode_permission, path_lookup
from mmscope.kernel.fs.namei_create import do_mknodat
from mmscope.kernel.include.errno import (
    EADDRINUSE,
    EAFNOSUPPORT,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EEXIST,
    EINVAL,
    EISCONN,
    EMSGSIZE,
    ENOTCONN,
    ENOTSOCK,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
    EPROTONOSUPPORT,
    EPROTOTYPE,
    ERESTARTSYS,
    ESOCKTNOSUPPORT,
    KernelError,
)
from mmscope.kernel.include.fs import (
    AT_FDCWD,
    FMODE_READ,
    FMODE_STREAM,
    FMODE_WRITE,
    MAY_WRITE,
    O_CLOEXEC,
    O_NONBLOCK,
    O_RDWR,
    S_IFMT,
    S_IFSOCK,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.poll import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
    PollTable,
    poll_wait,
)
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

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

FIONREAD: Final = 0x541B
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
        #: Options that are only kept: (level, name) -> value.
        self.options: dict[tuple[int, int], int] = {}


def current_cred(k: Kernel) -> Ucred:
    """The current process as others see it."""
    task = k.current
    return Ucred(task.tgid, task.cred.euid, task.cred.egid)


def sock_of(file: File) -> UnixSock:
    """The socket behind `file`. ENOTSOCK."""
    sock = file.private_data
    if not isinstance(sock, UnixSock):
        raise KernelError(ENOTSOCK)
    return sock


def unix_create(k: Kernel, family: int, sk_type: int, protocol: int) -> UnixSock:
    """socket(2)'s half without the descriptor. Other families than AF_UNIX are EAFNOSUPPORT."""
    if sk_type < 0 or sk_type >= SOCK_MAX:
        raise KernelError(EINVAL)
    if family != AF_UNIX:
        k.warn_once(f"socket: address family {family} is not implemented: EAFNOSUPPORT")
        raise KernelError(EAFNOSUPPORT)
    if protocol and protocol != AF_UNIX:
        raise KernelError(EPROTONOSUPPORT)
    if sk_type == SOCK_RAW:
        sk_type = SOCK_DGRAM
    if sk_type not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
        raise KernelError(ESOCKTNOSUPPORT)
    return UnixSock(k, sk_type)


def sock_alloc_file(k: Kernel, sock: UnixSock, flags: int) -> File:
    """A file for a socket."""
    if k.sock_mnt is None:
        k.sock_mnt = SuperBlock(k, "sockfs", k.vfs.get_anon_bdev())
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


def connect_pair(k: Kernel, a: UnixSock, b: UnixSock) -> None:
    """socketpair(2): each is the other's peer."""
    a.peer, b.peer = b, a
    a.peer_cred = b.peer_cred = current_cred(k)
    if a.type != SOCK_DGRAM:
        a.state = b.state = TCP_ESTABLISHED


def unix_release(inode: Inode, file: File) -> None:
    """The last descriptor of a socket is closed: its peer sees the end, or, if something was left unread, a reset."""
    sock = sock_of(file)
    k = sock.kernel
    sock.dead = True
    sock.shutdown = SHUTDOWN_MASK
    if sock.addr is not None and k.unix_sockets.get(sock.addr) is sock:
        del k.unix_sockets[sock.addr]
    if sock.inode is not None:
        del k.unix_inodes[sock.inode]
    was_listening, sock.state = sock.state == TCP_LISTEN, TCP_CLOSE
    peer = sock.peer
    sock.peer = None
    if peer is not None:
        if sock.type != SOCK_DGRAM:
            peer.shutdown = SHUTDOWN_MASK
            if sock.queue:
                peer.err = ECONNRESET
        core_wait.wake_up_all(peer.wq)
    if was_listening:
        for embryo in sock.backlog:
            client = embryo.peer
            if client is not None:
                client.shutdown = SHUTDOWN_MASK
                client.err = ECONNRESET
                core_wait.wake_up_all(client.wq)
        sock.backlog.clear()
    purge_queue(sock)
    core_wait.wake_up_all(sock.wq)


def purge_queue(sock: UnixSock) -> None:
    """What nobody will read any more."""
    for skb in sock.queue:
        consume_skb(skb)
        for file in skb.files:
            fput(file)
    sock.queue.clear()


def consume_skb(skb: SkBuff) -> None:
    """Its room in the sender's buffer is free again."""
    sender = skb.sock
    sender.wmem -= skb.truesize
    core_wait.wake_up_all(sender.wq, POLLOUT | POLLWRNORM | POLLWRBAND)


def sock_wait(sock: UnixSock, expires: int | None, what: str) -> None:
    """Sleep until something happens to the socket. EAGAIN after `expires`, ERESTARTSYS for a signal."""
    k = sock.kernel
    current = k.current
    if core_signal.signal_pending(current):
        raise KernelError(ERESTARTSYS)
    wait = WaitQueueEntry(current)
    core_wait.prepare_to_wait(sock.wq, wait, TASK_INTERRUPTIBLE)
    current.wchan = what
    over = core_hrtimer.schedule_hrtimeout(k, expires)
    current.state = TASK_RUNNING
    current.wchan = ""
    core_wait.finish_wait(sock.wq, wait)
    if over:
        raise KernelError(EAGAIN)


def timeout_end(k: Kernel, timeo: int | None, nonblock: bool) -> int | None:
    """CLOCK_MONOTONIC at which a wait ends: now if it must not wait at all."""
    if nonblock:
        return k.timekeeper.now_ns
    return None if timeo is None else k.timekeeper.now_ns + timeo


# --- sending


def unix_writable(sock: UnixSock) -> bool:
    """At most a quarter of the send buffer is used."""
    return sock.wmem << 2 <= sock.sndbuf


def find_other(k: Kernel, name: bytes, sk_type: int) -> UnixSock:
    """The socket bound to `name`. ECONNREFUSED, EPROTOTYPE; what the host's sockets listen to is never reached."""
    if name[:1] != b"\0":
        dentry = path_lookup(k, AT_FDCWD, name.split(b"\0")[0].decode("utf-8", "surrogateescape"), True)
        inode = dentry.d_inode
        assert inode is not None
        inode_permission(k, inode, MAY_WRITE)
        other = k.unix_inodes.get(inode) if inode.i_mode & S_IFMT == S_IFSOCK else None
    else:
        other = k.unix_sockets.get(name)
    if other is None:
        raise KernelError(ECONNREFUSED)
    if other.type != sk_type:
        raise KernelError(EPROTOTYPE)
    return other


def unix_sendmsg(sock: UnixSock, data: bytes, name: bytes | None, files: list[File], nonblock: bool) -> int:
    """Send: bytes sent. EPIPE: the other side is gone (the caller decides about SIGPIPE)."""
    if sock.type == SOCK_STREAM:
        if name is not None:
            raise KernelError(EISCONN if sock.state == TCP_ESTABLISHED else EOPNOTSUPP)
        return stream_sendmsg(sock, data, files, nonblock)
    if sock.type == SOCK_SEQPACKET:
        if sock.err:
            raise KernelError(take_error(sock))
        if sock.state != TCP_ESTABLISHED:
            raise KernelError(ENOTCONN)
        name = None
    return dgram_sendmsg(sock, data, name, files, nonblock)


def take_error(sock: UnixSock) -> int:
    """sock_error(): reported once."""
    err, sock.err = sock.err, 0
    return err


def stream_sendmsg(sock: UnixSock, data: bytes, files: list[File], nonblock: bool) -> int:
    """In pieces that fit half of the send buffer; what was sent before an error or a signal counts."""
    k = sock.kernel
    other = sock.peer
    if other is None:
        raise KernelError(EPIPE if sock.shutdown & SEND_SHUTDOWN else ENOTCONN)
    if sock.shutdown & SEND_SHUTDOWN:
        raise KernelError(EPIPE)
    end = timeout_end(k, sock.sndtimeo, nonblock)
    sent = 0
    try:
        while sent < len(data):
            size = min(len(data) - sent, (sock.sndbuf >> 1) - 64, STREAM_CHUNK)
            while sock.wmem + SKB_OVERHEAD > sock.sndbuf:
                if nonblock:
                    raise KernelError(EAGAIN)
                sock_wait(sock, end, "a write to a socket")
                if sock.shutdown & SEND_SHUTDOWN:
                    raise KernelError(EPIPE)
            if other.dead or other.shutdown & RCV_SHUTDOWN:
                raise KernelError(EPIPE)
            queue_skb(sock, other, SkBuff(data[sent : sent + size], sock, current_cred(k), files))
            files = []
            sent += size
    except KernelError:
        if not sent:
            raise
    return sent


def queue_skb(sock: UnixSock, other: UnixSock, skb: SkBuff) -> None:
    """The message is in the receiver's queue."""
    sock.wmem += skb.truesize
    for file in skb.files:
        get_file(file)
    other.queue.append(skb)
    core_wait.wake_up_interruptible(other.wq, POLLIN | POLLRDNORM)


def dgram_sendmsg(sock: UnixSock, data: bytes, name: bytes | None, files: list[File], nonblock: bool) -> int:
    """One message, whole."""
    k = sock.kernel
    if len(data) > sock.sndbuf - 32:
        raise KernelError(EMSGSIZE)
    end = timeout_end(k, sock.sndtimeo, nonblock)
    while True:
        if sock.shutdown & SEND_SHUTDOWN:
            raise KernelError(EPIPE)
        if sock.wmem + SKB_OVERHEAD <= sock.sndbuf:
            break
        if nonblock:
            raise KernelError(EAGAIN)
        sock_wait(sock, end, "a write to a socket")
    while True:
        if name is not None:
            other: UnixSock = find_other(k, name, sock.type)
        else:
            peer = sock.peer
            if peer is None:
                raise KernelError(ENOTCONN)
            other = peer
        if other.peer is not None and other.peer is not sock and sock.type == SOCK_DGRAM:
            raise KernelError(EPERM)
        if other.dead:
            sock.peer = None
            raise KernelError(ECONNREFUSED)
        if other.shutdown & RCV_SHUTDOWN:
            raise KernelError(EPIPE)
        if other.peer is sock or len(other.queue) <= MAX_DGRAM_QLEN:
            break
        if nonblock:
            raise KernelError(EAGAIN)
        sock_wait(other, end, "a write to a socket")
    queue_skb(sock, other, SkBuff(data, sock, current_cred(k), files))
    return len(data)


# --- receiving


class Received:
    """What recvmsg(2) returns."""

    def __init__(self) -> None:
        self.data = b""
        self.addr: bytes | None = None
        self.cred: Ucred | None = None
        self.files: list[File] = []
        #: MSG_TRUNC, and the message's whole length.
        self.flags = 0
        self.full = 0


def unix_recvmsg(sock: UnixSock, size: int, flags: int, nonblock: bool) -> Received:
    """Receive up to `size` bytes."""
    if flags & MSG_OOB:
        raise KernelError(EOPNOTSUPP)
    if sock.type == SOCK_STREAM:
        if sock.state != TCP_ESTABLISHED:
            raise KernelError(EINVAL)
        return stream_recvmsg(sock, size, flags, nonblock)
    if sock.type == SOCK_SEQPACKET and sock.state != TCP_ESTABLISHED:
        raise KernelError(ENOTCONN)
    return dgram_recvmsg(sock, size, flags, nonblock)


def stream_recvmsg(sock: UnixSock, size: int, flags: int, nonblock: bool) -> Received:
    """Bytes, across messages, but not across senders whose credentials are asked for, nor beyond descriptors."""
    got = Received()
    end = timeout_end(sock.kernel, sock.rcvtimeo, nonblock)
    target = size if flags & MSG_WAITALL else min(size, 1)
    parts: list[bytes] = []
    done = 0
    at = 0
    while done < size or not size:
        if at >= len(sock.queue):
            if done >= target:
                break
            if sock.err:
                if done:
                    break
                raise KernelError(take_error(sock))
            if sock.shutdown & RCV_SHUTDOWN:
                break
            try:
                if nonblock:
                    raise KernelError(EAGAIN)
                sock_wait(sock, end, "a read from a socket")
            except KernelError:
                if done:
                    break
                raise
            continue
        skb = sock.queue[at]
        if got.cred is not None and sock.passcred and (got.cred.pid, got.cred.uid) != (skb.cred.pid, skb.cred.uid):
            break
        got.cred, got.addr = skb.cred, skb.addr
        part = skb.data[skb.consumed : skb.consumed + size - done]
        parts.append(part)
        done += len(part)
        got.files += skb.files
        if flags & MSG_PEEK:
            for file in skb.files:
                get_file(file)
            at += 1
        else:
            skb.consumed += len(part)
            had_files = bool(skb.files)
            skb.files = []
            if skb.consumed >= len(skb.data):
                sock.queue.remove(skb)
                consume_skb(skb)
            if had_files:
                break
        if got.files or not size:
            break
    got.data = b"".join(parts)
    got.full = len(got.data)
    return got


def dgram_recvmsg(sock: UnixSock, size: int, flags: int, nonblock: bool) -> Received:
    """One message; what does not fit is lost."""
    got = Received()
    end = timeout_end(sock.kernel, sock.rcvtimeo, nonblock)
    while not sock.queue:
        if sock.err:
            raise KernelError(take_error(sock))
        if sock.shutdown & RCV_SHUTDOWN:
            return got
        if nonblock:
            raise KernelError(EAGAIN)
        sock_wait(sock, end, "a read from a socket")
    skb = sock.queue[0]
    got.data, got.full = skb.data[:size], len(skb.data)
    got.addr, got.cred, got.files = skb.addr, skb.cred, list(skb.files)
    if len(skb.data) > size:
        got.flags |= MSG_TRUNC
    if flags & MSG_PEEK:
        for file in skb.files:
            get_file(file)
    else:
        sock.queue.pop(0)
        consume_skb(skb)
        core_wait.wake_up_all(sock.wq, POLLOUT | POLLWRNORM)
    return got


# --- names and connections


def unix_bind(k: Kernel, sock: UnixSock, name: bytes) -> None:
    """Give the socket a name; an empty one is chosen (autobind). EADDRINUSE, EINVAL: it has one."""
    if name[:1] not in (b"", b"\0"):
        path = name.split(b"\0")[0].decode("utf-8", "surrogateescape")
        if sock.addr is not None:
            raise KernelError(EINVAL)
        try:
            do_mknodat(k, AT_FDCWD, path, S_IFSOCK | 0o777, 0)
        except KernelError as error:
            raise KernelError(EADDRINUSE if error.errno == EEXIST else error.errno or EINVAL) from None
        inode = path_lookup(k, AT_FDCWD, path, False).d_inode
        assert inode is not None
        sock.addr = name
        sock.inode = inode
        k.unix_inodes[inode] = sock
        return
    if sock.addr is not None:
        raise KernelError(EINVAL)
    if not name:
        k.unix_autobind += 1
        name = b"\0%05x" % k.unix_autobind
    if name in k.unix_sockets:
        raise KernelError(EADDRINUSE)
    sock.addr = name
    k.unix_sockets[name] = sock


def unix_listen(k: Kernel, sock: UnixSock, backlog: int) -> None:
    """Be ready for connections. EOPNOTSUPP for datagrams, EINVAL without a name."""
    if sock.type == SOCK_DGRAM:
        raise KernelError(EOPNOTSUPP)
    if sock.addr is None or sock.state not in (TCP_CLOSE, TCP_LISTEN):
        raise KernelError(EINVAL)
    if not 0 <= backlog <= SOMAXCONN:
        backlog = SOMAXCONN
    if backlog > sock.max_backlog:
        core_wait.wake_up_all(sock.wq)
    sock.max_backlog = backlog
    sock.state = TCP_LISTEN
    sock.peer_cred = current_cred(k)


def unix_connect(k: Kernel, sock: UnixSock, name: bytes | None, nonblock: bool) -> None:
    """Connect to a name; a datagram socket only notes it (None: forgets)."""
    if sock.type == SOCK_DGRAM:
        old = sock.peer
        sock.peer = None if name is None else find_other(k, name, SOCK_DGRAM)
        if sock.peer is not None and sock.peer.peer is not None and sock.peer.peer is not sock:
            sock.peer = old
            raise KernelError(EPERM)
        sock.state = TCP_CLOSE if name is None else TCP_ESTABLISHED
        return
    if name is None:
        raise KernelError(EINVAL)
    end = timeout_end(k, sock.sndtimeo, nonblock)
    while True:
        other = find_other(k, name, sock.type)
        if other.state != TCP_LISTEN or other.shutdown & RCV_SHUTDOWN:
            raise KernelError(ECONNREFUSED)
        if len(other.backlog) <= other.max_backlog:
            break
        if nonblock:
            raise KernelError(EAGAIN)
        sock_wait(other, end, "connect")
    if sock.state != TCP_CLOSE:
        raise KernelError(EISCONN if sock.state == TCP_ESTABLISHED else EINVAL)
    embryo = UnixSock(k, sock.type)
    embryo.addr = other.addr
    embryo.peer, sock.peer = sock, embryo
    embryo.state = sock.state = TCP_ESTABLISHED
    embryo.peer_cred, sock.peer_cred = current_cred(k), other.peer_cred
    embryo.passcred = other.passcred
    other.backlog.append(embryo)
    core_wait.wake_up_interruptible(other.wq, POLLIN | POLLRDNORM)


def unix_accept(k: Kernel, sock: UnixSock, nonblock: bool) -> UnixSock:
    """The next connection. EOPNOTSUPP for datagrams, EINVAL: it does not listen."""
    if sock.type == SOCK_DGRAM:
        raise KernelError(EOPNOTSUPP)
    if sock.state != TCP_LISTEN:
        raise KernelError(EINVAL)
    end = timeout_end(k, sock.rcvtimeo, nonblock)
    while not sock.backlog:
        if sock.shutdown & RCV_SHUTDOWN:
            raise KernelError(EINVAL)
        if nonblock:
            raise KernelError(EAGAIN)
        sock_wait(sock, end, "accept")
    new = sock.backlog.pop(0)
    core_wait.wake_up_all(sock.wq, POLLOUT)
    return new


def unix_shutdown(sock: UnixSock, how: int) -> None:
    """shutdown(2): SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2; the peer sees the other half."""
    if not 0 <= how <= 2:
        raise KernelError(EINVAL)
    mode = how + 1
    sock.shutdown |= mode
    peer = sock.peer
    if peer is not None and sock.type != SOCK_DGRAM:
        if mode & RCV_SHUTDOWN:
            peer.shutdown |= SEND_SHUTDOWN
        if mode & SEND_SHUTDOWN:
            peer.shutdown |= RCV_SHUTDOWN
        core_wait.wake_up_all(peer.wq)
    core_wait.wake_up_all(sock.wq)


# --- as a file


def sock_read(file: File, count: int, pos: int) -> bytes:
    """read(2)."""
    got = unix_recvmsg(sock_of(file), count, 0, file.f_flags & O_NONBLOCK != 0)
    for passed in got.files:
        fput(passed)
    return got.data


def sock_write(file: File, data: bytes, pos: int) -> int:
    """write(2)."""
    return sock_sendmsg(file, data, None, [], 0)


def sock_sendmsg(file: File, data: bytes, name: bytes | None, files: list[File], flags: int) -> int:
    """Send with MSG_*; a stream's EPIPE comes with a SIGPIPE."""
    sock = sock_of(file)
    if flags & MSG_OOB:
        raise KernelError(EOPNOTSUPP)
    try:
        return unix_sendmsg(sock, data, name, files, bool(file.f_flags & O_NONBLOCK or flags & MSG_DONTWAIT))
    except KernelError as error:
        if error.errno == EPIPE and not flags & MSG_NOSIGNAL and sock.type == SOCK_STREAM:
            core_signal.send_sig(sock.kernel, SIGPIPE, sock.kernel.current, 0)
        raise


def sock_poll(file: File, pt: PollTable | None) -> int:
    """Ready for what."""
    sock = sock_of(file)
    poll_wait(file, sock.wq, pt)
    mask = 0
    if sock.err:
        mask |= POLLERR
    if sock.shutdown == SHUTDOWN_MASK:
        mask |= POLLHUP
    if sock.shutdown & RCV_SHUTDOWN:
        mask |= POLLRDHUP | POLLIN | POLLRDNORM
    if sock.queue or sock.backlog:
        mask |= POLLIN | POLLRDNORM
    if sock.type != SOCK_DGRAM and sock.state == TCP_CLOSE:
        mask |= POLLHUP
    if unix_writable(sock):
        mask |= POLLOUT | POLLWRNORM | POLLWRBAND
    return mask


def sock_ioctl(file: File, cmd: int, arg: int) -> int:
    """FIONREAD, SIOCOUTQ."""
    sock = sock_of(file)
    if cmd == FIONREAD:
        if sock.state == TCP_LISTEN:
            raise KernelError(EINVAL)
        waiting = [len(skb.data) - skb.consumed for skb in sock.queue]
        put_user(sock.kernel, arg, sum(waiting[:1] if sock.type == SOCK_DGRAM else waiting), 4)
        return 0
    if cmd == SIOCOUTQ:
        put_user(sock.kernel, arg, sock.wmem, 4)
        return 0
    raise KernelError(ENOTTY)


socket_file_ops: Final = FileOperations(
    "socket_file_ops", read=sock_read, write=sock_write, poll=sock_poll, unlocked_ioctl=sock_ioctl, release=unix_release
)
