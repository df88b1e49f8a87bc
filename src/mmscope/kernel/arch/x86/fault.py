# SPDX-License-Identifier: GPL-2.0-or-later
"""The page-fault exception (arch/x86/mm/fault.c): from #PF to handle_mm_fault(), a signal, or EFAULT.

Error code: bit 0 PROT (0 = not present), 1 WRITE, 2 USER, 3 RSVD, 4 INSTR.
"""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.mm.debug_vm as mm_debug_vm
import mmscope.kernel.mm.mmap as mm_mmap
import mmscope.kernel.mm.oom_kill as mm_oom_kill
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_PROT, X86_PF_RSVD, X86_PF_USER, X86_PF_WRITE
from mmscope.kernel.arch.x86.trapnr import X86_TRAP_PF
from mmscope.kernel.include.errno import EFAULT, KernelBug, KernelError
from mmscope.kernel.include.mm import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_DEFAULT,
    FAULT_FLAG_INSTRUCTION,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_USER,
    FAULT_FLAG_WRITE,
    VM_ACCESS_FLAGS,
    VM_FAULT_ERROR,
    VM_FAULT_HWPOISON,
    VM_FAULT_HWPOISON_LARGE,
    VM_FAULT_MAJOR,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_FAULT_SIGSEGV,
    VM_GROWSDOWN,
    VM_WRITE,
)
from mmscope.kernel.include.page import PAGE_MASK, TASK_SIZE_MAX, VSYSCALL_ADDR
from mmscope.kernel.include.ptrace import user_mode
from mmscope.kernel.include.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV
from mmscope.kernel.mm.memory import handle_mm_fault
from mmscope.kernel.tracepoint import trace_page_fault_kernel, trace_page_fault_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["access_error", "do_user_addr_fault", "exc_page_fault", "handle_page_fault"]


def exc_page_fault(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """#PF at `address` (CR2). On return the access is retried, or a signal is queued.

    Raises KernelError(EFAULT) where the kernel itself accessed user memory (`regs` not in user mode): that is its
    exception-table fixup.
    """
    k.timekeeper.account_fault()
    handle_page_fault(k, regs, error_code, address)
    if user_mode(regs):
        mm_debug_vm.debug_vm_check(k)


def handle_page_fault(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """Trace it; tell kernel addresses from user addresses."""
    if user_mode(regs):
        trace_page_fault_user(k, address, regs.ip, error_code)
    else:
        trace_page_fault_kernel(k, address, regs.ip, error_code)
    if fault_in_kernel_space(address):
        do_kern_addr_fault(k, regs, error_code, address)
    else:
        do_user_addr_fault(k, regs, error_code, address)


def is_vsyscall_vaddr(address: int) -> bool:
    """In the vsyscall page, which is above TASK_SIZE_MAX yet not counted to the kernel's space."""
    return address & PAGE_MASK == VSYSCALL_ADDR


def fault_in_kernel_space(address: int) -> bool:
    """Above all user addresses."""
    return address >= TASK_SIZE_MAX and not is_vsyscall_vaddr(address)


def do_kern_addr_fault(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """No VMA is looked for: user mode must not go there, and the kernel's own tables are never lazy here."""
    bad_area_nosemaphore(k, regs, error_code, address)


def access_error(error_code: int, vma: VmAreaStruct) -> bool:
    """The VMA does not permit the access."""
    if error_code & X86_PF_WRITE:
        return vma.vm_flags & VM_WRITE == 0
    if error_code & X86_PF_PROT:
        return True  # a read of a present page: only PROT_NONE, NX or the kernel's pages deny it
    return vma.vm_flags & VM_ACCESS_FLAGS == 0


def do_user_addr_fault(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """Find the VMA, grow the stack, check the access, handle the fault, and again while it says VM_FAULT_RETRY."""
    mm = k.current.mm
    if error_code & X86_PF_RSVD:
        raise KernelBug(f"corrupted page table: reserved bit set for {address:#x}, pgd at {k.cpu.cr3:#x}")
    if mm is None:
        bad_area_nosemaphore(k, regs, error_code, address)
        return
    flags = FAULT_FLAG_DEFAULT
    if user_mode(regs):
        flags |= FAULT_FLAG_USER
    if error_code & X86_PF_WRITE:
        flags |= FAULT_FLAG_WRITE
    if error_code & X86_PF_INSTR:
        flags |= FAULT_FLAG_INSTRUCTION
    if is_vsyscall_vaddr(address):
        from mmscope.kernel.arch.x86.vsyscall_64 import emulate_vsyscall

        if emulate_vsyscall(k, error_code, regs, address):
            return
    # Since v6.7 the first try of user mode holds the VMA's lock only, for files too: one that gives up without I/O for this page
    # (readahead) does not make the fault a major one (46e714c729c8).
    vma_lock = user_mode(regs) and k.config.at_least(6, 7)
    while True:
        vma = mm_mmap.find_vma(mm, address)
        if vma is None:
            bad_area(k, regs, error_code, address)
            return
        if vma.vm_start > address:
            if vma.vm_flags & VM_GROWSDOWN == 0:
                bad_area(k, regs, error_code, address)
                return
            try:
                mm_mmap.expand_stack(vma, address)
            except KernelError:
                bad_area(k, regs, error_code, address)
                return
        if access_error(error_code, vma):
            bad_area_access_error(k, regs, error_code, address)
            return
        fault = handle_mm_fault(vma, address, flags, regs)
        if fault_signal_pending(k, fault, regs):
            if not user_mode(regs):
                no_context(k, regs, error_code, address, SIGBUS, BUS_ADRERR)
            return
        if not (fault & VM_FAULT_RETRY and flags & FAULT_FLAG_ALLOW_RETRY):
            break
        if not vma_lock or fault & VM_FAULT_MAJOR:
            flags |= FAULT_FLAG_TRIED
        vma_lock = False
    if fault & VM_FAULT_ERROR:
        mm_fault_error(k, regs, error_code, address, fault)


def fault_signal_pending(k: Kernel, fault: int, regs: PtRegs) -> bool:
    """A handler that wants a retry is not tried again when a signal could not wait for it."""
    if not fault & VM_FAULT_RETRY:
        return False
    tsk = k.current
    return core_signal.fatal_signal_pending(tsk) or (user_mode(regs) and core_signal.signal_pending(tsk))


# --- bad areas


def bad_area(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """Nothing is mapped there."""
    __bad_area(k, regs, error_code, address, SEGV_MAPERR)


def bad_area_access_error(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """Something is mapped, but not for this access."""
    __bad_area(k, regs, error_code, address, SEGV_ACCERR)


def __bad_area(k: Kernel, regs: PtRegs, error_code: int, address: int, si_code: int) -> None:
    __bad_area_nosemaphore(k, regs, error_code, address, si_code)


def bad_area_nosemaphore(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """A bad access that was found without looking at VMAs."""
    __bad_area_nosemaphore(k, regs, error_code, address, SEGV_MAPERR)


def __bad_area_nosemaphore(k: Kernel, regs: PtRegs, error_code: int, address: int, si_code: int) -> None:
    """SIGSEGV for user mode."""
    if not (user_mode(regs) and error_code & X86_PF_USER):
        no_context(k, regs, error_code, address, SIGSEGV, si_code)
        return
    error_code = sanitize_error_code(address, error_code)
    show_signal_msg(k, regs, error_code, address, k.current)
    set_signal_archinfo(k, address, error_code)
    core_signal.force_sig_fault(k, SIGSEGV, si_code, address)


def sanitize_error_code(address: int, error_code: int) -> int:
    """Do not tell user mode which kernel addresses are mapped: all look present."""
    return error_code | X86_PF_PROT if address >= TASK_SIZE_MAX else error_code


def set_signal_archinfo(k: Kernel, address: int, error_code: int) -> None:
    """What the signal frame's sigcontext shows as trapno, err and cr2."""
    thread = k.current.thread
    thread.trap_nr = X86_TRAP_PF
    thread.error_code = error_code | X86_PF_USER
    thread.cr2 = address


def show_signal_msg(k: Kernel, regs: PtRegs, error_code: int, address: int, tsk: TaskStruct) -> None:
    """The kernel log's line about a SIGSEGV that nobody handles."""
    handler = tsk.sighand.action[SIGSEGV - 1].sa_handler
    if handler != SIG_DFL and handler != SIG_IGN:
        return
    k.printk(
        f"{tsk.comm}[{tsk.pid}]: segfault at {address:x} ip {regs.ip:016x} sp {regs.sp:016x} error {error_code:x}"
        + print_vma_addr(k, tsk, regs.ip)
    )


def print_vma_addr(k: Kernel, tsk: TaskStruct, ip: int) -> str:
    """The file that `ip` lies in, with its VMA (print_vma_addr in mm/memory.c)."""
    vma = mm_mmap.find_vma(tsk.mm, ip) if tsk.mm is not None else None
    if vma is None or vma.vm_start > ip or vma.vm_file is None:
        return ""
    name = vma.vm_file.f_dentry.d_name
    return f" in {name}[{vma.vm_start:x}+{vma.vm_end - vma.vm_start:x}]"


def no_context(k: Kernel, regs: PtRegs, error_code: int, address: int, signal: int, si_code: int) -> None:
    """The kernel itself touched a bad address: the access functions of uaccess.py have a fixup for that.

    In an emulated vsyscall it is SIGSEGV or SIGBUS besides, as if the program had made the access.
    """
    if user_mode(regs):
        raise KernelBug(f"page fault at {address:#x}, error code {error_code:#x} without USER, from user mode at {regs.ip:#x}")
    if signal and k.current.thread.sig_on_uaccess_err:
        set_signal_archinfo(k, address, sanitize_error_code(address, error_code))
        core_signal.force_sig_fault(k, signal, si_code, address)
    raise KernelError(EFAULT)


def do_sigbus(k: Kernel, regs: PtRegs, error_code: int, address: int) -> None:
    """The mapping has no page to give: beyond the end of the file, or an I/O error."""
    if not error_code & X86_PF_USER:
        no_context(k, regs, error_code, address, SIGBUS, BUS_ADRERR)
        return
    set_signal_archinfo(k, address, sanitize_error_code(address, error_code))
    core_signal.force_sig_fault(k, SIGBUS, BUS_ADRERR, address)


def mm_fault_error(k: Kernel, regs: PtRegs, error_code: int, address: int, fault: int) -> None:
    """handle_mm_fault() failed: out of memory, SIGBUS or SIGSEGV."""
    if core_signal.fatal_signal_pending(k.current) and not error_code & X86_PF_USER:
        no_context(k, regs, error_code, address, 0, 0)
        return
    if fault & VM_FAULT_OOM:
        if not error_code & X86_PF_USER:
            no_context(k, regs, error_code, address, SIGSEGV, SEGV_MAPERR)
            return
        mm_oom_kill.pagefault_out_of_memory(k)
    elif fault & (VM_FAULT_SIGBUS | VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE):
        do_sigbus(k, regs, error_code, address)
    elif fault & VM_FAULT_SIGSEGV:
        bad_area_nosemaphore(k, regs, error_code, address)
    else:
        raise KernelBug(f"mm_fault_error: VM_FAULT bits {fault:#x} for {address:#x}")
