# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the host: descriptors of the caller that may not be ready, and signals that the caller's terminal sends.

Only here does a guest wait in the host's time, and only while no task can run. If a timer ends the wait, the virtual clock
jumps to it; if the descriptor does, no virtual time has passed.
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.signal import SI_KERNEL, KernelSiginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

_NSEC_PER_MSEC: Final = 1_000_000
#: The longest timeout of one poll(2), ms.
_MAX_MSEC: Final = 0x7FFFFFFF


class HostWait:
    """A task that sleeps until one of the host's (descriptor, events) is ready."""

    def __init__(self, task: TaskStruct, wanted: list[tuple[int, int]]) -> None:
        self.task = task
        self.wanted = wanted
        self.ready: list[tuple[int, int]] = []


def host_poll(k: Kernel, wanted: list[tuple[int, int]], msecs: int | None) -> list[tuple[int, int]]:
    """poll(2) of the host: (descriptor, revents) of those that are ready. A signal from outside ends it with none."""
    import select

    poll = select.poll()
    for fd, events in wanted:
        poll.register(fd, events)
    if msecs == 0:
        return poll.poll(0)
    try:
        # From here on the handler of the host's signal raises KernelError, and has host_waiting cleared then.
        k.host_waiting = True
        ready = [] if k.host_signals else poll.poll(msecs)
        k.host_waiting = False
    except KernelError:
        ready = []
    return ready


def take_host_signals(k: Kernel) -> None:
    """Signals that came from outside (Ctrl-C), to the foreground process group: sent by the kernel, as a terminal does."""
    while k.host_signals:
        sig = k.host_signals.pop(0)
        for p in core_signal.processes(k):
            if p.signal.pgrp == k.tty_pgrp:
                core_signal.do_send_sig_info(sig, KernelSiginfo(sig, SI_KERNEL), p, True)


def add_host_wait(k: Kernel, task: TaskStruct, wanted: list[tuple[int, int]]) -> HostWait:
    """Have `task` woken when one of `wanted` is ready."""
    wait = HostWait(task, wanted)
    k.host_waits.append(wait)
    return wait


def remove_host_wait(k: Kernel, wait: HostWait) -> None:
    """It no longer waits."""
    k.host_waits.remove(wait)


def poll_host_waits(k: Kernel, expires: int | None) -> bool:
    """Wait in the host until a descriptor is ready or CLOCK_MONOTONIC `expires` (None: for ever); wake whom it concerns.

    False: nothing will ever be ready. POLLERR and POLLHUP come unasked and for ever: whoever has not asked for them is
    not woken, and such a descriptor is left out.
    """
    wanted: dict[int, int] = {}
    for wait in k.host_waits:
        for fd, events in wait.wanted:
            wanted[fd] = wanted.get(fd, 0) | events
    while wanted:
        now = k.timekeeper.now_ns
        msecs: int | None = None
        if expires is not None:
            msecs = min(-((now - expires) // _NSEC_PER_MSEC), _MAX_MSEC) if expires > now else 0
        ready = dict(host_poll(k, sorted(wanted.items()), msecs))
        if not ready:
            if msecs and expires is not None and not k.host_signals and not k.rq.stop:
                k.timekeeper.advance(min(expires - now, msecs * _NSEC_PER_MSEC))
            return True
        woken = False
        for wait in list(k.host_waits):
            wait.ready = [(fd, ready[fd]) for fd, events in wait.wanted if ready.get(fd, 0) & events]
            if wait.ready:
                woken = True
                core_sched.wake_up_process(wait.task)
        if woken:
            return True
        for fd in ready:
            del wanted[fd]
    return False


def wait_for_host(k: Kernel, wanted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sleep until one of the host's (descriptor, events) is ready: those that are. None: a signal is pending."""
    current = k.current
    if k.host_signals:
        take_host_signals(k)
    wait = add_host_wait(k, current, wanted)
    current.wchan = "a wait for the host"
    while not wait.ready and not core_signal.signal_pending(current):
        current.state = TASK_INTERRUPTIBLE
        core_sched.schedule(k)
    current.state = TASK_RUNNING
    current.wchan = ""
    remove_host_wait(k, wait)
    return wait.ready
