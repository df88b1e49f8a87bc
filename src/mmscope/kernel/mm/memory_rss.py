# SPDX-License-Identifier: GPL-2.0-or-later
"""RSS counters: of an mm, and what tasks cache of them (include/linux/mm.h and SPLIT_RSS_COUNTING in mm/memory.c)."""

from __future__ import annotations

from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    NR_MM_COUNTERS,
)
from mmscope.kernel.include.page_flags import PAGE_MAPPING_ANON, PG_swapbacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import MmStruct, Page
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "TASK_RSS_EVENTS_THRESH", "add_mm_counter_fast", "add_mm_rss_vec", "check_sync_rss_stat",
    "dec_mm_counter", "dec_mm_counter_fast", "get_mm_counter", "get_mm_rss",
    "inc_mm_counter_fast", "mm_counter", "mm_counter_file", "sync_mm_rss",
    "update_hiwater_rss", "update_hiwater_vm",
]  # fmt: skip

#: SPLIT_RSS_COUNTING: after more than that many faults a task adds its cached RSS deltas to the mm (until v6.2).
TASK_RSS_EVENTS_THRESH: Final = 64


def get_mm_counter(mm: MmStruct, member: int) -> int:
    """Pages of one kind, without what tasks still cache; never negative."""
    val = mm.rss_stat[member]
    return val if val > 0 else 0


def dec_mm_counter(mm: MmStruct, member: int) -> None:
    """One page less."""
    mm.rss_stat[member] -= 1


def get_mm_rss(mm: MmStruct) -> int:
    """Resident pages of all kinds."""
    return get_mm_counter(mm, MM_FILEPAGES) + get_mm_counter(mm, MM_ANONPAGES) + get_mm_counter(mm, MM_SHMEMPAGES)


def update_hiwater_rss(mm: MmStruct) -> None:
    """Note the RSS before it shrinks."""
    rss = get_mm_rss(mm)
    if mm.hiwater_rss < rss:
        mm.hiwater_rss = rss


def update_hiwater_vm(mm: MmStruct) -> None:
    """Note total_vm before it shrinks."""
    if mm.hiwater_vm < mm.total_vm:
        mm.hiwater_vm = mm.total_vm


def mm_counter_file(page: Page) -> int:
    """Which counter a page-cache page goes to."""
    return MM_SHMEMPAGES if page.flags & PG_swapbacked else MM_FILEPAGES


def mm_counter(page: Page) -> int:
    """Which counter a page goes to."""
    return MM_ANONPAGES if page.mapping_tag & PAGE_MAPPING_ANON else mm_counter_file(page)


def sync_mm_rss(mm: MmStruct) -> None:
    """Add what the current task caches to its mm. Precondition: `mm` is the current task's."""
    task = mm.kernel.current
    cached = task.rss_stat
    for i in range(NR_MM_COUNTERS):
        if cached[i]:
            mm.rss_stat[i] += cached[i]
            cached[i] = 0
    task.rss_stat_events = 0


def add_mm_counter_fast(mm: MmStruct, member: int, val: int) -> None:
    """Count in the current task's cache if `mm` is its own."""
    k = mm.kernel
    if k.has_current() and k.current.mm is mm:
        k.current.rss_stat[member] += val
    else:
        mm.rss_stat[member] += val


def inc_mm_counter_fast(mm: MmStruct, member: int) -> None:
    """One page more, cached."""
    add_mm_counter_fast(mm, member, 1)


def dec_mm_counter_fast(mm: MmStruct, member: int) -> None:
    """One page less, cached."""
    add_mm_counter_fast(mm, member, -1)


def check_sync_rss_stat(task: TaskStruct) -> None:
    """Called by each fault: empties the task's cache now and then."""
    events = task.rss_stat_events
    task.rss_stat_events = events + 1
    if events > TASK_RSS_EVENTS_THRESH:
        assert task.mm is not None
        sync_mm_rss(task.mm)


def add_mm_rss_vec(mm: MmStruct, rss: list[int]) -> None:
    """Apply the counts of one zapped page table, after emptying the task's cache."""
    k = mm.kernel
    if k.has_current() and k.current.mm is mm:
        sync_mm_rss(mm)
    for i in range(NR_MM_COUNTERS):
        if rss[i]:
            mm.rss_stat[i] += rss[i]
