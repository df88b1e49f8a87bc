# SPDX-License-Identifier: GPL-2.0-or-later
"""mremap(2): grow, shrink and move mappings (mm/mremap.c). How page tables move is in mremap_tables.py."""

from __future__ import annotations

from mmscope.kernel.include.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import (
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_HUGETLB,
    VM_LOCKED,
    VM_LOCKED_CLEAR_MASK,
    VM_MAYSHARE,
    VM_PFNMAP,
    VM_SHARED,
)
from mmscope.kernel.include.mman import MAP_FIXED, MAP_SHARED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from mmscope.kernel.include.page import PAGE_ALIGN, TASK_SIZE
from mmscope.kernel.include.resource import RLIMIT_MEMLOCK
from mmscope.kernel.mm.gup import mm_populate
from mmscope.kernel.mm.hugetlb import HPAGE_MASK, HPAGE_SIZE
from mmscope.kernel.mm.mmap import (
    copy_vma,
    do_munmap,
    find_vma,
    get_unmapped_area,
    may_expand_vm,
    vm_flags_reset,
    vm_stat_account,
    vma_is_anonymous,
    vma_merge_extend,
)
from mmscope.kernel.mm.mremap_tables import move_page_tables
from mmscope.kernel.mm.rmap import unlink_anon_vmas
from mmscope.kernel.mm.util import (
    CAP_IPC_LOCK,
    capable,
    rlimit,
    security_vm_enough_memory_mm,
    vm_acct_memory,
    vm_unacct_memory,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

__all__ = ["do_mremap", "move_page_tables"]


def move_vma(
    vma: VmAreaStruct, old_addr: int, old_len: int, new_len: int, new_addr: int, flags: int, charge: int
) -> tuple[int, bool]:
    """Copy the VMA, move its entries, unmap the old place; (new address, it is locked: populate what grew).

    `charge`: pages that the caller has not charged yet, if the VMA is charged at all.
    """
    mm = vma.vm_mm
    k = mm.kernel
    vm_flags = vma.vm_flags
    dontunmap = flags & MREMAP_DONTUNMAP != 0
    # Unmapping may split twice.
    if mm.map_count >= k.config.sysctl_max_map_count - 3:
        raise KernelError(ENOMEM)
    if vma.vm_ops is not None and vma.vm_ops.split is not None:
        if vma.vm_start != old_addr:
            vma.vm_ops.split(vma, old_addr)
        if vma.vm_end != old_addr + old_len:
            vma.vm_ops.split(vma, old_addr + old_len)
    if not vm_flags & VM_ACCOUNT:
        charge = 0
    security_vm_enough_memory_mm(mm, charge)

    new_pgoff = vma.vm_pgoff + ((old_addr - vma.vm_start) >> 12)
    new_vma, vma, need_rmap_locks = copy_vma(vma, new_addr, new_len, new_pgoff)
    if new_vma is None:
        vm_unacct_memory(k, charge)
        raise KernelError(ENOMEM)

    err: KernelError | None = None
    moved_len = move_page_tables(vma, old_addr, new_vma, new_addr, old_len, need_rmap_locks)
    if moved_len < old_len:
        err = KernelError(ENOMEM)
    elif vma.vm_ops is not None and vma.vm_ops.mremap is not None:
        try:
            vma.vm_ops.mremap(new_vma)
        except KernelError as e:
            err = e
    if err is not None:
        # Move everything back, then unmap the new place instead of the old one.
        move_page_tables(new_vma, new_addr, vma, old_addr, moved_len, True)
        vma = new_vma
        old_len = new_len
        old_addr = new_addr

    # While the old place is unmapped VM_ACCOUNT is hidden: its commitment now belongs to the new place.
    excess = 0
    split = False
    if vm_flags & VM_ACCOUNT and not dontunmap:
        vm_flags_reset(vma, vma.vm_flags & ~VM_ACCOUNT)
        excess = vma.vm_end - vma.vm_start - old_len
        split = old_addr > vma.vm_start and old_addr + old_len < vma.vm_end
    # total_vm is too high for a moment; its high watermark must not see that.
    hiwater_vm = mm.hiwater_vm
    vm_stat_account(mm, vma.vm_flags, new_len >> 12)

    if err is None and dontunmap:
        _dontunmap_complete(vma, new_vma, old_addr, old_len)
        return new_addr, False

    try:
        do_munmap(mm, old_addr, old_len)
    except KernelError:
        if vm_flags & VM_ACCOUNT and not dontunmap:
            vm_acct_memory(k, new_len >> 12)
        excess = 0
    locked = False
    if vm_flags & VM_LOCKED:
        mm.locked_vm += new_len >> 12
        locked = True
    mm.hiwater_vm = hiwater_vm
    if excess:
        vm_flags_reset(vma, vma.vm_flags | VM_ACCOUNT)
        if split:
            assert vma.vm_next is not None
            vm_flags_reset(vma.vm_next, vma.vm_next.vm_flags | VM_ACCOUNT)
    if err is not None:
        raise err
    return new_addr, locked


def _dontunmap_complete(vma: VmAreaStruct, new_vma: VmAreaStruct, old_addr: int, old_len: int) -> None:
    """What is left behind is not locked: all of the VMA, not only what moved.

    locked_vm stays as it was; since v6.15 (b714ccb02a76) the new place is added. What is too much is never taken back.
    """
    mm = vma.vm_mm
    k = mm.kernel
    if vma.vm_flags & VM_LOCKED:
        mm.locked_vm_lost += (vma.vm_end - vma.vm_start) >> 12
        if k.config.at_least(6, 15):
            mm.locked_vm += old_len >> 12
        else:
            mm.locked_vm_lost -= old_len >> 12
        vm_flags_reset(vma, vma.vm_flags & VM_LOCKED_CLEAR_MASK)
    if k.config.at_least(5, 13) and new_vma is not vma and vma.vm_start == old_addr and vma.vm_end == old_addr + old_len:
        unlink_anon_vmas(vma)  # 1583aa278f5f: no page of it is left there


def warn_private_duplicate(k: Kernel) -> None:
    """Somebody wants a second mapping of private memory."""
    text = "attempted to duplicate a private mapping with mremap.  This is not supported."
    k.printk_once("vma_to_resize", f"{k.current.comm} ({k.current.pid}): {text}")


def vma_to_resize(mm: MmStruct, addr: int, old_len: int, new_len: int, flags: int) -> tuple[VmAreaStruct, int]:
    """The VMA at `addr`, if it may be resized or moved so; (VMA, pages charged for its growth)."""
    k = mm.kernel
    vma = find_vma(mm, addr)
    if vma is None or vma.vm_start > addr:
        raise KernelError(EFAULT)
    # old_len 0 duplicates a mapping, which only makes sense for a shared one (since v4.14, dba58d3b8c50).
    if not old_len and not vma.vm_flags & (VM_SHARED | VM_MAYSHARE):
        warn_private_duplicate(k)
        raise KernelError(EINVAL)
    if flags & MREMAP_DONTUNMAP:
        if k.config.at_least(5, 13):  # a4609387859f
            refused = vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP) != 0
        else:
            refused = not vma_is_anonymous(vma) or vma.vm_flags & VM_SHARED != 0
        if refused:
            raise KernelError(EINVAL)
    if vma.vm_flags & VM_HUGETLB and not k.config.at_least(5, 16):
        raise KernelError(EINVAL)
    if old_len > vma.vm_end - addr:
        raise KernelError(EFAULT)
    if new_len == old_len:
        return vma, 0
    pgoff = ((addr - vma.vm_start) >> 12) + vma.vm_pgoff
    if pgoff + (new_len >> 12) >= 1 << 64:
        raise KernelError(EINVAL)
    if vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP):
        raise KernelError(EFAULT)
    if vma.vm_flags & VM_LOCKED:
        locked = (mm.locked_vm << 12) + new_len - old_len
        if locked > rlimit(k, RLIMIT_MEMLOCK) and not capable(k, CAP_IPC_LOCK):
            raise KernelError(EAGAIN)
    if not may_expand_vm(mm, vma.vm_flags, (new_len - old_len) >> 12):
        raise KernelError(ENOMEM)
    charged = 0
    if vma.vm_flags & VM_ACCOUNT:
        charged = (new_len - old_len) >> 12
        security_vm_enough_memory_mm(mm, charged)
    return vma, charged


def check_mremap_to(addr: int, old_len: int, new_addr: int, new_len: int) -> None:
    """The new place is one where a mapping may be, and not the old one's."""
    if new_addr & 4095:
        raise KernelError(EINVAL)
    if new_len > TASK_SIZE or new_addr > TASK_SIZE - new_len:
        raise KernelError(EINVAL)
    # The first sum may wrap: then do_munmap() refuses the length, after the new place was unmapped.
    if (addr + old_len) & ULONG_MAX > new_addr and new_addr + new_len > addr:
        raise KernelError(EINVAL)


def mremap_to(mm: MmStruct, addr: int, old_len: int, new_addr: int, new_len: int, flags: int) -> tuple[int, bool]:
    """mremap to a place that the caller chose (MREMAP_FIXED), or away from a place that stays (MREMAP_DONTUNMAP)."""
    check_mremap_to(addr, old_len, new_addr, new_len)
    # move_vma() would refuse: better before anything is unmapped.
    if mm.map_count + 2 >= mm.kernel.config.sysctl_max_map_count - 3:
        raise KernelError(ENOMEM)
    if flags & MREMAP_FIXED:
        do_munmap(mm, new_addr, new_len)
    if old_len > new_len:
        do_munmap(mm, (addr + new_len) & ULONG_MAX, old_len - new_len)
        old_len = new_len
    vma, charged = vma_to_resize(mm, addr, old_len, new_len, flags)
    try:
        if flags & MREMAP_DONTUNMAP and not may_expand_vm(mm, vma.vm_flags, old_len >> 12):
            raise KernelError(ENOMEM)
        map_flags = MAP_FIXED if flags & MREMAP_FIXED else 0
        if vma.vm_flags & VM_MAYSHARE:
            map_flags |= MAP_SHARED
        pgoff = vma.vm_pgoff + ((addr - vma.vm_start) >> 12)
        ret = get_unmapped_area(mm, vma.vm_file, new_addr, new_len, pgoff, map_flags)
        if not flags & MREMAP_FIXED:
            new_addr = ret
        return move_vma(vma, addr, old_len, new_len, new_addr, flags, new_len >> 12 if flags & MREMAP_DONTUNMAP else 0)
    except KernelError:
        vm_unacct_memory(mm.kernel, charged)
        raise


def vma_expandable(vma: VmAreaStruct, delta: int) -> bool:
    """There is room for `delta` more bytes behind `vma`."""
    end = vma.vm_end + delta
    if end >= 1 << 64:
        return False
    next = vma.vm_next
    if next is not None and next.vm_start < end:
        return False
    try:
        get_unmapped_area(vma.vm_mm, None, vma.vm_start, end - vma.vm_start, 0, MAP_FIXED)
    except KernelError:
        return False
    return True


def _mremap_grow(mm: MmStruct, addr: int, old_len: int, new_len: int, flags: int) -> tuple[int, bool]:
    """Grow in place if the VMA ends here and there is room, else move; (address, populate what grew)."""
    vma, charged = vma_to_resize(mm, addr, old_len, new_len, flags)
    try:
        if old_len == vma.vm_end - addr and vma_expandable(vma, new_len - old_len):
            pages = (new_len - old_len) >> 12
            vma_merge_extend(vma, new_len - old_len)
            vm_stat_account(mm, vma.vm_flags, pages)
            if vma.vm_flags & VM_LOCKED:
                mm.locked_vm += pages
                return addr, True
            return addr, False
        if not flags & MREMAP_MAYMOVE:
            raise KernelError(ENOMEM)
        map_flags = MAP_SHARED if vma.vm_flags & VM_MAYSHARE else 0
        pgoff = vma.vm_pgoff + ((addr - vma.vm_start) >> 12)
        new_addr = get_unmapped_area(mm, vma.vm_file, 0, new_len, pgoff, map_flags)
        return move_vma(vma, addr, old_len, new_len, new_addr, flags, 0)
    except KernelError:
        vm_unacct_memory(mm.kernel, charged)
        raise


def do_mremap(k: Kernel, addr: int, old_len: int, new_len: int, flags: int, new_addr: int) -> int:
    """mremap(2): the address of the resized mapping. Until v6.15; from then on mremap_vrm.py has it."""
    mm = k.current.mm
    assert mm is not None
    if k.config.at_least(6, 15):
        from mmscope.kernel.mm.mremap_vrm import VmaRemapStruct, do_mremap_vrm  # late: it moves by move_vma()

        return do_mremap_vrm(mm, VmaRemapStruct(addr, old_len, new_len, flags, new_addr))
    if flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP):
        raise KernelError(EINVAL)
    if flags & MREMAP_FIXED and not flags & MREMAP_MAYMOVE:
        raise KernelError(EINVAL)
    if flags & MREMAP_DONTUNMAP and (not flags & MREMAP_MAYMOVE or old_len != new_len):
        raise KernelError(EINVAL)
    if addr & 4095:
        raise KernelError(EINVAL)
    old_len = PAGE_ALIGN(old_len) & ULONG_MAX
    new_len = PAGE_ALIGN(new_len) & ULONG_MAX
    if not new_len:
        raise KernelError(EINVAL)
    if k.config.at_least(5, 16):  # 550a7d60bd5e: the source is looked up before anything else is done
        source = find_vma(mm, addr)
        if source is None or source.vm_start > addr:
            raise KernelError(EFAULT)
        if source.vm_flags & VM_HUGETLB:  # huge pages may be moved, but not grow
            old_len, new_len = old_len + HPAGE_SIZE - 1 & HPAGE_MASK, new_len + HPAGE_SIZE - 1 & HPAGE_MASK
            if (addr | new_addr) & ~HPAGE_MASK or new_len > old_len:
                raise KernelError(EINVAL)
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        ret, locked = mremap_to(mm, addr, old_len, new_addr, new_len, flags)
    elif old_len >= new_len:
        if old_len != new_len:
            do_munmap(mm, (addr + new_len) & ULONG_MAX, old_len - new_len)
        return addr
    else:
        ret, locked = _mremap_grow(mm, addr, old_len, new_len, flags)
    if locked and new_len > old_len:
        mm_populate(mm, ret + old_len, new_len - old_len)
    return ret
