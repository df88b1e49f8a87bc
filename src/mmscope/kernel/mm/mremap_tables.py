# SPDX-License-Identifier: GPL-2.0-or-later
"""How page tables move with their pages (the first half of mm/mremap.c). Import from mm/mremap.py, which re-exports it."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    PMD_SIZE,
    PUD_SIZE,
    pgd_none,
    pgd_offset,
    pmd_none,
    pmd_offset,
    pte_mksoft_dirty,
    pte_none,
    pte_offset_map,
    pte_present,
    ptep_get_and_clear,
    pud_none,
    pud_offset,
    set_pte,
    set_pte_at,
)
from mmscope.kernel.arch.x86.tlbflush import flush_tlb_range
from mmscope.kernel.mm.memory import p4d_alloc, pmd_alloc, pte_alloc, pud_alloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct


def get_old_pud(mm: MmStruct, addr: int) -> int:
    """The PUD entry of `addr`; 0 if nothing hangs there."""
    k = mm.kernel
    pgdp = pgd_offset(mm, addr)
    if pgd_none(k.words[pgdp]):
        return 0
    pudp = pud_offset(k, pgdp, addr)
    return 0 if pud_none(k.words[pudp]) else pudp


def get_old_pmd(mm: MmStruct, addr: int) -> int:
    """The PMD entry of `addr`; 0 if nothing hangs there."""
    k = mm.kernel
    pudp = get_old_pud(mm, addr)
    if not pudp:
        return 0
    pmdp = pmd_offset(k, pudp, addr)
    return 0 if pmd_none(k.words[pmdp]) else pmdp


def alloc_new_pud(mm: MmStruct, addr: int) -> int:
    """The PUD entry of `addr`, tables allocated as needed; 0 if out of memory."""
    p4dp = p4d_alloc(mm, pgd_offset(mm, addr), addr)
    if not p4dp:
        return 0
    return pud_alloc(mm, p4dp, addr)


def alloc_new_pmd(mm: MmStruct, addr: int) -> int:
    """The PMD entry of `addr`, tables allocated as needed; 0 if out of memory."""
    pudp = alloc_new_pud(mm, addr)
    if not pudp:
        return 0
    return pmd_alloc(mm, pudp, addr)


def move_ptes(
    vma: VmAreaStruct, old_pmdp: int, old_addr: int, old_end: int, new_vma: VmAreaStruct, new_pmdp: int, new_addr: int
) -> None:
    """Move the entries of [old_addr, old_end), all of one page table; they become soft-dirty."""
    mm = vma.vm_mm
    k = mm.kernel
    old_ptep = pte_offset_map(k, old_pmdp, old_addr)
    new_ptep = pte_offset_map(k, new_pmdp, new_addr)
    start = old_addr
    force_flush = False
    while old_addr < old_end:
        if not pte_none(k.words[old_ptep]):
            pte: i64 = ptep_get_and_clear(mm, old_addr, old_ptep)
            if pte_present(pte):
                force_flush = True
                pte = pte_mksoft_dirty(pte)
            set_pte_at(mm, new_addr, new_ptep, pte)
        old_ptep += 1
        new_ptep += 1
        old_addr += 4096
        new_addr += 4096
    if force_flush:
        flush_tlb_range(vma, start, old_end)


def _move_normal_table(vma: VmAreaStruct, old_addr: int, new_addr: int, old_entryp: int, new_entryp: int, size: int) -> bool:
    """move_normal_pmd, move_normal_pud: hang a whole table elsewhere. False if there is one at the new place already."""
    mm = vma.vm_mm
    k = mm.kernel
    if k.words[new_entryp] != 0:
        return False
    entry: i64 = k.words[old_entryp]
    set_pte(k, mm, old_addr, old_entryp, 0)
    set_pte(k, mm, new_addr, new_entryp, entry)
    flush_tlb_range(vma, old_addr, old_addr + size)
    return True


def get_extent(size: int, old_addr: int, old_end: int, new_addr: int) -> int:
    """Bytes up to the next boundary of `size` at either place, or to the end."""
    extent = (old_addr + size & -size) - old_addr
    if extent > old_end - old_addr:
        extent = old_end - old_addr
    upto = (new_addr + size & -size) - new_addr
    return min(extent, upto)


def move_page_tables(
    vma: VmAreaStruct, old_addr: int, new_vma: VmAreaStruct, new_addr: int, len: int, need_rmap_locks: bool
) -> int:
    """Move the entries of [old_addr, old_addr + len) to `new_addr`; bytes done, less than `len` when out of memory.

    Where both places are aligned alike a whole PTE or PMD table changes hands (HAVE_MOVE_PMD since v5.0, HAVE_MOVE_PUD
    since v5.11). `need_rmap_locks`: a reverse-map walk could miss pages on the move; with one CPU none runs meanwhile.
    """
    mm = vma.vm_mm
    old_end = old_addr + len
    # Since v5.14 the PUD is looked at first always, and allocated where the old one is: it may be a huge page.
    always_pud = mm.kernel.config.at_least(5, 14)
    while old_addr < old_end:
        extent = get_extent(PUD_SIZE, old_addr, old_end, new_addr)
        moved = False
        if extent == PUD_SIZE or always_pud:
            old_pudp = get_old_pud(mm, old_addr)
            if not old_pudp:
                old_addr += extent
                new_addr += extent
                continue
            new_pudp = alloc_new_pud(mm, new_addr)
            if not new_pudp:
                break
            if extent == PUD_SIZE:
                moved = _move_normal_table(vma, old_addr, new_addr, old_pudp, new_pudp, PUD_SIZE)
        if not moved:
            extent = get_extent(PMD_SIZE, old_addr, old_end, new_addr)
            old_pmdp = get_old_pmd(mm, old_addr)
            if old_pmdp:
                new_pmdp = alloc_new_pmd(mm, new_addr)
                if not new_pmdp:
                    break
                if extent == PMD_SIZE:
                    moved = _move_normal_table(vma, old_addr, new_addr, old_pmdp, new_pmdp, PMD_SIZE)
                if not moved:
                    if not pte_alloc(mm, new_pmdp, new_addr):
                        break
                    move_ptes(vma, old_pmdp, old_addr, old_addr + extent, new_vma, new_pmdp, new_addr)
        old_addr += extent
        new_addr += extent
    return len + old_addr - old_end
