# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer (mm/oom_kill.c): memory is up and nothing can be reclaimed, so the process that has most of it must die.

__alloc_pages_slowpath -> out_of_memory -> select_bad_process (oom_badness) -> oom_kill_process -> oom_reap_task
                       <- try again: the victim's memory is free, or the victim is current and may use the reserves
"""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import KernelPanic
from mmscope.kernel.include.gfp import ___GFP_FS
from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    MM_SWAPENTS,
    VM_HUGETLB,
    VM_LOCKED,
    VM_PFNMAP,
    VM_SHARED,
)
from mmscope.kernel.include.mm_types import MMF_OOM_SKIP, MMF_UNSTABLE, MmStruct
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.sched import PF_EXITING
from mmscope.kernel.include.signal import SI_KERNEL, SIGKILL, KernelSiginfo
from mmscope.kernel.mm.memory_rss import get_mm_counter, get_mm_rss
from mmscope.kernel.mm.memory_unmap import unmap_page_range
from mmscope.kernel.mm.mmu_gather import tlb_finish_mmu, tlb_gather_mmu
from mmscope.kernel.mm.page_alloc import totalram_pages
from mmscope.kernel.mm.vmstat import OOM_KILL, count_vm_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["LONG_MIN", "oom_badness", "out_of_memory", "pagefault_out_of_memory", "tsk_is_oom_victim"]

#: oom_badness(): never to be killed.
LONG_MIN: Final = -(1 << 63)
OOM_SCORE_ADJ_MIN: Final = -1000


def tsk_is_oom_victim(tsk: TaskStruct) -> bool:
    """The process was chosen: its threads may take what is below the watermarks."""
    return tsk.signal.oom_mm is not None


def is_global_init(p: TaskStruct) -> bool:
    """Process 1."""
    return p.tgid == 1


def find_lock_task_mm(p: TaskStruct) -> TaskStruct | None:
    """A thread of the process that still has its address space."""
    for t in p.signal.threads:
        if t.mm is not None:
            return t
    return None


def in_vfork(p: TaskStruct) -> bool:
    """It borrows its parent's memory."""
    parent = p.real_parent
    return p.vfork_done is not None and parent is not None and parent.mm is p.mm


def oom_badness(p: TaskStruct, totalpages: int) -> int:
    """How much memory killing `p` would free, pages, moved by oom_score_adj; LONG_MIN if it must not be killed."""
    t = find_lock_task_mm(p)
    if is_global_init(p) or t is None:
        return LONG_MIN
    mm = t.mm
    assert mm is not None
    adj = p.signal.oom_score_adj
    if adj == OOM_SCORE_ADJ_MIN or mm.flags & MMF_OOM_SKIP or in_vfork(t):
        return LONG_MIN
    points = get_mm_rss(mm) + get_mm_counter(mm, MM_SWAPENTS) + mm.pgtables_bytes // PAGE_SIZE
    return points + adj * (totalpages // 1000)


def select_bad_process(k: Kernel) -> tuple[TaskStruct | None, bool]:
    """The worst process, the younger one of equals, and False; or a victim that is still about to die, and True."""
    totalpages = totalram_pages(k)
    chosen: TaskStruct | None = None
    chosen_points = LONG_MIN
    for p in core_signal.processes(k):
        if is_global_init(p):
            continue
        if tsk_is_oom_victim(p):
            mm = p.signal.oom_mm
            if mm is not None and mm.flags & MMF_OOM_SKIP:
                continue
            return p, True
        points = oom_badness(p, totalpages)
        if points != LONG_MIN and points >= chosen_points:
            chosen = p
            chosen_points = points
    return chosen, False


def __task_will_free_mem(task: TaskStruct) -> bool:
    """On its way out."""
    return task.signal.group_exit or (len(task.signal.threads) == 1 and task.flags & PF_EXITING != 0)


def task_will_free_mem(task: TaskStruct) -> bool:
    """It will free its memory soon by itself, for all who share that are on their way out."""
    mm = task.mm
    if mm is None or not __task_will_free_mem(task) or mm.flags & MMF_OOM_SKIP:
        return False
    if mm.mm_users <= 1:
        return True
    for p in core_signal.processes(task.kernel):
        if p.signal is not task.signal and process_shares_mm(p, mm) and not __task_will_free_mem(p):
            return False
    return True


def process_shares_mm(p: TaskStruct, mm: MmStruct) -> bool:
    """Some thread of the process uses `mm`."""
    t = find_lock_task_mm(p)
    return t is not None and t.mm is mm


def mark_oom_victim(tsk: TaskStruct) -> None:
    """`tsk` and its threads may use the reserves from now on."""
    if tsk.tif_memdie:
        return
    tsk.tif_memdie = True
    if tsk.signal.oom_mm is None and tsk.mm is not None:
        tsk.signal.oom_mm = tsk.mm


def pagefault_out_of_memory(k: Kernel) -> None:
    """A page fault has VM_FAULT_OOM. It is repeated, unless its task dies. (Since v5.16 nobody is killed for that.)"""
    if not k.config.at_least(5, 16):
        out_of_memory(k, 0, 0)
    elif not core_signal.fatal_signal_pending(k.current):
        k.printk("Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF")


def out_of_memory(k: Kernel, gfp_mask: int, order: int) -> bool:
    """Kill the worst process, if no victim is about to die. True: it makes sense to try again.

    Raises KernelPanic if there is nobody who may be killed.
    """
    current = k.current
    if task_will_free_mem(current):
        mark_oom_victim(current)
        queue_oom_reaper(k, current)
        return True
    if gfp_mask and not gfp_mask & ___GFP_FS:
        return True
    chosen, waiting = select_bad_process(k)
    if waiting and chosen is not None:
        # It was spared because it was running.
        queue_oom_reaper(k, chosen)
        return True
    if chosen is None:
        dump_header(k, None, gfp_mask, order)
        k.printk("Out of memory and no killable processes...")
        raise KernelPanic("System is deadlocked on memory")
    oom_kill_process(k, chosen, gfp_mask, order, "Out of memory")
    return True


def dump_header(k: Kernel, victim: TaskStruct | None, gfp_mask: int, order: int) -> None:
    """Who asked, who there is, who must die."""
    current = k.current
    k.printk(
        f"{current.comm} invoked oom-killer: gfp_mask={gfp_mask:#x}, order={order}, oom_score_adj={current.signal.oom_score_adj}"
    )
    k.printk("Tasks state (memory values in pages):")
    k.printk("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name")
    for p in core_signal.processes(k):
        t = find_lock_task_mm(p)
        if t is None or t.mm is None or is_global_init(p):
            continue
        mm = t.mm
        k.printk(
            f"[{t.pid:7}] {t.cred.uid:5} {t.tgid:5} {mm.total_vm:8} {get_mm_rss(mm):8} {mm.pgtables_bytes:8} "
            f"{get_mm_counter(mm, MM_SWAPENTS):8}         {t.signal.oom_score_adj:5} {t.comm}"
        )
    if victim is not None:
        k.printk(
            f"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,"
            f"task={victim.comm},pid={victim.pid},uid={victim.cred.uid}"
        )


def oom_kill_process(k: Kernel, victim: TaskStruct, gfp_mask: int, order: int, message: str) -> None:
    """Kill it, unless it dies anyway: then only help it to."""
    if task_will_free_mem(victim):
        mark_oom_victim(victim)
        queue_oom_reaper(k, victim)
        return
    dump_header(k, victim, gfp_mask, order)
    __oom_kill_process(k, victim, message)


def __oom_kill_process(k: Kernel, victim: TaskStruct, message: str) -> None:
    """SIGKILL for the process and for all others that use its memory, the line in the log, and the reaper."""
    p = find_lock_task_mm(victim)
    if p is None or p.mm is None:
        k.printk(f"{message}: OOM victim {victim.pid} ({victim.comm}) is already exiting. Skip killing the task")
        return
    victim = p
    mm = p.mm
    count_vm_event(k, OOM_KILL)
    core_signal.send_signal(SIGKILL, KernelSiginfo(SIGKILL, SI_KERNEL), victim, True)
    mark_oom_victim(victim)
    k.printk(
        f"{message}: Killed process {victim.pid} ({victim.comm}) total-vm:{mm.total_vm << 2}kB, {rss_text(mm)}, "
        f"UID:{victim.cred.uid} pgtables:{mm.pgtables_bytes >> 10}kB oom_score_adj:{victim.signal.oom_score_adj}"
    )
    for other in core_signal.processes(k):
        if other.signal is not victim.signal and process_shares_mm(other, mm):
            core_signal.send_signal(SIGKILL, KernelSiginfo(SIGKILL, SI_KERNEL), other, True)
    queue_oom_reaper(k, victim)


def rss_text(mm: MmStruct) -> str:
    """The three counters of resident pages."""
    return (
        f"anon-rss:{get_mm_counter(mm, MM_ANONPAGES) << 2}kB, file-rss:{get_mm_counter(mm, MM_FILEPAGES) << 2}kB, "
        f"shmem-rss:{get_mm_counter(mm, MM_SHMEMPAGES) << 2}kB"
    )


# --- the reaper


def queue_oom_reaper(k: Kernel, tsk: TaskStruct) -> None:
    """The reaper is a thread of its own in Linux, which runs as soon as the allocator waits for it; here it runs now.

    Not if the memory is the current task's, which is in the middle of something: that one dies by itself, on the reserves.
    """
    mm = tsk.signal.oom_mm
    if mm is None or mm.flags & MMF_OOM_SKIP or mm is k.current.mm:
        return
    __oom_reap_task_mm(mm)
    mm.flags |= MMF_OOM_SKIP
    k.printk(f"oom_reaper: reaped process {tsk.pid} ({tsk.comm}), now {rss_text(mm)}")


def __oom_reap_task_mm(mm: MmStruct) -> None:
    """Take away the private memory: from now on there is no telling what the address space holds."""
    mm.flags |= MMF_UNSTABLE
    vma = mm.mmap
    while vma is not None:
        if not vma.vm_flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP) and (vma.vm_ops is None or not vma.vm_flags & VM_SHARED):
            tlb = tlb_gather_mmu(mm, vma.vm_start, vma.vm_end)
            unmap_page_range(tlb, vma, vma.vm_start, vma.vm_end)
            tlb_finish_mmu(tlb, vma.vm_start, vma.vm_end)
        vma = vma.vm_next
