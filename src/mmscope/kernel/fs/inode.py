# SPDX-License-Identifier: GPL-2.0-or-later
"""Inodes (fs/inode.c): their last reference, their times, and that they are dirty."""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
from mmscope.kernel.core.capability import cap_raised, capable
from mmscope.kernel.include.capability import CAP_FOWNER, CAP_FSETID
from mmscope.kernel.include.fs import (
    ATTR_FORCE,
    I_DIRTY_SYNC,
    I_FREEING,
    O_NOATIME,
    S_IFDIR,
    S_IFMT,
    S_ISGID,
    S_IXGRP,
    SB_KERNMOUNT,
    SB_RDONLY,
    File,
    Iattr,
    Inode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "current_time",
    "evict",
    "file_accessed",
    "file_modified",
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
        elif mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP and inode.i_gid != cred.fsgid and inode.i_gid not in cred.groups:
            # mode_strip_sgid(): nobody makes a set-gid program of a group that they are not in.
            if not capable(inode.i_sb.kernel, CAP_FSETID):
                mode &= ~S_ISGID
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


def file_accessed(file: File) -> None:
    """The file was read."""
    if not file.f_flags & O_NOATIME:
        touch_atime(file.f_inode)


def touch_atime(inode: Inode) -> None:
    """Something was read (relatime): atime moves if it is not later than the others, or a day old."""
    if inode.i_sb.s_flags & SB_RDONLY:
        return
    now = current_time(inode.i_sb.kernel)
    day = 86400 * 1_000_000_000
    if inode.i_atime > inode.i_mtime and inode.i_atime > inode.i_ctime and now - inode.i_atime < day:
        # Linux's own mounts (memfd, System V) are not mounted relatime.
        if not inode.i_sb.s_flags & SB_KERNMOUNT:
            return
    if inode.i_atime != now:
        inode.i_atime = now
        fs_writeback.mark_inode_dirty_sync(inode)


def file_remove_privs(file: File) -> None:
    """Who writes to a program without being privileged takes its set-id bits away."""
    # Imported here: fs/attr.py needs this module.
    import mmscope.kernel.fs.attr as fs_attr

    inode = file.f_inode
    kill = fs_attr.setattr_should_drop_suidgid(inode)
    if kill:
        fs_attr.notify_change(inode, Iattr(kill | ATTR_FORCE))


def file_modified(file: File) -> None:
    """The file is about to be changed other than by write(2): its set-id bits and its times."""
    file_remove_privs(file)
    file_update_time(file)
