# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/kpageflags and kpagecount: the numbers that a 5.10 gave for each kind of page."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.read_write import ksys_pread64
from mmscope.kernel.include.errno import EACCES, EINVAL, KernelError
from mmscope.kernel.include.fs import AT_FDCWD
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from mmscope.kernel.mm.mlock import do_mlock
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from mmscope.kernel.mm.swap import lru_add_drain
from tests.kernel.fs.fs_machine import boot, peek, user_buffer
from tests.kernel.fs.test_task_mmu import pagemap

A = 0x20000000
PAGE = 4096
RW = PROT_READ | PROT_WRITE
PFN = (1 << 55) - 1


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "data").write_bytes(bytes(64 * 1024))
    return boot(tmp_path)


def entry(k: Kernel, name: str, pfn: int) -> int:
    """One entry of the file."""
    buf = user_buffer(k, 8)
    fd = do_sys_open(k, AT_FDCWD, f"/proc/{name}", 0)
    assert ksys_pread64(k, fd, buf, 8, pfn * 8) == 8
    return int.from_bytes(peek(k, buf, 8), "little")


def both(k: Kernel, addr: int) -> tuple[int, int]:
    """Flags and count of the frame behind an address."""
    pfn = pagemap(k, addr, 1)[0] & PFN
    return entry(k, "kpageflags", pfn), entry(k, "kpagecount", pfn)


def test_flags_of_user_pages(k: Kernel) -> None:
    ksys_mmap_pgoff(k, A, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    copy_to_user(k, A, b"x")
    copy_from_user(k, A + PAGE, 1)
    assert both(k, A)[0] == 0x5808, "not on the LRU list yet"
    lru_add_drain(k)
    assert both(k, A) == (0x5828, 1)
    assert both(k, A + PAGE) == (0x101000000, 0)
    do_mlock(k, A, PAGE, 0x2000)
    lru_add_drain(k)
    assert both(k, A) == (0x20004582C, 1), "mlock() touches"
    ksys_mmap_pgoff(k, A + 0x10000, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    copy_to_user(k, A + 0x10000, b"x")
    lru_add_drain(k)
    assert both(k, A + 0x10000) == (0x4838, 1)
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    ksys_mmap_pgoff(k, A + 0x20000, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0)
    ksys_mmap_pgoff(k, A + 0x30000, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0)
    copy_from_user(k, A + 0x20000, 1)
    copy_from_user(k, A + 0x30000, 1)
    lru_add_drain(k)
    assert both(k, A + 0x20000)[0] & ~4 == 0x400000828, "PG_mappedtodisk: it has a block"
    assert both(k, A + 0x20000)[1] == 2


def test_exclusive_pages_since_5_18(tmp_path: Path) -> None:
    k = boot(tmp_path)
    k.config.version = (6, 1)
    ksys_mmap_pgoff(k, A, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    copy_to_user(k, A, b"x")
    lru_add_drain(k)
    assert both(k, A) == (0x400005828, 1), "PG_anon_exclusive is PG_mappedtodisk"


def test_every_frame_has_flags(k: Kernel) -> None:
    mm = k.current.mm
    assert mm is not None
    assert entry(k, "kpageflags", mm.pgd >> 12) == 0
    table = k.words[(mm.pgd >> 3) + 255] >> 12 & 0xFFFFFFFF
    pmd = k.words[(table << 9) + 511] >> 12 & 0xFFFFFFFF
    assert entry(k, "kpageflags", pmd) == 1 << 26
    assert entry(k, "kpageflags", 0) == 1 << 32
    assert entry(k, "kpageflags", k.max_pfn) == 1 << 32, "the section goes on behind the end of RAM"
    free = sum(entry_flags >> 10 & 1 for entry_flags in all_flags(k))
    assert free == k.zone.nr_free


def all_flags(k: Kernel) -> list[int]:
    """All of kpageflags."""
    fd = do_sys_open(k, AT_FDCWD, "/proc/kpageflags", 0)
    buf = user_buffer(k, 1 << 19)
    copy_to_user(k, buf, bytes(1 << 19))
    n = ksys_pread64(k, fd, buf, 1 << 19, 0)
    raw = peek(k, buf, n)
    assert n == 8 << 15, "one section of 128 MiB"
    return [int.from_bytes(raw[i : i + 8], "little") for i in range(0, n, 8)]


def test_alignment_and_end(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/proc/kpageflags", 0)
    buf = user_buffer(k, 16)
    for count, pos in ((7, 0), (8, 4)):
        with pytest.raises(KernelError) as caught:
            ksys_pread64(k, fd, buf, count, pos)
        assert caught.value.errno == EINVAL
    assert ksys_pread64(k, fd, buf, 8, 8 << 15) == 0


def test_only_root_may_look(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    k = boot(tmp_path, uid=1000)
    for name in ("kpageflags", "kpagecount"):
        with pytest.raises(KernelError) as caught:
            do_sys_open(k, AT_FDCWD, f"/proc/{name}", 0)
        assert caught.value.errno == EACCES
