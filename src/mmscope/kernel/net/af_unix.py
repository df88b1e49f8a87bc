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
from mmscope.kernel.fs.file import fput, get_file
from mmscope.kernel.fs.namei import inode_permission, path_lookup
from mmscope.kernel.fs.namei_create import do_mknodat
from mmscope.kernel.include.errno import (
    EADDRINUSE,
    EAFNOSUPPORT,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EEXIST,
    EINTR,
    EINVAL,
    EISCONN,
    EMSGSIZE,
    ENOENT,
    ENOTCONN,
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
    MAY_WRITE,
    S_IFMT,
    S_IFSOCK,
    File,
)
from mmscope.kernel.include.ioctls import FIONREAD
from mmscope.kernel.include.poll import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.socket import (
    AF_UNIX,
    MAX_DGRAM_QLEN,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    OVERFLOWUID,
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    SHUTDOWN_MASK,
    SIOCOUTQ,
    SKB_OVERHEAD,
    SOCK_DGRAM,
    SOCK_MAX,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOMAXCONN,
    STREAM_CHUNK,
    TCP_CLOSE,
    TCP_ESTABLISHED,
    TCP_LISTEN,
    SkBuff,
    Ucred,
    UnixSock,
)
from mmscope.kernel.include.wait import WaitQueueEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def current_cred(k: Kernel) -> Ucred:
    """The current process as SO_PEERCRED of others shows it."""
    task = k.current
    return Ucred(task.tgid, task.cred.euid, task.cred.egid)


def maybe_add_creds(sock: UnixSock, other: UnixSock) -> Ucred:
    """A message without SCM_CREDENTIALS: the sender's real ids if one side has asked for them by now, else nobody."""
    if sock.passcred or other.passcred or not other.accepted:
        task = sock.kernel.current
        return Ucred(task.tgid, task.cred.uid, task.cred.gid)
    return Ucred(0, OVERFLOWUID, OVERFLOWUID)


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


def unix_socketpair(k: Kernel, a: UnixSock, b: UnixSock) -> None:
    """socketpair(2): each is the other's peer."""
    a.peer, b.peer = b, a
    a.peer_cred = b.peer_cred = current_cred(k)
    if a.type != SOCK_DGRAM:
        a.state = b.state = TCP_ESTABLISHED


def unix_release(sock: UnixSock) -> None:
    """The last descriptor of a socket is closed: its peer sees the end, or, if something was left unread, a reset."""
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
    skb_queue_purge(sock)
    core_wait.wake_up_all(sock.wq)


def skb_queue_purge(sock: UnixSock) -> None:
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
        # sock_intr_errno()
        raise KernelError(ERESTARTSYS if expires is None else EINTR)
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
    """At most a quarter of the send buffer is used. Never, while it listens."""
    return sock.state != TCP_LISTEN and sock.wmem << 2 <= sock.sndbuf


def unix_find_other(k: Kernel, name: bytes, sk_type: int) -> UnixSock:
    """The socket bound to `name`. EINVAL: empty; ECONNREFUSED, EPROTOTYPE. What the host's sockets listen to is never reached."""
    if not name:
        raise KernelError(EINVAL)
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


def unix_sendmsg(sock: UnixSock, data: bytes, name: bytes | None, files: list[File], nonblock: bool, cred: Ucred | None) -> int:
    """Send: bytes sent. EPIPE: the other side is gone (the caller decides about SIGPIPE)."""
    if sock.type == SOCK_STREAM:
        if name is not None:
            raise KernelError(EISCONN if sock.state == TCP_ESTABLISHED else EOPNOTSUPP)
        return unix_stream_sendmsg(sock, data, files, nonblock, cred)
    if sock.type == SOCK_SEQPACKET:
        if sock.err:
            raise KernelError(sock_error(sock))
        if sock.state != TCP_ESTABLISHED:
            raise KernelError(ENOTCONN)
        name = None
    return unix_dgram_sendmsg(sock, data, name, files, nonblock, cred)


def sock_error(sock: UnixSock) -> int:
    """The pending error, reported once."""
    err, sock.err = sock.err, 0
    return err


def unix_stream_sendmsg(sock: UnixSock, data: bytes, files: list[File], nonblock: bool, cred: Ucred | None) -> int:
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
            queue_skb(sock, other, SkBuff(data[sent : sent + size], sock, cred or maybe_add_creds(sock, other), files))
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


def unix_dgram_sendmsg(
    sock: UnixSock, data: bytes, name: bytes | None, files: list[File], nonblock: bool, cred: Ucred | None
) -> int:
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
            other: UnixSock = unix_find_other(k, name, sock.type)
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
    queue_skb(sock, other, SkBuff(data, sock, cred or maybe_add_creds(sock, other), files))
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
        return unix_stream_recvmsg(sock, size, flags, nonblock)
    if sock.type == SOCK_SEQPACKET and sock.state != TCP_ESTABLISHED:
        raise KernelError(ENOTCONN)
    return unix_dgram_recvmsg(sock, size, flags, nonblock)


def unix_stream_recvmsg(sock: UnixSock, size: int, flags: int, nonblock: bool) -> Received:
    """Bytes, across messages, but not across senders whose credentials are asked for, nor beyond descriptors."""
    got = Received()
    end = timeout_end(sock.kernel, sock.rcvtimeo, nonblock)
    target = size if flags & MSG_WAITALL and size else 1
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
                raise KernelError(sock_error(sock))
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


def unix_dgram_recvmsg(sock: UnixSock, size: int, flags: int, nonblock: bool) -> Received:
    """One message; what does not fit is lost."""
    got = Received()
    end = timeout_end(sock.kernel, sock.rcvtimeo, nonblock)
    while True:
        # An error comes before what was sent before it.
        if sock.err:
            raise KernelError(sock_error(sock))
        if sock.queue:
            break
        if sock.shutdown & RCV_SHUTDOWN and (sock.type == SOCK_SEQPACKET or not nonblock):
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
        try:
            if sock.addr is not None and path_lookup(k, AT_FDCWD, path, False).d_inode is not None:
                raise KernelError(EADDRINUSE)
        except KernelError as error:
            if error.errno != ENOENT:
                raise
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
        sock.peer = None if name is None else unix_find_other(k, name, SOCK_DGRAM)
        if sock.peer is not None and sock.peer.peer is not None and sock.peer.peer is not sock:
            sock.peer = old
            raise KernelError(EPERM)
        sock.state = TCP_CLOSE if name is None else TCP_ESTABLISHED
        return
    if name is None:
        raise KernelError(EINVAL)
    end = timeout_end(k, sock.sndtimeo, nonblock)
    while True:
        other = unix_find_other(k, name, sock.type)
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
    embryo.accepted = False
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
    new.accepted = True
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


# --- state


def unix_poll(sock: UnixSock) -> int:
    """Ready for what."""
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


def unix_ioctl(sock: UnixSock, cmd: int, arg: int) -> int:
    """FIONREAD, SIOCOUTQ."""
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
