# SPDX-License-Identifier: GPL-2.0-or-later
"""Sleeping with one task (kernel/sched/core.c, kernel/time/hrtimer.c): the clock jumps to whatever comes next.

A task that sleeps with nothing to wake it, neither timer nor timeout, would sleep for ever. The model says so and
kills it.
"""

from __future__ import annotations

import mmscope.kernel.core.itimer as core_itimer
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.signal import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def schedule_hrtimeout(k: Kernel, expires: int | None, what: str) -> bool:
    """Sleep until CLOCK_MONOTONIC `expires` (ns; None = for ever) or a signal. True: the time is over.

    `what` names the call in case nothing can end the sleep.
    """
    current = k.current
    current.nvcsw += 1
    core_itimer.run_timers(k)
    while not core_signal.signal_pending(current):
        now = k.timekeeper.now_ns
        if expires is not None and now >= expires:
            return True
        timer = current.signal.it_real_expires
        if timer and (expires is None or timer < expires):
            k.timekeeper.advance(max(0, timer - now))
            core_itimer.run_timers(k)
        elif expires is not None:
            k.timekeeper.advance(expires - now)
        else:
            deadlock(k, f"{current.comm}[{current.pid}]: {what} waits for ever")
            return False
    return False


def deadlock(k: Kernel, text: str) -> None:
    """Nothing in this machine can wake the current task again: say so, then SIGKILL."""
    k.warn(f"deadlock: {text}: no timer and no other task can end it; killed")
    core_signal.send_sig(k, SIGKILL, k.current, 1)
