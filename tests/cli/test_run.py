# SPDX-License-Identifier: GPL-2.0-or-later
"""`mmscope run` as a user meets it: whole processes, their output, their exit status, and every way to get it wrong."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "examples" / "pages"


def mmscope(*args: str | Path, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mmscope", *map(str, args)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        timeout=120,
    )


def one_line(result: subprocess.CompletedProcess[bytes], status: int) -> str:
    """The single line on stderr of a run that failed before it began."""
    text = result.stderr.decode()
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    assert text.startswith("mmscope: ")
    assert result.stdout == b""
    assert result.returncode == status, text
    return text


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, host_tool: Callable[[str], str]) -> Callable[[str], Path]:
    """Compile the body of a freestanding `void start(void)` into a static program."""
    gcc = host_tool("gcc")
    folder = tmp_path_factory.mktemp("programs")

    def make(body: str) -> Path:
        out = folder / hashlib.sha256(body.encode()).hexdigest()[:12]
        if not out.exists():
            source = out.with_suffix(".c")
            source.write_text(
                'static long call(long n, long a, long b, long c) { long r; __asm__ volatile("syscall" : "=a"(r)'
                ' : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }\n'
                "__attribute__((used)) static void start(void) {" + body + "}\n"
                '__asm__(".globl _start\\n_start: and $-16, %rsp\\n call start\\n");\n'
            )
            flags = ["-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none", "-w"]
            subprocess.run([gcc, *flags, "-o", str(out), str(source)], check=True)
        return out

    return make


# --- transparency


def test_the_prebuilt_example_is_what_its_hash_says() -> None:
    digest = (PAGES.parent / "pages.sha256").read_text().split()[0]
    assert hashlib.sha256(PAGES.read_bytes()).hexdigest() == digest


def test_output_is_the_programs_and_the_summary_goes_to_stderr() -> None:
    result = mmscope("run", "--no-aslr", "--", PAGES)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "one anonymous page:      0x7ffff7ff9000"
    assert lines[1] == "sixteen, written:        0x7ffff7fe9000"
    maps = lines[lines.index("/proc/self/maps:") + 1 :]
    assert [line.split()[0] for line in maps][-6:-1] == [
        "00404000-00407000",
        "7ffff7fe9000-7ffff7fed000",
        "7ffff7ff1000-7ffff7ffa000",
        "7ffff7ffa000-7ffff7ffe000",
        "7ffff7ffe000-7ffff7fff000",
    ]
    assert maps[-1].split()[0].endswith("-7ffffffff000")
    summary = result.stderr.decode()
    assert summary.startswith("\n")
    assert "page faults" in summary
    assert "do_anonymous_page (zero page)" in summary


def test_quiet_says_nothing() -> None:
    result = mmscope("run", "-q", PAGES)
    assert (result.returncode, result.stderr) == (0, b"")


def test_exit_status_is_passed_on(build: Callable[[str], Path]) -> None:
    assert mmscope("run", "-q", "--", build("call(231, 42, 0, 0);")).returncode == 42


def test_stdin_is_the_programs(build: Callable[[str], Path]) -> None:
    cat = build("char b[64]; long n; while ((n = call(0, 0, (long)b, 64)) > 0) call(1, 1, (long)b, n); call(231, 0, 0, 0);")
    data = bytes(range(256)) * 5
    result = mmscope("run", "-q", cat, stdin=data)
    assert (result.returncode, result.stdout) == (0, data)


def test_arguments_and_environment(build: Callable[[str], Path]) -> None:
    # argv[1] and envp[0], found above the frame of _start.
    show = build(
        "long *sp = (long *)__builtin_frame_address(0); long *p = sp;"
        "while (!(p[0] == 2 && p[3] == 0)) p++;"
        "char *a = (char *)p[2]; long n = 0; while (a[n]) n++; call(1, 1, (long)a, n); call(231, 0, 0, 0);"
    )
    assert mmscope("run", "-q", "--", show, "--ram").stdout == b"--ram"


def test_same_inputs_same_run(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        result = mmscope("run", "--time", "1000", "--json", tmp_path / name, PAGES)
        runs.append((result.stdout, (tmp_path / name).read_bytes()))
    assert runs[0] == runs[1]
    assert mmscope("run", "--seed", "1", PAGES).stdout != runs[0][0]


# --- json


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    result = mmscope("run", "--no-aslr", "--time", "86400", "--json", out, "--", PAGES)
    assert result.returncode == 0, result.stderr
    data = json.loads(out.read_text())
    assert (data["exit_status"], data["signal"]) == (0, None)
    assert set(data["rss"]) == {"anon", "file", "shmem", "peak"}
    assert data["rss"]["peak"] == data["rss"]["anon"] + data["rss"]["file"] + data["rss"]["shmem"] > 20
    faults = data["faults"]
    assert faults["minor"] + faults["major"] == sum(faults["by_cause"].values())
    assert faults["by_cause"]["do_anonymous_page (zero page)"] == 1
    assert faults["by_cause"]["do_wp_page (zero page)"] == 1
    assert data["stack_expansions"] > 0
    assert data["syscalls"]["mmap"] == 2
    assert data["syscalls"]["munmap"] == 1
    assert data["syscalls"]["exit_group"] == 1
    assert data["inputs"]["boot_time_ns"] == 86400 * 10**9
    assert data["inputs"]["argv"] == [str(PAGES)]
    assert data["warnings"] == []


def test_json_where_it_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    assert "no directory" in one_line(mmscope("run", "--json", tmp_path / "no" / "x.json", PAGES), 2)
    assert "is a directory" in one_line(mmscope("run", "--json", tmp_path, PAGES), 2)


# --- death


@pytest.mark.parametrize(
    ("body", "number", "says"),
    [
        ("((void (*)(void))0)();", 11, "SIGSEGV: SEGV_MAPERR at 0x0, ip 0x0"),
        ("*(volatile char *)0x12345678 = 1;", 11, "SIGSEGV: SEGV_MAPERR at 0x12345678"),
        ("*(volatile char *)&start = 1;", 11, "SIGSEGV: SEGV_ACCERR at 0x401"),
        ('__asm__ volatile("1: push %rax; jmp 1b");', 11, "SIGSEGV: SEGV_MAPERR at 0x7ff"),
        ('__asm__ volatile("ud2");', 4, "SIGILL: ILL_ILLOPN"),
        ('__asm__ volatile("xor %ecx, %ecx; xor %edx, %edx; mov $1, %eax; div %ecx");', 8, "SIGFPE: FPE_INTDIV"),
        ("call(62, call(39, 0, 0, 0), 15, 0);", 15, "SIGTERM"),
    ],
    ids=["jump-to-0", "wild-store", "store-to-text", "stack", "ud2", "divide", "kill"],
)
def test_signals_end_as_in_a_shell(build: Callable[[str], Path], body: str, number: int, says: str) -> None:
    result = mmscope("run", "-q", "--no-aslr", "--", build(body))
    text = result.stderr.decode()
    assert result.returncode == 128 + number
    assert says in text
    assert text.count("\n") == 1
    assert "Traceback" not in text


def test_json_names_the_signal(build: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    mmscope("run", "--json", out, build("*(volatile char *)0 = 1;"))
    data = json.loads(out.read_text())
    assert (data["exit_status"], data["signal"]) == (139, "SIGSEGV")
    assert data["faults"]["by_cause"]["SIGSEGV (SEGV_MAPERR)"] == 1


# --- what is no program


def test_what_execve_refuses(tmp_path: Path) -> None:
    def file(name: str, data: bytes, mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    elf = PAGES.read_bytes()
    ia32 = b"\x7fELF\x01" + elf[5:18] + b"\x03\0" + elf[20:]
    assert "Exec format error (ENOEXEC)" in one_line(mmscope("run", file("text", b"just text\n")), 126)
    assert "Exec format error (ENOEXEC)" in one_line(mmscope("run", file("empty", b"")), 126)
    assert "Exec format error (ENOEXEC)" in one_line(mmscope("run", file("short", elf[:50])), 126)
    assert "Exec format error (ENOEXEC)" in one_line(mmscope("run", file("ia32", ia32)), 126)
    assert "Permission denied (EACCES)" in one_line(mmscope("run", tmp_path), 126)
    assert "Permission denied (EACCES)" in one_line(mmscope("run", file("plain", elf, 0o644)), 126)
    assert "No such file or directory (ENOENT)" in one_line(mmscope("run", tmp_path / "none"), 127)
    assert "Not a directory (ENOTDIR)" in one_line(mmscope("run", str(PAGES) + "/x"), 126)
    assert "nosuchprogram: command not found" in one_line(mmscope("run", "nosuchprogram"), 127)


def test_path_is_searched(tmp_path: Path) -> None:
    (tmp_path / "mypages").write_bytes(PAGES.read_bytes())
    (tmp_path / "mypages").chmod(0o755)
    result = mmscope("run", "-q", "mypages", PATH=f"/no/such:{tmp_path}")
    assert (result.returncode, result.stderr) == (0, b"")


def test_root_is_the_programs_world(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pages").write_bytes(PAGES.read_bytes())
    (tmp_path / "bin" / "pages").chmod(0o755)
    result = mmscope("run", "-q", "--root", tmp_path, "--", "/bin/pages")
    assert result.returncode == 0, result.stderr
    assert b" /bin/pages\n" in result.stdout
    assert "No such file" in one_line(mmscope("run", "--root", tmp_path, "--", PAGES), 127)


# --- what is no command line


def test_uid(build: Callable[[str], Path]) -> None:
    body = "call(60, call(102, 0, 0, 0) == 65534 && call(108, 0, 0, 0) == 65534 && call(115, 0, 0, 0) == 0, 0, 0);"
    program = build(body)
    program.parent.chmod(0o755)
    assert mmscope("run", "-q", "--uid", "65534", "--root", program.parent, f"/{program.name}").returncode == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run"], "which program"),
        (["run", "--"], "which program"),
        (["run", "--frobnicate", "x"], "unknown option --frobnicate"),
        (["run", "--ram"], "--ram needs a value"),
        (["run", "--ram", "lots", "x"], "'lots' is not a size"),
        (["run", "--ram=1M", "x"], "too small"),
        (["run", "--no-aslr=1", "x"], "--no-aslr takes no value"),
        (["run", "--seed", "x", "y"], "'x' is not a whole number"),
        (["run", "--uid", "-1", "y"], "-1 is no user id"),
        (["run", "--time", "noon", "y"], "'noon' is neither"),
        (["run", "--vdso-pages", "3", "y"], "1 or 2"),
        (["run", "--vsyscall", "native", "y"], "none, xonly or emulate"),
        (["run", "--root", "/no/such", "y"], "/no/such"),
        (["walk"], "unknown command 'walk'"),
        (["--frobnicate"], "unknown option --frobnicate"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(args: list[str], says: str) -> None:
    assert says in one_line(mmscope(*args), 2)


def test_help_and_version() -> None:
    for args in (("--help",), ("run", "--help"), ("run", "-h")):
        result = mmscope(*args)
        assert (result.returncode, result.stderr) == (0, b"")
        assert b"example:\n  mmscope run" in result.stdout
    assert mmscope("--version").stdout == b"mmscope 0.1.0\n"
    assert mmscope().returncode == 2


def test_help_after_the_program_is_the_programs(build: Callable[[str], Path]) -> None:
    assert mmscope("run", "-q", build("call(231, 7, 0, 0);"), "--help").returncode == 7


def test_colours_only_where_wanted() -> None:
    assert b"\x1b" not in mmscope("run", PAGES).stderr


def test_a_reader_that_went_away_is_no_accident() -> None:
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "mmscope", "run", "-q", str(PAGES)]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=env, timeout=60)
    os.close(write)
    assert b"Traceback" not in result.stderr
    assert result.returncode == 128 + 13


def test_ctrl_c_stops_a_program_that_never_traps(build: Callable[[str], Path]) -> None:
    spin = build('call(1, 1, (long)"!", 1); for (;;) ;')
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "mmscope", "run", "-q", str(spin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"!"
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert stderr.startswith(b"mmscope: Interrupt: killed by SIGINT")
    assert stderr.count(b"\n") == 1


def test_the_bug_report_is_two_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mmscope.cli import main

    def broken(argv: list[str]) -> int:
        raise AssertionError("page A\nand page B")

    monkeypatch.setattr(main, "dispatch", broken)
    monkeypatch.delenv("MMSCOPE_DEBUG", raising=False)
    assert main.main([]) == 70
    assert capsys.readouterr().err.splitlines()[0].startswith("mmscope: kernel BUG: AssertionError: page A and page B in broken")


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "> /dev/full", "2> /dev/full"])
def test_closed_or_full_streams_never_give_a_traceback(redirect: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for args in (f"run {PAGES}", "run --help", "--help", "run --frobnicate"):
        result = subprocess.run(f"{sys.executable} -m mmscope {args} {redirect}", shell=True, capture_output=True, env=env)
        assert b"Traceback" not in result.stderr
        assert b"BUG" not in result.stderr
        assert result.returncode in (0, 1, 2)
