# SPDX-License-Identifier: GPL-2.0-or-later
"""/dev (drivers/base/devtmpfs.c) and its drivers: null, zero, full, random, urandom (drivers/char), tty, console."""

from __future__ import annotations

from mmscope.kernel.fs.libfs import set_times, simple_add
from mmscope.kernel.fs.read_write import noop_llseek
from mmscope.kernel.fs.streams import stream_fops, tty_of
from mmscope.kernel.include.errno import ENOSPC, ENXIO, KernelError
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_STREAM,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.mm import VM_SHARED
from mmscope.kernel.lib.random import get_random_bytes
from mmscope.kernel.mm.shmem import shmem_fill_super, shmem_zero_setup
from mmscope.kernel.mm.shmem_dir import shmem_make_root, shmem_set_special_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import VmAreaStruct


def memory_open(inode: Inode, file: File) -> None:
    """The memory devices have no position that matters."""


def null_lseek(file: File, offset: int, whence: int) -> int:
    """Always at 0."""
    file.f_pos = 0
    return 0


def random_open(inode: Inode, file: File) -> None:
    """Reading does not move the position."""
    file.f_mode |= FMODE_STREAM


def read_null(file: File, count: int, pos: int) -> bytes:
    """End of file."""
    return b""


def write_null(file: File, data: bytes, pos: int) -> int:
    """All gone."""
    return len(data)


def read_zero(file: File, count: int, pos: int) -> bytes:
    """Zeroes without end."""
    return bytes(count)


def write_full(file: File, data: bytes, pos: int) -> int:
    """The disk is full."""
    raise KernelError(ENOSPC)


def urandom_read(file: File, count: int, pos: int) -> bytes:
    """Random bytes, the same ones for the same seed; at most 32 MiB a call."""
    return get_random_bytes(file.f_inode.i_sb.kernel, min(count, 0x1FFFFFF))


def mmap_zero(file: File, vma: VmAreaStruct) -> None:
    """Private mappings of /dev/zero are anonymous memory; shared ones get a shmem file."""
    if vma.vm_flags & VM_SHARED:
        shmem_zero_setup(vma)
        return
    vma.vm_ops = None


def tty_open(inode: Inode, file: File) -> None:
    """/dev/tty: the terminal among descriptors 0 to 2; ENXIO without one."""
    stream = tty_of(inode.i_sb.kernel)
    if stream is None:
        raise KernelError(ENXIO)
    file.private_data = stream
    file.f_op = stream_fops
    file.f_mode |= FMODE_STREAM
    file.f_mode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE)


null_fops: Final = FileOperations("null_fops", llseek=null_lseek, read=read_null, write=write_null, open=memory_open)
zero_fops: Final = FileOperations(
    "zero_fops", llseek=null_lseek, read=read_zero, write=write_null, mmap=mmap_zero, open=memory_open
)
full_fops: Final = FileOperations("full_fops", llseek=null_lseek, read=read_zero, write=write_full, open=memory_open)
urandom_fops: Final = FileOperations("urandom_fops", llseek=noop_llseek, read=urandom_read, write=write_null, open=random_open)
tty_fops: Final = FileOperations("tty_fops", open=tty_open)

no_chrdev_fops: Final = FileOperations("def_chr_fops")

#: name, major, minor, mode, driver
_NODES: Final = (
    ("console", 5, 1, 0o600, tty_fops),
    ("full", 1, 7, 0o666, full_fops),
    ("null", 1, 3, 0o666, null_fops),
    ("random", 1, 8, 0o666, urandom_fops),
    ("tty", 5, 0, 0o666, tty_fops),
    ("urandom", 1, 9, 0o666, urandom_fops),
    ("zero", 1, 5, 0o666, zero_fops),
)
_LINKS: Final = (
    ("fd", "/proc/self/fd"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
)


def chrdev_fops(rdev: int) -> FileOperations:
    """The driver of a character device; without ->open there is none: opening is ENXIO."""
    for _, major, minor, _, fops in _NODES:
        if rdev == major << 20 | minor:
            return fops
    return no_chrdev_fops


def devtmpfs_init(k: Kernel, minor: int) -> SuperBlock:
    """The super block of /dev with its nodes."""
    sb = shmem_fill_super(k, minor)
    sb.s_type = "devtmpfs"
    root = shmem_make_root(sb, 0o755).d_inode
    assert root is not None
    shm = Inode(sb, 2, S_IFDIR | 0o755)
    shm.i_nlink = 2
    shmem_set_special_ops(shm, root)
    set_times(shm)
    simple_add(root, "shm", shm)
    root.i_nlink += 1
    ino = 3
    for name, major, dev_minor, mode, fops in _NODES:
        inode = Inode(sb, ino, S_IFCHR | mode)
        inode.i_rdev = major << 20 | dev_minor
        shmem_set_special_ops(inode, root)
        inode.i_fop = fops
        set_times(inode)
        simple_add(root, name, inode)
        ino += 1
    for name, target in _LINKS:
        inode = Inode(sb, ino, S_IFLNK | 0o777)
        inode.i_private = target
        inode.i_size = len(target)
        shmem_set_special_ops(inode, root)
        set_times(inode)
        simple_add(root, name, inode)
        ino += 1
    return sb
