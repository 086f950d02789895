# SPDX-License-Identifier: Apache-2.0
"""Names of image files: which ones a reader takes, what a case is called, in which order phases come."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

NIFTI_SUFFIXES = (".nii", ".nii.gz")
NRRD_SUFFIXES = (".nrrd", ".nhdr")
METAIMAGE_SUFFIXES = (".mha", ".mhd")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES)
"""What readers of files take, by the end of the name; case does not matter."""

_SUFFIX = re.compile(r"(\.nii\.gz|\.nii|(\.seq|\.seg)*\.(nrrd|nhdr)|\.mha|\.mhd|\.dcm|\.dicom|\.ima)$", re.IGNORECASE)
_WILDCARDS = re.compile(r"[*?\[]")


def has_suffix(path: str | PathLike[str], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> bool:
    """Whether the name ends in one of ``suffixes``, in whatever case."""
    return str(path).lower().endswith(suffixes)


def case_stem(path: str | PathLike[str]) -> str:
    """File name without the suffix of an image format; of a folder, its name.

    Example:
        >>> case_stem("imagesTr/case.01.nii.gz"), case_stem("heart.seq.nrrd"), case_stem("patient.7/phases")
        ('case.01', 'heart', 'phases')
    """
    return _SUFFIX.sub("", Path(path).name)


def natural_order(path: str | PathLike[str]) -> tuple[list[tuple[int, int | str]], str]:
    """A key that sorts names by the numbers in them; names that differ in leading zeros only stay apart.

    Example:
        >>> sorted(["tf10.nii", "tf2.nii", "tf1.nii"], key=natural_order)
        ['tf1.nii', 'tf2.nii', 'tf10.nii']
    """
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts if part], str(path)


def has_wildcard(path: str | PathLike[str]) -> bool:
    """Whether a path is a pattern for several: it holds ``*``, ``?`` or ``[``."""
    return bool(_WILDCARDS.search(str(path)))
