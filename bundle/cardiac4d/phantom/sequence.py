# SPDX-License-Identifier: Apache-2.0
"""One phantom study: a heart, a scan of it, and a reader's sparse labels, drawn from one stream of random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conventions import NOT_ANNOTATED
from ..ct_noise import NoiseModel, sample_noise
from ..geometry import Grid
from .anatomy.heart import sample_heart
from .anatomy.papillary import sample_muscles
from .anatomy.placement import sample_placement
from .anatomy.ventricle import Ventricle, sample_outline
from .annotation import Reader, annotated_frames, drawn_labels, sample_reader
from .appearance import Scene, render_frames
from .contrast import sample_contrast
from .field_of_view import sample_grid
from .labels import Labels, truth_labels
from .physiology import Group, sample_physiology
from .presets import Preset
from .stairs import Slab, sample_slabs, whole_stack

_NUM_TRABECULAE = 7


@dataclass(frozen=True)
class Study:
    """One phantom study, ready to be rendered.

    Attributes:
        scene: anatomy, motion and contrast.
        grid: native voxel grid.
        noise: noise model.
        slabs: bands of slices, one where there are no stair steps.
        reader: who annotates; ``None`` for exact labels.
        labeled_frames: 0-based annotated frames, ascending.
        seeds: streams for image noise and for the reader, so that one can be rendered without the other.
    """

    scene: Scene
    grid: Grid
    noise: NoiseModel
    slabs: list[Slab]
    reader: Reader | None
    labeled_frames: list[int]
    seeds: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """Frames of the sequence."""
        return self.scene.ventricle.physiology.num_frames

    def image(self) -> NDArray[np.int16]:
        """``(H, W, D, T)`` int16 Hounsfield units, frames contiguous in memory."""
        voxels = np.empty((*self.grid.shape, self.num_frames), np.int16, order="F")
        rng = np.random.default_rng(self.seeds[0])
        for t, frame in enumerate(render_frames(self.scene, self.grid, self.noise, self.slabs, rng)):
            voxels[..., t] = frame
        return voxels

    def truth(self) -> Labels:
        """``(H, W, D, T)`` exact labels of every frame: the anatomy, without stair steps and without a reader."""
        voxels = np.empty((*self.grid.shape, self.num_frames), np.uint8, order="F")
        for t in range(self.num_frames):
            voxels[..., t] = self.truth_frame(t)
        return voxels

    def truth_frame(self, frame: int) -> Labels:
        """``(H, W, D)`` exact labels of one frame."""
        state = self.scene.ventricle.at(frame / self.num_frames)
        return truth_labels(state, self.scene.heart.frame, self.grid)

    def labels(self) -> Labels:
        """``(H, W, D, T)`` what the reader delivers: 255 in every frame that is not annotated."""
        voxels = np.full((*self.grid.shape, self.num_frames), NOT_ANNOTATED, np.uint8, order="F")
        rng = np.random.default_rng(self.seeds[1])
        for t in self.labeled_frames:
            voxels[..., t] = self.truth_frame(t) if self.reader is None else self._drawn(t, self.reader, rng)
        return voxels

    def _drawn(self, frame: int, reader: Reader, rng: np.random.Generator) -> Labels:
        ventricle = self.scene.ventricle
        phase = frame / self.num_frames
        return drawn_labels(
            [ventricle.at(phase + slab.phase_error) for slab in self.slabs],
            self.slabs,
            self.scene.heart.frame,
            self.grid,
            reader,
            endo_radius_mm=ventricle.end_diastole.a_mm,
            rng=rng,
        )


def sample_study(preset: Preset, group: Group, num_labeled: int, rng: np.random.Generator) -> Study:
    """Draw one study.

    Args:
        preset: sizes and options.
        group: ejection-fraction group.
        num_labeled: number of annotated frames.
        rng: the only source of randomness.
    """
    physiology = sample_physiology(group, preset.num_frames, rng)
    ventricle = Ventricle(physiology, sample_outline(rng))
    start = ventricle.end_diastole
    heart = sample_heart(ventricle, sample_placement(start.base_mm, rng), rng)
    scene = Scene(ventricle, heart, sample_muscles(start.a_mm, _NUM_TRABECULAE, rng), sample_contrast(rng))
    grid = sample_grid(start, heart.frame, preset, rng)
    steps = rng.random() < preset.stair_step_probability
    return Study(
        scene=scene,
        grid=grid,
        noise=sample_noise(rng),
        slabs=sample_slabs(grid.shape[2], float(grid.spacing_mm[2]), rng) if steps else whole_stack(grid.shape[2]),
        reader=sample_reader(rng, preset.systolic_wall_gain) if preset.label_jitter else None,
        labeled_frames=annotated_frames(physiology, num_labeled, rng),
        seeds=(int(rng.integers(2**63)), int(rng.integers(2**63))),
    )
