# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/oom_kill.py: whom it chooses, whom it spares, and what the victim may still do. Choices seen on 5.10 (programs/c/oom.c)."""

from __future__ import annotations

import pytest

from mmscope.kernel.arch.x86.uaccess import put_user
from mmscope.kernel.core.exit import do_group_exit
from mmscope.kernel.core.sched import yield_task
from mmscope.kernel.include.errno import KernelPanic
from mmscope.kernel.include.gfp import ___GFP_NORETRY, GFP_HIGHUSER, GFP_NOWAIT
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mm import MM_ANONPAGES
from mmscope.kernel.include.mm_types import MMF_OOM_SKIP, MMF_UNSTABLE, Page
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from mmscope.kernel.include.sched import CLONE_VM
from mmscope.kernel.include.signal import SIGKILL
from mmscope.kernel.mm.memory import sync_mm_rss
from mmscope.kernel.mm.memory_rss import get_mm_counter
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff
from mmscope.kernel.mm.oom_kill import LONG_MIN, oom_badness, out_of_memory, select_bad_process, tsk_is_oom_victim
from mmscope.kernel.mm.page_alloc import alloc_page, put_page, totalram_pages

from ..core.boot import boot_process
from ..core.tasks import Tasks
from ..core.test_sched import wait_all


def touch(k: Kernel, pages: int, flags: int = MAP_PRIVATE) -> int:
    addr = ksys_mmap_pgoff(k, 0, pages << 12, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0)
    for i in range(pages):
        put_user(k, addr + (i << 12), 1, 1)
    return addr


def sleeper(k: Kernel, pages: int, adj: int = 0, flags: int = MAP_PRIVATE) -> int:
    """A child's program: use so much, then wait for somebody else's turn for ever."""
    k.current.signal.oom_score_adj = adj
    touch(k, pages, flags)
    while not k.current.signal.group_exit:
        yield_task(k)
    do_group_exit(k, SIGKILL)
    return 0


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        ([(300, 0), (400, 0), (200, 0)], 1),
        ([(300, 0), (400, -1000), (200, 0)], 0),
        ([(300, 0), (400, 0), (5, 1000)], 2),
        ([(50, 0), (50, 0)], 1),  # the younger one of equals
        ([(300, -1000), (400, -1000)], None),
    ],
)
def test_the_worst_is_chosen(children: list[tuple[int, int]], expected: int | None) -> None:
    k = boot_process()
    tasks = Tasks(k)

    def main() -> int:
        k.current.signal.oom_score_adj = -1000
        made = [tasks.fork(lambda n=n, adj=adj: sleeper(k, n, adj)) for n, adj in children]  # type: ignore[misc]
        yield_task(k)
        chosen, waiting = select_bad_process(k)
        assert not waiting
        assert chosen is (None if expected is None else made[expected])
        if chosen is None:
            with pytest.raises(KernelPanic):
                out_of_memory(k, GFP_HIGHUSER, 0)
            for p in made:
                p.signal.oom_score_adj = 0
        assert out_of_memory(k, GFP_HIGHUSER, 0)
        victims = [p for p in made if tsk_is_oom_victim(p)]
        assert len(victims) == 1
        mm = victims[0].mm
        assert mm is not None
        assert mm.flags == MMF_OOM_SKIP | MMF_UNSTABLE
        assert get_mm_counter(mm, MM_ANONPAGES) == 0
        # The next one is somebody else: this one's memory is free already.
        assert not tsk_is_oom_victim(select_bad_process(k)[0] or k.current)
        for p in made:
            p.signal.oom_score_adj = 0
        while out_of_memory(k, GFP_HIGHUSER, 0) and not all(tsk_is_oom_victim(p) for p in made):
            pass
        assert [status for _, status in wait_all(k)] == [SIGKILL] * len(made)
        return 0

    assert tasks.run(main).exit_code == 0


def test_badness() -> None:
    k = boot_process()
    total = totalram_pages(k)
    current = k.current
    mm = current.mm
    assert mm is not None
    before = oom_badness(current, total)
    touch(k, 100)
    sync_mm_rss(mm)
    assert before + 100 <= oom_badness(current, total) <= before + 106
    now = oom_badness(current, total)
    current.signal.oom_score_adj = 500
    assert oom_badness(current, total) == now + 500 * (total // 1000)
    current.signal.oom_score_adj = -1000
    assert oom_badness(current, total) == LONG_MIN
    init = k.child_reaper
    assert init is not None
    assert oom_badness(init, total) == LONG_MIN


def take_all(k: Kernel, gfp: int) -> list[Page]:
    pages = []
    while (page := alloc_page(k, gfp)) is not None:
        pages.append(page)
    return pages


def test_the_victim_that_is_current_gets_half_of_the_reserve() -> None:
    k = boot_process()
    pages = take_all(k, GFP_HIGHUSER | ___GFP_NORETRY)
    assert not tsk_is_oom_victim(k.current)
    assert k.zone.nr_free == k.zone.watermark_min
    assert alloc_page(k, GFP_NOWAIT) is None
    more = take_all(k, GFP_HIGHUSER)
    assert tsk_is_oom_victim(k.current)
    assert k.current.tif_memdie
    assert k.zone.nr_free == k.zone.watermark_min - k.zone.watermark_min // 2
    mm = k.current.mm
    assert mm is not None
    assert not mm.flags & MMF_UNSTABLE
    assert k.current.signal.group_exit
    texts = [text for _, text in k.log]
    assert sum("Out of memory: Killed process" in text for text in texts) == 1
    for page in pages + more:
        put_page(page)


def test_another_ones_memory_is_free_at_once() -> None:
    """The allocation goes on though the victim has not run."""
    k = boot_process()
    tasks = Tasks(k)

    def main() -> int:
        victim = tasks.fork(lambda: sleeper(k, 300))
        yield_task(k)
        pages = take_all(k, GFP_HIGHUSER | ___GFP_NORETRY)
        for _ in range(250):
            page = alloc_page(k, GFP_HIGHUSER)
            assert page is not None
            pages.append(page)
        assert tsk_is_oom_victim(victim)
        assert not victim.exit_state
        assert not tsk_is_oom_victim(k.current)
        for page in pages:
            put_page(page)
        assert [status for _, status in wait_all(k)] == [SIGKILL]
        return 0

    assert tasks.run(main).exit_code == 0


def test_all_who_share_the_memory_die() -> None:
    k = boot_process()
    tasks = Tasks(k)

    def main() -> int:
        k.current.signal.oom_score_adj = -1000

        def first() -> int:
            tasks.fork(lambda: sleeper(k, 1, -1000), CLONE_VM)
            return sleeper(k, 300)

        tasks.fork(first)
        other = tasks.fork(lambda: sleeper(k, 100))
        yield_task(k)
        yield_task(k)
        out_of_memory(k, GFP_HIGHUSER, 0)
        assert not other.signal.group_exit
        assert sum(task.signal.group_exit for task in k.tasks.values()) == 2
        out_of_memory(k, GFP_HIGHUSER, 0)
        assert other.signal.group_exit
        wait_all(k)
        return 0

    assert tasks.run(main).exit_code == 0


def test_what_is_shared_is_not_reaped() -> None:
    k = boot_process()
    tasks = Tasks(k)

    def main() -> int:
        k.current.signal.oom_score_adj = -1000
        victim = tasks.fork(lambda: sleeper(k, 40, flags=MAP_SHARED))
        yield_task(k)
        mm = victim.mm
        assert mm is not None
        rss = sum(mm.rss_stat) + sum(victim.rss_stat)
        out_of_memory(k, GFP_HIGHUSER, 0)
        assert sum(mm.rss_stat) + sum(victim.rss_stat) >= 40
        assert sum(mm.rss_stat) + sum(victim.rss_stat) < rss
        wait_all(k)
        return 0

    assert tasks.run(main).exit_code == 0
