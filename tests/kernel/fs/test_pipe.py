# SPDX-License-Identifier: GPL-2.0-or-later
"""fs/pipe.py against the pipes of the kernel that runs the tests, and between processes of the model."""

from __future__ import annotations

import fcntl
import os
import select

from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.core.sched import yield_task
from mmscope.kernel.fs.eventpoll import EPOLL_CTL_ADD, EPOLLET, do_epoll_create, do_epoll_ctl, do_epoll_wait
from mmscope.kernel.fs.fcntl import do_fcntl
from mmscope.kernel.fs.file import close_fd, fget
from mmscope.kernel.fs.pipe import F_GETPIPE_SZ, F_SETPIPE_SZ, do_pipe2
from mmscope.kernel.fs.read_write import vfs_read, vfs_write
from mmscope.kernel.include.errno import EPIPE
from mmscope.kernel.include.fs import O_DIRECT, O_NONBLOCK
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.poll import POLLIN, vfs_poll
from mmscope.kernel.include.signal import SIGPIPE
from mmscope.kernel.mm.debug_vm import validate_vm
from tests.kernel.core.boot import boot_process, boot_task
from tests.kernel.core.tasks import Tasks
from tests.kernel.core.test_sched import wait_all


def write(k: Kernel, fd: int, data: bytes) -> int:
    return vfs_write(fget(k, fd), data, -1)


def read(k: Kernel, fd: int, count: int) -> bytes:
    return vfs_read(fget(k, fd), count, -1)


def outcome(call: object, *args: object) -> object:
    """What it returns, or the errno."""
    assert callable(call)
    try:
        return call(*args)
    except OSError as error:
        return -(error.errno or 0)


LENGTHS = st.one_of(st.integers(0, 70000), st.sampled_from([0, 1, 4095, 4096, 4097, 8192, 65535, 65536, 65537]))
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), LENGTHS),
    st.tuples(st.just("read"), LENGTHS),
    st.tuples(st.just("size"), st.sampled_from([0, 1, 4096, 4097, 8192, 65536, 70000, 131072])),
)


@settings(max_examples=150, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=30), packets=st.booleans())
def test_against_a_pipe_of_the_host(operations: list[tuple[str, int]], packets: bool) -> None:
    k = boot_process()
    flags = O_NONBLOCK | (O_DIRECT if packets else 0)
    r, w = do_pipe2(k, flags)
    host_r, host_w = os.pipe2(flags)
    poll = select.poll()
    poll.register(host_r, select.POLLIN)
    poll.register(host_w, select.POLLOUT)
    pattern = bytes(range(251)) * 300
    try:
        for i, (kind, n) in enumerate(operations):
            if kind == "write":
                data = pattern[i : i + n]
                assert outcome(write, k, w, data) == outcome(os.write, host_w, data)
            elif kind == "read":
                assert outcome(read, k, r, n) == outcome(os.read, host_r, n)
            else:
                assert outcome(do_fcntl, k, r, F_SETPIPE_SZ, n) == outcome(fcntl.fcntl, host_r, F_SETPIPE_SZ, n)
            assert do_fcntl(k, w, F_GETPIPE_SZ, 0) == fcntl.fcntl(host_w, F_GETPIPE_SZ)
            ready = dict(poll.poll(0))
            assert (vfs_poll(fget(k, r), None) & 0x3F, vfs_poll(fget(k, w), None) & 0x3F) == (
                ready.get(host_r, 0),
                ready.get(host_w, 0),
            )
            validate_vm(k)
    finally:
        os.close(host_r)
        os.close(host_w)
    close_fd(k, r)
    close_fd(k, w)
    assert k.pipe_pages == {}


@settings(max_examples=40, deadline=None)
@given(
    writers=st.lists(st.lists(st.integers(1, 9000), min_size=1, max_size=6), min_size=1, max_size=3),
    readers=st.lists(st.integers(1, 20000), min_size=1, max_size=3),
    slots=st.sampled_from([4096, 16384, 65536]),
)
def test_all_bytes_arrive_once_and_short_writes_in_one_piece(writers: list[list[int]], readers: list[int], slots: int) -> None:
    k = boot_task()
    tasks = Tasks(k)
    pieces: list[bytes] = []

    def main() -> int:
        r, w = do_pipe2(k, 0)
        do_fcntl(k, w, F_SETPIPE_SZ, slots)

        def writer(name: int, sizes: list[int]) -> int:
            for size in sizes:
                data = bytes([name]) * size
                assert write(k, w, data) == size
                yield_task(k)
            return 0

        def reader(size: int) -> int:
            close_fd(k, w)
            while data := read(k, r, size):
                pieces.append(data)
            return 0

        for name, sizes in enumerate(writers):
            tasks.fork(lambda name=name, sizes=sizes: writer(name, sizes))  # type: ignore[misc]
        for size in readers:
            tasks.fork(lambda size=size: reader(size))  # type: ignore[misc]
        close_fd(k, r)
        close_fd(k, w)
        assert all(status == 0 for _, status in wait_all(k))
        return 0

    assert tasks.run(main).exit_code == 0
    everything = b"".join(pieces)
    for name, sizes in enumerate(writers):
        assert everything.count(bytes([name])) == sum(sizes)
    assert len(everything) == sum(sum(sizes) for sizes in writers)
    assert k.pipe_pages == {}
    if len(readers) == 1:
        # PIPE_BUF: nobody's bytes come between those of one short write.
        runs: dict[int, list[int]] = {}
        last = -1
        for name in everything:
            if name != last:
                runs.setdefault(name, []).append(0)
            runs[name][-1] += 1
            last = name
        for name, sizes in enumerate(writers):
            if all(size <= 4096 for size in sizes):
                at = 0
                for run in runs[name]:
                    total = 0
                    while total < run:
                        total += sizes[at]
                        at += 1
                    assert total == run


def test_a_write_without_readers_kills_by_sigpipe() -> None:
    k = boot_task()
    tasks = Tasks(k)

    def main() -> int:
        r, w = do_pipe2(k, 0)

        def child() -> int:
            close_fd(k, r)
            while True:
                write(k, w, bytes(5000))

        def quitter() -> int:
            read(k, r, 10)
            return 0

        tasks.fork(child)
        tasks.fork(quitter)
        close_fd(k, r)
        close_fd(k, w)
        # The last reader reads once and goes: the writer, asleep in a full pipe, gets EPIPE.
        assert sorted(status for _, status in wait_all(k)) == [0, SIGPIPE]
        return 0

    assert tasks.run(main).exit_code == 0


def test_epipe_and_its_signal() -> None:
    k = boot_task()
    r, w = do_pipe2(k, 0)
    close_fd(k, r)
    assert outcome(write, k, w, b"x") == -EPIPE
    assert k.current.pending.signal >> SIGPIPE - 1 & 1


def test_edges_of_epoll_by_release() -> None:
    """A second write into a pipe that is not empty wakes edge-triggered waiters since v5.14; before, only the first did."""
    for version, expected in (((5, 11), 0), ((5, 14), 1)):
        k = boot_task()
        k.config.version = version
        r, w = do_pipe2(k, 0)
        ep = do_epoll_create(k, 0)
        do_epoll_ctl(k, ep, EPOLL_CTL_ADD, r, POLLIN | EPOLLET, 5)
        write(k, w, b"one")
        assert do_epoll_wait(k, ep, 4, 0) == [(POLLIN, 5)]
        assert do_epoll_wait(k, ep, 4, 0) == []
        write(k, w, b"two")
        assert len(do_epoll_wait(k, ep, 4, 0)) == expected
