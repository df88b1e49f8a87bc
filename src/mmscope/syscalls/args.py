# SPDX-License-Identifier: GPL-2.0-or-later
"""Argument registers as the C prototypes take them (what __MAP and __SC_CAST do), and results as registers take them."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user
from mmscope.kernel.include.errno import E2BIG, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


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


def copy_struct_from_user(k: Kernel, addr: int, usize: int, ksize: int) -> bytes:
    """A structure that may be older (padded with zeroes) or newer than ours (E2BIG unless the rest is zero)."""
    raw = copy_from_user(k, addr, usize)
    if any(raw[ksize:]):
        raise KernelError(E2BIG)
    return raw[:ksize].ljust(ksize, b"\0")
