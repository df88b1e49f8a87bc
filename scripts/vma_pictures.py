# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws the pictures of docs/kernel/vma.md: runs the page's own Python session on the model, and draws what stands there then.

    .venv/bin/python scripts/vma_pictures.py           write docs/kernel/img/vma/*.svg
    .venv/bin/python scripts/vma_pictures.py --check   exit status 1 if page or pictures are not what the model gives

A picture stands in the page as an image whose title says what is drawn:

    "space"    the tree, the list and the map of `p`; what changed since the last picture is yellow
    "merge"    the map at the last <!-- before --> and now; P, N and X are addresses in VMAs, A is the range asked for
    "search"   the tree at the last <!-- before -->, with the nodes that unmapped_area_topdown() looked at since, in their order
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import os
import re
import sys
from pathlib import Path

# The search is watched line by line, which only the Python sources allow.
os.environ["MMSCOPE_PURE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from mmscope.kernel.fs.task_mmu import vma_name
from mmscope.kernel.include.mm import VM_GROWSDOWN, VM_MAYSHARE
from mmscope.kernel.include.mm_types import VmRb
from mmscope.kernel.lib.rbtree import RB_RED
from mmscope.kernel.mm.mmap import vma_compute_gap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Final

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

PAGE: Final = 4096
DOCS: Final = Path(__file__).resolve().parent.parent / "docs/kernel"
DIRECTIVE: Final = re.compile(r'<!-- (before) -->|!\[([^\]]*)\]\((img/vma/[\w-]+\.svg) "(\w+)"\)')

INK: Final = "#1f2328"
PALE: Final = "#6e7781"
BLUE: Final = "#ddeeff"
BLUE_EDGE: Final = "#4a7fb5"
YELLOW: Final = "#fff1b8"
YELLOW_EDGE: Final = "#c99700"
RED: Final = "#c62828"
BLACK: Final = "#24292f"

BOX: Final = 96
BOX_HEIGHT: Final = 62
GAP: Final = 62
LEFT: Final = 84
RIGHT: Final = 14
NODE: Final = 90
NODE_HEIGHT: Final = 34
LEVEL: Final = 56


# ---- what is drawn


class Area:
    """A VMA as it was."""

    def __init__(self, vma: VmAreaStruct, index: int) -> None:
        self.vma = vma
        self.index = index
        self.start, self.end = vma.vm_start, vma.vm_end
        flags = vma.vm_flags
        letters = "".join(letter if flags & 1 << bit else "-" for bit, letter in enumerate("rwx"))
        self.perms = letters + ("s" if flags & VM_MAYSHARE else "p")
        self.grows = flags & VM_GROWSDOWN != 0
        self.name = vma_name(vma) or ""
        self.anon = "anon_vma" if vma.anon_vma is not None else ""
        self.hole = vma.vm_start - (vma.vm_prev.vm_end if vma.vm_prev is not None else 0)
        self.gap = vma_compute_gap(vma)
        self.subtree_gap = vma.rb_subtree_gap
        self.red = vma.vm_rb.rb_color == RB_RED
        self.depth = 0
        self.parent: Area | None = None

    def like(self, other: Area | None) -> bool:
        """Nothing that a maps line shows has changed."""
        return other is not None and (self.start, self.end, self.perms, self.name) == (
            other.start,
            other.end,
            other.perms,
            other.name,
        )


class Snapshot:
    """All VMAs of an address space as they were."""

    def __init__(self, mm: MmStruct) -> None:
        self.areas: list[Area] = []
        vma = mm.mmap
        while vma is not None:
            self.areas.append(Area(vma, len(self.areas)))
            vma = vma.vm_next
        by_vma = {area.vma: area for area in self.areas}
        for area in self.areas:
            node = area.vma.vm_rb.rb_parent
            if isinstance(node, VmRb):
                area.parent = by_vma[node.vma]
        for area in self.areas:
            above = area.parent
            while above is not None:
                area.depth += 1
                above = above.parent
        self.map_count = mm.map_count
        self.total_vm = mm.total_vm
        self.mmap_base = mm.mmap_base

    def of(self, vma: VmAreaStruct) -> Area | None:
        """What it was then."""
        for area in self.areas:
            if area.vma is vma:
                return area
        return None


def size(number: int) -> str:
    """Bytes for people: pages below 1 MiB."""
    if number < 1 << 20:
        return f"{number // PAGE} page" + ("" if number == PAGE else "s")
    shift, unit = next(unit for unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")) if number >> unit[0])
    return f"{number / (1 << shift):.1f}".removesuffix(".0") + f" {unit}"


# ---- SVG


class Svg:
    """Shapes and text, in pixels."""

    def __init__(self) -> None:
        self.out: list[str] = []

    def text(
        self, x: float, y: float, text: str, *, size: float = 11, fill: str = INK, anchor: str = "middle", bold: bool = False,
        mono: bool = False,
    ) -> None:  # fmt: skip
        """One line; y is its baseline."""
        family = ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace"' if mono else ""
        weight = ' font-weight="bold"' if bold else ""
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        self.out.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}" text-anchor="{anchor}"{family}{weight}>{text}</text>'
        )

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: str,
        edge: str = "none",
        *,
        round: float = 0,
        dash: str = "",
        thick: float = 1.2,
    ) -> None:
        """A box."""
        more = (f' rx="{round:g}"' if round else "") + (f' stroke-dasharray="{dash}"' if dash else "")
        self.out.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{edge}" stroke-width="1.2"{more}/>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, edge: str, *, thick: float = 1.2, dash: str = "", arrow: str = ""
    ) -> None:
        """`arrow`: "end" or "both"."""
        more = f' stroke-dasharray="{dash}"' if dash else ""
        if arrow:
            more += ' marker-end="url(#arrow)"' + (' marker-start="url(#back)"' if arrow == "both" else "")
        self.out.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{edge}" stroke-width="{thick:g}"{more}/>')

    def page(self, width: float, height: float, title: str) -> str:
        """The file."""
        title = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        arrow = f'<path d="M0 0 L7 3.5 L0 7 z" fill="{PALE}"/></marker>'
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            'font-family="DejaVu Sans, Verdana, sans-serif">',
            f"<title>{title}</title>",
            '<defs><marker id="arrow" viewBox="0 0 7 7" refX="6.5" refY="3.5" markerWidth="7" markerHeight="7" orient="auto">',
            arrow + '<marker id="back" viewBox="0 0 7 7" refX="6.5" refY="3.5" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse">',
            arrow + "</defs>",
            f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>',
        ]
        return "\n".join([*head, *self.out, "</svg>\n"])


class Columns:
    """Where each VMA stands: boxes that touch where the VMAs touch, a dashed cell where nothing is mapped."""

    def __init__(self, areas: list[Area], left: float, first_gap: bool = True) -> None:
        self.left: list[float] = []
        x = left
        for area in areas:
            if area.hole and (first_gap or area.index):
                x += GAP
            self.left.append(x)
            x += BOX
        self.width = x

    def middle(self, area: Area) -> float:
        """Of its box."""
        return self.left[area.index] + BOX / 2


def draw_area(svg: Svg, area: Area, x: float, y: float, changed: bool) -> None:
    """The box, its contents and its addresses."""
    fill, edge = (YELLOW, YELLOW_EDGE) if changed else (BLUE, BLUE_EDGE)
    svg.rect(x, y, BOX, BOX_HEIGHT, fill, edge)
    lines = [area.perms, size(area.end - area.start), area.name.replace(" (deleted)", "") or area.anon]
    for i, line in enumerate(lines):
        svg.text(x + BOX / 2, y + 18 + 17 * i, line, size=11 if i == 0 else 10.5, mono=i == 0)
    svg.text(x + 2, y + BOX_HEIGHT + 13, f"{area.start:x}", size=10, anchor="start", mono=True)
    svg.text(x + BOX - 2, y + BOX_HEIGHT + 26, f"{area.end:x}", size=10, anchor="end", mono=True, fill=PALE)


def draw_gap(svg: Svg, area: Area, right: float, y: float) -> None:
    """The hole below a VMA; the guard gap is not for use."""
    svg.line(right - GAP, y, right, y, "#c8ccd0", dash="3 3")
    svg.line(right - GAP, y + BOX_HEIGHT, right, y + BOX_HEIGHT, "#c8ccd0", dash="3 3")
    svg.text(right - GAP / 2, y + 28, size(area.gap), size=10, fill=PALE)
    if area.gap != area.hole:
        svg.text(right - GAP / 2, y + 42, "+ guard", size=10, fill=PALE)
        svg.text(right - GAP / 2, y + 54, size(area.hole - area.gap), size=10, fill=PALE)


def draw_map(svg: Svg, now: Snapshot, columns: Columns, y: float, changed: set[int]) -> None:
    """The strip of addresses, ascending."""
    svg.text(LEFT - 14, y + 28, "address", size=10.5, anchor="end", fill=PALE)
    svg.text(LEFT - 14, y + 41, "space", size=10.5, anchor="end", fill=PALE)
    svg.text(LEFT - 14, y + BOX_HEIGHT + 13, "vm_start", size=10, anchor="end", mono=True)
    svg.text(LEFT - 14, y + BOX_HEIGHT + 26, "vm_end", size=10, anchor="end", mono=True, fill=PALE)
    for area in now.areas:
        if area.hole:
            draw_gap(svg, area, columns.left[area.index], y)
    for area in now.areas:
        draw_area(svg, area, columns.left[area.index], y, area.index in changed)


def draw_tree(svg: Svg, now: Snapshot, columns: Columns, top: float, order: dict[int, list[int]] | None = None) -> float:
    """Nodes above their VMAs. `order`: index of a VMA -> the steps that looked at it. Returns the lower edge."""
    depth = max((area.depth for area in now.areas), default=0)
    bottom = top + depth * LEVEL + NODE_HEIGHT
    for area in now.areas:
        x, y = columns.middle(area), top + area.depth * LEVEL
        svg.line(x, y + NODE_HEIGHT, x, bottom + 22, "#d0d7de", dash="2 3")
        if area.parent is not None:
            used = order is None or (area.index in order and area.parent.index in order)
            above = top + area.parent.depth * LEVEL + NODE_HEIGHT
            svg.line(columns.middle(area.parent), above, x, y, INK if used else "#b5bac0", thick=1.6 if used else 1.2)
    for area in now.areas:
        x, y = columns.middle(area), top + area.depth * LEVEL
        seen = order is None or area.index in order
        fill = RED if area.red else BLACK
        svg.out.append(f'<g opacity="{1 if seen else 0.35:g}">')
        svg.rect(x - NODE / 2, y, NODE, NODE_HEIGHT, fill, round=8)
        svg.text(x, y + 15, size(area.subtree_gap), fill="#fff", bold=True)
        svg.text(x, y + 28, f"{area.subtree_gap:x}", size=10, fill="#fff", mono=True)
        svg.out.append("</g>")
        if order is not None and seen:
            steps = ", ".join(str(step) for step in order[area.index])
            svg.rect(x - NODE / 2 - 10, y - 10, 12 + 7 * len(steps), 19, YELLOW, YELLOW_EDGE, round=9)
            svg.text(x - NODE / 2 - 4 + 3.5 * len(steps), y + 4, steps, size=11, bold=True)
    root = next((area for area in now.areas if area.parent is None), None)
    if root is not None:
        svg.text(LEFT - 14, top + 14, "mm_rb", size=11, anchor="end", mono=True)
        svg.line(LEFT - 10, top + 10, columns.middle(root) - NODE / 2 - 2, top + 10, PALE, arrow="end")
    return bottom


def draw_space(now: Snapshot, before: Snapshot | None, title: str) -> str:
    """The tree above, the map below it, the list below that."""
    svg = Svg()
    columns = Columns(now.areas, LEFT)
    y = draw_tree(svg, now, columns, 18) + 22
    changed = {area.index for area in now.areas if before is not None and not area.like(before.of(area.vma))}
    draw_map(svg, now, columns, y, changed)
    y += BOX_HEIGHT + 48
    svg.text(LEFT - 14, y + 4, "mmap", size=11, anchor="end", mono=True)
    x = LEFT - 10.0
    for area in now.areas:
        svg.line(x, y, columns.middle(area) - 6, y, PALE, arrow="both" if area.index else "end")
        svg.out.append(f'<circle cx="{columns.middle(area):g}" cy="{y:g}" r="4" fill="{BLUE_EDGE}"/>')
        x = columns.middle(area) + 6
    svg.line(x, y, x + 26, y, PALE, arrow="end")
    svg.text(x + 30, y + 4, "NULL", size=10, anchor="start", mono=True, fill=PALE)
    y += 24
    text = f"map_count {now.map_count}   total_vm {now.total_vm} pages   mmap_base {now.mmap_base:x}"
    svg.text(LEFT, y, text, size=10, anchor="start", mono=True, fill=PALE)
    return svg.page(columns.width + RIGHT, y + 14, title)


def draw_search(before: Snapshot, visited: list[VmAreaStruct], title: str) -> str:
    """The tree that was searched, the nodes numbered in the order in which they were looked at."""
    order: dict[int, list[int]] = {}
    for step, vma in enumerate(visited, 1):
        area = before.of(vma)
        assert area is not None
        order.setdefault(area.index, []).append(step)
    svg = Svg()
    columns = Columns(before.areas, LEFT)
    y = draw_tree(svg, before, columns, 18, order) + 22
    draw_map(svg, before, columns, y, set())
    return svg.page(columns.width + RIGHT, y + BOX_HEIGHT + 40, title)


def draw_merge(before: Snapshot, now: Snapshot, names: dict[str, int], asked: tuple[int, int], title: str) -> str:
    """Two strips one above the other, to one scale: the VMAs around the range asked for."""
    # Where two names hit one VMA it is P, else N: it has grown over X's place.
    labels: dict[VmAreaStruct, str] = {}
    for name, address in names.items():
        for area in before.areas:
            if area.start <= address < area.end:
                labels[area.vma] = name
    low = min([asked[0], *(area.start for area in before.areas if area.vma in labels)])
    high = max([asked[1], *(area.end for area in before.areas if area.vma in labels)])
    scale = 640 / (high - low)
    svg = Svg()
    y = 46.0
    for word, shot in (("before", before), ("after", now)):
        svg.text(LEFT - 14, y + 26, word, anchor="end", fill=PALE)
        if word == "before":
            a, b = (LEFT + (edge - low) * scale for edge in asked)
            svg.line(a + 1, y - 14, b - 1, y - 14, YELLOW_EDGE, thick=3)
            for edge in (a + 1, b - 1):
                svg.line(edge, y - 19, edge, y - 9, YELLOW_EDGE, thick=2)
            svg.text((a + b) / 2, y - 24, "A", size=12, bold=True)
        for area in shot.areas:
            if not low <= area.start < high:
                continue
            x, w = LEFT + (area.start - low) * scale, (area.end - area.start) * scale
            changed = word == "after" and not area.like(before.of(area.vma))
            svg.rect(x, y, w, 42, YELLOW if changed else BLUE, YELLOW_EDGE if changed else BLUE_EDGE)
            svg.text(x + w / 2, y + 17, labels.get(area.vma, "new"), size=12, bold=True)
            svg.text(x + w / 2, y + 33, area.perms, size=10.5, mono=True)
            svg.text(x + 2, y + 54, f"{area.start:x}", size=9.5, anchor="start", mono=True, fill=PALE)
        y += 80
    return svg.page(LEFT + 640 + RIGHT, y - 10, title)


# ---- the page


class Page:
    """Runs a page's session and draws its pictures."""

    def __init__(self) -> None:
        self.globs: dict[str, Any] = {"__name__": "__main__"}
        self.last: Snapshot | None = None
        self.marked: Snapshot | None = None
        self.visited: list[VmAreaStruct] = []
        self.errors: list[str] = []

    def run(self, text: str) -> dict[str, str]:
        """Path of each picture -> its SVG. What the session said otherwise than the page is in `errors`."""
        pictures: dict[str, str] = {}
        for part in doctest.DocTestParser().parse(text):
            if isinstance(part, doctest.Example):
                self.example(part)
                continue
            for match in DIRECTIVE.finditer(part):
                if match[1]:
                    self.marked = self.snapshot()
                    self.visited = []
                else:
                    pictures[match[3]] = self.draw(match[4], match[2])
        return pictures

    def example(self, example: doctest.Example) -> None:
        """One statement: what it prints must be what the page says."""
        said = io.StringIO()
        old = sys.gettrace()
        sys.settrace(self.watch)
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(example.source, "vma.md", "single"), self.globs)
        except Exception as error:
            said.write(f"Traceback (most recent call last):\n    ...\n{type(error).__name__}: {error}\n")
        finally:
            sys.settrace(old)
        if not doctest.OutputChecker().check_output(example.want, said.getvalue(), 0):
            self.errors.append(f">>> {example.source}says\n{said.getvalue()}and not\n{example.want}")

    def watch(self, frame: FrameType, event: str, arg: object) -> Any:
        """sys.settrace: the `vma` at which unmapped_area_topdown()'s walk stands."""
        if frame.f_code.co_name != "unmapped_area_topdown_walk":
            return None
        vma = frame.f_locals.get("vma")
        if vma is not None and (not self.visited or self.visited[-1] is not vma):
            self.visited.append(vma)
        return self.watch

    def snapshot(self) -> Snapshot:
        """The process `p` of the session."""
        return Snapshot(self.globs["p"].mm)

    def draw(self, kind: str, title: str) -> str:
        """One picture."""
        if kind == "space":
            before, self.last = self.last, self.snapshot()
            return draw_space(self.last, before, title)
        assert self.marked is not None, "a picture that compares needs <!-- before -->"
        if kind == "search":
            return draw_search(self.marked, self.visited, title)
        assert kind == "merge", kind
        names = {name: self.globs[name] for name in "XNP"}
        return draw_merge(self.marked, self.snapshot(), names, self.globs["A"], title)


def main() -> int:
    """Write the pictures, or compare them."""
    parser = argparse.ArgumentParser(description="the pictures of docs/kernel/vma.md, drawn from the model")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not up to date")
    args = parser.parse_args()
    page = Page()
    pictures = page.run((DOCS / "vma.md").read_text())
    stale = page.errors
    committed = {f"img/vma/{path.name}" for path in (DOCS / "img/vma").glob("*.svg")}
    stale += [f"{name} is in no page" for name in sorted(committed - set(pictures))]
    for name, svg in pictures.items():
        path = DOCS / name
        if path.exists() and path.read_text() == svg:
            continue
        if args.check:
            stale.append(f"{name} is not what the model gives: run scripts/vma_pictures.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(svg)
    print("\n".join(stale) or f"{len(pictures)} pictures" + (" agree with the model" if args.check else ""))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
