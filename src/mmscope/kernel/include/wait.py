# SPDX-License-Identifier: GPL-2.0-or-later
"""Wait queues and completions (include/linux/wait.h, completion.h). Data only: core/wait.py has the functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.sched import TaskStruct

WQ_FLAG_EXCLUSIVE: Final = 0x1


class WaitQueueEntry:
    """struct wait_queue_entry: who is to be woken, and how (`func` None = default_wake_function)."""

    def __init__(
        self, task: TaskStruct, func: Callable[[WaitQueueEntry, int, int], bool] | None = None, private: object = None
    ) -> None:
        self.task = task
        #: WQ_FLAG_*
        self.flags = 0
        #: (entry, mode, key) -> the task was woken.
        self.func = func
        self.private = private
        #: The queue that it stands on.
        self.wq_head: WaitQueueHead | None = None


class WaitQueueHead:
    """struct wait_queue_head: entries in the order of waking."""

    def __init__(self) -> None:
        self.head: list[WaitQueueEntry] = []


class Completion:
    """struct completion."""

    def __init__(self) -> None:
        self.done = 0
        self.wait = WaitQueueHead()
