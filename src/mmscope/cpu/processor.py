# SPDX-License-Identifier: GPL-2.0-or-later
"""Processor: one Unicorn instance in ring 3 for ever, over the machine's RAM and page tables. What it holds, and what stops it.

Hooks never run kernel code: they note the event and stop. What an event means is the engine's business.
"""

from __future__ import annotations

import ctypes
import mmap
import struct

from mmscope.cpu import unicorn as U
from mmscope.cpu.context import CpuContext
from mmscope.cpu.decode import MAX_INSN
from mmscope.cpu.fpu import Fpu
from mmscope.cpu.slices import BLOCK_CB, block_counter
from mmscope.cpu.unicorn import IN_CB, INSN_CB, INTR_CB, OUT_CB, TLB_FILL_CB, RegBatch, UcError, UcX86Mmr, libunicorn
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_USER
from mmscope.kernel.include.ptrace import X86_EFLAGS_TF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

#: The CPU's private page: GDT and the way to ring 3. Its frame is beyond any RAM; its address is where Linux has the
#: GDT (cpu_entry_area), so that sgdt tells what it tells there. No guest access ever reaches it.
PRIVATE_PHYS: Final = 1 << 44
GDT: Final = 0xFFFFFE0000001000
_IRETQ: Final = GDT + 0x100
_IRET_FRAME: Final = GDT + 0x200
#: A frame behind it, and the last page below the canonical hole: never mapped, but an access may reach beyond it.
SCRATCH_PHYS: Final = PRIVATE_PHYS + 4096
LAST_PAGE: Final = 0x00007FFFFFFFF000
#: Address at which a frame is shown to Unicorn while its translations are dropped (where Linux has its direct map).
_DIRECT_MAP: Final = 0xFFFF888000000000

_CR0: Final = 0x00050033  # AM WP NE ET MP PE; in this mode the walk is ours, not PG's
_CR4: Final = 0x00000604  # OSXMMEXCPT OSFXSR TSD
_USER_FLAGS: Final = 0x00244FD5  # what PtRegs.flags may set: all of the user's, never IOPL, RF, VM

#: Entries of Unicorn's TLB at first; a flush doubles them if most are in use. Larger ones would cost more to flush.
_FIRST_TLB_SIZE: Final = 256
LARGEST_TLB_SIZE: Final = 8192

_NR_REGS: Final = 18
_RIP: Final = 16
RFLAGS: Final = 17
PAGE: Final = 0xFFFFFFFFFFFFF000

# What stopped the CPU.
EV_NONE: Final = 0
EV_SYSCALL: Final = 1
EV_FAULT: Final = 2
EV_INTR: Final = 3
#: A store to a frame that holds translated code, or a fetch from one with writable translations.
EV_CODE_STORE: Final = 4
EV_CODE_FETCH: Final = 5
EV_PORT: Final = 6
EV_SYSENTER: Final = 7

_fill_entry: Final = struct.Struct("<QQ").pack
_memmove: Final = ctypes.memmove


class Processor:
    """The CPU of one machine, between two entries to the kernel."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        lib = libunicorn()
        self._lib = lib
        self._uc = 0
        handle = ctypes.c_void_p()
        lib.check(lib.uc_open(U.UC_ARCH_X86, U.UC_MODE_64, ctypes.addressof(handle)), "open")
        assert handle.value is not None
        self._uc = uc = handle.value
        self._ctl(U.UC_CTL_CPU_MODEL, U.UC_CPU_X86_NEHALEM)
        self._ctl(U.UC_CTL_TLB_TYPE, U.UC_TLB_VIRTUAL)
        # An empty set of exits: no address, 0 included, stops the CPU.
        self._ctl(U.UC_CTL_UC_USE_EXITS, 1)
        self._ram: Any = ctypes.c_char.from_buffer(k.ram)
        lib.check(lib.uc_mem_map_ptr(uc, 0, k.config.ram, U.UC_PROT_ALL, ctypes.addressof(self._ram)), "map RAM")
        self._private_map = mmap.mmap(-1, 8192)
        self._private: Any = ctypes.c_char.from_buffer(self._private_map)
        lib.check(lib.uc_mem_map_ptr(uc, PRIVATE_PHYS, 8192, U.UC_PROT_ALL, ctypes.addressof(self._private)), "map GDT")

        r = U.UC_X86_REG_R8
        ids: tuple[int, ...]
        ids = (U.UC_X86_REG_RAX, U.UC_X86_REG_RCX, U.UC_X86_REG_RDX, U.UC_X86_REG_RBX, U.UC_X86_REG_RSP, U.UC_X86_REG_RBP)
        ids += (U.UC_X86_REG_RSI, U.UC_X86_REG_RDI, r, r + 1, r + 2, r + 3, r + 4, r + 5, r + 6, r + 7)
        #: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 RIP RFLAGS: the numbering of instructions.
        self._regs = RegBatch(lib, uc, (*ids, U.UC_X86_REG_RIP, U.UC_X86_REG_RFLAGS))
        self._slot = ctypes.c_uint64()
        #: What the CPU holds, as of the last stop.
        self._g: list[int] = [0] * _NR_REGS
        self._fsbase = self._gsbase = 0
        self._fpu = Fpu(lib, uc)

        #: Why the CPU stopped, and the event's data.
        self._event = EV_NONE
        self._fault_page = self._fault_type = self._fault_result = self._fault_code = 0
        self._vector = 0
        #: A SYSCALL with TF set has raised #DB, which counts for nothing.
        self._syscall_trapped = False
        #: An exception that a hook raised; it goes on after uc_emu_start.
        self._raised: BaseException | None = None
        #: Page -> physical page that fills of kernel addresses resolve to, while the engine itself needs them.
        self._kernel_pages: dict[int, int] = {}
        #: Frames to which the TLB holds writable translations that Unicorn does not watch for stores into code.
        self._writable: set[int] = set()
        #: Fills since the last flush, and how many of them call for a larger TLB.
        self._fills = 0
        self._many_fills = _FIRST_TLB_SIZE * 4
        #: Every fill fails: an I/O instruction has trapped in the middle of a translation block.
        self._frozen = False
        #: The frame that one step may store to though it holds translated code; -1 = none.
        self._granted = -1
        #: Stepping over the end of a page: where the last instruction stood; -1 = not stepping.
        self._step_from = -1

        #: Blocks that may still be executed, and uc_emu_stop; None: they are not counted (yet).
        self._budget: Any = None

        self._hooks: list[Any] = []
        self._hook(U.UC_HOOK_TLB_FILL, TLB_FILL_CB(self._tlb_fill))
        self._hook(U.UC_HOOK_INTR, INTR_CB(self._intr))
        self._hook(U.UC_HOOK_INSN, INSN_CB(self._syscall), U.UC_X86_INS_SYSCALL)
        self._hook(U.UC_HOOK_INSN, INSN_CB(self._sysenter), U.UC_X86_INS_SYSENTER)
        self._hook(U.UC_HOOK_INSN, IN_CB(self._port_in), U.UC_X86_INS_IN)
        self._hook(U.UC_HOOK_INSN, OUT_CB(self._port_out), U.UC_X86_INS_OUT)
        self._enter_ring3()
        self._context = CpuContext(lib, uc)
        k.cpu.fxsave = self._fpu.fxsave
        k.cpu.fxrstor = self._fpu.fxrstor
        self._fpu.fxrstor(None)

    # Set-up and tear-down

    def _ctl(self, control: int, a: int = 0, b: int = 0) -> None:
        self._lib.check(self._lib.uc_ctl(self._uc, control, a, b), f"control {control & 0xFFFF}")

    def _hook(self, kind: int, callback: Any, insn: int = 0) -> None:
        """Register `callback` for all addresses."""
        self._hooks.append(callback)
        out = ctypes.c_void_p()
        code = ctypes.cast(callback, ctypes.c_void_p).value
        self._lib.check(self._lib.uc_hook_add(self._uc, ctypes.addressof(out), kind, code, None, 1, 0, insn), "hook")

    def _write_reg(self, reg: int, value: int) -> None:
        self._slot.value = value
        self._lib.uc_reg_write(self._uc, reg, ctypes.addressof(self._slot))

    def _enter_ring3(self) -> None:
        """One iretq from ring 0 to ring 3, by a GDT that has Linux's user segments."""
        page = self._private_map
        # Entries 4 to 6: user32 code, user data (0x2b), user code (0x33), all with the accessed bit.
        struct.pack_into("<3Q", page, 4 * 8, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF)
        page[_IRETQ - GDT : _IRETQ - GDT + 2] = b"\x48\xcf"
        # The stop: ring 3 executes a syscall instruction of this very page.
        page[0x180:0x182] = b"\x0f\x05"
        struct.pack_into("<5Q", page, _IRET_FRAME - GDT, GDT + 0x180, 0x33, 0x202, 0, 0x2B)
        gdtr = UcX86Mmr(0, GDT, 0x7F, 0)
        self._lib.check(self._lib.uc_reg_write(self._uc, U.UC_X86_REG_GDTR, ctypes.addressof(gdtr)), "gdtr")
        self._write_reg(U.UC_X86_REG_CR0, _CR0)
        self._write_reg(U.UC_X86_REG_CR4, _CR4)
        self._write_reg(U.UC_X86_REG_RSP, _IRET_FRAME)
        self._kernel_pages[GDT] = PRIVATE_PHYS
        self._lib.check(self._lib.uc_emu_start(self._uc, _IRETQ, 0, 0, 0), "iretq")
        self._kernel_pages.clear()
        self._flush_tlb()
        self._g = self._regs.read()
        if self._raised is not None or self._event != EV_SYSCALL or self._g[_RIP] != GDT + 0x182:
            raise UcError(f"unicorn did not reach ring 3: event {self._event}, rip {self._g[_RIP]:#x}") from self._raised

    def close(self) -> None:
        """Free the CPU and let go of RAM. The machine's memory stays readable; nothing can run any more."""
        uc, self._uc = self._uc, 0
        if not uc:
            return
        self._context.free()
        self._lib.uc_close(uc)
        self._ram = self._private = None
        self._hooks.clear()

    def __del__(self) -> None:
        if getattr(self, "_uc", 0):
            self.close()

    # Hooks: note the event, stop the CPU

    def _stop(self) -> None:
        if self._uc:
            self._lib.uc_emu_stop(self._uc)

    def _tlb_fill(self, uc: int, page: int, kind: int, result: int, data: int) -> bool:
        """UC_HOOK_TLB_FILL: the page walk."""
        try:
            if self._frozen:
                return False
            k = self.k
            if self._kernel_pages and page in self._kernel_pages:
                _memmove(result, _fill_entry(self._kernel_pages[page], U.UC_PROT_ALL), 16)
                return True
            cpu = k.cpu
            entry = cpu.tlb_fill(page, 4 if kind == 16 else 6 if kind == 17 else 20)
            if entry < 0:
                self._event = EV_FAULT
                self._fault_page = page
                self._fault_type = kind
                self._fault_result = entry
                self._fault_code = cpu.error_code
                return False
            if entry & 6 == 2:
                # Unicorn watches stores only through executable translations. Other mappings of a frame that holds code
                # may be written only after its translations are gone.
                pfn = entry >> 12
                if pfn in cpu.code_frames and pfn != self._granted:
                    if kind == 17:
                        self._event = EV_CODE_STORE
                        self._fault_page = pfn
                        return False
                    entry &= ~2
                else:
                    self._writable.add(pfn)
            elif entry & 4 and kind == 18 and entry >> 12 in self._writable:
                self._event = EV_CODE_FETCH
                return False
            _memmove(result, _fill_entry(entry & -4096, entry & 7), 16)
            self._fills += 1
            if self._fills == self._many_fills:
                # The TLB is too small for this guest: its next flush makes it larger.
                self._lib.uc_emu_stop(uc)
            return True
        except BaseException as e:  # it would be lost in C
            self._raised = e
            return False

    def _intr(self, uc: int, vector: int, data: int) -> None:
        """UC_HOOK_INTR: an exception or `int n`."""
        if not self._frozen:
            if self._event == EV_SYSCALL:
                # TF: Unicorn steps over SYSCALL as over any instruction, but IA32_FMASK clears TF on the way in.
                self._syscall_trapped = True
            else:
                self._event = EV_INTR
                self._vector = vector
        self._lib.uc_emu_stop(uc)

    def _syscall(self, uc: int, data: int) -> int:
        if not self._frozen:
            self._event = EV_SYSCALL
        self._lib.uc_emu_stop(uc)
        return 0

    def _sysenter(self, uc: int, data: int) -> int:
        if not self._frozen:
            self._event = EV_SYSENTER
        self._lib.uc_emu_stop(uc)
        return 0

    def _port_in(self, uc: int, port: int, size: int, data: int) -> int:
        self._port_trap(uc)
        return 0

    def _port_out(self, uc: int, port: int, size: int, value: int, data: int) -> None:
        self._port_trap(uc)

    def _port_trap(self, uc: int) -> None:
        """IN or OUT, #GP in ring 3, but Unicorn lets them pass: keep the CPU's state of before, and let nothing reach memory."""
        if not self._frozen:
            self._event = EV_PORT
            self._context.save()
            self._frozen = True
            self._lib.uc_ctl(uc, U.UC_CTL_TLB_FLUSH, 0, 0)
        self._lib.uc_emu_stop(uc)

    def _count_blocks(self) -> None:
        """From now on the CPU counts the translation blocks that it enters, and stops when the budget is used up."""
        self._budget = budget = (ctypes.c_int64 * 2)()
        lib = self._lib
        code = block_counter()
        if code is not None:
            self._hooks.append(code)
            callback = ctypes.addressof(code)
            budget[1] = ctypes.cast(lib.uc_emu_stop, ctypes.c_void_p).value or 0
        else:
            function = BLOCK_CB(self._block)
            self._hooks.append(function)
            callback = ctypes.cast(function, ctypes.c_void_p).value or 0
        out = ctypes.c_void_p()
        lib.check(
            lib.uc_hook_add(self._uc, ctypes.addressof(out), U.UC_HOOK_BLOCK, callback, ctypes.addressof(budget), 1, 0, 0), "hook"
        )
        # What is translated already does not count.
        self._ctl(U.UC_CTL_TB_FLUSH)

    def _block(self, uc: int, address: int, size: int, data: int) -> None:
        """UC_HOOK_BLOCK where there is no machine code for it."""
        budget = self._budget
        assert budget is not None
        budget[0] -= 1
        if budget[0] < 0:
            self._lib.uc_emu_stop(uc)

    # Registers

    def _load(self, task: TaskStruct, regs: PtRegs) -> None:
        """Before the guest: flushes that the kernel asked for, and the registers that it changed."""
        cpu = self.k.cpu
        if cpu.stale_code:
            self._drop_code(set(cpu.stale_code))
            cpu.stale_code.clear()
        if cpu.pending_flush_all or cpu.pending_flush:
            cpu.pending_flush_all = False
            cpu.pending_flush.clear()
            self._flush_tlb()
        g = self._g
        flags = regs.flags & _USER_FLAGS | 0x202
        if self._step_from >= 0:
            flags |= X86_EFLAGS_TF
        new = [
            regs.ax, regs.cx, regs.dx, regs.bx, regs.sp, regs.bp, regs.si, regs.di,
            regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15, g[_RIP], flags,
        ]  # fmt: skip
        if new != g:
            values = self._regs.values
            if new[:16] != g[:16]:
                for i in range(16):
                    values[i] = new[i]
                self._regs.write(16)
            if flags != g[RFLAGS]:
                self._write_reg(U.UC_X86_REG_RFLAGS, flags)
        thread = task.thread
        if thread.fsbase != self._fsbase:
            self._fsbase = thread.fsbase
            self._write_reg(U.UC_X86_REG_FS_BASE, self._fsbase)
        if thread.gsbase != self._gsbase:
            self._gsbase = thread.gsbase
            self._write_reg(U.UC_X86_REG_GS_BASE, self._gsbase)

    def _save(self, regs: PtRegs) -> None:
        """After the guest: all registers into `regs`."""
        if self._frozen:
            self._frozen = False
            self._context.restore()
        g = self._g = self._regs.read()
        (
            regs.ax, regs.cx, regs.dx, regs.bx, regs.sp, regs.bp, regs.si, regs.di,
            regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15, regs.ip, flags,
        ) = g  # fmt: skip
        if self._step_from >= 0:
            # The guest's own TF counts if it was set before; the step's is ours.
            flags = flags & ~X86_EFLAGS_TF | regs.flags & X86_EFLAGS_TF
        regs.flags = flags
        regs.orig_ax = 0xFFFFFFFFFFFFFFFF

    def _one_step(self, regs: PtRegs) -> int:
        """Execute the instruction at RIP by TF; uc_emu_start's result."""
        self._write_reg(U.UC_X86_REG_RFLAGS, self._g[RFLAGS] | X86_EFLAGS_TF)
        self._event = EV_NONE
        err: int = self._lib.uc_emu_start(self._uc, regs.ip, 0, 0, 0)
        return err

    # TLB and translated code

    def _code(self, ip: int) -> bytes:
        """The 15 bytes at `ip`, fewer if the next page cannot be fetched."""
        k = self.k
        cpu = k.cpu
        cr2, error_code = cpu.cr2, cpu.error_code
        code = b""
        for address in (ip, (ip | 4095) + 1):
            entry = cpu.tlb_fill(address & PAGE, X86_PF_USER | X86_PF_INSTR)
            if entry < 0:
                break
            at = (entry & -4096) | (address & 4095)
            code += k.mem[at : min(at + MAX_INSN - len(code), (at | 4095) + 1)]
            if len(code) == MAX_INSN:
                break
        cpu.cr2, cpu.error_code = cr2, error_code
        return code

    def _flush_tlb(self) -> None:
        self._writable.clear()
        self._fills = 0
        self._lib.uc_ctl(self._uc, U.UC_CTL_TLB_FLUSH, 0, 0)

    def _drop_code(self, frames: set[int]) -> None:
        """Forget what was translated from `frames` (and the TLB, which may let the guest store to them unwatched)."""
        for pfn in sorted(frames):
            address = _DIRECT_MAP + (pfn << 12)
            self._kernel_pages[address] = pfn << 12
            # The address is virtual: Unicorn asks the fill hook for its frame.
            self._ctl(U.UC_CTL_TB_REMOVE_CACHE, address, address + 4096)
        self._kernel_pages.clear()
        self._flush_tlb()
