# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own selftests of memory management, natively and under `mmscope run`: one table of all of them.

    make selftests
    .venv/bin/python scripts/selftests.py [--cache DIR] [NAME...]

Sources come from Debian's linux-source-6.1 (apt-get download into the cache; nothing is installed), are built static, and run
in an empty folder with a time limit. Exit status 1 if a program passes natively and not on the model although nothing in the
table excludes it, and no system call was missing that the model says it has not yet.

A program that ends well fails all the same if it calls a single test "not ok" on the model and "ok" natively.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("linux-source-6.1", "libcap-dev")
TREE: Final = "linux-source-6.1"
SELFTESTS: Final = f"{TREE}/tools/testing/selftests"
#: Seconds.
NATIVE_LIMIT: Final = 60
MODEL_LIMIT: Final = 900
#: kselftest.h: what an exit status means.
WORDS: Final = {0: "pass", 1: "fail", 2: "xfail", 3: "xpass", 4: "skip"}

HUGETLB: Final = "needs hugetlbfs"
THP: Final = "needs transparent huge pages"
UFFD: Final = "needs userfaultfd"


class Selftest:
    """One program: `name` is its folder and file under tools/testing/selftests."""

    def __init__(
        self, name: str, *, sources: str = "", nobody: bool = False, why: str = "", but: dict[str, str] | None = None
    ) -> None:
        self.name = name
        #: Further sources, in the same folder.
        self.sources = sources.split()
        #: run_vmtests.sh runs it without privileges.
        self.nobody = nobody
        #: Why it is built and run nowhere; "" = it runs.
        self.why = why
        #: Single tests in it that cannot pass, with the reason.
        self.but = but or {}


#: All programs of vm/ and mincore/, and those of memfd/ and proc/ that are about memory.
TESTS: Final = (
    Selftest("vm/map_fixed_noreplace"),
    Selftest("vm/map_populate"),
    Selftest("vm/mremap_test", but={"mremap expand merge": "mremap() merges what it has grown since 6.1 (ca3d76b0aa80)"}),
    Selftest("vm/mremap_dontunmap"),
    Selftest("vm/mlock2-tests"),
    Selftest("vm/mlock-random-test"),
    Selftest("vm/on-fault-limit", nobody=True),
    Selftest("vm/virtual_address_range"),
    Selftest("vm/va_128TBswitch", why="needs 5-level page tables: run_vmtests.sh skips it on other processors"),
    Selftest("vm/soft-dirty", sources="vm_util.c"),
    Selftest("vm/thuge-gen", why=HUGETLB),
    Selftest("vm/madv_populate", why="needs MADV_POPULATE_READ and _WRITE (5.14)"),
    Selftest("vm/memfd_secret", why="needs memfd_secret (5.14)"),
    Selftest("vm/mrelease_test", why="needs process_mrelease (5.15)"),
    Selftest("vm/transhuge-stress", why=f"{THP}; and never ends"),
    Selftest("vm/khugepaged", why=THP),
    Selftest("vm/split_huge_page_test", why=f"{THP} and debugfs"),
    Selftest("vm/userfaultfd", why=UFFD),
    Selftest("vm/hugepage-mmap", why=HUGETLB),
    Selftest("vm/hugepage-mremap", why=f"{HUGETLB} and userfaultfd"),
    Selftest("vm/hugepage-shm", why=HUGETLB),
    Selftest("vm/hugepage-vmemmap", why=f"{HUGETLB} and /proc/kpageflags"),
    Selftest("vm/hugetlb-madvise", why=HUGETLB),
    Selftest("vm/map_hugetlb", why=HUGETLB),
    Selftest("vm/write_to_hugetlbfs", why=f"{HUGETLB}; a helper of charge_reserved_hugetlb.sh"),
    Selftest("vm/compaction_test", why=f"{HUGETLB} and compaction; and takes 80% of the host's memory"),
    Selftest("vm/ksm_tests", why="needs KSM"),
    Selftest("vm/gup_test", why="needs CONFIG_GUP_TEST (debugfs)"),
    Selftest("vm/hmm-tests", why="needs the module test_hmm"),
    Selftest("vm/migration", why="needs two NUMA nodes (move_pages)"),
    Selftest("vm/protection_keys", why="needs protection keys, a processor feature that the model's has not"),
    Selftest("mincore/mincore_selftest"),
    Selftest("memfd/memfd_test", why="maps a write-sealed file read-only (6.7, 28464bbb2ddc; in 6.1 stable)", sources="common.c"),
    Selftest("memfd/fuse_test", why="needs FUSE"),
    Selftest("proc/proc-pid-vm"),
    Selftest("proc/proc-empty-vm"),
    Selftest("proc/proc-self-map-files-001"),
    Selftest("proc/proc-self-map-files-002"),
)


# ---- fetch and build


def run(command: Sequence[str | Path], **options: object) -> None:
    """A command that must succeed; its output only if it does not."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"selftests: {' '.join(str(word) for word in command)}\n{done.stdout}{done.stderr}")


def fetch(cache: Path) -> None:
    """Sources and libcap, unpacked in the cache."""
    if (cache / SELFTESTS / "vm").is_dir() and (cache / "usr/include/sys/capability.h").is_file():
        return
    for package in PACKAGES:
        if not any(cache.glob(f"{package}_*.deb")):
            print(f"selftests: apt-get download {package}", file=sys.stderr)
            run(["apt-get", "download", package], cwd=cache)
        run(["dpkg", "-x", next(cache.glob(f"{package}_*.deb")), cache])
    archive = cache / f"usr/src/{TREE}.tar.xz"
    run(["tar", "-xJf", archive, "-C", cache, SELFTESTS, f"{TREE}/mm/gup_test.h"])
    archive.unlink()


def build(cache: Path, test: Selftest) -> Path:
    """The static program."""
    program = cache / "bin" / test.name.replace("/", "-")
    folder = cache / SELFTESTS / test.name.partition("/")[0]
    sources = [cache / SELFTESTS / f"{test.name}.c", *(folder / source for source in test.sources)]
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        program.parent.mkdir(exist_ok=True)
        flags = ["-O2", "-w", "-static", "-pthread", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"]
        include: list[str | Path] = ["-I", cache / TREE, "-I", cache / "usr/include"]
        libraries: list[str | Path] = [*cache.glob("usr/lib/*/libcap.a"), "-lrt"]
        run([os.environ.get("CC", "cc"), *flags, *include, "-o", program, *sources, *libraries])
    return program


# ---- run and judge


class Outcome:
    """What one run left behind."""

    def __init__(self, returncode: int, text: str) -> None:
        #: As a shell's $?; 124 = it took too long, as timeout(1) has it.
        self.status = returncode if returncode >= 0 else 128 - returncode
        self.text = text

    @property
    def word(self) -> str:
        """pass, fail, skip, timeout, or what killed it."""
        if self.status == 124:
            return "timeout"
        return WORDS.get(self.status, f"status {self.status}")

    @property
    def missing(self) -> list[str]:
        """System calls that the model has refused for want of them: its own warnings."""
        return re.findall(r"^mmscope: warning: system call (\w+) \(\d+\) is not implemented", self.text, re.MULTILINE)

    def single(self) -> dict[str, bool]:
        """The TAP lines: description -> ok. Times and numbers that differ from run to run are not part of it."""
        found = re.findall(r"^(not ok|ok) \d+ (.*)$", self.text, re.MULTILINE)
        return {description.strip(): verdict == "ok" for verdict, description in found}

    def last_words(self) -> str:
        """Why the model stopped the program, or the last line that it has said itself."""
        stopped = re.search(r"^mmscope: (?!warning)(.*)$", self.text, re.MULTILINE)
        if stopped is not None:
            return stopped[1]
        lines = [
            line.strip() for line in self.text.splitlines() if line.strip() and not line.startswith(("mmscope:", "# Totals"))
        ]
        # assert() names the file, from the cache's folder on.
        return re.sub(r"\S*/selftests/", "", lines[-1]) if lines else "it says nothing"


def execute(command: Sequence[str | Path], nobody: bool, limit: int) -> Outcome:
    """Run it in an empty folder, without input, as nobody if it has to be."""
    user = "nobody" if nobody and os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="selftest-") as folder, tempfile.TemporaryFile() as output:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            user=user,
            extra_groups=[] if user is not None else None,
            start_new_session=True,
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = 124
        # Children that it has left behind too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return Outcome(status, output.read().decode(errors="replace"))


def judge(test: Selftest, native: Outcome, model: Outcome) -> tuple[str, str, bool]:
    """(the model's result, what there is to say about it, whether it is a failure of the model)."""
    if native.status != 0:
        return model.word, f"natively: {native.last_words()}", False
    ours = model.single()
    worse = [name for name, ok in native.single().items() if ok and not ours.get(name, True)]
    unexplained = [name for name in worse if name not in test.but]
    excluded = "; ".join(test.but[name] for name in worse if name in test.but)
    # A program may exit with 1 for single tests that are excluded, and must with every other.
    if not unexplained and (model.status == 0 or (worse and model.status == 1)):
        return "pass", f"all but {len(worse)}: {excluded}" if worse else "", False
    if model.missing:
        return model.word, f"until the model has {', '.join(model.missing)}", False
    return model.word, "; ".join(unexplained) or model.last_words(), True


def compare(cache: Path, test: Selftest) -> tuple[str, str, str, bool]:
    """(native result, model's result, note, failure) of one program."""
    if test.why:
        return "-", "-", test.why, False
    program = build(cache, test)
    native = execute([program], test.nobody, NATIVE_LIMIT)
    if native.status == 4:
        return native.word, "-", f"natively: {native.last_words()}", False
    user = ["--uid", str(pwd.getpwnam("nobody").pw_uid)] if test.nobody else []
    command: list[str | Path] = [sys.executable, "-m", "mmscope", "run", "-q", "--ram", "8G", *user, "--", program]
    return (native.word, *judge(test, native, execute(command, False, MODEL_LIMIT)))


def main() -> int:
    """Everything; the table goes to stdout."""
    parser = argparse.ArgumentParser(description="the kernel's selftests of mm, natively and on the model")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build/selftests", help="folder for sources and programs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="as vm/mremap_test (default: all)")
    args = parser.parse_args()
    unknown = set(args.names) - {test.name for test in TESTS}
    if unknown:
        parser.error(f"there is no selftest {', '.join(sorted(unknown))}")
    if not shutil.which("apt-get"):
        parser.error("needs Debian's apt-get for the sources")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cache = args.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    fetch(cache)
    chosen = [test for test in TESTS if not args.names or test.name in args.names]
    width = max(len(test.name) for test in chosen)
    print(f"{'selftest':{width}}  {'native':8}  {'model':10}  note")
    failures = passed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for test, (native, model, note, failure) in zip(chosen, pool.map(lambda test: compare(cache, test), chosen), strict=True):
            print(f"{test.name:{width}}  {native:8}  {model:10}  {note}".rstrip(), flush=True)
            failures += failure
            passed += model == "pass"
    print(f"\n{len(chosen)} programs: {passed} pass on the model, {failures} fail there only, "
          f"{sum(bool(test.why) for test in chosen)} are excluded")  # fmt: skip
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
