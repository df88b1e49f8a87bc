# SPDX-License-Identifier: GPL-2.0-or-later
"""Instruction decoding, as far as a page fault needs it: the length, and which addresses are read and written.

A processor knows both when it raises #PF; Unicorn reports the page and the first half of a read-modify-write only. One
instruction is decoded a fault, never on the way of execution. 64-bit mode, the instructions of a NEHALEM: no VEX.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

#: How an operand is used. RMW checks for writing first: one write fault, error code 6, on an absent page.
R: Final = 1
W: Final = 2
RMW: Final = 3

MAX_INSN: Final = 15

_MASK: Final = 0xFFFFFFFFFFFFFFFF
#: As a base register: none of the sixteen.
_RIP: Final = 16

RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7


class Access:
    """One memory operand: its linear address, how it is used, its size where page faults depend on it, and #SS or #GP."""

    __slots__ = ("ea", "kind", "size", "stack")

    def __init__(self, ea: int, kind: int, stack: bool = False, size: int = 1) -> None:
        self.ea = ea & _MASK
        self.kind = kind
        #: The SS segment: a non-canonical address is #SS.
        self.stack = stack
        #: 512 for fxsave and fxrstor, whose last byte is probed first; otherwise of no meaning.
        self.size = size


class Insn:
    """A decoded instruction."""

    __slots__ = ("accesses", "length", "opcode", "reg", "rm")

    def __init__(self) -> None:
        self.length = 0
        #: The opcode; two-byte opcodes as 0x0F00 | byte, three-byte ones as 0x0F38xx and 0x0F3Axx.
        self.opcode = 0
        #: ModRM's reg field with REX.R (0 without ModRM), and its register operand (-1 = memory or no ModRM).
        self.reg = 0
        self.rm = -1
        #: In the order in which the processor faults on them.
        self.accesses: list[Access] = []


# The one-byte opcodes, a letter each, sixteen a row.
# . no operand   m modrm   1 imm8   2 imm16   z imm32 (16 with 66)   v imm64 with REX.W, else z   e imm16 + imm8
# b modrm + imm8   Z modrm + imm32   a moffs   s push or pop (no bytes)   3 group 3
_FORMS: Final = (
    "mmmm1z..mmmm1z.."
    "mmmm1z..mmmm1z.."
    "mmmm1z..mmmm1z.."
    "mmmm1z..mmmm1z.."
    "................"
    "................"
    "...m....zZ1b...."
    "1111111111111111"
    "bZbbmmmmmmmmmmmm"
    "................"
    "aaaa....1z......"
    "11111111vvvvvvvv"
    "bb2.mmbZe.2..1.."
    "mmmm....mmmmmmmm"
    "11111111zz.1...."
    "......33......mm"
)

#: Two-byte opcodes without ModRM; 80-8F have imm32; those with an imm8 after ModRM; those that store; those that modify.
_NO_MODRM_0F: Final = frozenset(
    [5, 6, 7, 8, 9, 11, 14, 119, 160, 161, 162, 168, 169, 170, *range(48, 56), *range(128, 144), *range(200, 208)]
)
_IMM8_0F: Final = frozenset([0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6])
_STORE_0F: Final = frozenset([0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xC3, 0xD6, 0xE7, *range(0x90, 0xA0)])
_MODIFY_0F: Final = frozenset([0xA4, 0xA5, 0xAB, 0xAC, 0xAD, 0xB0, 0xB1, 0xB3, 0xBB, 0xC0, 0xC1, 0xC7])
_BIT_OFFSET_0F: Final = frozenset([0xA3, 0xAB, 0xB3, 0xBB])
_NO_ACCESS_0F: Final = frozenset([0x0D, *range(0x18, 0x20)])

#: x87 memory forms that store, by opcode: bit n = ModRM /n.
_X87_STORES: Final = {0xD9: 0b11001100, 0xDB: 0b10001110, 0xDD: 0b11001110, 0xDF: 0b11001110}


def decode(code: bytes, g: Sequence[int], rip: int, fsbase: int = 0, gsbase: int = 0) -> Insn:
    """Decode the instruction `code` at `rip`. `g` are RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8...R15.

    A `code` that ends early (the next page is absent) gives a length greater than len(code).
    """
    n = len(code)
    code = code + bytes(MAX_INSN + 16)
    insn = Insn()
    i = 0
    rex = 0
    base = 0
    segment = False
    op16 = addr32 = False
    rep = 0
    while True:
        c = code[i]
        if 0x40 <= c <= 0x4F:
            rex = c
            i += 1
            c = code[i]
            if not (c in (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3) or 0x40 <= c <= 0x4F):
                break
            rex = 0
            continue
        if c == 0x66:
            op16 = True
        elif c == 0x67:
            addr32 = True
        elif c in (0xF2, 0xF3):
            rep = c
        elif c in (0x64, 0x65):
            base = fsbase if c == 0x64 else gsbase
            segment = True
        elif c not in (0x26, 0x2E, 0x36, 0x3E, 0xF0):
            break
        i += 1
        if i >= MAX_INSN:
            break
    if i >= n:
        # Only prefixes here: the opcode stands in the next page.
        insn.length = i + 1
        return insn
    op = code[i]
    i += 1
    form = ""
    if op == 0x0F:
        op = 0x0F00 | code[i]
        i += 1
        low = op & 0xFF
        if low == 0x38 or low == 0x3A:
            op = op << 8 | code[i]
            i += 1
            form = "m" if low == 0x38 else "b"
        elif 0x80 <= low <= 0x8F:
            form = "J"
        elif low not in _NO_MODRM_0F:
            form = "b" if low in _IMM8_0F else "m"
    else:
        form = _FORMS[op]
    insn.opcode = op
    wide = rex & 8
    opsize = 8 if wide else 2 if op16 else 4
    ea = -1
    stack = False
    sp_step = 2 if op16 else 8
    if form in "mbZ3" and form:
        modrm = code[i]
        i += 1
        insn.reg = (modrm >> 3 & 7) | (rex & 4) << 1
        if modrm >> 6 == 3:
            insn.rm = modrm & 7 | (rex & 1) << 3
        else:
            ea, i, base_register = _memory_operand(code, i, modrm, rex, g)
            if base_register == RSP and op == 0x8F:
                ea += sp_step
            stack = base_register in (RSP, RBP) and not segment
            if base_register == _RIP:
                ea += rip + i + _imm_bytes(form, insn.reg, op, op16, bool(wide))
            ea &= 0xFFFFFFFF if addr32 else _MASK
            ea += base
    elif form == "a":
        width = 4 if addr32 else 8
        ea = base + int.from_bytes(code[i : i + width], "little")
        i += width
    insn.length = i + _imm_bytes(form, insn.reg, op, op16, bool(wide))
    if insn.length > n:
        return insn
    if op >= 0x0F00:
        _two_byte(insn, g, ea, stack, opsize, op16, rep, base)
    else:
        _one_byte(insn, g, ea, stack, opsize, sp_step, base, addr32)
    return insn


def _memory_operand(code: bytes, i: int, modrm: int, rex: int, g: Sequence[int]) -> tuple[int, int, int]:
    """ModRM, SIB (at `i`) and displacement of a memory operand: base + index + displacement, where the instruction goes on, and
    the base register (-1: none). RIP itself is not added yet: it counts from the instruction's end.
    """
    mod, rm = modrm >> 6, modrm & 7
    ea = 0
    if rm == 4:
        sib = code[i]
        i += 1
        index = (sib >> 3 & 7) | (rex & 2) << 2
        if index != 4:
            ea = g[index] << (sib >> 6)
        rm = sib & 7
        if rm == 5 and mod == 0:
            return ea + int.from_bytes(code[i : i + 4], "little", signed=True), i + 4, -1
    elif rm == 5 and mod == 0:
        return int.from_bytes(code[i : i + 4], "little", signed=True), i + 4, _RIP
    rm |= (rex & 1) << 3
    ea += g[rm]
    width = 1 if mod == 1 else 4 if mod == 2 else 0
    return ea + int.from_bytes(code[i : i + width], "little", signed=True), i + width, rm


def _imm_bytes(form: str, reg: int, op: int, op16: bool, wide: bool) -> int:
    """Bytes of the immediate that ends the instruction."""
    z = 2 if op16 and not wide else 4
    if form == "1" or form == "b":
        return 1
    if form == "z" or form == "Z":
        # Near branches ignore 66 on Intel.
        return 4 if op in (0xE8, 0xE9) else z
    if form == "v":
        return 8 if wide else z
    if form == "3":
        return 0 if reg & 7 > 1 else 1 if op == 0xF6 else z
    if form == "2":
        return 2
    if form == "e":
        return 3
    return 4 if form == "J" else 0


def _one_byte(insn: Insn, g: Sequence[int], ea: int, stack: bool, opsize: int, sp_step: int, base: int, addr32: bool) -> None:
    """The operands of a one-byte opcode."""
    op = insn.opcode
    reg = insn.reg & 7
    out = insn.accesses
    sp = g[RSP]
    mask = 0xFFFFFFFF if addr32 else _MASK
    kind = 0
    if op < 0x40:
        kind = 0 if op & 7 > 3 else R if op & 2 or op & 0x38 == 0x38 else RMW
    elif 0x50 <= op <= 0x57 or op in (0x68, 0x6A, 0x9C, 0xE8, 0xC8):
        out.append(Access(sp - (8 if op in (0xE8, 0xC8) else sp_step), W, True))
    elif 0x58 <= op <= 0x5F or op in (0x9D, 0xC2, 0xC3, 0xCA, 0xCB, 0xCF):
        out.append(Access(sp, R, True))
    elif op == 0xC9:
        out.append(Access(g[RBP], R, True))
    elif op in (0x80, 0x81, 0x83):
        kind = R if reg == 7 else RMW
    elif op in (0x86, 0x87) or op in (0xC0, 0xC1) or 0xD0 <= op <= 0xD3:
        kind = RMW
    elif op in (0x88, 0x89, 0x8C, 0xC6, 0xC7, 0xA2, 0xA3):
        kind = W
    elif op == 0x8F:
        out.append(Access(sp, R, True))
        kind = W
    elif op in (0x63, 0x69, 0x6B, 0x84, 0x85, 0x8A, 0x8B, 0x8E, 0xA0, 0xA1):
        kind = R
    elif op in (0xA4, 0xA5):
        out.append(Access(base + (g[RSI] & mask), R))
        out.append(Access(g[RDI] & mask, W))
    elif op in (0xA6, 0xA7):
        out.append(Access(g[RDI] & mask, R))
        out.append(Access(base + (g[RSI] & mask), R))
    elif op in (0xAA, 0xAB, 0x6C, 0x6D):
        out.append(Access(g[RDI] & mask, W))
    elif op in (0xAC, 0xAD, 0x6E, 0x6F):
        out.append(Access(base + (g[RSI] & mask), R))
    elif op in (0xAE, 0xAF):
        out.append(Access(g[RDI] & mask, R))
    elif op == 0xD7:
        out.append(Access(base + (g[3] + (g[0] & 0xFF) & mask), R))
    elif 0xD8 <= op <= 0xDF:
        kind = W if _X87_STORES.get(op, 0) >> reg & 1 else R
    elif op in (0xF6, 0xF7):
        kind = RMW if reg in (2, 3) else R
    elif op in (0xFE, 0xFF):
        kind = RMW if reg < 2 else R
    if kind and ea >= 0:
        out.append(Access(ea, kind, stack))
    if op == 0xFF and reg in (2, 6):
        out.append(Access(sp - (8 if reg == 2 else sp_step), W, True))


def _two_byte(insn: Insn, g: Sequence[int], ea: int, stack: bool, opsize: int, op16: bool, rep: int, base: int) -> None:
    """The operands of an opcode that begins with 0F."""
    op = insn.opcode
    reg = insn.reg & 7
    out = insn.accesses
    low = op & 0xFF
    if op in (0x0FA0, 0x0FA8):
        out.append(Access(g[RSP] - 8, W, True))
    elif op in (0x0FA1, 0x0FA9):
        out.append(Access(g[RSP], R, True))
    elif op == 0x0FF7:
        out.append(Access(base + g[RDI], W))
    if ea < 0 or (op in (0x0F01,) and reg == 7):
        return
    kind = R
    size = 1
    if op >= 0x0F3800:
        if (op == 0x0F38F1 and rep != 0xF2) or 0x0F3A14 <= op <= 0x0F3A17:
            kind = W
    elif low in _NO_ACCESS_0F:
        return
    elif low in _STORE_0F:
        kind = W
    elif low in _MODIFY_0F:
        kind = RMW
    elif low == 0x7E:
        kind = R if rep == 0xF3 else W
    elif low == 0xBA:
        kind = R if reg == 4 else RMW
    elif low == 0xAE:
        kind = W if reg in (0, 3, 4, 6) else R
        size = 512 if reg < 2 else 1
    elif low == 0x00:
        kind = W if reg < 2 else R
    elif low == 0x01:
        kind = W if reg in (0, 1, 4) else R
    if low in _BIT_OFFSET_0F and op < 0x0F3800:
        bits = opsize * 8
        offset = g[insn.reg] & (1 << bits) - 1
        offset -= (offset >> bits - 1) << bits
        ea += (offset // bits) * opsize
    out.append(Access(ea, kind, stack, size))
