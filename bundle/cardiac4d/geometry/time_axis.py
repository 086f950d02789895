# SPDX-License-Identifier: Apache-2.0
"""The time axis of a sequence: when its frames were taken, and which of them are at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from ..conventions import META_CYCLE_LENGTH_MS, META_FRAME_DURATION_MS, META_FRAME_TIMES_MS, META_FULL_CYCLE

MILLISECONDS_PER_UNIT: Final = {"sec": 1000.0, "msec": 1.0, "usec": 0.001, "unknown": math.nan}
"""NIfTI's time units. ``unknown`` means "the frame times are not known", whatever number stands in the header."""

EVEN_TOLERANCE: Final = 0.1
"""Listed times count as equally spaced if none is farther than this part of a step from an even grid: files give times
in whole milliseconds and phases in whole percent."""


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of a sequence, or of frames selected from one: what the file said, and the indices of the frames.

    Args:
        indices: index of each frame in the source file, 0-based. A cyclic window counts on past the last frame (frame
            ``num_source_frames`` is frame 0 of the next beat); a replicated frame repeats its index; they may fall.
        step: time from one source frame to the next, in ``unit`` (NIfTI ``pixdim[4]``); 0 if it is not one number.
        offset: time of source frame 0, in ``unit`` (NIfTI ``toffset``).
        unit: ``sec``, ``msec``, ``usec`` or ``unknown``.
        num_source_frames: number of frames of the source file.
        source_full_cycle: the source covers one whole R-R interval.
        times_ms: time of each frame where the source lists them one by one; ``unit`` is then ``msec``.
        cycle_ms: length of the R-R interval where the source states it, else 0.
    """

    indices: tuple[int, ...]
    step: float
    offset: float
    unit: str
    num_source_frames: int
    source_full_cycle: bool = False
    times_ms: tuple[float, ...] | None = None
    cycle_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.unit not in MILLISECONDS_PER_UNIT:
            raise ValueError(f"`unit` must be one of {sorted(MILLISECONDS_PER_UNIT)}, got {self.unit!r}")

    @classmethod
    def uniform(
        cls, num_frames: int, step: float, *, unit: str = "sec", offset: float = 0.0, full_cycle: bool = False
    ) -> TimeAxis:
        """Equally spaced frames.

        Example:
            >>> TimeAxis.uniform(3, 0.05).frame_times_ms.tolist()
            [0.0, 50.0, 100.0]
        """
        return cls(tuple(range(num_frames)), float(step), float(offset), unit, num_frames, full_cycle)

    @classmethod
    def irregular(
        cls, times_ms: Sequence[float] | np.ndarray, *, cycle_length_ms: float = math.nan, full_cycle: bool = False
    ) -> TimeAxis:
        """Frames whose times are known one by one, equally spaced or not.

        Args:
            times_ms: ``(T,)`` finite, ascending.
            cycle_length_ms: length of the R-R interval, longer than the span of ``times_ms``; nan where it is not
                known. It is then deduced for equally spaced frames that cover a full cycle.
            full_cycle: the frames cover one whole R-R interval.

        Raises:
            ValueError: if the times do not ascend, or the cycle is not longer than their span.

        Example:
            >>> axis = TimeAxis.irregular([0, 300, 350, 700], cycle_length_ms=800, full_cycle=True)
            >>> axis.select([3, 4]).frame_times_ms.tolist(), axis.frame_duration_ms
            ([700.0, 800.0], nan)
        """
        times = np.array(times_ms, dtype=np.float64)
        if times.ndim != 1 or not times.size or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError(f"`times_ms` must be finite numbers that ascend, got {times.tolist()}")
        step = _even_step(times)
        cycle = cycle_length_ms if math.isfinite(cycle_length_ms) else len(times) * step * full_cycle
        if math.isfinite(cycle_length_ms) and not cycle > np.ptp(times):
            raise ValueError(f"`cycle_length_ms` must exceed the span of the frames, {np.ptp(times):g}, got {cycle:g}")
        num_frames, listed = len(times), tuple(times.tolist())
        return cls(tuple(range(num_frames)), step, listed[0], "msec", num_frames, full_cycle, listed, float(cycle))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def _milliseconds(self) -> float:
        known = math.isfinite(self.step) and self.step > 0 and math.isfinite(self.offset)
        return MILLISECONDS_PER_UNIT[self.unit] if known else math.nan

    @property
    def _stride(self) -> int:
        """Source frames from one frame to the next, negative where time runs back; 1 for one frame; 0 if unequal."""
        strides = set(np.diff(self.indices).tolist()) or {1}
        return strides.pop() if len(strides) == 1 else 0

    @property
    def _direction(self) -> int:
        return -1 if self._stride < 0 else 1

    @property
    def frame_times_ms(self) -> np.ndarray:
        """``(T,)`` float64, milliseconds; nan where the time unit is not known."""
        if self.times_ms is not None:
            return np.array(self.times_ms)
        return (self.offset + self.step * np.array(self.indices, dtype=np.float64)) * self._milliseconds

    @property
    def frame_duration_ms(self) -> float:
        """Time between neighbouring frames; nan where it is not known or not one number."""
        return self.step * abs(self._stride) * self._milliseconds if self._stride else math.nan

    @property
    def cycle_length_ms(self) -> float:
        """Length of the R-R interval, in ms; nan unless the source states it, or is a full, evenly timed cycle."""
        if self.cycle_ms > 0:
            return self.cycle_ms
        return self.num_source_frames * self.step * self._milliseconds if self.source_full_cycle else math.nan

    @property
    def full_cycle(self) -> bool:
        """These frames cover one whole R-R interval evenly, forwards or back, so that the last precedes the first."""
        return self.source_full_cycle and len(self) * abs(self._stride) == self.num_source_frames

    def select(self, positions: Sequence[int]) -> TimeAxis:
        """The axis of ``frames[positions]``; positions past the end of a full cycle count on into the next beat."""
        last = len(self) - 1
        if not self.full_cycle and any(not 0 <= p <= last for p in positions):
            raise ValueError(f"`positions` must lie in 0..{last}, got {list(positions)}")
        size, beat = len(self), self.num_source_frames * self._direction
        wrapped = tuple(self.indices[p % size] + beat * (p // size) for p in positions)
        return replace(self, indices=wrapped, times_ms=self._times_at(positions))

    def _times_at(self, positions: Sequence[int]) -> tuple[float, ...] | None:
        """The listed times, where there are; of the next beat they are known only with the length of the cycle."""
        if self.times_ms is None:
            return None
        cycle, size = self.cycle_length_ms * self._direction, len(self)
        return tuple(self.times_ms[p % size] + (p // size * cycle if p >= size else 0.0) for p in positions)

    def window(self, start: int, size: int) -> np.ndarray:
        """Positions of ``size`` frames from ``start``: past its end a full cycle goes on, others hold the last."""
        positions = np.arange(start, start + size)
        return positions if self.full_cycle else positions.clip(max=len(self) - 1)

    def to_nifti(self) -> tuple[float, float]:
        """``pixdim[4]`` and ``toffset`` in ``unit``; a step of 0: not equally spaced, or time runs back.

        Listed times that are even but for rounding have their mean step.
        """
        first = self.offset + self.step * self.indices[0] if self.times_ms is None else self.times_ms[0]
        return self.step * max(0, self._stride), first if math.isfinite(first) or self.times_ms is None else 0.0

    def to_meta(self) -> dict[str, Any]:
        """Entries for ``MetaTensor.meta``; they collate, and :meth:`from_meta` reads them back."""
        return {
            META_FRAME_TIMES_MS: torch.from_numpy(self.frame_times_ms),
            META_FRAME_DURATION_MS: self.frame_duration_ms,
            META_CYCLE_LENGTH_MS: self.cycle_length_ms,
            META_FULL_CYCLE: self.full_cycle,
            "frame_indices": torch.tensor(self.indices, dtype=torch.int64),
            "time_step": self.step,
            "time_offset": self.offset,
            "time_unit": self.unit,
            "num_source_frames": self.num_source_frames,
            "source_full_cycle": self.source_full_cycle,
            "times_listed": self.times_ms is not None,
            "stated_cycle_ms": self.cycle_ms,
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> TimeAxis:
        """The axis written by :meth:`to_meta`.

        Raises:
            KeyError: if the data was not loaded by this package's loaders.
        """
        if "frame_indices" not in meta:
            raise KeyError("`meta` has no time axis: load the sequence with cardiac4d.transforms.LoadSequenced")
        return cls(
            tuple(int(i) for i in meta["frame_indices"]),
            float(meta["time_step"]),
            float(meta["time_offset"]),
            str(meta["time_unit"]),
            int(meta["num_source_frames"]),
            bool(meta["source_full_cycle"]),
            tuple(float(t) for t in meta[META_FRAME_TIMES_MS]) if meta["times_listed"] else None,
            float(meta["stated_cycle_ms"]),
        )


def _even_step(times: np.ndarray) -> float:
    """Mean step of times that are equally spaced but for rounding; 0 where they are not, or there is one only."""
    step = float(np.ptp(times)) / max(len(times) - 1, 1)
    even = times[0] + step * np.arange(len(times))
    return step if np.abs(times - even).max() <= EVEN_TOLERANCE * step else 0.0
