# SPDX-License-Identifier: GPL-2.0-or-later
"""Path walks: what is found, and which errno else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.fs.file import fget
from mmscope.kernel.fs.namei import path_lookup
from mmscope.kernel.fs.open import do_faccessat, do_sys_open, ksys_chdir, ksys_getcwd
from mmscope.kernel.include.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
    KernelError,
)
from mmscope.kernel.include.fs import (
    AT_FDCWD,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
)
from mmscope.kernel.include.kernel import Kernel
from tests.kernel.fs.fs_machine import boot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "root"
    (base / "dir" / "sub").mkdir(parents=True)
    (base / "file").write_bytes(b"hello\n")
    (base / "dir" / "inner").write_bytes(b"inner\n")
    (tmp_path / "secret").write_bytes(b"outside\n")
    (base / "rel").symlink_to("dir/inner")
    (base / "abs").symlink_to("/dir/inner")
    (base / "dirlink").symlink_to("dir")
    (base / "out").symlink_to("../secret")
    (base / "out_abs").symlink_to(str(tmp_path / "secret"))
    (base / "loop").symlink_to("loop")
    (base / "dangling").symlink_to("nothing")
    for i in range(41):
        (base / f"l{i}").symlink_to(f"l{i + 1}" if i < 40 else "file")
    os.mkfifo(base / "fifo")
    return base


@pytest.fixture
def k(root: Path) -> Kernel:
    return boot(root)


def test_symbolic_links_are_resolved_inside_the_root(k: Kernel, root: Path) -> None:
    for name in ("/rel", "/abs", "rel", "./dirlink/../dir/inner", "//dir///inner", "dirlink/sub/../inner", "/../../dir/inner"):
        inode = path_lookup(k, AT_FDCWD, name, True).d_inode
        assert inode is not None
        assert inode.i_ino == (root / "dir" / "inner").stat().st_ino


@pytest.mark.parametrize("name", ["/out", "/out_abs", "/../secret", "/dir/../../secret", "dirlink/../../secret"])
def test_nothing_leads_out_of_the_root(k: Kernel, name: str) -> None:
    with pytest.raises(KernelError) as error:
        path_lookup(k, AT_FDCWD, name, True)
    assert error.value.errno == ENOENT


@pytest.mark.parametrize(
    ("name", "flags", "errno"),
    [
        ("", 0, ENOENT),
        ("/none", 0, ENOENT),
        ("/none/x", 0, ENOENT),
        ("/file/x", 0, ENOTDIR),
        ("/file/", 0, ENOTDIR),
        ("/file/.", 0, ENOTDIR),
        ("/loop", 0, ELOOP),
        ("/l0", 0, ELOOP),
        ("/rel", O_NOFOLLOW, ELOOP),
        ("/dangling", 0, ENOENT),
        ("/dangling", O_CREAT | O_EXCL, EEXIST),
        ("/" + "x" * 256, 0, ENAMETOOLONG),
        ("/" + "x/" * 2100, 0, ENAMETOOLONG),
        ("/file", O_DIRECTORY, ENOTDIR),
        ("/file", O_CREAT | O_EXCL, EEXIST),
        ("/dir", O_RDWR, EISDIR),
        ("/dir", O_CREAT, EISDIR),
        ("/new/", O_CREAT | O_WRONLY, EISDIR),
        ("/dir", O_TMPFILE, EINVAL),
        ("/proc", O_TMPFILE | O_RDWR, EOPNOTSUPP),
        ("/fifo", 0, ENXIO),
        ("/proc/nothing", O_CREAT, ENOENT),
    ],
)
def test_open_errors(k: Kernel, name: str, flags: int, errno: int) -> None:
    with pytest.raises(KernelError) as error:
        do_sys_open(k, AT_FDCWD, name, flags)
    assert error.value.errno == errno
    assert k.current.files is not None
    assert not k.current.files.fd
    assert not k.current.files.close_on_exec


def test_forty_links_are_followed(k: Kernel) -> None:
    assert do_sys_open(k, AT_FDCWD, "/l1", 0) == 0


def test_creat_of_what_exists_opens_it(k: Kernel) -> None:
    assert do_sys_open(k, AT_FDCWD, "/file", O_CREAT, 0o644) == 0
    assert do_sys_open(k, AT_FDCWD, "/dev/null", O_CREAT | O_TRUNC | O_WRONLY, 0o666) == 1


def test_o_path_opens_a_symbolic_link_itself(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/rel", O_PATH | O_NOFOLLOW)
    with pytest.raises(KernelError):
        fget(k, fd)


def test_paths_relative_to_a_descriptor(k: Kernel) -> None:
    fd = do_sys_open(k, AT_FDCWD, "/dir", O_DIRECTORY)
    inner = do_sys_open(k, fd, "inner", 0)
    assert d_path(k, fget(k, inner).f_dentry) == "/dir/inner"
    with pytest.raises(KernelError) as error:
        do_sys_open(k, inner, "x", 0)
    assert error.value.errno == ENOTDIR


def test_getcwd_after_chdir_through_a_link(k: Kernel) -> None:
    ksys_chdir(k, "/dirlink/sub")
    assert ksys_getcwd(k, 100) == b"/dir/sub\0"
    ksys_chdir(k, "..")
    assert ksys_getcwd(k, 100) == b"/dir\0"


def test_permissions_are_the_model_s_own(root: Path) -> None:
    (root / "private").mkdir()
    (root / "private" / "x").write_bytes(b"")
    (root / "private").chmod(0o700)
    st = root.stat()
    k = boot(root, uid=st.st_uid + 12345)
    with pytest.raises(KernelError) as error:
        do_sys_open(k, AT_FDCWD, "/private/x", 0)
    assert error.value.errno == EACCES
    root_user = boot(root)
    assert do_sys_open(root_user, AT_FDCWD, "/private/x", 0) == 0
    with pytest.raises(KernelError) as error:
        do_faccessat(root_user, AT_FDCWD, "/file", 1)
    assert error.value.errno == EACCES
    assert do_faccessat(root_user, AT_FDCWD, "/file", 2) == 0


def test_a_machine_without_a_root_has_proc_and_dev() -> None:
    k = boot(None)
    for name in ("/proc/self/maps", "/dev/null", "/sys", "/dev/fd"):
        assert path_lookup(k, AT_FDCWD, name, True).d_inode is not None
