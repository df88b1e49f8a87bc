# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of random operations on Linux 5.10, performed again on the model: `mmscope check --recorded`.

There are two kinds: answers to the agent (truth.py), and whole structures, of which this module tells. A recording of those is a
file of JSON lines, xz-compressed or not: {"i": number, "op": "munmap addr=0x... len=0x... ret=0 errno=0", "mm": [the state
after it, of the child too after a fork]}. Line 0 is the state that the program had after its start-up. Where the program,
init.elf.xz, stands beside the recording, the model runs it that far (program.py), and line 0 is compared like any other; else
line 0 is put down as recorded (rebuild.py). Each operation is then done by the model's own functions and everything that
structure.py can tell is compared.

After a fork the child is compared too. The recorded one went from the return of fork() to pause(), where it was killed before
the next operation: the model's child takes the page faults of those instructions, if the program that has them is there.
"""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from mmscope.errors import MmscopeError, UsageError
from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.exit import do_group_exit
from mmscope.kernel.include.errno import KernelBug, KernelError
from mmscope.kernel.include.page import PAGE_SHIFT
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mmap import do_brk, do_munmap
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from mmscope.kernel.mm.util import vm_mmap_pgoff
from mmscope.machine import Process
from mmscope.oracle import differ
from mmscope.oracle.program import DATA_FD, Program, program_beside, run_program, symbols
from mmscope.oracle.rebuild import Rebuilt
from mmscope.oracle.structure import Json, Snapshot, difference, facts
from mmscope.oracle.truth import compare_answers, is_recording_of_the_agent

__all__ = [
    "AnswerDivergence", "Divergence", "Replay", "Report", "check_recorded", "default_recordings", "records", "replay",
    "replay_answers",
]  # fmt: skip

#: Skipped where there is no program for the child to run.
SKIP_CHILD_RUN = "fork: what the child touched itself (no init.elf.xz)"
#: The facts that this changes: text is not copied by fork, but found again by faults.
_CHILD_RUN_FACTS = ("mm->pgtables_bytes", "rss shmem")
#: The functions of the recorded program that a child fetches instructions from, in order.
_CHILD_FUNCTIONS = ("fork", "main", "pause")

_ARGUMENT = re.compile(r"(\w+)=(-?\w+)")


def records(path: Path) -> Iterator[Json]:
    """The lines of a recording. Raises UsageError."""
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else open(path) as lines:
            for number, line in enumerate(lines):
                record = json.loads(line)
                if not isinstance(record, dict) or not {"i", "op", "mm"} <= record.keys():
                    raise UsageError(f"{path}, line {number + 1}: not a recorded operation (i, op, mm)")
                yield record
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (lzma.LZMAError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path}: not a recording: {error}") from None


class Replay:
    """The model in the state of a recording's line 0, ready for its operations."""

    def __init__(self, model: Rebuilt | Program) -> None:
        self.model = model
        self.k, self.task, self.mm = model.k, model.task, model.mm
        #: Where the program has the functions that its children run.
        known = symbols(model.elf) if isinstance(model, Program) else {}
        self.child_runs = [known[name] for name in _CHILD_FUNCTIONS if name in known]
        #: The forked child, until the next operation.
        self.child: Process | None = None

    def states(self, xarrays: bool = False) -> list[Json]:
        """As recorded: the program's state, and its child's."""
        snapshot = Snapshot(self.k)
        tasks = [self.task, self.child.task] if self.child is not None else [self.task]
        return [snapshot.mm(task, xarrays=xarrays) for task in tasks]

    def run(self, op: str) -> tuple[int, int]:
        """Do an operation: (result, errno); the result of a fork is 0. The child is killed before the next operation."""
        self.reap()
        name, args = parse(op)
        try:
            if name == "fork":
                self.fork()
                return 0, 0
            return self.call(name, args), 0
        except KernelError as error:
            return -1, error.args[0]

    def call(self, name: str, a: dict[str, int]) -> int:
        """The system call of that name, below the decoding of its arguments. Raises KernelError."""
        k, mm = self.k, self.mm
        match name:
            case "mmap":
                file = self.model.data if a["fd"] == DATA_FD else None
                return vm_mmap_pgoff(k, file, a["addr"], a["len"], a["prot"], a["flags"], a["off"] >> PAGE_SHIFT)
            case "munmap":
                do_munmap(mm, a["addr"], a["len"])
            case "mprotect":
                do_mprotect_pkey(k, a["addr"], a["len"], a["prot"])
            case "mremap":
                return do_mremap(k, a["addr"], a["old"], a["new"], a["flags"], 0)
            case "brk":
                return do_brk(k, a["addr"])
            case "madvise":
                do_madvise(k, a["addr"], a["len"], a["adv"])
            case "touch":
                # A byte through a pipe: read(2) stores it, write(2) loads it, both in the kernel.
                if a["write"]:
                    copy_to_user(k, a["addr"], b"x")
                else:
                    copy_from_user(k, a["addr"], 1)
                return 1
            case _:
                raise UsageError(
                    f"recorded operation {name!r}: known are mmap, munmap, mprotect, mremap, brk, madvise, touch, fork"
                )
        return 0

    def fork(self) -> None:
        """A child, which runs up to its pause(). Then the parent goes on."""
        self.child = self.model.process.fork()
        for addr in self.child_runs:
            self.child.fetch(addr)
        self.model.process.resume()

    def reap(self) -> None:
        """The child is killed."""
        if self.child is not None:
            self.child.resume()
            do_group_exit(self.k, SIGKILL)
            del self.k.tasks[self.child.task.pid]
            self.model.process.resume()
            self.child = None


def parse(op: str) -> tuple[str, dict[str, int]]:
    """`munmap addr=0x1000 len=0x1000 ret=0 errno=0` -> its name and arguments, results included."""
    name, _, rest = op.partition(" ")
    return name, {key: int(value, 0) for key, value in _ARGUMENT.findall(rest)}


def recorded_result(op: str) -> tuple[int, int]:
    """(result, errno) of a recorded operation; a failed one's result is -1. 0 for a fork: process ids are arbitrary."""
    name, args = parse(op)
    if name == "fork":
        return 0, 0
    if args["ret"] in (-1, 2**64 - 1):
        return -1, args["errno"]
    return args["ret"], 0


def subject(line: str) -> str:
    """What a line of difference() is about."""
    return line[2:].partition(":")[0]


def show_result(result: tuple[int, int]) -> str:
    """0x7ffff7fef000, or -1 errno 12."""
    value, errno = result
    return f"-1 errno {errno}" if errno else hex(value)


class Divergence:
    """An operation after which the model is not what the kernel was, in something that was alike before."""

    def __init__(self, number: int, op: str, before: Json, lines: list[str]) -> None:
        self.number = number
        self.op = op
        #: The recorded state before the operation.
        self.before = before
        #: `- what: the kernel's` and `+ what: the model's`.
        self.lines = lines

    def text(self, limit: int = 24) -> str:
        """For people: the operation, the difference, the VMAs before."""
        lines = [f"operation {self.number}: {self.op}", "--- Linux 5.10", "+++ model", *self.lines[:limit]]
        if len(self.lines) > limit:
            lines.append(f"... and {len(self.lines) - limit} more lines")
        lines.append("the mappings before it:")
        for vma in self.before["mmap"]:
            lines.append(f"  {vma['start'][2:]}-{vma['end'][2:]} {vma['flags']} {vma['file'] or ''}".rstrip())
        return "\n".join(lines)


class AnswerDivergence(Divergence):
    """An operation of a scenario that the agent on Linux 5.10 was answered otherwise than on the model."""

    def __init__(self, found: differ.Divergence) -> None:
        answers = [f"- result: {found.live}", f"+ result: {found.model}"]
        super().__init__(found.index + 1, str(found.op), {}, answers)
        self.scenario = found.scenario

    def text(self, limit: int = 24) -> str:
        """For people: the scenario up to the operation, both answers."""
        lines = [f"scenario {self.scenario.name}, operation {self.number}: {self.op}", "--- Linux 5.10", "+++ model", *self.lines]
        return "\n".join([*lines, "the operations before it:", *(f"  {op}" for op in self.scenario.ops[: self.number - 1])])


class Report:
    """What came of one recording."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: How the model got to line 0.
        self.line_0 = ""
        self.operations = 0
        #: Operations of which result, errno and the whole state were compared.
        self.compared = 0
        self.divergences: list[Divergence] = []
        #: What was not compared -> how many times.
        self.skipped: Counter[str] = Counter()


def start(path: Path, first: Json) -> tuple[Replay, str, list[str]]:
    """The model at line 0; how it got there; how its state after the program's start-up differs, if it does.

    A model that comes out of the start-up with another state goes on with the recorded one: one difference there is not one
    in every operation.
    """
    state: Json = first["mm"][0]
    elf = program_beside(path)
    try:
        if elf is None:
            return Replay(Rebuilt(state)), "line 0 put down as recorded: no init.elf.xz beside it", []
        seed = re.search(r"\d+", path.name)
        env = {b"seed": seed.group().encode() if seed else b"1", b"nops": b"300"}
        try:
            model = Replay(run_program(elf, env, int(state["start_stack"], 16)))
            found = difference(facts(state, pages=True), facts(model.states(xarrays=True)[0], pages=True))
        except (MmscopeError, OSError, KernelBug) as error:
            found = ["- init.elf: reaches its first marker", f"+ init.elf: {error}"]
        if not found:
            return model, "line 0 by running init.elf", []
        return Replay(Rebuilt(state)), "line 0 put down as recorded: running init.elf leads elsewhere", found
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: line 0 cannot be rebuilt: {error!r}") from None


def child_difference(want: list[Json], got: list[Json], model: Replay, report: Report) -> list[str]:
    """How the child's state differs, as difference() has it; nothing if there is no child."""
    if len(want) != len(got):
        return [f"- children: {len(want)}", f"+ children: {len(got)}"]
    lines: list[str] = []
    for one, other in zip(want, got, strict=True):
        found = difference(facts(one), facts(other))
        if not model.child_runs:
            found = [line for line in found if subject(line) not in _CHILD_RUN_FACTS]
            report.skipped[SKIP_CHILD_RUN] += 1
        lines += [f"{line[:2]}child: {line[2:]}" for line in found]
    return lines


def replay(path: Path, validate: bool = True) -> Report:
    """Perform the recording `path`. `validate`: check the model's own invariants too after every operation. Raises UsageError."""
    report = Report(path)
    lines = records(path)
    first = next(lines, None)
    if first is None:
        raise UsageError(f"{path}: an empty recording")
    model, report.line_0, found = start(path, first)
    before: Json = first["mm"][0]
    if found:
        report.divergences.append(Divergence(0, "the program's start-up", before, found))
    #: What differs already: said once.
    standing: set[str] = set()
    for record in lines:
        op, after = record["op"], record["mm"]
        report.operations += 1
        found = []
        try:
            got = model.run(op)
            if validate:
                validate_vm(model.k)
        except KernelBug as bug:
            report.divergences.append(Divergence(record["i"], op, before, [f"+ kernel BUG: {bug}"]))
            report.skipped["the operations after a kernel BUG"] += sum(1 for _ in lines)
            report.operations += report.skipped["the operations after a kernel BUG"]
            break
        report.compared += 1
        want = recorded_result(op)
        if want != got:
            found += [f"- result: {show_result(want)}", f"+ result: {show_result(got)}"]
        states = model.states()
        state = difference(facts(after[0]), facts(states[0]))
        found += [line for line in state if subject(line) not in standing]
        standing = {subject(line) for line in state}
        found += child_difference(after[1:], states[1:], model, report)
        if found:
            report.divergences.append(Divergence(record["i"], op, before, found))
        before = after[0]
    return report


def replay_answers(path: Path) -> Report:
    """The agent's scenarios of the recording `path`, on the model."""
    report = Report(path)
    agree, fail = compare_answers(path)
    report.line_0 = "scenarios of the agent"
    report.operations = agree.operations + fail.operations
    report.compared = agree.compared
    report.divergences += map(AnswerDivergence, agree.divergences)
    report.skipped += agree.skipped
    if fail.operations:
        report.skipped["operations of scenarios that are expected to fail"] += fail.operations
    return report


def default_recordings() -> list[Path]:
    """The recordings of this checkout; none where the package is installed without its tests."""
    data = Path(__file__).parents[3] / "tests" / "data"
    return [path for folder in ("5.10/random", "truth/5.10") for path in sorted((data / folder).glob("*.jsonl*"))]


def check_recorded(paths: Sequence[Path], out: TextIO) -> int:
    """Perform each recording, print what came of it. 0: the model did as Linux did; 1: it did not."""
    paths = list(paths) or default_recordings()
    if not paths:
        raise UsageError("no recordings here: name files in the format of tests/data/5.10/random, or run from a checkout")
    reports = []
    for path in paths:
        report = replay_answers(path) if is_recording_of_the_agent(path) else replay(path)
        reports.append(report)
        print(f"{path.name}: {tally([report])} ({report.line_0})", file=out, flush=True)
        for name, count in report.skipped.items():
            print(f"  skipped {count} x {name}", file=out)
    first = next((d for report in reports for d in report.divergences), None)
    if first is not None:
        print(first.text(), file=out)
    print(tally(reports), file=out, flush=True)
    return 1 if first is not None else 0


def tally(reports: Sequence[Report]) -> str:
    """N operations, M compared, D divergences."""
    return (
        f"{sum(r.operations for r in reports)} operations, {sum(r.compared for r in reports)} compared, "
        f"{sum(len(r.divergences) for r in reports)} divergences"
    )
