# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests share: which kernel is under test, and the host's tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
    """The path of a host program that a test needs. Without it the test is skipped, except in CI, where it fails."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            message = f"{name} is not installed (.ci/run names the package)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find


@pytest.fixture(scope="session")
def data() -> Path:
    """tests/data: recorded ground truth."""
    return Path(__file__).parent / "data"
