# SPDX-License-Identifier: Apache-2.0
"""How one heart beats: volumes, heart rate, wall, length and base descent, and the volume curve over the cycle.

The distributions follow published cardiac CT and MR values; ``docs/phantom.md`` lists them with their sources. Phases
are fractions of the R-R interval: 0 is end-diastole (the R wave), 1 the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Group = Literal["normal", "borderline", "reduced"]
GROUP_SHARES: Final[dict[Group, float]] = {"normal": 0.60, "borderline": 0.15, "reduced": 0.25}
"""Expected share of each ejection-fraction group in a data set."""

# Knots (fraction of R-R, normalised volume) at 60 beats per minute: systole, early filling, diastasis, atrial kick.
_ES_KNOT: Final = 0.37
_SYSTOLE: Final = ((0.0, 1.0), (0.05, 0.99), (0.12, 0.80), (0.25, 0.25), (0.33, 0.03), (0.37, 0.0))
_EARLY_FILLING: Final = ((0.43, 0.03), (0.50, 0.35), (0.58, 0.62), (0.63, 0.68))
_DIASTASIS: Final = ((0.78, 0.72), (0.84, 0.74))
_ATRIAL_KICK: Final = ((0.92, 0.93), (0.97, 0.99), (1.0, 1.0))
_REFERENCE_RATE_BPM: Final = 60.0
_SHORTEST_DIASTASIS: Final = 0.02


@dataclass(frozen=True)
class Physiology:
    """The numbers that drive one beating left ventricle.

    Attributes:
        group: ejection-fraction group the heart was drawn from.
        heart_rate_bpm: beats per minute.
        edv_ml: cavity volume at end-diastole (frame 0), papillary muscles included.
        esv_ml: cavity volume at end-systole (frame ``es_frame``).
        wall_ed_mm: radial distance of the two ellipsoids at their equator at end-diastole.
        length_ed_mm: endocardial apex to the basal plane at end-diastole.
        mapse_mm: descent of the basal plane from end-diastole to end-systole.
        twist_apex_deg: rotation of the apex at end-systole, counter-clockwise seen from the apex.
        twist_base_deg: rotation of the base at end-systole, opposite in sign.
        num_frames: frames per cycle, equally spaced.
        es_frame: 0-based index of the end-systolic frame; end-systole falls exactly on a frame.
    """

    group: Group
    heart_rate_bpm: float
    edv_ml: float
    esv_ml: float
    wall_ed_mm: float
    length_ed_mm: float
    mapse_mm: float
    twist_apex_deg: float
    twist_base_deg: float
    num_frames: int
    es_frame: int

    @property
    def ef_percent(self) -> float:
        """Ejection fraction, ``100 * (EDV - ESV) / EDV``."""
        return 100.0 * (1.0 - self.esv_ml / self.edv_ml)

    @property
    def cycle_ms(self) -> float:
        """Length of the R-R interval."""
        return 60000.0 / self.heart_rate_bpm

    @property
    def frame_duration_ms(self) -> float:
        """Time from one frame to the next."""
        return self.cycle_ms / self.num_frames

    @property
    def frame_phases(self) -> NDArray[np.float64]:
        """Phase of every frame, ``(T,)``, from 0."""
        return np.arange(self.num_frames) / self.num_frames

    @cached_property
    def _curve(self) -> PchipInterpolator:
        return normalised_volume_curve(self.es_frame / self.num_frames, self.heart_rate_bpm)

    def contraction(self, phase: ArrayLike) -> NDArray[np.float64]:
        """0 at end-diastole, 1 at end-systole; drives volume, base descent and twist alike. Periodic in ``phase``."""
        return 1.0 - self._curve(np.mod(np.asarray(phase, dtype=np.float64), 1.0))

    def volume_ml(self, phase: ArrayLike) -> NDArray[np.float64]:
        """Cavity volume at any phase (fraction of R-R, periodic)."""
        return self.edv_ml - (self.edv_ml - self.esv_ml) * self.contraction(phase)


def normalised_volume_curve(es_fraction: float, heart_rate_bpm: float) -> PchipInterpolator:
    """Monotone-piecewise volume curve: 1 at phases 0 and 1, 0 at ``es_fraction``, extrema at its knots only.

    Systole is stretched to end at ``es_fraction``. Early filling and the atrial kick last as long in milliseconds at
    every heart rate, so a fast heart loses diastasis; where even that does not suffice, both are shortened alike.

    Args:
        es_fraction: end-systole as a fraction of R-R, in (0.2, 0.7).
        heart_rate_bpm: beats per minute.

    Returns:
        Interpolator of the normalised volume over [0, 1].

    Raises:
        ValueError: if ``es_fraction`` leaves no room for systole or filling.
    """
    if not 0.2 < es_fraction < 0.7:
        raise ValueError(f"`es_fraction` (={es_fraction}) must lie in (0.2, 0.7)")
    rate = heart_rate_bpm / _REFERENCE_RATE_BPM
    early, kick = 0.26 * rate, 0.16 * rate
    room = 1.0 - es_fraction - _SHORTEST_DIASTASIS
    shrink = min(1.0, room / (early + kick))
    early, kick = early * shrink, kick * shrink
    knots = [(t * es_fraction / _ES_KNOT, v) for t, v in _SYSTOLE]
    knots += [(es_fraction + (t - 0.37) / 0.26 * early, v) for t, v in _EARLY_FILLING]
    start, end = es_fraction + early, 1.0 - kick
    knots += [(start + (t - 0.63) / 0.21 * (end - start), v) for t, v in _DIASTASIS]
    knots += [(end + (t - 0.84) / 0.16 * kick, v) for t, v in _ATRIAL_KICK]
    times, values = np.array(knots).T
    return PchipInterpolator(times, values)


def sample_physiology(group: Group, num_frames: int, rng: np.random.Generator) -> Physiology:
    """Draw one heart of an ejection-fraction group.

    Args:
        group: ``"normal"``, ``"borderline"`` or ``"reduced"``.
        num_frames: frames per cycle, at least 8.
        rng: source of randomness.

    Returns:
        The heart; its end-systole is snapped to the nearest frame, so that stated volumes are volumes of frames.
    """
    ef, edv_ml, mapse_mm, es_fraction = _DRAW[group](rng)
    es_fraction = float(np.clip(es_fraction, 0.28, 0.55))
    length_mm = 82.0 * (edv_ml / 98.0) ** 0.276 * rng.normal(1.0, 0.03)
    return Physiology(
        group=group,
        heart_rate_bpm=rng.uniform(50.0, 80.0),
        edv_ml=edv_ml,
        esv_ml=edv_ml * (1.0 - ef),
        wall_ed_mm=_clipped_normal(rng, 7.6, 0.9, 5.5, 11.0),
        length_ed_mm=length_mm,
        mapse_mm=mapse_mm,
        twist_apex_deg=rng.normal(10.0, 1.3) * ef / 0.62,
        twist_base_deg=rng.normal(-3.0, 0.6) * ef / 0.62,
        num_frames=num_frames,
        es_frame=round(es_fraction * num_frames),
    )


def _clipped_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


def _draw_normal(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """EF, EDV, base descent and end-systolic time of a normal heart."""
    ef = _clipped_normal(rng, 0.62, 0.06, 0.55, 0.76)
    edv_ml = _clipped_normal(rng, 113.0, 26.0, 75.0, 170.0) if rng.random() < 0.5 else _female_edv(rng)
    return ef, edv_ml, _clipped_normal(rng, 15.0, 2.0, 11.0, 19.0), rng.normal(0.35, 0.04)


def _female_edv(rng: np.random.Generator) -> float:
    return _clipped_normal(rng, 98.0, 21.0, 70.0, 145.0)


def _draw_borderline(rng: np.random.Generator) -> tuple[float, float, float, float]:
    ef = rng.uniform(0.45, 0.55)
    return ef, _clipped_normal(rng, 145.0, 20.0, 105.0, 190.0), rng.uniform(9.0, 13.0), rng.normal(0.37, 0.04)


def _draw_reduced(rng: np.random.Generator) -> tuple[float, float, float, float]:
    ef = _clipped_normal(rng, 0.32, 0.09, 0.12, 0.50)
    return ef, rng.uniform(150.0, 280.0), rng.uniform(5.0, 10.0), rng.normal(0.41, 0.05)


_DRAW: Final = {"normal": _draw_normal, "borderline": _draw_borderline, "reduced": _draw_reduced}
