# SPDX-License-Identifier: GPL-2.0-or-later
"""What Linux has and the model does not yet: the table that `mmscope skipped` prints. A corner left out gets a row here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: (what, what happens instead)
SKIPPED: Final[tuple[tuple[str, str], ...]] = (
    ("namespaces, clone3's set_tid and cgroups", "EINVAL, with one warning; namespaces EPERM without CAP_SYS_ADMIN"),
    ("sockets of other families than AF_UNIX; MSG_OOB of those (v5.15)", "EAFNOSUPPORT, with one warning; EOPNOTSUPP"),
    ("SIGIO: O_ASYNC, F_SETOWN, F_SETSIG", "accepted, never sent"),
    ("PR_SET_MM, PR_SET_MDWE, PR_SET_IO_FLUSHER, PR_SCHED_CORE, speculation control", "EINVAL"),
    ("setns, kcmp, acct, ioprio_set, ioprio_get, SCHED_DEADLINE", "ENOSYS, with one warning naming the call; EINVAL"),
    ("the priority that FUTEX_LOCK_PI lends the owner", "none: those who wait get the lock in order"),
    ("FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI", "ENOSYS, with one warning"),
    ("leases and dnotify (F_SETLEASE, F_NOTIFY)", "EINVAL, with one warning"),
    ("inotify", "ENOSYS, with one warning naming the call"),
    ("a timer armed for a moment of CLOCK_REALTIME", "does not follow when the clock is set later"),
    ("a write that goes on in a spliced page of the page cache (v5.8 to v5.16, CVE-2022-0847)", "never, as since its correction"),
    ("scheduling classes and priorities", "one queue, turns of 1 ms of virtual time"),
    ("a terminal's SIGTTIN, SIGTTOU and SIGHUP", "never sent; Ctrl-C goes to the foreground group"),
    ("process_madvise, open_by_handle_at", "ENOSYS, with one warning naming the call"),
    ("userfaultfd, System V message queues; /proc/sysvipc/sem", "ENOSYS, with one warning naming the call; ENOENT"),
    ("pseudo-terminals (/dev/ptmx)", "ENOENT"),
    ("a read or write of a file to or from its own mapping, less than 64 bytes apart", "as through a buffer; processors differ"),
    ("I/O that takes its time", "requests are done at once; the disk's latency moves the virtual clock"),
    ("ext4's own journal blocks, inode tables and quotas", "a commit is one request; only data blocks count as used"),
    ("access control lists of more than owner, group and others; chattr(1)", "EOPNOTSUPP, with one warning"),
    ("memfd_create(MFD_HUGETLB), swap of tmpfs", "ENODEV; its pages stay in memory"),
    (
        "swap, reclaim of anonymous or mapped pages",
        "dirty page cache is written, clean unmapped one freed; then the OOM killer",
    ),
    ("transparent huge pages", "never (as after `echo never`); MADV_HUGEPAGE sets the flag"),
    ("hugetlbfs", "as with an empty pool: MAP_HUGETLB is ENOMEM, with MAP_NORESERVE its faults are SIGBUS; no mount"),
    (
        "NUMA and memory policies",
        "one node; mbind and friends are ENOSYS, as without CONFIG_NUMA",
    ),
    ("memory cgroups, KSM, DAX, protection keys", "absent; pkey_mprotect works as on a CPU without them"),
    ("MADV_HWPOISON, MADV_SOFT_OFFLINE", "EPERM or EINVAL; MADV_PAGEOUT only ages pages"),
    ("RWF_DONTCACHE (v6.14), RWF_ATOMIC (v6.11); ioctls PAGEMAP_SCAN (v6.7), PROCMAP_QUERY (v6.11)", "EOPNOTSUPP; ENOTTY"),
    ("/proc/PID/io, numa_maps, wchan, sched, ns/, net/, coredump_filter", "ENOENT, as without those options"),
    ("/proc/PID/cgroup, syscall, stack, loginuid, timers, timerslack_ns, mountstats, attr/, uid_map and the like", "ENOENT"),
    ("/proc/sys/vm of what the model has not: swappiness, nr_hugepages, compaction...", "ENOENT"),
    ("32-bit programs, int 0x80, sysenter", "ENOEXEC; SIGSEGV, as without IA32 emulation"),
    ("file capabilities, ambient and bounding sets, securebits", "none; none; full; off but for PR_SET_KEEPCAPS"),
    ("core dumps", "no core file"),
    ("ptrace: hardware breakpoints, PTRACE_SINGLEBLOCK, PTRACE_SET_THREAD_AREA", "ENOSPC, EIO, EINVAL, each with one warning"),
    ("ptrace: seccomp; requests later than v5.13's", "PTRACE_O_SUSPEND_SECCOMP is EINVAL, as without CONFIG_SECCOMP; EIO"),
    ("ptrace: ds, es, fs and gs of a tracee", "zero, or what the tracer has set; the tracee does not see that"),
    ("the kernel's half of the page tables", "empty: the kernel itself is Python"),
    ("exec's charge of the argument pages to the old mm (acct_arg_size)", "not counted"),
    ("mremap's int: growth in place by more than 2**31 pages", "counted exactly; 5.10 then has a wrong total_vm"),
    ("munlock in batches of 15 pages", "page by page; the state afterwards is the same"),
    ("#GP of misaligned SSE, #AC, #XM; AVX and later", "not raised; the CPU is a Nehalem (cpu/README.md)"),
    ("a locked read-modify-write across two pages", "the upper page faults first when both are absent"),
    ("time of computation", "counted only while others wait or a timer runs (docs/time.md)"),
)
