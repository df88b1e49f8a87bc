# SPDX-License-Identifier: GPL-2.0-or-later
"""900 random operations that Linux 5.10 was recorded doing: the same results, lists, trees, colours and gaps here."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmscope.kernel.mm.debug_vm import validate_vm
from tests.kernel.mm.replaylib import Replay, expected, recorded_result, records


@pytest.mark.parametrize("seed", [1, 2])
def test_random_operations_leave_the_recorded_structures(data: Path, seed: int) -> None:
    lines = records(data / f"5.10/random/seed{seed}.jsonl.xz")
    replay = Replay(next(lines)["mm"][0])
    for record in lines:
        op = record["op"]
        result = replay.run(op)
        if result is not None:
            assert result == recorded_result(op), op
        validate_vm(replay.k)
        got, want = replay.describe(), expected(record["mm"][0])
        for key, value in want.items():
            assert got[key] == value, f"{key} after operation {record['i']}: {op}"
