# SPDX-License-Identifier: GPL-2.0-or-later
"""fork(2) and its relatives, wait4(2), waitid(2): argument decoding; the work is kernel/core/{fork,exit}.py's."""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.arch.x86.uaccess import access_ok, copy_to_user, put_user
from mmscope.kernel.core.fork import KernelCloneArgs, kernel_clone, unshare_flags
from mmscope.kernel.include.errno import E2BIG, EAGAIN, EINVAL, KernelError
from mmscope.kernel.include.fs import O_NONBLOCK
from mmscope.kernel.include.limits import INT_MAX
from mmscope.kernel.include.sched import (
    CLONE_CLEAR_SIGHAND,
    CLONE_DETACHED,
    CLONE_INTO_CGROUP,
    CLONE_NEWTIME,
    CLONE_PARENT,
    CLONE_SIGHAND,
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
    CSIGNAL,
)
from mmscope.kernel.include.signal import _NSIG, SIGCHLD
from mmscope.syscalls.args import copy_struct_from_user, s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.core.exit import WaitOpts
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

CLONE_ARGS_SIZE_VER0: Final = 64
CLONE_ARGS_SIZE_VER2: Final = 88
MAX_PID_NS_LEVEL: Final = 32


def fork(k: Kernel, regs: PtRegs) -> int:
    """fork()."""
    return kernel_clone(k, KernelCloneArgs(0, SIGCHLD), regs)


def vfork(k: Kernel, regs: PtRegs) -> int:
    """vfork()."""
    return kernel_clone(k, KernelCloneArgs(CLONE_VFORK | CLONE_VM, SIGCHLD), regs)


def clone(k: Kernel, regs: PtRegs) -> int:
    """clone(flags, newsp, parent_tid, child_tid, tls)."""
    flags = u32(regs.di)
    args = KernelCloneArgs(flags & ~CSIGNAL, flags & CSIGNAL)
    args.stack = regs.si
    args.parent_tid = args.pidfd = regs.dx
    args.child_tid = regs.r10
    args.tls = regs.r8
    return kernel_clone(k, args, regs)


def clone3(k: Kernel, regs: PtRegs) -> int:
    """clone3(uargs, size)."""
    usize = regs.si
    if usize > 4096:
        raise KernelError(E2BIG)
    if usize < CLONE_ARGS_SIZE_VER0:
        raise KernelError(EINVAL)
    raw = copy_struct_from_user(k, regs.di, usize, CLONE_ARGS_SIZE_VER2)
    words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, CLONE_ARGS_SIZE_VER2, 8)]
    flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup = words
    if set_tid_size > MAX_PID_NS_LEVEL or bool(set_tid) != bool(set_tid_size):
        raise KernelError(EINVAL)
    if exit_signal & ~CSIGNAL or exit_signal > _NSIG:
        raise KernelError(EINVAL)
    if flags & CLONE_INTO_CGROUP and (cgroup > INT_MAX or usize < CLONE_ARGS_SIZE_VER2):
        raise KernelError(EINVAL)
    # clone3_args_valid()
    if flags & ~(0xFFFFFFFF | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP):
        raise KernelError(EINVAL)
    if flags & (CLONE_DETACHED | CSIGNAL & ~CLONE_NEWTIME):
        raise KernelError(EINVAL)
    if flags & CLONE_SIGHAND and flags & CLONE_CLEAR_SIGHAND:
        raise KernelError(EINVAL)
    if flags & (CLONE_THREAD | CLONE_PARENT) and exit_signal:
        raise KernelError(EINVAL)
    if bool(stack) != bool(stack_size) or (stack and not access_ok(stack, stack_size)):
        raise KernelError(EINVAL)
    if set_tid_size or flags & CLONE_INTO_CGROUP:
        k.warn_once("clone3: set_tid and cgroups are not implemented: EINVAL")
        raise KernelError(EINVAL)
    args = KernelCloneArgs(flags, exit_signal)
    args.pidfd, args.child_tid, args.parent_tid, args.tls = pidfd, child_tid, parent_tid, tls
    args.stack = stack + stack_size
    return kernel_clone(k, args, regs)


def unshare(k: Kernel, regs: PtRegs) -> int:
    """unshare(flags): without namespaces."""
    unshare_flags(k, regs.di)
    return 0


def wait4(k: Kernel, regs: PtRegs) -> int:
    """wait4(upid, stat_addr, options, ru)."""
    pid, wo = core_exit.kernel_wait4(k, s32(regs.di), u32(regs.dx))
    if pid > 0:
        if regs.si:
            put_user(k, regs.si, wo.wo_stat, 4)
        if regs.r10 and wo.wo_rusage is not None:
            copy_to_user(k, regs.r10, core_sys.rusage_both(wo.wo_rusage))
    return pid


def waitid(k: Kernel, regs: PtRegs) -> int:
    """waitid(which, upid, infop, options, ru): the siginfo is written whatever comes of it, zeroes if nobody was found."""
    pid = error = 0
    info = core_exit.WaidInfo()
    try:
        pid, wo = kernel_waitid(k, s32(regs.di), s32(regs.si), u32(regs.r10))
    except KernelError as e:
        error = e.errno or EINVAL
    else:
        if pid > 0:
            info = wo.wo_info
            if regs.r8 and wo.wo_rusage is not None:
                copy_to_user(k, regs.r8, core_sys.rusage_both(wo.wo_rusage))
    if regs.dx:
        head = (SIGCHLD if pid else 0).to_bytes(4, "little") + bytes(4) + info.cause.to_bytes(4, "little")
        copy_to_user(k, regs.dx, head)
        body = info.pid.to_bytes(4, "little") + info.uid.to_bytes(4, "little") + info.status.to_bytes(4, "little")
        copy_to_user(k, regs.dx + 16, body)
    if error:
        raise KernelError(error)
    return 0


def kernel_waitid(k: Kernel, which: int, upid: int, options: int) -> tuple[int, WaitOpts]:
    """waitid(2): (pid, answer). P_ALL 0, P_PID 1, P_PGID 2, P_PIDFD 3."""
    w = core_exit
    if options & ~(w.WNOHANG | w.WNOWAIT | w.WEXITED | w.WSTOPPED | w.WCONTINUED | 0xE0000000):
        raise KernelError(EINVAL)
    if not options & (w.WEXITED | w.WSTOPPED | w.WCONTINUED):
        raise KernelError(EINVAL)
    nonblock = False
    if which == 0:
        wo = w.WaitOpts(w.PIDTYPE_MAX, 0, options)
    elif which == 1:
        if upid <= 0:
            raise KernelError(EINVAL)
        wo = w.WaitOpts(w.PIDTYPE_PID, upid, options)
    elif which == 2:
        if upid < 0:
            raise KernelError(EINVAL)
        wo = w.WaitOpts(w.PIDTYPE_PGID, upid or k.current.signal.pgrp, options)
    elif which == 3:
        if upid < 0:
            raise KernelError(EINVAL)
        from mmscope.kernel.core.pid import pid_task
        from mmscope.kernel.fs.pidfs import pidfd_get_pid

        pid_struct, f_flags = pidfd_get_pid(k, upid)
        nonblock = f_flags & O_NONBLOCK != 0 and not options & w.WNOHANG
        # Of a process that is gone nobody is the child.
        number = pid_struct.nr if pid_task(k, pid_struct) is not None else 0
        wo = w.WaitOpts(w.PIDTYPE_PID, number, options | (w.WNOHANG if nonblock else 0))
    else:
        raise KernelError(EINVAL)
    pid = w.do_wait(k, wo)
    if nonblock and not pid:
        raise KernelError(EAGAIN)
    return pid, wo
