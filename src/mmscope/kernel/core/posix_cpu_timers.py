# SPDX-License-Identifier: GPL-2.0-or-later
"""Timers on CPU time (kernel/time/posix-cpu-timers.c): ITIMER_VIRTUAL and ITIMER_PROF, RLIMIT_CPU, timer_create(2) on CPU clocks.

They are looked at when the kernel is entered and, as `timers_active` makes computation count time, between slices.
"""

from __future__ import annotations

import mmscope.kernel.core.posix_timers as posix_timers
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_CPU
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.signal import SI_KERNEL, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU, KernelSiginfo
from mmscope.kernel.include.time import CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, NSEC_PER_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.core.posix_timers import KItimer
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import SignalStruct, TaskStruct

#: A CPU clock's id: ~pid << 3 | CPUCLOCK_PERTHREAD_MASK | kind.
CPUCLOCK_PERTHREAD_MASK: Final = 4
CPUCLOCK_CLOCK_MASK: Final = 3
CPUCLOCK_VIRT: Final = 1
CPUCLOCK_SCHED: Final = 2
CPUCLOCK_MAX: Final = 3
PROCESS_CLOCK: Final = (~0 << 3) | CPUCLOCK_SCHED
THREAD_CLOCK: Final = (~0 << 3) | CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED


def thread_group_cputime(task: TaskStruct) -> tuple[int, int]:
    """User and system time of all threads, dead ones too, ns."""
    utime, stime = task.signal.utime, task.signal.stime
    for t in task.signal.threads:
        utime += t.utime
        stime += t.stime
    return utime, stime


def make_clock(which_clock: int) -> int:
    """CLOCK_PROCESS_CPUTIME_ID and CLOCK_THREAD_CPUTIME_ID by the ids that other CPU clocks have."""
    if which_clock == CLOCK_PROCESS_CPUTIME_ID:
        return PROCESS_CLOCK
    return THREAD_CLOCK if which_clock == CLOCK_THREAD_CPUTIME_ID else which_clock


def pid_for_clock(k: Kernel, clock: int, gettime: bool) -> TaskStruct:
    """Whose clock it is: a thread of this process, or any process's leader. EINVAL."""
    if clock & CPUCLOCK_CLOCK_MASK >= CPUCLOCK_MAX:
        raise KernelError(EINVAL)
    current = k.current
    thread = clock & CPUCLOCK_PERTHREAD_MASK != 0
    upid = ~(clock >> 3)
    if upid == 0:
        return current if thread else current.group_leader
    task = k.tasks.get(upid)
    if task is None:
        raise KernelError(EINVAL)
    if thread:
        if task.signal is not current.signal:
            raise KernelError(EINVAL)
        return task
    if gettime and task is current:
        return current.group_leader
    if task.group_leader is not task:
        raise KernelError(EINVAL)
    return task


def cpu_clock_sample(clock: int, task: TaskStruct) -> int:
    """The clock `clock` of `task`, ns."""
    if clock & CPUCLOCK_PERTHREAD_MASK:
        utime, stime = task.utime, task.stime
    else:
        utime, stime = thread_group_cputime(task)
    return utime if clock & CPUCLOCK_CLOCK_MASK == CPUCLOCK_VIRT else utime + stime


def posix_cpu_clock_get(k: Kernel, which_clock: int) -> int:
    """clock_gettime(2) of a CPU clock, ns. EINVAL."""
    clock = make_clock(which_clock)
    return cpu_clock_sample(clock, pid_for_clock(k, clock, True))


def update_timers_active(signal: SignalStruct) -> None:
    """To be called when one of this process's CPU timers was armed or stopped."""
    signal.timers_active = bool(
        signal.it_virt[0] or signal.it_prof[0] or signal.cpu_timers or signal.rlim[RLIMIT_CPU].rlim_cur != RLIM_INFINITY
    )


def run_posix_cpu_timers(k: Kernel) -> None:
    """The current process's timers and limit against the CPU time that it has used."""
    task = k.current
    signal = task.signal
    if task.exit_state:
        return
    utime, stime = thread_group_cputime(task)
    if signal.it_virt[0]:
        check_cpu_itimer(task, signal.it_virt, utime, SIGVTALRM)
    if signal.it_prof[0]:
        check_cpu_itimer(task, signal.it_prof, utime + stime, SIGPROF)
    if signal.cpu_timers:
        for timr in signal.cpu_timers[:]:
            if timr.cpu_expires <= cpu_clock_sample(timr.it_clock, timr.cpu_task):
                cpu_timer_fire(k, timr)
    rlim = signal.rlim[RLIMIT_CPU]
    if rlim.rlim_cur != RLIM_INFINITY:
        check_rlimit_cpu(task, utime + stime)
    update_timers_active(signal)


def check_cpu_itimer(task: TaskStruct, timer: list[int], cpu_ns: int, sig: int) -> None:
    """ITIMER_VIRTUAL or ITIMER_PROF: [expiry, interval] against the CPU time used."""
    if cpu_ns < timer[0]:
        return
    timer[0] = timer[0] + timer[1] if timer[1] else 0
    core_signal.do_send_sig_info(sig, KernelSiginfo(sig, SI_KERNEL), task, True)


def check_rlimit_cpu(task: TaskStruct, cpu_ns: int) -> None:
    """RLIMIT_CPU: SIGXCPU at the soft limit and each second from then on, SIGKILL at the hard one."""
    rlim = task.signal.rlim[RLIMIT_CPU]
    if rlim.rlim_max != RLIM_INFINITY and cpu_ns >= rlim.rlim_max * NSEC_PER_SEC:
        core_signal.do_send_sig_info(SIGKILL, KernelSiginfo(SIGKILL, SI_KERNEL), task, True)
    elif cpu_ns >= rlim.rlim_cur * NSEC_PER_SEC:
        core_signal.do_send_sig_info(SIGXCPU, KernelSiginfo(SIGXCPU, SI_KERNEL), task, True)
        rlim.rlim_cur += 1


# --- timer_create(2)'s


def arm_timer(timr: KItimer, expires: int) -> None:
    """It shall expire when its clock shows `expires`, ns."""
    timr.cpu_expires = expires
    signal = timr.cpu_task.signal
    if timr not in signal.cpu_timers:
        signal.cpu_timers.append(timr)
    signal.timers_active = True


def disarm_timer(timr: KItimer) -> None:
    """Stop it, if it runs."""
    timr.cpu_expires = 0
    signal = timr.cpu_task.signal
    if timr in signal.cpu_timers:
        signal.cpu_timers.remove(timr)
        update_timers_active(signal)


def cpu_timer_fire(k: Kernel, timr: KItimer) -> None:
    """It is over: the signal, or the end of a clock_nanosleep(2). Intervals go on by themselves."""
    expires = timr.cpu_expires
    disarm_timer(timr)
    if timr.sleeper is not None:
        core_sched.wake_up_process(timr.sleeper)
        return
    posix_timers.posix_timer_event(k, timr)
    if timr.it_interval:
        missed = max((cpu_clock_sample(timr.it_clock, timr.cpu_task) - expires) // timr.it_interval, 0)
        timr.it_overrun += missed
        arm_timer(timr, expires + (missed + 1) * timr.it_interval)


def posix_cpu_timer_get(timr: KItimer) -> tuple[int, int]:
    """(remaining, interval), ns; remaining 0 = not armed."""
    if not timr.cpu_expires:
        return 0, timr.it_interval
    return max(timr.cpu_expires - cpu_clock_sample(timr.it_clock, timr.cpu_task), 1), timr.it_interval


def posix_cpu_timer_set(k: Kernel, timr: KItimer, absolute: bool, value: int) -> None:
    """Arm for `value` ns from now, or of the clock."""
    now = cpu_clock_sample(timr.it_clock, timr.cpu_task)
    arm_timer(timr, value if absolute else now + value)
    if timr.cpu_expires <= now:
        cpu_timer_fire(k, timr)


def do_cpu_nanosleep(k: Kernel, clock: int, expires: int) -> int:
    """Sleep until a CPU clock shows `expires`, ns; what is left when a signal ends it."""
    task = pid_for_clock(k, clock, False)
    current = k.current
    timr = posix_timers.KItimer(-1, clock, posix_timers.SIGEV_NONE, 0, 0, current)
    timr.cpu_task = task
    timr.sleeper = current
    current.wchan = "clock_nanosleep on a CPU-time clock"
    if cpu_clock_sample(clock, task) < expires:
        arm_timer(timr, expires)
    while timr.cpu_expires and not core_signal.signal_pending(current):
        current.state = TASK_INTERRUPTIBLE
        core_sched.schedule(k)
    current.state = TASK_RUNNING
    current.wchan = ""
    left = max(expires - cpu_clock_sample(clock, task), 1) if timr.cpu_expires else 0
    disarm_timer(timr)
    return left
