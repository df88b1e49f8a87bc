# SPDX-License-Identifier: GPL-2.0-or-later
"""Every instruction of data/native_cases.txt faults here as it faulted on a real processor under Linux.

data/native_faults.txt was recorded by data/native_faults.c: signal, vector, error code, CR2 and RIP of 274 instructions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cpu.conftest import Guest

DATA_DIR = Path(__file__).parent / "data"
CODE = 0x10000000

#: Where Unicorn (QEMU 5.0) is another processor; src/mmscope/cpu/README.md explains each.
KNOWN = {
    "movaps_st@cross", "movntdq@cross", "movaps_unal",  # SSE operands are not checked for alignment
    "noncanon_jmp",  # #GP at the target, not at the jump
    "maskmovdqu",  # that processor writes the high half first
    "lock_bad",  # LOCK before a load is accepted
}  # fmt: skip


def native() -> dict[str, dict[str, int]]:
    """Case -> fields."""
    out = {}
    for line in (DATA_DIR / "native_faults.txt").read_text().splitlines():
        name, *fields = line.split()
        out[name] = {key: int(value, 0) for key, value in (f.split("=") for f in fields)}
    return out


def cases() -> list[list[str]]:
    """Name, code, rdi, rsi, rsp, offset of the code in its page."""
    return [line.split() for line in (DATA_DIR / "native_cases.txt").read_text().splitlines()]


NATIVE = native()


@pytest.mark.parametrize("case", [c for c in cases() if c[0] in NATIVE], ids=lambda c: c[0])
def test_faults_as_on_hardware(guest: Guest, case: list[str]) -> None:
    name, text, rdi, rsi, rsp, offset = case
    want = NATIVE[name]
    start = CODE + int(offset, 16)
    guest.map(CODE, "rx")
    for page in (0x20000000, 0x20001000, 0x20002000, 0x2000F000):
        guest.map(page)
    guest.map(0x20010000, "r")
    code = text + "0f0b"
    guest.code(code[: 2 * (CODE + 4096 - start)], start)
    regs = guest.regs
    regs.di, regs.si, regs.sp, regs.bp = int(rdi, 16), int(rsi, 16), int(rsp, 16), start
    regs.cx, regs.dx, regs.bx, regs.ax = 3, 0x8100, 2, 0
    (event,) = guest.run()
    vector = 14 if event[0] == "fault" else event[1]
    got = {"trap": vector, "rip": (regs.ip - start) % 2**64}
    expected = {"trap": want["trap"], "rip": want["rip"] % 2**64}
    if vector == 14:
        error = event[1]
        assert isinstance(error, int)
        # Linux tells of every kernel address that it is mapped; a page that the recording had not touched is absent.
        got["cr2"], expected["cr2"] = guest.k.cpu.cr2, want["cr2"]
        got["err"], expected["err"] = error & ~1, want["err"] & ~1
    elif vector != 4 and vector != 1:
        got["err"], expected["err"] = int(str(event[2])), want["err"]
    assert (got == expected) != (name in KNOWN)
