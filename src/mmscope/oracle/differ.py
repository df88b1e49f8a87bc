# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what two kernels answered to one scenario, operation by operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mmscope.oracle.differences import Difference, in_force, masked, running_release
from mmscope.oracle.scenario import Op, Scenario, render

#: The agent's word for an operation in a child that there is not.
_DEAD: Final = "= dead"
_ENOSYS: Final = "= -38"


@dataclass(frozen=True)
class Divergence:
    """The first operation on which the two do not agree."""

    scenario: Scenario
    #: Its place in scenario.ops.
    index: int
    live: str
    model: str
    #: The file system that the scenario's files stood on.
    fs: str = "tmpfs"

    @property
    def op(self) -> Op:
        """The operation."""
        return self.scenario.ops[self.index]


@dataclass
class Comparison:
    """What came out for one scenario, or, summed up, for many."""

    operations: int = 0
    compared: int = 0
    #: Operations that the model does not have, by name: never counted as equal.
    skipped: Counter[str] = field(default_factory=Counter)
    #: Answers that differ for a known reason, by row of differences.py.
    masked: Counter[str] = field(default_factory=Counter)
    divergences: list[Divergence] = field(default_factory=list)

    def add(self, other: Comparison) -> None:
        """Sum up."""
        self.operations += other.operations
        self.compared += other.compared
        self.skipped += other.skipped
        self.masked += other.masked
        self.divergences += other.divergences


def missing(op: Op, live: str, model: str) -> str:
    """The name under which `op` is skipped, since the model says that it lacks it; "" if it has it."""
    if model == live:
        return ""
    if model in (_ENOSYS, _DEAD):
        return op.name
    return ""


def compare(
    scenario: Scenario,
    live: Sequence[str],
    model: Sequence[str],
    rows: Sequence[Difference] | None = None,
    fs: str = "tmpfs",
) -> Comparison:
    """Raw answers of both. What follows an operation that the model lacks is skipped too.

    `rows`: the known differences, by default those of the running kernel's release.
    """
    if rows is None:
        rows = in_force(running_release())
    rows = [row for row in rows if row.fs in ("", fs)]
    result = Comparison(operations=len(scenario.ops))
    for at, op in enumerate(scenario.ops):
        left = live[at] if at < len(live) else "(no answer)"
        right = model[at] if at < len(model) else "(no answer)"
        name = missing(op, left, right)
        if name:
            result.skipped[name] += 1
            rest = len(scenario.ops) - at - 1
            if rest:
                result.skipped[f"after {name}"] += rest
            return result
        left, right = render(op, left), render(op, right)
        if left == right:
            result.compared += 1
            continue
        row = masked(rows, scenario.ops[:at], op, left, right)
        if row is not None:
            result.masked[row.id] += 1
            continue
        result.compared += 1
        result.divergences.append(Divergence(scenario, at, left, right, fs))
        # What follows starts from states that differ.
        if len(scenario.ops) > at + 1:
            result.skipped["after a divergence"] += len(scenario.ops) - at - 1
        return result
    return result
