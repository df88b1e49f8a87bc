# SPDX-License-Identifier: GPL-2.0-or-later
"""The structures of memory management (include/linux/mm_types.h, rmap.h, mm.h). Data only: functions live where Linux has them.

Addresses and lengths are bytes (int, 0 <= a < 2**64); `pgoff`, counts such as `total_vm` and RSS are pages; a `pfn`
is a physical address >> 12. A page-table pointer (`ptep`, `pmdp`...) is the *index of the 8-byte entry in
`Kernel.words`*, i.e. its physical address >> 3. Entries are signed 64-bit ints: NX is the sign.
"""

from __future__ import annotations

from mmscope.kernel.include.mm import NR_MM_COUNTERS
from mmscope.kernel.lib.rbtree import RbNode, RbRoot, RbRootCached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mypy_extensions import i64

    from mmscope.kernel.include.fs import AddressSpace, File
    from mmscope.kernel.include.kernel import Kernel


# mm->flags: the OOM killer need not look at it (any more); it has taken pages away.
MMF_OOM_SKIP: Final = 1 << 21
MMF_UNSTABLE: Final = 1 << 22


class Page:
    """struct page: one frame of RAM. Exists from the frame's first allocation on (`Kernel.mem_map[pfn]`)."""

    def __init__(self, kernel: Kernel, pfn: int) -> None:
        self.kernel = kernel
        self.pfn: i64 = pfn
        #: PG_* bits (page_flags.py)
        self.flags: i64 = 0
        #: References: each PTE, the page cache, a pagevec slot, a GUP user... 0 = free.
        self._refcount: i64 = 0
        #: Number of PTEs that map it, minus 1; negative page types when free (PG_buddy) or a page table.
        self._mapcount: i64 = -1
        #: An AddressSpace (tag 0), an AnonVma (tag PAGE_MAPPING_ANON) or None.
        self.mapping: AddressSpace | AnonVma | None = None
        self.mapping_tag: i64 = 0
        #: Offset in its mapping, pages. For anonymous pages linear_page_index(vma, addr).
        self.index = 0
        #: Buffers, with PG_private.
        self.private: BufferHead | None = None
        #: The LRU list it stands on (lru_list_head of swap.py), -1 for none. Linux: page->lru.
        self.lru_list = -1
        #: log2 pages of the block whose head this frame is, while free in the buddy allocator (page_private there).
        self.order = 0

    def __repr__(self) -> str:
        return f"<Page pfn={self.pfn:#x} ref={self._refcount} map={self._mapcount} flags={self.flags:#x}>"


class BufferHead:
    """struct buffer_head: the state of one block of a page (include/linux/buffer_head.h)."""

    def __init__(self) -> None:
        #: BH_* bits (fs/buffer.py)
        self.b_state = 0

    def __repr__(self) -> str:
        return f"<BufferHead {self.b_state:#x}>"


class AnonVma:
    """struct anon_vma: the reverse map's anchor for anonymous pages of one or more related VMAs."""

    def __init__(self) -> None:
        self.root: AnonVma = self
        #: Number of child anon_vmas + 1 if a vma points here: v5.11's `degree`. Reused by anon_vma_clone when < 2.
        self.degree = 0
        #: 5.10.218 (a stable backport of v5.19's a37a28) splits degree in these two.
        self.num_children = 0
        self.num_active_vmas = 0
        self.refcount = 1
        self.parent: AnonVma = self
        #: Interval tree of AnonVmaChain over [vm_pgoff, last].
        self.rb_root = RbRootCached()


class AnonVmaChainRb(RbNode):
    """avc->rb, a node in anon_vma->rb_root."""

    def __init__(self, avc: AnonVmaChain) -> None:
        super().__init__()
        self.avc = avc


class AnonVmaChain:
    """struct anon_vma_chain: links one vma with one anon_vma (many to many)."""

    def __init__(self) -> None:
        self.vma: VmAreaStruct | None = None
        self.anon_vma: AnonVma | None = None
        self.rb = AnonVmaChainRb(self)
        self.rb_subtree_last = 0


class VmRb(RbNode):
    """vma->vm_rb, a node in mm->mm_rb."""

    def __init__(self, vma: VmAreaStruct) -> None:
        super().__init__()
        self.vma = vma


class SharedRb(RbNode):
    """vma->shared.rb, a node in address_space->i_mmap."""

    def __init__(self, vma: VmAreaStruct) -> None:
        super().__init__()
        self.vma = vma


class VmAreaStruct:
    """struct vm_area_struct: one mapping [vm_start, vm_end) of an address space (since v6.1 kept in a maple tree)."""

    def __init__(self, mm: MmStruct) -> None:
        self.vm_start = 0
        self.vm_end = 0
        #: Linked list per mm, sorted by address.
        self.vm_next: VmAreaStruct | None = None
        self.vm_prev: VmAreaStruct | None = None
        #: Largest free gap (bytes) below any VMA in this subtree, to its predecessor.
        self.rb_subtree_gap = 0
        self.vm_mm = mm
        #: Access permissions as PTE bits (signed).
        self.vm_page_prot = 0
        #: VM_* (mm.py)
        self.vm_flags = 0
        #: The interval tree's augmented value (pages).
        self.shared_rb_subtree_last = 0
        #: AnonVmaChain list, head first (list_add puts at index 0).
        self.anon_vma_chain: list[AnonVmaChain] = []
        self.anon_vma: AnonVma | None = None
        #: None = anonymous (vma_is_anonymous).
        self.vm_ops: VmOperationsStruct | None = None
        #: Offset in vm_file, pages; for private anonymous memory vm_start >> PAGE_SHIFT at birth.
        self.vm_pgoff = 0
        self.vm_file: File | None = None
        self.vm_private_data: object = None
        #: Nodes in mm->mm_rb and in file->f_mapping->i_mmap. Last: what stands above is then known to be there, and mypyc
        #: does not look whether it is at each use.
        self.vm_rb = VmRb(self)
        self.shared_rb = SharedRb(self)

    def __repr__(self) -> str:
        return f"<VmAreaStruct {self.vm_start:#x}-{self.vm_end:#x} flags={self.vm_flags:#x}>"


class VmFault:
    """struct vm_fault: one fault on its way through the handlers."""

    def __init__(self, vma: VmAreaStruct, flags: int, pgoff: int, address: int) -> None:
        self.vma = vma
        #: FAULT_FLAG_*
        self.flags = flags
        self.gfp_mask = 0
        #: Offset of the fault in the mapping, pages (linear_page_index).
        self.pgoff = pgoff
        #: Faulting address, rounded down to its page (since v5.14 `real_address` keeps the exact one).
        self.address = address
        #: Page-table pointers as indices in Kernel.words; pte 0 = not looked up / no table. pmd 0 likewise.
        self.pmd: i64 = 0
        self.pte: i64 = 0
        self.pud: i64 = 0
        self.orig_pte: i64 = 0
        #: do_cow_fault's new page, the page that ->fault returned, and a preallocated page table (pfn + 1; 0 = none).
        self.cow_page: Page | None = None
        self.page: Page | None = None
        self.prealloc_pte: Page | None = None


class VmOperationsStruct:
    """struct vm_operations_struct: a table of function pointers; None where C has NULL. Immutable after import."""

    def __init__(
        self,
        ops_name: str,
        open: Callable[[VmAreaStruct], None] | None = None,
        close: Callable[[VmAreaStruct], None] | None = None,
        split: Callable[[VmAreaStruct, int], None] | None = None,
        mremap: Callable[[VmAreaStruct], None] | None = None,
        fault: Callable[[VmFault], int] | None = None,
        map_pages: Callable[[VmFault, int, int], None] | None = None,
        page_mkwrite: Callable[[VmFault], int] | None = None,
        pfn_mkwrite: Callable[[VmFault], int] | None = None,
        name: Callable[[VmAreaStruct], str] | None = None,
        find_special_page: Callable[[VmAreaStruct, int], Page | None] | None = None,
        pagesize: Callable[[VmAreaStruct], int] | None = None,
    ) -> None:
        #: The C identifier of the table, e.g. "ext4_file_vm_ops".
        self.ops_name = ops_name
        self.open = open
        self.close = close
        #: Raises KernelError to refuse.
        self.split = split
        self.mremap = mremap
        #: (vmf) -> VM_FAULT_*; sets vmf.page.
        self.fault = fault
        #: (vmf, start_pgoff, end_pgoff): maps what is cached; both ends inclusive.
        self.map_pages = map_pages
        self.page_mkwrite = page_mkwrite
        self.pfn_mkwrite = pfn_mkwrite
        self.name = name
        self.find_special_page = find_special_page
        self.pagesize = pagesize


class VmSpecialMapping:
    """struct vm_special_mapping: vdso, vvar (mm_types.h)."""

    def __init__(
        self,
        name: str,
        pages: list[Page] | None = None,
        fault: Callable[[VmSpecialMapping, VmAreaStruct, VmFault], int] | None = None,
        mremap: Callable[[VmSpecialMapping, VmAreaStruct], None] | None = None,
    ) -> None:
        self.name = name
        self.pages = pages
        self.fault = fault
        self.mremap = mremap


class MmStruct:
    """struct mm_struct: one address space. mm/mmap.py and kernel/core/fork.py own it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: Address-sorted list and tree of VMAs: always the same set.
        self.mmap: VmAreaStruct | None = None
        self.mm_rb = RbRoot()
        #: Bumped when VMAs are unlinked: per-task vmacache of an older seqnum is invalid.
        self.vmacache_seqnum = 0
        #: arch_get_unmapped_area or its top-down twin: (file, addr, len, pgoff, flags) -> addr. Set by arch_pick_mmap_layout.
        self.get_unmapped_area: Callable[[MmStruct, File | None, int, int, int, int], int] | None = None
        self.mmap_base = 0
        self.mmap_legacy_base = 0
        self.task_size = 0
        self.highest_vm_end = 0
        #: Physical address of the PGD page, bytes (what CR3 holds).
        self.pgd = 0
        #: Users of the address space (threads), and of this structure (1 for all users together, plus lazy ones).
        self.mm_users = 1
        self.mm_count = 1
        #: Memory of PTE/PMD/PUD tables, bytes.
        self.pgtables_bytes = 0
        self.map_count = 0
        #: High watermarks of RSS and of total_vm, pages.
        self.hiwater_rss = 0
        self.hiwater_vm = 0
        #: Pages: all mapped, mlocked, pinned, private writable not stack, executable not writable, VM_STACK.
        self.total_vm = 0
        self.locked_vm = 0
        #: Pages of locked_vm that nothing will ever give back: MREMAP_DONTUNMAP miscounts.
        self.locked_vm_lost = 0
        self.pinned_vm = 0
        #: MMF_*
        self.flags = 0
        #: Some page was pinned (FOLL_PIN) through this mm, ever (since v5.14 MMF_HAS_PINNED).
        self.has_pinned = False
        self.data_vm = 0
        self.exec_vm = 0
        self.stack_vm = 0
        #: vm_flags that every new mapping gets (mlockall(MCL_FUTURE)).
        self.def_flags = 0
        self.start_code = 0
        self.end_code = 0
        self.start_data = 0
        self.end_data = 0
        self.start_brk = 0
        self.brk = 0
        self.start_stack = 0
        self.arg_start = 0
        self.arg_end = 0
        self.env_start = 0
        self.env_end = 0
        #: (type, value) pairs as put on the stack; /proc/PID/auxv
        self.saved_auxv: list[int] = []
        #: Pages by MM_FILEPAGES...; each task also caches up to 64 (SPLIT_RSS_COUNTING, until v6.2).
        self.rss_stat: list[i64] = [0] * NR_MM_COUNTERS
        self.exe_file: File | None = None
        #: context.vdso: address of the vDSO's ELF header; context.vdso_image its image (arch/x86/vdso.py).
        self.vdso = 0
        self.vdso_image: object = None
        #: Address bounds of a pending TLB flush while an mmu_gather is open, and their nesting.
        self.tlb_flush_pending = 0
        self.personality = 0
        #: MEMBARRIER_CMD_REGISTER_* that were called, as bits of the command.
        self.membarrier_state = 0
        #: Of NUMA balancing: when the next scan is due, ns; where it begins; how often it has come round.
        self.numa_next_scan = 0
        self.numa_scan_offset = 0
        self.numa_scan_seq = 0
