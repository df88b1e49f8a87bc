# SPDX-License-Identifier: GPL-2.0-or-later
"""struct task_struct and what hangs off it (include/linux/sched.h, sched/signal.h, fdtable.h, fs_struct.h)."""

from __future__ import annotations

from mmscope.kernel.include.capability import CAP_FULL_SET
from mmscope.kernel.include.mm import NR_MM_COUNTERS
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.include.resource import init_rlimits
from mmscope.kernel.include.signal import SIGCHLD, KernelSiginfo, SighandStruct, Sigpending
from mmscope.kernel.include.wait import Completion, WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mypy_extensions import i64

    from mmscope.kernel.core.futex_pi import PiState
    from mmscope.kernel.core.posix_timers import KItimer
    from mmscope.kernel.include.fs import Dentry, File
    from mmscope.kernel.include.hrtimer import HrTimer
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
    from mmscope.kernel.include.pid import Pid

# task->state
TASK_RUNNING: Final = 0
TASK_INTERRUPTIBLE: Final = 0x1
TASK_UNINTERRUPTIBLE: Final = 0x2
__TASK_STOPPED: Final = 0x4
__TASK_TRACED: Final = 0x8
TASK_WAKEKILL: Final = 0x100
TASK_KILLABLE: Final = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE
TASK_STOPPED: Final = TASK_WAKEKILL | __TASK_STOPPED
TASK_TRACED: Final = TASK_WAKEKILL | __TASK_TRACED
TASK_NORMAL: Final = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE
# task->exit_state
EXIT_DEAD: Final = 0x10
EXIT_ZOMBIE: Final = 0x20
#: The tracer has taken it; the real parent shall be told.
EXIT_TRACE: Final = EXIT_ZOMBIE | EXIT_DEAD

VMACACHE_BITS: Final = 2
VMACACHE_SIZE: Final = 4

#: task->flags: is in do_exit().
PF_EXITING: Final = 0x00000004
#: task->flags: the user has more processes than RLIMIT_NPROC allows; execve looks again.
PF_NPROC_EXCEEDED: Final = 0x00001000
#: task->flags: forked, has not executed anything yet.
PF_FORKNOEXEC: Final = 0x00000040
#: task->flags: the address space is randomised (set by execve unless ADDR_NO_RANDOMIZE).
PF_RANDOMIZE: Final = 0x00400000

# clone(2)
CSIGNAL: Final = 0x000000FF
CLONE_VM: Final = 0x00000100
CLONE_FS: Final = 0x00000200
CLONE_FILES: Final = 0x00000400
CLONE_SIGHAND: Final = 0x00000800
CLONE_PIDFD: Final = 0x00001000
CLONE_PTRACE: Final = 0x00002000
CLONE_VFORK: Final = 0x00004000
CLONE_PARENT: Final = 0x00008000
CLONE_THREAD: Final = 0x00010000
CLONE_NEWNS: Final = 0x00020000
CLONE_SYSVSEM: Final = 0x00040000
CLONE_SETTLS: Final = 0x00080000
CLONE_PARENT_SETTID: Final = 0x00100000
CLONE_CHILD_CLEARTID: Final = 0x00200000
CLONE_DETACHED: Final = 0x00400000
CLONE_UNTRACED: Final = 0x00800000
CLONE_CHILD_SETTID: Final = 0x01000000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
CLONE_IO: Final = 0x80000000
CLONE_CLEAR_SIGHAND: Final = 0x100000000
CLONE_INTO_CGROUP: Final = 0x200000000
CLONE_NEWTIME: Final = 0x00000080

# signal->flags
SIGNAL_STOP_STOPPED: Final = 0x1
SIGNAL_STOP_CONTINUED: Final = 0x2
SIGNAL_CLD_STOPPED: Final = 0x10
SIGNAL_CLD_CONTINUED: Final = 0x20
SIGNAL_CLD_MASK: Final = SIGNAL_CLD_STOPPED | SIGNAL_CLD_CONTINUED
SIGNAL_UNKILLABLE: Final = 0x40

# task->jobctl
JOBCTL_STOP_SIGMASK: Final = 0xFFFF
JOBCTL_STOP_DEQUEUED: Final = 1 << 16
JOBCTL_STOP_PENDING: Final = 1 << 17
JOBCTL_STOP_CONSUME: Final = 1 << 18
JOBCTL_TRAP_STOP: Final = 1 << 19
JOBCTL_TRAP_NOTIFY: Final = 1 << 20
JOBCTL_TRAPPING: Final = 1 << 21
JOBCTL_LISTENING: Final = 1 << 22
JOBCTL_TRAP_MASK: Final = JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY
JOBCTL_PENDING_MASK: Final = JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK

# thread_info->syscall_work. The last one is v5.12's form of looking at TIF_SINGLESTEP.
SYSCALL_WORK_SYSCALL_TRACE: Final = 1 << 2
SYSCALL_WORK_SYSCALL_EMU: Final = 1 << 3
SYSCALL_WORK_SYSCALL_EXIT_TRAP: Final = 1 << 6

# personality(2)
ADDR_NO_RANDOMIZE: Final = 0x0040000
MMAP_PAGE_ZERO: Final = 0x0100000
ADDR_COMPAT_LAYOUT: Final = 0x0200000
READ_IMPLIES_EXEC: Final = 0x0400000
ADDR_LIMIT_32BIT: Final = 0x0800000


class Cred:
    """struct cred: ids and capabilities of the task."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = self.euid = self.suid = self.fsuid = uid
        self.gid = self.egid = self.sgid = self.fsgid = gid
        self.groups: list[int] = []
        #: Sets of capabilities, a bit each: in use, those that it may take up, and those that file capabilities could pass on.
        self.cap_effective = self.cap_permitted = CAP_FULL_SET if uid == 0 else 0
        self.cap_inheritable = 0


class FilesStruct:
    """struct files_struct: descriptor -> file, and the close-on-exec set."""

    def __init__(self) -> None:
        self.fd: dict[int, File] = {}
        self.close_on_exec: set[int] = set()
        #: Tasks that share the table.
        self.count = 1


class FsStruct:
    """struct fs_struct: root, working directory, umask."""

    def __init__(self, root: Dentry, pwd: Dentry) -> None:
        self.root = root
        self.pwd = pwd
        self.umask = 0o022
        #: Tasks that share it.
        self.users = 1


class SignalStruct:
    """struct signal_struct: what the threads of a process share."""

    def __init__(self) -> None:
        self.rlim = init_rlimits()
        self.shared_pending = Sigpending()
        #: Threads that are not yet dead, and all threads in the order of their birth, the leader first.
        self.live = 1
        self.threads: list[TaskStruct] = []
        #: Where the parent waits in wait4(2).
        self.wait_chldexit = WaitQueueHead()
        #: SIGNAL_*: job control.
        self.flags = 0
        #: Threads that still have to stop, and what a stopped or continued process reports.
        self.group_stop_count = 0
        self.group_exit_task: TaskStruct | None = None
        #: Threads that execve still waits for.
        self.notify_count = 0
        #: As wait4 reports it: status << 8, or the signal (| 0x80 with a core).
        self.group_exit_code = 0
        #: SIGNAL_GROUP_EXIT
        self.group_exit = False
        #: Largest RSS that an address space of this process had, pages.
        self.maxrss = 0
        #: What the OOM killer adds for this process, -1000 to 1000, and the least that its user may set.
        self.oom_score_adj = 0
        self.oom_score_adj_min = 0
        #: The address space for which the OOM killer chose this process.
        self.oom_mm: MmStruct | None = None
        #: Process group and session.
        self.pgrp = 0
        self.session = 0
        #: Orphans below this process become its children (prctl PR_SET_CHILD_SUBREAPER); some ancestor is such a one.
        self.is_child_subreaper = 0
        self.has_child_subreaper = 0
        #: ITIMER_REAL: its timer (made when first armed) and its interval, virtual ns.
        self.real_timer: HrTimer | None = None
        self.it_real_incr = 0
        #: timer_create(2)'s timers by their ids, and the next id.
        self.posix_timers: dict[int, KItimer] = {}
        self.posix_timer_id = 0
        #: Of threads that are gone: CPU time (ns), faults, context switches.
        self.utime = 0
        self.stime = 0
        self.min_flt = 0
        self.maj_flt = 0
        self.nvcsw = 0
        self.nivcsw = 0
        #: Of children that were waited for.
        self.cutime = 0
        self.cstime = 0
        self.cmin_flt = 0
        self.cmaj_flt = 0
        self.cnvcsw = 0
        self.cnivcsw = 0
        self.cmaxrss = 0
        #: ITIMER_VIRTUAL and ITIMER_PROF: [expiry in CPU time ns (0 = off), interval ns].
        self.it_virt = [0, 0]
        self.it_prof = [0, 0]
        #: Armed timers on CPU clocks of this process and its threads; any of these, or RLIMIT_CPU, must be looked at.
        self.cpu_timers: list[KItimer] = []
        self.timers_active = False


class SemUndoList:
    """struct sem_undo_list: whose semaphore operations are undone together. What, stands in the arrays (ipc/sem.py)."""

    def __init__(self) -> None:
        self.refcnt = 1


class ThreadStruct:
    """struct thread_struct: what pt_regs does not hold."""

    def __init__(self) -> None:
        self.fsbase = 0
        self.gsbase = 0
        #: Of the last fault or trap, for the signal frame: CR2, the error code, the vector.
        self.cr2 = 0
        self.error_code = 0
        self.trap_nr = 0
        #: FPU and SSE registers while the task does not run: the FXSAVE image. None = the initial state.
        self.fpu: bytes | None = None
        #: A bad access by the kernel is a signal too, not only EFAULT: while a vsyscall is emulated.
        self.sig_on_uaccess_err = False
        #: ds, es, fs, gs and the debug registers as a tracer has set them; nothing else looks at them.
        self.segments = [0, 0, 0, 0]
        self.debugreg = [0] * 8


class TaskStruct:
    """struct task_struct."""

    def __init__(self, kernel: Kernel, pid: int, comm: str) -> None:
        self.kernel = kernel
        self.pid = pid
        self.tgid = pid
        self.comm = comm
        self.state = TASK_RUNNING
        self.exit_state = 0
        self.exit_code = 0
        self.mm: MmStruct | None = None
        self.active_mm: MmStruct | None = None
        self.files: FilesStruct | None = None
        self.fs: FsStruct | None = None
        self.cred = Cred(0, 0)
        self.signal = SignalStruct()
        self.sighand = SighandStruct()
        self.pending = Sigpending()
        #: Bit n-1 set = signal n is blocked.
        self.blocked = 0
        #: The mask that sigsuspend and friends restore, when restore_sigmask is set.
        self.saved_sigmask = 0
        self.restore_sigmask = False
        self.sas_ss_sp = 0
        self.sas_ss_size = 0
        #: As sigaltstack set it; execve resets only the two above.
        self.sas_ss_flags = 0
        self.thread = ThreadStruct()
        self.regs = PtRegs()
        self.personality = 0
        #: PF_*
        self.flags = 0
        #: Faults: minor, major.
        self.min_flt = 0
        self.maj_flt = 0
        #: SPLIT_RSS_COUNTING (until v6.2): deltas not yet in mm->rss_stat, pages, and events since the last sync.
        self.rss_stat: list[i64] = [0] * NR_MM_COUNTERS
        self.rss_stat_events = 0
        #: vmacache: the VMAs found last, valid while the seqnums agree.
        self.vmacache_seqnum = 0
        self.vmacache: list[VmAreaStruct | None] = [None] * VMACACHE_SIZE
        self.set_child_tid = 0
        self.clear_child_tid = 0
        self.robust_list = 0
        #: Futexes with waiters that it owns, and the one that it waits for (FUTEX_LOCK_PI).
        self.pi_state_list: list[PiState] = []
        self.pi_blocked_on: PiState | None = None
        #: Who made us, and who gets the signal: the tracer if there is one. None: init, and who came before.
        self.real_parent: TaskStruct | None = None
        self.parent: TaskStruct | None = None
        self.children: list[TaskStruct] = []
        self.group_leader: TaskStruct = self
        #: Its identity, None until a pidfd asks for it.
        self.thread_pid: Pid | None = None
        #: Signal to the parent at exit; -1 for a thread.
        self.exit_signal = SIGCHLD
        #: How many programs we have executed, and our parent had when it made us: a later one of it gets SIGCHLD.
        self.self_exec_id = 0
        self.parent_exec_id = 0
        #: Who waits in vfork(2) for this task to let go of the address space.
        self.vfork_done: Completion | None = None
        #: JOBCTL_*
        self.jobctl = 0
        #: PT_*: we are traced, and how; and the tasks that we trace.
        self.ptrace = 0
        self.ptraced: list[TaskStruct] = []
        #: What PTRACE_GETEVENTMSG tells, and the siginfo of the stop that we are in.
        self.ptrace_message = 0
        self.last_siginfo: KernelSiginfo | None = None
        #: Where a tracer waits for JOBCTL_TRAPPING to be cleared.
        self.trapping_wait: WaitQueueHead | None = None
        #: SYSCALL_WORK_*; TIF_SINGLESTEP and TIF_FORCED_TF: the tracer steps us, and it was he who set TF.
        self.syscall_work = 0
        self.tif_singlestep = False
        self.tif_forced_tf = False
        #: The kernel stack: a greenlet, None until the task has run, or while it is the only one (core/sched.py).
        self.stack: Any = None
        #: On the runqueue, or running.
        self.on_rq = False
        #: TIF_NEED_RESCHED
        self.need_resched = False
        #: CLOCK_MONOTONIC when the task was last given the CPU.
        self.exec_start = 0
        #: What it sleeps in, for the report of a deadlock.
        self.wchan = ""
        #: TIF_SIGPENDING: a signal may have to be handled before the return to user mode.
        self.tif_sigpending = False
        #: TIF_MEMDIE: an OOM victim that still has its memory.
        self.tif_memdie = False
        #: Signals that sigtimedwait waits for, while it does (they count as not ignored).
        self.real_blocked = 0
        #: What is undone at the exit of the last task that shares it; None until an operation with SEM_UNDO.
        self.sysvsem: SemUndoList | None = None
        #: restart_block: clock id, expiry (ns) and address of the remaining time of an interrupted nanosleep; -1 = none.
        self.restart_clockid = -1
        self.restart_expires = 0
        self.restart_rmtp = 0
        #: The same of an interrupted futex wait with a timeout: its arguments.
        self.restart_futex: tuple[int, bool, int, int, int] | None = None
        #: CPU time, virtual ns, and the moment of birth on CLOCK_MONOTONIC.
        self.utime = 0
        self.stime = 0
        self.start_time = 0
        #: Context switches: voluntary (sleeps), and when another task's turn had come.
        self.nvcsw = 0
        self.nivcsw = 0
        self.pdeath_signal = 0
        self.dumpable = 1
        self.no_new_privs = 0
        self.timer_slack_ns = 50000
        self.keepcaps = 0
        #: MMF_DISABLE_THP.
        self.thp_disable = 0
        #: SCHED_NORMAL...: policy and real-time priority.
        self.policy = 0
        self.rt_priority = 0
        self.static_prio_nice = 0
        self.sched_reset_on_fork = False
        #: PF_MCE_PROCESS and PF_MCE_EARLY as PR_MCE_KILL_GET shows them: 0 late, 1 early, 2 as the system does.
        self.mce_kill = 2
        #: rseq(2): address, length and signature of the registered area.
        self.rseq = 0
        self.rseq_len = 0
        self.rseq_sig = 0
