# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/mounts and mountinfo (fs/proc_namespace.c): what is mounted where."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmscope.kernel.include.kernel import Kernel
    from mmscope.kernel.include.sched import TaskStruct


def show_vfsmnt(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """A line of mounts."""
    if index >= len(k.vfs.mounts):
        return None
    path, sb, source, options = k.vfs.mounts[index]
    return f"{source} {path} {sb.s_type} {options} 0 0\n".encode(), index + 1


def show_mountinfo(k: Kernel, task: TaskStruct, index: int) -> tuple[bytes, int] | None:
    """A line of mountinfo: numbers, device, what is mounted where and how."""
    if index >= len(k.vfs.mounts):
        return None
    path, sb, source, options = k.vfs.mounts[index]
    parent = 0
    for other, other_sb, _, _ in k.vfs.mounts[:index]:
        if path.startswith(other.rstrip("/") + "/"):
            parent = other_sb.s_mnt_id
    device = f"{sb.s_dev >> 20}:{sb.s_dev & 0xFFFFF}"
    mount = ",".join([word for word in options.split(",") if not word.startswith("mode=")])
    super = ",".join([word for word in options.split(",") if word == "rw" or word.startswith("mode=")])
    return f"{sb.s_mnt_id} {parent} {device} / {path} {mount} - {sb.s_type} {source} {super}\n".encode(), index + 1
