# SPDX-License-Identifier: Apache-2.0
"""One door for every kind of sequence: the reader is chosen by what is there."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..errors import InputError
from .nifti import NiftiSequence, has_nifti_suffix
from .source import SequenceSource


def open_sequence(place: str | PathLike[str]) -> SequenceSource:
    """Open a sequence; its frames are read later, on demand.

    Args:
        place: a 4D ``.nii`` or ``.nii.gz`` file.

    Returns:
        The reader that takes it.

    Raises:
        InputError: if nothing is there, no reader takes it, or its reader refuses it.
    """
    path = Path(place)
    if not path.exists():
        raise InputError(path, "the file does not exist", "correct the path, or restore the file")
    if path.is_file() and has_nifti_suffix(path):
        return NiftiSequence(path)
    raise InputError(path, "not a NIfTI file", "give a 4D .nii or .nii.gz file; convert other formats first")
