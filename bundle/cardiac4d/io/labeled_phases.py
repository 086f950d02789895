# SPDX-License-Identifier: Apache-2.0
"""Labels kept as one 3D file per annotated frame, seen as a sequence in which the other frames are not annotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..conventions import NOT_ANNOTATED
from ..errors import InputError
from ..geometry import TimeAxis
from .source import SequenceSource, check_index

NUMBERS_KEY = "frame_numbers"
LENGTH_KEY = "num_frames"
SEGMENTS_KEY = "segments"
"""Of files that name their segments: the image's grid, on which they are put, and what the segments are."""


class LabeledPhases(SequenceSource):
    """A sequence of which some frames are on disk; the others are filled with 255.

    Args:
        annotated: the frames on disk, one file each.
        numbers: 0-based frame of each of them.
        num_frames: T.

    Raises:
        InputError: if there is not one different number from 0 to T - 1 for each file.
    """

    def __init__(self, annotated: SequenceSource, numbers: Sequence[int], num_frames: int) -> None:
        self.path, self.grid, self.num_frames = annotated.path, annotated.grid, num_frames
        self._annotated = annotated
        self._position = {number: position for position, number in enumerate(numbers)}
        outside = sorted(number for number in numbers if not 0 <= number < num_frames)
        if outside:
            problem = f"a label for frame {outside[0]}, but the image has frames 0 to {num_frames - 1}"
            raise InputError(self.path, problem, "frames count from 0: correct the numbers", "label")
        if not len(numbers) == len(self._position) == annotated.num_frames:
            problem = f"{annotated.num_frames} frames of labels for the frame numbers {list(numbers)}"
            raise InputError(self.path, problem, "give one 3D file for each frame", "label")

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """Frames whose times are not known; those of the image count."""
        return TimeAxis.uniform(self.num_frames, 0.0, unit="unknown", full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Those of the files; see :meth:`SequenceSource.header_meta`."""
        return self._annotated.header_meta()

    def frame(self, index: int) -> np.ndarray:
        """A frame on disk, or 255 everywhere; see :meth:`SequenceSource.frame`."""
        check_index(self, index)
        if index in self._position:
            return self._annotated.frame(self._position[index])
        return np.full(self.grid.shape, NOT_ANNOTATED, dtype=np.uint8)
