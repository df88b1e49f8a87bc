# SPDX-License-Identifier: GPL-2.0-or-later
"""The public Python API: `Machine` is a booted kernel, `Process` a task in it.

Each operation of a Process is what the program itself would do: a system call through the kernel's own entry, or a load
or store in user mode, page by page, with its page faults. The operations of several processes, and of several machines,
may be interleaved at will.
"""

from __future__ import annotations

import os

from mmscope.errors import BusError, Killed, MmscopeError, SegmentationFault, UsageError
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_USER, X86_PF_WRITE, phys_read, phys_write
from mmscope.kernel.arch.x86.fault import exc_page_fault
from mmscope.kernel.arch.x86.tlbflush import switch_mm
from mmscope.kernel.arch.x86.traps import exc_general_protection
from mmscope.kernel.config import KernelConfig
from mmscope.kernel.core.exit import do_group_exit, process_status
from mmscope.kernel.core.sched import deactivate_task, kill_stacks, switch_current
from mmscope.kernel.core.signal import dequeue_synchronous_signal, fatal_signal_pending
from mmscope.kernel.fs.exec import do_execve
from mmscope.kernel.fs.task_mmu import show_map
from mmscope.kernel.include.errno import EACCES, ENOENT, ENOTDIR, KernelError
from mmscope.kernel.include.mman import MREMAP_MAYMOVE
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.include.signal import SIGBUS, SIGNAL_NAMES, SIGSEGV
from mmscope.kernel.init.main import new_task, start_kernel, user_process
from mmscope.syscalls.entry import do_syscall_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Final, Protocol

    from mmscope.cpu.engine import Engine
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import TaskStruct

    class HasFileno(Protocol):
        """An open file of the host."""

        def fileno(self) -> int: ...


__all__ = ["ExitStatus", "Level", "Machine", "Process", "parse_size"]

PAGE_SIZE: Final = 4096

_NR_CLOSE: Final = 3
_NR_MMAP: Final = 9
_NR_MPROTECT: Final = 10
_NR_MUNMAP: Final = 11
_NR_BRK: Final = 12
_NR_MREMAP: Final = 25
_NR_FORK: Final = 57
_NR_MADVISE: Final = 28

_U64: Final = 0xFFFFFFFFFFFFFFFF
_UNITS: Final = {"K": 10, "M": 20, "G": 30, "T": 40}
#: Names of si_code by signal, for the text of an exception.
_CODES: Final = {
    (11, 1): "SEGV_MAPERR", (11, 2): "SEGV_ACCERR", (7, 1): "BUS_ADRALN", (7, 2): "BUS_ADRERR", (7, 3): "BUS_OBJERR",
    (8, 1): "FPE_INTDIV", (8, 2): "FPE_INTOVF", (8, 3): "FPE_FLTDIV", (8, 7): "FPE_FLTINV",
    (4, 2): "ILL_ILLOPN", (5, 1): "TRAP_BRKPT", (5, 2): "TRAP_TRACE",
}  # fmt: skip


def parse_size(size: int | str) -> int:
    """Bytes of "256M", "8G", "4096" or a plain number. Raises UsageError, a ValueError."""
    if isinstance(size, int):
        value = size
    else:
        word = size.strip().upper().removesuffix("IB").removesuffix("B")
        shift = _UNITS.get(word[-1:], 0)
        digits = word[:-1] if shift else word
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"{size!r} is not a size; write it as 64M, 256M or 8G")
        value = int(digits) << shift
    if value <= 0 or value % PAGE_SIZE:
        raise UsageError(f"a size of {size!r} is not a positive multiple of {PAGE_SIZE} bytes; write it as 64M, 256M or 8G")
    return value


def signal_name(sig: int) -> str:
    """SIGSEGV for 11; real-time signals as SIGRTMIN+n, with libc's SIGRTMIN: it keeps 32 and 33 for itself."""
    if sig < len(SIGNAL_NAMES):
        return SIGNAL_NAMES[sig]
    return f"SIGRTMIN+{sig - 34}" if sig >= 34 else f"SIG{sig}"


def si_code_name(sig: int, code: int) -> str:
    """SEGV_MAPERR for (11, 1); the number where there is no name."""
    return _CODES.get((sig, code)) or {0: "SI_USER", 0x80: "SI_KERNEL", -6: "SI_TKILL"}.get(code, str(code))


class ExitStatus:
    """How a process ended."""

    def __init__(self, wait_status: int) -> None:
        #: As wait4(2) reports it.
        self.wait_status = wait_status
        #: The signal that killed it, 0 for none.
        self.signal = wait_status & 0x7F

    @property
    def signal_name(self) -> str | None:
        """As "SIGSEGV"; None after an exit of its own."""
        return signal_name(self.signal) if self.signal else None

    @property
    def exit_status(self) -> int:
        """As a shell's `$?`: the exit code, or 128 + the signal."""
        return 128 + self.signal if self.signal else self.wait_status >> 8 & 0xFF

    def __repr__(self) -> str:
        return f"ExitStatus(exit_status={self.exit_status}, signal={self.signal_name!r})"


class Level:
    """One level of a page walk: an entry of 8 bytes in RAM."""

    def __init__(self, name: str, index: int, paddr: int, entry: int) -> None:
        #: As the processor's manual has it: PML4E, PDPTE, PDE, PTE (Linux: pgd, pud, pmd, pte).
        self.name = name
        #: Number of the entry in its table, 0 to 511.
        self.index = index
        #: Physical address of the entry.
        self.paddr = paddr
        #: Its value, unsigned.
        self.entry = entry

    @property
    def present(self) -> bool:
        """Bit 0."""
        return self.entry & 1 != 0

    def __repr__(self) -> str:
        return f"<{self.name} #{self.index} at {self.paddr:#x}: {self.entry:#018x}>"


class Machine:
    """A computer that runs Linux's memory management: RAM, one CPU, a kernel that has just booted.

    `ram`: "256M", "8G" or bytes. `aslr`: random layout, drawn from `seed`. `root`: host directory that is the guest's /; it
    is only read, what guests write vanishes with the machine unless keep() is called; None for an empty one. `debug_vm`: check
    the kernel's invariants after every operation. Other keywords are attributes of KernelConfig: `Machine(vdso_pages=2)`.
    """

    def __init__(
        self,
        ram: int | str = "256M",
        aslr: bool = False,
        root: str | None = "/",
        seed: int = 0,
        debug_vm: bool = False,
        *,
        streams: tuple[int, int, int] = (0, 1, 2),
        uid: int | None = None,
        gid: int | None = None,
        groups: tuple[int, ...] = (),
        **config: object,
    ) -> None:
        self.config = KernelConfig(parse_size(ram))
        self.config.randomize_va_space = 2 if aslr else 0
        self.config.seed = seed
        self.config.CONFIG_DEBUG_VM = debug_vm
        for name, value in config.items():
            if not hasattr(self.config, name):
                known = ", ".join(sorted(vars(KernelConfig()) if hasattr(self.config, "__dict__") else ()))
                raise UsageError(f"KernelConfig has no {name!r}" + (f"; it has {known}" if known else ""))
            try:
                setattr(self.config, name, value)
            except TypeError as error:
                # Compiled classes check their attributes' types.
                raise UsageError(f"KernelConfig.{name}: {error}") from None
        if root is not None and not os.path.isdir(root):
            raise UsageError(f"root {root!r} is not a directory of this host")
        uid = os.getuid() if uid is None else uid
        gid = os.getgid() if gid is None else gid
        try:
            self.kernel: Kernel = start_kernel(self.config, root, streams, uid, gid, groups)
        except KernelError as error:
            raise UsageError(str(error.strerror)) from None
        except OSError as error:
            raise UsageError(
                f"{self.config.disk_file}: {error.strerror or 'is not empty'}; name a new file for the disk"
            ) from None
        self._engine: Engine | None = None
        self._closed = False

    def spawn(
        self,
        path: str | os.PathLike[str],
        argv: Sequence[str | bytes] | None = None,
        env: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        cwd: str | None = None,
        search_path: str | None = None,
        stdin: int | bytes | HasFileno | None = None,
        stdout: int | HasFileno | None = None,
        stderr: int | HasFileno | None = None,
        capture_output: bool = False,
    ) -> Process:
        """A process that has just executed `path`, a file under the root. Nothing has run yet: see Process.run().

        `argv` holds the program's name too (default: the path alone); `env` defaults to an empty environment. With
        `search_path`, directories separated by colons, a name without a slash is looked for there, as execvp(3) does.
        The streams are host descriptors or files, by default the machine's; stdin may be bytes, and with capture_output
        what the program wrote is in Process.stdout and Process.stderr. Raises OSError as execve(2) fails.
        """
        k = self._alive()
        name = os.fsdecode(path)
        if "\0" in name:
            raise ValueError(f"{name!r} is no path: it has a NUL in it")
        args = [os.fsencode(word) for word in (argv if argv is not None else [name])]
        envp = [os.fsencode(key) + b"=" + os.fsencode(value) for key, value in (env or {}).items()]
        task = new_task(k, name.rpartition("/")[2])
        process = Process(self, task)
        process._switch_to()
        if stdin is not None or stdout is not None or stderr is not None or capture_output:
            process._redirect(stdin, stdout, stderr, capture_output)
        try:
            if cwd is not None:
                self._chdir(task, cwd)
            if search_path is None or "/" in name or not name:
                do_execve(k, name, args, envp)
            else:
                _execvpe(k, name, args, envp, search_path)
        except OSError as error:
            process.exec_error = error
            if task.tif_sigpending:
                # Past the point of no return: the program that was is gone, SIGSEGV is what its parent sees.
                do_group_exit(k, SIGSEGV)
                return process
            do_group_exit(k, 127 << 8)
            raise OSError(error.errno, os.strerror(error.errno or 0), name) from None
        return process

    def process(self) -> Process:
        """A process without a program: its address space holds the stack, vvar and vdso only."""
        k = self._alive()
        task = user_process(k)
        return Process(self, task)

    def engine(self) -> Engine:
        """The processor; made when the first program runs, since it costs 10 ms."""
        if self._engine is None:
            from mmscope.cpu.engine import Engine

            self._engine = Engine(self._alive(), do_syscall_64)
        return self._engine

    def run_rest(self) -> None:
        """Run what dead processes have left in the background, until no task can run and no timer is armed. Ctrl-C ends that."""
        if self._engine is not None:
            try:
                self._engine.run_rest()
            except KeyboardInterrupt:
                return

    def keep(self, path: str | os.PathLike[str]) -> int:
        """Write what the guests changed of their files into `path`, a new or empty directory of the host: how many were made."""
        from mmscope.keep import keep

        return keep(self._alive(), os.fspath(path))

    def close(self) -> None:
        """Give the RAM and the host's descriptors back. The machine and its processes cannot be used any more."""
        if self._closed:
            return
        self._closed = True
        kill_stacks(self.kernel)
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self.kernel.vfs.close()
        self.kernel.words.release()
        self.kernel.mem.release()
        try:
            self.kernel.ram.close()
        except BufferError:
            # Somebody outside holds a view of the RAM; it is freed with that.
            return

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _alive(self) -> Kernel:
        if self._closed:
            raise MmscopeError("the machine is closed")
        return self.kernel

    def _chdir(self, task: TaskStruct, cwd: str) -> None:
        from mmscope.kernel.fs.namei import path_lookup

        assert task.fs is not None
        task.fs.pwd = path_lookup(self.kernel, -100, cwd, True)


class Process:
    """A task of a Machine, seen from outside; made by Machine.spawn() and Machine.process()."""

    def __init__(self, machine: Machine, task: TaskStruct) -> None:
        self.machine = machine
        #: The kernel's own structure: `p.task.min_flt`, `p.task.signal`...
        self.task = task
        #: User registers of the operations done from outside; the program's own are in task.regs.
        self._regs = PtRegs()
        #: Why execve() failed when it was too late to go back: the process has died by SIGSEGV.
        self.exec_error: OSError | None = None
        #: Host descriptors of captured stdout and stderr, -1 for none, and all that were made for this process.
        self._captured = [-1, -1]
        self._own_fds: list[int] = []

    @property
    def mm(self) -> MmStruct:
        """The address space: `p.mm.mmap`, `p.mm.mm_rb`, `p.mm.map_count`..."""
        if self.task.mm is None:
            raise MmscopeError(f"process {self.task.pid} has exited: its address space is gone")
        return self.task.mm

    def run(self, sigint_to_guest: bool = False) -> ExitStatus:
        """Let the program run until it has exited.

        Ctrl-C raises KeyboardInterrupt, after which the program can run on. With `sigint_to_guest` the program gets SIGINT.
        """
        if not self.task.exit_state:
            engine = self.machine.engine()
            self._switch_to()
            engine.run(self.task, sigint_to_guest)
        return ExitStatus(process_status(self.task.group_leader))

    def fork(self) -> Process:
        """fork(2): a child with a copy of the address space, which like this process only does what it is told from outside.

        Raises KernelError(ENOMEM, EAGAIN).
        """
        pid = self.syscall(_NR_FORK)
        return Process(self.machine, self.machine.kernel.tasks[pid])

    def exit(self, status: int = 0) -> ExitStatus:
        """End the process as by exit_group(2): unmap everything, close its files."""
        if not self.task.exit_state:
            self._switch_to()
            do_group_exit(self.machine.kernel, (status & 0xFF) << 8)
        return ExitStatus(process_status(self.task.group_leader))

    @property
    def stdout(self) -> bytes:
        """What it has written there so far, with capture_output."""
        return self._captured_bytes(0)

    @property
    def stderr(self) -> bytes:
        """What it has written there so far, with capture_output."""
        return self._captured_bytes(1)

    def resume(self) -> None:
        """Make this the running process, as each operation does: its address space is loaded, it is the kernel's `current`."""
        self._switch_to()

    def maps(self) -> str:
        """The text of /proc/PID/maps."""
        return show_map(self.mm)

    # --- system calls: KernelError, an OSError, with the kernel's errno on failure

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0) -> int:
        """mmap(2): the address."""
        return self.syscall(_NR_MMAP, addr, length, prot, flags, fd, offset)

    def munmap(self, addr: int, length: int) -> None:
        """munmap(2)."""
        self.syscall(_NR_MUNMAP, addr, length)

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        """mprotect(2)."""
        self.syscall(_NR_MPROTECT, addr, length, prot)

    def brk(self, addr: int = 0) -> int:
        """The system call brk: the heap's end after it, unchanged if it could not move."""
        return self.syscall(_NR_BRK, addr)

    def mremap(self, addr: int, old_length: int, new_length: int, flags: int = MREMAP_MAYMOVE, new_addr: int = 0) -> int:
        """mremap(2): the new address."""
        return self.syscall(_NR_MREMAP, addr, old_length, new_length, flags, new_addr)

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """madvise(2)."""
        self.syscall(_NR_MADVISE, addr, length, advice)

    def open(self, path: str | os.PathLike[str], flags: int = 0, mode: int = 0) -> int:
        """open(2) of a file under the root: a descriptor of the process."""
        from mmscope.kernel.fs.open import do_sys_open

        self._switch_to()
        return do_sys_open(self.machine.kernel, -100, os.fspath(path), flags, mode)

    def close(self, fd: int) -> None:
        """close(2)."""
        self.syscall(_NR_CLOSE, fd)

    def syscall(self, nr: int, *args: int) -> int:
        """Any system call by its x86-64 number; pointers are addresses in the process."""
        self._switch_to()
        padded = [arg & _U64 for arg in args] + [0] * (6 - len(args))
        regs = self._regs
        regs.ax = regs.orig_ax = nr
        regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9 = padded
        do_syscall_64(self.machine.kernel, regs)
        if self.task.on_rq:
            deactivate_task(self.task)
        self._check_killed()
        result = regs.ax
        if result > _U64 - 4095:
            raise KernelError(_U64 + 1 - result)
        return result

    # --- loads and stores of user mode

    def load(self, addr: int, n: int = 1) -> bytes:
        """Read `n` bytes, 0 or more, as the program would. Raises SegmentationFault or BusError."""
        if n < 0:
            raise ValueError(f"cannot load {n} bytes")
        self._switch_to()
        k = self.machine.kernel
        parts = []
        for at, size in _pages(addr, n):
            parts.append(phys_read(k, self._access(at, X86_PF_USER), size))
        return b"".join(parts)

    def store(self, addr: int, data: bytes) -> None:
        """Write `data` as the program would; what was written before a bad page stays written."""
        self._switch_to()
        k = self.machine.kernel
        done = 0
        for at, size in _pages(addr, len(data)):
            phys_write(k, self._access(at, X86_PF_USER | X86_PF_WRITE), data[done : done + size])
            done += size

    def fetch(self, addr: int) -> None:
        """Take the page faults of an instruction at `addr`, as the program would, without executing it."""
        self._switch_to()
        self._access(addr, X86_PF_USER | X86_PF_INSTR)

    def translate(self, addr: int) -> int | None:
        """Physical address behind `addr`, None if no page is mapped there now. Changes nothing, as /proc/PID/pagemap."""
        levels = self.walk(addr)
        last = levels[-1]
        if not last.present:
            return None
        # 1 GiB and 2 MiB entries end the walk early.
        span = 1 << (12 + 9 * (4 - len(levels)))
        return (last.entry & 0x000FFFFFFFFFF000 & -span) | (addr & (span - 1))

    def walk(self, addr: int) -> list[Level]:
        """The entries that the processor meets on its way to `addr`, read from RAM, up to the first one not present."""
        k = self.machine._alive()
        table = self.mm.pgd
        levels: list[Level] = []
        for name, shift in (("PML4E", 39), ("PDPTE", 30), ("PDE", 21), ("PTE", 12)):
            index = addr >> shift & 511
            paddr = table + 8 * index
            entry = k.words[paddr >> 3] & _U64
            levels.append(Level(name, index, paddr, entry))
            if not entry & 1 or (entry & 0x80 and shift in (30, 21)):
                break
            table = entry & 0x000FFFFFFFFFF000
        return levels

    # --- inside

    def _redirect(
        self,
        stdin: int | bytes | HasFileno | None,
        stdout: int | HasFileno | None,
        stderr: int | HasFileno | None,
        capture: bool,
    ) -> None:
        """Put other host descriptors behind 0, 1 and 2."""
        from mmscope.kernel.fs.file import fput
        from mmscope.kernel.fs.streams import open_streams

        if isinstance(stdin, bytes):
            fd = self._temporary_file()
            os.write(fd, stdin)
            os.lseek(fd, 0, os.SEEK_SET)
            stdin = fd
        if capture:
            self._captured = [self._temporary_file(), self._temporary_file()]
            stdout, stderr = self._captured
        fds = (_fileno(stdin), _fileno(stdout), _fileno(stderr))
        files = self.task.files
        assert files is not None
        for number, file in open_streams(self.machine.kernel, fds).items():
            old = files.fd.get(number)
            files.fd[number] = file
            if old is not None:
                fput(old)

    def _temporary_file(self) -> int:
        fd = os.memfd_create("mmscope")
        self._own_fds.append(fd)
        return fd

    def _captured_bytes(self, which: int) -> bytes:
        fd = self._captured[which]
        if fd < 0:
            raise MmscopeError("nothing was captured: spawn the process with capture_output=True")
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def __del__(self) -> None:
        for fd in getattr(self, "_own_fds", ()):
            os.close(fd)

    def _switch_to(self) -> None:
        """Let this task run: what the scheduler's context_switch() does."""
        k = self.machine._alive()
        if self.task.exit_state:
            raise MmscopeError(f"process {self.task.pid} has exited")
        previous = k.current
        switch_current(k, self.task)
        mm = self.task.mm
        if mm is not None and k.cpu.cr3 != mm.pgd:
            switch_mm(k, previous.mm, mm)
        # The OOM killer may have chosen it for another's sake.
        self._check_killed()

    def _access(self, addr: int, access: int) -> int:
        """The physical address for one access in user mode, after its page faults."""
        k = self.machine.kernel
        cpu = k.cpu
        while True:
            paddr = cpu.translate(addr & _U64, access)
            if paddr >= 0:
                return paddr
            if paddr == -1:
                exc_page_fault(k, self._regs, cpu.error_code, cpu.cr2)
            else:
                exc_general_protection(k, self._regs, 0)
            self._raise_signal()

    def _raise_signal(self) -> None:
        """A signal that the access caused becomes an exception; the process lives on."""
        task = self.task
        info = dequeue_synchronous_signal(task)
        if info is not None:
            kind = BusError if info.si_signo == SIGBUS else SegmentationFault
            raise kind(
                signal_name(info.si_signo), si_code_name(info.si_signo, info.si_code), info.si_signo, info.si_code, info.si_addr
            )
        self._check_killed()

    def _check_killed(self) -> None:
        task = self.task
        if fatal_signal_pending(task):
            do_group_exit(self.machine.kernel, 9)
            log = [text for _, text in self.machine.kernel.log if f"Killed process {task.pid} " in text]
            raise Killed(f"process {task.pid} was killed" + (f": {log[-1]}" if log else ""))

    def __repr__(self) -> str:
        return f"<Process {self.task.pid} {self.task.comm}>"


def _fileno(stream: int | HasFileno | None) -> int:
    """The host descriptor, -1 for none."""
    if stream is None:
        return -1
    return stream if isinstance(stream, int) else stream.fileno()


def _execvpe(k: Kernel, name: str, args: list[bytes], envp: list[bytes], search_path: str) -> None:
    """The first directory that has an executable `name` wins; a file that may not be executed is worth EACCES."""
    failure = ENOENT
    for folder in search_path.split(":"):
        try:
            do_execve(k, f"{folder or '.'}/{name}", args, envp)
            return
        except OSError as error:
            if error.errno == EACCES:
                failure = EACCES
            elif error.errno not in (ENOENT, ENOTDIR):
                raise
    raise KernelError(failure)


def _pages(addr: int, n: int) -> list[tuple[int, int]]:
    """[addr, addr + n) cut at page boundaries: (address, bytes)."""
    if 0 < n <= PAGE_SIZE - addr % PAGE_SIZE:
        return [(addr, n)]
    parts = []
    end = addr + n
    while addr < end:
        size = min(end - addr, PAGE_SIZE - addr % PAGE_SIZE)
        parts.append((addr, size))
        addr += size
    return parts
