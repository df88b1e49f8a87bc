# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/maps, smaps and smaps_rollup (fs/proc/task_mmu.c), and the memory lines of status and statm.

The other half of Linux's file, pagemap and clear_refs, is task_mmu_pagemap.py.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.pgtable import pte_dirty, pte_none, pte_offset_map, pte_present, pte_young
from mmscope.kernel.arch.x86.vsyscall_64 import gate_vma_name, get_gate_vma
from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.include.errno import ESRCH, KernelBug, KernelError
from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    MM_SWAPENTS,
    VM_DENYWRITE,
    VM_DROPPABLE,
    VM_EXEC,
    VM_LOCKED,
    VM_MAYBE_GUARD,
    VM_MAYSHARE,
    VM_READ,
    VM_SOFTDIRTY,
    VM_WRITE,
)
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, PAGE_SIZE
from mmscope.kernel.include.page_flags import PageAnon, PG_dirty, PG_referenced, PG_swapbacked
from mmscope.kernel.include.swapops import is_guard_pte_marker
from mmscope.kernel.mm.hugetlb import vma_kernel_pagesize, vma_mmu_pagesize
from mmscope.kernel.mm.memory_rss import get_mm_counter
from mmscope.kernel.mm.memory_unmap import vm_normal_page
from mmscope.kernel.mm.mmap_area import find_vma
from mmscope.kernel.mm.page_alloc import page_count, page_mapcount
from mmscope.kernel.mm.pagewalk import MmWalk, MmWalkOps, walk_page_vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

#: seq_setwidth(25 + sizeof(void *) * 6 - 1): the name stands in the column after it.
_NAME_COLUMN: Final = 72
#: m_next()'s position of the gate VMA.
_GATE: Final = 1 << 64
#: Shares of pages are counted in units of 1/4096 byte, so that their sum loses little.
PSS_SHIFT: Final = 12


def is_stack(vma: VmAreaStruct) -> bool:
    """It holds the address where the program's stack began."""
    return vma.vm_start <= vma.vm_mm.start_stack <= vma.vm_end


def vma_name(vma: VmAreaStruct) -> str | None:
    """What maps shows behind the numbers; None for nothing."""
    mm = vma.vm_mm
    if vma.vm_file is not None:
        return d_path(mm.kernel, vma.vm_file.f_dentry).replace("\n", "\\012")
    if vma.vm_ops is not None and vma.vm_ops.name is not None:
        name = vma.vm_ops.name(vma)
        if name:
            return name
    if vma.vm_start <= mm.brk and vma.vm_end >= mm.start_brk:
        return "[heap]"
    if is_stack(vma):
        return "[stack]"
    return None


def show_vma_header_prefix(start: int, end: int, flags: int, pgoff: int, dev: int, ino: int) -> str:
    """The numbers of one line; `pgoff` in bytes."""
    r = "r" if flags & VM_READ else "-"
    w = "w" if flags & VM_WRITE else "-"
    x = "x" if flags & VM_EXEC else "-"
    s = "s" if flags & VM_MAYSHARE else "p"
    return f"{start:08x}-{end:08x} {r}{w}{x}{s} {pgoff:08x} {dev >> 20:02x}:{dev & 0xFFFFF:02x} {ino} "


def show_map_vma(vma: VmAreaStruct, name: str | None) -> str:
    """One line of maps."""
    dev = ino = pgoff = 0
    if vma.vm_file is not None:
        inode = vma.vm_file.f_inode
        dev = inode.i_sb.s_dev
        ino = inode.i_ino
        pgoff = vma.vm_pgoff << 12
    line = show_vma_header_prefix(vma.vm_start, vma.vm_end, vma.vm_flags, pgoff, dev, ino)
    if name is not None:
        line = line.ljust(_NAME_COLUMN) + " " + name
    return line + "\n"


def gate_line(mm: MmStruct) -> str:
    """The vsyscall page's line, if the kernel has one."""
    vma = get_gate_vma(mm)
    return "" if vma is None else show_map_vma(vma, gate_vma_name(vma))


def show_map(mm: MmStruct) -> str:
    """The text of /proc/PID/maps."""
    lines = []
    vma = mm.mmap
    while vma is not None:
        lines.append(show_map_vma(vma, vma_name(vma)))
        vma = vma.vm_next
    lines.append(gate_line(mm))
    return "".join(lines)


def maps_next(mm: MmStruct, addr: int) -> tuple[bytes, int] | None:
    """The line of the first VMA that ends above `addr`, and where the next one starts: a reader resumes by address."""
    if addr > _GATE:
        return None
    vma = find_vma(mm, addr) if addr < _GATE else None
    if vma is None:
        return gate_line(mm).encode(), _GATE + 1
    text = show_map_vma(vma, vma_name(vma)).encode("utf-8", "surrogateescape")
    return text, vma.vm_next.vm_start if vma.vm_next is not None else _GATE


# --- smaps


class MemSizeStats:
    """struct mem_size_stats: bytes by kind; the pss sums in 1/4096 byte."""

    def __init__(self) -> None:
        self.resident = 0
        self.shared_clean = 0
        self.shared_dirty = 0
        self.private_clean = 0
        self.private_dirty = 0
        self.referenced = 0
        self.anonymous = 0
        self.lazyfree = 0
        self.pss = 0
        self.pss_anon = 0
        self.pss_file = 0
        self.pss_shmem = 0
        self.pss_dirty = 0
        self.pss_locked = 0


def smaps_page_accumulate(mss: MemSizeStats, page: Page, pss: int, dirty: bool, locked: bool, private: bool) -> None:
    """Add one page, of which this mapping's share is `pss`."""
    mss.pss += pss
    if PageAnon(page):
        mss.pss_anon += pss
    elif page.flags & PG_swapbacked:
        mss.pss_shmem += pss
    else:
        mss.pss_file += pss
    if locked:
        mss.pss_locked += pss
    if dirty or page.flags & PG_dirty:
        mss.pss_dirty += pss
        if private:
            mss.private_dirty += PAGE_SIZE
        else:
            mss.shared_dirty += PAGE_SIZE
    elif private:
        mss.private_clean += PAGE_SIZE
    else:
        mss.shared_clean += PAGE_SIZE


def smaps_account(mss: MemSizeStats, page: Page, young: bool, dirty: bool, locked: bool) -> None:
    """Add the page of one entry, whose A and D bits are `young` and `dirty`."""
    if PageAnon(page):
        mss.anonymous += PAGE_SIZE
        if not page.flags & PG_swapbacked and not dirty and not page.flags & PG_dirty:
            mss.lazyfree += PAGE_SIZE
    mss.resident += PAGE_SIZE
    if young or page.flags & PG_referenced:
        mss.referenced += PAGE_SIZE
    pss = PAGE_SIZE << PSS_SHIFT
    mapcount = page_mapcount(page)
    if page_count(page) != 1 and mapcount >= 2:
        smaps_page_accumulate(mss, page, pss // mapcount, dirty, locked, False)
    else:
        smaps_page_accumulate(mss, page, pss, dirty, locked, True)


def smaps_pte_range(pmdp: int, addr: int, end: int, walk: MmWalk) -> None:
    """The entries of one page table."""
    vma = walk.vma
    mss = walk.private
    assert vma is not None
    assert isinstance(mss, MemSizeStats)
    k = walk.mm.kernel
    locked = vma.vm_flags & VM_LOCKED != 0
    ptep = pte_offset_map(k, pmdp, addr)
    while addr != end:
        pte: i64 = k.words[ptep]
        if pte_present(pte):
            page = vm_normal_page(vma, addr, pte)
            if page is not None:
                smaps_account(mss, page, pte_young(pte), pte_dirty(pte), locked)
        elif not pte_none(pte) and not is_guard_pte_marker(pte):
            raise KernelBug(f"smaps_pte_range: swap entry {pte:#x} in {vma!r} at {addr:#x}: there is no swap yet")
        ptep += 1
        addr += PAGE_SIZE


smaps_walk_ops: Final = MmWalkOps(pmd_entry=smaps_pte_range)


def smap_gather_stats(vma: VmAreaStruct, mss: MemSizeStats) -> None:
    """Add what is mapped in `vma`. No shmem file has swapped pages."""
    walk_page_vma(vma, smaps_walk_ops, mss)


#: show_smap_vma_flags(): by bit. "" = never set on x86 or not shown.
_MNEMONICS: Final = (
    "rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd", "um", "pf", "dw", "uw", "lo", "io", "sr",
    "rr", "dc", "de", "??", "ac", "nr", "ht", "sf", "ar", "wf", "dd", "sd", "mm", "hg", "nh", "mg",
)  # fmt: skip


def show_smap_vma_flags(k: Kernel, vma: VmAreaStruct) -> str:
    """The line VmFlags, with a space at its end."""
    flags = vma.vm_flags
    if not k.config.CONFIG_MEM_SOFT_DIRTY:
        flags &= ~VM_SOFTDIRTY
    if k.config.at_least(5, 15):  # 8d0920bde5eb: the flag is gone
        flags &= ~VM_DENYWRITE
    out = "VmFlags: "
    for bit, name in enumerate(_MNEMONICS):
        if name == "dw" and flags & VM_MAYBE_GUARD:
            out += "gu "  # the bit that VM_DENYWRITE had
        if flags >> bit & 1:
            # VM_LOCKONFAULT got its name in v6.3 (8614d6c5eda0).
            out += ("lf" if name == "??" and k.config.at_least(6, 3) else name) + " "
    if flags & VM_DROPPABLE:
        out += "dp "
    return out + "\n"


def __show_smap(k: Kernel, mss: MemSizeStats, rollup_mode: bool) -> str:
    """The lines that smaps and smaps_rollup have in common. There are no huge pages and no swap: their lines are 0."""
    at_least = k.config.at_least
    lines = [("Rss", mss.resident), ("Pss", mss.pss >> PSS_SHIFT)]
    if at_least(6, 0):  # 30934843019a
        lines.append(("Pss_Dirty", mss.pss_dirty >> PSS_SHIFT))
    if rollup_mode:
        lines.append(("Pss_Anon", mss.pss_anon >> PSS_SHIFT))
        lines.append(("Pss_File", mss.pss_file >> PSS_SHIFT))
        lines.append(("Pss_Shmem", mss.pss_shmem >> PSS_SHIFT))
    lines.append(("Shared_Clean", mss.shared_clean))
    lines.append(("Shared_Dirty", mss.shared_dirty))
    lines.append(("Private_Clean", mss.private_clean))
    lines.append(("Private_Dirty", mss.private_dirty))
    lines.append(("Referenced", mss.referenced))
    lines.append(("Anonymous", mss.anonymous))
    if at_least(6, 7):
        lines.append(("KSM", 0))
    lines.append(("LazyFree", mss.lazyfree))
    for name in ("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss"):
        lines.append((name, 0))
    lines.append(("Locked", mss.pss_locked >> PSS_SHIFT))
    return "".join([_kb_line(name, value) for name, value in lines])


def _kb_line(name: str, value: int) -> str:
    return f"{name + ':':16}{value >> 10:8d} kB\n"


def show_smap(vma: VmAreaStruct, name: str | None) -> str:
    """One VMA of smaps."""
    k = vma.vm_mm.kernel
    mss = MemSizeStats()
    smap_gather_stats(vma, mss)
    out = show_map_vma(vma, name)
    out += (
        _kb_line("Size", vma.vm_end - vma.vm_start)
        + _kb_line("KernelPageSize", vma_kernel_pagesize(vma))
        + _kb_line("MMUPageSize", vma_mmu_pagesize(vma))
    )
    out += __show_smap(k, mss, False)
    # transparent_hugepage_enabled(): never. Aligned since v6.6.
    out += "THPeligible:           0\n" if k.config.at_least(6, 6) else "THPeligible:    0\n"
    return out + show_smap_vma_flags(k, vma)


def smaps_next(mm: MmStruct, addr: int) -> tuple[bytes, int] | None:
    """maps_next() for smaps."""
    if addr > _GATE:
        return None
    vma = find_vma(mm, addr) if addr < _GATE else None
    if vma is None:
        gate = get_gate_vma(mm)
        return (b"" if gate is None else show_smap(gate, gate_vma_name(gate)).encode()), _GATE + 1
    text = show_smap(vma, vma_name(vma)).encode("utf-8", "surrogateescape")
    return text, vma.vm_next.vm_start if vma.vm_next is not None else _GATE


def show_smaps_rollup(mm: MmStruct) -> bytes:
    """All of smaps in one entry, the gate left out. Raises ESRCH for an address space that nobody uses any more."""
    if mm.mm_users == 0:
        raise KernelError(ESRCH)
    mss = MemSizeStats()
    start = mm.mmap.vm_start if mm.mmap is not None else 0
    end = 0
    vma = mm.mmap
    while vma is not None:
        smap_gather_stats(vma, mss)
        end = vma.vm_end
        vma = vma.vm_next
    head = show_vma_header_prefix(start, end, 0, 0, 0, 0).ljust(_NAME_COLUMN)
    return (head + " [rollup]\n" + __show_smap(mm.kernel, mss, True)).encode()


# --- statm and status


def task_statm(mm: MmStruct) -> str:
    """The line of /proc/PID/statm, in pages: size, resident, shared, text, 0, data, 0."""
    shared = get_mm_counter(mm, MM_FILEPAGES) + get_mm_counter(mm, MM_SHMEMPAGES)
    text = (PAGE_ALIGN(mm.end_code) - (mm.start_code & PAGE_MASK)) >> 12
    data = mm.data_vm + mm.stack_vm
    resident = shared + get_mm_counter(mm, MM_ANONPAGES)
    return f"{mm.total_vm} {resident} {shared} {text} 0 {data} 0\n"


def task_mem(mm: MmStruct) -> str:
    """The Vm* lines of /proc/PID/status."""
    anon = get_mm_counter(mm, MM_ANONPAGES)
    file = get_mm_counter(mm, MM_FILEPAGES)
    shmem = get_mm_counter(mm, MM_SHMEMPAGES)
    swap = get_mm_counter(mm, MM_SWAPENTS)
    total_rss = anon + file + shmem
    text = PAGE_ALIGN(mm.end_code) - (mm.start_code & PAGE_MASK)
    text = min(text, mm.exec_vm << 12)
    lib = (mm.exec_vm << 12) - text
    lines = [
        ("VmPeak", max(mm.hiwater_vm, mm.total_vm) << 2),
        ("VmSize", mm.total_vm << 2),
        ("VmLck", mm.locked_vm << 2),
        ("VmPin", mm.pinned_vm << 2),
        ("VmHWM", max(mm.hiwater_rss, total_rss) << 2),
        ("VmRSS", total_rss << 2),
        ("RssAnon", anon << 2),
        ("RssFile", file << 2),
        ("RssShmem", shmem << 2),
        ("VmData", mm.data_vm << 2),
        ("VmStk", mm.stack_vm << 2),
        ("VmExe", text >> 10),
        ("VmLib", lib >> 10),
        ("VmPTE", mm.pgtables_bytes >> 10),
        ("VmSwap", swap << 2),
        ("HugetlbPages", 0),
    ]
    return "".join(f"{name}:\t{value:8d} kB\n" for name, value in lines)
