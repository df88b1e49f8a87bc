# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C and other host signals while the guest runs: a watcher thread that stops the CPU.

Python's signal handlers run between bytecodes, hence not inside uc_emu_start. C-level, every signal writes a byte to the
wakeup descriptor; the watcher reads it and calls `stop` until the main thread has come out. SIGINT gets a handler of its
own meanwhile, so that no KeyboardInterrupt breaks into a hook. With a kernel given, SIGINT goes to the guest: it is put into
`host_signals`, and ends a wait in the host (fs/hostwait.py).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.py imports enum: 1 ms
import _thread
import os
import time

from mmscope.kernel.include.errno import EINTR, KernelError
from mmscope.kernel.include.signal import SIG_IGN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.rq import Rq


class InterruptGuard:
    """Armed around one Engine.run. In another thread than the main one it does nothing: signals never arrive there."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        #: True while the main thread is, or is about to be, inside uc_emu_start.
        self.in_guest = False
        #: A signal came in: leave the guest. Cleared by the main thread.
        self.kick = False
        #: SIGINT came while in the guest.
        self.interrupted = False
        #: The kernel whose process gets SIGINT; None: it raises KeyboardInterrupt here.
        self._kernel: Kernel | None = None
        #: The machine's runqueue, once tasks have stacks of their own; and how to end a wait in the host.
        self.rq: Rq | None = None
        self.waiting: Kernel | None = None
        #: When the last SIGINT for the guest came, seconds.
        self._last = -1.0
        self._previous: Any = None
        self._old_fd = -1
        self._write_fd = -1
        self._done: Any = None
        #: Number of this run; a watcher of another one keeps still.
        self._run = 0
        #: The watcher of this run has called stop: wait for its end.
        self._stopping = False

    def arm(self, kernel: Kernel | None = None) -> None:
        """Take SIGINT and the wakeup descriptor, and start the watcher."""
        previous = _signal.getsignal(_signal.SIGINT)
        if previous is None or _thread.get_ident() != _main_thread():
            return
        read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._previous = previous
        self._kernel = kernel
        if previous != _signal.SIG_IGN:
            _signal.signal(_signal.SIGINT, self._handler)
        self._old_fd = _signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self._stopping = False
        _thread.start_new_thread(self._watch, (self._run, read_fd, self._done))

    def disarm(self) -> None:
        """Give everything back. Preconditions: the CPU is stopped."""
        if self._done is None:
            return
        self.in_guest = self.kick = False
        _signal.set_wakeup_fd(self._old_fd)
        if self._previous != _signal.SIG_IGN:
            _signal.signal(_signal.SIGINT, self._previous)
        self._run += 1
        os.close(self._write_fd)
        if self._stopping:
            self._done.acquire()
        self._done = None

    def deliver(self) -> None:
        """Let the interrupted program's own handler see the SIGINT that the guest was stopped for."""
        self.interrupted = False
        if callable(self._previous):
            self._previous(_signal.SIGINT, None)
        else:
            raise KeyboardInterrupt

    def _handler(self, signum: int, frame: object) -> None:
        if self._kernel is not None and self._to_guest(self._kernel, signum):
            return
        rq = self.rq
        if rq is not None:
            # The running stack may be a task's: the exception belongs to the stack of our caller.
            self.interrupted = True
            rq.stop = True
            if self.waiting is not None and self.waiting.host_waiting:
                self.waiting.host_waiting = False
                raise KernelError(EINTR)
        elif self.in_guest:
            self.interrupted = True
        elif callable(self._previous):
            self._previous(signum, frame)
        else:
            raise KeyboardInterrupt

    def _to_guest(self, k: Kernel, signum: int) -> bool:
        """Leave SIGINT for the guest's process. False: it does not want it, and this is the second within a second."""
        now = time.monotonic()
        since, self._last = now - self._last, now
        if since < 1.0 and k.has_current():
            wanted = False
            for task in k.tasks.values():
                if task.signal.pgrp == k.tty_pgrp and not task.exit_state and not task.blocked >> (signum - 1) & 1:
                    wanted = wanted or task.sighand.action[signum - 1].sa_handler != SIG_IGN
            if not wanted:
                return False
        k.host_signals.append(signum)
        if k.host_waiting:
            k.host_waiting = False
            raise KernelError(EINTR)
        return True

    def _watch(self, run: int, read_fd: int, done: Any) -> None:
        """The watcher thread: until the write end is closed."""
        try:
            while os.read(read_fd, 64):
                self._stopping = self._stopping or run == self._run
                if self.in_guest and run == self._run:
                    self.kick = True
                # An emu_stop just before emu_start is lost: repeat it until the main thread has seen the kick.
                while self.kick and run == self._run:
                    self._stop()
                    time.sleep(0.001)
        finally:
            os.close(read_fd)
            done.release()


def _main_thread() -> int:
    """Identity of the main thread, without importing `threading` if nobody did."""
    import sys

    threading = sys.modules.get("threading")
    if threading is None:
        # Nobody could have started another thread through it.
        return _thread.get_ident()
    ident = threading.main_thread().ident
    return ident if isinstance(ident, int) else -1
