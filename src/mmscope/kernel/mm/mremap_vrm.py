# SPDX-License-Identifier: GPL-2.0-or-later
"""mremap(2) since v6.15 (221bf5cac5c2): one structure goes through all steps. v6.17 moved all checks before the first change.

The order decides which error a call gives for which several apply, and what a call that fails has unmapped already.
"""

from __future__ import annotations

import mmscope.kernel.mm.shmem as mm_shmem
from mmscope.kernel.include.errno import EFAULT, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import VM_ACCOUNT, VM_DONTEXPAND, VM_HUGETLB, VM_LOCKED, VM_MAYSHARE, VM_PFNMAP, VM_SHARED
from mmscope.kernel.include.mman import MAP_FIXED, MAP_SHARED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from mmscope.kernel.include.page import PAGE_ALIGN, TASK_SIZE
from mmscope.kernel.mm.gup import mm_populate
from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area
from mmscope.kernel.mm.hugetlb import HPAGE_MASK, HPAGE_SIZE
from mmscope.kernel.mm.mmap import (
    do_munmap,
    find_vma,
    get_unmapped_area,
    may_expand_vm,
    mlock_future_check,
    vm_stat_account,
    vma_merge_extend,
)
from mmscope.kernel.mm.mremap import move_vma, vma_expandable, warn_private_duplicate
from mmscope.kernel.mm.util import security_vm_enough_memory_mm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct


class VmaRemapStruct:
    """struct vma_remap_struct: the arguments, and what is found out about them. Lengths and delta in bytes."""

    def __init__(self, addr: int, old_len: int, new_len: int, flags: int, new_addr: int) -> None:
        self.addr = addr
        self.old_len = old_len
        self.new_len = new_len
        self.flags = flags
        self.new_addr = new_addr
        #: By how much the size changes, either way. It keeps its value when a shrink is done.
        self.delta = 0
        #: What grew is locked: populate it.
        self.mlocked = False

    def implies_new_addr(self) -> bool:
        """vrm_implies_new_addr(): new_addr is the caller's, a place or (MREMAP_DONTUNMAP) a hint."""
        return self.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0

    def align(self) -> None:
        """Lengths in whole pages."""
        self.old_len = PAGE_ALIGN(self.old_len) & ULONG_MAX
        self.new_len = PAGE_ALIGN(self.new_len) & ULONG_MAX

    def set_delta(self) -> None:
        """vrm_set_delta()"""
        self.delta = abs(self.old_len - self.new_len)


def vma_lookup(mm: MmStruct, addr: int) -> VmAreaStruct:
    """The VMA at `addr`; EFAULT where there is none."""
    vma = find_vma(mm, addr)
    if vma is None or vma.vm_start > addr:
        raise KernelError(EFAULT)
    return vma


def vrm_overlaps(vrm: VmaRemapStruct) -> bool:
    """Old and new range meet. Ends may wrap."""
    return (vrm.addr + vrm.old_len) & ULONG_MAX > vrm.new_addr and (vrm.new_addr + vrm.new_len) & ULONG_MAX > vrm.addr


def check_mremap_params(mm: MmStruct, vrm: VmaRemapStruct) -> None:
    """What can be said without looking at mappings: EINVAL; ENOMEM near max_map_count."""
    early = mm.kernel.config.at_least(6, 17)
    if vrm.flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP):
        raise KernelError(EINVAL)
    if vrm.addr & 4095:
        raise KernelError(EINVAL)
    if not PAGE_ALIGN(vrm.new_len) & ULONG_MAX:
        raise KernelError(EINVAL)
    if early and vrm.new_len > TASK_SIZE:
        raise KernelError(EINVAL)
    if not vrm.implies_new_addr():
        return
    if early and vrm.new_addr > TASK_SIZE - vrm.new_len:
        raise KernelError(EINVAL)
    if vrm.new_addr & 4095:
        raise KernelError(EINVAL)
    if not vrm.flags & MREMAP_MAYMOVE:
        raise KernelError(EINVAL)
    if vrm.flags & MREMAP_DONTUNMAP and vrm.old_len != vrm.new_len:
        raise KernelError(EINVAL)
    if early and vrm_overlaps(vrm):
        raise KernelError(EINVAL)
    # move_vma() would refuse: better before anything is unmapped.
    if mm.map_count + 2 >= mm.kernel.config.sysctl_max_map_count - 3:
        raise KernelError(ENOMEM)


def remap_is_valid(vrm: VmaRemapStruct, vma: VmAreaStruct, old_len: int) -> None:
    """`vma` may be resized or moved so (since v6.17 a part of check_prep_vma())."""
    mm = vma.vm_mm
    # old_len 0 duplicates a mapping, which only makes sense for a shared one.
    if not old_len and not vma.vm_flags & (VM_SHARED | VM_MAYSHARE):
        warn_private_duplicate(mm.kernel)
        raise KernelError(EINVAL)
    if vrm.flags & MREMAP_DONTUNMAP and vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP):
        raise KernelError(EINVAL)
    if old_len > vma.vm_end - vrm.addr:
        raise KernelError(EFAULT)
    if vrm.new_len == old_len:
        return
    vrm.mlocked = vma.vm_flags & VM_LOCKED != 0
    pgoff = ((vrm.addr - vma.vm_start) >> 12) + vma.vm_pgoff
    if pgoff + (vrm.new_len >> 12) >= 1 << 64:
        raise KernelError(EINVAL)
    if vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP):
        raise KernelError(EFAULT)
    mlock_future_check(mm, vma.vm_flags, vrm.delta)
    if not may_expand_vm(mm, vma.vm_flags, vrm.delta >> 12):
        raise KernelError(ENOMEM)


def align_hugetlb(vrm: VmaRemapStruct, vma: VmAreaStruct) -> None:
    """Huge pages may be moved, by multiples of their size, but not grow: EINVAL."""
    if vma.vm_flags & VM_HUGETLB:
        vrm.old_len = vrm.old_len + HPAGE_SIZE - 1 & HPAGE_MASK
        vrm.new_len = vrm.new_len + HPAGE_SIZE - 1 & HPAGE_MASK
        if (vrm.addr | vrm.new_addr) & ~HPAGE_MASK or vrm.new_len > vrm.old_len:
            raise KernelError(EINVAL)


def check_prep_vma(vrm: VmaRemapStruct, vma: VmAreaStruct) -> None:
    """Since v6.17 all that can be said about the mapping is said before the first change."""
    align_hugetlb(vrm, vma)
    vrm.set_delta()
    if vrm.new_len > vrm.old_len or vrm.implies_new_addr():
        # What a shrink cuts off may lie beyond the mapping.
        remap_is_valid(vrm, vma, min(vrm.old_len, vrm.new_len))


def shrink_vma(mm: MmStruct, vrm: VmaRemapStruct) -> None:
    """Unmap the tail."""
    do_munmap(mm, (vrm.addr + vrm.new_len) & ULONG_MAX, vrm.delta)


def vrm_set_new_addr(vrm: VmaRemapStruct, vma: VmAreaStruct) -> None:
    """Find the new place as mmap() would."""
    map_flags = MAP_FIXED if vrm.flags & MREMAP_FIXED else 0
    if vma.vm_flags & VM_MAYSHARE:
        map_flags |= MAP_SHARED
    pgoff = vma.vm_pgoff + ((vrm.addr - vma.vm_start) >> 12)
    hint = vrm.new_addr if vrm.implies_new_addr() else 0
    vrm.new_addr = get_unmapped_area(vma.vm_mm, vma.vm_file, hint, vrm.new_len, pgoff, map_flags)


def vrm_calc_charge(vrm: VmaRemapStruct, vma: VmAreaStruct) -> int:
    """Pages to charge. After a shrink that is, absurdly, what was cut off: terabytes are refused, and all of it is lost."""
    if not vma.vm_flags & VM_ACCOUNT:
        return 0
    return (vrm.new_len if vrm.flags & MREMAP_DONTUNMAP else vrm.delta) >> 12


def vrm_move(vrm: VmaRemapStruct, vma: VmAreaStruct, shrunk: bool) -> int:
    """move_vma() with what is to be charged; the new address."""
    charge = vrm_calc_charge(vrm, vma)
    new_addr, _ = move_vma(vma, vrm.addr, vrm.old_len, vrm.new_len, vrm.new_addr, vrm.flags, charge)
    if shrunk:
        vma.vm_mm.kernel.vm_committed_lost += charge
    return new_addr


def mremap_to(mm: MmStruct, vrm: VmaRemapStruct, vma: VmAreaStruct) -> int:
    """To a place that the caller chose (MREMAP_FIXED), or away from one that stays (MREMAP_DONTUNMAP)."""
    checked = mm.kernel.config.at_least(6, 17)
    if not checked:
        if vrm.new_len > TASK_SIZE or vrm.new_addr > TASK_SIZE - vrm.new_len or vrm_overlaps(vrm):
            raise KernelError(EINVAL)
    if vrm.flags & MREMAP_FIXED:
        do_munmap(mm, vrm.new_addr, vrm.new_len)
        vma = vma_lookup(mm, vrm.addr)
    shrunk = vrm.old_len > vrm.new_len
    if shrunk:
        shrink_vma(mm, vrm)
        vma = vma_lookup(mm, vrm.addr)
        vrm.old_len = vrm.new_len
    if not checked:
        remap_is_valid(vrm, vma, vrm.old_len)
    if vrm.flags & MREMAP_DONTUNMAP and not may_expand_vm(mm, vma.vm_flags, vrm.old_len >> 12):
        raise KernelError(ENOMEM)
    vrm_set_new_addr(vrm, vma)
    return vrm_move(vrm, vma, shrunk)


def expand_vma(mm: MmStruct, vrm: VmaRemapStruct, vma: VmAreaStruct) -> int:
    """Grow in place if the VMA ends here and there is room, else move."""
    if not mm.kernel.config.at_least(6, 17):
        remap_is_valid(vrm, vma, vrm.old_len)
    if vrm.old_len == vma.vm_end - vrm.addr and vma_expandable(vma, vrm.delta):
        pages = vrm.delta >> 12
        security_vm_enough_memory_mm(mm, vrm_calc_charge(vrm, vma))
        flags = vma.vm_flags
        vma_merge_extend(vma, vrm.delta)
        vm_stat_account(mm, flags, pages)
        if flags & VM_LOCKED:
            mm.locked_vm += pages
        vrm.new_addr = vrm.addr
        return vrm.addr
    if not vrm.flags & MREMAP_MAYMOVE:
        raise KernelError(ENOMEM)
    vrm_set_new_addr(vrm, vma)
    return vrm_move(vrm, vma, False)


def vma_multi_allowed(vma: VmAreaStruct) -> bool:
    """May be moved along with others: not where a get_unmapped_area of the file's own might not obey MREMAP_FIXED (SysV shm)."""
    file = vma.vm_file
    if file is None or file.f_op.get_unmapped_area is None:
        return True
    if vma.vm_ops is mm_shmem.shmem_vm_ops or vma.vm_flags & VM_HUGETLB:
        return True
    return file.f_op.get_unmapped_area == thp_get_unmapped_area


def remap_move(mm: MmStruct, vrm: VmaRemapStruct) -> int:
    """Since v6.17 (d23cb648e365) MREMAP_FIXED without a change of size moves all mappings of a range, and keeps its holes."""
    start = vrm.addr
    end = vrm.addr + vrm.old_len
    new_addr = target = vrm.new_addr
    last_end = 0
    seen_vma = False
    vma = find_vma(mm, start)
    if vma is None or vma.vm_start > start:
        raise KernelError(EFAULT)
    while vma is not None and vma.vm_start < end:
        vrm.addr = max(vma.vm_start, start)
        vrm.old_len = vrm.new_len = min(end, vma.vm_end) - vrm.addr
        vrm.new_addr = target + (vma.vm_start - last_end if last_end else 0)
        last_end = vma.vm_end
        if not vma_multi_allowed(vma) and (seen_vma or vma.vm_end < end):
            raise KernelError(EFAULT)
        seen_vma = True
        check_prep_vma(vrm, vma)
        target = mremap_to(mm, vrm, vma) + vrm.new_len
        vma = find_vma(mm, last_end)
    return new_addr


def do_mremap_vrm(mm: MmStruct, vrm: VmaRemapStruct) -> int:
    """mremap(2): the address of the resized mapping."""
    early = mm.kernel.config.at_least(6, 17)
    if early:
        vrm.align()
    check_mremap_params(mm, vrm)
    vrm.align()
    vrm.set_delta()
    if early and vrm.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) == MREMAP_FIXED and vrm.old_len == vrm.new_len:
        return remap_move(mm, vrm)
    vma = vma_lookup(mm, vrm.addr)
    if early:
        check_prep_vma(vrm, vma)
    else:
        align_hugetlb(vrm, vma)
        vrm.set_delta()
    grows = vrm.new_len > vrm.old_len
    old_len = vrm.old_len
    if vrm.implies_new_addr():
        ret = mremap_to(mm, vrm, vma)
    elif grows:
        ret = expand_vma(mm, vrm, vma)
    else:
        if vrm.delta:
            shrink_vma(mm, vrm)
        return vrm.addr
    if grows and vrm.mlocked:
        mm_populate(mm, ret + old_len, vrm.delta)
    return ret
