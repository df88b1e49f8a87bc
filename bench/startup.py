# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole processes that run a static program which exits at once: mmscope against qemu-x86_64 and the host, in one run.

    .venv/bin/python bench/startup.py [ROUNDS]

Rounds of the contestants are interleaved, so that a busy machine is busy for all of them. Prints medians and the ratio.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


def main() -> int:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    qemu, cc = shutil.which("qemu-x86_64"), shutil.which("cc")
    if qemu is None or cc is None:
        print("bench/startup.py needs qemu-x86_64 (Debian package qemu-user) and a C compiler", file=sys.stderr)
        return 2
    mmscope = str(Path(sys.executable).with_name("mmscope"))
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "exit")
        source = Path(folder, "exit.c")
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run([cc, "-static", "-O1", "-o", program, str(source)], check=True)
        contestants = {
            "host": [program],
            "qemu-x86_64": [qemu, program],
            "mmscope run": [mmscope, "run", "-q", "--", program],
            "mmscope run --ram 64M": [mmscope, "run", "-q", "--ram", "64M", "--", program],
            "mmscope run --ram 8G": [mmscope, "run", "-q", "--ram", "8G", "--", program],
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, argv in contestants.items():
                start = time.perf_counter()
                subprocess.run(argv, check=True)
                times[name].append(time.perf_counter() - start)
    base = median(times["qemu-x86_64"])
    for name, spent in times.items():
        middle, best = median(spent), min(spent)
        print(f"{name:24} median {middle * 1e3:7.2f} ms   min {best * 1e3:7.2f} ms   {middle / base:5.2f} x qemu")
    return 0


if __name__ == "__main__":
    sys.exit(main())
