# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing attributes (fs/attr.c): who may, and what else changes with them."""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_CHOWN, CAP_FSETID
from mmscope.kernel.include.errno import EFBIG, EOPNOTSUPP, EPERM, ETXTBSY, KernelError
from mmscope.kernel.include.fs import (
    ATTR_ATIME,
    ATTR_ATIME_SET,
    ATTR_CTIME,
    ATTR_FORCE,
    ATTR_GID,
    ATTR_KILL_SGID,
    ATTR_KILL_SUID,
    ATTR_MODE,
    ATTR_MTIME,
    ATTR_MTIME_SET,
    ATTR_SIZE,
    ATTR_UID,
    S_IALLUGO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISUID,
    S_IXGRP,
    Iattr,
    Inode,
)
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_FSIZE
from mmscope.kernel.include.signal import SIGXFSZ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "inode_newsize_ok", "notify_change", "setattr_copy", "setattr_prepare", "setattr_should_drop_sgid",
    "setattr_should_drop_suidgid", "timestamp_truncate",
]  # fmt: skip


def _in_group(k: Kernel, gid: int) -> bool:
    cred = k.current.cred
    return gid == cred.fsgid or gid in cred.groups


def setattr_should_drop_sgid(inode: Inode) -> int:
    """ATTR_KILL_SGID if a change of the file by the current task takes its set-gid bit away.

    With group execute always; without (mandatory locking, once) if the task is not in the group: v6.2, and 5.10.y.
    """
    mode = inode.i_mode
    if not mode & S_ISGID:
        return 0
    k = inode.i_sb.kernel
    if mode & S_IXGRP or not (_in_group(k, inode.i_gid) or capable(k, CAP_FSETID)):
        return ATTR_KILL_SGID
    return 0


def setattr_should_drop_suidgid(inode: Inode) -> int:
    """ATTR_KILL_* of a write to a regular file, or of its truncation, by somebody unprivileged."""
    kill = ATTR_KILL_SUID if inode.i_mode & S_ISUID else 0
    kill |= setattr_should_drop_sgid(inode)
    if kill and inode.i_mode & S_IFMT == S_IFREG and not capable(inode.i_sb.kernel, CAP_FSETID):
        return kill
    return 0


def timestamp_truncate(inode: Inode, ns: int) -> int:
    """A time as the file system can keep it: within its first and last second."""
    sb = inode.i_sb
    sec = ns // 1_000_000_000
    if sec >= sb.s_time_max:
        return sb.s_time_max * 1_000_000_000
    return sb.s_time_min * 1_000_000_000 if sec <= sb.s_time_min else ns


def inode_newsize_ok(inode: Inode, offset: int) -> None:
    """The file may get that long: RLIMIT_FSIZE (SIGXFSZ, EFBIG), the largest file; ETXTBSY is the caller's to check."""
    if offset > inode.i_size:
        k = inode.i_sb.kernel
        limit = k.current.signal.rlim[RLIMIT_FSIZE].rlim_cur
        if limit != RLIM_INFINITY and offset > limit:
            core_signal.send_sig(k, SIGXFSZ, k.current, 0)
            raise KernelError(EFBIG)
        if offset > inode.i_sb.s_maxbytes:
            raise KernelError(EFBIG)


def setattr_prepare(inode: Inode, attr: Iattr) -> None:
    """May the current task change that? Raises EPERM, EFBIG. A mode loses its set-gid bit where it must not have it."""
    k = inode.i_sb.kernel
    cred = k.current.cred
    valid = attr.ia_valid
    chown = capable(k, CAP_CHOWN)
    if valid & ATTR_SIZE:
        inode_newsize_ok(inode, attr.ia_size)
    if valid & ATTR_FORCE:
        return
    if valid & ATTR_UID and not chown and (cred.fsuid != inode.i_uid or attr.ia_uid != inode.i_uid):
        raise KernelError(EPERM)
    if valid & ATTR_GID and not chown:
        if cred.fsuid != inode.i_uid or not (attr.ia_gid == inode.i_gid or _in_group(k, attr.ia_gid)):
            raise KernelError(EPERM)
    if valid & ATTR_MODE:
        if not fs_inode.inode_owner_or_capable(k, inode):
            raise KernelError(EPERM)
        gid = attr.ia_gid if valid & ATTR_GID else inode.i_gid
        if not capable(k, CAP_FSETID) and not _in_group(k, gid):
            attr.ia_mode &= ~S_ISGID
    if valid & (ATTR_MTIME_SET | ATTR_ATIME_SET) and not fs_inode.inode_owner_or_capable(k, inode):
        raise KernelError(EPERM)


def setattr_copy(inode: Inode, attr: Iattr) -> None:
    """Put the values into the inode."""
    valid = attr.ia_valid
    if valid & ATTR_UID:
        inode.i_uid = attr.ia_uid
    if valid & ATTR_GID:
        inode.i_gid = attr.ia_gid
    now = fs_inode.current_time(inode.i_sb.kernel)
    if valid & ATTR_ATIME:
        inode.i_atime = attr.ia_atime if valid & ATTR_ATIME_SET else now
    if valid & ATTR_MTIME:
        inode.i_mtime = attr.ia_mtime if valid & ATTR_MTIME_SET else now
    if valid & ATTR_CTIME:
        inode.i_ctime = now
    if valid & ATTR_MODE:
        mode = attr.ia_mode
        if not capable(inode.i_sb.kernel, CAP_FSETID) and not _in_group(inode.i_sb.kernel, inode.i_gid):
            mode &= ~S_ISGID
        inode.i_mode = inode.i_mode & S_IFMT | mode & S_IALLUGO
    fs_writeback.mark_inode_dirty(inode)


def notify_change(inode: Inode, attr: Iattr) -> None:
    """Change an inode's attributes; ATTR_KILL_* become the mode without those bits. Raises EPERM, EOPNOTSUPP (mode of a link)."""
    if inode.i_op.setattr is None:
        raise KernelError(EPERM)
    mode = inode.i_mode
    if attr.ia_valid & ATTR_MODE and mode & S_IFMT == S_IFLNK:
        raise KernelError(EOPNOTSUPP)
    if attr.ia_valid & ATTR_ATIME_SET:
        attr.ia_atime = timestamp_truncate(inode, attr.ia_atime)
    if attr.ia_valid & ATTR_MTIME_SET:
        attr.ia_mtime = timestamp_truncate(inode, attr.ia_mtime)
    kill = 0
    if attr.ia_valid & ATTR_KILL_SUID:
        kill |= mode & S_ISUID
    if attr.ia_valid & ATTR_KILL_SGID:
        kill |= mode & S_ISGID
    if kill:
        attr.ia_valid |= ATTR_MODE
        attr.ia_mode = mode & S_IALLUGO & ~kill
    attr.ia_valid |= ATTR_CTIME
    inode.i_op.setattr(inode, attr)


def get_write_access(inode: Inode) -> None:
    """One more who writes; ETXTBSY while the file is executed (include/linux/fs.h)."""
    if inode.i_writecount < 0:
        raise KernelError(ETXTBSY)
    inode.i_writecount += 1


def put_write_access(inode: Inode) -> None:
    """One less."""
    inode.i_writecount -= 1
