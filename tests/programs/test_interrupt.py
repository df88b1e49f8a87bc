# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals from outside while a program runs: Ctrl-C is the guest's SIGINT, SIGTERM is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from .conftest import environment

Build = Callable[[str, str], str]

MODEL = [sys.executable, "-m", "mmscope", "run", "-q", "--"]


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    """The program, once it has said that it is ready."""
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert child.stdout is not None
    assert os.read(child.stdout.fileno(), 6) == b"ready\n"
    return child


def asleep(pid: int) -> bool:
    """The process waits in a system call."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def wait_until_asleep(pid: int) -> None:
    """Until it has been so for 20 ms."""
    seen = 0
    while seen < 10:
        seen = seen + 1 if asleep(pid) else 0
        time.sleep(0.002)


def outcome(child: subprocess.Popen[bytes], stdin: bytes = b"") -> tuple[int, bytes]:
    """Status as in a shell, and what it wrote. On stderr at most one line of ours."""
    stdout, stderr = child.communicate(stdin, timeout=60)
    status = child.returncode
    assert b"Traceback" not in stderr
    assert stderr.count(b"\n") == (1 if status > 128 else 0)
    return status if status >= 0 else 128 - status, stdout


@pytest.mark.parametrize("prefix", [[], MODEL], ids=["native", "model"])
class TestSigint:
    """The same natively and on the model."""

    def test_default_action_kills_a_read(self, build: Build, prefix: list[str]) -> None:
        child = start([*prefix, build("interrupted", "static"), "none", "read"])
        wait_until_asleep(child.pid)
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)
        assert child.returncode == (130 if prefix else -signal.SIGINT)
        child.communicate()

    def test_handler_in_a_loop_without_system_calls(self, build: Build, prefix: list[str]) -> None:
        child = start([*prefix, build("interrupted", "static"), "once", "spin"])
        child.send_signal(signal.SIGINT)
        assert outcome(child) == (5, b"SIGINT\n0 0 1\n")

    def test_handler_ends_a_read(self, build: Build, prefix: list[str]) -> None:
        child = start([*prefix, build("interrupted", "static"), "once", "read"])
        wait_until_asleep(child.pid)
        child.send_signal(signal.SIGINT)
        # Only then may stdin end: the reader would see that first.
        assert child.stdout is not None
        assert os.read(child.stdout.fileno(), 7) == b"SIGINT\n"
        assert outcome(child) == (5, b"-1 4 1\n")

    def test_sa_restart_goes_on_reading(self, build: Build, prefix: list[str]) -> None:
        child = start([*prefix, build("interrupted", "static"), "restart", "read"])
        wait_until_asleep(child.pid)
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        assert os.read(child.stdout.fileno(), 7) == b"SIGINT\n"
        assert outcome(child, b"abc") == (5, b"3 0 1\n")

    def test_ignored_signal_does_not_end_a_read(self, build: Build, prefix: list[str]) -> None:
        child = start([*prefix, build("interrupted", "static"), "ignore", "read"])
        wait_until_asleep(child.pid)
        child.send_signal(signal.SIGINT)
        wait_until_asleep(child.pid)
        assert outcome(child, b"abcd") == (5, b"4 0 0\n")


def test_default_action_kills_a_loop(build: Build) -> None:
    child = start([*MODEL, build("interrupted", "static"), "none", "spin"])
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert stderr.startswith(b"mmscope: Interrupt: killed by SIGINT: ip 0x")


def test_two_within_a_second_stop_a_guest_that_ignores_it(build: Build) -> None:
    child = start([*MODEL, build("interrupted", "static"), "ignore", "spin"])
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, stderr = child.communicate(timeout=60)
    assert (child.returncode, stderr) == (130, b"")


@pytest.mark.parametrize("what", ["spin", "read"])
def test_sigterm_ends_mmscope_itself(build: Build, what: str) -> None:
    child = start([*MODEL, build("interrupted", "static"), "ignore", what])
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM
