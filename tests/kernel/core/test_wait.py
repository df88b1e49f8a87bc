# SPDX-License-Identifier: GPL-2.0-or-later
"""core/exit.py: zombies, orphans and who hears of them, in random families; what wait4 may be asked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.core.exit import WCONTINUED, WNOHANG, WUNTRACED, do_group_exit, kernel_wait4
from mmscope.kernel.core.sched import sleep, yield_task
from mmscope.kernel.core.signal import kill_something_info
from mmscope.kernel.core.sigprocmask import do_pause
from mmscope.kernel.core.sys import setpgid, setsid, task_ppid_nr
from mmscope.kernel.include.errno import EACCES, ECHILD, EINVAL, EPERM, ESRCH
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.sched import PF_FORKNOEXEC, TaskStruct
from mmscope.kernel.include.signal import SI_USER, SIG_IGN, SIGCHLD, SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, KernelSiginfo

from .boot import boot_task
from .tasks import Tasks
from .test_futex import errno_of
from .test_sched import wait_all


def kill(k: Kernel, sig: int, pid: int) -> None:
    kill_something_info(k, sig, KernelSiginfo(sig, SI_USER), pid)


class Node:
    """A process to be: its exit code, how long it lives (ns), whether it waits for its children, and those."""

    def __init__(self, code: int, life: int, waits: bool, children: list[Node]) -> None:
        self.code = code
        self.life = life
        self.waits = waits
        self.children = children

    def __repr__(self) -> str:
        return f"Node({self.code}, {self.life}, {self.waits}, {self.children})"


FAMILIES = st.recursive(
    st.builds(Node, st.integers(0, 255), st.integers(0, 3000), st.booleans(), st.just([])),
    lambda inner: st.builds(Node, st.integers(0, 255), st.integers(0, 3000), st.booleans(), st.lists(inner, max_size=3)),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(family=FAMILIES)
def test_every_child_is_reported_once_to_its_parent_and_nobody_is_left(family: Node) -> None:
    k = boot_task()
    tasks = Tasks(k)
    born: list[TaskStruct] = []

    def live(node: Node, parent: int) -> int:
        assert task_ppid_nr(k.current) == parent
        me = k.current.tgid
        expected: dict[int, int] = {}
        for child in node.children:
            task = tasks.fork(lambda child=child: live(child, me))  # type: ignore[misc]
            born.append(task)
            expected[task.pid] = child.code << 8
        if node.life:
            sleep(k, k.timekeeper.now_ns + node.life, "test")
        if node.waits:
            assert dict(wait_all(k)) == expected
        return node.code

    def main() -> int:
        born.append(tasks.fork(lambda: live(family, 100)))
        ((_, status),) = wait_all(k)
        assert status == family.code << 8
        return 0

    assert tasks.run(main).exit_code == 0
    tasks.run_rest()
    assert list(k.tasks) == [1]
    assert all(task.exit_state for task in born)
    init = k.child_reaper
    assert init is not None
    assert init.children == []


def test_whom_wait4_looks_at() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def main() -> int:
        assert errno_of(kernel_wait4, k, -1, 0) == ECHILD
        assert errno_of(kernel_wait4, k, -1, 0x10) == EINVAL
        assert errno_of(kernel_wait4, k, -(1 << 31), 0) == ESRCH
        a = tasks.fork(lambda: 1)
        b = tasks.fork(lambda: 2, exit_signal=0)
        setpgid(k, a.pid, a.pid)
        assert kernel_wait4(k, -1, WNOHANG)[0] == 0
        yield_task(k)
        # The second sends no SIGCHLD: it is a child for __WCLONE and __WALL only.
        assert errno_of(kernel_wait4, k, b.pid, 0) == ECHILD
        assert errno_of(kernel_wait4, k, 0, 0) == ECHILD
        assert kernel_wait4(k, -a.pid, 0)[0] == a.pid
        assert kernel_wait4(k, -1, 0x80000000)[0] == b.pid
        return 0

    assert tasks.run(main).exit_code == 0


def test_stop_and_continue_are_reported_once_each() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def child() -> int:
        while True:
            do_pause(k)
            tasks.user_mode()
            if k.current.exit_state:
                return 0

    def main() -> int:
        p = tasks.fork(child)
        yield_task(k)
        kill(k, SIGSTOP, p.pid)
        pid, wo = kernel_wait4(k, p.pid, WUNTRACED)
        assert (pid, wo.wo_stat) == (p.pid, SIGSTOP << 8 | 0x7F)
        assert kernel_wait4(k, p.pid, WUNTRACED | WNOHANG)[0] == 0
        kill(k, SIGCONT, p.pid)
        pid, wo = kernel_wait4(k, p.pid, WCONTINUED)
        assert (pid, wo.wo_stat) == (p.pid, 0xFFFF)
        kill(k, SIGTERM, p.pid)
        assert wait_all(k) == [(p.pid, SIGTERM)]
        return 0

    assert tasks.run(main).exit_code == 0


def test_a_parent_that_ignores_sigchld_has_no_zombies() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def main() -> int:
        k.current.sighand.action[SIGCHLD - 1].sa_handler = SIG_IGN
        tasks.fork(lambda: 3)
        assert errno_of(kernel_wait4, k, -1, 0) == ECHILD
        assert len(k.tasks) == 2
        return 0

    assert tasks.run(main).exit_code == 0


def test_a_stopped_group_that_becomes_an_orphan_gets_sighup_and_sigcont() -> None:
    k = boot_task()
    tasks = Tasks(k)
    grandchild: list[TaskStruct] = []

    def stops() -> int:
        kill(k, SIGSTOP, k.current.pid)
        tasks.user_mode()
        return 0

    def child() -> int:
        grandchild.append(tasks.fork(stops))
        setpgid(k, grandchild[0].pid, grandchild[0].pid)
        kernel_wait4(k, grandchild[0].pid, WUNTRACED)
        return 0

    def main() -> int:
        tasks.fork(child)
        wait_all(k)
        return 0

    tasks.run(main)
    tasks.run_rest()
    assert grandchild[0].signal.group_exit_code == SIGHUP


def test_groups_and_sessions() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def main() -> int:
        me = k.current.pid
        assert errno_of(setsid, k) == EPERM
        assert errno_of(setpgid, k, me, me) == EPERM
        p = tasks.fork(lambda: 0)
        assert errno_of(setpgid, k, p.pid, -1) == EINVAL
        assert errno_of(setpgid, k, p.pid, 9999) == EPERM
        assert errno_of(setpgid, k, 9999, 0) == ESRCH
        assert errno_of(setpgid, k, p.pid, p.pid) == 0
        p.flags &= ~PF_FORKNOEXEC
        assert errno_of(setpgid, k, p.pid, me) == EACCES
        kill(k, SIGKILL, -p.pid)
        assert wait_all(k) == [(p.pid, SIGKILL)]
        assert errno_of(kill, k, 0, -p.pid) == ESRCH

        def leader() -> int:
            assert setsid(k) == k.current.pid == k.current.signal.pgrp == k.current.signal.session
            return 0

        tasks.fork(leader)
        assert [status for _, status in wait_all(k)] == [0]
        return 0

    assert tasks.run(main).exit_code == 0


def test_the_code_of_exit_group_is_that_of_the_process() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def child() -> int:
        do_group_exit(k, 17 << 8)
        return 0

    def main() -> int:
        p = tasks.fork(child)
        assert wait_all(k) == [(p.pid, 17 << 8)]
        return 0

    assert tasks.run(main).exit_code == 0
