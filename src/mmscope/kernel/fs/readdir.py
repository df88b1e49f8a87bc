# SPDX-License-Identifier: GPL-2.0-or-later
"""getdents64(2) (fs/readdir.c). The position is the index of the next entry; the order is always the same.

Of which list: of that which the directory had at the last rewind, less what is gone. A program that removes what it is shown
(`rm -r`, or a child that closes /proc/self/fd) thus sees each of the others once.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.inode import file_accessed
from mmscope.kernel.include.errno import EINVAL, ENOENT, ENOTDIR, KernelError
from mmscope.kernel.include.fs import File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def iterate_dir(file: File) -> list[tuple[str, int, int]]:
    """All entries of an open directory: (name, inode number, DT_*). A mount's root shows its own inode in its parent."""
    if file.f_op.iterate is None:
        raise KernelError(ENOTDIR)
    if file.f_inode.i_nlink == 0:
        # IS_DEADDIR
        raise KernelError(ENOENT)
    entries = file.f_op.iterate(file)
    file_accessed(file)
    return entries


def dirent64(name: bytes, ino: int, d_off: int, d_type: int) -> bytes:
    """struct linux_dirent64, padded to 8 bytes."""
    reclen = (19 + len(name) + 1 + 7) & ~7
    head = ino.to_bytes(8, "little") + d_off.to_bytes(8, "little") + reclen.to_bytes(2, "little") + bytes([d_type])
    return (head + name).ljust(reclen, b"\0")


def linux_dirent(name: bytes, ino: int, off: int, d_type: int) -> bytes:
    """struct linux_dirent: the type is the record's last byte."""
    reclen = (18 + len(name) + 2 + 7) & ~7
    head = ino.to_bytes(8, "little") + off.to_bytes(8, "little") + reclen.to_bytes(2, "little") + name
    return head.ljust(reclen - 1, b"\0") + bytes((d_type,))


def ksys_getdents(k: Kernel, fd: int, dirent: int, count: int) -> int:
    """getdents(2), the old one."""
    return fill_dirents(k, fd, dirent, count, True)


def ksys_getdents64(k: Kernel, fd: int, dirent: int, count: int) -> int:
    """getdents64(2)."""
    return fill_dirents(k, fd, dirent, count, False)


def fill_dirents(k: Kernel, fd: int, dirent: int, count: int, old: bool) -> int:
    """As many entries as fit, EINVAL if not even one does, 0 at the end."""
    file = fget(k, fd)
    entries = iterate_dir(file)
    pos = file.f_pos
    here: set[str] | None = None
    if pos and isinstance(file.private_data, list):
        if entries != file.private_data:
            here = {entry[0] for entry in entries}
            entries = file.private_data
    else:
        file.private_data = entries
    out = bytearray()
    while pos < len(entries):
        name, ino, d_type = entries[pos]
        if here is not None and name not in here:
            pos += 1
            continue
        raw = name.encode("utf-8", "surrogateescape")
        record = linux_dirent(raw, ino, pos + 1, d_type) if old else dirent64(raw, ino, pos + 1, d_type)
        if len(out) + len(record) > count:
            if not out:
                raise KernelError(EINVAL)
            break
        out += record
        pos += 1
    copy_to_user(k, dirent, bytes(out))
    file.f_pos = pos
    return len(out)
