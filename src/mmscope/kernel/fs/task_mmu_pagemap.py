# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/pagemap and clear_refs: the second half of fs/proc/task_mmu.c."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    PMD_MASK,
    PMD_SIZE,
    pte_clear_soft_dirty,
    pte_none,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_soft_dirty,
    pte_wrprotect,
    ptep_modify_prot_commit,
    ptep_modify_prot_start,
    ptep_test_and_clear_young,
)
from mmscope.kernel.arch.x86.tlbflush import flush_tlb_mm
from mmscope.kernel.include.errno import EINVAL, KernelBug, KernelError
from mmscope.kernel.include.mm import VM_PFNMAP, VM_SOFTDIRTY
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PageAnon, PG_referenced
from mmscope.kernel.include.swapops import MAX_SWAPFILES_SHIFT, PTE_MARKER_GUARD, SWP_PTE_MARKER, is_guard_pte_marker
from mmscope.kernel.mm.memory_rss import get_mm_rss
from mmscope.kernel.mm.memory_unmap import is_cow_mapping, vm_normal_page
from mmscope.kernel.mm.mmap_area import find_vma, vm_flags_reset
from mmscope.kernel.mm.mmap_limits import vma_set_page_prot
from mmscope.kernel.mm.page_alloc import page_mapcount, page_maybe_dma_pinned
from mmscope.kernel.mm.pagewalk import MmWalk, MmWalkOps, walk_page_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

PM_ENTRY_BYTES: Final = 8
PM_PFRAME_MASK: Final = (1 << 55) - 1
PM_SOFT_DIRTY: Final = 1 << 55
PM_MMAP_EXCLUSIVE: Final = 1 << 56
#: A page that MADV_GUARD_INSTALL guards (since v6.15).
PM_GUARD_REGION: Final = 1 << 58
PM_FILE: Final = 1 << 61
PM_SWAP: Final = 1 << 62
PM_PRESENT: Final = 1 << 63

# enum clear_refs_types
CLEAR_REFS_ALL: Final = 1
CLEAR_REFS_ANON: Final = 2
CLEAR_REFS_MAPPED: Final = 3
CLEAR_REFS_SOFT_DIRTY: Final = 4
CLEAR_REFS_MM_HIWATER_RSS: Final = 5
CLEAR_REFS_LAST: Final = 6


class Pagemapread:
    """struct pagemapread: the entries made so far, and whether frame numbers may be told."""

    def __init__(self, show_pfn: bool, soft_dirty: int) -> None:
        self.buffer: list[int] = []
        self.show_pfn = show_pfn
        #: PM_SOFT_DIRTY, 0 without CONFIG_MEM_SOFT_DIRTY.
        self.soft_dirty = soft_dirty


def pagemap_pte_hole(start: int, end: int, walk: MmWalk) -> None:
    """Nothing mapped: 0, but soft-dirty inside a VMA that is so as a whole."""
    pm = walk.private
    assert isinstance(pm, Pagemapread)
    addr = start
    while addr < end:
        vma = find_vma(walk.mm, addr)
        hole_end = end if vma is None else min(end, vma.vm_start)
        if hole_end > addr:
            pm.buffer.extend([0] * ((hole_end - addr) >> PAGE_SHIFT))
            addr = hole_end
        if vma is None:
            break
        vma_end = min(end, vma.vm_end)
        if vma_end > addr:
            entry = pm.soft_dirty if vma.vm_flags & VM_SOFTDIRTY else 0
            pm.buffer.extend([entry] * ((vma_end - addr) >> PAGE_SHIFT))
            addr = vma_end


def pte_to_pagemap_entry(pm: Pagemapread, vma: VmAreaStruct, addr: int, pte: i64) -> int:
    """The 64 bits of one page-table entry."""
    frame = flags = 0
    if pte_present(pte):
        if pm.show_pfn:
            frame = pte_pfn(pte)
        flags = PM_PRESENT
        page = vm_normal_page(vma, addr, pte)
        if pte_soft_dirty(pte):
            flags |= pm.soft_dirty
        if page is not None:
            if not PageAnon(page):
                flags |= PM_FILE
            if page_mapcount(page) == 1:
                flags |= PM_MMAP_EXCLUSIVE
    elif is_guard_pte_marker(pte):
        if pm.show_pfn:
            frame = SWP_PTE_MARKER | PTE_MARKER_GUARD << MAX_SWAPFILES_SHIFT
        flags = PM_SWAP
        if vma.vm_mm.kernel.config.at_least(6, 15):
            flags |= PM_GUARD_REGION
    elif not pte_none(pte):
        raise KernelBug(f"pte_to_pagemap_entry: swap entry {pte:#x} in {vma!r} at {addr:#x}: there is no swap yet")
    if vma.vm_flags & VM_SOFTDIRTY:
        flags |= pm.soft_dirty
    return frame & PM_PFRAME_MASK | flags


def pagemap_pmd_range(pmdp: int, addr: int, end: int, walk: MmWalk) -> None:
    """The entries of one page table."""
    pm = walk.private
    vma = walk.vma
    assert isinstance(pm, Pagemapread)
    assert vma is not None
    k = walk.mm.kernel
    ptep = pte_offset_map(k, pmdp, addr)
    while addr < end:
        pm.buffer.append(pte_to_pagemap_entry(pm, vma, addr, k.words[ptep]))
        ptep += 1
        addr += PAGE_SIZE


pagemap_ops: Final = MmWalkOps(pmd_entry=pagemap_pmd_range, pte_hole=pagemap_pte_hole)


def pagemap_read(mm: MmStruct, count: int, pos: int, show_pfn: bool) -> bytes:
    """Entries of 8 bytes from byte `pos` of pagemap on, one a page. b"" behind the last; EINVAL unless both are aligned."""
    if mm.mm_users == 0:
        return b""
    if pos % PM_ENTRY_BYTES or count % PM_ENTRY_BYTES:
        raise KernelError(EINVAL)
    pm = Pagemapread(show_pfn, PM_SOFT_DIRTY if mm.kernel.config.CONFIG_MEM_SOFT_DIRTY else 0)
    addr = (pos // PM_ENTRY_BYTES) << PAGE_SHIFT
    end_vaddr = min(mm.task_size, addr + ((count // PM_ENTRY_BYTES) << PAGE_SHIFT))
    # A page table at a time, as far as it is asked for.
    while addr < end_vaddr:
        end = min((addr + PMD_SIZE) & PMD_MASK, end_vaddr)
        walk_page_range(mm, addr, end, pagemap_ops, pm)
        addr = end
    return b"".join([entry.to_bytes(8, "little") for entry in pm.buffer])


# --- clear_refs


class ClearRefsPrivate:
    """struct clear_refs_private: CLEAR_REFS_*."""

    def __init__(self, type: int) -> None:
        self.type = type


def pte_is_pinned(vma: VmAreaStruct, addr: int, pte: i64) -> bool:
    """Somebody may write the page behind our back: write protection would not tell."""
    if not is_cow_mapping(vma.vm_flags) or not vma.vm_mm.has_pinned:
        return False
    page = vm_normal_page(vma, addr, pte)
    return page is not None and page_maybe_dma_pinned(page)


def clear_soft_dirty(vma: VmAreaStruct, addr: int, ptep: int) -> None:
    """Write-protect the entry: the next write faults and sets the bit again. The caller flushes the TLB."""
    pte: i64 = vma.vm_mm.kernel.words[ptep]
    if not pte_present(pte) or pte_is_pinned(vma, addr, pte):
        return
    old: i64 = ptep_modify_prot_start(vma, addr, ptep)
    ptep_modify_prot_commit(vma, addr, ptep, old, pte_clear_soft_dirty(pte_wrprotect(old)))


def clear_refs_pte_range(pmdp: int, addr: int, end: int, walk: MmWalk) -> None:
    """The entries of one page table: soft-dirty, or A and PG_referenced."""
    cp = walk.private
    vma = walk.vma
    assert isinstance(cp, ClearRefsPrivate)
    assert vma is not None
    k = walk.mm.kernel
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        pte: i64 = k.words[ptep]
        if pte_present(pte):
            if cp.type == CLEAR_REFS_SOFT_DIRTY:
                clear_soft_dirty(vma, addr, ptep)
            else:
                page = vm_normal_page(vma, addr, pte)
                if page is not None:
                    ptep_test_and_clear_young(vma, addr, ptep)
                    page.flags &= ~PG_referenced
        ptep += 1
        addr += PAGE_SIZE


def clear_refs_test_walk(start: int, end: int, walk: MmWalk) -> bool:
    """Anonymous pages of file mappings count as the file's."""
    cp = walk.private
    vma = walk.vma
    assert isinstance(cp, ClearRefsPrivate)
    assert vma is not None
    if vma.vm_flags & VM_PFNMAP:
        return False
    if cp.type == CLEAR_REFS_ANON:
        return vma.vm_file is None
    if cp.type == CLEAR_REFS_MAPPED:
        return vma.vm_file is not None
    return True


clear_refs_walk_ops: Final = MmWalkOps(pmd_entry=clear_refs_pte_range, test_walk=clear_refs_test_walk)


def clear_refs(mm: MmStruct, type: int) -> None:
    """What writing 1 to 5 to clear_refs does. A bits are cleared without a TLB flush, as everywhere on x86."""
    if type == CLEAR_REFS_MM_HIWATER_RSS:
        mm.hiwater_rss = get_mm_rss(mm)
        return
    soft_dirty = type == CLEAR_REFS_SOFT_DIRTY
    if soft_dirty:
        if not mm.kernel.config.CONFIG_MEM_SOFT_DIRTY:
            return
        vma = mm.mmap
        while vma is not None:
            if vma.vm_flags & VM_SOFTDIRTY:
                vm_flags_reset(vma, vma.vm_flags & ~VM_SOFTDIRTY)
                vma_set_page_prot(vma)
            vma = vma.vm_next
        mm.tlb_flush_pending += 1
    if mm.highest_vm_end:
        walk_page_range(mm, 0, mm.highest_vm_end, clear_refs_walk_ops, ClearRefsPrivate(type))
    if soft_dirty:
        flush_tlb_mm(mm)
        mm.tlb_flush_pending -= 1
