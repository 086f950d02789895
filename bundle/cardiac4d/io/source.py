# SPDX-License-Identifier: Apache-2.0
"""What every reader of sequences offers, whatever the files behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Grid, TimeAxis

SCANNER_SPACE: dict[str, Any] = {"sform_code": 1, "qform_code": 1, "space_unit": "mm"}
"""What :meth:`SequenceSource.header_meta` says of formats that know millimetres in the scanner's space only."""


class SequenceSource(ABC):
    """A 4D sequence on disk, read one frame at a time: at most one frame needs to be in memory.

    A reader of another format derives from this class, sets the three attributes when it is made (from headers, not
    voxels), and is listed in :mod:`~cardiac4d.io.open_sequence`.

    Attributes:
        path: the file, or the folder where a sequence is many files; errors name it.
        grid: spatial shape ``(H, W, D)`` and affine, voxel index to RAS millimetres.
        num_frames: T.
        place: what it was opened by, as text (:func:`~cardiac4d.io.places.place_text`); empty where a reader was made
            directly.
    """

    path: Path
    grid: Grid
    num_frames: int
    place: str = ""

    @abstractmethod
    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """Times of the frames; ``full_cycle`` says whether they cover one whole R-R interval."""

    @abstractmethod
    def header_meta(self) -> dict[str, Any]:
        """What the writer needs beside affine and time, and metadata worth keeping; values that a batch can hold."""

    @abstractmethod
    def frame(self, index: int) -> np.ndarray:
        """One frame ``(H, W, D)`` of real, finite numbers, in the file's own type or scaled as its header says.

        Raises:
            ValueError: if there is no such frame.
            InputError: if the frame cannot be read, or holds NaN or infinite voxels.
        """

    def frames(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        """The frames ``indices`` (default: all), one at a time; see :meth:`frame`."""
        for index in range(self.num_frames) if indices is None else indices:
            yield self.frame(index)


def check_index(source: SequenceSource, index: int) -> None:
    """Raise :class:`ValueError` unless ``source`` has the frame ``index``."""
    if not 0 <= index < source.num_frames:
        raise ValueError(f"`index` must lie in 0..{source.num_frames - 1}, got {index}")


def check_finite(source: SequenceSource, index: int, voxels: np.ndarray) -> np.ndarray:
    """Give ``voxels`` back; raise :class:`InputError` naming the frame where some are NaN or infinite."""
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        bad = voxels.size - np.count_nonzero(np.isfinite(voxels))
        fix = "replace them, for instance by the padding value of the scanner, and save the file again"
        raise InputError(source.path, f"frame {index} holds {bad} NaN or infinite voxels", fix)
    return voxels


def check_affine(path: Path, affine: np.ndarray, fields: str) -> np.ndarray:
    """Give a 4x4 ``affine`` back; raise :class:`InputError` where it is singular or not finite.

    Args:
        path: the file.
        affine: voxel index to millimetres.
        fields: the fields of the header to repair.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(path, "the affine is singular or not finite", f"repair {fields} in the header")
    return affine
