# SPDX-License-Identifier: GPL-2.0-or-later
"""A write to a present entry that does not permit it: copy-on-write, and shared pages of files (the part of mm/memory.c).

    do_wp_page -> wp_page_reuse: the page is this process's alone
               -> wp_page_copy: it is not, or is the zero page
               -> wp_page_shared, wp_pfn_shared: shared memory, whose owner wants to know of the first write

Import from mm/memory.py, which re-exports what others need.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import copy_page
from mmscope.kernel.arch.x86.pgtable import (
    mk_pte,
    pte_mkdirty,
    pte_mksoft_dirty,
    pte_mkwrite,
    pte_mkyoung,
    pte_offset_map,
    pte_pfn,
    pte_soft_dirty,
    ptep_clear_flush,
    ptep_set_access_flags,
    set_pte_at,
)
from mmscope.kernel.fs.file import fput, get_file
from mmscope.kernel.fs.inode import file_update_time
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.gfp import GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.mm import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_MKWRITE,
    FAULT_FLAG_RETRY_NOWAIT,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    MM_ANONPAGES,
    VM_FAULT_COMPLETED,
    VM_FAULT_ERROR,
    VM_FAULT_LOCKED,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_WRITE,
    VM_LOCKED,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import VmFault
from mmscope.kernel.include.page_flags import PageAnon, PageAnonExclusive, PG_lru, PG_mlocked, PG_uptodate
from mmscope.kernel.include.pagemap import lock_page, trylock_page, unlock_page
from mmscope.kernel.mm.memory_rss import dec_mm_counter_fast, inc_mm_counter_fast, mm_counter_file
from mmscope.kernel.mm.memory_unmap import is_zero_pfn, vm_normal_page
from mmscope.kernel.mm.page_alloc import (
    alloc_page_vma,
    alloc_zeroed_user_highpage_movable,
    copy_user_highpage,
    get_page,
    page_count,
    page_mapcount,
    put_page,
)
from mmscope.kernel.mm.page_writeback import balance_dirty_pages_ratelimited, page_rmapping, set_page_dirty
from mmscope.kernel.mm.rmap import (
    anon_vma_prepare,
    page_add_new_anon_rmap,
    page_move_anon_rmap,
    page_remove_rmap,
)
from mmscope.kernel.mm.swap import lru_add_drain, lru_cache_add_inactive_or_unevictable
from mmscope.kernel.mm.vmstat import PGREUSE, count_vm_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.mm_types import Page, VmAreaStruct, VmFault

__all__ = [
    "do_page_mkwrite", "do_wp_page", "fault_dirty_shared_page", "maybe_mkwrite", "maybe_unlock_mmap_for_io",
    "wp_page_copy", "wp_page_reuse",
]  # fmt: skip


def maybe_mkwrite(pte: i64, vma: VmAreaStruct) -> i64:
    """Writable if the VMA is: a forced copy (ptrace) in a read-only VMA stays read-only."""
    return pte_mkwrite(pte) if vma.vm_flags & VM_WRITE else pte


def maybe_unlock_mmap_for_io(vmf: VmFault, fpin: File | None) -> File | None:
    """Pin the file so that the handler may wait without mmap_lock, on the first try only; it then returns VM_FAULT_RETRY."""
    if fpin is not None:
        return fpin
    flags = vmf.flags
    if flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED | FAULT_FLAG_RETRY_NOWAIT) == FAULT_FLAG_ALLOW_RETRY:
        file = vmf.vma.vm_file
        assert file is not None
        return get_file(file)
    return None


# --- shared pages of files


def do_page_mkwrite(vmf: VmFault) -> int:
    """Tell the file system that the page becomes writable. 0: it was truncated, retry; else it comes back locked."""
    page = vmf.page
    ops = vmf.vma.vm_ops
    assert page is not None
    assert ops is not None
    assert ops.page_mkwrite is not None
    old_flags = vmf.flags
    vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE
    ret = ops.page_mkwrite(vmf)
    vmf.flags = old_flags
    if ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE):
        return ret
    if not ret & VM_FAULT_LOCKED:
        lock_page(page)
        if page.mapping is None:
            unlock_page(page)
            return 0
        ret |= VM_FAULT_LOCKED
    return ret


def fault_dirty_shared_page(vmf: VmFault) -> int:
    """After a write fault on a shared page: mark it dirty, unlock it, and throttle the writer.

    Throttling may wait, so the first try gives up mmap_lock and returns VM_FAULT_RETRY: the fault is counted as major.
    Since v6.0 (d92725256b4f) VM_FAULT_COMPLETED says that nothing is left to do, and it is counted as minor.
    """
    vma = vmf.vma
    page = vmf.page
    assert page is not None
    page_mkwrite = vma.vm_ops is not None and vma.vm_ops.page_mkwrite is not None
    dirtied = set_page_dirty(page)
    if PageAnon(page):
        raise KernelBug(f"fault_dirty_shared_page: {page!r} is anonymous, in {vma!r}")
    # The mapping is read before unlocking: truncation may take the page out of the file then.
    mapping = page_rmapping(page)
    unlock_page(page)
    if not page_mkwrite:
        assert vma.vm_file is not None
        file_update_time(vma.vm_file)
    if (dirtied or page_mkwrite) and mapping is not None:
        fpin = maybe_unlock_mmap_for_io(vmf, None)
        assert isinstance(mapping, AddressSpace)
        balance_dirty_pages_ratelimited(mapping)
        if fpin is not None:
            fput(fpin)
            return VM_FAULT_COMPLETED if page.kernel.config.at_least(6, 0) else VM_FAULT_RETRY
    return 0


# --- write protection


def wp_page_reuse(vmf: VmFault) -> None:
    """Nobody else has the page (or it is shared): just make the entry writable."""
    vma = vmf.vma
    page = vmf.page
    if page is not None and PageAnon(page) and page._mapcount != 0:
        raise KernelBug(f"wp_page_reuse: {page!r} is mapped elsewhere too, at {vmf.address:#x} in {vma!r}")
    entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(vmf.orig_pte)), vma)
    ptep_set_access_flags(vma, vmf.address, vmf.pte, entry, 1)
    count_vm_event(vma.vm_mm.kernel, PGREUSE)


def cow_user_page(dst: Page, src: Page | None, vmf: VmFault) -> bool:
    """Copy the page, or the frame without a struct page to count (`src` None) that the entry points to."""
    if src is not None:
        copy_user_highpage(dst, src, vmf.address, vmf.vma)
    else:
        copy_page(dst.kernel, dst.pfn, pte_pfn(vmf.orig_pte))
    return True


def wp_page_copy(vmf: VmFault) -> int:
    """Give the faulting process a page of its own: zeroed if the old one was the zero page, else a copy.

    Precondition: a reference on vmf.page, which is dropped here; vmf.page is None for the zero page and pfn maps.
    With FAULT_FLAG_UNSHARE the copy is for reading, and stays read-only.
    """
    vma = vmf.vma
    mm = vma.vm_mm
    k = mm.kernel
    old_page = vmf.page
    unshare = vmf.flags & FAULT_FLAG_UNSHARE != 0
    anon_vma_prepare(vma)
    new_page: Page | None
    if is_zero_pfn(k, pte_pfn(vmf.orig_pte)):
        new_page = alloc_zeroed_user_highpage_movable(vma, vmf.address)
    else:
        new_page = alloc_page_vma(GFP_HIGHUSER_MOVABLE, vma, vmf.address)
    if new_page is None:
        if old_page is not None:
            put_page(old_page)
        return VM_FAULT_OOM
    if not is_zero_pfn(k, pte_pfn(vmf.orig_pte)):
        cow_user_page(new_page, old_page, vmf)
    new_page.flags |= PG_uptodate
    page_copied = False
    release: Page | None = new_page
    vmf.pte = pte_offset_map(k, vmf.pmd, vmf.address)
    if k.words[vmf.pte] == vmf.orig_pte:
        if old_page is None:
            inc_mm_counter_fast(mm, MM_ANONPAGES)
        elif not PageAnon(old_page):
            dec_mm_counter_fast(mm, mm_counter_file(old_page))
            inc_mm_counter_fast(mm, MM_ANONPAGES)
        entry = mk_pte(new_page, vma.vm_page_prot)
        if not unshare:
            entry = maybe_mkwrite(pte_mkdirty(entry), vma)
        elif pte_soft_dirty(vmf.orig_pte):
            entry = pte_mksoft_dirty(entry)
        # The old translation must be gone before the new page can be seen.
        ptep_clear_flush(vma, vmf.address, vmf.pte)
        page_add_new_anon_rmap(new_page, vma, vmf.address)
        lru_cache_add_inactive_or_unevictable(new_page, vma)
        set_pte_at(mm, vmf.address, vmf.pte, entry)
        if old_page is not None:
            page_remove_rmap(old_page)
        release = old_page
        page_copied = True
    if release is not None:
        put_page(release)
    if old_page is not None:
        if page_copied and vma.vm_flags & VM_LOCKED:
            lock_page(old_page)
            if old_page.flags & PG_mlocked:
                import mmscope.kernel.mm.mlock as mm_mlock

                mm_mlock.munlock_vma_page(old_page)
            unlock_page(old_page)
        put_page(old_page)
    return VM_FAULT_WRITE if page_copied and not unshare else 0


def finish_mkwrite_fault(vmf: VmFault) -> int:
    """The file system agreed: make the entry writable if it still is what it was."""
    vma = vmf.vma
    k = vma.vm_mm.kernel
    vmf.pte = pte_offset_map(k, vmf.pmd, vmf.address)
    if k.words[vmf.pte] != vmf.orig_pte:
        return VM_FAULT_NOPAGE
    wp_page_reuse(vmf)
    return 0


def wp_pfn_shared(vmf: VmFault) -> int:
    """Write to a shared writable mapping of bare frames."""
    ops = vmf.vma.vm_ops
    if ops is not None and ops.pfn_mkwrite is not None:
        vmf.flags |= FAULT_FLAG_MKWRITE
        ret = ops.pfn_mkwrite(vmf)
        if ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE):
            return ret
        return finish_mkwrite_fault(vmf)
    wp_page_reuse(vmf)
    return VM_FAULT_WRITE


def wp_page_shared(vmf: VmFault) -> int:
    """Write to a shared writable file page that is mapped read-only, to learn of the first write."""
    page = vmf.page
    ops = vmf.vma.vm_ops
    assert page is not None
    ret = VM_FAULT_WRITE
    get_page(page)
    if ops is not None and ops.page_mkwrite is not None:
        tmp = do_page_mkwrite(vmf)
        if tmp == 0 or tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE):
            put_page(page)
            return tmp
        tmp = finish_mkwrite_fault(vmf)
        if tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE):
            unlock_page(page)
            put_page(page)
            return tmp
    else:
        wp_page_reuse(vmf)
        lock_page(page)
    ret |= fault_dirty_shared_page(vmf)
    put_page(page)
    return ret


def wp_can_reuse_anon_page(page: Page, vma: VmAreaStruct) -> bool:
    """The entry at hand holds the one and only reference to an anonymous page (since v6.8 wp_can_reuse_anon_folio).

    v5.9 (09854ba94c6a) took page_count as it stood: a pagevec's or a get_user_pages() reference leads to a copy. v5.18
    (d4c470970d45) drains this CPU's pagevecs first.
    """
    k = page.kernel
    drains = k.config.at_least(5, 18)
    if page_count(page) != 1:
        if not drains or page_count(page) > 3:
            return False
        if not page.flags & PG_lru:
            lru_add_drain(k)
        if page_count(page) > 1:
            return False
    if not trylock_page(page):
        return False
    # Once more, now that nobody can bring it back from swap: that is where the swap cache's reference is given up.
    alone = page_count(page) == 1 and (drains or page_mapcount(page) == 1)
    if alone and k.config.at_least(5, 19):
        page_move_anon_rmap(page, vma)
    unlock_page(page)
    return alone


def do_wp_page(vmf: VmFault) -> int:
    """A write to a present entry without RW in a VMA that permits writing: copy, or reuse.

    Since v5.19 (6c287605fd56) a page that is known to be exclusive is reused whoever else may have a reference, and
    FAULT_FLAG_UNSHARE asks for an exclusive page without writing to it.
    """
    vma = vmf.vma
    page = vm_normal_page(vma, vmf.address, vmf.orig_pte)
    vmf.page = page
    unshare = vmf.flags & FAULT_FLAG_UNSHARE != 0
    if unshare and (page is None or not PageAnon(page)):
        return 0
    if page is None:
        if vma.vm_flags & (VM_WRITE | VM_SHARED) == VM_WRITE | VM_SHARED:
            return wp_pfn_shared(vmf)
        return wp_page_copy(vmf)
    if PageAnon(page):
        if PageAnonExclusive(page) or wp_can_reuse_anon_page(page, vma):
            if unshare:
                return 0
            wp_page_reuse(vmf)
            return VM_FAULT_WRITE
    elif vma.vm_flags & (VM_WRITE | VM_SHARED) == VM_WRITE | VM_SHARED:
        return wp_page_shared(vmf)
    get_page(page)
    return wp_page_copy(vmf)
