# SPDX-License-Identifier: GPL-2.0-or-later
"""`mmscope run`: a real program on the model, transparent, with a summary of what its memory did."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.py imports enum
import errno
import gc
import os
import time

from mmscope.cli.console import complain, show
from mmscope.cli.options import Command, Option, number
from mmscope.errors import MmscopeError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.cli.options import Value
    from mmscope.cli.stats import Stats
    from mmscope.machine import ExitStatus, Machine, Process

#: Signals by what a shell says when they kill a program (strsignal).
DESCRIPTIONS = {
    1: "Hangup", 2: "Interrupt", 3: "Quit", 4: "Illegal instruction", 5: "Trace/breakpoint trap", 6: "Aborted", 7: "Bus error",
    8: "Floating point exception", 9: "Killed", 10: "User defined signal 1", 11: "Segmentation fault",
    12: "User defined signal 2", 13: "Broken pipe", 14: "Alarm clock", 15: "Terminated", 16: "Stack fault",
    24: "CPU time limit exceeded", 25: "File size limit exceeded", 26: "Virtual timer expired", 27: "Profiling timer expired",
    29: "I/O possible", 30: "Power failure", 31: "Bad system call",
}  # fmt: skip

#: As of timeout(1).
EXIT_TIMEOUT = 124


class ExecError(MmscopeError):
    """execve refused the program: 127 if there is none, else 126, as in a shell."""

    def __init__(self, program: str, error: OSError) -> None:
        number = error.errno or 0
        if number == errno.ENOENT and "/" not in program:
            reason = "command not found"
        else:
            name = errno.errorcode.get(number, f"errno {number}")
            reason = f"{os.strerror(number)} ({name})"
        super().__init__(f"{program}: {reason}")
        self.exit_code = 127 if number == errno.ENOENT else 126


def boot_time(value: str) -> int:
    """Word "now" or seconds since 1970 -> nanoseconds."""
    if value == "now":
        return time.time_ns()
    try:
        seconds = float(value)
    except ValueError:
        raise UsageError(f"{value!r} is neither `now` nor a number of seconds since 1970") from None
    if not 0 <= seconds < 1 << 33:
        raise UsageError(f"{value!r} seconds is outside 1970 to 2242")
    return int(seconds) * 1_000_000_000 + round(seconds % 1 * 1_000_000_000)


def vdso_pages(value: str) -> int:
    """1 or 2."""
    pages = number(value)
    if pages not in (1, 2):
        raise UsageError(f"{value} pages: the image has 1 or 2")
    return pages


def vsyscall(value: str) -> str:
    """none, xonly or emulate."""
    if value not in ("none", "xonly", "emulate"):
        raise UsageError(f"{value!r} is not a mode of the vsyscall page: none, xonly or emulate")
    return value


def seconds(value: str) -> str:
    """A decimal number, more than 0."""
    try:
        limit = float(value)
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1 << 31:
        raise UsageError(f"{value!r} is no time limit: give seconds, more than 0")
    return value


def user_id(value: str) -> int:
    """0 to 2**32 - 2."""
    uid = number(value)
    if not 0 <= uid < (1 << 32) - 1:
        raise UsageError(f"{value} is no user id: they are 0 to 4294967294")
    return uid


class Run(Command):
    """Run PROGRAM, a Linux x86-64 executable, unmodified: its memory is the model's, its output is its own.

    Its exit status is passed on, 128 + n if signal n killed it. The summary goes to stderr. Files are read from the
    host (or from --root DIR); what the program writes vanishes at its end, unless --keep DIR asks.
    """

    name = "run"
    usage = "[OPTIONS] [--] PROGRAM [ARGS]"
    example = "mmscope run --no-aslr --json run.json -- /bin/busybox cat /proc/self/maps"
    options = (
        Option("--aslr", "random address space layout (default)", dest="aslr", default=True),
        Option("--no-aslr", "the same layout each time", dest="aslr", value=False, default=True),
        Option("--ram", "memory of the machine, as 64M or 8G (default 256M)", "SIZE", default="256M"),
        Option("--root", "host directory that is the program's / (default /)", "DIR", default="/"),
        Option("--uid", "user and group id of the program (default: yours)", "N", user_id),
        Option("--seed", "of everything random (default 0)", "N", number, 0),
        Option("--time", "the wall clock at boot: now (default), or seconds", "T", boot_time),
        Option("--timeout", "stop the machine after T seconds of the host's time, status 124", "T", seconds),
        Option("--json", "write the summary there too", "FILE"),
        Option("--keep", "write the files that the program changed there; a new or empty directory", "DIR"),
        Option("--disk", "keep the disk's blocks in FILE, a new one, and not in memory", "FILE"),
        Option("--cold", "no file is in the page cache at first (default: as if read before)"),
        Option("--vdso-pages", "size of the vDSO image, 1 (default) or 2", "N", vdso_pages, 1),
        Option("--vsyscall", "the vsyscall page: none (default), xonly or emulate", "MODE", vsyscall, "none"),
        Option("--debug-vm", "check the kernel's invariants all the time (slow)"),
        Option("-q --quiet", "no summary"),
    )

    def run(self, values: dict[str, Value], args: list[str]) -> int:
        """Do it."""
        started = time.perf_counter_ns()
        gc.disable()
        if not args:
            raise UsageError("run: which program? as in `mmscope run -- /bin/busybox ls`")
        json_file = values["json"]
        if json_file is not None:
            check_writable(str(json_file))
        if values["keep"] is not None:
            from mmscope.keep import check_keep

            check_keep(str(values["keep"]))
        streams = standard_streams()
        machine = boot(values, streams)
        warnings: list[str] = []
        machine.kernel.warn = warnings.append
        from mmscope.cli.stats import Stats

        stats = Stats(machine.kernel)
        process = execute(machine, values, args)
        # What exists now lives as long as the machine: the collector need not look at it ever again.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()
        inherit_ignored(process)
        if values["timeout"] is not None:
            limit_time(float(str(values["timeout"])), args[0], stats)
        status = process.run(sigint_to_guest=True)
        machine.run_rest()
        if values["timeout"] is not None:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
        host_ns = time.perf_counter_ns() - started
        report(values, args, stats, process, status, host_ns, warnings)
        if values["keep"] is not None:
            machine.keep(str(values["keep"]))
        if json_file is not None:
            write_json(str(json_file), values, args, machine, stats, process, status, warnings)
        return status.exit_status


def limit_time(limit: float, program: str, stats: Stats) -> None:
    """End this process `limit` seconds from now, with a line that says what was going on; there is no summary."""

    def stop(signum: int, frame: object) -> None:
        tasks = stats.kernel.tasks.values()
        alive = sum(1 for task in tasks if task.mm is not None and not task.exit_state)
        made = len(stats.processes)
        complain(f"mmscope: {program}: stopped after {limit:g} s (--timeout): {alive} tasks alive, {made} processes made\n")
        os._exit(EXIT_TIMEOUT)

    _signal.signal(_signal.SIGALRM, stop)
    _signal.setitimer(_signal.ITIMER_REAL, limit)


def standard_streams() -> tuple[int, int, int]:
    """The descriptors behind the program's 0, 1 and 2; -1 for one that the caller has closed.

    Its number is then taken by /dev/null, lest the next file that we open becomes it.
    """
    fds = []
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            fd = -1
        fds.append(fd)
    return fds[0], fds[1], fds[2]


def boot(values: dict[str, Value], streams: tuple[int, int, int]) -> Machine:
    """The machine that the options describe."""
    from mmscope.machine import Machine

    if values["time"] is None:
        values["time"] = time.time_ns()
    uid = None if values["uid"] is None else int(values["uid"])
    return Machine(
        ram=str(values["ram"]),
        aslr=bool(values["aslr"]),
        root=str(values["root"]),
        seed=int(values["seed"] or 0),
        debug_vm=bool(values["debug_vm"]),
        streams=streams,
        uid=uid,
        gid=uid,
        groups=tuple(sorted(os.getgroups())) if uid is None else (),
        boot_time=values["time"],
        vdso_pages=values["vdso_pages"],
        vsyscall=values["vsyscall"],
        warm_page_cache=not values["cold"],
        disk_file=str(values["disk"] or ""),
    )


def execute(machine: Machine, values: dict[str, Value], args: list[str]) -> Process:
    """The program after its execve, found in PATH as a shell does. Raises ExecError."""
    try:
        return machine.spawn(
            args[0],
            args,
            os.environb,
            cwd=guest_cwd(str(values["root"])),
            search_path=os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        )
    except OSError as error:
        raise ExecError(args[0], error) from None


def inherit_ignored(process: Process) -> None:
    """SIGHUP, SIGINT, SIGQUIT and SIGTERM that our caller had us ignore (nohup, `&` in scripts): the program ignores them too."""
    for sig in (1, 2, 3, 15):
        if _signal.getsignal(sig) == _signal.SIG_IGN:
            process.task.sighand.action[sig - 1].sa_handler = int(_signal.SIG_IGN)


def guest_cwd(root: str) -> str:
    """The working directory as the guest names it; / if it lies outside the root."""
    try:
        here = os.getcwd()
    except OSError:
        return "/"
    top = os.path.realpath(root)
    if top == "/":
        return here
    if here == top or here.startswith(top + "/"):
        return here[len(top) :] or "/"
    return "/"


def report(
    values: dict[str, Value],
    args: list[str],
    stats: Stats,
    process: Process,
    status: ExitStatus,
    host_ns: int,
    warnings: list[str],
) -> None:
    """Say on stderr what killed the program, and the summary."""
    from mmscope.cli.report import Style, summary

    style = Style("NO_COLOR" not in os.environ and os.isatty(2))
    out = ""
    if status.signal:
        what = DESCRIPTIONS.get(status.signal, f"Real-time signal {status.signal - 34}")
        reason = f": {stats.death}" if stats.death else ""
        if process.exec_error is not None:
            reason = f": execve failed past the point of no return: {process.exec_error.strerror}"
        out += f"{style.red}mmscope: {what}: killed by {status.signal_name}{reason}{style.off}\n"
    if values["quiet"]:
        out += "".join(f"mmscope: warning: {text}\n" for text in warnings)
    else:
        virtual_ns = process.machine.kernel.timekeeper.now_ns - process.task.start_time
        out += summary(stats, " ".join(args), virtual_ns, host_ns, warnings, style)
    complain(out)


def check_writable(path: str) -> None:
    """Refuse a --json FILE that cannot be made, before anything runs."""
    if path == "-":
        return
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"run: --json {path}: there is no directory {folder}")
    if os.path.isdir(path):
        raise UsageError(f"run: --json {path}: is a directory; name a file")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"run: --json {path}: permission denied")


def write_json(
    path: str,
    values: dict[str, Value],
    args: list[str],
    machine: Machine,
    stats: Stats,
    process: Process,
    status: ExitStatus,
    warnings: list[str],
) -> None:
    """The summary for machines. The same inputs give the same bytes: no host time in it. `-` is stdout."""
    import json

    config = machine.config
    data = stats.to_json(status.exit_status, status.signal_name)
    data["virtual_ns"] = machine.kernel.timekeeper.now_ns - process.task.start_time
    data["warnings"] = warnings
    data["inputs"] = {
        "argv": args,
        "ram": config.ram,
        "aslr": bool(values["aslr"]),
        "seed": config.seed,
        "root": values["root"],
        "boot_time_ns": config.boot_time,
        "vdso_pages": config.vdso_pages,
        "cold": bool(values["cold"]),
        "version": ".".join(str(part) for part in config.version),
    }
    text = json.dumps(data, indent=2) + "\n"
    if path == "-":
        show(text)
        return
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise MmscopeError(f"--json {path}: {error.strerror}") from None
