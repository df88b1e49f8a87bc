# SPDX-License-Identifier: GPL-2.0-or-later
"""What mmscope itself raises: one base class, which carries the exit code that the command line ends with."""

from __future__ import annotations


class MmscopeError(Exception):
    """Something that the user can read in one line and act on."""

    exit_code = 1


class UsageError(MmscopeError, ValueError):
    """A wrong option or argument: the text names it and the way out."""

    exit_code = 2


class BadAccess(MmscopeError):
    """A load or store that the kernel answered with a signal.

    `si_signo`, `si_code` and `si_addr` are what a handler would find in its siginfo_t.
    """

    def __init__(self, signal: str, code: str, si_signo: int, si_code: int, si_addr: int) -> None:
        super().__init__(f"{signal}: {code} at {si_addr:#x}")
        self.si_signo = si_signo
        self.si_code = si_code
        self.si_addr = si_addr
        self.exit_code = 128 + si_signo


class SegmentationFault(BadAccess):
    """SIGSEGV: no mapping there (SEGV_MAPERR), or one that forbids it (SEGV_ACCERR)."""


class BusError(BadAccess):
    """SIGBUS: a mapping, but nothing behind it, as past the end of a file (BUS_ADRERR)."""


class Killed(MmscopeError):
    """The process died under the operation, as by the OOM killer."""

    exit_code = 137
