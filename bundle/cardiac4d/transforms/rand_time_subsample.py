# SPDX-License-Identifier: Apache-2.0
"""Leave out frames at a steady pace: the same beat with a coarser time axis, as other scanners reconstruct it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform

from ..conventions import IMAGE_KEY, LABEL_KEY, NOT_ANNOTATED
from .cycle import undo
from .rand_sparse_crop import SequenceCrop

STRIDES = (1, 2)
MIN_FRAMES = 8


class TimeSubsample(SequenceCrop):
    """Keep every ``stride``-th frame of ``(1, H, W, D, T)``; frame times and frame duration follow.

    A full cycle stays one where its frames still lie evenly, that is where ``stride`` divides their number.
    """

    def __call__(self, img: torch.Tensor, stride: int, first_frame: int = 0) -> torch.Tensor:  # type: ignore[override]
        """Keep frames ``first_frame``, ``first_frame + stride``, ...; raises ValueError where there are none."""
        frames = range(first_frame, img.shape[-1], max(stride, 1))
        if stride < 1 or first_frame < 0 or not frames:
            raise ValueError(
                f"`stride` and `first_frame` must leave frames of {img.shape[-1]}: {stride}, {first_frame}"
            )
        return super().__call__(img, (0, 0, 0), img.shape[1:4], frames)

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        """Put the frames back where they were; those left out become 0."""
        return super().inverse(data)


class RandTimeSubsampled(RandomizableTransform, MapTransform, InvertibleTransform):
    """Sub-sample all keys in time together by one random stride, so that an annotated frame stays.

    With labels sparse in time a careless stride leaves none. Here an annotated frame is drawn, and the frames kept are
    those in step with it; others may go. Without label, or without annotated frames, the first frame is drawn evenly.

    Args:
        keys: entries ``(1, H, W, D, T)`` of one length.
        label_key: the sparse label; may be missing.
        prob: probability of drawing a stride.
        strides: those to draw from, evenly, each at least 1.
        min_frames: strides that leave fewer frames are not drawn.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        ValueError: for a stride below 1.

    Example:
        >>> halve = RandTimeSubsampled("image", prob=1.0, strides=(2,)).set_random_state(seed=0)
        >>> halve({"image": torch.rand(1, 4, 4, 4, 20)})["image"].shape
        torch.Size([1, 4, 4, 4, 10])
    """

    def __init__(
        self,
        keys: KeysCollection = (IMAGE_KEY, LABEL_KEY),
        label_key: str = LABEL_KEY,
        prob: float = 0.5,
        strides: Sequence[int] = STRIDES,
        min_frames: int = MIN_FRAMES,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if not strides or min(strides) < 1:
            raise ValueError(f"`strides` must be whole numbers from 1, got {list(strides)}")
        self.label_key, self.strides, self.min_frames = label_key, tuple(strides), min_frames
        self.subsampler = TimeSubsample()
        self.stride, self.first_frame = 1, 0

    def randomize(self, data: dict[Hashable, Any]) -> None:
        """Draw stride and first frame for the sequences of an entry."""
        super().randomize(None)
        count = data[self.first_key(data)].shape[-1]
        fitting = [stride for stride in self.strides if count // stride >= self.min_frames]
        self.stride = int(self.R.choice(fitting)) if fitting else 1
        self.first_frame = self._draw_frame(data, count) % self.stride

    def _draw_frame(self, data: dict[Hashable, Any], count: int) -> int:
        label = data.get(self.label_key)
        annotated: list[int] = []
        if label is not None:
            annotated = (label != NOT_ANNOTATED).flatten(0, -2).any(dim=0).nonzero().flatten().tolist()
        return int(self.R.choice(annotated)) if annotated else int(self.R.randint(count))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Sub-sample every key."""
        d = dict(data)
        self.randomize(d)
        for key in self.key_iterator(d):
            if self._do_transform and self.stride > 1:
                d[key] = self.subsampler(d[key], self.stride, self.first_frame)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put the frames that were kept back where they were; those left out become 0."""
        d = dict(data)
        return undo(d, self.key_iterator(d), self.subsampler)
