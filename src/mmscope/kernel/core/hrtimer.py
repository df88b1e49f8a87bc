# SPDX-License-Identifier: GPL-2.0-or-later
"""Timers on the virtual clock (kernel/time/hrtimer.c). They expire at kernel entries, between slices, and when all sleep."""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
from mmscope.kernel.include.hrtimer import HrTimer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["hrtimer_cancel", "hrtimer_run_queues", "hrtimer_start", "schedule_hrtimeout"]


def hrtimer_start(k: Kernel, timer: HrTimer, expires: int) -> None:
    """Arm `timer` (again) for `expires`, CLOCK_MONOTONIC ns. Timers of the same time expire in the order of arming."""
    hrtimer_cancel(k, timer)
    timer.expires = expires
    timer.queued = True
    timers = k.hrtimers
    at = len(timers)
    while at and timers[at - 1].expires > expires:
        at -= 1
    timers.insert(at, timer)


def hrtimer_cancel(k: Kernel, timer: HrTimer) -> bool:
    """Disarm; True if it was armed."""
    if not timer.queued:
        return False
    timer.queued = False
    k.hrtimers.remove(timer)
    return True


def hrtimer_run_queues(k: Kernel) -> None:
    """Call what is due."""
    timers = k.hrtimers
    while timers and timers[0].expires <= k.timekeeper.now_ns:
        timer = timers.pop(0)
        timer.queued = False
        timer.function(k, timer)


def hrtimer_wakeup(k: Kernel, timer: HrTimer) -> None:
    """The end of a sleep with a timeout."""
    sleeper = timer.data
    assert isinstance(sleeper, HrTimerSleeper)
    task = sleeper.task
    sleeper.task = None
    if task is not None:
        core_sched.wake_up_process(task)


class HrTimerSleeper:
    """struct hrtimer_sleeper: `task` None = the time is over."""

    def __init__(self, task: TaskStruct) -> None:
        self.task: TaskStruct | None = task


def schedule_hrtimeout(k: Kernel, expires: int | None) -> bool:
    """Sleep, in the state that the caller has set, until woken or until CLOCK_MONOTONIC `expires` (None: no limit).

    True: the time is over. The task is TASK_RUNNING afterwards.
    """
    current = k.current
    if expires is None:
        core_sched.schedule(k)
        return False
    if expires <= k.timekeeper.now_ns:
        core_sched.set_current_state(k, 0)
        return True
    sleeper = HrTimerSleeper(current)
    timer = HrTimer(hrtimer_wakeup, sleeper)
    hrtimer_start(k, timer, expires)
    core_sched.schedule(k)
    hrtimer_cancel(k, timer)
    core_sched.set_current_state(k, 0)
    return sleeper.task is None
