# SPDX-License-Identifier: GPL-2.0-or-later
"""The second half of mm/filemap.c: writing to files through the page cache and past it, and waiting until all is written."""

from __future__ import annotations

import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.include.errno import EFAULT, EFBIG, EIO, ENOSPC, KernelError
from mmscope.kernel.include.fs import (
    O_APPEND,
    O_DSYNC,
    S_IFMT,
    S_IFREG,
    WB_SYNC_ALL,
    AddressSpace,
    File,
    WritebackControl,
)
from mmscope.kernel.include.limits import LLONG_MAX
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_error
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_FSIZE
from mmscope.kernel.include.signal import SIGXFSZ
from mmscope.kernel.lib.iov_iter import IovIter, copy_page_from_iter_atomic, fault_in_iov_iter_readable
from mmscope.kernel.lib.xarray import xa_find_marked
from mmscope.kernel.mm.page_writeback import (
    AS_EIO,
    AS_ENOSPC,
    PAGECACHE_TAG_WRITEBACK,
    balance_dirty_pages_ratelimited,
    do_writepages,
    wait_on_page_writeback,
)
from mmscope.kernel.mm.truncate import invalidate_inode_pages2_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

__all__ = [
    "file_check_and_advance_wb_err", "file_write_and_wait_range", "filemap_check_errors", "filemap_fdatawait_range",
    "filemap_fdatawrite_range", "filemap_write_and_wait_range", "generic_file_buffered_direct",
    "generic_file_direct_read", "generic_file_direct_write", "generic_file_write_iter",
    "generic_perform_write", "generic_write_check_limits", "generic_write_checks", "generic_write_sync",
]  # fmt: skip


# --- written out, and waited for


def filemap_fdatawrite_range(mapping: AddressSpace, start: int, end: int, sync_mode: int = WB_SYNC_ALL) -> None:
    """Start writing the dirty pages of bytes [start, end]. Raises EIO, ENOSPC."""
    if mapping.a_ops.writepage is None and mapping.a_ops.writepages is None:
        return
    do_writepages(mapping, WritebackControl(sync_mode, LLONG_MAX, start, end))


def filemap_fdatawait_range(mapping: AddressSpace, start: int, end: int) -> None:
    """Wait for pages that are being written; their PG_error goes (the mapping keeps the error)."""
    last = end >> 12
    found = xa_find_marked(mapping.i_pages, start >> 12, last, PAGECACHE_TAG_WRITEBACK)
    while found is not None:
        page = found[1]
        assert isinstance(page, Page)
        wait_on_page_writeback(page)
        page.flags &= ~PG_error
        found = xa_find_marked(mapping.i_pages, found[0] + 1, last, PAGECACHE_TAG_WRITEBACK)


def filemap_check_errors(mapping: AddressSpace) -> None:
    """Raise, and forget, an error of writeback that nobody has been told (sync_file_range, direct I/O)."""
    flags = mapping.flags
    mapping.flags &= ~(AS_EIO | AS_ENOSPC)
    if flags & AS_EIO:
        raise KernelError(EIO)
    if flags & AS_ENOSPC:
        raise KernelError(ENOSPC)


def filemap_write_and_wait_range(mapping: AddressSpace, lstart: int, lend: int) -> None:
    """Write out bytes [lstart, lend], wait. Raises EIO, ENOSPC."""
    if mapping.nrpages:
        try:
            filemap_fdatawrite_range(mapping, lstart, lend)
        except KernelError as error:
            if error.errno != EIO:
                filemap_fdatawait_range(mapping, lstart, lend)
            mapping.flags &= ~(AS_EIO | AS_ENOSPC)
            raise
        filemap_fdatawait_range(mapping, lstart, lend)
    filemap_check_errors(mapping)


def file_check_and_advance_wb_err(file: File) -> None:
    """Raise the last error of writeback if this open file was not told yet."""
    mapping = file.f_mapping
    if file.f_wb_err != mapping.wb_err:
        file.f_wb_err = mapping.wb_err
        mapping.flags &= ~(AS_EIO | AS_ENOSPC)
        raise KernelError(mapping.wb_errno or EIO)
    mapping.flags &= ~(AS_EIO | AS_ENOSPC)


def file_write_and_wait_range(file: File, lstart: int, lend: int) -> None:
    """What fsync does first. Raises EIO, ENOSPC, of this or an earlier write."""
    mapping = file.f_mapping
    failure: KernelError | None = None
    if mapping.nrpages:
        try:
            filemap_fdatawrite_range(mapping, lstart, lend)
        except KernelError as error:
            failure = error
        filemap_fdatawait_range(mapping, lstart, lend)
    try:
        file_check_and_advance_wb_err(file)
    except KernelError as error:
        if failure is None:
            failure = error
    if failure is not None:
        raise failure


# --- write(2)


def generic_write_checks(file: File, count: int, pos: int) -> tuple[int, int]:
    """(pos, count) that may be written: O_APPEND, and the limits."""
    if count == 0:
        return pos, 0
    if file.f_flags & O_APPEND:
        pos = file.f_inode.i_size
    return pos, generic_write_check_limits(file, pos, count)


def generic_write_check_limits(file: File, pos: int, count: int) -> int:
    """How much of `count` may be written at `pos`: RLIMIT_FSIZE (SIGXFSZ and EFBIG), the largest file (EFBIG)."""
    inode = file.f_inode
    k = inode.i_sb.kernel
    limit = k.current.signal.rlim[RLIMIT_FSIZE].rlim_cur
    if limit != RLIM_INFINITY and inode.i_mode & S_IFMT == S_IFREG:
        if pos >= limit:
            import mmscope.kernel.core.signal as core_signal

            core_signal.send_sig(k, SIGXFSZ, k.current, 0)
            raise KernelError(EFBIG)
        count = min(count, limit - pos)
    if pos >= inode.i_sb.s_maxbytes:
        raise KernelError(EFBIG)
    return min(count, inode.i_sb.s_maxbytes - pos)


def generic_perform_write(file: File, i: IovIter, pos: int) -> int:
    """Copy `i` into the page cache, page by page. Bytes written; an error after the first page is left for the next call.

    The copy itself takes no fault, for the page is locked that it goes to. Since v6.14 (665575cff098) the source is faulted
    in only after a copy came to nothing: by then write_end has extended the file up to `pos`.
    """
    mapping = file.f_mapping
    a_ops = mapping.a_ops
    assert a_ops.write_begin is not None
    assert a_ops.write_end is not None
    faults_late = i.kernel.config.at_least(6, 14)
    written = 0
    errno = 0
    size = i.count
    while i.count and not errno:
        offset = pos & 4095
        size = min(4096 - offset, size)
        if not faults_late and fault_in_iov_iter_readable(i, size) == size:
            errno = EFAULT
            break
        try:
            page = a_ops.write_begin(file, mapping, pos, size)
        except KernelError as error:
            errno = error.errno or EIO
            break
        copied = copy_page_from_iter_atomic(page, offset, size, i)
        done = a_ops.write_end(file, mapping, pos, size, copied, page)
        if done:
            i.advance(done)
            pos += done
            written += done
            size = i.count
            balance_dirty_pages_ratelimited(mapping)
        elif copied:
            # The page is of use only as a whole: once more, for what can be copied.
            size = copied
        elif faults_late and fault_in_iov_iter_readable(i, size) == size:
            errno = EFAULT
        else:
            size = i.count
    if errno and not written:
        raise KernelError(errno)
    return written


def generic_write_sync(file: File, pos: int, count: int) -> None:
    """O_SYNC, O_DSYNC: the bytes just written are on the device before write(2) returns. Raises EIO, ENOSPC."""
    if file.f_flags & O_DSYNC and count > 0 and file.f_op.fsync is not None:
        # __O_SYNC without O_DSYNC does not exist: O_SYNC is both.
        file.f_op.fsync(file, pos, pos + count - 1, file.f_flags & 0o4000000 == 0)


def generic_file_write_iter(file: File, i: IovIter, pos: int) -> int:
    """f_op->write_iter of page-cache files: checks, times, the copy, O_SYNC. Bytes written."""
    pos, count = generic_write_checks(file, i.count, pos)
    if count == 0:
        return 0
    fs_inode.file_remove_privs(file)
    fs_inode.file_update_time(file)
    i.truncate(count)
    written = generic_perform_write(file, i, pos)
    generic_write_sync(file, pos, written)
    return written


# --- O_DIRECT


def generic_file_direct_read(file: File, segs: list[tuple[int, int]], pos: int) -> int:
    """From the device straight to user memory; what is dirty in the cache goes to the device first. Bytes read."""
    mapping = file.f_mapping
    count = 0
    for _, length in segs:
        count += length
    if count == 0:
        return 0
    if pos < file.f_inode.i_size:
        filemap_write_and_wait_range(mapping, pos, pos + count - 1)
    assert mapping.a_ops.direct_IO is not None
    done = mapping.a_ops.direct_IO(file, segs, pos, False)
    fs_inode.file_accessed(file)
    return done


def generic_file_direct_write(file: File, segs: list[tuple[int, int]], pos: int, count: int) -> int:
    """From user memory straight to the device: what the cache has of the range is written out before and dropped on both sides.

    Bytes written; fewer than `count`, or 0 when a page could not be dropped, leave the rest to a buffered write.
    """
    mapping = file.f_mapping
    end = pos + count - 1
    filemap_write_and_wait_range(mapping, pos, end)
    if not invalidate_inode_pages2_range(mapping, pos >> 12, end >> 12):
        return 0
    assert mapping.a_ops.direct_IO is not None
    written = mapping.a_ops.direct_IO(file, segs, pos, True)
    if written > 0:
        # A fault meanwhile (of the user's own buffer, mapped from this very file) may have brought pages back.
        invalidate_inode_pages2_range(mapping, pos >> 12, (pos + written - 1) >> 12)
    return written


def generic_file_buffered_direct(file: File, i: IovIter, pos: int) -> int:
    """The rest of a direct write, through the cache, then out of it again. Bytes written."""
    written = generic_perform_write(file, i, pos)
    end = pos + written - 1
    filemap_write_and_wait_range(file.f_mapping, pos, end)
    invalidate_inode_pages2_range(file.f_mapping, pos >> 12, end >> 12)
    return written
