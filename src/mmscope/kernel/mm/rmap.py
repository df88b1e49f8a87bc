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
    pte_offset_map,
    pte_pfn,
    pte_present,
    pud_none,
    pud_offset,
)
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.include.mm_types import AnonVma, AnonVmaChain
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PG_locked, PG_mlocked, PG_swapbacked
from mmscope.kernel.mm.interval_tree import (
    anon_vma_interval_tree_insert,
    anon_vma_interval_tree_iter_first,
    anon_vma_interval_tree_iter_next,
    anon_vma_interval_tree_remove,
    vma_interval_tree_iter_first,
    vma_interval_tree_iter_next,
)
from mmscope.kernel.mm.vmstat import NR_ANON_MAPPED, NR_FILE_MAPPED, mod_page_state
from mmscope.kernel.tracepoint import trace_page_add_rmap, trace_page_remove_rmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import Page, VmAreaStruct

__all__ = [
    "__anon_vma_prepare", "__page_set_anon_rmap", "anon_vma_clone", "anon_vma_fork", "anon_vma_merge", "anon_vma_prepare",
    "linear_page_index", "page_add_anon_rmap", "page_add_file_rmap", "page_add_new_anon_rmap", "page_address_in_vma",
    "page_move_anon_rmap", "page_remove_rmap", "page_vma_mapped", "page_vmas", "put_anon_vma", "try_to_munlock",
    "unlink_anon_vmas", "vma_address",
]  # fmt: skip

EFAULT_ADDRESS = -14


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
    then an ancestor's anon_vma that has no vma of its own and one child at most (degree < 2) is reused, so that a
    chain of forks does not grow without end.
    """
    src_anon_vma = src.anon_vma
    for pavc in reversed(src.anon_vma_chain):
        anon_vma = pavc.anon_vma
        assert anon_vma is not None
        anon_vma_chain_link(dst, AnonVmaChain(), anon_vma)
        # v5.11 looks at degree; 5.10.218 (backport of v6.0's 2555283eb40d) at num_children < 2 && num_active_vmas == 0.
        if dst.anon_vma is None and src_anon_vma is not None and anon_vma is not src_anon_vma and anon_vma.degree < 2:
            dst.anon_vma = anon_vma
    if dst.anon_vma is not None:
        dst.anon_vma.degree += 1
        dst.anon_vma.num_active_vmas += 1


def anon_vma_fork(vma: VmAreaStruct, pvma: VmAreaStruct) -> None:
    """Attach the child's `vma` to all that `pvma` is attached to, and to an anon_vma of its own."""
    if pvma.anon_vma is None:
        return
    vma.anon_vma = None
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


def page_vma_mapped(page: Page, vma: VmAreaStruct) -> bool:
    """`vma` maps `page` where its index says (page_vma_mapped_walk())."""
    address = vma_address(page, vma)
    mm = vma.vm_mm
    words = mm.kernel.words
    if address < vma.vm_start or address >= vma.vm_end or mm.pgd == 0:
        return False
    pgdp = pgd_offset(mm, address)
    if pgd_none(words[pgdp]):
        return False
    pudp = pud_offset(mm.kernel, pgdp, address)
    if pud_none(words[pudp]):
        return False
    pmdp = pmd_offset(mm.kernel, pudp, address)
    if pmd_none(words[pmdp]):
        return False
    pte: i64 = words[pte_offset_map(mm.kernel, pmdp, address)]
    return pte_present(pte) and pte_pfn(pte) == page.pfn


def page_vmas(page: Page) -> list[VmAreaStruct]:
    """The VMAs that may map `page`, in the order of a reverse-map walk."""
    mapping = page.mapping
    vmas: list[VmAreaStruct] = []
    if isinstance(mapping, AnonVma):
        avc = anon_vma_interval_tree_iter_first(mapping.rb_root, page.index, page.index)
        while avc is not None:
            assert avc.vma is not None
            vmas.append(avc.vma)
            avc = anon_vma_interval_tree_iter_next(avc, page.index, page.index)
    elif mapping is not None:
        vma = vma_interval_tree_iter_first(mapping.i_mmap, page.index, page.index)
        while vma is not None:
            vmas.append(vma)
            vma = vma_interval_tree_iter_next(vma, page.index, page.index)
    return vmas


def try_to_munlock(page: Page) -> None:
    """A locked VMA gave the page up: if another one maps it, it is mlocked again. Precondition: off the LRU lists."""
    import mmscope.kernel.mm.mlock as mm_mlock

    for vma in page_vmas(page):
        if vma.vm_flags & VM_LOCKED and page_vma_mapped(page, vma):
            mm_mlock.mlock_vma_page(page)
            return


def page_move_anon_rmap(page: Page, vma: VmAreaStruct) -> None:
    """The page is exclusively `vma`'s now: hang it on the vma's own anon_vma instead of the root."""
    if page.flags & PG_locked == 0:
        raise KernelBug(f"page_move_anon_rmap: {page!r} is not locked, {vma!r}")
    page.mapping = vma.anon_vma
    page.mapping_tag = PAGE_MAPPING_ANON


def __page_set_anon_rmap(page: Page, vma: VmAreaStruct, address: int, exclusive: bool) -> None:
    """Point page.mapping to the vma's anon_vma, or to its root if others may map the page too."""
    anon_vma = vma.anon_vma
    if anon_vma is None:
        raise KernelBug(f"__page_set_anon_rmap: {page!r} goes into {vma!r}, which has no anon_vma")
    if page.mapping_tag & PAGE_MAPPING_ANON:
        return
    if not exclusive:
        anon_vma = anon_vma.root
    page.mapping = anon_vma
    page.mapping_tag = PAGE_MAPPING_ANON
    page.index = ((address - vma.vm_start) >> 12) + vma.vm_pgoff


def page_add_anon_rmap(page: Page, vma: VmAreaStruct, address: int, exclusive: bool = False) -> None:
    """One more PTE maps an anonymous page that may be mapped already."""
    page._mapcount += 1
    if page._mapcount == 0:
        mod_page_state(page.kernel, NR_ANON_MAPPED, 1)
        __page_set_anon_rmap(page, vma, address, exclusive)
    trace_page_add_rmap(page, vma, address)


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
