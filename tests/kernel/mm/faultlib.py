# SPDX-License-Identifier: GPL-2.0-or-later
"""A process for fault tests: memory accesses as the processor makes them, and entries read from RAM."""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import X86_PF_USER, X86_PF_WRITE
from mmscope.kernel.arch.x86.fault import exc_page_fault
from mmscope.kernel.arch.x86.tlbflush import switch_mm
from mmscope.kernel.config import BASE_VERSION, KernelConfig
from mmscope.kernel.core.fork import exit_mm
from mmscope.kernel.core.fork_mm import dup_mm
from mmscope.kernel.core.pid import alloc_pid
from mmscope.kernel.include.fs import O_RDWR, File
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct
from mmscope.kernel.include.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.init.main import start_kernel, user_process
from mmscope.kernel.mm.mmap import find_vma, ksys_mmap_pgoff
from mmscope.kernel.mm.swap import lru_add_drain

RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS
U64 = 0xFFFFFFFFFFFFFFFF
PFN_MASK = 0x000FFFFFFFFFF000


class Signalled(Exception):
    """The access ended in a signal: (si_signo, si_code, si_addr)."""


class Box:
    """One process and the ways to use its memory."""

    def __init__(self, ram: int = 32 << 20, root: str | None = None, version: tuple[int, int] = BASE_VERSION) -> None:
        config = KernelConfig(ram)
        config.version = version
        config.randomize_va_space = 0
        config.rootfstype = "ext4"
        config.CONFIG_DEBUG_VM = True
        self.k: Kernel = start_kernel(config, root)
        self.task = user_process(self.k)
        assert self.task.mm is not None
        self.mm: MmStruct = self.task.mm

    def fork(self) -> Box:
        """A child with a copy of the address space; it is not current yet."""
        child = Box.__new__(Box)
        child.k = self.k
        child.task = TaskStruct(self.k, alloc_pid(self.k), "child")
        child.task.mm = child.task.active_mm = child.mm = dup_mm(child.task, self.mm)
        child.task.files = self.task.files
        self.k.tasks[child.task.pid] = child.task
        return child

    def switch(self) -> None:
        """Let it run."""
        switch_mm(self.k, self.k.current.mm, self.mm)
        self.k.current = self.task

    def exit(self) -> None:
        """Its address space goes; the processor stays without one until the next switch()."""
        self.switch()
        exit_mm(self.task)
        del self.k.tasks[self.task.pid]

    def mmap(self, length: int, prot: int = RW, flags: int = ANON, fd: int = -1, off: int = 0, addr: int = 0) -> int:
        return ksys_mmap_pgoff(self.k, addr, length, prot, flags | (MAP_FIXED if addr else 0), fd, off >> 12)

    def vma(self, addr: int) -> VmAreaStruct:
        vma = find_vma(self.mm, addr)
        assert vma is not None
        assert vma.vm_start <= addr
        return vma

    def access(self, addr: int, bits: int = 0) -> int:
        """Physical address after the page faults of one user access; Signalled if it ended in a signal."""
        for _ in range(4):
            paddr = self.k.cpu.translate(addr, bits | X86_PF_USER)
            if paddr >= 0:
                return paddr
            exc_page_fault(self.k, self.task.regs, self.k.cpu.error_code, self.k.cpu.cr2)
            if self.task.pending.signal & 1 << (SIGKILL - 1):
                raise Signalled(SIGKILL, 0, 0)
            if self.task.pending.list:
                info = self.task.pending.list.pop()
                self.task.pending.signal = 0
                raise Signalled(info.si_signo, info.si_code, info.si_addr)
        raise AssertionError(f"no progress at {addr:#x}")

    def load(self, addr: int) -> int:
        return int(self.k.mem[self.access(addr)])

    def store(self, addr: int, byte: int) -> None:
        self.k.mem[self.access(addr, X86_PF_WRITE)] = byte

    def pte(self, addr: int) -> int:
        """The entry in RAM, unsigned; 0 if a table is missing."""
        table = self.mm.pgd
        for shift in (39, 30, 21, 12):
            entry = self.k.words[(table >> 3) + ((addr >> shift) & 511)]
            if shift == 12 or not entry & 1:
                return entry & U64
            table = entry & PFN_MASK
        raise AssertionError

    def flags(self, addr: int) -> int:
        """The entry without its frame."""
        return self.pte(addr) & ~PFN_MASK

    def page(self, addr: int) -> Page:
        return self.k.mem_map[(self.pte(addr) & PFN_MASK) >> 12]

    def rss(self) -> list[int]:
        """[file, anon, swap, shmem] pages, the task's cache included."""
        return [a + b for a, b in zip(self.mm.rss_stat, self.task.rss_stat, strict=True)]

    def faults(self) -> tuple[int, int]:
        return self.task.min_flt, self.task.maj_flt

    def drain(self) -> None:
        lru_add_drain(self.k)

    def open(self, path: str, flags: int = O_RDWR) -> int:
        from mmscope.kernel.fs.open import do_sys_open

        return do_sys_open(self.k, -100, path, flags, 0)

    def file(self, fd: int) -> File:
        assert self.task.files is not None
        return self.task.files.fd[fd]
