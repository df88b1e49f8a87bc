# SPDX-License-Identifier: GPL-2.0-or-later
"""core/sched.py: whose turn it is, sleeps and timers, deadlocks, stacks."""

from __future__ import annotations

import pytest

from mmscope.kernel.core.exit import kernel_wait4
from mmscope.kernel.core.sched import kill_stacks, schedule, sleep, yield_task
from mmscope.kernel.core.sigprocmask import do_pause
from mmscope.kernel.core.wait import finish_wait, prepare_to_wait, prepare_to_wait_exclusive, wake_up, wake_up_all
from mmscope.kernel.include.errno import ECHILD, KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.sched import CLONE_FILES, CLONE_VFORK, CLONE_VM, TASK_INTERRUPTIBLE
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

from .boot import boot_process, boot_task
from .tasks import Tasks


def wait_all(k: Kernel) -> list[tuple[int, int]]:
    """(pid, status) of all children, in the order in which they are reported."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, wo = kernel_wait4(k, -1, 0)
        except KernelError as error:
            if error.errno != ECHILD:
                raise
            return found
        found.append((pid, wo.wo_stat))


def test_turns_go_round_in_the_order_of_birth() -> None:
    k = boot_task()
    tasks = Tasks(k)
    said: list[str] = []

    def child(name: str) -> int:
        for i in range(3):
            said.append(f"{name}{i}")
            yield_task(k)
        return 0

    def main() -> int:
        for name in "abc":
            tasks.fork(lambda name=name: child(name))  # type: ignore[misc]
        said.append("main")
        wait_all(k)
        return 0

    tasks.run(main)
    assert said == ["main", "a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_sleepers_wake_in_the_order_of_their_times_and_the_clock_jumps() -> None:
    k = boot_task()
    tasks = Tasks(k)
    start = k.timekeeper.now_ns
    said: list[tuple[int, int]] = []

    def child(ms: int) -> int:
        assert sleep(k, start + ms * 1_000_000, "test")
        said.append((ms, (k.timekeeper.now_ns - start) // 1_000_000))
        return 0

    def main() -> int:
        for ms in (30, 10, 20, 10):
            tasks.fork(lambda ms=ms: child(ms))  # type: ignore[misc]
        wait_all(k)
        return 0

    tasks.run(main)
    assert said == [(10, 10), (10, 10), (20, 20), (30, 30)]


def test_an_event_wakes_all_who_share_it_and_one_exclusive_waiter() -> None:
    k = boot_task()
    tasks = Tasks(k)
    queue = WaitQueueHead()
    woken: list[int] = []
    events = 0

    def child(number: int, exclusive: bool) -> int:
        wait = WaitQueueEntry(k.current)
        seen = events
        while events == seen:
            (prepare_to_wait_exclusive if exclusive else prepare_to_wait)(queue, wait, TASK_INTERRUPTIBLE)
            if events == seen:
                schedule(k)
        finish_wait(queue, wait)
        woken.append(number)
        return 0

    def main() -> int:
        nonlocal events
        for number in range(4):
            tasks.fork(lambda number=number: child(number, number >= 2))  # type: ignore[misc]
        yield_task(k)
        events += 1
        wake_up(queue)
        yield_task(k)
        # The last of those who share comes first; of the exclusive ones the first.
        assert woken == [1, 0, 2]
        wake_up_all(queue)
        wait_all(k)
        assert woken == [1, 0, 2, 3]
        return 0

    assert tasks.run(main).exit_code == 0


def test_a_deadlock_names_all_who_sleep_and_kills_them() -> None:
    k = boot_task()
    tasks = Tasks(k)
    said: list[str] = []
    k.warn = said.append

    def child() -> int:
        do_pause(k)
        tasks.user_mode()
        return 0

    def main() -> int:
        tasks.fork(child)
        kernel_wait4(k, -1, 0)
        raise AssertionError("nobody can wake us")

    task = tasks.run(main)
    assert task.exit_code == SIGKILL
    assert said == ["deadlock: task[100] in wait4, task[101] in pause: no timer and no other task can end it; killed"]


def test_vfork_waits_until_the_child_lets_go_of_the_address_space() -> None:
    k = boot_process()
    tasks = Tasks(k)
    said: list[str] = []

    def child() -> int:
        sleep(k, k.timekeeper.now_ns + 1000, "test")
        said.append("child")
        return 0

    def main() -> int:
        tasks.fork(child, CLONE_VM)
        said.append("clone returns")
        wait_all(k)
        tasks.fork(child, CLONE_VM | CLONE_VFORK)
        said.append("vfork returns")
        wait_all(k)
        return 0

    assert tasks.run(main).exit_code == 0
    assert said == ["clone returns", "child", "child", "vfork returns"]


def test_a_chain_of_forks_does_not_nest_on_the_hosts_stack() -> None:
    k = boot_task()
    tasks = Tasks(k)
    depth = 600
    k.max_threads = 2 * depth
    deepest = 0

    def link(n: int) -> int:
        nonlocal deepest
        deepest = max(deepest, n)
        if n < depth:
            tasks.fork(lambda: link(n + 1), CLONE_FILES)
            ((_, status),) = wait_all(k)
            assert status == (n + 1 & 0xFF) << 8
        return n & 0xFF

    tasks.run(lambda: link(0))
    assert deepest == depth


def test_the_machine_may_go_while_tasks_sleep() -> None:
    k = boot_task()
    tasks = Tasks(k)
    unwound: list[int] = []

    def child() -> int:
        try:
            do_pause(k)
        finally:
            unwound.append(k.current.pid)
        return 0

    def main() -> int:
        tasks.fork(child)
        yield_task(k)
        return 7

    assert tasks.run(main).exit_code == 7 << 8
    assert unwound == []
    kill_stacks(k)
    assert len(unwound) == 1


def test_two_kernels_do_not_share_a_thing() -> None:
    kernels = [boot_task(), boot_task()]
    said: list[list[str]] = [[], []]

    def program(which: int) -> int:
        k = kernels[which]
        tasks = machines[which]

        def child() -> int:
            said[which].append("child")
            sleep(k, k.timekeeper.now_ns + 5, "test")
            return 0

        tasks.fork(child)
        said[which].append("main")
        if which == 0:
            # A whole run of the other machine, in the middle of ours.
            machines[1].run(lambda: program(1))
        wait_all(k)
        said[which].append("end")
        return 0

    machines = [Tasks(k) for k in kernels]
    machines[0].run(lambda: program(0))
    assert said == [["main", "child", "end"], ["main", "child", "end"]]


def test_what_is_left_behind_can_run_on() -> None:
    k = boot_task()
    tasks = Tasks(k)
    said: list[str] = []

    def child() -> int:
        sleep(k, k.timekeeper.now_ns + 1_000_000_000, "test")
        said.append("late")
        return 0

    def main() -> int:
        tasks.fork(child)
        return 0

    tasks.run(main)
    assert said == []
    tasks.run_rest()
    assert said == ["late"]
    assert list(k.tasks) == [1]


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_task_that_forks_without_end_meets_max_threads(uid: int) -> None:
    k = boot_task(uid)
    k.max_threads = 50
    tasks = Tasks(k)
    children = 0

    def main() -> int:
        nonlocal children
        while True:
            try:
                tasks.fork(lambda: 0)
            except KernelError as error:
                return error.errno or 0
            children += 1

    task = tasks.run(main)
    assert task.exit_code >> 8 == 11  # EAGAIN
    assert children == 50 - 2  # init and ourselves
