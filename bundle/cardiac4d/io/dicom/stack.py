# SPDX-License-Identifier: Apache-2.0
"""Slice positions: images that lie in one plane, and the grid that evenly spaced planes make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry import Grid
from .image import SliceImage

SAME_POSITION_MM = 0.05
"""Images closer than this along the normal are phases of one slice; CT slices are 0.25 mm apart and more."""
EVEN_TOLERANCE_MM = 0.1
EVEN_TOLERANCE = 0.02
"""A slice may miss its place on an even grid by the larger of 0.1 mm and this part of the step: tables are driven, and
positions written, to a tenth of a millimetre."""
TILT_TOLERANCE_DEGREES = 0.2
"""From this angle between the stack and the slices' normal a log message speaks of a tilted gantry."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
MAX_LISTED = 6


def slices_of(images: list[SliceImage]) -> list[list[SliceImage]]:
    """Images by slice position, in the order of the normal (row direction x column direction)."""
    normal = images[0].normal
    along = [(float(normal @ image.position), image) for image in images]
    along.sort(key=lambda pair: pair[0])
    slices: list[list[SliceImage]] = []
    last = -np.inf
    for distance, image in along:
        if distance - last > SAME_POSITION_MM:
            slices.append([])
        slices[-1].append(image)
        last = distance
    return slices


def place_name(images: Sequence[SliceImage]) -> str:
    """The position of a slice as its files give it."""
    return "({:g}, {:g}, {:g})".format(*images[0].position)


def stack_grid(place: Path, slices: list[list[SliceImage]]) -> tuple[Grid, float]:
    """The grid of the array ``(column, row, slice)``, and the tilt of the gantry in degrees.

    The affine follows PS3.3 C.7.6.2.1.1, with its third column from the positions, not from SliceThickness. A gantry
    that was tilted makes that column lean: the affine is sheared and right.

    Raises:
        InputError: if the planes are not evenly spaced, an image lies apart from the others of its plane, or there is
            one slice whose thickness is not known.
    """
    first = slices[0][0]
    origins = np.array([_origin(place, images) for images in slices])
    step = _step(place, slices, origins)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    spacing_rows, spacing_columns = first.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ np.stack([row * spacing_columns, column * spacing_rows, step], axis=1)
    affine[:3, 3] = _LPS_TO_RAS @ origins[0]
    cosine = float(first.normal @ step / np.linalg.norm(step))
    rows, columns = first.size
    return Grid((columns, rows, len(slices)), affine), float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _origin(place: Path, images: list[SliceImage]) -> np.ndarray:
    positions = np.array([image.position for image in images])
    if np.ptp(positions, axis=0).max() > 2 * SAME_POSITION_MM:
        far = images[int(np.argmax(np.abs(positions - positions[0]).max(axis=1)))]
        problem = f"its plane is that of {images[0].source.path}, but its position {place_name([far])} is another"
        fix = "give the images of one field of view: name its series, or move the others away"
        raise InputError(far.source.path, problem, fix, "ImagePositionPatient")
    return np.asarray(positions.mean(axis=0)) if np.ptp(positions, axis=0).any() else positions[0]


def _step(place: Path, slices: list[list[SliceImage]], origins: np.ndarray) -> np.ndarray:
    if len(slices) == 1:
        thickness = slices[0][0].thickness_mm
        if thickness <= 0:
            raise InputError(place, "one slice of unknown thickness", "give more slices", "SliceThickness")
        return slices[0][0].normal * thickness
    step = (origins[-1] - origins[0]) / (len(slices) - 1)
    length = float(np.linalg.norm(step))
    even = origins[0] + np.arange(len(slices))[:, None] * step
    if np.linalg.norm(origins - even, axis=1).max() > max(EVEN_TOLERANCE_MM, EVEN_TOLERANCE * length):
        raise _uneven(place, slices, origins)
    return np.asarray(step)


def _uneven(place: Path, slices: list[list[SliceImage]], origins: np.ndarray) -> InputError:
    gaps = np.linalg.norm(np.diff(origins, axis=0), axis=1)
    usual = float(np.median(gaps))
    tolerance = max(EVEN_TOLERANCE_MM, EVEN_TOLERANCE * usual)
    odd = [k for k, gap in enumerate(gaps) if abs(gap - usual) > tolerance] or [int(np.argmax(np.abs(gaps - usual)))]
    told = [f"{gaps[k]:.4g} mm from {place_name(slices[k])} to {place_name(slices[k + 1])}" for k in odd[:MAX_LISTED]]
    more = f" and {len(odd) - MAX_LISTED} more" if len(odd) > MAX_LISTED else ""
    problem = f"slices are not evenly spaced: {usual:.4g} mm apart, but {', '.join(told)}{more}"
    fix = "add the missing slices, name the series of one stack, or reconstruct the study with even spacing"
    return InputError(place, problem, fix, "ImagePositionPatient")
