# SPDX-License-Identifier: GPL-2.0-or-later
"""What a later release does otherwise than v5.11 and a program can see, and how `mmscope check` deals with each.

Every row but two is a switch of KernelConfig.version: the model runs as the live kernel's release. Where one has none the check
masks the answers that it touches: they count as masked, not as compared. Nothing is hidden:
`check --live` prints which of those rows were in force, and how often.
What no model could know (the size of vvar) the agent makes alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmscope.oracle.scenario import Op

#: Scenarios that QEMU's processor answers otherwise than a real one: name -> why.
NOT_UNDER_QEMU: Final = {
    "access_across_canonical_end": "QEMU's TCG looks at the first page of an access, a processor at all of it",
}
#: Scenarios that a guest answers otherwise than the model: 5.10, because that shows v5.11; 6.18, because Debian has no later
#: package than 6.18.15: release -> name -> why.
NOT_AS_THE_GUEST: Final = {
    (5, 10): {
        "vdso_rights": "v5.11 forbids to split special mappings (871402e05b24)",
        "readahead_within_a_read": "v5.11 moves the position that readahead looks at with every page of a read, 5.10 at its end",
    },
    (6, 18): {
        "madvise_guard_in_proc": "6.18.15 does not have guards in smaps yet (5dba5cc2e0ff)",
        "map_droppable": "6.18.15 locks MAP_DROPPABLE under MCL_FUTURE still",
    },
}
#: (operations before, the operation, live answer, model's answer) -> these may differ
Mask = Callable[[Sequence[Op], Op, str, str], bool]


@dataclass(frozen=True)
class Difference:
    """One row of the table."""

    id: str
    what: str
    #: First series whose last stable release does it, and the commit that brought it: looked up by its id, else "unknown".
    since: str
    commit: str
    #: "switch": KernelConfig.version. "mask": answers are not compared where `mask` says so.
    #: "arrange": agent or runner make both kernels alike.
    treatment: str
    #: How, in words.
    how: str
    #: Only asked about answers that differ.
    mask: Mask | None = None
    #: A scenario of the library that shows it.
    scenario: str = ""
    #: Only where the scenario's files stand on this file system; "" for any.
    fs: str = ""
    #: First release that does it no longer.
    until: str = ""
    #: Series that do it besides, and such that do not: their stable releases took a later change over.
    also: tuple[str, ...] = ()
    but: tuple[str, ...] = ()

    def shown_by(self, release: tuple[int, int]) -> bool:
        """The last stable kernel of that series does it."""
        if release in map(_version, self.also):
            return True
        if release in map(_version, self.but) or (self.until and release >= _version(self.until)):
            return False
        return release >= _version(self.since)


#: Operations after which an ext4 file's cache may hold folios of several pages: those that write several pages at once, and those
#: that drop pages or make holes, for readahead to fill.
_MAKES_FOLIOS: Final = ("write", "pwrite", "fadvise", "readahead", "ftruncate", "truncate", "fallocate", "madvise")


def _large_folios(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """They bring in more pages than were asked for, never fewer; what a fault maps of them is more or less."""
    if not any(earlier.name in _MAKES_FOLIOS for earlier in before) or live.startswith("-E") or model.startswith("-E"):
        return False
    if op.name == "mincore":
        bits, ours = live.split(" ")[-1], model.split(" ")[-1]
        return len(bits) == len(ours) and all(left >= right for left, right in zip(bits, ours, strict=True))
    if op.name == "faults" and "/" in live and "/" in model:
        return int(live.split("/")[1]) <= int(model.split("/")[1])
    return op.name == "pagemap"


#: Says "0x0000" where the multi-generational LRU is off; is not there without CONFIG_LRU_GEN.
_LRU_GEN: Final = "/sys/kernel/mm/lru_gen/enabled"


def _generations() -> bool:
    """The kernel under us has them switched on."""
    try:
        text = Path(_LRU_GEN).read_text()
    except OSError:
        return False
    return int(text, 16) & 1 != 0


def _referenced(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """smaps that differ in Referenced only."""
    return op.name == "smaps" and re.sub(r" Referenced=\d+", "", live) == re.sub(r" Referenced=\d+", "", model)


#: Kernels on which the whole library was compared with the model: guests, but 6.18, which was also the host. Each row was seen
#: between two of them. Debian's 6.18.15 lacks what later 6.18 have (NOT_AS_THE_GUEST).
VERIFIED_ON: Final = (
    "5.10.218", "6.1.192", "6.12.117", "6.16.12", "6.17.13", "6.18.44", "6.19.14", "7.0.13", "7.1.13", "7.2.12", "7.3.4",
)  # fmt: skip

_SWITCH: Final = "the model does what KernelConfig.version says; `check --live` runs it as the running release"
#: Neither was found in the history of Linux: what is known is only that some kernels do it, and v5.11 does not.
_UNSURE: Final = "unknown, the release is unsure"

DIFFERENCES: Final = (
    Difference(
        "shared-write-minor",
        "the first write to shared memory counts as a minor fault; before, balance_dirty_pages() made the "
        "handler return VM_FAULT_RETRY and the fault a major one",
        "6.0", "d92725256b4f", "switch", _SWITCH, scenario="shared_anon_first_write_counts",
    ),
    Difference(
        "mprotect-write-at-once",
        "mprotect() makes exclusive anonymous pages writable at once; before, each faults at its next write",
        "6.0", "64fe24a3e05e", "switch", _SWITCH, scenario="mprotect_ro_to_rw_faults",
    ),
    Difference(
        "fork-not-exclusive",
        "a page that fork() shared is exclusive again only after a write fault found its process alone (PG_anon_exclusive): "
        "until then mprotect() does not make it writable",
        "5.19", "6c287605fd56", "switch", _SWITCH, scenario="fork_then_mprotect",
    ),
    Difference(
        "pin-unshares",
        "process_vm_readv() of a private page that fork() shared gives its owner a copy first, by a fault; before, it is "
        "only read",
        "5.19", "a7f226604170", "switch", _SWITCH,
    ),
    Difference(
        "mremap-hole-same-size",
        "mremap() to the same size fails with EFAULT where nothing is mapped; before, it succeeded",
        "5.16", "550a7d60bd5e", "switch", _SWITCH, scenario="mremap_same_size_of_a_hole",
    ),
    Difference(
        "mremap-hole-shrink",
        "a shrinking mremap() fails with EFAULT where nothing is mapped; before, it unmapped the tail and "
        "succeeded",
        "5.16", "550a7d60bd5e", "switch", _SWITCH, scenario="mremap_shrink_of_a_hole",
    ),
    Difference(
        "mremap-fixed-failed",
        "MREMAP_FIXED looks at its source before it unmaps the target; before, a failed call has unmapped it",
        "5.16", "550a7d60bd5e", "switch", _SWITCH, scenario="mremap_fixed_failure_unmaps_target",
    ),
    Difference(
        "mremap-many-vmas",
        "a MREMAP_FIXED move of equal size may span several mappings and holes, but not SysV shared memory; before, EFAULT",
        "6.17", "d23cb648e365", "switch", _SWITCH, scenario="mremap_across_two_vmas",
    ),
    Difference(
        "mremap-fixed-huge-shrink",
        "MREMAP_FIXED to a smaller size charges what it cuts off, and never gives it back: from terabytes to few pages it fails "
        "with ENOMEM, after unmapping; before, it moves",
        "6.15", "d5c8aec0542e", "switch", _SWITCH, scenario="mremap_fixed_huge_shrink", until="7.3",
    ),
    Difference(
        "mremap-grow-merges", "a mapping that mremap() grows in place merges with the next one; before, it does not",
        "6.1", "ca3d76b0aa80", "switch", _SWITCH, scenario="mremap_grow_up_to_the_next",
    ),
    Difference(
        "mremap-dontunmap-any",
        "MREMAP_DONTUNMAP moves shared mappings too; before, EINVAL for all but private anonymous ones",
        "5.13", "a4609387859f", "switch", _SWITCH, scenario="mremap_dontunmap_shared",
    ),
    Difference(
        "mlock-onfault-no-populate",
        "mlock2(MLOCK_ONFAULT) does not try to populate; before, it fails with ENOMEM on PROT_NONE, the lock "
        "in place",
        "5.18", "b67bf49ce7aa", "switch", _SWITCH, scenario="mlock2_onfault_of_prot_none",
    ),
    Difference(
        "mprotect-unaccount",
        "mprotect() that takes write permission from a private mapping never written drops VM_ACCOUNT; it "
        "then merges with mappings that never were writable",
        "6.7", _UNSURE, "switch", _SWITCH, scenario="mprotect_unaccounts_unfaulted",
    ),
    Difference(
        "merge-one-anon-vma",
        "a VMA that has an anon_vma merges with a neighbour that has none, in mprotect(), mlock(), madvise() and mremap(); "
        "before, only the other way round",
        "6.16", "879bca0a2c4f", "switch", _SWITCH, scenario="merge_faulted_with_unfaulted",
    ),
    Difference(
        "mmap-fills-hole",
        "mmap() between two mappings of different anon_vmas merges with the upper one; before and after (cacded5e42b9), with the "
        "lower one",
        "6.1", "4dd1b84140c1", "switch", _SWITCH, scenario="merge_fills_hole_between_two_anon_vmas", until="6.12",
    ),
    Difference(
        "mremap-check-order",
        "mremap() checks all its arguments, and then all of the mapping, before it changes anything: another errno where "
        "several apply, and less is unmapped by a call that fails (6.15 has a part of it)",
        "6.17", "unknown (the refactoring of mremap.c)", "switch", _SWITCH, scenario="mremap_two_errors_at_once",
    ),
    Difference(
        "thp-alignment",
        "private anonymous memory of at least 2 MiB is placed on a 2 MiB boundary; since 6.12 (d4148aeab412) only multiples of "
        "2 MiB, since 6.13 (249608ee4713) only without a hint",
        "6.7", "efa7df3e3bb5", "switch", _SWITCH, scenario="thp_alignment",
    ),
    Difference(
        "mlock-limit",
        "RLIMIT_MEMLOCK is 8 MiB by default instead of 64 KiB",
        "5.16", "9dcc38e2813e", "switch", _SWITCH,
    ),
    Difference(
        "brk-shrink-of-a-hole", "brk() does not shrink a heap of which nothing is mapped any more; before, it does",
        "6.1", "unknown (brk on the maple tree)", "switch", _SWITCH, scenario="brk_shrink_of_a_hole",
    ),
    Difference(
        "brk-randomness", "under ASLR the heap starts up to 1 GiB above the bss; before, up to 32 MiB",
        "6.9", "44c76825d6ee", "switch", _SWITCH,
    ),
    Difference(
        "map-above-4g", "flag 0x80 is MAP_ABOVE4G, which MAP_SHARED_VALIDATE knows; before, it means nothing",
        "6.6", "29f890d1050f", "switch", _SWITCH, scenario="map_above_4g",
    ),
    Difference(
        "hugetlb-placement",
        "the hint of a huge page mapping is rounded up, and MAP_32BIT counts; before, down, and it does not",
        "6.13", _UNSURE, "switch", _SWITCH, scenario="hugetlb_hint",
    ),
    Difference(
        "hugetlb-mremap", "mremap() moves mappings of huge pages by multiples of their size; before, EINVAL",
        "5.16", "550a7d60bd5e", "switch", _SWITCH, scenario="hugetlb_mremap",
    ),
    Difference(
        "hugetlb-dontneed", "MADV_DONTNEED of huge pages, by multiples of their size; before, EINVAL",
        "5.18", "90e7e7f5ef3f", "switch", _SWITCH, scenario="hugetlb_dontneed",
    ),
    Difference(
        "mmap-fixed-splits",
        "an mmap(MAP_FIXED) that is refused leaves mappings split at its borders, and says why they could not be; before, "
        "the limits are looked at first, and what cannot be split is ENOMEM",
        "6.12", "f8d112a4e657", "switch", _SWITCH, scenario="mmap_over_what_cannot_be_split",
    ),
    Difference(
        "mmap-seal-first", "a sealed file refuses to be mapped before the target of MAP_FIXED is unmapped; before, after it",
        "6.1", "5de195060b2e (6.12 and 6.1 stable)", "switch", _SWITCH, scenario="mmap_of_sealed_memory",
    ),
    Difference(
        "vvar-vclock", "a second vvar mapping, [vvar_vclock]", "6.13", "e93d2521b27f",
        "arrange", "the agent fills the space below vvar, so that placement starts at one address",
    ),
    Difference(
        "madvise-populate", "MADV_POPULATE_READ and MADV_POPULATE_WRITE; before, EINVAL",
        "5.14", "4ca9b3859dac", "switch", _SWITCH, scenario="madvise_populate",
    ),
    Difference(
        "madvise-populate-hole", "MADV_POPULATE_READ and MADV_POPULATE_WRITE stop at a hole; before, they skip it",
        "6.9", "631426ba1d45", "switch", _SWITCH, scenario="madvise_populate_over_a_hole",
    ),
    Difference(
        "madvise-dontneed-locked", "MADV_DONTNEED_LOCKED; before, EINVAL", "5.18", "9457056ac426", "switch", _SWITCH,
        scenario="madvise_dontneed_even_locked",
    ),
    Difference(
        "madvise-collapse", "MADV_COLLAPSE; before, EINVAL, which it still is without huge pages, but for holes (ENOMEM)",
        "6.1", "7d8faaf15545", "switch", _SWITCH, scenario="madvise_collapse",
    ),
    Difference(
        "madvise-guard", "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: guards without a mapping of their own; before, EINVAL",
        "6.13", "662df3e5c376", "switch", _SWITCH, scenario="madvise_guard",
    ),
    Difference(
        "madvise-guard-any", "guards in shared, file and read-only mappings too; before, EINVAL",
        "6.15", "f807123d578d", "switch", _SWITCH,
        scenario="madvise_guard_of_a_file",
    ),
    Difference(
        "guard-in-pagemap", "pagemap has bit 58 for guarded pages; before, they are only swapped (62)",
        "6.15", "8e2f2aeb8b48", "switch", _SWITCH, scenario="madvise_guard_in_proc",
    ),
    Difference(
        "guard-in-smaps",
        "MADV_GUARD_INSTALL marks its mapping for good: gu in VmFlags. It merges as before, and what it merges into is marked",
        "6.18", "5dba5cc2e0ff (6.19 and 6.18 stable)", "switch", _SWITCH,
        scenario="madvise_guard_in_proc",
    ),
    Difference(
        "map-droppable", "map type 8 is MAP_DROPPABLE, which is never locked, never inherited, never charged; before, EINVAL",
        "6.11", "9651fcedf7b9", "switch", _SWITCH, scenario="map_droppable",
    ),
    Difference(
        "map-droppable-locked", "under mlockall(MCL_FUTURE) a MAP_DROPPABLE mapping is locked, and nothing unlocks it",
        "6.11", "unknown (fixed in 7.0; 6.12 and 6.18 stable)", "switch", _SWITCH, scenario="map_droppable", until="7.0",
        but=("6.12", "6.18"),
    ),
    Difference(
        "map-stack-nohugepage",
        "MAP_STACK sets VM_NOHUGEPAGE, and such a mapping merges with no other; before, no effect",
        "6.7", "c4608d1bf7c6 (6.8 and 6.7 stable)", "switch", _SWITCH, scenario="map_stack_merges",
    ),
    Difference(
        "mremap-dontunmap-locked", "MREMAP_DONTUNMAP of locked memory adds to VmLck, and never takes it back",
        "6.15", "b714ccb02a76", "switch", _SWITCH, scenario="mremap_dontunmap_locked", until="7.2",
    ),
    Difference(
        "mremap-dontunmap-keeps-source",
        "MREMAP_DONTUNMAP never merges the new mapping with the old one; cuts off what was locked and unlocks only that; and "
        "what is left without pages merges as a new mapping does",
        "7.2", "unknown (and 6.1, 6.12 stable)", "switch", _SWITCH, scenario="mremap_dontunmap_beside_itself",
        also=("6.1", "6.12"),
    ),
    Difference(
        "mremap-pud", "mremap() of pages that were never touched allocates a page of page tables at the new place",
        "5.14", "7d846db7d0e2", "switch", _SWITCH,
        scenario="mremap_allocates_page_tables",
    ),
    Difference(
        "guard-gap-skips-holes",
        "where a mapping stands in the guard gap of another, the search for a place goes on below the gap; "
        "before, the room beside that mapping is used",
        "6.1", "58c5d0d6d522 (6.3 and 6.1 stable)", "switch", _SWITCH, scenario="guard_gap_with_a_mapping_in_it",
    ),
    Difference(
        "mmap-fixed-failed",
        "an mmap(MAP_FIXED) that fails with ENOMEM leaves what was mapped there; before, it has unmapped it",
        "6.12", "f8d112a4e657", "switch", _SWITCH, scenario="mmap_fixed_failure_unmaps",
    ),
    Difference(
        "ext4-large-folios",
        "the page cache of an ext4 file holds folios of several pages, made by readahead and by writes of more than a page; "
        "a fault maps all of a folio, beyond fault-around's window, but only one page of a folio that reaches beyond the VMA",
        "6.16", "7ac67301e82f", "mask", "the prepared files are written page by page: folios of one page on every release; "
        "after writes, truncation and fadvise on ext4 minor faults and pagemap may differ, and mincore show more pages",
        _large_folios, "ext4_large_folios", fs="ext4",
    ),
    Difference(
        "async-readahead-minor",
        "a fault of user mode that meets readahead's marker in a file's page that is there counts as minor; before, as major",
        "6.7", "46e714c729c8 (6.8 and 6.7 stable)", "switch", _SWITCH, scenario="readahead_marker_near_the_end", fs="ext4",
    ),
    Difference(
        "readahead-marker-in-a-longer-file",
        "where the file ends within the window, readahead puts its marker where it would in a longer file; before, as far before "
        "the end of what is read: a fault on the page with the marker counts as major",
        "6.16", "7ac67301e82f", "switch", _SWITCH, scenario="readahead_marker_near_the_end", fs="ext4",
    ),
    Difference(
        "direct-read-of-a-hole",
        "a direct read of a hole into memory that cannot be written is EFAULT; before, it ends there, with 0 or what came before",
        "5.16", "42c498c18a94", "switch", _SWITCH, scenario="direct_io_extents", fs="ext4",
    ),
    Difference(
        "direct-read-of-delalloc",
        "a direct read that meets a page of a mapping which is dirty over a hole is EIO; before, it reads as the hole",
        "6.8", "ec9d669eba4c", "switch", _SWITCH, scenario="direct_io_into_its_own_hole", fs="ext4",
    ),
    Difference(
        "code-readahead",
        "a fault on code that is not cached reads from the faulting page on, no further than its VMA, MADV_RANDOM or not; "
        "before, around the page like any other",
        "6.17", "unknown (mm/filemap: allow arch to request folio size for exec memory)", "switch", _SWITCH,
        scenario="cold_fault_of_code", fs="ext4",
    ),
    Difference(
        "failed-write-extends",
        "a write() beyond the end whose buffer cannot be read fails with EFAULT, and extends the file all the same: the buffer "
        "is no longer faulted in before; it may be a page that only the extended file has",
        "6.14", "665575cff098", "switch", _SWITCH, scenario="failed_write_extends_the_file",
    ),
    Difference(
        "write-partly-bad-buffer",
        "a write() whose buffer cannot be read to its end writes all that can be read; before, only whole pages of the file",
        "5.16", "a6294593e8a1", "switch", _SWITCH, scenario="write_from_a_buffer_that_ends",
    ),
    Difference(
        "madvise-remove-read-only",
        "MADV_REMOVE wants a shared mapping that could be made writable; before, one that is writable, else EACCES",
        "6.1", "e8e17ee90eaf (6.7 and 6.1 stable)", "switch", _SWITCH, scenario="madvise_remove_read_only",
    ),
    Difference(
        "tmpfs-direct-io",
        "open(O_DIRECT) of a tmpfs file succeeds, any alignment, through the page cache; before, EINVAL",
        "6.6", "e88e0d366f9c", "switch", _SWITCH, scenario="direct_io_alignment", fs="tmpfs",
    ),
    Difference(
        "direct-read-beyond-end",
        "a direct read fills memory with zeroes for what is beyond the file's end, and fails where it cannot; before, it stops",
        "5.15", "a6d3d49587d1", "switch", _SWITCH, scenario="direct_io_extents", fs="ext4",
    ),
    Difference(
        "direct-io-one-piece",
        "O_DIRECT to or from memory within one page may have any address (until 7.2), and lengths are looked at extent by "
        "extent; before, the address and the whole length have to be aligned",
        "6.18", "7eac33186957", "switch", _SWITCH, scenario="direct_io_extents", fs="ext4",
    ),
    Difference(
        "direct-io-every-piece", "O_DIRECT looks at the address and length of every piece of memory, before anything is moved",
        "7.2", "unknown", "switch", _SWITCH, scenario="direct_io_extents", fs="ext4",
    ),
    Difference(
        "direct-io-dma-alignment",
        "the memory of O_DIRECT is aligned as the device wants it (4 bytes on NVMe); before, to 512",
        "6.0", "bf8d08532bc1", "switch", _SWITCH + "; KernelConfig.dma_alignment is the device's",
        scenario="direct_io_alignment", fs="ext4",
    ),
    Difference(
        "direct-write-error-lost",
        "a direct write that fails for its alignment goes through the page cache instead: iomap_iter() loses the error",
        "6.15", "unknown (6.15 was not seen)", "switch", _SWITCH, scenario="direct_write_that_fails_allocates", fs="ext4",
        until="6.17",
    ),
    Difference(
        "write-sealed-map-read-only",
        "a memfd with F_SEAL_WRITE can be mapped shared and read-only; before, EPERM",
        "6.1", "28464bbb2ddc, 8ec396d05d1b (6.7, 6.13, 6.1 and 6.12 stable)", "switch", _SWITCH, scenario="memfd_seals",
    ),
    Difference(
        "mmap-write-seal-first",
        "a file sealed with F_SEAL_FUTURE_WRITE, too, refuses to be mapped before the target of MAP_FIXED is unmapped or split",
        "6.12", "unknown (mm: perform all memfd seal checks in a single place; 6.14 and 6.12 stable)", "switch", _SWITCH,
        scenario="mmap_of_sealed_memory",
    ),
    Difference(
        "pageout-keeps-young", "MADV_PAGEOUT leaves the accessed bit of a page that stays; before, it clears it",
        "6.9", "2864f3d0f583", "switch", _SWITCH, scenario="madvise_pageout_young",
    ),
    Difference(
        "memfd-noexec", "memfd_create() knows MFD_NOEXEC_SEAL (8) and MFD_EXEC (16), fcntl() F_SEAL_EXEC; before, EINVAL",
        "6.3", "105ff5339f49", "switch", _SWITCH, scenario="memfd_noexec",
    ),
    Difference(
        "merge-with-close",
        "the border between two mappings that have a close() (SysV shared memory) may move down the upper one, since 6.12 "
        "(vma_merge_existing_range) up the lower one too; before, they never merge",
        "6.4", "714965ca8252", "switch", _SWITCH, scenario="merge_shared_memory",
    ),
    Difference(
        "ext4-zeroes-tail",
        "when a file on ext4 grows, what was stored beyond its end through a mapping is gone; before, it appears, unless it was "
        "written back",
        "6.12", "c7fc0366c656 (6.13 and 6.12 stable)", "switch", _SWITCH, scenario="ext4_store_beyond_the_end", fs="ext4",
    ),
    Difference(
        "punch-hole-in-the-first-page",
        "fallocate() of a hole or of zeroes within the first page unmaps all behind that page",
        "6.12", "unknown (6.12 stable; 6.13 to 6.15 were not seen)", "switch", _SWITCH,
        scenario="punch_hole_within_the_first_page", fs="ext4", until="6.13",
    ),
    Difference(
        "fadvise-negative", "readahead() and posix_fadvise() of a negative offset are EINVAL; before, far beyond the end",
        "7.1", "unknown", "switch", _SWITCH, scenario="fadvise_negative_offset",
    ),
    Difference(
        "dofork-special", "MADV_DOFORK is EINVAL for all that may not be expanded, huge pages for one; before, for device memory",
        "7.0", "unknown", "switch", _SWITCH, scenario="hugetlb_operations",
    ),
    Difference(
        "merge-copy-of-a-forks-child",
        "mremap() lets a neighbour that was never written take the pages of a mapping that a fork copied",
        "6.16", "879bca0a2c4f (fixed in 6.18)", "switch", _SWITCH, scenario="merge_of_a_forks_child", until="6.18",
    ),
    Difference(
        "lru-gen-referenced",
        "a page that a fault brought in is marked as referenced, where the kernel was built with CONFIG_LRU_GEN: clear_refs and "
        "MADV_FREE leave it in Referenced of smaps",
        "7.2", "unknown", "mask", "Referenced may be more than the model's", _referenced, "smaps_anon",
    ),
    Difference(
        "lru-gen-enabled", "pages count as referenced by other rules where generations stand in for active and inactive lists",
        "6.1", "354ed5974429", "mask", f"guests switch it off; where {_LRU_GEN} has it on, Referenced may differ", _referenced,
    ),
    Difference(
        "readahead-learns-late",
        "what a read() itself has read counts for readahead when it is over; before, at once: its second page looked sequential",
        "6.7", _UNSURE + " (mm/filemap.c: fix update prev_pos after one read request done)", "switch", _SWITCH,
        scenario="readahead_within_a_read", fs="ext4",
    ),
    Difference(
        "vsyscall-bad-pointer",
        "a bad pointer given to a vsyscall is SIGSEGV without an address; before, with the pointer's, as of user code",
        "6.1", "02b670c1f88e (6.9 and 6.1 stable)", "switch", _SWITCH, scenario="vsyscall",
    ),
    Difference(
        "thp-alignment-files",
        "a mapping of at least 2 MiB of a file on ext4 is placed with its offset and its address aligned alike; before, only "
        "on a DAX device",
        "5.18", "1854bc6e2420", "switch", _SWITCH, scenario="thp_alignment_of_a_file", fs="ext4",
    ),
    Difference(
        "smaps-pss-dirty", "smaps has a line Pss_Dirty", "6.0", "30934843019a", "switch", _SWITCH, scenario="smaps_counts",
    ),
    Difference(
        "smaps-ksm", "smaps has a line KSM", "6.7", _UNSURE, "switch", _SWITCH, scenario="smaps_counts",
    ),
    Difference(
        "smaps-thpeligible", "the number of the line THPeligible of smaps stands in the column of the others",
        "6.6", _UNSURE, "switch", _SWITCH, scenario="smaps_counts",
    ),
    Difference(
        "smaps-lockonfault", "VmFlags shows VM_LOCKONFAULT as lf; before, as ??", "6.3", "8614d6c5eda0", "switch", _SWITCH,
        scenario="smaps_flags",
    ),
    Difference(
        "smaps-denywrite", "there is no VM_DENYWRITE: VmFlags of a program's file mappings has no dw", "5.15", "8d0920bde5eb",
        "switch", _SWITCH,
    ),
    Difference(
        "munlock-drains", "munlock() drains the pagevecs first, so that LazyFree of smaps counts what MADV_FREE has just freed",
        "5.18", _UNSURE, "switch", _SWITCH, scenario="smaps_anon",
    ),
    Difference(
        "status-lines", "/proc/PID/status has SpeculationIndirectBranch (5.17), untag_mask (6.4) and Kthread (6.8)",
        "5.17", _UNSURE, "switch", _SWITCH,
    ),
    Difference(
        "kpageflags-exclusive", "KPF_MAPPEDTODISK of an anonymous page says that it belongs to one process only",
        "5.19", "78fbe906cc90", "switch", _SWITCH,
    ),
    Difference(
        "fdinfo-mode", "/proc/PID/fdinfo may be listed by everybody who may read the process; before, mode 0500",
        "5.14", "7bc3fa0172a4", "switch", _SWITCH,
    ),
)  # fmt: skip


BY_ID: Final = {row.id: row for row in DIFFERENCES}


def running_release() -> tuple[int, int]:
    """(6, 18) of the kernel under us."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def in_force(release: tuple[int, int]) -> tuple[Difference, ...]:
    """The rows that a kernel of this release shows."""
    return tuple(row for row in DIFFERENCES if row.shown_by(release) and (row.id != "lru-gen-enabled" or _generations()))


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def seen(row: Difference) -> str:
    """On which of VERIFIED_ON its scenario shows it, and on which not: "seen on 6.1.192 and later, not on 5.10.218"."""
    runs: dict[bool, list[str]] = {True: [], False: []}
    start = 0
    shown = [row.shown_by(_version(kernel)) for kernel in VERIFIED_ON]
    for i in range(1, len(shown) + 1):
        if i < len(shown) and shown[i] == shown[start]:
            continue
        first, last = VERIFIED_ON[start], VERIFIED_ON[i - 1]
        later = f"{first} and later" if i == len(shown) else f"{first} to {last}"
        runs[shown[start]].append(first if first == last else later)
        start = i
    return f"seen on {', '.join(runs[True]) or 'none'}, not on {', '.join(runs[False]) or 'none'}"


def masked(rows: Sequence[Difference], before: Sequence[Op], op: Op, live: str, model: str) -> Difference | None:
    """The row that explains why the two answers differ; None if none does."""
    for row in rows:
        if row.mask is not None and row.mask(before, op, live, model):
            return row
    return None


def table() -> str:
    """The rows as `mmscope check --differences` prints them."""
    lines = ["What later releases do otherwise than Linux 5.11, and how `mmscope check --live` treats it now:"]
    for row in DIFFERENCES:
        when = f"since {row.since}" + (f" until {row.until}" if row.until else "")
        when += f", also in {' and '.join(row.also)}" if row.also else ""
        when += f", but not in {' and '.join(row.but)}" if row.but else ""
        lines += ["", f"{row.id}: {when}, {row.commit}", f"  {row.what}", f"  {row.treatment}: {row.how}"]
        if row.scenario:
            lines += [f"  scenario: {row.scenario}", f"  {seen(row)}"]
    return "\n".join(lines) + "\n"
