# SPDX-License-Identifier: GPL-2.0-or-later
"""posix_fadvise(2) (mm/fadvise.c)."""

from __future__ import annotations

from mmscope.kernel.fs.file import fget
from mmscope.kernel.include.errno import EINVAL, ESPIPE, KernelError
from mmscope.kernel.include.fs import FMODE_RANDOM, S_IFIFO, S_IFMT, WB_SYNC_NONE, File
from mmscope.kernel.include.limits import LLONG_MAX, ULONG_MAX
from mmscope.kernel.mm.filemap_write import filemap_fdatawrite_range
from mmscope.kernel.mm.readahead import ReadaheadControl, force_page_cache_ra
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.mm.truncate import invalidate_mapping_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["generic_fadvise", "ksys_fadvise64"]

POSIX_FADV_NORMAL: Final = 0
POSIX_FADV_RANDOM: Final = 1
POSIX_FADV_SEQUENTIAL: Final = 2
POSIX_FADV_WILLNEED: Final = 3
POSIX_FADV_DONTNEED: Final = 4
POSIX_FADV_NOREUSE: Final = 5


def generic_fadvise(file: File, offset: int, len: int, advice: int) -> None:
    """Advice on bytes [offset, offset + len); length 0 = to the end. Raises ESPIPE, EINVAL."""
    inode = file.f_inode
    if inode.i_mode & S_IFMT == S_IFIFO:
        raise KernelError(ESPIPE)
    mapping = file.f_mapping
    if len < 0:
        raise KernelError(EINVAL)
    endbyte = (offset + len) & ULONG_MAX
    # The end is inclusive, and an overflow (of unsigned numbers: a negative offset is a huge one) means the end of the file.
    endbyte = LLONG_MAX if len == 0 or endbyte < len or endbyte > LLONG_MAX else endbyte - 1
    if mapping.a_ops.readpage is None:
        # noop_backing_dev_info: tmpfs, proc... have nothing to read ahead or to write back.
        if advice not in range(POSIX_FADV_NOREUSE + 1):
            raise KernelError(EINVAL)
        return
    if advice == POSIX_FADV_NORMAL:
        file.ra_pages = inode.i_sb.ra_pages
        file.f_mode &= ~FMODE_RANDOM
    elif advice == POSIX_FADV_RANDOM:
        file.f_mode |= FMODE_RANDOM
    elif advice == POSIX_FADV_SEQUENTIAL:
        file.ra_pages = inode.i_sb.ra_pages * 2
        file.f_mode &= ~FMODE_RANDOM
    elif advice == POSIX_FADV_WILLNEED:
        start_index = offset >> 12 & ULONG_MAX
        force_page_cache_ra(ReadaheadControl(file, mapping, start_index), file, (endbyte >> 12) - start_index + 1)
    elif advice == POSIX_FADV_DONTNEED:
        fadvise_dontneed(file, offset, endbyte)
    elif advice != POSIX_FADV_NOREUSE:
        raise KernelError(EINVAL)


def fadvise_dontneed(file: File, offset: int, endbyte: int) -> None:
    """Start writing what is dirty; drop the whole pages of the range that are clean and not mapped."""
    mapping = file.f_mapping
    inode = mapping.host
    if inode.i_sb.s_bdi_writeback and offset >= 0:
        filemap_fdatawrite_range(mapping, offset, endbyte, WB_SYNC_NONE)
    # A partial page at the start is kept; at the end too, unless it is the file's last.
    start_index = (offset + 4095) >> 12 & ULONG_MAX
    end_index = endbyte >> 12
    if endbyte & 4095 != 4095 and endbyte != inode.i_size - 1:
        if end_index == 0:
            return
        end_index -= 1
    if end_index >= start_index:
        # Pages in the pagevec have one reference too many.
        lru_add_drain(inode.i_sb.kernel)
        invalidate_mapping_pages(mapping, start_index, end_index)


def ksys_fadvise64(k: Kernel, fd: int, offset: int, len: int, advice: int) -> int:
    """posix_fadvise(2)."""
    generic_fadvise(fget(k, fd), offset, len, advice)
    return 0
