# SPDX-License-Identifier: GPL-2.0-or-later
"""No operation walks all VMAs: the lines of the model that one executes grow with the height of the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: Runs in a process of its own: only the Python sources can be counted line by line.
PROGRAM = """
import json, sys
from mmscope import Machine

PAGE, BASE, RW, ANON, FIXED = 4096, 0x10000000000, 3, 0x22, 0x10
p = Machine(ram="64M", root=None, version=tuple(json.loads(sys.argv[1]))).process()
heap = p.brk()
lines = 0

def count(frame, event, arg):
    global lines
    lines += event == "line"
    return count

def cost(operation):
    global lines
    lines = 0
    sys.settrace(count)
    try:
        operation()
    finally:
        sys.settrace(None)
    return lines

def costs(n):
    at = BASE + 2 * PAGE * (n // 2)
    return {
        "mmap": cost(lambda: p.mmap(0, 2 * PAGE, RW, ANON)),
        "mmap fixed": cost(lambda: p.mmap(at, PAGE, RW, ANON | FIXED)),
        "mmap shared": cost(lambda: p.mmap(0, PAGE, RW, 0x21)),
        "fault": cost(lambda: p.store(at, b"x")),
        "mprotect": cost(lambda: p.mprotect(at, PAGE, 1)),
        "madvise": cost(lambda: p.madvise(at, PAGE, 4)),
        "mlock": cost(lambda: p.syscall(149, at, PAGE)),
        "munlock": cost(lambda: p.syscall(150, at, PAGE)),
        "mremap": cost(lambda: p.mremap(at, PAGE, 2 * PAGE)),
        "munmap": cost(lambda: p.munmap(at + 2 * PAGE, PAGE)),
        "brk": cost(lambda: p.brk(heap + PAGE * (n % 7 + 1))),
    }

def grow(old, n):
    for i in range(old, n):
        p.mmap(BASE + 2 * PAGE * i, PAGE, RW, ANON | FIXED)

grow(0, 50)
few = costs(50)
grow(50, 3200)
print(json.dumps([few, costs(3200)]))
"""


@pytest.mark.parametrize("version", [(5, 11), (6, 18)])
def test_cost_among_many_vmas(version: tuple[int, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(version)],
        env={**os.environ, "MMSCOPE_PURE": "1"}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    few, many = json.loads(done.stdout)
    # 64 times as many VMAs: the tree is twice as deep. One line a VMA would be 3,000 more.
    grown = {name: (few[name], many[name]) for name in few if many[name] > 2 * few[name] + 200}
    assert grown == {}
