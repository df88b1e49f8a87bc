# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared anonymous memory (mm/shmem.c): each such mapping is a file "/dev/zero" on a kernel-internal tmpfs mount.

Its pages live in the page cache only, with PG_swapbacked: they count as MM_SHMEMPAGES. No swap, no huge pages.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.cpu import clear_page
from mmscope.kernel.fs.file import fput
from mmscope.kernel.include.errno import EFBIG, EINVAL, ENOMEM, ENOSPC, KernelError
from mmscope.kernel.include.fs import (
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_WRITE,
    O_RDWR,
    S_IFREG,
    AddressSpaceOperations,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.gfp import GFP_HIGHUSER
from mmscope.kernel.include.mm import VM_FAULT_LOCKED, VM_NORESERVE
from mmscope.kernel.include.mm_types import VmOperationsStruct
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_locked, PG_swapbacked, PG_uptodate
from mmscope.kernel.lib.xarray import xa_store
from mmscope.kernel.mm.filemap import filemap_map_pages, find_lock_entry
from mmscope.kernel.mm.memory import vmf_error
from mmscope.kernel.mm.page_alloc import alloc_pages_vma, page_ref_add
from mmscope.kernel.mm.page_writeback import __set_page_dirty_no_writeback
from mmscope.kernel.mm.swap import lru_cache_add
from mmscope.kernel.mm.truncate import truncate_inode_pages
from mmscope.kernel.mm.util import security_vm_enough_memory_mm, vm_unacct_memory
from mmscope.kernel.mm.vmstat import NR_FILE_PAGES, NR_SHMEM, mod_page_state
from mmscope.kernel.tracepoint import trace_mm_filemap_add_to_page_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import AddressSpace
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct, VmFault

__all__ = [
    "ShmemInodeInfo", "shmem_aops", "shmem_fault", "shmem_file_operations", "shmem_file_setup", "shmem_get_unmapped_area",
    "shmem_getpage_gfp", "shmem_kernel_file_setup", "shmem_mapping", "shmem_mmap", "shmem_vm_ops", "shmem_zero_setup",
]  # fmt: skip

MAX_LFS_FILESIZE: Final = 0x7FFFFFFFFFFFFFFF
BLOCKS_PER_PAGE: Final = PAGE_SIZE // 512

# enum sgp_type: what to do with holes and beyond the end.
SGP_READ: Final = 0
SGP_CACHE: Final = 1
SGP_WRITE: Final = 2


class ShmemInodeInfo:
    """struct shmem_inode_info, in inode.i_private."""

    def __init__(self, flags: int) -> None:
        #: VM_NORESERVE: pages are accounted one by one as they are allocated.
        self.flags = flags
        #: Pages allocated to the file.
        self.alloced = 0


class ShmemSbInfo:
    """struct shmem_sb_info of the internal mount, in Kernel.shm_mnt."""

    def __init__(self, sb: SuperBlock) -> None:
        self.sb = sb
        #: Next inode number; the mount's root directory took 1.
        self.next_ino = 2


def shm_mnt(k: Kernel) -> ShmemSbInfo:
    """The kernel-internal tmpfs mount, device 0:1, made on first use (Linux: at boot, shmem_init)."""
    sbinfo = k.shm_mnt
    if sbinfo is None:
        sbinfo = ShmemSbInfo(SuperBlock(k, "tmpfs", 1))
        k.shm_mnt = sbinfo
    assert isinstance(sbinfo, ShmemSbInfo)
    return sbinfo


def shmem_info(inode: Inode) -> ShmemInodeInfo:
    """SHMEM_I()."""
    info = inode.i_private
    assert isinstance(info, ShmemInodeInfo)
    return info


def shmem_mapping(mapping: AddressSpace) -> bool:
    """The page cache of a shmem file."""
    return mapping.a_ops is shmem_aops


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


def shmem_get_inode(sbinfo: ShmemSbInfo, mode: int, flags: int) -> Inode:
    """A new regular file's inode."""
    k = sbinfo.sb.kernel
    inode = Inode(sbinfo.sb, sbinfo.next_ino, mode)
    sbinfo.next_ino += 1
    inode.i_uid = k.current.cred.fsuid
    inode.i_gid = k.current.cred.fsgid
    now = k.timekeeper.tick_ns + k.timekeeper.wall_offset_ns
    inode.i_atime = inode.i_mtime = inode.i_ctime = now
    inode.i_private = ShmemInodeInfo(flags & VM_NORESERVE)
    inode.i_mapping.a_ops = shmem_aops
    inode.i_fop = shmem_file_operations
    return inode


def __shmem_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """An open, unlinked file of `size` bytes. Raises EINVAL, ENOMEM."""
    if size < 0 or size > MAX_LFS_FILESIZE:
        raise KernelError(EINVAL)
    shmem_acct_size(k, flags, size)
    sbinfo = shm_mnt(k)
    inode = shmem_get_inode(sbinfo, S_IFREG | 0o777, flags)
    inode.i_size = size
    inode.i_nlink = 0
    dentry = Dentry(sbinfo.sb, name, None, inode)
    mode = FMODE_READ | FMODE_WRITE | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    return File(dentry, inode, O_RDWR, mode, shmem_file_operations)


def shmem_kernel_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """A file that only the kernel's own mapping can reach."""
    return __shmem_file_setup(k, name, size, flags)


def shmem_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """A file that gets a descriptor (memfd_create, SysV shared memory)."""
    return __shmem_file_setup(k, name, size, flags)


def shmem_zero_setup(vma: VmAreaStruct) -> None:
    """Back a shared anonymous mapping: called by mmap_region and by mapping /dev/zero shared."""
    file = shmem_kernel_file_setup(vma.vm_mm.kernel, "dev/zero", vma.vm_end - vma.vm_start, vma.vm_flags)
    if vma.vm_file is not None:
        fput(vma.vm_file)
    vma.vm_file = file
    vma.vm_ops = shmem_vm_ops


def shmem_inode_acct_block(k: Kernel, info: ShmemInodeInfo) -> None:
    """Commit one page of a VM_NORESERVE file. Raises ENOSPC."""
    if info.flags & VM_NORESERVE:
        mm = k.current.mm
        assert mm is not None
        try:
            security_vm_enough_memory_mm(mm, 1)
        except KernelError:
            raise KernelError(ENOSPC) from None


def shmem_recalc_inode(inode: Inode) -> None:
    """Pages that left the page cache unasked are given back (no swap: nothing but truncation takes them out)."""
    info = shmem_info(inode)
    freed = info.alloced - inode.i_mapping.nrpages
    if freed > 0:
        info.alloced -= freed
        inode.i_blocks -= freed * BLOCKS_PER_PAGE
        if info.flags & VM_NORESERVE:
            vm_unacct_memory(inode.i_sb.kernel, freed)


def shmem_alloc_page(k: Kernel, gfp: int) -> Page | None:
    """A frame under the file's memory policy: the default one, always."""
    return alloc_pages_vma(k, gfp, 0, None, 0)


def shmem_alloc_and_acct_page(inode: Inode, gfp: int) -> Page:
    """A new page, locked, PG_swapbacked. Raises ENOSPC, ENOMEM."""
    k = inode.i_sb.kernel
    info = shmem_info(inode)
    shmem_inode_acct_block(k, info)
    page = shmem_alloc_page(k, gfp)
    if page is None:
        if info.flags & VM_NORESERVE:
            vm_unacct_memory(k, 1)
        raise KernelError(ENOMEM)
    page.flags |= PG_locked | PG_swapbacked
    return page


def shmem_add_to_page_cache(page: Page, mapping: AddressSpace, index: int) -> None:
    """add_to_page_cache_locked() for swap-backed pages. Precondition: nothing is at `index`."""
    k = page.kernel
    page_ref_add(page, 1)
    page.mapping = mapping
    page.mapping_tag = 0
    page.index = index
    xa_store(mapping.i_pages, index, page)
    mapping.nrpages += 1
    mod_page_state(k, NR_FILE_PAGES, 1)
    mod_page_state(k, NR_SHMEM, 1)
    trace_mm_filemap_add_to_page_cache(page)


def shmem_getpage_gfp(inode: Inode, index: int, sgp: int, gfp: int) -> Page | None:
    """The file's page at `index`, locked and with a reference; made, zeroed, if it is a hole (not for SGP_READ: None).

    Raises EFBIG, EINVAL (beyond the end, but for SGP_WRITE), ENOSPC, ENOMEM.
    """
    if index > MAX_LFS_FILESIZE >> PAGE_SHIFT:
        raise KernelError(EFBIG)
    mapping = inode.i_mapping
    if sgp <= SGP_CACHE and index << PAGE_SHIFT >= inode.i_size:
        raise KernelError(EINVAL)
    page = find_lock_entry(mapping, index)
    if page is None:
        if sgp == SGP_READ:
            return None
        page = shmem_alloc_and_acct_page(inode, gfp)
        shmem_add_to_page_cache(page, mapping, index)
        lru_cache_add(page)
        shmem_info(inode).alloced += 1
        inode.i_blocks += BLOCKS_PER_PAGE
        shmem_recalc_inode(inode)
    if sgp != SGP_WRITE and page.flags & PG_uptodate == 0:
        clear_page(page.kernel, page.pfn)
        page.flags |= PG_uptodate
    return page


def shmem_fault(vmf: VmFault) -> int:
    """vm_ops->fault."""
    file = vmf.vma.vm_file
    assert file is not None
    try:
        vmf.page = shmem_getpage_gfp(file.f_inode, vmf.pgoff, SGP_CACHE, GFP_HIGHUSER)
    except KernelError as error:
        return vmf_error(error.args[0])
    return VM_FAULT_LOCKED


def shmem_mmap(file: File, vma: VmAreaStruct) -> None:
    """f_op->mmap."""
    vma.vm_ops = shmem_vm_ops


def shmem_get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """f_op->get_unmapped_area: would align for huge pages; with huge=never it is the address space's own choice."""
    assert mm.get_unmapped_area is not None
    return mm.get_unmapped_area(mm, file, addr, len, pgoff, flags)


def shmem_evict_inode(inode: Inode) -> None:
    """The last user of the unlinked file is gone: free its pages and their commitment."""
    k = inode.i_sb.kernel
    info = shmem_info(inode)
    shmem_unacct_size(k, info.flags, inode.i_size)
    inode.i_size = 0
    truncate_inode_pages(inode.i_mapping, 0)
    shmem_recalc_inode(inode)


def shmem_release(inode: Inode, file: File) -> None:
    """f_op->release. Linux evicts the inode from iput(); here a shmem inode has one file and no name."""
    if inode.i_nlink == 0:
        shmem_evict_inode(inode)


shmem_aops = AddressSpaceOperations(set_page_dirty=__set_page_dirty_no_writeback)
shmem_file_operations = FileOperations(
    "shmem_file_operations", mmap=shmem_mmap, get_unmapped_area=shmem_get_unmapped_area, release=shmem_release
)
shmem_vm_ops = VmOperationsStruct("shmem_vm_ops", fault=shmem_fault, map_pages=filemap_map_pages)
