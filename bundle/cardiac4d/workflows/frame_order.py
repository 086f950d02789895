# SPDX-License-Identifier: Apache-2.0
"""Whether the frames of a sequence follow each other: told by how much they differ, on voxels too coarse for noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COARSE_MM = 8.0
"""Noise averages out on voxels of this size, and the motion of a wall still shows."""
FEWEST_BLOCKS = 8
"""Along an axis: where the spacing was lost, or slices are few, they stay apart."""
FEWEST_FRAMES = 8
"""Fewer frames differ from their neighbours about as much as from any other."""


@dataclass(frozen=True)
class FrameOrder:
    """How frames differ: root mean square of the difference of two frames, as ratios that know no unit.

    Attributes:
        neighbours_to_all: mean square difference of neighbours over that of all pairs; about 1 in random order.
        natural_to_stored: the sum over neighbours if frames that were sorted as text (0, 1, 10, 11, 2) were put right,
            over the sum as they are; below 1 where they were.
        lone_frame: the 0-based frame that differs most from both its neighbours.
        lone_ratio: its smaller difference from them, over theirs from each other, or the median step if that is larger.
        closing_to_largest: difference of the last frame and the first, over the largest of all pairs; about 0 where a
            cycle closes, 1 where it is cut at the opposite phase.
        closing_to_smallest: the same, over the smallest of neighbours; about 0 where the first frame comes again.
    """

    neighbours_to_all: float
    natural_to_stored: float
    lone_frame: int
    lone_ratio: float
    closing_to_largest: float
    closing_to_smallest: float


def coarse_frame(frame: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Means over blocks of 8 mm at most.

    Args:
        frame: ``(H, W, D)``.
        spacing_mm: of its axes; an axis of thicker voxels, or of few, stays as it is.

    Returns:
        ``(H', W', D')`` float64.
    """
    means = frame
    for axis, spacing in enumerate(spacing_mm):
        step = max(1, min(round(COARSE_MM / spacing), frame.shape[axis] // FEWEST_BLOCKS))
        edges = np.arange(0, frame.shape[axis], step)
        counts = np.diff(edges, append=frame.shape[axis])
        sums = np.add.reduceat(means, edges, axis=axis, dtype=np.float64)
        means = sums / np.expand_dims(counts, [a for a in range(3) if a != axis])
    return means


def frame_order(frames: Sequence[np.ndarray]) -> FrameOrder | None:
    """Compare the frames of a sequence.

    Args:
        frames: of :func:`coarse_frame`, in their order.

    Returns:
        Ratios, or ``None`` for fewer than eight frames or where all neighbours are alike.
    """
    if len(frames) < FEWEST_FRAMES:
        return None
    differences = _differences(np.stack([frame.ravel() for frame in frames]))
    median = float(np.median(np.diagonal(differences, 1)))
    if not median > 0:
        return None
    differences /= median
    steps, pairs = np.diagonal(differences, 1), differences[np.triu_indices_from(differences, 1)]
    lone_frame, lone_ratio = _lone_frame(differences, steps)
    return FrameOrder(
        neighbours_to_all=float(np.mean(steps**2) / np.mean(pairs**2)),
        natural_to_stored=min(_way(differences, _put_right(len(frames), first)) for first in (0, 1)) / sum(steps),
        lone_frame=lone_frame,
        lone_ratio=lone_ratio,
        closing_to_largest=float(differences[-1, 0] / pairs.max()),
        closing_to_smallest=float(differences[-1, 0] / max(steps.min(), np.finfo(np.float32).eps)),
    )


def _differences(frames: np.ndarray) -> np.ndarray:
    """``(T, T)`` root mean square differences of the rows."""
    return np.stack([np.sqrt(np.mean((frames - frame) ** 2, axis=1)) for frame in frames])


def _lone_frame(differences: np.ndarray, steps: np.ndarray) -> tuple[int, float]:
    """Of differences in units of their median step."""
    around = np.maximum(np.diagonal(differences, 2), 1.0)
    ratios = np.minimum(steps[:-1], steps[1:]) / around
    return int(ratios.argmax()) + 1, float(ratios.max())


def _put_right(num_frames: int, first: int) -> np.ndarray:
    """Where each frame stands if the frames, numbered from ``first``, were sorted as text."""
    return np.argsort([int(text) for text in sorted(map(str, range(first, first + num_frames)))])


def _way(differences: np.ndarray, order: np.ndarray) -> float:
    return float(differences[order[:-1], order[1:]].sum())
