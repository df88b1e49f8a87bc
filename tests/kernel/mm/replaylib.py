# SPDX-License-Identifier: GPL-2.0-or-later
"""Rebuilds a recorded address space as it was, runs the recorded operations on it, and describes the result as recorded.

The recordings are lines of JSON: see shared/truth/README.md. Trees are nested dicts {vma, color, gap, left, right}.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmscope.kernel.arch.x86.mmap import arch_pick_mmap_layout
from mmscope.kernel.arch.x86.pgtable import mk_pte, set_pte_at
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.timekeeping import timekeeping_init
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import FMODE_READ, FMODE_WRITE, O_RDWR, AddressSpace, File, FileOperations
from mmscope.kernel.include.gfp import GFP_HIGHUSER
from mmscope.kernel.include.mm import VM_ACCOUNT, VM_FAULT_LOCKED, VM_LOCKED_CLEAR_MASK, VM_SHARED
from mmscope.kernel.include.mm_types import (
    AnonVma,
    AnonVmaChain,
    AnonVmaChainRb,
    MmStruct,
    SharedRb,
    VmAreaStruct,
    VmFault,
    VmOperationsStruct,
    VmRb,
)
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_locked, PG_reserved, PG_swapbacked, PG_uptodate
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.lib.rbtree import RB_BLACK, RB_RED, RbNode, rb_first
from mmscope.kernel.mm.filemap import filemap_fault, filemap_map_pages, read_mapping_page, unlock_page
from mmscope.kernel.mm.interval_tree import vma_interval_tree_insert_after
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.memory import get_locked_pte
from mmscope.kernel.mm.mmap import (
    do_brk,
    do_munmap,
    find_vma,
    special_mapping_vmops,
    unlink_file_vma,
    validate_mm,
    vm_area_dup,
)
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from mmscope.kernel.mm.page_alloc import alloc_page, put_page
from mmscope.kernel.mm.rmap import anon_vma_fork, linear_page_index, page_add_file_rmap, unlink_anon_vmas
from mmscope.kernel.mm.shmem import shmem_add_to_page_cache
from mmscope.kernel.mm.swap import lru_cache_add
from mmscope.kernel.mm.util import vm_mmap_pgoff
from tests.kernel.bare import bare_file, bare_kernel, bare_mm

Json = dict[str, Any]


def page_mkwrite(vmf: VmFault) -> int:
    page = vmf.page
    assert page is not None
    page.flags |= 1
    return VM_FAULT_LOCKED


ext4_file_vm_ops = VmOperationsStruct(
    "ext4_file_vm_ops", fault=filemap_fault, map_pages=filemap_map_pages, page_mkwrite=page_mkwrite
)
shmem_vm_ops = VmOperationsStruct("shmem_vm_ops", fault=filemap_fault, map_pages=filemap_map_pages)
VM_OPS = {ops.ops_name: ops for ops in (ext4_file_vm_ops, shmem_vm_ops, special_mapping_vmops)}


def ext4_file_mmap(file: File, vma: VmAreaStruct) -> None:
    vma.vm_ops = ext4_file_vm_ops


def records(path: Path) -> Iterator[Json]:
    with lzma.open(path, "rt") as lines:
        for line in lines:
            yield json.loads(line)


class Replay:
    """An address space in the state of a recording's line 0."""

    def __init__(self, state: Json) -> None:
        self.k = k = bare_kernel(64 << 20)
        timekeeping_init(k)
        self.task = TaskStruct(k, 1, "init")
        k.current = self.task
        self.mm: MmStruct = bare_mm(k)
        self.task.mm = self.task.active_mm = self.mm
        self.files = {"init": bare_file(k, 256), "data": bare_file(k, 64)}
        data = self.files["data"]
        data.f_inode.i_sb.s_bdi_writeback = True
        data.f_mode = FMODE_READ | FMODE_WRITE
        data.f_flags = O_RDWR
        data.f_op = FileOperations("ext4_file_operations", mmap=ext4_file_mmap)
        #: VMAs of the forked child.
        self.child: list[VmAreaStruct] = []
        self.load(state)

    def load(self, state: Json) -> None:
        mm = self.mm
        arch_pick_mmap_layout(mm, self.task.signal.rlim[3], self.task)
        assert mm.mmap_base == int(state["mmap_base"], 16)
        for name in ("brk", "start_brk", "start_stack", "highest_vm_end", "task_size", "def_flags"):
            setattr(mm, name, int(state[name], 16))
        for name in ("map_count", "total_vm", "data_vm", "exec_vm", "stack_vm"):
            setattr(mm, name, state[name])
        self.vmas: dict[int, VmAreaStruct] = {}
        self.avcs: dict[str, AnonVmaChain] = {}
        anon_vmas: dict[str, AnonVma] = {}
        for record in state["anon_vmas"]:
            anon_vma = anon_vmas[record["id"]] = AnonVma()
            anon_vma.num_children = record["num_children"]
            anon_vma.num_active_vmas = record["num_active_vmas"]
            anon_vma.degree = anon_vma.num_children + anon_vma.num_active_vmas
        prev: VmAreaStruct | None = None
        for record in state["mmap"]:
            vma = VmAreaStruct(mm)
            vma.vm_start, vma.vm_end = int(record["start"], 16), int(record["end"], 16)
            vma.vm_pgoff = int(record["pgoff"], 16)
            vma.vm_flags = int(record["flags_raw"], 16)
            vma.vm_page_prot = int.from_bytes(int(record["prot"], 16).to_bytes(8, "little"), "little", signed=True)
            vma.rb_subtree_gap = int(record["subtree_gap"], 16)
            vma.vm_ops = VM_OPS[record["vm_ops"]] if "vm_ops" in record else None
            if record["file"]:
                vma.vm_file = self.files[record["file"]]
                vma.vm_file.f_count += 1
            if record["anon_vma"]:
                vma.anon_vma = anon_vmas[record["anon_vma"]]
            vma.vm_prev = prev
            if prev is None:
                mm.mmap = vma
            else:
                prev.vm_next = vma
            prev = vma
            self.vmas[vma.vm_start] = vma
        for record in state["mmap"]:
            vma = self.vmas[int(record["start"], 16)]
            for link in record["avc"]:
                avc = AnonVmaChain()
                avc.vma, avc.anon_vma = vma, anon_vmas[link["anon_vma"]]
                vma.anon_vma_chain.append(avc)
                self.avcs[link["id"]] = avc
        for record in state["anon_vmas"]:
            rb_root = anon_vmas[record["id"]].rb_root
            rb_root.rb_root.rb_node = self.link_anon_rb(record["rb"], None)
            rb_root.rb_leftmost = rb_first(rb_root.rb_root)
        mm.mm_rb.rb_node = self.link_mm_rb(state["mm_rb"], None)
        for mapping in state["mappings"].values():
            i_mmap = self.files["init"].f_mapping.i_mmap
            i_mmap.rb_root.rb_node = self.link_i_mmap(mapping["i_mmap"], None)
            i_mmap.rb_leftmost = rb_first(i_mmap.rb_root)
        self.files["init"].f_inode.i_writecount = -5
        validate_mm(mm)
        accounted = [vma for vma in self.vmas.values() if vma.vm_flags & VM_ACCOUNT]
        self.k.vm_committed_as = sum(vma.vm_end - vma.vm_start for vma in accounted) // PAGE_SIZE
        self.load_pages(state)

    def load_pages(self, state: Json) -> None:
        """Page tables and resident pages. The recording has their numbers only: which pages they are is made up here."""
        mm, k = self.mm, self.k
        for addr in (0x400000, 0x7FFFF7FF9000, 0x7FFFFFFDE000):
            assert get_locked_pte(mm, addr)
        assert mm.pgtables_bytes == state["pgtables_bytes"]
        nr_file, nr_anon, _, nr_shmem = (a + b for a, b in zip(state["rss"], state["task_rss_cache"], strict=True))
        for i in range(nr_file):
            self.map_page(0x7FFFF7FFD000 + i * PAGE_SIZE, None)
        for i in range(nr_shmem):
            self.map_page(0x400000 + i * PAGE_SIZE, self.files["init"].f_mapping)
        for i in range(nr_anon):
            copy_to_user(k, 0x4AA000 + i * PAGE_SIZE, b"x")
        self.task.rss_stat = [0] * len(state["rss"])
        mm.rss_stat = list(state["rss"])
        for i, cached in enumerate(state["task_rss_cache"]):
            self.task.rss_stat[i] = cached
        # The file was written before: its pages are cached.
        data = self.files["data"].f_mapping
        for i in range(64):
            put_page(read_mapping_page(data, i, None))

    def map_page(self, addr: int, mapping: AddressSpace | None) -> None:
        """A page of the vdso, or of tmpfs, at `addr`, for reading."""
        vma = find_vma(self.mm, addr)
        page = alloc_page(self.k, GFP_HIGHUSER)
        assert vma is not None
        assert page is not None
        if mapping is not None:
            page.flags |= PG_locked | PG_swapbacked | PG_uptodate
            shmem_add_to_page_cache(page, mapping, linear_page_index(vma, addr))
            lru_cache_add(page)
            unlock_page(page)
        else:
            page.flags |= PG_reserved
            page._refcount += 1
        page_add_file_rmap(page, vma, addr)
        set_pte_at(self.mm, addr, get_locked_pte(self.mm, addr), mk_pte(page, vma.vm_page_prot))

    def link(self, node: RbNode, tree: Json, parent: RbNode | None) -> None:
        node.rb_parent = parent
        node.rb_color = RB_RED if tree["color"] == "R" else RB_BLACK

    def link_mm_rb(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        node = self.vmas[int(tree["vma"], 16)].vm_rb
        self.link(node, tree, parent)
        node.rb_left = self.link_mm_rb(tree["left"], node)
        node.rb_right = self.link_mm_rb(tree["right"], node)
        return node

    def link_i_mmap(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        vma = self.vmas[int(tree["vma"].split(":")[1], 16)]
        vma.shared_rb_subtree_last = tree["subtree_last"]
        self.link(vma.shared_rb, tree, parent)
        vma.shared_rb.rb_left = self.link_i_mmap(tree["left"], vma.shared_rb)
        vma.shared_rb.rb_right = self.link_i_mmap(tree["right"], vma.shared_rb)
        return vma.shared_rb

    def link_anon_rb(self, tree: Json | None, parent: RbNode | None) -> RbNode | None:
        if tree is None:
            return None
        avc = self.avcs[tree["avc"]]
        avc.rb_subtree_last = int(tree["subtree_last"], 16)
        self.link(avc.rb, tree, parent)
        avc.rb.rb_left = self.link_anon_rb(tree["left"], avc.rb)
        avc.rb.rb_right = self.link_anon_rb(tree["right"], avc.rb)
        return avc.rb

    def run(self, op: str) -> tuple[int, int] | None:
        """Do a recorded operation; (result, errno). The forked child, if any, is killed before the next one."""
        name = op.split()[0]
        self.reap()
        args = {key: int(value, 0) for key, value in re.findall(r"(\w+)=(-?\w+)", op)}
        if name == "fork":
            self.fork()
            return None
        try:
            return self.call(name, args), 0
        except KernelError as e:
            return -1, e.args[0]

    def fork(self) -> None:
        """What dup_mmap() does to the file's and the anon_vmas' trees, which parent and child share."""
        child = MmStruct(self.k)
        vma = self.mm.mmap
        while vma is not None:
            tmp = vm_area_dup(vma)
            tmp.vm_mm = child
            tmp.vm_flags &= VM_LOCKED_CLEAR_MASK
            anon_vma_fork(tmp, vma)
            if tmp.vm_file is not None:
                mapping = tmp.vm_file.f_mapping
                if tmp.vm_flags & VM_SHARED:
                    mapping.i_mmap_writable += 1
                vma_interval_tree_insert_after(tmp, vma, mapping.i_mmap)
            self.child.append(tmp)
            vma = vma.vm_next

    def reap(self) -> None:
        """The child's exit: free_pgtables() unlinks its VMAs one by one."""
        for vma in self.child:
            unlink_anon_vmas(vma)
            unlink_file_vma(vma)
        self.child = []

    def call(self, name: str, a: dict[str, int]) -> int:
        k, mm = self.k, self.mm
        match name:
            case "mmap":
                file = self.files["data"] if a["fd"] == 3 else None
                return vm_mmap_pgoff(k, file, a["addr"], a["len"], a["prot"], a["flags"], a["off"] >> 12)
            case "munmap":
                do_munmap(mm, a["addr"], a["len"])
            case "mprotect":
                do_mprotect_pkey(k, a["addr"], a["len"], a["prot"])
            case "mremap":
                return do_mremap(k, a["addr"], a["old"], a["new"], a["flags"], 0)
            case "brk":
                return do_brk(k, a["addr"])
            case "madvise":
                do_madvise(k, a["addr"], a["len"], a["adv"])
            case "touch":
                if a["write"]:
                    copy_to_user(k, a["addr"], b"x")
                else:
                    copy_from_user(k, a["addr"], 1)
                return 1
            case _:
                raise AssertionError(name)
        return 0

    def describe(self) -> Json:
        """The state, in the recording's words (what is compared of it)."""
        mm = self.mm
        mmap = []
        vma = mm.mmap
        while vma is not None:
            record: Json = {
                "start": hex(vma.vm_start), "end": hex(vma.vm_end), "pgoff": hex(vma.vm_pgoff), "flags_raw": hex(vma.vm_flags),
                "prot": hex(vma.vm_page_prot & 0xFFFFFFFFFFFFFFFF), "subtree_gap": hex(vma.rb_subtree_gap),
                "anon_vma": vma.anon_vma, "avc": [avc.anon_vma for avc in vma.anon_vma_chain],
            }  # fmt: skip
            if vma.vm_ops is not None:
                record["vm_ops"] = vma.vm_ops.ops_name
            mmap.append(record)
            vma = vma.vm_next
        return {
            "mmap": with_names(mmap), "mm_rb": mm_rb(mm.mm_rb.rb_node), "highest_vm_end": hex(mm.highest_vm_end),
            "map_count": mm.map_count, "total_vm": mm.total_vm, "data_vm": mm.data_vm, "exec_vm": mm.exec_vm,
            "stack_vm": mm.stack_vm, "brk": hex(mm.brk), "anon_vmas": anon_vma_trees(mm),
            "data_i_mmap": i_mmap(self.files["data"].f_mapping.i_mmap.rb_root.rb_node),
            "rss": [a + b for a, b in zip(mm.rss_stat, self.task.rss_stat, strict=True)], "pgtables_bytes": mm.pgtables_bytes,
        }  # fmt: skip


def with_names(mmap: list[Json]) -> list[Json]:
    """Name the anon_vmas of a VMA list in order of appearance."""
    names: dict[Any, str] = {}

    def name(anon_vma: Any) -> str | None:
        return None if anon_vma is None else names.setdefault(anon_vma, f"AV{len(names)}")

    return [{**vma, "anon_vma": name(vma["anon_vma"]), "avc": [name(a) for a in vma["avc"]]} for vma in mmap]


def color(node: RbNode) -> str:
    return "B" if node.rb_color == RB_BLACK else "R"


def mm_rb(node: RbNode | None) -> Json | None:
    if node is None:
        return None
    assert isinstance(node, VmRb)
    return {
        "vma": hex(node.vma.vm_start), "color": color(node), "gap": hex(node.vma.rb_subtree_gap),
        "left": mm_rb(node.rb_left), "right": mm_rb(node.rb_right),
    }  # fmt: skip


def i_mmap(node: RbNode | None) -> Json | None:
    if node is None:
        return None
    assert isinstance(node, SharedRb)
    return {
        "vma": hex(node.vma.vm_start), "color": color(node), "subtree_last": node.vma.shared_rb_subtree_last,
        "left": i_mmap(node.rb_left), "right": i_mmap(node.rb_right),
    }  # fmt: skip


def anon_vma_trees(mm: MmStruct) -> list[Json]:
    """The interval trees of all anon_vmas that the VMAs link to, in the order of the list."""
    seen: list[AnonVma] = []
    vma = mm.mmap
    while vma is not None:
        for avc in vma.anon_vma_chain:
            assert avc.anon_vma is not None
            if avc.anon_vma not in seen:
                seen.append(avc.anon_vma)
        vma = vma.vm_next
    return [{"degree": a.degree, "rb": anon_rb(a.rb_root.rb_root.rb_node)} for a in seen]


def anon_rb(node: RbNode | None) -> Json | None:
    if node is None:
        return None
    assert isinstance(node, AnonVmaChainRb)
    assert node.avc.vma is not None
    return {
        "vma": hex(node.avc.vma.vm_start), "color": color(node), "subtree_last": hex(node.avc.rb_subtree_last),
        "left": anon_rb(node.rb_left), "right": anon_rb(node.rb_right),
    }  # fmt: skip


def expected(state: Json) -> Json:
    """What describe() should say, from a recorded state."""
    mmap = []
    data = None
    for vma in state["mmap"]:
        record = {key: vma[key] for key in ("start", "end", "pgoff", "flags_raw", "prot", "subtree_gap", "anon_vma")}
        record["avc"] = [avc["anon_vma"] for avc in vma["avc"]]
        if "vm_ops" in vma:
            record["vm_ops"] = vma["vm_ops"]
        mmap.append(record)
        if vma["file"] == "data":
            data = state["mappings"][vma["mapping"]]["i_mmap"]
    anon_vmas = [{"degree": a["num_children"] + a["num_active_vmas"], "rb": recorded_tree(a["rb"])} for a in state["anon_vmas"]]
    keys = ("mm_rb", "highest_vm_end", "map_count", "total_vm", "data_vm", "exec_vm", "stack_vm", "brk", "pgtables_bytes")
    rss = [a + b for a, b in zip(state["rss"], state["task_rss_cache"], strict=True)]
    same = {key: state[key] for key in keys}
    return {"mmap": with_names(mmap), "data_i_mmap": recorded_tree(data), "anon_vmas": anon_vmas, "rss": rss, **same}


def recorded_tree(tree: Json | None) -> Json | None:
    if tree is None:
        return None
    return {
        "vma": tree["vma"].split(":")[1], "color": tree["color"], "subtree_last": tree["subtree_last"],
        "left": recorded_tree(tree["left"]), "right": recorded_tree(tree["right"]),
    }  # fmt: skip


def recorded_result(op: str) -> tuple[int, int] | None:
    """(result, errno) of a recorded operation's line; brk has no errno, fork and its like are None."""
    ret = re.search(r"ret=(-?\w+)", op)
    if ret is None:
        return None
    value = int(ret.group(1), 0)
    errno = re.search(r"errno=(\d+)", op)
    if value in (-1, 2**64 - 1):
        assert errno is not None
        return -1, int(errno.group(1))
    return value, 0
