# SPDX-License-Identifier: GPL-2.0-or-later
"""Who and how much (kernel/sys.c, cred.c, groups.c): ids, limits, usage, names, prctl. No memory of the guest is touched here:
arguments come in decoded, results go out as numbers or as the bytes of the C structure.
"""

from __future__ import annotations

from mmscope.kernel.core.capability import cap_emulate_setfsuid, cap_emulate_setxuid, capable
from mmscope.kernel.core.posix_cpu_timers import thread_group_cputime, update_timers_active
from mmscope.kernel.core.sched_syscalls import can_nice
from mmscope.kernel.core.timekeeping import HZ, USER_HZ, jiffies
from mmscope.kernel.include.capability import CAP_LAST_CAP, CAP_SETGID, CAP_SETUID, CAP_SYS_NICE, CAP_SYS_RESOURCE
from mmscope.kernel.include.errno import EACCES, EINVAL, EPERM, ESRCH, KernelError
from mmscope.kernel.include.resource import RLIM_NLIMITS, RLIMIT_CPU, RLIMIT_NOFILE, RLIMIT_NPROC, Rlimit
from mmscope.kernel.include.sched import PF_FORKNOEXEC, PF_NPROC_EXCEEDED, Cred
from mmscope.kernel.include.signal import _NSIG
from mmscope.kernel.include.time import NSEC_PER_SEC
from mmscope.kernel.mm.memory import get_mm_rss
from mmscope.kernel.mm.page_alloc import nr_free_pages, totalram_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

U32: Final = 0xFFFFFFFF
U64: Final = 0xFFFFFFFFFFFFFFFF

RUSAGE_SELF: Final = 0
RUSAGE_CHILDREN: Final = -1
RUSAGE_THREAD: Final = 1

UTS_RELEASE: Final = "5.11.0-mmscope"
UTS_VERSION: Final = "#1 SMP Sun Feb 14 22:32:24 UTC 2021"

#: fs.nr_open: the most that RLIMIT_NOFILE may be raised to.
sysctl_nr_open: Final = 1 << 20


def q(value: int) -> bytes:
    """Eight little-endian bytes."""
    return (value & U64).to_bytes(8, "little")


def timeval(ns: int) -> bytes:
    """struct timeval."""
    return q(ns // NSEC_PER_SEC) + q(ns % NSEC_PER_SEC // 1000)


def find_task(k: Kernel, pid: int) -> TaskStruct:
    """find_task_by_vpid(), 0 = the current one. Raises ESRCH."""
    if pid == 0:
        return k.current
    task = k.tasks.get(pid)
    if task is None:
        raise KernelError(ESRCH)
    return task


# --- names


def new_utsname(k: Kernel) -> bytes:
    """struct new_utsname: six fields of 65 bytes. personality(UNAME26) is not known."""
    fields = ("Linux", k.nodename, UTS_RELEASE, UTS_VERSION, "x86_64", k.domainname)
    return b"".join([field.encode()[:64].ljust(65, b"\0") for field in fields])


# --- ids


def set_uids(k: Kernel, uid: int) -> None:
    """setuid(2)."""
    if uid == U32:
        raise KernelError(EINVAL)
    cred = k.current.cred
    old = prepare_creds(k)
    if capable(k, CAP_SETUID):
        cred.uid = cred.suid = uid
    elif uid not in (cred.uid, cred.suid):
        raise KernelError(EPERM)
    cred.euid = cred.fsuid = uid
    commit_creds(k, old)


def set_gids(k: Kernel, gid: int) -> None:
    """setgid(2)."""
    if gid == U32:
        raise KernelError(EINVAL)
    cred = k.current.cred
    old = prepare_creds(k)
    if capable(k, CAP_SETGID):
        cred.gid = cred.egid = cred.sgid = cred.fsgid = gid
    elif gid in (cred.gid, cred.sgid):
        cred.egid = cred.fsgid = gid
    else:
        raise KernelError(EPERM)
    commit_creds(k, old)


def setreuid(k: Kernel, ruid: int, euid: int) -> None:
    """setreuid(2); U32 (-1) leaves an id alone."""
    cred = k.current.cred
    old = prepare_creds(k)
    old_uid, old_euid = cred.uid, cred.euid
    if not capable(k, CAP_SETUID):
        if ruid not in (U32, old_uid, old_euid):
            raise KernelError(EPERM)
        if euid not in (U32, old_uid, old_euid, cred.suid):
            raise KernelError(EPERM)
    if ruid != U32:
        cred.uid = ruid
    if euid != U32:
        cred.euid = euid
    if ruid != U32 or (euid != U32 and euid != old_uid):
        cred.suid = cred.euid
    cred.fsuid = cred.euid
    commit_creds(k, old)


def setregid(k: Kernel, rgid: int, egid: int) -> None:
    """setregid(2)."""
    cred = k.current.cred
    old = prepare_creds(k)
    old_gid, old_egid = cred.gid, cred.egid
    if not capable(k, CAP_SETGID):
        if rgid not in (U32, old_gid, old_egid):
            raise KernelError(EPERM)
        if egid not in (U32, old_gid, old_egid, cred.sgid):
            raise KernelError(EPERM)
    if rgid != U32:
        cred.gid = rgid
    if egid != U32:
        cred.egid = egid
    if rgid != U32 or (egid != U32 and egid != old_gid):
        cred.sgid = cred.egid
    cred.fsgid = cred.egid
    commit_creds(k, old)


def setresuid(k: Kernel, ruid: int, euid: int, suid: int) -> None:
    """setresuid(2)."""
    cred = k.current.cred
    old = prepare_creds(k)
    if not capable(k, CAP_SETUID):
        for uid in (ruid, euid, suid):
            if uid not in (U32, cred.uid, cred.euid, cred.suid):
                raise KernelError(EPERM)
    if ruid != U32:
        cred.uid = ruid
    if euid != U32:
        cred.euid = euid
    if suid != U32:
        cred.suid = suid
    cred.fsuid = cred.euid
    commit_creds(k, old)


def setresgid(k: Kernel, rgid: int, egid: int, sgid: int) -> None:
    """setresgid(2)."""
    cred = k.current.cred
    old = prepare_creds(k)
    if not capable(k, CAP_SETGID):
        for gid in (rgid, egid, sgid):
            if gid not in (U32, cred.gid, cred.egid, cred.sgid):
                raise KernelError(EPERM)
    if rgid != U32:
        cred.gid = rgid
    if egid != U32:
        cred.egid = egid
    if sgid != U32:
        cred.sgid = sgid
    cred.fsgid = cred.egid
    commit_creds(k, old)


def setfsuid(k: Kernel, uid: int) -> int:
    """setfsuid(2): the old one, whether it worked or not."""
    cred = k.current.cred
    old = cred.fsuid
    if uid != U32 and (uid in (cred.uid, cred.euid, cred.suid, cred.fsuid) or capable(k, CAP_SETUID)):
        before = prepare_creds(k)
        cred.fsuid = uid
        cap_emulate_setfsuid(cred, old)
        commit_creds(k, before)
    return old


def setfsgid(k: Kernel, gid: int) -> int:
    """setfsgid(2)."""
    cred = k.current.cred
    old = cred.fsgid
    if gid != U32 and (gid in (cred.gid, cred.egid, cred.sgid, cred.fsgid) or capable(k, CAP_SETGID)):
        before = prepare_creds(k)
        cred.fsgid = gid
        commit_creds(k, before)
    return old


def prepare_creds(k: Kernel) -> Cred:
    """The ids as they are, before they are changed."""
    cred = k.current.cred
    old = Cred(cred.uid, cred.gid)
    old.euid, old.suid, old.fsuid = cred.euid, cred.suid, cred.fsuid
    old.egid, old.sgid, old.fsgid = cred.egid, cred.sgid, cred.fsgid
    return old


def commit_creds(k: Kernel, old: Cred) -> None:
    """The ids have changed: capabilities follow; who acts in another name is not dumpable, nor wants a parent-death signal."""
    me = k.current
    cred = me.cred
    cap_emulate_setxuid(cred, old.uid, old.euid, old.suid, me.keepcaps)
    if (cred.euid, cred.egid, cred.fsuid, cred.fsgid) != (old.euid, old.egid, old.fsuid, old.fsgid):
        # fs.suid_dumpable is 0.
        set_dumpable(k, 0)
        me.pdeath_signal = 0
    if cred.uid != old.uid:
        # set_user(): too many processes show at the next execve, since setuid(2) itself must not fail.
        others = sum(1 for task in k.tasks.values() if task.cred.uid == cred.uid and task is not me)
        limit = me.signal.rlim[RLIMIT_NPROC].rlim_cur
        me.flags &= ~PF_NPROC_EXCEEDED
        # Counted before we are one of them; by ucounts since v5.14.
        if cred.uid and (others > limit if k.config.at_least(5, 14) else others >= limit):
            me.flags |= PF_NPROC_EXCEEDED


def set_dumpable(k: Kernel, value: int) -> None:
    """Of the current address space: all tasks that have it."""
    mm = k.current.mm
    for task in k.tasks.values():
        if task is k.current or (mm is not None and task.mm is mm):
            task.dumpable = value


def task_ppid_nr(task: TaskStruct) -> int:
    """The parent's process id; 0 for init, which has none."""
    parent = task.group_leader.real_parent
    return 0 if parent is None else parent.tgid


def setpgid(k: Kernel, pid: int, pgid: int) -> None:
    """setpgid(2) on us or a child that has not called execve (EACCES); a session leader stays in its group (EPERM)."""
    leader = k.current.group_leader
    pid = pid or leader.pid
    pgid = pgid or pid
    if pgid < 0:
        raise KernelError(EINVAL)
    p = k.tasks.get(pid)
    if p is None:
        raise KernelError(ESRCH)
    if p.group_leader is not p:
        raise KernelError(EINVAL)
    if p.real_parent is not None and p.real_parent.signal is leader.signal:
        if p.signal.session != leader.signal.session:
            raise KernelError(EPERM)
        if not p.flags & PF_FORKNOEXEC:
            raise KernelError(EACCES)
    elif p is not leader:
        raise KernelError(ESRCH)
    if p.signal.session == p.pid:
        raise KernelError(EPERM)
    if pgid != pid:
        for other in k.tasks.values():
            if other.group_leader is other and other.signal.pgrp == pgid and other.signal.session == leader.signal.session:
                break
        else:
            raise KernelError(EPERM)
    p.signal.pgrp = pgid


def setsid(k: Kernel) -> int:
    """setsid(2): EPERM for who leads a group already."""
    leader = k.current.group_leader
    for task in k.tasks.values():
        if task.signal.pgrp == leader.pid or leader.signal.session == leader.pid:
            raise KernelError(EPERM)
    leader.signal.session = leader.signal.pgrp = leader.pid
    return leader.pid


# --- limits and usage


def do_prlimit(k: Kernel, task: TaskStruct, resource: int, new: Rlimit | None) -> Rlimit:
    """Set a limit (if `new`) and return the old one. EINVAL, EPERM."""
    if not 0 <= resource < RLIM_NLIMITS:
        raise KernelError(EINVAL)
    if new is not None:
        if new.rlim_cur > new.rlim_max:
            raise KernelError(EINVAL)
        if resource == RLIMIT_NOFILE and new.rlim_max > sysctl_nr_open:
            raise KernelError(EPERM)
    rlim = task.signal.rlim[resource]
    old = Rlimit(rlim.rlim_cur, rlim.rlim_max)
    if new is not None:
        if new.rlim_max > rlim.rlim_max and not capable(k, CAP_SYS_RESOURCE):
            raise KernelError(EPERM)
        task.signal.rlim[resource] = Rlimit(new.rlim_cur, new.rlim_max)
        if resource == RLIMIT_CPU:
            update_timers_active(task.signal)
    return old


def check_prlimit_permission(k: Kernel, task: TaskStruct) -> None:
    """Only our own limits, unless all ids agree or we are root."""
    cred, tcred = k.current.cred, task.cred
    if task is k.current or capable(k, CAP_SYS_RESOURCE):
        return
    if {tcred.euid, tcred.suid, tcred.uid} == {cred.uid} and {tcred.egid, tcred.sgid, tcred.gid} == {cred.gid}:
        return
    raise KernelError(EPERM)


def rlimit_bytes(rlim: Rlimit) -> bytes:
    """struct rlimit64 (and struct rlimit)."""
    return q(rlim.rlim_cur) + q(rlim.rlim_max)


def rusage_bytes(utime: int, stime: int, maxrss: int, minflt: int, majflt: int, nvcsw: int, nivcsw: int) -> bytes:
    """struct rusage, 144 bytes: times in ns, maxrss in pages."""
    fields = (maxrss * 4, 0, 0, 0, minflt, majflt, 0, 0, 0, 0, 0, 0, nvcsw, nivcsw)
    return timeval(utime) + timeval(stime) + b"".join([q(f) for f in fields])


def rusage_self(task: TaskStruct) -> tuple[int, int, int, int, int, int, int]:
    """The usage of all threads, dead ones too, as rusage_bytes() takes it."""
    sig = task.signal
    maxrss = sig.maxrss
    if task.mm is not None:
        maxrss = max(maxrss, task.mm.hiwater_rss, get_mm_rss(task.mm))
    utime, stime = thread_group_cputime(task)
    minflt, majflt, nvcsw, nivcsw = sig.min_flt, sig.maj_flt, sig.nvcsw, sig.nivcsw
    for t in sig.threads:
        minflt += t.min_flt
        majflt += t.maj_flt
        nvcsw += t.nvcsw
        nivcsw += t.nivcsw
    return utime, stime, maxrss, minflt, majflt, nvcsw, nivcsw


def rusage_both(task: TaskStruct) -> bytes:
    """What wait4(2) says about a child: its own usage and that of the children that it waited for."""
    sig = task.signal
    utime, stime, maxrss, minflt, majflt, nvcsw, nivcsw = rusage_self(task)
    return rusage_bytes(
        utime + sig.cutime,
        stime + sig.cstime,
        max(maxrss, sig.cmaxrss),
        minflt + sig.cmin_flt,
        majflt + sig.cmaj_flt,
        nvcsw + sig.cnvcsw,
        nivcsw + sig.cnivcsw,
    )


def getrusage(k: Kernel, who: int) -> bytes:
    """struct rusage of us, of the children that we waited for, of this thread. CPU times are those of the virtual clock."""
    if who not in (RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD):
        raise KernelError(EINVAL)
    task = k.current
    sig = task.signal
    if who == RUSAGE_CHILDREN:
        return rusage_bytes(sig.cutime, sig.cstime, sig.cmaxrss, sig.cmin_flt, sig.cmaj_flt, sig.cnvcsw, sig.cnivcsw)
    utime, stime, maxrss, minflt, majflt, nvcsw, nivcsw = rusage_self(task)
    if who == RUSAGE_THREAD:
        return rusage_bytes(task.utime, task.stime, maxrss, task.min_flt, task.maj_flt, task.nvcsw, task.nivcsw)
    return rusage_bytes(utime, stime, maxrss, minflt, majflt, nvcsw, nivcsw)


def do_sys_times(k: Kernel) -> tuple[bytes, int]:
    """struct tms and the return value of times(2): ticks of USER_HZ since five minutes before a 32-bit counter's wrap."""
    sig = k.current.signal
    unit = NSEC_PER_SEC // USER_HZ
    utime, stime = thread_group_cputime(k.current)
    tms = q(utime // unit) + q(stime // unit) + q(sig.cutime // unit) + q(sig.cstime // unit)
    initial_jiffies = (1 << 32) - 300 * HZ
    return tms, (initial_jiffies + jiffies(k)) * USER_HZ // HZ


def do_sysinfo(k: Kernel) -> bytes:
    """struct sysinfo, 112 bytes: seconds up, no load, RAM in bytes, no swap."""
    now = k.timekeeper.now_ns
    uptime = now // NSEC_PER_SEC + (1 if now % NSEC_PER_SEC else 0)
    shmem = k.current.mm.rss_stat[3] if k.current.mm is not None else 0
    fields = (uptime, 0, 0, 0, totalram_pages(k) << 12, nr_free_pages(k) << 12, max(shmem, 0) << 12, 0, 0, 0)
    body = b"".join([q(f) for f in fields]) + len(k.tasks).to_bytes(2, "little") + bytes(6)
    return (body + q(0) + q(0) + (1).to_bytes(4, "little")).ljust(112, b"\0")


def getpriority(k: Kernel, which: int, who: int) -> int:
    """getpriority(2): 20 - nice of the best match."""
    if not 0 <= which <= 2:
        raise KernelError(EINVAL)
    best = 0
    for task in _priority_targets(k, which, who):
        best = max(best, 20 - task.static_prio_nice)
    if not best:
        raise KernelError(ESRCH)
    return best


def setpriority(k: Kernel, which: int, who: int, niceval: int) -> None:
    """setpriority(2): EACCES for a better priority without the right, EPERM for others' tasks; all that may be set are."""
    if not 0 <= which <= 2:
        raise KernelError(EINVAL)
    niceval = max(-20, min(19, niceval))
    targets = _priority_targets(k, which, who)
    if not targets:
        raise KernelError(ESRCH)
    error = 0
    for task in targets:
        cred = k.current.cred
        if cred.euid not in (task.cred.uid, task.cred.euid) and not capable(k, CAP_SYS_NICE):
            error = EPERM
        elif niceval < task.static_prio_nice and not can_nice(k, task, niceval):
            error = EACCES
        else:
            task.static_prio_nice = niceval
    if error:
        raise KernelError(error)


def _priority_targets(k: Kernel, which: int, who: int) -> list[TaskStruct]:
    """PRIO_PROCESS 0, PRIO_PGRP 1, PRIO_USER 2; who 0 = ours."""
    current = k.current
    if which == 0:
        task = current if who == 0 else k.tasks.get(who)
        return [] if task is None else [task]
    tasks = [k.tasks[pid] for pid in sorted(k.tasks)]
    if which == 1:
        pgrp = who or current.signal.pgrp
        return [t for t in tasks if t.signal.pgrp == pgrp]
    uid = who or current.cred.uid
    return [t for t in tasks if t.cred.uid == uid]


# --- prctl

PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_GET_KEEPCAPS: Final = 7
PR_SET_KEEPCAPS: Final = 8
PR_GET_TIMING: Final = 13
PR_SET_TIMING: Final = 14
PR_SET_NAME: Final = 15
PR_GET_NAME: Final = 16
PR_GET_SECCOMP: Final = 21
PR_CAPBSET_READ: Final = 23
PR_GET_TSC: Final = 25
PR_GET_SECUREBITS: Final = 27
PR_SET_TIMERSLACK: Final = 29
PR_GET_TIMERSLACK: Final = 30
PR_TASK_PERF_EVENTS_DISABLE: Final = 31
PR_TASK_PERF_EVENTS_ENABLE: Final = 32
PR_MCE_KILL: Final = 33
PR_MCE_KILL_GET: Final = 34
PR_SET_CHILD_SUBREAPER: Final = 36
PR_GET_CHILD_SUBREAPER: Final = 37
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
PR_GET_TID_ADDRESS: Final = 40
PR_SET_THP_DISABLE: Final = 41
PR_GET_THP_DISABLE: Final = 42
PR_CAP_AMBIENT: Final = 47

#: Options that deliver their result through a pointer: the value and its size in bytes.
PR_PUT: Final = {PR_GET_PDEATHSIG: 4, PR_GET_TSC: 4, PR_GET_CHILD_SUBREAPER: 4, PR_GET_TID_ADDRESS: 8}


def prctl(k: Kernel, option: int, arg2: int, arg3: int, arg4: int, arg5: int) -> int:
    """prctl(2) without the calls that read or write memory except as PR_PUT says; raises EINVAL for an unknown option."""
    me = k.current
    if option == PR_SET_PDEATHSIG:
        if arg2 > _NSIG:
            raise KernelError(EINVAL)
        me.pdeath_signal = arg2
        return 0
    if option == PR_GET_PDEATHSIG:
        return me.pdeath_signal
    if option == PR_GET_DUMPABLE:
        return me.dumpable
    if option == PR_SET_DUMPABLE:
        if arg2 not in (0, 1):
            raise KernelError(EINVAL)
        set_dumpable(k, arg2)
        return 0
    if option == PR_GET_KEEPCAPS:
        return me.keepcaps
    if option == PR_SET_KEEPCAPS:
        if arg2 > 1:
            raise KernelError(EINVAL)
        me.keepcaps = arg2
        return 0
    if option == PR_GET_SECUREBITS:
        return me.keepcaps << 4
    if option == PR_CAP_AMBIENT:
        return prctl_ambient(k, arg2, arg3, arg4, arg5)
    if option in (PR_MCE_KILL, PR_MCE_KILL_GET):
        return prctl_mce_kill(k, option, (arg2, arg3, arg4, arg5))
    if option in (PR_GET_TIMING, PR_GET_SECCOMP, PR_TASK_PERF_EVENTS_DISABLE, PR_TASK_PERF_EVENTS_ENABLE):
        return 0
    if option == PR_SET_TIMING:
        if arg2 != 0:
            raise KernelError(EINVAL)
        return 0
    if option == PR_CAPBSET_READ:
        if arg2 > CAP_LAST_CAP:
            raise KernelError(EINVAL)
        return 1
    if option == PR_GET_TSC:
        return 1
    if option == PR_SET_TIMERSLACK:
        me.timer_slack_ns = arg2 if 0 < arg2 < 1 << 63 else 50000
        return 0
    if option == PR_GET_TIMERSLACK:
        return me.timer_slack_ns
    if option == PR_SET_CHILD_SUBREAPER:
        me.signal.is_child_subreaper = 1 if arg2 else 0
        if arg2:
            propagate_has_child_subreaper(me)
        return 0
    if option == PR_GET_CHILD_SUBREAPER:
        return me.signal.is_child_subreaper
    if option == PR_SET_NO_NEW_PRIVS:
        if arg2 != 1 or arg3 or arg4 or arg5:
            raise KernelError(EINVAL)
        me.no_new_privs = 1
        return 0
    if option == PR_GET_NO_NEW_PRIVS:
        if arg2 or arg3 or arg4 or arg5:
            raise KernelError(EINVAL)
        return me.no_new_privs
    if option == PR_GET_TID_ADDRESS:
        return me.clear_child_tid
    return prctl_thp(k, option, arg2, arg3, arg4, arg5)


def prctl_ambient(k: Kernel, op: int, cap: int, arg4: int, arg5: int) -> int:
    """PR_CAP_AMBIENT: the set is empty. IS_SET 1, RAISE 2, LOWER 3, CLEAR_ALL 4."""
    if op == 4:
        if cap or arg4 or arg5:
            raise KernelError(EINVAL)
        return 0
    if cap > CAP_LAST_CAP or arg4 or arg5 or op not in (1, 2, 3):
        raise KernelError(EINVAL)
    if op == 2:
        if k.current.cred.cap_permitted & k.current.cred.cap_inheritable & 1 << cap:
            k.warn_once("prctl: ambient capabilities are not implemented: EPERM")
        raise KernelError(EPERM)
    return 0


def prctl_mce_kill(k: Kernel, option: int, args: tuple[int, int, int, int]) -> int:
    """PR_MCE_KILL: CLEAR 0, SET 1 to late 0, early 1 or the default 2; PR_MCE_KILL_GET."""
    me = k.current
    if option == PR_MCE_KILL_GET:
        if any(args):
            raise KernelError(EINVAL)
        return me.mce_kill
    what, policy, arg4, arg5 = args
    if arg4 or arg5 or what > 1 or (policy if what == 0 else policy > 2):
        raise KernelError(EINVAL)
    me.mce_kill = policy if what else 2
    return 0


def propagate_has_child_subreaper(task: TaskStruct) -> None:
    """All descendants, from now on, look for a subreaper among their ancestors."""
    for t in task.signal.threads:
        for child in t.children:
            if not child.signal.has_child_subreaper and not child.signal.is_child_subreaper:
                child.signal.has_child_subreaper = 1
                propagate_has_child_subreaper(child)


def prctl_thp(k: Kernel, option: int, arg2: int, arg3: int, arg4: int, arg5: int) -> int:
    """PR_SET_THP_DISABLE and PR_GET_THP_DISABLE; EINVAL for all that prctl() does not know."""
    me = k.current
    if option == PR_GET_THP_DISABLE:
        if arg2 or arg3 or arg4 or arg5:
            raise KernelError(EINVAL)
        return me.thp_disable
    if option == PR_SET_THP_DISABLE:
        if arg3 or arg4 or arg5:
            raise KernelError(EINVAL)
        me.thp_disable = 1 if arg2 else 0
        return 0
    raise KernelError(EINVAL)
