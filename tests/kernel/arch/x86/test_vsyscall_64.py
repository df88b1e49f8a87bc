# SPDX-License-Identifier: GPL-2.0-or-later
"""The vsyscall page: what programs of before the vDSO meet there, by the setting of vsyscall=."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.vsyscall_64 import get_gate_vma, in_gate_area
from mmscope.machine import Machine

PROGRAM = r"""#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <ucontext.h>
static sigjmp_buf env;
static void handler(int sig, siginfo_t *si, void *ctx)
{
    greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
    printf("signal %d code %d addr %lx ", sig, si->si_code, (unsigned long)si->si_addr);
    printf("err %llx trap %lld\n", g[REG_ERR], g[REG_TRAPNO]);
    siglongjmp(env, 1);
}
static void try(unsigned long offset, void *a, void *b)
{
    printf("%lx: ", offset);
    if (sigsetjmp(env, 1) == 0) {
        long r = ((long (*)(void *, void *))(0xffffffffff600000 + offset))(a, b);
        printf("%s\n", r > 1000000000 ? "now" : r ? "other" : "0");
    }
}
int main(void)
{
    volatile unsigned *page = (unsigned *)0xffffffffff600000;
    struct sigaction sa = { .sa_flags = SA_SIGINFO, .sa_sigaction = handler };
    struct timeval tv = { 0, 0 };
    struct timezone tz = { 5, 6 };
    long t = 0;
    unsigned cpu = 77777, node = 77;
    sigaction(SIGSEGV, &sa, 0);
    try(0, &tv, &tz);
    try(0, 0, 0);
    try(0x400, &t, 0);
    try(0x400, 0, 0);
    try(0x800, &cpu, &node);
    printf("%d %d %d %d %d %d\n", tv.tv_sec > 1000000000, tz.tz_minuteswest, tz.tz_dsttime, t > 1000000000, cpu < 77777, node);
    try(1, 0, 0);
    try(0xc00, 0, 0);
    try(0x400, (void *)0x1000, 0);
    try(0x400, (void *)0x400000, 0);
    try(0x400, (void *)0xffff888000000000, 0);
    try(0x400, (void *)0x800000000000, 0);
    try(0, &tv, (void *)0x1000);
    if (sigsetjmp(env, 1) == 0)
        printf("read %x\n", page[256]);
    if (sigsetjmp(env, 1) == 0)
        page[0] = 1;
    if (sigsetjmp(env, 1) == 0)
        printf("%x\n", page[1024]);
    return 0;
}
"""

CALLS = """\
0: 0
0: 0
400: now
400: now
800: 0
1 0 0 1 1 0
1: signal 11 code 128 addr 0 err 0 trap 0
c00: signal 11 code 128 addr 0 err 0 trap 0
"""
#: A bad pointer: SIGSEGV there. On 6.18: without address, and the frame shows what the fault before left.
POINTERS = """\
400: signal 11 code 1 addr 1000 err 6 trap 14
400: signal 11 code 2 addr 400000 err 7 trap 14
400: signal 11 code 1 addr ffff888000000000 err 6 trap 14
400: signal 11 code 1 addr 800000000000 err 6 trap 14
0: signal 11 code 1 addr 1000 err 6 trap 14
"""
POINTERS_6_18 = """\
400: signal 11 code 128 addr 0 err 0 trap 0
400: signal 11 code 128 addr 0 err 0 trap 0
400: signal 11 code 1 addr ffff888000000000 err 6 trap 14
400: signal 11 code 1 addr 800000000000 err 6 trap 14
0: signal 11 code 128 addr 0 err 6 trap 14
"""
NO_READ = "signal 11 code 1 addr ffffffffff600400 err 5 trap 14\n"
REST = """\
signal 11 code 1 addr ffffffffff600000 err 7 trap 14
signal 11 code 1 addr ffffffffff601000 err 5 trap 14
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.hosttool import find_tool

    folder = tmp_path_factory.mktemp("vsyscall")
    (folder / "prog.c").write_text(PROGRAM)
    subprocess.run([find_tool("gcc"), "-O1", "-w", "-static", "-o", folder / "prog", folder / "prog.c"], check=True)
    return folder


def run(folder: Path, mode: str, version: tuple[int, int]) -> str:
    with Machine(root=str(folder), vsyscall=mode, version=version, debug_vm=True) as machine:
        process = machine.spawn("/prog", capture_output=True)
        assert process.run().exit_status == 0
        return process.stdout.decode()


@pytest.mark.parametrize(("version", "pointers"), [((5, 11), POINTERS), ((6, 0), POINTERS), ((6, 1), POINTERS_6_18)])
def test_xonly(program: Path, version: tuple[int, int], pointers: str) -> None:
    assert run(program, "xonly", version) == CALLS + pointers + NO_READ + REST


def test_the_kernel_under_us(program: Path) -> None:
    # Only where it is xonly: other kernels do not show the line, or show it readable.
    if "--xp 00000000 00:00 0                  [vsyscall]" not in Path("/proc/self/maps").read_text():
        return
    native = subprocess.run([program / "prog"], capture_output=True, check=True, text=True).stdout
    assert native in (CALLS + POINTERS + NO_READ + REST, CALLS + POINTERS_6_18 + NO_READ + REST)


def test_emulate_shows_code_that_cannot_run(program: Path) -> None:
    # mov $201, %rax: the bytes of the second call.
    assert run(program, "emulate", (5, 11)) == CALLS + POINTERS + "read c9c0c748\n" + REST


def test_none(program: Path) -> None:
    text = run(program, "none", (5, 11)).splitlines()
    assert text[0] == "0: signal 11 code 1 addr ffffffffff600000 err 15 trap 14"
    assert all("signal" in line for line in text if ":" in line)


@pytest.mark.parametrize(("mode", "flags"), [("xonly", 0x4), ("emulate", 0x5)])
def test_gate_vma(mode: str, flags: int) -> None:
    with Machine(vsyscall=mode, root=None) as m:
        mm = m.process().mm
        gate = get_gate_vma(mm)
        assert gate is not None
        assert (gate.vm_start, gate.vm_end, gate.vm_flags) == (0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, flags)
        assert in_gate_area(mm, 0xFFFFFFFFFF600FFF)
        assert not in_gate_area(mm, 0xFFFFFFFFFF601000)


def test_no_gate_by_default() -> None:
    with Machine(root=None) as m:
        mm = m.process().mm
        assert get_gate_vma(mm) is None
        assert not in_gate_area(mm, 0xFFFFFFFFFF600000)
