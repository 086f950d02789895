# SPDX-License-Identifier: Apache-2.0
"""Whether labels lie where the image shows a heart: told by the contrast of cavity and wall, there and elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..conventions import LV, LVM

POINTS = 2_000
"""Voxels of each structure that are looked at in a frame, evenly spread over it."""
SHIFTS_MM = (-24.0, -12.0, 0.0, 12.0, 24.0)
"""Along each axis, in every combination."""
SMALLEST_SHARE = 0.7
"""Of the points that must stay inside of the image, for a shift to be compared."""
LARGEST_CONTRAST = 1e3
"""Of structures without any noise."""


@dataclass(frozen=True)
class LabelFit:
    """Contrast of cavity and wall: difference of their means over their standard deviation, averaged over frames.

    Attributes:
        contrast: with the labels where they are; above 0 where the cavity is brighter, as with contrast agent and in
            cine MR.
        lv_mean: intensity of the cavity.
        lvm_mean: intensity of the wall.
        rival: where the labels would have the largest contrast otherwise, in words.
        rival_contrast: the contrast there.
    """

    contrast: float
    lv_mean: float
    lvm_mean: float
    rival: str
    rival_contrast: float


@dataclass(frozen=True)
class FrameFit:
    """Contrasts of one frame: as the labels are, then at every rival place of :func:`_places`; nan where outside."""

    contrasts: np.ndarray
    lv_mean: float
    lvm_mean: float


def frame_fit(image: np.ndarray, labels: np.ndarray, spacing_mm: Sequence[float]) -> FrameFit | None:
    """Compare the intensities under the labels of one frame, where they are and elsewhere.

    Args:
        image: ``(H, W, D)``.
        labels: ``(H, W, D)``, 0 background, 1 LV, 2 LVM, 255 not annotated.
        spacing_mm: of the axes.

    Returns:
        Contrasts, or ``None`` where a structure is missing.
    """
    cavity, wall = (_points(labels == value) for value in (LV, LVM))
    if not len(cavity) or not len(wall):
        return None
    contrasts = []
    for _, flips, shift_mm in _places():
        moved = [_moved(points, labels.shape, spacing_mm, flips, shift_mm) for points in (cavity, wall)]
        contrasts.append(_contrast(*(_values(image, points) for points in moved)))
    lv, lvm = (float(image[tuple(points.T)].mean(dtype=np.float64)) for points in (cavity, wall))
    return FrameFit(np.array(contrasts), lv, lvm)


def label_fit(frames: Sequence[FrameFit]) -> LabelFit | None:
    """The fit of a study from that of its annotated frames; ``None`` without one."""
    if not frames:
        return None
    means = np.mean([frame.contrasts for frame in frames], axis=0)  # a place outside of one frame is left out
    rivals = np.where(np.isfinite(means), means, -np.inf)[1:]
    names = [name for name, _, _ in _places()][1:]
    return LabelFit(
        contrast=float(means[0]),
        lv_mean=float(np.mean([frame.lv_mean for frame in frames])),
        lvm_mean=float(np.mean([frame.lvm_mean for frame in frames])),
        rival=names[int(rivals.argmax())],
        rival_contrast=float(rivals.max()),
    )


def _places() -> Iterator[tuple[str, tuple[int, ...], tuple[float, ...]]]:
    """Name, flipped axes, and shift of the labels: first as they are."""
    yield "", (), (0.0, 0.0, 0.0)
    for axis, name in enumerate(("first", "second", "third")):
        yield f"flipped along the {name} axis", (axis,), (0.0, 0.0, 0.0)
    for shift in itertools.product(SHIFTS_MM, repeat=3):
        if any(shift):
            yield f"moved by {' x '.join(f'{s:g}' for s in shift)} mm along the axes", (), shift


def _points(mask: np.ndarray) -> np.ndarray:
    """``(N, 3)`` indices of voxels of a mask."""
    found = np.flatnonzero(mask)
    return np.stack(np.unravel_index(found[:: max(1, len(found) // POINTS)], mask.shape), axis=1)


def _moved(
    points: np.ndarray,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    flips: Sequence[int],
    shift_mm: Sequence[float],
) -> np.ndarray:
    """The points that stay inside, or none of them if too many do not."""
    moved = points + np.rint(np.array(shift_mm) / spacing_mm).astype(np.int64)
    for axis in flips:
        moved[:, axis] = shape[axis] - 1 - moved[:, axis]
    inside = ((moved >= 0) & (moved < shape)).all(axis=1)
    return moved[inside] if inside.mean() >= SMALLEST_SHARE else moved[:0]


def _values(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    return image[tuple(points.T)].astype(np.float64)


def _contrast(cavity: np.ndarray, wall: np.ndarray) -> float:
    if not len(cavity) or not len(wall):
        return float("nan")
    deviation = np.sqrt((cavity.var() + wall.var()) / 2)
    contrast = (cavity.mean() - wall.mean()) / max(float(deviation), np.finfo(np.float64).tiny)
    return float(np.clip(contrast, -LARGEST_CONTRAST, LARGEST_CONTRAST))
