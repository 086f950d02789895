# SPDX-License-Identifier: Apache-2.0
"""What is drawn in one annotated frame, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..conventions import LV, LVM, NOT_ANNOTATED


@dataclass(frozen=True)
class AnnotatedFrame:
    """What is drawn in one annotated frame.

    Attributes:
        frame: 0-based.
        lv_ml: volume of the cavity.
        lvm_ml: volume of the myocardium.
        touches_edge: a structure reaches the edge of the image in the plane of the slices.
        bare_share: share of the cavity's surface, slice by slice, that does not lie on the myocardium; 0 .. 1, nan
            without a cavity.
    """

    frame: int
    lv_ml: float
    lvm_ml: float
    touches_edge: bool
    bare_share: float


def annotated_frame(index: int, labels: np.ndarray, voxel_ml: float) -> AnnotatedFrame | None:
    """Measure what is drawn; ``None`` where nothing is annotated.

    Args:
        index: of the frame, 0-based.
        labels: ``(H, W, D)``, 0 background, 1 LV, 2 LVM, 255 not annotated.
        voxel_ml: volume of a voxel.
    """
    if (labels == NOT_ANNOTATED).all():
        return None
    cavity, wall = labels == LV, labels == LVM
    return AnnotatedFrame(
        frame=index,
        lv_ml=float(np.count_nonzero(cavity)) * voxel_ml,
        lvm_ml=float(np.count_nonzero(wall)) * voxel_ml,
        touches_edge=_touches_edge(cavity | wall),
        bare_share=_bare_share(cavity, wall),
    )


def _touches_edge(structure: np.ndarray) -> bool:
    sides = (structure[0], structure[-1], structure[:, 0], structure[:, -1])
    return any(bool(side.any()) for side in sides)


def _bare_share(cavity: np.ndarray, wall: np.ndarray) -> float:
    """Faces of cavity voxels along H and W that look at neither cavity nor wall, among those that leave the cavity."""
    leaving = bare = 0
    for axis in (0, 1):
        for inner, outer in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            here, there = (slice(None),) * axis + (inner,), (slice(None),) * axis + (outer,)
            faces = cavity[here] & ~cavity[there]
            leaving += int(np.count_nonzero(faces))
            bare += int(np.count_nonzero(faces & ~wall[there]))
    return bare / leaving if leaving else float("nan")
