# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that fit nowhere else."""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_to_user_partial
from mmscope.kernel.include.errno import EFAULT, EINVAL, KernelError
from mmscope.kernel.include.limits import INT_MAX
from mmscope.kernel.lib.random import get_random_bytes
from mmscope.syscalls.args import u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs

GRND_NONBLOCK: Final = 1
GRND_RANDOM: Final = 2
GRND_INSECURE: Final = 4
#: How much is produced at once.
_CHUNK: Final = 65536


def getrandom(k: Kernel, regs: PtRegs) -> int:
    """getrandom(buf, count, flags): seeded bytes, the same in every run."""
    flags = u32(regs.dx)
    if flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE):
        raise KernelError(EINVAL)
    if flags & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE:
        raise KernelError(EINVAL)
    count = min(regs.si, INT_MAX)
    done = 0
    while done < count:
        n = min(count - done, _CHUNK)
        copied = copy_to_user_partial(k, regs.di + done, get_random_bytes(k, n))
        done += copied
        if copied < n:
            if not done:
                raise KernelError(EFAULT)
            break
    return done
