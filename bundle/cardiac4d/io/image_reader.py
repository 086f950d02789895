# SPDX-License-Identifier: Apache-2.0
"""The package's readers as one of MONAI's, for pipelines that load with ``LoadImage``."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys

from .dicom import is_dicom_study
from .image_names import has_suffix
from .open_sequence import open_sequence
from .places import FILES, listed_files
from .source import SequenceSource


class SequenceReader(ImageReader):
    """Read DICOM studies, NIfTI, NRRD, MetaImage and 3D files per phase as 4D images, with affine and frame times.

    For ``LoadImaged(keys, reader="cardiac4d.io.SequenceReader")``: gives ``(H, W, D, T)``, and with
    ``ensure_channel_first=True`` time first, ``(T, H, W, D)``, in which MONAI's spatial transforms are right.
    All of it is read at its own resolution; ``cardiac4d.transforms.LoadSequenced`` resamples frame by frame.

    Args:
        full_cycle: the sequences cover one whole R-R interval.
        options: what :func:`~cardiac4d.io.open_sequence` takes beside files, such as ``phase_key`` or ``series``.
    """

    def __init__(self, *, full_cycle: bool = False, **options: Any) -> None:
        super().__init__()
        self.full_cycle, self.options = full_cycle, options

    def verify_suffix(self, filename: Sequence[str | PathLike[str]] | str | PathLike[str]) -> bool:
        """Whether the files are of a format that the package reads."""
        files = listed_files(filename)
        return all(map(has_suffix, files)) or is_dicom_study(files)

    def read(self, data: Sequence[str | PathLike[str]] | str | PathLike[str], **options: Any) -> SequenceSource:
        """Open a file, a folder, or a list of files that make one sequence.

        Raises:
            InputError: if they cannot be read as one sequence.
        """
        files = data[0] if isinstance(data, Sequence) and not isinstance(data, str) and len(data) == 1 else data
        given = {**self.options, **options}
        return open_sequence({FILES: files, **given} if given else files)

    def get_data(self, img: SequenceSource) -> tuple[np.ndarray, dict[str, Any]]:
        """The voxels ``(H, W, D, T)`` of an opened sequence, and its metadata."""
        voxels: np.ndarray | None = None
        for index, frame in enumerate(img.frames()):
            if voxels is None:
                voxels = np.empty((*img.grid.shape, img.num_frames), frame.dtype)
            voxels[..., index] = frame
        meta = {
            MetaKeys.AFFINE: img.grid.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: img.grid.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(img.grid.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1,
            MetaKeys.SPACE: SpaceKeys.RAS,
            **img.header_meta(),
            **img.time_axis(full_cycle=self.full_cycle).to_meta(),
        }
        return voxels, {str(key): value for key, value in meta.items()}  # type: ignore[return-value]
