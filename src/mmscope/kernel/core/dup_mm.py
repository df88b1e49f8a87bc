# SPDX-License-Identifier: GPL-2.0-or-later
"""Throw-away dup_mm: eager copies."""

from __future__ import annotations

import mmscope.kernel.core.fork as core_fork
from mmscope.kernel.arch.x86.cpu import phys_read
from mmscope.kernel.include.mm import FOLL_FORCE, FOLL_WRITE, VM_ACCOUNT, VM_DONTCOPY
from mmscope.kernel.include.mm_types import MmStruct
from mmscope.kernel.include.sched import TaskStruct


def dup_mm(tsk: TaskStruct, oldmm: MmStruct) -> MmStruct:
    """Copy all."""
    from mmscope.kernel.arch.x86.cpu import phys_write
    from mmscope.kernel.arch.x86.pgtable import PTE_PFN_MASK, pte_present
    from mmscope.kernel.include.mm_types import VmAreaStruct
    from mmscope.kernel.mm.gup import get_user_pages_remote
    from mmscope.kernel.mm.memory_unmap import vm_normal_page
    from mmscope.kernel.mm.mmap import vm_area_dup, vma_link
    from mmscope.kernel.mm.page_alloc import put_page
    from mmscope.kernel.fs.file import get_file
    import mmscope.kernel.mm.mmap as mm_mmap

    k = oldmm.kernel
    mm = MmStruct(k)
    pgd0 = mm.__dict__ if False else None
    for name in (
        "mmap_base mmap_legacy_base get_unmapped_area total_vm data_vm exec_vm stack_vm def_flags start_code end_code start_data "
        "end_data start_brk brk start_stack arg_start arg_end env_start env_end vdso vdso_image personality exe_file"
    ).split():
        setattr(mm, name, getattr(oldmm, name))
    mm.saved_auxv = list(oldmm.saved_auxv)
    core_fork.mm_init(mm)
    if mm.exe_file is not None:
        get_file(mm.exe_file)
    vma = oldmm.mmap
    prev = None
    todo = []
    while vma is not None:
        nxt = vma.vm_next
        new = vm_area_dup(vma)
        new.vm_mm = mm
        new.anon_vma = None
        new.anon_vma_chain = []
        if new.vm_file is not None:
            get_file(new.vm_file)
        if new.vm_flags & VM_ACCOUNT:
            k.vm_committed_as += (new.vm_end - new.vm_start) >> 12
        mm_mmap.insert_vm_struct_raw(mm, new) if hasattr(mm_mmap, "insert_vm_struct_raw") else _insert(mm, new)
        if new.vm_ops is not None and new.vm_ops.open is not None:
            new.vm_ops.open(new)
        todo.append((vma, new))
        vma = nxt
    return_pages = []
    for vma, new in todo:
        if vma.anon_vma is None:
            continue
        addr = vma.vm_start
        while addr < vma.vm_end:
            page = _lookup(oldmm, addr)
            if page is not None and page.mapping_tag:
                pages = get_user_pages_remote(mm, addr, 1, FOLL_FORCE | FOLL_WRITE)
                phys_write(k, pages[0].pfn << 12, phys_read(k, page.pfn << 12, 4096))
                put_page(pages[0])
            addr += 4096
    return mm


def _lookup(mm: MmStruct, addr: int):
    k = mm.kernel
    table = mm.pgd
    for shift in (39, 30, 21, 12):
        entry = k.words[(table >> 3) + (addr >> shift & 511)]
        if not entry & 1:
            return None
        table = entry & 0x000FFFFFFFFFF000
    return k.mem_map.get(table >> 12)


def _insert(mm, new):
    from mmscope.kernel.mm.mmap import find_vma_links, vma_link
    r = find_vma_links(mm, new.vm_start, new.vm_end)
    vma_link(mm, new, *r)
