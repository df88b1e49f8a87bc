# SPDX-License-Identifier: GPL-2.0-or-later
"""mincore(2): which pages are in memory (mm/mincore.c)."""

from __future__ import annotations

import mmscope.kernel.fs.namei as fs_namei
from mmscope.kernel.arch.x86.pgtable import (
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pte_none,
    pte_offset_map,
    pte_present,
    pud_none,
    pud_offset,
)
from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.include.errno import EFAULT, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.page_flags import PG_uptodate
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.filemap import find_get_page
from mmscope.kernel.mm.mmap import find_vma, vma_is_anonymous
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct


def __mincore_unmapped_range(addr: int, end: int, vma: VmAreaStruct, vec: bytearray) -> None:
    """Pages without an entry: those of a file may be in the page cache."""
    file = vma.vm_file
    if file is None:
        vec.extend(bytes((end - addr) >> 12))
        return
    pgoff = vma.vm_pgoff + ((addr - vma.vm_start) >> 12)
    for index in range(pgoff, pgoff + ((end - addr) >> 12)):
        page = find_get_page(file.f_mapping, index)
        if page is None:
            vec.append(0)
        else:
            vec.append(1 if page.flags & PG_uptodate else 0)
            put_page(page)


def mincore_pte_range(pmdp: int, addr: int, end: int, vma: VmAreaStruct, vec: bytearray) -> None:
    """The pages under one page table."""
    k = vma.vm_mm.kernel
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        pte = k.words[ptep]
        if pte_none(pte) or is_guard_pte_marker(pte):
            __mincore_unmapped_range(addr, addr + 4096, vma, vec)
        else:
            vec.append(1 if pte_present(pte) else 0)
        ptep += 1
        addr += 4096


def _mincore_pmdp(mm: MmStruct, addr: int) -> int:
    """The PMD entry of `addr`, 0 if there is no page table."""
    k = mm.kernel
    pgdp = pgd_offset(mm, addr)
    if pgd_none(k.words[pgdp]):
        return 0
    pudp = pud_offset(k, pgdp, addr)
    if pud_none(k.words[pudp]):
        return 0
    pmdp = pmd_offset(k, pudp, addr)
    return 0 if pmd_none(k.words[pmdp]) else pmdp


def can_do_mincore(vma: VmAreaStruct) -> bool:
    """Only who may write a file learns what of it others have read (since v5.2, 134fca9063ad)."""
    if vma_is_anonymous(vma):
        return True
    file = vma.vm_file
    if file is None:
        return False
    return fs_namei.may_learn_of_cache(vma.vm_mm.kernel, file.f_inode)


def do_mincore(mm: MmStruct, addr: int, pages: int, vec: bytearray) -> None:
    """Up to `pages` bytes for the rest of the VMA at `addr`; ENOMEM if nothing is mapped there."""
    vma = find_vma(mm, addr)
    if vma is None or addr < vma.vm_start:
        raise KernelError(ENOMEM)
    end = min(vma.vm_end, addr + (pages << 12))
    if not can_do_mincore(vma):
        vec.extend(b"\x01" * ((end - addr) >> 12))
        return
    while addr != end:
        next = pmd_addr_end(addr, end)
        pmdp = _mincore_pmdp(mm, addr)
        if pmdp:
            mincore_pte_range(pmdp, addr, next, vma, vec)
        else:
            __mincore_unmapped_range(addr, next, vma, vec)
        addr = next


def ksys_mincore(k: Kernel, start: int, len: int, vec: int) -> None:
    """mincore(2): one byte a page at `vec`, bit 0 = resident."""
    mm = k.current.mm
    assert mm is not None
    if start & 4095:
        raise KernelError(EINVAL)
    if start + len > TASK_SIZE_MAX:
        raise KernelError(ENOMEM)
    pages = (len >> 12) + (1 if len & 4095 else 0)
    if vec + pages > TASK_SIZE_MAX:
        raise KernelError(EFAULT)
    while pages:
        # Linux works through one temporary page at a time.
        tmp = bytearray()
        do_mincore(mm, start, min(pages, 4096), tmp)
        done = tmp.__len__()
        copy_to_user(k, vec, bytes(tmp))
        pages -= done
        vec += done
        start += done << 12
