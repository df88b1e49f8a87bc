# SPDX-License-Identifier: GPL-2.0-or-later
"""The vDSO: its image as an ELF file, its functions on given data, and where it is mapped."""

from __future__ import annotations

import ctypes
import hashlib
import io
import mmap
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection
from elftools.elf.sections import SymbolTableSection

from mmscope import BusError, Machine, SegmentationFault
from mmscope.kernel.arch.x86 import vdso
from mmscope.kernel.arch.x86.vdso_image import IMAGE, SHA256
from mmscope.kernel.include.mm import VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_MAYWRITE, VM_PFNMAP, VM_SOFTDIRTY
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct
from mmscope.kernel.include.page import PAGE_SIZE

SOURCE = Path(vdso.__file__).parent / "entry" / "vdso"
FUNCTIONS = ("clock_getres", "clock_gettime", "getcpu", "gettimeofday", "time")
NAMES = sorted(FUNCTIONS + tuple("__vdso_" + name for name in FUNCTIONS))

REALTIME, MONOTONIC, PROCESS_CPUTIME, RAW, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI = 0, 1, 2, 4, 5, 6, 7, 11


def symbols(elf: ELFFile) -> dict[str, int]:
    """Name -> address of the defined functions of .dynsym."""
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    return {s.name: s["st_value"] for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"}


def check_image(image: bytes) -> ELFFile:
    """What a C library relies on when it looks functions up in the vDSO."""
    elf = ELFFile(io.BytesIO(image))
    assert elf["e_type"] == "ET_DYN"
    assert elf["e_machine"] == "EM_X86_64"
    assert sorted(symbols(elf)) == NAMES
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    bind = {s.name: s["st_info"]["bind"] for s in table.iter_symbols()}
    for name in FUNCTIONS:
        assert bind[name] == "STB_WEAK"
        assert bind["__vdso_" + name] == "STB_GLOBAL"
    loads = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
    assert [(s["p_offset"], s["p_vaddr"], s["p_flags"]) for s in loads] == [(0, 0, 5)]
    dynamic = elf.get_section_by_name(".dynamic")
    assert isinstance(dynamic, DynamicSection)
    tags = {tag.entry.d_tag: tag for tag in dynamic.iter_tags()}
    assert getattr(tags["DT_SONAME"], "soname", "") == "linux-vdso.so.1"
    assert not {"DT_RELA", "DT_REL", "DT_JMPREL", "DT_NEEDED"} & set(tags), "the kernel relocates nothing"
    definitions = elf.get_section_by_name(".gnu.version_d")
    assert isinstance(definitions, GNUVerDefSection)
    versions = [aux.name for _, auxes in definitions.iter_versions() for aux in auxes]
    assert versions == ["linux-vdso.so.1", "LINUX_2.6"]
    return elf


def test_image_is_the_library_that_programs_expect() -> None:
    check_image(IMAGE)
    assert len(IMAGE) <= PAGE_SIZE
    assert hashlib.sha256(IMAGE).hexdigest() == SHA256


def test_sources_build_the_same_library(tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    host_tool("gcc")
    out = tmp_path / "vdso.so"
    subprocess.run([str(SOURCE / "build.sh"), str(out)], check=True)
    check_image(out.read_bytes())


class Native:
    """The image in this very process, with a vvar page of the test's making below it."""

    def __init__(self, vvar: bytes) -> None:
        size = 5 * PAGE_SIZE
        self.memory = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.memory[: len(vvar)] = vvar
        self.memory[4 * PAGE_SIZE : 4 * PAGE_SIZE + len(IMAGE)] = IMAGE
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + 4 * PAGE_SIZE
        self.at = symbols(ELFFile(io.BytesIO(IMAGE)))

    def call(self, name: str, *args: object) -> int:
        prototype = ctypes.CFUNCTYPE(ctypes.c_long, *([ctypes.c_void_p] * len(args)))
        return int(ctypes.c_int(prototype(self.base + self.at[name])(*args)).value)

    def clock(self, name: str, clock: int) -> tuple[int, int, int]:
        """(result, seconds, nanoseconds)"""
        ts = (ctypes.c_long * 2)(-1, -1)
        result = self.call(name, clock, ctypes.addressof(ts))
        return result, ts[0], ts[1]


def vvar_page(now_ns: int, boot_ns: int, cycle_last: int | None = None) -> bytes:
    """The vvar page of a machine whose last tick was at `now_ns`."""
    with Machine(ram="16M", boot_time=boot_ns, root=None) as m:
        k = m.kernel
        k.timekeeper.now_ns = now_ns
        k.timekeeper.timekeeping_tick()
        assert k.vdso_image_64 is not None
        page = bytearray(k.mem[k.vdso_image_64.vvar_pfn * PAGE_SIZE :][:PAGE_SIZE])
    if cycle_last is not None:
        for at in (128, 128 + 240):
            struct.pack_into("<Q", page, at + 8, cycle_last)
    return bytes(page)


#: A counter that the host's TSC has not reached: the functions then add nothing to the base.
FUTURE = 1 << 63


def test_clocks_come_from_the_vvar_page() -> None:
    boot = 1_700_000_000_250_000_000
    native = Native(vvar_page(9_600_000_000, boot, FUTURE))
    real = boot + 8_600_000_000  # the machine boots at 1 s of CLOCK_MONOTONIC
    for clock in (MONOTONIC, RAW, MONOTONIC_COARSE, BOOTTIME):
        assert native.clock("__vdso_clock_gettime", clock) == (0, 9, 600_000_000)
    for clock in (REALTIME, REALTIME_COARSE, TAI):
        assert native.clock("clock_gettime", clock) == (0, *divmod(real, 10**9))
    assert native.call("__vdso_time", 0) == real // 10**9
    tv = (ctypes.c_long * 2)()
    assert native.call("__vdso_gettimeofday", ctypes.addressof(tv), 0) == 0
    assert tuple(tv) == (real // 10**9, real % 10**9 // 1000)


def test_cycles_since_the_tick_are_added() -> None:
    page = bytearray(vvar_page(2_000_000_000, 0))
    native = Native(bytes(page))
    first = native.clock("__vdso_clock_gettime", MONOTONIC)
    second = native.clock("__vdso_clock_gettime", MONOTONIC)
    # At 1 cycle = 1 ns the host's counter is far ahead of the two seconds of the page.
    assert (0, 2, 0) < first < second


def test_what_the_page_does_not_know_goes_to_the_kernel() -> None:
    native = Native(vvar_page(2_000_000_000, 0, FUTURE))
    result, seconds, nanoseconds = native.clock("__vdso_clock_gettime", PROCESS_CPUTIME)
    assert result == 0
    assert seconds >= 0 <= nanoseconds
    assert native.clock("__vdso_clock_gettime", 99)[0] == -22
    assert native.clock("__vdso_clock_getres", 99)[0] == -22


def test_resolutions_and_cpu() -> None:
    native = Native(vvar_page(2_000_000_000, 0))
    assert native.clock("__vdso_clock_getres", MONOTONIC) == (0, 0, 1)
    assert native.clock("clock_getres", REALTIME_COARSE) == (0, 0, 4_000_000)
    cpu, node = ctypes.c_uint(7), ctypes.c_uint(7)
    assert native.call("getcpu", ctypes.addressof(cpu), ctypes.addressof(node), 0) == 0
    assert (cpu.value, node.value) == (0, 0)


# --- mapping


def find(mm: MmStruct, name: str) -> VmAreaStruct:
    """The special mapping of that name."""
    vma = mm.mmap
    while vma is not None:
        sm = vma.vm_private_data
        if getattr(sm, "name", None) == name:
            return vma
        vma = vma.vm_next
    raise AssertionError(f"no {name} in this address space")


@pytest.mark.parametrize(("pages", "vvar"), [(1, 0x7FFFF7FFA000), (2, 0x7FFFF7FF9000)])
def test_without_aslr_it_ends_at_mmap_base(pages: int, vvar: int) -> None:
    with Machine(vdso_pages=pages, root=None, debug_vm=True) as m:
        p = m.process()
        assert p.mm.vdso == vvar + 0x4000
        assert (find(p.mm, "[vvar]").vm_start, find(p.mm, "[vvar]").vm_end) == (vvar, vvar + 0x4000)
        assert (find(p.mm, "[vdso]").vm_start, find(p.mm, "[vdso]").vm_end) == (vvar + 0x4000, p.mm.mmap_base)
        assert find(p.mm, "[vdso]").vm_flags & ~VM_SOFTDIRTY == 0x75 | VM_DONTEXPAND
        flags = find(p.mm, "[vvar]").vm_flags
        assert flags & ~VM_SOFTDIRTY == 0x11 | VM_IO | VM_PFNMAP | VM_DONTDUMP | VM_DONTEXPAND
        assert not flags & VM_MAYWRITE


def test_with_aslr_it_lies_above_the_stack_in_the_same_page_table() -> None:
    places = set()
    for seed in range(8):
        with Machine(aslr=True, seed=seed, root=None) as m:
            mm = m.process().mm
            assert mm.start_stack < mm.vdso - 0x4000
            assert mm.vdso - 0x4000 - mm.start_stack < 1 << 22
            places.add(mm.vdso)
    assert len(places) == 8


def test_pages_of_the_image_are_the_same_frames_in_all_processes() -> None:
    with Machine(root=None, debug_vm=True) as m:
        one, two = m.process(), m.process()
        assert one.load(one.mm.vdso, len(IMAGE)) == IMAGE == two.load(two.mm.vdso, len(IMAGE))
        assert one.translate(one.mm.vdso) == two.translate(two.mm.vdso)
        with pytest.raises(SegmentationFault):
            one.store(one.mm.vdso, b"x")


def test_only_the_first_vvar_page_exists() -> None:
    with Machine(root=None, debug_vm=True) as m:
        p = m.process()
        vvar = p.mm.vdso - 0x4000
        seq, mode = struct.unpack_from("<II", p.load(vvar, PAGE_SIZE), 128)
        assert seq % 2 == 0
        assert mode == vdso.VDSO_CLOCKMODE_TSC
        for page in (1, 2, 3):
            with pytest.raises(BusError) as caught:
                p.load(vvar + page * PAGE_SIZE, 1)
            assert (caught.value.si_code, caught.value.si_addr) == (2, vvar + page * PAGE_SIZE)


def test_moving_it_moves_context_vdso() -> None:
    with Machine(root=None, debug_vm=True) as m:
        p = m.process()
        target = 0x10000000
        assert p.mremap(p.mm.vdso, PAGE_SIZE, PAGE_SIZE, 1 | 2, target) == target
        assert p.mm.vdso == target


CLOCKS = r"""
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
int main(void)
{
    struct timespec a, b, c;
    struct timeval tv;
    clock_gettime(CLOCK_REALTIME, &a);
    clock_gettime(CLOCK_MONOTONIC, &b);
    clock_gettime(CLOCK_MONOTONIC, &c);
    gettimeofday(&tv, 0);
    printf("%ld %ld %ld %ld\\n", (long)a.tv_sec, c.tv_nsec - b.tv_nsec, (long)tv.tv_sec, (long)time(0));
}
""".replace("\\\\", "\\")


def test_a_c_library_finds_it_and_needs_no_system_call(tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    (tmp_path / "clocks.c").write_text(CLOCKS)
    subprocess.run([host_tool("gcc"), "-static", "-o", str(tmp_path / "clocks"), str(tmp_path / "clocks.c")], check=True)
    with Machine(boot_time=1_700_000_000 * 10**9, debug_vm=True) as m:
        calls: list[int] = []
        m.kernel.tp.attach("sys_enter", lambda nr, args: calls.append(nr))
        p = m.spawn(tmp_path / "clocks", capture_output=True)
        assert p.run().exit_status == 0
        # A read of the counter costs 25 ns of virtual time.
        assert p.stdout == b"1700000000 25 1700000000 1700000000\n"
        assert not {96, 201, 228, 229} & set(calls)
