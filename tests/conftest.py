# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: which kernel is under test, and the host's tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.hosttool import find_tool

settings.register_profile(
    "mmscope", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mmscope")


def pytest_report_header() -> str:
    """Say whether the kernel under test is compiled or pure."""
    import mmscope.kernel.mm.memory as memory

    return "mmscope.kernel: " + ("pure Python" if str(memory.__file__).endswith(".py") else "compiled by mypyc")


@pytest.fixture(scope="session")
def host_tool() -> Callable[[str], str]:
    """find_tool() as a fixture."""
    return find_tool


@pytest.fixture(scope="session")
def data() -> Path:
    """tests/data: recorded ground truth."""
    return Path(__file__).parent / "data"
