# SPDX-License-Identifier: GPL-2.0-or-later
"""Inodes (fs/inode.c): their last reference, their times, and that they are dirty."""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
from mmscope.kernel.core.capability import cap_raised, capable
from mmscope.kernel.include.capability import CAP_FOWNER, CAP_FSETID
from mmscope.kernel.include.fs import I_DIRTY_SYNC, I_FREEING, S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP, File, Inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "current_time",
    "evict",
    "file_remove_privs",
    "file_update_time",
    "inode_init_owner",
    "inode_owner_or_capable",
    "iput",
    "touch_atime",
]


def current_time(k: Kernel) -> int:
    """CLOCK_REALTIME at the last tick, ns: what files get as their times."""
    return k.timekeeper.tick_ns + k.timekeeper.wall_offset_ns


def iput(inode: Inode) -> None:
    """The last open file, or the last name, went away: without either the inode goes too."""
    if inode.i_count == 0 and inode.i_nlink == 0 and not inode.i_state & I_FREEING:
        evict(inode)


def evict(inode: Inode) -> None:
    """Free the inode's pages and blocks."""
    inode.i_state |= I_FREEING
    if inode.i_sb.s_op.evict_inode is not None:
        inode.i_sb.s_op.evict_inode(inode)
    else:
        # Imported here: fs/file.py needs this module, and mm/filemap.py that one.
        import mmscope.kernel.mm.truncate as mm_truncate

        mm_truncate.truncate_inode_pages_final(inode.i_mapping)


def inode_init_owner(inode: Inode, dir: Inode | None, mode: int) -> None:
    """A new inode has the current task's ids; in a set-gid directory the directory's group, a directory its set-gid bit too."""
    cred = inode.i_sb.kernel.current.cred
    inode.i_uid = cred.fsuid
    inode.i_gid = cred.fsgid
    if dir is not None and dir.i_mode & S_ISGID:
        inode.i_gid = dir.i_gid
        if mode & S_IFMT == S_IFDIR:
            mode |= S_ISGID
    inode.i_mode = mode


def inode_owner_or_capable(k: Kernel, inode: Inode) -> bool:
    """The current task owns the file, or may do as if it did."""
    cred = k.current.cred
    return cred.fsuid == inode.i_uid or cap_raised(cred, CAP_FOWNER)


def file_update_time(file: File) -> None:
    """The file was written: mtime and ctime."""
    inode = file.f_inode
    now = current_time(inode.i_sb.kernel)
    if inode.i_mtime != now or inode.i_ctime != now:
        inode_update_time(inode, now)


def inode_update_time(inode: Inode, now: int) -> None:
    """i_op->update_time, which no file system here has."""
    generic_update_time(inode, now)


def generic_update_time(inode: Inode, now: int) -> None:
    """mtime and ctime; the inode differs from the device."""
    inode.i_mtime = inode.i_ctime = now
    fs_writeback.__mark_inode_dirty(inode, I_DIRTY_SYNC)


def touch_atime(file: File) -> None:
    """The file was read (relatime): atime moves if it is not later than the others, or a day old."""
    inode = file.f_inode
    now = current_time(inode.i_sb.kernel)
    day = 86400 * 1_000_000_000
    if inode.i_atime > inode.i_mtime and inode.i_atime > inode.i_ctime and now - inode.i_atime < day:
        return
    if inode.i_atime != now:
        inode.i_atime = now
        fs_writeback.mark_inode_dirty_sync(inode)


def file_remove_privs(file: File) -> None:
    """Who writes to a program without being privileged takes its set-id bits away."""
    inode = file.f_inode
    k = inode.i_sb.kernel
    if inode.i_mode & S_IFMT != S_IFREG or capable(k, CAP_FSETID):
        return
    kill = inode.i_mode & S_ISUID
    if inode.i_mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP:
        kill |= S_ISGID
    if kill:
        inode.i_mode &= ~kill
        inode.i_ctime = current_time(k)
        fs_writeback.mark_inode_dirty_sync(inode)
