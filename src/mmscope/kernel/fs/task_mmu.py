# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/maps (fs/proc/task_mmu.c), byte for byte, and the memory lines of status and statm."""

from __future__ import annotations

from mmscope.kernel.arch.x86.vsyscall_64 import gate_vma_name, get_gate_vma
from mmscope.kernel.fs.d_path import d_path
from mmscope.kernel.include.mm import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_SHMEMPAGES,
    MM_SWAPENTS,
    VM_EXEC,
    VM_MAYSHARE,
    VM_READ,
    VM_WRITE,
)
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK
from mmscope.kernel.mm.memory_unmap import get_mm_counter
from mmscope.kernel.mm.mmap_area import find_vma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct

#: seq_setwidth(25 + sizeof(void *) * 6 - 1): the name stands in the column after it.
_NAME_COLUMN: Final = 72
#: m_next()'s position of the gate VMA.
_GATE: Final = 1 << 64


def is_stack(vma: VmAreaStruct) -> bool:
    """It holds the address where the program's stack began."""
    return vma.vm_start <= vma.vm_mm.start_stack <= vma.vm_end


def vma_name(vma: VmAreaStruct) -> str | None:
    """What maps shows behind the numbers; None for nothing."""
    mm = vma.vm_mm
    if vma.vm_file is not None:
        return d_path(mm.kernel, vma.vm_file.f_dentry).replace("\n", "\\012")
    if vma.vm_ops is not None and vma.vm_ops.name is not None:
        name = vma.vm_ops.name(vma)
        if name:
            return name
    if vma.vm_start <= mm.brk and vma.vm_end >= mm.start_brk:
        return "[heap]"
    if is_stack(vma):
        return "[stack]"
    return None


def show_vma_header_prefix(vma: VmAreaStruct) -> str:
    """The numbers of one line."""
    dev = ino = pgoff = 0
    if vma.vm_file is not None:
        inode = vma.vm_file.f_inode
        dev = inode.i_sb.s_dev
        ino = inode.i_ino
        pgoff = vma.vm_pgoff << 12
    flags = vma.vm_flags
    r = "r" if flags & VM_READ else "-"
    w = "w" if flags & VM_WRITE else "-"
    x = "x" if flags & VM_EXEC else "-"
    s = "s" if flags & VM_MAYSHARE else "p"
    return f"{vma.vm_start:08x}-{vma.vm_end:08x} {r}{w}{x}{s} {pgoff:08x} {dev >> 20:02x}:{dev & 0xFFFFF:02x} {ino} "


def show_map_vma(vma: VmAreaStruct, name: str | None) -> str:
    """One line of maps."""
    line = show_vma_header_prefix(vma)
    if name is not None:
        line = line.ljust(_NAME_COLUMN) + " " + name
    return line + "\n"


def gate_line(mm: MmStruct) -> str:
    """The vsyscall page's line, if the kernel has one."""
    vma = get_gate_vma(mm)
    return "" if vma is None else show_map_vma(vma, gate_vma_name(vma))


def show_map(mm: MmStruct) -> str:
    """The text of /proc/PID/maps."""
    lines = []
    vma = mm.mmap
    while vma is not None:
        lines.append(show_map_vma(vma, vma_name(vma)))
        vma = vma.vm_next
    lines.append(gate_line(mm))
    return "".join(lines)


def maps_next(mm: MmStruct, addr: int) -> tuple[bytes, int] | None:
    """The line of the first VMA that ends above `addr`, and where the next one starts: a reader resumes by address."""
    if addr > _GATE:
        return None
    vma = find_vma(mm, addr) if addr < _GATE else None
    if vma is None:
        return gate_line(mm).encode(), _GATE + 1
    text = show_map_vma(vma, vma_name(vma)).encode("utf-8", "surrogateescape")
    return text, vma.vm_next.vm_start if vma.vm_next is not None else _GATE


def task_statm(mm: MmStruct) -> str:
    """The line of /proc/PID/statm, in pages: size, resident, shared, text, 0, data, 0."""
    shared = get_mm_counter(mm, MM_FILEPAGES) + get_mm_counter(mm, MM_SHMEMPAGES)
    text = (PAGE_ALIGN(mm.end_code) - (mm.start_code & PAGE_MASK)) >> 12
    data = mm.data_vm + mm.stack_vm
    resident = shared + get_mm_counter(mm, MM_ANONPAGES)
    return f"{mm.total_vm} {resident} {shared} {text} 0 {data} 0\n"


def task_mem(mm: MmStruct) -> str:
    """The Vm* lines of /proc/PID/status."""
    anon = get_mm_counter(mm, MM_ANONPAGES)
    file = get_mm_counter(mm, MM_FILEPAGES)
    shmem = get_mm_counter(mm, MM_SHMEMPAGES)
    swap = get_mm_counter(mm, MM_SWAPENTS)
    total_rss = anon + file + shmem
    text = PAGE_ALIGN(mm.end_code) - (mm.start_code & PAGE_MASK)
    text = min(text, mm.exec_vm << 12)
    lib = (mm.exec_vm << 12) - text
    lines = [
        ("VmPeak", max(mm.hiwater_vm, mm.total_vm) << 2),
        ("VmSize", mm.total_vm << 2),
        ("VmLck", mm.locked_vm << 2),
        ("VmPin", mm.pinned_vm << 2),
        ("VmHWM", max(mm.hiwater_rss, total_rss) << 2),
        ("VmRSS", total_rss << 2),
        ("RssAnon", anon << 2),
        ("RssFile", file << 2),
        ("RssShmem", shmem << 2),
        ("VmData", mm.data_vm << 2),
        ("VmStk", mm.stack_vm << 2),
        ("VmExe", text >> 10),
        ("VmLib", lib >> 10),
        ("VmPTE", mm.pgtables_bytes >> 10),
        ("VmSwap", swap << 2),
        ("HugetlbPages", 0),
    ]
    return "".join(f"{name}:\t{value:8d} kB\n" for name, value in lines)
