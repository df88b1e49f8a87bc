# SPDX-License-Identifier: GPL-2.0-or-later
"""The address space's part of kernel/fork.c: dup_mm() gives a child a copy of its parent's.

The child's list and tree are built from left to right, each VMA as the rightmost node, so that the tree has another shape
than the parent's. Memory itself is not copied: see mm/memory_fork.py.
"""

from __future__ import annotations

import mmscope.kernel.core.fork as core_fork
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.arch.x86.tlbflush import flush_tlb_mm
from mmscope.kernel.fs.file import get_file
from mmscope.kernel.include.errno import EINTR, KernelError
from mmscope.kernel.include.mm import (
    VM_ACCOUNT,
    VM_DENYWRITE,
    VM_DONTCOPY,
    VM_INIT_DEF_MASK,
    VM_LOCKED_CLEAR_MASK,
    VM_WIPEONFORK,
)
from mmscope.kernel.include.mm_types import MmStruct
from mmscope.kernel.mm.interval_tree import vma_interval_tree_insert_after
from mmscope.kernel.mm.memory import copy_page_range, get_mm_rss
from mmscope.kernel.mm.mmap import is_shared_maywrite, vm_area_dup, vm_stat_account, vma_pages
from mmscope.kernel.mm.mmap_vma import __vma_link_rb
from mmscope.kernel.mm.rmap import anon_vma_fork
from mmscope.kernel.mm.util import security_vm_enough_memory_mm
from mmscope.kernel.tracepoint import trace_vma_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.mm_types import VmAreaStruct
    from mmscope.kernel.include.sched import TaskStruct
    from mmscope.kernel.lib.rbtree import RbNode

__all__ = ["dup_mm", "dup_mmap", "get_mm_exe_file"]


def get_mm_exe_file(mm: MmStruct) -> File | None:
    """The file that the mm executes, with a reference for the caller."""
    return get_file(mm.exe_file) if mm.exe_file is not None else None


def _copy_fields(mm: MmStruct, oldmm: MmStruct) -> None:
    """dup_mm()'s memcpy, of what mm_init() does not reset."""
    mm.get_unmapped_area = oldmm.get_unmapped_area
    mm.mmap_base, mm.mmap_legacy_base = oldmm.mmap_base, oldmm.mmap_legacy_base
    mm.task_size, mm.highest_vm_end = oldmm.task_size, oldmm.highest_vm_end
    mm.start_code, mm.end_code = oldmm.start_code, oldmm.end_code
    mm.start_data, mm.end_data = oldmm.start_data, oldmm.end_data
    mm.start_brk, mm.brk, mm.start_stack = oldmm.start_brk, oldmm.brk, oldmm.start_stack
    mm.arg_start, mm.arg_end = oldmm.arg_start, oldmm.arg_end
    mm.env_start, mm.env_end = oldmm.env_start, oldmm.env_end
    mm.saved_auxv = list(oldmm.saved_auxv)
    mm.vdso, mm.vdso_image = oldmm.vdso, oldmm.vdso_image
    mm.personality, mm.membarrier_state = oldmm.personality, oldmm.membarrier_state
    # mm_init(): what mlockall(MCL_FUTURE) asked for ends here.
    mm.def_flags = oldmm.def_flags & VM_INIT_DEF_MASK


def _dup_vma_file(tmp: VmAreaStruct, mpnt: VmAreaStruct) -> None:
    """dup_mmap()'s part for a mapping of a file: one more user of it, right behind the parent's in i_mmap."""
    file = tmp.vm_file
    if file is None:
        return
    mapping = file.f_mapping
    get_file(file)
    if tmp.vm_flags & VM_DENYWRITE:
        mapping.host.i_writecount -= 1
    if is_shared_maywrite(tmp.vm_mm.kernel, tmp.vm_flags):
        mapping.i_mmap_writable += 1
    vma_interval_tree_insert_after(tmp, mpnt, mapping.i_mmap)


def dup_mmap(mm: MmStruct, oldmm: MmStruct) -> None:
    """Fill `mm` with copies of all VMAs of `oldmm` but VM_DONTCOPY ones. Raises KernelError(ENOMEM, EINTR), half done.

    Precondition: `oldmm` is the current task's. What was done stays in `mm`, for mmput() to undo.
    """
    current = mm.kernel.current
    mm.exe_file = get_mm_exe_file(oldmm)
    mm.total_vm, mm.data_vm = oldmm.total_vm, oldmm.data_vm
    mm.exec_vm, mm.stack_vm = oldmm.exec_vm, oldmm.stack_vm
    prev: VmAreaStruct | None = None
    rb_parent: RbNode | None = None
    mpnt = oldmm.mmap
    try:
        while mpnt is not None:
            if mpnt.vm_flags & VM_DONTCOPY:
                vm_stat_account(mm, mpnt.vm_flags, -vma_pages(mpnt))
                mpnt = mpnt.vm_next
                continue
            if core_signal.fatal_signal_pending(current):
                raise KernelError(EINTR)
            if mpnt.vm_flags & VM_ACCOUNT:
                # Asked on behalf of the parent: its size decides how much of the reserve is left.
                security_vm_enough_memory_mm(oldmm, vma_pages(mpnt))
            tmp = vm_area_dup(mpnt)
            tmp.vm_mm = mm
            # Here userfaultfd decides whether the child's VMA stays registered (dup_userfaultfd).
            if tmp.vm_flags & VM_WIPEONFORK:
                tmp.anon_vma = None
            else:
                anon_vma_fork(tmp, mpnt)
            tmp.vm_flags &= VM_LOCKED_CLEAR_MASK
            _dup_vma_file(tmp, mpnt)
            if prev is None:
                mm.mmap = tmp
            else:
                prev.vm_next = tmp
            tmp.vm_prev = prev
            prev = tmp
            __vma_link_rb(mm, tmp, False, rb_parent)
            trace_vma_link(tmp)
            rb_parent = tmp.vm_rb
            mm.map_count += 1
            try:
                if not tmp.vm_flags & VM_WIPEONFORK:
                    copy_page_range(tmp, mpnt)
            finally:
                # Even after a failure: exit_mmap() will ->close it.
                if tmp.vm_ops is not None and tmp.vm_ops.open is not None:
                    tmp.vm_ops.open(tmp)
            mpnt = mpnt.vm_next
    finally:
        # Private entries of the parent have lost RW.
        flush_tlb_mm(oldmm)


def dup_mm(tsk: TaskStruct, oldmm: MmStruct) -> MmStruct:
    """A copy of the current task's address space for its child `tsk`, with one user. Raises KernelError(ENOMEM, EINTR)."""
    mm = MmStruct(oldmm.kernel)
    _copy_fields(mm, oldmm)
    core_fork.mm_init(mm)
    try:
        dup_mmap(mm, oldmm)
    except KernelError:
        core_fork.mmput(mm)
        raise
    mm.hiwater_rss = get_mm_rss(mm)
    mm.hiwater_vm = mm.total_vm
    return mm
