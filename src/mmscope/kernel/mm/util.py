# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers of memory management (mm/util.c): the VMA list, overcommit accounting, mmap on a task's behalf."""

from __future__ import annotations

from mmscope.kernel.core.capability import capable
from mmscope.kernel.include.capability import CAP_IPC_LOCK, CAP_SYS_ADMIN, CAP_SYS_RAWIO
from mmscope.kernel.include.errno import EINVAL, ENOMEM, KernelError
from mmscope.kernel.include.mman import OVERCOMMIT_ALWAYS, OVERCOMMIT_GUESS
from mmscope.kernel.include.page import PAGE_ALIGN
from mmscope.kernel.mm.page_alloc import nr_free_pages, totalram_pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

__all__ = [
    "CAP_IPC_LOCK", "CAP_SYS_ADMIN", "CAP_SYS_RAWIO", "__vm_enough_memory", "__vma_link_list", "__vma_unlink_list",
    "capable", "init_admin_reserve", "init_user_reserve", "rlimit", "rlimit_max", "security_vm_enough_memory_mm",
    "vm_acct_memory", "vm_commit_limit", "vm_mmap", "vm_mmap_pgoff", "vm_unacct_memory",
]  # fmt: skip


def rlimit(k: Kernel, limit: int) -> int:
    """The current task's soft limit (include/linux/sched/signal.h)."""
    return k.current.signal.rlim[limit].rlim_cur


def rlimit_max(k: Kernel, limit: int) -> int:
    """The current task's hard limit."""
    return k.current.signal.rlim[limit].rlim_max


def __vma_link_list(mm: MmStruct, vma: VmAreaStruct, prev: VmAreaStruct | None) -> None:
    """Put `vma` on the mm's list behind `prev` (None: at the head)."""
    vma.vm_prev = prev
    if prev is not None:
        next = prev.vm_next
        prev.vm_next = vma
    else:
        next = mm.mmap
        mm.mmap = vma
    vma.vm_next = next
    if next is not None:
        next.vm_prev = vma


def __vma_unlink_list(mm: MmStruct, vma: VmAreaStruct) -> None:
    """Take `vma` off the mm's list; its own two links stay."""
    next = vma.vm_next
    prev = vma.vm_prev
    if prev is not None:
        prev.vm_next = next
    else:
        mm.mmap = next
    if next is not None:
        next.vm_prev = prev


def vm_acct_memory(k: Kernel, pages: int) -> None:
    """Commit `pages` (include/linux/mman.h)."""
    k.vm_committed_as += pages


def vm_unacct_memory(k: Kernel, pages: int) -> None:
    """Take a commitment back."""
    k.vm_committed_as -= pages


def init_user_reserve(k: Kernel) -> None:
    """vm.user_reserve_kbytes at boot (mm/mmap.c): what overcommit mode 2 keeps a single process from taking."""
    if k.config.sysctl_user_reserve_kbytes < 0:
        k.config.sysctl_user_reserve_kbytes = min((nr_free_pages(k) << 2) // 32, 1 << 17)


def init_admin_reserve(k: Kernel) -> None:
    """vm.admin_reserve_kbytes at boot (mm/mmap.c): what mode 2 leaves to root."""
    if k.config.sysctl_admin_reserve_kbytes < 0:
        k.config.sysctl_admin_reserve_kbytes = min((nr_free_pages(k) << 2) // 32, 1 << 13)


def vm_commit_limit(k: Kernel) -> int:
    """CommitLimit of /proc/meminfo, pages: what overcommit_memory = 2 allows all processes together."""
    config = k.config
    if config.sysctl_overcommit_kbytes:
        return config.sysctl_overcommit_kbytes >> 2
    return totalram_pages(k) * config.sysctl_overcommit_ratio // 100


def __vm_enough_memory(mm: MmStruct, pages: int, cap_sys_admin: bool) -> None:
    """Commit `pages` for `mm` if the overcommit policy lets it; ENOMEM if not (and nothing is committed)."""
    k = mm.kernel
    config = k.config
    vm_acct_memory(k, pages)
    if config.sysctl_overcommit_memory == OVERCOMMIT_ALWAYS:
        return
    if config.sysctl_overcommit_memory == OVERCOMMIT_GUESS:
        # Since v5.2 (8c7829b04c52) only a single request above all of RAM and swap is refused.
        if pages <= totalram_pages(k):
            return
    else:
        allowed = vm_commit_limit(k)
        if not cap_sys_admin:
            allowed -= config.sysctl_admin_reserve_kbytes >> 2
        # A single process leaves the others something to recover with.
        allowed -= min(mm.total_vm // 32, config.sysctl_user_reserve_kbytes >> 2)
        if max(k.vm_committed_as, 0) < allowed:
            return
    vm_unacct_memory(k, pages)
    raise KernelError(ENOMEM)


def security_vm_enough_memory_mm(mm: MmStruct, pages: int) -> None:
    """__vm_enough_memory() with the current task's privilege (security/commoncap.c: cap_vm_enough_memory)."""
    __vm_enough_memory(mm, pages, capable(mm.kernel, CAP_SYS_ADMIN))


def vm_mmap_pgoff(k: Kernel, file: File | None, addr: int, len: int, prot: int, flag: int, pgoff: int) -> int:
    """mmap in the current task's address space, with the population that MAP_POPULATE and mlock ask for."""
    # Imported late: util is below mmap and gup, which need its other half.
    import mmscope.kernel.mm.gup as mm_gup
    import mmscope.kernel.mm.mmap as mm_mmap

    mm = k.current.mm
    assert mm is not None
    ret, populate = mm_mmap.do_mmap(mm, file, addr, len, prot, flag, 0, pgoff)
    if populate:
        mm_gup.mm_populate(mm, ret, populate)
    return ret


def vm_mmap(k: Kernel, file: File | None, addr: int, len: int, prot: int, flag: int, offset: int) -> int:
    """vm_mmap_pgoff() with the offset in bytes."""
    if offset + PAGE_ALIGN(len) >= 1 << 64:
        raise KernelError(EINVAL)
    if offset & 4095:
        raise KernelError(EINVAL)
    return vm_mmap_pgoff(k, file, addr, len, prot, flag, offset >> 12)
