# SPDX-License-Identifier: GPL-2.0-or-later
"""A dentry's path as the current task sees it (fs/d_path.c)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.fs import Dentry
    from mmscope.kernel.include.kernel import Kernel


def d_path(k: Kernel, dentry: Dentry) -> str:
    """The absolute path of `dentry` below the task's root, across mounts.

    A dentry that stands in no tree (a pipe, an unlinked shmem file) shows its own name: "pipe:[42]";
    shmem's "/dev/zero (deleted)" with the mark that v5.11 gives to every unlinked file.
    """
    names: list[str] = []
    deleted = " (deleted)" if dentry.d_unlinked else ""
    fs = k.current.fs
    task_root = fs.root if fs is not None else k.vfs.root
    while dentry is not task_root:
        if dentry.d_parent is not None:
            names.append(dentry.d_name)
            dentry = dentry.d_parent
        elif dentry.d_covers is not None:
            dentry = dentry.d_covers
        elif dentry is k.vfs.root:
            # the task was moved below another root
            break
        else:
            return simple_dname(dentry)
    return "/" + "/".join(reversed(names)) + deleted


def path_is_under(dentry: Dentry, root: Dentry) -> bool:
    """`root` is the dentry or stands above it, across mounts (fs/namespace.c)."""
    at: Dentry | None = dentry
    while at is not None:
        if at is root:
            return True
        at = at.d_parent if at.d_parent is not None else at.d_covers
    return False


def simple_dname(dentry: Dentry) -> str:
    """The name of a dentry outside every tree."""
    name = dentry.d_name
    if dentry.d_sb.s_type in ("tmpfs", "shmem", "hugetlbfs"):
        if not name.startswith("/"):
            name = "/" + name
        if not name.endswith(" (deleted)"):
            name += " (deleted)"
    return name
