# SPDX-License-Identifier: Apache-2.0
"""What a study on disk is like: read once, frame by frame, and put into numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from ..conventions import CASE_ID_KEY, FULL_CYCLE_KEY, IMAGE_KEY, LABEL_KEY
from ..geometry import Grid, axis_codes, voxel_volume_ml
from ..io import label_convention, open_sequence, read_labels
from .annotated_frame import AnnotatedFrame, annotated_frame
from .frame_order import FrameOrder, coarse_frame, frame_order
from .label_fit import FrameFit, LabelFit, frame_fit, label_fit

_SAMPLES_PER_FRAME = 20_000
_PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class Intensities:
    """Intensities of all frames, in the file's unit after its slope and intercept.

    Attributes:
        lowest: the smallest of all voxels.
        p01: first percentile, of every n-th voxel.
        median: likewise.
        p99: likewise.
        highest: the largest of all voxels.
        repeated_frames: 0-based frames that hold the very voxels of the frame before them.
        digest: of the first frame, to find the same image in two studies.
    """

    lowest: float
    p01: float
    median: float
    p99: float
    highest: float
    repeated_frames: tuple[int, ...]
    digest: str


@dataclass(frozen=True)
class StudyFacts:
    """A study in numbers.

    Attributes:
        section: its list in the data list.
        case_id: its name.
        image: its image file.
        shape: H, W, D, T.
        spacing_mm: along H, W, D.
        axes: where the axes point, such as ``LPS``.
        frame_duration_ms: nan where not known.
        full_cycle: the frames cover one R-R interval, by the data list.
        intensities: of the image.
        annotated: what is drawn, by frame.
        frames_by_file: which frames are annotated follows from the label file, not from a list of frames.
        order: how the frames follow each other; ``None`` for fewer than eight.
        fit: how the labels fit the image; ``None`` without a frame that has both structures.
    """

    section: str
    case_id: str
    image: str
    shape: tuple[int, int, int, int]
    spacing_mm: tuple[float, float, float]
    axes: str
    frame_duration_ms: float
    full_cycle: bool
    intensities: Intensities
    annotated: tuple[AnnotatedFrame, ...] = field(default_factory=tuple)
    frames_by_file: bool = True
    order: FrameOrder | None = None
    fit: LabelFit | None = None


def collect_facts(section: str, entry: Mapping[str, Any]) -> StudyFacts:
    """Read a study from its first voxel to its last.

    Args:
        section: the list that holds it.
        entry: as :func:`cardiac4d.io.load_datalist` gives it.

    Raises:
        InputError: if image or label cannot be used.
    """
    image = open_sequence(entry[IMAGE_KEY])
    time = image.time_axis(full_cycle=bool(entry.get(FULL_CYCLE_KEY)))
    convention = label_convention(entry)
    drawn: Iterable[np.ndarray | None] = repeat(None, image.num_frames)
    if LABEL_KEY in entry:
        drawn = read_labels(open_sequence(entry[LABEL_KEY]), convention)
    frames = [_look(i, *pair, image.grid) for i, pair in enumerate(zip(image.frames(), drawn, strict=True))]
    return StudyFacts(
        section=section,
        case_id=str(entry[CASE_ID_KEY]),
        image=str(image.path),
        shape=(*image.grid.shape, image.num_frames),  # type: ignore[arg-type]
        spacing_mm=tuple(float(s) for s in image.grid.spacing_mm),  # type: ignore[arg-type]
        axes=axis_codes(image.grid.affine),
        frame_duration_ms=time.frame_duration_ms,
        full_cycle=time.full_cycle,
        intensities=_intensities(frames),
        annotated=tuple(frame.annotated for frame in frames if frame.annotated is not None),
        frames_by_file=convention.labeled_frames is None,
        order=frame_order([frame.coarse for frame in frames]),
        fit=label_fit([frame.fit for frame in frames if frame.fit is not None]),
    )


@dataclass(frozen=True)
class _Frame:
    """What is kept of a frame when the next one is read."""

    lowest: float
    highest: float
    samples: np.ndarray
    digest: str
    coarse: np.ndarray
    annotated: AnnotatedFrame | None
    fit: FrameFit | None


def _look(index: int, image: np.ndarray, labels: np.ndarray | None, grid: Grid) -> _Frame:
    return _Frame(
        lowest=float(image.min()),
        highest=float(image.max()),
        samples=image.ravel(order="K")[:: max(1, image.size // _SAMPLES_PER_FRAME)].astype(np.float64),
        digest=hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
        coarse=coarse_frame(image, list(grid.spacing_mm)),
        annotated=None if labels is None else annotated_frame(index, labels, voxel_volume_ml(grid.affine)),
        fit=None if labels is None else frame_fit(image, labels, list(grid.spacing_mm)),
    )


def _intensities(frames: Sequence[_Frame]) -> Intensities:
    p01, median, p99 = (float(p) for p in np.percentile(np.concatenate([f.samples for f in frames]), _PERCENTILES))
    digests = [frame.digest for frame in frames]
    return Intensities(
        lowest=min(frame.lowest for frame in frames),
        p01=p01,
        median=median,
        p99=p99,
        highest=max(frame.highest for frame in frames),
        repeated_frames=tuple(t for t in range(1, len(digests)) if digests[t] == digests[t - 1]),
        digest=digests[0],
    )
