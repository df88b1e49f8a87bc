# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system: a directory tree of the host, read-only.

The disk driver of the model, so to say: the only place that reads host files. Its operation tables bear ext4's names,
which is what a Linux machine's root mostly is. One inode a host file for life, found again by (st_dev, st_ino).

Each inode knows the directory inode and the name by which it was first found. The host is asked for exactly one name
in one directory, never through a symbolic link, and what it opens must be the very file that was found.
"""

from __future__ import annotations

import os

from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import EACCES, EIO, EISDIR, ENOENT, ENOSPC, EOPNOTSUPP, KernelError
from mmscope.kernel.include.fs import (
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    SB_RDONLY,
    AddressSpace,
    AddressSpaceOperations,
    Dentry,
    File,
    FileOperations,
    Inode,
    InodeOperations,
    SuperBlock,
)
from mmscope.kernel.include.mm import VM_SYNC
from mmscope.kernel.include.mm_types import VmOperationsStruct
from mmscope.kernel.include.mman import MAP_SYNC
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_uptodate
from mmscope.kernel.mm.filemap import filemap_fault, filemap_map_pages, generic_file_buffered_read, unlock_page
from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area
from mmscope.kernel.mm.readahead import ReadaheadControl, page_cache_ra_unbounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page, VmAreaStruct

#: Host descriptors kept open for directories, and for regular files.
MAX_DIR_FDS: Final = 64
MAX_FILE_FDS: Final = 32

EXT4_SUPER_MAGIC: Final = 0xEF53


class HostInode:
    """i_private of a host file's inode."""

    def __init__(self, fs: HostFs, parent: Inode | None, name: bytes, st: os.stat_result) -> None:
        self.fs = fs
        #: Directory and name by which it was first found; the root has no parent.
        self.parent = parent
        self.name = name
        self.st_dev = st.st_dev
        self.st_ino = st.st_ino
        #: A symbolic link's target, once read.
        self.target: str | None = None
        #: A file outside the root that the caller gave as a stream: the descriptor to read it by.
        self.stream_fd = -1
        #: readdir's answer, once given.
        self.entries: list[tuple[str, int, int]] | None = None


class HostFs:
    """The host directory tree: its inodes, and the few host descriptors that are kept open."""

    def __init__(self, k: Kernel, root: str) -> None:
        self.kernel = k
        #: (st_dev, st_ino) -> inode
        self.inodes: dict[tuple[int, int], Inode] = {}
        #: st_dev -> super block: a host mount below the root keeps its device number.
        self.super_blocks: dict[int, SuperBlock] = {}
        #: Open host descriptors, least recently used first.
        self.dir_fds: dict[Inode, int] = {}
        self.file_fds: dict[Inode, int] = {}
        #: What was read: path -> (size, mtime in ns, inode number), noted at the file's first open.
        self.files_read: dict[str, tuple[int, int, int]] = {}
        self.root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root_inode = self.iget(None, b"", os.fstat(self.root_fd))
        sb = self.root_inode.i_sb
        sb.s_root = Dentry(sb, "/", None, self.root_inode)
        self.sb = sb

    def iget(self, parent: Inode | None, name: bytes, st: os.stat_result) -> Inode:
        """The inode of a host file, with the values of its stat."""
        key = (st.st_dev, st.st_ino)
        inode = self.inodes.get(key)
        if inode is not None:
            data = inode.i_private
            assert isinstance(data, HostInode)
            if data.parent is None and parent is not None and inode is not self.root_inode:
                # First met as a stream, now by its name.
                data.parent = parent
                data.name = name
            return inode
        dev = os.major(st.st_dev) << 20 | os.minor(st.st_dev)
        sb = self.super_blocks.get(st.st_dev)
        if sb is None:
            sb = SuperBlock(self.kernel, "ext4", dev, SB_RDONLY)
            self.super_blocks[st.st_dev] = sb
        inode = Inode(sb, st.st_ino, st.st_mode)
        inode.i_private = HostInode(self, parent, name, st)
        set_stat(inode, st)
        kind = st.st_mode & S_IFMT
        if kind == S_IFREG:
            inode.i_fop = ext4_file_operations
            inode.i_op = ext4_file_inode_operations
            inode.i_mapping = AddressSpace(inode, ext4_aops)
        elif kind == S_IFDIR:
            inode.i_fop = ext4_dir_operations
            inode.i_op = ext4_dir_inode_operations
        elif kind == S_IFLNK:
            inode.i_op = ext4_symlink_inode_operations
        else:
            inode.i_op = ext4_special_inode_operations
        self.inodes[key] = inode
        return inode

    def dir_fd(self, inode: Inode) -> int:
        """An O_PATH descriptor of a directory, opened through its parents one name at a time."""
        if inode is self.root_inode:
            return self.root_fd
        fd = self.dir_fds.pop(inode, -1)
        if fd < 0:
            fd = self.open_path(inode)
            if len(self.dir_fds) >= MAX_DIR_FDS:
                oldest = next(iter(self.dir_fds))
                os.close(self.dir_fds.pop(oldest))
        self.dir_fds[inode] = fd
        return fd

    def open_path(self, inode: Inode) -> int:
        """A new O_PATH descriptor of the inode; ENOENT when another file has taken its name meanwhile."""
        data = inode.i_private
        assert isinstance(data, HostInode)
        assert data.parent is not None
        where = self.dir_fd(data.parent)
        fd = os.open(data.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
        st = os.fstat(fd)
        if st.st_dev != data.st_dev or st.st_ino != data.st_ino:
            os.close(fd)
            raise KernelError(ENOENT)
        return fd

    def file_fd(self, inode: Inode) -> int:
        """A descriptor to read a regular file."""
        data = inode.i_private
        assert isinstance(data, HostInode)
        if data.parent is None and data.stream_fd >= 0:
            return data.stream_fd
        fd = self.file_fds.pop(inode, -1)
        if fd < 0:
            path_fd = self.open_path(inode)
            try:
                # Of what the descriptor stands for, whatever its name now leads to.
                fd = os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            finally:
                os.close(path_fd)
            if len(self.file_fds) >= MAX_FILE_FDS:
                oldest = next(iter(self.file_fds))
                os.close(self.file_fds.pop(oldest))
            self.files_read.setdefault(self.path_of(inode), (inode.i_size, inode.i_mtime, inode.i_ino))
        self.file_fds[inode] = fd
        return fd

    def path_of(self, inode: Inode) -> str:
        """The path inside the root by which the inode was first found."""
        parts: list[bytes] = []
        data = inode.i_private
        assert isinstance(data, HostInode)
        while data.parent is not None:
            parts.append(data.name)
            data = data.parent.i_private
            assert isinstance(data, HostInode)
        return "/" + b"/".join(reversed(parts)).decode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Give the host descriptors back; the root can no longer be read."""
        for fd in (*self.dir_fds.values(), *self.file_fds.values()):
            os.close(fd)
        self.dir_fds.clear()
        self.file_fds.clear()
        if self.root_fd >= 0:
            os.close(self.root_fd)
        self.root_fd = -1


def set_stat(inode: Inode, st: os.stat_result) -> None:
    """Copy a host file's stat into the inode."""
    inode.i_uid = st.st_uid
    inode.i_gid = st.st_gid
    inode.i_nlink = st.st_nlink
    inode.i_size = st.st_size
    inode.i_blocks = st.st_blocks
    inode.i_blksize = st.st_blksize
    inode.i_rdev = os.major(st.st_rdev) << 20 | os.minor(st.st_rdev)
    inode.i_atime = st.st_atime_ns
    inode.i_mtime = st.st_mtime_ns
    inode.i_ctime = st.st_ctime_ns


def ext4_lookup(dir: Inode, name: str) -> Inode | None:
    """The inode `name` of a host directory, None if there is no such name."""
    data = dir.i_private
    assert isinstance(data, HostInode)
    fs = data.fs
    raw = name.encode("utf-8", "surrogateescape")
    try:
        st = os.stat(raw, dir_fd=fs.dir_fd(dir), follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
    return fs.iget(dir, raw, st)


def ext4_get_link(inode: Inode) -> str:
    """The target of a host's symbolic link."""
    data = inode.i_private
    assert isinstance(data, HostInode)
    if data.target is None:
        try:
            fd = data.fs.open_path(inode)
            try:
                data.target = os.readlink(b"", dir_fd=fd).decode("utf-8", "surrogateescape")
            finally:
                os.close(fd)
        except OSError as error:
            raise KernelError(error.errno or EIO) from None
    return data.target


def ext4_readdir(file: File) -> list[tuple[str, int, int]]:
    """All names of a host directory: "." and "..", then sorted by their bytes."""
    inode = file.f_inode
    data = inode.i_private
    assert isinstance(data, HostInode)
    if data.entries is not None:
        return data.entries
    fs = data.fs
    parent = data.parent if data.parent is not None else inode
    try:
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fs.dir_fd(inode))
        try:
            names = []
            with os.scandir(fd) as scan:
                for entry in scan:
                    # DT_* = mode >> 12
                    st_mode = entry.stat(follow_symlinks=False).st_mode
                    names.append((os.fsencode(entry.name), entry.inode(), st_mode >> 12))
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
    names.sort()
    entries = [(".", inode.i_ino, 4), ("..", parent.i_ino, 4)]
    for raw, ino, kind in names:
        entries.append((raw.decode("utf-8", "surrogateescape"), ino, kind))
    data.entries = entries
    return entries


def ext4_readpage(file: File | None, page: Page) -> None:
    """Fill a page of the page cache from the host file, zeroes beyond its end."""
    mapping = page.mapping
    assert isinstance(mapping, AddressSpace)
    inode = mapping.host
    data = inode.i_private
    assert isinstance(data, HostInode)
    offset = page.index * PAGE_SIZE
    count = min(PAGE_SIZE, max(inode.i_size - offset, 0))
    try:
        content = os.pread(data.fs.file_fd(inode), count, offset) if count > 0 else b""
    except OSError:
        unlock_page(page)
        raise KernelError(EIO) from None
    phys_write(page.kernel, page.pfn << 12, content.ljust(PAGE_SIZE, b"\0"))
    page.flags |= PG_uptodate
    unlock_page(page)


def ext4_set_page_dirty(page: Page) -> bool:
    """Nothing can dirty a page of a read-only file system."""
    raise KernelError(ENOSPC)


def ext4_file_read_iter(file: File, count: int, pos: int) -> bytes:
    """Through the page cache."""
    if count == 0:
        return b""
    return generic_file_buffered_read(file, count, pos)


def ext4_file_mmap(file: File, vma: VmAreaStruct) -> None:
    """mmap of a regular file: its pages come from the page cache. MAP_SYNC needs a DAX device, which this is not."""
    if vma.vm_flags & VM_SYNC:
        raise KernelError(EOPNOTSUPP)
    vma.vm_ops = ext4_file_vm_ops


def ext4_file_open(inode: Inode, file: File) -> None:
    """Note which host file the guest reads; EACCES when the host denies it after all."""
    data = inode.i_private
    assert isinstance(data, HostInode)
    try:
        data.fs.file_fd(inode)
    except PermissionError:
        raise KernelError(EACCES) from None
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
    config = inode.i_sb.kernel.config
    if config.warm_page_cache and inode.i_mapping.nrpages == 0 and inode.i_size <= config.ram >> 3:
        # As if somebody had read the file before: no page of it costs a major fault.
        page_cache_ra_unbounded(ReadaheadControl(file, inode.i_mapping, 0), (inode.i_size + PAGE_SIZE - 1) >> 12, 0)


def generic_read_dir(file: File, count: int, pos: int) -> bytes:
    """read(2) of a directory."""
    raise KernelError(EISDIR)


ext4_aops: Final = AddressSpaceOperations(readpage=ext4_readpage, set_page_dirty=ext4_set_page_dirty)
ext4_file_vm_ops: Final = VmOperationsStruct("ext4_file_vm_ops", fault=filemap_fault, map_pages=filemap_map_pages)
ext4_file_operations: Final = FileOperations(
    "ext4_file_operations",
    read=ext4_file_read_iter,
    mmap=ext4_file_mmap,
    get_unmapped_area=thp_get_unmapped_area,
    open=ext4_file_open,
    mmap_supported_flags=MAP_SYNC,
)
ext4_dir_operations: Final = FileOperations("ext4_dir_operations", read=generic_read_dir, iterate=ext4_readdir)
ext4_file_inode_operations: Final = InodeOperations("ext4_file_inode_operations")
ext4_dir_inode_operations: Final = InodeOperations("ext4_dir_inode_operations", lookup=ext4_lookup)
ext4_symlink_inode_operations: Final = InodeOperations("ext4_symlink_inode_operations", get_link=ext4_get_link)
ext4_special_inode_operations: Final = InodeOperations("ext4_special_inode_operations")
