# SPDX-License-Identifier: GPL-2.0-or-later
"""Single-stepping a tracee by EFLAGS.TF (arch/x86/kernel/step.c). Block stepping (DEBUGCTL.BTF) is not there.

TIF_SINGLESTEP: the tracer steps; TIF_FORCED_TF: TF is his, and hidden from both when registers are read and restored.
"""

from __future__ import annotations

from mmscope.kernel.include.mm import FOLL_FORCE
from mmscope.kernel.include.ptrace import X86_EFLAGS_TF
from mmscope.kernel.include.sched import SYSCALL_WORK_SYSCALL_EXIT_TRAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.sched import TaskStruct

#: Prefixes that may stand before popf and iret, REX among them.
_PREFIXES: Final = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3)
_POPF: Final = 0x9D
_IRET: Final = 0xCF


def is_setting_trap_flag(child: TaskStruct) -> bool:
    """The next instruction loads the flags (popf, iret): what it makes of TF is the program's own."""
    from mmscope.kernel.mm.memory_access import access_remote_vm

    if child.mm is None:
        return False
    for opcode in access_remote_vm(child.mm, child.regs.ip, 15, FOLL_FORCE):
        if opcode in (_POPF, _IRET):
            return True
        if opcode not in _PREFIXES and not 0x40 <= opcode <= 0x4F:
            return False
    return False


def user_enable_single_step(child: TaskStruct) -> None:
    """Trap after one instruction, system calls included."""
    regs = child.regs
    # A step into a system call has left TF clear: the user's own comes back.
    if child.tif_singlestep:
        regs.flags |= X86_EFLAGS_TF
    child.tif_singlestep = True
    child.syscall_work |= SYSCALL_WORK_SYSCALL_EXIT_TRAP
    oflags = regs.flags
    regs.flags |= X86_EFLAGS_TF
    if is_setting_trap_flag(child):
        child.tif_forced_tf = False
    elif not oflags & X86_EFLAGS_TF:
        child.tif_forced_tf = True


def user_disable_single_step(child: TaskStruct) -> None:
    """No more steps. A TF that the program has set itself stays."""
    child.tif_singlestep = False
    child.syscall_work &= ~SYSCALL_WORK_SYSCALL_EXIT_TRAP
    if child.tif_forced_tf:
        child.tif_forced_tf = False
        child.regs.flags &= ~X86_EFLAGS_TF
