# SPDX-License-Identifier: GPL-2.0-or-later
"""struct pt_regs of x86-64 (asm/ptrace.h), the selectors of user mode, and the numbers of ptrace(2) (uapi/linux/ptrace.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__USER_CS: Final = 0x33
__USER_DS: Final = 0x2B
__KERNEL_CS: Final = 0x10

X86_EFLAGS_CF: Final = 0x1
X86_EFLAGS_FIXED: Final = 0x2
X86_EFLAGS_PF: Final = 0x4
X86_EFLAGS_AF: Final = 0x10
X86_EFLAGS_ZF: Final = 0x40
X86_EFLAGS_SF: Final = 0x80
X86_EFLAGS_TF: Final = 0x100
X86_EFLAGS_IF: Final = 0x200
X86_EFLAGS_DF: Final = 0x400
X86_EFLAGS_OF: Final = 0x800
X86_EFLAGS_NT: Final = 0x4000
X86_EFLAGS_RF: Final = 0x10000
X86_EFLAGS_AC: Final = 0x40000

PTRACE_TRACEME: Final = 0
PTRACE_PEEKTEXT: Final = 1
PTRACE_PEEKDATA: Final = 2
PTRACE_PEEKUSR: Final = 3
PTRACE_POKETEXT: Final = 4
PTRACE_POKEDATA: Final = 5
PTRACE_POKEUSR: Final = 6
PTRACE_CONT: Final = 7
PTRACE_KILL: Final = 8
PTRACE_SINGLESTEP: Final = 9
PTRACE_GETREGS: Final = 12
PTRACE_SETREGS: Final = 13
PTRACE_GETFPREGS: Final = 14
PTRACE_SETFPREGS: Final = 15
PTRACE_ATTACH: Final = 16
PTRACE_DETACH: Final = 17
PTRACE_OLDSETOPTIONS: Final = 21
PTRACE_SYSCALL: Final = 24
PTRACE_GET_THREAD_AREA: Final = 25
PTRACE_SET_THREAD_AREA: Final = 26
PTRACE_ARCH_PRCTL: Final = 30
PTRACE_SYSEMU: Final = 31
PTRACE_SYSEMU_SINGLESTEP: Final = 32
PTRACE_SINGLEBLOCK: Final = 33
PTRACE_SETOPTIONS: Final = 0x4200
PTRACE_GETEVENTMSG: Final = 0x4201
PTRACE_GETSIGINFO: Final = 0x4202
PTRACE_SETSIGINFO: Final = 0x4203
PTRACE_GETREGSET: Final = 0x4204
PTRACE_SETREGSET: Final = 0x4205
PTRACE_SEIZE: Final = 0x4206
PTRACE_INTERRUPT: Final = 0x4207
PTRACE_LISTEN: Final = 0x4208
PTRACE_PEEKSIGINFO: Final = 0x4209
PTRACE_GETSIGMASK: Final = 0x420A
PTRACE_SETSIGMASK: Final = 0x420B
PTRACE_SECCOMP_GET_FILTER: Final = 0x420C
PTRACE_SECCOMP_GET_METADATA: Final = 0x420D
PTRACE_GET_SYSCALL_INFO: Final = 0x420E
PTRACE_GET_RSEQ_CONFIGURATION: Final = 0x420F

PTRACE_EVENT_FORK: Final = 1
PTRACE_EVENT_VFORK: Final = 2
PTRACE_EVENT_CLONE: Final = 3
PTRACE_EVENT_EXEC: Final = 4
PTRACE_EVENT_VFORK_DONE: Final = 5
PTRACE_EVENT_EXIT: Final = 6
PTRACE_EVENT_SECCOMP: Final = 7
PTRACE_EVENT_STOP: Final = 128

PTRACE_EVENTMSG_SYSCALL_ENTRY: Final = 1
PTRACE_EVENTMSG_SYSCALL_EXIT: Final = 2

#: PTRACE_O_TRACESYSGOOD; the others of 0xff are 1 << PTRACE_EVENT_*.
PTRACE_O_TRACESYSGOOD: Final = 1
PTRACE_O_EXITKILL: Final = 1 << 20
PTRACE_O_SUSPEND_SECCOMP: Final = 1 << 21
PTRACE_O_MASK: Final = 0xFF | PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP

PTRACE_PEEKSIGINFO_SHARED: Final = 1

# task->ptrace
PT_SEIZED: Final = 0x00010000
PT_PTRACED: Final = 0x00000001
PT_OPT_FLAG_SHIFT: Final = 3
PT_TRACESYSGOOD: Final = PTRACE_O_TRACESYSGOOD << PT_OPT_FLAG_SHIFT
PT_EXITKILL: Final = PTRACE_O_EXITKILL << PT_OPT_FLAG_SHIFT

# ptrace_may_access()
PTRACE_MODE_READ: Final = 0x01
PTRACE_MODE_ATTACH: Final = 0x02
PTRACE_MODE_FSCREDS: Final = 0x08
PTRACE_MODE_REALCREDS: Final = 0x10
PTRACE_MODE_READ_FSCREDS: Final = PTRACE_MODE_READ | PTRACE_MODE_FSCREDS
PTRACE_MODE_ATTACH_FSCREDS: Final = PTRACE_MODE_ATTACH | PTRACE_MODE_FSCREDS
PTRACE_MODE_ATTACH_REALCREDS: Final = PTRACE_MODE_ATTACH | PTRACE_MODE_REALCREDS


class PtRegs:
    """struct pt_regs: the user registers at a kernel entry. All values unsigned 64-bit ints.

    cpu/ fills it before the kernel runs and loads it back before the guest goes on.
    """

    def __init__(self) -> None:
        self.r15 = 0
        self.r14 = 0
        self.r13 = 0
        self.r12 = 0
        self.bp = 0
        self.bx = 0
        self.r11 = 0
        self.r10 = 0
        self.r9 = 0
        self.r8 = 0
        self.ax = 0
        self.cx = 0
        self.dx = 0
        self.si = 0
        self.di = 0
        #: The system call's number; 2**64 - 1 (-1) after any other entry.
        self.orig_ax = 0xFFFFFFFFFFFFFFFF
        self.ip = 0
        # __USER_CS and __USER_DS: Python mangles names with two leading underscores inside a class.
        self.cs = 0x33
        self.flags = X86_EFLAGS_FIXED | X86_EFLAGS_IF
        self.sp = 0
        self.ss = 0x2B


def user_mode(regs: PtRegs) -> bool:
    """The entry came from ring 3."""
    return regs.cs & 3 == 3
