# SPDX-License-Identifier: GPL-2.0-or-later
"""Unicorn's private CPU state, through uc_context_save: what its register interface does not show of an exception.

In CPUX86State stand, in this order: error_code, exception_is_int (4 bytes each), exception_next_eip (8), dr[8] (64),
four breakpoint pointers (32), old_exception (4). Where they begin is found at a process's first exception, and checked.
"""

from __future__ import annotations

import ctypes

from mmscope.cpu.unicorn import UcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.cpu.unicorn import LibUnicorn

# Offsets from exception_next_eip.
_ERROR_CODE: Final = -8
_IS_INT: Final = -4
_OLD_EXCEPTION: Final = 104

_NONE: Final = b"\xff\xff\xff\xff"


class CpuContext:
    """A saved copy of one CPU. Made before its first exception."""

    def __init__(self, lib: LibUnicorn, uc: int) -> None:
        self._lib = lib
        self._uc = uc
        out = ctypes.c_void_p()
        lib.check(lib.uc_context_alloc(uc, ctypes.addressof(out)), "context")
        assert out.value is not None
        self._at = out.value
        self._size: int = lib.uc_context_size(uc)
        self.save()
        self._pristine = ctypes.string_at(self._at, self._size) if not lib.next_eip_offset else b""

    def save(self) -> None:
        """Copy the CPU's state (5.6 KB, 0.2 us)."""
        self._lib.uc_context_save(self._uc, self._at)

    def restore(self) -> None:
        """Load the copy."""
        self._lib.uc_context_restore(self._uc, self._at)

    def take_exception(self, rip: int) -> tuple[bool, int]:
        """The exception just raised is delivered: whether it was `int n`, and its error code.

        QEMU sets old_exception back to -1 when it delivers through the IDT, which never happens here; left alone, the next
        exception would become a double fault and the third would halt the CPU for good.
        """
        self.save()
        at = self._at + (self._lib.next_eip_offset or self._find(rip))
        is_int = ctypes.string_at(at + _IS_INT, 4) != b"\0\0\0\0"
        error_code = int.from_bytes(ctypes.string_at(at + _ERROR_CODE, 4), "little")
        if ctypes.string_at(at + _OLD_EXCEPTION, 4) != _NONE:
            ctypes.memmove(at + _OLD_EXCEPTION, _NONE, 4)
            self.restore()
        return is_int, error_code

    def _find(self, rip: int) -> int:
        """Offset of exception_next_eip: it holds RIP now, and old_exception was -1 in the CPU that had never faulted."""
        now = ctypes.string_at(self._at, self._size)
        word = rip.to_bytes(8, "little")
        places = [
            i
            for i in range(8, self._size - _OLD_EXCEPTION - 4, 8)
            if now[i : i + 8] == word and self._pristine[i + _OLD_EXCEPTION : i + _OLD_EXCEPTION + 4] == _NONE
        ]
        if len(places) != 1:
            raise UcError(f"unicorn: exception state not found (candidates {places}); version 2.1.4 is needed")
        self._lib.next_eip_offset = places[0]
        return places[0]

    def free(self) -> None:
        """uc_context_free."""
        self._lib.uc_context_free(self._at)
