# SPDX-License-Identifier: GPL-2.0-or-later
"""Interval timers (kernel/time/itimer.c) on the virtual clock: they expire at kernel entries, between slices, during sleeps."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.posix_cpu_timers as posix_cpu_timers
import mmscope.kernel.core.posix_timers as core_posix_timers
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.hrtimer import HrTimer
from mmscope.kernel.include.sched import SignalStruct
from mmscope.kernel.include.signal import SI_KERNEL, SIGALRM, KernelSiginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

ITIMER_REAL: Final = 0
ITIMER_VIRTUAL: Final = 1
ITIMER_PROF: Final = 2


def run_timers(k: Kernel) -> None:
    """Call expired timers, and check the CPU-time timers of the current process."""
    if k.hrtimers:
        core_hrtimer.hrtimer_run_queues(k)
    if k.current.signal.timers_active:
        posix_cpu_timers.run_posix_cpu_timers(k)


def it_real_fn(k: Kernel, timer: HrTimer) -> None:
    """ITIMER_REAL is over: SIGALRM. It is armed again when the signal is dequeued: never, if it is ignored."""
    signal = timer.data
    assert isinstance(signal, SignalStruct)
    if signal.threads:
        core_signal.do_send_sig_info(SIGALRM, KernelSiginfo(SIGALRM, SI_KERNEL), signal.threads[0].group_leader, True)


def do_getitimer(k: Kernel, which: int) -> tuple[int, int]:
    """(remaining ns, interval ns). EINVAL: no such timer."""
    task = k.current
    signal = task.signal
    if which == ITIMER_REAL:
        real = signal.real_timer
        if real is None or not real.queued:
            return 0, signal.it_real_incr
        # An expired timer whose signal is about to come still shows a microsecond.
        return max(real.expires - k.timekeeper.now_ns, 1000), signal.it_real_incr
    utime, stime = posix_cpu_timers.thread_group_cputime(task)
    if which == ITIMER_VIRTUAL:
        timer, now = signal.it_virt, utime
    elif which == ITIMER_PROF:
        timer, now = signal.it_prof, utime + stime
    else:
        raise KernelError(EINVAL)
    return (max(timer[0] - now, 4_000_000) if timer[0] else 0), timer[1]


def do_setitimer(k: Kernel, which: int, value: int, interval: int) -> tuple[int, int]:
    """Arm (value ns > 0) or stop (0) a timer; the old (remaining, interval)."""
    old = do_getitimer(k, which)
    task = k.current
    signal = task.signal
    utime, stime = posix_cpu_timers.thread_group_cputime(task)
    if which == ITIMER_REAL:
        if signal.real_timer is None:
            signal.real_timer = HrTimer(it_real_fn, signal)
        core_hrtimer.hrtimer_cancel(k, signal.real_timer)
        if value:
            core_hrtimer.hrtimer_start(k, signal.real_timer, k.timekeeper.now_ns + value)
        signal.it_real_incr = interval if value else 0
    elif which == ITIMER_VIRTUAL:
        signal.it_virt = [utime + value if value else 0, interval]
    else:
        signal.it_prof = [utime + stime + value if value else 0, interval]
    posix_cpu_timers.update_timers_active(signal)
    return old


def exit_itimers(k: Kernel, signal: SignalStruct) -> None:
    """The process is dead: its timers are off."""
    core_posix_timers.exit_posix_timers(k, signal)
    if signal.real_timer is not None:
        core_hrtimer.hrtimer_cancel(k, signal.real_timer)
    signal.it_virt = [0, 0]
    signal.it_prof = [0, 0]
    signal.timers_active = False
