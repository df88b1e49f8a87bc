# SPDX-License-Identifier: GPL-2.0-or-later
"""core/signal.py: what is queued, in which order it comes out, and what it does without a handler."""

from __future__ import annotations

import mmscope.kernel.core.sigaltstack as sigaltstack
import mmscope.kernel.core.signal as sig
import mmscope.kernel.core.sigprocmask as sigprocmask
from mmscope.kernel.core.itimer import ITIMER_REAL, do_getitimer, do_setitimer, run_timers
from mmscope.kernel.core.sched import sleep
from mmscope.kernel.include.errno import EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ESRCH
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.resource import RLIMIT_SIGPENDING
from mmscope.kernel.include.signal import (
    SA_RESETHAND,
    SEGV_MAPERR,
    SI_KERNEL,
    SI_QUEUE,
    SI_TKILL,
    SIG_BLOCK,
    SIG_DFL,
    SIG_IGN,
    SIG_KERNEL_ONLY_MASK,
    SIG_SETMASK,
    SIGALRM,
    SIGCHLD,
    SIGCONT,
    SIGHUP,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    SIGTERM,
    SIGTSTP,
    SIGUSR1,
    SIGUSR2,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
    KernelSiginfo,
    KSigaction,
    sigmask,
)
from tests.kernel.errnos import errno_of

from .boot import boot_task

HANDLER = 0x401000


def handle(k: Kernel, *signals: int, flags: int = 0) -> None:
    for s in signals:
        sigprocmask.do_sigaction(k, s, KSigaction(HANDLER, flags))


def kill(k: Kernel, signo: int) -> None:
    sig.kill_something_info(k, signo, KernelSiginfo(signo, 0, 0, k.current.tgid, 0), k.current.pid)


def taken(k: Kernel) -> list[int]:
    out: list[int] = []
    while True:
        got = sig.get_signal(k)
        if got is None:
            return out
        out.append(got[0].si_signo)


def test_lowest_number_first_but_faults_before_all() -> None:
    k = boot_task()
    handle(k, SIGHUP, SIGUSR1, SIGSEGV)
    kill(k, SIGUSR1)
    kill(k, SIGHUP)
    sig.force_sig_fault(k, SIGSEGV, SEGV_MAPERR, 0x1234)
    assert taken(k) == [SIGSEGV, SIGHUP, SIGUSR1]
    assert not k.current.tif_sigpending


def test_thread_signals_before_process_signals() -> None:
    k = boot_task()
    handle(k, SIGHUP, SIGUSR2)
    kill(k, SIGHUP)
    sig.do_tkill(k, 0, k.current.pid, SIGUSR2)
    assert taken(k) == [SIGUSR2, SIGHUP]


def test_legacy_signal_is_single_and_realtime_queues() -> None:
    k = boot_task()
    handle(k, SIGUSR1, 40)
    k.current.blocked = sigmask(SIGUSR1) | sigmask(40)
    for _ in range(3):
        kill(k, SIGUSR1)
        kill(k, 40)
    sigprocmask.set_current_blocked(k, 0)
    assert taken(k) == [SIGUSR1, 40, 40, 40]


def test_fatal_signal_ends_with_its_number_and_before_handlers() -> None:
    k = boot_task()
    handle(k, SIGHUP)
    kill(k, SIGHUP)
    kill(k, SIGTERM)
    assert taken(k) == []
    assert k.current.exit_code == SIGTERM
    assert k.current.exit_state


def test_no_core_is_written_so_no_core_flag() -> None:
    k = boot_task()
    sig.force_sig_fault(k, SIGSEGV, SEGV_MAPERR, 0)
    assert sig.get_signal(k) is None
    assert k.current.exit_code == SIGSEGV


def test_forced_signal_resets_an_ignored_or_blocked_one() -> None:
    k = boot_task()
    handle(k, SIGSEGV)
    sigprocmask.sigprocmask(k, SIG_BLOCK, sigmask(SIGSEGV))
    sig.force_sig(k, SIGSEGV)
    assert k.current.sighand.action[SIGSEGV - 1].sa_handler == SIG_DFL
    assert not k.current.blocked & sigmask(SIGSEGV)
    assert sig.get_signal(k) is None
    assert k.current.exit_code == SIGSEGV


def test_ignored_signals_are_not_even_queued() -> None:
    k = boot_task()
    sigprocmask.do_sigaction(k, SIGTERM, KSigaction(SIG_IGN))
    kill(k, SIGTERM)
    kill(k, SIGCHLD)
    assert not k.current.tif_sigpending
    assert k.current.signal.shared_pending.signal == 0


def test_blocked_ignored_signal_waits_and_is_dropped_by_sigaction() -> None:
    k = boot_task()
    sigprocmask.sigprocmask(k, SIG_BLOCK, sigmask(SIGCHLD))
    kill(k, SIGCHLD)
    assert sigprocmask.do_sigpending(k) == sigmask(SIGCHLD)
    sigprocmask.do_sigaction(k, SIGCHLD, KSigaction(SIG_DFL))
    assert sigprocmask.do_sigpending(k) == 0


def test_stop_and_continue_cancel_each_other() -> None:
    k = boot_task()
    k.current.blocked = sigmask(SIGTSTP) | sigmask(SIGCONT)
    kill(k, SIGTSTP)
    kill(k, SIGCONT)
    assert sigprocmask.do_sigpending(k) == sigmask(SIGCONT)
    kill(k, SIGTSTP)
    assert sigprocmask.do_sigpending(k) == sigmask(SIGTSTP)


def test_orphaned_group_ignores_tty_stops_and_sigstop_is_loud() -> None:
    k = boot_task()
    said: list[str] = []
    k.warn = said.append
    kill(k, SIGTSTP)
    assert taken(k) == []
    assert not k.current.exit_state
    kill(k, SIGSTOP)
    assert taken(k) == []
    assert k.current.exit_code == SIGKILL
    assert len(said) == 1
    assert "in a stop by signal 19: no timer and no other task can end it" in said[0]


def test_sigaction_refuses_kill_and_stop_but_shows_them() -> None:
    k = boot_task()
    assert errno_of(sigprocmask.do_sigaction, k, SIGKILL, KSigaction(HANDLER)) == EINVAL
    assert errno_of(sigprocmask.do_sigaction, k, SIGSTOP, KSigaction(HANDLER)) == EINVAL
    assert errno_of(sigprocmask.do_sigaction, k, 0, None) == EINVAL
    assert errno_of(sigprocmask.do_sigaction, k, 65, None) == EINVAL
    assert sigprocmask.do_sigaction(k, SIGKILL, None).sa_handler == SIG_DFL


def test_masks_never_hold_kill_and_stop() -> None:
    k = boot_task()
    sigprocmask.set_current_blocked(k, (1 << 64) - 1)
    assert not k.current.blocked & SIG_KERNEL_ONLY_MASK
    assert errno_of(sigprocmask.sigprocmask, k, 3, 0) == EINVAL
    sigprocmask.sigprocmask(k, SIG_SETMASK, 5)
    assert k.current.blocked == 5


def test_resethand() -> None:
    k = boot_task()
    handle(k, SIGUSR1, flags=SA_RESETHAND)
    kill(k, SIGUSR1)
    got = sig.get_signal(k)
    assert got is not None
    assert got[1].sa_handler == HANDLER
    assert k.current.sighand.action[SIGUSR1 - 1].sa_handler == SIG_DFL


def test_kill_errors() -> None:
    k = boot_task(uid=1000)
    info = KernelSiginfo(0, 0)
    assert errno_of(sig.kill_something_info, k, 0, info, 4711) == ESRCH
    assert errno_of(sig.kill_something_info, k, 65, KernelSiginfo(65, 0), k.current.pid) == EINVAL
    assert errno_of(sig.kill_something_info, k, 0, info, -(1 << 31)) == ESRCH
    assert errno_of(sig.do_tkill, k, k.current.tgid + 1, k.current.pid, 0) == ESRCH
    sig.kill_something_info(k, 0, info, 0)


def test_queue_limit_hits_realtime_signals_of_programs_only() -> None:
    k = boot_task()
    handle(k, 40, SIGUSR1)
    k.current.blocked = sigmask(40)
    k.current.signal.rlim[RLIMIT_SIGPENDING].rlim_cur = 0
    kill(k, SIGUSR1)
    assert errno_of(sig.send_signal, 40, KernelSiginfo(40, SI_QUEUE), k.current, True) == EAGAIN
    sig.send_signal(40, KernelSiginfo(40, SI_KERNEL), k.current, True)
    assert k.current.signal.shared_pending.signal & sigmask(40)


def test_tkill_code() -> None:
    k = boot_task()
    handle(k, SIGUSR1)
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    got = sig.get_signal(k)
    assert got is not None
    assert (got[0].si_code, got[0].si_pid) == (SI_TKILL, k.current.pid)


def test_sigaltstack_errno_order() -> None:
    k = boot_task()
    assert sigaltstack.do_sigaltstack(k, (0x10000, 0, 8192), 0x7000) == (0, SS_DISABLE, 0)
    on_it = 0x10000 + 4096
    # EPERM before the flags are looked at; EINVAL before the size.
    assert errno_of(sigaltstack.do_sigaltstack, k, (0, 99, 0), on_it) == EPERM
    assert errno_of(sigaltstack.do_sigaltstack, k, (0x20000, 99, 0), 0x7000) == EINVAL
    assert errno_of(sigaltstack.do_sigaltstack, k, (0x20000, 0, 2047), 0x7000) == ENOMEM
    assert sigaltstack.do_sigaltstack(k, None, on_it) == (0x10000, SS_ONSTACK, 8192)
    assert sigaltstack.do_sigaltstack(k, None, 0x7000) == (0x10000, 0, 8192)
    # The first byte is off the stack, the byte behind the last is on it.
    assert not sigaltstack.on_sig_stack(k.current, 0x10000)
    assert sigaltstack.on_sig_stack(k.current, 0x10000 + 8192)
    sigaltstack.do_sigaltstack(k, (0x10000, SS_AUTODISARM, 8192), 0x7000)
    assert sigaltstack.do_sigaltstack(k, None, on_it) == (0x10000, SS_AUTODISARM, 8192)
    sigaltstack.do_sigaltstack(k, (1, SS_DISABLE, 5), 0x7000)
    assert sigaltstack.do_sigaltstack(k, None, 0) == (0, SS_DISABLE, 0)


def test_pause_without_a_waker_is_reported_and_killed() -> None:
    k = boot_task()
    said: list[str] = []
    k.warn = said.append
    sigprocmask.do_pause(k)
    assert said
    assert "deadlock" in said[0]
    assert sig.get_signal(k) is None
    assert k.current.exit_code == SIGKILL


def test_pause_jumps_to_the_alarm() -> None:
    k = boot_task()
    handle(k, SIGALRM)
    before = k.timekeeper.now_ns
    do_setitimer(k, ITIMER_REAL, 3_000_000_000, 0)
    sigprocmask.do_pause(k)
    assert k.timekeeper.now_ns == before + 3_000_000_000
    assert taken(k) == [SIGALRM]


def test_periodic_timer_is_armed_again_when_its_signal_is_taken() -> None:
    k = boot_task()
    handle(k, SIGALRM)
    start = k.timekeeper.now_ns
    do_setitimer(k, ITIMER_REAL, 1_000_000, 1_000_000)
    k.timekeeper.advance(3_500_000)
    run_timers(k)
    timer = k.current.signal.real_timer
    assert timer is not None
    assert not timer.queued
    assert taken(k) == [SIGALRM]
    assert timer.queued
    assert timer.expires == start + 4_000_000
    assert do_getitimer(k, ITIMER_REAL) == (500_000, 1_000_000)


def test_sigtimedwait() -> None:
    k = boot_task()
    sigprocmask.set_current_blocked(k, sigmask(SIGUSR1))
    assert errno_of(sigprocmask.do_sigtimedwait, k, sigmask(SIGUSR1), 0) == EAGAIN
    before = k.timekeeper.now_ns
    assert errno_of(sigprocmask.do_sigtimedwait, k, sigmask(SIGUSR1), 5_000) == EAGAIN
    assert k.timekeeper.now_ns == before + 5_000
    kill(k, SIGUSR1)
    assert sigprocmask.do_sigtimedwait(k, sigmask(SIGUSR1), None).si_signo == SIGUSR1
    handle(k, SIGALRM)
    do_setitimer(k, ITIMER_REAL, 1000, 0)
    assert errno_of(sigprocmask.do_sigtimedwait, k, sigmask(SIGUSR1), None) == EINTR


def test_sleep_ends_by_time_or_signal() -> None:
    k = boot_task()
    handle(k, SIGALRM)
    now = k.timekeeper.now_ns
    assert sleep(k, now + 100, "test")
    do_setitimer(k, ITIMER_REAL, 50, 0)
    assert not sleep(k, now + 1000, "test")
    assert k.timekeeper.now_ns == now + 150
