# SPDX-License-Identifier: GPL-2.0-or-later
"""Birth and death of tasks and address spaces (kernel/fork.c)."""

from __future__ import annotations

import mmscope.kernel.arch.x86.uaccess as uaccess
import mmscope.kernel.core.futex as core_futex
import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.ptrace as core_ptrace
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.arch.x86.pgtable import pgd_alloc, pgd_free
from mmscope.kernel.core.capability import capable
from mmscope.kernel.core.pid import alloc_pid
from mmscope.kernel.core.sched_syscalls import sched_fork
from mmscope.kernel.fs.file import fd_install, fput, get_file, put_files_struct
from mmscope.kernel.include.capability import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from mmscope.kernel.include.errno import EAGAIN, EINVAL, EPERM, ERESTARTNOINTR, KernelBug, KernelError
from mmscope.kernel.include.mm import NR_MM_COUNTERS
from mmscope.kernel.include.mm_types import MMF_OOM_SKIP, MmStruct
from mmscope.kernel.include.page import TASK_SIZE, TASK_SIZE_MAX
from mmscope.kernel.include.ptrace import PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_CPU, RLIMIT_NPROC, Rlimit
from mmscope.kernel.include.sched import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_CLEAR_SIGHAND,
    CLONE_DETACHED,
    CLONE_FILES,
    CLONE_FS,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    CLONE_PARENT,
    CLONE_PARENT_SETTID,
    CLONE_PIDFD,
    CLONE_PTRACE,
    CLONE_SETTLS,
    CLONE_SIGHAND,
    CLONE_SYSVSEM,
    CLONE_THREAD,
    CLONE_UNTRACED,
    CLONE_VFORK,
    CLONE_VM,
    PF_FORKNOEXEC,
    PF_NPROC_EXCEEDED,
    SIGNAL_UNKILLABLE,
    TASK_KILLABLE,
    Cred,
    FilesStruct,
    FsStruct,
    SignalStruct,
    TaskStruct,
)
from mmscope.kernel.include.signal import SIG_IGN, SIGCHLD, SS_DISABLE, KSigaction, SighandStruct
from mmscope.kernel.include.wait import Completion
from mmscope.kernel.mm.memory import sync_mm_rss
from mmscope.kernel.tracepoint import trace_sched_process_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def mm_alloc(k: Kernel) -> MmStruct:
    """A fresh, empty address space with its PGD; one user. Raises KernelError(ENOMEM)."""
    mm = MmStruct(k)
    mm_init(mm)
    return mm


def mm_init(mm: MmStruct) -> None:
    """What mm_alloc and dup_mm have in common: the counters are new, the PGD is allocated."""
    mm.mm_users = 1
    mm.mm_count = 1
    mm.map_count = 0
    mm.locked_vm = 0
    mm.locked_vm_lost = 0
    mm.pinned_vm = 0
    mm.rss_stat = [0] * NR_MM_COUNTERS
    mm.task_size = TASK_SIZE
    mm.pgd = pgd_alloc(mm)


def mmget(mm: MmStruct) -> None:
    """One more user of the address space."""
    mm.mm_users += 1


def mmput(mm: MmStruct) -> None:
    """One user less; the last one tears the address space down."""
    mm.mm_users -= 1
    if mm.mm_users < 0:
        raise KernelBug(f"mmput: mm_users {mm.mm_users} of {mm!r}")
    if mm.mm_users == 0:
        __mmput(mm)


def __mmput(mm: MmStruct) -> None:
    """No thread uses the address space any more: unmap everything, then drop the users' common reference."""
    mm_mmap.exit_mmap(mm)
    mm.flags |= MMF_OOM_SKIP
    set_mm_exe_file(mm, None)
    mm.kernel.exec_mms.append(mm)
    mmdrop(mm)


def mmdrop(mm: MmStruct) -> None:
    """One reference to the structure less (lazy TLB users hold some); the last frees the PGD."""
    mm.mm_count -= 1
    if mm.mm_count == 0:
        __mmdrop(mm)


def __mmdrop(mm: MmStruct) -> None:
    """Nobody looks at `mm` any more. Precondition: it is not loaded in the CPU."""
    pgd_free(mm)
    check_mm(mm)
    if mm in mm.kernel.exec_mms:
        mm.kernel.exec_mms.remove(mm)


def check_mm(mm: MmStruct) -> None:
    """At its end an address space holds no page and no table."""
    for item in range(NR_MM_COUNTERS):
        if mm.rss_stat[item]:
            raise KernelBug(f"Bad rss-counter state mm:{mm!r} type:{item} val:{mm.rss_stat[item]}")
    if mm.pgtables_bytes:
        raise KernelBug(f"non-zero pgtables_bytes on freeing mm:{mm!r}: {mm.pgtables_bytes}")


def set_mm_exe_file(mm: MmStruct, new_exe_file: object) -> None:
    """/proc/PID/exe of this address space; None lets it go."""
    if new_exe_file is None:
        old = mm.exe_file
        mm.exe_file = None
        if old is not None:
            fput(old)


def exec_mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """The task leaves `mm` by execve: futexes and the tid address it had registered die with it."""
    core_futex.futex_exit_release(task.kernel, task)
    mm_release(task, mm)


def exit_mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """The task leaves `mm` by exiting."""
    core_futex.futex_exit_release(task.kernel, task)
    mm_release(task, mm)


def mm_release(task: TaskStruct, mm: MmStruct) -> None:
    """CLONE_CHILD_CLEARTID: zero the tid in user memory and wake its futex, but only if someone else still sees it.

    Then whoever waits in vfork(2) goes on.
    """
    if task.clear_child_tid:
        if mm.mm_users > 1:
            try:
                uaccess.put_user(task.kernel, task.clear_child_tid, 0, 4)
                core_futex.futex_wake(task.kernel, task.clear_child_tid, 1, core_futex.FUTEX_BITSET_MATCH_ANY, True)
            except KernelError:
                pass
        task.clear_child_tid = 0
    vfork = task.vfork_done
    if vfork is not None:
        task.vfork_done = None
        core_wait.complete(vfork)


def exit_mm(task: TaskStruct) -> None:
    """The task gives up its address space (kernel/exit.c); the CPU goes on on the kernel's page tables."""
    mm = task.mm
    if mm is None:
        return
    exit_mm_release(task, mm)
    sync_mm_rss(mm)
    task.mm = None
    # As active_mm the tables stay loaded while they are torn down; the switch to the kernel's own lets go of them.
    mm.mm_count += 1
    mmput(mm)
    task.tif_memdie = False
    task.active_mm = None
    cpu = task.kernel.cpu
    if cpu.cr3 == mm.pgd:
        cpu.load_cr3(0)
    mmdrop(mm)


# --- what a child has of its own, and what it shares


class KernelCloneArgs:
    """struct kernel_clone_args: what clone(2), clone3(2), fork(2) and vfork(2) ask for."""

    def __init__(self, flags: int, exit_signal: int = 0) -> None:
        self.flags = flags
        self.exit_signal = exit_signal
        #: Addresses in user memory, 0 = none.
        self.pidfd = 0
        self.child_tid = 0
        self.parent_tid = 0
        #: The child's stack pointer, 0 = the parent's; and its fs base with CLONE_SETTLS.
        self.stack = 0
        self.tls = 0


def copy_files(clone_flags: int, tsk: TaskStruct, old: FilesStruct | None) -> None:
    """The descriptor table: shared with CLONE_FILES, else a copy; open files are shared in any case."""
    if old is None:
        return
    if clone_flags & CLONE_FILES:
        old.count += 1
        tsk.files = old
    else:
        tsk.files = dup_fd(old)


def dup_fd(old: FilesStruct) -> FilesStruct:
    """A copy of the table."""
    new = FilesStruct()
    new.fd = dict(old.fd)
    new.close_on_exec = set(old.close_on_exec)
    for file in new.fd.values():
        get_file(file)
    return new


def copy_fs(clone_flags: int, tsk: TaskStruct, old: FsStruct) -> None:
    """Root, working directory and umask."""
    if clone_flags & CLONE_FS:
        old.users += 1
        tsk.fs = old
    else:
        tsk.fs = FsStruct(old.root, old.pwd)
        tsk.fs.umask = old.umask


def copy_sighand(clone_flags: int, tsk: TaskStruct, old: SighandStruct) -> None:
    """The dispositions: shared, copied, or (CLONE_CLEAR_SIGHAND, v5.5) reset but for what is ignored."""
    if clone_flags & CLONE_SIGHAND:
        old.count += 1
        tsk.sighand = old
        return
    tsk.sighand = SighandStruct()
    for i, action in enumerate(old.action):
        if clone_flags & CLONE_CLEAR_SIGHAND and action.sa_handler != SIG_IGN:
            continue
        tsk.sighand.action[i] = KSigaction(action.sa_handler, action.sa_flags, action.sa_restorer, action.sa_mask)


def copy_signal(clone_flags: int, tsk: TaskStruct, current: TaskStruct) -> None:
    """What the threads of a process share: a new one inherits limits, group and session."""
    old = current.signal
    if clone_flags & CLONE_THREAD:
        tsk.signal = old
        return
    sig = tsk.signal = SignalStruct()
    sig.rlim = [Rlimit(rlim.rlim_cur, rlim.rlim_max) for rlim in old.rlim]
    sig.timers_active = sig.rlim[RLIMIT_CPU].rlim_cur != RLIM_INFINITY
    sig.pgrp = old.pgrp
    sig.session = old.session
    sig.oom_score_adj, sig.oom_score_adj_min = old.oom_score_adj, old.oom_score_adj_min
    sig.has_child_subreaper = old.has_child_subreaper or old.is_child_subreaper


def copy_mm(clone_flags: int, tsk: TaskStruct, current: TaskStruct) -> None:
    """The address space: shared with CLONE_VM, else a copy of its mappings."""
    oldmm = current.mm
    tsk.min_flt = tsk.maj_flt = tsk.nvcsw = tsk.nivcsw = 0
    if oldmm is None:
        return
    if clone_flags & CLONE_VM:
        mmget(oldmm)
        mm = oldmm
    else:
        # Much of mm/ imports this module.
        from mmscope.kernel.core.fork_mm import dup_mm

        mm = dup_mm(tsk, oldmm)
    tsk.vmacache_seqnum = mm.vmacache_seqnum
    tsk.vmacache = [None] * len(tsk.vmacache)
    tsk.mm = tsk.active_mm = mm


def copy_thread(args: KernelCloneArgs, tsk: TaskStruct, current: TaskStruct, regs: PtRegs) -> None:
    """The registers with which the child returns from the system call: 0 in ax, its own stack and TLS if asked for."""
    new = tsk.regs
    new.r15, new.r14, new.r13, new.r12, new.bp, new.bx = regs.r15, regs.r14, regs.r13, regs.r12, regs.bp, regs.bx
    new.r11, new.r10, new.r9, new.r8, new.cx, new.dx = regs.r11, regs.r10, regs.r9, regs.r8, regs.cx, regs.dx
    new.si, new.di, new.orig_ax, new.ip, new.cs, new.flags = regs.si, regs.di, regs.orig_ax, regs.ip, regs.cs, regs.flags
    new.sp, new.ss = args.stack or regs.sp, regs.ss
    new.ax = 0
    tsk.thread.fsbase = current.thread.fsbase
    tsk.thread.gsbase = current.thread.gsbase
    tsk.thread.fpu = tsk.kernel.cpu.fxsave()
    if args.flags & CLONE_SETTLS:
        if args.tls >= TASK_SIZE_MAX:
            raise KernelError(EPERM)
        tsk.thread.fsbase = args.tls


def user_processes(k: Kernel, uid: int) -> int:
    """user->processes: tasks whose real user is `uid`, threads and zombies included."""
    return sum(1 for task in k.tasks.values() if task.cred.uid == uid)


def check_clone_flags(k: Kernel, args: KernelCloneArgs) -> None:
    """The combinations that make no sense, in copy_process()'s order; then what the model refuses."""
    flags = args.flags
    current = k.current
    wrong = (
        flags & (CLONE_NEWNS | CLONE_FS) == CLONE_NEWNS | CLONE_FS
        or flags & (CLONE_NEWUSER | CLONE_FS) == CLONE_NEWUSER | CLONE_FS
        or (flags & CLONE_THREAD and not flags & CLONE_SIGHAND)
        or (flags & CLONE_SIGHAND and not flags & CLONE_VM)
        or (flags & CLONE_PARENT and current.signal.flags & SIGNAL_UNKILLABLE)
        or (flags & CLONE_THREAD and flags & (CLONE_NEWUSER | CLONE_NEWPID))
        or (flags & (CLONE_THREAD | CLONE_VM) and flags & CLONE_NEWTIME)
        or (flags & CLONE_PIDFD and flags & (CLONE_DETACHED | CLONE_THREAD))
    )
    if wrong:
        raise KernelError(EINVAL)


def copy_creds(k: Kernel, p: TaskStruct, args: KernelCloneArgs) -> None:
    """The ids; a new user namespace is refused, and RLIMIT_NPROC looked at (EAGAIN)."""
    old = k.current.cred
    cred = p.cred = Cred(old.uid, old.gid)
    cred.euid, cred.suid, cred.fsuid = old.euid, old.suid, old.fsuid
    cred.egid, cred.sgid, cred.fsgid = old.egid, old.sgid, old.fsgid
    cred.groups = list(old.groups)
    cred.cap_effective, cred.cap_permitted, cred.cap_inheritable = old.cap_effective, old.cap_permitted, old.cap_inheritable
    limit = k.current.signal.rlim[RLIMIT_NPROC].rlim_cur
    privileged = cred.uid == 0 or capable(k, CAP_SYS_RESOURCE) or capable(k, CAP_SYS_ADMIN)
    if not privileged and user_processes(k, cred.uid) >= limit:
        raise KernelError(EAGAIN)
    k.current.flags &= ~PF_NPROC_EXCEEDED
    if args.flags & CLONE_NEWUSER:
        k.warn_once("clone: user namespaces are not implemented: EINVAL")
        raise KernelError(EINVAL)


def copy_namespaces(k: Kernel, flags: int) -> None:
    """EPERM without CAP_SYS_ADMIN; with it EINVAL, as from a kernel built without namespaces."""
    if flags & (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWTIME):
        if not capable(k, CAP_SYS_ADMIN):
            raise KernelError(EPERM)
        k.warn_once("clone: namespaces are not implemented: EINVAL")
        raise KernelError(EINVAL)


def make_pidfd(k: Kernel, p: TaskStruct, args: KernelCloneArgs) -> None:
    """CLONE_PIDFD: the parent's descriptor for the child. EMFILE, EFAULT."""
    from mmscope.kernel.fs.pidfs import pidfd_prepare

    fd, file = pidfd_prepare(k, p, 0)
    try:
        uaccess.put_user(k, args.pidfd, fd, 4)
    except KernelError:
        fput(file)
        raise
    fd_install(k, fd, file)


def copy_process(k: Kernel, args: KernelCloneArgs, regs: PtRegs, trace: int = 0) -> TaskStruct:
    """A new task, not yet running. Raises EINVAL, EPERM, EAGAIN (too many), ENOMEM; ERESTARTNOINTR if a signal is first.

    `trace`: the event that our tracer wants to hear of; then the child is its tracee too.
    """
    flags = args.flags
    current = k.current
    check_clone_flags(k, args)
    core_signal.recalc_sigpending(current)
    if core_signal.signal_pending(current):
        raise KernelError(ERESTARTNOINTR)
    p = dup_task_struct(k, current)
    copy_creds(k, p, args)
    if len(k.tasks) >= k.max_threads:
        raise KernelError(EAGAIN)
    old_fs = current.fs
    assert old_fs is not None
    copy_files(flags, p, current.files)
    try:
        copy_fs(flags, p, old_fs)
        copy_sighand(flags, p, current.sighand)
        copy_signal(flags, p, current)
        copy_mm(flags, p, current)
        copy_namespaces(k, flags)
        copy_thread(args, p, current, regs)
        p.pid = alloc_pid(k)
        if flags & CLONE_PIDFD:
            make_pidfd(k, p, args)
    except KernelError:
        bad_fork_cleanup(p)
        raise
    if flags & CLONE_SYSVSEM:
        # Few programs have semaphores.
        from mmscope.kernel.ipc.sem import copy_semundo

        copy_semundo(p, current)
    if flags & (CLONE_VM | CLONE_VFORK) == CLONE_VM:
        p.sas_ss_sp = p.sas_ss_size = 0
        p.sas_ss_flags = SS_DISABLE
    p.set_child_tid = args.child_tid if flags & CLONE_CHILD_SETTID else 0
    p.clear_child_tid = args.child_tid if flags & CLONE_CHILD_CLEARTID else 0
    if flags & CLONE_VM:
        p.rseq = p.rseq_len = p.rseq_sig = 0
    link_task(k, p, args, bool(flags & CLONE_PTRACE or trace))
    return p


def dup_task_struct(k: Kernel, orig: TaskStruct) -> TaskStruct:
    """What a child inherits that needs no further thought."""
    p = TaskStruct(k, 0, orig.comm)
    p.flags = orig.flags & ~PF_NPROC_EXCEEDED | PF_FORKNOEXEC
    p.personality = orig.personality
    p.blocked = orig.blocked
    p.sas_ss_sp, p.sas_ss_size, p.sas_ss_flags = orig.sas_ss_sp, orig.sas_ss_size, orig.sas_ss_flags
    p.rseq, p.rseq_len, p.rseq_sig = orig.rseq, orig.rseq_len, orig.rseq_sig
    p.dumpable, p.no_new_privs, p.keepcaps, p.thp_disable = orig.dumpable, orig.no_new_privs, orig.keepcaps, orig.thp_disable
    p.timer_slack_ns = orig.timer_slack_ns
    p.self_exec_id = orig.self_exec_id
    p.policy, p.rt_priority, p.static_prio_nice = orig.policy, orig.rt_priority, orig.static_prio_nice
    p.sched_reset_on_fork, p.mce_kill = orig.sched_reset_on_fork, orig.mce_kill
    sched_fork(p)
    p.start_time = k.timekeeper.now_ns
    return p


def bad_fork_cleanup(p: TaskStruct) -> None:
    """Give back what a child that will not be had got."""
    if p.mm is not None:
        mm = p.mm
        p.mm = None
        mmput(mm)
    if p.sighand.count > 1:
        p.sighand.count -= 1
    if p.fs is not None:
        p.fs.users -= 1
    if p.files is not None:
        put_files_struct(p.files)


def link_task(k: Kernel, p: TaskStruct, args: KernelCloneArgs, ptrace: bool) -> None:
    """The child becomes visible: its parent, its thread group, the table of tasks."""
    current = k.current
    flags = args.flags
    if flags & CLONE_THREAD:
        p.exit_signal = -1
        p.group_leader = current.group_leader
        p.tgid = current.tgid
        p.signal.live += 1
    else:
        p.exit_signal = current.group_leader.exit_signal if flags & CLONE_PARENT else args.exit_signal
        p.parent_exec_id = current.parent_exec_id if flags & CLONE_PARENT else current.self_exec_id
        p.tgid = p.pid
    p.real_parent = current.real_parent if flags & (CLONE_PARENT | CLONE_THREAD) else current
    p.parent = p.real_parent
    core_ptrace.ptrace_init_task(k, p, ptrace)
    p.signal.threads.append(p)
    if flags & CLONE_THREAD:
        core_jobctl.task_join_group_stop(k, p)
    elif p.real_parent is not None:
        p.real_parent.children.append(p)
    k.tasks[p.pid] = p


def kernel_clone(k: Kernel, args: KernelCloneArgs, regs: PtRegs) -> int:
    """fork(2) and all its relatives (until v5.9 _do_fork): the child's pid. With CLONE_VFORK it first waits for the child."""
    flags = args.flags
    if flags & CLONE_PIDFD and flags & CLONE_PARENT_SETTID and args.pidfd == args.parent_tid:
        raise KernelError(EINVAL)
    trace = 0
    if not flags & CLONE_UNTRACED and k.current.ptrace:
        if flags & CLONE_VFORK:
            trace = PTRACE_EVENT_VFORK
        else:
            trace = PTRACE_EVENT_FORK if args.exit_signal == SIGCHLD else PTRACE_EVENT_CLONE
        if not core_ptrace.ptrace_event_enabled(k.current, trace):
            trace = 0
    p = copy_process(k, args, regs, trace)
    if flags & CLONE_PARENT_SETTID:
        try:
            uaccess.put_user(k, args.parent_tid, p.pid, 4)
        except KernelError:
            pass
    vfork: Completion | None = None
    if flags & CLONE_VFORK:
        vfork = p.vfork_done = Completion()
    nr = p.pid
    trace_sched_process_fork(k, k.current, p)
    core_sched.wake_up_new_task(p)
    if trace:
        core_ptrace.ptrace_event(k, trace, nr)
    if vfork is not None:
        k.current.wchan = "vfork"
        done = core_wait.wait_for_completion_killable(k, vfork, TASK_KILLABLE)
        k.current.wchan = ""
        if done:
            core_ptrace.ptrace_event(k, PTRACE_EVENT_VFORK_DONE, nr)
        else:
            p.vfork_done = None
    return nr


def unshare_flags(k: Kernel, flags: int) -> None:
    """unshare(2): own files and working directory; of what threads must share only who is alone can be told so. EINVAL."""
    namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWTIME
    namespaces |= CLONE_NEWUSER
    current = k.current
    if flags & ~(CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM | namespaces):
        raise KernelError(EINVAL)
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) and len(current.signal.threads) > 1:
        raise KernelError(EINVAL)
    if flags & (CLONE_SIGHAND | CLONE_VM) and current.sighand.count > 1:
        raise KernelError(EINVAL)
    if flags & CLONE_VM and current.mm is not None and current.mm.mm_users > 1:
        raise KernelError(EINVAL)
    if flags & CLONE_NEWUSER:
        k.warn_once("unshare: user namespaces are not implemented: EINVAL")
        raise KernelError(EINVAL)
    copy_namespaces(k, flags & namespaces)
    if flags & CLONE_SYSVSEM and current.sysvsem is not None:
        from mmscope.kernel.ipc.sem import exit_sem

        exit_sem(k, current)
    fs = current.fs
    if flags & (CLONE_FS | CLONE_NEWNS) and fs is not None and fs.users > 1:
        copy_fs(0, current, fs)
        fs.users -= 1
    files = current.files
    if flags & CLONE_FILES and files is not None and files.count > 1:
        current.files = dup_fd(files)
        put_files_struct(files)


def schedule_tail(k: Kernel) -> None:
    """The first thing that a child does: look at the signals it was born with; its pid where CLONE_CHILD_SETTID wants it."""
    current = k.current
    core_signal.recalc_sigpending(current)
    if current.set_child_tid:
        try:
            uaccess.put_user(k, current.set_child_tid, current.pid, 4)
        except KernelError:
            pass
