# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding VMAs and free ranges (the middle of mm/mmap.c). Import from mm/mmap.py, which re-exports all of it.

    vma.rb_subtree_gap = max(vma_compute_gap(vma), rb_subtree_gap of both children)

so that a search for free space looks only into subtrees that hold a gap of the wanted size.
"""

from __future__ import annotations

import mmscope.kernel.mm.maple_area as maple_area
import mmscope.kernel.mm.util as mm_util
from mmscope.kernel.arch.x86.pgtable import PMD_SIZE
from mmscope.kernel.include.errno import EINVAL, ENOMEM, EPERM, KernelError
from mmscope.kernel.include.mm import VM_GROWSDOWN
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmRb
from mmscope.kernel.include.mman import MAP_SHARED
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, TASK_SIZE
from mmscope.kernel.lib.rbtree import RbAugmentCallbacksMax, RbNode, rb_last
from mmscope.kernel.mm.vmacache import vmacache_find, vmacache_update
from mmscope.kernel.tracepoint import trace_vm_unmapped_area, trace_vma_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel

#: Where unmapped_area_topdown() searches from the top.
VM_UNMAPPED_AREA_TOPDOWN: Final = 1
#: Addresses above -MAX_ERRNO are errors (include/linux/err.h).
MAX_ERRNO: Final = 4095


def vm_start_gap(vma: VmAreaStruct) -> int:
    """Start of `vma` with the guard gap below it, if it grows down (include/linux/mm.h)."""
    start = vma.vm_start
    if vma.vm_flags & VM_GROWSDOWN:
        gap = vma.vm_mm.kernel.config.stack_guard_gap
        return start - gap if start > gap else 0
    return start


def vm_end_gap(vma: VmAreaStruct) -> int:
    """End of `vma`; no mapping of x86 grows up, so there is no gap above."""
    return vma.vm_end


def vma_pages(vma: VmAreaStruct) -> int:
    """Size of `vma`, pages."""
    return (vma.vm_end - vma.vm_start) >> 12


def vm_flags_reset(vma: VmAreaStruct, flags: int) -> None:
    """Give a linked VMA other vm_flags: the only place that does. (Since v6.3 of this name, bc292ab00f6c.)"""
    old = vma.vm_flags
    if flags != old:
        vma.vm_flags = flags
        trace_vma_flags(vma, old)


def vma_is_anonymous(vma: VmAreaStruct) -> bool:
    """Private anonymous memory: nobody else handles its faults."""
    return vma.vm_ops is None


def vma_next(mm: MmStruct, vma: VmAreaStruct | None) -> VmAreaStruct | None:
    """The VMA after `vma`; after none comes the first."""
    if vma is None:
        return mm.mmap
    return vma.vm_next


def vma_compute_gap(vma: VmAreaStruct) -> int:
    """Free bytes between `vma`'s predecessor and `vma`, without the guard gap of a stack."""
    gap = vm_start_gap(vma)
    prev = vma.vm_prev
    if prev is not None:
        prev_end = prev.vm_end
        gap = gap - prev_end if gap > prev_end else 0
    return gap


class VmaGapCallbacks(RbAugmentCallbacksMax):
    """vma_gap_callbacks: rb_subtree_gap is the largest gap of a subtree."""

    def compute(self, node: RbNode) -> int:
        """The gap below the node's own VMA."""
        assert isinstance(node, VmRb)
        return vma_compute_gap(node.vma)

    def get(self, node: RbNode) -> int:
        """vma->rb_subtree_gap"""
        assert isinstance(node, VmRb)
        return node.vma.rb_subtree_gap

    def set(self, node: RbNode, value: int) -> None:
        """vma->rb_subtree_gap"""
        assert isinstance(node, VmRb)
        node.vma.rb_subtree_gap = value


vma_gap_callbacks: Final = VmaGapCallbacks()


def vma_gap_update(vma: VmAreaStruct) -> None:
    """The gap below `vma` changed (its start, or its predecessor): bring the tree's maxima up to date."""
    vma_gap_callbacks.propagate(vma.vm_rb, None)


def find_vma_links(mm: MmStruct, addr: int, end: int) -> tuple[VmAreaStruct | None, bool, RbNode | None] | None:
    """Where a VMA [addr, end) would be linked: (prev, rb_link is the left link, rb_parent); None where C has -ENOMEM: overlap.

    `prev` is the predecessor by address (rb_prev), which is what vma_merge() takes.
    """
    node = mm.mm_rb.rb_node
    rb_parent: RbNode | None = None
    prev: VmAreaStruct | None = None
    left = False
    while node is not None:
        assert isinstance(node, VmRb)
        rb_parent = node
        vma = node.vma
        if vma.vm_end > addr:
            if vma.vm_start < end:
                return None
            left = True
            node = node.rb_left
        else:
            prev = vma
            left = False
            node = node.rb_right
    return prev, left, rb_parent


def find_vma(mm: MmStruct, addr: int) -> VmAreaStruct | None:
    """The first VMA that ends above `addr`; it need not contain it."""
    vma = vmacache_find(mm, addr)
    if vma is not None:
        return vma
    node = mm.mm_rb.rb_node
    while node is not None:
        assert isinstance(node, VmRb)
        tmp = node.vma
        if tmp.vm_end > addr:
            vma = tmp
            if tmp.vm_start <= addr:
                break
            node = node.rb_left
        else:
            node = node.rb_right
    if vma is not None:
        vmacache_update(addr, vma)
    return vma


def find_vma_prev(mm: MmStruct, addr: int) -> tuple[VmAreaStruct | None, VmAreaStruct | None]:
    """(find_vma(), its predecessor: the last VMA of all if there is none above `addr`)."""
    vma = find_vma(mm, addr)
    if vma is not None:
        return vma, vma.vm_prev
    node = rb_last(mm.mm_rb)
    if node is None:
        return None, None
    assert isinstance(node, VmRb)
    return None, node.vma


def find_vma_intersection(mm: MmStruct, start_addr: int, end_addr: int) -> VmAreaStruct | None:
    """The first VMA that overlaps [start_addr, end_addr)."""
    vma = find_vma(mm, start_addr)
    if vma is not None and end_addr <= vma.vm_start:
        return None
    return vma


class VmUnmappedAreaInfo:
    """struct vm_unmapped_area_info: what is searched for. Limits and sizes in bytes; align_mask as in `addr & mask`."""

    def __init__(self, flags: int, length: int, low_limit: int, high_limit: int) -> None:
        self.flags = flags
        self.length = length
        self.low_limit = low_limit
        self.high_limit = high_limit
        self.align_mask = 0
        self.align_offset = 0


def unmapped_area(mm: MmStruct, info: VmUnmappedAreaInfo) -> int:
    """Lowest free range that fits; -ENOMEM if none.

    Gap number i lies below VMA i. A gap fits if it ends at or above low_limit + length, starts at or below
    high_limit - length, and is `length` long.
    """
    length = info.length + info.align_mask
    if length >= 1 << 64 or info.high_limit < length:
        return -ENOMEM
    high_limit = info.high_limit - length
    if info.low_limit > high_limit:
        return -ENOMEM
    low_limit = info.low_limit + length

    gap_start = unmapped_area_walk(mm, length, low_limit, high_limit)
    if gap_start == -1:
        # Above the last VMA: a gap that no node of the tree knows.
        gap_start = mm.highest_vm_end
    if gap_start < 0 or gap_start > high_limit:
        return -ENOMEM
    if gap_start < info.low_limit:
        gap_start = info.low_limit
    return gap_start + ((info.align_offset - gap_start) & info.align_mask)


def unmapped_area_walk(mm: MmStruct, length: int, low_limit: int, high_limit: int) -> int:
    """The tree walk of unmapped_area(): start of the gap found; -1: look above the last VMA; -ENOMEM: nothing can fit."""
    root = mm.mm_rb.rb_node
    if root is None:
        return -1
    assert isinstance(root, VmRb)
    vma = root.vma
    if vma.rb_subtree_gap < length:
        return -1
    down = True
    while True:
        node: RbNode = vma.vm_rb
        gap_end = vm_start_gap(vma)
        if down:
            left = node.rb_left
            if left is not None and gap_end >= low_limit:
                assert isinstance(left, VmRb)
                if left.vma.rb_subtree_gap >= length:
                    vma = left.vma
                    continue
        prev = vma.vm_prev
        gap_start = prev.vm_end if prev is not None else 0
        if gap_start > high_limit:
            return -ENOMEM
        if gap_end >= low_limit and gap_end > gap_start and gap_end - gap_start >= length:
            return gap_start
        right = node.rb_right
        if right is not None:
            assert isinstance(right, VmRb)
            if right.vma.rb_subtree_gap >= length:
                vma = right.vma
                down = True
                continue
        # Up to the first ancestor whose left side is done.
        while True:
            parent = node.rb_parent
            if parent is None:
                return -1
            came_from_left = parent.rb_left is node
            node = parent
            if came_from_left:
                break
        assert isinstance(node, VmRb)
        vma = node.vma
        down = False


def unmapped_area_topdown(mm: MmStruct, info: VmUnmappedAreaInfo) -> int:
    """Highest free range that fits; -ENOMEM if none."""
    length = info.length + info.align_mask
    gap_end = info.high_limit
    if length >= 1 << 64 or gap_end < length:
        return -ENOMEM
    high_limit = gap_end - length
    if info.low_limit > high_limit:
        return -ENOMEM
    low_limit = info.low_limit + length

    if mm.highest_vm_end > high_limit:
        gap_end = unmapped_area_topdown_walk(mm, length, low_limit, high_limit)
        if gap_end < 0:
            return gap_end
        if gap_end > info.high_limit:
            gap_end = info.high_limit
    gap_end -= info.length
    return gap_end - ((gap_end - info.align_offset) & info.align_mask)


def unmapped_area_topdown_walk(mm: MmStruct, length: int, low_limit: int, high_limit: int) -> int:
    """The tree walk of unmapped_area_topdown(): end of the gap found, or -ENOMEM."""
    root = mm.mm_rb.rb_node
    if root is None:
        return -ENOMEM
    assert isinstance(root, VmRb)
    vma = root.vma
    if vma.rb_subtree_gap < length:
        return -ENOMEM
    down = True
    while True:
        node: RbNode = vma.vm_rb
        prev = vma.vm_prev
        gap_start = prev.vm_end if prev is not None else 0
        if down:
            right = node.rb_right
            if right is not None and gap_start <= high_limit:
                assert isinstance(right, VmRb)
                if right.vma.rb_subtree_gap >= length:
                    vma = right.vma
                    continue
        gap_end = vm_start_gap(vma)
        if gap_end < low_limit:
            return -ENOMEM
        if gap_start <= high_limit and gap_end > gap_start and gap_end - gap_start >= length:
            return gap_end
        left = node.rb_left
        if left is not None:
            assert isinstance(left, VmRb)
            if left.vma.rb_subtree_gap >= length:
                vma = left.vma
                down = True
                continue
        while True:
            parent = node.rb_parent
            if parent is None:
                return -ENOMEM
            came_from_right = parent.rb_right is node
            node = parent
            if came_from_right:
                break
        assert isinstance(node, VmRb)
        vma = node.vma
        down = False


def vm_unmapped_area(mm: MmStruct, info: VmUnmappedAreaInfo) -> int:
    """Search free space as `info` says; the address, or -ENOMEM as a number (callers try again elsewhere)."""
    if mm.kernel.config.at_least(6, 1):
        search = maple_area.unmapped_area_topdown if info.flags & VM_UNMAPPED_AREA_TOPDOWN else maple_area.unmapped_area
        addr = search(mm, info.length, info.low_limit, info.high_limit, info.align_mask, info.align_offset)
    elif info.flags & VM_UNMAPPED_AREA_TOPDOWN:
        addr = unmapped_area_topdown(mm, info)
    else:
        addr = unmapped_area(mm, info)
    trace_vm_unmapped_area(mm, addr, info.flags, info.length, info.low_limit, info.high_limit)
    return addr


def round_hint_to_min(k: Kernel, hint: int) -> int:
    """A hint below mmap_min_addr, if it is one at all, means the lowest address allowed."""
    hint &= PAGE_MASK
    if hint != 0 and hint < k.config.mmap_min_addr:
        return PAGE_ALIGN(k.config.mmap_min_addr)
    return hint


def security_mmap_addr(k: Kernel, addr: int) -> None:
    """Page zero and its neighbours are for CAP_SYS_RAWIO only (security/commoncap.c: cap_mmap_addr)."""
    if addr < k.config.mmap_min_addr and not mm_util.capable(k, mm_util.CAP_SYS_RAWIO):
        raise KernelError(EPERM)


def thp_aligned(mm: MmStruct, addr: int, len: int) -> bool:
    """Private anonymous memory of this length is placed for huge pages: since v6.7 (efa7df3e3bb5), whatever its length; since
    v6.12 (d4148aeab412) only whole huge pages; since v6.13 (249608ee4713) only if there is no hint. Neither VM_NOHUGEPAGE nor
    PR_SET_THP_DISABLE matters.
    """
    config = mm.kernel.config
    if not config.at_least(6, 7):
        return False
    if config.at_least(6, 12) and len & (PMD_SIZE - 1):
        return False
    return not (addr and config.at_least(6, 13))


def get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """Where a mapping of `len` bytes goes: asks the file's get_unmapped_area, or the mm's."""
    if len > TASK_SIZE:
        raise KernelError(ENOMEM)
    get_area = mm.get_unmapped_area
    if file is not None:
        if file.f_op.get_unmapped_area is not None:
            get_area = file.f_op.get_unmapped_area
    elif flags & MAP_SHARED:
        # Imported here: shmem stands above this file.
        from mmscope.kernel.mm.shmem import shmem_get_unmapped_area

        pgoff = 0
        get_area = shmem_get_unmapped_area
    elif thp_aligned(mm, addr, len):
        from mmscope.kernel.mm.huge_memory import thp_get_unmapped_area

        pgoff = 0  # the caller's offset means nothing
        get_area = thp_get_unmapped_area
    assert get_area is not None
    addr = get_area(mm, file, addr, len, pgoff, flags)
    if addr >= (1 << 64) - MAX_ERRNO:
        # A fixed address in the last page looks like an error (IS_ERR_VALUE): mmap(-1, ...) says EPERM.
        raise KernelError((1 << 64) - addr)
    if addr > TASK_SIZE - len:
        raise KernelError(ENOMEM)
    if addr & 4095:
        raise KernelError(EINVAL)
    security_mmap_addr(mm.kernel, addr)
    return addr
