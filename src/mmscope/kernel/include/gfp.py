# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocation flags (include/linux/gfp.h) as far as the model tells them apart."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

___GFP_HIGHMEM: Final = 0x02
___GFP_MOVABLE: Final = 0x08
___GFP_IO: Final = 0x40
___GFP_FS: Final = 0x80
___GFP_ZERO: Final = 0x100
___GFP_DIRECT_RECLAIM: Final = 0x400
___GFP_KSWAPD_RECLAIM: Final = 0x800
___GFP_WRITE: Final = 0x1000
___GFP_NOWARN: Final = 0x2000
___GFP_NORETRY: Final = 0x10000
___GFP_ACCOUNT: Final = 0x400000
___GFP_HARDWALL: Final = 0x100000

__GFP_ZERO: Final = ___GFP_ZERO
__GFP_MOVABLE: Final = ___GFP_MOVABLE
__GFP_WRITE: Final = ___GFP_WRITE
__GFP_NOWARN: Final = ___GFP_NOWARN
GFP_NOWAIT: Final = ___GFP_KSWAPD_RECLAIM
GFP_KERNEL: Final = 0xCC0
GFP_KERNEL_ACCOUNT: Final = GFP_KERNEL | ___GFP_ACCOUNT
GFP_USER: Final = GFP_KERNEL | ___GFP_HARDWALL
GFP_HIGHUSER: Final = GFP_USER | ___GFP_HIGHMEM
GFP_HIGHUSER_MOVABLE: Final = GFP_HIGHUSER | ___GFP_MOVABLE
GFP_PGTABLE_USER: Final = GFP_KERNEL_ACCOUNT | __GFP_ZERO
