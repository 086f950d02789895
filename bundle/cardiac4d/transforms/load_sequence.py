# SPDX-License-Identifier: Apache-2.0
"""Load a 4D image: stream its frames from disk onto a grid of wanted spacing and orientation, time first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from ..conventions import FRAMES_KEY, FULL_CYCLE_KEY, IMAGE_KEY
from ..geometry import Spacing
from ..io import Place, open_sequence
from .resample import LINEAR, FrameResampler
from .sequence_loader import SequenceLoader, check_frames


class LoadSequence(SequenceLoader):
    """Load a sequence as ``(T, H, W, D)`` float32 in the file's intensity units.

    Loading, reorientation and resampling are one step, frame by frame, because MONAI's ``Spacing`` scrambles space and
    time of arrays with time last, has no anti-aliasing, and needs the whole sequence at native resolution in memory.
    At most one native frame is in memory beside the result.

    Args:
        spacing_mm: target spacing along the target axes; ``None`` for an axis, or for all, keeps the study's own.
        orientation: three letters such as ``"RAS"``; ``None`` keeps the study's axes. With ``None`` for both the
            voxels come as they are in the file.
        anti_aliasing: smooth along axes that are down-sampled, with ``sigma = (new / old - 1) / 2`` voxels.

    Example:
        >>> LoadSequence(spacing_mm=(1.0, 1.0, 1.0)).orientation
        'RAS'
    """

    mode = LINEAR

    def __init__(
        self,
        spacing_mm: Spacing = (1.0, 1.0, 1.0),
        orientation: str | None = "RAS",
        *,
        anti_aliasing: bool = True,
    ) -> None:
        super().__init__(spacing_mm, orientation)
        self.anti_aliasing = anti_aliasing

    def __call__(self, path: Place, frames: Sequence[int] | None = None, *, full_cycle: bool = False) -> MetaTensor:
        """Load ``path``.

        Args:
            path: a 4D file, or what else :func:`~cardiac4d.io.open_sequence` takes.
            frames: 0-based frames to load, in this order; default all.
            full_cycle: the file covers one whole R-R interval.

        Returns:
            ``(T, H, W, D)`` float32 with the affine of the target grid and the time axis in its metadata.

        Raises:
            InputError: if the file cannot be used, or a frame does not exist.
        """
        source = open_sequence(path)
        chosen = check_frames(source, frames)
        grid_map = self.plan(source.grid)
        resample = FrameResampler(grid_map, self.mode, anti_aliasing=self.anti_aliasing)
        floats = map(_as_float, source.frames(chosen))
        voxels = self.stream(floats, len(chosen), resample, torch.float32)
        return self.attach_meta(voxels, source, source.time_axis(full_cycle=full_cycle).select(chosen), grid_map)


def _as_float(frame: np.ndarray) -> np.ndarray:
    return np.array(frame, dtype=np.float32, order="K")  # a copy even of float32, which is read-only as it comes


class LoadSequenced(MapTransform, InvertibleTransform):
    """Dictionary twin of :class:`LoadSequence`.

    Reads the fields ``frames`` and ``full_cycle`` of the data-list entry, where present, and replaces ``frames`` by the
    image's metadata, so that entries with different numbers of frames collate.

    Args:
        keys: entries that hold sequences, as :func:`~cardiac4d.io.open_sequence` takes them.
        spacing_mm: see :class:`LoadSequence`.
        orientation: see :class:`LoadSequence`.
        anti_aliasing: see :class:`LoadSequence`.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self,
        keys: KeysCollection = IMAGE_KEY,
        spacing_mm: Spacing = (1.0, 1.0, 1.0),
        orientation: str | None = "RAS",
        *,
        anti_aliasing: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.loader = LoadSequence(spacing_mm, orientation, anti_aliasing=anti_aliasing)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Load every key."""
        d = dict(data)
        frames = d.pop(FRAMES_KEY, None)
        for key in self.key_iterator(d):
            d[key] = self.loader(d[key], frames, full_cycle=bool(d.get(FULL_CYCLE_KEY, False)))
        return d

    def inverse(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Take every key back to its study's grid; see :meth:`SequenceLoader.inverse`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.loader.inverse(d[key])
        return d
