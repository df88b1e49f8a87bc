# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel packages, fetched by name with apt and unpacked with dpkg, beside the system's own package lists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from mmscope.errors import MmscopeError, UsageError

__all__ = ["CACHE", "KERNELS", "fetch_kernel", "unpack_kernel", "unpack_symbols"]

#: Release -> suites to ask, and the beginning of the package's name, of which the newest is taken. 5.10, the one that was
#: recorded, is the last Debian kernel whose VMAs stand in an rbtree.
KERNELS = {
    "5.10": (("debian bullseye", "debian-security bullseye-security"), "linux-image-5.10.0-30-cloud-amd64"),
    "6.1": (("debian bookworm", "debian-security bookworm-security"), "linux-image-6.1."),
    "6.12": (("debian trixie", "debian-security trixie-security"), "linux-image-6.12."),
    **{
        release: (("debian trixie-backports",), f"linux-image-{release}.")
        for release in ("6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3")
    },
}
#: Where packages are kept.
CACHE = Path.home() / ".cache" / "mmscope" / "kernels"
_NAME = re.compile(r"linux-image-([0-9.+-]|deb)+-cloud-amd64$")

_MIRROR = "http://deb.debian.org"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def command(args: list[str], cwd: Path) -> str:
    """Run a tool; what it printed. Its last words become the error."""
    try:
        done = subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise MmscopeError(f"{args[0]} is not installed: recording needs apt, dpkg, gcc and qemu-system-x86") from None
    if done.returncode:
        raise MmscopeError(f"{args[0]} failed: {' '.join(done.stdout.split()[-40:])}")
    return done.stdout


def fetch_kernel(release: str, cache: Path = CACHE, suffix: str = "") -> Path:
    """The package of `release` in the folder `cache`, downloaded unless one is there. Suffix "-dbg": its symbols, 261 MB."""
    if release not in KERNELS:
        raise UsageError(f"no kernel package is known for {release!r}; known: {', '.join(KERNELS)}")
    suites, start = KERNELS[release]
    found = [path for path in cache.glob(f"{start}*.deb") if path.name.partition("_")[0].endswith("-cloud-amd64" + suffix)]
    if found:
        return max(found, key=_by_number)
    for folder in ("lists/partial", "archives/partial"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    (cache / "status").touch()
    (cache / "sources.list").write_text(
        "".join(f"deb [signed-by={_KEYRING} check-valid-until=no] {_MIRROR}/{suite} main\n" for suite in suites)
    )
    settings = {
        "Dir::Etc::sourcelist": cache / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State::lists": cache / "lists",
        "Dir::State::status": cache / "status", "Dir::Cache": cache, "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command(["apt-get", *options, "-q", "update"], cache)
    names = [name for name in command(["apt-cache", *options, "pkgnames", start], cache).split() if _NAME.match(name)]
    if not names:
        raise MmscopeError(f"no package {start}*-cloud-amd64 in {', '.join(suites)}")
    package = max(map(Path, names), key=_by_number).name + suffix
    command(["apt-get", *options, "-q", "download", package], cache)
    return sorted(cache.glob(f"{package}_*.deb"))[-1]


def _by_number(path: Path) -> list[int]:
    """6.12.9 is older than 6.12.10."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


def unpack_symbols(package: Path) -> Path:
    """The vmlinux in a package of debugging symbols; 630 MB stay beside the package."""
    folder = package.with_suffix("")
    if not folder.is_dir():
        command(["dpkg", "-x", str(package), str(folder)], package.parent)
    images = sorted(folder.glob("usr/lib/debug/boot/vmlinux-*"))
    if not images:
        raise MmscopeError(f"{package} holds no usr/lib/debug/boot/vmlinux-*")
    return images[-1]


def unpack_kernel(package: Path) -> Path:
    """The kernel image in a package."""
    folder = package.with_suffix("")
    if not folder.is_dir():
        command(["dpkg", "-x", str(package), str(folder)], package.parent)
    images = sorted(folder.glob("boot/vmlinuz-*"))
    if not images:
        raise MmscopeError(f"{package} holds no boot/vmlinuz-*")
    return images[-1]
