# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of the house that a machine can check: the direction of imports, start-up weight, no module state."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "mmscope"
KERNEL = SRC / "kernel"

#: What each part may import of mmscope besides itself; the top of the list is the bottom of the house.
MAY_IMPORT = {
    "kernel": set(),
    "cpu": {"kernel"},
    "syscalls": {"kernel"},
    "keep": {"kernel", "errors"},
    "machine": {"cpu", "syscalls", "keep", "kernel", "errors"},
    "oracle": {"machine", "syscalls", "kernel", "errors"},
}

#: Modules that cost milliseconds at start-up: never imported at run time by what `mmscope run` needs.
HEAVY = {"typing", "enum", "dataclasses", "re", "contextlib", "functools", "inspect", "mypy_extensions", "argparse", "unicorn"}


#: Import each module in a fork, so that each finds none of the others.
IMPORT_EACH = """
import importlib, os, sys
ok = 0
for name in sys.argv[1:]:
    if (pid := os.fork()) == 0:
        importlib.import_module(name)
        os._exit(0)
    ok += os.waitpid(pid, 0)[1] == 0
print("ok", ok)
"""


def imports(path: Path, runtime_only: bool = False, functions: bool = True) -> Iterator[str]:
    """Dotted names that `path` imports; with runtime_only not those under `if TYPE_CHECKING:`, without functions
    only those that importing it imports.
    """

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.If)
                and isinstance(child.test, ast.Name)
                and child.test.id == "TYPE_CHECKING"
                and runtime_only
            ):
                continue
            if isinstance(child, ast.FunctionDef) and not functions:
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                yield child.module
            yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")


def sources(part: str) -> list[Path]:
    base = SRC / part
    return sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_dependencies_point_one_way(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for path in sources(part)
        for name in imports(path)
        if name.startswith("mmscope.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_no_module_needs_another_to_be_imported_before_it() -> None:
    """Each module that is part of a cycle of imports is the first that a process imports; the others only lead to these."""
    graph = {module_name(path): set(imports(path, runtime_only=True, functions=False)) for path in SRC.rglob("*.py")}

    def behind(module: str) -> set[str]:
        seen: set[str] = set()
        todo = [module]
        while todo:
            new = graph.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    cyclic = sorted(module for module in graph if module in behind(module))
    assert "mmscope.kernel.mm.mmap" in cyclic
    assert not [module for module in cyclic if not module.startswith("mmscope.kernel.")]
    out = subprocess.run([sys.executable, "-c", IMPORT_EACH, *cyclic], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["ok", str(len(cyclic))], out.stderr


@pytest.mark.parametrize("part", ["kernel", "cpu", "syscalls", "machine"])
def test_what_a_run_needs_imports_nothing_heavy(part: str) -> None:
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for path in sources(part)
        for name in imports(path, runtime_only=True)
        if name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_kernel_modules_hold_no_mutable_state() -> None:
    """Module-level names of kernel/ are functions, classes, tables of operations and constants, never lists, dicts or sets."""
    wrong = []
    for path in sorted(KERNEL.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                continue
            if isinstance(value, (ast.List, ast.Set, ast.ListComp, ast.SetComp)):
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno}")
            if isinstance(value, (ast.Dict, ast.DictComp)) and not (
                isinstance(node, ast.AnnAssign) and "Final" in ast.unparse(node.annotation)
            ):
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno}")
            if isinstance(node, ast.FunctionDef) and any(isinstance(child, ast.Global) for child in ast.walk(node)):
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno} global")
    assert wrong == []


def test_every_source_names_its_licence_and_says_what_it_is() -> None:
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text()
        assert text.startswith("# SPDX-License-Identifier: GPL-2.0-or-later\n"), path
        if len(text.splitlines()) > 1:
            assert ast.get_docstring(ast.parse(text)), path


def test_pure_switch_picks_the_sources() -> None:
    code = "import mmscope.kernel.mm.memory as m; print(m.__file__)"
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={"MMSCOPE_PURE": "1", "PYTHONPATH": str(SRC.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip().endswith("memory.py")
