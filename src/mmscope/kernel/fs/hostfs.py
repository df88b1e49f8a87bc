# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's directory tree: what the guest's files are before the guest changes them. Never written to.

The only place that reads host files. One inode a host file for life, found again by (st_dev, st_ino); it belongs to
ext4 (fs/ext4), or to tmpfs (mm/shmem.py) where the host's own is one. What the guest changes is kept by those two.

Each inode knows the directory inode and the name by which the host has it, whatever the guest calls it now. The host is asked
for exactly one name in one directory, never through a symbolic link, and what it opens must be the very file that was found.
"""

from __future__ import annotations

import os

from mmscope.kernel.block.genhd import REQ_OP_READ, BlockDevice, FileMedia
from mmscope.kernel.include.errno import EACCES, EIO, ENOENT, KernelError
from mmscope.kernel.include.fs import Dentry, Inode, SuperBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

#: Host descriptors kept open for directories, and for regular files.
MAX_DIR_FDS: Final = 64
MAX_FILE_FDS: Final = 32


class HostInode:
    """i_host of a host file's inode."""

    def __init__(self, fs: HostFs, parent: Inode | None, name: bytes, st: os.stat_result) -> None:
        self.fs = fs
        #: Directory and name by which it was first found; the root has no parent.
        self.parent = parent
        self.name = name
        self.st_dev = st.st_dev
        self.st_ino = st.st_ino
        self.st_blocks = st.st_blocks
        self.st_mode = st.st_mode
        self.st_size = st.st_size
        self.st_mtime_ns = st.st_mtime_ns
        #: A symbolic link's target, once read.
        self.target: str | None = None
        #: A file outside the root that the caller gave as a stream: the descriptor to read it by.
        self.stream_fd = -1
        #: Names of a directory, once listed: (name, inode number, DT_*), sorted by bytes.
        self.entries: list[tuple[str, int, int]] | None = None


class HostFs:
    """The host directory tree: its inodes, and the few host descriptors that are kept open."""

    def __init__(self, k: Kernel, root: str) -> None:
        self.kernel = k
        #: (st_dev, st_ino) -> inode
        self.inodes: dict[tuple[int, int], Inode] = {}
        #: st_dev -> super block: a host mount below the root keeps its device number.
        self.super_blocks: dict[int, SuperBlock] = {}
        #: The disk that all of ext4 writes to.
        self.bdev = BlockDevice(k, k.config.disk_size >> 12, FileMedia(k.config.disk_file) if k.config.disk_file else None)
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
            data = inode.i_host
            assert isinstance(data, HostInode)
            if data.parent is None and parent is not None and inode is not self.root_inode:
                # First met as a stream, now by its name.
                data.parent = parent
                data.name = name
            return inode
        sb = self.super_blocks.get(st.st_dev)
        if sb is None:
            sb = self.fill_super(st.st_dev)
            self.super_blocks[st.st_dev] = sb
        inode = Inode(sb, st.st_ino, st.st_mode)
        inode.i_host = HostInode(self, parent, name, st)
        set_stat(inode, st)
        # Imported here and below: the file systems above read the host through this module.
        import mmscope.kernel.fs.ext4.super as ext4_super
        import mmscope.kernel.mm.shmem as mm_shmem

        if sb.s_type == "tmpfs":
            mm_shmem.shmem_host_inode(inode, parent)
        else:
            ext4_super.ext4_host_inode(inode, parent)
        self.inodes[key] = inode
        return inode

    def fill_super(self, st_dev: int) -> SuperBlock:
        """The file system that stands for one of the host's: tmpfs for tmpfs, ext4 for all else."""
        import mmscope.kernel.fs.ext4.super as ext4_super
        import mmscope.kernel.mm.shmem as mm_shmem

        dev = os.major(st_dev) << 20 | os.minor(st_dev)
        if (self.kernel.config.rootfstype or host_fs_type(st_dev)) in ("tmpfs", "ramfs", "devtmpfs"):
            return mm_shmem.shmem_fill_super(self.kernel, dev, 0)
        return ext4_super.ext4_fill_super(self.kernel, dev, self.bdev)

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
        data = inode.i_host
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
        """A descriptor to read a regular file. Raises OSError."""
        data = inode.i_host
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
        data = inode.i_host
        assert isinstance(data, HostInode)
        while data.parent is not None:
            parts.append(data.name)
            data = data.parent.i_host
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
            self.bdev.media.close()
        self.root_fd = -1


def host_fs_type(st_dev: int) -> str:
    """The type of the host's file system with that device number, "" if it is not mounted here."""
    device = f"{os.major(st_dev)}:{os.minor(st_dev)}"
    try:
        with open("/proc/self/mountinfo") as file:
            for line in file:
                words = line.split(" ")
                if words[2] == device:
                    return words[words.index("-", 6) + 1]
    except OSError:
        return ""
    return ""


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


def host_lookup(dir: Inode, name: str) -> Inode | None:
    """The inode `name` of a host directory, None if there is no such name."""
    data = dir.i_host
    if not isinstance(data, HostInode):
        return None
    fs = data.fs
    raw = name.encode("utf-8", "surrogateescape")
    try:
        st = os.stat(raw, dir_fd=fs.dir_fd(dir), follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
    return fs.iget(dir, raw, st)


def host_get_link(inode: Inode) -> str:
    """The target of a host's symbolic link."""
    data = inode.i_host
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


def host_readdir(inode: Inode) -> list[tuple[str, int, int]]:
    """The names in a host directory, sorted by their bytes; none for a directory that the guest made."""
    data = inode.i_host
    if not isinstance(data, HostInode):
        return []
    if data.entries is not None:
        return data.entries
    fs = data.fs
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
    data.entries = [(raw.decode("utf-8", "surrogateescape"), ino, kind) for raw, ino, kind in names]
    return data.entries


def host_pread(inode: Inode, count: int, offset: int) -> bytes:
    """Bytes of a host file; a request to the model's disk. Raises EIO."""
    data = inode.i_host
    assert isinstance(data, HostInode)
    data.fs.bdev.submit_bio(REQ_OP_READ)
    try:
        return os.pread(data.fs.file_fd(inode), count, offset)
    except OSError:
        raise KernelError(EIO) from None


def host_open(inode: Inode) -> None:
    """Note that the guest reads this host file; EACCES when the host denies it after all."""
    data = inode.i_host
    if not isinstance(data, HostInode):
        return
    try:
        data.fs.file_fd(inode)
    except PermissionError:
        raise KernelError(EACCES) from None
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
