# SPDX-License-Identifier: Apache-2.0
"""Turn, scale, shift and bend a sequence in 3D, all frames alike: another patient, the same motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.utils import TraceKeys

from ..conventions import IMAGE_KEY, LABEL_KEY
from ..geometry import spacing_from_affine
from .bending import DEGREE, FOLDING_LIMIT, bending_field, lattice_intervals, lattice_step_mm, unbent
from .rand_together import InvertibleRandTogetherd
from .warp import in_index_space, output_to_input, rewrapped, sample_channels

ROTATION_DEG = 15.0
SCALING = 0.1
SHIFT_MM = 5.0
ELASTIC_MM = 4.0
CONTROL_SPACING_MM = 32.0

Triple = Sequence[float]


class SpatialWarp(InvertibleTransform):
    """Resample ``(1, H, W, D, T)`` once on a grid that is turned, scaled, shifted and bent about the array's centre.

    Angles and lengths are true where voxels are not cubes. Floating-point images are interpolated linearly and hold
    their border value outside the field of view; integer label maps take the nearest voxel and are 255 (not annotated)
    outside. Size and time axis stay. The affine says where the new voxels lie, but for the bending, which no affine
    can tell: world positions hold to within it.

    Example:
        >>> image = MetaTensor(torch.rand(1, 24, 24, 12, 4), affine=torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0])))
        >>> warp = SpatialWarp()
        >>> warp.inverse(warp(image, rotation_deg=(0.0, 0.0, 10.0), scaling=1.1)).shape
        torch.Size([1, 24, 24, 12, 4])
    """

    def __call__(
        self,
        img: MetaTensor,
        rotation_deg: Triple = (0.0, 0.0, 0.0),
        scaling: float = 1.0,
        shift_mm: Triple = (0.0, 0.0, 0.0),
        bend_mm: torch.Tensor | None = None,
    ) -> MetaTensor:
        """Resample.

        Args:
            img: ``(1, H, W, D, T)``.
            rotation_deg: angles by which the content turns about the first, then the second, then the third array axis;
                about the third it turns from the first axis to the second, and so on round.
            scaling: factor by which the content grows.
            shift_mm: millimetres along the array axes by which the content moves, after turning and scaling.
            bend_mm: ``(3, A, B, C)``: millimetres along the array axes by which the points of a lattice over the array
                look away from where they stand; see :mod:`.bending`. ``None`` for no bending.

        Raises:
            ValueError: if ``scaling`` is not positive, or ``bend_mm`` is no lattice or so large that it could fold.
        """
        spacing_mm = spacing_from_affine(img.affine.numpy(force=True)).tolist()
        if bend_mm is not None:
            _check_bend(bend_mm, img.shape[1:4], spacing_mm)
        matrix = _content_matrix(rotation_deg, scaling, shift_mm, spacing_mm)
        out = _warped(img, matrix, bend_mm, spacing_mm)
        self.push_transform(out, extra_info={"matrix": matrix.tolist(), "bend_mm": bend_mm, "spacing_mm": spacing_mm})
        return out

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Resample on the grid from before; what had left the field of view is filled as outside."""
        record = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        matrix, shape = torch.tensor(record["matrix"], dtype=torch.float64).inverse(), data.shape[1:4]
        points = _affine_points(matrix, _voxels_from_centre(shape))
        if record["bend_mm"] is not None:
            points = unbent(points, _bend_voxels(record["bend_mm"], shape, record["spacing_mm"]))
        return _sampled(data, points, matrix)


def _check_bend(bend_mm: torch.Tensor, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    if bend_mm.ndim != 4 or len(bend_mm) != 3 or min(bend_mm.shape[1:]) <= DEGREE:
        raise ValueError(
            f"`bend_mm` must be (3, A, B, C) with at least four points per axis, got {tuple(bend_mm.shape)}"
        )
    steps = torch.tensor(lattice_step_mm(shape, spacing_mm, bend_mm.shape[1:]))
    largest = bend_mm.abs().amax(dim=(1, 2, 3))
    if bool((largest > FOLDING_LIMIT * steps * (1 + 1e-5)).any()):
        limit = [round(FOLDING_LIMIT * step, 3) for step in steps.tolist()]
        raise ValueError(f"`bend_mm` must not exceed {limit} mm per axis, or space could fold, got {largest.tolist()}")


def _content_matrix(rotation_deg: Triple, scaling: float, shift_mm: Triple, spacing_mm: Triple) -> torch.Tensor:
    """4 x 4 matrix from a voxel of the result to one of the input, both counted from the centre."""
    if not scaling > 0.0:
        raise ValueError(f"`scaling` must be positive, got {scaling}")
    turns = [_turn(axis, degrees) for axis, degrees in enumerate(rotation_deg)]
    turn = reduce(lambda done, following: following @ done, turns)
    shift = [float(mm / size) for mm, size in zip(shift_mm, spacing_mm, strict=True)]
    return output_to_input(turn * scaling, shift, spacing_mm)


def _turn(axis: int, degrees: float) -> torch.Tensor:
    """Rotation about one axis, from the next axis to the one after it."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.eye(3, dtype=torch.float64)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[first, first], turn[first, second], turn[second, first], turn[second, second] = cos, -sin, sin, cos
    return turn


def _voxels_from_centre(shape: Sequence[int]) -> torch.Tensor:
    """``(3, H, W, D)`` float32."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _affine_points(matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    weights = matrix.to(torch.float32)
    return (weights[:3, :3] @ points.flatten(1) + weights[:3, 3:]).view_as(points)


def _bend_voxels(bend_mm: torch.Tensor, shape: Sequence[int], spacing_mm: Sequence[float]) -> torch.Tensor:
    return bending_field(bend_mm / torch.tensor(spacing_mm).view(3, 1, 1, 1), shape)


def _warped(img: MetaTensor, matrix: torch.Tensor, bend_mm: torch.Tensor | None, spacing_mm: list[float]) -> MetaTensor:
    points = _voxels_from_centre(img.shape[1:4])
    if bend_mm is not None:
        points = points + _bend_voxels(bend_mm, img.shape[1:4], spacing_mm)
    return _sampled(img, _affine_points(matrix, points), matrix)


def _sampled(img: MetaTensor, points: torch.Tensor, matrix: torch.Tensor) -> MetaTensor:
    """``img`` at ``points``; channels and frames are both channels of the sampling."""
    time_first = img.as_tensor().permute(0, 4, 1, 2, 3)
    sampled = sample_channels(time_first.flatten(0, 1), points).unflatten(0, time_first.shape[:2])
    return rewrapped(sampled.permute(0, 2, 3, 4, 1), img, in_index_space(matrix, img.shape[1:4]))


class RandSpatialWarpd(InvertibleRandTogetherd):
    """Turn, scale, shift and bend all keys and all their frames together, by random amounts.

    Takes about four seconds per hundred million voxels, frames counted: put it behind a crop with a margin, as
    ``configs/augment.json`` does, not on whole studies.

    Args:
        keys: entries ``(1, H, W, D, T)`` of one grid; floating point counts as image, integer as label.
        prob: probability of a change.
        rotation_deg: greatest angle about each array axis, either way; one number or one per axis.
        scaling: greatest relative growth; 0.1 draws factors from 1 / 1.1 to 1.1, evenly in their logarithm.
        shift_mm: greatest shift along each array axis, either way.
        elastic_mm: greatest displacement of a control point along each axis; less where the array is so thin that space
            could fold. 0 bends nothing.
        control_spacing_mm: distance of the control points: structures of about this size bend.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        ValueError: for negative ranges, or an ``elastic_mm`` above 0.4 ``control_spacing_mm``, where space could fold.

    Example:
        >>> warp = RandSpatialWarpd("image", prob=1.0, elastic_mm=3.0).set_random_state(seed=0)
        >>> warp({"image": MetaTensor(torch.rand(1, 24, 24, 12, 4))})["image"].shape
        torch.Size([1, 24, 24, 12, 4])
    """

    def __init__(
        self,
        keys: KeysCollection = (IMAGE_KEY, LABEL_KEY),
        prob: float = 0.5,
        rotation_deg: float | Triple = ROTATION_DEG,
        scaling: float = SCALING,
        shift_mm: float = SHIFT_MM,
        *,
        elastic_mm: float = ELASTIC_MM,
        control_spacing_mm: float = CONTROL_SPACING_MM,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, SpatialWarp(), allow_missing_keys=allow_missing_keys)
        self.rotation_deg = np.broadcast_to(np.asarray(rotation_deg, dtype=np.float64), 3)
        ranges = {"rotation_deg": self.rotation_deg.min(), "scaling": scaling, "shift_mm": shift_mm}
        for name, value in {**ranges, "elastic_mm": elastic_mm}.items():
            if not value >= 0.0:
                raise ValueError(f"`{name}` must not be negative, got {value}")
        if elastic_mm > FOLDING_LIMIT * control_spacing_mm:
            limit = FOLDING_LIMIT * control_spacing_mm
            raise ValueError(f"`elastic_mm` must not exceed {limit:g}, 0.4 `control_spacing_mm`, got {elastic_mm}")
        self.log_scaling, self.shift_mm = math.log1p(scaling), shift_mm
        self.elastic_mm, self.control_spacing_mm = elastic_mm, control_spacing_mm

    def randomize(self, data: MetaTensor) -> None:
        """Draw angles, factor, shift and bending for a sequence like ``data``."""
        super().randomize(data)
        self.drawn = {
            "rotation_deg": (self.R.uniform(-1.0, 1.0, 3) * self.rotation_deg).tolist(),
            "scaling": float(np.exp(self.R.uniform(-1.0, 1.0) * self.log_scaling)),
            "shift_mm": (self.R.uniform(-1.0, 1.0, 3) * self.shift_mm).tolist(),
            "bend_mm": self._draw_bend(data) if self.elastic_mm > 0.0 else None,
        }

    def _draw_bend(self, data: MetaTensor) -> torch.Tensor:
        shape, spacing_mm = data.shape[1:4], spacing_from_affine(data.affine.numpy(force=True)).tolist()
        lattice = [n + DEGREE for n in lattice_intervals(shape, spacing_mm, self.control_spacing_mm)]
        limit = FOLDING_LIMIT * np.array(lattice_step_mm(shape, spacing_mm, lattice))
        reach = np.minimum(self.elastic_mm, limit).reshape(3, 1, 1, 1)
        return torch.from_numpy(self.R.uniform(-1.0, 1.0, (3, *lattice)) * reach)
