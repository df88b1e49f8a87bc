# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracepoints: the one place from which each kind of state change is reported.

As in Linux a tracepoint is a function `trace_EVENT(k, ...)` called at the state's choke point. It does nothing until
someone attaches a probe to the event: `k.tp.attach("set_pte", callback)`. The callback gets the event's arguments as
the docstrings below name them; it must not change the kernel's state.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct, VmFault
    from mmscope.kernel.include.sched import TaskStruct


class Tracepoints:
    """The probes of one kernel. An event without a probe costs one attribute test."""

    def __init__(self) -> None:
        self.set_pte: Callable[..., Any] | None = None
        self.vma_link: Callable[..., Any] | None = None
        self.vma_unlink: Callable[..., Any] | None = None
        self.vma_adjust: Callable[..., Any] | None = None
        self.vma_flags: Callable[..., Any] | None = None
        self.vm_unmapped_area: Callable[..., Any] | None = None
        self.mm_page_alloc: Callable[..., Any] | None = None
        self.mm_page_free: Callable[..., Any] | None = None
        self.mm_filemap_add_to_page_cache: Callable[..., Any] | None = None
        self.mm_filemap_delete_from_page_cache: Callable[..., Any] | None = None
        self.page_add_rmap: Callable[..., Any] | None = None
        self.page_remove_rmap: Callable[..., Any] | None = None
        self.page_fault_user: Callable[..., Any] | None = None
        self.page_fault_kernel: Callable[..., Any] | None = None
        self.handle_mm_fault: Callable[..., Any] | None = None
        self.sys_enter: Callable[..., Any] | None = None
        self.sys_exit: Callable[..., Any] | None = None
        self.signal_deliver: Callable[..., Any] | None = None
        self.tlb_flush: Callable[..., Any] | None = None
        self.sched_process_fork: Callable[..., Any] | None = None
        self.sched_process_exec: Callable[..., Any] | None = None
        self.sched_process_exit: Callable[..., Any] | None = None
        self.emulate_vsyscall: Callable[..., Any] | None = None

    def attach(self, event: str, probe: Callable[..., Any]) -> None:
        """Call `probe` at every `event`, after the probes that already are there. AttributeError: no such event."""
        before = getattr(self, event)
        if before is None:
            setattr(self, event, probe)
        else:
            setattr(self, event, _Both(before, probe))


class _Both:
    """Two probes on one event, first come first called."""

    def __init__(self, first: Callable[..., Any], second: Callable[..., Any]) -> None:
        self.first = first
        self.second = second

    def __call__(self, *args: object) -> None:
        self.first(*args)
        self.second(*args)


def trace_set_pte(k: Kernel, mm: MmStruct | None, addr: int, ptep: i64, old: i64, new: i64) -> None:
    """A page-table entry of any level changed; `ptep` = physical address >> 3, entries signed, addr 0 if not known."""
    if k.tp.set_pte is not None:
        k.tp.set_pte(mm, addr, ptep, old, new)


def trace_vma_link(vma: VmAreaStruct) -> None:
    """`vma` entered its mm."""
    probe = vma.vm_mm.kernel.tp.vma_link
    if probe is not None:
        probe(vma)


def trace_vma_unlink(vma: VmAreaStruct) -> None:
    """`vma` left its mm."""
    probe = vma.vm_mm.kernel.tp.vma_unlink
    if probe is not None:
        probe(vma)


def trace_vma_adjust(vma: VmAreaStruct, start: int, end: int, pgoff: int) -> None:
    """`vma` got these limits, bytes, and this pgoff, pages; called after the change with the limits before it."""
    probe = vma.vm_mm.kernel.tp.vma_adjust
    if probe is not None:
        probe(vma, start, end, pgoff)


def trace_vma_flags(vma: VmAreaStruct, vm_flags: int) -> None:
    """`vma`, which is linked, got other vm_flags; called after the change with those before it."""
    probe = vma.vm_mm.kernel.tp.vma_flags
    if probe is not None:
        probe(vma, vm_flags)


def trace_vm_unmapped_area(mm: MmStruct, addr: int, flags: int, length: int, low: int, high: int) -> None:
    """vm_unmapped_area() returned `addr` (negative errno if none)."""
    probe = mm.kernel.tp.vm_unmapped_area
    if probe is not None:
        probe(mm, addr, flags, length, low, high)


def trace_mm_page_alloc(k: Kernel, page: Page, order: int, gfp_flags: int) -> None:
    """1 << order frames were allocated."""
    if k.tp.mm_page_alloc is not None:
        k.tp.mm_page_alloc(page, order, gfp_flags)


def trace_mm_page_free(k: Kernel, page: Page, order: int) -> None:
    """1 << order frames were freed."""
    if k.tp.mm_page_free is not None:
        k.tp.mm_page_free(page, order)


def trace_mm_filemap_add_to_page_cache(page: Page) -> None:
    """`page` entered its mapping at `page.index`."""
    probe = page.kernel.tp.mm_filemap_add_to_page_cache
    if probe is not None:
        probe(page)


def trace_mm_filemap_delete_from_page_cache(page: Page) -> None:
    """`page` leaves its mapping."""
    probe = page.kernel.tp.mm_filemap_delete_from_page_cache
    if probe is not None:
        probe(page)


def trace_page_add_rmap(page: Page, vma: VmAreaStruct, address: int) -> None:
    """A PTE of `vma` at `address` now maps `page` (address 0: not known to the caller)."""
    probe = page.kernel.tp.page_add_rmap
    if probe is not None:
        probe(page, vma, address)


def trace_page_remove_rmap(page: Page) -> None:
    """One PTE less maps `page`."""
    probe = page.kernel.tp.page_remove_rmap
    if probe is not None:
        probe(page)


def trace_page_fault_user(k: Kernel, address: int, ip: int, error_code: int) -> None:
    """#PF from ring 3."""
    if k.tp.page_fault_user is not None:
        k.tp.page_fault_user(address, ip, error_code)


def trace_page_fault_kernel(k: Kernel, address: int, ip: int, error_code: int) -> None:
    """#PF from ring 0 (copy_to_user and its like)."""
    if k.tp.page_fault_kernel is not None:
        k.tp.page_fault_kernel(address, ip, error_code)


def trace_handle_mm_fault(vmf: VmFault, result: int) -> None:
    """__handle_mm_fault() is done: `vmf.orig_pte` is the entry found (0 = none), `result` VM_FAULT_*."""
    probe = vmf.vma.vm_mm.kernel.tp.handle_mm_fault
    if probe is not None:
        probe(vmf, result)


def trace_sys_enter(k: Kernel, nr: int, args: tuple[int, ...]) -> None:
    """A system call begins: number and six arguments."""
    if k.tp.sys_enter is not None:
        k.tp.sys_enter(nr, args)


def trace_sys_exit(k: Kernel, nr: int, ret: int) -> None:
    """A system call ends with `ret` (negative errno on failure)."""
    if k.tp.sys_exit is not None:
        k.tp.sys_exit(nr, ret)


def trace_signal_deliver(k: Kernel, sig: int, code: int, addr: int, sa_handler: int) -> None:
    """Signal `sig` reaches the current task; sa_handler 0 = default action."""
    if k.tp.signal_deliver is not None:
        k.tp.signal_deliver(sig, code, addr, sa_handler)


def trace_tlb_flush(k: Kernel, start: int, end: int) -> None:
    """The TLB forgot [start, end); (0, -1) = all of it."""
    if k.tp.tlb_flush is not None:
        k.tp.tlb_flush(start, end)


def trace_sched_process_fork(k: Kernel, parent: TaskStruct, child: TaskStruct) -> None:
    """`child`, a process or a thread, is about to run for the first time."""
    if k.tp.sched_process_fork is not None:
        k.tp.sched_process_fork(parent, child)


def trace_sched_process_exec(k: Kernel, task: TaskStruct) -> None:
    """`task` has become another program."""
    if k.tp.sched_process_exec is not None:
        k.tp.sched_process_exec(task)


def trace_sched_process_exit(k: Kernel, task: TaskStruct) -> None:
    """`task` has let go of its address space, and will not make another system call."""
    if k.tp.sched_process_exit is not None:
        k.tp.sched_process_exit(task)


def trace_emulate_vsyscall(k: Kernel, nr: int) -> None:
    """A jump into the vsyscall page: call 0 to 2, or negative."""
    if k.tp.emulate_vsyscall is not None:
        k.tp.emulate_vsyscall(nr)
