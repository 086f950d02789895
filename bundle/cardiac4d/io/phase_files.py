# SPDX-License-Identifier: Apache-2.0
"""Read a sequence that is kept as one 3D file per phase."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Grid, TimeAxis
from .image_names import case_stem, natural_order
from .same_grid import GRID_TOLERANCE
from .source import SequenceSource, check_index

logger = logging.getLogger(__name__)

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|pct|percent)", re.IGNORECASE)


class PhaseFiles(SequenceSource):
    """3D files, one per phase, in the order given; their frames are read one file at a time.

    Args:
        files: the files, of any format that ``open_volume`` takes, compressed or not, mixed or not.
        open_volume: opens one of them as a sequence of a single frame.

    Attributes:
        path: the folder that holds all files.

    Raises:
        InputError: naming the file: one that holds several frames, or whose grid is not that of the first.
    """

    def __init__(self, files: Sequence[Path], open_volume: Callable[[Path], SequenceSource]) -> None:
        self.files, self._open = tuple(files), open_volume
        self.path = Path(commonpath([file.parent for file in self.files]))
        self.num_frames = len(self.files)
        first = self._volume(0)
        self.grid: Grid = first.grid
        self._meta = first.header_meta()
        for index in range(1, self.num_frames):
            self._check_grid(self._volume(index), first)

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """Frames whose times are not known: 3D files do not tell them."""
        return TimeAxis.uniform(self.num_frames, 0.0, unit="unknown", full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Those of the first file; see :meth:`SequenceSource.header_meta`."""
        return dict(self._meta)

    def frame(self, index: int) -> np.ndarray:
        """The volume ``(H, W, D)`` of one file; see :meth:`SequenceSource.frame`."""
        check_index(self, index)
        return self._volume(index).frame(0)

    def _volume(self, index: int) -> SequenceSource:
        volume = self._open(self.files[index])
        if volume.num_frames != 1:
            problem = f"it holds {volume.num_frames} frames, but is one of {self.num_frames} files of one phase each"
            raise InputError(volume.path, problem, "give one 4D file, or 3D files only")
        return volume

    def _check_grid(self, volume: SequenceSource, first: SequenceSource) -> None:
        if volume.grid.shape != first.grid.shape:
            problem = f"its shape {volume.grid.shape} differs from {first.grid.shape} of {first.path.name}"
            raise InputError(volume.path, problem, "give the phases of one study, all on one grid")
        distance = volume.grid.distance_mm(first.grid)
        if distance > GRID_TOLERANCE * first.grid.spacing_mm.min():
            problem = f"its affine places voxels up to {distance:.3g} mm from those of {first.path.name}"
            raise InputError(volume.path, problem, "give the phases of one study, or resample them to one grid")


def in_natural_order(files: Sequence[Path], place: str) -> list[Path]:
    """The files sorted by the numbers in their names: ``tf2`` before ``tf10``.

    Args:
        files: at least one.
        place: where they come from, to name it.

    Raises:
        InputError: if two names differ in their suffix only, such as ``tf1.nii`` and ``tf1.nii.gz``.
    """
    stems: dict[Path, Path] = {}
    for file in files:
        twin = stems.setdefault(file.with_name(case_stem(file)), file)
        if twin != file:
            raise InputError(place, f"{twin.name} and {file.name} would be one phase", "remove one of them")
    return sorted(files, key=natural_order)


def warn_of_other_order(files: Sequence[Path]) -> None:
    """Say so where a list of files is not in the order of the numbers in their names: it is kept as it is."""
    wanted = sorted(files, key=natural_order)
    if list(files) != wanted:
        logger.warning(
            "%s: the phases are taken in the order of the list, in which %s comes before %s. "
            "Fix: list them in order of time, if that was not meant.",
            *_first_swap(files),
        )


def _first_swap(files: Sequence[Path]) -> tuple[Path, str, str]:
    """Folder and names of the first two neighbours that are not in natural order."""
    pairs = pairwise(files)
    one, two = next((a, b) for a, b in pairs if natural_order(a) > natural_order(b))
    return one.parent, one.name, two.name


def percent_times_ms(files: Sequence[Path], rr_interval_ms: float) -> list[float]:
    """Times from the percentage of the R-R interval in each name, such as ``heart_30%.nii.gz`` or ``05pct.nrrd``.

    Args:
        files: one per phase.
        rr_interval_ms: length of the R-R interval.

    Raises:
        InputError: naming a file whose name holds no percentage, or more than one.

    Example:
        >>> percent_times_ms([Path("a_0%.nii"), Path("a_5pct.nii")], 800.0)
        [0.0, 40.0]
    """
    times = []
    for file in files:
        found = _PERCENT.findall(file.name)
        if len(found) != 1:
            problem = f"its name holds {len(found) or 'no'} percentages of the R-R interval, such as 30% or 30pct"
            raise InputError(file, problem, 'rename the file, or give "frame_times_ms"', "rr_interval_ms")
        times.append(float(found[0]) / 100.0 * rr_interval_ms)
    return times
