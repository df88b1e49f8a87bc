# SPDX-License-Identifier: GPL-2.0-or-later
"""sys_call_table: number -> (name, function(k, regs)) of the calls that the model has. The others answer ENOSYS."""

from __future__ import annotations

from mmscope.syscalls import fs, misc, mm, process, signal, time
from mmscope.syscalls.names import SYSCALL_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

    SyscallFn = Callable[[Kernel, PtRegs], int]

#: Calls whose function bears their name, by module.
_MODULES: Final = (
    (
        fs,
        "read write open close stat fstat lstat lseek ioctl pread64 pwrite64 readv writev access dup dup2 sendfile "
        "execve fcntl flock fsync truncate ftruncate getcwd chdir fchdir mkdir creat unlink symlink readlink chmod fchmod "
        "lchown umask statfs fstatfs chroot sync readahead getdents64 fadvise64 openat mkdirat fchownat newfstatat unlinkat "
        "linkat symlinkat readlinkat fchmodat faccessat utimensat execveat fallocate dup3 preadv pwritev "
        "copy_file_range statx close_range faccessat2 getdents mknod "
        "mknodat link renameat renameat2 preadv2 pwritev2 fdatasync syncfs sync_file_range chown fchown utime utimes futimesat "
        "rmdir rename openat2 splice tee vmsplice "
        "name_to_handle_at",
    ),
    (
        mm,
        "mmap mprotect munmap brk mremap msync mincore madvise mlock munlock mlockall munlockall mlock2"
        " pkey_mprotect pkey_alloc pkey_free remap_file_pages process_vm_readv process_vm_writev"
        " memfd_create shmget shmat shmctl shmdt",
    ),
    (
        process,
        "getpid exit uname getrlimit getrusage sysinfo getuid getgid setuid setgid geteuid getegid setpgid "
        "getppid getpgrp setsid setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid getpgid "
        "setfsuid setfsgid getsid personality getpriority setpriority "
        "prctl arch_prctl setrlimit "
        "sethostname gettid set_tid_address exit_group "
        "prlimit64 getcpu membarrier rseq capget capset",
    ),
    (
        signal,
        "rt_sigaction rt_sigprocmask rt_sigreturn pause kill rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend "
        "sigaltstack tkill tgkill rt_tgsigqueueinfo",
    ),
    (
        time,
        "nanosleep getitimer alarm setitimer gettimeofday times settimeofday time restart_syscall clock_settime clock_gettime "
        "clock_getres clock_nanosleep timer_create timer_settime timer_gettime timer_getoverrun timer_delete",
    ),
    (misc, "getrandom"),
)

#: The same of modules that are imported when the first of their calls is made: most programs make none.
_LATE_MODULES: Final = (
    ("mmscope.syscalls.ipc", "semget semop semctl semtimedop"),
    ("mmscope.syscalls.fork", "clone fork vfork wait4 waitid clone3 unshare"),
    ("mmscope.syscalls.pidfd", "pidfd_open pidfd_send_signal pidfd_getfd"),
    (
        "mmscope.syscalls.sched",
        "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler sched_setscheduler "
        "sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_getattr sched_setattr",
    ),
    ("mmscope.syscalls.ptrace", "ptrace"),
    (
        "mmscope.syscalls.xattr",
        "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr lremovexattr "
        "fremovexattr",
    ),
    ("mmscope.syscalls.futex", "futex set_robust_list get_robust_list"),
    (
        "mmscope.syscalls.poll",
        "poll select pselect6 ppoll pipe pipe2 eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait "
        "epoll_pwait2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime",
    ),
    (
        "mmscope.syscalls.socket",
        "socket socketpair bind listen accept accept4 connect getsockname getpeername shutdown sendto recvfrom sendmsg recvmsg "
        "setsockopt getsockopt sendmmsg recvmmsg",
    ),
)


class _Late:
    """A system call that puts its own function in its place when it is made for the first time."""

    def __init__(self, module: str, nr: int, name: str) -> None:
        self.module = module
        self.nr = nr
        self.name = name

    def __call__(self, k: Kernel, regs: PtRegs) -> int:
        """The call."""
        import importlib

        function: SyscallFn = getattr(importlib.import_module(self.module), self.name)
        SYSCALLS[self.nr] = (self.name, function)
        return function(k, regs)


def _build() -> dict[int, tuple[str, SyscallFn]]:
    numbers = {name: nr for nr, name in SYSCALL_NAMES.items()}
    table: dict[int, tuple[str, SyscallFn]] = {}
    for module, names in _MODULES:
        for name in names.split():
            table[numbers[name]] = (name, getattr(module, name))
    for path, names in _LATE_MODULES:
        for name in names.split():
            table[numbers[name]] = (name, _Late(path, numbers[name], name))
    return table


SYSCALLS: Final = _build()
