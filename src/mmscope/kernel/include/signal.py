# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals (uapi/asm/signal.h, uapi/asm-generic/siginfo.h): numbers, codes and the structures of delivery."""

from __future__ import annotations

from mmscope.kernel.include.wait import WaitQueueHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SIGHUP: Final = 1
SIGINT: Final = 2
SIGQUIT: Final = 3
SIGILL: Final = 4
SIGTRAP: Final = 5
SIGABRT: Final = 6
SIGBUS: Final = 7
SIGFPE: Final = 8
SIGKILL: Final = 9
SIGUSR1: Final = 10
SIGSEGV: Final = 11
SIGUSR2: Final = 12
SIGPIPE: Final = 13
SIGALRM: Final = 14
SIGTERM: Final = 15
SIGSTKFLT: Final = 16
SIGCHLD: Final = 17
SIGCONT: Final = 18
SIGSTOP: Final = 19
SIGTSTP: Final = 20
SIGTTIN: Final = 21
SIGTTOU: Final = 22
SIGURG: Final = 23
SIGXCPU: Final = 24
SIGXFSZ: Final = 25
SIGVTALRM: Final = 26
SIGPROF: Final = 27
SIGWINCH: Final = 28
SIGIO: Final = 29
SIGPWR: Final = 30
SIGSYS: Final = 31
SIGRTMIN: Final = 32
_NSIG: Final = 64

SIG_DFL: Final = 0
SIG_IGN: Final = 1

SA_NOCLDSTOP: Final = 0x1
SA_NOCLDWAIT: Final = 0x2
SA_SIGINFO: Final = 0x4
SA_ONSTACK: Final = 0x08000000
SA_RESTART: Final = 0x10000000
SA_NODEFER: Final = 0x40000000
SA_RESETHAND: Final = 0x80000000
SA_RESTORER: Final = 0x04000000

SIG_BLOCK: Final = 0
SIG_UNBLOCK: Final = 1
SIG_SETMASK: Final = 2

SS_ONSTACK: Final = 1
SS_DISABLE: Final = 2
SS_AUTODISARM: Final = 1 << 31
MINSIGSTKSZ: Final = 2048

# si_code
SI_USER: Final = 0
SI_KERNEL: Final = 0x80
SI_QUEUE: Final = -1
SI_TIMER: Final = -2
SI_TKILL: Final = -6
SEGV_MAPERR: Final = 1
SEGV_ACCERR: Final = 2
BUS_ADRALN: Final = 1
BUS_ADRERR: Final = 2
FPE_INTDIV: Final = 1
FPE_INTOVF: Final = 2
FPE_FLTDIV: Final = 3
FPE_FLTOVF: Final = 4
FPE_FLTUND: Final = 5
FPE_FLTRES: Final = 6
FPE_FLTINV: Final = 7
ILL_ILLOPN: Final = 2
ILL_ILLOPC: Final = 1
TRAP_BRKPT: Final = 1
TRAP_TRACE: Final = 2

CLD_EXITED: Final = 1
CLD_KILLED: Final = 2
CLD_DUMPED: Final = 3
CLD_TRAPPED: Final = 4
CLD_STOPPED: Final = 5
CLD_CONTINUED: Final = 6

SIG_KERNEL_ONLY_MASK: Final = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1)
SIG_KERNEL_STOP_MASK: Final = 1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1)
SIG_KERNEL_COREDUMP_MASK: Final = (
    1 << (SIGQUIT - 1)
    | 1 << (SIGILL - 1)
    | 1 << (SIGTRAP - 1)
    | 1 << (SIGABRT - 1)
    | 1 << (SIGFPE - 1)
    | 1 << (SIGSEGV - 1)
    | 1 << (SIGBUS - 1)
    | 1 << (SIGSYS - 1)
    | 1 << (SIGXCPU - 1)
    | 1 << (SIGXFSZ - 1)
)
SIG_KERNEL_IGNORE_MASK: Final = 1 << (SIGCONT - 1) | 1 << (SIGCHLD - 1) | 1 << (SIGWINCH - 1) | 1 << (SIGURG - 1)
#: Consequences of the instruction just executed: taken before all others.
SYNCHRONOUS_MASK: Final = (
    1 << (SIGSEGV - 1) | 1 << (SIGBUS - 1) | 1 << (SIGILL - 1) | 1 << (SIGTRAP - 1) | 1 << (SIGFPE - 1) | 1 << (SIGSYS - 1)
)
SIGSET_MASK: Final = (1 << _NSIG) - 1
#: What sigaction(2) keeps, so that a program can find out what is known (v5.11).
UAPI_SA_FLAGS: Final = 0xDC000807

# siginfo_layout(): which member of the union a (signal, code) pair uses.
SIL_KILL: Final = 0
SIL_FAULT: Final = 1
SIL_RT: Final = 2
SIL_FAULT_BNDERR: Final = 3
SIL_TIMER: Final = 4
SIL_CHLD: Final = 5
SIL_POLL: Final = 6
SIL_SYS: Final = 7

SIGNAL_NAMES: Final = (
    "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
    "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
    "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
)  # fmt: skip


def sigmask(sig: int) -> int:
    """The bit of `sig` in a sigset_t."""
    return 1 << (sig - 1)


class KernelSiginfo:
    """kernel_siginfo_t: what a handler gets as siginfo_t."""

    def __init__(self, si_signo: int, si_code: int, si_addr: int = 0, si_pid: int = 0, si_uid: int = 0) -> None:
        self.si_signo = si_signo
        self.si_errno = 0
        self.si_code = si_code
        self.si_addr = si_addr
        self.si_pid = si_pid
        self.si_uid = si_uid
        #: sigval of sigqueue, and the bounds of a #BR (si_lower, si_upper).
        self.si_value = 0
        #: SIGCHLD: exit code or signal, CPU time in clock ticks. Timers: si_timerid and si_overrun.
        self.si_tid = 0
        self.si_overrun = 0
        self.si_status = 0
        self.si_utime = 0
        self.si_stime = 0
        #: The first 48 bytes as sigqueueinfo(2) got them; b"" for what the kernel has made.
        self.raw = b""


class KSigaction:
    """struct k_sigaction. `sa_mask` has bit n-1 set for signal n."""

    def __init__(self, sa_handler: int = SIG_DFL, sa_flags: int = 0, sa_restorer: int = 0, sa_mask: int = 0) -> None:
        self.sa_handler = sa_handler
        self.sa_flags = sa_flags
        self.sa_restorer = sa_restorer
        self.sa_mask = sa_mask


class SighandStruct:
    """struct sighand_struct: the dispositions, `action[signo - 1]`."""

    def __init__(self) -> None:
        self.action = [KSigaction() for _ in range(_NSIG)]
        #: Who waits in, or polls, a signalfd.
        self.signalfd_wqh = WaitQueueHead()
        #: Tasks that share it.
        self.count = 1


class Sigpending:
    """struct sigpending: queued siginfos in order, and their set."""

    def __init__(self) -> None:
        self.list: list[KernelSiginfo] = []
        self.signal = 0
