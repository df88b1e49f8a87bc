# SPDX-License-Identifier: GPL-2.0-or-later
"""Capabilities by number (include/uapi/linux/capability.h), and sets of them as bits."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CAP_CHOWN: Final = 0
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_FOWNER: Final = 3
CAP_FSETID: Final = 4
CAP_KILL: Final = 5
CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SETPCAP: Final = 8
CAP_IPC_LOCK: Final = 14
CAP_IPC_OWNER: Final = 15
CAP_SYS_RAWIO: Final = 17
CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21
CAP_SYS_NICE: Final = 23
CAP_SYS_RESOURCE: Final = 24
CAP_SYS_TIME: Final = 25
CAP_MKNOD: Final = 27
CAP_SETFCAP: Final = 31
CAP_MAC_OVERRIDE: Final = 32
CAP_WAKE_ALARM: Final = 35
#: Since v5.9.
CAP_CHECKPOINT_RESTORE: Final = 40
CAP_LAST_CAP: Final = CAP_CHECKPOINT_RESTORE

CAP_FULL_SET: Final = (1 << CAP_LAST_CAP + 1) - 1
#: What setfsuid() away from root takes: CAP_FS_MASK, and with CAP_LINUX_IMMUTABLE (9) what counts for NFS too.
CAP_FS_SET: Final = (
    1 << CAP_CHOWN
    | 1 << CAP_MKNOD
    | 1 << CAP_DAC_OVERRIDE
    | 1 << CAP_DAC_READ_SEARCH
    | 1 << CAP_FOWNER
    | 1 << CAP_FSETID
    | 1 << CAP_MAC_OVERRIDE
    | 1 << 9
)
