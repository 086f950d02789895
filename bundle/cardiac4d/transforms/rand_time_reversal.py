# SPDX-License-Identifier: Apache-2.0
"""Let a full cycle run backwards: the same anatomy in every frame, a motion that no heart makes."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.utils import TraceKeys

from ..conventions import IMAGE_KEY, LABEL_KEY
from ..geometry import TimeAxis
from .cycle import time_axis
from .rand_together import InvertibleRandTogetherd


class TimeReversal(InvertibleTransform):
    """Put the frames of ``(1, H, W, D, T)`` in the opposite order; the frame times then fall."""

    def __call__(self, img: MetaTensor) -> MetaTensor:
        """Reverse; raises ValueError unless the sequence is a full cycle."""
        time = TimeAxis.from_meta(img.meta)
        if not time.full_cycle:
            raise ValueError(f"`img` must cover a full cycle to be reversed: {img.meta.get('filename_or_obj')}")
        out = _reversed(img)
        out.meta.update(time.select(range(len(time) - 1, -1, -1)).to_meta())
        self.push_transform(out, extra_info={"time": time.to_meta()})
        return out

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Let time run forwards again."""
        record = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        out = _reversed(data)
        out.meta.update(record["time"])
        return out


def _reversed(img: MetaTensor) -> MetaTensor:
    return MetaTensor(img.as_tensor().flip(-1), meta=img.meta, applied_operations=img.applied_operations)


class RandTimeReversald(InvertibleRandTogetherd):
    """Reverse all keys in time together; sequences that do not cover a full cycle pass unchanged.

    **Not physiological.** A heart contracts faster than it fills and rests before the atrial kick, never after it; a
    network that may learn this order from few studies should. Every frame still shows anatomy as it occurs, with its
    own label, so it can help where frames are few. No config of this bundle uses it.

    Args:
        keys: entries ``(1, H, W, D, T)`` to reverse together.
        prob: probability of a reversal.
        allow_missing_keys: pass over keys that an entry does not have.

    Example:
        >>> time = TimeAxis.uniform(3, 0.05, full_cycle=True)
        >>> image = MetaTensor([[[[[0.0, 1.0, 2.0]]]]], meta=time.to_meta())
        >>> RandTimeReversald("image", prob=1.0)({"image": image})["image"].flatten().tolist()
        [2.0, 1.0, 0.0]
    """

    def __init__(
        self, keys: KeysCollection = (IMAGE_KEY, LABEL_KEY), prob: float = 0.5, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, prob, TimeReversal(), allow_missing_keys=allow_missing_keys)

    def randomize(self, data: MetaTensor) -> None:
        """Draw whether to reverse a sequence like ``data``."""
        super().randomize(data)
        self._do_transform = self._do_transform and time_axis(data).full_cycle
