# SPDX-License-Identifier: GPL-2.0-or-later
"""Signal frames on the user stack and the restart of system calls (arch/x86/kernel/signal.c, asm/sigframe.h), 64 bit.

    high   interrupted stack (128 bytes below its sp are the red zone, left alone)
           fpstate    512 bytes FXSAVE image, 64-byte aligned
           siginfo    128 bytes                            <- rsi of the handler
           ucontext   304 bytes                            <- rdx
    low    pretcode   8 bytes, sa_restorer                 <- rsp, 16-byte aligned + 8 as after a call

The CPU has FXSR but no XSAVE (a NEHALEM): no extended state, and uc_flags lacks UC_FP_XSTATE.
"""

from __future__ import annotations

import mmscope.kernel.core.itimer as core_itimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.sigaltstack as core_sigaltstack
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.sigprocmask as core_sigprocmask
from mmscope.kernel.arch.x86.step import user_disable_single_step
from mmscope.kernel.arch.x86.trapnr import X86_TRAP_GP
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.siginfo import SIGINFO_SIZE, copy_siginfo_to_user
from mmscope.kernel.include.errno import (
    EFAULT,
    EINTR,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
    ERESTARTNOINTR,
    ERESTARTSYS,
    KernelError,
)
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.ptrace import (
    __USER_CS,
    __USER_DS,
    X86_EFLAGS_AC,
    X86_EFLAGS_AF,
    X86_EFLAGS_CF,
    X86_EFLAGS_DF,
    X86_EFLAGS_OF,
    X86_EFLAGS_PF,
    X86_EFLAGS_RF,
    X86_EFLAGS_SF,
    X86_EFLAGS_TF,
    X86_EFLAGS_ZF,
)
from mmscope.kernel.include.signal import SA_ONSTACK, SA_RESTART, SA_RESTORER, SA_SIGINFO, SIGSEGV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.signal import KernelSiginfo, KSigaction

U64: Final = 0xFFFFFFFFFFFFFFFF

REDZONE: Final = 128
FRAME_ALIGNMENT: Final = 16
FXSAVE_SIZE: Final = 512
UCONTEXT_SIZE: Final = 304
#: struct rt_sigframe: pretcode, uc, info.
RT_SIGFRAME_SIZE: Final = 8 + UCONTEXT_SIZE + SIGINFO_SIZE
#: Offsets in the frame.
FRAME_UC: Final = 8
FRAME_INFO: Final = 8 + UCONTEXT_SIZE

# struct ucontext: uc_flags 0, uc_link 8, uc_stack 16, uc_mcontext 40, uc_sigmask 296.
UC_MCONTEXT: Final = 40
UC_SIGMASK: Final = 296

UC_SIGCONTEXT_SS: Final = 0x2
UC_STRICT_RESTORE_SS: Final = 0x4

#: The flags that a signal handler may change for the interrupted program.
FIX_EFLAGS: Final = (
    X86_EFLAGS_AC
    | X86_EFLAGS_OF
    | X86_EFLAGS_DF
    | X86_EFLAGS_TF
    | X86_EFLAGS_SF
    | X86_EFLAGS_ZF
    | X86_EFLAGS_AF
    | X86_EFLAGS_PF
    | X86_EFLAGS_CF
    | X86_EFLAGS_RF
)

__NR_restart_syscall: Final = 219


def q(value: int) -> bytes:
    """Eight little-endian bytes."""
    return (value & U64).to_bytes(8, "little")


def align_sigframe(sp: int) -> int:
    """As after a call: (sp + 8) is a multiple of 16."""
    return (sp & -FRAME_ALIGNMENT) - 8


def get_sigframe(k: Kernel, ka: KSigaction, regs: PtRegs, frame_size: int) -> tuple[int, int]:
    """Addresses of the frame and of the fpstate; writes the fpstate. Raises KernelError(EFAULT)."""
    current = k.current
    onsigstack = core_sigaltstack.on_sig_stack(current, regs.sp)
    sp = (regs.sp - REDZONE) & U64
    if ka.sa_flags & SA_ONSTACK and core_sigaltstack.sas_ss_flags(current, sp) == 0:
        sp = current.sas_ss_sp + current.sas_ss_size
    # fpu__alloc_mathframe()
    fpstate = (sp - FXSAVE_SIZE) & U64 & ~63
    sp = align_sigframe(fpstate - frame_size) & U64
    if onsigstack and not core_sigaltstack.on_sig_stack(current, sp):
        # Running off the alternate stack: an address that cannot be, so that SIGSEGV follows.
        sp = U64
    elif fpstate + FXSAVE_SIZE > TASK_SIZE_MAX:
        sp = U64
    else:
        # The last 48 bytes (sw_reserved) would describe the XSAVE area: there is none.
        copy_to_user(k, fpstate, k.cpu.fxsave()[:464] + bytes(48))
    return sp, fpstate


def get_sigcontext(k: Kernel, regs: PtRegs, fpstate: int, mask: int) -> bytes:
    """struct sigcontext (uc_mcontext), 256 bytes: the registers and what the last fault said."""
    thread = k.current.thread
    values = (
        regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
        regs.di, regs.si, regs.bp, regs.bx, regs.dx, regs.ax, regs.cx, regs.sp, regs.ip, regs.flags,
    )  # fmt: skip
    out = b"".join([q(value) for value in values])
    # cs, gs, fs, ss: 16 bits each
    out += regs.cs.to_bytes(2, "little") + b"\0\0\0\0" + regs.ss.to_bytes(2, "little")
    out += q(thread.error_code) + q(thread.trap_nr) + q(mask) + q(thread.cr2) + q(fpstate)
    return out + bytes(64)


def sigmask_to_save(k: Kernel) -> int:
    """The mask that sigreturn restores: sigsuspend's caller's, if we are in one."""
    current = k.current
    return current.saved_sigmask if current.restore_sigmask else current.blocked


def __setup_rt_frame(k: Kernel, sig: int, info: KernelSiginfo, ka: KSigaction, regs: PtRegs) -> None:
    """Build the frame and point the registers at the handler. KernelError(EFAULT): the stack cannot take it."""
    current = k.current
    frame, fpstate = get_sigframe(k, ka, regs, RT_SIGFRAME_SIZE)
    if frame + RT_SIGFRAME_SIZE > TASK_SIZE_MAX or not ka.sa_flags & SA_RESTORER:
        # x86-64 has no trampoline of its own: without sa_restorer there is no way back.
        raise KernelError(EFAULT)
    # UC_STRICT_RESTORE_SS unless SS was something odd: all selectors here are flat ones.
    uc_flags = UC_SIGCONTEXT_SS | (UC_STRICT_RESTORE_SS if user_64bit_mode(regs) else 0)
    # save_altstack_ex: the flags as they were set, without the "on it" bit
    stack = q(current.sas_ss_sp) + (current.sas_ss_flags & 0xFFFFFFFF).to_bytes(4, "little") + b"\0\0\0\0"
    stack += q(current.sas_ss_size)
    mask = sigmask_to_save(k)
    uc = q(uc_flags) + q(0) + stack + get_sigcontext(k, regs, fpstate, mask) + q(mask)
    info_bytes = copy_siginfo_to_user(info) if ka.sa_flags & SA_SIGINFO else b""
    copy_to_user(k, frame, q(ka.sa_restorer) + uc + info_bytes)
    regs.di = sig
    regs.ax = 0
    regs.si = frame + FRAME_INFO
    regs.dx = frame + FRAME_UC
    regs.ip = ka.sa_handler
    regs.sp = frame
    regs.cs = __USER_CS
    if regs.ss != __USER_DS:
        regs.ss = __USER_DS


def user_64bit_mode(regs: PtRegs) -> bool:
    """Running 64-bit code."""
    return regs.cs == __USER_CS


def setup_rt_frame(k: Kernel, sig: int, info: KernelSiginfo, ka: KSigaction, regs: PtRegs) -> bool:
    """The frame stands (True), or the stack does not take it."""
    try:
        __setup_rt_frame(k, sig, info, ka, regs)
    except KernelError:
        return False
    return True


def handle_signal(k: Kernel, info: KernelSiginfo, ka: KSigaction, regs: PtRegs) -> None:
    """Enter the handler, after having decided whether an interrupted call returns EINTR or starts again."""
    if syscall_get_nr(regs) >= 0:
        error = syscall_get_error(regs)
        if error in (ERESTART_RESTARTBLOCK, ERESTARTNOHAND) or (error == ERESTARTSYS and not ka.sa_flags & SA_RESTART):
            regs.ax = -EINTR & U64
        elif error in (ERESTARTSYS, ERESTARTNOINTR):
            regs.ax = regs.orig_ax
            regs.ip = (regs.ip - 2) & U64
    # The tracer's TF is not the program's: it must not get into the frame.
    stepping = k.current.tif_singlestep
    if stepping:
        user_disable_single_step(k.current)
    if setup_rt_frame(k, info.si_signo, info, ka, regs):
        regs.flags &= ~(X86_EFLAGS_DF | X86_EFLAGS_RF | X86_EFLAGS_TF)
        core_signal.signal_delivered(k, info.si_signo, ka, stepping)
    else:
        core_signal.force_sigsegv(k, info.si_signo)


def syscall_get_nr(regs: PtRegs) -> int:
    """orig_ax as an int: -1 if the entry was no system call."""
    nr = regs.orig_ax & 0xFFFFFFFF
    return nr - (1 << 32) if nr >= 1 << 31 else nr


def syscall_get_error(regs: PtRegs) -> int:
    """The errno (positive) in ax, 0 if the call succeeded."""
    return (1 << 64) - regs.ax if regs.ax > U64 - 4095 else 0


def arch_do_signal_or_restart(k: Kernel, regs: PtRegs) -> None:
    """Deliver one signal, or, if none has a handler, start an interrupted call again.

    The entry code calls it while signals are pending. The task may have exited when it returns.
    """
    taken = core_signal.get_signal(k)
    if k.current.exit_state:
        return
    if taken is not None:
        handle_signal(k, taken[0], taken[1], regs)
        return
    if syscall_get_nr(regs) >= 0:
        error = syscall_get_error(regs)
        if error in (ERESTARTNOHAND, ERESTARTSYS, ERESTARTNOINTR):
            regs.ax = regs.orig_ax
            regs.ip = (regs.ip - 2) & U64
        elif error == ERESTART_RESTARTBLOCK:
            regs.ax = __NR_restart_syscall
            regs.ip = (regs.ip - 2) & U64
    core_sigprocmask.restore_saved_sigmask(k)


def exit_to_user_mode_prepare(k: Kernel, regs: PtRegs) -> None:
    """The last thing before user mode (kernel/entry/common.c): timers, another task's turn, then signals until none is left."""
    core_itimer.run_timers(k)
    core_sched.scheduler_tick(k)
    task = k.current
    if (regs.cs != __USER_CS or regs.ss != __USER_DS) and not task.exit_state:
        bad_iret(k, regs)
    while not task.exit_state:
        if task.need_resched:
            core_sched.schedule(k)
        elif task.tif_sigpending:
            arch_do_signal_or_restart(k, regs)
        else:
            return


def bad_iret(k: Kernel, regs: PtRegs) -> None:
    """iretq cannot load these selectors (a forged frame): #GP or #SS with the selector as error code, as from user mode."""
    selector = regs.cs if regs.cs != __USER_CS else regs.ss
    thread = k.current.thread
    thread.error_code = selector & 0xFFFC
    thread.trap_nr = X86_TRAP_GP
    regs.cs, regs.ss = __USER_CS, __USER_DS
    core_signal.force_sig(k, SIGSEGV)


def restore_sigcontext(k: Kernel, regs: PtRegs, data: bytes, uc_flags: int) -> None:
    """Load the registers of a struct sigcontext (256 bytes), with those flags that a program may set."""
    k.current.restart_clockid = -1
    k.current.restart_futex = None
    values = [int.from_bytes(data[i * 8 : i * 8 + 8], "little") for i in range(18)]
    regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15 = values[:8]
    regs.di, regs.si, regs.bp, regs.bx, regs.dx, regs.ax, regs.cx, regs.sp = values[8:16]
    regs.ip = values[16]
    # Privilege 3 whatever the frame says.
    regs.cs = int.from_bytes(data[144:146], "little") | 3
    regs.ss = int.from_bytes(data[150:152], "little") | 3
    regs.flags = (regs.flags & ~FIX_EFLAGS) | (values[17] & FIX_EFLAGS)
    # No restart of the system call that the frame was made in.
    regs.orig_ax = U64
    if not uc_flags & UC_STRICT_RESTORE_SS and user_64bit_mode(regs) and not valid_user_ss(regs.ss):
        regs.ss = __USER_DS
    fpstate = int.from_bytes(data[184:192], "little")
    fpu__restore_sig(k, fpstate)


def valid_user_ss(ss: int) -> bool:
    """A data segment of ring 3 that the GDT has (force_valid_ss)."""
    return ss == __USER_DS


def fpu__restore_sig(k: Kernel, buf: int) -> None:
    """Load the FXSAVE image at `buf`; 0 = the initial state. Raises KernelError(EFAULT)."""
    if buf == 0:
        k.cpu.fxrstor(init_fpstate())
        return
    data = bytearray(copy_from_user(k, buf, FXSAVE_SIZE))
    # Reserved MXCSR bits would raise #GP in the kernel: Linux clears them.
    mxcsr = int.from_bytes(data[24:28], "little") & 0xFFFF
    data[24:28] = mxcsr.to_bytes(4, "little")
    k.cpu.fxrstor(bytes(data))


def init_fpstate() -> bytes:
    """The FXSAVE image of a fresh FPU: control word 0x37f, MXCSR 0x1f80."""
    image = bytearray(FXSAVE_SIZE)
    image[0:2] = b"\x7f\x03"
    image[24:28] = (0x1F80).to_bytes(4, "little")
    return bytes(image)


def sys_rt_sigreturn(k: Kernel, regs: PtRegs) -> int:
    """rt_sigreturn(2): back to what the handler interrupted. A bad frame is a SIGSEGV. Returns the restored ax."""
    frame = (regs.sp - 8) & U64
    try:
        uc = copy_from_user(k, frame + FRAME_UC, UCONTEXT_SIZE)
        core_sigprocmask.set_current_blocked(k, int.from_bytes(uc[UC_SIGMASK : UC_SIGMASK + 8], "little"))
        restore_sigcontext(k, regs, uc[UC_MCONTEXT : UC_MCONTEXT + 256], int.from_bytes(uc[0:8], "little"))
        restore_altstack(k, uc[16:40], regs.sp)
    except KernelError:
        signal_fault(k, regs, frame, "rt_sigreturn")
        return 0
    return regs.ax


def restore_altstack(k: Kernel, data: bytes, sp: int) -> None:
    """The alternate stack as the frame has it; what it refuses is ignored."""
    ss_sp = int.from_bytes(data[0:8], "little")
    ss_flags = int.from_bytes(data[8:12], "little")
    ss_size = int.from_bytes(data[16:24], "little")
    try:
        core_sigaltstack.do_sigaltstack(k, (ss_sp, ss_flags, ss_size), sp)
    except KernelError:
        return


def signal_fault(k: Kernel, regs: PtRegs, frame: int, where: str) -> None:
    """The frame cannot be read: log it, SIGSEGV."""
    me = k.current
    k.printk(f"{me.comm}[{me.pid}] bad frame in {where} frame:{frame:016x} ip:{regs.ip:x} sp:{regs.sp:x} orax:{regs.orig_ax:x}")
    core_signal.force_sig(k, SIGSEGV)
