# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks on files (include/linux/filelock.h, before v6.3 in fs.h; uapi/asm-generic/fcntl.h). Data only."""

from __future__ import annotations

from mmscope.kernel.include.wait import WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File

F_RDLCK: Final = 0
F_WRLCK: Final = 1
F_UNLCK: Final = 2

# flock(2)
LOCK_SH: Final = 1
LOCK_EX: Final = 2
LOCK_NB: Final = 4
LOCK_UN: Final = 8
LOCK_MAND: Final = 32
LOCK_READ: Final = 64
LOCK_WRITE: Final = 128
LOCK_RW: Final = 192

# fl_flags
FL_POSIX: Final = 1
FL_FLOCK: Final = 2
FL_EXISTS: Final = 16
FL_CLOSE: Final = 64
FL_SLEEP: Final = 128
FL_OFDLCK: Final = 1024

OFFSET_MAX: Final = 0x7FFFFFFFFFFFFFFF


class FileLock:
    """struct file_lock: a lock, or a request for one."""

    def __init__(self, fl_file: File, fl_flags: int, fl_type: int, fl_owner: object, fl_pid: int) -> None:
        self.fl_file = fl_file
        #: FL_*
        self.fl_flags = fl_flags
        #: F_RDLCK, F_WRLCK, F_UNLCK.
        self.fl_type = fl_type
        #: The descriptor table for a POSIX lock, the open file for the others: locks of one owner do not conflict.
        self.fl_owner = fl_owner
        #: The process that asked for it; -1 for OFD locks.
        self.fl_pid = fl_pid
        #: Bytes, both ends inclusive.
        self.fl_start = 0
        self.fl_end = OFFSET_MAX
        #: The lock or the earlier request that this one waits for; set exactly while it stands in that one's list.
        self.fl_blocker: FileLock | None = None
        #: Who waits for this one, in order. Each conflicts with it.
        self.fl_blocked_requests: list[FileLock] = []
        self.fl_wait = WaitQueueHead()


class FileLockContext:
    """struct file_lock_context: the locks on an inode; each owner's POSIX locks stand together, by address, without overlap."""

    def __init__(self) -> None:
        self.flc_flock: list[FileLock] = []
        self.flc_posix: list[FileLock] = []
