# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that live in memory (mm/shmem.c): tmpfs, memfd, System V segments, and shared anonymous memory, each of which is a file.

Their pages are in the page cache only, with PG_swapbacked: they count as MM_SHMEMPAGES. No swap, no huge pages. A file of a
tmpfs of the host has its pages copied when it is opened, or one by one where that is too much at once.
The directories are shmem_dir.py, the accounting is shmem_acct.py.
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.uaccess as x86_uaccess
import mmscope.kernel.fs.attr as fs_attr
import mmscope.kernel.fs.hostfs as hostfs
import mmscope.kernel.fs.inode as fs_inode
import mmscope.kernel.fs.libfs as libfs
import mmscope.kernel.fs.xattr as fs_xattr
from mmscope.kernel.arch.x86.cpu import clear_page, phys_write
from mmscope.kernel.fs.file import fput
from mmscope.kernel.include.errno import EFAULT, EFBIG, EINVAL, ENOMEM, ENOSPC, ENOTTY, ENXIO, EOPNOTSUPP, EPERM, KernelError
from mmscope.kernel.include.fs import (
    ATTR_MODE,
    ATTR_SIZE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FMODE_LSEEK,
    FMODE_PREAD,
    FMODE_PWRITE,
    FMODE_READ,
    FMODE_WRITE,
    MAX_LFS_FILESIZE,
    O_RDWR,
    S_IFMT,
    S_IFREG,
    SB_KERNMOUNT,
    SEEK_DATA,
    SEEK_HOLE,
    AddressSpace,
    AddressSpaceOperations,
    Dentry,
    File,
    FileOperations,
    Iattr,
    Inode,
    InodeOperations,
    SuperBlock,
    SuperOperations,
)
from mmscope.kernel.include.gfp import GFP_HIGHUSER
from mmscope.kernel.include.ioctls import FS_IOC_GETFLAGS
from mmscope.kernel.include.mm import VM_FAULT_LOCKED, VM_NORESERVE
from mmscope.kernel.include.mm_types import Page, VmOperationsStruct
from mmscope.kernel.include.page import PAGE_SHIFT, PAGE_SIZE
from mmscope.kernel.include.page_flags import PG_dirty, PG_locked, PG_referenced, PG_swapbacked, PG_uptodate
from mmscope.kernel.include.pagemap import unlock_page
from mmscope.kernel.lib.iov_iter import IovIter, copy_page_to_iter, iov_iter_kvec_dest, iov_iter_zero
from mmscope.kernel.lib.xarray import xa_find, xa_load, xa_store
from mmscope.kernel.mm.filemap import filemap_map_pages, find_lock_entry
from mmscope.kernel.mm.filemap_write import generic_file_write_iter
from mmscope.kernel.mm.memory import vmf_error
from mmscope.kernel.mm.memory_truncate import unmap_mapping_range
from mmscope.kernel.mm.page_alloc import alloc_pages_vma, page_ref_add, put_page, totalram_pages
from mmscope.kernel.mm.page_writeback import __set_page_dirty_no_writeback, set_page_dirty
from mmscope.kernel.mm.shmem_acct import (
    BLOCKS_PER_PAGE,
    F_SEAL_EXEC,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    SHMEM_SB,
    ShmemInodeInfo,
    ShmemSbInfo,
    seal_check_write,
    shmem_acct_size,
    shmem_info,
    shmem_inode_acct_block,
    shmem_inode_unacct_blocks,
    shmem_reacct_size,
    shmem_recalc_inode,
    shmem_unacct_size,
)
from mmscope.kernel.mm.swap import lru_cache_add, mark_page_accessed
from mmscope.kernel.mm.truncate import truncate_inode_pages_range
from mmscope.kernel.mm.vmstat import NR_FILE_PAGES, NR_SHMEM, mod_page_state
from mmscope.kernel.tracepoint import trace_mm_filemap_add_to_page_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmFault

__all__ = [
    "F_SEAL_EXEC", "F_SEAL_FUTURE_WRITE", "F_SEAL_GROW", "F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_WRITE", "SHMEM_SB",
    "ShmemInodeInfo", "ShmemSbInfo",
    "shmem_add_to_page_cache", "shmem_aops", "shmem_evict_inode", "shmem_fallocate", "shmem_fault", "shmem_file_operations",
    "shmem_file_setup", "shmem_fill_super", "shmem_get_inode", "shmem_get_unmapped_area", "shmem_getpage_gfp",
    "shmem_host_inode", "shmem_info", "shmem_kernel_file_setup", "shmem_mapping", "shmem_mmap", "shmem_truncate_range",
    "shmem_vm_ops", "shmem_zero_setup",
]  # fmt: skip


# enum sgp_type: what to do with holes and beyond the end.
SGP_READ: Final = 0
SGP_CACHE: Final = 1
SGP_WRITE: Final = 2
SGP_FALLOC: Final = 3


def shmem_fill_super(k: Kernel, dev: int, max_blocks: int = -1) -> SuperBlock:
    """A tmpfs; by default it may take half of the RAM. Its root is the caller's to make."""
    sb = SuperBlock(k, "tmpfs", dev)
    sb.s_fs_info = ShmemSbInfo(totalram_pages(k) // 2 if max_blocks < 0 else max_blocks)
    sb.s_op = shmem_ops
    sb.s_xattr = fs_xattr.shmem_xattr_handlers_user if k.config.at_least(6, 6) else fs_xattr.shmem_xattr_handlers
    return sb


def shm_mnt(k: Kernel) -> SuperBlock:
    """The kernel-internal tmpfs mount, device 0:1, made on first use (Linux: at boot, shmem_init)."""
    sb = k.shm_mnt
    if sb is None:
        sb = shmem_fill_super(k, 1, 0)
        sb.s_flags |= SB_KERNMOUNT
        k.shm_mnt = sb
    assert isinstance(sb, SuperBlock)
    return sb


def shmem_mapping(mapping: AddressSpace) -> bool:
    """The page cache of a shmem file."""
    return mapping.a_ops is shmem_aops


# --- inodes


def shmem_set_inode_ops(inode: Inode, parent: Inode | None, flags: int) -> None:
    """The tables and the private part that go with the inode's type."""
    import mmscope.kernel.mm.shmem_dir as shmem_dir

    kind = inode.i_mode & S_IFMT
    if kind == S_IFREG:
        inode.i_private = ShmemInodeInfo(flags & VM_NORESERVE)
        inode.i_mapping.a_ops = shmem_aops
        inode.i_fop = shmem_file_operations
        inode.i_op = shmem_inode_operations
    else:
        shmem_dir.shmem_set_special_ops(inode, parent)


def shmem_host_inode(inode: Inode, parent: Inode | None) -> None:
    """Complete the inode of a file on a tmpfs of the host."""
    shmem_set_inode_ops(inode, parent, VM_NORESERVE)
    if inode.i_mode & S_IFMT == S_IFREG:
        shmem_info(inode).host_size = inode.i_size


def shmem_get_inode(sb: SuperBlock, dir: Inode | None, mode: int, flags: int) -> Inode:
    """A new inode, owned by the current task."""
    k = sb.kernel
    sbinfo = SHMEM_SB(sb)
    inode = Inode(sb, sbinfo.next_ino, mode)
    sbinfo.next_ino += 1
    fs_inode.inode_init_owner(inode, dir, mode)
    inode.i_atime = inode.i_mtime = inode.i_ctime = inode.i_crtime = fs_inode.current_time(k)
    shmem_set_inode_ops(inode, dir, flags)
    return inode


def __shmem_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """An open, unlinked file of `size` bytes. Raises EINVAL, ENOMEM."""
    if size < 0 or size > MAX_LFS_FILESIZE:
        raise KernelError(EINVAL)
    shmem_acct_size(k, flags, size)
    sb = shm_mnt(k)
    inode = shmem_get_inode(sb, None, S_IFREG | 0o777, flags)
    inode.i_size = size
    inode.i_nlink = 0
    dentry = Dentry(sb, name, None, inode)
    mode = FMODE_READ | FMODE_WRITE | FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE
    return File(dentry, inode, O_RDWR, mode, shmem_file_operations)


def shmem_kernel_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """A file that only the kernel's own mapping can reach."""
    return __shmem_file_setup(k, name, size, flags)


def shmem_file_setup(k: Kernel, name: str, size: int, flags: int) -> File:
    """A file that gets a descriptor (memfd_create)."""
    return __shmem_file_setup(k, name, size, flags)


def shmem_zero_setup(vma: VmAreaStruct) -> None:
    """Back a shared anonymous mapping: called by mmap_region and by mapping /dev/zero shared."""
    file = shmem_kernel_file_setup(vma.vm_mm.kernel, "dev/zero", vma.vm_end - vma.vm_start, vma.vm_flags)
    if vma.vm_file is not None:
        fput(vma.vm_file)
    vma.vm_file = file
    vma.vm_ops = shmem_vm_ops


# --- pages


def shmem_alloc_page(k: Kernel, gfp: int) -> Page | None:
    """A frame under the file's memory policy: the default one, always."""
    return alloc_pages_vma(k, gfp, 0, None, 0)


def shmem_alloc_and_acct_page(inode: Inode, gfp: int) -> Page:
    """A new page, locked, PG_swapbacked. Raises ENOSPC, ENOMEM."""
    shmem_inode_acct_block(inode)
    page = shmem_alloc_page(inode.i_sb.kernel, gfp)
    if page is None:
        shmem_inode_unacct_blocks(inode, 1)
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


def shmem_add_new_page(inode: Inode, index: int, gfp: int) -> Page:
    """A page of the file where it had none: locked, with a reference, not uptodate. Raises ENOSPC, ENOMEM."""
    page = shmem_alloc_and_acct_page(inode, gfp)
    shmem_add_to_page_cache(page, inode.i_mapping, index)
    lru_cache_add(page)
    shmem_info(inode).alloced += 1
    inode.i_blocks += BLOCKS_PER_PAGE
    return page


def shmem_getpage_gfp(inode: Inode, index: int, sgp: int, gfp: int) -> Page | None:
    """The file's page at `index`, locked and with a reference; made, zeroed, if it is a hole (not for SGP_READ: None).

    SGP_WRITE leaves it as it is, not uptodate; so does SGP_FALLOC a new one. Raises EFBIG, EINVAL (beyond the end,
    but for those two), ENOSPC, ENOMEM.
    """
    if index > MAX_LFS_FILESIZE >> PAGE_SHIFT:
        raise KernelError(EFBIG)
    mapping = inode.i_mapping
    if sgp <= SGP_CACHE and index << PAGE_SHIFT >= inode.i_size:
        raise KernelError(EINVAL)
    page = find_lock_entry(mapping, index)
    if page is None and shmem_info(inode).host_size:
        page = shmem_host_page(inode, index, gfp)
    if page is not None:
        if sgp == SGP_WRITE:
            mark_page_accessed(page)
        if page.flags & PG_uptodate == 0 and sgp == SGP_READ:
            # Preallocated only: reads as a hole.
            unlock_page(page)
            put_page(page)
            return None
    else:
        if sgp == SGP_READ:
            return None
        page = shmem_add_new_page(inode, index, gfp)
        if sgp == SGP_WRITE:
            page.flags |= PG_referenced
        shmem_recalc_inode(inode)
        if sgp == SGP_FALLOC:
            return page
    if sgp != SGP_WRITE and page.flags & PG_uptodate == 0:
        clear_page(page.kernel, page.pfn)
        page.flags |= PG_uptodate
    return page


def shmem_host_page(inode: Inode, index: int, gfp: int) -> Page | None:
    """What a file of the host's tmpfs has at `index`; None for a hole there, and for what the guest has dealt with."""
    info = shmem_info(inode)
    offset = index << PAGE_SHIFT
    if offset >= info.host_size or index in info.host_gone:
        return None
    content = hostfs.host_pread(inode, min(PAGE_SIZE, info.host_size - offset), offset).ljust(PAGE_SIZE, b"\0")
    data = inode.i_host
    assert isinstance(data, hostfs.HostInode)
    info.host_gone.add(index)
    if not any(content) and data.st_blocks * 512 < info.host_size:
        return None
    page = shmem_add_new_page(inode, index, gfp)
    inode.i_blocks -= BLOCKS_PER_PAGE
    phys_write(page.kernel, page.pfn << PAGE_SHIFT, content)
    page.flags |= PG_uptodate | PG_dirty
    return page


def shmem_load_host(inode: Inode, first: int, last: int) -> None:
    """Copy the host's pages of [first, last] before a change of the file that must not bring them back."""
    info = shmem_info(inode)
    for index in range(first, min(last, (info.host_size - 1) >> PAGE_SHIFT) + 1):
        if not isinstance(xa_load(inode.i_mapping.i_pages, index), Page):
            page = shmem_host_page(inode, index, GFP_HIGHUSER)
            if page is not None:
                unlock_page(page)
                put_page(page)


def shmem_fault(vmf: VmFault) -> int:
    """vm_ops->fault."""
    file = vmf.vma.vm_file
    assert file is not None
    try:
        vmf.page = shmem_getpage_gfp(file.f_inode, vmf.pgoff, SGP_CACHE, GFP_HIGHUSER)
    except KernelError as error:
        return vmf_error(error.args[0])
    return VM_FAULT_LOCKED


def shmem_undo_range(inode: Inode, lstart: int, lend: int) -> None:
    """Remove the whole pages within bytes [lstart, lend] (-1: to the end) and zero the parts of pages at its ends."""
    info = shmem_info(inode)
    if info.host_size:
        if lend == -1:
            # Only a partial page at the cut is still of interest.
            shmem_load_host(inode, lstart >> PAGE_SHIFT, lstart >> PAGE_SHIFT)
            info.host_size = min(info.host_size, lstart)
        else:
            shmem_load_host(inode, lstart >> PAGE_SHIFT, lend >> PAGE_SHIFT)
    truncate_inode_pages_range(inode.i_mapping, lstart, lend)
    shmem_recalc_inode(inode)


def shmem_truncate_range(inode: Inode, lstart: int, lend: int) -> None:
    """The same, as a change of the file."""
    shmem_undo_range(inode, lstart, lend)
    inode.i_ctime = inode.i_mtime = fs_inode.current_time(inode.i_sb.kernel)


def shmem_evict_inode(inode: Inode) -> None:
    """s_op->evict_inode: free the pages and their commitment."""
    info = inode.i_private
    if isinstance(info, ShmemInodeInfo):
        shmem_unacct_size(inode.i_sb.kernel, info.flags, inode.i_size)
        inode.i_size = 0
        info.host_size = 0
        shmem_undo_range(inode, 0, -1)


# --- file operations


def shmem_file_open(inode: Inode, file: File) -> None:
    """A file of the host's tmpfs is in memory, as there; a very large one is copied page by page instead."""
    info = shmem_info(inode)
    if not info.host_size:
        return
    hostfs.host_open(inode)
    if inode.i_mapping.nrpages == 0 and info.host_size <= inode.i_sb.kernel.config.ram >> 3 and not info.host_gone:
        shmem_load_host(inode, 0, info.host_size >> PAGE_SHIFT)


def shmem_mmap(file: File, vma: VmAreaStruct) -> None:
    """f_op->mmap. Raises EPERM (sealed)."""
    info = file.f_inode.i_private
    if isinstance(info, ShmemInodeInfo):
        seals = info.seals
        if not file.f_inode.i_sb.kernel.config.at_least(6, 1):
            # 28464bbb2ddc (v6.7, 6.1 stable): until then F_SEAL_WRITE was i_mmap_writable's matter alone.
            seals &= ~F_SEAL_WRITE
        vma.vm_flags = seal_check_write(seals, vma.vm_flags)
    fs_inode.file_accessed(file)
    vma.vm_ops = shmem_vm_ops


def shmem_get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """f_op->get_unmapped_area: would align for huge pages; with huge=never it is the address space's own choice."""
    assert mm.get_unmapped_area is not None
    return mm.get_unmapped_area(mm, file, addr, len, pgoff, flags)


def shmem_file_read_iter(file: File, to: IovIter, pos: int) -> int:
    """Through the page cache; a hole reads as zeroes and stays one. Bytes read. Raises EFAULT if nothing could be stored."""
    inode = file.f_inode
    written = 0
    while to.count > 0 and pos < inode.i_size:
        offset = pos & (PAGE_SIZE - 1)
        n = min(to.count, PAGE_SIZE - offset, inode.i_size - pos)
        page = shmem_getpage_gfp(inode, pos >> PAGE_SHIFT, SGP_READ, GFP_HIGHUSER)
        if page is None:
            copied = iov_iter_zero(n, to)
        else:
            unlock_page(page)
            if offset == 0:
                mark_page_accessed(page)
            copied = copy_page_to_iter(page, offset, n, to)
            put_page(page)
        pos += copied
        written += copied
        if copied < n:
            if not written:
                raise KernelError(EFAULT)
            break
    fs_inode.file_accessed(file)
    return written


def shmem_file_read(file: File, count: int, pos: int) -> bytes:
    """shmem_file_read_iter() for the kernel itself."""
    to = iov_iter_kvec_dest(file.f_inode.i_sb.kernel, count)
    shmem_file_read_iter(file, to, pos)
    return b"".join(to.out)


def shmem_write_begin(file: File | None, mapping: AddressSpace, pos: int, len: int) -> Page:
    """a_ops->write_begin. Raises EPERM (sealed), ENOSPC, ENOMEM."""
    inode = mapping.host
    seals = shmem_info(inode).seals
    if seals & (F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE):
        if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE):
            raise KernelError(EPERM)
        if pos + len > inode.i_size:
            raise KernelError(EPERM)
    page = shmem_getpage_gfp(inode, pos >> PAGE_SHIFT, SGP_WRITE, GFP_HIGHUSER)
    assert page is not None
    return page


def shmem_write_end(file: File | None, mapping: AddressSpace, pos: int, len: int, copied: int, page: Page) -> int:
    """a_ops->write_end: what was not written of a new page is zeroed."""
    inode = mapping.host
    if pos + copied > inode.i_size:
        inode.i_size = pos + copied
    if not page.flags & PG_uptodate:
        offset = pos & (PAGE_SIZE - 1)
        paddr = page.pfn << PAGE_SHIFT
        phys_write(page.kernel, paddr, bytes(offset))
        phys_write(page.kernel, paddr + offset + copied, bytes(PAGE_SIZE - offset - copied))
        page.flags |= PG_uptodate
    set_page_dirty(page)
    unlock_page(page)
    put_page(page)
    return copied


def shmem_file_llseek(file: File, offset: int, whence: int) -> int:
    """lseek; data is what has an uptodate page."""
    import mmscope.kernel.fs.read_write as read_write

    if whence not in (SEEK_DATA, SEEK_HOLE):
        return read_write.generic_file_llseek(file, offset, whence)
    inode = file.f_inode
    if offset < 0 or offset >= inode.i_size:
        raise KernelError(ENXIO)
    shmem_load_host(inode, offset >> PAGE_SHIFT, inode.i_size >> PAGE_SHIFT)
    index = offset >> PAGE_SHIFT
    end = (inode.i_size + PAGE_SIZE - 1) >> PAGE_SHIFT
    pages = inode.i_mapping.i_pages
    if whence == SEEK_DATA:
        found = xa_find(pages, index, end - 1)
        while found is not None and isinstance(found[1], Page) and not found[1].flags & PG_uptodate:
            found = xa_find(pages, found[0] + 1, end - 1)
        if found is None:
            raise KernelError(ENXIO)
        index = found[0]
    else:
        while index < end:
            page = xa_load(pages, index)
            if not isinstance(page, Page) or not page.flags & PG_uptodate:
                break
            index += 1
    offset = min(max(offset, index << PAGE_SHIFT), inode.i_size)
    file.f_pos = offset
    return offset


def shmem_fallocate(file: File, mode: int, offset: int, len: int) -> None:
    """f_op->fallocate: preallocation and holes. Raises EOPNOTSUPP, EPERM (sealed), ENOSPC."""
    inode = file.f_inode
    info = shmem_info(inode)
    if mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE):
        raise KernelError(EOPNOTSUPP)
    if mode & FALLOC_FL_PUNCH_HOLE:
        if info.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE):
            raise KernelError(EPERM)
        unmap_start = (offset + PAGE_SIZE - 1) & -PAGE_SIZE
        unmap_end = ((offset + len) & -PAGE_SIZE) - 1
        # Unsigned: a hole within page 0 ends at -1, and all from there on is unmapped.
        if unmap_end < 0 or unmap_end > unmap_start:
            unmap_mapping_range(inode.i_mapping, unmap_start, 1 + unmap_end - unmap_start, False)
        shmem_truncate_range(inode, offset, offset + len - 1)
        shmem_file_modified(file)
        return
    fs_attr.inode_newsize_ok(inode, offset + len)
    if info.seals & F_SEAL_GROW and offset + len > inode.i_size:
        raise KernelError(EPERM)
    start = offset >> PAGE_SHIFT
    end = (offset + len + PAGE_SIZE - 1) >> PAGE_SHIFT
    sbinfo = inode.i_sb.s_fs_info
    if isinstance(sbinfo, ShmemSbInfo) and sbinfo.max_blocks and end - start > sbinfo.max_blocks:
        raise KernelError(ENOSPC)
    made: list[int] = []
    for index in range(start, end):
        before = info.alloced
        try:
            page = shmem_getpage_gfp(inode, index, SGP_FALLOC, GFP_HIGHUSER)
        except KernelError:
            # What was allocated for nothing goes again.
            for one in made:
                shmem_undo_range(inode, one << PAGE_SHIFT, (one << PAGE_SHIFT) + PAGE_SIZE - 1)
            raise
        assert page is not None
        if info.alloced != before:
            made.append(index)
        set_page_dirty(page)
        unlock_page(page)
        put_page(page)
    if not mode & FALLOC_FL_KEEP_SIZE and offset + len > inode.i_size:
        inode.i_size = offset + len
    inode.i_ctime = fs_inode.current_time(inode.i_sb.kernel)
    shmem_file_modified(file)


def shmem_file_modified(file: File) -> None:
    """fallocate(2) drops set-id bits and changes the times: since v6.1 at the latest (commit unknown)."""
    if file.f_inode.i_sb.kernel.config.at_least(6, 1):
        fs_inode.file_modified(file)


def shmem_setattr(inode: Inode, attr: Iattr) -> None:
    """i_op->setattr. Raises EPERM (sealed, or not the owner), ENOMEM."""
    fs_attr.setattr_prepare(inode, attr)
    info = inode.i_private
    if isinstance(info, ShmemInodeInfo) and info.seals & F_SEAL_EXEC and attr.ia_valid & ATTR_MODE:
        if (inode.i_mode ^ attr.ia_mode) & 0o111:
            raise KernelError(EPERM)
    if isinstance(info, ShmemInodeInfo) and attr.ia_valid & ATTR_SIZE:
        oldsize = inode.i_size
        newsize = attr.ia_size
        if (newsize < oldsize and info.seals & F_SEAL_SHRINK) or (newsize > oldsize and info.seals & F_SEAL_GROW):
            raise KernelError(EPERM)
        if newsize != oldsize:
            shmem_reacct_size(inode.i_sb.kernel, info.flags, oldsize, newsize)
            inode.i_size = newsize
            inode.i_ctime = inode.i_mtime = fs_inode.current_time(inode.i_sb.kernel)
        if newsize <= oldsize:
            holebegin = (newsize + PAGE_SIZE - 1) & -PAGE_SIZE
            if oldsize > holebegin:
                unmap_mapping_range(inode.i_mapping, holebegin, 0, True)
            shmem_truncate_range(inode, newsize, -1)
            # A fault may have copied a page privately before it was removed.
            if oldsize > holebegin:
                unmap_mapping_range(inode.i_mapping, holebegin, 0, True)
    fs_attr.setattr_copy(inode, attr)


def shmem_statfs(sb: SuperBlock) -> tuple[int, int, int, int, int]:
    """(blocks, free, available, inodes, free inodes)."""
    sbinfo = SHMEM_SB(sb)
    free = max(sbinfo.max_blocks - sbinfo.used_blocks, 0)
    return sbinfo.max_blocks, free, free, totalram_pages(sb.kernel) // 2, totalram_pages(sb.kernel) // 2 - sbinfo.next_ino + 1


def shmem_ioctl(file: File, cmd: int, arg: int) -> int:
    """lsattr(1) works since v6.0 (commit unknown): no file has flags."""
    k = file.f_inode.i_sb.kernel
    if cmd != FS_IOC_GETFLAGS or not k.config.at_least(6, 0):
        raise KernelError(ENOTTY)
    x86_uaccess.put_user(k, arg, 0, 4)
    return 0


shmem_ops: Final = SuperOperations(evict_inode=shmem_evict_inode, statfs=shmem_statfs)
shmem_aops: Final = AddressSpaceOperations(
    set_page_dirty=__set_page_dirty_no_writeback, write_begin=shmem_write_begin, write_end=shmem_write_end
)
shmem_file_operations: Final = FileOperations(
    "shmem_file_operations",
    llseek=shmem_file_llseek,
    read=shmem_file_read,
    read_iter=shmem_file_read_iter,
    write_iter=generic_file_write_iter,
    mmap=shmem_mmap,
    get_unmapped_area=shmem_get_unmapped_area,
    open=shmem_file_open,
    fsync=libfs.noop_fsync,
    fallocate=shmem_fallocate,
    unlocked_ioctl=shmem_ioctl,
)
shmem_inode_operations: Final = InodeOperations("shmem_inode_operations", setattr=shmem_setattr)
shmem_vm_ops: Final = VmOperationsStruct("shmem_vm_ops", fault=shmem_fault, map_pages=filemap_map_pages)
