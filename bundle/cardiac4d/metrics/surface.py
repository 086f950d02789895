# SPDX-License-Identifier: Apache-2.0
"""Distance between the surfaces of a structure in consecutive frames (Myronenko et al. 2019, section 4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import KDTree
from torch import Tensor

from ..conventions import STRUCTURES
from ..measure.inputs import Array, as_affine, as_label_map, structure_id
from .averages import mean_of_defined, with_mean


def surface_distances_mm(
    labels: Array | Tensor, affine: Array | Tensor, structure: str, *, cyclic: bool = False
) -> npt.NDArray[np.float64]:
    """Measure the mean symmetric surface distance between consecutive frames.

    The surface of a mask is its voxels with at least one of the six face neighbours outside, the end of the array
    counting as outside (as in MONAI). The value of a pair is the mean, over the surface voxels of both frames together,
    of the distance between voxel centres to the nearest surface voxel of the other frame, in patient space: exact for
    anisotropic, oblique and sheared grids. Time is never an axis of distance.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to millimetre.
        structure: ``"LV"`` or ``"LVM"`` (inner and outer surface together).
        cyclic: also compare the last frame with the first; for a sequence that covers one whole R-R cycle.

    Returns:
        ``(T - 1,)`` millimetres, ``(T,)`` if cyclic and ``T > 1``; NaN where the structure is absent from one of the
        frames, which includes frames that are not annotated.

    Raises:
        ValueError: if label map, affine or structure are not as above.
    """
    labels, matrix, wanted = as_label_map(labels), as_affine(affine), structure_id(structure)
    num_frames = labels.shape[-1]
    surfaces = [_Surface(labels[..., t] == wanted, matrix) for t in range(num_frames)]
    if cyclic and num_frames > 1:
        surfaces.append(surfaces[0])
    return np.array([a.distance_mm(b) for a, b in pairwise(surfaces)], dtype=np.float64)


def temporal_surface_distance(
    labels: Array | Tensor, affine: Array | Tensor, *, cyclic: bool = False
) -> dict[str, float]:
    """Average :func:`surface_distances_mm` over the consecutive pairs of frames, per structure.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to millimetre.
        cyclic: see :func:`surface_distances_mm`.

    Returns:
        ``{"LV": ..., "LVM": ..., "mean": ...}`` in millimetres. Pairs in which the structure is absent are left out, so
        a structure that comes and goes is not punished here: count its empty frames. NaN if no pair is left, as for a
        single frame.

    Raises:
        ValueError: if label map or affine are not as above.

    Example:
        >>> labels = np.zeros((9, 3, 3, 2), np.uint8)
        >>> labels[2, 1, 1, 0] = labels[4, 1, 1, 1] = 1  # one voxel moves by two
        >>> temporal_surface_distance(labels, np.diag([1.5, 1.0, 1.0, 1.0]))
        {'LV': 3.0, 'LVM': nan, 'mean': nan}
    """
    distances = {name: surface_distances_mm(labels, affine, name, cyclic=cyclic) for name in STRUCTURES}
    return with_mean({name: mean_of_defined(pairs) for name, pairs in distances.items()})


class _Surface:
    """Surface voxels of one mask as points in millimetres, and a search tree built once for both its neighbours."""

    def __init__(self, mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> None:
        self.points_mm = _surface_voxels(mask) @ affine[:3, :3].T
        self.tree = KDTree(self.points_mm, balanced_tree=False, compact_nodes=False)

    def distance_mm(self, other: _Surface) -> float:
        """Mean symmetric surface distance; NaN if one of the two is empty."""
        if not len(self.points_mm) or not len(other.points_mm):
            return float("nan")
        there, back = other.tree.query(self.points_mm)[0], self.tree.query(other.points_mm)[0]
        return float(np.concatenate([there, back]).mean())


def _surface_voxels(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Voxel indices ``(num_points, 3)`` of a mask's surface."""
    box = find_objects(mask.astype(np.uint8))
    if not box:
        return np.empty((0, 3), dtype=np.intp)
    inside = mask[box[0]]
    return np.argwhere(inside & ~binary_erosion(inside)) + [axis.start for axis in box[0]]
