# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for an event (kernel/sched/wait.c, completion.c).

wait = WaitQueueEntry(k.current)
while True:
    prepare_to_wait(wq, wait, TASK_INTERRUPTIBLE)
    if the event has come or signal_pending(k.current): break
    schedule(k)
finish_wait(wq, wait)
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_NORMAL, TASK_RUNNING
from mmscope.kernel.include.wait import WQ_FLAG_EXCLUSIVE, Completion, WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "add_wait_queue", "complete", "finish_wait", "prepare_to_wait", "prepare_to_wait_exclusive", "remove_wait_queue",
    "wait_for_completion_killable", "wake_up", "wake_up_all", "wake_up_interruptible",
]  # fmt: skip


def add_wait_queue(wq: WaitQueueHead, wait: WaitQueueEntry) -> None:
    """Stand in the queue: those who are not exclusive come first, the last of them at its head."""
    wait.flags &= ~WQ_FLAG_EXCLUSIVE
    wq.head.insert(0, wait)
    wait.wq_head = wq


def remove_wait_queue(wq: WaitQueueHead, wait: WaitQueueEntry) -> None:
    """Leave the queue."""
    if wait.wq_head is not None:
        wq.head.remove(wait)
        wait.wq_head = None


def prepare_to_wait(wq: WaitQueueHead, wait: WaitQueueEntry, state: int) -> None:
    """Stand in the queue, unless there already, in `state`."""
    wait.flags &= ~WQ_FLAG_EXCLUSIVE
    if wait.wq_head is None:
        wq.head.insert(0, wait)
        wait.wq_head = wq
    wait.task.state = state


def prepare_to_wait_exclusive(wq: WaitQueueHead, wait: WaitQueueEntry, state: int) -> None:
    """Stand at the queue's end: one event wakes one of these."""
    wait.flags |= WQ_FLAG_EXCLUSIVE
    if wait.wq_head is None:
        wq.head.append(wait)
        wait.wq_head = wq
    wait.task.state = state


def finish_wait(wq: WaitQueueHead, wait: WaitQueueEntry) -> None:
    """The wait is over, whatever ended it."""
    wait.task.state = TASK_RUNNING
    remove_wait_queue(wq, wait)


def default_wake_function(wait: WaitQueueEntry, mode: int) -> bool:
    """Wake the task if it sleeps in one of the states of `mode`."""
    return core_sched.try_to_wake_up(wait.task, mode)


def __wake_up(wq: WaitQueueHead, mode: int, nr_exclusive: int, key: int) -> None:
    """Wake all that are not exclusive and `nr_exclusive` (0: all) of those that are. `key`: the poll events, 0 = any."""
    for wait in list(wq.head):
        if wait.wq_head is not wq:
            continue
        flags = wait.flags
        if wait.func is not None:
            woken = wait.func(wait, mode, key)
        else:
            woken = default_wake_function(wait, mode)
            if woken:
                # autoremove_wake_function(): who has been woken does not use up the next event.
                remove_wait_queue(wq, wait)
        if woken and flags & WQ_FLAG_EXCLUSIVE:
            nr_exclusive -= 1
            if nr_exclusive == 0:
                break


def wake_up(wq: WaitQueueHead, key: int = 0) -> None:
    """wake_up(), and wake_up_poll() with a key."""
    if wq.head:
        __wake_up(wq, TASK_NORMAL, 1, key)


def wake_up_all(wq: WaitQueueHead, key: int = 0) -> None:
    """Exclusive ones too."""
    if wq.head:
        __wake_up(wq, TASK_NORMAL, 0, key)


def wake_up_interruptible(wq: WaitQueueHead, key: int = 0) -> None:
    """Only interruptible sleepers; with a key wake_up_interruptible_poll()."""
    if wq.head:
        __wake_up(wq, TASK_INTERRUPTIBLE, 1, key)


def complete(x: Completion) -> None:
    """One waiter may go on."""
    x.done += 1
    if x.wait.head:
        __wake_up(x.wait, TASK_NORMAL, 1, 0)


def wait_for_completion_killable(k: Kernel, x: Completion, state: int) -> bool:
    """Wait in `state` (TASK_KILLABLE) for complete(); False: a fatal signal ended it."""
    current: TaskStruct = k.current
    wait = WaitQueueEntry(current)
    interrupted = False
    while not x.done:
        prepare_to_wait_exclusive(x.wait, wait, state)
        if core_sched.signal_pending_state(state, current):
            interrupted = True
            break
        core_sched.schedule(k)
    finish_wait(x.wait, wait)
    if interrupted:
        return False
    x.done -= 1
    return True
