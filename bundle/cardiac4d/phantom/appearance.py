# SPDX-License-Identifier: Apache-2.0
"""From anatomy to Hounsfield units: tissues, partial volume, gantry-window blur, stair steps, kernel and noise.

Only the block of voxels that the heart can touch is rendered per phase, in slabs of slices; the chest is rendered once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..ct_noise import NoiseModel, draw_noise
from ..geometry import Grid
from .anatomy.chest import chest_parts, plan_chest
from .anatomy.heart import HeartPlan, reference_height, surroundings
from .anatomy.papillary import Muscles, strands_at
from .anatomy.placement import Frame
from .anatomy.ventricle import Ventricle, VentricleState
from .canvas import Block, Canvas, Float32, axes_ras_mm, block_around, coverage
from .contrast import Contrast
from .labels import ventricle_box
from .physiology import Physiology
from .stairs import Slab

GANTRY_WINDOW_MS: Final = 75.0
"""Temporal resolution of a dual-source scanner."""
KERNEL_WIDTH_MM: Final = 0.45
"""In-plane standard deviation of the reconstruction kernel."""
HU_LIMITS: Final = (-1024, 3071)
_STILL: Final = 0.02
"""Change of the contraction within the window below which the heart counts as standing still (a base moves 0.3 mm)."""
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
    plan, start = scene.heart, scene.ventricle.end_diastole
    solids = [solid for contraction in (0.0, 1.0) for solid, _ in surroundings(plan, contraction)]
    boxes = [solid.bounds(plan.frame.rotation) for solid in (*solids, ventricle_box(start, plan.fat_mm))]
    slack = np.abs(plan.frame.rotation[:, 2]) * scene.ventricle.physiology.mapse_mm
    low = np.min([plan.frame.to_ras(center) - half for center, half in boxes], axis=0) - slack
    high = np.max([plan.frame.to_ras(center) + half for center, half in boxes], axis=0) + slack
    return block_around(axes_ras_mm(grid), (low + high) / 2, (high - low) / 2, margin=2)


def render_heart(chest: Float32, scene: Scene, grid: Grid, block: Block, phase: float, slabs: list[Slab]) -> Float32:
    """The heart over the chest within ``block``, averaged over the gantry window around ``phase``."""
    under = chest[block]
    hu = np.empty_like(under)
    rows, columns, heights = (axis[part] for axis, part in zip(axes_ras_mm(grid), block, strict=True))
    plane = rows.size * columns.size
    for slab in slabs:
        first, last = (int(np.clip(k - block[2].start, 0, heights.size)) for k in (slab.start, slab.stop))
        x, y, z = (np.float32(shift) for shift in slab.shift_mm)
        for part in _slabs(slice(first, last), plane):
            axes = [rows - x, columns - y, heights[part] - z]
            hu[..., part] = _gantry_average(under[..., part], axes, scene, phase + slab.phase_error)
    return hu


def _gantry_average(chest: Float32, axes_mm: list[Float32], scene: Scene, phase: float) -> Float32:
    total = np.zeros(chest.shape, np.float32)
    canvas = Canvas(total, axes_mm, scene.heart.frame)
    samples = gantry_samples(scene.ventricle.physiology, phase)
    for sample in samples:
        canvas.hu = chest.copy()
        paint_heart(canvas, scene, scene.ventricle.at(sample))
        total += canvas.hu
    total /= len(samples)
    return total


def gantry_samples(physiology: Physiology, phase: float) -> list[float]:
    """Phases to average for the image at ``phase``: three across the gantry window, or one where nothing moves."""
    window = GANTRY_WINDOW_MS / physiology.cycle_ms
    samples = [phase - window / 3, phase, phase + window / 3]
    return samples if np.ptp(physiology.contraction(samples)) > _STILL else [phase]


def paint_heart(canvas: Canvas, scene: Scene, state: VentricleState) -> None:
    """Paint the whole heart at one phase: fat under it, everything beside the left ventricle, then the ventricle."""
    contrast, plan = scene.contrast, scene.heart
    block = canvas.block(ventricle_box(state, plan.fat_mm))
    x, y, z = canvas.x[block], canvas.y[block], canvas.z[block]
    if z.size:
        endo, epi, fat = (coverage(field) for field in state.fields(x, y, z, plan.fat_mm))
        below = coverage(z - np.float32(state.base_mm))
        canvas.blend(block, fat * below, contrast.fat)
    height = reference_height(canvas.z, state.base_mm, plan.base_mm)
    slack = plan.base_mm - state.base_mm
    mixing = contrast.right_blood + contrast.right_gradient * (height * (1 / plan.base_mm) - 0.5)
    for solid, tissue in surroundings(plan, state.contraction):
        canvas.paint(solid, mixing if tissue == "right_blood" else contrast[tissue], z=height, slack_mm=slack)
    if z.size:
        lateral = np.clip(x * (1 / plan.epi_radius_mm), -1, 0)
        wall = contrast.wall + contrast.lateral_drop * lateral
        # One blend for wall and blood: two would show the wall at the basal plane, where blood meets atrial blood.
        inner = endo / np.maximum(epi, 1e-6)
        canvas.blend(block, epi * below, wall + inner * (contrast.left_blood - wall))
        cavity = np.zeros_like(canvas.hu)
        cavity[block] = endo * below
        for strand in strands_at(scene.muscles, state, scene.ventricle.physiology.length_ed_mm):
            canvas.paint(strand, contrast.wall, within=cavity)


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
    for first, last in pairwise(edges):
        if last > first:
            yield slice(int(first), int(last))
