# SPDX-License-Identifier: GPL-2.0-or-later
"""`mmscope skipped` prints the whole table, for people and for machines."""

from __future__ import annotations

import json

import pytest

from mmscope.cli.main import dispatch
from mmscope.errors import UsageError
from mmscope.skipped import SKIPPED


def test_every_row_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["skipped"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(SKIPPED)
    for line, (what, instead) in zip(lines, SKIPPED, strict=True):
        assert line.startswith(what)
        assert line.endswith(instead)


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["skipped", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [(row["what"], row["instead"]) for row in rows] == list(SKIPPED)


def test_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="skipped"):
        dispatch(["skipped", "all"])
