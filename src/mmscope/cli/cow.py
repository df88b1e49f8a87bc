# SPDX-License-Identifier: GPL-2.0-or-later
"""Copy-on-write of one run: which instruction's write made a page private, and how the kernel did it. For cli/stats.py."""

from __future__ import annotations

from mmscope.kernel.fs.task_mmu import vma_name
from mmscope.kernel.include.mm import FAULT_FLAG_USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mmscope.cli.stats import ProcessStats
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault
    from mmscope.kernel.include.sched import TaskStruct

#: Cause of a fault, as in `by_cause` -> the function that made the page private.
FUNCTIONS: Final = {
    "do_wp_page (copy)": "wp_page_copy",
    "do_wp_page (zero page)": "wp_page_copy",
    "do_cow_fault": "do_cow_fault",
    "do_cow_fault (major)": "do_cow_fault",
    "do_wp_page (reuse)": "wp_page_reuse",
}

#: The one of them that copies nothing.
REUSE: Final = "wp_page_reuse"

_EXECVE: Final = (59, 322)


class Writer:
    """An instruction that wrote."""

    def __init__(self, pc: int, at: str | None, kernel: bool) -> None:
        self.pc = pc
        self.at = at
        self.kernel = kernel
        self.by_cause: dict[str, int] = {}


class CowStats:
    """Copies and reuses by writer; those by process and in all follow from their faults by cause."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._writers: dict[tuple[int, str | None, bool], Writer] = {}
        #: Thread ids inside execve: the instruction they came from is not in their address space any more.
        self._execs: set[int] = set()
        kernel.tp.attach("sys_enter", self.on_syscall)
        kernel.tp.attach("sched_process_exec", self.on_exec)

    def on_syscall(self, nr: int, args: tuple[int, ...]) -> None:
        """trace_sys_enter"""
        if nr in _EXECVE:
            self._execs.add(self.kernel.current.pid)
        elif self._execs:
            self._execs.discard(self.kernel.current.pid)

    def on_exec(self, task: TaskStruct) -> None:
        """trace_sched_process_exec"""
        self._execs.discard(task.pid)

    def on_fault(self, vmf: VmFault, cause: str) -> None:
        """A fault was resolved; `cause` is its key in `by_cause`."""
        if cause not in FUNCTIONS:
            return
        pc = self.kernel.current.regs.ip
        kernel = vmf.flags & FAULT_FLAG_USER == 0
        at = None if kernel and self.kernel.current.pid in self._execs else self.place(pc)
        key = (pc, at, kernel)
        writer = self._writers.get(key)
        if writer is None:
            writer = self._writers[key] = Writer(pc, at, kernel)
        writer.by_cause[cause] = writer.by_cause.get(cause, 0) + 1

    def place(self, pc: int) -> str | None:
        """The mapping of the current task's code, and where in it."""
        mm = self.kernel.current.mm
        # Not find_vma(): its cache is the kernel's, and a probe must leave it as it is.
        vma: VmAreaStruct | None = None if mm is None else mm.mmap
        while vma is not None and vma.vm_end <= pc:
            vma = vma.vm_next
        if vma is None or pc < vma.vm_start:
            return None
        offset = pc - vma.vm_start + (vma.vm_pgoff << 12 if vma.vm_file is not None else 0)
        return f"{vma_name(vma) or '[anon]'}+{offset:#x}"

    def top_writers(self, count: int) -> list[tuple[str, int]]:
        """(Place, pages) of those that copied the most."""
        found: dict[str, int] = {}
        for writer in self._writers.values():
            copies, _ = totals(writer.by_cause)
            if copies:
                place = (writer.at or "execve") + (" (kernel)" if writer.kernel and writer.at else "")
                found[place] = found.get(place, 0) + copies
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]

    def to_json(self, by_cause: dict[str, int], processes: Iterable[ProcessStats]) -> dict[str, object]:
        """The key `cow` of --json, as docs/run.md has it."""
        writers = sorted(self._writers.values(), key=lambda one: (-sum(one.by_cause.values()), one.pc, one.at or "", one.kernel))
        return {
            **counts(by_cause),
            "by_process": [
                {"pid": one.pid, "command": one.comm, **counts(one.by_cause)} for one in processes if by_function(one.by_cause)
            ],
            "by_pc": [{"pc": f"{one.pc:#x}", "at": one.at, "kernel": one.kernel, **counts(one.by_cause)} for one in writers],
        }


def by_function(by_cause: dict[str, int]) -> dict[str, int]:
    """Function -> pages, the most frequent first."""
    found: dict[str, int] = {}
    for cause, count in by_cause.items():
        name = FUNCTIONS.get(cause)
        if name is not None:
            found[name] = found.get(name, 0) + count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def totals(by_cause: dict[str, int]) -> tuple[int, int]:
    """(copies, reuses) among such faults, pages."""
    functions = by_function(by_cause)
    reuses = functions.get(REUSE, 0)
    return sum(functions.values()) - reuses, reuses


def counts(by_cause: dict[str, int]) -> dict[str, object]:
    """The keys that all entries have."""
    copies, reuses = totals(by_cause)
    return {"copies": copies, "reuses": reuses, "by_function": by_function(by_cause)}
