# SPDX-License-Identifier: Apache-2.0
"""The header of an NRRD file: where its voxels lie, which of its axes is time, when the frames were taken.

Sources: the definition of the format (teem.sourceforge.net/nrrd/format.html) and 3D Slicer's pages on sequences, whose
list axis was the first up to version 5.8 and is the last since.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..errors import InputError
from ..geometry import TimeAxis
from .source import check_affine

LARGEST_HEADER_BYTES = 1 << 20
"""Slicer notes attributes of each item; a text of a megabyte is none."""

_TO_RAS: Mapping[str, tuple[int, int, int]] = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
_SHORT = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}
_SECONDS = {"s": "sec", "sec": "sec", "second": "sec", "seconds": "sec"}
_TIME_UNITS = {
    **_SECONDS,
    **{f"m{unit}" if len(unit) < 4 else f"milli{unit}": "msec" for unit in _SECONDS},
    **{f"u{unit}" if len(unit) < 4 else f"micro{unit}": "usec" for unit in _SECONDS},
}
_TIME_KINDS = ("list", "time", "vector")
"""``vector``: written by early versions of Slicer for sequences."""


def read_header(path: Path) -> tuple[Mapping[str, Any], int]:
    """The fields of the header, and the number of bytes that it takes.

    Raises:
        InputError: if the file is no NRRD file, or pynrrd is not installed.
    """
    nrrd = pynrrd(path)
    with path.open("rb") as file:
        start = file.read(LARGEST_HEADER_BYTES)
    end = re.search(rb"\r?\n\r?\n", start)
    if not start.startswith(b"NRRD") or (end is None and len(start) == LARGEST_HEADER_BYTES):
        raise InputError(path, "not an NRRD file: it does not begin with an NRRD header", "export the file again")
    text = start if end is None else start[: end.end()]  # a detached header may end without an empty line
    try:
        return nrrd.read_header(io.BytesIO(text)), len(text)
    except (nrrd.NRRDError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise InputError(path, f"the header cannot be read as NRRD ({error})", "export the file again") from error


def pynrrd(path: Path) -> Any:
    """The package, imported where it is needed; :class:`InputError` says how to install it."""
    try:
        import nrrd
    except ImportError as error:
        fix = "run `pip install 'cardiac4d[itk]'`, or convert to NIfTI"
        raise InputError(path, "NRRD files need the package pynrrd, which is not installed", fix) from error
    return nrrd


class NrrdAxes:
    """Which axes of an NRRD file are space and which is time, and where the voxels lie.

    Args:
        path: the file.
        header: its fields.

    Attributes:
        sizes: extents of all axes, in the order of the file: the first runs fastest.
        time: index of the axis of time; ``None`` where the file is one volume.
        affine: 4x4, voxel index to RAS millimetres.

    Raises:
        InputError: if the file has not three spatial axes and at most one more, or its space is not known.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path, self._header = path, header
        self.sizes = _sizes(path, header)
        self._vectors = self._directions()
        self.time = self._time_axis()
        self.affine = self._affine()
        self._check_units()

    @property
    def spatial(self) -> list[int]:
        """The spatial axes, in the order of the file."""
        return [axis for axis in range(len(self.sizes)) if axis != self.time]

    @property
    def num_frames(self) -> int:
        """T; 1 for one volume."""
        return 1 if self.time is None else self.sizes[self.time]

    def time_axis(self, *, full_cycle: bool) -> TimeAxis:
        """The times of the frames: from a 4D space or a list of index values, if their unit says that they are times.

        Raises:
            InputError: if the times do not ascend, or are not as many as the frames.
        """
        unit, values = self._time_unit(), self._index_values()
        if values is None or unit == "unknown":
            step, offset = self._step()
            return TimeAxis.uniform(self.num_frames, step, unit=unit, offset=offset, full_cycle=full_cycle)
        per_unit = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}[unit]
        try:
            return TimeAxis.irregular(values * per_unit, full_cycle=full_cycle)
        except ValueError as error:
            fix = "write the frames in order of time, or name the unit of the index otherwise"
            raise InputError(self._path, str(error), fix, f"axis {self.time} index values") from error

    def _directions(self) -> np.ndarray:
        """``(axes, dimension of space)``; nan in the row of an axis that is not in space."""
        given = self._header.get("space directions")
        if given is None:
            return self._from_spacings()
        width = max((len(row) for row in given if row is not None), default=0)
        rows = [np.full(width, np.nan) if row is None else np.asarray(row, dtype=np.float64) for row in given]
        if len(rows) != len(self.sizes) or width not in (3, 4) or len(self._origin(width)) != width:
            problem = f"{len(rows)} space directions of {width} numbers for {len(self.sizes)} axes"
            fix = "write three numbers for each spatial axis, `none` for time, and a space origin"
            raise InputError(self._path, problem, fix, "space directions")
        return np.stack(rows)

    def _from_spacings(self) -> np.ndarray:
        """Directions of a file that tells spacings only: along the axes of space, as ITK takes them."""
        spacings = np.asarray(self._header.get("spacings", ()), dtype=np.float64)
        if len(spacings) != len(self.sizes):
            fix = "save the file with its orientation, as ITK and 3D Slicer do"
            raise InputError(self._path, "neither space directions nor spacings", fix, "space directions")
        listed = self._of_time_kind()
        time = listed[0] if listed else next((a for a in range(len(spacings)) if not spacings[a] > 0), 3)
        rows = np.full((len(spacings), 3), np.nan)
        spatial = [axis for axis in range(len(spacings)) if axis != time][:3]
        rows[spatial] = np.diag(spacings[spatial])
        return rows

    def _time_axis(self) -> int | None:
        outside = [axis for axis, row in enumerate(self._vectors) if not np.isfinite(row).all()]
        if self._vectors.shape[1] == 4 and not outside:
            outside = [axis for axis, row in enumerate(self._vectors) if row[3] != 0]
            if any(self._vectors[axis, :3].any() for axis in outside):
                fix = "give a file whose time axis is apart from space"
                raise InputError(self._path, "an axis runs through space and time", fix, "space directions")
        if len(self.sizes) - len(outside) != 3 or len(outside) > 1:
            problem = f"{len(self.sizes)} axes, of which {len(self.sizes) - len(outside)} are in space"
            raise InputError(self._path, problem, "give three spatial axes, and one for time", "space directions")
        self._refuse_layers(outside)
        return outside[0] if outside else None

    def _refuse_layers(self, outside: list[int]) -> None:
        """Colours, tensors and the layers of overlapping segments are not frames."""
        kinds = self._header.get("kinds", [])
        kind = kinds[outside[0]] if outside and outside[0] < len(kinds) else "list"
        if kind not in (*_TIME_KINDS, "domain", "space", "none", "???"):
            raise InputError(self._path, f"its fourth axis is of kind {kind}, not time", "give a sequence", "kinds")
        layered = (
            "Segment0_ID" in self._header and f"axis {outside[0]} index type" not in self._header if outside else 0
        )
        if layered:
            fix = "export one label map per frame; in 3D Slicer: Export to labelmap"
            raise InputError(self._path, "its fourth axis holds layers of overlapping segments, not frames", fix)

    def _of_time_kind(self) -> list[int]:
        return [axis for axis, kind in enumerate(self._header.get("kinds", [])) if kind in _TIME_KINDS]

    def _affine(self) -> np.ndarray:
        affine = np.eye(4)
        affine[:3, :3] = self._vectors[self.spatial, :3].T
        affine[:3, 3] = self._origin(self._vectors.shape[1])[:3]
        affine[:3] *= np.array(self._signs())[:, None]
        return check_affine(self._path, affine, "space directions and space origin")

    def _origin(self, width: int) -> np.ndarray:
        origin = self._header.get("space origin")
        return np.zeros(width) if origin is None else np.asarray(origin, dtype=np.float64)

    def _signs(self) -> tuple[int, int, int]:
        """What turns the file's space into RAS; a space without a name is LPS, as ITK writes it in 4D."""
        space = self._header.get("space")
        if space is None:
            return _TO_RAS["left-posterior-superior"]
        name = re.sub(r"-time$|(?<=^...)t$", "", str(space).lower())
        name = _SHORT.get(name, name)
        if name not in _TO_RAS:
            known = ", ".join(_TO_RAS)
            raise InputError(self._path, f"space {space!r} has no known anatomy", f"save it in one of {known}", "space")
        return _TO_RAS[name]

    def _check_units(self) -> None:
        space = [str(unit).lower() for unit in self._header.get("space units", [])][:3]
        units = self._header.get("units", [])
        axes = [str(units[axis]).lower() for axis in self.spatial if axis < len(units)]
        wrong = [unit for unit in (*space, *axes) if unit not in ("", "mm", "millimeter", "millimeters", "???")]
        if wrong:
            raise InputError(self._path, f"space is in {wrong[0]}, but millimetres are needed", "scale it", "units")

    def _time_unit(self) -> str:
        units, space = self._header.get("units", []), self._header.get("space units", [])
        named = units[self.time] if self.time is not None and self.time < len(units) else ""
        named = named or (space[3] if len(space) == 4 else "")
        return _TIME_UNITS.get(str(named).lower().replace("µ", "u"), "unknown")

    def _index_values(self) -> np.ndarray | None:
        """The index of each frame that Slicer notes; ``None`` where there is none or it is text."""
        text = self._header.get(f"axis {self.time} index values")
        if text is None or self._header.get(f"axis {self.time} index type", "numeric") != "numeric":
            return None
        field = f"axis {self.time} index values"
        try:
            values = np.array([float(unquote(word)) for word in str(text).split()])
        except ValueError as error:
            raise InputError(self._path, f"not numbers ({error})", "write numbers", field) from error
        if len(values) != self.num_frames:
            raise InputError(self._path, f"{len(values)} values for {self.num_frames} frames", "write one each", field)
        return values

    def _step(self) -> tuple[float, float]:
        """Step and offset in time where time is an axis of the file's space or has a spacing, else 0."""
        if self.time is not None and self._vectors.shape[1] == 4 and np.isfinite(self._vectors[self.time]).all():
            return float(self._vectors[self.time, 3]), float(self._origin(4)[3])
        spacings = self._header.get("spacings", ())
        known = self.time is not None and len(spacings) == len(self.sizes) and spacings[self.time] > 0
        return (float(spacings[self.time]) if known else 0.0), 0.0


def _sizes(path: Path, header: Mapping[str, Any]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in header.get("sizes", ()))
    if len(sizes) != header.get("dimension") or len(sizes) not in (3, 4):
        problem = f"sizes {sizes} and dimension {header.get('dimension')}, but three or four axes are needed"
        raise InputError(path, problem, "save the file with space and time axes only", "sizes")
    return sizes
