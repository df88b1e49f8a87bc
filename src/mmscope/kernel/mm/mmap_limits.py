# SPDX-License-Identifier: GPL-2.0-or-later
"""What an address space may have: limits and accounting, page protection, growth of the stack (parts of mm/mmap.c).

Import from mm/mmap.py, which re-exports all of it.
"""

from __future__ import annotations

import mmscope.kernel.mm.hugetlb as mm_hugetlb
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.arch.x86.pgtable import _PAGE_CHG_MASK, vm_get_page_prot
from mmscope.kernel.include.errno import EAGAIN, ENOMEM, EPERM, KernelError
from mmscope.kernel.include.mm import (
    VM_ACCOUNT,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_NORESERVE,
    VM_PFNMAP,
    VM_SHARED,
    VM_SOFTDIRTY,
    VM_STACK,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.include.page import PAGE_MASK
from mmscope.kernel.include.resource import RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK
from mmscope.kernel.mm.debug import validate_mm
from mmscope.kernel.mm.mmap_area import find_vma, vma_gap_update
from mmscope.kernel.mm.mmap_vma import anon_vma_interval_tree_post_update_vma, anon_vma_interval_tree_pre_update_vma
from mmscope.kernel.mm.rmap import anon_vma_prepare
from mmscope.kernel.tracepoint import trace_vma_adjust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel

# ---- limits and accounting


def may_expand_vm(mm: MmStruct, flags: int, npages: int) -> bool:
    """RLIMIT_AS and RLIMIT_DATA leave room for `npages` more with these vm_flags."""
    k = mm.kernel
    if mm.total_vm + npages > mm_util.rlimit(k, RLIMIT_AS) >> 12:
        return False
    # is_data_mapping(): private, writable, not stack.
    if flags & (VM_WRITE | VM_SHARED | VM_STACK) == VM_WRITE and mm.data_vm + npages > mm_util.rlimit(k, RLIMIT_DATA) >> 12:
        limit = mm_util.rlimit(k, RLIMIT_DATA)
        # A soft limit of zero is Valgrind's; the hard limit then decides.
        if limit == 0 and mm.data_vm + npages <= mm_util.rlimit_max(k, RLIMIT_DATA) >> 12:
            return True
        text = (
            f"VmData {mm.data_vm + npages << 12} exceed data ulimit {limit}. Update limits or use boot option ignore_rlimit_data."
        )
        k.printk_once("may_expand_vm", f"mmap: {k.current.comm} ({k.current.pid}): {text}")
        return False
    return True


def vm_stat_account(mm: MmStruct, flags: int, npages: int) -> None:
    """Count `npages` (negative: discount) in total_vm and in the class that the flags say."""
    mm.total_vm += npages
    if flags & (VM_EXEC | VM_WRITE | VM_STACK) == VM_EXEC:
        mm.exec_vm += npages
    elif flags & VM_STACK:
        mm.stack_vm += npages
    elif flags & (VM_WRITE | VM_SHARED | VM_STACK) == VM_WRITE:
        mm.data_vm += npages


def accountable_mapping(file: File | None, vm_flags: int) -> bool:
    """The mapping can come to own pages that no file backs: private, writable, not MAP_NORESERVE, not of huge pages."""
    if file is not None and mm_hugetlb.is_file_hugepages(file):
        return False
    return vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE) == VM_WRITE


def can_do_mlock(k: Kernel) -> bool:
    """The task may lock memory at all (mm/mlock.c)."""
    return mm_util.rlimit(k, RLIMIT_MEMLOCK) != 0 or mm_util.capable(k, mm_util.CAP_IPC_LOCK)


def mlock_future_check(mm: MmStruct, flags: int, len: int) -> None:
    """RLIMIT_MEMLOCK leaves room for `len` more locked bytes, if `flags` lock them; else EAGAIN."""
    if flags & VM_LOCKED:
        k = mm.kernel
        locked = (len >> 12) + mm.locked_vm
        if locked > mm_util.rlimit(k, RLIMIT_MEMLOCK) >> 12 and not mm_util.capable(k, mm_util.CAP_IPC_LOCK):
            raise KernelError(EAGAIN)


def vma_is_accessible(vma: VmAreaStruct) -> bool:
    """The mapping is not PROT_NONE."""
    return vma.vm_flags & 7 != 0


# ---- page protection


def vm_pgprot_modify(oldprot: i64, vm_flags: int) -> i64:
    """The protection bits of `vm_flags`, the other bits of `oldprot` kept."""
    newprot: i64 = vm_get_page_prot(vm_flags)
    return (oldprot & _PAGE_CHG_MASK) | newprot


def vma_wants_writenotify(vma: VmAreaStruct, vm_page_prot: i64) -> bool:
    """The first write to each page of a shared writable mapping must fault: for page_mkwrite, soft-dirty or writeback."""
    vm_flags = vma.vm_flags
    if vm_flags & (VM_WRITE | VM_SHARED) != VM_WRITE | VM_SHARED:
        return False
    ops = vma.vm_ops
    if ops is not None and (ops.page_mkwrite is not None or ops.pfn_mkwrite is not None):
        return True
    if vm_page_prot != vm_pgprot_modify(vm_page_prot, vm_flags):
        return False
    if not vm_flags & VM_SOFTDIRTY:
        return True
    if vm_flags & VM_PFNMAP:
        return False
    file = vma.vm_file
    return file is not None and file.f_mapping.host.i_sb.s_bdi_writeback


def vma_set_page_prot(vma: VmAreaStruct) -> None:
    """Bring vm_page_prot in line with vm_flags; without the write bit if writes are to be noticed."""
    vm_flags = vma.vm_flags
    vm_page_prot: i64 = vm_pgprot_modify(vma.vm_page_prot, vm_flags)
    if vma_wants_writenotify(vma, vm_page_prot):
        vm_page_prot = vm_pgprot_modify(vm_page_prot, vm_flags & ~VM_SHARED)
    vma.vm_page_prot = vm_page_prot


# ---- stack growth


def acct_stack_growth(vma: VmAreaStruct, size: int, grow: int) -> None:
    """A stack of `size` bytes after growing by `grow` pages is within all limits; commits the pages. ENOMEM if not."""
    mm = vma.vm_mm
    k = mm.kernel
    if not may_expand_vm(mm, vma.vm_flags, grow):
        raise KernelError(ENOMEM)
    if size > mm_util.rlimit(k, RLIMIT_STACK):
        raise KernelError(ENOMEM)
    if vma.vm_flags & VM_LOCKED:
        locked = mm.locked_vm + grow
        if locked > mm_util.rlimit(k, RLIMIT_MEMLOCK) >> 12 and not mm_util.capable(k, mm_util.CAP_IPC_LOCK):
            raise KernelError(ENOMEM)
    mm_util.security_vm_enough_memory_mm(mm, grow)


def expand_downwards(vma: VmAreaStruct, address: int) -> None:
    """Grow a VM_GROWSDOWN mapping to hold `address`, keeping the guard gap to an accessible neighbour."""
    mm = vma.vm_mm
    config = mm.kernel.config
    address &= PAGE_MASK
    if address < config.mmap_min_addr:
        raise KernelError(EPERM)
    prev = vma.vm_prev
    if prev is not None and not prev.vm_flags & VM_GROWSDOWN and vma_is_accessible(prev):
        if address - prev.vm_end < config.stack_guard_gap:
            raise KernelError(ENOMEM)
    anon_vma_prepare(vma)
    if address < vma.vm_start:
        size = vma.vm_end - address
        grow = (vma.vm_start - address) >> 12
        if grow > vma.vm_pgoff:
            raise KernelError(ENOMEM)
        acct_stack_growth(vma, size, grow)
        if not vma.vm_flags & VM_ACCOUNT:
            # A read-only or MAP_NORESERVE stack is charged for its growth all the same, yet munmap() discounts nothing.
            mm.kernel.vm_committed_lost += grow
        if vma.vm_flags & VM_LOCKED:
            mm.locked_vm += grow
        vm_stat_account(mm, vma.vm_flags, grow)
        old_start, old_pgoff = vma.vm_start, vma.vm_pgoff
        anon_vma_interval_tree_pre_update_vma(vma)
        vma.vm_start = address
        vma.vm_pgoff -= grow
        anon_vma_interval_tree_post_update_vma(vma)
        vma_gap_update(vma)
        trace_vma_adjust(vma, old_start, vma.vm_end, old_pgoff)
    validate_mm(mm)


def expand_stack(vma: VmAreaStruct, address: int) -> None:
    """Grow the stack `vma` to `address`; KernelError (ENOMEM, EPERM) if it may not."""
    expand_downwards(vma, address)


def find_extend_vma(mm: MmStruct, addr: int) -> VmAreaStruct | None:
    """The VMA that contains `addr`, a stack above it grown if need be."""
    addr &= PAGE_MASK
    vma = find_vma(mm, addr)
    if vma is None:
        return None
    if vma.vm_start <= addr:
        return vma
    if not vma.vm_flags & VM_GROWSDOWN:
        return None
    start = vma.vm_start
    try:
        expand_stack(vma, addr)
    except KernelError:
        return None
    if vma.vm_flags & VM_LOCKED:
        import mmscope.kernel.mm.gup as mm_gup  # late: gup is above mmap

        try:
            mm_gup.populate_vma_page_range(vma, addr, start)
        except KernelError:
            return vma  # the stack has grown all the same
    return vma
