# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual clock (kernel/time/timekeeping.c): nothing here looks at the host's.

Time passes only because the guest does something that the model can count: SYSCALL_NS a system call, FAULT_NS a page
fault, RDTSC_NS a read of the time stamp counter, and the whole of a sleep. The TSC runs at 1 GHz: 1 cycle = 1 ns. The same
input so gives the same times. HZ is 250; the coarse clocks and the vvar page move with the tick.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.vdso import update_vsyscall
from mmscope.kernel.include.time import NSEC_PER_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

SYSCALL_NS: Final = 1000
FAULT_NS: Final = 500
RDTSC_NS: Final = 25

HZ: Final = 250
TICK_NSEC: Final = 1_000_000_000 // HZ
#: USER_HZ: the unit of times(2).
USER_HZ: Final = 100

#: Boot is not instantaneous: CLOCK_MONOTONIC when the first program starts.
BOOT_NS: Final = NSEC_PER_SEC


class Timekeeper:
    """struct timekeeper: CLOCK_MONOTONIC is `now_ns`; CLOCK_REALTIME is `wall_to_monotonic` ahead of it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: CLOCK_MONOTONIC, CLOCK_BOOTTIME and the TSC, virtual ns since boot.
        self.now_ns = BOOT_NS
        #: CLOCK_REALTIME - CLOCK_MONOTONIC, ns.
        self.wall_offset_ns = kernel.config.boot_time - BOOT_NS
        #: CLOCK_MONOTONIC at the last tick: what the coarse clocks say.
        self.tick_ns = BOOT_NS

    def advance(self, ns: int) -> None:
        """`ns` pass; crossing a tick updates the vvar page."""
        self.now_ns += ns
        if self.now_ns - self.tick_ns >= TICK_NSEC:
            self.timekeeping_tick()

    def timekeeping_tick(self) -> None:
        """Bring the coarse clocks and the vvar page up to the last tick."""
        self.tick_ns = self.now_ns - self.now_ns % TICK_NSEC
        update_vsyscall(self.kernel)

    def account_syscall(self) -> None:
        """A system call costs SYSCALL_NS of system time."""
        self.kernel.current.stime += SYSCALL_NS
        self.advance(SYSCALL_NS)

    def account_fault(self) -> None:
        """A page fault costs FAULT_NS of system time."""
        self.kernel.current.stime += FAULT_NS
        self.advance(FAULT_NS)

    def read_tsc(self) -> int:
        """rdtsc by the guest: the counter's value; costs RDTSC_NS of user time."""
        self.kernel.current.utime += RDTSC_NS
        self.advance(RDTSC_NS)
        return self.now_ns

    def ktime_get_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return self.now_ns

    def ktime_get_real_ns(self) -> int:
        """CLOCK_REALTIME."""
        return self.now_ns + self.wall_offset_ns

    def set_realtime(self, ns: int) -> None:
        """do_settimeofday64(): CLOCK_REALTIME becomes `ns`."""
        self.wall_offset_ns = ns - self.now_ns
        self.timekeeping_tick()
        if self.kernel.timerfd_cancel_list:
            import mmscope.kernel.fs.timerfd as timerfd

            timerfd.timerfd_clock_was_set(self.kernel)


def timekeeping_init(k: Kernel) -> None:
    """Give the kernel its clock. The vvar page is written when the first tick or process needs it."""
    k.timekeeper = Timekeeper(k)


def ktime_get_ns(k: Kernel) -> int:
    """CLOCK_MONOTONIC."""
    return k.timekeeper.now_ns


def ktime_get_real_ns(k: Kernel) -> int:
    """CLOCK_REALTIME."""
    return k.timekeeper.now_ns + k.timekeeper.wall_offset_ns


def ktime_get_coarse_ns(k: Kernel) -> int:
    """CLOCK_MONOTONIC_COARSE: the time at the last tick."""
    return k.timekeeper.tick_ns


def ktime_get_coarse_real_ns(k: Kernel) -> int:
    """CLOCK_REALTIME_COARSE."""
    return k.timekeeper.tick_ns + k.timekeeper.wall_offset_ns


def jiffies(k: Kernel) -> int:
    """Ticks since boot."""
    return k.timekeeper.now_ns // TICK_NSEC
