# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories kept in memory (fs/libfs.c), over the entries that the host's directory of that name has, if any."""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.hostfs as hostfs
from mmscope.kernel.include.errno import EINVAL, EISDIR, KernelBug, KernelError
from mmscope.kernel.include.fs import (
    S_IFDIR,
    S_IFMT,
    SEEK_CUR,
    SEEK_SET,
    Dentry,
    File,
    FileOperations,
    Inode,
    InodeOperations,
    SuperBlock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel


class SimpleDir:
    """i_private of a directory."""

    def __init__(self, parent: Inode | None) -> None:
        #: The directory that holds it; None for a root.
        self.parent = parent
        #: name -> inode, None for a name of the host's that was removed. The host's names that nobody changed are absent.
        self.entries: dict[str, Inode | None] = {}


def simple_dir(dir: Inode) -> SimpleDir:
    """The directory's entries."""
    data = dir.i_private
    assert isinstance(data, SimpleDir)
    return data


def simple_lookup(dir: Inode, name: str) -> Inode | None:
    """The entry `name`."""
    entries = simple_dir(dir).entries
    if name in entries:
        return entries[name]
    return hostfs.host_lookup(dir, name)


def simple_entries(dir: Inode) -> list[tuple[str, int, int]]:
    """What readdir shows of a directory: "." and "..", then all names sorted by their bytes."""
    data = simple_dir(dir)
    parent = data.parent if data.parent is not None else dir
    out = [(".", dir.i_ino, 4), ("..", parent.i_ino, 4)]
    host = hostfs.host_readdir(dir)
    if not data.entries:
        return out + host
    names = [entry for entry in host if entry[0] not in data.entries]
    for name, inode in data.entries.items():
        if inode is not None:
            names.append((name, inode.i_ino, inode.i_mode >> 12))
    names.sort(key=_name_bytes)
    return out + names


def _name_bytes(entry: tuple[str, int, int]) -> bytes:
    return entry[0].encode("utf-8", "surrogateescape")


def simple_empty(dir: Inode) -> bool:
    """It has no entries but "." and ".."."""
    return len(simple_entries(dir)) == 2


def dcache_readdir(file: File) -> list[tuple[str, int, int]]:
    """iterate of a directory."""
    return simple_entries(file.f_inode)


def dcache_dir_lseek(file: File, offset: int, whence: int) -> int:
    """lseek in a directory: an entry's number, from the start or from here. Raises EINVAL."""
    if whence == SEEK_CUR:
        offset += file.f_pos
    if whence not in (SEEK_SET, SEEK_CUR) or offset < 0:
        raise KernelError(EINVAL)
    file.f_pos = offset
    return offset


def generic_read_dir(file: File, count: int, pos: int) -> bytes:
    """read(2) of a directory."""
    raise KernelError(EISDIR)


def noop_fsync(file: File, start: int, end: int, datasync: bool) -> None:
    """fsync of what is in memory only."""


def simple_mkdir(sb: SuperBlock, parent: Inode | None, name: str, ino: int, mode: int = 0o555) -> Inode:
    """A new directory in `parent` (None: the root of `sb`)."""
    inode = Inode(sb, ino, S_IFDIR | mode)
    inode.i_private = SimpleDir(parent)
    inode.i_op = simple_dir_inode_operations
    inode.i_fop = simple_dir_operations
    inode.i_nlink = 2
    set_times(inode)
    if parent is not None:
        simple_add(parent, name, inode)
        parent.i_nlink += 1
    return inode


def simple_add(parent: Inode, name: str, inode: Inode) -> None:
    """Enter `inode` in a directory."""
    simple_dir(parent).entries[name] = inode


# --- changing directories: what the file systems with writable directories share


def inode_dir_changed(dir: Inode, now: int) -> None:
    """A name came or went."""
    dir.i_mtime = dir.i_ctime = now
    fs_writeback.mark_inode_dirty(dir)


def simple_add_entry(dir: Inode, dentry: Dentry, inode: Inode, now: int) -> None:
    """`dentry`, negative until now, names `inode`."""
    simple_dir(dir).entries[dentry.d_name] = inode
    dentry.d_inode = inode
    if inode.i_mode & S_IFMT == S_IFDIR:
        dir.i_nlink += 1
    inode_dir_changed(dir, now)


def simple_delete_entry(dir: Inode, dentry: Dentry, now: int) -> None:
    """The name goes from the directory; the dentry and the inode's link count are the caller's."""
    entries = simple_dir(dir).entries
    if isinstance(dir.i_host, hostfs.HostInode):
        # The host may have the name: remember that it is gone.
        entries[dentry.d_name] = None
    elif dentry.d_name in entries:
        del entries[dentry.d_name]
    else:
        raise KernelBug(f"inode {dir.i_ino} has no entry {dentry.d_name!r} to remove")
    inode = dentry.d_inode
    assert inode is not None
    if inode.i_mode & S_IFMT == S_IFDIR:
        dir.i_nlink -= 1
    inode_dir_changed(dir, now)


def simple_move_entry(old_dir: Inode, old: Dentry, new_dir: Inode, new: Dentry, now: int) -> None:
    """rename(2): the new name is the old one's inode; whatever it was before has been taken away."""
    inode = old.d_inode
    assert inode is not None
    simple_delete_entry(old_dir, old, now)
    simple_dir(new_dir).entries[new.d_name] = inode
    if inode.i_mode & S_IFMT == S_IFDIR:
        new_dir.i_nlink += 1
        simple_dir(inode).parent = new_dir
    inode_dir_changed(new_dir, now)
    inode.i_ctime = now
    fs_writeback.mark_inode_dirty(inode)


def simple_exchange_entries(old_dir: Inode, old: Dentry, new_dir: Inode, new: Dentry, now: int) -> None:
    """RENAME_EXCHANGE: both names exist and swap what they name."""
    one = old.d_inode
    two = new.d_inode
    assert one is not None
    assert two is not None
    simple_dir(old_dir).entries[old.d_name] = two
    simple_dir(new_dir).entries[new.d_name] = one
    for inode, here, there in ((one, old_dir, new_dir), (two, new_dir, old_dir)):
        if inode.i_mode & S_IFMT == S_IFDIR:
            here.i_nlink -= 1
            there.i_nlink += 1
            simple_dir(inode).parent = there
        inode.i_ctime = now
        fs_writeback.mark_inode_dirty(inode)
    inode_dir_changed(old_dir, now)
    inode_dir_changed(new_dir, now)


def set_times(inode: Inode) -> None:
    """Made at boot."""
    now = inode.i_sb.kernel.config.boot_time
    inode.i_atime = inode.i_mtime = inode.i_ctime = now


def simple_fill_super(k: Kernel, s_type: str, minor: int, flags: int, mode: int) -> SuperBlock:
    """A super block with an empty root directory."""
    sb = SuperBlock(k, s_type, minor, flags)
    root = simple_mkdir(sb, None, "", 1, mode)
    sb.s_root = Dentry(sb, "/", None, root)
    return sb


def is_dir(inode: Inode) -> bool:
    """It is a directory."""
    return inode.i_mode & S_IFMT == S_IFDIR


simple_dir_inode_operations: Final = InodeOperations("simple_dir_inode_operations", lookup=simple_lookup)
simple_dir_operations: Final = FileOperations("simple_dir_operations", read=generic_read_dir, iterate=dcache_readdir)
