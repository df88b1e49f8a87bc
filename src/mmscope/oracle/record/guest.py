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

__all__ = ["GuestRunner"]

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
_ANSWERS = re.compile(rb"\n@@ANSWERS (\d+) (\d+)\n")


class GuestRunner(_AgentRunner):
    """The agent on the kernel image `vmlinuz`, started as LiveRunner starts it; its files stand on the initramfs, a tmpfs."""

    def __init__(self, vmlinuz: Path) -> None:
        super().__init__()
        self.vmlinuz = vmlinuz
        #: /proc/version of the guest, once it has run.
        self.kernel = ""
        self._scratch = Path(tempfile.mkdtemp(prefix="mmscope-record-"))
        source = Path(__file__).parent / "init.c"
        command(["gcc", "-O1", "-static", "-Wno-unused-result", "-o", str(self._scratch / "init"), str(source)], self._scratch)

    def close(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        super().close()

    def _execute(self, text: bytes) -> tuple[bytes, str]:
        files = [("init", 0o755, (self._scratch / "init").read_bytes()), ("input", 0o644, text)]
        files += [(f"scratch/{name}", 0o755, (self.folder / name).read_bytes()) for name in ("agent", *FILES)]
        initrd = self._scratch / "initrd"
        initrd.write_bytes(cpio(files))
        boot = [*_QEMU, "-kernel", str(self.vmlinuz), "-initrd", str(initrd), "-append", _CMDLINE]
        try:
            done = subprocess.run(
                boot, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_TIMEOUT
            )
        except FileNotFoundError:
            raise MmscopeError("qemu-system-x86_64 is not installed") from None
        except subprocess.TimeoutExpired:
            return b"", "timeout"
        kernel, answers = _KERNEL.search(done.stdout), _ANSWERS.search(done.stdout)
        if kernel is None or answers is None:
            raise MmscopeError(f"the guest did not get to its end: {done.stdout[-400:].decode('utf-8', 'replace')}")
        self.kernel = kernel.group(1).decode()
        status, length = int(answers.group(1)), int(answers.group(2))
        output = done.stdout[answers.end() : answers.end() + length]
        signal = status & 0x7F
        return output, f"signal {signal}" if signal else f"exit {status >> 8}"
