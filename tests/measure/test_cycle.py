# SPDX-License-Identifier: Apache-2.0
"""Smoothed volume curves against curves that are sums of few harmonics, and against noise."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.measure.cycle import count_minima, peak_rates, smooth_curve
from cardiac4d.phantom.physiology import sample_physiology


def beat(times: np.ndarray, period: float) -> np.ndarray:
    angle = 2 * np.pi * times / period
    return 100 + 30 * np.cos(angle) - 8 * np.sin(2 * angle) + 3 * np.cos(3 * angle)


def slope(times: np.ndarray, period: float) -> np.ndarray:
    angle, rate = 2 * np.pi * times / period, 2 * np.pi / period
    return rate * (-30 * np.sin(angle) - 16 * np.cos(2 * angle) - 9 * np.sin(3 * angle))


@pytest.mark.parametrize("missing", [(), (3, 4, 11)])
def test_few_harmonics_come_back_exactly(missing: tuple[int, ...]) -> None:
    times = 40.0 * np.arange(20) + 7
    volumes = beat(times, 800.0)
    measured = volumes.copy()
    measured[list(missing)] = np.nan
    curve = smooth_curve(times, measured, 800.0)
    np.testing.assert_allclose(curve.values_ml, volumes, rtol=1e-9)
    np.testing.assert_allclose(curve.fine_rates, slope(curve.fine_times, 800.0), atol=1e-9)
    dense = slope(np.linspace(0, 800, 20001), 800.0)
    assert peak_rates(curve) == pytest.approx((-dense.min(), dense.max()), rel=0.003)


def test_uneven_frames_are_fitted_at_their_times() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 800, 24))
    np.testing.assert_allclose(smooth_curve(times, beat(times, 800.0), 800.0).values_ml, beat(times, 800.0), rtol=1e-6)


def test_smoothing_takes_noise_away() -> None:
    times = 40.0 * np.arange(20)
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(50):
        noise = rng.normal(0, 3.0, 20)
        curve = smooth_curve(times, beat(times, 800.0) + noise, 800.0)
        errors.append(np.std(curve.values_ml - beat(times, 800.0)))
    assert np.mean(errors) < 0.8 * 3.0  # 11 of 20 degrees of freedom remain: sqrt(0.55)


@pytest.mark.parametrize("group", ["normal", "reduced"])
def test_rates_of_the_phantom(group: str) -> None:
    """Its filling bends sharply, which five harmonics round off."""
    for seed in range(8):
        heart = sample_physiology(group, 20, np.random.default_rng(seed))
        seconds = heart.frame_phases * heart.cycle_ms / 1000
        ejection, filling = peak_rates(
            smooth_curve(seconds, heart.volume_ml(heart.frame_phases), heart.cycle_ms / 1000)
        )
        fine = np.linspace(0, 1, 2001)
        true = np.gradient(heart.volume_ml(fine), fine * heart.cycle_ms / 1000)
        assert ejection == pytest.approx(-true.min(), rel=0.1)
        assert filling == pytest.approx(true.max(), rel=0.25)


def test_part_of_a_cycle_is_not_wrapped() -> None:
    times = 40.0 * np.arange(12)
    curve = smooth_curve(times, 150 - 0.1 * times)
    assert not curve.periodic
    np.testing.assert_allclose(curve.fine_rates, -0.1, atol=1e-6)
    np.testing.assert_allclose(curve.values_ml, 150 - 0.1 * times, atol=1e-6)


def test_few_frames_are_no_curve() -> None:
    volumes = np.array([100.0, 90, 60, 50, 70, np.nan, np.nan])
    assert smooth_curve(np.arange(7.0), volumes, 7.0) is None


@pytest.mark.parametrize(("harmonic", "count"), [(1, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("shift", [0, 5])
def test_minima_of_a_cycle_are_counted_once(harmonic: int, count: int, shift: int) -> None:
    times = np.arange(20.0)
    volumes = np.roll(100 + 30 * np.cos(2 * np.pi * harmonic * times / 20 + 0.3), shift)
    curve = smooth_curve(times, volumes, 20.0)
    assert count_minima(curve, 6.0) == count
    assert count_minima(curve, 61.0) == 0


def test_minimum_at_the_end_of_a_part_counts() -> None:
    curve = smooth_curve(np.arange(12.0), np.linspace(150, 60, 12))
    assert count_minima(curve, 10.0) == 1
