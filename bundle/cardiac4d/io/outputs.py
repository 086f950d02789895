# SPDX-License-Identifier: Apache-2.0
"""The formats in which a segmentation can be written, by the names that configs have for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import InputError
from ..geometry import TimeAxis
from .dicom import BINARY, LABELMAP, write_segmentations
from .open_sequence import reopen_dicom
from .slicer_writer import write_slicer_sequence
from .writer import write_sequence

PROBABILITIES: Final = "probabilities"
DICOM_SR: Final = "dicom-sr"
"""Not formats of label maps, but chosen in the same list."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map of every frame on the study's own grid, and what writers need to know of the study.

    Attributes:
        labels: ``(H, W, D, T)``.
        affine: 4x4, voxel index to RAS millimetres.
        time: T frames.
        meta: metadata of the image: ``filename_or_obj``, and what its reader gave as ``header_meta``.
    """

    labels: np.ndarray
    affine: np.ndarray
    time: TimeAxis
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class OutputFormat:
    """One format.

    Attributes:
        suffix: what follows case and postfix in the name of the file, or of the folder of files.
        write: ``write(path, segmentation, overwrite)``; the file or folder appears under its name only when it is
            complete, and an existing one is refused with :class:`~cardiac4d.errors.InputError` unless ``overwrite``.
    """

    suffix: str
    write: Callable[[Path, Segmentation, bool], Path]


def _nifti(path: Path, result: Segmentation, overwrite: bool) -> Path:
    codes = {key: result.meta[key] for key in ("sform_code", "qform_code", "space_unit")}
    return write_sequence(path, result.labels, result.affine, result.time, **codes, overwrite=overwrite)


def _slicer(path: Path, result: Segmentation, overwrite: bool) -> Path:
    return write_slicer_sequence(path, result.labels, result.affine, result.time, overwrite=overwrite)


def _dicom(path: Path, result: Segmentation, overwrite: bool, kind: str = BINARY) -> Path:
    study = reopen_dicom(result.meta)
    if study is None:
        problem = "it is no DICOM study, and a DICOM SEG must reference the images of one"
        fix = f"give the DICOM study itself, or leave {DICOM_SEG} out of `outputs`"
        raise InputError(result.meta["filename_or_obj"], problem, fix)
    frames = [index % study.num_frames for index in result.time.indices]
    return write_segmentations(path, result.labels, result.affine, study, frames=frames, kind=kind, overwrite=overwrite)


NIFTI: Final = "nifti"
DICOM_SEG: Final = "dicom-seg"
OUTPUT_FORMATS: Final[dict[str, OutputFormat]] = {
    NIFTI: OutputFormat(".nii.gz", _nifti),
    "seq.nrrd": OutputFormat(".seq.nrrd", _slicer),
    DICOM_SEG: OutputFormat("_dicom", _dicom),
    "dicom-seg-labelmap": OutputFormat("_dicom_labelmap", partial(_dicom, kind=LABELMAP)),
}
"""Another format is added here: all that takes ``outputs`` in a config then knows it."""


def known_outputs() -> tuple[str, ...]:
    """All names that ``outputs`` may hold."""
    return (*OUTPUT_FORMATS, PROBABILITIES, DICOM_SR)


def check_outputs(outputs: Any) -> tuple[str, ...]:
    """Give a list of names of outputs back.

    Raises:
        ValueError: if it is empty, or names something else than formats, ``probabilities`` and ``dicom-sr``.
    """
    known = known_outputs()
    is_list = isinstance(outputs, (list, tuple))
    if not is_list or not outputs or not all(isinstance(name, str) and name in known for name in outputs):
        raise ValueError(f"`outputs` must be a list of some of {', '.join(known)}, got {outputs!r}")
    return tuple(outputs)
