# SPDX-License-Identifier: GPL-2.0-or-later
"""arch/x86/traps.py: which signal, code and address each exception becomes."""

from __future__ import annotations

import pytest

from mmscope.kernel.arch.x86 import traps
from mmscope.kernel.arch.x86.trapnr import X86_TRAP_GP
from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.signal import SI_KERNEL, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP
from tests.kernel.core.boot import boot_task

IP = 0x401234


def raised(k: Kernel, vector: int, error_code: int = 0) -> tuple[int, int, int]:
    k.current.regs.ip = IP
    traps.exc_vector(k, k.current.regs, vector, error_code)
    (info,) = k.current.pending.list
    assert k.current.thread.trap_nr == (vector if vector != 0x80 else X86_TRAP_GP)
    return info.si_signo, info.si_code, info.si_addr


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (0, (SIGFPE, 1, IP)),
        (3, (SIGTRAP, SI_KERNEL, 0)),
        (4, (SIGSEGV, SI_KERNEL, 0)),
        (5, (SIGSEGV, SI_KERNEL, 0)),
        (6, (SIGILL, 2, IP)),
        (11, (SIGBUS, SI_KERNEL, 0)),
        (12, (SIGBUS, SI_KERNEL, 0)),
        (13, (SIGSEGV, SI_KERNEL, 0)),
        (17, (SIGBUS, 1, 0)),
        (0x80, (SIGSEGV, SI_KERNEL, 0)),
    ],
)
def test_signal_of_each_exception(vector: int, expected: tuple[int, int, int]) -> None:
    assert raised(boot_task(), vector) == expected


def test_error_code_reaches_the_thread_and_the_log() -> None:
    k = boot_task()
    raised(k, 13, 0x18)
    assert k.current.thread.error_code == 0x18
    assert k.log[-1][1] == f"traps: task[{k.current.pid}] general protection fault ip:401234 sp:0 error:18"


def test_debug_tells_steps_from_icebp() -> None:
    """By DR6: popf may have cleared TF, and still it is a step."""
    assert raised(boot_task(), 1, 0x4000) == (SIGTRAP, 2, IP)
    assert raised(boot_task(), 1) == (SIGTRAP, 1, IP)


@pytest.mark.parametrize(("bit", "code"), [(0x1, 7), (0x4, 3), (0x8, 4), (0x2, 5), (0x10, 5), (0x20, 6)])
def test_floating_point_codes(bit: int, code: int) -> None:
    for vector in (16, 19):
        k = boot_task()
        image = bytearray(512)
        image[0:2] = (0x37F & ~bit).to_bytes(2, "little")
        image[2:4] = bit.to_bytes(2, "little")
        image[24:28] = (0x1F80 & ~(bit << 7) | bit).to_bytes(4, "little")
        fixed = bytes(image)
        k.cpu.fxsave = lambda fixed=fixed: fixed  # type: ignore[misc]
        assert raised(k, vector) == (SIGFPE, code, IP)


def test_spurious_floating_point_exception_is_dropped() -> None:
    k = boot_task()
    traps.exc_simd_coprocessor_error(k, k.current.regs)
    assert not k.current.pending.list


def test_exception_in_kernel_mode_is_a_bug() -> None:
    k = boot_task()
    k.current.regs.cs = 0x10
    with pytest.raises(KernelBug):
        traps.exc_divide_error(k, k.current.regs)
