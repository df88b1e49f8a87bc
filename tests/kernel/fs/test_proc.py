# SPDX-License-Identifier: GPL-2.0-or-later
"""procfs: maps byte for byte, and the rest as a program reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.read_write import ksys_read
from mmscope.kernel.fs.readdir import iterate_dir
from mmscope.kernel.fs.stat import do_readlinkat
from mmscope.kernel.fs.task_mmu import show_map
from mmscope.kernel.include.fs import AT_FDCWD, O_DIRECTORY
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from tests.kernel.fs.fs_machine import boot, peek, user_buffer


def read_all(k: Kernel, path: str, size: int = 65536) -> str:
    """The text of a file, by read(2)."""
    fd = do_sys_open(k, AT_FDCWD, path, 0)
    buf = user_buffer(k, 65536)
    out = b""
    while True:
        n = ksys_read(k, fd, buf, size)
        if n == 0:
            return out.decode()
        out += peek(k, buf, n)


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "da\nta").write_bytes(bytes(0x8000))
    return boot(tmp_path)


def test_maps_is_what_linux_prints(k: Kernel, tmp_path: Path) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/da\nta", 0)
    fixed = MAP_FIXED | MAP_PRIVATE
    ksys_mmap_pgoff(k, 0x30000000, 0x5000, PROT_READ | PROT_WRITE, fixed | MAP_ANONYMOUS, 0, 0)
    ksys_mmap_pgoff(k, 0x30010000, 0x4000, PROT_READ, fixed, fd, 2)
    ksys_mmap_pgoff(k, 0x30020000, 0x1000, PROT_NONE, fixed | MAP_ANONYMOUS, 0, 0)
    st = (tmp_path / "da\nta").stat()
    dev = f"{st.st_dev >> 8:02x}:{st.st_dev & 0xFF:02x}"
    assert k.current.mm is not None
    lines = show_map(k.current.mm).splitlines(keepends=True)
    assert lines[0] == "30000000-30005000 rw-p 00000000 00:00 0 \n"
    assert lines[1] == f"30010000-30014000 r--p 00002000 {dev} {st.st_ino}".ljust(73) + "/da\\012ta\n"
    assert lines[2] == "30020000-30021000 ---p 00000000 00:00 0 \n"
    assert lines[-1] == "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n"


def test_reading_maps_takes_a_read_a_page(k: Kernel) -> None:
    for i in range(100):
        prot = PROT_READ if i % 2 else PROT_READ | PROT_WRITE
        ksys_mmap_pgoff(k, 0x30000000 + i * 0x1000, 0x1000, prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, 0, 0)
    buf = user_buffer(k, 65536)
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/maps", 0)
    first = ksys_read(k, fd, buf, 65536)
    assert 3900 < first < 4096
    assert k.current.mm is not None
    for size in (65536, 100, 7):
        assert read_all(k, "/proc/self/maps", size) == show_map(k.current.mm)


def test_links_of_a_process(k: Kernel) -> None:
    buf = user_buffer(k, 100)
    n = do_readlinkat(k, AT_FDCWD, "/proc/self", buf, 100)
    assert peek(k, buf, n) == str(k.current.pid).encode()
    n = do_readlinkat(k, AT_FDCWD, "/proc/self/cwd", buf, 100)
    assert peek(k, buf, n) == b"/"
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/fd", O_DIRECTORY)
    assert [name for name, _, _ in iterate_dir(fget(k, fd))] == [".", "..", str(fd)]


def test_status_and_its_relatives(k: Kernel) -> None:
    status = dict(line.split(":\t", 1) for line in read_all(k, "/proc/self/status").splitlines())
    assert status["Name"] == "process"
    assert status["Pid"] == str(k.current.pid)
    mm = k.current.mm
    assert mm is not None
    assert status["VmStk"].strip() == "132 kB"
    statm = read_all(k, "/proc/self/statm").split()
    assert int(statm[0]) == mm.total_vm
    stat = read_all(k, "/proc/self/stat")
    assert len(stat.split()) == 52
    assert read_all(k, "/proc/self/cmdline") == "process\0"
    limits = read_all(k, "/proc/self/limits").splitlines()
    assert limits[4] == "Max stack size            8388608              unlimited            bytes     "


def test_machine_files(k: Kernel) -> None:
    meminfo = read_all(k, "/proc/meminfo")
    assert meminfo.startswith("MemTotal:       ")
    assert read_all(k, "/proc/sys/vm/max_map_count") == "65530\n"
    assert read_all(k, "/proc/sys/kernel/ostype") == "Linux\n"
    assert read_all(k, "/proc/sys/kernel/randomize_va_space") == "0\n"
    assert read_all(k, "/proc/mounts").splitlines()[0].endswith(" rw,relatime 0 0")
    for name in ("cpuinfo", "filesystems", "loadavg", "stat", "uptime", "version"):
        assert read_all(k, "/proc/" + name).endswith("\n")
