# SPDX-License-Identifier: Apache-2.0
"""Estimate the ranges and thresholds of temporal consistency from the exact labels of phantom hearts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..io.whole_file import whole_file
from ..metrics.attributes import ATTRIBUTES, CENTRE, Curve, sequence_attributes
from ..metrics.consistency import second_difference
from ..phantom import PRESETS
from ..phantom.plan import PHANTOM_VERSION, deal_groups, sequence_rng
from ..phantom.sequence import sample_study

FRAME_COUNTS = (10, 15, 20, 30)
"""Frames per cycle: the second difference of a motion grows with the square of the time between frames."""

MARGIN = 1.3
"""Threshold over the largest value found: a sample of hearts does not hold the extreme one."""

Attributes = dict[str, Curve]


def estimate_consistency(
    num_hearts: Mapping[str, int], seed: int, frame_counts: Sequence[int] = FRAME_COUNTS
) -> dict[str, Any]:
    """Estimate what ``metrics/consistency.json`` holds.

    A range is that of the attribute over all hearts and frames, that of the centre around its mean over the cycle, so
    that the position in the scanner does not matter. A threshold is the largest ``|m|`` of any heart in any frame, in
    units of the range, times ``MARGIN``: what the truth does not exceed.

    Args:
        num_hearts: how many of each preset, which gives the grid: ``{"laptop": 100}``.
        seed: of the hearts; another than that of the data sets they judge.
        frame_counts: frames per cycle; each is estimated on its own.

    Returns:
        ``provenance``, ``ranges`` and, by the number of frames as text, ``thresholds``; JSON types only.

    Raises:
        KeyError: if there is no such preset.
    """
    hearts = {frames: list(phantom_attributes(num_hearts, seed, frames)) for frames in frame_counts}
    every = [heart for group in hearts.values() for heart in group]
    ranges = {name: _range([_centred(name, heart[name]) for heart in every]) for name in ATTRIBUTES}
    return {
        "provenance": {
            "source": f"exact labels of the cardiac4d phantom, version {PHANTOM_VERSION}, whole cycles",
            "num_hearts": dict(num_hearts),
            "margin": MARGIN,
            "seed": seed,
            "software": f"cardiac4d {__version__}",
            "command": "python scripts/estimate_consistency.py",
        },
        "ranges": {name: [_significant(value) for value in limits] for name, limits in ranges.items()},
        "thresholds": {str(frames): _thresholds(group, ranges) for frames, group in hearts.items()},
    }


def write_consistency(path: str | Path, num_hearts: Mapping[str, int], seed: int) -> Path:
    """Write what :func:`estimate_consistency` finds as JSON; a file that is there is replaced. Returns the path."""
    path = Path(path)
    text = json.dumps(estimate_consistency(num_hearts, seed), indent=4)
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def phantom_attributes(num_hearts: Mapping[str, int], seed: int, num_frames: int) -> Iterator[Attributes]:
    """Attributes of phantom hearts, one after the other; equal arguments give equal hearts."""
    for name, count in num_hearts.items():
        preset = replace(PRESETS[name], num_frames=num_frames, num_labeled_frames=2 * count)
        for index, group in enumerate(deal_groups(count, np.random.default_rng(seed))):
            study = sample_study(preset, group, 2, sequence_rng(seed, index))
            yield sequence_attributes(study.truth(), study.grid.affine)


def _centred(name: str, values: Curve) -> Curve:
    return values - np.nanmean(values) if name in CENTRE else values


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    values = np.concatenate(curves)
    return float(np.nanmin(values)), float(np.nanmax(values))


def _thresholds(hearts: Sequence[Attributes], ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    found = {}
    for name in ATTRIBUTES:
        low, high = ranges[name]
        largest = max(float(np.nanmax(np.abs(second_difference(heart[name], cyclic=True)))) for heart in hearts)
        found[name] = _significant(MARGIN * largest / (high - low))
    return found


def _significant(value: float) -> float:
    """Three significant digits: more than the sample supports, and the same on every machine."""
    return float(f"{value:.3g}")
