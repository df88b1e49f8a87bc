# SPDX-License-Identifier: GPL-2.0-or-later
"""What the processor's exceptions other than #PF become (arch/x86/kernel/traps.c): a signal, its code and address.

| vector | exception              | signal, si_code             | si_addr |
|--------|------------------------|-----------------------------|---------|
| 0 #DE  | exc_divide_error       | SIGFPE, FPE_INTDIV          | ip      |
| 1 #DB  | exc_debug              | SIGTRAP, TRAP_TRACE/BRKPT   | ip      |
| 3 #BP  | exc_int3               | SIGTRAP, SI_KERNEL          | -       |
| 4 #OF  | exc_overflow           | SIGSEGV, SI_KERNEL          | -       |
| 5 #BR  | exc_bounds             | SIGSEGV, SI_KERNEL          | -       |
| 6 #UD  | exc_invalid_op         | SIGILL, ILL_ILLOPN          | ip      |
| 11 #NP | exc_segment_not_present| SIGBUS, SI_KERNEL           | -       |
| 12 #SS | exc_stack_segment      | SIGBUS, SI_KERNEL           | -       |
| 13 #GP | exc_general_protection | SIGSEGV, SI_KERNEL          | -       |
| 16 #MF | exc_coprocessor_error  | SIGFPE, by the status word  | ip      |
| 17 #AC | exc_alignment_check    | SIGBUS, BUS_ADRALN          | -       |
| 19 #XM | exc_simd_coprocessor_error | SIGFPE, by MXCSR        | ip      |
"""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.arch.x86.trapnr import (
    DR_STEP,
    X86_TRAP_AC,
    X86_TRAP_BP,
    X86_TRAP_BR,
    X86_TRAP_DB,
    X86_TRAP_DE,
    X86_TRAP_GP,
    X86_TRAP_MF,
    X86_TRAP_NP,
    X86_TRAP_OF,
    X86_TRAP_SS,
    X86_TRAP_UD,
    X86_TRAP_XF,
)
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.ptrace import user_mode
from mmscope.kernel.include.signal import (
    BUS_ADRALN,
    FPE_FLTDIV,
    FPE_FLTINV,
    FPE_FLTOVF,
    FPE_FLTRES,
    FPE_FLTUND,
    FPE_INTDIV,
    ILL_ILLOPN,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGSEGV,
    SIGTRAP,
    TRAP_BRKPT,
    TRAP_TRACE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def do_trap(k: Kernel, trapnr: int, sig: int, text: str, regs: PtRegs, error_code: int, code: int, addr: int) -> None:
    """Note the trap for the signal frame, log it if nobody handles the signal, and force it. code 0: SI_KERNEL."""
    if not user_mode(regs):
        raise KernelBug(f"{text} in kernel mode: {core_signal.print_user_regs(k, regs)} error:{error_code:x}")
    tsk = k.current
    tsk.thread.error_code = error_code
    tsk.thread.trap_nr = trapnr
    show_signal(k, sig, text, regs, error_code)
    if code == 0:
        core_signal.force_sig(k, sig)
    else:
        core_signal.force_sig_fault(k, sig, code, addr)


def show_signal(k: Kernel, sig: int, desc: str, regs: PtRegs, error_code: int) -> None:
    """The log line of an exception whose signal nobody handles (debug.exception-trace)."""
    tsk = k.current
    if core_signal.unhandled_signal(tsk, sig):
        k.printk(
            f"traps: {tsk.comm}[{tsk.pid}] {desc} ip:{regs.ip:x} sp:{regs.sp:x} error:{error_code:x}"
            + print_vma_addr(k, " in ", regs.ip)
        )


def print_vma_addr(k: Kernel, prefix: str, ip: int) -> str:
    """` in NAME[start+size]`: the file mapping that holds `ip`; nothing for anonymous memory (mm/memory.c)."""
    mm = k.current.mm
    vma = mm.mmap if mm is not None else None
    while vma is not None and vma.vm_end <= ip:
        vma = vma.vm_next
    if vma is None or vma.vm_start > ip or vma.vm_file is None:
        return ""
    return f"{prefix}{vma.vm_file.f_dentry.d_name}[{vma.vm_start:x}+{vma.vm_end - vma.vm_start:x}]"


def exc_divide_error(k: Kernel, regs: PtRegs) -> None:
    """#DE: division by zero, or a quotient too large."""
    do_trap(k, X86_TRAP_DE, SIGFPE, "trap divide error", regs, 0, FPE_INTDIV, regs.ip)


def exc_overflow(k: Kernel, regs: PtRegs) -> None:
    """#OF: `into`, which 64-bit mode does not have; `int $4` may raise #GP instead."""
    do_trap(k, X86_TRAP_OF, SIGSEGV, "trap overflow", regs, 0, 0, 0)


def exc_bounds(k: Kernel, regs: PtRegs) -> None:
    """#BR: bound range exceeded."""
    do_trap(k, X86_TRAP_BR, SIGSEGV, "trap bounds", regs, 0, 0, 0)


def exc_invalid_op(k: Kernel, regs: PtRegs) -> None:
    """#UD: an invalid opcode (ud2 among them)."""
    do_trap(k, X86_TRAP_UD, SIGILL, "trap invalid opcode", regs, 0, ILL_ILLOPN, regs.ip)


def exc_segment_not_present(k: Kernel, regs: PtRegs, error_code: int) -> None:
    """#NP."""
    do_trap(k, X86_TRAP_NP, SIGBUS, "trap segment not present", regs, error_code, 0, 0)


def exc_stack_segment(k: Kernel, regs: PtRegs, error_code: int) -> None:
    """#SS: a non-canonical address through rsp or rbp."""
    do_trap(k, X86_TRAP_SS, SIGBUS, "trap stack segment", regs, error_code, 0, 0)


def exc_general_protection(k: Kernel, regs: PtRegs, error_code: int) -> None:
    """#GP: non-canonical addresses, privileged instructions, misaligned SSE operands."""
    if not user_mode(regs):
        raise KernelBug(f"general protection fault: {core_signal.print_user_regs(k, regs)} error:{error_code:x}")
    thread = k.current.thread
    thread.error_code = error_code
    thread.trap_nr = X86_TRAP_GP
    show_signal(k, SIGSEGV, "general protection fault", regs, error_code)
    core_signal.force_sig(k, SIGSEGV)


def exc_int3(k: Kernel, regs: PtRegs) -> None:
    """#BP: int3; ip is behind it already. No code of its own: SI_KERNEL."""
    do_trap(k, X86_TRAP_BP, SIGTRAP, "trap int3", regs, 0, 0, 0)


def exc_debug(k: Kernel, regs: PtRegs, dr6: int) -> None:
    """#DB: a single step (TRAP_TRACE), even of the popf that clears EFLAGS.TF, or `int1` (icebp: TRAP_BRKPT)."""
    tsk = k.current
    tsk.thread.trap_nr = X86_TRAP_DB
    tsk.thread.error_code = 0
    code = TRAP_TRACE if dr6 & DR_STEP else TRAP_BRKPT
    core_signal.force_sig_fault(k, SIGTRAP, code, regs.ip)


def exc_alignment_check(k: Kernel, regs: PtRegs, error_code: int = 0) -> None:
    """#AC: EFLAGS.AC is set and the operand is misaligned. No address is passed on."""
    do_trap(k, X86_TRAP_AC, SIGBUS, "trap alignment check", regs, error_code, BUS_ADRALN, 0)


def fpu__exception_code(cpu_fxsave: bytes, trap_nr: int) -> int:
    """The FPE_* code of an unmasked exception, from the x87 words (#MF) or MXCSR (#XM); 0 = spurious."""
    if trap_nr == X86_TRAP_MF:
        cwd = int.from_bytes(cpu_fxsave[0:2], "little")
        swd = int.from_bytes(cpu_fxsave[2:4], "little")
        err = swd & ~cwd
    else:
        mxcsr = int.from_bytes(cpu_fxsave[24:28], "little")
        err = ~(mxcsr >> 7) & mxcsr
    if err & 0x001:
        return FPE_FLTINV
    if err & 0x004:
        return FPE_FLTDIV
    if err & 0x008:
        return FPE_FLTOVF
    if err & 0x012:
        return FPE_FLTUND
    if err & 0x020:
        return FPE_FLTRES
    return 0


def math_error(k: Kernel, regs: PtRegs, trapnr: int) -> None:
    """An unmasked floating-point exception; one that left no trace in the status words is dropped."""
    if not user_mode(regs):
        raise KernelBug(f"floating-point exception {trapnr} in kernel mode: {core_signal.print_user_regs(k, regs)}")
    thread = k.current.thread
    thread.trap_nr = trapnr
    thread.error_code = 0
    code = fpu__exception_code(k.cpu.fxsave(), trapnr)
    if code:
        core_signal.force_sig_fault(k, SIGFPE, code, regs.ip)


def exc_coprocessor_error(k: Kernel, regs: PtRegs) -> None:
    """#MF: x87."""
    math_error(k, regs, X86_TRAP_MF)


def exc_simd_coprocessor_error(k: Kernel, regs: PtRegs) -> None:
    """#XM: SSE."""
    math_error(k, regs, X86_TRAP_XF)


def exc_vector(k: Kernel, regs: PtRegs, vector: int, error_code: int) -> None:
    """The IDT: the exception with this vector, #PF excepted. A vector without a gate for ring 3 is #GP (vector * 8 + 2)."""
    if vector == X86_TRAP_DE:
        exc_divide_error(k, regs)
    elif vector == X86_TRAP_DB:
        exc_debug(k, regs, error_code)
    elif vector == X86_TRAP_BP:
        exc_int3(k, regs)
    elif vector == X86_TRAP_OF:
        exc_overflow(k, regs)
    elif vector == X86_TRAP_BR:
        exc_bounds(k, regs)
    elif vector == X86_TRAP_UD:
        exc_invalid_op(k, regs)
    elif vector == X86_TRAP_NP:
        exc_segment_not_present(k, regs, error_code)
    elif vector == X86_TRAP_SS:
        exc_stack_segment(k, regs, error_code)
    elif vector == X86_TRAP_GP:
        exc_general_protection(k, regs, error_code)
    elif vector == X86_TRAP_MF:
        exc_coprocessor_error(k, regs)
    elif vector == X86_TRAP_AC:
        exc_alignment_check(k, regs, error_code)
    elif vector == X86_TRAP_XF:
        exc_simd_coprocessor_error(k, regs)
    else:
        exc_general_protection(k, regs, vector * 8 + 2)
