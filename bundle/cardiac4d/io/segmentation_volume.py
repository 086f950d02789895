# SPDX-License-Identifier: Apache-2.0
"""The segments of one phase as a label map on the grid of its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..geometry import Grid, TimeAxis
from .dicom import is_segmentation, read_segment_planes, read_segments
from .image_names import NRRD_SUFFIXES, has_suffix
from .nrrd import NrrdSequence
from .nrrd_header import read_header
from .paste import paste_labels
from .segments import Segment, labels_of_segments
from .source import SCANNER_SPACE, SequenceSource, check_index


def names_segments(path: Path) -> bool:
    """Whether a file says itself what its segments are: a DICOM SEG, or an NRRD file as 3D Slicer's Segmentations."""
    if has_suffix(path, NRRD_SUFFIXES):
        return "Segment0_ID" in read_header(path)[0]
    return not has_suffix(path) and is_segmentation(path)


def segments_field(image: SequenceSource, names: Mapping[str, int] | None, *, numbered: bool) -> dict[str, Any]:
    """What :meth:`SegmentationVolume.from_field` needs beside a file, as plain values."""
    grid = {"shape": list(image.grid.shape), "affine": image.grid.affine.tolist()}
    return {"grid": grid, "numbered": numbered, **({} if names is None else {"names": names})}


class SegmentationVolume(SequenceSource):
    """A DICOM SEG or ``.seg.nrrd`` of one phase, as a sequence of one frame on the grid of its image.

    Such files may leave out slices, cover a box only, or have their axes in another order than the image: their voxels
    are put where they lie.

    Args:
        path: the file.
        grid: that of the image.
        names: see :func:`~cardiac4d.io.segments.labels_of_segments`.
        numbered: give the numbers that segments have in the file instead of labels.

    Raises:
        InputError: if the file cannot be read, or a segment is not known as a structure.
    """

    def __init__(
        self, path: Path, grid: Grid, names: Mapping[str, int] | None = None, *, numbered: bool = False
    ) -> None:
        self.path, self.grid, self.num_frames = path, grid, 1
        self._nrrd = NrrdSequence(path, one_frame=True) if has_suffix(path, NRRD_SUFFIXES) else None
        segments = _nrrd_segments(path) if self._nrrd else read_segments(path)
        self._labels = {s.number: s.number for s in segments} if numbered else labels_of_segments(path, segments, names)

    @classmethod
    def from_field(cls, path: Path, field: Mapping[str, Any]) -> SegmentationVolume:
        """Open a file as a data list's entry says it (:func:`segments_field`)."""
        grid = Grid(tuple(field["grid"]["shape"]), np.array(field["grid"]["affine"], dtype=np.float64))
        return cls(path, grid, field.get("names"), numbered=field["numbered"])

    def time_axis(self, *, full_cycle: bool = False) -> TimeAxis:
        """One frame at an unknown time."""
        return TimeAxis.uniform(1, 0.0, unit="unknown", full_cycle=full_cycle)

    def header_meta(self) -> dict[str, Any]:
        """Millimetres in the scanner's space; see :meth:`SequenceSource.header_meta`."""
        return dict(SCANNER_SPACE)

    def frame(self, index: int) -> np.ndarray:
        """The labels ``(H, W, D)``, uint16; see :meth:`SequenceSource.frame`."""
        check_index(self, index)
        target = np.zeros(self.grid.shape, np.uint16)
        for voxels, affine in self._blocks():
            table = np.zeros(max(int(voxels.max(initial=0)), *self._labels, 0) + 1, np.uint16)
            table[list(self._labels)] = list(self._labels.values())
            paste_labels(self.path, target, self.grid, table[voxels], affine)
        return target

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of segments, and the affine of each block of them."""
        if self._nrrd is None:
            yield from read_segment_planes(self.path, self.grid)
        else:
            yield self._nrrd.frame(0).astype(np.int64), self._nrrd.grid.affine


def _nrrd_segments(path: Path) -> list[Segment]:
    """The segments that the header of 3D Slicer lists; the tag of the terminology is ``category~type~...``."""
    header, _ = read_header(path)
    segments: list[Segment] = []
    while f"Segment{len(segments)}_ID" in header:
        prefix = f"Segment{len(segments)}_"
        name = unquote(str(header.get(f"{prefix}Name", header[f"{prefix}ID"])))
        number = int(header.get(f"{prefix}LabelValue", len(segments) + 1))
        terms = str(header.get(f"{prefix}Tags", "")).partition("TerminologyEntry:")[2].split("|")[0].split("~")
        code = terms[2].split("^")[1] if len(terms) > 2 and "^" in terms[2] else ""
        segments.append(Segment(number, name, code))
    return segments
