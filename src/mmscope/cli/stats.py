# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts what a run does, from the kernel's tracepoints: faults by cause, peak RSS, copies on write, system calls, signals."""

from __future__ import annotations

from mmscope.cli.cow import CowStats
from mmscope.kernel.core.sys import task_ppid_nr
from mmscope.kernel.include.mm import (
    FAULT_FLAG_TRIED,
    FAULT_FLAG_WRITE,
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    VM_FAULT_ERROR,
    VM_FAULT_MAJOR,
    VM_FAULT_RETRY,
    VM_GROWSDOWN,
    VM_SHARED,
)
from mmscope.machine import ExitStatus, si_code_name, signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault
    from mmscope.kernel.include.sched import TaskStruct

_PAGE_PRESENT = 0x1
_PAGE_RW = 0x2
_PAGE_PROTNONE = 0x100
_PFN_BITS = 0x000FFFFFFFFFF000


class ProcessStats:
    """What one process did, its threads together."""

    def __init__(self, task: TaskStruct, parent: int) -> None:
        self.pid = task.tgid
        self.parent = parent
        self.comm = task.comm
        #: Threads that it had, the first one included.
        self.threads = 1
        #: Of threads that are dead.
        self.minor = 0
        self.major = 0
        self.by_cause: dict[str, int] = {}
        self.syscalls: dict[int, int] = {}
        #: As wait4(2) reports it; None while it lives.
        self.wait_status: int | None = None


class Stats:
    """The probes, and what they counted. One kernel, the processes of one program."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: Function that resolved the fault -> times. Their sum is the task's minor and major faults, bad areas apart.
        self.by_cause: dict[str, int] = {}
        self.major = 0
        #: Faults that found no mapping, or one that forbids the access: the program got SIGSEGV or SIGBUS.
        self.bad: dict[str, int] = {}
        self.stack_expansions = 0
        self.syscalls: dict[int, int] = {}
        #: Pages at the moment of the largest RSS, and the memory of page tables then, pages.
        self.anon = self.file = self.shmem = self.page_tables = 0
        self.peak = 0
        #: What happened on a signal that killed the first process: for the line on stderr.
        self.death = ""
        #: In the order of birth; and the last one to bear a pid.
        self.processes: list[ProcessStats] = []
        self._by_pid: dict[int, ProcessStats] = {}
        self.cow = CowStats(kernel)
        tp = kernel.tp
        tp.attach("handle_mm_fault", self.on_fault)
        tp.attach("sys_enter", self.on_syscall)
        tp.attach("signal_deliver", self.on_signal)
        tp.attach("vma_adjust", self.on_vma_adjust)
        tp.attach("sched_process_fork", self.on_fork)
        tp.attach("sched_process_exec", self.on_exec)
        tp.attach("sched_process_exit", self.on_exit)

    def process(self, task: TaskStruct) -> ProcessStats:
        """The entry of the task's process."""
        found = self._by_pid.get(task.tgid)
        if found is None:
            found = self._by_pid[task.tgid] = ProcessStats(task, task_ppid_nr(task))
            self.processes.append(found)
        return found

    def on_fork(self, parent: TaskStruct, child: TaskStruct) -> None:
        """trace_sched_process_fork"""
        if child.tgid == parent.tgid:
            self.process(child).threads += 1
        else:
            self._by_pid[child.tgid] = new = ProcessStats(child, task_ppid_nr(child))
            self.processes.append(new)

    def on_exec(self, task: TaskStruct) -> None:
        """trace_sched_process_exec"""
        self.process(task).comm = task.comm

    def on_exit(self, task: TaskStruct) -> None:
        """trace_sched_process_exit"""
        mine = self.process(task)
        mine.minor += task.min_flt
        mine.major += task.maj_flt
        if task.signal.live == 0:
            mine.wait_status = task.signal.group_exit_code if task.signal.group_exit else task.exit_code

    def faults(self, mine: ProcessStats) -> tuple[int, int]:
        """(minor, major) of a process, with those of the threads that live."""
        minor, major = mine.minor, mine.major
        if mine.wait_status is None:
            leader = self.kernel.tasks.get(mine.pid)
            for task in leader.signal.threads if leader is not None else ():
                if not task.exit_state:
                    minor += task.min_flt
                    major += task.maj_flt
        return minor, major

    def all_faults(self) -> tuple[int, int]:
        """(minor, major) of all processes."""
        both = [self.faults(mine) for mine in self.processes]
        return sum(minor for minor, _ in both), sum(major for _, major in both)

    def on_fault(self, vmf: VmFault, result: int) -> None:
        """trace_handle_mm_fault"""
        # A retried fault comes back; one that failed is counted by its signal.
        if not result & (VM_FAULT_RETRY | VM_FAULT_ERROR):
            cause = self.cause(vmf, result)
            self.by_cause[cause] = self.by_cause.get(cause, 0) + 1
            mine = self.process(self.kernel.current).by_cause
            mine[cause] = mine.get(cause, 0) + 1
            self.cow.on_fault(vmf, cause)
        mm = vmf.vma.vm_mm
        cached = self.kernel.current.rss_stat if self.kernel.current.mm is mm else (0, 0, 0, 0)
        rss = mm.rss_stat
        anon = rss[MM_ANONPAGES] + cached[MM_ANONPAGES]
        file = rss[MM_FILEPAGES] + cached[MM_FILEPAGES]
        shmem = rss[MM_SHMEMPAGES] + cached[MM_SHMEMPAGES]
        total = anon + file + shmem
        if total > self.peak:
            self.peak = total
            self.anon, self.file, self.shmem = anon, file, shmem
            self.page_tables = mm.pgtables_bytes >> 12

    def cause(self, vmf: VmFault, result: int) -> str:
        """The function of mm/memory.c that resolved the fault, as handle_pte_fault() decides."""
        vma = vmf.vma
        write = vmf.flags & FAULT_FLAG_WRITE
        orig = vmf.orig_pte
        if not orig & _PAGE_PRESENT:
            if orig & _PAGE_PROTNONE:
                return "do_numa_page"
            if vma.vm_ops is None:
                return "do_anonymous_page" if write else "do_anonymous_page (zero page)"
            # A page that had to be read in: the fault was retried when it was there.
            major = " (major)" if result & VM_FAULT_MAJOR or vmf.flags & FAULT_FLAG_TRIED else ""
            if not write:
                # Fault-around maps what is in the page cache without ->fault, which would set vmf.page.
                around = "" if major or vmf.page is not None or vma.vm_ops.map_pages is None else " (around)"
                return "do_read_fault" + around + major
            if vma.vm_flags & VM_SHARED:
                return "do_shared_fault" + major
            return "do_cow_fault" + major
        if write and not orig & _PAGE_RW:
            if vma.vm_flags & VM_SHARED:
                return "do_wp_page (shared)"
            pfn = (orig & _PFN_BITS) >> 12
            if pfn == self.kernel.zero_pfn:
                return "do_wp_page (zero page)"
            now = self.kernel.words[vmf.pte] if vmf.pte else 0
            return "do_wp_page (reuse)" if now & _PFN_BITS == orig & _PFN_BITS else "do_wp_page (copy)"
        return "spurious"

    def on_syscall(self, nr: int, args: tuple[int, ...]) -> None:
        """trace_sys_enter"""
        self.syscalls[nr] = self.syscalls.get(nr, 0) + 1
        mine = self.process(self.kernel.current).syscalls
        mine[nr] = mine.get(nr, 0) + 1

    def on_signal(self, sig: int, code: int, addr: int, sa_handler: int) -> None:
        """trace_signal_deliver"""
        if sa_handler == 0 and (not self.processes or self.process(self.kernel.current) is self.processes[0]):
            # Only faults have an address.
            where = f" at {addr:#x}" if 0 < code < 0x80 else ""
            ip = f"ip {self.kernel.current.regs.ip:#x}"
            # A fatal signal without a core dump arrives as SIGKILL, its siginfo lost, as in Linux.
            lost = sig == 9 and self.kernel.current.signal.group_exit
            self.death = ip if lost else f"{si_code_name(sig, code)}{where}, {ip}"
            killed = f"Out of memory: Killed process {self.kernel.current.tgid} "
            oom = [text for _, text in self.kernel.log if text.startswith(killed)]
            if sig == 9 and oom:
                self.death = oom[-1]
        if sig in (7, 11) and 0 < code < 0x80:
            name = f"{signal_name(sig)} ({si_code_name(sig, code)})"
            self.bad[name] = self.bad.get(name, 0) + 1

    def on_vma_adjust(self, vma: VmAreaStruct, start: int, end: int, pgoff: int) -> None:
        """trace_vma_adjust, with the limits before the change"""
        if vma.vm_flags & VM_GROWSDOWN and vma.vm_start < start and vma.vm_end == end:
            self.stack_expansions += 1

    def syscall_names(self, syscalls: dict[int, int] | None = None) -> dict[str, int]:
        """Name -> times, the most frequent first; of one process if its counts are given."""
        from mmscope.syscalls.names import SYSCALL_NAMES

        names: dict[str, int] = {}
        counted = self.syscalls if syscalls is None else syscalls
        for nr, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
            names[SYSCALL_NAMES.get(nr, f"syscall_{nr}")] = count
        return names

    def causes(self) -> dict[str, int]:
        """Cause -> times, the most frequent first; bad areas last."""
        ordered = dict(sorted(self.by_cause.items(), key=lambda item: (-item[1], item[0])))
        return ordered | dict(sorted(self.bad.items()))

    def process_json(self, mine: ProcessStats) -> dict[str, object]:
        """One process, for --json."""
        minor, major = self.faults(mine)
        status = None if mine.wait_status is None else ExitStatus(mine.wait_status)
        return {
            "pid": mine.pid,
            "parent": mine.parent,
            "command": mine.comm,
            "threads": mine.threads,
            "exit_status": None if status is None else status.exit_status,
            "signal": None if status is None else status.signal_name,
            "faults": {
                "minor": minor,
                "major": major,
                "by_cause": dict(sorted(mine.by_cause.items(), key=lambda item: (-item[1], item[0]))),
            },
            "syscalls": self.syscall_names(mine.syscalls),
        }

    def to_json(self, exit_status: int, signal: str | None) -> dict[str, object]:
        """The documented keys of `mmscope run --json`. The counts are of all processes, then of each."""
        minor, major = self.all_faults()
        return {
            "exit_status": exit_status,
            "signal": signal,
            "faults": {"minor": minor, "major": major, "by_cause": self.causes()},
            "rss": {"anon": self.anon, "file": self.file, "shmem": self.shmem, "peak": self.peak},
            "syscalls": self.syscall_names(),
            "cow": self.cow.to_json(self.by_cause, self.processes),
            "page_tables": self.page_tables,
            "stack_expansions": self.stack_expansions,
            "processes": [self.process_json(mine) for mine in self.processes],
        }
