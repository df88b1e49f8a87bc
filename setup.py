# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles mmscope.kernel with mypyc. Everything else about the package stands in pyproject.toml.

Compilation is optional: MMSCOPE_PURE=1, or a host without a C compiler or Python.h, gives a pure Python install that
behaves the same, only slower; the build says which one it made.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

KERNEL = Path("src/mmscope/kernel")

#: Modules that stay interpreted, each with its reason.
INTERPRETED = {
    "include/errno.py": "exception classes that must subclass OSError; raising them is as fast interpreted",
}


def have_compiler() -> bool:
    """A C compiler that finds Python.h."""
    command = build_ext(Distribution())
    command.finalize_options()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n")
        try:
            from setuptools._distutils.ccompiler import new_compiler
            from setuptools._distutils.sysconfig import customize_compiler

            compiler = new_compiler()
            customize_compiler(compiler)
            compiler.compile([str(source)], output_dir=folder, include_dirs=command.include_dirs)
        except Exception:
            return False
    return True


def kernel_extensions() -> list[Extension]:
    """The mypyc extensions of kernel/, or none, with a line on stderr that says why."""
    if os.environ.get("MMSCOPE_PURE"):
        print("mmscope: MMSCOPE_PURE is set: installing the pure Python kernel", file=sys.stderr)
        return []
    if not have_compiler():
        print(
            "mmscope: no C compiler with Python.h found: installing the pure Python kernel (slower, same results)",
            file=sys.stderr,
        )
        return []
    from mypyc.build import mypycify

    sources = [str(path) for path in sorted(KERNEL.rglob("*.py")) if path.relative_to(KERNEL).as_posix() not in INTERPRETED]
    os.environ.setdefault("MYPYPATH", "src")
    opt_level = os.environ.get("MMSCOPE_OPT", "2")
    extensions = list(mypycify(sources, opt_level=opt_level, multi_file=True, group_name="mmscope_kernel"))
    for extension in extensions:
        # Calls between modules need no detour by the PLT then: an eighth of the time of fork.
        extension.extra_compile_args.append("-fvisibility=hidden")
    return extensions


class ParallelBuildExt(build_ext):
    """Compiles the files of an extension side by side: mypyc writes one large extension, distutils takes a file at a time."""

    def build_extension(self, ext: Extension) -> None:
        """See build_ext."""
        compile_some = self.compiler.compile

        def compile_all(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                # The largest first, so that none is left alone at the end.
                largest_first = sorted(sources, key=os.path.getsize, reverse=True)
                objects = dict(
                    zip(largest_first, pool.map(lambda source: compile_some([source], **options), largest_first), strict=True)
                )
            return [name for source in sources for name in objects[source]]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_some


# Only commands that build need the (slow) translation to C.
BUILDING = {"build_ext", "build", "bdist_wheel", "editable_wheel", "install", "develop"}
setup(cmdclass={"build_ext": ParallelBuildExt}, ext_modules=kernel_extensions() if BUILDING & set(sys.argv) else [])
