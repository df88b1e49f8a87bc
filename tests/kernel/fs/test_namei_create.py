# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that are made, moved and removed: errno for errno what the host's kernel says, and never a change of the host."""

from __future__ import annotations

import ctypes
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.file import close_fd, fget
from mmscope.kernel.fs.namei import path_lookup
from mmscope.kernel.fs.namei_create import do_linkat, do_mkdirat, do_mknodat, do_renameat2, do_rmdir, do_symlinkat, do_unlinkat
from mmscope.kernel.fs.open import do_fchmodat, do_fchownat, do_sys_open, do_sys_truncate, ksys_chdir, ksys_getcwd, vfs_utimes
from mmscope.kernel.fs.read_write import ksys_pread64, ksys_pwrite64
from mmscope.kernel.fs.stat import vfs_fstat, vfs_lstat
from mmscope.kernel.include.errno import EACCES, EBUSY, ENOENT, EPERM, ETXTBSY, KernelError
from mmscope.kernel.include.fs import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    S_IFREG,
    File,
)
from mmscope.kernel.include.kernel import Kernel
from tests.kernel.fs.fs_machine import boot, peek, user_buffer


def build(base: Path) -> Path:
    """The tree that each test starts from."""
    (base / "d" / "e").mkdir(parents=True)
    (base / "f").write_bytes(b"contents")
    (base / "d" / "g").write_bytes(b"inner")
    (base / "s").symlink_to("d")
    (base / "dangling").symlink_to("d/new")
    (base / "loop").symlink_to("loop")
    return base


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build(tmp_path / "root")


@pytest.fixture
def k(root: Path) -> Kernel:
    return boot(root)


NAMES = (
    "f", "d", "s", "d/e", "d/g", "d/e/h", "x", "y", "x/z", "d/new", "dangling", "loop", "f/", "x/", "d/", "f/q", "none/q",
    "d/.", "d/..", ".", "..", "s/e", "s/g", "d/../x", "x" * 256, "loop/a",
)  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)


def host_renameat2(old: str, new: str, flags: int) -> None:
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def host_open(name: str, flags: int, mode: int) -> None:
    os.close(os.open(name, flags, mode))


def outcome(function: Callable[[], object]) -> int:
    """0 or the errno."""
    try:
        function()
    except OSError as error:
        return error.errno or -1
    return 0


def tree(base: Path) -> list[tuple[str, int, int]]:
    """(name, mode, size of files and links) of everything below a directory of the host."""
    found = []
    for path in sorted(base.rglob("*")):
        st = path.lstat()
        found.append((str(path.relative_to(base)), st.st_mode, 0 if stat.S_ISDIR(st.st_mode) else st.st_size))
    return found


def model_tree(k: Kernel, where: str = "") -> list[tuple[str, int, int]]:
    """The same of the model's root."""
    found: list[tuple[str, int, int]] = []
    directory = path_lookup(k, AT_FDCWD, "/" + where, True)
    inode = directory.d_inode
    assert inode is not None
    assert inode.i_fop.iterate is not None
    for name, _, kind in inode.i_fop.iterate(File(directory, inode, 0, 1, inode.i_fop))[2:]:
        path = f"{where}/{name}" if where else name
        st = vfs_lstat(k, "/" + path)
        mode = int.from_bytes(st[24:28], "little")
        found.append((path, mode, 0 if kind == 4 else int.from_bytes(st[48:56], "little")))
        if kind == 4:
            found += model_tree(k, path)
    return found


def operation(
    k: Kernel, kind: int, one: str, two: str, flags: int, mode: int, how: int, size: int
) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """(what, on the host, on the model)."""
    return (
        (f"open {one} {flags:o}", lambda: host_open(one, flags, mode),
         lambda: close_fd(k, do_sys_open(k, AT_FDCWD, one, flags, mode))),
        (f"mkdir {one}", lambda: os.mkdir(one, mode), lambda: do_mkdirat(k, AT_FDCWD, one, mode)),
        (f"rmdir {one}", lambda: os.rmdir(one), lambda: do_rmdir(k, AT_FDCWD, one)),
        (f"unlink {one}", lambda: os.unlink(one), lambda: do_unlinkat(k, AT_FDCWD, one)),
        (f"rename {one} {two} {how}", lambda: host_renameat2(one, two, how),
         lambda: do_renameat2(k, AT_FDCWD, one, AT_FDCWD, two, how)),
        (f"link {one} {two}", lambda: os.link(one, two, follow_symlinks=False),
         lambda: do_linkat(k, AT_FDCWD, one, AT_FDCWD, two, 0)),
        (f"symlink {one} {two}", lambda: os.symlink(one, two), lambda: do_symlinkat(k, one, AT_FDCWD, two)),
        (f"truncate {one}", lambda: os.truncate(one, size), lambda: do_sys_truncate(k, one, size)),
        (f"chmod {one}", lambda: os.chmod(one, mode), lambda: do_fchmodat(k, AT_FDCWD, one, mode)),
    )[kind]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_changes_against_the_host(tmp_path: Path, root: Path, seed: int) -> None:
    """Both begin with the same tree; after each operation the same errno, at the end the same tree."""
    mirror = build(tmp_path / "mirror")
    before = tree(root)
    k = boot(root, uid=os.getuid())
    rng = random.Random(seed)
    old_cwd, old_umask = os.getcwd(), os.umask(0o022)
    os.chdir(mirror)
    try:
        for step in range(400):
            one, two = rng.choice(NAMES), rng.choice(NAMES)
            mode = rng.choice((0o644, 0o755, 0o600))
            flags = rng.choice((0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC)) | rng.choice((0, O_WRONLY, O_RDWR))
            how = rng.choice((0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE))
            size = rng.randrange(5000)
            kind = rng.randrange(9)
            if kind == 6 and ".." in one:
                # The host's tree has something above it, the model's has not.
                one = "d"
            text, on_host, on_model = operation(k, kind, one, two, flags, mode, how, size)
            assert (step, text, outcome(on_model)) == (step, text, outcome(on_host))
        assert model_tree(k) == tree(mirror)
    finally:
        os.chdir(old_cwd)
        os.umask(old_umask)
    assert tree(root) == before


def test_an_unlinked_file_lives_until_it_is_closed(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/f", O_RDWR)
    inode = fget(k, fd).f_inode
    do_unlinkat(k, AT_FDCWD, "/f")
    with pytest.raises(KernelError) as error:
        do_sys_open(k, AT_FDCWD, "/f", 0)
    assert error.value.errno == ENOENT
    assert d_path(k, fget(k, fd).f_dentry) == "/f (deleted)"
    buf = user_buffer(k, 4096)
    assert ksys_pread64(k, fd, buf, 100, 0) == 8
    assert peek(k, buf, 8) == b"contents"
    ksys_pwrite64(k, fd, buf, 8, 4090)
    assert inode.i_mapping.nrpages == 2
    close_fd(k, fd)
    assert inode.i_mapping.nrpages == 0
    assert inode.i_size == 0


def test_a_new_file_under_an_old_name_is_another_inode(k: Kernel) -> None:
    old = path_lookup(k, AT_FDCWD, "/f", True).d_inode
    do_unlinkat(k, AT_FDCWD, "/f")
    close_fd(k, do_sys_open(k, AT_FDCWD, "/f", O_CREAT | O_WRONLY, 0o600))
    new = path_lookup(k, AT_FDCWD, "/f", True).d_inode
    assert new is not old
    assert new is not None
    assert new.i_size == 0


def test_a_removed_working_directory(k: Kernel) -> None:
    ksys_chdir(k, "/d/e")
    do_rmdir(k, AT_FDCWD, "/d/e")
    with pytest.raises(KernelError) as error:
        ksys_getcwd(k, 100)
    assert error.value.errno == ENOENT
    with pytest.raises(KernelError) as error:
        do_sys_open(k, AT_FDCWD, "x", O_CREAT | O_WRONLY, 0o600)
    assert error.value.errno == ENOENT


def test_tmpfile_gets_a_name_later(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/d", O_TMPFILE | O_RDWR, 0o600)
    buf = user_buffer(k, 4096)
    ksys_pwrite64(k, fd, buf, 5, 0)
    do_linkat(k, fd, "", AT_FDCWD, "/d/named", AT_EMPTY_PATH)
    st = vfs_fstat(k, fd)
    assert st == vfs_lstat(k, "/d/named")
    assert int.from_bytes(st[16:24], "little") == 1
    excl = do_sys_open(k, AT_FDCWD, "/d", O_TMPFILE | O_RDWR | O_EXCL, 0o600)
    with pytest.raises(KernelError) as error:
        do_linkat(k, excl, "", AT_FDCWD, "/d/other", AT_EMPTY_PATH)
    assert error.value.errno == ENOENT


def test_mount_points_stay(k: Kernel) -> None:
    calls: tuple[Callable[[], int], ...] = (
        lambda: do_rmdir(k, AT_FDCWD, "/dev/shm"),
        lambda: do_renameat2(k, AT_FDCWD, "/dev/shm", AT_FDCWD, "/dev/x", 0),
    )
    for function in calls:
        with pytest.raises(KernelError) as error:
            function()
        assert error.value.errno == EBUSY


def test_a_sticky_directory(root: Path) -> None:
    """In /dev/shm everybody makes files, and only their owner removes them."""
    k = boot(root, uid=1000)
    close_fd(k, do_sys_open(k, AT_FDCWD, "/dev/shm/mine", O_CREAT | O_WRONLY, 0o666))
    k.current.cred.fsuid = k.current.cred.euid = 1001
    with pytest.raises(KernelError) as error:
        do_unlinkat(k, AT_FDCWD, "/dev/shm/mine")
    assert error.value.errno == EPERM
    k.current.cred.fsuid = k.current.cred.euid = 1000
    assert do_unlinkat(k, AT_FDCWD, "/dev/shm/mine") == 0


def test_owner_and_times_are_for_the_owner(root: Path) -> None:
    k = boot(root, uid=4242)
    calls: tuple[tuple[Callable[[], int], int], ...] = (
        (lambda: do_fchmodat(k, AT_FDCWD, "/f", 0o777), EPERM),
        (lambda: do_fchownat(k, AT_FDCWD, "/f", 4242, 4242, 0), EPERM),
        (lambda: do_sys_open(k, AT_FDCWD, "/new", O_CREAT | O_WRONLY, 0o600), EACCES),
        (lambda: do_mknodat(k, AT_FDCWD, "/dev/shm/n", 0o20600, 0x103), EPERM),
    )
    for function, errno in calls:
        with pytest.raises(KernelError) as error:
            function()
        assert error.value.errno == errno
    inode = path_lookup(k, AT_FDCWD, "/f", True).d_inode
    assert inode is not None
    with pytest.raises(KernelError) as error:
        vfs_utimes(k, inode, (1, 2))
    assert error.value.errno == EPERM
    with pytest.raises(KernelError) as error:
        vfs_utimes(k, inode, None)
    assert error.value.errno == EACCES


def test_a_running_program_cannot_be_written(k: Kernel) -> None:
    inode = path_lookup(k, AT_FDCWD, "/f", True).d_inode
    assert inode is not None
    inode.i_writecount -= 1
    calls: tuple[Callable[[], int], ...] = (
        lambda: do_sys_open(k, AT_FDCWD, "/f", O_RDWR),
        lambda: do_sys_truncate(k, "/f", 0),
    )
    for function in calls:
        with pytest.raises(KernelError) as error:
            function()
        assert error.value.errno == ETXTBSY
    inode.i_writecount += 1
    fd = do_sys_open(k, AT_FDCWD, "/f", O_RDWR)
    assert inode.i_writecount == 1
    close_fd(k, fd)
    assert inode.i_writecount == 0
    assert inode.i_mode & S_IFREG
