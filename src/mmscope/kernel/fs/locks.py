# SPDX-License-Identifier: GPL-2.0-or-later
"""flock(2), POSIX record locks, open file description locks (fs/locks.c).

                    belongs to             gone with                                    a fork's child
    flock           the open file          its last descriptor                          shares it
    POSIX record    the descriptor table   any close of the file by that table          has none
    OFD record      the open file          its last descriptor                          shares it

A request that has to wait stands below the lock that it conflicts with, or below a request there that it conflicts with
too: what is released wakes only those who then have a chance.

    lock <- request <- request
         <- request
"""

from __future__ import annotations

import mmscope.kernel.core.sched as core_sched
import mmscope.kernel.core.signal as core_signal
import mmscope.kernel.core.wait as core_wait
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import current_files, fdget, fdput, fget_raw
from mmscope.kernel.include.errno import EAGAIN, EBADF, EDEADLK, EINVAL, ENOENT, EOVERFLOW, ERESTARTSYS, KernelError
from mmscope.kernel.include.filelock import (
    F_RDLCK,
    F_UNLCK,
    F_WRLCK,
    FL_CLOSE,
    FL_EXISTS,
    FL_FLOCK,
    FL_OFDLCK,
    FL_POSIX,
    FL_SLEEP,
    LOCK_EX,
    LOCK_MAND,
    LOCK_NB,
    LOCK_READ,
    LOCK_RW,
    LOCK_SH,
    LOCK_UN,
    LOCK_WRITE,
    OFFSET_MAX,
    FileLock,
    FileLockContext,
)
from mmscope.kernel.include.fs import FMODE_READ, FMODE_WRITE, File, Inode
from mmscope.kernel.include.sched import TASK_INTERRUPTIBLE, FilesStruct
from mmscope.kernel.include.wait import WaitQueueEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = [
    "fcntl_getlk", "fcntl_setlk", "flock_lock_inode", "ksys_flock", "locks_delete_block", "locks_remove_file",
    "locks_remove_posix", "locks_show", "posix_lock_inode", "posix_test_lock", "show_fd_locks",
]  # fmt: skip

F_GETLK: Final = 5
F_SETLK: Final = 6
F_SETLKW: Final = 7
F_OFD_GETLK: Final = 36
F_OFD_SETLK: Final = 37
F_OFD_SETLKW: Final = 38

#: What posix_lock_inode() and flock_lock_inode() return when the request now waits.
FILE_LOCK_DEFERRED: Final = 1
MAX_DEADLK_ITERATIONS: Final = 10


def copy_lock(fl: FileLock) -> FileLock:
    """locks_copy_lock(): without those who wait."""
    new = FileLock(fl.fl_file, fl.fl_flags, fl.fl_type, fl.fl_owner, fl.fl_pid)
    new.fl_start = fl.fl_start
    new.fl_end = fl.fl_end
    return new


def locks_get_lock_context(inode: Inode, type: int) -> FileLockContext | None:
    """The inode's locks. None: it never had one, and to unlock none is needed."""
    ctx = inode.i_flctx
    if ctx is None and type != F_UNLCK:
        ctx = inode.i_flctx = FileLockContext()
    return ctx


# --- conflicts


def posix_same_owner(fl1: FileLock, fl2: FileLock) -> bool:
    """Locks that do not conflict, and are merged."""
    return fl1.fl_owner is fl2.fl_owner


def locks_overlap(fl1: FileLock, fl2: FileLock) -> bool:
    """Some byte is in both."""
    return fl1.fl_end >= fl2.fl_start and fl2.fl_end >= fl1.fl_start


def locks_conflict(caller_fl: FileLock, sys_fl: FileLock) -> bool:
    """By their types only."""
    return F_WRLCK in (sys_fl.fl_type, caller_fl.fl_type)


def posix_locks_conflict(caller_fl: FileLock, sys_fl: FileLock) -> bool:
    """Record locks: other owners, overlapping ranges."""
    if posix_same_owner(caller_fl, sys_fl) or not locks_overlap(caller_fl, sys_fl):
        return False
    return locks_conflict(caller_fl, sys_fl)


def flock_locks_conflict(caller_fl: FileLock, sys_fl: FileLock) -> bool:
    """flock: of other open files."""
    if caller_fl.fl_file is sys_fl.fl_file or (caller_fl.fl_type | sys_fl.fl_type) & LOCK_MAND:
        return False
    return locks_conflict(caller_fl, sys_fl)


def conflict(caller_fl: FileLock, sys_fl: FileLock) -> bool:
    """Of two locks of the same kind."""
    if caller_fl.fl_flags & FL_FLOCK:
        return flock_locks_conflict(caller_fl, sys_fl)
    return posix_locks_conflict(caller_fl, sys_fl)


# --- waiting requests


def __locks_delete_block(k: Kernel, waiter: FileLock) -> None:
    """`waiter` waits for nobody any more."""
    if waiter in k.blocked_hash:
        k.blocked_hash.remove(waiter)
    if waiter.fl_blocker is not None:
        waiter.fl_blocker.fl_blocked_requests.remove(waiter)
        waiter.fl_blocker = None


def __locks_wake_up_blocks(k: Kernel, blocker: FileLock) -> None:
    """All that wait for `blocker` look again."""
    while blocker.fl_blocked_requests:
        waiter = blocker.fl_blocked_requests[0]
        __locks_delete_block(k, waiter)
        core_wait.wake_up(waiter.fl_wait)


def locks_delete_block(k: Kernel, waiter: FileLock) -> None:
    """A request is over, granted or not: who waited for it shall look again."""
    __locks_wake_up_blocks(k, waiter)
    __locks_delete_block(k, waiter)


def __locks_insert_block(k: Kernel, blocker: FileLock, waiter: FileLock) -> None:
    """`waiter` waits for `blocker`, or for a request below it that is in its way. Its own waiters need not: they look again."""
    found = True
    while found:
        found = False
        for fl in blocker.fl_blocked_requests:
            if conflict(fl, waiter):
                blocker = fl
                found = True
                break
    waiter.fl_blocker = blocker
    blocker.fl_blocked_requests.append(waiter)
    if blocker.fl_flags & FL_POSIX and not blocker.fl_flags & FL_OFDLCK:
        k.blocked_hash.insert(0, waiter)
    __locks_wake_up_blocks(k, waiter)


def locks_move_blocks(new: FileLock, fl: FileLock) -> None:
    """Who waits for the request waits for the lock that it has become."""
    for waiter in fl.fl_blocked_requests:
        waiter.fl_blocker = new
    new.fl_blocked_requests += fl.fl_blocked_requests
    fl.fl_blocked_requests = []


def what_owner_is_waiting_for(k: Kernel, block_fl: FileLock) -> FileLock | None:
    """The lock that the owner of `block_fl` waits for; None: it waits for none."""
    for waiter in k.blocked_hash:
        if posix_same_owner(waiter, block_fl):
            fl = waiter
            while fl.fl_blocker is not None:
                fl = fl.fl_blocker
            return fl
    return None


def posix_locks_deadlock(k: Kernel, caller_fl: FileLock, block_fl: FileLock) -> bool:
    """Would `caller_fl` wait, by up to ten others, for its own owner? An OFD lock has no owner that could wait."""
    if caller_fl.fl_flags & FL_OFDLCK:
        return False
    for _ in range(MAX_DEADLK_ITERATIONS + 1):
        fl = what_owner_is_waiting_for(k, block_fl)
        if fl is None:
            return False
        if posix_same_owner(caller_fl, fl):
            return True
        block_fl = fl
    return False


# --- locks in effect


def locks_insert_lock_ctx(k: Kernel, fl: FileLock, locks: list[FileLock], before: int) -> None:
    """A lock takes effect: into the inode's list at index `before`, and to the head of /proc/locks."""
    locks.insert(before, fl)
    k.file_lock_list.insert(0, fl)


def locks_delete_lock_ctx(k: Kernel, fl: FileLock, locks: list[FileLock]) -> None:
    """A lock ends."""
    locks.remove(fl)
    k.file_lock_list.remove(fl)
    __locks_wake_up_blocks(k, fl)


def flock_lock_inode(k: Kernel, inode: Inode, request: FileLock) -> int:
    """flock: set, convert or remove. 0, or FILE_LOCK_DEFERRED with FL_SLEEP; raises EAGAIN, ENOENT (FL_EXISTS).

    A conversion gives the old lock up first: others may come in between, and it is lost if the new one is refused.
    """
    ctx = locks_get_lock_context(inode, request.fl_type)
    if ctx is None:
        if request.fl_flags & FL_EXISTS:
            raise KernelError(ENOENT)
        return 0
    found = False
    for fl in ctx.flc_flock:
        if fl.fl_file is request.fl_file:
            if fl.fl_type == request.fl_type:
                return 0
            found = True
            locks_delete_lock_ctx(k, fl, ctx.flc_flock)
            break
    if request.fl_type == F_UNLCK:
        if request.fl_flags & FL_EXISTS and not found:
            raise KernelError(ENOENT)
        return 0
    for fl in ctx.flc_flock:
        if flock_locks_conflict(request, fl):
            if not request.fl_flags & FL_SLEEP:
                raise KernelError(EAGAIN)
            __locks_insert_block(k, fl, request)
            return FILE_LOCK_DEFERRED
    new_fl = copy_lock(request)
    locks_move_blocks(new_fl, request)
    locks_insert_lock_ctx(k, new_fl, ctx.flc_flock, len(ctx.flc_flock))
    return 0


def posix_lock_inode(k: Kernel, inode: Inode, request: FileLock) -> int:
    """A record lock: set, convert or remove a range. 0, or FILE_LOCK_DEFERRED with FL_SLEEP; raises EAGAIN, EDEADLK, ENOENT."""
    ctx = locks_get_lock_context(inode, request.fl_type)
    if ctx is None:
        return 0
    if request.fl_type != F_UNLCK:
        for fl in ctx.flc_posix:
            if not posix_locks_conflict(request, fl):
                continue
            if not request.fl_flags & FL_SLEEP:
                raise KernelError(EAGAIN)
            __locks_wake_up_blocks(k, request)
            if posix_locks_deadlock(k, request, fl):
                raise KernelError(EDEADLK)
            __locks_insert_block(k, fl, request)
            return FILE_LOCK_DEFERRED
    posix_set_range(k, ctx, request)
    return 0


def posix_set_range(k: Kernel, ctx: FileLockContext, request: FileLock) -> None:
    """Fit `request` into the owner's locks: those of its type that it meets or touches become one with it, others give room."""
    locks = ctx.flc_posix
    added = False
    left: FileLock | None = None
    right: FileLock | None = None
    at = 0
    while at < len(locks) and not posix_same_owner(request, locks[at]):
        at += 1
    while at < len(locks) and posix_same_owner(request, locks[at]):
        fl = locks[at]
        if request.fl_type == fl.fl_type:
            if fl.fl_end < request.fl_start - 1:
                at += 1
                continue
            if fl.fl_start - 1 > request.fl_end:
                break
            fl.fl_start = request.fl_start = min(fl.fl_start, request.fl_start)
            fl.fl_end = request.fl_end = max(fl.fl_end, request.fl_end)
            if added:
                locks_delete_lock_ctx(k, fl, locks)
                continue
            request = fl
            added = True
        elif fl.fl_end < request.fl_start:
            pass
        elif fl.fl_start > request.fl_end:
            break
        else:
            if request.fl_type == F_UNLCK:
                added = True
            if fl.fl_start < request.fl_start:
                left = fl
            if fl.fl_end > request.fl_end:
                right = fl
                break
            if fl.fl_start >= request.fl_start:
                if added:
                    locks_delete_lock_ctx(k, fl, locks)
                    continue
                new_fl = copy_lock(request)
                locks_move_blocks(new_fl, request)
                request = new_fl
                locks_insert_lock_ctx(k, new_fl, locks, at)
                locks_delete_lock_ctx(k, fl, locks)
                added = True
        at += 1
    if not added:
        if request.fl_type == F_UNLCK:
            if request.fl_flags & FL_EXISTS:
                raise KernelError(ENOENT)
            return
        new_fl = copy_lock(request)
        locks_move_blocks(new_fl, request)
        locks_insert_lock_ctx(k, new_fl, locks, at)
    if right is not None:
        if left is right:
            # The request lies within one lock: that splits.
            left = copy_lock(right)
            locks_insert_lock_ctx(k, left, locks, at)
        right.fl_start = request.fl_end + 1
        __locks_wake_up_blocks(k, right)
    if left is not None:
        left.fl_end = request.fl_start - 1
        __locks_wake_up_blocks(k, left)


def locks_lock_inode_wait(k: Kernel, inode: Inode, fl: FileLock) -> None:
    """Set the lock, waiting for it with FL_SLEEP. Raises what posix_lock_inode() does, and ERESTARTSYS."""
    current = k.current
    flock = fl.fl_flags & FL_FLOCK != 0
    error = 0
    while not error:
        try:
            ret = flock_lock_inode(k, inode, fl) if flock else posix_lock_inode(k, inode, fl)
        except KernelError as e:
            error = e.errno or EAGAIN
            break
        if ret != FILE_LOCK_DEFERRED:
            break
        wait = WaitQueueEntry(current)
        current.wchan = "flock" if flock else "fcntl(F_SETLKW)"
        while True:
            core_wait.prepare_to_wait(fl.fl_wait, wait, TASK_INTERRUPTIBLE)
            if fl.fl_blocker is None:
                break
            if core_signal.signal_pending(current):
                error = ERESTARTSYS
                break
            core_sched.schedule(k)
        core_wait.finish_wait(fl.fl_wait, wait)
        current.wchan = ""
    locks_delete_block(k, fl)
    if error:
        raise KernelError(error)


# --- flock(2)


def flock_translate_cmd(cmd: int) -> int:
    """The lock's type. EINVAL: not exactly one of LOCK_SH, LOCK_EX, LOCK_UN."""
    if cmd & LOCK_MAND:
        return cmd & (LOCK_MAND | LOCK_RW)
    if cmd == LOCK_SH:
        return F_RDLCK
    if cmd == LOCK_EX:
        return F_WRLCK
    if cmd == LOCK_UN:
        return F_UNLCK
    raise KernelError(EINVAL)


def flock_make_lock(k: Kernel, file: File, type: int) -> FileLock:
    """A request of the current process."""
    return FileLock(file, FL_FLOCK, type, file, k.current.tgid)


def ksys_flock(k: Kernel, fd: int, cmd: int) -> int:
    """flock(2). LOCK_MAND does nothing since v5.16; a bad command counts before a bad descriptor since v6.0."""
    if cmd & LOCK_MAND and k.config.at_least(5, 16):
        k.printk_once(
            "flock", "Attempt to set a LOCK_MAND lock via flock(2). This support has been removed and the request ignored."
        )
        return 0
    if k.config.at_least(6, 0):
        flock_translate_cmd(cmd & ~LOCK_NB)
    file = fdget(k, fd)
    try:
        if cmd & ~LOCK_NB != LOCK_UN and not cmd & LOCK_MAND and not file.f_mode & (FMODE_READ | FMODE_WRITE):
            raise KernelError(EBADF)
        lock = flock_make_lock(k, file, flock_translate_cmd(cmd & ~LOCK_NB))
        if not cmd & LOCK_NB:
            lock.fl_flags |= FL_SLEEP
        locks_lock_inode_wait(k, file.f_inode, lock)
    finally:
        fdput(file)
    return 0


# --- fcntl(2)


def flock_to_posix_lock(k: Kernel, file: File, raw: bytes) -> FileLock:
    """struct flock as a request of the current process. EINVAL: whence, type, or before byte 0; EOVERFLOW beyond the last."""
    l_type, l_whence = [int.from_bytes(raw[i : i + 2], "little", signed=True) for i in (0, 2)]
    l_start, l_len = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in (8, 16)]
    if l_whence == 0:
        start = 0
    elif l_whence == 1:
        start = file.f_pos
    elif l_whence == 2:
        start = file.f_inode.i_size
    else:
        raise KernelError(EINVAL)
    if l_start > OFFSET_MAX - start:
        raise KernelError(EOVERFLOW)
    start += l_start
    if start < 0:
        raise KernelError(EINVAL)
    end = OFFSET_MAX
    if l_len > 0:
        if l_len - 1 > OFFSET_MAX - start:
            raise KernelError(EOVERFLOW)
        end = start + l_len - 1
    elif l_len < 0:
        if start + l_len < 0:
            raise KernelError(EINVAL)
        end = start - 1
        start += l_len
    if l_type not in (F_RDLCK, F_WRLCK, F_UNLCK):
        raise KernelError(EINVAL)
    fl = FileLock(file, FL_POSIX, l_type, current_files(k), k.current.tgid)
    fl.fl_start = start
    fl.fl_end = end
    return fl


def make_ofdlck(fl: FileLock, raw: bytes) -> None:
    """The request is the open file's. EINVAL unless l_pid is 0."""
    if any(raw[24:28]):
        raise KernelError(EINVAL)
    fl.fl_flags |= FL_OFDLCK
    fl.fl_owner = fl.fl_file
    fl.fl_pid = -1


def posix_test_lock(inode: Inode, fl: FileLock) -> FileLock | None:
    """The first lock that is in the way of `fl`. Asked for F_UNLCK (v6.6): the first one of its own."""
    ctx = inode.i_flctx
    if ctx is not None:
        for cfl in ctx.flc_posix:
            if fl.fl_type == F_UNLCK:
                if posix_same_owner(fl, cfl) and locks_overlap(fl, cfl):
                    return cfl
            elif posix_locks_conflict(fl, cfl):
                return cfl
    return None


def fcntl_getlk(k: Kernel, file: File, cmd: int, arg: int) -> int:
    """F_GETLK, F_OFD_GETLK: the lock that is in the way replaces the request; if none is, only its type becomes F_UNLCK."""
    raw = copy_from_user(k, arg, 32)
    l_type = int.from_bytes(raw[0:2], "little", signed=True)
    if l_type not in (F_RDLCK, F_WRLCK) and not (cmd == F_OFD_GETLK and l_type == F_UNLCK and k.config.at_least(6, 6)):
        raise KernelError(EINVAL)
    fl = flock_to_posix_lock(k, file, raw)
    if cmd == F_OFD_GETLK:
        make_ofdlck(fl, raw)
    found = posix_test_lock(file.f_inode, fl)
    if found is None:
        raw = F_UNLCK.to_bytes(2, "little") + raw[2:]
    else:
        length = 0 if found.fl_end == OFFSET_MAX else found.fl_end - found.fl_start + 1
        raw = found.fl_type.to_bytes(2, "little") + bytes(2) + raw[4:8] + found.fl_start.to_bytes(8, "little")
        raw += length.to_bytes(8, "little") + found.fl_pid.to_bytes(4, "little", signed=True) + bytes(4)
    copy_to_user(k, arg, raw)
    return 0


def fcntl_setlk(k: Kernel, fd: int, file: File, cmd: int, arg: int) -> int:
    """F_SETLK, F_SETLKW and their OFD relatives. EBADF: the lock needs a descriptor that may read (F_RDLCK) or write."""
    raw = copy_from_user(k, arg, 32)
    fl = flock_to_posix_lock(k, file, raw)
    if fl.fl_type == F_RDLCK and not file.f_mode & FMODE_READ:
        raise KernelError(EBADF)
    if fl.fl_type == F_WRLCK and not file.f_mode & FMODE_WRITE:
        raise KernelError(EBADF)
    if cmd in (F_OFD_SETLK, F_OFD_SETLKW):
        make_ofdlck(fl, raw)
    if cmd in (F_SETLKW, F_OFD_SETLKW):
        fl.fl_flags |= FL_SLEEP
    fdget(k, fd)
    try:
        locks_lock_inode_wait(k, file.f_inode, fl)
        if fl.fl_type != F_UNLCK and not fl.fl_flags & FL_OFDLCK and current_files(k).fd.get(fd) is not file:
            # Closed by another thread while we waited: the close has not seen this lock.
            fl.fl_type = F_UNLCK
            posix_lock_inode(k, file.f_inode, fl)
            raise KernelError(EBADF)
    finally:
        fdput(file)
    return 0


def do_fcntl_lock(k: Kernel, fd: int, cmd: int, arg: int) -> int:
    """The commands of fcntl(2) about record locks."""
    file = fget_raw(k, fd)
    if cmd in (F_GETLK, F_OFD_GETLK):
        return fcntl_getlk(k, file, cmd, arg)
    return fcntl_setlk(k, fd, file, cmd, arg)


# --- the end of descriptors and files


def locks_remove_posix(k: Kernel, file: File, owner: object) -> None:
    """`owner` closes one of its descriptors of this inode: all its record locks on it go."""
    ctx = file.f_inode.i_flctx
    if ctx is None or not ctx.flc_posix:
        return
    fl = FileLock(file, FL_POSIX | FL_CLOSE, F_UNLCK, owner, k.current.tgid if k.has_current() else 0)
    posix_lock_inode(k, file.f_inode, fl)


def locks_remove_file(file: File) -> None:
    """The open file goes, and with it its OFD locks and its flock."""
    inode = file.f_inode
    k = inode.i_sb.kernel
    locks_remove_posix(k, file, file)
    ctx = inode.i_flctx
    if ctx is not None and ctx.flc_flock:
        flock_lock_inode(k, inode, FileLock(file, FL_FLOCK | FL_CLOSE, F_UNLCK, file, 0))


# --- /proc


def lock_get_status(fl: FileLock, id: int, level: int) -> str:
    """A line of /proc/locks; `level` > 0: how deep the request stands below the lock."""
    if fl.fl_flags & FL_POSIX:
        kind = "OFDLCK ADVISORY " if fl.fl_flags & FL_OFDLCK else "POSIX  ADVISORY "
    else:
        kind = "FLOCK  MSNFS    " if fl.fl_type & LOCK_MAND else "FLOCK  ADVISORY "
    if fl.fl_type & LOCK_MAND:
        reads, writes = fl.fl_type & LOCK_READ, fl.fl_type & LOCK_WRITE
        type = ("RW   " if writes else "READ ") if reads else "WRITE" if writes else "NONE "
    else:
        type = ("READ", "WRITE", "UNLCK")[fl.fl_type]
    sb = fl.fl_file.f_inode.i_sb
    where = f"{sb.s_dev >> 20:02x}:{sb.s_dev & 0xFFFFF:02x}:{fl.fl_file.f_inode.i_ino}"
    end = "EOF" if fl.fl_end == OFFSET_MAX else str(fl.fl_end)
    arrow = "-> ".rjust(level + 2) if level else ""
    return f"{id}: {arrow}{kind} {type} {fl.fl_pid} {where} {fl.fl_start} {end}\n"


def show_blocked(fl: FileLock, id: int, level: int, deep: bool) -> str:
    """Those who wait for `fl`; since v5.13 those who wait for them too."""
    out = ""
    for waiter in fl.fl_blocked_requests:
        out += lock_get_status(waiter, id, level)
        if deep:
            out += show_blocked(waiter, id, level + 1, deep)
    return out


def locks_show(k: Kernel, index: int) -> tuple[bytes, int] | None:
    """The record at `index` of /proc/locks, the newest lock first: the lock, and the requests that wait for it."""
    if index >= len(k.file_lock_list):
        return None
    fl = k.file_lock_list[index]
    text = lock_get_status(fl, index + 1, 0) + show_blocked(fl, index + 1, 1, k.config.at_least(5, 13))
    return text.encode(), index + 1


def show_fd_locks(file: File, files: FilesStruct) -> str:
    """The lock: lines of /proc/PID/fdinfo/N: those set by way of this open file."""
    ctx = file.f_inode.i_flctx
    if ctx is None:
        return ""
    out = ""
    id = 0
    for fl in ctx.flc_flock + ctx.flc_posix:
        if fl.fl_file is file and (fl.fl_owner is files or fl.fl_owner is file):
            id += 1
            out += "lock:\t" + lock_get_status(fl, id, 0)
    return out
