# SPDX-License-Identifier: Apache-2.0
"""The volume curve as a function of time: smoothed, its minima, and how fast the ventricle moves blood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_smoothing_spline
from scipy.signal import find_peaks

Curve = npt.NDArray[np.float64]

MOST_HARMONICS: Final = 5
"""Harmonics of the heart beat that a periodic curve keeps. Radionuclide practice takes 3 to 5 (Bacharach et al., J Nucl
Med 1983;24:1176). On 20 frames of the phantom 5 give the peak ejection rate without bias; more follow noise."""
_FRAMES_PER_COEFFICIENT: Final = 1.5
"""Measured frames that each coefficient of the series must have, so that the fit smooths."""
_FEWEST_FRAMES: Final = 6
_SUBSTEPS: Final = 20


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A smoothed volume curve.

    Attributes:
        values_ml: ``(T,)`` at the frames, also at those that were not measured.
        fine_times: ``(N,)`` times between first and last frame, or over the whole cycle; same unit as the input.
        fine_ml: ``(N,)`` the curve at these times.
        fine_rates: ``(N,)`` its derivative, millilitres per unit of time.
        periodic: the curve covers one cycle, its end is its start.
    """

    values_ml: Curve
    fine_times: Curve
    fine_ml: Curve
    fine_rates: Curve
    periodic: bool


def smooth_curve(times: Curve, volumes_ml: Curve, cycle_length: float | None = None) -> SmoothCurve | None:
    """Smooth a volume curve by least squares.

    A full cycle is periodic and becomes a Fourier series of at most :data:`MOST_HARMONICS` harmonics, fewer where fewer
    frames were measured. Anything else becomes a cubic smoothing spline whose strength generalised cross-validation
    chooses, natural at both ends.

    Args:
        times: ``(T,)`` distinct, in any order and unit.
        volumes_ml: ``(T,)``; NaN where not measured.
        cycle_length: length of the cycle in the unit of ``times`` if the frames cover it, else ``None``.

    Returns:
        The curve; ``None`` with fewer than six measured frames, which are no curve.
    """
    measured = np.isfinite(volumes_ml)
    if measured.sum() < _FEWEST_FRAMES:
        return None
    fit = _spline if cycle_length is None else _fourier
    start = times.min()
    stop = times.max() if cycle_length is None else start + cycle_length
    fine = np.linspace(start, stop, _SUBSTEPS * len(times) + 1)
    if cycle_length is not None:
        fine = fine[:-1]  # the end is the start
    known = np.flatnonzero(measured)[np.argsort(times[measured])]
    values, rates = fit(times[known], volumes_ml[known], np.concatenate([times, fine]), cycle_length or 0.0)
    return SmoothCurve(values[: len(times)], fine, values[len(times) :], rates[len(times) :], cycle_length is not None)


def peak_rates(curve: SmoothCurve) -> tuple[float, float]:
    """The fastest ejection and the fastest filling of a smoothed curve.

    Args:
        curve: see :func:`smooth_curve`.

    Returns:
        ``-min(dV/dt)`` and ``max(dV/dt)``, both positive where there is any ejection or filling; millilitres per unit
        of the curve's time.
    """
    return -float(curve.fine_rates.min()), float(curve.fine_rates.max())


def count_minima(curve: SmoothCurve, prominence_ml: float) -> int:
    """Count the minima of a smoothed curve from which it rises by ``prominence_ml`` on both sides.

    What lies before the first and after the last sample counts as high, so that a descent at either end has its minimum
    there; a cycle is turned so that it starts at its maximum.

    Returns:
        Number of minima; 0 for a curve that moves less than ``prominence_ml``.
    """
    values = np.roll(curve.fine_ml, -int(curve.fine_ml.argmax())) if curve.periodic else curve.fine_ml
    high = values.max()
    minima, _ = find_peaks(-np.concatenate([[high], values, [high]]), prominence=prominence_ml)
    return len(minima)


def _fourier(times: Curve, volumes_ml: Curve, at: Curve, cycle_length: float) -> tuple[Curve, Curve]:
    """Least-squares Fourier series: values and derivatives at ``at``."""
    most = int((len(times) / _FRAMES_PER_COEFFICIENT - 1) / 2)
    omega = 2 * np.pi / cycle_length * np.arange(1, max(1, min(MOST_HARMONICS, most)) + 1)

    def basis(t: Curve) -> tuple[Curve, Curve]:
        angles = np.outer(t - times[0], omega)
        one, cosine, sine = np.ones((len(t), 1)), np.cos(angles), np.sin(angles)
        return np.hstack([one, cosine, sine]), np.hstack([0 * one, -omega * sine, omega * cosine])

    coefficients = np.linalg.lstsq(basis(times)[0], volumes_ml, rcond=None)[0]
    values, slopes = basis(at)
    return values @ coefficients, slopes @ coefficients


def _spline(times: Curve, volumes_ml: Curve, at: Curve, _: float) -> tuple[Curve, Curve]:
    """Cubic smoothing spline: values and derivatives at ``at``."""
    spline = make_smoothing_spline(times, volumes_ml)
    return np.asarray(spline(at)), np.asarray(spline.derivative()(at))
