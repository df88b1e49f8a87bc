# SPDX-License-Identifier: GPL-2.0-or-later
"""A small kernel for the tests of core/, arch/x86/signal and syscalls/."""

from __future__ import annotations

from mmscope.kernel.config import KernelConfig
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.init.main import new_task, start_kernel, user_process


def boot(uid: int = 0, ram: int = 64 << 20) -> Kernel:
    """A kernel without a host's files, no randomisation."""
    config = KernelConfig(ram=ram)
    config.CONFIG_DEBUG_VM = True
    config.randomize_va_space = 0
    return start_kernel(config, None, (-1, -1, -1), uid, uid)


def boot_task(uid: int = 0) -> Kernel:
    """With a task that has no memory."""
    k = boot(uid)
    new_task(k, "task")
    return k


def boot_process(uid: int = 0) -> Kernel:
    """With a process that has a stack."""
    k = boot(uid)
    user_process(k, "prog")
    return k
