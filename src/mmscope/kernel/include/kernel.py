# SPDX-License-Identifier: GPL-2.0-or-later
"""`Kernel`: what is global in Linux. One object a machine; nothing in kernel/ is mutable at module level.

Built by `mmscope.kernel.init.main.start_kernel(config)`.
"""

from __future__ import annotations

from mmscope.kernel.config import KernelConfig
from mmscope.kernel.include.fs import BdiWriteback
from mmscope.kernel.include.mmzone import MemMap
from mmscope.kernel.include.rq import Rq
from mmscope.kernel.tracepoint import Tracepoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from mypy_extensions import i64

    from mmscope.kernel.arch.x86.cpu import Cpu
    from mmscope.kernel.arch.x86.vdso import VdsoImage
    from mmscope.kernel.core.futex import FutexQ
    from mmscope.kernel.core.timekeeping import Timekeeper
    from mmscope.kernel.fs.hostwait import HostWait
    from mmscope.kernel.fs.namespace import Vfs
    from mmscope.kernel.fs.pipe import PipeInodeInfo
    from mmscope.kernel.include.filelock import FileLock
    from mmscope.kernel.include.fs import Inode, SuperBlock
    from mmscope.kernel.include.hrtimer import HrTimer
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import Cred, TaskStruct
    from mmscope.kernel.include.socket import UnixSock
    from mmscope.kernel.mm.page_alloc import Zone
    from mmscope.kernel.mm.swap import LruState
    from mmscope.kernel.mm.vmstat import VmStat


class Kernel:
    """The globals of one running kernel."""

    def __init__(self, config: KernelConfig, ram: mmap.mmap) -> None:
        self.config = config
        #: Physical memory, config.ram bytes, as bytes and as signed 64-bit words (index = physical address >> 3).
        self.ram = ram
        self.mem = memoryview(ram)
        self.words: memoryview[i64] = memoryview(ram).cast("q")
        #: max_pfn: number of frames.
        self.max_pfn = config.ram >> 12
        #: pfn -> Page, for every frame that was ever allocated or reserved.
        self.mem_map = MemMap(self.max_pfn)
        self.tp = Tracepoints()
        #: Physical address of empty_zero_page, and my_zero_pfn().
        self.zero_pfn = 0
        #: Pages committed by VM_ACCOUNT mappings (vm_committed_as).
        self.vm_committed_as = 0
        #: Those of them that nothing will ever give back (live kernels leak them too): growth of stacks without VM_ACCOUNT,
        #: and what mremap() cuts off before a move (since v6.15).
        self.vm_committed_lost = 0
        #: CPU 0, the only one.
        self.cpu: Cpu
        self.zone: Zone
        self.lru: LruState
        self.vmstat: VmStat
        self.vfs: Vfs
        self.timekeeper: Timekeeper
        #: The vDSO's image in RAM and the vvar frame; None until init_vdso().
        self.vdso_image_64: VdsoImage | None = None
        #: The PGD entry that all page tables share, of the kernel's half: for the vsyscall page; 0 = none.
        self.swapper_pgd_511 = 0
        #: shmem's internal mount (ShmemSbInfo of mm/shmem.py), None until the first shared anonymous mapping.
        self.shm_mnt: object = None
        #: The dirty inodes, and the flusher's clock.
        self.wb = BdiWriteback()
        #: System V shared memory (IpcNamespace of ipc/shm.py), None until the first shmget.
        self.shm_ids: object = None
        #: Its semaphores (SemIds of ipc/sem.py), None until the first semget.
        self.sem_ids: object = None
        #: hugetlbfs's internal mount (HugetlbfsSbInfo of fs/hugetlbfs.py), None until the first MAP_HUGETLB.
        self.hugetlbfs_vfsmount: object = None
        #: pid -> task; the running one.
        self.tasks: dict[int, TaskStruct] = {}
        self.current: TaskStruct
        self.last_pid = 0
        #: The timerfds that are told when the clock is set.
        self.timerfd_cancel_list: list[object] = []
        #: The runqueue; armed timers by time.
        self.rq = Rq()
        self.hrtimers: list[HrTimer] = []
        #: The most tasks, by the RAM; and the numbers that they may have.
        self.max_threads = 0
        self.pid_max = 32768
        #: Pids have been used up once: numbers come back.
        self.pids_wrapped = False
        #: Process 1, the parent of orphans. It never runs: what it would wait for is gone at once.
        self.child_reaper: TaskStruct | None = None
        #: Who waits for descriptors of the host, in order (fs/hostwait.py).
        self.host_waits: list[HostWait] = []
        #: Foreground process group of the caller's terminal: who gets its signals.
        self.tty_pgrp = 0
        #: pipefs, and the one inode of eventfd and epoll files; None until the first. Their last inode number.
        self.pipe_mnt: SuperBlock | None = None
        self.anon_inode: Inode | None = None
        self.sock_mnt: SuperBlock | None = None
        #: Named pipes that are open.
        self.fifo_pipes: dict[Inode, PipeInodeInfo] = {}
        #: AF_UNIX sockets by name, and the last name that bind(2) chose itself.
        self.unix_sockets: dict[bytes, UnixSock] = {}
        self.unix_inodes: dict[Inode, UnixSock] = {}
        self.unix_autobind = 0
        self.last_ino = 0x4000
        #: eventfd_ida: the ids in use.
        self.eventfd_ids: set[int] = set()
        #: Locks on files in effect, the newest first; POSIX requests that wait (file_lock_list, blocked_hash).
        self.file_lock_list: list[FileLock] = []
        self.blocked_hash: list[FileLock] = []
        #: pfn -> references that pipes hold, to their own pages and to those of others (splice).
        self.pipe_pages: dict[int, int] = {}
        #: The futex hash table: key -> waiters in order (core/futex.py).
        self.futex_queues: dict[tuple[object, int], list[FutexQ]] = {}
        #: Address spaces that no task has: of programs that are about to run, while execve waits for other threads to die, and
        #: of dead processes, as long as /proc/PID/mem is open.
        self.exec_mms: list[MmStruct] = []
        #: The ids of every task that new_task() makes.
        self.init_cred: Cred
        #: State of get_random_bytes (xorshift64*), seeded from config.seed.
        self.random_state = (config.seed * 0x9E3779B97F4A7C15 + 0x1234567) & 0xFFFFFFFFFFFFFFFF or 1
        #: Returns to user mode since the last validate_vm() (CONFIG_DEBUG_VM, mm/debug_vm.py).
        self.debug_vm_events = 0
        #: vm.drop_caches was given a 4: it logs nothing any more.
        self.drop_caches_quiet = False
        #: What printk said; (virtual ns, text). Shown by the tools as the kernel log.
        self.log: list[tuple[int, str]] = []
        #: Tells the user of the model, once each, what it cannot do (an unknown system call, a deadlock). The CLI
        #: prints it on stderr; the default keeps it in `log`.
        self.warn: Callable[[str], None] = self.printk
        #: The texts that warn_once() has already given.
        self.warned: set[str] = set()
        #: Signals that came from outside (Ctrl-C) and are still to be sent to the current process.
        self.host_signals: list[int] = []
        #: Waiting in the host: a signal from outside must raise KernelError to end that.
        self.host_waiting = False
        #: init_utsname()->nodename and domainname.
        self.nodename = "mmscope"
        self.domainname = "(none)"

    def has_current(self) -> bool:
        """A task is running."""
        try:
            return self.current is not None
        except AttributeError:
            return False

    def printk(self, text: str) -> None:
        """A line for the kernel log."""
        self.log.append((self.timekeeper.now_ns, text))

    def printk_once(self, where: str, text: str) -> None:
        """printk() of what the function `where` says only the first time."""
        if where not in self.warned:
            self.warned.add(where)
            self.printk(text)

    def warn_once(self, text: str) -> None:
        """Say `text` through `warn` unless it has been said."""
        if text not in self.warned:
            self.warned.add(text)
            self.warn(text)
