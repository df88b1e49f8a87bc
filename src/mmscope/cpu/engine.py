# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine: what executes guest instructions. One Unicorn instance, in ring 3 for ever, over the machine's RAM and page tables.

    run:  load registers -> uc_emu_start -> (fill: the page walk) -> hook notes an event, CPU stops
             ^                                                                |
             +---- exit_to_user <---- kernel entry (syscall, #PF, trap) <-----+

Hooks never run kernel code. What the processor itself does is done here: RCX and R11 of SYSCALL, the address and error
code of #PF, rdtsc under CR4.TSD. Known differences of the CPU are in README.md.
"""

from __future__ import annotations

import ctypes
import mmap
import struct

from mmscope.cpu import unicorn as U
from mmscope.cpu.context import CpuContext
from mmscope.cpu.decode import MAX_INSN, RMW, Access, Insn, R, W, decode
from mmscope.cpu.entries import (
    IA32_SYSCALL_VECTOR,
    X86_TRAP_BP,
    X86_TRAP_DB,
    X86_TRAP_DE,
    X86_TRAP_GP,
    X86_TRAP_MF,
    X86_TRAP_OF,
    X86_TRAP_SS,
    X86_TRAP_UD,
    Entries,
    linux_entries,
)
from mmscope.cpu.fpu import Fpu
from mmscope.cpu.interrupt import InterruptGuard
from mmscope.cpu.slices import BLOCK_CB, block_counter
from mmscope.cpu.unicorn import IN_CB, INSN_CB, INTR_CB, OUT_CB, TLB_FILL_CB, RegBatch, UcError, UcX86Mmr, libunicorn
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_USER, X86_PF_WRITE
from mmscope.kernel.core.fork import schedule_tail
from mmscope.kernel.core.sched import account_slice, activate_task, preempt_for_host, run_until
from mmscope.kernel.fs.hostwait import take_host_signals
from mmscope.kernel.include.ptrace import X86_EFLAGS_RF, X86_EFLAGS_TF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

#: The CPU's private page: GDT and the way to ring 3. Its frame is beyond any RAM; its address is where Linux has the
#: GDT (cpu_entry_area), so that sgdt tells what it tells there. No guest access ever reaches it.
_PRIVATE_PHYS: Final = 1 << 44
_GDT: Final = 0xFFFFFE0000001000
_IRETQ: Final = _GDT + 0x100
_IRET_FRAME: Final = _GDT + 0x200
#: A frame behind it, and the last page below the canonical hole: never mapped, but an access may reach beyond it.
_SCRATCH_PHYS: Final = _PRIVATE_PHYS + 4096
_LAST_PAGE: Final = 0x00007FFFFFFFF000
#: Address at which a frame is shown to Unicorn while its translations are dropped (where Linux has its direct map).
_DIRECT_MAP: Final = 0xFFFF888000000000

_CR0: Final = 0x00050033  # AM WP NE ET MP PE; in this mode the walk is ours, not PG's
_CR4: Final = 0x00000604  # OSXMMEXCPT OSFXSR TSD
_USER_FLAGS: Final = 0x00244FD5  # what PtRegs.flags may set: all of the user's, never IOPL, RF, VM

#: Entries of Unicorn's TLB at first; a flush doubles them if most are in use. Larger ones would cost more to flush.
_FIRST_TLB_SIZE: Final = 256
_LARGEST_TLB_SIZE: Final = 8192

_NR_REGS: Final = 18
_RIP: Final = 16
_RFLAGS: Final = 17
_PAGE: Final = 0xFFFFFFFFFFFFF000

#: Exceptions whose saved RFLAGS have RF set: the instruction runs again.
_FAULTS: Final = (X86_TRAP_DE, X86_TRAP_UD, 10, 11, X86_TRAP_SS, X86_TRAP_GP, X86_TRAP_MF, 17, 19)

#: clone, fork, vfork, clone3
_FORKS: Final = (56, 57, 58, 435)

#: Translation blocks (some five instructions each) that take SLICE_NS; and a budget that is never used up.
SLICE_BLOCKS: Final = 100_000
_ENDLESS: Final = 1 << 62

# What stopped the CPU.
_EV_NONE: Final = 0
_EV_SYSCALL: Final = 1
_EV_FAULT: Final = 2
_EV_INTR: Final = 3
#: A store to a frame that holds translated code, or a fetch from one with writable translations.
_EV_CODE_STORE: Final = 4
_EV_CODE_FETCH: Final = 5
_EV_PORT: Final = 6
_EV_SYSENTER: Final = 7

_fill_entry: Final = struct.Struct("<QQ").pack
_memmove: Final = ctypes.memmove


class Engine:
    """The CPU of one machine."""

    def __init__(self, k: Kernel, syscall: Callable[[Kernel, PtRegs], None], entries: Entries | None = None) -> None:
        self.k = k
        #: do_syscall_64(k, regs): the number is in regs.ax; regs.cx and regs.r11 are as SYSCALL leaves them.
        self.syscall = syscall
        self.entries = linux_entries() if entries is None else entries
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
        lib.check(lib.uc_mem_map_ptr(uc, _PRIVATE_PHYS, 8192, U.UC_PROT_ALL, ctypes.addressof(self._private)), "map GDT")

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
        self._event = _EV_NONE
        self._fault_page = self._fault_type = self._fault_result = self._fault_code = 0
        self._vector = 0
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
        #: The task has stopped before a system call that makes another one.
        self._forks = False

        self._hooks: list[Any] = []
        self._hook(U.UC_HOOK_TLB_FILL, TLB_FILL_CB(self._tlb_fill))
        self._hook(U.UC_HOOK_INTR, INTR_CB(self._intr))
        self._hook(U.UC_HOOK_INSN, INSN_CB(self._syscall), U.UC_X86_INS_SYSCALL)
        self._hook(U.UC_HOOK_INSN, INSN_CB(self._sysenter), U.UC_X86_INS_SYSENTER)
        self._hook(U.UC_HOOK_INSN, IN_CB(self._port_in), U.UC_X86_INS_IN)
        self._hook(U.UC_HOOK_INSN, OUT_CB(self._port_out), U.UC_X86_INS_OUT)
        self._guard = InterruptGuard(self._stop)
        self._enter_ring3()
        self._context = CpuContext(lib, uc)
        k.cpu.fxsave = self._fpu.fxsave
        k.cpu.fxrstor = self._fpu.fxrstor
        self._fpu.fxrstor(None)
        k.rq.enter_user = self._new_task

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
        page[_IRETQ - _GDT : _IRETQ - _GDT + 2] = b"\x48\xcf"
        # The stop: ring 3 executes a syscall instruction of this very page.
        page[0x180:0x182] = b"\x0f\x05"
        struct.pack_into("<5Q", page, _IRET_FRAME - _GDT, _GDT + 0x180, 0x33, 0x202, 0, 0x2B)
        gdtr = UcX86Mmr(0, _GDT, 0x7F, 0)
        self._lib.check(self._lib.uc_reg_write(self._uc, U.UC_X86_REG_GDTR, ctypes.addressof(gdtr)), "gdtr")
        self._write_reg(U.UC_X86_REG_CR0, _CR0)
        self._write_reg(U.UC_X86_REG_CR4, _CR4)
        self._write_reg(U.UC_X86_REG_RSP, _IRET_FRAME)
        self._kernel_pages[_GDT] = _PRIVATE_PHYS
        self._lib.check(self._lib.uc_emu_start(self._uc, _IRETQ, 0, 0, 0), "iretq")
        self._kernel_pages.clear()
        self._flush_tlb()
        self._g = self._regs.read()
        if self._raised is not None or self._event != _EV_SYSCALL or self._g[_RIP] != _GDT + 0x182:
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
                self._event = _EV_FAULT
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
                        self._event = _EV_CODE_STORE
                        self._fault_page = pfn
                        return False
                    entry &= ~2
                else:
                    self._writable.add(pfn)
            elif entry & 4 and kind == 18 and entry >> 12 in self._writable:
                self._event = _EV_CODE_FETCH
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
            self._event = _EV_INTR
            self._vector = vector
        self._lib.uc_emu_stop(uc)

    def _syscall(self, uc: int, data: int) -> int:
        if not self._frozen:
            self._event = _EV_SYSCALL
        self._lib.uc_emu_stop(uc)
        return 0

    def _sysenter(self, uc: int, data: int) -> int:
        if not self._frozen:
            self._event = _EV_SYSENTER
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
            self._event = _EV_PORT
            self._context.save()
            self._frozen = True
            self._lib.uc_ctl(uc, U.UC_CTL_TLB_FLUSH, 0, 0)
        self._lib.uc_emu_stop(uc)

    # The loop

    def run(self, task: TaskStruct, sigint_to_guest: bool = False) -> None:
        """Run the machine until `task` has exited. Raises KeyboardInterrupt, and whatever the kernel raised (KernelBug).

        With `sigint_to_guest` Ctrl-C sends SIGINT to the guest's process instead; a second one within a second is a
        KeyboardInterrupt if the guest ignores or blocks the signal.
        """
        if not self._uc:
            raise UcError("the machine is closed")
        k = self.k
        guard = self._guard
        guard.rq = None
        guard.arm(k if sigint_to_guest else None)
        try:
            if k.rq.idle is None and not k.rq.queue:
                # The only task so far: it runs on this stack until it forks.
                task.on_rq = True
                self._user_mode(task, True)
                if task.exit_state or not self._forks:
                    return
                k.rq.queue.append(task)
            else:
                activate_task(task)
            guard.rq = k.rq
            guard.waiting = k
            while task.signal.live:
                run_until(k, task.signal)
                if guard.interrupted:
                    guard.deliver()
        finally:
            guard.disarm()

    def run_rest(self) -> None:
        """Run what the dead processes have left behind until no task can run and no timer is armed."""
        k = self.k
        if k.rq.idle is None:
            return
        guard = self._guard
        guard.arm()
        guard.rq = k.rq
        guard.waiting = k
        try:
            while k.rq.queue or k.hrtimers:
                run_until(k, None)
                if guard.interrupted:
                    guard.deliver()
        finally:
            guard.disarm()

    def _new_task(self, task: TaskStruct) -> None:
        """The life of a task that has a stack of its own: what fork's child does first, then user mode."""
        k = self.k
        if self._forks:
            # Not new: it moves here to make its fork.
            self._forks = False
            task.regs.r11 = task.regs.flags
            self.syscall(k, task.regs)
        else:
            schedule_tail(k)
        if not task.exit_state:
            self.entries.exit_to_user(k, task.regs)
        self._user_mode(task, False)

    def _user_mode(self, task: TaskStruct, alone: bool) -> None:
        """Run the current task, and what it enters the kernel for, until it is dead; with `alone` until it wants to fork."""
        k = self.k
        guard = self._guard
        start = self._lib.uc_emu_start
        syscall = self.syscall
        exit_to_user = self.entries.exit_to_user
        regs = task.regs
        while not task.exit_state:
            if k.host_signals:
                take_host_signals(k)
                exit_to_user(k, regs)
                continue
            if (k.rq.queue or k.hrtimers) and self._budget is None:
                self._count_blocks()
            self._load(task, regs)
            self._event = _EV_NONE
            budget = self._budget
            if budget is not None:
                budget[0] = SLICE_BLOCKS if k.rq.queue or k.hrtimers else _ENDLESS
            guard.in_guest = True
            err = start(self._uc, regs.ip, 0, 0, 0)
            guard.in_guest = False
            if self._raised is not None:
                raised, self._raised = self._raised, None
                raise raised
            self._save(regs)
            if self._event == _EV_SYSCALL:
                regs.cx = regs.ip
                self._step_from = -1
                if alone and regs.ax in _FORKS:
                    self._forks = True
                    return
                regs.r11 = regs.flags
                syscall(k, regs)
                exit_to_user(k, regs)
            elif self._dispatch(regs, err):
                exit_to_user(k, regs)
            elif budget is not None and budget[0] < 0 and self._event == _EV_NONE and self._step_from < 0:
                account_slice(k)
                exit_to_user(k, regs)
            if self._raised is not None:
                raised, self._raised = self._raised, None
                raise raised
            if guard.kick or guard.interrupted:
                guard.kick = False
                if guard.interrupted:
                    if alone:
                        guard.deliver()
                    elif not task.exit_state:
                        preempt_for_host(k)

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
            if flags != g[_RFLAGS]:
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

    def _dispatch(self, regs: PtRegs, err: int) -> bool:
        """Everything but a system call. True if the kernel was entered."""
        event = self._event
        if event == _EV_FAULT:
            stepping = self._step_from
            self._step_from = -1
            return self._memory_fault(regs, stepping)
        if event == _EV_INTR:
            return self._interrupt(regs)
        self._step_from = -1
        if event == _EV_CODE_STORE:
            return self._code_store(regs, self._fault_page)
        if event == _EV_CODE_FETCH:
            self._flush_tlb()
            return False
        if event == _EV_PORT:
            return self._trap(regs, X86_TRAP_GP, 0)
        if event == _EV_SYSENTER:
            # MSR_IA32_SYSENTER_CS is 0.
            return self._trap(regs, X86_TRAP_GP, 0)
        if err == U.UC_ERR_INSN_INVALID:
            return self._invalid(regs)
        if err != U.UC_ERR_OK:
            self._lib.check(err, f"guest stopped at {regs.ip:#x}")
        if self._fills >= self._many_fills:
            if self._many_fills < _LARGEST_TLB_SIZE * 4:
                self._many_fills *= 2
            self._flush_tlb()
        # Else nothing happened: the watcher stopped the CPU.
        return False

    def _trap(self, regs: PtRegs, vector: int, error_code: int) -> bool:
        if vector in _FAULTS:
            regs.flags |= X86_EFLAGS_RF
        self.entries.trap(self.k, regs, vector, error_code)
        return True

    def _invalid(self, regs: PtRegs) -> bool:
        """Unicorn found no valid instruction; some of these are valid, or fault otherwise, on hardware."""
        code = self._code(regs.ip)
        if code[:1] == b"\xf1":
            regs.ip += 1
            return self._trap(regs, X86_TRAP_DB, 0)
        if code[:2] in (b"\x0f\x07", b"\x0f\x33", b"\x0f\x35") or code[:3] == b"\x48\x0f\x07" or code[:3] == b"\x48\x0f\x35":
            # sysret, rdpmc, sysexit: privileged
            return self._trap(regs, X86_TRAP_GP, 0)
        return self._trap(regs, X86_TRAP_UD, 0)

    def _interrupt(self, regs: PtRegs) -> bool:
        """An exception that the processor raised, or int n: only 3, 4 and 0x80 have gates for ring 3."""
        vector = self._vector
        stepping, self._step_from = self._step_from, -1
        is_int, error_code = self._context.take_exception()
        if vector in (X86_TRAP_BP, X86_TRAP_OF, IA32_SYSCALL_VECTOR):
            return self._trap(regs, vector, 0)
        if is_int:
            # Unicorn has gone past it.
            regs.ip -= 2
            return self._trap(regs, X86_TRAP_GP, vector * 8 + 2)
        if vector == X86_TRAP_DB and stepping >= 0 and not regs.flags & X86_EFLAGS_TF:
            self._stepped(regs, stepping)
            return False
        if vector == X86_TRAP_GP and self._code(regs.ip)[:2] == b"\x0f\x31":
            tsc = self.entries.read_tsc(self.k)
            regs.ax = tsc & 0xFFFFFFFF
            regs.dx = tsc >> 32 & 0xFFFFFFFF
            regs.ip += 2
            return False
        return self._trap(regs, vector, error_code)

    # Memory

    def _memory_fault(self, regs: PtRegs, stepping: int) -> bool:
        """A fill said no: find the address that the processor would report, and whether it writes."""
        page = self._fault_page
        error_code = self._fault_code
        ip = regs.ip
        if self._fault_type == U.UC_MEM_FETCH:
            address = ip
            if ip & _PAGE != page:
                # Unicorn translates ahead: the fault belongs to an instruction that may never be reached.
                code = self._code(ip)
                if decode(code, self._g, ip).length <= len(code):
                    self._step_from = ip
                    return False
                address = page
            if self._fault_result == -2:
                return self._trap(regs, X86_TRAP_GP, 0)
            return self._page_fault(regs, error_code, address)
        code = self._code(ip)
        insn = decode(code, self._g, ip, self._fsbase, self._gsbase)
        if page == _GDT and _loads_segment(insn):
            return self._segment_load(regs)
        if 0x6C <= insn.opcode <= 0x6F:
            return self._trap(regs, X86_TRAP_GP, 0)
        if page == _LAST_PAGE and self._reaches_noncanonical(regs):
            self._fault_result = -2
        write = self._fault_type == U.UC_MEM_WRITE
        access = find_access(insn, page, write)
        if self._fault_result == -2:
            return self._trap(regs, X86_TRAP_SS if access is not None and access.stack else X86_TRAP_GP, 0)
        if access is None:
            return self._page_fault(regs, error_code, page)
        if access.kind & W:
            error_code |= X86_PF_WRITE
        address = access.ea
        if access.size > 1:
            # fxsave and fxrstor: this is how processors do it (tests/cpu/data/native_faults.txt).
            address = address + access.size - 1
        if address & _PAGE != page:
            address = page
        return self._page_fault(regs, error_code, address)

    def _page_fault(self, regs: PtRegs, error_code: int, address: int) -> bool:
        """Enter the kernel by #PF."""
        cpu = self.k.cpu
        cpu.cr2 = address
        cpu.error_code = error_code
        regs.flags |= X86_EFLAGS_RF
        self.entries.page_fault(self.k, regs, error_code, address)
        return True

    def _code(self, ip: int) -> bytes:
        """The 15 bytes at `ip`, fewer if the next page cannot be fetched."""
        k = self.k
        cpu = k.cpu
        cr2, error_code = cpu.cr2, cpu.error_code
        code = b""
        for address in (ip, (ip | 4095) + 1):
            entry = cpu.tlb_fill(address & _PAGE, X86_PF_USER | X86_PF_INSTR)
            if entry < 0:
                break
            at = (entry & -4096) | (address & 4095)
            code += k.mem[at : min(at + MAX_INSN - len(code), (at | 4095) + 1)]
            if len(code) == MAX_INSN:
                break
        cpu.cr2, cpu.error_code = cr2, error_code
        return code

    def _stepped(self, regs: PtRegs, start: int) -> None:
        """One instruction of a stretch that ends in an absent page is done. Go on while it runs straight towards its end."""
        code = self._code(start)
        if code[:1] == b"\x9c":
            # pushf has shown our TF to the guest.
            at = self.k.cpu.tlb_fill(regs.sp + 1 & _PAGE, X86_PF_USER)
            self.k.mem[(at & -4096) + (regs.sp + 1 & 4095)] &= 0xFE
        if start < regs.ip and start & _PAGE == regs.ip & _PAGE:
            self._step_from = regs.ip

    def _segment_load(self, regs: PtRegs) -> bool:
        """mov to a segment register reads its descriptor: run this one instruction with the GDT in sight."""
        self._kernel_pages[_GDT] = _PRIVATE_PHYS
        err = self._one_step(regs)
        self._kernel_pages.clear()
        self._flush_tlb()
        return self._after_step(regs, err)

    def _reaches_noncanonical(self, regs: PtRegs) -> bool:
        """The access that has missed the last user page ends beyond it, which counts first: try it on a scratch page."""
        if self.k.cpu.tlb_fill(_LAST_PAGE, 0) >= 0:
            return False
        kind = self._fault_type
        self._context.save()
        self._kernel_pages[_LAST_PAGE] = _SCRATCH_PHYS
        self._one_step(regs)
        self._kernel_pages.clear()
        beyond = self._event == _EV_FAULT and self._fault_result == -2
        self._context.restore()
        self._flush_tlb()
        self._fault_type = kind
        return beyond

    def _code_store(self, regs: PtRegs, pfn: int) -> bool:
        """A store, not through its executable mapping, to a frame that holds translated code: drop the code, store again."""
        self._drop_code({pfn})
        cpu = self.k.cpu
        here = cpu.tlb_fill(regs.ip & _PAGE, X86_PF_USER | X86_PF_INSTR) >> 12
        behind = cpu.tlb_fill(regs.ip + MAX_INSN & _PAGE, X86_PF_USER | X86_PF_INSTR) >> 12
        if pfn != here and pfn != behind:
            cpu.code_frames.discard(pfn)
            return False
        # The storing instruction stands in that very frame: let this one alone through.
        self._granted = pfn
        err = self._one_step(regs)
        self._granted = -1
        self._drop_code({pfn})
        return self._after_step(regs, err)

    def _one_step(self, regs: PtRegs) -> int:
        """Execute the instruction at RIP by TF; uc_emu_start's result."""
        self._write_reg(U.UC_X86_REG_RFLAGS, self._g[_RFLAGS] | X86_EFLAGS_TF)
        self._event = _EV_NONE
        err: int = self._lib.uc_emu_start(self._uc, regs.ip, 0, 0, 0)
        return err

    def _after_step(self, regs: PtRegs, err: int) -> bool:
        """Take what _one_step() led to. True if the kernel was entered."""
        if self._raised is not None:
            return False
        tf = regs.flags & X86_EFLAGS_TF
        self._save(regs)
        regs.flags = regs.flags & ~X86_EFLAGS_TF | tf
        if self._event == _EV_INTR and self._vector == X86_TRAP_DB and not tf:
            self._context.take_exception()
            return False
        if self._event == _EV_NONE and err == U.UC_ERR_OK:
            return False
        return self._dispatch(regs, err)

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


def find_access(insn: Insn, page: int, write: bool) -> Access | None:
    """The operand of `insn` that faulted in `page`; `write` as Unicorn saw it: a read-modify-write arrives as a read."""
    wanted = W if write else R
    for kind in (wanted, RMW):
        for access in insn.accesses:
            if access.kind & kind and access.ea & _PAGE == page:
                return access
    # Only an operand that begins in the page before can be left.
    before = page - 4096 & _PAGE
    for access in insn.accesses:
        if access.kind & wanted and access.ea & _PAGE == before:
            return access
    return None


def _loads_segment(insn: Insn) -> bool:
    """mov sreg, lfs/lgs/lss, pop fs/gs, far returns, lar, lsl, verr, verw: they read descriptors."""
    return insn.opcode in (0x8E, 0x0FA1, 0x0FA9, 0x0FB2, 0x0FB4, 0x0FB5, 0xCA, 0xCB, 0xCF, 0x0F00, 0x0F02, 0x0F03, 0xFF)
