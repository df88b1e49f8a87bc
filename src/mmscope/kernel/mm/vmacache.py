# SPDX-License-Identifier: GPL-2.0-or-later
"""The per-task cache of the last VMAs found (mm/vmacache.c, removed in v6.1 with the rbtree).

Four slots, indexed by the address at PMD granularity; all of them go stale when mm->vmacache_seqnum moves.
"""

from __future__ import annotations

from mmscope.kernel.include.sched import VMACACHE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
    from mmscope.kernel.include.sched import TaskStruct


def VMACACHE_HASH(addr: int) -> int:
    """The slot at which the search for `addr` starts."""
    return (addr >> 21) & 3


def vmacache_flush(tsk: TaskStruct) -> None:
    """Empty a task's cache."""
    tsk.vmacache = [None] * VMACACHE_SIZE


def vmacache_invalidate(mm: MmStruct) -> None:
    """Make every task's cache of this mm stale: a VMA has left it."""
    mm.vmacache_seqnum += 1


def vmacache_update(addr: int, newvma: VmAreaStruct) -> None:
    """Remember what was found for `addr`, if it belongs to the current task's mm."""
    current = newvma.vm_mm.kernel.current
    if current.mm is newvma.vm_mm:
        current.vmacache[VMACACHE_HASH(addr)] = newvma


def vmacache_valid(mm: MmStruct) -> bool:
    """The current task's cache may be used for `mm`; flushes it when its seqnum is old."""
    current = mm.kernel.current
    if current.mm is not mm:
        return False
    if current.vmacache_seqnum != mm.vmacache_seqnum:
        current.vmacache_seqnum = mm.vmacache_seqnum
        vmacache_flush(current)
        return False
    return True


def vmacache_find(mm: MmStruct, addr: int) -> VmAreaStruct | None:
    """The cached VMA that contains `addr`."""
    if not vmacache_valid(mm):
        return None
    cache = mm.kernel.current.vmacache
    idx = VMACACHE_HASH(addr)
    for _ in range(VMACACHE_SIZE):
        vma = cache[idx]
        if vma is not None:
            if vma.vm_mm is not mm:
                break
            if vma.vm_start <= addr < vma.vm_end:
                return vma
        idx = (idx + 1) & 3
    return None
