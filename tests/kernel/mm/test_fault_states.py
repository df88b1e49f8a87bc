# SPDX-License-Identifier: GPL-2.0-or-later
"""After each fault of the deck the page-table entry and the struct page are those that Linux 5.10 had.

tests/data/5.10/fault-states.txt is what oracle/record/graph.c read from /proc/kcore right after each fault, the pagevecs drained.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.fs.drop_caches import drop_pagecache
from mmscope.kernel.fs.read_write import kernel_write
from mmscope.kernel.include.fs import O_CREAT, O_RDONLY, O_RDWR, AddressSpace
from mmscope.kernel.include.mman import (
    MAP_ANONYMOUS,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
)
from mmscope.kernel.lib.xarray import XA_MARK_0, XA_MARK_1, XA_MARK_2, xa_get_mark
from mmscope.kernel.mm.truncate import invalidate_mapping_pages
from tests.kernel.mm.faultlib import ANON, RW, U64, Box

PG = 4096
DATA = Path(__file__).parents[2] / "data/5.10/fault-states.txt"
RECORDED = dict(line.split(" ", 1) for line in DATA.read_text().splitlines())
#: The recorded program's mmap area and stack stood elsewhere: the offset of an anonymous page is its address.
ADDRESSES_DIFFER = ("a_", "b_", "k_mmap_populate ", "m_")


class States:
    """graph.c's faults(), on the model."""

    def __init__(self, directory: Path) -> None:
        (directory / "data").write_bytes(b"\1" * 64 * PG)
        (directory / "cold").write_bytes(b"\2" * 256 * PG)
        self.box = Box(root=str(directory))
        self.found: dict[str, str] = {}
        self.private()
        self.files()
        self.population()

    def state(self, name: str, addr: int) -> None:
        box = self.box
        box.drain()
        page = box.page(addr)
        marks = 0
        if isinstance(page.mapping, AddressSpace):
            for i, mark in enumerate((XA_MARK_0, XA_MARK_1, XA_MARK_2)):
                marks |= xa_get_mark(page.mapping.i_pages, page.index, mark) << i
        self.found[name] = (
            f"pte={box.flags(addr):#x} flags={page.flags:#x} _refcount={page._refcount} _mapcount={page._mapcount} "
            f"tag={page.mapping_tag} index={page.index} marks={marks}"
        )

    def store(self, name: str, addr: int) -> None:
        self.box.store(addr, 1)
        self.state(name, addr)

    def load(self, name: str, addr: int) -> None:
        self.box.load(addr)
        self.state(name, addr)

    def open(self, path: str, flags: int = O_RDWR) -> int:
        return self.box.open(path, flags)

    def warm(self, path: str) -> None:
        """Read all of it with a file of one's own."""
        file = self.box.file(self.open(path, O_RDONLY))
        assert file.f_op.read is not None
        assert len(file.f_op.read(file, 256 * PG, 0)) == file.f_inode.i_size

    def tmpfs_file(self, name: str) -> int:
        fd = self.open(f"/dev/shm/{name}", O_RDWR | O_CREAT)
        file = self.box.file(fd)
        assert kernel_write(file, b"\1" * 64 * PG, 0) == 64 * PG
        return fd

    def private(self) -> None:
        box = self.box
        self.data, self.cold, self.shm = self.open("/data"), self.open("/cold", O_RDONLY), self.tmpfs_file("file")
        self.warm("/data")
        a = box.mmap(64 * PG)
        self.store("a_anon_write_first", a)
        self.store("a_anon_write_second", a + PG)
        self.store("a_anon_write_newpgtables", box.mmap(4 * PG, addr=0x200000000000))
        self.load("b_anon_read_zeropage", a + 4 * PG)
        self.store("b_anon_read_then_write", a + 4 * PG)
        c = box.mmap(8 * PG, flags=MAP_SHARED | MAP_ANONYMOUS)
        self.store("c_anon_shared_write", c)
        self.load("c_anon_shared_read", c + PG)
        self.store("c_anon_shared_read_then_write", c + PG)

    def files(self) -> None:
        box = self.box
        invalidate_mapping_pages(box.file(self.cold).f_mapping, 0, U64)
        drop_pagecache(box.k)
        c = box.mmap(64 * PG, PROT_READ, MAP_PRIVATE, self.cold)
        self.load("d_file_private_read_cold_extents", c)
        marked = box.mmap(64 * PG, PROT_READ, MAP_PRIVATE, self.cold, addr=0x10000000)
        box.load(marked + 16 * PG)
        self.load("d_file_private_read_marker", marked + 24 * PG)
        self.warm("/cold")
        self.warm("/data")
        self.load("d_file_private_read_warm", c + 40 * PG)
        self.load("d_file_private_read_faultaround_hit", c + 41 * PG)
        c = box.mmap(64 * PG, RW, MAP_PRIVATE, self.data)
        self.store("e_file_private_write_cow", c + 3 * PG)
        self.load("f_file_private_read", c + 20 * PG)
        self.store("f_file_private_read_then_write", c + 20 * PG)
        c = box.mmap(64 * PG, RW, MAP_SHARED, self.data)
        self.store("g_file_shared_write_ext4_journal", c + 2 * PG)
        self.load("h_file_shared_read_ext4", c + 34 * PG)
        self.store("h_file_shared_read_then_write_ext4", c + 34 * PG)
        file = box.file(self.data)
        assert file.f_op.fsync is not None
        file.f_op.fsync(file, 0, U64 >> 1, False)
        assert not box.pte(c + 34 * PG) & 0x42, "clean and read-only"
        self.store("h_file_shared_write_after_fsync_ext4", c + 34 * PG)
        c = box.mmap(64 * PG, RW, MAP_SHARED, self.shm)
        self.store("g_file_shared_write_tmpfs", c + 2 * PG)
        self.load("h_file_shared_read_tmpfs", c + 34 * PG)
        self.store("h_file_shared_read_then_write_tmpfs", c + 34 * PG)
        c = box.mmap(64 * PG, RW, MAP_SHARED, self.tmpfs_file("other"))
        self.load("h_file_shared_read_around_tmpfs", c + 34 * PG)

    def population(self) -> None:
        box = self.box

        def populated(name: str, prot: int, flags: int, fd: int) -> None:
            from mmscope.kernel.include.ptrace import PtRegs
            from mmscope.syscalls.mm import mmap

            regs = PtRegs()
            regs.si, regs.dx, regs.r10, regs.r8 = 4 * PG, prot, flags | MAP_POPULATE, fd & U64
            self.state(name, mmap(box.k, regs))

        populated("k_mmap_populate", RW, ANON, -1)
        populated("k_mmap_populate_file", PROT_READ, MAP_PRIVATE, self.data)
        populated("k_mmap_populate_file_private_writable", RW, MAP_PRIVATE, self.data)
        self.store("m_stack_growth", box.mm.start_stack - 40 * PG)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return States(tmp_path_factory.mktemp("states")).found


def test_all_were_done(found: dict[str, str]) -> None:
    assert list(found) == list(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_entry_and_page_are_the_recorded_ones(found: dict[str, str], name: str) -> None:
    def fields(state: str) -> list[str]:
        return [word for word in state.split() if not (word.startswith("index=") and f"{name} ".startswith(ADDRESSES_DIFFER))]

    assert fields(found[name]) == fields(RECORDED[name])
