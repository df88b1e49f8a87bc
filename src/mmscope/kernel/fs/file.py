# SPDX-License-Identifier: GPL-2.0-or-later
"""The descriptor table (fs/file.c, fs/file_table.c): fget, fd_install, close, dup."""

from __future__ import annotations

import mmscope.kernel.fs.inode as fs_inode
from mmscope.kernel.include.errno import EBADF, EINVAL, EMFILE, KernelError
from mmscope.kernel.include.fs import FMODE_PATH, FMODE_WRITER, O_CLOEXEC, SB_I_NOEXEC, File
from mmscope.kernel.include.resource import RLIMIT_NOFILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import FilesStruct


def get_file(file: File) -> File:
    """One more reference."""
    file.f_count += 1
    return file


def fput(file: File) -> None:
    """One reference less; the last one releases the file, and with it perhaps an unlinked inode."""
    file.f_count -= 1
    if file.f_count == 0:
        __fput(file)


def __fput(file: File) -> None:
    """The last reference is gone."""
    inode = file.f_inode
    if file.f_ep:
        # Only who has epoll files has the module.
        import mmscope.kernel.fs.eventpoll as eventpoll

        eventpoll.eventpoll_release_file(file)
    if inode.i_flctx is not None:
        import mmscope.kernel.fs.locks as locks

        locks.locks_remove_file(file)
    if file.f_op.release is not None:
        file.f_op.release(inode, file)
    if file.f_mode & FMODE_WRITER:
        inode.i_writecount -= 1
    inode.i_count -= 1
    if inode.i_count == 0:
        fs_inode.iput(inode)


def filp_close(file: File, id: FilesStruct) -> None:
    """The table `id` has one descriptor of `file` less: its record locks on the file go."""
    inode = file.f_inode
    if inode.i_flctx is not None and not file.f_mode & FMODE_PATH:
        import mmscope.kernel.fs.locks as locks

        locks.locks_remove_posix(inode.i_sb.kernel, file, id)
    fput(file)


def current_files(k: Kernel) -> FilesStruct:
    """current->files."""
    files = k.current.files
    assert files is not None
    return files


def fget_raw(k: Kernel, fd: int) -> File:
    """The file open as `fd`, O_PATH ones included; EBADF. No reference is taken: see fdget()."""
    file = current_files(k).fd.get(fd)
    if file is None:
        raise KernelError(EBADF)
    return file


def fget(k: Kernel, fd: int) -> File:
    """The file open as `fd`; EBADF if none, or if it was opened with O_PATH. Borrowed: no sleep until its last use."""
    file = fget_raw(k, fd)
    if file.f_mode & FMODE_PATH:
        raise KernelError(EBADF)
    return file


def fdget(k: Kernel, fd: int) -> File:
    """The file open as `fd`, for a call that may sleep: another thread may close it meanwhile. Give it back by fdput()."""
    return get_file(fget(k, fd))


def fdput(file: File) -> None:
    """The end of fdget()."""
    fput(file)


def alloc_fd(k: Kernel, start: int) -> int:
    """The lowest free descriptor from `start` on; EMFILE at RLIMIT_NOFILE."""
    fds = current_files(k).fd
    fd = start
    while fd in fds:
        fd += 1
    if fd >= k.current.signal.rlim[RLIMIT_NOFILE].rlim_cur:
        raise KernelError(EMFILE)
    return fd


def get_unused_fd_flags(k: Kernel, flags: int) -> int:
    """A free descriptor for fd_install; only O_CLOEXEC of `flags` matters."""
    fd = alloc_fd(k, 0)
    set_close_on_exec(k, fd, bool(flags & O_CLOEXEC))
    return fd


def set_close_on_exec(k: Kernel, fd: int, on: bool) -> None:
    """FD_CLOEXEC of `fd`."""
    files = current_files(k)
    if on:
        files.close_on_exec.add(fd)
    else:
        files.close_on_exec.discard(fd)


def fd_install(k: Kernel, fd: int, file: File) -> None:
    """`fd` now names `file`; takes over the caller's reference."""
    current_files(k).fd[fd] = file


def path_noexec(file: File) -> bool:
    """Nothing is executed of the file system on which the file stands (fs/exec.c)."""
    sb = file.f_inode.i_sb
    return sb.mnt_noexec or sb.s_iflags & SB_I_NOEXEC != 0


def close_fd(k: Kernel, fd: int) -> int:
    """close(2)."""
    files = current_files(k)
    file = files.fd.pop(fd, None)
    if file is None:
        raise KernelError(EBADF)
    files.close_on_exec.discard(fd)
    filp_close(file, files)
    return 0


def close_range(k: Kernel, fd: int, max_fd: int, flags: int) -> int:
    """close_range(2); flags CLOSE_RANGE_UNSHARE 2 (v5.9), CLOSE_RANGE_CLOEXEC 4 (v5.11)."""
    if flags & ~6 or fd > max_fd:
        raise KernelError(EINVAL)
    files = current_files(k)
    for one in sorted(files.fd):
        if fd <= one <= max_fd:
            if flags & 4:
                files.close_on_exec.add(one)
            else:
                close_fd(k, one)
    return 0


def f_dupfd(k: Kernel, start: int, file: File, flags: int) -> int:
    """A new descriptor >= start for the same open file."""
    if start >= k.current.signal.rlim[RLIMIT_NOFILE].rlim_cur:
        raise KernelError(EINVAL)
    fd = alloc_fd(k, start)
    fd_install(k, fd, get_file(file))
    set_close_on_exec(k, fd, bool(flags & O_CLOEXEC))
    return fd


def ksys_dup(k: Kernel, fildes: int) -> int:
    """dup(2)."""
    file = fget_raw(k, fildes)
    fd = get_unused_fd_flags(k, 0)
    fd_install(k, fd, get_file(file))
    return fd


def ksys_dup3(k: Kernel, oldfd: int, newfd: int, flags: int) -> int:
    """dup3(2)."""
    if flags & ~O_CLOEXEC or oldfd == newfd:
        raise KernelError(EINVAL)
    if newfd < 0 or newfd >= k.current.signal.rlim[RLIMIT_NOFILE].rlim_cur:
        raise KernelError(EBADF)
    file = get_file(fget_raw(k, oldfd))
    files = current_files(k)
    if newfd in files.fd:
        close_fd(k, newfd)
    fd_install(k, newfd, file)
    set_close_on_exec(k, newfd, bool(flags & O_CLOEXEC))
    return newfd


def ksys_dup2(k: Kernel, oldfd: int, newfd: int) -> int:
    """dup2(2): the same descriptor twice only has to be open."""
    if oldfd == newfd:
        fget_raw(k, oldfd)
        return oldfd
    return ksys_dup3(k, oldfd, newfd, 0)


def do_close_on_exec(k: Kernel) -> None:
    """Close what execve(2) must not pass on."""
    for fd in sorted(current_files(k).close_on_exec):
        close_fd(k, fd)


def put_files_struct(files: FilesStruct) -> None:
    """One user less; the last one closes everything."""
    files.count -= 1
    if files.count:
        return
    for fd in sorted(files.fd):
        filp_close(files.fd[fd], files)
    files.fd.clear()
    files.close_on_exec.clear()
