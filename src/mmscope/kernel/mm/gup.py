# SPDX-License-Identifier: GPL-2.0-or-later
"""get_user_pages: user pages for the kernel's use, faulted in if need be (mm/gup.c); also how mm_populate() works."""

from __future__ import annotations

import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.mm.mlock as mm_mlock
import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.arch.x86.pgtable import (
    pgd_none,
    pgd_offset,
    pmd_none,
    pmd_offset,
    pte_dirty,
    pte_mkdirty,
    pte_mkyoung,
    pte_none,
    pte_offset_map,
    pte_pfn,
    pte_present,
    pte_protnone,
    pte_special,
    pte_write,
    pud_none,
    pud_offset,
    set_pte_at,
)
from mmscope.kernel.include.errno import (
    EBUSY,
    EEXIST,
    EFAULT,
    EINTR,
    EMLINK,
    ENOENT,
    ENOMEM,
    KernelBug,
    KernelError,
)
from mmscope.kernel.include.mm import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_KILLABLE,
    FAULT_FLAG_REMOTE,
    FAULT_FLAG_RETRY_NOWAIT,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    FOLL_ANON,
    FOLL_COW,
    FOLL_DUMP,
    FOLL_FORCE,
    FOLL_GET,
    FOLL_MLOCK,
    FOLL_NOWAIT,
    FOLL_PIN,
    FOLL_POPULATE,
    FOLL_REMOTE,
    FOLL_TOUCH,
    FOLL_TRIED,
    FOLL_WRITE,
    GUP_PIN_COUNTING_BIAS,
    VM_FAULT_COMPLETED,
    VM_FAULT_ERROR,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_FAULT_SIGSEGV,
    VM_FAULT_WRITE,
    VM_IO,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from mmscope.kernel.include.page import PAGE_SIZE, TASK_SIZE_MAX
from mmscope.kernel.include.page_flags import PageAnon, PageAnonExclusive, PG_dirty, PG_referenced
from mmscope.kernel.include.pagemap import trylock_page, unlock_page
from mmscope.kernel.mm.memory import (
    handle_mm_fault,
    is_cow_mapping,
    is_zero_pfn,
    vm_normal_page,
    vma_is_accessible,
    vma_is_anonymous,
)
from mmscope.kernel.mm.page_alloc import get_page, page_ref_add, pfn_to_page, put_page
from mmscope.kernel.mm.page_writeback import set_page_dirty
from mmscope.kernel.mm.swap import lru_add_drain, mark_page_accessed
from mmscope.kernel.mm.vmstat import NR_FOLL_PIN_ACQUIRED, NR_FOLL_PIN_RELEASED, mod_page_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

__all__ = [
    "GupLocked", "__get_user_pages", "__mm_populate", "check_vma_flags", "faultin_page", "follow_page_mask", "follow_page_pte",
    "get_user_pages_fast", "get_user_pages_remote", "mm_populate", "pin_user_pages_remote", "populate_vma_page_range",
    "unpin_user_page", "unpin_user_pages_dirty_lock",
]  # fmt: skip

#: A PROT_NONE entry counts as absent: set for all callers without FOLL_FORCE.
FOLL_NUMA: Final = 0x200


class GupLocked:
    """`int *locked`: 1 while mmap_lock is held; a handler that gave it up (VM_FAULT_RETRY) makes it 0."""

    def __init__(self) -> None:
        self.locked = 1


def no_page_table(vma: VmAreaStruct, flags: int) -> Page | None:
    """Nothing is mapped: None asks for a fault; a core dump rather skips what would only be zeros (EFAULT)."""
    if flags & FOLL_DUMP and (vma.vm_ops is None or vma.vm_ops.fault is None):
        raise KernelError(EFAULT)
    return None


def follow_pfn_pte(vma: VmAreaStruct, address: int, ptep: int, flags: int) -> int:
    """An entry without a struct page: EFAULT if a reference is wanted, else EEXIST after touching it."""
    if flags & FOLL_GET:
        return EFAULT
    if flags & FOLL_TOUCH:
        words = vma.vm_mm.kernel.words
        entry: i64 = words[ptep]
        if flags & FOLL_WRITE:
            entry = pte_mkdirty(entry)
        entry = pte_mkyoung(entry)
        if words[ptep] != entry:
            set_pte_at(vma.vm_mm, address, ptep, entry)
    return EEXIST


def can_follow_write_pte(vma: VmAreaStruct, pte: i64, page: Page | None, flags: int) -> bool:
    """Writable, or a forced write whose copy was made already (FOLL_COW, Dirty COW's fix).

    Since v6.0 (5535be309971) the page says so itself: in a private read-only mapping it is exclusive.
    """
    if pte_write(pte):
        return True
    if not flags & FOLL_FORCE:
        return False
    if not vma.vm_mm.kernel.config.at_least(6, 0):
        return flags & FOLL_COW != 0 and pte_dirty(pte)
    if vma.vm_flags & (VM_MAYSHARE | VM_SHARED | VM_MAYWRITE | VM_WRITE) != VM_MAYWRITE:
        return False
    return page is not None and PageAnon(page) and PageAnonExclusive(page)


def gup_must_unshare(flags: int, page: Page) -> bool:
    """A page to be pinned for reading has to be made exclusive first, lest a later write leave the pin behind (v5.19)."""
    return (
        flags & (FOLL_WRITE | FOLL_PIN) == FOLL_PIN
        and PageAnon(page)
        and not PageAnonExclusive(page)
        and page.kernel.config.at_least(5, 19)
    )


def try_grab_page(page: Page, flags: int) -> None:
    """Take the reference that the caller wants: FOLL_PIN counts as 1024, so that it can be told from others."""
    if flags & FOLL_PIN:
        page_ref_add(page, GUP_PIN_COUNTING_BIAS)
        mod_page_state(page.kernel, NR_FOLL_PIN_ACQUIRED, 1)
    elif flags & FOLL_GET:
        get_page(page)


def follow_page_pte(vma: VmAreaStruct, address: int, pmdp: int, flags: int) -> Page | None:
    """The page mapped at `address`; None = fault first. Raises EEXIST (no struct page), EFAULT, or EMLINK (unshare first)."""
    k = vma.vm_mm.kernel
    ptep = pte_offset_map(k, pmdp, address)
    pte: i64 = k.words[ptep]
    if not pte_present(pte) or (flags & FOLL_NUMA and pte_protnone(pte)):
        return no_page_table(vma, flags) if pte_none(pte) else None
    page = vm_normal_page(vma, address, pte)
    if flags & FOLL_WRITE and not can_follow_write_pte(vma, pte, page, flags):
        return None
    if page is None:
        if flags & FOLL_DUMP:
            raise KernelError(EFAULT)
        if not is_zero_pfn(k, pte_pfn(pte)):
            raise KernelError(follow_pfn_pte(vma, address, ptep, flags))
        page = pfn_to_page(k, pte_pfn(pte))
    if not pte_write(pte) and gup_must_unshare(flags, page):
        raise KernelError(EMLINK)
    try_grab_page(page, flags)
    if flags & FOLL_TOUCH:
        if flags & FOLL_WRITE and not pte_dirty(pte) and page.flags & PG_dirty == 0:
            set_page_dirty(page)
        mark_page_accessed(page)
    if flags & FOLL_MLOCK and vma.vm_flags & VM_LOCKED:
        if page.mapping is not None and trylock_page(page):
            lru_add_drain(k)  # only pages on a list can move to the unevictable one
            mm_mlock.mlock_vma_page(page)
            unlock_page(page)
    return page


def follow_page_mask(vma: VmAreaStruct, address: int, flags: int) -> Page | None:
    """Walk down to the entry of `address` (with follow_p4d_mask, follow_pud_mask, follow_pmd_mask)."""
    mm = vma.vm_mm
    k = mm.kernel
    pgdp = pgd_offset(mm, address)
    if pgd_none(k.words[pgdp]):
        return no_page_table(vma, flags)
    pudp = pud_offset(k, pgdp, address)
    if pud_none(k.words[pudp]):
        return no_page_table(vma, flags)
    pmdp = pmd_offset(k, pudp, address)
    if pmd_none(k.words[pmdp]):
        return no_page_table(vma, flags)
    return follow_page_pte(vma, address, pmdp, flags)


def faultin_page(vma: VmAreaStruct, address: int, flags: int, locked: GupLocked | None, unshare: bool = False) -> tuple[int, int]:
    """Take a fault on behalf of the caller: (0 or a positive errno, new flags).

    EBUSY: the lock was dropped, start again later; ENOENT: mlock of what is present only. `unshare`: an anonymous page
    is there, but must become exclusive.
    """
    if flags & (FOLL_POPULATE | FOLL_MLOCK) == FOLL_MLOCK:
        return ENOENT, flags
    fault_flags = 0
    if flags & FOLL_WRITE:
        fault_flags |= FAULT_FLAG_WRITE
    if flags & FOLL_REMOTE:
        fault_flags |= FAULT_FLAG_REMOTE
    if locked is not None:
        fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE
    if flags & FOLL_NOWAIT:
        fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT
    if flags & FOLL_TRIED:
        fault_flags |= FAULT_FLAG_TRIED
    if unshare:
        fault_flags |= FAULT_FLAG_UNSHARE
    ret = handle_mm_fault(vma, address, fault_flags, None)
    if ret & VM_FAULT_ERROR:
        return vm_fault_to_errno(ret), flags
    if ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED):
        if locked is not None and not fault_flags & FAULT_FLAG_RETRY_NOWAIT:
            locked.locked = 0
        return EBUSY, flags
    # do_wp_page broke COW but left the entry read-only, as the VMA is: the next look must accept that.
    if ret & VM_FAULT_WRITE and not vma.vm_flags & VM_WRITE:
        flags |= FOLL_COW
    return 0, flags


def vm_fault_to_errno(vm_fault: int) -> int:
    """The errno of a failed fault (include/linux/mm.h)."""
    if vm_fault & VM_FAULT_OOM:
        return ENOMEM
    if vm_fault & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV):
        return EFAULT
    raise KernelBug(f"vm_fault_to_errno: {vm_fault:#x} is no error")


def check_vma_flags(vma: VmAreaStruct, gup_flags: int) -> bool:
    """May pages be got from this VMA? FOLL_FORCE (ptrace, populate) goes by VM_MAYREAD, and by COW for writing."""
    vm_flags = vma.vm_flags
    if vm_flags & (VM_IO | VM_PFNMAP):
        return False
    if gup_flags & FOLL_ANON and not vma_is_anonymous(vma):
        return False
    if gup_flags & FOLL_WRITE:
        if not vm_flags & VM_WRITE:
            return gup_flags & FOLL_FORCE != 0 and is_cow_mapping(vm_flags)
    elif not vm_flags & VM_READ:
        return gup_flags & FOLL_FORCE != 0 and vm_flags & VM_MAYREAD != 0
    return True


def __get_user_pages(
    mm: MmStruct, start: int, nr_pages: int, gup_flags: int, pages: list[Page] | None, locked: GupLocked | None
) -> int:
    """Walk `nr_pages` pages from `start` on, faulting; the number done. Raises the errno if it is none.

    `pages` gets them, with a reference or a pin each, when gup_flags has FOLL_GET or FOLL_PIN.
    """
    if nr_pages == 0:
        return 0
    if (pages is not None) != (gup_flags & (FOLL_GET | FOLL_PIN) != 0):
        raise KernelBug(f"__get_user_pages: flags {gup_flags:#x} do not go with pages {pages!r}")
    if not gup_flags & FOLL_FORCE:
        gup_flags |= FOLL_NUMA
    foll_flags = gup_flags
    current = mm.kernel.current
    vma: VmAreaStruct | None = None
    done = 0
    err = 0
    while done < nr_pages:
        if vma is None or start >= vma.vm_end:
            vma = mm_mmap.find_extend_vma(mm, start)
            if vma is None or not check_vma_flags(vma, gup_flags):
                err = EFAULT
                break
        if core_signal.fatal_signal_pending(current):
            err = EINTR
            break
        page: Page | None = None
        err = 0
        try:
            page = follow_page_mask(vma, start, foll_flags)
        except KernelError as error:
            err = error.args[0]
            if err not in (EEXIST, EMLINK):
                break
        if page is not None:
            if pages is not None:
                pages.append(page)
        elif err != EEXIST:
            err, foll_flags = faultin_page(vma, start, foll_flags, locked, err == EMLINK)
            if err == 0:
                continue
            if err == EBUSY:
                err = 0
                break
            if err != ENOENT:
                break
        err = 0
        done += 1
        start += PAGE_SIZE
        foll_flags = gup_flags
    if done == 0 and err:
        raise KernelError(err)
    return done


def get_user_pages_remote(mm: MmStruct, start: int, nr_pages: int, gup_flags: int) -> list[Page]:
    """Pages of any address space with a reference each, for access_process_vm and exec. May be fewer than asked for."""
    pages: list[Page] = []
    __get_user_pages(mm, start, nr_pages, gup_flags | FOLL_GET | FOLL_TOUCH | FOLL_REMOTE, pages, None)
    return pages


def __get_user_pages_locked(mm: MmStruct, start: int, nr_pages: int, gup_flags: int, pages: list[Page]) -> None:
    """__get_user_pages() for callers that can do without mmap_lock meanwhile: a fault may give it up, and is tried again.

    `pages` gets what can be had. Raises the errno if that is nothing.
    """
    locked = GupLocked()
    while nr_pages:
        try:
            done = __get_user_pages(mm, start, nr_pages, gup_flags, pages, locked)
            nr_pages -= done
            start += done * PAGE_SIZE
            if locked.locked:
                # Nothing was given up: that is all.
                return
            while not locked.locked:
                if core_signal.fatal_signal_pending(mm.kernel.current):
                    raise KernelError(EINTR)
                locked.locked = 1
                done = __get_user_pages(mm, start, 1, gup_flags | FOLL_TRIED, pages, locked)
            nr_pages -= done
            start += done * PAGE_SIZE
        except KernelError:
            if not pages:
                raise
            return


def pin_user_pages_remote(mm: MmStruct, start: int, nr_pages: int, gup_flags: int) -> list[Page]:
    """get_user_pages_remote() for those who read or write the pages' data: each is pinned, and fork() will not share it."""
    pages: list[Page] = []
    mm.has_pinned = True
    __get_user_pages_locked(mm, start, nr_pages, gup_flags | FOLL_PIN | FOLL_TOUCH | FOLL_REMOTE, pages)
    return pages


def unpin_user_page(page: Page) -> None:
    """Undo a pin."""
    mod_page_state(page.kernel, NR_FOLL_PIN_RELEASED, 1)
    page_ref_add(page, 1 - GUP_PIN_COUNTING_BIAS)
    put_page(page)


def unpin_user_pages_dirty_lock(pages: list[Page], make_dirty: bool) -> None:
    """Undo the pins of pages that, with `make_dirty`, were written to."""
    for page in pages:
        if make_dirty and not page.flags & PG_dirty and trylock_page(page):
            set_page_dirty(page)
            unlock_page(page)
        unpin_user_page(page)


def get_user_pages_unlocked(mm: MmStruct, start: int, nr_pages: int, gup_flags: int, pages: list[Page]) -> None:
    """get_user_pages() that takes mmap_lock itself, and so may give it up."""
    __get_user_pages_locked(mm, start, nr_pages, gup_flags | FOLL_TOUCH, pages)


def gup_pte_range(mm: MmStruct, addr: int, gup_flags: int) -> Page | None:
    """The page at `addr` with a reference, if the entry permits the access as it stands; nothing is locked, nothing faults.

    Neither the entry nor the page becomes dirty by that, and the page is referenced, not accessed.
    """
    k = mm.kernel
    words = k.words
    pgdp = pgd_offset(mm, addr)
    if pgd_none(words[pgdp]):
        return None
    pudp = pud_offset(k, pgdp, addr)
    if pud_none(words[pudp]):
        return None
    pmdp = pmd_offset(k, pudp, addr)
    if pmd_none(words[pmdp]):
        return None
    pte: i64 = words[pte_offset_map(k, pmdp, addr)]
    # pte_access_permitted()
    if not pte_present(pte) or pte_protnone(pte) or pte_special(pte) or (gup_flags & FOLL_WRITE and not pte_write(pte)):
        return None
    page = pfn_to_page(k, pte_pfn(pte))
    if not pte_write(pte) and gup_must_unshare(gup_flags, page):
        return None
    try_grab_page(page, gup_flags)
    page.flags |= PG_referenced
    return page


def get_user_pages_fast(k: Kernel, start: int, nr_pages: int, gup_flags: int) -> list[Page]:
    """Pages of the current task's address space with a reference each; may be fewer than asked for. Raises EFAULT.

    Those that are mapped as they are wanted come without a look at the VMA; from the first that is not on, the slow way.
    """
    mm = k.current.mm
    assert mm is not None
    if start < 0 or start + nr_pages * PAGE_SIZE > TASK_SIZE_MAX:
        raise KernelError(EFAULT)
    gup_flags |= FOLL_GET
    pages: list[Page] = []
    while len(pages) < nr_pages:
        page = gup_pte_range(mm, start + len(pages) * PAGE_SIZE, gup_flags)
        if page is None:
            get_user_pages_unlocked(mm, start + len(pages) * PAGE_SIZE, nr_pages - len(pages), gup_flags, pages)
            break
        pages.append(page)
    return pages


def populate_vma_page_range(vma: VmAreaStruct, start: int, end: int, locked: GupLocked | None = None) -> int:
    """Fault in [start, end) of `vma`, for writing if it is private and writable; the number of pages done."""
    if start < vma.vm_start or end > vma.vm_end or (start | end) & (PAGE_SIZE - 1):
        raise KernelBug(f"populate_vma_page_range: [{start:#x}, {end:#x}) in {vma!r}")
    gup_flags = FOLL_TOUCH | FOLL_POPULATE | FOLL_MLOCK
    if vma.vm_flags & VM_LOCKONFAULT and vma.vm_mm.kernel.config.at_least(5, 18):
        # b67bf49ce7aa: there is nothing to fault in, hence nothing that could fail.
        return (end - start) // PAGE_SIZE
    if vma.vm_flags & VM_LOCKONFAULT:
        gup_flags &= ~FOLL_POPULATE
    # A shared writable mapping is only read: writing would dirty all the file.
    if vma.vm_flags & (VM_WRITE | VM_SHARED) == VM_WRITE:
        gup_flags |= FOLL_WRITE
    if vma_is_accessible(vma):
        gup_flags |= FOLL_FORCE
    return __get_user_pages(vma.vm_mm, start, (end - start) // PAGE_SIZE, gup_flags, None, locked)


def __mm_populate(mm: MmStruct, start: int, len: int, ignore_errors: int) -> None:
    """Fault in a range, which may have holes. Raises the first error unless told to ignore them (mmap does)."""
    end = start + len
    vma: VmAreaStruct | None = None
    locked = GupLocked()
    locked.locked = 0
    nstart = start
    while nstart < end:
        if not locked.locked:
            locked.locked = 1
            vma = mm_mmap.find_vma(mm, nstart)
        elif vma is not None and nstart >= vma.vm_end:
            vma = vma.vm_next
        if vma is None or vma.vm_start >= end:
            break
        nend = min(end, vma.vm_end)
        if vma.vm_flags & (VM_IO | VM_PFNMAP):
            nstart = nend
            continue
        if nstart < vma.vm_start:
            nstart = vma.vm_start
        try:
            nend = nstart + populate_vma_page_range(vma, nstart, nend, locked) * PAGE_SIZE
        except KernelError:
            if not ignore_errors:
                raise
        nstart = nend


def mm_populate(mm: MmStruct, addr: int, len: int) -> None:
    """After mmap(MAP_POPULATE | MAP_LOCKED): errors do not count (include/linux/mm.h)."""
    __mm_populate(mm, addr, len, 1)
