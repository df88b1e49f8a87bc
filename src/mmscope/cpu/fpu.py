# SPDX-License-Identifier: GPL-2.0-or-later
"""The x87 and SSE registers of the CPU as the 512 bytes of FXSAVE64 (Intel SDM vol. 1, 10.5.1).

0 FCW 2 FSW 4 FTW(abridged) 6 FOP 8 FIP 16 FDP 24 MXCSR 28 MXCSR_MASK 32 ST0..ST7 (16 each) 160 XMM0..15 416 reserved
"""

from __future__ import annotations

import struct

from mmscope.cpu.unicorn import (
    UC_X86_REG_FDP,
    UC_X86_REG_FIP,
    UC_X86_REG_FOP,
    UC_X86_REG_FP0,
    UC_X86_REG_FPCW,
    UC_X86_REG_FPSW,
    UC_X86_REG_FPTAG,
    UC_X86_REG_MXCSR,
    UC_X86_REG_XMM0,
    RegBatch,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.cpu.unicorn import LibUnicorn

FXSAVE_SIZE: Final = 512
MXCSR_MASK: Final = 0xFFFF

_HEAD: Final = struct.Struct("<HHBxHQQII")


_INITIAL: Final = b"\x7f\x03" + bytes(22) + b"\x80\x1f\0\0" + bytes(484)


class Fpu:
    """fxsave and fxrstor of one CPU, by its register interface (the guest's TLB is not touched)."""

    def __init__(self, lib: LibUnicorn, uc: int) -> None:
        # FSW first: it holds TOP.
        head = (UC_X86_REG_FPSW, UC_X86_REG_FPCW, UC_X86_REG_FPTAG, UC_X86_REG_FOP, UC_X86_REG_FIP, UC_X86_REG_FDP)
        self._head = RegBatch(lib, uc, (*head, UC_X86_REG_MXCSR))
        self._st = RegBatch(lib, uc, tuple(range(UC_X86_REG_FP0, UC_X86_REG_FP0 + 8)), 2)
        self._xmm = RegBatch(lib, uc, tuple(range(UC_X86_REG_XMM0, UC_X86_REG_XMM0 + 16)), 2)

    def fxsave(self) -> bytes:
        """The image. Registers stand in stack order (ST0 first), tags in physical order, as FXSAVE has both."""
        fsw, fcw, tags, fop, fip, fdp, mxcsr = self._head.read()
        abridged = 0
        for i in range(8):
            if tags >> 2 * i & 3 != 3:
                abridged |= 1 << i
        self._st.read()
        self._xmm.read()
        st = bytes(self._st.values)
        top = (fsw >> 11 & 7) * 16
        st = st[top:] + st[:top]
        head = _HEAD.pack(fcw & 0xFFFF, fsw & 0xFFFF, abridged, fop & 0x7FF, fip, fdp, mxcsr & 0xFFFFFFFF, MXCSR_MASK)
        return head + st + bytes(self._xmm.values) + bytes(96)

    def fxrstor(self, image: bytes | None) -> None:
        """Load the registers from `image`; None: the initial state."""
        if image is None:
            image = _INITIAL
        fcw, fsw, abridged, fop, fip, fdp, mxcsr, _ = _HEAD.unpack_from(image)
        tags = 0
        for i in range(8):
            if not abridged >> i & 1:
                tags |= 3 << 2 * i
        values = self._head.values
        values[0], values[1], values[2], values[3], values[4], values[5], values[6] = fsw, fcw, tags, fop, fip, fdp, mxcsr
        self._head.write()
        at = 128 - (fsw >> 11 & 7) * 16
        st = image[32:160]
        self._st.values.cast("B")[:] = st[at:] + st[:at]
        self._st.write()
        self._xmm.values.cast("B")[:] = image[160:416]
        self._xmm.write()
