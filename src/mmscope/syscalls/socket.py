# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on sockets (net/socket.c, net/core/{sock,scm}.c): argument decoding; the work is kernel/net/'s."""

from __future__ import annotations

import mmscope.kernel.net.af_unix as af_unix
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, copy_to_user_partial, get_user, put_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.file import fd_install, fdget, fdput, fget, fput, get_file, get_unused_fd_flags, set_close_on_exec
from mmscope.kernel.fs.pipe import install_pair
from mmscope.kernel.fs.read_write import import_iovec
from mmscope.kernel.include.capability import CAP_SYS_ADMIN
from mmscope.kernel.include.errno import (
    EAGAIN,
    EFAULT,
    EINVAL,
    EMSGSIZE,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    ESRCH,
    KernelError,
)
from mmscope.kernel.include.fs import MAX_RW_COUNT, O_CLOEXEC, O_NONBLOCK, File
from mmscope.kernel.include.socket import (
    AF_UNIX,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_TRUNC,
    SK_BUF_DEFAULT,
    SOCK_TYPE_MASK,
    TCP_LISTEN,
    Ucred,
)
from mmscope.kernel.net.socket import sock_alloc_file, sock_from_file, sock_map_fd, sock_sendmsg
from mmscope.syscalls.args import s32, u32
from mmscope.syscalls.poll import put_fd_pair
from mmscope.syscalls.time import read_timespec, timespec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.socket import UnixSock
    from mmscope.kernel.net.af_unix import Received

SOL_SOCKET: Final = 1
SO_TYPE: Final = 3
SO_ERROR: Final = 4
SO_SNDBUF: Final = 7
SO_RCVBUF: Final = 8
SO_PASSCRED: Final = 16
SO_PEERCRED: Final = 17
SO_RCVTIMEO: Final = 20
SO_SNDTIMEO: Final = 21
SO_ACCEPTCONN: Final = 30
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
SO_PROTOCOL: Final = 38
SO_DOMAIN: Final = 39
#: SO_DEBUG, REUSEADDR, DONTROUTE, BROADCAST, KEEPALIVE, OOBINLINE, PRIORITY, LINGER, REUSEPORT, RCVLOWAT: kept, without effect.
_KEPT: Final = (1, 2, 5, 6, 9, 10, 12, 13, 15, 18)
SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
SCM_MAX_FD: Final = 253
MSG_CMSG_CLOEXEC: Final = 0x40000000
MSG_WAITFORONE: Final = 0x10000
UIO_MAXIOV: Final = 1024
#: sizeof(struct mmsghdr).
MMSGHDR: Final = 64
#: sizeof(struct sockaddr_un).
SOCKADDR_UN: Final = 110


def _nonblock(file: File, flags: int) -> bool:
    return bool(file.f_flags & O_NONBLOCK or flags & MSG_DONTWAIT)


def _type_flags(sk_type: int) -> int:
    """SOCK_CLOEXEC and SOCK_NONBLOCK. EINVAL for others."""
    flags = sk_type & ~SOCK_TYPE_MASK
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(EINVAL)
    return flags


def read_sockaddr(k: Kernel, addr: int, length: int) -> bytes:
    """sun_path of the sockaddr_un at `addr`; a name in the file system up to its NUL."""
    if length < 0 or length > 128:
        raise KernelError(EINVAL)
    raw = copy_from_user(k, addr, length)
    if length < 2 or length > SOCKADDR_UN or raw[:2] != b"\1\0":
        raise KernelError(EINVAL)
    name = raw[2:]
    return name if name[:1] in (b"", b"\0") else name.split(b"\0")[0]


def write_sockaddr(k: Kernel, name: bytes | None, addr: int, lenp: int) -> None:
    """A name to the user's buffer of *lenp bytes, cut; its whole length to *lenp."""
    room = s32(get_user(k, lenp, 4))
    if room < 0:
        raise KernelError(EINVAL)
    raw = b"\1\0" + (name or b"")
    if name and name[:1] != b"\0":
        raw += b"\0"
    copy_to_user(k, addr, raw[:room])
    put_user(k, lenp, len(raw), 4)


def socket(k: Kernel, regs: PtRegs) -> int:
    """socket(family, type, protocol)."""
    sk_type = s32(regs.si)
    flags = _type_flags(sk_type)
    sock = af_unix.unix_create(k, s32(regs.di), sk_type & SOCK_TYPE_MASK, s32(regs.dx))
    return sock_map_fd(k, sock, flags)


def socketpair(k: Kernel, regs: PtRegs) -> int:
    """socketpair(family, type, protocol, usockvec)."""
    sk_type = s32(regs.si)
    flags = _type_flags(sk_type)
    kind = sk_type & SOCK_TYPE_MASK
    a = af_unix.unix_create(k, s32(regs.di), kind, s32(regs.dx))
    b = af_unix.unix_create(k, s32(regs.di), kind, s32(regs.dx))
    af_unix.unix_socketpair(k, a, b)
    pair = install_pair(k, sock_alloc_file(k, a, flags), sock_alloc_file(k, b, flags), flags)
    put_fd_pair(k, regs.r10, pair)
    return 0


def bind(k: Kernel, regs: PtRegs) -> int:
    """bind(fd, umyaddr, addrlen)."""
    sock = sock_from_file(fget(k, u32(regs.di)))
    af_unix.unix_bind(k, sock, read_sockaddr(k, regs.si, s32(regs.dx)))
    return 0


def listen(k: Kernel, regs: PtRegs) -> int:
    """listen(fd, backlog)."""
    af_unix.unix_listen(k, sock_from_file(fget(k, u32(regs.di))), s32(regs.si))
    return 0


def connect(k: Kernel, regs: PtRegs) -> int:
    """connect(fd, uservaddr, addrlen); AF_UNSPEC dissolves the association of a datagram socket."""
    file = fdget(k, u32(regs.di))
    try:
        sock = sock_from_file(file)
        length = s32(regs.dx)
        name: bytes | None = None
        if not (2 <= length <= 128 and copy_from_user(k, regs.si, 2) == b"\0\0"):
            name = read_sockaddr(k, regs.si, length)
        af_unix.unix_connect(k, sock, name, _nonblock(file, 0))
    finally:
        fdput(file)
    return 0


def _accept(k: Kernel, regs: PtRegs, flags: int) -> int:
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(EINVAL)
    file = fdget(k, u32(regs.di))
    try:
        new = af_unix.unix_accept(k, sock_from_file(file), _nonblock(file, 0))
    finally:
        fdput(file)
    fd = sock_map_fd(k, new, flags)
    if regs.si:
        peer = new.peer
        write_sockaddr(k, peer.addr if peer is not None else None, regs.si, regs.dx)
    return fd


def accept(k: Kernel, regs: PtRegs) -> int:
    """accept(fd, upeer_sockaddr, upeer_addrlen)."""
    return _accept(k, regs, 0)


def accept4(k: Kernel, regs: PtRegs) -> int:
    """accept4(fd, upeer_sockaddr, upeer_addrlen, flags)."""
    return _accept(k, regs, s32(regs.r10))


def getsockname(k: Kernel, regs: PtRegs) -> int:
    """getsockname(fd, usockaddr, usockaddr_len)."""
    write_sockaddr(k, sock_from_file(fget(k, u32(regs.di))).addr, regs.si, regs.dx)
    return 0


def getpeername(k: Kernel, regs: PtRegs) -> int:
    """getpeername(fd, usockaddr, usockaddr_len)."""
    peer = sock_from_file(fget(k, u32(regs.di))).peer
    if peer is None:
        raise KernelError(ENOTCONN)
    write_sockaddr(k, peer.addr, regs.si, regs.dx)
    return 0


def shutdown(k: Kernel, regs: PtRegs) -> int:
    """shutdown(fd, how)."""
    af_unix.unix_shutdown(sock_from_file(fget(k, u32(regs.di))), s32(regs.si))
    return 0


# --- data


def sendto(k: Kernel, regs: PtRegs) -> int:
    """sendto(fd, buff, len, flags, addr, addr_len)."""
    file = fdget(k, u32(regs.di))
    try:
        sock_from_file(file)
        name = read_sockaddr(k, regs.r8, s32(regs.r9)) if regs.r8 else None
        data = copy_from_user(k, regs.si, min(regs.dx, MAX_RW_COUNT))
        return sock_sendmsg(file, data, name, [], u32(regs.r10))
    finally:
        fdput(file)


def recvfrom(k: Kernel, regs: PtRegs) -> int:
    """recvfrom(fd, ubuf, size, flags, addr, addr_len)."""
    flags = u32(regs.r10)
    file = fdget(k, u32(regs.di))
    try:
        got = af_unix.unix_recvmsg(sock_from_file(file), min(regs.dx, MAX_RW_COUNT), flags, _nonblock(file, flags))
    finally:
        fdput(file)
    for passed in got.files:
        fput(passed)
    copy_to_user(k, regs.si, got.data)
    if regs.r8:
        if got.addr is None:
            put_user(k, regs.r9, 0, 4)
        else:
            write_sockaddr(k, got.addr, regs.r8, regs.r9)
    return got.full if flags & MSG_TRUNC else len(got.data)


class _MsgHdr:
    """struct user_msghdr, read."""

    def __init__(self, k: Kernel, addr: int) -> None:
        raw = copy_from_user(k, addr, 56)
        words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, 56, 8)]
        self.name, self.namelen = words[0], s32(words[1])
        self.iov, self.iovlen = words[2], words[3]
        self.control, self.controllen = words[4], words[5]
        if self.iovlen > 1024:
            raise KernelError(EMSGSIZE)


def _scm_send(k: Kernel, msg: _MsgHdr) -> tuple[list[File], Ucred | None]:
    """SCM_RIGHTS: files, the caller's references are borrowed. SCM_CREDENTIALS: true ones, or what root says."""
    files: list[File] = []
    creds: Ucred | None = None
    if not msg.control:
        return files, creds
    raw = copy_from_user(k, msg.control, min(msg.controllen, 65536))
    at = 0
    while at + 16 <= len(raw):
        length = int.from_bytes(raw[at : at + 8], "little")
        level, kind = int.from_bytes(raw[at + 8 : at + 12], "little"), int.from_bytes(raw[at + 12 : at + 16], "little")
        if length < 16 or at + length > len(raw):
            raise KernelError(EINVAL)
        body = raw[at + 16 : at + length]
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds = [int.from_bytes(body[i : i + 4], "little") for i in range(0, len(body) & -4, 4)]
            if len(files) + len(fds) > SCM_MAX_FD:
                raise KernelError(EINVAL)
            files += [fget(k, fd) for fd in fds]
        elif level == SOL_SOCKET and kind == SCM_CREDENTIALS:
            if len(body) != 12:
                raise KernelError(EINVAL)
            pid, uid, gid = (int.from_bytes(body[i : i + 4], "little") for i in (0, 4, 8))
            cred = k.current.cred
            honest = pid == k.current.tgid and uid in (cred.uid, cred.euid, cred.suid) and gid in (cred.gid, cred.egid, cred.sgid)
            if not honest and not capable(k, CAP_SYS_ADMIN):
                raise KernelError(EPERM)
            if pid not in k.tasks:
                raise KernelError(ESRCH)
            creds = Ucred(pid, uid, gid)
        elif level == SOL_SOCKET:
            raise KernelError(EINVAL)
        at += length + 7 & -8
    return files, creds


def sendmsg(k: Kernel, regs: PtRegs) -> int:
    """sendmsg(fd, msg, flags)."""
    file = fdget(k, u32(regs.di))
    try:
        return _sendmsg(k, file, regs.si, u32(regs.dx))
    finally:
        fdput(file)


def _sendmsg(k: Kernel, file: File, addr: int, flags: int) -> int:
    """___sys_sendmsg(): the message at `addr`."""
    sock_from_file(file)
    msg = _MsgHdr(k, addr)
    name = read_sockaddr(k, msg.name, msg.namelen) if msg.name and msg.namelen else None
    data = b"".join([copy_from_user(k, base, size) for base, size in import_iovec(k, msg.iov, msg.iovlen)])
    files, creds = _scm_send(k, msg)
    return sock_sendmsg(file, data, name, files, flags, creds)


def sendmmsg(k: Kernel, regs: PtRegs) -> int:
    """sendmmsg(fd, mmsg, vlen, flags): how many messages; each one's length behind its header."""
    vlen = min(u32(regs.dx), UIO_MAXIOV)
    file = fdget(k, u32(regs.di))
    done = 0
    try:
        sock_from_file(file)
        while done < vlen:
            at = regs.si + MMSGHDR * done
            put_user(k, at + 56, _sendmsg(k, file, at, u32(regs.r10)), 4)
            done += 1
    except KernelError:
        if not done:
            raise
    finally:
        fdput(file)
    return done


def _control(k: Kernel, sock: UnixSock, got: Received, room: int, flags: int) -> tuple[bytes, int]:
    """The control messages that fit `room`, and MSG_CTRUNC."""
    out = b""
    truncated = 0
    if sock.passcred and got.cred is not None:
        cred = got.cred
        body = b"".join([value.to_bytes(4, "little") for value in (cred.pid, cred.uid, cred.gid)])
        if room >= 16:
            # put_cmsg(): as much as fits.
            out += _cmsg(SCM_CREDENTIALS, body[: room - 16])[:room]
        if room < 28:
            truncated = MSG_CTRUNC
    fit = min(len(got.files), max(room - len(out) - 16, 0) // 4)
    fds: list[int] = []
    for file in got.files[:fit]:
        fd = get_unused_fd_flags(k, 0)
        fd_install(k, fd, get_file(file))
        set_close_on_exec(k, fd, bool(flags & MSG_CMSG_CLOEXEC))
        fds.append(fd)
    if fds:
        out += _cmsg(SCM_RIGHTS, b"".join([fd.to_bytes(4, "little") for fd in fds]))
    if fit < len(got.files):
        truncated = MSG_CTRUNC
    for file in got.files:
        fput(file)
    return out, truncated


def _cmsg(kind: int, body: bytes) -> bytes:
    head = (16 + len(body)).to_bytes(8, "little") + SOL_SOCKET.to_bytes(4, "little") + kind.to_bytes(4, "little")
    return head + body.ljust(len(body) + 7 & -8, b"\0")


def recvmsg(k: Kernel, regs: PtRegs) -> int:
    """recvmsg(fd, msg, flags)."""
    file = fdget(k, u32(regs.di))
    try:
        return _recvmsg(k, file, regs.si, u32(regs.dx))
    finally:
        fdput(file)


def recvmmsg(k: Kernel, regs: PtRegs) -> int:
    """recvmmsg(fd, mmsg, vlen, flags, timeout): how many messages. The timeout is looked at between messages only."""
    flags = u32(regs.r10)
    end: int | None = None
    if regs.r8:
        timeout = read_timespec(k, regs.r8)
        if timeout < 0:
            raise KernelError(EINVAL)
        end = k.timekeeper.now_ns + timeout
    file = fdget(k, u32(regs.di))
    done = 0
    try:
        sock = sock_from_file(file)
        error = af_unix.sock_error(sock)
        if error:
            raise KernelError(error)
        while done < u32(regs.dx):
            at = regs.si + MMSGHDR * done
            put_user(k, at + 56, _recvmsg(k, file, at, flags & ~MSG_WAITFORONE), 4)
            done += 1
            if flags & MSG_WAITFORONE:
                flags |= MSG_DONTWAIT
            if end is not None and k.timekeeper.now_ns >= end:
                break
    except KernelError as e:
        if not done:
            raise
        if e.errno != EAGAIN:
            # What was received counts; the next call reports this.
            sock.err = e.errno or EINVAL
    finally:
        fdput(file)
    if end is not None and done:
        copy_to_user(k, regs.r8, timespec(max(end - k.timekeeper.now_ns, 0)))
    return done


def _recvmsg(k: Kernel, file: File, addr: int, flags: int) -> int:
    """___sys_recvmsg(): into the message at `addr`."""
    sock = sock_from_file(file)
    msg = _MsgHdr(k, addr)
    segs = import_iovec(k, msg.iov, msg.iovlen)
    got = af_unix.unix_recvmsg(sock, sum(size for _, size in segs), flags, _nonblock(file, flags))
    control, truncated = _control(k, sock, got, msg.controllen if msg.control else 0, flags)
    done = 0
    for base, size in segs:
        part = got.data[done : done + size]
        if part and copy_to_user_partial(k, base, part) != len(part):
            raise KernelError(EFAULT)
        done += len(part)
    name = b"" if got.addr is None else b"\1\0" + got.addr
    if msg.name:
        copy_to_user(k, msg.name, name[: max(msg.namelen, 0)])
        put_user(k, addr + 8, len(name), 4)
    copy_to_user(k, msg.control, control)
    put_user(k, addr + 40, min(len(control), msg.controllen), 8)
    put_user(k, addr + 48, got.flags | truncated | flags & MSG_CMSG_CLOEXEC, 4)
    return got.full if flags & MSG_TRUNC else len(got.data)


# --- options


def setsockopt(k: Kernel, regs: PtRegs) -> int:
    """setsockopt(fd, level, optname, optval, optlen)."""
    sock = sock_from_file(fget(k, u32(regs.di)))
    level, name, length = s32(regs.si), s32(regs.dx), s32(regs.r8)
    if length < 0:
        raise KernelError(EINVAL)
    if level != SOL_SOCKET:
        raise KernelError(EOPNOTSUPP)
    if name in (SO_RCVTIMEO, SO_SNDTIMEO):
        if length < 16:
            raise KernelError(EINVAL)
        raw = copy_from_user(k, regs.r10, 16)
        sec, usec = (int.from_bytes(raw[i : i + 8], "little", signed=True) for i in (0, 8))
        timeo = None if sec == usec == 0 or sec < 0 else sec * 1_000_000_000 + usec * 1000
        if name == SO_RCVTIMEO:
            sock.rcvtimeo = timeo
        else:
            sock.sndtimeo = timeo
        return 0
    if length < 4:
        raise KernelError(EINVAL)
    value = s32(get_user(k, regs.r10, 4))
    if name in (SO_SNDBUF, SO_SNDBUFFORCE):
        sock.sndbuf = max(min(value, SK_BUF_DEFAULT) * 2, 4608)
    elif name in (SO_RCVBUF, SO_RCVBUFFORCE):
        sock.rcvbuf = max(min(value, SK_BUF_DEFAULT) * 2, 2304)
    elif name == SO_PASSCRED:
        sock.passcred = int(value != 0)
    elif name in _KEPT:
        sock.options[level, name] = value
    else:
        raise KernelError(ENOPROTOOPT)
    return 0


def getsockopt(k: Kernel, regs: PtRegs) -> int:
    """getsockopt(fd, level, optname, optval, optlen)."""
    sock = sock_from_file(fget(k, u32(regs.di)))
    level, name = s32(regs.si), s32(regs.dx)
    room = s32(get_user(k, regs.r8, 4))
    if level != SOL_SOCKET:
        raise KernelError(EOPNOTSUPP)
    if room < 0:
        raise KernelError(EINVAL)
    if name == SO_PEERCRED:
        cred = sock.peer_cred
        ids = (cred.pid, cred.uid, cred.gid) if cred is not None else (0, 0xFFFFFFFF, 0xFFFFFFFF)
        data = b"".join([value.to_bytes(4, "little") for value in ids])
    elif name in (SO_RCVTIMEO, SO_SNDTIMEO):
        ns = (sock.rcvtimeo if name == SO_RCVTIMEO else sock.sndtimeo) or 0
        data = (ns // 1_000_000_000).to_bytes(8, "little") + (ns % 1_000_000_000 // 1000).to_bytes(8, "little")
    else:
        data = (_option(sock, name) & 0xFFFFFFFF).to_bytes(4, "little")
    data = data[:room]
    copy_to_user(k, regs.r10, data)
    put_user(k, regs.r8, len(data), 4)
    return 0


def _option(sock: UnixSock, name: int) -> int:
    if name == SO_TYPE:
        return sock.type
    if name == SO_ERROR:
        return af_unix.sock_error(sock)
    if name == SO_SNDBUF:
        return sock.sndbuf
    if name == SO_RCVBUF:
        return sock.rcvbuf
    if name == SO_PASSCRED:
        return sock.passcred
    if name == SO_ACCEPTCONN:
        return int(sock.state == TCP_LISTEN)
    if name == SO_DOMAIN:
        return AF_UNIX
    if name == SO_PROTOCOL:
        return 0
    if name in _KEPT:
        return sock.options.get((SOL_SOCKET, name), 1 if name == 18 else 0)
    raise KernelError(ENOPROTOOPT)
