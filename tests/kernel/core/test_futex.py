# SPDX-License-Identifier: GPL-2.0-or-later
"""core/futex.py: who sleeps, who is woken, in which order; against a shadow that keeps lists of names."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mmscope.kernel.arch.x86.uaccess import get_user, put_user
from mmscope.kernel.core.futex import (
    FUTEX_BITSET_MATCH_ANY,
    FUTEX_OWNER_DIED,
    FUTEX_TID_MASK,
    FUTEX_WAITERS,
    futex_requeue,
    futex_wait,
    futex_wake,
    futex_wake_op,
)
from mmscope.kernel.core.futex_pi import futex_lock_pi, futex_unlock_pi
from mmscope.kernel.core.sched import yield_task
from mmscope.kernel.include.errno import EAGAIN, EFAULT, EINVAL, EPERM, ESRCH, ETIMEDOUT, KernelError
from mmscope.kernel.include.kernel import Kernel
from mmscope.kernel.include.mman import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from mmscope.kernel.include.sched import CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD, CLONE_VM
from mmscope.kernel.mm.mmap import ksys_mmap_pgoff

from .boot import boot_process
from .tasks import Tasks
from .test_sched import wait_all

WORDS = 3
THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD


def page(k: Kernel, flags: int = MAP_PRIVATE) -> int:
    return ksys_mmap_pgoff(k, 0, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0)


OPERATIONS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, WORDS - 1), st.sampled_from([1, 2, 3, FUTEX_BITSET_MATCH_ANY])),
    st.tuples(st.just("wake"), st.integers(0, WORDS - 1), st.integers(0, 3), st.sampled_from([1, 2, FUTEX_BITSET_MATCH_ANY])),
    st.tuples(st.just("requeue"), st.integers(0, WORDS - 1), st.integers(0, WORDS - 1), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("wake_op"), st.integers(0, WORDS - 1), st.integers(0, WORDS - 1), st.integers(1, 2), st.integers(1, 2)),
)


@settings(max_examples=60, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=25), shared=st.booleans())
def test_waiters_against_lists(operations: list[tuple[object, ...]], shared: bool) -> None:
    k = boot_process()
    tasks = Tasks(k)
    woken: list[int] = []

    def waiter(name: int, uaddr: int, bitset: int) -> int:
        ret = futex_wait(k, uaddr, shared, 0, None, bitset)
        if ret:
            raise KernelError(-ret)  # the end of the test kills those who sleep
        woken.append(name)
        return 0

    def main() -> int:
        base = page(k, MAP_SHARED if shared else MAP_PRIVATE)
        queues: list[list[tuple[int, int]]] = [[] for _ in range(WORDS)]
        expected: list[int] = []
        for name, (kind, *args) in enumerate(operations):
            word, *rest = (int(str(arg)) for arg in args)
            queue, uaddr = queues[word], base + 4 * word
            if kind == "wait":
                tasks.fork(lambda name=name, uaddr=uaddr, bits=rest[0]: waiter(name, uaddr, bits), THREAD)  # type: ignore[misc]
                queue.append((name, rest[0]))
            elif kind == "wake":
                chosen = [one for one in queue if one[1] & rest[1]][: max(rest[0], 1)]
                assert futex_wake(k, uaddr, rest[0], rest[1], shared) == len(chosen)
                queue[:] = [one for one in queue if one not in chosen]
                expected += [one for one, _ in chosen]
            elif kind == "requeue":
                other, nr_wake, nr_requeue = rest
                wake, move = queue[:nr_wake], queue[nr_wake : nr_wake + nr_requeue]
                assert futex_requeue(k, uaddr, shared, base + 4 * other, nr_wake, nr_requeue, 0) == len(wake) + len(move)
                if other != word:
                    queues[other] += move
                    queue[:] = queue[nr_wake + nr_requeue :]
                else:
                    queue[:] = queue[nr_wake:]
                expected += [one for one, _ in wake]
            else:
                other, nr_wake, nr_wake2 = rest
                # FUTEX_OP_ADD 0, FUTEX_OP_CMP_EQ 0: always true.
                wake = queue[:nr_wake]
                queue[:] = queue[nr_wake:]
                wake2 = queues[other][:nr_wake2]
                queues[other][:] = queues[other][nr_wake2:]
                got = futex_wake_op(k, uaddr, shared, base + 4 * other, nr_wake, nr_wake2, 1 << 28)
                assert got == len(wake) + len(wake2)
                expected += [one for one, _ in wake + wake2]
            yield_task(k)
            assert woken == expected
        return 0

    assert tasks.run(main).exit_code == 0


def errno_of(call: object, *args: object) -> int:
    assert callable(call)
    try:
        call(*args)
    except KernelError as error:
        return error.errno or 0
    return 0


def test_refusals() -> None:
    k = boot_process()
    base = page(k)
    any_bits = FUTEX_BITSET_MATCH_ANY
    now = k.timekeeper.now_ns
    assert errno_of(futex_wait, k, base + 1, False, 0, None, any_bits) == EINVAL
    assert errno_of(futex_wait, k, base, False, 0, None, 0) == EINVAL
    assert errno_of(futex_wait, k, base, False, 1, None, any_bits) == EAGAIN
    assert errno_of(futex_wait, k, 4096, True, 0, None, any_bits) == EFAULT
    assert errno_of(futex_wait, k, base, False, 0, now + 500, any_bits) == ETIMEDOUT
    assert k.timekeeper.now_ns == now + 500
    assert errno_of(futex_requeue, k, base, False, base + 4, -1, 1, None) == EINVAL
    assert errno_of(futex_requeue, k, base, False, base + 4, 1, 1, 5) == EAGAIN
    assert k.futex_queues == {}


def test_a_shared_word_is_one_for_two_processes_a_private_one_is_not() -> None:
    k = boot_process()
    tasks = Tasks(k)
    woken: list[str] = []

    def main() -> int:
        shared, private = page(k, MAP_SHARED), page(k)
        put_user(k, private, 0, 4)

        def child(uaddr: int, name: str) -> int:
            assert futex_wait(k, uaddr, True, 0, k.timekeeper.now_ns + 10_000_000, FUTEX_BITSET_MATCH_ANY) == 0
            woken.append(name)
            return 0

        tasks.fork(lambda: child(shared, "shared"))
        tasks.fork(lambda: child(private, "private"))
        yield_task(k)
        assert futex_wake(k, shared, 1, FUTEX_BITSET_MATCH_ANY, True) == 1
        assert futex_wake(k, private, 1, FUTEX_BITSET_MATCH_ANY, True) == 0
        # The second child's wait ends by its timeout: an errno, which is its exit code.
        assert sorted(status for _, status in wait_all(k)) == [0, (128 + ETIMEDOUT & 0xFF) << 8]
        return 0

    assert tasks.run(main).exit_code == 0
    assert woken == ["shared"]


def test_the_robust_list_of_a_dead_thread() -> None:
    k = boot_process()
    tasks = Tasks(k)

    def main() -> int:
        base = page(k)
        head, lock, other = base, base + 64, base + 128
        # head: next, futex_offset, list_op_pending; each entry: next, and the futex 16 bytes behind it.
        for addr, value in ((head, lock), (head + 8, 16), (head + 16, 0), (lock, other), (other, head)):
            put_user(k, addr, value, 8)

        def owner() -> int:
            put_user(k, lock + 16, k.current.pid | FUTEX_WAITERS, 4)
            put_user(k, other + 16, 1, 4)
            k.current.robust_list = head
            return 0

        def waiter() -> int:
            value = get_user(k, lock + 16, 4)
            assert futex_wait(k, lock + 16, True, value, None, FUTEX_BITSET_MATCH_ANY) == 0
            return 5

        pid = tasks.fork(owner, CLONE_VM).pid
        put_user(k, lock + 16, pid | FUTEX_WAITERS, 4)
        tasks.fork(waiter, CLONE_VM)
        # The waiter runs second: let it sleep before the owner dies.
        k.rq.queue.reverse()
        assert [status for _, status in wait_all(k)] == [0, 5 << 8]
        assert get_user(k, lock + 16, 4) == FUTEX_OWNER_DIED | FUTEX_WAITERS
        assert get_user(k, other + 16, 4) == 1
        return 0

    assert tasks.run(main).exit_code == 0


def test_who_waits_for_an_owner_gets_the_word_in_order() -> None:
    k = boot_process()
    tasks = Tasks(k)
    order: list[int] = []

    def main() -> int:
        word = page(k)

        def waiter(name: int) -> int:
            assert futex_lock_pi(k, word, False, None, False) == 0
            order.append(name)
            assert get_user(k, word, 4) & FUTEX_TID_MASK == k.current.pid
            # The last one dies with it.
            return futex_unlock_pi(k, word, False) if name < 3 else 0

        assert futex_lock_pi(k, word, False, None, False) == 0
        children = [tasks.fork(lambda name=name: waiter(name), THREAD) for name in range(4)]  # type: ignore[misc]
        yield_task(k)
        assert get_user(k, word, 4) == k.current.pid | FUTEX_WAITERS
        assert errno_of(futex_wake, k, word, 1, FUTEX_BITSET_MATCH_ANY, False) == EINVAL
        assert len(k.current.pi_state_list) == 1
        assert children[0].pi_blocked_on is k.current.pi_state_list[0]
        assert futex_unlock_pi(k, word, False) == 0
        assert get_user(k, word, 4) == children[0].pid | FUTEX_WAITERS
        # Not ours any more, and its owner waits for nobody.
        assert errno_of(futex_unlock_pi, k, word, False) == EPERM
        for _ in range(8):
            yield_task(k)
        assert order == [0, 1, 2, 3]
        assert k.futex_queues == {}
        assert errno_of(futex_lock_pi, k, word, False, None, False) == ESRCH
        return 0

    assert tasks.run(main).exit_code == 0
