# SPDX-License-Identifier: GPL-2.0-or-later
"""A model whose one process has the address space that a recording describes.

The recordings name three files: `init`, the program, on the initramfs (shmem); `data`, 262,144 bytes on ext4; `dev/zero`, shared
anonymous memory. They are made here under their operations' names, without a host file behind them.

VMAs, trees, colours, gaps, anon_vmas, i_mmap and counters are put down as recorded. Which pages are resident a recording
says for files only (XArray with map counts); anonymous pages are made up: as many as the RSS counters say, in VMAs that have
an anon_vma.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.arch.x86.mmap import arch_pick_mmap_layout
from mmscope.kernel.arch.x86.pgtable import mk_pte, pte_none, set_pte_at
from mmscope.kernel.arch.x86.tlbflush import switch_mm
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.arch.x86.vdso import vdso_mapping, vvar_mapping
from mmscope.kernel.block.genhd import BlockDevice
from mmscope.kernel.core.fork import mm_alloc
from mmscope.kernel.fs.ext4.file import ext4_file_operations, ext4_file_vm_ops
from mmscope.kernel.fs.ext4.inode import EXT4_I, ext4_set_block, ext4_update_i_blocks
from mmscope.kernel.fs.ext4.super import ext4_fill_super, ext4_set_inode_ops
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_WRITE,
    O_RDONLY,
    O_RDWR,
    S_IFREG,
    AddressSpace,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.gfp import GFP_HIGHUSER
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm import (
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    VM_ACCOUNT,
    VM_DENYWRITE,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import AnonVma, AnonVmaChain, VmAreaStruct
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_locked, PG_swapbacked, PG_uptodate
from mmscope.kernel.include.pagemap import unlock_page
from mmscope.kernel.init.main import new_task
from mmscope.kernel.lib.rbtree import RB_BLACK, RB_RED, RbNode, rb_first
from mmscope.kernel.mm.filemap import find_get_page, generic_file_buffered_read, read_mapping_page
from mmscope.kernel.mm.memory import get_locked_pte
from mmscope.kernel.mm.mmap import find_vma, special_mapping_vmops, validate_mm
from mmscope.kernel.mm.page_alloc import alloc_page, put_page
from mmscope.kernel.mm.rmap import page_add_file_rmap
from mmscope.kernel.mm.shmem import (
    ShmemInodeInfo,
    shmem_add_to_page_cache,
    shmem_aops,
    shmem_get_unmapped_area,
    shmem_kernel_file_setup,
    shmem_mmap,
    shmem_vm_ops,
)
from mmscope.kernel.mm.swap import lru_add_drain, lru_cache_add
from mmscope.machine import Machine, Process
from mmscope.oracle.structure import Json

__all__ = ["DATA_SIZE", "RebuildError", "Rebuilt", "boot", "ext4_file", "shmem_file"]

#: /mnt/data of the recordings, bytes.
DATA_SIZE = 262144
#: The recording machine's RAM.
RAM = 256 << 20


class RebuildError(ValueError):
    """The recording describes something that cannot be put down."""


def boot() -> Machine:
    """The recorded kernel's settings: no ASLR, a vDSO of two pages. Every invariant is checked."""
    return Machine(RAM, root=None, debug_vm=True, vdso_pages=2, streams=(-1, -1, -1))


# ---- the files


shmem_file_operations = FileOperations(
    "shmem_file_operations", read=generic_file_buffered_read, mmap=shmem_mmap, get_unmapped_area=shmem_get_unmapped_area
)
VM_OPS = {ops.ops_name: ops for ops in (ext4_file_vm_ops, shmem_vm_ops, special_mapping_vmops)}

_FMODE_RW = FMODE_READ | FMODE_WRITE | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE


def ext4_file(k: Kernel, name: str = "data", size: int = DATA_SIZE) -> File:
    """A file on a writable ext4, opened O_RDWR; nothing of it is cached."""
    bdev = BlockDevice(k, 2 * size // PAGE_SIZE)
    sb = ext4_fill_super(k, 0xFE << 20, bdev)
    inode = Inode(sb, 13, S_IFREG | 0o644)
    ext4_set_inode_ops(inode, None, 0)
    inode.i_size = EXT4_I(inode).i_disksize = size
    for index in range(size // PAGE_SIZE):
        # The disk: every byte of page n is n mod 251 + 1.
        block = bdev.alloc_block()
        bdev.media.write(block, bytes([index % 251 + 1]) * PAGE_SIZE)
        ext4_set_block(inode, index, block)
    ext4_update_i_blocks(inode)
    return File(Dentry(sb, name, None, inode), inode, O_RDWR, _FMODE_RW, ext4_file_operations)


def shmem_file(k: Kernel, name: str = "init", content: bytes = b"") -> File:
    """A file on the initramfs, which is a tmpfs: all of its pages are in the page cache."""
    sb = SuperBlock(k, "tmpfs", 2)
    inode = Inode(sb, 5, S_IFREG | 0o755)
    inode.i_private = ShmemInodeInfo(VM_NORESERVE)
    inode.i_fop = shmem_file_operations
    inode.i_mapping = AddressSpace(inode, shmem_aops)
    file = File(Dentry(sb, name, None, inode), inode, O_RDONLY, FMODE_READ | FMODE_LSEEK | FMODE_PREAD, shmem_file_operations)
    for index in range(-(-len(content) // PAGE_SIZE)):
        shmem_page(k, inode.i_mapping, index, content[index * PAGE_SIZE : (index + 1) * PAGE_SIZE])
    inode.i_size = len(content)
    return file


def shmem_page(k: Kernel, mapping: AddressSpace, index: int, content: bytes = b"") -> None:
    """A page of a tmpfs file, in the cache and on the LRU."""
    page = alloc_page(k, GFP_HIGHUSER)
    assert page is not None
    page.flags |= PG_locked | PG_swapbacked | PG_uptodate
    phys_write(k, page.pfn << PAGE_SHIFT, content.ljust(PAGE_SIZE, b"\0"))
    shmem_add_to_page_cache(page, mapping, index)
    lru_cache_add(page)
    unlock_page(page)
    put_page(page)
    info = mapping.host.i_private
    assert isinstance(info, ShmemInodeInfo)
    info.alloced += 1
    if info.flags & VM_NORESERVE:
        k.vm_committed_as += 1


# ---- the address space


class Rebuilt:
    """A kernel whose one process, `task`, is in the recorded `state`."""

    def __init__(self, state: Json) -> None:
        self.machine = boot()
        self.k = k = self.machine.kernel
        self.task = task = new_task(k, state["comm"])
        self.process = Process(self.machine, task)
        k.current = task
        self.mm = mm = mm_alloc(k)
        task.mm = task.active_mm = mm
        switch_mm(k, None, mm)
        arch_pick_mmap_layout(mm, task.signal.rlim[3], task)
        if mm.mmap_base != int(state["mmap_base"], 16):
            raise RebuildError(f"mmap_base {state['mmap_base']}: the model without ASLR has {mm.mmap_base:#x}")
        #: By the recording's names: the files (of `dev/zero` one a mapping), and what links to them.
        self.files: dict[str, File] = {"init": shmem_file(k), "data": ext4_file(k)}
        self.mappings: dict[str, AddressSpace] = {}
        self.vmas: dict[int, VmAreaStruct] = {}
        self._avcs: dict[str, AnonVmaChain] = {}
        self._anon_vmas: dict[str, AnonVma] = {}
        self._counters(state)
        self._list(state)
        self._reverse_maps(state)
        mm.mm_rb.rb_node = self._mm_rb(state["mm_rb"], None)
        validate_mm(mm)
        self._pages(state)

    def _counters(self, state: Json) -> None:
        mm = self.mm
        mm.brk, mm.start_brk = int(state["brk"], 16), int(state["start_brk"], 16)
        mm.start_stack, mm.highest_vm_end = int(state["start_stack"], 16), int(state["highest_vm_end"], 16)
        mm.task_size, mm.def_flags = int(state["task_size"], 16), int(state["def_flags"], 16)
        mm.map_count, mm.total_vm = state["map_count"], state["total_vm"]
        mm.data_vm, mm.exec_vm, mm.stack_vm = state["data_vm"], state["exec_vm"], state["stack_vm"]

    def _list(self, state: Json) -> None:
        mm = self.mm
        for record in state["anon_vmas"]:
            self._anon_vmas[record["id"]] = AnonVma()
        prev: VmAreaStruct | None = None
        for record in state["mmap"]:
            vma = VmAreaStruct(mm)
            vma.vm_start, vma.vm_end = int(record["start"], 16), int(record["end"], 16)
            vma.vm_pgoff, vma.vm_flags = int(record["pgoff"], 16), int(record["flags_raw"], 16)
            vma.vm_page_prot = _signed(int(record["prot"], 16))
            vma.rb_subtree_gap = int(record["subtree_gap"], 16)
            if "vm_ops" in record:
                vma.vm_ops = VM_OPS.get(record["vm_ops"])
                if vma.vm_ops is None:
                    raise RebuildError(f"VMA {record['start']}: the model has no {record['vm_ops']}")
            if record["file"]:
                vma.vm_file = self._file(record, state["mmap"])
                vma.vm_file.f_count += 1
            if vma.vm_ops is special_mapping_vmops:
                self._special(vma)
            if record["anon_vma"]:
                vma.anon_vma = self._anon_vmas[record["anon_vma"]]
            for link in record["avc"]:
                avc = self._avcs[link["id"]] = AnonVmaChain()
                avc.vma, avc.anon_vma = vma, self._anon_vmas[link["anon_vma"]]
                vma.anon_vma_chain.append(avc)
            vma.vm_prev = prev
            if prev is None:
                mm.mmap = vma
            else:
                prev.vm_next = vma
            prev = vma
            self.vmas[vma.vm_start] = vma

    def _file(self, record: Json, records: list[Json]) -> File:
        name = record["file"]
        if name == "dev/zero":
            if record["mapping"] not in self.files:
                # Its length is the mapping's at birth; what is left of that may be less.
                size = max(
                    int(r["end"], 16) - int(r["start"], 16) + (int(r["pgoff"], 16) << PAGE_SHIFT)
                    for r in records
                    if r.get("mapping") == record["mapping"]
                )
                self.files[record["mapping"]] = shmem_kernel_file_setup(self.k, name, size, int(record["flags_raw"], 16))
            name = record["mapping"]
        if name not in self.files:
            raise RebuildError(f"VMA {record['start']} maps a file {name!r}: the recordings' files are init, data and dev/zero")
        file = self.files[name]
        self.mappings[record["mapping"]] = file.f_mapping
        return file

    def _special(self, vma: VmAreaStruct) -> None:
        """vvar, then vdso."""
        if vma.vm_flags & VM_EXEC:
            vma.vm_private_data = vdso_mapping
            self.mm.vdso, self.mm.vdso_image = vma.vm_start, self.k.vdso_image_64
        else:
            vma.vm_private_data = vvar_mapping

    def _reverse_maps(self, state: Json) -> None:
        for record in state["anon_vmas"]:
            anon_vma = self._anon_vmas[record["id"]]
            anon_vma.root, anon_vma.parent = self._anon_vmas[record["root"]], self._anon_vmas[record["parent"]]
            anon_vma.num_children, anon_vma.num_active_vmas = record["num_children"], record["num_active_vmas"]
            anon_vma.degree = anon_vma.num_children + anon_vma.num_active_vmas
            anon_vma.refcount = record["refcount"]
            anon_vma.rb_root.rb_root.rb_node = self._avc_rb(record["rb"], None)
            anon_vma.rb_root.rb_leftmost = rb_first(anon_vma.rb_root.rb_root)
        for name, record in state["mappings"].items():
            mapping = self.mappings[name]
            mapping.i_mmap_writable = record["i_mmap_writable"]
            mapping.i_mmap.rb_root.rb_node = self._i_mmap(record["i_mmap"], None)
            mapping.i_mmap.rb_leftmost = rb_first(mapping.i_mmap.rb_root)
        for vma in self.vmas.values():
            if vma.vm_file is not None and vma.vm_flags & VM_DENYWRITE:
                vma.vm_file.f_inode.i_writecount -= 1

    @property
    def data(self) -> File:
        """/mnt/data, open for reading and writing."""
        return self.files["data"]

    # Links of nodes, trees: as recorded.

    def _mm_rb(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        node = self.vmas[int(tree["vma"], 16)].vm_rb
        return _link(node, tree, parent, self._mm_rb(tree["left"], node), self._mm_rb(tree["right"], node))

    def _vma(self, name: str) -> VmAreaStruct:
        mm, _, start = name.partition(":")
        if mm != "MM0":
            raise RebuildError(f"{name}: an address space that shares structures with another is not rebuilt")
        return self.vmas[int(start, 16)]

    def _i_mmap(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        vma = self._vma(tree["vma"])
        vma.shared_rb_subtree_last = tree["subtree_last"]
        node = vma.shared_rb
        return _link(node, tree, parent, self._i_mmap(tree["left"], node), self._i_mmap(tree["right"], node))

    def _avc_rb(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        self._vma(tree["vma"])
        avc = self._avcs[tree["avc"]]
        avc.rb_subtree_last = int(tree["subtree_last"], 16)
        return _link(avc.rb, tree, parent, self._avc_rb(tree["left"], avc.rb), self._avc_rb(tree["right"], avc.rb))

    # Pages and page tables.

    def _pages(self, state: Json) -> None:
        """Page caches; page-table entries; RSS. `pt` names some entries exactly, the rest follows from counts."""
        mm, k, task = self.mm, self.k, self.task
        known = {int(addr, 16): walk for addr, walk in state["pt"].items()}
        anonymous = {addr for addr, walk in known.items() if walk["page"] and walk["page"]["mapping_anon_bit"]}
        rss = [shared + cached for shared, cached in zip(state["rss"], state["task_rss_cache"], strict=True)]
        for name, record in state["mappings"].items():
            mapping = self.mappings[name]
            for index, map_count in cached_pages(record["i_pages"]["head"]) if "i_pages" in record else ():
                if mapping.a_ops is shmem_aops:
                    shmem_page(k, mapping, index)
                else:
                    put_page(read_mapping_page(mapping, index, None))
                self._map(mapping, index, map_count, known, anonymous)
            if mapping is self.files["init"].f_mapping:
                mapping.host.i_size = max(mapping.host.i_size, mapping.nrpages << PAGE_SHIFT)
        self._map_vdso(rss[0] - mm.rss_stat[0] - task.rss_stat[0])
        for addr in self._anonymous_pages(anonymous, known, rss[1]):
            copy_to_user(k, addr, b"\0")
        for addr, walk in known.items():
            if walk["page"] is not None and "PG_reserved" in walk["page"]["flagnames"]:
                # The zero page: read, never written.
                copy_from_user(k, addr, 1)
        for vma in (next(iter(self.vmas.values())), *self.vmas.values()):
            # What was touched once keeps its page table.
            if mm.pgtables_bytes < state["pgtables_bytes"]:
                get_locked_pte(mm, vma.vm_start)
        lru_add_drain(k)
        found = [shared + cached for shared, cached in zip(mm.rss_stat, task.rss_stat, strict=True)]
        if found != rss or mm.pgtables_bytes != state["pgtables_bytes"]:
            raise RebuildError(
                f"resident pages (file, anonymous, swap, shmem) {found} and page tables of {mm.pgtables_bytes} bytes came out; "
                f"recorded were {rss} and {state['pgtables_bytes']}"
            )
        mm.rss_stat, task.rss_stat = list(state["rss"]), list(state["task_rss_cache"])
        task.min_flt = task.maj_flt = 0
        k.vm_committed_as += sum((v.vm_end - v.vm_start) >> PAGE_SHIFT for v in self.vmas.values() if v.vm_flags & VM_ACCOUNT)

    def _map(self, mapping: AddressSpace, index: int, count: int, known: dict[int, Json], anonymous: set[int]) -> None:
        """`count` entries for a cached page: in the VMAs over it, but where something else is known to be."""
        for vma in self.vmas.values():
            if count == 0:
                return
            if vma.vm_file is None or vma.vm_file.f_mapping is not mapping:
                continue
            addr = vma.vm_start + ((index - vma.vm_pgoff) << PAGE_SHIFT)
            if not vma.vm_start <= addr < vma.vm_end or addr in anonymous or (addr in known and known[addr]["page"] is None):
                continue
            page = find_get_page(mapping, index)
            assert page is not None
            prot = vma.vm_page_prot
            if addr in known:
                prot = _signed(int(known[addr]["levels"][-1]["entry"], 16)) & ~0x000FFFFFFFFFF000
            page_add_file_rmap(page, vma, addr)
            self.mm.rss_stat[MM_SHMEMPAGES if page.flags & PG_swapbacked else MM_FILEPAGES] += 1
            set_pte_at(self.mm, addr, get_locked_pte(self.mm, addr), mk_pte(page, prot))
            count -= 1
        if count:
            raise RebuildError(f"page {index} of {mapping.host!r} has {count} more mappings than there are places for it")

    def _map_vdso(self, count: int) -> None:
        """`count` pages of the vDSO, read once each."""
        for i in range(count):
            addr = self.mm.vdso + (i << PAGE_SHIFT)
            image = self.k.vdso_image_64
            assert image is not None
            vma = find_vma(self.mm, addr)
            assert vma is not None
            page = image.pages[i]
            page._refcount += 1
            page_add_file_rmap(page, vma, addr)
            self.mm.rss_stat[MM_FILEPAGES] += 1
            set_pte_at(self.mm, addr, get_locked_pte(self.mm, addr), mk_pte(page, vma.vm_page_prot))

    def _anonymous_pages(self, anonymous: set[int], known: dict[int, Json], count: int) -> list[int]:
        """Where to write so that there are `count` anonymous pages: known ones, copied file pages, heap and stack."""
        chosen = sorted(anonymous)
        candidates = [*self._candidates(private_file=True), *self._candidates(private_file=False)]
        for addr in candidates:
            if len(chosen) >= count:
                break
            if addr not in known:
                chosen.append(addr)
        return chosen

    def _candidates(self, private_file: bool) -> Iterator[int]:
        for vma in self.vmas.values():
            if (
                vma.anon_vma is None
                or (vma.vm_file is not None) != private_file
                or not vma.vm_flags & VM_WRITE
                or vma.vm_flags & VM_SHARED
            ):
                continue
            pages = range(vma.vm_start, vma.vm_end, PAGE_SIZE)
            for addr in reversed(pages) if vma.vm_flags & VM_GROWSDOWN else pages:
                if pte_none(self.k.words[get_locked_pte(self.mm, addr)]):
                    yield addr


def cached_pages(entry: Json | str | None) -> Iterator[tuple[int, int]]:
    """(index, map count) of every page of a recorded XArray."""
    if isinstance(entry, str):
        words = dict(word.split("=") for word in entry.split()[1:])
        yield int(words["idx"]), int(words["map"])
    elif entry is not None:
        for below in entry["slots"].values():
            yield from cached_pages(below)


def _signed(value: int) -> int:
    """A page-table entry as the model holds it: bit 63 is the sign."""
    return value - (1 << 64) if value >> 63 else value


def _link(node: RbNode, tree: Json, parent: RbNode | None, left: RbNode | None, right: RbNode | None) -> RbNode:
    node.rb_parent = parent
    node.rb_color = RB_RED if tree["color"] == "R" else RB_BLACK
    node.rb_left, node.rb_right = left, right
    return node
