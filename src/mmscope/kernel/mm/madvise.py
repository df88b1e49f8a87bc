# SPDX-License-Identifier: GPL-2.0-or-later
"""madvise(2) (mm/madvise.c), with CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_KSM, CONFIG_SWAP and CONFIG_MEMORY_FAILURE as Debian's
kernels have them. Of huge pages and KSM only the VMA flags exist; without a swap device PAGEOUT only ages pages.
"""

from __future__ import annotations

import mmscope.kernel.fs.namei as fs_namei
import mmscope.kernel.mm.mmap as mm_mmap
import mmscope.kernel.mm.vmscan as mm_vmscan
from mmscope.kernel.arch.x86.pgtable import (
    pgd_addr_end,
    pgd_none,
    pgd_offset,
    pmd_addr_end,
    pmd_none,
    pmd_offset,
    pte_dirty,
    pte_mkclean,
    pte_mkold,
    pte_none,
    pte_offset_map,
    pte_present,
    pte_young,
    ptep_get_and_clear_full,
    pud_addr_end,
    pud_none,
    pud_offset,
    set_pte,
    set_pte_at,
)
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.open import vfs_fallocate
from mmscope.kernel.include.capability import CAP_SYS_ADMIN
from mmscope.kernel.include.errno import EACCES, EAGAIN, EINVAL, ENOMEM, EPERM, KernelError
from mmscope.kernel.include.fs import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from mmscope.kernel.include.mm import (
    FOLL_TOUCH,
    FOLL_WRITE,
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_DONTEXPAND,
    VM_DROPPABLE,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MAYBE_GUARD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_MERGEABLE,
    VM_MIXEDMAP,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
    VM_WIPEONFORK,
    VM_WRITE,
)
from mmscope.kernel.include.mman import (
    MADV_COLD,
    MADV_COLLAPSE,
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTDUMP,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_HUGEPAGE,
    MADV_KEEPONFORK,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_UNMERGEABLE,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
)
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_dirty, PG_lru, PG_referenced
from mmscope.kernel.include.pagemap import trylock_page, unlock_page
from mmscope.kernel.include.swapops import is_guard_pte_marker, make_guard_pte_marker
from mmscope.kernel.mm.fadvise import POSIX_FADV_WILLNEED, generic_fadvise
from mmscope.kernel.mm.gup import GupLocked, __get_user_pages, check_vma_flags
from mmscope.kernel.mm.hugetlb import HPAGE_MASK
from mmscope.kernel.mm.memory import (
    get_locked_pte,
    update_hiwater_rss,
    vm_normal_page,
    vma_is_anonymous,
    zap_page_range,
    zap_page_range_single,
)
from mmscope.kernel.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu, tlb_remove_tlb_entry
from mmscope.kernel.mm.page_alloc import page_mapcount
from mmscope.kernel.mm.rmap import anon_vma_prepare
from mmscope.kernel.mm.swap import deactivate_page, lru_add_drain, mark_page_lazyfree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

__all__ = ["do_madvise", "hugepage_madvise", "ksm_madvise", "madvise_behavior_valid"]

MADV_HWPOISON: Final = 100
MADV_SOFT_OFFLINE: Final = 101
_U64: Final = 0xFFFFFFFFFFFFFFFF


def madvise_behavior_valid(k: Kernel, behavior: int) -> bool:
    """The kernel knows this advice."""
    if MADV_NORMAL <= behavior <= MADV_DONTNEED or MADV_FREE <= behavior <= MADV_PAGEOUT:
        return True
    if behavior in (MADV_HWPOISON, MADV_SOFT_OFFLINE):
        return True
    config = k.config
    if behavior in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        return config.at_least(5, 14)  # 4ca9b3859dac
    if behavior == MADV_DONTNEED_LOCKED:
        return config.at_least(5, 18)  # 9457056ac426
    if behavior == MADV_COLLAPSE:
        return config.at_least(6, 1)  # 7d8faaf15545
    if behavior in (MADV_GUARD_INSTALL, MADV_GUARD_REMOVE):
        return config.at_least(6, 13)  # 662df3e5c376
    return False


def can_madv_lru_vma(vma: VmAreaStruct) -> bool:
    """Pages may be dropped or aged: not locked, no bare frames."""
    return vma.vm_flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP) == 0


def ksm_madvise(vma: VmAreaStruct, advice: int, vm_flags: int) -> int:
    """New vm_flags for MADV_MERGEABLE or MADV_UNMERGEABLE (mm/ksm.c). ksmd itself never runs here."""
    if advice == MADV_MERGEABLE:
        unfit = (
            VM_MERGEABLE | VM_SHARED | VM_MAYSHARE | VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_HUGETLB | VM_MIXEDMAP | VM_DROPPABLE
        )
        if vm_flags & unfit:
            return vm_flags
        return vm_flags | VM_MERGEABLE
    return vm_flags & ~VM_MERGEABLE


def hugepage_madvise(vma: VmAreaStruct, vm_flags: int, advice: int) -> int:
    """New vm_flags for MADV_HUGEPAGE or MADV_NOHUGEPAGE (mm/khugepaged.c)."""
    if advice == MADV_HUGEPAGE:
        return (vm_flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE
    return (vm_flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE


def _new_flags(vma: VmAreaStruct, behavior: int) -> int:
    """vm_flags after the advice. Raises EINVAL."""
    flags = vma.vm_flags
    if behavior == MADV_NORMAL:
        flags &= ~(VM_RAND_READ | VM_SEQ_READ)
    elif behavior == MADV_SEQUENTIAL:
        flags = (flags & ~VM_RAND_READ) | VM_SEQ_READ
    elif behavior == MADV_RANDOM:
        flags = (flags & ~VM_SEQ_READ) | VM_RAND_READ
    elif behavior == MADV_DONTFORK:
        flags |= VM_DONTCOPY
    elif behavior == MADV_DOFORK:
        if flags & (VM_SPECIAL if vma.vm_mm.kernel.config.at_least(7, 0) else VM_IO):
            raise KernelError(EINVAL)
        flags &= ~VM_DONTCOPY
    elif behavior == MADV_WIPEONFORK:
        if vma.vm_file is not None or flags & VM_SHARED:
            raise KernelError(EINVAL)
        flags |= VM_WIPEONFORK
    elif behavior == MADV_KEEPONFORK:
        if flags & VM_DROPPABLE:
            raise KernelError(EINVAL)
        flags &= ~VM_WIPEONFORK
    elif behavior == MADV_DONTDUMP:
        flags |= VM_DONTDUMP
    elif behavior == MADV_DODUMP:
        if (flags & VM_SPECIAL and not flags & VM_HUGETLB) or flags & VM_DROPPABLE:
            raise KernelError(EINVAL)
        flags &= ~VM_DONTDUMP
    elif behavior in (MADV_MERGEABLE, MADV_UNMERGEABLE):
        flags = ksm_madvise(vma, behavior, flags)
    elif behavior in (MADV_HUGEPAGE, MADV_NOHUGEPAGE):
        flags = hugepage_madvise(vma, flags, behavior)
    return flags


def madvise_behavior(vma: VmAreaStruct, prev: VmAreaStruct | None, start: int, end: int, behavior: int) -> VmAreaStruct:
    """Advice that is a VMA flag: merge or split. The VMA that ends the range (`*prev`). Raises EINVAL, ENOMEM, EAGAIN."""
    mm = vma.vm_mm
    new_flags = _new_flags(vma, behavior)
    if new_flags == vma.vm_flags:
        return vma
    pgoff = vma.vm_pgoff + ((start - vma.vm_start) >> PAGE_SHIFT)
    merged = mm_mmap.vma_merge(mm, prev, start, end, new_flags, vma.anon_vma, vma.vm_file, pgoff, vma)
    if merged is not None:
        vma = merged
    else:
        if start != vma.vm_start:
            _madvise_split(mm, vma, start, True)
        if end != vma.vm_end:
            _madvise_split(mm, vma, end, False)
    mm_mmap.vm_flags_reset(vma, new_flags | vma.vm_flags & VM_MAYBE_GUARD)
    return vma


def _madvise_split(mm: MmStruct, vma: VmAreaStruct, addr: int, new_below: bool) -> None:
    """Split; ENOMEM at max_map_count, while memory that runs out within is EAGAIN, as madvise(2) documents."""
    if mm.map_count >= mm.kernel.config.sysctl_max_map_count:
        raise KernelError(ENOMEM)
    try:
        mm_mmap.__split_vma(mm, vma, addr, new_below)
    except KernelError as error:
        raise KernelError(EAGAIN if error.args[0] == ENOMEM else error.args[0]) from None


def madvise_willneed(vma: VmAreaStruct, start: int, end: int) -> bool:
    """Read the file's pages ahead. True: VMAs may have changed meanwhile (`*prev = NULL`)."""
    file = vma.vm_file
    if file is None or file.f_mapping.a_ops.readpage is None:
        # Swap-in of anonymous memory and of shmem: there is no swap, but what waits for its LRU list gets there.
        lru_add_drain(vma.vm_mm.kernel)
        return False
    offset = start - vma.vm_start + (vma.vm_pgoff << PAGE_SHIFT)
    generic_fadvise(file, offset, end - start, POSIX_FADV_WILLNEED)
    return True


# --- aging and freeing pages: walks like walk_page_range()


def madvise_cold_or_pageout_pte_range(tlb: MmuGather, vma: VmAreaStruct, pmdp: int, addr: int, end: int, pageout: bool) -> None:
    """Make the range's pages look unused, or reclaim them. Pages that others map too are left alone."""
    mm = tlb.mm
    page_list: list[Page] = []
    k = mm.kernel
    # Since v6.9 (2864f3d0f583) reclaim ignores references instead.
    clears_young = not pageout or not k.config.at_least(6, 9)
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        pte: i64 = k.words[ptep]
        page = vm_normal_page(vma, addr, pte) if not pte_none(pte) and pte_present(pte) else None
        if page is not None and page_mapcount(page) == 1:
            if clears_young and pte_young(pte):
                pte = ptep_get_and_clear_full(mm, addr, ptep, tlb.fullmm)
                set_pte_at(mm, addr, ptep, pte_mkold(pte))
                tlb_remove_tlb_entry(tlb, ptep, addr)
            page.flags &= ~PG_referenced
            if not pageout:
                deactivate_page(page)
            elif page.flags & PG_lru:
                page_list.append(page)
        ptep += 1
        addr += PAGE_SIZE
    mm_vmscan.reclaim_pages(page_list)


def madvise_free_pte_range(tlb: MmuGather, vma: VmAreaStruct, pmdp: int, addr: int, end: int) -> None:
    """Make the range's anonymous pages clean, so that reclaim may drop them instead of swapping."""
    mm = tlb.mm
    k = mm.kernel
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        pte: i64 = k.words[ptep]
        page = vm_normal_page(vma, addr, pte) if not pte_none(pte) and pte_present(pte) else None
        if page is not None and _clean_for_free(page):
            if pte_young(pte) or pte_dirty(pte):
                pte = ptep_get_and_clear_full(mm, addr, ptep, tlb.fullmm)
                set_pte_at(mm, addr, ptep, pte_mkclean(pte_mkold(pte)))
                tlb_remove_tlb_entry(tlb, ptep, addr)
            mark_page_lazyfree(page)
        ptep += 1
        addr += PAGE_SIZE


def _clean_for_free(page: Page) -> bool:
    """Clear PG_dirty; False if the page is dirty and locked or shared."""
    if page.flags & PG_dirty:
        if not trylock_page(page):
            return False
        alone = page_mapcount(page) == 1
        if alone:
            page.flags &= ~PG_dirty
        unlock_page(page)
        return alone
    return True


def _walk_page_range(tlb: MmuGather, vma: VmAreaStruct, addr: int, end: int, behavior: int) -> None:
    """Call the advice's pte_range function for each page table of [addr, end)."""
    mm = vma.vm_mm
    k = mm.kernel
    while addr != end:
        pgdp = pgd_offset(mm, addr)
        if pgd_none(k.words[pgdp]):
            addr = pgd_addr_end(addr, end)
            continue
        pudp = pud_offset(k, pgdp, addr)
        if pud_none(k.words[pudp]):
            addr = pud_addr_end(addr, end)
            continue
        pmdp = pmd_offset(k, pudp, addr)
        next = pmd_addr_end(addr, end)
        if not pmd_none(k.words[pmdp]):
            if behavior == MADV_GUARD_REMOVE:
                _guard_remove_pte_range(mm, pmdp, addr, next)
            elif behavior == MADV_FREE:
                madvise_free_pte_range(tlb, vma, pmdp, addr, next)
            else:
                madvise_cold_or_pageout_pte_range(tlb, vma, pmdp, addr, next, behavior == MADV_PAGEOUT)
        addr = next


def madvise_cold(vma: VmAreaStruct, start: int, end: int, behavior: int) -> None:
    """MADV_COLD, and MADV_PAGEOUT as far as it goes without swap. Raises EINVAL."""
    if not can_madv_lru_vma(vma):
        raise KernelError(EINVAL)
    if behavior == MADV_PAGEOUT and not can_do_pageout(vma):
        return
    lru_add_drain(vma.vm_mm.kernel)
    tlb = tlb_gather_mmu(vma.vm_mm, start, end)
    _walk_page_range(tlb, vma, start, end, behavior)
    tlb_finish_mmu(tlb, start, end)


def can_do_pageout(vma: VmAreaStruct) -> bool:
    """Timing of others' page cache must not leak: only files that the caller owns or may write."""
    if vma_is_anonymous(vma):
        return True
    if vma.vm_file is None:
        return False
    return fs_namei.may_learn_of_cache(vma.vm_mm.kernel, vma.vm_file.f_inode)


def madvise_free_single_vma(vma: VmAreaStruct, start: int, end: int) -> None:
    """MADV_FREE. Raises EINVAL: private anonymous memory only."""
    if not vma_is_anonymous(vma):
        raise KernelError(EINVAL)
    mm = vma.vm_mm
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, start, end)
    update_hiwater_rss(mm)
    _walk_page_range(tlb, vma, start, end, MADV_FREE)
    tlb_finish_mmu(tlb, start, end)


def madvise_dontneed_free(vma: VmAreaStruct, start: int, end: int, behavior: int) -> None:
    """MADV_DONTNEED zaps, MADV_DONTNEED_LOCKED even what is locked; MADV_FREE marks. Raises EINVAL."""
    if vma.vm_flags & VM_HUGETLB and behavior != MADV_FREE and vma.vm_mm.kernel.config.at_least(5, 18):
        if start & ~HPAGE_MASK:  # 90e7e7f5ef3f
            raise KernelError(EINVAL)
        return  # there never is a huge page to zap
    if behavior == MADV_DONTNEED_LOCKED:
        if vma.vm_flags & (VM_HUGETLB | VM_PFNMAP):
            raise KernelError(EINVAL)
    elif not can_madv_lru_vma(vma):
        raise KernelError(EINVAL)
    if behavior != MADV_FREE:
        zap_page_range(vma, start, end - start)
    else:
        madvise_free_single_vma(vma, start, end)


def madvise_remove(vma: VmAreaStruct, start: int, end: int) -> None:
    """Punch a hole in the file. Raises EINVAL, EACCES, and what fallocate(2) does."""
    if vma.vm_flags & VM_LOCKED or vma.vm_file is None:
        raise KernelError(EINVAL)
    # Since v6.7 (6.1 stable) it may have been made read-only.
    writable = VM_MAYWRITE if vma.vm_mm.kernel.config.at_least(6, 1) else VM_WRITE
    if vma.vm_flags & (VM_SHARED | writable) != VM_SHARED | writable:
        raise KernelError(EACCES)
    offset = start - vma.vm_start + (vma.vm_pgoff << PAGE_SHIFT)
    vfs_fallocate(vma.vm_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, end - start)


def madvise_populate(mm: MmStruct, start: int, end: int, behavior: int) -> None:
    """Fault a range in, by the rights of its mappings. Raises ENOMEM at a hole, EINVAL without the right, EFAULT for a signal.

    Until v6.9 (631426ba1d45) it was called for each mapping, and holes were skipped as by other advice.
    """
    gup_flags = FOLL_TOUCH | FOLL_WRITE if behavior == MADV_POPULATE_WRITE else FOLL_TOUCH
    # faultin_page_range() finds holes and missing rights itself, and drains after them too.
    drain = mm.kernel.config.at_least(6, 9)
    try:
        while start < end:
            vma = mm_mmap.find_vma(mm, start)
            if vma is None or vma.vm_start > start:
                raise KernelError(ENOMEM)
            if not check_vma_flags(vma, gup_flags):
                raise KernelError(EINVAL)
            drain = True
            pages = (min(end, vma.vm_end) - start) >> PAGE_SHIFT
            start += __get_user_pages(mm, start, pages, gup_flags, None, GupLocked()) << PAGE_SHIFT
    finally:
        if drain:
            lru_add_drain(mm.kernel)


def is_valid_guard_vma(vma: VmAreaStruct, allow_locked: bool) -> bool:
    """The mapping may have guards. Until v6.15 only private anonymous memory."""
    if vma.vm_flags & (VM_SPECIAL | VM_HUGETLB) or (vma.vm_flags & VM_LOCKED and not allow_locked):
        return False
    if vma.vm_mm.kernel.config.at_least(6, 15):
        return True
    return vma_is_anonymous(vma) and vma.vm_flags & VM_MAYWRITE != 0


def madvise_guard_install(vma: VmAreaStruct, start: int, end: int) -> None:
    """MADV_GUARD_INSTALL: the pages go, and every access fails from now on. Raises EINVAL, ENOMEM."""
    if not is_valid_guard_vma(vma, False):
        raise KernelError(EINVAL)
    mm = vma.vm_mm
    if mm.kernel.config.at_least(6, 18):
        mm_mmap.vm_flags_reset(vma, vma.vm_flags | VM_MAYBE_GUARD)  # all of it: no split, and never taken back
    # fork() copies page tables only where there is an anon_vma.
    anon_vma_prepare(vma)
    zap_page_range_single(vma, start, end - start)
    for addr in range(start, end, PAGE_SIZE):
        ptep = get_locked_pte(mm, addr)
        if not ptep:
            raise KernelError(ENOMEM)
        set_pte_at(mm, addr, ptep, make_guard_pte_marker())


def madvise_guard_remove(vma: VmAreaStruct, start: int, end: int) -> None:
    """MADV_GUARD_REMOVE: what was guarded is empty. Raises EINVAL."""
    if not is_valid_guard_vma(vma, True):
        raise KernelError(EINVAL)
    tlb = tlb_gather_mmu(vma.vm_mm, start, end)
    _walk_page_range(tlb, vma, start, end, MADV_GUARD_REMOVE)
    tlb_finish_mmu(tlb, start, end)


def _guard_remove_pte_range(mm: MmStruct, pmdp: int, addr: int, end: int) -> None:
    k = mm.kernel
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        if is_guard_pte_marker(k.words[ptep]):
            set_pte(k, mm, addr, ptep, 0)
        ptep += 1
        addr += PAGE_SIZE


def madvise_vma(vma: VmAreaStruct, prev: VmAreaStruct | None, start: int, end: int, behavior: int) -> VmAreaStruct | None:
    """Apply the advice to a range within one VMA; the VMA to go on from (`*prev`), None = look again."""
    if behavior == MADV_REMOVE:
        madvise_remove(vma, start, end)
        return None
    if behavior == MADV_WILLNEED:
        return None if madvise_willneed(vma, start, end) else vma
    if behavior in (MADV_COLD, MADV_PAGEOUT):
        madvise_cold(vma, start, end, behavior)
        return vma
    if behavior in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        madvise_populate(vma.vm_mm, start, end, behavior)
        return vma
    if behavior == MADV_COLLAPSE:
        raise KernelError(EINVAL)  # as under PR_SET_THP_DISABLE: there are no huge pages
    if behavior == MADV_GUARD_INSTALL:
        madvise_guard_install(vma, start, end)
        return vma
    if behavior == MADV_GUARD_REMOVE:
        madvise_guard_remove(vma, start, end)
        return vma
    if behavior in (MADV_FREE, MADV_DONTNEED, MADV_DONTNEED_LOCKED):
        madvise_dontneed_free(vma, start, end, behavior)
        return vma
    return madvise_behavior(vma, prev, start, end, behavior)


def madvise_inject_error(k: Kernel, behavior: int) -> None:
    """MADV_HWPOISON, MADV_SOFT_OFFLINE: for the administrator, and not there."""
    if not capable(k, CAP_SYS_ADMIN):
        raise KernelError(EPERM)
    k.warn_once("madvise(MADV_HWPOISON, MADV_SOFT_OFFLINE) is not there yet")
    raise KernelError(EINVAL)


def do_madvise(k: Kernel, start: int, len_in: int, behavior: int) -> None:
    """madvise(2) on the current task's memory. Holes are skipped, and reported as ENOMEM after the rest was done."""
    if not madvise_behavior_valid(k, behavior):
        raise KernelError(EINVAL)
    if start & (PAGE_SIZE - 1):
        raise KernelError(EINVAL)
    len = PAGE_ALIGN(len_in) & _U64
    if len_in and not len:
        raise KernelError(EINVAL)
    end = (start + len) & _U64
    if end < start:
        raise KernelError(EINVAL)
    if end == start:
        return
    if behavior in (MADV_HWPOISON, MADV_SOFT_OFFLINE):
        madvise_inject_error(k, behavior)
    mm = k.current.mm
    assert mm is not None
    if behavior in (MADV_POPULATE_READ, MADV_POPULATE_WRITE) and k.config.at_least(6, 9):
        madvise_populate(mm, start, end, behavior)
        return
    unmapped = False
    vma, prev = mm_mmap.find_vma_prev(mm, start)
    if vma is not None and start > vma.vm_start:
        prev = vma
    while True:
        if vma is None:
            raise KernelError(ENOMEM)
        if start < vma.vm_start:
            unmapped = True
            start = vma.vm_start
            if start >= end:
                raise KernelError(ENOMEM)
        tmp = min(vma.vm_end, end)
        prev = madvise_vma(vma, prev, start, tmp, behavior)
        start = tmp
        if prev is not None and start < prev.vm_end:
            start = prev.vm_end
        if start >= end:
            if unmapped:
                raise KernelError(ENOMEM)
            return
        vma = prev.vm_next if prev is not None else mm_mmap.find_vma(mm, start)
