# SPDX-License-Identifier: GPL-2.0-or-later
"""mlock(2) and its relatives: VM_LOCKED on the VMA, PG_mlocked on its pages (mm/mlock.c)."""

from __future__ import annotations

import mmscope.kernel.mm.gup as mm_gup
import mmscope.kernel.mm.mmap as mm_mmap
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.include.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM, KernelError
from mmscope.kernel.include.mm import (
    FOLL_DUMP,
    VM_DROPPABLE,
    VM_LOCKED,
    VM_LOCKED_CLEAR_MASK,
    VM_LOCKONFAULT,
    VM_MAYBE_GUARD,
    VM_SPECIAL,
)
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, TASK_SIZE
from mmscope.kernel.include.page_flags import PG_lru, PG_mlocked, PG_unevictable
from mmscope.kernel.include.resource import RLIMIT_MEMLOCK
from mmscope.kernel.mm.page_alloc import page_mapcount
from mmscope.kernel.mm.rmap import try_to_munlock
from mmscope.kernel.mm.swap import add_page_to_lru_list, del_page_from_lru_list, lru_add_drain, page_lru
from mmscope.kernel.mm.vmscan import isolate_lru_page, putback_lru_page
from mmscope.kernel.mm.vmstat import (
    NR_MLOCK,
    UNEVICTABLE_PGCLEARED,
    UNEVICTABLE_PGMLOCKED,
    UNEVICTABLE_PGMUNLOCKED,
    UNEVICTABLE_PGRESCUED,
    UNEVICTABLE_PGSTRANDED,
    count_vm_event,
    mod_page_state,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct

MLOCK_ONFAULT: Final = 1
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
MCL_ONFAULT: Final = 4


def clear_page_mlock(page: Page) -> None:
    """The last mapping of a locked page goes, or the page is truncated."""
    if not page.flags & PG_mlocked:
        return
    page.flags &= ~PG_mlocked
    mod_page_state(page.kernel, NR_MLOCK, -1)
    count_vm_event(page.kernel, UNEVICTABLE_PGCLEARED)
    if isolate_lru_page(page):
        putback_lru_page(page)
    elif page.flags & PG_unevictable:
        count_vm_event(page.kernel, UNEVICTABLE_PGSTRANDED)


def mlock_vma_page(page: Page) -> None:
    """Mark a page of a locked VMA. A page on an LRU list goes to the unevictable one, through the pagevec lru_add."""
    if not page.flags & PG_mlocked:
        page.flags |= PG_mlocked
        mod_page_state(page.kernel, NR_MLOCK, 1)
        count_vm_event(page.kernel, UNEVICTABLE_PGMLOCKED)
        if isolate_lru_page(page):
            putback_lru_page(page)


def __munlock_isolated_page(page: Page) -> None:
    """Another locked VMA may map the page; then put it back where it belongs."""
    if page_mapcount(page) > 1:
        try_to_munlock(page)
    if not page.flags & PG_mlocked:
        count_vm_event(page.kernel, UNEVICTABLE_PGMUNLOCKED)
    putback_lru_page(page)


def __munlock_isolation_failed(page: Page) -> None:
    """The page waits in a pagevec: what drains that finds it unlocked."""
    unevictable = page.flags & PG_unevictable
    count_vm_event(page.kernel, UNEVICTABLE_PGSTRANDED if unevictable else UNEVICTABLE_PGMUNLOCKED)


def munlock_vma_page(page: Page) -> None:
    """Undo mlock_vma_page() for one mapping that goes."""
    if page.flags & PG_mlocked:
        page.flags &= ~PG_mlocked
        mod_page_state(page.kernel, NR_MLOCK, -1)
        if isolate_lru_page(page):
            __munlock_isolated_page(page)
        else:
            __munlock_isolation_failed(page)


def __munlock_pagevec(page: Page) -> None:
    """munlock_vma_page() as munlock() does it: a page with one mapping takes the short way, straight onto its LRU list."""
    if not page.flags & PG_mlocked or not page.flags & PG_lru or page_mapcount(page) > 1:
        munlock_vma_page(page)
        return
    page.flags &= ~PG_mlocked
    mod_page_state(page.kernel, NR_MLOCK, -1)
    del_page_from_lru_list(page)
    if page.flags & PG_unevictable:
        page.flags &= ~PG_unevictable
        count_vm_event(page.kernel, UNEVICTABLE_PGRESCUED)
    count_vm_event(page.kernel, UNEVICTABLE_PGMUNLOCKED)
    add_page_to_lru_list(page, page_lru(page))


def munlock_vma_pages_range(vma: VmAreaStruct, start: int, end: int) -> None:
    """Unlock [start, end) of `vma`: the flag first, then each page that is there."""
    k = vma.vm_mm.kernel
    mm_mmap.vm_flags_reset(vma, vma.vm_flags & VM_LOCKED_CLEAR_MASK)
    if k.config.at_least(5, 18):  # mlock and munlock go through pagevecs of their own
        lru_add_drain(k)
    stranded = False
    while start < end:
        # FOLL_DUMP: no zero page.
        try:
            page = mm_gup.follow_page_mask(vma, start, FOLL_DUMP)
        except KernelError:
            page = None
        if page is not None:
            stranded = stranded or not page.flags & PG_mlocked or not page.flags & PG_lru
            __munlock_pagevec(page)
        start += 4096
    if stranded:
        lru_add_drain(k)  # pagevec_release() of the pages that could not be isolated


def mlock_fixup(vma: VmAreaStruct, prev: VmAreaStruct | None, start: int, end: int, newflags: int) -> VmAreaStruct:
    """Give [start, end) of `vma` the locking of `newflags`, merging or splitting; the VMA that now holds it."""
    mm = vma.vm_mm
    old_flags = vma.vm_flags
    if newflags == old_flags or old_flags & (VM_SPECIAL | VM_DROPPABLE):
        return vma
    pgoff = vma.vm_pgoff + ((start - vma.vm_start) >> 12)
    merged = mm_mmap.vma_merge(mm, prev, start, end, newflags, vma.anon_vma, vma.vm_file, pgoff, vma)
    if merged is not None:
        vma = merged
    else:
        if start != vma.vm_start:
            mm_mmap.split_vma(mm, vma, start, True)
        if end != vma.vm_end:
            mm_mmap.split_vma(mm, vma, end, False)
    lock = newflags & VM_LOCKED != 0
    nr_pages = (end - start) >> 12
    if not lock:
        nr_pages = -nr_pages
    elif old_flags & VM_LOCKED:
        nr_pages = 0
    mm.locked_vm += nr_pages
    if lock:
        mm_mmap.vm_flags_reset(vma, newflags | vma.vm_flags & VM_MAYBE_GUARD)
    else:
        munlock_vma_pages_range(vma, start, end)
    return vma


def apply_vma_lock_flags(mm: MmStruct, start: int, len: int, flags: int) -> None:
    """Lock (`flags`) or unlock (0) all VMAs of a range; ENOMEM at a hole."""
    end = (start + len) & 0xFFFFFFFFFFFFFFFF
    if end < start:
        raise KernelError(EINVAL)
    if end == start:
        return
    vma = mm_mmap.find_vma(mm, start)
    if vma is None or vma.vm_start > start:
        raise KernelError(ENOMEM)
    prev = vma.vm_prev
    if start > vma.vm_start:
        prev = vma
    nstart = start
    while True:
        newflags = vma.vm_flags & VM_LOCKED_CLEAR_MASK | flags
        tmp = min(vma.vm_end, end)
        prev = mlock_fixup(vma, prev, nstart, tmp, newflags)
        nstart = tmp
        if nstart < prev.vm_end:
            nstart = prev.vm_end
        if nstart >= end:
            return
        following = prev.vm_next
        if following is None or following.vm_start != nstart:
            raise KernelError(ENOMEM)
        vma = following


def count_mm_mlocked_page_nr(mm: MmStruct, start: int, len: int) -> int:
    """Pages of the range that are locked already."""
    vma = mm_mmap.find_vma(mm, start)
    count = 0
    while vma is not None:
        if start >= vma.vm_end:
            vma = vma.vm_next
            continue
        if start + len <= vma.vm_start:
            break
        if vma.vm_flags & VM_LOCKED:
            if start > vma.vm_start:
                count -= start - vma.vm_start
            if start + len < vma.vm_end:
                count += start + len - vma.vm_start
                break
            count += vma.vm_end - vma.vm_start
        vma = vma.vm_next
    return count >> 12


def do_mlock(k: Kernel, start: int, len: int, flags: int) -> None:
    """mlock(2), mlock2(2): limits, flags, then fault everything in."""
    mm = k.current.mm
    assert mm is not None
    if not mm_mmap.can_do_mlock(k):
        raise KernelError(EPERM)
    len = PAGE_ALIGN(len + (start & 4095)) & 0xFFFFFFFFFFFFFFFF
    start &= PAGE_MASK
    lock_limit = mm_util.rlimit(k, RLIMIT_MEMLOCK) >> 12
    locked = (len >> 12) + mm.locked_vm
    privileged = mm_util.capable(k, mm_util.CAP_IPC_LOCK)
    if locked > lock_limit and not privileged:
        # What is locked already does not count twice.
        locked -= count_mm_mlocked_page_nr(mm, start, len)
    if locked > lock_limit and not privileged:
        raise KernelError(ENOMEM)
    apply_vma_lock_flags(mm, start, len, flags)
    try:
        mm_gup.__mm_populate(mm, start, len, 0)
    except KernelError as e:
        # POSIX: what mlock() finds unmapped is ENOMEM, and lack of memory EAGAIN.
        if e.args[0] == EFAULT:
            raise KernelError(ENOMEM) from None
        if e.args[0] == ENOMEM:
            raise KernelError(EAGAIN) from None
        raise


def mlock(k: Kernel, start: int, len: int) -> None:
    """mlock(2)."""
    do_mlock(k, start, len, VM_LOCKED)


def ksys_mlock2(k: Kernel, start: int, len: int, flags: int) -> None:
    """mlock2(2): MLOCK_ONFAULT locks pages as they come."""
    if flags & ~MLOCK_ONFAULT:
        raise KernelError(EINVAL)
    do_mlock(k, start, len, VM_LOCKED | VM_LOCKONFAULT if flags & MLOCK_ONFAULT else VM_LOCKED)


def do_munlock(k: Kernel, start: int, len: int) -> None:
    """munlock(2)."""
    mm = k.current.mm
    assert mm is not None
    len = PAGE_ALIGN(len + (start & 4095)) & 0xFFFFFFFFFFFFFFFF
    apply_vma_lock_flags(mm, start & PAGE_MASK, len, 0)


def apply_mlockall_flags(mm: MmStruct, flags: int) -> None:
    """Set what future mappings get, and lock or unlock the present ones; errors of single VMAs are ignored."""
    mm.def_flags &= VM_LOCKED_CLEAR_MASK
    if flags & MCL_FUTURE:
        mm.def_flags |= VM_LOCKED
        if flags & MCL_ONFAULT:
            mm.def_flags |= VM_LOCKONFAULT
        if not flags & MCL_CURRENT:
            return
    to_add = 0
    if flags & MCL_CURRENT:
        to_add |= VM_LOCKED
        if flags & MCL_ONFAULT:
            to_add |= VM_LOCKONFAULT
    prev: VmAreaStruct | None = None
    vma = mm.mmap
    while vma is not None:
        newflags = vma.vm_flags & VM_LOCKED_CLEAR_MASK | to_add
        try:
            prev = mlock_fixup(vma, prev, vma.vm_start, vma.vm_end, newflags)
        except KernelError:
            prev = vma
        vma = prev.vm_next


def ksys_mlockall(k: Kernel, flags: int) -> None:
    """mlockall(2)."""
    mm = k.current.mm
    assert mm is not None
    if not flags or flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) or flags == MCL_ONFAULT:
        raise KernelError(EINVAL)
    if not mm_mmap.can_do_mlock(k):
        raise KernelError(EPERM)
    lock_limit = mm_util.rlimit(k, RLIMIT_MEMLOCK) >> 12
    if flags & MCL_CURRENT and mm.total_vm > lock_limit and not mm_util.capable(k, mm_util.CAP_IPC_LOCK):
        raise KernelError(ENOMEM)
    apply_mlockall_flags(mm, flags)
    if flags & MCL_CURRENT:
        mm_gup.mm_populate(mm, 0, TASK_SIZE)


def do_munlockall(k: Kernel) -> None:
    """munlockall(2)."""
    mm = k.current.mm
    assert mm is not None
    apply_mlockall_flags(mm, 0)
