# SPDX-License-Identifier: GPL-2.0-or-later
"""Files whose text is made while they are read (fs/seq_file.c): one record after the other, a page a read."""

from __future__ import annotations

from mmscope.kernel.include.errno import EINVAL, KernelError
from mmscope.kernel.include.page import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mmscope.kernel.include.fs import File


class SeqFile:
    """struct seq_file. `show(index)` gives the record at `index` and the next index; None at the end."""

    def __init__(self, show: Callable[[int], tuple[bytes, int] | None]) -> None:
        self.show = show
        self.index = 0
        #: Made, not yet read.
        self.buf = b""
        self.read_pos = 0


def traverse(m: SeqFile, offset: int) -> None:
    """Make the text again from its start up to `offset` bytes."""
    m.index = 0
    m.buf = b""
    m.read_pos = 0
    while m.read_pos < offset:
        record = m.show(m.index)
        if record is None:
            break
        text, m.index = record
        if m.read_pos + len(text) > offset:
            m.buf = text[offset - m.read_pos :]
            m.read_pos = offset
        else:
            m.read_pos += len(text)
    m.read_pos = offset


def seq_read(file: File, count: int, pos: int) -> bytes:
    """What is left of the last record, then as many as fit in a page: reading maps takes several reads."""
    m = file.private_data
    assert isinstance(m, SeqFile)
    if pos == 0 or pos != m.read_pos:
        traverse(m, pos)
    if not count:
        return b""
    out = m.buf[:count]
    m.buf = m.buf[count:]
    if not m.buf:
        out += seq_fill(m, count - len(out))
    m.read_pos = pos + len(out)
    return out


def seq_fill(m: SeqFile, count: int) -> bytes:
    """At least one record that is not empty, then more while they fit in the buffer and are wanted."""
    made = b""
    size = PAGE_SIZE
    while True:
        record = m.show(m.index)
        if record is None:
            break
        text, next_index = record
        if made and len(made) + len(text) >= size:
            break
        made += text
        m.index = next_index
        while len(made) >= size:
            size *= 2
        if made and len(made) >= count:
            break
    m.buf = made[count:]
    return made[:count]


def seq_lseek(file: File, offset: int, whence: int) -> int:
    """Only from the start or from here."""
    if whence == 1:
        offset += file.f_pos
    elif whence != 0:
        raise KernelError(EINVAL)
    if offset < 0:
        raise KernelError(EINVAL)
    file.f_pos = offset
    return offset
