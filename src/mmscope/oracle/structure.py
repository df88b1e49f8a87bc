# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's structures of an address space as JSON, in the shape of the recordings made on Linux 5.10.

Objects have names that are stable within one Snapshot: AV0 (anon_vma), AVC0, MAP0 (address_space), MM0, numbered in the
order in which the recorder met them: VMA list, then anon_vma trees, then mappings, then page walks. A tree is a nested dict
with "left" and "right". What a host kernel has and the model has not (addresses of objects) is null.

`facts()` turns such a state, recorded or modelled, into flat readable lines; `difference()` compares two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mmscope.kernel.arch.x86.pgtable import PTE_PFN_MASK
from mmscope.kernel.include.fs import AddressSpace
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import AnonVma, AnonVmaChainRb, MmStruct, Page, SharedRb, VmAreaStruct, VmRb
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PAGEFLAG_NAMES
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.lib.rbtree import RB_BLACK, RbNode
from mmscope.kernel.lib.xarray import XaNode, XArray
from mmscope.kernel.mm.interval_tree import vma_last_pgoff

__all__ = ["Json", "Snapshot", "compact", "difference", "facts"]

Json = dict[str, Any]

_U64 = 0xFFFFFFFFFFFFFFFF

#: Bits of a page-table entry, as the recordings name them.
PTE_BITS = (
    (0, "P"), (1, "RW"), (2, "US"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS/PAT"), (8, "G"), (9, "SW1(special)"),
    (10, "SW2(uffd_wp)"), (11, "SOFT_DIRTY"), (63, "NX"),
)  # fmt: skip
#: vm_flags likewise.
VM_BITS = (
    (0, "READ"), (1, "WRITE"), (2, "EXEC"), (3, "SHARED"), (4, "MAYREAD"), (5, "MAYWRITE"), (6, "MAYEXEC"), (7, "MAYSHARE"),
    (8, "GROWSDOWN"), (10, "PFNMAP"), (11, "DENYWRITE"), (13, "LOCKED"), (14, "IO"), (17, "DONTCOPY"), (18, "DONTEXPAND"),
    (20, "ACCOUNT"), (21, "NORESERVE"), (27, "SOFTDIRTY"), (28, "MIXEDMAP"), (29, "HUGEPAGE"), (30, "NOHUGEPAGE"),
)  # fmt: skip
#: The four levels of a walk: name, and the lowest address bit of its index.
LEVELS = (("pgd", 39), ("pud", 30), ("pmd", 21), ("pte", 12))

#: xa_flags of a page cache: XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT; mark n is bit 23 + n.
XA_FLAGS_PAGE_CACHE = 0x21
XA_MARK_SHIFT = 23


def names_of(value: int, bits: Iterable[tuple[int, str]]) -> str:
    """The names of the bits that are set."""
    return "|".join(name for bit, name in bits if value >> bit & 1)


def color(node: RbNode) -> str:
    """B or R."""
    return "B" if node.rb_color == RB_BLACK else "R"


class Snapshot:
    """One look at some address spaces: objects that they share have one name."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        #: Object -> its name; and how many of each kind there are.
        self.ids: dict[object, str] = {}
        self.counts: dict[str, int] = {}

    def id(self, kind: str, obj: object) -> str | None:
        """The object's name, given at first sight."""
        if obj is None:
            return None
        name = self.ids.get(obj)
        if name is None:
            number = self.counts.get(kind, 0)
            self.counts[kind] = number + 1
            name = self.ids[obj] = f"{kind}{number}"
        return name

    def vma_id(self, vma: VmAreaStruct) -> str:
        """MM0:0x400000."""
        return f"{self.id('MM', vma.vm_mm)}:{vma.vm_start:#x}"

    def mm(self, task: TaskStruct, addrs: Iterable[int] = (), xarrays: bool = True) -> Json:
        """The task's address space: counters, VMA list, tree, reverse maps, files, and the walk of each of `addrs`."""
        mm = task.mm
        assert mm is not None
        state: Json = {
            "id": self.id("MM", mm), "pid": task.pid, "comm": task.comm, "mmap_base": hex(mm.mmap_base),
            "task_size": hex(mm.task_size), "highest_vm_end": hex(mm.highest_vm_end), "map_count": mm.map_count,
            "total_vm": mm.total_vm, "data_vm": mm.data_vm, "exec_vm": mm.exec_vm, "stack_vm": mm.stack_vm,
            "pgtables_bytes": mm.pgtables_bytes, "mm_users": mm.mm_users, "mm_count": mm.mm_count, "brk": hex(mm.brk),
            "start_brk": hex(mm.start_brk), "start_stack": hex(mm.start_stack), "pgd": None, "def_flags": hex(mm.def_flags),
            "rss": list(mm.rss_stat), "task_rss_cache": list(task.rss_stat),
        }  # fmt: skip
        anon_vmas: dict[AnonVma, None] = {}
        mappings: dict[AddressSpace, None] = {}
        vmas = []
        vma = mm.mmap
        while vma is not None:
            vmas.append(self.vma(vma))
            for avc in vma.anon_vma_chain:
                assert avc.anon_vma is not None
                anon_vmas[avc.anon_vma] = None
            if vma.vm_file is not None:
                mappings[vma.vm_file.f_mapping] = None
            vma = vma.vm_next
        state["mmap"] = vmas
        state["mm_rb"] = self.mm_rb(mm.mm_rb.rb_node)
        state["anon_vmas"] = [self.anon_vma(anon_vma) for anon_vma in anon_vmas]
        state["mappings"] = {self.id("MAP", mapping): self.mapping(mapping, xarrays) for mapping in mappings}
        state["pt"] = {hex(addr): self.walk(mm, addr) for addr in addrs}
        return state

    def vma(self, vma: VmAreaStruct) -> Json:
        """One VMA of the list."""
        record: Json = {
            "start": hex(vma.vm_start), "end": hex(vma.vm_end), "pgoff": hex(vma.vm_pgoff),
            "flags": names_of(vma.vm_flags, VM_BITS), "flags_raw": hex(vma.vm_flags), "prot": hex(vma.vm_page_prot & _U64),
            "subtree_gap": hex(vma.rb_subtree_gap), "anon_vma": self.id("AV", vma.anon_vma),
            "avc": [{"id": self.id("AVC", avc), "anon_vma": self.id("AV", avc.anon_vma)} for avc in vma.anon_vma_chain],
            "file": None,
        }  # fmt: skip
        if vma.vm_file is not None:
            record["file"] = vma.vm_file.f_dentry.d_name
            record["mapping"] = self.id("MAP", vma.vm_file.f_mapping)
        if vma.vm_ops is not None:
            record["vm_ops"] = vma.vm_ops.ops_name
        return record

    def mm_rb(self, node: RbNode | None) -> Json | None:
        """The tree of VMAs."""
        if node is None:
            return None
        assert isinstance(node, VmRb)
        return {
            "vma": hex(node.vma.vm_start), "color": color(node), "gap": hex(node.vma.rb_subtree_gap),
            "left": self.mm_rb(node.rb_left), "right": self.mm_rb(node.rb_right),
        }  # fmt: skip

    def anon_vma(self, anon_vma: AnonVma) -> Json:
        """An anon_vma with its interval tree. 5.10.218 counts children and VMAs apart, v5.11 has their sum in `degree`."""
        record: Json = {
            "id": self.id("AV", anon_vma), "root": self.id("AV", anon_vma.root), "parent": self.id("AV", anon_vma.parent),
            "num_children": anon_vma.num_children, "num_active_vmas": anon_vma.num_active_vmas, "refcount": anon_vma.refcount,
        }  # fmt: skip
        record["rb"] = self.avc_tree(anon_vma.rb_root.rb_root.rb_node)
        leftmost = anon_vma.rb_root.rb_leftmost
        assert leftmost is None or isinstance(leftmost, AnonVmaChainRb)
        record["leftmost"] = None if leftmost is None else self.id("AVC", leftmost.avc)
        return record

    def avc_tree(self, node: RbNode | None) -> Json | None:
        """The interval tree of an anon_vma."""
        if node is None:
            return None
        assert isinstance(node, AnonVmaChainRb)
        avc = node.avc
        assert avc.vma is not None
        return {
            "avc": self.id("AVC", avc), "vma": self.vma_id(avc.vma), "color": color(node),
            "subtree_last": hex(avc.rb_subtree_last), "left": self.avc_tree(node.rb_left), "right": self.avc_tree(node.rb_right),
        }  # fmt: skip

    def mapping(self, mapping: AddressSpace, xarray: bool = True) -> Json:
        """A file's address_space. With `xarray` its page cache, node by node."""
        record: Json = {
            "id": self.id("MAP", mapping), "nrpages": mapping.nrpages, "i_mmap_writable": mapping.i_mmap_writable,
            "i_mmap": self.i_mmap(mapping.i_mmap.rb_root.rb_node),
        }  # fmt: skip
        if xarray:
            record["i_pages"] = self.xarray(mapping.i_pages)
        return record

    def i_mmap(self, node: RbNode | None) -> Json | None:
        """The interval tree of the VMAs that map a file."""
        if node is None:
            return None
        assert isinstance(node, SharedRb)
        vma = node.vma
        return {
            "vma": self.vma_id(vma), "pgoff": vma.vm_pgoff, "last": vma_last_pgoff(vma), "color": color(node),
            "subtree_last": vma.shared_rb_subtree_last, "left": self.i_mmap(node.rb_left), "right": self.i_mmap(node.rb_right),
        }  # fmt: skip

    def xarray(self, xa: XArray) -> Json:
        """A page cache: its nodes with counts and marks ("tags"), its pages with references and map counts."""
        flags = XA_FLAGS_PAGE_CACHE
        for mark, marked in enumerate(xa.xa_marks):
            flags |= int(marked) << (XA_MARK_SHIFT + mark)
        return {"xa_flags": hex(flags), "head": self.xa_entry(xa.xa_head)}

    def xa_entry(self, entry: object) -> Json | str | None:
        """A node or a page."""
        if entry is None:
            return None
        if isinstance(entry, XaNode):
            slots = {str(i): self.xa_entry(slot) for i, slot in enumerate(entry.slots) if slot is not None}
            return {
                "shift": entry.shift, "offset": entry.offset, "count": entry.count, "nr_values": 0,
                "tags": [hex(mark) for mark in entry.marks], "slots": slots,
            }  # fmt: skip
        assert isinstance(entry, Page)
        return f"page idx={entry.index} pfn={entry.pfn:#x} ref={entry._refcount} map={entry._mapcount + 1}"

    def walk(self, mm: MmStruct, addr: int) -> Json:
        """The walk from the PGD as far as entries are present, and the page that it ends at."""
        levels: list[Json] = []
        table = mm.pgd
        for name, shift in LEVELS:
            index = addr >> shift & 511
            entry = self.k.words[(table >> 3) + index]
            levels.append({"level": name, "index": index, "entry": hex(entry & _U64), "flags": names_of(entry, PTE_BITS)})
            if not entry & 1:
                return {"levels": levels, "page": None}
            table = entry & PTE_PFN_MASK
        return {"levels": levels, "page": self.page(self.k.mem_map[table >> 12])}

    def page(self, page: Page) -> Json:
        """A struct page. The recordings' upper flag bits (zone, node) are not in the model."""
        anon = page.mapping_tag & PAGE_MAPPING_ANON
        names = "|".join(name for bit, name in enumerate(PAGEFLAG_NAMES) if page.flags >> bit & 1)
        return {
            "pfn": hex(page.pfn), "flags": hex(page.flags), "flagnames": names, "refcount": page._refcount,
            "mapcount_raw": page._mapcount, "mapping": None, "mapping_anon_bit": anon,
            "mapping_obj": self.id("AV" if anon else "MAP", page.mapping), "index": hex(page.index),
        }  # fmt: skip


def compact(tree: Json | None) -> str:
    """A tree on one line: (left 0x400000B right)."""
    if tree is None:
        return "-"
    return f"({compact(tree['left'])} {tree['vma']}{tree['color']} {compact(tree['right'])})"


#: mm fields that two kernels can have alike. mm_count counts lazy users too (kernel threads), pgd and pid are arbitrary.
MM_FIELDS = (
    "mmap_base", "task_size", "highest_vm_end", "map_count", "total_vm", "data_vm", "exec_vm", "stack_vm", "pgtables_bytes",
    "mm_users", "brk", "start_brk", "start_stack", "def_flags",
)  # fmt: skip
RSS_NAMES = ("file", "anon", "swap", "shmem")

_PFN = re.compile(r" pfn=0x[0-9a-f]+")


def facts(state: Json, pages: bool = False) -> dict[str, str]:
    """A state as readable facts, what -> value. `pages`: references and map counts of cached pages too."""
    out = {f"mm->{name}": str(state[name]) for name in MM_FIELDS}
    for name, shared, cached in zip(RSS_NAMES, state["rss"], state["task_rss_cache"], strict=True):
        out[f"rss {name}"] = f"{shared} in mm, {cached} in the task's cache"
    for vma in state["mmap"]:
        chain = " ".join(f"{avc['id']}:{avc['anon_vma']}" for avc in vma["avc"])
        out[f"vma {vma['start']}"] = (
            f"end {vma['end']} pgoff {vma['pgoff']} flags {vma['flags_raw']} ({vma['flags']}) prot {vma['prot']} "
            f"subtree_gap {vma['subtree_gap']} anon_vma {vma['anon_vma'] or '-'} chain [{chain}] "
            f"file {vma['file'] or '-'} {vma.get('mapping', '-')} vm_ops {vma.get('vm_ops', '-')}"
        )
    _tree_facts(out, "mm_rb", state["mm_rb"], ("gap",))
    for anon_vma in state["anon_vmas"]:
        name = anon_vma["id"]
        out[f"anon_vma {name}"] = (
            f"root {anon_vma['root']} parent {anon_vma['parent']} num_children {anon_vma['num_children']} "
            f"num_active_vmas {anon_vma['num_active_vmas']} refcount {anon_vma['refcount']} leftmost {anon_vma['leftmost']}"
        )
        _tree_facts(out, f"anon_vma {name} rb_root", anon_vma["rb"], ("avc", "subtree_last"))
    for name, mapping in state["mappings"].items():
        out[f"mapping {name}"] = f"nrpages {mapping['nrpages']} i_mmap_writable {mapping['i_mmap_writable']}"
        _tree_facts(out, f"mapping {name} i_mmap", mapping["i_mmap"], ("pgoff", "last", "subtree_last"))
        if "i_pages" in mapping:
            out[f"mapping {name} xa_flags"] = mapping["i_pages"]["xa_flags"]
            _xarray_facts(out, f"mapping {name} xa", mapping["i_pages"]["head"], pages)
    return out


def _tree_facts(out: dict[str, str], path: str, tree: Json | None, values: tuple[str, ...]) -> None:
    """One line a node; the path says how it is reached: `mm_rb.LR`."""
    if tree is None:
        return
    _node_facts(out, f"{path} root", tree, values)


def _node_facts(out: dict[str, str], path: str, tree: Json, values: tuple[str, ...]) -> None:
    out[path] = f"{tree['vma']} {tree['color']} " + " ".join(f"{value} {tree[value]}" for value in values)
    for side in ("left", "right"):
        if tree[side] is not None:
            _node_facts(out, f"{path}->{side}", tree[side], values)


def _xarray_facts(out: dict[str, str], path: str, entry: Json | str | None, pages: bool) -> None:
    if entry is None:
        return
    if isinstance(entry, str):
        text = _PFN.sub("", entry)
        out[path] = text if pages else text.split(" ref=")[0]
        return
    out[path] = f"node shift {entry['shift']} offset {entry['offset']} count {entry['count']} tags {' '.join(entry['tags'])}"
    for slot, below in entry["slots"].items():
        _xarray_facts(out, f"{path}[{slot}]", below, pages)


def difference(expected: dict[str, str], actual: dict[str, str]) -> list[str]:
    """What is not alike, in the expected state's order: `- what: value` of the kernel, `+ what: value` of the model."""
    lines = []
    for what, value in expected.items():
        got = actual.get(what)
        if got != value:
            lines.append(f"- {what}: {value}")
            if got is not None:
                lines.append(f"+ {what}: {got}")
    lines.extend(f"+ {what}: {value}" for what, value in actual.items() if what not in expected)
    return lines
