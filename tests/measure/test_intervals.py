# SPDX-License-Identifier: Apache-2.0
"""Intervals against formulas and against the frequencies they promise on data drawn as they assume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from cardiac4d.measure import (
    MeasureOptions,
    StudyMeasures,
    errors_of,
    intervals_from_errors,
    intervals_from_probabilities,
    intervals_from_samples,
    measure_study,
)
from tests.measure.test_left_ventricle import AFFINE, sequence

QUICK = MeasureOptions(wall_thickness=False)


def study(*cavity_voxels: int) -> StudyMeasures:
    return measure_study(sequence(list(cavity_voxels)), AFFINE, options=QUICK)


def test_interval_of_samples_is_the_prediction_interval_of_student() -> None:
    found = intervals_from_samples([study(500, 200), study(520, 200), study(540, 200)], 0.9)
    half = 2.919986 * 0.2 * np.sqrt(4 / 3)  # t(0.95, 2 degrees of freedom), sd 0.2 ml
    assert found.edv_ml == pytest.approx((5.2 - half, 5.2 + half), rel=1e-5)
    assert found.esv_ml == pytest.approx((2.0, 2.0))
    assert found.ed_thickness_mm is None
    assert (found.level, found.method) == (0.9, "samples")


def test_bounds_stay_within_what_is_possible() -> None:
    found = intervals_from_samples([study(500, 1), study(500, 90)], 0.9)
    assert found.esv_ml[0] == 0
    assert found.ef_percent[1] == 100


def test_too_few_samples_and_odd_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two measurements"):
        intervals_from_samples([study(500, 200)])
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got 90"):
        intervals_from_samples([study(500, 200)] * 3, 90)


def uncertain(probability: float) -> tuple[np.ndarray, StudyMeasures]:
    """500 voxels of cavity, 400 with ``probability`` besides in frame 0; 300 for sure in frame 1."""
    share = np.zeros((3, 1000, 2))
    share[1, :500, 0], share[1, 500:900, 0], share[1, :300, 1] = 1, probability, 1
    share[2, 900:] = 1
    share[0] = 1 - share[1] - share[2]
    share = share.reshape(3, 10, 10, 10, 2)
    return share, measure_study(share.argmax(axis=0).astype(np.uint8), AFFINE, options=QUICK)


def test_interval_of_probabilities_is_the_quantile_of_the_copula() -> None:
    share, measures = uncertain(0.3)
    found = intervals_from_probabilities(share, AFFINE, measures.function, 0.9, correlation=0.2)
    low, high = (norm.cdf((norm.ppf(0.3) + np.sqrt(0.2) * z) / np.sqrt(0.8)) for z in (-1.644854, 1.644854))
    assert found.edv_ml == pytest.approx((5 + 4 * low, 5 + 4 * high), rel=1e-5)
    assert found.esv_ml == pytest.approx((3.0, 3.0))
    assert found.sv_ml[1] - found.sv_ml[0] == pytest.approx(found.edv_ml[1] - found.edv_ml[0], rel=1e-5)
    assert found.ef_percent == pytest.approx(tuple(100 * (1 - 3 / v) for v in found.edv_ml), rel=1e-5)
    assert found.ed_mass_g == pytest.approx((1.05, 1.05))


def test_interval_of_probabilities_holds_volumes_drawn_as_it_assumes() -> None:
    share, measures = uncertain(0.3)
    low, high = intervals_from_probabilities(share, AFFINE, measures.function, 0.8, correlation=0.2).edv_ml
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 400))
    volumes = 5 + ((np.sqrt(0.2) * common + np.sqrt(0.8) * own) < norm.ppf(0.3)).sum(axis=1) * 0.01
    assert np.mean((low <= volumes) & (volumes <= high)) == pytest.approx(0.8, abs=0.03)


def test_sure_probabilities_leave_no_doubt() -> None:
    share, measures = uncertain(1.0)
    assert intervals_from_probabilities(share, AFFINE, measures.function).edv_ml == pytest.approx((9.0, 9.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda share: share[:2], r"`probabilities` must be \(3, H, W, D, 2\)"),
        (lambda share: share[..., :1], r"`probabilities` must be"),
        (lambda share: 9 * share - 4, r"must lie in \[0, 1\]: take the softmax"),
    ],
    ids=["channels", "frames", "logits"],
)
def test_bad_probabilities_are_named(change, message: str) -> None:
    share, measures = uncertain(0.5)
    with pytest.raises(ValueError, match=message):
        intervals_from_probabilities(change(share), AFFINE, measures.function)


def test_errors_are_points_of_ejection_fraction_and_ratios_of_the_rest() -> None:
    errors = errors_of([study(500, 200)], [{"edv_ml": 4.0, "ef_percent": 55.0}])
    assert errors["edv_ml"] == pytest.approx([1.25])
    assert errors["ef_percent"] == pytest.approx([5.0])
    assert errors["esv_ml"].size == 0
    with pytest.raises(ValueError, match="must be the same studies"):
        errors_of([study(500, 200)], [])


def test_interval_of_errors_takes_the_outer_ranks() -> None:
    errors = {"edv_ml": np.linspace(0.9, 1.1, 19), "ef_percent": np.arange(-9.0, 10)}
    found = intervals_from_errors(study(500, 200), errors, 0.9)
    assert found.edv_ml == pytest.approx((5 / 1.1, 5 / 0.9))
    assert found.ef_percent == pytest.approx((51.0, 69.0))
    assert found.esv_ml is None
    assert intervals_from_errors(study(500, 200), {"edv_ml": np.ones(18)}, 0.9).edv_ml is None, "19 are needed"


def test_interval_of_errors_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    measures = study(500, 200)
    held = 0
    for _ in range(600):
        ratios = rng.lognormal(0.1, 0.1, 40)  # biased and skewed: ranks do not care
        low, high = intervals_from_errors(measures, {"edv_ml": ratios[1:]}, 0.8).edv_ml
        held += low <= 5.0 / ratios[0] <= high
    assert held / 600 == pytest.approx(0.8, abs=0.05)


def test_intervals_travel_with_the_measures() -> None:
    measures = study(500, 200)
    found = intervals_from_samples([measures, study(520, 200)])
    document = replace(measures, intervals=found).to_document("a", {"input": "a", "version": "1"})
    assert document["intervals"]["edv_ml"] == list(found.edv_ml)
    assert measures.to_document("a", {"input": "a", "version": "1"})["intervals"] is None
