# SPDX-License-Identifier: GPL-2.0-or-later
"""The handlers and tables of /proc/sys (kernel/sysctl.c): vm.* and a few of kernel.*.

A variable is here if something in the model obeys it.
"""

from __future__ import annotations

import mmscope.kernel.core.sys as core_sys
from mmscope.kernel.core.capability import capable
from mmscope.kernel.fs.drop_caches import drop_caches
from mmscope.kernel.fs.fs_writeback import dirty_writeback_centisecs_handler
from mmscope.kernel.include.capability import CAP_LAST_CAP, CAP_SYS_RAWIO
from mmscope.kernel.include.errno import EINVAL, EPERM, KernelError
from mmscope.kernel.include.limits import INT_MAX, ULONG_MAX
from mmscope.kernel.include.page import PAGE_SIZE
from mmscope.kernel.mm.page_alloc import setup_per_zone_wmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mmscope.kernel.include.kernel import Kernel

__all__ = ["CtlTable", "kern_table", "proc_dointvec_minmax", "proc_doulongvec_minmax", "vm_table"]

#: A number has at most this many characters, and the buffer of a write one page.
TMPBUFLEN: Final = 22
__NEW_UTS_LEN: Final = 64
_SPACES: Final = b" \t\n\v\f\r\xa0"

#: What proc_handler is.
INT: Final = 0
ULONG: Final = 1
STRING: Final = 2


class CtlTable:
    """struct ctl_table: one variable."""

    def __init__(
        self,
        procname: str,
        mode: int,
        kind: int,
        get: Callable[[Kernel], int] | None = None,
        set: Callable[[Kernel, int], None] | None = None,
        extra1: int = -INT_MAX - 1,
        extra2: int = ULONG_MAX,
        text: Callable[[Kernel], str] | None = None,
        set_text: Callable[[Kernel, str], None] | None = None,
        check: Callable[[Kernel], None] | None = None,
    ) -> None:
        self.procname = procname
        self.mode = mode
        #: INT: proc_dointvec and proc_dointvec_minmax, ULONG: proc_doulongvec_minmax, STRING: proc_dostring.
        self.kind = kind
        self.get = get
        self.set = set
        #: Least and greatest value.
        self.extra1 = extra1
        self.extra2 = extra2
        self.text = text
        self.set_text = set_text
        #: Asked before a write.
        self.check = check


def proc_skip_spaces(data: bytes) -> int:
    """How many spaces `data` begins with."""
    return len(data) - len(data.lstrip(_SPACES))


def strtoul_lenient(text: bytes) -> tuple[int, int]:
    """An unsigned number, 0x hexadecimal, 0 octal: (value, length). EINVAL beyond 64 bits."""
    base, at = 10, 0
    if text[:1] == b"0":
        base = 8
        if text[1:2] in (b"x", b"X") and text[2:3] and text[2] in b"0123456789abcdefABCDEF":
            base, at = 16, 2
    value = 0
    while at < len(text):
        digit = b"0123456789abcdef".find(text[at : at + 1].lower())
        if digit < 0 or digit >= base:
            break
        value = value * base + digit
        at += 1
    if value > ULONG_MAX:
        raise KernelError(EINVAL)
    return value, at


def proc_get_long(data: bytes) -> tuple[bool, int, int]:
    """The number at the start of `data`, up to a space: (negative, magnitude, length). Raises EINVAL."""
    tmp = data[: TMPBUFLEN - 1]
    neg = tmp[:1] == b"-" and len(data) > 1
    at = 1 if neg else 0
    if not tmp[at : at + 1].isdigit():
        raise KernelError(EINVAL)
    value, length = strtoul_lenient(tmp[at:])
    length += at
    if length == TMPBUFLEN - 1 or (length < len(data) and data[length] not in b" \t\n"):
        raise KernelError(EINVAL)
    return neg, value, length


def _parse(data: bytes) -> tuple[bool, int, int]:
    """One number with spaces around it: (negative, magnitude, bytes used). Raises EINVAL, also for nothing but spaces."""
    data = data[: PAGE_SIZE - 1]
    at = proc_skip_spaces(data)
    if at == len(data):
        raise KernelError(EINVAL)
    neg, value, length = proc_get_long(data[at:])
    at += length
    return neg, value, at + proc_skip_spaces(data[at:])


def proc_dointvec_minmax(k: Kernel, table: CtlTable, data: bytes) -> int:
    """Set an int: bytes used. Where Linux has proc_dointvec the limits are the int's own."""
    neg, value, used = _parse(data)
    if value > INT_MAX + (1 if neg else 0):
        raise KernelError(EINVAL)
    value = -value if neg else value
    if value < table.extra1 or value > table.extra2:
        raise KernelError(EINVAL)
    assert table.set is not None
    table.set(k, value)
    return used


def proc_doulongvec_minmax(k: Kernel, table: CtlTable, data: bytes) -> int:
    """Set an unsigned long: bytes used. A negative number is passed over."""
    neg, value, used = _parse(data)
    assert table.get is not None
    assert table.set is not None
    if neg:
        value = table.get(k)
    elif value < table.extra1 or value > table.extra2:
        raise KernelError(EINVAL)
    table.set(k, value)
    return used


def proc_dostring(k: Kernel, table: CtlTable, data: bytes) -> int:
    """Set a name of at most 64 bytes, up to the end of its line: all bytes are used."""
    assert table.set_text is not None
    line = data[:__NEW_UTS_LEN].partition(b"\0")[0].partition(b"\n")[0]
    table.set_text(k, line.decode("utf-8", "surrogateescape"))
    return len(data)


def proc_read(k: Kernel, table: CtlTable, count: int, pos: int) -> bytes:
    """A number can be read from the start only, a string from anywhere."""
    if table.kind == STRING:
        assert table.text is not None
        return (table.text(k) + "\n").encode("utf-8", "surrogateescape")[pos : pos + count]
    if pos:
        return b""
    assert table.get is not None
    return f"{table.get(k)}\n".encode()[:count]


def proc_write(k: Kernel, table: CtlTable, data: bytes, pos: int) -> int:
    """Set a variable: bytes used. A write that does not begin at position 0 is ignored (sysctl_writes_strict)."""
    if table.check is not None:
        table.check(k)
    if not data:
        return 0
    if pos:
        return len(data)
    if table.kind == STRING:
        return proc_dostring(k, table, data)
    if table.kind == ULONG:
        return proc_doulongvec_minmax(k, table, data)
    return proc_dointvec_minmax(k, table, data)


# --- what the variables are


def _get_overcommit_memory(k: Kernel) -> int:
    return k.config.sysctl_overcommit_memory


def _set_overcommit_memory(k: Kernel, value: int) -> None:
    k.config.sysctl_overcommit_memory = value


def _get_overcommit_ratio(k: Kernel) -> int:
    return k.config.sysctl_overcommit_ratio


def overcommit_ratio_handler(k: Kernel, value: int) -> None:
    """The ratio and the absolute limit exclude each other (mm/util.c)."""
    k.config.sysctl_overcommit_ratio = value
    k.config.sysctl_overcommit_kbytes = 0


def _get_overcommit_kbytes(k: Kernel) -> int:
    return k.config.sysctl_overcommit_kbytes


def overcommit_kbytes_handler(k: Kernel, value: int) -> None:
    """The other way round."""
    k.config.sysctl_overcommit_kbytes = value
    k.config.sysctl_overcommit_ratio = 0


def _get_admin_reserve(k: Kernel) -> int:
    return k.config.sysctl_admin_reserve_kbytes


def _set_admin_reserve(k: Kernel, value: int) -> None:
    k.config.sysctl_admin_reserve_kbytes = value


def _get_user_reserve(k: Kernel) -> int:
    return k.config.sysctl_user_reserve_kbytes


def _set_user_reserve(k: Kernel, value: int) -> None:
    k.config.sysctl_user_reserve_kbytes = value


def _get_max_map_count(k: Kernel) -> int:
    return k.config.sysctl_max_map_count


def _set_max_map_count(k: Kernel, value: int) -> None:
    k.config.sysctl_max_map_count = value


def _get_mmap_min_addr(k: Kernel) -> int:
    return k.config.mmap_min_addr


def _set_mmap_min_addr(k: Kernel, value: int) -> None:
    k.config.mmap_min_addr = value


def mmap_min_addr_check(k: Kernel) -> None:
    """Raw access to the machine is needed (security/min_addr.c). No security module keeps a minimum of its own."""
    if not capable(k, CAP_SYS_RAWIO):
        raise KernelError(EPERM)


def _get_mmap_rnd_bits(k: Kernel) -> int:
    return k.config.mmap_rnd_bits


def _set_mmap_rnd_bits(k: Kernel, value: int) -> None:
    k.config.mmap_rnd_bits = value


def _get_legacy_va_layout(k: Kernel) -> int:
    return k.config.sysctl_legacy_va_layout


def _set_legacy_va_layout(k: Kernel, value: int) -> None:
    k.config.sysctl_legacy_va_layout = value


def _get_min_free_kbytes(k: Kernel) -> int:
    return k.zone.min_free_kbytes


def min_free_kbytes_sysctl_handler(k: Kernel, value: int) -> None:
    """The watermarks follow (mm/page_alloc.c)."""
    k.zone.min_free_kbytes = value
    setup_per_zone_wmarks(k.zone)


def _get_dirty_ratio(k: Kernel) -> int:
    return k.config.vm_dirty_ratio


def dirty_ratio_handler(k: Kernel, value: int) -> None:
    """A change takes the limit in bytes back (mm/page-writeback.c)."""
    if value != k.config.vm_dirty_ratio:
        k.config.vm_dirty_ratio = value
        k.config.vm_dirty_bytes = 0


def _get_dirty_bytes(k: Kernel) -> int:
    return k.config.vm_dirty_bytes


def dirty_bytes_handler(k: Kernel, value: int) -> None:
    """A change takes the ratio back."""
    if value != k.config.vm_dirty_bytes:
        k.config.vm_dirty_bytes = value
        k.config.vm_dirty_ratio = 0


def _get_dirty_background_ratio(k: Kernel) -> int:
    return k.config.dirty_background_ratio


def dirty_background_ratio_handler(k: Kernel, value: int) -> None:
    """Takes the limit in bytes back."""
    k.config.dirty_background_ratio = value
    k.config.dirty_background_bytes = 0


def _get_dirty_background_bytes(k: Kernel) -> int:
    return k.config.dirty_background_bytes


def dirty_background_bytes_handler(k: Kernel, value: int) -> None:
    """Takes the ratio back."""
    k.config.dirty_background_bytes = value
    k.config.dirty_background_ratio = 0


def _get_dirty_writeback_interval(k: Kernel) -> int:
    return k.config.dirty_writeback_interval


def _get_dirty_expire_interval(k: Kernel) -> int:
    return k.config.dirty_expire_interval


def _set_dirty_expire_interval(k: Kernel, value: int) -> None:
    k.config.dirty_expire_interval = value


def _get_randomize_va_space(k: Kernel) -> int:
    return k.config.randomize_va_space


def _set_randomize_va_space(k: Kernel, value: int) -> None:
    k.config.randomize_va_space = value


def _get_numa_balancing(k: Kernel) -> int:
    return k.config.sysctl_numa_balancing


def _set_numa_balancing(k: Kernel, value: int) -> None:
    k.config.sysctl_numa_balancing = value


def _get_pid_max(k: Kernel) -> int:
    return 32768


def _get_ngroups_max(k: Kernel) -> int:
    return 65536


def _get_cap_last_cap(k: Kernel) -> int:
    return CAP_LAST_CAP


def _osrelease(k: Kernel) -> str:
    return core_sys.UTS_RELEASE


def _ostype(k: Kernel) -> str:
    return "Linux"


def _version(k: Kernel) -> str:
    return core_sys.UTS_VERSION


def _hostname(k: Kernel) -> str:
    return k.nodename


def _set_hostname(k: Kernel, name: str) -> None:
    k.nodename = name


def _domainname(k: Kernel) -> str:
    return k.domainname


def _set_domainname(k: Kernel, name: str) -> None:
    k.domainname = name


kern_table: Final = (
    CtlTable("cap_last_cap", 0o444, INT, _get_cap_last_cap),
    CtlTable("domainname", 0o644, STRING, text=_domainname, set_text=_set_domainname),
    CtlTable("hostname", 0o644, STRING, text=_hostname, set_text=_set_hostname),
    CtlTable("ngroups_max", 0o444, INT, _get_ngroups_max),
    CtlTable("numa_balancing", 0o644, INT, _get_numa_balancing, _set_numa_balancing, 0, 1),
    CtlTable("osrelease", 0o444, STRING, text=_osrelease),
    CtlTable("ostype", 0o444, STRING, text=_ostype),
    CtlTable("pid_max", 0o444, INT, _get_pid_max),
    CtlTable("randomize_va_space", 0o644, INT, _get_randomize_va_space, _set_randomize_va_space),
    CtlTable("version", 0o444, STRING, text=_version),
)
vm_table: Final = (
    CtlTable("admin_reserve_kbytes", 0o644, ULONG, _get_admin_reserve, _set_admin_reserve),
    CtlTable("dirty_background_bytes", 0o644, ULONG, _get_dirty_background_bytes, dirty_background_bytes_handler, 1),
    CtlTable("dirty_background_ratio", 0o644, INT, _get_dirty_background_ratio, dirty_background_ratio_handler, 0, 100),
    CtlTable("dirty_bytes", 0o644, ULONG, _get_dirty_bytes, dirty_bytes_handler, 2 * PAGE_SIZE),
    CtlTable("dirty_expire_centisecs", 0o644, INT, _get_dirty_expire_interval, _set_dirty_expire_interval, 0),
    CtlTable("dirty_ratio", 0o644, INT, _get_dirty_ratio, dirty_ratio_handler, 0, 100),
    CtlTable("dirty_writeback_centisecs", 0o644, INT, _get_dirty_writeback_interval, dirty_writeback_centisecs_handler),
    CtlTable("drop_caches", 0o200, INT, None, drop_caches, 1, 4),
    CtlTable("legacy_va_layout", 0o644, INT, _get_legacy_va_layout, _set_legacy_va_layout, 0),
    CtlTable("max_map_count", 0o644, INT, _get_max_map_count, _set_max_map_count, 0),
    CtlTable("min_free_kbytes", 0o644, INT, _get_min_free_kbytes, min_free_kbytes_sysctl_handler, 0),
    CtlTable("mmap_min_addr", 0o644, ULONG, _get_mmap_min_addr, _set_mmap_min_addr, check=mmap_min_addr_check),
    CtlTable("mmap_rnd_bits", 0o600, INT, _get_mmap_rnd_bits, _set_mmap_rnd_bits, 28, 32),
    CtlTable("overcommit_kbytes", 0o644, ULONG, _get_overcommit_kbytes, overcommit_kbytes_handler),
    CtlTable("overcommit_memory", 0o644, INT, _get_overcommit_memory, _set_overcommit_memory, 0, 2),
    CtlTable("overcommit_ratio", 0o644, INT, _get_overcommit_ratio, overcommit_ratio_handler),
    CtlTable("user_reserve_kbytes", 0o644, ULONG, _get_user_reserve, _set_user_reserve),
)
