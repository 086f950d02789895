# SPDX-License-Identifier: Apache-2.0
"""Affines, voxel grids and the time axis of a sequence: pure functions and small frozen values.

Vocabulary
    *affine*: 4x4, voxel index to RAS millimetres, float64. *Grid*: the spatial shape ``(H, W, D)`` of an array and its
    affine. *Grid map*: two grids that differ by a permutation, flips and scalings of the axes, so that resampling
    between them is separable. An oblique study keeps its oblique axes; "orientation" means the closest anatomical
    naming of the array axes, as in nibabel and MONAI.

Field of view
    The first voxel centre stays where it is and an axis of ``n`` voxels becomes ``round((n - 1) * ratio) + 1`` voxels
    (``ratio`` = old / new spacing), MONAI's convention. The last centre moves by at most half a new voxel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from .conventions import META_CYCLE_LENGTH_MS, META_FRAME_DURATION_MS, META_FRAME_TIMES_MS, META_FULL_CYCLE

Array: TypeAlias = "np.ndarray | torch.Tensor"
Spacing: TypeAlias = "Sequence[float | None] | None"
"""Target spacing in millimetres per axis; ``None`` (for one axis or for all) keeps the study's own."""

_NEGATIVE_POSITIVE: Final = (("L", "R"), ("P", "A"), ("I", "S"))
MILLISECONDS_PER_UNIT: Final = {"sec": 1000.0, "msec": 1.0, "usec": 0.001, "unknown": math.nan}
"""NIfTI's time units. ``unknown`` means "the frame times are not known", whatever number stands in the header."""


def spacing_from_affine(affine: Array) -> np.ndarray:
    """Voxel spacing in millimetres: the lengths of the affine's columns."""
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def voxel_volume_ml(affine: Array) -> float:
    """Volume of one voxel in millilitres, from the determinant: right for oblique and sheared grids too.

    Example:
        >>> round(voxel_volume_ml(np.diag([-0.5, 0.5, 2.0, 1.0])), 9)
        0.0005
    """
    return abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie.

    Args:
        shape: ``(H, W, D)``.
        affine: 4x4, voxel index to RAS millimetres.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel spacing per array axis, millimetres."""
        return spacing_from_affine(self.affine)

    def distance_mm(self, other: Grid) -> float:
        """Largest distance between equal corners of the two grids; infinite where the shapes differ."""
        if self.shape != other.shape:
            return math.inf
        last = np.array(self.shape) - 1
        corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
        return float(np.linalg.norm(corners @ (self.affine - other.affine).T, axis=1).max())


@dataclass(frozen=True, eq=False)
class GridMap:
    """How the axes of a ``target`` grid run through a ``source`` grid.

    Args:
        source: grid of the data at hand.
        target: grid wanted.
        axes: source axis that runs along each target axis.
        offsets: source index of the first target voxel, per target axis.
        steps: source voxels per target voxel, per target axis; negative where the axis is flipped.
    """

    source: Grid
    target: Grid
    axes: tuple[int, ...]
    offsets: tuple[float, ...]
    steps: tuple[float, ...]

    def coordinates(self, target_axis: int) -> np.ndarray:
        """Source index of every target voxel along ``target_axis``, float64, not clamped."""
        return self.offsets[target_axis] + self.steps[target_axis] * np.arange(self.target.shape[target_axis])

    def inverse(self) -> GridMap:
        """The map that takes data on ``target`` back to ``source``."""
        back = [self.axes.index(axis) for axis in range(3)]
        offsets, steps = [-self.offsets[k] / self.steps[k] for k in back], [1.0 / self.steps[k] for k in back]
        return GridMap(self.target, self.source, tuple(back), tuple(offsets), tuple(steps))


def closest_axes(affine: Array) -> tuple[tuple[int, int], ...]:
    """The anatomical axis (0 left-right, 1 posterior-anterior, 2 inferior-superior) and sign of each array axis."""
    directions = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing_from_affine(affine)
    best = max(permutations(range(3)), key=lambda order: sum(abs(directions[w, a]) for a, w in enumerate(order)))
    return tuple((world, 1 if directions[world, axis] > 0 else -1) for axis, world in enumerate(best))


def axis_codes(affine: Array) -> str:
    """Closest anatomical orientation of the array axes, such as ``"RAS"``.

    Example:
        >>> axis_codes(np.diag([-0.5, 0.5, 2.0, 1.0]))
        'LAS'
    """
    return "".join(_NEGATIVE_POSITIVE[world][sign > 0] for world, sign in closest_axes(affine))


def _reorientation(affine: np.ndarray, orientation: str | None) -> list[tuple[int, bool]]:
    """Source axis and flip for each target axis."""
    if orientation is None:
        return [(axis, False) for axis in range(3)]
    wanted = [next((w for w, pair in enumerate(_NEGATIVE_POSITIVE) if c in pair), -1) for c in orientation.upper()]
    if sorted(wanted) != [0, 1, 2]:
        raise ValueError(f"`orientation` must name each of L/R, P/A and I/S once, such as 'RAS', got {orientation!r}")
    present = {world: (axis, sign) for axis, (world, sign) in enumerate(closest_axes(affine))}
    signs = [1 if code in "RAS" else -1 for code in orientation.upper()]
    return [(present[w][0], present[w][1] != sign) for w, sign in zip(wanted, signs, strict=True)]


def _check_spacing(spacing_mm: Spacing) -> tuple[float | None, ...]:
    if spacing_mm is None:
        return (None, None, None)
    if len(spacing_mm) != 3 or any(s is not None and not (math.isfinite(s) and s > 0) for s in spacing_mm):
        raise ValueError(f"`spacing_mm` must hold three positive numbers or nulls, got {spacing_mm!r}")
    return tuple(spacing_mm)


def plan_grid(source: Grid, spacing_mm: Spacing = (1.0, 1.0, 1.0), orientation: str | None = "RAS") -> GridMap:
    """The grid of a wanted spacing and orientation over the same field of view, and the map to it.

    Args:
        source: the study's own grid.
        spacing_mm: target spacing along the *target* axes; ``None`` for an axis, or for all, keeps the study's own.
        orientation: three letters, one of each of L/R, P/A, I/S; ``None`` keeps the study's axes and signs.

    Returns:
        The map from ``source`` to the target grid.

    Raises:
        ValueError: if ``spacing_mm`` or ``orientation`` is not admissible.

    Example:
        >>> plan_grid(Grid((5, 5, 3), np.diag([-0.5, 0.5, 2.0, 1.0]))).target.shape
        (3, 3, 5)
    """
    wanted, order = _check_spacing(spacing_mm), _reorientation(source.affine, orientation)
    shape, offsets, steps = [], [], []
    for (axis, flip), new in zip(order, wanted, strict=True):
        last = source.shape[axis] - 1
        step = 1.0 if new is None else new / source.spacing_mm[axis]
        shape.append(round(last / step) + 1)
        offsets.append(float(last) if flip else 0.0)
        steps.append(-step if flip else step)
    axes = tuple(axis for axis, _ in order)
    to_source = np.eye(4)
    to_source[:3, :3] = 0
    to_source[list(axes), range(3)] = steps
    to_source[list(axes), 3] = offsets
    target = Grid(tuple(shape), source.affine @ to_source)
    return GridMap(source, target, axes, tuple(offsets), tuple(steps))


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of a sequence, or of frames selected from one: what the file said, and the indices of the frames.

    Args:
        indices: index of each frame in the source file, 0-based. A cyclic window counts on past the last frame (frame
            ``num_source_frames`` is frame 0 of the next beat); a replicated frame repeats its index; they may fall.
        step: time from one source frame to the next, in ``unit`` (NIfTI ``pixdim[4]``).
        offset: time of source frame 0, in ``unit`` (NIfTI ``toffset``).
        unit: ``sec``, ``msec``, ``usec`` or ``unknown``.
        num_source_frames: number of frames of the source file.
        source_full_cycle: the source covers one whole R-R interval.
    """

    indices: tuple[int, ...]
    step: float
    offset: float
    unit: str
    num_source_frames: int
    source_full_cycle: bool = False

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
    def frame_times_ms(self) -> np.ndarray:
        """``(T,)`` float64, milliseconds; nan where the time unit is not known."""
        return (self.offset + self.step * np.array(self.indices, dtype=np.float64)) * self._milliseconds

    @property
    def frame_duration_ms(self) -> float:
        """Time between neighbouring frames; nan where it is not known or not one number."""
        return self.step * abs(self._stride) * self._milliseconds if self._stride else math.nan

    @property
    def cycle_length_ms(self) -> float:
        """Length of the R-R interval; nan unless the source covers a full cycle with known times."""
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
        size, beat = len(self), self.num_source_frames if self._stride > 0 else -self.num_source_frames
        wrapped = tuple(self.indices[p % size] + beat * (p // size) for p in positions)
        return replace(self, indices=wrapped)

    def window(self, start: int, size: int) -> np.ndarray:
        """Positions of ``size`` frames from ``start``: past its end a full cycle goes on, others hold the last."""
        positions = np.arange(start, start + size)
        return positions if self.full_cycle else positions.clip(max=len(self) - 1)

    def to_nifti(self) -> tuple[float, float]:
        """``pixdim[4]`` and ``toffset`` in ``unit``; a step of 0: not equally spaced, or time runs back."""
        return self.step * max(0, self._stride), self.offset + self.step * self.indices[0]

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
        )
