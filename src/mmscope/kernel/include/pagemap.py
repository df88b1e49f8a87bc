# SPDX-License-Identifier: GPL-2.0-or-later
"""The page lock (include/linux/pagemap.h)."""

from __future__ import annotations

from mmscope.kernel.include.errno import KernelBug
from mmscope.kernel.include.page_flags import PG_locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.mm_types import Page

__all__ = ["lock_page", "trylock_page", "unlock_page"]


def trylock_page(page: Page) -> bool:
    """Lock the page unless it is locked."""
    if page.flags & PG_locked:
        return False
    page.flags |= PG_locked
    return True


def lock_page(page: Page) -> None:
    """Lock the page. Nobody sleeps with a page locked (I/O is synchronous), so a locked page is a bug."""
    if page.flags & PG_locked:
        raise KernelBug(f"lock_page: {page!r} is locked already, mapping {page.mapping!r}")
    page.flags |= PG_locked


def unlock_page(page: Page) -> None:
    """Unlock the page."""
    if not page.flags & PG_locked:
        raise KernelBug(f"unlock_page: {page!r} is not locked, mapping {page.mapping!r}")
    page.flags &= ~PG_locked
