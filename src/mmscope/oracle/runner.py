# SPDX-License-Identifier: GPL-2.0-or-later
"""Runners: the same agent, the same bytes, on the live kernel and on the model. Many scenarios go through one process."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from mmscope.errors import MmscopeError
from mmscope.kernel.config import BASE_VERSION
from mmscope.kernel.include.sched import ADDR_NO_RANDOMIZE
from mmscope.machine import Machine
from mmscope.oracle.differences import running_release
from mmscope.oracle.scenario import Scenario, changed_files, compile_scenario

AGENT: Final = Path(__file__).parent / "agent" / "agent"
#: Files that every scenario finds in its working directory: name -> length. Their bytes are file_bytes(length).
FILES: Final = {"empty": 0, "small": 100, "odd": 5000, "f16": 16 * 4096, "f64": 64 * 4096}

_PR_SET_THP_DISABLE: Final = 41
_STACK_LIMIT: Final = 8 << 20
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
#: How the last answer begins of a scenario that did not come to its end in time.
HANGS: Final = "died: timeout"
#: A live run that takes longer hangs.
_TIMEOUT: Final = 20.0
#: The model hangs if it takes longer than this, and this for each line it was sent: a tenth of the speed that it has to have,
#: a hundredth of that while it checks itself.
_MODEL_TIMEOUT: Final = 10.0
_MODEL_TIMEOUT_LINE: Final = 0.01
_MODEL_TIMEOUT_LINE_DEBUG: Final = 0.1


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
        """The agent's raw answers. A scenario that the process did not survive ends in `died: ...`.

        One that did not end in time ends in `died: timeout...`, and those after it have no answers at all.
        """


class _AgentRunner:
    """What both share: folder, wire text, taking the answers apart."""

    def __init__(self, folder: str | None = None, fs: str = "tmpfs") -> None:
        check_agent()
        self._own = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"mmscope-oracle-{os.getpid()}-", dir=scratch_folders().get(fs)))
        shutil.copyfile(AGENT, self.folder / "agent")
        (self.folder / "agent").chmod(0o755)
        self._prepare_files()

    def _prepare_files(self) -> None:
        """The folder as every scenario finds it: new files, all of them in the page cache."""
        for path in self.folder.iterdir():
            if path.name != "agent":
                path.unlink()
        for name, length in FILES.items():
            content = file_bytes(length)
            with open(self.folder / name, "wb", buffering=0) as file:
                # Page by page: one write of more may get a large folio.
                for at in range(0, length, 4096):
                    file.write(content[at : at + 4096])
                # Clean: a page that is just being written back is passed over by fault-around.
                os.fsync(file.fileno())

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
                self._prepare_files()
                output, why = self._execute(("u\n" + texts[len(results)]).encode())
                self._prepare_files()
                lines = output.decode("utf-8", "replace").split("\n")[:-1]
                results.append([line for line in lines if line != "z"] + ([] if "z" in lines else [f"died: {why}"]))
                if results[-1][-1:] and results[-1][-1].startswith(HANGS):
                    results += [[] for _ in texts[len(results) :]]
        return results

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        """Output of the agent for one input, and how it ended."""
        raise NotImplementedError


def file_system(path: str) -> str:
    """The type of the file system at `path` as Linux calls it: "ext4", "tmpfs"..."""
    try:
        device = os.stat(path).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                if before.split(" ")[2] == wanted:
                    return after.split(" ")[0]
    except OSError:
        pass
    return "unknown"


def scratch_folders() -> dict[str, str]:
    """File system type -> a folder on it that can be written: those of "tmpfs" and "ext4" that this host has."""
    found: dict[str, str] = {}
    for folder in ("/dev/shm", tempfile.gettempdir(), "/tmp", "/var/tmp", os.path.expanduser("~"), os.getcwd(), "/run"):
        if os.access(folder, os.W_OK | os.X_OK):
            fs = file_system(folder)
            if fs in ("tmpfs", "ext4"):
                found.setdefault(fs, folder)
    return found


def wire(scenario: Scenario) -> str:
    """All lines of a scenario, then `z`, then what puts the files back that it may have changed."""
    lines = [line for lines in compile_scenario(scenario) for line in lines] + ["z"]
    names = [name for op in scenario.ops for name in changed_files(op)]
    if any(op.name in ("fadvise", "readahead") or "pageout" in op.args for op in scenario.ops):
        # The cache of a file that was only read is not as it was either.
        names += [op.args[0] for op in scenario.ops if op.name == "open" and op.args[0] in FILES]
    for name in dict.fromkeys(names):
        lines.append(f'p "{name} {FILES[name]:x}' if name in FILES else f'p "{name} -1')
    return "".join(f"{line}\n" for line in lines)


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
            # A group of its own: it is ended as a whole, and Ctrl-C does not reach it before us.
            os.setpgid(0, 0)
            libc.personality(ADDR_NO_RANDOMIZE)
            libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
            resource.setrlimit(resource.RLIMIT_STACK, (_STACK_LIMIT, resource.getrlimit(resource.RLIMIT_STACK)[1]))

        # An agent that dies leaves its children to us.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        agent = subprocess.Popen(
            ["./agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder, env={}, preexec_fn=prepare
        )
        why = ""
        try:
            output, _ = agent.communicate(text, _TIMEOUT)
        except subprocess.TimeoutExpired:
            why = f"timeout after {_TIMEOUT:.0f} s"
            _kill_group(agent.pid)
            output, _ = agent.communicate()
        finally:
            _end_group(agent)
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        code = agent.returncode
        return output, why or (f"signal {-code}" if code < 0 else f"exit {code}")


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _end_group(agent: subprocess.Popen[bytes]) -> None:
    """Whatever became of an agent: end it and its children, and remove the shared memory that they made and left."""
    if agent.poll() == 0:
        return
    _kill_group(agent.pid)
    agent.wait()
    makers = {agent.pid}
    try:
        while True:
            makers.add(os.waitpid(-agent.pid, 0)[0])
    except ChildProcessError:
        pass
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        with open("/proc/sysvipc/shm") as lines:
            segments = [line.split() for line in lines][1:]
    except OSError:
        return
    for segment in segments:
        # key shmid perms size cpid ...
        if int(segment[4]) in makers:
            libc.shmctl(int(segment[1]), 0, None)


def soft_dirty_live() -> bool:
    """The kernel under us has CONFIG_MEM_SOFT_DIRTY: fresh mappings show the flag."""
    return re.search(r"^VmFlags:.* sd ", Path("/proc/self/smaps").read_text(errors="replace"), re.MULTILINE) is not None


def readahead_live(folder: Path) -> tuple[int, int]:
    """read_ahead_kb and max_sectors_kb of the device that the folder stands on; the usual ones where it has none."""
    device = os.stat(folder).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    try:
        read_ahead = int(Path(f"/sys/class/bdi/{name}/read_ahead_kb").read_text())
        return read_ahead, int(Path(f"/sys/dev/block/{name}/queue/max_sectors_kb").read_text())
    except OSError:
        return 128, 1280


def vsyscall_live() -> str:
    """The mode of the vsyscall page of the kernel under us, as its boot parameter has it."""
    found = re.search(r"^\S+ (\S+) .*\[vsyscall\]$", Path("/proc/self/maps").read_text(errors="replace"), re.MULTILINE)
    if found is None:
        return "none"
    return "emulate" if found[1].startswith("r") else "xonly"


class ModelRunner(_AgentRunner):
    """The model, as a machine with the host's RAM. Its kernel's own warnings are in `warnings`.

    The machine runs in a process of ours, so that a model that does not come to an end can be ended. That process starts at
    the first run, and has the kernel as it was patched until then.
    """

    def __init__(
        self,
        folder: str | None = None,
        debug_vm: bool = False,
        version: tuple[int, int] = BASE_VERSION,
        fs: str = "tmpfs",
        timeout: float = 0.0,
        rootfstype: str = "",
        guest_readahead: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(folder, fs)
        #: The file system of the folder, if it is not to be the host's.
        self.rootfstype = rootfstype
        self.debug_vm = debug_vm
        #: The release whose behaviour it shows: the live kernel's, to be compared with that.
        self.version = version
        #: Seconds that one call may take; 0: by the number of its lines.
        self.timeout = timeout
        # What it has of the machine under us, if it is compared with that.
        live = version == running_release() and guest_readahead == (0, 0)
        #: CONFIG_MEM_SOFT_DIRTY: as that kernel was built.
        self.soft_dirty = not live or soft_dirty_live()
        #: Of its disk, and of its boot parameters. `guest_readahead`: it is compared with a guest, whose disk has these.
        self.readahead = readahead_live(self.folder) if live else guest_readahead if guest_readahead[0] else (128, 1280)
        self.vsyscall = vsyscall_live() if live else "none"
        self.warnings: list[str] = []
        self._worker: _Worker | None = None

    def close(self) -> None:
        """Remove the folder, end the process."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
        super().close()

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        if self._worker is None:
            self._worker = _Worker(self)
        worker = self._worker
        each = _MODEL_TIMEOUT_LINE_DEBUG if self.debug_vm else _MODEL_TIMEOUT_LINE
        timeout = self.timeout or _MODEL_TIMEOUT + each * text.count(b"\n")
        try:
            why, warnings = worker.run(text, timeout)
        except BaseException:
            worker.end()
            self._worker = None
            raise
        output = worker.output()
        if not worker.alive:
            worker.end()
            self._worker = None
        self.warnings += [text for text in warnings if text not in self.warnings]
        return output, why

    def boot_and_run(self, stdin: int, stdout: int) -> tuple[str, list[str]]:
        """One machine, one agent, descriptors for its streams: how it ended, and the kernel's warnings. In the worker."""
        ram = os.sysconf("SC_PHYS_PAGES") * 4096
        warnings: list[str] = []
        null = os.open(os.devnull, os.O_RDWR)
        try:
            with Machine(
                ram=ram,
                root=str(self.folder),
                debug_vm=self.debug_vm,
                streams=(stdin, stdout, null),
                vdso_pages=2,
                warm_page_cache=True,
                version=self.version,
                vsyscall=self.vsyscall,
                rootfstype=self.rootfstype,
                read_ahead_kb=self.readahead[0],
                max_sectors_kb=self.readahead[1],
            ) as machine:
                machine.kernel.warn = warnings.append
                machine.kernel.config.CONFIG_MEM_SOFT_DIRTY = self.soft_dirty
                process = machine.spawn("./agent", ["./agent"])
                try:
                    status = process.run()
                except Exception as error:
                    return f"{type(error).__name__}: {' '.join(str(error).split())}", warnings
                return (f"signal {status.signal}" if status.signal else f"exit {status.exit_status}"), warnings
        finally:
            os.close(null)


class _Worker:
    """The process in which a ModelRunner's machines run, one after the other."""

    def __init__(self, runner: ModelRunner) -> None:
        self._stdin = os.memfd_create("mmscope-oracle-stdin")
        self._stdout = os.memfd_create("mmscope-oracle-stdout")
        request, self._requests = os.pipe()
        self._replies, reply = os.pipe()
        self.alive = True
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._requests)
                os.close(self._replies)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                for number in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                self._serve(runner, request, reply)
            finally:
                os._exit(0)
        os.close(request)
        os.close(reply)

    def _serve(self, runner: ModelRunner, request: int, reply: int) -> None:
        """One byte asks for a run; a line of JSON answers."""
        while os.read(request, 1):
            try:
                answer = runner.boot_and_run(self._stdin, self._stdout)
            except Exception as error:
                answer = (f"{type(error).__name__}: {' '.join(str(error).split())}", [])
            os.write(reply, json.dumps(answer).encode() + b"\n")

    def run(self, text: bytes, timeout: float) -> tuple[str, list[str]]:
        """How the agent ended, and warnings. A run that takes longer than `timeout` seconds is ended by force."""
        for fd in (self._stdin, self._stdout):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        view = memoryview(text)
        while view:
            view = view[os.write(self._stdin, view) :]
        os.lseek(self._stdin, 0, os.SEEK_SET)
        os.write(self._requests, b"r")
        end = time.monotonic() + timeout
        answer = b""
        while not answer.endswith(b"\n"):
            if not select.select([self._replies], [], [], max(end - time.monotonic(), 0))[0]:
                self._kill()
                return f"timeout: the model did not end within {timeout:.0f} s", []
            part = os.read(self._replies, 65536)
            if not part:
                self._kill()
                return "the process that runs the model has died", []
            answer += part
        why, warnings = json.loads(answer)
        return why, warnings

    def output(self) -> bytes:
        """What the agent has written so far."""
        return os.pread(self._stdout, os.fstat(self._stdout).st_size, 0)

    def _kill(self) -> None:
        if self.alive:
            self.alive = False
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def end(self) -> None:
        """End it, close everything."""
        self._kill()
        for fd in (self._stdin, self._stdout, self._requests, self._replies):
            os.close(fd)
