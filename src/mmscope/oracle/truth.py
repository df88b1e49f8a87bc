# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorded answers of the agent: the third runner. JSON lines; the first says which kernel and which agent answered.

    {"kernel": "Linux version 5.10.0-30-cloud-amd64 ...", "package": "linux-image-...deb", "agent": "sha256", "fs": "tmpfs"}
    {"name": "merge", "scenario": "# title: ...", "wire": "s ...\\nz\\n", "answers": ["= 0x20000000", ...]}

A scenario is found by what the agent was sent, so an edited one is never compared with an old answer.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mmscope.errors import UsageError
from mmscope.oracle.differ import Comparison, compare
from mmscope.oracle.differences import NOT_UNDER_QEMU
from mmscope.oracle.runner import AGENT, ModelRunner, OracleError, wire
from mmscope.oracle.scenario import Scenario, format_scenario, parse

__all__ = ["NOT_AS_V5_11", "RecordedRunner", "compare_answers", "is_recording_of_the_agent", "write_recording"]

#: Scenarios that the recorded guest, 5.10.218 on QEMU's processor, answers otherwise than v5.11 on a real one, which the model
#: follows: name -> why. They are recorded in a guest of their own: what they leave behind is otherwise too.
NOT_AS_V5_11: Final = {
    "vdso_rights": "v5.11 forbids to split special mappings (871402e05b24)",
    "readahead_within_a_read": "v5.11 moves the position that readahead looks at with every page of a read, 5.10 at its end",
    **NOT_UNDER_QEMU,
}


def write_recording(
    path: Path, kernel: str, package: str, scenarios: Sequence[Scenario], answers: Sequence[Sequence[str]], fs: str = "tmpfs"
) -> None:
    """Write a recording; a name that ends in .xz is compressed."""
    agent = hashlib.sha256(AGENT.read_bytes()).hexdigest()
    lines: list[object] = [{"kernel": kernel, "package": package, "agent": agent, "fs": fs}]
    for scenario, raw in zip(scenarios, answers, strict=True):
        lines.append({"name": scenario.name, "scenario": format_scenario(scenario), "wire": wire(scenario), "answers": list(raw)})
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(text) if path.suffix == ".xz" else text)


class RecordedRunner:
    """Answers from a recording; it was made with the committed agent, or it is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: What was sent -> what came back.
        self.answers: dict[str, list[str]] = {}
        #: As they were when they were recorded.
        self.scenarios: list[Scenario] = []
        try:
            raw = path.read_bytes()
            header, *records = (json.loads(line) for line in (lzma.decompress(raw) if path.suffix == ".xz" else raw).splitlines())
            #: /proc/version of the recorded kernel.
            self.kernel = str(header["kernel"])
            agent = header["agent"]
            #: Where the files stood.
            self.fs = str(header.get("fs", "tmpfs"))
            for record in records:
                self.answers[record["wire"]] = record["answers"]
                self.scenarios.append(parse(record["scenario"], record["name"]))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, lzma.LZMAError) as error:
            raise UsageError(f"{path}: not a recording of the agent: {error!r}") from None
        if agent != hashlib.sha256(AGENT.read_bytes()).hexdigest():
            raise OracleError(f"{path} was recorded with another agent ({agent[:12]}...): record it again")

    def has(self, scenario: Scenario) -> bool:
        """The scenario, as it is now, was recorded."""
        return wire(scenario) in self.answers

    def run(self, scenarios: Sequence[Scenario]) -> list[list[str]]:
        """The raw answers. Raises OracleError for a scenario that was not recorded."""
        for scenario in scenarios:
            if not self.has(scenario):
                raise OracleError(f"{self.path} has no scenario {scenario.name!r} as it is now: record it again")
        return [list(self.answers[wire(scenario)]) for scenario in scenarios]


def is_recording_of_the_agent(path: Path) -> bool:
    """Not a file of structures: its first line names an agent."""
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else open(path) as lines:
            return "agent" in json.loads(next(lines, "{}"))
    except (OSError, ValueError, TypeError, lzma.LZMAError, EOFError):
        return False


def compare_answers(path: Path) -> tuple[Comparison, Comparison]:
    """The recording `path` on the model: of the scenarios that should agree, and of those whose header says `fails`."""
    recorded = RecordedRunner(path)
    agree, fail = Comparison(), Comparison()
    with ModelRunner(rootfstype=recorded.fs) as model:
        answers = zip(recorded.scenarios, recorded.run(recorded.scenarios), model.run(recorded.scenarios), strict=True)
        for scenario, theirs, ours in answers:
            if scenario.name in NOT_AS_V5_11:
                agree.operations += len(scenario.ops)
                agree.skipped[f"{scenario.name}: {NOT_AS_V5_11[scenario.name]}"] += len(scenario.ops)
                continue
            (fail if scenario.fails else agree).add(compare(scenario, theirs, ours))
    return agree, fail
