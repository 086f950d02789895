# SPDX-License-Identifier: Apache-2.0
"""The time axis of a study to be measured, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .cycle import Curve
from .inputs import Array

_EVEN: float = 0.01
"""Steps that differ by less than this share are even: files round times to whole milliseconds."""


@dataclass(frozen=True, eq=False)
class StudyTime:
    """When the frames were taken.

    Attributes:
        frame_times_ms: ``(T,)`` distinct, not always ascending: frames may be chosen in any order; ``None`` where not
            known.
        cycle_length_ms: R-R interval; NaN where not known.
        full_cycle: the frames cover it.
    """

    frame_times_ms: Curve | None
    cycle_length_ms: float
    full_cycle: bool
    num_frames: int

    @classmethod
    def checked(
        cls,
        num_frames: int,
        frame_times_ms: Sequence[float] | Array | torch.Tensor | None,
        full_cycle: bool,
        cycle_length_ms: float | None,
    ) -> StudyTime:
        """Bring what is known of the time into one form.

        Raises:
            ValueError: if times are not one finite number per frame, repeat, or do not fit in the cycle.
        """
        times = _times(num_frames, frame_times_ms)
        length = math.nan if cycle_length_ms is None else float(cycle_length_ms)
        if not math.isnan(length) and not (0 < length < math.inf):
            raise ValueError(f"`cycle_length_ms` must be positive, got {cycle_length_ms}")
        if full_cycle and math.isnan(length):
            length = _derived_cycle_ms(times)
        if full_cycle and times is not None and np.ptp(times) >= length:  # false for NaN
            raise ValueError(
                f"`frame_times_ms` span {np.ptp(times):g} ms, no less than `cycle_length_ms` (={length:g}), "
                "although the frames are said to cover one cycle"
            )
        return cls(times, length if full_cycle else math.nan, full_cycle, num_frames)

    @property
    def positions(self) -> Curve:
        """``(T,)`` times of the frames; their numbers where the times are not known."""
        return np.arange(float(self.num_frames)) if self.frame_times_ms is None else self.frame_times_ms

    @property
    def period(self) -> float | None:
        """Length of the cycle in the unit of :attr:`positions`; ``None`` if the frames do not cover one."""
        if not self.full_cycle:
            return None
        if self.frame_times_ms is None:
            return float(self.num_frames)
        return None if math.isnan(self.cycle_length_ms) else self.cycle_length_ms


def heart_rate_per_min(cycle_length_ms: float) -> float:
    """Beats per minute; NaN where the cycle length is not known.

    Args:
        cycle_length_ms: R-R interval, positive or NaN.
    """
    return 60000.0 / cycle_length_ms


def _times(num_frames: int, given: Sequence[float] | Array | torch.Tensor | None) -> Curve | None:
    if given is None:
        return None
    if isinstance(given, torch.Tensor):
        given = given.as_subclass(torch.Tensor).detach().cpu().numpy()
    times = np.asarray(given, dtype=np.float64)
    if times.shape != (num_frames,):
        raise ValueError(f"`frame_times_ms` must hold one time per frame ({num_frames}), got shape {times.shape}")
    if np.isnan(times).all():
        return None
    if not np.isfinite(times).all() or len(np.unique(times)) < len(times):
        raise ValueError(f"`frame_times_ms` must be finite and differ, got {times.tolist()}")
    return times


def _derived_cycle_ms(times: Curve | None) -> float:
    """Length of a full cycle of evenly spaced frames: the last step leads back to the first frame."""
    if times is None or len(times) < 2:
        return math.nan
    steps = np.diff(np.sort(times))
    return float(len(times) * steps.mean()) if np.ptp(steps) <= _EVEN * steps.mean() else math.nan
