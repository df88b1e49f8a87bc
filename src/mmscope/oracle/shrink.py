# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a failing scenario small: drops operations (delta debugging), then simplifies what is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mmscope.oracle.scenario import Op, Scenario, ScenarioError, compile_scenario

#: Which of these scenarios still fail? Asked with many at once, since a batch costs little more than one.
Fails = Callable[[Sequence[Scenario]], Sequence[bool]]

_BATCH: Final = 64


def shrink(scenario: Scenario, fails: Fails, values: Sequence[int] = ()) -> Scenario:
    """A smaller scenario that fails too. `values`: results of its operations, for labels whose operation is dropped.

    Precondition: `scenario` fails.
    """
    if values:
        plain = scenario.with_ops(without_labels(scenario.ops, values))
        if _first(fails, [plain]) is not None:
            scenario = plain
    while True:
        before = scenario.ops
        size = max(len(scenario.ops) // 2, 1)
        while size >= 1:
            found = _first(fails, (scenario.with_ops(ops) for ops in _cuts(scenario.ops, size)))
            if found is not None:
                scenario = found
                size = min(size, max(len(scenario.ops) // 2, 1))
            else:
                size //= 2
        while (found := _first(fails, (scenario.with_ops(ops) for ops in _simpler(scenario.ops)))) is not None:
            scenario = found
        if scenario.ops == before:
            return scenario


def without_labels(ops: Sequence[Op], values: Sequence[int]) -> list[Op]:
    """Labels replaced by what they stood for, so that each operation can go alone."""
    known: dict[str, int] = {}
    plain = []
    for op, value in zip(ops, values, strict=False):
        args = tuple(_replace(arg, known) for arg in op.args)
        plain.append(Op(op.name, args, "", op.child))
        if op.label:
            known[op.label] = value
    return plain + list(ops[len(plain) :])


def _replace(arg: str, known: dict[str, int]) -> str:
    match = re.fullmatch(r"([A-Za-z_]\w*)([+-].*)?", arg)
    if not match or match[1] not in known:
        return arg
    value, rest = known[match[1]], match[2] or ""
    if -4096 < value < 1000:
        return (f"0-{-value}" if value < 0 else str(value)) + rest
    if not rest:
        return f"{value:#x}"
    return f"{value:#x}{rest}"


def _first(fails: Fails, candidates: Iterator[Scenario] | Sequence[Scenario]) -> Scenario | None:
    """The first candidate that fails."""
    batch: list[Scenario] = []
    for candidate in candidates:
        try:
            compile_scenario(candidate)
        except ScenarioError:
            continue
        batch.append(candidate)
        if len(batch) == _BATCH:
            found = _failing(fails, batch)
            if found is not None:
                return found
            batch = []
    return _failing(fails, batch)


def _failing(fails: Fails, batch: Sequence[Scenario]) -> Scenario | None:
    if not batch:
        return None
    return next((candidate for candidate, bad in zip(batch, fails(batch), strict=True) if bad), None)


def _cuts(ops: Sequence[Op], size: int) -> Iterator[list[Op]]:
    """`ops` without a run of `size` operations, for each run."""
    for start in range(0, len(ops), size):
        rest = [*ops[:start], *ops[start + size :]]
        if rest:
            yield rest


def _simpler(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """`ops` with one argument made simpler."""
    for at, op in enumerate(ops):
        for number, arg in enumerate(op.args):
            for simpler in _simpler_args(arg):
                args = (*op.args[:number], simpler, *op.args[number + 1 :])
                yield [*ops[:at], Op(op.name, args, op.label, op.child), *ops[at + 1 :]]


def _simpler_args(arg: str) -> Iterator[str]:
    """Fewer flags; whole pages; fewer pages."""
    words = arg.split("|")
    if len(words) > 1:
        for at in range(len(words)):
            yield "|".join([*words[:at], *words[at + 1 :]])
        return
    match = re.fullmatch(r"(\d+)p", arg)
    if match and int(match[1]) > 1:
        for pages in dict.fromkeys((1, int(match[1]) // 2, int(match[1]) - 1)):
            yield f"{pages}p"
    match = re.fullmatch(r"([^+]+)\+(?!0x|\d+p)(\d+)", arg) or re.fullmatch(r"(\d+p)\+(\d+)", arg)
    if match:
        yield match[1]
