# SPDX-License-Identifier: GPL-2.0-or-later
"""Extended attributes (fs/xattr.c): names, permissions, and those that file systems keep in memory.

A host's file has the attributes that it had when the guest first asked; what the guest changes is the model's own.
"""

from __future__ import annotations

import os

import mmscope.kernel.arch.x86.uaccess as x86_uaccess
import mmscope.kernel.fs.attr as fs_attr
import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.hostfs import HostInode
from mmscope.kernel.include.capability import CAP_SETFCAP, CAP_SYS_ADMIN
from mmscope.kernel.include.errno import (
    E2BIG,
    EACCES,
    EEXIST,
    EINVAL,
    EIO,
    ENODATA,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    EROFS,
    KernelError,
)
from mmscope.kernel.include.fs import (
    ATTR_MODE,
    MAY_READ,
    MAY_WRITE,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISVTX,
    SB_RDONLY,
    Iattr,
    Inode,
    XattrHandler,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

XATTR_NAME_MAX: Final = 255
XATTR_SIZE_MAX: Final = 65536
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2

XATTR_CAPS: Final = b"security.capability"
#: Sizes of struct vfs_cap_data, and the revisions that they belong to.
_CAP_REVISIONS: Final = {20: 0x02000000, 24: 0x03000000}


# --- permissions and names


def xattr_permission(k: Kernel, inode: Inode, name: bytes, mask: int) -> None:
    """May the attribute be read or written? What may not be read is said not to be there."""
    # Imported here: namei.py's imports lead to mm/shmem.py, which needs this module.
    import mmscope.kernel.fs.namei as fs_namei

    if name.startswith((b"security.", b"system.")):
        return
    refused = EPERM if mask & MAY_WRITE else ENODATA
    if name.startswith(b"trusted."):
        if not capable(k, CAP_SYS_ADMIN):
            raise KernelError(refused)
        return
    if name.startswith(b"user."):
        kind = inode.i_mode & S_IFMT
        if kind not in (S_IFREG, S_IFDIR):
            raise KernelError(refused)
        if kind == S_IFDIR and inode.i_mode & S_ISVTX and mask & MAY_WRITE and not fs_inode.inode_owner_or_capable(k, inode):
            raise KernelError(EPERM)
    fs_namei.inode_permission(k, inode, mask)


def cap_inode_setxattr(k: Kernel, name: bytes, value: bytes | None) -> None:
    """The capabilities' own attribute needs CAP_SETFCAP, what other security modules keep CAP_SYS_ADMIN. Raises EPERM, EINVAL."""
    if name == XATTR_CAPS:
        if value is not None and _CAP_REVISIONS.get(len(value)) != int.from_bytes(value[:4], "little") & 0xFF000000:
            raise KernelError(EINVAL)
        if not capable(k, CAP_SETFCAP):
            raise KernelError(EPERM)
    elif name.startswith(b"security.") and not capable(k, CAP_SYS_ADMIN):
        raise KernelError(EPERM)


def xattr_resolve_name(inode: Inode, name: bytes) -> XattrHandler:
    """Who deals with names of this kind; EOPNOTSUPP: nobody; EINVAL: nothing follows the prefix."""
    for handler in inode.i_sb.s_xattr:
        if handler.name:
            if handler.name == name:
                return handler
        elif name.startswith(handler.prefix):
            if name == handler.prefix:
                raise KernelError(EINVAL)
            return handler
    raise KernelError(EOPNOTSUPP)


def host_xattrs(inode: Inode) -> dict[bytes, bytes]:
    """What the host's file has; {} for a file that the guest made."""
    data = inode.i_host
    if not isinstance(data, HostInode) or (data.parent is None and inode is not data.fs.root_inode):
        return {}
    try:
        fd = os.dup(data.fs.root_fd) if data.parent is None else data.fs.open_path(inode)
        try:
            path = f"/proc/self/fd/{fd}"
            return {os.fsencode(name): os.getxattr(path, name) for name in os.listxattr(path)}
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno == EOPNOTSUPP:
            return {}
        raise KernelError(error.errno or EIO) from None


# --- attributes that are kept in memory: tmpfs, devtmpfs, sysfs


def simple_xattrs(inode: Inode) -> dict[bytes, bytes]:
    """The inode's struct simple_xattrs: name -> value, the oldest first."""
    if inode.i_xattrs is None:
        inode.i_xattrs = host_xattrs(inode)
    return inode.i_xattrs


def simple_xattr_get(inode: Inode, name: bytes) -> bytes:
    """The value. Raises ENODATA."""
    value = simple_xattrs(inode).get(name)
    if value is None:
        raise KernelError(ENODATA)
    return value


def xattr_check_flags(found: bool, flags: int) -> None:
    """EEXIST, ENODATA: it is not there, or is, as XATTR_CREATE and XATTR_REPLACE demand."""
    if found and flags & XATTR_CREATE:
        raise KernelError(EEXIST)
    if not found and flags & XATTR_REPLACE:
        raise KernelError(ENODATA)


def simple_xattr_set(inode: Inode, name: bytes, value: bytes | None, flags: int) -> None:
    """Set, or with None remove. Raises EEXIST, ENODATA."""
    attributes = simple_xattrs(inode)
    xattr_check_flags(name in attributes, flags)
    if value is None:
        attributes.pop(name, None)
    else:
        attributes[name] = value
    if inode.i_sb.s_type == "tmpfs" and inode.i_sb.kernel.config.at_least(6, 1):
        # Since v6.1 at the latest (commit unknown).
        inode.i_ctime = fs_inode.current_time(inode.i_sb.kernel)


def simple_xattr_list(inode: Inode) -> list[bytes]:
    """The names: the newest first; since v6.2 (commit unknown), in a tree, the last of the alphabet first."""
    names = list(simple_xattrs(inode))
    if inode.i_sb.kernel.config.at_least(6, 2):
        names.sort()
    names.reverse()
    return names


# --- access control lists, as far as they say what the mode says


def posix_acl_set(inode: Inode, name: bytes, value: bytes | None, flags: int) -> None:
    """A list of owner, group and others becomes the mode. Longer ones are EOPNOTSUPP, as on a file system without them."""
    k = inode.i_sb.kernel
    kind = inode.i_mode & S_IFMT
    if kind == S_IFLNK:
        raise KernelError(EOPNOTSUPP)
    entries: list[tuple[int, int]] = []
    if value:
        if len(value) < 4 or (len(value) - 4) % 8:
            raise KernelError(EINVAL)
        if int.from_bytes(value[:4], "little") != 2:
            raise KernelError(EOPNOTSUPP)
        for at in range(4, len(value), 8):
            entries.append((int.from_bytes(value[at : at + 2], "little"), int.from_bytes(value[at + 2 : at + 4], "little")))
    default = name == b"system.posix_acl_default"
    if default and kind != S_IFDIR:
        if entries:
            raise KernelError(EACCES)
        return
    if not fs_inode.inode_owner_or_capable(k, inode):
        raise KernelError(EPERM)
    if not entries:
        return
    if default or [tag for tag, _ in entries] != [1, 4, 32]:
        k.warn_once("access control lists of more than owner, group and others are not there")
        raise KernelError(EOPNOTSUPP)
    if any(perm & ~7 for _, perm in entries):
        raise KernelError(EINVAL)
    attr = Iattr(ATTR_MODE)
    attr.ia_mode = inode.i_mode & 0o7000 | entries[0][1] << 6 | entries[1][1] << 3 | entries[2][1]
    fs_attr.notify_change(inode, attr)


def make_handlers(names: tuple[bytes, ...]) -> tuple[XattrHandler, ...]:
    """Handlers of attributes that are kept in memory."""
    return tuple([XattrHandler(prefix, b"", simple_xattr_get, simple_xattr_set) for prefix in names])


_acl_handlers: Final = (
    XattrHandler(b"", b"system.posix_acl_access", simple_xattr_get, posix_acl_set),
    XattrHandler(b"", b"system.posix_acl_default", simple_xattr_get, posix_acl_set),
)
#: tmpfs and devtmpfs; user.* since v6.6 (commit unknown).
shmem_xattr_handlers: Final = (*_acl_handlers, *make_handlers((b"security.", b"trusted.")))
shmem_xattr_handlers_user: Final = (*shmem_xattr_handlers, *make_handlers((b"user.",)))
#: sysfs
kernfs_xattr_handlers: Final = make_handlers((b"trusted.", b"security."))


# --- what file systems offer


def vfs_getxattr(k: Kernel, inode: Inode, name: bytes) -> bytes:
    """The attribute's value. ENODATA: there is none; EOPNOTSUPP: nobody knows names of this kind."""
    xattr_permission(k, inode, name, MAY_READ)
    return xattr_resolve_name(inode, name).get(inode, name)


def vfs_setxattr(k: Kernel, inode: Inode, name: bytes, value: bytes | None, flags: int) -> None:
    """Set, or with None remove, an attribute. Raises EPERM, EACCES, EOPNOTSUPP, EEXIST, ENODATA, ENOSPC."""
    xattr_permission(k, inode, name, MAY_WRITE)
    cap_inode_setxattr(k, name, value)
    xattr_resolve_name(inode, name).set(inode, name, value, flags)


def vfs_listxattr(k: Kernel, inode: Inode) -> bytes:
    """The names that the current task may know of, each with its NUL."""
    if not inode.i_sb.s_xattr:
        return b""
    list_names = inode.i_sb.s_op.listxattr
    names = simple_xattr_list(inode) if list_names is None else list_names(inode)
    if not capable(k, CAP_SYS_ADMIN):
        names = [name for name in names if not name.startswith(b"trusted.")]
    return b"".join([name + b"\0" for name in names])


# --- system calls


def strncpy_xattr_name(k: Kernel, name: int) -> bytes:
    """The name, from user memory. Raises ERANGE."""
    kname = x86_uaccess.strncpy_from_user(k, name, XATTR_NAME_MAX + 1)
    if not 0 < len(kname) <= XATTR_NAME_MAX:
        raise KernelError(ERANGE)
    return kname


def put_xattr(k: Kernel, value: bytes, addr: int, size: int) -> int:
    """To the user: the length alone if `size` is 0, ERANGE if it is too small."""
    if size:
        if len(value) > size:
            raise KernelError(ERANGE)
        x86_uaccess.copy_to_user(k, addr, value)
    return len(value)


def getxattr(k: Kernel, inode: Inode, name: int, value: int, size: int) -> int:
    """getxattr(2) and its relatives, the file found."""
    return put_xattr(k, vfs_getxattr(k, inode, strncpy_xattr_name(k, name)), value, size)


def listxattr(k: Kernel, inode: Inode, list: int, size: int) -> int:
    """listxattr(2) and its relatives."""
    return put_xattr(k, vfs_listxattr(k, inode), list, size)


def setxattr(k: Kernel, inode: Inode, name: int, value: int, size: int, flags: int) -> int:
    """setxattr(2) and its relatives."""
    want_write(inode)
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise KernelError(EINVAL)
    kname = strncpy_xattr_name(k, name)
    if size > XATTR_SIZE_MAX:
        raise KernelError(E2BIG)
    vfs_setxattr(k, inode, kname, x86_uaccess.copy_from_user(k, value, size) if size else b"", flags)
    return 0


def removexattr(k: Kernel, inode: Inode, name: int) -> int:
    """removexattr(2) and its relatives."""
    want_write(inode)
    kname = strncpy_xattr_name(k, name)
    vfs_setxattr(k, inode, kname, None, 0 if kname.startswith(b"system.posix_acl_") else XATTR_REPLACE)
    return 0


def want_write(inode: Inode) -> None:
    """mnt_want_write(): EROFS on a read-only file system."""
    if inode.i_sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
