# SPDX-License-Identifier: GPL-2.0-or-later
"""execve: the layout of the new address space, the stack that a program finds, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mmscope.kernel.fs.binfmt_elf import total_mapping_size
from mmscope.kernel.fs.exec import do_execve
from mmscope.kernel.fs.task_mmu import show_map
from mmscope.kernel.include.elf import AT_ENTRY, AT_EXECFN, AT_PAGESZ, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_SYSINFO_EHDR
from mmscope.kernel.include.errno import E2BIG, EACCES, ELOOP, ENOENT, ENOEXEC, ENOTDIR, KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.signal import SIGSEGV
from tests.kernel.fs.fs_machine import boot_bare, gcc, peek

ARGV = [b"prog", b"one", b"", b"three"]
ENVP = [b"A=1", b"PATH=/bin"]


def words(k: Kernel, addr: int, n: int) -> tuple[int, ...]:
    """`n` 64-bit words of user memory."""
    return struct.unpack(f"<{n}Q", peek(k, addr, 8 * n))


def string(k: Kernel, addr: int) -> bytes:
    """A NUL-terminated string of user memory."""
    out = b""
    while not out.endswith(b"\0"):
        out += peek(k, addr + len(out), 1)
    return out[:-1]


def minimal_elf(machine: int = 62, filesz: int = 0x1000, memsz: int = 0x1000, phnum: int = 1, e_type: int = 2) -> bytes:
    """An ELF file of one executable segment at 0x400000 that begins with its own headers."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    ehdr = ident + struct.pack("<HHIQQQIHHHHHH", e_type, machine, 1, 0x400080, 64, 0, 0, 64, 56, phnum, 0, 0, 0)
    phdr = struct.pack("<IIQQQQQQ", 1, 7, 0, 0x400000, 0x400000, filesz, memsz, 0x1000)
    return (ehdr + phdr).ljust(0x80, b"\0") + b"\x0f\x05"


def put(root: Path, name: str, content: bytes, mode: int = 0o755) -> None:
    """A file of the guest."""
    (root / name).write_bytes(content)
    (root / name).chmod(mode)


def test_static_program_without_aslr(tmp_path: Path) -> None:
    prog = gcc(tmp_path, "int main(void){return 0;}", "-static", "-no-pie")
    k = boot_bare(tmp_path)
    do_execve(k, "/prog", ARGV, ENVP)
    mm = k.current.mm
    assert mm is not None
    lines = show_map(mm).splitlines()
    ino = prog.stat().st_ino
    assert lines[0].startswith("00400000-00401000 r--p 00000000 ")
    assert lines[0].split()[4:] == [str(ino), "/prog"]
    assert lines[0].index("/prog") == 73
    assert lines[1].startswith("00401000-")
    assert lines[-1] == "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]"
    assert lines[-2].startswith("7ffff7ffe000-7ffff7fff000 r-xp")
    assert lines[-2].endswith(" [vdso]")
    assert lines[-3].startswith("7ffff7ffa000-7ffff7ffe000 r--p")
    assert lines[-3].endswith(" [vvar]")
    assert lines[-4].endswith("[heap]")
    assert k.current.comm == "prog"
    assert k.current.regs.sp % 16 == 0
    assert mm.start_stack == k.current.regs.sp
    assert mm.exe_file is not None


def test_the_initial_stack(tmp_path: Path) -> None:
    put(tmp_path, "prog", minimal_elf())
    k = boot_bare(tmp_path)
    do_execve(k, "/prog", ARGV, ENVP)
    mm = k.current.mm
    assert mm is not None
    regs = k.current.regs
    assert regs.ip == 0x400080
    argc = words(k, regs.sp, 1)[0]
    assert argc == len(ARGV)
    argv = words(k, regs.sp + 8, argc + 1)
    assert [string(k, p) for p in argv[:-1]] == ARGV
    assert argv[-1] == 0
    envp = words(k, regs.sp + 8 * (argc + 2), 3)
    assert [string(k, p) for p in envp[:-1]] == ENVP
    assert envp[-1] == 0
    flat = words(k, regs.sp + 8 * (argc + 2 + 3), 40)
    order = [33, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15, 0]
    assert list(flat[::2]) == order
    auxv = dict(zip(flat[::2], flat[1::2], strict=True))
    assert auxv[AT_PAGESZ] == 4096
    assert auxv[AT_PHNUM] == 1
    assert auxv[AT_ENTRY] == 0x400080
    assert auxv[AT_SYSINFO_EHDR] == mm.vdso
    assert string(k, auxv[AT_EXECFN]) == b"/prog"
    assert string(k, auxv[AT_PLATFORM]) == b"x86_64"
    assert peek(k, auxv[AT_RANDOM], 16) != bytes(16)
    # The strings end 8 bytes below the top of the stack: argv, envp, file name.
    assert auxv[AT_EXECFN] == 0x7FFFFFFFF000 - 8 - len(b"/prog\0")
    assert mm.arg_start == argv[0]
    assert mm.arg_end == envp[0] == mm.env_start
    assert mm.env_end == auxv[AT_EXECFN]


def test_position_independent_programs(tmp_path: Path) -> None:
    gcc(tmp_path, "int main(void){return 0;}", "-static-pie")
    k = boot_bare(tmp_path)
    do_execve(k, "/prog", [b"p"], [])
    mm = k.current.mm
    assert mm is not None
    # A loader of itself goes top-down into the mmap area, vvar and vdso below it.
    lines = show_map(mm).splitlines()
    assert lines[0].endswith("[vvar]")
    assert lines[-2].startswith("7ffff7f")
    assert "-7ffff7fff000" in lines[-2]
    aslr = boot_bare(tmp_path, aslr=True)
    do_execve(aslr, "/prog", [b"p"], [])
    assert aslr.current.mm is not None
    # ... and its heap to ELF_ET_DYN_BASE, where nothing grows into it.
    assert 0x555555554000 <= aslr.current.mm.start_brk < 0x555555554000 + (1 << 26)


def test_dynamic_program_and_interpreter(tmp_path: Path) -> None:
    gcc(tmp_path, "int main(void){return 0;}", "-pie")
    k = boot_bare(Path("/"))
    do_execve(k, str(tmp_path / "prog"), [b"p"], [])
    mm = k.current.mm
    assert mm is not None
    lines = show_map(mm).splitlines()
    assert lines[0].startswith("555555554000-")
    assert any("ld-linux" in line for line in lines)
    assert mm.start_code == 0x555555554000 + 0x1000
    assert k.current.regs.ip > 0x7FFFF7000000


def test_aslr_moves_the_stack_by_its_page_tables(tmp_path: Path) -> None:
    put(tmp_path, "prog", minimal_elf())
    k = boot_bare(tmp_path, aslr=True)
    do_execve(k, "/prog", [b"p" * 10000, b"q"], ENVP)
    mm = k.current.mm
    assert mm is not None
    argv = words(k, k.current.regs.sp + 8, 2)
    assert string(k, argv[0]) == b"p" * 10000
    stack = mm.mmap
    while stack is not None and not stack.vm_start <= mm.start_stack < stack.vm_end:
        stack = stack.vm_next
    assert stack is not None
    assert stack.vm_end < 0x7FFFFFFFF000
    # The page offset remembers where the stack was built.
    assert stack.vm_pgoff != stack.vm_start >> 12
    assert stack.vm_end - stack.vm_start >= 132 * 1024


@pytest.mark.parametrize(
    ("content", "mode", "errno"),
    [
        (b"", 0o755, ENOEXEC),
        (b"just text\n", 0o755, ENOEXEC),
        (minimal_elf(), 0o644, EACCES),
        (minimal_elf(machine=3), 0o755, ENOEXEC),
        (minimal_elf()[:40], 0o755, ENOEXEC),
        (minimal_elf()[:100], 0o755, ENOEXEC),
        (minimal_elf(phnum=0), 0o755, ENOEXEC),
        (minimal_elf(phnum=80), 0o755, ENOEXEC),
        (minimal_elf(e_type=1), 0o755, ENOEXEC),
        (b"#!\n", 0o755, ENOEXEC),
        (b"#!/none\n", 0o755, ENOENT),
        (b"#!" + b"x" * 300 + b"\n", 0o755, ENOEXEC),
        (b"#!/prog\n", 0o755, ELOOP),
        (b"#!/dir\n", 0o755, EACCES),
        (b"#!/text/x\n", 0o755, ENOTDIR),
    ],
)
def test_what_is_refused_leaves_the_task_as_it_was(tmp_path: Path, content: bytes, mode: int, errno: int) -> None:
    put(tmp_path, "prog", content, mode)
    put(tmp_path, "text", b"t")
    (tmp_path / "dir").mkdir()
    put(tmp_path, "good", minimal_elf())
    k = boot_bare(tmp_path)
    do_execve(k, "/good", [b"good"], [])
    before = show_map_of(k)
    with pytest.raises(KernelError) as error:
        do_execve(k, "/prog", [b"prog"], [])
    assert error.value.errno == errno
    assert show_map_of(k) == before
    assert not k.current.tif_sigpending


def show_map_of(k: Kernel) -> str:
    """maps of the current task."""
    assert k.current.mm is not None
    return show_map(k.current.mm)


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    k = boot_bare(tmp_path)
    with pytest.raises(KernelError) as error:
        do_execve(k, "/dir", [b"d"], [])
    assert error.value.errno == EACCES


def test_beyond_the_point_of_no_return_it_kills(tmp_path: Path) -> None:
    # filesz > memsz is found only while mapping
    put(tmp_path, "prog", minimal_elf(filesz=0x2000, memsz=0x1000))
    k = boot_bare(tmp_path)
    with pytest.raises(KernelError):
        do_execve(k, "/prog", [b"prog"], [])
    assert k.current.pending.signal & 1 << (SIGSEGV - 1)


def test_argument_limits(tmp_path: Path) -> None:
    put(tmp_path, "prog", minimal_elf())
    k = boot_bare(tmp_path)
    for argv in ([b"x" * (128 << 10)], [b"x" * 100_000] * 25):
        with pytest.raises(KernelError) as error:
            do_execve(k, "/prog", argv, [])
        assert error.value.errno == E2BIG
    do_execve(k, "/prog", [b"x" * ((128 << 10) - 1)], [])
    assert words(k, k.current.regs.sp, 1) == (1,)


def test_a_script_runs_its_interpreter(tmp_path: Path) -> None:
    put(tmp_path, "sh", minimal_elf())
    put(tmp_path, "script", b"#! /sh  -e x \nrest\n")
    k = boot_bare(tmp_path)
    do_execve(k, "/script", [b"arg0", b"arg1"], [])
    sp = k.current.regs.sp
    argc = words(k, sp, 1)[0]
    assert [string(k, p) for p in words(k, sp + 8, argc)] == [b"/sh", b"-e x", b"/script", b"arg1"]
    assert k.current.comm == "script"


def test_a_second_exec_gives_all_frames_back(tmp_path: Path) -> None:
    put(tmp_path, "prog", minimal_elf(memsz=0x20000))
    k = boot_bare(tmp_path)
    free = []
    for _ in range(3):
        do_execve(k, "/prog", ARGV, ENVP)
        mm = k.current.mm
        assert mm is not None
        free.append(mm.pgtables_bytes)
    assert free[0] == free[1] == free[2]


def test_total_mapping_size_of_nothing() -> None:
    assert total_mapping_size([]) == 0
