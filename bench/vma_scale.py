# SPDX-License-Identifier: GPL-2.0-or-later
"""Up to 60,000 VMAs in one process: what mmap, a page fault and munmap cost, in the model and on the live kernel, in one run.

    .venv/bin/python bench/vma_scale.py [--rounds N] [--svg FILE]

The VMAs are single pages with a page between them. `mmap` finds room for two pages and makes a VMA of its own there (neighbours
differ in their rights), `fault` is the first store into a random VMA of the many (the search for it and the fault itself),
`munmap` takes one of the new VMAs away. In the model an operation goes through the kernel's own entry, without a processor.
Each number is the median of the rounds, of BATCH operations each.
"""

from __future__ import annotations

import argparse
import glob
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    #: Operation -> nanoseconds, one for each of SIZES.
    Costs = dict[str, list[float]]

SIZES: Final = (100, 300, 1000, 3000, 10_000, 30_000, 60_000)
OPERATIONS: Final = ("mmap", "fault", "munmap")
PAGE: Final = 4096
BASE: Final = 0x10000000000
#: Operations timed together.
BATCH: Final = 100

LIVE: Final = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
enum { PAGE = 4096, BATCH = 100 };
static int order[65536];
static char *const base = (char *)0x10000000000;
static char *found[BATCH];
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}
static char *map(char *addr, int pages, int prot, int flags)
{
	char *p = mmap(addr, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}
int main(int argc, char **argv)
{
	int have = 0, rounds = atoi(argv[1]);
	for (int size = 2; size < argc; size++) {
		int n = atoi(argv[size]);
		for (; have < n; have++) {
			map(base + 2L * PAGE * have, 1, PROT_READ | PROT_WRITE, MAP_FIXED);
			order[have] = have;
		}
		for (int round = 0; round < rounds; round++) {
			double start = now();
			for (int i = 0; i < BATCH; i++)
				found[i] = map(0, 2, i & 1 ? PROT_READ : PROT_NONE, 0);
			double mapped = now();
			for (int i = 0; i < BATCH; i++)
				munmap(found[i], 2 * PAGE);
			double unmapped = now();
			for (int i = 0; i < BATCH; i++) {
				int j = i + random() % (n - i), drawn = order[j];
				order[j] = order[i];
				order[i] = drawn;
				found[i] = base + 2L * PAGE * drawn;
			}
			double before = now();
			for (int i = 0; i < BATCH; i++)
				*(volatile char *)found[i] = 1;
			double touched = now();
			printf("%d mmap %f\n%d munmap %f\n%d fault %f\n", n, (mapped - start) / BATCH, n,
				(unmapped - mapped) / BATCH, n, (touched - before) / BATCH);
			for (int i = 0; i < BATCH; i++)
				madvise(found[i], PAGE, MADV_DONTNEED);
		}
	}
	return 0;
}
"""


def live(rounds: int) -> Costs:
    """The kernel under us."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "vma.c"), Path(folder, "vma")
        source.write_text(LIVE)
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
        text = subprocess.run([program, str(rounds), *map(str, SIZES)], check=True, capture_output=True, text=True).stdout
    samples: dict[tuple[int, str], list[float]] = {}
    for line in text.splitlines():
        n, name, ns = line.split()
        samples.setdefault((int(n), name), []).append(float(ns))
    return {name: [median(samples[n, name]) for n in SIZES] for name in OPERATIONS}


def model(rounds: int) -> Costs:
    """The model, as this interpreter imports it."""
    from mmscope import Machine

    clock = time.perf_counter_ns
    costs: Costs = {name: [] for name in OPERATIONS}
    draw = random.Random(0)
    have = 0
    p = Machine(ram="1G").process()
    for n in SIZES:
        for i in range(have, n):
            p.mmap(BASE + 2 * PAGE * i, PAGE, 3, 0x32)
        have = n
        samples: Costs = {name: [] for name in OPERATIONS}
        for _ in range(rounds):
            start = clock()
            found = [p.mmap(0, 2 * PAGE, i & 1, 0x22) for i in range(BATCH)]
            mapped = clock()
            for addr in found:
                p.munmap(addr, 2 * PAGE)
            unmapped = clock()
            pages = [BASE + 2 * PAGE * i for i in draw.sample(range(n), BATCH)]
            before = clock()
            for addr in pages:
                p.store(addr, b"\1")
            touched = clock()
            for name, ns in zip(OPERATIONS, (mapped - start, touched - before, unmapped - mapped), strict=True):
                samples[name].append(ns / BATCH)
            for addr in pages:
                p.madvise(addr, PAGE, 4)
        for name in OPERATIONS:
            costs[name].append(median(samples[name]))
    return costs


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what mmap, a page fault and munmap cost among many VMAs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--svg", type=Path, help="draw the figure there")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.model:
        print(json.dumps(model(args.rounds)))
        return 0
    if shutil.which("cc") is None:
        print("bench/vma_scale.py needs a C compiler for the live kernel's side", file=sys.stderr)
        return 2
    contestants = {"live kernel": live(args.rounds)}
    import mmscope

    kernels = {"model, pure": "1"}
    if glob.glob(str(Path(mmscope.__file__).parent.parent / "mmscope_kernel__mypyc*")):
        kernels = {"model, compiled": "", **kernels}
    for name, pure in kernels.items():
        done = subprocess.run(
            [sys.executable, __file__, "--model", "--rounds", str(args.rounds)],
            env={**os.environ, "MMSCOPE_PURE": pure}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        contestants[name] = json.loads(done.stdout)
    table(contestants)
    if args.svg is not None:
        args.svg.write_text(figure(contestants))
    return 0


def table(contestants: dict[str, Costs]) -> None:
    """Microseconds, the ratio to the live kernel in the same run, and the growth from the smallest size to the largest."""
    reference = contestants["live kernel"]
    print(f"{'us an operation':24}" + "".join(f"{n:>15,}" for n in SIZES) + "   growth")
    for operation in OPERATIONS:
        for name, costs in contestants.items():
            row = costs[operation]
            cells = "".join(
                f"{ns / 1e3:8.2f} ({ns / base:3.0f}x)" if costs is not reference else f"{ns / 1e3:8.2f}       "
                for ns, base in zip(row, reference[operation], strict=True)
            )
            print(f"{operation:7} {name:16}{cells}   {row[-1] / row[0]:.2f}x")
    logs, numbers = math.log2(SIZES[-1]) / math.log2(SIZES[0]), SIZES[-1] // SIZES[0]
    print(f"\nThe number of VMAs grows {numbers}x, its logarithm {logs:.2f}x.")


# ---- the figure

COLOURS: Final = {"live kernel": "#1b7837", "model, compiled": "#2166ac", "model, pure": "#b2182b"}
PANEL: Final = 270
HEIGHT: Final = 230
LEFT: Final = 58
#: Between two panels.
GAP: Final = 36
TOP: Final = 64
#: The y axis, microseconds.
LOW: Final = 0.1
HIGH: Final = 100


def figure(contestants: dict[str, Costs]) -> str:
    """An SVG: a panel an operation; both axes are logarithmic, a dashed line is what costs in proportion to n would look like."""
    width = LEFT + len(OPERATIONS) * (PANEL + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 52}" width="{width}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{TOP + HEIGHT + 52}" fill="#fff"/>',
    ]
    x = float(LEFT)
    for name in contestants:
        out.append(f'<line x1="{x}" y1="20" x2="{x + 26}" y2="20" stroke="{COLOURS[name]}" stroke-width="2.5"/>')
        out.append(f'<text x="{x + 32}" y="24">{name}</text>')
        x += 150
    out.append(f'<line x1="{x}" y1="20" x2="{x + 26}" y2="20" stroke="#999" stroke-width="1.5" stroke-dasharray="5 4"/>')
    out.append(f'<text x="{x + 32}" y="24">if it cost in proportion to n</text>')
    for i, operation in enumerate(OPERATIONS):
        out += panel(LEFT + i * (PANEL + GAP), operation, contestants, i == 0)
    out.append("</svg>\n")
    return "\n".join(out)


def across(n: float) -> float:
    """Pixels from the panel's left."""
    return 12 + (PANEL - 24) * math.log(n / SIZES[0]) / math.log(SIZES[-1] / SIZES[0])


def down(us: float) -> float:
    """Pixels from the top of the picture."""
    return TOP + HEIGHT * (1 - math.log(us / LOW) / math.log(HIGH / LOW))


def panel(left: float, operation: str, contestants: dict[str, Costs], labels: bool) -> list[str]:
    """One operation."""
    out = [f'<g transform="translate({left} 0)">']
    out.append(f'<text x="{PANEL / 2}" y="{TOP - 12}" text-anchor="middle" font-weight="bold">{operation}</text>')
    for us in (0.1, 1, 10, 100):
        out.append(f'<line x1="0" y1="{down(us):.1f}" x2="{PANEL}" y2="{down(us):.1f}" stroke="#ddd"/>')
        if labels:
            out.append(f'<text x="-8" y="{down(us) + 4:.1f}" text-anchor="end">{us:g} us</text>')
    for n, text in ((100, "100"), (1000, "1,000"), (10_000, "10,000"), (60_000, "60,000")):
        x = f"{across(n):.1f}"
        out.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{TOP + HEIGHT}" stroke="#eee"/>')
        out.append(f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{text}</text>')
    out.append(f'<text x="{PANEL / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">VMAs in the process</text>')
    first = min(costs[operation][0] for costs in contestants.values()) / 1e3
    end = min(SIZES[-1], SIZES[0] * HIGH / first)
    out.append(
        f'<line x1="{across(SIZES[0]):.1f}" y1="{down(first):.1f}" x2="{across(end):.1f}" '
        f'y2="{down(first * end / SIZES[0]):.1f}" stroke="#999" stroke-width="1.5" stroke-dasharray="5 4"/>'
    )
    for name, costs in contestants.items():
        points = [(across(n), down(ns / 1e3)) for n, ns in zip(SIZES, costs[operation], strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2.5"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in points]
    return [*out, "</g>"]


if __name__ == "__main__":
    sys.exit(main())
