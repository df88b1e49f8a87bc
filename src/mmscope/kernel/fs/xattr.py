# SPDX-License-Identifier: GPL-2.0-or-later
"""Extended attributes (fs/xattr.c): those that the host's files have. procfs and devtmpfs have none."""

from __future__ import annotations

import os

from mmscope.kernel.arch.x86.uaccess import copy_to_user, strncpy_from_user
from mmscope.kernel.fs.hostfs import HostInode
from mmscope.kernel.fs.namei import capable_dac, inode_permission
from mmscope.kernel.include.errno import EIO, ENODATA, EOPNOTSUPP, ERANGE, KernelError
from mmscope.kernel.include.fs import MAY_READ, S_IFDIR, S_IFMT, S_IFREG, Inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

XATTR_NAME_MAX: Final = 255


def xattr_permission(k: Kernel, inode: Inode, name: bytes) -> None:
    """May the attribute be read? What may not is said not to be there."""
    if name.startswith((b"security.", b"system.")):
        return
    if name.startswith(b"trusted."):
        if not capable_dac(k.current.cred):
            raise KernelError(ENODATA)
        return
    if name.startswith(b"user.") and inode.i_mode & S_IFMT not in (S_IFREG, S_IFDIR):
        raise KernelError(ENODATA)
    inode_permission(k, inode, MAY_READ)


def vfs_getxattr(k: Kernel, inode: Inode, name: bytes) -> bytes:
    """The attribute's value. ENODATA: there is none; EOPNOTSUPP: nobody knows names of this kind."""
    xattr_permission(k, inode, name)
    data = inode.i_host
    if not isinstance(data, HostInode) or (data.parent is None and inode is not data.fs.root_inode):
        raise KernelError(EOPNOTSUPP)
    try:
        fd = os.dup(data.fs.root_fd) if data.parent is None else data.fs.open_path(inode)
        try:
            return os.getxattr(f"/proc/self/fd/{fd}", name)
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(error.errno or EIO) from None


def vfs_listxattr(inode: Inode) -> bytes:
    """The names, each with its NUL."""
    data = inode.i_host
    if not isinstance(data, HostInode) or (data.parent is None and inode is not data.fs.root_inode):
        return b""
    try:
        fd = os.dup(data.fs.root_fd) if data.parent is None else data.fs.open_path(inode)
        try:
            names = os.listxattr(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(error.errno or EIO) from None
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def put_xattr(k: Kernel, value: bytes, addr: int, size: int) -> int:
    """To the user: the length alone if `size` is 0, ERANGE if it is too small."""
    if size:
        if len(value) > size:
            raise KernelError(ERANGE)
        copy_to_user(k, addr, value)
    return len(value)


def getxattr(k: Kernel, inode: Inode, name: int, value: int, size: int) -> int:
    """getxattr(2) and its relatives, the file found."""
    kname = strncpy_from_user(k, name, XATTR_NAME_MAX + 1)
    if not 0 < len(kname) <= XATTR_NAME_MAX:
        raise KernelError(ERANGE)
    return put_xattr(k, vfs_getxattr(k, inode, kname), value, size)


def listxattr(k: Kernel, inode: Inode, list: int, size: int) -> int:
    """listxattr(2) and its relatives."""
    return put_xattr(k, vfs_listxattr(inode), list, size)
