# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/locks.py against a shadow that keeps the owner and type of every byte; and what differs between releases.

What programs see of it is tests/programs/c/locks.c's, natively and on the model.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.fcntl import do_fcntl
from mmscope.kernel.fs.file import close_fd
from mmscope.kernel.fs.locks import (
    F_GETLK,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_SETLK,
    ksys_flock,
    locks_delete_block,
    locks_show,
    posix_lock_inode,
    posix_test_lock,
)
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.include.errno import EAGAIN, EBADF, EDEADLK, EINVAL, KernelError
from mmscope.kernel.include.filelock import (
    F_RDLCK,
    F_UNLCK,
    F_WRLCK,
    FL_POSIX,
    FL_SLEEP,
    LOCK_EX,
    LOCK_MAND,
    LOCK_NB,
    LOCK_SH,
    OFFSET_MAX,
    FileLock,
)
from mmscope.kernel.include.fs import AT_FDCWD, O_RDWR, File
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.mm.memfd import ksys_memfd_create

from ..core.boot import boot_process
from .fs_machine import boot, user_buffer

BYTES = 12
OWNERS = 3


def user_string(k: Kernel, text: bytes) -> int:
    """A NUL-terminated string in user memory."""
    addr = user_buffer(k, len(text) + 1)
    copy_to_user(k, addr, text + b"\0")
    return addr


def some_file() -> tuple[Kernel, File]:
    k = boot_process()
    fd = ksys_memfd_create(k, user_string(k, b"file"), 0)
    files = k.current.files
    assert files is not None
    return k, files.fd[fd]


def request(file: File, owner: object, type: int, start: int, end: int, flags: int = 0) -> FileLock:
    fl = FileLock(file, FL_POSIX | flags, type, owner, 100)
    fl.fl_start, fl.fl_end = start, end
    return fl


def errno_of(call: object, *args: object) -> int:
    assert callable(call)
    try:
        call(*args)
    except KernelError as error:
        return error.errno or 0
    return 0


def check_lists(k: Kernel, file: File) -> None:
    """Each owner's locks stand together, by address, apart from each other or of different types; waiters have a reason."""
    ctx = file.f_inode.i_flctx
    if ctx is None:
        return
    seen: list[object] = []
    before: FileLock | None = None
    for fl in ctx.flc_posix:
        assert fl.fl_start <= fl.fl_end
        if before is not None and fl.fl_owner is before.fl_owner:
            assert before.fl_end < fl.fl_start
            assert before.fl_end + 1 < fl.fl_start or before.fl_type != fl.fl_type
        else:
            assert not any(fl.fl_owner is one for one in seen)
            seen.append(fl.fl_owner)
        before = fl
    assert set(map(id, k.file_lock_list)) == set(map(id, ctx.flc_posix + ctx.flc_flock))
    waiting = list(ctx.flc_posix)
    found = 0
    while waiting:
        fl = waiting.pop()
        for waiter in fl.fl_blocked_requests:
            assert waiter.fl_blocker is fl
            found += 1
            waiting.append(waiter)
    assert found == len(k.blocked_hash)


OPERATION = st.tuples(
    st.integers(0, OWNERS - 1), st.sampled_from([F_RDLCK, F_WRLCK, F_UNLCK]), st.integers(0, BYTES - 1), st.integers(0, BYTES)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATION, max_size=30))
def test_ranges_against_bytes(operations: list[tuple[int, int, int, int]]) -> None:
    k, file = some_file()
    owners = [object() for _ in range(OWNERS)]
    # The last byte stands for all behind it.
    shadow: list[list[int]] = [[F_UNLCK] * BYTES for _ in range(OWNERS)]
    for who, type, start, length in operations:
        end = BYTES - 1 if length == 0 or start + length >= BYTES else start + length - 1
        others = [t for n in range(OWNERS) if n != who for t in shadow[n][start : end + 1]]
        wanted = request(file, owners[who], type, start, OFFSET_MAX if end == BYTES - 1 else end)
        free = type == F_UNLCK or (F_WRLCK not in others and (type == F_RDLCK or F_RDLCK not in others))
        if type != F_UNLCK:
            assert (posix_test_lock(file.f_inode, wanted) is None) == free
        assert errno_of(posix_lock_inode, k, file.f_inode, wanted) == (0 if free else EAGAIN)
        if free:
            shadow[who][start : end + 1] = [type] * (end + 1 - start)
        check_lists(k, file)
        ctx = file.f_inode.i_flctx
        now = [[F_UNLCK] * BYTES for _ in range(OWNERS)]
        for fl in ctx.flc_posix if ctx is not None else ():
            n = next(i for i, owner in enumerate(owners) if owner is fl.fl_owner)
            for byte in range(fl.fl_start, min(fl.fl_end, BYTES - 1) + 1):
                now[n][byte] = fl.fl_type
        assert now == shadow


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(OPERATION, st.booleans()), max_size=30))
def test_who_waits_has_somebody_in_the_way(operations: list[tuple[tuple[int, int, int, int], bool]]) -> None:
    """An owner that waits does nothing else; it may be interrupted instead."""
    k, file = some_file()
    owners = [object() for _ in range(OWNERS)]
    waiting: dict[int, FileLock] = {}

    def submit(who: int, fl: FileLock) -> None:
        assert errno_of(posix_lock_inode, k, file.f_inode, fl) in (0, EDEADLK)
        if fl.fl_blocker is not None:
            waiting[who] = fl
            return
        waiting.pop(who, None)
        locks_delete_block(k, fl)

    for (who, type, start, length), interrupt in operations:
        if who in waiting:
            if interrupt:
                locks_delete_block(k, waiting.pop(who))
        else:
            submit(who, request(file, owners[who], type, start, start + length, FL_SLEEP))
        while woken := [n for n, fl in waiting.items() if fl.fl_blocker is None]:
            submit(woken[0], waiting[woken[0]])
        check_lists(k, file)
        for fl in waiting.values():
            assert posix_test_lock(file.f_inode, fl) is not None
        # Nobody waits for himself, by others or not.
        for n, fl in waiting.items():
            chain: list[object] = []
            at: FileLock | None = fl
            while at is not None and at.fl_owner not in chain:
                while at.fl_blocker is not None:
                    at = at.fl_blocker
                chain.append(at.fl_owner)
                at = next((one for m, one in waiting.items() if owners[m] is at.fl_owner), None)
            assert owners[n] not in chain


def struct_flock(k: Kernel, type: int, start: int, length: int) -> int:
    addr = user_buffer(k, 32)
    copy_to_user(k, addr, type.to_bytes(8, "little") + start.to_bytes(8, "little") + length.to_bytes(8, "little") + bytes(8))
    return addr


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "file").write_bytes(b"0123456789")
    return boot(tmp_path)


def open_file(k: Kernel) -> int:
    return do_sys_open(k, AT_FDCWD, user_string(k, b"/file"), O_RDWR, 0)


def proc_locks(k: Kernel) -> str:
    out = b""
    index = 0
    while (found := locks_show(k, index)) is not None:
        out += found[0]
        index = found[1]
    return out.decode()


@pytest.mark.parametrize("version", [(5, 11), (5, 13)])
def test_proc_locks_shows_those_who_wait_for_waiters_since_5_13(k: Kernel, version: tuple[int, int]) -> None:
    k.config.version = version
    fd = open_file(k)
    assert k.current.files is not None
    file = k.current.files.fd[fd]
    inode = file.f_inode
    for type in (F_WRLCK, F_RDLCK, F_WRLCK):
        posix_lock_inode(k, inode, request(file, object(), type, 0, 9, FL_SLEEP))
    where = f"{inode.i_sb.s_dev >> 20:02x}:{inode.i_sb.s_dev & 0xFFFFF:02x}:{inode.i_ino}"
    lines = [
        f"1: POSIX  ADVISORY  WRITE 100 {where} 0 9",
        f"1: -> POSIX  ADVISORY  READ 100 {where} 0 9",
        f"1:  -> POSIX  ADVISORY  WRITE 100 {where} 0 9",
    ]
    assert proc_locks(k).splitlines() == (lines if version >= (5, 13) else lines[:2])


def test_f_ofd_getlk_of_f_unlck_finds_own_locks_since_6_6(k: Kernel) -> None:
    fd = open_file(k)
    assert do_fcntl(k, fd, F_OFD_SETLK, struct_flock(k, F_WRLCK, 10, 10)) == 0
    asked = struct_flock(k, F_UNLCK, 12, 2)
    assert errno_of(do_fcntl, k, fd, F_OFD_GETLK, asked) == EINVAL
    k.config.version = (6, 6)
    assert errno_of(do_fcntl, k, fd, F_GETLK, asked) == EINVAL
    assert do_fcntl(k, fd, F_OFD_GETLK, asked) == 0
    found = copy_from_user(k, asked, 28)
    assert [int.from_bytes(found[i : i + 8], "little") for i in (0, 8, 16)] == [F_WRLCK, 10, 10]
    assert found[24:28] == b"\xff" * 4
    other = open_file(k)
    asked = struct_flock(k, F_UNLCK, 12, 2)
    assert do_fcntl(k, other, F_OFD_GETLK, asked) == 0
    assert copy_from_user(k, asked, 2) == F_UNLCK.to_bytes(2, "little")


def test_flock_commands_by_release(k: Kernel) -> None:
    fd, other = open_file(k), open_file(k)
    assert errno_of(ksys_flock, k, 999, 0) == EBADF
    # LOCK_MAND never conflicts; it does nothing at all since v5.16.
    assert ksys_flock(k, fd, LOCK_MAND | 128) == 0
    assert proc_locks(k).startswith("1: FLOCK  MSNFS     WRITE ")
    assert ksys_flock(k, other, LOCK_EX | LOCK_NB) == 0
    close_fd(k, fd)
    close_fd(k, other)
    assert proc_locks(k) == ""
    k.config.version = (6, 0)
    assert errno_of(ksys_flock, k, 999, 0) == EINVAL
    assert errno_of(ksys_flock, k, 999, LOCK_SH) == EBADF
    assert ksys_flock(k, 999, LOCK_MAND) == 0
    assert proc_locks(k) == ""


def test_the_lists_are_empty_when_all_is_closed(k: Kernel) -> None:
    fds = [open_file(k) for _ in range(3)]
    for n, fd in enumerate(fds):
        assert ksys_flock(k, fd, LOCK_SH) == 0
        assert do_fcntl(k, fd, F_SETLK, struct_flock(k, F_RDLCK, 20 * n, 10)) == 0
        assert do_fcntl(k, fd, F_OFD_SETLK, struct_flock(k, F_RDLCK, 20 * n, 10)) == 0
    assert len(k.file_lock_list) == 9
    close_fd(k, fds[1])
    # One OFD lock, one flock, and all POSIX ones.
    assert len(k.file_lock_list) == 4
    close_fd(k, fds[0])
    close_fd(k, fds[2])
    assert k.file_lock_list == []
