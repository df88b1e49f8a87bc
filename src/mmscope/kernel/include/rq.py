# SPDX-License-Identifier: GPL-2.0-or-later
"""The runqueue (kernel/sched/sched.h). Data only: core/sched.py has the functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mmscope.kernel.include.sched import SignalStruct, TaskStruct


class Rq:
    """struct rq: the CPU's runqueue."""

    def __init__(self) -> None:
        #: Runnable tasks in the order of their turns; the running one is not among them.
        self.queue: list[TaskStruct] = []
        #: Context switches since boot.
        self.nr_switches = 0
        #: What the CPU does from the return to user mode on, until the task is dead; the engine's. None: nothing can.
        self.enter_user: Callable[[TaskStruct], None] | None = None
        #: The stack of the machine's caller, once tasks have stacks of their own.
        self.idle: Any = None
        #: The process that the idle stack waits for; None: only for others to have finished.
        self.until: SignalStruct | None = None
        #: The idle stack must go on at the next chance (Ctrl-C).
        self.stop = False
