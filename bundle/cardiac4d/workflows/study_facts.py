# SPDX-License-Identifier: Apache-2.0
"""What a study on disk is like: read once, frame by frame, and put into numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..conventions import CASE_ID_KEY, FULL_CYCLE_KEY, IMAGE_KEY, LABEL_KEY, LV, LVM, NOT_ANNOTATED
from ..geometry import axis_codes, voxel_volume_ml
from ..io import SequenceSource, label_convention, open_sequence, read_labels

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
class AnnotatedFrame:
    """What is drawn in one annotated frame.

    Attributes:
        frame: 0-based.
        lv_ml: volume of the cavity.
        lvm_ml: volume of the myocardium.
        touches_edge: a structure reaches the edge of the image in the plane of the slices.
        bare_share: share of the cavity's surface, slice by slice, that does not lie on the myocardium; 0 .. 1, nan
            without a cavity.
    """

    frame: int
    lv_ml: float
    lvm_ml: float
    touches_edge: bool
    bare_share: float


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
    return StudyFacts(
        section=section,
        case_id=str(entry[CASE_ID_KEY]),
        image=str(image.path),
        shape=(*image.grid.shape, image.num_frames),  # type: ignore[arg-type]
        spacing_mm=tuple(float(s) for s in image.grid.spacing_mm),  # type: ignore[arg-type]
        axes=axis_codes(image.grid.affine),
        frame_duration_ms=time.frame_duration_ms,
        full_cycle=time.full_cycle,
        intensities=_intensities(image.frames()),
        annotated=tuple(_annotated(open_sequence(entry[LABEL_KEY]), convention)) if LABEL_KEY in entry else (),
        frames_by_file=convention.labeled_frames is None,
    )


def _intensities(frames: Iterable[np.ndarray]) -> Intensities:
    lowest, highest = np.inf, -np.inf
    samples: list[np.ndarray] = []
    digests: list[str] = []
    for frame in frames:
        lowest, highest = min(lowest, float(frame.min())), max(highest, float(frame.max()))
        samples.append(frame.ravel(order="K")[:: max(1, frame.size // _SAMPLES_PER_FRAME)].astype(np.float64))
        digests.append(hashlib.sha256(np.ascontiguousarray(frame).tobytes()).hexdigest())
    p01, median, p99 = (float(p) for p in np.percentile(np.concatenate(samples), _PERCENTILES))
    repeated = tuple(t for t in range(1, len(digests)) if digests[t] == digests[t - 1])
    return Intensities(lowest, p01, median, p99, highest, repeated, digests[0])


def _annotated(source: SequenceSource, convention: Any) -> Iterable[AnnotatedFrame]:
    voxel_ml = voxel_volume_ml(source.grid.affine)
    for index, labels in enumerate(read_labels(source, convention)):
        if (labels == NOT_ANNOTATED).all():
            continue
        cavity, wall = labels == LV, labels == LVM
        yield AnnotatedFrame(
            frame=index,
            lv_ml=float(np.count_nonzero(cavity)) * voxel_ml,
            lvm_ml=float(np.count_nonzero(wall)) * voxel_ml,
            touches_edge=_touches_edge(cavity | wall),
            bare_share=_bare_share(cavity, wall),
        )


def _touches_edge(structure: np.ndarray) -> bool:
    sides = (structure[0], structure[-1], structure[:, 0], structure[:, -1])
    return any(bool(side.any()) for side in sides)


def _bare_share(cavity: np.ndarray, wall: np.ndarray) -> float:
    """Faces of cavity voxels along H and W that look at neither cavity nor wall, among those that leave the cavity."""
    leaving = bare = 0
    for axis in (0, 1):
        for inner, outer in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            here, there = (slice(None),) * axis + (inner,), (slice(None),) * axis + (outer,)
            faces = cavity[here] & ~cavity[there]
            leaving += int(np.count_nonzero(faces))
            bare += int(np.count_nonzero(faces & ~wall[there]))
    return bare / leaving if leaving else float("nan")
