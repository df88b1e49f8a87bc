# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty inodes and the flusher (fs/fs-writeback.c). The flusher runs at kernel entries, by the virtual clock.

Every dirty_writeback_centisecs it writes what has been dirty for dirty_expire_centisecs; above the background threshold
everything.
"""

from __future__ import annotations

import mmscope.kernel.mm.page_writeback as mm_page_writeback
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import (
    I_DIRTY,
    I_DIRTY_DATASYNC,
    I_DIRTY_PAGES,
    I_DIRTY_SYNC,
    I_FREEING,
    WB_SYNC_ALL,
    WB_SYNC_NONE,
    Inode,
    SuperBlock,
    WritebackControl,
)
from mmscope.kernel.lib.xarray import xa_marked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "__mark_inode_dirty", "mark_inode_dirty", "mark_inode_dirty_sync", "sync_inodes_sb", "wakeup_flusher_threads",
    "wb_check", "write_inode_now",
]  # fmt: skip

LONG_MAX: Final = 0x7FFFFFFFFFFFFFFF
_CENTISECOND: Final = 10_000_000
#: Mount option commit=5, 1/100 s.
_COMMIT_INTERVAL: Final = 500


def __mark_inode_dirty(inode: Inode, flags: int) -> None:
    """The inode (I_DIRTY_SYNC, I_DIRTY_DATASYNC) or its pages (I_DIRTY_PAGES) differ from the device."""
    sb = inode.i_sb
    if not sb.s_bdi_writeback or inode.i_state & I_FREEING:
        return
    if flags & (I_DIRTY_SYNC | I_DIRTY_DATASYNC) and sb.s_op.dirty_inode is not None:
        sb.s_op.dirty_inode(inode)
    if inode.i_state & flags == flags:
        return
    inode.i_state |= flags
    if inode not in sb.kernel.wb.b_dirty:
        inode.dirtied_when = sb.kernel.timekeeper.now_ns
        inode_io_list_move_locked(inode)


def inode_io_list_move_locked(inode: Inode) -> None:
    """To the end of the list of dirty inodes; the first one wakes the flusher up in time."""
    k = inode.i_sb.kernel
    wb = k.wb
    wb.b_dirty[inode] = None
    if not wb.next_ns:
        wb.next_ns = inode.dirtied_when + writeback_period(k)


def writeback_period(k: Kernel) -> int:
    """How often the flusher wakes up, ns: with dirty_writeback_centisecs 0 for the journals' sake alone."""
    return (k.config.dirty_writeback_interval or _COMMIT_INTERVAL) * _CENTISECOND


def dirty_writeback_centisecs_handler(k: Kernel, interval: int) -> None:
    """A new period begins at once, with all that is dirty being written (mm/page-writeback.c)."""
    changed = interval != k.config.dirty_writeback_interval
    k.config.dirty_writeback_interval = interval
    if interval and changed:
        wakeup_flusher_threads(k)
        if k.wb.next_ns:
            k.wb.next_ns = k.timekeeper.now_ns + writeback_period(k)


def mark_inode_dirty(inode: Inode) -> None:
    """All of it."""
    __mark_inode_dirty(inode, I_DIRTY)


def mark_inode_dirty_sync(inode: Inode) -> None:
    """Something that fdatasync need not write: the times."""
    __mark_inode_dirty(inode, I_DIRTY_SYNC)


def inode_is_clean(inode: Inode) -> None:
    """Off the list unless a page of it is dirty still."""
    inode.i_state &= ~I_DIRTY
    if xa_marked(inode.i_mapping.i_pages, mm_page_writeback.PAGECACHE_TAG_DIRTY):
        inode.i_state |= I_DIRTY_PAGES
        return
    inode.i_sb.kernel.wb.b_dirty.pop(inode, None)


def __writeback_single_inode(inode: Inode, wbc: WritebackControl) -> None:
    """Write an inode's pages. An error is kept in its mapping for the next fsync."""
    try:
        mm_page_writeback.do_writepages(inode.i_mapping, wbc)
    except KernelError:
        inode_is_clean(inode)
        raise
    inode_is_clean(inode)


def write_inode_now(inode: Inode, sync: bool) -> None:
    """Write the inode's pages. Raises EIO, ENOSPC."""
    __writeback_single_inode(inode, WritebackControl(WB_SYNC_ALL if sync else WB_SYNC_NONE, LONG_MAX))


def sync_inodes_sb(k: Kernel, sb: SuperBlock | None) -> None:
    """Write every dirty inode (of `sb`, or of all), then let the file systems make it durable. Errors stay with the files."""
    for inode in list(k.wb.b_dirty):
        if sb is not None and inode.i_sb is not sb:
            continue
        try:
            write_inode_now(inode, True)
        except KernelError:
            continue
    for one in k.wb.super_blocks:
        if sb in (None, one) and one.s_op.sync_fs is not None:
            one.s_op.sync_fs(one)


def wakeup_flusher_threads(k: Kernel) -> None:
    """Memory is short: write everything that is dirty."""
    for inode in list(k.wb.b_dirty):
        try:
            write_inode_now(inode, False)
        except KernelError:
            continue


def wb_check_old_data_flush(k: Kernel, now: int) -> None:
    """Write what has been dirty for long enough."""
    older = now - k.config.dirty_expire_interval * _CENTISECOND
    for inode in list(k.wb.b_dirty):
        if inode.dirtied_when <= older:
            try:
                write_inode_now(inode, False)
            except KernelError:
                continue


def wb_check(k: Kernel) -> None:
    """wb_workfn(), called at kernel entries: the periodic and the background part of the flusher's work."""
    wb = k.wb
    now = k.timekeeper.now_ns
    if wb.next_ns and now >= wb.next_ns:
        if k.config.dirty_writeback_interval:
            wb_check_old_data_flush(k, now)
        # Every file system commits its journal as often (commit=5).
        for sb in wb.super_blocks:
            if sb.s_op.sync_fs is not None:
                sb.s_op.sync_fs(sb)
        wb.next_ns = now + writeback_period(k) if wb.b_dirty else 0
    if mm_page_writeback.over_bground_thresh(k):
        # wb_check_background_flush()
        wakeup_flusher_threads(k)
