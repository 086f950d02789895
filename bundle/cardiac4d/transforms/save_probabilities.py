# SPDX-License-Identifier: Apache-2.0
"""Save the probability of each structure on the study's own grid, one structure at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Invertd, InvertibleTransform, MapTransform

from ..conventions import CASE_ID_KEY, IMAGE_KEY, PRED_KEY, STRUCTURES
from ..geometry import Grid, TimeAxis
from ..io import case_stem, write_fractions

_INVERTED = "_probability"


class SaveProbabilitiesd(MapTransform):
    """Write ``<output_dir>/<name>_prob_<structure>.nii.gz`` for LV and LVM; the background is what is left to 1.

    Takes logits, before the argmax. The softmax of one structure at a time is taken back to the study's grid with
    linear interpolation, in float16, and written frame by frame; see :func:`~cardiac4d.io.write_fractions`. Where a
    label map is inverted with nearest neighbour, the structure of highest probability may be another at a border.

    On a study of 512x512x100x20 one structure takes 1.0 GiB in memory, and as much on disk before compression.

    Args:
        keys: entries that hold logits, ``(C, H, W, D, T)``.
        transform: the preprocessing of the image, to be inverted.
        orig_keys: the image, which carries the record of its preprocessing.
        output_dir: folder, made where it does not exist.
        overwrite: replace existing files instead of raising.
        allow_missing_keys: pass over keys that an entry does not have.

    Raises:
        InputError: if a file exists and ``overwrite`` is false.
    """

    def __init__(
        self,
        keys: KeysCollection = PRED_KEY,
        *,
        transform: InvertibleTransform,
        orig_keys: str = IMAGE_KEY,
        output_dir: str | PathLike[str] = "./outputs",
        overwrite: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir, self.overwrite, self.orig_key = Path(output_dir), overwrite, orig_keys
        self._invert = Invertd(_INVERTED, transform, orig_keys=orig_keys, nearest_interp=False, to_tensor=True)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Save every key; the data stay as they are."""
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[self.orig_key]
            case = d.get(CASE_ID_KEY) or case_stem(image.meta["filename_or_obj"])
            logits = torch.as_tensor(d[key])
            logits = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
            total = torch.logsumexp(logits, dim=0, keepdim=True)
            for name, label in STRUCTURES.items():
                self._save(
                    self._inverted(image, (logits[label : label + 1] - total).exp_().half()), f"{case}_prob_{name}"
                )
        return d

    def _inverted(self, image: MetaTensor, probability: torch.Tensor) -> MetaTensor:
        """``(T, H, W, D)`` on the study's grid, from ``(1, H, W, D, T)`` on that of the network."""
        return self._invert({self.orig_key: image, _INVERTED: MetaTensor(probability.cpu())})[_INVERTED]

    def _save(self, probability: MetaTensor, stem: str) -> None:
        meta = probability.meta
        codes = {key: meta[key] for key in ("sform_code", "qform_code", "space_unit")}
        grid = Grid(tuple(probability.shape[1:]), probability.affine.numpy(force=True))
        write_fractions(
            self.output_dir / f"{stem}.nii.gz",
            _frames(probability.as_tensor()),
            grid,
            TimeAxis.from_meta(meta),
            **codes,
            overwrite=self.overwrite,
        )


def _frames(probability: torch.Tensor) -> Iterator[np.ndarray]:
    """One frame at a time, float32."""
    for frame in probability:
        yield frame.float().numpy()
