# SPDX-License-Identifier: GPL-2.0-or-later
"""TLB flushes of an address space (arch/x86/mm/tlb.c, asm/tlbflush.h) for one CPU without PCIDs.

Loading CR3 forgets everything, so an mm that is not loaded has nothing in the TLB and needs no flush.
"""

from __future__ import annotations

from mmscope.kernel.tracepoint import trace_tlb_flush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

__all__ = [
    "TLB_FLUSH_ALL", "flush_tlb_mm", "flush_tlb_mm_range", "flush_tlb_page", "flush_tlb_range",
    "switch_mm",
]  # fmt: skip

TLB_FLUSH_ALL: Final = -1
#: More pages than that: flush all (a debugfs knob of that name, default 33).
tlb_single_page_flush_ceiling: Final = 33


def flush_tlb_mm_range(mm: MmStruct, start: int, end: int, stride_shift: int = 12) -> None:
    """Forget [start, end) of `mm`; page by page up to the ceiling, else, or with end TLB_FLUSH_ALL, everything."""
    k = mm.kernel
    cpu = k.cpu
    if end == TLB_FLUSH_ALL or (end - start) >> stride_shift > tlb_single_page_flush_ceiling:
        start = 0
        end = TLB_FLUSH_ALL
    if cpu.cr3 != mm.pgd:
        return
    if end == TLB_FLUSH_ALL:
        cpu.flush_all()
    else:
        for addr in range(start, end, 1 << stride_shift):
            cpu.invlpg(addr)
    trace_tlb_flush(k, start, end)


def flush_tlb_range(vma: VmAreaStruct, start: int, end: int) -> None:
    """Forget [start, end) of the vma's address space."""
    flush_tlb_mm_range(vma.vm_mm, start, end)


def flush_tlb_page(vma: VmAreaStruct, addr: int) -> None:
    """Forget the page at `addr`."""
    flush_tlb_mm_range(vma.vm_mm, addr, addr + 4096)


def flush_tlb_mm(mm: MmStruct) -> None:
    """Forget all of `mm`."""
    flush_tlb_mm_range(mm, 0, TLB_FLUSH_ALL)


def switch_mm(k: Kernel, prev: MmStruct | None, next: MmStruct) -> None:
    """Make `next` the loaded address space; nothing to do if it is."""
    if prev is next and k.cpu.cr3 == next.pgd:
        return
    k.cpu.load_cr3(next.pgd)
    trace_tlb_flush(k, 0, TLB_FLUSH_ALL)
