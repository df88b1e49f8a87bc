# SPDX-License-Identifier: GPL-2.0-or-later
"""Runners: the same agent, the same bytes, on the live kernel and on the model. Many scenarios go through one process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from mmscope.errors import MmscopeError
from mmscope.kernel.config import BASE_VERSION
from mmscope.machine import Machine
from mmscope.oracle.scenario import Scenario, compile_scenario

AGENT: Final = Path(__file__).parent / "agent" / "agent"
#: Files that every scenario finds in its working directory: name -> length. Their bytes are file_bytes(length).
FILES: Final = {"empty": 0, "small": 100, "odd": 5000, "f16": 16 * 4096, "f64": 64 * 4096}

_ADDR_NO_RANDOMIZE: Final = 0x0040000
_PR_SET_THP_DISABLE: Final = 41
_STACK_LIMIT: Final = 8 << 20
#: A live run that takes longer hangs.
_TIMEOUT: Final = 20.0


class OracleError(MmscopeError):
    """The oracle itself cannot work."""


def file_bytes(length: int) -> bytes:
    """Contents of a prepared file: no two pages alike."""
    return b"".join((i * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "little") for i in range((length + 7) // 8))[:length]


def check_agent() -> None:
    """Raise OracleError unless the agent's bytes are those that were committed."""
    expected = (AGENT.parent / "agent.sha256").read_text().split()[0]
    found = hashlib.sha256(AGENT.read_bytes()).hexdigest()
    if found != expected:
        raise OracleError(f"{AGENT} is not the committed agent (sha256 {found[:12]}..., not {expected[:12]}...)")


class Runner(Protocol):
    """Runs scenarios; one line of answer an operation."""

    def run(self, scenarios: Sequence[Scenario]) -> list[list[str]]:
        """The agent's raw answers. A scenario that the process did not survive ends in `died: ...`."""


class _AgentRunner:
    """What both share: folder, wire text, taking the answers apart."""

    def __init__(self, folder: str | None = None) -> None:
        check_agent()
        self._own = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="mmscope-oracle-", dir=_scratch()))
        shutil.copyfile(AGENT, self.folder / "agent")
        (self.folder / "agent").chmod(0o755)
        for name, length in FILES.items():
            (self.folder / name).write_bytes(file_bytes(length))

    def close(self) -> None:
        """Remove the folder."""
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def run(self, scenarios: Sequence[Scenario]) -> list[list[str]]:
        """See Runner."""
        texts = [wire(scenario) for scenario in scenarios]
        results: list[list[str]] = []
        while len(results) < len(texts):
            output, _ = self._execute("".join(texts[len(results) :]).encode())
            done = split_answers(output)
            results += done[: len(texts) - len(results)]
            if len(results) < len(texts):
                # The process did not survive this one: again, alone, with each answer written at once.
                output, why = self._execute(("u\n" + texts[len(results)]).encode())
                lines = output.decode("utf-8", "replace").split("\n")[:-1]
                results.append([line for line in lines if line != "z"] + ([] if "z" in lines else [f"died: {why}"]))
        return results

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        """Output of the agent for one input, and how it ended."""
        raise NotImplementedError


def _scratch() -> str | None:
    """Where files are on tmpfs, whose folios are single pages on every release."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def wire(scenario: Scenario) -> str:
    """All lines of a scenario, `z` the last."""
    return "".join(f"{line}\n" for lines in compile_scenario(scenario) for line in lines) + "z\n"


def split_answers(output: bytes) -> list[list[str]]:
    """Answers by scenario; what a scenario without its final `z` said is dropped."""
    results: list[list[str]] = []
    current: list[str] = []
    for line in output.decode("utf-8", "replace").split("\n"):
        if line == "z":
            results.append(current)
            current = []
        else:
            current.append(line)
    return results


class LiveRunner(_AgentRunner):
    """The kernel under us: no ASLR, no transparent huge pages, an empty environment."""

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        libc = ctypes.CDLL(None, use_errno=True)

        def prepare() -> None:
            libc.personality(_ADDR_NO_RANDOMIZE)
            libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
            resource.setrlimit(resource.RLIMIT_STACK, (_STACK_LIMIT, resource.getrlimit(resource.RLIMIT_STACK)[1]))

        try:
            done = subprocess.run(
                ["./agent"], input=text, stdout=subprocess.PIPE, cwd=self.folder, env={}, preexec_fn=prepare, timeout=_TIMEOUT
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            return error.stdout or b"", "timeout"
        code = done.returncode
        return done.stdout, f"signal {-code}" if code < 0 else f"exit {code}"


class ModelRunner(_AgentRunner):
    """The model, as a machine with the host's RAM. Its kernel's own warnings are in `warnings`."""

    def __init__(self, folder: str | None = None, debug_vm: bool = False, version: tuple[int, int] = BASE_VERSION) -> None:
        super().__init__(folder)
        self.debug_vm = debug_vm
        #: The release whose behaviour it shows: the live kernel's, to be compared with that.
        self.version = version
        self.warnings: list[str] = []

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        ram = os.sysconf("SC_PHYS_PAGES") * 4096
        streams = tuple(os.open(os.devnull, os.O_RDWR) for _ in range(3))
        assert len(streams) == 3
        try:
            with Machine(
                ram=ram,
                root=str(self.folder),
                debug_vm=self.debug_vm,
                streams=streams,
                vdso_pages=2,
                warm_page_cache=True,
                version=self.version,
            ) as machine:
                machine.kernel.warn = self._warn
                process = machine.spawn("./agent", ["./agent"], stdin=text, capture_output=True)
                try:
                    status = process.run()
                except Exception as error:
                    return process.stdout, f"{type(error).__name__}: {' '.join(str(error).split())}"
                return process.stdout, f"signal {status.signal}" if status.signal else f"exit {status.exit_status}"
        finally:
            for fd in streams:
                os.close(fd)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
