# SPDX-License-Identifier: Apache-2.0
"""Read a DICOM SEG plane by plane: which segment, which pixels, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...errors import InputError
from ...geometry import Grid
from ..segments import Segment
from .files import is_dicom, read_header
from .toolkit import pydicom_for, quiet

_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""
_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0])


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM SEG."""
    header = read_header(path, path, ["SOPClassUID"]) if is_dicom(path) else None
    return header is not None and header.SOPClassUID in _CLASSES


def read_segments(path: Path) -> list[Segment]:
    """The segments that a DICOM SEG describes, its background left out.

    Raises:
        InputError: if it cannot be read, or holds fractions.
    """
    seg = _read(path, with_pixels=False)
    if seg.get("SegmentationType") not in ("BINARY", "LABELMAP"):
        fix = "export a binary segmentation"
        raise InputError(path, f"a segmentation of type {seg.get('SegmentationType')}", fix, "SegmentationType")
    segments = []
    for item in seg.get("SegmentSequence") or []:
        types = item.get("SegmentedPropertyTypeCodeSequence") or [{}]
        segments.append(
            Segment(int(item.SegmentNumber), str(item.get("SegmentLabel", "")), str(types[0].get("CodeValue", "")))
        )
    return [segment for segment in segments if segment.number > 0]


def read_segment_planes(path: Path, grid: Grid) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The numbers of segments ``(column, row, 1)`` in each plane, and its affine to RAS millimetres.

    Args:
        path: the file.
        grid: of the image; the step across a plane, which one plane does not tell, is the image's.

    Raises:
        InputError: if it cannot be read, or its planes are larger or more than the image can have.
    """
    seg = _read(path, with_pixels=True)
    sides, count = sorted(grid.shape)[-2:], len(seg.SegmentSequence) * max(grid.shape)
    if seg.Rows * seg.Columns > sides[0] * sides[1] or int(seg.NumberOfFrames) > count:
        problem = f"{seg.NumberOfFrames} planes of {seg.Rows} x {seg.Columns} voxels do not fit its image {grid.shape}"
        raise InputError(path, problem, "give the segmentation of this image")
    try:
        with quiet():
            pixels = seg.pixel_array.reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
        planes = [_plane(seg, index, grid) for index in range(len(pixels))]
    except Exception as error:  # what a decoder raises on damaged bytes has no end, and its text may quote them
        raise _unreadable(path, error) from error
    for plane, (number, affine) in zip(pixels, planes, strict=True):
        yield (plane.T.astype(np.int64) * number)[:, :, None], affine


def _read(path: Path, *, with_pixels: bool) -> Any:
    pydicom = pydicom_for(path)
    try:
        with quiet():
            return pydicom.dcmread(path, stop_before_pixels=not with_pixels)
    except Exception as error:  # see above
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    problem = f"it cannot be read as a DICOM segmentation ({type(error).__name__})"
    return InputError(path, problem, "copy or export the file again")


def _plane(seg: Any, index: int, grid: Grid) -> tuple[int, np.ndarray]:
    """What the pixels of a plane are multiplied by to be numbers of segments, and the affine of the plane."""
    groups = [seg.PerFrameFunctionalGroupsSequence[index], seg.SharedFunctionalGroupsSequence[0]]
    direction = _group(groups, "PlaneOrientationSequence").ImageOrientationPatient
    spacing_rows, spacing_columns = map(float, _group(groups, "PixelMeasuresSequence").PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = _LPS_TO_RAS @ np.array(direction[:3], dtype=np.float64) * spacing_columns
    affine[:3, 1] = _LPS_TO_RAS @ np.array(direction[3:], dtype=np.float64) * spacing_rows
    affine[:3, 3] = _LPS_TO_RAS @ np.array(_group(groups, "PlanePositionSequence").ImagePositionPatient, np.float64)
    inside = np.abs(np.linalg.inv(grid.affine[:3, :3]) @ affine[:3, :2]).max(axis=1)
    affine[:3, 2] = grid.affine[:3, int(np.argmin(inside))]
    if seg.SegmentationType == "LABELMAP":
        return 1, affine
    return int(_group(groups, "SegmentIdentificationSequence").ReferencedSegmentNumber), affine


def _group(groups: list[Any], keyword: str) -> Any:
    """The item of a functional group, of this frame or shared by all."""
    return next(group[keyword].value[0] for group in groups if keyword in group)
