# SPDX-License-Identifier: GPL-2.0-or-later
"""Random numbers (drivers/char/random.c): deterministic here, a xorshift64* generator over `Kernel.random_state`.

The same seed gives the same machine, byte for byte; nothing in the model asks the host for entropy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel


def get_random_long(k: Kernel) -> int:
    """64 random bits."""
    x = k.random_state
    x ^= x >> 12
    x = (x ^ (x << 25)) & 0xFFFFFFFFFFFFFFFF
    x ^= x >> 27
    k.random_state = x
    return (x * 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF


def get_random_int(k: Kernel) -> int:
    """32 random bits."""
    return get_random_long(k) >> 32


def get_random_bytes(k: Kernel, n: int) -> bytes:
    """`n` random bytes."""
    words = [get_random_long(k).to_bytes(8, "little") for _ in range((n + 7) // 8)]
    return b"".join(words)[:n]
