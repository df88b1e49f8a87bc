# SPDX-License-Identifier: GPL-2.0-or-later
"""mmap, munmap and brk (mm/mmap.c).

Linux's file has 3,800 lines; here it is seven: mmap_area.py finds VMAs and free space, mmap_vma.py links and splits VMAs,
mmap_merge.py merges them, mmap_limits.py counts and grows the stack, mmap_special.py maps the vdso, mmap_unmap.py unmaps,
and this one maps and moves the break. All names are importable from here, and only from here. mmap_remap.py stands above:
remap_file_pages.
"""

from __future__ import annotations

import mmscope.kernel.fs.file as fs_file
import mmscope.kernel.fs.hugetlbfs as fs_hugetlbfs
import mmscope.kernel.mm.gup as mm_gup
import mmscope.kernel.mm.hugetlb as mm_hugetlb
import mmscope.kernel.mm.shmem as mm_shmem
import mmscope.kernel.mm.shmem_acct as mm_shmem_acct
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.arch.x86.pgtable import vm_get_page_prot
from mmscope.kernel.include.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    KernelError,
)
from mmscope.kernel.include.fs import FMODE_READ, FMODE_WRITE, MAX_LFS_FILESIZE, S_APPEND, S_IFBLK, S_IFMT, S_IFREG
from mmscope.kernel.include.limits import ULONG_MAX
from mmscope.kernel.include.mm import (
    VM_ACCOUNT,
    VM_DATA_FLAGS_EXEC,
    VM_DATA_FLAGS_NON_EXEC,
    VM_DENYWRITE,
    VM_DONTDUMP,
    VM_DROPPABLE,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_LOCKED_CLEAR_MASK,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_NORESERVE,
    VM_SHARED,
    VM_SOFTDIRTY,
    VM_SPECIAL,
    VM_SYNC,
    VM_WIPEONFORK,
    VM_WRITE,
)
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.include.mman import (
    LEGACY_MAP_MASK,
    MAP_ABOVE4G,
    MAP_ANONYMOUS,
    MAP_DENYWRITE,
    MAP_DROPPABLE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGE_MASK,
    MAP_HUGE_SHIFT,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_TYPE,
    OVERCOMMIT_NEVER,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.page import PAGE_ALIGN
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_DATA
from mmscope.kernel.include.sched import READ_IMPLIES_EXEC
from mmscope.kernel.lib.rbtree import RbNode
from mmscope.kernel.mm.debug import validate_mm
from mmscope.kernel.mm.mmap_area import (
    VM_UNMAPPED_AREA_TOPDOWN,
    VmUnmappedAreaInfo,
    find_vma,
    find_vma_intersection,
    find_vma_links,
    find_vma_prev,
    get_unmapped_area,
    round_hint_to_min,
    security_mmap_addr,
    unmapped_area,
    unmapped_area_topdown,
    vm_end_gap,
    vm_flags_reset,
    vm_start_gap,
    vm_unmapped_area,
    vma_compute_gap,
    vma_gap_callbacks,
    vma_gap_update,
    vma_is_anonymous,
    vma_next,
    vma_pages,
)
from mmscope.kernel.mm.mmap_limits import (
    accountable_mapping,
    acct_stack_growth,
    can_do_mlock,
    expand_downwards,
    expand_stack,
    find_extend_vma,
    may_expand_vm,
    mlock_future_check,
    vm_pgprot_modify,
    vm_stat_account,
    vma_is_accessible,
    vma_set_page_prot,
    vma_wants_writenotify,
)
from mmscope.kernel.mm.mmap_merge import (
    anon_vma_compatible,
    can_vma_merge_after,
    can_vma_merge_before,
    copy_vma,
    find_mergeable_anon_vma,
    is_mergeable_anon_vma,
    is_mergeable_vma,
    reusable_anon_vma,
    vma_merge,
    vma_merge_extend,
    vma_merge_new,
)
from mmscope.kernel.mm.mmap_special import _install_special_mapping, special_mapping_vmops
from mmscope.kernel.mm.mmap_unmap import (
    __do_munmap,
    detach_vmas_to_be_unmapped,
    do_munmap,
    exit_mmap,
    munmap_vma_range,
    remove_vma,
    split_at_borders,
    unmap_region,
    vm_munmap,
)
from mmscope.kernel.mm.mmap_vma import (
    __split_vma,
    __vma_adjust,
    __vma_link,
    allow_write_access,
    anon_vma_interval_tree_post_update_vma,
    anon_vma_interval_tree_pre_update_vma,
    deny_write_access,
    insert_vm_struct,
    is_shared_maywrite,
    mapping_map_writable,
    mapping_unmap_writable,
    split_vma,
    unlink_file_vma,
    vm_area_alloc,
    vm_area_dup,
    vma_adjust,
    vma_link,
    vma_rb_erase,
)
from mmscope.kernel.mm.mmu_gather import MmuGather

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "VM_UNMAPPED_AREA_TOPDOWN", "MmuGather", "VmUnmappedAreaInfo", "__do_munmap", "__split_vma", "__vma_adjust", "__vma_link",
    "_install_special_mapping", "accountable_mapping", "acct_stack_growth", "allow_write_access", "anon_vma_compatible",
    "anon_vma_interval_tree_post_update_vma", "anon_vma_interval_tree_pre_update_vma", "can_do_mlock", "can_vma_merge_after",
    "can_vma_merge_before", "copy_vma", "count_vma_pages_range", "deny_write_access", "detach_vmas_to_be_unmapped", "do_brk",
    "do_brk_flags", "do_mmap", "do_munmap", "exit_mmap", "expand_downwards", "expand_stack", "find_extend_vma",
    "find_mergeable_anon_vma", "find_vma", "find_vma_intersection", "find_vma_links", "find_vma_prev", "get_unmapped_area",
    "insert_vm_struct", "is_mergeable_anon_vma", "is_mergeable_vma", "ksys_mmap_pgoff", "mapping_map_writable",
    "mapping_unmap_writable", "may_expand_vm", "mlock_future_check", "mmap_region", "munmap_vma_range", "remove_vma",
    "reusable_anon_vma", "round_hint_to_min", "security_mmap_addr", "special_mapping_vmops", "split_vma", "unlink_file_vma",
    "unmap_region", "unmapped_area", "unmapped_area_topdown", "validate_mm", "vm_area_alloc", "vm_area_dup", "vm_brk_flags",
    "vm_end_gap", "vm_get_page_prot", "vm_munmap", "vm_pgprot_modify", "vm_stat_account", "vm_start_gap", "vm_unmapped_area",
    "vma_adjust", "vma_compute_gap", "vma_gap_callbacks", "vma_gap_update", "vma_is_accessible", "vma_is_anonymous",
    "vma_link", "vma_merge", "vma_next", "vma_pages", "vma_rb_erase", "vma_set_page_prot",
    "vm_flags_reset", "is_shared_maywrite", "vma_merge_extend", "vma_merge_new", "vma_wants_writenotify",
]  # fmt: skip


# ---- mmap


def ksys_mmap_pgoff(k: Kernel, addr: int, len: int, prot: int, flags: int, fd: int, pgoff: int) -> int:
    """mmap(2) with the offset in pages: find the file, or make one of huge pages for MAP_HUGETLB."""
    if flags & MAP_ANONYMOUS and not flags & MAP_HUGETLB:
        return mm_util.vm_mmap_pgoff(k, None, addr, len, prot, flags & ~(MAP_EXECUTABLE | MAP_DENYWRITE), pgoff)
    if not flags & MAP_ANONYMOUS:
        file = fs_file.get_file(fs_file.fget(k, fd))
    else:
        size = 1 << mm_hugetlb.hstate_sizelog(flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK)
        len = len + size - 1 & -size & ULONG_MAX
        file = fs_hugetlbfs.hugetlb_file_setup(k, "anon_hugepage", len)
    try:
        if mm_hugetlb.is_file_hugepages(file):
            len = len + mm_hugetlb.HPAGE_SIZE - 1 & mm_hugetlb.HPAGE_MASK & ULONG_MAX
        elif flags & MAP_HUGETLB:
            raise KernelError(EINVAL)
        return mm_util.vm_mmap_pgoff(k, file, addr, len, prot, flags & ~(MAP_EXECUTABLE | MAP_DENYWRITE), pgoff)
    finally:
        fs_file.fput(file)


def file_mmap_ok(file: File, pgoff: int, len: int) -> bool:
    """The file type can have bytes at these offsets."""
    mode = file.f_inode.i_mode & S_IFMT
    maxsize = MAX_LFS_FILESIZE if mode in (S_IFREG, S_IFBLK) else ULONG_MAX
    if len > maxsize:
        return False
    return pgoff <= (maxsize - len) >> 12


def _do_mmap_file(file: File, prot: int, flags: int, vm_flags: int, pgoff: int, len: int) -> int:
    """do_mmap()'s checks of a file mapping; the new vm_flags."""
    if not file_mmap_ok(file, pgoff, len):
        raise KernelError(EOVERFLOW)
    type = flags & MAP_TYPE
    if type in (MAP_SHARED, MAP_SHARED_VALIDATE):
        # Plain MAP_SHARED ignores unknown flags, for compatibility.
        known = LEGACY_MAP_MASK | file.f_op.mmap_supported_flags
        if file.f_inode.i_sb.kernel.config.at_least(6, 6):
            known |= MAP_ABOVE4G
        if type == MAP_SHARED_VALIDATE and flags & ~known:
            raise KernelError(EOPNOTSUPP)
        if prot & PROT_WRITE and not file.f_mode & FMODE_WRITE:
            raise KernelError(EACCES)
        # Who may only append must not write anywhere.
        if file.f_inode.i_flags & S_APPEND and file.f_mode & FMODE_WRITE:
            raise KernelError(EACCES)
        vm_flags |= VM_SHARED | VM_MAYSHARE
        if not file.f_mode & FMODE_WRITE:
            vm_flags &= ~(VM_MAYWRITE | VM_SHARED)
    elif type != MAP_PRIVATE:
        raise KernelError(EINVAL)
    if not file.f_mode & FMODE_READ:
        raise KernelError(EACCES)
    if fs_file.path_noexec(file):
        if vm_flags & VM_EXEC:
            raise KernelError(EPERM)
        vm_flags &= ~VM_MAYEXEC
    if file.f_op.mmap is None:
        raise KernelError(ENODEV)
    if vm_flags & VM_GROWSDOWN:
        raise KernelError(EINVAL)
    config = file.f_inode.i_sb.kernel.config
    if config.at_least(6, 14) or (config.at_least(6, 13) and not vm_flags & VM_WRITE):
        # v6.13 (8ec396d05d1b) lets mappings that cannot write pass mapping_map_writable() again. What can write was refused by
        # ->mmap() until v6.14 (commit unknown), after the target of MAP_FIXED was unmapped.
        vm_flags = mm_shmem_acct.memfd_check_seals_mmap(file, vm_flags)
    return vm_flags


def do_mmap(
    mm: MmStruct, file: File | None, addr: int, len: int, prot: int, flags: int, vm_flags: int, pgoff: int
) -> tuple[int, int]:
    """mmap: check everything in the kernel's order, then mmap_region(); (address, bytes to populate)."""
    k = mm.kernel
    if not len:
        raise KernelError(EINVAL)
    if prot & PROT_READ and k.current.personality & READ_IMPLIES_EXEC and (file is None or not fs_file.path_noexec(file)):
        prot |= PROT_EXEC
    if flags & MAP_FIXED_NOREPLACE:
        flags |= MAP_FIXED
    if not flags & MAP_FIXED:
        addr = round_hint_to_min(k, addr)
    len = PAGE_ALIGN(len) & ULONG_MAX
    if not len:
        raise KernelError(ENOMEM)
    if pgoff + (len >> 12) > ULONG_MAX:
        raise KernelError(EOVERFLOW)
    if mm.map_count > k.config.sysctl_max_map_count:
        raise KernelError(ENOMEM)

    addr = get_unmapped_area(mm, file, addr, len, pgoff, flags)
    if flags & MAP_FIXED_NOREPLACE:
        vma = find_vma(mm, addr)
        if vma is not None and vma.vm_start < addr + len:
            raise KernelError(EEXIST)

    # calc_vm_prot_bits() and calc_vm_flag_bits(): VM_READ, WRITE, EXEC have the values of PROT_*.
    vm_flags |= prot & 7
    if flags & MAP_GROWSDOWN:
        vm_flags |= VM_GROWSDOWN
    if flags & MAP_STACK and mm.kernel.config.at_least(6, 7):  # c4608d1bf7c6 (v6.8, 6.7 stable)
        vm_flags |= VM_NOHUGEPAGE
    if flags & MAP_DENYWRITE:
        vm_flags |= VM_DENYWRITE
    if flags & MAP_LOCKED:
        vm_flags |= VM_LOCKED
    if flags & MAP_SYNC:
        vm_flags |= VM_SYNC
    vm_flags |= mm.def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
    if flags & MAP_LOCKED and not can_do_mlock(k):
        raise KernelError(EPERM)
    mlock_future_check(mm, vm_flags, len)

    type = flags & MAP_TYPE
    if file is not None:
        vm_flags = _do_mmap_file(file, prot, flags, vm_flags, pgoff, len)
    elif type == MAP_SHARED:
        if vm_flags & VM_GROWSDOWN:
            raise KernelError(EINVAL)
        pgoff = 0
        vm_flags |= VM_SHARED | VM_MAYSHARE
    elif type == MAP_PRIVATE:
        pgoff = addr >> 12
    elif type == MAP_DROPPABLE and k.config.at_least(6, 11):  # 9651fcedf7b9
        if flags & MAP_LOCKED or vm_flags & VM_GROWSDOWN:
            raise KernelError(EINVAL)
        vm_flags |= VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP
        pgoff = addr >> 12
    else:
        raise KernelError(EINVAL)

    if flags & MAP_NORESERVE:
        # Strict accounting does not let a process off; for huge pages it means that none are reserved.
        huge = file is not None and mm_hugetlb.is_file_hugepages(file)
        if huge or k.config.sysctl_overcommit_memory != OVERCOMMIT_NEVER:
            vm_flags |= VM_NORESERVE
    addr = mmap_region(mm, file, addr, len, vm_flags, pgoff)
    populate = 0
    if vm_flags & VM_LOCKED or flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
        populate = len
    return addr, populate


def count_vma_pages_range(mm: MmStruct, addr: int, end: int) -> int:
    """Pages of [addr, end) that are mapped."""
    vma = find_vma_intersection(mm, addr, end)
    if vma is None:
        return 0
    nr_pages = (min(end, vma.vm_end) - max(addr, vma.vm_start)) >> 12
    vma = vma.vm_next
    while vma is not None and vma.vm_start <= end:
        nr_pages += (min(end, vma.vm_end) - vma.vm_start) >> 12
        vma = vma.vm_next
    return nr_pages


def count_accounted_pages_range(mm: MmStruct, addr: int, end: int) -> int:
    """Pages of [addr, end) that are charged (VM_ACCOUNT): what unmapping the range gives back."""
    nr_pages = 0
    vma = find_vma_intersection(mm, addr, end)
    while vma is not None and vma.vm_start < end:
        if vma.vm_flags & VM_ACCOUNT:
            nr_pages += (min(end, vma.vm_end) - max(addr, vma.vm_start)) >> 12
        vma = vma.vm_next
    return nr_pages


def mmap_region(mm: MmStruct, file: File | None, addr: int, len: int, vm_flags: int, pgoff: int) -> int:
    """Map [addr, addr + len), already checked: unmap what is there, charge, merge with a neighbour or make a VMA."""
    npages = len >> 12
    gathers = mm.kernel.config.at_least(6, 12)
    if gathers:
        if file is not None and is_shared_maywrite(mm.kernel, vm_flags) and file.f_mapping.i_mmap_writable < 0:
            raise KernelError(EPERM)  # 5de195060b2e: mapping_map_writable() comes first of all
        # f8d112a4e657: what goes is gathered before anything is refused, so that a refusal leaves the borders split.
        split_at_borders(mm, addr, addr + len)
    if not may_expand_vm(mm, vm_flags, npages):
        # What a fixed mapping replaces does not count.
        if not may_expand_vm(mm, vm_flags, npages - count_vma_pages_range(mm, addr, addr + len)):
            raise KernelError(ENOMEM)
    charged = npages if accountable_mapping(file, vm_flags) else 0
    if charged and gathers:
        # Charged before anything is unmapped, and only for what the replaced mappings do not give back.
        replaced = count_accounted_pages_range(mm, addr, addr + len)
        mm_util.security_vm_enough_memory_mm(mm, charged - replaced)
        mm_util.vm_acct_memory(mm.kernel, replaced)
        try:
            prev, rb_link, rb_parent = munmap_vma_range(mm, addr, len)
        except KernelError:
            mm_util.vm_unacct_memory(mm.kernel, charged)
            raise
    else:
        prev, rb_link, rb_parent = munmap_vma_range(mm, addr, len)
        if charged:
            mm_util.security_vm_enough_memory_mm(mm, charged)
    if charged:
        vm_flags |= VM_ACCOUNT

    vma = vma_merge_new(mm, prev, addr, addr + len, vm_flags, file, pgoff)
    if vma is None:
        vma = vm_area_alloc(mm)
        vma.vm_start = addr
        vma.vm_end = addr + len
        vma.vm_flags = vm_flags
        vma.vm_page_prot = vm_get_page_prot(vm_flags)
        vma.vm_pgoff = pgoff
        try:
            if file is not None:
                vma = _mmap_region_file(mm, file, vma, prev, rb_link, rb_parent)
            else:
                if vm_flags & VM_SHARED:
                    mm_shmem.shmem_zero_setup(vma)
                vma_link(mm, vma, prev, rb_link, rb_parent)
        except KernelError:
            if charged:
                mm_util.vm_unacct_memory(mm.kernel, charged)
            raise
        vm_flags = vma.vm_flags

    vm_stat_account(mm, vm_flags, npages)
    if vm_flags & VM_LOCKED:
        if vm_flags & (VM_SPECIAL | VM_DROPPABLE):
            vm_flags_reset(vma, vma.vm_flags & VM_LOCKED_CLEAR_MASK)
        else:
            mm.locked_vm += npages
    # A new or grown mapping counts as soft-dirty as a whole, lest its first change be missed.
    vm_flags_reset(vma, vma.vm_flags | VM_SOFTDIRTY)
    vma_set_page_prot(vma)
    return addr


def _mmap_region_file(
    mm: MmStruct, file: File, vma: VmAreaStruct, prev: VmAreaStruct | None, rb_link: bool, rb_parent: RbNode | None
) -> VmAreaStruct:
    """mmap_region()'s part for a file: let it set up the new `vma` and link it; the VMA, or the one it merged into."""
    vm_flags = vma.vm_flags
    inode = file.f_inode
    mapping = file.f_mapping
    k = mm.kernel
    # Since v6.7 (158978945f31) it is counted after ->mmap(), which may have taken VM_MAYWRITE.
    counts = is_shared_maywrite(k, vm_flags) and (not k.config.at_least(6, 7) or k.config.at_least(6, 12))
    if vm_flags & VM_DENYWRITE:
        deny_write_access(inode)
    try:
        if counts:
            mapping_map_writable(mapping)
        vma.vm_file = fs_file.get_file(file)
        try:
            assert file.f_op.mmap is not None
            file.f_op.mmap(file, vma)
        except KernelError:
            fs_file.fput(vma.vm_file)
            vma.vm_file = None
            # Undo what a driver mapped before it failed.
            unmap_region(mm, vma, prev, vma.vm_start, vma.vm_end)
            if counts:
                mapping_unmap_writable(mapping)
            raise
    except KernelError:
        if vm_flags & VM_DENYWRITE:
            allow_write_access(inode)
        raise

    merge: VmAreaStruct | None = None
    if vm_flags != vma.vm_flags and prev is not None:
        # ->mmap() changed the flags: now it may fit its neighbour (since v5.9, d70cec898324).
        merge = vma_merge(mm, prev, vma.vm_start, vma.vm_end, vma.vm_flags, None, vma.vm_file, vma.vm_pgoff)
    if merge is not None:
        assert vma.vm_file is not None
        fs_file.fput(vma.vm_file)
        vma = merge
    vm_flags = vma.vm_flags
    if merge is None:
        vma_link(mm, vma, prev, rb_link, rb_parent)
    # The linked VMA counts by itself now.
    if counts:
        mapping_unmap_writable(mapping)
    if vm_flags & VM_DENYWRITE:
        allow_write_access(inode)
    return vma


# ---- brk


def do_brk(k: Kernel, brk: int) -> int:
    """brk(2): the new break, or the old one where it cannot be had."""
    mm = k.current.mm
    assert mm is not None
    origbrk = mm.brk
    if brk < mm.start_brk:
        return origbrk
    limit = mm_util.rlimit(k, RLIMIT_DATA)
    if limit < RLIM_INFINITY and brk - mm.start_brk + mm.end_data - mm.start_data > limit:
        return origbrk
    newbrk = PAGE_ALIGN(brk) & ULONG_MAX
    oldbrk = PAGE_ALIGN(mm.brk)
    if oldbrk == newbrk:
        mm.brk = brk
        return brk
    if brk <= mm.brk:
        if k.config.at_least(6, 1):  # the maple tree's brk wants something to unmap
            brkvma = find_vma(mm, newbrk)
            if brkvma is None or brkvma.vm_start >= oldbrk:
                return origbrk
        mm.brk = brk
        try:
            __do_munmap(mm, newbrk, oldbrk - newbrk)
        except KernelError:
            mm.brk = origbrk
            return origbrk
        return brk
    next = find_vma(mm, oldbrk)
    if next is not None and newbrk + 4096 > vm_start_gap(next):
        return origbrk
    try:
        do_brk_flags(mm, oldbrk, (newbrk - oldbrk) & ULONG_MAX, 0)
    except KernelError:
        return origbrk
    mm.brk = brk
    if newbrk > oldbrk and mm.def_flags & VM_LOCKED:
        mm_gup.mm_populate(mm, oldbrk, newbrk - oldbrk)
    return brk


def do_brk_flags(mm: MmStruct, addr: int, len: int, flags: int) -> None:
    """A simple mmap: private anonymous memory at a fixed address, `flags` none or VM_EXEC."""
    if flags & ~VM_EXEC:
        raise KernelError(EINVAL)
    k = mm.kernel
    rie = k.current.personality & READ_IMPLIES_EXEC
    flags |= (VM_DATA_FLAGS_EXEC if rie else VM_DATA_FLAGS_NON_EXEC) | VM_ACCOUNT | mm.def_flags
    get_unmapped_area(mm, None, addr, len, 0, MAP_FIXED)
    mlock_future_check(mm, mm.def_flags, len)
    prev, rb_link, rb_parent = munmap_vma_range(mm, addr, len)
    npages = len >> 12
    if not may_expand_vm(mm, flags, npages):
        raise KernelError(ENOMEM)
    if mm.map_count > k.config.sysctl_max_map_count:
        raise KernelError(ENOMEM)
    mm_util.security_vm_enough_memory_mm(mm, npages)
    pgoff = addr >> 12
    vma = vma_merge(mm, prev, addr, addr + len, flags, None, None, pgoff)
    if vma is None:
        vma = vm_area_alloc(mm)
        vma.vm_start = addr
        vma.vm_end = addr + len
        vma.vm_pgoff = pgoff
        vma.vm_flags = flags
        vma.vm_page_prot = vm_get_page_prot(flags)
        vma_link(mm, vma, prev, rb_link, rb_parent)
    mm.total_vm += npages
    mm.data_vm += npages
    if flags & VM_LOCKED:
        mm.locked_vm += npages
    vm_flags_reset(vma, vma.vm_flags | VM_SOFTDIRTY)


def vm_brk_flags(k: Kernel, addr: int, request: int, flags: int) -> None:
    """do_brk_flags() for the current task: the bss of a program."""
    mm = k.current.mm
    assert mm is not None
    len = PAGE_ALIGN(request)
    if len > ULONG_MAX:
        raise KernelError(ENOMEM)
    if not len:
        return
    do_brk_flags(mm, addr, len, flags)
    if mm.def_flags & VM_LOCKED:
        mm_gup.mm_populate(mm, addr, len)
