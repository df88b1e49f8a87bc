# SPDX-License-Identifier: GPL-2.0-or-later
"""start_kernel(): builds one Kernel (init/main.c), and the first tasks.

Nothing here takes longer for more RAM: the frames' `struct page` and the free lists come into being as they are used.
"""

from __future__ import annotations

import mmap

from mmscope.kernel.arch.x86.cpu import Cpu
from mmscope.kernel.arch.x86.vdso import init_vdso
from mmscope.kernel.arch.x86.vsyscall_64 import map_vsyscall
from mmscope.kernel.core.pid import alloc_pid
from mmscope.kernel.core.timekeeping import timekeeping_init
from mmscope.kernel.fs.exec import exec_user_process
from mmscope.kernel.fs.namespace import Vfs
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_NORESERVE
from mmscope.kernel.include.resource import RLIMIT_MEMLOCK, RLIMIT_NPROC, RLIMIT_SIGPENDING, Rlimit
from mmscope.kernel.include.sched import SIGNAL_UNKILLABLE, TASK_INTERRUPTIBLE, Cred, FilesStruct, FsStruct, TaskStruct
from mmscope.kernel.include.signal import SIG_IGN, SIGCHLD
from mmscope.kernel.mm.page_alloc import Zone, mem_init, totalram_pages
from mmscope.kernel.mm.swap import LruState
from mmscope.kernel.mm.util import init_admin_reserve, init_user_reserve
from mmscope.kernel.mm.vmstat import VmStat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.config import KernelConfig

#: Below this the kernel itself does not fit: low memory, its own image and one small process.
MIN_RAM: Final = 8 << 20
#: More than the direct map of 4-level paging holds.
MAX_RAM: Final = 1 << 46

#: The pid before the first program's: init and some daemons came before it.
FIRST_PID: Final = 100

#: A kernel stack, bytes; threads may use an eighth of RAM for them.
THREAD_SIZE: Final = 16384
MIN_THREADS: Final = 20


def start_kernel(
    config: KernelConfig,
    root: str | None = "/",
    streams: tuple[int, int, int] = (0, 1, 2),
    uid: int = 0,
    gid: int = 0,
    groups: tuple[int, ...] = (),
) -> Kernel:
    """Boot. `root`: host directory shown as / (None: an empty one); `streams`: host descriptors behind fd 0, 1, 2.

    The ids are those of every task that new_task() makes. Raises KernelError(ENOMEM) if RAM is too small or not to be had.
    """
    if config.ram % mmap.PAGESIZE:
        raise KernelError(EINVAL, f"RAM of {config.ram} bytes is not a multiple of {mmap.PAGESIZE}")
    if config.ram < MIN_RAM:
        raise KernelError(ENOMEM, f"RAM of {config.ram} bytes is too small: the kernel needs at least {MIN_RAM >> 20}M")
    if config.ram > MAX_RAM:
        raise KernelError(ENOMEM, f"RAM of {config.ram} bytes is too large: at most {MAX_RAM >> 40}T can be mapped")
    try:
        ram = mmap.mmap(-1, config.ram, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    except OSError as e:
        raise KernelError(ENOMEM, f"the host has no {config.ram} bytes for RAM: {e.strerror}") from None
    k = Kernel(config, ram)
    k.cpu = Cpu(k)
    k.vmstat = VmStat()
    k.zone = Zone()
    k.lru = LruState()
    mem_init(k)
    # set_max_threads()
    k.max_threads = max(totalram_pages(k) * 4096 // (THREAD_SIZE * 8), MIN_THREADS)
    init_user_reserve(k)
    init_admin_reserve(k)
    timekeeping_init(k)
    init_vdso(k)
    map_vsyscall(k)
    k.init_cred = Cred(uid, gid)
    k.init_cred.groups = list(groups)
    k.last_pid = FIRST_PID - 1
    k.vfs = Vfs(k, root, streams)
    return k


def new_task(k: Kernel, comm: str) -> TaskStruct:
    """A task without an address space: descriptors 0, 1 and 2 are the host's streams, / is root and working directory.

    It leads a process group and a session of its own; its parent is init. It becomes `k.current` if nothing else runs.
    """
    if k.child_reaper is None:
        rest_init(k)
    task = TaskStruct(k, alloc_pid(k), comm[:15])
    task.real_parent = task.parent = k.child_reaper
    assert task.real_parent is not None
    task.real_parent.children.append(task)
    task.signal.threads.append(task)
    init = k.init_cred
    task.cred = Cred(init.uid, init.gid)
    task.cred.groups = list(init.groups)
    task.signal.pgrp = task.pid
    task.signal.session = task.pid
    task.start_time = k.timekeeper.now_ns
    # fork_init(): half of max_threads.
    nproc = k.max_threads // 2
    task.signal.rlim[RLIMIT_NPROC] = Rlimit(nproc, nproc)
    task.signal.rlim[RLIMIT_SIGPENDING] = Rlimit(nproc, nproc)
    if k.config.at_least(5, 16):  # 9dcc38e2813e: MLOCK_LIMIT was 64 KiB
        task.signal.rlim[RLIMIT_MEMLOCK] = Rlimit(8 << 20, 8 << 20)
    dentry = k.vfs.root
    task.fs = FsStruct(dentry, dentry)
    task.files = FilesStruct()
    k.vfs.install_streams(task.files)
    k.tasks[task.pid] = task
    if not k.tty_pgrp:
        k.tty_pgrp = task.pid
    if not k.has_current():
        k.current = task
    return task


def rest_init(k: Kernel) -> None:
    """Process 1: it sleeps for ever and ignores SIGCHLD, so that orphans vanish when they die."""
    init = TaskStruct(k, 1, "init")
    init.signal.threads.append(init)
    init.signal.pgrp = init.signal.session = 1
    init.signal.flags = SIGNAL_UNKILLABLE
    init.sighand.action[SIGCHLD - 1].sa_handler = SIG_IGN
    init.state = TASK_INTERRUPTIBLE
    init.start_time = k.timekeeper.now_ns
    init.fs = FsStruct(k.vfs.root, k.vfs.root)
    init.files = FilesStruct()
    k.child_reaper = k.tasks[1] = init


def user_process(k: Kernel, comm: str = "process") -> TaskStruct:
    """A process that holds what execve of a program without segments would leave: stack, vvar and vdso; it is current.

    Placement is the real one (arch_pick_mmap_layout, setup_arg_pages, arch_setup_additional_pages). With no program the
    heap has no data segment to follow: it starts one page above ELF_ET_DYN_BASE, moved by arch_randomize_brk()
    under ASLR. The program counter is 0.
    """
    task = new_task(k, comm)
    k.current = task
    exec_user_process(k, task)
    return task
