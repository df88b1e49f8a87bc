# SPDX-License-Identifier: GPL-2.0-or-later
"""The errno values that the model returns (uapi/asm-generic/errno*.h), and the two exceptions of the model."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EPERM: Final = 1
ENOENT: Final = 2
ESRCH: Final = 3
EINTR: Final = 4
EIO: Final = 5
ENXIO: Final = 6
E2BIG: Final = 7
ENOEXEC: Final = 8
EBADF: Final = 9
ECHILD: Final = 10
EAGAIN: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
ENOTBLK: Final = 15
EBUSY: Final = 16
EEXIST: Final = 17
EXDEV: Final = 18
ENODEV: Final = 19
ENOTDIR: Final = 20
EISDIR: Final = 21
EINVAL: Final = 22
ENFILE: Final = 23
EMFILE: Final = 24
ENOTTY: Final = 25
ETXTBSY: Final = 26
EFBIG: Final = 27
ENOSPC: Final = 28
ESPIPE: Final = 29
EROFS: Final = 30
EMLINK: Final = 31
EPIPE: Final = 32
EDOM: Final = 33
ERANGE: Final = 34
EDEADLK: Final = 35
ENAMETOOLONG: Final = 36
ENOSYS: Final = 38
ENOTEMPTY: Final = 39
ELOOP: Final = 40
EIDRM: Final = 43
EBADR: Final = 53
ENODATA: Final = 61
ELIBBAD: Final = 80
EOVERFLOW: Final = 75
EOPNOTSUPP: Final = 95
ENOTSOCK: Final = 88
EDESTADDRREQ: Final = 89
EMSGSIZE: Final = 90
EPROTOTYPE: Final = 91
ENOPROTOOPT: Final = 92
EPROTONOSUPPORT: Final = 93
ESOCKTNOSUPPORT: Final = 94
EAFNOSUPPORT: Final = 97
EADDRINUSE: Final = 98
ECONNRESET: Final = 104
ENOBUFS: Final = 105
EISCONN: Final = 106
ENOTCONN: Final = 107
ECONNREFUSED: Final = 111
ETIMEDOUT: Final = 110
ECANCELED: Final = 125

# Never seen by a program: a system call interrupted by a signal (include/linux/errno.h).
ERESTARTSYS: Final = 512
ERESTARTNOINTR: Final = 513
ERESTARTNOHAND: Final = 514
ERESTART_RESTARTBLOCK: Final = 516


class KernelError(OSError):
    """A guest's mistake, or the kernel's refusal: what Linux reports as -errno.

    `KernelError(ENOMEM)`; `.errno` is positive. Raised where the C function returns -errno or ERR_PTR(-errno).
    """

    def __init__(self, errno: int, text: str = "") -> None:
        # OSError sets .errno only when it gets two arguments.
        super().__init__(errno, text or os.strerror(errno))


class KernelPanic(Exception):
    """panic(): the guest has got its kernel into a state from which Linux does not go on."""


class KernelBug(AssertionError):
    """A broken invariant of the model itself (Linux's BUG); the message names both offending objects."""
