# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler's half of NUMA balancing (kernel/sched/fair.c): whose entries are made to fault, and when."""

from __future__ import annotations

from mmscope.kernel.include.mm import VM_ACCESS_FLAGS, VM_MIXEDMAP, VM_READ, VM_WRITE
from mmscope.kernel.include.time import NSEC_PER_SEC
from mmscope.kernel.mm.memory_rss import get_mm_rss
from mmscope.kernel.mm.mempolicy import change_prot_numa, vma_migratable, vma_policy_mof
from mmscope.kernel.mm.mmap_area import find_vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct

__all__ = ["task_numa_work", "task_tick_numa"]

#: sysctl_numa_balancing_scan_delay, _scan_period_min, and what no period is shorter than, ns; _scan_size, pages.
SCAN_DELAY: Final = NSEC_PER_SEC
SCAN_PERIOD_MIN: Final = NSEC_PER_SEC
SCAN_PERIOD_FLOOR: Final = NSEC_PER_SEC // 10
SCAN_SIZE: Final = 256 << 8
HPAGE_SIZE: Final = 2 << 20


def task_tick_numa(k: Kernel) -> None:
    """At a return to user mode: scan the current address space when its time has come.

    Linux counts the time that the task has run, and adapts the period to what the faults say; here the virtual clock counts.
    """
    mm = k.current.mm
    if mm is None:
        return
    now = k.timekeeper.now_ns
    if not mm.numa_next_scan:
        mm.numa_next_scan = now + SCAN_DELAY
    if now >= mm.numa_next_scan:
        # task_scan_min(): more often where one scan does not reach all.
        windows = max(1, -(-get_mm_rss(mm) // SCAN_SIZE))
        mm.numa_next_scan = now + max(SCAN_PERIOD_MIN // windows, SCAN_PERIOD_FLOOR)
        task_numa_work(mm)


def task_numa_work(mm: MmStruct) -> None:
    """One scan: some 256 MiB of entries from where the last one ended."""
    start = mm.numa_scan_offset
    pages = SCAN_SIZE
    virtpages = pages * 8
    vma = find_vma(mm, start)
    if vma is None:
        mm.numa_scan_seq += 1
        start = 0
        vma = mm.mmap
    while vma is not None:
        # What is only read of a file is expected to have a copy near everyone.
        read_only_file = vma.vm_file is not None and vma.vm_flags & (VM_READ | VM_WRITE) == VM_READ
        accessible = vma.vm_flags & VM_ACCESS_FLAGS and not vma.vm_flags & VM_MIXEDMAP
        if accessible and not read_only_file and vma_migratable(vma) and vma_policy_mof(vma):
            end = 0
            while end != vma.vm_end:
                start = max(start, vma.vm_start)
                end = min((start + (pages << 12) + HPAGE_SIZE - 1) & -HPAGE_SIZE, vma.vm_end)
                if change_prot_numa(vma, start, end):
                    pages -= (end - start) >> 12
                virtpages -= (end - start) >> 12
                start = end
                if pages <= 0 or virtpages <= 0:
                    mm.numa_scan_offset = start
                    return
        vma = vma.vm_next
    mm.numa_scan_seq += 1
    mm.numa_scan_offset = 0
