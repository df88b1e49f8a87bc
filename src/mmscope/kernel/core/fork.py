# SPDX-License-Identifier: GPL-2.0-or-later
"""Birth and death of tasks and address spaces (kernel/fork.c). fork itself is not there yet."""

from __future__ import annotations

import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.arch.x86.pgtable import pgd_alloc, pgd_free
from mmscope.kernel.fs.file import fput
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.mm import NR_MM_COUNTERS
from mmscope.kernel.include.mm_types import MmStruct
from mmscope.kernel.include.page import TASK_SIZE
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.mm.memory import sync_mm_rss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def mm_alloc(k: Kernel) -> MmStruct:
    """A fresh, empty address space with its PGD; one user. Raises KernelError(ENOMEM)."""
    mm = MmStruct(k)
    mm_init(mm)
    return mm


def mm_init(mm: MmStruct) -> None:
    """What mm_alloc and dup_mm have in common: the counters are new, the PGD is allocated."""
    mm.mm_users = 1
    mm.mm_count = 1
    mm.map_count = 0
    mm.locked_vm = 0
    mm.locked_vm_lost = 0
    mm.pinned_vm = 0
    mm.rss_stat = [0] * NR_MM_COUNTERS
    mm.task_size = TASK_SIZE
    mm.pgd = pgd_alloc(mm)


def mmget(mm: MmStruct) -> None:
    """One more user of the address space."""
    mm.mm_users += 1


def mmput(mm: MmStruct) -> None:
    """One user less; the last one tears the address space down."""
    mm.mm_users -= 1
    if mm.mm_users < 0:
        raise KernelBug(f"mmput: mm_users {mm.mm_users} of {mm!r}")
    if mm.mm_users == 0:
        __mmput(mm)


def __mmput(mm: MmStruct) -> None:
    """No thread uses the address space any more: unmap everything, then drop the users' common reference."""
    mm_mmap.exit_mmap(mm)
    set_mm_exe_file(mm, None)
    mmdrop(mm)


def mmdrop(mm: MmStruct) -> None:
    """One reference to the structure less (lazy TLB users hold some); the last frees the PGD."""
    mm.mm_count -= 1
    if mm.mm_count == 0:
        __mmdrop(mm)


def __mmdrop(mm: MmStruct) -> None:
    """Nobody looks at `mm` any more. Precondition: it is not loaded in the CPU."""
    pgd_free(mm)
    check_mm(mm)


def check_mm(mm: MmStruct) -> None:
    """At its end an address space holds no page and no table."""
    for item in range(NR_MM_COUNTERS):
        if mm.rss_stat[item]:
            raise KernelBug(f"Bad rss-counter state mm:{mm!r} type:{item} val:{mm.rss_stat[item]}")
    if mm.pgtables_bytes:
        raise KernelBug(f"non-zero pgtables_bytes on freeing mm:{mm!r}: {mm.pgtables_bytes}")


def set_mm_exe_file(mm: MmStruct, new_exe_file: object) -> None:
    """/proc/PID/exe of this address space; None lets it go."""
    if new_exe_file is None:
        old = mm.exe_file
        mm.exe_file = None
        if old is not None:
            fput(old)


def exec_mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """The task leaves `mm` by execve: futexes and the tid address it had registered die with it."""
    mm_release(task, mm)


def exit_mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """The task leaves `mm` by exiting."""
    mm_release(task, mm)


def mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """CLONE_CHILD_CLEARTID: zero the tid in user memory and wake its futex, but only if someone else still sees it."""
    task.robust_list = 0
    if task.clear_child_tid:
        # With a single user nobody is left to see the store: Linux then leaves the memory alone.
        task.clear_child_tid = 0


def exit_mm(task: TaskStruct) -> None:
    """The task gives up its address space (kernel/exit.c); the CPU goes on on the kernel's page tables."""
    mm = task.mm
    if mm is None:
        return
    exit_mm_release(task, mm)
    sync_mm_rss(mm)
    task.mm = None
    # As active_mm the tables stay loaded while they are torn down; the switch to the kernel's own lets go of them.
    mm.mm_count += 1
    mmput(mm)
    task.active_mm = None
    cpu = task.kernel.cpu
    if cpu.cr3 == mm.pgd:
        cpu.load_cr3(0)
    mmdrop(mm)


def alloc_pid(k: Kernel) -> int:
    """The next process id."""
    k.last_pid += 1
    return k.last_pid
