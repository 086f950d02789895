# SPDX-License-Identifier: Apache-2.0
"""The ventricle of one frame as a body: its largest piece, and where its cavity meets the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from scipy.ndimage import label as connected_components

from ..conventions import BACKGROUND, LV, LVM
from .inputs import LabelMap

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

LEAST_OPENING_MM2: Final = 100.0
"""A smaller patch of cavity against background is a hole in the wall and not a valve plane, which has 5 to 20 cm2."""
_LEAST_PIECE_SHARE: Final = 0.001
_ALL_NEIGHBOURS: Final = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Body:
    """The largest connected piece of ventricle in a frame, cropped, with one voxel of background around it.

    Attributes:
        labels: ``(h, w, d)`` 0, 1, 2; pieces apart from the largest, and 255, have become 0.
        affine: ``(4, 4)`` of the crop, voxel to RAS millimetre.
        num_pieces: connected pieces in the frame, specks below a thousandth of the whole left out.
        touches_border: the frame's outermost voxels hold cavity or muscle: the field of view may cut it.
    """

    labels: LabelMap
    affine: Points
    num_pieces: int = 1
    touches_border: bool = False

    @property
    def fewest_voxels(self) -> int:
        """Voxels that it spans along the axis on which it spans the fewest."""
        return min(self.labels.shape) - 2

    def to_mm(self, indices: npt.NDArray[np.intp] | Points) -> Points:
        """RAS positions ``(N, 3)`` of voxel indices ``(N, 3)``."""
        return np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def centers_mm(self, mask: Mask) -> Points:
        """``(N, 3)`` RAS positions of the voxels of a mask."""
        return self.to_mm(np.argwhere(mask))


@dataclass(frozen=True, eq=False)
class Faces:
    """Voxel faces between cavity and background.

    Attributes:
        midpoints_mm: ``(N, 3)``.
        areas_mm2: ``(N, 3)`` area vectors, out of the cavity.
        patches: ``(N,)`` number of the connected patch each belongs to, from 1.
    """

    midpoints_mm: Points
    areas_mm2: Points
    patches: npt.NDArray[np.intp]

    def patch_areas_mm2(self) -> Points:
        """``(num_patches,)`` length of the vector area of each patch: of the plane it spans, whatever its steps."""
        count = int(self.patches.max(initial=0))
        sums = [np.bincount(self.patches - 1, self.areas_mm2[:, k], count) for k in range(3)]
        return np.asarray(np.linalg.norm(sums, axis=0))

    def plane(self) -> tuple[Points, Points]:
        """Centre and unit normal of the plane that the faces approximate.

        The normal is the direction of the vector area, which depends on the rim alone and not on the steps of the
        voxels; in the mean weighted by the area along it, faces of steps that look forward and backward cancel.
        """
        normal = self.areas_mm2.sum(axis=0)
        normal = normal / np.linalg.norm(normal)
        return np.average(self.midpoints_mm, axis=0, weights=self.areas_mm2 @ normal), normal

    def patch(self, number: int) -> Faces:
        """The faces of one patch."""
        own = self.patches == number
        return Faces(self.midpoints_mm[own], self.areas_mm2[own], self.patches[own])


def largest_body(frame: LabelMap, affine: Points) -> Body | None:
    """Crop a frame to its largest connected piece of cavity and muscle together.

    Args:
        frame: ``(H, W, D)`` label map.
        affine: ``(4, 4)``, voxel to RAS millimetre.

    Returns:
        The body; ``None`` if the frame holds neither cavity nor muscle.
    """
    tissue = (frame == LV) | (frame == LVM)
    box = find_objects(tissue.view(np.uint8))
    if not box:
        return None
    pieces, _ = connected_components(tissue[box[0]])
    sizes = np.bincount(pieces.ravel())[1:]
    largest = pieces == sizes.argmax() + 1
    labels = np.pad(np.where(largest, frame[box[0]], BACKGROUND).astype(np.uint8), 1)
    shifted = affine.copy()
    shifted[:3, 3] += affine[:3, :3] @ [axis.start - 1 for axis in box[0]]
    cut = any(axis.start == 0 or axis.stop == size for axis, size in zip(box[0], frame.shape, strict=True))
    return Body(labels, shifted, int((sizes > _LEAST_PIECE_SHARE * sizes.sum()).sum()), cut)


def faces_to_background(body: Body) -> Faces:
    """Find every voxel face between cavity and background, grouped into patches of touching voxels."""
    cavity, outside = body.labels == LV, body.labels == BACKGROUND
    indices, midpoints, areas = [], [], []
    for axis in range(3):
        for step in (1, -1):
            here = np.argwhere(cavity & np.roll(outside, -step, axis))  # the margin makes wrapping harmless
            indices.append(here)
            midpoints.append(here + 0.5 * step * np.eye(3)[axis])
            areas.append(np.broadcast_to(_face_area_mm2(body.affine, axis, step), (len(here), 3)))
    where = np.concatenate(indices)
    touching = np.zeros_like(cavity)
    touching[tuple(where.T)] = True
    patches, _ = connected_components(touching, _ALL_NEIGHBOURS)
    return Faces(body.to_mm(np.concatenate(midpoints)), np.concatenate(areas), patches[tuple(where.T)])


def valve_faces(faces: Faces) -> Faces | None:
    """The largest patch, if it is large enough for a valve plane: see :data:`LEAST_OPENING_MM2`."""
    areas = faces.patch_areas_mm2()
    if not areas.size or areas.max() < LEAST_OPENING_MM2:
        return None
    return faces.patch(int(areas.argmax()) + 1)


def _face_area_mm2(affine: Points, axis: int, step: int) -> Points:
    """Area vector of the voxel face on this side: its cross product, turned to point out of the voxel."""
    first, second = (affine[:3, k] for k in range(3) if k != axis)
    area = np.cross(first, second)
    return np.asarray(area * np.sign(area @ affine[:3, axis]) * step)
