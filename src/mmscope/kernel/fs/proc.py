# SPDX-License-Identifier: GPL-2.0-or-later
"""procfs (fs/proc/generic.c, root.c, inode.c, ...): its directories, and what stands in them."""

from __future__ import annotations

from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.ptrace import ptrace_may_access
from mmscope.kernel.core.sysctl import CtlTable, kern_table, proc_read, proc_write, vm_table
from mmscope.kernel.fs import proc_array, proc_base
from mmscope.kernel.fs.attr import setattr_copy, setattr_prepare
from mmscope.kernel.fs.libfs import generic_read_dir, set_times
from mmscope.kernel.fs.namei import generic_permission
from mmscope.kernel.fs.proc_meminfo import meminfo_proc_show
from mmscope.kernel.fs.proc_misc import (
    cpuinfo_next,
    filesystems_proc_show,
    loadavg_proc_show,
    proc_locks_next,
    proc_mounts_link,
    proc_self,
    proc_thread_self,
    show_stat,
    swaps_proc_show,
    uptime_proc_show,
    version_proc_show,
)
from mmscope.kernel.fs.proc_namespace import show_mountinfo, show_vfsmnt
from mmscope.kernel.fs.proc_page import kpagecount_proc_ops, kpageflags_proc_ops
from mmscope.kernel.fs.read_write import default_llseek, generic_file_llseek, noop_llseek
from mmscope.kernel.fs.seq_file import SeqFile, seq_lseek, seq_read
from mmscope.kernel.include.capability import CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN
from mmscope.kernel.include.errno import EACCES, EINVAL, EIO, ENOENT, EPERM, ESRCH, KernelError
from mmscope.kernel.include.fs import (
    ATTR_MODE,
    FMODE_READ,
    FMODE_UNSIGNED_OFFSET,
    FMODE_WRITE,
    MAX_NON_LFS,
    S_IFDIR,
    S_IFLNK,
    S_IFREG,
    SB_I_NOEXEC,
    Dentry,
    File,
    FileOperations,
    Iattr,
    Inode,
    InodeOperations,
    SuperBlock,
)
from mmscope.kernel.mm.vmstat import frag_show, vmstat_show, zoneinfo_show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import TaskStruct

PROC_ROOT_INO: Final = 1
PROC_DYNAMIC_FIRST: Final = 0xF0000000

#: The kinds of entry.
DIR: Final = 0
FILE: Final = 1
RECORDS: Final = 2
LINK: Final = 3
TEXT_LINK: Final = 4


class ProcEntry:
    """struct proc_dir_entry, pid_entry or ctl_table_header: a name of procfs and what makes its content."""

    def __init__(
        self,
        name: str,
        kind: int,
        mode: int,
        text: Callable[[Kernel, TaskStruct], bytes] | None = None,
        next: Callable[[Kernel, TaskStruct, int], tuple[bytes, int] | None] | None = None,
        link: Callable[[Kernel, TaskStruct], Dentry] | None = None,
        children: tuple[ProcEntry, ...] = (),
        mm_text: Callable[[MmStruct | None], bytes] | None = None,
        mm_next: Callable[[MmStruct, int], tuple[bytes, int] | None] | None = None,
        write: Callable[[Kernel, TaskStruct, bytes], int] | None = None,
        fops: FileOperations | None = None,
        ctl: CtlTable | None = None,
        secret: bool = False,
        llseek: Callable[[File, int, int], int] = seq_lseek,
    ) -> None:
        self.name = name
        self.llseek = llseek
        self.kind = kind
        self.mode = mode
        #: FILE: the whole text; TEXT_LINK: the target.
        self.text = text
        #: RECORDS: the record at an index, and the next index.
        self.next = next
        #: LINK: where the magic link leads.
        self.link = link
        self.children = children
        #: The same two of the address space that the task had when the file was opened.
        self.mm_text = mm_text
        self.mm_next = mm_next
        #: FILE: what a write does; None = EINVAL for a file about a task, EIO for others.
        self.write = write
        #: Operations of its own.
        self.fops = fops
        #: A sysctl.
        self.ctl = ctl
        #: Can be read by those only who may look into the process.
        self.secret = secret


class ProcInode:
    """struct proc_inode, i_private: the entry, the task that it is about (None: the machine), the descriptor of fd/N."""

    def __init__(self, entry: ProcEntry, task: TaskStruct | None, parent: Inode | None, fd: int = -1, name: str = "") -> None:
        self.entry = entry
        self.task = task
        self.parent = parent
        self.fd = fd
        #: The name in map_files/.
        self.name = name


class ProcShow:
    """What a SeqFile calls: binds the inode, and the address space held since the open, to the record functions."""

    def __init__(self, k: Kernel, data: ProcInode, priv: proc_base.ProcMmPrivate | None) -> None:
        self.k = k
        self.data = data
        self.priv = priv

    def show(self, index: int) -> tuple[bytes, int] | None:
        """The record at `index`."""
        entry = self.data.entry
        task = self.data.task if self.data.task is not None else self.k.current
        if self.data.fd >= 0:
            return (proc_base.proc_fdinfo(self.k, task, self.data.fd), 1) if index == 0 else None
        if entry.mm_next is not None:
            assert self.priv is not None
            if not proc_base.task_alive(self.k, task):
                raise KernelError(ESRCH)
            mm = self.priv.mm
            return entry.mm_next(mm, index) if mm is not None and mm.mm_users else None
        if entry.next is not None:
            return entry.next(self.k, task, index)
        if index:
            return None
        if self.data.task is not None and entry.name not in ("environ", "auxv") and not proc_base.task_alive(self.k, task):
            raise KernelError(ESRCH)
        if entry.mm_text is not None:
            assert self.priv is not None
            return entry.mm_text(self.priv.mm), 1
        if entry.secret and not ptrace_may_access(self.k, task):
            raise KernelError(EPERM)
        assert entry.text is not None
        return entry.text(self.k, task), 1


class ProcSeqFile(SeqFile):
    """A SeqFile that holds on to an address space."""

    def __init__(self, show: ProcShow) -> None:
        super().__init__(show.show)
        self.priv = show.priv


def proc_data(inode: Inode) -> ProcInode:
    """PROC_I(inode)."""
    data = inode.i_private
    assert isinstance(data, ProcInode)
    return data


def proc_open(inode: Inode, file: File) -> None:
    """Begin a sequential read."""
    data = proc_data(inode)
    entry = data.entry
    k = inode.i_sb.kernel
    priv = None
    if entry.mm_next is not None or entry.mm_text is not None:
        assert data.task is not None
        priv = proc_base.proc_mem_open(k, data.task, entry.mm_next is not None)
    elif entry.next in (show_vfsmnt, show_mountinfo) and data.task is not None and data.task.fs is None:
        # A dead task is in no namespace.
        raise KernelError(EINVAL)
    file.private_data = ProcSeqFile(ProcShow(k, data, priv))


def proc_release(inode: Inode, file: File) -> None:
    """The last close."""
    m = file.private_data
    if isinstance(m, ProcSeqFile) and m.priv is not None:
        proc_base.proc_mem_release(m.priv)


def proc_mem_file_open(inode: Inode, file: File) -> None:
    """Open mem or pagemap."""
    data = proc_data(inode)
    assert data.task is not None
    file.private_data = proc_base.proc_mem_open(inode.i_sb.kernel, data.task)
    if data.entry.fops is proc_mem_operations:
        file.f_mode |= FMODE_UNSIGNED_OFFSET


def proc_pid_write(file: File, data: bytes, pos: int) -> int:
    """A write to a file about a task."""
    inode = file.f_inode
    info = proc_data(inode)
    assert info.task is not None
    assert info.entry.write is not None
    return info.entry.write(inode.i_sb.kernel, info.task, data)


def proc_reg_write(file: File, data: bytes, pos: int) -> int:
    """Files about the machine are for reading."""
    raise KernelError(EIO)


def proc_sys_open(inode: Inode, file: File) -> None:
    """A sysctl's mode binds root too."""
    want = (4 if file.f_mode & FMODE_READ else 0) | (2 if file.f_mode & FMODE_WRITE else 0)
    ctl = proc_data(inode).entry.ctl
    assert ctl is not None
    cred = inode.i_sb.kernel.current.cred
    mode = ctl.mode
    if cred.euid == 0:
        mode >>= 6
    elif cred.egid == 0 or 0 in cred.groups:
        mode >>= 3
    if want & ~mode:
        raise KernelError(EACCES)


def proc_sys_read(file: File, count: int, pos: int) -> bytes:
    """Read a sysctl."""
    ctl = proc_data(file.f_inode).entry.ctl
    assert ctl is not None
    return proc_read(file.f_inode.i_sb.kernel, ctl, count, pos)


def proc_sys_write(file: File, data: bytes, pos: int) -> int:
    """Write a sysctl."""
    ctl = proc_data(file.f_inode).entry.ctl
    assert ctl is not None
    return proc_write(file.f_inode.i_sb.kernel, ctl, data, pos)


def proc_file_operations(entry: ProcEntry, task: TaskStruct | None) -> FileOperations:
    """The table for a regular file."""
    if entry.fops is not None:
        return entry.fops
    if entry.ctl is not None:
        return proc_sys_file_operations
    if task is None:
        return proc_reg_file_ops if entry.name in ("swaps", "shm") else proc_iter_file_ops
    if entry.next is show_vfsmnt or entry.next is show_mountinfo:
        return proc_mounts_operations
    if entry.text is None and entry.next is None and entry.mm_text is None and entry.mm_next is None and entry.write is not None:
        return proc_clear_refs_operations
    return proc_pid_rw_operations if entry.write is not None else proc_pid_operations


def proc_make_inode(
    sb: SuperBlock, parent: Inode | None, entry: ProcEntry, task: TaskStruct | None, ino: int, fd: int = -1, name: str = ""
) -> Inode:
    """A new inode for an entry; entries about a task belong to its user."""
    kind = S_IFDIR if entry.kind == DIR else S_IFLNK if entry.kind in (LINK, TEXT_LINK) else S_IFREG
    mode = entry.mode
    if entry is _FDINFO_DIR and sb.kernel.config.at_least(5, 14):
        mode = 0o555
    inode = Inode(sb, ino, kind | mode)
    inode.i_private = ProcInode(entry, task, parent, fd, name)
    inode.i_blksize = 1024
    set_times(inode)
    # task_dump_owner(): what is in a process that must not be looked at is root's, all but its directory.
    if task is not None and (entry is _TGID or task.dumpable == 1):
        inode.i_uid = task.cred.euid
        inode.i_gid = task.cred.egid
    if kind == S_IFDIR:
        inode.i_op = proc_dir_inode_operations
        if entry in (_FD_DIR, _FDINFO_DIR, _MAP_FILES_DIR):
            inode.i_op = proc_fd_inode_operations
        inode.i_fop = proc_dir_operations
        inode.i_nlink = 2
    elif entry.kind == LINK:
        inode.i_op = proc_map_files_link_inode_operations if name else proc_pid_link_inode_operations
        inode.i_size = 64 if fd >= 0 or name else 0  # exe, cwd and root have none
    elif entry.kind == TEXT_LINK:
        inode.i_op = proc_self_inode_operations
    else:
        inode.i_op = proc_file_inode_operations
        inode.i_fop = proc_file_operations(entry, task)
    return inode


def is_tgid_dir(data: ProcInode) -> bool:
    """/proc/PID itself."""
    return data.entry is _TGID


def _child_ino(dir: Inode, position: int) -> int:
    """An inode number that depends on nothing but the place in the tree."""
    data = proc_data(dir)
    if data.task is None:
        return PROC_DYNAMIC_FIRST + (dir.i_ino & 0xFFFF) * 64 + position + 1
    return (dir.i_ino << 10) + position + 1


def proc_lookup(dir: Inode, name: str) -> Inode | None:
    """An entry of any procfs directory."""
    data = proc_data(dir)
    sb = dir.i_sb
    k = sb.kernel
    entry = data.entry
    if data.task is not None and not proc_base.task_alive(k, data.task):
        return None
    if entry in (_FD_DIR, _FDINFO_DIR):
        return proc_lookupfd(dir, name)
    if entry is _MAP_FILES_DIR:
        return proc_map_files_lookup(dir, name)
    if entry is _TASK_DIR:
        return proc_task_lookup(dir, name)
    for position, child in enumerate(entry.children):
        if child.name == name:
            if child in (_SELF, _THREAD_SELF) and k.current.pid not in k.tasks:
                return None
            return proc_make_inode(sb, dir, child, data.task, _child_ino(dir, position))
    if entry is _ROOT and name.isascii() and name.isdigit() and not name.startswith("0"):
        task = k.tasks.get(int(name))
        if task is not None:
            return proc_make_inode(sb, dir, _TGID, task, task.pid << 16)
    return None


def proc_lookupfd(dir: Inode, name: str) -> Inode | None:
    """fd/N and fdinfo/N."""
    data = proc_data(dir)
    if data.task is None or data.task.files is None or not name.isascii() or not name.isdigit():
        return None
    if name != "0" and name.startswith("0"):
        return None
    fd = int(name)
    file = data.task.files.fd.get(fd)
    if file is None:
        return None
    if data.entry is _FDINFO_DIR:
        return proc_make_inode(dir.i_sb, dir, _FDINFO_FILE, data.task, (dir.i_ino << 10) + fd, fd)
    inode = proc_make_inode(dir.i_sb, dir, _FD_LINK, data.task, (dir.i_ino << 10) + fd, fd)
    inode.i_mode = S_IFLNK | proc_base.fd_link_mode(file)
    return inode


def proc_map_files_lookup(dir: Inode, name: str) -> Inode | None:
    """map_files/START-END."""
    data = proc_data(dir)
    assert data.task is not None
    start, end = proc_base.dname_to_vma_addr(name)
    file = proc_base.map_files_vma(dir.i_sb.kernel, data.task, start, end)
    inode = proc_make_inode(dir.i_sb, dir, _MAP_FILES_LINK, data.task, (data.task.pid << 36) + (start >> 12), name=name)
    inode.i_mode = S_IFLNK | proc_base.map_files_mode(file)
    return inode


def proc_task_lookup(dir: Inode, name: str) -> Inode | None:
    """task/TID: a thread of the process."""
    data = proc_data(dir)
    assert data.task is not None
    if not name.isascii() or not name.isdigit() or name.startswith("0"):
        return None
    task = dir.i_sb.kernel.tasks.get(int(name))
    if task is None or task.tgid != data.task.tgid:
        return None
    return proc_make_inode(dir.i_sb, dir, _TID, task, (task.pid << 16) | 0x8000)


def proc_readdir(file: File) -> list[tuple[str, int, int]]:
    """The names of a procfs directory."""
    dir = file.f_inode
    data = proc_data(dir)
    k = dir.i_sb.kernel
    if data.task is not None and not proc_base.task_alive(k, data.task):
        raise KernelError(ENOENT)
    parent = data.parent if data.parent is not None else dir
    out = [(".", dir.i_ino, 4), ("..", parent.i_ino, 4)]
    if data.entry in (_FD_DIR, _FDINFO_DIR):
        kind = 10 if data.entry is _FD_DIR else 8
        if data.task is not None and data.task.files is not None:
            for fd in sorted(data.task.files.fd):
                out.append((str(fd), (dir.i_ino << 10) + fd, kind))
        return out
    if data.entry is _MAP_FILES_DIR:
        assert data.task is not None
        for name in proc_base.map_files_names(k, data.task):
            out.append((name, (data.task.pid << 36) + (int(name.partition("-")[0], 16) >> 12), 10))
        return out
    if data.entry is _TASK_DIR:
        assert data.task is not None
        for task in k.tasks.values():
            if task.tgid == data.task.tgid:
                out.append((str(task.pid), (task.pid << 16) | 0x8000, 4))
        return out
    for position, child in enumerate(data.entry.children):
        kind = 4 if child.kind == DIR else 10 if child.kind in (LINK, TEXT_LINK) else 8
        out.append((child.name, _child_ino(dir, position), kind))
    if data.entry is _ROOT:
        for pid in sorted(k.tasks):
            if k.tasks[pid].tgid == pid:
                out.append((str(pid), pid << 16, 4))
    return out


def proc_pid_get_link(inode: Inode) -> Dentry:
    """Where a magic link leads: the business of who may look into the process."""
    data = proc_data(inode)
    task = data.task
    assert task is not None
    if not ptrace_may_access(inode.i_sb.kernel, task):
        raise KernelError(EACCES)
    if data.fd >= 0:
        files = task.files
        file = files.fd.get(data.fd) if files is not None else None
        if file is None:
            raise KernelError(ENOENT)
        return file.f_dentry
    if data.name:
        k = inode.i_sb.kernel
        start, end = proc_base.dname_to_vma_addr(data.name)
        return proc_base.map_files_vma(k, task, start, end).f_dentry
    assert data.entry.link is not None
    return data.entry.link(inode.i_sb.kernel, task)


def proc_map_files_get_link(inode: Inode) -> Dentry:
    """Following such a link passes by the permissions of the path: for the administrator only."""
    k = inode.i_sb.kernel
    if not capable(k, CAP_SYS_ADMIN) and not capable(k, CAP_CHECKPOINT_RESTORE):
        raise KernelError(EPERM)
    return proc_pid_get_link(inode)


def proc_pid_readlink(inode: Inode) -> str:
    """Its text."""
    return proc_base.link_text(inode.i_sb.kernel, proc_pid_get_link(inode))


def proc_text_get_link(inode: Inode) -> str:
    """An ordinary symbolic link: /proc/self."""
    data = proc_data(inode)
    k = inode.i_sb.kernel
    assert data.entry.text is not None
    return data.entry.text(k, k.current).decode()


def proc_setattr(inode: Inode, attr: Iattr) -> None:
    """i_op->setattr: an owner and times for as long as the inode lives, no mode; a size is nobody's business."""
    if attr.ia_valid & ATTR_MODE:
        raise KernelError(EPERM)
    setattr_prepare(inode, attr)
    setattr_copy(inode, attr)


proc_dir_inode_operations: Final = InodeOperations("proc_dir_inode_operations", lookup=proc_lookup, setattr=proc_setattr)


def proc_fd_permission(inode: Inode, mask: int) -> None:
    """A process gets at its own descriptors, whoever owns the directory."""
    k = inode.i_sb.kernel
    try:
        generic_permission(k.current.cred, inode, mask)
    except KernelError:
        task = proc_data(inode).task
        if task is None or task.tgid != k.current.tgid:
            raise


def proc_fd_getattr(inode: Inode) -> None:
    """Since 6.2 (commit unknown) the size of fd/ says how many there are."""
    task = proc_data(inode).task
    if proc_data(inode).entry is _FD_DIR and inode.i_sb.kernel.config.at_least(6, 2):
        inode.i_size = len(task.files.fd) if task is not None and task.files is not None else 0


proc_fd_inode_operations: Final = InodeOperations(
    "proc_fd_inode_operations", lookup=proc_lookup, setattr=proc_setattr, permission=proc_fd_permission, getattr=proc_fd_getattr
)
proc_file_inode_operations: Final = InodeOperations("proc_file_inode_operations", setattr=proc_setattr)
proc_dir_operations: Final = FileOperations("proc_dir_operations", read=generic_read_dir, iterate=proc_readdir)


def proc_pid_lseek(file: File, offset: int, whence: int) -> int:
    """As the entry has it."""
    return proc_data(file.f_inode).entry.llseek(file, offset, whence)


proc_reg_file_ops: Final = FileOperations(
    "proc_reg_file_ops", llseek=seq_lseek, read=seq_read, write=proc_reg_write, open=proc_open
)
#: These two can be spliced.
proc_iter_file_ops: Final = FileOperations(
    "proc_iter_file_ops", llseek=seq_lseek, read=seq_read, write=proc_reg_write, open=proc_open
)
proc_mounts_operations: Final = FileOperations(
    "proc_mounts_operations", llseek=seq_lseek, read=seq_read, open=proc_open, release=proc_release
)
proc_pid_operations: Final = FileOperations(
    "proc_pid_operations", llseek=proc_pid_lseek, read=seq_read, open=proc_open, release=proc_release
)
proc_pid_rw_operations: Final = FileOperations(
    "proc_pid_rw_operations",
    llseek=proc_pid_lseek,
    read=seq_read,
    write=proc_pid_write,
    open=proc_open,
    release=proc_release,
    all_or_fault=True,
)
proc_clear_refs_operations: Final = FileOperations(
    "proc_clear_refs_operations", llseek=noop_llseek, write=proc_pid_write, all_or_fault=True
)
proc_mem_operations: Final = FileOperations(
    "proc_mem_operations", llseek=proc_base.mem_lseek, read=proc_base.mem_read, write=proc_base.mem_write,
    open=proc_mem_file_open, release=proc_base.mem_release, all_or_fault=True)  # fmt: skip
proc_pagemap_operations: Final = FileOperations(
    "proc_pagemap_operations", unlocked_ioctl=proc_base.do_pagemap_cmd, llseek=proc_base.mem_lseek,
    read=proc_base.pagemap_file_read, open=proc_mem_file_open, release=proc_base.mem_release, all_or_fault=True)  # fmt: skip
proc_sys_file_operations: Final = FileOperations(
    "proc_sys_file_operations", read=proc_sys_read, write=proc_sys_write, open=proc_sys_open, all_or_fault=True
)
proc_map_files_link_inode_operations: Final = InodeOperations(
    "proc_map_files_link_inode_operations", get_link=proc_pid_readlink, jump_link=proc_map_files_get_link, setattr=proc_setattr
)
proc_pid_link_inode_operations: Final = InodeOperations(
    "proc_pid_link_inode_operations", get_link=proc_pid_readlink, jump_link=proc_pid_get_link, setattr=proc_setattr
)
proc_self_inode_operations: Final = InodeOperations("proc_self_inode_operations", get_link=proc_text_get_link)


def sysvipc_proc_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """A line of sysvipc/shm."""
    # Imported here: most programs have no segments.
    import mmscope.kernel.ipc.shm as ipc_shm

    return ipc_shm.sysvipc_shm_proc_show(k, task, index)


_FD_LINK: Final = ProcEntry("", LINK, 0o700)
_FDINFO_FILE: Final = ProcEntry("", FILE, 0o400)
_FD_DIR: Final = ProcEntry("fd", DIR, 0o500)
_FDINFO_DIR: Final = ProcEntry("fdinfo", DIR, 0o500)
_MAP_FILES_DIR: Final = ProcEntry("map_files", DIR, 0o500)
_MAP_FILES_LINK: Final = ProcEntry("", LINK, 0o700)
#: tid_base_stuff[]: what processes and threads have in common, in readdir's order but for the directories.
_TID_BASE: Final = (
    ProcEntry("environ", FILE, 0o400, mm_text=proc_base.environ_text, llseek=generic_file_llseek),
    ProcEntry("auxv", FILE, 0o400, mm_text=proc_base.auxv_text, llseek=generic_file_llseek),
    ProcEntry("status", FILE, 0o444, proc_array.proc_pid_status),
    ProcEntry("personality", FILE, 0o400, proc_base.proc_pid_personality, secret=True),
    ProcEntry("limits", FILE, 0o444, proc_array.proc_pid_limits),
    ProcEntry("comm", FILE, 0o644, proc_base.proc_pid_comm, write=proc_base.comm_write),
    ProcEntry("cmdline", FILE, 0o444, proc_base.proc_pid_cmdline, llseek=generic_file_llseek),
    ProcEntry("stat", FILE, 0o444, proc_array.proc_tgid_stat),
    ProcEntry("statm", FILE, 0o444, proc_array.proc_pid_statm),
    ProcEntry("maps", RECORDS, 0o444, mm_next=proc_base.pid_maps_next),
    ProcEntry("mem", FILE, 0o600, fops=proc_mem_operations),
    ProcEntry("cwd", LINK, 0o777, link=proc_base.proc_cwd_link),
    ProcEntry("root", LINK, 0o777, link=proc_base.proc_root_link),
    ProcEntry("exe", LINK, 0o777, link=proc_base.proc_exe_link),
    ProcEntry("mounts", RECORDS, 0o444, next=show_vfsmnt),
    ProcEntry("mountinfo", RECORDS, 0o444, next=show_mountinfo),
    ProcEntry("clear_refs", FILE, 0o200, write=proc_base.clear_refs_write),
    ProcEntry("smaps", RECORDS, 0o444, mm_next=proc_base.pid_smaps_next),
    ProcEntry("smaps_rollup", FILE, 0o444, mm_text=proc_base.pid_smaps_rollup),
    ProcEntry("pagemap", FILE, 0o400, fops=proc_pagemap_operations),
    ProcEntry("oom_score", FILE, 0o444, proc_base.proc_oom_score),
    ProcEntry("oom_adj", FILE, 0o644, proc_base.oom_adj_read, write=proc_base.oom_adj_write, llseek=generic_file_llseek),
    ProcEntry(
        "oom_score_adj", FILE, 0o644, proc_base.oom_score_adj_read, write=proc_base.oom_score_adj_write, llseek=default_llseek
    ),
)
_TID_STAT: Final = ProcEntry("stat", FILE, 0o444, proc_array.proc_tid_stat)
_CHILDREN: Final = ProcEntry("children", RECORDS, 0o444, next=proc_array.children_next)
#: A thread has its own stat, and children behind maps.
_TID_ONLY: Final = tuple(
    each
    for entry in _TID_BASE
    for each in ((_TID_STAT,) if entry.name == "stat" else (entry, _CHILDREN) if entry.name == "maps" else (entry,))
)
_TID: Final = ProcEntry("", DIR, 0o555, children=(_FD_DIR, _FDINFO_DIR, *_TID_ONLY))
_TASK_DIR: Final = ProcEntry("task", DIR, 0o555)
_TGID: Final = ProcEntry("", DIR, 0o555, children=(_TASK_DIR, _FD_DIR, _MAP_FILES_DIR, _FDINFO_DIR, *_TID_BASE))
_SELF: Final = ProcEntry("self", TEXT_LINK, 0o777, proc_self)
_THREAD_SELF: Final = ProcEntry("thread-self", TEXT_LINK, 0o777, proc_thread_self)


def _sysctl_dir(name: str, tables: tuple[CtlTable, ...]) -> ProcEntry:
    """A directory of /proc/sys."""
    return ProcEntry(name, DIR, 0o555, children=tuple([ProcEntry(t.procname, FILE, t.mode, ctl=t) for t in tables]))


_ROOT: Final = ProcEntry("", DIR, 0o555, children=(
    ProcEntry("buddyinfo", FILE, 0o444, frag_show),
    ProcEntry("cpuinfo", RECORDS, 0o444, next=cpuinfo_next),
    ProcEntry("filesystems", FILE, 0o444, filesystems_proc_show),
    ProcEntry("kpagecount", FILE, 0o400, fops=kpagecount_proc_ops),
    ProcEntry("kpageflags", FILE, 0o400, fops=kpageflags_proc_ops),
    ProcEntry("loadavg", FILE, 0o444, loadavg_proc_show),
    ProcEntry("locks", RECORDS, 0o444, next=proc_locks_next),
    ProcEntry("meminfo", FILE, 0o444, meminfo_proc_show),
    ProcEntry("mounts", TEXT_LINK, 0o777, proc_mounts_link),
    _SELF,
    ProcEntry("stat", FILE, 0o444, show_stat),
    ProcEntry("swaps", FILE, 0o444, swaps_proc_show),
    ProcEntry("sysvipc", DIR, 0o555, children=(ProcEntry("shm", RECORDS, 0o444, next=sysvipc_proc_next),)),
    ProcEntry("sys", DIR, 0o555, children=(_sysctl_dir("kernel", kern_table), _sysctl_dir("vm", vm_table))),
    _THREAD_SELF,
    ProcEntry("uptime", FILE, 0o444, uptime_proc_show),
    ProcEntry("version", FILE, 0o444, version_proc_show),
    ProcEntry("vmstat", FILE, 0o444, vmstat_show),
    ProcEntry("zoneinfo", FILE, 0o444, zoneinfo_show),
))  # fmt: skip


def proc_init(k: Kernel, minor: int) -> SuperBlock:
    """The super block of /proc."""
    sb = SuperBlock(k, "proc", minor)
    sb.s_iflags = SB_I_NOEXEC
    sb.s_maxbytes = MAX_NON_LFS
    root = proc_make_inode(sb, None, _ROOT, None, PROC_ROOT_INO)
    sb.s_root = Dentry(sb, "/", None, root)
    return sb
