# SPDX-License-Identifier: GPL-2.0-or-later
"""CONFIG_DEBUG_VM finds each kind of planted error, and names what disagrees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmscope.kernel.arch.x86.pgtable import pte_offset_map
from mmscope.kernel.core.fork import mm_alloc
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm import MM_ANONPAGES, VM_WRITE
from mmscope.kernel.include.mm_types import AnonVma
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_SHARED, PROT_NONE, PROT_READ
from mmscope.kernel.include.page_flags import PG_locked, PG_lru
from mmscope.kernel.mm.debug_vm import debug_vm_check, validate_vm
from mmscope.kernel.mm.interval_tree import anon_vma_interval_tree_remove, vma_interval_tree_remove
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.page_alloc import alloc_page, put_page
from tests.kernel.mm.faultlib import Box

ANON = 0x10000000
SHARED = 0x20000000


class Scene(Box):
    """A written page of private and one of shared anonymous memory, all pagevecs empty."""

    def __init__(self) -> None:
        super().__init__()
        self.mmap(0x4000, addr=ANON)
        self.mmap(0x4000, flags=MAP_SHARED | MAP_ANONYMOUS, addr=SHARED)
        self.store(ANON, 1)
        self.store(SHARED, 1)
        self.drain()

    def ptep(self, addr: int) -> int:
        table = self.mm.pgd
        for shift in (39, 30):
            table = self.k.words[(table >> 3) + ((addr >> shift) & 511)] & 0x000FFFFFFFFFF000
        return pte_offset_map(self.k, (table >> 3) + ((addr >> 21) & 511), addr)


def rss(s: Scene) -> None:
    s.mm.rss_stat[MM_ANONPAGES] += 1


def rss_cache(s: Scene) -> None:
    s.task.rss_stat[MM_ANONPAGES] -= 1


def pgtables_bytes(s: Scene) -> None:
    s.mm.pgtables_bytes += 4096


def total_vm(s: Scene) -> None:
    s.mm.total_vm -= 1


def locked_vm(s: Scene) -> None:
    s.mm.locked_vm += 1


def committed(s: Scene) -> None:
    s.k.vm_committed_as += 1


def mapcount(s: Scene) -> None:
    s.page(SHARED)._mapcount += 1


def refcount_leak(s: Scene) -> None:
    s.page(ANON)._refcount += 1


def refcount_low(s: Scene) -> None:
    s.page(SHARED)._refcount -= 1


def leaked_page(s: Scene) -> None:
    alloc_page(s.k, 0)


def locked_page(s: Scene) -> None:
    s.page(ANON).flags |= PG_locked


def free_but_mapped(s: Scene) -> None:
    page = s.page(ANON)
    page.flags &= ~PG_lru
    del s.k.lru.lists[page.lru_list][page.pfn]
    s.k.vmstat.stat[page.lru_list] -= 1
    page._refcount = 0


def not_on_lru(s: Scene) -> None:
    s.k.lru.lists[s.page(ANON).lru_list].clear()


def lru_flag(s: Scene) -> None:
    s.page(ANON).flags &= ~PG_lru


def lost_page(s: Scene) -> None:
    page = s.page(SHARED)
    page.flags &= ~PG_lru
    del s.k.lru.lists[page.lru_list][page.pfn]
    s.k.vmstat.stat[page.lru_list] -= 1


def nrpages(s: Scene) -> None:
    file = s.vma(SHARED).vm_file
    assert file is not None
    file.f_mapping.nrpages += 1


def cache_index(s: Scene) -> None:
    s.page(SHARED).index += 1


def anon_index(s: Scene) -> None:
    s.page(ANON).index += 1


def anon_mapping(s: Scene) -> None:
    s.page(ANON).mapping = AnonVma()


def anon_tree(s: Scene) -> None:
    avc = s.vma(ANON).anon_vma_chain[0]
    assert avc.anon_vma is not None
    anon_vma_interval_tree_remove(avc, avc.anon_vma.rb_root)


def i_mmap(s: Scene) -> None:
    vma = s.vma(SHARED)
    assert vma.vm_file is not None
    vma_interval_tree_remove(vma, vma.vm_file.f_mapping.i_mmap)


def pte_outside(s: Scene) -> None:
    s.k.words[s.ptep(ANON + 0x4000)] = s.k.words[s.ptep(ANON)]


def pte_writable(s: Scene) -> None:
    s.vma(ANON).vm_flags &= ~VM_WRITE
    s.mm.data_vm -= 4


def pte_file_writable_in_private(s: Scene) -> None:
    s.k.words[s.ptep(ANON)] = s.k.words[s.ptep(SHARED)]


def pte_executable(s: Scene) -> None:
    s.k.words[s.ptep(ANON)] &= 0x7FFFFFFFFFFFFFFF


def pte_protnone(s: Scene) -> None:
    do_mprotect_pkey(s.k, ANON, 0x4000, PROT_NONE)
    s.k.words[s.ptep(ANON)] = s.page(SHARED).pfn << 12 | 0x25


def pte_garbage(s: Scene) -> None:
    s.k.words[s.ptep(ANON + 0x1000)] = 0x1234000


def table_twice(s: Scene) -> None:
    s.k.words[(s.mm.pgd >> 3) + 5] = s.k.words[s.mm.pgd >> 3]


def table_refcount(s: Scene) -> None:
    s.k.mem_map[s.mm.pgd >> 12]._refcount += 1


def zone_counter(s: Scene) -> None:
    s.k.zone.nr_free += 1


def tlb_frame(s: Scene) -> None:
    s.load(ANON)
    s.k.words[s.ptep(ANON)] = 0
    page = s.k.mem_map[s.k.cpu.tlb[ANON >> 12] >> 12]
    page._mapcount -= 1
    s.task.rss_stat[MM_ANONPAGES] -= 1
    put_page(page)


def tlb_writable(s: Scene) -> None:
    s.store(SHARED, 2)
    cached = dict(s.k.cpu.tlb)
    do_mprotect_pkey(s.k, SHARED, 0x4000, PROT_READ)
    s.k.cpu.tlb.update(cached)


PLANTED: list[tuple[Callable[[Scene], None], str]] = [
    (rss, "MM_ANONPAGES"),
    (rss_cache, "MM_ANONPAGES"),
    (pgtables_bytes, "pgtables_bytes"),
    (total_vm, "total, data"),
    (locked_vm, "locked_vm"),
    (committed, "vm_committed_as"),
    (mapcount, "entries map it"),
    (refcount_leak, "hold references"),
    (refcount_low, "hold references"),
    (leaked_page, "hold references"),
    (locked_page, "left locked"),
    (free_but_mapped, "is free, and 1 entries"),
    (not_on_lru, "LRU inactive_anon holds 0"),
    (lru_flag, "PG_lru, and in the pagevec"),
    (lost_page, "PG_lru, and in the pagevec"),
    (nrpages, "nrpages"),
    (cache_index, "of index"),
    (anon_index, "of index"),
    (anon_mapping, "does not lead to this VMA"),
    (anon_tree, "those linked to it are"),
    (i_mmap, "all that map it are"),
    (pte_outside, "outside of VMAs"),
    (pte_writable, "is writable"),
    (pte_file_writable_in_private, "maps <Page"),
    (pte_executable, "NX"),
    (pte_protnone, "PROT_NONE"),
    (pte_garbage, "neither empty nor present"),
    (table_twice, "hangs in two places"),
    (table_refcount, "is a table of level 4"),
    (zone_counter, "zone counts"),
    (tlb_frame, "a flush is missing"),
    (tlb_writable, "a flush is missing"),
]


@pytest.mark.parametrize(("plant", "text"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_each_planted_error_is_found(plant: Callable[[Scene], None], text: str) -> None:
    scene = Scene()
    validate_vm(scene.k)
    plant(scene)
    with pytest.raises(KernelBug) as bug:
        validate_vm(scene.k)
    assert text in str(bug.value)


def test_a_fault_ends_in_a_check_when_one_is_due() -> None:
    scene = Scene()
    rss(scene)
    scene.k.debug_vm_events = len(scene.k.mem_map.pages)
    with pytest.raises(KernelBug, match="MM_ANONPAGES"):
        scene.store(ANON + 4096, 1)


def test_without_the_option_nothing_is_checked() -> None:
    scene = Scene()
    rss(scene)
    scene.k.config.CONFIG_DEBUG_VM = False
    for _ in range(1000):
        debug_vm_check(scene.k)


def test_an_address_space_that_no_task_has_is_not_looked_at() -> None:
    scene = Scene()
    mm = mm_alloc(scene.k)
    assert mm.pgtables_bytes == 0
    with pytest.raises(KernelBug, match="hold references"):
        validate_vm(scene.k)  # its PGD is a page that nothing explains: execve() has none when it returns
