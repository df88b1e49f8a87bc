# SPDX-License-Identifier: GPL-2.0-or-later
"""Records call graphs: boots graph.c with the function tracer, on a disk with an ext4 file system as Debian makes them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from mmscope.errors import MmscopeError
from mmscope.oracle.record.calltree import call_tree, inlined_frames, key_lines, parse_trace
from mmscope.oracle.record.guest import boot, build_init, make_disk

__all__ = ["record_graphs"]

_PAGE = 4096
_SCENARIO = re.compile(r"@@BEGIN (\S+)\n(.*?)@@END\n", re.DOTALL)


_STATE = re.compile(r"@@STATE (.*)\n")


def _run(vmlinuz: Path, folder: Path, disk: tuple[str, ...], files: list[tuple[str, int, bytes]]) -> str:
    """What graph.c prints."""
    files = [("init", 0o755, (folder / "init").read_bytes()), *files]
    printed = boot(vmlinuz, files, folder, disk)
    text = (printed or b"").decode("utf-8", "replace")
    if "@@DONE" not in text:
        raise MmscopeError(f"the guest did not get to its end: {text[-400:]}")
    return text


def record_graphs(vmlinuz: Path, vmlinux: Path, names: list[str], output: Path) -> list[str]:
    """Write NAME.key.txt into the folder `output` for each scenario of graph.c, or those of `names`; their names.

    Besides, fault-states.txt: a line for each fault, its page-table entry and its struct page.
    """
    with tempfile.TemporaryDirectory(prefix="mmscope-graphs-") as name:
        folder = Path(name)
        (folder / "root").mkdir()
        (folder / "root" / "data").write_bytes(b"\1" * 64 * _PAGE)
        (folder / "root" / "cold").write_bytes(b"\2" * 256 * _PAGE)
        disk = make_disk(folder, "root")
        build_init("graph.c", folder)
        text = _run(vmlinuz, folder, disk, [])
        states = _STATE.findall(_run(vmlinuz, folder, disk, [("states", 0o644, b"")]))
    traces = {match[1]: parse_trace(match[2]) for match in _SCENARIO.finditer(text)}
    if unknown := set(names) - set(traces):
        raise MmscopeError(f"no such scenario in graph.c: {', '.join(sorted(unknown))}")
    chosen = {name: hits for name, hits in traces.items() if not names or name in names}
    frames = inlined_frames(vmlinux, [hit for hits in chosen.values() for hit in hits])
    output.mkdir(parents=True, exist_ok=True)
    (output / "fault-states.txt").write_text("".join(state + "\n" for state in states))
    for name, hits in chosen.items():
        lines = key_lines(call_tree(hits, frames))
        (output / f"{name}.key.txt").write_text("".join(line + "\n" for line in lines))
    return sorted(chosen)
