# SPDX-License-Identifier: GPL-2.0-or-later
"""siginfo_t: what stands behind si_code, and the 128 bytes that a program sees (kernel/signal.c, siginfo.h)."""

from __future__ import annotations

from mmscope.kernel.include.errno import E2BIG, KernelError
from mmscope.kernel.include.signal import (
    CLD_CONTINUED,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SIGBUS,
    SIGCHLD,
    SIGFPE,
    SIGILL,
    SIGIO,
    SIGSEGV,
    SIGSYS,
    SIGTRAP,
    SIL_CHLD,
    SIL_FAULT,
    SIL_FAULT_BNDERR,
    SIL_KILL,
    SIL_POLL,
    SIL_RT,
    SIL_SYS,
    SIL_TIMER,
    KernelSiginfo,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: sizeof(siginfo_t)
SIGINFO_SIZE: Final = 128
#: sig_sicodes[]: the highest si_code > 0 of each signal that has codes of its own.
SIG_SICODES: Final = {SIGILL: 11, SIGFPE: 15, SIGSEGV: 10, SIGBUS: 5, SIGTRAP: 6, SIGCHLD: 6, SIGIO: 6, SIGSYS: 2}
NSIGPOLL: Final = 6


def known_siginfo_layout(sig: int, si_code: int) -> bool:
    """The kernel knows what this signal and code carry, so that nothing lies behind the 48 bytes that it keeps."""
    if si_code == SI_KERNEL:
        return True
    if si_code > SI_USER:
        return si_code <= SIG_SICODES.get(sig, NSIGPOLL)
    # SI_DETHREAD, SI_ASYNCNL
    return si_code >= -7 or si_code == -60


def siginfo_layout(sig: int, si_code: int) -> int:
    """What stands behind si_code in the siginfo of this signal."""
    if SI_USER < si_code < SI_KERNEL:
        if sig == SIGSEGV and si_code == 3:
            return SIL_FAULT_BNDERR
        if sig in (SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP):
            return SIL_FAULT
        if sig == SIGCHLD:
            return SIL_CHLD
        if sig == SIGSYS:
            return SIL_SYS
        if sig == SIGIO:
            return SIL_POLL
        return SIL_KILL
    if si_code == -2:
        return SIL_TIMER
    if si_code == -5:
        return SIL_POLL
    if si_code < 0 and si_code != SI_TKILL:
        return SIL_RT
    return SIL_KILL


def _u32(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def _u64(value: int) -> bytes:
    return (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


def copy_siginfo_to_user(info: KernelSiginfo) -> bytes:
    """The 128 bytes of siginfo_t; what the layout does not use is zero."""
    if info.raw:
        return info.raw.ljust(SIGINFO_SIZE, b"\0")
    head = _u32(info.si_signo) + _u32(info.si_errno) + _u32(info.si_code) + bytes(4)
    layout = siginfo_layout(info.si_signo, info.si_code)
    if info.si_pid and 0 < info.si_code <= CLD_CONTINUED:
        # Of a child, whatever signal it was to send.
        layout = SIL_CHLD
    if layout in (SIL_FAULT, SIL_FAULT_BNDERR):
        body = _u64(info.si_addr)
    elif layout == SIL_TIMER:
        body = _u32(info.si_tid) + _u32(info.si_overrun) + _u64(info.si_value)
    else:
        body = _u32(info.si_pid) + _u32(info.si_uid)
        if layout == SIL_RT:
            body += _u64(info.si_value)
        elif layout == SIL_CHLD:
            body += _u32(info.si_status) + bytes(4) + _u64(info.si_utime) + _u64(info.si_stime)
    return (head + body).ljust(SIGINFO_SIZE, b"\0")


def siginfo_from_user(raw: bytes, signo: int) -> KernelSiginfo:
    """A program's siginfo_t: code, pid, uid and value; the address for codes that have one. E2BIG: more than is known of it."""
    code = int.from_bytes(raw[8:12], "little", signed=True)
    info = KernelSiginfo(signo, code, 0, int.from_bytes(raw[16:20], "little"), int.from_bytes(raw[20:24], "little"))
    info.si_errno = int.from_bytes(raw[4:8], "little")
    info.si_value = int.from_bytes(raw[24:32], "little")
    info.si_addr = int.from_bytes(raw[16:24], "little")
    # Bytes 12 to 16 are padding, which arrives too.
    info.raw = signo.to_bytes(4, "little", signed=True) + raw[4:48]
    if not known_siginfo_layout(signo, code) and any(raw[48:]):
        raise KernelError(E2BIG)
    return info
