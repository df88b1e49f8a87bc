# SPDX-License-Identifier: GPL-2.0-or-later
"""x86-64 page-table entries and tables of 4 levels (asm/pgtable*.h, mm/pgtable.c), with CONFIG_MEM_SOFT_DIRTY.

    linear address   47......39 38......30 29......21 20......12 11.......0
                     pgd_index  pud_index  pmd_index  pte_index  offset        (p4d folded)

An entry is a signed 64-bit int (NX is the sign); a pointer to one (ptep, pmdp...) is its physical address >> 3, the
index in Kernel.words. Tables hold the user half only: the kernel's own half stays empty, the kernel is Python.
"""

from __future__ import annotations

from struct import pack_into, unpack

from mmscope.kernel.arch.x86.tlbflush import flush_tlb_page
from mmscope.kernel.include.errno import ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.gfp import GFP_KERNEL_ACCOUNT, GFP_PGTABLE_USER
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.page_flags import PAGE_TABLE_MAPCOUNT_VALUE
from mmscope.kernel.mm.page_alloc import __free_pages, __get_free_pages, alloc_page, alloc_pages, get_zeroed_page
from mmscope.kernel.mm.vmstat import NR_PAGETABLE, mod_page_state
from mmscope.kernel.tracepoint import trace_set_pte

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

PGDIR_SHIFT: Final = 39
PUD_SHIFT: Final = 30
PMD_SHIFT: Final = 21
PTE_SHIFT: Final = 12
PGDIR_SIZE: Final = 1 << PGDIR_SHIFT
PUD_SIZE: Final = 1 << PUD_SHIFT
PMD_SIZE: Final = 1 << PMD_SHIFT
PUD_MASK: Final = ~(PUD_SIZE - 1)
PMD_MASK: Final = ~(PMD_SIZE - 1)
PTRS_PER_PTE: Final = 512

_PAGE_PRESENT: Final = 0x001
_PAGE_RW: Final = 0x002
_PAGE_USER: Final = 0x004
_PAGE_PWT: Final = 0x008
_PAGE_PCD: Final = 0x010
_PAGE_ACCESSED: Final = 0x020
_PAGE_DIRTY: Final = 0x040
_PAGE_PSE: Final = 0x080
_PAGE_GLOBAL: Final = 0x100
#: Only where P is clear: mapped, but every access faults (mprotect PROT_NONE, NUMA hints). The same bit as GLOBAL.
_PAGE_PROTNONE: Final = 0x100
#: Software bits 9-11: no struct page behind it (zero page, pfn maps), userfaultfd write protection, soft dirty.
_PAGE_SPECIAL: Final = 0x200
_PAGE_UFFD_WP: Final = 0x400
_PAGE_SOFT_DIRTY: Final = 0x800
_PAGE_DEVMAP: Final = 1 << 58
_PAGE_NX: Final = -0x8000000000000000

_KERNPG_TABLE: Final = 0x063
_PAGE_TABLE: Final = 0x067

PTE_PFN_MASK: Final = 0x000FFFFFFFFFF000
#: What pte_modify() keeps.
_PAGE_CHG_MASK: Final = (
    PTE_PFN_MASK
    | _PAGE_PCD
    | _PAGE_PWT
    | _PAGE_SPECIAL
    | _PAGE_ACCESSED
    | _PAGE_DIRTY
    | _PAGE_SOFT_DIRTY
    | _PAGE_DEVMAP
    | _PAGE_UFFD_WP
)
#: An erratum of Knights Landing may set A or D in an empty entry: they don't count in *_none().
_PAGE_KNL_ERRATUM_MASK: Final = _PAGE_DIRTY | _PAGE_ACCESSED

PAGE_NONE: Final = _PAGE_PROTNONE | _PAGE_ACCESSED
PAGE_READONLY_EXEC: Final = 0x25
PAGE_READONLY: Final = 0x25 | _PAGE_NX
PAGE_COPY_EXEC: Final = 0x25
PAGE_COPY: Final = 0x25 | _PAGE_NX
PAGE_SHARED_EXEC: Final = 0x27
PAGE_SHARED: Final = 0x27 | _PAGE_NX

#: Index: VM_READ | VM_WRITE | VM_EXEC | VM_SHARED. Private and writable means: no RW bit, copy on write.
protection_map: Final = (
    PAGE_NONE, PAGE_READONLY, PAGE_COPY, PAGE_COPY, PAGE_READONLY_EXEC, PAGE_READONLY_EXEC, PAGE_COPY_EXEC, PAGE_COPY_EXEC,
    PAGE_NONE, PAGE_READONLY, PAGE_SHARED, PAGE_SHARED,
    PAGE_READONLY_EXEC, PAGE_READONLY_EXEC, PAGE_SHARED_EXEC, PAGE_SHARED_EXEC,
)  # fmt: skip


def _without(bits: int) -> bytes:
    return bytes([low & ~bits for low in range(256)])


#: Up to that many entries are faster written one by one.
_FEW: Final = 4
#: For copy_ptes(): bits to clear -> bytes.translate()'s table that clears them.
_WITHOUT: Final[dict[int, bytes]] = {
    bits: _without(bits) for bits in (_PAGE_ACCESSED, _PAGE_RW | _PAGE_ACCESSED, _PAGE_DIRTY | _PAGE_ACCESSED)
}


def vm_get_page_prot(vm_flags: int) -> i64:
    """The PTE bits of a VMA with these flags."""
    return protection_map[vm_flags & 15]


# Predicates and makers on entries of the lowest level


def pte_present(pte: i64) -> bool:
    """A page stands behind the entry, accessible or PROT_NONE."""
    return pte & (_PAGE_PRESENT | _PAGE_PROTNONE) != 0


def pte_none(pte: i64) -> bool:
    """Empty."""
    return pte & ~_PAGE_KNL_ERRATUM_MASK == 0


def pte_accessible(mm: MmStruct, pte: i64) -> bool:
    """The TLB may hold it: present, or PROT_NONE with a flush still to come."""
    if pte & _PAGE_PRESENT:
        return True
    return pte & _PAGE_PROTNONE != 0 and mm.tlb_flush_pending > 0


def pte_protnone(pte: i64) -> bool:
    """Mapped without any permission."""
    return pte & (_PAGE_PROTNONE | _PAGE_PRESENT) == _PAGE_PROTNONE


def pte_write(pte: i64) -> bool:
    """Hardware may write."""
    return pte & _PAGE_RW != 0


def pte_dirty(pte: i64) -> bool:
    """Was written through this entry."""
    return pte & _PAGE_DIRTY != 0


def pte_young(pte: i64) -> bool:
    """Was used since somebody cleared A."""
    return pte & _PAGE_ACCESSED != 0


def pte_exec(pte: i64) -> bool:
    """NX is clear."""
    return pte >= 0


def pte_special(pte: i64) -> bool:
    """No struct page to be counted behind it."""
    return pte & _PAGE_SPECIAL != 0


def pte_soft_dirty(pte: i64) -> bool:
    """Written since /proc/PID/clear_refs."""
    return pte & _PAGE_SOFT_DIRTY != 0


def protnone_mask(val: i64) -> i64:
    """What the pfn bits are xored with: entries that aren't present hold them inverted (L1TF, since v4.18)."""
    return -1 if val != 0 and val & _PAGE_PRESENT == 0 else 0


def flip_protnone_guard(oldval: i64, val: i64, mask: i64) -> i64:
    """Invert the bits of `mask` in `val` if exactly one of the two entries wants them inverted."""
    if (protnone_mask(oldval) != 0) != (protnone_mask(val) != 0):
        return (val & ~mask) | (~val & mask)
    return val


def pte_pfn(pte: i64) -> i64:
    """The frame number."""
    return ((pte ^ protnone_mask(pte)) & PTE_PFN_MASK) >> 12


def pfn_pte(pfn: i64, prot: i64) -> i64:
    """An entry for a frame."""
    return (((pfn << 12) ^ protnone_mask(prot)) & PTE_PFN_MASK) | prot


def mk_pte(page: Page, prot: i64) -> i64:
    """An entry for a page."""
    return pfn_pte(page.pfn, prot)


def pte_modify(pte: i64, newprot: i64) -> i64:
    """The same page, A, D and soft bits with other permissions."""
    val: i64 = (pte & _PAGE_CHG_MASK) | (newprot & ~_PAGE_CHG_MASK)
    return flip_protnone_guard(pte, val, PTE_PFN_MASK)


def pte_mkdirty(pte: i64) -> i64:
    """Set D and soft dirty."""
    return pte | (_PAGE_DIRTY | _PAGE_SOFT_DIRTY)


def pte_mkclean(pte: i64) -> i64:
    """Clear D."""
    return pte & ~_PAGE_DIRTY


def pte_mkyoung(pte: i64) -> i64:
    """Set A."""
    return pte | _PAGE_ACCESSED


def pte_mkold(pte: i64) -> i64:
    """Clear A."""
    return pte & ~_PAGE_ACCESSED


def pte_mkwrite(pte: i64) -> i64:
    """Set RW."""
    return pte | _PAGE_RW


def pte_wrprotect(pte: i64) -> i64:
    """Clear RW."""
    return pte & ~_PAGE_RW


def pte_mkspecial(pte: i64) -> i64:
    """Mark: no struct page to be counted."""
    return pte | _PAGE_SPECIAL


def pte_mksoft_dirty(pte: i64) -> i64:
    """Set soft dirty."""
    return pte | _PAGE_SOFT_DIRTY


def pte_clear_soft_dirty(pte: i64) -> i64:
    """Clear soft dirty."""
    return pte & ~_PAGE_SOFT_DIRTY


# The upper levels: one format for pgd, pud and pmd


def pgd_none(entry: i64) -> bool:
    """Empty."""
    return entry & ~_PAGE_KNL_ERRATUM_MASK == 0


def pud_none(entry: i64) -> bool:
    """Empty."""
    return entry & ~_PAGE_KNL_ERRATUM_MASK == 0


def pmd_none(entry: i64) -> bool:
    """Empty."""
    return entry & ~_PAGE_KNL_ERRATUM_MASK == 0


def pgd_bad(entry: i64) -> bool:
    """Neither empty nor a table (NX may be set by page-table isolation)."""
    return entry & ~PTE_PFN_MASK & ~_PAGE_USER & ~_PAGE_NX != _KERNPG_TABLE


def pud_bad(entry: i64) -> bool:
    """Neither empty nor a table."""
    return entry & ~PTE_PFN_MASK & ~(_KERNPG_TABLE | _PAGE_USER) != 0


def pmd_bad(entry: i64) -> bool:
    """Neither empty nor a table."""
    return entry & ~PTE_PFN_MASK & ~_PAGE_USER != _KERNPG_TABLE


def pmd_pfn(entry: i64) -> i64:
    """The frame of the table behind an entry of any upper level."""
    return (entry & PTE_PFN_MASK) >> 12


# Finding entries


def pgd_index(addr: int) -> i64:
    """Slot in the PGD (PML4)."""
    return (addr >> PGDIR_SHIFT) & 511


def pud_index(addr: int) -> i64:
    """Slot in the PUD (PDPT)."""
    return (addr >> PUD_SHIFT) & 511


def pmd_index(addr: int) -> i64:
    """Slot in the PMD (page directory)."""
    return (addr >> PMD_SHIFT) & 511


def pte_index(addr: int) -> i64:
    """Slot in the page table."""
    return (addr >> PTE_SHIFT) & 511


def pgd_offset(mm: MmStruct, addr: int) -> i64:
    """The PGD entry of `addr`."""
    return (mm.pgd >> 3) + ((addr >> PGDIR_SHIFT) & 511)


def pgtable_vaddr(entry: i64) -> i64:
    """The first entry of the table behind an entry of any upper level (p4d_pgtable, pud_pgtable, pmd_page_vaddr)."""
    return (entry & PTE_PFN_MASK) >> 3


def pud_offset(k: Kernel, pgdp: i64, addr: int) -> i64:
    """The PUD entry of `addr`. Precondition: *pgdp is a table."""
    return pgtable_vaddr(k.words[pgdp]) + ((addr >> PUD_SHIFT) & 511)


def pmd_offset(k: Kernel, pudp: i64, addr: int) -> i64:
    """The PMD entry of `addr`. Precondition: *pudp is a table."""
    return pgtable_vaddr(k.words[pudp]) + ((addr >> PMD_SHIFT) & 511)


def pte_offset_map(k: Kernel, pmdp: i64, addr: int) -> i64:
    """The PTE of `addr`. Precondition: *pmdp is a table."""
    return pgtable_vaddr(k.words[pmdp]) + ((addr >> PTE_SHIFT) & 511)


def _addr_end(addr: int, end: int, size: int) -> int:
    boundary = (addr + size) & -size
    return min(boundary, end)


def pgd_addr_end(addr: int, end: int) -> int:
    """`end`, or the next PGD entry's first address, whichever comes first."""
    return _addr_end(addr, end, PGDIR_SIZE)


def pud_addr_end(addr: int, end: int) -> int:
    """`end`, or the next PUD entry's first address, whichever comes first."""
    return _addr_end(addr, end, PUD_SIZE)


def pmd_addr_end(addr: int, end: int) -> int:
    """`end`, or the next PMD entry's first address, whichever comes first."""
    return _addr_end(addr, end, PMD_SIZE)


# Changing entries: everything ends in set_pte()


def set_pte(k: Kernel, mm: MmStruct | None, addr: int, ptep: i64, pte: i64) -> None:
    """*ptep = pte, at any level. The choke point of all page-table changes made by software."""
    if k.tp.set_pte is None:
        k.words[ptep] = pte
        return
    old: i64 = k.words[ptep]
    k.words[ptep] = pte
    trace_set_pte(k, mm, addr, ptep, old, pte)


def get_ptes(k: Kernel, ptep: i64, nr: i64) -> list[i64]:
    """`nr` consecutive entries of one page table: three times faster than one by one, where there are many."""
    return [k.words[ptep]] if nr == 1 else k.words[ptep : ptep + nr].tolist()


def clear_ptes(mm: MmStruct, addr: int, ptep: i64, nr: i64) -> i64:
    """Empty consecutive entries of one page table, from that of `addr` on (since v6.9 clear_full_ptes). The next entry."""
    k = mm.kernel
    end = ptep + nr
    if k.tp.set_pte is not None:
        set_ptes(mm, addr, ptep, [0] * nr)
    else:
        k.mem[ptep << 3 : end << 3] = bytes(nr << 3)
    return end


def copy_ptes(mm: MmStruct, addr: int, ptep: i64, src_ptep: i64, nr: i64, cleared: i64) -> None:
    """Consecutive entries of one page table, from that of `addr` on, become those at `src_ptep` without the bits `cleared`.

    Those are one of the sets that fork takes away: A alone, RW and A, D and A.
    """
    k = mm.kernel
    table = bytearray(k.mem[src_ptep << 3 : (src_ptep + nr) << 3])
    # All of them are in an entry's lowest byte.
    table[::8] = table[::8].translate(_WITHOUT[cleared])
    if k.tp.set_pte is not None:
        set_ptes(mm, addr, ptep, list(unpack(f"{nr}q", table)))
        return
    k.mem[ptep << 3 : (ptep + nr) << 3] = table


def set_ptes(mm: MmStruct, addr: int, ptep: i64, ptes: list[i64]) -> None:
    """Write consecutive entries of one page table, from that of `addr` on (v6.6 brought a function of this name)."""
    k = mm.kernel
    if k.tp.set_pte is None and len(ptes) > _FEW:
        pack_into(f"{len(ptes)}q", k.ram, ptep << 3, *ptes)
        return
    for pte in ptes:
        if k.words[ptep] != pte:
            set_pte(k, mm, addr, ptep, pte)
        ptep += 1
        addr += PAGE_SIZE


def set_pte_at(mm: MmStruct, addr: int, ptep: i64, pte: i64) -> None:
    """Map `addr`."""
    set_pte(mm.kernel, mm, addr, ptep, pte)


def pte_clear(mm: MmStruct, addr: int, ptep: i64) -> None:
    """Empty the entry."""
    set_pte(mm.kernel, mm, addr, ptep, 0)


def ptep_get_and_clear(mm: MmStruct, addr: int, ptep: i64) -> i64:
    """Empty the entry; the old value, with the last A and D that hardware set."""
    old: i64 = mm.kernel.words[ptep]
    set_pte(mm.kernel, mm, addr, ptep, 0)
    return old


def ptep_get_and_clear_full(mm: MmStruct, addr: int, ptep: i64, full: int) -> i64:
    """The same, while all of `mm` goes (full = 1)."""
    return ptep_get_and_clear(mm, addr, ptep)


def ptep_set_access_flags(vma: VmAreaStruct, address: int, ptep: i64, entry: i64, dirty: int) -> bool:
    """Grant more (A, D, RW) than *ptep did; True if it differs. Only written for a write access (`dirty`).

    No TLB flush: an older entry in the TLB costs a spurious fault at most.
    """
    mm = vma.vm_mm
    k = mm.kernel
    if k.words[ptep] == entry:
        return False
    if dirty:
        set_pte(k, mm, address, ptep, entry)
    return True


def ptep_test_and_clear_young(vma: VmAreaStruct, addr: int, ptep: i64) -> bool:
    """Clear A; True if it was set."""
    mm = vma.vm_mm
    old: i64 = mm.kernel.words[ptep]
    if old & _PAGE_ACCESSED == 0:
        return False
    set_pte(mm.kernel, mm, addr, ptep, old & ~_PAGE_ACCESSED)
    return True


def ptep_clear_flush(vma: VmAreaStruct, address: int, ptep: i64) -> i64:
    """Empty the entry and forget it in the TLB; the old value."""
    mm = vma.vm_mm
    pte = ptep_get_and_clear(mm, address, ptep)
    if pte_accessible(mm, pte):
        flush_tlb_page(vma, address)
    return pte


def ptep_modify_prot_start(vma: VmAreaStruct, addr: int, ptep: i64) -> i64:
    """Take the entry out so that hardware can't change it meanwhile."""
    return ptep_get_and_clear(vma.vm_mm, addr, ptep)


def ptep_modify_prot_commit(vma: VmAreaStruct, addr: int, ptep: i64, old_pte: i64, pte: i64) -> None:
    """Put the changed entry back."""
    set_pte_at(vma.vm_mm, addr, ptep, pte)


def pmd_populate(mm: MmStruct, addr: int, pmdp: i64, pte: Page) -> None:
    """Hang a page table under *pmdp."""
    set_pte(mm.kernel, mm, addr, pmdp, (pte.pfn << 12) | _PAGE_TABLE)


def pud_populate(mm: MmStruct, addr: int, pudp: i64, pmd: Page) -> None:
    """Hang a PMD under *pudp."""
    set_pte(mm.kernel, mm, addr, pudp, (pmd.pfn << 12) | _PAGE_TABLE)


def p4d_populate(mm: MmStruct, addr: int, pgdp: i64, pud: Page) -> None:
    """Hang a PUD under *pgdp (the p4d level is folded into the pgd)."""
    set_pte(mm.kernel, mm, addr, pgdp, (pud.pfn << 12) | _PAGE_TABLE)


# The tables themselves


def _pgtable_page_ctor(k: Kernel, page: Page) -> None:
    page._mapcount = PAGE_TABLE_MAPCOUNT_VALUE
    mod_page_state(k, NR_PAGETABLE, 1)


def _pgtable_page_dtor(page: Page) -> None:
    if page._mapcount != PAGE_TABLE_MAPCOUNT_VALUE:
        raise KernelBug(f"page-table destructor: {page!r} is no page table")
    page._mapcount = -1
    mod_page_state(page.kernel, NR_PAGETABLE, -1)


def pgtable_pte_page_ctor(k: Kernel, page: Page) -> None:
    """PageTable type and NR_PAGETABLE for a page table."""
    _pgtable_page_ctor(k, page)


def pgtable_pte_page_dtor(page: Page) -> None:
    """Undo pgtable_pte_page_ctor()."""
    _pgtable_page_dtor(page)


def pgtable_pmd_page_ctor(k: Kernel, page: Page) -> None:
    """PageTable type and NR_PAGETABLE for a PMD (since v5.10); a PUD has neither."""
    _pgtable_page_ctor(k, page)


def pgtable_pmd_page_dtor(page: Page) -> None:
    """Undo pgtable_pmd_page_ctor()."""
    _pgtable_page_dtor(page)


def pte_alloc_one(k: Kernel, mm: MmStruct) -> Page | None:
    """An empty page table, not yet hung anywhere; None when out of memory."""
    page = alloc_page(k, GFP_PGTABLE_USER)
    if page is not None:
        pgtable_pte_page_ctor(k, page)
    return page


def pte_free(mm: MmStruct, pte: Page) -> None:
    """Free a page table that hangs nowhere."""
    pgtable_pte_page_dtor(pte)
    __free_pages(pte, 0)


def pmd_alloc_one(mm: MmStruct, addr: int) -> Page | None:
    """An empty PMD."""
    page = alloc_pages(mm.kernel, GFP_PGTABLE_USER, 0)
    if page is not None:
        pgtable_pmd_page_ctor(mm.kernel, page)
    return page


def pud_alloc_one(mm: MmStruct, addr: int) -> Page | None:
    """An empty PUD."""
    return get_zeroed_page(mm.kernel, GFP_KERNEL_ACCOUNT)


def pgd_alloc(mm: MmStruct) -> int:
    """An empty PGD: its physical address, bytes. Raises KernelError(ENOMEM)."""
    page = __get_free_pages(mm.kernel, GFP_PGTABLE_USER, 0)
    if page is None:
        raise KernelError(ENOMEM)
    if mm.kernel.swapper_pgd_511:
        mm.kernel.words[(page.pfn << 9) + 511] = mm.kernel.swapper_pgd_511
    return page.pfn << 12


def pgd_free(mm: MmStruct) -> None:
    """Free the PGD. Precondition: free_pgtables() has emptied it."""
    __free_pages(mm.kernel.mem_map[mm.pgd >> 12], 0)
    mm.pgd = 0
