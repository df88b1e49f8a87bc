# SPDX-License-Identifier: GPL-2.0-or-later
"""mmap of files: what inode, mount and ->mmap refuse, and that a refusal leaves every counter as it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mmscope.kernel.arch.x86.uaccess import copy_from_user
from mmscope.kernel.fs.file import get_unused_fd_flags
from mmscope.kernel.fs.namei import do_open_execat
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import (
    AT_FDCWD,
    FMODE_WRITE,
    O_RDONLY,
    S_APPEND,
    S_DAX,
    File,
    FileOperations,
)
from mmscope.kernel.include.mm import VM_DENYWRITE, VM_EXEC, VM_MAYEXEC, VM_NORESERVE, VM_SHARED
from mmscope.kernel.include.mm_types import VmAreaStruct
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ
from mmscope.kernel.include.sched import READ_IMPLIES_EXEC, Cred
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.mincore import ksys_mincore
from mmscope.kernel.mm.mmap import do_mmap, do_munmap, find_vma, mmap_region, vma_merge
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.shmem import shmem_file_setup
from tests.kernel.errnos import errno_of
from tests.kernel.mm.faultlib import RW, Box

PAGE = 4096
A = 0x20000000
PMD = 2 << 20


@pytest.fixture
def box(tmp_path: Path) -> Box:
    (tmp_path / "data").write_bytes(b"x" * (4 * PAGE))
    (tmp_path / "data").chmod(0o755)
    return Box(root=str(tmp_path))


def test_a_noexec_mount_refuses_execution_by_mmap_mprotect_and_exec(box: Box) -> None:
    """As on tmpfs mounted with -o noexec (6.18): EPERM, EACCES, EACCES."""
    fd = box.open("/data", O_RDONLY)
    box.file(fd).f_inode.i_sb.mnt_noexec = True
    assert errno_of(box.mmap, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd) == errno.EPERM
    addr = box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd)
    assert not box.vma(addr).vm_flags & VM_MAYEXEC
    assert errno_of(do_mprotect_pkey, box.k, addr, PAGE, PROT_EXEC) == errno.EACCES
    assert errno_of(do_open_execat, box.k, AT_FDCWD, "/data") == errno.EACCES
    box.file(fd).f_inode.i_sb.mnt_noexec = False
    box.mmap(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd)
    assert do_open_execat(box.k, AT_FDCWD, "/data").f_inode is box.file(fd).f_inode


def test_read_implies_exec_but_not_of_a_noexec_mount(box: Box) -> None:
    """personality(READ_IMPLIES_EXEC): r-xp, but r--p on tmpfs mounted with -o noexec (6.18)."""
    fd = box.open("/data", O_RDONLY)
    box.task.personality |= READ_IMPLIES_EXEC
    assert box.vma(box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd)).vm_flags & VM_EXEC
    box.file(fd).f_inode.i_sb.mnt_noexec = True
    assert not box.vma(box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd)).vm_flags & VM_EXEC


@pytest.mark.parametrize(
    ("fsuid", "capable", "mode", "told"),
    [
        (0, True, 0o644, True),
        (0, False, 0o644, False),
        (0, False, 0o666, True),
        (1000, False, 0o644, True),
        (7, False, 0o644, False),
    ],
)
def test_mincore_of_a_file_tells_its_owner_and_who_may_write_it(
    box: Box, fsuid: int, capable: bool, mode: int, told: bool
) -> None:
    """can_do_mincore(): the others read that everything is resident. Root without capabilities is no exception."""
    fd = box.open("/data", O_RDONLY)
    inode = box.file(fd).f_inode
    inode.i_uid = inode.i_gid = 1000
    inode.i_mode = inode.i_mode & ~0o777 | mode
    addr, vec = box.mmap(4 * PAGE, PROT_READ, MAP_PRIVATE, fd), box.mmap(PAGE)
    box.task.cred = Cred(fsuid, fsuid)
    if not capable:
        box.task.cred.cap_effective = 0
    ksys_mincore(box.k, addr, 4 * PAGE, vec)
    assert copy_from_user(box.k, vec, 4) == (bytes(4) if told else b"\1" * 4)


def test_noexec_comes_before_a_file_without_mmap(box: Box) -> None:
    """/proc is SB_I_NOEXEC: EPERM for PROT_EXEC, ENODEV otherwise."""
    fd = box.open("/proc/self/maps", O_RDONLY)
    assert errno_of(box.mmap, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd) == errno.EPERM
    assert errno_of(box.mmap, PAGE, PROT_READ, MAP_PRIVATE, fd) == errno.ENODEV


def test_an_append_only_file_is_not_mapped_shared_by_who_may_write(box: Box) -> None:
    """chattr +a: EACCES, even for reading; a private mapping does no harm."""
    fd = box.open("/data", O_RDONLY)
    file = box.file(fd)
    file.f_inode.i_flags |= S_APPEND
    box.mmap(PAGE, PROT_READ, MAP_SHARED, fd)
    file.f_mode |= FMODE_WRITE
    assert errno_of(box.mmap, PAGE, PROT_READ, MAP_SHARED, fd) == errno.EACCES
    box.mmap(PAGE, RW, MAP_PRIVATE, fd)


def refusing(box: Box, fd: int, error: int) -> File:
    """The open file, its ->mmap now raising `error`."""

    def mmap(file: File, vma: VmAreaStruct) -> None:
        raise KernelError(error)

    file = box.file(fd)
    file.f_op = FileOperations("refusing_fops", mmap=mmap)
    return file


@pytest.mark.parametrize("flags", [MAP_PRIVATE, MAP_SHARED])
def test_a_mapping_that_the_file_refuses_leaves_nothing_behind(box: Box, flags: int) -> None:
    """unmap_and_free_vma: reference, charge, i_mmap_writable and i_writecount are given back; what was there is gone."""
    fd = box.open("/data", O_RDONLY)
    file = refusing(box, fd, errno.EBUSY)
    file.f_mode |= FMODE_WRITE
    box.mmap(3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, addr=A)
    box.store(A + PAGE, 1)
    before = (file.f_count, file.f_mapping.i_mmap_writable, file.f_inode.i_writecount)
    committed, total = box.k.vm_committed_as, box.mm.total_vm
    with pytest.raises(KernelError) as caught:
        do_mmap(box.mm, file, A + PAGE, PAGE, RW, flags | MAP_FIXED, VM_DENYWRITE, 0)
    assert caught.value.args[0] == errno.EBUSY
    assert (file.f_count, file.f_mapping.i_mmap_writable, file.f_inode.i_writecount) == before
    assert (box.k.vm_committed_as, box.mm.total_vm) == (committed - 1, total - 1)
    vma = find_vma(box.mm, A + PAGE)
    assert vma is not None
    assert vma.vm_start == A + 2 * PAGE
    validate_vm(box.k)


def test_a_file_open_for_writing_cannot_be_mapped_denywrite(box: Box) -> None:
    """ETXTBSY, and the mapping of a program denies writing until it goes."""
    fd = box.open("/data", O_RDONLY)
    inode = box.file(fd).f_inode
    inode.i_writecount = 1
    committed = box.k.vm_committed_as
    assert errno_of(mmap_region, box.mm, box.file(fd), A, PAGE, VM_DENYWRITE | 3, 0) == errno.ETXTBSY
    assert (inode.i_writecount, box.k.vm_committed_as) == (1, committed)
    inode.i_writecount = 0
    mmap_region(box.mm, box.file(fd), A, PAGE, VM_DENYWRITE | 1, 0)
    assert inode.i_writecount == -1
    do_munmap(box.mm, A, PAGE)
    assert inode.i_writecount == 0


def test_a_file_sealed_against_writing_is_not_mapped_shared(box: Box) -> None:
    """mapping_deny_writable() of F_SEAL_WRITE: EPERM, and the denial stays as deep as it was."""
    file = shmem_file_setup(box.k, "memfd:sealed", 2 * PAGE, VM_NORESERVE)
    fd = get_unused_fd_flags(box.k, 0)
    assert box.task.files is not None
    box.task.files.fd[fd] = file
    file.f_mapping.i_mmap_writable = -1
    assert errno_of(box.mmap, PAGE, RW, MAP_SHARED, fd) == errno.EPERM
    assert file.f_mapping.i_mmap_writable == -1
    assert file.f_count == 1
    addr = box.mmap(PAGE, RW, MAP_PRIVATE, fd)
    assert not box.vma(addr).vm_flags & VM_SHARED
    assert file.f_mapping.i_mmap_writable == -1


@pytest.mark.parametrize(("version", "spared"), [((5, 11), False), ((6, 12), True)])
def test_a_seal_is_met_before_or_after_the_target_is_unmapped(version: tuple[int, int], spared: bool) -> None:
    """As 5.10 and 6.18 do with a sealed memfd over the middle of three pages."""
    box = Box(version=version)
    file = shmem_file_setup(box.k, "memfd:sealed", PAGE, VM_NORESERVE)
    file.f_mapping.i_mmap_writable = -1
    box.mmap(3 * PAGE, addr=A)
    with pytest.raises(KernelError) as caught:
        do_mmap(box.mm, file, A + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, 0, 0)
    assert caught.value.args[0] == errno.EPERM
    vma = find_vma(box.mm, A + PAGE)
    assert vma is not None
    assert (vma.vm_start, vma.vm_end) == ((A, A + 3 * PAGE) if spared else (A + 2 * PAGE, A + 3 * PAGE))
    validate_vm(box.k)


def dax_file(box: Box) -> tuple[int, File]:
    fd = box.open("/data", O_RDONLY)
    box.file(fd).f_inode.i_flags |= S_DAX
    return fd, box.file(fd)


def test_a_dax_file_is_aligned_for_huge_pages(box: Box) -> None:
    """thp_get_unmapped_area(): address and file offset agree modulo 2 MiB, where a whole 2 MiB of the file is mapped."""
    fd, _ = dax_file(box)
    first = box.mmap(2 * PMD, PROT_READ, MAP_PRIVATE, fd)
    assert first % PMD == 0
    # The search was for 2 MiB more, of which the lower end is taken: room for another one above stays.
    assert box.mm.mmap_base - first < 4 * PMD
    shifted = box.mmap(2 * PMD, PROT_READ, MAP_PRIVATE, fd, 5 * PAGE)
    assert shifted % PMD == 5 * PAGE
    assert box.mmap(PMD, PROT_READ, MAP_PRIVATE, fd) % PMD == 0


def test_what_holds_no_whole_huge_page_is_placed_as_ever(box: Box) -> None:
    fd, file = dax_file(box)
    top = box.mmap(PAGE)
    assert box.mmap(PMD - PAGE, PROT_READ, MAP_PRIVATE, fd) == top - PMD + PAGE
    # From offset 1 the first aligned huge page begins at 2 MiB: there is none in two MiB.
    assert box.mmap(PMD, PROT_READ, MAP_PRIVATE, fd, PAGE) == top - 2 * PMD + PAGE
    file.f_inode.i_flags = 0
    assert box.mmap(2 * PMD, PROT_READ, MAP_PRIVATE, fd) == top - 4 * PMD + PAGE


def test_a_hint_and_a_fixed_address_beat_the_alignment(box: Box) -> None:
    fd, _ = dax_file(box)
    assert do_mmap(box.mm, box.file(fd), A + PAGE, 2 * PMD, PROT_READ, MAP_PRIVATE, 0, 0)[0] == A + PAGE
    assert box.mmap(2 * PMD, PROT_READ, MAP_PRIVATE, fd, addr=A + 0x1000000 + PAGE) == A + 0x1000000 + PAGE


def test_without_room_for_the_padding_the_alignment_is_given_up(box: Box) -> None:
    """All but 2 MiB and a page is taken: 2 MiB still fit, unaligned."""
    fd, _ = dax_file(box)
    hole = 0x500000001000
    vma = box.mm.mmap
    holes = []
    last = box.k.config.mmap_min_addr
    while vma is not None:
        if vma.vm_start > last:
            holes.append((last, vma.vm_start))
        last = vma.vm_end
        vma = vma.vm_next
    box.k.config.sysctl_overcommit_memory = 1
    holes.append((last, box.mm.task_size))
    for start, end in holes:
        if start < hole < end:
            box.mmap(hole - start, 0, addr=start)
            box.mmap(end - hole - PMD - PAGE, 0, addr=hole + PMD + PAGE)
        elif end > start:
            box.mmap(end - start, 0, addr=start)
    assert box.mmap(PMD, PROT_READ, MAP_PRIVATE, fd) == hole + PAGE


def test_close_keeps_mappings_apart(box: Box) -> None:
    """can_vma_merge_*: never with vm_ops->close, which would have to be called for each part (SysV shared memory)."""
    from mmscope.kernel.include.mm_types import VmOperationsStruct

    fd = box.open("/data", O_RDONLY)
    one = box.vma(box.mmap(PAGE, PROT_READ, MAP_PRIVATE, fd, 0, A))
    flags, ops = one.vm_flags, one.vm_ops
    one.vm_ops = VmOperationsStruct("shm_vm_ops", close=lambda vma: None)
    assert vma_merge(box.mm, one, A + PAGE, A + 2 * PAGE, flags, None, one.vm_file, 1) is None
    one.vm_ops = ops
    assert vma_merge(box.mm, one, A + PAGE, A + 2 * PAGE, flags, None, one.vm_file, 1) is one
    box.mm.total_vm += 1


def test_flag_changes_without_a_split_are_reported(box: Box) -> None:
    """The event vma_flags: every change of a linked VMA's vm_flags, with those before."""
    from mmscope.kernel.mm.madvise import do_madvise
    from mmscope.kernel.mm.mlock import do_mlock, do_munlock

    addr = box.mmap(PAGE)
    events: list[tuple[int, int]] = []
    box.k.tp.attach("vma_flags", lambda vma, old: events.append((old, vma.vm_flags)))
    start = box.vma(addr).vm_flags
    do_mprotect_pkey(box.k, addr, PAGE, PROT_READ)
    do_mlock(box.k, addr, PAGE, 0x2000)
    do_munlock(box.k, addr, PAGE)
    do_madvise(box.k, addr, PAGE, 10)
    seen = start
    for old, new in events:
        assert old == seen
        seen = new
    assert len(events) == 4
    assert seen == box.vma(addr).vm_flags
    do_mprotect_pkey(box.k, addr, PAGE, PROT_READ)
    assert len(events) == 4
