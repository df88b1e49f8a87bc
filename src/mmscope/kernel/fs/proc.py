# SPDX-License-Identifier: GPL-2.0-or-later
"""procfs (fs/proc/generic.c, root.c, meminfo.c, ...): its directories, and the files about the whole machine."""

from __future__ import annotations

import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.fs import proc_base
from mmscope.kernel.fs.libfs import generic_read_dir, set_times
from mmscope.kernel.fs.seq_file import SeqFile, seq_lseek, seq_read
from mmscope.kernel.include.errno import EACCES, ENOENT, KernelError
from mmscope.kernel.include.fs import S_IFDIR, S_IFLNK, S_IFREG, Dentry, File, FileOperations, Inode, InodeOperations, SuperBlock
from mmscope.kernel.mm import vmstat
from mmscope.kernel.mm.page_alloc import nr_free_pages, totalram_pages
from mmscope.kernel.mm.util import vm_commit_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
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
    """struct proc_dir_entry / pid_entry: a name of procfs and what makes its content."""

    def __init__(
        self,
        name: str,
        kind: int,
        mode: int,
        text: Callable[[Kernel, TaskStruct], bytes] | None = None,
        next: Callable[[Kernel, TaskStruct, int], tuple[bytes, int] | None] | None = None,
        link: Callable[[Kernel, TaskStruct], Dentry] | None = None,
        children: tuple[ProcEntry, ...] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        #: FILE: the whole text; TEXT_LINK: the target.
        self.text = text
        #: RECORDS: the record at an index, and the next index.
        self.next = next
        #: LINK: where the magic link leads.
        self.link = link
        self.children = children


class ProcInode:
    """struct proc_inode, i_private: the entry, the task that it is about (None: the machine), the descriptor of fd/N."""

    def __init__(self, entry: ProcEntry, task: TaskStruct | None, parent: Inode | None, fd: int = -1) -> None:
        self.entry = entry
        self.task = task
        self.parent = parent
        self.fd = fd


class ProcShow:
    """What a SeqFile calls: binds the inode to the record functions."""

    def __init__(self, k: Kernel, data: ProcInode) -> None:
        self.k = k
        self.data = data

    def show(self, index: int) -> tuple[bytes, int] | None:
        """The record at `index`."""
        entry = self.data.entry
        task = self.data.task if self.data.task is not None else self.k.current
        if self.data.fd >= 0:
            return (proc_base.proc_fdinfo(self.k, task, self.data.fd), 1) if index == 0 else None
        if entry.next is not None:
            return entry.next(self.k, task, index)
        assert entry.text is not None
        return (entry.text(self.k, task), 1) if index == 0 else None


def proc_data(inode: Inode) -> ProcInode:
    """PROC_I(inode)."""
    data = inode.i_private
    assert isinstance(data, ProcInode)
    return data


def proc_open(inode: Inode, file: File) -> None:
    """Begin a sequential read. Nothing in procfs can be written here."""
    if file.f_mode & 0x2:
        raise KernelError(EACCES)
    show = ProcShow(inode.i_sb.kernel, proc_data(inode))
    file.private_data = SeqFile(show.show)


def proc_make_inode(
    sb: SuperBlock, parent: Inode | None, entry: ProcEntry, task: TaskStruct | None, ino: int, fd: int = -1
) -> Inode:
    """A new inode for an entry; entries about a task belong to its user."""
    kind = S_IFDIR if entry.kind == DIR else S_IFLNK if entry.kind in (LINK, TEXT_LINK) else S_IFREG
    inode = Inode(sb, ino, kind | entry.mode)
    inode.i_private = ProcInode(entry, task, parent, fd)
    inode.i_blksize = 1024
    set_times(inode)
    if task is not None:
        inode.i_uid = task.cred.euid
        inode.i_gid = task.cred.egid
    if kind == S_IFDIR:
        inode.i_op = proc_dir_inode_operations
        inode.i_fop = proc_dir_operations
        inode.i_nlink = 2
    elif entry.kind == LINK:
        inode.i_op = proc_pid_link_inode_operations
        inode.i_size = 64 if fd >= 0 else 0  # tid_fd_revalidate(); exe, cwd and root have none
    elif entry.kind == TEXT_LINK:
        inode.i_op = proc_self_inode_operations
    else:
        inode.i_fop = proc_reg_file_ops
    return inode


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
    if entry in (_FD_DIR, _FDINFO_DIR):
        return proc_lookupfd(dir, name)
    for position, child in enumerate(entry.children):
        if child.name == name:
            if child is _SELF and k.current.pid not in k.tasks:
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


def proc_readdir(file: File) -> list[tuple[str, int, int]]:
    """The names of a procfs directory."""
    dir = file.f_inode
    data = proc_data(dir)
    k = dir.i_sb.kernel
    parent = data.parent if data.parent is not None else dir
    out = [(".", dir.i_ino, 4), ("..", parent.i_ino, 4)]
    if data.entry in (_FD_DIR, _FDINFO_DIR):
        kind = 10 if data.entry is _FD_DIR else 8
        if data.task is not None and data.task.files is not None:
            for fd in sorted(data.task.files.fd):
                out.append((str(fd), (dir.i_ino << 10) + fd, kind))
        return out
    for position, child in enumerate(data.entry.children):
        kind = 4 if child.kind == DIR else 10 if child.kind in (LINK, TEXT_LINK) else 8
        out.append((child.name, _child_ino(dir, position), kind))
    if data.entry is _ROOT:
        for pid in sorted(k.tasks):
            out.append((str(pid), pid << 16, 4))
    return out


def proc_pid_get_link(inode: Inode) -> Dentry:
    """Where a magic link leads."""
    data = proc_data(inode)
    task = data.task
    assert task is not None
    if data.fd >= 0:
        files = task.files
        file = files.fd.get(data.fd) if files is not None else None
        if file is None:
            raise KernelError(ENOENT)
        return file.f_dentry
    assert data.entry.link is not None
    return data.entry.link(inode.i_sb.kernel, task)


def proc_pid_readlink(inode: Inode) -> str:
    """Its text."""
    return proc_base.link_text(inode.i_sb.kernel, proc_pid_get_link(inode))


def proc_text_get_link(inode: Inode) -> str:
    """An ordinary symbolic link: /proc/self."""
    data = proc_data(inode)
    k = inode.i_sb.kernel
    assert data.entry.text is not None
    return data.entry.text(k, k.current).decode()


proc_dir_inode_operations: Final = InodeOperations("proc_dir_inode_operations", lookup=proc_lookup)
proc_dir_operations: Final = FileOperations("proc_dir_operations", read=generic_read_dir, iterate=proc_readdir)
proc_reg_file_ops: Final = FileOperations("proc_reg_file_ops", llseek=seq_lseek, read=seq_read, open=proc_open)
proc_pid_link_inode_operations: Final = InodeOperations(
    "proc_pid_link_inode_operations", get_link=proc_pid_readlink, jump_link=proc_pid_get_link
)
proc_self_inode_operations: Final = InodeOperations("proc_self_inode_operations", get_link=proc_text_get_link)


# --- files about the machine


def proc_self(k: Kernel, task: TaskStruct) -> bytes:
    """The target of /proc/self."""
    return str(task.tgid).encode()


def proc_mounts_link(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/mounts -> self/mounts."""
    return b"self/mounts"


def show_vfsmnt(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """A line of mounts."""
    if index >= len(k.vfs.mounts):
        return None
    path, sb, source, options = k.vfs.mounts[index]
    return f"{source} {path} {sb.s_type} {options} 0 0\n".encode(), index + 1


def filesystems_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """The file system types."""
    return b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\n\text4\n"


def meminfo_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Memory in KiB, as far as there is anything to count."""
    stat = k.vmstat.stat
    free = nr_free_pages(k)
    inactive_file = stat[vmstat.NR_ZONE_INACTIVE_FILE]
    active_file = stat[vmstat.NR_ZONE_ACTIVE_FILE]
    inactive_anon = stat[vmstat.NR_ZONE_INACTIVE_ANON]
    active_anon = stat[vmstat.NR_ZONE_ACTIVE_ANON]
    lines = [
        ("MemTotal", totalram_pages(k)),
        ("MemFree", free),
        ("MemAvailable", free + inactive_file + active_file),
        ("Buffers", 0),
        ("Cached", stat[vmstat.NR_FILE_PAGES]),
        ("SwapCached", 0),
        ("Active", active_anon + active_file),
        ("Inactive", inactive_anon + inactive_file),
        ("Active(anon)", active_anon),
        ("Inactive(anon)", inactive_anon),
        ("Active(file)", active_file),
        ("Inactive(file)", inactive_file),
        ("Unevictable", stat[vmstat.NR_ZONE_UNEVICTABLE]),
        ("Mlocked", stat[vmstat.NR_MLOCK]),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", stat[vmstat.NR_FILE_DIRTY]),
        ("Writeback", stat[vmstat.NR_WRITEBACK]),
        ("AnonPages", stat[vmstat.NR_ANON_MAPPED]),
        ("Mapped", stat[vmstat.NR_FILE_MAPPED]),
        ("Shmem", stat[vmstat.NR_SHMEM]),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", stat[vmstat.NR_KERNEL_STACK_KB] >> 2),
        ("PageTables", stat[vmstat.NR_PAGETABLE]),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", vm_commit_limit(k)),
        ("Committed_AS", k.vm_committed_as),
        ("VmallocTotal", (1 << 45) >> 12),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("Percpu", 0),
    ]
    return "".join([f"{name + ':':15} {pages << 2:8d} kB\n" for name, pages in lines]).encode()


#: CPUID(1) of the engine's Nehalem as Linux names its bits.
_CPU_FLAGS: Final = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall nx lm "
    "constant_tsc nopl cpuid pni ssse3 cx16 sse4_1 sse4_2 popcnt hypervisor lahf_lm"
)


def cpuinfo_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """The only processor."""
    if index:
        return None
    lines = [
        "processor\t: 0", "vendor_id\t: GenuineIntel", "cpu family\t: 6", "model\t\t: 26",
        "model name\t: Intel Core i7 9xx (Nehalem Class Core i7)", "stepping\t: 3", "cpu MHz\t\t: 1000.000",
        "cache size\t: 16384 KB", "physical id\t: 0", "siblings\t: 1", "core id\t\t: 0", "cpu cores\t: 1", "apicid\t\t: 0",
        "initial apicid\t: 0", "fpu\t\t: yes", "fpu_exception\t: yes", "cpuid level\t: 11", "wp\t\t: yes",
        f"flags\t\t: {_CPU_FLAGS}", "bugs\t\t:", "bogomips\t: 2000.00", "clflush size\t: 64", "cache_alignment\t: 64",
        "address sizes\t: 40 bits physical, 48 bits virtual", "power management:", "",
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode(), 1


def uptime_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Seconds since boot, and idle ones."""
    ns = k.timekeeper.ktime_get_ns()
    return f"{ns // 10**9}.{ns % 10**9 // 10**7:02d} 0.00\n".encode()


def loadavg_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Nothing but the process itself runs."""
    return f"0.00 0.00 0.00 1/{len(k.tasks)} {k.last_pid}\n".encode()


def version_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """linux_proc_banner."""
    return f"Linux version {core_sys.UTS_RELEASE} (mmscope) (python) {core_sys.UTS_VERSION}\n".encode()


def show_stat(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/stat: all the time is the process's."""
    ticks = k.timekeeper.ktime_get_ns() // 10_000_000
    cpu = f"{ticks} 0 0 0 0 0 0 0 0 0"
    btime = k.config.boot_time // 1_000_000_000
    return (
        f"cpu  {cpu}\ncpu0 {cpu}\nintr 0\nctxt 0\nbtime {btime}\nprocesses {k.last_pid}\n"
        f"procs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    ).encode()


def _number(value: int) -> bytes:
    return f"{value}\n".encode()


def sys_osrelease(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.osrelease."""
    return f"{core_sys.UTS_RELEASE}\n".encode()


def sys_ostype(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.ostype."""
    return b"Linux\n"


def sys_version(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.version."""
    return f"{core_sys.UTS_VERSION}\n".encode()


def sys_hostname(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.hostname."""
    return f"{k.nodename}\n".encode()


def sys_randomize_va_space(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.randomize_va_space."""
    return _number(k.config.randomize_va_space)


def sys_pid_max(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.pid_max."""
    return _number(32768)


def sys_ngroups_max(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.ngroups_max."""
    return _number(65536)


def sys_cap_last_cap(k: Kernel, task: TaskStruct) -> bytes:
    """kernel.cap_last_cap."""
    return _number(40)


def sys_overcommit_memory(k: Kernel, task: TaskStruct) -> bytes:
    """vm.overcommit_memory."""
    return _number(k.config.sysctl_overcommit_memory)


def sys_overcommit_ratio(k: Kernel, task: TaskStruct) -> bytes:
    """vm.overcommit_ratio."""
    return _number(k.config.sysctl_overcommit_ratio)


def sys_max_map_count(k: Kernel, task: TaskStruct) -> bytes:
    """vm.max_map_count."""
    return _number(k.config.sysctl_max_map_count)


def sys_mmap_min_addr(k: Kernel, task: TaskStruct) -> bytes:
    """vm.mmap_min_addr."""
    return _number(k.config.mmap_min_addr)


def sys_mmap_rnd_bits(k: Kernel, task: TaskStruct) -> bytes:
    """vm.mmap_rnd_bits."""
    return _number(k.config.mmap_rnd_bits)


_FD_LINK: Final = ProcEntry("", LINK, 0o700)
_FDINFO_FILE: Final = ProcEntry("", FILE, 0o400)
_FD_DIR: Final = ProcEntry("fd", DIR, 0o500)
_FDINFO_DIR: Final = ProcEntry("fdinfo", DIR, 0o555)
_TGID: Final = ProcEntry("", DIR, 0o555, children=(
    ProcEntry("auxv", FILE, 0o400, proc_base.proc_pid_auxv),
    ProcEntry("cmdline", FILE, 0o444, proc_base.proc_pid_cmdline),
    ProcEntry("comm", FILE, 0o644, proc_base.proc_pid_comm),
    ProcEntry("cwd", LINK, 0o777, link=proc_base.proc_cwd_link),
    ProcEntry("environ", FILE, 0o400, proc_base.proc_pid_environ),
    ProcEntry("exe", LINK, 0o777, link=proc_base.proc_exe_link),
    _FD_DIR,
    _FDINFO_DIR,
    ProcEntry("limits", FILE, 0o444, proc_base.proc_pid_limits),
    ProcEntry("maps", RECORDS, 0o444, next=proc_base.pid_maps_next),
    ProcEntry("mounts", RECORDS, 0o444, next=show_vfsmnt),
    ProcEntry("oom_score_adj", FILE, 0o644, proc_base.oom_score_adj_read),
    ProcEntry("personality", FILE, 0o400, proc_base.proc_pid_personality),
    ProcEntry("root", LINK, 0o777, link=proc_base.proc_root_link),
    ProcEntry("stat", FILE, 0o444, proc_base.proc_pid_stat),
    ProcEntry("statm", FILE, 0o444, proc_base.proc_pid_statm),
    ProcEntry("status", FILE, 0o444, proc_base.proc_pid_status),
))  # fmt: skip
_SELF: Final = ProcEntry("self", TEXT_LINK, 0o777, proc_self)
_SYS_KERNEL: Final = ProcEntry("kernel", DIR, 0o555, children=(
    ProcEntry("cap_last_cap", FILE, 0o444, sys_cap_last_cap),
    ProcEntry("hostname", FILE, 0o644, sys_hostname),
    ProcEntry("ngroups_max", FILE, 0o444, sys_ngroups_max),
    ProcEntry("osrelease", FILE, 0o444, sys_osrelease),
    ProcEntry("ostype", FILE, 0o444, sys_ostype),
    ProcEntry("pid_max", FILE, 0o644, sys_pid_max),
    ProcEntry("randomize_va_space", FILE, 0o644, sys_randomize_va_space),
    ProcEntry("version", FILE, 0o444, sys_version),
))  # fmt: skip
_SYS_VM: Final = ProcEntry("vm", DIR, 0o555, children=(
    ProcEntry("max_map_count", FILE, 0o644, sys_max_map_count),
    ProcEntry("mmap_min_addr", FILE, 0o644, sys_mmap_min_addr),
    ProcEntry("mmap_rnd_bits", FILE, 0o600, sys_mmap_rnd_bits),
    ProcEntry("overcommit_memory", FILE, 0o644, sys_overcommit_memory),
    ProcEntry("overcommit_ratio", FILE, 0o644, sys_overcommit_ratio),
))  # fmt: skip
_ROOT: Final = ProcEntry("", DIR, 0o555, children=(
    ProcEntry("cpuinfo", RECORDS, 0o444, next=cpuinfo_next),
    ProcEntry("filesystems", FILE, 0o444, filesystems_proc_show),
    ProcEntry("loadavg", FILE, 0o444, loadavg_proc_show),
    ProcEntry("meminfo", FILE, 0o444, meminfo_proc_show),
    ProcEntry("mounts", TEXT_LINK, 0o777, proc_mounts_link),
    _SELF,
    ProcEntry("stat", FILE, 0o444, show_stat),
    ProcEntry("sys", DIR, 0o555, children=(_SYS_KERNEL, _SYS_VM)),
    ProcEntry("uptime", FILE, 0o444, uptime_proc_show),
    ProcEntry("version", FILE, 0o444, version_proc_show),
))  # fmt: skip


def proc_init(k: Kernel, minor: int) -> SuperBlock:
    """The super block of /proc."""
    sb = SuperBlock(k, "proc", minor)
    root = proc_make_inode(sb, None, _ROOT, None, PROC_ROOT_INO)
    sb.s_root = Dentry(sb, "/", None, root)
    return sb
