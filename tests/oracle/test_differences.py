# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of version differences: each row's scenario shows it, between the kernels that it was seen on."""

from __future__ import annotations

import itertools

import pytest

from mmscope.kernel.config import BASE_VERSION
from mmscope.oracle.campaign import named
from mmscope.oracle.differences import BY_ID, DIFFERENCES, VERIFIED_ON, in_force, seen
from mmscope.oracle.runner import DiskQueue, ModelRunner

#: As (major, minor); 5.10 is shown as v5.11.
SERIES = [max(BASE_VERSION, (int(text.split(".")[0]), int(text.split(".")[1]))) for text in VERIFIED_ON]
ROWS = [row for row in DIFFERENCES if row.treatment == "switch" and row.scenario]


@pytest.mark.parametrize("fs", ["tmpfs", "ext4"])
def test_the_model_changes_where_the_kernels_did(fs: str) -> None:
    rows = [row for row in ROWS if (row.fs or "tmpfs") == fs]
    scenarios = [named(name) for name in sorted({row.scenario for row in rows})]
    answers = {}
    for release in SERIES:
        with ModelRunner(version=release, rootfstype=fs, guest_disk=DiskQueue(dma_alignment=3)) as runner:
            for scenario, raw in zip(scenarios, runner.run(scenarios), strict=True):
                answers[scenario.name, release] = raw
    unseen = [
        f"{row.id}: {before} and {after}"
        for row in rows
        for before, after in itertools.pairwise(SERIES)
        if row.shown_by(before) != row.shown_by(after) and answers[row.scenario, before] == answers[row.scenario, after]
    ]
    assert unseen == []


def test_a_row_may_end_and_be_taken_over_by_other_series() -> None:
    locked = BY_ID["map-droppable-locked"]
    assert [locked.shown_by((6, minor)) for minor in (10, 11, 12, 16, 18, 19)] == [False, True, False, True, False, True]
    assert not locked.shown_by((7, 0))
    kept = BY_ID["mremap-dontunmap-keeps-source"]
    assert [kept.shown_by(release) for release in ((6, 1), (6, 6), (6, 12), (7, 1), (7, 2))] == [True, False, True, False, True]
    assert seen(kept) == "seen on 6.1.192 to 6.12.117, 7.2.12 and later, not on 5.10.218, 6.16.12 to 7.1.13"
    assert kept in in_force((6, 12))
    assert kept not in in_force((6, 16))
