# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes pages out of page tables, and what puts one in by hand: zapping, vm_normal_page, vm_insert_page (of mm/memory.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    clear_ptes,
    get_ptes,
    mk_pte,
    pfn_pte,
    pgd_addr_end,
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pte_dirty,
    pte_mkdirty,
    pte_mkspecial,
    pte_mkwrite,
    pte_mkyoung,
    pte_none,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_special,
    pte_young,
    ptep_set_access_flags,
    pud_addr_end,
    pud_none,
    pud_offset,
    set_pte_at,
)
from mmscope.kernel.include.errno import EBUSY, EFAULT, EINVAL, ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    NR_MM_COUNTERS,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_MAYWRITE,
    VM_MIXEDMAP,
    VM_PFNMAP,
    VM_SEQ_READ,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.page import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PageAnon, PG_slab
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.memory_pgtables import (
    get_locked_pte,
)
from mmscope.kernel.mm.memory_rss import (
    add_mm_rss_vec,
    inc_mm_counter_fast,
    mm_counter_file,
    update_hiwater_rss,
)
from mmscope.kernel.mm.mmu_gather import (
    MmuGather,
    __tlb_remove_page,
    tlb_finish_mmu,
    tlb_flush_mmu,
    tlb_flush_mmu_tlbonly,
    tlb_gather_mmu,
    tlb_remove_tlb_entry,
)
from mmscope.kernel.mm.page_alloc import get_page
from mmscope.kernel.mm.page_writeback import set_page_dirty
from mmscope.kernel.mm.rmap import page_add_file_rmap, page_remove_rmap
from mmscope.kernel.mm.swap import lru_add_drain, mark_page_accessed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.fs import AddressSpace
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page, VmAreaStruct

__all__ = [
    "insert_page", "insert_pfn", "is_cow_mapping", "is_zero_pfn", "print_bad_pte", "unmap_page_range", "unmap_single_vma",
    "unmap_vmas", "vm_insert_page", "vm_normal_page", "vmf_insert_pfn", "vmf_insert_pfn_prot", "zap_page_range",
    "zap_page_range_single",
]  # fmt: skip


# --- what stands behind an entry


def is_zero_pfn(k: Kernel, pfn: i64) -> bool:
    """The frame is empty_zero_page."""
    return pfn == k.zero_pfn


def is_cow_mapping(flags: int) -> bool:
    """Private, and may become writable: written pages are copied."""
    return flags & (VM_SHARED | VM_MAYWRITE) == VM_MAYWRITE


def print_bad_pte(vma: VmAreaStruct, addr: int, pte: int, page: Page | None) -> KernelBug:
    """An entry that this VMA cannot have. Linux logs and goes on; here it is the model's bug: raise the result."""
    return KernelBug(f"bad page map in {vma!r} at {addr:#x}: pte {pte & ULONG_MAX:#018x}, {page!r}")


def vm_normal_page(vma: VmAreaStruct, addr: int, pte: i64) -> Page | None:
    """The page behind a present entry, None for those that are not counted: the zero page, pfn maps."""
    k = vma.vm_mm.kernel
    pfn = pte_pfn(pte)
    if pte_special(pte):
        if vma.vm_ops is not None and vma.vm_ops.find_special_page is not None:
            return vma.vm_ops.find_special_page(vma, addr)
        if vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP):
            return None
        if pfn == k.zero_pfn:
            return None
        raise print_bad_pte(vma, addr, pte, None)
    page = k.mem_map.get(pfn)
    if page is None:
        raise print_bad_pte(vma, addr, pte, None)
    return page


# --- zapping


def zap_pte_range(tlb: MmuGather, vma: VmAreaStruct, pmdp: i64, addr: int, end: int, mapping: AddressSpace | None) -> None:
    """Unmap [addr, end) of one page table; with `mapping` only the pages of that file (zap_details.check_mapping).

    The entries are read together, and emptied together, before the TLB is flushed.
    """
    mm = tlb.mm
    k = mm.kernel
    seq_read = vma.vm_flags & VM_SEQ_READ != 0
    while True:
        force_flush = False
        anon: i64 = 0
        rss = [0] * NR_MM_COUNTERS
        ptep = pte_offset_map(k, pmdp, addr)
        #: From here on all entries met are to be emptied.
        start = addr
        for ptent in get_ptes(k, ptep, (end - addr) >> PAGE_SHIFT):
            here = addr
            addr += PAGE_SIZE
            if pte_none(ptent):
                continue
            page: Page | None = None
            if is_guard_pte_marker(ptent):
                stays = not tlb.drop_markers
            elif pte_present(ptent):
                page = vm_normal_page(vma, here, ptent)
                stays = mapping is not None and page is not None and (page.mapping_tag != 0 or page.mapping is not mapping)
                if not stays:
                    tlb_remove_tlb_entry(tlb, ptep + ((here - start) >> PAGE_SHIFT), here)
            else:
                raise KernelBug(f"zap_pte_range: swap entry {ptent:#x} in {vma!r} at {here:#x}: there is no swap yet")
            if stays:
                ptep = clear_ptes(mm, start, ptep, (here - start) >> PAGE_SHIFT) + 1
                start = addr
                continue
            if page is None:
                continue
            if PageAnon(page):
                anon += 1
            else:
                rss[mm_counter_file(page)] -= 1
                # The file page keeps what the entry knew.
                if pte_dirty(ptent):
                    force_flush = True
                    set_page_dirty(page)
                if pte_young(ptent) and not seq_read:
                    mark_page_accessed(page)
            page_remove_rmap(page)
            if __tlb_remove_page(tlb, page):
                force_flush = True
                break
        clear_ptes(mm, start, ptep, (addr - start) >> PAGE_SHIFT)
        rss[MM_ANONPAGES] -= anon
        add_mm_rss_vec(mm, rss)
        if force_flush:
            tlb_flush_mmu_tlbonly(tlb)
            tlb_flush_mmu(tlb)
        if addr == end:
            return


def unmap_page_range(tlb: MmuGather, vma: VmAreaStruct, addr: int, end: int, mapping: AddressSpace | None = None) -> None:
    """Walk the tables of [addr, end) and zap what is there (with zap_p4d_range, zap_pud_range, zap_pmd_range)."""
    if addr >= end:
        raise KernelBug(f"unmap_page_range: [{addr:#x}, {end:#x}) is empty, in {vma!r}")
    mm = vma.vm_mm
    k = mm.kernel
    pgdp = pgd_offset(mm, addr)
    while addr != end:
        next = pgd_addr_end(addr, end)
        if not pgd_none(k.words[pgdp]):
            zap_pud_range(tlb, vma, pgdp, addr, next, mapping)
        pgdp += 1
        addr = next


def zap_pud_range(tlb: MmuGather, vma: VmAreaStruct, pgdp: i64, addr: int, end: int, mapping: AddressSpace | None) -> None:
    """[addr, end) of one PUD."""
    k = tlb.mm.kernel
    pudp = pud_offset(k, pgdp, addr)
    while addr != end:
        next = pud_addr_end(addr, end)
        if not pud_none(k.words[pudp]):
            zap_pmd_range(tlb, vma, pudp, addr, next, mapping)
        pudp += 1
        addr = next


def zap_pmd_range(tlb: MmuGather, vma: VmAreaStruct, pudp: i64, addr: int, end: int, mapping: AddressSpace | None) -> None:
    """[addr, end) of one PMD."""
    k = tlb.mm.kernel
    pmdp = pmd_offset(k, pudp, addr)
    while addr != end:
        next = pmd_addr_end(addr, end)
        if not pmd_none(k.words[pmdp]):
            zap_pte_range(tlb, vma, pmdp, addr, next, mapping)
        pmdp += 1
        addr = next


def unmap_single_vma(
    tlb: MmuGather, vma: VmAreaStruct, start_addr: int, end_addr: int, mapping: AddressSpace | None = None
) -> None:
    """Zap the part of `vma` inside [start_addr, end_addr)."""
    start = max(vma.vm_start, start_addr)
    if start >= vma.vm_end:
        return
    end = min(vma.vm_end, end_addr)
    if end <= vma.vm_start:
        return
    if start != end:
        unmap_page_range(tlb, vma, start, end, mapping)


def unmap_vmas(tlb: MmuGather, vma: VmAreaStruct | None, start_addr: int, end_addr: int) -> None:
    """Zap [start_addr, end_addr) of `vma` and its followers."""
    tlb.drop_markers = True
    while vma is not None and vma.vm_start < end_addr:
        unmap_single_vma(tlb, vma, start_addr, end_addr)
        vma = vma.vm_next


def zap_page_range(vma: VmAreaStruct | None, start: int, size: int) -> None:
    """Remove the user pages of a range, which may span VMAs (madvise(MADV_DONTNEED))."""
    assert vma is not None
    mm = vma.vm_mm
    end = start + size
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, start, end)
    update_hiwater_rss(mm)
    while vma is not None and vma.vm_start < end:
        unmap_single_vma(tlb, vma, start, end)
        vma = vma.vm_next
    tlb_finish_mmu(tlb, start, end)


def zap_page_range_single(vma: VmAreaStruct, address: int, size: int, mapping: AddressSpace | None = None) -> None:
    """Remove the user pages of a range inside `vma`; with `mapping` only that file's."""
    mm = vma.vm_mm
    end = address + size
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, address, end)
    update_hiwater_rss(mm)
    unmap_single_vma(tlb, vma, address, end, mapping)
    tlb_finish_mmu(tlb, address, end)


# --- mapping pages and frames by hand


def insert_page(vma: VmAreaStruct, addr: int, page: Page, prot: i64) -> None:
    """Map a kernel page that is no anonymous page. Raises EINVAL, ENOMEM, EBUSY (something is mapped already)."""
    if page.mapping_tag & PAGE_MAPPING_ANON or page.flags & PG_slab or page._mapcount < -1:
        raise KernelError(EINVAL)
    mm = vma.vm_mm
    ptep = get_locked_pte(mm, addr)
    if ptep == 0:
        raise KernelError(ENOMEM)
    if not pte_none(mm.kernel.words[ptep]):
        raise KernelError(EBUSY)
    get_page(page)
    inc_mm_counter_fast(mm, mm_counter_file(page))
    page_add_file_rmap(page, vma, addr)
    set_pte_at(mm, addr, ptep, mk_pte(page, prot))


def vm_insert_page(vma: VmAreaStruct, addr: int, page: Page) -> None:
    """A driver maps one of its pages in its ->mmap or ->fault; the VMA becomes VM_MIXEDMAP."""
    if addr < vma.vm_start or addr >= vma.vm_end:
        raise KernelError(EFAULT)
    if page._refcount == 0:
        raise KernelError(EINVAL)
    if vma.vm_flags & VM_MIXEDMAP == 0:
        if vma.vm_flags & VM_PFNMAP:
            raise KernelBug(f"vm_insert_page: {vma!r} is a pfn map, {page!r}")
        vma.vm_flags |= VM_MIXEDMAP
    insert_page(vma, addr, page, vma.vm_page_prot)


def insert_pfn(vma: VmAreaStruct, addr: int, pfn: int, prot: i64, mkwrite: bool) -> int:
    """Map a frame by a special entry, uncounted: VM_FAULT_NOPAGE, or VM_FAULT_OOM."""
    mm = vma.vm_mm
    k = mm.kernel
    ptep = get_locked_pte(mm, addr)
    if ptep == 0:
        return VM_FAULT_OOM
    entry: i64 = k.words[ptep]
    if not pte_none(entry):
        if mkwrite and pte_pfn(entry) == pfn:
            entry = pte_mkyoung(entry)
            if vma.vm_flags & VM_WRITE:
                entry = pte_mkwrite(pte_mkdirty(entry))
            ptep_set_access_flags(vma, addr, ptep, entry, 1)
        return VM_FAULT_NOPAGE
    entry = pte_mkspecial(pfn_pte(pfn, prot))
    if mkwrite:
        entry = pte_mkyoung(entry)
        if vma.vm_flags & VM_WRITE:
            entry = pte_mkwrite(pte_mkdirty(entry))
    set_pte_at(mm, addr, ptep, entry)
    return VM_FAULT_NOPAGE


def vmf_insert_pfn_prot(vma: VmAreaStruct, addr: int, pfn: int, pgprot: i64) -> int:
    """A ->fault handler maps a frame. Precondition: VM_PFNMAP (or VM_MIXEDMAP), not copy-on-write."""
    flags = vma.vm_flags
    if flags & (VM_PFNMAP | VM_MIXEDMAP) == 0 or (flags & VM_PFNMAP and is_cow_mapping(flags)):
        raise KernelBug(f"vmf_insert_pfn: pfn {pfn:#x} into {vma!r}")
    if addr < vma.vm_start or addr >= vma.vm_end:
        return VM_FAULT_SIGBUS
    return insert_pfn(vma, addr & PAGE_MASK, pfn, pgprot, False)


def vmf_insert_pfn(vma: VmAreaStruct, addr: int, pfn: int) -> int:
    """vmf_insert_pfn_prot() with the VMA's own permissions."""
    return vmf_insert_pfn_prot(vma, addr, pfn, vma.vm_page_prot)
