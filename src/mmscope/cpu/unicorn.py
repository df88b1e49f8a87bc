# SPDX-License-Identifier: GPL-2.0-or-later
"""A thin ctypes binding of libunicorn 2.1: only what this package calls, only from the shared library.

The `unicorn` package's own Python costs 30 ms to import, this file 7 (4 of them are the dynamic linker's: 74,638 relocations).
Functions that return at once are called with the GIL held (PyDLL); only uc_emu_start releases it, so that the watcher
thread of Ctrl-C runs meanwhile.
"""

from __future__ import annotations

import ctypes
import os.path
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

UC_ARCH_X86: Final = 4
UC_MODE_64: Final = 8
UC_CPU_X86_NEHALEM: Final = 15

UC_PROT_ALL: Final = 7

UC_ERR_OK: Final = 0
UC_ERR_INSN_INVALID: Final = 10

UC_MEM_WRITE: Final = 17
UC_MEM_FETCH: Final = 18

UC_HOOK_INTR: Final = 1 << 0
UC_HOOK_INSN: Final = 1 << 1
UC_HOOK_BLOCK: Final = 1 << 3
UC_HOOK_TLB_FILL: Final = 1 << 17

UC_X86_INS_IN: Final = 218
UC_X86_INS_OUT: Final = 500
UC_X86_INS_SYSCALL: Final = 699
UC_X86_INS_SYSENTER: Final = 700

UC_X86_REG_FPSW: Final = 31
UC_X86_REG_RAX: Final = 35
UC_X86_REG_RBP: Final = 36
UC_X86_REG_RBX: Final = 37
UC_X86_REG_RCX: Final = 38
UC_X86_REG_RDI: Final = 39
UC_X86_REG_RDX: Final = 40
UC_X86_REG_RIP: Final = 41
UC_X86_REG_RSI: Final = 43
UC_X86_REG_RSP: Final = 44
UC_X86_REG_CR0: Final = 50
UC_X86_REG_CR4: Final = 54
UC_X86_REG_FP0: Final = 82
UC_X86_REG_R8: Final = 106
UC_X86_REG_XMM0: Final = 122
UC_X86_REG_GDTR: Final = 243
UC_X86_REG_FPCW: Final = 246
UC_X86_REG_FPTAG: Final = 247
UC_X86_REG_MXCSR: Final = 249
UC_X86_REG_FS_BASE: Final = 250
UC_X86_REG_GS_BASE: Final = 251
UC_X86_REG_RFLAGS: Final = 253
UC_X86_REG_FIP: Final = 254
UC_X86_REG_FDP: Final = 256
UC_X86_REG_FOP: Final = 258


def _ctl(kind: int, nr: int, rw: int) -> int:
    """UC_CTL(): the control code of `kind` with `nr` arguments."""
    return kind | nr << 26 | rw << 30


UC_CTL_UC_USE_EXITS: Final = _ctl(4, 1, 1)
UC_CTL_CPU_MODEL: Final = _ctl(7, 1, 1)
UC_CTL_TB_REMOVE_CACHE: Final = _ctl(9, 2, 1)
UC_CTL_TB_FLUSH: Final = _ctl(10, 0, 1)
UC_CTL_TLB_FLUSH: Final = _ctl(11, 0, 1)
UC_CTL_TLB_TYPE: Final = _ctl(12, 1, 1)
UC_TLB_VIRTUAL: Final = 1


class UcX86Mmr(ctypes.Structure):
    """uc_x86_mmr: GDTR and its like."""

    _fields_ = (
        ("selector", ctypes.c_uint16),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


#: bool fill(uc, vaddr page, UC_MEM_*, uc_tlb_entry *result, user_data)
TLB_FILL_CB = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
#: void intr(uc, vector, user_data)
INTR_CB = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
#: int insn(uc, user_data): syscall, sysenter
INSN_CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
#: uint32_t in(uc, port, size, user_data)
IN_CB = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p)
#: void out(uc, port, size, value, user_data)
OUT_CB = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)


class UcError(RuntimeError):
    """Unicorn refused something that the engine relies on, or is not installed."""


def find_library() -> str:
    """Path of libunicorn.so.2 inside the installed `unicorn` package, without importing that package."""
    for directory in sys.path:
        path = os.path.join(directory or ".", "unicorn", "lib", "libunicorn.so.2")
        if os.path.isfile(path):
            return path
    raise UcError("libunicorn.so.2 is not in sys.path: install it with `pip install unicorn==2.1.4`")


class LibUnicorn:
    """The library's entry points, typed."""

    def __init__(self, path: str) -> None:
        u64, ptr, i32 = ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int
        #: Where exception_next_eip stands in a saved context (context.py finds it); 0 = not known yet.
        self.next_eip_offset = 0
        slow = ctypes.CDLL(path)
        fast = ctypes.PyDLL(path, handle=slow._handle)
        self.uc_open: Any = fast.uc_open
        self.uc_open.argtypes = (i32, i32, ptr)
        self.uc_close: Any = fast.uc_close
        self.uc_close.argtypes = (ptr,)
        self.uc_strerror: Any = fast.uc_strerror
        self.uc_strerror.argtypes = (i32,)
        self.uc_strerror.restype = ctypes.c_char_p
        # Variadic in C. Every argument is an integer or a pointer, which the x86-64 and AArch64 Linux ABIs pass alike.
        self.uc_ctl: Any = fast.uc_ctl
        self.uc_ctl.argtypes = (ptr, ctypes.c_uint32, u64, u64)
        self.uc_hook_add: Any = fast.uc_hook_add
        self.uc_hook_add.argtypes = (ptr, ptr, i32, ptr, ptr, u64, u64, u64)
        self.uc_mem_map_ptr: Any = fast.uc_mem_map_ptr
        self.uc_mem_map_ptr.argtypes = (ptr, u64, u64, ctypes.c_uint32, ptr)
        self.uc_reg_read: Any = fast.uc_reg_read
        self.uc_reg_read.argtypes = (ptr, i32, ptr)
        self.uc_reg_write: Any = fast.uc_reg_write
        self.uc_reg_write.argtypes = (ptr, i32, ptr)
        self.uc_reg_read_batch: Any = fast.uc_reg_read_batch
        self.uc_reg_read_batch.argtypes = (ptr, ptr, ptr, i32)
        self.uc_reg_write_batch: Any = fast.uc_reg_write_batch
        self.uc_reg_write_batch.argtypes = (ptr, ptr, ptr, i32)
        self.uc_context_alloc: Any = fast.uc_context_alloc
        self.uc_context_alloc.argtypes = (ptr, ptr)
        self.uc_context_size: Any = fast.uc_context_size
        self.uc_context_size.argtypes = (ptr,)
        self.uc_context_size.restype = ctypes.c_size_t
        self.uc_context_save: Any = fast.uc_context_save
        self.uc_context_save.argtypes = (ptr, ptr)
        self.uc_context_restore: Any = fast.uc_context_restore
        self.uc_context_restore.argtypes = (ptr, ptr)
        self.uc_context_free: Any = fast.uc_context_free
        self.uc_context_free.argtypes = (ptr,)
        self.uc_emu_start: Any = slow.uc_emu_start
        self.uc_emu_start.argtypes = (ptr, u64, u64, u64, u64)
        self.uc_emu_stop: Any = fast.uc_emu_stop
        self.uc_emu_stop.argtypes = (ptr,)

    def check(self, err: int, what: str) -> None:
        """Raise UcError unless `err` is UC_ERR_OK."""
        if err != UC_ERR_OK:
            raise UcError(f"unicorn: {what}: {self.uc_strerror(err).decode()}")


_library: list[LibUnicorn] = []


def libunicorn() -> LibUnicorn:
    """The library, loaded at the first call (a process loads a shared library once, whatever the number of machines)."""
    if not _library:
        _library.append(LibUnicorn(find_library()))
    return _library[0]


class RegBatch:
    """A fixed set of registers, read or written by one call. `values` are their slots, `width` 8-byte words each."""

    def __init__(self, lib: LibUnicorn, uc: int, ids: tuple[int, ...], width: int = 1) -> None:
        n = len(ids)
        self._read = lib.uc_reg_read_batch
        self._write = lib.uc_reg_write_batch
        self._uc = uc
        self._buf = (ctypes.c_uint64 * (n * width))()
        base = ctypes.addressof(self._buf)
        self._ids = (ctypes.c_int * n)(*ids)
        self._ptrs = (ctypes.c_void_p * n)(*[base + 8 * width * i for i in range(n)])
        self._a = ctypes.addressof(self._ids)
        self._b = ctypes.addressof(self._ptrs)
        self._n = n
        self.values = memoryview(self._buf).cast("B").cast("Q")

    def read(self) -> list[int]:
        """The registers' values."""
        self._read(self._uc, self._a, self._b, self._n)
        return self.values.tolist()

    def write(self, n: int = 0) -> None:
        """Load `values` into the registers (only the first `n` if given)."""
        self._write(self._uc, self._a, self._b, n or self._n)
