# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine without an operating system: RAM, the real Cpu, hand-made page tables, and a kernel that notes what comes."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator

import pytest

from mmscope.cpu.engine import Engine
from mmscope.cpu.entries import Entries
from mmscope.kernel.arch.x86.cpu import Cpu
from mmscope.kernel.config import KernelConfig
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.include.sched import TaskStruct

P, RW, US, A, D = 1, 2, 4, 0x20, 0x40
NX = -(1 << 63)

CODE = 0x10000000
DATA = 0x20000000
STACK = 0x30000000


class Guest:
    """Runs guest code until it enters the kernel in a way that nobody handles; `events` tells of each entry."""

    def __init__(self, ram: int = 4 << 20) -> None:
        self.k = Kernel(KernelConfig(ram=ram), mmap.mmap(-1, ram))
        self.k.cpu = Cpu(self.k)
        self.task = TaskStruct(self.k, 1, "guest")
        self.k.current = self.task
        self.regs = self.task.regs
        self.free_frame = 1
        self.k.cpu.load_cr3(self.frame())
        #: ("syscall", number) | ("fault", error code, address, ip) | ("trap", vector, error code, ip)
        self.events: list[tuple[object, ...]] = []
        #: True: the entry is handled, go on. None: stop at the first event.
        self.handler: Callable[[tuple[object, ...]], bool] | None = None
        self.engine = Engine(self.k, self._syscall, Entries(self._fault, self._trap, self._exit_to_user, self._read_tsc))

    def frame(self) -> int:
        """Physical address of a fresh, zeroed frame."""
        self.free_frame += 1
        return self.free_frame << 12

    def pte(self, vaddr: int) -> int:
        """Index of the PTE of `vaddr`, its tables made as needed."""
        words = self.k.words
        table = self.k.cpu.cr3
        for shift in (39, 30, 21):
            at = (table >> 3) + (vaddr >> shift & 511)
            if not words[at]:
                words[at] = self.frame() | P | RW | US | A
            table = words[at] & 0x000FFFFFFFFFF000
        return (table >> 3) + (vaddr >> 12 & 511)

    def map(self, vaddr: int, prot: str = "rw", frame: int = 0) -> int:
        """Map the page at `vaddr`; its physical address."""
        frame = frame or self.frame()
        entry = frame | P | US | (RW if "w" in prot else 0)
        self.k.words[self.pte(vaddr)] = entry if "x" in prot else entry | NX
        return frame

    def unmap(self, vaddr: int) -> None:
        """Clear the PTE and flush."""
        self.k.words[self.pte(vaddr)] = 0
        self.k.cpu.invlpg(vaddr)

    def phys(self, vaddr: int) -> int:
        """Physical address that `vaddr` is mapped to."""
        return (self.k.words[self.pte(vaddr)] & 0x000FFFFFFFFFF000) | (vaddr & 4095)

    def poke(self, vaddr: int, data: bytes) -> None:
        """Write memory from outside, unknown to the CPU."""
        at = self.phys(vaddr)
        self.k.mem[at : at + len(data)] = data

    def peek(self, vaddr: int, n: int) -> bytes:
        """Read memory."""
        at = self.phys(vaddr)
        return bytes(self.k.mem[at : at + n])

    def code(self, text: str, at: int = CODE) -> None:
        """Put the code `text` (hex; `;` begins a comment) at `at` and point RIP there."""
        data = bytes.fromhex("".join(line.split(";")[0] for line in text.splitlines()))
        for page in range(at & -4096, at + len(data), 4096):
            if not self.k.words[self.pte(page)]:
                self.map(page, "rx")
        for i in range(len(data)):
            self.poke(at + i, data[i : i + 1])
        self.regs.ip = at

    def run(self) -> list[tuple[object, ...]]:
        """Run until an event is not handled; the events since the last run."""
        self.events = []
        self.task.exit_state = 0
        self.engine.run(self.task)
        return self.events

    def _note(self, event: tuple[object, ...]) -> None:
        self.events.append(event)
        if self.handler is None or not self.handler(event):
            self.task.exit_state = 1

    def _syscall(self, k: Kernel, regs: PtRegs) -> None:
        self._note(("syscall", regs.ax))

    def _fault(self, k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
        self._note(("fault", error_code, address, regs.ip))

    def _trap(self, k: Kernel, regs: PtRegs, vector: int, error_code: int) -> None:
        self._note(("trap", vector, error_code, regs.ip))

    def _read_tsc(self, k: Kernel) -> int:
        return 0x123456789A

    def _exit_to_user(self, k: Kernel, regs: PtRegs) -> None:
        return


@pytest.fixture
def guest() -> Iterator[Guest]:
    g = Guest()
    g.map(STACK)
    g.regs.sp = STACK + 4096
    yield g
    g.engine.close()
