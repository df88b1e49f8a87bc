# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/selftests.py: how it judges what a selftest did natively and on the model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/selftests.py"
TAP = "TAP version 13\n1..2\nok 1 shrinks\n{} 2 merges\n# Totals: pass:2\n"


@pytest.fixture(scope="module")
def selftests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("selftests", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_passes_on_both(selftests: ModuleType) -> None:
    good = selftests.Outcome(0, "OK\n")
    assert selftests.judge(selftests.Selftest("vm/x"), good, good) == ("pass", "", False)


def test_fails_on_the_model_only(selftests: ModuleType) -> None:
    good, bad = selftests.Outcome(0, "OK\n"), selftests.Outcome(1, "mmap\ngone wrong\n")
    assert selftests.judge(selftests.Selftest("vm/x"), good, bad) == ("fail", "gone wrong", True)


def test_why_the_model_stopped_it(selftests: ModuleType) -> None:
    bug = selftests.Outcome(70, "half way\nmmscope: the model has a bug: no page\n")
    result = selftests.judge(selftests.Selftest("vm/x"), selftests.Outcome(0, ""), bug)
    assert result == ("status 70", "the model has a bug: no page", True)


def test_a_missing_system_call_is_named(selftests: ModuleType) -> None:
    bad = selftests.Outcome(1, "fork: no\nmmscope: warning: system call clone (56) is not implemented: ENOSYS\n")
    result = selftests.judge(selftests.Selftest("vm/x"), selftests.Outcome(0, ""), bad)
    assert result == ("fail", "until the model has clone", False)


def test_what_fails_natively_is_not_the_models_fault(selftests: ModuleType) -> None:
    bad = selftests.Outcome(1, "/a/b/selftests/vm/x.c:3: no\n")
    assert selftests.judge(selftests.Selftest("vm/x"), bad, bad) == ("fail", "natively: vm/x.c:3: no", False)


@pytest.mark.parametrize("status", [0, 1])
def test_a_single_test_counts_even_if_the_program_ends_well(selftests: ModuleType, status: int) -> None:
    native, model = selftests.Outcome(0, TAP.format("ok")), selftests.Outcome(status, TAP.format("not ok"))
    assert selftests.judge(selftests.Selftest("vm/x"), native, model) == (selftests.WORDS[status], "merges", True)
    excluded = selftests.Selftest("vm/x", but={"merges": "since 6.0"})
    assert selftests.judge(excluded, native, model) == ("pass", "all but 1: since 6.0", False)


def test_a_crash_is_not_excused_by_an_excluded_single_test(selftests: ModuleType) -> None:
    native, model = selftests.Outcome(0, TAP.format("ok")), selftests.Outcome(-11, TAP.format("not ok"))
    excluded = selftests.Selftest("vm/x", but={"merges": "since 6.0"})
    assert selftests.judge(excluded, native, model)[2]


def test_time_limit_and_folder(selftests: ModuleType) -> None:
    assert selftests.execute(["/bin/sh", "-c", "ls -A; echo done"], False, 10).text == "done\n"
    assert selftests.execute(["/bin/sh", "-c", "echo started; sleep 20"], False, 1).word == "timeout"
