# SPDX-License-Identifier: Apache-2.0
"""Start a full cycle at a random phase: the one augmentation in time that changes no anatomy."""

from __future__ import annotations

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.utils import TraceKeys

from ..conventions import IMAGE_KEY, LABEL_KEY
from ..geometry import TimeAxis
from .rand_together import InvertibleRandTogetherd


class CyclicShift(InvertibleTransform):
    """Let ``(1, H, W, D, T)`` begin at another frame; the frames before it follow at the end, as the next beat."""

    def __call__(self, img: MetaTensor, first_frame: int) -> MetaTensor:  # type: ignore[override]
        """Begin at position ``first_frame``; raises ValueError unless the sequence is a full cycle."""
        time = TimeAxis.from_meta(img.meta)
        if not time.full_cycle:
            raise ValueError(f"`img` must cover a full cycle to be shifted in time: {img.meta.get('filename_or_obj')}")
        out = _roll(img, -first_frame)
        out.meta.update(time.select(range(first_frame, first_frame + len(time))).to_meta())
        self.push_transform(out, extra_info={"first_frame": first_frame, "time": time.to_meta()})
        return out

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Begin at the first frame again."""
        record = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        out = _roll(data, record["first_frame"])
        out.meta.update(record["time"])
        return out


def _roll(img: MetaTensor, shift: int) -> MetaTensor:
    rolled = torch.roll(img.as_tensor(), shift, dims=-1)
    return MetaTensor(rolled, meta=img.meta, applied_operations=img.applied_operations)


class RandCyclicShiftd(InvertibleRandTogetherd):
    """Shift all keys by one random number of frames; sequences that do not cover a full cycle pass unchanged.

    Args:
        keys: entries ``(1, H, W, D, T)`` to shift together.
        prob: probability of a shift.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self, keys: KeysCollection = (IMAGE_KEY, LABEL_KEY), prob: float = 1.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, CyclicShift(), allow_missing_keys=allow_missing_keys)

    def randomize(self, data: MetaTensor) -> None:
        """Draw whether and where to begin, for a sequence like ``data``."""
        super().randomize(data)
        first_frame = int(self.R.randint(data.shape[-1]))
        self._do_transform = self._do_transform and TimeAxis.from_meta(data.meta).full_cycle and first_frame > 0
        self.drawn = {"first_frame": first_frame}
