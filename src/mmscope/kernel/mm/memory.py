# SPDX-License-Identifier: GPL-2.0-or-later
"""The page-fault handler: from handle_mm_fault() to a page-table entry (mm/memory.c).

    handle_mm_fault -> __handle_mm_fault -> handle_pte_fault
        entry empty: anonymous -> do_anonymous_page
                     file      -> do_fault -> do_read_fault | do_cow_fault | do_shared_fault
        present, write to a read-only entry -> do_wp_page -> wp_page_reuse | wp_page_copy | wp_page_shared | wp_pfn_shared

The other parts of Linux's memory.c are memory_rss.py (counters), memory_pgtables.py (page-table pages), memory_unmap.py
(zapping), memory_wp.py (do_wp_page) and memory_fork.py; everything of them can be imported from here. A PROT_NONE entry in a VMA
that permits access is a NUMA hint: do_numa_page() of mempolicy.py. Left out: swap entries, transparent huge pages, userfaultfd.
"""

from __future__ import annotations

import mmscope.kernel.mm.hugetlb as mm_hugetlb
from mmscope.kernel.arch.x86.pgtable import (
    PTRS_PER_PTE,
    mk_pte,
    pfn_pte,
    pgd_offset,
    pgtable_vaddr,
    pmd_none,
    pmd_populate,
    pte_alloc_one,
    pte_free,
    pte_index,
    pte_mkdirty,
    pte_mkspecial,
    pte_mkwrite,
    pte_mkyoung,
    pte_none,
    pte_offset_map,
    pte_present,
    pte_protnone,
    pte_write,
    ptep_set_access_flags,
    set_pte_at,
)
from mmscope.kernel.include.errno import ENOMEM, KernelBug
from mmscope.kernel.include.gfp import GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.mm import (
    FAULT_FLAG_TRIED,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    MM_ANONPAGES,
    VM_ACCESS_FLAGS,
    VM_FAULT_DONE_COW,
    VM_FAULT_ERROR,
    VM_FAULT_LOCKED,
    VM_FAULT_MAJOR,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_FAULT_SIGSEGV,
    VM_HUGETLB,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import MMF_UNSTABLE, VmFault
from mmscope.kernel.include.page import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_locked, PG_uptodate
from mmscope.kernel.include.pagemap import lock_page, unlock_page
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.memory_fork import copy_page_range
from mmscope.kernel.mm.memory_pgtables import (
    __pmd_alloc,
    __pte_alloc,
    __pud_alloc,
    free_pgd_range,
    free_pgtables,
    get_locked_pte,
    p4d_alloc,
    pmd_alloc,
    pte_alloc,
    pte_alloc_map,
    pud_alloc,
    walk_to_pmd,
)
from mmscope.kernel.mm.memory_rss import (
    TASK_RSS_EVENTS_THRESH,
    add_mm_counter_fast,
    add_mm_rss_vec,
    check_sync_rss_stat,
    dec_mm_counter,
    dec_mm_counter_fast,
    get_mm_counter,
    get_mm_rss,
    inc_mm_counter_fast,
    mm_counter,
    mm_counter_file,
    sync_mm_rss,
    update_hiwater_rss,
    update_hiwater_vm,
)
from mmscope.kernel.mm.memory_unmap import (
    insert_page,
    insert_pfn,
    is_cow_mapping,
    is_zero_pfn,
    print_bad_pte,
    unmap_page_range,
    unmap_single_vma,
    unmap_vmas,
    vm_insert_page,
    vm_normal_page,
    vmf_insert_pfn,
    vmf_insert_pfn_prot,
    zap_page_range,
    zap_page_range_single,
)
from mmscope.kernel.mm.memory_wp import (
    do_page_mkwrite,
    do_wp_page,
    fault_dirty_shared_page,
    maybe_mkwrite,
    maybe_unlock_mmap_for_io,
)
from mmscope.kernel.mm.page_alloc import (
    alloc_page_vma,
    alloc_zeroed_user_highpage_movable,
    copy_user_highpage,
    put_page,
)
from mmscope.kernel.mm.rmap import (
    anon_vma_prepare,
    linear_page_index,
    page_add_file_rmap,
    page_add_new_anon_rmap,
)
from mmscope.kernel.mm.swap import lru_cache_add_inactive_or_unevictable
from mmscope.kernel.mm.vmstat import PGFAULT, count_vm_event
from mmscope.kernel.tracepoint import trace_handle_mm_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
    from mmscope.kernel.include.ptrace import PtRegs

__all__ = [
    "TASK_RSS_EVENTS_THRESH", "__do_fault", "__handle_mm_fault", "__pmd_alloc", "__pte_alloc", "__pud_alloc",
    "add_mm_counter_fast", "add_mm_rss_vec", "alloc_set_pte", "check_sync_rss_stat", "copy_page_range", "dec_mm_counter",
    "dec_mm_counter_fast", "do_anonymous_page", "do_fault", "do_wp_page", "finish_fault", "free_pgd_range", "free_pgtables",
    "get_locked_pte",
    "get_mm_counter", "get_mm_rss", "handle_mm_fault", "handle_pte_fault",
    "inc_mm_counter_fast", "insert_page", "insert_pfn", "is_cow_mapping", "is_zero_pfn",
    "maybe_mkwrite", "maybe_unlock_mmap_for_io", "mm_counter", "mm_counter_file", "p4d_alloc",
    "pmd_alloc", "print_bad_pte", "pte_alloc", "pte_alloc_map", "pud_alloc", "sync_mm_rss", "unmap_page_range",
    "unmap_single_vma", "unmap_vmas", "update_hiwater_rss", "update_hiwater_vm", "vm_insert_page", "vm_normal_page",
    "vma_is_accessible", "vma_is_anonymous", "vmf_error", "vmf_insert_pfn", "vmf_insert_pfn_prot", "walk_to_pmd",
    "zap_page_range", "zap_page_range_single",
]  # fmt: skip

#: A handler that returns one of these has mapped nothing, or already all that was needed.
_UNFINISHED = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY


# --- small helpers of include/linux/mm.h and pagemap.h


def vma_is_anonymous(vma: VmAreaStruct) -> bool:
    """No vm_ops: private anonymous memory."""
    return vma.vm_ops is None


def vma_is_accessible(vma: VmAreaStruct) -> bool:
    """Not PROT_NONE."""
    return vma.vm_flags & VM_ACCESS_FLAGS != 0


def vmf_error(err: int) -> int:
    """VM_FAULT_* for a positive errno."""
    return VM_FAULT_OOM if err == ENOMEM else VM_FAULT_SIGBUS


# --- the top


def mm_account_fault(mm: MmStruct, regs: PtRegs | None, address: int, flags: int, ret: int) -> None:
    """Count a completed fault, as the current task's (since v5.9 here for all callers, get_user_pages included).

    Major: the handler said so, or it needed a second try. `regs` None (get_user_pages) only leaves out perf's events.
    """
    if ret & (VM_FAULT_ERROR | VM_FAULT_RETRY):
        return
    k = mm.kernel
    if not k.has_current():
        return
    if ret & VM_FAULT_MAJOR or flags & FAULT_FLAG_TRIED:
        k.current.maj_flt += 1
    else:
        k.current.min_flt += 1


def handle_mm_fault(vma: VmAreaStruct, address: int, flags: int, regs: PtRegs | None) -> int:
    """Make `address` accessible. VM_FAULT_* bits; 0 or VM_FAULT_MAJOR/WRITE/NOPAGE mean: access it again.

    Precondition: the VMA permits the access; `flags` is a set of FAULT_FLAG_*.
    """
    mm = vma.vm_mm
    k = mm.kernel
    count_vm_event(k, PGFAULT)
    if k.has_current() and k.current.mm is not None:
        check_sync_rss_stat(k.current)
    ret = mm_hugetlb.hugetlb_fault(vma, address) if vma.vm_flags & VM_HUGETLB else __handle_mm_fault(vma, address, flags)
    mm_account_fault(mm, regs, address, flags, ret)
    return ret


def __handle_mm_fault(vma: VmAreaStruct, address: int, flags: int) -> int:
    """Find or make the tables above the page-table entry."""
    mm = vma.vm_mm
    vmf = VmFault(vma, flags, linear_page_index(vma, address), address & PAGE_MASK)
    vmf.gfp_mask = GFP_HIGHUSER_MOVABLE
    p4d = p4d_alloc(mm, pgd_offset(mm, address), address)
    vmf.pud = pud_alloc(mm, p4d, address)
    if vmf.pud == 0:
        return VM_FAULT_OOM
    vmf.pmd = pmd_alloc(mm, vmf.pud, address)
    if vmf.pmd == 0:
        return VM_FAULT_OOM
    ret = handle_pte_fault(vmf)
    trace_handle_mm_fault(vmf, ret)
    return ret


def handle_pte_fault(vmf: VmFault) -> int:
    """Decide by the entry that is there."""
    vma = vmf.vma
    words = vma.vm_mm.kernel.words
    pmd: i64 = words[vmf.pmd]
    if pmd_none(pmd):
        # No page table yet: do_anonymous_page and alloc_set_pte make it as late as possible.
        vmf.pte = 0
    else:
        vmf.pte = pgtable_vaddr(pmd) + pte_index(vmf.address)
        vmf.orig_pte = words[vmf.pte]
        if pte_none(vmf.orig_pte):
            vmf.pte = 0
    if vmf.pte == 0:
        if vma_is_anonymous(vma):
            return do_anonymous_page(vmf)
        return do_fault(vmf)
    entry: i64 = vmf.orig_pte
    if not pte_present(entry):
        return do_swap_page(vmf)
    if pte_protnone(entry) and vma_is_accessible(vma):
        import mmscope.kernel.mm.mempolicy as mm_mempolicy

        return mm_mempolicy.do_numa_page(vmf)
    if vmf.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE):
        if not pte_write(entry):
            return do_wp_page(vmf)
        if vmf.flags & FAULT_FLAG_WRITE:
            entry = pte_mkdirty(entry)
    entry = pte_mkyoung(entry)
    # Else a spurious fault, from a stale TLB entry: on x86 the fault itself dropped it.
    ptep_set_access_flags(vma, vmf.address, vmf.pte, entry, vmf.flags & FAULT_FLAG_WRITE)
    return 0


def do_swap_page(vmf: VmFault) -> int:
    """An entry that is neither empty nor present: a guard. Nothing makes another yet."""
    if is_guard_pte_marker(vmf.orig_pte):
        return VM_FAULT_SIGSEGV
    raise KernelBug(f"do_swap_page: entry {vmf.orig_pte:#x} at {vmf.address:#x} in {vmf.vma!r}: there is no swap yet")


# --- anonymous memory


def do_anonymous_page(vmf: VmFault) -> int:
    """First touch of private anonymous memory: the shared zero page for a read, a zeroed page for a write."""
    vma = vmf.vma
    mm = vma.vm_mm
    k = mm.kernel
    if vma.vm_flags & VM_SHARED:
        return VM_FAULT_SIGBUS  # a file mapping without vm_ops
    if not pte_alloc(mm, vmf.pmd, vmf.address):
        return VM_FAULT_OOM
    entry: i64
    if not vmf.flags & FAULT_FLAG_WRITE:
        entry = pte_mkspecial(pfn_pte(k.zero_pfn, vma.vm_page_prot))
        vmf.pte = pte_offset_map(k, vmf.pmd, vmf.address)
        if not pte_none(k.words[vmf.pte]):
            return 0
        if mm.flags & MMF_UNSTABLE:
            return VM_FAULT_SIGBUS
        set_pte_at(mm, vmf.address, vmf.pte, entry)
        return 0
    anon_vma_prepare(vma)
    page = alloc_zeroed_user_highpage_movable(vma, vmf.address)
    if page is None:
        return VM_FAULT_OOM
    page.flags |= PG_uptodate
    entry = mk_pte(page, vma.vm_page_prot)
    if vma.vm_flags & VM_WRITE:
        entry = pte_mkwrite(pte_mkdirty(entry))
    vmf.pte = pte_offset_map(k, vmf.pmd, vmf.address)
    if not pte_none(k.words[vmf.pte]):
        put_page(page)
        return 0
    if mm.flags & MMF_UNSTABLE:
        # check_stable_address_space(): the OOM killer has taken pages away; new ones must not be taken for them.
        put_page(page)
        return VM_FAULT_SIGBUS
    inc_mm_counter_fast(mm, MM_ANONPAGES)
    page_add_new_anon_rmap(page, vma, vmf.address)
    lru_cache_add_inactive_or_unevictable(page, vma)
    set_pte_at(mm, vmf.address, vmf.pte, entry)
    return 0


# --- file mappings


def __do_fault(vmf: VmFault) -> int:
    """Let the file system find the page: vmf.page, locked and with a reference."""
    vma = vmf.vma
    mm = vma.vm_mm
    # Made ahead: what ->fault holds locked must not wait for the allocator.
    if pmd_none(mm.kernel.words[vmf.pmd]) and vmf.prealloc_pte is None:
        vmf.prealloc_pte = pte_alloc_one(mm.kernel, mm)
        if vmf.prealloc_pte is None:
            return VM_FAULT_OOM
    assert vma.vm_ops is not None
    assert vma.vm_ops.fault is not None
    ret = vma.vm_ops.fault(vmf)
    if ret & (_UNFINISHED | VM_FAULT_DONE_COW):
        return ret
    page = vmf.page
    assert page is not None
    if not ret & VM_FAULT_LOCKED:
        lock_page(page)
    elif not page.flags & PG_locked:
        raise KernelBug(f"__do_fault: {vma.vm_ops.ops_name} returned {page!r} unlocked with VM_FAULT_LOCKED for {vma!r}")
    return ret


def pte_alloc_one_map(vmf: VmFault) -> int:
    """Set vmf.pte, under a table that may have to be made or was preallocated. 0 or VM_FAULT_OOM (until v5.11)."""
    mm = vmf.vma.vm_mm
    if pmd_none(mm.kernel.words[vmf.pmd]):
        table = vmf.prealloc_pte
        if table is not None:
            mm.pgtables_bytes += PAGE_SIZE
            pmd_populate(mm, vmf.address, vmf.pmd, table)
            vmf.prealloc_pte = None
        elif not pte_alloc(mm, vmf.pmd, vmf.address):
            return VM_FAULT_OOM
    vmf.pte = pte_offset_map(mm.kernel, vmf.pmd, vmf.address)
    return 0


def alloc_set_pte(vmf: VmFault, page: Page) -> int:
    """Map `page` at vmf.address: a private write as new anonymous page, all else as page of the file.

    Takes over the caller's reference on success. VM_FAULT_NOPAGE: something is mapped there already.
    (v5.12 split it in do_set_pte and finish_fault.)
    """
    vma = vmf.vma
    mm = vma.vm_mm
    write = vmf.flags & FAULT_FLAG_WRITE != 0
    if vmf.pte == 0:
        ret = pte_alloc_one_map(vmf)
        if ret:
            return ret
    if not pte_none(mm.kernel.words[vmf.pte]):
        return VM_FAULT_NOPAGE
    entry = mk_pte(page, vma.vm_page_prot)
    if write:
        entry = maybe_mkwrite(pte_mkdirty(entry), vma)
    if write and not vma.vm_flags & VM_SHARED:
        inc_mm_counter_fast(mm, MM_ANONPAGES)
        page_add_new_anon_rmap(page, vma, vmf.address)
        lru_cache_add_inactive_or_unevictable(page, vma)
    else:
        inc_mm_counter_fast(mm, mm_counter_file(page))
        page_add_file_rmap(page, vma, vmf.address)
    set_pte_at(mm, vmf.address, vmf.pte, entry)
    return 0


def finish_fault(vmf: VmFault) -> int:
    """Map what ->fault found, or its private copy."""
    if vmf.flags & FAULT_FLAG_WRITE and not vmf.vma.vm_flags & VM_SHARED:
        page = vmf.cow_page
    else:
        page = vmf.page
    assert page is not None
    if vmf.vma.vm_mm.flags & MMF_UNSTABLE and not vmf.vma.vm_flags & VM_SHARED:
        return VM_FAULT_SIGBUS
    return alloc_set_pte(vmf, page)


def do_fault_around(vmf: VmFault) -> int:
    """Map the cached pages around the address, fault_around_bytes in all, inside the VMA and the page table.

    VM_FAULT_NOPAGE if that solved the fault.
    """
    vma = vmf.vma
    k = vma.vm_mm.kernel
    address = vmf.address
    nr_pages = k.config.fault_around_bytes >> PAGE_SHIFT
    mask = ~(nr_pages * PAGE_SIZE - 1) & PAGE_MASK
    vmf.address = max(address & mask, vma.vm_start)
    off = ((address - vmf.address) >> PAGE_SHIFT) & (PTRS_PER_PTE - 1)
    start_pgoff = vmf.pgoff - off
    end_pgoff = min(
        start_pgoff - ((vmf.address >> PAGE_SHIFT) & (PTRS_PER_PTE - 1)) + PTRS_PER_PTE - 1,
        ((vma.vm_end - vma.vm_start) >> PAGE_SHIFT) + vma.vm_pgoff - 1,
        start_pgoff + nr_pages - 1,
    )
    ret = 0
    if pmd_none(k.words[vmf.pmd]):
        vmf.prealloc_pte = pte_alloc_one(k, vma.vm_mm)
    if vmf.prealloc_pte is not None or not pmd_none(k.words[vmf.pmd]):
        assert vma.vm_ops is not None
        assert vma.vm_ops.map_pages is not None
        vma.vm_ops.map_pages(vmf, start_pgoff, end_pgoff)
        if vmf.pte:
            # map_pages moved vmf.address and vmf.pte on together: look at the entry of the fault.
            vmf.pte -= (vmf.address >> PAGE_SHIFT) - (address >> PAGE_SHIFT)
            if not pte_none(k.words[vmf.pte]):
                ret = VM_FAULT_NOPAGE
    vmf.address = address
    vmf.pte = 0
    return ret


def do_read_fault(vmf: VmFault) -> int:
    """A read, or an instruction fetch, of a page that is not mapped."""
    vma = vmf.vma
    assert vma.vm_ops is not None
    if vma.vm_ops.map_pages is not None and vma.vm_mm.kernel.config.fault_around_bytes >> PAGE_SHIFT > 1:
        ret = do_fault_around(vmf)
        if ret:
            return ret
    ret = __do_fault(vmf)
    if ret & _UNFINISHED:
        return ret
    ret |= finish_fault(vmf)
    page = vmf.page
    assert page is not None
    unlock_page(page)
    if ret & _UNFINISHED:
        put_page(page)
    return ret


def do_cow_fault(vmf: VmFault) -> int:
    """A first write to a private file mapping: the file's page is copied and never mapped."""
    vma = vmf.vma
    anon_vma_prepare(vma)
    new_page = alloc_page_vma(GFP_HIGHUSER_MOVABLE, vma, vmf.address)
    vmf.cow_page = new_page
    if new_page is None:
        return VM_FAULT_OOM
    ret = __do_fault(vmf)
    if ret & _UNFINISHED:
        put_page(new_page)
        return ret
    if ret & VM_FAULT_DONE_COW:
        return ret
    page = vmf.page
    assert page is not None
    copy_user_highpage(new_page, page, vmf.address, vma)
    new_page.flags |= PG_uptodate
    ret |= finish_fault(vmf)
    unlock_page(page)
    put_page(page)
    if ret & _UNFINISHED:
        put_page(new_page)
    return ret


def do_shared_fault(vmf: VmFault) -> int:
    """A first write to a shared mapping: the file's own page becomes writable, after asking the file system."""
    vma = vmf.vma
    assert vma.vm_ops is not None
    ret = __do_fault(vmf)
    if ret & _UNFINISHED:
        return ret
    page = vmf.page
    assert page is not None
    if vma.vm_ops.page_mkwrite is not None:
        unlock_page(page)
        tmp = do_page_mkwrite(vmf)
        if tmp == 0 or tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE):
            put_page(page)
            return tmp
    ret |= finish_fault(vmf)
    if ret & _UNFINISHED:
        unlock_page(page)
        put_page(page)
        return ret
    return ret | fault_dirty_shared_page(vmf)


def do_fault(vmf: VmFault) -> int:
    """The entry is empty and the VMA has vm_ops."""
    vma = vmf.vma
    mm = vma.vm_mm
    assert vma.vm_ops is not None
    if vma.vm_ops.fault is None:
        # ->fault was never there (the pages were inserted by ->mmap): an empty entry is an error.
        if pmd_none(mm.kernel.words[vmf.pmd]):
            ret = VM_FAULT_SIGBUS
        else:
            vmf.pte = pte_offset_map(mm.kernel, vmf.pmd, vmf.address)
            ret = VM_FAULT_SIGBUS if pte_none(mm.kernel.words[vmf.pte]) else VM_FAULT_NOPAGE
    elif not vmf.flags & FAULT_FLAG_WRITE:
        ret = do_read_fault(vmf)
    elif not vma.vm_flags & VM_SHARED:
        ret = do_cow_fault(vmf)
    else:
        ret = do_shared_fault(vmf)
    if vmf.prealloc_pte is not None:
        pte_free(mm, vmf.prealloc_pte)
        vmf.prealloc_pte = None
    return ret
