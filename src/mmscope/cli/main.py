# SPDX-License-Identifier: GPL-2.0-or-later
"""The `mmscope` command: finds the subcommand, and turns every way to fail into one line and an exit status."""

from __future__ import annotations

import os
import sys

from mmscope.cli.console import complain, show, silence
from mmscope.errors import MmscopeError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.cli.options import Command

#: EX_SOFTWARE: the model itself is wrong.
EXIT_BUG = 70
EXIT_PANIC = 71
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

HELP = """\
usage: mmscope COMMAND [OPTIONS] ...

Linux's memory mapping as a program: runs real programs on a model of the kernel's mm.

commands:
  run    run a program on the model, and count what its memory did
  check  run scenarios on the model and on the live kernel, and compare
  skipped
         what Linux has and the model does not yet

`mmscope COMMAND --help` has the options, and an example.

options:
  -h, --help  print this
  --version   print the version

example:
  mmscope run --no-aslr -- /bin/busybox cat /proc/self/maps
"""


def find_command(name: str) -> Command:
    """The object behind a subcommand's name. Raises UsageError."""
    if name == "run":
        from mmscope.cli.run import Run

        return Run()
    if name == "skipped":
        from mmscope.cli.skipped import Skipped

        return Skipped()
    if name == "check":
        from mmscope.cli.check import Check

        return Check()
    raise UsageError(f"unknown command {name!r}; `mmscope --help` lists them")


def dispatch(argv: list[str]) -> int:
    """Run one command line; raises what `main` translates."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        (show if argv else complain)(HELP)
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        from mmscope import __version__

        show(f"mmscope {__version__}\n")
        return 0
    if argv[0].startswith("-"):
        raise UsageError(f"unknown option {argv[0]}; `mmscope --help` lists the commands")
    command = find_command(argv[0])
    options = argv[1:]
    before = options[: options.index("--")] if "--" in options else options
    if before and before[0] in ("-h", "--help"):
        from mmscope.cli.options import help_text

        show(help_text(command))
        return 0
    from mmscope.cli.options import parse

    values, args = parse(command, options)
    return command.run(values, args)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script. Without `argv` it is the whole process, and ends it."""
    if argv is None:
        status = guarded(sys.argv[1:])
        # Everything printed is out (console.py flushes). Taking the interpreter and the machine apart would cost 5 ms more.
        os._exit(status)
    return guarded(argv)


def guarded(argv: list[str]) -> int:
    """Run one command line; the only place where exceptions become exit statuses."""
    try:
        return dispatch(argv)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        silence(1)
        return EXIT_BROKEN_PIPE
    except MmscopeError as error:
        complain(f"mmscope: {error}\n")
        return error.exit_code
    except Exception as error:
        from mmscope.kernel.include.errno import KernelPanic

        if isinstance(error, KernelPanic):
            complain(f"mmscope: Kernel panic - not syncing: {error}\n")
            return EXIT_PANIC
        return report_bug(error)


def report_bug(error: Exception) -> int:
    """A KernelBug, or another failure that is ours: what failed, where, and what would help to mend it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        code = trace.tb_frame.f_code
        where = f" in {code.co_name} ({code.co_filename}:{trace.tb_lineno})"
    text = " ".join(str(error).split())
    complain(f"mmscope: kernel BUG: {type(error).__name__}: {text}{where}\n")
    complain(
        "mmscope: the model broke one of its own rules; please report the command line (MMSCOPE_DEBUG=1 prints a traceback)\n"
    )
    if os.environ.get("MMSCOPE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    return EXIT_BUG
