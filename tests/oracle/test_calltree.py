# SPDX-License-Identifier: GPL-2.0-or-later
"""oracle/record/calltree.py: the function tracer's lines become a tree."""

from __future__ import annotations

from mmscope.oracle.record.calltree import Hit, call_tree, key_lines, parse_trace

K = 0xFFFFFFFF81000000


def line(function: int, name: str, caller: int, offset: int, caller_name: str) -> str:
    back = caller + offset
    return f"{name}+0x0/0x80 <{function:x}> <-{caller_name}+{offset:#x}/0x800 <{back:x}>"


def test_a_line_gives_both_functions_and_the_return_address() -> None:
    text = "# tracer: function\n" + line(K + 0x1000, "find_vma", K, 0x123, "do_user_addr_fault") + "\nnoise\n"
    assert parse_trace(text) == [Hit("find_vma", K + 0x1000, "do_user_addr_fault", K, K + 0x123)]


def tree(*hits: Hit, frames: dict[int, list[str]] | None = None) -> list[str]:
    return key_lines(call_tree(list(hits), frames or {}))


def hit(function: str, entry: int, caller: str, caller_entry: int, offset: int) -> Hit:
    return Hit(function, K + entry, caller, K + caller_entry, K + caller_entry + offset)


def test_calls_nest_by_their_caller_and_noise_is_left_out() -> None:
    assert tree(
        hit("find_vma", 0x1000, "do_user_addr_fault", 0, 0x10),
        hit("vmacache_find", 0x1800, "find_vma", 0x1000, 0x8),
        hit("handle_mm_fault", 0x2000, "do_user_addr_fault", 0, 0x20),
        hit("_raw_spin_lock", 0x9000, "handle_mm_fault", 0x2000, 0x30),
        hit("vfs_write", 0xA000, "vfs_write", 0xA000, 0x1),
    ) == ["do_user_addr_fault", "  find_vma", "    vmacache_find", "  handle_mm_fault"]


def test_inlined_functions_come_back_and_neighbours_share_them() -> None:
    do_fault = ["handle_pte_fault", "do_fault"]
    frames = {K + 0x2030: do_fault, K + 0x2040: do_fault, K + 0x2050: ["handle_pte_fault"]}
    assert tree(
        hit("handle_mm_fault", 0x2000, "do_user_addr_fault", 0, 0x20),
        hit("filemap_fault", 0x3000, "handle_mm_fault", 0x2000, 0x30),
        hit("finish_fault", 0x4000, "handle_mm_fault", 0x2000, 0x40),
        hit("unlock_page", 0x5000, "handle_mm_fault", 0x2000, 0x50),
        frames=frames,
    ) == [
        "do_user_addr_fault", "  handle_mm_fault", "    ~handle_pte_fault", "      ~do_fault", "        filemap_fault",
        "        finish_fault", "      unlock_page",
    ]  # fmt: skip


def test_a_tail_call_belongs_to_the_function_that_ends_in_it() -> None:
    """Its return address is that of the call before."""
    assert tree(
        hit("kill_anon_super", 0x3000, "do_user_addr_fault", 0, 0x20),
        hit("generic_shutdown", 0x4000, "do_user_addr_fault", 0, 0x20),
    ) == ["do_user_addr_fault", "  kill_anon_super", "    generic_shutdown"]


def test_a_caller_that_was_not_traced_is_marked() -> None:
    assert tree(
        hit("handle_mm_fault", 0x2000, "do_user_addr_fault", 0, 0x20),
        hit("zone_statistics", 0x7000, "xa_load", 0x6000, 0x8),
    ) == ["do_user_addr_fault", "  handle_mm_fault", "    ?xa_load", "      zone_statistics"]


def test_repetitions_are_folded() -> None:
    calls = [("a", 0x10), *[("b", 0x20), ("c", 0x30)] * 3, ("d", 0x40), ("d", 0x40)]
    assert tree(*[hit(name, ord(name[0]) << 8, "do_user_addr_fault", 0, offset) for name, offset in calls]) == [
        "do_user_addr_fault", "  a", "  [repeat x3]", "    b", "    c", "  d  x2",
    ]  # fmt: skip
