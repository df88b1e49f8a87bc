# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/memory_fork.py and zapping: what becomes of each kind of entry, with and without a probe on them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.pgtable import _PAGE_ACCESSED, _PAGE_RW, _PAGE_SPECIAL
from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.gup import pin_user_pages_remote, unpin_user_page
from mmscope.machine import Machine, Process

PAGE = 4096
#: In the middle of a page table; the mapping goes on in the next one.
AT = 0x20000000 + 500 * PAGE
ANON, FIXED = 0x22, 0x10
MADV_DONTNEED, MADV_GUARD_INSTALL = 4, 102
KINDS = ("none", "zero", "written", "read-only", "no access", "pinned", "guard")


def entry(p: Process, n: int) -> int:
    """The page-table entry of page `n`, unsigned; 0 also where there is no table."""
    levels = p.walk(AT + n * PAGE)
    return levels[3].entry if len(levels) == 4 else 0


def entries(p: Process, count: int) -> list[int]:
    return [entry(p, n) for n in range(count)]


def prepare(p: Process, kinds: list[str]) -> None:
    """A private mapping whose pages are of these kinds; of the pinned ones a device still has the pins.

    A page before them has been written: without an anon_vma fork would leave all to the child's faults.
    """
    p.mmap(AT - PAGE, (len(kinds) + 1) * PAGE, 3, ANON | FIXED)
    p.store(AT - PAGE, b"x")
    for n, kind in enumerate(kinds):
        at = AT + n * PAGE
        if kind == "zero":
            p.load(at, 1)
        elif kind == "guard":
            p.madvise(at, PAGE, MADV_GUARD_INSTALL)
        elif kind != "none":
            p.store(at, bytes([n + 1]))
        if kind in ("read-only", "no access"):
            p.mprotect(at, PAGE, 1 if kind == "read-only" else 0)
        elif kind == "pinned":
            pin_user_pages_remote(p.mm, at, 1, FOLL_WRITE)


class Probe:
    """Follows the entries by what the tracepoint says."""

    def __init__(self, machine: Machine) -> None:
        self.words = machine.kernel.words
        self.seen: dict[int, int] = {}
        machine.kernel.tp.attach("set_pte", self)

    def __call__(self, mm: object, addr: int, ptep: int, old: int, new: int) -> None:
        # Only the processor's A and D bits come by unseen.
        assert (self.seen.get(ptep, old) ^ old) & ~0x60 == 0
        self.seen[ptep] = new

    def check(self) -> None:
        assert all((self.words[ptep] ^ new) & ~0x60 == 0 for ptep, new in self.seen.items())


@pytest.mark.parametrize("traced", [False, True])
@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=24))
def test_what_fork_makes_of_each_entry(traced: bool, kinds: list[str]) -> None:
    with Machine(ram="32M", root=None, version=(6, 18)) as machine:
        p = machine.process()
        prepare(p, kinds)
        before = entries(p, len(kinds))
        probe = Probe(machine) if traced else None
        child = p.fork()
        for n, kind in enumerate(kinds):
            old, mine, its = before[n], entry(p, n), entry(child, n)
            if kind in ("none", "guard"):
                assert (mine, its) == (old, old), kind
            elif kind == "pinned":
                assert mine == old
                assert its & _PAGE_RW
                assert child.load(AT + n * PAGE, 1) == bytes([n + 1])
                assert child.translate(AT + n * PAGE) != p.translate(AT + n * PAGE)
            else:
                assert (mine, its) == (old & ~_PAGE_RW, old & ~(_PAGE_RW | _PAGE_ACCESSED)), kind
                assert (kind == "zero") == (old & _PAGE_SPECIAL != 0)
        validate_pinned(machine, p, kinds)
        if probe is not None:
            probe.check()
        child.exit()
        p.exit()
        if probe is not None:
            probe.check()
        validate_vm(machine.kernel)


def validate_pinned(machine: Machine, p: Process, kinds: list[str]) -> None:
    """Give the pins back, which the validators do not know of, then ask them."""
    for n, kind in enumerate(kinds):
        if kind == "pinned":
            paddr = p.translate(AT + n * PAGE)
            assert paddr is not None
            unpin_user_page(machine.kernel.mem_map[paddr >> 12])
    validate_vm(machine.kernel)


@pytest.mark.parametrize("traced", [False, True])
@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(st.sampled_from([kind for kind in KINDS if kind != "pinned"]), min_size=1, max_size=24), data=st.data())
def test_what_is_zapped_is_empty_but_for_guards(traced: bool, kinds: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(kinds) - 1))
    last = data.draw(st.integers(first, len(kinds) - 1))
    with Machine(ram="32M", root=None, version=(6, 18)) as machine:
        p = machine.process()
        prepare(p, kinds)
        before = entries(p, len(kinds))
        probe = Probe(machine) if traced else None
        p.madvise(AT + first * PAGE, (last - first + 1) * PAGE, MADV_DONTNEED)
        for n, kind in enumerate(kinds):
            assert entry(p, n) == (0 if first <= n <= last and kind != "guard" else before[n]), kind
        p.munmap(AT + first * PAGE, (last - first + 1) * PAGE)
        assert not any(entries(p, len(kinds))[first : last + 1])
        if probe is not None:
            probe.check()
        validate_vm(machine.kernel)


def test_a_pin_that_finds_no_frame_ahead_loses_nothing_of_the_table() -> None:
    """The loop over a table ends where a frame has to be allocated, and goes on there."""
    with Machine(ram="32M", root=None, version=(6, 18)) as machine:
        p = machine.process()
        kinds = ["written", "pinned", "written", "guard", "pinned", "none", "written"]
        prepare(p, kinds)
        child = p.fork()
        assert [child.load(AT + n * PAGE, 1)[0] for n in (0, 1, 2, 4, 6)] == [1, 2, 3, 5, 7]
        assert entry(child, 3) == entry(p, 3) != 0
        validate_pinned(machine, p, kinds)
