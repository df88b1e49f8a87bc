# SPDX-License-Identifier: GPL-2.0-or-later
"""High-resolution timers (include/linux/hrtimer.h). Data only: core/hrtimer.py has the functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mmscope.kernel.include.kernel import Kernel


class HrTimer:
    """struct hrtimer: calls `function(k, timer)` when CLOCK_MONOTONIC has reached `expires`."""

    def __init__(self, function: Callable[[Kernel, HrTimer], None], data: object) -> None:
        self.function = function
        self.data = data
        #: Virtual ns.
        self.expires = 0
        #: Stands in Kernel.hrtimers.
        self.queued = False
