# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU 0: the part of the hardware that memory management meets: CR2, CR3, the page walk, the TLB, and access to RAM.

The walk reads the entries in RAM as a processor does; nothing in here knows struct page or struct mm. An entry:

    63   62..59  58..52  51..............12  11..9   8  7  6  5  4   3   2   1   0
    NX   pkey    soft    physical >> 12      soft    G  PS D  A  PCD PWT U/S R/W P
"""

from __future__ import annotations

from mmscope.kernel.include.errno import KernelBug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "Cpu", "X86_PF_INSTR", "X86_PF_PROT", "X86_PF_RSVD", "X86_PF_USER", "X86_PF_WRITE", "clear_page", "copy_page", "phys_read",
    "phys_write",
]  # fmt: skip

# The #PF error code (asm/trap_pf.h).
X86_PF_PROT: Final = 0x1
X86_PF_WRITE: Final = 0x2
X86_PF_USER: Final = 0x4
X86_PF_RSVD: Final = 0x8
X86_PF_INSTR: Final = 0x10

_ENTRY_P: Final = 0x1
_ENTRY_RW: Final = 0x2
_ENTRY_US: Final = 0x4
_ENTRY_A: Final = 0x20
_ENTRY_D: Final = 0x40
_ENTRY_PS: Final = 0x80
_ENTRY_ADDR: Final = 0x000FFFFFFFFFF000
#: MAXPHYADDR is 46: address bits that must be zero.
_ENTRY_RSVD: Final = 0x000FC00000000000

#: What a TLB entry's low bits can say; the same bits as in the error code.
_TLB_PERMS: Final = X86_PF_WRITE | X86_PF_USER | X86_PF_INSTR

#: Beyond that many single pages the engine is told to flush all.
_PENDING_MAX: Final = 64

_ZERO_PAGE: Final = bytes(4096)


def _fxsave_reset() -> bytes:
    """The FXSAVE image after reset: FCW 0x37f, MXCSR 0x1f80, MXCSR_MASK 0xffff."""
    return b"\x7f\x03" + bytes(22) + b"\x80\x1f\0\0\xff\xff\0\0" + bytes(480)


def _fxrstor_nothing(image: bytes | None) -> None:
    """No engine is attached: there are no FPU registers to load."""


class Cpu:
    """The processor's memory side."""

    def __init__(self, k: Kernel) -> None:
        self.words = k.words
        self.nr_words = k.config.ram >> 3
        #: Physical address of the PML4, bytes.
        self.cr3 = 0
        #: Address and error code of the last failed translation.
        self.cr2 = 0
        self.error_code = 0
        #: CR0.WP: supervisor writes respect R/W. Linux always sets it.
        self.cr0_wp = True
        #: vpn -> physical page | permissions (_TLB_PERMS; WRITE only once D is set). Stale until flushed, as in hardware.
        self.tlb: dict[int, int] = {}
        #: Some TLB entry is a piece of a 2 MiB or 1 GiB page: INVLPG drops all pieces.
        self._tlb_has_large = False
        #: What the engine's own TLB must forget before the guest goes on: page addresses, or all.
        self.pending_flush: list[int] = []
        self.pending_flush_all = False
        #: Frames that the engine ever filled executable, and those of them written by the host side since.
        self.code_frames: set[int] = set()
        self.stale_code: list[int] = []
        #: The engine's FPU/SSE state, 512 bytes; fxrstor(None) loads that of after FNINIT.
        self.fxsave: Callable[[], bytes] = _fxsave_reset
        self.fxrstor: Callable[[bytes | None], None] = _fxrstor_nothing

    def translate(self, vaddr: int, access: int) -> int:
        """Physical address of `vaddr` for `access` (X86_PF_WRITE | _USER | _INSTR; 0 = supervisor read).

        -1: page fault, see cr2 and error_code. -2: not canonical, #GP.
        """
        entry = self.tlb.get(vaddr >> 12)
        if entry is not None:
            if access & ~entry & _TLB_PERMS == 0:
                return (entry & -4096) | (vaddr & 4095)
            # Denied, or a first write: the processor drops the entry and looks at RAM before it faults.
            del self.tlb[vaddr >> 12]
        entry = self.walk(vaddr, access)
        if entry < 0:
            return entry
        self.tlb[vaddr >> 12] = entry
        return (entry & -4096) | (vaddr & 4095)

    def tlb_fill(self, vaddr: int, access: int) -> int:
        """The engine's TLB miss in ring 3: physical page | 1 readable | 2 writable | 4 executable; -1, -2 as translate().

        Writable only once D is set, so that the first store comes here too. X86_PF_USER is implied.
        """
        entry = self.walk(vaddr, access | X86_PF_USER)
        if entry < 0:
            return entry
        fill = (entry & -4096) | 1
        if entry & X86_PF_WRITE:
            fill |= 2
        if entry & X86_PF_INSTR:
            fill |= 4
            self.code_frames.add(entry >> 12)
        return fill

    def walk(self, vaddr: int, access: int) -> int:
        """Walk the tables in RAM without the TLB; set A in each level and, for a write, D in the leaf.

        The TLB entry for the page, or -1 / -2 as translate().
        """
        top = vaddr >> 47
        if top != 0 and top != 0x1FFFF:
            return -2
        words = self.words
        table: i64 = self.cr3
        shift = 39
        rights: i64 = _ENTRY_RW | _ENTRY_US
        nx = False
        while True:
            idx: i64 = (table >> 3) + ((vaddr >> shift) & 511)
            if idx >= self.nr_words:
                raise KernelBug(f"page walk of {vaddr:#x}: table at {table:#x} (level shift {shift}) is outside RAM")
            entry: i64 = words[idx]
            if entry & _ENTRY_P == 0:
                return self._fault(vaddr, access)
            if entry & _ENTRY_RSVD:
                return self._fault(vaddr, access | X86_PF_PROT | X86_PF_RSVD)
            rights &= entry
            if entry < 0:
                nx = True
            if shift == 12 or (entry & _ENTRY_PS and shift != 39):
                break
            if entry & _ENTRY_A == 0:
                words[idx] = entry | _ENTRY_A
            table = entry & _ENTRY_ADDR
            shift -= 9
        if (
            (access & X86_PF_USER and rights & _ENTRY_US == 0)
            or (access & X86_PF_INSTR and nx)
            or (access & X86_PF_WRITE and rights & _ENTRY_RW == 0 and (access & X86_PF_USER or self.cr0_wp))
        ):
            return self._fault(vaddr, access | X86_PF_PROT)
        used: i64 = entry | _ENTRY_A
        if access & X86_PF_WRITE:
            used |= _ENTRY_D
        if used != entry:
            words[idx] = used
        offset_mask = (1 << shift) - 1
        frame: int = entry & _ENTRY_ADDR & ~offset_mask
        if shift != 12:
            frame |= vaddr & offset_mask & -4096
            self._tlb_has_large = True
        if rights & _ENTRY_US:
            frame |= X86_PF_USER
        if rights & _ENTRY_RW and used & _ENTRY_D:
            frame |= X86_PF_WRITE
        if not nx:
            frame |= X86_PF_INSTR
        return frame

    def _fault(self, vaddr: int, error_code: int) -> int:
        self.cr2 = vaddr
        self.error_code = error_code
        return -1

    def load_cr3(self, pgd_phys: int) -> None:
        """mov cr3: another address space; without PCIDs every translation is forgotten."""
        self.cr3 = pgd_phys
        self.flush_all()

    def invlpg(self, addr: int) -> None:
        """Forget the translation of the page at `addr`."""
        if self._tlb_has_large:
            self.flush_all()
            return
        self.tlb.pop(addr >> 12, None)
        if not self.pending_flush_all:
            self.pending_flush.append(addr & -4096)
            if len(self.pending_flush) > _PENDING_MAX:
                self._pend_all()

    def flush_all(self) -> None:
        """Forget every translation."""
        self.tlb.clear()
        self._tlb_has_large = False
        self._pend_all()

    def _pend_all(self) -> None:
        self.pending_flush_all = True
        self.pending_flush.clear()

    def note_phys_write(self, first_pfn: int, last_pfn: int) -> None:
        """The host side wrote these frames: code translated from them is stale."""
        for pfn in range(first_pfn, last_pfn + 1):
            if pfn in self.code_frames:
                self.stale_code.append(pfn)


def phys_read(k: Kernel, paddr: int, n: int) -> bytes:
    """`n` bytes of RAM."""
    return bytes(k.mem[paddr : paddr + n])


def phys_write(k: Kernel, paddr: int, data: bytes) -> None:
    """Write RAM from the host side."""
    n = len(data)
    k.mem[paddr : paddr + n] = data
    if k.cpu.code_frames and n:
        k.cpu.note_phys_write(paddr >> 12, (paddr + n - 1) >> 12)


def clear_page(k: Kernel, pfn: int) -> None:
    """Zero a frame."""
    paddr = pfn << 12
    k.mem[paddr : paddr + 4096] = _ZERO_PAGE
    cpu = k.cpu
    if cpu.code_frames and pfn in cpu.code_frames:
        cpu.stale_code.append(pfn)


def copy_page(k: Kernel, dst_pfn: int, src_pfn: int) -> None:
    """Copy one frame to another."""
    k.ram.move(dst_pfn << 12, src_pfn << 12, 4096)
    cpu = k.cpu
    if cpu.code_frames and dst_pfn in cpu.code_frames:
        cpu.stale_code.append(dst_pfn)
