# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten generations and siblings on Linux 5.10, looked into after each step (nest.c), and the same family on the model.

Compared for every process alive: VMA list and tree with shape and colours, anon_vma chains with roots, parents, counts and trees,
i_mmap trees, counters. The recorded processes ran code of their own between the steps: RSS and page tables are left out.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.machine import Process
from mmscope.oracle.program import Program, run_program
from mmscope.oracle.structure import Json, Snapshot, difference, facts

PAGE = 4096

#: nest.c's script: steps of WHO OP ARG. f: fork a child of that number; w, b: write to that page of a or b; u: unmap that page
#: of a; p: make that page of e read-only; x: exit.
SCRIPT = (
    "0f1", "1f2", "2f3", "1w0 1x0", "2f4", "4w1 4b0", "4f5", "2x0", "3f6", "6w2", "0f7 7u3", "7f8", "3x0 6f9", "9u5 9p1",
    "5x0 0w6",
)  # fmt: skip

#: What the recorded processes' own code changed.
OWN = re.compile(r"[-+] (rss \w+|mm->pgtables_bytes): ")


class Family:
    """The program at its first marker, and its descendants."""

    def __init__(self, program: Program) -> None:
        self.program = program
        said = re.search(rb"a=(\w+) b=(\w+) e=(\w+)", program.process.stdout)
        assert said is not None
        self.a, self.b, self.e = (int(word, 16) for word in said.groups())
        self.alive: dict[int, Process] = {0: program.process}

    def do(self, who: int, op: str, arg: int) -> None:
        """One word of the script."""
        p = self.alive[who]
        if op == "f":
            self.alive[arg] = p.fork()
        elif op == "x":
            self.alive.pop(who).exit()
        elif op == "u":
            p.munmap(self.a + arg * PAGE, PAGE)
        elif op == "p":
            p.mprotect(self.e + arg * PAGE, PAGE, 1)
        else:
            p.store((self.a if op == "w" else self.b) + arg * PAGE, bytes([who + 1]))

    def states(self) -> dict[str, Json]:
        """By number, oldest first, as recorded."""
        validate_vm(self.program.k)
        snapshot = Snapshot(self.program.k)
        return {str(n): snapshot.mm(p.task, xarrays=False) for n, p in sorted(self.alive.items())}


@pytest.fixture(scope="module")
def recorded(data: Path) -> list[dict[str, Json]]:
    """Moment -> process -> state."""
    moments = json.loads(lzma.decompress((data / "5.10/nested/nested.json.xz").read_bytes()))
    return [moments[str(n)] for n in range(len(SCRIPT) + 1)]


@pytest.fixture(scope="module")
def modelled(data: Path, recorded: list[dict[str, Json]]) -> Iterator[list[dict[str, Json]]]:
    elf = lzma.decompress((data / "5.10/nested/init.elf.xz").read_bytes())
    program = run_program(elf, {}, int(recorded[0]["0"]["start_stack"], 16))
    with program.machine:
        family = Family(program)
        moments = [family.states()]
        for step in SCRIPT:
            for word in step.split():
                family.do(int(word[0]), word[1], int(word[2]))
            moments.append(family.states())
        yield moments


def test_the_script_is_the_recorded_program_s(data: Path) -> None:
    source = (data / "5.10/nested/nest.c").read_text()
    found = re.search(r"script\[\]=\{(.*),0\};", source)
    assert found is not None
    assert tuple(re.findall(r'"([^"]*)"', found[1])) == SCRIPT


@pytest.mark.parametrize("moment", range(len(SCRIPT) + 1))
def test_the_family_s_structures_are_the_recorded_ones(
    recorded: list[dict[str, Json]], modelled: list[dict[str, Json]], moment: int
) -> None:
    assert list(modelled[moment]) == list(recorded[moment])
    for number, want in recorded[moment].items():
        lines = difference(facts(want), facts(modelled[moment][number]))
        assert [line for line in lines if not OWN.match(line)] == [], number


def test_reuse_of_an_anon_vma_was_among_them(recorded: list[dict[str, Json]]) -> None:
    """Process 4's mapping of `a` took over the anon_vma of process 1, which had exited: its chain is no longer than 2's."""

    def links(number: str) -> int:
        return next(len(vma["avc"]) for vma in recorded[5][number]["mmap"] if vma["start"] == "0x7ffff7ff1000")

    assert [links(number) for number in ("2", "3", "4")] == [3, 4, 3]
