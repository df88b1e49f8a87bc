# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on readiness: poll, select, epoll, eventfd, signalfd, timerfd; and pipes.

Argument decoding; the work is kernel/fs's.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.sigprocmask import restore_saved_sigmask_unless, set_user_sigmask
from mmscope.kernel.fs.eventfd import do_eventfd
from mmscope.kernel.fs.eventpoll import EPOLL_CTL_DEL, do_epoll_create, do_epoll_ctl, do_epoll_wait
from mmscope.kernel.fs.file import close_fd
from mmscope.kernel.fs.pipe import do_pipe2
from mmscope.kernel.fs.select import core_sys_select, do_sys_poll
from mmscope.kernel.include.errno import EINTR, EINVAL, ERESTARTNOHAND, KernelError
from mmscope.kernel.include.time import NSEC_PER_SEC
from mmscope.syscalls.args import s32, u32
from mmscope.syscalls.signal import SIGSETSIZE, read_sigset, sigset_argpack, user_sigmask
from mmscope.syscalls.time import itimerspec, read_timespec, timespec, timeval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def poll(k: Kernel, regs: PtRegs) -> int:
    """poll(ufds, nfds, timeout_msecs)."""
    msecs = s32(regs.dx)
    try:
        return do_sys_poll(k, regs.di, u32(regs.si), None if msecs < 0 else msecs * 1_000_000)
    except KernelError as e:
        # poll is restarted only if no handler runs.
        if e.errno == EINTR:
            return -ERESTARTNOHAND
        raise


def ppoll(k: Kernel, regs: PtRegs) -> int:
    """ppoll(ufds, nfds, tsp, sigmask, sigsetsize): what is left of the time is written back."""
    timeout: int | None = None
    if regs.dx:
        timeout = read_timespec(k, regs.dx)
        if timeout < 0:
            raise KernelError(EINVAL)
    mask = user_sigmask(k, regs.r10, regs.r8)
    end = None if timeout is None else k.timekeeper.now_ns + timeout
    if mask is not None:
        set_user_sigmask(k, mask)
    try:
        ret = do_sys_poll(k, regs.di, u32(regs.si), timeout)
    except KernelError as e:
        ret = -ERESTARTNOHAND if e.errno == EINTR else -(e.errno or EINVAL)
    restore_saved_sigmask_unless(k, ret == -ERESTARTNOHAND)
    if end is not None:
        _put_rest(k, regs.dx, end, True)
    return ret


def _put_rest(k: Kernel, addr: int, end: int, nsec: bool) -> None:
    """poll_select_finish(): the time left, if the guest lets us write it."""
    left = max(end - k.timekeeper.now_ns, 0)
    try:
        copy_to_user(k, addr, timespec(left) if nsec else timeval(left))
    except KernelError:
        return


def select(k: Kernel, regs: PtRegs) -> int:
    """select(n, inp, outp, exp, tvp)."""
    timeout: int | None = None
    if regs.r8:
        raw = copy_from_user(k, regs.r8, 16)
        sec, usec = (int.from_bytes(raw[i : i + 8], "little", signed=True) for i in (0, 8))
        timeout = (sec + usec // 1_000_000) * NSEC_PER_SEC + usec % 1_000_000 * 1000
        if sec < 0 or usec < 0:
            raise KernelError(EINVAL)
    end = None if timeout is None else k.timekeeper.now_ns + timeout
    ret = core_sys_select(k, s32(regs.di), (regs.si, regs.dx, regs.r10), timeout)
    if end is not None:
        _put_rest(k, regs.r8, end, False)
    return ret


def pselect6(k: Kernel, regs: PtRegs) -> int:
    """pselect6(n, inp, outp, exp, tsp, sig)."""
    mask = sigset_argpack(k, regs.r9)
    timeout: int | None = None
    if regs.r8:
        timeout = read_timespec(k, regs.r8)
        if timeout < 0:
            raise KernelError(EINVAL)
    end = None if timeout is None else k.timekeeper.now_ns + timeout
    if mask is not None:
        set_user_sigmask(k, mask)
    try:
        ret = core_sys_select(k, s32(regs.di), (regs.si, regs.dx, regs.r10), timeout)
    except KernelError as e:
        ret = -(e.errno or EINVAL)
    restore_saved_sigmask_unless(k, ret == -ERESTARTNOHAND)
    if end is not None:
        _put_rest(k, regs.r8, end, True)
    return ret


def epoll_create(k: Kernel, regs: PtRegs) -> int:
    """epoll_create(size): any size above 0."""
    if s32(regs.di) <= 0:
        raise KernelError(EINVAL)
    return do_epoll_create(k, 0)


def epoll_create1(k: Kernel, regs: PtRegs) -> int:
    """epoll_create1(flags)."""
    return do_epoll_create(k, s32(regs.di))


def epoll_ctl(k: Kernel, regs: PtRegs) -> int:
    """epoll_ctl(epfd, op, fd, event): struct epoll_event is packed, 12 bytes."""
    op = s32(regs.si)
    raw = bytes(12) if op == EPOLL_CTL_DEL else copy_from_user(k, regs.r10, 12)
    events, data = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little")
    return do_epoll_ctl(k, u32(regs.di), op, u32(regs.dx), events, data)


def _epoll_wait(k: Kernel, regs: PtRegs, timeout: int | None) -> int:
    found = do_epoll_wait(k, u32(regs.di), s32(regs.dx), timeout)
    copy_to_user(k, regs.si, b"".join([e.to_bytes(4, "little") + d.to_bytes(8, "little") for e, d in found]))
    return len(found)


def epoll_wait(k: Kernel, regs: PtRegs) -> int:
    """epoll_wait(epfd, events, maxevents, timeout ms)."""
    msecs = s32(regs.r10)
    return _epoll_wait(k, regs, None if msecs < 0 else msecs * 1_000_000)


def epoll_pwait(k: Kernel, regs: PtRegs) -> int:
    """epoll_pwait(epfd, events, maxevents, timeout ms, sigmask, sigsetsize)."""
    msecs = s32(regs.r10)
    return _epoll_pwait(k, regs, None if msecs < 0 else msecs * 1_000_000)


def epoll_pwait2(k: Kernel, regs: PtRegs) -> int:
    """epoll_pwait2(epfd, events, maxevents, timeout, sigmask, sigsetsize) (v5.11)."""
    timeout: int | None = None
    if regs.r10:
        timeout = read_timespec(k, regs.r10)
        if timeout < 0:
            raise KernelError(EINVAL)
    return _epoll_pwait(k, regs, timeout)


def _epoll_pwait(k: Kernel, regs: PtRegs, timeout: int | None) -> int:
    mask = user_sigmask(k, regs.r8, regs.r9)
    if mask is not None:
        set_user_sigmask(k, mask)
    try:
        ret = _epoll_wait(k, regs, timeout)
    except KernelError as e:
        ret = -(e.errno or EINVAL)
    restore_saved_sigmask_unless(k, ret == -EINTR)
    return ret


def eventfd(k: Kernel, regs: PtRegs) -> int:
    """eventfd(count)."""
    return do_eventfd(k, u32(regs.di), 0)


def eventfd2(k: Kernel, regs: PtRegs) -> int:
    """eventfd2(count, flags)."""
    return do_eventfd(k, u32(regs.di), s32(regs.si))


def pipe2(k: Kernel, regs: PtRegs) -> int:
    """pipe2(fildes, flags)."""
    return _pipe(k, regs.di, s32(regs.si))


def pipe(k: Kernel, regs: PtRegs) -> int:
    """pipe(fildes)."""
    return _pipe(k, regs.di, 0)


def _pipe(k: Kernel, fildes: int, flags: int) -> int:
    pair = do_pipe2(k, flags)
    put_fd_pair(k, fildes, pair)
    return 0


def put_fd_pair(k: Kernel, addr: int, pair: tuple[int, int]) -> None:
    """Two descriptors to user memory; closed again if that fails."""
    try:
        copy_to_user(k, addr, pair[0].to_bytes(4, "little") + pair[1].to_bytes(4, "little"))
    except KernelError:
        close_fd(k, pair[0])
        close_fd(k, pair[1])
        raise


def signalfd4(k: Kernel, regs: PtRegs) -> int:
    """signalfd4(ufd, user_mask, sizemask, flags)."""
    return _signalfd(k, regs, s32(regs.r10))


def signalfd(k: Kernel, regs: PtRegs) -> int:
    """signalfd(ufd, user_mask, sizemask)."""
    return _signalfd(k, regs, 0)


def _signalfd(k: Kernel, regs: PtRegs, flags: int) -> int:
    from mmscope.kernel.fs.signalfd import do_signalfd4

    if regs.dx != SIGSETSIZE:
        raise KernelError(EINVAL)
    return do_signalfd4(k, s32(regs.di), read_sigset(k, regs.si), flags)


def timerfd_create(k: Kernel, regs: PtRegs) -> int:
    """timerfd_create(clockid, flags)."""
    from mmscope.kernel.fs.timerfd import do_timerfd_create

    return do_timerfd_create(k, s32(regs.di), s32(regs.si))


def timerfd_settime(k: Kernel, regs: PtRegs) -> int:
    """timerfd_settime(ufd, flags, utmr, otmr)."""
    from mmscope.kernel.fs.timerfd import do_timerfd_settime

    interval, value = read_timespec(k, regs.dx), read_timespec(k, regs.dx + 16)
    old = do_timerfd_settime(k, u32(regs.di), s32(regs.si), value, interval)
    if regs.r10:
        copy_to_user(k, regs.r10, itimerspec(old))
    return 0


def timerfd_gettime(k: Kernel, regs: PtRegs) -> int:
    """timerfd_gettime(ufd, otmr)."""
    from mmscope.kernel.fs.timerfd import do_timerfd_gettime

    copy_to_user(k, regs.si, itimerspec(do_timerfd_gettime(k, u32(regs.di))))
    return 0
