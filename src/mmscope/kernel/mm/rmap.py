# SPDX-License-Identifier: GPL-2.0-or-later
"""The reverse map: from a page to the page-table entries that map it (mm/rmap.c).

vma --anon_vma_chain--> avc --anon_vma--> AnonVma --rb_root (interval tree)--> avc --vma--> vma
page.mapping (tag PAGE_MAPPING_ANON) --> AnonVma;  page.mapping (tag 0) --> AddressSpace.i_mmap --> vma
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import (
    pgd_none,
    pgd_offset,
    pmd_none,
    pmd_offset,
    pte_dirty,
    pte_mkclean,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_write,
    pte_wrprotect,
    ptep_clear_flush,
    ptep_test_and_clear_young,
    pud_none,
    pud_offset,
    set_pte_at,
)
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm import MM_ANONPAGES, VM_LOCKED, VM_SEQ_READ, VM_SHARED
from mmscope.kernel.include.mm_types import AnonVma, AnonVmaChain
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PG_anon_exclusive, PG_dirty, PG_locked, PG_mlocked, PG_swapbacked
from mmscope.kernel.mm.interval_tree import (
    anon_vma_interval_tree_insert,
    anon_vma_interval_tree_iter_first,
    anon_vma_interval_tree_iter_next,
    anon_vma_interval_tree_remove,
    vma_interval_tree_iter_first,
    vma_interval_tree_iter_next,
)
from mmscope.kernel.mm.memory_rss import dec_mm_counter, mm_counter_file, update_hiwater_rss
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.vmstat import NR_ANON_MAPPED, NR_FILE_MAPPED, mod_page_state
from mmscope.kernel.tracepoint import trace_page_add_rmap, trace_page_remove_rmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import Page, VmAreaStruct

__all__ = [
    "TTU_IGNORE_MLOCK", "TTU_MUNLOCK", "PageVmaMappedWalk", "RmapWalkControl", "__anon_vma_prepare", "__page_set_anon_rmap",
    "anon_vma_clone", "anon_vma_fork", "anon_vma_merge", "anon_vma_prepare", "linear_page_index",
    "page_add_file_rmap", "page_add_new_anon_rmap", "page_address_in_vma", "page_dup_rmap", "page_get_anon_vma",
    "page_lock_anon_vma_read", "page_mapped_in_vma", "page_mkclean", "page_move_anon_rmap", "page_referenced",
    "page_remove_rmap", "page_try_dup_anon_rmap", "page_vma_mapped_walk", "put_anon_vma", "rmap_walk", "try_to_munlock",
    "try_to_unmap", "unlink_anon_vmas", "vma_address",
]  # fmt: skip

EFAULT_ADDRESS: Final = -14

# enum ttu_flags: look for a locked VMA only; take entries of locked VMAs too.
TTU_MUNLOCK: Final = 0x2
TTU_IGNORE_MLOCK: Final = 0x8


def linear_page_index(vma: VmAreaStruct, address: int) -> int:
    """Offset of `address` in the mapping's object, pages (include/linux/pagemap.h)."""
    return ((address - vma.vm_start) >> 12) + vma.vm_pgoff


def anon_vma_alloc() -> AnonVma:
    """A new root: its own parent, one reference for its first vma."""
    anon_vma = AnonVma()
    anon_vma.refcount = 1
    anon_vma.degree = 1
    return anon_vma


def put_anon_vma(anon_vma: AnonVma) -> None:
    """Drop a reference; the last one of a child also drops its root's."""
    anon_vma.refcount -= 1
    if anon_vma.refcount < 0:
        raise KernelBug(f"put_anon_vma: {anon_vma!r} of root {anon_vma.root!r} has no reference left")
    if anon_vma.refcount == 0 and anon_vma.root is not anon_vma:
        put_anon_vma(anon_vma.root)


def anon_vma_chain_link(vma: VmAreaStruct, avc: AnonVmaChain, anon_vma: AnonVma) -> None:
    """Put `avc` on both the vma's list (at its head) and the anon_vma's interval tree."""
    avc.vma = vma
    avc.anon_vma = anon_vma
    vma.anon_vma_chain.insert(0, avc)
    anon_vma_interval_tree_insert(avc, anon_vma.rb_root)


def anon_vma_prepare(vma: VmAreaStruct) -> None:
    """Make sure that `vma` has an anon_vma before its first anonymous page (include/linux/rmap.h)."""
    if vma.anon_vma is None:
        __anon_vma_prepare(vma)


def __anon_vma_prepare(vma: VmAreaStruct) -> None:
    """Take a neighbour's anon_vma if the two VMAs could still merge, else a new one."""
    # Imported here: mmap.py is above this layer, and its imports lead back.
    import mmscope.kernel.mm.mmap as mm_mmap

    avc = AnonVmaChain()
    anon_vma = mm_mmap.find_mergeable_anon_vma(vma)
    if anon_vma is None:
        anon_vma = anon_vma_alloc()
        anon_vma.num_children += 1  # a new root is its own child
    if vma.anon_vma is None:
        vma.anon_vma = anon_vma
        anon_vma_chain_link(vma, avc, anon_vma)
        anon_vma.degree += 1
        anon_vma.num_active_vmas += 1


def anon_vma_clone(dst: VmAreaStruct, src: VmAreaStruct) -> None:
    """Attach `dst` to every anon_vma of `src`.

    Called by vma splitting and copying with dst.anon_vma == src.anon_vma, and by anon_vma_fork with dst.anon_vma None:
    then an ancestor's anon_vma that has no vma of its own and one child at most is reused, so that a chain of forks
    does not grow without end.
    """
    src_anon_vma = src.anon_vma
    for pavc in reversed(src.anon_vma_chain):
        anon_vma = pavc.anon_vma
        assert anon_vma is not None
        anon_vma_chain_link(dst, AnonVmaChain(), anon_vma)
        # v5.11 itself asked for degree < 2, which could hit one with an active vma, and merges then lost pages. The rule
        # here is that of v6.0 (2555283eb40d) and of all stable kernels, 5.10.218 among them.
        if (
            dst.anon_vma is None
            and src_anon_vma is not None
            and anon_vma is not src_anon_vma
            and anon_vma.num_children < 2
            and anon_vma.num_active_vmas == 0
        ):
            dst.anon_vma = anon_vma
    if dst.anon_vma is not None:
        dst.anon_vma.degree += 1
        dst.anon_vma.num_active_vmas += 1


def _drop_inherited_anon_vma(vma: VmAreaStruct) -> None:
    # On its own: after an assignment of None mypyc takes the attribute for None, whatever was called in between.
    vma.anon_vma = None


def anon_vma_fork(vma: VmAreaStruct, pvma: VmAreaStruct) -> None:
    """Attach the child's `vma` to all that `pvma` is attached to, and to an anon_vma of its own."""
    if pvma.anon_vma is None:
        return
    _drop_inherited_anon_vma(vma)
    anon_vma_clone(vma, pvma)
    if vma.anon_vma is not None:
        return
    anon_vma = anon_vma_alloc()
    anon_vma.num_active_vmas += 1
    anon_vma.root = pvma.anon_vma.root
    anon_vma.parent = pvma.anon_vma
    anon_vma.root.refcount += 1
    vma.anon_vma = anon_vma
    anon_vma_chain_link(vma, AnonVmaChain(), anon_vma)
    anon_vma.parent.degree += 1
    anon_vma.parent.num_children += 1


def unlink_anon_vmas(vma: VmAreaStruct) -> None:
    """Detach `vma` from all its anon_vmas, leaves of the family tree first; drop those that became empty."""
    empty: list[AnonVmaChain] = []
    for avc in vma.anon_vma_chain:
        anon_vma = avc.anon_vma
        assert anon_vma is not None
        anon_vma_interval_tree_remove(avc, anon_vma.rb_root)
        if anon_vma.rb_root.rb_root.rb_node is None:
            anon_vma.parent.degree -= 1
            anon_vma.parent.num_children -= 1
            empty.append(avc)
    own = vma.anon_vma
    if own is not None:
        own.degree -= 1
        own.num_active_vmas -= 1
        # v5.12 and the 5.10 stable series (ee8ab1903e3d): MREMAP_DONTUNMAP goes on using the vma.
        vma.anon_vma = None
    for avc in empty:
        anon_vma = avc.anon_vma
        assert anon_vma is not None
        if anon_vma.degree != 0:
            raise KernelBug(f"unlink_anon_vmas: {anon_vma!r} of {vma!r} is empty but has degree {anon_vma.degree}")
        put_anon_vma(anon_vma)
    vma.anon_vma_chain.clear()


def anon_vma_merge(vma: VmAreaStruct, next: VmAreaStruct) -> None:
    """`next` is being merged into `vma` (include/linux/rmap.h). Precondition: the same anon_vma."""
    if vma.anon_vma is not next.anon_vma:
        raise KernelBug(f"anon_vma_merge: {vma!r} and {next!r} have different anon_vmas")
    unlink_anon_vmas(next)


def vma_address(page: Page, vma: VmAreaStruct) -> int:
    """Where `page` would stand in `vma` by its index; may lie outside (__vma_address)."""
    return vma.vm_start + ((page.index - vma.vm_pgoff) << 12)


def page_address_in_vma(page: Page, vma: VmAreaStruct) -> int:
    """Address at which `vma` maps `page`, or EFAULT_ADDRESS (-EFAULT) if it does not."""
    mapping = page.mapping
    if page.mapping_tag & PAGE_MAPPING_ANON:
        assert isinstance(mapping, AnonVma)
        if vma.anon_vma is None or vma.anon_vma.root is not mapping.root:
            return EFAULT_ADDRESS
    elif mapping is not None:
        if vma.vm_file is None or vma.vm_file.f_mapping is not mapping:
            return EFAULT_ADDRESS
    else:
        return EFAULT_ADDRESS
    address = vma_address(page, vma)
    if address < vma.vm_start or address >= vma.vm_end:
        return EFAULT_ADDRESS
    return address


# --- the walk over all entries that map a page (rmap_walk, page_vma_mapped.c)


class PageVmaMappedWalk:
    """struct page_vma_mapped_walk: where `vma` maps `page`. `address` is set by the caller, `pte` by the walk (0 = not found)."""

    def __init__(self, page: Page, vma: VmAreaStruct, address: int) -> None:
        self.page = page
        self.vma = vma
        self.address = address
        self.pmd = 0
        self.pte = 0


def page_vma_mapped_walk(pvmw: PageVmaMappedWalk) -> bool:
    """Find the entry by which pvmw.vma maps pvmw.page at pvmw.address; False if there is none, or no further one.

    A page of 4 KiB has one at most: the second call ends the walk.
    """
    if pvmw.pte:
        pvmw.pte = 0
        return False
    mm = pvmw.vma.vm_mm
    k = mm.kernel
    words = k.words
    pgdp = pgd_offset(mm, pvmw.address)
    if pgd_none(words[pgdp]):
        return False
    pudp = pud_offset(k, pgdp, pvmw.address)
    if pud_none(words[pudp]):
        return False
    pvmw.pmd = pmd_offset(k, pudp, pvmw.address)
    if pmd_none(words[pvmw.pmd]):
        return False
    ptep = pte_offset_map(k, pvmw.pmd, pvmw.address)
    pte: i64 = words[ptep]
    # Entries of swap and of migration would be looked for here (PVMW_MIGRATION).
    if not pte_present(pte) or pte_pfn(pte) != pvmw.page.pfn:
        return False
    pvmw.pte = ptep
    return True


def page_mapped_in_vma(page: Page, vma: VmAreaStruct) -> bool:
    """`vma` maps `page` where its index says."""
    address = vma_address(page, vma)
    if address < vma.vm_start or address >= vma.vm_end:
        return False
    return page_vma_mapped_walk(PageVmaMappedWalk(page, vma, address))


class RmapWalkControl:
    """struct rmap_walk_control: what to do with each VMA that may map the page.

    rmap_one: False ends the walk. done: no more to do. invalid_vma: leave this VMA out.
    """

    def __init__(
        self,
        rmap_one: Callable[[Page, VmAreaStruct, int, RmapWalkControl], bool],
        flags: int = 0,
        done: Callable[[Page], bool] | None = None,
        invalid_vma: Callable[[VmAreaStruct], bool] | None = None,
    ) -> None:
        self.rmap_one = rmap_one
        self.done = done
        self.invalid_vma = invalid_vma
        #: Linux has a void *arg: TTU_* of try_to_unmap(), and the results of page_mkclean() and page_referenced().
        self.flags = flags
        self.count = 0
        self.mapcount = 0
        self.vm_flags = 0


def page_get_anon_vma(page: Page) -> AnonVma | None:
    """The anon_vma that a page still mapped hangs on, with a reference; None for others."""
    anon_vma = page_lock_anon_vma_read(page)
    if anon_vma is not None:
        anon_vma.refcount += 1
    return anon_vma


def page_lock_anon_vma_read(page: Page) -> AnonVma | None:
    """page_get_anon_vma() under the root's lock, which a kernel that runs one task at a time does not need.

    Of a page that nobody maps the anon_vma may be gone: None.
    """
    if page.mapping_tag != PAGE_MAPPING_ANON or page._mapcount < 0:
        return None
    anon_vma = page.mapping
    assert isinstance(anon_vma, AnonVma)
    if anon_vma.refcount == 0:
        raise KernelBug(f"page_lock_anon_vma_read: {page!r} is mapped, its {anon_vma!r} is freed")
    return anon_vma


def rmap_walk_anon(page: Page, rwc: RmapWalkControl) -> None:
    """Visit the VMAs on the anon_vma's tree that cover the page's index."""
    anon_vma = page_lock_anon_vma_read(page)
    if anon_vma is None:
        return
    index = page.index
    avc = anon_vma_interval_tree_iter_first(anon_vma.rb_root, index, index)
    while avc is not None:
        vma = avc.vma
        assert vma is not None
        if rwc.invalid_vma is None or not rwc.invalid_vma(vma):
            if not rwc.rmap_one(page, vma, vma_address(page, vma), rwc):
                return
            if rwc.done is not None and rwc.done(page):
                return
        avc = anon_vma_interval_tree_iter_next(avc, index, index)


def rmap_walk_file(page: Page, rwc: RmapWalkControl) -> None:
    """Visit the VMAs on the file's i_mmap that cover the page's index. Precondition: the page is locked."""
    mapping = page.mapping
    if not page.flags & PG_locked:
        raise KernelBug(f"rmap_walk_file: {page!r} of {mapping!r} is not locked")
    if mapping is None or isinstance(mapping, AnonVma):
        return
    index = page.index
    vma = vma_interval_tree_iter_first(mapping.i_mmap, index, index)
    while vma is not None:
        if rwc.invalid_vma is None or not rwc.invalid_vma(vma):
            if not rwc.rmap_one(page, vma, vma_address(page, vma), rwc):
                return
            if rwc.done is not None and rwc.done(page):
                return
        vma = vma_interval_tree_iter_next(vma, index, index)


def rmap_walk(page: Page, rwc: RmapWalkControl) -> None:
    """Visit each VMA that may map `page`, as `rwc` says."""
    if page.mapping_tag & PAGE_MAPPING_ANON:
        rmap_walk_anon(page, rwc)
    else:
        rmap_walk_file(page, rwc)


def page_not_mapped(page: Page) -> bool:
    """rwc.done: the last entry is gone."""
    return page._mapcount < 0


# --- what is done with those entries


def page_referenced_one(page: Page, vma: VmAreaStruct, address: int, rwc: RmapWalkControl) -> bool:
    """Take A from the entry of one VMA."""
    referenced = 0
    pvmw = PageVmaMappedWalk(page, vma, address)
    while page_vma_mapped_walk(pvmw):
        if vma.vm_flags & VM_LOCKED:
            rwc.vm_flags |= VM_LOCKED
            return False
        # No TLB flush: an A bit that comes back late costs nothing (ptep_clear_flush_young).
        if ptep_test_and_clear_young(vma, pvmw.address, pvmw.pte) and not vma.vm_flags & VM_SEQ_READ:
            referenced += 1
        rwc.mapcount -= 1
    if referenced:
        rwc.count += 1
        rwc.vm_flags |= vma.vm_flags
    return rwc.mapcount != 0


def page_referenced(page: Page, is_locked: bool) -> tuple[int, int]:
    """Test and clear A in all entries of `page`: (entries in which it was set, vm_flags of their VMAs).

    A locked VMA ends the walk: VM_LOCKED is in the flags. A file page that somebody else has locked counts as referenced.
    """
    rwc = RmapWalkControl(page_referenced_one)
    rwc.mapcount = page._mapcount + 1
    if not rwc.mapcount or page.mapping is None:
        return 0, 0
    we_locked = False
    if not is_locked and not page.mapping_tag & PAGE_MAPPING_ANON:
        if page.flags & PG_locked:
            return 1, 0
        page.flags |= PG_locked
        we_locked = True
    rmap_walk(page, rwc)
    if we_locked:
        page.flags &= ~PG_locked
    return rwc.count, rwc.vm_flags


def page_mkclean_one(page: Page, vma: VmAreaStruct, address: int, rwc: RmapWalkControl) -> bool:
    """Take D and RW from the entry of one VMA."""
    pvmw = PageVmaMappedWalk(page, vma, address)
    while page_vma_mapped_walk(pvmw):
        entry: i64 = vma.vm_mm.kernel.words[pvmw.pte]
        if not pte_dirty(entry) and not pte_write(entry):
            continue
        entry = ptep_clear_flush(vma, pvmw.address, pvmw.pte)
        set_pte_at(vma.vm_mm, pvmw.address, pvmw.pte, pte_mkclean(pte_wrprotect(entry)))
        rwc.count += 1
    return True


def invalid_mkclean_vma(vma: VmAreaStruct) -> bool:
    """Private mappings never write to the file."""
    return vma.vm_flags & VM_SHARED == 0


def page_mkclean(page: Page) -> int:
    """Before a file page is written back: all shared entries become clean and read-only, so that the next store faults.

    Returns the number of entries that were dirty or writable: if there are any, the page is to be written (again).
    Precondition: the page is locked.
    """
    if not page.flags & PG_locked:
        raise KernelBug(f"page_mkclean: {page!r} of {page.mapping!r} is not locked")
    if page._mapcount < 0 or page.mapping is None or page.mapping_tag:
        return 0
    rwc = RmapWalkControl(page_mkclean_one, invalid_vma=invalid_mkclean_vma)
    rmap_walk(page, rwc)
    return rwc.count


def try_to_unmap_one(page: Page, vma: VmAreaStruct, address: int, rwc: RmapWalkControl) -> bool:
    """Take away the entry of one VMA; False = it has to stay, and the page with it."""
    import mmscope.kernel.mm.mlock as mm_mlock
    import mmscope.kernel.mm.page_writeback as mm_page_writeback

    flags = rwc.flags
    mm = vma.vm_mm
    if flags & TTU_MUNLOCK and not vma.vm_flags & VM_LOCKED:
        return True
    pvmw = PageVmaMappedWalk(page, vma, address)
    while page_vma_mapped_walk(pvmw):
        if not flags & TTU_IGNORE_MLOCK:
            if vma.vm_flags & VM_LOCKED:
                mm_mlock.mlock_vma_page(page)
                return False
            if flags & TTU_MUNLOCK:
                continue
        pteval = ptep_clear_flush(vma, pvmw.address, pvmw.pte)
        if pte_dirty(pteval):
            mm_page_writeback.set_page_dirty(page)
        update_hiwater_rss(mm)
        if page.mapping_tag & PAGE_MAPPING_ANON:
            if page.flags & PG_swapbacked:
                # Here the entry gets the page's place in swap (swap_duplicate): add_to_swap() has to come first.
                raise KernelBug(f"try_to_unmap: {page!r} in {vma!r} has no place in swap")
            if page.flags & PG_dirty:
                # MADV_FREE, but written since: it is wanted again.
                set_pte_at(mm, pvmw.address, pvmw.pte, pteval)
                page.flags |= PG_swapbacked
                return False
            dec_mm_counter(mm, MM_ANONPAGES)
        else:
            dec_mm_counter(mm, mm_counter_file(page))
        page_remove_rmap(page)
        put_page(page)
    return True


def try_to_unmap(page: Page, flags: int) -> bool:
    """Take all entries of `page` away, whoever they belong to; True if none is left. Precondition: locked; `flags`: TTU_*.

    Anonymous pages: only those that MADV_FREE gave up, while there is no swap.
    """
    rwc = RmapWalkControl(try_to_unmap_one, flags, done=page_not_mapped)
    rmap_walk(page, rwc)
    return page._mapcount < 0


def try_to_munlock(page: Page) -> None:
    """A locked VMA gave the page up: if another one maps it, it is mlocked again. Precondition: off the LRU lists, locked."""
    # munlock_vma_page() does not lock what it has isolated here: one task runs at a time.
    locked = page.flags & PG_locked
    page.flags |= PG_locked
    rmap_walk(page, RmapWalkControl(try_to_unmap_one, TTU_MUNLOCK, done=page_not_mapped))
    if not locked:
        page.flags &= ~PG_locked


# --- entries come and go


def page_move_anon_rmap(page: Page, vma: VmAreaStruct) -> None:
    """The page is exclusively `vma`'s now: hang it on the vma's own anon_vma instead of the root."""
    if page.flags & PG_locked == 0:
        raise KernelBug(f"page_move_anon_rmap: {page!r} is not locked, {vma!r}")
    page.mapping = vma.anon_vma
    page.mapping_tag = PAGE_MAPPING_ANON
    if page.kernel.config.at_least(5, 19):
        page.flags |= PG_anon_exclusive


def __page_set_anon_rmap(page: Page, vma: VmAreaStruct, address: int, exclusive: bool) -> None:
    """Point page.mapping to the vma's anon_vma, or to its root if others may map the page too."""
    anon_vma = vma.anon_vma
    if anon_vma is None:
        raise KernelBug(f"__page_set_anon_rmap: {page!r} goes into {vma!r}, which has no anon_vma")
    if exclusive and page.kernel.config.at_least(5, 19):
        page.flags |= PG_anon_exclusive
    if page.mapping_tag & PAGE_MAPPING_ANON:
        return
    if not exclusive:
        anon_vma = anon_vma.root
    page.mapping = anon_vma
    page.mapping_tag = PAGE_MAPPING_ANON
    page.index = ((address - vma.vm_start) >> 12) + vma.vm_pgoff


def page_dup_rmap(page: Page, vma: VmAreaStruct, address: int) -> None:
    """fork: the child's `vma` maps `page` too. (The vma is for the tracepoint.)"""
    page._mapcount += 1
    trace_page_add_rmap(page, vma, address)


def page_try_dup_anon_rmap(page: Page, vma: VmAreaStruct, address: int, needs_cow: bool) -> bool:
    """fork: share an anonymous page with the child's `vma`; from now on it is exclusive to nobody.

    False: it may be pinned (`needs_cow`) and is the parent's alone, so that the child needs a copy.
    """
    if needs_cow and (page.flags & PG_anon_exclusive or not page.kernel.config.at_least(5, 19)):
        return False
    page.flags &= ~PG_anon_exclusive
    page_dup_rmap(page, vma, address)
    return True


def page_add_new_anon_rmap(page: Page, vma: VmAreaStruct, address: int) -> None:
    """The first PTE maps a fresh anonymous page, which nobody else can see yet."""
    if address < vma.vm_start or address >= vma.vm_end:
        raise KernelBug(f"page_add_new_anon_rmap: {page!r} at {address:#x} is outside {vma!r}")
    page.flags |= PG_swapbacked
    page._mapcount = 0
    mod_page_state(page.kernel, NR_ANON_MAPPED, 1)
    __page_set_anon_rmap(page, vma, address, True)
    trace_page_add_rmap(page, vma, address)


def page_add_file_rmap(page: Page, vma: VmAreaStruct, address: int = 0) -> None:
    """One more PTE maps a page-cache page. (The vma, for the tracepoint, is v5.18's addition.)"""
    page._mapcount += 1
    if page._mapcount == 0:
        mod_page_state(page.kernel, NR_FILE_MAPPED, 1)
    trace_page_add_rmap(page, vma, address)


def page_remove_rmap(page: Page) -> None:
    """One PTE less maps `page`; an anonymous page keeps its mapping until it is freed."""
    page._mapcount -= 1
    if page._mapcount < -1:
        raise KernelBug(f"page_remove_rmap: {page!r} of {page.mapping!r} was not mapped")
    trace_page_remove_rmap(page)
    if page._mapcount >= 0:
        return
    mod_page_state(page.kernel, NR_ANON_MAPPED if page.mapping_tag & PAGE_MAPPING_ANON else NR_FILE_MAPPED, -1)
    if page.flags & PG_mlocked:
        import mmscope.kernel.mm.mlock as mm_mlock

        mm_mlock.clear_page_mlock(page)
