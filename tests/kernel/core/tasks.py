# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes whose programs are Python functions, on the model's own scheduler and kernel stacks; no processor is needed."""

from __future__ import annotations

from collections.abc import Callable

from mmscope.kernel.arch.x86.signal import exit_to_user_mode_prepare
from mmscope.kernel.core.exit import do_exit, do_group_exit
from mmscope.kernel.core.fork import KernelCloneArgs, kernel_clone, schedule_tail
from mmscope.kernel.core.sched import activate_task, run_until
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.ptrace import PtRegs
from mmscope.kernel.include.sched import TaskStruct
from mmscope.kernel.include.signal import SIGCHLD

#: A program: what it returns is its exit code.
Program = Callable[[], int]


class Tasks:
    """`run(program)` makes the current task of `k` execute it; in there `fork(program)` makes children."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        k.rq.enter_user = self._life
        self._programs: dict[TaskStruct, Program] = {}
        self._next: Program | None = None
        k.tp.attach("sched_process_fork", self._born)

    def run(self, program: Program) -> TaskStruct:
        """Until it is dead."""
        task = self.k.current
        self._programs[task] = program
        activate_task(task)
        run_until(self.k, task.signal)
        return task

    def run_rest(self) -> None:
        """Until nobody can run."""
        run_until(self.k, None)

    def fork(self, program: Program, flags: int = 0, exit_signal: int = SIGCHLD) -> TaskStruct:
        """clone(2) by the current task: the child, which has not run, or (CLONE_VFORK) is at least a zombie."""
        self._next = program
        nr = kernel_clone(self.k, KernelCloneArgs(flags, exit_signal), PtRegs())
        return self.k.tasks[nr]

    def user_mode(self) -> None:
        """The way back to user mode: signals, other tasks' turns. The task may be dead afterwards."""
        exit_to_user_mode_prepare(self.k, self.k.current.regs)

    def _born(self, parent: TaskStruct, child: TaskStruct) -> None:
        # vfork's child runs before kernel_clone() returns.
        assert self._next is not None
        self._programs[child], self._next = self._next, None

    def _life(self, task: TaskStruct) -> None:
        schedule_tail(self.k)
        code = 0
        try:
            code = self._programs.pop(task)()
        except KernelError as error:
            # An interrupted call: the signal decides.
            self.user_mode()
            code = 128 + (error.errno or 0) & 0xFF
        if task.group_leader is task:
            do_group_exit(self.k, code << 8)
        else:
            do_exit(self.k, code << 8)
