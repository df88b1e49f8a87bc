# SPDX-License-Identifier: GPL-2.0-or-later
"""A runner whose kernel boots under QEMU: about two seconds for all scenarios of a batch."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mmscope.errors import MmscopeError
from mmscope.oracle.record.debian import command
from mmscope.oracle.record.initrd import cpio
from mmscope.oracle.runner import FILES, _AgentRunner

__all__ = ["GuestRunner", "boot", "build_init", "make_disk"]

#: Enough that no 1 GiB mapping of a random scenario is refused: overcommit looks at RAM.
MEMORY = "4096"
#: No KVM is asked for: machines of the cloud have none.
_QEMU = (
    "qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", MEMORY, "-display", "none", "-no-reboot", "-nodefaults",
    "-serial", "stdio",
)  # fmt: skip
_CMDLINE = "console=ttyS0 quiet panic=-1 nokaslr norandmaps"
_TIMEOUT = 600.0
_KERNEL = re.compile(rb"\n@@KERNEL ([^\r\n]*)")
_DISK = re.compile(rb"\n@@DISK (\d+)\s+(\d+)")
_ANSWERS = re.compile(rb"\n@@ANSWERS (\d+) (\d+)\n")


def build_init(source: str, folder: Path) -> None:
    """Compile a file of this folder to `folder`/init."""
    path = Path(__file__).parent / source
    command(["gcc", "-O1", "-static", "-Wno-unused-result", "-o", str(folder / "init"), str(path)], folder)


def boot(vmlinuz: Path, files: list[tuple[str, int, bytes]], folder: Path, extra: tuple[str, ...] = ()) -> bytes | None:
    """What the guest printed until it powered itself off; None if it took too long. `extra` are QEMU's arguments."""
    initrd = folder / "initrd"
    initrd.write_bytes(cpio(files))
    args = [*_QEMU, "-kernel", str(vmlinuz), "-initrd", str(initrd), "-append", _CMDLINE, *extra]
    try:
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_TIMEOUT)
    except FileNotFoundError:
        raise MmscopeError("qemu-system-x86_64 is not installed") from None
    except subprocess.TimeoutExpired:
        return None
    return done.stdout


def make_disk(folder: Path, tree: str = "") -> tuple[str, ...]:
    """`folder`/disk, an ext4 as Debian makes them with the files of `folder`/`tree`, never changed: QEMU's arguments for it."""
    command(["mke2fs", "-q", "-t", "ext4", "-b", "4096", *(("-d", tree) if tree else ()), "disk", "32M"], folder)
    # NVMe and ext4 are built into Debian's cloud kernels: no module is needed. mdts: requests are as large as the kernel likes.
    return ("-device", "nvme,drive=disk,serial=1,mdts=9", "-drive", f"if=none,id=disk,format=raw,snapshot=on,file={folder}/disk")


class GuestRunner(_AgentRunner):
    """The agent on the kernel image `vmlinuz`, started as LiveRunner starts it; its files stand on the initramfs or an ext4."""

    def __init__(self, vmlinuz: Path, fs: str = "tmpfs") -> None:
        super().__init__()
        self.vmlinuz = vmlinuz
        self.fs = fs
        #: /proc/version of the guest, once it has run.
        self.kernel = ""
        #: read_ahead_kb and max_sectors_kb of its disk.
        self.readahead = (128, 1280)
        self._scratch = Path(tempfile.mkdtemp(prefix="mmscope-record-"))
        build_init("init.c", self._scratch)

    @property
    def release(self) -> tuple[int, int]:
        """(6, 12) of the guest; it boots for that if it has not run yet."""
        if not self.kernel:
            self._execute(b"")
        match = re.match(r"Linux version (\d+)\.(\d+)", self.kernel)
        assert match is not None
        return int(match[1]), int(match[2])

    def close(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        super().close()

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        files = [("init", 0o755, (self._scratch / "init").read_bytes()), ("input", 0o644, text)]
        place = "files" if self.fs == "ext4" else "scratch"
        files += [
            (f"{place}/{name}", 0o755 if name == "agent" else 0o644, (self.folder / name).read_bytes())
            for name in ("agent", *FILES)
        ]
        disk = make_disk(self._scratch) if self.fs == "ext4" else ()
        printed = boot(self.vmlinuz, files, self._scratch, disk)
        if printed is None:
            return b"", "timeout"
        kernel, answers = _KERNEL.search(printed), _ANSWERS.search(printed)
        if kernel is None or answers is None:
            raise MmscopeError(f"the guest did not get to its end: {printed[-400:].decode('utf-8', 'replace')}")
        self.kernel = kernel.group(1).decode()
        disk_queue = _DISK.search(printed)
        if disk_queue is not None:
            self.readahead = (int(disk_queue.group(1)), int(disk_queue.group(2)))
        status, length = int(answers.group(1)), int(answers.group(2))
        output = printed[answers.end() : answers.end() + length]
        signal = status & 0x7F
        return output, f"signal {signal}" if signal else f"exit {status >> 8}"
