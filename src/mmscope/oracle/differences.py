# SPDX-License-Identifier: GPL-2.0-or-later
"""What a later release does otherwise than v5.11 and a program can see, and how `mmscope check` deals with each.

Most rows are a switch of KernelConfig.version: the model runs as the live kernel's release. Until a row has one, the check either
masks the answers that it touches (they count as masked, not as compared) or the random sequences avoid it. Nothing is hidden:
`check --live` prints which of those rows were in force, and how often.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mmscope.oracle.scenario import Op

#: (operations before, the operation, live answer, model's answer) -> these may differ
Mask = Callable[[Sequence[Op], Op, str, str], bool]


@dataclass(frozen=True)
class Difference:
    """One row of the table."""

    id: str
    what: str
    #: First release that does it, and the commit that brought it.
    since: str
    commit: str
    #: "switch": KernelConfig.version. "mask": answers are not compared where `mask` says so.
    #: "avoid": random sequences keep off it.
    #: "arrange": agent or runner make both kernels alike.
    treatment: str
    #: How, in words; for "avoid" what strategies.py does.
    how: str
    #: Only asked about answers that differ.
    mask: Mask | None = None
    #: A scenario of the library that shows it.
    scenario: str = ""
    #: The states differ afterwards: the rest of a scenario is not compared.
    stops: bool = False
    #: Asked when the answers agree: do the states differ all the same?
    silent: Mask | None = None
    #: Only where the scenario's files stand on this file system; "" for any.
    fs: str = ""


def _flag(op: Op, at: int, name: str) -> bool:
    return len(op.args) > at and name in op.args[at].split("|")


def _huge_shrink(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and _flag(op, 3, "fixed") and live == "-ENOMEM" and model.startswith("0x")


def _but_for_page_tables(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "pagetables" and any(earlier.name == "mremap" for earlier in before)


def _live_merged_more(op: Op, live: str, model: str) -> bool:
    return op.name == "maps" and live.count("|") < model.count("|") and merge_lines(live) == merge_lines(model)


def _grown_together(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return any(earlier.name == "mremap" for earlier in before) and _live_merged_more(op, live, model)


#: What gives a mapping an anon_vma, and what makes a mapping of two that touch.
_TOUCHES: Final = ("store", "touch", "fill", "read", "pread", "mlock", "mlock2", "mlockall", "mmap")
_JOINS: Final = ("mprotect", "madvise", "mlock", "munlock", "mlock2", "mlockall", "munlockall", "mremap", "brk")


def _anon_vma_joined(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    if not any(earlier.name in _TOUCHES for earlier in before) or not any(earlier.name in _JOINS for earlier in before):
        return False
    return _live_merged_more(op, live, model)


def merge_lines(maps: str) -> list[str]:
    """The lines of `maps`, neighbours that look alike put together: equal rights, offsets (of files) that go on."""
    lines: list[tuple[int, int, str, int, str]] = []
    for line in maps.split(" | "):
        words = line.split(" ", 3)
        if len(words) < 3:
            return [maps]
        start, end = (int(word, 16) for word in words[0].split("-"))
        offset, name = int(words[2], 16), words[3] if len(words) > 3 else ""
        if lines:
            first, last, rights, at, same = lines[-1]
            if (last, rights, same) == (start, words[1], name) and (not name or offset == at + start - first):
                lines[-1] = (first, end, rights, at, name)
                continue
        lines.append((start, end, words[1], offset, name))
    return [f"{start:x}-{end:x} {rights} {offset:x} {name}".rstrip() for start, end, rights, offset, name in lines]


def _mremap_errno(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and live.startswith("-E") and model.startswith("-E")


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


def _failed_write(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    from_memory = (op.name == "write" and len(op.args) > 2) or (op.name == "pwrite" and len(op.args) > 3)
    return from_memory and (model == "-EFAULT" or live != model)


def _remove_read_only(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "madvise" and "remove" in op.args and (live, model) == ("0x0", "-EACCES")


def _tmpfs_direct(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "open" and _flag(op, 1, "direct") and live.startswith("0x") and model == "-EINVAL"


def _write_sealed(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    sealed = any(earlier.name == "add_seals" for earlier in before)
    return sealed and op.name == "mmap" and live.startswith("0x") and model == "-EPERM"


_SWITCH: Final = "the model does what KernelConfig.version says; `check --live` runs it as the running release"

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
        "a MREMAP_FIXED move of equal size may span several mappings and holes; before, EFAULT",
        "6.17", "d23cb648e365", "switch", _SWITCH, scenario="mremap_across_two_vmas",
    ),
    Difference(
        "mremap-fixed-huge-shrink",
        "MREMAP_FIXED from an old length of terabytes to few pages fails with ENOMEM, after unmapping; before, it moves",
        "6.17", "unknown", "mask", "ENOMEM against success is let pass; the rest of the scenario is not compared", _huge_shrink,
        "mremap_fixed_huge_shrink", stops=True,
    ),
    Difference(
        "mremap-grow-merges",
        "a mapping that mremap() grows in place merges with the next one; before, it does not",
        "6.0", "ca3d76b0aa80", "mask", "`maps` after an mremap: neighbours that look alike are compared as one, where the live "
        "kernel has merged more", _grown_together, "mremap_grow_up_to_the_next",
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
        "6.7", "unknown", "switch", _SWITCH, scenario="mprotect_unaccounts_unfaulted",
    ),
    Difference(
        "merge-one-anon-vma",
        "mprotect(), mlock() and madvise() merge with a left neighbour that has no anon_vma although the VMA itself has one; "
        "before, only the other way round",
        "6.16", "879bca0a2c4f", "mask",
        "`maps`: anonymous neighbours that look alike are compared as one, where the live kernel has merged more",
        _anon_vma_joined, "merge_mlock_splits",
    ),
    Difference(
        "mremap-check-order", "the checks of mremap() come in another order: another errno where several apply",
        "6.17", "unknown (the refactoring of mremap.c)", "mask", "two different errors of mremap() are let pass", _mremap_errno,
    ),
    Difference(
        "thp-alignment",
        "mmap(NULL) of anonymous memory whose length is a multiple of 2 MiB is placed on a 2 MiB boundary",
        "6.7", "efa7df3e3bb5",
        "avoid", "mappings without an address are shorter than 2 MiB", None, "",
    ),
    Difference(
        "mlock-limit",
        "RLIMIT_MEMLOCK is 8 MiB by default instead of 64 KiB",
        "5.16", "9dcc38e2813e", "switch", _SWITCH,
    ),
    Difference(
        "vvar-vclock", "a second vvar mapping, [vvar_vclock]", "6.13", "e93d2521b27f",
        "arrange", "the agent fills the space below vvar, so that placement starts at one address",
    ),
    Difference(
        "later-advice", "MADV_POPULATE_READ/WRITE (5.14), DONTNEED_LOCKED (5.18), COLLAPSE (6.1), GUARD_INSTALL/REMOVE (6.13)",
        "5.14", "4ca9b3859dac", "avoid", "random advice is 0 to 21, or beyond 200",
    ),
    Difference(
        "map-droppable", "map type 8 is MAP_DROPPABLE; before, EINVAL", "6.11", "9651fcedf7b9", "avoid", "no map type 8",
    ),
    Difference(
        "map-stack-nohugepage",
        "MAP_STACK sets VM_NOHUGEPAGE, and such a mapping merges with no other; before, no effect",
        "6.7", "c4608d1bf7c6", "switch", _SWITCH, scenario="map_stack_merges",
    ),
    Difference(
        "mremap-dontunmap-locked", "MREMAP_DONTUNMAP of locked memory adds to VmLck, and never takes it back",
        "6.17", "unknown", "avoid", "no MREMAP_DONTUNMAP in a scenario that locks memory", None, "",
    ),
    Difference(
        "mremap-pud", "mremap() of pages that were never touched allocates a page of page tables at the new place",
        "5.14", "unknown (5.14 or later)", "mask", "VmPTE is not compared after an mremap", _but_for_page_tables,
        "mremap_allocates_page_tables",
    ),
    Difference(
        "guard-gap-skips-holes",
        "where a mapping stands in the guard gap of another, the search for a place goes on below the gap; "
        "before, the room beside that mapping is used",
        "6.4", "58c5d0d6d522", "switch", _SWITCH, scenario="guard_gap_with_a_mapping_in_it",
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
        "6.16", "unknown", "mask", "the prepared files are written page by page: folios of one page on every release; "
        "after writes, truncation and fadvise on ext4 minor faults and pagemap may differ, and mincore show more pages",
        _large_folios, "ext4_large_folios", fs="ext4",
    ),
    Difference(
        "failed-write-extends",
        "a write() beyond the end whose buffer cannot be read fails with EFAULT, and extends the file all the same: the buffer "
        "is no longer faulted in before; it may be a page that only the extended file has",
        "6.14", "unknown", "mask", "what follows such a write is not compared", _failed_write, "failed_write_extends_the_file",
        stops=True, silent=_failed_write,
    ),
    Difference(
        "madvise-remove-read-only",
        "MADV_REMOVE wants a shared mapping that could be made writable; before, one that is writable, else EACCES",
        "6.7", "unknown", "mask", "success against EACCES is let pass; the rest is not compared", _remove_read_only,
        "madvise_remove_read_only", stops=True,
    ),
    Difference(
        "tmpfs-direct-io",
        "open(O_DIRECT) of a tmpfs file succeeds, any alignment, through the page cache; before, EINVAL",
        "6.6", "unknown", "mask", "success against EINVAL is let pass; the rest is not compared", _tmpfs_direct,
        "direct_io_alignment", stops=True, fs="tmpfs",
    ),
    Difference(
        "write-sealed-map-read-only",
        "a memfd with F_SEAL_WRITE can be mapped shared and read-only; before, EPERM",
        "6.7", "unknown", "mask", "success against EPERM is let pass; the rest is not compared", _write_sealed, "memfd_seals",
        stops=True,
    ),
    Difference(
        "memfd-noexec", "memfd_create() knows flags 8 (MFD_NOEXEC_SEAL) and 16 (MFD_EXEC); before, EINVAL", "6.3", "unknown",
        "avoid", "flags are 0, 1, 2 or 64",
    ),
)  # fmt: skip


BY_ID: Final = {row.id: row for row in DIFFERENCES}


def running_release() -> tuple[int, int]:
    """(6, 18) of the kernel under us."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def in_force(release: tuple[int, int]) -> tuple[Difference, ...]:
    """The rows that a kernel of this release shows."""
    return tuple(row for row in DIFFERENCES if _version(row.since) <= release)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def masked(rows: Sequence[Difference], before: Sequence[Op], op: Op, live: str, model: str) -> Difference | None:
    """The row that explains why the two answers differ; None if none does."""
    for row in rows:
        if row.mask is not None and row.mask(before, op, live, model):
            return row
    return None


def silent(rows: Sequence[Difference], before: Sequence[Op], op: Op, live: str, model: str) -> Difference | None:
    """The row after which the states differ although the answers agree; None if there is none."""
    for row in rows:
        if row.silent is not None and row.silent(before, op, live, model):
            return row
    return None


def table() -> str:
    """The rows as `mmscope check --differences` prints them."""
    lines = ["What later releases do otherwise than Linux 5.11, and how `mmscope check --live` treats it now:"]
    for row in DIFFERENCES:
        lines += ["", f"{row.id}: since {row.since}, {row.commit}", f"  {row.what}", f"  {row.treatment}: {row.how}"]
        if row.scenario:
            lines.append(f"  scenario: {row.scenario}")
    return "\n".join(lines) + "\n"
