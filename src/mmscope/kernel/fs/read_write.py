# SPDX-License-Identifier: GPL-2.0-or-later
"""read(2), write(2) and their relatives (fs/read_write.c, fs/splice.c's sendfile, lib/iov_iter.c's import_iovec)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import (
    access_ok,
    copy_from_user,
    copy_to_user_partial,
    get_user,
    put_user,
)
from mmscope.kernel.fs.file import fdget, fdput, fget
from mmscope.kernel.fs.inode import file_remove_privs, file_update_time
from mmscope.kernel.include.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EINVAL,
    EISDIR,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    ESPIPE,
    EXDEV,
    KernelError,
)
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_NOWAIT,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_STREAM,
    FMODE_UNSIGNED_OFFSET,
    FMODE_WRITE,
    IOCB_NOSIGNAL,
    IOCB_NOWAIT,
    MAX_RW_COUNT,
    O_APPEND,
    O_DIRECT,
    O_DSYNC,
    O_SYNC,
    S_IFDIR,
    S_IFMT,
    S_IFREG,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
    File,
)
from mmscope.kernel.include.limits import LLONG_MAX, ULONG_MAX
from mmscope.kernel.lib.iov_iter import iov_iter_kvec, iov_iter_ubuf
from mmscope.kernel.mm.fadvise import POSIX_FADV_WILLNEED, generic_fadvise
from mmscope.kernel.mm.filemap_write import (
    generic_file_buffered_direct,
    generic_file_direct_read,
    generic_file_direct_write,
    generic_write_check_limits,
    generic_write_checks,
    generic_write_sync,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

    ReadWrite = Callable[[Kernel, File, int, int, int], int]

UIO_MAXIOV: Final = 1024


RWF_DSYNC: Final = 0x2
RWF_SYNC: Final = 0x4
RWF_NOWAIT: Final = 0x8
RWF_APPEND: Final = 0x10
#: Since v6.9 (commit unknown).
RWF_NOAPPEND: Final = 0x20
#: Since v6.18 (commit unknown).
RWF_NOSIGNAL: Final = 0x100


def signed64(value: int) -> int:
    """A register as loff_t."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >> 63 else value


def vfs_read(file: File, count: int, pos: int) -> bytes:
    """At most `count` bytes at `pos`, for the kernel's own use (kernel_read) and for read(2)."""
    if not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if file.f_op.read is None:
        raise KernelError(EINVAL)
    return file.f_op.read(file, min(count, MAX_RW_COUNT), pos)


def kernel_read(file: File, count: int, pos: int) -> bytes:
    """Read for exec: whatever the file's mode says (the open checked execute permission only)."""
    assert file.f_op.read is not None
    return file.f_op.read(file, count, pos)


def vfs_write(file: File, data: bytes, pos: int) -> int:
    """Write `data` at `pos`: bytes written."""
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if not can_write(file):
        raise KernelError(EINVAL)
    return kernel_write(file, data, pos)


def can_write(file: File) -> bool:
    """FMODE_CAN_WRITE."""
    return file.f_op.write is not None or file.f_op.write_iter is not None


def kernel_write(file: File, data: bytes, pos: int) -> int:
    """Write bytes of the kernel's own."""
    if file.f_op.write_iter is not None:
        return file.f_op.write_iter(file, iov_iter_kvec(file.f_inode.i_sb.kernel, data), pos)
    assert file.f_op.write is not None
    return file.f_op.write(file, data, pos)


def rw_verify_area(file: File, pos: int, count: int) -> None:
    """EINVAL for a count or a position that is or gets negative; EOVERFLOW where positions are unsigned (/proc/PID/mem)."""
    if count >> 63:
        raise KernelError(EINVAL)
    if file.f_mode & FMODE_UNSIGNED_OFFSET and pos >> 63:
        if count >= (1 << 64) - pos:
            raise KernelError(EOVERFLOW)
        return
    if pos < -1:
        raise KernelError(EINVAL)
    if pos >= 0 and pos + count > LLONG_MAX and not file.f_mode & FMODE_UNSIGNED_OFFSET:
        raise KernelError(EINVAL)


def file_ppos(file: File) -> int:
    """The position to use: -1 for a stream."""
    return -1 if file.f_mode & FMODE_STREAM else file.f_pos


def write_pos(file: File) -> int:
    """Where write(2) starts: with O_APPEND at the end of the file."""
    if file.f_flags & O_APPEND and not file.f_mode & FMODE_STREAM and file.f_inode.i_mode & S_IFMT == S_IFREG:
        return file.f_inode.i_size
    return file_ppos(file)


def _read_user(k: Kernel, file: File, buf: int, count: int, pos: int) -> int:
    """vfs_read into user memory."""
    if not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if file.f_op.read is None:
        raise KernelError(EINVAL)
    if not access_ok(buf, count):
        raise KernelError(EFAULT)
    rw_verify_area(file, pos, count)
    count = min(count, MAX_RW_COUNT)
    if is_direct(file):
        return generic_file_direct_read(file, [(buf, count)], pos)
    if file.f_op.read_iter is not None:
        return file.f_op.read_iter(file, iov_iter_ubuf(k, [(buf, count)]), pos)
    data = file.f_op.read(file, count, pos)
    if not data:
        return 0
    copied = copy_to_user_partial(k, buf, data)
    if copied == 0 or (copied < len(data) and (file.f_op.poll is not None or file.f_op.all_or_fault)):
        # A pipe's buffer is copied as a whole, or not.
        raise KernelError(EFAULT)
    return copied


def _write_user(k: Kernel, file: File, buf: int, count: int, pos: int) -> int:
    """vfs_write from user memory."""
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if not can_write(file):
        raise KernelError(EINVAL)
    if not access_ok(buf, count):
        raise KernelError(EFAULT)
    rw_verify_area(file, pos, count)
    count = min(count, MAX_RW_COUNT)
    if file.f_op.ops_name in ("null_fops", "zero_fops"):
        # write_null() never looks at the buffer.
        return count
    if is_direct(file):
        return direct_write(k, file, [(buf, count)], pos)
    if file.f_op.write_iter is not None:
        return file.f_op.write_iter(file, iov_iter_ubuf(k, [(buf, count)]), pos)
    try:
        data = copy_from_user(k, buf, count)
    except KernelError:
        # Pages are copied one by one: those before the bad one are written.
        data = copy_from_user_partial(k, buf, count)
        if file.f_op.all_or_fault:
            _write_before_fault(k, file, data, pos)
            raise
        if file.f_op.poll is not None:
            # A pipe takes whole pages only.
            data = data[: len(data) & -4096]
        if not data:
            raise
    return kernel_write(file, data, pos)


def _write_before_fault(k: Kernel, file: File, data: bytes, pos: int) -> None:
    """/proc/PID/mem writes page after page of a buffer before it comes to the bad one; other such files write nothing."""
    data = data[: len(data) & -4096]
    if data and file.f_mode & FMODE_UNSIGNED_OFFSET:
        assert file.f_op.write is not None
        file.f_op.write(file, data, pos)


def is_direct(file: File) -> bool:
    """O_DIRECT, on a file system that can."""
    return file.f_flags & O_DIRECT != 0 and file.f_mapping.a_ops.direct_IO is not None


def dio_nowait(file: File, pos: int, count: int, write: bool) -> None:
    """IOCB_NOWAIT with O_DIRECT: EAGAIN for what would wait. Only ext4's files are FMODE_NOWAIT and have a device."""
    # Imported here: file systems stand above.
    from mmscope.kernel.fs.ext4.ioctl import ext4_dio_would_wait

    if count and (write or pos < file.f_inode.i_size) and ext4_dio_would_wait(file.f_inode, pos, count, write):
        raise KernelError(EAGAIN)


def direct_write(k: Kernel, file: File, segs: list[tuple[int, int]], pos: int) -> int:
    """write(2) with O_DIRECT: past the page cache as far as that goes, the rest through it."""
    total = 0
    for _, length in segs:
        total += length
    pos, count = generic_write_checks(file, total, pos)
    if count == 0:
        return 0
    if file.f_flags & IOCB_NOWAIT:
        dio_nowait(file, pos, count, True)
    file_remove_privs(file)
    file_update_time(file)
    written = generic_file_direct_write(file, trim_segs(segs, 0, count), pos, count)
    if written < count:
        # A page of the cache could not be dropped: write through it, and to the disk, as O_DIRECT promises.
        written += generic_file_buffered_direct(file, iov_iter_ubuf(k, trim_segs(segs, written, count)), pos + written)
    generic_write_sync(file, pos, written)
    return written


def trim_segs(segs: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Bytes [start, end) of what the segments hold together."""
    out: list[tuple[int, int]] = []
    at = 0
    for base, length in segs:
        first = max(start - at, 0)
        last = min(end - at, length)
        if first < last:
            out.append((base + first, last - first))
        at += length
    return out


def copy_from_user_partial(k: Kernel, buf: int, count: int) -> bytes:
    """What can be read up to the first bad page."""
    parts = []
    end = buf + count
    try:
        while buf < end:
            size = min(4096 - (buf & 4095), end - buf)
            parts.append(copy_from_user(k, buf, size))
            buf += size
    except KernelError:
        return b"".join(parts)
    return b"".join(parts)


def iovec_from_user(k: Kernel, uvector: int, nr_segs: int) -> list[tuple[int, int]]:
    """The user's iovec array as (address, length); EINVAL for too many or a negative length."""
    if nr_segs > UIO_MAXIOV:
        raise KernelError(EINVAL)
    if nr_segs == 0:
        return []
    raw = copy_from_user(k, uvector, nr_segs * 16)
    segs = []
    for i in range(nr_segs):
        base = int.from_bytes(raw[i * 16 : i * 16 + 8], "little")
        length = int.from_bytes(raw[i * 16 + 8 : i * 16 + 16], "little")
        if length >> 63:
            raise KernelError(EINVAL)
        segs.append((base, length))
    return segs


def import_iovec(k: Kernel, uvector: int, nr_segs: int) -> list[tuple[int, int]]:
    """iovec_from_user() of the caller's own memory: EFAULT for what is outside of user space, lengths capped in sum."""
    segs = []
    total = 0
    for base, length in iovec_from_user(k, uvector, nr_segs):
        if not access_ok(base, length):
            raise KernelError(EFAULT)
        length = min(length, MAX_RW_COUNT - total)
        total += length
        segs.append((base, length))
    return segs


def _do_readv_nowait(k: Kernel, file: File, vec: int, vlen: int, pos: int) -> int:
    """_do_readv() with RWF_NOWAIT."""
    return _do_readv(k, file, vec, vlen, pos, True)


def _do_readv(k: Kernel, file: File, vec: int, vlen: int, pos: int, nowait: bool = False) -> int:
    """One read for all segments, as read_iter does it."""
    if not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if file.f_op.read is None:
        raise KernelError(EINVAL)
    segs = import_iovec(k, vec, vlen)
    total = sum(length for _, length in segs)
    if total == 0:
        return 0
    rw_verify_area(file, pos, total)
    if is_direct(file):
        if nowait and not (pos | total) & 511:
            dio_nowait(file, pos, total, False)
        return generic_file_direct_read(file, segs, pos)
    if file.f_op.read_iter is not None:
        to = iov_iter_ubuf(k, segs)
        to.nowait = nowait
        return file.f_op.read_iter(file, to, pos)
    data = file.f_op.read(file, total, pos)
    done = 0
    for base, length in segs:
        if done >= len(data):
            break
        part = data[done : done + length]
        copied = copy_to_user_partial(k, base, part) if part else 0
        done += copied
        if copied < len(part):
            break
    if data and done == 0:
        raise KernelError(EFAULT)
    return done


def _do_writev(k: Kernel, file: File, vec: int, vlen: int, pos: int) -> int:
    """All segments in one write."""
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if not can_write(file):
        raise KernelError(EINVAL)
    segs = import_iovec(k, vec, vlen)
    total = sum(length for _, length in segs)
    if total == 0:
        return 0
    rw_verify_area(file, pos, total)
    if is_direct(file):
        return direct_write(k, file, segs, pos)
    if file.f_op.write_iter is not None:
        return file.f_op.write_iter(file, iov_iter_ubuf(k, segs), pos)
    if file.f_op.no_write_iter:
        return do_loop_writev(k, file, segs, pos)
    data = b""
    for base, length in segs:
        try:
            data += copy_from_user(k, base, length)
        except KernelError:
            if not data:
                raise
            break
    return kernel_write(file, data, pos)


def do_loop_writev(k: Kernel, file: File, segs: list[tuple[int, int]], pos: int) -> int:
    """One write a segment; an error behind the first one only ends them."""
    done = 0
    for base, length in segs:
        try:
            n = _write_user(k, file, base, length, pos)
        except KernelError:
            if not done:
                raise
            break
        done += n
        if n < length:
            break
    return done


def _at_f_pos(k: Kernel, fd: int, start: Callable[[File], int], rw: ReadWrite, buf: int, count: int) -> int:
    """Read or write at the file's own position, which moves."""
    file = fdget(k, fd)
    try:
        pos = start(file)
        ret = rw(k, file, buf, count, pos)
        # A write of nothing with O_APPEND leaves it where it is.
        if pos >= 0 and ret:
            file.f_pos = pos + ret
    finally:
        fdput(file)
    return ret


def _at_pos(k: Kernel, fd: int, mode: int, rw: ReadWrite, buf: int, count: int, pos: int) -> int:
    """Read or write at `pos`, in a file of FMODE_PREAD or FMODE_PWRITE (ESPIPE)."""
    pos = signed64(pos)
    if pos < 0:
        raise KernelError(EINVAL)
    file = fget(k, fd)
    if not file.f_mode & mode:
        raise KernelError(ESPIPE)
    return rw(k, file, buf, count, pos)


def ksys_read(k: Kernel, fd: int, buf: int, count: int) -> int:
    """read(2)."""
    return _at_f_pos(k, fd, file_ppos, _read_user, buf, count)


def ksys_write(k: Kernel, fd: int, buf: int, count: int) -> int:
    """write(2)."""
    return _at_f_pos(k, fd, write_pos, _write_user, buf, count)


def ksys_pread64(k: Kernel, fd: int, buf: int, count: int, pos: int) -> int:
    """pread64(2)."""
    return _at_pos(k, fd, FMODE_PREAD, _read_user, buf, count, pos)


def ksys_pwrite64(k: Kernel, fd: int, buf: int, count: int, pos: int) -> int:
    """pwrite64(2)."""
    return _at_pos(k, fd, FMODE_PWRITE, _write_user, buf, count, pos)


def do_readv(k: Kernel, fd: int, vec: int, vlen: int) -> int:
    """readv(2)."""
    return _at_f_pos(k, fd, file_ppos, _do_readv, vec, vlen)


def do_writev(k: Kernel, fd: int, vec: int, vlen: int) -> int:
    """writev(2)."""
    return _at_f_pos(k, fd, write_pos, _do_writev, vec, vlen)


def do_preadv(k: Kernel, fd: int, vec: int, vlen: int, pos: int) -> int:
    """preadv(2)."""
    return _at_pos(k, fd, FMODE_PREAD, _do_readv, vec, vlen, pos)


def do_pwritev(k: Kernel, fd: int, vec: int, vlen: int, pos: int) -> int:
    """pwritev(2)."""
    return _at_pos(k, fd, FMODE_PWRITE, _do_writev, vec, vlen, pos)


def generic_file_llseek(file: File, offset: int, whence: int) -> int:
    """lseek in something with a size: all of it is data, the hole is at its end."""
    eof = file.f_inode.i_size
    if whence == SEEK_END:
        offset += eof
    elif whence == SEEK_CUR:
        offset += file.f_pos
    elif whence == SEEK_DATA:
        if offset < 0 or offset >= eof:
            raise KernelError(ENXIO)
    elif whence == SEEK_HOLE:
        if offset < 0 or offset >= eof:
            raise KernelError(ENXIO)
        offset = eof
    if offset < 0 or offset > file.f_inode.i_sb.s_maxbytes:
        raise KernelError(EINVAL)
    file.f_pos = offset
    return offset


def default_llseek(file: File, offset: int, whence: int) -> int:
    """The same without a largest position."""
    if whence == SEEK_SET and offset >= 0:
        file.f_pos = offset
        return offset
    return generic_file_llseek(file, offset, whence)


def noop_llseek(file: File, offset: int, whence: int) -> int:
    """Stays where it is."""
    return file.f_pos


def ksys_lseek(k: Kernel, fd: int, offset: int, whence: int) -> int:
    """lseek(2)."""
    file = fget(k, fd)
    if whence > SEEK_HOLE or whence < 0:
        raise KernelError(EINVAL)
    if not file.f_mode & FMODE_LSEEK:
        raise KernelError(ESPIPE)
    offset = signed64(offset)
    if file.f_op.llseek is not None:
        return file.f_op.llseek(file, offset, whence)
    return generic_file_llseek(file, offset, whence)


def do_sendfile(k: Kernel, out_fd: int, in_fd: int, offset_addr: int, count: int) -> int:
    """sendfile(2). EOVERFLOW: beyond the largest file that either side can have."""
    pos = -1
    if offset_addr:
        pos = signed64(get_user(k, offset_addr, 8))
    in_file = fget(k, in_fd)
    if not in_file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if pos >= 0 and not in_file.f_mode & FMODE_PREAD:
        raise KernelError(ESPIPE)
    at = pos if offset_addr else file_ppos(in_file)
    if offset_addr and pos < 0:
        raise KernelError(EINVAL)
    rw_verify_area(in_file, at, count)
    out_file = fget(k, out_fd)
    if not out_file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    count = min(count, MAX_RW_COUNT)
    out_pos = file_ppos(out_file)
    rw_verify_area(out_file, out_pos, count)
    limit = min(in_file.f_inode.i_sb.s_maxbytes, out_file.f_inode.i_sb.s_maxbytes)
    if at + count > limit:
        if at >= limit:
            raise KernelError(EOVERFLOW)
        count = limit - at
    if out_file.f_flags & O_APPEND or not can_write(out_file) or not in_file.f_mode & FMODE_LSEEK:
        raise KernelError(EINVAL)
    # Imported here: splice stands above.
    from mmscope.kernel.fs.splice import do_splice_direct, pos_after, sendfile_to_pipe

    if out_file.f_op.ops_name == "pipefifo_fops" and k.config.at_least(5, 12):
        return sendfile_to_pipe(k, in_file, out_file, pos, offset_addr, count)
    done = do_splice_direct(in_file, at, out_file, out_pos, count)
    if out_pos >= 0:
        out_file.f_pos = out_pos + done
    if offset_addr:
        put_user(k, offset_addr, pos_after(in_file, at, done), 8)
    elif at >= 0:
        in_file.f_pos = pos_after(in_file, at, done)
    return done


def kiocb_set_rw_flags(file: File, flags: int) -> int:
    """The RWF_* of preadv2 and pwritev2, as open flags for this one call. Raises EOPNOTSUPP, EINVAL."""
    known = 0x1F
    if file.f_inode.i_sb.kernel.config.at_least(6, 9):
        known |= RWF_NOAPPEND
        if flags & RWF_APPEND and flags & RWF_NOAPPEND:
            raise KernelError(EINVAL)
    if file.f_inode.i_sb.kernel.config.at_least(6, 18):
        known |= RWF_NOSIGNAL
    if flags & ~known or (flags & RWF_NOWAIT and not file.f_mode & FMODE_NOWAIT):
        raise KernelError(EOPNOTSUPP)
    open_flags = file.f_flags
    if flags & RWF_NOWAIT:
        open_flags |= IOCB_NOWAIT
    if flags & RWF_DSYNC:
        open_flags |= O_DSYNC
    if flags & RWF_SYNC:
        open_flags |= O_SYNC
    if flags & RWF_APPEND:
        open_flags |= O_APPEND
    if flags & RWF_NOAPPEND:
        open_flags &= ~O_APPEND
    if flags & RWF_NOSIGNAL:
        open_flags |= IOCB_NOSIGNAL
    return open_flags


def _refuse_rw_flags(k: Kernel, file: File, vec: int, vlen: int, pos: int, writing: bool, error: KernelError) -> int:
    """Flags are looked at last: whatever else is wrong is told first, and a transfer of nothing is 0 whatever they are."""
    at = signed64(pos)
    if at < -1:
        raise KernelError(EINVAL)
    if at >= 0 and not file.f_mode & (FMODE_PWRITE if writing else FMODE_PREAD):
        raise KernelError(ESPIPE)
    if not file.f_mode & (FMODE_WRITE if writing else FMODE_READ):
        raise KernelError(EBADF)
    if not can_write(file) if writing else file.f_op.read is None:
        raise KernelError(EINVAL)
    total = sum([length for _, length in import_iovec(k, vec, vlen)])
    if not total:
        return 0
    rw_verify_area(file, at if at >= 0 else file_ppos(file), total)
    raise error


def do_preadv2(k: Kernel, fd: int, vec: int, vlen: int, pos: int, flags: int) -> int:
    """preadv2(2): position -1 is the file's own."""
    file = fget(k, fd)
    try:
        kiocb_set_rw_flags(file, flags)
    except KernelError as error:
        return _refuse_rw_flags(k, file, vec, vlen, pos, False, error)
    readv = _do_readv_nowait if flags & RWF_NOWAIT else _do_readv
    if signed64(pos) == -1:
        return _at_f_pos(k, fd, file_ppos, readv, vec, vlen)
    return _at_pos(k, fd, FMODE_PREAD, readv, vec, vlen, pos)


def do_pwritev2(k: Kernel, fd: int, vec: int, vlen: int, pos: int, flags: int) -> int:
    """pwritev2(2). A write through the page cache always waits: RWF_NOWAIT needs O_DIRECT."""
    file = fget(k, fd)
    try:
        open_flags = kiocb_set_rw_flags(file, flags)
        if flags & RWF_NOWAIT and not is_direct(file):
            raise KernelError(EOPNOTSUPP)
    except KernelError as error:
        return _refuse_rw_flags(k, file, vec, vlen, pos, True, error)
    saved = file.f_flags
    file.f_flags = open_flags
    try:
        return do_writev(k, fd, vec, vlen) if signed64(pos) == -1 else do_pwritev(k, fd, vec, vlen, pos)
    finally:
        file.f_flags = saved


def file_pos(file: File) -> int:
    """file->f_pos. A stream's is the host's, which others may share."""
    if file.f_mode & FMODE_STREAM and file.f_mode & FMODE_LSEEK and file.f_op.llseek is not None:
        return file.f_op.llseek(file, 0, SEEK_CUR)
    return file.f_pos


def set_file_pos(file: File, pos: int) -> None:
    """Move it there."""
    if file.f_mode & FMODE_STREAM and file.f_mode & FMODE_LSEEK and file.f_op.llseek is not None:
        file.f_op.llseek(file, pos, SEEK_SET)
    file.f_pos = pos


def ksys_copy_file_range(k: Kernel, in_fd: int, off_in: int, out_fd: int, off_out: int, len: int, flags: int) -> int:
    """copy_file_range(2): between regular files, through the page cache. Bytes copied, 0 at the end of the source."""
    in_file = fget(k, in_fd)
    out_file = fget(k, out_fd)
    pos_in = signed64(get_user(k, off_in, 8)) if off_in else file_pos(in_file)
    pos_out = signed64(get_user(k, off_out, 8)) if off_out else file_pos(out_file)
    if flags:
        raise KernelError(EINVAL)
    # generic_copy_file_checks()
    for file in (in_file, out_file):
        if file.f_inode.i_mode & S_IFMT == S_IFDIR:
            raise KernelError(EISDIR)
        if file.f_inode.i_mode & S_IFMT != S_IFREG:
            raise KernelError(EINVAL)
    if not in_file.f_mode & FMODE_READ or not out_file.f_mode & FMODE_WRITE or out_file.f_flags & O_APPEND:
        raise KernelError(EBADF)
    if in_file.f_inode.i_sb is not out_file.f_inode.i_sb:
        # v5.19, and 5.10's stable releases
        raise KernelError(EXDEV)
    if (pos_in & ULONG_MAX) + len > ULONG_MAX or (pos_out & ULONG_MAX) + len > ULONG_MAX:
        raise KernelError(EOVERFLOW)
    count = min(len, max(in_file.f_inode.i_size - pos_in, 0))
    count = generic_write_check_limits(out_file, pos_out, count)
    if in_file.f_inode is out_file.f_inode and pos_out + count > pos_in and pos_out < pos_in + count:
        raise KernelError(EINVAL)
    if pos_in < 0 or pos_out < 0:
        raise KernelError(EINVAL)
    count = min(count, MAX_RW_COUNT)
    if in_file.f_op.read is None or not can_write(out_file):
        raise KernelError(EINVAL)
    from mmscope.kernel.fs.splice import do_splice_direct

    done = do_splice_direct(in_file, pos_in, out_file, pos_out, count)
    if off_in:
        put_user(k, off_in, pos_in + done, 8)
    else:
        set_file_pos(in_file, pos_in + done)
    if off_out:
        put_user(k, off_out, pos_out + done, 8)
    else:
        set_file_pos(out_file, pos_out + done)
    return done


def ksys_readahead(k: Kernel, fd: int, offset: int, count: int) -> int:
    """readahead(2): POSIX_FADV_WILLNEED, on regular files that are open for reading."""
    file = fget(k, fd)
    if not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if file.f_inode.i_mode & S_IFMT != S_IFREG:
        raise KernelError(EINVAL)
    generic_fadvise(file, offset, signed64(count), POSIX_FADV_WILLNEED)
    return 0
