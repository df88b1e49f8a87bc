# SPDX-License-Identifier: GPL-2.0-or-later
"""munmap, and the end of an address space (of mm/mmap.c). Import from mm/mmap.py."""

from __future__ import annotations

import mmscope.kernel.fs.file as fs_file
import mmscope.kernel.mm.memory as mm_memory
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.include.errno import (
    EINVAL,
    ENOMEM,
    KernelError,
)
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import (
    VM_ACCOUNT,
    VM_LOCKED,
)
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.include.page import PAGE_ALIGN, TASK_SIZE
from mmscope.kernel.lib.rbtree import RbNode
from mmscope.kernel.mm.debug import validate_mm
from mmscope.kernel.mm.mmap_area import (
    find_vma,
    find_vma_intersection,
    find_vma_links,
    vm_end_gap,
    vma_gap_update,
    vma_next,
    vma_pages,
)
from mmscope.kernel.mm.mmap_limits import (
    vm_stat_account,
)
from mmscope.kernel.mm.mmap_vma import (
    __split_vma,
    vma_rb_erase,
)
from mmscope.kernel.mm.mmu_gather import tlb_finish_mmu, tlb_gather_mmu
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.mm.vmacache import vmacache_invalidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def split_at_borders(mm: MmStruct, addr: int, end: int) -> None:
    """Make `addr` and `end` borders of VMAs (since v6.12 the first half of vms_gather_munmap_vmas())."""
    vma = find_vma_intersection(mm, addr, end)
    if vma is not None and vma.vm_start < addr:
        if end < vma.vm_end and mm.map_count >= mm.kernel.config.sysctl_max_map_count:
            raise KernelError(ENOMEM)
        __split_vma(mm, vma, addr, False)
    last = find_vma(mm, end)
    if last is not None and last.vm_start < end:
        __split_vma(mm, last, end, True)


def munmap_vma_range(mm: MmStruct, start: int, len: int) -> tuple[VmAreaStruct | None, bool, RbNode | None]:
    """Unmap what stands in [start, start + len); (prev, rb_link, rb_parent) of the hole. ENOMEM if that fails."""
    links = find_vma_links(mm, start, start + len)
    while links is None:
        try:
            do_munmap(mm, start, len)
        except KernelError:
            raise KernelError(ENOMEM) from None
        links = find_vma_links(mm, start, start + len)
    return links


def remove_vma(vma: VmAreaStruct) -> VmAreaStruct | None:
    """Close and drop an unlinked VMA; the next one of its list."""
    next = vma.vm_next
    if vma.vm_ops is not None and vma.vm_ops.close is not None:
        vma.vm_ops.close(vma)
    if vma.vm_file is not None:
        fs_file.fput(vma.vm_file)
    return next


def remove_vma_list(mm: MmStruct, first: VmAreaStruct) -> None:
    """Discount and drop the VMAs that were detached."""
    nr_accounted = 0
    mm_memory.update_hiwater_vm(mm)
    vma: VmAreaStruct | None = first
    while vma is not None:
        nrpages = vma_pages(vma)
        if vma.vm_flags & VM_ACCOUNT:
            nr_accounted += nrpages
        vm_stat_account(mm, vma.vm_flags, -nrpages)
        vma = remove_vma(vma)
    mm_util.vm_unacct_memory(mm.kernel, nr_accounted)
    validate_mm(mm)


def unmap_region(mm: MmStruct, vma: VmAreaStruct, prev: VmAreaStruct | None, start: int, end: int) -> None:
    """Free the pages of [start, end), and the page tables that no neighbour needs. The VMAs are off the list already."""
    next = vma_next(mm, prev)
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, start, end)
    mm_memory.update_hiwater_rss(mm)
    mm_memory.unmap_vmas(tlb, vma, start, end)
    mm_memory.free_pgtables(tlb, vma, prev.vm_end if prev is not None else 0, next.vm_start if next is not None else 0)
    tlb_finish_mmu(tlb)


def unlock_range(start: VmAreaStruct, limit: int) -> None:
    """Unlock the pages of the VMAs from `start` on that begin below `limit`."""
    import mmscope.kernel.mm.mlock as mm_mlock

    vma: VmAreaStruct | None = start
    while vma is not None and vma.vm_start < limit:
        if vma.vm_flags & VM_LOCKED:
            vma.vm_mm.locked_vm -= vma_pages(vma)
            mm_mlock.munlock_vma_pages_range(vma, vma.vm_start, vma.vm_end)
        vma = vma.vm_next


def detach_vmas_to_be_unmapped(mm: MmStruct, first: VmAreaStruct, prev: VmAreaStruct | None, end: int) -> None:
    """Cut the VMAs from `first` up to `end` out of tree and list; they stay linked among themselves."""
    first.vm_prev = None
    vma: VmAreaStruct | None = first
    tail_vma = first
    while vma is not None and vma.vm_start < end:
        vma_rb_erase(vma, mm)
        mm.map_count -= 1
        tail_vma = vma
        vma = vma.vm_next
    if prev is not None:
        prev.vm_next = vma
    else:
        mm.mmap = vma
    if vma is not None:
        vma.vm_prev = prev
        vma_gap_update(vma)
    else:
        mm.highest_vm_end = vm_end_gap(prev) if prev is not None else 0
    tail_vma.vm_next = None
    vmacache_invalidate(mm)


def __do_munmap(mm: MmStruct, start: int, len: int) -> None:
    """Unmap [start, start + len); parts of VMAs at both ends are split off first."""
    if start & 4095 or start > TASK_SIZE or len > TASK_SIZE - start:
        raise KernelError(EINVAL)
    len = PAGE_ALIGN(len)
    end = start + len
    if len == 0:
        raise KernelError(EINVAL)
    vma = find_vma(mm, start)
    if vma is None or vma.vm_start >= end:
        return
    prev = vma.vm_prev
    if start > vma.vm_start:
        # map_count may pass its limit for a moment, but not stay there.
        if end < vma.vm_end and mm.map_count >= mm.kernel.config.sysctl_max_map_count:
            raise KernelError(ENOMEM)
        __split_vma(mm, vma, start, False)
        prev = vma
    last = find_vma(mm, end)
    if last is not None and end > last.vm_start:
        __split_vma(mm, last, end, True)
    vma = vma_next(mm, prev)
    assert vma is not None

    if mm.locked_vm:
        unlock_range(vma, end)
    detach_vmas_to_be_unmapped(mm, vma, prev, end)
    unmap_region(mm, vma, prev, start, end)
    remove_vma_list(mm, vma)


def do_munmap(mm: MmStruct, start: int, len: int) -> None:
    """munmap(2) on an address space."""
    __do_munmap(mm, start, len)


def vm_munmap(k: Kernel, start: int, len: int) -> None:
    """munmap(2) of the current task."""
    mm = k.current.mm
    assert mm is not None
    __do_munmap(mm, start, len)


def exit_mmap(mm: MmStruct) -> None:
    """The last user is gone: free all pages, page tables and VMAs."""
    vma = mm.mmap
    if vma is None:
        return
    if mm.locked_vm:
        unlock_range(vma, ULONG_MAX)
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, 0, ULONG_MAX)
    mm_memory.unmap_vmas(tlb, vma, 0, ULONG_MAX)
    mm_memory.free_pgtables(tlb, vma, 0, 0)
    tlb_finish_mmu(tlb)
    nr_accounted = 0
    while vma is not None:
        if vma.vm_flags & VM_ACCOUNT:
            nr_accounted += vma_pages(vma)
        vma = remove_vma(vma)
    mm_util.vm_unacct_memory(mm.kernel, nr_accounted)
    # C leaves the pointers dangling; nobody may follow them here either.
    mm.mmap = None
    mm.mm_rb.rb_node = None
