# SPDX-License-Identifier: Apache-2.0
"""Whether a file on disk holds all the voxels that its header speaks of, without reading them."""

from __future__ import annotations

import math
import struct
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

_GZIP_SIZE_BYTES = 4


def is_whole_nifti(path: str | PathLike[str]) -> bool:
    """Compare the length of a NIfTI file with what its header asks for.

    Of a ``.nii.gz`` only the header and the last four bytes are read: there gzip notes the length of what it packed.
    A file cut short ends in other bytes. Damage in the middle goes unseen; reading the voxels finds it.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file, packed in one piece, as :func:`~cardiac4d.io.write_sequence` writes it.

    Returns:
        Whether the file is there, has a header and is as long as it should be.
    """
    path = Path(path)
    try:
        image: Any = nib.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error):
        return False
    wanted = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size >= wanted
    with path.open("rb") as file:
        file.seek(-_GZIP_SIZE_BYTES, 2)
        (length,) = struct.unpack("<I", file.read())
    return bool(length == wanted % 2**32)
