# SPDX-License-Identifier: GPL-2.0-or-later
"""The ends of C's integer types (include/linux/limits.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

INT_MAX: Final = 0x7FFFFFFF
LLONG_MAX: Final = 0x7FFFFFFFFFFFFFFF
ULONG_MAX: Final = 0xFFFFFFFFFFFFFFFF
