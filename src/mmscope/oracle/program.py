# SPDX-License-Identifier: GPL-2.0-or-later
"""The recordings' own program on the model: `init.elf` runs, instruction by instruction, to its first marker.

In the recording it was process 1, an initramfs its root, its environment the kernel's command line. It mounts, loads modules
and opens /mnt/data; what the model refuses of that leaves no trace in its address space. At each marker it reads a byte from
descriptor 0: there the recorder looked at its structures, and there the model stops.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Mapping
from pathlib import Path

from mmscope.errors import MmscopeError, UsageError
from mmscope.kernel.include.fs import S_IFDIR, Dentry, File, Inode
from mmscope.machine import Process
from mmscope.oracle.rebuild import boot, ext4_file, shmem_file

__all__ = ["DATA_FD", "Program", "program_beside", "run_program", "symbols"]

#: The descriptor of /mnt/data.
DATA_FD = 3

_NR_READ = 0
_SHT_SYMTAB = 2


class _Marker(Exception):
    """The program stands at a marker."""


class Program:
    """A machine whose only process runs `elf` with the environment `env`. `start_stack` may be asked for before it runs."""

    def __init__(self, elf: bytes, env: Mapping[bytes, bytes]) -> None:
        self.machine = boot()
        self.k = k = self.machine.kernel
        k.last_pid = 0
        init, data = shmem_file(k, "init", elf), ext4_file(k)
        self.elf = elf
        self.inodes = {"init": init.f_inode, "data": data.f_inode}
        root = k.vfs.root
        mnt = Dentry(root.d_sb, "mnt", root, Inode(root.d_sb, 2, S_IFDIR | 0o755))
        root.d_children["init"] = Dentry(init.f_inode.i_sb, "init", root, init.f_inode)
        root.d_children["mnt"] = mnt
        mnt.d_children["data"] = Dentry(data.f_inode.i_sb, "data", mnt, data.f_inode)
        environment = {b"HOME": b"/", b"TERM": b"linux", **env}
        self.process: Process = self.machine.spawn("/init", ["/init"], environment, stdin=b"", capture_output=True)
        self.task, self.mm = self.process.task, self.process.mm
        k.tp.attach("sys_enter", self._sys_enter)

    def _sys_enter(self, *event: object) -> None:
        nr, args = event[-2:]
        assert isinstance(args, tuple)
        if nr == _NR_READ and args[0] == 0:
            raise _Marker

    def run(self) -> None:
        """To the first marker. Raises MmscopeError if the program ends before."""
        try:
            status = self.process.run()
        except _Marker:
            # From here on the structures are worked on from outside.
            self.k.tp.sys_enter = None
            return
        raise MmscopeError(f"the recorded program ended before its first marker: {status!r}")

    @property
    def data(self) -> File:
        """/mnt/data as the program has opened it."""
        assert self.task.files is not None
        return self.task.files.fd[DATA_FD]


def symbols(elf: bytes) -> dict[str, int]:
    """The names in an ELF file's symbol table, and their addresses; none if it was stripped."""
    found: dict[str, int] = {}
    shoff, shentsize, shnum = *struct.unpack_from("<Q", elf, 0x28), *struct.unpack_from("<HH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, shoff + i * shentsize) for i in range(shnum)]
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != _SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, 24):
            name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", elf, at)
            end = elf.index(b"\0", strings + name)
            found[elf[strings + name : end].decode()] = value
    return found


def program_beside(recording: Path) -> bytes | None:
    """The program that was running: init.elf.xz, or init.elf, in the recording's folder. None if it is not there."""
    try:
        packed = recording.parent / "init.elf.xz"
        if packed.exists():
            return lzma.decompress(packed.read_bytes())
        plain = recording.parent / "init.elf"
        return plain.read_bytes() if plain.exists() else None
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise UsageError(f"{recording.parent}/init.elf: {error}") from None


def run_program(elf: bytes, env: Mapping[bytes, bytes], start_stack: int) -> Program:
    """The program at its first marker. `env` is the recorded kernel's command line as far as it is known.

    Its length decides where the stack starts: if `start_stack` does not come out, the environment gets another length.
    """
    program = Program(elf, env)
    for length in range(0, 256, 8):
        if program.mm.start_stack == start_stack:
            break
        program.machine.close()
        program = Program(elf, {b"cmdline": b"x" * length})
    program.run()
    return program
