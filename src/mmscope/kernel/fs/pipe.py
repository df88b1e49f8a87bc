# SPDX-License-Identifier: GPL-2.0-or-later
"""Pipes (fs/pipe.c): a ring of pages. A write first fills up the last page, then takes new ones while the ring has slots.

tail -> [####    ]  [########]  [##      ] <- head      max_usage slots; 16 at first
         offset..offset + len
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.arch.x86.uaccess import put_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.file import alloc_fd, current_files, fd_install, fput, set_close_on_exec
from mmscope.kernel.fs.inode import file_accessed, file_update_time
from mmscope.kernel.include.capability import CAP_SYS_RESOURCE
from mmscope.kernel.include.errno import (
    EAGAIN,
    EBADF,
    EBUSY,
    EFAULT,
    EINVAL,
    ENOMEM,
    ENOTTY,
    ENXIO,
    EPERM,
    EPIPE,
    ERESTARTSYS,
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
    O_CLOEXEC,
    O_DIRECT,
    O_NONBLOCK,
    O_RDONLY,
    O_WRONLY,
    S_IFIFO,
    SB_KERNMOUNT,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.gfp import ___GFP_ACCOUNT, GFP_HIGHUSER
from mmscope.kernel.include.ioctls import FIONREAD
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.poll import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, PollTable, poll_wait
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead
from mmscope.kernel.lib.iov_iter import IovIter, copy_page_to_iter, iov_iter_kvec_dest
from mmscope.kernel.mm.page_alloc import alloc_page, put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = [
    "create_pipe_files", "do_pipe2", "fifo_fops", "get_pipe_info", "get_pipe_page", "pipe_buf_get", "pipe_buf_release",
    "pipe_fcntl", "pipe_full", "pipe_page_get", "pipefifo_fops",
]  # fmt: skip

PIPE_DEF_BUFFERS: Final = 16
#: fs.pipe-max-size: what a process without CAP_SYS_RESOURCE may ask for, bytes.
pipe_max_size: Final = 1048576
F_SETPIPE_SZ: Final = 1031
F_GETPIPE_SZ: Final = 1032
O_NOTIFICATION_PIPE: Final = 0o200


# Whose page a buffer refers to (buf->ops): the pipe's own, one of the page cache, a process's.
PIPE_ANON: Final = 0
PIPE_PAGE_CACHE: Final = 1
PIPE_USER_PAGE: Final = 2


class PipeBuffer:
    """struct pipe_buffer: `len` bytes at `offset` of a page, to which it holds a reference."""

    def __init__(self, page: Page, length: int, can_merge: bool, packet: bool, offset: int = 0, ops: int = PIPE_ANON) -> None:
        self.page = page
        self.offset = offset
        self.len = length
        #: PIPE_ANON...
        self.ops = ops
        #: PIPE_BUF_FLAG_GIFT: vmsplice(SPLICE_F_GIFT).
        self.gift = False
        #: PIPE_BUF_FLAG_CAN_MERGE: the next write may go on here; PIPE_BUF_FLAG_PACKET: a read ends here.
        self.can_merge = can_merge
        self.packet = packet


class PipeInodeInfo:
    """struct pipe_inode_info."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.bufs: list[PipeBuffer] = []
        #: Slots.
        self.max_usage = PIPE_DEF_BUFFERS
        self.readers = 0
        self.writers = 0
        #: How many files are open on it; how often each end of a named one was opened.
        self.files = 0
        self.r_counter = 0
        self.w_counter = 0
        self.rd_wait = WaitQueueHead()
        self.wr_wait = WaitQueueHead()
        #: Somebody has polled it: since v5.14 each write then wakes, for the sake of edge-triggered epoll.
        self.poll_usage = False
        #: A page kept for the next write.
        self.tmp_page: Page | None = None


def get_pipe_info(file: File) -> PipeInodeInfo | None:
    """The pipe behind `file`, if it is one of ours."""
    pipe = file.private_data
    return pipe if isinstance(pipe, PipeInodeInfo) else None


def pipe_of(file: File) -> PipeInodeInfo:
    """The same where it must be one."""
    pipe = file.private_data
    assert isinstance(pipe, PipeInodeInfo)
    return pipe


def get_pipe_page(pipe: PipeInodeInfo) -> Page:
    """A page for new data; the one kept first. Raises ENOMEM."""
    page = pipe.tmp_page
    if page is not None:
        pipe.tmp_page = None
        return page
    k = pipe.kernel
    new = alloc_page(k, GFP_HIGHUSER | ___GFP_ACCOUNT)
    if new is None:
        raise KernelError(ENOMEM)
    k.pipe_pages[new.pfn] = 1
    return new


def pipe_page_get(pipe: PipeInodeInfo, page: Page) -> None:
    """One more buffer refers to the page."""
    page._refcount += 1
    pages = pipe.kernel.pipe_pages
    pages[page.pfn] = pages.get(page.pfn, 0) + 1


def pipe_buf_get(pipe: PipeInodeInfo, buf: PipeBuffer) -> None:
    """The same for the page of a buffer that is to be shared (tee)."""
    pipe_page_get(pipe, buf.page)


def free_pipe_page(pipe: PipeInodeInfo, page: Page) -> None:
    """A buffer less."""
    pages = pipe.kernel.pipe_pages
    pages[page.pfn] -= 1
    if not pages[page.pfn]:
        del pages[page.pfn]
    put_page(page)


def pipe_buf_release(pipe: PipeInodeInfo, buf: PipeBuffer) -> None:
    """It is empty. One page of the pipe's own that nobody else has is kept (anon_pipe_buf_release)."""
    if buf.ops == PIPE_ANON and pipe.tmp_page is None and buf.page._refcount == 1:
        pipe.tmp_page = buf.page
    else:
        free_pipe_page(pipe, buf.page)


def pipe_full(pipe: PipeInodeInfo) -> bool:
    """No slot is free."""
    return len(pipe.bufs) >= pipe.max_usage


def pipe_read(file: File, count: int, pos: int) -> bytes:
    """pipe_read_iter() for the kernel itself."""
    to = iov_iter_kvec_dest(pipe_of(file).kernel, count)
    pipe_read_iter(file, to, pos)
    return b"".join(to.out)


def pipe_read_iter(file: File, to: IovIter, pos: int) -> int:
    """What is there, as far as `to` has room; waits while there is nothing and somebody can write. 0 at the end.

    A buffer that could not be copied stays in the pipe: EFAULT if it was the first.
    """
    pipe = pipe_of(file)
    k = pipe.kernel
    if to.count == 0:
        return 0
    was_full = pipe_full(pipe)
    wake_next_reader = False
    done = 0
    fault = False
    while True:
        while pipe.bufs and to.count and not fault:
            buf = pipe.bufs[0]
            chars = min(buf.len, to.count)
            if copy_page_to_iter(buf.page, buf.offset, chars, to) < chars:
                fault = True
                break
            done += chars
            buf.offset += chars
            buf.len -= chars
            last = buf.packet
            if last:
                # The rest of a packet is lost.
                buf.len = 0
            if not buf.len:
                pipe.bufs.pop(0)
                pipe_buf_release(pipe, buf)
            if last:
                break
        if done or fault or not pipe.writers:
            break
        if file.f_flags & O_NONBLOCK:
            raise KernelError(EAGAIN)
        if was_full:
            core_wait.wake_up_interruptible(pipe.wr_wait, POLLOUT | POLLWRNORM)
        if not pipe_wait(k, pipe, pipe.rd_wait, True):
            raise KernelError(ERESTARTSYS)
        was_full = pipe_full(pipe)
        wake_next_reader = True
    if was_full:
        core_wait.wake_up_interruptible(pipe.wr_wait, POLLOUT | POLLWRNORM)
    if wake_next_reader and pipe.bufs:
        # We were woken alone: another reader may go on with the rest.
        core_wait.wake_up_interruptible(pipe.rd_wait, POLLIN | POLLRDNORM)
    if fault and not done:
        raise KernelError(EFAULT)
    if done:
        file_accessed(file)
    return done


def pipe_readable(pipe: PipeInodeInfo) -> bool:
    """A read need not wait."""
    return bool(pipe.bufs) or not pipe.writers


def pipe_writable(pipe: PipeInodeInfo) -> bool:
    """A write need not wait."""
    return not pipe_full(pipe) or not pipe.readers


def pipe_wait(k: Kernel, pipe: PipeInodeInfo, queue: WaitQueueHead, reading: bool) -> bool:
    """wait_event_interruptible_exclusive(); False: a signal."""
    current = k.current
    wait = WaitQueueEntry(current)
    current.wchan = "a read from a pipe" if reading else "a write to a pipe"
    done = True
    while True:
        core_wait.prepare_to_wait_exclusive(queue, wait, TASK_INTERRUPTIBLE)
        if pipe_readable(pipe) if reading else pipe_writable(pipe):
            break
        if core_signal.signal_pending(current):
            done = False
            break
        core_sched.schedule(k)
    core_wait.finish_wait(queue, wait)
    current.wchan = ""
    return done


def pipe_write(file: File, data: bytes, pos: int) -> int:
    """All of `data`, waiting for room; up to PIPE_BUF (a page) in one piece. EPIPE without readers, with a SIGPIPE.

    What got in before an error or a signal counts.
    """
    pipe = pipe_of(file)
    k = pipe.kernel
    total = len(data)
    if total == 0:
        return 0
    if not pipe.readers:
        if not file.f_flags & IOCB_NOSIGNAL:
            core_signal.send_sig(k, SIGPIPE, k.current, 0)
        raise KernelError(EPIPE)
    done = 0
    was_empty = not pipe.bufs
    wake_next_writer = False
    chars = total & (PAGE_SIZE - 1)
    if chars and not was_empty:
        buf = pipe.bufs[-1]
        offset = buf.offset + buf.len
        if buf.can_merge and offset + chars <= PAGE_SIZE:
            phys_write(k, (buf.page.pfn << 12) + offset, data[:chars])
            buf.len += chars
            done = chars
    packet = file.f_flags & O_DIRECT != 0
    error = 0
    while done < total:
        if not pipe.readers:
            error = EPIPE
            break
        if not pipe_full(pipe):
            try:
                page = get_pipe_page(pipe)
            except KernelError:
                error = ENOMEM
                break
            part = data[done : done + PAGE_SIZE]
            phys_write(k, page.pfn << 12, part)
            pipe.bufs.append(PipeBuffer(page, len(part), not packet, packet))
            done += len(part)
            continue
        if file.f_flags & O_NONBLOCK:
            error = EAGAIN
            break
        if core_signal.signal_pending(k.current):
            error = ERESTARTSYS
            break
        if was_empty:
            core_wait.wake_up_interruptible(pipe.rd_wait, POLLIN | POLLRDNORM)
        pipe_wait(k, pipe, pipe.wr_wait, False)
        was_empty = not pipe.bufs
        wake_next_writer = True
    if was_empty or (pipe.poll_usage and k.config.at_least(5, 14)):
        core_wait.wake_up_interruptible(pipe.rd_wait, POLLIN | POLLRDNORM)
    if wake_next_writer and not pipe_full(pipe):
        # Another writer may go on.
        core_wait.wake_up_interruptible(pipe.wr_wait, POLLOUT | POLLWRNORM)
    if error == EPIPE and not file.f_flags & IOCB_NOSIGNAL:
        core_signal.send_sig(k, SIGPIPE, k.current, 0)
    if error and not done:
        raise KernelError(error)
    if done:
        file_update_time(file)
    return done


def pipe_poll(file: File, pt: PollTable | None) -> int:
    """Ready for what."""
    pipe = pipe_of(file)
    pipe.poll_usage = True
    mask = 0
    if file.f_mode & FMODE_READ:
        poll_wait(file, pipe.rd_wait, pt)
        if pipe.bufs:
            mask |= POLLIN | POLLRDNORM
        if not pipe.writers:
            mask |= POLLHUP
    if file.f_mode & FMODE_WRITE:
        poll_wait(file, pipe.wr_wait, pt)
        if not pipe_full(pipe):
            mask |= POLLOUT | POLLWRNORM
        if not pipe.readers:
            mask |= POLLERR
    return mask


def pipe_ioctl(file: File, cmd: int, arg: int) -> int:
    """FIONREAD: the bytes that wait to be read."""
    pipe = pipe_of(file)
    if cmd == FIONREAD:
        put_user(pipe.kernel, arg, sum(buf.len for buf in pipe.bufs), 4)
        return 0
    raise KernelError(ENOTTY)


def pipe_open(inode: Inode, file: File) -> None:
    """Opened again by /proc/PID/fd/N: one more reader or writer of the same pipe."""
    pipe = inode.i_private
    assert isinstance(pipe, PipeInodeInfo)
    file.private_data = pipe
    file.f_mode |= FMODE_STREAM
    pipe.files += 1
    if file.f_mode & FMODE_READ:
        pipe.readers += 1
    if file.f_mode & FMODE_WRITE:
        pipe.writers += 1


def pipe_release(inode: Inode, file: File) -> None:
    """One end is closed: whoever waits at the other shall see it. With the last file the pages go."""
    pipe = pipe_of(file)
    if file.f_mode & FMODE_READ:
        pipe.readers -= 1
    if file.f_mode & FMODE_WRITE:
        pipe.writers -= 1
    if bool(pipe.readers) != bool(pipe.writers):
        core_wait.wake_up_all(pipe.rd_wait, POLLIN | POLLRDNORM | POLLERR | POLLHUP)
        core_wait.wake_up_all(pipe.wr_wait, POLLOUT | POLLWRNORM | POLLERR | POLLHUP)
    pipe.files -= 1
    if not pipe.files:
        for buf in pipe.bufs:
            free_pipe_page(pipe, buf.page)
        pipe.bufs.clear()
        if pipe.tmp_page is not None:
            free_pipe_page(pipe, pipe.tmp_page)
            pipe.tmp_page = None


pipefifo_fops: Final = FileOperations(
    "pipefifo_fops",
    read=pipe_read,
    read_iter=pipe_read_iter,
    write=pipe_write,
    poll=pipe_poll,
    unlocked_ioctl=pipe_ioctl,
    open=pipe_open,
    release=pipe_release,
)


def wait_for_partner(k: Kernel, pipe: PipeInodeInfo, reading: bool) -> None:
    """open(2) of a named pipe waits until the other end has been opened since, if only for a moment. ERESTARTSYS."""
    current = k.current
    seen = pipe.w_counter if reading else pipe.r_counter
    wait = WaitQueueEntry(current)
    current.wchan = "open of a named pipe"
    interrupted = False
    while seen == (pipe.w_counter if reading else pipe.r_counter):
        core_wait.prepare_to_wait(pipe.rd_wait, wait, TASK_INTERRUPTIBLE)
        if core_signal.signal_pending(current):
            interrupted = True
            break
        core_sched.schedule(k)
    core_wait.finish_wait(pipe.rd_wait, wait)
    current.wchan = ""
    if interrupted:
        raise KernelError(ERESTARTSYS)


def fifo_open(inode: Inode, file: File) -> None:
    """A named pipe: its pipe lives as long as it is open. ENXIO: O_NONBLOCK for writing, and nobody reads."""
    k = inode.i_sb.kernel
    pipe = k.fifo_pipes.get(inode)
    mode = file.f_mode & (FMODE_READ | FMODE_WRITE)
    nonblock = file.f_flags & O_NONBLOCK != 0
    if mode == FMODE_WRITE and nonblock and (pipe is None or not pipe.readers):
        raise KernelError(ENXIO)
    if pipe is None:
        pipe = k.fifo_pipes[inode] = PipeInodeInfo(k)
    file.private_data = pipe
    file.f_mode = file.f_mode & ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE) | FMODE_STREAM
    pipe.files += 1
    if mode & FMODE_READ:
        pipe.readers += 1
        pipe.r_counter += 1
    if mode & FMODE_WRITE:
        pipe.writers += 1
        pipe.w_counter += 1
    core_wait.wake_up_all(pipe.rd_wait)
    core_wait.wake_up_all(pipe.wr_wait)
    try:
        if mode == FMODE_READ and not pipe.writers and not nonblock:
            wait_for_partner(k, pipe, True)
        elif mode == FMODE_WRITE and not pipe.readers:
            wait_for_partner(k, pipe, False)
    except KernelError:
        fifo_release(inode, file)
        raise


def fifo_release(inode: Inode, file: File) -> None:
    """One end is closed; with the last one what is left in it is lost."""
    pipe_release(inode, file)
    if not pipe_of(file).files:
        del inode.i_sb.kernel.fifo_pipes[inode]


#: A named pipe, once it is open.
fifo_fops: Final = FileOperations(
    "pipefifo_fops",
    read=pipe_read,
    read_iter=pipe_read_iter,
    write=pipe_write,
    poll=pipe_poll,
    unlocked_ioctl=pipe_ioctl,
    open=fifo_open,
    release=fifo_release,
)


def pipefs(k: Kernel) -> SuperBlock:
    """pipefs, made at the first pipe."""
    if k.pipe_mnt is None:
        k.pipe_mnt = SuperBlock(k, "pipefs", k.vfs.get_anon_bdev(), SB_KERNMOUNT)
        k.pipe_mnt.s_mnt_id = len(k.vfs.mounts) + 1
    return k.pipe_mnt


def get_next_ino(k: Kernel) -> int:
    """Inode numbers of file systems that have none of their own."""
    k.last_ino += 1
    return k.last_ino


def create_pipe_files(k: Kernel, flags: int) -> tuple[File, File]:
    """Both ends of a new pipe: (reading, writing)."""
    inode = Inode(pipefs(k), get_next_ino(k), S_IFIFO | 0o600)
    cred = k.current.cred
    inode.i_uid, inode.i_gid = cred.fsuid, cred.fsgid
    inode.i_atime = inode.i_mtime = inode.i_ctime = k.timekeeper.ktime_get_real_ns()
    pipe = PipeInodeInfo(k)
    pipe.files = 2
    pipe.readers = pipe.writers = 1
    inode.i_private = pipe
    inode.i_fop = pipefifo_fops
    dentry = Dentry(inode.i_sb, f"pipe:[{inode.i_ino}]", None, inode)
    reading = File(dentry, inode, O_RDONLY | flags & O_NONBLOCK, FMODE_READ | FMODE_STREAM, pipefifo_fops)
    writing = File(dentry, inode, O_WRONLY | flags & (O_NONBLOCK | O_DIRECT), FMODE_WRITE | FMODE_STREAM, pipefifo_fops)
    reading.private_data = writing.private_data = pipe
    return reading, writing


def do_pipe2(k: Kernel, flags: int) -> tuple[int, int]:
    """pipe2(2): the two descriptors, reading end first. EINVAL flags, EMFILE."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_NOTIFICATION_PIPE):
        raise KernelError(EINVAL)
    if flags & O_NOTIFICATION_PIPE:
        k.warn_once("pipe2: O_NOTIFICATION_PIPE is not implemented: EINVAL")
        raise KernelError(EINVAL)
    reading, writing = create_pipe_files(k, flags)
    return install_pair(k, reading, writing, flags)


def install_pair(k: Kernel, first: File, second: File, flags: int) -> tuple[int, int]:
    """Two descriptors for two new files, or none (EMFILE) and the files closed."""
    try:
        fd0 = alloc_fd(k, 0)
        fd_install(k, fd0, first)
        try:
            fd1 = alloc_fd(k, 0)
        except KernelError:
            del current_files(k).fd[fd0]
            raise
    except KernelError:
        fput(first)
        fput(second)
        raise
    fd_install(k, fd1, second)
    set_close_on_exec(k, fd0, bool(flags & O_CLOEXEC))
    set_close_on_exec(k, fd1, bool(flags & O_CLOEXEC))
    return fd0, fd1


def round_pipe_size(size: int) -> int:
    """The next power of two, at least a page; 0: too large."""
    if size > 1 << 31:
        return 0
    if size < PAGE_SIZE:
        return PAGE_SIZE
    return 1 << (size - 1).bit_length()


def pipe_fcntl(k: Kernel, file: File, cmd: int, arg: int) -> int:
    """F_GETPIPE_SZ, F_SETPIPE_SZ: bytes. EPERM beyond pipe_max_size, EBUSY if more is in use."""
    pipe = get_pipe_info(file)
    if pipe is None:
        raise KernelError(EBADF)
    if cmd == F_GETPIPE_SZ:
        return pipe.max_usage * PAGE_SIZE
    size = round_pipe_size(arg & 0xFFFFFFFF)
    nr_slots = size // PAGE_SIZE
    if not nr_slots:
        raise KernelError(EINVAL)
    if nr_slots > pipe.max_usage and size > pipe_max_size and not capable(k, CAP_SYS_RESOURCE):
        raise KernelError(EPERM)
    if nr_slots < len(pipe.bufs):
        raise KernelError(EBUSY)
    pipe.max_usage = nr_slots
    if nr_slots > len(pipe.bufs):
        core_wait.wake_up_interruptible(pipe.wr_wait)
    return pipe.max_usage * PAGE_SIZE
