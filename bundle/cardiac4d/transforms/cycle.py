# SPDX-License-Identifier: Apache-2.0
"""What augmentations ask a sequence: its time axis, where its frames lie in the cycle, and what was done to it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.utils import TraceKeys

from ..geometry import TimeAxis


def time_axis(img: torch.Tensor) -> TimeAxis:
    """The sequence's time axis; that of a plain tensor is not known and no full cycle."""
    if isinstance(img, MetaTensor) and "frame_indices" in img.meta:
        return TimeAxis.from_meta(img.meta)
    return TimeAxis.uniform(img.shape[-1], 0.0, unit="unknown")


def cycle_phases(time: TimeAxis) -> np.ndarray | None:
    """Phase of every frame, ``(T,)`` in [0, 1), 0 the first frame of the file; ``None`` unless the file is a cycle.

    Shifts, crops and reversals keep the phase of a frame, because the time axis keeps its index in the file.
    """
    if not time.source_full_cycle:
        return None
    return np.array(time.indices) % time.num_source_frames / time.num_source_frames


def undo(data: dict[Hashable, Any], keys: Iterable[Hashable], transform: InvertibleTransform) -> dict[Hashable, Any]:
    """Invert ``transform`` in place in those ``keys`` of ``data`` that it changed."""
    for key in keys:
        if any(op[TraceKeys.ID] == id(transform) for op in data[key].applied_operations):
            data[key] = transform.inverse(data[key])
    return data
