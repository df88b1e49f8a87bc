# SPDX-License-Identifier: GPL-2.0-or-later
"""CONFIG_DEBUG_VM: everything that memory management stores twice is compared, at each return to user mode.

Linux spreads such checks as VM_BUG_ON() and validate_mm(); here one walk over all page tables recomputes the counters, the
map counts, the references, the reverse maps and the TLB. It may only run between operations: within one, references
and locks are held that nothing explains.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import X86_PF_USER, X86_PF_WRITE
from mmscope.kernel.arch.x86.pgtable import PTE_PFN_MASK, pte_exec, pte_none, pte_present, pte_protnone, pte_write
from mmscope.kernel.fs.buffer import BH_Uptodate, check_page_buffers
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.mm import (
    NR_MM_COUNTERS,
    VM_ACCESS_FLAGS,
    VM_ACCOUNT,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import AnonVma, AnonVmaChain, AnonVmaChainRb, Page, SharedRb, VmAreaStruct
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import (
    PAGE_TABLE_MAPCOUNT_VALUE,
    PageAnonExclusive,
    PG_dirty,
    PG_locked,
    PG_lru,
    PG_private,
    PG_reserved,
    PG_uptodate,
    PG_writeback,
)
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.lib.rbtree import RbNode
from mmscope.kernel.lib.xarray import xa_find, xa_get_mark, xa_validate
from mmscope.kernel.mm.debug import validate_mm_now
from mmscope.kernel.mm.memory import mm_counter, vm_normal_page
from mmscope.kernel.mm.page_alloc import validate_zone
from mmscope.kernel.mm.page_writeback import PAGECACHE_TAG_DIRTY, PAGECACHE_TAG_TOWRITE, PAGECACHE_TAG_WRITEBACK
from mmscope.kernel.mm.rmap import PageVmaMappedWalk, RmapWalkControl, page_vma_mapped_walk, rmap_walk
from mmscope.kernel.mm.shmem_acct import ShmemInodeInfo
from mmscope.kernel.mm.swap import validate_lru
from mmscope.kernel.mm.vmstat import NR_FILE_DIRTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct

__all__ = ["debug_vm_check", "validate_mapping", "validate_vm"]

#: A walk costs in proportion to the pages in use: it runs once in so many events that an event pays for this many pages.
PAGES_PER_EVENT: Final = 64

_U64: Final = 0xFFFFFFFFFFFFFFFF
_COUNTERS: Final = ("MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES")


class _Found:
    """What a walk over all page tables meets."""

    def __init__(self) -> None:
        #: pfn -> number of entries that map it; pfn of a table -> its level (1 = page table ... 4 = PGD).
        self.ptes: dict[int, int] = {}
        self.tables: dict[int, int] = {}
        #: The page caches of all mapped files.
        self.mappings: dict[AddressSpace, None] = {}
        #: Of all address spaces: the VMAs of each file, the links to each anon_vma, and the VMAs whose own it is.
        self.file_vmas: dict[AddressSpace, dict[VmAreaStruct, None]] = {}
        self.avcs: dict[AnonVma, dict[AnonVmaChain, None]] = {}
        self.owners: dict[AnonVma, int] = {}


def debug_vm_check(k: Kernel) -> None:
    """Called on the way back to user mode. Large address spaces are checked now and then only."""
    if not k.config.CONFIG_DEBUG_VM:
        return
    k.debug_vm_events += 1
    if k.debug_vm_events * PAGES_PER_EVENT >= len(k.mem_map.pages):
        k.debug_vm_events = 0
        validate_vm(k)


def validate_vm(k: Kernel) -> None:
    """Compare all that is stored twice. Raises KernelBug."""
    found = _Found()
    for mm in k.exec_mms:
        # Without users it is nothing but its PGD.
        found.tables[mm.pgd >> PAGE_SHIFT] = 4
    for mm in _address_spaces(k):
        validate_mm_now(mm)
        _check_vm_stat(mm)
        _note_rmap_trees(mm, found)
        _check_page_tables(mm, found)
    _check_rmap_trees(found)
    _check_pages(k, found)
    for page in k.mem_map.pages:
        mapping = page.mapping
        if isinstance(mapping, AddressSpace) and page._refcount:
            found.mappings[mapping] = None
    dirty = 0
    for mapping in found.mappings:
        dirty += validate_mapping(mapping)
        if xa_validate(mapping.i_pages) != mapping.nrpages + mapping.nrexceptional:
            raise KernelBug(f"inode {mapping.host.i_ino}: nrpages {mapping.nrpages}, i_pages has {xa_validate(mapping.i_pages)}")
    if k.vmstat.stat[NR_FILE_DIRTY] != dirty:
        raise KernelBug(f"NR_FILE_DIRTY is {k.vmstat.stat[NR_FILE_DIRTY]}, {dirty} pages of {list(found.mappings)!r} are dirty")
    _check_committed(k, found)
    validate_lru(k)
    validate_zone(k)
    _check_tlb(k)


def _address_spaces(k: Kernel) -> list[MmStruct]:
    mms: list[MmStruct] = [mm for mm in k.exec_mms if mm.mm_users]
    tasks = list(k.tasks.values())
    if k.has_current() and k.current not in tasks:
        tasks.append(k.current)
    for task in tasks:
        if task.mm is not None and task.mm not in mms:
            mms.append(task.mm)
    return mms


def _check_committed(k: Kernel, found: _Found) -> None:
    """vm_committed_as: the VM_ACCOUNT pages of all VMAs, and what shmem files take."""
    # Imported here: shm.py copies to user memory, and the fault handler below that calls this module.
    from mmscope.kernel.ipc.shm import IpcNamespace

    committed = 0
    for mm in _address_spaces(k):
        vma = mm.mmap
        while vma is not None:
            if vma.vm_flags & VM_ACCOUNT:
                committed += (vma.vm_end - vma.vm_start) >> PAGE_SHIFT
            vma = vma.vm_next
    files = dict(found.mappings)
    for task in k.tasks.values():
        if task.files is not None:
            for file in task.files.fd.values():
                files[file.f_mapping] = None
    if isinstance(k.shm_ids, IpcNamespace):
        for shp in k.shm_ids.segments.values():
            files[shp.shm_file.f_mapping] = None
    for mapping in files:
        info = mapping.host.i_private
        if isinstance(info, ShmemInodeInfo):
            size = (mapping.host.i_size + PAGE_SIZE - 1) >> PAGE_SHIFT
            committed += info.alloced if info.flags & VM_NORESERVE else size
    committed += k.vm_committed_lost
    if k.vm_committed_as != committed:
        raise KernelBug(f"vm_committed_as is {k.vm_committed_as}, all VMAs and shmem files sum up to {committed}")


def validate_mapping(mapping: AddressSpace) -> int:
    """CONFIG_DEBUG_VM: nrpages, marks, what each cached page says about itself. The number of dirty ones. Raises KernelBug."""
    nr = dirty = shadows = 0
    writes_back = mapping.host.i_sb.s_bdi_writeback
    found = xa_find(mapping.i_pages, 0, 0xFFFFFFFFFFFFFFFF)
    while found is not None:
        page = found[1]
        if isinstance(page, int):
            shadows += 1
            found = xa_find(mapping.i_pages, found[0] + 1, 0xFFFFFFFFFFFFFFFF)
            continue
        assert isinstance(page, Page)
        if page.mapping is not mapping or page.index != found[0] or page._refcount < 1 + max(page._mapcount + 1, 0):
            raise KernelBug(f"inode {mapping.host.i_ino} caches {page!r} at {found[0]}: index {page.index}, {page.mapping!r}")
        check_page_buffers(page, mapping)
        # (A page that fallocate() gave a tmpfs file is so; and one whose buffer only has been read, to be changed.)
        known = page.flags & PG_uptodate or (page.private is not None and page.private.b_state & BH_Uptodate)
        if writes_back and page.flags & PG_dirty and not known:
            raise KernelBug(f"{page!r} of inode {mapping.host.i_ino} is dirty and not uptodate")
        if writes_back and (page.flags & PG_dirty != 0) != xa_get_mark(mapping.i_pages, found[0], PAGECACHE_TAG_DIRTY):
            raise KernelBug(f"{page!r} of inode {mapping.host.i_ino}: PG_dirty and the mark of {mapping.i_pages!r} differ")
        if page.flags & PG_writeback or xa_get_mark(mapping.i_pages, found[0], PAGECACHE_TAG_WRITEBACK):
            raise KernelBug(f"{page!r} of inode {mapping.host.i_ino} is being written while nobody is in the kernel")
        if xa_get_mark(mapping.i_pages, found[0], PAGECACHE_TAG_TOWRITE):
            raise KernelBug(f"{page!r} of inode {mapping.host.i_ino} is still marked to be written")
        nr += 1
        dirty += xa_get_mark(mapping.i_pages, found[0], PAGECACHE_TAG_DIRTY)
        found = xa_find(mapping.i_pages, found[0] + 1, 0xFFFFFFFFFFFFFFFF)
    if shadows != mapping.nrexceptional:
        raise KernelBug(f"inode {mapping.host.i_ino}: nrexceptional {mapping.nrexceptional}, {shadows} in {mapping.i_pages!r}")
    if nr != mapping.nrpages:
        raise KernelBug(f"inode {mapping.host.i_ino}: nrpages {mapping.nrpages}, {nr} pages in {mapping.i_pages!r}")
    if dirty and writes_back and mapping.host not in mapping.host.i_sb.kernel.wb.b_dirty:
        raise KernelBug(f"inode {mapping.host.i_ino} has {dirty} dirty pages and is not on the list of dirty inodes")
    return dirty


# Address spaces


def _check_vm_stat(mm: MmStruct) -> None:
    """total_vm and its parts, which vm_stat_account() keeps, and locked_vm."""
    total = data = exec_ = stack = 0
    locked = mm.locked_vm_lost
    vma = mm.mmap
    while vma is not None:
        pages = (vma.vm_end - vma.vm_start) >> PAGE_SHIFT
        flags = vma.vm_flags
        total += pages
        if flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN) == VM_EXEC:
            exec_ += pages
        elif flags & VM_GROWSDOWN:
            stack += pages
        elif flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == VM_WRITE:
            data += pages
        if flags & VM_LOCKED:
            locked += pages
        vma = vma.vm_next
    want = (total, data, exec_, stack, locked)
    got = (mm.total_vm, mm.data_vm, mm.exec_vm, mm.stack_vm, mm.locked_vm)
    if got != want:
        raise KernelBug(f"{mm!r}: total, data, exec, stack, locked_vm are {got}, its VMAs sum up to {want}")


def _nodes(root: RbNode | None) -> list[RbNode]:
    """The nodes of a tree, in order."""
    nodes: list[RbNode] = []
    stack: list[RbNode] = []
    node = root
    while stack or node is not None:
        while node is not None:
            stack.append(node)
            node = node.rb_left
        node = stack.pop()
        nodes.append(node)
        node = node.rb_right
    return nodes


def _note_rmap_trees(mm: MmStruct, found: _Found) -> None:
    """Collect the VMAs by file, and the chain links by anon_vma."""
    vma = mm.mmap
    while vma is not None:
        if vma.vm_file is not None:
            mapping = vma.vm_file.f_mapping
            found.mappings[mapping] = None
            found.file_vmas.setdefault(mapping, {})[vma] = None
        for avc in vma.anon_vma_chain:
            assert avc.anon_vma is not None
            found.avcs.setdefault(avc.anon_vma, {})[avc] = None
        if vma.anon_vma is not None:
            found.owners[vma.anon_vma] = found.owners.get(vma.anon_vma, 0) + 1
            if all(avc.anon_vma is not vma.anon_vma for avc in vma.anon_vma_chain):
                raise KernelBug(f"{vma!r} is not on the tree of its own {vma.anon_vma!r}")
        vma = vma.vm_next


def _check_rmap_trees(found: _Found) -> None:
    """The trees that a reverse-map walk looks through hold the VMAs of all address spaces, and no others."""
    for mapping, vmas in found.file_vmas.items():
        found_vmas = {n.vma: None for n in _nodes(mapping.i_mmap.rb_root.rb_node) if isinstance(n, SharedRb)}
        if found_vmas.keys() != vmas.keys():
            raise KernelBug(f"i_mmap of inode {mapping.host.i_ino} has {list(found_vmas)!r}, all that map it are {list(vmas)!r}")
    children: dict[AnonVma, int] = {}
    below: dict[AnonVma, int] = {}
    for anon_vma, avcs in found.avcs.items():
        nodes = {n.avc: None for n in _nodes(anon_vma.rb_root.rb_root.rb_node) if isinstance(n, AnonVmaChainRb)}
        if nodes.keys() != avcs.keys():
            there, linked = [avc.vma for avc in nodes], [avc.vma for avc in avcs]
            raise KernelBug(f"the tree of {anon_vma!r} has {there!r}, those linked to it are {linked!r}")
        children[anon_vma.parent] = children.get(anon_vma.parent, 0) + 1
        if anon_vma.root is not anon_vma:
            below[anon_vma.root] = below.get(anon_vma.root, 0) + 1
    for anon_vma in found.avcs:
        active, nr_children = found.owners.get(anon_vma, 0), children.get(anon_vma, 0)
        want = (nr_children + active, nr_children, active, 1 + below.get(anon_vma, 0))
        got = (anon_vma.degree, anon_vma.num_children, anon_vma.num_active_vmas, anon_vma.refcount)
        if got != want:
            raise KernelBug(f"{anon_vma!r}: degree, num_children, num_active_vmas, refcount are {got}, counted {want}")


def _check_page_tables(mm: MmStruct, found: _Found) -> None:
    """Walk all of them: pgtables_bytes, RSS, and each entry against its VMA."""
    k = mm.kernel
    rss = [0] * NR_MM_COUNTERS
    found.tables[mm.pgd >> PAGE_SHIFT] = 4
    before = len(found.tables) - 1
    vma = _check_table(mm, mm.pgd, 4, 0, mm.mmap, rss, found)
    tables = len(found.tables) - before - 1
    if mm.pgtables_bytes != tables * PAGE_SIZE:
        raise KernelBug(f"{mm!r}: pgtables_bytes {mm.pgtables_bytes}, {tables} tables hang under its pgd {mm.pgd:#x}")
    counted = list(mm.rss_stat)
    tasks = list(k.tasks.values())
    if k.has_current() and k.current not in tasks:
        tasks.append(k.current)
    for task in tasks:
        if task.mm is mm:
            for i in range(NR_MM_COUNTERS):
                counted[i] += task.rss_stat[i]
    for i in range(NR_MM_COUNTERS):
        if counted[i] != rss[i]:
            raise KernelBug(
                f"{mm!r}: {_COUNTERS[i]} is {counted[i]} with its tasks' caches, its page tables map {rss[i]} ({vma!r})"
            )


def _check_table(
    mm: MmStruct, table: int, level: int, base: int, vma: VmAreaStruct | None, rss: list[int], found: _Found
) -> VmAreaStruct | None:
    """One table at physical address `table`, which maps from `base` on; `vma`: where to look from. Returns the next one."""
    k = mm.kernel
    words = k.words[table >> 3 : (table >> 3) + (256 if level == 4 else 512)].tolist()
    shift = 3 + 9 * level
    for i in range(len(words)):
        entry: i64 = words[i]
        if entry == 0:
            continue
        addr = base + (i << shift)
        if level == 1:
            if pte_none(entry):
                continue
            while vma is not None and vma.vm_end <= addr:
                vma = vma.vm_next
            if vma is None or vma.vm_start > addr:
                raise _bad_pte(addr, entry, vma, "outside of VMAs, this is the next one")
            _check_pte(vma, addr, entry, rss, found)
        else:
            child: int = entry & PTE_PFN_MASK
            if child >> PAGE_SHIFT in found.tables:
                raise KernelBug(f"{mm!r}: the table at {child:#x} hangs in two places, now for {addr:#x}")
            found.tables[child >> PAGE_SHIFT] = level - 1
            vma = _check_table(mm, child, level - 1, addr, vma, rss, found)
    return vma


def _bad_pte(addr: int, pte: int, vma: VmAreaStruct | None, text: str) -> KernelBug:
    return KernelBug(f"entry {pte & _U64:#x} at {addr:#x} in {vma!r}: {text}")


def _check_pte(vma: VmAreaStruct, addr: int, pte: i64, rss: list[int], found: _Found) -> None:
    if is_guard_pte_marker(pte):
        return
    if not pte_present(pte):
        raise _bad_pte(addr, pte, vma, "neither empty nor present")
    if pte_protnone(pte) != (vma.vm_flags & VM_ACCESS_FLAGS == 0) and not vma.vm_mm.numa_next_scan:
        raise _bad_pte(addr, pte, vma, "PROT_NONE does not agree")
    if not pte_protnone(pte) and pte_exec(pte) != (vma.vm_page_prot >= 0):
        raise _bad_pte(addr, pte, vma, f"NX is not that of vm_page_prot {vma.vm_page_prot & _U64:#x}")
    if pte_write(pte) and not vma.vm_flags & VM_WRITE:
        raise _bad_pte(addr, pte, vma, "is writable")
    page = vm_normal_page(vma, addr, pte)
    if page is None:
        return
    found.ptes[page.pfn] = found.ptes.get(page.pfn, 0) + 1
    rss[mm_counter(page)] += 1
    if page.flags & PG_reserved:
        return
    mapping = page.mapping
    index = ((addr - vma.vm_start) >> PAGE_SHIFT) + vma.vm_pgoff
    if page.index != index:
        raise _bad_pte(addr, pte, vma, f"maps {page!r} of index {page.index:#x}, its own is {index:#x}")
    if isinstance(mapping, AnonVma):
        for avc in vma.anon_vma_chain:
            if avc.anon_vma is mapping:
                break
        else:
            raise _bad_pte(addr, pte, vma, f"maps {page!r}, whose anon_vma {mapping!r} does not lead to this VMA")
        if pte_write(pte) and page._mapcount != 0:
            raise _bad_pte(addr, pte, vma, f"is writable and maps {page!r}, which is shared")
        if pte_write(pte) and not PageAnonExclusive(page) and page.kernel.config.at_least(5, 19):
            raise _bad_pte(addr, pte, vma, f"is writable and maps {page!r}, which is not exclusive")
    elif vma.vm_file is None or vma.vm_file.f_mapping is not mapping:
        raise _bad_pte(addr, pte, vma, f"maps {page!r} of {mapping!r}, which is not the VMA's file")
    elif pte_write(pte) and not vma.vm_flags & VM_SHARED:
        raise _bad_pte(addr, pte, vma, f"is private and writable, yet it maps {page!r} of inode {mapping.host.i_ino}")


# Pages


def _pagevecs(k: Kernel) -> dict[int, int]:
    """pfn -> number of pagevec slots that hold it."""
    lru = k.lru
    held: dict[int, int] = {}
    for pagevec in (
        lru.lru_add,
        lru.lru_rotate,
        lru.lru_deactivate_file,
        lru.lru_deactivate,
        lru.lru_lazyfree,
        lru.activate_page,
    ):
        for page in pagevec:
            held[page.pfn] = held.get(page.pfn, 0) + 1
    return held


def _check_pages(k: Kernel, found: _Found) -> None:
    """_mapcount and _refcount of every frame, and that it waits for, or stands on, an LRU list if it should."""
    held = _pagevecs(k)
    adding = {page.pfn for page in k.lru.lru_add}
    for page in k.mem_map.pages:
        pfn = page.pfn
        maps = found.ptes.get(pfn, 0)
        level = found.tables.get(pfn, 0)
        if level:
            mapcount = PAGE_TABLE_MAPCOUNT_VALUE if level < 3 else -1
            if page._refcount != 1 or page._mapcount != mapcount or maps:
                raise KernelBug(f"{page!r} is a table of level {level}, and {maps} entries map it")
        elif page.flags & PG_reserved:
            if page._refcount != 1 + maps + k.pipe_pages.get(pfn, 0) or page._mapcount != maps - 1:
                raise KernelBug(f"{page!r} is the kernel's own, and {maps} entries map it")
        elif page._refcount == 0:
            if maps:
                raise KernelBug(f"{page!r} is free, and {maps} entries map it")
        elif pfn in k.pipe_pages and page.mapping is None and not page.flags & PG_lru:
            if page._refcount != k.pipe_pages[pfn] + held.get(pfn, 0) or maps:
                raise KernelBug(f"{page!r} is a pipe's, {k.pipe_pages[pfn]} times, and {maps} entries map it")
        else:
            _check_page(page, maps, held.get(pfn, 0) + k.pipe_pages.get(pfn, 0), pfn in adding)


def _count_entry(page: Page, vma: VmAreaStruct, address: int, rwc: RmapWalkControl) -> bool:
    if page_vma_mapped_walk(PageVmaMappedWalk(page, vma, address)):
        rwc.count += 1
    return True


def _check_rmap(page: Page, maps: int) -> None:
    """A reverse-map walk meets each entry that maps the page. (Each of those was found to be where its index says.)"""
    rwc = RmapWalkControl(_count_entry)
    page.flags |= PG_locked
    rmap_walk(page, rwc)
    page.flags &= ~PG_locked
    if rwc.count != maps:
        raise KernelBug(f"a reverse-map walk finds {rwc.count} entries for {page!r} of {page.mapping!r}, {maps} map it")


def _check_page(page: Page, maps: int, held: int, adding: bool) -> None:
    cached = 1 if isinstance(page.mapping, AddressSpace) else 0
    if page._mapcount != maps - 1:
        raise KernelBug(f"{page!r} of {page.mapping!r}: {maps} entries map it")
    buffers = 1 if page.flags & PG_private else 0
    if page._refcount != maps + cached + held + buffers:
        raise KernelBug(
            f"{page!r} of {page.mapping!r}: {maps} entries, {cached} cache, {held} pagevecs, {buffers} buffers hold references"
        )
    if page.flags & PG_locked:
        raise KernelBug(f"{page!r} of {page.mapping!r} was left locked")
    if page.mapping_tag and page._mapcount > 0 and PageAnonExclusive(page):
        raise KernelBug(f"{page!r} of {page.mapping!r} is exclusive, and {maps} entries map it")
    if maps and page.mapping is not None:
        _check_rmap(page, maps)
    if (page.flags & PG_lru != 0) == adding:
        raise KernelBug(f"{page!r} of {page.mapping!r}: PG_lru, and in the pagevec lru_add: {adding}")


# The TLB


def _check_tlb(k: Kernel) -> None:
    """What the processor remembers, the page tables still say: else a flush is missing."""
    cpu = k.cpu
    for vpn, cached in list(cpu.tlb.items()):
        user = X86_PF_USER if cached & X86_PF_USER else 0
        entry = _peek(k, vpn << PAGE_SHIFT)
        if entry < 0 or entry & -4096 != cached & -4096 or cached & ~entry & (X86_PF_WRITE | user):
            raise KernelBug(f"TLB: {vpn << PAGE_SHIFT:#x} is {cached:#x}, the page tables say {entry:#x}: a flush is missing")


def _peek(k: Kernel, addr: int) -> int:
    """The frame and rights for `addr` as Cpu.walk() would give them, without setting A and D; -1 if nothing is there."""
    table: int = k.cpu.cr3
    rights: i64 = -1
    for level in (4, 3, 2, 1):
        entry: i64 = k.words[(table >> 3) + ((addr >> (3 + 9 * level)) & 511)]
        if entry & 1 == 0:
            return -1
        rights &= entry
        table = entry & PTE_PFN_MASK
    return table | (X86_PF_WRITE if rights & 2 else 0) | (X86_PF_USER if rights & 4 else 0)
