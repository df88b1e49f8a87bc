# SPDX-License-Identifier: GPL-2.0-or-later
"""The vDSO and its data (arch/x86/entry/vdso/vma.c, kernel/time/vsyscall.c): a small ELF library in every program.

Two VMAs, always adjacent, the image right above the data that it reads:

    addr           +1              +2              +3              +4              text_start
    | vvar_page    | pvclock_page  | hvclock_page  | timens_page   | image (1 or 2 pages)        |
    |<----------------------- [vvar] ------------------------------>|<----------- [vdso] ------->|

Only the first vvar page has a frame here: there is no hypervisor's clock and no time namespace, as on bare hardware.
Since v6.13 the second half of [vvar] is a mapping of its own, [vvar_vclock].
"""

from __future__ import annotations

import mmscope.kernel.mm.memory as mm_memory
import mmscope.kernel.mm.mmap as mm_mmap
from mmscope.kernel.arch.x86.cpu import phys_write
from mmscope.kernel.arch.x86.pgtable import PMD_SIZE
from mmscope.kernel.arch.x86.vdso_image import IMAGE
from mmscope.kernel.include.errno import ENOMEM, KernelError
from mmscope.kernel.include.gfp import __GFP_ZERO, GFP_KERNEL
from mmscope.kernel.include.mm import (
    VM_DONTDUMP,
    VM_EXEC,
    VM_FAULT_SIGBUS,
    VM_IO,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_PFNMAP,
    VM_READ,
)
from mmscope.kernel.include.mm_types import MmStruct, Page, VmAreaStruct, VmFault, VmSpecialMapping
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE_MAX
from mmscope.kernel.include.page_flags import PG_reserved
from mmscope.kernel.include.time import (
    CLOCK_BOOTTIME,
    CLOCK_MONOTONIC,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME,
    CLOCK_REALTIME_COARSE,
    CLOCK_TAI,
    NSEC_PER_SEC,
)
from mmscope.kernel.lib.random import get_random_int
from mmscope.kernel.mm.page_alloc import alloc_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel


#: Offsets from the image's start, bytes (struct vdso_image's sym_*; vdso-layout.lds.S).
SYM_VVAR_START: Final = -4 * PAGE_SIZE
SYM_VVAR_PAGE: Final = -4 * PAGE_SIZE

# struct vdso_data (include/vdso/datapage.h), 240 bytes, twice in the vvar page from VVAR_OFFSET on: hres/coarse, raw.
#
#     +0 seq  +4 clock_mode  +8 cycle_last  +16 mask  +24 mult  +28 shift
#     +32 basetime[12]: {sec, nsec} by clock id      +224 tz_minuteswest, tz_dsttime, hrtimer_res, unused
VVAR_OFFSET: Final = 128
VDSO_BASES: Final = 12
VDSO_CLOCKMODE_TSC: Final = 1
#: What clocks_calc_mult_shift() gives for 1 GHz: ns = cycles * TSC_MULT >> TSC_SHIFT.
TSC_MULT: Final = 1 << 23
TSC_SHIFT: Final = 23
CLOCKSOURCE_MASK: Final = 0xFFFFFFFFFFFFFFFF
HRTIMER_RESOLUTION: Final = 1


class VdsoImage:
    """struct vdso_image: the ELF file in RAM, and where its data pages stand."""

    def __init__(self, pages: list[Page], vvar_pfn: int) -> None:
        #: The frames of the image, reserved at boot.
        self.pages = pages
        #: Bytes, whole pages.
        self.size = len(pages) << PAGE_SHIFT
        self.sym_vvar_start = SYM_VVAR_START
        #: The frame of the vvar data (Linux: __vvar_page).
        self.vvar_pfn = vvar_pfn


def init_vdso(k: Kernel) -> None:
    """Put the image and the vvar page into frames of the kernel.

    Preconditions: the page allocator and the timekeeper work.
    """
    pages = [_kernel_page(k) for _ in range(k.config.vdso_pages)]
    for i, page in enumerate(pages):
        phys_write(k, page.pfn << PAGE_SHIFT, IMAGE[i << PAGE_SHIFT : (i + 1) << PAGE_SHIFT])
    k.vdso_image_64 = VdsoImage(pages, _kernel_page(k).pfn)
    update_vsyscall(k)


def _kernel_page(k: Kernel) -> Page:
    """A zeroed frame that belongs to the kernel's own image: reserved, never freed."""
    page = alloc_page(k, GFP_KERNEL | __GFP_ZERO)
    if page is None:
        raise KernelError(ENOMEM)
    page.flags |= PG_reserved
    return page


def update_vsyscall(k: Kernel) -> None:
    """The timekeeper's state as of the last tick goes into the vvar page; nothing happens before init_vdso()."""
    image = k.vdso_image_64
    if image is None:
        return
    tk = k.timekeeper
    paddr = (image.vvar_pfn << PAGE_SHIFT) + VVAR_OFFSET
    seq = int.from_bytes(k.mem[paddr : paddr + 4], "little")
    mono = tk.tick_ns
    real = tk.tick_ns + tk.wall_offset_ns
    hres = [(0, 0)] * VDSO_BASES
    hres[CLOCK_REALTIME] = _basetime(real, TSC_SHIFT)
    hres[CLOCK_MONOTONIC] = hres[CLOCK_BOOTTIME] = _basetime(mono, TSC_SHIFT)
    hres[CLOCK_TAI] = _basetime(real, TSC_SHIFT)
    hres[CLOCK_REALTIME_COARSE] = _basetime(real, 0)
    hres[CLOCK_MONOTONIC_COARSE] = _basetime(mono, 0)
    raw = [(0, 0)] * VDSO_BASES
    raw[CLOCK_MONOTONIC_RAW] = _basetime(mono, TSC_SHIFT)
    # One store: nobody can look at the page while the only CPU is in here, so `seq` is never seen odd.
    data = _vdso_data(seq + 2, mono, hres) + _vdso_data(seq + 2, mono, raw)
    phys_write(k, paddr, data)


def _basetime(ns: int, shift: int) -> tuple[int, int]:
    """struct vdso_timestamp of a time in ns."""
    return ns // NSEC_PER_SEC, (ns % NSEC_PER_SEC) << shift


def _vdso_data(seq: int, cycle_last: int, basetime: list[tuple[int, int]]) -> bytes:
    """struct vdso_data as bytes."""
    words = [
        (seq & 0xFFFFFFFF) | VDSO_CLOCKMODE_TSC << 32,
        cycle_last,
        CLOCKSOURCE_MASK,
        TSC_MULT | TSC_SHIFT << 32,
    ]
    for sec, nsec in basetime:
        words.append(sec & 0xFFFFFFFFFFFFFFFF)
        words.append(nsec)
    words.append(0)
    words.append(HRTIMER_RESOLUTION)
    return b"".join([word.to_bytes(8, "little") for word in words])


def vdso_fault(sm: VmSpecialMapping, vma: VmAreaStruct, vmf: VmFault) -> int:
    """A page of the image: the kernel's own frame, shared by all processes."""
    image = vma.vm_mm.kernel.vdso_image_64
    if vma.vm_mm.vdso_image is None or image is None or vmf.pgoff << PAGE_SHIFT >= image.size:
        return VM_FAULT_SIGBUS
    page = image.pages[vmf.pgoff]
    page._refcount += 1
    vmf.page = page
    return 0


def vdso_mremap(sm: VmSpecialMapping, new_vma: VmAreaStruct) -> None:
    """The image moved: signal frames and AT_SYSINFO_EHDR's users must find it. Resizing is refused by its split()."""
    new_vma.vm_mm.vdso = new_vma.vm_start


def vvar_fault(sm: VmSpecialMapping, vma: VmAreaStruct, vmf: VmFault) -> int:
    """A data page. Only the first exists: without a hypervisor's clock or a time namespace the others are SIGBUS."""
    mm = vma.vm_mm
    image = mm.kernel.vdso_image_64
    if mm.vdso_image is None or image is None:
        return VM_FAULT_SIGBUS
    sym_offset = (vmf.pgoff << PAGE_SHIFT) + image.sym_vvar_start
    if sym_offset == SYM_VVAR_PAGE:
        return mm_memory.vmf_insert_pfn(vma, vmf.address, image.vvar_pfn)
    return VM_FAULT_SIGBUS


vdso_mapping: Final = VmSpecialMapping("[vdso]", fault=vdso_fault, mremap=vdso_mremap)
vvar_mapping: Final = VmSpecialMapping("[vvar]", fault=vvar_fault)


def map_vdso(k: Kernel, mm: MmStruct, addr: int) -> None:
    """Map vvar at `addr`, a hint, and the image above it. Raises what get_unmapped_area() or the mapping raises."""
    image = k.vdso_image_64
    assert image is not None
    addr = mm_mmap.get_unmapped_area(mm, None, addr, image.size - image.sym_vvar_start, 0, 0)
    text_start = addr - image.sym_vvar_start
    # MAYWRITE lets a debugger set breakpoints: its write makes a private copy.
    mm_mmap._install_special_mapping(
        mm, text_start, image.size, VM_READ | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC, vdso_mapping
    )
    try:
        mm_mmap._install_special_mapping(
            mm, addr, -image.sym_vvar_start, VM_READ | VM_MAYREAD | VM_IO | VM_DONTDUMP | VM_PFNMAP, vvar_mapping
        )
    except KernelError:
        mm_mmap.do_munmap(mm, text_start, image.size)
        raise
    mm.vdso = text_start
    mm.vdso_image = image


def vdso_addr(k: Kernel, start: int, length: int) -> int:
    """A place above the stack, within the page table that maps the stack's top; random if there is room to choose.

    Without ASLR the stack ends at TASK_SIZE, there is no room, and the hint that comes out is no valid one: the vDSO then
    goes where mmap() puts things, just below mmap_base.
    """
    start = PAGE_ALIGN(start)
    end = (start + length + PMD_SIZE - 1) & ~(PMD_SIZE - 1)
    if end >= TASK_SIZE_MAX:
        end = TASK_SIZE_MAX
    end -= length
    if end > start:
        offset = get_random_int(k) % (((end - start) >> PAGE_SHIFT) + 1)
        return (start + (offset << PAGE_SHIFT)) & PAGE_MASK
    return start


def arch_setup_additional_pages(k: Kernel, mm: MmStruct) -> None:
    """execve()'s last mappings. Preconditions: mm.start_stack is set."""
    image = k.vdso_image_64
    assert image is not None
    map_vdso(k, mm, vdso_addr(k, mm.start_stack, image.size - image.sym_vvar_start))
