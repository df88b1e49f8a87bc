# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID (fs/proc/base.c, array.c, fd.c): what a process shows of itself."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import phys_read
from mmscope.kernel.core.sys import task_ppid_nr
from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.task_mmu import maps_next, task_mem, task_statm
from mmscope.kernel.include.capability import CAP_FULL_SET
from mmscope.kernel.include.errno import ENOENT, KernelError
from mmscope.kernel.include.fs import FMODE_READ, FMODE_WRITE, Dentry
from mmscope.kernel.include.mm import FOLL_FORCE
from mmscope.kernel.include.page import PAGE_MASK, PAGE_SIZE
from mmscope.kernel.include.resource import RLIM_INFINITY
from mmscope.kernel.include.sched import __TASK_STOPPED, TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
from mmscope.kernel.include.signal import SIG_DFL, SIG_IGN
from mmscope.kernel.mm.gup import get_user_pages_remote
from mmscope.kernel.mm.memory_unmap import get_mm_rss
from mmscope.kernel.mm.page_alloc import put_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import TaskStruct


def access_remote_vm(mm: MmStruct, addr: int, length: int) -> bytes:
    """The bytes of another address space; what is not mapped ends the read."""
    out = b""
    while length > 0:
        try:
            pages = get_user_pages_remote(mm, addr & PAGE_MASK, 1, FOLL_FORCE)
        except KernelError:
            break
        if not pages:
            break
        offset = addr & ~PAGE_MASK
        n = min(length, PAGE_SIZE - offset)
        out += phys_read(mm.kernel, (pages[0].pfn << 12) + offset, n)
        put_page(pages[0])
        addr += n
        length -= n
    return out


def proc_pid_cmdline(k: Kernel, task: TaskStruct) -> bytes:
    """The arguments, each with its NUL."""
    mm = task.mm
    return b"" if mm is None else access_remote_vm(mm, mm.arg_start, mm.arg_end - mm.arg_start)


def proc_pid_environ(k: Kernel, task: TaskStruct) -> bytes:
    """The environment at the start."""
    mm = task.mm
    return b"" if mm is None else access_remote_vm(mm, mm.env_start, mm.env_end - mm.env_start)


def proc_pid_auxv(k: Kernel, task: TaskStruct) -> bytes:
    """The auxiliary vector with its AT_NULL."""
    mm = task.mm
    if mm is None:
        return b""
    out = b""
    for i in range(0, len(mm.saved_auxv), 2):
        out += mm.saved_auxv[i].to_bytes(8, "little") + mm.saved_auxv[i + 1].to_bytes(8, "little")
        if mm.saved_auxv[i] == 0:
            break
    return out


def proc_pid_comm(k: Kernel, task: TaskStruct) -> bytes:
    """The name of the task."""
    return task.comm.encode("utf-8", "surrogateescape") + b"\n"


def proc_pid_statm(k: Kernel, task: TaskStruct) -> bytes:
    """Memory in pages."""
    return (task_statm(task.mm) if task.mm is not None else "0 0 0 0 0 0 0\n").encode()


def pid_maps_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """The next line of maps."""
    return maps_next(task.mm, index) if task.mm is not None else None


def _state(task: TaskStruct) -> str:
    if task.exit_state:
        return "Z (zombie)"
    if task.state & __TASK_STOPPED:
        return "T (stopped)"
    if task.state & TASK_UNINTERRUPTIBLE:
        return "D (disk sleep)"
    return "S (sleeping)" if task.state & TASK_INTERRUPTIBLE else "R (running)"


def _signal_sets(task: TaskStruct) -> tuple[int, int]:
    """Signals that are ignored, and that have a handler."""
    ignored = caught = 0
    for i, action in enumerate(task.sighand.action):
        if action.sa_handler == SIG_IGN:
            ignored |= 1 << i
        elif action.sa_handler != SIG_DFL:
            caught |= 1 << i
    return ignored, caught


def oom_score_adj_read(k: Kernel, task: TaskStruct) -> bytes:
    """Nobody can change it here."""
    return b"0\n"


def proc_pid_personality(k: Kernel, task: TaskStruct) -> bytes:
    """Eight hex digits."""
    return b"%08x\n" % task.personality


def proc_pid_status(k: Kernel, task: TaskStruct) -> bytes:
    """The process, a line a value."""
    cred = task.cred
    ignored, caught = _signal_sets(task)
    umask = task.fs.umask if task.fs is not None else 0
    # The space at the end has always been there.
    groups = " ".join(str(gid) for gid in cred.groups) + " "
    pgrp, session = task.signal.pgrp, task.signal.session
    lines = [
        f"Name:\t{task.comm}",
        f"Umask:\t{umask:04o}",
        f"State:\t{_state(task)}",
        f"Tgid:\t{task.tgid}",
        "Ngid:\t0",
        f"Pid:\t{task.pid}",
        f"PPid:\t{task_ppid_nr(task)}",
        "TracerPid:\t0",
        f"Uid:\t{cred.uid}\t{cred.euid}\t{cred.suid}\t{cred.fsuid}",
        f"Gid:\t{cred.gid}\t{cred.egid}\t{cred.sgid}\t{cred.fsgid}",
        "FDSize:\t64",
        f"Groups:\t{groups}",
        f"NStgid:\t{task.tgid}",
        f"NSpid:\t{task.pid}",
        f"NSpgid:\t{pgrp}",
        f"NSsid:\t{session}",
    ]
    text = "\n".join(lines) + "\n"
    if task.mm is not None:
        text += task_mem(task.mm) + "CoreDumping:\t0\nTHP_enabled:\t1\n"
    lines = [
        f"Threads:\t{len(task.signal.threads)}",
        f"SigQ:\t0/{_limit(task.signal.rlim[11].rlim_cur, 0)}",
        f"SigPnd:\t{task.pending.signal:016x}",
        f"ShdPnd:\t{task.signal.shared_pending.signal:016x}",
        f"SigBlk:\t{task.blocked:016x}",
        f"SigIgn:\t{ignored:016x}",
        f"SigCgt:\t{caught:016x}",
        f"CapInh:\t{cred.cap_inheritable:016x}",
        f"CapPrm:\t{cred.cap_permitted:016x}",
        f"CapEff:\t{cred.cap_effective:016x}",
        f"CapBnd:\t{CAP_FULL_SET:016x}",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t0",
        "Seccomp:\t0",
        "Seccomp_filters:\t0",
        "Speculation_Store_Bypass:\tvulnerable",
        "Cpus_allowed:\t1",
        "Cpus_allowed_list:\t0",
        "Mems_allowed:\t1",
        "Mems_allowed_list:\t0",
        f"voluntary_ctxt_switches:\t{task.nvcsw}",
        f"nonvoluntary_ctxt_switches:\t{task.nivcsw}",
    ]
    return (text + "\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _limit(value: int, infinite: int) -> int:
    return infinite if value == RLIM_INFINITY else value


def proc_pid_stat(k: Kernel, task: TaskStruct) -> bytes:
    """The 52 fields of proc(5)."""
    mm = task.mm
    vsize = rsslim = rss = 0
    addresses = [0] * 5
    late = [0] * 7
    rsslim = task.signal.rlim[5].rlim_cur
    if mm is not None:
        vsize = mm.total_vm << 12
        rss = get_mm_rss(mm)
        addresses = [mm.start_code, mm.end_code, mm.start_stack, 0, 0]
        late = [mm.start_data, mm.end_data, mm.start_brk, mm.arg_start, mm.arg_end, mm.env_start, mm.env_end]
    ignored, caught = _signal_sets(task)
    state = _state(task)[0]
    fields: list[int | str] = [task.pid, f"({task.comm})", state, task_ppid_nr(task), task.signal.pgrp, task.signal.session]
    fields += [0, -1, task.flags, task.min_flt, 0, task.maj_flt, 0]
    fields += [0, 0, 0, 0, 20, 0, 1, 0, task.start_time // 10_000_000, vsize, rss, rsslim, *addresses]
    fields += [task.pending.signal & 0x7FFFFFFF, task.blocked & 0x7FFFFFFF, ignored & 0x7FFFFFFF, caught & 0x7FFFFFFF]
    fields += [0, 0, 0, 17, 0, 0, 0, 0, 0, 0, *late, task.exit_code]
    return (" ".join(str(field) for field in fields) + "\n").encode("utf-8", "surrogateescape")


#: name, unit, in the order of RLIMIT_*
_LIMITS: Final = (
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
)


def proc_pid_limits(k: Kernel, task: TaskStruct) -> bytes:
    """The resource limits as a table."""
    out = f"{'Limit':25} {'Soft Limit':20} {'Hard Limit':20} {'Units':10}\n"
    for (name, unit), rlim in zip(_LIMITS, task.signal.rlim, strict=True):
        soft = "unlimited" if rlim.rlim_cur == RLIM_INFINITY else str(rlim.rlim_cur)
        hard = "unlimited" if rlim.rlim_max == RLIM_INFINITY else str(rlim.rlim_max)
        out += f"{name:25} {soft:20} {hard:20} "
        out += f"{unit:10}\n" if unit else "\n"
    return out.encode()


def proc_exe_link(k: Kernel, task: TaskStruct) -> Dentry:
    """/proc/PID/exe."""
    if task.mm is None or task.mm.exe_file is None:
        raise KernelError(ENOENT)
    return task.mm.exe_file.f_dentry


def proc_cwd_link(k: Kernel, task: TaskStruct) -> Dentry:
    """/proc/PID/cwd."""
    if task.fs is None:
        raise KernelError(ENOENT)
    return task.fs.pwd


def proc_root_link(k: Kernel, task: TaskStruct) -> Dentry:
    """/proc/PID/root."""
    if task.fs is None:
        raise KernelError(ENOENT)
    return task.fs.root


def fd_link_mode(file: File) -> int:
    """The permission bits of /proc/PID/fd/N show how the file is open."""
    mode = 0o100
    if file.f_mode & FMODE_READ:
        mode |= 0o400
    if file.f_mode & FMODE_WRITE:
        mode |= 0o200
    return mode


def link_text(k: Kernel, dentry: Dentry) -> str:
    """readlink of a magic link."""
    return d_path(k, dentry)


def proc_fdinfo(k: Kernel, task: TaskStruct, fd: int) -> bytes:
    """/proc/PID/fdinfo/N."""
    files = task.files
    file = files.fd.get(fd) if files is not None else None
    if files is None or file is None:
        raise KernelError(ENOENT)
    flags = file.f_flags | (0o2000000 if fd in files.close_on_exec else 0)
    return f"pos:\t{file.f_pos}\nflags:\t0{flags:o}\nmnt_id:\t1\n".encode()
