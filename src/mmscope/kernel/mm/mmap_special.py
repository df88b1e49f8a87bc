# SPDX-License-Identifier: GPL-2.0-or-later
"""Special mappings: vdso and vvar, whose pages the kernel makes (the end of mm/mmap.c). Import from mm/mmap.py."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import vm_get_page_prot
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.mm import VM_DONTEXPAND, VM_FAULT_SIGBUS, VM_SOFTDIRTY
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmFault, VmOperationsStruct, VmSpecialMapping
from mmscope.kernel.mm.mmap_limits import vm_stat_account
from mmscope.kernel.mm.mmap_vma import insert_vm_struct, vm_area_alloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import Page


def special_mapping_close(vma: VmAreaStruct) -> None:
    """Nothing to do, but that it exists keeps special mappings from merging."""


def special_mapping_name(vma: VmAreaStruct) -> str:
    """What maps shows."""
    sm = vma.vm_private_data
    assert isinstance(sm, VmSpecialMapping)
    return sm.name


def special_mapping_mremap(new_vma: VmAreaStruct) -> None:
    """Tell the owner that its mapping moved (the vdso updates mm->context)."""
    sm = new_vma.vm_private_data
    assert isinstance(sm, VmSpecialMapping)
    if sm.mremap is not None:
        sm.mremap(sm, new_vma)


def special_mapping_split(vma: VmAreaStruct, addr: int) -> None:
    """Part of a special mapping makes no sense (since v5.11, 871402e05b24)."""
    raise KernelError(EINVAL)


def special_mapping_fault(vmf: VmFault) -> int:
    """Hand out the mapping's page at this offset, or let its own fault handler do so."""
    sm = vmf.vma.vm_private_data
    assert isinstance(sm, VmSpecialMapping)
    if sm.fault is not None:
        return sm.fault(sm, vmf.vma, vmf)
    pages: list[Page] = sm.pages if sm.pages is not None else []
    if vmf.pgoff < len(pages):
        page = pages[vmf.pgoff]
        page._refcount += 1
        vmf.page = page
        return 0
    return VM_FAULT_SIGBUS


special_mapping_vmops: Final = VmOperationsStruct(
    "special_mapping_vmops",
    close=special_mapping_close,
    split=special_mapping_split,
    mremap=special_mapping_mremap,
    fault=special_mapping_fault,
    name=special_mapping_name,
)


def _install_special_mapping(mm: MmStruct, addr: int, len: int, vm_flags: int, spec: VmSpecialMapping) -> VmAreaStruct:
    """Map kernel-made pages (vdso, vvar) at a fixed free place."""
    vma = vm_area_alloc(mm)
    vma.vm_start = addr
    vma.vm_end = addr + len
    vma.vm_flags = vm_flags | mm.def_flags | VM_DONTEXPAND | VM_SOFTDIRTY
    vma.vm_page_prot = vm_get_page_prot(vma.vm_flags)
    vma.vm_ops = special_mapping_vmops
    vma.vm_private_data = spec
    insert_vm_struct(mm, vma)
    vm_stat_account(mm, vma.vm_flags, len >> 12)
    return vma
