# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations a second of `mmscope check --live`, and where the time goes: the live kernel, the model, making and comparing them.

    .venv/bin/python bench/oracle.py [--ops N] [--seed N] [--only KINDS]

The random sequences are those of `mmscope check --live --ops N --seed N`, once on each kernel of the model. `one mapping` is a
scenario of five operations on one mapping again and again, on the model alone. Seconds are of the clock; a share of the live
kernel or of the model includes putting the operations in the agent's words and taking its answers apart.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.oracle.runner import Runner
    from mmscope.oracle.scenario import Scenario

ONE_MAPPING: Final = "a = mmap 0x20000000 4p rw private|anon|fixed\nstore a 8 1\nmprotect a+1p 1p r\nload a\nmunmap a 4p\n"
PARTS: Final = ("live kernel", "model", "making and comparing")


class Timed:
    """A runner with a watch."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.seconds = 0.0

    def run(self, scenarios: Sequence[Scenario]) -> list[list[str]]:
        """See Runner."""
        start = time.perf_counter()
        try:
            return self.runner.run(scenarios)
        finally:
            self.seconds += time.perf_counter() - start


def measure(ops: int, seed: int, only: list[str]) -> dict[str, float]:
    """Seconds by part, operations and divergences, and operations a second of the one mapping."""
    from mmscope.oracle.campaign import Campaign
    from mmscope.oracle.differences import running_release
    from mmscope.oracle.runner import LiveRunner, ModelRunner, scratch_folders
    from mmscope.oracle.scenario import parse

    with ExitStack() as stack:
        pairs = {}
        for fs in scratch_folders():
            live = Timed(stack.enter_context(LiveRunner(fs=fs)))
            pairs[fs] = live, Timed(stack.enter_context(ModelRunner(version=running_release(), fs=fs)))
        first = next(iter(pairs))
        campaign = Campaign(*pairs[first], first, pairs)
        start = time.perf_counter()
        campaign.run_random(seed, ops, 0, lambda done, divergences: None, only)
        whole = time.perf_counter() - start
        live_seconds = sum(live.seconds for live, _ in pairs.values())
        model_seconds = sum(model.seconds for _, model in pairs.values())
        scenario = parse(ONE_MAPPING * 4)
        model = pairs[first][1]
        model.seconds = 0
        model.run([scenario] * 100)
        return {
            "live kernel": live_seconds, "model": model_seconds, "making and comparing": whole - live_seconds - model_seconds,
            "operations": campaign.total.operations, "divergences": len(campaign.divergences),
            "one mapping": 100 * len(scenario.ops) / model.seconds,
        }  # fmt: skip


def main() -> None:
    """The compiled kernel, where there is one, and the pure one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", default="", help="kinds of operations, as for `mmscope check`")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.ops, options.seed, [kind for kind in options.only.split(",") if kind])))
        return
    import mmscope

    kernels = {"pure": "1"}
    if glob.glob(str(Path(mmscope.__file__).parent.parent / "mmscope_kernel__mypyc*")):
        kernels = {"compiled": "", **kernels}
    print(f"{options.ops} random operations, seed {options.seed}; Linux {os.uname().release}")
    for name, pure in kernels.items():
        done = subprocess.run(
            [sys.executable, __file__, "--one", *sys.argv[1:]],
            env={**os.environ, "MMSCOPE_PURE": pure}, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
        seconds = sum(found[part] for part in PARTS)
        shares = ", ".join(f"{part} {found[part] / seconds:.0%}" for part in PARTS)
        print(f"model, {name:9} {found['operations'] / seconds:7.0f} operations/s: {shares}; {found['divergences']} divergences")
        print(
            f"{'':16} {found['operations'] / found['model']:7.0f} of the model's time, {found['one mapping']:.0f} on one mapping"
        )


if __name__ == "__main__":
    main()
