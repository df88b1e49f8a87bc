# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/status, stat and statm (fs/proc/array.c), limits (base.c)."""

from __future__ import annotations

from mmscope.kernel.core.posix_cpu_timers import thread_group_cputime
from mmscope.kernel.core.ptrace import ptrace_may_access
from mmscope.kernel.core.sys import task_ppid_nr
from mmscope.kernel.fs.proc_base import task_alive
from mmscope.kernel.fs.task_mmu import task_mem, task_statm
from mmscope.kernel.include.capability import CAP_FULL_SET
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_RSS, RLIMIT_SIGPENDING
from mmscope.kernel.include.sched import (
    __TASK_STOPPED,
    __TASK_TRACED,
    SIGNAL_STOP_STOPPED,
    TASK_INTERRUPTIBLE,
    TASK_UNINTERRUPTIBLE,
)
from mmscope.kernel.include.signal import SIG_DFL, SIG_IGN
from mmscope.kernel.mm.memory_rss import get_mm_rss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

#: A clock tick of USER_HZ, ns.
_TICK_NS: Final = 10_000_000


def _state(task: TaskStruct) -> str:
    if task.exit_state:
        return "Z (zombie)"
    if task.state & __TASK_STOPPED:
        return "T (stopped)"
    if task.state & __TASK_TRACED:
        return "t (tracing stop)"
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


def proc_task_name(task: TaskStruct, escape: bool) -> str:
    """The name of the task; with `escape` newlines and backslashes as in C."""
    return task.comm.replace("\\", "\\\\").replace("\n", "\\n") if escape else task.comm


def get_nr_threads(k: Kernel, task: TaskStruct) -> int:
    """Threads of the task's process (include/linux/sched/signal.h)."""
    return sum([1 for other in k.tasks.values() if other.tgid == task.tgid])


def task_state(k: Kernel, task: TaskStruct) -> str:
    """Who the process is."""
    cred = task.cred
    umask = "" if task.fs is None else f"Umask:\t{task.fs.umask:04o}\n"
    # The space at the end has always been there.
    groups = " ".join([str(gid) for gid in cred.groups]) + " "
    pgrp, session = task.signal.pgrp, task.signal.session
    tracer = task.parent.pid if task.ptrace and task.parent is not None else 0
    kthread = "Kthread:\t0\n" if k.config.at_least(6, 8) else ""
    return (
        f"Name:\t{proc_task_name(task, True)}\n{umask}State:\t{_state(task)}\nTgid:\t{task.tgid}\nNgid:\t0\n"
        f"Pid:\t{task.pid}\nPPid:\t{task_ppid_nr(task)}\nTracerPid:\t{tracer}\n"
        f"Uid:\t{cred.uid}\t{cred.euid}\t{cred.suid}\t{cred.fsuid}\n"
        f"Gid:\t{cred.gid}\t{cred.egid}\t{cred.sgid}\t{cred.fsgid}\n"
        f"FDSize:\t{files_fdtable_size(task)}\nGroups:\t{groups}\n"
        f"NStgid:\t{task.tgid}\nNSpid:\t{task.pid}\nNSpgid:\t{pgrp}\nNSsid:\t{session}\n{kthread}"
    )


def files_fdtable_size(task: TaskStruct) -> int:
    """fdtable->max_fds: 64, or enough for the highest descriptor, a power of two of at least 128 (alloc_fdtable)."""
    if task.files is None:
        return 0
    highest = max(task.files.fd, default=0)
    return 64 if highest < 64 else max(128, 1 << (highest).bit_length())


def task_sig(k: Kernel, task: TaskStruct) -> str:
    """Threads and signals."""
    ignored, caught = _signal_sets(task)
    queued = 0
    for other in k.tasks.values():
        if other.cred.uid == task.cred.uid:
            queued += len(other.pending.list)
            if other.pid == other.tgid:
                queued += len(other.signal.shared_pending.list)
    return (
        f"Threads:\t{get_nr_threads(k, task)}\nSigQ:\t{queued}/{task.signal.rlim[RLIMIT_SIGPENDING].rlim_cur}\n"
        f"SigPnd:\t{task.pending.signal:016x}\nShdPnd:\t{task.signal.shared_pending.signal:016x}\n"
        f"SigBlk:\t{task.blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
    )


def task_cap(task: TaskStruct) -> str:
    """Capabilities."""
    cred = task.cred
    return (
        f"CapInh:\t{cred.cap_inheritable:016x}\nCapPrm:\t{cred.cap_permitted:016x}\nCapEff:\t{cred.cap_effective:016x}\n"
        f"CapBnd:\t{CAP_FULL_SET:016x}\nCapAmb:\t{0:016x}\n"
    )


def task_seccomp(k: Kernel, task: TaskStruct) -> str:
    """no_new_privs, and what there is not: seccomp, mitigations."""
    branch = "SpeculationIndirectBranch:\tunknown\n" if k.config.at_least(5, 17) else ""
    return f"NoNewPrivs:\t{task.no_new_privs}\nSeccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tvulnerable\n{branch}"


def proc_pid_status(k: Kernel, task: TaskStruct) -> bytes:
    """The process, a line a value. One CPU, one node (CONFIG_NUMA is off)."""
    text = task_state(k, task)
    if task.mm is not None:
        text += task_mem(task.mm) + f"CoreDumping:\t0\nTHP_enabled:\t{0 if task.thp_disable else 1}\n"
        if k.config.at_least(6, 4):
            text += "untag_mask:\t0xffffffffffffffff\n"
    text += task_sig(k, task) + task_cap(task) + task_seccomp(k, task)
    text += "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
    text += f"voluntary_ctxt_switches:\t{task.nvcsw}\nnonvoluntary_ctxt_switches:\t{task.nivcsw}\n"
    return text.encode("utf-8", "surrogateescape")


def task_prio(task: TaskStruct) -> int:
    """The priority that ps shows: 20 + nice, negative for real-time tasks (kernel/sched/core.c)."""
    return -1 - task.rt_priority if task.policy in (1, 2) else 20 + task.static_prio_nice


def stat_exit_code(k: Kernel, task: TaskStruct, whole: bool) -> int:
    """What wait4 would say of a dead task; of a process that dies, or is stopped, its own code counts (2d18f7f45620, v5.17)."""
    sig = task.signal
    if whole and k.config.at_least(5, 17) and (sig.group_exit or sig.flags & SIGNAL_STOP_STOPPED):
        return sig.group_exit_code
    return task.exit_code


def stat_wchan(k: Kernel, task: TaskStruct, whole: bool) -> int:
    """1: it sleeps somewhere, or is dead; of processes with threads nobody says. Before v5.16 no stack was understood: 0."""
    if not k.config.at_least(5, 16) or (whole and get_nr_threads(k, task) >= 2):
        return 0
    return 1 if task.state or task.exit_state else 0


def proc_tgid_stat(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/PID/stat: of all threads together."""
    return do_task_stat(k, task, True)


def proc_tid_stat(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/PID/task/TID/stat: faults and times are those of the thread."""
    return do_task_stat(k, task, False)


def do_task_stat(k: Kernel, task: TaskStruct, whole: bool) -> bytes:
    """The 52 fields of proc(5). Addresses are told to those only who may read the memory."""
    mm = task.mm
    permitted = ptrace_may_access(k, task)
    vsize = rss = 0
    code = [0, 0, 0]
    late = [0] * 7
    if mm is not None:
        vsize = mm.total_vm << 12
        rss = get_mm_rss(mm)
        code = [mm.start_code, mm.end_code, mm.start_stack] if permitted else [1, 1, 0]
        if permitted:
            late = [mm.start_data, mm.end_data, mm.start_brk, mm.arg_start, mm.arg_end, mm.env_start, mm.env_end]
    ignored, caught = _signal_sets(task)
    fields: list[int | str] = [task.pid, f"({proc_task_name(task, False)})", _state(task)[0], task_ppid_nr(task)]
    fields += [task.signal.pgrp, task.signal.session, 0, -1, task.flags]
    sig = task.signal
    min_flt, maj_flt, utime, stime = task.min_flt, task.maj_flt, task.utime, task.stime
    if whole:
        min_flt = sig.min_flt + sum([thread.min_flt for thread in sig.threads])
        maj_flt = sig.maj_flt + sum([thread.maj_flt for thread in sig.threads])
        utime, stime = thread_group_cputime(task)
    fields += [min_flt, sig.cmin_flt, maj_flt, sig.cmaj_flt]
    fields += [
        utime // _TICK_NS,
        stime // _TICK_NS,
        sig.cutime // _TICK_NS,
        sig.cstime // _TICK_NS,
        task_prio(task),
        task.static_prio_nice,
    ]
    fields += [get_nr_threads(k, task), 0, task.start_time // _TICK_NS, vsize, rss, task.signal.rlim[RLIMIT_RSS].rlim_cur]
    # kstkesp and kstkeip are told of a dying task only.
    fields += [*code, 0, 0]
    # Obsolete: it does not include real-time signals.
    fields += [task.pending.signal & 0x7FFFFFFF, task.blocked & 0x7FFFFFFF, ignored & 0x7FFFFFFF, caught & 0x7FFFFFFF]
    fields += [stat_wchan(k, task, whole) if permitted else 0, 0, 0, task.exit_signal, 0, task.rt_priority, task.policy]
    fields += [0, 0, 0, *late, stat_exit_code(k, task, whole) if permitted else 0]
    return (" ".join([str(field) for field in fields]) + "\n").encode("utf-8", "surrogateescape")


def children_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """/proc/PID/task/TID/children (CONFIG_PROC_CHILDREN): the thread's children, the dead too, oldest first."""
    if not task_alive(k, task) or index >= len(task.children):
        return None
    return b"%d " % task.children[index].pid, index + 1


def proc_pid_statm(k: Kernel, task: TaskStruct) -> bytes:
    """Memory in pages."""
    return (task_statm(task.mm) if task.mm is not None else "0 0 0 0 0 0 0\n").encode()


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
