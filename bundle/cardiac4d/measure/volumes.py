# SPDX-License-Identifier: Apache-2.0
"""Volume of a structure in every frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..geometry import voxel_volume_ml
from .inputs import Array, as_affine, as_label_map, measured_frames, structure_id


def volumes_ml(labels: Array | torch.Tensor, affine: Array | torch.Tensor, structure: str) -> npt.NDArray[np.float64]:
    """Measure the volume of a structure in every frame.

    Voxel count times ``|det|`` of the affine, which is right for oblique and sheared grids too. Measure on the study's
    own grid: resampling a label map changes thin walls by several percent.

    Args:
        labels: ``(H, W, D, T)``; 0, 1, 2, 255 = not annotated.
        affine: ``(4, 4)``, voxel to millimetre.
        structure: ``"LV"`` or ``"LVM"``.

    Returns:
        ``(T,)`` in millilitres; NaN in a frame without any annotated voxel. A 255 in an annotated frame counts as
        outside the structure.

    Raises:
        ValueError: if label map, affine or structure are not as above.

    Example:
        >>> labels = np.zeros((10, 10, 10, 2), np.uint8)
        >>> labels[:5, ..., 0] = 1
        >>> volumes_ml(labels, np.diag([2.0, 2.0, 5.0, 1.0]), "LV")
        array([10.,  0.])
    """
    labels = as_label_map(labels)
    wanted = structure_id(structure)
    # Frame by frame: one boolean frame in memory, not a boolean sequence.
    counts = np.array([np.count_nonzero(labels[..., t] == wanted) for t in range(labels.shape[-1])])
    return np.where(measured_frames(labels), counts * voxel_volume_ml(as_affine(affine)), np.nan)
