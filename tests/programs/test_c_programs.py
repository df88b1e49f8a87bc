# SPDX-License-Identifier: GPL-2.0-or-later
"""C programs built three ways print the same bytes and end with the same status on the model as natively."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BUILDS, SOURCES, model, native

Build = Callable[[str, str], str]


@pytest.mark.parametrize("how", BUILDS)
@pytest.mark.parametrize("name", ["heap", "numbers", "faults", "maps", "signals"])
def test_same_as_native(build: Build, name: str, how: str) -> None:
    program = build(name, how)
    assert model([program]) == native([program])


@pytest.mark.parametrize("how", BUILDS)
def test_arguments_and_environment(build: Build, how: str) -> None:
    argv = [build("args", how), "7", "", "two words", "x" * 3000]
    assert model(argv) == native(argv)


@pytest.mark.parametrize("how", BUILDS)
def test_files_and_stdin(build: Build, how: str, tmp_path: Path) -> None:
    text = b"".join(b"line %d of the input\n" % i for i in range(500))
    (tmp_path / "small").write_bytes(b"abc\n" * 5)
    (tmp_path / "large").write_bytes(bytes(i * i % 251 for i in range(300_001)))
    argv = [build("input", how), str(tmp_path / "small"), str(tmp_path / "large"), str(tmp_path / "none")]
    assert model(argv, text) == native(argv, text)


@pytest.mark.parametrize("pages", [1, 1000])
def test_every_touched_page_is_one_minor_fault(build: Build, pages: int) -> None:
    """First writes to fresh anonymous memory. Natively a few more or less may come from libc's own pages in between."""
    argv = [build("touch", "static"), str(pages)]
    on_model, on_host = int(model(argv).stdout), int(native(argv).stdout)
    assert pages <= on_model <= pages + 2
    assert abs(on_model - on_host) <= 2


def test_sources_are_all_used() -> None:
    used = {"heap", "numbers", "faults", "maps", "signals", "args", "input", "touch"}
    assert {path.stem for path in SOURCES.glob("*.c")} == used
