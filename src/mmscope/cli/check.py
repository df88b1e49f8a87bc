# SPDX-License-Identifier: GPL-2.0-or-later
"""`mmscope check`: the model held against a real kernel: this one, one under QEMU, or a recorded one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager

from mmscope.cli.console import complain, show
from mmscope.cli.options import Command, Option, number
from mmscope.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from mmscope.cli.options import Value
    from mmscope.oracle.runner import ModelRunner, Runner
    from mmscope.oracle.scenario import Scenario

    #: By file system: the kernel that is asked, and the model.
    Pairs = dict[str, tuple[Runner, ModelRunner]]


def positive(value: str) -> int:
    """A whole number above 0."""
    result = number(value)
    if result <= 0:
        raise UsageError(f"{value!r} is not above 0")
    return result


def kinds(value: str) -> str:
    """Names of kinds of operations."""
    from mmscope.oracle.strategies import KINDS

    for word in value.split(","):
        if word not in KINDS:
            raise UsageError(f"{word!r} is no kind of operations; there are " + " ".join(KINDS))
    return value


class Check(Command):
    """Hold the model against Linux: the kernel that runs here, another release under QEMU, or what 5.10 was recorded to do.

    --live: SCENARIOs are files (docs/oracle.md describes the language) or names from the library; without any, and without
    --ops or --minutes, the whole library runs. What uses files runs on tmpfs and on ext4. The first divergence is shrunk, and
    printed with the state before it. --only chooses what random sequences are made of, commas between:
    vma (mmap, munmap, mprotect, mremap, brk, madvise...), lock, read (files that nobody writes), file (writing, truncation,
    punching, direct I/O, under mappings), shm (memfd and System V), fork (trees of processes). Example:
    mmscope check --live --ops 5000 --only vma,fork
    --kernel: the same against that release of Debian's kernel, fetched with apt and booted under QEMU, the model showing it too.
    --recorded: FILEs are recordings of structures or of answers (docs/oracle.md); without any, those of the checkout.
    Exit status 1 means that the two differ.
    """

    name = "check"
    usage = "--live | --kernel REL [--ops N] [--seed S] [--minutes M] [--only KINDS] [SCENARIO...] | --recorded [FILE...]"
    example = "mmscope check --live --ops 2000 --seed 1"
    options = (
        Option("--live", "against the kernel that runs here"),
        Option("--kernel", "against that release under QEMU: 5.10, 6.1, 6.12, 6.16...", "REL"),
        Option("--recorded", "against recordings of Linux 5.10"),
        Option("--ops", "random sequences of N operations in all", "N", positive, 0),
        Option("--seed", "of the random sequences (default 0)", "S", number, 0),
        Option("--minutes", "random sequences for M minutes", "M", positive, 0),
        Option("--only", "of these kinds: vma,lock,read,file,shm,fork (default: all)", "KINDS", kinds, ""),
        Option("--debug-vm", "check the model's invariants all the time (slow)"),
        Option("--coverage", "count the library's scenarios by row, and run nothing"),
        Option("--differences", "what later kernels do otherwise, and how the check treats it"),
    )

    def run(self, values: dict[str, Value], args: list[str]) -> int:
        """Do it."""
        from mmscope.oracle import campaign
        from mmscope.oracle.differences import table

        if values["coverage"]:
            show(campaign.coverage(campaign.library()))
            return 0
        if values["differences"]:
            show(table())
            return 0
        if values["recorded"]:
            from pathlib import Path

            from mmscope.oracle.recorded import check_recorded

            return check_recorded([Path(name) for name in args], sys.stdout)
        if not values["live"] and not values["kernel"]:
            raise UsageError("check: against what? --live is this kernel, --kernel 6.12 one under QEMU, --recorded Linux 5.10")
        if values["live"] and (os.uname().machine != "x86_64" or os.uname().sysname != "Linux"):
            raise UsageError(f"check: --live needs Linux on x86-64, this is {os.uname().sysname} on {os.uname().machine}")
        ops, minutes = int(values["ops"] or 0), int(values["minutes"] or 0)
        scenarios = [campaign.named(name) for name in args]
        if not scenarios and not ops and not minutes:
            scenarios = campaign.library()
        return self._campaign(values, scenarios, ops, minutes)

    def _campaign(self, values: dict[str, Value], scenarios: list[Scenario], ops: int, minutes: int) -> int:
        from contextlib import ExitStack

        from mmscope.oracle.campaign import Campaign, report, save_scenario

        only = [word for word in str(values["only"] or "").split(",") if word]
        progress = Progress(ops)
        with ExitStack() as stack:
            stack.enter_context(_terminated_as_interrupted())
            debug_vm = bool(values["debug_vm"])
            release = None
            if values["kernel"]:
                pairs, release = _guests(stack, str(values["kernel"]), debug_vm)
            else:
                pairs = _live(stack, debug_vm)
            first = next(iter(pairs))
            campaign = Campaign(*pairs[first], first, pairs, release)
            try:
                campaign.run(scenarios)
                if ops or minutes:
                    campaign.run_random(int(values["seed"] or 0), ops, 60.0 * minutes, progress, only)
            finally:
                progress.clear()
            warnings = dict.fromkeys(text for _, model in pairs.values() for text in model.warnings)
            for text in warnings:
                complain(f"mmscope: warning: {text}\n")
            show(report(campaign, save_scenario))
        return 1 if campaign.divergences or campaign.unexpected_passes else 0


def _live(stack: ExitStack, debug_vm: bool) -> Pairs:
    """The kernel under us and the model, by file system."""
    from mmscope.oracle.differences import running_release
    from mmscope.oracle.runner import LiveRunner, ModelRunner, scratch_folders

    pairs: Pairs = {}
    for fs in scratch_folders() or ("unknown",):
        live = stack.enter_context(LiveRunner(fs=fs))
        pairs[fs] = (live, stack.enter_context(ModelRunner(debug_vm=debug_vm, version=running_release(), fs=fs)))
    return pairs


def _guests(stack: ExitStack, kernel: str, debug_vm: bool) -> tuple[Pairs, tuple[int, int]]:
    """A guest and the model, by file system; the guest's release."""
    from mmscope.kernel.config import BASE_VERSION
    from mmscope.oracle.record.debian import CACHE, fetch_kernel, unpack_kernel
    from mmscope.oracle.record.guest import GuestRunner
    from mmscope.oracle.runner import ModelRunner

    CACHE.mkdir(parents=True, exist_ok=True)
    image = unpack_kernel(fetch_kernel(kernel))
    pairs: Pairs = {}
    release = (0, 0)
    for fs in ("tmpfs", "ext4"):
        guest = stack.enter_context(GuestRunner(image, fs))
        release = guest.release
        model = ModelRunner(debug_vm=debug_vm, version=max(release, BASE_VERSION), rootfstype=fs, guest_readahead=guest.readahead)
        pairs[fs] = (guest, stack.enter_context(model))
    return pairs, release


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, or a terminal that goes, ends the run as Ctrl-C does: folders, processes and shared memory go first."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """How far it is, on stderr, if that is a terminal."""

    def __init__(self, ops: int) -> None:
        self._ops = ops
        self._on = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0

    def __call__(self, done: int, divergences: int) -> None:
        """Say it."""
        if self._on:
            text = f"{done}" + (f"/{self._ops}" if self._ops else "") + f" operations, {divergences} divergences"
            bar = "#" * (20 * min(done, self._ops) // self._ops) if self._ops else ""
            self._width = max(self._width, len(text) + 24)
            complain("\r" + (f"[{bar:<20}] " if self._ops else "") + text)

    def clear(self) -> None:
        """Leave no trace."""
        if self._width:
            complain("\r" + " " * self._width + "\r")
