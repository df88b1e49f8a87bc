# SPDX-License-Identifier: GPL-2.0-or-later
"""Command-line options, declared as data: parsing and the help text come from one table.

Importing argparse costs 6 ms, a third of what a whole run of a small program may take.
"""

from __future__ import annotations

from mmscope.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Value = str | int | bool | None


def text(value: str) -> str:
    """Any string."""
    return value


def number(value: str) -> int:
    """A whole number, 0x allowed."""
    try:
        return int(value, 0)
    except ValueError:
        raise UsageError(f"{value!r} is not a whole number") from None


class Option:
    """One option. `metavar` None: a switch, whose value is True when given."""

    def __init__(
        self,
        flags: str,
        help: str,
        metavar: str | None = None,
        parse: Callable[[str], str | int] = text,
        default: Value = None,
        dest: str = "",
        value: Value = True,
    ) -> None:
        #: "-q --quiet"
        self.flags = flags.split()
        self.help = help
        self.metavar = metavar
        self.parse = parse
        self.default = default
        self.dest = dest or self.flags[-1].lstrip("-").replace("-", "_")
        #: What a switch sets.
        self.value = value


class Command:
    """A subcommand: its docstring is its description, and `example` must work as printed."""

    name = ""
    usage = ""
    example = ""
    options: tuple[Option, ...] = ()

    def run(self, values: dict[str, Value], args: list[str]) -> int:
        """Do it; the result is the exit status."""
        raise NotImplementedError


def parse(command: Command, argv: list[str]) -> tuple[dict[str, Value], list[str]]:
    """Options up to `--` or the first word that is none; the rest is returned as it is. Raises UsageError."""
    values: dict[str, Value] = {}
    for option in command.options:
        values.setdefault(option.dest, option.default)
    at = 0
    while at < len(argv):
        word = argv[at]
        at += 1
        if word == "--":
            return values, argv[at:]
        if not word.startswith("-") or word == "-":
            return values, argv[at - 1 :]
        flag, equals, value = word.partition("=")
        found = [option for option in command.options if flag in option.flags]
        if not found:
            raise UsageError(f"{command.name}: unknown option {flag}; `mmscope {command.name} --help` lists them")
        option = found[0]
        if option.metavar is None:
            if equals:
                raise UsageError(f"{command.name}: {flag} takes no value")
            values[option.dest] = option.value
            continue
        if not equals:
            if at == len(argv) or argv[at] == "--":
                raise UsageError(f"{command.name}: {flag} needs a value: {flag} {option.metavar}")
            value = argv[at]
            at += 1
        try:
            values[option.dest] = option.parse(value)
        except UsageError as error:
            raise UsageError(f"{command.name}: {flag}: {error}") from None
    return values, []


def help_text(command: Command) -> str:
    """What `mmscope COMMAND --help` prints."""
    lines = [f"usage: mmscope {command.name} {command.usage}", ""]
    lines += [line[4:] if line.startswith("    ") else line for line in (command.__doc__ or "").strip().splitlines()]
    lines += ["", "options:"]
    for option in command.options:
        left = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
        lines.append(f"  {left:<18}  {option.help}")
    lines += [f"  {'-h, --help':<18}  print this", "", "example:", f"  {command.example}", ""]
    return "\n".join(lines)
