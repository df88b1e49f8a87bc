# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF64 as the loader needs it (uapi/linux/elf.h, uapi/linux/auxvec.h, arch/x86/include/asm/elf.h)."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ELFMAG: Final = b"\x7fELF"
ET_EXEC: Final = 2
ET_DYN: Final = 3
EM_X86_64: Final = 62

PT_LOAD: Final = 1
PT_INTERP: Final = 3
PT_GNU_STACK: Final = 0x6474E551
PT_GNU_PROPERTY: Final = 0x6474E553

PF_X: Final = 1
PF_W: Final = 2
PF_R: Final = 4

#: Executable-stack request of PT_GNU_STACK (uapi/linux/binfmts.h's EXSTACK_*).
EXSTACK_DEFAULT: Final = 0
EXSTACK_DISABLE_X: Final = 1
EXSTACK_ENABLE_X: Final = 2

AT_NULL: Final = 0
AT_IGNORE: Final = 1
AT_EXECFD: Final = 2
AT_PHDR: Final = 3
AT_PHENT: Final = 4
AT_PHNUM: Final = 5
AT_PAGESZ: Final = 6
AT_BASE: Final = 7
AT_FLAGS: Final = 8
AT_ENTRY: Final = 9
AT_UID: Final = 11
AT_EUID: Final = 12
AT_GID: Final = 13
AT_EGID: Final = 14
AT_PLATFORM: Final = 15
AT_HWCAP: Final = 16
AT_CLKTCK: Final = 17
AT_SECURE: Final = 23
AT_RANDOM: Final = 25
AT_HWCAP2: Final = 26
AT_EXECFN: Final = 31
AT_SYSINFO_EHDR: Final = 33

#: AT_VECTOR_SIZE_BASE 20 + AT_VECTOR_SIZE_ARCH 3, plus AT_NULL: pairs in mm->saved_auxv.
AT_VECTOR_PAIRS: Final = 23

#: 2/3 of TASK_SIZE_MAX: where position-independent programs with an interpreter go (x86's DEFAULT_MAP_WINDOW).
ELF_ET_DYN_BASE: Final = 0x7FFFFFFFF000 // 3 * 2
#: sizeof(Elf64_Ehdr), sizeof(Elf64_Phdr)
EHDR_SIZE: Final = 64
PHDR_SIZE: Final = 56
ELF_MIN_ALIGN: Final = 4096
ELF_PLATFORM: Final = b"x86_64"
CLOCKS_PER_SEC: Final = 100


class Elf64Ehdr:
    """Elf64_Ehdr, from its first 64 bytes."""

    def __init__(self, data: bytes) -> None:
        fields: tuple[int, ...] = struct.unpack_from("<HHIQQQIHHHHHH", data, 16)
        self.e_ident = data[:16]
        self.e_type = fields[0]
        self.e_machine = fields[1]
        self.e_version = fields[2]
        #: Virtual address.
        self.e_entry = fields[3]
        #: File offsets of the program and the section headers.
        self.e_phoff = fields[4]
        self.e_shoff = fields[5]
        self.e_flags = fields[6]
        self.e_ehsize = fields[7]
        self.e_phentsize = fields[8]
        self.e_phnum = fields[9]


class Elf64Phdr:
    """Elf64_Phdr: offsets, addresses and sizes in bytes."""

    def __init__(self, data: bytes, offset: int) -> None:
        fields: tuple[int, ...] = struct.unpack_from("<IIQQQQQQ", data, offset)
        self.p_type = fields[0]
        #: PF_*
        self.p_flags = fields[1]
        self.p_offset = fields[2]
        self.p_vaddr = fields[3]
        self.p_filesz = fields[5]
        self.p_memsz = fields[6]
        self.p_align = fields[7]
