# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine: runs guest programs on the processor, and enters the kernel for what stops it.

    run:  load registers -> uc_emu_start -> (fill: the page walk) -> hook notes an event, CPU stops
             ^                                                                |
             +---- exit_to_user <---- kernel entry (syscall, #PF, trap) <-----+

What the processor itself does at an entry is done here: RCX and R11 of SYSCALL, the address and error code of #PF,
rdtsc under CR4.TSD. Known differences of the CPU are in README.md.
"""

from __future__ import annotations

from mmscope.cpu import unicorn as U
from mmscope.cpu.decode import MAX_INSN, RMW, Access, Insn, R, W, decode
from mmscope.cpu.entries import Entries, linux_entries
from mmscope.cpu.interrupt import InterruptGuard
from mmscope.cpu.processor import (
    EV_CODE_FETCH,
    EV_CODE_STORE,
    EV_FAULT,
    EV_INTR,
    EV_NONE,
    EV_PORT,
    EV_SYSCALL,
    EV_SYSENTER,
    GDT,
    LARGEST_TLB_SIZE,
    LAST_PAGE,
    PAGE,
    PRIVATE_PHYS,
    SCRATCH_PHYS,
    Processor,
)
from mmscope.cpu.unicorn import UcError
from mmscope.kernel.arch.x86.cpu import X86_PF_INSTR, X86_PF_USER, X86_PF_WRITE
from mmscope.kernel.arch.x86.trapnr import (
    DR_STEP,
    IA32_SYSCALL_VECTOR,
    X86_TRAP_AC,
    X86_TRAP_BP,
    X86_TRAP_DB,
    X86_TRAP_DE,
    X86_TRAP_GP,
    X86_TRAP_MF,
    X86_TRAP_NP,
    X86_TRAP_OF,
    X86_TRAP_SS,
    X86_TRAP_TS,
    X86_TRAP_UD,
    X86_TRAP_XF,
)
from mmscope.kernel.core.fork import schedule_tail
from mmscope.kernel.core.sched import account_slice, activate_task, preempt_for_host, run_until
from mmscope.kernel.fs.hostwait import take_host_signals
from mmscope.kernel.include.ptrace import X86_EFLAGS_RF, X86_EFLAGS_TF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs
    from mmscope.kernel.include.sched import TaskStruct

#: Exceptions whose saved RFLAGS have RF set: the instruction runs again.
_FAULTS: Final = (
    X86_TRAP_DE, X86_TRAP_UD, X86_TRAP_TS, X86_TRAP_NP, X86_TRAP_SS, X86_TRAP_GP, X86_TRAP_MF, X86_TRAP_AC, X86_TRAP_XF,
)  # fmt: skip

#: clone, fork, vfork, clone3
_FORKS: Final = (56, 57, 58, 435)

#: Translation blocks (some five instructions each) that take SLICE_NS; and a budget that is never used up.
SLICE_BLOCKS: Final = 100_000
_ENDLESS: Final = 1 << 62


class Engine(Processor):
    """What runs tasks on the CPU of one machine."""

    def __init__(self, k: Kernel, syscall: Callable[[Kernel, PtRegs], None], entries: Entries | None = None) -> None:
        super().__init__(k)
        #: do_syscall_64(k, regs): the number is in regs.ax; regs.cx and regs.r11 are as SYSCALL leaves them.
        self.syscall = syscall
        self.entries = linux_entries() if entries is None else entries
        #: The task has stopped before a system call that makes another one.
        self._forks = False
        self._guard = InterruptGuard(self._stop)
        k.rq.enter_user = self._new_task

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
            if (k.rq.queue or k.hrtimers or task.signal.timers_active) and self._budget is None:
                self._count_blocks()
            self._load(task, regs)
            self._event = EV_NONE
            budget = self._budget
            if budget is not None:
                # A slice goes on over kernel entries: many short computations take as much time as a long one.
                if not (k.rq.queue or k.hrtimers or task.signal.timers_active):
                    budget[0] = _ENDLESS
                elif not 0 <= budget[0] <= SLICE_BLOCKS:
                    budget[0] = SLICE_BLOCKS
            guard.in_guest = True
            err = start(self._uc, regs.ip, 0, 0, 0)
            guard.in_guest = False
            if self._raised is not None:
                raised, self._raised = self._raised, None
                raise raised
            self._save(regs)
            slice_over = budget is not None and budget[0] < 0
            if slice_over:
                account_slice(k)
            if self._event == EV_SYSCALL:
                if self._syscall_trapped:
                    self._syscall_trapped = False
                    self._context.take_exception()
                regs.cx = regs.ip
                self._step_from = -1
                if alone and regs.ax in _FORKS:
                    self._forks = True
                    return
                regs.r11 = regs.flags
                syscall(k, regs)
                exit_to_user(k, regs)
            elif self._dispatch(regs, err) or (slice_over and self._event == EV_NONE and self._step_from < 0):
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

    # Events

    def _dispatch(self, regs: PtRegs, err: int) -> bool:
        """Everything but a system call. True if the kernel was entered."""
        event = self._event
        if event == EV_FAULT:
            stepping = self._step_from
            self._step_from = -1
            return self._memory_fault(regs, stepping)
        if event == EV_INTR:
            return self._interrupt(regs)
        self._step_from = -1
        if event == EV_CODE_STORE:
            return self._code_store(regs, self._fault_page)
        if event == EV_CODE_FETCH:
            self._flush_tlb()
            return False
        if event == EV_PORT:
            return self._trap(regs, X86_TRAP_GP, 0)
        if event == EV_SYSENTER:
            # MSR_IA32_SYSENTER_CS is 0.
            return self._trap(regs, X86_TRAP_GP, 0)
        if err == U.UC_ERR_INSN_INVALID:
            return self._invalid(regs)
        if err != U.UC_ERR_OK:
            self._lib.check(err, f"guest stopped at {regs.ip:#x}")
        if self._fills >= self._many_fills:
            if self._many_fills < LARGEST_TLB_SIZE * 4:
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
        if vector == X86_TRAP_DB:
            return self._trap(regs, vector, DR_STEP)
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
            if ip & PAGE != page:
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
        if page == GDT and _loads_segment(insn):
            return self._segment_load(regs)
        if 0x6C <= insn.opcode <= 0x6F:
            return self._trap(regs, X86_TRAP_GP, 0)
        if page == LAST_PAGE and self._reaches_noncanonical(regs):
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
        if address & PAGE != page:
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

    def _stepped(self, regs: PtRegs, start: int) -> None:
        """One instruction of a stretch that ends in an absent page is done. Go on while it runs straight towards its end."""
        code = self._code(start)
        if code[:1] == b"\x9c":
            # pushf has shown our TF to the guest.
            at = self.k.cpu.tlb_fill(regs.sp + 1 & PAGE, X86_PF_USER)
            self.k.mem[(at & -4096) + (regs.sp + 1 & 4095)] &= 0xFE
        if start < regs.ip and start & PAGE == regs.ip & PAGE:
            self._step_from = regs.ip

    def _segment_load(self, regs: PtRegs) -> bool:
        """mov to a segment register reads its descriptor: run this one instruction with the GDT in sight."""
        self._kernel_pages[GDT] = PRIVATE_PHYS
        err = self._one_step(regs)
        self._kernel_pages.clear()
        self._flush_tlb()
        return self._after_step(regs, err)

    def _reaches_noncanonical(self, regs: PtRegs) -> bool:
        """The access that has missed the last user page ends beyond it, which counts first: try it on a scratch page."""
        if self.k.cpu.tlb_fill(LAST_PAGE, 0) >= 0:
            return False
        kind = self._fault_type
        self._context.save()
        self._kernel_pages[LAST_PAGE] = SCRATCH_PHYS
        self._one_step(regs)
        self._kernel_pages.clear()
        beyond = self._event == EV_FAULT and self._fault_result == -2
        self._context.restore()
        self._flush_tlb()
        self._fault_type = kind
        return beyond

    def _code_store(self, regs: PtRegs, pfn: int) -> bool:
        """A store, not through its executable mapping, to a frame that holds translated code: drop the code, store again."""
        self._drop_code({pfn})
        cpu = self.k.cpu
        here = cpu.tlb_fill(regs.ip & PAGE, X86_PF_USER | X86_PF_INSTR) >> 12
        behind = cpu.tlb_fill(regs.ip + MAX_INSN & PAGE, X86_PF_USER | X86_PF_INSTR) >> 12
        if pfn != here and pfn != behind:
            cpu.code_frames.discard(pfn)
            return False
        # The storing instruction stands in that very frame: let this one alone through.
        self._granted = pfn
        err = self._one_step(regs)
        self._granted = -1
        self._drop_code({pfn})
        return self._after_step(regs, err)

    def _after_step(self, regs: PtRegs, err: int) -> bool:
        """Take what _one_step() led to. True if the kernel was entered."""
        if self._raised is not None:
            return False
        tf = regs.flags & X86_EFLAGS_TF
        self._save(regs)
        regs.flags = regs.flags & ~X86_EFLAGS_TF | tf
        if self._event == EV_INTR and self._vector == X86_TRAP_DB and not tf:
            self._context.take_exception()
            return False
        if self._event == EV_NONE and err == U.UC_ERR_OK:
            return False
        return self._dispatch(regs, err)


def find_access(insn: Insn, page: int, write: bool) -> Access | None:
    """The operand of `insn` that faulted in `page`; `write` as Unicorn saw it: a read-modify-write arrives as a read."""
    wanted = W if write else R
    for kind in (wanted, RMW):
        for access in insn.accesses:
            if access.kind & kind and access.ea & PAGE == page:
                return access
    # Only an operand that begins in the page before can be left.
    before = page - 4096 & PAGE
    for access in insn.accesses:
        if access.kind & wanted and access.ea & PAGE == before:
            return access
    return None


def _loads_segment(insn: Insn) -> bool:
    """mov sreg, lfs/lgs/lss, pop fs/gs, far returns, lar, lsl, verr, verw: they read descriptors."""
    return insn.opcode in (0x8E, 0x0FA1, 0x0FA9, 0x0FB2, 0x0FB4, 0x0FB5, 0xCA, 0xCB, 0xCF, 0x0F00, 0x0F02, 0x0F03, 0xFF)
