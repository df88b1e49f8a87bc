# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary that `mmscope run` prints on stderr, in the manner of `perf stat`."""

from __future__ import annotations

from mmscope.cli.cow import totals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.cli.stats import Stats

#: System calls named in the summary; --json has them all.
TOP_SYSCALLS = 6

#: Processes named in the summary, those with the most faults.
TOP_PROCESSES = 8

#: Instructions named in the summary, those that copied the most pages.
TOP_WRITERS = 3

#: What a program may ask for and not get. docs/architecture.md explains.
NOT_MODELLED = (("swap, reclaim, huge pages", "absent"),)


class Style:
    """ANSI colours, or none."""

    def __init__(self, colour: bool) -> None:
        self.bold = "\x1b[1m" if colour else ""
        self.dim = "\x1b[2m" if colour else ""
        self.red = "\x1b[31m" if colour else ""
        self.yellow = "\x1b[33m" if colour else ""
        self.off = "\x1b[0m" if colour else ""


def summary(stats: Stats, title: str, virtual_ns: int, host_ns: int, warnings: list[str], style: Style) -> str:
    """The whole text, from the blank line before it to the one after."""
    lines = ["", f" {style.bold}Memory of '{title}' on the model:{style.off}", ""]

    def row(count: str, text: str, note: str = "", head: bool = False) -> None:
        start, end = (style.bold, style.off) if head else ("", "")
        remark = f"  {style.dim}# {note}{style.off}" if note else ""
        label = text if head else "  " + text
        lines.append(f"{start}{count:>16}  {label:<32}{end}{remark}".rstrip())

    minor, major = stats.all_faults()
    row(f"{minor + major:,}", "page faults", f"{minor:,} minor, {major:,} major", head=True)
    for cause, count in stats.causes().items():
        row(f"{count:,}", cause)
    if stats.stack_expansions:
        row(f"{stats.stack_expansions:,}", "stack expansions", head=True)
    copies, reuses = totals(stats.by_cause)
    if copies:
        lines.append("")
        row(f"{copies:,}", "pages copied on write", f"{copies * 4:,} KiB; {reuses:,} reused", head=True)
        for place, count in stats.cow.top_writers(TOP_WRITERS):
            row(f"{count:,}", place)
    lines.append("")
    row(f"{stats.peak:,}", "pages resident at the peak", f"{stats.peak * 4:,} KiB", head=True)
    for count, kind in ((stats.anon, "anon"), (stats.file, "file"), (stats.shmem, "shmem")):
        row(f"{count:,}", kind)
    row(f"{stats.page_tables:,}", "page tables", head=True)
    lines.append("")
    names = stats.syscall_names()
    top = len(names) if len(names) <= TOP_SYSCALLS + 1 else TOP_SYSCALLS
    rest = len(names) - top
    row(f"{sum(names.values()):,}", "system calls", f"{len(names)} different", head=True)
    for name, count in list(names.items())[:top]:
        row(f"{count:,}", name)
    if rest > 0:
        row(f"{sum(list(names.values())[top:]):,}", f"others ({rest})")
    if len(stats.processes) > 1:
        lines.append("")
        threads = sum(one.threads - 1 for one in stats.processes)
        row(f"{len(stats.processes):,}", "processes", f"and {threads:,} threads more" if threads else "", head=True)
        ranked = sorted(stats.processes, key=lambda one: -sum(stats.faults(one)))
        for one in ranked[:TOP_PROCESSES]:
            row(f"{sum(stats.faults(one)):,}", f"{one.comm}[{one.pid}]", f"faults; {sum(one.syscalls.values()):,} system calls")
        if len(ranked) > TOP_PROCESSES:
            rest_faults = sum(sum(stats.faults(one)) for one in ranked[TOP_PROCESSES:])
            row(f"{rest_faults:,}", f"others ({len(ranked) - TOP_PROCESSES})")
    lines.append("")
    row(f"{virtual_ns / 1e9:.6f}", "seconds of virtual time")
    row(f"{host_ns / 1e9:.6f}", "seconds on the host")
    if warnings:
        lines.append("")
        lines += [f" {style.yellow}warning:{style.off} {text}" for text in warnings]
        lines += ["", " not modelled: " + "; ".join(f"{what} ({answer})" for what, answer in NOT_MODELLED)]
    lines += ["", ""]
    return "\n".join(lines)
