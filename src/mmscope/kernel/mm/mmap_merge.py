# SPDX-License-Identifier: GPL-2.0-or-later
"""Which VMAs become one: vma_merge() and its callers' rules (the middle of mm/mmap.c). Import from mm/mmap.py."""

from __future__ import annotations

import mmscope.kernel.mm.rmap as mm_rmap
from mmscope.kernel.include.errno import KernelBug, KernelError
from mmscope.kernel.include.mm import VM_ACCESS_FLAGS, VM_MAYBE_GUARD, VM_SOFTDIRTY, VM_SPECIAL
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.mm.mmap_area import find_vma_links, vm_flags_reset, vma_is_anonymous, vma_next, vma_pages
from mmscope.kernel.mm.mmap_vma import __vma_adjust, _vma_adjust_import_anon_vma, vm_area_dup, vma_adjust, vma_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.mm_types import AnonVma


# ---- vma_merge


def can_merge_remove_vma(vma: VmAreaStruct) -> bool:
    """It has no close(), which its removal would leave uncalled."""
    return vma.vm_ops is None or vma.vm_ops.close is None


def is_mergeable_vma(vma: VmAreaStruct, file: File | None, vm_flags: int, may_remove_vma: bool) -> bool:
    """Same flags (soft-dirty and possible guards aside) and file, and no close() if the merge might remove `vma`.

    Until v6.4 (714965ca8252) every merge, until v6.12 every merge with a successor counts as such.
    """
    if (vma.vm_flags ^ vm_flags) & ~(VM_SOFTDIRTY | VM_MAYBE_GUARD):
        return False
    if vma.vm_file is not file:
        return False
    since = (6, 12) if may_remove_vma else (6, 4)
    return can_merge_remove_vma(vma) or vma.vm_mm.kernel.config.at_least(since[0], since[1])


def is_mergeable_anon_vma(
    anon_vma1: AnonVma | None, anon_vma2: AnonVma | None, vma: VmAreaStruct | None, src: VmAreaStruct | None = None
) -> bool:
    """The anon_vmas agree; one of them may be missing, unless the other VMA shares its pages with relatives (fork).

    anon_vma1 is that of the range, which `src` holds now (None: nobody); anon_vma2 that of the neighbour `vma`. Until v6.16
    (879bca0a2c4f) only the range's could be missing: the test looked at the chain of `vma`, which without an anon_vma is empty.
    """
    if anon_vma2 is None and anon_vma1 is not None and vma is not None and vma.vm_mm.kernel.config.at_least(6, 16):
        return src is None or len(src.anon_vma_chain) <= 1
    if (anon_vma1 is None or anon_vma2 is None) and (vma is None or len(vma.anon_vma_chain) == 1):
        return True
    return anon_vma1 is anon_vma2


def can_vma_merge_before(
    vma: VmAreaStruct, vm_flags: int, anon_vma: AnonVma | None, file: File | None, vm_pgoff: int, src: VmAreaStruct | None = None
) -> bool:
    """A range with these attributes that ends at offset `vm_pgoff`, where `vma` starts, may become part of `vma`."""
    if is_mergeable_vma(vma, file, vm_flags, True) and is_mergeable_anon_vma(anon_vma, vma.anon_vma, vma, src):
        return vma.vm_pgoff == vm_pgoff
    return False


def can_vma_merge_after(
    vma: VmAreaStruct, vm_flags: int, anon_vma: AnonVma | None, file: File | None, vm_pgoff: int, src: VmAreaStruct | None = None
) -> bool:
    """A range with these attributes that starts at offset `vm_pgoff`, where `vma` ends, may become part of `vma`."""
    if is_mergeable_vma(vma, file, vm_flags, False) and is_mergeable_anon_vma(anon_vma, vma.anon_vma, vma, src):
        return vma.vm_pgoff + vma_pages(vma) == vm_pgoff
    return False


def vma_merge(
    mm: MmStruct,
    prev: VmAreaStruct | None,
    addr: int,
    end: int,
    vm_flags: int,
    anon_vma: AnonVma | None,
    file: File | None,
    pgoff: int,
    src: VmAreaStruct | None = None,
    keep: VmAreaStruct | None = None,
) -> VmAreaStruct | None:
    """Let [addr, end) with the given attributes become part of its neighbours; the VMA that then holds it, or None.

    `src` is the VMA that holds the range's pages now, if there is one; `keep` takes no part. `prev` ends at or below addr, or
    (mprotect) contains addr. A = the new range, P = prev, N = next, X = what stands there now with other attributes:

            AAAA             AAAA                  AAAA               AAAA
        PPPPPPNNNNNN     PPPPPPNNNNNN       PPPP       NNNN     PPPP      NNNN  XXXX
        4: border down   5: border up       fills the gap:      fills up to X:
        PPNNNNNNNNNN     PPPPPPPPPPNN       1: PPPPPPPPPPPP     6: P over X and N
                                            2: PPPPPPPP NNNN    7: P over X
                                            3: PPPP NNNNNNNN    8: N over X
    """
    if vm_flags & VM_SPECIAL:
        return None
    pglen = (end - addr) >> 12
    next = vma_next(mm, prev)
    area = next
    if area is not None and area.vm_end == end:
        next = area.vm_next
        if area.vm_start == addr and not can_merge_remove_vma(area):
            # Cases 6, 7, 8 would remove it.
            return None

    if next is keep:
        next = None
    if (
        prev is not None
        and prev is not keep
        and prev.vm_end == addr
        and can_vma_merge_after(prev, vm_flags, anon_vma, file, pgoff, src)
    ):
        upto = end
        sticky = vm_flags & VM_MAYBE_GUARD
        if (
            next is not None
            and end == next.vm_start
            and can_vma_merge_before(next, vm_flags, anon_vma, file, pgoff + pglen, src)
            and is_mergeable_anon_vma(prev.anon_vma, next.anon_vma, None)
            and can_merge_remove_vma(next)
        ):
            # Cases 1 and 6: the successor as well; otherwise 2, 5, 7.
            upto = next.vm_end
            sticky |= next.vm_flags & VM_MAYBE_GUARD
        try:
            __vma_adjust(prev, prev.vm_start, upto, prev.vm_pgoff, None, prev)
        except KernelError:
            return None
        vm_flags_reset(prev, prev.vm_flags | sticky)
        return prev

    if next is not None and end == next.vm_start and can_vma_merge_before(next, vm_flags, anon_vma, file, pgoff + pglen, src):
        try:
            if prev is not None and addr < prev.vm_end:
                # Case 4.
                __vma_adjust(prev, prev.vm_start, addr, prev.vm_pgoff, None, next)
            else:
                # Cases 3 (area is next) and 8 (area goes, next grows over it).
                assert area is not None
                __vma_adjust(area, addr, next.vm_end, next.vm_pgoff - pglen, None, next)
        except KernelError:
            return None
        vm_flags_reset(next, next.vm_flags | vm_flags & VM_MAYBE_GUARD)
        return next
    return None


def vma_merge_new(
    mm: MmStruct, prev: VmAreaStruct | None, addr: int, end: int, vm_flags: int, file: File | None, pgoff: int
) -> VmAreaStruct | None:
    """vma_merge() of a new mapping in a free range, as mmap() does it.

    From v6.1 (4dd1b84140c1) until v6.12 (cacded5e42b9) between two that it fits, but that do not fit each other, it goes to the
    upper one.
    """
    config = mm.kernel.config
    if config.at_least(6, 1) and not config.at_least(6, 12) and prev is not None and not vm_flags & VM_SPECIAL:
        next = prev.vm_next
        if (
            next is not None
            and next.vm_start == end
            and can_vma_merge_before(next, vm_flags, None, file, pgoff + ((end - addr) >> 12))
            and not is_mergeable_anon_vma(prev.anon_vma, next.anon_vma, None)
        ):
            __vma_adjust(next, addr, next.vm_end, pgoff, None, next)
            return next
    return vma_merge(mm, prev, addr, end, vm_flags, None, file, pgoff)


def vma_merge_extend(vma: VmAreaStruct, delta: int) -> None:
    """Let `vma` grow by `delta` free bytes; since v6.1 (ca3d76b0aa80) it merges with the next VMA if the two then touch."""
    mm = vma.vm_mm
    pgoff = vma.vm_pgoff + vma_pages(vma)
    if mm.kernel.config.at_least(6, 1):
        end = vma.vm_end + delta
        if vma_merge(mm, vma, vma.vm_end, end, vma.vm_flags, vma.anon_vma, vma.vm_file, pgoff) is not None:
            return
        # What has a close() merges with nobody; it grows all the same (d014cd7c1c35).
    vma_adjust(vma, vma.vm_start, vma.vm_end + delta, vma.vm_pgoff, None)


# ---- copying


def copy_vma(
    vma: VmAreaStruct, addr: int, len: int, pgoff: int, keep_source: bool = False
) -> tuple[VmAreaStruct | None, VmAreaStruct, bool]:
    """mremap's destination: (new VMA or None, the source VMA as it is now, need_rmap_locks).

    The source may have been merged into the destination, unless it is kept; then both are one.
    """
    mm = vma.vm_mm
    vma_start = vma.vm_start
    faulted_in_anon_vma = True
    if vma_is_anonymous(vma) and vma.anon_vma is None:
        # No page has an index yet: choose the offset that can merge at the new place.
        pgoff = addr >> 12
        faulted_in_anon_vma = False
    links = find_vma_links(mm, addr, addr + len)
    if links is None:
        return None, vma, False
    prev, rb_link, rb_parent = links
    # v6.16 and v6.17 forget that what is copied may be a fork's child.
    src = vma if mm.kernel.config.at_least(6, 18) else None
    keep = vma if keep_source else None
    new_vma = vma_merge(mm, prev, addr, addr + len, vma.vm_flags, vma.anon_vma, vma.vm_file, pgoff, src, keep)
    if new_vma is not None:
        _vma_adjust_import_anon_vma(new_vma, vma)  # since v6.16 a neighbour without one may take the pages
        if new_vma.vm_start <= vma_start < new_vma.vm_end:
            if faulted_in_anon_vma:
                raise KernelBug(f"copy_vma: {vma} has pages, yet it merged with its own copy {new_vma}")
            vma = new_vma
        return new_vma, vma, new_vma.vm_pgoff <= vma.vm_pgoff
    new_vma = vm_area_dup(vma)
    new_vma.vm_start = addr
    new_vma.vm_end = addr + len
    new_vma.vm_pgoff = pgoff
    mm_rmap.anon_vma_clone(new_vma, vma)
    if new_vma.vm_file is not None:
        new_vma.vm_file.f_count += 1
    if new_vma.vm_ops is not None and new_vma.vm_ops.open is not None:
        new_vma.vm_ops.open(new_vma)
    vma_link(mm, new_vma, prev, rb_link, rb_parent)
    return new_vma, vma, False


# ---- sharing an anon_vma between neighbours


def anon_vma_compatible(a: VmAreaStruct, b: VmAreaStruct) -> bool:
    """`a` and `b` touch, and an mprotect could make them one VMA (so access flags may differ)."""
    return (
        a.vm_end == b.vm_start
        and a.vm_file is b.vm_file
        and not ((a.vm_flags ^ b.vm_flags) & ~(VM_ACCESS_FLAGS | VM_SOFTDIRTY | VM_MAYBE_GUARD))
        and b.vm_pgoff == a.vm_pgoff + ((b.vm_start - a.vm_start) >> 12)
    )


def reusable_anon_vma(old: VmAreaStruct, a: VmAreaStruct, b: VmAreaStruct) -> AnonVma | None:
    """old's anon_vma if it may also serve the other of `a` and `b`: not after a fork (more than one chain)."""
    if anon_vma_compatible(a, b):
        anon_vma = old.anon_vma
        if anon_vma is not None and len(old.anon_vma_chain) == 1:
            return anon_vma
    return None


def find_mergeable_anon_vma(vma: VmAreaStruct) -> AnonVma | None:
    """A neighbour's anon_vma for `vma`, so that the two may merge later; the successor is asked first."""
    next = vma.vm_next
    if next is not None:
        anon_vma = reusable_anon_vma(next, vma, next)
        if anon_vma is not None:
            return anon_vma
    prev = vma.vm_prev
    if prev is not None:
        return reusable_anon_vma(prev, prev, vma)
    return None
