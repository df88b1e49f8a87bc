# SPDX-License-Identifier: GPL-2.0-or-later
"""Unicorn's private CPU state, through uc_context_save: what its register interface does not show of an exception.

In CPUX86State stand, in this order: error_code, exception_is_int (4 bytes each), exception_next_eip (8), dr[8] (64),
four breakpoint pointers (32), old_exception (4). Where they begin is a constant of the library's build: a throw-away CPU
that runs one `ud2` shows it, when the process meets its first exception.
"""

from __future__ import annotations

import ctypes
import mmap

from mmscope.cpu import unicorn as U
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

#: Where the throw-away CPU has its page, and what it executes.
_PROBE: Final = 0x5A5A5000
_UD2: Final = b"\x0f\x0b"


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

    def read(self) -> bytes:
        """The copy."""
        return ctypes.string_at(self._at, self._size)

    def save(self) -> None:
        """Copy the CPU's state (5.6 KB, 0.2 us)."""
        self._lib.uc_context_save(self._uc, self._at)

    def restore(self) -> None:
        """Load the copy."""
        self._lib.uc_context_restore(self._uc, self._at)

    def take_exception(self) -> tuple[bool, int]:
        """The exception just raised is delivered: whether it was `int n`, and its error code.

        QEMU sets old_exception back to -1 when it delivers through the IDT, which never happens here; left alone, the next
        exception would become a double fault and the third would halt the CPU for good.
        """
        self.save()
        at = self._at + (self._lib.next_eip_offset or find_next_eip(self._lib))
        is_int = ctypes.string_at(at + _IS_INT, 4) != b"\0\0\0\0"
        error_code = int.from_bytes(ctypes.string_at(at + _ERROR_CODE, 4), "little")
        if ctypes.string_at(at + _OLD_EXCEPTION, 4) != _NONE:
            ctypes.memmove(at + _OLD_EXCEPTION, _NONE, 4)
            self.restore()
        return is_int, error_code

    def free(self) -> None:
        """uc_context_free."""
        self._lib.uc_context_free(self._at)


def find_next_eip(lib: LibUnicorn) -> int:
    """Offset of exception_next_eip in a context: a CPU whose first instruction faulted has RIP there, and -1 in old_exception.

    (In general it is not RIP: QEMU takes it before it has worked out which instruction of a block it was.)
    """
    handle = ctypes.c_void_p()
    lib.check(lib.uc_open(U.UC_ARCH_X86, U.UC_MODE_64, ctypes.addressof(handle)), "open")
    assert handle.value is not None
    uc = handle.value
    with mmap.mmap(-1, 4096) as page:
        page[:2] = _UD2
        code = (ctypes.c_char * 4096).from_buffer(page)
        lib.check(lib.uc_mem_map_ptr(uc, _PROBE, 4096, U.UC_PROT_ALL, ctypes.addressof(code)), "map")
        context = CpuContext(lib, uc)
        context.save()
        before = context.read()
        lib.uc_emu_start(uc, _PROBE, _PROBE + 2, 0, 0)
        context.save()
        now = context.read()
        context.free()
        lib.uc_close(uc)
        del code
    word = _PROBE.to_bytes(8, "little")
    places = [
        i
        for i in range(8, len(now) - _OLD_EXCEPTION - 4, 8)
        if now[i : i + 8] == word and before[i + _OLD_EXCEPTION : i + _OLD_EXCEPTION + 4] == _NONE
    ]
    if len(places) != 1:
        raise UcError(f"unicorn: exception state not found (candidates {places}); version 2.1.4 is needed")
    lib.next_eip_offset = places[0]
    return places[0]
