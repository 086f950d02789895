# SPDX-License-Identifier: Apache-2.0
"""Noise: the autocorrelation measured on a real study, its strength on coarse voxels, and ECG pulsing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cardiac4d.ct_noise import REFERENCE_SPACING_MM, NoiseModel, coarse_voxel_factor, draw_noise, sample_noise

SPACING = np.array(REFERENCE_SPACING_MM)


def correlation(volume: np.ndarray, axis: int, lag: int) -> float:
    volume = np.moveaxis(volume, axis, 0)
    return float(np.corrcoef(volume[:-lag].ravel(), volume[lag:].ravel())[0, 1])


def test_autocorrelation_at_1_mm_matches_the_real_study() -> None:
    native = draw_noise((220, 220, 40), SPACING, np.random.default_rng(0))
    millimetres = [np.arange(0, (n - 1) * s, 1.0) / s for n, s in zip(native.shape, SPACING, strict=True)]
    resampled = map_coordinates(native, np.meshgrid(*millimetres, indexing="ij"), order=1)
    in_plane = [np.mean([correlation(resampled, axis, lag) for axis in (0, 1)]) for lag in (1, 2)]
    across = [correlation(resampled, 2, lag) for lag in (1, 2)]
    assert in_plane == pytest.approx([0.64, 0.34], abs=0.04)
    assert across == pytest.approx([0.81, 0.46], abs=0.04)


def test_standard_deviation_is_one_at_the_reference_voxel_size() -> None:
    noise = draw_noise((160, 160, 30), SPACING, np.random.default_rng(1))
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    assert abs(noise.mean()) < 0.02


def test_coarse_voxels_average_the_noise_of_fine_ones() -> None:
    widths = (1.3, 1.3, 1.05)
    expected = coarse_voxel_factor(SPACING * [8, 8, 2], widths)
    rng = np.random.default_rng(2)
    fine = rng.standard_normal((240, 240, 40)).astype(np.float32)
    for axis, width in enumerate(np.array(widths) / SPACING):
        spectrum = np.exp(-2 * (np.pi * width * np.fft.fftfreq(fine.shape[axis])) ** 2)
        shape = np.ones(3, int)
        shape[axis] = -1
        fine = np.fft.ifft(np.fft.fft(fine, axis=axis) * spectrum.reshape(shape), axis=axis).real
    fine /= fine.std()
    coarse = fine.reshape(30, 8, 30, 8, 20, 2).mean(axis=(1, 3, 5))
    # The reference voxel is itself taken as a mean over its size, which costs a few percent here.
    assert coarse.std() == pytest.approx(expected, rel=0.08)


def test_tube_current_falls_outside_the_plateau() -> None:
    model = NoiseModel(sigma_hu=25.0, low_dose=0.2)
    assert model.sigma_at(0.70, 1000.0) == pytest.approx(25.0)
    assert model.sigma_at(0.50, 1000.0) == pytest.approx(25.0)
    assert model.sigma_at(0.25, 1000.0) == pytest.approx(25.0 * 2.236, rel=1e-3)
    assert model.sigma_at(0.0, 1000.0) > model.sigma_at(0.94, 1000.0)
    assert NoiseModel(25.0, 0.04).sigma_at(0.2, 1000.0) == pytest.approx(125.0)
    assert NoiseModel(25.0, 1.0).sigma_at(0.2, 1000.0) == 25.0


def test_drawn_models_stay_in_the_published_range() -> None:
    models = [sample_noise(np.random.default_rng(seed)) for seed in range(100)]
    assert all(20 <= m.sigma_hu <= 35 for m in models)
    assert {m.low_dose for m in models} == {0.2, 0.04, 1.0}
