# SPDX-License-Identifier: Apache-2.0
"""One slice at one phase: where it is on disk and in the patient, how it is scaled, and what may tell its phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

Value: TypeAlias = tuple[str | float, ...]
"""Value of a phase key, text and numbers by turns, so that values compare as people sort: phase 5 before phase 10."""


class SourceFrame(NamedTuple):
    """An image as DICOM references it.

    Attributes:
        path: the file.
        frame_number: counted from 1 as in DICOM; 1 for a file that holds one image.
    """

    path: Path
    frame_number: int


@dataclass(frozen=True, slots=True)
class Series:
    """The series that an image belongs to, by what a person can tell it by; UIDs are never printed.

    Attributes:
        uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID.
        number: SeriesNumber, if given.
        description: SeriesDescription.
        study_description: StudyDescription.
        modality: ``CT`` or ``MR``.
    """

    uid: str
    study_uid: str
    number: int | None
    description: str
    study_description: str
    modality: str

    def __str__(self) -> str:
        number = "without number" if self.number is None else str(self.number)
        return f"series {number} {self.description!r}"


@dataclass(frozen=True, slots=True)
class SliceImage:
    """One image: a file, or one frame of an enhanced file.

    Attributes:
        source: where its pixels are.
        instance_uid: SOPInstanceUID.
        series: where it belongs.
        position: centre of its first pixel, LPS millimetres.
        orientation: unit vectors along a row (growing column index) and along a column, LPS.
        size: rows, columns.
        pixel_spacing_mm: between rows, between columns.
        thickness_mm: distance to the next slice if there is one slice only: SpacingBetweenSlices or SliceThickness.
        slope: of the rescaling ``slope * stored + intercept``.
        intercept: of the rescaling.
        stored_range: smallest and largest number that a stored pixel can be.
        syntax: UID of the transfer syntax.
        kind: what besides the grid must be alike in one acquisition: kernel, magnitude or phase.
        phase_values: value of each phase key that the image has.
        interval_ms: length of the R-R interval, if given.
    """

    source: SourceFrame
    instance_uid: str
    series: Series
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    size: tuple[int, int]
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float
    slope: float
    intercept: float
    stored_range: tuple[int, int]
    syntax: str
    kind: tuple[str, ...]
    phase_values: Mapping[str, Value]
    interval_ms: float | None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice: row direction x column direction, LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])
