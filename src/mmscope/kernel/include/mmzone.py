# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the struct pages are (include/linux/mmzone.h, CONFIG_SPARSEMEM): mem_map, in sections that exist once they are needed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.mm_types import Page

__all__ = ["PAGES_PER_SECTION", "MemMap"]

#: 16 MiB a section (Linux: 128 MiB), so that the struct pages of a small machine do not cost a large table.
PFN_SECTION_SHIFT: Final = 12
PAGES_PER_SECTION: Final = 1 << PFN_SECTION_SHIFT


class MemMap:
    """pfn -> Page, for the frames that have been used: a list a section, as a lookup stands in every loop over page tables."""

    def __init__(self, max_pfn: int) -> None:
        self.max_pfn: i64 = max_pfn
        #: An empty list stands for a section without struct pages; it is never written to.
        self.mem_section: list[list[Page | None]] = [[]] * -(-max_pfn >> PFN_SECTION_SHIFT)
        #: In the order in which they came into being. None ever goes.
        self.pages: list[Page] = []

    def get(self, pfn: i64) -> Page | None:
        """The frame's struct page; None if there is none yet, or `pfn` is not RAM."""
        if pfn < 0 or pfn >= self.max_pfn:
            return None
        section = self.mem_section[pfn >> PFN_SECTION_SHIFT]
        return section[pfn & (PAGES_PER_SECTION - 1)] if section else None

    def __getitem__(self, pfn: i64) -> Page:
        page = self.get(pfn)
        if page is None:
            raise KeyError(pfn)
        return page

    def add(self, page: Page) -> None:
        """The struct page of a frame that has had none. Precondition: the frame is RAM."""
        pfn: i64 = page.pfn
        section = self.mem_section[pfn >> PFN_SECTION_SHIFT]
        if not section:
            section = [None] * PAGES_PER_SECTION
            self.mem_section[pfn >> PFN_SECTION_SHIFT] = section
        section[pfn & (PAGES_PER_SECTION - 1)] = page
        self.pages.append(page)
