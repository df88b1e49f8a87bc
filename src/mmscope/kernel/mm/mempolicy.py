# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA hinting faults (mm/mempolicy.c, mm/memory.c): entries that do not permit what their VMA does.

task_numa_work() takes the access away from entries now and then, to learn from the fault which node uses a page. On the one
node there is nothing moves: what can be seen is the faults, PROT_NONE entries in pagetables, and numa_* of /proc/vmstat.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    PAGE_NONE,
    pte_mkwrite,
    pte_mkyoung,
    pte_modify,
    pte_write,
    ptep_modify_prot_commit,
    ptep_modify_prot_start,
)
from mmscope.kernel.include.mm import VM_HUGETLB, VM_IO, VM_PFNMAP
from mmscope.kernel.mm.memory import vm_normal_page
from mmscope.kernel.mm.mprotect import MM_CP_PROT_NUMA, change_protection
from mmscope.kernel.mm.shmem import shmem_vm_ops
from mmscope.kernel.mm.vmstat import NUMA_HINT_FAULTS, NUMA_HINT_FAULTS_LOCAL, NUMA_PTE_UPDATES, count_vm_event, count_vm_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault

__all__ = ["change_prot_numa", "do_numa_page", "vma_migratable", "vma_policy_mof"]


def vma_migratable(vma: VmAreaStruct) -> bool:
    """Its pages could be moved to another node."""
    return not vma.vm_flags & (VM_IO | VM_PFNMAP | VM_HUGETLB)


def vma_policy_mof(vma: VmAreaStruct) -> bool:
    """The policy is to move pages to where they are used: the default's is. Shared memory has one of its own, unset."""
    return vma.vm_ops is not shmem_vm_ops


def change_prot_numa(vma: VmAreaStruct, addr: int, end: int) -> int:
    """Let the next access to the pages of [addr, end) fault; the number of entries changed."""
    nr_updated = change_protection(vma, addr, end, PAGE_NONE, MM_CP_PROT_NUMA)
    if nr_updated:
        count_vm_events(vma.vm_mm.kernel, NUMA_PTE_UPDATES, nr_updated)
    return nr_updated


def do_numa_page(vmf: VmFault) -> int:
    """The access after change_prot_numa(): the entry permits again what it did, and the fault is counted."""
    vma = vmf.vma
    k = vma.vm_mm.kernel
    was_writable = pte_write(vmf.orig_pte)
    old_pte: i64 = ptep_modify_prot_start(vma, vmf.address, vmf.pte)
    pte: i64 = pte_mkyoung(pte_modify(old_pte, vma.vm_page_prot))
    if was_writable:
        pte = pte_mkwrite(pte)
    ptep_modify_prot_commit(vma, vmf.address, vmf.pte, old_pte, pte)
    if vm_normal_page(vma, vmf.address, pte) is not None:
        # numa_migrate_prep(): on the one node every page is where it should be.
        count_vm_event(k, NUMA_HINT_FAULTS)
        count_vm_event(k, NUMA_HINT_FAULTS_LOCAL)
    return 0
