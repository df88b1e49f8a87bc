# SPDX-License-Identifier: GPL-2.0-or-later
"""poll(2) and select(2) (fs/select.c): look at all files; if none is ready, sleep on all their wait queues at once."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
import mmscope.kernel.fs.hostwait as hostwait
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import fget, fput, get_file
from mmscope.kernel.include.errno import EBADF, EINTR, EINVAL, ERESTARTNOHAND, KernelError
from mmscope.kernel.include.poll import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
    PollTable,
    vfs_poll,
)
from mmscope.kernel.include.resource import RLIMIT_NOFILE
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel

#: What select's three sets ask for.
POLLIN_SET: Final = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR
POLLOUT_SET: Final = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR
POLLEX_SET: Final = POLLPRI


class PollWqueues:
    """struct poll_wqueues: the queues on which one poll or select stands."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.polling_task = k.current
        self.triggered = False
        self.entries: list[WaitQueueEntry] = []
        self.files: list[File] = []
        self.pt = PollTable(self.pollwait, 0)

    def pollwait(self, file: File, wait_address: WaitQueueHead, p: PollTable) -> None:
        """__pollwait(): stand on one more queue; the file stays open meanwhile."""
        self.files.append(get_file(file))
        entry = WaitQueueEntry(self.polling_task, pollwake, PollKey(self, p.key))
        self.entries.append(entry)
        core_wait.add_wait_queue(wait_address, entry)

    def schedule_timeout(self, expires: int | None) -> bool:
        """Sleep until a queue is woken, CLOCK_MONOTONIC `expires`, or a signal. True: the time is over."""
        k = self.k
        task = self.polling_task
        hosts = self.pt.hosts
        wait = hostwait.add_host_wait(k, task, hosts) if hosts else None
        task.state = TASK_INTERRUPTIBLE
        task.wchan = "poll"
        over = False
        if not self.triggered:
            over = core_hrtimer.schedule_hrtimeout(k, expires)
        task.state = TASK_RUNNING
        task.wchan = ""
        if wait is not None:
            hostwait.remove_host_wait(k, wait)
        self.triggered = False
        return over

    def freewait(self) -> None:
        """poll_freewait(): leave all queues."""
        for entry in self.entries:
            head = entry.wq_head
            if head is not None:
                core_wait.remove_wait_queue(head, entry)
        self.entries.clear()
        for file in self.files:
            fput(file)
        self.files.clear()


class PollKey:
    """What a queue's entry is for: the call, and the events that matter to it."""

    def __init__(self, pwq: PollWqueues, key: int) -> None:
        self.pwq = pwq
        self.key = key


def pollwake(wait: WaitQueueEntry, mode: int, key: int) -> bool:
    """A queue was woken: for events that do not matter sleep on."""
    mine = wait.private
    assert isinstance(mine, PollKey)
    if key and not key & mine.key:
        return False
    mine.pwq.triggered = True
    return core_wait.default_wake_function(wait, mode)


def do_pollfd(k: Kernel, fd: int, events: int, pwq: PollWqueues) -> int:
    """One descriptor's revents; POLLNVAL if it is not open."""
    if fd < 0:
        return 0
    try:
        file = fget(k, fd)
    except KernelError:
        return POLLNVAL
    events |= POLLERR | POLLHUP
    pwq.pt.key = events
    return vfs_poll(file, pwq.pt) & events


def do_poll(k: Kernel, fds: list[tuple[int, int]], expires: int | None, timed_out: bool) -> list[int]:
    """The revents of (descriptor, events), all 0 after CLOCK_MONOTONIC `expires`. EINTR: a signal. `timed_out`: only look."""
    pwq = PollWqueues(k)
    if timed_out:
        pwq.pt.qproc = None
    try:
        while True:
            revents = [do_pollfd(k, fd, events, pwq) for fd, events in fds]
            # The queues are known now.
            pwq.pt.qproc = None
            if any(revents):
                return revents
            if core_signal.signal_pending(k.current):
                raise KernelError(EINTR)
            if timed_out:
                return revents
            if pwq.schedule_timeout(expires):
                timed_out = True
            else:
                pwq.pt.hosts.clear()
    finally:
        pwq.freewait()


def do_sys_poll(k: Kernel, ufds: int, nfds: int, timeout: int | None) -> int:
    """poll(2) on the array at `ufds`: how many are ready; revents are written back. `timeout`: ns, None = for ever."""
    if nfds > k.current.signal.rlim[RLIMIT_NOFILE].rlim_cur:
        raise KernelError(EINVAL)
    raw = copy_from_user(k, ufds, nfds * 8) if nfds else b""
    fds = []
    for at in range(0, nfds * 8, 8):
        fds.append((int.from_bytes(raw[at : at + 4], "little", signed=True), int.from_bytes(raw[at + 4 : at + 6], "little")))
    revents = do_poll(k, fds, None if timeout is None else k.timekeeper.now_ns + timeout, timeout == 0)
    count = 0
    for i, mask in enumerate(revents):
        copy_to_user(k, ufds + 8 * i + 6, mask.to_bytes(2, "little"))
        if mask:
            count += 1
    return count


def max_select_fd(k: Kernel, n: int, wanted: list[int]) -> None:
    """EBADF if a set has a descriptor that is not open."""
    files = k.current.files
    assert files is not None
    for fd in range(n):
        if (wanted[0] | wanted[1] | wanted[2]) >> fd & 1 and fd not in files.fd:
            raise KernelError(EBADF)


def do_select(k: Kernel, n: int, wanted: list[int], expires: int | None, timed_out: bool) -> tuple[int, list[int]]:
    """(how many bits, the three result sets) of the descriptors below `n` in the three sets `wanted`, as bit masks."""
    max_select_fd(k, n, wanted)
    pwq = PollWqueues(k)
    if timed_out:
        pwq.pt.qproc = None
    every = wanted[0] | wanted[1] | wanted[2]
    try:
        while True:
            count, results = 0, [0, 0, 0]
            for fd in range(n):
                bit = 1 << fd
                if not every & bit:
                    continue
                try:
                    file = fget(k, fd)
                except KernelError:
                    continue
                sets = (wanted[0] & bit, wanted[1] & bit, wanted[2] & bit)
                masks = (POLLIN_SET, POLLOUT_SET, POLLEX_SET)
                pwq.pt.key = 0
                for i in range(3):
                    if sets[i]:
                        pwq.pt.key |= masks[i]
                mask = vfs_poll(file, pwq.pt)
                for i in range(3):
                    if sets[i] and mask & masks[i]:
                        results[i] |= bit
                        count += 1
            pwq.pt.qproc = None
            if count or timed_out or core_signal.signal_pending(k.current):
                return count, results
            if pwq.schedule_timeout(expires):
                timed_out = True
            else:
                pwq.pt.hosts.clear()
    finally:
        pwq.freewait()


def core_sys_select(k: Kernel, n: int, sets: tuple[int, int, int], timeout: int | None) -> int:
    """select on the in, out and exception sets at these addresses (0 = none)."""
    if n < 0:
        raise KernelError(EINVAL)
    files = k.current.files
    assert files is not None
    # max_fds: the table's size, at least 64, doubling.
    max_fds = 64
    while files.fd and max_fds <= max(files.fd):
        max_fds *= 2
    n = min(n, max_fds)
    size = (n + 63) // 64 * 8
    wanted = [int.from_bytes(copy_from_user(k, a, size), "little") if a and size else 0 for a in sets]
    count, results = do_select(k, n, wanted, None if timeout is None else k.timekeeper.now_ns + timeout, timeout == 0)
    if count == 0 and core_signal.signal_pending(k.current):
        return -ERESTARTNOHAND
    for addr, value in zip(sets, results, strict=True):
        if addr and size:
            copy_to_user(k, addr, value.to_bytes(size, "little"))
    return count
