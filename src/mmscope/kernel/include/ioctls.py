# SPDX-License-Identifier: GPL-2.0-or-later
"""ioctl(2)'s oldest numbers (include/uapi/asm-generic/ioctls.h)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

TCGETS: Final = 0x5401
TCSETS: Final = 0x5402
TCSETSF: Final = 0x5404
TIOCGPGRP: Final = 0x540F
TIOCSPGRP: Final = 0x5410
TIOCGWINSZ: Final = 0x5413
FIONREAD: Final = 0x541B
FIONBIO: Final = 0x5421
TIOCGSID: Final = 0x5429
FIONCLEX: Final = 0x5450
FIOCLEX: Final = 0x5451
# fs/ioctl.c
FIBMAP: Final = 1
FIGETBSZ: Final = 2
FIOQSIZE: Final = 0x5460
FICLONE: Final = 0x40049409
FICLONERANGE: Final = 0x4020940D
FS_IOC_GETFLAGS: Final = 0x80086601
FS_IOC_SETFLAGS: Final = 0x40086602
FS_IOC_FIEMAP: Final = 0xC020660B
