# SPDX-License-Identifier: GPL-2.0-or-later
"""Event and page-state counters (mm/vmstat.c, vm_event_item.h, the *_stat_item enums of mmzone.h); one zone, one node."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

# enum zone_stat_item and node_stat_item, as far as they are kept. NR_FREE_PAGES is Zone.nr_free.
NR_ZONE_INACTIVE_ANON: Final = 0
NR_ZONE_ACTIVE_ANON: Final = 1
NR_ZONE_INACTIVE_FILE: Final = 2
NR_ZONE_ACTIVE_FILE: Final = 3
NR_ZONE_UNEVICTABLE: Final = 4
NR_MLOCK: Final = 5
NR_PAGETABLE: Final = 6
NR_ANON_MAPPED: Final = 7
NR_FILE_MAPPED: Final = 8
NR_FILE_PAGES: Final = 9
NR_FILE_DIRTY: Final = 10
NR_WRITEBACK: Final = 11
NR_SHMEM: Final = 12
NR_KERNEL_STACK_KB: Final = 13
NR_DIRTIED: Final = 14
NR_WRITTEN: Final = 15
NR_VM_STAT_ITEMS: Final = 16

STAT_NAMES: Final = (
    "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable", "nr_mlock",
    "nr_page_table_pages", "nr_anon_pages", "nr_mapped", "nr_file_pages", "nr_dirty", "nr_writeback", "nr_shmem",
    "nr_kernel_stack", "nr_dirtied", "nr_written",
)  # fmt: skip

# enum vm_event_item
PGPGIN: Final = 0
PGPGOUT: Final = 1
PSWPIN: Final = 2
PSWPOUT: Final = 3
PGALLOC: Final = 4
PGFREE: Final = 5
PGACTIVATE: Final = 6
PGDEACTIVATE: Final = 7
PGLAZYFREE: Final = 8
PGFAULT: Final = 9
PGMAJFAULT: Final = 10
PGREUSE: Final = 11
PGSTEAL_DIRECT: Final = 12
PGSCAN_DIRECT: Final = 13
PGROTATED: Final = 14
OOM_KILL: Final = 15
UNEVICTABLE_PGCULLED: Final = 16
UNEVICTABLE_PGRESCUED: Final = 17
UNEVICTABLE_PGMLOCKED: Final = 18
UNEVICTABLE_PGMUNLOCKED: Final = 19
UNEVICTABLE_PGCLEARED: Final = 20
UNEVICTABLE_PGSTRANDED: Final = 21
NR_VM_EVENT_ITEMS: Final = 22

EVENT_NAMES: Final = (
    "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_normal", "pgfree", "pgactivate", "pgdeactivate", "pglazyfree", "pgfault",
    "pgmajfault", "pgreuse", "pgsteal_direct", "pgscan_direct", "pgrotated", "oom_kill", "unevictable_pgs_culled",
    "unevictable_pgs_rescued", "unevictable_pgs_mlocked", "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared", "unevictable_pgs_stranded",
)  # fmt: skip


class VmStat:
    """vm_stat[] and vm_event_states."""

    def __init__(self) -> None:
        #: NR_*: pages (NR_KERNEL_STACK_KB: KiB)
        self.stat: list[int] = [0] * NR_VM_STAT_ITEMS
        #: Counts since boot.
        self.event: list[int] = [0] * NR_VM_EVENT_ITEMS


def count_vm_event(k: Kernel, item: int) -> None:
    """One more `item`."""
    k.vmstat.event[item] += 1


def count_vm_events(k: Kernel, item: int, delta: int) -> None:
    """`delta` more of `item`."""
    k.vmstat.event[item] += delta


def mod_page_state(k: Kernel, item: int, delta: int) -> None:
    """mod_zone_page_state, mod_node_page_state, mod_lruvec_page_state: one node makes them one."""
    k.vmstat.stat[item] += delta


def global_page_state(k: Kernel, item: int) -> int:
    """global_zone_page_state, global_node_page_state."""
    return k.vmstat.stat[item]
