# SPDX-License-Identifier: Apache-2.0
"""The page: numbers, tables, targets, and what it says of a machine that was not quiet."""

from __future__ import annotations

import math

import pytest

from scripts.conv4d_benchmark import accuracy, network, targets
from scripts.conv4d_benchmark.accuracy import Errors
from scripts.conv4d_benchmark.layers import LEVELS
from scripts.conv4d_benchmark.memory import Peak
from scripts.conv4d_benchmark.report import render
from scripts.conv4d_benchmark.results import Results, quietness
from scripts.conv4d_benchmark.rows import Row
from scripts.conv4d_benchmark.tables import milliseconds, number, seconds, table, times
from scripts.conv4d_benchmark.targets import TARGETS
from scripts.conv4d_benchmark.timing import Timing

BEST = "s3l: stacked outputs, channels last"


def layer(ours_s: float, theirs_s: float, *, clean: bool = True, mode: str = "forward") -> Row:
    timings = {
        name: Timing([s], []) if clean else Timing([], [s]) for name, s in (("native, fast", ours_s), (BEST, theirs_s))
    }
    timings |= {"s1: tap by tap": Timing([], [5.0]), "pvjosue/pytorch_convNd": Timing([0.5])}
    kinds = {"native, fast": "native", BEST: "torch", "s1: tap by tap": "torch", "pvjosue/pytorch_convNd": "peer"}
    return Row(LEVELS[0], mode, 97.8, timings, kinds, ["native, fast", BEST])


def some_results() -> Results:
    network = Row("whole network", "inference", 1.0, {"native": Timing([1.0]), "composed": Timing([2.5])})
    network.kinds, network.alternated = {"native": "native", "composed": "torch"}, ["native", "composed"]
    scaling = Row("frames: 4", "forward", 1e6, {"native, fast": Timing([0.01]), "composed backend": Timing([0.04])})
    scaling.kinds, scaling.alternated = {"native, fast": "native", "composed backend": "torch"}, list(scaling.timings)
    return Results(
        date="2030-01-02 03:04 UTC",
        command="python scripts/benchmark_conv4d.py",
        size=(96, 96, 64, 16),
        machine={"processor": "a processor"},
        layers=[layer(0.1, 0.35)],
        network=[network],
        scaling=[scaling],
        memory=[
            Peak("native", "inference", (96, 96, 64, 16), 1.5, 1.2),
            Peak("native", "training step", (112, 122, 80, 20), math.nan, math.nan, "exit code -9: killed | gone"),
        ],
        accuracy=[
            Errors("PyTorch, one sum (s2l)", "8 -> 8", 1e-6, 1e-6, 1e-6),
            Errors("PyTorch, composed backend", "8 -> 8", 4e-7, 1e-6, 1e-6),
            Errors("PyTorch, least of all formulations", "8 -> 8", 4e-7, 5e-7, 4e-7),
            Errors("native, fast", "8 -> 8", 1e-5, 1e-5, 1e-6),
            Errors("native, exact", "8 -> 8", 5e-7, 5e-7, 1e-7),
        ],
        limited={"avx2": [layer(0.2, 0.25)]},
    )


def measured() -> dict[str, float | None]:
    return {target.case: target.value(some_results()) for target in TARGETS}


def test_targets_read_the_right_numbers() -> None:
    found = measured()
    assert found["level 0, forward"] == pytest.approx(3.5)
    assert found["whole network, inference"] == pytest.approx(2.5)
    assert found["whole network, inference, peak memory"] == 1.5
    assert math.isnan(found["training step on a whole scan, peak memory"] or 0)
    assert found["limited to AVX2, level 0, forward"] == pytest.approx(1.25)
    assert found["error of F(4x4) against float64"] == 1e-5
    assert found["error of F(2x2), relative to PyTorch's in one sum"] == pytest.approx(0.5)
    assert found["error of F(2x2), relative to PyTorch's in several sums"] == pytest.approx(1.25)
    case = "error of F(2x2) and its gradients, relative to the least of all formulations"
    assert found[case] == pytest.approx(1.25)
    assert found["whole network, training step"] is None
    assert found["whole network, inference, against pvjosue/pytorch_convNd"] is None


def test_names_of_methods_in_targets_are_those_of_the_tables() -> None:
    shown = {name for _, name in accuracy.SHOWN}
    assert {targets.ONE_SUM, targets.SEVERAL_SUMS, targets.FAST, targets.EXACT} <= shown
    assert {"native", "composed", "pvjosue/pytorch_convNd"} <= set(network.VARIANTS)


def test_page_says_met_not_met_and_not_measured() -> None:
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in render(some_results()).splitlines()}
    assert lines["level 0, forward"] == "| level 0, forward | 3.0x | 4.0x | 3.5x | met |"
    assert lines["whole network, inference"].endswith("| 2.5x | **not met** |")
    assert lines["whole network, training step"].endswith("| not measured |")
    assert lines["training step on a whole scan, peak memory"].endswith("| failed | **not met** |")
    assert lines["limited to AVX2, level 0, forward"].endswith("**not met** |")


def test_layer_is_compared_with_the_best_formulation_that_took_turns() -> None:
    page = render(some_results())
    assert f"| {LEVELS[0]}; forward | 350 | s3l | 100 | 978 | **3.5x** |" in page
    assert f"| {LEVELS[0]}; forward | s3l* 350, s1 ~5000 |" in page
    assert "500 (5.0x)" in page


def test_failed_run_of_memory_is_shown_as_failed() -> None:
    case = "| training step, 112x122x80x20; native | failed | exit code -9: killed / gone |"
    assert case in render(some_results())


def test_sections_that_were_left_out_do_not_appear() -> None:
    page = render(Results("2030-01-02 03:04 UTC", "python x", (8, 8, 8, 8)))
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## The run", "## Targets"]
    assert "**This run had an input of 8x8x8x8" in page


def test_results_survive_json() -> None:
    before = some_results()
    after = Results.from_json(before.to_json())
    assert math.isnan(after.memory[1].peak_gb)
    before.memory.pop(), after.memory.pop()
    assert after == before
    assert render(after) == render(before)


def test_quietness_counts_what_took_turns() -> None:
    results = some_results()
    assert quietness(results, True).startswith("8 of 8 alternating repetitions were clean")
    assert "not quiet" not in quietness(results, True)
    results.layers.append(layer(1.0, 1.0, clean=False))
    assert quietness(results, True).startswith("8 of 10 ")
    assert "**The machine was not quiet**" in quietness(results, True)
    assert "unknown" in quietness(results, False)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1234"), (123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123"), (0, "0"), (math.nan, "–")],  # noqa: RUF001
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_cells_show_spread_and_want_of_clean_repetitions() -> None:
    assert milliseconds(Timing([0.1, 0.1, 0.11])) == "100 ± 5 %"
    assert milliseconds(Timing([], [0.1])) == "~100"
    assert seconds(Timing([2.0])) == "2.00"
    assert times(3.14159) == "3.1x"
    assert times(31.4159) == "31.4x"


def test_table_refuses_a_row_of_another_length() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
    with pytest.raises(ValueError, match="a row of 1 cells under a head of 2"):
        table(["a", "b"], [["1"]])
