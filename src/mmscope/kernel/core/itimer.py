# SPDX-License-Identifier: GPL-2.0-or-later
"""Interval timers (kernel/time/itimer.c) on the virtual clock. They expire at kernel entries and during sleeps."""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.signal import SI_KERNEL, SIGALRM, SIGPROF, SIGVTALRM, KernelSiginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

ITIMER_REAL: Final = 0
ITIMER_VIRTUAL: Final = 1
ITIMER_PROF: Final = 2


def run_timers(k: Kernel) -> None:
    """Send the signals of the current process's expired timers."""
    task = k.current
    signal = task.signal
    if signal.it_real_expires and k.timekeeper.now_ns >= signal.it_real_expires:
        it_real_fn(task)
    if signal.it_virt[0]:
        check_cpu_itimer(task, signal.it_virt, task.utime, SIGVTALRM)
    if signal.it_prof[0]:
        check_cpu_itimer(task, signal.it_prof, task.utime + task.stime, SIGPROF)


def it_real_fn(task: TaskStruct) -> None:
    """ITIMER_REAL is over: SIGALRM. It is armed again when the signal is dequeued: never, if it is ignored."""
    signal = task.signal
    signal.it_real_last = signal.it_real_expires
    signal.it_real_expires = 0
    core_signal.do_send_sig_info(SIGALRM, KernelSiginfo(SIGALRM, SI_KERNEL), task, True)


def check_cpu_itimer(task: TaskStruct, timer: list[int], cpu_ns: int, sig: int) -> None:
    """ITIMER_VIRTUAL or ITIMER_PROF: [expiry, interval] against the CPU time used."""
    if cpu_ns < timer[0]:
        return
    timer[0] = timer[0] + timer[1] if timer[1] else 0
    core_signal.do_send_sig_info(sig, KernelSiginfo(sig, SI_KERNEL), task, True)


def do_getitimer(k: Kernel, which: int) -> tuple[int, int]:
    """(remaining ns, interval ns). EINVAL: no such timer."""
    task = k.current
    signal = task.signal
    if which == ITIMER_REAL:
        if not signal.it_real_expires:
            return 0, signal.it_real_incr
        # An expired timer whose signal is about to come still shows a microsecond.
        return max(signal.it_real_expires - k.timekeeper.now_ns, 1000), signal.it_real_incr
    if which == ITIMER_VIRTUAL:
        timer, now = signal.it_virt, task.utime
    elif which == ITIMER_PROF:
        timer, now = signal.it_prof, task.utime + task.stime
    else:
        raise KernelError(EINVAL)
    return (max(timer[0] - now, 4_000_000) if timer[0] else 0), timer[1]


def do_setitimer(k: Kernel, which: int, value: int, interval: int) -> tuple[int, int]:
    """Arm (value ns > 0) or stop (0) a timer; the old (remaining, interval)."""
    old = do_getitimer(k, which)
    task = k.current
    signal = task.signal
    if which == ITIMER_REAL:
        signal.it_real_expires = k.timekeeper.now_ns + value if value else 0
        signal.it_real_incr = interval if value else 0
    elif which == ITIMER_VIRTUAL:
        signal.it_virt = [task.utime + value if value else 0, interval]
    else:
        signal.it_prof = [task.utime + task.stime + value if value else 0, interval]
    return old
