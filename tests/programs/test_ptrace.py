# SPDX-License-Identifier: GPL-2.0-or-later
"""Debuggers and tracers: strace, gdb's ways, and programs that call ptrace(2), print on the model what they print natively."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from mmscope.machine import Machine
from mmscope.oracle.differences import running_release

from .conftest import ENVIRONMENT, model, native

STOPS = ["exec", "syscalls", "signals", "attach", "seize", "events", "seized", "waitid", "reparented", "requests", "sysemu"]
THREADS = ["clone", "exec", "leader", "sibling"]


@pytest.mark.parametrize("which", STOPS)
def test_stops(which: str, build: Callable[[str, str], str]) -> None:
    argv = [build("tracestops", "static"), which]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("which", THREADS)
def test_threads(which: str, build: Callable[[str, str], str]) -> None:
    argv = [build("tracethreads", "static"), which]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 126])
def test_random_requests(seed: int, build: Callable[[str, str], str]) -> None:
    """On the model as the running release. Natively each step has 20 ms to settle, which a busy host may not grant: 3 runs."""
    argv = [build("tracefuzz", "static"), str(seed), "140" if seed > 100 else "60"]
    with Machine(version=running_release()) as machine:
        process = machine.spawn(argv[0], argv, env=ENVIRONMENT, stdin=b"", capture_output=True)
        process.run()
        ours = process.stdout
    assert ours.count(b"\n") == int(argv[2])
    for _ in range(2):
        if native(argv).stdout == ours:
            return
    assert native(argv).stdout == ours


def test_memory(build: Callable[[str, str], str]) -> None:
    argv = [build("tracemem", "static")]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("how", ["static", "static-pie"])
def test_a_debugger(how: str, build: Callable[[str, str], str]) -> None:
    argv = [build("debugger", how)]
    assert model(argv) == native(argv)


def traced(text: bytes) -> list[list[str]]:
    """The lines of strace -f by process, oldest first, halves of calls put together.

    Left out is what differs from run to run and from machine to machine: pids, addresses, sizes, times.
    """
    logs: dict[str, list[str]] = {}
    for line in text.decode().splitlines():
        pid, _, line = line.partition(" ")
        log = logs.setdefault(pid, [])
        line = re.sub(r"^ *<\.\.\. \w+ resumed>", "", line)
        if log and log[-1].endswith("<unfinished ...>"):
            line = log.pop().removesuffix("<unfinished ...>") + line
        log.append(line)
    return [[wiped(line) for line in logs[pid]] for pid in sorted(logs, key=int)]


def wiped(line: str) -> str:
    line = re.sub(r"\s+", " ", re.sub(r"0x[0-9a-f]+", "0xX", line)).replace(" )", ")").replace("( ", "(").replace(" ,", ",")
    line = re.sub(r'getrandom\( ?"[^"]*"', 'getrandom("..."', line)
    line = re.sub(r"st_(size|[amc]time|blksize)=[^,}]*|si_(uid|utime|stime)=\d+|/\* \d+ vars \*/|, 8\) = 0$", "", line)
    return re.sub(r"\b\d{3,}\b", "N", line.strip())


@pytest.mark.parametrize("argv", [["true"], ["cat", "/dev/null"], ["date", "-u", "-d", "@0"], ["sleep", "0.001"]])
def test_strace(argv: list[str], host_tool: Callable[[str], str]) -> None:
    command = [host_tool("strace"), "-f", "-o", "/dev/stderr", "env", "-i", "PATH=/usr/bin:/bin", *argv]
    ours, theirs = model(command), native(command)
    assert (ours.status, ours.stdout) == (theirs.status, theirs.stdout)
    assert traced(ours.stderr) == traced(theirs.stderr)


def test_strace_of_a_pipeline(host_tool: Callable[[str], str]) -> None:
    """When SIGCHLD comes to the shell is chance natively: it may come between any two of its calls."""
    command = [host_tool("strace"), "-f", "-o", "/dev/stderr", "env", "-i", "PATH=/usr/bin:/bin"]
    command += ["bash", "-c", "cat /etc/passwd | wc -l; exit 3"]
    ours, theirs = model(command), native(command)
    assert (ours.status, ours.stdout) == (theirs.status, theirs.stdout)
    shell, cat, wc = traced(ours.stderr)
    assert shell[-1] == "+++ exited with 3 +++"
    assert [cat, wc] == traced(theirs.stderr)[1:]
    assert {line for line in shell if line.startswith("---")} == {
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=N, , si_status=0, , } ---"
    }


def test_strace_counts_and_attaches(host_tool: Callable[[str], str]) -> None:
    """-c, -p, -e inject: a signal taken, a call changed; the tracee outlives its tracer."""
    strace = host_tool("strace")
    script = (
        f"sleep 0.3 & p=$!; timeout 0.1 {strace} -qq -p $p -o /dev/null; wait $p; echo $?;"
        f"{strace} -qq -e trace=none -e inject=getuid:retval=77 -o /dev/null id -ru;"
        f"{strace} -qq -e trace=none -e signal=none -e inject=write:signal=TERM -o /dev/null echo no; echo $?;"
        f"{strace} -qq -e trace=none -e inject=getuid:error=EPERM:when=1 -o /dev/null id -ru;"
        f"{strace} -cf -U name,calls -o /dev/stdout cat /etc/hostname | grep -c openat"
    )
    argv = [host_tool("bash"), "-c", script]
    assert model(argv) == native(argv)


GDB = """
set pagination off
set disable-randomization on
break square
run
info breakpoints
print $rdi
stepi
print (long) $rip - (long) &square
delete
break square if $rdi == 4
continue
set can-use-hw-watchpoints 0
watch *(long *) &watched
continue
print *(long *) &watched
delete
catch syscall exit_group
continue
kill
"""


def test_gdb(host_tool: Callable[[str], str], build: Callable[[str, str], str]) -> None:
    """Breakpoints, steps, a watched word, a system call caught: the real one on a static program."""
    commands = [word for command in GDB.strip().splitlines() for word in ("-ex", command)]
    argv = [host_tool("gdb"), "-nx", "-batch", *commands, "--args", build("debugger", "static"), "plain"]
    ours, theirs = (re.sub(rb"process \d+", b"process N", run(argv).stdout) for run in (model, native))
    assert ours == theirs
    assert b"New value = 30" in ours
    assert b"call to syscall exit_group" in ours
