# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the host that tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def find_tool(name: str) -> str:
    """The path of a host program. Without it the test is skipped, except in CI, where it fails."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed (.ci/run names the package)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
