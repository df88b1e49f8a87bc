# SPDX-License-Identifier: GPL-2.0-or-later
"""Linking, moving the borders of, and splitting VMAs (the first half of mm/mmap.c).

Import from mm/mmap.py, which re-exports all of it. Each VMA stands in up to four structures at once, which the functions
here keep in step: the mm's list, mm_rb, the file's i_mmap, and the anon_vma trees through its anon_vma_chain.
"""

from __future__ import annotations

import mmscope.kernel.mm.rmap as mm_rmap
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.include.errno import ENOMEM, EPERM, ETXTBSY, KernelBug, KernelError
from mmscope.kernel.include.mm import VM_ACCOUNT, VM_DENYWRITE, VM_MAYWRITE, VM_SHARED
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.lib.rbtree import RbNode, rb_erase_augmented, rb_insert_augmented, rb_link_node
from mmscope.kernel.mm.debug import validate_mm
from mmscope.kernel.mm.interval_tree import (
    anon_vma_interval_tree_insert,
    anon_vma_interval_tree_remove,
    vma_interval_tree_insert,
    vma_interval_tree_remove,
)
from mmscope.kernel.mm.mmap_area import (
    find_vma_links,
    vm_end_gap,
    vma_gap_callbacks,
    vma_gap_update,
    vma_is_anonymous,
    vma_pages,
)
from mmscope.kernel.mm.vmacache import vmacache_invalidate
from mmscope.kernel.tracepoint import trace_vma_adjust, trace_vma_link, trace_vma_unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import AddressSpace, Inode
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import AnonVma


# ---- struct vm_area_struct itself (kernel/fork.c)


def vm_area_alloc(mm: MmStruct) -> VmAreaStruct:
    """A blank VMA of `mm`."""
    return VmAreaStruct(mm)


def vm_area_dup(orig: VmAreaStruct) -> VmAreaStruct:
    """A copy of `orig` that is linked nowhere: no list, no tree, no anon_vma_chain (anon_vma itself is copied)."""
    new = VmAreaStruct(orig.vm_mm)
    new.vm_start = orig.vm_start
    new.vm_end = orig.vm_end
    new.vm_page_prot = orig.vm_page_prot
    new.vm_flags = orig.vm_flags
    new.rb_subtree_gap = orig.rb_subtree_gap
    new.anon_vma = orig.anon_vma
    new.vm_ops = orig.vm_ops
    new.vm_pgoff = orig.vm_pgoff
    new.vm_file = orig.vm_file
    new.vm_private_data = orig.vm_private_data
    return new


# ---- counters of a file's mappings (include/linux/fs.h)


def allow_write_access(inode: Inode) -> None:
    """One less who denies writing to the file."""
    inode.i_writecount += 1


def deny_write_access(inode: Inode) -> None:
    """Deny writing to the file; ETXTBSY if somebody has it open for writing."""
    if inode.i_writecount > 0:
        raise KernelError(ETXTBSY)
    inode.i_writecount -= 1


def mapping_map_writable(mapping: AddressSpace) -> None:
    """Count a shared mapping; EPERM if the file is sealed against them."""
    if mapping.i_mmap_writable < 0:
        raise KernelError(EPERM)
    mapping.i_mmap_writable += 1


def is_shared_maywrite(k: Kernel, vm_flags: int) -> bool:
    """Counted in i_mmap_writable: all that is shared, since v6.7 (e8e17ee90eaf; 6.1 stable) only what may be written."""
    return vm_flags & VM_SHARED != 0 and (vm_flags & VM_MAYWRITE != 0 or not k.config.at_least(6, 1))


def mapping_unmap_writable(mapping: AddressSpace) -> None:
    """One shared mapping less."""
    mapping.i_mmap_writable -= 1


# ---- i_mmap


def __remove_shared_vm_struct(vma: VmAreaStruct, mapping: AddressSpace) -> None:
    """Take `vma` out of its file's i_mmap and counters."""
    if vma.vm_flags & VM_DENYWRITE:
        allow_write_access(mapping.host)
    if is_shared_maywrite(vma.vm_mm.kernel, vma.vm_flags):
        mapping_unmap_writable(mapping)
    vma_interval_tree_remove(vma, mapping.i_mmap)


def unlink_file_vma(vma: VmAreaStruct) -> None:
    """Hide `vma` from the reverse map of its file, if it has one, before its page tables go."""
    file = vma.vm_file
    if file is not None:
        __remove_shared_vm_struct(vma, file.f_mapping)


def __vma_link_file(vma: VmAreaStruct) -> None:
    """Enter `vma` in the i_mmap of its file, if it has one."""
    file = vma.vm_file
    if file is not None:
        mapping = file.f_mapping
        if vma.vm_flags & VM_DENYWRITE:
            mapping.host.i_writecount -= 1
        if is_shared_maywrite(vma.vm_mm.kernel, vma.vm_flags):
            mapping.i_mmap_writable += 1
        vma_interval_tree_insert(vma, mapping.i_mmap)


# ---- list and tree


def vma_rb_erase(vma: VmAreaStruct, mm: MmStruct) -> None:
    """Take `vma` out of mm_rb."""
    rb_erase_augmented(vma.vm_rb, mm.mm_rb, vma_gap_callbacks)
    trace_vma_unlink(vma)


def __vma_link_rb(mm: MmStruct, vma: VmAreaStruct, rb_link: bool, rb_parent: RbNode | None) -> None:
    """Enter `vma`, already on the list, in mm_rb under `rb_parent` (left side if `rb_link`), gaps included."""
    next = vma.vm_next
    if next is not None:
        # The gap below the successor shrank.
        vma_gap_update(next)
    else:
        mm.highest_vm_end = vm_end_gap(vma)
    # Linked with gap 0, then propagated: the maxima above are right before rotations start.
    rb_link_node(vma.vm_rb, rb_parent, mm.mm_rb, rb_link)
    vma.rb_subtree_gap = 0
    vma_gap_update(vma)
    rb_insert_augmented(vma.vm_rb, mm.mm_rb, vma_gap_callbacks)


def __vma_link(mm: MmStruct, vma: VmAreaStruct, prev: VmAreaStruct | None, rb_link: bool, rb_parent: RbNode | None) -> None:
    """List and tree, but neither i_mmap nor map_count."""
    mm_util.__vma_link_list(mm, vma, prev)
    __vma_link_rb(mm, vma, rb_link, rb_parent)
    trace_vma_link(vma)


def vma_link(mm: MmStruct, vma: VmAreaStruct, prev: VmAreaStruct | None, rb_link: bool, rb_parent: RbNode | None) -> None:
    """Make `vma` part of `mm` at the place that find_vma_links() found."""
    __vma_link(mm, vma, prev, rb_link, rb_parent)
    __vma_link_file(vma)
    mm.map_count += 1
    validate_mm(mm)


def __insert_vm_struct(mm: MmStruct, vma: VmAreaStruct) -> None:
    """The half that split_vma() split off enters list and tree; its i_mmap entry exists already."""
    links = find_vma_links(mm, vma.vm_start, vma.vm_end)
    if links is None:
        raise KernelBug(f"__insert_vm_struct: {vma} overlaps {find_vma_links_overlap(mm, vma)}")
    prev, rb_link, rb_parent = links
    __vma_link(mm, vma, prev, rb_link, rb_parent)
    mm.map_count += 1


def find_vma_links_overlap(mm: MmStruct, vma: VmAreaStruct) -> VmAreaStruct | None:
    """For the message of a bug: what stands where `vma` wants to be."""
    other = mm.mmap
    while other is not None and other.vm_end <= vma.vm_start:
        other = other.vm_next
    return other


def insert_vm_struct(mm: MmStruct, vma: VmAreaStruct) -> None:
    """Insert a VMA whose place must be free (ENOMEM), charging it if it is VM_ACCOUNT: exec's stack, vdso."""
    links = find_vma_links(mm, vma.vm_start, vma.vm_end)
    if links is None:
        raise KernelError(ENOMEM)
    prev, rb_link, rb_parent = links
    if vma.vm_flags & VM_ACCOUNT:
        mm_util.security_vm_enough_memory_mm(mm, vma_pages(vma))
    if vma_is_anonymous(vma):
        # Until the first write fault pgoff is free to choose; this value lets neighbours merge.
        if vma.anon_vma is not None:
            raise KernelBug(f"insert_vm_struct: {vma} has {vma.anon_vma} before it was inserted")
        vma.vm_pgoff = vma.vm_start >> 12
    vma_link(mm, vma, prev, rb_link, rb_parent)


def __vma_unlink(mm: MmStruct, vma: VmAreaStruct) -> None:
    """Out of tree, list and vmacache."""
    vma_rb_erase(vma, mm)
    mm_util.__vma_unlink_list(mm, vma)
    vmacache_invalidate(mm)


def anon_vma_interval_tree_pre_update_vma(vma: VmAreaStruct) -> None:
    """Take a VMA out of all its anon_vmas' trees, for its limits are about to change."""
    for avc in vma.anon_vma_chain:
        assert avc.anon_vma is not None
        anon_vma_interval_tree_remove(avc, avc.anon_vma.rb_root)


def anon_vma_interval_tree_post_update_vma(vma: VmAreaStruct) -> None:
    """Put it back."""
    for avc in vma.anon_vma_chain:
        assert avc.anon_vma is not None
        anon_vma_interval_tree_insert(avc, avc.anon_vma.rb_root)


# ---- __vma_adjust


def _vma_adjust_import_anon_vma(importer: VmAreaStruct, exporter: VmAreaStruct) -> None:
    """A VMA that takes over pages needs the anon_vma that covers them."""
    if exporter.anon_vma is not None and importer.anon_vma is None:
        importer.anon_vma = exporter.anon_vma
        mm_rmap.anon_vma_clone(importer, exporter)


def _vma_adjust_limits(
    vma: VmAreaStruct,
    start: int,
    end: int,
    pgoff: int,
    insert: VmAreaStruct | None,
    next: VmAreaStruct | None,
    adjust_next: int,
    remove_next: int,
) -> None:
    """One pass of __vma_adjust(): set the limits with the VMA out of its interval trees, then mend list, tree and gaps."""
    mm = vma.vm_mm
    file = vma.vm_file
    old_start, old_end, old_pgoff = vma.vm_start, vma.vm_end, vma.vm_pgoff
    if file is not None and insert is not None:
        __vma_link_file(insert)

    anon_vma: AnonVma | None = vma.anon_vma
    if anon_vma is None and adjust_next:
        assert next is not None
        anon_vma = next.anon_vma
    if anon_vma is not None:
        anon_vma_interval_tree_pre_update_vma(vma)
        if adjust_next:
            assert next is not None
            if next.anon_vma is not None and next.anon_vma is not anon_vma:
                raise KernelBug(f"__vma_adjust: border between {vma} and {next} moves, their anon_vmas differ")
            anon_vma_interval_tree_pre_update_vma(next)

    if file is not None:
        vma_interval_tree_remove(vma, file.f_mapping.i_mmap)
        if adjust_next:
            assert next is not None
            vma_interval_tree_remove(next, file.f_mapping.i_mmap)

    vma.vm_start = start
    vma.vm_end = end
    vma.vm_pgoff = pgoff
    if adjust_next:
        assert next is not None
        next.vm_start += adjust_next
        next.vm_pgoff += adjust_next >> 12

    if file is not None:
        if adjust_next:
            assert next is not None
            vma_interval_tree_insert(next, file.f_mapping.i_mmap)
        vma_interval_tree_insert(vma, file.f_mapping.i_mmap)

    if remove_next:
        assert next is not None
        __vma_unlink(mm, next)
        if file is not None:
            __remove_shared_vm_struct(next, file.f_mapping)
    elif insert is not None:
        __insert_vm_struct(mm, insert)
    else:
        if start != old_start:
            vma_gap_update(vma)
        if end != old_end:
            if next is None:
                mm.highest_vm_end = vm_end_gap(vma)
            elif not adjust_next:
                vma_gap_update(next)

    if anon_vma is not None:
        anon_vma_interval_tree_post_update_vma(vma)
        if adjust_next:
            assert next is not None
            anon_vma_interval_tree_post_update_vma(next)

    trace_vma_adjust(vma, old_start, old_end, old_pgoff)
    if adjust_next:
        assert next is not None
        trace_vma_adjust(next, next.vm_start - adjust_next, next.vm_end, next.vm_pgoff - (adjust_next >> 12))


def __vma_adjust(
    vma: VmAreaStruct,
    start: int,
    end: int,
    pgoff: int,
    insert: VmAreaStruct | None,
    expand: VmAreaStruct | None,
) -> None:
    """Give `vma` the limits [start, end) and offset `pgoff`, and make its neighbours fit.

    insert: split_vma()'s other half, to be linked. expand: the VMA that grows in a merge, `vma` or its successor; then the
    successor (or `vma`) is shrunk, or removed when nothing is left of it, and in case 6 the one behind it too:

        remove_next 1: vma swallows next (cases 1, 7)   2: next and the one after (case 6)   3: next swallows vma (case 8)
    """
    mm = vma.vm_mm
    next = vma.vm_next
    adjust_next = 0
    remove_next = 0

    if next is not None and insert is None:
        if end >= next.vm_end:
            if next is expand:
                remove_next = 3
                vma, next = next, vma
            else:
                remove_next = 2 if end > next.vm_end else 1
                # In case 6 this pass goes only over the first of the two.
                end = next.vm_end
            exporter = next
            if remove_next == 2 and next.anon_vma is None:
                assert next.vm_next is not None
                exporter = next.vm_next
            _vma_adjust_import_anon_vma(vma, exporter)
        elif end > next.vm_start:
            # Case 5: the border moves up.
            adjust_next = end - next.vm_start
            _vma_adjust_import_anon_vma(vma, next)
        elif end < vma.vm_end:
            # Case 4: the border moves down.
            adjust_next = -(vma.vm_end - end)
            _vma_adjust_import_anon_vma(next, vma)

    while True:
        _vma_adjust_limits(vma, start, end, pgoff, insert, next, adjust_next, remove_next)
        if not remove_next:
            break
        assert next is not None
        if next.vm_file is not None:
            next.vm_file.f_count -= 1
        if next.anon_vma is not None:
            mm_rmap.anon_vma_merge(vma, next)
        mm.map_count -= 1
        # In case 8 `vma` and `next` were swapped: the gap below the survivor changed, otherwise the one above it.
        next = vma if remove_next == 3 else vma.vm_next
        if remove_next != 2:
            if next is not None:
                vma_gap_update(next)
            elif mm.highest_vm_end != vm_end_gap(vma):
                raise KernelBug(f"__vma_adjust: {vma} is last, but highest_vm_end is {mm.highest_vm_end:#x}")
            break
        remove_next = 1
        assert next is not None
        end = next.vm_end
    validate_mm(mm)


def vma_adjust(vma: VmAreaStruct, start: int, end: int, pgoff: int, insert: VmAreaStruct | None) -> None:
    """__vma_adjust() outside of a merge."""
    __vma_adjust(vma, start, end, pgoff, insert, None)


# ---- splitting


def __split_vma(mm: MmStruct, vma: VmAreaStruct, addr: int, new_below: bool) -> None:
    """Cut `vma` at `addr`; the new VMA is the part below if `new_below`, `vma` stays the other one.

    Since v5.11 (dd3b614f858d) `split` is called may_split.
    """
    ops = vma.vm_ops
    if ops is not None and ops.split is not None:
        ops.split(vma, addr)
    new = vm_area_dup(vma)
    if new_below:
        new.vm_end = addr
    else:
        new.vm_start = addr
        new.vm_pgoff += (addr - vma.vm_start) >> 12
    mm_rmap.anon_vma_clone(new, vma)
    if new.vm_file is not None:
        new.vm_file.f_count += 1
    if ops is not None and ops.open is not None:
        ops.open(new)
    if new_below:
        vma_adjust(vma, addr, vma.vm_end, vma.vm_pgoff + ((addr - new.vm_start) >> 12), new)
    else:
        vma_adjust(vma, vma.vm_start, addr, vma.vm_pgoff, new)


def split_vma(mm: MmStruct, vma: VmAreaStruct, addr: int, new_below: bool) -> None:
    """__split_vma() within max_map_count."""
    if mm.map_count >= mm.kernel.config.sysctl_max_map_count:
        raise KernelError(ENOMEM)
    __split_vma(mm, vma, addr, new_below)
