# SPDX-License-Identifier: Apache-2.0
"""Papillary muscles and trabeculae: part of the cavity in every label, myocardium in the image.

They are fixed to the endocardium in material coordinates, so that they move, twist and crowd together with it, and
swell as they shorten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import Point, Tube
from .ventricle import VentricleState


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
    """Draw two papillary muscles on the free wall, and trabeculae in the apical half."""
    papillary = np.pi + np.deg2rad([50.0, -55.0]) + rng.normal(0.0, 0.12, 2)
    low = papillary + rng.normal(0.0, 0.1, 2)
    strands = rng.uniform(0.0, 2 * np.pi, num_trabeculae)
    thick = rng.uniform(0.13, 0.19, 2) * endo_radius_mm
    thin = rng.uniform(0.05, 0.085, num_trabeculae) * endo_radius_mm
    return Muscles(
        angle_rad=np.stack(
            [np.r_[low, strands], np.r_[papillary, strands + rng.normal(0.0, 0.35, num_trabeculae)]], axis=1
        ),
        height=np.stack(
            [
                np.r_[rng.uniform(0.22, 0.30, 2), rng.uniform(0.06, 0.16, num_trabeculae)],
                np.r_[rng.uniform(0.52, 0.62, 2), rng.uniform(0.30, 0.55, num_trabeculae)],
            ],
            axis=1,
        ),
        depth=np.stack(
            [np.r_[0.82, 0.82, np.full(num_trabeculae, 0.94)], np.r_[0.62, 0.62, np.full(num_trabeculae, 0.95)]], 1
        ),
        radius_mm=np.stack([np.r_[thick, thin], np.r_[0.75 * thick, 0.8 * thin]], axis=1),
    )


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
