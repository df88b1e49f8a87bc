# SPDX-License-Identifier: GPL-2.0-or-later
"""core/ptrace.py, core/ptrace_request.py, arch/x86/ptrace.py: who may trace whom, stops, and what wait4 says of them.

tests/programs/test_ptrace.py holds the rest against the live kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mmscope.kernel.core.exit as core_exit
from mmscope.kernel.arch.x86.ptrace import FLAG_MASK, USER_REGS, genregs_get, genregs_set, getreg, putreg
from mmscope.kernel.arch.x86.step import user_disable_single_step, user_enable_single_step
from mmscope.kernel.arch.x86.uaccess import copy_from_user, get_user, put_user
from mmscope.kernel.core.jobctl import ptrace_notify, task_set_jobctl_pending
from mmscope.kernel.core.ptrace import mm_access, ptrace_may_access, syscall_trace_enter
from mmscope.kernel.core.ptrace_request import sys_ptrace
from mmscope.kernel.core.sched import sleep
from mmscope.kernel.core.signal import do_tkill, get_signal, kill_something_info, recalc_sigpending, send_signal, signal_pending
from mmscope.kernel.core.sigprocmask import do_sigaction
from mmscope.kernel.fs.proc_array import proc_pid_status
from mmscope.kernel.include import ptrace as P
from mmscope.kernel.include.errno import EACCES, ECHILD, EINVAL, EIO, ENODEV, ENOSPC, EPERM, ESRCH
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.sched import (
    __TASK_TRACED,
    EXIT_ZOMBIE,
    JOBCTL_TRAP_STOP,
    SIGNAL_STOP_STOPPED,
    SYSCALL_WORK_SYSCALL_EMU,
    SYSCALL_WORK_SYSCALL_TRACE,
    Cred,
    TaskStruct,
)
from mmscope.kernel.include.signal import (
    CLD_TRAPPED,
    SI_USER,
    SIG_IGN,
    SIGCHLD,
    SIGCONT,
    SIGKILL,
    SIGSTOP,
    SIGTERM,
    SIGTRAP,
    SIGUSR1,
    SIGUSR2,
    KernelSiginfo,
    KSigaction,
)
from mmscope.syscalls.entry import do_syscall_64
from tests.kernel.errnos import errno_of

from .boot import boot, boot_process
from .tasks import Tasks

STOPPED = 0x7F


def kill(k: Kernel, signo: int, pid: int) -> None:
    kill_something_info(k, signo, KernelSiginfo(signo, SI_USER, 0, k.current.tgid, k.current.cred.uid), pid)


def wait(k: Kernel, pid: int = -1, options: int = 0) -> tuple[int, int]:
    """(pid, status)"""
    got, wo = core_exit.kernel_wait4(k, pid, options | core_exit.__WALL)
    return got, wo.wo_stat


def run(tracer: Callable[[Kernel, Tasks], int]) -> Kernel:
    """A process runs `tracer`, which has a page of memory to read answers from (see `page`)."""
    k = boot_process()
    tasks = Tasks(k)
    task = tasks.run(lambda: tracer(k, tasks))
    assert task.exit_code == 0, task.exit_code
    tasks.run_rest()
    assert [t.pid for t in k.tasks.values() if t.pid != 1 and t.real_parent is task] == []
    return k


def page(k: Kernel) -> int:
    """An address of our stack."""
    mm = k.current.mm
    assert mm is not None
    return mm.start_stack - 2048 & -16


def sleeper(k: Kernel, tasks: Tasks) -> Callable[[], int]:
    """A program that sleeps until it is killed, and looks at its signals in between."""

    def program() -> int:
        while not k.current.exit_state:
            sleep(k, None, "pause")
            tasks.user_mode()
        return 0

    return program


def test_the_tracer_is_told_of_each_signal_and_decides() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))
        sys_ptrace(k, P.PTRACE_SEIZE, child.pid, 0, 0)
        assert (child.parent, child.real_parent, k.current.ptraced) == (k.current, k.current, [child])
        at = page(k)
        for signo, given in ((SIGUSR1, 0), (SIGTERM, 0), (SIGCHLD, 0), (SIGUSR2, SIGKILL)):
            kill(k, signo, child.pid)
            assert wait(k) == (child.pid, signo << 8 | STOPPED)
            assert child.state & __TASK_TRACED
            assert wait(k, -1, core_exit.WNOHANG) == (0, 0)
            sys_ptrace(k, P.PTRACE_GETSIGINFO, child.pid, 0, at)
            assert copy_from_user(k, at, 24) == b"".join(
                x.to_bytes(4, "little") for x in (signo, 0, SI_USER, 0, k.current.pid, 0)
            )
            assert errno_of(sys_ptrace, k, P.PTRACE_CONT, child.pid, 0, 65) == EIO
            sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, given)
        assert wait(k) == (child.pid, SIGKILL)
        assert k.current.ptraced == []
        return 0

    run(tracer)


@pytest.mark.parametrize("version", [(5, 11), (6, 18)])
def test_an_ignored_signal_is_seen_and_a_blocked_one_waits(version: tuple[int, int]) -> None:
    """A blocked one that is given waits in the queue of the one that it replaces, until v5.16 in the thread's."""

    def program() -> int:
        do_sigaction(k_of[0], SIGUSR1, KSigaction(SIG_IGN))
        return sleeper(k_of[0], tasks_of[0])()

    k_of: list[Kernel] = []
    tasks_of: list[Tasks] = []

    def tracer(k: Kernel, tasks: Tasks) -> int:
        k.config.version = version
        k_of.append(k)
        tasks_of.append(tasks)
        child = tasks.fork(program)
        sys_ptrace(k, P.PTRACE_ATTACH, child.pid, 0, 0)
        assert wait(k) == (child.pid, SIGSTOP << 8 | STOPPED)
        at = page(k)
        put_user(k, at, 1 << SIGUSR2 - 1 | 1 << SIGKILL - 1, 8)
        sys_ptrace(k, P.PTRACE_SETSIGMASK, child.pid, 8, at)
        assert child.blocked == 1 << SIGUSR2 - 1
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        kill(k, SIGUSR1, child.pid)
        assert wait(k) == (child.pid, SIGUSR1 << 8 | STOPPED)
        # A signal that is blocked cannot be given: it is queued.
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, SIGUSR2)
        sleep(k, k.timekeeper.now_ns + 1000, "the child")
        assert wait(k, -1, core_exit.WNOHANG) == (0, 0)
        queues = (child.pending.signal, child.signal.shared_pending.signal)
        bit = 1 << SIGUSR2 - 1
        assert queues == ((bit, 0) if version == (5, 11) else (0, bit))
        kill(k, SIGKILL, child.pid)
        assert wait(k) == (child.pid, SIGKILL)
        return 0

    run(tracer)


def test_a_stopped_process_becomes_traced_before_attach_returns() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))
        kill(k, SIGSTOP, child.pid)
        assert wait(k, -1, core_exit.WUNTRACED) == (child.pid, SIGSTOP << 8 | STOPPED)
        sys_ptrace(k, P.PTRACE_ATTACH, child.pid, 0, 0)
        assert child.state & __TASK_TRACED
        assert b"State:\tt (tracing stop)" in proc_pid_status(k, child)
        assert f"TracerPid:\t{k.current.pid}\n".encode() in proc_pid_status(k, child)
        assert wait(k) == (child.pid, SIGSTOP << 8 | STOPPED)
        # A group-stop has no siginfo.
        assert errno_of(sys_ptrace, k, P.PTRACE_GETSIGINFO, child.pid, 0, page(k)) == EINVAL
        sys_ptrace(k, P.PTRACE_DETACH, child.pid, 0, 0)
        kill(k, SIGCONT, child.pid)
        kill(k, SIGTERM, child.pid)
        assert wait(k) == (child.pid, SIGTERM)
        return 0

    run(tracer)


def test_interrupt_and_listen() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))
        sys_ptrace(k, P.PTRACE_SEIZE, child.pid, 0, 0)
        sys_ptrace(k, P.PTRACE_INTERRUPT, child.pid, 0, 0)
        stop = P.PTRACE_EVENT_STOP << 16 | STOPPED
        wo = core_exit.WaitOpts(core_exit.PIDTYPE_MAX, 0, core_exit.WSTOPPED | core_exit.WNOWAIT | core_exit.__WALL)
        assert core_exit.do_wait(k, wo) == child.pid
        assert (wo.wo_stat, wo.wo_info.cause, wo.wo_info.status) == (stop | SIGTRAP << 8, CLD_TRAPPED, stop >> 8 | SIGTRAP)
        sys_ptrace(k, P.PTRACE_LISTEN, child.pid, 0, 0)
        assert wait(k, -1, core_exit.WNOHANG) == (0, 0)
        assert errno_of(sys_ptrace, k, P.PTRACE_CONT, child.pid, 0, 0) == ESRCH
        sys_ptrace(k, P.PTRACE_INTERRUPT, child.pid, 0, 0)
        assert wait(k) == (child.pid, stop | SIGTRAP << 8)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        kill(k, SIGSTOP, child.pid)
        assert wait(k) == (child.pid, SIGSTOP << 8 | STOPPED)
        assert errno_of(sys_ptrace, k, P.PTRACE_LISTEN, child.pid, 0, 0) == EIO
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, SIGSTOP)
        assert wait(k) == (child.pid, stop | SIGSTOP << 8)
        sys_ptrace(k, P.PTRACE_LISTEN, child.pid, 0, 0)
        kill(k, SIGCONT, child.pid)
        assert wait(k) == (child.pid, stop | SIGTRAP << 8)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        assert wait(k) == (child.pid, SIGCONT << 8 | STOPPED)
        kill(k, SIGKILL, child.pid)
        assert wait(k) == (child.pid, SIGKILL)
        return 0

    run(tracer)


@pytest.mark.parametrize("exitkill", [False, True])
def test_the_tracers_death_lets_go_or_kills(exitkill: bool) -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))

        def other() -> int:
            sys_ptrace(k, P.PTRACE_SEIZE, child.pid, 0, P.PTRACE_O_EXITKILL if exitkill else 0)
            sys_ptrace(k, P.PTRACE_INTERRUPT, child.pid, 0, 0)
            assert wait(k)[0] == child.pid
            return 0

        helper = tasks.fork(other)
        assert wait(k, helper.pid) == (helper.pid, 0)
        assert (child.ptrace, child.parent) == (0, k.current)
        if not exitkill:
            assert wait(k, -1, core_exit.WNOHANG) == (0, 0)
            kill(k, SIGTERM, child.pid)
        assert wait(k) == (child.pid, SIGKILL if exitkill else SIGTERM)
        return 0

    run(tracer)


def test_a_dead_tracee_is_the_tracers_then_the_parents() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))
        seen: list[tuple[int, int]] = []

        def other() -> int:
            sys_ptrace(k, P.PTRACE_SEIZE, child.pid, 0, 0)
            seen.append(wait(k))
            assert errno_of(wait, k) == ECHILD
            return 0

        helper = tasks.fork(other)
        sleep(k, k.timekeeper.now_ns + 1000, "the helper")
        child.sighand.action[SIGTERM - 1] = KSigaction(SIG_IGN)
        kill(k, SIGKILL, child.pid)
        while not seen:
            assert wait(k, child.pid, core_exit.WNOHANG) == (0, 0)
            sleep(k, k.timekeeper.now_ns + 1000, "the helper")
        assert seen == [(child.pid, SIGKILL)]
        assert child.exit_state == EXIT_ZOMBIE
        assert wait(k, child.pid) == (child.pid, SIGKILL)
        assert wait(k) == (helper.pid, 0)
        return 0

    run(tracer)


def test_events_of_a_family() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        grandchildren: list[TaskStruct] = []

        def parent() -> int:
            sys_ptrace(k, P.PTRACE_TRACEME, 0, 0, 0)
            assert errno_of(sys_ptrace, k, P.PTRACE_TRACEME, 0, 0, 0) == EPERM
            do_tkill(k, 0, k.current.pid, SIGSTOP)
            tasks.user_mode()
            grandchildren.append(tasks.fork(lambda: 3))
            wait(k, grandchildren[0].pid)
            return 4

        child = tasks.fork(parent)
        assert wait(k) == (child.pid, SIGSTOP << 8 | STOPPED)
        sys_ptrace(k, P.PTRACE_SETOPTIONS, child.pid, 0, 1 << P.PTRACE_EVENT_FORK | 1 << P.PTRACE_EVENT_EXIT)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        assert wait(k, child.pid) == (child.pid, P.PTRACE_EVENT_FORK << 16 | SIGTRAP << 8 | STOPPED)
        at = page(k)
        sys_ptrace(k, P.PTRACE_GETEVENTMSG, child.pid, 0, at)
        pid = get_user(k, at, 8)
        grandchild = k.tasks[pid]
        assert (grandchild.parent, grandchild.real_parent) == (k.current, child)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        # The program of the test has no way to user mode at its birth: its first stop is that of its exit.
        event = P.PTRACE_EVENT_EXIT << 16 | SIGTRAP << 8 | STOPPED
        assert wait(k, pid) == (pid, event)
        sys_ptrace(k, P.PTRACE_GETEVENTMSG, pid, 0, at)
        assert get_user(k, at, 8) == 3 << 8
        sys_ptrace(k, P.PTRACE_CONT, pid, 0, 0)
        assert wait(k, pid) == (pid, 3 << 8)
        assert wait(k) == (child.pid, event)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        assert wait(k) == (child.pid, 4 << 8)
        return 0

    run(tracer)


def test_a_pending_interrupt_outlives_a_stop_that_takes_it() -> None:
    """A call that ended because of it must still be restarted: TIF_SIGPENDING is never cleared by a ptrace-stop."""

    def tracer(k: Kernel, tasks: Tasks) -> int:
        def program() -> int:
            sys_ptrace(k, P.PTRACE_TRACEME, 0, 0, 0)
            task_set_jobctl_pending(k.current, JOBCTL_TRAP_STOP)
            recalc_sigpending(k.current)
            assert signal_pending(k.current)
            ptrace_notify(k, SIGTRAP | 0x80, 2)
            assert not k.current.jobctl & JOBCTL_TRAP_STOP
            assert signal_pending(k.current)
            assert get_signal(k) is None
            return 0

        child = tasks.fork(program)
        assert wait(k) == (child.pid, 0x85 << 8 | STOPPED)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        assert wait(k) == (child.pid, 0)
        return 0

    run(tracer)


@pytest.mark.parametrize("version", [(5, 11), (6, 18)])
def test_the_message_of_an_event_stays_until_5_18(version: tuple[int, int]) -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        k.config.version = version

        def program() -> int:
            sys_ptrace(k, P.PTRACE_TRACEME, 0, 0, 0)
            k.current.ptrace |= 1 << P.PT_OPT_FLAG_SHIFT + P.PTRACE_EVENT_FORK
            tasks.fork(lambda: 0)
            send_signal(SIGUSR1, KernelSiginfo(SIGUSR1, SI_USER), k.current, False)
            tasks.user_mode()
            wait(k)
            return 0

        child = tasks.fork(program)
        messages = []
        for _ in range(2):
            assert wait(k, child.pid)[0] == child.pid
            messages.append(child.ptrace_message)
            sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        grandchild = messages[0]
        assert grandchild == child.pid + 1
        assert messages[1] == (grandchild if version == (5, 11) else 0)
        for pid in (grandchild, child.pid):
            assert wait(k, pid)[0] == pid
        return 0

    run(tracer)


@pytest.mark.parametrize("version", [(5, 11), (6, 18)])
def test_kill_of_a_running_tracee_does_nothing_until_5_19(version: tuple[int, int]) -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        k.config.version = version
        child = tasks.fork(sleeper(k, tasks))
        sys_ptrace(k, P.PTRACE_SEIZE, child.pid, 0, 0)
        sys_ptrace(k, P.PTRACE_KILL, child.pid, 0, 0)
        if version == (5, 11):
            assert wait(k, -1, core_exit.WNOHANG) == (0, 0)
            kill(k, SIGKILL, child.pid)
        assert wait(k) == (child.pid, SIGKILL)
        return 0

    run(tracer)


def test_a_killed_process_is_not_reported_as_stopped() -> None:
    """SIGNAL_GROUP_EXIT takes the place of SIGNAL_STOP_STOPPED: a dead leader that waits for a traced thread had both."""

    def tracer(k: Kernel, tasks: Tasks) -> int:
        child = tasks.fork(sleeper(k, tasks))
        kill(k, SIGSTOP, child.pid)
        sleep(k, k.timekeeper.now_ns + 1000, "the child")
        assert child.signal.flags & SIGNAL_STOP_STOPPED
        kill(k, SIGKILL, child.pid)
        assert not child.signal.flags & SIGNAL_STOP_STOPPED
        assert wait(k, -1, core_exit.WUNTRACED) == (child.pid, SIGKILL)
        return 0

    run(tracer)


# --- permission


def another(k: Kernel, cred: Cred) -> TaskStruct:
    """A process of somebody's."""
    task = TaskStruct(k, 77, "other")
    task.cred = cred
    k.tasks[77] = task
    return task


def test_who_may_look_and_attach() -> None:
    k = boot(uid=1000)
    from mmscope.kernel.init.main import user_process

    user_process(k, "prog")
    task = another(k, Cred(1000, 1000))
    task.mm = k.current.mm
    assert ptrace_may_access(k, task)
    task.dumpable = 0
    assert not ptrace_may_access(k, task)
    task.dumpable = 1
    for name in ("uid", "euid", "suid", "gid", "egid", "sgid"):
        other = another(k, Cred(1000, 1000))
        setattr(other.cred, name, 1)
        assert not ptrace_may_access(k, other)
        assert errno_of(sys_ptrace, k, P.PTRACE_ATTACH, 77, 0, 0) == EPERM
    # The attaching goes by the real ids, the reading by those for files.
    mine = k.current.cred
    mine.uid, mine.gid = 5, 5
    task = another(k, Cred(1000, 1000))
    assert ptrace_may_access(k, task)
    assert not ptrace_may_access(k, task, P.PTRACE_MODE_ATTACH_REALCREDS)
    # Who has more rights than we is out of reach, whatever its ids.
    mine.uid, mine.gid = 1000, 1000
    task.cred.cap_permitted = 1 << 12
    assert not ptrace_may_access(k, task)
    mine.cap_effective = mine.cap_permitted = 1 << 12
    assert ptrace_may_access(k, task)
    task.cred.cap_permitted = 1 << 13
    mine.cap_effective = 1 << 19  # CAP_SYS_PTRACE
    assert ptrace_may_access(k, task)


def test_mm_access_is_eacces() -> None:
    k = boot_process(1000)
    task = another(k, Cred(0, 0))
    assert mm_access(k, task) is None
    other = boot_process(0).current
    task.mm = other.mm
    assert errno_of(mm_access, k, task) == EACCES


def test_who_cannot_be_attached_to() -> None:
    k = boot_process()
    assert errno_of(sys_ptrace, k, P.PTRACE_ATTACH, k.current.pid, 0, 0) == EPERM
    assert errno_of(sys_ptrace, k, P.PTRACE_ATTACH, 1, 0, 0) == EPERM
    assert errno_of(sys_ptrace, k, P.PTRACE_ATTACH, 4711, 0, 0) == ESRCH
    task = another(k, Cred(0, 0))
    assert errno_of(sys_ptrace, k, P.PTRACE_CONT, 77, 0, 0) == ESRCH
    assert errno_of(sys_ptrace, k, P.PTRACE_SEIZE, 77, 8, 0) == EIO
    assert errno_of(sys_ptrace, k, P.PTRACE_SEIZE, 77, 0, 1 << 8) == EIO
    task.exit_state = EXIT_ZOMBIE
    assert errno_of(sys_ptrace, k, P.PTRACE_SEIZE, 77, 0, 0) == EPERM


# --- registers


def test_the_registers_are_those_of_user_regs_struct() -> None:
    k = boot_process()
    task = k.current
    for i, name in enumerate(USER_REGS):
        if name not in ("cs", "ss", "ds", "es", "fs", "gs", "flags"):
            putreg(task, i, 0x1000 + i)
    image = genregs_get(task)
    assert len(image) == 216
    assert int.from_bytes(image[8 * 16 : 8 * 17], "little") == task.regs.ip == 0x1010
    assert (task.thread.fsbase, task.thread.gsbase) == (0x1015, 0x1016)
    genregs_set(task, bytes(image[:24]))
    assert genregs_get(task) == image


@pytest.mark.parametrize(
    ("name", "value"), [("cs", 0x10), ("cs", 0), ("ss", 0), ("ds", 0x28), ("fs_base", TASK_SIZE_MAX), ("gs_base", (1 << 64) - 1)]
)
def test_registers_that_are_refused(name: str, value: int) -> None:
    k = boot_process()
    before = genregs_get(k.current)
    assert errno_of(putreg, k.current, USER_REGS.index(name), value) == EIO
    assert genregs_get(k.current) == before


def test_the_tracers_trap_flag_is_his() -> None:
    task = boot_process().current
    flags = USER_REGS.index("flags")
    user_enable_single_step(task)
    assert task.regs.flags & P.X86_EFLAGS_TF
    assert not getreg(task, flags) & P.X86_EFLAGS_TF
    putreg(task, flags, 0)  # he does not lose it
    assert task.regs.flags & P.X86_EFLAGS_TF
    user_disable_single_step(task)
    assert not task.regs.flags & P.X86_EFLAGS_TF
    putreg(task, flags, (1 << 64) - 1)
    assert task.regs.flags & ~(P.X86_EFLAGS_IF | P.X86_EFLAGS_FIXED) == FLAG_MASK
    user_enable_single_step(task)
    user_disable_single_step(task)  # the program's own stays
    assert task.regs.flags & P.X86_EFLAGS_TF


def test_what_there_is_not_says_so() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        warnings: list[str] = []
        k.warn = warnings.append
        child = tasks.fork(sleeper(k, tasks))
        sys_ptrace(k, P.PTRACE_ATTACH, child.pid, 0, 0)
        wait(k)
        assert errno_of(sys_ptrace, k, P.PTRACE_POKEUSR, child.pid, 848 + 56, 1) == ENOSPC
        assert errno_of(sys_ptrace, k, P.PTRACE_SINGLEBLOCK, child.pid, 0, 0) == EIO
        assert errno_of(sys_ptrace, k, P.PTRACE_SET_THREAD_AREA, child.pid, 12, page(k)) == EINVAL
        assert len(warnings) == 3
        assert errno_of(sys_ptrace, k, P.PTRACE_SETOPTIONS, child.pid, 0, P.PTRACE_O_SUSPEND_SECCOMP) == EINVAL
        at = page(k)
        put_user(k, at, at, 8)
        put_user(k, at + 8, 4096, 8)
        assert errno_of(sys_ptrace, k, P.PTRACE_GETREGSET, child.pid, 0x202, at) == ENODEV
        sys_ptrace(k, P.PTRACE_KILL, child.pid, 0, 0)
        wait(k)
        return 0

    run(tracer)


# --- system calls


def test_a_call_can_be_changed_and_left_out() -> None:
    def tracer(k: Kernel, tasks: Tasks) -> int:
        results: list[int] = []

        def call(nr: int) -> None:
            k.current.regs.ax = nr
            do_syscall_64(k, k.current.regs)
            results.append(k.current.regs.ax)

        def program() -> int:
            sys_ptrace(k, P.PTRACE_TRACEME, 0, 0, 0)
            k.current.syscall_work |= SYSCALL_WORK_SYSCALL_TRACE
            for _ in range(3):
                call(39)
            k.current.syscall_work = SYSCALL_WORK_SYSCALL_EMU
            assert syscall_trace_enter(k, k.current.regs) == -1
            k.current.syscall_work = 0
            return 0

        child = tasks.fork(program)

        def stop(entry: bool) -> None:
            assert wait(k) == (child.pid, SIGTRAP << 8 | STOPPED)
            assert child.ptrace_message == (1 if entry else 2)
            if entry:
                assert child.regs.ax == (1 << 64) - 38

        def on() -> None:
            sys_ptrace(k, P.PTRACE_SYSCALL, child.pid, 0, 0)

        stop(True)
        on()
        stop(False)
        on()
        stop(True)
        sys_ptrace(k, P.PTRACE_POKEUSR, child.pid, 8 * USER_REGS.index("orig_ax"), 102)  # getuid
        on()
        stop(False)
        on()
        stop(True)
        sys_ptrace(k, P.PTRACE_POKEUSR, child.pid, 8 * USER_REGS.index("orig_ax"), (1 << 64) - 1)
        on()
        stop(False)
        sys_ptrace(k, P.PTRACE_POKEUSR, child.pid, 8 * USER_REGS.index("ax"), 99)
        on()
        assert wait(k) == (child.pid, SIGTRAP << 8 | STOPPED)
        sys_ptrace(k, P.PTRACE_CONT, child.pid, 0, 0)
        assert wait(k) == (child.pid, 0)
        assert results == [child.pid, 0, 99]
        return 0

    run(tracer)
