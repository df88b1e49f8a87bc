# SPDX-License-Identifier: GPL-2.0-or-later
"""A tracee's registers (arch/x86/kernel/ptrace.c, fpu/regset.c), 64 bit.

struct user: 0 user_regs_struct (27 words), 848 u_debugreg[8], 928 end. The FPU's set is the 512 bytes of FXSAVE.
"""

from __future__ import annotations

import mmscope.kernel.core.ptrace_request as core_ptrace_request
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.arch.x86.process import arch_prctl_gets, do_arch_prctl_64
from mmscope.kernel.arch.x86.signal import FXSAVE_SIZE, init_fpstate
from mmscope.kernel.arch.x86.trapnr import X86_TRAP_DB
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, put_user
from mmscope.kernel.include.errno import EINVAL, EIO, ENODEV, ENOSPC, ENXIO, EOPNOTSUPP, KernelError
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.ptrace import (
    PTRACE_ARCH_PRCTL,
    PTRACE_GET_THREAD_AREA,
    PTRACE_GETFPREGS,
    PTRACE_GETREGS,
    PTRACE_PEEKUSR,
    PTRACE_POKEUSR,
    PTRACE_SET_THREAD_AREA,
    PTRACE_SETFPREGS,
    PTRACE_SETREGS,
    X86_EFLAGS_AC,
    X86_EFLAGS_AF,
    X86_EFLAGS_CF,
    X86_EFLAGS_DF,
    X86_EFLAGS_NT,
    X86_EFLAGS_OF,
    X86_EFLAGS_PF,
    X86_EFLAGS_RF,
    X86_EFLAGS_SF,
    X86_EFLAGS_TF,
    X86_EFLAGS_ZF,
)
from mmscope.kernel.include.signal import SIGTRAP, TRAP_BRKPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

#: struct user_regs_struct, a word each. Those up to `ss` are struct pt_regs.
USER_REGS: Final = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "orig_ax", "ip", "cs",
    "flags", "sp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
USER_REGS_SIZE: Final = 8 * 27
USER_DEBUGREG: Final = 848
USER_SIZE: Final = 928

#: The flags that a tracer may change.
FLAG_MASK: Final = (
    X86_EFLAGS_CF
    | X86_EFLAGS_PF
    | X86_EFLAGS_AF
    | X86_EFLAGS_ZF
    | X86_EFLAGS_SF
    | X86_EFLAGS_TF
    | X86_EFLAGS_DF
    | X86_EFLAGS_OF
    | X86_EFLAGS_RF
    | X86_EFLAGS_AC
    | X86_EFLAGS_NT
)
#: The bits of DR6 that are 1 when nothing has happened.
DR6_RESERVED: Final = 0xFFFF0FF0

# Regsets.
NT_PRSTATUS: Final = 1
NT_PRFPREG: Final = 2
NT_386_IOPERM: Final = 0x201
NT_X86_XSTATE: Final = 0x202
IO_BITMAP_BYTES: Final = 8192


def getreg(task: TaskStruct, index: int) -> int:
    """A word of struct user_regs_struct. A TF that the tracer has set by stepping is not shown."""
    name = USER_REGS[index]
    if name == "flags":
        return task.regs.flags & ~X86_EFLAGS_TF if task.tif_forced_tf else task.regs.flags
    if name == "fs_base":
        return task.thread.fsbase
    if name == "gs_base":
        return task.thread.gsbase
    if index > 20:
        return task.thread.segments[index - 23]
    value: int = getattr(task.regs, name)
    return value


def putreg(task: TaskStruct, index: int, value: int) -> None:
    """Set a word of it. Raises EIO for a selector that is not of ring 3, and a base beyond user addresses."""
    name = USER_REGS[index]
    regs = task.regs
    if name in ("cs", "ss", "ds", "es", "fs", "gs"):
        value &= 0xFFFF
        # A null selector will do for the data segments.
        if value & 3 != 3 and (value or name in ("cs", "ss")):
            raise KernelError(EIO)
        if index > 20:
            task.thread.segments[index - 23] = value
            return
    elif name == "flags":
        if value & X86_EFLAGS_TF:
            task.tif_forced_tf = False
        elif task.tif_forced_tf:
            value |= X86_EFLAGS_TF
        value = regs.flags & ~FLAG_MASK | value & FLAG_MASK
    elif name in ("fs_base", "gs_base"):
        if value >= TASK_SIZE_MAX:
            raise KernelError(EIO)
        if name == "fs_base":
            task.thread.fsbase = value
        else:
            task.thread.gsbase = value
        return
    setattr(regs, name, value)


# --- the debug registers


def ptrace_get_debugreg(task: TaskStruct, n: int) -> int:
    """A word of u_debugreg."""
    value = task.thread.debugreg[n]
    return value ^ DR6_RESERVED if n == 6 else value


def ptrace_set_debugreg(k: Kernel, task: TaskStruct, n: int, value: int) -> None:
    """Addresses can be set, but no breakpoint can be enabled: ENOSPC, as when all of the processor's are in use."""
    if n in (4, 5):
        raise KernelError(EIO)
    if n < 4 and value >= TASK_SIZE_MAX:
        raise KernelError(EINVAL)
    if n == 7 and value & 0xFF:
        k.warn_once("ptrace: hardware breakpoints (debug registers) are not implemented: ENOSPC")
        raise KernelError(ENOSPC)
    task.thread.debugreg[n] = value ^ DR6_RESERVED if n == 6 else value


def user_single_step_report(k: Kernel, regs: PtRegs) -> None:
    """A step over a system call is over: SIGTRAP."""
    thread = k.current.thread
    thread.trap_nr = X86_TRAP_DB
    thread.error_code = 0
    core_signal.force_sig_fault(k, SIGTRAP, TRAP_BRKPT, regs.ip)


# --- regsets


def genregs_get(task: TaskStruct) -> bytes:
    """struct user_regs_struct."""
    return b"".join([getreg(task, i).to_bytes(8, "little") for i in range(len(USER_REGS))])


def genregs_set(task: TaskStruct, data: bytes) -> None:
    """Set the first words of it; what comes before a bad one is set."""
    for i in range(len(data) // 8):
        putreg(task, i, int.from_bytes(data[8 * i : 8 * i + 8], "little"))


def xfpregs_get(task: TaskStruct) -> bytes:
    """The FXSAVE image. The tracee does not run, so that it is in its thread_struct."""
    fpu = task.thread.fpu
    return init_fpstate() if fpu is None else fpu


def xfpregs_set(k: Kernel, task: TaskStruct, data: bytes) -> None:
    """Load it. Since v5.14 a part of it, or a reserved bit of MXCSR, is EINVAL; before, they were ignored."""
    new = bytearray(data + xfpregs_get(task)[len(data) :])
    mxcsr = int.from_bytes(new[24:28], "little")
    if k.config.at_least(5, 14):
        if len(data) != FXSAVE_SIZE or mxcsr & ~0xFFFF:
            raise KernelError(EINVAL)
    new[24:28] = (mxcsr & 0xFFFF).to_bytes(4, "little")
    task.thread.fpu = bytes(new)


def regset_size(note: int, length: int) -> int:
    """`length` cut to the size of the set. Raises EINVAL: no such set, or not whole words."""
    if note == NT_PRSTATUS:
        size = USER_REGS_SIZE
    elif note == NT_PRFPREG:
        size = FXSAVE_SIZE
    elif note == NT_386_IOPERM:
        size = IO_BITMAP_BYTES
    elif note == NT_X86_XSTATE:
        size = 0
    else:
        raise KernelError(EINVAL)
    if length % 8:
        raise KernelError(EINVAL)
    return min(length, size)


def regset_get(k: Kernel, task: TaskStruct, note: int) -> bytes:
    """All of a set. There is no XSAVE (ENODEV), and nobody has I/O permissions (ENXIO)."""
    if note == NT_PRSTATUS:
        return genregs_get(task)
    if note == NT_PRFPREG:
        return xfpregs_get(task)
    raise KernelError(ENODEV if note == NT_X86_XSTATE else ENXIO)


def check_regset_set(note: int) -> None:
    """The set can be written. Raises EOPNOTSUPP, ENODEV."""
    if note == NT_386_IOPERM:
        raise KernelError(EOPNOTSUPP)
    if note == NT_X86_XSTATE:
        raise KernelError(ENODEV)


def regset_set(k: Kernel, task: TaskStruct, note: int, data: bytes) -> None:
    """Write the beginning of a set."""
    if note == NT_PRSTATUS:
        genregs_set(task, data)
    else:
        xfpregs_set(k, task, data)


# --- requests


def peek_user(k: Kernel, child: TaskStruct, addr: int, data: int) -> None:
    """PTRACE_PEEKUSER: a word of struct user; zero where that has neither registers nor debug registers."""
    if addr & 7 or addr >= USER_SIZE:
        raise KernelError(EIO)
    value = 0
    if addr < USER_REGS_SIZE:
        value = getreg(child, addr // 8)
    elif USER_DEBUGREG <= addr < USER_DEBUGREG + 64:
        value = ptrace_get_debugreg(child, (addr - USER_DEBUGREG) // 8)
    put_user(k, data, value, 8)


def poke_user(k: Kernel, child: TaskStruct, addr: int, data: int) -> None:
    """PTRACE_POKEUSER. Raises EIO where there is no register."""
    if not addr & 7 and addr < USER_REGS_SIZE:
        putreg(child, addr // 8, data)
    elif not addr & 7 and USER_DEBUGREG <= addr < USER_DEBUGREG + 64:
        ptrace_set_debugreg(k, child, (addr - USER_DEBUGREG) // 8, data)
    else:
        raise KernelError(EIO)


def thread_area(k: Kernel, request: int, index: int, data: int) -> None:
    """PTRACE_GET_THREAD_AREA: the three TLS descriptors of 32-bit programs, which nobody has set."""
    index = index & 0xFFFFFFFF
    if index >> 31:
        raise KernelError(EIO)
    if not 12 <= index <= 14:
        raise KernelError(EINVAL)
    if request == PTRACE_SET_THREAD_AREA:
        k.warn_once("ptrace: PTRACE_SET_THREAD_AREA (32-bit TLS) is not implemented: EINVAL")
        raise KernelError(EINVAL)
    # read_exec_only | seg_not_present
    copy_to_user(k, data, index.to_bytes(4, "little") + bytes(8) + (0x28).to_bytes(4, "little"))


def arch_ptrace(k: Kernel, child: TaskStruct, request: int, addr: int, data: int) -> int:
    """The requests that x86-64 has of its own; the others are ptrace_request()'s."""
    if request == PTRACE_PEEKUSR:
        peek_user(k, child, addr, data)
    elif request == PTRACE_POKEUSR:
        poke_user(k, child, addr, data)
    elif request == PTRACE_GETREGS:
        copy_to_user(k, data, genregs_get(child))
    elif request == PTRACE_SETREGS:
        genregs_set(child, copy_from_user(k, data, USER_REGS_SIZE))
    elif request == PTRACE_GETFPREGS:
        copy_to_user(k, data, xfpregs_get(child))
    elif request == PTRACE_SETFPREGS:
        xfpregs_set(k, child, copy_from_user(k, data, FXSAVE_SIZE))
    elif request in (PTRACE_GET_THREAD_AREA, PTRACE_SET_THREAD_AREA):
        thread_area(k, request, addr, data)
    elif request == PTRACE_ARCH_PRCTL:
        value = do_arch_prctl_64(child, data, addr)
        if not arch_prctl_gets(data):
            return value
        put_user(k, addr, value, 8)
    else:
        return core_ptrace_request.ptrace_request(k, child, request, addr, data)
    return 0
