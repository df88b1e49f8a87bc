# SPDX-License-Identifier: GPL-2.0-or-later
"""Capabilities (kernel/capability.c, security/commoncap.c). There are no file capabilities, ambient sets or securebits here,
and the bounding set is full.
"""

from __future__ import annotations

from mmscope.kernel.include.capability import CAP_FS_SET, CAP_FULL_SET, CAP_SETPCAP
from mmscope.kernel.include.errno import EPERM, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import Cred

__all__ = ["cap_bprm_creds_from_file", "cap_capset", "cap_emulate_setfsuid", "cap_emulate_setxuid", "cap_raised", "capable"]


def cap_raised(cred: Cred, cap: int) -> bool:
    """`cap` is in the effective set."""
    return cred.cap_effective >> cap & 1 != 0


def capable(k: Kernel, cap: int) -> bool:
    """The current task has the capability."""
    return cap_raised(k.current.cred, cap)


def cap_capset(cred: Cred, effective: int, inheritable: int, permitted: int) -> None:
    """capset(2): nobody can add to what is permitted. Raises EPERM."""
    effective &= CAP_FULL_SET
    inheritable &= CAP_FULL_SET
    permitted &= CAP_FULL_SET
    if not cap_raised(cred, CAP_SETPCAP) and inheritable & ~(cred.cap_inheritable | cred.cap_permitted):
        raise KernelError(EPERM)
    if permitted & ~cred.cap_permitted or effective & ~permitted:
        raise KernelError(EPERM)
    cred.cap_effective, cred.cap_inheritable, cred.cap_permitted = effective, inheritable, permitted


def cap_emulate_setxuid(cred: Cred, old_uid: int, old_euid: int, old_suid: int, keepcaps: int) -> None:
    """After setuid(2) and its like: who gives up the last of its root ids gives up all capabilities."""
    if 0 in (old_uid, old_euid, old_suid) and 0 not in (cred.uid, cred.euid, cred.suid) and not keepcaps:
        cred.cap_permitted = cred.cap_effective = 0
    if old_euid == 0 and cred.euid != 0:
        cred.cap_effective = 0
    if old_euid != 0 and cred.euid == 0:
        cred.cap_effective = cred.cap_permitted


def cap_emulate_setfsuid(cred: Cred, old_fsuid: int) -> None:
    """After setfsuid(2): the rights over files go and come with fsuid 0."""
    if old_fsuid == 0 and cred.fsuid != 0:
        cred.cap_effective &= ~CAP_FS_SET
    if old_fsuid != 0 and cred.fsuid == 0:
        cred.cap_effective |= cred.cap_permitted & CAP_FS_SET


def cap_bprm_creds_from_file(cred: Cred) -> None:
    """execve: root gets everything, whatever it had dropped; others keep nothing."""
    cred.cap_permitted = CAP_FULL_SET if 0 in (cred.uid, cred.euid) else 0
    cred.cap_effective = CAP_FULL_SET if cred.euid == 0 else 0
