# SPDX-License-Identifier: GPL-2.0-or-later
"""stdout and stderr of the command itself, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import sys

from mmscope.errors import MmscopeError


def complain(text: str) -> None:
    """Write `text` to stderr, if there is one."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        silence(2)


def show(text: str) -> None:
    """Write `text` to stdout. Raises BrokenPipeError, or MmscopeError when it cannot be written for another reason."""
    stream = sys.stdout
    if stream is None:
        raise MmscopeError("stdout is closed")
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(1)
        raise MmscopeError(f"stdout: {error.strerror}") from None


def silence(fd: int) -> None:
    """Nobody reads this descriptor any more: keep the interpreter's last flush from complaining."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)
