# SPDX-License-Identifier: Apache-2.0
"""When the frames were taken, as far as the tags say it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...geometry import TimeAxis
from .image import SliceImage, Value
from .phases import PhaseTable

_DELAYS = ("TriggerTime", "NominalCardiacTriggerDelayTime")
_COVERAGE_TOLERANCE = 0.5
"""Part of a step by which the way from the last frame to the next first may differ from it in a covered cycle."""


def phase_percents(table: PhaseTable) -> np.ndarray | None:
    """``(T,)`` percent of the R-R interval, where the phase key or the text that it was read from gives them."""
    values = [table.values(phase)[0] for phase in range(len(table.slices[0]))]
    if table.key.unit != "percent" or len({len(value) for value in values}) > 1:
        return None
    columns = (np.array(column, dtype=np.float64) for column in zip(*map(_numbers, values), strict=True))
    return next((column for column in columns if len(set(column)) == len(column)), None)


def time_axis(table: PhaseTable, *, full_cycle: bool) -> TimeAxis:
    """The times of the frames.

    They are the mean over the slices of the time after the R peak (TriggerTime or NominalCardiacTriggerDelayTime), or
    else the phases in percent of a known R-R interval. Other tags give an order and no times.

    Args:
        table: images by slice and phase.
        full_cycle: the frames cover one whole R-R interval. DICOM has no tag for it: the user's word.
    """
    times, cycle = _trigger_times_ms(table), cycle_length_ms(table)
    percents = phase_percents(table)
    if times is None and percents is not None and cycle > 0:
        times = percents * cycle / 100
    if times is None:
        axis = TimeAxis.uniform(len(table.slices[0]), 0.0, unit="unknown", full_cycle=full_cycle)
        return replace(axis, cycle_ms=cycle if cycle > 0 else 0.0)
    fits = cycle > np.ptp(times)
    return TimeAxis.irregular(times, cycle_length_ms=cycle if fits else math.nan, full_cycle=full_cycle)


def cycle_length_ms(table: PhaseTable) -> float:
    """Mean R-R interval over the images that give one (a cine takes each slice in beats of its own), else nan."""
    known = [image.interval_ms for images in table.slices for image in images if image.interval_ms]
    return float(np.mean(known)) if known else math.nan


def time_notes(table: PhaseTable) -> list[str]:
    """What the tags say about the cycle, in words."""
    axis = time_axis(table, full_cycle=False)
    cycle, times = cycle_length_ms(table), axis.frame_times_ms
    if np.isfinite(times).all() and cycle <= np.ptp(times):
        return [
            f"the stated R-R interval of {cycle:.0f} ms is shorter than the frames' {np.ptp(times):.0f} ms: not used"
        ]
    percents = phase_percents(table)
    if percents is not None:
        times, cycle = percents, 100.0
    if len(times) < 2 or not (np.isfinite(times).all() and cycle > 0):
        return []
    step = float(np.ptp(times)) / (len(times) - 1)
    covered = abs(cycle - np.ptp(times) - step) <= _COVERAGE_TOLERANCE * step
    even = np.abs(np.diff(times) - step).max() <= _COVERAGE_TOLERANCE * step
    if covered and even:
        return ["the frames cover the R-R interval evenly: full_cycle may be true"]
    return ["the frames do not cover the R-R interval evenly: full_cycle must be false"]


def _trigger_times_ms(table: PhaseTable) -> np.ndarray | None:
    """Mean over the slices; None where a time is missing, or the times do not ascend with the phases."""
    for name in _DELAYS:
        rows = [[_time(image, name) for image in images] for images in table.slices]
        times = np.mean(np.array(rows, dtype=np.float64), axis=0)
        if np.isfinite(times).all() and (np.diff(times) > 0).all():
            return np.asarray(times)
    return None


def _time(image: SliceImage, name: str) -> float:
    numbers = _numbers(image.phase_values.get(name, ()))
    return numbers[0] if numbers else math.nan


def _numbers(value: Value) -> list[float]:
    return [part for part in value if isinstance(part, float)]
