# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on signals: the ends of kernel/signal.c that read and write the guest's memory."""

from __future__ import annotations

import mmscope.kernel.core.signal as sig
import mmscope.kernel.core.sigprocmask as mask
from mmscope.kernel.arch.x86.signal import sys_rt_sigreturn
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.sigaltstack import do_sigaltstack
from mmscope.kernel.core.siginfo import SIGINFO_SIZE, copy_siginfo_to_user, siginfo_from_user
from mmscope.kernel.include.errno import EINVAL, EPERM, ESRCH, KernelError
from mmscope.kernel.include.signal import SI_TKILL, SI_USER, SIG_KERNEL_ONLY_MASK, KernelSiginfo, KSigaction
from mmscope.syscalls.args import s32
from mmscope.syscalls.time import read_timespec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

SIGSETSIZE: Final = 8
SIGACTION_SIZE: Final = 32
SIGALTSTACK_SIZE: Final = 24


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def read_sigset(k: Kernel, addr: int) -> int:
    """sigset_t at `addr`."""
    return int.from_bytes(copy_from_user(k, addr, SIGSETSIZE), "little")


def rt_sigaction(k: Kernel, regs: PtRegs) -> int:
    """rt_sigaction(sig, act, oact, sigsetsize): the size first, then act, then the number, at last oact."""
    if regs.r10 != SIGSETSIZE:
        raise KernelError(EINVAL)
    act: KSigaction | None = None
    if regs.si:
        raw = copy_from_user(k, regs.si, SIGACTION_SIZE)
        act = KSigaction(_u64(raw, 0), _u64(raw, 8), _u64(raw, 16), _u64(raw, 24))
    old = mask.do_sigaction(k, s32(regs.di), act)
    if regs.dx:
        words = (old.sa_handler, old.sa_flags, old.sa_restorer, old.sa_mask)
        copy_to_user(k, regs.dx, b"".join([w.to_bytes(8, "little") for w in words]))
    return 0


def rt_sigprocmask(k: Kernel, regs: PtRegs) -> int:
    """rt_sigprocmask(how, nset, oset, sigsetsize)."""
    if regs.r10 != SIGSETSIZE:
        raise KernelError(EINVAL)
    old = k.current.blocked
    if regs.si:
        newset = read_sigset(k, regs.si) & ~SIG_KERNEL_ONLY_MASK
        mask.sigprocmask(k, s32(regs.di), newset)
    if regs.dx:
        copy_to_user(k, regs.dx, old.to_bytes(8, "little"))
    return 0


def rt_sigpending(k: Kernel, regs: PtRegs) -> int:
    """rt_sigpending(uset, sigsetsize): a smaller size is fine."""
    if regs.si > SIGSETSIZE:
        raise KernelError(EINVAL)
    copy_to_user(k, regs.di, mask.do_sigpending(k).to_bytes(8, "little")[: regs.si])
    return 0


def rt_sigsuspend(k: Kernel, regs: PtRegs) -> int:
    """rt_sigsuspend(unewset, sigsetsize)."""
    if regs.si != SIGSETSIZE:
        raise KernelError(EINVAL)
    return mask.do_sigsuspend(k, read_sigset(k, regs.di))


def rt_sigtimedwait(k: Kernel, regs: PtRegs) -> int:
    """rt_sigtimedwait(uthese, uinfo, uts, sigsetsize): the signal's number."""
    if regs.r10 != SIGSETSIZE:
        raise KernelError(EINVAL)
    these = read_sigset(k, regs.di)
    timeout: int | None = None
    if regs.dx:
        timeout = read_timespec(k, regs.dx)
        if timeout < 0:
            raise KernelError(EINVAL)
    info = mask.do_sigtimedwait(k, these, timeout)
    if regs.si:
        copy_to_user(k, regs.si, copy_siginfo_to_user(info))
    return info.si_signo


def rt_sigqueueinfo(k: Kernel, regs: PtRegs) -> int:
    """rt_sigqueueinfo(pid, sig, uinfo)."""
    info = siginfo_from_user(copy_from_user(k, regs.dx, SIGINFO_SIZE), s32(regs.si))
    pid = s32(regs.di)
    if (info.si_code >= 0 or info.si_code == SI_TKILL) and k.current.tgid != pid:
        raise KernelError(EPERM)
    target = k.tasks.get(pid)
    if target is None:
        raise KernelError(ESRCH)
    sig.group_send_sig_info(k, info.si_signo, info, target)
    return 0


def rt_tgsigqueueinfo(k: Kernel, regs: PtRegs) -> int:
    """rt_tgsigqueueinfo(tgid, pid, sig, uinfo)."""
    info = siginfo_from_user(copy_from_user(k, regs.r10, SIGINFO_SIZE), s32(regs.dx))
    tgid, pid = s32(regs.di), s32(regs.si)
    if pid <= 0 or tgid <= 0:
        raise KernelError(EINVAL)
    if (info.si_code >= 0 or info.si_code == SI_TKILL) and k.current.pid != pid:
        raise KernelError(EPERM)
    target = k.tasks.get(pid)
    if target is None or target.tgid != tgid:
        raise KernelError(ESRCH)
    sig.check_kill_permission(k, info.si_signo, target)
    if info.si_signo:
        sig.do_send_sig_info(info.si_signo, info, target, False)
    return 0


def sigaltstack(k: Kernel, regs: PtRegs) -> int:
    """sigaltstack(uss, uoss)."""
    ss: tuple[int, int, int] | None = None
    if regs.di:
        raw = copy_from_user(k, regs.di, SIGALTSTACK_SIZE)
        ss = (_u64(raw, 0), int.from_bytes(raw[8:12], "little"), _u64(raw, 16))
    old = do_sigaltstack(k, ss, regs.sp)
    if regs.si:
        data = old[0].to_bytes(8, "little") + old[1].to_bytes(4, "little") + bytes(4) + old[2].to_bytes(8, "little")
        copy_to_user(k, regs.si, data)
    return 0


def rt_sigreturn(k: Kernel, regs: PtRegs) -> int:
    """rt_sigreturn()."""
    return sys_rt_sigreturn(k, regs)


def kill(k: Kernel, regs: PtRegs) -> int:
    """kill(pid, sig)."""
    signo = s32(regs.si)
    me = k.current
    sig.kill_something_info(k, signo, KernelSiginfo(signo, SI_USER, 0, me.tgid, me.cred.uid), s32(regs.di))
    return 0


def tkill(k: Kernel, regs: PtRegs) -> int:
    """tkill(pid, sig)."""
    pid = s32(regs.di)
    if pid <= 0:
        raise KernelError(EINVAL)
    sig.do_tkill(k, 0, pid, s32(regs.si))
    return 0


def tgkill(k: Kernel, regs: PtRegs) -> int:
    """tgkill(tgid, pid, sig)."""
    tgid, pid = s32(regs.di), s32(regs.si)
    if pid <= 0 or tgid <= 0:
        raise KernelError(EINVAL)
    sig.do_tkill(k, tgid, pid, s32(regs.dx))
    return 0


def pause(k: Kernel, regs: PtRegs) -> int:
    """pause()."""
    return mask.do_pause(k)


def sigset_argpack(k: Kernel, addr: int) -> int | None:
    """pselect6's sixth argument: a pointer to (sigset pointer, size); None = no mask."""
    if addr == 0:
        return None
    raw = copy_from_user(k, addr, 16)
    return user_sigmask(k, _u64(raw, 0), _u64(raw, 8))


def user_sigmask(k: Kernel, umask: int, size: int) -> int | None:
    """The mask of ppoll and its like. EINVAL for a wrong size."""
    if umask == 0:
        return None
    if size != SIGSETSIZE:
        raise KernelError(EINVAL)
    return read_sigset(k, umask)
