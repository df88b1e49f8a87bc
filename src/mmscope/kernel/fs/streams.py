# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors 0, 1 and 2: files over descriptors of the host, whatever they are there (file, pipe, terminal).

Reads and writes go straight through, so that a shared offset or a reader's end of file is what it is natively.
"""

from __future__ import annotations

import os

import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.fs.hostfs as hostfs
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, get_user, put_user
from mmscope.kernel.fs.ext4.inode import Ext4InodeInfo
from mmscope.kernel.fs.hostwait import host_poll, wait_for_host
from mmscope.kernel.include.errno import (
    EACCES,
    EAGAIN,
    EEXIST,
    EINVAL,
    EIO,
    ENOTTY,
    EPERM,
    EPIPE,
    ERESTARTSYS,
    ESRCH,
    KernelError,
)
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_STREAM,
    FMODE_WRITE,
    IOCB_NOSIGNAL,
    O_ACCMODE,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_LARGEFILE,
    O_NONBLOCK,
    O_RDWR,
    O_TRUNC,
    S_IFCHR,
    S_IFMT,
    S_IFREG,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.ioctls import FIONREAD, TCGETS, TCSETS, TCSETSF, TIOCGPGRP, TIOCGSID, TIOCGWINSZ, TIOCSPGRP
from mmscope.kernel.include.poll import POLLERR, POLLHUP, POLLIN, POLLOUT, PollTable
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area
from mmscope.kernel.mm.shmem import ShmemInodeInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct

#: IN, PRI, OUT, RDNORM, RDBAND, WRNORM, WRBAND and RDHUP.
POLL_ALL: Final = 0x23C7


class HostStream:
    """private_data of a stream's file, i_private of its inode: the host descriptor."""

    def __init__(self, kernel: Kernel, fd: int) -> None:
        self.kernel = kernel
        self.fd = fd


def host_error(error: OSError) -> KernelError:
    """The host's errno is the guest's."""
    return KernelError(error.errno or EIO)


def stream_of(file: File) -> HostStream:
    """The host descriptor behind a stream's file."""
    stream = file.private_data
    assert isinstance(stream, HostStream)
    return stream


def stream_wait(file: File, events: int) -> None:
    """Wait until the host's descriptor is ready. EAGAIN if it must not be waited for, ERESTARTSYS for a signal."""
    if file.f_op.poll is None:
        return
    stream = stream_of(file)
    wanted = [(stream.fd, events | POLLERR | POLLHUP)]
    if file.f_flags & O_NONBLOCK:
        if not host_poll(stream.kernel, wanted, 0):
            raise KernelError(EAGAIN)
    elif not host_poll(stream.kernel, wanted, 0) and not wait_for_host(stream.kernel, wanted):
        raise KernelError(ERESTARTSYS)


def stream_read(file: File, count: int, pos: int) -> bytes:
    """One read of the host; pos -1 = at its own offset."""
    fd = stream_of(file).fd
    if count > 1 << 20:
        # Python allocates the buffer at once; no pipe and no terminal holds more than this.
        count = max(1 << 20, min(count, os.fstat(fd).st_size))
    stream_wait(file, POLLIN)
    try:
        return os.pread(fd, count, pos) if pos >= 0 else os.read(fd, count)
    except OSError as error:
        raise host_error(error) from None


def stream_write(file: File, data: bytes, pos: int) -> int:
    """All of `data`, as a blocking write does it; what got out before an error or a signal counts."""
    stream = stream_of(file)
    fd = stream.fd
    done = 0
    while done < len(data):
        try:
            stream_wait(file, POLLOUT)
            if pos >= 0:
                done += os.pwrite(fd, data[done:], pos + done)
            else:
                done += os.write(fd, data[done:] if done else data)
        except OSError as error:
            if error.errno == EPIPE and not file.f_flags & IOCB_NOSIGNAL:
                core_signal.send_sig(stream.kernel, SIGPIPE, stream.kernel.current, 0)
            if not done:
                raise host_error(error) from None
            break
    return done


def stream_poll(file: File, pt: PollTable | None) -> int:
    """What the host's descriptor is ready for now."""
    stream = stream_of(file)
    if pt is not None:
        pt.hosts.append((stream.fd, pt.key & 0xFFFF))
    ready = host_poll(stream.kernel, [(stream.fd, POLL_ALL)], 0)
    return ready[0][1] if ready else 0


def stream_llseek(file: File, offset: int, whence: int) -> int:
    """The host's offset, which the guest's caller shares."""
    try:
        return os.lseek(stream_of(file).fd, offset, whence)
    except OSError as error:
        raise host_error(error) from None


def stream_mmap(file: File, vma: VmAreaStruct) -> None:
    """A regular file on a stream maps as the file it is."""
    fops = file.f_inode.i_fop
    assert fops.mmap is not None
    fops.mmap(file, vma)


def stream_getattr(file: File) -> None:
    """Refresh the inode from the host: an output file grows. What the guest has changed by the file's path stays as it is."""
    stream = file.private_data
    inode = file.f_inode
    info = inode.i_private
    if isinstance(stream, HostStream) and inode.i_size == host_size(inode):
        try:
            hostfs.set_stat(inode, os.fstat(stream.fd))
        except OSError as error:
            raise host_error(error) from None
        if isinstance(info, (Ext4InodeInfo, ShmemInodeInfo)):
            info.host_size = inode.i_size
        if isinstance(info, Ext4InodeInfo):
            info.i_disksize = info.host_eof = inode.i_size


def host_size(inode: Inode) -> int:
    """The size that the host last said, if the guest has not changed the file since."""
    info = inode.i_private
    return info.host_size if isinstance(info, (Ext4InodeInfo, ShmemInodeInfo)) else inode.i_size


def stream_truncate(file: File, length: int) -> None:
    """ftruncate(2) of a file that the caller handed over for writing: of that very file."""
    try:
        os.ftruncate(stream_of(file).fd, length)
    except OSError as error:
        raise host_error(error) from None
    stream_getattr(file)


def tty_get_termios(fd: int) -> bytes:
    """struct termios of the kernel (36 bytes: four flag words, c_line, 19 control characters)."""
    import termios

    iflag, oflag, cflag, lflag, _, _, chars = termios.tcgetattr(fd)
    out = b""
    for word in (iflag, oflag, cflag, lflag):
        out += int(word).to_bytes(4, "little")
    out += b"\0"
    for c in chars[:19]:
        out += c if isinstance(c, bytes) else bytes([int(c)])
    return out.ljust(36, b"\0")


def tty_set_termios(fd: int, data: bytes, when: int) -> None:
    """TCSETS, TCSETSW, TCSETSF: the flags and characters of `data`, the speeds as they are."""
    import termios

    attributes = termios.tcgetattr(fd)
    for i in range(4):
        attributes[i] = int.from_bytes(data[4 * i : 4 * i + 4], "little")
    chars = list(attributes[6])
    for i in range(min(19, len(chars))):
        chars[i] = data[17 + i : 18 + i]
    attributes[6] = chars
    termios.tcsetattr(fd, when, attributes)


def stream_ioctl(file: File, cmd: int, arg: int) -> int:
    """A terminal's commands if the host's descriptor is one; ENOTTY else."""
    stream = stream_of(file)
    k = stream.kernel
    if cmd == FIONREAD:
        import fcntl

        try:
            put_user(k, arg, int.from_bytes(fcntl.ioctl(stream.fd, FIONREAD, b"\0" * 4), "little"), 4)
        except OSError as error:
            raise host_error(error) from None
        return 0
    if not os.isatty(stream.fd):
        raise KernelError(ENOTTY)
    if cmd == TCGETS:
        copy_to_user(k, arg, tty_get_termios(stream.fd))
        return 0
    if TCSETS <= cmd <= TCSETSF:
        tty_set_termios(stream.fd, copy_from_user(k, arg, 36), cmd - TCSETS)
        return 0
    if cmd == TIOCGWINSZ:
        import fcntl

        copy_to_user(k, arg, fcntl.ioctl(stream.fd, TIOCGWINSZ, b"\0" * 8))
        return 0
    if cmd == TIOCGPGRP:
        put_user(k, arg, k.tty_pgrp, 4)
        return 0
    if cmd == TIOCGSID:
        put_user(k, arg, k.current.signal.session, 4)
        return 0
    if cmd == TIOCSPGRP:
        return tiocspgrp(k, get_user(k, arg, 4))
    raise KernelError(ENOTTY)


def tiocspgrp(k: Kernel, pgrp: int) -> int:
    """Another group of this session becomes the foreground: it gets the terminal's signals."""
    if pgrp >> 31:
        raise KernelError(EINVAL)
    members = [p for p in core_signal.processes(k) if p.signal.pgrp == pgrp]
    if not members:
        raise KernelError(ESRCH)
    if members[0].signal.session != k.current.signal.session:
        raise KernelError(EPERM)
    k.tty_pgrp = pgrp
    return 0


def stream_open(inode: Inode, file: File) -> None:
    """Opened again by /proc/self/fd/N or /dev/tty: the same host descriptor."""
    file.private_data = inode.i_private
    file.f_mode |= FMODE_STREAM
    stream = inode.i_private
    assert isinstance(stream, HostStream)
    if not is_seekable(stream.fd):
        file.f_mode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE)


def is_seekable(fd: int) -> bool:
    """The host's descriptor has a position."""
    try:
        os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return False
    return True


def stream_release(inode: Inode, file: File) -> None:
    """The last reference to a reopened stream: its descriptor is ours."""
    os.close(stream_of(file).fd)


#: A pipe, a terminal, a socket: whatever has no path that the guest could open.
stream_fops: Final = FileOperations(
    "host_stream_fops",
    llseek=stream_llseek,
    read=stream_read,
    write=stream_write,
    unlocked_ioctl=stream_ioctl,
    open=stream_open,
    poll=stream_poll,
)
#: A regular file of the host.
stream_file_fops: Final = FileOperations(
    "host_stream_file_fops",
    llseek=stream_llseek,
    read=stream_read,
    write=stream_write,
    mmap=stream_mmap,
    get_unmapped_area=thp_get_unmapped_area,
)
#: One that the guest opened anew.
stream_reopened_fops: Final = FileOperations(
    "host_stream_file_fops",
    llseek=stream_llseek,
    read=stream_read,
    write=stream_write,
    mmap=stream_mmap,
    get_unmapped_area=thp_get_unmapped_area,
    release=stream_release,
)


def open_stream(k: Kernel, fd: int) -> File:
    """A file over the host's descriptor `fd`. Raises OSError when it is closed there."""
    st = os.fstat(fd)
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        name = f"/dev/fd/{fd}"
    stream = HostStream(k, fd)
    host = k.vfs.host
    if st.st_mode & S_IFMT == S_IFREG and host is not None:
        # The same inode as by its path, if it lies in the root: one page cache.
        inode = host.iget(None, b"", st)
        data = inode.i_host
        assert isinstance(data, hostfs.HostInode)
        if data.parent is None and inode not in host.file_fds and inode is not host.root_inode:
            data.stream_fd = fd
        fops = stream_file_fops
    else:
        sb = SuperBlock(k, "pipefs", os.major(st.st_dev) << 20 | os.minor(st.st_dev))
        inode = Inode(sb, st.st_ino, st.st_mode)
        hostfs.set_stat(inode, st)
        inode.i_private = stream
        inode.i_fop = stream_fops
        fops = stream_fops
    flags = host_flags(fd)
    f_mode = ((flags + 1) & O_ACCMODE) & (FMODE_READ | FMODE_WRITE) | FMODE_STREAM
    if is_seekable(fd):
        f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    dentry = Dentry(inode.i_sb, name, None, inode)
    if fops is stream_file_fops:
        dentry.d_fsdata = stream
    file = File(dentry, inode, flags, f_mode, fops)
    file.private_data = stream
    return file


def open_descriptors(fds: tuple[int, int, int]) -> tuple[int, int, int]:
    """The host's descriptors, -1 for those that are closed."""
    found = []
    for fd in fds:
        try:
            if fd >= 0:
                os.fstat(fd)
            found.append(fd)
        except OSError:
            found.append(-1)
    return found[0], found[1], found[2]


def reopen_stream(dentry: Dentry, open_flag: int) -> File:
    """open("/dev/stdout") and its like on a regular file that the caller handed over: a new description of that very file.

    No more access than the caller's descriptor has (EACCES).
    """
    stream = dentry.d_fsdata
    assert isinstance(stream, HostStream)
    accmode = open_flag & O_ACCMODE
    handed_over = host_flags(stream.fd) & O_ACCMODE
    if handed_over != O_RDWR and accmode != handed_over:
        raise KernelError(EACCES)
    if open_flag & O_CREAT and open_flag & O_EXCL:
        raise KernelError(EEXIST)
    try:
        fd = os.open(f"/proc/self/fd/{stream.fd}", open_flag & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_TRUNC))
    except OSError as error:
        raise host_error(error) from None
    inode = dentry.d_inode
    assert inode is not None
    f_mode = (accmode + 1) & (FMODE_READ | FMODE_WRITE) | FMODE_STREAM | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    file = File(dentry, inode, open_flag & (O_ACCMODE | O_APPEND | O_NONBLOCK) | O_LARGEFILE, f_mode, stream_reopened_fops)
    file.private_data = HostStream(stream.kernel, fd)
    return file


def host_flags(fd: int) -> int:
    """The flags of the host's descriptor that matter here."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK) | O_LARGEFILE


def open_streams(k: Kernel, fds: tuple[int, int, int]) -> dict[int, File]:
    """The descriptor table of the first task: 0, 1, 2 over the host's descriptors; -1 or a closed one stays closed."""
    table: dict[int, File] = {}
    for number, fd in enumerate(fds):
        if fd < 0:
            continue
        try:
            table[number] = open_stream(k, fd)
        except OSError:
            continue
    return table


def tty_of(k: Kernel) -> HostStream | None:
    """The terminal among the task's descriptors 0, 1 and 2: its controlling terminal."""
    files = k.current.files
    if files is None:
        return None
    for fd in (0, 1, 2):
        file = files.fd.get(fd)
        if file is not None and isinstance(file.private_data, HostStream):
            if file.f_inode.i_mode & S_IFMT == S_IFCHR and os.isatty(file.private_data.fd):
                return file.private_data
    return None
