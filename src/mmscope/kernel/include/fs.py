# SPDX-License-Identifier: GPL-2.0-or-later
"""The structures of the VFS and of the page cache (include/linux/fs.h, dcache.h, pagemap.h). Data only."""

from __future__ import annotations

from mmscope.kernel.lib.rbtree import RbRootCached
from mmscope.kernel.lib.xarray import XArray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.filelock import FileLockContext
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
    from mmscope.kernel.include.poll import PollTable
    from mmscope.kernel.lib.iov_iter import IovIter

# inode modes
S_IFMT: Final = 0o170000
S_IFSOCK: Final = 0o140000
S_IFLNK: Final = 0o120000
S_IFREG: Final = 0o100000
S_IFBLK: Final = 0o060000
S_IFDIR: Final = 0o040000
S_IFCHR: Final = 0o020000
S_IFIFO: Final = 0o010000
S_ISUID: Final = 0o4000
S_ISGID: Final = 0o2000
S_ISVTX: Final = 0o1000
S_IXGRP: Final = 0o010
#: What chmod can set.
S_IALLUGO: Final = 0o7777

# open(2)
O_ACCMODE: Final = 0o3
O_RDONLY: Final = 0o0
O_WRONLY: Final = 0o1
O_RDWR: Final = 0o2
O_CREAT: Final = 0o100
O_EXCL: Final = 0o200
O_NOCTTY: Final = 0o400
O_TRUNC: Final = 0o1000
O_APPEND: Final = 0o2000
O_NONBLOCK: Final = 0o4000
O_DSYNC: Final = 0o10000
O_DIRECT: Final = 0o40000
O_LARGEFILE: Final = 0o100000
O_DIRECTORY: Final = 0o200000
O_NOFOLLOW: Final = 0o400000
O_NOATIME: Final = 0o1000000
O_CLOEXEC: Final = 0o2000000
__O_SYNC: Final = 0o4000000
O_SYNC: Final = 0o4010000
O_PATH: Final = 0o10000000
O_TMPFILE: Final = 0o20200000

#: One call moves at most this many bytes: INT_MAX & PAGE_MASK.
MAX_RW_COUNT: Final = 0x7FFFF000
#: Beside the open flags for one call: an EPIPE brings no SIGPIPE (RWF_NOSIGNAL).
IOCB_NOSIGNAL: Final = 1 << 32
#: The same: EAGAIN instead of waiting.
IOCB_NOWAIT: Final = 1 << 33
#: The largest position of a file system that does not say more, as procfs.
MAX_NON_LFS: Final = 0x7FFFFFFF

# lseek
SEEK_SET: Final = 0
SEEK_CUR: Final = 1
SEEK_END: Final = 2
SEEK_DATA: Final = 3
SEEK_HOLE: Final = 4

#: The largest file that anything can be, bytes.
MAX_LFS_FILESIZE: Final = 0x7FFFFFFFFFFFFFFF

# WritebackControl.sync_mode: WB_SYNC_ALL waits for each page.
WB_SYNC_NONE: Final = 0
WB_SYNC_ALL: Final = 1

# file->f_mode
FMODE_READ: Final = 0x1
FMODE_WRITE: Final = 0x2
FMODE_LSEEK: Final = 0x4
FMODE_PREAD: Final = 0x8
FMODE_PWRITE: Final = 0x10
FMODE_EXEC: Final = 0x20
#: Positions of 2**63 and more are addresses, not negative (/proc/PID/mem).
FMODE_UNSIGNED_OFFSET: Final = 0x2000
#: posix_fadvise(POSIX_FADV_RANDOM): no readahead.
FMODE_RANDOM: Final = 0x1000
#: Opened with O_PATH: names a file, cannot do I/O.
FMODE_PATH: Final = 0x4000
#: Counted in i_writecount.
FMODE_WRITER: Final = 0x10000
#: Has no position (pipes, ttys, the host's streams): read and write get pos -1.
FMODE_STREAM: Final = 0x200000
#: RWF_NOWAIT is possible.
FMODE_NOWAIT: Final = 0x8000000

# access modes of inode_permission
MAY_EXEC: Final = 0x1
MAY_WRITE: Final = 0x2
MAY_READ: Final = 0x4
MAY_OPEN: Final = 0x20

# iattr->ia_valid
ATTR_MODE: Final = 0x1
ATTR_UID: Final = 0x2
ATTR_GID: Final = 0x4
ATTR_SIZE: Final = 0x8
ATTR_ATIME: Final = 0x10
ATTR_MTIME: Final = 0x20
ATTR_CTIME: Final = 0x40
ATTR_ATIME_SET: Final = 0x80
ATTR_MTIME_SET: Final = 0x100
#: The caller has checked what need be: not the owner's business.
ATTR_FORCE: Final = 0x200
ATTR_KILL_SUID: Final = 0x800
ATTR_KILL_SGID: Final = 0x1000

# renameat2(2)
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4

# fallocate(2)
FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_NO_HIDE_STALE: Final = 0x04
FALLOC_FL_COLLAPSE_RANGE: Final = 0x08
FALLOC_FL_ZERO_RANGE: Final = 0x10
FALLOC_FL_INSERT_RANGE: Final = 0x20
FALLOC_FL_UNSHARE_RANGE: Final = 0x40
FALLOC_FL_WRITE_ZEROES: Final = 0x80

NAME_MAX: Final = 255
PATH_MAX: Final = 4096

#: sb->s_flags
SB_RDONLY: Final = 1
#: Mounted by the kernel for itself.
SB_KERNMOUNT: Final = 1 << 22
#: sb->s_iflags: nothing of it may be executed, or mapped executable, however it is mounted (procfs).
SB_I_NOEXEC: Final = 0x2

#: mapping->flags, beside the AS_* of mm/page_writeback.py: its pages are locked in memory (SHM_LOCK).
AS_UNEVICTABLE: Final = 1 << 3

#: inode->i_flags
S_APPEND: Final = 0x4
S_DAX: Final = 0x2000

# inode->i_state
I_DIRTY_SYNC: Final = 0x1
I_DIRTY_DATASYNC: Final = 0x2
I_DIRTY_PAGES: Final = 0x4
I_DIRTY: Final = 0x7
I_FREEING: Final = 0x20
#: An O_TMPFILE that link(2) may give a name.
I_LINKABLE: Final = 0x400

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_REMOVEDIR: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_EMPTY_PATH: Final = 0x1000


class AddressSpaceOperations:
    """struct address_space_operations; None where C has NULL."""

    def __init__(
        self,
        readpage: Callable[[File | None, Page], None] | None = None,
        readahead: Callable[[ReadaheadControl], None] | None = None,
        set_page_dirty: Callable[[Page], bool] | None = None,
        writepage: Callable[[Page, WritebackControl], None] | None = None,
        writepages: Callable[[AddressSpace, WritebackControl], None] | None = None,
        write_begin: Callable[[File | None, AddressSpace, int, int], Page] | None = None,
        write_end: Callable[[File | None, AddressSpace, int, int, int, Page], int] | None = None,
        direct_IO: Callable[[File, list[tuple[int, int]], int, bool], int] | None = None,
        bmap: Callable[[AddressSpace, int], int] | None = None,
    ) -> None:
        #: Fills a locked page with the file's bytes, marks it uptodate and unlocks it. Raises KernelError (EIO).
        self.readpage = readpage
        #: Does the same for a batch of pages; errors stay with the pages (PG_error).
        self.readahead = readahead
        self.set_page_dirty = set_page_dirty
        #: Starts writing a locked page that is no longer dirty, and unlocks it. Raises KernelError (EIO, ENOSPC).
        self.writepage = writepage
        #: Writes the dirty pages that the control names.
        self.writepages = writepages
        #: (file, mapping, pos, len) -> the locked page, with a reference, that is about to be written to.
        self.write_begin = write_begin
        #: (file, mapping, pos, len, copied, page) -> bytes that count; unlocks the page and drops the reference.
        self.write_end = write_end
        #: (file, user segments, pos, is_write) -> bytes moved between the device and user memory.
        self.direct_IO = direct_IO
        #: The device's block that holds a block of the file, 0 for a hole (FIBMAP).
        self.bmap = bmap


class ReadaheadControl:
    """struct readahead_control."""

    def __init__(self, file: File, mapping: AddressSpace, index: int) -> None:
        self.file = file
        self.mapping = mapping
        #: First page of the batch.
        self._index = index
        #: The batch: locked pages in the page cache, each with a reference, not yet read.
        self.pages: list[Page] = []


class WritebackControl:
    """struct writeback_control: what to write and why."""

    def __init__(self, sync_mode: int, nr_to_write: int, range_start: int = 0, range_end: int = 0x7FFFFFFFFFFFFFFF) -> None:
        #: WB_SYNC_NONE or WB_SYNC_ALL.
        self.sync_mode = sync_mode
        #: Pages still to be written.
        self.nr_to_write = nr_to_write
        #: Bytes, both ends inclusive.
        self.range_start = range_start
        self.range_end = range_end


class AddressSpace:
    """struct address_space: the page cache of one inode, and everything that maps it."""

    def __init__(self, host: Inode, a_ops: AddressSpaceOperations) -> None:
        self.host = host
        self.a_ops = a_ops
        #: index (pages) -> Page
        self.i_pages = XArray()
        #: Number of VM_SHARED mappings that may write; negative = writing is denied.
        self.i_mmap_writable = 0
        #: Interval tree of SharedRb over [vm_pgoff, last], private mappings included.
        self.i_mmap = RbRootCached()
        self.nrpages = 0
        #: Shadow entries of reclaimed pages in i_pages (until v5.13, 7716506adac4).
        self.nrexceptional = 0
        #: AS_EIO, AS_ENOSPC.
        self.flags = 0
        #: Errors of writeback so far, and the errno of the last one (errseq_t in Linux).
        self.wb_err = 0
        self.wb_errno = 0


class SuperBlock:
    """struct super_block."""

    def __init__(self, kernel: Kernel, s_type: str, s_dev: int, s_flags: int = 0) -> None:
        self.kernel = kernel
        #: File system type as /proc/filesystems names it.
        self.s_type = s_type
        #: Device number, MKDEV(major, minor) = major << 20 | minor; stat shows new_encode_dev(s_dev).
        self.s_dev = s_dev
        self.s_flags = s_flags
        self.s_iflags = 0
        #: Mounted with -o noexec. Linux: mnt->mnt_flags & MNT_NOEXEC; here a super block is mounted once.
        self.mnt_noexec = False
        #: mnt->mnt_id; 0 for what the kernel has mounted for itself.
        self.s_mnt_id = 0
        self.s_root: Dentry | None = None
        #: BDI_CAP_WRITEBACK: dirty pages go back to a device, so writes to shared mappings are tracked (not on tmpfs).
        self.s_bdi_writeback = False
        #: bdi->ra_pages, io_pages: the readahead window, and what the device takes in one request.
        self.ra_pages = kernel.config.read_ahead_kb >> 2
        self.io_pages = kernel.config.max_sectors_kb >> 2
        #: Largest file, bytes.
        self.s_maxbytes = 0x7FFFFFFFFFFFFFFF
        #: First and last second that a time can be.
        self.s_time_min = -1 << 63
        self.s_time_max = (1 << 63) - 1
        self.s_op: SuperOperations = _no_sops
        #: Who keeps extended attributes; (): the file system has none.
        self.s_xattr: tuple[XattrHandler, ...] = ()
        #: The file system's own data.
        self.s_fs_info: object = None


class XattrHandler:
    """struct xattr_handler: attributes of one `name`, or all whose names begin with `prefix`."""

    def __init__(
        self,
        prefix: bytes,
        name: bytes,
        get: Callable[[Inode, bytes], bytes],
        set: Callable[[Inode, bytes, bytes | None, int], None],
    ) -> None:
        self.prefix = prefix
        self.name = name
        #: (inode, full name) -> the value. Raises KernelError (ENODATA).
        self.get = get
        #: (inode, full name, value or None to remove it, XATTR_CREATE...)
        self.set = set


class SuperOperations:
    """struct super_operations; None where C has NULL."""

    def __init__(
        self,
        evict_inode: Callable[[Inode], None] | None = None,
        sync_fs: Callable[[SuperBlock], None] | None = None,
        statfs: Callable[[SuperBlock], tuple[int, int, int, int, int]] | None = None,
        dirty_inode: Callable[[Inode], None] | None = None,
        listxattr: Callable[[Inode], list[bytes]] | None = None,
    ) -> None:
        #: The last user of an inode without a name is gone.
        self.evict_inode = evict_inode
        #: Make what was changed durable.
        self.sync_fs = sync_fs
        #: (blocks, free, available, inodes, free inodes)
        self.statfs = statfs
        #: The inode's metadata changed.
        self.dirty_inode = dirty_inode
        #: The names of an inode's extended attributes; None: simple_xattr_list(). (Linux: one of the inode's operations.)
        self.listxattr = listxattr


class Inode:
    """struct inode. One object for a file's whole life (`i_mapping` never changes identity)."""

    def __init__(self, sb: SuperBlock, i_ino: int, i_mode: int) -> None:
        self.i_sb = sb
        self.i_ino = i_ino
        self.i_mode = i_mode
        self.i_uid = 0
        self.i_gid = 0
        #: S_APPEND (chattr +a), S_DAX...
        self.i_flags = 0
        self.i_nlink = 1
        #: Bytes.
        self.i_size = 0
        #: 512-byte units, and the preferred I/O size, bytes.
        self.i_blocks = 0
        self.i_blksize = 4096
        self.i_rdev = 0
        #: Nanoseconds since the epoch.
        self.i_atime = 0
        self.i_mtime = 0
        self.i_ctime = 0
        #: When it was made; 0: not known.
        self.i_crtime = 0
        self.i_op: InodeOperations = _no_iops
        self.i_fop: FileOperations = _no_fops
        self.i_mapping: AddressSpace = AddressSpace(self, _no_aops)
        #: Writers (>0) or deny_write_access holders (<0): ETXTBSY.
        self.i_writecount = 0
        #: Open files. (Linux counts the dentry, which the file holds.) With i_nlink 0 too, the inode is evicted.
        self.i_count = 0
        #: I_DIRTY_*...
        self.i_state = 0
        #: When it became dirty, virtual ns.
        self.dirtied_when = 0
        #: Locks on the file; None until the first.
        self.i_flctx: FileLockContext | None = None
        #: The file system's own data.
        self.i_private: object = None
        #: Extended attributes, if they are kept in memory: name -> value; None: nobody has asked yet.
        self.i_xattrs: dict[bytes, bytes] | None = None
        #: Where the host has it (HostInode of fs/hostfs.py); None for what the guest made.
        self.i_host: object = None


class BdiWriteback:
    """struct bdi_writeback: the dirty inodes of all file systems with a device, in the order in which they became dirty."""

    def __init__(self) -> None:
        self.b_dirty: dict[Inode, None] = {}
        #: The file systems that sync(2) has to ask.
        self.super_blocks: list[SuperBlock] = []
        #: When the flusher looks again, virtual ns; 0: nothing is dirty.
        self.next_ns = 0


class Dentry:
    """struct dentry: a name in a directory. `d_inode` None = negative."""

    def __init__(self, d_sb: SuperBlock, d_name: str, d_parent: Dentry | None, d_inode: Inode | None) -> None:
        self.d_sb = d_sb
        self.d_name = d_name
        #: None only at a file system's root.
        self.d_parent = d_parent
        self.d_inode = d_inode
        self.d_children: dict[str, Dentry] = {}
        #: The file system's own data.
        self.d_fsdata: object = None
        #: The root dentry of a file system mounted here.
        self.d_mounted: Dentry | None = None
        #: For a mounted root: the dentry that it covers.
        self.d_covers: Dentry | None = None
        #: Its name is gone (d_unhashed); d_parent still tells where it was.
        self.d_unlinked = False


class File:
    """struct file: an open file description."""

    def __init__(self, f_dentry: Dentry, f_inode: Inode, f_flags: int, f_mode: int, f_op: FileOperations) -> None:
        self.f_dentry = f_dentry
        self.f_inode = f_inode
        self.f_mapping: AddressSpace = f_inode.i_mapping
        self.f_op = f_op
        self.f_flags = f_flags
        self.f_mode = f_mode
        #: Bytes.
        self.f_pos = 0
        self.f_count = 1
        #: file_ra_state: start, size, async_size, prev index (pages), mmap_miss; ra_pages the window's limit.
        self.ra_start = 0
        self.ra_size = 0
        self.ra_async_size = 0
        self.ra_pages = f_inode.i_sb.ra_pages
        self.ra_mmap_miss = 0
        self.ra_prev_pos = -1
        #: mapping->wb_err when it was last looked at: an error of writeback is reported once a file.
        self.f_wb_err = f_inode.i_mapping.wb_err
        self.private_data: object = None
        #: The epoll items that watch it.
        self.f_ep: list[object] = []
        f_inode.i_count += 1


class FileOperations:
    """struct file_operations: a table of function pointers; None where C has NULL. Immutable after import."""

    def __init__(
        self,
        ops_name: str,
        llseek: Callable[[File, int, int], int] | None = None,
        read: Callable[[File, int, int], bytes] | None = None,
        write: Callable[[File, bytes, int], int] | None = None,
        iterate: Callable[[File], list[tuple[str, int, int]]] | None = None,
        unlocked_ioctl: Callable[[File, int, int], int] | None = None,
        mmap: Callable[[File, VmAreaStruct], None] | None = None,
        get_unmapped_area: Callable[[MmStruct, File | None, int, int, int, int], int] | None = None,
        release: Callable[[Inode, File], None] | None = None,
        open: Callable[[Inode, File], None] | None = None,
        poll: Callable[[File, PollTable | None], int] | None = None,
        mmap_supported_flags: int = 0,
        all_or_fault: bool = False,
        fsync: Callable[[File, int, int, bool], None] | None = None,
        fallocate: Callable[[File, int, int, int], None] | None = None,
        write_iter: Callable[[File, IovIter, int], int] | None = None,
        read_iter: Callable[[File, IovIter, int], int] | None = None,
        no_write_iter: bool = False,
        show_fdinfo: Callable[[File], str] | None = None,
    ) -> None:
        self.ops_name = ops_name
        #: (file, offset, whence) -> new position
        self.llseek = llseek
        #: (file, count, pos) -> at most count bytes; b"" at the end. Linux: read_iter.
        self.read = read
        #: (file, data, pos) -> bytes written.
        self.write = write
        #: (file, source, pos) -> bytes written: takes the source's faults itself, page by page.
        self.write_iter = write_iter
        #: (file, target, pos) -> bytes read, stored page by page; `read` is then for the kernel itself.
        self.read_iter = read_iter
        #: writev(2) is one write a segment: there is a ->write only.
        self.no_write_iter = no_write_iter
        #: (dir file) -> [(name, ino, d_type)], sorted by name after "." and ".."
        self.iterate = iterate
        #: (file, cmd, arg) -> result; raises ENOTTY for what it does not know
        self.unlocked_ioctl = unlocked_ioctl
        #: (file, vma): sets vma.vm_ops; raises to refuse
        self.mmap = mmap
        #: as MmStruct.get_unmapped_area
        self.get_unmapped_area = get_unmapped_area
        self.release = release
        #: (inode, file): may set file.private_data and file.f_op; raises to refuse (ENXIO).
        self.open = open
        #: (file, table) -> POLL*, what it is ready for; None = always ready (DEFAULT_POLLMASK)
        self.poll = poll
        #: MAP_* bits beyond LEGACY_MAP_MASK that MAP_SHARED_VALIDATE may ask for
        self.mmap_supported_flags = mmap_supported_flags
        #: A user's buffer that is bad anywhere is EFAULT, whatever was moved before.
        self.all_or_fault = all_or_fault
        #: (file, first byte, last byte, datasync): everything written so far is on the device. Raises EIO, ENOSPC.
        self.fsync = fsync
        #: (file, mode, offset, len)
        self.fallocate = fallocate
        #: What /proc/PID/fdinfo/N shows besides.
        self.show_fdinfo = show_fdinfo


class Iattr:
    """struct iattr: what setattr is to change; `ia_valid` names the fields that count."""

    def __init__(self, ia_valid: int) -> None:
        self.ia_valid = ia_valid
        self.ia_mode = 0
        self.ia_uid = 0
        self.ia_gid = 0
        self.ia_size = 0
        self.ia_atime = 0
        self.ia_mtime = 0


class FiemapExtentInfo:
    """struct fiemap_extent_info: where FS_IOC_FIEMAP collects."""

    def __init__(self, fi_flags: int, fi_extents_max: int) -> None:
        #: FIEMAP_FLAG_*; those that were not understood, after EBADR.
        self.fi_flags = fi_flags
        #: 0: only count.
        self.fi_extents_max = fi_extents_max
        self.fi_extents_mapped = 0
        #: (logical, physical, length, FIEMAP_EXTENT_*), bytes
        self.extents: list[tuple[int, int, int, int]] = []


class InodeOperations:
    """struct inode_operations; None where C has NULL. Directories change names through dentries that are looked up."""

    def __init__(
        self,
        ops_name: str,
        lookup: Callable[[Inode, str], Inode | None] | None = None,
        get_link: Callable[[Inode], str] | None = None,
        jump_link: Callable[[Inode], Dentry] | None = None,
        create: Callable[[Inode, Dentry, int], None] | None = None,
        link: Callable[[Inode, Inode, Dentry], None] | None = None,
        unlink: Callable[[Inode, Dentry], None] | None = None,
        symlink: Callable[[Inode, Dentry, str], None] | None = None,
        mkdir: Callable[[Inode, Dentry, int], None] | None = None,
        rmdir: Callable[[Inode, Dentry], None] | None = None,
        mknod: Callable[[Inode, Dentry, int, int], None] | None = None,
        rename: Callable[[Inode, Dentry, Inode, Dentry, int], None] | None = None,
        tmpfile: Callable[[Inode, int], Inode] | None = None,
        setattr: Callable[[Inode, Iattr], None] | None = None,
        fiemap: Callable[[Inode, FiemapExtentInfo, int, int], None] | None = None,
        permission: Callable[[Inode, int], None] | None = None,
        getattr: Callable[[Inode], None] | None = None,
    ) -> None:
        self.ops_name = ops_name
        #: Brings the inode's fields up to date for stat(2).
        self.getattr = getattr
        #: (dir inode, name) -> inode, None if there is no such name
        self.lookup = lookup
        #: (inode) -> the symbolic link's target
        self.get_link = get_link
        #: (inode) -> where a magic link of procfs leads (nd_jump_link); get_link then serves readlink only.
        self.jump_link = jump_link
        #: (dir, negative dentry, mode): a new regular file, which the dentry then names.
        self.create = create
        #: (existing inode, dir, negative dentry)
        self.link = link
        #: (dir, dentry): the name goes.
        self.unlink = unlink
        #: (dir, negative dentry, target)
        self.symlink = symlink
        self.mkdir = mkdir
        self.rmdir = rmdir
        #: (dir, negative dentry, mode, device number)
        self.mknod = mknod
        #: (old dir, old dentry, new dir, new dentry, RENAME_*)
        self.rename = rename
        #: (dir, mode) -> an inode without a name
        self.tmpfile = tmpfile
        self.setattr = setattr
        #: (inode, MAY_*): instead of generic_permission(). Raises KernelError (EACCES).
        self.permission = permission
        #: (inode, info, start, length): the extents of that range of bytes.
        self.fiemap = fiemap


_no_aops = AddressSpaceOperations()
_no_fops = FileOperations("no_open_fops")
_no_iops = InodeOperations("empty_iops")
_no_sops = SuperOperations()
