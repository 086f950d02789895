# SPDX-License-Identifier: Apache-2.0
"""What speaks against the shape of a segmentation: cut off, in pieces, or with a hole between cavity and wall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ..conventions import BACKGROUND, LV, LVM
from ..geometry import spacing_from_affine
from .flags import Flag, listed
from .long_axis import LongAxis
from .tissue import Body, faces_to_background, valve_faces
from .wall_grid import FEWEST_VOXELS

LEAST_HOLE_MM2: Final = 25.0
"""Smaller patches of cavity against background are steps of the voxels."""
RIM_VOXELS: Final = 2.0
"""How far below the valve plane, in lengths of a voxel's longest edge, its rim may reach."""


def few_slices(bodies: Mapping[int, Body]) -> Flag | None:
    """A ventricle that spans hardly any slices.

    Args:
        bodies: ventricle by frame.
    """
    frames = tuple(t for t, body in bodies.items() if body.fewest_voxels < FEWEST_VOXELS)
    if not frames:
        return None
    fewest = min(body.fewest_voxels for body in bodies.values())
    reason = (
        f"the ventricle spans fewer than {FEWEST_VOXELS} slices in {listed(frames)}, {fewest} at least: volumes are "
        "rough, and the wall is not measured"
    )
    return Flag("few_slices", "warning", frames, reason)


def labels_swapped(bodies: Mapping[int, Body]) -> Flag | None:
    """A cavity that lies around the muscle.

    Args:
        bodies: ventricle by frame.
    """
    frames = tuple(t for t, body in bodies.items() if body.fewest_voxels >= FEWEST_VOXELS and _inside_out(body))
    reason = (
        f"the cavity lies around the muscle in {listed(frames)}, not within it: are the labels 1 (cavity) and 2 "
        "(muscle) swapped?"
    )
    return Flag("labels_swapped", "error", frames, reason) if frames else None


def _inside_out(body: Body) -> bool:
    """Whether more of the cavity than of the muscle meets the background, by faces of voxels."""
    outside = body.labels == BACKGROUND
    faces = dict.fromkeys((LV, LVM), 0)
    for axis in range(3):
        for step in (1, -1):
            beside = np.roll(outside, step, axis)  # the margin makes wrapping harmless
            for structure in faces:
                faces[structure] += int(np.count_nonzero(beside & (body.labels == structure)))
    return faces[LV] > faces[LVM] and bool((body.labels == LVM).any())


def touches_field_of_view(bodies: Mapping[int, Body]) -> Flag | None:
    """Cavity or muscle in the outermost voxels: the field of view may cut the ventricle.

    Args:
        bodies: ventricle by frame.
    """
    frames = tuple(t for t, body in bodies.items() if body.touches_border)
    reason = (
        f"the ventricle touches the border of the field of view in {listed(frames)}: what lies outside is not counted"
    )
    return Flag("touches_field_of_view", "warning", frames, reason) if frames else None


def several_pieces(bodies: Mapping[int, Body]) -> Flag | None:
    """Several connected pieces.

    Args:
        bodies: ventricle by frame.
    """
    frames = tuple(t for t, body in bodies.items() if body.num_pieces > 1)
    reason = (
        f"the ventricle falls into several pieces in {listed(frames)}: volumes count all of them, long axis and wall "
        "thickness the largest"
    )
    return Flag("several_pieces", "warning", frames, reason) if frames else None


def holes_in_wall(bodies: Mapping[int, Body]) -> Flag | None:
    """Cavity that meets the background away from its mouth.

    Args:
        bodies: ventricle by frame.
    """
    areas = {t: hole_area_mm2(body) for t, body in bodies.items()}
    frames = tuple(t for t, area in areas.items() if area > 0)
    if not frames:
        return None
    reason = (
        f"the cavity meets the background away from the valve plane in {listed(frames)}, over "
        f"{max(areas.values()):.0f} mm2 at most: the wall has a hole or a gap, and no thickness there"
    )
    return Flag("hole_in_wall", "warning", frames, reason)


def no_valve_plane(axes: Mapping[int, LongAxis | None]) -> Flag | None:
    """No opening of the cavity at end-diastole or end-systole.

    Args:
        axes: long axis by frame.
    """
    frames = tuple(t for t, axis in axes.items() if axis is None)
    reason = (
        f"the cavity has no opening of 1 cm2 in {listed(frames)}, so there is no valve plane and no long axis: the "
        "wall is measured all around, without rings and segments"
    )
    return Flag("no_valve_plane", "warning", frames, reason) if frames else None


def hole_area_mm2(body: Body) -> float:
    """Area over which the cavity meets the background away from its mouth.

    The mouth is the largest patch of such contact, if it is as large as a valve plane. Patches beside it, no deeper
    than two voxels below its plane, are the uneven rim of the base.

    Args:
        body: the ventricle.
    """
    faces = faces_to_background(body)
    areas, mouth = faces.patch_areas_mm2(), valve_faces(faces)
    hole = areas > LEAST_HOLE_MM2
    if mouth is not None:
        center, normal = mouth.plane()
        counts = np.bincount(faces.patches)[1:]
        depth = -np.bincount(faces.patches, (faces.midpoints_mm - center) @ normal)[1:] / counts
        hole &= depth > RIM_VOXELS * spacing_from_affine(body.affine).max()
        hole[int(areas.argmax())] = False
    return float(areas[hole].sum())
