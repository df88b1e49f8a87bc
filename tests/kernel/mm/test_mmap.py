# SPDX-License-Identifier: GPL-2.0-or-later
"""mm/mmap: the deck's address space, placement, merging, limits, and random operations against a plain page map."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.mmap import arch_pick_mmap_layout
from mmscope.kernel.arch.x86.uaccess import copy_to_user
from mmscope.kernel.core.timekeeping import timekeeping_init
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mm import VM_ACCOUNT, VM_GROWSDOWN, VM_LOCKED, VM_SHARED, VM_SOFTDIRTY, VM_STACK_FLAGS, VM_WRITE
from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmSpecialMapping
from mmscope.kernel.include.mman import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.resource import RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK
from mmscope.kernel.include.sched import ADDR_COMPAT_LAYOUT, PF_RANDOMIZE, Cred, TaskStruct
from mmscope.kernel.mm.mlock import do_mlock, do_munlock
from mmscope.kernel.mm.mmap import (
    _install_special_mapping,
    do_brk,
    do_munmap,
    exit_mmap,
    expand_stack,
    find_extend_vma,
    find_vma,
    find_vma_prev,
    insert_vm_struct,
    ksys_mmap_pgoff,
    vm_area_alloc,
    vm_get_page_prot,
    vm_stat_account,
)
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from tests.kernel.bare import bare_kernel, bare_mm

RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096


class Box:
    """The deck's process: bss and heap up to 0x4e8000, vvar, vdso and stack; no file system."""

    def __init__(self, uid: int = 0) -> None:
        self.k = k = bare_kernel(64 << 20)
        timekeeping_init(k)
        self.task = TaskStruct(k, 1, "deck")
        self.task.cred = Cred(uid, uid)
        k.current = self.task
        self.mm: MmStruct = bare_mm(k)
        self.task.mm = self.task.active_mm = self.mm
        arch_pick_mmap_layout(self.mm, self.task.signal.rlim[RLIMIT_STACK], self.task)
        self.mm.start_brk = self.mm.brk = 0x4C5000
        assert do_brk(k, 0x4E8000) == 0x4E8000
        _install_special_mapping(self.mm, 0x7FFFF7FFA000, 0x4000, 0x1 | 0x10 | 0x4400, VmSpecialMapping("[vvar]", []))
        _install_special_mapping(self.mm, 0x7FFFF7FFE000, 0x1000, 0x75, VmSpecialMapping("[vdso]", []))
        stack = vm_area_alloc(self.mm)
        stack.vm_start, stack.vm_end, stack.vm_flags = 0x7FFFFFFDE000, 0x7FFFFFFFF000, VM_STACK_FLAGS
        stack.vm_page_prot = vm_get_page_prot(stack.vm_flags)
        insert_vm_struct(self.mm, stack)
        vm_stat_account(self.mm, stack.vm_flags, 0x21)

    def mmap(self, len: int = PAGE, prot: int = RW, flags: int = ANON, addr: int = 0) -> int:
        return ksys_mmap_pgoff(self.k, addr, len, prot, flags, -1, 0)

    def vma(self, addr: int) -> VmAreaStruct:
        vma = find_vma(self.mm, addr)
        assert vma is not None
        assert vma.vm_start <= addr
        return vma

    def list(self) -> list[tuple[int, int]]:
        areas, vma = [], self.mm.mmap
        while vma is not None:
            areas.append((vma.vm_start, vma.vm_end))
            vma = vma.vm_next
        return areas


def fails(code: int, call: Callable[..., object], *args: object, **kwargs: object) -> None:
    with pytest.raises(KernelError) as e:
        call(*args, **kwargs)
    assert errno.errorcode[e.value.args[0]] == errno.errorcode[code]


# ---- the deck


def test_subtree_gaps_of_the_deck() -> None:
    box = Box()
    stack, vvar = box.vma(0x7FFFFFFDE000), box.vma(0x7FFFF7FFA000)
    assert stack.rb_subtree_gap == 0x7EDF000
    assert vvar.rb_subtree_gap == 0x7FFFF7FFA000 - 0x4E8000 == 0x7FFFF7B12000


def test_one_page_lands_below_the_vvar() -> None:
    box = Box()
    seen: list[tuple[int, ...]] = []
    box.k.tp.attach("vm_unmapped_area", lambda mm, *args: seen.append(args))
    assert box.mmap() == 0x7FFFF7FF9000
    assert seen == [(0x7FFFF7FF9000, 1, PAGE, PAGE, 0x7FFFF7FFF000)]


def test_bottom_up_starts_at_a_third_of_the_address_space() -> None:
    box = Box()
    box.task.personality = ADDR_COMPAT_LAYOUT
    arch_pick_mmap_layout(box.mm, box.task.signal.rlim[RLIMIT_STACK], box.task)
    assert box.mm.mmap_legacy_base == 0x2AAAAAAAA000 + 0x1000
    assert box.mmap() == 0x2AAAAAAAB000
    assert box.mmap(2 * PAGE, PROT_READ) == 0x2AAAAAAAC000


def test_a_full_top_falls_back_to_bottom_up() -> None:
    box = Box()
    box.mmap(0x7FFFF7FFA000 - 0x4E8000, PROT_NONE)
    box.mmap(0x400000 - 0x1000 + 0xC4000, PROT_NONE, ANON | MAP_FIXED, 0x1000)
    assert box.mmap(0x1000000, PROT_READ) == 0x7FFFF7FFF000


def test_mmap_base_leaves_room_for_the_stack() -> None:
    box = Box()
    big = 0x7FFFFFFFF000 - (1 << 30) - (1 << 20)
    for limit, base in ((8 << 20, 0x7FFFF7FFF000), (1 << 30, big), (2**64 - 1, 0x155555556000)):
        box.task.signal.rlim[RLIMIT_STACK].rlim_cur = limit
        arch_pick_mmap_layout(box.mm, box.task.signal.rlim[RLIMIT_STACK], box.task)
        assert box.mm.mmap_base == base


def test_randomised_layout_is_within_its_bits_and_repeatable() -> None:
    bases = []
    for _ in range(2):
        box = Box()
        box.task.flags |= PF_RANDOMIZE
        arch_pick_mmap_layout(box.mm, box.task.signal.rlim[RLIMIT_STACK], box.task)
        bases.append(box.mm.mmap_base)
    top = 0x7FFFFFFFF000 - (0x3FFFFF << 12) - (9 << 20)
    assert bases[0] == bases[1]
    assert top - (1 << 40) < bases[0] <= top


def test_map_32bit_is_in_the_second_gigabyte() -> None:
    assert Box().mmap(flags=ANON | MAP_32BIT) == 0x40000000


# ---- hints and refusals


def test_hints() -> None:
    box = Box()
    assert box.mmap(addr=0x10000123) == 0x10000000
    assert box.mmap(addr=0x10000000) == 0x7FFFF7FF9000
    assert box.mmap(addr=0x7000, prot=PROT_READ) == 0x10000
    # The guard gap belongs to the stack.
    assert box.mmap(addr=0x7FFFFFFDE000 - (256 + 1) * PAGE) == 0x7FFFFFFDE000 - (256 + 1) * PAGE
    assert box.mmap(addr=0x7FFFFFFDE000 - 256 * PAGE) == 0x7FFFF7FF8000


def test_errors_in_the_kernels_order() -> None:
    box = Box(1000)
    fails(errno.EINVAL, box.mmap, 0)
    fails(errno.ENOMEM, box.mmap, 2**64 - 1)
    fails(errno.ENOMEM, box.mmap, 1 << 47)
    fails(errno.EINVAL, box.mmap, addr=0x10000001, flags=ANON | MAP_FIXED)
    fails(errno.EPERM, box.mmap, addr=0, flags=ANON | MAP_FIXED)
    fails(errno.EEXIST, box.mmap, addr=0x4E7000, flags=ANON | MAP_FIXED_NOREPLACE)
    fails(errno.EINVAL, box.mmap, flags=MAP_ANONYMOUS)
    fails(errno.EINVAL, box.mmap, flags=MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN)
    fails(errno.ENOMEM, box.mmap, flags=ANON | MAP_HUGETLB)
    fails(errno.ENOMEM, box.mmap, 65 << 20)
    assert box.mmap(65 << 20, flags=ANON | MAP_NORESERVE) == 0x7FFFF7FFA000 - (65 << 20)
    fails(errno.EAGAIN, box.mmap, 17 * PAGE, flags=ANON | MAP_LOCKED)
    box.task.signal.rlim[RLIMIT_MEMLOCK].rlim_cur = 0
    fails(errno.EPERM, box.mmap, flags=ANON | MAP_LOCKED)
    assert Box(0).mmap(addr=0, flags=ANON | MAP_FIXED) == 0


def test_limits() -> None:
    box = Box()
    box.task.signal.rlim[RLIMIT_AS].rlim_cur = (box.mm.total_vm + 2) << 12
    fails(errno.ENOMEM, box.mmap, 3 * PAGE)
    box.mmap(2 * PAGE)
    # What a fixed mapping replaces is not counted twice.
    box.mmap(2 * PAGE, PROT_READ, ANON | MAP_FIXED, 0x7FFFF7FF8000)
    box.task.signal.rlim[RLIMIT_AS].rlim_cur = 2**64 - 1
    box.task.signal.rlim[RLIMIT_DATA].rlim_cur = box.mm.data_vm << 12
    fails(errno.ENOMEM, box.mmap, PAGE)
    fails(errno.ENOMEM, do_mprotect_pkey, box.k, 0x7FFFF7FF8000, PAGE, RW)
    assert do_brk(box.k, 0x4E9000) == 0x4E8000
    box.k.config.sysctl_max_map_count = box.mm.map_count - 1
    fails(errno.ENOMEM, box.mmap, PAGE, PROT_READ)
    fails(errno.ENOMEM, do_mprotect_pkey, box.k, 0x4C6000, PAGE, PROT_READ)
    fails(errno.ENOMEM, do_munmap, box.mm, 0x4C6000, PAGE)
    do_munmap(box.mm, 0x4C5000, PAGE)


def test_overcommit_never_counts_commitments() -> None:
    box = Box()
    box.k.config.sysctl_overcommit_memory = 2
    fails(errno.ENOMEM, box.mmap, 32 << 20, flags=ANON | MAP_NORESERVE)
    before = box.k.vm_committed_as
    addr = box.mmap(PAGE)
    assert box.k.vm_committed_as == before + 1
    do_mprotect_pkey(box.k, addr, PAGE, PROT_READ)
    assert box.vma(addr).vm_flags & VM_ACCOUNT
    do_munmap(box.mm, addr, PAGE)
    assert box.k.vm_committed_as == before


# ---- vma_merge: P, N and X as in its docstring; case 0 = no merge

CASES = [
    # (pages and their protection before), (mprotect start, end) or None for mmap, areas after
    ("R.R", None, [(0, 3)]),  # 1: fills the gap
    ("R.W", None, [(0, 2), (2, 3)]),  # 2
    ("W.R", None, [(0, 1), (1, 3)]),  # 3
    ("WWRR", (1, 2), [(0, 1), (1, 4)]),  # 4: border down
    ("RRWW", (2, 3), [(0, 3), (3, 4)]),  # 5: border up
    ("RRWWRR", (2, 4), [(0, 6)]),  # 6
    ("RRWW", (2, 4), [(0, 4)]),  # 7
    ("WWRR", (0, 2), [(0, 4)]),  # 8
]


@pytest.mark.parametrize(("before", "change", "after"), CASES)
def test_the_eight_cases_of_vma_merge(before: str, change: tuple[int, int] | None, after: list[tuple[int, int]]) -> None:
    box = Box()
    base = 0x20000000
    for i, prot in enumerate(before):
        if prot != ".":
            box.mmap(PAGE, RW if prot == "W" else PROT_READ, ANON | MAP_FIXED, base + i * PAGE)
    # Whether private memory was ever writable shows in VM_ACCOUNT: make it equal.
    vma = box.mm.mmap
    while vma is not None:
        vma.vm_flags |= VM_ACCOUNT
        vma = vma.vm_next
    if change is None:
        box.k.config.sysctl_overcommit_memory = 1
        box.mmap(PAGE, RW, ANON | MAP_FIXED, base + PAGE)
        do_mprotect_pkey(box.k, base + PAGE, PAGE, PROT_READ)
    else:
        do_mprotect_pkey(box.k, base + change[0] * PAGE, (change[1] - change[0]) * PAGE, PROT_READ)
    got = [(start, end) for start, end in box.list() if base <= start < base + (1 << 20)]
    assert got == [(base + a * PAGE, base + b * PAGE) for a, b in after]


def test_brk_grows_shrinks_and_refuses() -> None:
    box = Box()
    assert do_brk(box.k, 0x4E8123) == 0x4E8123
    assert box.vma(0x4E8000).vm_end == 0x4E9000
    assert do_brk(box.k, 0x4C5000) == 0x4C5000
    assert box.list()[0][0] == 0x7FFFF7FFA000
    assert do_brk(box.k, 0x4C4FFF) == 0x4C5000
    box.mmap(PAGE, RW, ANON | MAP_FIXED, 0x4D0000)
    # One page stays free below the next mapping.
    assert do_brk(box.k, 0x4CF001) == 0x4C5000
    assert do_brk(box.k, 0x4CF000) == 0x4CF000
    assert do_brk(box.k, 2**64 - 1) == 0x4CF000


def test_a_stack_grows_to_its_limit_and_keeps_the_guard_gap() -> None:
    box = Box()
    stack = box.vma(0x7FFFFFFDE000)
    expand_stack(stack, 0x7FFFFFFD0123)
    assert stack.vm_start == 0x7FFFFFFD0000
    assert stack.vm_pgoff == 0x7FFFFFFD0
    assert box.mm.stack_vm == 0x2F
    fails(errno.ENOMEM, expand_stack, stack, 0x7FFFFFFFF000 - (8 << 20) - PAGE)
    box.mmap(PAGE, PROT_READ, ANON | MAP_FIXED, 0x7FFFFFE00000)
    fails(errno.ENOMEM, expand_stack, stack, 0x7FFFFFE00000 + PAGE * 256)
    expand_stack(stack, 0x7FFFFFE00000 + PAGE * 257)
    do_mprotect_pkey(box.k, 0x7FFFFFE00000, PAGE, PROT_NONE)
    expand_stack(stack, 0x7FFFFFE00000 + PAGE)
    assert find_extend_vma(box.mm, 0x4000) is None
    assert find_vma_prev(box.mm, 2**64 - 1) == (None, stack)


def test_mremap() -> None:
    box = Box()
    addr = box.mmap(2 * PAGE)
    box.mm.locked_vm = 0
    fails(errno.EFAULT, do_mremap, box.k, 0x30000000, PAGE, 2 * PAGE, 0, 0)
    fails(errno.EINVAL, do_mremap, box.k, addr, PAGE, 0, 0, 0)
    fails(errno.EINVAL, do_mremap, box.k, addr, PAGE, PAGE, MREMAP_FIXED, 0)
    fails(errno.EINVAL, do_mremap, box.k, addr, 0, PAGE, MREMAP_MAYMOVE, 0)
    fails(errno.EINVAL, do_mremap, box.k, addr, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, addr + PAGE)
    fails(errno.ENOMEM, do_mremap, box.k, addr, 2 * PAGE, 3 * PAGE, 0, 0)
    assert do_mremap(box.k, addr, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE, 0) == 0x7FFFF7FF5000
    assert do_mremap(box.k, 0x7FFFF7FF5000, 3 * PAGE, 5 * PAGE, 0, 0) == 0x7FFFF7FF5000
    assert do_mremap(box.k, 0x7FFFF7FF5000, 5 * PAGE, PAGE, 0, 0) == 0x7FFFF7FF5000
    assert box.vma(0x7FFFF7FF5000).vm_end == 0x7FFFF7FF6000
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert do_mremap(box.k, 0x7FFFF7FF5000, PAGE, PAGE, fixed, 0x20000000) == 0x20000000
    assert do_mremap(box.k, 0x20000000, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0) == 0x7FFFF7FF9000
    assert box.vma(0x20000000).vm_end == 0x20001000
    # A special mapping is neither resized nor cut.
    fails(errno.EFAULT, do_mremap, box.k, 0x7FFFF7FFE000, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0)
    fails(errno.EINVAL, do_munmap, box.mm, 0x7FFFF7FFA000, PAGE)


def test_mprotect_refusals() -> None:
    box = Box()
    addr = box.mmap(2 * PAGE)
    fails(errno.EINVAL, do_mprotect_pkey, box.k, addr + 1, PAGE, RW)
    fails(errno.EINVAL, do_mprotect_pkey, box.k, addr, PAGE, 0x100)
    fails(errno.ENOMEM, do_mprotect_pkey, box.k, addr, 2**64 - PAGE, RW)
    fails(errno.ENOMEM, do_mprotect_pkey, box.k, addr - PAGE, 2 * PAGE, PROT_READ)
    fails(errno.EACCES, do_mprotect_pkey, box.k, 0x7FFFF7FFA000, PAGE, PROT_WRITE)
    # What comes before the hole is changed all the same.
    do_munmap(box.mm, addr + PAGE, PAGE)
    fails(errno.ENOMEM, do_mprotect_pkey, box.k, addr, 2 * PAGE, PROT_READ)
    assert not box.vma(addr).vm_flags & VM_WRITE
    # PROT_GROWSDOWN reaches down to the start of the stack.
    do_mprotect_pkey(box.k, 0x7FFFFFFFE000, PAGE, RW | 4 | 0x01000000)
    assert box.vma(0x7FFFFFFDE000).vm_flags & (VM_GROWSDOWN | 4) == VM_GROWSDOWN | 4
    fails(errno.EINVAL, do_mprotect_pkey, box.k, addr, PAGE, PROT_READ | 0x01000000)


def test_mlock_splits_counts_and_merges_again() -> None:
    box = Box()
    addr = box.mmap(4 * PAGE)
    # Without it the parts would not merge again: one with an anon_vma, the other never touched (until v6.16).
    copy_to_user(box.k, addr, b"x")
    do_mlock(box.k, addr + PAGE + 5, PAGE, VM_LOCKED)
    assert box.mm.locked_vm == 2
    assert box.mm.rss_stat[1] + box.task.rss_stat[1] >= 2
    assert [box.vma(addr + i * PAGE).vm_flags & VM_LOCKED != 0 for i in range(4)] == [False, True, True, False]
    do_munlock(box.k, addr, 4 * PAGE)
    assert box.mm.locked_vm == 0
    assert box.vma(addr).vm_end == addr + 4 * PAGE
    assert box.vma(addr).vm_flags & VM_SOFTDIRTY


def test_shared_anonymous_memory_is_a_file() -> None:
    box = Box()
    addr = box.mmap(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS)
    vma = box.vma(addr)
    assert vma.vm_file is not None
    assert vma.vm_flags & VM_SHARED
    assert vma.vm_file.f_mapping.i_mmap_writable == 1
    do_munmap(box.mm, addr, PAGE)
    assert vma.vm_file.f_mapping.i_mmap_writable == 1


# ---- random operations against a map from page to protection

BASE = 0x20000000
OPS = st.tuples(
    st.sampled_from(["mmap", "munmap", "mprotect", "mremap", "touch", "mlock", "brk"]),
    st.integers(0, 15), st.integers(1, 6), st.integers(0, 15), st.sampled_from([PROT_NONE, PROT_READ, RW]),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(OPS, max_size=40))
def test_random_operations_against_a_page_map(ops: list[tuple[str, int, int, int, int]]) -> None:
    box = Box()
    k, mm = box.k, box.mm
    model: dict[int, int] = {}
    brk = 0x4E8000
    for op, page, pages, to, prot in ops:
        addr, len = BASE + page * PAGE, pages * PAGE
        span = range(page, page + pages)
        whole = all(p in model for p in span)
        if op == "mmap":
            assert box.mmap(len, prot, ANON | MAP_FIXED, addr) == addr
            model.update(dict.fromkeys(span, prot))
        elif op == "munmap":
            do_munmap(mm, addr, len)
            for p in span:
                model.pop(p, None)
        elif op == "mprotect":
            if whole:
                do_mprotect_pkey(k, addr, len, prot)
            else:
                fails(errno.ENOMEM, do_mprotect_pkey, k, addr, len, prot)
            for p in span:
                if p not in model:
                    break
                model[p] = prot
        elif op == "mremap":
            one_vma = whole and box.vma(addr).vm_end >= addr + len
            target = BASE + to * PAGE
            args = (k, addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, target)
            if addr + len > target and target + len > addr:
                fails(errno.EINVAL, do_mremap, *args)
                continue
            for p in range(to, to + pages):
                model.pop(p, None)
            if one_vma:
                assert do_mremap(*args) == target
                for i in range(pages):
                    model[to + i] = model.pop(page + i)
            else:
                fails(errno.EFAULT, do_mremap, *args)
        elif op == "mlock":
            if whole and all(model[p] != PROT_NONE for p in span):
                do_mlock(k, addr, len, VM_LOCKED)
                do_munlock(k, addr, len)
        elif op == "brk":
            brk = 0x4C5000 + to * PAGE + pages
            assert do_brk(k, brk) == brk
        else:
            if model.get(page) == RW:
                copy_to_user(k, addr, b"x")
            else:
                fails(errno.EFAULT, copy_to_user, k, addr, b"x")
        got = {}
        for start, end in box.list():
            if BASE <= start < BASE + (1 << 20):
                for a in range(start, end, PAGE):
                    got[(a - BASE) >> 12] = box.vma(a).vm_flags & 7
        assert got == model
        assert mm.total_vm == sum(end - start for start, end in box.list()) >> 12
    exit_mmap(mm)
    assert k.vm_committed_as == 0
    assert mm.pgtables_bytes == 0
