# SPDX-License-Identifier: GPL-2.0-or-later
"""remap_file_pages(2) (mm/mmap.c): another part of the file over a shared mapping; since v4.0 (c8d78c1823f4) by mmap."""

from __future__ import annotations

import mmscope.kernel.fs.file as fs_file
import mmscope.kernel.mm.gup as mm_gup
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import VM_LOCKED, VM_SHARED
from mmscope.kernel.include.mman import MAP_FIXED, MAP_LOCKED, MAP_NONBLOCK, MAP_POPULATE, MAP_SHARED
from mmscope.kernel.include.page import PAGE_MASK
from mmscope.kernel.mm.mmap import do_mmap, find_vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct


def _same_mapping(vma: VmAreaStruct, end: int) -> bool:
    """From `vma` up to `end` there are only mappings of its file with its flags, without a hole."""
    last = vma
    while last.vm_end < end:
        next = last.vm_next
        if next is None or next.vm_start != last.vm_end:
            return False
        if next.vm_file is not vma.vm_file or next.vm_flags != vma.vm_flags:
            return False
        last = next
    return True


def ksys_remap_file_pages(k: Kernel, start: int, size: int, prot: int, pgoff: int, flags: int) -> None:
    """remap_file_pages(2): `pgoff` in pages; of `flags` only MAP_NONBLOCK counts. EINVAL but for what mmap answers."""
    mm = k.current.mm
    assert mm is not None
    where = "mm" if k.config.at_least(5, 19) else "vm"
    text = f"uses deprecated remap_file_pages() syscall. See Documentation/{where}/remap_file_pages.rst."
    k.printk_once("remap_file_pages", f"mmap: {k.current.comm} ({k.current.pid}) {text}")
    if prot:
        raise KernelError(EINVAL)
    start &= PAGE_MASK
    size &= PAGE_MASK & ULONG_MAX
    end = start + size & ULONG_MAX
    if end <= start or pgoff + (size >> 12) > ULONG_MAX:
        raise KernelError(EINVAL)
    vma = find_vma(mm, start)
    if vma is None or not vma.vm_flags & VM_SHARED or start < vma.vm_start or not _same_mapping(vma, end):
        raise KernelError(EINVAL)
    flags = flags & MAP_NONBLOCK | MAP_SHARED | MAP_FIXED | MAP_POPULATE
    if vma.vm_flags & VM_LOCKED:
        flags |= MAP_LOCKED
    assert vma.vm_file is not None
    file = fs_file.get_file(vma.vm_file)
    try:
        # VM_READ, WRITE, EXEC have the values of PROT_*.
        addr, populate = do_mmap(mm, file, start, size, vma.vm_flags & 7, flags, 0, pgoff)
    finally:
        fs_file.fput(file)
    if populate:
        mm_gup.mm_populate(mm, addr, populate)
