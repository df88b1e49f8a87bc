# SPDX-License-Identifier: GPL-2.0-or-later
"""POSIX interval timers (kernel/time/posix-timers.c): timer_create(2) and so on."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.posix_cpu_timers as posix_cpu_timers
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EAGAIN, EINVAL, EOPNOTSUPP, KernelError
from mmscope.kernel.include.hrtimer import HrTimer
from mmscope.kernel.include.resource import RLIMIT_SIGPENDING
from mmscope.kernel.include.signal import _NSIG, SI_TIMER, SIGALRM, KernelSiginfo, sigmask
from mmscope.kernel.include.time import (
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_REALTIME,
    CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID,
    TIMER_ABSTIME,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import SignalStruct, TaskStruct

SIGEV_SIGNAL: Final = 0
SIGEV_NONE: Final = 1
SIGEV_THREAD: Final = 2
SIGEV_THREAD_ID: Final = 4

#: DELAYTIMER_MAX
OVERRUN_MAX: Final = 0x7FFFFFFF


class KItimer:
    """struct k_itimer."""

    def __init__(self, it_id: int, it_clock: int, notify: int, signo: int, value: int, task: TaskStruct) -> None:
        self.it_id = it_id
        self.it_clock = it_clock
        self.notify = notify
        self.signo = signo
        self.value = value
        #: Who gets the signal; the process or, with SIGEV_THREAD_ID, this thread.
        self.task = task
        self.it_interval = 0
        #: Expirations since the signal that was queued last.
        self.it_overrun = 0
        #: Its signal waits to be taken.
        self.queued: KernelSiginfo | None = None
        self.timer = HrTimer(posix_timer_fn, self)
        #: On a CPU clock: whose, and what it shows when the timer expires (ns, 0 = off); who sleeps on it.
        self.cpu_task: TaskStruct = task
        self.cpu_expires = 0
        self.sleeper: TaskStruct | None = None


def posix_timer_event(k: Kernel, timr: KItimer) -> None:
    """It is over: the signal, unless the last one still waits (then one more overrun)."""
    if timr.notify != SIGEV_NONE and timr.task.signal.threads:
        queued = timr.queued
        pending = timr.task.pending if timr.notify & SIGEV_THREAD_ID else timr.task.signal.shared_pending
        if queued is not None and queued in pending.list:
            timr.it_overrun += 1
            queued.si_overrun = min(timr.it_overrun, OVERRUN_MAX)
        elif not timr.task.exit_state or not timr.notify & SIGEV_THREAD_ID:
            timr.it_overrun = 0
            info = KernelSiginfo(timr.signo, SI_TIMER)
            info.si_tid = timr.it_id
            info.si_value = timr.value
            timr.queued = info
            target = timr.task if timr.notify & SIGEV_THREAD_ID else timr.task.group_leader
            core_signal.send_signal(timr.signo, info, target, not timr.notify & SIGEV_THREAD_ID)


def posix_timer_fn(k: Kernel, timer: HrTimer) -> None:
    """The hrtimer's function. Intervals go on by themselves."""
    timr = timer.data
    assert isinstance(timr, KItimer)
    posix_timer_event(k, timr)
    if timr.it_interval:
        # Later by whole intervals; what was missed meanwhile counts as overrun.
        missed = max((k.timekeeper.now_ns - timer.expires) // timr.it_interval, 0)
        timr.it_overrun += missed
        core_hrtimer.hrtimer_start(k, timer, timer.expires + (missed + 1) * timr.it_interval)


def do_timer_create(k: Kernel, which_clock: int, event: tuple[int, int, int, int] | None) -> int:
    """A timer of the current process; `event`: (sigev_value, signo, notify, tid), None = SIGALRM with the timer's id."""
    cpu_task: TaskStruct | None = None
    if which_clock < 0 or which_clock in (CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID):
        which_clock = posix_cpu_timers.make_clock(which_clock)
        cpu_task = posix_cpu_timers.pid_for_clock(k, which_clock, False)
    elif which_clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI):
        # The alarm clocks, 8 and 9, need an RTC.
        raise KernelError(EOPNOTSUPP if which_clock in (4, 5, 6, 8, 9) else EINVAL)
    signal = k.current.signal
    # Its signal is allocated at once, and counts as queued.
    if core_signal.queued_signals(k.current) >= signal.rlim[RLIMIT_SIGPENDING].rlim_cur:
        raise KernelError(EAGAIN)
    signal.posix_timer_id += 1
    it_id = signal.posix_timer_id - 1
    task = k.current
    if event is None:
        value, signo, notify = it_id, SIGALRM, SIGEV_SIGNAL
    else:
        value, signo, notify, tid = event
        if notify & SIGEV_THREAD_ID:
            target = k.tasks.get(tid)
            if target is None or target.signal is not signal:
                raise KernelError(EINVAL)
            task = target
        if notify not in (SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID):
            raise KernelError(EINVAL)
        if notify != SIGEV_NONE and not 0 < signo <= _NSIG:
            raise KernelError(EINVAL)
    timr = KItimer(it_id, which_clock, notify, signo, value, task)
    if cpu_task is not None:
        timr.cpu_task = cpu_task
    signal.posix_timers[it_id] = timr
    return it_id


def lock_timer(k: Kernel, timer_id: int) -> KItimer:
    """The timer of this id. EINVAL."""
    timr = k.current.signal.posix_timers.get(timer_id)
    if timr is None:
        raise KernelError(EINVAL)
    return timr


def timer_get(k: Kernel, timr: KItimer) -> tuple[int, int]:
    """(remaining, interval), ns; remaining 0 = not armed."""
    if timr.it_clock < 0:
        return posix_cpu_timers.posix_cpu_timer_get(timr)
    if timr.notify == SIGEV_NONE:
        # Never queued, so that nobody knows whether it was stopped.
        now = k.timekeeper.now_ns
        if timr.it_interval and timr.timer.expires <= now:
            timr.timer.expires += ((now - timr.timer.expires) // timr.it_interval + 1) * timr.it_interval
        return max(timr.timer.expires - now, 0), timr.it_interval
    if not timr.timer.queued:
        return 0, timr.it_interval
    return max(timr.timer.expires - k.timekeeper.now_ns, 1), timr.it_interval


def timer_cancel(k: Kernel, timr: KItimer) -> None:
    """Stop it."""
    if timr.it_clock < 0:
        posix_cpu_timers.disarm_timer(timr)
    else:
        core_hrtimer.hrtimer_cancel(k, timr.timer)


def do_timer_settime(k: Kernel, timer_id: int, flags: int, value: int, interval: int) -> tuple[int, int]:
    """Arm (value > 0, ns; a moment of its clock with TIMER_ABSTIME) or stop; the old (remaining, interval)."""
    timr = lock_timer(k, timer_id)
    old = timer_get(k, timr)
    timer_cancel(k, timr)
    timr.it_overrun = 0
    drop_signal(k, timr)
    timr.it_interval = interval if value else 0
    if value and timr.it_clock < 0:
        posix_cpu_timers.posix_cpu_timer_set(k, timr, flags & TIMER_ABSTIME != 0, value)
    elif value:
        now = k.timekeeper.now_ns
        if flags & TIMER_ABSTIME:
            expires = value - (k.timekeeper.wall_offset_ns if timr.it_clock in (CLOCK_REALTIME, CLOCK_TAI) else 0)
        else:
            expires = now + value
        if timr.notify == SIGEV_NONE:
            timr.timer.expires = expires
        else:
            core_hrtimer.hrtimer_start(k, timr.timer, expires)
            core_hrtimer.hrtimer_run_queues(k)
    return old


def drop_signal(k: Kernel, timr: KItimer) -> None:
    """The timer is set anew, or gone. Since v6.13 the signal that it has sent before is never taken."""
    info = timr.queued
    timr.queued = None
    if info is None or not k.config.at_least(6, 13):
        return
    for pending in (timr.task.pending, timr.task.signal.shared_pending):
        if info in pending.list:
            pending.list.remove(info)
            if not any(other.si_signo == info.si_signo for other in pending.list):
                pending.signal &= ~sigmask(info.si_signo)


def do_timer_delete(k: Kernel, timer_id: int) -> None:
    """timer_delete(2)."""
    timr = lock_timer(k, timer_id)
    timer_cancel(k, timr)
    drop_signal(k, timr)
    del k.current.signal.posix_timers[timer_id]


def exit_posix_timers(k: Kernel, signal: SignalStruct) -> None:
    """All of a process: it is dead, or executes a new program."""
    for timr in signal.posix_timers.values():
        timer_cancel(k, timr)
    signal.posix_timers.clear()


def flush_itimer_signals(tsk: TaskStruct) -> None:
    """A new program does not get the signals of the old one's timers: they are taken out of the queues (kernel/signal.c)."""
    for pending in (tsk.pending, tsk.signal.shared_pending):
        retain = 0
        gone = 0
        for info in pending.list:
            if info.si_code == SI_TIMER:
                gone |= sigmask(info.si_signo)
            else:
                retain |= sigmask(info.si_signo)
        if gone:
            pending.signal = pending.signal & ~gone | retain
            pending.list = [info for info in pending.list if info.si_code != SI_TIMER]
