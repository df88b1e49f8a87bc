# SPDX-License-Identifier: GPL-2.0-or-later
"""Shadow entries: what reclaim leaves in the page cache, and what it is good for when the page comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.fs.namei import path_lookup
from mmscope.kernel.fs.open import do_sys_truncate
from mmscope.kernel.include.fs import AT_FDCWD, AddressSpace
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.page_flags import PG_active
from mmscope.kernel.lib.xarray import xa_is_value, xa_load
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.filemap import find_get_page
from mmscope.kernel.mm.swap import lru_add_drain
from mmscope.kernel.mm.vmscan import try_to_free_pages
from mmscope.kernel.mm.vmstat import WORKINGSET_ACTIVATE_FILE, WORKINGSET_REFAULT_FILE
from mmscope.machine import Machine, Process

NR_PREAD, NR_PWRITE = 17, 18


@pytest.fixture
def p(tmp_path: Path) -> Process:
    (tmp_path / "file").write_bytes(b"x" * (64 * 4096))
    return Machine("64M", root=str(tmp_path), debug_vm=True, streams=(-1, -1, -1), uid=0, gid=0, rootfstype="ext4").process()


def cache(p: Process) -> AddressSpace:
    inode = path_lookup(p.machine.kernel, AT_FDCWD, "/file", True).d_inode
    assert inode is not None
    return inode.i_mapping


def reclaim_all(k: Kernel, mapping: AddressSpace) -> None:
    lru_add_drain(k)
    while mapping.nrpages:
        assert try_to_free_pages(k, 0)


def test_a_reclaimed_page_leaves_a_shadow_and_comes_back_active(p: Process) -> None:
    k = p.machine.kernel
    fd, buf = p.open("/file", 2), p.mmap(0, 1 << 18, 3, 0x22)
    assert p.syscall(NR_PREAD, fd, buf, 64 * 4096, 0) == 64 * 4096
    mapping = cache(p)
    # Something has to be on the active list, or every distance is too long.
    for _ in range(2):
        p.syscall(NR_PREAD, fd, buf, 4096, 63 * 4096)
        p.syscall(NR_PREAD, fd, buf, 4096, 0)
    lru_add_drain(k)
    page = find_get_page(mapping, 5)
    assert page is not None
    page._refcount -= 1
    assert not page.flags & PG_active
    reclaim_all(k, mapping)
    assert xa_is_value(xa_load(mapping.i_pages, 5))
    assert (mapping.nrpages, mapping.nrexceptional) == (0, 64)
    validate_vm(k)
    p.syscall(NR_PREAD, fd, buf, 64 * 4096, 0)
    assert k.vmstat.stat[WORKINGSET_REFAULT_FILE] == 64
    assert (mapping.nrpages, mapping.nrexceptional) == (64, 0)
    assert p.load(buf, 4096) == b"x" * 4096


def test_a_short_absence_makes_a_page_active(p: Process) -> None:
    k = p.machine.kernel
    fd, buf = p.open("/file", 2), p.mmap(0, 1 << 18, 3, 0x22)
    p.syscall(NR_PREAD, fd, buf, 64 * 4096, 0)
    lru_add_drain(k)
    for i in range(60):
        # A second and third use: to the active list.
        p.syscall(NR_PREAD, fd, buf, 1, 63 * 4096)
        p.syscall(NR_PREAD, fd, buf, 4096, i * 4096)
        p.syscall(NR_PREAD, fd, buf, 1, 63 * 4096)
        p.syscall(NR_PREAD, fd, buf, 4096, i * 4096)
    lru_add_drain(k)
    mapping = cache(p)
    assert try_to_free_pages(k, 0)
    assert 0 < mapping.nrexceptional < 64
    gone = next(i for i in range(64) if xa_is_value(xa_load(mapping.i_pages, i)))
    p.syscall(NR_PREAD, fd, buf, 4096, gone * 4096)
    page = xa_load(mapping.i_pages, gone)
    assert isinstance(page, Page)
    assert page.flags & PG_active
    assert k.vmstat.stat[WORKINGSET_ACTIVATE_FILE] > 0


def test_overwriting_and_truncation_forget(p: Process) -> None:
    k = p.machine.kernel
    fd, buf = p.open("/file", 2), p.mmap(0, 1 << 18, 3, 0x22)
    p.syscall(NR_PREAD, fd, buf, 64 * 4096, 0)
    mapping = cache(p)
    reclaim_all(k, mapping)
    p.syscall(NR_PWRITE, fd, buf, 8192, 0)
    assert k.vmstat.stat[WORKINGSET_REFAULT_FILE] == 0
    assert mapping.nrexceptional == 62
    do_sys_truncate(k, "/file", 10 * 4096)
    assert mapping.nrexceptional == 8
    do_sys_truncate(k, "/file", 0)
    assert (mapping.nrpages, mapping.nrexceptional, mapping.i_pages.xa_head) == (0, 0, None)
    validate_vm(k)
