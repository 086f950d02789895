# SPDX-License-Identifier: Apache-2.0
"""The input of every measurement, checked: a label map ``(H, W, D, T)`` and its affine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..conventions import NOT_ANNOTATED, NUM_CLASSES, STRUCTURES
from ..geometry import voxel_volume_ml

Array = npt.NDArray[np.generic]
LabelMap = npt.NDArray[np.uint8]
_ALLOWED = (*range(NUM_CLASSES), NOT_ANNOTATED)


def as_label_map(labels: Array | torch.Tensor, name: str = "labels") -> LabelMap:
    """Return a label map as a NumPy array, checked.

    Args:
        labels: ``(H, W, D, T)``; any numeric type that holds whole numbers, on any device, with or without metadata.
        name: what to call it in an error.

    Returns:
        ``(H, W, D, T)`` uint8; shares memory with ``labels`` where it can, so treat it as read-only.

    Raises:
        ValueError: if the rank is not 4, an axis is empty, or a value is none of the four the convention knows.
    """
    if isinstance(labels, torch.Tensor):
        labels = labels.as_subclass(torch.Tensor).detach().cpu().numpy()
    labels = np.asarray(labels)
    if labels.ndim != 4 or 0 in labels.shape:
        raise ValueError(f"`{name}` must be a non-empty (H, W, D, T) without channel axis, got shape {labels.shape}")
    known = np.zeros(labels.shape, dtype=bool)
    for value in _ALLOWED:  # ten times faster than np.isin, and false for NaN
        known |= labels == value
    if not known.all():
        raise ValueError(f"`{name}` must hold only the labels {_ALLOWED}, got {np.unique(labels[~known])[:8].tolist()}")
    return labels.astype(np.uint8, copy=False)


def as_affine(affine: Array | torch.Tensor) -> npt.NDArray[np.float64]:
    """Return an affine as a NumPy array, checked.

    Args:
        affine: ``(4, 4)``, voxel to millimetre; on any device.

    Returns:
        ``(4, 4)`` float64.

    Raises:
        ValueError: if the shape is wrong, a value is not finite, or the voxels have no volume.
    """
    if isinstance(affine, torch.Tensor):
        affine = affine.as_subclass(torch.Tensor).detach().cpu().numpy()
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or voxel_volume_ml(matrix) == 0:
        raise ValueError(f"`affine` must be a finite, invertible (4, 4) from voxels to millimetres, got {affine!r}")
    return matrix


def measured_frames(labels: LabelMap) -> npt.NDArray[np.bool_]:
    """Say which frames can be measured: those with at least one voxel that is not 255.

    Args:
        labels: ``(H, W, D, T)``, see :func:`as_label_map`.

    Returns:
        ``(T,)``.
    """
    return np.asarray((labels != NOT_ANNOTATED).any(axis=(0, 1, 2)))


def structure_id(structure: str) -> int:
    """Return the label id of a structure.

    Args:
        structure: ``"LV"`` (cavity) or ``"LVM"`` (myocardium).

    Returns:
        Its value in a label map.

    Raises:
        ValueError: if there is no such structure.
    """
    if structure not in STRUCTURES:
        raise ValueError(f"`structure` must be one of {tuple(STRUCTURES)}, got {structure!r}")
    return STRUCTURES[structure]
