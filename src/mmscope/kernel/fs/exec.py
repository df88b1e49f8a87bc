# SPDX-License-Identifier: GPL-2.0-or-later
"""execve(2) (fs/exec.c): the new address space, the arguments on its stack, the binary formats, the point of no return."""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
import mmscope.kernel.core.fork as core_fork
import mmscope.kernel.core.jobctl as core_jobctl
import mmscope.kernel.core.ptrace as core_ptrace
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.fs.binfmt_elf as binfmt_elf
import mmscope.kernel.fs.binfmt_script as binfmt_script
from mmscope.kernel.arch.x86.cpu import phys_read, phys_write
from mmscope.kernel.arch.x86.mmap import STACK_RND_MASK, arch_align_stack, arch_pick_mmap_layout
from mmscope.kernel.arch.x86.pgtable import vm_get_page_prot
from mmscope.kernel.arch.x86.tlbflush import switch_mm
from mmscope.kernel.arch.x86.uaccess import get_user, strncpy_from_user
from mmscope.kernel.core.capability import cap_bprm_creds_from_file
from mmscope.kernel.core.posix_timers import exit_posix_timers, flush_itimer_signals
from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.file import do_close_on_exec, get_file, put_files_struct
from mmscope.kernel.fs.namei import LOOKUP_EMPTY, do_open_execat, exec_fput, getname_flags
from mmscope.kernel.fs.read_write import kernel_read
from mmscope.kernel.include.elf import EXSTACK_DISABLE_X, EXSTACK_ENABLE_X
from mmscope.kernel.include.errno import E2BIG, EACCES, EAGAIN, EFAULT, ELOOP, ENOEXEC, ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.fs import AT_EMPTY_PATH, AT_FDCWD, S_IFMT, S_IFREG, File
from mmscope.kernel.include.mm import FOLL_FORCE, FOLL_WRITE, VM_EXEC, VM_SOFTDIRTY, VM_STACK_FLAGS, VM_STACK_INCOMPLETE_SETUP
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, PAGE_SIZE, STACK_TOP_MAX, TASK_SIZE
from mmscope.kernel.include.ptrace import PTRACE_EVENT_EXEC
from mmscope.kernel.include.resource import RLIMIT_NPROC, RLIMIT_STACK, Rlimit
from mmscope.kernel.include.sched import (
    EXIT_DEAD,
    PF_FORKNOEXEC,
    PF_NPROC_EXCEEDED,
    PF_RANDOMIZE,
    READ_IMPLIES_EXEC,
    TASK_KILLABLE,
)
from mmscope.kernel.include.signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGSEGV, KSigaction
from mmscope.kernel.lib.random import get_random_long
from mmscope.kernel.mm.gup import get_user_pages_remote
from mmscope.kernel.mm.memory import free_pgd_range, sync_mm_rss, update_hiwater_rss
from mmscope.kernel.mm.mmap import expand_stack, find_vma, insert_vm_struct, vm_area_alloc, vm_flags_reset, vma_adjust
from mmscope.kernel.mm.mmu_gather import tlb_finish_mmu, tlb_gather_mmu
from mmscope.kernel.mm.mprotect import mprotect_fixup
from mmscope.kernel.mm.mremap import move_page_tables
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.tracepoint import trace_sched_process_exec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

BINPRM_BUF_SIZE: Final = 256
MAX_ARG_STRLEN: Final = 32 * PAGE_SIZE
MAX_ARG_STRINGS: Final = 0x7FFFFFFF
ARG_MAX: Final = 131072
_STK_LIM: Final = 8 << 20
#: Where the stack may start below STACK_TOP: 22 bits of pages.
#: How deep #! interpreters may nest.
MAX_INTERP_DEPTH: Final = 5


class LinuxBinprm:
    """struct linux_binprm: a program on its way to be executed."""

    def __init__(self, k: Kernel, filename: bytes) -> None:
        self.k = k
        self.filename = filename
        #: The name of what really runs: the interpreter's for scripts.
        self.interp = filename
        #: The new address space, None once it is current's; its stack VMA.
        self.mm: MmStruct | None = None
        self.vma: VmAreaStruct | None = None
        self.vma_pages = 0
        #: Current top of the argument memory (address), and the lowest it may get.
        self.p = 0
        self.argmin = 0
        self.argc = 0
        self.envc = 0
        #: Address of the file name on the stack (AT_EXECFN).
        self.exec = 0
        self.file: File | None = None
        #: The script's interpreter, opened.
        self.interpreter: File | None = None
        #: The file's first 256 bytes, padded with zeroes.
        self.buf = b""
        self.point_of_no_return = False
        #: BINPRM_FLAGS_PATH_INACCESSIBLE: `filename` is about a descriptor that execve closes.
        self.path_inaccessible = False
        self.secureexec = 0
        #: execveat(2) without a name: the new one is that of the file (v6.14).
        self.comm_from_dentry = False
        self.rlim_stack = Rlimit(0, 0)
        #: The argument page written last, still referenced (kmapped_page), and its address.
        self._page: Page | None = None
        self._page_addr = -1

    def release_page(self) -> None:
        """put_arg_page() of the page held."""
        if self._page is not None:
            put_page(self._page)
        self._page = None
        self._page_addr = -1

    def arg_page(self, pos: int, write: bool) -> Page:
        """get_arg_page(): the page at `pos` of the new stack, faulted in; E2BIG if the stack cannot grow so far."""
        addr = pos & PAGE_MASK
        if self._page is None or self._page_addr != addr:
            self.release_page()
            assert self.mm is not None
            try:
                pages = get_user_pages_remote(self.mm, addr, 1, FOLL_FORCE | (FOLL_WRITE if write else 0))
            except KernelError:
                raise KernelError(E2BIG) from None
            if not pages:
                raise KernelError(E2BIG)
            self._page = pages[0]
            self._page_addr = addr
        return self._page


def bprm_mm_init(bprm: LinuxBinprm) -> None:
    """A new address space with one page of stack at STACK_TOP_MAX, to be moved when the program is known."""
    k = bprm.k
    mm = core_fork.mm_alloc(k)
    bprm.mm = mm
    rlim = k.current.signal.rlim[RLIMIT_STACK]
    bprm.rlim_stack = Rlimit(rlim.rlim_cur, rlim.rlim_max)
    vma = vm_area_alloc(mm)
    vma.vm_end = STACK_TOP_MAX
    vma.vm_start = vma.vm_end - PAGE_SIZE
    vma.vm_flags = VM_SOFTDIRTY | VM_STACK_FLAGS | VM_STACK_INCOMPLETE_SETUP
    vma.vm_page_prot = vm_get_page_prot(vma.vm_flags)
    insert_vm_struct(mm, vma)
    mm.stack_vm = mm.total_vm = 1
    bprm.vma = vma
    bprm.p = vma.vm_end - 8


def bprm_stack_limits(bprm: LinuxBinprm) -> None:
    """How low the strings may reach: a quarter of the stack limit, at most 6 MiB, at least ARG_MAX."""
    limit = min(_STK_LIM // 4 * 3, bprm.rlim_stack.rlim_cur // 4)
    limit = max(limit, ARG_MAX)
    ptr_size = (bprm.argc + bprm.envc) * 8
    if limit <= ptr_size:
        raise KernelError(E2BIG)
    bprm.argmin = bprm.p - (limit - ptr_size)


def push_string(arg: bytes, bprm: LinuxBinprm) -> None:
    """Push one string (its NUL is added) below bprm.p, page by page from its end."""
    data = arg + b"\0"
    if len(data) > MAX_ARG_STRLEN:
        raise KernelError(E2BIG)
    if bprm.p - len(data) < bprm.argmin:
        raise KernelError(E2BIG)
    pos = bprm.p
    bprm.p -= len(data)
    left = len(data)
    while left > 0:
        offset = pos % PAGE_SIZE or PAGE_SIZE
        n = min(offset, left)
        pos -= n
        left -= n
        page = bprm.arg_page(pos, True)
        phys_write(bprm.k, (page.pfn << 12) + (pos & ~PAGE_MASK), data[left : left + n])


def copy_string_kernel(arg: bytes, bprm: LinuxBinprm) -> None:
    """Push one string. Its page is looked up, and so marked accessed, whatever was pushed before."""
    copy_strings([arg], bprm)


def copy_strings(strings: list[bytes], bprm: LinuxBinprm) -> None:
    """Push strings, the last one first. A page that several of them share is looked up once."""
    bprm.release_page()
    for one in reversed(strings):
        push_string(one, bprm)
    bprm.release_page()


def remove_arg_zero(bprm: LinuxBinprm) -> None:
    """Drop argv[0] from the new stack, for scripts."""
    if not bprm.argc:
        return
    while True:
        offset = bprm.p & ~PAGE_MASK
        page = bprm.arg_page(bprm.p, False)
        rest = phys_read(bprm.k, (page.pfn << 12) + offset, PAGE_SIZE - offset)
        end = rest.find(b"\0")
        if end >= 0:
            bprm.p += end + 1
            break
        bprm.p += len(rest)
    bprm.argc -= 1


def open_exec(k: Kernel, name: bytes | str) -> File:
    """Open a program or an interpreter. The empty name of a script's first line is the working directory: EACCES."""
    if not name:
        raise KernelError(EACCES)
    file = do_open_execat(k, AT_FDCWD, name)
    if file.f_inode.i_mode & S_IFMT != S_IFREG:
        exec_fput(file)
        raise KernelError(EACCES)
    return file


def prepare_binprm(bprm: LinuxBinprm) -> None:
    """Read the file's first bytes."""
    assert bprm.file is not None
    bprm.buf = kernel_read(bprm.file, BINPRM_BUF_SIZE, 0).ljust(BINPRM_BUF_SIZE, b"\0")


def search_binary_handler(bprm: LinuxBinprm) -> None:
    """Ask each binary format; ENOEXEC when none knows the file."""
    prepare_binprm(bprm)
    try:
        binfmt_script.load_script(bprm)
        return
    except KernelError as error:
        if error.errno != ENOEXEC or bprm.point_of_no_return:
            raise
    binfmt_elf.load_elf_binary(bprm)


def exec_binprm(bprm: LinuxBinprm) -> None:
    """Load the program, through its #! interpreters."""
    k = bprm.k
    old_pid = k.current.pid
    depth = 0
    while True:
        if depth > MAX_INTERP_DEPTH:
            raise KernelError(ELOOP)
        search_binary_handler(bprm)
        if bprm.interpreter is None:
            break
        script = bprm.file
        assert script is not None
        bprm.file = bprm.interpreter
        bprm.interpreter = None
        exec_fput(script)
        depth += 1
    core_ptrace.ptrace_event(k, PTRACE_EVENT_EXEC, old_pid)


def do_execve(k: Kernel, path: bytes | str, argv: list[bytes], envp: list[bytes]) -> None:
    """execve(2): the current task becomes another program. Raises KernelError while it can go back.

    After the point of no return a failure kills the task by SIGSEGV, and no error is raised that it could see.
    """
    do_execveat(k, AT_FDCWD, path, argv, envp)


def do_execveat(k: Kernel, fd: int, path: int | bytes | str, argv: list[bytes], envp: list[bytes], flags: int = 0) -> None:
    """do_execveat_common() with the strings already in the kernel. `flags`: AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW."""
    current = k.current
    name = getname_flags(k, path, LOOKUP_EMPTY if flags & AT_EMPTY_PATH else 0).encode("utf-8", "surrogateescape")
    if current.flags & PF_NPROC_EXCEEDED:
        if core_fork.user_processes(k, current.cred.uid) > current.signal.rlim[RLIMIT_NPROC].rlim_cur:
            raise KernelError(EAGAIN)
        current.flags &= ~PF_NPROC_EXCEEDED
    if fd == AT_FDCWD or name.startswith(b"/"):
        bprm = LinuxBinprm(k, name)
    else:
        bprm = LinuxBinprm(k, b"/dev/fd/%d/%s" % (fd, name) if name else b"/dev/fd/%d" % fd)
        files = current.files
        # A script could not be opened by that name.
        bprm.path_inaccessible = files is not None and fd in files.close_on_exec
    if not argv and k.config.at_least(5, 18):
        program, comm = name.decode("utf-8", "surrogateescape"), current.comm
        k.printk_once("empty argv", f"process '{comm}' launched '{program}' with NULL argv: empty string added")
        argv = [b""]
    try:
        bprm_mm_init(bprm)
        bprm.argc = len(argv)
        bprm.envc = len(envp)
        bprm_stack_limits(bprm)
        copy_string_kernel(bprm.filename, bprm)
        bprm.exec = bprm.p
        copy_strings(envp, bprm)
        copy_strings(argv, bprm)
        file = do_open_execat(k, fd, name, flags)
        bprm.file = file
        bprm.comm_from_dentry = not name and k.config.at_least(6, 14)
        if file.f_inode.i_mode & S_IFMT != S_IFREG:
            raise KernelError(EACCES)
        exec_binprm(bprm)
        rseq_execve(k.current)
    except KernelError:
        if bprm.point_of_no_return and not core_signal.fatal_signal_pending(k.current):
            core_signal.force_sigsegv(k, SIGSEGV)
        raise
    finally:
        free_bprm(bprm)


def rseq_execve(t: TaskStruct) -> None:
    """The registered area was the old program's (include/linux/sched.h)."""
    t.rseq = t.rseq_len = t.rseq_sig = 0


def free_bprm(bprm: LinuxBinprm) -> None:
    """Give back what exec did not hand over to the task."""
    bprm.release_page()
    if bprm.mm is not None:
        mm = bprm.mm
        bprm.mm = None
        core_fork.mmput(mm)
    if bprm.file is not None:
        exec_fput(bprm.file)
    if bprm.interpreter is not None:
        exec_fput(bprm.interpreter)


def strings_from_user(k: Kernel, argv: int) -> list[bytes]:
    """The strings of a NULL-terminated user array; a NULL array is an empty one."""
    strings: list[bytes] = []
    while argv:
        pointer = get_user(k, argv + 8 * len(strings), 8)
        if pointer == 0:
            break
        if len(strings) >= MAX_ARG_STRINGS:
            raise KernelError(E2BIG)
        one = strncpy_from_user(k, pointer, MAX_ARG_STRLEN)
        if len(one) >= MAX_ARG_STRLEN:
            raise KernelError(E2BIG)
        strings.append(one)
    return strings


def sys_execve(k: Kernel, filename: int, argv: int, envp: int) -> int:
    """The system call: all three are user addresses."""
    name = getname_flags(k, filename, 0)
    do_execve(k, name, strings_from_user(k, argv), strings_from_user(k, envp))
    return 0


def sys_execveat(k: Kernel, fd: int, filename: int, argv: int, envp: int, flags: int) -> int:
    """execveat(2)."""
    name = getname_flags(k, filename, LOOKUP_EMPTY if flags & AT_EMPTY_PATH else 0)
    do_execveat(k, fd, name, strings_from_user(k, argv), strings_from_user(k, envp), flags)
    return 0


def exec_mmap(k: Kernel, mm: MmStruct) -> None:
    """Replace the task's address space by `mm`."""
    task = k.current
    old_mm = task.mm
    if old_mm is not None:
        core_fork.exec_mm_release(task, old_mm)
        sync_mm_rss(old_mm)
    active_mm = task.active_mm if task.active_mm is not None else old_mm
    task.active_mm = mm
    task.mm = mm
    switch_mm(k, active_mm, mm)
    mm.vmacache_seqnum = 0
    task.vmacache_seqnum = 0
    task.vmacache = [None] * len(task.vmacache)
    if old_mm is not None:
        update_hiwater_rss(old_mm)
        task.signal.maxrss = max(task.signal.maxrss, old_mm.hiwater_rss)
        core_fork.mmput(old_mm)


def flush_signal_handlers(task: TaskStruct) -> None:
    """Handlers are the old program's: back to the default; what is ignored stays ignored."""
    action = task.sighand.action
    for i in range(len(action)):
        handler = SIG_IGN if action[i].sa_handler == SIG_IGN else SIG_DFL
        action[i] = KSigaction(handler)


def de_thread(k: Kernel, tsk: TaskStruct) -> None:
    """All other threads die; `tsk` becomes the leader if it was not. EAGAIN: the process is dying, or `tsk` is killed."""
    sig = tsk.signal
    if len(sig.threads) > 1:
        if sig.group_exit or sig.group_exit_task is not None:
            raise KernelError(EAGAIN)
        sig.group_exit_task = tsk
        sig.notify_count = core_signal.zap_other_threads(tsk) - (0 if tsk.group_leader is tsk else 1)
        while sig.notify_count:
            wait_for_threads(k, tsk)
        leader = tsk.group_leader
        if leader is not tsk:
            sig.notify_count = -1
            while not leader.exit_state:
                wait_for_threads(k, tsk)
            take_leadership(k, tsk, leader)
        sig.group_exit_task = None
        sig.notify_count = 0
    tsk.exit_signal = SIGCHLD


def wait_for_threads(k: Kernel, tsk: TaskStruct) -> None:
    """Sleep until __exit_signal() or exit_notify() wakes us. EAGAIN if we are killed."""
    tsk.state = TASK_KILLABLE
    tsk.wchan = "execve"
    core_sched.schedule(k)
    tsk.wchan = ""
    if core_signal.__fatal_signal_pending(tsk):
        tsk.signal.group_exit_task = None
        tsk.signal.notify_count = 0
        raise KernelError(EAGAIN)


def take_leadership(k: Kernel, tsk: TaskStruct, leader: TaskStruct) -> None:
    """The dead leader's number, start time and place among its parent's children are ours now; it is gone."""
    tsk.start_time = leader.start_time
    del k.tasks[tsk.pid]
    tsk.pid, leader.pid = leader.pid, tsk.pid
    tsk.thread_pid, leader.thread_pid = leader.thread_pid, tsk.thread_pid
    k.tasks[tsk.pid] = tsk
    threads = tsk.signal.threads
    threads.remove(tsk)
    threads.insert(0, tsk)
    parent = leader.real_parent
    if parent is not None and leader in parent.children:
        parent.children[parent.children.index(leader)] = tsk
    for t in threads:
        t.group_leader = tsk
    leader.exit_signal = -1
    if leader.ptrace and leader.parent is not None:
        # It vanishes from under its tracer, which may wait for it.
        core_jobctl.__wake_up_parent(leader, leader.parent)
    leader.exit_state = EXIT_DEAD
    core_exit.release_task(k, leader)


def unshare_files(tsk: TaskStruct) -> None:
    """A table of descriptors that nobody else has."""
    old = tsk.files
    if old is not None and old.count > 1:
        tsk.files = core_fork.dup_fd(old)
        put_files_struct(old)


def unshare_sighand(tsk: TaskStruct) -> None:
    """Dispositions that nobody else has (CLONE_SIGHAND without CLONE_THREAD)."""
    old = tsk.sighand
    if old.count > 1:
        core_fork.copy_sighand(0, tsk, old)
        old.count -= 1


def begin_new_exec(bprm: LinuxBinprm) -> None:
    """The point of no return: from here on the old program is gone."""
    k = bprm.k
    task = k.current
    bprm.release_page()
    bprm.point_of_no_return = True
    mm = bprm.mm
    assert mm is not None
    if bprm.file is not None:
        mm.exe_file = get_file(bprm.file)
    mm.personality = task.personality
    k.exec_mms.append(mm)
    try:
        de_thread(k, task)
    finally:
        k.exec_mms.remove(mm)
    unshare_files(task)
    bprm.mm = None
    exec_mmap(k, mm)
    exit_posix_timers(k, task.signal)
    flush_itimer_signals(task)
    unshare_sighand(task)
    task.flags &= ~(PF_RANDOMIZE | PF_FORKNOEXEC)
    flush_thread(k)
    do_close_on_exec(k)
    task.sas_ss_sp = 0
    task.sas_ss_size = 0
    cred = task.cred
    task.dumpable = 1 if (cred.euid, cred.egid) == (cred.uid, cred.gid) else 0
    if bprm.comm_from_dentry and bprm.file is not None:
        task.comm = bprm.file.f_dentry.d_name[:15]
    else:
        name = bprm.filename.rpartition(b"/")[2][:15]
        task.comm = name.decode("utf-8", "surrogateescape")
    task.self_exec_id += 1
    flush_signal_handlers(task)
    cap_bprm_creds_from_file(task.cred)
    task.keepcaps = 0
    trace_sched_process_exec(k, task)


def flush_thread(k: Kernel) -> None:
    """The FPU and the TLS registers start afresh."""
    k.cpu.fxrstor(fxsave_init())
    k.current.thread.fsbase = 0
    k.current.thread.gsbase = 0


def fxsave_init() -> bytes:
    """The FXSAVE image of a processor after FNINIT: FCW 0x37f, MXCSR 0x1f80, all registers empty."""
    image = bytearray(512)
    image[0:2] = b"\x7f\x03"
    image[24:28] = b"\x80\x1f\x00\x00"
    image[28:32] = b"\xff\xff\x00\x00"
    return bytes(image)


def setup_new_exec(bprm: LinuxBinprm) -> None:
    """The layout of the new address space."""
    task = bprm.k.current
    mm = task.mm
    assert mm is not None
    mm.personality = task.personality
    arch_pick_mmap_layout(mm, bprm.rlim_stack, task)
    mm.task_size = TASK_SIZE


def randomize_stack_top(k: Kernel, stack_top: int) -> int:
    """Where the stack shall end: up to 16 GiB lower under ASLR."""
    random_variable = 0
    if k.current.flags & PF_RANDOMIZE:
        random_variable = (get_random_long(k) & STACK_RND_MASK) << 12
    return PAGE_ALIGN(stack_top) - random_variable


def shift_arg_pages(vma: VmAreaStruct, shift: int) -> None:
    """Move the stack `shift` bytes down: the VMA first covers both places, then the page tables move, then it shrinks."""
    mm = vma.vm_mm
    old_start = vma.vm_start
    old_end = vma.vm_end
    length = old_end - old_start
    new_start = old_start - shift
    new_end = old_end - shift
    if new_start > new_end:
        raise KernelBug(f"shift_arg_pages: {vma!r} shifted by {shift:#x}")
    if find_vma(mm, new_start) is not vma:
        raise KernelError(EFAULT)
    vma_adjust(vma, new_start, old_end, vma.vm_pgoff, None)
    if move_page_tables(vma, old_start, vma, new_start, length, False) != length:
        raise KernelError(ENOMEM)
    lru_add_drain(mm.kernel)
    tlb = tlb_gather_mmu(mm, old_start, old_end)
    ceiling = vma.vm_next.vm_start if vma.vm_next is not None else 0
    if new_end > old_start:
        # The places overlap: free the tables from the new end on.
        free_pgd_range(tlb, new_end, old_end, new_end, ceiling)
    else:
        free_pgd_range(tlb, old_start, old_end, new_end, ceiling)
    tlb_finish_mmu(tlb)
    vma_adjust(vma, new_start, new_end, vma.vm_pgoff, None)


def setup_arg_pages(bprm: LinuxBinprm, stack_top: int, executable_stack: int) -> None:
    """Put the stack where it belongs, with its final permissions and room for 128 KiB more."""
    k = bprm.k
    mm = k.current.mm
    vma = bprm.vma
    assert mm is not None
    assert vma is not None
    stack_top = PAGE_ALIGN(arch_align_stack(k, stack_top))
    if stack_top < k.config.mmap_min_addr or vma.vm_end - vma.vm_start >= stack_top - k.config.mmap_min_addr:
        raise KernelError(ENOMEM)
    stack_shift = vma.vm_end - stack_top
    bprm.p -= stack_shift
    mm.arg_start = bprm.p
    bprm.exec -= stack_shift
    vm_flags = VM_STACK_FLAGS
    if k.current.personality & READ_IMPLIES_EXEC:
        vm_flags |= VM_EXEC
    # Only a program that asks for it by PT_GNU_STACK gets the other kind.
    if executable_stack == EXSTACK_ENABLE_X:
        vm_flags |= VM_EXEC
    elif executable_stack == EXSTACK_DISABLE_X:
        vm_flags &= ~VM_EXEC
    vm_flags |= mm.def_flags
    vm_flags |= VM_STACK_INCOMPLETE_SETUP
    mprotect_fixup(vma, None, vma.vm_start, vma.vm_end, vm_flags)
    if vm_flags & VM_EXEC and bprm.file is not None:
        program = "/".join(d_path(k, bprm.file.f_dentry).split("/")[-4:])  # %pD4: the last four names of the path
        k.printk_once("setup_arg_pages", f"process '{program}' started with executable stack")
    if stack_shift:
        shift_arg_pages(vma, stack_shift)
    vm_flags_reset(vma, vma.vm_flags & ~VM_STACK_INCOMPLETE_SETUP)
    stack_expand = 131072
    stack_size = vma.vm_end - vma.vm_start
    rlim_stack = bprm.rlim_stack.rlim_cur & PAGE_MASK
    if stack_size + stack_expand > rlim_stack:
        stack_base = vma.vm_end - rlim_stack
    else:
        stack_base = vma.vm_start - stack_expand
    mm.start_stack = bprm.p
    try:
        expand_stack(vma, stack_base)
    except KernelError:
        raise KernelError(EFAULT) from None


def exec_user_process(k: Kernel, task: TaskStruct) -> None:
    """Make the current task a process without a program: what execve of an ELF file without segments would leave.

    The stack holds argc 1, argv = (comm), no environment and an auxiliary vector; the registers point at 0. The heap
    begins one page above ELF_ET_DYN_BASE.
    """
    bprm = LinuxBinprm(k, task.comm.encode("utf-8", "surrogateescape"))
    try:
        bprm_mm_init(bprm)
        bprm.argc = 1
        bprm_stack_limits(bprm)
        copy_string_kernel(bprm.filename, bprm)
        bprm.exec = bprm.p
        copy_string_kernel(bprm.filename, bprm)
        binfmt_elf.load_no_program(bprm)
    finally:
        free_bprm(bprm)
