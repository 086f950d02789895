# SPDX-License-Identifier: Apache-2.0
"""Move time from the channel axis, where MONAI's spatial transforms want it, to its own last axis, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from ..conventions import IMAGE_KEY


class TimeLast(InvertibleTransform):
    """``(T, H, W, D)`` to ``(1, H, W, D, T)``.

    The inverse takes ``(C, H, W, D, T)`` to ``(C * T, H, W, D)``, so that a spatial transform before this one inverts
    each frame of each channel. Take the argmax first: with C = 1 the result is ``(T, H, W, D)``, and small.

    Example:
        >>> TimeLast()(torch.zeros(20, 4, 5, 6)).shape
        torch.Size([1, 4, 5, 6, 20])
    """

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """Move time of ``(T, H, W, D)`` to the last axis; the result is contiguous."""
        if img.ndim != 4:
            raise ValueError(f"`img` must be (T, H, W, D), got {tuple(img.shape)}")
        out = img.permute(1, 2, 3, 0).unsqueeze(0).contiguous()
        if isinstance(out, MetaTensor):
            self.push_transform(out, orig_size=tuple(img.shape[1:]))
        return out

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Move time of ``(C, H, W, D, T)`` to the channel axis, ``(C * T, H, W, D)``."""
        if data.ndim != 5:
            raise ValueError(f"`data` must be (C, H, W, D, T), got {tuple(data.shape)}")
        if isinstance(data, MetaTensor):
            self.pop_transform(data)
        return data.permute(0, 4, 1, 2, 3).flatten(0, 1)


class TimeLastd(MapTransform, InvertibleTransform):
    """Dictionary twin of :class:`TimeLast`.

    Args:
        keys: entries to move.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(self, keys: KeysCollection = IMAGE_KEY, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mover = TimeLast()

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Move every key."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.mover(d[key])
        return d

    def inverse(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Move every key back."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.mover.inverse(d[key])
        return d
