# SPDX-License-Identifier: GPL-2.0-or-later
"""Page-table pages: made on the way down to an entry, freed when nothing is mapped there any more (of mm/memory.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    PMD_MASK,
    PMD_SIZE,
    PUD_MASK,
    p4d_populate,
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
    pte_offset_map,
    pud_addr_end,
    pud_alloc_one,
    pud_bad,
    pud_index,
    pud_none,
    pud_offset,
    pud_populate,
)
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.mm.mmu_gather import (
    MmuGather,
    pmd_free_tlb,
    pte_free_tlb,
    pud_free_tlb,
)
from mmscope.kernel.mm.page_alloc import pfn_to_page
from mmscope.kernel.mm.rmap import unlink_anon_vmas

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

__all__ = [
    "__pmd_alloc", "__pte_alloc", "__pud_alloc", "free_pgd_range", "free_pgtables", "get_locked_pte", "p4d_alloc",
    "pmd_alloc", "pte_alloc", "pte_alloc_map", "pud_alloc", "walk_to_pmd",
]  # fmt: skip


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
    return KernelBug(f"bad {level} entry {entry & ULONG_MAX:#018x} at physical {entryp << 3:#x}: not a page table")


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
    if end - 1 > (ceiling - 1) & ULONG_MAX:
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
    if end - 1 > (ceiling - 1) & ULONG_MAX:
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
        addr = (addr + PMD_SIZE) & ULONG_MAX
        if not addr:
            return
    if ceiling:
        ceiling &= PMD_MASK
        if not ceiling:
            return
    if end - 1 > (ceiling - 1) & ULONG_MAX:
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
