# SPDX-License-Identifier: Apache-2.0
"""From anatomy to Hounsfield units: tissues, partial volume, gantry-window blur, stair steps, kernel and noise.

Only the block of voxels that the heart can touch is rendered per phase, in slabs of slices; the chest is rendered once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..geometry import Grid
from .anatomy.chest import chest_parts, plan_chest
from .anatomy.heart import HeartPlan, reference_height, surroundings
from .anatomy.papillary import Muscles, strands_at
from .anatomy.placement import Frame
from .anatomy.ventricle import Ventricle, VentricleState
from .canvas import Block, Canvas, Float32, axes_ras_mm, block_around, coverage
from .contrast import Contrast
from .noise import NoiseModel, draw_noise
from .stairs import Slab

GANTRY_WINDOW_MS: Final = 75.0
"""Temporal resolution of a dual-source scanner."""
KERNEL_WIDTH_MM: Final = 0.45
"""In-plane standard deviation of the reconstruction kernel."""
HU_LIMITS: Final = (-1024, 3071)
_SLAB_VOXELS: Final = 1_000_000
_RAS: Final = Frame(np.eye(3), np.zeros(3))


@dataclass(frozen=True)
class Scene:
    """Everything that determines the image of one study before noise."""

    ventricle: Ventricle
    heart: HeartPlan
    muscles: Muscles
    contrast: Contrast


def render_chest(scene: Scene, grid: Grid, rng: np.random.Generator) -> Float32:
    """The still structures on the whole grid, ``(H, W, D)`` float32 in Hounsfield units."""
    hu = np.full(grid.shape, scene.contrast.lung, np.float32)
    axes = axes_ras_mm(grid)
    parts = chest_parts(plan_chest(scene.heart), rng)
    for slices in _slabs(slice(0, grid.shape[2]), grid.shape[0] * grid.shape[1]):
        canvas = Canvas(hu[:, :, slices], (axes[0], axes[1], axes[2][slices]), _RAS)
        for solid, tissue in parts:
            canvas.paint(solid, scene.contrast[tissue])
    return hu


def heart_block(scene: Scene, grid: Grid) -> Block:
    """Voxels that any part of the heart can touch at any phase, two more on each side."""
    axes, plan = axes_ras_mm(grid), scene.heart
    boxes = [solid.bounds() for s in (0.0, 1.0) for solid, _ in surroundings(plan, s)]
    low = np.min([c - h for c, h in boxes], axis=0)
    high = np.max([c + h for c, h in boxes], axis=0)
    reach = plan.epi_radius_mm * 1.1 + plan.fat_mm + 3
    low = np.minimum(low, [-reach, -reach, -plan.fat_mm - 3])
    high = np.maximum(high, [reach, reach, plan.base_mm])
    half = np.abs(plan.frame.rotation) @ ((high - low) / 2)
    return block_around(axes, plan.frame.to_ras((low + high) / 2), half, margin=2)


def render_heart(chest: Float32, scene: Scene, grid: Grid, block: Block, phase: float, slabs: list[Slab]) -> Float32:
    """The heart over the chest within ``block``, averaged over the gantry window around ``phase``."""
    hu = np.empty(chest[block].shape, np.float32)
    axes = [axis[part] for axis, part in zip(axes_ras_mm(grid), block, strict=True)]
    for slab in slabs:
        first, last = (int(np.clip(k - block[2].start, 0, hu.shape[2])) for k in (slab.start, slab.stop))
        for slices in _slabs(slice(first, last), hu.shape[0] * hu.shape[1]):
            window = [axes[0] - slab.shift_mm[0], axes[1] - slab.shift_mm[1], axes[2][slices] - slab.shift_mm[2]]
            under = chest[block][:, :, slices]
            hu[:, :, slices] = _gantry_average(
                under, [w.astype(np.float32) for w in window], scene, phase + slab.phase_error
            )
    return hu


def _gantry_average(chest: Float32, axes_mm: list[Float32], scene: Scene, phase: float) -> Float32:
    window = GANTRY_WINDOW_MS / scene.ventricle.physiology.cycle_ms
    total = np.zeros(chest.shape, np.float32)
    canvas = Canvas(total, axes_mm, scene.heart.frame)
    for offset in (-1 / 3, 0.0, 1 / 3):
        canvas.hu = chest.copy()
        paint_heart(canvas, scene, scene.ventricle.at(phase + offset * window))
        total += canvas.hu
    total /= 3
    return total


def paint_heart(canvas: Canvas, scene: Scene, state: VentricleState) -> None:
    """Paint the whole heart at one phase."""
    contrast, plan = scene.contrast, scene.heart
    base_ed = plan.base_mm
    height = reference_height(canvas.z, state.base_mm, base_ed).astype(np.float32)
    endo, fat = state.fields(canvas.x, canvas.y, canvas.z, margin_mm=plan.fat_mm)
    below = coverage(canvas.z - np.float32(state.base_mm))
    everywhere = (slice(None),) * 3
    canvas.blend(everywhere, coverage(fat) * below, contrast.fat)
    slack = base_ed - state.base_mm
    for solid, tissue in surroundings(plan, state.contraction):
        canvas.paint(solid, contrast[tissue], z=height, slack_mm=slack)
    _paint_ventricle(canvas, scene, state, endo, below)


def _paint_ventricle(canvas: Canvas, scene: Scene, state: VentricleState, endo: Float32, below: Float32) -> None:
    contrast, everywhere = scene.contrast, (slice(None),) * 3
    _, epi = state.fields(canvas.x, canvas.y, canvas.z)
    lateral = np.clip(canvas.x / np.float32(scene.heart.epi_radius_mm), -1, 0)
    canvas.blend(everywhere, coverage(epi) * below, contrast.wall + contrast.lateral_drop * lateral)
    inside = coverage(endo) * below
    canvas.blend(everywhere, inside, contrast.left_blood)
    for strand in strands_at(scene.muscles, state, scene.ventricle.physiology.length_ed_mm):
        block = canvas.block(strand)
        if 0 not in canvas.hu[block].shape:
            field = strand.field(canvas.x[block], canvas.y[block], canvas.z[block])
            canvas.blend(block, coverage(field) * inside[block], contrast.wall)


def blur_kernel(hu: Float32, grid: Grid) -> Float32:
    """The in-plane reconstruction kernel; along z the slice profile is in the partial volume already."""
    for axis in (0, 1):
        width = KERNEL_WIDTH_MM / float(grid.spacing_mm[axis])
        if width > 0.2:
            hu = gaussian_filter1d(hu, width, axis=axis, mode="nearest", truncate=3.0)
    return hu


def render_frames(
    scene: Scene, grid: Grid, noise: NoiseModel, slabs: list[Slab], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Every frame of the study, ``(H, W, D)`` int16 in Hounsfield units, one at a time."""
    physiology = scene.ventricle.physiology
    sharp = render_chest(scene, grid, rng)
    block, still = heart_block(scene, grid), blur_kernel(sharp, grid)
    for phase in physiology.frame_phases:
        frame = still.copy()
        frame[block] = blur_kernel(render_heart(sharp, scene, grid, block, float(phase), slabs), grid)
        sigma = noise.sigma_at(float(phase), physiology.cycle_ms)
        frame += draw_noise(grid.shape, grid.spacing_mm, rng) * np.float32(sigma)
        np.rint(frame, out=frame)
        yield np.clip(frame, *HU_LIMITS, out=frame).astype(np.int16)


def _slabs(slices: slice, plane_voxels: int) -> Iterator[slice]:
    """Cut a range of slices into runs of about a million voxels and at least two slices."""
    count = slices.stop - slices.start
    pieces = max(1, min(count // 2, round(count * plane_voxels / _SLAB_VOXELS)))
    edges = np.linspace(slices.start, slices.stop, pieces + 1).round().astype(int)
    for first, last in zip(edges, edges[1:], strict=False):
        if last > first:
            yield slice(int(first), int(last))
