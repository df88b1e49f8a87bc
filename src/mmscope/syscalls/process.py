# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on the process itself: ids, exit, scheduling, limits (kernel/{sys,exit,sched,rseq}.c)."""

from __future__ import annotations

import mmscope.kernel.core.exit as core_exit
import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.arch.x86.process import arch_prctl_gets, do_arch_prctl_64
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, get_user, put_user, strncpy_from_user
from mmscope.kernel.core.capability import cap_capset, capable
from mmscope.kernel.include.capability import CAP_SETGID, CAP_SYS_ADMIN
from mmscope.kernel.include.errno import EBUSY, EFAULT, EINVAL, EPERM, KernelError
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.resource import Rlimit
from mmscope.syscalls.args import s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

_U32: Final = 0xFFFFFFFF


def _le4(value: int) -> bytes:
    return (value & _U32).to_bytes(4, "little")


# --- ids


def getpid(k: Kernel, regs: PtRegs) -> int:
    """getpid()."""
    return k.current.tgid


def gettid(k: Kernel, regs: PtRegs) -> int:
    """gettid()."""
    return k.current.pid


def getppid(k: Kernel, regs: PtRegs) -> int:
    """getppid()."""
    return core_sys.task_ppid_nr(k.current)


def getuid(k: Kernel, regs: PtRegs) -> int:
    """getuid()."""
    return k.current.cred.uid


def geteuid(k: Kernel, regs: PtRegs) -> int:
    """geteuid()."""
    return k.current.cred.euid


def getgid(k: Kernel, regs: PtRegs) -> int:
    """getgid()."""
    return k.current.cred.gid


def getegid(k: Kernel, regs: PtRegs) -> int:
    """getegid()."""
    return k.current.cred.egid


def getresuid(k: Kernel, regs: PtRegs) -> int:
    """getresuid(ruid, euid, suid)."""
    cred = k.current.cred
    for addr, value in ((regs.di, cred.uid), (regs.si, cred.euid), (regs.dx, cred.suid)):
        put_user(k, addr, value, 4)
    return 0


def getresgid(k: Kernel, regs: PtRegs) -> int:
    """getresgid(rgid, egid, sgid)."""
    cred = k.current.cred
    for addr, value in ((regs.di, cred.gid), (regs.si, cred.egid), (regs.dx, cred.sgid)):
        put_user(k, addr, value, 4)
    return 0


def setuid(k: Kernel, regs: PtRegs) -> int:
    """setuid(uid)."""
    core_sys.set_uids(k, u32(regs.di))
    return 0


def setgid(k: Kernel, regs: PtRegs) -> int:
    """setgid(gid)."""
    core_sys.set_gids(k, u32(regs.di))
    return 0


def setreuid(k: Kernel, regs: PtRegs) -> int:
    """setreuid(ruid, euid)."""
    core_sys.setreuid(k, u32(regs.di), u32(regs.si))
    return 0


def setregid(k: Kernel, regs: PtRegs) -> int:
    """setregid(rgid, egid)."""
    core_sys.setregid(k, u32(regs.di), u32(regs.si))
    return 0


def setresuid(k: Kernel, regs: PtRegs) -> int:
    """setresuid(ruid, euid, suid)."""
    core_sys.setresuid(k, u32(regs.di), u32(regs.si), u32(regs.dx))
    return 0


def setresgid(k: Kernel, regs: PtRegs) -> int:
    """setresgid(rgid, egid, sgid)."""
    core_sys.setresgid(k, u32(regs.di), u32(regs.si), u32(regs.dx))
    return 0


def setfsuid(k: Kernel, regs: PtRegs) -> int:
    """setfsuid(uid)."""
    return core_sys.setfsuid(k, u32(regs.di))


def setfsgid(k: Kernel, regs: PtRegs) -> int:
    """setfsgid(gid)."""
    return core_sys.setfsgid(k, u32(regs.di))


def getgroups(k: Kernel, regs: PtRegs) -> int:
    """getgroups(gidsetsize, grouplist); size 0 asks how many."""
    size = s32(regs.di)
    groups = k.current.cred.groups
    if size < 0:
        raise KernelError(EINVAL)
    if size:
        if len(groups) > size:
            raise KernelError(EINVAL)
        copy_to_user(k, regs.si, b"".join([_le4(g) for g in groups]))
    return len(groups)


def setgroups(k: Kernel, regs: PtRegs) -> int:
    """setgroups(gidsetsize, grouplist)."""
    size = u32(regs.di)
    if not capable(k, CAP_SETGID):
        raise KernelError(EPERM)
    if size > 65536:
        raise KernelError(EINVAL)
    raw = copy_from_user(k, regs.si, size * 4)
    k.current.cred.groups = sorted(int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4))
    return 0


def getpgid(k: Kernel, regs: PtRegs) -> int:
    """getpgid(pid)."""
    return core_sys.find_task(k, s32(regs.di)).signal.pgrp


def getpgrp(k: Kernel, regs: PtRegs) -> int:
    """getpgrp()."""
    return k.current.signal.pgrp


def getsid(k: Kernel, regs: PtRegs) -> int:
    """getsid(pid)."""
    return core_sys.find_task(k, s32(regs.di)).signal.session


def setpgid(k: Kernel, regs: PtRegs) -> int:
    """setpgid(pid, pgid)."""
    core_sys.setpgid(k, s32(regs.di), s32(regs.si))
    return 0


def setsid(k: Kernel, regs: PtRegs) -> int:
    """setsid()."""
    return core_sys.setsid(k)


# --- life and death


def exit(k: Kernel, regs: PtRegs) -> int:
    """exit(error_code)."""
    core_exit.sys_exit(k, s32(regs.di))
    return 0


def exit_group(k: Kernel, regs: PtRegs) -> int:
    """exit_group(error_code)."""
    core_exit.sys_exit_group(k, s32(regs.di))
    return 0


#: _LINUX_CAPABILITY_VERSION_1, _2, _3: how many times 32 capabilities they have.
_CAPABILITY_VERSIONS: Final = {0x19980330: 1, 0x20071026: 2, 0x20080522: 2}


def cap_validate_magic(k: Kernel, header: int) -> int:
    """Words of 32 capabilities that the header's version has; 0 for a wrong one, which is replaced by the newest."""
    words = _CAPABILITY_VERSIONS.get(get_user(k, header, 4), 0)
    if not words:
        put_user(k, header, 0x20080522, 4)
    return words


def capget(k: Kernel, regs: PtRegs) -> int:
    """capget(header, dataptr)."""
    words = cap_validate_magic(k, regs.di)
    if regs.si == 0:
        return 0
    if not words:
        raise KernelError(EINVAL)
    pid = s32(get_user(k, regs.di + 4, 4))
    if pid < 0:
        raise KernelError(EINVAL)
    cred = core_sys.find_task(k, pid).cred
    data = b""
    for i in range(words):
        for value in (cred.cap_effective, cred.cap_permitted, cred.cap_inheritable):
            data += (value >> 32 * i & 0xFFFFFFFF).to_bytes(4, "little")
    copy_to_user(k, regs.si, data)
    return 0


def capset(k: Kernel, regs: PtRegs) -> int:
    """capset(header, data): of the calling task only."""
    words = cap_validate_magic(k, regs.di)
    if not words:
        raise KernelError(EINVAL)
    pid = s32(get_user(k, regs.di + 4, 4))
    if pid not in (0, k.current.pid):
        raise KernelError(EPERM)
    raw = copy_from_user(k, regs.si, 12 * words)
    sets = [0, 0, 0]
    for i in range(words):
        for j in range(3):
            at = 12 * i + 4 * j
            sets[j] |= int.from_bytes(raw[at : at + 4], "little") << 32 * i
    effective, permitted, inheritable = sets
    cap_capset(k.current.cred, effective, inheritable, permitted)
    return 0


def set_tid_address(k: Kernel, regs: PtRegs) -> int:
    """set_tid_address(tidptr)."""
    k.current.clear_child_tid = regs.di
    return k.current.pid


RSEQ_FLAG_UNREGISTER: Final = 1
RSEQ_SIZE: Final = 32


def rseq(k: Kernel, regs: PtRegs) -> int:
    """rseq(rseq, rseq_len, flags, sig): the area's cpu_id fields are written; with one CPU they stay 0."""
    t = k.current
    addr, length, flags, sig = regs.di, u32(regs.si), s32(regs.dx), u32(regs.r10)
    if flags & RSEQ_FLAG_UNREGISTER:
        if flags & ~RSEQ_FLAG_UNREGISTER:
            raise KernelError(EINVAL)
        if t.rseq != addr or not t.rseq:
            raise KernelError(EINVAL)
        if length != RSEQ_SIZE:
            raise KernelError(EINVAL)
        if t.rseq_sig != sig:
            raise KernelError(EPERM)
        # cpu_id_start 0, cpu_id RSEQ_CPU_ID_UNINITIALIZED
        copy_to_user(k, addr, _le4(0) + _le4(-1))
        t.rseq = 0
        t.rseq_sig = 0
        return 0
    if flags:
        raise KernelError(EINVAL)
    if t.rseq:
        if t.rseq != addr or length != RSEQ_SIZE:
            raise KernelError(EINVAL)
        if t.rseq_sig != sig:
            raise KernelError(EPERM)
        raise KernelError(EBUSY)
    if addr % 32 or length != RSEQ_SIZE:
        raise KernelError(EINVAL)
    if addr + length > TASK_SIZE_MAX:
        raise KernelError(EFAULT)
    t.rseq = addr
    t.rseq_sig = sig
    t.rseq_len = length
    # Linux writes them on the way back to user mode, where a fault would be a SIGSEGV.
    copy_to_user(k, addr, _le4(0) + _le4(0))
    return 0


# --- limits, usage, names


def getrlimit(k: Kernel, regs: PtRegs) -> int:
    """getrlimit(resource, rlim)."""
    old = core_sys.do_prlimit(k, k.current, u32(regs.di), None)
    copy_to_user(k, regs.si, core_sys.rlimit_bytes(old))
    return 0


def _read_rlimit(k: Kernel, addr: int) -> Rlimit:
    raw = copy_from_user(k, addr, 16)
    return Rlimit(int.from_bytes(raw[0:8], "little"), int.from_bytes(raw[8:16], "little"))


def setrlimit(k: Kernel, regs: PtRegs) -> int:
    """setrlimit(resource, rlim)."""
    new = _read_rlimit(k, regs.si)
    core_sys.do_prlimit(k, k.current, u32(regs.di), new)
    return 0


def prlimit64(k: Kernel, regs: PtRegs) -> int:
    """prlimit64(pid, resource, new_rlim, old_rlim)."""
    new = _read_rlimit(k, regs.dx) if regs.dx else None
    task = core_sys.find_task(k, s32(regs.di))
    core_sys.check_prlimit_permission(k, task)
    old = core_sys.do_prlimit(k, task, u32(regs.si), new)
    if regs.r10:
        copy_to_user(k, regs.r10, core_sys.rlimit_bytes(old))
    return 0


def getrusage(k: Kernel, regs: PtRegs) -> int:
    """getrusage(who, ru)."""
    copy_to_user(k, regs.si, core_sys.getrusage(k, s32(regs.di)))
    return 0


def sysinfo(k: Kernel, regs: PtRegs) -> int:
    """sysinfo(info)."""
    copy_to_user(k, regs.di, core_sys.do_sysinfo(k))
    return 0


def uname(k: Kernel, regs: PtRegs) -> int:
    """uname(name)."""
    copy_to_user(k, regs.di, core_sys.new_utsname(k))
    return 0


def sethostname(k: Kernel, regs: PtRegs) -> int:
    """sethostname(name, len)."""
    if not capable(k, CAP_SYS_ADMIN):
        raise KernelError(EPERM)
    if not 0 <= s32(regs.si) <= 64:
        raise KernelError(EINVAL)
    k.nodename = copy_from_user(k, regs.di, s32(regs.si)).split(b"\0")[0].decode("latin-1")
    return 0


def personality(k: Kernel, regs: PtRegs) -> int:
    """personality(personality): the old one; 0xffffffff only asks."""
    old = k.current.personality
    if u32(regs.di) != _U32:
        k.current.personality = u32(regs.di)
    return old


def prctl(k: Kernel, regs: PtRegs) -> int:
    """prctl(option, arg2, arg3, arg4, arg5)."""
    option = s32(regs.di)
    if option == core_sys.PR_SET_NAME:
        name = strncpy_from_user(k, regs.si, 15)
        k.current.comm = name[:15].decode("utf-8", "surrogateescape")
        return 0
    if option == core_sys.PR_GET_NAME:
        copy_to_user(k, regs.si, k.current.comm.encode("utf-8", "surrogateescape").ljust(16, b"\0")[:16])
        return 0
    ret = core_sys.prctl(k, option, regs.si, regs.dx, regs.r10, regs.r8)
    size = core_sys.PR_PUT.get(option, 0)
    if size:
        put_user(k, regs.si, ret, size)
        return 0
    return ret


def arch_prctl(k: Kernel, regs: PtRegs) -> int:
    """arch_prctl(option, arg2)."""
    option = s32(regs.di)
    ret = do_arch_prctl_64(k.current, option, regs.si)
    if arch_prctl_gets(option):
        put_user(k, regs.si, ret, 8)
        return 0
    return ret


def getpriority(k: Kernel, regs: PtRegs) -> int:
    """getpriority(which, who)."""
    return core_sys.getpriority(k, s32(regs.di), s32(regs.si))


def setpriority(k: Kernel, regs: PtRegs) -> int:
    """setpriority(which, who, niceval)."""
    core_sys.setpriority(k, s32(regs.di), s32(regs.si), s32(regs.dx))
    return 0


# --- the scheduler


def getcpu(k: Kernel, regs: PtRegs) -> int:
    """getcpu(cpup, nodep, unused): CPU 0 of node 0."""
    if regs.di:
        put_user(k, regs.di, 0, 4)
    if regs.si:
        put_user(k, regs.si, 0, 4)
    return 0


#: MEMBARRIER_CMD_*: what QUERY answers; the registrations come one bit before their commands' use.
_MEMBARRIER_BITS: Final = 0x1FF


def membarrier(k: Kernel, regs: PtRegs) -> int:
    """membarrier(cmd, flags, cpu_id): one CPU, one thread: nothing to wait for."""
    cmd, flags = s32(regs.di), u32(regs.si)
    # MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ (1 << 7) takes a flag.
    if flags and not (cmd == 1 << 7 and flags == 1):
        raise KernelError(EINVAL)
    if cmd == 0:
        return _MEMBARRIER_BITS
    if cmd < 0 or cmd & (cmd - 1) or not cmd & _MEMBARRIER_BITS:
        raise KernelError(EINVAL)
    mm = k.current.mm
    assert mm is not None
    registration = {1 << 4: 1 << 4, 1 << 6: 1 << 6, 1 << 8: 1 << 8, 1 << 2: 1 << 2}
    if cmd in registration:
        mm.membarrier_state |= cmd
        return 0
    # The private commands need their registration: EXPEDITED 3 <- 4, SYNC_CORE 5 <- 6, RSEQ 7 <- 8.
    if cmd in (1 << 3, 1 << 5, 1 << 7) and not mm.membarrier_state & cmd << 1:
        raise KernelError(EPERM)
    return 0
