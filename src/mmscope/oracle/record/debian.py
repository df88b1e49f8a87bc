# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel packages, fetched by name with apt and unpacked with dpkg, beside the system's own package lists."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mmscope.errors import MmscopeError, UsageError

__all__ = ["KERNELS", "fetch_kernel", "unpack_kernel", "unpack_symbols"]

#: Release -> suites to ask, and the package. 5.10: the last Debian kernel whose VMAs stand in an rbtree.
KERNELS = {"5.10": (("debian bullseye", "debian-security bullseye-security"), "linux-image-5.10.0-30-cloud-amd64")}

_MIRROR = "http://deb.debian.org"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def command(args: list[str], cwd: Path) -> None:
    """Run a tool; its last words become the error."""
    try:
        done = subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise MmscopeError(f"{args[0]} is not installed: recording needs apt, dpkg, gcc and qemu-system-x86") from None
    if done.returncode:
        raise MmscopeError(f"{args[0]} failed: {' '.join(done.stdout.split()[-40:])}")


def fetch_kernel(release: str, cache: Path, suffix: str = "") -> Path:
    """The package of `release` in the folder `cache`, downloaded unless it is there. Suffix "-dbg": its symbols, 261 MB."""
    if release not in KERNELS:
        raise UsageError(f"no package is known for {release!r}; known: {', '.join(KERNELS)}. Give one with --deb FILE")
    suites, package = KERNELS[release]
    package += suffix
    found = sorted(cache.glob(f"{package}_*.deb"))
    if found:
        return found[-1]
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
    command(["apt-get", *options, "-q", "download", package], cache)
    return sorted(cache.glob(f"{package}_*.deb"))[-1]


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
