# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the host: descriptors of the caller that may not be ready, and signals that the caller's terminal sends.

Only here does a guest wait in the host's time. If a timeout or a timer ends the wait, the virtual clock jumps by what it
said; if the descriptor does, no virtual time has passed.
"""

from __future__ import annotations

import mmscope.kernel.core.itimer as core_itimer
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.signal import SI_KERNEL, KernelSiginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

_NSEC_PER_MSEC: Final = 1_000_000
#: The longest timeout of one poll(2), ms.
_MAX_MSEC: Final = 0x7FFFFFFF


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
    """Signals that came from outside (Ctrl-C), to the current process: sent by the kernel, as a terminal does."""
    while k.host_signals:
        sig = k.host_signals.pop(0)
        core_signal.do_send_sig_info(sig, KernelSiginfo(sig, SI_KERNEL), k.current, True)


def wait_for_host(k: Kernel, wanted: list[tuple[int, int]], expires: int | None) -> list[tuple[int, int]]:
    """Sleep until one of the host's (descriptor, events) is ready, CLOCK_MONOTONIC `expires` ns, or a signal.

    Returns what is ready; nothing when the time is over or a signal is pending.
    """
    current = k.current
    while True:
        take_host_signals(k)
        core_itimer.run_timers(k)
        if core_signal.signal_pending(current):
            return []
        now = k.timekeeper.now_ns
        if expires is not None and now >= expires:
            return []
        end = expires
        timer = current.signal.it_real_expires
        if timer and (end is None or timer < end):
            end = timer
        msecs: int | None = None
        if end is not None:
            msecs = min(-((now - end) // _NSEC_PER_MSEC), _MAX_MSEC)
        ready = host_poll(k, wanted, msecs)
        if ready:
            return ready
        if end is not None and msecs is not None and not k.host_signals:
            k.timekeeper.advance(min(end - now, msecs * _NSEC_PER_MSEC))
