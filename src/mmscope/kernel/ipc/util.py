# SPDX-License-Identifier: GPL-2.0-or-later
"""What shared memory and semaphores of System V have in common (ipc/util.c): identifiers and permissions."""

from __future__ import annotations

from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_IPC_OWNER, CAP_SYS_ADMIN
from mmscope.kernel.include.errno import EACCES, EIDRM, EINVAL, ENOSPC, EPERM, KernelError
from mmscope.kernel.include.time import NSEC_PER_SEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

IPC_PRIVATE: Final = 0
IPC_CREAT: Final = 0o1000
IPC_EXCL: Final = 0o2000
IPC_NOWAIT: Final = 0o4000
IPC_RMID: Final = 0
IPC_SET: Final = 1
IPC_STAT: Final = 2
IPC_INFO: Final = 3
#: Indices; an id is index + IPCMNI * sequence.
IPCMNI: Final = 32768


class KernIpcPerm:
    """struct kern_ipc_perm: what has an id."""

    def __init__(self, k: Kernel, id: int, key: int, mode: int) -> None:
        cred = k.current.cred
        self.id = id
        self.key = key
        self.mode = mode
        self.uid = self.cuid = cred.euid
        self.gid = self.cgid = cred.egid


class IpcIds:
    """struct ipc_ids: where the next id is looked for."""

    def __init__(self) -> None:
        self.last_idx = -1
        self.seq = 0


def ipc_seconds(k: Kernel) -> int:
    """The wall clock, seconds since 1970."""
    return (k.timekeeper.now_ns + k.timekeeper.wall_offset_ns) // NSEC_PER_SEC


def ipc_addid(ids: IpcIds, taken: Iterable[int], limit: int) -> int:
    """A free id, ENOSPC if there are `limit`: indices go round, so that a removed id is not met again at once."""
    used = {id & (IPCMNI - 1) for id in taken}
    if len(used) >= limit:
        raise KernelError(ENOSPC)
    idx = ids.last_idx + 1
    while idx in used or idx >= IPCMNI:
        idx = 0 if idx >= IPCMNI else idx + 1
    if idx <= ids.last_idx:
        ids.seq += 1
    ids.last_idx = idx
    return ids.seq * IPCMNI + idx


def ipc_max_idx(taken: Iterable[int]) -> int:
    """The largest index in use, 0 if there is none."""
    return max([id & (IPCMNI - 1) for id in taken], default=0)


def ipc_no_object(taken: Iterable[int], id: int) -> KernelError:
    """The error for an id that nothing has: EINVAL, EIDRM if its index was used again."""
    return KernelError(EIDRM if id >= 0 and any(one & (IPCMNI - 1) == id & (IPCMNI - 1) for one in taken) else EINVAL)


def ipcperms(k: Kernel, ipcp: KernIpcPerm, flag: int) -> None:
    """EACCES unless the mode bits, or a capability, allow all that `flag` asks for (of owner, group or others)."""
    cred = k.current.cred
    requested = (flag >> 6) | (flag >> 3) | flag
    granted = ipcp.mode
    if cred.euid in (ipcp.cuid, ipcp.uid):
        granted >>= 6
    elif cred.egid in (ipcp.cgid, ipcp.gid) or ipcp.cgid in cred.groups or ipcp.gid in cred.groups:
        granted >>= 3
    if requested & ~granted & 7 and not capable(k, CAP_IPC_OWNER):
        raise KernelError(EACCES)


def ipcctl_check(k: Kernel, ipcp: KernIpcPerm) -> None:
    """IPC_SET and IPC_RMID are for the owner, the creator and the administrator: EPERM."""
    if k.current.cred.euid not in (ipcp.cuid, ipcp.uid) and not capable(k, CAP_SYS_ADMIN):
        raise KernelError(EPERM)


def ipc64_perm(ipcp: KernIpcPerm) -> bytes:
    """struct ipc64_perm, 48 bytes."""
    out = b""
    for value in (ipcp.key, ipcp.uid, ipcp.gid, ipcp.cuid, ipcp.cgid, ipcp.mode, ipcp.id // IPCMNI):
        out += (value & 0xFFFFFFFF).to_bytes(4, "little")
    return out.ljust(48, b"\0")


def ipc_update_perm(ipcp: KernIpcPerm, raw: bytes) -> None:
    """IPC_SET: owner, group and mode of a struct ipc64_perm."""
    ipcp.uid = int.from_bytes(raw[4:8], "little")
    ipcp.gid = int.from_bytes(raw[8:12], "little")
    ipcp.mode = ipcp.mode & ~0o777 | int.from_bytes(raw[20:24], "little") & 0o777
