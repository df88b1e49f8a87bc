# SPDX-License-Identifier: GPL-2.0-or-later
"""fork's part of mm/memory.c: the child's page tables are filled from the parent's, and both lose the right to write.

    copy_page_range -> copy_pud_range -> copy_pmd_range -> copy_pte_range
        entry of a page: copy_present_pte, and copy_present_page for a page that a device may be writing to
        swap entry: copy_nonpresent_pte

Only what the child could not find again by faulting is copied: mappings of files that never had an anonymous page are not.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    _PAGE_ACCESSED,
    _PAGE_DIRTY,
    _PAGE_RW,
    copy_ptes,
    get_ptes,
    mk_pte,
    pgd_addr_end,
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pte_mkdirty,
    pte_mkwrite,
    pte_none,
    pte_offset_map,
    pte_present,
    pte_write,
    pte_wrprotect,
    pud_addr_end,
    pud_none,
    pud_offset,
    set_pte_at,
    set_ptes,
)
from mmscope.kernel.include.errno import ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.gfp import GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.mm import MM_ANONPAGES, NR_MM_COUNTERS, VM_MIXEDMAP, VM_PFNMAP, VM_SHARED, VM_WRITE
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PageAnon, PG_uptodate
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.memory_pgtables import p4d_alloc, pmd_alloc, pte_alloc_map, pud_alloc
from mmscope.kernel.mm.memory_rss import add_mm_rss_vec, mm_counter_file
from mmscope.kernel.mm.memory_unmap import is_cow_mapping, vm_normal_page
from mmscope.kernel.mm.page_alloc import alloc_page_vma, copy_user_highpage, get_page, page_maybe_dma_pinned, put_page
from mmscope.kernel.mm.rmap import page_add_new_anon_rmap, page_dup_rmap, page_try_dup_anon_rmap
from mmscope.kernel.mm.swap import lru_cache_add_inactive_or_unevictable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

__all__ = ["copy_page_range"]


class _Copy:
    """What one copy_page_range() carries through its levels."""

    def __init__(self, dst_vma: VmAreaStruct, src_vma: VmAreaStruct) -> None:
        self.dst_vma = dst_vma
        self.src_vma = src_vma
        self.is_cow = is_cow_mapping(src_vma.vm_flags)
        #: What the child's entries lose: it has used and written nothing yet. For private memory D says that the page must
        #: not be dropped.
        self.cleared: i64 = _PAGE_ACCESSED
        if self.is_cow:
            self.cleared |= _PAGE_RW
        elif src_vma.vm_flags & VM_SHARED:
            self.cleared |= _PAGE_DIRTY
        self.may_be_pinned = self.is_cow and src_vma.vm_mm.has_pinned
        #: Of one page table: an entry of the parent has lost RW; anonymous pages for the child's counters, and others by MM_*.
        self.wrprotected = False
        self.anon: i64 = 0
        self.rss = [0] * NR_MM_COUNTERS
        #: A frame that was allocated before copy_present_page() is called again.
        self.prealloc: Page | None = None


def copy_nonpresent_pte(copy: _Copy, pte: i64, addr: int) -> i64:
    """The child's entry: a guard marker is its too. An entry of a page in swap, or in migration: nothing makes one yet."""
    if is_guard_pte_marker(pte):
        return pte
    raise KernelBug(f"copy_nonpresent_pte: swap entry {pte:#x} at {addr:#x} in {copy.src_vma!r}: no swap yet")


def copy_present_page(copy: _Copy, addr: int, page: Page) -> i64:
    """Give the child a copy of a page that the parent pinned (FOLL_PIN): the device must go on seeing the parent's.

    The child's entry; 0: a frame has to be allocated first, in copy.prealloc.
    """
    new_page = copy.prealloc
    if new_page is None:
        return 0
    copy.prealloc = None
    vma = copy.dst_vma
    copy_user_highpage(new_page, page, addr, vma)
    new_page.flags |= PG_uptodate
    page_add_new_anon_rmap(new_page, vma, addr)
    lru_cache_add_inactive_or_unevictable(new_page, vma)
    copy.anon += 1
    pte: i64 = pte_mkdirty(mk_pte(new_page, vma.vm_page_prot))
    if vma.vm_flags & VM_WRITE:
        pte = pte_mkwrite(pte)
    return pte


def page_needs_cow_for_dma(copy: _Copy, page: Page) -> bool:
    """The page may be pinned, so that it must stay the parent's alone (include/linux/mm.h; before v5.12 in copy_present_page)."""
    return copy.may_be_pinned and page_maybe_dma_pinned(page)


def copy_present_pte(copy: _Copy, src_ptes: list[i64], i: int, addr: int) -> i64:
    """Share one page with the child, both read-only if it is private: `src_ptes`, the parent's entries, may change.

    The child's entry; 0: a frame is needed first.
    """
    pte: i64 = src_ptes[i]
    page = vm_normal_page(copy.src_vma, addr, pte)
    if page is not None:
        if PageAnon(page):
            if not page_try_dup_anon_rmap(page, copy.dst_vma, addr, page_needs_cow_for_dma(copy, page)):
                return copy_present_page(copy, addr, page)
            copy.anon += 1
        else:
            page_dup_rmap(page, copy.dst_vma, addr)
            copy.rss[mm_counter_file(page)] += 1
        get_page(page)
    if copy.is_cow and pte_write(pte):
        src_ptes[i] = pte_wrprotect(pte)
        copy.wrprotected = True
    return pte & ~copy.cleared


def page_copy_prealloc(copy: _Copy, addr: int) -> bool:
    """A frame for copy_present_page(); False when out of memory."""
    copy.prealloc = alloc_page_vma(GFP_HIGHUSER_MOVABLE, copy.src_vma, addr)
    return copy.prealloc is not None


def copy_pte_range(copy: _Copy, dst_pmd: i64, src_pmd: i64, addr: int, end: int) -> bool:
    """The entries of one page table; False when out of memory.

    They are read and written together (Linux, too, leaves it to arch_leave_lazy_mmu_mode() when they take effect).
    """
    dst_mm = copy.dst_vma.vm_mm
    src_mm = copy.src_vma.vm_mm
    k = dst_mm.kernel
    while True:
        # The child's table is made even if the parent's is all empty.
        dst_pte = pte_alloc_map(dst_mm, dst_pmd, addr)
        if dst_pte == 0:
            return False
        src_pte = pte_offset_map(k, src_pmd, addr)
        src_ptes = get_ptes(k, src_pte, (end - addr) >> PAGE_SHIFT)
        copied = False
        #: Entries that are not just the parent's with other flags.
        odd: list[tuple[int, i64]] = []
        start = addr
        for i in range(len(src_ptes)):
            src: i64 = src_ptes[i]
            if not pte_none(src):
                if not pte_present(src):
                    pte = copy_nonpresent_pte(copy, src, addr)
                else:
                    pte = copy_present_pte(copy, src_ptes, i, addr)
                    if pte == 0:
                        break
                    if copy.prealloc is not None:
                        # Not needed after all; memory policy may want another frame for the next page.
                        put_page(copy.prealloc)
                        copy.prealloc = None
                copied = True
                if pte != src & ~copy.cleared:
                    odd.append((i, pte))
            addr += PAGE_SIZE
        if copied:
            copy_ptes(dst_mm, start, dst_pte, src_pte, (addr - start) >> PAGE_SHIFT, copy.cleared)
            for i, pte in odd:
                set_pte_at(dst_mm, start + (i << PAGE_SHIFT), dst_pte + i, pte)
        if copy.wrprotected:
            set_ptes(src_mm, start, src_pte, src_ptes)
            copy.wrprotected = False
        copy.rss[MM_ANONPAGES] += copy.anon
        add_mm_rss_vec(dst_mm, copy.rss)
        copy.anon = 0
        copy.rss = [0] * NR_MM_COUNTERS
        if addr == end:
            return True
        if not page_copy_prealloc(copy, addr):
            return False


def copy_pmd_range(copy: _Copy, dst_pud: i64, src_pud: i64, addr: int, end: int) -> bool:
    """The page tables under one PUD entry; False when out of memory."""
    k = copy.dst_vma.vm_mm.kernel
    dst_pmd = pmd_alloc(copy.dst_vma.vm_mm, dst_pud, addr)
    if dst_pmd == 0:
        return False
    src_pmd = pmd_offset(k, src_pud, addr)
    while addr != end:
        next = pmd_addr_end(addr, end)
        if not pmd_none(k.words[src_pmd]) and not copy_pte_range(copy, dst_pmd, src_pmd, addr, next):
            return False
        dst_pmd += 1
        src_pmd += 1
        addr = next
    return True


def copy_pud_range(copy: _Copy, dst_p4d: i64, src_p4d: i64, addr: int, end: int) -> bool:
    """The PMDs under one PGD entry (the P4D is folded); False when out of memory."""
    k = copy.dst_vma.vm_mm.kernel
    dst_pud = pud_alloc(copy.dst_vma.vm_mm, dst_p4d, addr)
    if dst_pud == 0:
        return False
    src_pud = pud_offset(k, src_p4d, addr)
    while addr != end:
        next = pud_addr_end(addr, end)
        if not pud_none(k.words[src_pud]) and not copy_pmd_range(copy, dst_pud, src_pud, addr, next):
            return False
        dst_pud += 1
        src_pud += 1
        addr = next
    return True


def vma_needs_copy(src_vma: VmAreaStruct) -> bool:
    """Faults would not bring the pages back: there are anonymous ones, or frames that a driver mapped (a function since v5.19).

    An anon_vma says that there may be anonymous pages; without one a big shared or read-only mapping costs fork nothing.
    """
    return src_vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP) != 0 or src_vma.anon_vma is not None


def copy_page_range(dst_vma: VmAreaStruct, src_vma: VmAreaStruct) -> None:
    """Copy the page tables of `src_vma` to its copy in the child, `dst_vma`. Raises KernelError(ENOMEM), half done.

    The caller flushes the parent's TLB: its entries may have lost RW.
    """
    if not vma_needs_copy(src_vma):
        return
    dst_mm: MmStruct = dst_vma.vm_mm
    src_mm: MmStruct = src_vma.vm_mm
    k = src_mm.kernel
    copy = _Copy(dst_vma, src_vma)
    addr = src_vma.vm_start
    end = src_vma.vm_end
    dst_pgd = pgd_offset(dst_mm, addr)
    src_pgd = pgd_offset(src_mm, addr)
    while addr != end:
        next = pgd_addr_end(addr, end)
        if not pgd_none(k.words[src_pgd]) and not copy_pud_range(copy, p4d_alloc(dst_mm, dst_pgd, addr), src_pgd, addr, next):
            raise KernelError(ENOMEM)
        dst_pgd += 1
        src_pgd += 1
        addr = next
