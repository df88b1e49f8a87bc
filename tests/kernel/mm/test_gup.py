# SPDX-License-Identifier: GPL-2.0-or-later
"""populate and get_user_pages."""

from __future__ import annotations

import pytest

from mmscope.kernel.include.errno import EFAULT, KernelError
from mmscope.kernel.include.mm import FOLL_FORCE, FOLL_WRITE
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ
from mmscope.kernel.include.page_flags import PG_referenced
from mmscope.kernel.mm.gup import __mm_populate, get_user_pages_remote
from mmscope.kernel.mm.page_alloc import put_page
from tests.kernel.mm.faultlib import Box

ANON = MAP_PRIVATE | MAP_ANONYMOUS


def test_populate_counts_faults_as_the_tasks_own() -> None:
    """mmap_populate_anon_16 and touch_after_populate of the recorded facts: 16 minor, then none."""
    box = Box()
    before = box.faults()
    addr = box.mmap(16 * 4096, flags=ANON | MAP_POPULATE)
    assert box.faults() == (before[0] + 16, before[1])
    for i in range(16):
        box.store(addr + i * 4096, 1)
    assert box.faults() == (before[0] + 16, before[1])
    assert box.page(addr).flags & PG_referenced


def test_populate_of_shared_memory_only_reads_and_skips_nothing() -> None:
    box = Box()
    addr = box.mmap(4 * 4096, flags=MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE)
    assert [box.flags(addr + i * 4096) & 0x67 for i in range(4)] == [0x27] * 4


def test_populate_of_prot_none_stops_silently_but_an_error_is_there_for_mlock() -> None:
    box = Box()
    addr = box.mmap(4096, PROT_NONE, ANON | MAP_POPULATE)
    assert box.pte(addr) == 0
    with pytest.raises(KernelError) as bad:
        __mm_populate(box.mm, addr, 4096, 0)
    assert bad.value.args[0] == EFAULT


def test_get_user_pages_takes_references_and_fails_on_a_hole() -> None:
    box = Box()
    addr = box.mmap(0x2000, addr=0x10000000)
    pages = get_user_pages_remote(box.mm, addr, 3, FOLL_WRITE)
    assert [page.index for page in pages] == [addr >> 12, (addr >> 12) + 1]
    box.drain()
    assert [page._refcount for page in pages] == [2, 2]
    for page in pages:
        put_page(page)
    with pytest.raises(KernelError) as bad:
        get_user_pages_remote(box.mm, addr + 0x2000, 1, 0)
    assert bad.value.args[0] == EFAULT


def test_writing_needs_vm_write_or_force_on_a_private_mapping() -> None:
    box = Box()
    private = box.mmap(0x1000, PROT_READ)
    shared = box.mmap(0x1000, PROT_READ, MAP_SHARED | MAP_ANONYMOUS)
    for addr, flags in ((private, FOLL_WRITE), (shared, FOLL_WRITE), (shared, FOLL_WRITE | FOLL_FORCE)):
        with pytest.raises(KernelError) as bad:
            get_user_pages_remote(box.mm, addr, 1, flags)
        assert bad.value.args[0] == EFAULT
    put_page(get_user_pages_remote(box.mm, private, 1, FOLL_WRITE | FOLL_FORCE)[0])
