# SPDX-License-Identifier: Apache-2.0
"""Quantum noise as a CT reconstruction leaves it: correlated, drawn on the native grid, louder in systole.

The measured autocorrelation of a real study resampled to 1 mm is .64 / .34 in-plane and .81 / .46 along z at lags of 1
and 2 mm. In-plane it is the sum of a short and a long Gaussian component; along z, once 2 mm slices are interpolated
to 1 mm, neighbouring slices must correlate by .31. Voxels coarser than the reference average the noise within them.

The phantom scans with this noise, and an augmentation adds it: hence a module of its own, below both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter1d

REFERENCE_SPACING_MM: Final = (0.35, 0.35, 2.0)
"""Voxel size at which ``sigma_hu`` is stated."""
_COMPONENTS: Final = ((0.39, 0.45), (0.61, 1.30))
"""Share of the variance and width (mm) of the smoothing kernel, in-plane."""
_WIDTH_Z_MM: Final = 1.05
"""Of the kernel sampled at 2 mm, so that neighbouring slices correlate by .31."""
_PLATEAU_MS: Final = 500.0
_PLATEAU_CENTER: Final = 0.70
_RAMP: Final = 0.04


@dataclass(frozen=True)
class NoiseModel:
    """Noise of one study.

    Attributes:
        sigma_hu: standard deviation at full dose on voxels of :data:`REFERENCE_SPACING_MM`.
        low_dose: tube current outside the plateau of full dose, as a fraction; 1 switches ECG pulsing off.
    """

    sigma_hu: float
    low_dose: float

    def sigma_at(self, phase: float, cycle_ms: float) -> float:
        """Standard deviation at a phase: full dose for 500 ms around 70 % of R-R, ``1 / sqrt(low_dose)`` elsewhere."""
        distance = abs((phase - _PLATEAU_CENTER + 0.5) % 1.0 - 0.5)
        outside = np.clip((distance - _PLATEAU_MS / (2 * cycle_ms)) / _RAMP, 0.0, 1.0)
        current = self.low_dose ** float(outside)
        return self.sigma_hu / float(np.sqrt(current))


def sample_noise(rng: np.random.Generator) -> NoiseModel:
    """Draw 20 to 35 HU at full dose and the pulsing: 20 % of the current (most), 4 %, or none."""
    return NoiseModel(
        sigma_hu=rng.uniform(20.0, 35.0), low_dose=float(rng.choice([0.2, 0.04, 1.0], p=[0.7, 0.15, 0.15]))
    )


def draw_noise(
    shape: tuple[int, ...], spacing_mm: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Correlated noise ``(H, W, D)`` of standard deviation one at the reference voxel size, less on coarser voxels."""
    total = np.zeros(shape, np.float32)
    for variance, widths in noise_components(spacing_mm):
        total += _smoothed(shape, widths, rng) * np.float32(np.sqrt(variance))
    return total


def noise_components(spacing_mm: NDArray[np.floating]) -> list[tuple[float, NDArray[np.floating]]]:
    """What :func:`draw_noise` adds up on voxels of ``spacing_mm``: variance, and filter widths in voxels per axis."""
    parts = []
    for share, width_mm in _COMPONENTS:
        widths = (width_mm, width_mm, _WIDTH_Z_MM)
        parts.append((share * coarse_voxel_factor(spacing_mm, widths) ** 2, np.asarray(widths) / spacing_mm))
    return parts


def correlation(width: float, lags: NDArray[np.integer]) -> NDArray[np.floating]:
    """Correlation of white noise, filtered by a Gaussian of ``width`` voxels, at ``lags`` in voxels."""
    kernel = _kernel(width)
    by_lag = np.correlate(kernel, kernel, "full")[len(kernel) - 1 :] / (kernel**2).sum()
    return np.where(np.abs(lags) < len(kernel), by_lag[np.minimum(np.abs(lags), len(kernel) - 1)], 0.0)


def coarse_voxel_factor(spacing_mm: NDArray[np.floating], widths_mm: tuple[float, float, float]) -> float:
    """Standard deviation of the mean over one voxel, relative to a voxel of the reference size."""
    ratios = [
        _mean_variance(spacing, width) / _mean_variance(reference, width)
        for spacing, reference, width in zip(spacing_mm, REFERENCE_SPACING_MM, widths_mm, strict=True)
    ]
    return float(np.sqrt(np.prod(ratios)))


def _mean_variance(length_mm: float, width_mm: float) -> float:
    """Variance of the mean over ``length_mm`` of unit noise with autocorrelation ``exp(-d^2 / (4 width^2))``."""
    lag = np.linspace(0.0, 1.0, 257)
    weight = 2 * (1 - lag)
    return float(trapezoid(weight * np.exp(-((lag * length_mm) ** 2) / (4 * width_mm**2)), lag))


def _smoothed(shape: tuple[int, ...], widths: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """White noise filtered by a Gaussian of ``widths`` voxels per axis, rescaled to standard deviation one."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    for axis, width in enumerate(widths):
        noise = gaussian_filter1d(noise, width, axis=axis, mode="wrap", truncate=3.0)
        noise /= _filter_gain(float(width))
    return noise


def _filter_gain(width: float) -> np.float32:
    """Standard deviation that the filter of :func:`_smoothed` leaves of unit white noise."""
    kernel = _kernel(width)
    return np.float32(np.sqrt((kernel**2).sum()) / kernel.sum())


def _kernel(width: float) -> NDArray[np.floating]:
    radius = int(3.0 * width + 0.5)
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)
