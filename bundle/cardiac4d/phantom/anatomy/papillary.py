# SPDX-License-Identifier: Apache-2.0
"""Papillary muscles and trabeculae: part of the cavity in every label, myocardium in the image.

They are fixed to the endocardium in material coordinates, so that they move, twist and crowd together with it, and
swell as they shorten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .shapes import Point, Tube
from .ventricle import VentricleState

_PAPILLARY_RADIUS: Final = (0.20, 0.26)
"""Range of the radius at the foot, in units of the endocardial radius: 5 to 6.5 mm in a normal heart."""
_TRABECULA_RADIUS: Final = (0.09, 0.13)
"""Range of the radius at the lower end, in the same unit."""
_PAPILLARY_FORK_RAD: Final = 0.22
"""Direction of each of the two heads of a papillary muscle, off that of the muscle."""
_TRABECULA_FORK_RAD: Final = 0.25
"""Direction of each of the two branches of a trabecula, off that of the trabecula."""
_PAPILLARY_DEPTH: Final = (0.82, 0.62)
"""Distance of the lower and upper end from the axis: the heads stand free in the blood."""
_TRABECULA_DEPTH: Final = (0.94, 0.95)
"""The same of a trabecula: a ridge of the wall."""


@dataclass(frozen=True)
class Muscles:
    """Strands along the inner wall: one row per strand.

    Attributes:
        angle_rad: ``(N, 2)`` direction about the axis of the lower and upper end.
        height: ``(N, 2)`` height of the two ends, 0 at the endocardial apex, 1 at the basal plane.
        depth: ``(N, 2)`` distance of the two ends from the axis, 1 on the endocardium.
        radius_mm: ``(N, 2)`` radius of the two ends at end-diastole.
    """

    angle_rad: NDArray[np.float64]
    height: NDArray[np.float64]
    depth: NDArray[np.float64]
    radius_mm: NDArray[np.float64]


def sample_muscles(endo_radius_mm: float, num_trabeculae: int, rng: np.random.Generator) -> Muscles:
    """Draw two papillary muscles on the free wall, and trabeculae in the apical half; each of them forks upwards.

    The sizes are chosen so that all strands together take about a tenth of the cavity at end-diastole, as measured on
    CT: 11.9 +- 5.6 % (Medicine 2023 e36106).

    Args:
        endo_radius_mm: endocardial short semi-axis at end-diastole, to which the thickness is proportional.
        num_trabeculae: number of trabeculae before they fork.
        rng: source of randomness.

    Returns:
        Two rows per papillary muscle, papillary muscles first, then two rows per trabecula.
    """
    papillary = np.pi + np.deg2rad([50.0, -55.0]) + rng.normal(0.0, 0.12, 2)
    low = papillary + rng.normal(0.0, 0.1, 2)
    strands = rng.uniform(0.0, 2 * np.pi, num_trabeculae)
    thick = rng.uniform(*_PAPILLARY_RADIUS, 2) * endo_radius_mm
    thin = rng.uniform(*_TRABECULA_RADIUS, num_trabeculae) * endo_radius_mm
    fork = np.r_[np.full(2, _PAPILLARY_FORK_RAD), np.full(num_trabeculae, _TRABECULA_FORK_RAD)]
    angle = np.stack([np.r_[low, strands], np.r_[papillary, strands + rng.normal(0.0, 0.35, num_trabeculae)]], axis=1)
    height = np.stack(
        [
            np.r_[rng.uniform(0.22, 0.30, 2), rng.uniform(0.06, 0.16, num_trabeculae)],
            np.r_[rng.uniform(0.52, 0.62, 2), rng.uniform(0.30, 0.55, num_trabeculae)],
        ],
        axis=1,
    )
    depth = np.r_[np.full((2, 2), _PAPILLARY_DEPTH), np.full((num_trabeculae, 2), _TRABECULA_DEPTH)]
    radius_mm = np.stack([np.r_[thick, thin], np.r_[0.75 * thick, 0.8 * thin]], axis=1)
    height, depth, radius_mm = (np.repeat(ends, 2, axis=0) for ends in (height, depth, radius_mm))
    return Muscles(_forked(angle, fork), height, depth, radius_mm)


def _forked(angle_rad: NDArray[np.float64], fork_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(2 N, 2)`` directions of two branches per row, their upper ends ``fork_rad`` to either side."""
    branches = np.repeat(angle_rad, 2, axis=0)
    branches[:, 1] += np.repeat(fork_rad, 2) * np.tile([-1.0, 1.0], fork_rad.size)
    return branches


def strands_at(muscles: Muscles, state: VentricleState, length_ed_mm: float) -> list[Tube]:
    """The strands at one phase, in the heart frame; their volume is kept as the cavity shortens."""
    swelling = np.sqrt(length_ed_mm / (state.base_mm - state.endo_apex_mm))
    ends = state.endo_point_mm(muscles.angle_rad, muscles.height, muscles.depth)
    return [
        Tube(_point(low), _point(high), float(r_low * swelling), float(r_high * swelling))
        for (low, high), (r_low, r_high) in zip(ends, muscles.radius_mm, strict=True)
    ]


def _point(vector: np.ndarray) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
