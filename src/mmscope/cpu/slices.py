# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting translation blocks, to interrupt a guest that makes no kernel entry: the same block in every run.

Unicorn's own `count` makes the guest 12 times slower, and throws all translations away whenever it changes between on and off.
A block hook costs a fifth if it is machine code: four instructions, made here for x86-64 hosts. Elsewhere it is a Python
function that does the same, slowly.
"""

from __future__ import annotations

import ctypes
import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

#: void block(uc, address, size, user_data)
BLOCK_CB = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)

#: void block(rdi = uc, rsi = address, edx = size, rcx = {int64 budget, function stop})
_X86_64: Final = (
    b"\x48\xff\x09"  # dec qword [rcx]
    b"\x78\x01"  # js +1
    b"\xc3"  # ret
    b"\xff\x61\x08"  # jmp [rcx + 8]: stop(uc)
)


def block_counter() -> Any:
    """The hook as machine code, an object that keeps it alive and whose address it is; None if this host cannot have it."""
    if os.uname().machine != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        # A host that forbids memory which is writable and executable.
        return None
    page[: len(_X86_64)] = _X86_64
    return (ctypes.c_char * len(_X86_64)).from_buffer(page)
