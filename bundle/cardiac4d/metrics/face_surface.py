# SPDX-License-Identifier: Apache-2.0
"""The surface of a mask as voxel faces with their areas: what prediction and label are compared by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from scipy.spatial import KDTree

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FaceSurface:
    """The faces between voxels inside a mask and voxels outside it, in patient space.

    Attributes:
        centres_mm: ``(num_faces, 3)``, relative to the first voxel of the array.
        areas_mm2: ``(num_faces,)``.
    """

    centres_mm: Values
    areas_mm2: Values

    def __len__(self) -> int:
        return len(self.areas_mm2)


def face_surface(mask: Mask, affine: Values, unknown: Mask | None = None) -> FaceSurface:
    """Find the surface of a mask; the end of the array counts as outside.

    Centres and areas follow the affine, so they are right for anisotropic, oblique and sheared grids, which a distance
    transform with one spacing per axis is not. Only the bounding box of the mask is worked on.

    Args:
        mask: ``(H, W, D)``.
        affine: ``(4, 4)``, voxel to millimetre.
        unknown: ``(H, W, D)``, voxels of which nobody knows whether they are inside, none of them in ``mask``. The face
            between a voxel of the mask and one of these is no surface.

    Returns:
        Its faces; none for an empty mask.

    Example:
        >>> surface = face_surface(np.ones((1, 1, 2), bool), np.diag([1.0, 2.0, 3.0, 1.0]))
        >>> len(surface), round(surface.areas_mm2.sum())  # a block of 1 x 2 x 6 mm
        (10, 40)
    """
    boxes = find_objects(mask.astype(np.uint8))
    if not boxes:
        return FaceSurface(np.empty((0, 3)), np.empty(0))
    box = boxes[0]
    inside = np.pad(mask[box], 1)
    hidden = None if unknown is None else _with_border(unknown, box)
    axes, steps_mm = range(3), affine[:3, :3]
    centres = [_faces(inside, hidden, axis) + [part.start for part in box] for axis in axes]
    others = [np.delete(steps_mm, axis, axis=1) for axis in axes]
    areas = [np.full(len(centres[axis]), np.linalg.norm(np.cross(*others[axis].T))) for axis in axes]
    return FaceSurface(np.concatenate(centres) @ steps_mm.T, np.concatenate(areas))


def distances_mm(surface: FaceSurface, other: FaceSurface) -> Values:
    """Distance from each face's centre to the nearest one of ``other``, which must have a face; ``(num_faces,)``."""
    tree = KDTree(other.centres_mm, balanced_tree=False, compact_nodes=False)
    return tree.query(surface.centres_mm)[0]


def _faces(inside: Mask, hidden: Mask | None, axis: int) -> Values:
    """Centres, in voxels of the box, of the faces across one axis; ``inside`` has a border of one voxel."""
    along = np.moveaxis(inside, axis, 0)
    change = along[1:] ^ along[:-1]
    if hidden is not None:
        veil = np.moveaxis(hidden, axis, 0)
        change &= ~(veil[1:] | veil[:-1])
    centres: Values = np.argwhere(np.moveaxis(change, 0, axis)).astype(np.float64) - 1.0
    centres[:, axis] += 0.5
    return centres


def _with_border(mask: Mask, box: tuple[slice, ...]) -> Mask:
    """The box of a mask with the voxel around it, nothing beyond the array."""
    padded = np.pad(mask, 1)
    return padded[tuple(slice(part.start, part.stop + 2) for part in box)]
