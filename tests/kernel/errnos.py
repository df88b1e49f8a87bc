# SPDX-License-Identifier: GPL-2.0-or-later
"""What a call that must fail fails with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmscope.kernel.include.errno import KernelError


def errno_of(function: Callable[..., object], *args: object) -> int:
    """The error number that `function(*args)` raises."""
    with pytest.raises(KernelError) as caught:
        function(*args)
    assert caught.value.errno is not None
    return caught.value.errno
