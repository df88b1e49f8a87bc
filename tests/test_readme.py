# SPDX-License-Identifier: GPL-2.0-or-later
"""What README.md shows is what happens."""

from __future__ import annotations

import doctest
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_python_session() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried >= 5
    assert failed == 0


def test_the_pages_it_names_exist() -> None:
    text = README.read_text()
    named = [word.strip("`,.") for word in text.split() if word.startswith("`docs/")]
    assert named
    assert [name for name in named if not (README.parent / name).exists()] == []
