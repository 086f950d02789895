# SPDX-License-Identifier: Apache-2.0
"""Label maps of the analytic ventricle: voxel centres inside the cavity (papillary muscles included) and the wall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..conventions import BACKGROUND, LV, LVM
from ..geometry import Grid
from .anatomy.placement import Frame
from .anatomy.ventricle import VentricleState
from .canvas import Block, axes_ras_mm, block_around

Labels = NDArray[np.uint8]


def ventricle_block(state: VentricleState, frame: Frame, grid: Grid, margin_mm: float = 6.0) -> Block:
    """Voxels that the ventricle, moved or grown by up to ``margin_mm``, can touch."""
    radius = 1.06 * state.epi_semi_axes_mm()[0] + float(np.abs(state.outline.bend_mm).max()) + margin_mm
    half = np.array([radius, radius, state.base_mm / 2 + margin_mm])
    center = frame.to_ras((0.0, 0.0, state.base_mm / 2))
    return block_around(axes_ras_mm(grid), center, np.abs(frame.rotation) @ half)


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
