# SPDX-License-Identifier: Apache-2.0
"""Leave out the voxels in which nothing happens: a ventricle fills a small part of a scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..conventions import LVM, NOT_ANNOTATED
from ..measure.inputs import LabelMap


def crop_to_structures(
    maps: Sequence[LabelMap], affine: npt.NDArray[np.float64]
) -> tuple[list[LabelMap], npt.NDArray[np.float64]]:
    """Cut label maps to the box of what any of them shows in any frame, with a voxel around it.

    No measure changes: what is cut off is background in every frame, or belongs to frames without annotation. Nothing
    is cut where there is no structure, or where a frame is annotated in part, since the box might hold only the part
    that is not.

    Args:
        maps: ``(H, W, D, T)`` each, of one shape.
        affine: ``(4, 4)``, voxel to millimetre.

    Returns:
        Views of the maps, and the affine of the box.
    """
    inside = np.zeros(maps[0].shape[:3], dtype=bool)
    for labels in maps:
        for t in range(labels.shape[-1]):
            unknown = labels[..., t] == NOT_ANNOTATED
            if unknown.all():
                continue
            if unknown.any():
                return list(maps), affine
            inside |= labels[..., t] - np.uint8(1) < LVM  # background wraps to 255
    if not inside.any():
        return list(maps), affine
    box = tuple(_extent(np.asarray(inside.any(axis=others))) for others in ((1, 2), (0, 2), (0, 1)))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return [labels[box] for labels in maps], moved


def _extent(present: npt.NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(present)
    return slice(max(int(where[0]) - 1, 0), int(where[-1]) + 2)
