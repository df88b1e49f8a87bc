# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls on extended attributes: argument decoding; the work is kernel/fs/xattr.py's."""

from __future__ import annotations

from mmscope.kernel.fs import file as fs_file
from mmscope.kernel.fs import xattr as fs_xattr
from mmscope.kernel.fs.namei import path_lookup
from mmscope.kernel.include.fs import AT_FDCWD, Inode
from mmscope.syscalls.args import s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def _inode(k: Kernel, pathname: int, follow: bool) -> Inode:
    inode = path_lookup(k, AT_FDCWD, pathname, follow).d_inode
    assert inode is not None
    return inode


def getxattr(k: Kernel, regs: PtRegs) -> int:
    """getxattr(pathname, name, value, size)."""
    return fs_xattr.getxattr(k, _inode(k, regs.di, True), regs.si, regs.dx, regs.r10)


def lgetxattr(k: Kernel, regs: PtRegs) -> int:
    """lgetxattr(pathname, name, value, size)."""
    return fs_xattr.getxattr(k, _inode(k, regs.di, False), regs.si, regs.dx, regs.r10)


def fgetxattr(k: Kernel, regs: PtRegs) -> int:
    """fgetxattr(fd, name, value, size)."""
    return fs_xattr.getxattr(k, fs_file.fget(k, s32(regs.di)).f_inode, regs.si, regs.dx, regs.r10)


def listxattr(k: Kernel, regs: PtRegs) -> int:
    """listxattr(pathname, list, size)."""
    return fs_xattr.listxattr(k, _inode(k, regs.di, True), regs.si, regs.dx)


def llistxattr(k: Kernel, regs: PtRegs) -> int:
    """llistxattr(pathname, list, size)."""
    return fs_xattr.listxattr(k, _inode(k, regs.di, False), regs.si, regs.dx)


def flistxattr(k: Kernel, regs: PtRegs) -> int:
    """flistxattr(fd, list, size)."""
    return fs_xattr.listxattr(k, fs_file.fget(k, s32(regs.di)).f_inode, regs.si, regs.dx)


def setxattr(k: Kernel, regs: PtRegs) -> int:
    """setxattr(pathname, name, value, size, flags)."""
    return fs_xattr.setxattr(k, _inode(k, regs.di, True), regs.si, regs.dx, regs.r10, u32(regs.r8))


def lsetxattr(k: Kernel, regs: PtRegs) -> int:
    """lsetxattr(pathname, name, value, size, flags)."""
    return fs_xattr.setxattr(k, _inode(k, regs.di, False), regs.si, regs.dx, regs.r10, u32(regs.r8))


def fsetxattr(k: Kernel, regs: PtRegs) -> int:
    """fsetxattr(fd, name, value, size, flags)."""
    return fs_xattr.setxattr(k, fs_file.fget(k, s32(regs.di)).f_inode, regs.si, regs.dx, regs.r10, u32(regs.r8))


def removexattr(k: Kernel, regs: PtRegs) -> int:
    """removexattr(pathname, name)."""
    return fs_xattr.removexattr(k, _inode(k, regs.di, True), regs.si)


def lremovexattr(k: Kernel, regs: PtRegs) -> int:
    """lremovexattr(pathname, name)."""
    return fs_xattr.removexattr(k, _inode(k, regs.di, False), regs.si)


def fremovexattr(k: Kernel, regs: PtRegs) -> int:
    """fremovexattr(fd, name)."""
    return fs_xattr.removexattr(k, fs_file.fget(k, s32(regs.di)).f_inode, regs.si)
