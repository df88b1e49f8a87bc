# SPDX-License-Identifier: GPL-2.0-or-later
"""Was a page reclaimed too early? (mm/workingset.c)

The clock nonresident_age counts evictions and activations of file pages. A page that is reclaimed leaves the time as a shadow
entry in its slot of the XArray; when it is read again, the difference tells how many more pages the inactive list would have
needed to keep it. If the active list is at least that long, the page is put there at once.
"""

from __future__ import annotations

from mmscope.kernel.include.page_flags import PG_active, PG_workingset
from mmscope.kernel.mm.vmstat import (
    NR_ZONE_ACTIVE_FILE,
    WORKINGSET_ACTIVATE_FILE,
    WORKINGSET_REFAULT_FILE,
    WORKINGSET_RESTORE_FILE,
    mod_page_state,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import Page

__all__ = ["workingset_activation", "workingset_age_nonresident", "workingset_eviction", "workingset_refault"]


def workingset_age_nonresident(k: Kernel, nr_pages: int) -> None:
    """The clock moves on."""
    k.lru.nonresident_age += nr_pages


def workingset_eviction(page: Page) -> int:
    """The shadow entry of a page that is being reclaimed: the clock, and whether the page was active once."""
    k = page.kernel
    shadow = k.lru.nonresident_age << 1 | (page.flags & PG_workingset != 0)
    workingset_age_nonresident(k, 1)
    return shadow


def workingset_refault(page: Page, shadow: int) -> None:
    """A reclaimed page is back: to the active list, if that would have been short enough a while to wait for it."""
    k = page.kernel
    mod_page_state(k, WORKINGSET_REFAULT_FILE, 1)
    if k.lru.nonresident_age - (shadow >> 1) > k.vmstat.stat[NR_ZONE_ACTIVE_FILE]:
        return
    page.flags |= PG_active
    workingset_age_nonresident(k, 1)
    mod_page_state(k, WORKINGSET_ACTIVATE_FILE, 1)
    if shadow & 1:
        page.flags |= PG_workingset
        mod_page_state(k, WORKINGSET_RESTORE_FILE, 1)


def workingset_activation(page: Page) -> None:
    """A page was used twice: it leaves the inactive list, as if it had been evicted from there."""
    workingset_age_nonresident(page.kernel, 1)
