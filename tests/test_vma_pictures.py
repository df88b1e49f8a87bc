# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/kernel/vma.md: its session runs as printed, its pictures are what the model gives, and each is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/kernel/vma.md"


def test_pictures_are_up_to_date() -> None:
    # In a process of its own: the script needs the pure kernel.
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/vma_pictures.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_merge_case_shows_the_case_it_names() -> None:
    """What remains of P, X and N afterwards tells the eight cases apart."""
    remains = {1: "P", 2: "PN", 3: "PN", 4: "PN", 5: "PN", 6: "P", 7: "PN", 8: "PN"}
    grown = {1: "P", 2: "P", 3: "N", 4: "N", 5: "P", 6: "P", 7: "P", 8: "N"}
    for case, left in remains.items():
        after = (PAGE.parent / f"img/vma/case-{case}.svg").read_text().split(">after<")[1]
        boxes = re.findall(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)".*\n<text [^>]*>(\w+)</text>', after)
        assert "".join(name for _, name in boxes) == left
        # VMAs of four pages each: the one that took A has eight or more of the twelve.
        widest = max(boxes, key=lambda box: float(box[0]))
        assert widest[1] == grown[case]


def test_every_picture_of_the_page_exists() -> None:
    names = re.findall(r"!\[[^\]]*\]\(([^ )]+)", PAGE.read_text())
    assert len(names) == 19
    assert [name for name in names if not (PAGE.parent / name).exists()] == []
