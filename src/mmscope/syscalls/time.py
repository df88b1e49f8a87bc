# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on time (kernel/time/{time,posix-timers,hrtimer,itimer}.c), all on the virtual clock."""

from __future__ import annotations

import mmscope.kernel.core.posix_cpu_timers as posix_cpu_timers
import mmscope.kernel.core.posix_timers as posix_timers
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.futex import futex_wait_restart
from mmscope.kernel.core.itimer import ITIMER_REAL, do_getitimer, do_setitimer
from mmscope.kernel.core.sched import sleep
from mmscope.kernel.core.sys import do_sys_times
from mmscope.kernel.core.timekeeping import (
    TICK_NSEC,
    ktime_get_coarse_ns,
    ktime_get_coarse_real_ns,
    ktime_get_ns,
    ktime_get_real_ns,
)
from mmscope.kernel.include.capability import CAP_SYS_TIME
from mmscope.kernel.include.errno import (
    EINTR,
    EINVAL,
    EOPNOTSUPP,
    EPERM,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
    KernelError,
)
from mmscope.kernel.include.time import (
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_MONOTONIC,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_REALTIME_COARSE,
    CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID,
    NSEC_PER_SEC,
    TIMER_ABSTIME,
)
from mmscope.syscalls.args import s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


#: Clocks without ->nsleep; the alarm clocks for want of an RTC.
_CANNOT_SLEEP: Final = (
    CLOCK_THREAD_CPUTIME_ID,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
)


#: KTIME_MAX: longer sleeps end here, in 292 years.
KTIME_MAX: Final = (1 << 63) - 1
KTIME_SEC_MAX: Final = KTIME_MAX // NSEC_PER_SEC


def timespec(ns: int) -> bytes:
    """struct timespec."""
    return (ns // NSEC_PER_SEC).to_bytes(8, "little", signed=True) + (ns % NSEC_PER_SEC).to_bytes(8, "little")


def timeval(ns: int) -> bytes:
    """struct timeval."""
    return (ns // NSEC_PER_SEC).to_bytes(8, "little", signed=True) + (ns % NSEC_PER_SEC // 1000).to_bytes(8, "little")


def read_timespec(k: Kernel, addr: int) -> int:
    """A struct timespec as ns, limited to KTIME_MAX; -1 if it is none (negative, or a billion ns and more)."""
    raw = copy_from_user(k, addr, 16)
    sec = int.from_bytes(raw[0:8], "little", signed=True)
    nsec = int.from_bytes(raw[8:16], "little")
    if sec < 0 or nsec >= NSEC_PER_SEC:
        return -1
    return KTIME_MAX if sec >= KTIME_SEC_MAX else sec * NSEC_PER_SEC + nsec


def clock_now(k: Kernel, which: int) -> int:
    """The clock's time, ns. EINVAL for a clock that is not there; the alarm clocks need an RTC."""
    if which in (CLOCK_REALTIME, CLOCK_TAI):
        return ktime_get_real_ns(k)
    if which in (CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME):
        return ktime_get_ns(k)
    if which == CLOCK_REALTIME_COARSE:
        return ktime_get_coarse_real_ns(k)
    if which == CLOCK_MONOTONIC_COARSE:
        return ktime_get_coarse_ns(k)
    if which < 0 or which in (CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID):
        return posix_cpu_timers.posix_cpu_clock_get(k, which)
    raise KernelError(EINVAL)


def clock_gettime(k: Kernel, regs: PtRegs) -> int:
    """clock_gettime(which_clock, tp)."""
    copy_to_user(k, regs.si, timespec(clock_now(k, s32(regs.di))))
    return 0


def clock_getres(k: Kernel, regs: PtRegs) -> int:
    """clock_getres(which_clock, tp): 1 ns, a tick for the coarse clocks."""
    which = s32(regs.di)
    clock_now(k, which)
    if regs.si:
        copy_to_user(k, regs.si, timespec(TICK_NSEC if which in (CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE) else 1))
    return 0


def clock_settime(k: Kernel, regs: PtRegs) -> int:
    """clock_settime(which_clock, tp): CLOCK_REALTIME only, and for root."""
    which = s32(regs.di)
    # The CPU clocks of this process have no ->clock_set; those of another one answer EPERM.
    if which != CLOCK_REALTIME and which >= 0:
        raise KernelError(EINVAL)
    ns = read_timespec(k, regs.si)
    if which < 0:
        clock_now(k, which)
        raise KernelError(EPERM)
    if ns < 0:
        raise KernelError(EINVAL)
    if not capable(k, CAP_SYS_TIME):
        raise KernelError(EPERM)
    k.timekeeper.set_realtime(ns)
    return 0


def do_nanosleep(k: Kernel, which: int, expires: int, absolute: bool, rmtp: int) -> int:
    """Sleep until CLOCK_MONOTONIC `expires`; interrupted: what is left goes to `rmtp`, and the rest can be slept later."""
    if sleep(k, expires, "nanosleep"):
        return 0
    if absolute:
        return -ERESTARTNOHAND
    left = max(expires - k.timekeeper.now_ns, 0)
    if left == 0:
        return 0
    return set_restart(k, which, expires, left, rmtp)


def nanosleep(k: Kernel, regs: PtRegs) -> int:
    """nanosleep(rqtp, rmtp)."""
    ns = read_timespec(k, regs.di)
    if ns < 0:
        raise KernelError(EINVAL)
    return do_nanosleep(k, CLOCK_MONOTONIC, k.timekeeper.now_ns + ns, False, regs.si)


def clock_nanosleep(k: Kernel, regs: PtRegs) -> int:
    """clock_nanosleep(which_clock, flags, rqtp, rmtp)."""
    which, flags = s32(regs.di), s32(regs.si)
    if which in _CANNOT_SLEEP:
        raise KernelError(EOPNOTSUPP)
    cpu_clock = which == CLOCK_PROCESS_CPUTIME_ID or which < 0
    now = 0 if cpu_clock else clock_now(k, which)
    ns = read_timespec(k, regs.dx)
    if ns < 0:
        raise KernelError(EINVAL)
    absolute = flags & TIMER_ABSTIME != 0
    if cpu_clock:
        return cpu_nanosleep(k, posix_cpu_timers.make_clock(which), ns, absolute, regs.r10)
    if absolute:
        ns -= now
    return do_nanosleep(k, which, k.timekeeper.now_ns + max(ns, 0), absolute, 0 if absolute else regs.r10)


def cpu_nanosleep(k: Kernel, which: int, ns: int, absolute: bool, rmtp: int) -> int:
    """clock_nanosleep(2) on a CPU clock, not the caller's own: that would never end, EINVAL."""
    task = posix_cpu_timers.pid_for_clock(k, which, False)
    if which & posix_cpu_timers.CPUCLOCK_PERTHREAD_MASK and task is k.current:
        raise KernelError(EINVAL)
    expires = ns if absolute else posix_cpu_timers.cpu_clock_sample(which, task) + ns
    left = posix_cpu_timers.do_cpu_nanosleep(k, which, expires)
    if not left:
        return 0
    if absolute:
        return -ERESTARTNOHAND
    return set_restart(k, which, expires, left, rmtp)


def cpu_nanosleep_restart(k: Kernel, which: int, expires: int, rmtp: int) -> int:
    """Until the CPU clock shows `expires`."""
    left = posix_cpu_timers.do_cpu_nanosleep(k, which, expires)
    return set_restart(k, which, expires, left, rmtp) if left else 0


def set_restart(k: Kernel, which: int, expires: int, left: int, rmtp: int) -> int:
    """A sleep was interrupted: what is left goes to `rmtp`, and restart_syscall(2) sleeps it."""
    if rmtp:
        copy_to_user(k, rmtp, timespec(left))
    current = k.current
    current.restart_futex = None
    current.restart_clockid = which
    current.restart_expires = expires
    current.restart_rmtp = rmtp
    return -ERESTART_RESTARTBLOCK


def restart_syscall(k: Kernel, regs: PtRegs) -> int:
    """restart_syscall(): go on with an interrupted nanosleep or futex wait; EINTR if there is none."""
    current = k.current
    if current.restart_futex is not None:
        data = current.restart_futex
        current.restart_futex = None
        return futex_wait_restart(k, data)
    which = current.restart_clockid
    if which == -1:
        raise KernelError(EINTR)
    current.restart_clockid = -1
    if which < 0:
        return cpu_nanosleep_restart(k, which, current.restart_expires, current.restart_rmtp)
    return do_nanosleep(k, which, current.restart_expires, False, current.restart_rmtp)


def gettimeofday(k: Kernel, regs: PtRegs) -> int:
    """gettimeofday(tv, tz)."""
    if regs.di:
        copy_to_user(k, regs.di, timeval(ktime_get_real_ns(k)))
    if regs.si:
        copy_to_user(k, regs.si, bytes(8))
    return 0


def settimeofday(k: Kernel, regs: PtRegs) -> int:
    """settimeofday(tv, tz)."""
    ns = -1
    if regs.di:
        raw = copy_from_user(k, regs.di, 16)
        sec, usec = int.from_bytes(raw[0:8], "little", signed=True), int.from_bytes(raw[8:16], "little", signed=True)
        if not 0 <= usec <= 1_000_000 or sec < 0:
            raise KernelError(EINVAL)
        ns = sec * NSEC_PER_SEC + usec * 1000
    if not capable(k, CAP_SYS_TIME):
        raise KernelError(EPERM)
    if ns >= 0:
        k.timekeeper.set_realtime(ns)
    return 0


def time(k: Kernel, regs: PtRegs) -> int:
    """time(tloc): the coarse clock's seconds."""
    now = ktime_get_coarse_real_ns(k) // NSEC_PER_SEC
    if regs.di:
        copy_to_user(k, regs.di, now.to_bytes(8, "little"))
    return now


def times(k: Kernel, regs: PtRegs) -> int:
    """times(tbuf)."""
    tms, ticks = do_sys_times(k)
    if regs.di:
        copy_to_user(k, regs.di, tms)
    return ticks


def _itimerval(value: tuple[int, int]) -> bytes:
    """struct itimerval of (remaining, interval) ns: the interval first."""
    return timeval(value[1]) + timeval(value[0])


def getitimer(k: Kernel, regs: PtRegs) -> int:
    """getitimer(which, value)."""
    copy_to_user(k, regs.si, _itimerval(do_getitimer(k, s32(regs.di))))
    return 0


def setitimer(k: Kernel, regs: PtRegs) -> int:
    """setitimer(which, value, ovalue): no value stops the timer."""
    interval = value = 0
    if regs.si:
        raw = copy_from_user(k, regs.si, 32)
        fields = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, 32, 8)]
        for sec, usec in ((fields[2], fields[3]), (fields[0], fields[1])):
            if sec < 0 or not 0 <= usec < 1_000_000:
                raise KernelError(EINVAL)
        interval = fields[0] * NSEC_PER_SEC + fields[1] * 1000
        value = fields[2] * NSEC_PER_SEC + fields[3] * 1000
    else:
        k.printk(f"{k.current.comm} calls setitimer() with new_value NULL pointer. Misfeature support will be removed")
    old = do_setitimer(k, s32(regs.di), value, interval)
    if regs.dx:
        copy_to_user(k, regs.dx, _itimerval(old))
    return 0


def alarm(k: Kernel, regs: PtRegs) -> int:
    """alarm(seconds): the rest of the old one, rounded to seconds, at least 1 if it was armed."""
    old = do_setitimer(k, ITIMER_REAL, u32(regs.di) * NSEC_PER_SEC, 0)[0]
    sec, usec = old // NSEC_PER_SEC, old % NSEC_PER_SEC // 1000
    return sec + 1 if (not sec and usec) or usec >= 500_000 else sec


def timer_create(k: Kernel, regs: PtRegs) -> int:
    """timer_create(which_clock, timer_event_spec, created_timer_id)."""
    event: tuple[int, int, int, int] | None = None
    if regs.si:
        raw = copy_from_user(k, regs.si, 64)
        words = [int.from_bytes(raw[i : i + 4], "little") for i in (8, 12, 16)]
        event = int.from_bytes(raw[:8], "little"), words[0], words[1], words[2]
    timer_id = posix_timers.do_timer_create(k, s32(regs.di), event)
    try:
        copy_to_user(k, regs.dx, timer_id.to_bytes(4, "little"))
    except KernelError:
        posix_timers.do_timer_delete(k, timer_id)
        raise
    return 0


def itimerspec(value: tuple[int, int]) -> bytes:
    """struct itimerspec of (remaining, interval) ns: the interval first."""
    return timespec(value[1]) + timespec(value[0])


def timer_settime(k: Kernel, regs: PtRegs) -> int:
    """timer_settime(timer_id, flags, new_setting, old_setting)."""
    if not regs.dx:
        raise KernelError(EINVAL)
    interval, value = read_timespec(k, regs.dx), read_timespec(k, regs.dx + 16)
    if interval < 0 or value < 0:
        raise KernelError(EINVAL)
    old = posix_timers.do_timer_settime(k, s32(regs.di), s32(regs.si), value, interval)
    if regs.r10:
        copy_to_user(k, regs.r10, itimerspec(old))
    return 0


def timer_gettime(k: Kernel, regs: PtRegs) -> int:
    """timer_gettime(timer_id, setting)."""
    timr = posix_timers.lock_timer(k, s32(regs.di))
    copy_to_user(k, regs.si, itimerspec(posix_timers.timer_get(k, timr)))
    return 0


def timer_getoverrun(k: Kernel, regs: PtRegs) -> int:
    """timer_getoverrun(timer_id): of the signal delivered last."""
    timr = posix_timers.lock_timer(k, s32(regs.di))
    return min(timr.it_overrun, posix_timers.OVERRUN_MAX)


def timer_delete(k: Kernel, regs: PtRegs) -> int:
    """timer_delete(timer_id)."""
    posix_timers.do_timer_delete(k, s32(regs.di))
    return 0
