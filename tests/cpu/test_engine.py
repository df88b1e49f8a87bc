# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine against hand-made page tables: the contract of src/mmscope/cpu/README.md, point by point."""

from __future__ import annotations

import os
import signal
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.include.errno import KernelBug

if TYPE_CHECKING:
    from tests.cpu.conftest import Guest

CODE = 0x10000000
DATA = 0x20000000
STACK = 0x30000000
A, D = 0x20, 0x40


def test_syscall_clobbers_rcx_and_r11_and_goes_on_with_the_kernels_registers(guest: Guest) -> None:
    guest.code("""
        0f05        ; syscall
        4889c3      ; mov rbx, rax
        0f05        ; syscall
    """)
    regs = guest.regs
    regs.ax, regs.r15 = 39, 0xDEADBEEFCAFEF00D
    assert guest.run() == [("syscall", 39)]
    assert (regs.ip, regs.cx, regs.r11) == (CODE + 2, CODE + 2, regs.flags)
    regs.ax = 1234
    assert guest.run() == [("syscall", 1234)]
    assert (regs.bx, regs.r15) == (1234, 0xDEADBEEFCAFEF00D)


def test_ring_3(guest: Guest) -> None:
    guest.code("8cc8 8cd3 0f05  ; mov eax, cs; mov ebx, ss")
    guest.run()
    assert (guest.regs.ax, guest.regs.bx) == (0x33, 0x2B)


@pytest.mark.parametrize("text", ["ff07", "0107", "8707", "0fc107", "0fb10f", "c127 01", "f0ff0f", "0fba2f00", "f71f"])
def test_read_modify_write_is_one_write_fault(guest: Guest, text: str) -> None:
    guest.code(text + "0f05")
    guest.regs.di, guest.regs.ax = DATA + 0x123, 0
    guest.handler = lambda event: bool(event[0] == "fault" and guest.map(DATA))
    assert guest.run() == [("fault", 6, DATA + 0x123, CODE), ("syscall", guest.regs.ax)]


def test_accessed_and_dirty_come_from_the_walk(guest: Guest) -> None:
    guest.map(DATA)
    guest.code("8b07 0f05 8907 0f05  ; mov eax, [rdi]; syscall; mov [rdi], eax; syscall")
    guest.regs.di = DATA
    guest.run()
    assert guest.k.words[guest.pte(DATA)] & (A | D) == A
    guest.run()
    assert guest.k.words[guest.pte(DATA)] & (A | D) == A | D


def test_write_to_a_read_only_page(guest: Guest) -> None:
    guest.map(DATA, "r")
    guest.code("8b07 ff07")
    guest.regs.di = DATA + 8
    assert guest.run() == [("fault", 7, DATA + 8, CODE + 2)]


def test_rep_movs_restarts_where_it_faulted(guest: Guest) -> None:
    """A copy of 3 pages between unmapped memory: each page faults once, in order, and the bytes arrive."""
    pages = {DATA + i * 4096: bytes([i + 1]) * 4096 for i in range(4)}

    def handler(event: tuple[object, ...]) -> bool:
        if event[0] != "fault":
            return False
        assert isinstance(event[2], int)
        page = event[2] & -4096
        guest.map(page)
        if page in pages:
            guest.poke(page, pages[page])
        return True

    guest.code("f3a4 0f05")
    guest.regs.si, guest.regs.di, guest.regs.cx = DATA + 0x800, DATA + 0x100C00, 0x2000
    guest.handler = handler
    events = guest.run()
    at = CODE
    assert events[:-1] == [
        ("fault", 4, DATA + 0x800, at), ("fault", 6, DATA + 0x100C00, at), ("fault", 6, DATA + 0x101000, at),
        ("fault", 4, DATA + 0x1000, at), ("fault", 6, DATA + 0x102000, at), ("fault", 4, DATA + 0x2000, at),
    ]  # fmt: skip
    assert guest.regs.r11 == guest.regs.flags
    copied = guest.peek(DATA + 0x100C00, 0x400) + guest.peek(DATA + 0x101000, 4096) + guest.peek(DATA + 0x102000, 0xC00)
    assert copied == bytes([1]) * 0x800 + bytes([2]) * 4096 + bytes([3]) * 0x800


def test_page_crossing_store_faults_on_each_page_and_is_whole(guest: Guest) -> None:
    guest.code("488907 0f05")
    guest.regs.di, guest.regs.ax = DATA + 4093, 0x1122334455667788
    guest.handler = lambda event: bool(event[0] == "fault" and guest.map(int(str(event[2])) & -4096))
    assert guest.run()[:2] == [("fault", 6, DATA + 4093, CODE), ("fault", 6, DATA + 4096, CODE)]
    assert guest.peek(DATA + 4093, 3) + guest.peek(DATA + 4096, 5) == struct.pack("<Q", 0x1122334455667788)


def test_jumps_to_nowhere(guest: Guest) -> None:
    guest.code("ffe0")
    guest.regs.ax = 0
    assert guest.run() == [("fault", 0x14, 0, 0)]
    guest.map(DATA)
    guest.regs.ip, guest.regs.ax = CODE, DATA + 5
    assert guest.run() == [("fault", 0x15, DATA + 5, DATA + 5)]


def test_address_0_is_an_address_like_any_other(guest: Guest) -> None:
    guest.code("0f05", 0)
    guest.code("ffe0")
    guest.regs.ax = 0
    assert guest.run() == [("syscall", 0)]


def test_code_that_runs_into_an_absent_page(guest: Guest) -> None:
    """What stands before the border is executed first, though Unicorn translates across it."""
    guest.code("ff07 ff07 ffc0 9c 58 90", CODE + 4096 - 9)
    guest.code("0f05", CODE + 4096)
    frame = guest.phys(CODE + 4096)
    guest.unmap(CODE + 4096)
    guest.regs.ip, guest.regs.ax, guest.regs.di = CODE + 4096 - 9, 0, DATA
    guest.handler = lambda event: bool(
        event[0] == "fault" and (guest.map(DATA) if event[2] == DATA else guest.map(CODE + 4096, "rx", frame))
    )
    assert guest.run()[:2] == [("fault", 6, DATA, CODE + 4096 - 9), ("fault", 0x14, CODE + 4096, CODE + 4096)]
    assert guest.peek(DATA, 1) == b"\2"
    # pushf; pop rax: no TF of ours to be seen
    assert guest.regs.ax & 0x100 == 0
    assert guest.regs.flags & 0x100 == 0


def test_instruction_across_a_border_faults_at_the_second_page(guest: Guest) -> None:
    guest.code("b8 01000000 0f05", CODE + 4094)
    frame = guest.phys(CODE + 4096)
    guest.unmap(CODE + 4096)
    guest.handler = lambda event: bool(event[0] == "fault" and guest.map(CODE + 4096, "rx", frame))
    assert guest.run() == [("fault", 0x14, CODE + 4096, CODE + 4094), ("syscall", 1)]


SELF_MODIFYING = """
    e80a000000  ; call f
    c60601      ; mov byte [rsi], 1
    e802000000  ; call f
    0f05        ; syscall
    0401        ; f: add al, 1     (its immediate is at f + 1)
    c3          ; ret
"""


def test_guest_stores_into_its_own_code(guest: Guest) -> None:
    guest.map(CODE, "rwx")
    guest.code(SELF_MODIFYING.replace("c60601", "c60640"))
    guest.regs.ax, guest.regs.si = 0, CODE + 16
    assert guest.run() == [("syscall", 0x41)]


def test_guest_stores_into_code_through_another_mapping(guest: Guest) -> None:
    """A JIT with one writable and one executable view of the frame; twice, to see both directions."""
    guest.map(DATA, "rw", guest.map(CODE, "rx"))
    for value in (0x40, 0x20):
        guest.code(SELF_MODIFYING.replace("c60601", f"c606{value:02x}"))
        guest.k.cpu.stale_code.append(guest.phys(CODE) >> 12)
        guest.regs.ax, guest.regs.si = 0, DATA + 16
        assert guest.run() == [("syscall", 1 + value)]
        assert guest.peek(CODE + 16, 1) == bytes([value])


def test_data_page_becomes_code_becomes_data(guest: Guest) -> None:
    """mprotect by hand: the same address writable, then executable, then writable again."""
    frame = guest.map(DATA)
    guest.code("""
        c70789d8ffc0  ; mov dword [rdi], (mov eax, ebx; inc eax)
        c64704c3      ; mov byte [rdi+4], c3
        0f05
        ffd7          ; call rdi
        0f05
        c6070f        ; mov byte [rdi], 0f
        c6470105
        0f05
        ffd7
    """)
    regs = guest.regs
    regs.di, regs.bx = DATA, 7
    for prot in ("rx", "rw", "rx"):
        guest.run()
        guest.map(DATA, prot, frame)
        guest.k.cpu.invlpg(DATA)
    assert regs.ax == 8
    assert guest.run() == [("syscall", 8)]
    assert regs.ip == DATA + 2


def test_host_writes_over_translated_code(guest: Guest) -> None:
    guest.code("b801000000 0f05")
    assert guest.run() == [("syscall", 1)]
    phys_write(guest.k, guest.phys(CODE + 1), b"\2")
    guest.regs.ip = CODE
    assert guest.run() == [("syscall", 2)]


def test_a_missing_flush_shows_and_a_flush_helps(guest: Guest) -> None:
    old, new = guest.map(DATA), guest.frame()
    guest.k.mem[old], guest.k.mem[new] = 1, 2
    guest.code("8a07 0f05 ebfa")
    guest.regs.di = DATA
    assert guest.run() == [("syscall", 1)]
    guest.map(DATA, "rw", new)
    assert guest.run() == [("syscall", 1)]
    guest.k.cpu.invlpg(DATA)
    assert guest.run() == [("syscall", 2)]
    assert not guest.k.cpu.pending_flush


def test_switch_of_address_space(guest: Guest) -> None:
    guest.map(DATA)
    guest.poke(DATA, b"\1")
    guest.code("8a07 0f05 ebfa")
    guest.regs.di = DATA
    first = guest.k.cpu.cr3
    assert guest.run() == [("syscall", 1)]
    frame = guest.phys(CODE)
    guest.k.cpu.load_cr3(guest.frame())
    guest.map(CODE, "rx", frame)
    guest.map(DATA)
    guest.poke(DATA, b"\2")
    assert guest.run() == [("syscall", 2)]
    guest.k.cpu.load_cr3(first)
    assert guest.run() == [("syscall", 1)]


def test_rdtsc_reads_the_virtual_clock(guest: Guest) -> None:
    guest.code("0f31 0f31 0f31 0f05")
    assert guest.run() == [("syscall", 0x3456789A)]
    assert guest.regs.dx == 0x12


def test_exception_after_exception(guest: Guest) -> None:
    """No double fault, however many: the kernel has handled the one before."""
    guest.code("f4 31c9 f7f1 0f0b cc")
    want = [("trap", 13, 0, CODE), ("trap", 0, 0, CODE + 3), ("trap", 6, 0, CODE + 5), ("trap", 3, 0, CODE + 8)]
    for _ in range(3):
        guest.regs.ip = CODE
        for event, skip in zip(want, (1, 2, 2, 0), strict=True):
            assert guest.run() == [event]
            guest.regs.ip += skip


def test_faults_save_rf_and_traps_do_not(guest: Guest) -> None:
    guest.code("cc 0f0b")
    guest.run()
    assert guest.regs.flags & 0x10000 == 0
    guest.run()
    assert guest.regs.flags & 0x10000


def test_int_0x80_is_told_from_the_rest(guest: Guest) -> None:
    guest.code("cd80 cd0e")
    assert guest.run() == [("trap", 0x80, 0, CODE + 2)]
    assert guest.run() == [("trap", 13, 14 * 8 + 2, CODE + 2)]


def test_ports_trap_before_anything_behind_them(guest: Guest) -> None:
    guest.map(DATA)
    guest.code("ec ff07 ffc3 0f28c1 0f05  ; in al, dx; inc [rdi]; inc ebx; movaps xmm0, xmm1")
    guest.regs.di, guest.regs.ax, guest.regs.bx = DATA, 0x55, 1
    assert guest.run() == [("trap", 13, 0, CODE)]
    assert (guest.peek(DATA, 1), guest.regs.ax, guest.regs.bx, guest.regs.ip) == (b"\0", 0x55, 1, CODE)
    guest.regs.ip += 1
    guest.run()
    assert (guest.peek(DATA, 1), guest.regs.bx) == (b"\1", 2)


def test_single_step(guest: Guest) -> None:
    guest.code("ffc0 ffc0 ffc0")
    guest.regs.flags |= 0x100
    guest.regs.ax = 0
    assert guest.run() == [("trap", 1, 0x4000, CODE + 2)]
    assert guest.run() == [("trap", 1, 0x4000, CODE + 4)]
    assert guest.regs.ax == 2


def test_a_step_over_a_system_call_makes_it(guest: Guest) -> None:
    """IA32_FMASK clears TF on the way in: no #DB before the call, and the exceptions that follow are whole."""
    guest.code("b814000000 0f05 ffc3 0f05 0f0b 90")
    guest.regs.flags |= 0x100
    assert guest.run() == [("trap", 1, 0x4000, CODE + 5)]
    assert guest.run() == [("syscall", 20)]
    assert (guest.regs.ip, guest.regs.r11 & 0x100) == (CODE + 7, 0x100)
    assert guest.run() == [("trap", 1, 0x4000, CODE + 9)]
    assert guest.run() == [("syscall", 20)]
    guest.regs.flags &= ~0x100
    for _ in range(3):
        assert guest.run() == [("trap", 6, 0, CODE + 11)]


def test_segment_registers_load_and_the_gdt_is_out_of_reach(guest: Guest) -> None:
    guest.code("8ed8 8cdb 0f05 0f0107 0f05 8b06")
    guest.map(DATA)
    guest.regs.ax, guest.regs.di, guest.regs.si = 0x2B, DATA, 0xFFFFFE0000001020
    assert guest.run() == [("syscall", 0x2B)]
    assert guest.regs.bx == 0x2B
    guest.run()
    assert guest.peek(DATA, 10) == struct.pack("<HQ", 0x7F, 0xFFFFFE0000001000)
    assert guest.run() == [("fault", 4, 0xFFFFFE0000001020, guest.regs.ip)]


def test_fs_and_gs_base(guest: Guest) -> None:
    guest.map(DATA)
    guest.poke(DATA + 0x10, b"\1")
    guest.poke(DATA + 0x20, b"\2")
    guest.code("648a042510000000 658a1c2520000000 0f05 648a042500100000")
    guest.task.thread.fsbase = guest.task.thread.gsbase = DATA
    guest.run()
    assert (guest.regs.ax, guest.regs.bx) == (1, 2)
    assert guest.run() == [("fault", 4, DATA + 0x1000, guest.regs.ip)]


def test_fxsave_image_is_the_instructions(guest: Guest) -> None:
    guest.map(DATA)
    guest.map(DATA + 4096)
    guest.code("""
        dbe3 d9e8 d9eb 6a05 df2c24      ; finit; fld1; fldpi; push 5; fild qword [rsp]
        660f76c0 0f28c8 f30f2a14 24 440f28fa
        480fae07 0f05                   ; fxsave64 [rdi]
        480fae0f 480fae06 0f05          ; fxrstor64 [rdi]; fxsave64 [rsi]
    """)
    guest.regs.di, guest.regs.si = DATA, DATA + 4096
    guest.run()
    image = guest.peek(DATA, 512)
    got = guest.k.cpu.fxsave()
    # The last opcode and its pointers are not kept by Unicorn in the same way: bytes 6 to 24.
    assert got[:6] + got[24:416] == image[:6] + image[24:416]
    other = bytes([0x7F, 0x03, 0, 0x38, 0x80]) + bytes(19) + b"\x80\x1f\0\0\xff\xff\0\0" + bytes(range(128)) + bytes(range(256))
    other = other.ljust(512, b"\0")
    clean = bytearray(other)
    for i in range(8):
        clean[32 + 16 * i + 10 : 48 + 16 * i] = bytes(6)
    guest.k.cpu.fxrstor(bytes(clean))
    assert guest.k.cpu.fxsave() == bytes(clean)
    guest.poke(DATA, bytes(clean))
    guest.run()
    assert guest.peek(DATA + 4096, 416) == bytes(clean[:416])


def test_cpu_starts_with_the_fpu_of_a_new_program(guest: Guest) -> None:
    image = guest.k.cpu.fxsave()
    assert (image[:4], image[4], image[24:28], image[160:416]) == (b"\x7f\x03\0\0", 0, b"\x80\x1f\0\0", bytes(256))


def test_cpuid_is_a_nehalem(guest: Guest) -> None:
    guest.code("0fa2 0f05")
    guest.regs.ax = 0
    guest.run()
    regs = guest.regs
    assert struct.pack("<III", regs.bx, regs.dx, guest.engine._g[1]) == b"GenuineIntel"
    guest.regs.ip, guest.regs.ax = CODE, 1
    guest.run()
    ecx, edx = guest.engine._g[1], regs.dx
    assert regs.ax >> 4 & 0xFFFF == 0x06A or regs.ax == 0x106A3
    # sse2; ssse3, sse4.2; no osxsave, avx, rdrand
    assert edx >> 26 & 1
    assert ecx >> 9 & 1
    assert ecx >> 20 & 1
    assert not ecx & (1 << 27 | 1 << 28 | 1 << 30)


@pytest.mark.parametrize("text", ["0fc7f0", "0f01d0", "0f01f9", "660f3882 00", "c4e2f9f700", "f3480faec0"])
def test_what_a_nehalem_has_not_is_ud(guest: Guest, text: str) -> None:
    guest.code(text)
    assert guest.run() == [("trap", 6, 0, CODE)]


def test_kernel_bug_in_a_hook_comes_out(guest: Guest) -> None:
    guest.code("8b07")
    guest.k.words[guest.pte(DATA) - (guest.pte(DATA) & 511)] = 0
    at = (guest.k.cpu.cr3 >> 3) + (0x7F0000000000 >> 39)
    guest.k.words[at] = 1 << 40 | 7
    guest.regs.di = 0x7F0000000000
    with pytest.raises(KernelBug):
        guest.run()


def test_exception_in_the_kernel_comes_out_and_the_machine_goes_on(guest: Guest) -> None:
    guest.code("0f05 0f05")

    def fail(event: tuple[object, ...]) -> bool:
        raise ZeroDivisionError

    guest.handler = fail
    with pytest.raises(ZeroDivisionError):
        guest.run()
    guest.handler = None
    assert guest.run() == [("syscall", guest.regs.ax)]
    assert guest.regs.ip == CODE + 4


def test_ctrl_c_stops_a_guest_that_never_traps(guest: Guest) -> None:
    guest.code("ffc0 ebfc")
    for _ in range(3):
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            guest.run()
        assert guest.regs.ip in (CODE, CODE + 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    guest.code("0f05")
    guest.k.cpu.stale_code.append(guest.phys(CODE) >> 12)
    assert guest.run() == [("syscall", guest.regs.ax)]


def test_other_signals_of_the_host_are_handled_and_the_guest_goes_on(guest: Guest) -> None:
    """The handler of an alarm runs though the guest never traps; here it ends the guest's loop."""
    guest.map(DATA)
    guest.code("833f00 74fb 0f05  ; l: cmp dword [rdi], 0; je l; syscall")
    guest.regs.di = DATA
    before = signal.signal(signal.SIGALRM, lambda signum, frame: guest.poke(DATA, b"\1"))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        assert guest.run() == [("syscall", guest.regs.ax)]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_run_in_another_thread(guest: Guest) -> None:
    guest.code("0f05")
    thread = threading.Thread(target=guest.run)
    thread.start()
    thread.join()
    assert guest.events == [("syscall", 0)]


def test_thousands_of_machines(guest: Guest) -> None:
    """Each is freed by close(); the memory of the process does not grow with their number."""
    guest_type = type(guest)

    def resident() -> int:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1])

    def one() -> None:
        g = guest_type(1 << 20)
        g.code("0f05")
        g.run()
        g.engine.close()

    for _ in range(50):
        one()
    before = resident()
    for _ in range(500):
        one()
    assert resident() - before < 4096


def test_two_machines_interleaved(guest: Guest) -> None:
    other = type(guest)()
    for g, step in ((guest, 1), (other, 16)):
        g.code(f"83c0{step:02x} 0f05 ebf9")
        g.regs.ax = 0
    for i in range(1, 4):
        assert guest.run() == [("syscall", i)]
        assert other.run() == [("syscall", i * 16)]
    other.engine.close()


def test_a_guest_that_touches_many_pages_gets_a_larger_tlb(guest: Guest) -> None:
    """60 rounds of inc over 800 pages, where the TLB begins with 256 entries."""
    for i in range(800):
        guest.map(DATA + i * 4096)
    guest.code("41b83c000000 48bf0000002000000000 b920030000 fe07 4881c700100000 ffc9 75f3 41ffc8 75df 0f05")
    assert [event[0] for event in guest.run()] == ["syscall"]
    assert {guest.peek(DATA + i * 4096, 1) for i in range(800)} == {bytes([60])}
    first, last = 256 * 4, guest.engine._many_fills
    assert last > first
    # Two more rounds find all pages in it.
    guest.engine._fills = 0
    guest.regs.r8 = 20
    guest.regs.ip = CODE + 6
    guest.run()
    assert guest.engine._fills < 800
