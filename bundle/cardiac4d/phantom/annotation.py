# SPDX-License-Identifier: Apache-2.0
"""The human reader: which frames are annotated, and how contours drawn slice by slice differ from the truth.

Repeated contours of the same heart differ, slice by slice and after the stack's mean is removed, by 2.3 to 3.3 % of
the largest endocardial radius in their centre and 2.1 to 3.3 % in their radius; between readers the whole stack is
larger or smaller by about 3 %. Contours are drawn on axial slices, so the labels are jagged in the other two views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .anatomy.placement import Frame
from .anatomy.shapes import Array
from .anatomy.ventricle import VentricleState
from .canvas import axes_ras_mm
from .labels import Labels, compose, truth_labels, ventricle_block
from .physiology import Physiology
from .stairs import Slab

FEWEST_FRAMES: Final = 2
MOST_FRAMES: Final = 9


@dataclass(frozen=True)
class Reader:
    """How one reader draws one study. All numbers are fractions of the end-diastolic endocardial radius.

    Attributes:
        center_sd: spread of a slice's centre, per axis.
        radius_sd: spread of a slice's radius, drawn for each contour.
        endo_bias: constant error of the inner radius.
        epi_bias: constant error of the outer radius.
        systolic_wall_gain: share of the wall's volume by which the drawn wall exceeds the true one at end-systole,
            because trabeculae are drawn into it; taken from the cavity.
    """

    center_sd: float
    radius_sd: float
    endo_bias: float
    epi_bias: float
    systolic_wall_gain: float = 0.0


def sample_reader(rng: np.random.Generator, systolic_wall_gain: float = 0.0) -> Reader:
    """Draw a reader within the measured spread."""
    return Reader(
        center_sd=rng.uniform(0.023, 0.033),
        radius_sd=rng.uniform(0.021, 0.033),
        endo_bias=float(np.clip(rng.normal(0.0, 0.03), -0.06, 0.06)),
        epi_bias=float(np.clip(rng.normal(0.0, 0.024), -0.05, 0.05)),
        systolic_wall_gain=systolic_wall_gain,
    )


def annotation_counts(num_sequences: int, total: int, num_frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Number of annotated frames of each sequence, random, with exactly ``total`` in all.

    Args:
        num_sequences: sequences to share them among.
        total: annotated frames altogether.
        num_frames: frames of a sequence; at most 9 of them, and at most every second one, are annotated.
        rng: source of randomness.

    Raises:
        ValueError: if no such numbers exist.
    """
    most = min(MOST_FRAMES, (num_frames + 1) // 2)
    if not FEWEST_FRAMES * num_sequences <= total <= most * num_sequences:
        raise ValueError(f"`total` (={total}) must lie in 2 to {most} times `num_sequences` (={num_sequences})")
    counts = np.minimum(FEWEST_FRAMES + rng.geometric(0.33, num_sequences) - 1, most)
    while counts.sum() != total:
        step = 1 if counts.sum() < total else -1
        movable = np.flatnonzero(counts < most if step > 0 else counts > FEWEST_FRAMES)
        counts[rng.choice(movable)] += step
    return counts


def annotated_frames(physiology: Physiology, count: int, rng: np.random.Generator) -> list[int]:
    """Frames to annotate, ascending and 0-based: end-diastole, end-systole, and others out of every second frame."""
    always = {0, physiology.es_frame}
    others = [t for t in range(0, physiology.num_frames, 2) if t not in always]
    return sorted(always | {int(t) for t in rng.choice(others, count - len(always), replace=False)})


def drawn_labels(
    ventricle: Sequence[VentricleState],
    slabs: Sequence[Slab],
    frame: Frame,
    grid: Grid,
    reader: Reader,
    *,
    endo_radius_mm: float,
    rng: np.random.Generator,
) -> Labels:
    """One frame as the reader draws it, ``(H, W, D)``.

    Args:
        ventricle: the state seen in each slab (they differ where slabs come from different beats).
        slabs: runs of slices; their shift moves the contours too, because the reader draws what the image shows.
        frame: heart frame.
        grid: grid of the study, slices along the third axis.
        reader: who draws.
        endo_radius_mm: end-diastolic endocardial radius, the unit of the reader's errors.
        rng: source of randomness; one draw per slice and contour.
    """
    depth = grid.shape[2]
    centers = rng.normal(0.0, reader.center_sd, (2, depth)) * endo_radius_mm
    inner = reader.endo_bias + rng.normal(0.0, reader.radius_sd, depth)
    outer = reader.epi_bias + rng.normal(0.0, reader.radius_sd, depth)
    labels = np.zeros(grid.shape, np.uint8)
    for state, slab in zip(ventricle, slabs, strict=True):
        part = slice(slab.start, slab.stop)
        shifted = Frame(frame.rotation, frame.origin_mm + np.asarray(slab.shift_mm))
        gain = _systolic_shrink(state, reader.systolic_wall_gain)
        growth = (gain * (1 + inner[part] * endo_radius_mm / state.a_mm), 1 + outer[part] * endo_radius_mm / state.a_mm)
        piece = _slices_of(grid, part)
        labels[:, :, part] = _draw(state, shifted, piece, centers[:, part], growth)
    return labels


def _systolic_shrink(state: VentricleState, gain: float) -> float:
    """Factor on the inner radius that moves ``gain`` of the wall's volume out of the cavity at end-systole."""
    return float(np.sqrt(max(0.25, 1 - gain * state.contraction * state.wall_ml / state.cavity_ml)))


def _slices_of(grid: Grid, part: slice) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, 2] * part.start
    return Grid((grid.shape[0], grid.shape[1], part.stop - part.start), affine)


def _draw(
    state: VentricleState,
    frame: Frame,
    grid: Grid,
    centers_mm: NDArray[np.float64],
    growth: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Labels:
    """Labels with each axial slice moved by ``centers_mm`` and scaled about its own centroid by ``growth``."""
    truth = truth_labels(state, frame, grid)
    block = ventricle_block(state, frame, grid)
    axes = [axis[part] for axis, part in zip(axes_ras_mm(grid), block, strict=True)]
    if 0 in (a.size for a in axes):
        return truth
    columns = np.ix_(*axes)
    middle = _centroids(truth[block] > 0, axes[0], axes[1])
    shifts = [shift[block[2]] for shift in centers_mm]

    def local(scale: NDArray[np.float64] | float) -> tuple[Array, Array, Array]:
        """Heart coordinates of the voxels after the slice-wise shift and scaling are undone."""
        x, y = ((m + (c - m - shift) / scale) for c, m, shift in zip(columns[:2], middle, shifts, strict=True))
        return frame.to_local(x.astype(np.float32), y.astype(np.float32), columns[2])

    cavity, outer = (state.fields(*local(scale[block[2]]))[index] < 0 for index, scale in enumerate(growth))
    # Both contours end at one basal plane, which moves with the slice but does not scale.
    truth[block] = compose(cavity, outer, local(1.0)[2] < state.base_mm)
    return truth


def _centroids(
    mask: NDArray[np.bool_], x_mm: NDArray[np.float32], y_mm: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre of the mask in each slice, ``(D,)`` twice; slices without any take the middle of the block."""
    weight = mask.sum((0, 1))
    sums = (np.einsum("ijk,i->k", mask, x_mm.astype(np.float64)), np.einsum("ijk,j->k", mask, y_mm.astype(np.float64)))
    middle_x, middle_y = (
        np.where(weight > 0, total / np.maximum(weight, 1), axis.mean())
        for total, axis in zip(sums, (x_mm, y_mm), strict=True)
    )
    return middle_x, middle_y
