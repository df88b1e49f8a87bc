# SPDX-License-Identifier: GPL-2.0-or-later
"""The model calls what Linux 5.10 was recorded calling, in the same order and nesting.

Compiled functions have no Python frames: the graphs are made by a child process on the pure sources, in either mode.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.mm.graphlib import Call, all_names, cut, from_json, lines, recorded_graph, reduced, squeezed, subtrees

ROOT = Path(__file__).parents[3]

#: Recorded functions that the model has not, by the reason.
OMITTED = {
    "system call entry: in syscalls/, or folded into the function that it calls": """do_syscall_64 __x64_sys_mmap
        __x64_sys_munmap __x64_sys_mprotect __x64_sys_brk __x64_sys_mremap __se_sys_munmap __do_sys_munmap __se_sys_mprotect
        __do_sys_mprotect __vm_munmap profile_munmap blocking_notifier_call_chain""",
    "locks": "lock_anon_vma_root unlock_anon_vma_root pmd_lock pud_lock __init_rwsem __mutex_init",
    "memory cgroups": "mem_cgroup_charge mem_cgroup_page_lruvec mem_cgroup_uncharge_list",
    "NUMA policy and statistics": """__get_vma_policy get_vma_policy policy_node policy_nodemask prepare_alloc_pages
        zone_statistics vma_dup_policy shmem_pseudo_vma_init mpol_shared_policy_lookup mpol_shared_policy_init""",
    "huge pages": """PageHuge find_subpage follow_huge_addr pmd_huge pud_huge is_file_shm_hugepages
        hugepage_vma_check khugepaged_enter_vma_merge vma_adjust_trans_huge""",
    "userfaultfd, uprobes, notifiers": """mremap_userfaultfd_prep mremap_userfaultfd_complete
        userfaultfd_unmap_complete userfaultfd_unmap_prep uprobe_mmap uprobe_munmap
        uprobe_start_dup_mmap uprobe_dup_mmap uprobe_end_dup_mmap percpu_down_read dup_userfaultfd dup_userfaultfd_complete
        mmu_notifier_invalidate_range_start""",
    "slab objects are Python objects": """anon_vma_chain_alloc anon_vma_chain_free vm_area_free __alloc_file
        alloc_empty_file alloc_file alloc_file_pseudo alloc_inode shmem_alloc_inode shmem_reserve_inode inode_init_always
        inode_sb_list_add new_inode new_inode_pseudo clear_nlink __d_alloc d_alloc_pseudo
        __d_instantiate d_instantiate d_flags_for_inode d_set_d_op mntget i_uid_write i_gid_write make_kuid make_kgid
        map_id_down map_id_range_down""",
    "file times and mounts": """atime_needs_update
        inode_attach_wb __inode_attach_wb __mnt_want_write __mnt_want_write_file
        __mnt_drop_write_file call_mmap get_align_mask
        get_align_bits""",
    "hooks that do nothing, and what only hardware has": """arch_dup_mmap ldt_dup_context init_new_context init_new_context_ldt
        arch_exit_mmap ldt_arch_exit_mmap switch_ldt track_pfn_copy untrack_pfn try_module_get mmap_init_lock
        preallocate_pmds page_cpupid_xchg_last""",
    "ext4: always delayed allocation, no inline data, no data in the journal": """ext4_nonda_switch ext4_convert_inline_data
        ext4_should_journal_data ext4_inode_journal_mode""",
    "freezing, cgroups of writeback, congestion": """sb_start_pagefault __sb_start_write wb_get_create_current wb_get_create
        task_get_css locked_inode_to_wb_and_lock_list inode_read_congested
        inode_congested""",
    "levels of a walk or of wrapping in one function": """zap_p4d_range change_p4d_range follow_p4d_mask follow_pud_mask
        copy_p4d_range free_p4d_range mm_alloc_pgd _pgd_alloc __pte_free_tlb ___pte_free_tlb __pmd_free_tlb ___pmd_free_tlb
        __pud_free_tlb ___pud_free_tlb tlb_remove_page_size __put_anon_vma anon_vma_free page_remove_file_rmap
        zone_watermark_fast __zone_watermark_ok
        follow_pmd_mask __pte_alloc_one free_pcp_prepare free_unref_page_prepare __tlb_remove_page_size
        tlb_flush tlb_flush_mmu_free tlb_batch_pages_flush may_expand_vm.part.0 move_page_tables.part.0""",
    "the TLB is the processor's": """flush_tlb_batched_pending flush_tlb_func_local flush_tlb_func_common
        flush_tlb_one_user __flush_tlb_one_user flush_tlb_local __flush_tlb_local switch_mm_irqs_off load_new_mm_cr3""",
    "tree rotations: compared by the trees' shapes": """vma_gap_callbacks_rotate vma_interval_tree_augment_rotate
        ____rb_erase_color __anon_vma_interval_tree_augment_rotate
        rb_insert_augmented __rb_insert vma_rb_insert __vma_rb_erase vma_rb_erase_ignore""",
}
#: What these call is out of the model's scope, by the reason. They are called when and where Linux calls them.
LEAVES = {
    "blocks of the disk, and requests to it": "ext4_mpage_readpages ext4_da_get_block_prep",
    "the journal": "ext4_dirty_inode",
    "asks the mapping for AS_UNEVICTABLE, which nothing sets here": "page_evictable",
}
OMITTED_IN = {
    # Asked to know whether the XArray's nodes can hold shadow entries. Reads are done at once: nobody waits for a page.
    "d_file_private_read_cold": {"shmem_mapping"},
    "d_file_private_read_cold_extents": {"shmem_mapping", "finish_wait"},
    "d_file_private_read_marker": {"shmem_mapping", "finish_wait"},
    # KSM is left out. Of vm_stat_account()'s calls all but one were inlined.
    "l_mremap_grow_move": {"ksm_madvise", "vm_stat_account"},
    # Which pages were used how often, and what the pagevecs hold, is that of another program.
    "i_child_exit_mmap": {
        "mark_page_accessed", "activate_page", "free_unref_page_list", "__pagevec_lru_add", "__pagevec_lru_add_fn",
        "__activate_page", "page_evictable", "page_mapping", "add_page_to_lru_list", "del_page_from_lru_list",
        "release_pages", "free_unref_page_commit", "workingset_activation", "workingset_age_nonresident",
        "pagevec_lru_move_fn",
    },
}  # fmt: skip
#: Scenarios of which one function is compared: the rest belongs to the task. The mappings are the recorded program's, their
#: numbers of pages are not.
ROOTS = {"i_fork": "dup_mm", "i_child_exit_mmap": "exit_mmap"}

SCENARIOS = sorted(path.name.removesuffix(".key.txt") for path in (ROOT / "tests/data/5.10/graphs").iterdir())


@pytest.fixture(scope="module")
def graphs() -> dict[str, Call]:
    env = {**os.environ, "MMSCOPE_PURE": "1"}
    command = [sys.executable, "-m", "tests.kernel.mm.graphlib"]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True)
    return {name: from_json(data) for name, data in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def functions() -> set[str]:
    """The names of all functions of the model."""
    sources = (ROOT / "src/mmscope/kernel").rglob("*.py")
    return {name for path in sources for name in re.findall(r"^ *def (\w+)", path.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_calls_are_those_that_linux_was_recorded_making(
    data: Path, graphs: dict[str, Call], functions: set[str], scenario: str
) -> None:
    recorded, names, inlined = recorded_graph((data / f"5.10/graphs/{scenario}.key.txt").read_text())
    model = graphs[scenario]
    leaves = {name for text in LEAVES.values() for name in text.split()}
    names = all_names(cut(recorded, leaves)) - {""}
    cut(model, leaves)
    if scenario in ROOTS:
        (recorded,), (model,) = subtrees(recorded, ROOTS[scenario]), subtrees(model, ROOTS[scenario])
        names = all_names(recorded)
    omitted = {name for text in OMITTED.values() for name in text.split()}
    assert names - functions - omitted == set(), "recorded functions that the model has not"
    names = names - omitted - OMITTED_IN.get(scenario, set())
    want, got = reduced(recorded, names, inlined), reduced(model, names, inlined)
    if scenario in ROOTS:
        want, got = squeezed(want), squeezed(got)
    assert lines(got) == lines(want)


def test_what_is_said_to_be_left_out_is(functions: set[str]) -> None:
    omitted = {name for text in OMITTED.values() for name in text.split()}
    assert omitted & functions == {"rb_insert_augmented", "__rb_insert"}, "those two balance the trees in another order"


#: What of the first six levels under the fault handler the model has not: locks, cgroups, NUMA, huge pages, notifiers.
NOT_AT_THE_TOP = {
    "mem_cgroup_charge", "pud_lock", "pmd_lock", "khugepaged_enter_vma_merge", "hugepage_vma_check", "page_cpupid_xchg_last",
    "mmu_notifier_invalidate_range_start",
}  # fmt: skip


def names_to(call: Call, levels: int) -> set[str]:
    """The names in the first levels under a call."""
    return set().union(*({sub.name} | names_to(sub, levels - 1) for sub in call.calls)) if levels else set()


def test_of_a_faults_first_six_levels_nothing_is_missing(data: Path, functions: set[str]) -> None:
    seen: set[str] = set()
    for scenario in SCENARIOS:
        recorded = recorded_graph((data / f"5.10/graphs/{scenario}.key.txt").read_text())[0]
        for fault in subtrees(recorded, "do_user_addr_fault"):
            seen |= names_to(fault, 6)
    assert {"do_read_fault", "do_cow_fault", "do_shared_fault", "do_wp_page", "wp_page_shared", "do_page_mkwrite"} <= seen
    assert seen - functions == NOT_AT_THE_TOP


def test_every_function_of_the_deck_is_there(functions: set[str]) -> None:
    deck = """ksys_mmap_pgoff vm_mmap_pgoff do_mmap get_unmapped_area thp_get_unmapped_area arch_get_unmapped_area_topdown
        unmapped_area_topdown mmap_region munmap_vma_range find_vma_links vma_merge can_vma_merge_before can_vma_merge_after
        __vma_adjust split_vma vm_area_alloc vma_link __vma_link_list __vma_link_rb __vma_link_file anon_vma_prepare rmap_walk
        mm_populate populate_vma_page_range __get_user_pages faultin_page exc_page_fault do_user_addr_fault expand_stack
        handle_mm_fault __handle_mm_fault handle_pte_fault do_anonymous_page init_zero_pfn shmem_zero_setup shmem_fault
        do_read_fault do_fault_around filemap_map_pages alloc_set_pte __do_fault filemap_fault do_sync_mmap_readahead
        do_async_mmap_readahead find_get_page finish_fault do_cow_fault alloc_page_vma copy_user_highpage do_shared_fault
        do_page_mkwrite fault_dirty_shared_page do_wp_page wp_page_copy cow_user_page maybe_mkwrite page_count wp_page_shared
        dup_mmap copy_page_range copy_pte_range copy_present_pte _install_special_mapping"""
    assert set(deck.split()) - functions == set()


def test_a_recording_is_read_with_its_repetitions_and_unknown_callers() -> None:
    text = "a\n  b  x2\n    c\n  [repeat x2]\n    d\n      e\n    f\n  ?g\n    h\n  ~i\n    j\n"
    recorded, names, inlined = recorded_graph(text)
    assert names == set("abcdefhij")
    assert inlined == {"i"}
    whole = lines(reduced(recorded, names, inlined))
    assert "".join(line.strip() for line in whole) == "abcbcdefdefhij"
    assert lines(reduced(recorded, names - {"d", "j"}, inlined)) == [
        "a", "  b", "    c", "  b", "    c", "  e", "  f", "  e", "  f", "  h",
    ]  # fmt: skip
