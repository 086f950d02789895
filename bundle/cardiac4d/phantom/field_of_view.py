# SPDX-License-Identifier: Apache-2.0
"""The native voxel grid of a study: pixel size, slices, and where the field of view lies in the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .anatomy.heart import HeartPlan
from .presets import Preset

_MARGIN_MM = 6.0
"""Least distance of the left ventricle from the border of the field of view."""
_WHOLE_HEART_MM = np.array([12.0, -8.0, 4.0])
"""Centre of the whole heart from the middle of the left ventricle, RAS."""


def sample_grid(heart: HeartPlan, preset: Preset, rng: np.random.Generator) -> Grid:
    """Draw the grid of one study; the left ventricle is inside it with a margin, whatever the preset.

    Returns:
        Axial slices: array axes run to the left, to the back and up (``diag(-s, -s, z)``), as in DICOM patient space.
    """
    low, high = ventricle_extent_mm(heart)
    needed = high - low + 2 * _MARGIN_MM
    pixel_mm = max(rng.uniform(*preset.pixel_mm), float(needed[:2].max()) / preset.matrix)
    slice_mm = float(rng.choice(preset.slice_mm))
    depth = int(np.ceil(max(rng.uniform(*preset.depth_mm), float(needed[2])) / slice_mm))
    shape = (preset.matrix, preset.matrix, depth)
    spacing = np.array([pixel_mm, pixel_mm, slice_mm])
    half = (np.array(shape) - 1) * spacing / 2
    wanted = (low + high) / 2 + _WHOLE_HEART_MM * heart.scale + rng.normal(0.0, 3.0, 3)
    center = np.clip(wanted, high + _MARGIN_MM - half, low - _MARGIN_MM + half)
    first = center + half * [1, 1, -1]
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = first.round(3)
    return Grid(shape, affine)


def ventricle_extent_mm(heart: HeartPlan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest RAS coordinate of the left ventricle at end-diastole, its largest phase."""
    half = heart.base_mm / 2
    reach = np.sqrt((heart.frame.rotation**2) @ (np.array([heart.epi_radius_mm, heart.epi_radius_mm, half]) ** 2))
    center = heart.frame.to_ras((0.0, 0.0, half))
    return center - reach, center + reach
