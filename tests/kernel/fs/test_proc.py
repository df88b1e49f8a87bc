# SPDX-License-Identifier: GPL-2.0-or-later
"""procfs: maps byte for byte, and the rest as a program reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmscope.kernel.fs.file import close_fd, fget
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.proc_meminfo import meminfo_proc_show
from mmscope.kernel.fs.read_write import ksys_read
from mmscope.kernel.fs.readdir import iterate_dir
from mmscope.kernel.fs.stat import do_readlinkat
from mmscope.kernel.fs.task_mmu import show_map
from mmscope.kernel.include.errno import ENOENT, KernelError
from mmscope.kernel.include.fs import AT_FDCWD, O_DIRECTORY
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from mmscope.kernel.mm.vmstat import frag_show, vmstat_show
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


#: The lines of /proc/vmstat of a 5.10 whose machine has one node and one zone, Normal: in this order.
VMSTAT_SOME = (
    "nr_free_pages", "nr_zone_write_pending", "nr_mlock", "nr_bounce", "nr_free_cma", "nr_inactive_anon",
    "workingset_nodereclaim", "nr_anon_pages", "nr_foll_pin_released", "nr_kernel_stack", "nr_page_table_pages",
    "nr_dirty_threshold", "nr_dirty_background_threshold", "pgpgin", "pgfree", "pgreuse", "pgsteal_file", "drop_pagecache",
    "oom_kill", "numa_pte_updates", "numa_pages_migrated",
    "unevictable_pgs_stranded", "thp_fault_alloc", "swap_ra_hit", "nr_unstable",
)  # fmt: skip


def test_meminfo_has_the_lines_and_columns_of_5_10(k: Kernel) -> None:
    lines = read_all(k, "/proc/meminfo").splitlines()
    assert len(lines) == 49
    assert all(len(line) == 27 for line in lines if line.endswith(" kB") and "Vmalloc" not in line)
    values = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    assert values["MemTotal"] == k.zone.managed_pages * 4
    assert values["Cached"] + values["AnonPages"] <= values["MemTotal"] - values["MemFree"]
    assert values["Active"] == values["Active(anon)"] + values["Active(file)"]
    assert values["VmallocTotal"] == 34359738367
    assert lines[-9:-2] == [
        "FilePmdMapped:         0 kB", "HugePages_Total:       0", "HugePages_Free:        0", "HugePages_Rsvd:        0",
        "HugePages_Surp:        0", "Hugepagesize:       2048 kB", "Hugetlb:               0 kB",
    ]  # fmt: skip


def test_vmstat_has_its_items_in_order(k: Kernel) -> None:
    items = [line.split() for line in read_all(k, "/proc/vmstat").splitlines()]
    names = [name for name, _ in items]
    assert len(set(names)) == len(names) == 141
    assert [name for name in names if name in VMSTAT_SOME] == list(VMSTAT_SOME)
    values = {name: int(value) for name, value in (line.split() for line in vmstat_show(k, k.current).decode().splitlines())}
    meminfo = dict(re.findall(r"(\S+): +(\d+)", meminfo_proc_show(k, k.current).decode()))
    assert values["nr_page_table_pages"] * 4 == int(meminfo["PageTables"])
    assert values["nr_dirty_background_threshold"] < values["nr_dirty_threshold"]


def test_free_blocks_by_order(k: Kernel) -> None:
    line = frag_show(k, k.current).decode()
    assert len(read_all(k, "/proc/buddyinfo")) == len(line)
    line = frag_show(k, k.current).decode()
    assert line.startswith("Node 0, zone   Normal ")
    assert sum(int(count) << order for order, count in enumerate(line.split()[4:])) == k.zone.nr_free
    zone = read_all(k, "/proc/zoneinfo")
    assert f"\n        managed  {k.zone.managed_pages}\n" in zone


def test_oom_score_follows_its_adjustment(k: Kernel) -> None:
    assert 666 <= int(read_all(k, "/proc/self/oom_score")) <= 670
    k.current.signal.oom_score_adj = 500
    assert read_all(k, "/proc/self/oom_adj") == "8\n"
    assert 975 <= int(read_all(k, "/proc/self/oom_score")) <= 990
    k.current.signal.oom_score_adj = -1000
    assert (read_all(k, "/proc/self/oom_score"), read_all(k, "/proc/self/oom_adj")) == ("0\n", "-17\n")


def test_map_files_lead_to_the_files(k: Kernel, tmp_path: Path) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/da\nta", 0)
    ksys_mmap_pgoff(k, 0x30010000, 0x4000, PROT_READ, MAP_FIXED | MAP_PRIVATE, fd, 2)
    folder = do_sys_open(k, AT_FDCWD, "/proc/self/map_files", O_DIRECTORY)
    assert [name for name, _, _ in iterate_dir(fget(k, folder))] == [".", "..", "30010000-30014000"]
    buf = user_buffer(k, 100)
    n = do_readlinkat(k, AT_FDCWD, "/proc/self/map_files/30010000-30014000", buf, 100)
    assert peek(k, buf, n) == b"/da\nta"
    assert fget(k, do_sys_open(k, AT_FDCWD, "/proc/self/map_files/30010000-30014000", 0)).f_inode is fget(k, fd).f_inode
    for name in ("30010000-30013000", "030010000-30014000", "30010000", "x-y"):
        with pytest.raises(KernelError) as caught:
            do_sys_open(k, AT_FDCWD, f"/proc/self/map_files/{name}", 0)
        assert caught.value.errno == ENOENT


def test_an_open_file_keeps_showing_the_memory_it_was_opened_for(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/maps", 0)
    mm = k.current.mm
    assert mm is not None
    assert mm.mm_count == 2
    buf = user_buffer(k, 4096)
    close_fd(k, fd)
    assert mm.mm_count == 1
    assert peek(k, buf, 1) == b"\0"


def test_threads_of_a_process(k: Kernel) -> None:
    folder = do_sys_open(k, AT_FDCWD, "/proc/self/task", O_DIRECTORY)
    pid = str(k.current.pid)
    assert [name for name, _, _ in iterate_dir(fget(k, folder))] == [".", "..", pid]
    assert read_all(k, "/proc/thread-self/stat").split()[:7] == read_all(k, f"/proc/{pid}/task/{pid}/stat").split()[:7]
