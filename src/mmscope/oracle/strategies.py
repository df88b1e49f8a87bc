# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scenarios that know what is interesting, of six kinds.

One generator, two sources of choice: `random_scenario(Choices(seed))` for `mmscope check`, and `scenarios()`, a Hypothesis
strategy, for tests (the extra `oracle` brings Hypothesis).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from mmscope.oracle.generate import Choices, Choose, Generator
from mmscope.oracle.generate_fork import ForkGenerator
from mmscope.oracle.generate_io import FileGenerator, ShmGenerator
from mmscope.oracle.scenario import Scenario

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["KINDS", "Choices", "random_scenario", "scenarios"]

T = TypeVar("T")

#: Kinds of operations, for `--only`. The first three share a scenario; each of the others makes scenarios of its own, so that a
#: model that lacks it is still compared in the rest.
KINDS: Final = ("vma", "lock", "read", "file", "shm", "fork")
_BASIC: Final = {"vma", "lock", "read"}
#: Operations of a kind, on the menu of Generator.
_OF_KIND: Final = {"lock": ("lock",), "read": ("read", "close")}
_OWN: Final = {"file": FileGenerator, "shm": ShmGenerator, "fork": ForkGenerator}
#: In a hundred scenarios of all kinds, how many are of this one.
_SHARE: Final = {"file": 12, "shm": 8, "fork": 10}


def random_scenario(choose: Choose, length: int = 0, name: str = "", only: Sequence[str] = ()) -> Scenario:
    """One sequence of about `length` operations (0: 8 to 48), of one of the kinds in `only` (default: all)."""
    chosen = only or KINDS
    shares = [(kind, _SHARE[kind]) for kind in chosen if kind in _OWN]
    if not only:
        shares.append(("vma", 100 - sum(_SHARE.values())))
    elif _BASIC & set(only):
        shares.append(("vma", 10))
    kind = choose.pick([kind for kind, share in shares for _ in range(share)])
    if kind in _OWN:
        generator: Generator = _OWN[kind](choose)
    else:
        generator = Generator(choose, [method for kind in _OF_KIND if kind not in chosen for method in _OF_KIND[kind]])
    # A tree of processes wants room.
    return generator.scenario(length or choose.number(24 if kind == "fork" else 8, 48), name)


def scenarios(*only: str) -> SearchStrategy[Scenario]:
    """The same as a Hypothesis strategy, which shrinks by itself."""
    from hypothesis import strategies as st

    class Drawn:
        def __init__(self, draw: st.DrawFn) -> None:
            self.draw = draw

        def number(self, low: int, high: int) -> int:
            return self.draw(st.integers(low, high))

        def pick(self, items: Sequence[T]) -> T:
            return self.draw(st.sampled_from(items))

    @st.composite
    def build(draw: st.DrawFn) -> Scenario:
        return random_scenario(Drawn(draw), only=only)

    return build()
