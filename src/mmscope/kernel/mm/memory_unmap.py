# SPDX-License-Identifier: GPL-2.0-or-later
"""The first half of mm/memory.c: RSS counters, page-table pages, vm_normal_page, zapping, inserting pages and frames.

mm/memory.py, the fault half, re-exports all of it: import from there.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    PMD_MASK,
    PMD_SIZE,
    PUD_MASK,
    clear_ptes,
    get_ptes,
    mk_pte,
    p4d_populate,
    pfn_pte,
    pgd_addr_end,
    pgd_bad,
    pgd_none,
    pgd_offset,
    pgtable_vaddr,
    pmd_addr_end,
    pmd_alloc_one,
    pmd_bad,
    pmd_index,
    pmd_none,
    pmd_offset,
    pmd_pfn,
    pmd_populate,
    pte_alloc_one,
    pte_clear,
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
    pud_alloc_one,
    pud_bad,
    pud_index,
    pud_none,
    pud_offset,
    pud_populate,
    set_pte_at,
)
from mmscope.kernel.include.errno import EBUSY, EFAULT, EINVAL, ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
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
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PageAnon, PG_slab, PG_swapbacked
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.mmu_gather import (
    MmuGather,
    __tlb_remove_page,
    pmd_free_tlb,
    pte_free_tlb,
    pud_free_tlb,
    tlb_finish_mmu,
    tlb_flush_mmu,
    tlb_flush_mmu_tlbonly,
    tlb_gather_mmu,
    tlb_remove_tlb_entry,
)
from mmscope.kernel.mm.page_alloc import get_page, pfn_to_page
from mmscope.kernel.mm.page_writeback import set_page_dirty
from mmscope.kernel.mm.rmap import page_add_file_rmap, page_remove_rmap, unlink_anon_vmas
from mmscope.kernel.mm.swap import lru_add_drain, mark_page_accessed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.fs import AddressSpace
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "TASK_RSS_EVENTS_THRESH", "__pmd_alloc", "__pte_alloc", "__pud_alloc", "add_mm_counter", "add_mm_counter_fast",
    "add_mm_rss_vec", "check_sync_rss_stat", "dec_mm_counter", "dec_mm_counter_fast", "free_pgd_range", "free_pgtables",
    "get_locked_pte", "get_mm_counter", "get_mm_hiwater_rss", "get_mm_hiwater_vm", "get_mm_rss", "inc_mm_counter",
    "inc_mm_counter_fast", "insert_page", "insert_pfn", "is_cow_mapping", "is_zero_pfn", "mm_counter", "mm_counter_file",
    "mm_pgtables_bytes", "p4d_alloc", "pmd_alloc", "print_bad_pte", "pte_alloc", "pte_alloc_map", "pud_alloc", "sync_mm_rss",
    "unmap_page_range", "unmap_single_vma", "unmap_vmas", "update_hiwater_rss", "update_hiwater_vm", "vm_insert_page",
    "vm_normal_page", "vmf_insert_pfn", "vmf_insert_pfn_prot", "walk_to_pmd", "zap_page_range", "zap_page_range_single",
]  # fmt: skip

_ULONG_MAX: Final = 0xFFFFFFFFFFFFFFFF

#: SPLIT_RSS_COUNTING: after more than that many faults a task adds its cached RSS deltas to the mm (until v6.2).
TASK_RSS_EVENTS_THRESH: Final = 64


# --- RSS counters (include/linux/mm.h, SPLIT_RSS_COUNTING)


def get_mm_counter(mm: MmStruct, member: int) -> int:
    """Pages of one kind, without what tasks still cache; never negative."""
    val = mm.rss_stat[member]
    return val if val > 0 else 0


def add_mm_counter(mm: MmStruct, member: int, value: int) -> None:
    """Change the mm's own counter."""
    mm.rss_stat[member] += value


def inc_mm_counter(mm: MmStruct, member: int) -> None:
    """One page more."""
    mm.rss_stat[member] += 1


def dec_mm_counter(mm: MmStruct, member: int) -> None:
    """One page less."""
    mm.rss_stat[member] -= 1


def get_mm_rss(mm: MmStruct) -> int:
    """Resident pages of all kinds."""
    return get_mm_counter(mm, MM_FILEPAGES) + get_mm_counter(mm, MM_ANONPAGES) + get_mm_counter(mm, MM_SHMEMPAGES)


def get_mm_hiwater_rss(mm: MmStruct) -> int:
    """Most pages that were ever resident, as far as they were noted."""
    return max(mm.hiwater_rss, get_mm_rss(mm))


def get_mm_hiwater_vm(mm: MmStruct) -> int:
    """Most pages that were ever mapped."""
    return max(mm.hiwater_vm, mm.total_vm)


def update_hiwater_rss(mm: MmStruct) -> None:
    """Note the RSS before it shrinks."""
    rss = get_mm_rss(mm)
    if mm.hiwater_rss < rss:
        mm.hiwater_rss = rss


def update_hiwater_vm(mm: MmStruct) -> None:
    """Note total_vm before it shrinks."""
    if mm.hiwater_vm < mm.total_vm:
        mm.hiwater_vm = mm.total_vm


def mm_pgtables_bytes(mm: MmStruct) -> int:
    """Memory of PTE, PMD and PUD pages, bytes."""
    return mm.pgtables_bytes


def mm_counter_file(page: Page) -> int:
    """Which counter a page-cache page goes to."""
    return MM_SHMEMPAGES if page.flags & PG_swapbacked else MM_FILEPAGES


def mm_counter(page: Page) -> int:
    """Which counter a page goes to."""
    return MM_ANONPAGES if page.mapping_tag & PAGE_MAPPING_ANON else mm_counter_file(page)


def sync_mm_rss(mm: MmStruct) -> None:
    """Add what the current task caches to its mm. Precondition: `mm` is the current task's."""
    task = mm.kernel.current
    cached = task.rss_stat
    for i in range(NR_MM_COUNTERS):
        if cached[i]:
            mm.rss_stat[i] += cached[i]
            cached[i] = 0
    task.rss_stat_events = 0


def add_mm_counter_fast(mm: MmStruct, member: int, val: int) -> None:
    """Count in the current task's cache if `mm` is its own."""
    k = mm.kernel
    if k.has_current() and k.current.mm is mm:
        k.current.rss_stat[member] += val
    else:
        mm.rss_stat[member] += val


def inc_mm_counter_fast(mm: MmStruct, member: int) -> None:
    """One page more, cached."""
    add_mm_counter_fast(mm, member, 1)


def dec_mm_counter_fast(mm: MmStruct, member: int) -> None:
    """One page less, cached."""
    add_mm_counter_fast(mm, member, -1)


def check_sync_rss_stat(task: TaskStruct) -> None:
    """Called by each fault: empties the task's cache now and then."""
    events = task.rss_stat_events
    task.rss_stat_events = events + 1
    if events > TASK_RSS_EVENTS_THRESH:
        assert task.mm is not None
        sync_mm_rss(task.mm)


def add_mm_rss_vec(mm: MmStruct, rss: list[int]) -> None:
    """Apply the counts of one zapped page table, after emptying the task's cache."""
    k = mm.kernel
    if k.has_current() and k.current.mm is mm:
        sync_mm_rss(mm)
    for i in range(NR_MM_COUNTERS):
        if rss[i]:
            mm.rss_stat[i] += rss[i]


# --- page-table pages


def __pud_alloc(mm: MmStruct, pgdp: i64, address: int) -> bool:
    """Hang a new PUD under *pgdp; False when out of memory."""
    new = pud_alloc_one(mm, address)
    if new is None:
        return False
    mm.pgtables_bytes += PAGE_SIZE
    p4d_populate(mm, address, pgdp, new)
    return True


def __pmd_alloc(mm: MmStruct, pudp: i64, address: int) -> bool:
    """Hang a new PMD under *pudp; False when out of memory."""
    new = pmd_alloc_one(mm, address)
    if new is None:
        return False
    mm.pgtables_bytes += PAGE_SIZE
    pud_populate(mm, address, pudp, new)
    return True


def __pte_alloc(mm: MmStruct, pmdp: i64, address: int = 0) -> bool:
    """Hang a new page table under *pmdp; False when out of memory."""
    new = pte_alloc_one(mm.kernel, mm)
    if new is None:
        return False
    mm.pgtables_bytes += PAGE_SIZE
    pmd_populate(mm, address, pmdp, new)
    return True


def p4d_alloc(mm: MmStruct, pgdp: i64, address: int) -> i64:
    """The P4D entry: the PGD entry itself, 4-level tables fold that level."""
    return pgdp


def pud_alloc(mm: MmStruct, p4dp: i64, address: int) -> i64:
    """The PUD entry of `address`, its table made if need be; 0 when out of memory."""
    entry: i64 = mm.kernel.words[p4dp]
    if pgd_none(entry):
        return pud_offset(mm.kernel, p4dp, address) if __pud_alloc(mm, p4dp, address) else 0
    return pgtable_vaddr(entry) + pud_index(address)


def pmd_alloc(mm: MmStruct, pudp: i64, address: int) -> i64:
    """The PMD entry of `address`, its table made if need be; 0 when out of memory."""
    entry: i64 = mm.kernel.words[pudp]
    if pud_none(entry):
        return pmd_offset(mm.kernel, pudp, address) if __pmd_alloc(mm, pudp, address) else 0
    return pgtable_vaddr(entry) + pmd_index(address)


def pte_alloc(mm: MmStruct, pmdp: i64, address: int = 0) -> bool:
    """Make sure that *pmdp has a page table; False when out of memory."""
    return not pmd_none(mm.kernel.words[pmdp]) or __pte_alloc(mm, pmdp, address)


def pte_alloc_map(mm: MmStruct, pmdp: i64, address: int) -> i64:
    """The PTE of `address`, its table made if need be; 0 when out of memory."""
    if not pte_alloc(mm, pmdp, address):
        return 0
    return pte_offset_map(mm.kernel, pmdp, address)


def walk_to_pmd(mm: MmStruct, addr: int) -> i64:
    """The PMD entry of `addr`, tables made if need be; 0 when out of memory."""
    pud = pud_alloc(mm, p4d_alloc(mm, pgd_offset(mm, addr), addr), addr)
    if pud == 0:
        return 0
    return pmd_alloc(mm, pud, addr)


def get_locked_pte(mm: MmStruct, addr: int) -> i64:
    """The PTE of `addr`, tables made if need be; 0 when out of memory (__get_locked_pte)."""
    pmd = walk_to_pmd(mm, addr)
    if pmd == 0:
        return 0
    return pte_alloc_map(mm, pmd, addr)


def _bad_table(level: str, entryp: int, entry: int) -> KernelBug:
    return KernelBug(f"bad {level} entry {entry & _ULONG_MAX:#018x} at physical {entryp << 3:#x}: not a page table")


def free_pte_range(tlb: MmuGather, pmdp: i64, addr: int) -> None:
    """Take the page table from *pmdp. Nothing is checked: zapping has emptied it."""
    mm = tlb.mm
    token = pfn_to_page(mm.kernel, pmd_pfn(mm.kernel.words[pmdp]))
    pte_clear(mm, addr & PMD_MASK, pmdp)
    pte_free_tlb(tlb, token, addr)
    mm.pgtables_bytes -= PAGE_SIZE


def free_pmd_range(tlb: MmuGather, pudp: i64, addr: int, end: int, floor: int, ceiling: int) -> None:
    """Free the page tables of [addr, end), and the PMD itself if nothing else between floor and ceiling needs it."""
    mm = tlb.mm
    k = mm.kernel
    start = addr
    pmdp = pmd_offset(k, pudp, addr)
    while addr != end:
        next = pmd_addr_end(addr, end)
        entry: i64 = k.words[pmdp]
        if not pmd_none(entry):
            if pmd_bad(entry):
                raise _bad_table("pmd", pmdp, entry)
            free_pte_range(tlb, pmdp, addr)
        pmdp += 1
        addr = next
    start &= PUD_MASK
    if start < floor:
        return
    if ceiling:
        ceiling &= PUD_MASK
        if not ceiling:
            return
    if end - 1 > (ceiling - 1) & _ULONG_MAX:
        return
    page = pfn_to_page(k, pmd_pfn(k.words[pudp]))
    pte_clear(mm, start, pudp)
    pmd_free_tlb(tlb, page, start)
    mm.pgtables_bytes -= PAGE_SIZE


def free_pud_range(tlb: MmuGather, pgdp: i64, addr: int, end: int, floor: int, ceiling: int) -> None:
    """The same one level up: free the PMDs of [addr, end) and the PUD."""
    mm = tlb.mm
    k = mm.kernel
    start = addr
    pudp = pud_offset(k, pgdp, addr)
    while addr != end:
        next = pud_addr_end(addr, end)
        entry: i64 = k.words[pudp]
        if not pud_none(entry):
            if pud_bad(entry):
                raise _bad_table("pud", pudp, entry)
            free_pmd_range(tlb, pudp, addr, next, floor, ceiling)
        pudp += 1
        addr = next
    start &= -1 << 39  # P4D_MASK of the folded level
    if start < floor:
        return
    if ceiling:
        ceiling &= -1 << 39
        if not ceiling:
            return
    if end - 1 > (ceiling - 1) & _ULONG_MAX:
        return
    page = pfn_to_page(k, pmd_pfn(k.words[pgdp]))
    pte_clear(mm, start, pgdp)
    pud_free_tlb(tlb, page, start)
    mm.pgtables_bytes -= PAGE_SIZE


def free_pgd_range(tlb: MmuGather, addr: int, end: int, floor: int, ceiling: int) -> None:
    """Free the page tables of [addr, end) that cover nothing outside of (floor, ceiling); ceiling 0 = no limit.

    floor and ceiling are the ends of the neighbouring VMAs: a table that one of them shares must stay.
    """
    addr &= PMD_MASK
    if addr < floor:
        addr = (addr + PMD_SIZE) & _ULONG_MAX
        if not addr:
            return
    if ceiling:
        ceiling &= PMD_MASK
        if not ceiling:
            return
    if end - 1 > (ceiling - 1) & _ULONG_MAX:
        end -= PMD_SIZE
    if addr > end - 1:
        return
    mm = tlb.mm
    k = mm.kernel
    pgdp = pgd_offset(mm, addr)
    while addr != end:
        next = pgd_addr_end(addr, end)
        entry: i64 = k.words[pgdp]
        if not pgd_none(entry):
            if pgd_bad(entry):
                raise _bad_table("pgd", pgdp, entry)
            free_pud_range(tlb, pgdp, addr, next, floor, ceiling)
        pgdp += 1
        addr = next


def free_pgtables(tlb: MmuGather, vma: VmAreaStruct | None, floor: int, ceiling: int) -> None:
    """Take `vma` and its followers off the reverse maps and free their page tables, near VMAs in one go."""
    # Imported here: mmap.py is above this layer, and its imports lead back.
    import mmscope.kernel.mm.mmap as mm_mmap

    while vma is not None:
        next = vma.vm_next
        addr = vma.vm_start
        unlink_anon_vmas(vma)
        mm_mmap.unlink_file_vma(vma)
        while next is not None and next.vm_start <= vma.vm_end + PMD_SIZE:
            vma = next
            next = vma.vm_next
            unlink_anon_vmas(vma)
            mm_mmap.unlink_file_vma(vma)
        free_pgd_range(tlb, addr, vma.vm_end, floor, next.vm_start if next is not None else ceiling)
        vma = next


# --- what stands behind an entry


def is_zero_pfn(k: Kernel, pfn: i64) -> bool:
    """The frame is empty_zero_page."""
    return pfn == k.zero_pfn


def is_cow_mapping(flags: int) -> bool:
    """Private, and may become writable: written pages are copied."""
    return flags & (VM_SHARED | VM_MAYWRITE) == VM_MAYWRITE


def print_bad_pte(vma: VmAreaStruct, addr: int, pte: int, page: Page | None) -> KernelBug:
    """An entry that this VMA cannot have. Linux logs and goes on; here it is the model's bug: raise the result."""
    return KernelBug(f"bad page map in {vma!r} at {addr:#x}: pte {pte & _ULONG_MAX:#018x}, {page!r}")


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
