# SPDX-License-Identifier: GPL-2.0-or-later
"""Layout of the user address space (arch/x86/mm/mmap.c) and the search for free space (arch/x86/kernel/sys_x86_64.c).

0x7ffffffff000  TASK_SIZE
                stack, growing down           gap = RLIMIT_STACK + guard gap + random part of the stack,
                ...                                 at least 128 MiB, at most 5/6 of TASK_SIZE
mmap_base       mappings, top down            = TASK_SIZE - gap - random: 0x7ffff7fff000 without randomisation
                ...
                heap, bss, data, text
"""

from __future__ import annotations

import mmscope.kernel.mm.hugetlb as mm_hugetlb
import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.include.errno import ENOMEM, KernelError
from mmscope.kernel.include.mman import MAP_32BIT, MAP_ABOVE4G, MAP_FIXED
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, TASK_SIZE
from mmscope.kernel.include.sched import ADDR_COMPAT_LAYOUT, ADDR_NO_RANDOMIZE, PF_RANDOMIZE
from mmscope.kernel.lib.random import get_random_int, get_random_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.fs import File
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct
    from mmscope.kernel.include.resource import Rlimit
    from mmscope.kernel.include.sched import TaskStruct

SIZE_128M: Final = 128 << 20
SIZE_4G: Final = 1 << 32
#: Pages by which the stack's top may move: 16 GiB.
STACK_RND_MASK: Final = 0x3FFFFF


def randomize_page(k: Kernel, start: int, range: int) -> int:
    """A random page address in [start, start + range) (drivers/char/random.c)."""
    if start & 4095:
        range -= PAGE_ALIGN(start) - start
        start = PAGE_ALIGN(start)
    if start > 0xFFFFFFFFFFFFFFFF - range:
        range = 0xFFFFFFFFFFFFFFFF - start
    range >>= 12
    if range <= 0:
        return start
    return start + (get_random_long(k) % range << 12)


def stack_maxrandom_size(task: TaskStruct) -> int:
    """How far below TASK_SIZE randomisation can put the stack, bytes."""
    return STACK_RND_MASK << 12 if task.flags & PF_RANDOMIZE else 0


def mmap_is_legacy(task: TaskStruct) -> bool:
    """Mappings go bottom up, from a third of the address space. (An unlimited stack means that only on other processors.)"""
    return task.personality & ADDR_COMPAT_LAYOUT != 0 or task.kernel.config.sysctl_legacy_va_layout != 0


def arch_rnd(task: TaskStruct, rndbits: int) -> int:
    """A random offset of `rndbits` bits of pages; 0 without randomisation."""
    if not task.flags & PF_RANDOMIZE:
        return 0
    return (get_random_long(task.kernel) & ((1 << rndbits) - 1)) << 12


def arch_mmap_rnd(k: Kernel) -> int:
    """The random offset of mappings and of a PIE program, bytes."""
    return arch_rnd(k.current, k.config.mmap_rnd_bits)


def mmap_base(rnd: int, task_size: int, rlim_stack: Rlimit, task: TaskStruct) -> int:
    """Top of the mappings: below the stack, its limit and its guard gap."""
    gap = rlim_stack.rlim_cur
    pad = stack_maxrandom_size(task) + task.kernel.config.stack_guard_gap
    # A limit near infinity would overflow: it is clamped anyway.
    if gap + pad <= 0xFFFFFFFFFFFFFFFF:
        gap += pad
    gap_max = task_size // 6 * 5
    gap = max(SIZE_128M, min(gap, gap_max))
    return PAGE_ALIGN(task_size - gap - rnd)


def mmap_legacy_base(rnd: int, task_size: int) -> int:
    """TASK_UNMAPPED_BASE: where a bottom-up search begins."""
    return PAGE_ALIGN(task_size // 3) + rnd


def arch_pick_mmap_layout(mm: MmStruct, rlim_stack: Rlimit, task: TaskStruct) -> None:
    """Choose mmap_base and the direction of the search for a new program."""
    legacy = mmap_is_legacy(task)
    mm.get_unmapped_area = arch_get_unmapped_area if legacy else arch_get_unmapped_area_topdown
    rnd = arch_rnd(task, task.kernel.config.mmap_rnd_bits)
    mm.mmap_legacy_base = mmap_legacy_base(rnd, TASK_SIZE)
    mm.mmap_base = mm.mmap_legacy_base if legacy else mmap_base(rnd, TASK_SIZE, rlim_stack, task)


def arch_randomize_brk(mm: MmStruct) -> int:
    """A heap start up to 32 MiB above mm->brk, since v6.9 1 GiB (arch/x86/kernel/process.c)."""
    range = 1 << 30 if mm.kernel.config.at_least(6, 9) else 0x02000000  # 44c76825d6ee
    return randomize_page(mm.kernel, mm.brk, range)


def arch_align_stack(k: Kernel, sp: int) -> int:
    """Shift the stack pointer of a new program by up to 8 KiB, 16-byte aligned (arch/x86/kernel/process.c)."""
    if not k.current.personality & ADDR_NO_RANDOMIZE and k.config.randomize_va_space:
        sp -= get_random_int(k) % 8192
    return sp & ~0xF


def get_mmap_base(mm: MmStruct, is_legacy: bool) -> int:
    """The base of the one or the other search."""
    return mm.mmap_legacy_base if is_legacy else mm.mmap_base


def find_start_end(mm: MmStruct, addr: int, flags: int) -> tuple[int, int]:
    """Limits of the bottom-up search; MAP_32BIT means the second GiB, for code of the small model."""
    if flags & MAP_32BIT:
        begin = 0x40000000
        k = mm.kernel
        if k.current.flags & PF_RANDOMIZE:
            begin = randomize_page(k, begin, 0x02000000)
        return begin, 0x80000000
    return get_mmap_base(mm, True), TASK_SIZE


def align(info: mm_mmap.VmUnmappedAreaInfo, file: File | None, pgoff: int) -> None:
    """get_align_mask(): huge pages, which come here since v6.13, need alignment; the rest only on AMD's family 15h."""
    if file is not None and mm_hugetlb.is_file_hugepages(file):
        info.align_mask = mm_hugetlb.HPAGE_SIZE - 4096
    else:
        info.align_offset = pgoff << 12


def arch_get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """Lowest free place above the legacy base, the hint first; ENOMEM."""
    if flags & MAP_FIXED:
        return addr
    begin, end = find_start_end(mm, addr, flags)
    if len > end:
        raise KernelError(ENOMEM)
    if addr:
        addr = PAGE_ALIGN(addr) & 0xFFFFFFFFFFFFFFFF
        vma = mm_mmap.find_vma(mm, addr)
        if end - len >= addr and (vma is None or addr + len <= mm_mmap.vm_start_gap(vma)):
            return addr
    info = mm_mmap.VmUnmappedAreaInfo(0, len, begin, end)
    align(info, file, pgoff)
    addr = mm_mmap.vm_unmapped_area(mm, info)
    if addr < 0:
        raise KernelError(ENOMEM)
    return addr


def mmap_address_hint_valid(addr: int, len: int) -> bool:
    """The hinted range lies in user space."""
    return TASK_SIZE - len >= addr


def arch_get_unmapped_area_topdown(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """Highest free place below mmap_base, the hint first; if that fails, bottom up."""
    if len > TASK_SIZE:
        raise KernelError(ENOMEM)
    if flags & MAP_FIXED:
        return addr
    addr0 = addr
    if not flags & MAP_32BIT:
        if addr:
            addr &= PAGE_MASK
            if mmap_address_hint_valid(addr, len):
                vma = mm_mmap.find_vma(mm, addr)
                if vma is None or addr + len <= mm_mmap.vm_start_gap(vma):
                    return addr
        low = SIZE_4G if flags & MAP_ABOVE4G and mm.kernel.config.at_least(6, 6) else 4096
        info = mm_mmap.VmUnmappedAreaInfo(mm_mmap.VM_UNMAPPED_AREA_TOPDOWN, len, low, get_mmap_base(mm, False))
        align(info, file, pgoff)
        addr = mm_mmap.vm_unmapped_area(mm, info)
        if addr >= 0:
            return addr
    return arch_get_unmapped_area(mm, file, addr0, len, pgoff, flags)
