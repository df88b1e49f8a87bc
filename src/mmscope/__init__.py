# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's memory mapping as a Python program.

>>> from mmscope import Machine
>>> p = Machine().process()
>>> print(p.maps(), end="")
7ffff7ffa000-7ffff7ffe000 r--p 00000000 00:00 0                          [vvar]
7ffff7ffe000-7ffff7fff000 r-xp 00000000 00:00 0                          [vdso]
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.errors import BusError, Killed, MmscopeError, SegmentationFault, UsageError
    from mmscope.machine import ExitStatus, Machine, Process

__version__ = "0.1.0"
__all__ = ["BusError", "ExitStatus", "Killed", "Machine", "MmscopeError", "Process", "SegmentationFault", "UsageError"]

if os.environ.get("MMSCOPE_PURE"):
    from mmscope._pure import install

    install()


def __getattr__(name: str) -> object:
    """Import what `__all__` promises when it is first asked for: `mmscope --version` needs none of it."""
    if name in ("Machine", "Process", "ExitStatus"):
        import mmscope.machine

        return getattr(mmscope.machine, name)
    if name in __all__:
        import mmscope.errors

        return getattr(mmscope.errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
