# SPDX-License-Identifier: GPL-2.0-or-later
"""signalfd(2) (fs/signalfd.c): signals as something to read. Whoever reads takes its own signals, whoever made the file."""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.core.siginfo import siginfo_layout
from mmscope.kernel.fs.anon_inodes import anon_inode_getfd
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.read_write import noop_llseek
from mmscope.kernel.include.errno import EAGAIN, EFAULT, EINVAL, ERESTARTSYS, KernelError
from mmscope.kernel.include.fs import O_CLOEXEC, O_NONBLOCK, O_RDWR, File, FileOperations
from mmscope.kernel.include.poll import POLLIN, PollTable, poll_wait
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE
from mmscope.kernel.include.signal import (
    SIG_KERNEL_ONLY_MASK,
    SIGSET_MASK,
    SIL_CHLD,
    SIL_FAULT,
    SIL_FAULT_BNDERR,
    SIL_KILL,
    SIL_RT,
    SIL_TIMER,
    KernelSiginfo,
)
from mmscope.kernel.include.wait import WaitQueueEntry
from mmscope.kernel.lib.iov_iter import IovIter, copy_to_iter, iov_iter_kvec_dest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["do_signalfd4", "signalfd_fops"]

SIGNALFD_SIGINFO_SIZE: Final = 128


class SignalfdCtx:
    """struct signalfd_ctx: the signals that are not wanted, as a task's `blocked`."""

    def __init__(self, sigmask: int) -> None:
        self.sigmask = sigmask


def ctx_of(file: File) -> SignalfdCtx:
    """The set behind `file`."""
    ctx = file.private_data
    assert isinstance(ctx, SignalfdCtx)
    return ctx


def signalfd_copyinfo(info: KernelSiginfo) -> bytes:
    """struct signalfd_siginfo."""
    out = bytearray(SIGNALFD_SIGINFO_SIZE)

    def put(at: int, value: int, size: int = 4) -> None:
        out[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    put(0, info.si_signo)
    put(4, info.si_errno)
    put(8, info.si_code)
    layout = siginfo_layout(info.si_signo, info.si_code)
    if layout == SIL_TIMER:
        put(24, info.si_tid)
        put(32, info.si_overrun)
    if layout in (SIL_KILL, SIL_CHLD, SIL_RT):
        put(12, info.si_pid)
        put(16, info.si_uid)
    if layout in (SIL_TIMER, SIL_RT):
        put(44, info.si_value)
        put(48, info.si_value, 8)
    if layout in (SIL_FAULT, SIL_FAULT_BNDERR):
        put(72, info.si_addr, 8)
    if layout == SIL_CHLD:
        put(40, info.si_status)
        put(56, info.si_utime, 8)
        put(64, info.si_stime, 8)
    return bytes(out)


def signalfd_dequeue(k: Kernel, ctx: SignalfdCtx, nonblock: bool) -> KernelSiginfo:
    """The next wanted signal of the current task. EAGAIN, or waits; ERESTARTSYS for another signal."""
    current = k.current
    info = core_signal.dequeue_signal(current, ctx.sigmask)
    if info is not None:
        return info
    if nonblock:
        raise KernelError(EAGAIN)
    wait = WaitQueueEntry(current)
    wqh = current.sighand.signalfd_wqh
    current.wchan = "a signalfd"
    while True:
        core_wait.prepare_to_wait(wqh, wait, TASK_INTERRUPTIBLE)
        info = core_signal.dequeue_signal(current, ctx.sigmask)
        if info is not None or core_signal.signal_pending(current):
            break
        core_sched.schedule(k)
    core_wait.finish_wait(wqh, wait)
    current.wchan = ""
    if info is None:
        raise KernelError(ERESTARTSYS)
    return info


def signalfd_read_iter(file: File, to: IovIter, pos: int) -> int:
    """As many of 128 bytes each as fit; waits for the first only. EFAULT for the first: what was taken is lost."""
    k = file.f_inode.i_sb.kernel
    ctx = ctx_of(file)
    nonblock = file.f_flags & O_NONBLOCK != 0
    total = 0
    count = to.count // SIGNALFD_SIGINFO_SIZE
    if not count:
        raise KernelError(EINVAL)
    while count:
        try:
            info = signalfd_copyinfo(signalfd_dequeue(k, ctx, nonblock))
            if copy_to_iter(info, to) < len(info):
                raise KernelError(EFAULT)
        except KernelError:
            if total:
                break
            raise
        total += len(info)
        nonblock = True
        count -= 1
    return total


def signalfd_read(file: File, count: int, pos: int) -> bytes:
    """signalfd_read_iter() for the kernel itself."""
    to = iov_iter_kvec_dest(file.f_inode.i_sb.kernel, count)
    signalfd_read_iter(file, to, pos)
    return b"".join(to.out)


def signalfd_poll(file: File, pt: PollTable | None) -> int:
    """Readable if the current task has such a signal."""
    current = file.f_inode.i_sb.kernel.current
    ctx = ctx_of(file)
    poll_wait(file, current.sighand.signalfd_wqh, pt)
    pending = current.pending.signal | current.signal.shared_pending.signal
    return POLLIN if pending & ~ctx.sigmask else 0


def signalfd_show_fdinfo(file: File) -> str:
    """The wanted signals."""
    return f"sigmask:\t{~ctx_of(file).sigmask & SIGSET_MASK:016x}\n"


signalfd_fops: Final = FileOperations(
    "signalfd_fops",
    noop_llseek,
    read=signalfd_read,
    read_iter=signalfd_read_iter,
    poll=signalfd_poll,
    show_fdinfo=signalfd_show_fdinfo,
)


def do_signalfd4(k: Kernel, ufd: int, mask: int, flags: int) -> int:
    """signalfd4(2): a new descriptor (ufd -1), or another set for an old one. EINVAL: flags, or no signalfd; EBADF."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(EINVAL)
    sigmask = ~(mask & ~SIG_KERNEL_ONLY_MASK) & SIGSET_MASK
    if ufd == -1:
        return anon_inode_getfd(k, "[signalfd]", signalfd_fops, SignalfdCtx(sigmask), O_RDWR | flags)
    file = fget(k, ufd & 0xFFFFFFFF)
    ctx = file.private_data
    if not isinstance(ctx, SignalfdCtx):
        raise KernelError(EINVAL)
    ctx.sigmask = sigmask
    core_wait.wake_up(k.current.sighand.signalfd_wqh)
    return ufd
