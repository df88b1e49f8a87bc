# SPDX-License-Identifier: GPL-2.0-or-later
"""Shells, pipelines, Python and others that make processes: the same bytes and status on the model as natively."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import model, native

BASH = [
    "ls / | sort | wc -l",
    "seq 1 40 | xargs -n 3 -P 4 echo | sort -n",
    "for i in 1 2 3; do (exit $i) & done; wait; trap 'echo usr1' USR1; kill -USR1 $$; yes | head -3; exit 9",
    "coproc cat; echo hello >&${COPROC[1]}; read x <&${COPROC[0]}; echo got $x",
    "set -m; sleep 5 & kill -STOP %1; sleep 0.01; jobs; kill -CONT %1; kill %1; wait %1; echo $?",
    "false | true | (exit 3); echo ${PIPESTATUS[@]}; diff <(echo a) <(echo b); cat <<< here",
    "x=$(cat /proc/self/comm | tr a-z A-Z); echo $x; (exit 7); echo $?",
    "trap 'echo bye' EXIT; (trap - EXIT; exec sleep 0.001); kill -TERM $$",
    "sleep 1 & sleep 2 & wait -n; echo $?; jobs -r | wc -l; wait",
    "timeout 1 sleep 5; echo $?; timeout 1 bash -c 'while :; do :; done'; echo $?; timeout -s INT 9 true; echo $?",
    "cd $(mktemp -d); mkfifo f; (echo 1; echo 2) > f & cat f; exec 3<>f; echo x >&3; read y <&3; echo $y; rm f; rmdir $PWD",
    "echo $((1 + $(echo 2))) | (read a; echo $a; cat) | tee /dev/stderr | wc -c",
]

BUSYBOX = [
    "ls / | busybox sort | busybox wc -l; busybox seq 1 10 | busybox xargs -n 2 -P 3 echo | busybox sort",
    "for i in 1 2 3; do echo $i & done; wait; echo end; (exit 4) | cat; echo $?",
    "trap 'echo term; exit 3' TERM; (busybox sleep 1; kill -TERM $$) & while true; do busybox sleep 1; done",
    "busybox yes | busybox head -n 3; busybox timeout -s KILL 1 busybox sleep 7; echo $?",
]

PYTHON = [
    "import os\np = os.fork()\nif p == 0:\n    os._exit(4)\nprint(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))",
    """
import multiprocessing as mp
def child(conn):
    conn.send([conn.recv() * 2, "from the child"])
a, b = mp.Pipe()
p = mp.get_context("fork").Process(target=child, args=(b,))
p.start()
a.send(21)
print(a.recv(), p.join(), p.exitcode)
""",
    "import multiprocessing as mp, operator\nwith mp.get_context('fork').Pool(3) as pool:\n"
    "    print(pool.map(operator.neg, range(10)))",
    "import subprocess as s; print(s.run(['echo', 'hi'], capture_output=True), s.check_output('ls / | head -3', shell=True))",
    "import threading as t; x = []; u = [t.Thread(target=x.append, args=(i,)) for i in range(5)]\n"
    "[i.start() for i in u]; [i.join() for i in u]; print(sorted(x))",
    "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)\n"
    "    print(await p.communicate(b'through cat'), await asyncio.gather(*(asyncio.sleep(i / 100, i) for i in (3, 1, 2))))\n"
    "asyncio.run(main())",
    "import os, signal, time\nsignal.signal(signal.SIGCHLD, lambda *a: print('chld'))\n"
    "if not os.fork():\n    os._exit(0)\ntime.sleep(0.01)\nprint(os.wait()[1])",
    """
import asyncio, os, signal
async def main():
    w = asyncio.PidfdChildWatcher()
    w.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(w)
    ps = [await asyncio.create_subprocess_exec("/bin/sh", "-c", f"sleep 0.0{i}; exit {i}") for i in (3, 1, 2)]
    print(await asyncio.gather(*(p.wait() for p in ps)))
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"through cat"))
    p = await asyncio.create_subprocess_exec("sleep", "9"); p.kill(); print(await p.wait())
asyncio.run(main())
signal.signal(signal.SIGUSR1, lambda *a: print("usr1"))
signal.pidfd_send_signal(os.pidfd_open(os.getpid()), signal.SIGUSR1)
pid = os.fork()
if not pid: os._exit(5)
print(os.waitid(os.P_PIDFD, os.pidfd_open(pid), os.WEXITED).si_status)
""",
]


#: Workers wait in accept() on one socket, and count the bytes they got in a page that all of them map.
SERVER = """
import mmap, os, socket, struct, multiprocessing as mp
lock = mp.get_context("fork").Lock()
counter = mmap.mmap(-1, 4096)
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind("\\0mmscope-preforking-%d" % os.getpid())
server.listen(16)
address = server.getsockname()
workers = []
for n in range(4):
    pid = os.fork()
    if not pid:
        while True:
            conn, _ = server.accept()
            with conn:
                asked = conn.recv(64)
                if asked == b"quit":
                    os._exit(n)
                with lock:
                    counter[:8] = struct.pack("q", struct.unpack("q", counter[:8])[0] + len(asked))
                conn.sendall(asked.upper())
    workers.append(pid)
def ask(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as c:
        c.connect(address)
        c.sendall(text)
        return c.recv(64)
for n in range(40):
    assert ask(b"x" * (n + 1)) == b"X" * (n + 1)
for n in workers:
    ask(b"quit")
print(struct.unpack("q", counter[:8])[0], sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in workers))
"""


def same(argv: list[str]) -> None:
    assert model(argv) == native(argv)


@pytest.mark.parametrize("script", BASH)
def test_bash(script: str, host_tool: Callable[[str], str]) -> None:
    same([host_tool("bash"), "-c", script])


@pytest.mark.parametrize("script", BUSYBOX)
def test_busybox_sh(script: str, host_tool: Callable[[str], str]) -> None:
    same([host_tool("busybox"), "sh", "-c", script])


@pytest.mark.parametrize("program", PYTHON)
def test_python(program: str, host_tool: Callable[[str], str]) -> None:
    same([host_tool("python3"), "-S", "-c", program])


def test_the_background_ends_after_the_program(host_tool: Callable[[str], str]) -> None:
    outcome = model([host_tool("bash"), "-c", "(sleep 1; echo late) & echo first; exit 6"])
    assert (outcome.status, outcome.stdout) == (6, b"first\nlate\n")


def test_the_same_run_again_is_the_same_byte_for_byte(tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    script = "for i in 1 2 3 4; do (echo $i; ls / | sort -r | head -2) & done; wait; echo $RANDOM"
    options = ("-q", "--time", "1600000000", "--json")
    files = [tmp_path / "one", tmp_path / "two"]
    argv = [host_tool("bash"), "-c", script]
    first, second = (model(argv, options=(*options, str(file))) for file in files)
    assert first == second
    assert files[0].read_bytes() == files[1].read_bytes()
    data = json.loads(files[0].read_text())
    processes = data["processes"]
    assert len(processes) >= 5
    for which in ("minor", "major"):
        assert data["faults"][which] == sum(one["faults"][which] for one in processes)
    assert sum(data["faults"]["by_cause"].values()) == data["faults"]["minor"] + data["faults"]["major"]
    for name, count in data["syscalls"].items():
        assert count == sum(one["syscalls"].get(name, 0) for one in processes)
    pids = {one["pid"] for one in processes}
    assert all(one["parent"] in pids | {1} for one in processes)


def test_who_forks_without_end_meets_the_models_limits(host_tool: Callable[[str], str]) -> None:
    """max_threads of 32 MiB is 256; the host sees one process that uses some memory. (Never run natively.)"""
    script = "while (read x < /proc/self/stat; exec busybox sleep 1000) & do :; done"
    outcome = model([host_tool("busybox"), "sh", "-c", script], options=("-q", "--ram", "32M"))
    assert (outcome.status, outcome.stdout) == (2, b"")
    assert outcome.stderr == b"sh: can't fork: Resource temporarily unavailable\n"


def test_a_fork_bomb_ends_at_the_time_limit_with_a_word(host_tool: Callable[[str], str]) -> None:
    """Its tasks die of EAGAIN and others take their place, for ever. (Never run natively.)"""
    argv = [host_tool("busybox"), "sh", "-c", "b() { b | b & }; b"]
    outcome = model(argv, options=("-q", "--ram", "16M", "--timeout", "4"))
    assert outcome.status == 124
    last = outcome.stderr.decode().splitlines()[-1]
    found = re.search(r"stopped after 4 s \(--timeout\): (\d+) tasks alive, (\d+) processes made$", last)
    assert found, last
    # max_threads of 16 MiB.
    assert 1 < int(found[1]) <= 128 < int(found[2])


def test_a_time_limit_that_is_not_reached_changes_nothing(host_tool: Callable[[str], str]) -> None:
    argv = [host_tool("busybox"), "sh", "-c", "busybox sleep 1; (exit 3) & wait $!"]
    assert model(argv, options=("-q", "--timeout", "100")) == native(argv)


def test_a_time_limit_reaches_a_program_that_never_enters_the_kernel(host_tool: Callable[[str], str]) -> None:
    outcome = model([host_tool("busybox"), "sh", "-c", "while :; do :; done"], options=("-q", "--timeout", "1.5"))
    assert outcome.status == 124
    assert outcome.stderr.endswith(b"stopped after 1.5 s (--timeout): 1 tasks alive, 1 processes made\n")


@pytest.mark.parametrize("limit", ["0", "-1", "soon", "nan"])
def test_what_is_no_time_limit(limit: str) -> None:
    outcome = model(["true"], options=("--timeout", limit))
    assert (outcome.status, outcome.stdout) == (2, b"")
    assert b"time limit" in outcome.stderr


def test_a_preforking_server_counts_in_shared_memory(host_tool: Callable[[str], str]) -> None:
    same([host_tool("python3"), "-S", "-c", SERVER])


def test_200_children_of_an_unprivileged_user(build: Callable[[str, str], str]) -> None:
    """The 201st child is refused: RLIMIT_NPROC counts the parent too."""
    with tempfile.TemporaryDirectory() as public:
        os.chmod(public, 0o755)  # that user may not enter pytest's folders
        program = shutil.copy(build("nproc", "static"), public)
        argv = [program, "201", "54321"]
        outcome = model(argv, options=("-q", "--uid", "54321"))
        assert outcome.stdout == b"200 children, errno 11, sum 594, uid 54321\n"
        if os.getuid() == 0:
            assert model(argv) == native(argv) == outcome


def test_set_uid_above_rlimit_nproc_fails_at_execve(build: Callable[[str, str], str]) -> None:
    """Seen on 5.10. Since v5.17 a user with exactly as many processes as allowed may have one more."""
    argv = [build("nprocexec", "static"), "54321"]
    ours = model(argv, options=("-q", "--uid", "0")).stdout.splitlines()
    tried = b"Resource temporarily unavailable, fork Resource temporarily unavailable, again Resource temporarily unavailable"
    for sleepers in range(1, 5):
        for way in range(4):
            # The last way leaves the real user alone.
            refused = sleepers >= 3 and way < 3
            assert ours.pop(0) == b"%d of 3 run, way %d: " % (sleepers, way) + (tried if refused else b"executed")
            assert ours.pop(0) == b"%d of 3 run, way %d, limit raised: executed" % (sleepers, way)
    assert not ours


#: In a directory with a file N that holds 0.
LOCKING = [
    "flock -n L -c 'echo first; flock -n L true || echo busy; flock -w 1 L true; echo $?; flock -s -n L true || echo no reader'",
    "for i in 1 2 3 4 5; do flock L sh -c 'read n < N; sleep 0.01; echo $((n + 1)) > N' & done; wait; cat N",
    "(flock 9; echo in; (flock -n 9 && echo inherited); flock -u 9; flock -n L true && echo free) 9> L",
    "flock -s L -c 'flock -s -n L -c \"echo two readers\"; flock -n L true || echo no writer'",
    "sqlite3 db 'create table t(x); insert into t values(1)'; for i in 1 2 3; do sqlite3 -cmd '.timeout 5000' db "
    "'begin immediate; insert into t select max(x) + 1 from t; commit' & done; wait; sqlite3 db 'select * from t order by x'",
    "sqlite3 db 'create table t(x)'; (echo 'begin exclusive; insert into t values(9);'; "
    "echo '.shell sqlite3 db \"select 1 from t\" 2>&1 | grep -o locked'; echo 'rollback;') | sqlite3 db",
    "sqlite3 db 'pragma journal_mode=wal; create table t(x); insert into t values(7)'; sqlite3 db 'select count(*) from t'",
]

LOCKF = """
import errno, fcntl, os
f = open("N", "r+b")
fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
pid = os.fork()
if not pid:
    for start in (0, 5, 14, 15):
        try:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
            print(start, "free", flush=True)
        except OSError as error:
            print(start, errno.errorcode[error.errno], flush=True)
    fcntl.lockf(f, fcntl.LOCK_SH, 1, 7)
    print("child has it", flush=True)
    os._exit(3)
import time
time.sleep(0.05)
print("unlock", flush=True)
fcntl.lockf(f, fcntl.LOCK_UN, 1, 7)
print(os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("argv", [*(["bash", "-c", script] for script in LOCKING), ["python3", "-S", "-c", LOCKF]])
def test_who_locks_files(argv: list[str], tmp_path: Path, host_tool: Callable[[str], str]) -> None:
    for tool in ("flock", "sqlite3"):
        host_tool(tool)
    outcomes = []
    for run in (native, model):
        folder = tmp_path / run.__name__
        folder.mkdir()
        (folder / "N").write_text("0\n")
        outcomes.append(run([host_tool(argv[0]), *argv[1:]], cwd=folder))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].stdout
