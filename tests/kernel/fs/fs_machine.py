# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of fs/ share: a kernel over a directory, with a process that has memory to pass pointers in."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mmscope.kernel.arch.x86.uaccess import copy_from_user
from mmscope.kernel.config import KernelConfig
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from mmscope.kernel.init.main import new_task, start_kernel, user_process
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from tests.hosttool import find_tool


def boot(root: Path | None, aslr: bool = False, streams: tuple[int, int, int] = (-1, -1, -1), uid: int = 0) -> Kernel:
    """A kernel whose current task is a process without a program."""
    config = KernelConfig(64 << 20)
    config.rootfstype = "ext4"
    config.CONFIG_DEBUG_VM = True
    config.randomize_va_space = 2 if aslr else 0
    k = start_kernel(config, None if root is None else str(root), streams, uid, uid)
    user_process(k)
    return k


def boot_bare(root: Path, aslr: bool = False) -> Kernel:
    """A kernel whose current task has no address space yet: ready for its first execve."""
    config = KernelConfig(64 << 20)
    config.rootfstype = "ext4"
    config.CONFIG_DEBUG_VM = True
    config.randomize_va_space = 2 if aslr else 0
    k = start_kernel(config, str(root), (-1, -1, -1))
    k.current = new_task(k, "sh")
    return k


def user_buffer(k: Kernel, size: int) -> int:
    """Fresh user memory."""
    return ksys_mmap_pgoff(k, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0xFFFFFFFF, 0)


def peek(k: Kernel, addr: int, n: int) -> bytes:
    """The user's bytes."""
    return copy_from_user(k, addr, n)


def gcc(where: Path, source: str, *flags: str) -> Path:
    """Compile a C program: its path."""
    c = where / "prog.c"
    c.write_text(source)
    out = where / "prog"
    subprocess.run([find_tool("gcc"), *flags, str(c), "-o", str(out)], check=True)
    return out
