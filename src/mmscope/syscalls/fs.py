# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on files: argument decoding; the work is kernel/fs's."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs import exec as fs_exec
from mmscope.kernel.fs import fcntl as fs_fcntl
from mmscope.kernel.fs import file as fs_file
from mmscope.kernel.fs import namei_create as fs_namei
from mmscope.kernel.fs import open as fs_open
from mmscope.kernel.fs import read_write as rw
from mmscope.kernel.fs import stat as fs_stat
from mmscope.kernel.fs import sync as fs_sync
from mmscope.kernel.fs.ioctl import ksys_ioctl
from mmscope.kernel.fs.readdir import ksys_getdents, ksys_getdents64
from mmscope.kernel.include.errno import E2BIG, EINVAL, KernelError
from mmscope.kernel.include.fs import (
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    O_CREAT,
    O_TRUNC,
    O_WRONLY,
)
from mmscope.kernel.include.time import NSEC_PER_SEC
from mmscope.kernel.mm.fadvise import ksys_fadvise64
from mmscope.syscalls.args import copy_struct_from_user, s32, s64, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


# --- data


def read(k: Kernel, regs: PtRegs) -> int:
    """read(fd, buf, count)."""
    return rw.ksys_read(k, u32(regs.di), regs.si, regs.dx)


def write(k: Kernel, regs: PtRegs) -> int:
    """write(fd, buf, count)."""
    return rw.ksys_write(k, u32(regs.di), regs.si, regs.dx)


def pread64(k: Kernel, regs: PtRegs) -> int:
    """pread64(fd, buf, count, pos)."""
    return rw.ksys_pread64(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10))


def pwrite64(k: Kernel, regs: PtRegs) -> int:
    """pwrite64(fd, buf, count, pos)."""
    return rw.ksys_pwrite64(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10))


def readv(k: Kernel, regs: PtRegs) -> int:
    """readv(fd, vec, vlen)."""
    return rw.do_readv(k, u32(regs.di), regs.si, regs.dx)


def writev(k: Kernel, regs: PtRegs) -> int:
    """writev(fd, vec, vlen)."""
    return rw.do_writev(k, u32(regs.di), regs.si, regs.dx)


def preadv(k: Kernel, regs: PtRegs) -> int:
    """preadv(fd, vec, vlen, pos_l, pos_h): on 64 bit pos_l is all of it."""
    return rw.do_preadv(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10))


def pwritev(k: Kernel, regs: PtRegs) -> int:
    """pwritev(fd, vec, vlen, pos_l, pos_h)."""
    return rw.do_pwritev(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10))


def lseek(k: Kernel, regs: PtRegs) -> int:
    """lseek(fd, offset, whence)."""
    return rw.ksys_lseek(k, u32(regs.di), s64(regs.si), u32(regs.dx))


def sendfile(k: Kernel, regs: PtRegs) -> int:
    """sendfile(out_fd, in_fd, offset, count)."""
    return rw.do_sendfile(k, s32(regs.di), s32(regs.si), regs.dx, regs.r10)


def copy_file_range(k: Kernel, regs: PtRegs) -> int:
    """copy_file_range(fd_in, off_in, fd_out, off_out, len, flags)."""
    return rw.ksys_copy_file_range(k, s32(regs.di), regs.si, s32(regs.dx), regs.r10, regs.r8, u32(regs.r9))


def splice(k: Kernel, regs: PtRegs) -> int:
    """splice(fd_in, off_in, fd_out, off_out, len, flags)."""
    from mmscope.kernel.fs.splice import ksys_splice

    return ksys_splice(k, u32(regs.di), regs.si, u32(regs.dx), regs.r10, regs.r8, u32(regs.r9))


def tee(k: Kernel, regs: PtRegs) -> int:
    """tee(fdin, fdout, len, flags)."""
    from mmscope.kernel.fs.splice import ksys_tee

    return ksys_tee(k, u32(regs.di), u32(regs.si), regs.dx, u32(regs.r10))


def vmsplice(k: Kernel, regs: PtRegs) -> int:
    """vmsplice(fd, iov, nr_segs, flags)."""
    from mmscope.kernel.fs.splice import ksys_vmsplice

    return ksys_vmsplice(k, u32(regs.di), regs.si, regs.dx, u32(regs.r10))


def name_to_handle_at(k: Kernel, regs: PtRegs) -> int:
    """name_to_handle_at(dfd, name, handle, mnt_id, flag)."""
    from mmscope.kernel.fs.fhandle import ksys_name_to_handle_at

    return ksys_name_to_handle_at(k, s32(regs.di), regs.si, regs.dx, regs.r10, s32(regs.r8))


def fadvise64(k: Kernel, regs: PtRegs) -> int:
    """fadvise64(fd, offset, len, advice)."""
    return ksys_fadvise64(k, s32(regs.di), s64(regs.si), s64(regs.dx), s32(regs.r10))


def readahead(k: Kernel, regs: PtRegs) -> int:
    """readahead(fd, offset, count)."""
    return rw.ksys_readahead(k, s32(regs.di), s64(regs.si), s64(regs.dx))


def ioctl(k: Kernel, regs: PtRegs) -> int:
    """ioctl(fd, cmd, arg)."""
    return ksys_ioctl(k, u32(regs.di), u32(regs.si), regs.dx)


def getdents64(k: Kernel, regs: PtRegs) -> int:
    """getdents64(fd, dirent, count)."""
    return ksys_getdents64(k, u32(regs.di), regs.si, u32(regs.dx))


def fsync(k: Kernel, regs: PtRegs) -> int:
    """fsync(fd)."""
    return fs_sync.do_fsync(k, u32(regs.di), False)


def fdatasync(k: Kernel, regs: PtRegs) -> int:
    """fdatasync(fd)."""
    return fs_sync.do_fsync(k, u32(regs.di), True)


def sync(k: Kernel, regs: PtRegs) -> int:
    """sync()."""
    return fs_sync.ksys_sync(k)


def syncfs(k: Kernel, regs: PtRegs) -> int:
    """syncfs(fd)."""
    return fs_sync.ksys_syncfs(k, s32(regs.di))


def sync_file_range(k: Kernel, regs: PtRegs) -> int:
    """sync_file_range(fd, offset, nbytes, flags)."""
    return fs_sync.ksys_sync_file_range(k, s32(regs.di), s64(regs.si), s64(regs.dx), u32(regs.r10))


# --- descriptors


def open(k: Kernel, regs: PtRegs) -> int:
    """open(filename, flags, mode)."""
    return fs_open.do_sys_open(k, AT_FDCWD, regs.di, s32(regs.si), regs.dx & 0xFFFF)


def openat(k: Kernel, regs: PtRegs) -> int:
    """openat(dfd, filename, flags, mode)."""
    return fs_open.do_sys_open(k, s32(regs.di), regs.si, s32(regs.dx), regs.r10 & 0xFFFF)


OPEN_HOW_SIZE_VER0: Final = 24


def openat2(k: Kernel, regs: PtRegs) -> int:
    """openat2(dfd, filename, how, usize)."""
    usize = regs.r10
    if usize < OPEN_HOW_SIZE_VER0:
        raise KernelError(EINVAL)
    if usize > 4096:
        raise KernelError(E2BIG)
    raw = copy_struct_from_user(k, regs.dx, usize, OPEN_HOW_SIZE_VER0)
    flags, mode, resolve = (int.from_bytes(raw[i : i + 8], "little") for i in (0, 8, 16))
    return fs_open.do_sys_openat2(k, s32(regs.di), regs.si, flags, mode, resolve)


def creat(k: Kernel, regs: PtRegs) -> int:
    """creat(pathname, mode)."""
    return fs_open.do_sys_open(k, AT_FDCWD, regs.di, O_CREAT | O_WRONLY | O_TRUNC, regs.si & 0xFFFF)


def close(k: Kernel, regs: PtRegs) -> int:
    """close(fd)."""
    return fs_file.close_fd(k, u32(regs.di))


def close_range(k: Kernel, regs: PtRegs) -> int:
    """close_range(fd, max_fd, flags)."""
    return fs_file.close_range(k, u32(regs.di), u32(regs.si), u32(regs.dx))


def dup(k: Kernel, regs: PtRegs) -> int:
    """dup(fildes)."""
    return fs_file.ksys_dup(k, u32(regs.di))


def dup2(k: Kernel, regs: PtRegs) -> int:
    """dup2(oldfd, newfd)."""
    return fs_file.ksys_dup2(k, u32(regs.di), u32(regs.si))


def dup3(k: Kernel, regs: PtRegs) -> int:
    """dup3(oldfd, newfd, flags)."""
    return fs_file.ksys_dup3(k, u32(regs.di), u32(regs.si), s32(regs.dx))


def fcntl(k: Kernel, regs: PtRegs) -> int:
    """fcntl(fd, cmd, arg)."""
    return fs_fcntl.do_fcntl(k, u32(regs.di), u32(regs.si), regs.dx)


def flock(k: Kernel, regs: PtRegs) -> int:
    """flock(fd, cmd)."""
    import mmscope.kernel.fs.locks as locks

    return locks.ksys_flock(k, u32(regs.di), u32(regs.si))


# --- names


def stat(k: Kernel, regs: PtRegs) -> int:
    """stat(filename, statbuf)."""
    return fs_stat.sys_stat(k, regs.di, regs.si)


def lstat(k: Kernel, regs: PtRegs) -> int:
    """lstat(filename, statbuf)."""
    return fs_stat.sys_lstat(k, regs.di, regs.si)


def fstat(k: Kernel, regs: PtRegs) -> int:
    """fstat(fd, statbuf)."""
    return fs_stat.sys_fstat(k, u32(regs.di), regs.si)


def newfstatat(k: Kernel, regs: PtRegs) -> int:
    """newfstatat(dfd, filename, statbuf, flag)."""
    return fs_stat.sys_newfstatat(k, s32(regs.di), regs.si, regs.dx, s32(regs.r10))


def statx(k: Kernel, regs: PtRegs) -> int:
    """statx(dfd, filename, flags, mask, buffer)."""
    return fs_stat.sys_statx(k, s32(regs.di), regs.si, u32(regs.dx), u32(regs.r10), regs.r8)


def statfs(k: Kernel, regs: PtRegs) -> int:
    """statfs(pathname, buf)."""
    return fs_stat.sys_statfs(k, regs.di, regs.si)


def fstatfs(k: Kernel, regs: PtRegs) -> int:
    """fstatfs(fd, buf)."""
    return fs_stat.sys_fstatfs(k, u32(regs.di), regs.si)


def access(k: Kernel, regs: PtRegs) -> int:
    """access(filename, mode)."""
    return fs_open.do_faccessat(k, AT_FDCWD, regs.di, s32(regs.si), 0)


def faccessat(k: Kernel, regs: PtRegs) -> int:
    """faccessat(dfd, filename, mode)."""
    return fs_open.do_faccessat(k, s32(regs.di), regs.si, s32(regs.dx), 0)


def faccessat2(k: Kernel, regs: PtRegs) -> int:
    """faccessat2(dfd, filename, mode, flags)."""
    return fs_open.do_faccessat(k, s32(regs.di), regs.si, s32(regs.dx), s32(regs.r10))


def readlink(k: Kernel, regs: PtRegs) -> int:
    """readlink(path, buf, bufsiz)."""
    return fs_stat.do_readlinkat(k, AT_FDCWD, regs.di, regs.si, s32(regs.dx))


def readlinkat(k: Kernel, regs: PtRegs) -> int:
    """readlinkat(dfd, path, buf, bufsiz)."""
    return fs_stat.do_readlinkat(k, s32(regs.di), regs.si, regs.dx, s32(regs.r10))


def getcwd(k: Kernel, regs: PtRegs) -> int:
    """getcwd(buf, size): the length with its NUL."""
    path = fs_open.ksys_getcwd(k, regs.si)
    copy_to_user(k, regs.di, path)
    return len(path)


def chdir(k: Kernel, regs: PtRegs) -> int:
    """chdir(filename)."""
    return fs_open.ksys_chdir(k, regs.di)


def fchdir(k: Kernel, regs: PtRegs) -> int:
    """fchdir(fd)."""
    return fs_open.ksys_fchdir(k, u32(regs.di))


def chroot(k: Kernel, regs: PtRegs) -> int:
    """chroot(filename)."""
    return fs_open.ksys_chroot(k, regs.di)


def umask(k: Kernel, regs: PtRegs) -> int:
    """umask(mask)."""
    return fs_open.ksys_umask(k, s32(regs.di))


def truncate(k: Kernel, regs: PtRegs) -> int:
    """truncate(path, length)."""
    return fs_open.do_sys_truncate(k, regs.di, s64(regs.si))


def ftruncate(k: Kernel, regs: PtRegs) -> int:
    """ftruncate(fd, length)."""
    return fs_open.do_sys_ftruncate(k, u32(regs.di), s64(regs.si))


def fallocate(k: Kernel, regs: PtRegs) -> int:
    """fallocate(fd, mode, offset, len)."""
    return fs_open.ksys_fallocate(k, s32(regs.di), s32(regs.si), s64(regs.dx), s64(regs.r10))


# --- attributes


def chmod(k: Kernel, regs: PtRegs) -> int:
    """chmod(filename, mode)."""
    return fs_open.do_fchmodat(k, AT_FDCWD, regs.di, regs.si & 0xFFFF)


def fchmod(k: Kernel, regs: PtRegs) -> int:
    """fchmod(fd, mode)."""
    return fs_open.ksys_fchmod(k, u32(regs.di), regs.si & 0xFFFF)


def fchmodat(k: Kernel, regs: PtRegs) -> int:
    """fchmodat(dfd, filename, mode)."""
    return fs_open.do_fchmodat(k, s32(regs.di), regs.si, regs.dx & 0xFFFF)


def chown(k: Kernel, regs: PtRegs) -> int:
    """chown(filename, user, group)."""
    return fs_open.do_fchownat(k, AT_FDCWD, regs.di, u32(regs.si), u32(regs.dx), 0)


def lchown(k: Kernel, regs: PtRegs) -> int:
    """lchown(filename, user, group)."""
    return fs_open.do_fchownat(k, AT_FDCWD, regs.di, u32(regs.si), u32(regs.dx), AT_SYMLINK_NOFOLLOW)


def fchown(k: Kernel, regs: PtRegs) -> int:
    """fchown(fd, user, group)."""
    return fs_open.ksys_fchown(k, u32(regs.di), u32(regs.si), u32(regs.dx))


def fchownat(k: Kernel, regs: PtRegs) -> int:
    """fchownat(dfd, filename, user, group, flag)."""
    return fs_open.do_fchownat(k, s32(regs.di), regs.si, u32(regs.dx), u32(regs.r10), s32(regs.r8))


#: tv_nsec of utimensat: the current time, no change.
_UTIME_NOW: Final = (1 << 30) - 1
_UTIME_OMIT: Final = (1 << 30) - 2


def utimensat(k: Kernel, regs: PtRegs) -> int:
    """utimensat(dfd, filename, utimes, flags)."""
    times: tuple[int, int] | None = None
    if regs.dx:
        raw = copy_from_user(k, regs.dx, 32)
        found = []
        for at in (0, 16):
            sec = int.from_bytes(raw[at : at + 8], "little", signed=True)
            nsec = int.from_bytes(raw[at + 8 : at + 16], "little", signed=True)
            if nsec == _UTIME_NOW:
                found.append(fs_open.UTIME_NOW)
            elif nsec == _UTIME_OMIT:
                found.append(fs_open.UTIME_OMIT)
            elif 0 <= nsec < NSEC_PER_SEC:
                found.append(sec * NSEC_PER_SEC + nsec)
            else:
                raise KernelError(EINVAL)
        times = (found[0], found[1])
        if times == (fs_open.UTIME_OMIT, fs_open.UTIME_OMIT):
            return 0
    return fs_open.do_utimes(k, s32(regs.di), regs.si, times, s32(regs.r10))


def _timevals(k: Kernel, addr: int) -> tuple[int, int] | None:
    """Two struct timeval of user memory, as ns."""
    if addr == 0:
        return None
    raw = copy_from_user(k, addr, 32)
    found = []
    for at in (0, 16):
        sec, usec = (int.from_bytes(raw[at + i : at + i + 8], "little", signed=True) for i in (0, 8))
        if not 0 <= usec < 1_000_000:
            raise KernelError(EINVAL)
        found.append(sec * NSEC_PER_SEC + usec * 1000)
    return found[0], found[1]


def futimesat(k: Kernel, regs: PtRegs) -> int:
    """futimesat(dfd, filename, utimes)."""
    return fs_open.do_utimes(k, s32(regs.di), regs.si, _timevals(k, regs.dx), 0)


def utimes(k: Kernel, regs: PtRegs) -> int:
    """utimes(filename, utimes)."""
    return fs_open.do_utimes(k, AT_FDCWD, regs.di, _timevals(k, regs.si), 0)


def utime(k: Kernel, regs: PtRegs) -> int:
    """utime(filename, times): whole seconds."""
    times: tuple[int, int] | None = None
    if regs.si:
        raw = copy_from_user(k, regs.si, 16)
        first, second = (int.from_bytes(raw[i : i + 8], "little", signed=True) * NSEC_PER_SEC for i in (0, 8))
        times = (first, second)
    return fs_open.do_utimes(k, AT_FDCWD, regs.di, times, 0)


# --- names that come and go


def mkdir(k: Kernel, regs: PtRegs) -> int:
    """mkdir(pathname, mode)."""
    return fs_namei.do_mkdirat(k, AT_FDCWD, regs.di, regs.si & 0xFFFF)


def mkdirat(k: Kernel, regs: PtRegs) -> int:
    """mkdirat(dfd, pathname, mode)."""
    return fs_namei.do_mkdirat(k, s32(regs.di), regs.si, regs.dx & 0xFFFF)


def mknod(k: Kernel, regs: PtRegs) -> int:
    """mknod(filename, mode, dev)."""
    return fs_namei.do_mknodat(k, AT_FDCWD, regs.di, regs.si & 0xFFFF, u32(regs.dx))


def mknodat(k: Kernel, regs: PtRegs) -> int:
    """mknodat(dfd, filename, mode, dev)."""
    return fs_namei.do_mknodat(k, s32(regs.di), regs.si, regs.dx & 0xFFFF, u32(regs.r10))


def link(k: Kernel, regs: PtRegs) -> int:
    """link(oldname, newname)."""
    return fs_namei.do_linkat(k, AT_FDCWD, regs.di, AT_FDCWD, regs.si, 0)


def linkat(k: Kernel, regs: PtRegs) -> int:
    """linkat(olddfd, oldname, newdfd, newname, flags)."""
    return fs_namei.do_linkat(k, s32(regs.di), regs.si, s32(regs.dx), regs.r10, s32(regs.r8))


def symlink(k: Kernel, regs: PtRegs) -> int:
    """symlink(oldname, newname)."""
    return fs_namei.do_symlinkat(k, regs.di, AT_FDCWD, regs.si)


def symlinkat(k: Kernel, regs: PtRegs) -> int:
    """symlinkat(oldname, newdfd, newname)."""
    return fs_namei.do_symlinkat(k, regs.di, s32(regs.si), regs.dx)


def unlink(k: Kernel, regs: PtRegs) -> int:
    """unlink(pathname)."""
    return fs_namei.do_unlinkat(k, AT_FDCWD, regs.di)


def rmdir(k: Kernel, regs: PtRegs) -> int:
    """rmdir(pathname)."""
    return fs_namei.do_rmdir(k, AT_FDCWD, regs.di)


def unlinkat(k: Kernel, regs: PtRegs) -> int:
    """unlinkat(dfd, pathname, flag)."""
    flag = s32(regs.dx)
    if flag & ~AT_REMOVEDIR:
        raise KernelError(EINVAL)
    if flag & AT_REMOVEDIR:
        return fs_namei.do_rmdir(k, s32(regs.di), regs.si)
    return fs_namei.do_unlinkat(k, s32(regs.di), regs.si)


def rename(k: Kernel, regs: PtRegs) -> int:
    """rename(oldname, newname)."""
    return fs_namei.do_renameat2(k, AT_FDCWD, regs.di, AT_FDCWD, regs.si, 0)


def renameat(k: Kernel, regs: PtRegs) -> int:
    """renameat(olddfd, oldname, newdfd, newname)."""
    return fs_namei.do_renameat2(k, s32(regs.di), regs.si, s32(regs.dx), regs.r10, 0)


def renameat2(k: Kernel, regs: PtRegs) -> int:
    """renameat2(olddfd, oldname, newdfd, newname, flags)."""
    return fs_namei.do_renameat2(k, s32(regs.di), regs.si, s32(regs.dx), regs.r10, u32(regs.r8))


def getdents(k: Kernel, regs: PtRegs) -> int:
    """getdents(fd, dirent, count)."""
    return ksys_getdents(k, u32(regs.di), regs.si, u32(regs.dx))


def preadv2(k: Kernel, regs: PtRegs) -> int:
    """preadv2(fd, vec, vlen, pos_l, pos_h, flags): position -1 is the file's own."""
    return rw.do_preadv2(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10), s32(regs.r9))


def pwritev2(k: Kernel, regs: PtRegs) -> int:
    """pwritev2(fd, vec, vlen, pos_l, pos_h, flags)."""
    return rw.do_pwritev2(k, u32(regs.di), regs.si, regs.dx, s64(regs.r10), s32(regs.r9))


# --- exec


def execve(k: Kernel, regs: PtRegs) -> int:
    """execve(filename, argv, envp): on success the registers are the new program's."""
    fs_exec.sys_execve(k, regs.di, regs.si, regs.dx)
    return adopt_registers(k, regs)


def execveat(k: Kernel, regs: PtRegs) -> int:
    """execveat(fd, filename, argv, envp, flags)."""
    fs_exec.sys_execveat(k, s32(regs.di), regs.si, regs.dx, regs.r10, s32(regs.r8))
    return adopt_registers(k, regs)


def adopt_registers(k: Kernel, regs: PtRegs) -> int:
    """The new program's registers stand in task->regs: make them those that the CPU returns to."""
    new = k.current.regs
    if new is not regs:
        for name in REGISTER_NAMES:
            setattr(regs, name, getattr(new, name))
    return 0


REGISTER_NAMES: Final = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "ip", "cs", "flags",
    "sp", "ss",
)  # fmt: skip
