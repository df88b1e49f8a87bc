# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations on one file against a copy of its bytes. The long run is `python -m mmscope.oracle.fsx --ops 1000000`."""

from __future__ import annotations

import pytest

from mmscope.oracle.fsx import Fsx, Mismatch


@pytest.mark.parametrize("fs", ["ext4", "tmpfs"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_byte_is_lost(fs: str, seed: int) -> None:
    fsx = Fsx(fs, seed, debug_vm=seed == 1)
    try:
        fsx.run(1500)
    finally:
        fsx.close()


def test_a_lost_byte_is_noticed() -> None:
    fsx = Fsx("ext4", 3)
    try:
        fsx.run(100)
        fsx.shadow[len(fsx.shadow) // 2] ^= 1
        with pytest.raises(Mismatch, match="last operations"):
            fsx.run(0)
    finally:
        fsx.close()
