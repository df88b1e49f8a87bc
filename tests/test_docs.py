# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents: each is linked, what they link to and name exists, and what README.md shows is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "src/mmscope/cpu/README.md"]
PARTS = ("src", "tests", "docs", "scripts", "bench", "examples")


def links(page: Path) -> list[Path]:
    """Targets of the links and pictures of a page, those of the web left out."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    return [(page.parent / target).resolve() for target in targets if "://" not in target]


def test_the_python_session_of_the_readme() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried >= 5
    assert failed == 0


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen = {README}
    todo = [README]
    while todo:
        new = {page for page in links(todo.pop()) if page.suffix == ".md"} - seen
        seen |= new
        todo += new
    assert sorted((ROOT / "docs").rglob("*.md")) == sorted(page for page in seen if page.is_relative_to(ROOT / "docs"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    """Links, and all in backticks that ends like a file of ours or like a folder below one of our parts."""
    assert [target for target in links(page) if not target.exists()] == []
    files = {"/" + str(path.relative_to(ROOT)) for part in PARTS for path in (ROOT / part).rglob("*.*")}
    files |= {f"/{path.name}" for path in ROOT.iterdir()}
    for word in set(re.findall(r"`([\w./]+)`", page.read_text())):
        if word.endswith((".py", ".md", ".sh", ".svg")):
            assert any(name.endswith("/" + word) for name in files), word
        elif word.startswith(tuple(f"{part}/" for part in PARTS)):
            assert (ROOT / word).exists(), word


def test_the_map_of_the_architecture_is_the_tree() -> None:
    """Each file and folder of the map exists, under its parent, with the modules listed behind it; each folder is there."""
    text = (ROOT / "docs/architecture.md").read_text()
    tree = text[text.index("    src/mmscope/\n") : text.index("\nDependencies point one way")]
    above = {2: ROOT}
    listed = set()
    for line in tree.splitlines():
        depth = len(line) - len(line.lstrip())
        name, _, what = line.strip().partition(" ")
        path = above[max(level for level in above if level < depth)] / name
        if not path.exists():
            path = path.with_suffix(".py")
        assert path.exists(), line
        above = {level: parent for level, parent in above.items() if level < depth} | {depth: path}
        listed.add(path)
        if not path.is_dir():
            continue
        for item in re.sub(r"\([^)]*\)", "", what).split(": ")[-1].split(","):
            if re.fullmatch(r"[\w]+/?", module := item.strip()):
                assert (path / module).exists() or (path / f"{module}.py").exists(), f"{line}: {module}"
    package = ROOT / "src/mmscope"
    folders = {path.parent for path in package.rglob("*.py")} - {package, package / "kernel/arch", package / "kernel"}
    top = {path for path in folders if path.parent in (package, package / "kernel")} | {package / "kernel/arch/x86"}
    modules = {path for path in package.glob("*.py") if not path.name.startswith("__")}
    assert (top | modules) - listed == set()
