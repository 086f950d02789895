# SPDX-License-Identifier: Apache-2.0
"""Turn, scale and shift a sequence in the plane of its slices: all slices and frames alike, so that motion is kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import AffineGrid, InvertibleTransform
from monai.utils import TraceKeys

from ..conventions import IMAGE_KEY, LABEL_KEY
from .rand_together import InvertibleRandTogetherd
from .warp import in_index_space, output_to_input, rewrapped, sample_channels

ROTATION_DEG = 30.0
SCALING = 0.2
SHIFT_FRACTION = 0.1


class InPlaneAffine(InvertibleTransform):
    """Resample ``(1, H, W, D, T)`` on a grid turned, scaled and shifted about the centre of H and W.

    Floating-point images are interpolated linearly and hold their border value outside the field of view; integer label
    maps take the nearest voxel and are 255 (not annotated) outside it. Size and time axis stay; the affine says where
    the new voxels lie. Angles are true angles where pixels are not square.
    """

    def __call__(
        self, img: MetaTensor, rotation_deg: float = 0.0, scaling: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
    ) -> MetaTensor:
        """Resample.

        Args:
            img: ``(1, H, W, D, T)``.
            rotation_deg: angle by which the content turns, from the first axis to the second.
            scaling: factor by which the content grows.
            shift: voxels along H and W by which the content moves, after turning and scaling.
        """
        pixel_mm = img.affine[:3, :2].norm(dim=0).tolist()
        matrix = _content_matrix(rotation_deg, scaling, shift, pixel_mm)
        out = _resampled(img, matrix)
        self.push_transform(out, extra_info={"matrix": matrix.tolist()})
        return out

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Resample on the grid from before; what had left the field of view is filled as outside."""
        record = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        return _resampled(data, torch.tensor(record["matrix"], dtype=torch.float64).inverse())


def _content_matrix(
    rotation_deg: float, scaling: float, shift: tuple[float, float], pixel_mm: list[float]
) -> torch.Tensor:
    """3 x 3 matrix from a voxel of the result to one of the input, both counted from the centre of H and W."""
    if not scaling > 0.0:
        raise ValueError(f"`scaling` must be positive, got {scaling}")
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64) * scaling
    return output_to_input(turn, shift, pixel_mm)


def _resampled(img: MetaTensor, matrix: torch.Tensor) -> MetaTensor:
    """``img`` on the grid that ``matrix`` leads to; slices and frames go through MONAI's 2D resampler as channels."""
    channels, height, width, depth, frames = img.shape
    slices = img.as_tensor().permute(0, 3, 4, 1, 2).reshape(-1, height, width)
    points = AffineGrid(affine=matrix, dtype=np.float64)(spatial_size=(height, width))[0]
    warped = sample_channels(slices, points)  # type: ignore[arg-type]
    voxels = warped.reshape(channels, depth, frames, height, width).permute(0, 3, 4, 1, 2)
    return rewrapped(voxels, img, in_index_space(matrix, (height, width)))


class RandInPlaneAffined(InvertibleRandTogetherd):
    """Turn, scale and shift all keys together by random amounts in the plane of their slices.

    Short-axis stacks differ in how the patient was planned: the heart's angle, size and place in the field of view. The
    shift brings hearts to its edge, too.

    Args:
        keys: entries ``(1, H, W, D, T)`` of one shape; floating point counts as image, integer as label.
        prob: probability of a change.
        rotation_deg: greatest angle, either way.
        scaling: greatest relative growth; 0.2 draws factors from 1 / 1.2 to 1.2, evenly in their logarithm.
        shift_fraction: greatest shift along H and W as a fraction of their extent, either way.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        ValueError: for negative ranges.
    """

    def __init__(
        self,
        keys: KeysCollection = (IMAGE_KEY, LABEL_KEY),
        prob: float = 1.0,
        rotation_deg: float = ROTATION_DEG,
        scaling: float = SCALING,
        shift_fraction: float = SHIFT_FRACTION,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, InPlaneAffine(), allow_missing_keys=allow_missing_keys)
        for name, value in (("rotation_deg", rotation_deg), ("scaling", scaling), ("shift_fraction", shift_fraction)):
            if not value >= 0.0:
                raise ValueError(f"`{name}` must not be negative, got {value}")
        self.rotation_deg, self.log_scaling = rotation_deg, math.log1p(scaling)
        self.shift_fraction = shift_fraction

    def randomize(self, data: torch.Tensor) -> None:
        """Draw angle, factor and shift for a sequence like ``data``."""
        super().randomize(data)
        turn, growth, *shift = self.R.uniform(-1.0, 1.0, size=4)
        reach = self.shift_fraction * np.array(data.shape[1:3])
        self.drawn = {
            "rotation_deg": float(turn * self.rotation_deg),
            "scaling": float(np.exp(growth * self.log_scaling)),
            "shift": tuple((np.array(shift) * reach).tolist()),
        }
