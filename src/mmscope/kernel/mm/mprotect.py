# SPDX-License-Identifier: GPL-2.0-or-later
"""mprotect(2): the VMA's flags, then every present entry below it (mm/mprotect.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    get_ptes,
    pgd_addr_end,
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pte_dirty,
    pte_mkwrite,
    pte_modify,
    pte_offset_map,
    pte_present,
    pte_protnone,
    pte_soft_dirty,
    pte_write,
    pud_addr_end,
    pud_none,
    pud_offset,
    set_ptes,
)
from mmscope.kernel.arch.x86.tlbflush import flush_tlb_range
from mmscope.kernel.include.errno import EACCES, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.mm import (
    VM_ACCESS_FLAGS,
    VM_ACCOUNT,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYBE_GUARD,
    VM_MAYEXEC,
    VM_NORESERVE,
    VM_READ,
    VM_SHARED,
    VM_SOFTDIRTY,
    VM_WRITE,
)
from mmscope.kernel.include.mman import PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PageAnon, PageAnonExclusive, PG_dirty, PG_swapbacked
from mmscope.kernel.include.sched import READ_IMPLIES_EXEC
from mmscope.kernel.mm.gup import populate_vma_page_range
from mmscope.kernel.mm.memory import is_cow_mapping, vm_normal_page
from mmscope.kernel.mm.mmap import (
    find_vma,
    may_expand_vm,
    split_vma,
    vm_flags_reset,
    vm_stat_account,
    vma_merge,
    vma_set_page_prot,
    vma_wants_writenotify,
)
from mmscope.kernel.mm.util import security_vm_enough_memory_mm, vm_unacct_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct

#: The caller counts dirty pages itself: entries that are dirty may be made writable without a fault.
MM_CP_DIRTY_ACCT: Final = 1
#: Entries are to fault though their VMA permits the access (change_prot_numa).
MM_CP_PROT_NUMA: Final = 4
#: Anonymous pages that belong to this process alone may be made writable without a fault (since v6.0, 64fe24a3e05e).
MM_CP_TRY_CHANGE_WRITABLE: Final = 8


def can_change_pte_writable(vma: VmAreaStruct, addr: int, pte: i64) -> bool:
    """A write to this page of a private writable VMA would only find that nobody else has it: no fault is needed."""
    if not vma.vm_flags & VM_WRITE or vma.vm_flags & VM_SHARED or pte_protnone(pte):
        return False
    # A copy that was made for a pin alone is clean; until v6.2 its first write has to fault.
    if not pte_dirty(pte) and not vma.vm_mm.kernel.config.at_least(6, 2):
        return False
    page = vm_normal_page(vma, addr, pte)
    return page is not None and PageAnon(page) and PageAnonExclusive(page)


def numa_hint_wanted(vma: VmAreaStruct, addr: int, pte: i64) -> bool:
    """change_prot_numa() takes the access to this page away: not to what is shared by copy-on-write, nor to dirty files."""
    if pte_protnone(pte):
        return False
    page = vm_normal_page(vma, addr, pte)
    if page is None or (is_cow_mapping(vma.vm_flags) and page._mapcount != 0):
        return False
    return PageAnon(page) or page.flags & (PG_swapbacked | PG_dirty) != PG_dirty


def change_pte_range(vma: VmAreaStruct, pmdp: int, addr: int, end: int, newprot: i64, cp_flags: int) -> int:
    """The entries of one page table, read and written together; the number changed."""
    k = vma.vm_mm.kernel
    start = addr
    ptep = pte_offset_map(k, pmdp, start)
    ptes = get_ptes(k, ptep, (end - start) >> PAGE_SHIFT)
    pages = 0
    prot_numa = cp_flags & MM_CP_PROT_NUMA != 0
    # Of a task without threads all private memory is where it should be: on its node.
    local = prot_numa and not vma.vm_flags & VM_SHARED and vma.vm_mm.mm_users == 1
    for i in range(len(ptes)):
        oldpte: i64 = ptes[i]
        if pte_present(oldpte) and not (prot_numa and (local or not numa_hint_wanted(vma, addr, oldpte))):
            ptent: i64 = pte_modify(oldpte, newprot)
            if prot_numa and pte_write(oldpte):
                # pte_mk_savedwrite(): do_numa_page() gives it back.
                ptent = pte_mkwrite(ptent)
            # A page known to be dirty needs no fault to tell so.
            if cp_flags & MM_CP_DIRTY_ACCT and pte_dirty(ptent):
                if pte_soft_dirty(ptent) or not vma.vm_flags & VM_SOFTDIRTY:
                    ptent = pte_mkwrite(ptent)
            if cp_flags & MM_CP_TRY_CHANGE_WRITABLE and can_change_pte_writable(vma, addr, ptent):
                ptent = pte_mkwrite(ptent)
            ptes[i] = ptent
            pages += 1
        addr += PAGE_SIZE
    if pages:
        set_ptes(vma.vm_mm, start, ptep, ptes)
    return pages


def change_pmd_range(vma: VmAreaStruct, pudp: int, addr: int, end: int, newprot: i64, cp_flags: int) -> int:
    """The page tables under one PUD entry."""
    k = vma.vm_mm.kernel
    pmdp = pmd_offset(k, pudp, addr)
    pages = 0
    while addr != end:
        next = pmd_addr_end(addr, end)
        if not pmd_none(k.words[pmdp]):
            pages += change_pte_range(vma, pmdp, addr, next, newprot, cp_flags)
        pmdp += 1
        addr = next
    return pages


def change_pud_range(vma: VmAreaStruct, p4dp: int, addr: int, end: int, newprot: i64, cp_flags: int) -> int:
    """The PMDs under one PGD entry (the P4D is folded)."""
    k = vma.vm_mm.kernel
    pudp = pud_offset(k, p4dp, addr)
    pages = 0
    while addr != end:
        next = pud_addr_end(addr, end)
        if not pud_none(k.words[pudp]):
            pages += change_pmd_range(vma, pudp, addr, next, newprot, cp_flags)
        pudp += 1
        addr = next
    return pages


def change_protection_range(vma: VmAreaStruct, addr: int, end: int, newprot: i64, cp_flags: int) -> int:
    """All entries of [addr, end), with one TLB flush for the range if any was changed."""
    mm = vma.vm_mm
    k = mm.kernel
    start = addr
    pgdp = pgd_offset(mm, addr)
    pages = 0
    mm.tlb_flush_pending += 1
    while addr != end:
        next = pgd_addr_end(addr, end)
        if not pgd_none(k.words[pgdp]):
            pages += change_pud_range(vma, pgdp, addr, next, newprot, cp_flags)
        pgdp += 1
        addr = next
    if pages:
        flush_tlb_range(vma, start, end)
    mm.tlb_flush_pending -= 1
    return pages


def change_protection(vma: VmAreaStruct, start: int, end: int, newprot: i64, cp_flags: int) -> int:
    """Give the present entries of [start, end) the protection `newprot`; the number of entries."""
    return change_protection_range(vma, start, end, newprot, cp_flags)


def _populate_as_far_as_it_goes(vma: VmAreaStruct, start: int, end: int) -> None:
    """mprotect_fixup() does not look at the result: a page beyond the end of the file is an error of the later access."""
    try:
        populate_vma_page_range(vma, start, end)
    except KernelError:
        return


def mprotect_fixup(vma: VmAreaStruct, prev: VmAreaStruct | None, start: int, end: int, newflags: int) -> VmAreaStruct:
    """Give [start, end) of `vma` the flags `newflags`: charge, merge or split, then the entries. The VMA that now holds it."""
    mm = vma.vm_mm
    oldflags = vma.vm_flags
    if newflags == oldflags:
        return vma
    nrpages = (end - start) >> 12
    charged = 0
    if newflags & VM_WRITE:
        if not may_expand_vm(mm, newflags, nrpages) and may_expand_vm(mm, oldflags, nrpages):
            raise KernelError(ENOMEM)
        if not oldflags & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE):
            charged = nrpages
            security_vm_enough_memory_mm(mm, charged)
            newflags |= VM_ACCOUNT
    elif oldflags & VM_ACCOUNT and vma.vm_ops is None and vma.anon_vma is None and mm.kernel.config.at_least(6, 7):
        # Never written: nothing is committed any more, and it merges with what never was writable.
        newflags &= ~VM_ACCOUNT

    pgoff = vma.vm_pgoff + ((start - vma.vm_start) >> 12)
    merged = vma_merge(mm, prev, start, end, newflags, vma.anon_vma, vma.vm_file, pgoff, vma)
    if merged is not None:
        vma = merged
    else:
        try:
            if start != vma.vm_start:
                split_vma(mm, vma, start, True)
            if end != vma.vm_end:
                split_vma(mm, vma, end, False)
        except KernelError:
            vm_unacct_memory(mm.kernel, charged)
            raise

    newflags |= vma.vm_flags & VM_MAYBE_GUARD  # whom it merged with may have guards
    vm_flags_reset(vma, newflags)
    dirty_accountable = vma_wants_writenotify(vma, vma.vm_page_prot)
    vma_set_page_prot(vma)
    cp_flags = MM_CP_DIRTY_ACCT if dirty_accountable else 0
    if newflags & (VM_WRITE | VM_SHARED) == VM_WRITE and mm.kernel.config.at_least(6, 0):
        cp_flags |= MM_CP_TRY_CHANGE_WRITABLE
    change_protection(vma, start, end, vma.vm_page_prot, cp_flags)
    if oldflags & VM_ACCOUNT and not newflags & VM_ACCOUNT:
        vm_unacct_memory(mm.kernel, nrpages)
    # A locked private mapping that becomes writable: break COW now rather than by a fault later.
    if oldflags & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED and newflags & VM_WRITE:
        _populate_as_far_as_it_goes(vma, start, end)
    vm_stat_account(mm, oldflags, -nrpages)
    vm_stat_account(mm, newflags, nrpages)
    return vma


def do_mprotect_pkey(k: Kernel, start: int, len: int, prot: int, pkey: int = -1) -> None:
    """mprotect(2), and pkey_mprotect(2) of a CPU without protection keys."""
    mm = k.current.mm
    assert mm is not None
    grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    rier = k.current.personality & READ_IMPLIES_EXEC and prot & PROT_READ
    prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == PROT_GROWSDOWN | PROT_GROWSUP:
        raise KernelError(EINVAL)
    if start & 4095:
        raise KernelError(EINVAL)
    if not len:
        return
    len = PAGE_ALIGN(len) & 0xFFFFFFFFFFFFFFFF
    end = (start + len) & 0xFFFFFFFFFFFFFFFF
    if end <= start:
        raise KernelError(ENOMEM)
    if prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM):
        raise KernelError(EINVAL)
    reqprot = prot
    if pkey != -1:
        raise KernelError(EINVAL)

    vma = find_vma(mm, start)
    if vma is None:
        raise KernelError(ENOMEM)
    prev = vma.vm_prev
    if grows & PROT_GROWSDOWN:
        if vma.vm_start >= end:
            raise KernelError(ENOMEM)
        start = vma.vm_start
        if not vma.vm_flags & VM_GROWSDOWN:
            raise KernelError(EINVAL)
    else:
        if vma.vm_start > start:
            raise KernelError(ENOMEM)
        if grows & PROT_GROWSUP:
            # No mapping of x86 grows up.
            raise KernelError(EINVAL)
    if start > vma.vm_start:
        prev = vma

    nstart = start
    while True:
        if rier and vma.vm_flags & VM_MAYEXEC:
            prot |= PROT_EXEC
        newflags = prot & 7 | vma.vm_flags & ~(VM_READ | VM_WRITE | VM_EXEC)
        # VM_MAY* stand four bits above the permission that they allow.
        if newflags & ~(newflags >> 4) & VM_ACCESS_FLAGS:
            raise KernelError(EACCES)
        tmp = min(vma.vm_end, end)
        prev = mprotect_fixup(vma, prev, nstart, tmp, newflags)
        nstart = tmp
        if nstart < prev.vm_end:
            nstart = prev.vm_end
        if nstart >= end:
            return
        following = prev.vm_next
        if following is None or following.vm_start != nstart:
            raise KernelError(ENOMEM)
        vma = following
        prot = reqprot
