# SPDX-License-Identifier: GPL-2.0-or-later
"""`--keep DIR`: what the guest changed of its files, written into a directory of the host.

The one place that writes guest files to the host, and only below DIR, which is new or empty: each file is made by its own name
in a directory that is open here, never through a symbolic link and never over something that exists. Names that the guest
removed are listed in DIR/.mmscope-removed. Nothing of /dev, /proc and /sys is kept, nor are set-id bits, owners, devices, FIFOs.
"""

from __future__ import annotations

import os

from mmscope.errors import MmscopeError, UsageError
from mmscope.kernel.fs.ext4.inode import Ext4InodeInfo, ext4_read_block
from mmscope.kernel.fs.hostfs import HostInode, host_pread, host_readdir
from mmscope.kernel.fs.libfs import SimpleDir, simple_entries
from mmscope.kernel.fs.namei import d_lookup
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Dentry, Inode
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_uptodate
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.shmem import ShmemInodeInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["check_keep", "keep"]

REMOVED: Final = ".mmscope-removed"
_PAGE: Final = 4096


def check_keep(path: str) -> None:
    """Refuse a DIR that is there and not empty, before anything runs. Raises UsageError."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UsageError(f"--keep {path}: is no directory; name a new one")
    if os.path.isdir(path) and os.listdir(path):
        raise UsageError(f"--keep {path}: is not empty; name a new directory")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"--keep {path}: there is no directory {folder}")


def keep(k: Kernel, path: str) -> int:
    """Write the changes into the directory `path`: the number of files, links and directories made. Raises MmscopeError."""
    check_keep(path)
    try:
        os.makedirs(path, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MmscopeError(f"--keep {path}: {error.strerror}") from None
    keeper = _Keeper()
    try:
        keeper.directory(k.vfs.root, fd, "", False)
        if keeper.removed:
            out = os.open(REMOVED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=fd)
            with os.fdopen(out, "wb") as file:
                file.write(b"".join(os.fsencode(name) + b"\n" for name in keeper.removed))
    except OSError as error:
        raise MmscopeError(f"--keep {path}: {error.strerror}") from None
    finally:
        os.close(fd)
    return keeper.made


class _Keeper:
    """One walk over the guest's tree."""

    def __init__(self) -> None:
        self.made = 0
        self.removed: list[str] = []

    def directory(self, dentry: Dentry, fd: int, path: str, whole: bool) -> None:
        """The changes in a directory, into the host directory `fd`. `whole`: everything in it, the guest moved or made it."""
        inode = dentry.d_inode
        assert inode is not None
        info = inode.i_private
        if not isinstance(info, SimpleDir):
            return
        names = set(info.entries) | set(dentry.d_children)
        if whole:
            names |= {name for name, _, _ in simple_entries(inode)[2:]}
        for name in sorted(names):
            here = f"{path}/{name}"
            if name in info.entries and info.entries[name] is None:
                # What the guest made and removed again nobody will miss.
                if any(entry[0] == name for entry in host_readdir(inode)):
                    self.removed.append(here)
                continue
            child = d_lookup(dentry, name)
            if child.d_inode is not None and child.d_mounted is None and "/" not in name and name not in ("", ".", "..", REMOVED):
                self.entry(child, child.d_inode, fd, here, whole or name in info.entries)

    def entry(self, dentry: Dentry, inode: Inode, fd: int, path: str, new: bool) -> None:
        """One name. `new`: the host has nothing, or something else, there."""
        name = os.fsencode(dentry.d_name)
        kind = inode.i_mode & S_IFMT
        if kind == S_IFDIR:
            # Made only if something in it is to be kept: try, and take an empty one away again.
            os.mkdir(name, inode.i_mode & 0o777 | 0o700, dir_fd=fd)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            before = self.made
            try:
                self.directory(dentry, below, path, new)
            finally:
                os.close(below)
            if not new and self.made == before:
                os.rmdir(name, dir_fd=fd)
            else:
                self.made += 1
        elif kind == S_IFLNK:
            if new and inode.i_op.get_link is not None:
                os.symlink(os.fsencode(inode.i_op.get_link(inode)), name, dir_fd=fd)
                self.made += 1
        elif kind == S_IFREG and (new or changed(inode)):
            out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, inode.i_mode & 0o777 | 0o200, dir_fd=fd)
            try:
                copy_out(inode, out)
                os.fchmod(out, inode.i_mode & 0o777)
            finally:
                os.close(out)
            self.made += 1


def changed(inode: Inode) -> bool:
    """The guest changed a file of the host: its mode, its size, or a byte of what it could have written to."""
    host = inode.i_host
    if not isinstance(host, HostInode) or inode.i_mode != host.st_mode or inode.i_size != host.st_size:
        return True
    info = inode.i_private
    if isinstance(info, Ext4InodeInfo) and not info.blocks and not info.i_reserved and inode.i_mtime == host.st_mtime_ns:
        return False
    if inode.i_mapping.nrpages == 0 and not isinstance(info, Ext4InodeInfo):
        return False
    pages = (inode.i_size + _PAGE - 1) // _PAGE
    return any(read_page(inode, index) != host_page(inode, index) for index in range(pages))


def host_page(inode: Inode, index: int) -> bytes:
    """A page of the host's file."""
    return host_pread(inode, _PAGE, index * _PAGE).ljust(_PAGE, b"\0")


def read_page(inode: Inode, index: int) -> bytes:
    """A page of the file as the guest would read it, zeroes behind its end, without bringing it into the page cache."""
    page = xa_load(inode.i_mapping.i_pages, index)
    if isinstance(page, Page) and page.flags & PG_uptodate:
        data = bytes(page.kernel.mem[page.pfn << 12 : (page.pfn << 12) + _PAGE])
    elif isinstance(inode.i_private, Ext4InodeInfo):
        try:
            data = ext4_read_block(inode, index)
        except KernelError as error:
            raise MmscopeError(f"--keep: {error.strerror}") from None
    elif isinstance(inode.i_private, ShmemInodeInfo) and index not in inode.i_private.host_gone:
        data = host_page(inode, index) if index * _PAGE < inode.i_private.host_size else bytes(_PAGE)
    else:
        data = bytes(_PAGE)
    end = inode.i_size - index * _PAGE
    return data if end >= _PAGE else data[: max(end, 0)].ljust(_PAGE, b"\0")


def copy_out(inode: Inode, fd: int) -> None:
    """The file's bytes into `fd`, holes as holes."""
    for index in range((inode.i_size + _PAGE - 1) // _PAGE):
        data = read_page(inode, index)
        if any(data):
            os.pwrite(fd, data[: inode.i_size - index * _PAGE], index * _PAGE)
    os.ftruncate(fd, inode.i_size)
