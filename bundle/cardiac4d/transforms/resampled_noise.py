# SPDX-License-Identifier: Apache-2.0
"""Noise of CT as it looks on resampled voxels, drawn there at once.

To draw it on the scanner's voxels and to resample it frame by frame would take ten times as long. What the loader's
resampling does to the covariance along an axis is known, though: its interpolation matrix on both sides. Averaged over
the phase between the two grids it depends on the lag alone, so its Fourier transform filters white noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..ct_noise import correlation, noise_components
from .resample import interpolation_matrix

_PROBES = 64
"""Target voxels over which the covariance is averaged; half as many lags are kept, past which it is nil."""


class ResampledNoise:
    """Noise on a grid that a study was resampled to.

    Args:
        shape: of the target grid, the axis along the scanner last.
        spacing_mm: of the target grid.
        native_mm: voxel size of the scanner along the same axes.
    """

    def __init__(self, shape: Sequence[int], spacing_mm: NDArray[np.floating], native_mm: NDArray[np.floating]) -> None:
        self.shape = tuple(shape)
        steps = spacing_mm / native_mm
        power = np.zeros(self.shape, np.float32)
        for variance, widths in noise_components(native_mm):
            axes = [_spectrum(*axis) for axis in zip(self.shape, steps, widths, strict=True)]
            power += np.float32(variance) * reduce(np.multiply.outer, axes)
        self._filter = np.sqrt(power)

    def frames(self, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """Independent frames of ``shape``, without end, of standard deviation one on the scanner's reference voxels."""
        while True:
            white = rng.standard_normal((*self.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
            pair = fft.ifftn(white * self._filter, norm="ortho", overwrite_x=True)
            yield pair.real
            yield pair.imag


def _spectrum(size: int, step: float, width: float) -> NDArray[np.float32]:
    """Power per frequency along an axis of ``size`` voxels, ``step`` scanner voxels long each."""
    lags = np.minimum(np.arange(size), size - np.arange(size))
    by_lag = np.append(_covariance(step, width), 0.0)
    around = by_lag[np.minimum(lags, len(by_lag) - 1)]
    return fft.fft(around).real.clip(min=0.0).astype(np.float32)


def _covariance(step: float, width: float) -> NDArray[np.floating]:
    """Covariance by lag of noise of filter ``width``, after the loader's resampling."""
    sigma = max(0.0, (step - 1.0) / 2.0)
    margin = int(np.ceil(4 * sigma)) + 1
    size = int(np.ceil(_PROBES * step)) + 2 * margin
    positions = np.arange(size)
    matrix = interpolation_matrix(margin + step * np.arange(_PROBES), size, sigma)
    resampled = matrix @ correlation(width, positions[:, None] - positions) @ matrix.T
    return np.array([np.diagonal(resampled, lag).mean() for lag in range(_PROBES // 2)])
