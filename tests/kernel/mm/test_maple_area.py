# SPDX-License-Identifier: GPL-2.0-or-later
"""The search for free space since v6.4: the tree must give what a walk over all VMAs gives."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope import Machine
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.mm.maple_area import (
    empty_area_by_list,
    empty_area_rev_by_list,
    lone_stack,
    mas_empty_area,
    mas_empty_area_rev,
)

PAGE = 4096
BASE = 0x10000000
#: mmap() flags: PRIVATE|ANONYMOUS|FIXED, the same with GROWSDOWN.
PLAIN, GROWS = 0x32, 0x132

pages = st.integers(0, 60)
vmas = st.lists(st.tuples(pages, st.integers(1, 8), st.sampled_from([0, 1, 3])), max_size=25)
searches = st.lists(st.tuples(pages, st.integers(0, 80), st.integers(1, 30)), min_size=1, max_size=10)


def compare(layout: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]], flags: list[int]) -> bool:
    """Whether there was one stack only."""
    p = Machine(ram="16M", root=None, version=(6, 18)).process()
    mm = p.mm
    stack = p.mm.start_stack & -PAGE
    for i, (at, length, prot) in enumerate(layout):
        with contextlib.suppress(KernelError):
            p.mmap(BASE + at * PAGE, length * PAGE, prot, flags[i % len(flags)])
    for at, span, length in wanted:
        # Among the mappings, below the stack, and above everything.
        for low in (BASE + at * PAGE, stack - (span + 40) * PAGE, stack + (at - 30) * PAGE):
            high = low + span * PAGE
            want, size = (low, high), length * PAGE
            if span >= length:
                assert mas_empty_area(mm, *want, size) == empty_area_by_list(mm, *want, size)
                assert mas_empty_area_rev(mm, *want, size) == empty_area_rev_by_list(mm, *want, size)
            else:
                assert mas_empty_area(mm, *want, size) == mas_empty_area_rev(mm, *want, size) == -1
    return lone_stack(mm)[0]


@settings(max_examples=150, deadline=None)
@given(vmas, searches)
def test_one_stack(layout: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]]) -> None:
    assert compare(layout, wanted, [PLAIN])


@settings(max_examples=100, deadline=None)
@given(vmas, searches)
def test_many_stacks(layout: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]]) -> None:
    # The first one is out of the others' way.
    assert not compare([(500, 1, 3), *layout], wanted, [GROWS, PLAIN])
