# SPDX-License-Identifier: GPL-2.0-or-later
"""Argument registers as the C prototypes take them (what __MAP and __SC_CAST do), and results as registers take them."""

from __future__ import annotations


def s32(value: int) -> int:
    """`int`: the low 32 bits, signed."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value & 0x80000000 else value


def u32(value: int) -> int:
    """`unsigned int`."""
    return value & 0xFFFFFFFF


def s64(value: int) -> int:
    """`long`."""
    return value - 0x10000000000000000 if value & 0x8000000000000000 else value
