# SPDX-License-Identifier: Apache-2.0
"""Affines, voxel grids and the time axis of a sequence: pure functions and small frozen values.

Vocabulary
    *affine*: 4x4, voxel index to RAS millimetres, float64. *Grid*: the spatial shape ``(H, W, D)`` of an array and its
    affine. *Grid map*: two grids that differ by a permutation, flips and scalings of the axes, so that resampling
    between them is separable. An oblique study keeps its oblique axes; "orientation" means the closest anatomical
    naming of the array axes, as in nibabel and MONAI.

Field of view
    The first voxel centre stays where it is and an axis of ``n`` voxels becomes ``round((n - 1) * ratio) + 1`` voxels
    (``ratio`` = old / new spacing), MONAI's convention. The last centre moves by at most half a new voxel.
"""

from __future__ import annotations

from .grids import (
    Array,
    Grid,
    GridMap,
    Spacing,
    axis_codes,
    closest_axes,
    plan_grid,
    spacing_from_affine,
    voxel_volume_ml,
)
from .time_axis import MILLISECONDS_PER_UNIT, TimeAxis

__all__ = [
    "MILLISECONDS_PER_UNIT",
    "Array",
    "Grid",
    "GridMap",
    "Spacing",
    "TimeAxis",
    "axis_codes",
    "closest_axes",
    "plan_grid",
    "spacing_from_affine",
    "voxel_volume_ml",
]
