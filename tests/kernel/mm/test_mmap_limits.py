# SPDX-License-Identifier: GPL-2.0-or-later
"""max_map_count, RLIMIT_AS/DATA/STACK/MEMLOCK and overcommit, in each system call that they bound; growth of stacks."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.mm import VM_ACCOUNT, VM_EXEC, VM_LOCKED
from mmscope.kernel.include.mman import (
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
)
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK
from mmscope.kernel.include.sched import READ_IMPLIES_EXEC, Cred
from mmscope.kernel.include.signal import SIGSEGV
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.mlock import do_mlock, do_munlock, ksys_mlockall
from mmscope.kernel.mm.mmap import do_brk, do_munmap, expand_stack, find_vma, vm_brk_flags
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from mmscope.kernel.mm.page_alloc import totalram_pages
from mmscope.kernel.mm.util import vm_commit_limit
from tests.kernel.mm.faultlib import ANON, RW, Box, Signalled

PAGE = 4096
A, C, D = 0x20000000, 0x20010000, 0x20020000
BOTH = MREMAP_MAYMOVE | MREMAP_FIXED
MADV_DONTFORK = 10


def fails(code: int, call: Callable[..., object], *args: object, **kwargs: object) -> None:
    with pytest.raises(KernelError) as caught:
        call(*args, **kwargs)
    assert errno.errorcode[caught.value.args[0]] == errno.errorcode[code]


def areas(box: Box, low: int = 0x20000000, high: int = 0x50000000) -> list[tuple[int, int]]:
    found, vma = [], box.mm.mmap
    while vma is not None:
        if low <= vma.vm_start < high:
            found.append((vma.vm_start, vma.vm_end))
        vma = vma.vm_next
    return found


def set_limit(box: Box, limit: int, value: int) -> None:
    box.task.signal.rlim[limit].rlim_cur = value


def user(box: Box) -> Box:
    """The same process, without privileges."""
    box.task.cred = Cred(1000, 1000)
    return box


# ---- max_map_count


def test_max_map_count_in_every_path() -> None:
    """The sequence and its answers are 5.10's, with vm.max_map_count two above the mappings there were."""
    box = Box()
    k, mm = box.k, box.mm
    box.mmap(PAGE, addr=0x10000000)
    box.mmap(8 * PAGE, addr=A)
    box.mmap(8 * PAGE, PROT_READ, addr=C)
    box.mmap(4 * PAGE, RW | PROT_EXEC, addr=D)
    heap = mm.brk
    k.config.sysctl_max_map_count = limit = mm.map_count + 2
    assert do_brk(k, heap + PAGE) == heap + PAGE
    assert do_brk(k, heap) == heap
    for addr in (0x30000000, 0x30010000, 0x30020000):
        box.mmap(PAGE, PROT_READ, addr=addr)
    # One more than the limit: do_mmap() asks for more than, split_vma() for at least.
    assert mm.map_count == limit + 1
    fails(errno.ENOMEM, box.mmap, PAGE, PROT_READ, addr=0x30030000)
    fails(errno.ENOMEM, vm_brk_flags, k, 0x30030000, PAGE, 0)
    assert do_brk(k, heap + PAGE) == heap
    fails(errno.ENOMEM, do_munmap, mm, A + PAGE, PAGE)
    fails(errno.ENOMEM, do_mprotect_pkey, k, A + PAGE, PAGE, PROT_READ)
    fails(errno.ENOMEM, do_mprotect_pkey, k, A + PAGE, 7 * PAGE, PROT_READ)
    fails(errno.ENOMEM, do_madvise, k, A + PAGE, PAGE, MADV_DONTFORK)
    fails(errno.ENOMEM, do_mlock, k, A + PAGE, PAGE, VM_LOCKED)
    # munmap() of one end needs no more mappings than there are, though it splits.
    do_munmap(mm, A + 4 * PAGE, 4 * PAGE)
    do_munmap(mm, 0x30020000, PAGE)
    fails(errno.ENOMEM, do_mprotect_pkey, k, A + PAGE, PAGE, PROT_READ)
    assert areas(box)[0] == (A, A + 4 * PAGE)
    do_munmap(mm, 0x30010000, PAGE)
    # The first of two splits succeeds, and stays.
    fails(errno.ENOMEM, do_mprotect_pkey, k, A + PAGE, PAGE, PROT_READ)
    assert areas(box)[:2] == [(A, A + PAGE), (A + PAGE, A + 4 * PAGE)]
    assert do_mremap(k, C, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0) == C
    fails(errno.ENOMEM, do_mremap, k, C, 8 * PAGE, 8 * PAGE, BOTH, 0x40000000)
    assert do_mremap(k, D, 4 * PAGE, 8 * PAGE, 0, 0) == D
    do_munmap(mm, 0x30000000, PAGE)
    fails(errno.ENOMEM, do_mremap, k, C, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0)
    fails(errno.ENOMEM, do_mremap, k, C, 8 * PAGE, 8 * PAGE, BOTH, 0x40000000)
    do_munmap(mm, D, 8 * PAGE)
    do_munmap(mm, A, 8 * PAGE)
    # move_vma() wants three to spare, mremap_to() five.
    assert mm.map_count == limit - 4
    moved = do_mremap(k, C, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0)
    assert moved == mm.mmap_base - 14 * PAGE
    fails(errno.ENOMEM, do_mremap, k, moved, 8 * PAGE, 9 * PAGE, BOTH, 0x40000000)
    assert areas(box) == [(C + 8 * PAGE, C + 9 * PAGE)]
    validate_vm(k)


# ---- resource limits that a scenario cannot show, for it runs as root


def test_rlimit_memlock_in_every_path() -> None:
    """EAGAIN where a mapping would be locked (mmap, brk, mremap), ENOMEM for mlock, mlockall and a stack that grows."""
    box = user(Box())
    k, mm = box.k, box.mm
    stack = box.mmap(PAGE, RW, ANON | MAP_GROWSDOWN, addr=A)
    do_mlock(k, stack, PAGE, VM_LOCKED)
    locked = box.mmap(3 * PAGE, addr=C)
    do_mlock(k, locked, 3 * PAGE, VM_LOCKED)
    set_limit(box, RLIMIT_MEMLOCK, 4 * PAGE)
    fails(errno.EAGAIN, box.mmap, PAGE, RW, ANON | MAP_LOCKED)
    fails(errno.EAGAIN, do_mremap, k, locked, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, 0)
    fails(errno.ENOMEM, expand_stack, box.vma(stack), stack - PAGE)
    other = box.mmap(PAGE, addr=D)
    fails(errno.ENOMEM, do_mlock, k, other, PAGE, VM_LOCKED)
    # What is locked already does not count twice.
    do_mlock(k, locked, 3 * PAGE, VM_LOCKED)
    fails(errno.ENOMEM, ksys_mlockall, k, 1)
    ksys_mlockall(k, 2)
    fails(errno.EAGAIN, box.mmap, PAGE)
    heap = mm.brk
    assert do_brk(k, heap + PAGE) == heap
    fails(errno.EAGAIN, vm_brk_flags, k, 0x30000000, PAGE, 0)
    set_limit(box, RLIMIT_MEMLOCK, 6 * PAGE)
    assert do_brk(k, heap + PAGE) == heap + PAGE
    # MCL_FUTURE locks the heap, and has its pages faulted in.
    assert box.vma(heap).vm_flags & VM_LOCKED
    assert box.pte(heap) & 1
    assert mm.locked_vm == 5
    expand_stack(box.vma(stack), stack - PAGE)
    assert mm.locked_vm == 6
    set_limit(box, RLIMIT_MEMLOCK, 0)
    fails(errno.EPERM, box.mmap, PAGE, RW, ANON | MAP_LOCKED)
    fails(errno.EPERM, do_mlock, k, locked, PAGE, VM_LOCKED)
    fails(errno.EPERM, ksys_mlockall, k, 2)
    do_munlock(k, locked, 3 * PAGE)
    assert mm.locked_vm == 3
    validate_vm(k)


def test_root_locks_beyond_the_limit() -> None:
    """CAP_IPC_LOCK."""
    box = Box()
    set_limit(box, RLIMIT_MEMLOCK, 0)
    addr = box.mmap(2 * PAGE, RW, ANON | MAP_LOCKED | MAP_GROWSDOWN, addr=A)
    expand_stack(box.vma(addr), addr - PAGE)
    ksys_mlockall(box.k, 3)
    assert box.mm.locked_vm > 3


def test_rlimit_data_counts_the_program_for_brk() -> None:
    """check_data_rlimit(): heap and initialised data together, in bytes; the private writable rest by may_expand_vm()."""
    box = Box()
    k, mm = box.k, box.mm
    mm.start_data, mm.end_data = 0x10000000, 0x10000000 + 3 * PAGE
    heap = mm.brk
    set_limit(box, RLIMIT_DATA, 8 * PAGE)
    assert do_brk(k, heap + 5 * PAGE + 1) == heap
    assert do_brk(k, heap + 5 * PAGE) == heap + 5 * PAGE
    box.mmap((8 - mm.data_vm) * PAGE)
    assert do_brk(k, heap + PAGE) == heap + PAGE
    set_limit(box, RLIMIT_DATA, 0)
    # A limit of zero is Valgrind's for mmap, which the hard limit then bounds; brk has nothing of it.
    assert do_brk(k, heap + 2 * PAGE) == heap + PAGE
    box.mmap(PAGE)
    box.task.signal.rlim[RLIMIT_DATA].rlim_max = mm.data_vm * PAGE
    for _ in range(2):
        fails(errno.ENOMEM, box.mmap, PAGE)
    # pr_warn_once(): said the first time, by mmap() and not by brk().
    text = f"VmData {(mm.data_vm + 1) * PAGE} exceed data ulimit 0. Update limits or use boot option ignore_rlimit_data."
    assert [line for _, line in k.log] == [f"mmap: {box.task.comm} ({box.task.pid}): {text}"]


def test_brk_leaves_a_page_and_the_guard_gap_of_a_stack() -> None:
    box = Box()
    k, heap = box.k, box.mm.brk
    box.mmap(PAGE, RW, ANON | MAP_GROWSDOWN, addr=heap + 300 * PAGE)
    assert do_brk(k, heap + 44 * PAGE) == heap
    assert do_brk(k, heap + 43 * PAGE) == heap + 43 * PAGE
    do_munmap(box.mm, heap + 300 * PAGE, PAGE)
    box.mmap(PAGE, PROT_NONE, addr=heap + 300 * PAGE)
    assert do_brk(k, heap + 300 * PAGE) == heap + 43 * PAGE
    assert do_brk(k, heap + 299 * PAGE) == heap + 299 * PAGE


def test_read_implies_exec_for_mmap_mprotect_and_brk() -> None:
    """The personality adds PROT_EXEC to PROT_READ, not to PROT_NONE or PROT_WRITE alone."""
    box = Box()
    box.task.personality |= READ_IMPLIES_EXEC
    assert box.vma(box.mmap(PAGE, PROT_READ)).vm_flags & VM_EXEC
    none = box.mmap(PAGE, PROT_NONE)
    assert not box.vma(none).vm_flags & VM_EXEC
    assert not box.vma(box.mmap(PAGE, 2)).vm_flags & VM_EXEC
    do_mprotect_pkey(box.k, none, PAGE, PROT_READ)
    assert box.vma(none).vm_flags & VM_EXEC
    heap = box.mm.brk
    do_brk(box.k, heap + PAGE)
    assert box.vma(heap).vm_flags & VM_EXEC


# ---- growth of a stack


def test_every_refusal_of_expand_stack() -> None:
    """expand_downwards() and acct_stack_growth() in their order; nothing is charged by a growth that is refused."""
    box = user(Box())
    k, mm = box.k, box.mm
    addr = box.mmap(2 * PAGE, RW, ANON | MAP_GROWSDOWN, addr=A)
    vma = box.vma(addr)
    committed, total = k.vm_committed_as, mm.total_vm
    fails(errno.EPERM, expand_stack, vma, k.config.mmap_min_addr - 1)
    neighbour = box.mmap(PAGE, PROT_READ, addr=A - 300 * PAGE)
    fails(errno.ENOMEM, expand_stack, vma, A - 300 * PAGE + 256 * PAGE)
    do_munmap(mm, neighbour, PAGE)
    vma.vm_pgoff = 7
    fails(errno.ENOMEM, expand_stack, vma, A - 8 * PAGE)
    vma.vm_pgoff = A >> 12
    set_limit(box, RLIMIT_AS, total * PAGE)
    fails(errno.ENOMEM, expand_stack, vma, A - PAGE)
    set_limit(box, RLIMIT_AS, RLIM_INFINITY)
    set_limit(box, RLIMIT_STACK, 4 * PAGE - 1)
    fails(errno.ENOMEM, expand_stack, vma, A - 2 * PAGE)
    set_limit(box, RLIMIT_STACK, 4 * PAGE)
    k.config.sysctl_overcommit_memory = 2
    k.config.sysctl_overcommit_kbytes = 4
    fails(errno.ENOMEM, expand_stack, vma, A - 2 * PAGE)
    k.config.sysctl_overcommit_memory = 0
    assert (k.vm_committed_as, mm.total_vm, vma.vm_start) == (committed, total, A)
    # RLIMIT_DATA has no say: a stack is no data.
    set_limit(box, RLIMIT_DATA, PAGE)
    expand_stack(vma, A - 2 * PAGE + 5)
    assert (k.vm_committed_as, mm.total_vm, vma.vm_start) == (committed + 2, total + 2, A - 2 * PAGE)
    assert vma.vm_pgoff == (A >> 12) - 2
    assert vma.anon_vma is not None
    # An address that it holds already: nothing happens.
    expand_stack(vma, A)
    assert mm.total_vm == total + 2
    validate_vm(k)


@pytest.mark.parametrize("flags", [MAP_GROWSDOWN, 0])
def test_a_fault_in_the_gap_below(flags: int) -> None:
    """Only a stack grows at a fault; otherwise SEGV_MAPERR."""
    box = Box()
    box.mmap(PAGE, RW, ANON | flags, addr=A)
    if flags:
        box.store(A - PAGE, 1)
        assert box.vma(A - PAGE).vm_end == A + PAGE
    else:
        with pytest.raises(Signalled) as caught:
            box.store(A - PAGE, 1)
        assert caught.value.args == (SIGSEGV, 1, A - PAGE)


# ---- overcommit


def test_reserves_are_a_32nd_of_what_is_free_at_boot() -> None:
    """5.10 with 4,028,544 kB: admin_reserve_kbytes 8192, user_reserve_kbytes 125463."""
    config = Box(64 << 20).k.config
    assert config.sysctl_admin_reserve_kbytes == config.sysctl_user_reserve_kbytes
    assert (60 << 10) // 32 < config.sysctl_admin_reserve_kbytes <= (64 << 10) // 32
    config = Box(1 << 30).k.config
    assert config.sysctl_admin_reserve_kbytes == 8192
    assert (1000 << 10) // 32 < config.sysctl_user_reserve_kbytes <= (1 << 20) // 32


def test_the_three_modes_of_overcommit() -> None:
    """0 refuses one request above all of RAM, 1 nothing, 2 what exceeds CommitLimit together."""
    box = Box(64 << 20)
    k = box.k
    ram = totalram_pages(k)
    fails(errno.ENOMEM, box.mmap, (ram + 1) * PAGE)
    one = box.mmap(ram * PAGE)
    two = box.mmap(ram * PAGE)
    assert k.vm_committed_as > 2 * ram
    do_munmap(box.mm, one, ram * PAGE)
    do_munmap(box.mm, two, ram * PAGE)
    k.config.sysctl_overcommit_memory = 1
    huge = box.mmap(1 << 40)
    assert box.vma(huge).vm_flags & VM_ACCOUNT
    do_munmap(box.mm, huge, 1 << 40)
    k.config.sysctl_overcommit_memory = 2
    assert vm_commit_limit(k) == ram // 2
    # A 32nd of the process's own size, and for others than root admin_reserve_kbytes, stay free.
    room = ram // 2 - box.mm.total_vm // 32 - k.vm_committed_as
    fails(errno.ENOMEM, box.mmap, room * PAGE)
    user(box)
    fails(errno.ENOMEM, box.mmap, (room - 1) * PAGE)
    k.config.sysctl_admin_reserve_kbytes = 0
    addr = box.mmap((room - 1) * PAGE)
    # MAP_NORESERVE counts in this mode; what is never private and writable does not.
    fails(errno.ENOMEM, box.mmap, PAGE, RW, ANON | MAP_NORESERVE)
    fails(errno.ENOMEM, do_mprotect_pkey, k, box.mmap(PAGE, PROT_READ), PAGE, RW)
    fails(errno.ENOMEM, box.mmap, PAGE, RW, 0x21)
    fails(errno.ENOMEM, do_mremap, k, addr, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0)
    heap = box.mm.brk
    assert do_brk(k, heap + PAGE) == heap
    k.config.sysctl_overcommit_kbytes = 4 * (ram // 2 + box.mm.total_vm // 32 + 2)
    assert do_brk(k, heap + PAGE) == heap + PAGE
    validate_vm(k)


OPS = st.tuples(
    st.sampled_from(["mmap", "munmap", "mprotect", "mremap", "move", "brk", "grow", "shared", "touch", "lock"]),
    st.integers(0, 31), st.integers(1, 12), st.integers(0, 31), st.sampled_from([PROT_NONE, PROT_READ, RW]),
    st.sampled_from([0, MAP_NORESERVE, MAP_GROWSDOWN]),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2), st.integers(20, 400), st.lists(OPS, max_size=40))
def test_committed_as_is_balanced_whatever_is_refused(
    mode: int, limit: int, ops: list[tuple[str, int, int, int, int, int]]
) -> None:
    """After each call vm_committed_as is the sum over VM_ACCOUNT mappings and shmem (validate_vm), and 0 at the end."""
    box = Box()
    k, mm = box.k, box.mm
    heap = mm.brk
    k.config.sysctl_overcommit_memory = mode
    k.config.sysctl_overcommit_kbytes = limit * 4
    k.config.sysctl_max_map_count = mm.map_count + 10
    for op, page, pages, to, prot, flag in ops:
        addr, length, target = A + page * PAGE, pages * PAGE, A + to * PAGE
        try:
            if op == "mmap":
                box.mmap(length, prot, ANON | flag, addr=addr)
            elif op == "munmap":
                do_munmap(mm, addr, length)
            elif op == "mprotect":
                do_mprotect_pkey(k, addr, length, prot)
            elif op == "mremap":
                do_mremap(k, addr, length, (to + 1) * PAGE, MREMAP_MAYMOVE, 0)
            elif op == "move":
                do_mremap(k, addr, length, (pages + page % 3) * PAGE, BOTH, target)
            elif op == "brk":
                do_brk(k, heap + to * PAGE)
            elif op == "grow":
                vma = find_vma(mm, addr)
                if vma is not None and vma.vm_flags & MAP_GROWSDOWN:
                    expand_stack(vma, addr)
            elif op == "shared":
                box.mmap(length, prot, 0x21 | flag & MAP_NORESERVE, addr=addr)
            elif op == "touch":
                box.store(addr, 1)
            else:
                do_mlock(k, addr, length, VM_LOCKED)
        except (KernelError, Signalled):
            pass
        validate_vm(k)
