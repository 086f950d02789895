# SPDX-License-Identifier: Apache-2.0
"""What the image loader and the label loader share: streaming, the metadata, and the way back to the study's grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.utils import TraceKeys

from ..conventions import FRAMES_KEY, META_PLACE
from ..geometry import Grid, GridMap, Spacing, TimeAxis, plan_grid
from ..io import SequenceSource, check_frame_range
from .resample import NEAREST, FrameResampler

_HALF_TYPES = (torch.float16, torch.bfloat16)
"""Interpolated in float32, one frame at a time: products in half types are slow on a CPU."""


class SequenceLoader(InvertibleTransform):
    """Stream the frames of a file onto a grid of wanted spacing and orientation, and take results back.

    Args:
        spacing_mm: target spacing along the target axes; ``None`` for an axis, or for all, keeps the study's own.
        orientation: three letters such as ``"RAS"``; ``None`` keeps the study's axes.
    """

    mode: str
    """Interpolation of the way there, and of the way back unless ``Invertd`` asks for ``nearest``."""

    def __init__(self, spacing_mm: Spacing = (1.0, 1.0, 1.0), orientation: str | None = "RAS") -> None:
        plan_grid(Grid((1, 1, 1), np.eye(4)), spacing_mm, orientation)
        self.spacing_mm = None if spacing_mm is None else [None if s is None else float(s) for s in spacing_mm]
        self.orientation = orientation

    def plan(self, grid: Grid) -> GridMap:
        """The map from a study's grid to the target grid."""
        return plan_grid(grid, self.spacing_mm, self.orientation)

    @staticmethod
    def stream(frames: Iterable[np.ndarray], count: int, resample: FrameResampler, dtype: torch.dtype) -> torch.Tensor:
        """Resample ``count`` frames one at a time into one ``(T, H, W, D)`` tensor of ``dtype``."""
        out = torch.empty((count, *resample.grid_map.target.shape), dtype=dtype)
        slots = iter(out)
        for frame in frames:
            next(slots).copy_(resample(torch.from_numpy(np.ascontiguousarray(frame.T)).permute(2, 1, 0)))
            del frame  # or it would stay in memory while the next one is read
        return out

    def attach_meta(
        self, voxels: torch.Tensor, source: SequenceSource, time: TimeAxis, grid_map: GridMap
    ) -> MetaTensor:
        """Wrap the loaded voxels with MONAI's metadata, the time axis and the record of this transform."""
        meta = {
            "original_affine": torch.from_numpy(grid_map.source.affine),
            "spatial_shape": torch.tensor(grid_map.source.shape),
            "original_channel_dim": 0,
            "space": "RAS",
            "filename_or_obj": str(source.path),
            META_PLACE: source.place,
            **source.header_meta(),
            **time.to_meta(),
        }
        out = MetaTensor(voxels, affine=torch.from_numpy(grid_map.target.affine), meta=meta)
        native = {"mode": self.mode, "shape": grid_map.source.shape, "affine": grid_map.source.affine.tolist()}
        self.push_transform(out, orig_size=grid_map.source.shape, extra_info=native)
        return out

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Take ``(C, H, W, D)`` on the target grid, any number of channels or frames, back to the study's grid.

        Integer data, and all data if the recorded mode is ``nearest``, keep their type and their set of values.
        """
        if not isinstance(data, MetaTensor):
            raise TypeError(f"`data` must be a MetaTensor with the record of its loading, got {type(data).__name__}")
        native = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        grid = Grid(tuple(native["shape"]), np.array(native["affine"], dtype=np.float64))
        back = self.plan(grid).inverse()
        if data.shape[1:] != back.source.shape:
            raise ValueError(f"`data` must have spatial shape {back.source.shape}, got {tuple(data.shape[1:])}")
        mode = native["mode"] if data.is_floating_point() else NEAREST
        resample = FrameResampler(back, mode, anti_aliasing=False)
        frames = data.as_tensor()
        out = torch.empty((len(frames), *grid.shape), dtype=data.dtype, device=data.device)
        for index, frame in enumerate(frames.cpu()):
            out[index] = resample(frame.float() if frame.dtype in _HALF_TYPES else frame)
        restored = MetaTensor(out, meta=data.meta, applied_operations=data.applied_operations)
        restored.affine = torch.from_numpy(grid.affine)
        return restored


def check_frames(source: SequenceSource, frames: Sequence[int] | None) -> list[int]:
    """The frames to load: those asked for, or all; :class:`InputError` where one does not exist."""
    if frames is None:
        return list(range(source.num_frames))
    check_frame_range(source, frames, FRAMES_KEY)
    return [int(t) for t in frames]
