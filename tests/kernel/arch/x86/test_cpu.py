# SPDX-License-Identifier: GPL-2.0-or-later
"""arch/x86/cpu.py and tlbflush.py: the page walk, A and D bits, error codes, and a TLB that goes stale."""

from __future__ import annotations

import pytest

from mmscope.kernel.arch.x86.cpu import (
    X86_PF_INSTR,
    X86_PF_PROT,
    X86_PF_RSVD,
    X86_PF_USER,
    X86_PF_WRITE,
    clear_page,
    phys_read,
    phys_write,
)
from mmscope.kernel.arch.x86.pgtable import (
    _PAGE_ACCESSED,
    _PAGE_DIRTY,
    _PAGE_PSE,
    PAGE_COPY,
    PAGE_NONE,
    PAGE_READONLY_EXEC,
    PAGE_SHARED,
    PAGE_SHARED_EXEC,
    mk_pte,
    p4d_populate,
    pgd_offset,
    pmd_alloc_one,
    pmd_offset,
    pmd_populate,
    pte_alloc_one,
    pte_offset_map,
    pte_wrprotect,
    pud_alloc_one,
    pud_offset,
    pud_populate,
    set_pte_at,
)
from mmscope.kernel.arch.x86.tlbflush import flush_tlb_mm, flush_tlb_mm_range, flush_tlb_page, switch_mm
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.gfp import GFP_USER
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
from mmscope.kernel.mm.page_alloc import alloc_page
from tests.kernel.bare import bare_kernel, bare_mm

ADDR = 0x7FFFF7FF9000


def must(page: Page | None) -> Page:
    assert page is not None
    return page


def walk_alloc(mm: MmStruct, addr: int) -> int:
    """The PTE of `addr`, with all tables above it."""
    k = mm.kernel
    pgdp = pgd_offset(mm, addr)
    if k.words[pgdp] == 0:
        p4d_populate(mm, addr, pgdp, must(pud_alloc_one(mm, addr)))
    pudp = pud_offset(k, pgdp, addr)
    if k.words[pudp] == 0:
        pud_populate(mm, addr, pudp, must(pmd_alloc_one(mm, addr)))
    pmdp = pmd_offset(k, pudp, addr)
    if k.words[pmdp] == 0:
        pmd_populate(mm, addr, pmdp, must(pte_alloc_one(k, mm)))
    return pte_offset_map(k, pmdp, addr)


def map_page(mm: MmStruct, addr: int, prot: int) -> tuple[Page, int]:
    """Map a new page without A and D; (page, ptep)."""
    page = must(alloc_page(mm.kernel, GFP_USER))
    ptep = walk_alloc(mm, addr)
    set_pte_at(mm, addr, ptep, mk_pte(page, prot & ~_PAGE_ACCESSED))
    return page, ptep


def test_read_sets_accessed_and_write_sets_dirty() -> None:
    mm = bare_mm(bare_kernel())
    page, ptep = map_page(mm, ADDR, PAGE_SHARED)
    words, cpu = mm.kernel.words, mm.kernel.cpu
    assert cpu.translate(ADDR + 0x123, X86_PF_USER) == (page.pfn << 12) + 0x123
    assert words[ptep] & (_PAGE_ACCESSED | _PAGE_DIRTY) == _PAGE_ACCESSED
    assert cpu.translate(ADDR + 8, X86_PF_USER | X86_PF_WRITE) == (page.pfn << 12) + 8
    assert words[ptep] & (_PAGE_ACCESSED | _PAGE_DIRTY) == _PAGE_ACCESSED | _PAGE_DIRTY


def test_accessed_is_set_at_every_level() -> None:
    mm = bare_mm(bare_kernel())
    map_page(mm, ADDR, PAGE_SHARED)
    k = mm.kernel
    pgdp = pgd_offset(mm, ADDR)
    pudp = pud_offset(k, pgdp, ADDR)
    pmdp = pmd_offset(k, pudp, ADDR)
    for entry in (pgdp, pudp, pmdp):
        k.words[entry] &= ~_PAGE_ACCESSED
    k.cpu.translate(ADDR, X86_PF_USER)
    assert [k.words[e] & 0xFFF for e in (pgdp, pudp, pmdp)] == [0x067] * 3


@pytest.mark.parametrize(
    ("prot", "access", "code"),
    [
        (PAGE_COPY, X86_PF_USER | X86_PF_WRITE, X86_PF_USER | X86_PF_WRITE | X86_PF_PROT),
        (PAGE_COPY, X86_PF_WRITE, X86_PF_WRITE | X86_PF_PROT),
        (PAGE_COPY, X86_PF_USER | X86_PF_INSTR, X86_PF_USER | X86_PF_INSTR | X86_PF_PROT),
        (PAGE_SHARED & ~4, X86_PF_USER, X86_PF_USER | X86_PF_PROT),
        (PAGE_NONE, X86_PF_USER, X86_PF_USER),
        (PAGE_NONE, 0, 0),
        (PAGE_SHARED | 1 << 50, X86_PF_USER, X86_PF_USER | X86_PF_PROT | X86_PF_RSVD),
    ],
)
def test_error_codes(prot: int, access: int, code: int) -> None:
    mm = bare_mm(bare_kernel())
    map_page(mm, ADDR, prot)
    cpu = mm.kernel.cpu
    assert cpu.translate(ADDR + 5, access) == -1
    assert (cpu.cr2, cpu.error_code) == (ADDR + 5, code)


@pytest.mark.parametrize("access", [0, X86_PF_USER, X86_PF_USER | X86_PF_WRITE, X86_PF_USER | X86_PF_INSTR])
def test_absent_page(access: int) -> None:
    mm = bare_mm(bare_kernel())
    cpu = mm.kernel.cpu
    assert cpu.translate(0x400000, access) == -1
    assert cpu.error_code == access


def test_supervisor_may_write_read_only_pages_without_wp() -> None:
    mm = bare_mm(bare_kernel())
    page, _ = map_page(mm, ADDR, PAGE_COPY)
    cpu = mm.kernel.cpu
    cpu.cr0_wp = False
    assert cpu.translate(ADDR, X86_PF_WRITE) == page.pfn << 12
    assert cpu.translate(ADDR, X86_PF_WRITE | X86_PF_USER) == -1


def test_execution_needs_nx_clear() -> None:
    mm = bare_mm(bare_kernel())
    page, _ = map_page(mm, ADDR, PAGE_READONLY_EXEC)
    assert mm.kernel.cpu.translate(ADDR, X86_PF_USER | X86_PF_INSTR) == page.pfn << 12


@pytest.mark.parametrize("addr", [1 << 47, 0x7FFFFFFFFFFF + 1, 0xFFFF7FFFFFFFFFFF, 1 << 63])
def test_non_canonical(addr: int) -> None:
    assert bare_mm(bare_kernel()).kernel.cpu.translate(addr, 0) == -2


def test_the_kernel_half_is_empty() -> None:
    assert bare_mm(bare_kernel()).kernel.cpu.translate(0xFFFF800000000000, 0) == -1


def test_2_mib_leaf() -> None:
    mm = bare_mm(bare_kernel())
    k = mm.kernel
    walk_alloc(mm, ADDR)
    pmdp = pmd_offset(k, pud_offset(k, pgd_offset(mm, ADDR), ADDR), ADDR)
    k.words[pmdp] = 0x400000 | _PAGE_PSE | 0x27
    assert k.cpu.translate(ADDR + 3, X86_PF_USER | X86_PF_WRITE) == 0x400000 + (ADDR & 0x1FFFFF) + 3
    assert k.words[pmdp] & _PAGE_DIRTY
    k.words[pmdp] = 0
    k.cpu.invlpg(ADDR - 0x1000)
    assert k.cpu.translate(ADDR, X86_PF_USER) == -1, "INVLPG of any address drops the whole large page"


def test_table_outside_ram_is_a_bug_of_the_model() -> None:
    k = bare_kernel()
    k.cpu.load_cr3(k.config.ram)
    with pytest.raises(KernelBug, match="outside RAM"):
        k.cpu.translate(0, 0)


def test_the_tlb_is_stale_until_flushed() -> None:
    mm = bare_mm(bare_kernel())
    page, ptep = map_page(mm, ADDR, PAGE_SHARED)
    cpu = mm.kernel.cpu
    write = X86_PF_USER | X86_PF_WRITE
    assert cpu.translate(ADDR, write) == page.pfn << 12
    set_pte_at(mm, ADDR, ptep, pte_wrprotect(mm.kernel.words[ptep]))
    assert cpu.translate(ADDR, write) == page.pfn << 12, "nobody flushed"
    set_pte_at(mm, ADDR, ptep, 0)
    assert cpu.translate(ADDR, write) == page.pfn << 12, "nobody flushed"
    vma = VmAreaStruct(mm)
    flush_tlb_page(vma, ADDR)
    assert cpu.translate(ADDR, write) == -1


def test_more_permission_needs_no_flush() -> None:
    mm = bare_mm(bare_kernel())
    page, ptep = map_page(mm, ADDR, PAGE_COPY)
    cpu = mm.kernel.cpu
    assert cpu.translate(ADDR, X86_PF_USER) == page.pfn << 12
    assert cpu.translate(ADDR, X86_PF_USER | X86_PF_WRITE) == -1
    set_pte_at(mm, ADDR, ptep, mk_pte(page, PAGE_SHARED))
    assert cpu.translate(ADDR, X86_PF_USER | X86_PF_WRITE) == page.pfn << 12


def test_flush_page_by_page_up_to_33_pages() -> None:
    mm = bare_mm(bare_kernel())
    cpu = mm.kernel.cpu
    seen: list[tuple[int, int]] = []
    mm.kernel.tp.attach("tlb_flush", lambda start, end: seen.append((start, end)))
    cpu.pending_flush_all = False
    flush_tlb_mm_range(mm, ADDR, ADDR + (33 << 12))
    assert (len(cpu.pending_flush), cpu.pending_flush_all) == (33, False)
    flush_tlb_mm_range(mm, ADDR, ADDR + (34 << 12))
    assert (len(cpu.pending_flush), cpu.pending_flush_all) == (0, True)
    flush_tlb_mm(mm)
    assert seen == [(ADDR, ADDR + (33 << 12)), (0, -1), (0, -1)]


def test_only_the_loaded_mm_is_in_the_tlb() -> None:
    k = bare_kernel()
    other = bare_mm(k)
    mm = bare_mm(k)
    page, _ = map_page(mm, ADDR, PAGE_SHARED)
    k.cpu.translate(ADDR, 0)
    flush_tlb_mm(other)
    assert ADDR >> 12 in k.cpu.tlb
    switch_mm(k, mm, other)
    assert not k.cpu.tlb
    assert k.cpu.translate(ADDR, 0) == -1
    switch_mm(k, other, mm)
    assert k.cpu.translate(ADDR, 0) == page.pfn << 12


def test_tlb_fill_is_writable_only_once_dirty() -> None:
    mm = bare_mm(bare_kernel())
    page, _ = map_page(mm, ADDR, PAGE_SHARED)
    cpu = mm.kernel.cpu
    assert cpu.tlb_fill(ADDR + 7, 0) == page.pfn << 12 | 1
    assert cpu.tlb_fill(ADDR, X86_PF_WRITE) == page.pfn << 12 | 3
    assert cpu.tlb_fill(ADDR, 0) == page.pfn << 12 | 3
    assert not cpu.code_frames
    assert cpu.tlb_fill(0x1000, X86_PF_WRITE) == -1
    assert cpu.error_code == X86_PF_USER | X86_PF_WRITE


def test_host_writes_to_a_code_frame_make_it_stale() -> None:
    mm = bare_mm(bare_kernel())
    k = mm.kernel
    page, _ = map_page(mm, ADDR, PAGE_SHARED_EXEC)
    phys_write(k, page.pfn << 12, b"\x90")
    assert k.cpu.stale_code == []
    assert k.cpu.tlb_fill(ADDR, X86_PF_INSTR) == page.pfn << 12 | 5
    phys_write(k, (page.pfn << 12) - 1, b"\x90\x90")
    assert k.cpu.stale_code == [page.pfn]
    assert phys_read(k, page.pfn << 12, 2) == b"\x90\0"
    clear_page(k, page.pfn)
    assert k.cpu.stale_code == [page.pfn, page.pfn]


def test_reset_fpu_image() -> None:
    image = bare_kernel().cpu.fxsave()
    assert len(image) == 512
    assert image[:2] == b"\x7f\x03"
    assert image[24:28] == b"\x80\x1f\0\0"
