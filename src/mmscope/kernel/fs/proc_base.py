# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID (fs/proc/base.c, fd.c): what a process shows of itself, and what can be changed there."""

from __future__ import annotations

import mmscope.kernel.core.fork as core_fork
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.ptrace import mm_access, ptrace_may_access
from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.task_mmu import maps_next, show_smaps_rollup, smaps_next
from mmscope.kernel.fs.task_mmu_pagemap import CLEAR_REFS_ALL, CLEAR_REFS_LAST, clear_refs, pagemap_read
from mmscope.kernel.include.capability import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from mmscope.kernel.include.errno import EACCES, EINVAL, EIO, ENOENT, ENOTTY, ERANGE, ESRCH, KernelError
from mmscope.kernel.include.fs import FMODE_READ, FMODE_UNSIGNED_OFFSET, FMODE_WRITE, Dentry, File, Inode
from mmscope.kernel.include.mm import FOLL_ANON, FOLL_FORCE
from mmscope.kernel.mm.memory_access import access_remote_vm, write_remote_vm
from mmscope.kernel.mm.oom_kill import LONG_MIN, OOM_SCORE_ADJ_MIN, oom_badness
from mmscope.kernel.mm.page_alloc import totalram_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import TaskStruct

#: A number written to a file of /proc/PID has at most this many characters, its end included.
PAGEMAP_SCAN: Final = 0xC0606610
PROC_NUMBUF: Final = 13
TASK_COMM_LEN: Final = 16

OOM_SCORE_ADJ_MAX: Final = 1000
#: The old scale: /proc/PID/oom_adj.
OOM_DISABLE: Final = -17
OOM_ADJUST_MIN: Final = -16
OOM_ADJUST_MAX: Final = 15


def task_alive(k: Kernel, task: TaskStruct) -> bool:
    """The task that a file of /proc was opened for has not been reaped (get_proc_task)."""
    return k.tasks.get(task.pid) is task


def _need_task(k: Kernel, task: TaskStruct) -> None:
    if not task_alive(k, task):
        raise KernelError(ESRCH)


def kstrtoint(text: bytes) -> int:
    """strstrip() and kstrtoint(.., 10, ..): one decimal int. Raises EINVAL, ERANGE (lib/kstrtox.c)."""
    # What stands behind a NUL does not count.
    digits = text.partition(b"\0")[0].strip(b" \t\n\v\f\r")
    sign = 1
    if digits[:1] in (b"+", b"-"):
        sign = -1 if digits[:1] == b"-" else 1
        digits = digits[1:]
    if not digits.isdigit():
        raise KernelError(EINVAL)
    value = sign * int(digits)
    if value > 0x7FFFFFFF or value < -0x80000000:
        raise KernelError(ERANGE)
    return value


# --- files about an address space: the one that the task had when they were opened


class ProcMmPrivate:
    """private_data: `mm` with a reference (mm_count), None for a task without one."""

    def __init__(self, mm: MmStruct | None, show_pfn: bool) -> None:
        self.mm = mm
        #: pagemap: who opened it may know frame numbers.
        self.show_pfn = show_pfn


def proc_mem_open(k: Kernel, task: TaskStruct, maps: bool = False) -> ProcMmPrivate:
    """Hold on to the address space of `task`; it may lose its users meanwhile. Raises ESRCH, EACCES.

    A task without one is ESRCH since v6.16, which 6.12 took over, but for maps and smaps; before, files about it are empty.
    """
    _need_task(k, task)
    mm = mm_access(k, task)
    if mm is None and not maps and k.config.at_least(6, 12):
        raise KernelError(ESRCH)
    if mm is not None:
        mm.mm_count += 1
    return ProcMmPrivate(mm, capable(k, CAP_SYS_ADMIN))


def proc_mem_release(priv: ProcMmPrivate) -> None:
    """Let it go."""
    if priv.mm is not None:
        core_fork.mmdrop(priv.mm)
        priv.mm = None


def proc_mm_private(file: File) -> ProcMmPrivate:
    """file->private_data."""
    priv = file.private_data
    assert isinstance(priv, ProcMmPrivate)
    return priv


def mem_release(inode: Inode, file: File) -> None:
    """The last close of mem or pagemap."""
    proc_mem_release(proc_mm_private(file))


def mem_read(file: File, count: int, pos: int) -> bytes:
    """Read memory as the process itself, whatever its rights: EIO if nothing is mapped at the start."""
    mm = proc_mm_private(file).mm
    if mm is None or mm.mm_users == 0 or count == 0:
        return b""
    data = access_remote_vm(mm, pos, count, FOLL_FORCE)
    if not data:
        raise KernelError(EIO)
    return data


def mem_write(file: File, data: bytes, pos: int) -> int:
    """Write memory: private pages are copied even where the process may not write, shared ones are EIO there."""
    mm = proc_mm_private(file).mm
    if mm is None or mm.mm_users == 0 or not data:
        return 0
    done = write_remote_vm(mm, pos, data, FOLL_FORCE)
    if not done:
        raise KernelError(EIO)
    return done


def mem_lseek(file: File, offset: int, whence: int) -> int:
    """Any 64-bit position, also of pagemap; from the end there is none: EINVAL."""
    if whence == 1:
        offset += file.f_pos
    elif whence != 0:
        raise KernelError(EINVAL)
    file.f_pos = offset & 0xFFFFFFFFFFFFFFFF if file.f_mode & FMODE_UNSIGNED_OFFSET else offset
    return file.f_pos


def pagemap_file_read(file: File, count: int, pos: int) -> bytes:
    """Frame numbers only for who may administer the machine."""
    priv = proc_mm_private(file)
    mm = priv.mm
    if mm is None:
        return b""
    return pagemap_read(mm, count, pos, priv.show_pfn)


def do_pagemap_cmd(file: File, cmd: int, arg: int) -> int:
    """Since 6.7 there is PAGEMAP_SCAN, which the model has not, and all others are EINVAL."""
    if cmd == PAGEMAP_SCAN or not file.f_inode.i_sb.kernel.config.at_least(6, 7):
        raise KernelError(ENOTTY)
    raise KernelError(EINVAL)


def pid_maps_next(mm: MmStruct, index: int) -> tuple[bytes, int] | None:
    """The next line of maps."""
    return maps_next(mm, index)


def pid_smaps_next(mm: MmStruct, index: int) -> tuple[bytes, int] | None:
    """The next VMA of smaps."""
    return smaps_next(mm, index)


def pid_smaps_rollup(mm: MmStruct | None) -> bytes:
    """smaps_rollup. Raises ESRCH for a task without memory."""
    if mm is None:
        raise KernelError(ESRCH)
    return show_smaps_rollup(mm)


def environ_text(mm: MmStruct | None) -> bytes:
    """The environment at the start of the program, as it now is in its memory."""
    if mm is None or mm.mm_users == 0 or mm.env_end == 0:
        return b""
    return access_remote_vm(mm, mm.env_start, mm.env_end - mm.env_start, FOLL_ANON)


def auxv_text(mm: MmStruct | None) -> bytes:
    """The auxiliary vector with its AT_NULL, also of a dead task."""
    if mm is None:
        return b""
    out = b""
    for i in range(0, len(mm.saved_auxv), 2):
        out += mm.saved_auxv[i].to_bytes(8, "little") + mm.saved_auxv[i + 1].to_bytes(8, "little")
        if mm.saved_auxv[i] == 0:
            break
    return out


def clear_refs_write(k: Kernel, task: TaskStruct, data: bytes) -> int:
    """/proc/PID/clear_refs: 1 all, 2 anonymous, 3 file pages lose A and PG_referenced; 4 soft-dirty; 5 the RSS peak."""
    data = data[: PROC_NUMBUF - 1]
    type = kstrtoint(data)
    if type < CLEAR_REFS_ALL or type >= CLEAR_REFS_LAST:
        raise KernelError(EINVAL)
    _need_task(k, task)
    if task.mm is not None:
        clear_refs(task.mm, type)
    return len(data)


# --- the others


def proc_pid_cmdline(k: Kernel, task: TaskStruct) -> bytes:
    """The arguments, each with its NUL, as they now are: a program that overwrote the last NUL shows its title instead."""
    mm = task.mm
    if mm is None or mm.env_end == 0:
        return b""
    length = mm.arg_end - mm.arg_start
    if length and access_remote_vm(mm, mm.arg_end - 1, 1, FOLL_ANON) not in (b"\0", b""):
        end = mm.env_end if mm.env_start == mm.arg_end and mm.env_end >= mm.env_start else mm.arg_end
        title = access_remote_vm(mm, mm.arg_start, min(end - mm.arg_start, 4096), FOLL_ANON)
        return title[: title.find(b"\0") + 1] if b"\0" in title else title
    return access_remote_vm(mm, mm.arg_start, length, FOLL_ANON)


def proc_pid_comm(k: Kernel, task: TaskStruct) -> bytes:
    """The name of the task."""
    return task.comm.encode("utf-8", "surrogateescape") + b"\n"


def comm_write(k: Kernel, task: TaskStruct, data: bytes) -> int:
    """A process renames its own threads, at most 15 bytes."""
    if task.tgid != k.current.tgid:
        raise KernelError(EINVAL)
    task.comm = data[: TASK_COMM_LEN - 1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return len(data)


def proc_oom_score(k: Kernel, task: TaskStruct) -> bytes:
    """How likely the OOM killer takes it: 0 to 2000, since v5.9."""
    total = totalram_pages(k)
    badness = oom_badness(task, total)
    points = 0
    if badness != LONG_MIN:
        # C divides towards 0.
        share = abs(badness) * 1000 // total
        points = (1000 + (share if badness >= 0 else -share)) * 2 // 3
    return b"%d\n" % points


def oom_score_adj_read(k: Kernel, task: TaskStruct) -> bytes:
    """-1000 (never killed) to 1000."""
    return b"%d\n" % task.signal.oom_score_adj


def oom_adj_read(k: Kernel, task: TaskStruct) -> bytes:
    """The same on the old scale, -17 to 15."""
    adj = task.signal.oom_score_adj
    if adj == OOM_SCORE_ADJ_MAX:
        return b"%d\n" % OOM_ADJUST_MAX
    value = abs(adj) * -OOM_DISABLE // OOM_SCORE_ADJ_MAX
    return b"%d\n" % (value if adj >= 0 else -value)


def __set_oom_adj(k: Kernel, task: TaskStruct, oom_adj: int, legacy: bool) -> None:
    signal = task.signal
    if legacy:
        if oom_adj < signal.oom_score_adj and not capable(k, CAP_SYS_RESOURCE):
            raise KernelError(EACCES)
        signal.oom_score_adj = oom_adj
        return
    if oom_adj < signal.oom_score_adj_min and not capable(k, CAP_SYS_RESOURCE):
        raise KernelError(EACCES)
    signal.oom_score_adj = oom_adj
    if capable(k, CAP_SYS_RESOURCE):
        signal.oom_score_adj_min = oom_adj


def oom_score_adj_write(k: Kernel, task: TaskStruct, data: bytes) -> int:
    """EINVAL out of range, EACCES for less than root ever allowed."""
    data = data[: PROC_NUMBUF - 1]
    adj = kstrtoint(data)
    if adj < OOM_SCORE_ADJ_MIN or adj > OOM_SCORE_ADJ_MAX:
        raise KernelError(EINVAL)
    _need_task(k, task)
    __set_oom_adj(k, task, adj, False)
    return len(data)


def oom_adj_write(k: Kernel, task: TaskStruct, data: bytes) -> int:
    """The old scale."""
    data = data[: PROC_NUMBUF - 1]
    adj = kstrtoint(data)
    if (adj < OOM_ADJUST_MIN or adj > OOM_ADJUST_MAX) and adj != OOM_DISABLE:
        raise KernelError(EINVAL)
    if adj == OOM_ADJUST_MAX:
        adj = OOM_SCORE_ADJ_MAX
    else:
        scaled = abs(adj) * OOM_SCORE_ADJ_MAX // -OOM_DISABLE
        adj = scaled if adj >= 0 else -scaled
    _need_task(k, task)
    __set_oom_adj(k, task, adj, True)
    return len(data)


def proc_pid_personality(k: Kernel, task: TaskStruct) -> bytes:
    """Eight hex digits."""
    return b"%08x\n" % task.personality


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
    mode = 0
    if file.f_mode & FMODE_READ:
        mode |= 0o500
    if file.f_mode & FMODE_WRITE:
        mode |= 0o300
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
    text = f"pos:\t{file.f_pos}\nflags:\t0{flags:o}\nmnt_id:\t{file.f_inode.i_sb.s_mnt_id}\n"
    if file.f_inode.i_flctx is not None:
        import mmscope.kernel.fs.locks as locks

        text += locks.show_fd_locks(file, files)
    if file.f_op.show_fdinfo is not None:
        text += file.f_op.show_fdinfo(file)
    return text.encode()


# --- map_files


def dname_to_vma_addr(name: str) -> tuple[int, int]:
    """START-END in hex without leading zeros. Raises ENOENT."""
    start, dash, end = name.partition("-")
    if not dash:
        raise KernelError(ENOENT)
    values = []
    for part in (start, end):
        if not part or len(part) > 16 or any(c not in "0123456789abcdef" for c in part) or (part[0] == "0" and len(part) > 1):
            raise KernelError(ENOENT)
        values.append(int(part, 16))
    return values[0], values[1]


def map_files_vma(k: Kernel, task: TaskStruct, start: int, end: int) -> File:
    """The file of the VMA that is exactly [start, end). Raises EACCES, ENOENT."""
    if not ptrace_may_access(k, task):
        raise KernelError(EACCES)
    mm = task.mm
    vma = mm.mmap if mm is not None else None
    while vma is not None and vma.vm_start < start:
        vma = vma.vm_next
    if vma is None or vma.vm_start != start or vma.vm_end != end or vma.vm_file is None:
        raise KernelError(ENOENT)
    return vma.vm_file


def map_files_names(k: Kernel, task: TaskStruct) -> list[str]:
    """The names of the directory: one for each mapping of a file."""
    if not ptrace_may_access(k, task):
        raise KernelError(EACCES)
    names = []
    vma = task.mm.mmap if task.mm is not None else None
    while vma is not None:
        if vma.vm_file is not None:
            names.append(f"{vma.vm_start:x}-{vma.vm_end:x}")
        vma = vma.vm_next
    return names


def map_files_mode(file: File) -> int:
    """The permission bits of such a link."""
    return (0o400 if file.f_mode & FMODE_READ else 0) | (0o200 if file.f_mode & FMODE_WRITE else 0)
