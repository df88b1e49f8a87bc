# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel for tests of the lowest layers: RAM, CPU, allocator, LRU and counters; no tasks, no file system."""

from __future__ import annotations

import mmap

from mmscope.kernel.arch.x86.cpu import Cpu, phys_write
from mmscope.kernel.arch.x86.pgtable import pgd_alloc
from mmscope.kernel.config import KernelConfig
from mmscope.kernel.include.fs import (
    FMODE_READ,
    O_RDONLY,
    S_IFREG,
    AddressSpaceOperations,
    Dentry,
    File,
    FileOperations,
    Inode,
    SuperBlock,
)
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm_types import MmStruct, Page
from mmscope.kernel.include.page_flags import PG_locked, PG_uptodate
from mmscope.kernel.mm.page_alloc import Zone, mem_init
from mmscope.kernel.mm.swap import LruState
from mmscope.kernel.mm.util import init_admin_reserve, init_user_reserve
from mmscope.kernel.mm.vmstat import VmStat


def bare_kernel(ram: int = 64 << 20) -> Kernel:
    """A kernel without tasks and files."""
    config = KernelConfig(ram)
    config.CONFIG_DEBUG_VM = True
    k = Kernel(config, mmap.mmap(-1, ram))
    k.cpu = Cpu(k)
    k.zone = Zone()
    k.lru = LruState()
    k.vmstat = VmStat()
    mem_init(k)
    init_user_reserve(k)
    init_admin_reserve(k)
    return k


def bare_mm(k: Kernel) -> MmStruct:
    """An address space with a PGD only, loaded."""
    mm = MmStruct(k)
    mm.pgd = pgd_alloc(mm)
    k.cpu.load_cr3(mm.pgd)
    return mm


def page_byte(index: int) -> int:
    """What each byte of page `index` of a bare file is."""
    return index * 7 % 251 + 1


def _readpage(file: File | None, page: Page) -> None:
    phys_write(page.kernel, page.pfn << 12, bytes([page_byte(page.index)]) * 4096)
    page.flags = (page.flags | PG_uptodate) & ~PG_locked


def bare_file(k: Kernel, pages: int) -> File:
    """An open file of that many pages, each full of page_byte(index)."""
    sb = SuperBlock(k, "ext4", 0xFE00)
    inode = Inode(sb, 13, S_IFREG | 0o644)
    inode.i_size = pages * 4096
    inode.i_mapping.a_ops = AddressSpaceOperations(readpage=_readpage)
    return File(Dentry(sb, "data", None, inode), inode, O_RDONLY, FMODE_READ, FileOperations("bare_file_operations"))
