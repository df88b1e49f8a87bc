# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's journal (fs/ext4/ext4_jbd2.c, fs/jbd2/commit.c), as far as a power cut can tell it from a real one.

Data go straight to their blocks; what changed of inodes and directories collects in the running transaction, and a commit makes
it durable all at once. A freed block keeps its bytes until then, so that an uncommitted truncation can be undone.
"""

from __future__ import annotations

import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.libfs as libfs
from mmscope.kernel.block.genhd import REQ_OP_WRITE
from mmscope.kernel.fs.ext4.inode import EXT4_I, EXT4_SB, HOLE, Ext4DiskInode, Ext4InodeInfo
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import SB_RDONLY, Inode, SuperBlock


def ext4_disk_inode(inode: Inode) -> Ext4DiskInode:
    """What the journal writes of an inode."""
    info = inode.i_private
    if isinstance(info, Ext4InodeInfo):
        return Ext4DiskInode(info.i_disksize, dict(info.blocks), set(info.unwritten), info.host_size, inode.i_nlink)
    disk = Ext4DiskInode(inode.i_size, {}, set(), 0, inode.i_nlink)
    if isinstance(info, libfs.SimpleDir):
        disk.entries = dict(info.entries)
    return disk


def jbd2_journal_commit_transaction(sb: SuperBlock) -> None:
    """Make the running transaction durable; then the blocks that it freed can go. An error makes the file system read-only."""
    sbi = EXT4_SB(sb)
    if not sbi.t_inodes and not sbi.t_freed:
        return
    try:
        sbi.bdev.submit_bio(REQ_OP_WRITE)
        sbi.bdev.flush()
    except KernelError:
        # jbd2_journal_abort(), errors=remount-ro
        sb.s_flags |= SB_RDONLY
        sb.kernel.printk(f"EXT4-fs error (device {sb.s_dev >> 20}:{sb.s_dev & 0xFFFFF}): journal has aborted: read-only")
        raise
    for inode in sbi.t_inodes:
        gone = inode.i_nlink == 0 and inode.i_count == 0
        sbi.committed[inode] = None if gone else ext4_disk_inode(inode)
    sbi.t_inodes.clear()
    for block in sbi.t_freed:
        sbi.bdev.free_block(block)
    sbi.t_freed.clear()


def ext4_sync_fs(sb: SuperBlock) -> None:
    """s_op->sync_fs: commit, and flush the disk's cache. Errors stay with the journal."""
    try:
        jbd2_journal_commit_transaction(sb)
        if EXT4_SB(sb).bdev.cache:
            EXT4_SB(sb).bdev.flush()
    except KernelError:
        return


def ext4_recover(inode: Inode, survivors: set[int]) -> bytes | None:
    """The file as it would be found if the power failed now; None if it did not exist then. Changes nothing.

    Of the blocks in the disk's write cache only the `survivors` reached the media.
    """
    disk = EXT4_SB(inode.i_sb).committed.get(inode)
    if disk is None or disk.i_nlink == 0:
        return None
    bdev = EXT4_SB(inode.i_sb).bdev
    out = bytearray()
    for lblk in range((disk.size + 4095) >> 12):
        pblk = disk.blocks.get(lblk, -1 - lblk if lblk << 12 < disk.host_size else HOLE)
        block = bytes(4096)
        if pblk > 0 and pblk not in disk.unwritten:
            block = bdev.peek(pblk) if pblk in survivors else bdev.media.read(pblk)
        elif pblk < 0:
            offset = (-1 - pblk) << 12
            block = hostfs.host_pread(inode, max(min(4096, EXT4_I(inode).host_eof - offset), 0), offset).ljust(4096, b"\0")
        out += block
    return bytes(out[: disk.size])


def ext4_recover_lookup(dir: Inode, name: str) -> Inode | None:
    """The inode that `name` in a directory means after a power cut."""
    disk = EXT4_SB(dir.i_sb).committed.get(dir)
    if disk is None:
        return None
    if name in disk.entries:
        return disk.entries[name]
    return hostfs.host_lookup(dir, name)
