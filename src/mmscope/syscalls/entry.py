# SPDX-License-Identifier: GPL-2.0-or-later
"""do_syscall_64(): from the registers of a `syscall` instruction to a kernel function and back (arch/x86/entry/common.c)."""

from __future__ import annotations

from mmscope.kernel.core.itimer import run_timers
from mmscope.kernel.core.ptrace import syscall_exit_work, syscall_trace_enter
from mmscope.kernel.fs.fs_writeback import wb_check
from mmscope.kernel.include.errno import ENOSYS, KernelError
from mmscope.kernel.mm.debug_vm import debug_vm_check, validate_vm
from mmscope.kernel.tracepoint import trace_sys_enter, trace_sys_exit
from mmscope.syscalls.args import s64
from mmscope.syscalls.names import NI_SYSCALLS, SYSCALL_NAMES
from mmscope.syscalls.table import SYSCALLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

__all__ = ["do_syscall_64"]


def do_syscall_64(k: Kernel, regs: PtRegs) -> None:
    """Run the system call whose number stands in ax; its result, or -errno, is in ax afterwards, the number in orig_ax.

    Precondition, the processor's job: cx and r11 are what SYSCALL puts there.
    -ERESTARTSYS and its relatives are left there for arch_do_signal_or_restart(). The task may have exited.
    The number is taken as 64 bits (since v5.13 as a 32-bit int).
    """
    nr = regs.ax
    regs.orig_ax = nr
    k.timekeeper.account_syscall()
    task = k.current
    traced = task.syscall_work != 0
    if traced:
        # What the tracer sees, and leaves there for a call that is not made.
        regs.ax = -ENOSYS & 0xFFFFFFFFFFFFFFFF
        nr = syscall_trace_enter(k, regs)
    trace_sys_enter(k, nr, (regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9))
    entry = SYSCALLS.get(nr)
    if entry is None:
        ret = ni_syscall(k, nr)
        if traced and nr not in SYSCALL_NAMES and (nr == -1 or not k.config.at_least(5, 13)):
            ret = s64(regs.ax)
    else:
        try:
            ret = entry[1](k, regs)
        except KernelError as e:
            ret = -(e.errno or ENOSYS)
    if task.exit_state:
        trace_sys_exit(k, nr, ret)
        if k.config.CONFIG_DEBUG_VM:
            validate_vm(k)  # whatever the address space leaves behind is a leak
        return
    # rt_sigreturn and execve have loaded registers of their own; their result is the ax they set.
    regs.ax = ret & 0xFFFFFFFFFFFFFFFF
    run_timers(k)
    wb_check(k)
    trace_sys_exit(k, nr, ret)
    debug_vm_check(k)
    if task.syscall_work:
        syscall_exit_work(k, regs)


def ni_syscall(k: Kernel, nr: int) -> int:
    """-ENOSYS; with one warning for each call that Linux has and the model has not."""
    name = SYSCALL_NAMES.get(nr)
    if name is not None and name not in NI_SYSCALLS:
        k.warn_once(f"system call {name} ({nr}) is not implemented: ENOSYS")
    return -ENOSYS
