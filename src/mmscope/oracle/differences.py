# SPDX-License-Identifier: GPL-2.0-or-later
"""What a later release does otherwise than v5.11 and a program can see, and how `mmscope check` deals with each today.

Until KernelConfig.version has a switch for a row, the check either masks the answers that it touches (they count as masked, not
as compared) or the random sequences avoid it. Nothing is hidden: `check --live` prints which rows were in force, and how often.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mmscope.oracle.scenario import Compiler, Op

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
    #: "mask": answers are not compared where `mask` says so. "avoid": random sequences keep off it.
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


def _shared_majors(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """Minor and major faults swap places; their sum must agree."""
    if op.name != "faults" or not any(earlier.name in ("mmap", "shmat") for earlier in before):
        return False
    return _fault_sum(live) == _fault_sum(model) >= 0


def _fault_sum(text: str) -> int:
    minor, slash, major = text.partition("/")
    return int(minor) + int(major) if slash and minor.isdigit() and major.isdigit() else -1


def _writable_at_once(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """After mprotect() has given write permission, the model counts one more fault for each page that is then written."""
    if op.name != "faults" or not any(earlier.name == "mprotect" for earlier in before):
        return False
    return 0 <= _fault_sum(live) <= _fault_sum(model)


def _mremap_of_a_hole(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """Shrinking, or no change of size: v5.11 unmaps the tail without asking whether anything is mapped at `addr`."""
    return op.name == "mremap" and live in ("-EFAULT", "-EINVAL") and model.startswith("0x") and not _same_size(op)


def _mremap_nothing(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and live in ("-EFAULT", "-EINVAL") and model.startswith("0x") and _same_size(op)


def _same_size(op: Op) -> bool:
    old, new = Compiler().num(op.args[1]), Compiler().num(op.args[2])
    return (int(old, 16) + 4095) >> 12 == (int(new, 16) + 4095) >> 12


def _flag(op: Op, at: int, name: str) -> bool:
    return len(op.args) > at and name in op.args[at].split("|")


def _failed_onto_fixed(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """v5.11 unmaps the target of MREMAP_FIXED before it looks at the source."""
    if op.name != "mremap" or not _flag(op, 3, "fixed") or not _flag(op, 3, "maymove"):
        return False
    # EINVAL comes before or after; with an old length of 0 it may be the one for private memory.
    return live in ("-EFAULT", "-ENOMEM") or (live == "-EINVAL" and op.args[1] == "0")


def _huge_shrink(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and _flag(op, 3, "fixed") and live == "-ENOMEM" and model.startswith("0x")


def _many_vmas(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and _flag(op, 3, "fixed") and live.startswith("0x") and model == "-EFAULT"


def _dontunmap_any(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mremap" and _flag(op, 3, "dontunmap") and live.startswith("0x") and model == "-EINVAL"


def _but_for_page_tables(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "pagetables" and any(earlier.name == "mremap" for earlier in before)


def _below_the_guard_gap(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """Placed lower, with a mapping that grows down about."""
    if op.name not in ("mmap", "mremap") or not any("growsdown" in arg for earlier in before for arg in earlier.args):
        return False
    return live.startswith("0x") and model.startswith("0x") and int(live, 16) < int(model, 16)


def _failed_fixed(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mmap" and _flag(op, 3, "fixed") and live == "-ENOMEM"


def _onfault_populate(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    return op.name == "mlock2" and _flag(op, 2, "onfault") and live == "0x0" and model == "-ENOMEM"


def _takes_write_away(op: Op) -> bool:
    return op.name == "mprotect" and "w" not in op.args[2].partition("|")[0]


def _merged_alike(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """The same pages with the same rights; what has VM_ACCOUNT on only one of the two merges on only one."""
    return op.name == "maps" and any(map(_takes_write_away, before)) and merge_lines(live) == merge_lines(model)


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


def _merge_felt(before: Sequence[Op], op: Op, live: str, model: str) -> bool:
    """An mremap() across a border that only the model has."""
    if op.name != "mremap" or not any(map(_takes_write_away, before)):
        return False
    return live.startswith("0x") and model == "-EFAULT"


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


DIFFERENCES: Final = (
    Difference(
        "shared-write-minor",
        "the first write to shared memory counts as a minor fault; before, balance_dirty_pages() made the handler return "
        "VM_FAULT_RETRY and the fault a major one",
        "6.1", "unknown (between 5.10.218 and 6.1)",
        "mask", "`faults`: the sum of minor and major faults is compared", _shared_majors, "shared_anon_first_write_counts",
    ),
    Difference(
        "mprotect-write-at-once",
        "mprotect() makes exclusive anonymous pages writable at once; before, each faults at its next write",
        "6.1", "64fe24a3e05e",
        "mask", "`faults` after an mprotect: the live count may be the smaller one", _writable_at_once,
        "mprotect_ro_to_rw_faults",
    ),
    Difference(
        "mremap-hole-same-size", "mremap() to the same size fails with EFAULT where nothing is mapped; before, it succeeded",
        "5.16", "550a7d60bd5e", "mask", "EFAULT against success is let pass", _mremap_nothing, "mremap_same_size_of_a_hole",
    ),
    Difference(
        "mremap-hole-shrink",
        "a shrinking mremap() fails with EFAULT where nothing is mapped; before, it unmapped the tail and succeeded",
        "5.16", "550a7d60bd5e", "mask", "EFAULT against success is let pass; the rest of the scenario is not compared",
        _mremap_of_a_hole, "mremap_shrink_of_a_hole", stops=True,
    ),
    Difference(
        "mremap-fixed-failed",
        "MREMAP_FIXED looks at its source before it unmaps the target; before, a failed call has unmapped it",
        "5.16", "550a7d60bd5e", "mask", "after a failure the rest of the scenario is not compared", _failed_onto_fixed,
        "mremap_fixed_failure_unmaps_target", stops=True, silent=_failed_onto_fixed,
    ),
    Difference(
        "mremap-many-vmas", "a MREMAP_FIXED move of equal size may span several mappings and holes; before, EFAULT",
        "6.17", "d23cb648e365", "mask", "success against EFAULT is let pass; the rest of the scenario is not compared",
        _many_vmas, "mremap_across_two_vmas", stops=True,
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
        "mremap-dontunmap-any", "MREMAP_DONTUNMAP moves shared mappings too; before, EINVAL for all but private anonymous ones",
        "5.13", "a4609387859f", "mask", "success against EINVAL is let pass; the rest of the scenario is not compared",
        _dontunmap_any, "mremap_dontunmap_shared", stops=True,
    ),
    Difference(
        "mlock-onfault-no-populate",
        "mlock2(MLOCK_ONFAULT) does not try to populate; before, it fails with ENOMEM on PROT_NONE, the lock in place",
        "5.18", "b67bf49ce7aa", "mask", "0 against ENOMEM is let pass", _onfault_populate, "mlock2_onfault_of_prot_none",
    ),
    Difference(
        "mprotect-unaccount",
        "mprotect() that takes write permission from a private mapping never written drops VM_ACCOUNT; it then merges with "
        "mappings that never were writable",
        "6.7", "unknown", "mask", "`maps` after such an mprotect: anonymous neighbours that look alike are compared as one",
        _merged_alike, "mprotect_unaccounts_unfaulted",
    ),
    Difference(
        "mprotect-unaccount-felt", "the same, seen by mremap(), which may not span mappings",
        "6.7", "unknown", "mask", "success against EFAULT is let pass; the rest of the scenario is not compared", _merge_felt, "",
        stops=True,
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
        "mlock-limit", "RLIMIT_MEMLOCK is 8 MiB by default instead of 64 KiB", "5.16", "9dcc38e2813e",
        "arrange", "the agent sets it to 64 KiB",
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
        "map-stack-nohugepage", "MAP_STACK sets VM_NOHUGEPAGE, and such a mapping merges with no other; before, no effect",
        "6.7", "c4608d1bf7c6", "avoid", "no MAP_STACK", None, "map_stack_merges",
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
        "where a mapping stands in the guard gap of another, the search for a place goes on below the gap; before, the room "
        "beside that mapping is used",
        "6.4", "58c5d0d6d522", "mask",
        "a lower address with MAP_GROWSDOWN about is let pass; the rest of the scenario is not compared",
        _below_the_guard_gap, "guard_gap_with_a_mapping_in_it", stops=True,
    ),
    Difference(
        "mmap-fixed-failed", "an mmap(MAP_FIXED) that fails with ENOMEM leaves what was mapped there; before, it has unmapped it",
        "6.12", "f8d112a4e657", "mask", "after ENOMEM the rest of the scenario is not compared", None,
        "mmap_fixed_failure_unmaps", stops=True, silent=_failed_fixed,
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
