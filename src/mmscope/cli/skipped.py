# SPDX-License-Identifier: GPL-2.0-or-later
"""`mmscope skipped`: what Linux has and the model does not yet."""

from __future__ import annotations

from mmscope.cli.console import show
from mmscope.cli.options import Command, Option
from mmscope.errors import UsageError
from mmscope.skipped import SKIPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.cli.options import Value


class Skipped(Command):
    """Print what Linux has and the model does not yet, and what happens instead."""

    name = "skipped"
    usage = "[--json]"
    example = "mmscope skipped"
    options = (Option("--json", "a list of objects with `what` and `instead`"),)

    def run(self, values: dict[str, Value], args: list[str]) -> int:
        """Do it."""
        if args:
            raise UsageError(f"skipped: takes no argument, not {args[0]!r}")
        if values["json"]:
            import json

            show(json.dumps([{"what": what, "instead": instead} for what, instead in SKIPPED], indent=2) + "\n")
            return 0
        width = max(len(what) for what, _ in SKIPPED)
        show("".join(f"{what:{width}}  {instead}\n" for what, instead in SKIPPED))
        return 0
