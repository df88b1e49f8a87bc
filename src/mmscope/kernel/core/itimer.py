# SPDX-License-Identifier: GPL-2.0-or-later
"""Interval timers (kernel/time/itimer.c) on the virtual clock. They expire at kernel entries and during sleeps."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.posix_timers as core_posix_timers
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.hrtimer import HrTimer
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_CPU, Rlimit
from mmscope.kernel.include.sched import SignalStruct
from mmscope.kernel.include.signal import SI_KERNEL, SIGALRM, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU, KernelSiginfo
from mmscope.kernel.include.time import NSEC_PER_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

ITIMER_REAL: Final = 0
ITIMER_VIRTUAL: Final = 1
ITIMER_PROF: Final = 2


def run_timers(k: Kernel) -> None:
    """Call expired timers, and check the CPU-time timers of the current process."""
    if k.hrtimers:
        core_hrtimer.hrtimer_run_queues(k)
    task = k.current
    signal = task.signal
    if signal.it_virt[0] and not task.exit_state:
        check_cpu_itimer(task, signal.it_virt, thread_group_cputime(task)[0], SIGVTALRM)
    if signal.it_prof[0] and not task.exit_state:
        check_cpu_itimer(task, signal.it_prof, sum(thread_group_cputime(task)), SIGPROF)
    if signal.rlim[RLIMIT_CPU].rlim_cur != RLIM_INFINITY and not task.exit_state:
        check_cpu_limit(task, signal.rlim[RLIMIT_CPU])


def check_cpu_limit(task: TaskStruct, limit: Rlimit) -> None:
    """RLIMIT_CPU, in seconds: SIGXCPU at the soft limit and each second from there on, SIGKILL at the hard one."""
    cpu_ns = sum(thread_group_cputime(task))
    if cpu_ns >= limit.rlim_max * NSEC_PER_SEC:
        core_signal.do_send_sig_info(SIGKILL, KernelSiginfo(SIGKILL, SI_KERNEL), task, True)
    elif cpu_ns >= limit.rlim_cur * NSEC_PER_SEC:
        limit.rlim_cur += 1
        core_signal.do_send_sig_info(SIGXCPU, KernelSiginfo(SIGXCPU, SI_KERNEL), task, True)


def thread_group_cputime(task: TaskStruct) -> tuple[int, int]:
    """User and system time of all threads, dead ones too, ns."""
    utime, stime = task.signal.utime, task.signal.stime
    for t in task.signal.threads:
        utime += t.utime
        stime += t.stime
    return utime, stime


def it_real_fn(k: Kernel, timer: HrTimer) -> None:
    """ITIMER_REAL is over: SIGALRM. It is armed again when the signal is dequeued: never, if it is ignored."""
    signal = timer.data
    assert isinstance(signal, SignalStruct)
    if signal.threads:
        core_signal.do_send_sig_info(SIGALRM, KernelSiginfo(SIGALRM, SI_KERNEL), signal.threads[0].group_leader, True)


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
        real = signal.real_timer
        if real is None or not real.queued:
            return 0, signal.it_real_incr
        # An expired timer whose signal is about to come still shows a microsecond.
        return max(real.expires - k.timekeeper.now_ns, 1000), signal.it_real_incr
    utime, stime = thread_group_cputime(task)
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
    utime, stime = thread_group_cputime(task)
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
    return old


def exit_itimers(k: Kernel, signal: SignalStruct) -> None:
    """The process is dead: its timers are off."""
    core_posix_timers.exit_posix_timers(k, signal)
    if signal.real_timer is not None:
        core_hrtimer.hrtimer_cancel(k, signal.real_timer)
    signal.it_virt = [0, 0]
    signal.it_prof = [0, 0]
