# SPDX-License-Identifier: GPL-2.0-or-later
"""include/mmzone.py: struct pages by pfn, in sections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmscope.kernel.include.mm_types import Page
from mmscope.kernel.include.mmzone import PAGES_PER_SECTION, MemMap
from tests.kernel.bare import bare_kernel

MAX_PFN = 2 * PAGES_PER_SECTION + 5


@given(st.sets(st.integers(0, MAX_PFN - 1)), st.integers(-3, 4 * PAGES_PER_SECTION))
def test_a_page_is_found_by_its_pfn_and_by_no_other(pfns: set[int], other: int) -> None:
    k = bare_kernel()
    mem_map = MemMap(MAX_PFN)
    pages = [Page(k, pfn) for pfn in pfns]
    for page in pages:
        mem_map.add(page)
    assert mem_map.pages == pages
    for page in pages:
        assert mem_map[page.pfn] is page
        assert mem_map.get(page.pfn) is page
    if other not in pfns:
        assert mem_map.get(other) is None
        with pytest.raises(KeyError):
            mem_map[other]


def test_sections_come_with_their_first_page() -> None:
    k = bare_kernel()
    mem_map = MemMap(MAX_PFN)
    mem_map.add(Page(k, PAGES_PER_SECTION))
    assert [len(section) for section in mem_map.mem_section] == [0, PAGES_PER_SECTION, 0]
