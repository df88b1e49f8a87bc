# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of tasks, and waiting for it (kernel/exit.c).

do_exit -> zombie -> the parent's wait4 -> release_task        (a thread, or if the parent ignores SIGCHLD: at once)
"""

from __future__ import annotations

import mmscope.kernel.core.fork as core_fork
import mmscope.kernel.core.itimer as core_itimer
import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.ptrace as core_ptrace
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
import mmscope.kernel.mm.memory as mm_memory
from mmscope.kernel.fs.file import put_files_struct
from mmscope.kernel.include.errno import ECHILD, EINVAL, ERESTARTSYS, ESRCH, KernelBug, KernelError
from mmscope.kernel.include.ptrace import PTRACE_EVENT_EXIT
from mmscope.kernel.include.sched import (
    __TASK_TRACED,
    EXIT_DEAD,
    EXIT_TRACE,
    EXIT_ZOMBIE,
    JOBCTL_LISTENING,
    PF_EXITING,
    SIGNAL_STOP_CONTINUED,
    SIGNAL_STOP_STOPPED,
    TASK_INTERRUPTIBLE,
)
from mmscope.kernel.include.signal import (
    CLD_CONTINUED,
    CLD_DUMPED,
    CLD_EXITED,
    CLD_KILLED,
    CLD_STOPPED,
    CLD_TRAPPED,
    SI_KERNEL,
    SI_USER,
    SIGCHLD,
    SIGCONT,
    SIGHUP,
    KernelSiginfo,
)
from mmscope.kernel.include.wait import WaitQueueEntry
from mmscope.kernel.tracepoint import trace_sched_process_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

# wait4(2), waitid(2)
WNOHANG: Final = 0x1
WUNTRACED: Final = 0x2
WSTOPPED: Final = WUNTRACED
WEXITED: Final = 0x4
WCONTINUED: Final = 0x8
WNOWAIT: Final = 0x01000000
__WNOTHREAD: Final = 0x20000000
__WALL: Final = 0x40000000
__WCLONE: Final = 0x80000000

# What a wait is for.
PIDTYPE_MAX: Final = 0
PIDTYPE_PID: Final = 1
PIDTYPE_PGID: Final = 2


def do_exit(k: Kernel, code: int) -> None:
    """End the current task with `code` (as wait4 gives it): memory, then files, then the working directory.

    Unlike in C it returns: `exit_state` tells the caller that the task must not run again.
    """
    tsk = k.current
    if tsk.exit_state:
        return
    core_ptrace.ptrace_event(k, PTRACE_EVENT_EXIT, code)
    core_signal.exit_signals(tsk)
    mm = tsk.mm
    if mm is not None:
        mm_memory.sync_mm_rss(mm)
    tsk.signal.live -= 1
    group_dead = tsk.signal.live == 0
    if group_dead:
        if k.config.at_least(6, 0) and not tsk.signal.group_exit:
            # synchronize_group_exit(): the last thread decides, where the leader's own code counted before.
            tsk.signal.group_exit = True
            tsk.signal.group_exit_code = code
        core_itimer.exit_itimers(k, tsk.signal)
        if mm is not None:
            # setmax_mm_hiwater_rss(): the process's maximum outlives its address space.
            tsk.signal.maxrss = max(tsk.signal.maxrss, mm.hiwater_rss, mm_memory.get_mm_rss(mm))
    tsk.exit_code = code
    core_fork.exit_mm(tsk)
    if tsk.sysvsem is not None:
        from mmscope.kernel.ipc.sem import exit_sem

        exit_sem(k, tsk)
    trace_sched_process_exit(k, tsk)
    files = tsk.files
    tsk.files = None
    if files is not None:
        put_files_struct(files)
    fs = tsk.fs
    tsk.fs = None
    if fs is not None:
        fs.users -= 1
    tsk.tif_sigpending = False
    tsk.restart_clockid = -1
    exit_notify(k, tsk, group_dead)
    core_sched.deactivate_task(tsk)


def exit_notify(k: Kernel, tsk: TaskStruct, group_dead: bool) -> None:
    """Find parents for the children, tell ours, and become a zombie, or vanish if nobody will wait."""
    dead: list[TaskStruct] = []
    forget_original_parent(k, tsk, dead)
    if group_dead:
        kill_orphaned_pgrp(k, tsk.group_leader, None)
    tsk.exit_state = EXIT_ZOMBIE
    last_leader = tsk.group_leader is tsk and len(tsk.signal.threads) == 1
    if tsk.ptrace:
        sig = tsk.exit_signal if last_leader and not core_jobctl.ptrace_reparented(tsk) else SIGCHLD
        autoreap = core_jobctl.do_notify_parent(tsk, sig)
    elif tsk.group_leader is tsk:
        autoreap = last_leader and core_jobctl.do_notify_parent(tsk, tsk.exit_signal)
    else:
        autoreap = True
        if tsk.thread_pid is not None and k.config.at_least(6, 9):
            # do_notify_pidfd(): PIDFD_THREAD
            core_wait.wake_up_all(tsk.thread_pid.wait_pidfd)
    if autoreap:
        tsk.exit_state = EXIT_DEAD
        dead.append(tsk)
    signal = tsk.signal
    if signal.notify_count < 0 and signal.group_exit_task is not None:
        # The leader is dead: the thread that executes a new program takes its place.
        core_sched.wake_up_process(signal.group_exit_task)
    for p in dead:
        release_task(k, p)


def release_task(k: Kernel, p: TaskStruct) -> None:
    """The last trace of a dead task goes; with the last other thread of a dead leader nobody waits for, that one too."""
    zap: TaskStruct | None = p
    while zap is not None:
        p = zap
        zap = None
        if p.ptrace:
            core_ptrace.__ptrace_unlink(p)
        __exit_signal(k, p)
        if p.real_parent is not None and p in p.real_parent.children:
            p.real_parent.children.remove(p)
        leader = p.group_leader
        if leader is not p and len(p.signal.threads) == 1 and leader.exit_state == EXIT_ZOMBIE:
            if core_jobctl.do_notify_parent(leader, leader.exit_signal):
                leader.exit_state = EXIT_DEAD
                zap = leader


def __exit_signal(k: Kernel, tsk: TaskStruct) -> None:
    """Leave the thread group and the table of tasks; the process keeps what the thread has used."""
    sig = tsk.signal
    if tsk.exit_state != EXIT_DEAD:
        raise KernelBug(
            f"release_task: {tsk.comm}[{tsk.pid}] has exit_state {tsk.exit_state:#x}, process {tsk.tgid} waits for it"
        )
    if sig.notify_count > 0:
        sig.notify_count -= 1
        if not sig.notify_count and sig.group_exit_task is not None:
            core_sched.wake_up_process(sig.group_exit_task)
    sig.utime += tsk.utime
    sig.stime += tsk.stime
    sig.min_flt += tsk.min_flt
    sig.maj_flt += tsk.maj_flt
    sig.nvcsw += tsk.nvcsw
    sig.nivcsw += tsk.nivcsw
    sig.threads.remove(tsk)
    tsk.sighand.count -= 1
    if k.tasks.get(tsk.pid) is tsk:
        del k.tasks[tsk.pid]
    if tsk.thread_pid is not None and k.config.at_least(6, 9):
        # __change_pid(): who polls a pidfd hears that nobody has this number any more.
        core_wait.wake_up_all(tsk.thread_pid.wait_pidfd)


# --- orphans


def find_new_reaper(k: Kernel, father: TaskStruct) -> TaskStruct:
    """Who takes over the children: another thread, the nearest ancestor that is a subreaper, init."""
    reaper = k.child_reaper
    assert reaper is not None
    for t in father.signal.threads:
        if not t.flags & PF_EXITING:
            return t
    if father.signal.has_child_subreaper:
        ancestor = father.real_parent
        while ancestor is not None and ancestor is not reaper:
            if ancestor.signal.is_child_subreaper:
                for t in ancestor.signal.threads:
                    if not t.flags & PF_EXITING:
                        return t
            if not ancestor.signal.has_child_subreaper and not ancestor.signal.is_child_subreaper:
                break
            ancestor = ancestor.real_parent
    return reaper


def forget_original_parent(k: Kernel, father: TaskStruct, dead: list[TaskStruct]) -> None:
    """The children of a dying task get another parent, and the signal that they asked for (PR_SET_PDEATHSIG).

    Its tracees are let go. Those that nobody will wait for are put into `dead`.
    """
    if father.ptraced:
        core_ptrace.exit_ptrace(k, father, dead)
    if not father.children:
        return
    reaper = find_new_reaper(k, father)
    children = father.children
    father.children = []
    for p in children:
        for t in p.signal.threads:
            t.real_parent = reaper
            if not t.ptrace:
                t.parent = reaper
            if t.pdeath_signal and not t.exit_state:
                # SEND_SIG_NOINFO: in the name of who dies, and only if that might send it.
                info = KernelSiginfo(t.pdeath_signal, SI_USER, 0, father.tgid, father.cred.uid)
                try:
                    core_signal.group_send_sig_info(k, t.pdeath_signal, info, t)
                except KernelError:
                    pass
        reaper.children.append(p)
        if reaper.signal is not father.signal:
            reparent_leader(k, father, p, dead)


def reparent_leader(k: Kernel, father: TaskStruct, p: TaskStruct, dead: list[TaskStruct]) -> None:
    """`p` has got a parent in another process: it exits with SIGCHLD now; a zombie is reported again."""
    if p.exit_state == EXIT_DEAD:
        return
    p.exit_signal = SIGCHLD
    if not p.ptrace and p.exit_state == EXIT_ZOMBIE and len(p.signal.threads) == 1:
        if core_jobctl.do_notify_parent(p, p.exit_signal):
            p.exit_state = EXIT_DEAD
            dead.append(p)
    kill_orphaned_pgrp(k, p, father)


def will_become_orphaned_pgrp(k: Kernel, pgrp: int, ignored_task: TaskStruct | None) -> bool:
    """No member's parent, `ignored_task` apart, is of another group in the same session: nobody could continue it."""
    for p in core_signal.processes(k):
        if p.signal.pgrp != pgrp or p is ignored_task or (p.exit_state and len(p.signal.threads) == 1):
            continue
        parent = p.real_parent
        if parent is None or parent is k.child_reaper:
            continue
        if parent.signal.pgrp != pgrp and parent.signal.session == p.signal.session:
            return False
    return True


def has_stopped_jobs(k: Kernel, pgrp: int) -> bool:
    """Some process of the group is stopped."""
    return any(p.signal.pgrp == pgrp and p.signal.flags & SIGNAL_STOP_STOPPED for p in core_signal.processes(k))


def kill_orphaned_pgrp(k: Kernel, tsk: TaskStruct, parent: TaskStruct | None) -> None:
    """A group that becomes orphaned while some of it is stopped gets SIGHUP and SIGCONT (POSIX 3.2.2.2)."""
    ignored_task: TaskStruct | None = tsk
    if parent is None:
        parent = tsk.real_parent
    else:
        ignored_task = None
    if parent is None:
        return
    pgrp = tsk.signal.pgrp
    if (
        parent.signal.pgrp != pgrp
        and parent.signal.session == tsk.signal.session
        and will_become_orphaned_pgrp(k, pgrp, ignored_task)
        and has_stopped_jobs(k, pgrp)
    ):
        for sig in (SIGHUP, SIGCONT):
            for p in core_signal.processes(k):
                if p.signal.pgrp == pgrp:
                    core_signal.send_signal(sig, KernelSiginfo(sig, SI_KERNEL), p, True)


# --- exit(2)


def do_group_exit(k: Kernel, exit_code: int) -> None:
    """End the whole process. A group exit that has begun (a fatal signal) keeps its own code."""
    current = k.current
    signal = current.signal
    if signal.group_exit or signal.group_exit_task is not None:
        exit_code = signal.group_exit_code
    else:
        signal.flags = 0
        signal.group_exit = True
        signal.group_exit_code = exit_code
        core_signal.zap_other_threads(current)
    do_exit(k, exit_code)


def sys_exit(k: Kernel, error_code: int) -> None:
    """exit(2): the thread only."""
    do_exit(k, (error_code & 0xFF) << 8)


def sys_exit_group(k: Kernel, error_code: int) -> None:
    """exit_group(2)."""
    do_group_exit(k, (error_code & 0xFF) << 8)


def process_status(p: TaskStruct) -> int:
    """What wait4(2) says about a dead process."""
    return p.signal.group_exit_code if p.signal.group_exit else p.exit_code


# --- wait4(2)


class WaidInfo:
    """struct waitid_info."""

    def __init__(self) -> None:
        self.pid = 0
        self.uid = 0
        self.status = 0
        self.cause = 0


class WaitOpts:
    """struct wait_opts: whom, for what, and the answer."""

    def __init__(self, wo_type: int, wo_pid: int, wo_flags: int) -> None:
        #: PIDTYPE_MAX (any child), _PID, _PGID and the number.
        self.wo_type = wo_type
        self.wo_pid = wo_pid
        self.wo_flags = wo_flags
        #: wait4's status; the structure for waitid; struct rusage. Set when somebody was found.
        self.wo_stat = 0
        self.wo_info = WaidInfo()
        self.wo_rusage: TaskStruct | None = None
        #: What to return when nobody is found: ECHILD, or 0 if there are children to wait for.
        self.notask_error = 0


def eligible_child(wo: WaitOpts, ptrace: bool, p: TaskStruct) -> bool:
    """`p` is of those who are waited for. __WCLONE: only children that do not send SIGCHLD; __WALL, and for tracees: all."""
    if wo.wo_type == PIDTYPE_PID and p.pid != wo.wo_pid:
        return False
    if wo.wo_type == PIDTYPE_PGID and p.signal.pgrp != wo.wo_pid:
        return False
    if ptrace or wo.wo_flags & __WALL:
        return True
    return (p.exit_signal != SIGCHLD) == bool(wo.wo_flags & __WCLONE)


def wait_task_zombie(k: Kernel, wo: WaitOpts, p: TaskStruct) -> int:
    """Take a dead child: its pid, 0 if it is not asked for. Its usage is added to ours, and it is gone (not with WNOWAIT)."""
    if not wo.wo_flags & WEXITED:
        return 0
    status = process_status(p)
    # A tracer does not take a process away from its parent; a thread, and what is its own child, it does.
    traced = core_jobctl.ptrace_reparented(p) and p.group_leader is p
    if not wo.wo_flags & WNOWAIT and not traced and p.group_leader is p:
        psig, sig = k.current.signal, p.signal
        psig.cutime += p.utime + sig.utime + sig.cutime
        psig.cstime += p.stime + sig.stime + sig.cstime
        psig.cmin_flt += p.min_flt + sig.min_flt + sig.cmin_flt
        psig.cmaj_flt += p.maj_flt + sig.maj_flt + sig.cmaj_flt
        psig.cnvcsw += p.nvcsw + sig.nvcsw + sig.cnvcsw
        psig.cnivcsw += p.nivcsw + sig.nivcsw + sig.cnivcsw
        psig.cmaxrss = max(psig.cmaxrss, sig.maxrss, sig.cmaxrss)
    wo.wo_rusage = p
    wo.wo_stat = status
    info = wo.wo_info
    info.pid, info.uid = p.pid, p.cred.uid
    if status & 0x7F:
        info.cause = CLD_DUMPED if status & 0x80 else CLD_KILLED
        info.status = status & 0x7F
    else:
        info.cause = CLD_EXITED
        info.status = status >> 8
    if wo.wo_flags & WNOWAIT:
        return p.pid
    pid = p.pid
    p.exit_state = EXIT_DEAD
    if traced:
        p.exit_state = EXIT_TRACE
        core_ptrace.__ptrace_unlink(p)
        p.exit_state = EXIT_DEAD if core_jobctl.do_notify_parent(p, p.exit_signal) else EXIT_ZOMBIE
    if p.exit_state == EXIT_DEAD:
        release_task(k, p)
    return pid


def wait_task_stopped(k: Kernel, wo: WaitOpts, ptrace: bool, p: TaskStruct) -> int:
    """A child that has stopped, or a tracee in a ptrace-stop (asked for or not), that was not reported yet."""
    signal = p.signal
    if ptrace:
        code = p.exit_code if p.state & __TASK_TRACED and not p.jobctl & JOBCTL_LISTENING else 0
    elif wo.wo_flags & WUNTRACED and signal.flags & SIGNAL_STOP_STOPPED:
        code = signal.group_exit_code
    else:
        code = 0
    if not code:
        return 0
    if not wo.wo_flags & WNOWAIT:
        if ptrace:
            p.exit_code = 0
        else:
            signal.group_exit_code = 0
    wo.wo_rusage = p
    wo.wo_stat = code << 8 | 0x7F
    info = wo.wo_info
    info.pid, info.uid, info.status = p.pid, p.cred.uid, code
    info.cause = CLD_TRAPPED if ptrace else CLD_STOPPED
    return p.pid


def wait_task_continued(k: Kernel, wo: WaitOpts, p: TaskStruct) -> int:
    """A child that SIGCONT has let go on."""
    if not wo.wo_flags & WCONTINUED or not p.signal.flags & SIGNAL_STOP_CONTINUED:
        return 0
    if not wo.wo_flags & WNOWAIT:
        p.signal.flags &= ~SIGNAL_STOP_CONTINUED
    wo.wo_rusage = p
    wo.wo_stat = 0xFFFF
    info = wo.wo_info
    info.pid, info.uid, info.cause, info.status = p.pid, p.cred.uid, CLD_CONTINUED, SIGCONT
    return p.pid


def wait_consider_task(k: Kernel, wo: WaitOpts, ptrace: bool, p: TaskStruct) -> int:
    """One child, or (`ptrace`) tracee: its pid if it has something to report."""
    if p.exit_state == EXIT_DEAD or not eligible_child(wo, ptrace, p):
        return 0
    if p.exit_state == EXIT_TRACE:
        if not ptrace:
            wo.notask_error = 0
        return 0
    if p.ptrace and not core_jobctl.ptrace_reparented(p):
        # Our own child, which our process traces: its group stop shall not be reported besides its ptrace-stops.
        ptrace = True
    if p.exit_state == EXIT_ZOMBIE:
        # A dead leader whose other threads live waits for those; a traced zombie is there for its tracer only.
        delayed = p.group_leader is p and len(p.signal.threads) > 1
        if not delayed and (ptrace or not p.ptrace):
            return wait_task_zombie(k, wo, p)
        if not ptrace or wo.wo_flags & (WCONTINUED | WEXITED):
            wo.notask_error = 0
    else:
        wo.notask_error = 0
    return wait_task_stopped(k, wo, ptrace, p) or wait_task_continued(k, wo, p)


def do_wait_scan(k: Kernel, wo: WaitOpts) -> int:
    """All children and tracees of this thread, then of its siblings (not with __WNOTHREAD)."""
    current = k.current
    for tsk in [current] if wo.wo_flags & __WNOTHREAD else list(current.signal.threads):
        for p in list(tsk.children):
            pid = wait_consider_task(k, wo, False, p)
            if pid:
                return pid
        for p in list(tsk.ptraced):
            pid = wait_consider_task(k, wo, True, p)
            if pid:
                return pid
    return 0


def do_wait(k: Kernel, wo: WaitOpts) -> int:
    """Wait for a child to report something: its pid; 0 with WNOHANG. Raises ECHILD."""
    current = k.current
    wait = WaitQueueEntry(current)
    queue = current.signal.wait_chldexit
    current.wchan = "wait4"
    try:
        while True:
            core_wait.prepare_to_wait(queue, wait, TASK_INTERRUPTIBLE)
            wo.notask_error = ECHILD
            pid = do_wait_scan(k, wo)
            if pid:
                return pid
            if wo.notask_error:
                raise KernelError(wo.notask_error)
            if wo.wo_flags & WNOHANG:
                return 0
            if core_signal.signal_pending(current):
                raise KernelError(ERESTARTSYS)
            core_sched.schedule(k)
    finally:
        core_wait.finish_wait(queue, wait)
        current.wchan = ""


def kernel_wait4(k: Kernel, upid: int, options: int) -> tuple[int, WaitOpts]:
    """wait4(2): (pid, answer). EINVAL for options, ESRCH for INT_MIN, ECHILD."""
    if options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL):
        raise KernelError(EINVAL)
    if upid == -(1 << 31):
        raise KernelError(ESRCH)
    if upid == -1:
        wo = WaitOpts(PIDTYPE_MAX, 0, options | WEXITED)
    elif upid < 0:
        wo = WaitOpts(PIDTYPE_PGID, -upid, options | WEXITED)
    elif upid == 0:
        wo = WaitOpts(PIDTYPE_PGID, k.current.signal.pgrp, options | WEXITED)
    else:
        wo = WaitOpts(PIDTYPE_PID, upid, options | WEXITED)
    return do_wait(k, wo), wo
