# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA hinting faults, as Linux 6.18 shows them on a machine of one node with kernel.numa_balancing = 1."""

from __future__ import annotations

import pytest

from mmscope.kernel.arch.x86.pgtable import pte_present, pte_protnone, pte_write
from mmscope.kernel.core.fair import task_numa_work
from mmscope.kernel.core.sched import scheduler_tick
from mmscope.kernel.mm.mempolicy import change_prot_numa
from mmscope.kernel.mm.mmap_area import find_vma
from mmscope.kernel.mm.vmstat import NUMA_HINT_FAULTS, NUMA_PTE_UPDATES
from mmscope.machine import Machine, Process

PRIVATE, SHARED = 0x22, 0x21
BASE = 0x20000000


@pytest.fixture
def m() -> Machine:
    return Machine("64M", root=None, streams=(-1, -1, -1), debug_vm=True)


@pytest.fixture
def p(m: Machine) -> Process:
    return m.process()


def entry(p: Process, addr: int) -> int:
    """Signed, as the kernel has it."""
    entry = p.walk(addr)[-1].entry
    return entry - (1 << 64) if entry >> 63 else entry


def hints(m: Machine) -> tuple[int, int]:
    event = m.kernel.vmstat.event
    return event[NUMA_PTE_UPDATES], event[NUMA_HINT_FAULTS]


def of_two_threads(p: Process) -> None:
    """The address space has a second user, as a thread is one."""
    p.mm.mm_users += 1


def test_a_hint_fault_gives_the_access_back_and_is_a_minor_fault(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x4000, 3, PRIVATE | 0x10)
    p.store(BASE, b"a" * 0x2000)
    p.load(BASE + 0x2000)
    before = entry(p, BASE)
    of_two_threads(p)
    p.mm.numa_next_scan = 1
    task_numa_work(p.mm)
    # The zero page is left alone, what is not there too; the stack's page is hinted as well.
    assert [pte_protnone(entry(p, BASE + page * 4096)) for page in range(3)] == [True, True, False]
    assert pte_present(entry(p, BASE))
    assert pte_write(entry(p, BASE))
    assert hints(m)[0] >= 2
    faults = p.task.min_flt
    assert p.load(BASE) == b"a"
    assert (p.task.min_flt - faults, hints(m)[1]) == (1, 1)
    assert entry(p, BASE) == before
    p.store(BASE + 0x1000, b"b")
    assert (p.task.min_flt - faults, hints(m)[1]) == (2, 2)
    p.mm.mm_users -= 1


def test_a_process_of_one_thread_meets_none_in_private_memory(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x4000, 3, PRIVATE | 0x10)
    p.store(BASE, b"a" * 0x4000)
    task_numa_work(p.mm)
    assert hints(m) == (0, 0)
    assert not pte_protnone(entry(p, BASE))


def test_shared_memory_has_a_policy_of_its_own(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x4000, 3, SHARED | 0x10)
    p.store(BASE, b"a" * 0x4000)
    of_two_threads(p)
    p.mm.numa_next_scan = 1
    task_numa_work(p.mm)
    assert not pte_protnone(entry(p, BASE))
    p.mm.mm_users -= 1


def test_pages_shared_by_copy_on_write_are_left_alone(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x1000, 3, PRIVATE | 0x10)
    p.store(BASE, b"a")
    child = p.fork()
    vma = find_vma(p.mm, BASE)
    assert vma is not None
    of_two_threads(p)
    assert change_prot_numa(vma, BASE, BASE + 0x1000) == 0
    p.mm.mm_users -= 1
    child.exit()


def test_the_scan_comes_every_second_once_it_is_on(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x4000, 3, PRIVATE | 0x10)
    p.store(BASE, b"a" * 0x4000)
    of_two_threads(p)

    def sleep() -> None:
        m.kernel.timekeeper.advance(1_100_000_000)
        scheduler_tick(m.kernel)

    sleep()
    sleep()
    assert hints(m) == (0, 0)
    m.config.sysctl_numa_balancing = 1
    sleep()
    sleep()
    updates = hints(m)[0]
    assert updates >= 4
    assert p.load(BASE, 0x4000) == b"a" * 0x4000
    assert hints(m)[1] == 4
    sleep()
    assert hints(m)[0] >= updates + 4
    p.mm.mm_users -= 1


def test_mprotect_of_hinted_entries_ends_the_hint(m: Machine, p: Process) -> None:
    p.mmap(BASE, 0x1000, 3, PRIVATE | 0x10)
    p.store(BASE, b"a")
    of_two_threads(p)
    p.mm.numa_next_scan = 1
    task_numa_work(p.mm)
    assert pte_protnone(entry(p, BASE))
    p.mprotect(BASE, 0x1000, 1)
    assert not pte_protnone(entry(p, BASE))
    assert p.load(BASE) == b"a"
    assert hints(m)[1] == 0
    p.mm.mm_users -= 1
