# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems made of Python objects (fs/libfs.c): directories with fixed entries."""

from __future__ import annotations

from mmscope.kernel.include.errno import EISDIR, KernelError
from mmscope.kernel.include.fs import S_IFDIR, S_IFMT, Dentry, File, FileOperations, Inode, InodeOperations, SuperBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel


class SimpleDir:
    """i_private of a directory: its entries, and its parent."""

    def __init__(self, parent: Inode | None) -> None:
        self.parent = parent
        self.entries: dict[str, Inode] = {}


def simple_lookup(dir: Inode, name: str) -> Inode | None:
    """The entry `name`."""
    data = dir.i_private
    assert isinstance(data, SimpleDir)
    return data.entries.get(name)


def simple_entries(dir: Inode) -> list[tuple[str, int, int]]:
    """What readdir shows of a directory."""
    data = dir.i_private
    assert isinstance(data, SimpleDir)
    parent = data.parent if data.parent is not None else dir
    out = [(".", dir.i_ino, 4), ("..", parent.i_ino, 4)]
    for name in sorted(data.entries):
        inode = data.entries[name]
        out.append((name, inode.i_ino, inode.i_mode >> 12))
    return out


def dcache_readdir(file: File) -> list[tuple[str, int, int]]:
    """iterate of a directory with fixed entries."""
    return simple_entries(file.f_inode)


def generic_read_dir(file: File, count: int, pos: int) -> bytes:
    """read(2) of a directory."""
    raise KernelError(EISDIR)


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
    data = parent.i_private
    assert isinstance(data, SimpleDir)
    data.entries[name] = inode


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
