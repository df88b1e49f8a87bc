# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/meminfo (fs/proc/meminfo.c).

The lines are those of Debian's 5.10 cloud kernel for amd64 (transparent huge pages and hugetlbfs built in; no memory
failure handling, no CMA). What the model does not have, swap, slab, vmalloc, huge pages, a direct map, is 0.
"""

from __future__ import annotations

from mmscope.kernel.mm.page_alloc import nr_free_pages, totalram_pages
from mmscope.kernel.mm.swap import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    LRU_UNEVICTABLE,
)
from mmscope.kernel.mm.util import vm_commit_limit
from mmscope.kernel.mm.vmstat import (
    NR_ANON_MAPPED,
    NR_FILE_DIRTY,
    NR_FILE_MAPPED,
    NR_FILE_PAGES,
    NR_KERNEL_STACK_KB,
    NR_MLOCK,
    NR_PAGETABLE,
    NR_SHMEM,
    NR_WRITEBACK,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

#: VMALLOC_TOTAL >> 10: VMALLOC_END is the last byte.
VMALLOC_TOTAL_KB: Final = ((1 << 45) - 1) >> 10


def si_mem_available(k: Kernel) -> int:
    """Pages that programs could get without swapping (mm/page_alloc.c)."""
    stat = k.vmstat.stat
    zone = k.zone
    # totalreserve_pages: with one zone there is no lowmem_reserve.
    available = nr_free_pages(k) - zone.watermark_high
    pagecache = stat[LRU_ACTIVE_FILE] + stat[LRU_INACTIVE_FILE]
    pagecache -= min(pagecache // 2, zone.watermark_low)
    return max(available + pagecache, 0)


def meminfo_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Memory in KiB."""
    stat = k.vmstat.stat
    at_least = k.config.at_least
    pages: list[tuple[str, int]] = [
        ("MemTotal", totalram_pages(k)),
        ("MemFree", nr_free_pages(k)),
        ("MemAvailable", si_mem_available(k)),
        ("Buffers", 0),
        ("Cached", stat[NR_FILE_PAGES]),
        ("SwapCached", 0),
        ("Active", stat[LRU_ACTIVE_ANON] + stat[LRU_ACTIVE_FILE]),
        ("Inactive", stat[LRU_INACTIVE_ANON] + stat[LRU_INACTIVE_FILE]),
        ("Active(anon)", stat[LRU_ACTIVE_ANON]),
        ("Inactive(anon)", stat[LRU_INACTIVE_ANON]),
        ("Active(file)", stat[LRU_ACTIVE_FILE]),
        ("Inactive(file)", stat[LRU_INACTIVE_FILE]),
        ("Unevictable", stat[LRU_UNEVICTABLE]),
        ("Mlocked", stat[NR_MLOCK]),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", stat[NR_FILE_DIRTY]),
        ("Writeback", stat[NR_WRITEBACK]),
        ("AnonPages", stat[NR_ANON_MAPPED]),
        ("Mapped", stat[NR_FILE_MAPPED]),
        ("Shmem", stat[NR_SHMEM]),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", stat[NR_KERNEL_STACK_KB] >> 2),
        ("PageTables", stat[NR_PAGETABLE]),
    ]
    if at_least(6, 1):
        pages.append(("SecPageTables", 0))
    pages += [("NFS_Unstable", 0), ("Bounce", 0), ("WritebackTmp", 0), ("CommitLimit", vm_commit_limit(k))]
    pages.append(("Committed_AS", k.vm_committed_as))
    out = [_show_val_kb(name, value << 2) for name, value in pages]
    out.append(_show_val_kb("VmallocTotal", VMALLOC_TOTAL_KB))
    for name in ("VmallocUsed", "VmallocChunk", "Percpu", "AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages",
                 "FilePmdMapped"):  # fmt: skip
        out.append(_show_val_kb(name, 0))
    # hugetlb_report_meminfo(): the pool is empty.
    out += [f"{'HugePages_' + name + ':':16}{0:8d}\n" for name in ("Total", "Free", "Rsvd", "Surp")]
    out.append(_show_val_kb("Hugepagesize", 2048))
    out += [_show_val_kb(name, 0) for name in ("Hugetlb", "DirectMap4k", "DirectMap2M")]
    return "".join(out).encode()


def _show_val_kb(name: str, kb: int) -> str:
    return f"{name + ':':16}{kb:8d} kB\n"
