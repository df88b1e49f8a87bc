# SPDX-License-Identifier: GPL-2.0-or-later
"""A process with 256 MiB touched forks 100 children that each write 1% of it: time and memory, the model and the live kernel.

    .venv/bin/python bench/fork_cow.py [--mib N] [--children N]

All children live at the same time; each writes its own part, a page at a time. `fork` and `exit` are medians over the
children, `first write` is the median of a page's copy. Memory is what the family has for itself once all have written:
frames with data, and page tables. In the model that is counted in frames of its RAM; on the live kernel each process says
what is private to it, and the size of its page tables. `a page` is what a frame with data costs beyond its 4096 bytes: on the
live kernel its share of the page tables, and 64 bytes of struct page for it and for its share of them; in the model all that
the host's process has grown by, its own page tables and struct pages in Python included.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    #: What is measured -> its value: nanoseconds, or MiB.
    Result = dict[str, float]

PAGE: Final = 4096
BASE: Final = 0x10000000000
TIMES: Final = ("touch", "fork", "first write", "exit")
MEMORY: Final = ("data", "page tables")
#: sizeof(struct page) on x86-64.
STRUCT_PAGE: Final = 64

LIVE: Final = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
enum { PAGE = 4096 };
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}
static long kib(const char *file, const char *name)
{
	char line[256];
	long sum = 0;
	FILE *f = fopen(file, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			sum += atol(strchr(line, ':') + 1);
	if (f)
		fclose(f);
	return sum;
}
int main(int argc, char **argv)
{
	long pages = atol(argv[1]);
	int children = atoi(argv[2]), part = pages / children, go[2], done[2];
	char byte;
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	char *base = mmap((void *)0x10000000000, pages * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	double start = now();
	for (long i = 0; i < pages; i++)
		base[i * PAGE] = 1;
	printf("touch %f\n", (now() - start) / pages);
	if (pipe(go) || pipe(done))
		return 1;
	fflush(stdout);
	for (int n = 0; n < children; n++) {
		start = now();
		int pid = fork();
		if (pid == 0) {
			start = now();
			for (long i = (long)n * part; i < (long)(n + 1) * part; i++)
				base[i * PAGE] = 2;
			double took = (now() - start) / part;
			write(done[1], "x", 1);
			read(go[0], &byte, 1);
			printf("first write %f\n", took);
			printf("data %ld\n", kib("/proc/self/smaps_rollup", "Private_Dirty"));
			printf("page tables %ld\n", kib("/proc/self/status", "VmPTE"));
			fflush(stdout);
			_exit(0);
		}
		printf("fork %f\n", now() - start);
		fflush(stdout);
		read(done[0], &byte, 1);
	}
	printf("data %ld\npage tables %ld\n", pages * (PAGE / 1024), kib("/proc/self/status", "VmPTE"));
	fflush(stdout);
	for (int n = 0; n < children; n++) {
		write(go[1], "x", 1);
		wait(0);
	}
	for (int n = 0; n < 20; n++) {
		int pid = fork();
		if (pid == 0)
			for (;;)
				pause();
		usleep(2000);
		start = now();
		kill(pid, 9);
		wait(0);
		printf("exit %f\n", now() - start);
	}
	return 0;
}
"""


def live(pages: int, children: int) -> Result:
    """The kernel under us."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "fork.c"), Path(folder, "fork")
        source.write_text(LIVE)
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
        text = subprocess.run([program, str(pages), str(children)], check=True, capture_output=True, text=True).stdout
    samples: dict[str, list[float]] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        samples.setdefault(name, []).append(float(value))
    result = {name: median(samples[name]) for name in TIMES}
    for name in MEMORY:
        result[name] = sum(samples[name]) / 1024
    return result


def model(pages: int, children: int) -> Result:
    """The model, as this interpreter imports it; run in a process of its own, whose peak memory is its answer."""
    from mmscope.kernel.mm.page_alloc import nr_free_pages
    from mmscope.kernel.mm.vmstat import NR_ANON_MAPPED
    from mmscope.machine import Machine

    part = pages // children
    tables = pages // 512 + 16
    ram = (2 * pages + (children + 1) * tables) * PAGE * 5 // 4 + (64 << 20)
    before_all = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Machine(ram=ram & -PAGE, root=None) as machine:
        k = machine.kernel
        p = machine.process()
        p.mmap(BASE, pages * PAGE, 3, 0x32)
        start = time.perf_counter_ns()
        for i in range(pages):
            p.store(BASE + i * PAGE, b"\1")
        result: Result = {"touch": (time.perf_counter_ns() - start) / pages}
        forks, writes, exits, family = [], [], [], []
        tables_of_one = p.mm.pgtables_bytes
        free = nr_free_pages(k) + len(k.zone.pcp)
        anon = k.vmstat.stat[NR_ANON_MAPPED]
        for n in range(children):
            start = time.perf_counter_ns()
            child = p.fork()
            forked = time.perf_counter_ns()
            for i in range(n * part, (n + 1) * part):
                child.store(BASE + i * PAGE, b"\2")
            writes.append((time.perf_counter_ns() - forked) / part)
            forks.append(forked - start)
            family.append(child)
        taken = free - nr_free_pages(k) - len(k.zone.pcp)
        copied = k.vmstat.stat[NR_ANON_MAPPED] - anon
        result["data"] = (pages + copied) * PAGE / 2**20
        # All that is neither a copy nor a PGD is a page table.
        result["page tables"] = (tables_of_one + (taken - copied - children) * PAGE) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_all
        for child in family:
            start = time.perf_counter_ns()
            child.exit()
            exits.append(time.perf_counter_ns() - start)
    result |= {"fork": median(forks), "first write": median(writes), "exit": median(exits), "host": peak / 1024}
    return result


def model_in_a_process(pages: int, children: int) -> Result:
    """model(), so that its memory is not ours."""
    command = [sys.executable, __file__, "--model", "--mib", str(pages * PAGE >> 20), "--children", str(children)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: float(value) for name, value in re.findall(r"^(.+)=(.+)$", text, re.MULTILINE)}


def nanoseconds(ns: float) -> str:
    """For people."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"


def main() -> None:
    """Both, side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--children", type=int, default=100)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    pages, children = options.mib << 8, options.children
    if options.model:
        for name, value in model(pages, children).items():
            print(f"{name}={value}")
        return
    ours, theirs = model_in_a_process(pages, children), live(pages, children)
    print(f"{options.mib} MiB, {children} children; Linux {os.uname().release}")
    print(f"{'':22}{'live':>12}{'model':>12}{'':>10}")
    for name in TIMES:
        print(f"{name:22}{nanoseconds(theirs[name]):>12}{nanoseconds(ours[name]):>12}{ours[name] / theirs[name]:>9.1f}x")
    for name in MEMORY:
        print(f"{name:22}{theirs[name]:>8.1f} MiB{ours[name]:>8.1f} MiB")
    frames = {"live": theirs["data"] * 256, "model": ours["data"] * 256}
    beyond = (theirs["page tables"] * 2**20 * (1 + STRUCT_PAGE / PAGE)) / frames["live"] + STRUCT_PAGE
    takes = (ours["host"] - ours["data"]) * 2**20 / frames["model"]
    print(f"{'a page':22}{beyond:>10.0f} B{takes:>10.0f} B{takes / beyond:>9.1f}x")
    print(f"the model needs {ours['host']:.0f} MiB of the host for all of it")


if __name__ == "__main__":
    main()
