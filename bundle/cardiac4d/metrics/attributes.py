# SPDX-License-Identifier: Apache-2.0
"""What is followed through the cycle to judge a motion: size, length and place of the left ventricle in each frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from torch import Tensor

from ..conventions import LV
from ..measure.inputs import Array, LabelMap, as_affine, as_label_map
from ..measure.volumes import volumes_ml

Curve = npt.NDArray[np.float64]

CENTRE = ("lv_x_mm", "lv_y_mm", "lv_z_mm")
ATTRIBUTES = ("lv_volume_ml", "lvm_volume_ml", "lv_length_mm", *CENTRE)


def sequence_attributes(labels: Array | Tensor, affine: Array | Tensor) -> dict[str, Curve]:
    """Measure the attributes of every frame; those of Painchaud et al. 2022, from 2D echo to a volume.

    The length is that of the solid ellipsoid with the cavity's spread along its longest axis, ``2 * sqrt(5)`` standard
    deviations: finer than a voxel, whatever the direction of the axis, where the distance of the outermost voxels
    would jump by whole ones.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to RAS millimetres.

    Returns:
        ``(T,)`` each, by the names of ``ATTRIBUTES``: volume of cavity and myocardium, length of the cavity, and its
        centre of gravity (right, anterior, superior). NaN in frames that are not annotated; length and centre also
        where there is no cavity.

    Raises:
        ValueError: if label map or affine are not as above.

    Example:
        >>> labels = np.zeros((40, 20, 20, 1), np.uint8)
        >>> grid = np.stack(np.meshgrid(*map(np.arange, (40, 20, 20)), indexing="ij"))
        >>> inside = (((grid.T - [20, 10, 10]) / [15, 8, 8]) ** 2).sum(-1).T < 1
        >>> found = sequence_attributes(np.where(inside, 1, 0)[..., None], np.eye(4))
        >>> round(float(found["lv_length_mm"][0])), float(found["lv_x_mm"][0])
        (30, 20.0)
    """
    labels, matrix = as_label_map(labels), as_affine(affine)
    places = np.array([_place(labels[..., t], matrix) for t in range(labels.shape[-1])])
    volumes = (volumes_ml(labels, matrix, "LV"), volumes_ml(labels, matrix, "LVM"))
    return dict(zip(ATTRIBUTES, (*volumes, *places.T), strict=True))


def _place(labels: LabelMap, affine: npt.NDArray[np.float64]) -> Curve:
    """Length and centre ``(4,)`` of the cavity in one frame; NaN without one, as where nothing is annotated."""
    boxes = find_objects((labels == LV).astype(np.uint8))
    if not boxes:
        return np.full(4, np.nan)
    voxels = np.argwhere(labels[boxes[0]] == LV)
    spread = np.atleast_2d(np.cov(voxels.T, bias=True))
    widest = np.linalg.eigvalsh(affine[:3, :3] @ spread @ affine[:3, :3].T)[-1]
    centre = affine[:3, :3] @ (voxels.mean(axis=0) + [part.start for part in boxes[0]]) + affine[:3, 3]
    return np.array([2 * np.sqrt(5 * max(widest, 0.0)), *centre])
