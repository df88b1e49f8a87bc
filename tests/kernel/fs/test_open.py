# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/open.py: what openat2(2) takes, by release. (Programs: c/resolve.c.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.fs.open import RESOLVE_CACHED, do_sys_open, do_sys_openat2
from mmscope.kernel.include.errno import EAGAIN, EINVAL, KernelError
from mmscope.kernel.include.fs import AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR
from mmscope.kernel.include.kernel import Kernel

from .fs_machine import boot


@pytest.fixture
def k(tmp_path: Path) -> Kernel:
    (tmp_path / "file").write_bytes(b"0123456789")
    return boot(tmp_path)


def openat2(k: Kernel, flags: int, mode: int, resolve: int) -> int:
    """0 or the errno."""
    try:
        do_sys_openat2(k, AT_FDCWD, "/file", flags, mode, resolve)
    except KernelError as error:
        return error.errno or 0
    return 0


def test_resolve_cached_since_5_12(k: Kernel) -> None:
    assert openat2(k, O_RDONLY, 0, RESOLVE_CACHED) == EINVAL
    k.config.version = (5, 12)
    # The name was never asked for; now it is known.
    assert openat2(k, O_RDONLY, 0, RESOLVE_CACHED) == EAGAIN
    do_sys_open(k, AT_FDCWD, "/file", O_RDONLY)
    assert openat2(k, O_RDONLY, 0, RESOLVE_CACHED) == 0
    assert openat2(k, O_RDWR | O_CREAT, 0o600, RESOLVE_CACHED) == EAGAIN


def test_flags_beyond_32_bits_are_seen_since_5_14(k: Kernel) -> None:
    assert openat2(k, 1 << 40, 0, 0) == 0
    k.config.version = (5, 14)
    assert openat2(k, 1 << 40, 0, 0) == EINVAL
