# SPDX-License-Identifier: GPL-2.0-or-later
"""eventfd(2) (fs/eventfd.c): a 64-bit counter as a file."""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.fs.anon_inodes import anon_inode_getfd
from mmscope.kernel.fs.read_write import noop_llseek
from mmscope.kernel.include.errno import EAGAIN, EINVAL, ERESTARTSYS, KernelError
from mmscope.kernel.include.fs import O_CLOEXEC, O_NONBLOCK, O_RDWR, File, FileOperations, Inode
from mmscope.kernel.include.poll import POLLERR, POLLIN, POLLOUT, PollTable, poll_wait
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE
from mmscope.kernel.include.wait import WaitQueueEntry, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

EFD_SEMAPHORE: Final = 1
ULLONG_MAX: Final = 0xFFFFFFFFFFFFFFFF


class EventfdCtx:
    """struct eventfd_ctx."""

    def __init__(self, kernel: Kernel, count: int, flags: int) -> None:
        self.kernel = kernel
        self.wqh = WaitQueueHead()
        self.count = count
        self.flags = flags
        #: In fdinfo: the lowest number that no other one has.
        self.id = 0
        while self.id in kernel.eventfd_ids:
            self.id += 1
        kernel.eventfd_ids.add(self.id)


def ctx_of(file: File) -> EventfdCtx:
    """The counter behind `file`."""
    ctx = file.private_data
    assert isinstance(ctx, EventfdCtx)
    return ctx


def eventfd_wait(ctx: EventfdCtx, room: int) -> None:
    """Wait until the counter is not 0 (room 0), or takes `room` more. ERESTARTSYS."""
    k = ctx.kernel
    current = k.current
    wait = WaitQueueEntry(current)
    current.wchan = "an eventfd"
    interrupted = False
    while True:
        core_wait.prepare_to_wait(ctx.wqh, wait, TASK_INTERRUPTIBLE)
        if ULLONG_MAX - ctx.count > room if room else ctx.count > 0:
            break
        if core_signal.signal_pending(current):
            interrupted = True
            break
        core_sched.schedule(k)
    core_wait.finish_wait(ctx.wqh, wait)
    current.wchan = ""
    if interrupted:
        raise KernelError(ERESTARTSYS)


def eventfd_read(file: File, count: int, pos: int) -> bytes:
    """The counter, 8 bytes, which is then 0; with EFD_SEMAPHORE 1 at a time."""
    ctx = ctx_of(file)
    if count < 8:
        raise KernelError(EINVAL)
    if not ctx.count:
        if file.f_flags & O_NONBLOCK:
            raise KernelError(EAGAIN)
        eventfd_wait(ctx, 0)
    value = 1 if ctx.flags & EFD_SEMAPHORE else ctx.count
    ctx.count -= value
    core_wait.wake_up(ctx.wqh, POLLOUT)
    return value.to_bytes(8, "little")


def eventfd_write(file: File, data: bytes, pos: int) -> int:
    """Add 8 bytes to the counter, waiting until they fit."""
    ctx = ctx_of(file)
    if len(data) < 8 or (len(data) > 8 and ctx.kernel.config.at_least(6, 7)):
        raise KernelError(EINVAL)
    value = int.from_bytes(data[:8], "little")
    if value == ULLONG_MAX:
        raise KernelError(EINVAL)
    if ULLONG_MAX - ctx.count <= value:
        if file.f_flags & O_NONBLOCK:
            raise KernelError(EAGAIN)
        eventfd_wait(ctx, value)
    ctx.count += value
    core_wait.wake_up(ctx.wqh, POLLIN)
    return 8


def eventfd_poll(file: File, pt: PollTable | None) -> int:
    """Readable above 0, writable as long as 1 fits."""
    ctx = ctx_of(file)
    poll_wait(file, ctx.wqh, pt)
    mask = 0
    if ctx.count > 0:
        mask |= POLLIN
    if ctx.count == ULLONG_MAX:
        mask |= POLLERR
    if ctx.count < ULLONG_MAX - 1:
        mask |= POLLOUT
    return mask


def eventfd_show_fdinfo(file: File) -> str:
    """The counter, hexadecimal, its id (v5.2), and whether it is a semaphore (33d8b5d7824c, v6.5)."""
    ctx = ctx_of(file)
    text = f"eventfd-count: {ctx.count:16x}\neventfd-id: {ctx.id}\n"
    if ctx.kernel.config.at_least(6, 5):
        text += f"eventfd-semaphore: {ctx.flags & EFD_SEMAPHORE}\n"
    return text


def eventfd_release(inode: Inode, file: File) -> None:
    """The last close."""
    ctx = ctx_of(file)
    ctx.kernel.eventfd_ids.discard(ctx.id)


eventfd_fops: Final = FileOperations(
    "eventfd_fops",
    noop_llseek,
    read=eventfd_read,
    write=eventfd_write,
    poll=eventfd_poll,
    release=eventfd_release,
    no_write_iter=True,
    show_fdinfo=eventfd_show_fdinfo,
)


def do_eventfd(k: Kernel, count: int, flags: int) -> int:
    """eventfd2(2): a descriptor. EINVAL flags."""
    if flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK):
        raise KernelError(EINVAL)
    ctx = EventfdCtx(k, count, flags)
    return anon_inode_getfd(k, "[eventfd]", eventfd_fops, ctx, O_RDWR | flags & (O_CLOEXEC | O_NONBLOCK))
