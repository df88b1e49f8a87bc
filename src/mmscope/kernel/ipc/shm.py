# SPDX-License-Identifier: GPL-2.0-or-later
"""System V shared memory (ipc/shm.c): segments that are shmem files, found by key or id.

shmat() maps a new struct file over the segment's inode; its vm_ops have ->open and ->close, which count the attachments.
A mapping with ->close never merges with another.
"""

from __future__ import annotations

from mmscope.kernel.arch.x86.uaccess import copy_from_user, copy_to_user
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.file import fput, get_file
from mmscope.kernel.include.capability import CAP_IPC_LOCK
from mmscope.kernel.include.errno import EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, KernelBug, KernelError
from mmscope.kernel.include.fs import AS_UNEVICTABLE, FMODE_READ, FMODE_WRITE, O_RDONLY, O_RDWR, File, FileOperations, Inode
from mmscope.kernel.include.mm import VM_NORESERVE
from mmscope.kernel.include.mm_types import Page, VmOperationsStruct
from mmscope.kernel.include.mman import MAP_FIXED, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE
from mmscope.kernel.include.resource import RLIM_INFINITY, RLIMIT_MEMLOCK
from mmscope.kernel.ipc.util import (
    IPC_CREAT,
    IPC_EXCL,
    IPC_INFO,
    IPC_PRIVATE,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    IPCMNI,
    IpcIds,
    KernIpcPerm,
    ipc64_perm,
    ipc_addid,
    ipc_max_idx,
    ipc_no_object,
    ipc_seconds,
    ipc_update_perm,
    ipcctl_check,
    ipcperms,
)
from mmscope.kernel.lib.xarray import xa_find
from mmscope.kernel.mm.gup import mm_populate
from mmscope.kernel.mm.mmap import do_mmap, do_munmap, find_vma
from mmscope.kernel.mm.shmem import shmem_kernel_file_setup
from mmscope.kernel.mm.swap import check_move_unevictable_pages
from mmscope.kernel.mm.util import rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.mm_types import MmStruct, VmAreaStruct, VmFault
    from mmscope.kernel.include.sched import TaskStruct

__all__ = [
    "IpcNamespace", "ShmidKernel", "do_shmat", "ksys_shmctl", "ksys_shmdt", "ksys_shmget", "shm_ids", "shm_vm_ops",
    "sysvipc_shm_proc_show",
]  # fmt: skip

SHM_LOCK: Final = 11
SHM_UNLOCK: Final = 12
SHM_STAT: Final = 13
SHM_INFO: Final = 14
SHM_STAT_ANY: Final = 15

SHM_HUGETLB: Final = 0o4000
SHM_NORESERVE: Final = 0o10000
SHM_RDONLY: Final = 0o10000
SHM_RND: Final = 0o20000
SHM_REMAP: Final = 0o40000
SHM_EXEC: Final = 0o100000
#: shm_perm.mode: destroyed with the last detach.
SHM_DEST: Final = 0o1000
SHM_LOCKED: Final = 0o2000

SHMMNI: Final = 4096
#: kernel.shmmax and shmall: ULONG_MAX - (1 << 24).
SHMMAX: Final = 0xFFFFFFFFFEFFFFFF


class ShmidKernel(KernIpcPerm):
    """struct shmid_kernel: a segment."""

    def __init__(self, k: Kernel, id: int, key: int, mode: int, size: int, file: File) -> None:
        super().__init__(k, id, key, mode)
        self.shm_segsz = size
        self.shm_file = file
        self.shm_nattch = 0
        #: Seconds since the epoch.
        self.shm_atim = 0
        self.shm_dtim = 0
        self.shm_ctim = 0
        self.shm_cprid = 0
        self.shm_lprid = 0
        #: SHM_LOCK: whose limit it counts against; -1: it is not locked.
        self.mlock_user = -1


class IpcNamespace(IpcIds):
    """struct ipc_namespace, the part about shared memory, in Kernel.shm_ids."""

    def __init__(self) -> None:
        super().__init__()
        #: id -> segment.
        self.segments: dict[int, ShmidKernel] = {}
        #: Pages of all segments.
        self.shm_tot = 0
        #: user_struct->locked_shm: uid -> pages that SHM_LOCK holds in memory.
        self.locked_shm: dict[int, int] = {}


class ShmFileData:
    """struct shm_file_data, private_data of an attachment's file."""

    def __init__(self, kernel: Kernel, id: int, file: File) -> None:
        self.kernel = kernel
        self.id = id
        #: The segment's own file, and the vm_ops that it gave the mapping.
        self.file = file
        self.vm_ops: VmOperationsStruct | None = None


def shm_ids(k: Kernel) -> IpcNamespace:
    """The segments, none until the first shmget."""
    ns = k.shm_ids
    if ns is None:
        ns = IpcNamespace()
        k.shm_ids = ns
    assert isinstance(ns, IpcNamespace)
    return ns


def shm_file_data(file: File) -> ShmFileData:
    """The attachment."""
    sfd = file.private_data
    assert isinstance(sfd, ShmFileData)
    return sfd


# --- identifiers


def shm_obtain_object_check(ns: IpcNamespace, id: int) -> ShmidKernel:
    """The segment of an id; EINVAL if there is none, EIDRM if its index was used again."""
    shp = ns.segments.get(id)
    if shp is None:
        raise ipc_no_object(ns.segments, id)
    return shp


def newseg(k: Kernel, key: int, size: int, shmflg: int) -> int:
    """A new segment: its id. Raises EINVAL, ENOSPC, ENOMEM, EPERM (no huge pages here)."""
    ns = shm_ids(k)
    numpages = (size + 4095) >> 12
    if size < 1 or size > SHMMAX:
        raise KernelError(EINVAL)
    if numpages << 12 < size or ns.shm_tot + numpages > SHMMAX:
        raise KernelError(ENOSPC)
    if shmflg & SHM_HUGETLB:
        # The pool is empty; EPERM: can_do_hugetlb_shm().
        raise KernelError(ENOMEM if capable(k, CAP_IPC_LOCK) else EPERM)
    flags = VM_NORESERVE if shmflg & SHM_NORESERVE and k.config.sysctl_overcommit_memory != 2 else 0
    file = shmem_kernel_file_setup(k, f"SYSV{key & 0xFFFFFFFF:08x}", size, flags)
    try:
        id = ipc_addid(ns, ns.segments, SHMMNI)
    except KernelError:
        fput(file)
        raise
    shp = ShmidKernel(k, id, key, shmflg & 0o777, size, file)
    shp.shm_cprid = k.current.tgid
    shp.shm_ctim = ipc_seconds(k)
    # /proc/PID/maps shows the id as the inode number.
    file.f_inode.i_ino = id
    ns.segments[id] = shp
    ns.shm_tot += numpages
    return id


def ksys_shmget(k: Kernel, key: int, size: int, shmflg: int) -> int:
    """shmget(2): the id of the segment with that key, made with IPC_CREAT; IPC_PRIVATE: always a new one."""
    if key == IPC_PRIVATE:
        return newseg(k, key, size, shmflg)
    for shp in shm_ids(k).segments.values():
        if shp.key == key:
            if shmflg & IPC_CREAT and shmflg & IPC_EXCL:
                raise KernelError(EEXIST)
            if shp.shm_segsz < size:
                raise KernelError(EINVAL)
            ipcperms(k, shp, shmflg)
            return shp.id
    if not shmflg & IPC_CREAT:
        raise KernelError(ENOENT)
    return newseg(k, key, size, shmflg)


def shm_destroy(ns: IpcNamespace, shp: ShmidKernel) -> None:
    """The segment goes: its file, and with it its pages."""
    ns.shm_tot -= (shp.shm_segsz + 4095) >> 12
    shmem_unlock(ns, shp)
    del ns.segments[shp.id]
    fput(shp.shm_file)


# --- mappings


def shm_open(vma: VmAreaStruct) -> None:
    """vm_ops->open: one attachment more (fork, a split)."""
    assert vma.vm_file is not None
    sfd = shm_file_data(vma.vm_file)
    shp = shm_ids(sfd.kernel).segments.get(sfd.id)
    if shp is None:
        raise KernelBug(f"shm_open: {vma!r} is of segment {sfd.id}, which is gone")
    shp.shm_atim = ipc_seconds(sfd.kernel)
    shp.shm_lprid = sfd.kernel.current.tgid
    shp.shm_nattch += 1


def shm_close(vma: VmAreaStruct) -> None:
    """vm_ops->close: one less; the last one destroys a segment that was removed."""
    assert vma.vm_file is not None
    sfd = shm_file_data(vma.vm_file)
    shm_detach(sfd.kernel, sfd.id)


def shm_detach(k: Kernel, id: int) -> None:
    """An attachment ends."""
    ns = shm_ids(k)
    shp = ns.segments.get(id)
    if shp is None:
        raise KernelBug(f"shm_close: segment {id} is gone")
    shp.shm_lprid = k.current.tgid
    shp.shm_dtim = ipc_seconds(k)
    shp.shm_nattch -= 1
    if shp.shm_nattch == 0 and shp.mode & SHM_DEST:
        shm_destroy(ns, shp)


def shm_fault(vmf: VmFault) -> int:
    """vm_ops->fault: shmem's."""
    assert vmf.vma.vm_file is not None
    ops = shm_file_data(vmf.vma.vm_file).vm_ops
    assert ops is not None
    assert ops.fault is not None
    return ops.fault(vmf)


def shm_mmap(file: File, vma: VmAreaStruct) -> None:
    """f_op->mmap: shmem's mapping under our own vm_ops."""
    shm_open(vma)
    sfd = shm_file_data(file)
    mmap = sfd.file.f_op.mmap
    assert mmap is not None
    try:
        mmap(sfd.file, vma)
    except KernelError:
        shm_close(vma)
        raise
    sfd.vm_ops = vma.vm_ops
    vma.vm_ops = shm_vm_ops


def shm_release(inode: Inode, file: File) -> None:
    """f_op->release."""
    fput(shm_file_data(file).file)


def shm_fsync(file: File, start: int, end: int, datasync: bool) -> None:
    """f_op->fsync: the segment's file's."""
    fsync = shm_file_data(file).file.f_op.fsync
    assert fsync is not None
    fsync(file, start, end, datasync)


def shm_fallocate(file: File, mode: int, offset: int, len: int) -> None:
    """f_op->fallocate (MADV_REMOVE): the segment's file's."""
    fallocate = shm_file_data(file).file.f_op.fallocate
    assert fallocate is not None
    fallocate(file, mode, offset, len)


def shm_get_unmapped_area(mm: MmStruct, file: File | None, addr: int, len: int, pgoff: int, flags: int) -> int:
    """f_op->get_unmapped_area: the segment's file's."""
    assert file is not None
    area = shm_file_data(file).file.f_op.get_unmapped_area
    assert area is not None
    return area(mm, file, addr, len, pgoff, flags)


shm_file_operations: Final = FileOperations(
    "shm_file_operations",
    mmap=shm_mmap,
    get_unmapped_area=shm_get_unmapped_area,
    release=shm_release,
    fsync=shm_fsync,
    fallocate=shm_fallocate,
)
shm_vm_ops: Final = VmOperationsStruct("shm_vm_ops", open=shm_open, close=shm_close, fault=shm_fault)


def do_shmat(k: Kernel, shmid: int, shmaddr: int, shmflg: int) -> int:
    """shmat(2): map the segment; the address. Raises EINVAL, EACCES, EIDRM, ENOMEM."""
    if shmid < 0:
        raise KernelError(EINVAL)
    addr = shmaddr
    flags = MAP_SHARED
    if addr:
        if addr & 4095:
            if not shmflg & SHM_RND:
                raise KernelError(EINVAL)
            addr &= -4096
            if addr == 0 and shmflg & SHM_REMAP:
                raise KernelError(EINVAL)
        flags |= MAP_FIXED
    elif shmflg & SHM_REMAP:
        raise KernelError(EINVAL)
    prot = PROT_READ
    acc_mode = 0o444
    if not shmflg & SHM_RDONLY:
        prot |= PROT_WRITE
        acc_mode |= 0o222
    if shmflg & SHM_EXEC:
        prot |= PROT_EXEC
        acc_mode |= 0o111
    shp = shm_obtain_object_check(shm_ids(k), shmid)
    ipcperms(k, shp, acc_mode)
    base = shp.shm_file
    read_only = shmflg & SHM_RDONLY != 0
    # alloc_file_clone()
    mode = FMODE_READ if read_only else FMODE_READ | FMODE_WRITE
    file = File(base.f_dentry, base.f_inode, O_RDONLY if read_only else O_RDWR, mode, shm_file_operations)
    file.private_data = ShmFileData(k, shmid, get_file(base))
    # Nobody may destroy it meanwhile.
    shp.shm_nattch += 1
    mm = k.current.mm
    assert mm is not None
    size = base.f_inode.i_size
    try:
        if addr and not shmflg & SHM_REMAP:
            if addr + size >= 1 << 64:
                raise KernelError(EINVAL)
            vma = find_vma(mm, addr)
            if vma is not None and vma.vm_start < addr + size:
                raise KernelError(EINVAL)
        raddr, populate = do_mmap(mm, file, addr, size, prot, flags, 0, 0)
    finally:
        fput(file)
        shp.shm_nattch -= 1
        if shp.shm_nattch == 0 and shp.mode & SHM_DEST:
            shm_destroy(shm_ids(k), shp)
    if populate:
        mm_populate(mm, raddr, populate)
    return raddr


def ksys_shmdt(k: Kernel, shmaddr: int) -> int:
    """shmdt(2): unmap all of the attachment that begins there, in as many pieces as it is in by now. Raises EINVAL."""
    mm = k.current.mm
    assert mm is not None
    if shmaddr & 4095:
        raise KernelError(EINVAL)
    addr = shmaddr
    found: File | None = None
    size = 0
    vma = find_vma(mm, addr)
    while vma is not None:
        next = vma.vm_next
        ours = vma.vm_ops is shm_vm_ops and (vma.vm_start - addr) >> 12 == vma.vm_pgoff
        if found is None:
            if ours:
                # The size counts from the first piece that is still there.
                found = vma.vm_file
                assert found is not None
                size = (found.f_inode.i_size + 4095) & -4096
                do_munmap(mm, vma.vm_start, vma.vm_end - vma.vm_start)
        elif vma.vm_end - addr > size:
            break
        elif ours and vma.vm_file is found:
            do_munmap(mm, vma.vm_start, vma.vm_end - vma.vm_start)
        vma = next
    if found is None:
        raise KernelError(EINVAL)
    return 0


# --- locked in memory


def shmem_lock(k: Kernel, ns: IpcNamespace, shp: ShmidKernel) -> None:
    """SHM_LOCK: its pages count against RLIMIT_MEMLOCK (ENOMEM), and those to come stand on the unevictable list."""
    if shp.mlock_user >= 0:
        return
    uid = k.current.cred.uid
    pages = (shp.shm_file.f_inode.i_size + 4095) >> 12
    limit = rlimit(k, RLIMIT_MEMLOCK)
    locked = ns.locked_shm.get(uid, 0) + pages
    if limit != RLIM_INFINITY and locked > limit >> 12 and not capable(k, CAP_IPC_LOCK):
        raise KernelError(ENOMEM)
    ns.locked_shm[uid] = locked
    shp.mlock_user = uid
    shp.mode |= SHM_LOCKED
    shp.shm_file.f_mapping.flags |= AS_UNEVICTABLE


def shmem_unlock(ns: IpcNamespace, shp: ShmidKernel) -> None:
    """SHM_UNLOCK, or the segment goes."""
    if shp.mlock_user < 0:
        return
    ns.locked_shm[shp.mlock_user] -= (shp.shm_file.f_inode.i_size + 4095) >> 12
    shp.mlock_user = -1
    shp.mode &= ~SHM_LOCKED
    mapping = shp.shm_file.f_mapping
    mapping.flags &= ~AS_UNEVICTABLE
    # shmem_unlock_mapping()
    pages: list[Page] = []
    found = xa_find(mapping.i_pages, 0, 1 << 52)
    while found is not None:
        if isinstance(found[1], Page):
            pages.append(found[1])
        found = xa_find(mapping.i_pages, found[0] + 1, 1 << 52)
    check_move_unevictable_pages(pages)


def shmctl_do_lock(k: Kernel, ns: IpcNamespace, shmid: int, cmd: int) -> int:
    """SHM_LOCK, SHM_UNLOCK. Raises EPERM, ENOMEM."""
    shp = shm_obtain_object_check(ns, shmid)
    if not capable(k, CAP_IPC_LOCK):
        if k.current.cred.euid not in (shp.uid, shp.cuid):
            raise KernelError(EPERM)
        if cmd == SHM_LOCK and not rlimit(k, RLIMIT_MEMLOCK):
            raise KernelError(EPERM)
    if cmd == SHM_LOCK:
        shmem_lock(k, ns, shp)
    else:
        shmem_unlock(ns, shp)
    return 0


# --- shmctl


def sysvipc_shm_proc_show(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """/proc/sysvipc/shm: a heading, then the segments by index."""
    if index == 0:
        heading = (
            "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime"
            "      ctime                   rss                  swap\n"
        )
        return heading.encode(), 1
    segments = sorted(shm_ids(k).segments.values(), key=_shm_index)
    if index > len(segments):
        return None
    shp = segments[index - 1]
    key = shp.key - (1 << 32) if shp.key >> 31 else shp.key
    line = (
        f"{key:10d} {shp.id:10d}  {shp.mode:4o} {shp.shm_segsz:21d} {shp.shm_cprid:5d} {shp.shm_lprid:5d}  {shp.shm_nattch:5d} "
        f"{shp.uid:5d} {shp.gid:5d} {shp.cuid:5d} {shp.cgid:5d} {shp.shm_atim:10d} {shp.shm_dtim:10d} {shp.shm_ctim:10d} "
        f"{shp.shm_file.f_mapping.nrpages << 12:21d} {0:21d}\n"
    )
    return line.encode(), index + 1


def _shm_index(shp: ShmidKernel) -> int:
    return shp.id & (IPCMNI - 1)


def shmid64_ds(shp: ShmidKernel) -> bytes:
    """struct shmid64_ds, 112 bytes."""
    out = ipc64_perm(shp)
    for value in (shp.shm_segsz, shp.shm_atim, shp.shm_dtim, shp.shm_ctim):
        out += value.to_bytes(8, "little")
    out += shp.shm_cprid.to_bytes(4, "little") + shp.shm_lprid.to_bytes(4, "little") + shp.shm_nattch.to_bytes(8, "little")
    return out.ljust(112, b"\0")


def ksys_shmctl(k: Kernel, shmid: int, cmd: int, buf: int) -> int:
    """shmctl(2)."""
    ns = shm_ids(k)
    if cmd < 0 or shmid < 0:
        raise KernelError(EINVAL)
    if cmd == IPC_INFO:
        info = SHMMAX.to_bytes(8, "little") + (1).to_bytes(8, "little")
        for value in (SHMMNI, SHMMNI, SHMMAX):
            info += value.to_bytes(8, "little")
        copy_to_user(k, buf, info.ljust(72, b"\0"))
        return ipc_max_idx(ns.segments)
    if cmd == SHM_INFO:
        resident = 0
        for shp in ns.segments.values():
            resident += shp.shm_file.f_mapping.nrpages
        info = len(ns.segments).to_bytes(8, "little") + ns.shm_tot.to_bytes(8, "little") + resident.to_bytes(8, "little")
        copy_to_user(k, buf, info.ljust(48, b"\0"))
        return ipc_max_idx(ns.segments)
    if cmd in (SHM_STAT, SHM_STAT_ANY):
        for shp in ns.segments.values():
            if shp.id & (IPCMNI - 1) == shmid:
                if cmd == SHM_STAT:
                    ipcperms(k, shp, 0o444)
                copy_to_user(k, buf, shmid64_ds(shp))
                return shp.id
        raise KernelError(EINVAL)
    if cmd in (SHM_LOCK, SHM_UNLOCK):
        return shmctl_do_lock(k, ns, shmid, cmd)
    if cmd not in (IPC_RMID, IPC_SET, IPC_STAT):
        raise KernelError(EINVAL)
    shp = shm_obtain_object_check(ns, shmid)
    if cmd == IPC_STAT:
        ipcperms(k, shp, 0o444)
        copy_to_user(k, buf, shmid64_ds(shp))
        return 0
    ipcctl_check(k, shp)
    if cmd == IPC_SET:
        ipc_update_perm(shp, copy_from_user(k, buf, 112))
        shp.shm_ctim = ipc_seconds(k)
    elif shp.shm_nattch:
        # do_shm_rmid(): it lives on without a key until the last one detaches.
        shp.mode |= SHM_DEST
        shp.key = IPC_PRIVATE
    else:
        shm_destroy(ns, shp)
    return 0
