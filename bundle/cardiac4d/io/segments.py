# SPDX-License-Identifier: Apache-2.0
"""Segments that a file names itself (DICOM SEG, 3D Slicer's ``.seg.nrrd``): which structure each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .structures import CODED_STRUCTURES


class Segment(NamedTuple):
    """One segment of a file.

    Attributes:
        number: by which its voxels are known in the file.
        name: as its author called it.
        code: of what it is, SNOMED CT as a rule; empty where the file has none.
    """

    number: int
    name: str
    code: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.code})" if self.code else repr(self.name)


_KNOWN = {
    text.lower(): structure.label
    for structure in CODED_STRUCTURES
    for text in (structure.key, structure.name, structure.meaning, structure.code)
}


def labels_of_segments(path: Path, segments: Iterable[Segment], names: Mapping[str, int] | None) -> dict[int, int]:
    """The label of each segment by its number in the file.

    Args:
        path: the file.
        segments: what it holds.
        names: label by name or code of a segment, in any case; default: SNOMED CT's codes of left ventricle and its
            myocardium, and this package's names.

    Raises:
        InputError: naming a segment that is none of these: whether it is background is not guessed.
    """
    known = _KNOWN if names is None else {name.lower(): label for name, label in names.items()}
    labels = {}
    for segment in segments:
        found = [known[text.lower()] for text in (segment.name, segment.code) if text.lower() in known]
        if not found:
            fix = f'say what it is in "label_map", such as {{"{segment.name}": "LV"}}, or 0 for background'
            raise InputError(path, f"segment {segment} is not known as a structure", fix, "label_map")
        labels[segment.number] = found[0]
    return labels
