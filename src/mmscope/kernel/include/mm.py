# SPDX-License-Identifier: GPL-2.0-or-later
"""vm_flags, fault flags, VM_FAULT results (include/linux/mm.h, mm_types.h), GUP flags and the vmstat items of an mm."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# vma->vm_flags
VM_NONE: Final = 0x0
VM_READ: Final = 0x1
VM_WRITE: Final = 0x2
VM_EXEC: Final = 0x4
VM_SHARED: Final = 0x8
VM_MAYREAD: Final = 0x10
VM_MAYWRITE: Final = 0x20
VM_MAYEXEC: Final = 0x40
VM_MAYSHARE: Final = 0x80
VM_GROWSDOWN: Final = 0x100
VM_GROWSUP: Final = 0x0  # x86 has none
VM_UFFD_MISSING: Final = 0x200
VM_PFNMAP: Final = 0x400
VM_DENYWRITE: Final = 0x800
VM_UFFD_WP: Final = 0x1000
VM_LOCKED: Final = 0x2000
VM_IO: Final = 0x4000
VM_SEQ_READ: Final = 0x8000
VM_RAND_READ: Final = 0x10000
VM_DONTCOPY: Final = 0x20000
VM_DONTEXPAND: Final = 0x40000
VM_LOCKONFAULT: Final = 0x80000
VM_ACCOUNT: Final = 0x100000
VM_NORESERVE: Final = 0x200000
VM_HUGETLB: Final = 0x400000
VM_SYNC: Final = 0x800000
VM_WIPEONFORK: Final = 0x2000000
VM_DONTDUMP: Final = 0x4000000
VM_SOFTDIRTY: Final = 0x8000000
VM_MIXEDMAP: Final = 0x10000000
VM_HUGEPAGE: Final = 0x20000000
VM_NOHUGEPAGE: Final = 0x40000000
VM_MERGEABLE: Final = 0x80000000
VM_DROPPABLE: Final = 1 << 40
#: There may be guards (MADV_GUARD_INSTALL), since v6.18. Linux: VM_DENYWRITE's bit, which v5.15 set free.
VM_MAYBE_GUARD: Final = 1 << 41

VM_STACK: Final = VM_GROWSDOWN
#: While exec still moves the stack: such a VMA never merges (VM_RAND_READ | VM_SEQ_READ).
VM_STACK_INCOMPLETE_SETUP: Final = VM_RAND_READ | VM_SEQ_READ
VM_STACK_FLAGS: Final = VM_GROWSDOWN | VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT
VM_DATA_FLAGS_EXEC: Final = VM_READ | VM_WRITE | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
VM_DATA_FLAGS_NON_EXEC: Final = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
VM_ACCESS_FLAGS: Final = VM_READ | VM_WRITE | VM_EXEC
VM_SPECIAL: Final = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP
VM_NO_KHUGEPAGED: Final = VM_SPECIAL | VM_HUGETLB
#: What of def_flags a child inherits.
VM_INIT_DEF_MASK: Final = VM_NOHUGEPAGE
VM_LOCKED_MASK: Final = VM_LOCKED | VM_LOCKONFAULT
VM_LOCKED_CLEAR_MASK: Final = ~(VM_LOCKED | VM_LOCKONFAULT)

# vmf->flags
FAULT_FLAG_WRITE: Final = 0x01
FAULT_FLAG_MKWRITE: Final = 0x02
FAULT_FLAG_ALLOW_RETRY: Final = 0x04
FAULT_FLAG_RETRY_NOWAIT: Final = 0x08
FAULT_FLAG_KILLABLE: Final = 0x10
FAULT_FLAG_TRIED: Final = 0x20
FAULT_FLAG_USER: Final = 0x40
FAULT_FLAG_REMOTE: Final = 0x80
FAULT_FLAG_INSTRUCTION: Final = 0x100
FAULT_FLAG_INTERRUPTIBLE: Final = 0x200
FAULT_FLAG_DEFAULT: Final = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE | FAULT_FLAG_INTERRUPTIBLE

#: Break COW of an anonymous page that is to be pinned for reading (since v5.19).
FAULT_FLAG_UNSHARE: Final = 0x400

# vm_fault_t: the result of a fault handler, a set of bits.
VM_FAULT_OOM: Final = 0x0001
VM_FAULT_SIGBUS: Final = 0x0002
VM_FAULT_MAJOR: Final = 0x0004
VM_FAULT_WRITE: Final = 0x0008
VM_FAULT_HWPOISON: Final = 0x0010
VM_FAULT_HWPOISON_LARGE: Final = 0x0020
VM_FAULT_SIGSEGV: Final = 0x0040
VM_FAULT_NOPAGE: Final = 0x0100
VM_FAULT_LOCKED: Final = 0x0200
VM_FAULT_RETRY: Final = 0x0400
VM_FAULT_FALLBACK: Final = 0x0800
VM_FAULT_DONE_COW: Final = 0x1000
VM_FAULT_NEEDDSYNC: Final = 0x2000
#: The fault is done, but mmap_lock was given up on the way (since v6.0, d92725256b4f).
VM_FAULT_COMPLETED: Final = 0x4000
VM_FAULT_ERROR: Final = 0x0001 | 0x0002 | 0x0040 | 0x0020 | 0x0010 | 0x0800

# gup_flags
FOLL_WRITE: Final = 0x01
FOLL_TOUCH: Final = 0x02
FOLL_GET: Final = 0x04
FOLL_DUMP: Final = 0x08
FOLL_FORCE: Final = 0x10
FOLL_NOWAIT: Final = 0x20
FOLL_POPULATE: Final = 0x40
FOLL_TRIED: Final = 0x800
FOLL_MLOCK: Final = 0x1000
FOLL_REMOTE: Final = 0x2000
FOLL_COW: Final = 0x4000
FOLL_ANON: Final = 0x8000
FOLL_PIN: Final = 0x40000

# mm->rss_stat
MM_FILEPAGES: Final = 0
MM_ANONPAGES: Final = 1
MM_SWAPENTS: Final = 2
MM_SHMEMPAGES: Final = 3
NR_MM_COUNTERS: Final = 4

#: References that a pin (FOLL_PIN) takes.
GUP_PIN_COUNTING_BIAS: Final = 1024

DEFAULT_MAX_MAP_COUNT: Final = 65530
#: linux/mmap.c: the pages kept free below a growing stack, 256 << PAGE_SHIFT bytes.
DEFAULT_STACK_GUARD_GAP: Final = 256 << 12
