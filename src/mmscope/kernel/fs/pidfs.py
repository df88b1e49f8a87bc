# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors for processes (fs/pidfs.c since v6.9; before that kernel/fork.c, pid.c, signal.c).

A pidfd holds a struct pid: it never means another process, even if that has got the same number.
"""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.fs.proc as fs_proc
from mmscope.kernel.core.pid import get_task_pid, pid_task
from mmscope.kernel.core.ptrace import ptrace_may_access
from mmscope.kernel.fs.anon_inodes import anon_inode_getfile
from mmscope.kernel.fs.file import fd_install, fget, fget_raw, get_file, get_unused_fd_flags
from mmscope.kernel.include.errno import EBADF, EINVAL, ENOENT, EPERM, ESRCH, KernelError
from mmscope.kernel.include.fs import O_CLOEXEC, O_EXCL, O_NONBLOCK, O_RDWR, File, FileOperations
from mmscope.kernel.include.pid import Pid
from mmscope.kernel.include.poll import POLLHUP, POLLIN, POLLRDNORM, PollTable, poll_wait
from mmscope.kernel.include.signal import SI_TKILL, SI_USER, KernelSiginfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "do_pidfd_getfd", "do_pidfd_open", "do_pidfd_send_signal", "pidfd_fops", "pidfd_get_pid", "pidfd_pid", "pidfd_prepare",
    "pidfd_signal_type",
]  # fmt: skip

PIDFD_NONBLOCK: Final = O_NONBLOCK
#: v6.9: for one thread.
PIDFD_THREAD: Final = O_EXCL

# pidfd_send_signal(2), since v6.9: 0 = as the pidfd is.
PIDFD_SIGNAL_THREAD: Final = 1
PIDFD_SIGNAL_THREAD_GROUP: Final = 2
PIDFD_SIGNAL_PROCESS_GROUP: Final = 4

# Instead of a pidfd: the current thread, the current process.
PIDFD_SELF_THREAD: Final = -10000
PIDFD_SELF_THREAD_GROUP: Final = -10001


def pidfd_pid(file: File) -> Pid:
    """The process behind a pidfd. EBADF: the file is none."""
    pid = file.private_data
    if not isinstance(pid, Pid):
        raise KernelError(EBADF)
    return pid


def thread_group_exited(k: Kernel, pid: Pid, thread: bool) -> bool:
    """No thread of the process lives any more; of PIDFD_THREAD: that one does not."""
    task = pid_task(k, pid)
    if task is None:
        return True
    if k.config.at_least(6, 15):
        # A leader that died before its threads is not dead yet, whoever asks.
        thread = task.group_leader is not task
    return task.exit_state != 0 and (thread or len(task.signal.threads) == 1)


def pidfd_poll(file: File, pt: PollTable | None) -> int:
    """Readable when the process is dead, waited for or not; since v6.9 POLLHUP when it was waited for."""
    pid = pidfd_pid(file)
    k = file.f_inode.i_sb.kernel
    poll_wait(file, pid.wait_pidfd, pt)
    if k.config.at_least(6, 9) and pid_task(k, pid) is None:
        return POLLIN | POLLRDNORM | POLLHUP
    return POLLIN | POLLRDNORM if thread_group_exited(k, pid, file.f_flags & PIDFD_THREAD != 0) else 0


def pidfd_show_fdinfo(file: File) -> str:
    """The number, in each namespace: there is one. -1: the process is gone."""
    pid = pidfd_pid(file)
    nr = pid.nr if pid_task(file.f_inode.i_sb.kernel, pid) is not None else -1
    return f"Pid:\t{nr}\nNSpid:\t{nr}\n"


pidfd_fops: Final = FileOperations("pidfd_fops", poll=pidfd_poll, show_fdinfo=pidfd_show_fdinfo)


def pidfd_prepare(k: Kernel, task: TaskStruct, flags: int) -> tuple[int, File]:
    """A descriptor, not yet installed, and its file."""
    fd = get_unused_fd_flags(k, O_CLOEXEC)
    file = anon_inode_getfile(k, "[pidfd]", pidfd_fops, get_task_pid(task), O_RDWR | flags & O_NONBLOCK)
    file.f_flags |= flags & PIDFD_THREAD
    return fd, file


def pidfd_get_pid(k: Kernel, fd: int) -> tuple[Pid, int]:
    """The process of a pidfd, and how that is open (O_NONBLOCK). EBADF."""
    file = fget(k, fd)
    return pidfd_pid(file), file.f_flags


def do_pidfd_open(k: Kernel, nr: int, flags: int) -> int:
    """pidfd_open(2). EINVAL: flags (PIDFD_NONBLOCK since v5.10), no number; ESRCH.

    A thread that is not the leader is EINVAL, later ENOENT, without PIDFD_THREAD.
    """
    known = PIDFD_NONBLOCK | PIDFD_THREAD if k.config.at_least(6, 9) else PIDFD_NONBLOCK
    if flags & ~known or nr <= 0:
        raise KernelError(EINVAL)
    task = k.tasks.get(nr)
    if task is None:
        raise KernelError(ESRCH)
    if task.group_leader is not task and not flags & PIDFD_THREAD:
        raise KernelError(ENOENT if k.config.at_least(6, 16) else EINVAL)
    fd, file = pidfd_prepare(k, task, flags)
    fd_install(k, fd, file)
    return fd


def tgid_pidfd_task(k: Kernel, file: File) -> TaskStruct | None:
    """A descriptor of a directory /proc/PID serves as well. EBADF for others; None: the process is gone."""
    data = file.f_inode.i_private
    if not isinstance(data, fs_proc.ProcInode) or not fs_proc.is_tgid_dir(data) or data.task is None:
        raise KernelError(EBADF)
    return data.task if k.tasks.get(data.task.pid) is data.task else None


def pidfd_to_task(k: Kernel, pidfd: int) -> TaskStruct | None:
    """Who a signal sent to this descriptor is for; None: it is dead. EBADF."""
    file = fget_raw(k, pidfd)
    if isinstance(file.private_data, Pid):
        return pid_task(k, file.private_data)
    return tgid_pidfd_task(k, file)


def pidfd_signal_type(k: Kernel, pidfd: int, flags: int) -> int:
    """The flag that says whom a signal is for, where none is given: as the pidfd is. EINVAL: more than one flag; EBADF."""
    known = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP if k.config.at_least(6, 9) else 0
    if flags & ~known or flags & (flags - 1):
        raise KernelError(EINVAL)
    thread = pidfd == PIDFD_SELF_THREAD
    if not is_pidfd_self(k, pidfd):
        file = fget_raw(k, pidfd & 0xFFFFFFFF)
        if not isinstance(file.private_data, Pid):
            tgid_pidfd_task(k, file)
        thread = isinstance(file.private_data, Pid) and file.f_flags & PIDFD_THREAD != 0
    return flags or (PIDFD_SIGNAL_THREAD if thread else PIDFD_SIGNAL_THREAD_GROUP)


def is_pidfd_self(k: Kernel, pidfd: int) -> bool:
    """One of the numbers that stand for the caller."""
    return pidfd in (PIDFD_SELF_THREAD, PIDFD_SELF_THREAD_GROUP) and k.config.at_least(6, 16)


def do_pidfd_send_signal(k: Kernel, pidfd: int, sig: int, info: KernelSiginfo | None, info_signo: int, type: int) -> int:
    """pidfd_send_signal(2), to whom pidfd_signal_type() says. ESRCH: it is dead.

    With a siginfo that looks like the kernel's or kill's only to oneself: EPERM.
    """
    current = k.current
    task: TaskStruct | None
    if is_pidfd_self(k, pidfd):
        task = current if pidfd == PIDFD_SELF_THREAD else current.group_leader
    else:
        task = pidfd_to_task(k, pidfd & 0xFFFFFFFF)
    if info is None:
        code = SI_TKILL if type == PIDFD_SIGNAL_THREAD else SI_USER
        info = KernelSiginfo(sig, code, 0, current.tgid, current.cred.uid)
    else:
        if info_signo != sig:
            raise KernelError(EINVAL)
        if task is not current and (info.si_code >= 0 or info.si_code == SI_TKILL):
            raise KernelError(EPERM)
    if task is None:
        raise KernelError(ESRCH)
    if type == PIDFD_SIGNAL_PROCESS_GROUP:
        core_signal.kill_pgrp_info(k, sig, info, task.pid)
    else:
        core_signal.group_send_sig_info(k, sig, info, task, type == PIDFD_SIGNAL_THREAD_GROUP)
    return 0


def do_pidfd_getfd(k: Kernel, pidfd: int, fd: int, flags: int) -> int:
    """pidfd_getfd(2): a descriptor of our own for what `fd` is there. EPERM unless we might trace it; EBADF, ESRCH."""
    if flags:
        raise KernelError(EINVAL)
    task = pid_task(k, pidfd_pid(fget(k, pidfd)))
    if task is None:
        raise KernelError(ESRCH)
    if not ptrace_may_access(k, task):
        raise KernelError(EPERM)
    file = task.files.fd.get(fd) if task.files is not None else None
    if file is None:
        raise KernelError(EBADF)
    new = get_unused_fd_flags(k, O_CLOEXEC)
    fd_install(k, new, get_file(file))
    return new
