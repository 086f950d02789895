# SPDX-License-Identifier: Apache-2.0
"""Save a sequence on its grid, with spacing, frame times and units intact, in the formats that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from ..conventions import CASE_ID_KEY, PRED_KEY
from ..geometry import TimeAxis
from ..io import OUTPUT_FORMATS, Segmentation, case_stem, check_outputs
from ..io.outputs import NIFTI
from ..io.whole_file import remove_whole

SAVED_TO = "saved_to"


class SaveSequence(Transform):
    """Write ``<output_dir>/<name>_<postfix>.nii.gz``, shape ``(H, W, D, T)``, or other formats.

    Takes ``(T, H, W, D)``, as it comes from inverting this package's loaders, or ``(1, H, W, D, T)``; their ranks tell
    them apart. The header gets affine, form codes, frame duration, time offset and units from the metadata.

    Args:
        output_dir: folder, made where it does not exist.
        postfix: part of the name after the case; empty for none.
        output_dtype: type of the voxels on disk. An integer type refuses values that it would round or wrap.
        overwrite: replace existing files instead of raising, and remove those of the same case in other formats.
        extension: ``.nii.gz`` or ``.nii``, of the format ``nifti``.
        outputs: names among :data:`~cardiac4d.io.OUTPUT_FORMATS`, such as ``["nifti", "seq.nrrd"]``; ``probabilities``
            is passed over, as :class:`SaveProbabilitiesd` writes them.

    Raises:
        ValueError: if ``outputs`` names anything else.
    """

    def __init__(
        self,
        output_dir: str | PathLike[str],
        postfix: str = "seg",
        output_dtype: str = "uint8",
        *,
        overwrite: bool = False,
        extension: str = ".nii.gz",
        outputs: Sequence[str] = (NIFTI,),
    ) -> None:
        self.formats = [name for name in check_outputs(outputs) if name in OUTPUT_FORMATS]
        self.output_dir, self.postfix, self.extension = Path(output_dir), postfix, extension
        self.output_dtype, self.overwrite = np.dtype(output_dtype), overwrite

    def __call__(self, img: MetaTensor, name: str | None = None) -> MetaTensor:
        """Write ``img`` and note the path of its first format as ``saved_to`` in its metadata.

        Args:
            img: ``(T, H, W, D)`` or ``(1, H, W, D, T)`` with the metadata of this package's loaders.
            name: case name; default: name of the file that the image came from.

        Returns:
            ``img``.

        Raises:
            InputError: if the file exists and ``overwrite`` is false.
            ValueError: if shape or values cannot be written as asked.
        """
        voxels = self._cast(_space_then_time(img).numpy(force=True))
        case = name or case_stem(img.meta["filename_or_obj"])
        if Path(case).name != case:
            raise ValueError(f"`name` must be a plain file name, got {case!r}")
        stem = f"{case}_{self.postfix}" if self.postfix else case
        result = Segmentation(voxels, img.affine.numpy(force=True), TimeAxis.from_meta(img.meta), img.meta)
        for name, path in self._paths(stem).items():
            if name in self.formats:
                OUTPUT_FORMATS[name].write(path, result, self.overwrite)
            elif self.overwrite:
                remove_whole(path)  # what an earlier run with other outputs left is not this result
        if self.formats:
            img.meta[SAVED_TO] = str(self._paths(stem)[self.formats[0]])
        return img

    def _paths(self, stem: str) -> dict[str, Path]:
        """The file of each format, whether it is asked for or not."""
        suffixes = {name: form.suffix for name, form in OUTPUT_FORMATS.items()} | {NIFTI: self.extension}
        return {name: self.output_dir / f"{stem}{suffix}" for name, suffix in suffixes.items()}

    def _cast(self, voxels: np.ndarray) -> np.ndarray:
        if voxels.dtype == self.output_dtype:
            return voxels
        cast = voxels.astype(self.output_dtype)
        if self.output_dtype.kind in "iu" and not np.array_equal(cast, voxels):
            fix = "take the argmax first, or save as float32"
            raise ValueError(f"`img` holds values that {self.output_dtype} cannot: {fix}")
        return cast


def _space_then_time(img: MetaTensor) -> Any:
    voxels = img.as_tensor()
    if voxels.ndim == 5 and voxels.shape[0] == 1:
        return voxels[0]
    if voxels.ndim == 4:
        return voxels.permute(1, 2, 3, 0)
    raise ValueError(f"`img` must be (T, H, W, D) or (1, H, W, D, T), got {tuple(voxels.shape)}; take the argmax first")


class SaveSequenced(MapTransform):
    """Dictionary twin of :class:`SaveSequence`; the case name is the entry's ``id`` where there is one.

    Args:
        keys: entries to save.
        output_dir: see :class:`SaveSequence`.
        postfix: see :class:`SaveSequence`; with several keys give each its own transform.
        output_dtype: see :class:`SaveSequence`.
        overwrite: see :class:`SaveSequence`.
        extension: see :class:`SaveSequence`.
        outputs: see :class:`SaveSequence`.
        allow_missing_keys: pass over keys that an entry does not have.
    """

    def __init__(
        self,
        keys: KeysCollection = PRED_KEY,
        output_dir: str | PathLike[str] = "./outputs",
        postfix: str = "seg",
        output_dtype: str = "uint8",
        *,
        overwrite: bool = False,
        extension: str = ".nii.gz",
        outputs: Sequence[str] = (NIFTI,),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.saver = SaveSequence(
            output_dir, postfix, output_dtype, overwrite=overwrite, extension=extension, outputs=outputs
        )

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Save every key."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.saver(d[key], d.get(CASE_ID_KEY))
        return d
