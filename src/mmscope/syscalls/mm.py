# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls of mm/: arguments out of registers, the work is kernel/mm's."""

from __future__ import annotations

from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.mm import VM_LOCKED
from mmscope.kernel.ipc.shm import do_shmat, ksys_shmctl, ksys_shmdt, ksys_shmget
from mmscope.kernel.mm.madvise import do_madvise
from mmscope.kernel.mm.memfd import ksys_memfd_create
from mmscope.kernel.mm.mincore import ksys_mincore
from mmscope.kernel.mm.mlock import do_mlock, do_munlock, do_munlockall, ksys_mlock2, ksys_mlockall
from mmscope.kernel.mm.mmap import do_brk, ksys_mmap_pgoff, vm_munmap
from mmscope.kernel.mm.mmap_remap import ksys_remap_file_pages
from mmscope.kernel.mm.mprotect import do_mprotect_pkey
from mmscope.kernel.mm.mremap import do_mremap
from mmscope.kernel.mm.msync import ksys_msync
from mmscope.kernel.mm.process_vm_access import process_vm_rw
from mmscope.syscalls.args import s32, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.ptrace import PtRegs


def mmap(k: Kernel, regs: PtRegs) -> int:
    """mmap(addr, len, prot, flags, fd, off): the offset must be whole pages."""
    off = regs.r9
    if off & 0xFFF:
        raise KernelError(EINVAL)
    return ksys_mmap_pgoff(k, regs.di, regs.si, regs.dx, regs.r10, s32(regs.r8), off >> 12)


def mprotect(k: Kernel, regs: PtRegs) -> int:
    """mprotect(start, len, prot)."""
    do_mprotect_pkey(k, regs.di, regs.si, regs.dx)
    return 0


def pkey_mprotect(k: Kernel, regs: PtRegs) -> int:
    """pkey_mprotect(start, len, prot, pkey): without protection keys only -1, none, is a key."""
    do_mprotect_pkey(k, regs.di, regs.si, regs.dx, s32(regs.r10))
    return 0


def pkey_alloc(k: Kernel, regs: PtRegs) -> int:
    """pkey_alloc(flags, init_val): bad flags and a CPU without protection keys both answer EINVAL."""
    raise KernelError(EINVAL)


def pkey_free(k: Kernel, regs: PtRegs) -> int:
    """pkey_free(pkey): none was allocated."""
    raise KernelError(EINVAL)


def munmap(k: Kernel, regs: PtRegs) -> int:
    """munmap(addr, len)."""
    vm_munmap(k, regs.di, regs.si)
    return 0


def brk(k: Kernel, regs: PtRegs) -> int:
    """brk(brk): the new, or on failure the old, end of the heap."""
    return do_brk(k, regs.di)


def mremap(k: Kernel, regs: PtRegs) -> int:
    """mremap(addr, old_len, new_len, flags, new_addr)."""
    return do_mremap(k, regs.di, regs.si, regs.dx, regs.r10, regs.r8)


def remap_file_pages(k: Kernel, regs: PtRegs) -> int:
    """remap_file_pages(start, size, prot, pgoff, flags)."""
    ksys_remap_file_pages(k, regs.di, regs.si, regs.dx, regs.r10, regs.r8)
    return 0


def msync(k: Kernel, regs: PtRegs) -> int:
    """msync(start, len, flags)."""
    ksys_msync(k, regs.di, regs.si, s32(regs.dx))
    return 0


def memfd_create(k: Kernel, regs: PtRegs) -> int:
    """memfd_create(uname, flags)."""
    return ksys_memfd_create(k, regs.di, u32(regs.si))


def shmget(k: Kernel, regs: PtRegs) -> int:
    """shmget(key, size, shmflg)."""
    return ksys_shmget(k, s32(regs.di), regs.si, s32(regs.dx))


def shmat(k: Kernel, regs: PtRegs) -> int:
    """shmat(shmid, shmaddr, shmflg): the address."""
    return do_shmat(k, s32(regs.di), regs.si, s32(regs.dx))


def shmdt(k: Kernel, regs: PtRegs) -> int:
    """shmdt(shmaddr)."""
    return ksys_shmdt(k, regs.di)


def shmctl(k: Kernel, regs: PtRegs) -> int:
    """shmctl(shmid, cmd, buf)."""
    return ksys_shmctl(k, s32(regs.di), s32(regs.si), regs.dx)


def mincore(k: Kernel, regs: PtRegs) -> int:
    """mincore(start, len, vec)."""
    ksys_mincore(k, regs.di, regs.si, regs.dx)
    return 0


def madvise(k: Kernel, regs: PtRegs) -> int:
    """madvise(start, len_in, behavior)."""
    do_madvise(k, regs.di, regs.si, s32(regs.dx))
    return 0


def mlock(k: Kernel, regs: PtRegs) -> int:
    """mlock(start, len)."""
    do_mlock(k, regs.di, regs.si, VM_LOCKED)
    return 0


def mlock2(k: Kernel, regs: PtRegs) -> int:
    """mlock2(start, len, flags)."""
    ksys_mlock2(k, regs.di, regs.si, s32(regs.dx))
    return 0


def munlock(k: Kernel, regs: PtRegs) -> int:
    """munlock(start, len)."""
    do_munlock(k, regs.di, regs.si)
    return 0


def mlockall(k: Kernel, regs: PtRegs) -> int:
    """mlockall(flags)."""
    ksys_mlockall(k, s32(regs.di))
    return 0


def munlockall(k: Kernel, regs: PtRegs) -> int:
    """munlockall()."""
    do_munlockall(k)
    return 0


def process_vm_readv(k: Kernel, regs: PtRegs) -> int:
    """process_vm_readv(pid, lvec, liovcnt, rvec, riovcnt, flags)."""
    return process_vm_rw(k, s32(regs.di), regs.si, regs.dx, regs.r10, regs.r8, regs.r9, False)


def process_vm_writev(k: Kernel, regs: PtRegs) -> int:
    """process_vm_writev(pid, lvec, liovcnt, rvec, riovcnt, flags)."""
    return process_vm_rw(k, s32(regs.di), regs.si, regs.dx, regs.r10, regs.r8, regs.r9, True)
