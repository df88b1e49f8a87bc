# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/sys: what each write gives, as a 5.10 answered it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import close_fd, fget
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.read_write import ksys_pread64, ksys_pwrite64, ksys_write
from mmscope.kernel.include.errno import EACCES, EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.fs import AT_FDCWD, O_RDWR, O_WRONLY
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from mmscope.kernel.mm.swap import lru_add_drain
from tests.kernel.fs.fs_machine import boot, peek, user_buffer
from tests.kernel.fs.test_proc import read_all


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "data").write_bytes(bytes(range(256)) * 256)
    return boot(tmp_path)


def write(k: Kernel, path: str, text: bytes) -> int:
    """write(2): its result, or -errno."""
    buf = user_buffer(k, 4096)
    copy_to_user(k, buf, text)
    fd = do_sys_open(k, AT_FDCWD, path, O_WRONLY)
    try:
        return ksys_write(k, fd, buf, len(text))
    except KernelError as error:
        return -(error.errno or 0)
    finally:
        close_fd(k, fd)


@pytest.mark.parametrize(
    ("name", "text", "result", "shown"),
    [
        ("overcommit_memory", b"3", -EINVAL, "0"),
        ("overcommit_memory", b"-1", -EINVAL, "0"),
        ("overcommit_memory", b"x", -EINVAL, "0"),
        ("overcommit_memory", b"1x", -EINVAL, "0"),
        ("overcommit_memory", b" 1 \n", 4, "1"),
        ("overcommit_memory", b"", 0, "0"),
        ("overcommit_memory", b"\n", -EINVAL, "0"),
        ("overcommit_memory", b"0 1", 2, "0"),
        ("overcommit_memory", b"0x1", 3, "1"),
        ("overcommit_memory", b"01", 2, "1"),
        ("overcommit_memory", b"99999999999", -EINVAL, "0"),
        ("overcommit_memory", b"0" * 30 + b"1", -EINVAL, "0"),
        ("overcommit_ratio", b"-5", 2, "-5"),
        ("overcommit_ratio", b"2147483648", -EINVAL, "50"),
        ("overcommit_kbytes", b"1000", 4, "1000"),
        ("overcommit_kbytes", b"-1", 2, "0"),
        ("max_map_count", b"-1", -EINVAL, "65530"),
        ("mmap_min_addr", b"-4", 2, "65536"),
        ("legacy_va_layout", b"2", 1, "2"),
        ("legacy_va_layout", b"-1", -EINVAL, "0"),
        ("mmap_rnd_bits", b"27", -EINVAL, "28"),
        ("mmap_rnd_bits", b"33", -EINVAL, "28"),
        ("dirty_ratio", b"101", -EINVAL, "20"),
        ("dirty_bytes", b"4096", -EINVAL, "0"),
        ("dirty_background_bytes", b"0", -EINVAL, "0"),
        ("dirty_expire_centisecs", b"-1", -EINVAL, "3000"),
        ("min_free_kbytes", b"-1", -EINVAL, "1007"),
    ],
)
def test_writes_as_5_10_took_them(k: Kernel, name: str, text: bytes, result: int, shown: str) -> None:
    assert write(k, f"/proc/sys/vm/{name}", text) == result
    assert read_all(k, f"/proc/sys/vm/{name}") == shown + "\n"


def test_of_a_ratio_and_a_limit_the_last_one_holds(k: Kernel) -> None:
    for ratio, limit, value in (
        ("overcommit_ratio", "overcommit_kbytes", b"8192"),
        ("dirty_ratio", "dirty_bytes", b"8192"),
        ("dirty_background_ratio", "dirty_background_bytes", b"8192"),
    ):
        assert write(k, f"/proc/sys/vm/{limit}", value) == 4
        assert read_all(k, f"/proc/sys/vm/{ratio}") == "0\n"
        assert write(k, f"/proc/sys/vm/{ratio}", b"30") == 2
        assert read_all(k, f"/proc/sys/vm/{limit}") == "0\n"


def test_they_are_obeyed(k: Kernel) -> None:
    def mmap(size: int) -> int:
        return ksys_mmap_pgoff(k, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0)

    write(k, "/proc/sys/vm/overcommit_memory", b"2")
    with pytest.raises(KernelError) as caught:
        mmap(40 << 20)
    assert caught.value.errno == ENOMEM
    write(k, "/proc/sys/vm/overcommit_memory", b"1")
    mmap(40 << 20)
    low = k.zone.watermark_low
    write(k, "/proc/sys/vm/min_free_kbytes", b"5000")
    assert (k.zone.watermark_min, k.zone.watermark_low > low) == (1250, True)
    assert k.current.mm is not None
    write(k, "/proc/sys/vm/max_map_count", b"3")
    assert k.current.mm.map_count > 3
    with pytest.raises(KernelError) as caught:
        ksys_mmap_pgoff(k, 0x10000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0, 0)
    assert caught.value.errno == ENOMEM


def test_a_number_is_read_from_its_start_only(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/proc/sys/vm/max_map_count", O_RDWR)
    buf = user_buffer(k, 100)
    assert ksys_pread64(k, fd, buf, 2, 0) == 2
    assert peek(k, buf, 2) == b"65"
    assert ksys_pread64(k, fd, buf, 100, 2) == 0
    copy_to_user(k, buf, b"77")
    assert ksys_pwrite64(k, fd, buf, 2, 5) == 2, "ignored: it does not begin at 0"
    assert read_all(k, "/proc/sys/vm/max_map_count") == "65530\n"


def test_the_mode_binds_root_too(k: Kernel, tmp_path: Path) -> None:
    for name, flags in (("kernel/osrelease", O_WRONLY), ("kernel/ngroups_max", O_WRONLY), ("vm/drop_caches", 0)):
        with pytest.raises(KernelError) as caught:
            do_sys_open(k, AT_FDCWD, f"/proc/sys/{name}", flags)
        assert caught.value.errno == EACCES
    tmp_path.chmod(0o755)
    user = boot(tmp_path, uid=1000)
    with pytest.raises(KernelError) as caught:
        do_sys_open(user, AT_FDCWD, "/proc/sys/vm/overcommit_memory", O_WRONLY)
    assert caught.value.errno == EACCES


def test_the_name_of_the_host(k: Kernel) -> None:
    assert write(k, "/proc/sys/kernel/hostname", b"a-host\nmore") == 11
    assert (k.nodename, read_all(k, "/proc/sys/kernel/hostname", 3)) == ("a-host", "a-host\n")


def test_drop_caches_drops_what_is_clean_and_unused(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    buf = user_buffer(k, 1 << 16)
    while ksys_pread64(k, fd, buf, 1 << 16, 0) < 1 << 16:
        pass
    k.config.fault_around_bytes = 4096
    addr = ksys_mmap_pgoff(k, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 3)
    copy_from_user(k, addr, 1)
    mapping = fget(k, fd).f_mapping
    assert mapping.nrpages == 16
    lru_add_drain(k)
    assert write(k, "/proc/sys/vm/drop_caches", b"0") == -EINVAL
    assert write(k, "/proc/sys/vm/drop_caches", b"5") == -EINVAL
    assert mapping.nrpages == 16
    assert write(k, "/proc/sys/vm/drop_caches", b"3") == 1
    assert mapping.nrpages == 1, "the one that is mapped"
    events = dict(line.split() for line in read_all(k, "/proc/vmstat").splitlines())
    assert (events["drop_pagecache"], events["drop_slab"]) == ("1", "1")
    assert k.log[-1][1].endswith(": drop_caches: 3")
    write(k, "/proc/sys/vm/drop_caches", b"4")
    said = len(k.log)
    write(k, "/proc/sys/vm/drop_caches", b"1")
    assert len(k.log) == said
