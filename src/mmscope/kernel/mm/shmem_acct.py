# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounting of mm/shmem.c: what a file and a mount hold, and what of that is committed. shmem.py is the rest."""

from __future__ import annotations

from mmscope.kernel.include.errno import ENOSPC, EPERM, KernelError
from mmscope.kernel.include.fs import File, Inode, SuperBlock
from mmscope.kernel.include.mm import VM_MAYWRITE, VM_NORESERVE, VM_SHARED, VM_WRITE
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.mm.util import security_vm_enough_memory_mm, vm_acct_memory, vm_unacct_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "BLOCKS_PER_PAGE", "F_SEAL_EXEC", "F_SEAL_FUTURE_WRITE", "F_SEAL_GROW", "F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_WRITE",
    "SHMEM_SB", "memfd_check_seals_mmap", "seal_check_write", "ShmemInodeInfo", "ShmemSbInfo", "shmem_acct_size", "shmem_info",
    "shmem_inode_acct_block", "shmem_inode_unacct_blocks", "shmem_reacct_size", "shmem_recalc_inode", "shmem_unacct_size",
]  # fmt: skip

BLOCKS_PER_PAGE: Final = PAGE_SIZE // 512
# fcntl(F_ADD_SEALS)
F_SEAL_SEAL: Final = 0x1
F_SEAL_SHRINK: Final = 0x2
F_SEAL_GROW: Final = 0x4
F_SEAL_WRITE: Final = 0x8
F_SEAL_FUTURE_WRITE: Final = 0x10
#: Since v6.3 (6fd7353829ca).
F_SEAL_EXEC: Final = 0x20


class ShmemInodeInfo:
    """struct shmem_inode_info, in inode.i_private."""

    def __init__(self, flags: int) -> None:
        #: VM_NORESERVE: pages are accounted one by one as they are allocated.
        self.flags = flags
        #: Pages allocated to the file.
        self.alloced = 0
        #: F_SEAL_*; without memfd_create(MFD_ALLOW_SEALING) none can be added.
        self.seals = F_SEAL_SEAL
        #: Bytes of the host's file that may still have to be copied, and the pages below that are not its any more.
        self.host_size = 0
        self.host_gone: set[int] = set()


class ShmemSbInfo:
    """struct shmem_sb_info."""

    def __init__(self, max_blocks: int) -> None:
        #: Limit and use, pages; 0 = no limit.
        self.max_blocks = max_blocks
        self.used_blocks = 0
        #: Next inode number; the mount's root directory took 1.
        self.next_ino = 2


def SHMEM_SB(sb: SuperBlock) -> ShmemSbInfo:
    """The file system's own part of the super block."""
    info = sb.s_fs_info
    assert isinstance(info, ShmemSbInfo)
    return info


def shmem_info(inode: Inode) -> ShmemInodeInfo:
    """SHMEM_I()."""
    info = inode.i_private
    assert isinstance(info, ShmemInodeInfo)
    return info


def shmem_acct_size(k: Kernel, flags: int, size: int) -> None:
    """Commit the whole file at once unless VM_NORESERVE. Raises ENOMEM."""
    if not flags & VM_NORESERVE:
        mm = k.current.mm
        assert mm is not None
        security_vm_enough_memory_mm(mm, PAGE_ALIGN(size) >> PAGE_SHIFT)


def shmem_unacct_size(k: Kernel, flags: int, size: int) -> None:
    """Take it back."""
    if not flags & VM_NORESERVE:
        vm_unacct_memory(k, PAGE_ALIGN(size) >> PAGE_SHIFT)


def shmem_reacct_size(k: Kernel, flags: int, oldsize: int, newsize: int) -> None:
    """The file's size changes. Raises ENOMEM."""
    if not flags & VM_NORESERVE:
        if PAGE_ALIGN(newsize) > PAGE_ALIGN(oldsize):
            shmem_acct_size(k, flags, PAGE_ALIGN(newsize) - PAGE_ALIGN(oldsize))
        else:
            vm_unacct_memory(k, (PAGE_ALIGN(oldsize) - PAGE_ALIGN(newsize)) >> PAGE_SHIFT)


def shmem_inode_acct_block(inode: Inode) -> None:
    """One page more of this file. Raises ENOSPC: the mount is full, or memory cannot be committed."""
    k = inode.i_sb.kernel
    info = shmem_info(inode)
    if info.flags & VM_NORESERVE:
        # A task that has no address space yet executes a program from here: it could not be refused.
        mm = k.current.mm if k.has_current() else None
        if mm is None:
            vm_acct_memory(k, 1)
        else:
            try:
                security_vm_enough_memory_mm(mm, 1)
            except KernelError:
                raise KernelError(ENOSPC) from None
    sbinfo = inode.i_sb.s_fs_info
    if isinstance(sbinfo, ShmemSbInfo):
        if sbinfo.max_blocks and sbinfo.used_blocks >= sbinfo.max_blocks:
            if info.flags & VM_NORESERVE:
                vm_unacct_memory(k, 1)
            raise KernelError(ENOSPC)
        sbinfo.used_blocks += 1


def shmem_inode_unacct_blocks(inode: Inode, pages: int) -> None:
    """Pages less."""
    if shmem_info(inode).flags & VM_NORESERVE:
        vm_unacct_memory(inode.i_sb.kernel, pages)
    sbinfo = inode.i_sb.s_fs_info
    if isinstance(sbinfo, ShmemSbInfo):
        sbinfo.used_blocks -= pages


def shmem_recalc_inode(inode: Inode) -> None:
    """Pages that left the page cache unasked are given back (no swap: nothing but truncation takes them out)."""
    info = shmem_info(inode)
    freed = info.alloced - inode.i_mapping.nrpages
    if freed > 0:
        info.alloced -= freed
        inode.i_blocks -= freed * BLOCKS_PER_PAGE
        shmem_inode_unacct_blocks(inode, freed)


def seal_check_write(seals: int, vm_flags: int) -> int:
    """Sealed against writing: no shared mapping that writes (EPERM), and none that mprotect() could make so."""
    if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) and vm_flags & VM_SHARED:
        if vm_flags & VM_WRITE:
            raise KernelError(EPERM)
        vm_flags &= ~VM_MAYWRITE
    return vm_flags


def memfd_check_seals_mmap(file: File, vm_flags: int) -> int:
    """The flags of a new mapping of a file that may be sealed (mm/memfd.c). Raises EPERM."""
    info = file.f_inode.i_private
    return seal_check_write(info.seals, vm_flags) if isinstance(info, ShmemInodeInfo) else vm_flags
