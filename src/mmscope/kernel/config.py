# SPDX-License-Identifier: GPL-2.0-or-later
"""KernelConfig: everything that can be set about a kernel, in one typed place."""

from __future__ import annotations

from mmscope.kernel.include.mm import DEFAULT_MAX_MAP_COUNT, DEFAULT_STACK_GUARD_GAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: The release that the model follows where versions differ: (major, minor).
BASE_VERSION: Final = (5, 11)


class KernelConfig:
    """Boot parameters, sysctls and build options of one kernel."""

    def __init__(self, ram: int = 256 << 20) -> None:
        #: Bytes of RAM, a multiple of PAGE_SIZE.
        self.ram = ram
        #: Which release's behaviour is shown where releases differ (tuple: major, minor): as its last stable has it.
        self.version = BASE_VERSION
        #: Seed of every random decision (ASLR, AT_RANDOM, getrandom).
        self.seed = 0
        #: CLOCK_REALTIME at boot, nanoseconds since the epoch. Default: the release of v5.11, 2021-02-14 22:32:24 UTC.
        self.boot_time = 1613341944 * 1_000_000_000
        #: kernel.randomize_va_space: 0 none, 1 stack/mmap/vdso, 2 brk too.
        self.randomize_va_space = 2
        #: validate_mm and friends after every operation.
        self.CONFIG_DEBUG_VM = False
        #: Shown as VmFlags "sd" and pagemap bit 55, cleared by clear_refs. Debian builds with it.
        self.CONFIG_MEM_SOFT_DIRTY = True
        #: kernel.numa_balancing: hinting faults, though there is one node only.
        self.sysctl_numa_balancing = 0
        #: Pages of the vDSO image: 1 in the deck, 2 in the recordings; depends on the kernel's build.
        self.vdso_pages = 1
        #: vsyscall=none|xonly|emulate
        self.vsyscall = "none"
        #: vm.*
        self.sysctl_max_map_count = DEFAULT_MAX_MAP_COUNT
        self.mmap_min_addr = 65536
        #: vm.legacy_va_layout: every program's mappings go bottom up.
        self.sysctl_legacy_va_layout = 0
        self.stack_guard_gap = DEFAULT_STACK_GUARD_GAP
        self.sysctl_overcommit_memory = 0
        self.sysctl_overcommit_ratio = 50
        self.sysctl_overcommit_kbytes = 0
        #: -1: a 32nd of free RAM at boot, at most 8 MiB and 128 MiB.
        self.sysctl_admin_reserve_kbytes = -1
        self.sysctl_user_reserve_kbytes = -1
        #: vm.dirty_*: of each pair one is 0, the one that was set last holds. Percent of dirtyable memory; bytes.
        self.dirty_background_ratio = 10
        self.dirty_background_bytes = 0
        self.vm_dirty_ratio = 20
        self.vm_dirty_bytes = 0
        #: How often writeback wakes up, and how old dirty data may become, 1/100 s.
        self.dirty_writeback_interval = 500
        self.dirty_expire_interval = 3000
        self.fault_around_bytes = 65536
        #: Of the disk: /sys/block/*/queue/read_ahead_kb and max_sectors_kb.
        self.read_ahead_kb = 128
        self.max_sectors_kb = 1280
        #: Of the disk: /sys/block/*/queue/dma_alignment, a mask: what memory of direct I/O is aligned to since v6.0. NVMe: 3.
        self.dma_alignment = 511
        #: What the root is: "ext4", "tmpfs", or "" for tmpfs where the host's directory is on one, ext4 elsewhere.
        self.rootfstype = ""
        #: Size of the model's disk, bytes: what guests write beyond it is ENOSPC.
        self.disk_size = 8 << 30
        #: A new or empty host file that holds the disk's blocks; "" for memory.
        self.disk_file = ""
        #: A host file of at most an eighth of RAM is in the page cache once it is opened, as after an earlier read.
        self.warm_page_cache = False
        self.mmap_rnd_bits = 28
        #: AT_HWCAP: CPUID(1).EDX of the processor that the engine presents (Nehalem).
        self.elf_hwcap = 0x078BFBFD

    def at_least(self, major: int, minor: int) -> bool:
        """The release shown is this one or later: the switch of each behaviour that a later release changed."""
        # Asked several times a fault: by number, as mypyc compares tuples as objects.
        return self.version[0] > major or (self.version[0] == major and self.version[1] >= minor)
