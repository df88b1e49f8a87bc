# SPDX-License-Identifier: GPL-2.0-or-later
"""The vsyscall page (arch/x86/entry/vsyscall/vsyscall_64.c): three calls at one fixed address for programs of before the vDSO.

    0xffffffffff600000  gettimeofday     +0x400  time     +0x800  getcpu

vsyscall=none: nothing there. xonly: nothing there either, but a jump to one of the three faults and is emulated. emulate: the
page can be read too, so that tools which look at the code find some; it is NX, so a call faults and is emulated likewise.
"""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_USER, X86_PF_WRITE, phys_write
from mmscope.kernel.arch.x86.trapnr import X86_TRAP_PF
from mmscope.kernel.arch.x86.uaccess import access_ok, copy_to_user, get_user, put_user
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.gfp import __GFP_ZERO, GFP_KERNEL
from mmscope.kernel.include.mm import VM_EXEC, VM_READ
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct, VmOperationsStruct
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE, VSYSCALL_ADDR
from mmscope.kernel.include.page_flags import PG_reserved
from mmscope.kernel.include.signal import SEGV_MAPERR, SIGSEGV
from mmscope.kernel.include.time import NSEC_PER_SEC
from mmscope.kernel.mm.page_alloc import alloc_page
from mmscope.kernel.tracepoint import trace_emulate_vsyscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

__all__ = ["emulate_vsyscall", "gate_vma_name", "get_gate_vma", "in_gate_area", "map_vsyscall"]


#: The calls by their place in the page: name, number as a system call, sizes of what its arguments point to.
_CALLS: Final = (("gettimeofday", 96, (16, 8)), ("time", 201, (8, 0)), ("getcpu", 309, (4, 4)))

#: _KERNPG_TABLE | _PAGE_USER, and PAGE_KERNEL_VVAR without _PAGE_GLOBAL: user, read-only, NX.
_TABLE_BITS: Final = 0x67
_VVAR_BITS: Final = 0x65 - (1 << 63)


def map_vsyscall(k: Kernel) -> None:
    """Boot: with vsyscall=emulate the page stands in the kernel's half of all page tables, open to user mode."""
    if k.config.vsyscall != "emulate":
        return
    entry = _VVAR_BITS | _reserved_page(k, _page_of_calls()).pfn << PAGE_SHIFT
    for shift in (12, 21, 30):
        table = _reserved_page(k, b"").pfn << PAGE_SHIFT
        k.words[(table >> 3) + (VSYSCALL_ADDR >> shift & 511)] = entry
        entry = _TABLE_BITS | table
    k.swapper_pgd_511 = entry


def _page_of_calls() -> bytes:
    """The page's text: in each of the three places `mov $NR, %rax; syscall; ret`, int3 between."""
    parts = [(b"\x48\xc7\xc0" + nr.to_bytes(4, "little") + b"\x0f\x05\xc3").ljust(1024, b"\xcc") for _, nr, _ in _CALLS]
    return b"".join(parts).ljust(PAGE_SIZE, b"\xcc")


def _reserved_page(k: Kernel, content: bytes) -> Page:
    page = alloc_page(k, GFP_KERNEL | __GFP_ZERO)
    if page is None:
        raise KernelError(ENOMEM)
    page.flags |= PG_reserved
    phys_write(k, page.pfn << PAGE_SHIFT, content)
    return page


def emulate_vsyscall(k: Kernel, error_code: int, regs: PtRegs, address: int) -> bool:
    """A fault in the vsyscall page. True: the call has been done, or the task has its SIGSEGV; False: an ordinary bad access."""
    if error_code & (X86_PF_WRITE | X86_PF_USER) != X86_PF_USER:
        return False
    mode = k.config.vsyscall
    if not error_code & X86_PF_INSTR:
        if mode != "emulate":
            warn_bad_vsyscall(k, regs, "vsyscall read attempt denied")
        return False
    if mode == "none":
        warn_bad_vsyscall(k, regs, "vsyscall attempted with vsyscall=none")
        return False
    nr = addr_to_vsyscall_nr(address)
    trace_emulate_vsyscall(k, nr)
    if nr < 0:
        warn_bad_vsyscall(k, regs, "misaligned vsyscall (exploit attempt or buggy program)")
        core_signal.force_sig(k, SIGSEGV)
        return True
    try:
        caller = get_user(k, regs.sp, 8)
    except KernelError:
        warn_bad_vsyscall(k, regs, "vsyscall with bad stack (exploit attempt?)")
        core_signal.force_sig(k, SIGSEGV)
        return True
    sizes = _CALLS[nr][2]
    regs.orig_ax = _CALLS[nr][1]
    if nr == 2:
        regs.dx = 0
    if not (write_ok_or_segv(k, regs.di, sizes[0]) and write_ok_or_segv(k, regs.si, sizes[1])):
        warn_bad_vsyscall(k, regs, "vsyscall fault (exploit attempt?)")
        return True
    # No caller looks at an errno: a bad pointer is SIGSEGV there, as if user code had stored; since v6.9 (02b670c1f88e) without
    # an address.
    thread = k.current.thread
    thread.sig_on_uaccess_err = not k.config.at_least(6, 9)
    try:
        regs.ax = _call(k, nr, regs)
    except KernelError:
        warn_bad_vsyscall(k, regs, "vsyscall fault (exploit attempt?)")
        if not thread.sig_on_uaccess_err:
            core_signal.force_sig(k, SIGSEGV)
        return True
    finally:
        thread.sig_on_uaccess_err = False
    regs.ip = caller
    regs.sp += 8
    return True


def _call(k: Kernel, nr: int, regs: PtRegs) -> int:
    """gettimeofday(tv, tz), time(tloc) or getcpu(cpu, node). Raises KernelError(EFAULT)."""
    now = k.timekeeper.ktime_get_real_ns()
    if nr == 0:
        if regs.di:
            put_user(k, regs.di, now // NSEC_PER_SEC, 8)
            put_user(k, regs.di + 8, now % NSEC_PER_SEC // 1000, 8)
        if regs.si:
            copy_to_user(k, regs.si, bytes(8))
        return 0
    if nr == 1:
        if regs.di:
            put_user(k, regs.di, now // NSEC_PER_SEC, 8)
        return now // NSEC_PER_SEC
    for pointer in (regs.di, regs.si):
        if pointer:
            put_user(k, pointer, 0, 4)
    return 0


def addr_to_vsyscall_nr(addr: int) -> int:
    """0, 1, 2; -EINVAL between and behind the calls."""
    if addr & ~0xC00 != VSYSCALL_ADDR:
        return -EINVAL
    nr = (addr & 0xC00) >> 10
    return nr if nr < 3 else -EINVAL


def write_ok_or_segv(k: Kernel, ptr: int, size: int) -> bool:
    """The pointer is not one of the kernel's; else SIGSEGV there."""
    if access_ok(ptr, size):
        return True
    thread = k.current.thread
    thread.error_code = X86_PF_USER | X86_PF_WRITE
    thread.cr2 = ptr
    thread.trap_nr = X86_TRAP_PF
    core_signal.force_sig_fault(k, SIGSEGV, SEGV_MAPERR, ptr)
    return False


def warn_bad_vsyscall(k: Kernel, regs: PtRegs, message: str) -> None:
    """A line in the kernel log."""
    task = k.current
    k.printk(
        f"{task.comm}[{task.pid}] {message} ip:{regs.ip:x} cs:{regs.cs:x} sp:{regs.sp:x} "
        f"ax:{regs.ax:x} si:{regs.si:x} di:{regs.di:x}"
    )


def gate_vma_name(vma: VmAreaStruct) -> str:
    """The name that maps shows for the vsyscall page."""
    return "[vsyscall]"


gate_vma_ops: Final = VmOperationsStruct("gate_vma_ops", name=gate_vma_name)


def get_gate_vma(mm: MmStruct) -> VmAreaStruct | None:
    """The vsyscall page's VMA, outside every mm's list and tree; None with vsyscall=none."""
    mode = mm.kernel.config.vsyscall
    if mode == "none":
        return None
    vma = VmAreaStruct(mm)
    vma.vm_start = VSYSCALL_ADDR
    vma.vm_end = VSYSCALL_ADDR + PAGE_SIZE
    # xonly: emulated when called, unreadable; emulate: readable too.
    vma.vm_flags = VM_EXEC if mode == "xonly" else VM_READ | VM_EXEC
    vma.vm_ops = gate_vma_ops
    return vma


def in_gate_area(mm: MmStruct, addr: int) -> bool:
    """The address lies in the vsyscall page, and there is one."""
    vma = get_gate_vma(mm)
    return vma is not None and vma.vm_start <= addr < vma.vm_end
