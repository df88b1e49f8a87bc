# SPDX-License-Identifier: GPL-2.0-or-later
"""struct pid (include/linux/pid.h). Data only: core/pid.py has the functions."""

from __future__ import annotations

from mmscope.kernel.include.wait import WaitQueueHead


class Pid:
    """struct pid: the identity of a task, which outlives it; the number may go to another task, this object does not.

    A task has one from the moment when somebody asks for it (get_task_pid()).
    """

    def __init__(self, nr: int) -> None:
        self.nr = nr
        #: Who polls a pidfd.
        self.wait_pidfd = WaitQueueHead()
