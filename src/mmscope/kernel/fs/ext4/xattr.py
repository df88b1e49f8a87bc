# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's extended attributes (fs/ext4/xattr.c): in the inode as far as they fit, then in one block of their own.

An entry takes 16 bytes and its name without the prefix, its value as many as it has, both in units of 4. The inode of 256
bytes has room for 88, the block for 4060: ENOSPC.
"""

from __future__ import annotations

import mmscope.kernel.fs.fs_writeback as fs_writeback
import mmscope.kernel.fs.inode as fs_inode
import mmscope.kernel.fs.xattr as fs_xattr
from mmscope.kernel.fs.ext4.inode import EXT4_SB, Ext4InodeInfo, Ext4XattrBlocks, ext4_mark_inode_dirty, ext4_update_i_blocks
from mmscope.kernel.include.errno import ENODATA, ENOSPC, EROFS, KernelError
from mmscope.kernel.include.fs import SB_RDONLY, Inode, XattrHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

IBODY_SPACE: Final = 88
BLOCK_SPACE: Final = 4060
#: EXT4_XATTR_INDEX_*: what stands for the prefix in an entry.
_PREFIXES: Final = (
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
)


def ext4_xattr_key(name: bytes) -> tuple[int, int, bytes]:
    """(index of the prefix, length of the rest, rest): how entries of a block are sorted."""
    for prefix, index in _PREFIXES:
        if name.startswith(prefix):
            return index, len(name) - len(prefix), name[len(prefix) :]
    return 7, len(name), name


def ext4_xattr_len(name: bytes, value: bytes) -> int:
    """Bytes that an entry takes, with its value."""
    return ((ext4_xattr_key(name)[1] + 3 + 16) & ~3) + ((len(value) + 3) & ~3)


def _size(entries: dict[bytes, bytes]) -> int:
    total = 0
    for name, value in entries.items():
        total += ext4_xattr_len(name, value)
    return total


def ext4_xattrs(inode: Inode) -> Ext4XattrBlocks:
    """The inode's attributes. The host's file's are put in one by one, as if somebody had set them."""
    sbi = EXT4_SB(inode.i_sb)
    blocks = sbi.xattrs.get(inode)
    if blocks is None:
        blocks = Ext4XattrBlocks()
        sbi.xattrs[inode] = blocks
        for name, value in fs_xattr.host_xattrs(inode).items():
            # What the host has is part of the host's st_blocks.
            _store(blocks, name, value, False)
    return blocks


def _store(blocks: Ext4XattrBlocks, name: bytes, value: bytes, limit: bool) -> None:
    """ext4_xattr_set_handle(): into the inode, else into the block. Raises ENOSPC, nothing changed."""
    length = ext4_xattr_len(name, value)
    old = blocks.ibody.get(name)
    if _size(blocks.ibody) - (0 if old is None else ext4_xattr_len(name, old)) + length <= IBODY_SPACE:
        blocks.ibody[name] = value
        blocks.block.pop(name, None)
        return
    old = blocks.block.get(name)
    if limit and _size(blocks.block) - (0 if old is None else ext4_xattr_len(name, old)) + length > BLOCK_SPACE:
        raise KernelError(ENOSPC)
    blocks.block[name] = value
    blocks.ibody.pop(name, None)


def ext4_xattr_get(inode: Inode, name: bytes) -> bytes:
    """The value. Raises ENODATA."""
    blocks = ext4_xattrs(inode)
    value = blocks.ibody.get(name)
    if value is None:
        value = blocks.block.get(name)
    if value is None:
        raise KernelError(ENODATA)
    return value


def ext4_xattr_set(inode: Inode, name: bytes, value: bytes | None, flags: int) -> None:
    """Set, or with None remove. Raises EEXIST, ENODATA, ENOSPC, EROFS."""
    sb = inode.i_sb
    if sb.s_flags & SB_RDONLY:
        raise KernelError(EROFS)
    blocks = ext4_xattrs(inode)
    old = blocks.ibody.get(name)
    if old is None:
        old = blocks.block.get(name)
    fs_xattr.xattr_check_flags(old is not None, flags)
    if old == value:
        # Nothing changes, not even the time.
        return
    had_block = len(blocks.block) > 0
    if value is None:
        blocks.ibody.pop(name, None)
        blocks.block.pop(name, None)
    else:
        _store(blocks, name, value, True)
    change = (len(blocks.block) > 0) - had_block
    if change:
        blocks.nr_blocks += change
        EXT4_SB(sb).bdev.nr_used += change
        if isinstance(inode.i_private, Ext4InodeInfo):
            ext4_update_i_blocks(inode)
        else:
            inode.i_blocks += 8 * change
    inode.i_ctime = fs_inode.current_time(sb.kernel)
    ext4_mark_inode_dirty(inode)
    fs_writeback.mark_inode_dirty(inode)


def ext4_listxattr(inode: Inode) -> list[bytes]:
    """The names: the inode's in their order, then the block's, sorted."""
    blocks = ext4_xattrs(inode)
    return list(blocks.ibody) + sorted(blocks.block, key=ext4_xattr_key)


ext4_xattr_handlers: Final = (
    XattrHandler(b"", b"system.posix_acl_access", ext4_xattr_get, fs_xattr.posix_acl_set),
    XattrHandler(b"", b"system.posix_acl_default", ext4_xattr_get, fs_xattr.posix_acl_set),
    XattrHandler(b"user.", b"", ext4_xattr_get, ext4_xattr_set),
    XattrHandler(b"trusted.", b"", ext4_xattr_get, ext4_xattr_set),
    XattrHandler(b"security.", b"", ext4_xattr_get, ext4_xattr_set),
)
