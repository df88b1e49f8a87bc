# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of mounts (fs/namespace.c): the root, /proc, /dev, /dev/shm, /sys."""

from __future__ import annotations

from mmscope.kernel.fs.devtmpfs import devtmpfs_init
from mmscope.kernel.fs.hostfs import HostFs
from mmscope.kernel.fs.libfs import simple_fill_super
from mmscope.kernel.fs.namei import d_lookup, traverse_mounts
from mmscope.kernel.fs.proc import proc_init
from mmscope.kernel.fs.streams import open_descriptors, open_streams
from mmscope.kernel.fs.xattr import kernfs_xattr_handlers
from mmscope.kernel.include.fs import S_IFDIR, S_IFMT, Dentry, SuperBlock
from mmscope.kernel.mm.shmem import shmem_fill_super
from mmscope.kernel.mm.shmem_dir import shmem_make_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import FilesStruct


class Vfs:
    """The mounted file systems of one kernel, and the inode numbers of its own pseudo file systems."""

    def __init__(self, kernel: Kernel, root: str | None, streams: tuple[int, int, int] = (0, 1, 2)) -> None:
        """`root`: a directory of the host, shown as /; None: an empty tmpfs. Raises OSError if there is none.

        /proc, /dev and /sys are the model's own. They can be reached even where the root has no such directory; a
        listing of / shows them only where it has.
        """
        self.kernel = kernel
        self._next_minor = 1
        #: Host descriptors behind descriptors 0, 1 and 2 of every new task; -1 = closed. Looked at before anything is opened.
        self.streams = open_descriptors(streams)
        #: The host's directory tree; None for a machine without one.
        self.host: HostFs | None = None
        if root is None:
            root_sb = shmem_fill_super(kernel, self.get_anon_bdev())
            shmem_make_root(root_sb, 0o755)
        else:
            self.host = HostFs(kernel, root)
            root_sb = self.host.sb
        root_dentry = root_sb.s_root
        assert root_dentry is not None
        #: The root dentry of the root file system.
        self.root: Dentry = root_dentry
        #: (path, super block, source, options) in mount order, as /proc/mounts lists them.
        self.mounts: list[tuple[str, SuperBlock, str, str]] = [("/", root_sb, "/dev/root", "rw,relatime")]
        options = "rw,nosuid,nodev,noexec,relatime"
        sysfs = simple_fill_super(kernel, "sysfs", self.get_anon_bdev(), 0, 0o555)
        sysfs.s_xattr = kernfs_xattr_handlers
        self.mount("sys", sysfs, "sysfs", options)
        self.mount("proc", proc_init(kernel, self.get_anon_bdev()), "proc", options)
        self.mount("dev", devtmpfs_init(kernel, self.get_anon_bdev()), "devtmpfs", "rw,nosuid,relatime,mode=755")
        shm = shmem_fill_super(kernel, self.get_anon_bdev())
        self.do_mount(d_lookup(traverse_mounts(d_lookup(self.root, "dev")), "shm"), shmem_make_root(shm, 0o1777))
        self.mounts.append(("/dev/shm", shm, "tmpfs", "rw,nosuid,nodev"))
        for number in range(len(self.mounts)):
            self.mounts[number][1].s_mnt_id = number + 1

    def install_streams(self, files: FilesStruct) -> None:
        """Descriptors 0, 1 and 2 of a new task."""
        files.fd.update(open_streams(self.kernel, self.streams))

    def close(self) -> None:
        """Give the host's descriptors back."""
        if self.host is not None:
            self.host.close()

    def get_anon_bdev(self) -> int:
        """The next device number of a file system without a device: 0:N."""
        minor = self._next_minor
        self._next_minor += 1
        return minor

    def mount(self, name: str, sb: SuperBlock, source: str, options: str) -> None:
        """Mount `sb` on /`name`. The directory is made up where the root does not have it."""
        sb.mnt_noexec = "noexec" in options.split(",")
        root = sb.s_root
        assert root is not None
        where = d_lookup(self.root, name)
        if where.d_inode is None or where.d_inode.i_mode & S_IFMT != S_IFDIR:
            where = Dentry(self.root.d_sb, name, self.root, root.d_inode)
            self.root.d_children[name] = where
        else:
            # `ls -l /` shows what it shows natively: the attributes of the host's directory of that name.
            covered, inode = where.d_inode, root.d_inode
            assert inode is not None
            inode.i_mode, inode.i_uid, inode.i_gid = covered.i_mode, covered.i_uid, covered.i_gid
            inode.i_nlink, inode.i_size, inode.i_blocks = covered.i_nlink, covered.i_size, covered.i_blocks
            inode.i_atime, inode.i_mtime, inode.i_ctime = covered.i_atime, covered.i_mtime, covered.i_ctime
        self.do_mount(where, root)
        self.mounts.append(("/" + name, sb, source, options))

    def do_mount(self, where: Dentry, root: Dentry) -> None:
        """`root` covers `where` from now on."""
        where.d_mounted = root
        root.d_covers = where
