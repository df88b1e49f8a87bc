# SPDX-License-Identifier: GPL-2.0-or-later
"""Event and page-state counters (mm/vmstat.c, vm_event_item.h, the *_stat_item enums of mmzone.h); one zone, one node.

/proc/vmstat and its relatives show what a v5.11 with Debian's options would, but for those that the model's machine is
built without: CONFIG_NUMA (but for the hinting faults), CONFIG_ZONE_DMA, CONFIG_ZONE_DMA32. An item that nothing counts is 0.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

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
NR_FOLL_PIN_ACQUIRED: Final = 14
NR_FOLL_PIN_RELEASED: Final = 15
NR_DIRTIED: Final = 16
NR_WRITTEN: Final = 17
WORKINGSET_REFAULT_FILE: Final = 18
WORKINGSET_ACTIVATE_FILE: Final = 19
WORKINGSET_RESTORE_FILE: Final = 20
NR_VM_STAT_ITEMS: Final = 21

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
DROP_PAGECACHE: Final = 22
DROP_SLAB: Final = 23
NUMA_PTE_UPDATES: Final = 24
NUMA_HINT_FAULTS: Final = 25
NUMA_HINT_FAULTS_LOCAL: Final = 26
NR_VM_EVENT_ITEMS: Final = 27


class VmStat:
    """vm_stat[] and vm_event_states."""

    def __init__(self) -> None:
        #: NR_*: pages (NR_KERNEL_STACK_KB: KiB)
        self.stat: list[i64] = [0] * NR_VM_STAT_ITEMS
        #: Counts since boot.
        self.event: list[i64] = [0] * NR_VM_EVENT_ITEMS


def count_vm_event(k: Kernel, item: i64) -> None:
    """One more `item`."""
    k.vmstat.event[item] += 1


def count_vm_events(k: Kernel, item: i64, delta: i64) -> None:
    """`delta` more of `item`."""
    k.vmstat.event[item] += delta


def mod_page_state(k: Kernel, item: i64, delta: i64) -> None:
    """mod_zone_page_state, mod_node_page_state, mod_lruvec_page_state: one node makes them one."""
    k.vmstat.stat[item] += delta


# --- /proc

#: vmstat_text[]: zone items, node items, events; (name, NR_* or event), -1 where nothing counts it, -2 nr_free_pages.
_FREE_PAGES: Final = -2
_ZONE_TEXT: Final[tuple[tuple[str, int], ...]] = (
    ("nr_free_pages", _FREE_PAGES), ("nr_zone_inactive_anon", NR_ZONE_INACTIVE_ANON),
    ("nr_zone_active_anon", NR_ZONE_ACTIVE_ANON), ("nr_zone_inactive_file", NR_ZONE_INACTIVE_FILE),
    ("nr_zone_active_file", NR_ZONE_ACTIVE_FILE), ("nr_zone_unevictable", NR_ZONE_UNEVICTABLE),
    ("nr_zone_write_pending", NR_FILE_DIRTY), ("nr_mlock", NR_MLOCK), ("nr_bounce", -1), ("nr_zspages", -1),
    ("nr_free_cma", -1),
)  # fmt: skip
_NODE_TEXT: Final[tuple[tuple[str, int], ...]] = (
    ("nr_inactive_anon", NR_ZONE_INACTIVE_ANON), ("nr_active_anon", NR_ZONE_ACTIVE_ANON),
    ("nr_inactive_file", NR_ZONE_INACTIVE_FILE), ("nr_active_file", NR_ZONE_ACTIVE_FILE),
    ("nr_unevictable", NR_ZONE_UNEVICTABLE), ("nr_slab_reclaimable", -1), ("nr_slab_unreclaimable", -1),
    ("nr_isolated_anon", -1), ("nr_isolated_file", -1), ("workingset_nodes", -1), ("workingset_refault_anon", -1),
    ("workingset_refault_file", WORKINGSET_REFAULT_FILE), ("workingset_activate_anon", -1),
    ("workingset_activate_file", WORKINGSET_ACTIVATE_FILE),
    ("workingset_restore_anon", -1), ("workingset_restore_file", WORKINGSET_RESTORE_FILE), ("workingset_nodereclaim", -1),
    ("nr_anon_pages", NR_ANON_MAPPED), ("nr_mapped", NR_FILE_MAPPED), ("nr_file_pages", NR_FILE_PAGES),
    ("nr_dirty", NR_FILE_DIRTY), ("nr_writeback", NR_WRITEBACK), ("nr_writeback_temp", -1), ("nr_shmem", NR_SHMEM),
    ("nr_shmem_hugepages", -1), ("nr_shmem_pmdmapped", -1), ("nr_file_hugepages", -1), ("nr_file_pmdmapped", -1),
    ("nr_anon_transparent_hugepages", -1), ("nr_vmscan_write", -1), ("nr_vmscan_immediate_reclaim", -1),
    ("nr_dirtied", NR_DIRTIED), ("nr_written", NR_WRITTEN), ("nr_kernel_misc_reclaimable", -1),
    ("nr_foll_pin_acquired", NR_FOLL_PIN_ACQUIRED), ("nr_foll_pin_released", NR_FOLL_PIN_RELEASED),
    ("nr_kernel_stack", NR_KERNEL_STACK_KB), ("nr_page_table_pages", NR_PAGETABLE),
)  # fmt: skip
_EVENT_TEXT: Final[tuple[tuple[str, int], ...]] = (
    ("pgpgin", PGPGIN), ("pgpgout", PGPGOUT), ("pswpin", PSWPIN), ("pswpout", PSWPOUT), ("pgalloc_normal", PGALLOC),
    ("pgalloc_movable", -1), ("allocstall_normal", -1), ("allocstall_movable", -1), ("pgskip_normal", -1),
    ("pgskip_movable", -1), ("pgfree", PGFREE), ("pgactivate", PGACTIVATE), ("pgdeactivate", PGDEACTIVATE),
    ("pglazyfree", PGLAZYFREE), ("pgfault", PGFAULT), ("pgmajfault", PGMAJFAULT), ("pglazyfreed", -1), ("pgrefill", -1),
    ("pgreuse", PGREUSE), ("pgsteal_kswapd", -1), ("pgsteal_direct", PGSTEAL_DIRECT), ("pgscan_kswapd", -1),
    ("pgscan_direct", PGSCAN_DIRECT), ("pgscan_direct_throttle", -1), ("pgscan_anon", -1), ("pgscan_file", PGSCAN_DIRECT),
    ("pgsteal_anon", -1), ("pgsteal_file", PGSTEAL_DIRECT), ("pginodesteal", -1), ("slabs_scanned", -1),
    ("kswapd_inodesteal", -1), ("kswapd_low_wmark_hit_quickly", -1), ("kswapd_high_wmark_hit_quickly", -1),
    ("pageoutrun", -1), ("pgrotated", PGROTATED), ("drop_pagecache", DROP_PAGECACHE), ("drop_slab", DROP_SLAB),
    ("oom_kill", OOM_KILL),
    ("numa_pte_updates", NUMA_PTE_UPDATES), ("numa_huge_pte_updates", -1), ("numa_hint_faults", NUMA_HINT_FAULTS),
    ("numa_hint_faults_local", NUMA_HINT_FAULTS_LOCAL), ("numa_pages_migrated", -1),
    ("pgmigrate_success", -1), ("pgmigrate_fail", -1), ("thp_migration_success", -1),
    ("thp_migration_fail", -1), ("thp_migration_split", -1), ("compact_migrate_scanned", -1), ("compact_free_scanned", -1),
    ("compact_isolated", -1), ("compact_stall", -1), ("compact_fail", -1), ("compact_success", -1),
    ("compact_daemon_wake", -1), ("compact_daemon_migrate_scanned", -1), ("compact_daemon_free_scanned", -1),
    ("htlb_buddy_alloc_success", -1), ("htlb_buddy_alloc_fail", -1), ("unevictable_pgs_culled", UNEVICTABLE_PGCULLED),
    ("unevictable_pgs_scanned", -1), ("unevictable_pgs_rescued", UNEVICTABLE_PGRESCUED),
    ("unevictable_pgs_mlocked", UNEVICTABLE_PGMLOCKED), ("unevictable_pgs_munlocked", UNEVICTABLE_PGMUNLOCKED),
    ("unevictable_pgs_cleared", UNEVICTABLE_PGCLEARED), ("unevictable_pgs_stranded", UNEVICTABLE_PGSTRANDED),
    ("thp_fault_alloc", -1), ("thp_fault_fallback", -1), ("thp_fault_fallback_charge", -1), ("thp_collapse_alloc", -1),
    ("thp_collapse_alloc_failed", -1), ("thp_file_alloc", -1), ("thp_file_fallback", -1), ("thp_file_fallback_charge", -1),
    ("thp_file_mapped", -1), ("thp_split_page", -1), ("thp_split_page_failed", -1), ("thp_deferred_split_page", -1),
    ("thp_split_pmd", -1), ("thp_split_pud", -1), ("thp_zero_page_alloc", -1), ("thp_zero_page_alloc_failed", -1),
    ("thp_swpout", -1), ("thp_swpout_fallback", -1), ("balloon_inflate", -1), ("balloon_deflate", -1),
    ("balloon_migrate", -1), ("swap_ra", -1), ("swap_ra_hit", -1),
)  # fmt: skip


def _state(k: Kernel, item: int) -> int:
    if item == _FREE_PAGES:
        return k.zone.nr_free
    return k.vmstat.stat[item] if item >= 0 else 0


def vmstat_show(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/vmstat: `name value` a line."""
    out = [f"{name} {_state(k, item)}\n" for name, item in _ZONE_TEXT + _NODE_TEXT]
    from mmscope.kernel.mm.page_writeback import global_dirty_limits

    background, threshold = global_dirty_limits(k)
    out.append(f"nr_dirty_threshold {threshold}\nnr_dirty_background_threshold {background}\n")
    event = k.vmstat.event
    out += [f"{name} {event[item] if item >= 0 else 0}\n" for name, item in _EVENT_TEXT]
    return "".join([*out, "nr_unstable 0\n"]).encode()


def frag_show(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/buddyinfo: free blocks by order."""
    counts = "".join([f"{area.nr_free():6d} " for area in k.zone.free_area])
    return f"Node 0, zone   Normal {counts}\n".encode()


def zoneinfo_show(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/zoneinfo: the one zone, and the empty ZONE_MOVABLE that x86-64 always has."""
    zone = k.zone
    out = ["Node 0, zone   Normal\n  per-node stats"]
    out += [f"\n      {name:12} {_state(k, item)}" for name, item in _NODE_TEXT]
    out.append(
        f"\n  pages free     {zone.nr_free}\n        min      {zone.watermark_min}\n        low      {zone.watermark_low}"
        f"\n        high     {zone.watermark_high}\n        spanned  {k.max_pfn}\n        present  {k.max_pfn}"
        f"\n        managed  {zone.managed_pages}\n        protection: (0, 0)"
    )
    out += [f"\n      {name:12} {_state(k, item)}" for name, item in _ZONE_TEXT]
    out.append(
        f"\n  pagesets\n    cpu: 0\n              count: {len(zone.pcp)}\n              high:  {zone.pcp_high}"
        f"\n              batch: {zone.pcp_batch}\n  vm stats threshold: 0\n  node_unreclaimable:  0\n  start_pfn:           0\n"
    )
    out.append(
        "Node 0, zone  Movable\n  pages free     0\n        min      0\n        low      0\n        high     0"
        "\n        spanned  0\n        present  0\n        managed  0\n        protection: (0, 0)\n"
    )
    return "".join(out).encode()
