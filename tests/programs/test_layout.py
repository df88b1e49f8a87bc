# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of a new address space: ranges, alignment and spread of ASLR, and the legacy layout, against the live kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from mmscope import Machine

from .conftest import environment, model

Build = Callable[[str, str], str]

PAGE = 4096
TASK_SIZE = 0x7FFFFFFFF000
#: Ends of the ranges: 22 bits of pages for the stack, and up to 8191 bytes more that arch_align_stack() takes off.
STACK_RND = 0x3FFFFF << 12
MMAP_RND = (1 << 28) - 1 << 12
#: mmap_base without its random part: the stack's limit, its randomness and the guard gap are below TASK_SIZE.
MMAP_TOP = TASK_SIZE - (8 << 20) - STACK_RND - (256 << 12)
DYN_BASE = 0x555555554000
PMD = 2 << 20
SEEDS = 150


class Layout:
    """What one start of a program chose."""

    def __init__(self, program: str, seed: int, version: tuple[int, int]) -> None:
        with Machine(ram="16M", aslr=True, seed=seed, root=os.path.dirname(program), version=version) as machine:
            process = machine.spawn("/" + os.path.basename(program))
            mm = process.mm
            vma = mm.mmap
            assert vma is not None
            self.brk = mm.start_brk
            self.mmap_base = mm.mmap_base
            self.vdso = mm.vdso
            self.start_stack = mm.start_stack
            self.stack = 0
            self.text = mm.start_code & -PAGE
            self.end = 0
            while vma is not None:
                if vma.vm_flags & 0x100:
                    self.stack = vma.vm_end
                if vma.vm_file is not None or (vma.vm_ops is None and vma.vm_end <= mm.start_brk):
                    self.end = vma.vm_end
                vma = vma.vm_next


@pytest.fixture(scope="module", params=["static", "static-pie"])
def layouts(request: pytest.FixtureRequest, build: Build) -> list[Layout]:
    program = build("layout", request.param)
    return [Layout(program, seed, (5, 11)) for seed in range(SEEDS)]


def within(values: list[int], low: int, high: int, align: int = PAGE) -> None:
    """All in [low, high], multiples of `align` and of nothing larger, and spread over the whole range."""
    assert low <= min(values)
    assert max(values) <= high
    together = 0
    for value in values:
        together |= value
    assert together & -together == align
    # 150 draws leave a tenth at either end empty once in 3.6 million times.
    assert min(values) < low + (high - low) // 10
    assert max(values) > high - (high - low) // 10


def test_the_stack_has_22_bits_of_pages_and_16_byte_steps(layouts: list[Layout]) -> None:
    within([one.stack for one in layouts], TASK_SIZE - STACK_RND - PAGE, TASK_SIZE)
    # create_elf_tables(): less than 8 KiB below the strings, in steps of 16 bytes.
    below = [one.stack - one.start_stack for one in layouts]
    within(below, min(below), min(below) + 8191, 16)
    assert max(below) - min(below) < 8192


def test_mappings_have_28_bits_of_pages(layouts: list[Layout]) -> None:
    within([one.mmap_base for one in layouts], MMAP_TOP - MMAP_RND, MMAP_TOP)


def test_the_heap_has_32_mib_above_the_bss_or_above_elf_et_dyn_base(layouts: list[Layout]) -> None:
    """A static PIE lies in the mmap area; its heap does not. 300 starts of each on 5.10 kept to the same 32 MiB."""
    pie = layouts[0].text > DYN_BASE
    heap = [one.brk - (DYN_BASE if pie else one.end) for one in layouts]
    within(heap, 0, (32 << 20) - PAGE)


def test_the_vdso_stands_above_the_stack_in_its_page_table(layouts: list[Layout]) -> None:
    """vdso_addr(): between the stack pointer's page and the end of the 2 MiB that hold it; on 5.10 592 times of 600."""
    size = 5 * PAGE
    room = 0
    for one in layouts:
        vvar = one.vdso - 4 * PAGE
        if vvar < one.stack:
            # No place above the stack was free: where mmap() puts it.
            assert one.vdso + PAGE <= one.mmap_base
            continue
        assert vvar >= one.stack
        assert vvar + size <= (one.start_stack + size + PMD + PAGE - 1) & -PMD
        room += 1
    # The hint falls on the stack itself where few pages are left in the 2 MiB.
    assert room > SEEDS * 9 // 10


def test_a_pie_with_an_interpreter_has_28_bits_above_elf_et_dyn_base() -> None:
    program = os.path.realpath("/bin/ls")
    bases = []
    for seed in range(SEEDS):
        with Machine(ram="16M", aslr=True, seed=seed) as machine:
            vma = machine.spawn(program).mm.mmap
            assert vma is not None
            bases.append(vma.vm_start)
    within(bases, DYN_BASE, DYN_BASE + MMAP_RND)


def test_since_6_9_the_heap_has_a_gibibyte(build: Build) -> None:
    program = build("layout", "static")
    some = [Layout(program, seed, (6, 9)) for seed in range(SEEDS)]
    within([one.brk - one.end for one in some], 0, (1 << 30) - PAGE)


def test_randomize_va_space_1_leaves_the_heap_behind_the_bss(build: Build) -> None:
    """CONFIG_COMPAT_BRK's setting: stack, mappings and vdso move, the heap does not."""
    program = build("layout", "static")
    stacks = set()
    for seed in range(8):
        with Machine(ram="16M", aslr=True, seed=seed, root=os.path.dirname(program), randomize_va_space=1) as machine:
            mm = machine.spawn("/" + os.path.basename(program)).mm
            vma = mm.mmap
            while vma is not None and vma.vm_next is not None and vma.vm_next.vm_start < 1 << 32:
                vma = vma.vm_next
            assert vma is not None
            assert mm.start_brk == mm.brk == vma.vm_end
            stacks.add(mm.start_stack)
    assert len(stacks) == 8


def test_mmap_rnd_bits_is_the_range(build: Build) -> None:
    """vm.mmap_rnd_bits, up to 32."""
    program = build("layout", "static")
    bases = []
    for seed in range(SEEDS):
        with Machine(ram="16M", aslr=True, seed=seed, root=os.path.dirname(program), mmap_rnd_bits=32) as machine:
            bases.append(machine.spawn("/" + os.path.basename(program)).mm.mmap_base)
    within(bases, MMAP_TOP - ((1 << 44) - PAGE), MMAP_TOP)


def test_the_live_kernel_keeps_to_the_same_ranges(build: Build) -> None:
    """Stack, strings and mappings; the heap's range and the vdso's place are other releases'."""
    program = build("layout", "static")
    rows = []
    for _ in range(200):
        out = subprocess.run([program], capture_output=True, env={}, check=True).stdout
        rows.append([int(word, 16) for word in out.split()])
    within([row[7] for row in rows], TASK_SIZE - STACK_RND - PAGE, TASK_SIZE)
    within(
        [row[7] - row[8] & -16 for row in rows], min(r[7] - r[8] & -16 for r in rows), min(r[7] - r[8] for r in rows) + 8191, 16
    )
    # The first mmap lies below vvar and vdso, where these are not above the stack.
    bases = [row[3] for row in rows]
    assert min(bases) >= MMAP_TOP - MMAP_RND - (64 << 12)
    assert max(bases) <= MMAP_TOP


def relative(out: bytes) -> list[int]:
    """The layout with vvar's place instead of what lies next to it: releases differ in its size and the vdso's."""
    words = [int(word, 16) for word in out.split()]
    first, text, brk, a, b, c, _, stack, _, _ = words
    return [first, text, brk & -PAGE, a - b, c, stack]


@pytest.mark.parametrize("options", [["-R"], ["-R", "-L"]])
@pytest.mark.parametrize("limit", [[], ["/usr/bin/prlimit", "--stack=unlimited"], ["/usr/bin/prlimit", f"--stack={1 << 30}"]])
def test_legacy_layout_and_unlimited_stack_as_native(build: Build, limit: list[str], options: list[str]) -> None:
    """setarch -L is bottom up from a third of the address space; the stack's limit only moves mmap_base (x86)."""
    command = [*limit, "/usr/bin/setarch", *options, build("layout", "static")]
    native = subprocess.run(command, capture_output=True, env=environment(), check=True).stdout
    guest = model(command).stdout
    assert relative(guest) == relative(native)
    vvar = {out: int(out.split()[6], 16) for out in (native, guest)}
    if "-L" in options:
        assert vvar[guest] == vvar[native] == 0x2AAAAAAAB000
    else:
        # The top is the same: vvar and vdso have 5 pages on the model, up to 8 on later releases.
        assert 0 <= vvar[guest] - vvar[native] <= 3 * PAGE
