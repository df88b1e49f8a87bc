# SPDX-License-Identifier: GPL-2.0-or-later
"""What `mmscope check --live` does: scenarios and random sequences on both kernels; the first divergence is made small."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from mmscope.errors import UsageError
from mmscope.oracle.differ import Comparison, Divergence, compare
from mmscope.oracle.differences import NOT_UNDER_QEMU, in_force, running_release
from mmscope.oracle.runner import HANGS, Runner
from mmscope.oracle.scenario import Op, Scenario, format_scenario, load, render, uses_files
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


def named(name: str) -> Scenario:
    """A scenario file, or one of the library by its name. UsageError."""
    path = Path(name)
    if not path.exists() and "/" not in name:
        path = LIBRARY / f"{name}.scn"
        if not path.exists():
            raise UsageError(f"{name}: neither a file nor a scenario of the library, {LIBRARY}")
    return load(path)


class Campaign:
    """Runs scenarios on both kernels and sums up."""

    def __init__(
        self,
        live: Runner,
        model: Runner,
        fs: str = "tmpfs",
        others: Mapping[str, tuple[Runner, Runner]] | None = None,
        release: tuple[int, int] | None = None,
    ) -> None:
        """`fs`: the file system that the two runners' folders stand on; `others`: more pairs, for scenarios that use files.

        `release`: of `live`'s kernel, by default the one under us; another is a guest's.
        """
        self.release = release or running_release()
        self.guest = release is not None
        self.runners: dict[str, tuple[Runner, Runner]] = {fs: (live, model), **(others or {})}
        #: Where scenarios run that use no files.
        self.fs = fs
        #: Scenarios that used files, by file system; those whose `fs:` names one that is missing.
        self.with_files: Counter[str] = Counter()
        self.without_fs: Counter[str] = Counter()
        #: The model did not come to an end: what follows would take as long.
        self.hung = False
        self.total = Comparison()
        #: Divergences nobody expected.
        self.divergences: list[Divergence] = []
        #: Names of scenarios that fail as their header says, and of those that should and do not.
        self.expected: list[str] = []
        self.unexpected_passes: list[Scenario] = []

    def run(self, scenarios: Sequence[Scenario]) -> None:
        """Run and compare; what uses files, on each file system."""
        placed: dict[str, list[Scenario]] = {}
        for scenario in scenarios:
            wanted = scenario.headers.get("fs", "")
            if wanted and wanted not in self.runners:
                self.without_fs[wanted] += 1
                self.total.operations += len(scenario.ops)
                self.total.skipped[f"no {wanted} on this host"] += len(scenario.ops)
            elif self.guest and scenario.name in NOT_UNDER_QEMU:
                self.total.operations += len(scenario.ops)
                self.total.skipped[f"{scenario.name}: {NOT_UNDER_QEMU[scenario.name]}"] += len(scenario.ops)
            elif wanted:
                placed.setdefault(wanted, []).append(scenario)
            else:
                for fs in self.runners if uses_files(scenario) else (self.fs,):
                    placed.setdefault(fs, []).append(scenario)
        for fs, chosen in placed.items():
            if not self.hung:
                self.run_on(fs, chosen)

    def run_on(self, fs: str, scenarios: Sequence[Scenario]) -> None:
        """Run and compare on one file system."""
        for scenario, result in zip(scenarios, self.compare(scenarios, fs), strict=True):
            self.with_files[fs] += uses_files(scenario)
            if expected_to_fail(scenario, self.release):
                if result.divergences or result.skipped:
                    self.expected.append(scenario.name)
                else:
                    self.unexpected_passes.append(scenario)
            else:
                self.divergences += result.divergences
            self.total.add(result)

    def run_random(self, seed: int, ops: int, seconds: float, progress: Progress, only: Sequence[str] = ()) -> None:
        """Random sequences until `ops` operations (0: no limit) or `seconds` (0: no limit) are used up.

        Those that use files take turns on the file systems. `only`: kinds of operations (strategies.KINDS).
        """
        done = 0
        end = time.monotonic() + seconds
        systems = list(self.runners)
        # A guest boots for every batch.
        for batch in _batches(random_scenarios(seed, only), 16 * _BATCH if self.guest else _BATCH):
            placed: dict[str, list[Scenario]] = {}
            for number, scenario in enumerate(batch):
                if ops and done >= ops:
                    break
                scenario = scenario.with_ops(scenario.ops[: ops - done] if ops else scenario.ops)
                done += len(scenario.ops)
                fs = systems[number % len(systems)] if uses_files(scenario) else self.fs
                placed.setdefault(fs, []).append(scenario)
            for fs, chosen in placed.items():
                if not self.hung:
                    self.run_on(fs, chosen)
            progress(done, len(self.divergences))
            if self.hung or (ops and done >= ops) or (seconds and time.monotonic() >= end):
                return

    def compare(self, scenarios: Sequence[Scenario], fs: str = "") -> list[Comparison]:
        """One result a scenario."""
        live, model = self.runners[fs or self.fs]
        theirs = live.run(scenarios)
        ours = model.run(scenarios)
        results = []
        for scenario, left, right in zip(scenarios, theirs, ours, strict=True):
            if not left or not right:
                results.append(
                    Comparison(len(scenario.ops), skipped=Counter({"after a run that did not end": len(scenario.ops)}))
                )
                continue
            result = compare(scenario, left, right, in_force(self.release), fs or self.fs)
            hangs = any(answers[-1].startswith(HANGS) for answers in (left, right))
            dies = right[-1].startswith("died") and not left[-1].startswith("died")
            if (hangs or dies) and not result.divergences:
                # Behind an operation that was skipped: never right all the same.
                at = min(len(right), len(left), len(scenario.ops)) - 1
                result.divergences.append(Divergence(scenario, at, left[-1], right[-1], fs or self.fs))
            self.hung |= hangs
            results.append(result)
        return results

    def diverging(self, scenarios: Sequence[Scenario], fs: str = "") -> list[bool]:
        """Which of them diverge."""
        return [bool(result.divergences) for result in self.compare(scenarios, fs)]

    def shrink(self, found: Divergence) -> Divergence | None:
        """The same divergence, or one near it, in few operations. None: alone, the scenario does not diverge."""
        cut = found.scenario.with_ops(found.scenario.ops[: found.index + 1])
        if not self.diverging([cut], found.fs)[0]:
            return None
        live, _ = self.runners[found.fs]
        values = [_value(raw) for raw in live.run([cut])[0]]
        small = shrink(cut, lambda scenarios: self.diverging(scenarios, found.fs), values)
        again = self.compare([small], found.fs)[0].divergences
        return again[0] if again else None

    def state_before(self, found: Divergence) -> tuple[str, str]:
        """/proc/self/maps of both kernels before the operation on which they differ."""
        probe = Op("maps", (), "", found.op.child)
        scenario = found.scenario.with_ops([*found.scenario.ops[: found.index], probe])
        answers = (runner.run([scenario])[0] for runner in self.runners[found.fs])
        live, model = (render(probe, raw[found.index]) if len(raw) > found.index else "(no answer)" for raw in answers)
        return live, model


def expected_to_fail(scenario: Scenario, release: tuple[int, int]) -> bool:
    """Whether its header says so for that release: `fails: since 6.7: ...` speaks of a later kernel than v5.11."""
    since = re.match(r"since (\d+)\.(\d+)", scenario.fails)
    if since:
        return (int(since[1]), int(since[2])) <= release
    return scenario.fails != ""


def random_scenarios(seed: int, only: Sequence[str] = ()) -> Iterator[Scenario]:
    """Endless; number `n` of a seed is the same whatever came before. `only`: kinds of operations, all by default."""
    number = 0
    while True:
        yield random_scenario(Choices(seed << 32 | number), name=f"seed-{seed}-{number}", only=only)
        number += 1


def _batches(scenarios: Iterator[Scenario], size: int) -> Iterator[list[Scenario]]:
    while True:
        yield [next(scenarios) for _ in range(size)]


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
    lines.append(_systems(campaign))
    lines += _counted("skipped", total.skipped)
    lines += _counted("masked", total.masked)
    release = campaign.release
    rows = in_force(release)
    for treatment, word in (("arrange", "made alike"), ("mask", "masked where it shows")):
        names = ", ".join(row.id for row in rows if row.treatment == treatment)
        if names:
            lines.append(f"known differences of Linux {release[0]}.{release[1]}, {word}: {names}")
    lines.append(f"{total.operations} operations, {total.compared} compared, {len(campaign.divergences)} divergences")
    return "\n".join(lines) + "\n"


def _systems(campaign: Campaign) -> str:
    parts = [f"{campaign.with_files[fs]} on {fs}" for fs in campaign.runners]
    parts += [f"none on {fs}: this host has no folder on one" for fs in ("tmpfs", "ext4") if fs not in campaign.runners]
    return "scenarios with files: " + ", ".join(parts)


def _counted(what: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    return [f"{what}: {sum(counts.values())} (" + ", ".join(f"{name} {count}" for name, count in counts.most_common()) + ")"]


def _headline(found: Divergence) -> str:
    where = f" on {found.fs}" if uses_files(found.scenario) else ""
    return f"{found.scenario.name or 'scenario'}{where}, operation {found.index + 1}: {found.op}"


def explain(campaign: Campaign, found: Divergence, save: Callable[[str, str], str]) -> list[str]:
    """The first divergence: both answers, the state before, and a small scenario."""
    hung = HANGS in (found.live[: len(HANGS)], found.model[: len(HANGS)])
    small = None if hung else campaign.shrink(found)
    shown = small or found
    live, model = ("", "") if hung else campaign.state_before(shown)
    lines = [f"divergence: {_headline(found)}"]
    if hung:
        lines.append("it hangs: nothing was shrunk, and the run ends here")
    elif small is None:
        lines.append("it does not diverge when run alone: something is left over from scenarios before it")
    else:
        lines.append(f"shrunk from {len(found.scenario.ops)} operations to {len(small.scenario.ops)}")
    lines += ["", f"    {shown.op}", f"      live:  {shown.live}", f"      model: {shown.model}", ""]
    if hung:
        lines.pop()
    elif live == model:
        lines += ["state before, on both:", *_maps_lines(live)]
    else:
        lines += ["state before, live:", *_maps_lines(live), "state before, model:", *_maps_lines(model)]
    headers = {"title": f"Diverges at: {shown.op}", **({"found": found.scenario.name} if found.scenario.name else {})}
    if uses_files(shown.scenario):
        headers["fs"] = shown.fs
    file = Scenario(shown.scenario.ops[: shown.index + 1], headers=headers)
    text = format_scenario(file)
    against = f"--kernel {campaign.release[0]}.{campaign.release[1]}" if campaign.guest else "--live"
    path = save(found.scenario.name or "scenario", text)
    lines += ["", *text.rstrip("\n").split("\n"), "", f"again: mmscope check {against} {path}", ""]
    return lines


def _maps_lines(text: str) -> list[str]:
    return [f"    {line}" for line in text.split(" | ")] if text else ["    (nothing)"]


def save_scenario(name: str, text: str) -> str:
    """Keep a scenario in the folder of temporary files; its path."""
    path = Path(tempfile.gettempdir(), f"mmscope-{name}.scn")
    path.write_text(text)
    return str(path)


def coverage(scenarios: Sequence[Scenario]) -> str:
    """Scenarios by row (docs/oracle.md): how many there are, expected to pass and to fail."""
    rows = [f"S{number}" for number in range(1, 30)]
    lines = [f"{'row':<5}{'scenarios':>10}{'pass':>6}{'expected to fail':>18}"]
    for row in rows:
        mine = [scenario for scenario in scenarios if row in scenario.rows]
        failing = sum(bool(scenario.fails) for scenario in mine)
        lines.append(f"{row:<5}{len(mine):>10}{len(mine) - failing:>6}{failing:>18}")
    failing = sum(bool(scenario.fails) for scenario in scenarios)
    lines.append(f"{'all':<5}{len(scenarios):>10}{len(scenarios) - failing:>6}{failing:>18}")
    lines.append("a scenario counts in each row that it names")
    with_files = [scenario for scenario in scenarios if uses_files(scenario)]
    both = sum("fs" not in scenario.headers for scenario in with_files)
    lines.append(f"{both} scenarios use files, and run on tmpfs and on ext4; {len(with_files) - both} on one of them")
    return "\n".join(lines) + "\n"
