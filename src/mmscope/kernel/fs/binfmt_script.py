# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts that begin with #! (fs/binfmt_script.c)."""

from __future__ import annotations

import mmscope.kernel.fs.exec as fs_exec
from mmscope.kernel.include.errno import ENOENT, ENOEXEC, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.fs.exec import LinuxBinprm


def next_non_spacetab(buf: bytes, first: int, last: int) -> int:
    """Index of the first byte in [first, last] that is no blank, -1 if all are."""
    while first <= last:
        if buf[first] not in b" \t":
            return first
        first += 1
    return -1


def next_terminator(buf: bytes, first: int, last: int) -> int:
    """Index of the first blank or NUL in [first, last], -1 if none."""
    while first <= last:
        if buf[first] in b" \t\0":
            return first
        first += 1
    return -1


def load_script(bprm: LinuxBinprm) -> None:
    """Take the interpreter and its one argument from the first line, and let exec_binprm go on with it.

    ENOEXEC if the file is no script or its first line does not fit in the 256 bytes read.
    """
    buf = bprm.buf
    if buf[:2] != b"#!":
        raise KernelError(ENOEXEC)
    buf_end = len(buf) - 1
    text_end = buf.find(b"\0")
    i_end = buf.find(b"\n", 0, text_end if text_end >= 0 else len(buf))
    if i_end < 0:
        start = next_non_spacetab(buf, 2, buf_end)
        # All blanks; or the interpreter's name may have been cut off.
        if start < 0 or next_terminator(buf, start, buf_end) < 0:
            raise KernelError(ENOEXEC)
        i_end = buf_end
    while buf[i_end - 1] in b" \t":
        i_end -= 1
    if bprm.path_inaccessible:
        raise KernelError(ENOENT)
    i_name = next_non_spacetab(buf, 2, i_end)
    if i_name < 0 or i_name == i_end:
        raise KernelError(ENOEXEC)
    i_arg = -1
    i_sep = next_terminator(buf, i_name, i_end)
    if i_sep >= 0 and buf[i_sep] != 0:
        i_arg = next_non_spacetab(buf, i_sep, i_end)
    name_end = i_sep if i_sep >= 0 and i_arg >= 0 else i_end
    name = buf[i_name:name_end].partition(b"\0")[0]
    argument = buf[i_arg:i_end].partition(b"\0")[0] if i_arg >= 0 else b""
    fs_exec.remove_arg_zero(bprm)
    fs_exec.copy_string_kernel(bprm.interp, bprm)
    bprm.argc += 1
    if argument:
        fs_exec.copy_string_kernel(argument, bprm)
        bprm.argc += 1
    fs_exec.copy_string_kernel(name, bprm)
    bprm.argc += 1
    bprm.interp = name
    bprm.interpreter = fs_exec.open_exec(bprm.k, name)
