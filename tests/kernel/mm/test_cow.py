# SPDX-License-Identifier: GPL-2.0-or-later
"""Copy or reuse: do_wp_page's decision after fork, as v5.11, v5.18 and v5.19 take it. Fault counts were seen on 5.10 and 6.18."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mmscope.kernel.include.mm import FOLL_WRITE
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PageAnonExclusive
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.gup import get_user_pages_remote, pin_user_pages_remote, unpin_user_page
from mmscope.kernel.mm.page_alloc import put_page
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.mm.vmstat import PGREUSE
from mmscope.machine import Machine, Process

PAGE = 4096
AT = 0x20000000
ANON, FIXED = 0x22, 0x10

Version = tuple[int, int]
MakeProcess = Callable[[Version], Process]

#: v5.9's rule, v5.18's, PG_anon_exclusive, mprotect() that looks at it, today.
VERSIONS: list[Version] = [(5, 11), (5, 18), (5, 19), (6, 0), (6, 18)]


@pytest.fixture
def process_of() -> Iterator[MakeProcess]:
    """A process of a release with one page at AT that holds "x", no longer in a pagevec."""
    machines = []

    def make(version: Version) -> Process:
        machine = Machine(ram="32M", root=None, debug_vm=True, version=version)
        machines.append(machine)
        p = machine.process()
        p.mmap(AT, 4 * PAGE, 3, ANON | FIXED)
        p.store(AT, b"x")
        lru_add_drain(machine.kernel)
        return p

    yield make
    for machine in machines:
        validate_vm(machine.kernel)


def page(p: Process) -> Page:
    """The one mapped at AT."""
    paddr = p.translate(AT)
    assert paddr is not None
    return p.machine.kernel.mem_map[paddr >> 12]


def copies(p: Process) -> bool:
    """A store by `p` takes one minor fault; does it get another frame?"""
    before, faults, reused = p.translate(AT), p.task.min_flt, p.machine.kernel.vmstat.event[PGREUSE]
    p.store(AT, b"y")
    assert p.task.min_flt == faults + 1
    copied = p.translate(AT) != before
    assert (p.machine.kernel.vmstat.event[PGREUSE] - reused) == (not copied)
    return copied


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_writer_copies_the_last_owner_keeps_the_page(process_of: MakeProcess, version: Version) -> None:
    p = process_of(version)
    child, other = p.fork(), p.fork()
    frame = p.translate(AT)
    assert copies(child)
    assert copies(p)
    assert (other.translate(AT), page(other)._mapcount) == (frame, 0)
    assert not copies(other)
    assert [q.load(AT) for q in (p, child, other)] == [b"y"] * 3


@pytest.mark.parametrize("version", VERSIONS)
def test_the_child_s_exit_leaves_the_page_to_the_parent(process_of: MakeProcess, version: Version) -> None:
    p = process_of(version)
    p.fork().exit()
    assert not copies(p)


@pytest.mark.parametrize(("version", "copied"), [((5, 11), True), ((5, 17), True), ((5, 18), False), ((5, 19), False)])
def test_a_fresh_copy_that_waits_in_a_pagevec(process_of: MakeProcess, version: Version, copied: bool) -> None:
    """The child's copy has two references: its entry's and the pagevec's. mprotect() has the next write ask again."""
    p = process_of(version)
    child = p.fork()
    assert copies(child)
    assert page(child)._refcount == 2
    child.mprotect(AT, PAGE, 1)
    child.mprotect(AT, PAGE, 3)
    assert copies(child) is copied


@pytest.mark.parametrize("version", VERSIONS)
def test_somebody_s_reference_leads_to_a_copy_if_the_page_was_shared(process_of: MakeProcess, version: Version) -> None:
    """get_user_pages() in the parent, fork, the child exits: the parent's write must not be seen through that reference."""
    p = process_of(version)
    got = get_user_pages_remote(p.mm, AT, 1, FOLL_WRITE)[0]
    p.machine.config.CONFIG_DEBUG_VM = False
    p.fork().exit()
    assert copies(p)
    put_page(got)


@pytest.mark.parametrize(("version", "copied"), [((5, 11), True), ((5, 18), True), ((5, 19), False), ((6, 18), False)])
def test_somebody_s_reference_to_an_exclusive_page(process_of: MakeProcess, version: Version, copied: bool) -> None:
    """The bug that PG_anon_exclusive ended: write protection alone took the page away from those who had got it."""
    p = process_of(version)
    got = get_user_pages_remote(p.mm, AT, 1, FOLL_WRITE)[0]
    p.machine.config.CONFIG_DEBUG_VM = False
    p.mprotect(AT, PAGE, 1)
    p.mprotect(AT, PAGE, 3)
    frame = p.translate(AT)
    p.store(AT, b"y")
    assert (p.translate(AT) != frame) is copied
    put_page(got)


@pytest.mark.parametrize("version", [(5, 19), (6, 18)])
def test_the_flag_s_life(process_of: MakeProcess, version: Version) -> None:
    p = process_of(version)
    first = page(p)
    assert PageAnonExclusive(first)
    child = p.fork()
    assert not PageAnonExclusive(first)
    p.store(AT, b"p")
    assert [PageAnonExclusive(page(q)) for q in (p, child)] == [True, False]
    # Its mapcount is 1 again, but nothing has found that out yet.
    assert first._mapcount == 0
    child.store(AT, b"c")
    assert page(child) is first
    assert PageAnonExclusive(first)
    assert first.mapping is child.mm.mmap.anon_vma if child.mm.mmap is not None else False


@pytest.mark.parametrize("version", [(5, 11), (5, 18)])
def test_before_the_flag_there_is_none(process_of: MakeProcess, version: Version) -> None:
    p = process_of(version)
    assert not PageAnonExclusive(page(p))
    first = page(p)
    p.store(AT, b"p")
    child = p.fork()
    p.store(AT, b"p")
    child.store(AT, b"c")
    assert page(child) is first
    # It was reused where it was: still on the parent's anon_vma.
    vma = p.mm.mmap
    assert vma is not None
    assert first.mapping is vma.anon_vma


@pytest.mark.parametrize(("version", "faults"), [((5, 11), [1, 1]), ((5, 19), [1, 1]), ((6, 0), [1, 0]), ((6, 18), [1, 0])])
def test_mprotect_trusts_the_flag_not_the_count(process_of: MakeProcess, version: Version, faults: list[int]) -> None:
    """fork_then_mprotect.scn: after a fork the first write must fault, though the child is gone."""
    p = process_of(version)
    p.fork().exit()
    found = []
    for _ in faults:
        p.mprotect(AT, PAGE, 1)
        p.mprotect(AT, PAGE, 3)
        before = p.task.min_flt
        p.store(AT, b"y")
        found.append(p.task.min_flt - before)
    assert found == faults


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pinned_page_stays_the_parent_s(process_of: MakeProcess, version: Version) -> None:
    """A device writes to it: fork() gives the child a copy at once, writable, and leaves the parent's entry alone."""
    p = process_of(version)
    machine = p.machine
    (pinned,) = pin_user_pages_remote(p.mm, AT, 1, FOLL_WRITE)
    machine.config.CONFIG_DEBUG_VM = False
    p.store(AT + PAGE, b"not pinned")
    child = p.fork()
    assert page(p) is pinned
    assert page(child) is not pinned
    assert [q.walk(AT)[-1].entry & 2 for q in (p, child)] == [2, 2]
    assert [q.walk(AT + PAGE)[-1].entry & 2 for q in (p, child)] == [0, 0]
    faults = p.task.min_flt, child.task.min_flt
    p.store(AT, b"p")
    child.store(AT, b"c")
    assert (p.task.min_flt, child.task.min_flt) == faults
    assert [q.load(AT) for q in (p, child)] == [b"p", b"c"]
    unpin_user_page(pinned)
    machine.config.CONFIG_DEBUG_VM = True
    validate_vm(machine.kernel)
    # Nothing is pinned any more: the next child shares it.
    assert page(p.fork()) is page(p)


@pytest.mark.parametrize("version", VERSIONS)
def test_memory_may_end_at_the_copy_of_a_pinned_page(process_of: MakeProcess, version: Version) -> None:
    """copy_present_page() asks for a frame and is called again; here it gets one."""
    p = process_of(version)
    for i in range(4):
        p.store(AT + i * PAGE, bytes([i]))
    pinned = pin_user_pages_remote(p.mm, AT, 4, FOLL_WRITE)
    p.machine.config.CONFIG_DEBUG_VM = False
    child = p.fork()
    assert [child.load(AT + i * PAGE) for i in range(4)] == [bytes([i]) for i in range(4)]
    assert child.mm.rss_stat[1] == p.mm.rss_stat[1] + p.task.rss_stat[1]
    for got in pinned:
        unpin_user_page(got)


@pytest.mark.parametrize(("version", "unshared"), [((5, 11), False), ((5, 18), False), ((5, 19), True), ((6, 18), True)])
def test_pinning_for_reading_makes_the_page_exclusive(process_of: MakeProcess, version: Version, unshared: bool) -> None:
    """Else the pin would be left on a page that the next write replaces (FAULT_FLAG_UNSHARE)."""
    p = process_of(version)
    child = p.fork()
    frame, faults = p.translate(AT), p.task.min_flt
    p.resume()
    (pinned,) = pin_user_pages_remote(p.mm, AT, 1, 0)
    assert (p.translate(AT) != frame) is unshared
    assert p.task.min_flt - faults == unshared
    p.machine.config.CONFIG_DEBUG_VM = False
    p.load(AT)
    # Read-only still: writing asks once more, and finds the page exclusive.
    assert p.walk(AT)[-1].entry & 2 == 0
    p.store(AT, b"y")
    assert (page(p) is pinned) is unshared
    unpin_user_page(pinned)
    p.machine.config.CONFIG_DEBUG_VM = True
    assert child.load(AT) == b"x"


@pytest.mark.parametrize("version", VERSIONS)
def test_pinning_zero_and_file_pages_unshares_nothing(process_of: MakeProcess, version: Version) -> None:
    p = process_of(version)
    p.load(AT + 2 * PAGE)
    zero = p.translate(AT + 2 * PAGE)
    (pinned,) = pin_user_pages_remote(p.mm, AT + 2 * PAGE, 1, 0)
    assert p.translate(AT + 2 * PAGE) == zero
    unpin_user_page(pinned)


@pytest.mark.parametrize(("version", "faults"), [((5, 11), 1), ((5, 19), 1), ((6, 0), 0), ((6, 18), 0)])
def test_a_forced_write_to_a_read_only_page(process_of: MakeProcess, version: Version, faults: int) -> None:
    """ptrace and /proc/PID/mem: since v6.0 an exclusive page needs no fault that breaks COW."""
    p = process_of(version)
    p.mprotect(AT, PAGE, 1)
    before, frame = p.task.min_flt, p.translate(AT)
    p.resume()
    (got,) = get_user_pages_remote(p.mm, AT, 1, FOLL_WRITE | 0x10)
    put_page(got)
    assert (p.task.min_flt - before, p.translate(AT)) == (faults, frame)
    # One that is shared is copied first, in every release.
    child = p.fork()
    p.resume()
    (got,) = get_user_pages_remote(p.mm, AT, 1, FOLL_WRITE | 0x10)
    put_page(got)
    assert p.translate(AT) != frame == child.translate(AT)
    assert p.walk(AT)[-1].entry & 2 == 0
