# SPDX-License-Identifier: Apache-2.0
"""Scale intensities linearly, one frame at a time, so that a sequence needs twice its size of memory and not four."""

from __future__ import annotations

import numpy as np
import torch
from monai.config import DtypeLike, KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import ScaleIntensityRange, ScaleIntensityRanged
from monai.utils import convert_to_tensor, get_equivalent_dtype


class ScaleSequenceRange(ScaleIntensityRange):
    """MONAI's :class:`~monai.transforms.ScaleIntensityRange`, with its arguments and its values, frame by frame.

    MONAI's keeps three intermediate results of the whole array beside the input; here they are of one frame. For a
    sequence with time first, as ``LoadSequence`` gives it; with time last the values are right too, but all frames are
    then taken at once. The input is left as it is.

    Example:
        >>> ScaleSequenceRange(-1024, 1024, -1, 1)(torch.full((2, 1, 1, 1), 512.0)).flatten().tolist()
        [0.5, 0.5]
    """

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        """Scale ``(T, H, W, D)``, or any array along its first axis; metadata are kept."""
        sequence: torch.Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        dtype = get_equivalent_dtype(self.dtype or sequence.dtype, torch.Tensor)
        scaled = torch.empty_like(sequence, dtype=dtype)
        for target, frame in zip(_plain(scaled), _plain(sequence), strict=True):
            target.copy_(_plain(super().__call__(frame)))
        return scaled


class ScaleSequenceRanged(ScaleIntensityRanged):
    """Dictionary twin of :class:`ScaleSequenceRange`; a drop-in for ``ScaleIntensityRanged``.

    Args:
        keys: entries to scale.
        a_min: intensity that becomes ``b_min``.
        a_max: intensity that becomes ``b_max``.
        b_min: see ``a_min``; ``None`` for either of the two leaves 0 and 1.
        b_max: see ``a_max``.
        clip: cut off at ``b_min`` and ``b_max``.
        dtype: of the result; ``None`` for that of the input.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self,
        keys: KeysCollection,
        a_min: float,
        a_max: float,
        b_min: float | None = None,
        b_max: float | None = None,
        *,
        clip: bool = False,
        dtype: DtypeLike = np.float32,
        allow_missing_keys: bool = False,
    ) -> None:
        a_min, a_max = float(a_min), float(a_max)
        b_min, b_max = (None if bound is None else float(bound) for bound in (b_min, b_max))
        super().__init__(keys, a_min, a_max, b_min, b_max, clip, dtype, allow_missing_keys)
        self.scaler = ScaleSequenceRange(a_min, a_max, b_min, b_max, clip, dtype)


def _plain(tensor: NdarrayOrTensor) -> torch.Tensor:
    """The same memory without metadata, which would be copied with every frame."""
    return convert_to_tensor(tensor, track_meta=False)
