# SPDX-License-Identifier: GPL-2.0-or-later
"""Process numbers and identities (kernel/pid.c).

Numbers are handed out in turn, each as long as a task, a group or a session bears it.
"""

from __future__ import annotations

from mmscope.kernel.include.errno import EAGAIN, KernelError
from mmscope.kernel.include.pid import Pid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

#: After the numbers have been used up once, these are left to daemons.
RESERVED_PIDS: Final = 300


def alloc_pid(k: Kernel) -> int:
    """The next free number. EAGAIN: all are in use."""
    if not k.pids_wrapped and k.last_pid + 1 < k.pid_max:
        k.last_pid += 1
        return k.last_pid
    k.pids_wrapped = True
    used = set(k.tasks)
    for task in k.tasks.values():
        used.add(task.signal.pgrp)
        used.add(task.signal.session)
    for pid in range(k.last_pid + 1, k.pid_max):
        if pid not in used:
            k.last_pid = pid
            return pid
    for pid in range(RESERVED_PIDS, k.last_pid + 1):
        if pid not in used:
            k.last_pid = pid
            return pid
    raise KernelError(EAGAIN)


def get_task_pid(task: TaskStruct) -> Pid:
    """The task's identity."""
    if task.thread_pid is None:
        task.thread_pid = Pid(task.pid)
    return task.thread_pid


def pid_task(k: Kernel, pid: Pid) -> TaskStruct | None:
    """The task that is `pid`; None: it has been waited for."""
    task = k.tasks.get(pid.nr)
    return task if task is not None and task.thread_pid is pid else None
