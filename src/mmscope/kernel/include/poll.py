# SPDX-License-Identifier: GPL-2.0-or-later
"""Readiness of files (uapi/asm-generic/poll.h, include/linux/poll.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.wait import WaitQueueHead

POLLIN: Final = 0x1
POLLPRI: Final = 0x2
POLLOUT: Final = 0x4
POLLERR: Final = 0x8
POLLHUP: Final = 0x10
POLLNVAL: Final = 0x20
POLLRDNORM: Final = 0x40
POLLRDBAND: Final = 0x80
POLLWRNORM: Final = 0x100
POLLWRBAND: Final = 0x200
POLLMSG: Final = 0x400
POLLRDHUP: Final = 0x2000
#: Of files without ->poll.
DEFAULT_POLLMASK: Final = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM


class PollTable:
    """struct poll_table_struct: where a file's ->poll tells what its readiness depends on."""

    def __init__(self, qproc: Callable[[File, WaitQueueHead, PollTable], None], key: int) -> None:
        #: Called for each wait queue; `key` are the events that matter.
        self.qproc: Callable[[File, WaitQueueHead, PollTable], None] | None = qproc
        self.key = key
        #: Descriptors of the host that it depends on, with the events.
        self.hosts: list[tuple[int, int]] = []


def poll_wait(file: File, wait_address: WaitQueueHead, p: PollTable | None) -> None:
    """For ->poll: `file` may become ready when this queue is woken."""
    if p is not None and p.qproc is not None:
        p.qproc(file, wait_address, p)


def vfs_poll(file: File, pt: PollTable | None) -> int:
    """What `file` is ready for now."""
    if file.f_op.poll is None:
        return DEFAULT_POLLMASK
    return file.f_op.poll(file, pt)
