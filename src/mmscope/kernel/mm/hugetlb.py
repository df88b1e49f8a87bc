# SPDX-License-Identifier: GPL-2.0-or-later
"""Huge pages from a reserved pool (mm/hugetlb.c), as on a machine that has reserved none (vm.nr_hugepages = 0).

A mapping that wants a reservation is refused; one with MAP_NORESERVE is made, and every fault in it is SIGBUS.
"""

from __future__ import annotations

import mmscope.kernel.mm.memory as mm_memory
from mmscope.kernel.arch.x86.pgtable import pgd_offset
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.mm import VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_NORESERVE
from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault, VmOperationsStruct
from mmscope.kernel.include.page import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File, Inode

#: The only hstate: 2 MiB. The processor has no pages of 1 GiB (pdpe1gb).
HPAGE_SHIFT: Final = 21
HPAGE_SIZE: Final = 1 << HPAGE_SHIFT
HPAGE_MASK: Final = -HPAGE_SIZE


def hstate_sizelog(page_size_log: int) -> int:
    """log2 of the page size that MAP_HUGETLB asks for, 0 = the default; EINVAL if there is no such hstate."""
    if page_size_log not in (0, HPAGE_SHIFT):
        raise KernelError(EINVAL)
    return HPAGE_SHIFT


def is_file_hugepages(file: File) -> bool:
    """A file of hugetlbfs, whoever's operations it has (include/linux/hugetlb.h)."""
    return file.f_inode.i_sb.s_type == "hugetlbfs"


def vma_kernel_pagesize(vma: VmAreaStruct) -> int:
    """Size of the pages that `vma` maps, bytes."""
    if vma.vm_ops is not None and vma.vm_ops.pagesize is not None:
        return vma.vm_ops.pagesize(vma)
    return PAGE_SIZE


def vma_mmu_pagesize(vma: VmAreaStruct) -> int:
    """Size of the pages that the page tables hold: the same on x86."""
    return vma_kernel_pagesize(vma)


def hugetlb_reserve_pages(inode: Inode, from_: int, to: int, vm_flags: int) -> None:
    """Set pages [from, to) of the file aside for a mapping; ENOMEM, for the pool is empty. MAP_NORESERVE asks for none."""
    if from_ > to:
        raise KernelError(EINVAL)
    if vm_flags & VM_NORESERVE or from_ == to:
        return
    raise KernelError(ENOMEM)


def huge_pte_alloc(vma: VmAreaStruct, address: int) -> int:
    """The PMD entry that would hold the huge page, its tables allocated; 0 if out of memory (arch/x86)."""
    mm = vma.vm_mm
    pud = mm_memory.pud_alloc(mm, mm_memory.p4d_alloc(mm, pgd_offset(mm, address), address), address)
    return mm_memory.pmd_alloc(mm, pud, address) if pud else 0


def hugetlb_fault(vma: VmAreaStruct, address: int) -> int:
    """hugetlb_no_page() of an empty pool: alloc_huge_page() has ENOSPC, beyond the file's end it is SIGBUS anyway."""
    if not huge_pte_alloc(vma, address & HPAGE_MASK):
        return VM_FAULT_OOM
    return VM_FAULT_SIGBUS


def hugetlb_vm_op_fault(vmf: VmFault) -> int:
    """BUG(): faults go to hugetlb_fault()."""
    raise KernelBug(f"hugetlb_vm_op_fault: {vmf.vma!r} at {vmf.address:#x}")


def hugetlb_vm_op_close(vma: VmAreaStruct) -> None:
    """Gives unused reservations back, of which there are none; that it exists keeps such mappings from merging."""


def hugetlb_vm_op_pagesize(vma: VmAreaStruct) -> int:
    """What smaps shows."""
    return HPAGE_SIZE


def hugetlb_vm_op_split(vma: VmAreaStruct, addr: int) -> None:
    """Only between huge pages."""
    if addr & ~HPAGE_MASK:
        raise KernelError(EINVAL)


hugetlb_vm_ops: Final = VmOperationsStruct(
    "hugetlb_vm_ops",
    fault=hugetlb_vm_op_fault,
    close=hugetlb_vm_op_close,
    split=hugetlb_vm_op_split,
    pagesize=hugetlb_vm_op_pagesize,
)
