# SPDX-License-Identifier: GPL-2.0-or-later
"""The page cache (mm/filemap.c): lookup, insertion, removal, buffered reads, and the faults of file mappings.

References to a page of the page cache: one of the cache itself, one of each PTE, one of the pagevec lru_add while the
page is in it, one of each user. Reads are synchronous here: a page under I/O (PG_locked, not uptodate) is never met.
"""

from __future__ import annotations

import mmscope.kernel.mm.memory as mm_memory
import mmscope.kernel.mm.readahead as mm_readahead
from mmscope.kernel.fs.file import fput
from mmscope.kernel.include.errno import EAGAIN, EEXIST, EFAULT, EINVAL, EIO, ENOEXEC, ENOMEM, KernelBug, KernelError
from mmscope.kernel.include.fs import AddressSpace, File
from mmscope.kernel.include.gfp import __GFP_WRITE, GFP_HIGHUSER_MOVABLE
from mmscope.kernel.include.mm import (
    FAULT_FLAG_TRIED,
    VM_EXEC,
    VM_FAULT_LOCKED,
    VM_FAULT_MAJOR,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_MAYWRITE,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
)
from mmscope.kernel.include.mm_types import Page, VmOperationsStruct
from mmscope.kernel.include.page import PAGE_SHIFT
from mmscope.kernel.include.page_flags import (
    PG_dirty,
    PG_error,
    PG_locked,
    PG_readahead,
    PG_referenced,
    PG_swapbacked,
    PG_uptodate,
)
from mmscope.kernel.include.pagemap import lock_page, trylock_page, unlock_page
from mmscope.kernel.lib.iov_iter import IovIter, copy_page_to_iter, iov_iter_kvec_dest
from mmscope.kernel.lib.xarray import xa_erase, xa_find, xa_get_mark, xa_load, xa_store
from mmscope.kernel.mm.mmap_area import vma_pages
from mmscope.kernel.mm.page_alloc import alloc_pages, put_page
from mmscope.kernel.mm.page_writeback import (
    PAGECACHE_TAG_DIRTY,
    set_page_dirty,
)
from mmscope.kernel.mm.swap import lru_cache_add, mark_page_accessed
from mmscope.kernel.mm.vmstat import NR_FILE_PAGES, NR_SHMEM, PGMAJFAULT, count_vm_event, mod_page_state
from mmscope.kernel.mm.workingset import workingset_refault
from mmscope.kernel.tracepoint import trace_mm_filemap_add_to_page_cache, trace_mm_filemap_delete_from_page_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import VmAreaStruct, VmFault

__all__ = [
    "FGP_ACCESSED", "FGP_CREAT", "FGP_FOR_MMAP", "FGP_LOCK", "FGP_NOWAIT", "FGP_WRITE", "__delete_from_page_cache",
    "__page_cache_alloc", "__add_to_page_cache_locked", "add_to_page_cache_lru", "delete_from_page_cache", "filemap_fault",
    "filemap_map_pages", "filemap_page_mkwrite", "find_get_entry", "find_get_page", "find_get_pages_contig", "find_lock_entry",
    "find_lock_page",
    "find_or_create_page", "generic_file_buffered_read", "generic_file_buffered_read_iter",
    "generic_file_mmap", "generic_file_readonly_mmap",
    "generic_file_vm_ops", "page_cache_next_miss", "page_cache_prev_miss", "pagecache_get_page",
    "read_cache_page", "read_mapping_page",
]  # fmt: skip

FGP_ACCESSED: Final = 0x01
FGP_LOCK: Final = 0x02
FGP_CREAT: Final = 0x04
FGP_WRITE: Final = 0x08
FGP_NOWAIT: Final = 0x20
FGP_FOR_MMAP: Final = 0x40

#: A file with more misses than that is not read around.
MMAP_LOTSAMISS: Final = 100
_PAGES_MAX_READ: Final = 512


# Into and out of the page cache


def __page_cache_alloc(mapping: AddressSpace, gfp: int = GFP_HIGHUSER_MOVABLE) -> Page | None:
    """A frame for the page cache; None when out of memory."""
    return alloc_pages(mapping.host.i_sb.kernel, gfp, 0)


def __add_to_page_cache_locked(page: Page, mapping: AddressSpace, index: int, gfp: int) -> int | None:
    """Insert a locked page; the cache takes a reference. The shadow that stood there, or None. Raises KernelError(EEXIST)."""
    if not page.flags & PG_locked:
        raise KernelBug(f"add_to_page_cache: {page!r} is not locked, mapping of inode {mapping.host.i_ino}")
    old = xa_load(mapping.i_pages, index)
    shadow: int | None = None
    if isinstance(old, int):
        shadow = old
        mapping.nrexceptional -= 1
    elif old is not None:
        raise KernelError(EEXIST)
    page._refcount += 1
    page.mapping = mapping
    page.mapping_tag = 0
    page.index = index
    xa_store(mapping.i_pages, index, page)
    mapping.nrpages += 1
    mod_page_state(page.kernel, NR_FILE_PAGES, 1)
    trace_mm_filemap_add_to_page_cache(page)
    return shadow


def add_to_page_cache_lru(page: Page, mapping: AddressSpace, index: int, gfp: int) -> None:
    """Lock a new page, insert it and send it to the LRU. Raises KernelError(EEXIST), the page unlocked."""
    page.flags |= PG_locked
    try:
        shadow = __add_to_page_cache_locked(page, mapping, index, gfp)
    except KernelError:
        page.flags &= ~PG_locked
        raise
    # What is brought in to be overwritten was not missed.
    if shadow is not None and not gfp & __GFP_WRITE:
        workingset_refault(page, shadow)
    lru_cache_add(page)


def __delete_from_page_cache(page: Page, shadow: int | None = None) -> None:
    """Take a locked page out of its mapping; the cache's reference passes to the caller. `shadow` is left in its place."""
    mapping = _page_mapping(page)
    trace_mm_filemap_delete_from_page_cache(page)
    if page._mapcount >= 0:
        raise KernelBug(f"{page!r} leaves the cache of inode {mapping.host.i_ino} while it is mapped")
    mod_page_state(page.kernel, NR_FILE_PAGES, -1)
    if page.flags & PG_swapbacked:
        mod_page_state(page.kernel, NR_SHMEM, -1)
    if page.flags & PG_dirty and xa_get_mark(mapping.i_pages, page.index, PAGECACHE_TAG_DIRTY):
        raise KernelBug(f"{page!r} leaves the cache of inode {mapping.host.i_ino} while it is dirty")
    if shadow is None:
        old = xa_erase(mapping.i_pages, page.index)
    else:
        old = xa_store(mapping.i_pages, page.index, shadow)
        mapping.nrexceptional += 1
    if old is not page:
        raise KernelBug(f"cache of inode {mapping.host.i_ino} holds {old!r} at index {page.index}, not {page!r}")
    page.mapping = None
    mapping.nrpages -= 1


def delete_from_page_cache(page: Page) -> None:
    """Take a locked page out of its mapping and drop the cache's reference."""
    if not page.flags & PG_locked:
        raise KernelBug(f"delete_from_page_cache: {page!r} is not locked, mapping {page.mapping!r}")
    __delete_from_page_cache(page)
    put_page(page)


def _page_mapping(page: Page) -> AddressSpace:
    mapping = page.mapping
    if not isinstance(mapping, AddressSpace):
        raise KernelBug(f"{page!r} is in no page cache: mapping {mapping!r}, tag {page.mapping_tag}")
    return mapping


# Lookup


def find_get_entry(mapping: AddressSpace, index: int) -> Page | None:
    """The cached page at `index`, with a reference."""
    page = xa_load(mapping.i_pages, index)
    if page is None or isinstance(page, int):
        return None
    assert isinstance(page, Page)
    page._refcount += 1
    return page


def pagecache_get_page(mapping: AddressSpace, index: int, fgp_flags: int, gfp: int) -> Page | None:
    """The page at `index`, with a reference; FGP_CREAT adds one that is not uptodate.

    FGP_LOCK: locked. FGP_ACCESSED: marked accessed. FGP_FOR_MMAP: a new page comes back unlocked.
    """
    page = find_get_entry(mapping, index)
    if page is not None:
        if fgp_flags & FGP_LOCK:
            if fgp_flags & FGP_NOWAIT:
                if not trylock_page(page):
                    put_page(page)
                    return None
            else:
                lock_page(page)
        if fgp_flags & FGP_ACCESSED:
            mark_page_accessed(page)
        return page
    if not fgp_flags & FGP_CREAT:
        return None
    page = __page_cache_alloc(mapping)
    if page is None:
        return None
    if fgp_flags & FGP_ACCESSED:
        page.flags |= PG_referenced
    add_to_page_cache_lru(page, mapping, index, gfp | __GFP_WRITE if fgp_flags & FGP_WRITE else gfp)
    if fgp_flags & FGP_FOR_MMAP:
        unlock_page(page)
    return page


def find_get_page(mapping: AddressSpace, index: int) -> Page | None:
    """The cached page at `index`, with a reference."""
    return pagecache_get_page(mapping, index, 0, 0)


def find_lock_entry(mapping: AddressSpace, index: int) -> Page | None:
    """find_lock_page() that would also return a swap entry."""
    page = find_get_entry(mapping, index)
    if page is not None:
        lock_page(page)
    return page


def find_lock_page(mapping: AddressSpace, index: int) -> Page | None:
    """The cached page at `index`, locked and with a reference."""
    return pagecache_get_page(mapping, index, FGP_LOCK, 0)


def find_or_create_page(mapping: AddressSpace, index: int, gfp: int) -> Page | None:
    """The page at `index`, created if absent, locked and with a reference."""
    return pagecache_get_page(mapping, index, FGP_LOCK | FGP_ACCESSED | FGP_CREAT, gfp)


def find_get_pages_contig(mapping: AddressSpace, index: int, nr_pages: int) -> list[Page]:
    """The cached pages from `index` on without a hole, at most nr_pages, each with a reference."""
    pages: list[Page] = []
    for i in range(index, index + nr_pages):
        page = find_get_entry(mapping, i)
        if page is None:
            break
        pages.append(page)
    return pages


def page_cache_next_miss(mapping: AddressSpace, index: int, max_scan: int) -> int:
    """The first index from `index` on without a page; the last one looked at if the whole range is cached.

    Linux documents an index outside of the range for that case, but returns index + max_scan - 1 (still so in v6.1).
    """
    for i in range(index, index + max_scan):
        if not isinstance(xa_load(mapping.i_pages, i), Page):
            return i
    return index + max_scan - 1


def page_cache_prev_miss(mapping: AddressSpace, index: int, max_scan: int) -> int:
    """The last index up to `index` without a page (-1: cached down to 0); the last one looked at if all are cached."""
    for i in range(index, index - max_scan, -1):
        if i < 0 or not isinstance(xa_load(mapping.i_pages, i), Page):
            return i
    return index - max_scan + 1


def read_cache_page(mapping: AddressSpace, index: int, file: File | None) -> Page:
    """The page at `index`, read if need be, with a reference. Raises KernelError (ENOMEM, EIO)."""
    page = find_get_page(mapping, index)
    if page is None:
        page = __page_cache_alloc(mapping)
        if page is None:
            raise KernelError(ENOMEM)
        add_to_page_cache_lru(page, mapping, index, 0)
        _readpage(mapping, file, page)
    elif not page.flags & PG_uptodate:
        lock_page(page)
        _readpage(mapping, file, page)
    mark_page_accessed(page)
    return page


def read_mapping_page(mapping: AddressSpace, index: int, file: File | None) -> Page:
    """read_cache_page() by the mapping's own readpage."""
    return read_cache_page(mapping, index, file)


def _readpage(mapping: AddressSpace, file: File | None, page: Page) -> None:
    """Read a locked page; it is unlocked afterwards. On failure drop the caller's reference and raise KernelError."""
    readpage = mapping.a_ops.readpage
    try:
        if readpage is None:
            raise KernelError(EIO)
        page.flags &= ~PG_error
        readpage(file, page)
        if not page.flags & PG_uptodate:
            raise KernelError(EIO)
    except KernelError:
        page.flags |= PG_error
        page.flags &= ~PG_locked
        put_page(page)
        raise


# read(2)


def generic_file_buffered_read(file: File, count: int, pos: int) -> bytes:
    """Up to `count` bytes at `pos`, through the page cache; b"" at the end of the file. Raises KernelError(EIO)."""
    to = iov_iter_kvec_dest(file.f_inode.i_sb.kernel, count)
    generic_file_buffered_read_iter(file, to, pos)
    return to.out[0] if len(to.out) == 1 else b"".join(to.out)


def generic_file_buffered_read_iter(file: File, to: IovIter, pos: int) -> int:
    """The same, page by page to where `to` says. Bytes read. Raises EIO, and EFAULT if nothing could be stored."""
    inode = file.f_inode
    written = 0
    last_pos = file.ra_prev_pos
    config = inode.i_sb.kernel.config
    looks_first = config.at_least(5, 15)
    # Since v6.7 readahead learns of a read when that is over, before page by page.
    learns_late = config.at_least(6, 7)
    while to.count > 0:
        # Until then (commit unknown) a read beyond the end brought a page into the cache all the same.
        if looks_first and pos >= inode.i_size:
            break
        try:
            pages = generic_file_buffered_read_get_pages(file, to.count, pos, to.nowait)
        except KernelError:
            # What was read before the error is returned; the next read meets the error again.
            if written:
                break
            raise
        # i_size only counts once the pages are there: at the end of file one page too many may have been read.
        isize = inode.i_size
        if pos >= isize:
            _put_pages(pages)
            break
        end_offset = min(isize, pos + to.count)
        nr = min(len(pages), ((end_offset + 4095) >> PAGE_SHIFT) - (pos >> PAGE_SHIFT))
        # A page read in several small pieces counts as accessed once.
        if pos >> PAGE_SHIFT != last_pos >> PAGE_SHIFT:
            mark_page_accessed(pages[0])
        for i in range(1, nr):
            mark_page_accessed(pages[i])
        bad = False
        for i in range(nr):
            offset = pos & 4095
            n = min(end_offset - pos, 4096 - offset)
            copied = copy_page_to_iter(pages[i], offset, n, to)
            pos += copied
            written += copied
            last_pos = pos
            if not learns_late:
                file.ra_prev_pos = pos
            if copied < n:
                bad = True
                break
        _put_pages(pages)
        if bad and not written:
            raise KernelError(EFAULT)
        if bad or pos >= isize:
            break
    file.ra_prev_pos = last_pos
    return written


def _put_pages(pages: list[Page]) -> None:
    for page in pages:
        put_page(page)


def generic_file_buffered_read_get_pages(file: File, count: int, pos: int, nowait: bool) -> list[Page]:
    """The uptodate pages from `pos` on, at least one, each with a reference. Raises KernelError.

    `nowait`: no I/O is waited for, nor started, not even by a marker of readahead: EAGAIN if that leaves none.
    """
    # IOCB_NOIO no longer goes with RWF_NOWAIT: after v6.1 (commit unknown).
    starts = file.f_inode.i_sb.kernel.config.at_least(6, 10)
    mapping = file.f_mapping
    index = pos >> PAGE_SHIFT
    last_index = (pos + count + 4095) >> PAGE_SHIFT
    nr = min(last_index - index, _PAGES_MAX_READ)
    pages = find_get_pages_contig(mapping, index, nr)
    if not pages:
        if nowait and not starts:
            raise KernelError(EAGAIN)
        mm_readahead.page_cache_sync_readahead(mapping, file, index, last_index - index)
        if nowait:
            # It is on its way.
            raise KernelError(EAGAIN)
        pages = find_get_pages_contig(mapping, index, nr)
        if not pages:
            return [generic_file_buffered_read_no_cached_page(file, index)]
    for i in range(len(pages)):
        page = pages[i]
        if nowait and ((page.flags & PG_readahead and not starts) or not page.flags & PG_uptodate):
            _put_pages(pages[i:])
            if i == 0:
                raise KernelError(EAGAIN)
            return pages[:i]
        if page.flags & PG_readahead:
            mm_readahead.page_cache_async_readahead(mapping, file, page, index + i, last_index - index - i)
        if not page.flags & PG_uptodate:
            lock_page(page)
            try:
                _readpage(mapping, file, page)
            except KernelError:
                _put_pages(pages[i + 1 :])
                if i == 0:
                    raise
                return pages[:i]
    return pages


def generic_file_buffered_read_no_cached_page(file: File, index: int) -> Page:
    """Readahead brought nothing (no memory, or beyond the end of file): read this one page."""
    mapping = file.f_mapping
    page = __page_cache_alloc(mapping)
    if page is None:
        raise KernelError(ENOMEM)
    add_to_page_cache_lru(page, mapping, index, 0)
    _readpage(mapping, file, page)
    return page


# Faults


def do_sync_mmap_readahead(vmf: VmFault, file: File) -> File | None:
    """The page is absent: read around it, or ahead in a MADV_SEQUENTIAL mapping. The file if the fault must be repeated."""
    fpin: File | None = None
    vm_flags = vmf.vma.vm_flags
    # Since 6.17 code is read from the fault on, inside its VMA, whatever MADV_RANDOM says.
    code = bool(vm_flags & VM_EXEC) and vmf.vma.vm_mm.kernel.config.at_least(6, 17)
    if (vm_flags & VM_RAND_READ and not code) or not file.ra_pages:
        return fpin
    rac = mm_readahead.ReadaheadControl(file, file.f_mapping, vmf.pgoff)
    if vm_flags & VM_SEQ_READ:
        fpin = mm_memory.maybe_unlock_mmap_for_io(vmf, fpin)
        mm_readahead.page_cache_sync_ra(rac, file, file.ra_pages)
        return fpin
    if file.ra_mmap_miss < MMAP_LOTSAMISS * 10:
        file.ra_mmap_miss += 1
    if file.ra_mmap_miss > MMAP_LOTSAMISS:
        return fpin
    fpin = mm_memory.maybe_unlock_mmap_for_io(vmf, fpin)
    if code:
        file.ra_start = vmf.pgoff
        file.ra_size = min(file.ra_pages, vmf.vma.vm_pgoff + vma_pages(vmf.vma) - vmf.pgoff)
        file.ra_async_size = 0
    else:
        file.ra_start = max(0, vmf.pgoff - file.ra_pages // 2)
        file.ra_size = file.ra_pages
        file.ra_async_size = file.ra_pages // 4
    rac._index = file.ra_start
    mm_readahead.page_cache_ra_order(rac, file)
    return fpin


def do_async_mmap_readahead(vmf: VmFault, file: File, page: Page) -> File | None:
    """The page is there: start the next window if it bears the marker. The file if the fault must be repeated."""
    fpin: File | None = None
    if vmf.vma.vm_flags & VM_RAND_READ or not file.ra_pages:
        return fpin
    if file.ra_mmap_miss:
        file.ra_mmap_miss -= 1
    if page.flags & PG_readahead:
        fpin = mm_memory.maybe_unlock_mmap_for_io(vmf, fpin)
        mm_readahead.page_cache_async_readahead(file.f_mapping, file, page, vmf.pgoff, file.ra_pages)
    return fpin


def filemap_fault(vmf: VmFault) -> int:
    """vm_operations.fault of page-cache files: VM_FAULT_LOCKED with vmf.page locked and referenced, or another result.

    VM_FAULT_RETRY after I/O: the fault is to be repeated with FAULT_FLAG_TRIED. VM_FAULT_SIGBUS beyond the file's end.
    """
    file = vmf.vma.vm_file
    assert file is not None
    mapping = file.f_mapping
    inode = mapping.host
    offset = vmf.pgoff
    if offset >= (inode.i_size + 4095) >> PAGE_SHIFT:
        return VM_FAULT_SIGBUS
    ret = 0
    fpin: File | None = None
    page = find_get_page(mapping, offset)
    if page is not None:
        if not vmf.flags & FAULT_FLAG_TRIED:
            fpin = do_async_mmap_readahead(vmf, file, page)
    else:
        count_vm_event(inode.i_sb.kernel, PGMAJFAULT)
        ret = VM_FAULT_MAJOR
        fpin = do_sync_mmap_readahead(vmf, file)
        page = pagecache_get_page(mapping, offset, FGP_CREAT | FGP_FOR_MMAP, vmf.gfp_mask)
        if page is None:
            return ret | _filemap_fault_retry(fpin) if fpin is not None else VM_FAULT_OOM
    while True:
        lock_page(page)
        if page.flags & PG_uptodate:
            break
        # Not read yet, or in vain: try once more.
        fpin = mm_memory.maybe_unlock_mmap_for_io(vmf, fpin)
        page.flags &= ~PG_error
        try:
            page._refcount += 1
            _readpage(mapping, file, page)
            page._refcount -= 1
        except KernelError:
            put_page(page)
            if fpin is not None:
                return ret | _filemap_fault_retry(fpin)
            shrink_readahead_size_eio(file)
            return VM_FAULT_SIGBUS
        if fpin is not None:
            put_page(page)
            return ret | _filemap_fault_retry(fpin)
    if fpin is not None:
        unlock_page(page)
        put_page(page)
        return ret | _filemap_fault_retry(fpin)
    vmf.page = page
    return ret | VM_FAULT_LOCKED


def _filemap_fault_retry(fpin: File) -> int:
    """out_retry: mmap_lock was given up."""
    fput(fpin)
    return VM_FAULT_RETRY


def shrink_readahead_size_eio(file: File) -> None:
    """A read failed: read ahead less in future."""
    file.ra_pages //= 4


def filemap_map_pages(vmf: VmFault, start_pgoff: int, end_pgoff: int) -> None:
    """Fault-around: map those pages of [start_pgoff, end_pgoff] that are cached, uptodate and free of the marker.

    On entry vmf.address (and vmf.pte, if a page table exists) stand for start_pgoff.
    """
    file = vmf.vma.vm_file
    assert file is not None
    mapping = file.f_mapping
    last_pgoff = start_pgoff
    mmap_miss = file.ra_mmap_miss
    index = start_pgoff
    while index <= end_pgoff:
        found = xa_find(mapping.i_pages, index, end_pgoff)
        if found is None:
            break
        index = found[0]
        page = found[1]
        if isinstance(page, int):
            index += 1
            continue
        assert isinstance(page, Page)
        if not page.flags & PG_locked:
            page._refcount += 1
            if page.flags & (PG_uptodate | PG_readahead) != PG_uptodate:
                put_page(page)
            else:
                page.flags |= PG_locked
                mapped = False
                if page.index < (mapping.host.i_size + 4095) >> PAGE_SHIFT:
                    if mmap_miss > 0:
                        mmap_miss -= 1
                    vmf.address += (index - last_pgoff) << PAGE_SHIFT
                    if vmf.pte:
                        vmf.pte += index - last_pgoff
                    last_pgoff = index
                    # On success the PTE keeps our reference.
                    mapped = mm_memory.alloc_set_pte(vmf, page) == 0
                unlock_page(page)
                if not mapped:
                    put_page(page)
        index += 1
    file.ra_mmap_miss = mmap_miss


def filemap_page_mkwrite(vmf: VmFault) -> int:
    """vm_operations.page_mkwrite: a shared page is about to become writable: dirty it, so that nothing is lost."""
    page = vmf.page
    file = vmf.vma.vm_file
    assert page is not None
    assert file is not None
    lock_page(page)
    if page.mapping is not file.f_inode.i_mapping:
        unlock_page(page)
        return VM_FAULT_NOPAGE
    set_page_dirty(page)
    return VM_FAULT_LOCKED


generic_file_vm_ops: Final = VmOperationsStruct(
    "generic_file_vm_ops", fault=filemap_fault, map_pages=filemap_map_pages, page_mkwrite=filemap_page_mkwrite
)


def generic_file_mmap(file: File, vma: VmAreaStruct) -> None:
    """file_operations.mmap of page-cache files."""
    if file.f_mapping.a_ops.readpage is None:
        raise KernelError(ENOEXEC)
    vma.vm_ops = generic_file_vm_ops


def generic_file_readonly_mmap(file: File, vma: VmAreaStruct) -> None:
    """The same for file systems that cannot write: no mapping that is or could become shared and writable."""
    if vma.vm_flags & VM_SHARED and vma.vm_flags & VM_MAYWRITE:
        raise KernelError(EINVAL)
    generic_file_mmap(file, vma)
