# SPDX-License-Identifier: GPL-2.0-or-later
"""arch/x86/signal.py: the frame's bytes, the handler's registers, and the way back."""

from __future__ import annotations

import mmscope.kernel.core.sigaltstack as sigaltstack
import mmscope.kernel.core.signal as sig
import mmscope.kernel.core.sigprocmask as sigprocmask
from mmscope.kernel.arch.x86.signal import (
    FRAME_INFO,
    FRAME_UC,
    UC_SIGCONTEXT_SS,
    UC_SIGMASK,
    UC_STRICT_RESTORE_SS,
    arch_do_signal_or_restart,
    exit_to_user_mode_prepare,
    sys_rt_sigreturn,
)
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.errno import EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.ptrace import X86_EFLAGS_DF, X86_EFLAGS_RF, X86_EFLAGS_TF, X86_EFLAGS_ZF, PtRegs
from mmscope.kernel.include.signal import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESTART,
    SA_RESTORER,
    SA_SIGINFO,
    SEGV_ACCERR,
    SI_TKILL,
    SIGILL,
    SIGSEGV,
    SIGUSR1,
    SIGUSR2,
    SS_AUTODISARM,
    SS_DISABLE,
    KernelSiginfo,
    KSigaction,
    sigmask,
)
from tests.kernel.core.boot import boot_process

HANDLER = 0x401000
RESTORER = 0x402000
U64 = (1 << 64) - 1


def u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def prepared(flags: int = SA_SIGINFO, mask: int = 0, signo: int = SIGUSR1) -> tuple[Kernel, PtRegs]:
    k = boot_process()
    sigprocmask.do_sigaction(k, signo, KSigaction(HANDLER, flags | SA_RESTORER, RESTORER, mask))
    regs = k.current.regs
    regs.ip = 0x400123
    regs.r8, regs.r15, regs.ax, regs.cx = 8, 15, 0xAA, 0xCC
    regs.flags = 0x202 | X86_EFLAGS_DF | X86_EFLAGS_TF | X86_EFLAGS_RF | X86_EFLAGS_ZF
    return k, regs


def test_frame_layout() -> None:
    k, regs = prepared(mask=sigmask(SIGUSR2))
    sp = regs.sp
    k.current.thread.error_code, k.current.thread.trap_nr, k.current.thread.cr2 = 6, 14, 0xDEAD000
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    fpstate = (sp - 128 - 512) & ~63
    frame = ((fpstate - 440) & ~15) - 8
    assert regs.sp == frame
    assert (regs.sp + 8) % 16 == 0
    assert (regs.di, regs.si, regs.dx, regs.ax) == (SIGUSR1, frame + FRAME_INFO, frame + FRAME_UC, 0)
    assert regs.ip == HANDLER
    assert regs.flags == 0x202 | X86_EFLAGS_ZF
    raw = copy_from_user(k, frame, 440)
    assert u64(raw, 0) == RESTORER
    uc = raw[FRAME_UC:]
    assert u64(uc, 0) == UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
    assert (u64(uc, 16), u32(uc, 24), u64(uc, 32)) == (0, k.current.sas_ss_flags, 0)
    context = uc[40:]
    assert (u64(context, 0), u64(context, 56)) == (8, 15)
    assert (u64(context, 13 * 8), u64(context, 14 * 8)) == (0xAA, 0xCC)
    assert (u64(context, 15 * 8), u64(context, 16 * 8)) == (sp, 0x400123)
    assert context[144:152] == b"\x33\0\0\0\0\0\x2b\0"
    assert [u64(context, at) for at in (152, 160, 168, 176, 184)] == [6, 14, 0, 0xDEAD000, fpstate]
    assert u64(uc, UC_SIGMASK) == 0
    info = raw[FRAME_INFO:]
    assert (u32(info, 0), u32(info, 4), u32(info, 8)) == (SIGUSR1, 0, SI_TKILL & 0xFFFFFFFF)
    assert (u32(info, 16), u32(info, 20)) == (k.current.tgid, 0)
    fp = copy_from_user(k, fpstate, 512)
    assert fp[0:2] == b"\x7f\x03"
    assert fp[464:] == bytes(48)
    assert k.current.blocked == sigmask(SIGUSR1) | sigmask(SIGUSR2)


def test_fault_siginfo_has_the_address() -> None:
    k, regs = prepared(signo=SIGSEGV)
    sig.force_sig_fault(k, SIGSEGV, SEGV_ACCERR, 0x1234567)
    exit_to_user_mode_prepare(k, regs)
    info = copy_from_user(k, regs.si, 128)
    assert (u32(info, 0), u32(info, 8), u64(info, 16)) == (SIGSEGV, SEGV_ACCERR, 0x1234567)
    assert info[24:] == bytes(104)


def test_sigreturn_restores_everything() -> None:
    k, regs = prepared()
    before = {name: getattr(regs, name) for name in ("r8", "r15", "ax", "cx", "sp", "ip", "di", "si", "dx", "cs", "ss")}
    loaded: list[bytes | None] = []
    k.cpu.fxrstor = loaded.append
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    copy_to_user(k, regs.dx + 40 + 17 * 8, (0xFFFFFFFF).to_bytes(8, "little"))
    regs.sp += 8
    regs.r8 = 99
    assert sys_rt_sigreturn(k, regs) == 0xAA
    assert {name: getattr(regs, name) for name in before} == before
    # Only the flags of FIX_EFLAGS can be set by the frame.
    assert regs.flags == 0x202 | 0x50DD5
    assert k.current.blocked == 0
    assert regs.orig_ax == U64
    assert len(loaded) == 1
    assert loaded[0] is not None
    assert len(loaded[0]) == 512


def test_sigreturn_forces_ring_3_and_bad_selectors_are_gp() -> None:
    k, regs = prepared()
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    copy_to_user(k, regs.dx + 40 + 144, b"\x10\0")
    regs.sp += 8
    sys_rt_sigreturn(k, regs)
    assert regs.cs == 0x13
    exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV
    assert k.current.thread.trap_nr == 13


def test_bad_frame_is_sigsegv() -> None:
    k, regs = prepared()
    regs.sp = 0x1000
    sys_rt_sigreturn(k, regs)
    exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV
    assert "bad frame in rt_sigreturn" in k.log[-1][1]


def test_no_restorer_or_no_stack_is_sigsegv() -> None:
    k, regs = prepared()
    k.current.sighand.action[SIGUSR1 - 1].sa_flags &= ~SA_RESTORER
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV
    k, regs = prepared()
    regs.sp = 0x10000
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV


def test_sigsegv_handler_without_stack_dies_once() -> None:
    k, regs = prepared(signo=SIGSEGV)
    regs.sp = 0x10000
    sig.force_sig_fault(k, SIGSEGV, 1, 0x10000)
    exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV


def altstack(k: Kernel, size: int = 8192, flags: int = 0) -> int:
    """Give the task an alternate stack, in its real stack's memory."""
    base = (k.current.regs.sp - 65536) & ~4095
    sigaltstack.do_sigaltstack(k, (base, flags, size), k.current.regs.sp)
    return base


def test_altstack_is_used_once_and_has_no_red_zone_twice() -> None:
    k, regs = prepared(SA_SIGINFO | SA_ONSTACK | SA_NODEFER)
    base = altstack(k)
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    first = regs.sp
    assert base < first < base + 8192
    assert copy_from_user(k, regs.dx + 16, 8) == base.to_bytes(8, "little")
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    assert first - 2048 < regs.sp < first


def test_overflowing_the_altstack_is_sigsegv() -> None:
    k, regs = prepared(SA_SIGINFO | SA_ONSTACK | SA_NODEFER)
    altstack(k, 2048)
    for _ in range(2):
        sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
        exit_to_user_mode_prepare(k, regs)
    assert k.current.exit_code == SIGSEGV


def test_autodisarm() -> None:
    k, regs = prepared(SA_SIGINFO | SA_ONSTACK)
    base = altstack(k, flags=SS_AUTODISARM)
    sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
    exit_to_user_mode_prepare(k, regs)
    assert (k.current.sas_ss_sp, k.current.sas_ss_flags) == (0, SS_DISABLE)
    regs.sp += 8
    sys_rt_sigreturn(k, regs)
    assert (k.current.sas_ss_sp, k.current.sas_ss_flags) == (base, SS_AUTODISARM)


def restart(error: int, flags: int | None) -> PtRegs:
    k, regs = prepared(flags if flags is not None else 0)
    regs.orig_ax = 35
    regs.ax = -error & U64
    regs.ip = 0x400125
    if flags is not None:
        sig.do_tkill(k, 0, k.current.pid, SIGUSR1)
        arch_do_signal_or_restart(k, regs)
        context = copy_from_user(k, regs.dx + 40, 256)
        regs.ax, regs.ip = u64(context, 13 * 8), u64(context, 16 * 8)
    else:
        arch_do_signal_or_restart(k, regs)
    return regs


def test_system_call_restart() -> None:
    again, eintr = (35, 0x400123), (-EINTR & U64, 0x400125)
    cases = [
        (ERESTARTSYS, None, again),
        (ERESTARTSYS, 0, eintr),
        (ERESTARTSYS, SA_RESTART, again),
        (ERESTARTNOINTR, 0, again),
        (ERESTARTNOHAND, None, again),
        (ERESTARTNOHAND, SA_RESTART, eintr),
        (ERESTART_RESTARTBLOCK, SA_RESTART, eintr),
        (ERESTART_RESTARTBLOCK, None, (219, 0x400123)),
    ]
    for error, flags, expected in cases:
        regs = restart(error, flags)
        assert (regs.ax, regs.ip) == expected, (error, flags)


def test_sigsuspend_mask_is_saved_in_the_frame() -> None:
    k, regs = prepared()
    sigprocmask.set_current_blocked(k, sigmask(SIGUSR1))
    sig.do_send_sig_info(SIGUSR1, KernelSiginfo(SIGUSR1, 0), k.current, True)
    regs.ax = sigprocmask.do_sigsuspend(k, sigmask(SIGILL)) & U64
    regs.orig_ax = 130
    exit_to_user_mode_prepare(k, regs)
    saved = copy_from_user(k, regs.dx + UC_SIGMASK, 8)
    assert int.from_bytes(saved, "little") == sigmask(SIGUSR1)
    assert k.current.blocked == sigmask(SIGUSR1) | sigmask(SIGILL)
