# SPDX-License-Identifier: GPL-2.0-or-later
"""splice(2), tee(2), vmsplice(2) (fs/splice.c): a pipe's buffers refer to pages that others have too.

file -> pipe    the pages of the page cache are in the pipe: what is written to the file meanwhile is read from it
pipe -> file    copied
pipe -> pipe    the buffers are moved (splice) or shared (tee)
memory -> pipe  the process's own pages are in the pipe: what it writes meanwhile is read from it, unless it is copied
on write (vmsplice)
pipe -> memory  copied
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.arch.x86.cpu import phys_read, phys_write
from mmscope.kernel.arch.x86.uaccess import get_user, put_user
from mmscope.kernel.fs.file import fdget, fdput, fget
from mmscope.kernel.fs.pipe import (
    PIPE_ANON,
    PIPE_PAGE_CACHE,
    PIPE_USER_PAGE,
    PipeBuffer,
    PipeInodeInfo,
    free_pipe_page,
    get_pipe_info,
    get_pipe_page,
    pipe_buf_get,
    pipe_buf_release,
    pipe_full,
    pipe_page_get,
)
from mmscope.kernel.fs.read_write import can_write, file_pos, import_iovec, kernel_write, rw_verify_area, set_file_pos, signed64
from mmscope.kernel.include.errno import EAGAIN, EBADF, EFAULT, EINVAL, EPIPE, ERESTARTSYS, ESPIPE, KernelError
from mmscope.kernel.include.fs import (
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_STREAM,
    FMODE_WRITE,
    MAX_RW_COUNT,
    O_APPEND,
    O_DIRECT,
    O_NONBLOCK,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    File,
)
from mmscope.kernel.include.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.include.wait import WaitQueueEntry
from mmscope.kernel.lib.iov_iter import IovIter, copy_page_to_iter, iov_iter_bvec, iov_iter_ubuf
from mmscope.kernel.mm.gup import get_user_pages_fast
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = [
    "do_splice_direct",
    "do_splice_to",
    "ksys_splice",
    "ksys_tee",
    "ksys_vmsplice",
    "sendfile_to_pipe",
    "splice_file_to_pipe",
]

SPLICE_F_NONBLOCK: Final = 2
SPLICE_F_GIFT: Final = 8
#: SPLICE_F_MOVE, NONBLOCK, MORE, GIFT.
SPLICE_F_ALL: Final = 15
PAGE_SIZE: Final = 4096


def wakeup_pipe_readers(pipe: PipeInodeInfo) -> None:
    """Something came in."""
    core_wait.wake_up_interruptible(pipe.rd_wait, POLLIN | POLLRDNORM)


def wakeup_pipe_writers(pipe: PipeInodeInfo) -> None:
    """There is room."""
    core_wait.wake_up_interruptible(pipe.wr_wait, POLLOUT | POLLWRNORM)


def pipe_sleep(pipe: PipeInodeInfo, reading: bool) -> None:
    """pipe_wait_readable(), pipe_wait_writable(): until something changes, or a signal comes. The caller looks again."""
    k = pipe.kernel
    current = k.current
    wait = WaitQueueEntry(current)
    queue = pipe.rd_wait if reading else pipe.wr_wait
    current.wchan = "splice"
    core_wait.prepare_to_wait(queue, wait, TASK_INTERRUPTIBLE)
    if not core_signal.signal_pending(current):
        core_sched.schedule(k)
    core_wait.finish_wait(queue, wait)
    current.wchan = ""


def wait_for_space(pipe: PipeInodeInfo, flags: int) -> None:
    """A free slot. EPIPE with a SIGPIPE, EAGAIN, ERESTARTSYS."""
    k = pipe.kernel
    while True:
        if not pipe.readers:
            core_signal.send_sig(k, SIGPIPE, k.current, 0)
            raise KernelError(EPIPE)
        if not pipe_full(pipe):
            return
        if flags & SPLICE_F_NONBLOCK:
            raise KernelError(EAGAIN)
        if core_signal.signal_pending(k.current):
            raise KernelError(ERESTARTSYS)
        pipe_sleep(pipe, False)


def wait_for_data(pipe: PipeInodeInfo, flags: int) -> bool:
    """splice_from_pipe_next(), ipipe_prep(): something to take; False: there will never be. EAGAIN, ERESTARTSYS."""
    k = pipe.kernel
    while not pipe.bufs:
        if not pipe.writers:
            return False
        if flags & SPLICE_F_NONBLOCK:
            raise KernelError(EAGAIN)
        if core_signal.signal_pending(k.current):
            raise KernelError(ERESTARTSYS)
        pipe_sleep(pipe, True)
    return True


# --- into a pipe


class PipeSink:
    """An ITER_PIPE: links the pages that a file's ->read_iter comes by into a pipe."""

    def __init__(self, pipe: PipeInodeInfo) -> None:
        self.pipe = pipe
        self.started = False

    def add(self, page: Page, offset: int, n: int) -> int:
        """copy_page_to_iter_pipe(): bytes that are in the pipe now. What continues the last buffer becomes part of it."""
        pipe = self.pipe
        if self.started and pipe.bufs:
            last = pipe.bufs[-1]
            if last.page is page and last.offset + last.len == offset:
                last.len += n
                return n
        if pipe_full(pipe):
            return 0
        self.started = True
        pipe_page_get(pipe, page)
        pipe.bufs.append(PipeBuffer(page, n, False, False, offset, PIPE_PAGE_CACHE))
        return n


def generic_file_splice_read(file: File, pos: int, pipe: PipeInodeInfo, count: int) -> int:
    """By ->read_iter (since v6.5 filemap_splice_read): bytes linked; 0 at the end of the file."""
    assert file.f_op.read_iter is not None
    to = IovIter(pipe.kernel, [], b"")
    to.count = count
    to.sink = PipeSink(pipe).add
    try:
        return file.f_op.read_iter(file, to, pos)
    except KernelError as e:
        if e.errno == EFAULT:
            raise KernelError(EAGAIN) from None
        raise


def copy_splice_read(file: File, pos: int, pipe: PipeInodeInfo, count: int) -> int:
    """What has no page cache: read, into pages of the pipe's own."""
    assert file.f_op.read is not None
    data = file.f_op.read(file, count, pos)
    for at in range(0, len(data), PAGE_SIZE):
        page = get_pipe_page(pipe)
        part = data[at : at + PAGE_SIZE]
        phys_write(pipe.kernel, page.pfn << 12, part)
        pipe.bufs.append(PipeBuffer(page, len(part), False, False, 0, PIPE_ANON))
    return len(data)


def pos_after(file: File, pos: int, n: int) -> int:
    """Where `n` bytes read leave a position: devices leave it alone."""
    return pos if file.f_op.ops_name in ("zero_fops", "full_fops", "urandom_fops") else pos + n


def do_splice_to(file: File, pos: int, pipe: PipeInodeInfo, count: int) -> int:
    """From a file into the free slots of a pipe: bytes. EINVAL: it cannot be spliced."""
    count = min(count, (pipe.max_usage - len(pipe.bufs)) * PAGE_SIZE, MAX_RW_COUNT)
    kind = file.f_inode.i_mode & S_IFMT
    if kind == S_IFREG and file.f_op.read_iter is not None and not file.f_flags & O_DIRECT:
        return generic_file_splice_read(file, pos, pipe, count)
    has_splice_read = kind == S_IFSOCK or (kind == S_IFREG and file.f_op.mmap is not None)
    if not has_splice_read and kind == S_IFIFO and file.f_mode & FMODE_STREAM and get_pipe_info(file) is None:
        # A pipe of the host.
        has_splice_read = True
    if file.f_op.ops_name == "urandom_fops":
        # Since then (commit unknown).
        has_splice_read = pipe.kernel.config.at_least(5, 19)
    elif file.f_op.ops_name in ("proc_sys_file_operations", "proc_iter_file_ops", "proc_mounts_operations"):
        has_splice_read = True
    elif not pos_after(file, 0, 1):
        # Since then (commit unknown).
        has_splice_read = pipe.kernel.config.at_least(6, 7)
    if not has_splice_read or file.f_op.read is None:
        raise KernelError(EINVAL)
    rw_verify_area(file, pos, count)
    return copy_splice_read(file, pos, pipe, count)


def splice_file_to_pipe(file: File, pipe: PipeInodeInfo, pos: int, count: int, flags: int) -> int:
    """Wait for a free slot, then do_splice_to()."""
    wait_for_space(pipe, flags)
    done = do_splice_to(file, pos, pipe, count)
    if done > 0:
        wakeup_pipe_readers(pipe)
    return done


def do_splice_direct(in_file: File, pos: int, out_file: File, opos: int, count: int) -> int:
    """From file to file by way of a pipe of the kernel's own, as much as it holds at a time. Bytes."""
    pipe = PipeInodeInfo(in_file.f_inode.i_sb.kernel)
    pipe.readers = 1
    done = 0
    try:
        while done < count:
            n = do_splice_to(in_file, pos if pos < 0 else pos_after(in_file, pos, done), pipe, count - done)
            if not n:
                break
            if not has_splice_write(out_file) and get_pipe_info(out_file) is None:
                raise KernelError(EINVAL)
            written = iter_file_splice_write(pipe, out_file, opos if opos < 0 else opos + done, n, 0)
            done += written
            if written < n:
                break
    except KernelError:
        if not done:
            raise
    finally:
        release_pipe(pipe)
    return done


def release_pipe(pipe: PipeInodeInfo) -> None:
    """What was not written, and the page that was kept."""
    for buf in pipe.bufs:
        free_pipe_page(pipe, buf.page)
    pipe.bufs.clear()
    if pipe.tmp_page is not None:
        free_pipe_page(pipe, pipe.tmp_page)
        pipe.tmp_page = None


def sendfile_to_pipe(k: Kernel, in_file: File, out_file: File, pos: int, offset_addr: int, count: int) -> int:
    """Since v5.12 (b964bf53e540) a pipe gets the pages themselves, as by splice(2), once. Before, it was copied by parts."""
    pipe = get_pipe_info(out_file)
    assert pipe is not None
    at = pos if offset_addr else file_pos(in_file)
    done = splice_file_to_pipe(in_file, pipe, at, count, SPLICE_F_NONBLOCK if out_file.f_flags & O_NONBLOCK else 0)
    if offset_addr:
        put_user(k, offset_addr, pos_after(in_file, at, done), 8)
    else:
        set_file_pos(in_file, pos_after(in_file, at, done))
    return done


def iter_to_pipe(k: Kernel, segs: list[tuple[int, int]], pipe: PipeInodeInfo, gift: bool) -> int:
    """vmsplice(2): the process's pages, as they are, while there are slots. Bytes; EFAULT, EPIPE, EAGAIN if there is none."""
    total = 0
    error = 0
    for base, length in segs:
        while length and not error:
            size = min(length, PAGE_SIZE - base % PAGE_SIZE)
            pages: list[Page] = []
            try:
                pages = get_user_pages_fast(k, base & -PAGE_SIZE, 1, 0)
            except KernelError:
                pass
            if not pages:
                error = EFAULT
            elif not pipe.readers:
                core_signal.send_sig(k, SIGPIPE, k.current, 0)
                error = EPIPE
            elif pipe_full(pipe):
                error = EAGAIN
            else:
                pipe_page_get(pipe, pages[0])
                buf = PipeBuffer(pages[0], size, False, False, base % PAGE_SIZE, PIPE_USER_PAGE)
                buf.gift = gift
                pipe.bufs.append(buf)
                total += size
                base += size
                length -= size
            for page in pages:
                put_page(page)
        if error:
            break
    if error and not total:
        raise KernelError(error)
    return total


# --- out of a pipe


def take(pipe: PipeInodeInfo, n: int) -> None:
    """The first `n` bytes are dealt with."""
    while n:
        buf = pipe.bufs[0]
        size = min(n, buf.len)
        buf.offset += size
        buf.len -= size
        n -= size
        if not buf.len:
            pipe.bufs.pop(0)
            pipe_buf_release(pipe, buf)


def contents(pipe: PipeInodeInfo, count: int) -> list[tuple[int, int]]:
    """Where what stands in the pipe is, up to `count` bytes: (physical address, bytes)."""
    out: list[tuple[int, int]] = []
    for buf in pipe.bufs:
        size = min(buf.len, count)
        if not size:
            break
        out.append(((buf.page.pfn << 12) + buf.offset, size))
        count -= size
    return out


def write_from_pipe(file: File, pipe: PipeInodeInfo, count: int, pos: int) -> int:
    """vfs_iter_write(): the page cache copies from the pipe's pages one by one, others take all at once. Bytes."""
    k = pipe.kernel
    bvec = contents(pipe, count)
    if file.f_op.write_iter is not None:
        return file.f_op.write_iter(file, iov_iter_bvec(k, bvec), pos)
    return kernel_write(file, b"".join([phys_read(k, paddr, size) for paddr, size in bvec]), pos)


def has_splice_write(file: File) -> bool:
    """Regular files, sockets, /dev/null, sysctls, and what the host has on a descriptor."""
    kind = file.f_inode.i_mode & S_IFMT
    if not can_write(file):
        return False
    if kind == S_IFREG and file.f_op.mmap is not None:
        return True
    if file.f_op.ops_name == "urandom_fops":
        return file.f_inode.i_sb.kernel.config.at_least(5, 19)
    return kind == S_IFSOCK or file.f_op.ops_name in ("null_fops", "zero_fops", "host_stream_fops", "proc_sys_file_operations")


def iter_file_splice_write(pipe: PipeInodeInfo, file: File, pos: int, count: int, flags: int) -> int:
    """Write what is in the pipe; waits for the first of it only. Bytes; 0: nobody will write any more."""
    done = 0
    while done < count:
        if done and not pipe.bufs:
            break
        try:
            if not wait_for_data(pipe, flags):
                break
            written = write_from_pipe(file, pipe, count - done, pos if pos < 0 else pos + done)
        except KernelError:
            if done:
                break
            raise
        if not written:
            break
        take(pipe, written)
        done += written
        wakeup_pipe_writers(pipe)
    return done


def vmsplice_to_user(k: Kernel, segs: list[tuple[int, int]], pipe: PipeInodeInfo, flags: int) -> int:
    """Copy what is in the pipe to user memory; waits for the first of it only."""
    to = iov_iter_ubuf(k, segs)
    done = 0
    while to.count and (not done or pipe.bufs):
        if not wait_for_data(pipe, flags):
            break
        buf = pipe.bufs[0]
        n = min(buf.len, to.count)
        if copy_page_to_iter(buf.page, buf.offset, n, to) < n:
            # What is copied of this one is still in the pipe.
            if not done:
                raise KernelError(EFAULT)
            break
        take(pipe, n)
        done += n
        wakeup_pipe_writers(pipe)
    return done


# --- from pipe to pipe


def share(ibuf: PipeBuffer, ipipe: PipeInodeInfo, length: int) -> PipeBuffer:
    """The first bytes of a buffer in a second one. Neither a gift nor to be written on: the page is not one pipe's any more."""
    pipe_buf_get(ipipe, ibuf)
    return PipeBuffer(ibuf.page, length, False, ibuf.packet, ibuf.offset, ibuf.ops)


def splice_pipe_to_pipe(ipipe: PipeInodeInfo, opipe: PipeInodeInfo, count: int, flags: int) -> int:
    """Move buffers, the last one in part. Bytes."""
    done = 0
    moved = False
    while count:
        if not done:
            data = wait_for_data(ipipe, flags)
            wait_for_space(opipe, flags)
            if not data:
                break
            if not ipipe.bufs:
                # While we waited for room somebody else has taken it.
                continue
        elif not ipipe.bufs or pipe_full(opipe):
            break
        ibuf = ipipe.bufs[0]
        if count >= ibuf.len:
            ipipe.bufs.pop(0)
            opipe.bufs.append(ibuf)
            moved = True
            n = ibuf.len
        else:
            n = count
            opipe.bufs.append(share(ibuf, ipipe, n))
            ibuf.offset += n
            ibuf.len -= n
        done += n
        count -= n
    if done:
        wakeup_pipe_readers(opipe)
    if moved:
        wakeup_pipe_writers(ipipe)
    return done


def link_pipe(ipipe: PipeInodeInfo, opipe: PipeInodeInfo, count: int) -> int:
    """tee(2): share buffers while there are any, and slots for them. Bytes."""
    done = 0
    for ibuf in list(ipipe.bufs):
        if pipe_full(opipe) or not count:
            break
        n = min(ibuf.len, count)
        opipe.bufs.append(share(ibuf, ipipe, n))
        done += n
        count -= n
    if done:
        wakeup_pipe_readers(opipe)
    return done


# --- the system calls


def do_splice(k: Kernel, file_in: File, off_in: int | None, file_out: File, off_out: int | None, count: int, flags: int) -> int:
    """Bytes moved. A position that is None is the file's own, which moves on. EBADF, ESPIPE, EINVAL: none is a pipe."""
    if not file_in.f_mode & FMODE_READ or not file_out.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    ipipe = get_pipe_info(file_in)
    opipe = get_pipe_info(file_out)
    if ipipe is not None and opipe is not None:
        if ipipe is opipe:
            raise KernelError(EINVAL)
        if (file_in.f_flags | file_out.f_flags) & O_NONBLOCK:
            flags |= SPLICE_F_NONBLOCK
        return splice_pipe_to_pipe(ipipe, opipe, count, flags)
    if ipipe is not None:
        if off_out is not None and not file_out.f_mode & FMODE_PWRITE:
            raise KernelError(EINVAL)
        if file_out.f_flags & O_APPEND:
            raise KernelError(EINVAL)
        if not has_splice_write(file_out):
            raise KernelError(EINVAL)
        if file_in.f_flags & O_NONBLOCK:
            flags |= SPLICE_F_NONBLOCK
        stream = file_out.f_mode & FMODE_STREAM != 0
        pos = off_out if off_out is not None else -1 if stream else file_pos(file_out)
        if off_out is not None and off_out < 0:
            raise KernelError(EINVAL)
        rw_verify_area(file_out, pos, count)
        done = iter_file_splice_write(ipipe, file_out, pos, count, flags)
        if off_out is None and not stream:
            set_file_pos(file_out, pos + done)
        return done
    if opipe is not None:
        if off_in is not None and (not file_in.f_mode & FMODE_PREAD or off_in < 0):
            raise KernelError(EINVAL)
        if file_out.f_flags & O_NONBLOCK:
            flags |= SPLICE_F_NONBLOCK
        stream = file_in.f_mode & FMODE_STREAM != 0
        pos = off_in if off_in is not None else -1 if stream else file_pos(file_in)
        if k.config.at_least(6, 8):
            # Before (commit unknown), do_splice_to() looked at what the pipe had room for.
            rw_verify_area(file_in, pos, count)
        done = splice_file_to_pipe(file_in, opipe, pos, count, flags)
        if off_in is None and not stream:
            set_file_pos(file_in, pos_after(file_in, pos, done))
        return done
    raise KernelError(EINVAL)


def ksys_splice(k: Kernel, fd_in: int, off_in: int, fd_out: int, off_out: int, count: int, flags: int) -> int:
    """splice(2): `off_in` and `off_out` are addresses of positions, 0 = the file's own."""
    if not count:
        return 0
    if flags & ~SPLICE_F_ALL:
        raise KernelError(EINVAL)
    file_in = fdget(k, fd_in)
    try:
        file_out = fdget(k, fd_out)
        try:
            if (off_in and get_pipe_info(file_in) is not None) or (off_out and get_pipe_info(file_out) is not None):
                raise KernelError(ESPIPE)
            # Both are read before anything is looked at.
            pos_out = signed64(get_user(k, off_out, 8)) if off_out else None
            pos_in = signed64(get_user(k, off_in, 8)) if off_in else None
            done = do_splice(k, file_in, pos_in, file_out, pos_out, count, flags)
            if pos_out is not None:
                put_user(k, off_out, pos_out + done, 8)
            if pos_in is not None:
                put_user(k, off_in, pos_after(file_in, pos_in, done), 8)
        finally:
            fdput(file_out)
    finally:
        fdput(file_in)
    return done


def ksys_tee(k: Kernel, fd_in: int, fd_out: int, count: int, flags: int) -> int:
    """tee(2)."""
    if flags & ~SPLICE_F_ALL:
        raise KernelError(EINVAL)
    if not count:
        return 0
    file_in = fdget(k, fd_in)
    try:
        file_out = fdget(k, fd_out)
        try:
            if not file_in.f_mode & FMODE_READ or not file_out.f_mode & FMODE_WRITE:
                raise KernelError(EBADF)
            ipipe, opipe = get_pipe_info(file_in), get_pipe_info(file_out)
            if ipipe is None or opipe is None or ipipe is opipe:
                raise KernelError(EINVAL)
            if (file_in.f_flags | file_out.f_flags) & O_NONBLOCK:
                flags |= SPLICE_F_NONBLOCK
            wait_for_data(ipipe, flags)
            wait_for_space(opipe, flags)
            return link_pipe(ipipe, opipe, count)
        finally:
            fdput(file_out)
    finally:
        fdput(file_in)


def ksys_vmsplice(k: Kernel, fd: int, iov: int, nr_segs: int, flags: int) -> int:
    """vmsplice(2): to a pipe's writing end, or from its reading end. EBADF for what is no pipe."""
    if flags & ~SPLICE_F_ALL:
        raise KernelError(EINVAL)
    file = fget(k, fd)
    if not file.f_mode & (FMODE_WRITE | FMODE_READ):
        raise KernelError(EBADF)
    segs = import_iovec(k, iov, nr_segs)
    if not sum([length for _, length in segs]):
        return 0
    pipe = get_pipe_info(file)
    if pipe is None:
        raise KernelError(EBADF)
    fdget(k, fd)
    try:
        if not file.f_mode & FMODE_WRITE:
            return vmsplice_to_user(k, segs, pipe, flags)
        wait_for_space(pipe, flags)
        done = iter_to_pipe(k, segs, pipe, flags & SPLICE_F_GIFT != 0)
        wakeup_pipe_readers(pipe)
        return done
    finally:
        fdput(file)
