# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel package a release means."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.errors import UsageError
from mmscope.oracle.record.debian import fetch_kernel


def test_the_newest_package_that_is_there_is_taken(tmp_path: Path) -> None:
    for name in ("6.12.9+deb13", "6.12.117+deb13", "6.1.0-56"):
        (tmp_path / f"linux-image-{name}-cloud-amd64_1_amd64.deb").touch()
    (tmp_path / "linux-image-6.12.300+deb13-cloud-amd64-dbg_1_amd64.deb").touch()
    assert fetch_kernel("6.12", tmp_path).name == "linux-image-6.12.117+deb13-cloud-amd64_1_amd64.deb"
    assert fetch_kernel("6.1", tmp_path).name == "linux-image-6.1.0-56-cloud-amd64_1_amd64.deb"


def test_a_release_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no kernel package is known for '4.4'; known: 5.10, 6.1, 6.12"):
        fetch_kernel("4.4", tmp_path)
