# SPDX-License-Identifier: Apache-2.0
"""Turn every on-disk convention for labels that are sparse in time into one: 0, 1 LV, 2 LVM, 255 not annotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..conventions import BACKGROUND, LV, LVM, NOT_ANNOTATED, NUM_CLASSES
from ..errors import InputError
from .source import SequenceSource

DEFAULT_LABEL_MAP: Mapping[int, int] = {BACKGROUND: BACKGROUND, LV: LV, LVM: LVM}
_UNMAPPED = 254
_TABLE_LIMIT = 65536


@dataclass(frozen=True)
class LabelConvention:
    """How a label file says what is annotated.

    255 and -1 always mean "not annotated" unless ``label_map`` names them. An all-zero frame is annotated and empty.

    Args:
        label_map: value in the file to 0, 1 or 2 (or 255); default: values are 0, 1, 2. Where a map is given, 0 stays
            background unless the map says otherwise.
        labeled_frames: 0-based frames that are annotated; all others are not, whatever they hold, and it is an error
            if they hold a structure. ``None``: the file marks them itself.
        empty_frames_are_unlabeled: an all-zero frame is not annotated.
    """

    label_map: Mapping[int, int] = field(default_factory=lambda: DEFAULT_LABEL_MAP)
    labeled_frames: Sequence[int] | None = None
    empty_frames_are_unlabeled: bool = False

    def __post_init__(self) -> None:
        if any(not -1 <= value < _TABLE_LIMIT for value in self.label_map):
            raise ValueError(f"`label_map` must map values in -1..{_TABLE_LIMIT - 1}, got {dict(self.label_map)}")
        targets = {*range(NUM_CLASSES), NOT_ANNOTATED}
        if not set(self.label_map.values()) <= targets:
            raise ValueError(f"`label_map` must map to {sorted(targets)}, got {dict(self.label_map)}")

    def table(self) -> np.ndarray:
        """Look-up table: entry ``value + 1`` is the label of ``value``, or 254 where the map has none."""
        full = {-1: NOT_ANNOTATED, NOT_ANNOTATED: NOT_ANNOTATED, BACKGROUND: BACKGROUND, **self.label_map}
        table = np.full(max(full) + 2, _UNMAPPED, dtype=np.uint8)
        for value, label in full.items():
            table[value + 1] = label
        return table


def read_labels(
    source: SequenceSource, convention: LabelConvention, frames: Sequence[int] | None = None
) -> Iterator[np.ndarray]:
    """The label maps of ``frames`` (default: all), one at a time, in the package's convention.

    Args:
        source: the label file.
        convention: how it says what is annotated.
        frames: 0-based frames to read.

    Yields:
        ``(H, W, D)`` uint8: 0, 1, 2, 255.

    Raises:
        InputError: if values are not integers or not in the map, if a listed frame is out of range or entirely not
            annotated, if a frame that is not listed holds a structure, or, after the last frame, if none of them is
            annotated although ``labeled_frames`` is not explicitly empty; the message names file, frame and fix.
    """
    wanted = list(range(source.num_frames) if frames is None else frames)
    any_annotated = convention.labeled_frames is not None and len(convention.labeled_frames) == 0
    for labels in _convert(source, convention, wanted):
        any_annotated = any_annotated or bool((labels != NOT_ANNOTATED).any())
        yield labels
    if not any_annotated:
        problem = "no annotated frame" if frames is None else f"no annotated frame among {wanted}"
        fix = 'annotate or load others; for a sequence without any annotation write "labeled_frames": []'
        raise InputError(source.path, problem, fix)


def _convert(source: SequenceSource, convention: LabelConvention, frames: Iterable[int]) -> Iterator[np.ndarray]:
    listed = None if convention.labeled_frames is None else set(convention.labeled_frames)
    check_frame_range(source, listed or (), "labeled_frames")
    table = convention.table()
    for index in frames:
        labels = _translate(source, index, table)
        if listed is not None:
            labels = _apply_list(source, index, labels, index in listed)
        elif convention.empty_frames_are_unlabeled and not labels.any():
            labels = np.full_like(labels, NOT_ANNOTATED)
        yield labels


def annotated_frames(source: SequenceSource, convention: LabelConvention) -> list[int]:
    """The 0-based frames of which at least one voxel is annotated.

    Reads the file once from start to end, even where the frames are listed: a list that counts from 1 shows itself in
    the frames that it leaves out.

    Raises:
        InputError: see :func:`read_labels`, but a file without any annotated frame gives an empty list.
    """
    frames = enumerate(_convert(source, convention, range(source.num_frames)))
    return [index for index, labels in frames if (labels != NOT_ANNOTATED).any()]


def check_frame_range(source: SequenceSource, indices: Sequence[int] | set[int], name: str) -> None:
    """Raise :class:`InputError` unless every index is a frame of ``source``; say so where it looks 1-based."""
    outside = sorted(i for i in indices if not 0 <= i < source.num_frames)
    if not outside:
        return
    one_based = outside == [source.num_frames] and 0 not in indices
    fix = "frames are counted from 0: subtract 1 from each" if one_based else "correct the list; frames count from 0"
    problem = f"frame {outside[0]} of {sorted(indices)} does not exist, the file has frames 0..{source.num_frames - 1}"
    raise InputError(source.path, problem, fix, name)


def _translate(source: SequenceSource, index: int, table: np.ndarray) -> np.ndarray:
    voxels = source.frame(index)
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        if not np.array_equal(whole, voxels):
            example = voxels[whole != voxels].flat[0]
            fix = "labels must be integers; resample label files with nearest-neighbour interpolation"
            raise InputError(source.path, f"frame {index} holds the non-integer label {example:g}", fix)
        voxels = whole
    low, high = int(voxels.min()), int(voxels.max())
    if low < -1 or high >= len(table) - 1:
        raise _outside_map(source, index, low if low < -1 else high, table)
    labels = table[voxels.astype(np.int32) + 1]
    if (labels == _UNMAPPED).any():
        raise _outside_map(source, index, int(voxels[labels == _UNMAPPED].flat[0]), table)
    return labels


def _outside_map(source: SequenceSource, index: int, value: int, table: np.ndarray) -> InputError:
    known = (np.flatnonzero(table != _UNMAPPED) - 1).tolist()
    fix = 'add it to "label_map" in the data list, such as {"3": 1, "2": 2, "1": 0}'
    return InputError(source.path, f"frame {index} holds label {value}, known are {known}", fix)


def _apply_list(source: SequenceSource, index: int, labels: np.ndarray, is_listed: bool) -> np.ndarray:
    annotated = labels != NOT_ANNOTATED
    if is_listed:
        if not annotated.any():
            problem = f"frame {index} is listed as annotated, but the file marks it as not annotated"
            raise InputError(source.path, problem, "correct the list; frames are counted from 0", "labeled_frames")
        return labels
    if (annotated & (labels != BACKGROUND)).any():
        problem = f"frame {index} holds a structure, but is not listed as annotated"
        fix = "list every annotated frame, counted from 0, or set the others to 255"
        raise InputError(source.path, problem, fix, "labeled_frames")
    return np.full_like(labels, NOT_ANNOTATED)
