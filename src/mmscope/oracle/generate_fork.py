# SPDX-License-Identifier: GPL-2.0-or-later
"""Random trees of processes: forks to a depth of four, stores from every side, exits in any order."""

from __future__ import annotations

from collections.abc import Sequence

from mmscope.oracle.generate import Choose, Generator

__all__ = ["MAX_CHILDREN", "MAX_DEPTH", "ForkGenerator", "depth", "orphaned"]

MAX_DEPTH = 4
#: As many as the agent can name.
MAX_CHILDREN = 8


class ForkGenerator(Generator):
    """Operations of Generator, each in some process of the tree.

    A process exits when each of its own children has exited, whether it has waited for them or not; or it leaves, and those that
    live, and the dead ones, become children of the root. What is left lives until the scenario's end.
    """

    menu = (
        ("fork", 20, True), ("exit", 7, False), ("leave", 8, False), ("wait", 4, False), ("mmap", 12, True), ("munmap", 6, True),
        ("mprotect", 7, True), ("mremap", 3, True), ("brk", 2, True), ("madvise", 4, True), ("family_store", 22, False),
        ("store", 6, False), ("load", 8, False), ("touch", 5, False), ("hash", 1, False), ("mincore", 1, False),
        ("faults", 4, False), ("pagemap", 4, False), ("smaps", 2, False),
    )  # fmt: skip

    def __init__(self, choose: Choose, without: Sequence[str] = ()) -> None:
        super().__init__(choose, without)
        #: Paths of living processes; exited ones that nobody has waited for.
        self.alive = [""]
        self.zombies: list[str] = []
        self.children = 0
        # MREMAP_DONTUNMAP and locks are kept apart: see mremap-dontunmap-locked.
        self.locks = False

    def begin(self) -> None:
        """Memory worth sharing: written private pages, shared ones, a file's descriptor."""
        for _ in range(self.choose.number(1, 3)):
            addr, kind = self.addr(0), self.choose.pick(("private|anon", "private|anon", "shared|anon"))
            self.add("mmap", addr, "4p", "rw", kind + "|fixed")
            self.note(addr, "4p", True)
            if self.chance(80):
                self.add("touch", addr, self.choose.pick(("1p", "2p", "4p")))
        if self.chance(50):
            label = self.label()
            self.add("open", "f16", "rdonly", label=label)
            self.files.append(label)
        self.fork()

    def add(self, name: str, *args: str, label: str = "") -> None:
        """In a process that a run of operations keeps."""
        if self.chance(25):
            self.child = self.choose.pick(self.alive)
        super().add(name, *args, label=label)

    def in_process(self, process: str, name: str, *args: str) -> None:
        """In this process."""
        self.child = process
        super().add(name, *args)

    def fork(self) -> None:
        parents = [process for process in self.alive if depth(process) < MAX_DEPTH]
        if self.children == MAX_CHILDREN:
            self.family_store()
            return
        # Often the youngest: trees that are deep.
        parent = parents[-1] if self.chance(60) else self.choose.pick(parents)
        name = f"c{self.children}"
        self.children += 1
        self.in_process(parent, "fork", name)
        self.alive.append(f"{parent}.{name}" if parent else name)
        self.family_store()

    def family_store(self) -> None:
        """A store in one process, a look at the same place in another."""
        addr = self.target()
        self.in_process(self.choose.pick(self.alive), "store", addr, "8", str(self.choose.number(1, 99)))
        if self.chance(70):
            self.in_process(self.choose.pick(self.alive), "load", addr, "8")

    def exit(self) -> None:
        leaves = [process for process in self.alive[1:] if not any(other.startswith(process + ".") for other in self.alive)]
        if not leaves:
            self.family_store()
            return
        process = self.choose.pick(leaves)
        self.in_process(process, "exit", str(self.choose.number(0, 9)))
        self.alive.remove(process)
        self.zombies = [zombie for zombie in self.zombies if not zombie.startswith(process + ".")]
        self.zombies.append(process)
        self.child = process.rpartition(".")[0]
        if self.chance(50):
            self.wait()

    def leave(self) -> None:
        """A parent goes before its children."""
        parents = [process for process in self.alive[1:] if any(other.startswith(process + ".") for other in self.alive)]
        if not parents:
            self.exit()
            return
        process = self.choose.pick(parents)
        self.in_process(process, "leave", str(self.choose.number(0, 9)))
        self.alive.remove(process)
        self.alive = [orphaned(other, process) for other in self.alive]
        self.zombies = [orphaned(other, process) for other in self.zombies]
        self.zombies.append(process)
        self.child = self.choose.pick(self.alive)
        if self.chance(50):
            self.wait()

    def wait(self) -> None:
        if not self.zombies:
            self.family_store()
            return
        process = self.choose.pick(self.zombies)
        self.zombies.remove(process)
        parent, _, name = process.rpartition(".")
        self.in_process(parent, "wait", name)

    def pagemap(self) -> None:
        self.add("pagemap", self.target(), "4")

    def smaps(self) -> None:
        self.in_process(self.choose.pick(self.alive), "smaps")

    def end(self) -> None:
        """The lists of all that live."""
        for process in self.alive:
            self.in_process(process, "maps")
            self.in_process(process, "vm")


def orphaned(process: str, parent: str) -> str:
    """The path of `process` when `parent` has left: its children are the root's."""
    return process.removeprefix(parent + ".")


def depth(process: str) -> int:
    """Ancestors within the tree: 0 for the root."""
    return process.count(".") + 1 if process else 0
