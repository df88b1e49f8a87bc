# SPDX-License-Identifier: GPL-2.0-or-later
"""msync(2) (mm/msync.c): MS_SYNC is fsync of what is mapped; MS_ASYNC does nothing (the pages are dirty already)."""

from __future__ import annotations

from mmscope.kernel.fs.sync import vfs_fsync_range
from mmscope.kernel.include.errno import EBUSY, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.mm import VM_LOCKED, VM_SHARED
from mmscope.kernel.mm.mmap import find_vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

MS_ASYNC: Final = 1
MS_INVALIDATE: Final = 2
MS_SYNC: Final = 4


def ksys_msync(k: Kernel, start: int, len: int, flags: int) -> None:
    """msync(2): holes are an error only after all that is mapped was synced. Raises EINVAL, ENOMEM, EBUSY, EIO, ENOSPC."""
    mm = k.current.mm
    assert mm is not None
    if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC):
        raise KernelError(EINVAL)
    if start & 4095:
        raise KernelError(EINVAL)
    if flags & MS_ASYNC and flags & MS_SYNC:
        raise KernelError(EINVAL)
    len = len + 4095 & 0xFFFFFFFFFFFFF000
    end = start + len & 0xFFFFFFFFFFFFFFFF
    if end < start:
        raise KernelError(ENOMEM)
    if end == start:
        return
    unmapped = False
    vma = find_vma(mm, start)
    while True:
        if vma is None:
            raise KernelError(ENOMEM)
        if start < vma.vm_start:
            start = vma.vm_start
            unmapped = True
            if start >= end:
                raise KernelError(ENOMEM)
        if flags & MS_INVALIDATE and vma.vm_flags & VM_LOCKED:
            raise KernelError(EBUSY)
        file = vma.vm_file
        fstart = start - vma.vm_start + (vma.vm_pgoff << 12)
        fend = fstart + min(end, vma.vm_end) - start - 1
        start = vma.vm_end
        if flags & MS_SYNC and file is not None and vma.vm_flags & VM_SHARED:
            vfs_fsync_range(file, fstart, fend, True)
            if start >= end:
                break
            vma = find_vma(mm, start)
        else:
            if start >= end:
                break
            vma = vma.vm_next
    if unmapped:
        raise KernelError(ENOMEM)
