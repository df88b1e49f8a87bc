# SPDX-License-Identifier: GPL-2.0-or-later
"""What `mmscope check --live` does: scenarios and random sequences on both kernels; the first divergence is made small."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mmscope.oracle.differ import Comparison, Divergence, compare, first_divergence
from mmscope.oracle.differences import in_force, running_release
from mmscope.oracle.runner import Runner
from mmscope.oracle.scenario import Op, Scenario, format_scenario, load, render
from mmscope.oracle.shrink import shrink
from mmscope.oracle.strategies import Choices, random_scenario

LIBRARY: Final = Path(__file__).parent / "scenarios"
#: Scenarios that go through one process.
_BATCH: Final = 64
#: Divergences of which the report names more than the count.
_LISTED: Final = 10

Progress = Callable[[int, int], None]


def library() -> list[Scenario]:
    """The hand-written scenarios, by name."""
    return [load(path) for path in sorted(LIBRARY.glob("*.scn"))]


class Campaign:
    """Runs scenarios on both kernels and sums up."""

    def __init__(self, live: Runner, model: Runner) -> None:
        self.live = live
        self.model = model
        self.total = Comparison()
        #: Divergences nobody expected.
        self.divergences: list[Divergence] = []
        #: Names of scenarios that fail as their header says, and of those that should and do not.
        self.expected: list[str] = []
        self.unexpected_passes: list[Scenario] = []

    def run(self, scenarios: Sequence[Scenario]) -> None:
        """Run and compare."""
        for scenario, result in zip(scenarios, self.compare(scenarios), strict=True):
            if expected_to_fail(scenario):
                if result.divergences or result.skipped:
                    self.expected.append(scenario.name)
                else:
                    self.unexpected_passes.append(scenario)
            else:
                self.divergences += result.divergences
            self.total.add(result)

    def run_random(self, seed: int, ops: int, seconds: float, progress: Progress) -> None:
        """Random sequences until `ops` operations (0: no limit) or `seconds` (0: no limit) are used up."""
        done = 0
        end = time.monotonic() + seconds
        for batch in _batches(random_scenarios(seed)):
            chosen = []
            for scenario in batch:
                if ops and done >= ops:
                    break
                chosen.append(scenario.with_ops(scenario.ops[: ops - done] if ops else scenario.ops))
                done += len(chosen[-1].ops)
            self.run(chosen)
            progress(done, len(self.divergences))
            if (ops and done >= ops) or (seconds and time.monotonic() >= end):
                return

    def compare(self, scenarios: Sequence[Scenario]) -> list[Comparison]:
        """One result a scenario."""
        live, model = self.live.run(scenarios), self.model.run(scenarios)
        return [compare(scenario, left, right) for scenario, left, right in zip(scenarios, live, model, strict=True)]

    def diverging(self, scenarios: Sequence[Scenario]) -> list[bool]:
        """Which of them diverge."""
        return [bool(result.divergences) for result in self.compare(scenarios)]

    def shrink(self, found: Divergence) -> Divergence | None:
        """The same divergence, or one near it, in few operations. None: alone, the scenario does not diverge."""
        cut = found.scenario.with_ops(found.scenario.ops[: found.index + 1])
        if not self.diverging([cut])[0]:
            return None
        small = shrink(cut, self.diverging, [_value(raw) for raw in self.live.run([cut])[0]])
        return first_divergence(small, self.live.run([small])[0], self.model.run([small])[0])

    def state_before(self, found: Divergence) -> tuple[str, str]:
        """/proc/self/maps of both kernels before the operation on which they differ."""
        probe = Op("maps", (), "", found.op.child)
        scenario = found.scenario.with_ops([*found.scenario.ops[: found.index], probe])
        answers = (runner.run([scenario])[0] for runner in (self.live, self.model))
        live, model = (render(probe, raw[found.index]) if len(raw) > found.index else "(no answer)" for raw in answers)
        return live, model


def expected_to_fail(scenario: Scenario) -> bool:
    """Whether its header says so for the running release: `fails: since 6.7: ...` speaks of a later kernel than v5.11."""
    since = re.match(r"since (\d+)\.(\d+)", scenario.fails)
    if since:
        return (int(since[1]), int(since[2])) <= running_release()
    return scenario.fails != ""


def random_scenarios(seed: int) -> Iterator[Scenario]:
    """Endless; number `n` of a seed is the same whatever came before."""
    number = 0
    while True:
        yield random_scenario(Choices(seed << 32 | number), name=f"seed-{seed}-{number}")
        number += 1


def _batches(scenarios: Iterator[Scenario]) -> Iterator[list[Scenario]]:
    while True:
        yield [next(scenarios) for _ in range(_BATCH)]


def _value(raw: str) -> int:
    """What the agent kept in the label's slot."""
    word = raw.split(" ")[1] if raw.startswith("= ") else ""
    try:
        return int(word, 0)
    except ValueError:
        return 0


def report(campaign: Campaign, save: Callable[[str, str], str]) -> str:
    """The text of `mmscope check`. `save(name, text)` keeps a scenario file and says where."""
    lines = []
    for number, found in enumerate(campaign.divergences[:_LISTED]):
        lines += explain(campaign, found, save) if number == 0 else [f"also: {_headline(found)}"]
    if len(campaign.divergences) > _LISTED:
        lines.append(f"and {len(campaign.divergences) - _LISTED} more")
    for scenario in campaign.unexpected_passes:
        lines.append(f"{scenario.name}: passes, and its header says `fails: {scenario.fails}`; remove that line")
    total = campaign.total
    if campaign.expected:
        lines.append(f"expected to fail, and failed: {len(campaign.expected)} scenarios")
    lines += _counted("skipped", total.skipped)
    release = running_release()
    names = ", ".join(row.id for row in in_force(release) if row.treatment == "arrange")
    if names:
        lines.append(f"known differences of Linux {release[0]}.{release[1]}, made alike: {names}")
    lines.append(f"{total.operations} operations, {total.compared} compared, {len(campaign.divergences)} divergences")
    return "\n".join(lines) + "\n"


def _counted(what: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    return [f"{what}: {sum(counts.values())} (" + ", ".join(f"{name} {count}" for name, count in counts.most_common()) + ")"]


def _headline(found: Divergence) -> str:
    return f"{found.scenario.name or 'scenario'}, operation {found.index + 1}: {found.op}"


def explain(campaign: Campaign, found: Divergence, save: Callable[[str, str], str]) -> list[str]:
    """The first divergence: both answers, the state before, and a small scenario."""
    small = campaign.shrink(found)
    shown = small or found
    live, model = campaign.state_before(shown)
    lines = [f"divergence: {_headline(found)}"]
    if small is None:
        lines.append("it does not diverge when run alone: something is left over from scenarios before it")
    else:
        lines.append(f"shrunk from {len(found.scenario.ops)} operations to {len(small.scenario.ops)}")
    lines += ["", f"    {shown.op}", f"      live:  {shown.live}", f"      model: {shown.model}", ""]
    if live == model:
        lines += ["state before, on both:", *_maps_lines(live)]
    else:
        lines += ["state before, live:", *_maps_lines(live), "state before, model:", *_maps_lines(model)]
    headers = {"title": f"Diverges at: {shown.op}", **({"found": found.scenario.name} if found.scenario.name else {})}
    file = Scenario(shown.scenario.ops, headers=headers)
    text = format_scenario(file)
    path = save(found.scenario.name or "scenario", text)
    lines += ["", *text.rstrip("\n").split("\n"), "", f"again: mmscope check --live {path}", ""]
    return lines


def _maps_lines(text: str) -> list[str]:
    return [f"    {line}" for line in text.split(" | ")] if text else ["    (nothing)"]


def save_scenario(name: str, text: str) -> str:
    """Keep a scenario in the folder of temporary files; its path."""
    path = Path(tempfile.gettempdir(), f"mmscope-{name}.scn")
    path.write_text(text)
    return str(path)


def coverage(scenarios: Sequence[Scenario]) -> str:
    """Scenarios by row of the mission: how many there are, expected to pass and to fail."""
    rows = [f"S{number}" for number in range(1, 30)]
    lines = [f"{'row':<5}{'scenarios':>10}{'pass':>6}{'expected to fail':>18}"]
    for row in rows:
        mine = [scenario for scenario in scenarios if row in scenario.rows]
        failing = sum(bool(scenario.fails) for scenario in mine)
        lines.append(f"{row:<5}{len(mine):>10}{len(mine) - failing:>6}{failing:>18}")
    failing = sum(bool(scenario.fails) for scenario in scenarios)
    lines.append(f"{'all':<5}{len(scenarios):>10}{len(scenarios) - failing:>6}{failing:>18}")
    lines.append("a scenario counts in each row that it names")
    return "\n".join(lines) + "\n"
