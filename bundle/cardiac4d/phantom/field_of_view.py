# SPDX-License-Identifier: Apache-2.0
"""The native voxel grid of a study: pixel size, slices, and where the field of view lies in the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .anatomy.placement import Frame
from .anatomy.ventricle import VentricleState
from .presets import Preset

_MARGIN_MM = 6.0
"""Least distance of the left ventricle from the border of the field of view."""
_WHOLE_HEART_MM = np.array([14.0, -14.0, 0.0])
"""Centre of the whole heart from the middle of the left ventricle, RAS."""


def sample_grid(state: VentricleState, frame: Frame, preset: Preset, rng: np.random.Generator) -> Grid:
    """Draw the grid of one study; the left ventricle is inside it with a margin, whatever the preset.

    Args:
        state: the ventricle at end-diastole, its largest phase.
        frame: heart frame in the patient.
        preset: ranges of pixel size, slice spacing and height.
        rng: source of randomness.

    Returns:
        Axial slices: array axes run to the left, to the back and up (``diag(-s, -s, z)``), as in DICOM patient space.
    """
    low, high = ventricle_extent_mm(state, frame)
    low, high = low - _MARGIN_MM, high + _MARGIN_MM
    pixel_mm = max(rng.uniform(*preset.pixel_mm), float((high - low)[:2].max()) / (preset.matrix - 1))
    slice_mm = float(rng.choice(preset.slice_mm))
    depth = int(np.ceil(max(rng.uniform(*preset.depth_mm), float((high - low)[2])) / slice_mm)) + 1
    spacing = np.array([pixel_mm, pixel_mm, slice_mm])
    half = (np.array([preset.matrix, preset.matrix, depth]) - 1) * spacing / 2
    wanted = (low + high) / 2 + _WHOLE_HEART_MM + rng.normal(0.0, 3.0, 3)
    center = np.clip(wanted, high - half, low + half)
    affine = np.diag([-pixel_mm, -pixel_mm, slice_mm, 1.0])
    affine[:3, 3] = (center + half * [1, 1, -1]).round(3)
    return Grid((preset.matrix, preset.matrix, depth), affine)


def ventricle_extent_mm(state: VentricleState, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest RAS coordinate of the epicardium below the basal plane, its outline taken as round."""
    short, long = state.epi_semi_axes_mm()
    z = np.linspace(0.0, state.base_mm, 200)[:, None]
    radius = short * np.sqrt(np.clip(1 - ((z - state.center_mm) / long) ** 2, 0, None))
    axis = frame.to_ras(z * [0.0, 0.0, 1.0])
    reach = radius * np.sqrt(1 - frame.rotation[:, 2] ** 2)
    return (axis - reach).min(axis=0), (axis + reach).max(axis=0)
