# SPDX-License-Identifier: Apache-2.0
"""A multi-phase DICOM study as one sequence: headers when it is opened, pixels frame by frame."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...errors import InputError
from ...geometry import TimeAxis
from ..source import SCANNER_SPACE, SequenceSource, check_finite, check_index
from .files import files_below, find_images
from .image import SliceImage, SourceFrame
from .keys import phase_key as key_named
from .keys import text_of
from .phases import PhaseTable, order_phases
from .pixels import read_slices, voxel_type
from .selection import SeriesChoice, choose, list_series
from .stack import TILT_TOLERANCE_DEGREES, slices_of, stack_grid
from .times import phase_percents, time_axis, time_notes
from .toolkit import check_decoder

logger = logging.getLogger(__name__)

Place: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"
_announced: set[str] = set()


class DicomSequence(SequenceSource):
    """One multi-phase cardiac CT or cine MR study, whatever way its images are spread over series and files.

    Slices are told by position, phases by the first tag of :data:`~cardiac4d.io.dicom.keys.KEYS` that differs among all
    images of every position; ``docs/dicom.md`` lists layouts, rules and refusals. The array is ``(column, row, slice)``
    with slices along row direction x column direction. Of every header only the tags that are needed are read: no
    patient's name can reach a log, an error or an output.

    Args:
        place: a folder, searched with its sub-folders, or a list of files.
        phase_key: the tag that tells the phases, instead of the rule: a keyword or ``(gggg,eeee)``.
        series: series to take, by number, description (``*`` for any text) or UID; one or a list.
        study: study to take, by description or UID.

    Attributes:
        path: the folder, or the folder that the files share.
        grid: spatial shape and affine; sheared where the gantry was tilted.
        num_frames: T.
        dtype: of the voxels: int16 or int32 where the rescaling is whole, else float32.
        notes: what a user should know about how the study was read, in words.

    Raises:
        InputError: if the images are not one sequence, or a file cannot be read; see ``docs/dicom.md``.
    """

    def __init__(
        self,
        place: Place,
        *,
        phase_key: str | None = None,
        series: SeriesChoice | None = None,
        study: str | None = None,
    ) -> None:
        self.path, files = _files(place)
        extra = None if phase_key is None else key_named(self.path, phase_key)
        found = find_images(self.path, files, extra)
        images = choose(self.path, found.images, study, series)
        for syntax, image in {image.syntax: image for image in images}.items():
            check_decoder(image.source.path, syntax)
        slices = slices_of(images)
        self._table = order_phases(self.path, slices, phase_key)
        self.grid, tilt = stack_grid(self.path, self._table.slices)
        self.num_frames = len(self._table.slices[0])
        self.dtype = voxel_type(images)
        self.notes = (*found.notes, *self._table.notes, *_tilt_notes(tilt), *time_notes(self._table))
        _announce(self.path, self.describe(), self._table)

    @property
    def phase_key(self) -> str:
        """The key that tells the phases, as ``TriggerTime (0018,1060)``."""
        return str(self._table.key)

    @property
    def phase_values(self) -> list[str]:
        """Value of the phase key at each frame, of the first slice where slices differ."""
        return [text_of(self._table.values(frame)[0]) for frame in range(self.num_frames)]

    @property
    def phase_percents(self) -> np.ndarray | None:
        """``(T,)`` percent of the R-R interval, where the phase key gives them."""
        return phase_percents(self._table)

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """See :func:`cardiac4d.io.dicom.times.time_axis`; ``full_cycle`` is the user's word."""
        return time_axis(self._table, full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Codes for the writer, and how the phases were told."""
        return {
            **SCANNER_SPACE,
            "modality": self._table.slices[0][0].series.modality,
            "phase_key": self.phase_key,
            "phase_values": ", ".join(self.phase_values),
        }

    def frame(self, index: int) -> np.ndarray:
        """One frame ``(column, row, slice)``, rescaled, of type ``dtype``.

        Raises:
            InputError: if a file is truncated or cannot be decoded, or its rescaling is not finite.
        """
        return check_finite(self, index, read_slices(self.images(index), self.dtype))

    def source_files(self, frame: int) -> list[SourceFrame]:
        """Where the slices of a frame come from, in the order of the array's third axis.

        Element k belongs to ``array[:, :, k]``, whose transpose is the image's rows and columns: what a DICOM SEG or SR
        of this frame references.
        """
        return [image.source for image in self.images(frame)]

    def images(self, frame: int) -> list[SliceImage]:
        """The images of a frame, in the order of the array's third axis."""
        check_index(self, frame)
        return [images[frame] for images in self._table.slices]

    def describe(self) -> str:
        """What was found and chosen, one fact per line; nothing in it tells who the patient is."""
        columns, rows, slices = self.grid.shape
        images = [image for group in self._table.slices for image in group]
        axis = self.time_axis()
        times = "frame times not known"
        if np.isfinite(axis.frame_times_ms).all():
            times = f"frames at {', '.join(f'{t:.4g}' for t in axis.frame_times_ms)} ms"
        cycle = axis.cycle_length_ms
        lines = [
            f"{self.num_frames} phases of {slices} slices of {columns} x {rows} voxels, {list_series(images)}",
            f"phases by {self.phase_key}: {', '.join(self.phase_values)}",
            f"{times}, R-R interval {f'{cycle:.4g} ms' if np.isfinite(cycle) else 'not known'}",
        ]
        return "\n".join([*lines, *self.notes])


def _files(place: Place) -> tuple[Path, list[Path]]:
    if isinstance(place, (str, PathLike)):
        folder = Path(place)
        if folder.is_dir():
            return folder, list(files_below(folder))
        place = [folder]
    files = [Path(file) for file in place]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None or not files:
        where = missing or Path()
        raise InputError(where, "no such file or folder", "give a folder of DICOM files, or a list of files")
    return Path(os.path.commonpath([file.resolve().parent for file in files])), files


def _tilt_notes(degrees: float) -> list[str]:
    if degrees < TILT_TOLERANCE_DEGREES:
        return []
    return [
        f"slices are shifted against each other, as by a gantry tilted by {degrees:.1f} degrees: the grid is sheared"
    ]


def _announce(path: Path, description: str, table: PhaseTable) -> None:
    """Log how a study was read, once: it is opened again for every epoch."""
    text = f"{path}: {description}"
    if text in _announced:
        return
    _announced.add(text)
    logger.log(logging.WARNING if table.notes else logging.INFO, "%s", text)
