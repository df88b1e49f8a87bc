# SPDX-License-Identifier: GPL-2.0-or-later
"""syscalls/: the table, the truncation of arguments, errors, unknown calls, and some calls from register to register."""

from __future__ import annotations

import struct

import pytest

import mmscope.kernel.core.signal as sig
import mmscope.kernel.core.sigprocmask as sigprocmask
from mmscope.kernel.arch.x86.signal import exit_to_user_mode_prepare
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.errno import (
    EAGAIN,
    EBADF,
    EBUSY,
    ECHILD,
    EFAULT,
    EINVAL,
    ENOSYS,
    EOPNOTSUPP,
    EPERM,
    ERESTART_RESTARTBLOCK,
    ESRCH,
    ETIMEDOUT,
)
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.resource import RLIMIT_STACK
from mmscope.kernel.include.signal import SIG_KERNEL_ONLY_MASK, SIGALRM, SIGKILL, KSigaction
from mmscope.syscalls.args import s32, s64, u32
from mmscope.syscalls.entry import do_syscall_64
from mmscope.syscalls.names import SYSCALL_NAMES, NR_syscalls
from mmscope.syscalls.table import SYSCALLS
from tests.kernel.core.boot import boot_process

NUMBERS = {name: nr for nr, name in SYSCALL_NAMES.items()}
U64 = (1 << 64) - 1


def call(k: Kernel, name: str, *args: int) -> int:
    """A system call by its name; the result as a signed number."""
    return call_nr(k, NUMBERS[name], *args)


def call_nr(k: Kernel, nr: int, *args: int) -> int:
    regs = k.current.regs
    values = [a & U64 for a in args] + [0] * (6 - len(args))
    regs.ax = nr
    regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9 = values
    do_syscall_64(k, regs)
    return s64(regs.ax)


def buffer(k: Kernel) -> int:
    """A kilobyte of stack below the red zone."""
    return (k.current.regs.sp - 4096) & ~63


def test_table_is_complete_and_right() -> None:
    assert set(SYSCALL_NAMES) == set(range(335)) | set(range(424, NR_syscalls))
    known = {
        "read": 0, "mmap": 9, "rt_sigreturn": 15, "pause": 34, "clone": 56, "exit": 60, "getdents": 78, "arch_prctl": 158,
        "futex": 202, "tgkill": 234, "openat": 257, "accept4": 288, "prlimit64": 302, "getrandom": 318, "statx": 332,
        "rseq": 334, "pidfd_send_signal": 424, "clone3": 435, "epoll_pwait2": 441,
    }  # fmt: skip
    assert {name: NUMBERS[name] for name in known} == known
    assert len(SYSCALLS) >= 90
    for nr, (name, function) in SYSCALLS.items():
        assert SYSCALL_NAMES[nr] == name
        assert callable(function)


def test_argument_truncation() -> None:
    assert s32(0xFFFFFFFF_FFFFFFFF) == -1
    assert s32(0x1_00000003) == 3
    assert s32(0x80000000) == -(1 << 31)
    assert u32(0xFFFFFFFF_00000001) == 1
    assert s64(U64) == -1
    k = boot_process()
    # getsid(pid): only the low half of the register counts; close(fd) likewise.
    assert call(k, "getsid", k.current.pid | 0xABCD00000000) == k.current.pid
    assert call(k, "close", 0x500000007) == -EBADF
    # The number itself counts with all its bits in v5.11.
    assert call_nr(k, 1 << 32 | NUMBERS["getpid"]) == -ENOSYS


def test_unknown_call_warns_once_by_name() -> None:
    k = boot_process()
    said: list[str] = []
    k.warn = said.append
    assert call(k, "userfaultfd") == -ENOSYS
    assert call(k, "userfaultfd") == -ENOSYS
    assert call(k, "msgsnd") == -ENOSYS
    # Numbers and calls that Linux itself does not have are no shortcoming of the model.
    assert call_nr(k, 400) == -ENOSYS
    assert call_nr(k, U64) == -ENOSYS
    assert call(k, "tuxcall") == -ENOSYS
    assert len(said) == 2
    assert "userfaultfd (323)" in said[0]
    assert "msgsnd (69)" in said[1]


def test_registers_and_tracepoints() -> None:
    k = boot_process()
    seen: list[object] = []
    k.tp.attach("sys_enter", lambda nr, args: seen.append((nr, args)))
    k.tp.attach("sys_exit", lambda nr, ret: seen.append((nr, ret)))
    before = k.timekeeper.now_ns
    assert call(k, "kill", 4711, 0) == -ESRCH
    assert k.current.regs.orig_ax == 62
    assert seen == [(62, (4711, 0, 0, 0, 0, 0)), (62, -ESRCH)]
    assert k.timekeeper.now_ns == before + 1000


def test_rt_sigaction_order_of_checks() -> None:
    k = boot_process()
    assert call(k, "rt_sigaction", 99, 1, 1, 4) == -EINVAL
    assert call(k, "rt_sigaction", 99, 1, 1, 8) == -EFAULT
    assert call(k, "rt_sigaction", 99, 0, 1, 8) == -EINVAL
    assert call(k, "rt_sigaction", 9, 0, 1, 8) == -EFAULT
    act = buffer(k)
    words = (0x401000, 0x04000000, 0x402000, U64)
    copy_to_user(k, act, b"".join([w.to_bytes(8, "little") for w in words]))
    assert call(k, "rt_sigaction", 10, act, 0, 8) == 0
    assert call(k, "rt_sigaction", 10, 0, act + 64, 8) == 0
    raw = copy_from_user(k, act + 64, 32)
    assert raw[:24] == copy_from_user(k, act, 24)
    assert int.from_bytes(raw[24:], "little") == U64 & ~SIG_KERNEL_ONLY_MASK


def test_rt_sigprocmask_and_pending() -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, (1 << 9).to_bytes(8, "little"))
    assert call(k, "rt_sigprocmask", 7, mem, 0, 8) == -EINVAL
    assert call(k, "rt_sigprocmask", 7, 0, mem + 8, 8) == 0
    assert call(k, "rt_sigprocmask", 0, mem, mem + 8, 8) == 0
    assert call(k, "kill", k.current.pid, 10) == 0
    assert call(k, "rt_sigpending", mem + 16, 9) == -EINVAL
    assert call(k, "rt_sigpending", mem + 16, 8) == 0
    assert copy_from_user(k, mem + 16, 8) == (1 << 9).to_bytes(8, "little")


def test_exit_status_and_memory() -> None:
    k = boot_process()
    call(k, "getpid")
    call(k, "exit_group", 0x1FF)
    assert k.current.exit_code == 0xFF00
    assert k.current.mm is None
    assert k.current.signal.maxrss > 0


def test_clock_calls() -> None:
    k = boot_process()
    mem = buffer(k)
    assert call(k, "clock_gettime", 1, mem) == 0
    raw = copy_from_user(k, mem, 16)
    ns = int.from_bytes(raw[:8], "little") * 10**9 + int.from_bytes(raw[8:], "little")
    # The copy itself may fault, and a fault takes its time.
    assert 0 <= k.timekeeper.now_ns - ns <= 500
    assert call(k, "clock_gettime", 12, mem) == -EINVAL
    assert call(k, "clock_getres", 5, mem) == 0
    assert copy_from_user(k, mem, 16) == (0).to_bytes(8, "little") + (4_000_000).to_bytes(8, "little")
    assert call(k, "clock_nanosleep", 4, 0, mem, 0) == -EOPNOTSUPP
    assert call(k, "clock_gettime", 1, 1) == -EFAULT
    assert call(k, "time", 0) == k.config.boot_time // 10**9


def test_nanosleep_takes_virtual_time_only() -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, (7).to_bytes(8, "little") + (5).to_bytes(8, "little"))
    before = k.timekeeper.now_ns
    assert call(k, "nanosleep", mem, 0) == 0
    assert k.timekeeper.now_ns == before + 1000 + 7 * 10**9 + 5
    copy_to_user(k, mem + 8, (10**9).to_bytes(8, "little"))
    assert call(k, "nanosleep", mem, 0) == -EINVAL


def test_interrupted_nanosleep_goes_on() -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, (10).to_bytes(8, "little") + bytes(8))
    sigprocmask.do_sigaction(k, SIGALRM, KSigaction(0x401000))
    assert call(k, "alarm", 3) == 0
    start = k.timekeeper.now_ns
    assert call(k, "nanosleep", mem, mem + 16) == -ERESTART_RESTARTBLOCK
    assert int.from_bytes(copy_from_user(k, mem + 16, 8), "little") in (6, 7)
    assert sig.get_signal(k) is not None
    assert call(k, "restart_syscall") == 0
    assert k.timekeeper.now_ns >= start + 10 * 10**9


def test_alarm_kills() -> None:
    k = boot_process()
    call(k, "alarm", 1)
    call(k, "pause")
    exit_to_user_mode_prepare(k, k.current.regs)
    assert k.current.exit_code == SIGALRM


def test_futex_of_one_thread() -> None:
    k = boot_process()
    said: list[str] = []
    k.warn = said.append
    mem = buffer(k)
    copy_to_user(k, mem, (5).to_bytes(8, "little") + bytes(16))
    assert call(k, "futex", mem, 0x81, 1) == 0
    assert call(k, "futex", mem, 0x80, 6, 0) == -EAGAIN
    assert call(k, "futex", mem + 1, 0x80, 6, 0) == -EINVAL
    assert call(k, "futex", mem, 0x80, 5, mem + 8) == -ETIMEDOUT
    assert not said
    call(k, "futex", mem, 0x80, 5, 0)
    assert "futex" in said[0]
    exit_to_user_mode_prepare(k, k.current.regs)
    assert k.current.exit_code == SIGKILL


def test_rseq_registration() -> None:
    k = boot_process()
    area = buffer(k)
    assert call(k, "rseq", area + 8, 32, 0, 0x53053053) == -EINVAL
    assert call(k, "rseq", area, 31, 0, 0x53053053) == -EINVAL
    assert call(k, "rseq", area, 32, 2, 0x53053053) == -EINVAL
    assert call(k, "rseq", area, 32, 0, 0x53053053) == 0
    assert copy_from_user(k, area, 8) == bytes(8)
    assert call(k, "rseq", area, 32, 0, 0x53053053) == -EBUSY
    assert call(k, "rseq", area, 32, 0, 1) == -EPERM
    assert call(k, "rseq", area, 32, 1, 0x53053053) == 0
    assert copy_from_user(k, area, 8) == bytes(4) + b"\xff" * 4


def test_limits() -> None:
    k = boot_process(uid=1000)
    mem = buffer(k)
    assert call(k, "prlimit64", 0, RLIMIT_STACK, 0, mem) == 0
    assert copy_from_user(k, mem, 16) == (8 << 20).to_bytes(8, "little") + b"\xff" * 8
    assert call(k, "getrlimit", 16, mem) == -EINVAL
    copy_to_user(k, mem, (9).to_bytes(8, "little") + (8).to_bytes(8, "little"))
    assert call(k, "setrlimit", RLIMIT_STACK, mem) == -EINVAL
    copy_to_user(k, mem, (8).to_bytes(8, "little") + (9).to_bytes(8, "little"))
    assert call(k, "setrlimit", RLIMIT_STACK, mem) == 0
    copy_to_user(k, mem, (8).to_bytes(8, "little") + (10).to_bytes(8, "little"))
    assert call(k, "setrlimit", RLIMIT_STACK, mem) == -EPERM


def test_ids() -> None:
    k = boot_process(uid=1000)
    assert call(k, "setuid", 0) == -EPERM
    assert call(k, "setuid", -1) == -EINVAL
    assert call(k, "setresuid", -1, 1000, -1) == 0
    assert call(k, "setreuid", 1000, 7) == -EPERM
    assert call(k, "getgroups", -1, 0) == -EINVAL
    assert call(k, "setsid") == -EPERM
    assert call(k, "wait4", -1, 0, 0, 0) == -ECHILD
    k = boot_process()
    assert call(k, "setuid", 5) == 0
    assert (call(k, "getuid"), call(k, "geteuid")) == (5, 5)
    assert call(k, "setuid", 0) == -EPERM


def test_names_and_prctl() -> None:
    k = boot_process()
    mem = buffer(k)
    assert call(k, "uname", mem) == 0
    raw = copy_from_user(k, mem, 390)
    assert raw[:6] == b"Linux\0"
    assert raw[4 * 65 : 4 * 65 + 7] == b"x86_64\0"
    copy_to_user(k, mem, b"a-name-that-is-too-long\0")
    assert call(k, "prctl", 15, mem) == 0
    assert k.current.comm == "a-name-that-is-"
    assert call(k, "prctl", 16, mem + 64) == 0
    assert copy_from_user(k, mem + 64, 16) == b"a-name-that-is-\0"
    assert call(k, "prctl", 4, 2) == -EINVAL
    assert call(k, "prctl", 38, 1, 0, 0, 1) == -EINVAL
    assert call(k, "prctl", 9999) == -EINVAL
    assert call(k, "arch_prctl", 0x1002, 0x7FFFFFFFF000) == -EPERM
    assert call(k, "arch_prctl", 0x1002, 0x1234) == 0
    assert call(k, "arch_prctl", 0x1003, mem) == 0
    assert copy_from_user(k, mem, 8) == (0x1234).to_bytes(8, "little")
    assert call(k, "sched_getaffinity", 0, 7, mem) == -EINVAL
    assert call(k, "sched_getaffinity", 0, 128, mem) == 8


def test_sysinfo_times_rusage_sizes() -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, b"\xee" * 256)
    assert call(k, "sysinfo", mem) == 0
    raw = copy_from_user(k, mem, 120)
    assert raw[112:] == b"\xee" * 8
    assert int.from_bytes(raw[104:108], "little") == 1
    assert int.from_bytes(raw[32:40], "little") < 64 << 20
    assert call(k, "getrusage", 0, mem) == 0
    raw = copy_from_user(k, mem, 152)
    assert raw[144:] == b"\xee" * 8
    assert int.from_bytes(raw[32:40], "little") > 0
    assert call(k, "getrusage", 2, mem) == -EINVAL
    assert call(k, "times", mem) == ((1 << 32) - 75000 + 250) * 100 // 250


@pytest.mark.parametrize("nfds", [0, 1])
def test_poll_times_out_on_the_virtual_clock(nfds: int) -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, (0xFFFFFFFF).to_bytes(4, "little") + b"\x01\0\xff\xff")
    before = k.timekeeper.now_ns
    assert call(k, "poll", mem, nfds, 250) == 0
    assert k.timekeeper.now_ns == before + 1000 + 250_000_000
    assert copy_from_user(k, mem + 6, 2) == (b"\0\0" if nfds else b"\xff\xff")


def test_poll_tells_a_bad_descriptor() -> None:
    k = boot_process()
    mem = buffer(k)
    copy_to_user(k, mem, (99).to_bytes(4, "little") + b"\x01\0\0\0")
    assert call(k, "poll", mem, 1, -1) == 1
    assert copy_from_user(k, mem + 6, 2) == b"\x20\0"


def test_memory_calls() -> None:
    k = boot_process()
    addr = call(k, "mmap", 0, 8192, 3, 0x22, -1, 0)
    assert addr > 0
    assert call(k, "mmap", 0, 8192, 3, 0x22, -1, 1) == -EINVAL
    assert call(k, "mprotect", addr + 1, 4096, 1) == -EINVAL
    assert call(k, "mprotect", addr, 4096, 1) == 0
    assert call(k, "munmap", addr, 8192) == 0
    start = call(k, "brk", 0)
    assert call(k, "brk", start + 4096) == start + 4096


def test_getrandom() -> None:
    k = boot_process()
    mem = buffer(k)
    assert call(k, "getrandom", mem, 16, 0) == 16
    assert copy_from_user(k, mem, 16) != bytes(16)
    assert call(k, "getrandom", mem, 16, 8) == -EINVAL
    assert call(k, "getrandom", mem, 16, 6) == -EINVAL


def dirent_names(data: bytes, at_name: int) -> dict[bytes, int]:
    """Name -> type of old dirents (at_name 18: the type is the last byte) or new ones (19: it is before the name)."""
    names = {}
    while data:
        (length,) = struct.unpack_from("<H", data, 16)
        record, data = data[:length], data[length:]
        names[record[at_name:].partition(b"\0")[0]] = record[-1] if at_name == 18 else record[18]
    return names


def test_getdents_old_and_new() -> None:
    k = boot_process()
    area = buffer(k)
    copy_to_user(k, area, b"/proc/self\0")
    fd = call(k, "open", area, 0o200000)
    size = call(k, "getdents", fd, area, 1000)
    old = dirent_names(copy_from_user(k, area, size), 18)
    assert call(k, "lseek", fd, 0, 0) == 0
    size = call(k, "getdents64", fd, area, 1000)
    new = dirent_names(copy_from_user(k, area, size), 19)
    assert old[b"."] == 4
    assert {name: new[name] for name in old if name in new} == {name: old[name] for name in new if name in old}


def test_calls_that_only_check() -> None:
    k = boot_process()
    area = buffer(k)
    copy_to_user(k, area, struct.pack("<Ii", 0x20080522, 0) + b"/proc\0")
    assert call(k, "capget", area, area + 64) == 0
    assert struct.unpack("<6I", copy_from_user(k, area + 64, 24)) == (0xFFFFFFFF, 0xFFFFFFFF, 0, 0x1FF, 0x1FF, 0)
    copy_to_user(k, area + 4, struct.pack("<i", 4711))
    assert call(k, "capget", area, area + 64) == -ESRCH
    assert call(k, "capget", area, 0) == 0
    assert call(k, "waitid", 0, 0, 0, 4) == -10
    assert call(k, "waitid", 1, 0, 0, 4) == -EINVAL
    assert call(k, "mknod", area + 8, 0o040000) == -EPERM
    assert call(k, "mknod", area + 8, 0o170000) == -EINVAL
    assert call(k, "listxattr", area + 8, 0, 0) == 0
    assert call(k, "getxattr", area + 8, area + 8, 0, 0) == -95
    assert call(k, "clock_settime", 1, 0) == -EINVAL
    assert call(k, "clock_settime", 0, 1) == -EFAULT
    assert call(k, "unlinkat", -100, area + 8, 1) == -EINVAL
