# SPDX-License-Identifier: GPL-2.0-or-later
"""memfd_create(2) and the seals of fcntl(2) (mm/memfd.c)."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import strncpy_from_user
from mmscope.kernel.fs.file import fd_install, get_unused_fd_flags
from mmscope.kernel.include.errno import EBUSY, EINVAL, ENODEV, EPERM, KernelError
from mmscope.kernel.include.fs import FMODE_WRITE, O_CLOEXEC, O_LARGEFILE, File, Inode
from mmscope.kernel.include.mm import VM_NORESERVE
from mmscope.kernel.mm.shmem import (
    F_SEAL_EXEC,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    ShmemInodeInfo,
    shmem_file_setup,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["ksys_memfd_create", "memfd_add_seals", "memfd_get_seals"]

MFD_CLOEXEC: Final = 0x1
MFD_ALLOW_SEALING: Final = 0x2
MFD_HUGETLB: Final = 0x4
#: Since v6.3 (105ff5339f49).
MFD_NOEXEC_SEAL: Final = 0x8
MFD_EXEC: Final = 0x10

F_ALL_SEALS: Final = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
#: "memfd:" and the name, with its NUL, fit in NAME_MAX.
MFD_NAME_MAX_LEN: Final = 249


def ksys_memfd_create(k: Kernel, uname: int, flags: int) -> int:
    """memfd_create(2): a descriptor of a new file without a name. Raises EINVAL, EFAULT, EMFILE, ENODEV (no huge pages)."""
    known = MFD_CLOEXEC | MFD_ALLOW_SEALING
    if k.config.at_least(6, 3):
        known |= MFD_NOEXEC_SEAL | MFD_EXEC
        if flags & MFD_NOEXEC_SEAL and flags & MFD_EXEC:
            raise KernelError(EINVAL)
    if flags & MFD_HUGETLB:
        if flags & ~(known | MFD_HUGETLB | 0x3F << 26):
            raise KernelError(EINVAL)
    elif flags & ~known:
        raise KernelError(EINVAL)
    name = strncpy_from_user(k, uname, MFD_NAME_MAX_LEN + 1)
    if len(name) >= MFD_NAME_MAX_LEN + 1:
        raise KernelError(EINVAL)
    if flags & MFD_HUGETLB:
        raise KernelError(ENODEV)
    fd = get_unused_fd_flags(k, O_CLOEXEC if flags & MFD_CLOEXEC else 0)
    file = shmem_file_setup(k, "memfd:" + name.decode("utf-8", "surrogateescape"), 0, VM_NORESERVE)
    file.f_flags |= O_LARGEFILE
    info = file.f_inode.i_private
    assert isinstance(info, ShmemInodeInfo)
    if flags & MFD_NOEXEC_SEAL:
        file.f_inode.i_mode &= ~0o111
        info.seals = info.seals & ~F_SEAL_SEAL | F_SEAL_EXEC
    elif flags & MFD_ALLOW_SEALING:
        info.seals &= ~F_SEAL_SEAL
    fd_install(k, fd, file)
    return fd


def memfd_file_seals(inode: Inode) -> ShmemInodeInfo:
    """What bears the seals of a file: EINVAL for anything but tmpfs."""
    info = inode.i_private
    if not isinstance(info, ShmemInodeInfo):
        raise KernelError(EINVAL)
    return info


def memfd_add_seals(file: File, seals: int) -> int:
    """F_ADD_SEALS. Raises EPERM (not writable, or sealed against it), EINVAL, EBUSY (somebody could still write)."""
    if not file.f_mode & FMODE_WRITE:
        raise KernelError(EPERM)
    known = F_ALL_SEALS
    if file.f_inode.i_sb.kernel.config.at_least(6, 3):
        known |= F_SEAL_EXEC
    if seals & ~known:
        raise KernelError(EINVAL)
    info = memfd_file_seals(file.f_inode)
    if info.seals & F_SEAL_SEAL:
        raise KernelError(EPERM)
    if seals & F_SEAL_EXEC and file.f_inode.i_mode & 0o111:
        # What may be executed may not change either.
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
    if seals & F_SEAL_WRITE and not info.seals & F_SEAL_WRITE:
        # mapping_deny_writable(). (Pages pinned by others, memfd_wait_for_pins(), do not exist between system calls.)
        mapping = file.f_mapping
        if mapping.i_mmap_writable > 0:
            raise KernelError(EBUSY)
        mapping.i_mmap_writable -= 1
    info.seals |= seals
    return 0


def memfd_get_seals(file: File) -> int:
    """F_GET_SEALS."""
    return memfd_file_seals(file.f_inode).seals
