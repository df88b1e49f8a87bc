# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/splice.py against the host's own splice, on a file in memory and two pipes; references are counted after each step."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.fs.file import close_fd
from mmscope.kernel.fs.pipe import do_pipe2, get_pipe_info
from mmscope.kernel.fs.read_write import do_sendfile, ksys_pread64, ksys_pwrite64, ksys_read, ksys_write
from mmscope.kernel.fs.splice import ksys_splice, ksys_tee
from mmscope.kernel.include.errno import KernelError
from mmscope.kernel.include.fs import O_NONBLOCK
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.mm.debug_vm import validate_vm
from mmscope.kernel.mm.memfd import ksys_memfd_create

from ..core.boot import boot_process
from .fs_machine import user_buffer

OFFSETS = st.sampled_from([0, 1, 100, 4095, 4096, 9000, 20000])
SIZES = st.sampled_from([1, 10, 1000, 4096, 5000, 20000, 100000])
OPERATIONS = st.one_of(
    st.tuples(st.just("in"), OFFSETS, SIZES),
    st.tuples(st.just("move"), st.just(0), SIZES),
    st.tuples(st.just("out"), OFFSETS, SIZES),
    st.tuples(st.just("pwrite"), OFFSETS, SIZES),
    st.tuples(st.just("write"), st.just(0), SIZES),
    st.tuples(st.sampled_from(["read 0", "read 1"]), st.just(0), SIZES),
)


def user_string(k: Kernel, text: bytes) -> int:
    """A NUL-terminated string in user memory."""
    addr = user_buffer(k, len(text) + 1)
    copy_to_user(k, addr, text + b"\0")
    return addr


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return error.errno


class Model:
    """The system calls by number of bytes."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.buffer = user_buffer(k, 1 << 17)
        self.position = user_buffer(k, 8)
        self.fd = ksys_memfd_create(k, user_string(k, b"file"), 0)
        self.pipes = [do_pipe2(k, O_NONBLOCK) for _ in range(2)]

    def at(self, offset: int) -> int:
        copy_to_user(self.k, self.position, offset.to_bytes(8, "little"))
        return self.position

    def fill(self, data: bytes) -> int:
        copy_to_user(self.k, self.buffer, data)
        return self.buffer

    def read(self, fd: int, n: int) -> bytes:
        return copy_from_user(self.k, self.buffer, ksys_read(self.k, fd, self.buffer, n))


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATIONS, max_size=20))
def test_as_the_hosts(operations: list[tuple[str, int, int]]) -> None:
    k = boot_process()
    m = Model(k)
    fd = os.memfd_create("file")
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(2)]
    try:
        for i, (kind, offset, n) in enumerate([("pwrite", 0, 10000), *operations]):
            data = bytes([i + 1]) * n
            ours: Callable[[], object]
            theirs: Callable[[], object]
            if kind == "in":
                ours = lambda: ksys_splice(k, m.fd, m.at(offset), m.pipes[0][1], 0, n, 0)  # noqa: B023, E731
                theirs = lambda: os.splice(fd, pipes[0][1], n, offset_src=offset)  # noqa: B023, E731
            elif kind == "move":
                ours = lambda: ksys_splice(k, m.pipes[0][0], 0, m.pipes[1][1], 0, n, 0)  # noqa: B023, E731
                theirs = lambda: os.splice(pipes[0][0], pipes[1][1], n)  # noqa: B023, E731
            elif kind == "out":
                ours = lambda: ksys_splice(k, m.pipes[1][0], 0, m.fd, m.at(offset), n, 0)  # noqa: B023, E731
                theirs = lambda: os.splice(pipes[1][0], fd, n, offset_dst=offset)  # noqa: B023, E731
            elif kind == "pwrite":
                ours = lambda: ksys_pwrite64(k, m.fd, m.fill(data), n, offset)  # noqa: B023, E731
                theirs = lambda: os.pwrite(fd, data, offset)  # noqa: B023, E731
            elif kind == "write":
                ours = lambda: ksys_write(k, m.pipes[0][1], m.fill(data), n)  # noqa: B023, E731
                theirs = lambda: os.write(pipes[0][1], data)  # noqa: B023, E731
            else:
                which = int(kind[-1])
                ours = lambda: m.read(m.pipes[which][0], n)  # noqa: B023, E731
                theirs = lambda: os.read(pipes[which][0], n)  # noqa: B023, E731
            assert outcome(ours) == outcome(theirs)
            validate_vm(k)
        size = os.fstat(fd).st_size
        ours_now = copy_from_user(k, m.buffer, ksys_pread64(k, m.fd, m.buffer, 1 << 17, 0))
        assert ours_now == os.pread(fd, size, 0)
    finally:
        for one in (fd, *pipes[0], *pipes[1]):
            os.close(one)
    for one in (m.fd, *m.pipes[0], *m.pipes[1]):
        close_fd(k, one)
    validate_vm(k)
    assert k.pipe_pages == {}


def test_one_page_in_the_cache_and_in_two_pipes() -> None:
    k = boot_process()
    m = Model(k)
    ksys_pwrite64(k, m.fd, m.fill(b"0123456789"), 10, 0)
    files = k.current.files
    assert files is not None
    assert ksys_splice(k, m.fd, m.at(2), m.pipes[0][1], 0, 4, 0) == 4
    pipes = [get_pipe_info(files.fd[m.pipes[i][0]]) for i in range(2)]
    assert pipes[0] is not None
    assert pipes[1] is not None
    page = pipes[0].bufs[0].page
    # The cache's reference and the pipe's.
    before = page._refcount
    assert page.mapping is files.fd[m.fd].f_mapping
    assert k.pipe_pages == {page.pfn: 1}
    assert ksys_tee(k, m.pipes[0][0], m.pipes[1][1], 3, 0) == 3
    assert pipes[1].bufs[0].page is page
    assert (page._refcount, k.pipe_pages) == (before + 1, {page.pfn: 2})
    ksys_pwrite64(k, m.fd, m.fill(b"abcdefghij"), 10, 0)
    assert (m.read(m.pipes[0][0], 10), m.read(m.pipes[1][0], 10)) == (b"cdef", b"cde")
    assert page._refcount == before - 1
    assert k.pipe_pages == {}
    validate_vm(k)


@pytest.mark.parametrize("version", [(5, 11), (5, 12)])
def test_sendfile_to_a_pipe_copies_until_5_12(version: tuple[int, int]) -> None:
    k = boot_process()
    k.config.version = version
    m = Model(k)
    ksys_pwrite64(k, m.fd, m.fill(b"0123456789"), 10, 0)
    assert do_sendfile(k, m.pipes[0][1], m.fd, m.at(1), 5) == 5
    assert copy_from_user(k, m.position, 1) == b"\6"
    ksys_pwrite64(k, m.fd, m.fill(b"abcdefghij"), 10, 0)
    assert m.read(m.pipes[0][0], 10) == (b"bcdef" if version >= (5, 12) else b"12345")


def test_what_cannot_be_spliced() -> None:
    k = boot_process()
    m = Model(k)
    with pytest.raises(KernelError, match="Invalid"):
        ksys_splice(k, m.fd, 0, m.fd, 0, 1, 0)
