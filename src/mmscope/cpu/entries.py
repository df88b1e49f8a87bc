# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the CPU enters the kernel: Linux's IDT as a table; a test puts its own in."""

from __future__ import annotations

from mmscope.kernel.arch.x86.trapnr import (
    IA32_SYSCALL_VECTOR,
)
from mmscope.kernel.include.errno import ENOSYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


class Entries:
    """The ways into the kernel besides the system call. What they raise ends `Engine.run`."""

    def __init__(
        self,
        page_fault: Callable[[Kernel, PtRegs, int, int], None],
        trap: Callable[[Kernel, PtRegs, int, int], None],
        exit_to_user: Callable[[Kernel, PtRegs], None],
        read_tsc: Callable[[Kernel], int],
    ) -> None:
        #: exc_page_fault(k, regs, error_code, address)
        self.page_fault = page_fault
        #: exc_vector(k, regs, vector, error_code): every other exception, and int 0x80 (its number: regs.ax); of #DB it is DR6.
        self.trap = trap
        #: exit_to_user_mode_prepare(k, regs): the end of each entry; delivers signals.
        self.exit_to_user = exit_to_user
        #: The time-stamp counter, for rdtsc: no kernel entry, but the machine's virtual time.
        self.read_tsc = read_tsc


def linux_entries() -> Entries:
    """The kernel's own."""
    from mmscope.kernel.arch.x86.fault import exc_page_fault
    from mmscope.kernel.arch.x86.signal import exit_to_user_mode_prepare

    return Entries(exc_page_fault, _trap, exit_to_user_mode_prepare, _read_tsc)


def _read_tsc(k: Kernel) -> int:
    return k.timekeeper.read_tsc()


def _trap(k: Kernel, regs: PtRegs, vector: int, error_code: int) -> None:
    """The IDT. Its gate 0x80 leads to the 32-bit system calls, which are not there."""
    from mmscope.kernel.arch.x86.traps import exc_vector

    if vector == IA32_SYSCALL_VECTOR:
        k.warn_once("int 0x80 and sysenter (32-bit system calls) are not implemented: ENOSYS")
        regs.orig_ax = regs.ax & 0xFFFFFFFF
        regs.ax = -ENOSYS & 0xFFFFFFFFFFFFFFFF
        return
    exc_vector(k, regs, vector, error_code)
