# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may look into another process (kernel/ptrace.c, mm_access of kernel/fork.c). ptrace(2) itself is not there."""

from __future__ import annotations

from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_SYS_PTRACE
from mmscope.kernel.include.errno import EACCES, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.sched import TaskStruct

__all__ = ["mm_access", "ptrace_may_access"]

#: prctl(PR_SET_DUMPABLE): 1 = the process may be looked at by its user.
SUID_DUMP_USER = 1


def ptrace_may_access(k: Kernel, task: TaskStruct) -> bool:
    """The current task may read `task`'s memory and secrets (PTRACE_MODE_READ_FSCREDS, ATTACH_FSCREDS alike)."""
    current = k.current
    if task.tgid == current.tgid:
        return True
    cred, tcred = current.cred, task.cred
    if capable(k, CAP_SYS_PTRACE):
        return True
    uid, gid = cred.fsuid, cred.fsgid
    if not (uid == tcred.euid == tcred.suid == tcred.uid and gid == tcred.egid == tcred.sgid == tcred.gid):
        return False
    return task.mm is None or task.dumpable == SUID_DUMP_USER


def mm_access(k: Kernel, task: TaskStruct) -> MmStruct | None:
    """`task`'s address space, None if it has none (any more). Raises EACCES."""
    mm = task.mm
    if mm is not None and mm is not k.current.mm and not ptrace_may_access(k, task):
        raise KernelError(EACCES)
    return mm
