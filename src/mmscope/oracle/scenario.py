# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario language: one operation a line. docs/oracle.md teaches it; here it is read, written, and compiled for the agent.

# title: Two mappings that touch become one VMA
# rows: S9
a = mmap 0x20000000 2p rw private|anon|fixed
b = mmap a+2p 1p rw private|anon|fixed
maps
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mmscope.errors import UsageError
from mmscope.oracle.answers import (
    SI_CODES,
    SIGNALS,
    render_id,
    render_maps,
    render_page_tables,
    render_result,
    render_shmstat,
    render_smaps,
    render_stat,
    render_status,
    render_vm,
)

PAGE: Final = 4096
_U64: Final = (1 << 64) - 1

#: Labels that every scenario has: where the heap starts, and the lower end of [stack].
BUILTIN_SLOTS: Final = {"heap": 510, "stack": 511}
_FIRST_SLOT: Final = 1
_NR_SLOTS: Final = 500

PERSONA: Final = {"read_implies_exec": 0x0400000}
PROT: Final = {"none": 0, "r": 1, "w": 2, "x": 4, "sem": 8, "growsdown": 0x01000000, "growsup": 0x02000000}
MAP: Final = {
    "shared": 0x01, "private": 0x02, "shared_validate": 0x03, "fixed": 0x10, "anon": 0x20, "32bit": 0x40, "growsdown": 0x100,
    "denywrite": 0x800, "executable": 0x1000, "locked": 0x2000, "noreserve": 0x4000, "populate": 0x8000, "nonblock": 0x10000,
    "stack": 0x20000, "hugetlb": 0x40000, "sync": 0x80000, "fixed_noreplace": 0x100000,
    "droppable": 0x08,
}  # fmt: skip
MREMAP: Final = {"maymove": 1, "fixed": 2, "dontunmap": 4}
MADV: Final = {
    "normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4, "free": 8, "remove": 9, "dontfork": 10, "dofork": 11,
    "mergeable": 12, "unmergeable": 13, "hugepage": 14, "nohugepage": 15, "dontdump": 16, "dodump": 17, "wipeonfork": 18,
    "keeponfork": 19, "cold": 20, "pageout": 21, "populate_read": 22, "populate_write": 23, "dontneed_locked": 24,
    "collapse": 25, "guard_install": 102, "guard_remove": 103,
}  # fmt: skip
OPEN: Final = {
    "rdonly": 0, "wronly": 1, "rdwr": 2, "creat": 0o100, "excl": 0o200, "trunc": 0o1000, "append": 0o2000, "direct": 0o40000,
    "directory": 0o200000, "nofollow": 0o400000, "cloexec": 0o2000000, "path": 0o10000000, "tmpfile": 0o20200000,
}  # fmt: skip
MSYNC: Final = {"async": 1, "invalidate": 2, "sync": 4}
MLOCKALL: Final = {"current": 1, "future": 2, "onfault": 4}
MLOCK2: Final = {"onfault": 1}
FALLOC: Final = {"keep_size": 1, "punch_hole": 2, "collapse_range": 8, "zero_range": 16, "insert_range": 32}
MFD: Final = {"cloexec": 1, "allow_sealing": 2, "noexec_seal": 8, "exec": 16}
FADV: Final = {"normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4, "noreuse": 5}
SEALS: Final = {"seal": 1, "shrink": 2, "grow": 4, "write": 8, "future_write": 16, "exec": 32}
SYNC_RANGE: Final = {"wait_before": 1, "write": 2, "wait_after": 4}
SHMCMD: Final = {"rmid": 0}
SHM: Final = {"creat": 0o1000, "excl": 0o2000, "rdonly": 0o10000, "rnd": 0o20000, "remap": 0o40000}
RLIMIT: Final = {"fsize": 1, "data": 2, "stack": 3, "nofile": 7, "memlock": 8, "as": 9}


class ScenarioError(UsageError):
    """A line that is none of the language."""


@dataclass(frozen=True)
class Op:
    """One operation: `label = name args`. Arguments stay text, so that what is printed is what was read."""

    name: str
    args: tuple[str, ...] = ()
    label: str = ""
    #: The child that performs it, `a.b` the child b of a; "" for the process itself.
    child: str = ""

    def __str__(self) -> str:
        words = " ".join((self.name, *self.args))
        words = f"{self.label} = {words}" if self.label else words
        return f"in {self.child}: {words}" if self.child else words


@dataclass(frozen=True)
class Scenario:
    """A named list of operations."""

    ops: tuple[Op, ...]
    title: str = ""
    #: What it shows, by row of docs/oracle.md: "S9".
    rows: tuple[str, ...] = ()
    #: Why the model is expected to differ; "" if it is expected to agree.
    fails: str = ""
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_ops(self, ops: Sequence[Op]) -> Scenario:
        """The same scenario with other operations."""
        return Scenario(tuple(ops), self.title, self.rows, self.fails, self.name, self.headers)


def parse_op(text: str) -> Op:
    """One line, without its comment."""
    child = ""
    match = re.match(r"in\s+([\w.]+)\s*:\s*(.*)$", text)
    if match:
        child, text = match.groups()
    label = ""
    match = re.match(r"([A-Za-z_]\w*)\s*=\s*(.*)$", text)
    if match:
        label, text = match.groups()
    words = text.split()
    if not words:
        raise ScenarioError(f"no operation in {text!r}")
    if words[0] not in OPS:
        raise ScenarioError(f"unknown operation {words[0]!r}; there are " + " ".join(sorted(OPS)))
    if label in BUILTIN_SLOTS:
        raise ScenarioError(f"the label {label!r} has a meaning of its own")
    op = Op(words[0], tuple(words[1:]), label, child)
    low, high = OPS[op.name].arity
    if not low <= len(op.args) <= high:
        raise ScenarioError(f"{op.name} takes {OPS[op.name].usage or 'no arguments'}")
    return op


def parse(text: str, name: str = "") -> Scenario:
    """A whole file."""
    headers: dict[str, str] = {}
    ops: list[Op] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"#\s*([a-z]+):\s*(.*?)\s*$", line)
        if match and not ops:
            headers[match[1]] = match[2]
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            ops.append(parse_op(line))
        except ScenarioError as error:
            raise ScenarioError(f"{name or 'scenario'}:{number}: {error}") from None
    rows = tuple(headers.get("rows", "").replace(",", " ").split())
    scenario = Scenario(tuple(ops), headers.get("title", ""), rows, headers.get("fails", ""), name, headers)
    compile_scenario(scenario)
    return scenario


def load(path: Path) -> Scenario:
    """A scenario file."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is no text") from None
    return parse(text, path.stem)


def format_scenario(scenario: Scenario) -> str:
    """The text of a file that parse() reads back."""
    lines = [f"# {key}: {value}" for key, value in scenario.headers.items()]
    return "\n".join([*lines, *map(str, scenario.ops)]) + "\n"


# --- compilation


@dataclass(frozen=True)
class OpKind:
    """What an operation takes, how it is said to the agent, and how its answer reads."""

    usage: str
    arity: tuple[int, int]
    #: (compiler, args, slot of the label) -> lines for the agent; the last one is answered.
    emit: Callable[[Compiler, tuple[str, ...], int], list[str]]
    #: Reads the answer's text behind "= ".
    render: Callable[[str], str]


class Compiler:
    """Numbers the labels of one scenario."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = dict(BUILTIN_SLOTS)
        self.children: dict[str, int] = {}

    def slot(self, label: str) -> int:
        """The slot that `label` is (or will be) kept in; 0 for none."""
        if not label:
            return 0
        if label not in self.slots:
            number = len(self.slots) - len(BUILTIN_SLOTS) + _FIRST_SLOT
            if number > _NR_SLOTS:
                raise ScenarioError(f"more than {_NR_SLOTS} labels")
            self.slots[label] = number
        return self.slots[label]

    def num(self, text: str) -> str:
        """A number, a label, or a sum of them, as the agent reads it."""
        constant = 0
        label = ""
        for sign, term in re.findall(r"([+-]?)([^+-]+)", text) or [("", "")]:
            value = _literal(term)
            if value is None:
                if label or sign == "-":
                    raise ScenarioError(f"{text!r} is not LABEL, NUMBER or LABEL+NUMBER")
                if term not in self.slots:
                    raise ScenarioError(f"{term!r} is neither a number nor a label of an earlier line")
                label = term
            else:
                constant += -value if sign == "-" else value
        constant &= _U64
        if not label:
            return f"{constant:x}"
        return f"${self.slots[label]:x}" + (f"+{constant:x}" if constant else "")

    def flags(self, text: str, names: Mapping[str, int]) -> str:
        """`a|b|0x40`."""
        value = 0
        for word in text.split("|"):
            number = names.get(word)
            if number is None:
                number = _literal(word)
            if number is None:
                raise ScenarioError(f"{word!r} is not one of " + " ".join(names))
            value |= number
        return f"{value & _U64:x}"

    def prot(self, text: str) -> str:
        """`rw`, `none`, `r|growsdown`, a number."""
        words = ["|".join(word) if re.fullmatch("[rwx]+", word) else word for word in text.split("|")]
        return self.flags("|".join(words), PROT)

    def child(self, name: str, new: bool = False) -> int:
        """The number of a child."""
        if name not in self.children:
            if not new:
                raise ScenarioError(f"no child {name!r}; `fork {name}` makes it")
            if len(self.children) == 8:
                raise ScenarioError("more than 8 children")
            self.children[name] = len(self.children)
        return self.children[name]


def _literal(term: str) -> int | None:
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([pKMGT]?)", term)
    if not match:
        return None
    scale = {"": 1, "p": PAGE, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[match[2]]
    return int(match[1], 0) * scale


def compile_op(compiler: Compiler, op: Op) -> list[str]:
    """Its lines for the agent; the last one is answered."""
    kind = OPS[op.name]
    low, high = kind.arity
    if not low <= len(op.args) <= high:
        raise ScenarioError(f"{op.name} takes {kind.usage or 'no arguments'}")
    lines = kind.emit(compiler, op.args, 0)
    if op.label:
        # Only now is the label known: `a = mmap a 1p ...` means the earlier a.
        lines = kind.emit(compiler, op.args, compiler.slot(op.label))
    for name in reversed(op.child.split(".") if op.child else []):
        lines = [f"i {compiler.child(name):x} {line}" for line in lines]
    return lines


def compile_scenario(scenario: Scenario) -> list[list[str]]:
    """Lines for the agent, by operation. Nothing is let through that would change a file outside the scenario's folder."""
    compiler = Compiler()
    result = []
    for op in scenario.ops:
        try:
            result.append(compile_op(compiler, op))
            for name in changed_files(op):
                if "/" in name or name in ("", ".", "..", AGENT_FILE):
                    raise ScenarioError(f"{name!r} may not be changed: only files of the scenario's own folder may")
        except ScenarioError as error:
            raise ScenarioError(f"{scenario.name or 'scenario'}: {op}: {error}") from None
    return result


#: The agent's own file in the folder.
AGENT_FILE: Final = "agent"
#: What may be opened for writing besides: devices, which changes nothing, and what changes the agent's own memory.
_DEVICES: Final = ("/dev/zero", "/dev/null", "/dev/full", "/proc/self/clear_refs", "/proc/self/mem")


def changed_files(op: Op) -> tuple[str, ...]:
    """Names of files that the operation may create, change or remove."""
    if op.name == "open":
        flags = int(Compiler().flags(op.args[1], OPEN), 16)
        changes = flags & (0o3 | OPEN["creat"] | OPEN["trunc"])
        nameless = flags & OPEN["tmpfile"] == OPEN["tmpfile"] and op.args[0] == "."
        return (op.args[0],) if changes and not nameless and op.args[0] not in _DEVICES else ()
    if op.name in ("truncate", "unlink"):
        return op.args[:1]
    return op.args[:2] if op.name == "rename" else ()


def uses_files(scenario: Scenario) -> bool:
    """It opens files of its folder: what it shows may depend on the file system."""
    return any(op.name in ("open", "truncate", "unlink", "rename") and "/" not in op.args[0] for op in scenario.ops)


def render(op: Op, raw: str) -> str:
    """An agent's line in words: `-EINVAL`, `SIGSEGV MAPERR 0x1000`, a list of mappings..."""
    if raw.startswith("! "):
        signo, code, *rest = raw[2:].split(" ")
        name = SI_CODES.get((int(signo), int(code)), f"si_code {code}")
        return " ".join([SIGNALS.get(int(signo), f"signal {signo}"), name, *rest])
    if raw.startswith("= "):
        return OPS[op.name].render(raw[2:])
    return raw


# --- the operations


def _syscall(
    nr: int, usage: str, optional: int = 0, render: Callable[[str], str] = render_result, defaults: tuple[str, ...] = ()
) -> OpKind:
    """A system call whose arguments are those of the operation; the usage names their kinds."""
    kinds = usage.replace("[", "").replace("]", "").split()

    def emit(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
        words = []
        for at, kind in enumerate(kinds):
            text = args[at] if at < len(args) else defaults[at - len(kinds) + optional]
            words.append(_argument(compiler, kind, text))
        return [" ".join(["y", f"{slot:x}", "0", f"{nr:x}", *words])]

    return OpKind(usage, (len(kinds) - optional, len(kinds)), emit, render)


_TABLES: Final[dict[str, Mapping[str, int]]] = {
    "MAPFLAGS": MAP, "MREMAPFLAGS": MREMAP, "ADVICE": MADV, "OPENFLAGS": OPEN, "MSYNCFLAGS": MSYNC, "LOCKFLAGS": MLOCKALL,
    "LOCK2FLAGS": MLOCK2, "FALLOCFLAGS": FALLOC, "MFDFLAGS": MFD, "SHMFLAGS": SHM, "RLIMIT": RLIMIT,
    "PERSONA": PERSONA, "FADVICE": FADV, "SYNCFLAGS": SYNC_RANGE, "SHMCMD": SHMCMD,
}  # fmt: skip


def _argument(compiler: Compiler, kind: str, text: str) -> str:
    if kind == "PROT":
        return compiler.prot(text)
    if kind in _TABLES:
        return compiler.flags(text, _TABLES[kind])
    if kind in ("PATH", "NAME", "NEWPATH"):
        return '"' + text
    return compiler.num(text)


def _buffered(nr: int, usage: str, write: bool, offset: bool) -> OpKind:
    """read, write and relatives: into the agent's buffer (answered with its hash), or `ADDR` of the scenario's memory."""

    def emit(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
        words = [compiler.num(arg) for arg in args]
        fd, length = words[0], words[1]
        where = [words[2]] if offset else []
        rest = words[3:] if offset else words[2:]
        lines = []
        if rest:
            buffer = rest[0]
        else:
            buffer = "&0"
            if write:
                lines.append(f"B 0 {length} 41")
        dump = "0" if write or rest else "1"
        return [*lines, " ".join(["y", f"{slot:x}", dump, f"{nr:x}", fd, buffer, length, *where])]

    count = len(usage.replace("[", "").replace("]", "").split())
    return OpKind(usage, (count - 1, count), emit, render_result)


def _wire(letter: str, usage: str, optional: int = 0, defaults: tuple[str, ...] = (), slot: bool = False) -> OpKind:
    """An operation of the agent's own."""
    count = len(usage.replace("[", "").replace("]", "").split())

    def emit(compiler: Compiler, args: tuple[str, ...], number: int) -> list[str]:
        texts = [*args, *defaults[len(args) - count + optional :]] if optional else list(args)
        words = [compiler.num(text) for text in texts]
        return [" ".join([letter, *([f"{number:x}"] if slot else []), *words])]

    return OpKind(usage, (count - optional, count), emit, render_result)


def _prlimit(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """Sets the soft limit; the hard one stays."""
    soft = "ffffffffffffffff" if args[1] == "infinity" else compiler.num(args[1])
    return [f"r {compiler.flags(args[0], RLIMIT)} {soft}"]


def _getrlimit(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    return [f"y {slot:x} 10 12e 0 {compiler.flags(args[0], RLIMIT)} 0 &0"]


def _fstat(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """struct stat up to st_blksize."""
    return [f"y {slot:x} 40 5 {compiler.num(args[0])} &0"]


def _shmstat(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """shmctl(IPC_STAT): struct shmid64_ds up to shm_nattch."""
    return [f"y {slot:x} 60 1f {compiler.num(args[0])} 2 &0"]


def _add_seals(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    return [f"y {slot:x} 0 48 {compiler.num(args[0])} 409 {compiler.flags(args[1], SEALS)}"]


def _get_seals(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    return [f"y {slot:x} 0 48 {compiler.num(args[0])} 40a"]


def _mincore(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """The bytes; or, with VEC, only the result, the bytes put there."""
    words = " ".join(compiler.num(arg) for arg in args)
    return [f"y {slot:x} 0 1b {words}" if len(args) == 3 else f"c {words}"]


#: Requests of ptrace(2); peekdata answers the word.
TRACE: Final = {
    "peekdata": 2, "pokedata": 5, "cont": 7, "kill": 8, "attach": 16, "detach": 17, "seize": 0x4206, "interrupt": 0x4207,
}  # fmt: skip


def _ptrace(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    request = compiler.flags(args[0], TRACE)
    words = [compiler.num(text) for text in (*args[1:], *("0", "0", "0")[len(args) - 1 :])]
    if args[0] == "peekdata":
        return [f"y {slot:x} 8 65 {request} {words[0]} {words[1]} &0"]
    return [f"y {slot:x} 0 65 {request} " + " ".join(words)]


def _waitpid(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """wait4(PID, &status, __WALL, 0)"""
    return [f"y {slot:x} 8 3d {compiler.num(args[0])} &0 40000000 0"]


def _traceable(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
    """prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)"""
    return [f"y {slot:x} 0 9d 59616d61 -1"]


def _child_op(letter: str) -> Callable[[Compiler, tuple[str, ...], int], list[str]]:
    def emit(compiler: Compiler, args: tuple[str, ...], slot: int) -> list[str]:
        return [f"{letter} {compiler.child(args[0], new=letter == 'k'):x}"]

    return emit


def _probe(letter: str, render: Callable[[str], str]) -> OpKind:
    return OpKind("", (0, 0), lambda compiler, args, slot: [letter], render)


OPS: Final[dict[str, OpKind]] = {
    "mmap": _syscall(9, "ADDR LEN PROT MAPFLAGS [FD] [OFFSET]", 2, defaults=("0-1", "0")),
    "munmap": _syscall(11, "ADDR LEN"),
    "mprotect": _syscall(10, "ADDR LEN PROT"),
    "pkey_mprotect": _syscall(329, "ADDR LEN PROT PKEY"),
    "remap_file_pages": _syscall(216, "ADDR LEN PROT PGOFF MAPFLAGS"),
    "personality": _syscall(135, "PERSONA", render=render_id),
    "mremap": _syscall(25, "ADDR OLDLEN NEWLEN MREMAPFLAGS [NEWADDR]", 1, defaults=("0",)),
    "brk": _syscall(12, "ADDR"),
    "madvise": _syscall(28, "ADDR LEN ADVICE"),
    "mlock": _syscall(149, "ADDR LEN"),
    "munlock": _syscall(150, "ADDR LEN"),
    "mlock2": _syscall(325, "ADDR LEN LOCK2FLAGS"),
    "mlockall": _syscall(151, "LOCKFLAGS"),
    "munlockall": _syscall(152, ""),
    "msync": _syscall(26, "ADDR LEN MSYNCFLAGS"),
    "open": _syscall(2, "PATH OPENFLAGS [MODE]", 1, defaults=("384",)),
    "close": _syscall(3, "FD"),
    "dup": _syscall(32, "FD"),
    "lseek": _syscall(8, "FD OFFSET WHENCE"),
    "ftruncate": _syscall(77, "FD LEN"),
    "truncate": _syscall(76, "PATH LEN"),
    "fallocate": _syscall(285, "FD FALLOCFLAGS OFFSET LEN"),
    "fsync": _syscall(74, "FD"),
    "fdatasync": _syscall(75, "FD"),
    "sync_file_range": _syscall(277, "FD OFFSET LEN SYNCFLAGS"),
    "fadvise": _syscall(221, "FD OFFSET LEN FADVICE"),
    "readahead": _syscall(187, "FD OFFSET LEN"),
    "unlink": _syscall(87, "PATH"),
    "rename": _syscall(82, "PATH NEWPATH"),
    "fstat": OpKind("FD", (1, 1), _fstat, render_stat),
    "add_seals": OpKind("FD SEALS", (2, 2), _add_seals, render_result),
    "get_seals": OpKind("FD", (1, 1), _get_seals, render_result),
    "memfd_create": _syscall(319, "NAME MFDFLAGS"),
    "shmget": _syscall(29, "KEY SIZE SHMFLAGS", render=render_id),
    "shmat": _syscall(30, "ID ADDR SHMFLAGS"),
    "shmdt": _syscall(67, "ADDR"),
    "shmctl": _syscall(31, "ID SHMCMD"),
    "shmstat": OpKind("ID", (1, 1), _shmstat, render_shmstat),
    "read": _buffered(0, "FD LEN [ADDR]", False, False),
    "write": _buffered(1, "FD LEN [ADDR]", True, False),
    "pread": _buffered(17, "FD LEN OFFSET [ADDR]", False, True),
    "pwrite": _buffered(18, "FD LEN OFFSET [ADDR]", True, True),
    "prlimit": OpKind("RLIMIT SOFT", (2, 2), _prlimit, render_result),
    "getrlimit": OpKind("RLIMIT", (1, 1), _getrlimit, render_result),
    "load": _wire("l", "ADDR [SIZE]", 1, ("8",), slot=True),
    "store": _wire("s", "ADDR SIZE VALUE"),
    "touch": _wire("t", "ADDR LEN"),
    "peek": _wire("g", "ADDR LEN"),
    "fill": _wire("f", "ADDR LEN BYTE"),
    "hash": _wire("h", "ADDR LEN"),
    "call": _wire("x", "ADDR"),
    "mincore": OpKind("ADDR LEN [VEC]", (2, 3), _mincore, render_result),
    "pagemap": _wire("P", "ADDR PAGES"),
    "maps": _probe("m", render_maps),
    "smaps": _probe("M", render_smaps),
    "vm": _probe("v", render_vm),
    "pagetables": _probe("v", render_page_tables),
    "faults": _probe("F", render_result),
    "fork": OpKind("CHILD", (1, 1), _child_op("k"), render_result),
    "wait": OpKind("CHILD", (1, 1), _child_op("w"), render_result),
    "exit": _wire("e", "CODE"),
    "getpid": _syscall(39, "", render=render_id),
    "loadid": OpKind("ADDR", (1, 1), lambda compiler, args, slot: [f"l {slot:x} {compiler.num(args[0])} 8"], render_id),
    "traceable": OpKind("", (0, 0), _traceable, lambda text: "ok"),
    "ptrace": OpKind("TRACE PID [ADDR] [DATA]", (2, 4), _ptrace, render_result),
    "waitpid": OpKind("PID", (1, 1), _waitpid, render_status),
    "leave": _wire("E", "CODE"),
}
