# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors, reads, stat, readdir: against what the host says of the same tree."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.fs.fcntl import do_fcntl
from mmscope.kernel.fs.file import close_fd, do_close_on_exec, ksys_dup2, ksys_dup3
from mmscope.kernel.fs.ioctl import ksys_ioctl
from mmscope.kernel.fs.namei_create import do_unlinkat
from mmscope.kernel.fs.open import do_sys_open
from mmscope.kernel.fs.read_write import do_readv, do_sendfile, do_writev, ksys_lseek, ksys_pread64, ksys_read, ksys_write
from mmscope.kernel.fs.readdir import ksys_getdents64
from mmscope.kernel.fs.stat import do_readlinkat, do_statx, vfs_fstat, vfs_lstat, vfs_stat
from mmscope.kernel.include.errno import EBADF, EFAULT, EINVAL, EISDIR, EMFILE, ENOTTY, EPIPE, ESPIPE, KernelError
from mmscope.kernel.include.fs import AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_LARGEFILE, O_RDWR
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.resource import RLIMIT_NOFILE
from mmscope.kernel.include.signal import SIGPIPE
from tests.kernel.fs.fs_machine import boot, peek, user_buffer

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "dir").mkdir()
    for name in ("b", "a", "c"):
        (tmp_path / "dir" / name).write_bytes(b"")
    return tmp_path


@pytest.fixture
def k(root: Path) -> Kernel:
    return boot(root)


def test_read_in_pieces(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    buf = user_buffer(k, 65536)
    got = b""
    while True:
        n = ksys_read(k, fd, buf, 7001)
        if n == 0:
            break
        got += peek(k, buf, n)
    assert got == CONTENT
    assert ksys_pread64(k, fd, buf, 10, 300) == 10
    assert peek(k, buf, 10) == CONTENT[300:310]
    assert ksys_lseek(k, fd, -5, 2) == len(CONTENT) - 5
    assert ksys_read(k, fd, buf, 100) == 5
    assert ksys_lseek(k, fd, 0, 4) == len(CONTENT)


def test_readv_fills_one_segment_after_the_other(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    buf = user_buffer(k, 8192)
    vec = user_buffer(k, 4096)
    copy_to_user(k, vec, struct.pack("<QQQQ", buf, 3, buf + 100, 5))
    assert do_readv(k, fd, vec, 2) == 8
    assert peek(k, buf, 3) + peek(k, buf + 100, 5) == CONTENT[:8]


def test_bad_arguments(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    cases: list[tuple[Callable[[], int], int]] = [
        (lambda: ksys_read(k, 99, 0, 1), EBADF),
        (lambda: ksys_write(k, fd, 0, 1), EBADF),
        (lambda: ksys_read(k, fd, 0x1000, 1), EFAULT),
        (lambda: ksys_read(k, fd, 1 << 62, 1), EFAULT),
        (lambda: ksys_lseek(k, fd, -1, 0), EINVAL),
        (lambda: ksys_lseek(k, fd, 0, 9), EINVAL),
        (lambda: ksys_ioctl(k, fd, 0x5401, 0), ENOTTY),
        (lambda: do_fcntl(k, fd, 999, 0), EINVAL),
        (lambda: close_fd(k, 77), EBADF),
        (lambda: ksys_dup3(k, fd, fd, 0), EINVAL),
        (lambda: ksys_dup2(k, fd, 1 << 30), EBADF),
    ]
    for call, errno in cases:
        with pytest.raises(KernelError) as error:
            call()
        assert error.value.errno == errno


def test_descriptors(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/data", O_CLOEXEC)
    assert fd == 0
    assert do_fcntl(k, fd, 1, 0) == 1
    assert do_fcntl(k, fd, 3, 0) == O_LARGEFILE | O_CLOEXEC
    assert ksys_dup2(k, fd, 5) == 5
    assert do_fcntl(k, 5, 1, 0) == 0
    assert do_fcntl(k, fd, 0, 5) == 6
    assert ksys_lseek(k, 5, 10, 0) == 10
    assert ksys_lseek(k, fd, 0, 1) == 10
    do_close_on_exec(k)
    assert k.current.files is not None
    assert sorted(k.current.files.fd) == [5, 6]
    k.current.signal.rlim[RLIMIT_NOFILE].rlim_cur = 1
    do_sys_open(k, AT_FDCWD, "/data", 0)
    with pytest.raises(KernelError) as error:
        do_sys_open(k, AT_FDCWD, "/data", 0)
    assert error.value.errno == EMFILE


def test_directories_cannot_be_read(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/dir", O_DIRECTORY)
    with pytest.raises(KernelError) as error:
        ksys_read(k, fd, user_buffer(k, 10), 10)
    assert error.value.errno == EISDIR


def dirents(data: bytes) -> list[tuple[str, int, int]]:
    """Name, inode number and type of each entry."""
    out = []
    while data:
        ino, _, reclen, kind = struct.unpack_from("<QqHB", data)
        out.append((data[19:reclen].partition(b"\0")[0].decode(), ino, kind))
        data = data[reclen:]
    return out


def test_getdents_is_sorted_and_resumes(k: Kernel, root: Path) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/dir", O_DIRECTORY)
    buf = user_buffer(k, 4096)
    entries = []
    while True:
        n = ksys_getdents64(k, fd, buf, 48)
        if n == 0:
            break
        entries += dirents(peek(k, buf, n))
    assert [name for name, _, _ in entries] == [".", "..", "a", "b", "c"]
    assert [ino for _, ino, _ in entries[2:]] == [(root / "dir" / name).stat().st_ino for name in "abc"]
    ksys_lseek(k, fd, 0, 0)
    with pytest.raises(KernelError) as error:
        ksys_getdents64(k, fd, buf, 10)
    assert error.value.errno == EINVAL


def test_getdents_shows_each_name_once_though_those_shown_before_are_removed(k: Kernel, root: Path) -> None:
    (root / "dir" / "d").write_bytes(b"")
    fd = do_sys_open(k, AT_FDCWD, "/dir", O_DIRECTORY)
    buf = user_buffer(k, 4096)
    names = []
    while n := ksys_getdents64(k, fd, buf, 48):
        for name, _, _ in dirents(peek(k, buf, n)):
            names.append(name)
            if name == "b":
                do_unlinkat(k, AT_FDCWD, "/dir/d")
            if not name.startswith("."):
                do_unlinkat(k, AT_FDCWD, f"/dir/{name}")
    assert names == [".", "..", "a", "b", "c"]
    ksys_lseek(k, fd, 0, 0)
    assert [name for name, _, _ in dirents(peek(k, buf, ksys_getdents64(k, fd, buf, 4096)))] == [".", ".."]


def test_closing_what_proc_self_fd_shows(k: Kernel) -> None:
    for _ in range(20):
        do_sys_open(k, AT_FDCWD, "/data", 0)
    fd = do_sys_open(k, AT_FDCWD, "/proc/self/fd", O_DIRECTORY)
    buf = user_buffer(k, 4096)
    while n := ksys_getdents64(k, fd, buf, 100):
        for name, _, _ in dirents(peek(k, buf, n)):
            if name.isdigit() and int(name) != fd:
                close_fd(k, int(name))
    assert k.current.files is not None
    assert list(k.current.files.fd) == [fd]


def host_stat(st: os.stat_result) -> bytes:
    """struct stat as the host's kernel fills it."""
    times = []
    for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns):
        times += [ns // 10**9, ns % 10**9]
    head = (st.st_dev, st.st_ino, st.st_nlink, st.st_mode, st.st_uid, st.st_gid, 0, st.st_rdev)
    return struct.pack("<QQQIIIIQqqq", *head, st.st_size, st.st_blksize, st.st_blocks) + struct.pack("<6q24x", *times)


def test_stat_is_the_host_s(k: Kernel, root: Path) -> None:
    # lstat first: following the link may touch its atime.
    assert vfs_lstat(k, "/link") == host_stat((root / "link").lstat())
    assert vfs_stat(k, "/link") == host_stat((root / "data").stat())
    assert vfs_stat(k, "/dir") == host_stat((root / "dir").stat())
    statx = do_statx(k, AT_FDCWD, "/data", 0, 0x7FF)
    assert len(statx) == 256
    assert struct.unpack_from("<QQ", statx, 32) == ((root / "data").stat().st_ino, len(CONTENT))


def test_readlink(k: Kernel) -> None:
    buf = user_buffer(k, 100)
    assert do_readlinkat(k, AT_FDCWD, "/link", buf, 100) == 4
    assert peek(k, buf, 4) == b"data"
    assert do_readlinkat(k, AT_FDCWD, "/link", buf, 2) == 2
    with pytest.raises(KernelError) as error:
        do_readlinkat(k, AT_FDCWD, "/data", buf, 100)
    assert error.value.errno == EINVAL


def test_memory_devices(k: Kernel) -> None:
    buf = user_buffer(k, 4096)
    null = do_sys_open(k, AT_FDCWD, "/dev/null", O_RDWR)
    assert ksys_read(k, null, buf, 10) == 0
    assert ksys_write(k, null, buf, 10) == 10
    zero = do_sys_open(k, AT_FDCWD, "/dev/zero", O_RDWR)
    assert ksys_read(k, zero, buf, 10) == 10
    urandom = do_sys_open(k, AT_FDCWD, "/dev/urandom", 0)
    assert ksys_read(k, urandom, buf, 16) == 16
    assert peek(k, buf, 16) != bytes(16)


def test_streams_over_pipes(root: Path) -> None:
    stdin_r, stdin_w = os.pipe()
    stdout_r, stdout_w = os.pipe()
    k = boot(root, streams=(stdin_r, stdout_w, -1))
    os.write(stdin_w, b"input")
    buf = user_buffer(k, 4096)
    assert ksys_read(k, 0, buf, 100) == 5
    assert ksys_write(k, 1, buf, 5) == 5
    assert os.read(stdout_r, 100) == b"input"
    assert struct.unpack_from("<QQ", vfs_fstat(k, 0)) == (os.fstat(stdin_r).st_dev, os.fstat(stdin_r).st_ino)
    n = do_readlinkat(k, AT_FDCWD, "/proc/self/fd/0", buf, 100)
    assert peek(k, buf, n).decode() == os.readlink(f"/proc/self/fd/{stdin_r}")
    with pytest.raises(KernelError) as error:
        ksys_lseek(k, 0, 0, 1)
    assert error.value.errno == ESPIPE
    with pytest.raises(KernelError) as error:
        ksys_ioctl(k, 1, 0x5401, buf)
    assert error.value.errno == ENOTTY
    reopened = do_sys_open(k, AT_FDCWD, "/dev/stdin", 0)
    os.write(stdin_w, b"more")
    assert ksys_read(k, reopened, buf, 100) == 4
    os.close(stdout_r)
    with pytest.raises(KernelError) as error:
        ksys_write(k, 1, buf, 5)
    assert error.value.errno == EPIPE
    assert k.current.pending.signal & 1 << (SIGPIPE - 1)
    for fd in (stdin_r, stdin_w, stdout_w):
        os.close(fd)


def test_streams_over_files_share_the_host_s_offset(root: Path) -> None:
    stdin = os.open(root / "data", os.O_RDONLY)
    stdout = os.open(root / "result", os.O_RDWR | os.O_CREAT)
    k = boot(root, streams=(stdin, stdout, -1))
    buf = user_buffer(k, 4096)
    assert ksys_read(k, 0, buf, 100) == 100
    assert os.lseek(stdin, 0, os.SEEK_CUR) == 100
    assert ksys_lseek(k, 0, 5, 0) == 5
    assert ksys_read(k, 0, buf, 3) == 3
    assert peek(k, buf, 3) == CONTENT[5:8]
    assert ksys_write(k, 1, buf, 3) == 3
    assert struct.unpack_from("<q", vfs_fstat(k, 1), 48) == (3,)
    path_fd = do_sys_open(k, AT_FDCWD, "/data", 0)
    assert do_sendfile(k, 1, path_fd, 0, 1000) == 1000
    assert ksys_lseek(k, path_fd, 0, 1) == 1000
    assert (root / "result").read_bytes() == CONTENT[5:8] + CONTENT[:1000]
    vec = user_buffer(k, 4096)
    copy_to_user(k, vec, struct.pack("<QQQQ", buf, 2, buf, 1))
    assert do_writev(k, 1, vec, 2) == 3
    os.close(stdin)
    os.close(stdout)
