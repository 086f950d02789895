# SPDX-License-Identifier: Apache-2.0
"""Small studies on disk, quick to make and to segment: a beating ball with a wall."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cardiac4d.conventions import LV, LVM, NOT_ANNOTATED
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence

SHAPE = (18, 16, 10)
SPACING_MM = (4.0, 4.0, 6.0)
NUM_FRAMES = 6
FRAME_DURATION_S = 0.15
AFFINE = np.array([[-4.0, 0, 0, 40], [0, -4.0, 0, 30], [0, 0, 6.0, -20], [0, 0, 0, 1]])
"""Left-handed, as most CT files: x and y run against the patient's right-anterior axes."""


def beating_ball(num_frames: int = NUM_FRAMES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Image (int16, HU) and dense label map (uint8), both ``(H, W, D, T)``; frame 0 is end-diastole."""
    rng = np.random.default_rng(seed)
    centre = (np.array(SHAPE) - 1) / 2 * SPACING_MM + rng.uniform(-3, 3, 3)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij"))
    distance = np.linalg.norm(grid - centre[:, None, None, None], axis=0)[..., None]
    phase = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(num_frames) / num_frames)
    cavity_mm, wall_mm = 17 - 6 * phase, 25 - 2 * phase
    labels = np.where(distance < cavity_mm, LV, np.where(distance < wall_mm, LVM, 0)).astype(np.uint8)
    hounsfield = np.array([-50, 400, 110])[labels] + rng.normal(0, 15, labels.shape)
    return hounsfield.astype(np.int16), labels


def sparse(labels: np.ndarray, labeled_frames: Sequence[int]) -> np.ndarray:
    """The label map with every other frame not annotated."""
    out = np.full_like(labels, NOT_ANNOTATED)
    out[..., list(labeled_frames)] = labels[..., list(labeled_frames)]
    return out


def write_study(folder: Path, name: str, *, num_frames: int = NUM_FRAMES, seed: int = 0) -> dict[str, Any]:
    """Write image, sparse label and dense truth of one study; return its data-list entry."""
    image, labels = beating_ball(num_frames, seed)
    labeled_frames = [0, num_frames // 2]
    time = TimeAxis.uniform(num_frames, FRAME_DURATION_S)
    entry: dict[str, Any] = {"id": name, "labeled_frames": labeled_frames, "full_cycle": True}
    for key, voxels in (("image", image), ("label", sparse(labels, labeled_frames)), ("truth", labels)):
        write_sequence(folder / key / f"{name}.nii.gz", voxels, AFFINE, time)
        entry[key] = f"{key}/{name}.nii.gz"
    return entry


def write_small_dataset(folder: Path, *, num_training: int = 2, num_validation: int = 2) -> Path:
    """Write studies and their ``dataset.json``; return the folder. The test list is the validation list."""
    training = [write_study(folder, f"train{i}", seed=i) for i in range(num_training)]
    validation = [write_study(folder, f"case{i}", num_frames=5 + i, seed=100 + i) for i in range(num_validation)]
    document = {"name": "balls", "training": training, "validation": validation, "test": validation}
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
