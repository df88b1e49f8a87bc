# SPDX-License-Identifier: GPL-2.0-or-later
"""The small files about the machine (fs/proc/{self,thread_self,cpuinfo,loadavg,stat,uptime,version}.c)."""

from __future__ import annotations

import mmscope.kernel.core.sys as core_sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct


def proc_self(k: Kernel, task: TaskStruct) -> bytes:
    """The target of /proc/self."""
    return str(task.tgid).encode()


def proc_mounts_link(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/mounts -> self/mounts."""
    return b"self/mounts"


def filesystems_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """The file system types."""
    return b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\n\text4\n"


def proc_locks_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """The next lock on a file."""
    if not k.file_lock_list:
        return None
    import mmscope.kernel.fs.locks as locks

    return locks.locks_show(k, index)


def swaps_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """No swap areas: the heading."""
    return b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


#: CPUID(1) of the engine's Nehalem as Linux names its bits.
_CPU_FLAGS: Final = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall nx lm "
    "constant_tsc nopl cpuid pni ssse3 cx16 sse4_1 sse4_2 popcnt hypervisor lahf_lm"
)


def cpuinfo_next(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """The only processor."""
    if index:
        return None
    lines = [
        "processor\t: 0", "vendor_id\t: GenuineIntel", "cpu family\t: 6", "model\t\t: 26",
        "model name\t: Intel Core i7 9xx (Nehalem Class Core i7)", "stepping\t: 3", "cpu MHz\t\t: 1000.000",
        "cache size\t: 16384 KB", "physical id\t: 0", "siblings\t: 1", "core id\t\t: 0", "cpu cores\t: 1", "apicid\t\t: 0",
        "initial apicid\t: 0", "fpu\t\t: yes", "fpu_exception\t: yes", "cpuid level\t: 11", "wp\t\t: yes",
        f"flags\t\t: {_CPU_FLAGS}", "bugs\t\t:", "bogomips\t: 2000.00", "clflush size\t: 64", "cache_alignment\t: 64",
        "address sizes\t: 40 bits physical, 48 bits virtual", "power management:", "",
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode(), 1


def uptime_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Seconds since boot, and idle ones."""
    ns = k.timekeeper.ktime_get_ns()
    return f"{ns // 10**9}.{ns % 10**9 // 10**7:02d} 0.00\n".encode()


def loadavg_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """Nothing but the process itself runs."""
    return f"0.00 0.00 0.00 1/{len(k.tasks)} {k.last_pid}\n".encode()


def version_proc_show(k: Kernel, task: TaskStruct) -> bytes:
    """linux_proc_banner."""
    return f"Linux version {core_sys.UTS_RELEASE} (mmscope) (python) {core_sys.UTS_VERSION}\n".encode()


def show_stat(k: Kernel, task: TaskStruct) -> bytes:
    """/proc/stat: all the time is the process's."""
    ticks = k.timekeeper.ktime_get_ns() // 10_000_000
    cpu = f"{ticks} 0 0 0 0 0 0 0 0 0"
    btime = k.config.boot_time // 1_000_000_000
    return (
        f"cpu  {cpu}\ncpu0 {cpu}\nintr 0\nctxt {k.rq.nr_switches}\nbtime {btime}\nprocesses {k.last_pid}\n"
        f"procs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    ).encode()


def proc_thread_self(k: Kernel, task: TaskStruct) -> bytes:
    """The target of /proc/thread-self."""
    return f"{task.tgid}/task/{task.pid}".encode()
