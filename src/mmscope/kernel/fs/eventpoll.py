# SPDX-License-Identifier: GPL-2.0-or-later
"""epoll (fs/eventpoll.c): the wait queues of many files are stood on once; whoever becomes ready enters a list."""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
import mmscope.kernel.fs.hostwait as hostwait
from mmscope.kernel.fs.anon_inodes import anon_inode_getfd
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.read_write import noop_llseek
from mmscope.kernel.include.errno import EEXIST, EINTR, EINVAL, ELOOP, ENOENT, EPERM, KernelError
from mmscope.kernel.include.fs import O_CLOEXEC, O_RDWR, File, FileOperations, Inode
from mmscope.kernel.include.poll import POLLERR, POLLHUP, POLLIN, POLLRDNORM, PollTable, poll_wait, vfs_poll
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["do_epoll_create", "do_epoll_ctl", "do_epoll_wait", "eventpoll_release_file"]

EPOLL_CTL_ADD: Final = 1
EPOLL_CTL_DEL: Final = 2
EPOLL_CTL_MOD: Final = 3

EPOLLEXCLUSIVE: Final = 1 << 28
EPOLLWAKEUP: Final = 1 << 29
EPOLLONESHOT: Final = 1 << 30
EPOLLET: Final = 1 << 31
EP_PRIVATE_BITS: Final = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE
#: How deep epoll files may watch each other.
EP_MAX_NESTS: Final = 4
EP_MAX_EVENTS: Final = 0x7FFFFFFF // 12


class EpItem:
    """struct epitem: one watched (file, descriptor)."""

    def __init__(self, ep: EventPoll, file: File, fd: int, events: int, data: int) -> None:
        self.ep = ep
        self.file = file
        self.fd = fd
        self.events = events
        self.data = data
        self.waits: list[WaitQueueEntry] = []
        #: Descriptors of the host behind it; a host's descriptor enters no list by itself.
        self.hosts: list[tuple[int, int]] = []
        #: Edge-triggered descriptor of the host: it was reported and has been ready ever since.
        self.reported = False


class EventPoll:
    """struct eventpoll."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: Who waits in epoll_wait(2), and who polls the epoll file itself.
        self.wq = WaitQueueHead()
        self.poll_wait = WaitQueueHead()
        self.rdllist: list[EpItem] = []
        #: (descriptor, file) -> item, in the order of adding.
        self.items: dict[tuple[int, File], EpItem] = {}


def ep_of(file: File) -> EventPoll:
    """The epoll instance behind `file`. EINVAL: it is none."""
    ep = file.private_data
    if not isinstance(ep, EventPoll):
        raise KernelError(EINVAL)
    return ep


def ep_poll_callback(wait: WaitQueueEntry, mode: int, key: int) -> bool:
    """A watched file's queue was woken: its item enters the ready list."""
    epi = wait.private
    assert isinstance(epi, EpItem)
    ep = epi.ep
    if not epi.events & ~EP_PRIVATE_BITS:
        return False
    if key and not key & epi.events:
        return False
    if epi not in ep.rdllist:
        ep.rdllist.append(epi)
    woken = bool(ep.wq.head)
    core_wait.wake_up(ep.wq)
    if ep.poll_wait.head:
        core_wait.wake_up(ep.poll_wait, POLLIN | POLLRDNORM)
    return woken or not epi.events & EPOLLEXCLUSIVE


class EpQueue:
    """struct ep_pqueue: puts an item on its file's queues."""

    def __init__(self, epi: EpItem) -> None:
        self.epi = epi
        self.pt = PollTable(self.ptable_queue_proc, 0)

    def ptable_queue_proc(self, file: File, whead: WaitQueueHead, pt: PollTable) -> None:
        """ep_ptable_queue_proc()."""
        epi = self.epi
        wait = WaitQueueEntry(epi.ep.kernel.current, ep_poll_callback, epi)
        epi.waits.append(wait)
        if epi.events & EPOLLEXCLUSIVE:
            wait.flags |= 1
            whead.head.append(wait)
            wait.wq_head = whead
        else:
            core_wait.add_wait_queue(whead, wait)


def ep_item_poll(epi: EpItem, pt: PollTable | None) -> int:
    """What of its events is ready."""
    if pt is not None:
        pt.key = epi.events
    return vfs_poll(epi.file, pt) & epi.events


def ep_insert(ep: EventPoll, file: File, fd: int, events: int, data: int) -> None:
    """Watch `file`."""
    epi = EpItem(ep, file, fd, events, data)
    ep.items[fd, file] = epi
    file.f_ep.append(epi)
    queue = EpQueue(epi)
    revents = ep_item_poll(epi, queue.pt)
    epi.hosts = queue.pt.hosts
    if revents:
        ep.rdllist.append(epi)
        core_wait.wake_up(ep.wq)
        core_wait.wake_up(ep.poll_wait, POLLIN | POLLRDNORM)


def ep_modify(ep: EventPoll, epi: EpItem, events: int, data: int) -> None:
    """Other events."""
    epi.events = events
    epi.data = data
    epi.reported = False
    epi.hosts = [(fd, events & 0xFFFF) for fd, _ in epi.hosts]
    if ep_item_poll(epi, None) and epi not in ep.rdllist:
        ep.rdllist.append(epi)
        core_wait.wake_up(ep.wq)
        core_wait.wake_up(ep.poll_wait, POLLIN | POLLRDNORM)


def ep_remove(ep: EventPoll, epi: EpItem) -> None:
    """Watch it no more."""
    for wait in epi.waits:
        head = wait.wq_head
        if head is not None:
            core_wait.remove_wait_queue(head, wait)
    epi.waits.clear()
    epi.file.f_ep.remove(epi)
    del ep.items[epi.fd, epi.file]
    if epi in ep.rdllist:
        ep.rdllist.remove(epi)


def eventpoll_release_file(file: File) -> None:
    """The last reference to a watched file is gone."""
    for epi in list(file.f_ep):
        assert isinstance(epi, EpItem)
        ep_remove(epi.ep, epi)


def ep_loop_depth(ep: EventPoll, looking_for: EventPoll, depth: int) -> int:
    """How deep epoll files hang below `ep`. ELOOP: `looking_for` is among them, or they are too deep."""
    if depth > EP_MAX_NESTS or ep is looking_for:
        raise KernelError(ELOOP)
    deepest = depth
    for epi in ep.items.values():
        inner = epi.file.private_data
        if isinstance(inner, EventPoll):
            deepest = max(deepest, ep_loop_depth(inner, looking_for, depth + 1))
    return deepest


def do_epoll_ctl(k: Kernel, epfd: int, op: int, fd: int, events: int, data: int) -> int:
    """epoll_ctl(2)."""
    file = fget(k, epfd)
    target = fget(k, fd)
    if target.f_op.poll is None:
        raise KernelError(EPERM)
    if file is target or not isinstance(file.private_data, EventPoll):
        raise KernelError(EINVAL)
    ep = file.private_data
    nested = target.private_data
    if op in (EPOLL_CTL_ADD, EPOLL_CTL_MOD) and events & EPOLLEXCLUSIVE:
        allowed = EPOLLET | EPOLLEXCLUSIVE | EPOLLWAKEUP | 0x35D
        if op == EPOLL_CTL_MOD or isinstance(nested, EventPoll) or events & ~allowed:
            raise KernelError(EINVAL)
    if op == EPOLL_CTL_ADD and isinstance(nested, EventPoll):
        ep_loop_depth(nested, ep, 1)
    epi = ep.items.get((fd, target))
    if op == EPOLL_CTL_ADD:
        if epi is not None:
            raise KernelError(EEXIST)
        ep_insert(ep, target, fd, events | POLLERR | POLLHUP, data)
    elif op == EPOLL_CTL_DEL:
        if epi is None:
            raise KernelError(ENOENT)
        ep_remove(ep, epi)
    elif op == EPOLL_CTL_MOD:
        if epi is None:
            raise KernelError(ENOENT)
        if epi.events & EPOLLEXCLUSIVE:
            raise KernelError(EINVAL)
        ep_modify(ep, epi, events | POLLERR | POLLHUP, data)
    else:
        raise KernelError(EINVAL)
    return 0


def ep_look_at_hosts(ep: EventPoll) -> None:
    """Items over the host's descriptors enter the ready list when those are ready."""
    for epi in ep.items.values():
        if epi.hosts and epi.events & ~EP_PRIVATE_BITS:
            ready = ep_item_poll(epi, None) != 0
            if ready and not epi.reported and epi not in ep.rdllist:
                ep.rdllist.append(epi)
            if not ready:
                epi.reported = False


def ep_send_events(ep: EventPoll, maxevents: int) -> list[tuple[int, int]]:
    """(events, data) of up to `maxevents` ready items; level-triggered ones stay in the list."""
    out: list[tuple[int, int]] = []
    again: list[EpItem] = []
    while ep.rdllist and len(out) < maxevents:
        epi = ep.rdllist.pop(0)
        revents = ep_item_poll(epi, None)
        if not revents:
            continue
        out.append((revents, epi.data))
        if epi.events & EPOLLONESHOT:
            epi.events &= EP_PRIVATE_BITS
        elif epi.events & EPOLLET:
            epi.reported = True
        else:
            again.append(epi)
    ep.rdllist += again
    if ep.rdllist:
        # ep_done_scan(): more is ready, or still is; somebody else may take it.
        core_wait.wake_up(ep.wq)
    return out


def do_epoll_wait(k: Kernel, epfd: int, maxevents: int, timeout: int | None) -> list[tuple[int, int]]:
    """epoll_wait(2): (events, data) of what is ready; nothing after `timeout` ns (None: for ever). EINTR."""
    if maxevents <= 0 or maxevents > EP_MAX_EVENTS:
        raise KernelError(EINVAL)
    file = fget(k, epfd)
    ep = ep_of(file)
    current = k.current
    expires = None if timeout is None else k.timekeeper.now_ns + timeout
    over = timeout == 0
    while True:
        ep_look_at_hosts(ep)
        if ep.rdllist:
            out = ep_send_events(ep, maxevents)
            if out:
                return out
        if over:
            return []
        if core_signal.signal_pending(current):
            raise KernelError(EINTR)
        hosts = [host for epi in ep.items.values() for host in epi.hosts if not epi.reported]
        host_wait = hostwait.add_host_wait(k, current, hosts) if hosts else None
        wait = WaitQueueEntry(current)
        core_wait.prepare_to_wait_exclusive(ep.wq, wait, TASK_INTERRUPTIBLE)
        current.wchan = "epoll_wait"
        over = core_hrtimer.schedule_hrtimeout(k, expires)
        current.state = TASK_RUNNING
        current.wchan = ""
        core_wait.finish_wait(ep.wq, wait)
        if host_wait is not None:
            hostwait.remove_host_wait(k, host_wait)


def ep_eventpoll_poll(file: File, pt: PollTable | None) -> int:
    """An epoll file is readable when something that it watches is ready."""
    ep = ep_of(file)
    poll_wait(file, ep.poll_wait, pt)
    ep_look_at_hosts(ep)
    if pt is not None:
        for epi in ep.items.values():
            pt.hosts += epi.hosts
    for epi in list(ep.rdllist):
        if ep_item_poll(epi, None):
            return POLLIN | POLLRDNORM
        ep.rdllist.remove(epi)
    return 0


def ep_eventpoll_release(inode: Inode, file: File) -> None:
    """The epoll file is closed."""
    ep = ep_of(file)
    for epi in list(ep.items.values()):
        ep_remove(ep, epi)


def ep_show_fdinfo(file: File) -> str:
    """What it watches, by descriptor; `data` and the device are hexadecimal, as the inode's number is."""
    text = ""
    for epi in ep_of(file).items.values():
        inode = epi.file.f_inode
        text += f"tfd: {epi.fd:8d} events: {epi.events:8x} data: {epi.data:16x} "
        text += f" pos:{epi.file.f_pos} ino:{inode.i_ino:x} sdev:{inode.i_sb.s_dev:x}\n"
    return text


eventpoll_fops: Final = FileOperations(
    "eventpoll_fops", noop_llseek, poll=ep_eventpoll_poll, release=ep_eventpoll_release, show_fdinfo=ep_show_fdinfo
)


def do_epoll_create(k: Kernel, flags: int) -> int:
    """epoll_create1(2)."""
    if flags & ~O_CLOEXEC:
        raise KernelError(EINVAL)
    return anon_inode_getfd(k, "[eventpoll]", eventpoll_fops, EventPoll(k), O_RDWR | flags & O_CLOEXEC)
