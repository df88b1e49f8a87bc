# SPDX-License-Identifier: GPL-2.0-or-later
"""core/timekeeping.py: the virtual clock."""

from __future__ import annotations

from mmscope.kernel.core.timekeeping import (
    BOOT_NS,
    FAULT_NS,
    RDTSC_NS,
    SYSCALL_NS,
    TICK_NSEC,
    jiffies,
    ktime_get_coarse_ns,
    ktime_get_coarse_real_ns,
    ktime_get_ns,
    ktime_get_real_ns,
)

from .boot import boot_task


def test_boot_time_is_configured() -> None:
    k = boot_task()
    assert ktime_get_ns(k) == BOOT_NS
    assert ktime_get_real_ns(k) == k.config.boot_time
    assert jiffies(k) == 250


def test_costs() -> None:
    k = boot_task()
    tk = k.timekeeper
    tk.account_syscall()
    tk.account_fault()
    assert tk.read_tsc() == BOOT_NS + SYSCALL_NS + FAULT_NS + RDTSC_NS
    assert (k.current.stime, k.current.utime) == (SYSCALL_NS + FAULT_NS, RDTSC_NS)


def test_coarse_clocks_move_by_ticks() -> None:
    k = boot_task()
    k.timekeeper.advance(TICK_NSEC - 1)
    assert ktime_get_coarse_ns(k) == BOOT_NS
    k.timekeeper.advance(1)
    assert ktime_get_coarse_ns(k) == BOOT_NS + TICK_NSEC
    k.timekeeper.advance(TICK_NSEC * 7 // 2)
    assert ktime_get_coarse_real_ns(k) == k.config.boot_time + 4 * TICK_NSEC


def test_settimeofday_moves_only_the_wall_clock() -> None:
    k = boot_task()
    k.timekeeper.set_realtime(5)
    assert ktime_get_real_ns(k) == 5
    assert ktime_get_ns(k) == BOOT_NS
