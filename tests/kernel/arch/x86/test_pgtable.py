# SPDX-License-Identifier: GPL-2.0-or-later
"""arch/x86/pgtable.py: entries as the recorded kernel had them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.pgtable import (
    _PAGE_ACCESSED,
    _PAGE_DIRTY,
    _PAGE_NX,
    _PAGE_PROTNONE,
    _PAGE_RW,
    PAGE_COPY,
    PAGE_NONE,
    PAGE_READONLY,
    PAGE_SHARED,
    clear_ptes,
    copy_ptes,
    get_ptes,
    pfn_pte,
    pgd_free,
    pgd_index,
    pmd_bad,
    pmd_index,
    protection_map,
    pte_dirty,
    pte_index,
    pte_mkdirty,
    pte_mkspecial,
    pte_mkwrite,
    pte_mkyoung,
    pte_modify,
    pte_none,
    pte_pfn,
    pte_present,
    pte_protnone,
    pte_special,
    pte_write,
    pud_index,
    set_pte_at,
    set_ptes,
    vm_get_page_prot,
)
from mmscope.kernel.include.mm import VM_EXEC, VM_MAYWRITE, VM_READ, VM_SHARED, VM_WRITE
from mmscope.kernel.include.page_flags import PAGE_TABLE_MAPCOUNT_VALUE
from mmscope.kernel.mm.page_alloc import nr_free_pages, totalram_pages
from mmscope.kernel.mm.vmstat import NR_PAGETABLE
from tests.kernel.arch.x86.test_cpu import walk_alloc
from tests.kernel.bare import bare_kernel, bare_mm


def signed(text: str) -> int:
    value = int(text, 16)
    return value - (1 << 64) if value >> 63 else value


def test_the_decks_address() -> None:
    addr = 0x7FFFF7FF9000
    assert [pgd_index(addr), pud_index(addr), pmd_index(addr), pte_index(addr)] == [255, 511, 447, 505]


def test_protection_map() -> None:
    assert vm_get_page_prot(VM_READ | VM_MAYWRITE) == signed("0x8000000000000025")
    assert vm_get_page_prot(VM_READ | VM_WRITE) == signed("0x8000000000000025")
    assert vm_get_page_prot(VM_READ | VM_WRITE | VM_SHARED) == signed("0x8000000000000027")
    assert vm_get_page_prot(VM_READ | VM_EXEC) == 0x25
    assert vm_get_page_prot(0) == vm_get_page_prot(VM_SHARED) == 0x120


@pytest.mark.parametrize("snapshot", ["prefork", "postfork", "parentcow"])
def test_recorded_vm_page_prot(snapshot: str, data: Path) -> None:
    """With the one exception that vma_set_page_prot() makes: shared, writable, to be notified of writes."""
    for mm in json.loads((data / "5.10/snapshots" / f"{snapshot}.json").read_text()):
        for vma in mm["mmap"]:
            flags = int(vma["flags_raw"], 16)
            prot = vm_get_page_prot(flags)
            assert signed(vma["prot"]) in (prot, vm_get_page_prot(flags & ~VM_SHARED))


@pytest.mark.parametrize("snapshot", ["prefork", "postfork", "parentcow"])
def test_recorded_entries(snapshot: str, data: Path) -> None:
    """What the makers build from pfn and permission is what the recorded kernel had in its tables."""
    seen = 0
    for mm in json.loads((data / "5.10/snapshots" / f"{snapshot}.json").read_text()):
        for address, walk in mm["pt"].items():
            addr = int(address, 16)
            index = {"pgd": pgd_index(addr), "pud": pud_index(addr), "pmd": pmd_index(addr), "pte": pte_index(addr)}
            for level in walk["levels"]:
                entry = signed(level["entry"])
                assert level["index"] == index[level["level"]]
                if level["level"] != "pte":
                    assert entry == 0 or (entry & 0xFFF == 0x067 and not pmd_bad(entry))
                    continue
                if entry == 0:
                    assert pte_none(entry)
                    continue
                assert pte_present(entry)
                if walk["page"] is not None:
                    assert pte_pfn(entry) == int(walk["page"]["pfn"], 16)
                if "SOFT_DIRTY" in level["flags"]:
                    made = pte_mkdirty(pfn_pte(pte_pfn(entry), PAGE_COPY))
                    assert pte_mkyoung(entry) in (made, pte_mkwrite(made)), "fork copies entries without A"
                elif pte_special(entry):
                    assert entry in (pte_mkspecial(pfn_pte(pte_pfn(entry), prot)) for prot in protection_map)
                seen += 1
    assert seen


def test_prot_none_entries_hide_their_pfn() -> None:
    """L1TF: what a processor could speculate on is no frame of RAM."""
    pte = pte_modify(pfn_pte(0x1234, PAGE_SHARED), PAGE_NONE)
    assert pte_present(pte)
    assert pte_protnone(pte)
    assert pte & 0x000FFFFFFFFFF000 == ~(0x1234 << 12) & 0x000FFFFFFFFFF000
    assert pte_pfn(pte) == 0x1234
    assert pte_modify(pte, PAGE_READONLY) == pfn_pte(0x1234, PAGE_READONLY)


@given(st.integers(0, (1 << 34) - 1), st.lists(st.sampled_from(protection_map), min_size=1, max_size=5))
def test_pte_modify_keeps_frame_and_history(pfn: int, prots: list[int]) -> None:
    pte = pte_mkdirty(pfn_pte(pfn, PAGE_SHARED))
    for prot in prots:
        pte = pte_modify(pte, prot)
        assert pte_pfn(pte) == pfn
        assert pte_dirty(pte)
        assert pte_write(pte) == (prot & 2 != 0)
        assert (pte < 0) == (prot & _PAGE_NX != 0)
        assert pte_protnone(pte) == (prot & _PAGE_PROTNONE != 0)
        assert -(1 << 63) <= pte < 1 << 63


def test_tables_are_counted_and_freed() -> None:
    k = bare_kernel()
    mm = bare_mm(k)
    walk_alloc(mm, 0x400000)
    # PTE and PMD tables count; PUD and PGD do not.
    assert k.vmstat.stat[NR_PAGETABLE] == 2
    assert sorted(p._mapcount for p in k.mem_map.pages if p._refcount and p.pfn != k.zero_pfn) == [
        PAGE_TABLE_MAPCOUNT_VALUE,
        PAGE_TABLE_MAPCOUNT_VALUE,
        -1,
        -1,
    ]
    other = bare_mm(k)
    before = nr_free_pages(k) + len(k.zone.pcp)
    pgd_free(other)
    assert nr_free_pages(k) + len(k.zone.pcp) == before + 1 <= totalram_pages(k)


def test_set_pte_reports_to_the_probe() -> None:
    k = bare_kernel()
    mm = bare_mm(k)
    seen: list[tuple[int, int, int, int]] = []
    ptep = walk_alloc(mm, 0x400000)
    k.tp.attach("set_pte", lambda mm, addr, ptep, old, new: seen.append((addr, ptep, old, new)))
    set_pte_at(mm, 0x400000, ptep, 0x25)
    set_pte_at(mm, 0x400000, ptep, 0)
    assert seen == [(0x400000, ptep, 0, 0x25), (0x400000, ptep, 0x25, 0)]


@pytest.mark.parametrize("traced", [False, True])
@given(
    old=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=20, max_size=20),
    new=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=20),
    cleared=st.sampled_from([_PAGE_ACCESSED, _PAGE_RW | _PAGE_ACCESSED, _PAGE_DIRTY | _PAGE_ACCESSED]),
)
def test_many_entries_at_once(traced: bool, old: list[int], new: list[int], cleared: int) -> None:
    """As one after the other; a probe hears of each that changes, and of no other."""
    k = bare_kernel()
    mm = bare_mm(k)
    ptep, dst = walk_alloc(mm, 0x400000), walk_alloc(mm, 0x800000)
    seen: list[tuple[int, int, int, int]] = []
    for i, pte in enumerate(old):
        set_pte_at(mm, 0x400000 + i * 4096, ptep + i, pte)
    if traced:
        k.tp.attach("set_pte", lambda mm, addr, ptep, old, new: seen.append((addr, ptep, old, new)))
    assert get_ptes(k, ptep, 20) == old
    assert get_ptes(k, ptep, 1) == old[:1]
    set_ptes(mm, 0x400000, ptep, new)
    now = new + old[len(new) :]
    assert get_ptes(k, ptep, 21) == [*now, 0]
    steps = list(zip(range(20), old, now, strict=True))
    assert seen == [(0x400000 + i * 4096, ptep + i, before, after) for i, before, after in steps if before != after] * traced
    seen.clear()
    copy_ptes(mm, 0x800000, dst, ptep, 20, cleared)
    assert get_ptes(k, dst, 21) == [*[pte & ~cleared for pte in now], 0]
    assert get_ptes(k, ptep, 20) == now
    assert len(seen) == sum(pte & ~cleared != 0 for pte in now) * traced
    seen.clear()
    assert clear_ptes(mm, 0x400000, ptep, len(new)) == ptep + len(new)
    assert get_ptes(k, ptep, 20) == [0] * len(new) + old[len(new) :]
    assert seen == [(0x400000 + i * 4096, ptep + i, pte, 0) for i, pte in enumerate(new) if pte] * traced
