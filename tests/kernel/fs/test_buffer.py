# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/buffer.py: which pages of a file have buffers, and when these go."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.block.genhd import REQ_OP_WRITE
from mmscope.kernel.fs.buffer import BH_Dirty, BH_Mapped, BH_Uptodate, try_to_release_page
from mmscope.kernel.fs.read_write import kernel_write
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.fs import O_RDWR, AddressSpace
from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.mman import MAP_SHARED
from mmscope.kernel.include.page_flags import PG_dirty, PG_locked, PG_private
from mmscope.kernel.lib.xarray import xa_load
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.truncate import invalidate_mapping_pages, truncate_pagecache
from tests.kernel.mm.faultlib import RW, U64, Box

PG = 4096


class Scene:
    """A file of four pages, mapped shared; page 0 was read, page 1 written through the mapping, page 2 by write(2)."""

    def __init__(self, root: Path) -> None:
        (root / "file").write_bytes(b"\1" * 4 * PG)
        self.box = Box(root=str(root))
        fd = self.box.open("/file", O_RDWR)
        self.file = self.box.file(fd)
        self.addr = self.box.mmap(4 * PG, RW, MAP_SHARED, fd)
        self.box.load(self.addr)
        self.box.store(self.addr + PG, 2)
        kernel_write(self.file, b"\3" * 100, 2 * PG + 50)
        self.box.drain()

    @property
    def mapping(self) -> AddressSpace:
        return self.file.f_mapping

    def page(self, index: int) -> Page:
        page = xa_load(self.mapping.i_pages, index)
        assert isinstance(page, Page)
        return page

    def state(self, index: int) -> int | None:
        """b_state of the page's buffer; None without one."""
        page = self.page(index)
        assert (page.flags & PG_private != 0) == (page.private is not None)
        return None if page.private is None else page.private.b_state

    def fsync(self) -> None:
        assert self.file.f_op.fsync is not None
        self.file.f_op.fsync(self.file, 0, U64 >> 1, False)

    def unmap(self) -> None:
        from mmscope.kernel.mm.mmap import do_munmap

        do_munmap(self.box.mm, self.addr, 4 * PG)
        self.box.drain()


@pytest.fixture
def s(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


WRITTEN = BH_Uptodate | BH_Dirty | BH_Mapped


def test_pages_that_were_only_read_have_none(s: Scene) -> None:
    assert s.state(0) is None
    assert s.state(3) is None
    assert s.page(0)._refcount == 2, "the cache and the entry"


def test_what_is_written_has_a_dirty_one_which_is_a_reference(s: Scene) -> None:
    assert [s.state(1), s.state(2)] == [WRITTEN, WRITTEN]
    assert s.page(1)._refcount == 3
    assert bytes(s.box.k.mem[s.page(2).pfn * PG : s.page(2).pfn * PG + 200]) == b"\1" * 50 + b"\3" * 100 + b"\1" * 50
    validate_vm(s.box.k)


def test_writeback_cleans_it_and_it_stays(s: Scene) -> None:
    s.fsync()
    assert [s.state(1), s.state(2)] == [BH_Uptodate | BH_Mapped] * 2
    s.box.store(s.addr + PG, 4)
    assert s.state(1) == WRITTEN, "the entry was read-only again"


def test_a_clean_one_goes_when_the_page_is_wanted_a_dirty_one_does_not(s: Scene) -> None:
    s.unmap()
    assert invalidate_mapping_pages(s.mapping, 0, 10) == 2
    assert [xa_load(s.mapping.i_pages, i) is not None for i in range(4)] == [False, True, True, False]
    s.fsync()
    s.box.drain()
    assert invalidate_mapping_pages(s.mapping, 0, 10) == 2
    assert s.mapping.nrpages == 0


def test_truncation_takes_dirty_ones_too_and_nothing_is_written(s: Scene) -> None:
    page = s.page(1)
    host = s.box.k.vfs.host
    assert host is not None
    truncate_pagecache(s.file.f_inode, 0)
    s.box.drain()
    assert (page.private, page.flags & (PG_private | PG_dirty), page._refcount) == (None, 0, 0)
    s.fsync()
    assert host.bdev.ios[REQ_OP_WRITE] <= 1, "the journal's at most"


def test_a_dirty_page_without_a_buffer_gets_one_when_it_is_written_back(s: Scene) -> None:
    """As after a store that only the entry's dirty bit tells of."""
    s.fsync()
    page = s.page(2)
    page.flags |= PG_locked
    assert try_to_release_page(page)
    page.flags &= ~PG_locked
    assert s.mapping.a_ops.set_page_dirty is not None
    s.mapping.a_ops.set_page_dirty(page)
    assert s.state(2) is None
    s.fsync()
    assert s.state(2) is not None


def test_debug_vm_finds_a_flag_without_a_buffer_and_a_buffer_dirtier_than_its_page(s: Scene) -> None:
    s.fsync()
    s.page(0).flags |= PG_private
    s.page(0)._refcount += 1
    with pytest.raises(KernelBug, match="PG_private and its buffers"):
        validate_vm(s.box.k)
    s.page(0).flags &= ~PG_private
    s.page(0)._refcount -= 1
    buffer = s.page(1).private
    assert buffer is not None
    buffer.b_state |= BH_Dirty
    with pytest.raises(KernelBug, match="its buffer dirty"):
        validate_vm(s.box.k)
