# SPDX-License-Identifier: GPL-2.0-or-later
"""Thread state of x86-64 (arch/x86/kernel/process_64.c): the start of a program, arch_prctl."""

from __future__ import annotations

from mmscope.kernel.include.errno import EINVAL, ENODEV, EPERM, KernelError
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.ptrace import __USER_CS, __USER_DS, X86_EFLAGS_FIXED, X86_EFLAGS_IF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

ARCH_SET_GS: Final = 0x1001
ARCH_SET_FS: Final = 0x1002
ARCH_GET_FS: Final = 0x1003
ARCH_GET_GS: Final = 0x1004
ARCH_GET_CPUID: Final = 0x1011
ARCH_SET_CPUID: Final = 0x1012


def start_thread(k: Kernel, regs: PtRegs, new_ip: int, new_sp: int) -> None:
    """The registers of a fresh program: all zero but these; no thread-local base."""
    thread = k.current.thread
    thread.fsbase = 0
    thread.gsbase = 0
    regs.r15 = regs.r14 = regs.r13 = regs.r12 = regs.bp = regs.bx = 0
    regs.r11 = regs.r10 = regs.r9 = regs.r8 = 0
    regs.ax = regs.cx = regs.dx = regs.si = regs.di = 0
    regs.ip = new_ip
    regs.sp = new_sp
    regs.cs = __USER_CS
    regs.ss = __USER_DS
    regs.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED


def do_arch_prctl_64(task: TaskStruct, option: int, arg2: int) -> int:
    """arch_prctl(2), and a tracer's for `task`. The GET options return the base: arch_prctl_gets()."""
    thread = task.thread
    if option in (ARCH_SET_GS, ARCH_SET_FS):
        if arg2 >= TASK_SIZE_MAX:
            raise KernelError(EPERM)
        if option == ARCH_SET_FS:
            thread.fsbase = arg2
        else:
            thread.gsbase = arg2
        return 0
    if option == ARCH_GET_FS:
        return thread.fsbase
    if option == ARCH_GET_GS:
        return thread.gsbase
    if option == ARCH_GET_CPUID:
        return 1
    if option == ARCH_SET_CPUID:
        raise KernelError(ENODEV)
    raise KernelError(EINVAL)


def arch_prctl_gets(option: int) -> bool:
    """The result goes to memory."""
    return option in (ARCH_GET_FS, ARCH_GET_GS)
