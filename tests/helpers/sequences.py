# SPDX-License-Identifier: Apache-2.0
"""Small NIfTI sequences with headers as they occur: oblique, left-handed, flipped, permuted, with every time unit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def _oblique(spacing: tuple[float, float, float], degrees: float) -> np.ndarray:
    a, b = np.deg2rad(degrees), np.deg2rad(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 22.25, 7.0)
    return affine


AFFINES: dict[str, np.ndarray] = {
    "plain": np.array([[0.8, 0, 0, 50], [0, 0.8, 0, 60], [0, 0, 2, 30], [0, 0, 0, 1.0]]),
    "left_handed": np.array([[-0.5, 0, 0, 80], [0, -0.5, 0, 70], [0, 0, 2, -30], [0, 0, 0, 1.0]]),
    "flipped": np.array([[0.7, 0, 0, -9], [0, -0.9, 0, 12], [0, 0, -1.5, 40], [0, 0, 0, 1.0]]),
    "permuted": np.array([[0, 0, 1.8, -9], [-0.6, 0, 0, 12], [0, 0.6, 0, 40], [0, 0, 0, 1.0]]),
    "oblique": _oblique((0.7, 0.7, 1.9), 24.0),
    "oblique_left_handed": _oblique((0.7, 0.7, 1.9), 24.0) @ np.diag([-1.0, 1, 1, 1]),
}
"""By name; all are float32-exact enough to be restored bit by bit from a header."""


def write_nifti(
    path: Path,
    voxels: np.ndarray,
    affine: np.ndarray = AFFINES["plain"],
    *,
    step: float = 0.043,
    unit: str = "sec",
    toffset: float = 0.0,
) -> Path:
    """Write with nibabel alone, so that tests of the package's reader do not trust its writer."""
    image = nib.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm", unit)
    if voxels.ndim > 3:
        image.header["pixdim"][4] = step
    image.header["toffset"] = toffset
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """int16 values of CT size."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def ball_labels(shape: tuple[int, int, int, int], frames: tuple[int, ...]) -> np.ndarray:
    """LV ball in an LVM shell in ``frames``, 255 elsewhere; uint8."""
    centre = (np.array(shape[:3]) - 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape[:3]), indexing="ij"), axis=-1)
    radius = np.abs((grid - centre) / centre).max(axis=-1)
    labels = np.full(shape, 255, dtype=np.uint8)
    labels[..., list(frames)] = np.where(radius < 0.3, 1, np.where(radius < 0.6, 2, 0))[..., None]
    return labels
