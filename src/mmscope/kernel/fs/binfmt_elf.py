# SPDX-License-Identifier: GPL-2.0-or-later
"""The ELF loader (fs/binfmt_elf.c): segments, bss, interpreter, and the stack that a program finds at its start."""

from __future__ import annotations

import struct

import mmscope.kernel.fs.exec as fs_exec
from mmscope.kernel.arch.x86.mmap import arch_align_stack, arch_mmap_rnd, arch_randomize_brk
from mmscope.kernel.arch.x86.process import start_thread
from mmscope.kernel.arch.x86.uaccess import clear_user, copy_to_user, put_user, strncpy_from_user
from mmscope.kernel.arch.x86.vdso import arch_setup_additional_pages
from mmscope.kernel.fs.namei import exec_fput
from mmscope.kernel.fs.read_write import kernel_read
from mmscope.kernel.include.elf import (
    AT_BASE,
    AT_CLKTCK,
    AT_EGID,
    AT_ENTRY,
    AT_EUID,
    AT_EXECFN,
    AT_FLAGS,
    AT_GID,
    AT_HWCAP,
    AT_HWCAP2,
    AT_NULL,
    AT_PAGESZ,
    AT_PHDR,
    AT_PHENT,
    AT_PHNUM,
    AT_PLATFORM,
    AT_RANDOM,
    AT_SECURE,
    AT_SYSINFO_EHDR,
    AT_UID,
    AT_VECTOR_PAIRS,
    CLOCKS_PER_SEC,
    EHDR_SIZE,
    ELF_ET_DYN_BASE,
    ELF_MIN_ALIGN,
    ELF_PLATFORM,
    ELFMAG,
    EM_X86_64,
    ET_DYN,
    ET_EXEC,
    EXSTACK_DEFAULT,
    EXSTACK_DISABLE_X,
    EXSTACK_ENABLE_X,
    PF_R,
    PF_W,
    PF_X,
    PHDR_SIZE,
    PT_GNU_STACK,
    PT_INTERP,
    PT_LOAD,
    Elf64Ehdr,
    Elf64Phdr,
)
from mmscope.kernel.include.errno import EFAULT, EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM, KernelError
from mmscope.kernel.include.fs import PATH_MAX, File
from mmscope.kernel.include.mm import VM_EXEC
from mmscope.kernel.include.mman import (
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_PRIVATE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from mmscope.kernel.include.page import PAGE_ALIGN, PAGE_MASK, PAGE_SIZE, STACK_TOP, TASK_SIZE
from mmscope.kernel.include.sched import ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO, PF_RANDOMIZE, READ_IMPLIES_EXEC
from mmscope.kernel.lib.random import get_random_bytes
from mmscope.kernel.mm.mmap import do_munmap, find_extend_vma, vm_brk_flags
from mmscope.kernel.mm.util import vm_mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.fs.exec import LinuxBinprm
    from mmscope.kernel.include.kernel import Kernel

_U64: Final = 0xFFFFFFFFFFFFFFFF


def BAD_ADDR(addr: int) -> bool:
    """Not a user address."""
    return addr & _U64 >= TASK_SIZE


def elf_read(file: File, count: int, pos: int) -> bytes:
    """Exactly `count` bytes; EIO if the file ends before."""
    data = kernel_read(file, count, pos)
    if len(data) != count:
        raise KernelError(EIO)
    return data


def load_elf_phdrs(elf_ex: Elf64Ehdr, file: File) -> list[Elf64Phdr] | None:
    """The program headers; None if there are none, too many, or not all there."""
    if elf_ex.e_phentsize != PHDR_SIZE:
        return None
    size = PHDR_SIZE * elf_ex.e_phnum
    if size == 0 or size > 65536 or size > ELF_MIN_ALIGN:
        return None
    try:
        data = elf_read(file, size, elf_ex.e_phoff)
    except KernelError:
        return None
    return [Elf64Phdr(data, PHDR_SIZE * i) for i in range(elf_ex.e_phnum)]


def elf_check_arch(elf_ex: Elf64Ehdr) -> bool:
    """For this processor (IA32 emulation is not built in)."""
    return elf_ex.e_machine == EM_X86_64


def total_mapping_size(phdrs: list[Elf64Phdr]) -> int:
    """Bytes from the first PT_LOAD's page to the end of the last one; 0 without any."""
    loads = [p for p in phdrs if p.p_type == PT_LOAD]
    if not loads:
        return 0
    return loads[-1].p_vaddr + loads[-1].p_memsz - (loads[0].p_vaddr & PAGE_MASK)


def maximum_alignment(phdrs: list[Elf64Phdr]) -> int:
    """The largest p_align of the PT_LOADs that is a power of two, at least a page (since v5.10)."""
    alignment = 0
    for phdr in phdrs:
        if phdr.p_type == PT_LOAD and phdr.p_align and phdr.p_align & (phdr.p_align - 1) == 0:
            alignment = max(alignment, phdr.p_align)
    return PAGE_ALIGN(alignment)


def make_prot(p_flags: int) -> int:
    """PF_* to PROT_*."""
    prot = PROT_READ if p_flags & PF_R else 0
    if p_flags & PF_W:
        prot |= PROT_WRITE
    if p_flags & PF_X:
        prot |= PROT_EXEC
    return prot


def elf_map(k: Kernel, file: File, addr: int, phdr: Elf64Phdr, prot: int, type: int, total_size: int) -> int:
    """Map one segment. With `total_size` the whole program's range is claimed first and the rest given back."""
    size = PAGE_ALIGN(phdr.p_filesz + (phdr.p_vaddr & ~PAGE_MASK))
    off = phdr.p_offset - (phdr.p_vaddr & ~PAGE_MASK)
    addr &= PAGE_MASK & _U64
    if not size:
        return addr
    if off < 0:
        # wraps around in C: the page offset overflows
        off &= _U64
    if total_size:
        total_size = PAGE_ALIGN(total_size)
        map_addr = vm_mmap(k, file, addr, total_size, prot, type, off)
        if total_size > size:
            mm = k.current.mm
            assert mm is not None
            do_munmap(mm, map_addr + size, total_size - size)
        return map_addr
    return vm_mmap(k, file, addr, size, prot, type, off)


def set_brk(k: Kernel, start: int, end: int, prot: int) -> None:
    """Map the pages of the bss beyond the file's, and start the heap after them."""
    start = PAGE_ALIGN(start)
    end = PAGE_ALIGN(end)
    if end > start:
        vm_brk_flags(k, start, end - start, VM_EXEC if prot & PROT_EXEC else 0)
    mm = k.current.mm
    assert mm is not None
    mm.start_brk = mm.brk = end


def padzero(k: Kernel, elf_bss: int) -> None:
    """Zero the bss part of the last file page. EFAULT if it cannot be written."""
    nbyte = elf_bss & ~PAGE_MASK
    if nbyte:
        clear_user(k, elf_bss, ELF_MIN_ALIGN - nbyte)


def check_segment(phdr: Elf64Phdr, start: int, error: int) -> None:
    """The segment at `start` lies in user space; filesz <= memsz."""
    if BAD_ADDR(start) or phdr.p_filesz > phdr.p_memsz or phdr.p_memsz > TASK_SIZE or TASK_SIZE - phdr.p_memsz < start:
        raise KernelError(error)


def load_elf_interp(k: Kernel, elf_ex: Elf64Ehdr, file: File, no_base: int, phdrs: list[Elf64Phdr]) -> int:
    """Map the program's interpreter: its load address."""
    if elf_ex.e_type not in (ET_EXEC, ET_DYN) or not elf_check_arch(elf_ex) or file.f_op.mmap is None:
        raise KernelError(EINVAL)
    total_size = total_mapping_size(phdrs)
    if not total_size:
        raise KernelError(EINVAL)
    load_addr = 0
    load_addr_set = False
    elf_bss = last_bss = bss_prot = 0
    for phdr in phdrs:
        if phdr.p_type != PT_LOAD:
            continue
        elf_type = MAP_PRIVATE | MAP_DENYWRITE
        elf_prot = make_prot(phdr.p_flags)
        vaddr = phdr.p_vaddr
        if elf_ex.e_type == ET_EXEC or load_addr_set:
            elf_type |= MAP_FIXED
        elif no_base and elf_ex.e_type == ET_DYN:
            load_addr = -vaddr
        map_addr = elf_map(k, file, load_addr + vaddr, phdr, elf_prot, elf_type, total_size)
        total_size = 0
        if not load_addr_set and elf_ex.e_type == ET_DYN:
            load_addr = map_addr - (vaddr & PAGE_MASK)
            load_addr_set = True
        start = load_addr + phdr.p_vaddr
        check_segment(phdr, start, ENOMEM)
        elf_bss = max(elf_bss, start + phdr.p_filesz)
        if start + phdr.p_memsz > last_bss:
            last_bss = start + phdr.p_memsz
            bss_prot = elf_prot
    padzero(k, elf_bss)
    elf_bss = PAGE_ALIGN(elf_bss)
    last_bss = PAGE_ALIGN(last_bss)
    if last_bss > elf_bss:
        vm_brk_flags(k, elf_bss, last_bss - elf_bss, VM_EXEC if bss_prot & PROT_EXEC else 0)
    return load_addr


class LoadedElf:
    """Where the program's segments came to lie; addresses with the load bias, once map_segments() is done."""

    def __init__(self) -> None:
        self.load_bias = 0
        #: Address of the file's first byte.
        self.load_addr = 0
        self.load_addr_set = False
        self.start_code = _U64
        self.end_code = 0
        self.start_data = 0
        self.end_data = 0
        self.elf_bss = 0
        self.elf_brk = 0
        self.bss_prot = 0


def first_load_bias(k: Kernel, phdrs: list[Elf64Phdr], vaddr: int, has_interp: bool) -> int:
    """ET_DYN: a program with an interpreter goes to ELF_ET_DYN_BASE, a loader itself (static PIE) into the mmap area."""
    load_bias = 0
    if has_interp:
        load_bias = ELF_ET_DYN_BASE
        if k.current.flags & PF_RANDOMIZE:
            load_bias += arch_mmap_rnd(k)
        alignment = maximum_alignment(phdrs)
        if alignment:
            load_bias &= ~(alignment - 1)
    return (load_bias - vaddr) & PAGE_MASK


def map_bss_between(k: Kernel, elf: LoadedElf) -> None:
    """A segment with a bss is followed by another one: map and clear the bss before going on."""
    set_brk(k, elf.elf_bss + elf.load_bias, elf.elf_brk + elf.load_bias, elf.bss_prot)
    nbyte = elf.elf_bss & ~PAGE_MASK
    if nbyte:
        nbyte = min(ELF_MIN_ALIGN - nbyte, elf.elf_brk - elf.elf_bss)
        try:
            clear_user(k, elf.elf_bss + elf.load_bias, nbyte)
        except KernelError:
            # A read-only segment with a bss: Linux does not mind.
            return


def map_segments(k: Kernel, file: File, elf_ex: Elf64Ehdr, phdrs: list[Elf64Phdr], has_interp: bool) -> LoadedElf:
    """Map all PT_LOADs in their order."""
    elf = LoadedElf()
    for phdr in phdrs:
        if phdr.p_type != PT_LOAD:
            continue
        if elf.elf_brk > elf.elf_bss:
            map_bss_between(k, elf)
        elf_prot = make_prot(phdr.p_flags)
        elf_flags = MAP_PRIVATE | MAP_DENYWRITE | MAP_EXECUTABLE
        vaddr = phdr.p_vaddr
        total_size = 0
        if elf_ex.e_type == ET_EXEC or elf.load_addr_set:
            elf_flags |= MAP_FIXED
        else:
            elf.load_bias = first_load_bias(k, phdrs, vaddr, has_interp)
            if has_interp:
                elf_flags |= MAP_FIXED
            total_size = total_mapping_size(phdrs)
            if not total_size:
                raise KernelError(EINVAL)
        addr = elf_map(k, file, elf.load_bias + vaddr, phdr, elf_prot, elf_flags, total_size)
        if not elf.load_addr_set:
            elf.load_addr_set = True
            elf.load_addr = phdr.p_vaddr - phdr.p_offset
            if elf_ex.e_type == ET_DYN:
                elf.load_bias += addr - ((elf.load_bias + vaddr) & PAGE_MASK)
                elf.load_addr += elf.load_bias
        if phdr.p_flags & PF_X:
            elf.start_code = min(elf.start_code, vaddr)
        elf.start_data = max(elf.start_data, vaddr)
        check_segment(phdr, vaddr, EINVAL)
        end = vaddr + phdr.p_filesz
        elf.elf_bss = max(elf.elf_bss, end)
        if phdr.p_flags & PF_X:
            elf.end_code = max(elf.end_code, end)
        elf.end_data = max(elf.end_data, end)
        if vaddr + phdr.p_memsz > elf.elf_brk:
            elf.bss_prot = elf_prot
            elf.elf_brk = vaddr + phdr.p_memsz
    bias = elf.load_bias
    elf.elf_bss += bias
    elf.elf_brk += bias
    elf.start_code = (elf.start_code + bias) & _U64
    elf.end_code += bias
    elf.start_data += bias
    elf.end_data += bias
    return elf


class ElfInterpreter:
    """PT_INTERP's file with its headers."""

    def __init__(self, file: File, elf_ex: Elf64Ehdr) -> None:
        self.file = file
        self.elf_ex = elf_ex
        self.phdrs: list[Elf64Phdr] = []


def open_interpreter(bprm: LinuxBinprm, phdrs: list[Elf64Phdr]) -> ElfInterpreter | None:
    """The interpreter that the first PT_INTERP names; None for a static program."""
    assert bprm.file is not None
    for phdr in phdrs:
        if phdr.p_type != PT_INTERP:
            continue
        if phdr.p_filesz > PATH_MAX or phdr.p_filesz < 2:
            raise KernelError(ENOEXEC)
        name = elf_read(bprm.file, phdr.p_filesz, phdr.p_offset)
        if name[-1] != 0:
            raise KernelError(ENOEXEC)
        file = fs_exec.open_exec(bprm.k, name.partition(b"\0")[0])
        try:
            return ElfInterpreter(file, Elf64Ehdr(elf_read(file, EHDR_SIZE, 0)))
        except KernelError:
            exec_fput(file)
            raise
    return None


def load_elf_binary(bprm: LinuxBinprm) -> None:
    """Load an ELF program into a new address space and point the registers at its start."""
    elf_ex = Elf64Ehdr(bprm.buf)
    file = bprm.file
    assert file is not None
    if elf_ex.e_ident[:4] != ELFMAG or elf_ex.e_type not in (ET_EXEC, ET_DYN):
        raise KernelError(ENOEXEC)
    if not elf_check_arch(elf_ex) or file.f_op.mmap is None:
        raise KernelError(ENOEXEC)
    phdrs = load_elf_phdrs(elf_ex, file)
    if phdrs is None:
        raise KernelError(ENOEXEC)
    interp = open_interpreter(bprm, phdrs)
    try:
        load_elf_checked(bprm, elf_ex, phdrs, interp)
    finally:
        if interp is not None:
            exec_fput(interp.file)


def load_elf_checked(bprm: LinuxBinprm, elf_ex: Elf64Ehdr, phdrs: list[Elf64Phdr], interp: ElfInterpreter | None) -> None:
    """load_elf_binary() from where the headers have been read."""
    k = bprm.k
    task = k.current
    file = bprm.file
    assert file is not None
    executable_stack = EXSTACK_DEFAULT
    for phdr in phdrs:
        if phdr.p_type == PT_GNU_STACK:
            executable_stack = EXSTACK_ENABLE_X if phdr.p_flags & PF_X else EXSTACK_DISABLE_X
    if interp is not None:
        if interp.elf_ex.e_ident[:4] != ELFMAG or not elf_check_arch(interp.elf_ex):
            raise KernelError(ELIBBAD)
        interp_phdrs = load_elf_phdrs(interp.elf_ex, interp.file)
        if interp_phdrs is None:
            raise KernelError(ELIBBAD)
        interp.phdrs = interp_phdrs

    fs_exec.begin_new_exec(bprm)

    # SET_PERSONALITY2. A 64-bit program never gets READ_IMPLIES_EXEC from its PT_GNU_STACK (since v5.8).
    task.personality &= ~READ_IMPLIES_EXEC
    if not task.personality & ADDR_NO_RANDOMIZE and k.config.randomize_va_space:
        task.flags |= PF_RANDOMIZE
    fs_exec.setup_new_exec(bprm)
    fs_exec.setup_arg_pages(bprm, fs_exec.randomize_stack_top(k, STACK_TOP), executable_stack)

    elf = map_segments(k, file, elf_ex, phdrs, interp is not None)
    e_entry = (elf_ex.e_entry + elf.load_bias) & _U64
    set_brk(k, elf.elf_bss, elf.elf_brk, elf.bss_prot)
    if elf.elf_bss != elf.elf_brk:
        try:
            padzero(k, elf.elf_bss)
        except KernelError:
            raise KernelError(EFAULT) from None
    interp_load_addr = 0
    elf_entry = e_entry
    if interp is not None:
        interp_load_addr = load_elf_interp(k, interp.elf_ex, interp.file, elf.load_bias, interp.phdrs)
        elf_entry = (interp_load_addr + interp.elf_ex.e_entry) & _U64
    if BAD_ADDR(elf_entry):
        raise KernelError(EINVAL)

    mm = task.mm
    assert mm is not None
    arch_setup_additional_pages(k, mm)
    create_elf_tables(bprm, elf_ex, elf.load_addr, interp_load_addr, e_entry)
    mm.end_code = elf.end_code
    mm.start_code = elf.start_code
    mm.start_data = elf.start_data
    mm.end_data = elf.end_data
    mm.start_stack = bprm.p
    if task.flags & PF_RANDOMIZE and k.config.randomize_va_space > 1:
        # A loader run by itself lies in the mmap area, where its heap would soon meet something.
        if elf_ex.e_type == ET_DYN and interp is None:
            mm.brk = mm.start_brk = ELF_ET_DYN_BASE
        mm.brk = mm.start_brk = arch_randomize_brk(mm)
    if task.personality & MMAP_PAGE_ZERO:
        vm_mmap(k, None, 0, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_FIXED | MAP_PRIVATE, 0)
    start_thread(k, task.regs, elf_entry, bprm.p)


def load_no_program(bprm: LinuxBinprm) -> None:
    """load_elf_binary() of a program without headers and segments, for Machine.process()."""
    k = bprm.k
    task = k.current
    fs_exec.begin_new_exec(bprm)
    task.personality &= ~READ_IMPLIES_EXEC
    if not task.personality & ADDR_NO_RANDOMIZE and k.config.randomize_va_space:
        task.flags |= PF_RANDOMIZE
    fs_exec.setup_new_exec(bprm)
    fs_exec.setup_arg_pages(bprm, fs_exec.randomize_stack_top(k, STACK_TOP), EXSTACK_DISABLE_X)
    mm = task.mm
    assert mm is not None
    mm.start_brk = mm.brk = (ELF_ET_DYN_BASE & PAGE_MASK) + PAGE_SIZE
    arch_setup_additional_pages(k, mm)
    create_elf_tables(bprm, Elf64Ehdr(bytes(EHDR_SIZE)), 0, 0, 0)
    mm.start_stack = bprm.p
    if task.flags & PF_RANDOMIZE and k.config.randomize_va_space > 1:
        mm.brk = mm.start_brk = arch_randomize_brk(mm)
    start_thread(k, task.regs, 0, bprm.p)


def elf_auxv(bprm: LinuxBinprm, elf_ex: Elf64Ehdr, addrs: tuple[int, int, int], strings: tuple[int, int]) -> list[int]:
    """The auxiliary vector, AT_NULL included. addrs: load_addr, interp_load_addr, e_entry; strings: AT_RANDOM, AT_PLATFORM."""
    k = bprm.k
    cred = k.current.cred
    mm = k.current.mm
    assert mm is not None
    load_addr, interp_load_addr, e_entry = addrs
    u_rand_bytes, u_platform = strings
    entries = []
    if mm.vdso:
        entries.append((AT_SYSINFO_EHDR, mm.vdso))
    entries += [
        (AT_HWCAP, k.config.elf_hwcap),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCKS_PER_SEC),
        (AT_PHDR, (load_addr + elf_ex.e_phoff) & _U64),
        (AT_PHENT, PHDR_SIZE),
        (AT_PHNUM, elf_ex.e_phnum),
        (AT_BASE, interp_load_addr),
        (AT_FLAGS, 0),
        (AT_ENTRY, e_entry),
        (AT_UID, cred.uid),
        (AT_EUID, cred.euid),
        (AT_GID, cred.gid),
        (AT_EGID, cred.egid),
        (AT_SECURE, bprm.secureexec),
        (AT_RANDOM, u_rand_bytes),
        # FSGSBASE and MONITOR in ring 3: not on this processor
        (AT_HWCAP2, 0),
        (AT_EXECFN, bprm.exec),
        (AT_PLATFORM, u_platform),
        (AT_NULL, 0),
    ]
    flat = []
    for kind, value in entries:
        flat += [kind, value]
    return flat


def create_elf_tables(bprm: LinuxBinprm, elf_ex: Elf64Ehdr, load_addr: int, interp_load_addr: int, e_entry: int) -> None:
    """Below the strings: platform name, random bytes; then from bprm.p up argc, argv[], envp[], the auxiliary vector."""
    k = bprm.k
    mm = k.current.mm
    assert mm is not None
    p = arch_align_stack(k, bprm.p)
    p -= len(ELF_PLATFORM) + 1
    u_platform = p
    copy_to_user(k, u_platform, ELF_PLATFORM + b"\0")
    p -= 16
    u_rand_bytes = p
    copy_to_user(k, u_rand_bytes, get_random_bytes(k, 16))
    elf_info = elf_auxv(bprm, elf_ex, (load_addr, interp_load_addr, e_entry), (u_rand_bytes, u_platform))
    mm.saved_auxv = elf_info + [0] * (AT_VECTOR_PAIRS * 2 - len(elf_info))
    items = (bprm.argc + 1) + (bprm.envc + 1) + 1
    sp = p - len(elf_info) * 8
    bprm.p = (sp - items * 8) & ~15
    sp = bprm.p
    if find_extend_vma(mm, bprm.p) is None:
        raise KernelError(EFAULT)
    put_user(k, sp, bprm.argc, 8)
    sp += 8
    mm.arg_end = mm.arg_start
    sp, mm.arg_end = put_string_pointers(k, sp, mm.arg_start, bprm.argc)
    mm.env_start = mm.arg_end
    sp, mm.env_end = put_string_pointers(k, sp, mm.env_start, bprm.envc)
    copy_to_user(k, sp, struct.pack(f"<{len(elf_info)}Q", *elf_info))


def put_string_pointers(k: Kernel, sp: int, p: int, count: int) -> tuple[int, int]:
    """Write the addresses of `count` strings that follow each other from `p`, and a NULL: the next sp and p."""
    pointers = []
    for _ in range(count):
        pointers.append(p)
        length = len(strncpy_from_user(k, p, fs_exec.MAX_ARG_STRLEN)) + 1
        if length > fs_exec.MAX_ARG_STRLEN:
            raise KernelError(EINVAL)
        p += length
    pointers.append(0)
    copy_to_user(k, sp, struct.pack(f"<{len(pointers)}Q", *pointers))
    return sp + 8 * len(pointers), p
