# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer (mm/oom_kill.c). The current task is always the victim: the model has no other big one to choose."""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.mm import MM_ANONPAGES, MM_FILEPAGES, MM_SHMEMPAGES, MM_SWAPENTS
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.mm.memory_rss import get_mm_counter, get_mm_rss
from mmscope.kernel.mm.vmstat import OOM_KILL, count_vm_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["LONG_MIN", "oom_badness", "out_of_memory", "pagefault_out_of_memory"]

#: oom_badness(): never to be killed.
LONG_MIN: Final = -(1 << 63)
OOM_SCORE_ADJ_MIN: Final = -1000


def oom_badness(p: TaskStruct, totalpages: int) -> int:
    """How much memory killing `p` would free, pages, moved by oom_score_adj; LONG_MIN if it must not be killed."""
    adj = p.signal.oom_score_adj
    mm = p.mm
    if p.tgid == 1 or mm is None or adj == OOM_SCORE_ADJ_MIN:
        return LONG_MIN
    points = get_mm_rss(mm) + get_mm_counter(mm, MM_SWAPENTS) + mm.pgtables_bytes // PAGE_SIZE
    return points + adj * (totalpages // 1000)


def pagefault_out_of_memory(k: Kernel) -> None:
    """A page fault found no memory. The fault is not finished: the victim dies, or retries."""
    out_of_memory(k)


def out_of_memory(k: Kernel) -> None:
    """Kill somebody, unless the current task is dying anyway."""
    if core_signal.fatal_signal_pending(k.current):
        return
    __oom_kill_process(k, k.current, "Out of memory")


def __oom_kill_process(k: Kernel, victim: TaskStruct, message: str) -> None:
    """SIGKILL, and the line in the log."""
    mm = victim.mm
    assert mm is not None
    count_vm_event(k, OOM_KILL)
    core_signal.force_sig(k, SIGKILL)
    k.printk(
        f"{message}: Killed process {victim.pid} ({victim.comm}) total-vm:{mm.total_vm << 2}kB, "
        f"anon-rss:{get_mm_counter(mm, MM_ANONPAGES) << 2}kB, file-rss:{get_mm_counter(mm, MM_FILEPAGES) << 2}kB, "
        f"shmem-rss:{get_mm_counter(mm, MM_SHMEMPAGES) << 2}kB, UID:{victim.cred.uid} "
        f"pgtables:{mm.pgtables_bytes >> 10}kB oom_score_adj:{victim.signal.oom_score_adj}"
    )
