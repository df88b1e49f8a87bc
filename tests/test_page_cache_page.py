# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/kernel/page_cache.md: its session runs as printed, and its picture is there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/kernel/page_cache.md"


def test_the_session() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 40
    assert failed == 0


def test_the_picture_exists() -> None:
    names = re.findall(r"!\[[^\]]*\]\(([^ )]+)", PAGE.read_text())
    assert names
    assert [name for name in names if not (PAGE.parent / name).exists()] == []
