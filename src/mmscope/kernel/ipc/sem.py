# SPDX-License-Identifier: GPL-2.0-or-later
"""System V semaphores (ipc/sem.c): arrays whose operations are done together or not at all, and undone when a process dies.

Who must wait stands in the array's queue. Each change of a value tries the queue again, first those who wait for zero, then
the others in the order of their coming.
"""

from __future__ import annotations

import mmscope.kernel.core.hrtimer as core_hrtimer
import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.include.errno import (
    E2BIG,
    EAGAIN,
    EEXIST,
    EFBIG,
    EIDRM,
    EINTR,
    EINVAL,
    ENOENT,
    ENOSPC,
    ERANGE,
    KernelError,
)
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, TASK_RUNNING, SemUndoList
from mmscope.kernel.ipc.util import (
    IPC_CREAT,
    IPC_EXCL,
    IPC_INFO,
    IPC_NOWAIT,
    IPC_PRIVATE,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    IPCMNI,
    IpcIds,
    KernIpcPerm,
    ipc64_perm,
    ipc_addid,
    ipc_max_idx,
    ipc_no_object,
    ipc_seconds,
    ipc_update_perm,
    ipcctl_check,
    ipcperms,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct

    #: struct sembuf: (sem_num, sem_op, sem_flg).
    SemBuf = tuple[int, int, int]

__all__ = ["SemIds", "copy_semundo", "do_semtimedop", "exit_sem", "ksys_semctl", "ksys_semget", "sem_ids"]

SEM_UNDO: Final = 0x1000
GETPID: Final = 11
GETVAL: Final = 12
GETALL: Final = 13
GETNCNT: Final = 14
GETZCNT: Final = 15
SETVAL: Final = 16
SETALL: Final = 17
SEM_STAT: Final = 18
SEM_INFO: Final = 19
SEM_STAT_ANY: Final = 20

SEMMNI: Final = 32000
SEMMSL: Final = 32000
SEMMNS: Final = SEMMNI * SEMMSL
SEMOPM: Final = 500
SEMVMX: Final = 32767
SEMAEM: Final = SEMVMX
SEMUSZ: Final = 20


class SemQueue:
    """struct sem_queue: a task that waits."""

    def __init__(self, sops: list[SemBuf], alter: bool, undo: list[int] | None, task: TaskStruct) -> None:
        self.sops = sops
        self.alter = alter
        self.undo = undo
        self.task = task
        #: 0: done; an errno; -1: it still waits.
        self.status = -1
        #: The operation that cannot be done yet.
        self.blocking: SemBuf = sops[0]


class SemArray(KernIpcPerm):
    """struct sem_array."""

    def __init__(self, k: Kernel, id: int, key: int, mode: int, nsems: int) -> None:
        super().__init__(k, id, key, mode)
        self.sem_nsems = nsems
        self.semval = [0] * nsems
        #: Who changed each last.
        self.sempid = [0] * nsems
        #: Seconds since 1970.
        self.sem_otime = 0
        self.sem_ctime = ipc_seconds(k)
        self.pending: list[SemQueue] = []
        #: semadj of each list that undoes something here.
        self.list_id: dict[SemUndoList, list[int]] = {}


class SemIds(IpcIds):
    """The arrays of struct ipc_namespace, in Kernel.sem_ids."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: dict[int, SemArray] = {}
        #: Semaphores of all arrays.
        self.used_sems = 0


def sem_ids(k: Kernel) -> SemIds:
    """The arrays, none until the first semget."""
    ids = k.sem_ids
    if ids is None:
        ids = SemIds()
        k.sem_ids = ids
    assert isinstance(ids, SemIds)
    return ids


def newary(k: Kernel, key: int, nsems: int, semflg: int) -> int:
    """A new array: its id. Raises EINVAL, ENOSPC."""
    ids = sem_ids(k)
    if not nsems:
        raise KernelError(EINVAL)
    if ids.used_sems + nsems > SEMMNS:
        raise KernelError(ENOSPC)
    id = ipc_addid(ids, ids.arrays, SEMMNI)
    ids.arrays[id] = SemArray(k, id, key, semflg & 0o777, nsems)
    ids.used_sems += nsems
    return id


def ksys_semget(k: Kernel, key: int, nsems: int, semflg: int) -> int:
    """semget(2): the id of the array with that key, made with IPC_CREAT; IPC_PRIVATE: always a new one."""
    if nsems < 0 or nsems > SEMMSL:
        raise KernelError(EINVAL)
    if key == IPC_PRIVATE:
        return newary(k, key, nsems, semflg)
    for sma in sem_ids(k).arrays.values():
        if sma.key == key:
            if semflg & IPC_CREAT and semflg & IPC_EXCL:
                raise KernelError(EEXIST)
            if nsems > sma.sem_nsems:
                raise KernelError(EINVAL)
            ipcperms(k, sma, semflg)
            return sma.id
    if not semflg & IPC_CREAT:
        raise KernelError(ENOENT)
    return newary(k, key, nsems, semflg)


def sem_obtain_object(k: Kernel, id: int) -> SemArray:
    """The array of an id. EINVAL, EIDRM."""
    arrays = sem_ids(k).arrays
    sma = arrays.get(id)
    if sma is None:
        raise ipc_no_object(arrays, id)
    return sma


# --- operations


def perform_atomic_semop(sma: SemArray, q: SemQueue) -> int:
    """Do all of them (0), or none: -1 if they must wait, ERANGE, EAGAIN."""
    values = dict[int, int]()
    undos = dict[int, int]()
    for sop in q.sops:
        num, op, flg = sop
        result = values.get(num, sma.semval[num])
        if (not op and result) or result + op < 0:
            q.blocking = sop
            return EAGAIN if flg & IPC_NOWAIT else -1
        result += op
        if result > SEMVMX:
            return ERANGE
        if flg & SEM_UNDO and q.undo is not None:
            undo = undos.get(num, q.undo[num]) - op
            if undo < -SEMAEM - 1 or undo > SEMAEM:
                return ERANGE
            undos[num] = undo
        values[num] = result
    for num, result in values.items():
        sma.semval[num] = result
        sma.sempid[num] = q.task.tgid
    if q.undo is not None:
        for num, undo in undos.items():
            q.undo[num] = undo
    return 0


def wake_up_sem_queue(sma: SemArray, q: SemQueue, status: int) -> None:
    """It waits no longer."""
    sma.pending.remove(q)
    q.status = status
    core_sched.wake_up_process(q.task)


def do_smart_update(k: Kernel, sma: SemArray) -> None:
    """A value has changed: whoever waits for it goes on."""
    again = True
    while again:
        again = False
        for q in [q for q in sma.pending if not q.alter]:
            error = perform_atomic_semop(sma, q)
            if error >= 0:
                wake_up_sem_queue(sma, q, error)
        for q in [q for q in sma.pending if q.alter]:
            error = perform_atomic_semop(sma, q)
            if error < 0:
                continue
            wake_up_sem_queue(sma, q, error)
            if not error:
                # Earlier ones may wait for what it gave.
                again = True
                break
    sma.sem_otime = ipc_seconds(k)


def find_alloc_undo(k: Kernel, sma: SemArray) -> list[int]:
    """semadj of the current process for this array."""
    current = k.current
    if current.sysvsem is None:
        current.sysvsem = SemUndoList()
    undo = sma.list_id.get(current.sysvsem)
    if undo is None:
        undo = sma.list_id[current.sysvsem] = [0] * sma.sem_nsems
    return undo


def do_semtimedop(k: Kernel, semid: int, tsops: int, nsops: int, timeout: int | None) -> int:
    """semop(2) and semtimedop(2); `timeout` in ns, None: no limit. Raises E2BIG, EFBIG, EACCES, ERANGE, EAGAIN, EINTR, EIDRM."""
    if nsops < 1 or semid < 0:
        raise KernelError(EINVAL)
    if nsops > SEMOPM:
        raise KernelError(E2BIG)
    raw = copy_from_user(k, tsops, nsops * 6)
    sops: list[SemBuf] = []
    for at in range(0, nsops * 6, 6):
        num, op = int.from_bytes(raw[at : at + 2], "little"), int.from_bytes(raw[at + 2 : at + 4], "little", signed=True)
        sops.append((num, op, int.from_bytes(raw[at + 4 : at + 6], "little")))
    if timeout is not None and timeout < 0:
        raise KernelError(EINVAL)
    alter = any(sop[1] for sop in sops)
    undos = any(sop[2] & SEM_UNDO for sop in sops)
    sma = sem_obtain_object(k, semid)
    if max([sop[0] for sop in sops]) >= sma.sem_nsems:
        raise KernelError(EFBIG)
    ipcperms(k, sma, 0o222 if alter else 0o444)
    current = k.current
    q = SemQueue(sops, alter, find_alloc_undo(k, sma) if undos else None, current)
    error = perform_atomic_semop(sma, q)
    if error > 0:
        raise KernelError(error)
    if error == 0:
        if alter:
            do_smart_update(k, sma)
        else:
            sma.sem_otime = ipc_seconds(k)
        return 0
    return sem_wait(k, sma, q, timeout)


def sem_wait(k: Kernel, sma: SemArray, q: SemQueue, timeout: int | None) -> int:
    """Until somebody has done our operations for us."""
    current = k.current
    expires = None if timeout is None else k.timekeeper.now_ns + timeout
    sma.pending.append(q)
    current.wchan = "semop"
    over = False
    while q.status < 0 and not over and not core_signal.signal_pending(current):
        current.state = TASK_INTERRUPTIBLE
        over = core_hrtimer.schedule_hrtimeout(k, expires)
    current.state = TASK_RUNNING
    current.wchan = ""
    if q.status < 0:
        sma.pending.remove(q)
        raise KernelError(EAGAIN if over else EINTR)
    if q.status:
        raise KernelError(q.status)
    return 0


# --- semctl


def semid64_ds(sma: SemArray) -> bytes:
    """struct semid64_ds, 104 bytes."""
    out = ipc64_perm(sma)
    for value in (sma.sem_otime, 0, sma.sem_ctime, 0, sma.sem_nsems):
        out += value.to_bytes(8, "little")
    return out.ljust(104, b"\0")


def semctl_info(k: Kernel, cmd: int, arg: int) -> int:
    """IPC_INFO, SEM_INFO: the limits."""
    ids = sem_ids(k)
    usz, aem = (len(ids.arrays), ids.used_sems) if cmd == SEM_INFO else (SEMUSZ, SEMAEM)
    out = b""
    for value in (SEMMNS, SEMMNI, SEMMNS, SEMMNS, SEMMSL, SEMOPM, SEMOPM, usz, SEMVMX, aem):
        out += value.to_bytes(4, "little")
    copy_to_user(k, arg, out)
    return ipc_max_idx(ids.arrays)


def semctl_stat(k: Kernel, semid: int, cmd: int, arg: int) -> int:
    """IPC_STAT by id, SEM_STAT by index."""
    ids = sem_ids(k)
    if cmd == IPC_STAT:
        sma = sem_obtain_object(k, semid)
    else:
        found = [one for one in ids.arrays.values() if one.id & (IPCMNI - 1) == semid & (IPCMNI - 1)]
        if not found:
            raise KernelError(EINVAL)
        sma = found[0]
    if cmd != SEM_STAT_ANY:
        ipcperms(k, sma, 0o444)
    copy_to_user(k, arg, semid64_ds(sma))
    return 0 if cmd == IPC_STAT else sma.id


def count_semcnt(sma: SemArray, semnum: int, count_zero: bool) -> int:
    """How many wait for this semaphore to be zero, or to grow."""
    return sum([q.blocking[0] == semnum and (q.blocking[1] == 0) == count_zero for q in sma.pending])


def semctl_main(k: Kernel, semid: int, semnum: int, cmd: int, arg: int) -> int:
    """GETALL, SETALL, and what is known of one semaphore."""
    sma = sem_obtain_object(k, semid)
    ipcperms(k, sma, 0o222 if cmd == SETALL else 0o444)
    if cmd == GETALL:
        copy_to_user(k, arg, b"".join([value.to_bytes(2, "little") for value in sma.semval]))
        return 0
    if cmd == SETALL:
        raw = copy_from_user(k, arg, sma.sem_nsems * 2)
        values = [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
        if max(values) > SEMVMX:
            raise KernelError(ERANGE)
        sma.semval = values
        sma.sempid = [k.current.tgid] * sma.sem_nsems
        for undo in sma.list_id.values():
            undo[:] = [0] * sma.sem_nsems
        sma.sem_ctime = ipc_seconds(k)
        do_smart_update_ctl(k, sma)
        return 0
    if not 0 <= semnum < sma.sem_nsems:
        raise KernelError(EINVAL)
    if cmd == GETVAL:
        return sma.semval[semnum]
    if cmd == GETPID:
        return sma.sempid[semnum]
    return count_semcnt(sma, semnum, cmd == GETZCNT)


def do_smart_update_ctl(k: Kernel, sma: SemArray) -> None:
    """After semctl(2) and exit(2): the time of the last semop(2) changes only if one is done now."""
    otime, waiting = sma.sem_otime, len(sma.pending)
    do_smart_update(k, sma)
    if len(sma.pending) == waiting:
        sma.sem_otime = otime


def semctl_setval(k: Kernel, semid: int, semnum: int, val: int) -> int:
    """SETVAL."""
    if not 0 <= val <= SEMVMX:
        raise KernelError(ERANGE)
    sma = sem_obtain_object(k, semid)
    if not 0 <= semnum < sma.sem_nsems:
        raise KernelError(EINVAL)
    ipcperms(k, sma, 0o222)
    for undo in sma.list_id.values():
        undo[semnum] = 0
    sma.semval[semnum] = val
    sma.sempid[semnum] = k.current.tgid
    sma.sem_ctime = ipc_seconds(k)
    do_smart_update_ctl(k, sma)
    return 0


def freeary(k: Kernel, sma: SemArray) -> None:
    """IPC_RMID: who waits gets EIDRM."""
    ids = sem_ids(k)
    del ids.arrays[sma.id]
    ids.used_sems -= sma.sem_nsems
    for q in sma.pending[:]:
        wake_up_sem_queue(sma, q, EIDRM)


def ksys_semctl(k: Kernel, semid: int, semnum: int, cmd: int, arg: int) -> int:
    """semctl(2)."""
    if semid < 0:
        raise KernelError(EINVAL)
    if cmd in (IPC_INFO, SEM_INFO):
        return semctl_info(k, cmd, arg)
    if cmd in (IPC_STAT, SEM_STAT, SEM_STAT_ANY):
        return semctl_stat(k, semid, cmd, arg)
    if cmd in (GETALL, GETVAL, GETPID, GETNCNT, GETZCNT, SETALL):
        return semctl_main(k, semid, semnum, cmd, arg)
    if cmd == SETVAL:
        val = arg & 0xFFFFFFFF
        return semctl_setval(k, semid, semnum, val - (1 << 32) if val >> 31 else val)
    if cmd not in (IPC_RMID, IPC_SET):
        raise KernelError(EINVAL)
    raw = copy_from_user(k, arg, 104) if cmd == IPC_SET else b""
    sma = sem_obtain_object(k, semid)
    ipcctl_check(k, sma)
    if cmd == IPC_RMID:
        freeary(k, sma)
    else:
        ipc_update_perm(sma, raw)
        sma.sem_ctime = ipc_seconds(k)
    return 0


# --- fork and exit


def copy_semundo(tsk: TaskStruct, current: TaskStruct) -> None:
    """CLONE_SYSVSEM (threads): one list of what is to be undone, at the end of the last of them."""
    if current.sysvsem is None:
        current.sysvsem = SemUndoList()
    current.sysvsem.refcnt += 1
    tsk.sysvsem = current.sysvsem


def exit_sem(k: Kernel, tsk: TaskStruct) -> None:
    """The task is dead: what it did with SEM_UNDO is undone, as far as the values allow."""
    ulp = tsk.sysvsem
    if ulp is None:
        return
    tsk.sysvsem = None
    ulp.refcnt -= 1
    if ulp.refcnt or k.sem_ids is None:
        return
    for sma in list(sem_ids(k).arrays.values()):
        undo = sma.list_id.pop(ulp, None)
        if undo is None:
            continue
        for num, adj in enumerate(undo):
            if adj:
                sma.semval[num] = min(max(sma.semval[num] + adj, 0), SEMVMX)
                sma.sempid[num] = tsk.tgid
        do_smart_update_ctl(k, sma)
