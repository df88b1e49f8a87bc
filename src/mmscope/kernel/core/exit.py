# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a process (kernel/exit.c)."""

from __future__ import annotations

import mmscope.kernel.core.fork as core_fork
from mmscope.kernel.fs.file import exit_files
from mmscope.kernel.include.sched import EXIT_ZOMBIE
from mmscope.kernel.mm.memory import get_mm_rss, sync_mm_rss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def do_exit(k: Kernel, code: int) -> None:
    """End the current task with `code` (as wait4 gives it): memory, then files, then the working directory.

    Unlike in C it returns: `exit_state` tells the caller that the task must not run again.
    """
    tsk = k.current
    if tsk.exit_state:
        return
    tsk.exit_code = code
    mm = tsk.mm
    if mm is not None:
        sync_mm_rss(mm)
        # setmax_mm_hiwater_rss(): the process's maximum outlives its address space.
        tsk.signal.maxrss = max(tsk.signal.maxrss, mm.hiwater_rss, get_mm_rss(mm))
    tsk.signal.it_real_expires = 0
    core_fork.exit_mm(tsk)
    files = tsk.files
    tsk.files = None
    if files is not None:
        exit_files(files)
    tsk.fs = None
    tsk.tif_sigpending = False
    tsk.restart_clockid = -1
    tsk.exit_state = EXIT_ZOMBIE


def do_group_exit(k: Kernel, exit_code: int) -> None:
    """End the whole process. A group exit that has begun (a fatal signal) keeps its own code."""
    signal = k.current.signal
    if signal.group_exit:
        exit_code = signal.group_exit_code
    else:
        signal.group_exit = True
        signal.group_exit_code = exit_code
    do_exit(k, exit_code)


def sys_exit(k: Kernel, error_code: int) -> None:
    """exit(2): the thread; being the only one, the process."""
    k.current.signal.group_exit_code = (error_code & 0xFF) << 8
    do_exit(k, (error_code & 0xFF) << 8)


def sys_exit_group(k: Kernel, error_code: int) -> None:
    """exit_group(2)."""
    do_group_exit(k, (error_code & 0xFF) << 8)
