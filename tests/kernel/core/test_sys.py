# SPDX-License-Identifier: GPL-2.0-or-later
"""core/sys.py: what set*uid(2) notes about RLIMIT_NPROC. (Programs: c/nprocexec.c.)"""

from __future__ import annotations

import pytest

from mmscope.kernel.core.sys import setresuid, setreuid
from mmscope.kernel.include.resource import RLIMIT_NPROC, Rlimit
from mmscope.kernel.include.sched import PF_NPROC_EXCEEDED
from mmscope.kernel.init.main import new_task

from .boot import boot_task


@pytest.mark.parametrize("version", [(5, 11), (5, 17)])
@pytest.mark.parametrize("others", range(4))
def test_the_mark_for_execve(version: tuple[int, int], others: int) -> None:
    k = boot_task()
    k.config.version = version
    task = k.current
    for n in range(others):
        new_task(k, f"other{n}").cred.uid = 7
    k.current = task
    task.signal.rlim[RLIMIT_NPROC] = Rlimit(2, 2)
    setreuid(k, 7, 0)
    # As many as allowed: from v5.17 (seen on 6.18) one more may execute a program.
    exceeded = others > 2 if version >= (5, 17) else others >= 2
    assert bool(task.flags & PF_NPROC_EXCEEDED) == exceeded
    # The same user again changes nothing; root is never counted.
    setresuid(k, 7, 0, 0)
    assert bool(task.flags & PF_NPROC_EXCEEDED) == exceeded
    setreuid(k, 0, 0)
    assert not task.flags & PF_NPROC_EXCEEDED
