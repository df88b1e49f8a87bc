# SPDX-License-Identifier: GPL-2.0-or-later
"""struct task_struct and what hangs off it (include/linux/sched.h, sched/signal.h, fdtable.h, fs_struct.h)."""

from __future__ import annotations

from mmscope.kernel.include.capability import CAP_FULL_SET
from mmscope.kernel.include.mm import NR_MM_COUNTERS
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.include.resource import init_rlimits
from mmscope.kernel.include.signal import SighandStruct, Sigpending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import Dentry, File
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

TASK_RUNNING: Final = 0
TASK_INTERRUPTIBLE: Final = 1
EXIT_ZOMBIE: Final = 0x20
EXIT_DEAD: Final = 0x10

VMACACHE_BITS: Final = 2
VMACACHE_SIZE: Final = 4

#: task->flags: forked, has not executed anything yet.
PF_FORKNOEXEC: Final = 0x00000040
#: task->flags: the address space is randomised (set by execve unless ADDR_NO_RANDOMIZE).
PF_RANDOMIZE: Final = 0x00400000

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


class FsStruct:
    """struct fs_struct: root, working directory, umask."""

    def __init__(self, root: Dentry, pwd: Dentry) -> None:
        self.root = root
        self.pwd = pwd
        self.umask = 0o022


class SignalStruct:
    """struct signal_struct: what the threads of a process share."""

    def __init__(self) -> None:
        self.rlim = init_rlimits()
        self.shared_pending = Sigpending()
        #: As wait4 reports it: status << 8, or the signal (| 0x80 with a core).
        self.group_exit_code = 0
        #: SIGNAL_GROUP_EXIT
        self.group_exit = False
        #: Largest RSS that an address space of this process had, pages.
        self.maxrss = 0
        #: What the OOM killer adds for this process, -1000 to 1000, and the least that its user may set.
        self.oom_score_adj = 0
        self.oom_score_adj_min = 0
        #: Process group and session.
        self.pgrp = 0
        self.session = 0
        #: Expiry (virtual ns, CLOCK_MONOTONIC; 0 = not armed) and interval of ITIMER_REAL.
        self.it_real_expires = 0
        self.it_real_incr = 0
        #: When ITIMER_REAL expired last.
        self.it_real_last = 0
        #: ITIMER_VIRTUAL and ITIMER_PROF: [expiry in CPU time ns (0 = off), interval ns].
        self.it_virt = [0, 0]
        self.it_prof = [0, 0]


class ThreadStruct:
    """struct thread_struct: what pt_regs does not hold."""

    def __init__(self) -> None:
        self.fsbase = 0
        self.gsbase = 0
        #: Of the last fault or trap, for the signal frame: CR2, the error code, the vector.
        self.cr2 = 0
        self.error_code = 0
        self.trap_nr = 0
        #: A bad access by the kernel is a signal too, not only EFAULT: while a vsyscall is emulated.
        self.sig_on_uaccess_err = False


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
        self.rss_stat: list[int] = [0] * NR_MM_COUNTERS
        self.rss_stat_events = 0
        #: vmacache: the VMAs found last, valid while the seqnums agree.
        self.vmacache_seqnum = 0
        self.vmacache: list[VmAreaStruct | None] = [None] * VMACACHE_SIZE
        self.clear_child_tid = 0
        self.robust_list = 0
        self.ppid = 0
        #: TIF_SIGPENDING: a signal may have to be handled before the return to user mode.
        self.tif_sigpending = False
        #: Signals that sigtimedwait waits for, while it does (they count as not ignored).
        self.real_blocked = 0
        #: restart_block: clock id, expiry (ns) and address of the remaining time of an interrupted nanosleep; -1 = none.
        self.restart_clockid = -1
        self.restart_expires = 0
        self.restart_rmtp = 0
        #: CPU time, virtual ns, and the moment of birth on CLOCK_MONOTONIC.
        self.utime = 0
        self.stime = 0
        self.start_time = 0
        #: Context switches: voluntary (sleeps).
        self.nvcsw = 0
        self.pdeath_signal = 0
        self.dumpable = 1
        self.no_new_privs = 0
        self.timer_slack_ns = 50000
        self.keepcaps = 0
        self.child_subreaper = 0
        #: MMF_DISABLE_THP.
        self.thp_disable = 0
        #: SCHED_NORMAL...: policy and real-time priority.
        self.policy = 0
        self.rt_priority = 0
        self.static_prio_nice = 0
        #: rseq(2): address, length and signature of the registered area.
        self.rseq = 0
        self.rseq_len = 0
        self.rseq_sig = 0
