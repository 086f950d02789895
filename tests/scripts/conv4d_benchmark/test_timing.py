# SPDX-License-Identifier: Apache-2.0
"""Counting clean repetitions, and taking turns. No test here depends on how fast the machine is."""

from __future__ import annotations

import pytest

from scripts.conv4d_benchmark import quiet, timing
from scripts.conv4d_benchmark.quiet import Usage, busy_seconds, is_clean
from scripts.conv4d_benchmark.rows import Budget, Row, compete, look
from scripts.conv4d_benchmark.timing import Timing, alternate, calls_per_repetition, first_look

STAT = "cpu  1000 20 300 50000 600 7 8 90 500 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


def test_busy_time_leaves_out_idle_and_waiting_and_counts_guests_once() -> None:
    assert busy_seconds(STAT, 100) == pytest.approx(14.25)
    assert busy_seconds("cpu 100 0 0 7", 100) == 1


@pytest.mark.parametrize(
    ("machine_s", "own_s", "elapsed_s", "clean"),
    [
        (2.0, 2.0, 1.0, True),
        (2.05, 2.0, 1.0, True),
        (2.07, 2.0, 1.0, False),
        (0.12, 0.1, 0.1, True),
        (0.15, 0.1, 0.1, False),
        (1.99, 2.0, 1.0, True),
    ],
)
def test_repetition_is_clean_if_others_used_little(
    machine_s: float, own_s: float, elapsed_s: float, clean: bool
) -> None:
    assert is_clean(Usage(5.0, 3.0), Usage(5.0 + machine_s, 3.0 + own_s), elapsed_s) is clean


def test_without_counters_every_repetition_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet.sys, "platform", "darwin")
    assert not quiet.supported()
    assert quiet.usage() is None
    assert is_clean(None, None, 1.0)


def test_clean_repetitions_count_and_others_only_for_want_of_them() -> None:
    assert Timing([1.0, 2.0, 4.0], [9.0]).median_s == 2.0
    assert Timing([1.0, 2.0, 4.0], [9.0]).spread == 1.5
    assert Timing([], [9.0, 11.0]).median_s == 10.0


@pytest.mark.parametrize(("seconds", "calls"), [(0.2, 1), (0.1, 1), (0.03, 3), (0.0, 100_000)])
def test_quick_functions_are_called_several_times(seconds: float, calls: int) -> None:
    assert calls_per_repetition(seconds, 0.1) == calls


def test_methods_take_turns() -> None:
    order: list[str] = []
    functions = {name: lambda name=name: order.append(name) for name in "ab"}
    found = alternate(functions, {"a": 2, "b": 1}, budget_s=1e6, repetitions=3)
    rounds = len(order) // 3
    assert order == ["a", "a", "b"] * rounds
    assert 3 <= rounds <= 6
    assert all(len(t.clean_s) + len(t.dirty_s) == rounds for t in found.values())


def test_two_rounds_are_run_however_small_the_budget() -> None:
    order: list[str] = []
    alternate({"a": lambda: order.append("a")}, {"a": 1}, budget_s=0, repetitions=5)
    assert order == ["a", "a"]


@pytest.mark.parametrize(("patience_s", "calls", "clean"), [(1e6, 2, None), (-1.0, 1, False)])
def test_slow_function_is_not_called_twice_to_be_looked_at(patience_s: float, calls: int, clean: bool | None) -> None:
    order: list[int] = []
    found = first_look(lambda: order.append(1), patience_s, 0.0)
    assert len(order) == calls
    assert clean is None or bool(found.clean_s) is clean


def test_patience_ends_where_a_method_cannot_win() -> None:
    budget = Budget(8.0)
    assert budget.patience_s(float("inf")) == float("inf")
    assert budget.patience_s(0.01) == pytest.approx(0.1)
    assert budget.patience_s(0.3) == 1.0
    assert budget.patience_s(5.0) == 6.5


def test_look_sorts_and_competition_replaces_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr("scripts.conv4d_benchmark.rows.first_look", lambda *_: Timing([], [next(seconds)]))
    row = Row("case", "forward", 1.0)
    makers = {name: (lambda: lambda: None) for name in "abc"}
    assert look(row, "torch", list(makers.items()), Budget(1.0)) == ["b", "c", "a"]
    assert row.best("torch") == ""
    compete(row, {name: makers[name] for name in "bc"}, Budget(0.0))
    assert row.alternated == ["b", "c"]
    assert row.timings["a"].median_s == 3.0
    assert row.timings["b"].median_s < 1.0
    row.timings["c"] = Timing([0.0])
    assert row.best("torch") == "c"
    assert timing.Timing([1.0]).spread == 0
