# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own access to user memory (asm/uaccess.h, lib/usercopy.c, lib/strncpy_from_user.c).

Supervisor accesses through the processor's translation, page by page: they fault, fault in and fail as user accesses
do. Writing respects write protection (CR0.WP), so copy_to_user() breaks copy-on-write.
"""

from __future__ import annotations

import mmscope.kernel.arch.x86.fault as x86_fault
from mmscope.kernel.arch.x86.cpu import X86_PF_WRITE, phys_write
from mmscope.kernel.include.errno import EFAULT, KernelBug, KernelError
from mmscope.kernel.include.page import TASK_SIZE_MAX
from mmscope.kernel.include.ptrace import __KERNEL_CS, PtRegs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "access_ok", "clear_user", "copy_from_user", "copy_to_user", "copy_to_user_partial", "get_user", "put_user",
    "strncpy_from_user",
]  # fmt: skip

#: Faults at one address in a row: more than that and the handler makes no progress.
_MAX_FAULTS: Final = 8


def access_ok(addr: int, size: int) -> bool:
    """[addr, addr + size) lies below the end of user addresses."""
    return addr >= 0 and addr + size <= TASK_SIZE_MAX


def _user_page(k: Kernel, addr: int, access: int) -> int:
    """Physical address of `addr`, after the faults that it takes. Raises EFAULT."""
    cpu = k.cpu
    for _ in range(_MAX_FAULTS):
        paddr = cpu.translate(addr, access)
        if paddr >= 0:
            return paddr
        if paddr == -2:
            raise KernelError(EFAULT)
        regs = PtRegs()
        regs.cs = __KERNEL_CS
        x86_fault.exc_page_fault(k, regs, cpu.error_code, cpu.cr2)
    raise KernelBug(f"user access to {addr:#x} ({access=:#x}) faults {_MAX_FAULTS} times: {cpu.error_code=:#x}")


def user_page_writable(k: Kernel, addr: int) -> int:
    """Physical address of `addr` for a store, after its faults. Raises EFAULT."""
    return _user_page(k, addr, X86_PF_WRITE)


def copy_from_user(k: Kernel, addr: int, n: int) -> bytes:
    """`n` bytes of user memory; EFAULT unless all can be read."""
    if not access_ok(addr, n):
        raise KernelError(EFAULT)
    if n <= 0:
        return b""
    paddr = _user_page(k, addr, 0)
    first = 4096 - (addr & 4095)
    if n <= first:
        return bytes(k.mem[paddr : paddr + n])
    parts = [bytes(k.mem[paddr : paddr + first])]
    end = addr + n
    addr += first
    while addr < end:
        paddr = _user_page(k, addr, 0)
        parts.append(bytes(k.mem[paddr : paddr + min(4096, end - addr)]))
        addr += 4096
    return b"".join(parts)


def copy_to_user_partial(k: Kernel, addr: int, data: bytes) -> int:
    """Write user memory; bytes written before the first address that cannot be (len(data) if all)."""
    n = len(data)
    if n == 0 or not access_ok(addr, n):
        return 0
    done = 0
    try:
        paddr = _user_page(k, addr, X86_PF_WRITE)
        first = 4096 - (addr & 4095)
        if n <= first:
            phys_write(k, paddr, data)
            return n
        phys_write(k, paddr, data[:first])
        done = first
        while done < n:
            paddr = _user_page(k, addr + done, X86_PF_WRITE)
            chunk = data[done : done + 4096]
            phys_write(k, paddr, chunk)
            done += len(chunk)
    except KernelError:
        pass
    return done


def copy_to_user(k: Kernel, addr: int, data: bytes) -> None:
    """Write user memory. EFAULT, after writing what comes before the bad address, if not all can be written."""
    if copy_to_user_partial(k, addr, data) != len(data) or not access_ok(addr, len(data)):
        raise KernelError(EFAULT)


def get_user(k: Kernel, addr: int, size: int) -> int:
    """An unsigned little-endian value of `size` bytes."""
    return int.from_bytes(copy_from_user(k, addr, size), "little")


def put_user(k: Kernel, addr: int, value: int, size: int) -> None:
    """Store a value of `size` bytes, little-endian; excess high bits are dropped. All or nothing within a page."""
    copy_to_user(k, addr, (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little"))


def strncpy_from_user(k: Kernel, addr: int, maxlen: int) -> bytes:
    """The string at `addr` without its NUL; `maxlen` bytes if no NUL is among those. EFAULT if it runs into a bad address."""
    if maxlen <= 0:
        return b""
    if not 0 <= addr < TASK_SIZE_MAX:
        raise KernelError(EFAULT)
    limit = min(maxlen, TASK_SIZE_MAX - addr)
    parts: list[bytes] = []
    done = 0
    while done < limit:
        here = addr + done
        n = min(limit - done, 4096 - (here & 4095))
        paddr = _user_page(k, here, 0)
        chunk = bytes(k.mem[paddr : paddr + n])
        nul = chunk.find(b"\0")
        if nul >= 0:
            parts.append(chunk[:nul])
            return b"".join(parts)
        parts.append(chunk)
        done += n
    if done < maxlen:
        raise KernelError(EFAULT)
    return b"".join(parts)


def clear_user(k: Kernel, addr: int, n: int) -> None:
    """Zero user memory; EFAULT unless all can be written."""
    if not access_ok(addr, n):
        raise KernelError(EFAULT)
    end = addr + n
    while addr < end:
        size = min(4096 - (addr & 4095), end - addr)
        phys_write(k, _user_page(k, addr, X86_PF_WRITE), bytes(size))
        addr += size
