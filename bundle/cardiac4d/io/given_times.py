# SPDX-License-Identifier: Apache-2.0
"""A sequence whose frame times are told by the data list, because its files do not tell them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import TimeAxis
from .source import SequenceSource


class TimedSequence(SequenceSource):
    """Another source with other frame times; what its own header says of time is not used.

    Args:
        source: the sequence.
        times_ms: time of each frame in milliseconds, ascending.
        cycle_length_ms: length of the R-R interval; nan where it is not known.
        field: of the data list, to name it in errors.

    Attributes:
        source: the sequence as it was opened.

    Raises:
        InputError: if there are not as many times as frames, or they do not ascend.
    """

    def __init__(
        self,
        source: SequenceSource,
        times_ms: Sequence[float],
        *,
        cycle_length_ms: float = math.nan,
        field: str = "frame_times_ms",
    ) -> None:
        self.path, self.grid, self.num_frames = source.path, source.grid, source.num_frames
        self.source, self._times, self._cycle = source, times_ms, cycle_length_ms
        fix = "give one number per frame, in milliseconds, in order of time"
        try:
            count = len(self.time_axis())
        except (ValueError, TypeError) as error:
            raise InputError(self.path, str(error), fix, field) from error
        if count != self.num_frames:
            raise InputError(self.path, f"{count} times for {self.num_frames} frames", fix, field)

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """The times given."""
        return TimeAxis.irregular(self._times, cycle_length_ms=self._cycle, full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Those of the source."""
        return self.source.header_meta()

    def frame(self, index: int) -> np.ndarray:
        """A frame of the source."""
        return self.source.frame(index)
