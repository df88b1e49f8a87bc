# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent answers, in words: `-EINVAL`, `SIGSEGV MAPERR`, mappings; without what no two runs have in common."""

from __future__ import annotations

import re
from typing import Final

from mmscope.kernel.include import errno as _errno

ERRNO_NAMES: Final = {
    value: name for name, value in sorted(vars(_errno).items(), reverse=True) if re.fullmatch("E[A-Z0-9]+", name)
}  # fmt: skip
SIGNALS: Final = {7: "SIGBUS", 11: "SIGSEGV"}
SI_CODES: Final = {
    (11, 1): "MAPERR", (11, 2): "ACCERR", (11, 3): "BNDERR", (11, 4): "PKUERR", (11, 0x80): "KERNEL",
    (7, 1): "ADRALN", (7, 2): "ADRERR", (7, 3): "OBJERR",
}  # fmt: skip


def result_text(word: str) -> str:
    """`-22` -> -EINVAL; all else as it is."""
    if word.startswith("-") and word[1:].isdigit():
        number = int(word[1:])
        return "-" + ERRNO_NAMES.get(number, f"errno {number}")
    return word


def render_result(text: str) -> str:
    """Numbers, and errno by its name."""
    return " ".join(result_text(word) for word in text.split(" "))


def render_id(text: str) -> str:
    """The number cannot be reproduced, or is the runner's own (personality)."""
    return "id" if text.startswith("0x") else render_result(text)


def render_status(text: str) -> str:
    """wait4: the status alone, the lower half of the word."""
    words = text.split(" ")
    return f"status {int(words[1], 16) & 0xFFFFFFFF:#x}" if len(words) == 2 else render_result(text)


def render_stat(text: str) -> str:
    """Of struct stat what can be reproduced: links, mode, size, block size."""
    words = text.split(" ")
    if len(words) < 9:
        return render_result(text)
    links, mode, size, block = (int(words[1 + at], 16) for at in (2, 3, 6, 7))
    return f"nlink {links} mode {mode & 0xFFFFFFFF:o} size {size} blksize {block}"


def render_shmstat(text: str) -> str:
    """Size, mode (with SHM_DEST) and attachments of a segment."""
    words = text.split(" ")
    if len(words) < 13:
        return render_result(text)
    mode, size, attached = (int(words[1 + at], 16) for at in (2, 6, 11))
    return f"mode {mode >> 32 & 0xFFFF:o} size {size} nattch {attached}"


AGENT_START: Final = 0x7FFFF8000000
AGENT_END: Final = 0x7FFFF8100000
ARENA_TOP: Final = 0x7FFFF7E00000
MMAP_BASE: Final = 0x7FFFF7FFF000


def render_maps(text: str) -> str:
    """The scenario's lines of /proc/self/maps, without device and inode; files by their last name."""
    lines = []
    for line in text.rstrip("|").split("|"):
        words = line.split(None, 5)
        if len(words) < 5:
            return result_text(text)
        start = int(words[0].partition("-")[0], 16)
        name = words[5].rpartition("/")[2] if len(words) > 5 else ""
        if _is_agents(start, name):
            continue
        lines.append(" ".join(filter(None, (words[0], words[1], words[2], name))))
    return " | ".join(lines)


def _is_agents(start: int, name: str) -> bool:
    """The mapping is the agent's own, or the kernel's."""
    if start >> 63 or ARENA_TOP <= start < MMAP_BASE:
        return True
    return AGENT_START <= start < AGENT_END and (name.startswith("agent") or start == AGENT_START + 4096)


def render_smaps(text: str) -> str:
    """The scenario's mappings in /proc/self/smaps: what is not 0, the flags, and how many lines there were."""
    out: list[str] = []
    lines = text.rstrip("|").split("|")
    at = 0
    while at < len(lines):
        words = lines[at].split(None, 5)
        if len(words) < 5:
            return result_text(text)
        start = int(words[0].partition("-")[0], 16)
        name = words[5].rpartition("/")[2] if len(words) > 5 else ""
        begin = at = at + 1
        fields = []
        while at < len(lines) and re.match(r"[A-Z]\w*:", lines[at]):
            field, _, value = lines[at].partition(":")
            if value.split() != ["0", "kB"] and value.split() != ["0"]:
                fields.append(f"{field}={value.strip().removesuffix(' kB')}")
            at += 1
        if not _is_agents(start, name):
            head = " ".join(filter(None, (words[0], words[1], words[2], name)))
            out.append(f"{head} ({at - begin} lines) {' '.join(fields)}")
    return " | ".join(out)


#: The lines of /proc/self/status that `vm` shows.
_VM_LINES: Final = ("VmSize", "VmLck", "VmData", "VmStk")


def render_vm(text: str) -> str:
    """VmSize and its relatives."""
    found = dict(re.findall(r"(Vm\w+):\s*(\d+) kB", text))
    if not found:
        return result_text(text)
    return " ".join(f"{name}={found[name]}" for name in _VM_LINES if name in found)


def render_page_tables(text: str) -> str:
    """VmPTE."""
    match = re.search(r"VmPTE:\s*(\d+) kB", text)
    return f"VmPTE={match[1]}" if match else result_text(text)
