# SPDX-License-Identifier: GPL-2.0-or-later
"""name_to_handle_at(2) (fs/fhandle.c, fs/exportfs/expfs.c): identities of files, where they could be exported."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user, put_user
from mmscope.kernel.fs.namei import LOOKUP_EMPTY, LOOKUP_FOLLOW, user_path_at_empty
from mmscope.kernel.include.errno import EINVAL, EOPNOTSUPP, EOVERFLOW, KernelError
from mmscope.kernel.include.fs import AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, Inode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["ksys_name_to_handle_at"]

MAX_HANDLE_SZ: Final = 128
FILEID_INO32_GEN: Final = 1
FILEID_KERNFS: Final = 0xFE
FILEID_INVALID: Final = 0xFF


def i_generation(inode: Inode) -> int:
    """Tells files apart that had the same number, one after the other. The model does not use a number twice."""
    return inode.i_ino * 2654435761 & 0xFFFFFFFF


def encode_fh(inode: Inode) -> tuple[int, bytes]:
    """exportfs_encode_fh(): the handle's type and bytes. EOPNOTSUPP: proc, pipefs and others cannot be exported."""
    kind = inode.i_sb.s_type
    ino = inode.i_ino
    if kind == "ext4":
        return FILEID_INO32_GEN, (ino & 0xFFFFFFFF).to_bytes(4, "little") + i_generation(inode).to_bytes(4, "little")
    if kind in ("tmpfs", "devtmpfs"):
        return FILEID_INO32_GEN, i_generation(inode).to_bytes(4, "little") + ino.to_bytes(8, "little")
    if kind == "sysfs":
        return FILEID_KERNFS, ino.to_bytes(8, "little")
    raise KernelError(EOPNOTSUPP)


def ksys_name_to_handle_at(k: Kernel, dfd: int, name: int, handle: int, mount_id: int, flag: int) -> int:
    """name_to_handle_at(2). EOVERFLOW: the buffer is too small, its header then says how large it has to be."""
    if flag & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise KernelError(EINVAL)
    lookup_flags = LOOKUP_FOLLOW if flag & AT_SYMLINK_FOLLOW else 0
    if flag & AT_EMPTY_PATH:
        lookup_flags |= LOOKUP_EMPTY
    inode = user_path_at_empty(k, dfd, name, lookup_flags).d_inode
    assert inode is not None
    kind, data = encode_fh(inode)
    room = int.from_bytes(copy_from_user(k, handle, 8)[:4], "little")
    if room > MAX_HANDLE_SZ:
        raise KernelError(EINVAL)
    fits = len(data) <= room & -4
    put_user(k, mount_id, inode.i_sb.s_mnt_id, 4)
    head = len(data).to_bytes(4, "little") + (kind if fits else FILEID_INVALID).to_bytes(4, "little")
    copy_to_user(k, handle, head + data if fits else head)
    if not fits:
        raise KernelError(EOVERFLOW)
    return 0
