# SPDX-License-Identifier: GPL-2.0-or-later
"""Resource limits (uapi/asm-generic/resource.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RLIMIT_CPU: Final = 0
RLIMIT_FSIZE: Final = 1
RLIMIT_DATA: Final = 2
RLIMIT_STACK: Final = 3
RLIMIT_CORE: Final = 4
RLIMIT_RSS: Final = 5
RLIMIT_NPROC: Final = 6
RLIMIT_NOFILE: Final = 7
RLIMIT_MEMLOCK: Final = 8
RLIMIT_AS: Final = 9
RLIMIT_LOCKS: Final = 10
RLIMIT_SIGPENDING: Final = 11
RLIMIT_MSGQUEUE: Final = 12
RLIMIT_NICE: Final = 13
RLIMIT_RTPRIO: Final = 14
RLIMIT_RTTIME: Final = 15
RLIM_NLIMITS: Final = 16

RLIM_INFINITY: Final = 0xFFFFFFFFFFFFFFFF


class Rlimit:
    """struct rlimit, bytes or counts; RLIM_INFINITY = no limit."""

    def __init__(self, cur: int, maximum: int) -> None:
        self.rlim_cur = cur
        self.rlim_max = maximum


def init_rlimits() -> list[Rlimit]:
    """INIT_RLIMITS (asm-generic/resource.h): what init starts with; fork_init() sets RLIMIT_NPROC and RLIMIT_SIGPENDING."""
    inf = RLIM_INFINITY
    pairs = [
        (inf, inf), (inf, inf), (inf, inf), (8 << 20, inf), (0, inf), (inf, inf), (0, 0), (1024, 4096),
        (64 << 10, 64 << 10), (inf, inf), (inf, inf), (0, 0), (819200, 819200), (0, 0), (0, 0), (inf, inf),
    ]  # fmt: skip
    return [Rlimit(cur, maximum) for cur, maximum in pairs]
