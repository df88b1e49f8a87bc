# SPDX-License-Identifier: GPL-2.0-or-later
"""What Linux has and the model does not yet: the table that `mmscope skipped` prints. A corner left out gets a row here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: (what, what happens instead)
SKIPPED: Final[tuple[tuple[str, str], ...]] = (
    ("namespaces, CLONE_PIDFD, clone3's set_tid and cgroups", "EINVAL, with one warning; namespaces EPERM without CAP_SYS_ADMIN"),
    ("sockets of other families than AF_UNIX; socket names in the file system", "EAFNOSUPPORT; EROFS"),
    ("priority-inheritance futexes, robust ones included", "ENOSYS, with one warning"),
    ("record locks and flock between processes", "checked, then always granted"),
    ("timers on CPU-time clocks (timer_create)", "EINVAL, with one warning; setitimer has them"),
    ("signalfd, timerfd, inotify, pidfds, splice, tee, sendmmsg", "ENOSYS, with one warning naming the call"),
    ("scheduling classes and priorities", "one queue, turns of 1 ms of virtual time"),
    ("a terminal's SIGTTIN, SIGTTOU and SIGHUP", "never sent; Ctrl-C goes to the foreground group"),
    ("memfd_create, System V shared memory, remap_file_pages, userfaultfd", "ENOSYS, with one warning naming the call"),
    ("writing to files, creating and removing them", "EROFS: the root is read-only"),
    ("O_DIRECT", "EINVAL, as from a file system without it"),
    ("swap, reclaim of anonymous, mapped or dirty pages", "only clean unmapped page cache is reclaimed; then the OOM killer"),
    ("transparent huge pages", "never (as after `echo never`); MADV_HUGEPAGE sets the flag"),
    ("hugetlbfs", "MAP_HUGETLB is ENOMEM, as without a reserved pool, MAP_NORESERVE included"),
    ("NUMA, memory policies and hinting faults", "one node; mbind and friends are ENOSYS, as without CONFIG_NUMA"),
    ("memory cgroups, KSM, DAX, protection keys", "absent; pkey_mprotect works as on a CPU without them"),
    ("MADV_REMOVE, MADV_HWPOISON, MADV_SOFT_OFFLINE", "EOPNOTSUPP, or EPERM and EINVAL; MADV_PAGEOUT only ages pages"),
    ("/proc/PID/smaps, pagemap, mem; writing to /proc", "ENOENT; EACCES"),
    ("32-bit programs, int 0x80, sysenter", "ENOEXEC; SIGSEGV, as without IA32 emulation"),
    ("file capabilities, ambient and bounding sets, securebits", "none; none; full; off but for PR_SET_KEEPCAPS"),
    ("core dumps, ptrace", "no core file; ENOSYS"),
    ("the kernel's half of the page tables", "empty: the kernel itself is Python"),
    ("exec's charge of the argument pages to the old mm (acct_arg_size)", "not counted"),
    ("mremap's int: growth in place by more than 2**31 pages", "counted exactly; 5.10 then has a wrong total_vm"),
    ("munlock in batches of 15 pages", "page by page; the state afterwards is the same"),
    ("#GP of misaligned SSE, #AC, #XM; AVX and later", "not raised; the CPU is a Nehalem (cpu/README.md)"),
    ("a locked read-modify-write across two pages", "the upper page faults first when both are absent"),
    ("time of computation", "counted only while others wait or a timer runs (docs/time.md)"),
)
