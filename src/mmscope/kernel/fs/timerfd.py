# SPDX-License-Identifier: GPL-2.0-or-later
"""timerfd_create(2) and its relatives (fs/timerfd.c): a timer as something to read: how often it has expired."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.anon_inodes import anon_inode_getfd
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.read_write import noop_llseek
from mmscope.kernel.include.capability import CAP_WAKE_ALARM
from mmscope.kernel.include.errno import EAGAIN, ECANCELED, EINVAL, EPERM, ERESTARTSYS, KernelError
from mmscope.kernel.include.fs import O_CLOEXEC, O_NONBLOCK, O_RDWR, File, FileOperations, Inode
from mmscope.kernel.include.hrtimer import HrTimer
from mmscope.kernel.include.poll import POLLIN, PollTable, poll_wait
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["do_timerfd_create", "do_timerfd_gettime", "do_timerfd_settime", "timerfd_clock_was_set", "timerfd_fops"]

CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_BOOTTIME: Final = 7
CLOCK_REALTIME_ALARM: Final = 8
CLOCK_BOOTTIME_ALARM: Final = 9
TFD_TIMER_ABSTIME: Final = 1
TFD_TIMER_CANCEL_ON_SET: Final = 2


class TimerfdCtx:
    """struct timerfd_ctx."""

    def __init__(self, kernel: Kernel, clockid: int) -> None:
        self.kernel = kernel
        self.clockid = clockid
        self.tmr = HrTimer(timerfd_tmrproc, self)
        #: The interval, ns; 0: it expires once.
        self.tintv = 0
        #: Expirations not yet read.
        self.ticks = 0
        #: It has expired and was not armed again: intervals go on when somebody looks.
        self.expired = False
        self.settime_flags = 0
        #: TFD_TIMER_CANCEL_ON_SET counts, and the clock was set.
        self.might_cancel = False
        self.canceled = False
        self.wqh = WaitQueueHead()


def ctx_of(file: File) -> TimerfdCtx:
    """The timer behind `file`. EINVAL: it is none."""
    ctx = file.private_data
    if not isinstance(ctx, TimerfdCtx):
        raise KernelError(EINVAL)
    return ctx


def timerfd_tmrproc(k: Kernel, timer: HrTimer) -> None:
    """It expires."""
    ctx = timer.data
    assert isinstance(ctx, TimerfdCtx)
    ctx.expired = True
    ctx.ticks += 1
    core_wait.wake_up(ctx.wqh, POLLIN)


def timerfd_clock_was_set(k: Kernel) -> None:
    """CLOCK_REALTIME was set: who asked for it is told. Their list is Kernel.timerfd_cancel_list."""
    for one in list(k.timerfd_cancel_list):
        assert isinstance(one, TimerfdCtx)
        one.canceled = True
        one.ticks += 1
        core_wait.wake_up(one.wqh, POLLIN)


def isalarm(ctx: TimerfdCtx) -> bool:
    """One that would wake the machine."""
    return ctx.clockid in (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)


def setup_cancel(ctx: TimerfdCtx, flags: int) -> None:
    """Cancelling is for moments of CLOCK_REALTIME only; elsewhere the flag is ignored."""
    k = ctx.kernel
    wanted = (
        ctx.clockid in (CLOCK_REALTIME, CLOCK_REALTIME_ALARM) and flags & TFD_TIMER_ABSTIME and flags & TFD_TIMER_CANCEL_ON_SET
    )
    if wanted and not ctx.might_cancel:
        ctx.might_cancel = True
        k.timerfd_cancel_list.append(ctx)
    elif not wanted:
        remove_cancel(ctx)


def remove_cancel(ctx: TimerfdCtx) -> None:
    """Setting the clock does not matter to it any more."""
    if ctx.might_cancel:
        ctx.might_cancel = False
        ctx.kernel.timerfd_cancel_list.remove(ctx)


def advance(ctx: TimerfdCtx) -> int:
    """An interval timer that has expired is armed for its next moment: how often it has expired since the first time."""
    if not ctx.expired or not ctx.tintv:
        return 0
    k = ctx.kernel
    missed = (k.timekeeper.now_ns - ctx.tmr.expires) // ctx.tintv
    core_hrtimer.hrtimer_start(k, ctx.tmr, ctx.tmr.expires + (missed + 1) * ctx.tintv)
    ctx.expired = False
    return missed


def get_remaining(ctx: TimerfdCtx) -> int:
    """Ns until it expires next; 0: it is not armed."""
    if not ctx.tmr.queued:
        return 0
    return max(ctx.tmr.expires - ctx.kernel.timekeeper.now_ns, 0)


def timerfd_release(inode: Inode, file: File) -> None:
    """The last close."""
    ctx = ctx_of(file)
    remove_cancel(ctx)
    core_hrtimer.hrtimer_cancel(ctx.kernel, ctx.tmr)


def timerfd_read(file: File, count: int, pos: int) -> bytes:
    """How often it has expired since the last read, 8 bytes; waits for the first time. ECANCELED: the clock was set."""
    ctx = ctx_of(file)
    k = ctx.kernel
    current = k.current
    if count < 8:
        raise KernelError(EINVAL)
    if not ctx.ticks:
        if file.f_flags & O_NONBLOCK:
            raise KernelError(EAGAIN)
        wait = WaitQueueEntry(current)
        current.wchan = "a timerfd"
        interrupted = False
        while True:
            core_wait.prepare_to_wait(ctx.wqh, wait, TASK_INTERRUPTIBLE)
            if ctx.ticks:
                break
            if core_signal.signal_pending(current):
                interrupted = True
                break
            core_sched.schedule(k)
        core_wait.finish_wait(ctx.wqh, wait)
        current.wchan = ""
        if interrupted:
            raise KernelError(ERESTARTSYS)
    if ctx.might_cancel and ctx.canceled:
        ctx.canceled = False
        ctx.ticks = 0
        ctx.expired = False
        raise KernelError(ECANCELED)
    ticks = ctx.ticks + advance(ctx)
    ctx.expired = False
    ctx.ticks = 0
    return ticks.to_bytes(8, "little")


def timerfd_poll(file: File, pt: PollTable | None) -> int:
    """Readable after it has expired."""
    ctx = ctx_of(file)
    poll_wait(file, ctx.wqh, pt)
    return POLLIN if ctx.ticks else 0


def timerfd_show_fdinfo(file: File) -> str:
    """Its clock, flags and times."""
    ctx = ctx_of(file)
    value, interval = [f"({ns // 1_000_000_000}, {ns % 1_000_000_000})" for ns in (get_remaining(ctx), ctx.tintv)]
    return (
        f"clockid: {ctx.clockid}\nticks: {ctx.ticks}\nsettime flags: 0{ctx.settime_flags:o}\n"
        f"it_value: {value}\nit_interval: {interval}\n"
    )


timerfd_fops: Final = FileOperations(
    "timerfd_fops", noop_llseek, read=timerfd_read, poll=timerfd_poll, release=timerfd_release, show_fdinfo=timerfd_show_fdinfo
)


def do_timerfd_create(k: Kernel, clockid: int, flags: int) -> int:
    """timerfd_create(2): a descriptor. EINVAL: flags, clock; EPERM for alarms without CAP_WAKE_ALARM."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK) or clockid not in (
        CLOCK_MONOTONIC,
        CLOCK_REALTIME,
        CLOCK_REALTIME_ALARM,
        CLOCK_BOOTTIME,
        CLOCK_BOOTTIME_ALARM,
    ):
        raise KernelError(EINVAL)
    ctx = TimerfdCtx(k, clockid)
    if isalarm(ctx) and not capable(k, CAP_WAKE_ALARM):
        raise KernelError(EPERM)
    return anon_inode_getfd(k, "[timerfd]", timerfd_fops, ctx, O_RDWR | flags)


def do_timerfd_settime(k: Kernel, ufd: int, flags: int, value: int, interval: int) -> tuple[int, int]:
    """timerfd_settime(2): arm (value > 0, ns; a moment with TFD_TIMER_ABSTIME) or stop; the old (remaining, interval)."""
    if flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) or value < 0 or interval < 0:
        raise KernelError(EINVAL)
    ctx = ctx_of(fget(k, ufd))
    if isalarm(ctx) and not capable(k, CAP_WAKE_ALARM):
        raise KernelError(EPERM)
    setup_cancel(ctx, flags)
    # What is told of an interval timer that has expired is its next moment.
    advance(ctx)
    old = (get_remaining(ctx), ctx.tintv)
    core_hrtimer.hrtimer_cancel(k, ctx.tmr)
    ctx.expired = False
    ctx.ticks = 0
    ctx.tintv = interval
    if value:
        expires = value
        if not flags & TFD_TIMER_ABSTIME:
            expires += k.timekeeper.now_ns
        elif ctx.clockid in (CLOCK_REALTIME, CLOCK_REALTIME_ALARM):
            expires -= k.timekeeper.wall_offset_ns
        core_hrtimer.hrtimer_start(k, ctx.tmr, expires)
    if ctx.might_cancel and ctx.canceled and value:
        ctx.canceled = False
        raise KernelError(ECANCELED)
    ctx.settime_flags = flags
    core_hrtimer.hrtimer_run_queues(k)
    return old


def do_timerfd_gettime(k: Kernel, ufd: int) -> tuple[int, int]:
    """timerfd_gettime(2): (remaining, interval), ns."""
    ctx = ctx_of(fget(k, ufd))
    ctx.ticks += advance(ctx)
    return get_remaining(ctx), ctx.tintv
