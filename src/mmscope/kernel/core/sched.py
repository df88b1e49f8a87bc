# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler (kernel/sched/core.c): who runs next on the one CPU, and the switch of kernel stacks.

    running --schedule()--> sleeping --wake_up--> runnable --its turn--> running

Runnable tasks stand in one queue and take turns: first come first served, a turn is SCHED_LATENCY_NS of virtual time.
Nothing here looks at the host's clock, so the same input gives the same order. A woken task goes to the queue's end; a
parent runs on after fork.

A task's kernel stack is a greenlet. As long as a machine has run one task only, that one lives on the caller's own
stack, and greenlet is not even imported. The first fork moves it to a greenlet of its own; the caller's stack, `rq.idle`,
then only starts new tasks (so that each begins at the same depth of the host's stack) and takes over when the task it
waits for is dead. When no task can run the clock jumps to the next timer, or we wait for the host.
"""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.fs.hostwait as hostwait
from mmscope.kernel.arch.x86.tlbflush import switch_mm
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_NORMAL, TASK_RUNNING, TASK_WAKEKILL
from mmscope.kernel.include.signal import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import SignalStruct, TaskStruct

__all__ = [
    "account_slice", "activate_task", "deactivate_task", "kill_stacks", "preempt_for_host", "run_until",
    "schedule", "scheduler_tick", "set_current_state", "signal_pending_state", "sleep", "switch_current", "try_to_wake_up",
    "wake_up_new_task", "wake_up_process", "yield_task",
]  # fmt: skip

#: A turn, virtual ns; and a slice: how long a task that makes no kernel entry runs before the clock is looked at.
SCHED_LATENCY_NS: Final = 1_000_000
SLICE_NS: Final = 500_000


def set_current_state(k: Kernel, state: int) -> None:
    """What schedule() will take the current task for."""
    k.current.state = state


def signal_pending_state(state: int, task: TaskStruct) -> bool:
    """A signal keeps the task from sleeping in `state`."""
    if not state & (TASK_INTERRUPTIBLE | TASK_WAKEKILL):
        return False
    if not core_signal.signal_pending(task):
        return False
    return state & TASK_INTERRUPTIBLE != 0 or core_signal.__fatal_signal_pending(task)


# --- waking


def try_to_wake_up(p: TaskStruct, mode: int) -> bool:
    """Make `p` runnable if it sleeps in one of the states of `mode`."""
    if not p.state & mode or p.exit_state:
        return False
    p.state = TASK_RUNNING
    if not p.on_rq:
        p.on_rq = True
        p.kernel.rq.queue.append(p)
    return True


def wake_up_process(p: TaskStruct) -> bool:
    """From any normal sleep."""
    return try_to_wake_up(p, TASK_NORMAL)


def wake_up_new_task(p: TaskStruct) -> None:
    """A child enters the queue. One whose parent is driven from outside (Process.syscall) is so too, and waits for that."""
    k = p.kernel
    p.state = TASK_RUNNING
    if k.current.on_rq:
        p.on_rq = True
        k.rq.queue.append(p)


def activate_task(p: TaskStruct) -> None:
    """Its program shall run from now on (it was just made, from outside)."""
    if not p.on_rq and p.state == TASK_RUNNING:
        p.on_rq = True
        p.kernel.rq.queue.append(p)


def deactivate_task(p: TaskStruct) -> None:
    """It is driven from outside again, or dead."""
    p.on_rq = False
    if p in p.kernel.rq.queue:
        p.kernel.rq.queue.remove(p)


# --- time


def account_slice(k: Kernel) -> None:
    """The current task has computed for SLICE_NS."""
    k.current.utime += SLICE_NS
    k.timekeeper.advance(SLICE_NS)


def scheduler_tick(k: Kernel) -> None:
    """At each return to user mode: expired timers, and the end of the task's turn."""
    if k.hrtimers:
        core_hrtimer.hrtimer_run_queues(k)
    if k.config.sysctl_numa_balancing:
        import mmscope.kernel.core.fair as core_fair

        core_fair.task_tick_numa(k)
    current = k.current
    now = k.timekeeper.now_ns
    if now - current.exec_start >= SCHED_LATENCY_NS:
        if k.host_waits:
            hostwait.poll_host_waits(k, now)
        if k.rq.queue:
            current.need_resched = True
        else:
            current.exec_start = now


# --- switching


def schedule(k: Kernel) -> None:
    """Let another task run. One whose state is not TASK_RUNNING sleeps until it is woken, unless a signal is pending."""
    rq = k.rq
    prev = k.current
    prev.need_resched = False
    if prev.state != TASK_RUNNING and signal_pending_state(prev.state, prev):
        prev.state = TASK_RUNNING
    if prev.state != TASK_RUNNING:
        prev.on_rq = False
        prev.nvcsw += 1
    else:
        if rq.queue:
            prev.nivcsw += 1
        prev.on_rq = True
        rq.queue.append(prev)
    next = pick_next_task(k)
    if next is None:
        rq.idle.switch()  # Who resumes us has made us current again.
    elif next is not prev:
        context_switch(k, prev, next)
    prev.exec_start = k.timekeeper.now_ns


def yield_task(k: Kernel) -> None:
    """sched_yield(2): to the end of the queue."""
    if k.rq.queue:
        schedule(k)


def pick_next_task(k: Kernel) -> TaskStruct | None:
    """The first in the queue; as long as there is none, idle. None: the machine's caller wants the CPU back."""
    rq = k.rq
    while not rq.queue:
        if rq.stop or not idle(k):
            return None
    return rq.queue.pop(0)


def idle(k: Kernel) -> bool:
    """Nobody can run: on to the next timer, or wait for the host. False: nothing is left to wait for and nobody cares."""
    rq = k.rq
    if k.host_signals:
        hostwait.take_host_signals(k)
    elif k.host_waits and hostwait.poll_host_waits(k, k.hrtimers[0].expires if k.hrtimers else None):
        pass
    elif k.hrtimers:
        k.timekeeper.advance(max(k.hrtimers[0].expires - k.timekeeper.now_ns, 0))
    elif rq.idle is not None and rq.until is None:
        return False
    else:
        deadlock(k)
    core_hrtimer.hrtimer_run_queues(k)
    return True


def context_switch(k: Kernel, prev: TaskStruct, next: TaskStruct) -> None:
    """The CPU goes from `prev` to `next`: address space, FPU, kernel stack. Returns when it comes back to `prev`."""
    switch_current(k, next)
    switch_to(k, prev, next)


def switch_current(k: Kernel, next: TaskStruct) -> None:
    """All of a switch but the stack: `next` is current, its address space is loaded, the FPU holds its registers."""
    prev = k.current
    if prev is next:
        return
    k.rq.nr_switches += 1
    next.exec_start = k.timekeeper.now_ns
    if not prev.exit_state:
        prev.thread.fpu = k.cpu.fxsave()
    k.current = next
    mm = next.mm
    if mm is not None and k.cpu.cr3 != mm.pgd:
        switch_mm(k, prev.mm, mm)
    k.cpu.fxrstor(next.thread.fpu)


def switch_to(k: Kernel, prev: TaskStruct, next: TaskStruct) -> None:
    """The stack: to that of `next`, which is current already. Whoever resumes us has made `prev` current again."""
    import greenlet

    rq = k.rq
    me = greenlet.getcurrent()
    if rq.idle is None:
        rq.idle = me
    if me is rq.idle:
        # A task that is driven from outside sleeps on its caller's stack.
        idle_loop(k, prev, None)
    elif next.stack is not None:
        next.stack.switch()
    else:
        rq.idle.switch()


def idle_loop(k: Kernel, task: TaskStruct | None, until: SignalStruct | None) -> None:
    """The idle stack: run whoever is current, until that is `task`, or the process `until` is dead, or rq.stop.

    Control comes back here when a task has died, or when one becomes current that never ran.
    """
    import greenlet

    rq = k.rq
    while True:
        if until is not None and until.live == 0:
            return
        if rq.stop and task is None:
            rq.stop = False
            return
        current = k.current
        if current.exit_state:
            next = pick_next_task(k)
            if next is None:
                if task is not None:
                    raise KernelBug(f"nobody wakes {task.comm}[{task.pid}]")
                rq.stop = False
                return
            switch_current(k, next)
            current = next
        if current is task:
            return
        if current.stack is None:
            current.stack = greenlet.greenlet(ret_from_fork)
            current.stack.switch(k, current)
        else:
            current.stack.switch()


def ret_from_fork(k: Kernel, task: TaskStruct) -> None:
    """Where a task's life begins, and ends: the return to user mode, in which the engine stays until the task is dead."""
    enter_user = k.rq.enter_user
    if enter_user is None:
        raise KernelBug(f"no engine to run {task.comm}[{task.pid}]")
    enter_user(task)


def run_until(k: Kernel, until: SignalStruct | None) -> None:
    """On the stack of the machine's caller: let tasks run until the process `until` is dead, or the guard sets rq.stop.

    None: until nobody can run and no timer is armed.
    """
    import greenlet

    rq = k.rq
    rq.idle = greenlet.getcurrent()
    rq.until = until
    next = pick_next_task(k)
    if next is None:
        rq.stop = False
        return
    switch_current(k, next)
    idle_loop(k, None, until)


def preempt_for_host(k: Kernel) -> None:
    """The current task gives the CPU to the machine's caller (rq.stop is set), and is the next to run."""
    current = k.current
    current.on_rq = True
    k.rq.queue.insert(0, current)
    k.rq.idle.switch()


def kill_stacks(k: Kernel) -> None:
    """The machine is closed: unwind the stacks of the tasks that sleep."""
    k.rq.queue.clear()
    for pid in sorted(k.tasks):
        task = k.tasks[pid]
        stack = task.stack
        task.stack = None
        if stack is not None and stack is not k.rq.idle:
            stack.throw()


# --- sleeping


def sleep(k: Kernel, expires: int | None, what: str) -> bool:
    """Sleep until CLOCK_MONOTONIC `expires` (ns; None = for ever) or a signal. True: the time is over.

    `what` names the call in case nothing can end the sleep.
    """
    current = k.current
    current.wchan = what
    over = False
    while not over and not core_signal.signal_pending(current):
        current.state = TASK_INTERRUPTIBLE
        over = core_hrtimer.schedule_hrtimeout(k, expires)
    current.wchan = ""
    return over


def deadlock(k: Kernel) -> None:
    """Nothing in this machine can wake any task again: say so, then SIGKILL for all that sleep."""
    stuck = [task for task in k.tasks.values() if task.state != TASK_RUNNING and not task.exit_state and task.pid > 1]
    names = ", ".join(f"{task.comm}[{task.pid}] in {task.wchan or 'the kernel'}" for task in stuck)
    if not stuck:
        raise KernelBug(f"idle for ever: no task sleeps, {k.current.comm}[{k.current.pid}] is current, the queue is empty")
    k.warn(f"deadlock: {names}: no timer and no other task can end it; killed")
    for task in stuck:
        core_signal.send_sig(k, SIGKILL, task, 1)
