# SPDX-License-Identifier: GPL-2.0-or-later
"""Path names to dentries (fs/namei.c): the walk, symbolic links, mounts, permissions, and open.

The walk is the model's own: the host is asked for one name in one directory at a time, never for a path, so no
symbolic link, `..` or mount of the host leads out of the root.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import strncpy_from_user
from mmscope.kernel.core.capability import cap_raised
from mmscope.kernel.fs.attr import get_write_access, notify_change, put_write_access, setattr_should_drop_suidgid
from mmscope.kernel.fs.file import fget_raw, fput, path_noexec
from mmscope.kernel.fs.inode import inode_owner_or_capable
from mmscope.kernel.fs.streams import HostStream, reopen_stream
from mmscope.kernel.include.capability import CAP_DAC_OVERRIDE, CAP_FOWNER
from mmscope.kernel.include.errno import (
    EACCES,
    EAGAIN,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    EROFS,
    ETXTBSY,
    EXDEV,
    KernelError,
)
from mmscope.kernel.include.fs import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    ATTR_FORCE,
    ATTR_MTIME,
    ATTR_SIZE,
    FMODE_PATH,
    FMODE_WRITE,
    FMODE_WRITER,
    I_LINKABLE,
    MAY_EXEC,
    MAY_OPEN,
    MAY_READ,
    MAY_WRITE,
    NAME_MAX,
    O_ACCMODE,
    O_CREAT,
    O_DIRECT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOFOLLOW,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
    PATH_MAX,
    S_IALLUGO,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    SB_RDONLY,
    Dentry,
    File,
    FileOperations,
    Iattr,
    Inode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import Cred

LOOKUP_FOLLOW: Final = 0x1
LOOKUP_DIRECTORY: Final = 0x2
LOOKUP_EMPTY: Final = 0x4000
# openat2(2)'s RESOLVE_*.
LOOKUP_NO_SYMLINKS: Final = 0x010000
LOOKUP_NO_MAGICLINKS: Final = 0x020000
LOOKUP_NO_XDEV: Final = 0x040000
LOOKUP_BENEATH: Final = 0x080000
LOOKUP_IN_ROOT: Final = 0x100000
LOOKUP_CACHED: Final = 0x200000
LOOKUP_IS_SCOPED: Final = LOOKUP_BENEATH | LOOKUP_IN_ROOT

LAST_NORM: Final = 0
LAST_ROOT: Final = 1
LAST_DOT: Final = 2
LAST_DOTDOT: Final = 3

MAXSYMLINKS: Final = 40

#: f_op of an O_PATH file: nothing (empty_fops).
path_fops: Final = FileOperations("empty_fops")

#: O_TMPFILE without O_DIRECTORY.
__O_TMPFILE: Final = 0o20000000
#: What O_PATH leaves of the flags (O_PATH_FLAGS).
O_PATH_FLAGS: Final = O_DIRECTORY | O_NOFOLLOW | O_PATH | 0o2000000
#: Flags that open(2) knows; it ignores others.
VALID_OPEN_FLAGS: Final = 0o37777703


class Nameidata:
    """struct nameidata: the state of one walk."""

    def __init__(self, k: Kernel, path: Dentry, root: Dentry, flags: int) -> None:
        self.k = k
        self.path = path
        #: What ".." does not leave, and where absolute names start: the task's root, or where a scoped walk began.
        self.root = root
        #: nd->root.mnt is set: something has asked for the root. Before that RESOLVE_NO_XDEV takes it for another mount.
        self.root_known = False
        self.flags = flags
        self.last = ""
        #: The last name was followed by slashes.
        self.last_slash = False
        self.last_type = LAST_ROOT
        self.total_link_count = 0
        #: FMODE_CREATED: the open made the file.
        self.created = False
        #: Names still to walk after the symbolic links that are being followed.
        self.stack: list[str] = []


def getname_flags(k: Kernel, filename: int | bytes | str, flags: int) -> str:
    """A path as text (UTF-8, odd bytes as surrogates). An int is an address in user memory."""
    if isinstance(filename, int):
        raw = strncpy_from_user(k, filename, PATH_MAX)
    elif isinstance(filename, str):
        raw = filename.encode("utf-8", "surrogateescape")
    else:
        raw = filename
    if len(raw) >= PATH_MAX:
        raise KernelError(ENAMETOOLONG)
    if not raw and not flags & LOOKUP_EMPTY:
        raise KernelError(ENOENT)
    return raw.decode("utf-8", "surrogateescape")


def in_group_p(cred: Cred, gid: int) -> bool:
    """The task is in group `gid`."""
    return gid == cred.fsgid or gid in cred.groups


def capable_dac(cred: Cred) -> bool:
    """CAP_DAC_OVERRIDE, to write and to execute; CAP_DAC_READ_SEARCH goes with it."""
    return cap_raised(cred, CAP_DAC_OVERRIDE)


def acl_permission_check(cred: Cred, inode: Inode, mask: int) -> bool:
    """The mode bits of owner, group or others allow `mask`."""
    mode = inode.i_mode
    if cred.fsuid == inode.i_uid:
        mode >>= 6
    elif in_group_p(cred, inode.i_gid):
        mode >>= 3
    return mask & 7 & ~mode == 0


def generic_permission(cred: Cred, inode: Inode, mask: int) -> None:
    """EACCES unless the mode bits or a capability allow `mask`."""
    if acl_permission_check(cred, inode, mask):
        return
    if capable_dac(cred):
        if inode.i_mode & S_IFMT == S_IFDIR:
            return
        if not mask & MAY_EXEC or inode.i_mode & 0o111:
            return
    raise KernelError(EACCES)


def inode_permission(k: Kernel, inode: Inode, mask: int) -> None:
    """May the current task access `inode` so? Writing on a read-only file system is EROFS before all else."""
    if mask & MAY_WRITE and inode.i_sb.s_flags & SB_RDONLY and inode.i_mode & S_IFMT in (S_IFREG, S_IFDIR, S_IFLNK):
        raise KernelError(EROFS)
    if inode.i_op.permission is not None:
        inode.i_op.permission(inode, mask)
    else:
        generic_permission(k.current.cred, inode, mask)


def may_learn_of_cache(k: Kernel, inode: Inode) -> bool:
    """The current task owns the file or could write it: only then it may learn, or change, what others have in the page cache.

    Linux has the expression twice, in can_do_mincore() and can_do_pageout().
    """
    if inode_owner_or_capable(k, inode):
        return True
    try:
        inode_permission(k, inode, MAY_WRITE)
    except KernelError:
        return False
    return True


def d_is_dir(dentry: Dentry) -> bool:
    """d_can_lookup(): names can be looked up in it."""
    return dentry.d_inode is not None and dentry.d_inode.i_mode & S_IFMT == S_IFDIR


def d_is_symlink(dentry: Dentry) -> bool:
    """It is a symbolic link."""
    return dentry.d_inode is not None and dentry.d_inode.i_mode & S_IFMT == S_IFLNK


def d_lookup(parent: Dentry, name: str) -> Dentry:
    """The dentry `name` in `parent` (negative if there is none). Host directories are asked once for a name."""
    child = parent.d_children.get(name)
    if child is not None:
        return child
    inode = parent.d_inode
    assert inode is not None
    if len(name) > NAME_MAX or len(name.encode("utf-8", "surrogateescape")) > NAME_MAX:
        raise KernelError(ENAMETOOLONG)
    if inode.i_nlink == 0:
        # IS_DEADDIR: it was removed, somebody still is in it.
        raise KernelError(ENOENT)
    found: Inode | None = None
    if inode.i_op.lookup is not None:
        found = inode.i_op.lookup(inode, name)
        if found is None and parent.d_sb.s_type == "proc":
            # procfs has no negative dentries: not even who wants to make the name gets further.
            raise KernelError(ENOENT)
    child = Dentry(parent.d_sb, name, parent, found)
    # procfs changes under us (fd/, tasks): its dentries are looked up afresh each time.
    if parent.d_sb.s_type != "proc":
        parent.d_children[name] = child
    return child


def traverse_mounts(dentry: Dentry) -> Dentry:
    """Down through what is mounted here."""
    while dentry.d_mounted is not None:
        dentry = dentry.d_mounted
    return dentry


def follow_dotdot(nd: Nameidata) -> Dentry:
    """The parent directory; the root is its own parent. EXDEV: RESOLVE_BENEATH, or RESOLVE_NO_XDEV and another mount."""
    path = nd.path
    nd.root_known = True
    while True:
        if path is nd.root or path is nd.k.vfs.root:
            if nd.flags & LOOKUP_BENEATH:
                raise KernelError(EXDEV)
            break
        if path.d_parent is not None:
            path = path.d_parent
            break
        if path.d_covers is None:
            break
        if nd.flags & LOOKUP_NO_XDEV:
            raise KernelError(EXDEV)
        path = path.d_covers
    return cross_mounts(nd, path)


def cross_mounts(nd: Nameidata, dentry: Dentry) -> Dentry:
    """handle_mounts(): traverse_mounts(), unless RESOLVE_NO_XDEV forbids it."""
    if dentry.d_mounted is not None and nd.flags & LOOKUP_NO_XDEV:
        raise KernelError(EXDEV)
    return traverse_mounts(dentry)


def nd_jump_root(nd: Nameidata) -> None:
    """An absolute symbolic link: go on from the root."""
    if nd.flags & LOOKUP_BENEATH:
        raise KernelError(EXDEV)
    if nd.flags & LOOKUP_NO_XDEV and not (nd.root_known and nd.path.d_sb is nd.root.d_sb):
        raise KernelError(EXDEV)
    nd.root_known = True
    nd.path = nd.root


def pick_link(nd: Nameidata, link: Dentry) -> str:
    """Follow the symbolic link `link`: the name to walk on with, "" after a jump to its end."""
    nd.total_link_count += 1
    if nd.total_link_count > MAXSYMLINKS:
        raise KernelError(ELOOP)
    if nd.flags & LOOKUP_NO_SYMLINKS:
        raise KernelError(ELOOP)
    inode = link.d_inode
    assert inode is not None
    if inode.i_op.jump_link is not None:
        # nd_jump_link()
        target = inode.i_op.jump_link(inode)
        if nd.flags & LOOKUP_NO_MAGICLINKS:
            raise KernelError(ELOOP)
        if nd.flags & LOOKUP_IS_SCOPED or (nd.flags & LOOKUP_NO_XDEV and nd.path.d_sb is not target.d_sb):
            raise KernelError(EXDEV)
        nd.path = target
        return ""
    assert inode.i_op.get_link is not None
    res = inode.i_op.get_link(inode)
    if res.startswith("/"):
        nd_jump_root(nd)
        res = res.lstrip("/")
    return res


def step_into(nd: Nameidata, dentry: Dentry, trailing: bool) -> str:
    """Go to `dentry`: ENOENT if negative; returns a symbolic link's text if it has to be followed."""
    dentry = cross_mounts(nd, dentry)
    if dentry.d_inode is None:
        raise KernelError(ENOENT)
    if not d_is_symlink(dentry) or (trailing and not nd.flags & LOOKUP_FOLLOW):
        nd.path = dentry
        return ""
    return pick_link(nd, dentry)


def walk_component(nd: Nameidata, trailing: bool) -> str:
    """One component further; the rest to walk if it was a symbolic link."""
    if nd.last_type == LAST_DOTDOT:
        nd.path = follow_dotdot(nd)
        return ""
    if nd.last_type != LAST_NORM:
        return ""
    return step_into(nd, lookup_fast(nd), trailing)


def lookup_fast(nd: Nameidata) -> Dentry:
    """nd.last in nd.path. EAGAIN: RESOLVE_CACHED, and the file system would have to be asked."""
    if nd.flags & LOOKUP_CACHED and nd.last not in nd.path.d_children:
        raise KernelError(EAGAIN)
    return d_lookup(nd.path, nd.last)


def link_path_walk(name: str, nd: Nameidata) -> None:
    """Walk all of `name` but its last component, which is left in nd.last and nd.last_type."""
    nd.last_type = LAST_ROOT
    name = name.lstrip("/")
    if not name:
        return
    k = nd.k
    while True:
        inode = nd.path.d_inode
        assert inode is not None
        inode_permission(k, inode, MAY_EXEC)
        component, slash, rest = name.partition("/")
        rest = rest.lstrip("/")
        nd.last = component
        nd.last_slash = bool(slash) and not rest
        nd.last_type = LAST_DOT if component == "." else LAST_DOTDOT if component == ".." else LAST_NORM
        if not rest:
            if not nd.stack:
                return
            name = nd.stack.pop()
            link = walk_component(nd, False)
        else:
            name = rest
            link = walk_component(nd, False)
        if link:
            nd.stack.append(name)
            name = link
            continue
        if not d_is_dir(nd.path):
            raise KernelError(ENOTDIR)


def path_init(k: Kernel, dfd: int, name: str, flags: int) -> Nameidata:
    """Where the walk starts: the root, the working directory, or the directory open as `dfd`."""
    fs = k.current.fs
    assert fs is not None
    if name.startswith("/") and not flags & LOOKUP_IN_ROOT:
        if flags & LOOKUP_BENEATH:
            raise KernelError(EXDEV)
        nd = Nameidata(k, fs.root, fs.root, flags)
        nd.root_known = True
        return nd
    if dfd == AT_FDCWD:
        dentry = fs.pwd
    else:
        dentry = fget_raw(k, dfd).f_dentry
        if name and not d_is_dir(dentry):
            raise KernelError(ENOTDIR)
    nd = Nameidata(k, dentry, dentry if flags & LOOKUP_IS_SCOPED else fs.root, flags)
    nd.root_known = flags & LOOKUP_IS_SCOPED != 0
    return nd


def path_lookupat(nd: Nameidata, name: str) -> Dentry:
    """Walk `name` to its end."""
    while True:
        link_path_walk(name, nd)
        # lookup_last()
        if nd.last_type == LAST_NORM and nd.last_slash:
            nd.flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY
        name = walk_component(nd, True)
        if not name:
            break
    if nd.flags & LOOKUP_DIRECTORY and not d_is_dir(nd.path):
        raise KernelError(ENOTDIR)
    return nd.path


def user_path_at_empty(k: Kernel, dfd: int, name: int | bytes | str, flags: int) -> Dentry:
    """The dentry that a path names; `flags` LOOKUP_*."""
    path = getname_flags(k, name, flags)
    return path_lookupat(path_init(k, dfd, path, flags), path)


def path_lookup(k: Kernel, dfd: int, path: int | bytes | str, follow: bool) -> Dentry:
    """The dentry of `path`, its last symbolic link followed or not."""
    return user_path_at_empty(k, dfd, path, LOOKUP_FOLLOW if follow else 0)


class OpenFlags:
    """struct open_flags: the flags of an open, taken apart."""

    def __init__(self, open_flag: int, mode: int, acc_mode: int, lookup_flags: int) -> None:
        self.open_flag = open_flag
        #: Of a file that is made.
        self.mode = mode
        self.acc_mode = acc_mode
        self.lookup_flags = lookup_flags


def build_open_flags(k: Kernel, flags: int, mode: int) -> OpenFlags:
    """Check and take apart the flags of open(2) (with build_open_how, which drops what it does not know)."""
    flags &= VALID_OPEN_FLAGS
    if flags & O_PATH:
        flags &= O_PATH_FLAGS
    acc_mode = (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE)[flags & O_ACCMODE]
    if flags & __O_TMPFILE:
        if flags & (O_TMPFILE | O_CREAT) != O_TMPFILE:
            raise KernelError(EINVAL)
        if not acc_mode & MAY_WRITE:
            raise KernelError(EINVAL)
    elif flags & (O_DIRECTORY | O_CREAT) == O_DIRECTORY | O_CREAT and k.config.at_least(6, 4):
        # Before (commit unknown) the file was made, and then was no directory.
        raise KernelError(EINVAL)
    if flags & O_PATH:
        acc_mode = 0
    if flags & O_TRUNC:
        acc_mode |= MAY_WRITE
    acc_mode |= MAY_OPEN
    if flags & O_CREAT and flags & O_EXCL:
        flags |= O_NOFOLLOW
    lookup_flags = 0
    if flags & O_DIRECTORY:
        lookup_flags |= LOOKUP_DIRECTORY
    if not flags & O_NOFOLLOW:
        lookup_flags |= LOOKUP_FOLLOW
    return OpenFlags(flags, mode & S_IALLUGO if flags & (O_CREAT | __O_TMPFILE) else 0, acc_mode, lookup_flags)


def lookup_open(nd: Nameidata, op: OpenFlags) -> Dentry:
    """Look the last component up for an open, and make it with O_CREAT. nd.created tells."""
    dir_inode = nd.path.d_inode
    assert dir_inode is not None
    dentry = lookup_fast(nd)
    if dentry.d_inode is None and op.open_flag & O_CREAT:
        if dir_inode.i_sb.s_flags & SB_RDONLY:
            raise KernelError(EROFS)
        # may_o_create()
        inode_permission(nd.k, dir_inode, MAY_WRITE | MAY_EXEC)
        if dir_inode.i_op.create is None:
            raise KernelError(EACCES)
        fs = nd.k.current.fs
        assert fs is not None
        dir_inode.i_op.create(dir_inode, dentry, op.mode & ~fs.umask)
        nd.created = True
    return dentry


def open_last_lookups(nd: Nameidata, op: OpenFlags) -> str:
    """The last component of an open: "" when nd.path is what to open, else a link to follow."""
    open_flag = op.open_flag
    if nd.last_type != LAST_NORM:
        return walk_component(nd, True)
    if not open_flag & O_CREAT:
        if nd.last_slash:
            nd.flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY
    elif nd.last_slash:
        raise KernelError(EISDIR)
    return step_into(nd, lookup_open(nd, op), True)


def may_open(k: Kernel, path: Dentry, acc_mode: int, flag: int) -> None:
    """The checks on what was found, in Linux's order."""
    inode = path.d_inode
    if inode is None:
        raise KernelError(ENOENT)
    kind = inode.i_mode & S_IFMT
    if kind == S_IFLNK:
        raise KernelError(ELOOP)
    if kind == S_IFDIR:
        if acc_mode & MAY_WRITE:
            raise KernelError(EISDIR)
        if acc_mode & MAY_EXEC:
            raise KernelError(EACCES)
    if kind in (S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK) and acc_mode & MAY_EXEC:
        raise KernelError(EACCES)
    inode_permission(k, inode, acc_mode)
    if flag & O_NOATIME and k.current.cred.fsuid != inode.i_uid and not cap_raised(k.current.cred, CAP_FOWNER):
        raise KernelError(EPERM)


def do_open(nd: Nameidata, op: OpenFlags) -> File:
    """The last step of an open: nd.path becomes a file."""
    open_flag = op.open_flag
    acc_mode = op.acc_mode
    path = nd.path
    if isinstance(path.d_fsdata, HostStream):
        return reopen_stream(path, open_flag)
    if open_flag & O_CREAT:
        if open_flag & O_EXCL and not nd.created:
            raise KernelError(EEXIST)
        if d_is_dir(path):
            raise KernelError(EISDIR)
    if nd.flags & LOOKUP_DIRECTORY and not d_is_dir(path):
        raise KernelError(ENOTDIR)
    inode = path.d_inode
    assert inode is not None
    do_truncate = False
    if nd.created:
        # A new file: whatever its mode says, its maker may do what it asked for.
        open_flag &= ~O_TRUNC
        acc_mode = 0
    elif inode.i_mode & S_IFMT == S_IFREG and open_flag & O_TRUNC:
        if inode.i_sb.s_flags & SB_RDONLY:
            raise KernelError(EROFS)
        do_truncate = True
    may_open(nd.k, path, acc_mode, open_flag)
    file = vfs_open(path, open_flag)
    if do_truncate:
        try:
            handle_truncate(inode)
        except KernelError:
            fput(file)
            raise
    return file


def handle_truncate(inode: Inode) -> None:
    """O_TRUNC. The file must not be executed by anybody (ETXTBSY), though it be opened for reading."""
    get_write_access(inode)
    try:
        notify_change(inode, Iattr(ATTR_SIZE | ATTR_MTIME | ATTR_FORCE | setattr_should_drop_suidgid(inode)))
    finally:
        put_write_access(inode)


def vfs_open(path: Dentry, flags: int) -> File:
    """do_dentry_open(): a new struct file on `path`. Raises ENXIO, ETXTBSY, EINVAL (O_DIRECT), and what ->open does."""
    inode = path.d_inode
    assert inode is not None
    f_flags = flags & ~(O_CREAT | O_EXCL | 0o400 | O_TRUNC)
    if flags & O_PATH:
        return File(path, inode, f_flags, FMODE_PATH, path_fops)
    # OPEN_FMODE(), and FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    f_mode = ((flags + 1) & O_ACCMODE) | 0x4 | 0x8 | 0x10
    kind = inode.i_mode & S_IFMT
    if kind in (0, S_IFSOCK, S_IFBLK, S_IFIFO, S_IFCHR) and inode.i_fop.open is None:
        # A host's device, FIFO or socket, for which there is no driver here; an anonymous file.
        raise KernelError(ENXIO)
    if f_mode & FMODE_WRITE and kind in (S_IFREG, S_IFDIR):
        get_write_access(inode)
        f_mode |= FMODE_WRITER
    file = File(path, inode, f_flags, f_mode, inode.i_fop)
    try:
        if file.f_op.open is not None:
            file.f_op.open(inode, file)
        if flags & O_DIRECT and not can_direct_IO(inode):
            raise KernelError(EINVAL)
    except KernelError:
        # Not opened: there is nothing to release.
        file.f_op = path_fops
        fput(file)
        raise
    return file


def can_direct_IO(inode: Inode) -> bool:
    """O_DIRECT is possible. Since v6.6 (e88e0d366f9c) tmpfs takes it, and goes through the page cache all the same."""
    if inode.i_mapping.a_ops.direct_IO is not None:
        return True
    return inode.i_sb.s_type == "tmpfs" and inode.i_sb.kernel.config.at_least(6, 6)


def do_tmpfile(nd: Nameidata, op: OpenFlags, where: Dentry) -> File:
    """O_TMPFILE: a regular file without a name in a directory. O_EXCL: it will never get one."""
    dir = where.d_inode
    assert dir is not None
    if dir.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    inode_permission(nd.k, dir, MAY_WRITE | MAY_EXEC)
    if dir.i_op.tmpfile is None:
        raise KernelError(EOPNOTSUPP)
    fs = nd.k.current.fs
    assert fs is not None
    inode = dir.i_op.tmpfile(dir, op.mode & ~fs.umask)
    if op.open_flag & O_EXCL:
        inode.i_state &= ~I_LINKABLE
    dentry = Dentry(dir.i_sb, f"#{inode.i_ino}", where, inode)
    dentry.d_unlinked = True
    return vfs_open(dentry, op.open_flag & ~O_TRUNC)


def path_openat(k: Kernel, dfd: int, name: str, op: OpenFlags) -> File:
    """Walk and open."""
    nd = path_init(k, dfd, name, op.lookup_flags)
    if op.open_flag & __O_TMPFILE:
        nd.flags |= LOOKUP_DIRECTORY
        return do_tmpfile(nd, op, path_lookupat(nd, name))
    if op.open_flag & O_PATH:
        return vfs_open(path_lookupat(nd, name), op.open_flag)
    while True:
        link_path_walk(name, nd)
        name = open_last_lookups(nd, op)
        if not name:
            return do_open(nd, op)


def do_filp_open(k: Kernel, dfd: int, path: int | bytes | str, op: OpenFlags) -> File:
    """Open `path` relative to `dfd`."""
    return path_openat(k, dfd, getname_flags(k, path, op.lookup_flags & LOOKUP_EMPTY), op)


def do_open_execat(k: Kernel, dfd: int, path: int | bytes | str, flags: int = 0) -> File:
    """Open a program for exec: execute permission, regular files only, no noexec mount (EACCES).

    Nobody may write to it (ETXTBSY) until it is given back by exec_fput(). `flags`: AT_*.
    """
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise KernelError(EINVAL)
    lookup_flags = (0 if flags & AT_SYMLINK_NOFOLLOW else LOOKUP_FOLLOW) | (LOOKUP_EMPTY if flags & AT_EMPTY_PATH else 0)
    file = do_filp_open(k, dfd, path, OpenFlags(O_LARGEFILE, 0, MAY_EXEC | MAY_OPEN, lookup_flags))
    if path_noexec(file):
        fput(file)
        raise KernelError(EACCES)
    if file.f_inode.i_writecount > 0:
        fput(file)
        raise KernelError(ETXTBSY)
    file.f_inode.i_writecount -= 1  # deny_write_access()
    return file


def exec_fput(file: File) -> None:
    """allow_write_access() and fput()."""
    file.f_inode.i_writecount += 1
    fput(file)
