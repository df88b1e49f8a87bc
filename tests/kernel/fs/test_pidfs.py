# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/pidfs.py: whom a pidfd means, and what releases say. (Programs: c/pidfds.c.)"""

from __future__ import annotations

import pytest

from mmscope.kernel.core.exit import kernel_wait4
from mmscope.kernel.core.sched import yield_task
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.pidfs import do_pidfd_open, pidfd_to_task
from mmscope.kernel.include.poll import POLLHUP, POLLIN, POLLRDNORM, vfs_poll

from ..core.boot import boot_process
from ..core.tasks import Tasks


@pytest.mark.parametrize("version", [(5, 11), (6, 9)])
def test_poll_and_a_number_that_is_used_again(version: tuple[int, int]) -> None:
    k = boot_process()
    k.config.version = version
    tasks = Tasks(k)

    def main() -> int:
        child = tasks.fork(lambda: 3)
        fd = do_pidfd_open(k, child.pid, 0)
        file = fget(k, fd)
        assert pidfd_to_task(k, fd) is child
        assert vfs_poll(file, None) == 0
        yield_task(k)
        assert vfs_poll(file, None) == POLLIN | POLLRDNORM
        assert kernel_wait4(k, child.pid, 0)[0] == child.pid
        assert vfs_poll(file, None) == POLLIN | POLLRDNORM | (POLLHUP if version >= (6, 9) else 0)
        # Another task gets the number; the pidfd is not about it.
        k.last_pid = child.pid - 1
        other = tasks.fork(lambda: 0)
        assert other.pid == child.pid
        assert pidfd_to_task(k, fd) is None
        assert pidfd_to_task(k, do_pidfd_open(k, other.pid, 0)) is other
        return 0

    assert tasks.run(main).exit_code == 0
