# SPDX-License-Identifier: GPL-2.0-or-later
"""hugetlbfs (fs/hugetlbfs/inode.c): the files behind MAP_HUGETLB, and where they are mapped (arch/x86/mm/hugetlbpage.c)."""

from __future__ import annotations

import mmscope.kernel.arch.x86.mmap as x86_mmap
import mmscope.kernel.mm.hugetlb as mm_hugetlb
import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_WRITE,
    O_RDWR,
    S_IFREG,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.mm import VM_DONTEXPAND, VM_HUGETLB, VM_WRITE
from mmscope.kernel.include.mman import MAP_FIXED
from mmscope.kernel.include.page import PAGE_SIZE, TASK_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

#: Bits of a page offset that make no loff_t.
PGOFF_LOFFT_MAX: Final = (1 << 13) - 1 << 51


class HugetlbfsSbInfo:
    """struct hugetlbfs_sb_info of the internal mount, in Kernel.hugetlbfs_vfsmount."""

    def __init__(self, sb: SuperBlock) -> None:
        self.sb = sb
        self.next_ino = 2


def hugetlbfs_vfsmount(k: Kernel) -> HugetlbfsSbInfo:
    """The kernel-internal mount, device 0:13 as on 5.10, made on first use (Linux: at boot)."""
    sbinfo = k.hugetlbfs_vfsmount
    if sbinfo is None:
        sbinfo = HugetlbfsSbInfo(SuperBlock(k, "hugetlbfs", 0x00D))
        k.hugetlbfs_vfsmount = sbinfo
    assert isinstance(sbinfo, HugetlbfsSbInfo)
    return sbinfo


def hugetlbfs_file_mmap(file: File, vma: VmAreaStruct) -> None:
    """f_op->mmap. Raises EINVAL: offset; ENOMEM: no pages to reserve."""
    vma.vm_flags |= VM_HUGETLB | VM_DONTEXPAND
    vma.vm_ops = mm_hugetlb.hugetlb_vm_ops
    if vma.vm_pgoff & PGOFF_LOFFT_MAX or vma.vm_pgoff & (mm_hugetlb.HPAGE_SIZE - 1) >> 12:
        raise KernelError(EINVAL)
    inode = file.f_inode
    end = vma.vm_end - vma.vm_start + (vma.vm_pgoff << 12)
    shift = mm_hugetlb.HPAGE_SHIFT
    mm_hugetlb.hugetlb_reserve_pages(inode, vma.vm_pgoff << 12 >> shift, end >> shift, vma.vm_flags)
    if vma.vm_flags & VM_WRITE and inode.i_size < end:
        inode.i_size = end


def hugetlb_get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """f_op->get_unmapped_area: multiples of 2 MiB. Raises EINVAL, ENOMEM."""
    if len & ~mm_hugetlb.HPAGE_MASK:
        raise KernelError(EINVAL)
    if flags & MAP_FIXED:
        if addr & ~mm_hugetlb.HPAGE_MASK:
            raise KernelError(EINVAL)
        return addr
    if mm.kernel.config.at_least(6, 13):
        # The processor has no search of its own for huge pages any more: hints are rounded up, MAP_32BIT counts.
        assert mm.get_unmapped_area is not None
        return mm.get_unmapped_area(mm, file, addr + mm_hugetlb.HPAGE_SIZE - 1 & mm_hugetlb.HPAGE_MASK, len, pgoff, flags)
    if addr:
        addr &= mm_hugetlb.HPAGE_MASK
        if x86_mmap.mmap_address_hint_valid(addr, len):
            vma = mm_mmap.find_vma(mm, addr)
            if vma is None or addr + len <= mm_mmap.vm_start_gap(vma):
                return addr
    bottom_up = mm_mmap.VmUnmappedAreaInfo(0, len, x86_mmap.get_mmap_base(mm, True), TASK_SIZE)
    bottom_up.align_mask = mm_hugetlb.HPAGE_SIZE - PAGE_SIZE
    addr = -ENOMEM
    if mm.get_unmapped_area is not x86_mmap.arch_get_unmapped_area:
        info = mm_mmap.VmUnmappedAreaInfo(mm_mmap.VM_UNMAPPED_AREA_TOPDOWN, len, PAGE_SIZE, x86_mmap.get_mmap_base(mm, False))
        info.align_mask = bottom_up.align_mask
        addr = mm_mmap.vm_unmapped_area(mm, info)
    if addr < 0:
        addr = mm_mmap.vm_unmapped_area(mm, bottom_up)
    if addr < 0:
        raise KernelError(ENOMEM)
    return addr


def hugetlb_file_setup(k: Kernel, name: str, size: int) -> File:
    """An open, unlinked file of `size` bytes that reserves nothing by itself (acctflag VM_NORESERVE)."""
    sbinfo = hugetlbfs_vfsmount(k)
    inode = Inode(sbinfo.sb, sbinfo.next_ino, S_IFREG | 0o777)
    sbinfo.next_ino += 1
    inode.i_uid = k.current.cred.fsuid
    inode.i_gid = k.current.cred.fsgid
    inode.i_atime = inode.i_mtime = inode.i_ctime = k.timekeeper.tick_ns + k.timekeeper.wall_offset_ns
    inode.i_size = size
    inode.i_nlink = 0
    inode.i_blksize = mm_hugetlb.HPAGE_SIZE
    inode.i_fop = hugetlbfs_file_operations
    mode = FMODE_READ | FMODE_WRITE | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    return File(Dentry(sbinfo.sb, name, None, inode), inode, O_RDWR, mode, hugetlbfs_file_operations)


hugetlbfs_file_operations: Final = FileOperations(
    "hugetlbfs_file_operations", mmap=hugetlbfs_file_mmap, get_unmapped_area=hugetlb_get_unmapped_area
)
