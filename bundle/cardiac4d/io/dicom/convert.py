# SPDX-License-Identifier: Apache-2.0
"""A DICOM study as one 4D NIfTI file on the same grid."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..image_names import NIFTI_SUFFIXES, has_suffix
from ..writer import refuse_existing, write_sequence
from .sequence import DicomSequence


def check_target(path: str | PathLike[str]) -> None:
    """Refuse, before minutes of reading, a file that could not be written.

    Raises:
        InputError: if it exists, or does not end in ``.nii`` or ``.nii.gz``.
    """
    target = Path(path)
    refuse_existing(target, overwrite=False, fix="name another file, or remove this one")
    if not has_suffix(target, NIFTI_SUFFIXES):
        raise InputError(target, "only NIfTI is written", "end its name in .nii or .nii.gz")


def write_nifti(sequence: DicomSequence, path: str | PathLike[str], *, full_cycle: bool = False) -> Path:
    """Write every frame with the study's affine, its numbers as they are, and its times where they are evenly spaced.

    Needs memory for the whole sequence at its own resolution.

    Args:
        sequence: the study.
        path: ``.nii`` or ``.nii.gz``; an existing file is never replaced.
        full_cycle: the frames cover one whole R-R interval.

    Returns:
        The path written.

    Raises:
        InputError: if the file exists or has another suffix, or a frame cannot be read.
    """
    check_target(path)
    voxels = np.empty((*sequence.grid.shape, sequence.num_frames), sequence.dtype, order="F")
    for index, frame in enumerate(sequence.frames()):
        voxels[..., index] = frame
    return write_sequence(path, voxels, sequence.grid.affine, sequence.time_axis(full_cycle=full_cycle))
