# SPDX-License-Identifier: GPL-2.0-or-later
"""python -m mmscope.oracle.record --kernel 5.10 [SCENARIO...] -o FILE: record the agent's answers on another kernel.

With --graphs [NAME...] -o FOLDER: the call graphs of its faults and mappings.
With --programs FILE.c... -o FOLDER: what C programs print in a folder of ext4 and in one of tmpfs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmscope.errors import MmscopeError
from mmscope.oracle.campaign import library, named, random_scenarios
from mmscope.oracle.record.debian import CACHE, KERNELS, fetch_kernel, unpack_kernel, unpack_symbols
from mmscope.oracle.record.graphs import record_graphs
from mmscope.oracle.record.guest import GuestRunner
from mmscope.oracle.record.programs import record_programs
from mmscope.oracle.scenario import Scenario, uses_files
from mmscope.oracle.strategies import KINDS
from mmscope.oracle.truth import NOT_AS_V5_11, write_recording


def some_random(seed: int, operations: int, only: list[str]) -> list[Scenario]:
    """Random scenarios of the kinds `only` until there are `operations`."""
    chosen: list[Scenario] = []
    for scenario in random_scenarios(seed, only):
        chosen.append(scenario)
        operations -= len(scenario.ops)
        if operations <= 0:
            break
    return chosen


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mmscope.oracle.record", description="Record scenarios under QEMU.")
    parser.add_argument("--kernel", default="5.10", help=f"release of a Debian kernel package ({', '.join(KERNELS)})")
    parser.add_argument("--deb", type=Path, help="a kernel package that is already here")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where packages are kept (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the recording, JSON lines; *.xz is compressed")
    parser.add_argument("--graphs", action="store_true", help="call graphs instead, into the folder -o; SCENARIO: their names")
    parser.add_argument("--fs", choices=("tmpfs", "ext4"), default="tmpfs", help="where files stand; ext4: only what uses files")
    parser.add_argument("--programs", action="store_true", help="C programs instead, into the folder -o; SCENARIO: their sources")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="random sequences of N operations instead")
    parser.add_argument("--seed", type=int, default=0, help="of the random sequences")
    parser.add_argument("--only", default="", metavar="KINDS", help=f"of these kinds: {','.join(KINDS)} (default: all)")
    parser.add_argument("scenario", nargs="*", help="files, or names from the library (default: all of it)")
    args = parser.parse_args(argv)
    try:
        args.cache.mkdir(parents=True, exist_ok=True)
        if args.graphs:
            image = unpack_kernel(args.deb or fetch_kernel(args.kernel, args.cache))
            symbols = unpack_symbols(fetch_kernel(args.kernel, args.cache, "-dbg"))
            names = record_graphs(image, symbols, args.scenario, args.output)
            print(f"{args.output}: {', '.join(names)}")
            return 0
        if args.programs:
            package = args.deb or fetch_kernel(args.kernel, args.cache)
            image = unpack_kernel(package)
            names = record_programs(image, image.parent.parent, [Path(name) for name in args.scenario], args.output)
            print(f"{args.output}: {', '.join(names)}")
            return 0
        if args.random:
            scenarios = some_random(args.seed, args.random, [word for word in args.only.split(",") if word])
        else:
            scenarios = [named(name) for name in args.scenario] or library()
        scenarios = [scenario for scenario in scenarios if scenario.headers.get("fs", args.fs) == args.fs]
        if args.fs == "ext4":
            scenarios = [scenario for scenario in scenarios if uses_files(scenario)]
        package = args.deb or fetch_kernel(args.kernel, args.cache)
        with GuestRunner(unpack_kernel(package), args.fs) as runner:
            scenarios.sort(key=lambda scenario: scenario.name in NOT_AS_V5_11)
            apart = sum(scenario.name in NOT_AS_V5_11 for scenario in scenarios)
            first = len(scenarios) - apart
            answers = runner.run(scenarios[:first]) + runner.run(scenarios[first:])
        write_recording(args.output, runner.kernel, package.name, scenarios, answers, args.fs)
    except MmscopeError as error:
        print(f"record: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{args.output}: {len(scenarios)} scenarios, {sum(map(len, answers))} answers of {runner.kernel.split(' (')[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
