# SPDX-License-Identifier: Apache-2.0
"""What every reader of sequences offers, whatever the files behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Grid, TimeAxis


class SequenceSource(ABC):
    """A 4D sequence on disk, read one frame at a time: at most one frame needs to be in memory.

    A reader of another format derives from this class, sets the three attributes when it is made (from headers, not
    voxels), and is listed in :mod:`~cardiac4d.io.open_sequence`.

    Attributes:
        path: the file, or the folder where a sequence is many files; errors name it.
        grid: spatial shape ``(H, W, D)`` and affine, voxel index to RAS millimetres.
        num_frames: T.
    """

    path: Path
    grid: Grid
    num_frames: int

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
