# SPDX-License-Identifier: Apache-2.0
"""Label maps of the analytic ventricle: voxel centres inside the cavity (papillary muscles included) and the wall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..conventions import BACKGROUND, LV, LVM
from ..geometry import Grid
from .anatomy.placement import Frame
from .anatomy.shapes import Ellipsoid
from .anatomy.ventricle import VentricleState
from .canvas import Block, axes_ras_mm, block_around

Labels = NDArray[np.uint8]


def ventricle_box(state: VentricleState, margin_mm: float) -> Ellipsoid:
    """An ellipsoid that holds the epicardium, also past the basal plane, and ``margin_mm`` around it."""
    short, long = state.epi_semi_axes_mm(margin_mm)
    radius = 1.08 * short + max(abs(b) for b in state.outline.bend_mm)
    return Ellipsoid((0.0, 0.0, state.center_mm), (radius, radius, long))


def ventricle_block(state: VentricleState, frame: Frame, grid: Grid, margin_mm: float = 6.0) -> Block:
    """Voxels that the ventricle, moved or grown by up to ``margin_mm``, can touch."""
    center, half = ventricle_box(state, margin_mm).bounds(frame.rotation)
    return block_around(axes_ras_mm(grid), frame.to_ras(center), half)


def truth_labels(state: VentricleState, frame: Frame, grid: Grid) -> Labels:
    """The exact label map of one frame, ``(H, W, D)``: cavity and myocardium, both cut at the basal plane."""
    labels = np.full(grid.shape, BACKGROUND, np.uint8)
    block = ventricle_block(state, frame, grid)
    axes = [axis[part] for axis, part in zip(axes_ras_mm(grid), block, strict=True)]
    x, y, z = frame.to_local(*np.ix_(*axes))
    endo, epi = state.fields(x, y, z)
    labels[block] = compose(endo < 0, epi < 0, z < state.base_mm)
    return labels


def compose(cavity: NDArray[np.bool_], outer: NDArray[np.bool_], below_base: NDArray[np.bool_]) -> Labels:
    """Label map from the three masks; the cavity wins where a jittered contour leaves the outer one."""
    wall = np.where(outer & below_base, LVM, BACKGROUND)
    return np.where(cavity & below_base, LV, wall).astype(np.uint8)
